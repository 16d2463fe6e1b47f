//! `docs/channel-format.md` says what the code does: its tables are checked against the code's.

mod common;

use channel_format::engine::scan;
use channel_format::limits;
use channel_format::refusal::Code;
use channel_format::schema::{Field, FieldSet, Kind, SensorProfile};

use common::root;

fn page() -> String {
    std::fs::read_to_string(root().join("docs/channel-format.md")).unwrap()
}

/// The rows of the first table of the section whose heading starts so, without their backquotes.
fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let section = page.split("\n## ").find(|part| part.starts_with(heading)).unwrap();
    let table = section.split("\n|---").nth(1).unwrap();
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells = row.trim_matches('|').split(" | ");
        cells.map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    })
    .collect()
}

#[test]
fn the_refusals_are_those_of_the_code() {
    let expected: Vec<Vec<String>> = Code::ALL
        .iter()
        .map(|code| {
            let fault = code.fault().name().to_owned();
            vec![code.number().to_string(), code.name().into(), fault, code.summary().into()]
        })
        .collect();
    assert_eq!(rows(&page(), "7."), expected);
    assert!(Code::ALL.iter().all(|code| !code.remedy().is_empty()));
}

#[test]
fn the_fields_are_those_of_the_code() {
    let expected: Vec<Vec<String>> = Field::ALL
        .iter()
        .map(|field| {
            let kind = match field.kind() {
                Kind::Text => "text",
                Kind::Number => "number",
                Kind::Sid => "sid",
            };
            vec![field.number().to_string(), field.name().into(), kind.into(), field.doc().into()]
        })
        .collect();
    assert_eq!(rows(&page(), "6."), expected);
}

/// The record of `.profile`, place by place, and what the page says of today's sensor.
#[test]
fn the_profile_is_that_of_the_code() {
    let page = page();
    let section = page.split("\n## ").find(|part| part.starts_with("6.")).unwrap();
    let table = section.split("\n|---").nth(2).unwrap();
    let sensor = SensorProfile::CURRENT;
    let expected = [
        u64::from_le_bytes(*b"SKRPROFL"),
        0,
        sensor.format_version.into(),
        sensor.schema_version.into(),
        0,
        sensor.api_level.into(),
        sensor.max_rules.into(),
        sensor.supplied.bits(),
        sensor.max_file,
        sensor.max_steps_per_event,
        sensor.max_steps_per_load,
        0,
    ];
    let record = sensor.record();
    let rows: Vec<_> = table.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), expected.len());
    for (row, expected) in rows.iter().zip(expected) {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let mut number = || cells.next().unwrap().parse::<usize>().unwrap();
        let (at, size) = (number(), number());
        let mut bytes = [0; 8];
        bytes[..size].copy_from_slice(&record[at..at + size]);
        assert_eq!(u64::from_le_bytes(bytes), expected, "{row}");
    }
    let parent = FieldSet::EMPTY.with(Field::ParentImage);
    assert_eq!(sensor.supplied, FieldSet::ALL.without(parent));
    assert!(section.contains("API level 1 and supplies all of these but `ParentImage`"));
}

#[test]
fn the_limits_are_those_of_the_code() {
    let expected: Vec<(&str, u64)> = vec![
        ("HEADER_LEN", limits::HEADER_LEN as u64),
        ("SIGNED_LEN", limits::SIGNED_LEN as u64),
        ("ANCHOR_LEN", limits::ANCHOR_LEN as u64),
        ("PROFILE_LEN", limits::PROFILE_LEN as u64),
        ("MAX_FILE", limits::MAX_FILE.into()),
        ("MAX_ACTIVE", limits::MAX_ACTIVE.into()),
        ("MAX_NAME_NUMBER", limits::MAX_NAME_NUMBER.into()),
        ("MAX_SIGNATURES", limits::MAX_SIGNATURES as u64),
        ("MAX_ANCHOR_KEYS", limits::MAX_ANCHOR_KEYS as u64),
        ("MAX_RULES", limits::MAX_RULES.into()),
        ("MAX_CRITERIA", limits::MAX_CRITERIA.into()),
        ("MAX_PROGRAM", limits::MAX_PROGRAM.into()),
        ("MAX_FOUND", limits::MAX_FOUND as u64),
        ("MAX_RUNS", limits::MAX_RUNS as u64),
        ("MAX_CANDIDATES", limits::MAX_CANDIDATES as u64),
        ("MAX_TRIGGERS", limits::MAX_TRIGGERS.into()),
        ("MAX_TEXT_UNITS", limits::MAX_TEXT_UNITS.into()),
        ("MAX_LITERAL_UNITS", limits::MAX_LITERAL_UNITS.into()),
        ("MAX_SID_UNITS", limits::MAX_SID_UNITS.into()),
        ("MAX_META_TEXT", limits::MAX_META_TEXT.into()),
        ("MAX_LIST", limits::MAX_LIST.into()),
        ("MAX_AUTOMATA", limits::MAX_AUTOMATA.into()),
        ("MAX_STATES", limits::MAX_STATES.into()),
        ("MAX_CLASSES", limits::MAX_CLASSES.into()),
        ("MAX_TRANSITIONS", limits::MAX_TRANSITIONS.into()),
        ("MAX_EXAMPLES", limits::MAX_EXAMPLES.into()),
        ("MAX_RULE_EXAMPLES", limits::MAX_RULE_EXAMPLES.into()),
        ("MAX_EXAMPLES_LEN", limits::MAX_EXAMPLES_LEN.into()),
        ("MAX_SCAN_CLASSES", scan::MAX_SCAN_CLASSES.into()),
        ("MAX_SLOTS", scan::MAX_SLOTS.into()),
        ("MAX_STEPS_PER_EVENT", limits::MAX_STEPS_PER_EVENT),
        ("MAX_STEPS_PER_LOAD", limits::MAX_STEPS_PER_LOAD),
    ];
    let found = rows(&page(), "5.");
    let found: Vec<(&str, u64)> =
        found.iter().map(|row| (row[0].as_str(), row[1].parse().unwrap())).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_worked_example_is_the_golden_file() {
    let golden = root().join("tests/golden/v0/C-00000291-00000001-00000007.sys");
    let golden = std::fs::read(golden).unwrap();
    let rows = rows(&page(), "10.");
    assert!(rows.len() > 30);
    for row in rows {
        let at = usize::from_str_radix(row[0].trim_start_matches("0x"), 16).unwrap();
        let bytes: Vec<u8> =
            row[1].split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        assert_eq!(golden[at..at + bytes.len()], bytes, "{} {}", row[0], row[2]);
    }
}
