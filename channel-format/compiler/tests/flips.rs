//! Every bit of the tables that say which rules an event is judged by, and by what, turned over
//! behind a good signature: refused, or what is found is still what the programs say.

mod common;

use channel_compiler::incident::resign;
use channel_format::engine::program::{FLAG_COVER, FLAG_LIVE};
use channel_format::ruleset::{Ruleset, SectionKind};
use channel_format::schema::{FieldSet, Input, Inputs, SensorProfile, Truth};

use common::plain::{Example, Given, evaluate, examples, judge};
use common::{check, open, root, section, test_key};

/// The golden files.
fn files() -> [Vec<u8>; 2] {
    ["7", "8"].map(|sequence| {
        let name = format!("tests/golden/v0/C-00000291-00000001-0000000{sequence}.sys");
        std::fs::read(root().join(name)).unwrap()
    })
}

/// Each bit of a section turned over, where the file is accepted: where, and the ruleset.
fn accepted_flips(
    file: &[u8],
    kind: SectionKind,
) -> impl Iterator<Item = (usize, u8, Ruleset<Vec<u8>>)> + '_ {
    let section = section(file, kind);
    let start = section.start;
    section.flat_map(|at| (0..8).map(move |bit| (at, 1 << bit))).filter_map(move |(at, bit)| {
        let mut changed = file.to_vec();
        changed[at] ^= bit;
        check(&changed).ok()?;
        resign(&mut changed, &test_key()).unwrap();
        // The header's bounds may be too low for it now.
        let ruleset = open(&changed, &test_key(), &SensorProfile::FULL).ok()?;
        Some((at - start, bit, ruleset))
    })
}

/// The events of the examples, and what may become of them.
fn events(file: &[u8]) -> Vec<Example> {
    let mut events = examples(file);
    for at in 0..events.len() {
        let mut glued = events[at].clone();
        for (_, value) in &mut glued.values {
            if let Given::Text(text) = value {
                text.extend(text.clone());
                text.push(u16::from(b'b'));
            }
        }
        events.push(glued);
    }
    events
}

/// The inputs of an event, and the same with one field after another unknown.
fn with_unknowns(event: &Example, fields: FieldSet) -> Vec<Inputs<'_>> {
    let mut all = vec![event.inputs()];
    for field in fields.iter() {
        let mut inputs = event.inputs();
        inputs.set(field, Input::Unknown);
        all.push(inputs);
    }
    all
}

#[track_caller]
fn judges_as_its_programs_say(ruleset: &Ruleset<Vec<u8>>, events: &[Example], what: &str) {
    for event in events {
        for inputs in with_unknowns(event, ruleset.fields_used()) {
            assert_eq!(evaluate(ruleset, &inputs), judge(ruleset, &inputs), "{what}: {event:?}");
        }
    }
}

#[test]
fn the_golden_files_judge_as_their_programs_say() {
    for file in files() {
        let ruleset = open(&file, &test_key(), &SensorProfile::FULL).unwrap();
        judges_as_its_programs_say(&ruleset, &events(&file), "golden");
        for example in examples(&file) {
            let found = evaluate(&ruleset, &example.inputs());
            assert_eq!(found.contains(&(example.rule, Truth::True)), example.matches);
        }
    }
}

/// There is one table for given criteria, but for where its slots lie; one bit moves no slot.
#[test]
fn no_bit_of_a_scan_or_a_trigger_can_change() {
    for file in files() {
        for kind in [SectionKind::Scans, SectionKind::Triggers] {
            let accepted: Vec<_> =
                accepted_flips(&file, kind).map(|(at, bit, _)| (at, bit)).collect();
            assert_eq!(accepted, [], "{kind:?}");
        }
    }
}

#[test]
fn no_table_that_is_accepted_disarms_a_rule() {
    for file in files() {
        let events = events(&file);
        let original = open(&file, &test_key(), &SensorProfile::FULL).unwrap();
        let before: Vec<_> =
            events.iter().map(|event| evaluate(&original, &event.inputs())).collect();
        let mut accepted = 0;
        for kind in [SectionKind::Programs, SectionKind::Criteria] {
            for (at, bit, ruleset) in accepted_flips(&file, kind) {
                accepted += 1;
                let what = format!("bit {bit:#x} of byte {at} of {kind:?}");
                judges_as_its_programs_say(&ruleset, &events, &what);
                // The marks of the proof are no part of what a rule says.
                let marks = FLAG_COVER | FLAG_LIVE;
                if kind == SectionKind::Programs && at % 8 == 3 && bit & !marks == 0 {
                    for (event, before) in events.iter().zip(&before) {
                        assert_eq!(&evaluate(&ruleset, &event.inputs()), before, "{what}");
                    }
                }
            }
        }
        assert!(accepted > 0, "another condition, or number, is content like any other");
    }
}
