//! What a rule says of itself.

use channel_format::ruleset::Level;
use rsigma_parser::Status;

use super::finding::{Code, Finding, Severity};
use crate::source::SourceRule;

/// What is missing, and what speaks against using the rule.
pub(super) fn findings(rule: &SourceRule) -> Vec<Finding> {
    let metadata = &rule.metadata;
    let mut findings = Vec::new();
    let mut find = |code, severity, word: &str, reason: &str, help: &str| {
        findings.push(Finding::about(rule, code, severity, word, reason, help));
    };
    let retired = match metadata.status {
        Some(Status::Deprecated) => Some("deprecated"),
        Some(Status::Unsupported) => Some("unsupported"),
        _ => None,
    };
    if let Some(status) = retired {
        let reason = format!("its status is {status}");
        let help = "use the rule that took its place, or take it out";
        find(Code::Retired, Severity::Warning, "status", &reason, help);
    }
    let warning = Severity::Warning;
    if metadata.description.trim().is_empty() {
        let help = "add `description:`, a sentence that says what a match means";
        find(Code::MissingDescription, warning, "description", "it has no description", help);
    }
    if rule.references.is_empty() {
        let help = "add `references:` to what the indicator was taken from";
        find(Code::MissingReferences, warning, "references", "it has no references", help);
    }
    if rule.level == Level::Unspecified {
        let help = "add `level:`: informational, low, medium, high or critical";
        find(Code::MissingLevel, warning, "level", "it has no level", help);
    }
    if !rule.tags.iter().any(|tag| is_technique(tag)) {
        let help = "add `tags:` with a technique such as `attack.t1559`";
        let reason = "no tag names an ATT&CK technique";
        find(Code::MissingTechnique, warning, "tags", reason, help);
    }
    let has = |matches: bool| rule.examples.iter().any(|example| example.matches == matches);
    let reason = match (has(true), has(false)) {
        (true, true) => None,
        (true, false) => Some("it has no example that it does not match"),
        (false, true) => Some("it has no example that it matches"),
        (false, false) => Some("it has no examples"),
    };
    if let Some(reason) = reason {
        let help = "add `saker: {examples: {match: [...], no_match: [...]}}`; until then such are \
                    tried as can be derived";
        find(Code::MissingExamples, Severity::Note, "examples", reason, help);
    }
    if metadata.author.trim().is_empty() {
        find(Code::MissingAuthor, Severity::Note, "author", "it has no author", "add `author:`");
    }
    if metadata.date.trim().is_empty() {
        let help = "add `date: YYYY-MM-DD`";
        find(Code::MissingDate, Severity::Note, "date", "it has no date", help);
    }
    findings
}

/// `attack.t1234` or `attack.t1234.001`.
fn is_technique(tag: &str) -> bool {
    let tag = tag.to_ascii_lowercase();
    let Some(number) = tag.strip_prefix("attack.t") else {
        return false;
    };
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|digit| digit.is_ascii_digit());
    match number.split_once('.') {
        Some((technique, part)) => digits(technique, 4) && digits(part, 3),
        None => digits(number, 4),
    }
}

#[cfg(test)]
mod tests {
    use super::is_technique;

    #[test]
    fn techniques_are_told_from_tactics() {
        assert!(is_technique("attack.t1559") && is_technique("attack.T1559.001"));
        for tag in ["attack.execution", "attack.t155", "attack.t1559.1", "attack.s0002", "t1559"] {
            assert!(!is_technique(tag), "{tag}");
        }
    }
}
