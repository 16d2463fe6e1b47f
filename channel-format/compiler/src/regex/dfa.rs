//! Deterministic automata: subset construction, minimisation, and the bytes of the format.

use std::collections::{BTreeSet, HashMap};

use channel_format::engine::regex::{ACCEPT, ACCEPT_AT_END, DEAD, FLAG_FOLDED, IDLE, MAX_NARROW};
use channel_format::limits::{MAX_CLASSES, MAX_STATES, MAX_TRANSITIONS};

use super::literal::Literal;
use super::nfa::{Beside, Nfa, State, UnitSet};

/// States before minimisation beyond this are refused.
const MAX_SUBSETS: usize = 4 * MAX_STATES as usize;

/// Work that one automaton may take, in places looked at: a quarter of a second or so. A pattern within the other
/// limits can still take hours.
const MAX_WORK: usize = 1 << 24;

/// An automaton in the form of the format.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Automaton {
    pub(crate) flags: u16,
    pub(crate) states: u16,
    pub(crate) classes: u16,
    pub(crate) ranges: u16,
    pub(crate) start: u16,
    pub(crate) middle: u16,
    pub(crate) lead: u16,
    /// The tables, padded.
    pub(crate) tables: Vec<u8>,
    /// What every text that it accepts holds, folded; may be empty.
    pub(crate) literal: Vec<u16>,
}

/// Makes the automaton deterministic and lays out its tables.
pub(super) fn build(
    nfa: &Nfa,
    folded: bool,
    literal: Literal,
) -> Result<Automaton, (String, String)> {
    let classes = Classes::of(nfa)?;
    let table = Subsets::new(nfa, &classes).explore()?;
    // Twins go first as well, since they make the states' rows longer.
    let table = table.without_twin_classes().minimised()?.without_twin_classes();
    table.encode(&classes, folded, literal)
}

/// What the unit before a place was, as far as conditions can ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Before {
    Start,
    LineFeed,
    High,
    Other,
}

/// What stands behind a place, as far as conditions can ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    /// Nothing is known: what holds here holds whatever follows.
    Anything,
    End,
    LineFeed,
    Low,
    Other,
}

/// Code units that no part of the automaton tells apart, numbered.
struct Classes {
    /// First unit of each range, rising from 0, and its class.
    ranges: Vec<(u16, usize)>,
    /// One unit of each class.
    samples: Vec<u16>,
}

impl Classes {
    fn of(nfa: &Nfa) -> Result<Self, (String, String)> {
        let uses = |wanted: Beside| {
            nfa.states
                .iter()
                .any(|state| matches!(state, State::Beside(found, _) if *found == wanted))
        };
        let mut sets: Vec<UnitSet> = nfa.sets.clone();
        if uses(Beside::LineStart) || uses(Beside::LineEnd) {
            sets.push(vec![(0x0a, 0x0a)]);
        }
        if uses(Beside::NoHighBefore) || uses(Beside::NoLowBehind) {
            sets.extend([vec![(0xd800, 0xdbff)], vec![(0xdc00, 0xdfff)]]);
        }
        let mut firsts: BTreeSet<u32> = [0, 0x80].into();
        for (first, last) in sets.iter().flatten() {
            firsts.extend([u32::from(*first), u32::from(*last) + 1]);
        }
        let mut known: HashMap<Vec<bool>, usize> = HashMap::new();
        let mut classes = Self { ranges: Vec::new(), samples: Vec::new() };
        for first in firsts.into_iter().filter_map(|first| u16::try_from(first).ok()) {
            let signature: Vec<bool> = sets.iter().map(|set| contains(set, first)).collect();
            let fresh = known.len();
            // Numbers rise with the first unit of a class, so those of ASCII fit a byte.
            let class = *known.entry(signature).or_insert(fresh);
            if class == fresh {
                classes.samples.push(first);
            }
            classes.ranges.push((first, class));
            if classes.samples.len() > MAX_CLASSES as usize {
                return Err(explodes(&format!(
                    "tells more than {MAX_CLASSES} kinds of units apart"
                )));
            }
        }
        Ok(classes)
    }
}

fn contains(set: &UnitSet, unit: u16) -> bool {
    let above = set.partition_point(|(first, _)| *first <= unit);
    above > 0 && unit <= set[above - 1].1
}

fn explodes(what: &str) -> (String, String) {
    let help = "use narrower classes and lower counts, anchor it with ^, or split the rule";
    (format!("the pattern explodes: its automaton {what}"), help.to_owned())
}

/// A deterministic automaton.
struct Table {
    classes: usize,
    /// For each class of the automaton's [`Classes`], the column that stands for it.
    columns: Vec<usize>,
    next: Vec<usize>,
    /// Whether each state accepts.
    flags: Vec<u8>,
    /// The states in which no match has begun.
    idle: Vec<bool>,
    start: usize,
    /// The state behind a unit of which nothing is known, before the next.
    middle: usize,
}

/// Subset construction.
struct Subsets<'a> {
    nfa: &'a Nfa,
    classes: &'a Classes,
    members: Vec<Vec<bool>>,
    asks_before: bool,
    asks_high: bool,
    known: HashMap<(Vec<usize>, Before), usize>,
    queue: Vec<(Vec<usize>, Before)>,
    /// The closure that last reached each state.
    reached: Vec<u32>,
    closures: u32,
    work: usize,
}

impl<'a> Subsets<'a> {
    fn new(nfa: &'a Nfa, classes: &'a Classes) -> Self {
        let asks = |wanted: &[Beside]| {
            nfa.states
                .iter()
                .any(|state| matches!(state, State::Beside(b, _) if wanted.contains(b)))
        };
        let member =
            |set: &UnitSet| classes.samples.iter().map(|unit| contains(set, *unit)).collect();
        Self {
            nfa,
            classes,
            members: nfa.sets.iter().map(member).collect(),
            asks_before: asks(&[Beside::LineStart]),
            asks_high: asks(&[Beside::NoHighBefore]),
            known: HashMap::new(),
            queue: Vec::new(),
            reached: vec![0; nfa.states.len()],
            closures: 0,
            work: 0,
        }
    }

    fn explore(mut self) -> Result<Table, (String, String)> {
        let classes = self.classes.samples.len();
        let start = self.state(vec![self.nfa.start], Before::Start);
        // Nothing begins at the unit that it takes, but that unit is what stands before the next.
        let middle = self.state(vec![], Before::Other);
        let (mut next, mut flags) = (Vec::new(), Vec::new());
        let mut at = 0;
        while let Some((set, before)) = self.queue.get(at).cloned() {
            at += 1;
            if set == [0] {
                // The state that has accepted stays.
                flags.push(ACCEPT);
                next.extend(vec![at - 1; classes]);
                continue;
            }
            let at_end = self.closure(&set, before, Behind::End);
            flags.push(if at_end.contains(&0) { ACCEPT_AT_END } else { 0 });
            let closures = [Behind::LineFeed, Behind::Low, Behind::Other]
                .map(|behind| self.closure(&set, before, behind));
            let accepts = closures.each_ref().map(|closure| closure.contains(&0));
            for class in 0..classes {
                let unit = self.classes.samples[class];
                let behind = match unit {
                    0x0a => 0,
                    0xdc00..=0xdfff => 1,
                    _ => 2,
                };
                let to = if accepts[behind] {
                    self.state(vec![0], Before::Other)
                } else {
                    self.step(&closures[behind], class, unit)
                };
                next.push(to);
                if self.work > MAX_WORK {
                    return Err(explodes("takes too long to build"));
                }
            }
            if self.queue.len() > MAX_SUBSETS {
                return Err(explodes(&format!("has more than {MAX_SUBSETS} states")));
            }
        }
        let idle = self.queue.iter().map(|(set, _)| *set == [self.nfa.start]).collect();
        Ok(Table { classes, columns: (0..classes).collect(), next, flags, idle, start, middle })
    }

    /// The state after taking a unit of a class.
    fn step(&mut self, closure: &[usize], class: usize, unit: u16) -> usize {
        self.work += closure.len();
        let mut set = vec![self.nfa.start];
        for state in closure {
            if let State::Units(units, next) = &self.nfa.states[*state]
                && self.members[*units][class]
            {
                set.push(*next);
            }
        }
        set.sort_unstable();
        set.dedup();
        let before = match unit {
            0x0a if self.asks_before => Before::LineFeed,
            0xd800..=0xdbff if self.asks_high => Before::High,
            _ => Before::Other,
        };
        self.state(set, before)
    }

    fn state(&mut self, set: Vec<usize>, before: Before) -> usize {
        // What holds whatever follows has been accepted for good.
        let accepted = self.closure(&set, before, Behind::Anything).contains(&0);
        let key = if accepted { (vec![0], Before::Other) } else { (set, before) };
        let fresh = self.queue.len();
        let state = *self.known.entry(key.clone()).or_insert(fresh);
        if state == fresh {
            self.queue.push(key);
        }
        state
    }

    /// The states that can be reached without taking a unit.
    fn closure(&mut self, set: &[usize], before: Before, behind: Behind) -> Vec<usize> {
        self.closures += 1;
        let mut reached = Vec::new();
        let mut left: Vec<usize> = set.to_vec();
        while let Some(state) = left.pop() {
            self.work += 1;
            if self.reached[state] == self.closures {
                continue;
            }
            self.reached[state] = self.closures;
            reached.push(state);
            match &self.nfa.states[state] {
                State::Split(ways) => left.extend(ways),
                State::Beside(beside, next) if holds(*beside, before, behind) => left.push(*next),
                _ => {}
            }
        }
        reached
    }
}

fn holds(beside: Beside, before: Before, behind: Behind) -> bool {
    match beside {
        Beside::Start => before == Before::Start,
        Beside::LineStart => matches!(before, Before::Start | Before::LineFeed),
        Beside::NoHighBefore => before != Before::High,
        Beside::End => behind == Behind::End,
        Beside::LineEnd => matches!(behind, Behind::End | Behind::LineFeed),
        Beside::NoLowBehind => !matches!(behind, Behind::Low | Behind::Anything),
    }
}

impl Table {
    /// Brings together states that no text tells apart (Moore).
    fn minimised(self) -> Result<Self, (String, String)> {
        let states = self.flags.len();
        let mut blocks: Vec<usize> = self.flags.iter().map(|flags| usize::from(*flags)).collect();
        let mut count = blocks.iter().collect::<BTreeSet<_>>().len();
        let mut work = 0;
        loop {
            work += self.next.len();
            if work > MAX_WORK {
                return Err(explodes("takes too long to make small"));
            }
            let mut known: HashMap<Vec<usize>, usize> = HashMap::new();
            let mut finer = Vec::with_capacity(states);
            for state in 0..states {
                let row = &self.next[state * self.classes..][..self.classes];
                let mut signature = vec![blocks[state]];
                signature.extend(row.iter().map(|to| blocks[*to]));
                let fresh = known.len();
                finer.push(*known.entry(signature).or_insert(fresh));
            }
            blocks = finer;
            if known.len() == count {
                break;
            }
            count = known.len();
        }
        let mut next = vec![0; count * self.classes];
        let (mut flags, mut idle) = (vec![0; count], vec![false; count]);
        for state in 0..states {
            let row = &self.next[state * self.classes..][..self.classes];
            flags[blocks[state]] = self.flags[state];
            // What no text tells apart from a state without a match begun is as good as one.
            idle[blocks[state]] |= self.idle[state];
            for (class, to) in row.iter().enumerate() {
                next[blocks[state] * self.classes + class] = blocks[*to];
            }
        }
        let (start, middle) = (blocks[self.start], blocks[self.middle]);
        Ok(Self { start, middle, next, flags, idle, ..self })
    }

    /// Brings together classes that no state tells apart.
    fn without_twin_classes(self) -> Self {
        let states = self.flags.len();
        let mut known: HashMap<Vec<usize>, usize> = HashMap::new();
        let mut kept = Vec::new();
        let mut columns = Vec::new();
        for class in 0..self.classes {
            let column: Vec<usize> =
                (0..states).map(|state| self.next[state * self.classes + class]).collect();
            let fresh = kept.len();
            let place = *known.entry(column).or_insert(fresh);
            if place == fresh {
                kept.push(class);
            }
            columns.push(place);
        }
        let columns = self.columns.iter().map(|column| columns[*column]).collect();
        let mut next = Vec::new();
        for state in 0..states {
            next.extend(kept.iter().map(|class| self.next[state * self.classes + class]));
        }
        Self { classes: kept.len(), columns, next, ..self }
    }

    /// What each state says.
    fn says(&self) -> Vec<u8> {
        let mut alive: Vec<bool> = self.flags.iter().map(|flags| *flags != 0).collect();
        // Backwards from what accepts, until nothing is added. States mostly lead to later ones.
        loop {
            let before = alive.clone();
            for (state, row) in self.next.chunks(self.classes).enumerate().rev() {
                alive[state] = alive[state] || row.iter().any(|to| alive[*to]);
            }
            if alive == before {
                break;
            }
        }
        let says = |state: usize| match self.flags[state] {
            0 if !alive[state] => DEAD,
            0 if self.idle[state] => IDLE,
            flags => flags,
        };
        (0..self.flags.len()).map(says).collect()
    }

    fn encode(
        &self,
        classes: &Classes,
        folded: bool,
        literal: Literal,
    ) -> Result<Automaton, (String, String)> {
        let states = self.flags.len();
        if states > MAX_STATES as usize || states * self.classes > MAX_TRANSITIONS as usize {
            return Err(explodes(&format!("has {states} states for {} classes", self.classes)));
        }
        let class_of = |unit: u16| {
            let above = classes.ranges.partition_point(|(first, _)| *first <= unit);
            self.columns[classes.ranges[above - 1].1]
        };
        let mut tables: Vec<u8> = (0..0x80).map(|unit| class_of(unit) as u8).collect();
        let mut ranges = 0;
        let mut last = None;
        for first in classes.ranges.iter().map(|range| range.0).filter(|first| *first >= 0x80) {
            let class = class_of(first);
            if last != Some(class) {
                tables.extend(first.to_le_bytes());
                tables.extend((class as u16).to_le_bytes());
                ranges += 1;
                last = Some(class);
            }
        }
        if states <= usize::from(MAX_NARROW) {
            tables.extend(self.next.iter().map(|to| *to as u8));
        } else {
            tables.extend(self.next.iter().flat_map(|to| (*to as u16).to_le_bytes()));
        }
        tables.extend(self.says());
        tables.resize(tables.len().next_multiple_of(4), 0);
        Ok(Automaton {
            flags: if folded { FLAG_FOLDED } else { 0 },
            states: states as u16,
            classes: self.classes as u16,
            ranges,
            start: self.start as u16,
            middle: self.middle as u16,
            lead: literal.lead,
            tables,
            literal: literal.units,
        })
    }
}
