//! Examples: events that come with the rules, and how they must be judged.
//!
//! # Format
//! One behind the other: {rule u32, expectation u8 (bit 0: true; bit 1:
//! derived from the rule, not its author's), value count u8, zero u16},
//! then that many values {field u8, kind u8, length u16, payload}. Kind 1 is text, `length` code
//! units; kind 2 a number, `length` 8, a u64; kind 3 says that the value is unknown, `length` 0;
//! kind 4 is a security identifier of `length` bytes.
//! Fields that are not listed are absent. Values stand in rising order of their fields, examples
//! in rising order of their rules.

use crate::engine::{Event, LeUnits, Value};
use crate::frame::at_most;
use crate::limits::{
    MAX_EXAMPLES, MAX_EXAMPLES_LEN, MAX_RULE_EXAMPLES, MAX_SID_UNITS, MAX_TEXT_UNITS,
};
use crate::reader::Reader;
use crate::refusal::{Code, Refusal};
use crate::schema::{FIELD_COUNT, Field, Kind, Truth};

use super::rules::{RULE_LEN, RuleRecord, cost};
use super::tables::{Layout, SectionKind, Tables};

/// Expectation: the rule is false.
pub const EXPECT_FALSE: u8 = 0;
/// Expectation: the rule is true.
pub const EXPECT_TRUE: u8 = 1;
/// Flag beside an expectation: the example was derived from the rule.
pub const EXPECT_DERIVED: u8 = 2;
/// Value kind: text.
pub const VALUE_TEXT: u8 = 1;
/// Value kind: number.
pub const VALUE_NUMBER: u8 = 2;
/// Value kind: unknown.
pub const VALUE_UNKNOWN: u8 = 3;
/// Value kind: a security identifier.
pub const VALUE_SID: u8 = 4;
/// Steps that an example costs beside its rule: reading each of its fields.
pub const EXAMPLE_COST: u64 = 24;

/// One example, read.
pub(super) struct Example<'a> {
    pub(super) offset: u32,
    pub(super) rule: u32,
    pub(super) expected: Truth,
    values: [Value<'a, LeUnits<'a>>; FIELD_COUNT],
}

impl<'a> Event for Example<'a> {
    type Text = LeUnits<'a>;

    #[inline]
    fn value(&self, field: Field) -> Value<'_, LeUnits<'a>> {
        self.values.get(field.index()).copied().unwrap_or(Value::Unknown)
    }
}

impl Example<'_> {
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

    /// The next example; `None` at the end.
    pub(super) fn next_example(&mut self) -> Result<Option<Example<'a>>, Refusal> {
        let reader = &mut self.reader;
        if reader.is_empty() {
            return Ok(None);
        }
        let offset = reader.offset();
        let rule = reader.u32()?;
        let expectation = reader.u8()?;
        let expected = match expectation & !EXPECT_DERIVED {
            EXPECT_FALSE => Truth::False,
            EXPECT_TRUE => Truth::True,
            _ => return Err(bad(offset, EXPECT_TRUE.into(), expectation.into())),
        };
        let count = reader.u8()?;
        reader.zeros(2)?;
        let mut example =
            Example { offset, rule, expected, values: [const { Value::Absent }; FIELD_COUNT] };
        let mut next = 0_u64;
        for _ in 0..count {
            let at = reader.offset();
            let (field, value) = value(reader)?;
            if field.number() < next {
                return Err(Refusal::new(Code::OutOfOrder, at, next, field.number()));
            }
            next = field.number().saturating_add(1);
            if let Some(slot) = example.values.get_mut(field.index()) {
                *slot = value;
            }
        }
        Ok(Some(example))
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
        (VALUE_SID, Kind::Sid, _) => {
            let most = u64::from(MAX_SID_UNITS).saturating_mul(2);
            at_most(Code::LengthOutOfRange, at, most, length.into())?;
            Value::Sid(reader.take(length.into())?)
        }
        _ => return Err(bad(at, VALUE_SID.into(), kind.into())),
    };
    Ok((field, value))
}

/// Checks every example, and returns the most steps that judging all of them may cost.
pub(super) fn validate(tables: &Tables<'_>, layout: &Layout) -> Result<u64, Refusal> {
    let start = layout.offset(SectionKind::Examples);
    let length = u64::try_from(tables.examples.len()).unwrap_or(u64::MAX);
    at_most(Code::TooMany, start, MAX_EXAMPLES_LEN.into(), length)?;
    let mut examples = Examples::new(tables, layout);
    let (mut steps, mut count, mut of_rule) = (0_u64, 0_u64, 0_u64);
    // The rule of the example before, and what judging it costs: worked out once a rule.
    let mut before: Option<(u32, u64)> = None;
    while let Some(example) = examples.next_example()? {
        let rule_cost = match before {
            Some((rule, rule_cost)) if rule == example.rule => rule_cost,
            Some((rule, _)) if rule > example.rule => {
                let found = example.rule.into();
                return Err(Refusal::new(Code::OutOfOrder, example.offset, rule.into(), found));
            }
            _ => {
                of_rule = 0;
                cost(&RuleRecord::read(example.rule_record(tables)?), tables, layout)?
            }
        };
        before = Some((example.rule, rule_cost));
        of_rule = of_rule.saturating_add(1);
        count = count.saturating_add(1);
        at_most(Code::TooMany, example.offset, MAX_RULE_EXAMPLES.into(), of_rule)?;
        at_most(Code::TooMany, example.offset, MAX_EXAMPLES.into(), count)?;
        steps = steps.saturating_add(rule_cost).saturating_add(EXAMPLE_COST);
    }
    Ok(steps)
}

fn bad(offset: u32, expected: u64, found: u64) -> Refusal {
    Refusal::new(Code::BadExample, offset, expected, found)
}
