//! Source rules: Sigma files read, checked and taken apart.

mod check;
mod examples;
mod load;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use channel_format::ruleset::{Action, Level};
use channel_format::schema::Operation;
use rsigma_parser::{Detections, SigmaRule};
use yaml_serde::Value;

use crate::error::RuleError;
use crate::fields::closest;

pub use examples::{Example, ExampleValue};
pub(crate) use load::duplicates;
pub use load::{Loaded, RefusedRule, load, load_rules, parse, parse_rules};

/// One rule as its author wrote it, parsed and found to be of a kind that can be built.
#[derive(Clone, Debug)]
pub struct SourceRule {
    /// Its identifier.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its level.
    pub level: Level,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its references.
    pub references: Vec<String>,
    /// What its author says of it beside that.
    pub(crate) metadata: Metadata,
    /// What it asks for.
    pub action: Action,
    /// Mask of the operations it judges.
    pub judges: u8,
    /// Mask of the operations it blocks.
    pub blocks: u8,
    /// Its author's examples.
    pub examples: Vec<Example>,
    /// The file it is from.
    pub file: PathBuf,
    pub(crate) detections: Detections,
    pub(crate) text: Arc<str>,
    /// Where the rule's document lies in the text.
    pub(crate) document: Range<usize>,
}

/// What no file carries, but a reader of rules wants to know. Empty is missing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metadata {
    pub(crate) description: String,
    pub(crate) status: Option<rsigma_parser::Status>,
    pub(crate) author: String,
    pub(crate) date: String,
}

impl SourceRule {
    /// A fault of this rule, at the first of the words that its text holds.
    pub(crate) fn error(
        &self,
        words: &[&str],
        reason: impl Into<String>,
        help: impl Into<String>,
    ) -> RuleError {
        let span = locate(&self.text, &self.document, words);
        RuleError::new(&self.file, Arc::clone(&self.text), span, reason, help)
    }
}

/// Finds the place of the first of the words that the document holds, as a whole word.
pub(crate) fn locate(text: &str, document: &Range<usize>, words: &[&str]) -> Option<Range<usize>> {
    let within = &text[document.clone()];
    for word in words.iter().filter(|word| !word.is_empty()) {
        let whole = |at: usize| {
            let part = |c: char| c.is_alphanumeric() || c == '_';
            let before = within[..at].chars().next_back().is_some_and(part);
            let after = within[at + word.len()..].chars().next().is_some_and(part);
            !before && !after
        };
        if let Some((at, _)) = within.match_indices(*word).find(|(at, _)| whole(*at)) {
            let start = document.start + at;
            return Some(start..start + word.len());
        }
    }
    None
}

/// What the `saker` block of a rule says.
pub(crate) struct SakerBlock {
    action: Action,
    judges: u8,
    blocks: u8,
    examples: Vec<Example>,
}

impl SakerBlock {
    /// Reads the block; a rule without one detects, and judges both operations.
    pub(crate) fn read(rule: &SigmaRule, fail: &mut dyn FnMut(&[&str], String, String)) -> Self {
        let mut block = Self {
            action: Action::Detect,
            judges: Operation::ALL_MASK,
            blocks: 0,
            examples: Vec::new(),
        };
        for name in rule.custom_attributes.keys() {
            if name != "saker" && closest(name, ["saker"]).is_some() {
                let help = "write it as `saker:`".to_owned();
                fail(&[name], format!("unknown attribute `{name}`: did you mean `saker`?"), help);
            }
        }
        let Some(value) = rule.custom_attributes.get("saker") else {
            return block;
        };
        let Some(entries) = value.as_mapping() else {
            let help = "write keys under it: `action`, `on`, `examples`".to_owned();
            fail(&["saker"], "the `saker` block is not a mapping".into(), help);
            return block;
        };
        let mut on = None;
        for (key, value) in entries {
            match key.as_str() {
                Some("action") => match value.as_str() {
                    Some("detect") => block.action = Action::Detect,
                    Some("block") => block.action = Action::Block,
                    _ => fail(
                        &["action"],
                        "unknown action".into(),
                        "an action is `detect` or `block`".into(),
                    ),
                },
                Some("on") => on = read_operations(value, fail),
                Some("examples") => block.examples = examples::read(value, fail),
                other => {
                    let name = other.unwrap_or("(not a text)");
                    let known = ["action", "on", "examples"];
                    let help = match closest(name, known) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => "known are `action`, `on` and `examples`".to_owned(),
                    };
                    fail(&[name], format!("unknown key `{name}` in the `saker` block"), help);
                }
            }
        }
        block.judges = on.unwrap_or(Operation::ALL_MASK);
        if block.action == Action::Block {
            // Connects are blocked only by a rule that names them.
            block.blocks = on.unwrap_or(Operation::Created.mask());
        }
        block
    }
}

fn read_operations(value: &Value, fail: &mut dyn FnMut(&[&str], String, String)) -> Option<u8> {
    let help = "write `on: [created]`, `on: [connected]` or `on: [created, connected]`";
    let names = match value {
        Value::Sequence(names) if !names.is_empty() => names.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut mask = 0;
    for name in names {
        match name.as_str() {
            Some("created") => mask |= Operation::Created.mask(),
            Some("connected") => mask |= Operation::Connected.mask(),
            other => {
                let name = other.unwrap_or("on");
                fail(&[name, "on"], format!("unknown operation `{name}`"), help.to_owned());
                return None;
            }
        }
    }
    Some(mask)
}
