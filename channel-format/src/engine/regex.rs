//! Automata: a regular expression, or a pattern with wildcards, as a table over code units.
//!
//! # Format
//! The automata section: count u32, then a descriptor of 20 bytes an automaton {flags u16 (bit 0:
//! the text is folded), state count u16, class count u16, range count u16, start state u16, middle
//! state u16, lead u16, zero u16, offset of its tables from the section's start u32}, then their
//! tables, one behind the other without a gap:
//!
//! * the class of each unit below 0x80, 128 × u8;
//! * ranges of the units from 0x80 on, {first u16, class u16} each: rising, the first at 0x80, and
//!   each reaches to the next one's first, which has another class;
//! * the next state for each state and class: u8 if there are 256 states at most, else u16;
//! * what each state says, u8: 0 nothing; 1 the text is accepted whatever follows; 2 it is accepted
//!   if it ends here; 4 nothing of a match has been seen that what was read last may continue; 8 no
//!   text that goes on from here is accepted;
//! * zeros to a multiple of 4.
//!
//! A section of length 0 holds no automaton. A search is unanchored, since the automaton was built
//! so. It costs one step a unit of the text and ends early when it has accepted or cannot accept.
//!
//! Most patterns hold a literal: every text that is accepted holds it, at most `lead` units behind
//! where the match begins (0xffff: any number). Then a scan finds the literal's first and last place,
//! and the automaton runs from `lead` units before the first, and one more, for patterns that ask what
//! stands before them. There it is in the middle state, that behind units of which nothing is known.
//! It ends when it says 4 behind the last place: from there no match can begin. Where nothing stands
//! before, it runs from the text's beginning in the start state, as it does with any number as lead.

use super::Units;
use super::fold::fold;
use crate::frame::{at_least, at_most, equal};
use crate::limits::{MAX_AUTOMATA, MAX_CLASSES, MAX_STATES, MAX_TRANSITIONS};
use crate::reader::Reader;
use crate::refusal::{Code, Refusal};

/// Descriptor flag: units are folded before their class is looked up.
pub const FLAG_FOLDED: u16 = 1;
/// A state says: the text is accepted whatever follows.
pub const ACCEPT: u8 = 1;
/// A state says: the text is accepted if it ends here.
pub const ACCEPT_AT_END: u8 = 2;
/// A state says: no match has begun that may still end.
pub const IDLE: u8 = 4;
/// A state says: no text that goes on from here is accepted.
pub const DEAD: u8 = 8;
/// The lead of a pattern before whose literal any number of units may stand.
pub const ANY_LEAD: u16 = u16::MAX;
/// The most states whose numbers are written in one byte.
pub const MAX_NARROW: u16 = 256;
/// Length of a descriptor.
pub const DESCRIPTOR_LEN: usize = 20;

const COUNT_LEN: usize = 4;

/// How many automata a section holds.
pub fn count(section: &[u8]) -> u64 {
    section.first_chunk::<COUNT_LEN>().map_or(0, |bytes| u32::from_le_bytes(*bytes).into())
}

/// The next state for each state and class.
#[derive(Clone, Copy, Debug)]
enum Next<'a> {
    /// For [`MAX_NARROW`] states at most: half the bytes, and half the cache lines.
    Narrow(&'a [u8]),
    Wide(&'a [[u8; 2]]),
}

impl Next<'_> {
    #[inline(always)]
    fn state(self, entry: usize) -> Option<usize> {
        match self {
            Self::Narrow(states) => states.get(entry).map(|state| usize::from(*state)),
            Self::Wide(states) => {
                states.get(entry).map(|state| usize::from(u16::from_le_bytes(*state)))
            }
        }
    }
}

/// One automaton: views of its tables.
#[derive(Clone, Copy, Debug)]
pub struct Automaton<'a> {
    folded: bool,
    start: u16,
    middle: u16,
    lead: u16,
    classes: usize,
    ascii: &'a [u8; 128],
    ranges: &'a [[u8; 4]],
    next: Next<'a>,
    says: &'a [u8],
}

impl<'a> Automaton<'a> {
    /// The automaton with that index.
    #[inline]
    pub fn read(section: &'a [u8], index: u16) -> Option<Self> {
        let (descriptors, _) = section.get(COUNT_LEN..)?.as_chunks::<DESCRIPTOR_LEN>();
        if u64::from(index) >= count(section) {
            return None;
        }
        let shape = Shape::read(descriptors.get(usize::from(index))?);
        let tables = section.get(usize::try_from(shape.offset).ok()?..)?;
        let (ascii, rest) = tables.split_first_chunk::<128>()?;
        let (ranges, rest) = rest.as_chunks_checked(usize::from(shape.ranges))?;
        let (states, classes) = (usize::from(shape.states), usize::from(shape.classes));
        let entries = states.checked_mul(classes)?;
        let (next, rest) = if shape.is_narrow() {
            let (next, rest) = rest.split_at_checked(entries)?;
            (Next::Narrow(next), rest)
        } else {
            let (next, rest) = rest.as_chunks_checked(entries)?;
            (Next::Wide(next), rest)
        };
        Some(Self {
            folded: shape.flags & FLAG_FOLDED != 0,
            start: shape.start,
            middle: shape.middle,
            lead: shape.lead,
            classes,
            ascii,
            ranges,
            next,
            says: rest.get(..states)?,
        })
    }

    /// True if the automaton accepts the text; looks at all of it. `None` if its tables are not
    /// sound.
    #[inline]
    pub fn search<T: Units>(&self, text: T, steps: &mut u64) -> Option<bool> {
        self.run(text, 0, self.start, usize::MAX, steps)
    }

    /// [`Self::search`] for a text that holds the pattern's literal at `first`, at `last`, and
    /// nowhere before or behind them.
    #[inline]
    pub fn search_around<T: Units>(
        &self,
        text: T,
        first: u16,
        last: u16,
        steps: &mut u64,
    ) -> Option<bool> {
        let begin = first.saturating_sub(self.lead);
        // The unit before is read too: some patterns ask what stands before them.
        let (from, state) = match begin.checked_sub(1) {
            Some(before) if self.lead != ANY_LEAD => (before, self.middle),
            _ => (0, self.start),
        };
        self.run(text, from.into(), state, last.into(), steps)
    }

    /// Runs from a place in a state; once past `last`, no match can begin.
    #[inline]
    fn run<T: Units>(
        &self,
        text: T,
        from: usize,
        state: u16,
        last: usize,
        steps: &mut u64,
    ) -> Option<bool> {
        let mut state = usize::from(state);
        let mut place = from;
        for unit in text.units_from(from) {
            match *self.says.get(state)? {
                ACCEPT => return Some(true),
                DEAD => return Some(false),
                IDLE if place > last => return Some(false),
                _ => {}
            }
            *steps = steps.saturating_add(1);
            let unit = if self.folded { fold(unit) } else { unit };
            let entry = state.checked_mul(self.classes)?.checked_add(self.class(unit)?)?;
            state = self.next.state(entry)?;
            place = place.wrapping_add(1);
        }
        Some(matches!(*self.says.get(state)?, ACCEPT | ACCEPT_AT_END))
    }

    #[inline]
    fn class(&self, unit: u16) -> Option<usize> {
        if let Some(class) = self.ascii.get(usize::from(unit)) {
            return Some(usize::from(*class));
        }
        let above = self.ranges.partition_point(|range| first_of(range) <= unit);
        let [_, _, low, high] = self.ranges.get(above.checked_sub(1)?)?;
        Some(usize::from(u16::from_le_bytes([*low, *high])))
    }
}

/// Splits off a number of fixed-size chunks.
trait ChunksChecked {
    fn as_chunks_checked<const N: usize>(&self, count: usize) -> Option<(&[[u8; N]], &[u8])>;
}

impl ChunksChecked for [u8] {
    #[inline]
    fn as_chunks_checked<const N: usize>(&self, count: usize) -> Option<(&[[u8; N]], &[u8])> {
        let (taken, rest) = self.split_at_checked(count.checked_mul(N)?)?;
        Some((taken.as_chunks::<N>().0, rest))
    }
}

/// A descriptor.
struct Shape {
    flags: u16,
    states: u16,
    classes: u16,
    ranges: u16,
    start: u16,
    middle: u16,
    lead: u16,
    zero: u16,
    offset: u32,
}

impl Shape {
    #[inline]
    fn read(record: &[u8; DESCRIPTOR_LEN]) -> Self {
        let [f0, f1, s0, s1, c0, c1, r0, r1, b0, b1, m0, m1, l0, l1, z0, z1, offset @ ..] = *record;
        Self {
            flags: u16::from_le_bytes([f0, f1]),
            states: u16::from_le_bytes([s0, s1]),
            classes: u16::from_le_bytes([c0, c1]),
            ranges: u16::from_le_bytes([r0, r1]),
            start: u16::from_le_bytes([b0, b1]),
            middle: u16::from_le_bytes([m0, m1]),
            lead: u16::from_le_bytes([l0, l1]),
            zero: u16::from_le_bytes([z0, z1]),
            offset: u32::from_le_bytes(offset),
        }
    }

    /// Whether states are written in one byte.
    const fn is_narrow(&self) -> bool {
        self.states <= MAX_NARROW
    }
}

/// Checks the whole section, which lies at `offset` of the file.
pub(crate) fn validate(section: &[u8], offset: u32) -> Result<(), Refusal> {
    if section.is_empty() {
        return Ok(());
    }
    let mut reader = Reader::new(section, offset);
    let count = reader.u32()?;
    at_most(Code::TooMany, offset, MAX_AUTOMATA.into(), count.into())?;
    // No automaton is written as no section.
    at_least(Code::SectionSize, offset, 1, count.into())?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut descriptors = reader.sub(count.saturating_mul(DESCRIPTOR_LEN))?;
    while !descriptors.is_empty() {
        let at = descriptors.offset();
        let shape = Shape::read(descriptors.array()?);
        equal(
            Code::OutOfOrder,
            at,
            reader.offset().saturating_sub(offset).into(),
            shape.offset.into(),
        )?;
        validate_shape(&shape, at)?;
        validate_tables(&shape, &mut reader)?;
    }
    reader.finish()
}

fn validate_shape(shape: &Shape, at: u32) -> Result<(), Refusal> {
    equal(Code::UnknownFlags, at, 0, u64::from(shape.flags & !FLAG_FOLDED))?;
    equal(Code::ReservedNotZero, at, 0, shape.zero.into())?;
    if shape.states == 0 || u32::from(shape.states) > MAX_STATES {
        return Err(Refusal::new(Code::StateTable, at, MAX_STATES.into(), shape.states.into()));
    }
    if shape.classes == 0 || u32::from(shape.classes) > MAX_CLASSES {
        return Err(Refusal::new(Code::UnitClasses, at, MAX_CLASSES.into(), shape.classes.into()));
    }
    let greatest = shape.start.max(shape.middle);
    if greatest >= shape.states {
        return Err(Refusal::new(Code::StateTable, at, shape.states.into(), greatest.into()));
    }
    let transitions = u32::from(shape.states).saturating_mul(shape.classes.into());
    at_most(Code::TooMany, at, MAX_TRANSITIONS.into(), transitions.into())
}

fn validate_tables(shape: &Shape, reader: &mut Reader<'_>) -> Result<(), Refusal> {
    let start = reader.offset();
    let greatest =
        reader.array::<128>()?.iter().fold(0, |greatest: u8, class| greatest.max(*class));
    if u16::from(greatest) >= shape.classes {
        return Err(Refusal::new(Code::UnitClasses, start, shape.classes.into(), greatest.into()));
    }
    validate_ranges(shape, reader)?;

    // The greatest of all is taken first, which the optimiser does many at a time; only a refusal
    // looks for the place.
    let at = reader.offset();
    let (states, classes) = (usize::from(shape.states), usize::from(shape.classes));
    let entries = states.saturating_mul(classes);
    let wrong = |place: Option<usize>, width: u32, found: u16| {
        let place = place.and_then(|place| u32::try_from(place).ok()).unwrap_or(0);
        let at = at.saturating_add(place.saturating_mul(width));
        Refusal::new(Code::StateTable, at, shape.states.into(), found.into())
    };
    if shape.is_narrow() {
        let next = reader.take(entries)?;
        let greatest = next.iter().fold(0, |greatest: u8, to| greatest.max(*to));
        if u16::from(greatest) >= shape.states {
            let place = next.iter().position(|to| u16::from(*to) >= shape.states);
            return Err(wrong(place, 1, greatest.into()));
        }
    } else {
        let next = reader.take(entries.saturating_mul(2))?.as_chunks::<2>().0;
        let states = next.iter().map(|to| u16::from_le_bytes(*to));
        let greatest = states.clone().fold(0, u16::max);
        if greatest >= shape.states {
            return Err(wrong(states.clone().position(|to| to >= shape.states), 2, greatest));
        }
    }

    let at = reader.offset();
    let says = reader.take(states)?;
    let wrong = says.iter().position(|says| !matches!(*says, 0 | 1 | 2 | 4 | 8));
    if let Some(place) = wrong {
        let found = says.get(place).copied().unwrap_or(0);
        let at = at.saturating_add(u32::try_from(place).unwrap_or(u32::MAX));
        return Err(Refusal::new(Code::UnknownFlags, at, DEAD.into(), found.into()));
    }
    let length = reader.offset().wrapping_sub(start);
    let padding = length.wrapping_neg() & 3;
    reader.zeros(usize::try_from(padding).unwrap_or(0))
}

fn validate_ranges(shape: &Shape, reader: &mut Reader<'_>) -> Result<(), Refusal> {
    let at = reader.offset();
    let ranges = reader.take(usize::from(shape.ranges).saturating_mul(4))?.as_chunks::<4>().0;
    let Some(first) = ranges.first() else {
        return Err(Refusal::new(Code::UnitClasses, at, 1, 0));
    };
    equal(Code::UnitClasses, at, 0x80, first_of(first).into())?;
    let mut at = at;
    let mut before = 0;
    let mut class_before = None;
    for range in ranges {
        let first = first_of(range);
        let [_, _, low, high] = *range;
        let class = u16::from_le_bytes([low, high]);
        let same = class_before == Some(class);
        if first <= before || class >= shape.classes || same {
            return Err(Refusal::new(Code::UnitClasses, at, shape.classes.into(), class.into()));
        }
        before = first;
        class_before = Some(class);
        at = at.saturating_add(4);
    }
    Ok(())
}

fn first_of(range: &[u8; 4]) -> u16 {
    let [low, high, ..] = *range;
    u16::from_le_bytes([low, high])
}
