//! The golden files: the same as ever, and refused or harmless when any byte of them changes.

mod common;

use std::fs;
use std::path::PathBuf;

use channel_compiler::{build, incident::resign, key_text, load_rules, sign};
use channel_format::anchor::Anchor;
use channel_format::frame::{Header, verify};
use channel_format::limits::HEADER_LEN;
use channel_format::refusal::Code;
use channel_format::ruleset::Ruleset;
use channel_format::schema::{Field, Input, Inputs, SensorProfile};
use proptest::prelude::*;

use common::{OPTIONS, open, root, test_key};

const NAME: &str = "C-00000291-00000001-00000007.sys";

fn folder() -> PathBuf {
    root().join("tests/golden/v0")
}

fn golden() -> Vec<u8> {
    fs::read(folder().join(NAME)).unwrap()
}

/// Evaluates a ruleset for inputs of every kind. It must come back; what it says does not matter.
fn exercise(ruleset: &Ruleset<Vec<u8>>) {
    let text: Vec<u16> =
        r"\golden\start-é-END aabaaab\12af".encode_utf16().chain([0xd800]).collect();
    let texts =
        [Input::Text(&text), Input::Text(&[]), Input::Absent, Input::Unknown, Input::Number(4)];
    for pipe in texts {
        for image in [Input::Text(&text[2..9]), Input::Sid(&[1]), Input::Unknown] {
            let mut inputs = Inputs::unknown();
            inputs.set(Field::Operation, Input::Number(1));
            inputs.set(Field::PipeName, pipe);
            inputs.set(Field::ImagePath, image);
            inputs.set(Field::ImageName, image);
            inputs.set(Field::ProcessId, Input::Number(99));
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
    let files = [
        (NAME.to_owned() + ".unsigned", unsigned),
        (NAME.to_owned(), signed),
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
    assert_eq!((ruleset.rule_count(), ruleset.may_block()), (3, false));
    assert_eq!(ruleset.fields_used(), SensorProfile::CURRENT.supplied);
    assert_eq!(ruleset.self_test(), Ok(()));
    exercise(&ruleset);
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
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn behind_the_signature_any_changes_are_refused_or_harmless(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut file = golden();
        let body = file.len() - HEADER_LEN;
        for (place, byte) in changes {
            file[HEADER_LEN + place.index(body)] = byte;
        }
        resign(&mut file, &test_key()).unwrap();
        if let Ok(ruleset) = open(&file, &test_key(), &SensorProfile::FULL) {
            exercise(&ruleset);
        }
    }
}
