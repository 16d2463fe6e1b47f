//! Channel files: the header alone, whole files, and patches of the golden files' tables.
//!
//! The fuzzer cannot sign, and only in the header would it learn anything in front of a signature. So
//! length, digest and signature are made good before a file is judged.

use std::collections::BTreeSet;

use channel_format::engine::criterion::{Criterion, Operator, Search};
use channel_format::engine::program::Instruction;
use channel_format::frame::{Header, SECTION_SLOTS, verify};
use channel_format::limits::{HEADER_LEN, SIGNED_LEN};
use channel_format::refusal::Refusal;
use channel_format::ruleset::{Bounds, Ruleset, SectionKind};
use channel_format::schema::{Input as Value, Inputs, Truth};

use crate::golden::{self, CONTENT, CONTROL, golden, make_good, open};
use crate::input::Input;
use crate::target::Target;
use plain::{Example, Given, evaluate, examples, judge};

/// The reference that the compiler's own tests have.
#[path = "../../../channel-format/compiler/tests/common/plain.rs"]
#[allow(dead_code, reason = "each test uses some of it")]
mod plain;

/// The targets of this module.
pub const TARGETS: &[Target] = &[
    Target::new("header", "the fixed header: read to the last bit, and never forged", header)
        .seeds(|| whole_files().into_iter().map(|file| file[..HEADER_LEN].to_vec()).collect())
        .longest(HEADER_LEN),
    Target::new("parse", "whole files behind a good signature: parsed, then evaluated", parse)
        .seeds(whole_files)
        .longest(16 * 1024),
    Target::new("patch", "numbers written into golden tables, behind a good signature", patch)
        .seeds(|| vec![vec![0; 6], vec![1; 24]])
        .longest(256),
];

/// Every golden file there is.
fn whole_files() -> Vec<Vec<u8>> {
    CONTENT.into_iter().chain([CONTROL]).map(golden).collect()
}

/// The header says all that its bytes do, and nothing forged verifies.
pub fn header(bytes: &[u8]) {
    match Header::parse(bytes) {
        Ok(header) => assert_eq!(written(&header)[..], bytes[..SIGNED_LEN], "{header:?}"),
        Err(refusal) => lies_within(&refusal, HEADER_LEN),
    }
    if let Ok(signed) = verify(bytes, golden::anchor()) {
        let known = CONTENT.map(golden);
        let genuine = known.iter().any(|file| file[..SIGNED_LEN] == bytes[..SIGNED_LEN]);
        assert!(genuine, "a forged header verifies: {:?}", signed.header);
    }
}

/// The signed part of a header, written from what was read of it.
fn written(header: &Header) -> [u8; SIGNED_LEN] {
    let mut bytes = b"\x89SAKER\r\n\0\0\0\x04".to_vec();
    bytes.extend(header.flags.to_le_bytes());
    bytes.extend(u64::from(header.file_length).to_le_bytes());
    for number in [header.channel, header.epoch, header.sequence] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(header.template_type.to_le_bytes());
    bytes.extend(header.schema_version.to_le_bytes());
    bytes.extend(header.fields_used.bits().to_le_bytes());
    bytes.extend(header.api_level.to_le_bytes());
    bytes.extend(header.rule_count.to_le_bytes());
    for number in [header.steps_per_event, header.steps_per_load, header.created, header.expires] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(header.digest);
    bytes.extend(header.section_count.to_le_bytes());
    bytes.extend([0; 6]);
    for section in header.sections {
        bytes.extend(u32::from(section.kind).to_le_bytes());
        for number in [section.record_size, section.offset, section.length] {
            bytes.extend(number.to_le_bytes());
        }
    }
    bytes.resize(SIGNED_LEN, 0);
    bytes.try_into().expect("the signed part")
}

/// A whole file. See [`check`].
pub fn parse(bytes: &[u8]) {
    let mut file = bytes.to_vec();
    make_good(&mut file);
    check(&file);
}

/// A golden file, and numbers written at places of it: {where u16, how u8, what}.
pub fn patch(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut file = golden(input.pick(&CONTENT));
    let sections: Vec<_> = SectionKind::ALL.into_iter().map(|kind| section(&file, kind)).collect();
    while !input.is_empty() {
        // A place within a section is a better guess than one of the file.
        let place = usize::from(input.u16());
        let (how, what) = (input.u8(), input.u8());
        let within = match sections.get(usize::from(how >> 4)) {
            Some(section) if !section.is_empty() => section.start + place % section.len(),
            _ => 8 + place % (file.len() - 8),
        };
        let old = file[within];
        file[within] = match how & 7 {
            0 => what,
            1 => old ^ (1 << (what & 7)),
            2 => old.wrapping_add(1),
            3 => old.wrapping_sub(1),
            4 => file[(within + usize::from(what)) % file.len()],
            5 => 0xff,
            _ => old.wrapping_add(what),
        };
    }
    make_good(&mut file);
    check(&file);
}

/// A file is refused, at a place of it; or it evaluates, and what it says of any event is what its
/// programs say without scans, covers and triggers, within the steps that its header declares.
pub fn check(file: &[u8]) {
    match open(file, golden::anchor()) {
        Err(refusal) => lies_within(&refusal, file.len().max(HEADER_LEN)),
        Ok(ruleset) => exercise(&ruleset, file),
    }
}

/// A refusal names a place of the file.
#[track_caller]
pub(crate) fn lies_within(refusal: &Refusal, length: usize) {
    assert!(refusal.offset as usize <= length, "{refusal} of {length} bytes");
    assert!(!refusal.to_string().is_empty() && !refusal.code.remedy().is_empty());
}

/// Everything that is asked of a ruleset, for events made from its own examples.
pub(crate) fn exercise(ruleset: &Ruleset<Vec<u8>>, file: &[u8]) {
    let bounds = Bounds::of_file(ruleset.header(), file).expect("it was accepted");
    assert!(bounds.steps_per_event <= ruleset.header().steps_per_event);
    assert!(bounds.steps_per_load <= ruleset.header().steps_per_load);
    for index in 0..ruleset.rule_count() {
        assert!(ruleset.rule(index).is_some(), "rule {index}");
    }
    // What it says of its own examples is its author's affair; it must come back.
    let _ = ruleset.self_test();
    let as_built = Unproved::of(ruleset);
    // Made-up files may have thousands of examples, each as good as the next.
    for example in examples(file).into_iter().take(32) {
        for inputs in [example.inputs(), glued(&example).inputs(), Inputs::unknown()] {
            judges_as_its_programs_say(ruleset, &as_built, &inputs);
            for field in ruleset.fields_used().iter() {
                let mut unknown = inputs;
                unknown.set(field, Value::Unknown);
                judges_as_its_programs_say(ruleset, &as_built, &unknown);
            }
        }
    }
}

/// The same for one of its examples, chosen by a number: for files of which there are millions.
pub(crate) fn exercise_one(ruleset: &Ruleset<Vec<u8>>, file: &[u8], number: usize) {
    let _ = ruleset.self_test();
    let as_built = Unproved::of(ruleset);
    let examples = examples(file);
    if let Some(example) = examples.get(number % examples.len().max(1)) {
        judges_as_its_programs_say(ruleset, &as_built, &example.inputs());
        judges_as_its_programs_say(ruleset, &as_built, &glued(example).inputs());
    }
    judges_as_its_programs_say(ruleset, &as_built, &Inputs::unknown());
}

/// Rules about which the file proves nothing: those with a regular expression that runs from its
/// literal. That every text it accepts holds the literal is taken as built, so who changes the
/// automaton changes what the rule says. None where these tables are a golden file's.
struct Unproved(BTreeSet<u32>);

impl Unproved {
    fn of(ruleset: &Ruleset<Vec<u8>>) -> Self {
        let tables = ruleset.tables();
        let is_built = |name| {
            let file = golden(name);
            let same = |kind, bytes: &[u8]| file[section(&file, kind)] == *bytes;
            same(SectionKind::Automata, tables.automata)
                && same(SectionKind::Criteria, tables.criteria.as_flattened())
                && same(SectionKind::Units, tables.units.as_flattened())
        };
        if tables.automata.is_empty() || CONTENT.into_iter().any(is_built) {
            return Self(BTreeSet::new());
        }
        let runs = |index: u32| {
            let criterion = tables.criteria.get(index as usize).and_then(Criterion::read);
            criterion.is_some_and(|criterion| {
                criterion.operator == Operator::Regex && criterion.search != Search::Direct
            })
        };
        let number = |rule: &[u8; 40], at: usize| {
            let bytes = rule[at..at + 4].try_into().expect("four bytes");
            u32::from_le_bytes(bytes) as usize
        };
        let has_one = |rule: &[u8; 40]| {
            let (first, count) = (number(rule, 16), number(rule, 20));
            let program = &tables.programs[first..first + count];
            program.iter().any(|record| runs(Instruction::read(*record).criterion))
        };
        let rules = tables.rules.iter().zip(0..);
        Self(rules.filter(|(rule, _)| has_one(rule)).map(|(_, index)| index).collect())
    }
}

fn judges_as_its_programs_say(
    ruleset: &Ruleset<Vec<u8>>,
    unproved: &Unproved,
    inputs: &Inputs<'_>,
) {
    let found = evaluate(ruleset, inputs);
    let proved = |rules: &[(u32, Truth)]| -> Vec<(u32, Truth)> {
        rules.iter().copied().filter(|(rule, _)| !unproved.0.contains(rule)).collect()
    };
    assert_eq!(proved(&found), proved(&judge(ruleset, inputs)));
    // What is kept of a process leaves out work and changes nothing.
    let kept = ruleset.keep(inputs);
    let mut again = Vec::new();
    let evaluation =
        ruleset.evaluate_kept(inputs, kept.as_ref(), &mut |rule, truth| again.push((rule, truth)));
    again.sort_unstable_by_key(|(rule, _)| *rule);
    assert_eq!(again, found);
    assert!(evaluation.steps <= ruleset.header().steps_per_event);
    let count = |wanted| found.iter().filter(|(_, truth)| *truth == wanted).count() as u32;
    assert_eq!(evaluation.matched, count(Truth::True));
    assert_eq!(evaluation.unknown, count(Truth::Unknown));
}

/// The example with each text written twice, and a unit that most rules know.
fn glued(example: &Example) -> Example {
    let mut glued = example.clone();
    for (_, value) in &mut glued.values {
        if let Given::Text(text) = value {
            text.extend(text.clone());
            text.push(u16::from(b'b'));
        }
    }
    glued
}

/// Where a section lies in a file whose header is sound.
pub(crate) fn section(file: &[u8], kind: SectionKind) -> std::ops::Range<usize> {
    let header = Header::parse(file).expect("a sound header");
    let place = usize::from(kind.number()) - 1;
    let section = header.sections[place % SECTION_SLOTS];
    section.offset as usize..(section.offset + section.length) as usize
}
