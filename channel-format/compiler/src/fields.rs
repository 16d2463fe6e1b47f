//! Sigma's field names, what they mean here, and what their values may be.

use channel_format::schema::{Field, Kind};

/// The name that Sysmon gives a pipe without one; to the kernel its name is empty.
pub(crate) const ANONYMOUS_PIPE: &str = "<Anonymous Pipe>";

/// What a field of a rule or an example stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SigmaField {
    /// A field of the schema, under the schema's name or Sysmon's.
    Plain(Field),
    /// Sysmon's event number: 17 created, 18 connected.
    EventId,
    /// Sysmon's event type: `CreatePipe` or `ConnectPipe`.
    EventType,
}

/// Sysmon's event numbers and types, and the operation that each means.
pub(crate) const OPERATIONS: [(u64, &str, u64); 2] =
    [(17, "CreatePipe", 1), (18, "ConnectPipe", 2)];

impl SigmaField {
    /// The field of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "EventID" => Self::EventId,
            "EventType" => Self::EventType,
            _ => Self::Plain(names().find(|(known, _)| *known == name)?.1),
        })
    }

    /// The names that rules may use for a field of the schema.
    pub(crate) fn names_of(field: Field) -> Vec<&'static str> {
        let operation = ["EventID", "EventType"].into_iter().filter(|_| field == Field::Operation);
        let own = names().filter(|(_, known)| *known == field).map(|(name, _)| name);
        own.chain(operation).collect()
    }

    /// The names closest to one that is not known.
    pub(crate) fn suggest(name: &str) -> Option<&'static str> {
        let known = names().map(|(name, _)| name).chain(["EventID", "EventType"]);
        closest(name, known)
    }

    /// The field of the schema that holds it.
    pub(crate) const fn field(self) -> Field {
        match self {
            Self::Plain(field) => field,
            Self::EventId | Self::EventType => Field::Operation,
        }
    }
}

/// Each name that rules may use for a field of the schema.
fn names() -> impl Iterator<Item = (&'static str, Field)> {
    let sysmon = [
        ("Image", Field::ImagePath),
        ("IntegrityLevel", Field::Integrity),
        ("SessionId", Field::Session),
        ("TerminalSessionId", Field::Session),
    ];
    sysmon.into_iter().chain(Field::ALL.into_iter().map(|field| (field.name(), field)))
}

/// The mandatory levels as Sysmon names them.
const LEVELS: [(&str, u64); 5] =
    [("Untrusted", 0), ("Low", 4_096), ("Medium", 8_192), ("High", 12_288), ("System", 16_384)];

/// The number that a text stands for in a field: decimal, or hexadecimal as logs write masks, or
/// the name of an integrity level.
pub(crate) fn number_of(field: Field, text: &str) -> Option<u64> {
    let named = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    match (field, named) {
        (Field::Integrity, Some((_, number))) => return Some(*number),
        _ if text.starts_with('+') => return None,
        _ => {}
    }
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if !hex.starts_with('+') => u64::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None => text.parse().ok(),
    }
}

/// The number that true or false stands for, in a field that says yes or no.
pub(crate) fn number_of_flag(field: Field, flag: bool) -> Option<u64> {
    let is_flag = matches!(
        field,
        Field::Elevation | Field::RemoteOrigin | Field::Impersonating | Field::RejectRemote
    );
    is_flag.then_some(flag.into())
}

/// How a field's values look, in words.
pub(crate) const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Number => "a number",
        Kind::Sid => "a security identifier or the name of a well-known account",
    }
}

/// The candidate that a mistyped word most likely means, if one is near.
pub(crate) fn closest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be changed, added or taken away to turn one word into the other; two
/// neighbours that changed places count once.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows = vec![vec![0; right.len() + 1]; left.len() + 1];
    for i in 0..=left.len() {
        for j in 0..=right.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = usize::from(left[i - 1] != right[j - 1]);
                let mut best = rows[i - 1][j - 1] + changed;
                best = best.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn suggests_what_was_meant() {
        assert_eq!(SigmaField::suggest("PipeNmae"), Some("PipeName"));
        assert_eq!(SigmaField::suggest("image"), Some("Image"));
        assert_eq!(SigmaField::suggest("EventId"), Some("EventID"));
        assert_eq!(SigmaField::suggest("CommandLine"), None);
    }

    #[test]
    fn numbers_are_read_as_logs_write_them() {
        for (field, text, number) in [
            (Field::ProcessId, "4", Some(4)),
            (Field::DesiredAccess, "0x12019F", Some(0x12_019f)),
            (Field::DesiredAccess, "0X1", Some(1)),
            (Field::Integrity, "high", Some(12_288)),
            (Field::Integrity, "16384", Some(16_384)),
            (Field::DefaultTimeout, "18446744073709551615", Some(u64::MAX)),
            (Field::ProcessId, "high", None),
            (Field::ProcessId, "18446744073709551616", None),
            (Field::ProcessId, "+4", None),
            (Field::ProcessId, "0x+4", None),
            (Field::ProcessId, "-1", None),
            (Field::ProcessId, "", None),
            (Field::ProcessId, "0x", None),
        ] {
            assert_eq!(number_of(field, text), number, "{} {text}", field.name());
        }
        assert_eq!(number_of_flag(Field::Elevation, true), Some(1));
        assert_eq!(number_of_flag(Field::RemoteOrigin, false), Some(0));
        assert_eq!(number_of_flag(Field::ProcessId, true), None);
    }

    /// The page for authors of rules names every field as it is known here.
    #[test]
    fn the_fields_of_the_page_are_these() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rules.md");
        let page = std::fs::read_to_string(page).unwrap();
        let section = page.split("\n## ").find(|part| part.starts_with("Fields")).unwrap();
        let rows = section.split("\n|---").nth(1).unwrap().lines().skip(1);
        let rows: Vec<Vec<&str>> = rows
            .take_while(|row| row.starts_with('|'))
            .map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
            .collect();
        let expected: Vec<Vec<String>> = Field::ALL
            .into_iter()
            .map(|field| {
                let mut names = SigmaField::names_of(field);
                names.sort_unstable();
                let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                let values = match field.kind() {
                    Kind::Text => "text",
                    Kind::Sid => "user",
                    Kind::Number if number_of_flag(field, true).is_some() => "true or false",
                    Kind::Number if field == Field::Integrity => "number or level",
                    Kind::Number => "number",
                };
                vec![names.join(", "), values.into(), field.doc().into()]
            })
            .collect();
        assert_eq!(rows, expected);
    }
}
