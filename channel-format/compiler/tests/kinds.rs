//! What is wrong, and what is only not supported: told apart, document by document.

mod common;

use std::path::Path;

use channel_compiler::{FaultKind, Loaded, RuleError, parse, split};
use channel_format::schema::SensorProfile;

use common::rule_text;

const GOOD: &str = "    s: {PipeName: '\\x'}\n    condition: s";

fn load(text: &str) -> Loaded {
    parse(Path::new("rule.yml"), text)
}

/// The one kind of all faults of a detection, read or sorted out.
#[track_caller]
fn kind(detection: &str, more: &str) -> FaultKind {
    let loaded = load(&(rule_text(detection) + more));
    let errors: Vec<RuleError> = match split(loaded, &SensorProfile::CURRENT) {
        Ok(split) => split.skipped.into_iter().flat_map(|refused| refused.errors).collect(),
        Err(errors) => errors,
    };
    assert!(!errors.is_empty(), "{detection}");
    assert!(errors.iter().all(|error| error.kind == errors[0].kind), "{errors:?}");
    errors[0].kind
}

#[test]
fn what_there_is_not_yet_is_not_supported() {
    let one = |item: &str| format!("    s: {{{item}}}\n    condition: s");
    for item in [
        "CommandLine: x",
        "PipeName|fieldref: Image",
        "PipeName|unheard: x",
        "ParentImage: 'C:\\x.exe'",
        "PipeName|re: '(a|b)*a(a|b){20}'",
        "PipeName|re: '(?=x)y'",
        "PipeName: 7",
        "PipeName: [[x]]",
    ] {
        assert_eq!(kind(&one(item), ""), FaultKind::Unsupported, "{item}");
    }
    for detection in [
        "    s: [word, other]\n    condition: s",
        "    s: {PipeName: '\\x'}\n    condition: s | count() > 5",
        "    s: {PipeName: '\\x'}\n    timeframe: 5m\n    condition: s",
        "    a: {PipeName: x}\n    b: {PipeName: y}\n    c: {Image: z}\n    condition: 2 of *",
    ] {
        assert_eq!(kind(detection, ""), FaultKind::Unsupported, "{detection}");
    }
    let other = rule_text(GOOD).replace("pipe_created", "process_creation");
    assert!(load(&other).refused[0].is_unsupported());
}

#[test]
fn a_mistake_is_wrong() {
    for (detection, more) in [
        ("    s: {PipeName: '\\x'}\n    condition: t", ""),
        ("    s: {PipeName: '\\x'}\n    t: {Image: x}\n    condition: s", ""),
        ("    s: {}\n    condition: s", ""),
        (GOOD, "saker: {acton: block}\n"),
        (GOOD, "saker: {examples: {match: [{Pipe: x}]}}\n"),
        (GOOD, "tags: [5]\n"),
    ] {
        assert_eq!(kind(detection, more), FaultKind::Wrong, "{detection}{more}");
    }
    // Of two faults the mistake counts.
    let both = rule_text("    s: {CommandLine: x}\n    condition: s") + "tags: [5]\n";
    assert!(!load(&both).refused[0].is_unsupported());
    assert!(split(load(&both), &SensorProfile::CURRENT).is_err());
}

#[test]
fn one_document_does_not_spoil_the_others() {
    let rule = |number: u32, detection: &str| {
        rule_text(detection)
            .replace("11111111-", &format!("{number:08}-"))
            .replace("title: Test", &format!("title: Test {number}"))
    };
    let bad = "    s: {CommandLine: x}\n    condition: s";
    let text = [rule(1, GOOD), rule(2, bad), rule(3, GOOD), rule(4, bad), rule(5, GOOD)];
    let loaded = load(&text.join("---\n"));
    let titles: Vec<&str> = loaded.rules.iter().map(|rule| rule.title.as_str()).collect();
    assert_eq!(titles, ["Test 1", "Test 3", "Test 5"]);
    let refused: Vec<(&str, usize)> =
        loaded.refused.iter().map(|r| (r.title.as_str(), r.errors[0].line)).collect();
    // Eight lines a rule and one between two; the seventh holds the field.
    assert_eq!(refused, [("Test 2", 16), ("Test 4", 34)]);
    assert_eq!(split(loaded, &SensorProfile::CURRENT).unwrap().rules.len(), 3);
}

#[test]
fn documents_that_share_keys_stand_or_fall_together() {
    let shared = "action: global\nlogsource: {product: windows, category: pipe_created}\n---\n";
    let rule = |number: u32, field: &str| {
        format!(
            "title: T{number}\nid: 11111111-2222-4333-8444-{number:012}\ndetection:\n    \
             s: {{{field}: '\\x'}}\n    condition: s\n"
        )
    };
    let text = |field: &str| format!("{shared}{}---\n{}", rule(1, "PipeName"), rule(2, field));
    assert_eq!(load(&text("PipeName")).rules.len(), 2);
    let loaded = load(&text("CommandLine"));
    assert_eq!((loaded.rules.len(), loaded.refused.len()), (0, 1));
}

#[test]
fn a_fault_of_yaml_has_its_line_in_the_file() {
    let text = format!("{}---\ntitle: [x\n", rule_text(GOOD));
    let loaded = load(&text);
    assert!(loaded.rules.is_empty(), "what is behind or beside it may be meant otherwise");
    let error = &loaded.refused[0].errors[0];
    assert!(error.reason.contains("not YAML"), "{error}");
    assert!((10..=11).contains(&error.line), "{error}");
    assert_eq!(error.kind, FaultKind::Wrong);
    // A line that only begins like a separator is none.
    let odd = rule_text(GOOD) + "description: |\n  a\n  ---b\n";
    assert_eq!(load(&odd).rules.len(), 1);
}
