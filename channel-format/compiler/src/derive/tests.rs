use std::path::Path;

use super::*;
use crate::lower::lower;
use crate::source::{load_rules, parse_rules};

fn rule(detection: &str) -> SourceRule {
    let text = format!(
        "title: Test\nid: one\nlogsource: {{category: pipe_created}}\ndetection:\n{detection}\n"
    );
    parse_rules(Path::new("rule.yml"), &text).unwrap_or_else(|e| panic!("{e:?}\n{text}")).remove(0)
}

/// The examples of a rule, each judged anew.
fn examples(rule: &SourceRule) -> Vec<Example> {
    let examples = complete(rule, &lower(rule).unwrap()).unwrap();
    for kind in [true, false] {
        assert!(examples.iter().any(|example| example.matches == kind), "{}", rule.title);
    }
    for example in &examples {
        let wanted = if example.matches { Truth::True } else { Truth::False };
        assert_eq!(naive::judge(rule, &example.inputs()), wanted, "{example:?}");
    }
    examples
}

/// The texts of the matches, field by field.
fn texts(detection: &str, field: Field) -> Vec<String> {
    let found = examples(&rule(detection));
    let matching = found.iter().filter(|example| example.matches);
    let text = |example: &Example| match example.values.get(&field)? {
        ExampleValue::Text(text) => Some(String::from_utf16(text).unwrap()),
        _ => None,
    };
    matching.filter_map(text).collect()
}

#[track_caller]
fn impossible(detection: &str, what: &str) {
    let rule = rule(detection);
    let error = complete(&rule, &lower(&rule).unwrap()).unwrap_err().remove(0);
    assert!(error.reason.contains(what), "{}", error.reason);
    assert!(error.help.unwrap().contains("saker: examples"));
    assert!(error.line > 0);
}

const CONDITION: &str = "\n    condition: s";

#[test]
fn each_alternative_gets_a_match_and_the_rule_a_near_miss() {
    let detection =
        format!("    s: {{PipeName: ['\\one', '\\two*', '*three', '*four*']}}{CONDITION}");
    let found = texts(&detection, Field::PipeName);
    assert_eq!(found, [r"\one", r"\two", r"\three", r"\four"]);
    let all = examples(&rule(&detection));
    let miss = all.iter().find(|example| !example.matches).unwrap();
    let ExampleValue::Text(miss) = &miss.values[&Field::PipeName] else { panic!("{miss:?}") };
    assert_eq!(String::from_utf16(miss).unwrap(), r"\onex");
    let many = (0..40).map(|n| format!("'\\p{n}'")).collect::<Vec<_>>().join(", ");
    let found = examples(&rule(&format!("    s: {{PipeName: [{many}]}}{CONDITION}")));
    assert_eq!(found.len(), MAX_DERIVED);
}

#[test]
fn parts_are_glued_and_filters_avoided() {
    let detection = "    s:\n        PipeName|startswith: '\\pre'\n        PipeName|endswith: 'post'\n        \
                     PipeName|contains|all: ['aab', 'mid']\n    f:\n        Image|startswith: 'C:\\Windows\\'\n    \
                     g: {Image: null}\n    condition: s and not f and not g";
    assert_eq!(texts(detection, Field::PipeName), [r"\preaabmidpost"]);
    assert_eq!(texts(detection, Field::ImagePath), [r"C:\x"]);
    // What is glued first runs into the filter.
    let detection = "    s: {PipeName|contains|all: ['ab', 'bc']}\n    f: {PipeName|contains: 'abbc'}\n    \
                     condition: s and not f";
    assert_eq!(texts(detection, Field::PipeName), ["abc"]);
}

#[test]
fn patterns_are_walked_to_a_text_that_people_can_read() {
    let one = |modifiers: &str, pattern: &str| {
        let found = texts(
            &format!("    s: {{PipeName|{modifiers}: '{pattern}'}}{CONDITION}"),
            Field::PipeName,
        );
        found.join(" ")
    };
    assert_eq!(one("re", r"^\\[a-f0-9]{4}-(in|out)$"), r"\aaaa-in \aaaa-out");
    assert_eq!(one("re|i", r"MSSE-\d+-server"), "msse-0-server");
    assert_eq!(one("startswith", r"\a?c*e"), r"\aace");
    assert_eq!(one("re", "^😀+é$"), "😀é");
    assert_eq!(one("re", "^(ab){3}[^b]"), "abababa");
    // Two at once, of which one also matches other texts.
    let detection = "    s:\n        PipeName|re: '^\\\\[0-9a-c]{3}$'\n        PipeName|contains: 'c1'\n    \
                     f: {PipeName|re: 'a'}\n    condition: s and not f";
    assert_eq!(texts(detection, Field::PipeName), [r"\bc1"]);
}

#[test]
fn the_image_s_name_is_the_end_of_its_path() {
    let detection = "    s:\n        Image|startswith: 'C:\\Users\\'\n        ImageName: 'x.exe'\n    \
                     condition: s";
    assert_eq!(texts(detection, Field::ImagePath), [r"c:\users\x.exe"]);
    assert_eq!(texts(detection, Field::ImageName), ["x.exe"]);
}

#[test]
fn numbers_users_and_operations_are_chosen_by_their_bounds() {
    let values = |detection: &str, field: Field| -> Vec<Option<ExampleValue>> {
        let found = examples(&rule(detection));
        let matching = found.iter().filter(|example| example.matches);
        matching.map(|example| example.values.get(&field).cloned()).collect()
    };
    let detection = "    s: {ProcessId|gt: 7, ProcessId|lte: 9}\n    f: {ProcessId: 8}\n    \
                     condition: s and not f";
    assert_eq!(values(detection, Field::ProcessId), [Some(ExampleValue::Number(9))]);
    let detection = format!("    s: {{EventType: ConnectPipe}}{CONDITION}");
    assert_eq!(values(&detection, Field::Operation), [Some(ExampleValue::Number(2))]);
    let detection = format!("    s: {{User|contains: AUTORI}}{CONDITION}");
    let system = ExampleValue::Sid(vec![1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]);
    let found = values(&detection, Field::User);
    assert_eq!((found.len(), &found[0]), (3, &Some(system)));
    let detection = format!("    s: {{PipeName|exists: false, Session: null}}{CONDITION}");
    assert_eq!(values(&detection, Field::PipeName), [None]);
}

#[test]
fn a_pipe_without_a_name_is_missed_or_met_by_its_empty_name() {
    let detection = "    s1: {User|contains: [AUTHORI, AUTORI]}\n    \
                     s2: {PipeName|cased: '<Anonymous Pipe>'}\n    condition: s1 and not s2\n\
                     saker: {on: [created]}";
    assert_eq!(texts(detection, Field::PipeName), [r"\x"; MAX_ALTERNATIVES]);
    let judged = |detection: &str| texts(detection, Field::PipeName);
    assert_eq!(judged("    s: {PipeName: '<Anonymous Pipe>'}\n    condition: s")[1..], [""]);
}

/// Those of the first alternative are more than are tried, and all in vain.
#[test]
fn no_alternative_keeps_another_from_being_tried() {
    for count in [15, 40] {
        let list = |start: &str| {
            let values: Vec<String> = (10..10 + count).map(|n| format!("{start}{n}")).collect();
            format!("{{PipeName|startswith: [{}]}}", values.join(", "))
        };
        let (a, b) = (list("a"), list("b"));
        let selections = format!("    a: {a}\n    b: {b}\n    c: {{PipeName|contains: c}}\n");
        let either = format!("{selections}    condition: (a and b) or c");
        assert_eq!(texts(&either, Field::PipeName), [r"\c"]);
        let several = format!("{selections}    condition:\n        - a and b\n        - c");
        assert_eq!(texts(&several, Field::PipeName), [r"\c"]);
    }
}

#[test]
fn what_always_or_never_matches_is_refused() {
    impossible("    s: {PipeName: a, PipeName|startswith: b}\n    condition: s", "matches");
    impossible("    s: {PipeName: a}\n    condition: s and not s", "matches");
    impossible("    s: {ProcessId|gt: 5, ProcessId|lt: 5}\n    condition: s", "matches");
    impossible("    s: {PipeName|re: '[^\\s\\S]'}\n    condition: s", "matches");
    impossible("    s: {PipeName: a}\n    condition: s or not s", "does not match");
}

#[test]
fn what_the_author_gave_is_not_derived() {
    let given = "    s: {PipeName: ['\\a', '\\b']}\n    condition: s\nsaker:\n    examples:\n        \
                 match: [{PipeName: '\\B'}]\n        no_match: [{}]";
    let found = examples(&rule(given));
    let derived: Vec<_> = found.iter().filter(|example| example.derived).collect();
    assert_eq!((found.len(), derived.len()), (3, 1));
    let text: Vec<u16> = r"\a".encode_utf16().collect();
    assert_eq!(derived[0].values[&Field::PipeName], ExampleValue::Text(text));
}

/// Rules that could be derived without an author's help, of the demonstration and of the folder
/// that `SAKER_RULES` names.
#[test]
fn published_rules_need_no_examples_of_their_author() {
    let content = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/content");
    let folders = [Some(content), std::env::var_os("SAKER_RULES").map(Into::into)];
    for folder in folders.into_iter().flatten() {
        for mut rule in load_rules(&[folder]).unwrap() {
            rule.examples.clear();
            let started = std::time::Instant::now();
            let found = examples(&rule);
            eprintln!(
                "{:4} ms {:2} examples {}",
                started.elapsed().as_millis(),
                found.len(),
                rule.title
            );
        }
    }
}
