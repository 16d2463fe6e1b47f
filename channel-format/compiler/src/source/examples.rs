//! Examples: events that come with a rule, and how it must judge them. An author's are in Sigma's
//! terms.

use std::collections::BTreeMap;

use channel_format::limits::{MAX_RULE_EXAMPLES, MAX_TEXT_UNITS};
use channel_format::schema::{Field, Input, Inputs, Kind, Operation};
use yaml_serde::Value;

use crate::derive::MAX_DERIVED;
use crate::fields::{ANONYMOUS_PIPE, OPERATIONS, SigmaField, kind_name, number_of, number_of_flag};
use crate::users;

/// An event that comes with a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Whether the rule must match it.
    pub matches: bool,
    /// Whether it was derived from the rule, and not written by its author.
    pub derived: bool,
    /// Its fields; those not listed are absent.
    pub values: BTreeMap<Field, ExampleValue>,
}

/// A value of an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExampleValue {
    /// Text.
    Text(Vec<u16>),
    /// A number.
    Number(u64),
    /// A binary security identifier.
    Sid(Vec<u8>),
}

impl Example {
    /// The example as inputs.
    pub fn inputs(&self) -> Inputs<'_> {
        let mut inputs = Inputs::absent();
        for (field, value) in &self.values {
            inputs.set(
                *field,
                match value {
                    ExampleValue::Text(text) => Input::Text(text),
                    ExampleValue::Number(number) => Input::Number(*number),
                    ExampleValue::Sid(sid) => Input::Sid(sid),
                },
            );
        }
        inputs
    }
}

type Fail<'a> = &'a mut dyn FnMut(&[&str], String, String);

/// Reads `examples: {match: [...], no_match: [...]}`.
pub(super) fn read(value: &Value, fail: Fail<'_>) -> Vec<Example> {
    let help = "write `examples:` with `match:` and `no_match:`, each a list of events";
    let mut examples = Vec::new();
    let Some(entries) = value.as_mapping() else {
        fail(&["examples"], "`examples` is not a mapping".into(), help.into());
        return examples;
    };
    for (key, value) in entries {
        let matches = match key.as_str() {
            Some("match") => true,
            Some("no_match") => false,
            other => {
                let name = other.unwrap_or("examples");
                fail(&[name], format!("unknown key `{name}` in `examples`"), help.into());
                continue;
            }
        };
        let Some(events) = value.as_sequence() else {
            fail(&["examples"], "examples are not in a list".into(), help.into());
            continue;
        };
        for event in events {
            if let Some(values) = read_event(event, fail) {
                examples.push(Example { matches, derived: false, values });
            }
        }
    }
    let most = MAX_RULE_EXAMPLES as usize - MAX_DERIVED;
    if examples.len() > most {
        let reason = format!("{} examples are too many", examples.len());
        fail(&["examples"], reason, format!("keep at most {most}"));
    }
    examples
}

fn read_event(event: &Value, fail: Fail<'_>) -> Option<BTreeMap<Field, ExampleValue>> {
    let Some(entries) = event.as_mapping() else {
        let help = r"write an event as `{PipeName: '\name', Image: 'C:\path.exe'}`";
        fail(&["examples"], "an example is not a mapping".into(), help.into());
        return None;
    };
    let mut values = BTreeMap::new();
    // Unless an event says otherwise it is a creation, as most are.
    values.insert(Field::Operation, ExampleValue::Number(Operation::Created.number()));
    for (key, value) in entries {
        let name = key.as_str().unwrap_or("(not a text)");
        let Some(field) = SigmaField::named(name) else {
            let help = match SigmaField::suggest(name) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "use fields of the rule's category".to_owned(),
            };
            fail(&[name], format!("unknown field `{name}` in an example"), help);
            return None;
        };
        if value.is_null() {
            values.remove(&field.field());
            continue;
        }
        let Some(value) = read_value(field, value) else {
            let help = match field {
                SigmaField::EventId => "EventID is 17 or 18".to_owned(),
                SigmaField::EventType => "EventType is CreatePipe or ConnectPipe".to_owned(),
                SigmaField::Plain(field) => format!(
                    "its value is {}, of at most {MAX_TEXT_UNITS} units if it is text",
                    kind_name(field.kind())
                ),
            };
            fail(&[name], format!("the value of `{name}` in an example does not fit"), help);
            return None;
        };
        if let (SigmaField::Plain(Field::ImagePath), ExampleValue::Text(path)) = (field, &value) {
            let name = path.rsplit(|unit| *unit == u16::from(b'\\')).next().unwrap_or(path);
            values.entry(Field::ImageName).or_insert(ExampleValue::Text(name.to_vec()));
        }
        values.insert(field.field(), value);
    }
    Some(values)
}

fn read_value(field: SigmaField, value: &Value) -> Option<ExampleValue> {
    let operation =
        |found: Option<&(u64, &str, u64)>| found.map(|entry| ExampleValue::Number(entry.2));
    match field {
        SigmaField::EventId => {
            let number = number(Field::Operation, value)?;
            operation(OPERATIONS.iter().find(|entry| entry.0 == number))
        }
        SigmaField::EventType => {
            let name = value.as_str()?;
            operation(OPERATIONS.iter().find(|entry| entry.1.eq_ignore_ascii_case(name)))
        }
        SigmaField::Plain(field) => match field.kind() {
            Kind::Text => {
                let text = value.as_str()?;
                let anonymous = field == Field::PipeName && text == ANONYMOUS_PIPE;
                let units: Vec<u16> =
                    if anonymous { vec![] } else { text.encode_utf16().collect() };
                (units.len() <= MAX_TEXT_UNITS as usize).then_some(ExampleValue::Text(units))
            }
            Kind::Number => Some(ExampleValue::Number(number(field, value)?)),
            Kind::Sid => users::named(value.as_str()?).ok().map(ExampleValue::Sid),
        },
    }
}

fn number(field: Field, value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => number_of(field, text),
        Value::Bool(flag) => number_of_flag(field, *flag),
        _ => None,
    }
}
