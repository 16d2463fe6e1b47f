//! One JSON object to one event.
//!
//! Values are kept as they stand in the line until a key asks for them. So keys that nobody reads
//! may hold anything, text keeps its lone surrogates, and a deep nesting costs no stack.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{Key, Operation, PipeEvent, RecordError, Value, Wide};

/// Sysmon's way to write the name of a pipe that has none.
const ANONYMOUS_PIPE: &str = "<Anonymous Pipe>";

/// Longest part of a bad value that an error repeats, in characters.
const MAX_QUOTE: usize = 60;

/// The event that `line` holds.
pub(crate) fn event(line: &[u8]) -> Result<PipeEvent, RecordError> {
    let text = std::str::from_utf8(line)
        .map_err(|error| RecordError::NotUtf8 { offset: error.valid_up_to() })?;
    let record = Shape::of(Object::parse(text)?)?;
    let operation = record.operation()?;
    let written = record.written();
    let fields = record.fields;

    let pipe_name = match fields.text("PipeName")?.ok_or(RecordError::NoPipeName)? {
        name if name == ANONYMOUS_PIPE => Wide::default(),
        name => name,
    };
    let mut event = PipeEvent {
        operation,
        pipe_name,
        image: fields.text("Image")?,
        process_id: fields.number("ProcessId")?,
        user: fields.text("User")?,
        time: fields.text("UtcTime")?.or(written),
        other: std::collections::BTreeMap::new(),
    };
    for &key in Key::ALL {
        for &name in key.names() {
            let value = if key.is_text() {
                fields.text(name)?.map(Value::Text)
            } else {
                fields.value(name)?
            };
            if let Some(value) = value {
                event.other.entry(key).or_insert(value);
            }
        }
    }
    Ok(event)
}

/// Where a record keeps its event id and its fields.
struct Shape<'a> {
    event_id: Option<(&'static str, &'a RawValue)>,
    fields: Object<'a>,
    system: Object<'a>,
    /// When a collector took the event in.
    taken_in: Option<Wide>,
}

impl<'a> Shape<'a> {
    fn of(record: Object<'a>) -> Result<Self, RecordError> {
        let taken_in = record.time("@timestamp");
        if let Some(event) = record.object("Event")? {
            let system = event.object("System")?.unwrap_or_default();
            return Ok(Self {
                event_id: system.get("EventID")?.map(|raw| ("EventID", raw)),
                fields: event.object("EventData")?.unwrap_or_default(),
                system,
                taken_in,
            });
        }
        if let Some(event) = record.object("winlog")? {
            return Ok(Self {
                event_id: event.get("event_id")?.map(|raw| ("winlog.event_id", raw)),
                fields: event.object("event_data")?.unwrap_or_default(),
                system: Object::default(),
                taken_in,
            });
        }
        Ok(Self {
            event_id: record.get("EventID")?.map(|raw| ("EventID", raw)),
            fields: record,
            system: Object::default(),
            taken_in,
        })
    }

    /// When the event was written, by the envelope. It is only for reports, so one that cannot be
    /// read is none.
    fn written(&self) -> Option<Wide> {
        [&self.system, &self.fields]
            .into_iter()
            .find_map(|object| {
                object.time("TimeCreated").or_else(|| object.time("TimeCreated_attributes"))
            })
            .or_else(|| self.taken_in.clone())
    }

    fn operation(&self) -> Result<Operation, RecordError> {
        if let Some((key, raw)) = self.event_id {
            // With attributes beside it, the value stands under "#text".
            let inner = Object::parse(raw.get()).unwrap_or_default();
            let raw = inner.get("#text")?.unwrap_or(raw);
            match number(key, raw)? {
                Some(17) => return Ok(Operation::Created),
                Some(18) => return Ok(Operation::Connected),
                Some(event_id) => return Err(RecordError::OtherEvent { event_id }),
                None => {}
            }
        }
        match self.fields.text("EventType")? {
            Some(name) if name == "CreatePipe" => Ok(Operation::Created),
            Some(name) if name == "ConnectPipe" => Ok(Operation::Connected),
            _ => Err(RecordError::NoEventId),
        }
    }
}

/// The members of one object, unread.
#[derive(Default)]
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    fn parse(text: &'a str) -> Result<Self, RecordError> {
        let found = match text.as_bytes().first() {
            Some(b'{') | None => return serde_json::from_str(text).map_err(not_json),
            Some(b'[') => "an array",
            Some(b'"') => "a string",
            Some(b'-' | b'0'..=b'9') => "a number",
            Some(_) => "other text",
        };
        // Say "not JSON" first where both are true.
        serde_json::from_str::<de::IgnoredAny>(text).map_err(not_json)?;
        Err(RecordError::NotAnObject { found })
    }

    /// The value of `key`; null is no value.
    fn get(&self, key: &'static str) -> Result<Option<&'a RawValue>, RecordError> {
        let mut values = self.0.iter().filter(|(name, _)| name == key).map(|(_, raw)| *raw);
        let value = values.next();
        if values.next().is_some() {
            return Err(RecordError::GivenTwice { key });
        }
        Ok(value.filter(|raw| raw.get() != "null"))
    }

    /// The object under `key`; values of other types are nobody's business here.
    fn object(&self, key: &'static str) -> Result<Option<Object<'a>>, RecordError> {
        match self.get(key)? {
            Some(raw) if raw.get().starts_with('{') => Object::parse(raw.get()).map(Some),
            _ => Ok(None),
        }
    }

    fn text(&self, key: &'static str) -> Result<Option<Wide>, RecordError> {
        let Some(raw) = self.get(key)? else {
            return Ok(None);
        };
        string(raw).map(Some).ok_or_else(|| bad_value(key, raw, "text"))
    }

    /// A time as it stands: text, a number, or either under the event log's attribute.
    fn time(&self, key: &'static str) -> Option<Wide> {
        let raw = self.get(key).ok()??;
        let json = raw.get();
        match json.as_bytes().first()? {
            b'"' => string(raw).filter(|text| !is_blank(text)),
            b'0'..=b'9' => Some(json.into()),
            b'{' => {
                let inner = Object::parse(json).ok()?;
                let attributes = inner.object("#attributes").ok()?;
                attributes.as_ref().unwrap_or(&inner).time("SystemTime")
            }
            _ => None,
        }
    }

    fn number(&self, key: &'static str) -> Result<Option<u64>, RecordError> {
        self.get(key)?.map_or(Ok(None), |raw| number(key, raw))
    }

    fn value(&self, key: &'static str) -> Result<Option<Value>, RecordError> {
        let Some(raw) = self.get(key)? else {
            return Ok(None);
        };
        let value = match raw.get() {
            "true" => Value::Flag(true),
            "false" => Value::Flag(false),
            json => match (string(raw), json.parse()) {
                (Some(text), _) => match parse_number(&text.to_string()) {
                    Some(number) => Value::Number(number),
                    None if is_blank(&text) => return Ok(None),
                    None => Value::Text(text),
                },
                (None, Ok(number)) => Value::Number(number),
                (None, Err(_)) => {
                    return Err(bad_value(key, raw, "text, a whole number, true or false"));
                }
            },
        };
        Ok(Some(value))
    }
}

fn number(key: &'static str, raw: &RawValue) -> Result<Option<u64>, RecordError> {
    let number = match string(raw) {
        Some(text) if is_blank(&text) => return Ok(None),
        Some(text) => parse_number(&text.to_string()),
        None => raw.get().parse().ok(),
    };
    match number {
        Some(number) => Ok(Some(number)),
        None => Err(bad_value(key, raw, "a whole number, decimal or 0x")),
    }
}

/// What exporters write for "no value".
fn is_blank(text: &Wide) -> bool {
    text.is_empty() || *text == "-"
}

fn parse_number(text: &str) -> Option<u64> {
    // `from_str_radix` would take a sign.
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if digits.starts_with('+') => None,
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The text of a JSON string, lone surrogates kept; `None` for other types.
fn string(raw: &RawValue) -> Option<Wide> {
    if !raw.get().starts_with('"') {
        return None;
    }
    // Asked for bytes, the parser gives WTF-8 where a string is not valid Unicode.
    let Bytes(bytes) = serde_json::from_str(raw.get()).ok()?;
    Wide::from_wtf8(&bytes)
}

fn bad_value(key: &'static str, raw: &RawValue, expected: &'static str) -> RecordError {
    let json = raw.get();
    let mut found: String = json.chars().take(MAX_QUOTE).collect();
    if found.len() < json.len() {
        found.push('…');
    }
    RecordError::BadValue { key, found, expected }
}

fn not_json(error: serde_json::Error) -> RecordError {
    let text = error.to_string();
    // Its line is always 1 here.
    let reason = text.split(" at line ").next().unwrap_or_default().to_owned();
    RecordError::NotJson { reason, column: error.column() }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Object(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// A key, copied only where it has escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A string's bytes.
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;

        impl Visitor<'_> for Visit {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(Visit)
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
