//! The ruleset: a verified file that has passed one linear validation, and so may evaluate.
//!
//! # Guarantees
//! A [`Ruleset`] exists only if every index lies in its table, every length in what holds it,
//! every operator suits its field, every program only goes forward, every scan is that of its
//! literals, no rule is missed for want of a trigger, and the step bounds of the signed header hold. Evaluation returns for every event, and costs at most those bounds.

mod examples;
mod rules;
mod tables;

pub use examples::{
    DERIVED, EXAMPLE_COST, EXPECT_FALSE, EXPECT_TRUE, VALUE_NUMBER, VALUE_SID, VALUE_TEXT,
    VALUE_UNKNOWN,
};
pub(crate) use rules::RuleRecord;
pub use rules::{Action, Level, RULE_LEN, Rule, Texts};
pub(crate) use tables::Layout;
pub use tables::{SectionKind, Tables};

use core::mem::offset_of;

use crate::engine::judgement::{Judgement, spelled};
use crate::engine::kept::Kept;
use crate::engine::scan::{Hit, Scan, Scans, TEXT_FIELDS, Walk, pass_cost};
use crate::engine::{Event, Units, Value};
use crate::frame::{Header, Verified, at_least, at_most, equal};
use crate::limits::{MAX_CRITERIA, MAX_RUNS, MAX_TEXT_UNITS, MAX_TRIGGERS};
use crate::refusal::{Code, Refusal};
use crate::schema::{Field, FieldSet, Operation, SensorProfile, Truth};
use crate::signature::KeyId;

use examples::{Example, Examples};

/// Steps that a rule costs beside its program.
pub const RULE_COST: u64 = 1;

/// A file that evaluates.
#[derive(Clone, Debug)]
pub struct Ruleset<B> {
    header: Header,
    layout: Layout,
    scans: Scans,
    /// Whether there are rules that every event is judged by.
    has_always: bool,
    may_block: bool,
    signer: KeyId,
    file: B,
}

/// What an evaluation came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// How many rules are true.
    pub matched: u32,
    /// How many rules cannot be told.
    pub unknown: u32,
    /// True if a rule that is true blocks this operation. Whether it may is for the caller to say.
    pub block: bool,
    /// What the evaluation cost.
    pub steps: u64,
}

impl<B> Ruleset<B> {
    /// Where a debugger finds the file and whether its key may block, in bytes.
    pub const AT: [usize; 2] = [offset_of!(Self, file), offset_of!(Self, may_block)];
}

impl<B: AsRef<[u8]>> Ruleset<B> {
    /// Validates the body of a verified file, front to back, once.
    pub fn parse(verified: Verified<B>, sensor: &SensorProfile) -> Result<Self, Refusal> {
        let Verified { header, may_block, signer, file } = verified;
        check_profile(&header, sensor)?;
        let layout = Layout::parse(&header, file.as_ref())?;
        let tables = layout.tables(file.as_ref());
        let Bounds { scans, steps_per_event, steps_per_load } =
            Bounds::of(&header, &layout, &tables)?;
        at_least(Code::StepsPerEvent, 56, steps_per_event, header.steps_per_event)?;
        at_least(Code::StepsPerLoad, 64, steps_per_load, header.steps_per_load)?;
        let has_always = !rules::always(&tables).is_empty();
        Ok(Self { header, layout, scans, has_always, may_block, signer, file })
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Whether a key that may block signed the file.
    pub const fn may_block(&self) -> bool {
        self.may_block
    }

    /// The first permitted signer.
    pub const fn signer(&self) -> KeyId {
        self.signer
    }

    /// How many rules there are.
    pub const fn rule_count(&self) -> u32 {
        self.header.rule_count
    }

    /// The fields that the rules use.
    pub const fn fields_used(&self) -> FieldSet {
        self.header.fields_used
    }

    /// What tells this ruleset from others: a [`Kept`] of another one says nothing here.
    pub fn mark(&self) -> u64 {
        mark(&self.header)
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        self.file.as_ref()
    }

    /// The same ruleset over another owner of the same bytes. `None` when they are others.
    pub fn over<C: AsRef<[u8]>>(self, file: C) -> Option<Ruleset<C>> {
        let Self { header, layout, scans, has_always, may_block, signer, file: old } = self;
        let same = old.as_ref() == file.as_ref();
        same.then_some(Ruleset { header, layout, scans, has_always, may_block, signer, file })
    }

    /// The file's owner, back.
    pub fn into_inner(self) -> B {
        self.file
    }

    /// The sections' tables.
    pub fn tables(&self) -> Tables<'_> {
        self.layout.tables(self.file.as_ref())
    }

    /// The rule at a place.
    pub fn rule(&self, index: u32) -> Option<Rule<'_>> {
        Rule::read(&self.tables(), index)
    }

    /// Judges an event by every rule, and calls back once for each that is true or cannot be told,
    /// in no order that matters.
    pub fn evaluate<E: Event>(
        &self,
        event: &E,
        on_rule: &mut impl FnMut(u32, Truth),
    ) -> Evaluation {
        self.evaluate_kept(event, None, on_rule)
    }

    /// [`Self::evaluate`] for an event of a process for which [`Self::keep`] was asked before: what
    /// it found is not sought again.
    #[inline]
    pub fn evaluate_kept<E: Event>(
        &self,
        event: &E,
        kept: Option<&Kept>,
        on_rule: &mut impl FnMut(u32, Truth),
    ) -> Evaluation {
        let kept =
            kept.filter(|kept| kept.ruleset == mark(&self.header) && kept.is_of_texts_of(event));
        match self.nothing_to_judge(event, kept) {
            Some(steps) => Evaluation { steps, ..Evaluation::default() },
            None => self.judge(event, kept, on_rule),
        }
    }

    /// What there is to be found in the image texts of a process, for [`Self::evaluate_kept`]. None
    /// if the event has none, or more is found than there is room for.
    pub fn keep<E: Event>(&self, event: &E) -> Option<Kept> {
        self.judgement(event).keep(mark(&self.header))
    }

    fn judgement<'s, 'e, E: Event>(&'s self, event: &'e E) -> Judgement<'s, 'e, E> {
        Judgement::new(&self.layout, self.file.as_ref(), &self.scans, event)
    }

    /// Judges the file's own examples; refuses with the first that does not come out as it says, or
    /// that its rule would not be judged for.
    pub fn self_test(&self) -> Result<(), Refusal> {
        let tables = self.tables();
        let mut examples = Examples::new(&tables, &self.layout);
        let mut example = Example::NONE;
        while examples.next_example(&mut example)? {
            let rule = RuleRecord::read(example.rule_record(&tables)?);
            let mut judgement = self.judgement(&example);
            judgement.candidates.only = Some(example.rule);
            let truth = judgement.rule(&rule, operation_mask(&example));
            let (expected, found) = (truth_number(example.expected), truth_number(truth));
            equal(Code::ExampleFailed, example.offset, expected, found)?;
            // Mostly the program has asked for the cover that points to its rule.
            let pointed = |judgement: &Judgement<'_, '_, _>| judgement.candidates.all;
            let judged =
                truth != Truth::True || !rule.is_covered(&tables) || pointed(&judgement) || {
                    judgement.scan_covers();
                    pointed(&judgement)
                };
            equal(Code::ExampleFailed, example.offset, 1, judged.into())?;
        }
        Ok(())
    }

    /// Goes through the texts that rules are covered by. Most events have no literal in them, and
    /// this is all that is done for those: the steps it took. None if there may be rules to judge.
    ///
    /// A function of its own, so that its stack is free again when rules are judged.
    #[inline(never)]
    fn nothing_to_judge<E: Event>(&self, event: &E, kept: Option<&Kept>) -> Option<u64> {
        if self.has_always {
            return None;
        }
        let section = self.layout.section(SectionKind::Scans, self.file.as_ref());
        let mut steps = 0_usize;
        for (index, (place, field)) in self.scans.covers.iter().zip(TEXT_FIELDS).enumerate() {
            let Some(place) = place else { continue };
            if let Some(kept) = kept.filter(|kept| kept.has(index)) {
                if kept.triggers {
                    return None;
                }
                continue;
            }
            let text = match event.value(field) {
                Value::Absent => continue,
                Value::Text(text) if text.length().is_some() => text,
                _ => return None,
            };
            let scan = Scan::at(section, place)?;
            if text.count() == 0 {
                if scan.empty_group().is_some() {
                    return None;
                }
                continue;
            }
            let mut walk = Walk::new(&scan, text);
            while walk.advance()? {
                if walk.hits(|hit, start, known| Some(known || self.spelled(hit, text, start)?))? {
                    return None;
                }
            }
            steps = steps.wrapping_add(walk.taken());
        }
        u64::try_from(steps).ok()
    }

    #[inline(never)]
    fn spelled<T: Units>(&self, hit: Hit, text: T, start: usize) -> Option<bool> {
        Some(spelled(&self.tables(), hit, text, start)?.1)
    }

    /// Judges an event by the rules that what is found in its texts points to.
    #[inline(never)]
    fn judge<E: Event>(
        &self,
        event: &E,
        kept: Option<&Kept>,
        on_rule: &mut impl FnMut(u32, Truth),
    ) -> Evaluation {
        let mut judgement = self.judgement(event);
        if let Some(kept) = kept {
            judgement.recall(kept);
        }
        judgement.scan_covers();
        let operation = operation_mask(event);
        let mut evaluation = Evaluation::default();
        let all = judgement.candidates.all;
        let mut always = rules::always(&judgement.tables()).iter();
        for place in 0_u32.. {
            let next_always = || always.next().map(|entry| u32::from_le_bytes(*entry));
            let candidate = || judgement.candidates.rule(place).or_else(next_always);
            let Some(index) = (if all { Some(place) } else { candidate() }) else { break };
            let Some(rule) = judgement.rule_at(index) else { break };
            let truth = judgement.rule(&rule, operation);
            match truth {
                Truth::False => continue,
                Truth::True => {
                    evaluation.matched = evaluation.matched.saturating_add(1);
                    evaluation.block |= rule.blocks & operation.unwrap_or(0) != 0;
                }
                Truth::Unknown => evaluation.unknown = evaluation.unknown.saturating_add(1),
            }
            on_rule(index, truth);
        }
        evaluation.steps = judgement.steps;
        evaluation
    }
}

/// What tells a ruleset from others: the beginning of its file's digest.
#[inline]
fn mark(header: &Header) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = header.digest;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// What checking a body finds out.
pub struct Bounds {
    scans: Scans,
    /// The most steps that one event may cost: what the header must declare at least.
    pub steps_per_event: u64,
    /// The most steps that the self test may cost.
    pub steps_per_load: u64,
}

impl Bounds {
    /// The bounds of a file whose header does not declare them yet: for whoever builds it.
    ///
    /// # Errors
    /// What else is wrong with the body.
    pub fn of_file(header: &Header, file: &[u8]) -> Result<Self, Refusal> {
        let layout = Layout::parse(header, file)?;
        Self::of(header, &layout, &layout.tables(file))
    }

    /// Checks the body.
    fn of(header: &Header, layout: &Layout, tables: &Tables<'_>) -> Result<Self, Refusal> {
        tables::validate_text(tables, layout)?;
        crate::engine::regex::validate(tables.automata, layout.offset(SectionKind::Automata))?;
        let criteria = validate_criteria(tables, layout)?;
        let (used, found) = (header.fields_used, criteria.fields);
        let undeclared = found.without(used).union(used.without(found)).iter().next();
        if let Some(field) = undeclared {
            return Err(Refusal::new(Code::FieldsUsed, 40, used.bits(), field.number()));
        }
        let at = layout.offset(SectionKind::Scans);
        let key = mark(header);
        let scans = crate::engine::scan::validate(tables, at, criteria.searched, key)?;
        let rules = rules::validate(tables, layout, header)?;
        let steps_per_load = examples::validate(tables, layout, &scans)?;
        let steps_per_event = rules.saturating_add(event_cost(&scans));
        Ok(Self { scans, steps_per_event, steps_per_load })
    }
}

/// The most steps that an event may cost beside its rules: each scan of a longest text, the automata
/// that there is room for, and triggers until there are too many.
fn event_cost(scans: &Scans) -> u64 {
    let places = scans.covers.iter().chain(&scans.filters).flatten();
    let units = u64::from(MAX_TEXT_UNITS);
    let scans = places.fold(0_u64, |sum, place| sum.saturating_add(pass_cost(place, units)));
    scans.saturating_add(run_cost(units)).saturating_add(MAX_TRIGGERS.into())
}

/// The most steps of the automata that run from their literals.
fn run_cost(units: u64) -> u64 {
    u64::try_from(MAX_RUNS).unwrap_or(u64::MAX).saturating_mul(units)
}

/// The mask of what was asked; `None` if that is not known.
#[inline]
fn operation_mask<E: Event>(event: &E) -> Option<u8> {
    match event.value(Field::Operation) {
        Value::Unknown => None,
        Value::Number(number) => Some(Operation::from_number(number).map_or(0, Operation::mask)),
        Value::Absent | Value::Text(_) | Value::Sid(_) => Some(0),
    }
}

fn check_profile(header: &Header, sensor: &SensorProfile) -> Result<(), Refusal> {
    equal(Code::TemplateType, 36, crate::frame::TEMPLATE_IPC.into(), header.template_type.into())?;
    equal(Code::SchemaVersion, 38, sensor.schema_version.into(), header.schema_version.into())?;
    at_most(Code::ApiLevel, 48, sensor.api_level.into(), header.api_level.into())?;
    match header.fields_used.without(sensor.supplied).iter().next() {
        None => Ok(()),
        Some(field) => {
            let supplied = sensor.supplied.bits();
            Err(Refusal::new(Code::FieldNotSupplied, 40, supplied, field.number()))
        }
    }
}

/// Checks the criteria. The fields that the rules use are theirs and the operation.
fn validate_criteria(
    tables: &Tables<'_>,
    layout: &Layout,
) -> Result<crate::engine::criterion::Progress, Refusal> {
    let mut offset = layout.offset(SectionKind::Criteria);
    let count = u64::try_from(tables.criteria.len()).unwrap_or(u64::MAX);
    at_most(Code::TooMany, offset, MAX_CRITERIA.into(), count)?;
    let mut progress = crate::engine::criterion::Progress::default();
    for record in tables.criteria {
        crate::engine::criterion::validate(tables, record, offset, &mut progress)?;
        offset = offset.saturating_add(24);
    }
    let units = u64::try_from(tables.units.len()).unwrap_or(u64::MAX);
    equal(Code::TrailingBytes, layout.offset(SectionKind::Units), progress.units, units)?;
    let automata = crate::engine::regex::count(tables.automata);
    let at = layout.offset(SectionKind::Automata);
    equal(Code::TrailingBytes, at, progress.automata, automata)?;
    if !tables.rules.is_empty() {
        progress.fields = progress.fields.union(OPERATION);
    }
    Ok(progress)
}

const OPERATION: FieldSet = FieldSet::EMPTY.with(Field::Operation);

const fn truth_number(truth: Truth) -> u64 {
    match truth {
        Truth::False => 0,
        Truth::True => 1,
        Truth::Unknown => 2,
    }
}
