//! The golden files: the same as ever, and refused or harmless when any byte of them changes.

mod common;

use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use channel_compiler::{
    BuildOptions, attach_signature, build, build_for, incident::resign, key_text, load_rules, sign,
};
use channel_format::anchor::Anchor;
use channel_format::engine::criterion::{Criterion, Operator, Search};
use channel_format::engine::regex::{self, ANY_LEAD};
use channel_format::engine::scan::{ANYWHERE, FLAG_ANYWHERE, LINK, NO_GROUP, OUT, SHORT};
use channel_format::frame::{Header, verify};
use channel_format::limits::HEADER_LEN;
use channel_format::refusal::Code;
use channel_format::ruleset::{Ruleset, SectionKind};
use channel_format::schema::{Field, FieldSet, Input, Inputs, SensorProfile};
use proptest::prelude::*;

use common::{OPTIONS, open, root, scans, section, test_key, word};

const NAME: &str = "C-00000291-00000001-00000007.sys";
/// A file for a sensor that supplies every field.
const FULL_NAME: &str = "C-00000291-00000001-00000008.sys";

fn folder() -> PathBuf {
    root().join("tests/golden/v0")
}

fn golden() -> Vec<u8> {
    fs::read(folder().join(NAME)).unwrap()
}

fn full_golden() -> Vec<u8> {
    fs::read(folder().join(FULL_NAME)).unwrap()
}

/// Evaluates a ruleset for inputs of every kind. It must come back; what it says does not matter.
fn exercise(ruleset: &Ruleset<Vec<u8>>) {
    let text: Vec<u16> = r"\bÄb\AC aaB\1 1bab2 aſacab".encode_utf16().chain([0xd800]).collect();
    let begun: Vec<u16> = r"\aB".encode_utf16().collect();
    let texts = [
        Input::Text(&text),
        Input::Text(&begun),
        Input::Text(&[]),
        Input::Absent,
        Input::Unknown,
        Input::Number(4),
    ];
    for pipe in texts {
        for image in [Input::Text(&text[6..]), Input::Sid(&[1]), Input::Unknown] {
            let mut inputs = Inputs::unknown();
            inputs.set(Field::Operation, Input::Number(1));
            inputs.set(Field::PipeName, pipe);
            inputs.set(Field::ImagePath, image);
            inputs.set(Field::ImageName, image);
            inputs.set(Field::ProcessId, Input::Number(99));
            inputs.set(Field::ParentImage, pipe);
            inputs.set(Field::User, image);
            let mut called = 0;
            let evaluation = ruleset.evaluate(&inputs, &mut |index, _| {
                called += 1;
                assert!(ruleset.rule(index).is_some());
            });
            assert!(evaluation.steps <= ruleset.header().steps_per_event);
            assert_eq!(called, evaluation.matched + evaluation.unknown);
        }
    }
    let _ = ruleset.self_test();
}

#[test]
fn the_golden_files_are_what_is_built_today() {
    let key = test_key();
    let rules = load_rules(&[folder().join("rules.yml")]).unwrap();
    let unsigned = build(&rules, &OPTIONS).unwrap();
    let mut signed = unsigned.clone();
    sign(&mut signed, &key).unwrap();
    let rules = load_rules(&[folder().join("every-field.yml")]).unwrap();
    let options = BuildOptions { sequence: 8, ..OPTIONS };
    let mut full = build_for(&rules, &options, &SensorProfile::FULL).unwrap();
    attach_signature(&mut full, &key).unwrap();
    let files = [
        (NAME.to_owned() + ".unsigned", unsigned),
        (NAME.to_owned(), signed),
        (FULL_NAME.to_owned(), full),
        ("test.key".to_owned(), (key.to_text() + "\n").into_bytes()),
        ("test.pub".to_owned(), (key_text::format_public(&key.public) + "\n").into_bytes()),
        ("anchor.bin".to_owned(), Anchor::encode(&[], 0, &[key.public]).unwrap().to_vec()),
    ];
    for (name, bytes) in files {
        let path = folder().join(&name);
        if std::env::var_os("SAKER_WRITE_GOLDEN").is_some() {
            fs::write(&path, &bytes).unwrap();
        }
        assert!(fs::read(&path).unwrap() == bytes, "{name} differs from what is built today");
    }
}

#[test]
fn the_golden_file_is_accepted_from_bytes_alone() {
    let file = golden();
    let anchor = Anchor::parse(&fs::read(folder().join("anchor.bin")).unwrap()).unwrap();
    let verified = verify(&file[..HEADER_LEN], &anchor).unwrap().body(file).unwrap();
    let ruleset = Ruleset::parse(verified, &SensorProfile::CURRENT).unwrap();
    assert_eq!(ruleset.header().name().to_string(), NAME);
    assert_eq!((ruleset.rule_count(), ruleset.may_block()), (5, false));
    let first = [Field::Operation, Field::PipeName, Field::ImagePath, Field::ImageName];
    let used = first.into_iter().fold(FieldSet::EMPTY.with(Field::ProcessId), FieldSet::with);
    assert_eq!(ruleset.fields_used(), used);
    assert_eq!(ruleset.self_test(), Ok(()));
    exercise(&ruleset);
}

#[test]
fn the_file_of_every_field_is_accepted_by_a_sensor_that_supplies_them() {
    let file = full_golden();
    let ruleset = open(&file, &test_key(), &SensorProfile::FULL).unwrap();
    assert_eq!(ruleset.header().name().to_string(), FULL_NAME);
    assert_eq!(ruleset.self_test(), Ok(()));
    exercise(&ruleset);
    let refusal = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap_err();
    assert_eq!(refusal.code, Code::FieldNotSupplied);
}

/// What the golden files are to hold, so that it stays tested.
#[test]
fn the_golden_files_hold_all_that_the_format_can_say() {
    let [golden, full] = [golden(), full_golden()];
    let files = [golden.clone(), full.clone()]
        .map(|file| open(&file, &test_key(), &SensorProfile::FULL).unwrap());
    let criteria: Vec<Criterion> =
        files.iter().flat_map(|file| file.tables().criteria).filter_map(Criterion::read).collect();
    let has = |what: &dyn Fn(&Criterion) -> bool| assert!(criteria.iter().any(what));
    for number in 1..=13 {
        has(&|criterion| criterion.operator.number() == number);
    }
    for search in [Search::Direct, Search::Cover, Search::Filter] {
        has(&|criterion| criterion.search == search && criterion.operator.has_literal());
        has(&|criterion| criterion.search == search && criterion.cased);
        has(&|criterion| criterion.search == search && criterion.operator == Operator::Regex);
    }
    has(&|criterion| criterion.operator == Operator::Equals && criterion.length == 0);
    has(&|criterion| criterion.triggers > 1);
    // Automata by where a match begins: at once, some units before the literal, anywhere.
    let automata = section(&golden, SectionKind::Automata);
    let count = word(&golden, automata.start) as usize;
    let leads: Vec<u16> = (0..count)
        .map(|index| automata.start + 4 + index * regex::DESCRIPTOR_LEN + 12)
        .map(|at| word(&golden, at) as u16)
        .collect();
    assert!([0, 2, ANY_LEAD].iter().all(|lead| leads.contains(lead)), "{leads:?}");
    // States of each kind, suffixes, units beyond ASCII.
    let scan = &scans(&golden)[0];
    let words = |places: Range<usize>| places.step_by(4).map(|at| word(&golden, at));
    let states = || words(scan.pairs.clone()).chain(words(scan.slots.clone()));
    for bits in [OUT, OUT | SHORT, OUT | LINK] {
        assert!(states().any(|state| state & (OUT | LINK | SHORT) == bits), "{bits:#x}");
    }
    let groups = || scan.groups.clone().step_by(16);
    assert!(groups().any(|at| word(&golden, at + 4) != NO_GROUP));
    for anywhere in [false, true] {
        let bits = if anywhere { OUT | ANYWHERE } else { OUT };
        assert!(states().any(|state| state & (OUT | ANYWHERE) == bits), "{anywhere}");
        let flags = if anywhere { FLAG_ANYWHERE } else { 0 };
        assert!(groups().any(|at| golden[at + 3] & FLAG_ANYWHERE == flags), "{anywhere}");
    }
    assert!(!scan.others.is_empty());
    // A literal that is longer than its key.
    let of_full = &scans(&full)[0];
    let longer = |at: usize| word(&full, at + 12) & 0xffff > word(&full, at + 12) >> 16;
    assert!(of_full.groups.clone().step_by(16).any(longer));
    // Rules that every event is judged by.
    let pointed = criteria.iter().map(|criterion| criterion.triggers as usize).sum::<usize>();
    let listed = files.iter().map(|file| file.tables().triggers.len()).sum::<usize>();
    assert!(listed > pointed);
}

#[test]
fn a_file_cut_at_any_byte_is_absent() {
    let file = golden();
    let anchor = Anchor::parse(&Anchor::encode(&[], 0, &[test_key().public]).unwrap()).unwrap();
    for cut in 0..HEADER_LEN {
        assert_eq!(Header::parse(&file[..cut]).unwrap_err().code, Code::Absent);
    }
    let signed = verify(&file, &anchor).unwrap();
    for cut in 0..file.len() {
        assert_eq!(signed.clone().body(&file[..cut]).unwrap_err().code, Code::Absent, "{cut}");
    }
    let longer = [file.as_slice(), &[0]].concat();
    assert_eq!(signed.body(longer).unwrap_err().code, Code::FileLength);
}

#[test]
fn a_file_of_zeros_or_with_a_tail_of_zeros_is_absent() {
    let file = golden();
    let open = |file: &[u8]| open(file, &test_key(), &SensorProfile::CURRENT).unwrap_err().code;
    assert_eq!(open(&vec![0; file.len()]), Code::Absent);
    assert_eq!(open(&[]), Code::Absent);
    let mut torn = file.clone();
    torn[file.len() - 512..].fill(0);
    assert_eq!(open(&torn), Code::Absent);
    let mut spoilt = file;
    spoilt[HEADER_LEN] ^= 1;
    assert_eq!(open(&spoilt), Code::DigestMismatch);
}

#[test]
fn any_changed_byte_is_refused() {
    let file = golden();
    let anchor = Anchor::parse(&Anchor::encode(&[], 0, &[test_key().public]).unwrap()).unwrap();
    let signed = verify(&file, &anchor).unwrap();
    for place in 0..file.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut changed = file.clone();
            changed[place] ^= change;
            if place < HEADER_LEN {
                assert!(verify(&changed, &anchor).is_err(), "byte {place}");
            }
            // Even if the header was read and verified before it changed.
            assert!(signed.clone().body(changed).is_err(), "byte {place}");
        }
    }
}

#[test]
fn behind_the_signature_any_changed_byte_is_refused_or_harmless() {
    let file = golden();
    let mut accepted = 0;
    // Step the change with the place: each kind of field meets each kind of change.
    for place in (8..88).chain(152..512).chain(HEADER_LEN..file.len()) {
        let mut changed = file.clone();
        changed[place] ^= [0x01, 0xff, 0x80, 0x04][place % 4];
        if resign(&mut changed, &test_key()).is_err() {
            continue;
        }
        if let Ok(ruleset) = open(&changed, &test_key(), &SensorProfile::FULL) {
            accepted += 1;
            exercise(&ruleset);
        }
    }
    assert!(accepted > 100, "changed texts, literals and times are content like any other");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn behind_the_signature_any_changes_are_refused_or_harmless(
        full in any::<bool>(),
        changes in proptest::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0_u8..3),
            1..6,
        ),
    ) {
        let mut file = if full { full_golden() } else { golden() };
        let body = file.len() - HEADER_LEN - 8;
        for (place, other, byte, kind) in changes {
            let (place, other) = (HEADER_LEN + place.index(body), HEADER_LEN + other.index(body));
            match kind {
                0 => file[place] = byte,
                // What may stand somewhere stands elsewhere.
                1 => file.copy_within(other..other + 1 + usize::from(byte % 8), place),
                _ => file[place] ^= 1 << (byte % 8),
            }
        }
        resign(&mut file, &test_key()).unwrap();
        if let Ok(ruleset) = open(&file, &test_key(), &SensorProfile::FULL) {
            exercise(&ruleset);
        }
    }
}
