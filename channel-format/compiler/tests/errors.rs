//! Rules that are refused: each with its place, the reason and a remedy.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use channel_compiler::{BuildOptions, RuleError, build, load_rules, parse_rules};
use miette::Diagnostic;

use common::{OPTIONS, rule_text};

/// The faults of a rule's text, when it is read or when it is built.
fn errors(text: &str) -> Vec<RuleError> {
    match parse_rules(Path::new("rule.yml"), text) {
        Err(errors) => errors,
        Ok(rules) => build(&rules, &OPTIONS).expect_err(text),
    }
}

/// Checks the only fault of a detection section: its line, words of the reason, words of the help.
#[track_caller]
fn refused(detection: &str, line: usize, reason: &str, help: &str) {
    check(&rule_text(detection), line, reason, help);
}

#[track_caller]
fn check(text: &str, line: usize, reason: &str, help: &str) {
    let errors = errors(text);
    assert_eq!(errors.len(), 1, "{errors:?}");
    let error = &errors[0];
    assert!(error.reason.contains(reason), "{}", error.reason);
    let found = error.help().map(|help| help.to_string()).unwrap_or_default();
    assert!(found.contains(help), "{found}");
    assert_eq!(error.line, line, "{error}");
    assert!(error.to_string().starts_with("rule.yml:"), "{error}");
    assert!(error.span.is_some());
}

const CONDITION: &str = "\n    condition: s";

#[test]
fn typos_are_refused_with_what_was_meant() {
    refused(
        &format!("    s: {{PipeNmae: x}}{CONDITION}"),
        7,
        "PipeNmae",
        "did you mean `PipeName`?",
    );
    refused(
        &format!("    s:\n        PipeName|contians: x{CONDITION}"),
        8,
        "unknown modifier `contians`",
        "did you mean `contains`?",
    );
    refused(
        "    selection: {PipeName: x}\n    condition: selecton",
        8,
        "`selecton`, which is not defined",
        "did you mean `selection`?",
    );
    refused("    s1: {PipeName: x}\n    condition: s1 and 1 of filter*", 8, "filter*", "define");
    let text = rule_text(&format!("    s: {{PipeName: x}}{CONDITION}"));
    check(&(text.clone() + "saker: {actoin: block}"), 9, "actoin", "did you mean `action`?");
    check(&(text.clone() + "sakr: {action: block}"), 9, "sakr", "saker");
    check(&(text.clone() + "saker: {action: blok}"), 9, "unknown action", "detect");
    check(&(text.clone() + "saker: {on: [creatd]}"), 9, "creatd", "created");
    check(&(text.clone() + "saker: {examples: {match: [{Pipe: x}]}}"), 9, "`Pipe`", "");
}

#[test]
fn what_is_not_supported_is_refused_and_not_dropped() {
    refused(&format!("    s: [word, other]{CONDITION}"), 7, "without a field", "PipeName|contains");
    refused(
        &format!("    s: {{ParentImage: 'C:\\x.exe'}}{CONDITION}"),
        7,
        "does not supply the field ParentImage",
        "supplied are Operation",
    );
    refused(&format!("    s: {{CommandLine: x}}{CONDITION}"), 7, "unknown field", "take it out");
    refused(
        &format!("    s: {{ParentCommand: x}}{CONDITION}"),
        7,
        "unknown field",
        "docs/rules.md",
    );
    refused(
        &format!("    s: {{'|all': [x, y]}}{CONDITION}"),
        7,
        "names no field",
        "PipeName|contains",
    );
    refused(&format!("    s: {{PipeName|base64: x}}{CONDITION}"), 7, "base64", "write out");
    refused(&format!("    s: {{PipeName|neq: x}}{CONDITION}"), 7, "neq", "condition");
    refused(&format!("    s: {{PipeName|re: '\\bx'}}{CONDITION}"), 7, "word boundaries", "(^|");
    refused(&format!("    s: {{PipeName|re: '(x'}}{CONDITION}"), 7, "not a regular expression", "");
    refused(
        &format!("    s: {{PipeName|re: '(a|b)*a(a|b){{20}}'}}{CONDITION}"),
        7,
        "explodes",
        "split",
    );
    refused(&format!("    s: {{PipeName: 7}}{CONDITION}"), 7, "not text", "quotes");
    refused(&format!("    s: {{PipeName: []}}{CONDITION}"), 7, "empty", "");
    refused(&format!("    s: {{PipeName: [[x]]}}{CONDITION}"), 7, "not a text, number", "flatten");
    refused(
        &format!("    s: {{PipeName: {{x: y}}}}{CONDITION}"),
        7,
        "not a text, number",
        "flatten",
    );
    refused(
        &format!("    s: {{PipeName|lt: x}}{CONDITION}"),
        7,
        "does not go with text",
        "numbers",
    );
    refused(&format!("    s: {{ProcessId: 'x*'}}{CONDITION}"), 7, "not a number", "whole number");
    refused(&format!("    s: {{ProcessId: -1}}{CONDITION}"), 7, "not a number", "whole number");
    refused(&format!("    s: {{ProcessId|contains: 1}}{CONDITION}"), 7, "ProcessId", "lt");
    refused(&format!("    s: {{EventID: 1}}{CONDITION}"), 7, "17 and 18", "EventID: 17");
    refused(&format!("    s: {{EventType: Nothing}}{CONDITION}"), 7, "no event type", "CreatePipe");
    refused(
        &format!("    s: {{PipeName|contains|re: x}}{CONDITION}"),
        7,
        "two comparisons",
        "one of",
    );
    refused(&format!("    s: {{PipeName|i: x}}{CONDITION}"), 7, "belong to `re`", "re|i");
    refused(&format!("    s: {{PipeName|contains: null}}{CONDITION}"), 7, "null", "null");
    refused(&format!("    s: {{PipeName|exists: maybe}}{CONDITION}"), 7, "true or false", "");
    refused(
        &format!("    s: {{Image: x}}\n    unused: {{Image: y}}{CONDITION}"),
        8,
        "`unused`",
        "name it",
    );
    refused(
        &format!("    s: {{Image: x}}\n    timeframe: 5m{CONDITION}"),
        8,
        "timeframe",
        "single",
    );
    refused(
        "    s1: {Image: x}\n    s2: {Image: y}\n    s3: {Image: z}\n    condition: 2 of s*",
        10,
        "`2 of s*`",
        "combinations",
    );
    let long = "x".repeat(1_025);
    refused(
        &format!("    s: {{PipeName|contains: '{long}'}}{CONDITION}"),
        7,
        "never match",
        "shorten",
    );
}

#[test]
fn a_rule_says_what_it_is_and_where_it_applies() {
    let good = rule_text(&format!("    s: {{PipeName: x}}{CONDITION}"));
    check(&good.replace("id: ", "key: "), 1, "has no id", "UUID");
    check(&good.replace("pipe_created", "process_creation"), 5, "process_creation", "pipe_created");
    check(&good.replace("windows", "linux"), 4, "not windows", "windows");
    check(&format!("{good}---\n{good}"), 11, "is also that of", "of its own");
    let errors = errors(&good.replace("title: Test", "title: [Test"));
    assert!(errors[0].reason.contains("not YAML"), "{errors:?}");
    assert!(errors[0].line > 0);
}

#[test]
fn an_empty_document_is_no_fault_and_another_kind_is() {
    let good = rule_text(&format!("    s: {{PipeName: x}}{CONDITION}"));
    let read = |text: String| parse_rules(Path::new("rule.yml"), &text);
    assert_eq!(read(format!("{good}---\n")).unwrap().len(), 1);
    assert!(read(format!("{good}---\njust text\n")).unwrap_err()[0].reason.contains("mapping"));
    assert!(read("---\n".into()).unwrap_err()[0].reason.contains("no rule"));
}

#[test]
fn a_failing_example_is_refused_with_its_rule() {
    let text = rule_text(&format!("    s: {{PipeName: x}}{CONDITION}"));
    let examples = "saker:\n    examples:\n        match:\n            - {PipeName: y}\n";
    check(&(text + examples), 11, "must be True and is False", "mend");
}

#[test]
fn every_fault_of_every_file_is_reported() {
    let folder = std::env::temp_dir().join(format!("saker-errors-{}", std::process::id()));
    fs::create_dir_all(folder.join("sub")).unwrap();
    let bad = rule_text(&format!("    s: {{PipeNmae: x, Imge: y}}{CONDITION}"));
    fs::write(folder.join("a.yml"), &bad).unwrap();
    fs::write(folder.join("sub/b.yaml"), &bad).unwrap();
    fs::write(folder.join("notes.txt"), "not a rule").unwrap();
    let missing = folder.join("missing");
    let errors = load_rules(&[folder.clone(), missing.clone()]).unwrap_err();
    assert_eq!(errors.len(), 5, "{errors:?}");
    assert!(errors.iter().any(|error| error.file == missing && error.reason.contains("no such")));
    fs::create_dir_all(folder.join("empty")).unwrap();
    let errors = load_rules(&[folder.join("empty")]).unwrap_err();
    assert!(errors[0].reason.contains("no rules"), "{errors:?}");
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn options_that_make_no_file_are_refused() {
    let rules = vec![common::rule(&format!("    s: {{PipeName: x}}{CONDITION}"))];
    let reasons = |rules: &[_], options: BuildOptions| {
        build(rules, &options)
            .unwrap_err()
            .into_iter()
            .map(|e| e.reason)
            .collect::<Vec<_>>()
            .join("; ")
    };
    assert!(reasons(&rules, BuildOptions { channel: 0, ..OPTIONS }).contains("channel 0"));
    let sequence = BuildOptions { sequence: 100_000_000, ..OPTIONS };
    assert!(reasons(&rules, sequence).contains("eight digits"));
    assert!(reasons(&[], OPTIONS).contains("no rules"));
}

#[test]
fn the_rules_of_the_folder_are_found_once() {
    let folder: PathBuf = common::content_folder();
    let once = load_rules(std::slice::from_ref(&folder)).unwrap().len();
    assert_eq!(load_rules(&[folder.clone(), folder]).unwrap().len(), once);
}

#[test]
fn conditions_that_multiply_are_refused_with_their_place() {
    let values = (0..600).map(|n| format!("v{n}")).collect::<Vec<_>>().join(", ");
    let condition = vec!["s"; 10_000].join(" or ");
    refused(
        &format!("    s: {{PipeName: [{values}]}}\n    condition: {condition}"),
        8,
        "more than 32768 instructions",
        "split the rule",
    );
    let of = vec!["1 of s*"; 5_000].join(" or ");
    refused(
        &format!("    s: {{PipeName: [{values}]}}\n    condition: {of}"),
        8,
        "more than 32768 instructions",
        "split the rule",
    );
}

#[test]
fn patterns_that_take_hours_are_refused() {
    let pattern = r"\w{1,100}\d{1,100}x";
    let detection = format!("    s: {{PipeName|re: '{pattern}'}}{CONDITION}");
    refused(&detection, 7, "takes too long to build", "lower counts");
}

#[test]
fn metadata_that_the_parser_would_leave_out_is_refused() {
    for (line, reason) in [
        ("tags: [attack.t1055, 5]", "`tags` holds what is no text"),
        ("tags: {a: b}", "`tags` holds what is no text"),
        ("references: [1]", "`references` holds what is no text"),
        ("level: 5", "the value of `level` is not a text"),
    ] {
        let text = rule_text(&format!("    s: {{PipeName: x}}{CONDITION}")) + line + "\n";
        check(&text, 9, reason, "quote it");
    }
    let tags = (0..257).map(|n| format!("attack.t{n}")).collect::<Vec<_>>().join(", ");
    let text = rule_text(&format!("    s: {{PipeName: x}}{CONDITION}")) + "tags: [" + &tags + "]\n";
    check(&text, 9, "257 tags are too many", "at most 256");
}

#[test]
fn an_id_in_the_other_case_is_the_same_id() {
    let one =
        rule_text(&format!("    s: {{PipeName: x}}{CONDITION}")).replace("11111111", "AAAAAAAA");
    let text = format!("{one}---\n{}", one.replace("AAAAAAAA", "aaaaaaaa"));
    let rules = parse_rules(Path::new("rule.yml"), &text).unwrap();
    let errors = build(&rules, &OPTIONS).unwrap_err();
    assert!(errors[0].reason.contains("is also that of"), "{errors:?}");
}
