//! From paths to rules.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use channel_format::limits::{MAX_LIST, MAX_META_TEXT};
use channel_format::ruleset::Level;
use rsigma_parser::{SigmaRule, parse_sigma_yaml};

use super::{SakerBlock, SourceRule, check, locate};
use crate::error::RuleError;

/// What the parser says of a document that is empty, or no mapping.
const NOT_A_MAPPING: &str = "Document is not a YAML mapping";

/// Reads the rules of files and folders; in folders, every `*.yml` and `*.yaml` below them.
///
/// Every fault of every file is reported, not only the first.
pub fn load_rules(paths: &[PathBuf]) -> Result<Vec<SourceRule>, Vec<RuleError>> {
    let mut errors = Vec::new();
    let mut files = Vec::new();
    for path in paths {
        let before = files.len();
        collect(path, true, &mut files, &mut errors);
        if files.len() == before && path.is_dir() {
            let help = "rules are files whose names end in .yml or .yaml";
            errors.push(RuleError::of_file(path, "the folder holds no rules", help));
        }
    }
    files.sort();
    files.dedup();
    let mut rules = Vec::new();
    for file in &files {
        match fs::read_to_string(file) {
            Ok(text) => match parse_rules(file, &text) {
                Ok(found) => rules.extend(found),
                Err(found) => errors.extend(found),
            },
            Err(error) => {
                let help = "rules are text files in UTF-8";
                errors.push(RuleError::of_file(file, format!("cannot be read: {error}"), help));
            }
        }
    }
    errors.extend(duplicates(&rules));
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

/// Reads the rules of one file's text.
pub fn parse_rules(file: &Path, text: &str) -> Result<Vec<SourceRule>, Vec<RuleError>> {
    // Our own look at the YAML comes first: it knows places, and it sees what the parser would
    // quietly turn into something else.
    let errors = check::documents(file, text);
    if !errors.is_empty() {
        return Err(errors);
    }
    let whole = 0..text.len();
    let collection = match parse_sigma_yaml(text) {
        Ok(collection) => collection,
        Err(error) => {
            return Err(vec![RuleError::new(file, text, None, error.to_string(), "")]);
        }
    };
    let mut errors = Vec::new();
    // A document that is no mapping has been reported above, unless it is empty: a file may end in
    // a separator.
    let errors_left = collection.errors.iter().filter(|error| *error != NOT_A_MAPPING);
    for error in errors_left {
        let words: &[&str] = if error.starts_with("Condition") { &["condition"] } else { &[] };
        let span = locate(text, &whole, words);
        errors.push(RuleError::new(file, text, span, error.clone(), ""));
    }
    let others = collection.correlations.iter().map(|rule| (&rule.title, "correlation rules"));
    let others = others.chain(collection.filters.iter().map(|rule| (&rule.title, "filter rules")));
    for (title, what) in others {
        let span = locate(text, &whole, &[title]);
        let help = "build from detection rules only; correlate and filter in user mode";
        let reason = format!("{what} are not supported");
        errors.push(RuleError::new(file, text, span, reason, help));
    }
    if errors.is_empty() && collection.rules.is_empty() {
        let help = "a rule has at least `title`, `id`, `logsource` and `detection`";
        errors.push(RuleError::of_file(file, "the file holds no rule", help));
    }
    let text: Arc<str> = text.into();
    let mut rules = Vec::new();
    // Rules come in the order of their documents: each is sought behind the one before.
    let mut from = 0;
    for rule in collection.rules {
        let document = document_of(&text, rule.id.as_deref().unwrap_or(&rule.title), from);
        from = document.end;
        match source_rule(file, &text, rule, document) {
            Ok(rule) => rules.push(rule),
            Err(found) => errors.extend(found),
        }
    }
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

fn collect(path: &Path, named: bool, files: &mut Vec<PathBuf>, errors: &mut Vec<RuleError>) {
    if path.is_dir() {
        match fs::read_dir(path) {
            Ok(entries) => {
                for entry in entries.flatten() {
                    collect(&entry.path(), false, files, errors);
                }
            }
            Err(error) => {
                errors.push(RuleError::of_file(path, format!("cannot be listed: {error}"), ""));
            }
        }
    } else if !path.exists() {
        let help = "give a rule file, or a folder with rule files";
        errors.push(RuleError::of_file(path, "there is no such file or folder", help));
    } else if named || path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml") {
        files.push(path.to_owned());
    }
}

/// Rules that share their id with another.
pub(crate) fn duplicates(rules: &[SourceRule]) -> Vec<RuleError> {
    // A UUID is the same in either case.
    let mut seen: BTreeMap<String, &SourceRule> = BTreeMap::new();
    let mut errors = Vec::new();
    for rule in rules {
        if let Some(first) = seen.get(&rule.id.to_ascii_lowercase()) {
            let reason = format!("the id {} is also that of {}", rule.id, first.file.display());
            errors.push(rule.error(&[&rule.id], reason, "give each rule an id of its own"));
        } else {
            seen.insert(rule.id.to_ascii_lowercase(), rule);
        }
    }
    errors
}

fn source_rule(
    file: &Path,
    text: &Arc<str>,
    rule: SigmaRule,
    document: Range<usize>,
) -> Result<SourceRule, Vec<RuleError>> {
    let mut errors = Vec::new();
    let mut fail = |words: &[&str], reason: String, help: String| {
        let span = locate(text, &document, words);
        errors.push(RuleError::new(file, text, span, reason, help));
    };
    let id = rule.id.clone().unwrap_or_default();
    if id.is_empty() {
        let help = "add `id:` with a new UUID; it names the rule in every report";
        fail(&["title"], format!("the rule `{}` has no id", rule.title), help.into());
    }
    check_source(&rule, &mut fail);
    if rule.detection.timeframe.is_some() {
        let help = "a channel file judges single events; take `timeframe` out";
        fail(&["timeframe"], "`timeframe` is not supported".into(), help.into());
    }
    let texts = [&id, &rule.title].into_iter().chain(&rule.tags).chain(&rule.references);
    for long in texts.filter(|text| text.len() > MAX_META_TEXT as usize) {
        let start: String = long.chars().take(40).collect();
        let reason = format!("a text of {} bytes is too long", long.len());
        fail(&[&start], reason, format!("shorten it to {MAX_META_TEXT} bytes"));
    }
    for (name, list) in [("tags", &rule.tags), ("references", &rule.references)] {
        if list.len() > MAX_LIST as usize {
            let reason = format!("{} {name} are too many", list.len());
            fail(&[name], reason, format!("keep at most {MAX_LIST}"));
        }
    }
    let saker = SakerBlock::read(&rule, &mut fail);
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(SourceRule {
        id,
        title: rule.title,
        level: level(rule.level),
        tags: rule.tags,
        references: rule.references,
        action: saker.action,
        judges: saker.judges,
        blocks: saker.blocks,
        examples: saker.examples,
        file: file.to_owned(),
        detections: rule.detection,
        text: Arc::clone(text),
        document,
    })
}

fn check_source(rule: &SigmaRule, fail: &mut dyn FnMut(&[&str], String, String)) {
    let source = &rule.logsource;
    if source.category.as_deref() != Some("pipe_created") {
        let found = source.category.as_deref().unwrap_or("none");
        let help = "this sensor sees named pipes; write `category: pipe_created`";
        let reason = format!("the log source's category is {found}");
        fail(&["category", "logsource", "title"], reason, help.into());
    }
    if source.product.as_deref().is_some_and(|product| product != "windows") {
        let help = "write `product: windows`, or leave it out";
        fail(&["product"], "the log source's product is not windows".into(), help.into());
    }
    if source.service.is_some() {
        let help = "leave `service` out: the category says enough";
        fail(&["service"], "the log source names a service".into(), help.into());
    }
}

fn level(level: Option<rsigma_parser::Level>) -> Level {
    match level {
        None => Level::Unspecified,
        Some(rsigma_parser::Level::Informational) => Level::Informational,
        Some(rsigma_parser::Level::Low) => Level::Low,
        Some(rsigma_parser::Level::Medium) => Level::Medium,
        Some(rsigma_parser::Level::High) => Level::High,
        Some(rsigma_parser::Level::Critical) => Level::Critical,
    }
}

/// The part of the text, between `---` lines, that holds the word: the first from a place on.
fn document_of(text: &str, word: &str, from: usize) -> Range<usize> {
    let at = match text[from..].find(word) {
        Some(at) => from + at,
        // A rule made from a global document has its words before it.
        None => text.find(word).unwrap_or(0),
    };
    let start = text[..at].rfind("\n---").map_or(0, |line| line + 1);
    let end = text[at..].find("\n---").map_or(text.len(), |line| at + line);
    start..end
}
