//! One event against a ruleset: what was found in its texts, which rules that points to, and
//! whether they hold.
//!
//! An event that meets no literal never comes here. All that is kept lies in arrays of fixed size,
//! on the stack of the caller. Where more criteria hold than there is room for, the others are compared
//! by themselves when a program asks: that costs more, and says the same.

use super::candidates::Candidates;
use super::criterion::{Criterion, Operator, Search};
use super::found::{Found, Outcome};
use super::kept::{Kept, MAX_KEPT, field_bit};
use super::scan::{Hit, Scan, Scans, TEXT_FIELDS, TablePlace, Walk, folded_as_scanned, text_index};
use super::{Event, Units, Value, literals, program, regex};
use crate::ruleset::{Layout, RuleRecord, Tables};
use crate::schema::Truth;

/// What is known of one event.
pub(crate) struct Judgement<'t, 'e, E> {
    layout: &'t Layout,
    file: &'t [u8],
    scans: &'t Scans,
    event: &'e E,
    found: Found,
    /// The rules that what was found points to, once [`Self::scan_covers`] has been asked for them.
    pub(crate) candidates: Candidates,
    /// Fields whose text has gone through the first, and through the second automaton.
    covered: u8,
    filtered: u8,
    /// What it cost so far.
    pub(crate) steps: u64,
}

impl<'t, 'e, E: Event> Judgement<'t, 'e, E> {
    pub(crate) fn new(layout: &'t Layout, file: &'t [u8], scans: &'t Scans, event: &'e E) -> Self {
        Self {
            layout,
            file,
            scans,
            event,
            found: Found::NOTHING,
            candidates: Candidates::NONE,
            covered: 0,
            filtered: 0,
            steps: 0,
        }
    }

    /// Made anew wherever one of them is used, since all of them take as much of the stack as what
    /// is found.
    #[inline(always)]
    pub(crate) fn tables(&self) -> Tables<'t> {
        self.layout.tables(self.file)
    }

    /// Takes over what is already known of some texts.
    pub(crate) fn recall(&mut self, kept: &Kept) {
        self.covered |= kept.fields;
        self.filtered |= kept.fields;
        for criterion in kept.found() {
            self.found.add(*criterion);
            self.point(*criterion);
        }
    }

    /// Finds out which rules to judge, by a scan of every text that covers are sought in.
    pub(crate) fn scan_covers(&mut self) {
        for (index, field) in TEXT_FIELDS.into_iter().enumerate() {
            let Some(place) = self.scans.covers.get(index).and_then(Option::as_ref) else {
                continue;
            };
            if self.covered & field_bit(index) != 0 {
                continue;
            }
            self.covered |= field_bit(index);
            match self.event.value(field) {
                Value::Absent => {}
                Value::Text(text) if text.length().is_some() => self.scan(place, text),
                _ => self.candidates.all = true,
            }
        }
        for place in 0..self.found.runs().len() {
            self.candidates.all |= self.outcome(place).is_none();
        }
    }

    /// Takes in the rules that a criterion points to.
    fn point(&mut self, criterion: u32) {
        match criterion_at(&self.tables(), criterion) {
            Some(criterion) => self.candidates.follow(triggers(&self.tables(), &criterion)),
            None => self.candidates.all = true,
        }
    }

    /// The rule at a place of the table.
    #[inline]
    pub(crate) fn rule_at(&self, index: u32) -> Option<RuleRecord> {
        let record = self.tables().rules.get(usize::try_from(index).ok()?)?;
        Some(RuleRecord::read(record))
    }

    /// How a rule comes out; `operation` is the mask of what was asked, if that is known.
    #[inline]
    pub(crate) fn rule(&mut self, rule: &RuleRecord, operation: Option<u8>) -> Truth {
        self.steps = self.steps.saturating_add(crate::ruleset::RULE_COST);
        let judged = rule.judges_operation(operation);
        if judged == Truth::False {
            return judged;
        }
        let program = rule.program(&self.tables()).unwrap_or(&[]);
        let mut own_steps = 0;
        let truth =
            program::run(program, &mut |criterion| self.criterion(criterion), &mut own_steps);
        self.steps = self.steps.saturating_add(own_steps);
        judged.and(truth.unwrap_or(Truth::Unknown))
    }

    /// What is true of the texts of a process, if it is known of all of them and there is room.
    pub(crate) fn keep(&mut self, ruleset: u64) -> Option<Kept> {
        let mut kept = Kept { ruleset, found: [0; MAX_KEPT], count: 0, fields: 0, triggers: false };
        for (index, field) in TEXT_FIELDS.into_iter().enumerate() {
            if !super::kept::KEPT_FIELDS.contains(&field) {
                continue;
            }
            let Value::Text(text) = self.event.value(field) else { continue };
            if text.length().is_none() {
                continue;
            }
            kept.fields |= field_bit(index);
            for places in [&self.scans.covers, &self.scans.filters] {
                if let Some(place) = places.get(index).and_then(Option::as_ref) {
                    self.scan(place, text);
                }
            }
        }
        for place in 0..self.found.runs().len() {
            let criterion = self.found.runs().get(place)?.criterion();
            if self.outcome(place)? {
                self.found.add(criterion);
            }
        }
        if self.found.is_full || self.found.runs_full || kept.fields == 0 {
            return None;
        }
        let found = self.found.criteria();
        kept.found.get_mut(..found.len())?.copy_from_slice(found);
        kept.count = u8::try_from(found.len()).ok()?;
        kept.triggers = kept.found().iter().any(|criterion| {
            criterion_at(&self.tables(), *criterion).is_some_and(|criterion| criterion.triggers > 0)
        });
        Some(kept)
    }

    fn criterion(&mut self, index: u32) -> Truth {
        let Some(criterion) = criterion_at(&self.tables(), index) else {
            return Truth::Unknown;
        };
        match self.event.value(criterion.field) {
            Value::Unknown => Truth::Unknown,
            Value::Absent => Truth::from(criterion.operator == Operator::Null),
            Value::Number(number) => criterion.judge_number(number),
            Value::Sid(sid) => criterion.judge_sid(&self.tables(), sid),
            Value::Text(text) if text.length().is_none() => Truth::Unknown,
            Value::Text(text) => match self.searched(index, &criterion, text) {
                Some(holds) => holds.into(),
                None => self.compare(&criterion, text).unwrap_or(Truth::Unknown),
            },
        }
    }

    /// A function of its own, so that what it needs of the stack is not needed beside a scan's.
    #[inline(never)]
    fn compare(&mut self, criterion: &Criterion, text: E::Text) -> Option<Truth> {
        criterion.judge_text(&self.tables(), text, &mut self.steps)
    }

    /// Looks a criterion up among those found, after the scan that would find it. `None` if that
    /// does not say whether it holds.
    fn searched(&mut self, index: u32, criterion: &Criterion, text: E::Text) -> Option<bool> {
        let (done, places) = match criterion.search {
            Search::Direct => return None,
            Search::Cover => (&mut self.covered, &self.scans.covers),
            Search::Filter => (&mut self.filtered, &self.scans.filters),
        };
        let field = text_index(criterion.field)?;
        if *done & field_bit(field) == 0 {
            *done |= field_bit(field);
            if let Some(place) = places.get(field).and_then(Option::as_ref) {
                self.scan(place, text);
            }
        }
        if self.found.criteria().contains(&index) {
            return Some(true);
        }
        let regex = criterion.operator == Operator::Regex;
        if regex && let Some(place) = self.found.run_of(index) {
            return self.outcome(place);
        }
        // Where there was no room for all that was found, it may hold all the same.
        let full = if regex { self.found.runs_full } else { self.found.is_full };
        (!full).then_some(false)
    }

    /// Walks a text to its end, and keeps which criteria hold.
    fn scan(&mut self, place: &TablePlace, text: E::Text) {
        if self.try_scan(place, text).is_none() {
            // Tables that are not sound find nothing.
            self.found.is_full = true;
            self.found.runs_full = true;
            self.candidates.all = true;
        }
    }

    fn try_scan(&mut self, place: &TablePlace, text: E::Text) -> Option<()> {
        let scan = Scan::at(self.tables().scans, place)?;
        let mut walk = Walk::new(&scan, text);
        if text.count() == 0 {
            return if scan.empty_group().is_some() { self.ends(&walk) } else { Some(()) };
        }
        while walk.advance()? {
            self.ends(&walk)?;
        }
        let units = u64::try_from(walk.taken()).ok()?;
        self.steps = self.steps.saturating_add(units);
        Some(())
    }

    /// Keeps the criteria that hold where the key of their literal ends, which is where a walk is.
    fn ends(&mut self, walk: &Walk<'_, '_, E::Text>) -> Option<()> {
        let text = walk.text();
        walk.hits(|hit, start, known| {
            self.steps = self.steps.saturating_add(1);
            if !known && !self.spelled(hit, text, start)? {
                return Some(false);
            }
            if !hit.is_regex() {
                self.keep_found(hit.criterion);
            } else if !self.found.add_run(hit.criterion, u16::try_from(start).ok()?) {
                // Whether it accepts is found out when it is asked for.
                self.point(hit.criterion);
            }
            Some(false)
        })?;
        Some(())
    }

    /// Compares a literal whose key was found, unit by unit.
    #[inline(never)]
    fn spelled(&mut self, hit: Hit, text: E::Text, start: usize) -> Option<bool> {
        let (units, same) = spelled(&self.tables(), hit, text, start)?;
        self.steps = self.steps.saturating_add(units);
        Some(same)
    }

    fn keep_found(&mut self, criterion: u32) {
        if self.found.add(criterion) {
            self.point(criterion);
        }
    }

    /// Whether the automaton of a run accepts; it runs the first time that this is asked, and points
    /// to its rules then. `None` if its tables are not sound.
    fn outcome(&mut self, place: usize) -> Option<bool> {
        let run = *self.found.runs().get(place)?;
        if run.outcome != Outcome::NotRun {
            return Some(run.outcome == Outcome::Accepts);
        }
        let criterion = criterion_at(&self.tables(), run.criterion())?;
        let Value::Text(text) = self.event.value(criterion.field) else {
            return None;
        };
        let tables = self.tables();
        let automaton = regex::Automaton::read(tables.automata, criterion.automaton)?;
        let accepts = automaton.search_around(text, run.first, run.last, &mut self.steps)?;
        if accepts {
            self.candidates.follow(triggers(&tables, &criterion));
        }
        self.found.set_outcome(place, if accepts { Outcome::Accepts } else { Outcome::Rejects });
        Some(accepts)
    }
}

/// Whether the literal of a hit stands at a place, and how long it is.
///
/// A part of its caller, which then makes no more of the tables than this needs.
#[inline(always)]
pub(crate) fn spelled<T: Units>(
    tables: &Tables<'_>,
    hit: Hit,
    text: T,
    start: usize,
) -> Option<(u64, bool)> {
    let criterion = criterion_at(tables, hit.criterion)?;
    let literal = literals::literal(tables, criterion.value, criterion.length)?;
    let same = if hit.is_regex() {
        // It is its automaton that says which letters it takes for others.
        literal
            .units_from(0)
            .eq(text.units_from(start).take(literal.count()).map(folded_as_scanned))
    } else {
        literals::equals_at(literal, criterion.cased, text, start)?
    };
    Some((criterion.length.into(), same))
}

#[inline]
fn criterion_at(tables: &Tables<'_>, index: u32) -> Option<Criterion> {
    Criterion::read(tables.criteria.get(usize::try_from(index).ok()?)?)
}

/// The rules that a criterion points to.
#[inline]
pub(crate) fn triggers<'a>(tables: &Tables<'a>, criterion: &Criterion) -> &'a [[u8; 4]] {
    let first = usize::try_from(criterion.first_trigger).unwrap_or(usize::MAX);
    let end = first.saturating_add(usize::try_from(criterion.triggers).unwrap_or(usize::MAX));
    tables.triggers.get(first..end).unwrap_or(&[])
}

/// Whether rising rules hold one of that index.
pub(crate) fn names(rules: &[[u8; 4]], rule: u32) -> bool {
    rules.binary_search_by_key(&rule, |entry| u32::from_le_bytes(*entry)).is_ok()
}
