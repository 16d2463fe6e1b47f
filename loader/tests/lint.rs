//! `lint`: findings for people and as JSON, and what fails the command.

mod support;

use serde_json::Value;
use support::Sandbox;

/// A rule that says all that it should about itself.
const WHOLE: &str = r"
title: Evil pipe
id: 11111111-1111-4111-8111-111111111111
description: A pipe of a tool that nobody has for a good reason.
references: [https://example.com/evil]
author: A
date: 2024-07-19
level: high
tags: [attack.t1559]
logsource: {product: windows, category: pipe_created}
detection:
    selection:
        PipeName: '\evil-7'
    condition: selection
saker:
    examples:
        match: [{PipeName: '\evil-7'}]
        no_match: [{PipeName: '\evil'}]
";

/// [`WHOLE`] as another rule, with one line changed.
fn other(number: u32, from: &str, to: &str) -> String {
    let changed = WHOLE.replacen(from, to, 1);
    assert_ne!(changed, WHOLE);
    changed.replace("11111111-1111", &format!("{number:08}-1111")).replace("Evil", "Other")
}

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn codes(text: &str) -> Vec<String> {
    json(text).iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_rule_without_a_fault_is_let_pass() {
    let sandbox = Sandbox::new();
    sandbox.write("rules/whole.yml", WHOLE);
    let output = sandbox.run(&["lint", "rules", "--strict"]).success();
    assert_eq!(output.stdout, "1 rule: 0 errors, 0 warnings, 0 notes\n");
    assert_eq!(sandbox.run(&["lint", "rules", "--strict", "--json"]).success().stdout, "");
}

#[test]
fn findings_for_people() {
    let sandbox = Sandbox::new();
    sandbox.write("rules/a.yml", WHOLE);
    let wider = other(2, r"PipeName: '\evil-7'", r"PipeName|startswith: '\evil-7'");
    sandbox.write("rules/b.yml", wider);
    let never = other(3, r"PipeName: '\evil-7'", r"PipeName: 'evil-7'");
    let (never, _) = never.split_once("saker:").unwrap();
    sandbox.write("rules/c.yml", never);
    let output = sandbox.run(&["lint", "rules"]).refused(&["the rules have 1 error", "help:"]);
    insta::assert_snapshot!("lint_people", output.stdout);
}

#[test]
fn findings_as_json() {
    let sandbox = Sandbox::new();
    let dear = other(2, r"PipeName: '\evil-7'", "ProcessId: 4");
    let (dear, _) = dear.split_once("saker:").unwrap();
    sandbox.write("dear.yml", dear);
    let output = sandbox.run(&["lint", "dear.yml", "--json"]).success();
    let findings = json(&output.stdout);
    assert_eq!(codes(&output.stdout), ["missing-examples", "judged-for-every-event"]);
    let finding = &findings[1];
    assert_eq!(finding["v"], 1);
    assert_eq!(finding["severity"], "warning");
    assert_eq!(finding["id"], "00000002-1111-4111-8111-111111111111");
    assert_eq!(finding["title"], "Other pipe");
    assert_eq!((&finding["file"], &finding["line"]), (&"dear.yml".into(), &14.into()));
    let place = |key: &str| usize::try_from(finding["span"][key].as_u64().unwrap()).unwrap();
    let (offset, length) = (place("offset"), place("length"));
    assert_eq!(&dear[offset..offset + length], "condition");
    assert!(finding["reason"].as_str().unwrap().contains("no text must occur"));
    assert!(finding["remedy"].as_str().unwrap().contains("PipeName|contains"));
}

#[test]
fn warnings_fail_only_where_asked() {
    let sandbox = Sandbox::new();
    sandbox.write("a.yml", other(1, "level: high\n", ""));
    assert_eq!(
        codes(&sandbox.run(&["lint", "a.yml", "--json"]).success().stdout),
        ["missing-level"]
    );
    let strict = sandbox.run(&["lint", "a.yml", "--json", "--strict"]);
    assert_eq!(codes(&strict.refused(&["1 finding"]).stdout), ["missing-level"]);
    sandbox.run(&["lint"]).usage();
    let missing = sandbox.run(&["lint", "none", "--json"]);
    assert_eq!(codes(&missing.refused(&["1 error"]).stdout), ["wrong"]);
}

#[test]
fn rules_that_fire_on_the_baseline() {
    let sandbox = Sandbox::new();
    sandbox.write("rules/a.yml", WHOLE);
    let event = |name: &str| {
        format!(
            "{{\"EventID\":17,\"PipeName\":\"\\\\{name}\",\"Image\":\"C:\\\\a.exe\",\
             \"UtcTime\":\"2024-07-19 04:09:00.000\"}}\n"
        )
    };
    let quiet = format!("{}{{\"EventID\":1}}\n", event("lsass"));
    sandbox.write("quiet.jsonl", &quiet);
    sandbox.write("loud.jsonl", format!("{quiet}{}{}", event("EVIL-7"), event("evil-7")));
    let lint = |more: &[&str]| sandbox.run(&[&["lint", "rules", "--json"], more].concat());
    assert_eq!(lint(&["--baseline", "quiet.jsonl", "--strict"]).success().stdout, "");
    let loud = lint(&["--baseline", "loud.jsonl"]).success();
    assert_eq!(codes(&loud.stdout), ["fires-on-baseline"]);
    let finding = &json(&loud.stdout)[0];
    assert_eq!(finding["severity"], "warning");
    let reason = finding["reason"].as_str().unwrap();
    let first = r"2 times, first at record 2: `\EVIL-7` created by `C:\a.exe`, 2024-07-19";
    assert!(reason.contains(first), "{reason}");

    // A rule that blocks what is ordinary is no matter of taste. One that cannot be built, or whose
    // examples fail, hides nothing.
    sandbox.write("rules/a.yml", WHOLE.replace("saker:\n", "saker:\n    action: block\n"));
    sandbox.write("rules/b.yml", other(2, "PipeName: '", "CommandLine: '"));
    sandbox.write("rules/c.yml", other(3, "condition: selection", "condition: selecton"));
    sandbox.write("rules/d.yml", other(4, r"match: [{PipeName: '\evil-7'}]", "match: [{}]"));
    let loud = lint(&["--baseline", "loud.jsonl"]).refused(&["errors"]);
    let on_baseline: Vec<(String, String)> = json(&loud.stdout)
        .iter()
        .filter(|finding| finding["code"] == "fires-on-baseline")
        .map(|finding| (finding["title"].to_string(), finding["severity"].to_string()))
        .collect();
    let quoted = |left: &str, right: &str| (format!("\"{left}\""), format!("\"{right}\""));
    assert_eq!(on_baseline, [quoted("Evil pipe", "error"), quoted("Other pipe", "warning")]);

    sandbox.write("broken.jsonl", format!("{quiet}not json\n"));
    lint(&["--baseline", "broken.jsonl"]).refused(&["broken.jsonl", "record 2", "not JSON"]);
    lint(&["--baseline", "none"]).refused(&["none: cannot be read"]);
}
