//! All sets of a few short literals with every operator, and all short texts: what the whole way from
//! Sigma to a verdict says is what comparing says.
//!
//! The bound: literals of one to three letters of `a` and `b`, two of them in a file, each with
//! `contains`, `startswith`, `endswith` and equality, and a rule of two parts; texts of up to five
//! letters of `a`, `b` and `x`.

use std::path::Path;

use channel_compiler::{BuildOptions, SecretKey, attach_signature, build, parse_rules};
use channel_format::anchor::Anchor;
use channel_format::frame::verify;
use channel_format::ruleset::Ruleset;
use channel_format::schema::{Field, Input, Inputs, SensorProfile, Truth};
use channel_format::signature::Role;

const OPERATORS: [&str; 4] = ["|contains", "|startswith", "|endswith", ""];

/// Every text of that many letters of these.
fn words(letters: &str, length: u32) -> Vec<String> {
    let letters: Vec<char> = letters.chars().collect();
    let count = letters.len();
    let word = |number: usize| -> String {
        (0..length).map(|place| letters[number / count.pow(place) % count]).collect()
    };
    (0..count.pow(length)).map(word).collect()
}

/// A pipe without a name is called as Sysmon calls it.
const ANONYMOUS: &str = "<anonymous pipe>";

fn holds(operator: &str, text: &str, literal: &str) -> bool {
    let text = if text.is_empty() { ANONYMOUS } else { text };
    match operator {
        "|contains" => text.contains(literal),
        "|startswith" => text.starts_with(literal),
        "|endswith" => text.ends_with(literal),
        _ => text == literal,
    }
}

fn rule(number: usize, detection: &str) -> String {
    format!(
        "title: T\nid: 00000000-0000-4000-8000-{number:012}\nlogsource:\n    category: \
         pipe_created\ndetection:\n{detection}\n"
    )
}

fn in_force(rules: &str) -> Ruleset<Vec<u8>> {
    let options = BuildOptions { channel: 291, sequence: 1, ..BuildOptions::default() };
    let rules = parse_rules(Path::new("small.yml"), rules).unwrap();
    let mut file = build(&rules, &options).unwrap();
    let key = SecretKey::from_seed([1; 32], Role::Content, false, 1..=u32::MAX).unwrap();
    attach_signature(&mut file, &key).unwrap();
    let anchor = Anchor::parse(&Anchor::encode(&[], 0, &[key.public]).unwrap()).unwrap();
    let verified = verify(&file, &anchor).unwrap().body(file).unwrap();
    Ruleset::parse(verified, &SensorProfile::CURRENT).unwrap()
}

#[test]
fn every_pair_of_short_literals_over_every_short_text() {
    let literals: Vec<String> = (1..=3).flat_map(|length| words("ab", length)).collect();
    let texts: Vec<String> = (0..=5).flat_map(|length| words("abx", length)).collect();
    let (mut files, mut yes, mut no) = (0, 0, 0);
    for (place, first) in literals.iter().enumerate() {
        for second in &literals[place + 1..] {
            let mut rules = Vec::new();
            for literal in [first, second] {
                for operator in OPERATORS {
                    let detection =
                        format!("    s: {{PipeName{operator}: '{literal}'}}\n    condition: s");
                    rules.push(rule(rules.len(), &detection));
                }
            }
            let parts = format!(
                "    s: {{PipeName|contains: '{second}'}}\n    t: {{PipeName|endswith: \
                 '{first}'}}\n    condition: s and not t"
            );
            rules.push(rule(rules.len(), &parts));
            let ruleset = in_force(&rules.join("---\n"));
            files += 1;
            for text in &texts {
                let units: Vec<u16> = text.encode_utf16().collect();
                let mut inputs = Inputs::absent();
                inputs.set(Field::Operation, Input::Number(1));
                inputs.set(Field::PipeName, Input::Text(&units));
                let mut found = [false; 9];
                let evaluation = ruleset.evaluate(&inputs, &mut |rule, truth| {
                    assert_eq!(truth, Truth::True);
                    found[rule as usize] = true;
                });
                assert!(evaluation.steps <= ruleset.header().steps_per_event);
                let single = [first, second].into_iter();
                let single =
                    single.flat_map(|literal| OPERATORS.map(|op| holds(op, text, literal)));
                let both = holds("|contains", text, second) && !holds("|endswith", text, first);
                let expected: Vec<bool> = single.chain([both]).collect();
                assert_eq!(found[..], expected, "{text}: {first}, {second}");
                yes += expected.iter().filter(|holds| **holds).count();
                no += expected.iter().filter(|holds| !**holds).count();
            }
        }
    }
    println!("{files} files, {} texts, {yes} verdicts true, {no} false", texts.len());
    assert!(files == 91 && yes > 10_000);
}
