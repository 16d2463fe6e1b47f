//! The demonstration rules build, sign, load, and agree with the naive reference on real events.

mod common;

use channel_compiler::{attach_signature, build, load_rules, naive, sign};
use channel_format::ruleset::{Action, Ruleset};
use channel_format::schema::{Field, Input, Inputs, Operation, SensorProfile, Truth};

use common::{OPTIONS, blocking_key, content_folder, open, rule, test_key};

#[test]
fn the_demonstration_rules_build_sign_and_load() {
    let rules = load_rules(&[content_folder()]).unwrap();
    assert!(rules.len() >= 12);
    for rule in &rules {
        assert!(!rule.references.is_empty(), "{} has no references", rule.title);
        assert!(rule.tags.iter().any(|tag| tag.starts_with("attack.t")), "{}", rule.title);
        assert!(rule.examples.iter().any(|example| example.matches), "{}", rule.title);
        assert!(rule.examples.iter().any(|example| !example.matches), "{}", rule.title);
    }
    assert!(rules.iter().any(|rule| rule.action == Action::Block));
    let mut file = build(&rules, &OPTIONS).unwrap();
    sign(&mut file, &blocking_key()).unwrap();
    let ruleset = open(&file, &blocking_key(), &SensorProfile::CURRENT).unwrap();
    assert!(ruleset.may_block());
    assert_eq!(ruleset.self_test(), Ok(()));
    for index in 0..ruleset.rule_count() {
        let rule = ruleset.rule(index).unwrap();
        let source = rules.iter().find(|source| source.id == rule.id).unwrap();
        assert_eq!((rule.title, rule.level), (source.title.as_str(), source.level));
        assert_eq!(
            (rule.action, rule.judges, rule.blocks),
            (source.action, source.judges, source.blocks)
        );
        assert!(rule.tags().eq(source.tags.iter().map(String::as_str)));
        assert!(rule.references().eq(source.references.iter().map(String::as_str)));
    }
}

#[test]
fn building_does_not_depend_on_the_order_of_rules() {
    let mut rules = load_rules(&[content_folder()]).unwrap();
    let file = build(&rules, &OPTIONS).unwrap();
    rules.reverse();
    assert_eq!(build(&rules, &OPTIONS).unwrap(), file);
}

#[test]
fn evaluation_agrees_with_the_reference_with_any_input_missing() {
    let rules = load_rules(&[content_folder()]).unwrap();
    let mut file = build(&rules, &OPTIONS).unwrap();
    sign(&mut file, &test_key()).unwrap();
    let ruleset = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap();
    assert!(!ruleset.may_block());
    let names = [
        r"\PSEXESVC",
        r"\lsass",
        r"\kekeo_tsssp_endpoint",
        r"\qfhaer",
        r"\MSSE-1234-server",
        r"\PSHost.1.2.DefaultAppDomain.notepad",
        r"\x-WORKSTATION5-7-stdout",
        r"\RemCom_communicaton",
        "",
    ];
    let images = [r"C:\Users\kim\Downloads\x.exe", r"C:\Windows\System32\svchost.exe", ""];
    for name in names {
        for image in images {
            for operation in Operation::ALL {
                for missing in 0..27_u8 {
                    check(&ruleset, &rules, name, image, operation, missing);
                }
            }
        }
    }
}

/// Compares for one event; in `missing`, digits of base 3 say whether operation, name and image
/// are given, unknown or absent.
fn check(
    ruleset: &Ruleset<Vec<u8>>,
    rules: &[channel_compiler::SourceRule],
    name: &str,
    image: &str,
    operation: Operation,
    missing: u8,
) {
    let (name, image): (Vec<u16>, Vec<u16>) =
        (name.encode_utf16().collect(), image.encode_utf16().collect());
    let image_name = image.rsplit(|unit| *unit == u16::from(b'\\')).next().unwrap();
    let mut inputs = Inputs::unknown();
    let given = |digit: u8, input| match digit % 3 {
        0 => input,
        1 => Input::Unknown,
        _ => Input::Absent,
    };
    inputs.set(Field::Operation, given(missing, Input::Number(operation.number())));
    inputs.set(Field::PipeName, given(missing / 3, Input::Text(&name)));
    inputs.set(Field::ImagePath, given(missing / 9, Input::Text(&image)));
    inputs.set(Field::ImageName, given(missing / 9, Input::Text(image_name)));
    let mut truths = vec![Truth::False; rules.len()];
    let evaluation = ruleset.evaluate(&inputs, &mut |index, truth| truths[index as usize] = truth);
    assert!(evaluation.steps <= ruleset.header().steps_per_event);
    let count = |wanted| truths.iter().filter(|truth| **truth == wanted).count() as u32;
    assert_eq!(
        (evaluation.matched, evaluation.unknown),
        (count(Truth::True), count(Truth::Unknown))
    );
    for (index, truth) in truths.iter().enumerate() {
        let id = ruleset.rule(index as u32).unwrap().id;
        let rule = rules.iter().find(|rule| rule.id == id).unwrap();
        assert_eq!(naive::judge(rule, &inputs), *truth, "{} for {inputs:?}", rule.title);
    }
}

/// Some 1,400 events of real machines, where the workspace has them beside it.
#[test]
fn real_events_are_judged_as_the_reference_judges_them() {
    let log = common::root().join("../shared/data/sysmon-pipe-events.jsonl");
    let Ok(log) = std::fs::read_to_string(log) else {
        return;
    };
    let rules = load_rules(&[content_folder()]).unwrap();
    let mut file = build(&rules, &OPTIONS).unwrap();
    sign(&mut file, &test_key()).unwrap();
    let ruleset = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap();
    let mut matched = vec![0; rules.len()];
    for line in log.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| event[name].as_str().unwrap_or("").replace("<Anonymous Pipe>", "");
        let pipe: Vec<u16> = text("PipeName").encode_utf16().collect();
        let image: Vec<u16> = text("Image").encode_utf16().collect();
        let mut inputs = Inputs::unknown();
        inputs.set(Field::Operation, Input::Number(event["EventID"].as_u64().unwrap() - 16));
        inputs.set(Field::PipeName, Input::Text(&pipe));
        inputs.set(Field::ImagePath, Input::Text(&image));
        let name = image.rsplit(|unit| *unit == u16::from(b'\\')).next().unwrap();
        inputs.set(Field::ImageName, Input::Text(name));
        let mut truths = vec![Truth::False; rules.len()];
        ruleset.evaluate(&inputs, &mut |index, truth| truths[index as usize] = truth);
        for (index, truth) in truths.iter().enumerate() {
            let id = ruleset.rule(index as u32).unwrap().id;
            let rule = rules.iter().find(|rule| rule.id == id).unwrap();
            assert_eq!(naive::judge(rule, &inputs), *truth, "{} for {line}", rule.title);
            matched[index] += usize::from(*truth == Truth::True);
        }
    }
    let hit = matched.iter().filter(|count| **count > 0).count();
    assert!(hit >= 6, "the demonstration shows something: {matched:?}");
    assert!(matched.iter().sum::<usize>() < 100, "and not on every event: {matched:?}");
}

#[test]
fn a_name_that_holds_the_word_for_no_name_is_still_a_name() {
    let matched = |name: &str| {
        let name: Vec<u16> = name.encode_utf16().collect();
        let mut inputs = Inputs::unknown();
        inputs.set(Field::Operation, Input::Number(1));
        inputs.set(Field::PipeName, Input::Text(&name));
        ["contains", "endswith", "re"].map(|modifier| {
            let item = format!("PipeName|{modifier}: '<Anonymous Pipe>'");
            let rules = [rule(&format!("    s: {{{item}}}\n    condition: s"))];
            let mut file = build(&rules, &OPTIONS).unwrap();
            attach_signature(&mut file, &test_key()).unwrap();
            let ruleset = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap();
            ruleset.evaluate(&inputs, &mut |_, _| ()).matched
        })
    };
    assert_eq!(matched(r"\my<Anonymous Pipe>"), [1; 3]);
    assert_eq!(matched(""), [1; 3], "what Sysmon calls so");
    assert_eq!(matched(r"\my"), [0; 3]);
}
