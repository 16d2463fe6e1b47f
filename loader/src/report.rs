//! Verdicts as JSON lines: the form that `sakerctl content eval` and the kernel host's replay
//! share, so that their outputs can be compared byte for byte.

use std::io::{self, Write};

use driver_abi::Verdict;
use serde::{Deserialize, Serialize};

/// Version of the form.
pub const VERSION: u32 = 1;

/// What one record of a log came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// [`VERSION`].
    pub v: u32,
    /// The log, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Position among all records of the log, from 0.
    pub event: u64,
    /// Ids of the rules that match, sorted.
    pub rules: Vec<String>,
    /// Ids of the rules that cannot be told, sorted.
    pub unknown: Vec<String>,
    /// What the driver answered; evaluation alone has none.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "verdict")]
    pub verdict: Option<Verdict>,
    /// Why this record gave no event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A verdict as its word.
mod verdict {
    use driver_abi::Verdict;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(
        verdict: &Option<Verdict>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        verdict.map(Verdict::name).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Verdict>, D::Error> {
        let word = Option::<String>::deserialize(deserializer)?;
        let known = |word: String| Verdict::ALL.into_iter().find(|verdict| verdict.name() == word);
        word.map(|word| known(word).ok_or_else(|| D::Error::custom("no such verdict"))).transpose()
    }
}

impl Line {
    /// A record that was judged; the ids come in any order.
    pub fn judged(event: u64, mut rules: Vec<String>, mut unknown: Vec<String>) -> Self {
        rules.sort_unstable();
        unknown.sort_unstable();
        Self { v: VERSION, log: None, event, rules, unknown, verdict: None, error: None }
    }

    /// A record that gave no event.
    pub fn failed(event: u64, error: impl std::fmt::Display) -> Self {
        Self { error: Some(error.to_string()), ..Self::judged(event, Vec::new(), Vec::new()) }
    }

    /// The same with the driver's answer.
    #[must_use]
    pub fn with_verdict(self, verdict: Verdict) -> Self {
        Self { verdict: Some(verdict), ..self }
    }

    /// The same with the log that it is of.
    #[must_use]
    pub fn with_log(self, log: Option<String>) -> Self {
        Self { log, ..self }
    }

    /// Writes the line and its end.
    pub fn write(&self, mut out: impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut out, self)?;
        out.write_all(b"\n")
    }
}

/// Text of a file or a log made fit for a terminal: control characters, which could drive it, are
/// shown as escapes.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A number of things: `1 rule`, `2 rules`.
pub fn count(number: u64, thing: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{ending}")
}

/// A number of things whose plural is a word of its own: `1 body`, `2 bodies`.
pub fn count_of(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &Line) -> String {
        let mut bytes = Vec::new();
        line.write(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("\\a\u{1b}[2Jé\0"), "\\a\\u{1b}[2Jé\\u{0}");
    }

    #[test]
    fn the_form_of_a_line() {
        let line = Line::judged(7, vec!["b".into(), "a".into()], vec![]);
        assert_eq!(text(&line), "{\"v\":1,\"event\":7,\"rules\":[\"a\",\"b\"],\"unknown\":[]}\n");
        let line = line.with_verdict(Verdict::NotReady);
        assert!(text(&line).ends_with(",\"verdict\":\"not_ready\"}\n"));
        assert_eq!(serde_json::from_str::<Line>(&text(&line)).unwrap(), line);
        assert_eq!(
            text(&Line::failed(0, "no EventID")),
            "{\"v\":1,\"event\":0,\"rules\":[],\"unknown\":[],\"error\":\"no EventID\"}\n"
        );
    }
}
