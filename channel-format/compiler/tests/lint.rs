//! Each kind of finding: a rule that has it, and one next to it that has not.

mod common;

use std::path::Path;

use channel_compiler::lint::{Code, Finding, Severity, lint};
use channel_compiler::{naive, parse};
use channel_format::schema::{SensorProfile, Truth};

use common::content_folder;

/// A rule that says all that it should about itself.
fn rule(number: u32, detection: &str, more: &str) -> String {
    format!(
        "title: Rule {number}\nid: 11111111-2222-4333-8444-{number:012}\ndescription: One.\n\
         references: [https://example.com]\nauthor: A\ndate: 2024-07-19\nlevel: high\n\
         tags: [attack.execution, attack.t1559.001]\n\
         logsource: {{product: windows, category: pipe_created}}\n\
         detection:\n{detection}\n{more}\n"
    )
}

fn findings(text: &str) -> Vec<Finding> {
    lint(&parse(Path::new("rule.yml"), text), &SensorProfile::CURRENT)
}

/// Findings of a detection, but for the missing examples.
fn of(detection: &str, more: &str) -> Vec<Finding> {
    let mut found = findings(&rule(1, detection, more));
    found.retain(|finding| finding.code != Code::MissingExamples);
    found
}

/// Detection with one selection `s` and its condition.
fn one(selection: &str) -> String {
    format!("    s: {selection}\n    condition: s")
}

/// Selections, one a line, and a condition.
fn many(selections: &[&str], condition: &str) -> String {
    let lines: Vec<String> = selections.iter().map(|text| format!("    {text}\n")).collect();
    format!("{}    condition: {condition}", lines.concat())
}

#[track_caller]
fn clean(detection: &str) {
    let found = of(detection, "");
    assert!(found.is_empty(), "{detection}: {found:#?}");
}

#[track_caller]
fn only(found: &[Finding], code: Code, words: &[&str]) {
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].code, code, "{found:#?}");
    assert!(found[0].fault.span.is_some() && found[0].fault.help.is_some(), "{found:#?}");
    for word in words {
        assert!(found[0].fault.reason.contains(word), "{}", found[0].fault.reason);
    }
}

#[track_caller]
fn never(detection: &str, words: &[&str]) {
    let found = of(detection, "");
    only(&found, Code::NeverMatches, words);
    assert_eq!(found[0].severity, Severity::Error);
}

#[track_caller]
fn dead(detection: &str, words: &[&str]) {
    only(&of(detection, ""), Code::DeadValue, words);
}

#[test]
fn two_values_at_once_never_match_and_either_does() {
    let selections = [r"a: {PipeName: '\evil'}", r"b: {PipeName: '\other'}"];
    never(&many(&selections, "a and b"), &["PipeName is `\\evil`", "`\\other`"]);
    clean(&many(&selections, "a or b"));
    clean(&many(&[selections[0], r"b: {Image: '\other'}"], "a and b"));
    clean(&many(&[selections[0], r"b: {PipeName: '\EVIL'}"], "a and b"));
}

#[test]
fn parts_that_a_value_does_not_hold() {
    let whole = r"a: {PipeName: '\evil-7'}";
    for part in ["startswith: '\\evil-8'", "endswith: '8'", "contains: 'good'"] {
        never(&many(&[whole, &format!("b: {{PipeName|{part}}}")], "a and b"), &["at once"]);
    }
    for part in ["startswith: '\\EVIL'", "endswith: '-7'", "contains: 'vil'"] {
        clean(&many(&[whole, &format!("b: {{PipeName|{part}}}")], "a and b"));
    }
    never(
        &one(r"{PipeName|startswith: '\abc', PipeName|contains|all: ['x'], PipeName: '\abcd'}"),
        &["contains `x`"],
    );
    never(
        &many(
            &[r"a: {PipeName|startswith: '\abc'}", r"b: {PipeName|startswith: '\abd'}"],
            "a and b",
        ),
        &["starts with"],
    );
    never(
        &many(&[r"a: {PipeName|startswith: '\abc', Image: null, Image|endswith: 'x.exe'}"], "a"),
        &["exists"],
    );
}

#[test]
fn and_not_of_itself() {
    let lists = [r"a: {PipeName: ['\one', '\two']}", r"b: {PipeName: ['\one', '\two', '\three']}"];
    never(&many(&lists, "a and not b"), &["at once"]);
    never(&many(&lists[..1], "a and not a"), &["at once"]);
    never(&many(&[r"a: {PipeName: '\evil', Image: 'C:\x.exe'}"], "a and not a"), &["at once"]);
    // The other way round one value is left, and the others are ruled out.
    dead(&many(&lists, "b and not a"), &["2 values", "`\\one`", "`\\two`"]);
    // A filter that is narrower than the selection.
    let filter = [r"a: {PipeName: '\evil'}", r"f: {PipeName: '\evil', Image: 'C:\good.exe'}"];
    clean(&many(&filter, "a and not f"));
}

#[test]
fn what_is_left_of_an_or_counts() {
    let selections = [
        r"a: {PipeName: ['\one', '\two']}",
        r"b: {PipeName: ['\two', '\three']}",
        r"c: {PipeName: ['\three', '\one']}",
    ];
    never(&many(&[selections[0], r"b: {PipeName: ['\four', '\five']}"], "a and b"), &["at once"]);
    // Each pair of the three has a value; all three have none.
    never(&many(&selections, "a and b and c"), &["at once"]);
    dead(&many(&selections[..2], "a and b"), &["2 values", "`\\one`", "`\\three`"]);
    clean(&many(&selections[..2], "a or b"));
}

#[test]
fn a_pipe_without_its_backslash() {
    never(&one("{PipeName: 'evil'}"), &["`evil`", "backslash"]);
    never(&one("{PipeName|startswith: 'evil'}"), &["backslash"]);
    never(&one("{PipeName: 'evil*'}"), &["backslash"]);
    clean(&one("{PipeName|contains: 'evil'}"));
    clean(&one("{PipeName: '*evil'}"));
    clean(&one(r"{PipeName|startswith: '\evil'}"));
    clean(&one("{Image: 'System'}"));
    clean(&one("{PipeName: '<Anonymous Pipe>'}"));
    clean(&one("{PipeName|cased: '<Anonymous Pipe>'}"));
    clean(&one("{PipeName|startswith: '<Anonymous'}"));
    never(&one("{PipeName|cased: '<anonymous pipe>'}"), &["backslash"]);
    never(&one("{PipeName|startswith|cased: '<anonymous'}"), &["backslash"]);
    never(&one("{PipeName: '<Anonymous'}"), &["backslash"]);
}

#[test]
fn a_value_that_never_matches_among_others_that_do() {
    dead(&one(r"{PipeName: ['\evil', 'other']}"), &["the value `other`", "backslash"]);
    let many_values = (0..7).map(|n| format!("'bad{n}'")).collect::<Vec<_>>().join(", ");
    dead(&one(&format!(r"{{PipeName: ['\evil', {many_values}]}}")), &["7 values", "and 2 more"]);
    clean(&one(r"{PipeName: ['\evil', '\other']}"));
    // A filter that filters nothing.
    let filter = [r"a: {PipeName|startswith: '\evil'}", "f: {PipeName: 'evil-good'}"];
    dead(&many(&filter, "a and not f"), &["`evil-good`"]);
    dead(&one(r"{PipeName|contains: 'evil', ImageName: ['x.exe', '\y.exe']}"), &["`\\y.exe`"]);
}

#[test]
fn numbers_that_leave_none() {
    let with = |numbers: &str| one(&format!(r"{{PipeName: '\evil', {numbers}}}"));
    never(&with("ProcessId|lt: 5, ProcessId|gte: 5"), &["ProcessId is less than 5", "at least 5"]);
    clean(&with("ProcessId|lt: 6, ProcessId|gte: 5"));
    never(&with("ProcessId|lt: 0"), &["no such value"]);
    clean(&with("ProcessId|lt: 1"));
    let not = |numbers: &str| {
        many(
            &[&format!(r"a: {{PipeName: '\evil', {numbers}}}"), "f: {ProcessId: 5}"],
            "a and not f",
        )
    };
    never(&not("ProcessId|gt: 4, ProcessId|lt: 6"), &["no number is left"]);
    clean(&not("ProcessId|gt: 4, ProcessId|lt: 7"));
    let only_created = "saker: {on: created}";
    let connects = one(r"{PipeName: '\evil', EventID: 18}");
    only(&of(&connects, only_created), Code::NeverMatches, &["at once"]);
    clean(&connects);
}

fn pair(narrow: &str, wide: &str) -> Vec<Finding> {
    pair_with((narrow, ""), (wide, ""))
}

fn pair_with(narrow: (&str, &str), wide: (&str, &str)) -> Vec<Finding> {
    let text = format!("{}---\n{}", rule(1, narrow.0, narrow.1), rule(2, wide.0, wide.1));
    let mut found = findings(&text);
    found.retain(|finding| finding.code != Code::MissingExamples);
    found
}

#[track_caller]
fn shadows(narrow: &str, wide: &str) {
    let found = pair(narrow, wide);
    only(&found, Code::Shadowed, &["Rule 2", "11111111-2222-4333-8444-000000000002"]);
    assert_eq!((found[0].title.as_str(), found[0].severity), ("Rule 1", Severity::Warning));
}

#[test]
fn a_narrower_rule_is_shadowed_by_a_wider_one_only() {
    let value = one(r"{PipeName: '\evil-7'}");
    for wide in [
        r"{PipeName|startswith: '\EVIL'}",
        "{PipeName|endswith: 'il-7'}",
        "{PipeName|contains: 'vil'}",
        r"{PipeName: ['\other', '\evil-7']}",
    ] {
        shadows(&value, &one(wide));
    }
    for other in [
        r"{PipeName|startswith: '\evil-8'}",
        r"{PipeName: ['\other', '\evil-8']}",
        r"{PipeName|contains: 'vil', Image|endswith: '\x.exe'}",
        r"{Image|contains: 'evil'}",
        r"{PipeName|re: '\\evil-\d'}",
    ] {
        let found = pair(&value, &one(other));
        assert!(found.is_empty(), "{other}: {found:#?}");
    }
}

#[test]
fn lists_and_further_conditions() {
    let (short, long) = (r"['\one', '\two']", r"['\two', '\three', '\one']");
    shadows(&one(&format!("{{PipeName: {short}}}")), &one(&format!("{{PipeName: {long}}}")));
    let narrow = one(&format!(r"{{PipeName: {short}, Image|endswith: ['\a.exe', '\b.exe']}}"));
    shadows(&narrow, &one(r"{PipeName|contains: 'o', Image|endswith: '.exe'}"));
    shadows(&narrow, &one(&format!(r"{{PipeName: {long}, Image|contains: ['b.', 'a.']}}")));
    // What a filter lets through is less.
    let filtered =
        many(&[&format!("a: {{PipeName: {short}}}"), r"f: {Image: 'C:\good.exe'}"], "a and not f");
    shadows(&filtered, &one(&format!("{{PipeName: {long}}}")));
    let narrower_filter = many(
        &[&format!("a: {{PipeName: {short}}}"), r"f: {Image: ['C:\good.exe', 'C:\x.exe']}"],
        "a and not f",
    );
    shadows(&narrower_filter, &filtered);
}

#[test]
fn twins_are_told_once() {
    let found = pair(
        &one(r"{PipeName: ['\one', '\two']}"),
        &many(&[r"a: {PipeName: '\TWO'}", r"b: {PipeName: '\one'}"], "1 of *"),
    );
    only(&found, Code::Duplicate, &["Rule 1"]);
    assert_eq!(found[0].title, "Rule 2");
}

#[test]
fn a_shadowed_rule_that_asks_for_more_has_its_use() {
    let (narrow, wide) = (one(r"{PipeName: '\evil'}"), one(r"{PipeName|startswith: '\ev'}"));
    let found = pair_with((&narrow, "saker: {action: block}"), (&wide, ""));
    only(&found, Code::Shadowed, &[]);
    assert_eq!(found[0].severity, Severity::Note);
    // A rule for other operations shadows nothing.
    let found = pair_with((&narrow, ""), (&wide, "saker: {on: created}"));
    assert!(found.is_empty(), "{found:#?}");
    let found = pair_with((&narrow, "saker: {on: created}"), (&wide, ""));
    only(&found, Code::Shadowed, &[]);
}

#[test]
fn rules_that_are_judged_for_every_event() {
    let dear = |detection: &str, words: &[&str]| only(&of(detection, ""), Code::EveryEvent, words);
    dear(&one("{ProcessId: 4}"), &["no text must occur"]);
    dear(&many(&[r"f: {PipeName|startswith: '\evil'}"], "not f"), &["no text"]);
    dear(&many(&[r"a: {PipeName: '\evil'}", "b: {ProcessId: 4}"], "a or b"), &["no text"]);
    dear(&one(r"{PipeName|startswith: '\'}"), &["no text"]);
    dear(&one(r"{PipeName|re: '\d{2}[a-f]+'}"), &["no text must occur"]);
    clean(&one(r"{PipeName|re: '\d{2}[a-f]+', Image|endswith: '\x.exe'}"));
    clean(&one(r"{PipeName|re: '\\evil\d{2}'}"));
    clean(&one(r"{PipeName: '\evil', ProcessId: 4}"));
    clean(&many(&[r"a: {PipeName: '\evil'}", r"b: {Image|endswith: '\x.exe'}"], "a or b"));
}

#[test]
fn patterns_near_the_limit() {
    // Each letter more doubles the states.
    let pattern = |count: u32| one(&format!(r"{{PipeName|re: '\\evil(a|b)*a(a|b){{{count}}}$'}}"));
    only(&of(&pattern(9), ""), Code::RegexNearLimit, &["states", "2048"]);
    clean(&pattern(5));
}

#[test]
fn what_a_rule_should_say_of_itself() {
    let examples = "saker: {examples: {match: [{PipeName: '\\evil'}], no_match: [{PipeName: x}]}}";
    let whole = rule(1, &one(r"{PipeName: '\evil'}"), examples);
    assert!(findings(&whole).is_empty(), "{:#?}", findings(&whole));
    for (text, with, code) in [
        ("description: One.\n", "", Code::MissingDescription),
        ("references: [https://example.com]\n", "", Code::MissingReferences),
        ("level: high\n", "", Code::MissingLevel),
        (", attack.t1559.001", "", Code::MissingTechnique),
        ("author: A\n", "", Code::MissingAuthor),
        ("date: 2024-07-19\n", "", Code::MissingDate),
        (examples, "", Code::MissingExamples),
        (", no_match: [{PipeName: x}]", "", Code::MissingExamples),
        ("author: A", "author: A\nstatus: deprecated", Code::Retired),
        ("author: A", "author: A\nstatus: unsupported", Code::Retired),
    ] {
        let changed = whole.replacen(text, with, 1);
        assert_ne!(changed, whole, "{text}");
        let found = findings(&changed);
        assert_eq!(found.iter().map(|f| f.code).collect::<Vec<_>>(), [code], "{found:#?}");
        let note = matches!(code, Code::MissingAuthor | Code::MissingDate | Code::MissingExamples);
        let severity = if note { Severity::Note } else { Severity::Warning };
        assert_eq!(found[0].severity, severity);
    }
    let stable = whole.replacen("author: A", "author: A\nstatus: stable", 1);
    assert!(findings(&stable).is_empty());
}

#[test]
fn what_cannot_be_built_is_a_finding() {
    only(&of(&one("{CommandLine: x}"), ""), Code::Unsupported, &["CommandLine"]);
    only(&of(&one("{ParentImage: 'C:\\x.exe'}"), ""), Code::Unsupported, &["does not supply"]);
    only(&of("    s: {PipeName: '\\evil'}\n    condition: t", ""), Code::Wrong, &["not defined"]);
    let example = "saker: {examples: {match: [{PipeName: '\\good'}]}}";
    only(&of(&one(r"{PipeName: '\evil'}"), example), Code::Wrong, &["example 1", "is False"]);
}

#[test]
fn a_conflict_of_many_values_ends() {
    let list = |from: u32| {
        let values = (from..from + 2_000).map(|n| format!(r"'\v{n}'")).collect::<Vec<_>>();
        values.join(", ")
    };
    let (one_list, other) = (list(0), list(10_000));
    let text = many(
        &[&format!("a: {{PipeName: [{one_list}]}}"), &format!("b: {{PipeName: [{other}]}}")],
        "a and b and not 1 of *",
    );
    // Whether it is found is a matter of steps; that it ends is not.
    for finding in of(&text, "") {
        let codes = [Code::NeverMatches, Code::DeadValue, Code::Unsupported];
        assert!(codes.contains(&finding.code), "{finding:?}");
    }
}

#[test]
fn findings_come_in_the_order_of_places() {
    let found = pair(&one("{PipeName: 'evil'}"), &one("{ProcessId: 4}"));
    let lines: Vec<usize> = found.iter().map(|finding| finding.fault.line).collect();
    assert!(lines.is_sorted() && lines.len() == 2, "{found:#?}");
    assert_eq!(found[0].fault.line, 11, "{found:#?}");
}

#[test]
fn names_of_kinds_are_kebab_case_and_their_own() {
    let names: std::collections::BTreeSet<&str> = Code::ALL.iter().map(|c| c.name()).collect();
    assert_eq!(names.len(), Code::ALL.len());
    for code in Code::ALL {
        let plain = |letter: u8| letter.is_ascii_lowercase() || letter == b'-';
        assert!(code.name().bytes().all(plain) && !code.doc().is_empty(), "{code:?}");
    }
}

/// No rule that an author's example matches may be called impossible.
#[test]
fn the_demonstration_rules_can_match() {
    let loaded = channel_compiler::load(&[content_folder()]);
    for rule in &loaded.rules {
        let matching = rule.examples.iter().filter(|example| example.matches);
        for example in matching {
            assert_eq!(naive::judge(rule, &example.inputs()), Truth::True, "{}", rule.title);
        }
    }
    for finding in lint(&loaded, &SensorProfile::CURRENT) {
        assert_ne!(finding.severity, Severity::Error, "{finding:?}");
        assert_ne!(finding.code, Code::DeadValue, "{finding:?}");
    }
}
