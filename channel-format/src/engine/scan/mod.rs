//! Scans: one automaton a field over the literals of many criteria, which says in one pass over a
//! text which of them may occur in it, and where.
//!
//! It finds *keys*: a literal's key is as much of its beginning as tells it from the others. Where a
//! key is found, what follows is compared. So the tables do not grow with the literals' lengths.
//!
//! It is the automaton of Aho and Corasick over *classes* of folded units. Its states lie in a
//! double array: a state has a *base*, and the state behind it for a class lies at the slot
//! `base XOR class`, if that slot is labelled with the class. Where there is none, the search goes
//! on from what the last two units alone lead to, which a table over pairs of classes says; only a
//! state whose text ends with a longer beginning of a key has a link to follow first. So a text
//! that resembles no literal costs two loads a unit, whatever the number of literals.
//!
//! # Format
//! The scans section: count u32, then a descriptor of 24 bytes a scan, then their tables, one behind
//! the other without a gap. Descriptors rise by field, then by purpose:
//!
//! | offset | size | descriptor |
//! |---|---|---|
//! | 0 | 1 | field |
//! | 1 | 1 | purpose: 1 cover, 2 filter, as in its criteria |
//! | 2 | 2 | zero |
//! | 4 | 2 | number of classes C, at most 250 |
//! | 6 | 2 | number of units beyond ASCII R |
//! | 8 | 4 | number of slots S |
//! | 12 | 4 | number of groups G, not 0 |
//! | 16 | 4 | number of hits H |
//! | 20 | 4 | offset of the tables from the section's start |
//!
//! | size | tables |
//! |---|---|
//! | 128 | class of each unit below 0x80, u8; small letters have their capital's |
//! | 4 R | folded units from 0x80 on that literals hold, rising: {unit u16, class u16} |
//! | 4 C C | pairs: for the class before and the class, the state they lead to |
//! | 4 S | slots |
//! | 16 G | groups: {first hit u24, flags u8, suffix u32, cost u32, length u16, key u16} |
//! | 4 H | hits: operator u8, 0x80 more if the criterion is cased, and criterion u24 |
//!
//! Class 0 is that of every unit that no key holds; the others are numbered as their units rise.
//! A text's U+017F counts as S and its U+212A as K: regular expressions that ignore case take them
//! for those letters. Where a text holds one, each literal found is compared once more.
//!
//! A state is a u32: label in bits 0 to 7, bit 8 *out*, bit 9 *link*, bit 10 *short*, bit 11
//! *anywhere*, base in bits 12 to 31. *Short* states are those of no more than one unit; those of one
//! or two units are only in the table of pairs, with label 0. The root is `short` alone. Slots: an
//! empty one is 0xff; that of a state's longest suffix that is itself a state of two units or more
//! has label C + 1 and else that state's bits, and is there if the state has three units or more and
//! bit *link*; that of its outputs has label C and the number of a group in bits 8 to 31, and is
//! there if the state has bit *out*. No two states share a base, and no other slot is taken. The
//! first slots, as many as the power of two that holds C + 2 labels, are empty, and S is a multiple
//! of that.
//!
//! A group is a literal, as its criteria have it when folded, of `length` units, the first `key` of
//! which are its key; only an empty literal has an empty key. Groups are in the order of their keys,
//! no two of which are the same. `suffix` is the group whose key is the longest proper suffix of its own,
//! if that is not empty, or 0xffffffff.
//! `cost` is that of the suffix, and for each hit of its own one more than its length. Flag bit 0
//! *anywhere*: a hit of it or of its suffix may hold wherever its key ends, which those of
//! `equals`, `startswith` and `endswith` do not, but for one of `endswith` whose literal is longer than
//! its key. A state has that bit if its group has. Hits of a
//! group rise.

mod groups;
#[cfg(test)]
mod models;
mod validate;

use super::fold::fold;
use super::{LeUnits, Units};
use crate::limits::{MAX_LITERAL_UNITS, MAX_TEXT_UNITS};
use crate::schema::Field;

pub use groups::{CASED, FLAG_ANYWHERE, GROUP_LEN, Group, Hit, NO_GROUP};
pub use validate::WALK_COST;
pub(crate) use validate::validate;

/// Length of a descriptor.
pub const DESCRIPTOR_LEN: usize = 24;
/// The class of every unit that no literal holds.
pub const OTHER: u8 = 0;
/// An empty slot.
pub const EMPTY: u32 = 0xff;
/// The most classes that a scan may have: labels of slots are bytes, and three of them are taken.
pub const MAX_SCAN_CLASSES: u16 = 250;

/// State bit: literals end here.
pub const OUT: u32 = 1 << 8;
/// State bit: there is a link to follow before the table of pairs.
pub const LINK: u32 = 1 << 9;
/// State bit: the state is that of no more than one unit.
pub const SHORT: u32 = 1 << 10;
/// The state before any unit.
pub const ROOT: u32 = SHORT;
/// State bit: one of the literals that end here counts wherever it stands.
pub const ANYWHERE: u32 = 1 << 11;
/// Where a state's base lies in its number.
pub const BASE_SHIFT: u32 = 12;
/// The most slots that a scan may have.
pub const MAX_SLOTS: u32 = 1 << (32 - BASE_SHIFT);

/// Units that regular expressions take for an ASCII letter when they ignore case, though they do
/// not fold to it: with that letter.
pub const ODD_UNITS: [(u16, u16); 2] = [(0x017f, 0x53), (0x212a, 0x4b)];

/// Units at a text's beginning whose states are in the table of pairs.
const EARLY: usize = 2;

/// Where the tables of a scan lie, and how large they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TablePlace {
    /// Start of the tables within the section.
    pub(crate) start: u32,
    pub(crate) classes: u16,
    pub(crate) others: u16,
    pub(crate) slots: u32,
    pub(crate) groups: u32,
    pub(crate) hits: u32,
    /// The most steps that one unit of a text may cost.
    pub(crate) unit_cost: u64,
}

/// Fields of text, in order: those that may have scans.
pub const TEXT_FIELDS: [Field; 4] =
    [Field::PipeName, Field::ImagePath, Field::ImageName, Field::ParentImage];

/// The scans of a file, by field.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scans {
    /// See [`super::criterion::Search::Cover`].
    pub(crate) covers: [Option<TablePlace>; TEXT_FIELDS.len()],
    /// See [`super::criterion::Search::Filter`].
    pub(crate) filters: [Option<TablePlace>; TEXT_FIELDS.len()],
}

/// The tables of a scan.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    classes: usize,
    ascii: &'a [u8; 128],
    others: &'a [[u8; 4]],
    pairs: &'a [[u8; 4]],
    slots: &'a [[u8; 4]],
    groups: &'a [[u8; GROUP_LEN]],
    hits: &'a [[u8; 4]],
}

impl<'a> Scan<'a> {
    /// The scan at a place of the section.
    #[inline]
    pub(crate) fn at(section: &'a [u8], place: &TablePlace) -> Option<Self> {
        let tables = section.get(usize::try_from(place.start).ok()?..)?;
        let (ascii, rest) = tables.split_first_chunk()?;
        let classes = usize::from(place.classes);
        let (others, rest) = chunks(rest, place.others.into())?;
        let (pairs, rest) =
            chunks(rest, u32::from(place.classes).checked_mul(place.classes.into())?)?;
        let (slots, rest) = chunks(rest, place.slots)?;
        let (groups, rest) = chunks(rest, place.groups)?;
        let (hits, _) = chunks(rest, place.hits)?;
        Some(Self { classes, ascii, others, pairs, slots, groups, hits })
    }

    /// The class of a unit.
    #[inline(always)]
    pub fn class(&self, unit: u16) -> u8 {
        match self.ascii.get(usize::from(unit)) {
            Some(class) => *class,
            None => self.class_beyond_ascii(unit),
        }
    }

    #[cold]
    #[inline(never)]
    fn class_beyond_ascii(&self, unit: u16) -> u8 {
        let unit = folded_as_scanned(unit);
        let class = match self.ascii.get(usize::from(unit)) {
            Some(class) => Some(*class),
            None => self.class_of_other(unit),
        };
        class.unwrap_or(OTHER)
    }

    fn class_of_other(&self, unit: u16) -> Option<u8> {
        let first = self.others.partition_point(|entry| {
            let [low, high, ..] = *entry;
            u16::from_le_bytes([low, high]) < unit
        });
        let [low, high, class, _] = *self.others.get(first)?;
        (u16::from_le_bytes([low, high]) == unit).then_some(class)
    }

    /// The state behind `state`, whose last unit had the class `before`, for a class. None if that
    /// takes more than `links` links, or the tables are not sound; else the links that are left.
    fn step(&self, state: u32, before: u8, class: u8, links: &mut u32) -> Option<u32> {
        let slot = self.slot(state, class)?;
        if label(slot) == class {
            return Some(slot);
        }
        self.follow(state, before, class, links)
    }

    /// [`Self::step`] where the state itself has nothing for the class.
    #[inline(always)]
    fn fall_back(&self, state: u32, before: u8, class: u8) -> Option<u32> {
        if state & LINK == 0 {
            self.pair(before, class)
        } else {
            // A link leads to a shorter text, so this ends by itself.
            self.follow(state, before, class, &mut MAX_LITERAL_UNITS.clone())
        }
    }

    /// Follows links until one state has something for the class.
    #[inline(never)]
    fn follow(&self, state: u32, before: u8, class: u8, links: &mut u32) -> Option<u32> {
        let mut at = state;
        while at & LINK != 0 {
            *links = links.checked_sub(1)?;
            at = self.link(at)?;
            let slot = self.slot(at, class)?;
            if label(slot) == class {
                return Some(slot);
            }
        }
        self.pair(before, class)
    }

    #[inline(always)]
    fn slot(&self, state: u32, label: u8) -> Option<u32> {
        let base = usize::try_from(state.wrapping_shr(BASE_SHIFT)).ok()?;
        Some(u32::from_le_bytes(*self.slots.get(base ^ usize::from(label))?))
    }

    #[inline(always)]
    fn pair(&self, before: u8, class: u8) -> Option<u32> {
        let row = usize::from(before).wrapping_mul(self.classes);
        let pair = self.pairs.get(row.wrapping_add(usize::from(class)))?;
        Some(u32::from_le_bytes(*pair))
    }

    fn link(&self, state: u32) -> Option<u32> {
        self.labelled(state, 1)
    }

    /// The slot of a state with the label `beyond` behind those of the classes.
    fn labelled(&self, state: u32, beyond: usize) -> Option<u32> {
        let wanted = u8::try_from(self.classes.wrapping_add(beyond)).ok()?;
        let slot = self.slot(state, wanted)?;
        (label(slot) == wanted).then_some(slot)
    }

    /// The group that ends at a state with bit [`OUT`].
    #[inline]
    pub fn group_at(&self, state: u32) -> Option<u32> {
        Some(self.labelled(state, 0)?.wrapping_shr(8))
    }

    /// The group of the empty literal, if there is one.
    #[inline]
    pub fn empty_group(&self) -> Option<u32> {
        let first = Group::read(self.groups.first()?);
        (first.length == 0).then_some(0)
    }

    /// A group and its hits.
    #[inline]
    pub fn group(&self, index: u32) -> Option<(Group, &'a [[u8; 4]])> {
        let index = usize::try_from(index).ok()?;
        let group = Group::read(self.groups.get(index)?);
        let end = match self.groups.get(index.wrapping_add(1)) {
            Some(next) => usize::try_from(Group::read(next).first_hit).ok()?,
            None => self.hits.len(),
        };
        Some((group, self.hits.get(usize::try_from(group.first_hit).ok()?..end)?))
    }
}

/// A text on its way through a scan.
#[derive(Clone, Copy, Debug)]
pub struct Walk<'s, 'a, T> {
    scan: &'s Scan<'a>,
    text: T,
    at: Place,
    /// Where a literal was last said to end.
    said: usize,
}

/// Where a walk is.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Units taken.
    taken: usize,
    /// The state they led to.
    state: u32,
    /// The class of the last one.
    before: u8,
    /// State bits that matter: [`OUT`] as long as the state's text is all that was taken, so that a
    /// literal that must stand at the beginning may end there; then [`ANYWHERE`] alone.
    wanted: u32,
}

impl Place {
    /// Takes a unit that is neither the first nor the second. `None` if the tables are not sound.
    #[inline(always)]
    fn take(&mut self, scan: &Scan<'_>, unit: u16) -> Option<()> {
        let class = scan.class(unit);
        let slot = scan.slot(self.state, class)?;
        if label(slot) == class {
            self.state = slot;
        } else {
            self.state = scan.fall_back(self.state, self.before, class)?;
            self.wanted = ANYWHERE;
        }
        self.before = class;
        self.taken = self.taken.wrapping_add(1);
        Some(())
    }

    /// Takes the first or the second unit: their states are those of pairs.
    #[inline(always)]
    fn take_early(&mut self, scan: &Scan<'_>, unit: u16) -> Option<()> {
        let class = scan.class(unit);
        self.state = scan.pair(self.before, class)?;
        if self.taken == 1 && self.state & SHORT != 0 {
            self.wanted = ANYWHERE;
        }
        self.before = class;
        self.taken = self.taken.wrapping_add(1);
        Some(())
    }

    #[inline(always)]
    const fn has_wanted(&self) -> bool {
        self.state & self.wanted != 0
    }
}

impl<'s, 'a, T: Units> Walk<'s, 'a, T> {
    /// Before the first unit of a text.
    #[inline]
    pub fn new(scan: &'s Scan<'a>, text: T) -> Self {
        let at = Place { taken: 0, state: ROOT, before: OTHER, wanted: OUT };
        Self { scan, text, at, said: 0 }
    }

    /// Goes on to the next place where a literal ends that may count there; false if there is none.
    /// `None` if the tables are not sound.
    #[inline]
    pub fn advance(&mut self) -> Option<bool> {
        if self.at.taken < EARLY && self.advance_early()? {
            return Some(true);
        }
        let mut at = self.at;
        for unit in self.text.units_from(at.taken) {
            at.take(self.scan, unit)?;
            if at.has_wanted() {
                break;
            }
        }
        Some(self.arrive(at))
    }

    /// Takes what is left of the first two units, up to a place where a literal ends.
    #[inline]
    fn advance_early(&mut self) -> Option<bool> {
        let mut at = self.at;
        while let (true, Some(unit)) = (at.taken < EARLY, self.text.unit(at.taken)) {
            at.take_early(self.scan, unit)?;
            if at.has_wanted() {
                break;
            }
        }
        Some(self.arrive(at))
    }

    /// Whether a literal ends here that has not been said to.
    #[inline]
    fn arrive(&mut self, at: Place) -> bool {
        // What must stand at the end may do so there.
        let ends = at.has_wanted() || at.state & OUT != 0 && at.taken == self.text.count();
        let new = ends && at.taken != self.said;
        self.at = at;
        if new {
            self.said = at.taken;
        }
        new
    }

    /// Goes through the hits that hold where the walk is, as far as their place says, until
    /// `on_hit` is content: it is told where the literal begins, and whether its units are known to
    /// be those of the text. Says whether it was. `None` if the tables are not sound.
    pub(crate) fn hits(
        &self,
        mut on_hit: impl FnMut(Hit, usize, bool) -> Option<bool>,
    ) -> Option<bool> {
        let mut next = if self.at.taken == 0 { 0 } else { self.scan.group_at(self.at.state)? };
        // Each suffix is shorter than the one before.
        for _ in 0..=MAX_LITERAL_UNITS {
            let (group, hits) = self.scan.group(next)?;
            let start = self.at.taken.checked_sub(group.key.into())?;
            let length = usize::from(group.length);
            if let Some(behind) = self.text.count().checked_sub(start.checked_add(length)?) {
                for hit in hits {
                    let hit = Hit::read(*hit);
                    if !hit.is_placed(start, behind)? {
                        continue;
                    }
                    // Some units beyond ASCII go through a scan as letters that they do not fold to.
                    let is_ascii = || {
                        let mut units = self.text.units_from(start).take(length);
                        hit.is_regex() || units.all(|unit| unit < 0x80)
                    };
                    let known = group.key == group.length && !hit.is_cased() && is_ascii();
                    if on_hit(hit, start, known)? {
                        return Some(true);
                    }
                }
            }
            match group.suffix {
                NO_GROUP => return Some(false),
                suffix => next = suffix,
            }
        }
        None
    }

    /// Units taken.
    pub const fn taken(&self) -> usize {
        self.at.taken
    }

    /// The text.
    pub const fn text(&self) -> T {
        self.text
    }

    /// The scan.
    pub const fn scan(&self) -> &'s Scan<'a> {
        self.scan
    }
}

/// A state's label.
#[inline(always)]
const fn label(state: u32) -> u8 {
    let [label, ..] = state.to_le_bytes();
    label
}

/// The first `count` chunks of some bytes, and the rest.
#[inline]
fn chunks<const N: usize>(bytes: &[u8], count: u32) -> Option<(&[[u8; N]], &[u8])> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(count).ok()?.checked_mul(N)?)?;
    Some((taken.as_chunks().0, rest))
}

/// The place of a field among [`TEXT_FIELDS`].
#[inline]
pub(crate) const fn text_index(field: Field) -> Option<usize> {
    match field {
        Field::PipeName => Some(0),
        Field::ImagePath => Some(1),
        Field::ImageName => Some(2),
        Field::ParentImage => Some(3),
        _ => None,
    }
}

/// The most steps of one pass over a text.
pub(crate) fn pass_cost(place: &TablePlace, units: u64) -> u64 {
    place.unit_cost.saturating_mul(units.min(MAX_TEXT_UNITS.into()).saturating_add(1))
}

/// The unit that a scan takes a text's unit for.
pub(super) fn folded_as_scanned(unit: u16) -> u16 {
    let odd = ODD_UNITS.iter().find(|(odd, _)| *odd == unit);
    odd.map_or_else(|| fold(unit), |(_, letter)| *letter)
}

/// The folded units of a literal.
fn folded(literal: LeUnits<'_>) -> impl Iterator<Item = u16> {
    literal.units_from(0).map(fold)
}
