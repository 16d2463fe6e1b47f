//! One line of a detection, `Field|modifiers: values`, to an expression.

use channel_format::engine::criterion::Operator;
use channel_format::limits::MAX_LITERAL_UNITS;
use channel_format::schema::{Field, Kind};
use rsigma_parser::value::StringPart;
use rsigma_parser::{DetectionItem, Modifier, SigmaString, SigmaValue};

use super::{Criterion, Expr, Operand};
use crate::fields::{ANONYMOUS_PIPE, OPERATIONS, SigmaField, number_of, number_of_flag};
use crate::naive;
use crate::regex::{self, Flags, is_star};
use crate::users::{self, Wanted};

/// Words that may show the place, the reason, and the remedy.
type Fault = (Vec<String>, String, String);

/// How the values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Is,
    Contains,
    StartsWith,
    EndsWith,
    Regex,
    Exists,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The modifiers of an item, taken together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Modifiers {
    pub(crate) comparison: Comparison,
    pub(crate) all: bool,
    pub(crate) cased: bool,
    pub(crate) flags: Flags,
}

impl Modifiers {
    /// Reads modifiers; says why they do not go together.
    pub(crate) fn read(modifiers: &[Modifier]) -> Result<Self, (String, String)> {
        let mut read =
            Self { comparison: Comparison::Is, all: false, cased: false, flags: Flags::default() };
        for modifier in modifiers {
            let comparison = match modifier {
                Modifier::Contains => Comparison::Contains,
                Modifier::StartsWith => Comparison::StartsWith,
                Modifier::EndsWith => Comparison::EndsWith,
                Modifier::Re => Comparison::Regex,
                Modifier::Exists => Comparison::Exists,
                Modifier::Lt => Comparison::Less,
                Modifier::Lte => Comparison::LessOrEqual,
                Modifier::Gt => Comparison::Greater,
                Modifier::Gte => Comparison::GreaterOrEqual,
                flag => {
                    match flag {
                        Modifier::All => read.all = true,
                        Modifier::Cased => read.cased = true,
                        Modifier::IgnoreCase => read.flags.ignore_case = true,
                        Modifier::Multiline => read.flags.multi_line = true,
                        Modifier::DotAll => read.flags.dot_all = true,
                        _ => {
                            let help = "write out the values that it would produce";
                            let reason = format!("the modifier {modifier:?} is not supported");
                            return Err((reason, help.into()));
                        }
                    }
                    continue;
                }
            };
            if read.comparison != Comparison::Is {
                let help =
                    "keep one of contains, startswith, endswith, re, exists, lt, lte, gt, gte";
                return Err(("two comparisons stand in one key".into(), help.into()));
            }
            read.comparison = comparison;
        }
        read.check()
    }

    fn check(self) -> Result<Self, (String, String)> {
        use Comparison::{Contains, EndsWith, Is, Regex, StartsWith};
        if self.flags != Flags::default() && self.comparison != Regex {
            let help = "write them behind `re`: `PipeName|re|i`";
            return Err(("the modifiers i, m and s belong to `re`".into(), help.into()));
        }
        if self.cased && !matches!(self.comparison, Is | Contains | StartsWith | EndsWith) {
            let help = "take `cased` out: regular expressions are case-sensitive anyway";
            return Err(("`cased` does not go with this comparison".into(), help.into()));
        }
        Ok(self)
    }
}

/// Lowers an item.
pub(super) fn lower(item: &DetectionItem) -> Result<Expr, Fault> {
    let name = item.field.name.clone().unwrap_or_default();
    // Keys are told apart by their modifiers; the first spelling that the text holds is shown.
    let fault = |words: Vec<String>, (reason, help): (String, String)| {
        (words.into_iter().chain([name.clone()]).collect(), reason, help)
    };
    let Some(field) = SigmaField::named(&name) else {
        let help = "use fields of the rule's category".to_owned();
        return Err(fault(vec![], (format!("unknown field `{name}`"), help)));
    };
    let modifiers = Modifiers::read(&item.field.modifiers).map_err(|why| fault(vec![], why))?;
    let mut parts = Vec::new();
    for value in &item.values {
        let part = lower_value(field, &modifiers, value);
        parts.push(part.map_err(|why| fault(vec![value.to_string()], why))?);
    }
    Ok(if modifiers.all { Expr::all(parts) } else { Expr::any(parts) })
}

fn lower_value(
    field: SigmaField,
    modifiers: &Modifiers,
    value: &SigmaValue,
) -> Result<Expr, (String, String)> {
    if modifiers.comparison == Comparison::Exists {
        let exists = criterion(field.field(), Operator::Exists, Operand::Nothing);
        return match value {
            SigmaValue::Bool(true) => Ok(exists),
            SigmaValue::Bool(false) => Ok(exists.opposite()),
            _ => Err(("`exists` has a value that is not true or false".into(), String::new())),
        };
    }
    if *value == SigmaValue::Null {
        if modifiers.comparison != Comparison::Is || modifiers.cased {
            let help = "write `Field: null` without modifiers";
            return Err(("null does not go with this modifier".into(), help.into()));
        }
        return Ok(criterion(field.field(), Operator::Null, Operand::Nothing));
    }
    match field {
        SigmaField::EventId => lower_event_id(modifiers, value),
        SigmaField::EventType => lower_event_type(modifiers, value),
        SigmaField::Plain(field) => match field.kind() {
            Kind::Text => lower_text(field, modifiers, value),
            Kind::Number => lower_number(field, modifiers, value),
            Kind::Sid => lower_user(field, modifiers, value),
        },
    }
}

fn lower_text(
    field: Field,
    modifiers: &Modifiers,
    value: &SigmaValue,
) -> Result<Expr, (String, String)> {
    let SigmaValue::String(text) = value else {
        let help = "put the value in quotes, spelled as it occurs";
        return Err((format!("the value of {} is not text", field.name()), help.into()));
    };
    let expr = if modifiers.comparison == Comparison::Regex {
        let automata = regex::compile(&text.original, modifiers.flags)?.into_iter();
        let part =
            |automaton| criterion(field, Operator::Regex, Operand::Automaton(Box::new(automaton)));
        Expr::any(automata.map(part).collect())
    } else {
        lower_pattern(field, modifiers, text)?
    };
    if field != Field::PipeName {
        return Ok(expr);
    }
    // Sysmon writes a text where the kernel has an empty name. A pattern that tells the two apart
    // is given what the kernel has.
    let anonymous: Vec<u16> = ANONYMOUS_PIPE.encode_utf16().collect();
    let (wanted, plain) =
        (naive::text_fits(modifiers, text, &anonymous), naive::text_fits(modifiers, text, &[]));
    let empty = literal(field, Operator::Equals, "", true)?;
    Ok(match (wanted, plain) {
        (true, false) => Expr::any(vec![expr, empty]),
        (false, true) => Expr::all(vec![expr, empty.opposite()]),
        _ => expr,
    })
}

fn lower_pattern(
    field: Field,
    modifiers: &Modifiers,
    text: &SigmaString,
) -> Result<Expr, (String, String)> {
    let parts = pattern_parts(modifiers.comparison, text)?;
    let cased = modifiers.cased;
    match parts.as_slice() {
        [] => literal(field, Operator::Equals, "", cased),
        [StringPart::Plain(text)] => literal(field, Operator::Equals, text, cased),
        [star] if is_star(star) => Ok(criterion(field, Operator::Exists, Operand::Nothing)),
        [StringPart::Plain(text), star] if is_star(star) => {
            literal(field, Operator::StartsWith, text, cased)
        }
        [star, StringPart::Plain(text)] if is_star(star) => {
            literal(field, Operator::EndsWith, text, cased)
        }
        [first, StringPart::Plain(text), last] if is_star(first) && is_star(last) => {
            literal(field, Operator::Contains, text, cased)
        }
        parts => {
            let automaton = regex::compile_wildcards(parts, cased)?;
            Ok(criterion(field, Operator::Regex, Operand::Automaton(Box::new(automaton))))
        }
    }
}

/// The parts of a value with the stars that its comparison stands for, none beside another.
pub(crate) fn pattern_parts(
    comparison: Comparison,
    text: &SigmaString,
) -> Result<Vec<StringPart>, (String, String)> {
    let star = || StringPart::Special(rsigma_parser::value::SpecialChar::WildcardMulti);
    let mut parts = text.parts.clone();
    match comparison {
        Comparison::Is => {}
        Comparison::Contains => {
            parts.insert(0, star());
            parts.push(star());
        }
        Comparison::StartsWith => parts.push(star()),
        Comparison::EndsWith => parts.insert(0, star()),
        _ => {
            let help = "lt, lte, gt and gte compare numbers";
            return Err(("this comparison does not go with text".into(), help.into()));
        }
    }
    parts.dedup_by(|later, earlier| is_star(later) && is_star(earlier));
    Ok(parts)
}

fn lower_number(
    field: Field,
    modifiers: &Modifiers,
    value: &SigmaValue,
) -> Result<Expr, (String, String)> {
    let number = match value {
        SigmaValue::Integer(number) => u64::try_from(*number).ok(),
        SigmaValue::String(text) => text.as_plain().and_then(|text| number_of(field, &text)),
        SigmaValue::Bool(flag) => number_of_flag(field, *flag),
        _ => None,
    };
    let Some(number) = number else {
        let help = match field {
            Field::Integrity => "write a whole number, or Untrusted, Low, Medium, High or System",
            _ => "write a whole number, decimal or `0x…`, not negative, without wildcards",
        };
        return Err((format!("the value of {} is not a number", field.name()), help.into()));
    };
    let operator = match modifiers.comparison {
        Comparison::Is if !modifiers.cased => Operator::NumberEqual,
        Comparison::Less => Operator::Less,
        Comparison::LessOrEqual => Operator::LessOrEqual,
        Comparison::Greater => Operator::Greater,
        Comparison::GreaterOrEqual => Operator::GreaterOrEqual,
        _ => {
            let help = "compare numbers plainly, or with lt, lte, gt, gte";
            let reason = format!("this modifier does not go with the number {}", field.name());
            return Err((reason, help.into()));
        }
    };
    Ok(criterion(field, operator, Operand::Number(number)))
}

/// Any of the identifiers that the value means.
fn lower_user(
    field: Field,
    modifiers: &Modifiers,
    value: &SigmaValue,
) -> Result<Expr, (String, String)> {
    let SigmaValue::String(text) = value else {
        let help = "write the account's name or its identifier, in quotes";
        return Err((format!("the value of {} is not text", field.name()), help.into()));
    };
    Ok(match users::read(modifiers, text)? {
        Wanted::Any => criterion(field, Operator::Exists, Operand::Nothing),
        Wanted::OneOf(sids) => {
            let equals = |sid| criterion(field, Operator::SidEquals, Operand::Sid(sid));
            Expr::any(sids.into_iter().map(equals).collect())
        }
    })
}

fn lower_event_id(modifiers: &Modifiers, value: &SigmaValue) -> Result<Expr, (String, String)> {
    let number = match value {
        SigmaValue::Integer(number) => u64::try_from(*number).ok(),
        SigmaValue::String(text) => {
            text.as_plain().and_then(|text| number_of(Field::Operation, &text))
        }
        _ => None,
    };
    let operation = OPERATIONS.iter().find(|entry| Some(entry.0) == number);
    match operation {
        Some(entry) if modifiers.comparison == Comparison::Is && !modifiers.cased => {
            Ok(criterion(Field::Operation, Operator::NumberEqual, Operand::Number(entry.2)))
        }
        _ => {
            let help = "write `EventID: 17` (created), `EventID: 18` (connected), or leave it out";
            Err(("this category's events are 17 and 18".into(), help.into()))
        }
    }
}

/// Tries the pattern on each name there is.
fn lower_event_type(modifiers: &Modifiers, value: &SigmaValue) -> Result<Expr, (String, String)> {
    let SigmaValue::String(text) = value else {
        let help = "write `CreatePipe` or `ConnectPipe`";
        return Err(("the value of EventType is not text".into(), help.into()));
    };
    if modifiers.comparison == Comparison::Regex {
        regex::compile(&text.original, modifiers.flags)?;
    } else {
        pattern_parts(modifiers.comparison, text)?;
    }
    let fitting: Vec<Expr> = OPERATIONS
        .iter()
        .filter(|entry| {
            let name: Vec<u16> = entry.1.encode_utf16().collect();
            naive::text_fits(modifiers, text, &name)
        })
        .map(|entry| criterion(Field::Operation, Operator::NumberEqual, Operand::Number(entry.2)))
        .collect();
    if fitting.is_empty() {
        let help = "event types are CreatePipe and ConnectPipe";
        return Err((format!("no event type fits `{text}`"), help.into()));
    }
    Ok(Expr::any(fitting))
}

fn literal(
    field: Field,
    operator: Operator,
    text: &str,
    cased: bool,
) -> Result<Expr, (String, String)> {
    let units: Vec<u16> = text.encode_utf16().collect();
    if units.len() > MAX_LITERAL_UNITS as usize {
        let reason = format!("a value of {} code units can never match", units.len());
        return Err((reason, format!("shorten it to {MAX_LITERAL_UNITS}")));
    }
    if units.is_empty() && operator != Operator::Equals {
        // Every text starts with, ends with and contains the empty one.
        return Ok(criterion(field, Operator::Exists, Operand::Nothing));
    }
    Ok(criterion(field, operator, Operand::literal(units, cased)))
}

fn criterion(field: Field, operator: Operator, operand: Operand) -> Expr {
    Expr::Criterion(Criterion::new(field, operator, operand))
}
