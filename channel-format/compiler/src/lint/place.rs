//! Where in a rule's text something stands.

use std::ops::Range;

use channel_format::engine::fold::fold;

use crate::source::{SourceRule, locate};

/// The first place of a word.
pub(super) fn word(rule: &SourceRule, word: &str) -> Option<Range<usize>> {
    locate(&rule.text, &rule.document, &[word])
}

/// The first place of a word in what the rule detects.
pub(super) fn detected(rule: &SourceRule, word: &str) -> Option<Range<usize>> {
    locate(&rule.text, &detection(rule), &[word])
}

/// From the detections to the rule's end: before them its title may hold the same words.
fn detection(rule: &SourceRule) -> Range<usize> {
    let start = word(rule, "detection").map_or(rule.document.start, |place| place.start);
    start..rule.document.end
}

/// The first place of a value, in whatever case its author wrote it; values are compared that way.
pub(super) fn value(rule: &SourceRule, units: &[u16]) -> Option<Range<usize>> {
    if units.is_empty() {
        return None;
    }
    let wanted: Vec<u16> = units.iter().map(|unit| fold(*unit)).collect();
    // Each unit of the text with the place of its character.
    let mut found: Vec<(u16, usize)> = Vec::new();
    let detection = detection(rule);
    for (at, character) in rule.text[detection.clone()].char_indices() {
        let place = detection.start + at;
        found.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| (fold(*unit), place)));
    }
    let window = found
        .windows(wanted.len())
        .find(|window| window.iter().map(|(unit, _)| unit).eq(wanted.iter()))?;
    let (start, last) = (window.first()?.1, window.last()?.1);
    let length = rule.text[last..].chars().next()?.len_utf8();
    Some(start..last + length)
}

/// The value as its author wrote it, if it stands in the text as it is compared.
pub(super) fn spelling(rule: &SourceRule, units: &[u16]) -> String {
    match value(rule, units) {
        Some(place) => rule.text[place].to_owned(),
        None => String::from_utf16_lossy(units),
    }
}
