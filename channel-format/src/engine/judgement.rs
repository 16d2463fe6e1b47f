//! One event against a ruleset: what was found in its texts, which rules that points to, and
//! whether they hold.
//!
//! An event that meets no literal never comes here. All that is kept lies in arrays of fixed size,
//! on the stack of the caller. Where more criteria hold for a pipe's name, or for the texts of images,
//! than there is room for, what there was no room for is Unknown, and every rule is looked at.

use super::criterion::{Criterion, Operator, Search};
use super::found::{Found, Outcome};
use super::kept::{Kept, MAX_KEPT, field_bit};
use super::scan::{CASED, Hit, NO_GROUP, Scan, Scans, TEXT_FIELDS, TablePlace, Walk, text_index};
use super::{Event, Units, Value, literals, program, regex};
use crate::limits::{MAX_CANDIDATES, MAX_LITERAL_UNITS};
use crate::ruleset::{RuleRecord, Tables};
use crate::schema::{Field, Truth};

/// What is known of one event.
pub(crate) struct Judgement<'t, 'e, E> {
    tables: &'t Tables<'t>,
    scans: &'t Scans,
    event: &'e E,
    /// What was found in the pipe's name, and in the texts of images.
    in_name: Found,
    in_images: Found,
    /// Fields whose text has gone through the first, and through the second automaton.
    covered: u8,
    filtered: u8,
    /// What it cost so far.
    pub(crate) steps: u64,
}

/// Rules to be judged, each once.
pub(crate) struct Candidates {
    rules: [u16; MAX_CANDIDATES],
    count: usize,
    /// There was no room, or a text that covers are sought in is not known: judge every rule.
    pub(crate) all: bool,
}

impl Candidates {
    pub(crate) const NONE: Self = Self { rules: [0; MAX_CANDIDATES], count: 0, all: false };

    pub(crate) fn rules(&self) -> &[u16] {
        self.rules.get(..self.count).unwrap_or(&[])
    }

    fn add(&mut self, rule: u16) {
        if self.rules().contains(&rule) {
            return;
        }
        match self.rules.get_mut(self.count) {
            Some(slot) => {
                *slot = rule;
                self.count = self.count.wrapping_add(1);
            }
            None => self.all = true,
        }
    }
}

impl<'t, 'e, E: Event> Judgement<'t, 'e, E> {
    pub(crate) fn new(tables: &'t Tables<'t>, scans: &'t Scans, event: &'e E) -> Self {
        Self {
            tables,
            scans,
            event,
            in_name: Found::NOTHING,
            in_images: Found::NOTHING,
            covered: 0,
            filtered: 0,
            steps: 0,
        }
    }

    /// Takes over what is already known of some texts.
    pub(crate) fn recall(&mut self, kept: &Kept) {
        self.covered |= kept.fields;
        self.filtered |= kept.fields;
        for criterion in kept.found() {
            self.in_images.add(*criterion);
        }
    }

    /// Says which rules to judge, after a scan of every text that covers are sought in.
    pub(crate) fn candidates(&mut self, candidates: &mut Candidates) {
        candidates.all = !self.scan_covers();
        if !candidates.all {
            self.run_all();
            self.collect(candidates);
        }
        candidates.all |= [&self.in_name, &self.in_images].iter().any(|f| f.is_full || f.runs_full);
    }

    /// Scans every text that covers are sought in; false if one is not known.
    pub(crate) fn scan_covers(&mut self) -> bool {
        let mut known = true;
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
                Value::Text(text) if text.length().is_some() => {
                    self.scan(field, place, text);
                }
                _ => known = false,
            }
        }
        known
    }

    /// The rules that the triggers of all criteria found name.
    fn collect(&mut self, candidates: &mut Candidates) {
        let mut visited = 0_u64;
        let rules = self.holding().flat_map(|criterion| triggers(self.tables, &criterion));
        for rule in rules {
            visited = visited.saturating_add(1);
            match u16::try_from(u32::from_le_bytes(*rule)) {
                Ok(rule) => candidates.add(rule),
                Err(_) => candidates.all = true,
            }
            if candidates.all {
                break;
            }
        }
        self.steps = self.steps.saturating_add(visited);
    }

    /// Whether a criterion that holds has the rule among its triggers.
    pub(crate) fn points_to(&mut self, rule: u32) -> bool {
        self.run_all();
        // Where there was no room for something every rule is judged.
        let full = [&self.in_name, &self.in_images].iter().any(|f| f.is_full || f.runs_full);
        full || self.holding().any(|criterion| names(triggers(self.tables, &criterion), rule))
    }

    /// The searched criteria that hold, after [`Self::run_all`].
    fn holding(&self) -> impl Iterator<Item = Criterion> {
        let found = self.in_name.holding().chain(self.in_images.holding());
        found.filter_map(|criterion| criterion_at(self.tables, criterion))
    }

    fn run_all(&mut self) {
        for field in [Field::PipeName, Field::ImagePath] {
            for place in 0..self.found(field).runs().len() {
                if self.outcome(field, place).is_none() {
                    self.found_mut(field).is_full = true;
                }
            }
        }
    }

    /// How a rule comes out; `operation` is the mask of what was asked, if that is known.
    #[inline]
    pub(crate) fn rule(&mut self, rule: &RuleRecord, operation: Option<u8>) -> Truth {
        self.steps = self.steps.saturating_add(crate::ruleset::RULE_COST);
        let judged = rule.judges_operation(operation);
        if judged == Truth::False {
            return judged;
        }
        let program = rule.program(self.tables).unwrap_or(&[]);
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
                    self.scan(field, place, text);
                }
            }
        }
        for place in 0..self.in_images.runs().len() {
            let run = self.in_images.runs().get(place).copied()?;
            if self.outcome(Field::ImagePath, place)? == Outcome::Accepts {
                self.in_images.add(run.criterion);
            }
        }
        if self.in_images.is_full || self.in_images.runs_full || kept.fields == 0 {
            return None;
        }
        let found = self.in_images.criteria();
        kept.found.get_mut(..found.len())?.copy_from_slice(found);
        kept.count = u8::try_from(found.len()).ok()?;
        kept.triggers = kept.found().iter().any(|criterion| {
            criterion_at(self.tables, *criterion).is_some_and(|criterion| criterion.triggers > 0)
        });
        Some(kept)
    }

    fn criterion(&mut self, index: u32) -> Truth {
        let Some(criterion) = criterion_at(self.tables, index) else {
            return Truth::Unknown;
        };
        match self.event.value(criterion.field) {
            Value::Unknown => Truth::Unknown,
            Value::Absent => Truth::from(criterion.operator == Operator::Null),
            Value::Number(number) => criterion.judge_number(number),
            Value::Sid(sid) => criterion.judge_sid(self.tables, sid),
            Value::Text(text) if text.length().is_none() => Truth::Unknown,
            Value::Text(text) => match criterion.search {
                Search::Direct => {
                    let truth = criterion.judge_text(self.tables, text, &mut self.steps);
                    truth.unwrap_or(Truth::Unknown)
                }
                Search::Cover | Search::Filter => self.searched(index, &criterion, text),
            },
        }
    }

    /// Looks a criterion up among those found, after the scan that would find it.
    fn searched(&mut self, index: u32, criterion: &Criterion, text: E::Text) -> Truth {
        let Some(index_of_field) = text_index(criterion.field) else {
            return Truth::Unknown;
        };
        let bit = field_bit(index_of_field);
        let (done, places) = match criterion.search {
            Search::Cover => (&mut self.covered, &self.scans.covers),
            _ => (&mut self.filtered, &self.scans.filters),
        };
        if *done & bit == 0 {
            *done |= bit;
            if let Some(place) = places.get(index_of_field).and_then(Option::as_ref) {
                self.scan(criterion.field, place, text);
            }
        }
        let found = self.found(criterion.field);
        if found.criteria().contains(&index) {
            return Truth::True;
        }
        if criterion.operator == Operator::Regex {
            if let Some(place) = found.run_of(index) {
                return match self.outcome(criterion.field, place) {
                    Some(outcome) => Truth::from(outcome == Outcome::Accepts),
                    None => Truth::Unknown,
                };
            }
            if found.runs_full {
                // Its literal may be there all the same: the automaton says so by itself.
                let truth = criterion.judge_text(self.tables, text, &mut self.steps);
                return truth.unwrap_or(Truth::Unknown);
            }
        }
        if found.is_full { Truth::Unknown } else { Truth::False }
    }

    fn found(&self, field: Field) -> &Found {
        if field == Field::PipeName { &self.in_name } else { &self.in_images }
    }

    fn found_mut(&mut self, field: Field) -> &mut Found {
        if field == Field::PipeName { &mut self.in_name } else { &mut self.in_images }
    }

    /// Walks a text to its end, and keeps which criteria hold.
    fn scan(&mut self, field: Field, place: &TablePlace, text: E::Text) {
        if self.try_scan(field, place, text).is_none() {
            // Tables that are not sound find nothing: then it is not known what holds.
            self.found_mut(field).is_full = true;
        }
    }

    fn try_scan(&mut self, field: Field, place: &TablePlace, text: E::Text) -> Option<()> {
        let scan = Scan::at(self.tables.scans, place)?;
        let mut walk = Walk::new(&scan, text);
        if text.count() == 0 {
            return match scan.empty_group() {
                Some(group) => self.ends(field, &walk, group),
                None => Some(()),
            };
        }
        while walk.advance()? {
            self.ends(field, &walk, walk.group()?)?;
        }
        let units = u64::try_from(walk.taken()).ok()?;
        self.steps = self.steps.saturating_add(units);
        Some(())
    }

    /// Keeps the criteria whose literals end where a walk is: those of a group and of its suffixes.
    fn ends(&mut self, field: Field, walk: &Walk<'_, '_, E::Text>, group: u32) -> Option<()> {
        let text = walk.text();
        let at_end = walk.taken() == text.count();
        let mut next = group;
        // Each suffix is shorter than the one before.
        for _ in 0..=MAX_LITERAL_UNITS {
            let (group, hits) = walk.scan().group(next)?;
            let start = walk.taken().checked_sub(usize::from(group.length))?;
            for hit in hits {
                let hit = Hit::read(*hit);
                self.steps = self.steps.saturating_add(1);
                let (starts, operator) = (start == 0, hit.operator & !CASED);
                let holds = match Operator::from_number(operator)? {
                    Operator::Equals => starts && at_end,
                    Operator::StartsWith => starts,
                    Operator::EndsWith => at_end,
                    Operator::Contains => true,
                    Operator::Regex => {
                        let start = u16::try_from(start).ok()?;
                        self.found_mut(field).add_run(hit.criterion, start);
                        false
                    }
                    _ => return None,
                };
                // Some units beyond ASCII go through a scan as letters that they do not fold to.
                let compare = || {
                    let mut units = text.units_from(start).take(group.length.into());
                    hit.operator & CASED != 0 || units.any(|unit| unit >= 0x80)
                };
                if holds && (!compare() || self.spelled(hit.criterion, text, start)?) {
                    self.found_mut(field).add(hit.criterion);
                }
            }
            match group.suffix {
                NO_GROUP => return Some(()),
                suffix => next = suffix,
            }
        }
        None
    }

    /// Compares a literal that was found once more, unit by unit.
    fn spelled(&mut self, criterion: u32, text: E::Text, start: usize) -> Option<bool> {
        let criterion = criterion_at(self.tables, criterion)?;
        let literal = literals::literal(self.tables, criterion.value, criterion.length)?;
        self.steps = self.steps.saturating_add(criterion.length.into());
        literals::equals_at(literal, criterion.cased, text, start)
    }

    /// Whether the automaton of a run accepts; it runs the first time that this is asked. `None` if
    /// its tables are not sound.
    fn outcome(&mut self, field: Field, place: usize) -> Option<Outcome> {
        let run = *self.found(field).runs().get(place)?;
        if run.outcome != Outcome::NotRun {
            return Some(run.outcome);
        }
        let criterion = criterion_at(self.tables, run.criterion)?;
        let Value::Text(text) = self.event.value(criterion.field) else {
            return None;
        };
        let automaton = regex::Automaton::read(self.tables.automata, criterion.automaton)?;
        let accepts = automaton.search_around(text, run.first, run.last, &mut self.steps)?;
        let outcome = if accepts { Outcome::Accepts } else { Outcome::Rejects };
        self.found_mut(field).set_outcome(place, outcome);
        Some(outcome)
    }
}

fn criterion_at(tables: &Tables<'_>, index: u32) -> Option<Criterion> {
    Criterion::read(tables.criteria.get(usize::try_from(index).ok()?)?)
}

/// The rules that a criterion points to.
pub(crate) fn triggers<'a>(tables: &Tables<'a>, criterion: &Criterion) -> &'a [[u8; 4]] {
    let first = usize::try_from(criterion.first_trigger).unwrap_or(usize::MAX);
    let end = first.saturating_add(usize::try_from(criterion.triggers).unwrap_or(usize::MAX));
    tables.triggers.get(first..end).unwrap_or(&[])
}

/// Whether rising rules hold one of that index.
pub(crate) fn names(rules: &[[u8; 4]], rule: u32) -> bool {
    rules.binary_search_by_key(&rule, |entry| u32::from_le_bytes(*entry)).is_ok()
}
