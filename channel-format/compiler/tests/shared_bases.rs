//! Two states that share a base *and* a slot of the same content leave room for a slot that nobody
//! owns: as many slots and as many bases as before.

mod common;

use std::path::Path;

use channel_compiler::{attach_signature, build, incident::resign, parse_rules};
use channel_format::engine::scan::{BASE_SHIFT, EMPTY};
use channel_format::refusal::Code;
use channel_format::schema::{Field, Input, Inputs, SensorProfile, Truth};

use channel_format::ruleset::SectionKind;
use common::changed::with_section;
use common::{OPTIONS, ScanPlaces, check, open, put, scans, section, test_key, word};

fn file(literals: &[&str]) -> Vec<u8> {
    let rules = literals.iter().enumerate().flat_map(|(number, literal)| {
        let text = format!(
            "title: Literal\nid: 00000000-0000-4000-8000-{number:012}\nlogsource:\n    category: \
             pipe_created\ndetection:\n    s:\n        PipeName|contains: '{literal}'\n    condition: s\n"
        );
        parse_rules(Path::new("rule.yml"), &text).unwrap()
    });
    let mut file = build(&rules.collect::<Vec<_>>(), &OPTIONS).unwrap();
    attach_signature(&mut file, &test_key()).unwrap();
    roomy(&file)
}

/// The file with one more block of empty slots.
fn roomy(file: &[u8]) -> Vec<u8> {
    let (scan, section) = (&scans(file)[0], section(file, SectionKind::Scans));
    let block = (scan.classes + 2).next_power_of_two();
    let mut content = file[section.clone()].to_vec();
    let count = (scan.slots.len() / 4 + block) as u32;
    put(&mut content, scan.descriptor + 8 - section.start, count);
    let end = scan.slots.end - section.start;
    content.splice(end..end, EMPTY.to_le_bytes().repeat(block));
    with_section(file, SectionKind::Scans, &content)
}

/// Where the number of the state of a text (of two units or more) lies.
fn state(file: &[u8], scan: &ScanPlaces, text: &str) -> usize {
    let class = |unit: u8| usize::from(file[scan.ascii.start + usize::from(unit)]);
    let units = text.as_bytes();
    let mut at = scan.pairs.start + 4 * (class(units[0]) * scan.classes + class(units[1]));
    for unit in &units[2..] {
        let base = (word(file, at) >> BASE_SHIFT) as usize;
        at = scan.slots.start + 4 * (base ^ class(*unit));
        assert_eq!(word(file, at) as usize & 0xff, class(*unit));
    }
    at
}

/// Gives both states one base, where both have their children and one output's slot between them;
/// the second's output's slot stays behind.
fn share(file: &[u8], first: &str, second: &str) -> Vec<u8> {
    let scan = &scans(file)[0];
    let mut shared = file.to_vec();
    let slot = |base: usize, label: usize| scan.slots.start + 4 * (base ^ label);
    let mut labels = vec![];
    for (state, last) in [(state(file, scan, first), false), (state(file, scan, second), true)] {
        let base = (word(file, state) >> BASE_SHIFT) as usize;

        for label in 1..=scan.classes + 1 {
            let moved = word(file, slot(base, label));
            if moved != EMPTY && moved as usize & 0xff == label && !(last && label >= scan.classes)
            {
                put(&mut shared, slot(base, label), EMPTY);
                labels.push((label, moved));
            }
        }
    }
    let count = scan.slots.len() / 4;
    let block = (scan.classes + 2).next_power_of_two();
    let owns = |base: usize| {
        (0..block).any(|label| {
            let found = word(&shared, slot(base, label));
            found != EMPTY && found as usize & 0xff == label
        })
    };
    let free = |base: &usize| {
        labels.iter().all(|(label, _)| word(&shared, slot(*base, *label)) == EMPTY) && !owns(*base)
    };
    let to = (block..count).find(free).expect("build other literals");
    for (label, moved) in labels {
        put(&mut shared, slot(to, label), moved);
    }
    for at in [state(file, scan, first), state(file, scan, second)] {
        let number = word(file, at) & ((1 << BASE_SHIFT) - 1) | (to as u32) << BASE_SHIFT;
        put(&mut shared, at, number);
    }
    shared
}

fn found(file: &[u8], pipe: &str) -> Vec<(u32, Truth)> {
    let mut file = file.to_vec();
    resign(&mut file, &test_key()).unwrap();
    let ruleset = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap();
    let pipe: Vec<u16> = pipe.encode_utf16().collect();
    let mut inputs = Inputs::absent();
    inputs.set(Field::Operation, Input::Number(1));
    inputs.set(Field::PipeName, Input::Text(&pipe));
    let mut found = Vec::new();
    ruleset.evaluate(&inputs, &mut |rule, truth| found.push((rule, truth)));
    found.sort_unstable_by_key(|(rule, _)| *rule);
    found
}

#[test]
fn a_literal_is_not_found_where_it_does_not_stand() {
    let file = file(&["abx", "b", "cby"]);
    assert_eq!(found(&file, "aby"), [(1, Truth::True)]);
    let shared = share(&file, "ab", "cb");
    assert_eq!(check(&shared).unwrap_err().code, Code::ScanTable);
}

#[test]
fn a_literal_is_not_missed_where_it_stands() {
    let file = file(&["b", "pqbz", "qby", "rby"]);
    assert_eq!(found(&file, "pqby"), [(0, Truth::True), (2, Truth::True)]);
    let shared = share(&file, "pqb", "rb");
    assert_eq!(check(&shared).unwrap_err().code, Code::ScanTable);
}
