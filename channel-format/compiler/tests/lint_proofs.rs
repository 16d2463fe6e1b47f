//! What lint calls proven is tried on every event of a small world.

use std::path::Path;

use channel_compiler::lint::{Code, Finding, lint};
use channel_compiler::{SourceRule, naive, parse};
use channel_format::schema::{Field, Input, Inputs, SensorProfile, Truth};
use proptest::prelude::*;
use proptest::strategy::Strategy;

/// Texts over two letters, so that random values often hold each other.
const NAMES: [&str; 8] = [r"\", r"\a", r"\b", r"\ab", r"\ba", r"\aba", r"\abb", r"\A"];
const IMAGES: [&str; 5] = ["a", "b", "ab", "ba", "B"];
const NUMBERS: [u64; 5] = [0, 1, 2, 3, 4];

/// One line of a selection.
fn item() -> impl Strategy<Value = String> {
    let text = prop_oneof![Just(""), Just("|contains"), Just("|startswith"), Just("|endswith")];
    let names = proptest::sample::subsequence(NAMES.to_vec(), 1..=3);
    let images = proptest::sample::subsequence(IMAGES.to_vec(), 1..=2);
    let order = prop_oneof![Just(""), Just("|lt"), Just("|lte"), Just("|gt"), Just("|gte")];
    let numbers = proptest::sample::subsequence(NUMBERS.to_vec(), 1..=2);
    let quoted = |values: Vec<&str>| {
        values.iter().map(|value| format!("'{value}'")).collect::<Vec<_>>().join(", ")
    };
    prop_oneof![
        4 => (text.clone(), prop_oneof![Just(""), Just("|cased")], names)
            .prop_map(move |(how, cased, values)| {
                format!("PipeName{how}{cased}: [{}]", quoted(values))
            }),
        2 => (text, images).prop_map(move |(how, v)| format!("Image{how}: [{}]", quoted(v))),
        1 => Just("Image: null".to_owned()),
        1 => Just("Image|exists: true".to_owned()),
        1 => (order, numbers).prop_map(|(how, values)| format!("ProcessId{how}: {values:?}")),
    ]
}

fn rule() -> impl Strategy<Value = String> {
    let conditions = prop_oneof![
        Just("a and b and c"),
        Just("a and b and not c"),
        Just("a and not b"),
        Just("a and not (b and c)"),
        Just("a or (b and not c)"),
        Just("(a or b) and (b or c)"),
        Just("(a or b) and not c"),
        Just("1 of *"),
    ];
    (item(), item(), item(), conditions).prop_map(|(a, b, c, condition)| {
        let used = |name: &str| condition.contains(name) || condition.contains('*');
        let c = if used("c)") || used(" c") { format!("    c: {{{c}}}\n") } else { String::new() };
        format!("    a: {{{a}}}\n    b: {{{b}}}\n{c}    condition: {condition}\n")
    })
}

fn rules(detections: &[String]) -> (Vec<SourceRule>, Vec<Finding>) {
    let text: Vec<String> = detections
        .iter()
        .enumerate()
        .map(|(number, detection)| {
            format!(
                "title: T{number}\nid: 11111111-2222-4333-8444-{number:012}\n\
                 logsource: {{product: windows, category: pipe_created}}\ndetection:\n{detection}"
            )
        })
        .collect();
    let loaded = parse(Path::new("rule.yml"), &text.join("---\n"));
    assert!(loaded.refused.is_empty(), "{:?}", loaded.refused);
    let findings = lint(&loaded, &SensorProfile::CURRENT);
    (loaded.rules, findings)
}

/// How a rule judges each event there is.
fn judgements(rule: &SourceRule) -> Vec<Truth> {
    let units = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
    let mut truths = Vec::new();
    let more = [r"\aab", r"\bb", r"\abab", ""];
    for name in NAMES.iter().chain(&more).map(|name| Some(units(name))).chain([None]) {
        for image in IMAGES.iter().map(|image| Some(units(image))).chain([None]) {
            for number in NUMBERS.into_iter().map(Some).chain([None]) {
                for missing in [Inputs::absent(), Inputs::unknown()] {
                    let mut inputs = missing;
                    if let Some(name) = &name {
                        inputs.set(Field::PipeName, Input::Text(name));
                    }
                    if let Some(image) = &image {
                        inputs.set(Field::ImagePath, Input::Text(image));
                    }
                    if let Some(number) = number {
                        inputs.set(Field::ProcessId, Input::Number(number));
                    }
                    inputs.set(Field::Operation, Input::Number(1));
                    truths.push(naive::judge(rule, &inputs));
                }
            }
        }
    }
    truths
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_is_proven_holds_for_every_event(narrow in rule(), wide in rule()) {
        let (rules, findings) = rules(&[narrow, wide]);
        let truths: Vec<Vec<Truth>> = rules.iter().map(judgements).collect();
        let index = |finding: &Finding| usize::from(finding.title == "T1");
        for finding in &findings {
            let (at, other) = (index(finding), 1 - index(finding));
            match finding.code {
                Code::NeverMatches => {
                    prop_assert!(!truths[at].contains(&Truth::True), "{}", finding);
                }
                Code::Shadowed => {
                    let mut pairs = truths[at].iter().zip(&truths[other]);
                    let held = pairs.all(|(narrow, wide)| {
                        *narrow != Truth::True || *wide == Truth::True
                    });
                    prop_assert!(held, "{}", finding);
                }
                Code::Duplicate => {
                    let trues = |truths: &[Truth]| -> Vec<bool> {
                        truths.iter().map(|truth| *truth == Truth::True).collect()
                    };
                    prop_assert_eq!(trues(&truths[at]), trues(&truths[other]), "{}", finding);
                }
                _ => {}
            }
        }
    }
}

/// The test above would be empty if nothing were ever proven.
#[test]
fn something_is_proven_in_the_small_world() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut proven = std::collections::BTreeMap::new();
    for _ in 0..400 {
        let pair = [rule(), rule()].map(|rule| rule.new_tree(&mut runner).unwrap().current());
        for finding in rules(&pair).1 {
            *proven.entry(finding.code).or_insert(0_u32) += 1;
        }
    }
    for code in [Code::NeverMatches, Code::Shadowed, Code::DeadValue] {
        assert!(proven.get(&code).is_some_and(|count| *count >= 10), "{code:?}: {proven:?}");
    }
}
