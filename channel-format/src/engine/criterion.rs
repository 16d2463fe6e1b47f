//! A criterion: one operator on one field. The smallest thing that is true, false or unknown.
//!
//! # Format
//! A record of 16 bytes: field u8, operator u8, flags u8 (bit 0: cased, for literals), zero u8,
//! length u32, value u64. Criteria stand in the order in which programs first name them, each is
//! named, and the same holds for the automata that they name. For a literal, `length` is its length in units and `value` its first
//! unit in the units section; for a security identifier likewise, its bytes as little-endian pairs;
//! for a regex, `length` is 0 and `value` the automaton's index; for a
//! number, `length` is 0 and `value` the number; otherwise both are 0.

use super::{Event, Units, Value, literals, regex};
use crate::frame::{at_most, equal};
use crate::limits::{MAX_LITERAL_UNITS, MAX_SID_UNITS, MAX_TEXT_UNITS};
use crate::refusal::{Code, Refusal};
use crate::ruleset::Tables;
use crate::schema::{Field, Kind, Truth};

/// Length of a criterion record.
pub const RECORD_LEN: usize = 16;
/// Flag of a literal that is compared unit by unit, without folding.
pub const FLAG_CASED: u8 = 1;

/// What a criterion asks of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The text is the literal.
    Equals = 1,
    /// The text starts with the literal.
    StartsWith = 2,
    /// The text ends with the literal.
    EndsWith = 3,
    /// The text contains the literal.
    Contains = 4,
    /// The automaton accepts the text.
    Regex = 5,
    /// The event has the field.
    Exists = 6,
    /// The event has no such field.
    Null = 7,
    /// The number is equal.
    NumberEqual = 8,
    /// The number is less.
    Less = 9,
    /// The number is less or equal.
    LessOrEqual = 10,
    /// The number is greater.
    Greater = 11,
    /// The number is greater or equal.
    GreaterOrEqual = 12,
    /// The security identifier is the literal.
    SidEquals = 13,
}

impl Operator {
    /// The operator's number in files.
    pub const fn number(self) -> u8 {
        match self {
            Self::Equals => 1,
            Self::StartsWith => 2,
            Self::EndsWith => 3,
            Self::Contains => 4,
            Self::Regex => 5,
            Self::Exists => 6,
            Self::Null => 7,
            Self::NumberEqual => 8,
            Self::Less => 9,
            Self::LessOrEqual => 10,
            Self::Greater => 11,
            Self::GreaterOrEqual => 12,
            Self::SidEquals => 13,
        }
    }

    /// The operator with that number.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Equals,
            2 => Self::StartsWith,
            3 => Self::EndsWith,
            4 => Self::Contains,
            5 => Self::Regex,
            6 => Self::Exists,
            7 => Self::Null,
            8 => Self::NumberEqual,
            9 => Self::Less,
            10 => Self::LessOrEqual,
            11 => Self::Greater,
            12 => Self::GreaterOrEqual,
            13 => Self::SidEquals,
            _ => return None,
        })
    }

    /// The operator's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Equals => "equals",
            Self::StartsWith => "startswith",
            Self::EndsWith => "endswith",
            Self::Contains => "contains",
            Self::Regex => "regex",
            Self::Exists => "exists",
            Self::Null => "null",
            Self::NumberEqual => "number-equal",
            Self::Less => "less",
            Self::LessOrEqual => "less-or-equal",
            Self::Greater => "greater",
            Self::GreaterOrEqual => "greater-or-equal",
            Self::SidEquals => "sid-equals",
        }
    }

    /// True for the operators that compare with a literal.
    pub const fn has_literal(self) -> bool {
        matches!(self, Self::Equals | Self::StartsWith | Self::EndsWith | Self::Contains)
    }

    /// True for the operators that compare with a number.
    pub const fn has_number(self) -> bool {
        matches!(
            self,
            Self::NumberEqual
                | Self::Less
                | Self::LessOrEqual
                | Self::Greater
                | Self::GreaterOrEqual
        )
    }

    const fn suits(self, kind: Kind) -> bool {
        match kind {
            Kind::Text => !self.has_number() && !matches!(self, Self::SidEquals),
            Kind::Number => !self.has_literal() && !matches!(self, Self::Regex | Self::SidEquals),
            Kind::Sid => matches!(self, Self::Exists | Self::Null | Self::SidEquals),
        }
    }
}

/// A criterion as its record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Criterion {
    /// The field.
    pub field: Field,
    /// The operator.
    pub operator: Operator,
    /// Whether a literal is compared without folding.
    pub cased: bool,
    /// Length of a literal in units.
    pub length: u32,
    /// First unit of a literal, index of an automaton, or a number.
    pub value: u64,
}

impl Criterion {
    /// Reads a record; `None` if it names no field or operator.
    #[inline]
    pub fn read(record: &[u8; RECORD_LEN]) -> Option<Self> {
        let [field, operator, flags, _, l0, l1, l2, l3, value @ ..] = record;
        Some(Self {
            field: Field::from_number(u64::from(*field))?,
            operator: Operator::from_number(*operator)?,
            cased: flags & FLAG_CASED != 0,
            length: u32::from_le_bytes([*l0, *l1, *l2, *l3]),
            value: u64::from_le_bytes(*value),
        })
    }

    /// Judges the criterion for an event, and adds what that costs to `steps`.
    #[inline]
    pub fn judge<E: Event>(&self, tables: &Tables<'_>, event: &E, steps: &mut u64) -> Truth {
        match event.value(self.field) {
            Value::Unknown => Truth::Unknown,
            Value::Absent => Truth::from(self.operator == Operator::Null),
            Value::Text(text) => self.judge_text(tables, text, steps).unwrap_or(Truth::Unknown),
            Value::Number(number) => self.judge_number(number),
            Value::Sid(sid) => self.judge_sid(tables, sid, steps).unwrap_or(Truth::Unknown),
        }
    }

    /// The most steps that judging it may cost.
    pub fn cost(&self) -> u64 {
        match self.operator {
            Operator::Equals | Operator::StartsWith | Operator::EndsWith => self.length.into(),
            Operator::SidEquals => self.length.into(),
            Operator::Contains => u64::from(MAX_TEXT_UNITS).saturating_mul(2),
            Operator::Regex => MAX_TEXT_UNITS.into(),
            _ => 0,
        }
    }

    fn judge_text<T: Units>(&self, tables: &Tables<'_>, text: T, steps: &mut u64) -> Option<Truth> {
        let count = u64::try_from(text.count()).ok()?;
        if count > u64::from(MAX_TEXT_UNITS) {
            return None;
        }
        let holds = match self.operator {
            Operator::Exists => true,
            Operator::Null => false,
            Operator::Regex => {
                *steps = steps.saturating_add(count);
                regex::Automaton::read(tables.automata, self.value)?.accepts(text)?
            }
            Operator::Contains => {
                *steps = steps.saturating_add(count.saturating_mul(2));
                let (literal, table) = literals::with_table(tables, self.value, self.length)?;
                literals::contains(literal, table, self.cased, text)?
            }
            Operator::Equals | Operator::StartsWith | Operator::EndsWith => {
                *steps = steps.saturating_add(self.length.into());
                let literal = literals::literal(tables, self.value, self.length)?;
                let Some(spare) = text.count().checked_sub(literal.count()) else {
                    return Some(Truth::False);
                };
                let start = if self.operator == Operator::EndsWith { spare } else { 0 };
                let whole = self.operator != Operator::Equals || spare == 0;
                whole && literals::equals_at(literal, self.cased, text, start)?
            }
            _ => return None,
        };
        Some(holds.into())
    }

    fn judge_number(&self, number: u64) -> Truth {
        match self.operator {
            Operator::NumberEqual => (number == self.value).into(),
            Operator::Less => (number < self.value).into(),
            Operator::LessOrEqual => (number <= self.value).into(),
            Operator::Greater => (number > self.value).into(),
            Operator::GreaterOrEqual => (number >= self.value).into(),
            _ => self.judge_presence(),
        }
    }

    /// Compares a security identifier with the literal, which holds it as little-endian pairs.
    fn judge_sid(&self, tables: &Tables<'_>, sid: &[u8], steps: &mut u64) -> Option<Truth> {
        if self.operator != Operator::SidEquals {
            return Some(self.judge_presence());
        }
        *steps = steps.saturating_add(self.length.into());
        let literal = literals::literal(tables, self.value, self.length)?;
        Some((literal.0.as_flattened() == sid).into())
    }

    /// What can be said of a value of another kind than the operator is for.
    fn judge_presence(&self) -> Truth {
        match self.operator {
            Operator::Exists => Truth::True,
            Operator::Null => Truth::False,
            _ => Truth::Unknown,
        }
    }
}

/// What has been laid down so far while the criteria are validated, in order.
#[derive(Default)]
pub(crate) struct Progress {
    /// Units that literals of earlier criteria take.
    pub units: u64,
    /// Fields that earlier criteria use.
    pub fields: crate::schema::FieldSet,
    /// Automata that earlier criteria name: they stand in the order of their first use.
    pub automata: u64,
}

/// Checks one record, which lies at `offset` of the file.
pub(crate) fn validate(
    tables: &Tables<'_>,
    record: &[u8; RECORD_LEN],
    offset: u32,
    progress: &mut Progress,
) -> Result<(), Refusal> {
    let [field, operator, flags, zero, ..] = *record;
    if Field::from_number(field.into()).is_none() {
        return Err(Refusal::new(Code::UnknownField, offset, 22, field.into()));
    }
    let Some(criterion) = Criterion::read(record) else {
        return Err(Refusal::new(Code::UnknownOperator, offset, 13, operator.into()));
    };
    if !criterion.operator.suits(criterion.field.kind()) {
        return Err(Refusal::new(Code::OperatorForField, offset, field.into(), operator.into()));
    }
    // An empty literal has no case.
    let cased = criterion.operator.has_literal() && criterion.length > 0;
    let known = if cased { FLAG_CASED } else { 0 };
    equal(Code::UnknownFlags, offset, 0, u64::from(flags & !known))?;
    equal(Code::ReservedNotZero, offset, 0, zero.into())?;
    progress.fields = progress.fields.with(criterion.field);
    if criterion.operator.has_literal() || criterion.operator == Operator::SidEquals {
        let most = if criterion.operator.has_literal() { MAX_LITERAL_UNITS } else { MAX_SID_UNITS };
        at_most(Code::LengthOutOfRange, offset, most.into(), criterion.length.into())?;
        return literals::validate(tables, &criterion, offset, &mut progress.units);
    }
    equal(Code::ReservedNotZero, offset, 0, criterion.length.into())?;
    if criterion.operator == Operator::Regex {
        let count = regex::count(tables.automata);
        if criterion.value >= count {
            return Err(Refusal::new(Code::IndexOutOfRange, offset, count, criterion.value));
        }
        at_most(Code::OutOfOrder, offset, progress.automata, criterion.value)?;
        progress.automata = progress.automata.max(criterion.value.saturating_add(1));
    } else if !criterion.operator.has_number() {
        equal(Code::ReservedNotZero, offset, 0, criterion.value)?;
    }
    Ok(())
}
