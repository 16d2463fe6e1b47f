//! The incident of July 2024, replayed against the format.

mod common;

use std::ops::Range;

use channel_compiler::{build, incident, load_rules, sign};
use channel_format::frame::Header;
use channel_format::refusal::{Code, Fault};
use channel_format::ruleset::SectionKind;
use channel_format::schema::{Field, Input, Inputs, SensorProfile, Truth};

use common::{OPTIONS, content_folder, open, test_key};

fn section(file: &[u8], kind: SectionKind) -> Range<u32> {
    let header = Header::parse(file).unwrap();
    let section = header.sections[usize::from(kind.number()) - 1];
    section.offset..section.offset + section.length
}

#[test]
fn a_wild_table_index_is_refused_with_its_place() {
    let mut file = build(&load_rules(&[content_folder()]).unwrap(), &OPTIONS).unwrap();
    sign(&mut file, &test_key()).unwrap();
    let wild = incident::wild_table_index(&file, &test_key()).unwrap();
    let refusal = open(&wild, &test_key(), &SensorProfile::CURRENT).unwrap_err();
    assert_eq!((refusal.code, refusal.fault()), (Code::IndexOutOfRange, Fault::File));
    assert_eq!(refusal.found, incident::WILD_INDEX);
    assert!(section(&wild, SectionKind::Criteria).contains(&refusal.offset), "{refusal}");
    let at = refusal.offset as usize + 8;
    assert_eq!(wild[at..at + 8], incident::WILD_INDEX.to_le_bytes());
    // The one before it still loads.
    assert!(open(&file, &test_key(), &SensorProfile::CURRENT).is_ok());
}

#[test]
fn a_field_that_the_sensor_does_not_supply_is_refused_by_name() {
    let file = incident::field_not_supplied(&OPTIONS, &test_key()).unwrap();
    let refusal = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap_err();
    assert_eq!((refusal.code, refusal.fault()), (Code::FieldNotSupplied, Fault::Schema));
    assert_eq!(refusal.found, Field::ParentImage.number());
    assert!(refusal.to_string().contains("field ParentImage"), "{refusal}");

    // A sensor that says it supplies the field, and then has no value for it, judges Unknown.
    let ruleset = open(&file, &test_key(), &SensorProfile::FULL).unwrap();
    let name: Vec<u16> = r"\incident-1".encode_utf16().collect();
    let mut inputs = Inputs::unknown();
    inputs.set(Field::Operation, Input::Number(1));
    inputs.set(Field::PipeName, Input::Text(&name));
    let mut truths = Vec::new();
    let evaluation = ruleset.evaluate(&inputs, &mut |_, truth| truths.push(truth));
    assert_eq!(truths, [Truth::Unknown]);
    assert!(!evaluation.block);
}

#[test]
fn today_s_build_already_says_that_the_field_is_not_supplied() {
    let rules = channel_compiler::parse_rules("field-21.yml".as_ref(), incident::RULE_21).unwrap();
    let errors = build(&rules, &OPTIONS).unwrap_err();
    let parent = errors.iter().find(|error| error.reason.contains("ParentImage"));
    assert_eq!(parent.map(|error| error.line), Some(13), "{errors:?}");
}
