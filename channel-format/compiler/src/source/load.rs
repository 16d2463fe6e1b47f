//! From paths to rules.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use channel_format::limits::{MAX_LIST, MAX_META_TEXT};
use channel_format::ruleset::Level;
use rsigma_parser::{SigmaRule, parse_sigma_yaml};

use super::{Metadata, SakerBlock, SourceRule, check, locate};
use crate::error::{FaultKind, RuleError};

/// What the parser says of a document that is empty, or no mapping.
const NOT_A_MAPPING: &str = "Document is not a YAML mapping";

/// What files and folders gave: rules that can be read, and what cannot.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The rules that can be read. Whether they can be built is another question.
    pub rules: Vec<SourceRule>,
    /// What cannot be read, by rule or by file.
    pub refused: Vec<RefusedRule>,
}

/// A rule, or a whole file, that is refused.
#[derive(Clone, Debug)]
pub struct RefusedRule {
    /// The file.
    pub file: PathBuf,
    /// The rule's title; empty where the whole file is meant.
    pub title: String,
    /// Why, at least one.
    pub errors: Vec<RuleError>,
}

impl RefusedRule {
    /// True if nothing is wrong with it but that it is not supported.
    pub fn is_unsupported(&self) -> bool {
        self.errors.iter().all(|error| error.kind == FaultKind::Unsupported)
    }

    fn of_file(error: RuleError) -> Self {
        Self { file: error.file.clone(), title: String::new(), errors: vec![error] }
    }
}

impl Loaded {
    /// The rules, if nothing at all was refused.
    pub fn complete(self) -> Result<Vec<SourceRule>, Vec<RuleError>> {
        if self.refused.is_empty() {
            return Ok(self.rules);
        }
        Err(self.refused.into_iter().flat_map(|refused| refused.errors).collect())
    }

    fn add(&mut self, other: Self) {
        self.rules.extend(other.rules);
        self.refused.extend(other.refused);
    }

    fn refuse(&mut self, error: RuleError) {
        self.refused.push(RefusedRule::of_file(error));
    }
}

/// Reads the rules of files and folders; in folders, every `*.yml` and `*.yaml` below them.
///
/// Every fault of every file is reported, not only the first.
pub fn load_rules(paths: &[PathBuf]) -> Result<Vec<SourceRule>, Vec<RuleError>> {
    load(paths).complete()
}

/// Reads the rules of one file's text.
pub fn parse_rules(file: &Path, text: &str) -> Result<Vec<SourceRule>, Vec<RuleError>> {
    parse(file, text).complete()
}

/// [`load_rules`] with good rules and refusals apart.
pub fn load(paths: &[PathBuf]) -> Loaded {
    let mut loaded = Loaded::default();
    let mut files = Vec::new();
    for path in paths {
        let before = (files.len(), loaded.refused.len());
        collect(path, true, &mut files, &mut loaded);
        if (files.len(), loaded.refused.len()) == before && path.is_dir() {
            let help = "rules are files whose names end in .yml or .yaml";
            loaded.refuse(RuleError::of_file(path, "the folder holds no rules", help));
        }
    }
    files.sort();
    files.dedup();
    for file in &files {
        match fs::read_to_string(file) {
            Ok(text) => loaded.add(parse(file, &text)),
            Err(error) => {
                let help = "rules are text files in UTF-8";
                let reason = format!("cannot be read: {error}");
                loaded.refuse(RuleError::of_file(file, reason, help));
            }
        }
    }
    duplicates(&loaded.rules).into_iter().for_each(|error| loaded.refuse(error));
    loaded
}

/// [`parse_rules`] with good rules and refusals apart.
pub fn parse(file: &Path, text: &str) -> Loaded {
    let mut loaded = Loaded::default();
    // Our own look at the YAML comes first: it knows places, and it sees what the parser would
    // quietly turn into something else. What it refuses is blanked out, so that the parser sees the
    // other documents alone, each at its place.
    let documents = check::documents(file, text);
    // Documents with an `action` lend their keys to others: then none stands without the rest.
    let as_one = documents.iter().any(|document| document.shared || document.not_yaml);
    let mut blanked = text.as_bytes().to_vec();
    for document in documents.into_iter().filter(|document| !document.errors.is_empty()) {
        blank(&mut blanked[document.range]);
        loaded.refused.push(RefusedRule {
            file: file.to_owned(),
            title: document.title,
            errors: document.errors,
        });
    }
    if as_one && !loaded.refused.is_empty() {
        return loaded;
    }
    // Whole documents were blanked, so no character was cut.
    let blanked = String::from_utf8_lossy(&blanked);
    let whole = 0..text.len();
    let collection = match parse_sigma_yaml(&blanked) {
        Ok(collection) => collection,
        Err(error) => {
            loaded.refuse(RuleError::new(file, text, None, error.to_string(), ""));
            return loaded;
        }
    };
    // A document that is no mapping has been reported above, unless it is empty: a file may end in
    // a separator.
    let errors_left = collection.errors.iter().filter(|error| *error != NOT_A_MAPPING);
    for error in errors_left {
        let words: &[&str] = if error.starts_with("Condition") { &["condition"] } else { &[] };
        let span = locate(text, &whole, words);
        loaded.refuse(RuleError::new(file, text, span, error.clone(), ""));
    }
    let others = collection.correlations.iter().map(|rule| (&rule.title, "correlation rules"));
    let others = others.chain(collection.filters.iter().map(|rule| (&rule.title, "filter rules")));
    for (title, what) in others {
        let span = locate(text, &whole, &[title]);
        let help = "build from detection rules only; correlate and filter in user mode";
        let reason = format!("{what} are not supported");
        let error = RuleError::new(file, text, span, reason, help).unsupported();
        loaded.refused.push(RefusedRule { title: title.clone(), ..RefusedRule::of_file(error) });
    }
    if loaded.refused.is_empty() && collection.rules.is_empty() {
        let help = "a rule has at least `title`, `id`, `logsource` and `detection`";
        loaded.refuse(RuleError::of_file(file, "the file holds no rule", help));
    }
    let text: Arc<str> = text.into();
    // Rules come in the order of their documents: each is sought behind the one before.
    let mut from = 0;
    for rule in collection.rules {
        let document = document_of(&blanked, rule.id.as_deref().unwrap_or(&rule.title), from);
        from = document.end;
        let title = rule.title.clone();
        match source_rule(file, &text, rule, document) {
            Ok(rule) => loaded.rules.push(rule),
            Err(errors) => {
                loaded.refused.push(RefusedRule { file: file.to_owned(), title, errors });
            }
        }
    }
    loaded
}

/// Leaves the lines and takes what is on them.
fn blank(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

fn collect(path: &Path, named: bool, files: &mut Vec<PathBuf>, loaded: &mut Loaded) {
    if path.is_dir() {
        match fs::read_dir(path) {
            Ok(entries) => {
                for entry in entries.flatten() {
                    collect(&entry.path(), false, files, loaded);
                }
            }
            Err(error) => {
                loaded.refuse(RuleError::of_file(path, format!("cannot be listed: {error}"), ""));
            }
        }
    } else if !path.exists() {
        let help = "give a rule file, or a folder with rule files";
        loaded.refuse(RuleError::of_file(path, "there is no such file or folder", help));
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
        errors.push(RuleError::new(file, Arc::clone(text), span, reason, help));
    };
    let id = rule.id.clone().unwrap_or_default();
    if id.is_empty() {
        let help = "add `id:` with a new UUID; it names the rule in every report";
        fail(&["title"], format!("the rule `{}` has no id", rule.title), help.into());
    }
    let saker = SakerBlock::read(&rule, &mut fail);
    // From here on the rule asks for what there is not, or for more than there is room for.
    let mut fail = |words: &[&str], reason: String, help: String| {
        let span = locate(text, &document, words);
        errors.push(RuleError::new(file, Arc::clone(text), span, reason, help).unsupported());
    };
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
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(SourceRule {
        id,
        title: rule.title,
        level: level(rule.level),
        tags: rule.tags,
        references: rule.references,
        metadata: Metadata {
            description: rule.description.unwrap_or_default(),
            status: rule.status,
            author: rule.author.unwrap_or_default(),
            date: rule.date.unwrap_or_default(),
        },
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
