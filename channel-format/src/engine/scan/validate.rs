//! The proof that a scan is the automaton of its criteria's keys: no more and no less.
//!
//! Groups stand in the order of their keys, so what a key shares with the one before it is
//! a prefix, and every state of the automaton is new to exactly one key. Each new state is
//! checked once, with its link, which a second walk over the same key finds, and its outputs.
//! In the end the bases that the slots point to must be those of the states, each of them once: so no
//! two states share one, by which one would have the other's slots too, and no slot belongs to none.
//! That is shown by two sums with a key that is the file's digest. And as many slots must be taken as
//! were checked: then there is no other. Linear in the literals' units: no more links are followed than units taken.

use super::{
    ANYWHERE, BASE_SHIFT, CASED, DESCRIPTOR_LEN, EMPTY, FLAG_ANYWHERE, GROUP_LEN, Group, Hit, LINK,
    MAX_SCAN_CLASSES, MAX_SLOTS, NO_GROUP, ODD_UNITS, OTHER, OUT, ROOT, SHORT, Scan, Scans,
    TablePlace, folded, label, text_index,
};
use crate::engine::criterion::{Criterion, Search};
use crate::engine::fold::fold;
use crate::engine::{LeUnits, Units, literals};
use crate::frame::{at_least, at_most, equal};
use crate::limits::MAX_FILE;
use crate::reader::Reader;
use crate::refusal::{Code, Refusal};
use crate::ruleset::Tables;
use crate::schema::Field;

/// Steps that taking one unit may cost, without what is found there: the unit, and a link for it.
pub const WALK_COST: u64 = 2;

const COUNT_LEN: u32 = 4;
/// Labels are bytes.
const LABELS: usize = 256;

/// Checks the whole section, which lies at `offset` of the file; `searched` is how many criteria
/// have to be found in it. Returns where its scans lie.
pub(crate) fn validate(
    tables: &Tables<'_>,
    offset: u32,
    searched: u64,
    key: u64,
) -> Result<Scans, Refusal> {
    let mut scans = Scans::default();
    let mut found = 0_u64;
    if !tables.scans.is_empty() {
        let mut reader = Reader::new(tables.scans, offset);
        let count = reader.u32()?;
        at_most(Code::TooMany, offset, 8, count.into())?;
        // No scan is written as no section.
        if count == 0 {
            return Err(Refusal::new(Code::SectionSize, offset, COUNT_LEN.into(), 0));
        }
        let length = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(DESCRIPTOR_LEN);
        let mut descriptors = reader.sub(length)?;
        let mut before = (0, 0);
        while !descriptors.is_empty() {
            let at = descriptors.offset();
            let shape = Shape::parse(&mut descriptors)?;
            if (shape.field.number(), shape.purpose.number()) <= before {
                return Err(Refusal::new(Code::OutOfOrder, at, before.0, shape.field.number()));
            }
            before = (shape.field.number(), shape.purpose.number());
            let start = reader.offset().saturating_sub(offset);
            equal(Code::OutOfOrder, at, start.into(), shape.start.into())?;
            let place = Proof::check(tables, &shape, at, &mut reader, key, &mut found)?;
            scans.keep(shape.field, shape.purpose, place);
        }
        reader.finish()?;
    }
    equal(Code::ScanTable, offset, searched, found)?;
    Ok(scans)
}

impl Scans {
    fn keep(&mut self, field: Field, purpose: Search, place: TablePlace) {
        let places = if purpose == Search::Cover { &mut self.covers } else { &mut self.filters };
        if let Some(slot) = text_index(field).and_then(|index| places.get_mut(index)) {
            *slot = Some(place);
        }
    }
}

/// A descriptor.
struct Shape {
    field: Field,
    purpose: Search,
    classes: u16,
    others: u16,
    slots: u32,
    groups: u32,
    hits: u32,
    start: u32,
}

impl Shape {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let at = reader.offset();
        let number = reader.u8()?;
        let field = Field::from_number(number.into()).filter(|field| text_index(*field).is_some());
        let Some(field) = field else {
            return Err(Refusal::new(Code::OperatorForField, at, 0, number.into()));
        };
        let number = reader.u8()?;
        let purpose = Search::from_number(number).filter(|purpose| *purpose != Search::Direct);
        let Some(purpose) = purpose else {
            return Err(Refusal::new(Code::UnknownSearch, at, 2, number.into()));
        };
        reader.zeros(2)?;
        let shape = Self {
            field,
            purpose,
            classes: reader.u16()?,
            others: reader.u16()?,
            slots: reader.u32()?,
            groups: reader.u32()?,
            hits: reader.u32()?,
            start: reader.u32()?,
        };
        at_most(Code::UnitClasses, at, MAX_SCAN_CLASSES.into(), shape.classes.into())?;
        at_most(Code::TooMany, at, MAX_SLOTS.into(), shape.slots.into())?;
        // A base and all its labels then lie within the slots, or none of them does.
        let rest = shape.slots.checked_rem(shape.block()).unwrap_or(0);
        equal(Code::ScanTable, at, 0, rest.into())?;
        // No literal is written as no scan.
        at_least(Code::ScanTable, at, 1, shape.groups.into())?;
        at_most(Code::TooMany, at, MAX_FILE.into(), shape.groups.into())?;
        at_most(Code::TooMany, at, MAX_FILE.into(), shape.hits.into())?;
        Ok(shape)
    }

    /// How many slots share the bits above their labels.
    fn block(&self) -> u32 {
        u32::from(self.classes).saturating_add(2).next_power_of_two()
    }
}

/// A scan while it is checked.
struct Proof<'a, 't> {
    tables: &'t Tables<'a>,
    scan: Scan<'a>,
    field: Field,
    purpose: Search,
    /// Where the groups lie in the file: what is wrong is said to be there.
    at: u32,
    /// Pairs, slots, and states of one unit with outputs that have been accounted for.
    pairs: u64,
    slots: u64,
    single: u64,
    /// A sum over the states that have slots, each by its base.
    owners: u64,
    /// What the sums are made with: nobody who makes a file can choose it.
    key: u64,
    /// Classes that keys have units of.
    used: [bool; LABELS],
}

/// What a check of one key keeps of the way to its end.
#[derive(Clone, Copy)]
struct Step {
    /// The state of the key's units so far.
    state: u32,
    /// The state of their longest proper suffix that is one.
    link: u32,
    depth: u32,
    last: u8,
    /// Links that may still be followed: each leads to a shorter text, so no more than units taken.
    links: u32,
}

impl<'a, 't> Proof<'a, 't> {
    fn check(
        tables: &'t Tables<'a>,
        shape: &Shape,
        at: u32,
        reader: &mut Reader<'a>,
        key: u64,
        found: &mut u64,
    ) -> Result<TablePlace, Refusal> {
        let place = TablePlace {
            start: shape.start,
            classes: shape.classes,
            others: shape.others,
            slots: shape.slots,
            groups: shape.groups,
            hits: shape.hits,
            unit_cost: WALK_COST,
        };
        let classes_at = reader.offset();
        let lengths = [
            128,
            u64::from(shape.others).saturating_mul(4),
            u64::from(shape.classes).saturating_mul(shape.classes.into()).saturating_mul(4),
            u64::from(shape.slots).saturating_mul(4),
        ];
        let before = lengths.iter().fold(0_u64, |sum, length| sum.saturating_add(*length));
        let groups = u64::from(shape.groups).saturating_mul(16);
        let all =
            before.saturating_add(groups).saturating_add(u64::from(shape.hits).saturating_mul(4));
        reader.take(usize::try_from(all).unwrap_or(usize::MAX))?;
        let Some(scan) = Scan::at(tables.scans, &place) else {
            return Err(Refusal::new(Code::LengthOutOfRange, at, all, 0));
        };
        let groups_at = classes_at.saturating_add(u32::try_from(before).unwrap_or(u32::MAX));
        let mut proof = Proof {
            tables,
            scan,
            field: shape.field,
            purpose: shape.purpose,
            at: groups_at,
            pairs: 0,
            slots: 0,
            single: 0,
            owners: 0,
            key,
            used: [false; LABELS],
        };
        let first_slots = usize::try_from(shape.block()).unwrap_or(usize::MAX);
        proof.classes(classes_at, shape.classes)?;
        proof.empty_block(first_slots, classes_at)?;
        let (hits, dearest) = proof.groups()?;
        proof.totals(classes_at)?;
        equal(Code::ScanTable, at, shape.hits.into(), hits)?;
        *found = found.saturating_add(hits);
        Ok(TablePlace { unit_cost: WALK_COST.saturating_add(dearest), ..place })
    }

    /// Each class but the first is that of one folded unit, and they rise together.
    fn classes(&self, at: u32, count: u16) -> Result<(), Refusal> {
        let wrong = |at: u32, expected: u64, found: u64| {
            Err(Refusal::new(Code::UnitClasses, at, expected, found))
        };
        let mut next = 1_u16;
        for (unit, class) in (0_u16..).zip(self.scan.ascii) {
            let at = at.saturating_add(unit.into());
            let capital = fold(unit);
            if capital != unit {
                let class_of_capital = self.scan.class(capital);
                if *class != class_of_capital {
                    return wrong(at, class_of_capital.into(), (*class).into());
                }
            } else if *class != OTHER {
                if u16::from(*class) != next {
                    return wrong(at, next.into(), (*class).into());
                }
                next = next.saturating_add(1);
            }
        }
        let mut at = at.saturating_add(128);
        let mut before = 0x7f;
        for entry in self.scan.others {
            let [u0, u1, c0, c1] = *entry;
            let (unit, class) = (u16::from_le_bytes([u0, u1]), u16::from_le_bytes([c0, c1]));
            if unit <= before || fold(unit) != unit || is_odd(unit) || class != next {
                return wrong(at, next.into(), class.into());
            }
            (before, next) = (unit, next.saturating_add(1));
            at = at.saturating_add(4);
        }
        if next != count {
            return wrong(at, count.into(), next.into());
        }
        Ok(())
    }

    /// What the root and states without any behind them point to.
    fn empty_block(&self, length: usize, at: u32) -> Result<(), Refusal> {
        let Some(block) = self.scan.slots.get(..length) else {
            return Err(Refusal::new(Code::ScanTable, at, 0, 0));
        };
        let taken = block.iter().fold(0, |seen, slot| seen | (u32::from_le_bytes(*slot) ^ EMPTY));
        equal(Code::ScanTable, at, 0, taken.into())
    }

    /// Checks every group; returns the number of hits and the greatest cost of a group.
    fn groups(&mut self) -> Result<(u64, u64), Refusal> {
        let (mut hits, mut dearest) = (0_u64, 0_u64);
        let mut before: Option<LeUnits<'a>> = None;
        let mut index = 0_u32;
        for record in self.scan.groups {
            let group = Group::read(record);
            equal(Code::ScanTable, self.at, hits, group.first_hit.into())?;
            equal(Code::UnknownFlags, self.at, 0, u64::from(group.flags & !FLAG_ANYWHERE))?;
            at_most(Code::ScanTable, self.at, group.length.into(), group.key.into())?;
            at_least(Code::ScanTable, self.at, u64::from(group.length.min(1)), group.key.into())?;
            let Some((_, of_group)) = self.scan.group(index) else {
                return Err(self.wrong(hits, group.first_hit.into()));
            };
            let literal = self.hits(of_group, &group)?;
            let key = LeUnits(literal.0.get(..group.key.into()).unwrap_or(&[]));
            let count = u64::try_from(of_group.len()).unwrap_or(u64::MAX);
            hits = hits.saturating_add(count);
            let shared = match before {
                None => 0,
                Some(before) => self.shared(before, key)?,
            };
            let suffix = self.key(key, shared, index)?;
            equal(Code::ScanTable, self.at, suffix.into(), group.suffix.into())?;
            let (cost, flags) = self.of_suffix(&group)?;
            let own = count.saturating_mul(u64::from(group.length).saturating_add(1));
            let cost = cost.saturating_add(own);
            equal(Code::ScanTable, self.at, cost, group.cost.into())?;
            let longer = group.key < group.length;
            let own = of_group.iter().any(|hit| Hit::read(*hit).is_anywhere(longer));
            let flags = if own { FLAG_ANYWHERE } else { flags };
            equal(Code::ScanTable, self.at, flags.into(), group.flags.into())?;
            dearest = dearest.max(cost);
            before = Some(key);
            index = index.saturating_add(1);
            self.at = self.at.saturating_add(u32::try_from(GROUP_LEN).unwrap_or(0));
        }
        Ok((hits, dearest))
    }

    /// Checks the hits of a group, and returns their common literal.
    fn hits(&self, hits: &[[u8; 4]], group: &Group) -> Result<LeUnits<'a>, Refusal> {
        let mut common: Option<LeUnits<'a>> = None;
        let mut before = None;
        for record in hits {
            let hit = Hit::read(*record);
            let criterion = usize::try_from(hit.criterion).ok();
            let criterion = criterion.and_then(|index| self.tables.criteria.get(index));
            let Some(criterion) = criterion.and_then(Criterion::read) else {
                let count = u64::try_from(self.tables.criteria.len()).unwrap_or(u64::MAX);
                return Err(Refusal::new(
                    Code::IndexOutOfRange,
                    self.at,
                    count,
                    hit.criterion.into(),
                ));
            };
            let cased = if criterion.cased { CASED } else { 0 };
            let own = criterion.field == self.field
                && criterion.search == self.purpose
                && criterion.operator.number() | cased == hit.operator
                && criterion.length == group.length;
            let literal = literals::literal(self.tables, criterion.value, criterion.length);
            let (true, Some(literal)) = (own && before < Some(hit.criterion), literal) else {
                return Err(self.wrong(0, hit.criterion.into()));
            };
            let same = common.is_none_or(|common| folded(common).eq(folded(literal)));
            if !same || literal.units_from(0).any(is_odd) {
                return Err(self.wrong(1, hit.criterion.into()));
            }
            common = common.or(Some(literal));
            before = Some(hit.criterion);
        }
        common.ok_or_else(|| self.wrong(1, 0))
    }

    /// How many units two keys share at their beginnings; refuses if they are not in order.
    fn shared(&self, before: LeUnits<'_>, key: LeUnits<'_>) -> Result<usize, Refusal> {
        let mut shared = 0_usize;
        let mut left = folded(before);
        let mut right = folded(key);
        loop {
            match (left.next(), right.next()) {
                (Some(left), Some(right)) if left == right => shared = shared.saturating_add(1),
                (Some(left), Some(right)) if left < right => return Ok(shared),
                (None, Some(_)) => return Ok(shared),
                _ => return Err(Refusal::new(Code::OutOfOrder, self.at, 0, 0)),
            }
        }
    }

    /// Walks a key, checks the states behind its first `shared` units, and returns the group of
    /// its longest suffix that is a key.
    fn key(&mut self, key: LeUnits<'_>, shared: usize, index: u32) -> Result<u32, Refusal> {
        let length = key.count();
        let mut step = Step { state: ROOT, link: ROOT, depth: 0, last: OTHER, links: 0 };
        let mut suffix = NO_GROUP;
        let mut place = 0_usize;
        for unit in folded(key) {
            let class = self.scan.class(unit);
            place = place.saturating_add(1);
            if let Some(used) = self.used.get_mut(usize::from(class)) {
                *used = true;
            }
            step = self.next(step, class).ok_or_else(|| self.wrong(0, unit.into()))?;
            if place > shared {
                suffix = self.outputs_of(step.link)?;
                let ends = if place == length { index } else { suffix };
                self.new_state(&step, ends)?;
            }
        }
        Ok(suffix)
    }

    /// The state behind a class on a key's own way: not by a link.
    fn next(&self, step: Step, class: u8) -> Option<Step> {
        let depth = step.depth.saturating_add(1);
        let state = match depth {
            1 | 2 => self.scan.pair(step.last, class)?,
            _ => {
                let slot = self.scan.slot(step.state, class)?;
                (label(slot) == class && slot & SHORT == 0).then_some(slot)?
            }
        };
        // The first unit has no proper suffix but the empty text, before which nothing stands.
        let before = if depth == 2 { OTHER } else { step.last };
        let mut links = step.links;
        let link =
            if depth == 1 { ROOT } else { self.scan.step(step.link, before, class, &mut links)? };
        // A unit that no key holds has a class too, but no state.
        (class != OTHER).then_some(Step {
            state,
            link,
            depth,
            last: class,
            links: links.saturating_add(1),
        })
    }

    /// The group that ends at a state, if one does.
    fn outputs_of(&self, state: u32) -> Result<u32, Refusal> {
        if state & OUT == 0 {
            return Ok(NO_GROUP);
        }
        self.scan.group_at(state).ok_or_else(|| self.wrong(OUT.into(), state.into()))
    }

    /// Checks a state that no key before this one had; `ends` is the group that ends there.
    fn new_state(&mut self, step: &Step, ends: u32) -> Result<(), Refusal> {
        let Step { state, link, depth, .. } = *step;
        equal(Code::ScanTable, self.at, ends.into(), self.outputs_of(state)?.into())?;
        let out = state & OUT != 0;
        let flags = if out { self.group_record(ends)?.flags } else { 0 };
        if (flags & FLAG_ANYWHERE != 0) != (state & ANYWHERE != 0) {
            return Err(self.wrong(flags.into(), state.into()));
        }
        let short = state & SHORT != 0;
        let linked = depth > 2 && link & SHORT == 0;
        if short != (depth == 1) || linked != (state & LINK != 0) {
            return Err(self.wrong(depth.into(), state.into()));
        }
        if depth <= 2 && label(state) != 0 || depth == 1 && !out && state != ROOT {
            return Err(self.wrong(0, state.into()));
        }
        if linked {
            let found = self.scan.link(state).unwrap_or(EMPTY);
            equal(Code::ScanTable, self.at, (link >> 8).into(), (found >> 8).into())?;
        }
        // One of two units or more has a state behind it, or literals that end there.
        if depth > 1 || out {
            let base = state.wrapping_shr(BASE_SHIFT);
            self.owners = self.owners.wrapping_add(mixed(base.into(), self.key));
        }
        let taken = [depth > 2, linked, out];
        for _ in taken.into_iter().filter(|taken| *taken) {
            self.slots = self.slots.saturating_add(1);
        }
        match depth {
            1 if out => self.single = self.single.saturating_add(1),
            2 => self.pairs = self.pairs.saturating_add(1),
            _ => {}
        }
        Ok(())
    }

    /// Cost and flags of a group's suffix, whose key must be shorter, so that a chain of them ends.
    fn of_suffix(&self, group: &Group) -> Result<(u64, u8), Refusal> {
        if group.suffix == NO_GROUP {
            return Ok((0, 0));
        }
        let suffix = self.group_record(group.suffix)?;
        if suffix.key >= group.key {
            return Err(self.wrong(group.key.into(), suffix.key.into()));
        }
        Ok((suffix.cost.into(), suffix.flags))
    }

    fn group_record(&self, index: u32) -> Result<Group, Refusal> {
        let record = usize::try_from(index).ok().and_then(|index| self.scan.groups.get(index));
        record.map(Group::read).ok_or_else(|| self.wrong(0, index.into()))
    }

    /// What has been checked is all there is.
    fn totals(&self, at: u32) -> Result<(), Refusal> {
        let taken = self.scan.slots.iter().filter(|slot| u32::from_le_bytes(**slot) != EMPTY);
        let taken = u64::try_from(taken.count()).unwrap_or(u64::MAX);
        equal(Code::ScanTable, at, self.slots, taken)?;
        equal(Code::ScanTable, at, self.owners, self.bases())?;
        let used = self.used.iter().filter(|used| **used).count();
        if used.saturating_add(1) != self.scan.classes {
            let used = u64::try_from(used).unwrap_or(u64::MAX);
            return Err(Refusal::new(Code::UnitClasses, at, used.saturating_add(1), 0));
        }
        let (mut pairs, mut single) = (0_u64, 0_u64);
        let alone = self.scan.pairs.get(..self.scan.classes).unwrap_or(&[]);
        for state in alone {
            let state = u32::from_le_bytes(*state);
            if state & SHORT == 0 || label(state) != 0 || state & OUT == 0 && state != ROOT {
                return Err(Refusal::new(Code::ScanTable, at, ROOT.into(), state.into()));
            }
            single = single.saturating_add(u64::from(state & OUT != 0));
        }
        for row in self.scan.pairs.chunks(self.scan.classes.max(1)) {
            for (state, alone) in row.iter().zip(alone) {
                let pair = u32::from_le_bytes(*state) & SHORT == 0;
                if !pair && state != alone {
                    return Err(Refusal::new(Code::ScanTable, at, 0, 1));
                }
                pairs = pairs.saturating_add(pair.into());
            }
        }
        equal(Code::ScanTable, at, self.pairs, pairs)?;
        equal(Code::ScanTable, at, self.single, single)
    }

    /// The sum over the bases that the slots' places and labels point to, each once.
    fn bases(&self) -> u64 {
        let block = self.scan.classes.saturating_add(2).next_power_of_two();
        let mut bases = 0_u64;
        let mut start = 0_u64;
        for slots in self.scan.slots.chunks(block.max(1)) {
            // All labels at a base lie in one block, which has at most 256 slots.
            let mut seen = [false; 256];
            for (slot, place) in slots.iter().zip(0_u8..=u8::MAX) {
                let slot = u32::from_le_bytes(*slot);
                let within = place ^ label(slot);
                if slot != EMPTY
                    && let Some(seen) = seen.get_mut(usize::from(within))
                    && !core::mem::replace(seen, true)
                {
                    bases = bases.wrapping_add(mixed(start | u64::from(within), self.key));
                }
            }
            start = start.saturating_add(u64::try_from(block).unwrap_or(u64::MAX));
        }
        bases
    }

    fn wrong(&self, expected: u64, found: u64) -> Refusal {
        Refusal::new(Code::ScanTable, self.at, expected, found)
    }
}

/// A number that stands for a base in a sum: without the key nobody can say which other bases have
/// the same sum (the finishing step of SplitMix64).
fn mixed(base: u64, key: u64) -> u64 {
    let mut mixed = base ^ key;
    for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9_u64), (27, 0x94d0_49bb_1331_11eb)] {
        mixed = (mixed ^ mixed.wrapping_shr(shift)).wrapping_mul(factor);
    }
    mixed ^ mixed.wrapping_shr(31)
}

fn is_odd(unit: u16) -> bool {
    unit >= 0x80 && ODD_UNITS.iter().any(|(odd, _)| *odd == unit)
}

// A base reaches every slot, and a group's number fits beside a label.
const _: () = assert!(u32::MAX >> BASE_SHIFT == MAX_SLOTS - 1 && MAX_FILE <= 1 << 24);
