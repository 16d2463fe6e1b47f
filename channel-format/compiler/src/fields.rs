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
    use super::*;

    #[test]
    fn suggests_what_was_meant() {
        assert_eq!(SigmaField::suggest("PipeNmae"), Some("PipeName"));
        assert_eq!(SigmaField::suggest("image"), Some("Image"));
        assert_eq!(SigmaField::suggest("EventId"), Some("EventID"));
        assert_eq!(SigmaField::suggest("CommandLine"), None);
    }
}
