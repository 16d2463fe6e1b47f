//! Examples: events that come with the rules, and how they must be judged.
//!
//! # Format
//! One behind the other: {rule u32, expectation u8 (0 false, 1 true; 2 more if it was derived from
//! the rule and not written by its author), value count u8, zero u16}, then that many values {field
//! u8, kind u8, length u16, payload}. Kind 1 is text, `length` code units; kind 2 a number, `length`
//! 8, a u64; kind 3 says that the value is unknown, `length` 0; kind 4 is a security identifier of
//! `length` bytes.
//! Fields that are not listed are absent. Values stand in rising order of their fields, examples
//! in rising order of their rules. Every rule has one that it must match and one that it must not.

use crate::engine::criterion::Cost;
use crate::engine::scan::{Scans, TEXT_FIELDS, pass_cost};
use crate::engine::{Event, LeUnits, Units, Value};
use crate::frame::{at_most, equal};
use crate::limits::{
    MAX_EXAMPLES, MAX_EXAMPLES_LEN, MAX_RULE_EXAMPLES, MAX_SID_UNITS, MAX_TEXT_UNITS,
};
use crate::reader::Reader;
use crate::refusal::{Code, Refusal};
use crate::schema::{FIELD_COUNT, Field, Kind, Truth};

use super::rules::{RULE_LEN, RuleRecord, example_cost};
use super::run_cost;
use super::tables::{Layout, SectionKind, Tables};

/// Expectation: the rule is false.
pub const EXPECT_FALSE: u8 = 0;
/// Expectation: the rule is true.
pub const EXPECT_TRUE: u8 = 1;
/// Added to the expectation of an example that was derived from its rule.
pub const DERIVED: u8 = 2;
/// Value kind: text.
pub const VALUE_TEXT: u8 = 1;
/// Value kind: number.
pub const VALUE_NUMBER: u8 = 2;
/// Value kind: unknown.
pub const VALUE_UNKNOWN: u8 = 3;
/// Value kind: security identifier.
pub const VALUE_SID: u8 = 4;
/// Steps that an example costs beside its rule, its scans and their automata: reading each of its fields.
pub const EXAMPLE_COST: u64 = 32;

/// One example, read.
pub(super) struct Example<'a> {
    pub(super) offset: u32,
    pub(super) rule: u32,
    pub(super) expected: Truth,
    /// Length of its longest text.
    longest: u16,
    /// From here on its values are absent.
    end: usize,
    values: [Value<'a, LeUnits<'a>>; FIELD_COUNT],
}

impl<'a> Event for Example<'a> {
    type Text = LeUnits<'a>;

    #[inline]
    fn value(&self, field: Field) -> Value<'_, LeUnits<'a>> {
        self.values.get(field.index()).copied().unwrap_or(Value::Unknown)
    }
}

impl<'a> Example<'a> {
    fn clear(&mut self) {
        if let Some(values) = self.values.get_mut(..self.end) {
            values.fill(Value::Absent);
        }
        (self.longest, self.end) = (0, 0);
    }

    /// Takes in the value of a field behind those it has.
    fn set(&mut self, field: Field, value: Value<'a, LeUnits<'a>>) {
        if let Some(slot) = self.values.get_mut(field.index()) {
            *slot = value;
        }
        if let Value::Text(text) = value {
            self.longest = self.longest.max(text.length().unwrap_or(u16::MAX));
        }
        self.end = field.index().saturating_add(1);
    }

    /// Before the first one is read.
    pub(super) const NONE: Self = Self {
        offset: 0,
        rule: 0,
        expected: Truth::Unknown,
        longest: 0,
        end: 0,
        values: [const { Value::Absent }; FIELD_COUNT],
    };

    pub(super) fn rule_record<'t>(
        &self,
        tables: &Tables<'t>,
    ) -> Result<&'t [u8; RULE_LEN], Refusal> {
        let record = usize::try_from(self.rule).ok().and_then(|index| tables.rules.get(index));
        let count = u64::try_from(tables.rules.len()).unwrap_or(u64::MAX);
        record.ok_or(Refusal::new(Code::IndexOutOfRange, self.offset, count, self.rule.into()))
    }
}

/// A cursor over the examples.
pub(super) struct Examples<'a> {
    reader: Reader<'a>,
}

impl<'a> Examples<'a> {
    pub(super) fn new(tables: &Tables<'a>, layout: &Layout) -> Self {
        Self { reader: Reader::new(tables.examples, layout.offset(SectionKind::Examples)) }
    }

    /// Reads the next example into the place of the one before; false at the end.
    pub(super) fn next_example(&mut self, example: &mut Example<'a>) -> Result<bool, Refusal> {
        let reader = &mut self.reader;
        if reader.is_empty() {
            return Ok(false);
        }
        let offset = reader.offset();
        let rule = reader.u32()?;
        let expectation = reader.u8()?;
        let expected = match expectation & !DERIVED {
            EXPECT_FALSE => Truth::False,
            EXPECT_TRUE => Truth::True,
            _ => return Err(bad(offset, EXPECT_TRUE.into(), expectation.into())),
        };
        let count = reader.u8()?;
        reader.zeros(2)?;
        (example.offset, example.rule, example.expected) = (offset, rule, expected);
        example.clear();
        let mut next = 0_u64;
        for _ in 0..count {
            let at = reader.offset();
            let (field, value) = value(reader)?;
            if field.number() < next {
                return Err(Refusal::new(Code::OutOfOrder, at, next, field.number()));
            }
            next = field.number().saturating_add(1);
            example.set(field, value);
        }
        Ok(true)
    }
}

fn value<'a>(reader: &mut Reader<'a>) -> Result<(Field, Value<'a, LeUnits<'a>>), Refusal> {
    let at = reader.offset();
    let number = u64::from(reader.u8()?);
    let Some(field) = Field::from_number(number) else {
        return Err(Refusal::new(Code::UnknownField, at, 22, number));
    };
    let (kind, length) = (reader.u8()?, reader.u16()?);
    let value = match (kind, field.kind(), length) {
        (VALUE_TEXT, Kind::Text, _) => {
            at_most(Code::LengthOutOfRange, at, MAX_TEXT_UNITS.into(), length.into())?;
            let bytes = reader.take(usize::from(length).saturating_mul(2))?;
            Value::Text(LeUnits(bytes.as_chunks().0))
        }
        (VALUE_NUMBER, Kind::Number, 8) => Value::Number(reader.u64()?),
        (VALUE_UNKNOWN, _, 0) => Value::Unknown,
        (VALUE_SID, Kind::Sid, length) => {
            let most = u64::from(MAX_SID_UNITS).saturating_mul(2);
            at_most(Code::LengthOutOfRange, at, most, length.into())?;
            Value::Sid(reader.take(usize::from(length))?)
        }
        _ => return Err(bad(at, VALUE_SID.into(), kind.into())),
    };
    Ok((field, value))
}

/// Checks every example, and returns the most steps that judging all of them may cost.
pub(super) fn validate(
    tables: &Tables<'_>,
    layout: &Layout,
    scans: &Scans,
) -> Result<u64, Refusal> {
    let start = layout.offset(SectionKind::Examples);
    let length = u64::try_from(tables.examples.len()).unwrap_or(u64::MAX);
    at_most(Code::TooMany, start, MAX_EXAMPLES_LEN.into(), length)?;
    let mut examples = Examples::new(tables, layout);
    let (mut steps, mut count) = (0_u64, 0_u64);
    let mut of_rule = OfRule::default();
    let mut rules = 0_u64;
    let mut example = Example::NONE;
    while examples.next_example(&mut example)? {
        if rules == 0 || example.rule != of_rule.rule {
            of_rule.complete(example.offset)?;
            // Each rule has its examples, in their order.
            if u64::from(example.rule) != rules {
                let found = example.rule.into();
                return Err(Refusal::new(Code::OutOfOrder, example.offset, rules, found));
            }
            rules = rules.saturating_add(1);
            let cost = example_cost(&RuleRecord::read(example.rule_record(tables)?), tables);
            of_rule = OfRule { rule: example.rule, cost, ..OfRule::default() };
        }
        of_rule.add(example.expected);
        count = count.saturating_add(1);
        at_most(Code::TooMany, example.offset, MAX_RULE_EXAMPLES.into(), of_rule.count)?;
        at_most(Code::TooMany, example.offset, MAX_EXAMPLES.into(), count)?;
        let units = example.longest.into();
        let judging = of_rule.cost.of(units).saturating_add(run_cost(units));
        let own = judging.saturating_add(EXAMPLE_COST).saturating_add(example.scans(scans));
        steps = steps.saturating_add(own);
    }
    let end = start.saturating_add(u32::try_from(length).unwrap_or(u32::MAX));
    of_rule.complete(end)?;
    equal(Code::ExampleMissing, end, u64::try_from(tables.rules.len()).unwrap_or(u64::MAX), rules)?;
    Ok(steps)
}

/// The examples of one rule while they are checked.
#[derive(Default)]
struct OfRule {
    rule: u32,
    /// What judging the rule may cost.
    cost: Cost,
    count: u64,
    matching: u64,
}

impl OfRule {
    fn add(&mut self, expected: Truth) {
        self.count = self.count.saturating_add(1);
        self.matching = self.matching.saturating_add(u64::from(expected == Truth::True));
    }

    /// It has an example of each kind, or has not begun.
    fn complete(&self, offset: u32) -> Result<(), Refusal> {
        if self.count == 0 || self.matching > 0 && self.matching < self.count {
            return Ok(());
        }
        Err(Refusal::new(Code::ExampleMissing, offset, 1, 0))
    }
}

impl Example<'_> {
    /// The most steps that the scans of its texts may cost.
    fn scans(&self, scans: &Scans) -> u64 {
        let mut steps = 0_u64;
        for (index, field) in TEXT_FIELDS.into_iter().enumerate() {
            let Value::Text(text) = self.value(field) else { continue };
            for places in [&scans.covers, &scans.filters] {
                if let Some(place) = places.get(index).and_then(Option::as_ref) {
                    let units = u64::try_from(text.count()).unwrap_or(u64::MAX);
                    steps = steps.saturating_add(pass_cost(place, units));
                }
            }
        }
        steps
    }
}

fn bad(offset: u32, expected: u64, found: u64) -> Refusal {
    Refusal::new(Code::BadExample, offset, expected, found)
}
