//! The slow reference: judges an event by a source rule, straight from what the Sigma parser read.
//!
//! It shares with the tables only the parser, the meaning of modifiers and the fold table. It
//! knows a user by every text that stands for its identifier, matches wildcards by trying, regular expressions with the `regex` crate, and conditions by
//! walking them. Text that is no UTF-16 reaches the `regex` crate with U+FFFD in place of lone
//! surrogates.

use std::cell::RefCell;
use std::collections::HashMap;

use channel_format::engine::fold::fold;
use channel_format::limits::MAX_TEXT_UNITS;
use channel_format::schema::{Field, Input, Inputs, Kind, Operation, Truth};
use rsigma_parser::value::{SpecialChar, StringPart};
use rsigma_parser::{
    ConditionExpr, Detection, DetectionItem, Quantifier, SelectorPattern, SigmaString, SigmaValue,
};

use crate::fields::{ANONYMOUS_PIPE, OPERATIONS, SigmaField, number_of, number_of_flag};
use crate::lower::{Comparison, Modifiers, name_fits};
use crate::regex::Flags;
use crate::source::SourceRule;
use crate::users;

/// How the rule judges the event.
pub fn judge(rule: &SourceRule, inputs: &Inputs<'_>) -> Truth {
    let operation = match input(inputs, Field::Operation) {
        Input::Unknown if rule.judges == Operation::ALL_MASK => Truth::True,
        Input::Unknown => Truth::Unknown,
        Input::Number(number) => Operation::from_number(number)
            .map_or(Truth::False, |operation| (rule.judges & operation.mask() != 0).into()),
        _ => Truth::False,
    };
    let conditions = rule.detections.conditions.iter();
    let holds = conditions.map(|condition| judge_condition(rule, condition, inputs));
    operation.and(holds.fold(Truth::False, Truth::or))
}

fn judge_condition(rule: &SourceRule, condition: &ConditionExpr, inputs: &Inputs<'_>) -> Truth {
    let all = |parts: &[ConditionExpr]| -> Vec<Truth> {
        parts.iter().map(|part| judge_condition(rule, part, inputs)).collect()
    };
    match condition {
        ConditionExpr::And(parts) => all(parts).into_iter().fold(Truth::True, Truth::and),
        ConditionExpr::Or(parts) => all(parts).into_iter().fold(Truth::False, Truth::or),
        ConditionExpr::Not(part) => judge_condition(rule, part, inputs).not(),
        ConditionExpr::Identifier(name) => match rule.detections.named.get(name) {
            Some(detection) => judge_detection(detection, inputs),
            None => Truth::Unknown,
        },
        ConditionExpr::Selector { quantifier, pattern } => {
            let chosen = rule.detections.named.iter().filter(|(name, _)| match pattern {
                SelectorPattern::Them => !name.starts_with('_'),
                SelectorPattern::Pattern(pattern) => name_fits(name, pattern),
            });
            let truths: Vec<Truth> = chosen.map(|(_, d)| judge_detection(d, inputs)).collect();
            let count = |wanted: Truth| truths.iter().filter(|truth| **truth == wanted).count();
            let needed = match quantifier {
                Quantifier::Any => 1,
                Quantifier::All => truths.len(),
                Quantifier::Count(count) => usize::try_from(*count).unwrap_or(usize::MAX),
            };
            let (holds, unknown) = (count(Truth::True), count(Truth::Unknown));
            match (holds >= needed, holds + unknown >= needed) {
                (true, _) => Truth::True,
                (false, true) => Truth::Unknown,
                (false, false) => Truth::False,
            }
        }
    }
}

fn judge_detection(detection: &Detection, inputs: &Inputs<'_>) -> Truth {
    let each = |parts: &[Detection]| -> Vec<Truth> {
        parts.iter().map(|part| judge_detection(part, inputs)).collect()
    };
    match detection {
        Detection::AllOf(items) => {
            items.iter().fold(Truth::True, |holds, item| holds.and(judge_item(item, inputs)))
        }
        Detection::AnyOf(parts) => each(parts).into_iter().fold(Truth::False, Truth::or),
        Detection::And(parts) => each(parts).into_iter().fold(Truth::True, Truth::and),
        _ => Truth::Unknown,
    }
}

fn judge_item(item: &DetectionItem, inputs: &Inputs<'_>) -> Truth {
    let name = item.field.name.as_deref().unwrap_or("");
    let (Some(field), Ok(modifiers)) =
        (SigmaField::named(name), Modifiers::read(&item.field.modifiers))
    else {
        return Truth::Unknown;
    };
    let truths = item.values.iter().map(|value| judge_value(field, &modifiers, value, inputs));
    if modifiers.all {
        truths.fold(Truth::True, Truth::and)
    } else {
        truths.fold(Truth::False, Truth::or)
    }
}

fn judge_value(
    field: SigmaField,
    modifiers: &Modifiers,
    value: &SigmaValue,
    inputs: &Inputs<'_>,
) -> Truth {
    let input = input(inputs, field.field());
    if input == Input::Unknown || matches!(input, Input::Text(t) if too_long(t)) {
        return Truth::Unknown;
    }
    let present = input != Input::Absent;
    match (modifiers.comparison, value) {
        (Comparison::Exists, SigmaValue::Bool(wanted)) => return (present == *wanted).into(),
        (_, SigmaValue::Null) => return (!present).into(),
        _ => {}
    }
    let text = match (field, input) {
        (_, Input::Absent) => return Truth::False,
        (SigmaField::EventId | SigmaField::EventType, Input::Number(number)) => {
            let Some(entry) = OPERATIONS.iter().find(|entry| entry.2 == number) else {
                return Truth::False;
            };
            match field {
                SigmaField::EventId => {
                    return (as_number(Field::Operation, value) == Some(entry.0)).into();
                }
                _ => entry.1.encode_utf16().collect(),
            }
        }
        (SigmaField::Plain(field), Input::Number(number)) if field.kind() == Kind::Number => {
            return judge_number(modifiers.comparison, number, as_number(field, value));
        }
        (SigmaField::Plain(field), Input::Sid(sid)) if field.kind() == Kind::Sid => {
            let SigmaValue::String(pattern) = value else {
                return Truth::Unknown;
            };
            let fits = |text: &String| {
                let text: Vec<u16> = text.encode_utf16().collect();
                text_fits(modifiers, pattern, &text)
            };
            return users::texts(sid).iter().any(fits).into();
        }
        (SigmaField::Plain(Field::PipeName), Input::Text([])) => {
            ANONYMOUS_PIPE.encode_utf16().collect()
        }
        (SigmaField::Plain(field), Input::Text(text)) if field.kind() == Kind::Text => {
            text.to_vec()
        }
        // What is of another kind fits only what fits anything: `*` asks whether the field is there.
        (SigmaField::Plain(field), _) if field.kind() != Kind::Number => {
            return if fits_anything(modifiers, value) { Truth::True } else { Truth::Unknown };
        }
        _ => return Truth::Unknown,
    };
    match value {
        SigmaValue::String(pattern) => text_fits(modifiers, pattern, &text).into(),
        _ => Truth::Unknown,
    }
}

fn judge_number(comparison: Comparison, found: u64, wanted: Option<u64>) -> Truth {
    let Some(wanted) = wanted else {
        return Truth::Unknown;
    };
    match comparison {
        Comparison::Is => (found == wanted).into(),
        Comparison::Less => (found < wanted).into(),
        Comparison::LessOrEqual => (found <= wanted).into(),
        Comparison::Greater => (found > wanted).into(),
        Comparison::GreaterOrEqual => (found >= wanted).into(),
        _ => Truth::Unknown,
    }
}

/// True if the text fits the value, as the modifiers say.
pub(crate) fn text_fits(modifiers: &Modifiers, value: &SigmaString, text: &[u16]) -> bool {
    if modifiers.comparison == Comparison::Regex {
        return regex_fits(&value.original, modifiers.flags, &String::from_utf16_lossy(text));
    }
    let mut pattern = Vec::new();
    let leading = matches!(modifiers.comparison, Comparison::Contains | Comparison::EndsWith);
    let trailing = matches!(modifiers.comparison, Comparison::Contains | Comparison::StartsWith);
    pattern.extend(leading.then_some(Wanted::Any));
    for part in &value.parts {
        match part {
            StringPart::Plain(text) => {
                let text: Vec<u16> = text.encode_utf16().collect();
                pattern.extend(characters(&text, modifiers.cased).into_iter().map(Wanted::This));
            }
            StringPart::Special(SpecialChar::WildcardSingle) => pattern.push(Wanted::One),
            StringPart::Special(SpecialChar::WildcardMulti) => pattern.push(Wanted::Any),
        }
    }
    pattern.extend(trailing.then_some(Wanted::Any));
    fits(&pattern, &characters(text, modifiers.cased))
}

/// True if the value is nothing but `*`, written or standing for the comparison.
fn fits_anything(modifiers: &Modifiers, value: &SigmaValue) -> bool {
    let SigmaValue::String(pattern) = value else {
        return false;
    };
    let only_stars =
        pattern.parts.iter().all(|part| *part == StringPart::Special(SpecialChar::WildcardMulti));
    match modifiers.comparison {
        Comparison::Is => only_stars && !pattern.parts.is_empty(),
        Comparison::Contains | Comparison::StartsWith | Comparison::EndsWith => only_stars,
        _ => false,
    }
}

/// True if the text fits the regular expression. Building one takes far longer than trying it, so
/// a thread keeps some.
fn regex_fits(pattern: &str, flags: Flags, text: &str) -> bool {
    const KEPT: usize = 256;
    thread_local! {
        static BUILT: RefCell<HashMap<(String, Flags), Option<regex::Regex>>> = RefCell::default();
    }
    let build = || {
        regex::RegexBuilder::new(pattern)
            .case_insensitive(flags.ignore_case)
            .multi_line(flags.multi_line)
            .dot_matches_new_line(flags.dot_all)
            .build()
            .ok()
    };
    BUILT.with_borrow_mut(|built| {
        if built.len() >= KEPT {
            built.clear();
        }
        let regex = built.entry((pattern.to_owned(), flags)).or_insert_with(build);
        regex.as_ref().is_some_and(|regex| regex.is_match(text))
    })
}

/// One part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    This(u32),
    One,
    Any,
}

/// For each length of the text's start, whether the pattern so far fits it.
fn fits(pattern: &[Wanted], text: &[u32]) -> bool {
    let mut reach = vec![false; text.len() + 1];
    reach[0] = true;
    for wanted in pattern {
        let before = reach.clone();
        let mut reached = false;
        for end in 0..reach.len() {
            reached |= before[end];
            reach[end] = match wanted {
                Wanted::Any => reached,
                Wanted::One => end > 0 && before[end - 1],
                Wanted::This(letter) => end > 0 && before[end - 1] && text[end - 1] == *letter,
            };
        }
    }
    reach[text.len()]
}

/// The characters of a text; a lone surrogate is one.
fn characters(text: &[u16], cased: bool) -> Vec<u32> {
    let spell = |unit: &u16| if cased { *unit } else { fold(*unit) };
    char::decode_utf16(text.iter().map(spell))
        .map(|letter| letter.map_or_else(|lone| lone.unpaired_surrogate().into(), u32::from))
        .collect()
}

fn input<'a>(inputs: &Inputs<'a>, field: Field) -> Input<'a> {
    inputs.try_input(field.index()).unwrap_or_default()
}

fn too_long(text: &[u16]) -> bool {
    text.len() > MAX_TEXT_UNITS as usize
}

fn as_number(field: Field, value: &SigmaValue) -> Option<u64> {
    match value {
        SigmaValue::Integer(number) => u64::try_from(*number).ok(),
        SigmaValue::String(text) => number_of(field, &text.as_plain()?),
        SigmaValue::Bool(flag) => number_of_flag(field, *flag),
        _ => None,
    }
}
