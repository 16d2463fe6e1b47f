//! What the Sigma specification says a rule may be, point by point: what is built means what the
//! specification says, to the tables and to the reference alike; the rest is refused.

mod common;

use std::path::Path;

use channel_compiler::{
    Example, ExampleValue, RuleError, SourceRule, attach_signature, build_for, naive, parse_rules,
};
use channel_format::schema::{Field, SensorProfile, Truth};
use miette::Diagnostic;

use common::{OPTIONS, open, rule_text, test_key};

/// Builds a rule whose examples are those events, in YAML: it must match the first and not the
/// others. Reference and tables both judge them.
#[track_caller]
fn means(detection: &str, matches: &[&str], others: &[&str]) {
    let list = |events: &[&str]| events.join(", ");
    let text = rule_text(detection)
        + &format!(
            "saker:\n    examples:\n        match: [{}]\n        no_match: [{}]\n",
            list(matches),
            list(others)
        );
    let rules =
        parse_rules(Path::new("rule.yml"), &text).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    assert_eq!(rules[0].examples.len(), matches.len() + others.len());
    let mut file = build_for(&rules, &OPTIONS, &SensorProfile::FULL)
        .unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    attach_signature(&mut file, &test_key()).unwrap();
    let ruleset = open(&file, &test_key(), &SensorProfile::FULL).unwrap();
    assert_eq!(ruleset.self_test(), Ok(()), "{text}");
}

#[track_caller]
fn refused(detection: &str, reason: &str, help: &str) {
    let text = rule_text(detection);
    let built = |rules: Vec<SourceRule>| build_for(&rules, &OPTIONS, &SensorProfile::FULL);
    let errors: Vec<RuleError> =
        parse_rules(Path::new("rule.yml"), &text).and_then(built).expect_err(&text);
    assert_eq!(errors.len(), 1, "{errors:?}");
    let found = errors[0].help().map(|help| help.to_string()).unwrap_or_default();
    assert!(errors[0].reason.contains(reason), "{}", errors[0].reason);
    assert!(found.contains(help), "{found}");
    assert!(errors[0].line >= 7 && errors[0].span.is_some(), "{}", errors[0]);
}

const CONDITION: &str = "\n    condition: s";

fn item(item: &str) -> String {
    format!("    s: {{{item}}}{CONDITION}")
}

#[test]
fn maps_are_and_lists_are_or() {
    means(
        &item(r"PipeName: [\a, \b], Image|endswith: x.exe"),
        &[r"{PipeName: \A, Image: C:\x.exe}", r"{PipeName: \b, Image: C:\X.EXE}"],
        &[r"{PipeName: \a}", r"{PipeName: \c, Image: C:\x.exe}", r"{PipeName: \ab, Image: x.exe}"],
    );
    means(
        &format!(
            "    s:\n        - PipeName: a\n          Image: b\n        - PipeName: c{CONDITION}"
        ),
        &["{PipeName: a, Image: b}", "{PipeName: c}"],
        &["{PipeName: a}", "{Image: b}"],
    );
    // The same field twice, told apart by its modifiers.
    means(
        &item("PipeName|startswith: a, PipeName|endswith: [b, c]"),
        &["{PipeName: ab}", "{PipeName: aXc}"],
        &["{PipeName: a}", "{PipeName: bb}"],
    );
}

#[test]
fn wildcards_and_their_escapes() {
    for (value, matches, others) in [
        (r"a*c", vec!["ac", "abc", r"a\c"], vec!["ab", "xac"]),
        (r"a?c", vec!["abc", "AéC"], vec!["ac", "abbc"]),
        (r"a\*c", vec!["a*c"], vec!["abc", r"a\*c"]),
        (r"a\?c", vec!["a?c"], vec!["abc"]),
        (r"a\\*", vec![r"a\", r"a\b"], vec!["a*", "ab"]),
        (r"a\\\*", vec![r"a\*"], vec![r"a\b", r"a\\x"]),
        (r"a\b", vec![r"a\b"], vec!["ab", r"a\\b"]),
        (r"a\\b", vec![r"a\b"], vec![r"a\\b"]),
        (r"a\\\\b", vec![r"a\\b"], vec![r"a\b"]),
        (r"a\\\b", vec![r"a\\b"], vec![r"a\b"]),
        (r"%name%", vec!["%name%"], vec!["name"]),
        ("*", vec!["a"], vec![]),
    ] {
        let events = |texts: &[&str]| -> Vec<String> {
            texts.iter().map(|text| format!("{{PipeName: '{text}'}}")).collect()
        };
        let (matches, mut others) = (events(&matches), events(&others));
        others.push("{PipeName: null}".into());
        let (matches, others): (Vec<&str>, Vec<&str>) = (
            matches.iter().map(String::as_str).collect(),
            others.iter().map(String::as_str).collect(),
        );
        means(&item(&format!("PipeName: '{value}'")), &matches, &others);
    }
}

#[test]
fn modifiers_of_text_and_their_combinations() {
    means(&item("PipeName|contains: b*d"), &["{PipeName: abcde}"], &["{PipeName: abc}"]);
    means(&item("PipeName|startswith: a?"), &["{PipeName: abc}"], &["{PipeName: a}"]);
    means(
        &item("PipeName|contains|all: [a, b]"),
        &["{PipeName: xbxa}"],
        &["{PipeName: a}", "{PipeName: b}"],
    );
    means(
        &item("PipeName|all|contains: [a, b]"),
        &["{PipeName: ab}"],
        &["{PipeName: a}", "{PipeName: b}"],
    );
    means(&item("PipeName|all: [a*, '*b']"), &["{PipeName: ab}"], &["{PipeName: a}"]);
    means(&item("PipeName|cased: Ab"), &["{PipeName: Ab}"], &["{PipeName: ab}"]);
    means(&item("PipeName|cased: A*b"), &["{PipeName: Axb}"], &["{PipeName: axb}"]);
    means(&item("PipeName|endswith|cased: Ab"), &["{PipeName: xAb}"], &["{PipeName: xAB}"]);
    means(&item("PipeName|cased|startswith: Ab"), &["{PipeName: Abx}"], &["{PipeName: abx}"]);
    means(
        &item("PipeName|contains|all|cased: [A, b]"),
        &["{PipeName: bA}"],
        &["{PipeName: ba}", "{PipeName: A}"],
    );
    means(&item("PipeName|re: 'b.d$'"), &["{PipeName: abcd}"], &["{PipeName: aBcd}"]);
    means(&item("PipeName|re|i: 'B.D$'"), &["{PipeName: abcd}"], &["{PipeName: abcde}"]);
    means(&item(r"PipeName|re|m: '^b$'"), &[r#"{PipeName: "a\nb"}"#], &["{PipeName: ab}"]);
    means(&item(r"PipeName|re|s: 'a.b'"), &[r#"{PipeName: "a\nb"}"#], &["{PipeName: ab}"]);
    means(&item(r"PipeName|re: 'a.b'"), &["{PipeName: axb}"], &[r#"{PipeName: "a\nb"}"#]);
    means(&item("PipeName|re|all: [a, b]"), &["{PipeName: ba}"], &["{PipeName: a}"]);
    means(&item("PipeName|re|i|s|m: [A, B]"), &["{PipeName: b}"], &["{PipeName: c}"]);
    refused(&item("PipeName|re|cased: a"), "cased", "case-sensitive anyway");
    refused(&item("PipeName|contains|i: a"), "belong to `re`", "re|i");
    refused(&item("PipeName|contains|startswith: a"), "two comparisons", "keep one");
    refused(&item("PipeName|gt: a"), "does not go with text", "numbers");
}

#[test]
fn null_empty_and_exists_are_three_things() {
    let (absent, empty, text) = ("{PipeName: null}", "{PipeName: ''}", "{PipeName: a}");
    means(&item("PipeName: null"), &[absent], &[empty, text]);
    means(&item("Image: ''"), &["{Image: ''}"], &["{Image: null}", "{Image: a}"]);
    // A pipe without a name has one in Sysmon's logs, which is what rules are written for.
    means(&item("PipeName: '<Anonymous Pipe>'"), &[empty], &[absent, text]);
    means(&item("PipeName|exists: true"), &[empty, text], &[absent]);
    means(&item("PipeName|exists: false"), &[absent], &[empty, text]);
    means(&item("PipeName: [null, a]"), &[absent, text], &[empty]);
    means(&item("Image|contains: ''"), &["{Image: ''}", "{Image: a}"], &["{}"]);
    refused(&item("PipeName|contains: null"), "null", "without modifiers");
    refused(&item("PipeName|exists: 'yes'"), "true or false", "");
}

#[test]
fn numbers_booleans_and_levels() {
    means(&item("ProcessId: [4, '8', '0x10']"), &["{ProcessId: 4}", "{ProcessId: '16'}"], &["{}"]);
    means(&item("ProcessId|gte: 4, ProcessId|lt: 6"), &["{ProcessId: 5}"], &["{ProcessId: 6}"]);
    means(&item("ProcessId|lte: 4"), &["{ProcessId: 0}"], &["{ProcessId: 5}"]);
    means(&item("ProcessId|gt: '4'"), &["{ProcessId: 5}"], &["{ProcessId: 4}"]);
    means(&item("RemoteOrigin: true"), &["{RemoteOrigin: 1}"], &["{RemoteOrigin: false}"]);
    means(
        &item("IntegrityLevel: [High, System]"),
        &["{Integrity: 12288}"],
        &["{IntegrityLevel: low}"],
    );
    means(&item("DesiredAccess: 0x12019f"), &["{DesiredAccess: '0x12019F'}"], &["{}"]);
    refused(&item("ProcessId: true"), "not a number", "whole number");
    refused(&item("ProcessId: 4.5"), "not a number", "whole number");
    refused(&item("ProcessId|re: '4'"), "ProcessId", "lt, lte");
    refused(&item("IntegrityLevel: Hihg"), "Integrity", "Untrusted, Low");
    refused(&item("PipeName: true"), "not text", "quotes");
    refused(&item("Operation: 3"), "no example could be derived", "exclude each other");
}

#[test]
fn every_field_goes_under_each_of_its_names() {
    for (name, value, other) in [
        ("Operation", "1", "2"),
        ("EventID", "17", "18"),
        ("EventType", "CreatePipe", "ConnectPipe"),
        ("EventType|startswith", "Create", "ConnectPipe"),
        ("Image", "a", "b"),
        ("ImagePath", "a", "b"),
        ("ImageName", "a", "b"),
        ("ParentImage", "a", "b"),
        ("User", "S-1-5-18", "S-1-5-19"),
        ("Integrity", "4096", "8192"),
        ("IntegrityLevel", "4096", "8192"),
        ("TerminalSessionId", "1", "2"),
        ("SessionId", "1", "2"),
    ] {
        let field = name.split('|').next().unwrap();
        let given = if name.contains('|') { "CreatePipe" } else { value };
        means(
            &item(&format!("{name}: {value}")),
            &[&format!("{{{field}: {given}}}")],
            &[&format!("{{{field}: {other}}}")],
        );
    }
    refused(&item("ProcessGuid: x"), "unknown field `ProcessGuid`", "take it out");
}

#[test]
fn conditions_bind_as_the_specification_says() {
    let selections = "    a: {PipeName|contains: a}\n    b1: {PipeName|contains: b}\n    \
                      b2: {PipeName|contains: c}\n    _d: {PipeName|contains: d}\n    condition: ";
    let check = |condition: &str, matches: &[&str], others: &[&str]| {
        let events = |texts: &[&str]| -> Vec<String> {
            texts.iter().map(|text| format!("{{PipeName: 'x{text}'}}")).collect()
        };
        let (matches, others) = (events(matches), events(others));
        let matches: Vec<&str> = matches.iter().map(String::as_str).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        means(&format!("{selections}{condition}"), &matches, &others);
    };
    // `not` binds before `and`, `and` before `or`; each selection must be named.
    check("a or b1 and b2 and not _d", &["a", "ad", "bc"], &["b", "c", "bcd"]);
    check("(a or b1) and b2 and not _d", &["ac", "bc"], &["a", "acd", "c"]);
    check("not a and not (b1 or b2 or _d)", &[""], &["a", "b", "c", "d"]);
    check("1 of b* and not 1 of _* or a", &["b", "c", "a", "abd"], &["", "bd"]);
    check("all of b* and not _d or a", &["bc", "a"], &["b", "c", "bcd"]);
    check("any of b* and not _d or a", &["b", "c", "a"], &["", "bd"]);
    // A name that begins with an underscore is none of them.
    check("1 of them or (a and _d)", &["a", "b", "c"], &["d", ""]);
    check("all of them or (a and _d)", &["abc", "ad"], &["ab", "d"]);
    check("not (not (a)) or all of *", &["a", "abcd"], &["b", ""]);
    // Several conditions: any of them.
    check("\n        - a and b1 and _d\n        - b2", &["abd", "c"], &["a", "ab", "d"]);
    let refused = |condition: &str, reason: &str| {
        refused(&format!("{selections}{condition}"), reason, "");
    };
    refused("a and", "Condition");
    refused("1 of them or _d | count() > 5", "counts over events");
    refused("2 of *", "`2 of *`");
    refused("1 of them or _d or e", "`e`, which is not defined");
    refused("1 of them", "no condition uses the selection `_d`");
}

#[test]
fn what_needs_more_than_one_event_s_values_is_refused() {
    for (modifier, help) in [
        ("base64", "write out"),
        ("base64offset|contains", "write out"),
        ("wide", "write out"),
        ("utf16le", "write out"),
        ("utf16be", "write out"),
        ("utf16", "write out"),
        ("windash|contains", "no meaning"),
        ("cidr", "no meaning"),
        ("expand", "placeholders"),
        ("fieldref", "another field"),
        ("neq", "condition"),
        ("hour", "no field of this category holds a time"),
    ] {
        let name = modifier.split('|').next().unwrap();
        refused(
            &item(&format!("PipeName|{modifier}: '%x%'")),
            &format!("`{name}` is not supported"),
            help,
        );
    }
    refused(&format!("    s: [a, b]{CONDITION}"), "without a field", "PipeName|contains");
    refused(&item("'|all': [a, b]"), "names no field", "PipeName|contains");
}

#[test]
fn users_are_named_by_account_or_identifier() {
    let (system, service) = (r"{User: 'NT AUTHORITY\SYSTEM'}", "{User: S-1-5-19}");
    let someone = "{User: S-1-5-21-1-2-3-1001}";
    means(&item(r"User: 'nt authority\system'"), &[system], &[service, someone, "{User: null}"]);
    means(&item("User: s-1-5-18"), &[system], &[service]);
    means(
        &item("User|contains: [AUTHORI, AUTORI]"),
        &[system, service, r"{User: 'NT AUTHORITY\IUSR'}"],
        &[someone, r"{User: 'Window Manager\DWM-1'}"],
    );
    means(&item(r"User|startswith: 'NT AUTHORITY\'"), &[system, service], &[someone]);
    means(&item(r"User|endswith: ['\SYSTEM', '\Système', '\СИСТЕМА']"), &[system], &[service]);
    means(
        &item(r"User|contains|all: [AUTHORI, 'AUTHORITY\S']"),
        &[system],
        &["{User: S-1-5-7}", someone],
    );
    means(&item(r"User: '*AUTORI*\NETZ*'"), &["{User: S-1-5-20}"], &[system]);
    means(&item(r"User: 'Font Driver Host\UMFD-2'"), &["{User: S-1-5-96-0-2}"], &[system]);
    means(&item("User: '*'"), &[someone], &["{User: null}"]);
    means(
        "    s: {PipeName: a}\n    f: {User|contains: AUTHORI}\n    condition: s and not f",
        &["{PipeName: a, User: S-1-5-21-1-2-3-1001}"],
        &["{PipeName: a, User: S-1-5-18}"],
    );
    refused(&item(r"User: 'CORP\kim'"), r"`CORP\kim` is not known", "whoami /user");
    refused(&item("User: SYSTEM"), "`SYSTEM` is not known", r"did you mean `NT AUTHORITY\SYSTEM`?");
    refused(&item("User: S-1-5-x"), "not a security identifier", "as Windows does");
    refused(&item("User: 'admin*'"), "may mean users that are not known", "S-1-5-");
    refused(&item("User|contains: SYSTEM"), "may mean users", "AUTHORI");
    refused(&item(r"User|startswith: 'Window Manager\'"), "may mean users", "S-1-5-");
    refused(&item("User|contains: AUTHORIX"), "no well-known account fits", "S-1-5-");
    refused(&item("User|re: AUTHORI"), "compared by their identifiers", "contains");
    refused(&item(r"User|cased: 'NT AUTHORITY\SYSTEM'"), "identifiers", "plainly");
    refused(&item("User|gt: x"), "identifiers", "plainly");
    refused(&item("User: 5"), "not text", "in quotes");
    refused(&item(r"User: 'BUILTIN\Administrators'"), "not known", "no request is made in a group");
}

#[test]
fn a_user_reaches_the_file_as_its_bytes() {
    let text = rule_text(&item("User: S-1-5-18"));
    let rules = parse_rules(Path::new("rule.yml"), &text).unwrap();
    let values = [(Field::User, ExampleValue::Sid(vec![1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]))];
    let example = Example { matches: true, values: values.into(), derived: false };
    let mut inputs = example.inputs();
    inputs.set(Field::Operation, channel_format::schema::Input::Number(1));
    assert_eq!(naive::judge(&rules[0], &inputs), Truth::True);
    let file = build_for(&rules, &OPTIONS, &SensorProfile::FULL).unwrap();
    let sid = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
    // Once as a literal, once in the example that matches.
    assert_eq!(file.windows(sid.len()).filter(|window| *window == sid).count(), 2);
}

#[test]
fn the_rule_of_the_page_builds() {
    let page = std::fs::read_to_string(common::root().join("docs/rules.md")).unwrap();
    let text = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let rules = parse_rules(Path::new("docs/rules.md"), text).unwrap();
    build_for(&rules, &OPTIONS, &SensorProfile::FULL).unwrap();
}
