//! The text of Sigma rules: refused with a place and a reason, or built into a file that the driver
//! accepts and that says what the source says.

use std::path::Path;

use channel_compiler::{BuildOptions, RuleError, attach_signature, build_for, naive, parse_rules};
use channel_format::schema::{Inputs, SensorProfile, Truth};

use crate::golden::{self, content_key, open};
use crate::target::Target;

/// The target of this module.
pub const TARGETS: &[Target] = &[Target::new(
    "rules",
    "the text of Sigma rules: refused in words, or built and judged as the source says",
    rules,
)
.seeds(seeds)
.words(WORDS)
.longest(2_048)];

const OPTIONS: BuildOptions = BuildOptions {
    channel: 291,
    epoch: 1,
    sequence: 7,
    created: 1_721_361_600,
    expires: 0,
    shrink: false,
};

/// Words of the language that chance would not find.
const WORDS: &[&str] = &[
    "PipeName",
    "Image",
    "User",
    "ParentImage",
    "ProcessId",
    "EventType",
    "|contains",
    "|startswith",
    "|endswith",
    "|re",
    "|all",
    "|cased",
    "|exists",
    "|windash",
    "|base64offset",
    "|cidr",
    "|gte",
    "|i",
    "|m",
    "|s",
    "|expand",
    "|fieldref",
    "1 of them",
    "all of them",
    "1 of sel*",
    " and ",
    " or ",
    " not ",
    "(",
    ")",
    "condition: ",
    "detection:",
    "logsource:",
    "category: pipe_created",
    "title: ",
    "id: ",
    "level: high",
    "level: informational",
    "status: test",
    "saker:",
    "action: block",
    "examples:",
    "match:",
    "no_match:",
    "on: [created]",
    "timeframe: 5m",
    "null",
    "true",
    "'*'",
    "'?'",
    r"'\\'",
    r"\p{L}",
    "(?i)",
    "[^a-z]",
    "{2,9}",
    ".*",
    "(a|b)+",
    "\\x{10ffff}",
    "---\n",
    "\n    ",
    "\n        - ",
    "keywords:",
    "|count() > 3",
    "references:",
    "tags:",
    "&a ",
    "*a",
    "!!str ",
    "<Anonymous Pipe>",
    "NT AUTHORITY",
];

/// Reads rules and builds what can be built.
pub fn rules(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let source = match parse_rules(Path::new("fuzzed.yml"), text) {
        Ok(source) => source,
        Err(errors) => return told(&errors),
    };
    let mut file = match build_for(&source, &OPTIONS, &SensorProfile::FULL) {
        Ok(file) => file,
        Err(errors) => return told(&errors),
    };
    let built = build_for(&source, &OPTIONS, &SensorProfile::FULL);
    assert_eq!(built.as_ref().ok(), Some(&file), "the same rules make the same file");
    attach_signature(&mut file, content_key()).expect("a built file can be signed");
    let ruleset = open(&file, golden::anchor()).expect("what is built is accepted");
    assert_eq!(ruleset.rule_count() as usize, source.len());
    assert_eq!(ruleset.self_test(), Ok(()));
    let mut sorted: Vec<_> = source.iter().collect();
    sorted.sort_by(|left, right| left.id.cmp(&right.id));
    for inputs in [Inputs::absent(), Inputs::unknown()] {
        let mut found = vec![Truth::False; sorted.len()];
        ruleset.evaluate(&inputs, &mut |rule, truth| found[rule as usize] = truth);
        let expected: Vec<_> = sorted.iter().map(|rule| naive::judge(rule, &inputs)).collect();
        assert_eq!(found, expected);
    }
}

/// What is refused is told.
fn told(errors: &[RuleError]) {
    assert!(!errors.is_empty(), "refused without a word");
    for error in errors {
        assert!(!error.reason.is_empty() && !error.to_string().is_empty());
    }
}

/// The rules of the golden files and of the pack, each alone.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for folder in ["tests/golden/v0", "tests/content"] {
        let folder = golden::root().join(folder);
        let entries = std::fs::read_dir(&folder).expect("a folder of the project");
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|e| e == "yml")) {
            let text = std::fs::read_to_string(path).expect("a file of the project");
            let rules = text.split("\n---\n").map(|rule| rule.as_bytes().to_vec());
            seeds.extend(rules.filter(|rule| rule.len() <= 2_048));
        }
    }
    seeds
}
