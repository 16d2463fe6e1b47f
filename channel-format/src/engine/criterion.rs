//! A criterion: one operator on one field. The smallest thing that is true, false or unknown.
//!
//! # Format
//! A record of 24 bytes: field u8, operator u8, flags u8 (bit 0: cased, for literals), search u8
//! (0 direct, 1 cover, 2 filter: see [`Search`]), literal length u16, automaton u16, value u64,
//! first trigger u32, number of triggers u32. Criteria stand in the order in which programs first
//! name them, each is named, and the same holds for the automata that they name. `value` is the
//! number to compare with, or the literal's first unit in the units section. The literal of a
//! regular expression is one that every text it accepts holds; it may have none.

use super::{Units, find, literals, regex};
use crate::frame::{at_least, at_most, equal};
use crate::limits::{MAX_LITERAL_UNITS, MAX_SID_UNITS};
use crate::refusal::{Code, Refusal};
use crate::ruleset::Tables;
use crate::schema::{Field, Kind, Truth};

/// Length of a criterion record.
pub const RECORD_LEN: usize = 24;
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
        match self {
            Self::Exists | Self::Null => true,
            Self::SidEquals => matches!(kind, Kind::Sid),
            Self::Regex => matches!(kind, Kind::Text),
            literal if literal.has_literal() => matches!(kind, Kind::Text),
            _ => matches!(kind, Kind::Number),
        }
    }
}

/// How it is found out whether a criterion holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Search {
    /// By a comparison of its own, when a program asks.
    Direct = 0,
    /// By the field's first automaton, which every event goes through: where it holds, the rules of
    /// its triggers are looked at.
    Cover = 1,
    /// By the field's second automaton, which an event goes through when a program asks.
    Filter = 2,
}

impl Search {
    /// The number in files.
    pub const fn number(self) -> u8 {
        match self {
            Self::Direct => 0,
            Self::Cover => 1,
            Self::Filter => 2,
        }
    }

    /// The search with that number.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Direct,
            1 => Self::Cover,
            2 => Self::Filter,
            _ => return None,
        })
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
    /// How it is found out.
    pub search: Search,
    /// Length of the literal in units.
    pub length: u16,
    /// Index of the automaton of a regular expression.
    pub automaton: u16,
    /// First unit of the literal, or a number.
    pub value: u64,
    /// First of its triggers: the rules to look at where it holds.
    pub first_trigger: u32,
    /// How many triggers it has.
    pub triggers: u32,
}

impl Criterion {
    /// Reads a record; `None` if it names no field, operator or search.
    #[inline]
    pub fn read(record: &[u8; RECORD_LEN]) -> Option<Self> {
        let ([field, operator, flags, search, l0, l1, a0, a1], rest) =
            record.split_first_chunk::<8>()?;
        let (value, rest) = rest.split_first_chunk::<8>()?;
        let (first, rest) = rest.split_first_chunk::<4>()?;
        Some(Self {
            field: Field::from_number(u64::from(*field))?,
            operator: Operator::from_number(*operator)?,
            cased: flags & FLAG_CASED != 0,
            search: Search::from_number(*search)?,
            length: u16::from_le_bytes([*l0, *l1]),
            automaton: u16::from_le_bytes([*a0, *a1]),
            value: u64::from_le_bytes(*value),
            first_trigger: u32::from_le_bytes(*first),
            triggers: u32::from_le_bytes(*rest.first_chunk()?),
        })
    }

    /// The record as files have it.
    pub fn write(&self) -> [u8; RECORD_LEN] {
        let mut record = [0; RECORD_LEN];
        let flags = if self.cased { FLAG_CASED } else { 0 };
        let [field, ..] = self.field.number().to_le_bytes();
        let ([l0, l1], [a0, a1]) = (self.length.to_le_bytes(), self.automaton.to_le_bytes());
        let head = [field, self.operator.number(), flags, self.search.number(), l0, l1, a0, a1];
        let parts = head.into_iter().chain(self.value.to_le_bytes());
        let parts =
            parts.chain(self.first_trigger.to_le_bytes()).chain(self.triggers.to_le_bytes());
        for (slot, byte) in record.iter_mut().zip(parts) {
            *slot = byte;
        }
        record
    }

    /// True if its literal is stored folded.
    pub const fn is_folded(&self) -> bool {
        match self.operator {
            Operator::Regex => true,
            operator => operator.has_literal() && !self.cased,
        }
    }

    /// Judges it for a text by a comparison of its own, whatever its [`Search`] is, and adds what
    /// that costs to `steps`. `None` if its tables are not sound.
    #[inline]
    pub fn judge_text<T: Units>(
        &self,
        tables: &Tables<'_>,
        text: T,
        steps: &mut u64,
    ) -> Option<Truth> {
        let holds = match self.operator {
            Operator::Exists => true,
            Operator::Null => false,
            Operator::Regex => {
                regex::Automaton::read(tables.automata, self.automaton)?.search(text, steps)?
            }
            _ => {
                let units = u64::try_from(text.count()).unwrap_or(u64::MAX);
                *steps = steps.saturating_add(self.direct_cost().of(units));
                let literal = literals::literal(tables, self.value, self.length)?;
                let Some(spare) = text.count().checked_sub(literal.count()) else {
                    return Some(Truth::False);
                };
                let at = |start| literals::equals_at(literal, self.cased, text, start);
                match self.operator {
                    Operator::Equals if spare > 0 => false,
                    Operator::Equals | Operator::StartsWith => at(0)?,
                    Operator::EndsWith => at(spare)?,
                    Operator::Contains => find::contains(literal, self.cased, text)?,
                    _ => return None,
                }
            }
        };
        Some(holds.into())
    }

    /// Judges it for a number.
    pub const fn judge_number(&self, number: u64) -> Truth {
        let holds = match self.operator {
            Operator::NumberEqual => number == self.value,
            Operator::Less => number < self.value,
            Operator::LessOrEqual => number <= self.value,
            Operator::Greater => number > self.value,
            Operator::GreaterOrEqual => number >= self.value,
            _ => return self.judge_presence(),
        };
        if holds { Truth::True } else { Truth::False }
    }

    /// Judges it for a security identifier.
    pub fn judge_sid(&self, tables: &Tables<'_>, sid: &[u8]) -> Truth {
        match self.operator {
            Operator::SidEquals => literals::literal(tables, self.value, self.length)
                .map_or(Truth::Unknown, |literal| literals::is_sid(literal, sid).into()),
            _ => self.judge_presence(),
        }
    }

    /// What can be said of a value of another kind than the operator is for.
    const fn judge_presence(&self) -> Truth {
        match self.operator {
            Operator::Exists => Truth::True,
            Operator::Null => Truth::False,
            _ => Truth::Unknown,
        }
    }

    /// The most steps that a comparison of its own may cost. It counts however the criterion is
    /// searched for: where more is found than there is room for, it is compared all the same.
    pub(crate) fn direct_cost(&self) -> Cost {
        let length = u64::from(self.length);
        match self.operator {
            Operator::Regex => Cost { fixed: 1, per_unit: 1 },
            Operator::Contains => {
                let fixed = find::LITERAL_STEPS.saturating_mul(length);
                Cost { fixed, per_unit: find::TEXT_STEPS }
            }
            _ => Cost { fixed: length, per_unit: 0 },
        }
    }
}

/// Steps that depend on how long the text is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// However long it is.
    pub(crate) fixed: u64,
    /// For each of its units.
    pub(crate) per_unit: u64,
}

impl Cost {
    /// For a text of so many units.
    pub(crate) const fn of(self, units: u64) -> u64 {
        self.per_unit.saturating_mul(units).saturating_add(self.fixed)
    }

    /// Both together.
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            fixed: self.fixed.saturating_add(other.fixed),
            per_unit: self.per_unit.saturating_add(other.per_unit),
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
    /// Triggers of earlier criteria.
    pub triggers: u64,
    /// Criteria that automata over literals hold.
    pub searched: u64,
}

/// Checks one record, which lies at `offset` of the file.
pub(crate) fn validate(
    tables: &Tables<'_>,
    record: &[u8; RECORD_LEN],
    offset: u32,
    progress: &mut Progress,
) -> Result<(), Refusal> {
    let [field, operator, flags, search, ..] = *record;
    if Field::from_number(field.into()).is_none() {
        return Err(Refusal::new(Code::UnknownField, offset, 22, field.into()));
    }
    if Search::from_number(search).is_none() {
        return Err(Refusal::new(Code::UnknownSearch, offset, 2, search.into()));
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
    progress.fields = progress.fields.with(criterion.field);
    validate_operand(tables, &criterion, offset, progress)?;
    validate_search(tables, &criterion, offset, progress)
}

fn validate_operand(
    tables: &Tables<'_>,
    criterion: &Criterion,
    offset: u32,
    progress: &mut Progress,
) -> Result<(), Refusal> {
    let length = u64::from(criterion.length);
    at_most(Code::LengthOutOfRange, offset, MAX_LITERAL_UNITS.into(), length)?;
    if criterion.operator == Operator::Regex {
        let (index, count) = (criterion.automaton.into(), regex::count(tables.automata));
        if index >= count {
            return Err(Refusal::new(Code::IndexOutOfRange, offset, count, index));
        }
        at_most(Code::OutOfOrder, offset, progress.automata, index)?;
        progress.automata = progress.automata.max(index.saturating_add(1));
    } else {
        equal(Code::ReservedNotZero, offset, 0, criterion.automaton.into())?;
    }
    match criterion.operator {
        // Every text starts with, ends with and contains the empty one: that is `exists`.
        Operator::StartsWith | Operator::EndsWith | Operator::Contains => {
            at_least(Code::LengthOutOfRange, offset, 1, length)?;
        }
        // A revision, a count, an authority and up to 15 parts.
        Operator::SidEquals => {
            at_least(Code::LengthOutOfRange, offset, 4, length)?;
            at_most(Code::LengthOutOfRange, offset, MAX_SID_UNITS.into(), length)?;
        }
        Operator::Equals | Operator::Regex => {}
        operator => {
            equal(Code::ReservedNotZero, offset, 0, length)?;
            if !operator.has_number() {
                equal(Code::ReservedNotZero, offset, 0, criterion.value)?;
            }
            return Ok(());
        }
    }
    literals::validate(tables, criterion, offset, &mut progress.units)
}

/// Checks that only what has a literal is searched for, and that a cover, and nothing else, has
/// triggers: rules in rising order, behind those of the criteria before it.
fn validate_search(
    tables: &Tables<'_>,
    criterion: &Criterion,
    offset: u32,
    progress: &mut Progress,
) -> Result<(), Refusal> {
    let searchable = match criterion.operator {
        Operator::Regex => criterion.length > 0,
        operator => operator.has_literal(),
    };
    if criterion.search != Search::Direct {
        if !searchable {
            return Err(Refusal::new(Code::UnknownSearch, offset, 0, 1));
        }
        progress.searched = progress.searched.saturating_add(1);
    }
    if criterion.search == Search::Cover {
        at_least(Code::TriggerList, offset, 1, criterion.triggers.into())?;
    } else {
        equal(Code::TriggerList, offset, 0, criterion.triggers.into())?;
    }
    equal(Code::OutOfOrder, offset, progress.triggers, criterion.first_trigger.into())?;
    progress.triggers = progress.triggers.saturating_add(criterion.triggers.into());
    let count = u64::try_from(tables.triggers.len()).unwrap_or(u64::MAX);
    at_most(Code::IndexOutOfRange, offset, count, progress.triggers)
}
