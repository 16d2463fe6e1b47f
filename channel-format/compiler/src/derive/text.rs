//! Texts that meet several criteria at once.
//!
//! First the literals are glued into one text. If that does not do, each criterion becomes a
//! [`Machine`], and the machines walk side by side over all texts, the shortest first, until those
//! accept that must and no other does.

use std::collections::{HashSet, VecDeque};

use channel_format::engine::criterion::Operator;
use channel_format::engine::fold::fold;
use channel_format::engine::regex::{ACCEPT, ACCEPT_AT_END, FLAG_FOLDED, MAX_NARROW};
use channel_format::limits::MAX_TEXT_UNITS;
use channel_format::schema::Field;

use crate::lower::{Criterion, Operand};
use crate::regex::Automaton;

/// Work that may still be done, in steps of one machine.
pub(super) struct Budget {
    left: usize,
    /// What one text may take of it.
    each: usize,
}

impl Budget {
    /// What all examples of a rule may take: a second or so without optimisation.
    pub(super) const fn of_a_rule() -> Self {
        Self { left: 1 << 24, each: 1 << 22 }
    }
}

/// A text that meets them all, if one is found.
pub(super) fn solve(
    field: Field,
    wishes: &[(&Criterion, bool)],
    budget: &mut Budget,
) -> Option<Vec<u16>> {
    let mut machines = Vec::new();
    for (criterion, wanted) in wishes {
        match Machine::of(criterion) {
            Some(machine) => machines.push((machine, *wanted)),
            // Exists and null ask nothing of a text but that there is one.
            None if (criterion.operator == Operator::Exists.number()) == *wanted => {}
            None => return None,
        }
    }
    let fits = |text: &Vec<u16>| {
        text.len() <= MAX_TEXT_UNITS as usize
            && machines.iter().all(|(machine, wanted)| machine.accepts(text) == *wanted)
    };
    glued(field, wishes).into_iter().find(fits).or_else(|| walk(&machines, budget))
}

/// The literals that must be there put together, with and without what such a text begins with.
fn glued(field: Field, wishes: &[(&Criterion, bool)]) -> Vec<Vec<u16>> {
    let mut whole: Option<Vec<u16>> = None;
    let (mut start, mut end): (Vec<u16>, Vec<u16>) = (vec![], vec![]);
    let mut middle: Vec<Vec<u16>> = Vec::new();
    for (criterion, _) in wishes.iter().filter(|(_, wanted)| *wanted) {
        let Operand::Literal { units, cased, .. } = &criterion.operand else {
            continue;
        };
        let text = if *cased { units.clone() } else { lower(units) };
        match Operator::from_number(criterion.operator) {
            Some(Operator::Equals) => whole = Some(text),
            Some(Operator::StartsWith) if text.len() > start.len() => start = text,
            Some(Operator::EndsWith) if text.len() > end.len() => end = text,
            Some(Operator::Contains) => middle.push(text),
            _ => {}
        }
    }
    let usual = match field {
        Field::PipeName => r"\",
        Field::ImagePath | Field::ParentImage => r"C:\",
        _ => "",
    };
    let usual: Vec<u16> = usual.encode_utf16().collect();
    let filler = vec![u16::from(b'x')];
    let body = middle.concat();
    let mut texts: Vec<Vec<u16>> = whole.into_iter().collect();
    if start.is_empty() {
        texts.push(join(&[&usual, &body, &end]));
        texts.push(join(&[&usual, &filler, &body, &end]));
    }
    texts.push(join(&[&start, &body, &end]));
    texts.push(join(&[&start, &filler, &body, &filler, &end]));
    // An empty text is the last that is wanted: for a pipe it means that it has no name.
    texts.sort_by_key(|text| text.is_empty() || *text == usual);
    texts
}

/// The parts one behind the other; where one ends and the next begins with a backslash, one is
/// enough.
fn join(parts: &[&Vec<u16>]) -> Vec<u16> {
    const BACKSLASH: u16 = b'\\' as u16;
    let mut joined: Vec<u16> = Vec::new();
    for part in parts {
        let twice = joined.last() == Some(&BACKSLASH) && part.first() == Some(&BACKSLASH);
        joined.extend(&part[usize::from(twice)..]);
    }
    joined
}

/// Small letters, so that the example also tells that case does not matter.
fn lower(units: &[u16]) -> Vec<u16> {
    let small = |unit: &u16| match u8::try_from(*unit) {
        Ok(byte) => byte.to_ascii_lowercase().into(),
        Err(_) => *unit,
    };
    units.iter().map(small).collect()
}

/// The shortest text that the machines judge as wanted.
fn walk(machines: &[(Machine<'_>, bool)], budget: &mut Budget) -> Option<Vec<u16>> {
    let letters = letters(machines);
    let mut left = budget.left.min(budget.each);
    budget.left -= left;
    let start: Box<[u32]> = machines.iter().map(|(machine, _)| machine.start()).collect();
    let mut seen: HashSet<Box<[u32]>> = HashSet::from([start.clone()]);
    // The place of the one before, and the unit that led here.
    let mut steps: Vec<(usize, u16)> = vec![(0, 0)];
    let mut queue = VecDeque::from([(0, 0, start)]);
    let found = 'search: {
        while let Some((place, length, states)) = queue.pop_front() {
            let judged = |((machine, wanted), state): (&(Machine<'_>, bool), &u32)| {
                machine.accepts_at(*state) == *wanted
            };
            if machines.iter().zip(&*states).all(judged) {
                break 'search Some((place, length));
            }
            if length == MAX_TEXT_UNITS as usize {
                continue;
            }
            for unit in &letters {
                let Some(rest) = left.checked_sub(machines.len()) else {
                    break 'search None;
                };
                left = rest;
                let next: Box<[u32]> = machines
                    .iter()
                    .zip(&*states)
                    .map(|((machine, _), state)| machine.step(*state, *unit))
                    .collect();
                let lost = machines
                    .iter()
                    .zip(&*next)
                    .any(|((machine, wanted), state)| machine.settled(*state) == Some(!*wanted));
                if !lost && seen.insert(next.clone()) {
                    steps.push((place, *unit));
                    queue.push_back((steps.len() - 1, length + 1, next));
                }
            }
        }
        None
    };
    budget.left += left;
    let (mut place, length) = found?;
    let mut text = Vec::with_capacity(length);
    while place > 0 {
        text.push(steps[place].1);
        place = steps[place].0;
    }
    text.reverse();
    Some(text)
}

/// One unit for each kind that the machines tell apart: those that people can read come first.
fn letters(machines: &[(Machine<'_>, bool)]) -> Vec<u16> {
    let readable = (b'a'..=b'z').chain(b'0'..=b'9').chain(*b"\\-_. ").chain(b'A'..=b'Z');
    let readable = readable.chain(b'!'..=b'~').map(u16::from);
    let mut candidates: Vec<u16> = readable.collect();
    for (machine, _) in machines {
        candidates.extend(machine.units());
    }
    candidates.extend(0..0x20);
    let mut known: HashSet<Vec<u32>> = HashSet::new();
    let kind = |unit: u16| machines.iter().map(|(machine, _)| machine.kind(unit)).collect();
    candidates.retain(|unit| known.insert(kind(*unit)));
    candidates
}

/// A criterion over text as a deterministic machine.
pub(super) enum Machine<'a> {
    /// The text, or a part of it, is a literal.
    Literal { operator: Operator, units: &'a [u16], cased: bool, borders: Vec<u32> },
    /// The text is one that an automaton accepts.
    Automaton(&'a Automaton),
}

/// The state of a literal that can no longer match.
const LOST: u32 = u32::MAX;

impl<'a> Machine<'a> {
    /// `None` for a criterion that does not look into a text.
    pub(super) fn of(criterion: &'a Criterion) -> Option<Self> {
        match &criterion.operand {
            Operand::Literal { units, cased, .. } => {
                let operator = Operator::from_number(criterion.operator)?;
                Some(Self::Literal { operator, units, cased: *cased, borders: borders(units) })
            }
            Operand::Automaton(automaton) => Some(Self::Automaton(automaton)),
            Operand::Nothing | Operand::Number(_) | Operand::Sid(_) => None,
        }
    }

    /// True if the criterion holds for the text.
    pub(super) fn accepts(&self, text: &[u16]) -> bool {
        let end = text.iter().fold(self.start(), |state, unit| self.step(state, *unit));
        self.accepts_at(end)
    }

    fn start(&self) -> u32 {
        match self {
            Self::Literal { .. } => 0,
            Self::Automaton(automaton) => automaton.start.into(),
        }
    }

    fn step(&self, state: u32, unit: u16) -> u32 {
        match self {
            Self::Literal { operator, units, cased, borders } => {
                let unit = if *cased { unit } else { fold(unit) };
                let matched = state as usize;
                let anchored = matches!(operator, Operator::Equals | Operator::StartsWith);
                let stays = matches!(operator, Operator::StartsWith | Operator::Contains);
                if state == LOST || (matched == units.len() && stays) {
                    state
                } else if anchored {
                    if units.get(matched) == Some(&unit) { state + 1 } else { LOST }
                } else {
                    follow(units, borders, state, unit)
                }
            }
            Self::Automaton(automaton) => {
                if flags(automaton, state) & ACCEPT != 0 {
                    return state;
                }
                let column = self.kind(unit);
                next(automaton, state, column)
            }
        }
    }

    fn accepts_at(&self, state: u32) -> bool {
        match self {
            Self::Literal { units, .. } => state as usize == units.len(),
            Self::Automaton(automaton) => flags(automaton, state) & (ACCEPT | ACCEPT_AT_END) != 0,
        }
    }

    /// Whether it accepts, if no further unit changes that.
    fn settled(&self, state: u32) -> Option<bool> {
        match self {
            Self::Literal { operator, units, .. } => {
                let stays = matches!(operator, Operator::StartsWith | Operator::Contains);
                match state {
                    LOST => Some(false),
                    matched if stays && matched as usize == units.len() => Some(true),
                    _ => None,
                }
            }
            Self::Automaton(automaton) => {
                let flags = flags(automaton, state);
                let sink = || {
                    let mut columns = 0..u32::from(automaton.classes);
                    columns.all(|column| next(automaton, state, column) == state)
                };
                match flags & (ACCEPT | ACCEPT_AT_END) {
                    0 if sink() => Some(false),
                    0 | ACCEPT_AT_END => None,
                    _ => Some(true),
                }
            }
        }
    }

    /// Units that the machine does not tell apart have the same number.
    fn kind(&self, unit: u16) -> u32 {
        match self {
            Self::Literal { units, cased, .. } => {
                let unit = if *cased { unit } else { fold(unit) };
                let place = units.iter().position(|known| *known == unit);
                place.map_or(0, |place| place as u32 + 1)
            }
            Self::Automaton(automaton) => {
                let folded = automaton.flags & FLAG_FOLDED != 0;
                class(automaton, if folded { fold(unit) } else { unit })
            }
        }
    }

    /// Units at which its kinds begin.
    fn units(&self) -> Vec<u16> {
        match self {
            Self::Literal { units, .. } => units.to_vec(),
            Self::Automaton(automaton) => {
                let ranges = (0..automaton.ranges)
                    .map(|range| word(automaton, 128 + 4 * usize::from(range)));
                ranges.collect()
            }
        }
    }
}

/// For each prefix, the length of its longest proper prefix that is also its suffix.
fn borders(units: &[u16]) -> Vec<u32> {
    let mut borders = vec![0; units.len()];
    for end in 1..units.len() {
        borders[end] = follow(&units[..end], &borders, borders[end - 1], units[end]);
    }
    borders
}

/// How much of a literal matches after one more unit.
fn follow(units: &[u16], borders: &[u32], matched: u32, unit: u16) -> u32 {
    let mut matched = matched as usize;
    while matched == units.len() || units[matched] != unit {
        if matched == 0 {
            return 0;
        }
        matched = borders[matched - 1] as usize;
    }
    matched as u32 + 1
}

// The tables of an automaton, as the format lays them out: classes of ASCII, ranges, transitions,
// flags.

fn class(automaton: &Automaton, unit: u16) -> u32 {
    if unit < 0x80 {
        return automaton.tables[usize::from(unit)].into();
    }
    let (mut low, mut high) = (0, usize::from(automaton.ranges));
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        if word(automaton, 128 + 4 * middle) <= unit { low = middle } else { high = middle }
    }
    word(automaton, 128 + 4 * low + 2).into()
}

fn next(automaton: &Automaton, state: u32, class: u32) -> u32 {
    let place = state as usize * usize::from(automaton.classes) + class as usize;
    let start = 128 + 4 * usize::from(automaton.ranges);
    match width(automaton) {
        1 => automaton.tables[start + place].into(),
        width => word(automaton, start + width * place).into(),
    }
}

fn flags(automaton: &Automaton, state: u32) -> u8 {
    let transitions = usize::from(automaton.states) * usize::from(automaton.classes);
    let start = 128 + 4 * usize::from(automaton.ranges) + width(automaton) * transitions;
    automaton.tables[start + state as usize]
}

/// Bytes of a state's number.
fn width(automaton: &Automaton) -> usize {
    if automaton.states <= MAX_NARROW { 1 } else { 2 }
}

fn word(automaton: &Automaton, place: usize) -> u16 {
    u16::from_le_bytes([automaton.tables[place], automaton.tables[place + 1]])
}
