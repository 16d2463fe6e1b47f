//! INF files: read as far as a driver package needs it, looked over, and stamped.
//!
//! What Microsoft's InfVerif and the driver store refuse is refused here first ([`lint`]), and so is
//! what they let pass although the filter would load and see nothing.

pub mod lint;
mod stamp;

use std::collections::BTreeMap;

pub use stamp::{Arch, Stamp};

/// An INF in parts. Names of sections and keys are compared without case.
#[derive(Debug, Clone, Default)]
pub struct Inf {
    sections: BTreeMap<String, Vec<Line>>,
    strings: BTreeMap<String, String>,
}

/// A line of a section.
#[derive(Debug, Clone)]
pub struct Line {
    /// What stands before `=`, if there is one.
    pub key: Option<String>,
    /// What stands behind it, or the whole line, at its commas.
    pub values: Vec<String>,
    /// Where it stands, from 1.
    pub number: usize,
}

impl Inf {
    /// Takes a file apart. `%names%` are replaced by their strings where there are such; quotes go.
    pub fn parse(text: &str) -> Self {
        let mut raw: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
        let mut section = String::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = without_comment(line).trim();
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = name.trim().to_ascii_lowercase();
                raw.entry(section.clone()).or_default();
            } else if !line.is_empty() {
                raw.entry(section.clone()).or_default().push((number, line.to_owned()));
            }
        }
        let mut strings = BTreeMap::new();
        for (_, line) in raw.get("strings").into_iter().flatten() {
            if let Some((name, value)) = line.split_once('=') {
                strings.insert(name.trim().to_ascii_lowercase(), unquoted(value));
            }
        }
        let mut inf = Self { sections: BTreeMap::new(), strings };
        for (name, lines) in raw {
            let lines = lines.into_iter().map(|(number, text)| inf.line(number, &text)).collect();
            inf.sections.insert(name, lines);
        }
        inf
    }

    fn line(&self, number: usize, text: &str) -> Line {
        let (key, rest) = match split_outside_quotes(text, '=').as_slice() {
            [key, rest @ ..] if !rest.is_empty() => {
                (Some(self.expanded(key.trim())), rest.join("="))
            }
            _ => (None, text.to_owned()),
        };
        let values = split_outside_quotes(&rest, ',');
        let values = values.iter().map(|value| unquoted(&self.expanded(value.trim()))).collect();
        Line { key, values, number }
    }

    fn expanded(&self, text: &str) -> String {
        let mut parts = text.split('%');
        let mut out = parts.next().unwrap_or_default().to_owned();
        // Every other part stands between two signs.
        while let Some(name) = parts.next() {
            match self.strings.get(&name.to_ascii_lowercase()) {
                Some(value) => out.push_str(value),
                None => {
                    out.push('%');
                    out.push_str(name);
                    out.push('%');
                }
            }
            out.push_str(parts.next().unwrap_or_default());
        }
        out
    }

    /// The lines of a section; `None` when it is not there.
    pub fn section(&self, name: &str) -> Option<&[Line]> {
        self.sections.get(&name.to_ascii_lowercase()).map(Vec::as_slice)
    }

    /// The names of the sections, in lower case.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().map(String::as_str)
    }

    /// Every line with its section.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &Line)> {
        self.sections
            .iter()
            .flat_map(|(name, lines)| lines.iter().map(move |line| (name.as_str(), line)))
    }

    /// What stands behind `key =` in a section, at its commas.
    pub fn values(&self, section: &str, key: &str) -> Option<&[String]> {
        let line = self.section(section)?.iter().find(|line| {
            line.key.as_deref().is_some_and(|found| found.eq_ignore_ascii_case(key))
        })?;
        Some(&line.values)
    }

    /// The same where one value is expected.
    pub fn value(&self, section: &str, key: &str) -> Option<&str> {
        self.values(section, key)?.first().map(String::as_str)
    }
}

/// A line up to its comment: a `;` outside of quotes.
fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (at, character) in line.char_indices() {
        match character {
            '"' => quoted = !quoted,
            ';' if !quoted => return &line[..at],
            _ => {}
        }
    }
    line
}

fn split_outside_quotes(text: &str, at: char) -> Vec<String> {
    let mut quoted = false;
    let mut parts = vec![String::new()];
    for character in text.chars() {
        if character == '"' {
            quoted = !quoted;
        }
        if character == at && !quoted {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    parts
}

/// Quotes may stand around a part of a value alone: `"Instances\"%Name%`.
fn unquoted(text: &str) -> String {
    text.trim().replace('"', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_apart() {
        let inf = Inf::parse(
            "; a remark\n[Version]\nClass = \"A;B\" ; another\n[a.b]\nx.sys,,\"y,z\"\n\
             HKR, \"I\\\"%Name%, %none%\n[Strings]\nName = \"the name\"\n",
        );
        assert_eq!(inf.value("VERSION", "class"), Some("A;B"));
        let lines = inf.section("A.B").unwrap();
        assert_eq!(lines[0].values, ["x.sys", "", "y,z"]);
        assert_eq!(lines[1].values, ["HKR", "I\\the name", "%none%"]);
        assert_eq!(lines[1].number, 6);
        assert!(inf.section("c").is_none());
        assert_eq!(inf.names().collect::<Vec<_>>(), ["a.b", "strings", "version"]);
    }
}
