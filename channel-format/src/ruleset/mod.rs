//! The ruleset: a verified file that has passed one linear validation, and so may evaluate.
//!
//! # Guarantees
//! A [`Ruleset`] exists only if every index lies in its table, every length in what holds it,
//! every operator suits its field, every program keeps its stack, and the step bounds of the
//! signed header hold. Evaluation returns for every event, and costs at most those bounds.

mod examples;
mod rules;
mod tables;

pub use examples::{
    EXAMPLE_COST, EXPECT_DERIVED, EXPECT_FALSE, EXPECT_TRUE, VALUE_NUMBER, VALUE_SID, VALUE_TEXT,
    VALUE_UNKNOWN,
};
pub use rules::{Action, Level, RULE_LEN, Rule, Texts};
pub use tables::{SectionKind, Tables};

use crate::engine::{Event, Value, program};
use crate::frame::{Header, Verified, at_least, at_most, equal};
use crate::limits::MAX_CRITERIA;
use crate::refusal::{Code, Refusal};
use crate::schema::{Field, FieldSet, Inputs, Operation, SensorProfile, Truth};
use crate::signature::KeyId;

use examples::Examples;
use rules::RuleRecord;
use tables::Layout;

/// Steps that a rule costs beside its program.
pub const RULE_COST: u64 = 1;

/// A file that evaluates.
#[derive(Clone, Debug)]
pub struct Ruleset<B> {
    header: Header,
    layout: Layout,
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

impl<B: AsRef<[u8]>> Ruleset<B> {
    /// Validates the body of a verified file, front to back, once.
    pub fn parse(verified: Verified<B>, sensor: &SensorProfile) -> Result<Self, Refusal> {
        let Verified { header, may_block, signer, file } = verified;
        check_profile(&header, sensor)?;
        let layout = Layout::parse(&header, file.as_ref())?;
        let ruleset = Self { header, layout, may_block, signer, file };
        ruleset.validate()?;
        Ok(ruleset)
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

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        self.file.as_ref()
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

    /// Judges an event by every rule, in their order, and calls back for each that is true or
    /// cannot be told.
    pub fn evaluate(
        &self,
        inputs: &Inputs<'_>,
        on_rule: &mut impl FnMut(u32, Truth),
    ) -> Evaluation {
        let tables = self.tables();
        let operation = operation_mask(inputs);
        let mut evaluation = Evaluation::default();
        let mut index = 0_u32;
        for record in tables.rules {
            let rule = RuleRecord::read(record);
            let truth = judge(&rule, &tables, inputs, operation, &mut evaluation.steps);
            match truth {
                Truth::False => {}
                Truth::True => {
                    evaluation.matched = evaluation.matched.saturating_add(1);
                    evaluation.block |= rule.blocks & operation.unwrap_or(0) != 0;
                    on_rule(index, truth);
                }
                Truth::Unknown => {
                    evaluation.unknown = evaluation.unknown.saturating_add(1);
                    on_rule(index, truth);
                }
            }
            index = index.wrapping_add(1);
        }
        evaluation
    }

    /// Judges the file's own examples; refuses with the first that does not come out as it says.
    pub fn self_test(&self) -> Result<(), Refusal> {
        let tables = self.tables();
        let mut examples = Examples::new(&tables, &self.layout);
        while let Some(example) = examples.next_example()? {
            let record = example.rule_record(&tables)?;
            let rule = RuleRecord::read(record);
            let mut steps = 0;
            let operation = operation_mask(&example);
            let truth = judge(&rule, &tables, &example, operation, &mut steps);
            let (expected, found) = (truth_number(example.expected), truth_number(truth));
            equal(Code::ExampleFailed, example.offset, expected, found)?;
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), Refusal> {
        let tables = self.tables();
        let layout = &self.layout;
        tables::validate_text(&tables, layout)?;
        crate::engine::regex::validate(tables.automata, layout.offset(SectionKind::Automata))?;
        let fields = validate_criteria(&tables, layout)?;
        let used = self.header.fields_used;
        let undeclared = fields.without(used).iter().chain(used.without(fields).iter()).next();
        if let Some(field) = undeclared {
            return Err(Refusal::new(Code::FieldsUsed, 40, used.bits(), field.number()));
        }
        let steps = rules::validate(&tables, layout, &self.header)?;
        at_least(Code::StepsPerEvent, 56, steps, self.header.steps_per_event)?;
        let steps = examples::validate(&tables, layout)?;
        at_least(Code::StepsPerLoad, 64, steps, self.header.steps_per_load)
    }
}

/// Judges one rule; `operation` is the mask of what was asked, if that is known.
#[inline]
fn judge<E: Event>(
    rule: &RuleRecord,
    tables: &Tables<'_>,
    event: &E,
    operation: Option<u8>,
    steps: &mut u64,
) -> Truth {
    *steps = steps.saturating_add(RULE_COST);
    let judged = match operation {
        Some(mask) => Truth::from(rule.judges & mask != 0),
        None if rule.judges == Operation::ALL_MASK => Truth::True,
        None => Truth::Unknown,
    };
    if judged == Truth::False {
        return judged;
    }
    let program = rule.program(tables).unwrap_or(&[]);
    judged.and(program::run(program, tables, event, steps).unwrap_or(Truth::Unknown))
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

/// Checks the criteria, and returns the fields that the rules use: theirs and the operation.
fn validate_criteria(tables: &Tables<'_>, layout: &Layout) -> Result<FieldSet, Refusal> {
    let mut offset = layout.offset(SectionKind::Criteria);
    let count = u64::try_from(tables.criteria.len()).unwrap_or(u64::MAX);
    at_most(Code::TooMany, offset, MAX_CRITERIA.into(), count)?;
    let mut progress = crate::engine::criterion::Progress::default();
    for record in tables.criteria {
        crate::engine::criterion::validate(tables, record, offset, &mut progress)?;
        offset = offset.saturating_add(16);
    }
    let units = u64::try_from(tables.units.len()).unwrap_or(u64::MAX);
    equal(Code::TrailingBytes, layout.offset(SectionKind::Units), progress.units, units)?;
    let automata = crate::engine::regex::count(tables.automata);
    let at = layout.offset(SectionKind::Automata);
    equal(Code::TrailingBytes, at, progress.automata, automata)?;
    let rules = if tables.rules.is_empty() { FieldSet::EMPTY } else { OPERATION };
    Ok(rules.union(progress.fields))
}

const OPERATION: FieldSet = FieldSet::EMPTY.with(Field::Operation);

const fn truth_number(truth: Truth) -> u64 {
    match truth {
        Truth::False => 0,
        Truth::True => 1,
        Truth::Unknown => 2,
    }
}
