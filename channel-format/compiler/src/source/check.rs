//! A look at the YAML itself: what the Sigma parser would let pass or quietly alter.

use std::ops::Range;
use std::path::Path;

use yaml_serde::{Deserializer, Value};

use super::locate;
use crate::error::RuleError;
use crate::fields::{SigmaField, closest};

/// Modifiers that are built, and those that Sigma knows beside them.
const MODIFIERS: [&str; 17] = [
    "contains",
    "startswith",
    "endswith",
    "all",
    "re",
    "cased",
    "exists",
    "lt",
    "lte",
    "gt",
    "gte",
    "i",
    "ignorecase",
    "m",
    "multiline",
    "s",
    "dotall",
];
const UNSUPPORTED: [&str; 18] = [
    "base64",
    "base64offset",
    "wide",
    "utf16le",
    "utf16be",
    "utf16",
    "windash",
    "cidr",
    "expand",
    "fieldref",
    "neq",
    "not",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "year",
];

/// One document of a file.
pub(super) struct Document {
    /// Where it lies.
    pub(super) range: Range<usize>,
    /// Its title, as far as it can be told.
    pub(super) title: String,
    /// Whether it lends its keys to other documents, or has them from others.
    pub(super) shared: bool,
    /// Whether it is no YAML; then no document behind it has been looked at.
    pub(super) not_yaml: bool,
    /// Every fault.
    pub(super) errors: Vec<RuleError>,
}

/// The file's documents, each with its faults.
pub(super) fn documents(file: &Path, text: &str) -> Vec<Document> {
    let mut documents = Vec::new();
    for range in ranges(text) {
        let mut checker = Checker { file, text, range: range.clone(), errors: Vec::new() };
        let mut document = Document {
            range: range.clone(),
            title: String::new(),
            shared: false,
            not_yaml: false,
            errors: Vec::new(),
        };
        for value in Deserializer::from_str(&text[range.clone()]) {
            match <Value as serde::Deserialize>::deserialize(value) {
                Ok(Value::Null) => {}
                Ok(value) => {
                    let title = value.get("title").and_then(Value::as_str);
                    document.title = title.unwrap_or_default().to_owned();
                    document.shared |= value.get("action").is_some();
                    checker.document(&value);
                }
                Err(_) => {
                    checker.errors.push(not_yaml(file, text, &range));
                    document.not_yaml = true;
                    break;
                }
            }
        }
        document.errors = checker.errors;
        documents.push(document);
        // After a syntax error the rest of the stream has no meaning.
        if documents.last().is_some_and(|document| document.not_yaml) {
            break;
        }
    }
    documents
}

/// The parts of a text between the lines that separate documents, each with the line before it.
fn ranges(text: &str) -> Vec<Range<usize>> {
    let mut starts = vec![0];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let behind = line.strip_prefix("---");
        if at > 0
            && behind
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
        {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
}

/// What is no YAML, with its place in the whole text.
fn not_yaml(file: &Path, text: &str, document: &Range<usize>) -> RuleError {
    // Parsed once more with the lines before it, so that the message counts from the file's start.
    let lines = text[..document.start].matches('\n').count();
    let padded = "\n".repeat(lines) + &text[document.clone()];
    let found = Deserializer::from_str(&padded)
        .find_map(|value| <Value as serde::Deserialize>::deserialize(value).err());
    let place = found.as_ref().and_then(|error| error.location());
    let place = place.map(|place| (place.index() + document.start).saturating_sub(lines));
    let span = place.map(|at| line_at(text, at.min(text.len())));
    let reason = found.map_or_else(|| "not YAML".to_owned(), |error| format!("not YAML: {error}"));
    let help = "check indentation, quotes and colons around this line";
    RuleError::new(file, text, span, reason, help)
}

struct Checker<'a> {
    file: &'a Path,
    text: &'a str,
    range: Range<usize>,
    errors: Vec<RuleError>,
}

impl Checker<'_> {
    fn document(&mut self, document: &Value) {
        let Some(document) = document.as_mapping() else {
            self.fail(&[], "the document is not a mapping", "a rule is a mapping of keys");
            return;
        };
        for (key, value) in document {
            match key.as_str() {
                Some("detection") => self.detection(value),
                // What is no text in these, the parser leaves out.
                Some(key @ ("tags" | "references")) => {
                    let whole = std::slice::from_ref(value);
                    let texts = value.as_sequence().map_or(whole, Vec::as_slice);
                    if !value.is_null() && !texts.iter().all(Value::is_string) {
                        self.fail(&[key], format!("`{key}` holds what is no text"), "quote it");
                    }
                }
                Some(key @ ("id" | "title" | "level")) if !value.is_string() => {
                    self.fail(&[key], format!("the value of `{key}` is not a text"), "quote it");
                }
                Some(_) => {}
                None => self.fail(&[], "a key is not a text", "quote the key"),
            }
        }
    }

    fn detection(&mut self, value: &Value) {
        // The parser reports a section that is no mapping.
        let Some(entries) = value.as_mapping() else {
            return;
        };
        for (name, value) in entries {
            match name.as_str() {
                Some("condition") => self.condition(value),
                Some("timeframe") => {}
                Some(name) => self.selection(name, value),
                None => self.fail(&["detection"], "a selection's name is not a text", "quote it"),
            }
        }
    }

    fn condition(&mut self, value: &Value) {
        let whole = std::slice::from_ref(value);
        let conditions = value.as_sequence().map_or(whole, Vec::as_slice);
        if conditions.iter().filter_map(Value::as_str).any(|text| text.contains('|')) {
            let help = "a channel file judges single events; correlate in user mode";
            let reason = "the condition counts over events, which is not supported";
            self.unsupported(&["condition"], reason, help);
        }
    }

    fn selection(&mut self, name: &str, value: &Value) {
        match value {
            Value::Mapping(items) => {
                if items.is_empty() {
                    self.fail(&[name], format!("the selection `{name}` is empty"), "add a field");
                }
                for (key, value) in items {
                    match key.as_str() {
                        Some(key) => self.item(key, value),
                        None => self.fail(&[name], "a field's name is not a text", "quote it"),
                    }
                }
            }
            Value::Sequence(parts)
                if !parts.is_empty() && parts.iter().all(|p| p.is_mapping() || p.is_sequence()) =>
            {
                for part in parts {
                    self.selection(name, part);
                }
            }
            _ => {
                let reason = format!("`{name}` holds values without a field");
                self.unsupported(
                    &[name],
                    reason,
                    "keyword searches are not supported; name the field: `PipeName|contains: …`",
                );
            }
        }
    }

    fn item(&mut self, key: &str, value: &Value) {
        let mut parts = key.split('|');
        let field = parts.next().unwrap_or("");
        if field.is_empty() {
            let help = "keyword searches are not supported; name the field: `PipeName|contains: …`";
            self.fail(&[key, "detection"], format!("`{key}` names no field"), help);
            return;
        }
        if SigmaField::named(field).is_none() {
            let help = match (field, SigmaField::suggest(field)) {
                ("ProcessGuid" | "UtcTime" | "RuleName" | "Hashes" | "CommandLine", _) => {
                    "no sensor that judges a pipe while it is created knows it; take it out"
                        .to_owned()
                }
                (_, Some(meant)) => format!("did you mean `{meant}`?"),
                (_, None) => "fields of this category are PipeName, Image, ImageName, ProcessId, \
                              User, EventID, EventType and the others in docs/rules.md"
                    .to_owned(),
            };
            self.unsupported(&[key, field], format!("unknown field `{field}`"), help);
        }
        for modifier in parts {
            self.modifier(key, modifier);
        }
        let values = match value {
            Value::Sequence(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        if values.is_empty() {
            self.fail(&[key], "the list of values is empty", "add a value, or take the field out");
        }
        for value in values {
            if matches!(value, Value::Mapping(_) | Value::Sequence(_) | Value::Tagged(_)) {
                let reason = "a value is not a text, number, boolean or null";
                self.unsupported(&[key], reason, "flatten it");
            }
        }
    }

    fn modifier(&mut self, key: &str, modifier: &str) {
        if MODIFIERS.contains(&modifier) {
            return;
        }
        if UNSUPPORTED.contains(&modifier) {
            let help = match modifier {
                "neq" | "not" => "negate in the condition: `selection and not filter`",
                "windash" | "cidr" => "it has no meaning for named pipes; take it out",
                "minute" | "hour" | "day" | "week" | "month" | "year" => {
                    "no field of this category holds a time; take it out"
                }
                "fieldref" => "a field is compared with what the rule says, not with another field",
                "expand" => "placeholders are filled in before a rule gets here; write the values",
                _ => "write out the values that it would produce",
            };
            self.unsupported(&[key], format!("the modifier `{modifier}` is not supported"), help);
            return;
        }
        let help = match closest(modifier, MODIFIERS) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("known are {}", MODIFIERS.join(", ")),
        };
        self.unsupported(&[key], format!("unknown modifier `{modifier}`"), help);
    }

    fn fail(&mut self, words: &[&str], reason: impl Into<String>, help: impl Into<String>) {
        let error = self.error(words, reason.into(), help.into());
        self.errors.push(error);
    }

    fn unsupported(&mut self, words: &[&str], reason: impl Into<String>, help: impl Into<String>) {
        let error = self.error(words, reason.into(), help.into());
        self.errors.push(error.unsupported());
    }

    fn error(&self, words: &[&str], reason: String, help: String) -> RuleError {
        let span = locate(self.text, &self.range, words);
        RuleError::new(self.file, self.text, span, reason, help)
    }
}

/// The line that holds a place.
fn line_at(text: &str, at: usize) -> Range<usize> {
    let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let start = text[..at].rfind('\n').map_or(0, |line| line + 1);
    let end = text[at..].find('\n').map_or(text.len(), |line| at + line);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_modifier() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rules.md");
        let page = std::fs::read_to_string(page).unwrap();
        for modifier in MODIFIERS.iter().chain(&UNSUPPORTED) {
            assert!(page.contains(&format!("`{modifier}`")), "{modifier}");
        }
    }
}
