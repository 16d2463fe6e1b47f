//! The incident of July 2024, replayed against the format.

mod common;

use std::ops::Range;

use channel_compiler::{build, incident, load_rules, sign};
use channel_format::frame::Header;
use channel_format::refusal::{Code, Fault};
use channel_format::ruleset::SectionKind;
use channel_format::schema::{Field, Input, Inputs, SensorProfile, Truth};

use common::{OPTIONS, content_folder, open, rule, test_key};

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

/// The tests of 2024 used a wildcard in the 21st field, so it was never read. Here every field
/// meets a criterion that reads it, and every operator.
#[test]
fn every_field_meets_a_criterion_that_is_no_wildcard() {
    for field in Field::ALL {
        let value = match field {
            Field::User => ": 'NT AUTHORITY\\SYSTEM'".to_owned(),
            Field::Operation => ": 2".to_owned(),
            _ if field.kind() == channel_format::schema::Kind::Text => ": 'x'".to_owned(),
            _ => ": 7".to_owned(),
        };
        let rules = [rule(&format!("    s: {{{}{value}}}\n    condition: s", field.name()))];
        let mut file = channel_compiler::build_for(&rules, &OPTIONS, &SensorProfile::FULL).unwrap();
        channel_compiler::attach_signature(&mut file, &test_key()).unwrap();
        let supplied = SensorProfile::CURRENT.supplied.contains(field);
        let loaded = open(&file, &test_key(), &SensorProfile::CURRENT);
        assert_eq!(loaded.is_ok(), supplied, "{}", field.name());
        let ruleset = open(&file, &test_key(), &SensorProfile::FULL).unwrap();
        let mut inputs = Inputs::unknown();
        inputs.set(Field::Operation, Input::Number(1));
        let judge = |inputs: &Inputs<'_>| {
            let mut found = Truth::False;
            ruleset.evaluate(inputs, &mut |_, truth| found = truth);
            found
        };
        let unknown = if field == Field::Operation { Truth::False } else { Truth::Unknown };
        assert_eq!(judge(&inputs), unknown, "{}", field.name());
        if field != Field::Operation {
            inputs.set(
                field,
                match field.kind() {
                    channel_format::schema::Kind::Text => Input::Text(&[0x58]),
                    channel_format::schema::Kind::Number => Input::Number(7),
                    channel_format::schema::Kind::Sid => {
                        Input::Sid(&[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0])
                    }
                },
            );
            assert_eq!(judge(&inputs), Truth::True, "{}", field.name());
        }
    }
}
