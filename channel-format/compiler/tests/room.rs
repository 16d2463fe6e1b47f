//! Texts in which more is found than there is room to keep: it costs more, and every rule comes out
//! as it would by itself.

mod common;

use std::path::Path;

use channel_compiler::{SourceRule, attach_signature, build, naive, parse_rules};
use channel_format::limits::{MAX_CANDIDATES, MAX_FOUND, MAX_RUNS};
use channel_format::ruleset::Ruleset;
use channel_format::schema::{Field, Input, Inputs, SensorProfile, Truth};
use common::{OPTIONS, open, test_key};

/// Rules in the order of their numbers.
fn rules(detections: &[String]) -> Vec<SourceRule> {
    let texts = detections.iter().enumerate().map(|(number, detection)| {
        format!(
            "title: T\nid: 00000000-0000-4000-8000-{number:012}\nlogsource:\n    \
             category: pipe_created\ndetection:\n{detection}\n"
        )
    });
    parse_rules(Path::new("r.yml"), &texts.collect::<Vec<_>>().join("---\n")).unwrap()
}

fn ruleset(rules: &[SourceRule]) -> Ruleset<Vec<u8>> {
    let mut file = build(rules, &OPTIONS).unwrap();
    attach_signature(&mut file, &test_key()).unwrap();
    open(&file, &test_key(), &SensorProfile::CURRENT).unwrap()
}

/// Every rule's verdict on a created pipe, which is the reference's and costs no more than declared.
fn judge(rules: &[SourceRule], set: &Ruleset<Vec<u8>>, name: &str, image: &str) -> Vec<Truth> {
    let [name, image] = [name, image].map(|text| text.encode_utf16().collect::<Vec<_>>());
    let mut inputs = Inputs::absent();
    inputs.set(Field::Operation, Input::Number(1));
    inputs.set(Field::PipeName, Input::Text(&name));
    inputs.set(Field::ImagePath, Input::Text(&image));
    let mut found = vec![Truth::False; rules.len()];
    let outcome = set.evaluate(&inputs, &mut |rule, truth| found[rule as usize] = truth);
    let expected: Vec<Truth> = rules.iter().map(|rule| naive::judge(rule, &inputs)).collect();
    assert_eq!(found, expected, "{name:?}");
    assert!(outcome.steps <= set.header().steps_per_event, "{outcome:?}");
    // What was kept of the image says the same, or there is no room for it.
    if let Some(kept) = set.keep(&inputs) {
        let mut again = vec![Truth::False; rules.len()];
        set.evaluate_kept(&inputs, Some(&kept), &mut |rule, truth| again[rule as usize] = truth);
        assert_eq!(again, expected);
    }
    found
}

/// Words `d000`, `d001`, ... one behind the other.
fn words(letter: char, numbers: impl Iterator<Item = usize>) -> String {
    numbers.map(|number| format!("{letter}{number:03}")).collect()
}

#[test]
fn more_criteria_than_there_is_room_for_are_all_told() {
    let count = 2 * MAX_FOUND.max(MAX_CANDIDATES);
    let mut texts = Vec::new();
    for number in 0..count {
        texts.push(format!(
            "    s: {{PipeName|contains: 'd{number:03}'}}\n    f: {{PipeName|contains: 'g{number:03}'}}\n    \
             condition: s and not f"
        ));
        texts.push(format!("    s: {{PipeName|endswith: 'd{number:03}'}}\n    condition: s"));
        texts.push(format!("    s: {{Image|contains: 'd{number:03}'}}\n    condition: s"));
    }
    let rules = rules(&texts);
    let set = ruleset(&rules);
    for found in [1, MAX_FOUND - 1, MAX_FOUND, MAX_FOUND + 1, MAX_CANDIDATES + 1, count] {
        let name = words('d', 0..found);
        let told = judge(&rules, &set, &name, r"C:\a.exe");
        assert_eq!(told.iter().filter(|truth| **truth == Truth::True).count(), found + 1);
        // Half of them are filtered out again, and the image meets as many.
        let filtered = format!("{}{name}", words('g', (0..found).step_by(2)));
        let told = judge(&rules, &set, &filtered, &name);
        assert!(told.iter().all(|truth| *truth != Truth::Unknown));
    }
}

#[test]
fn more_regular_expressions_than_there_is_room_for_are_all_told() {
    let count = 3 * MAX_RUNS;
    let mut texts = Vec::new();
    for number in 0..count {
        texts.push(format!("    s: {{PipeName|re: 'd{number:03}.*z$'}}\n    condition: s"));
        texts.push(format!(
            "    s: {{PipeName|contains: '\\q'}}\n    f: {{Image|re: '[0-9]d{number:03}[a-z]'}}\n    \
             condition: s and not f"
        ));
    }
    let rules = rules(&texts);
    let set = ruleset(&rules);
    for found in [1, MAX_RUNS - 1, MAX_RUNS, MAX_RUNS + 1, count] {
        let words = words('d', 0..found);
        let told = judge(&rules, &set, &format!("{words}\\qz"), &words);
        // Between two words stand a digit and a letter.
        let filtered = found.saturating_sub(2);
        let matching = told.iter().filter(|truth| **truth == Truth::True).count();
        assert_eq!(matching, found + count - filtered);
        judge(&rules, &set, &format!("{words}\\q"), &words);
    }
}

/// What has no room points to its rules each time that it is found, until that is too often.
#[test]
fn a_word_repeated_in_a_crowded_name_is_told_of_once() {
    let rule = |word: &str| format!("    s: {{PipeName|contains: '{word}'}}\n    condition: s");
    let mut texts: Vec<String> = (0..MAX_FOUND).map(|n| rule(&format!("d{n:03}"))).collect();
    texts.extend((0..MAX_CANDIDATES - MAX_FOUND).map(|_| rule("zz")));
    texts.push(rule("elsewhere"));
    let rules = rules(&texts);
    let set = ruleset(&rules);
    let crowd = words('d', 0..MAX_FOUND);
    for repeats in [1, 10, 400] {
        let told = judge(&rules, &set, &format!("{crowd}{}", "zz".repeat(repeats)), r"C:\a.exe");
        let matching = told.iter().filter(|truth| **truth == Truth::True).count();
        assert_eq!(matching, MAX_CANDIDATES);
    }
}

/// A long path leaves a rule alone that does not ask for it.
#[test]
fn an_image_path_does_not_change_a_rule_of_the_name() {
    let mut texts = vec![
        "    s: {PipeName|startswith: '\\evil'}\n    f: {PipeName|contains: 'good'}\n    \
         condition: s and not f"
            .to_owned(),
    ];
    let images = 0..=MAX_FOUND;
    texts.extend(images.map(|n| format!("    s: {{Image|contains: 'd{n:03}'}}\n    condition: s")));
    let rules = rules(&texts);
    let set = ruleset(&rules);
    for found in [0, MAX_FOUND - 1, MAX_FOUND + 1] {
        let image = words('d', 0..found);
        assert_eq!(judge(&rules, &set, r"\evil", &image)[0], Truth::True);
        assert_eq!(judge(&rules, &set, r"\evil.good", &image)[0], Truth::False);
    }
}

/// The names that a search at every place would take longest for stay within what is declared.
#[test]
fn one_letter_repeated_costs_no_more_than_declared() {
    let words = |number: usize| format!("{}b{}", "a".repeat(number + 1), "a".repeat(number % 7));
    let texts: Vec<String> = (0..3 * MAX_FOUND)
        .map(|n| format!("    s: {{PipeName|contains: '{}'}}\n    condition: s", words(n)))
        .collect();
    let rules = rules(&texts);
    let set = ruleset(&rules);
    for name in ["a".repeat(1_024), "b".repeat(1_024), format!("{}b", "a".repeat(1_023))] {
        judge(&rules, &set, &name, r"C:\a.exe");
    }
}
