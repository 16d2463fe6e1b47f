//! What the tests of this crate share.
#![allow(dead_code, reason = "each test uses some of it")]

pub mod changed;
pub mod plain;

use std::ops::Range;
use std::path::{Path, PathBuf};

use channel_compiler::{BuildOptions, SecretKey, SourceRule, parse_rules};
use channel_format::anchor::Anchor;
use channel_format::engine::scan::DESCRIPTOR_LEN;
use channel_format::frame::{Header, verify};
use channel_format::refusal::Refusal;
use channel_format::ruleset::{Bounds, Ruleset, SectionKind};
use channel_format::schema::SensorProfile;
use channel_format::signature::Role;

/// Options with a fixed time, so that files are the same every time.
pub const OPTIONS: BuildOptions = BuildOptions {
    channel: 291,
    epoch: 1,
    sequence: 7,
    created: 1_721_361_600,
    expires: 0,
    shrink: false,
};

/// A key that everyone knows: the seed says that it is for tests.
pub fn test_key() -> SecretKey {
    let seed = *b"SAKER TEST KEY - NOT A SECRET 00";
    SecretKey::from_seed(seed, Role::Content, false, 1..=u32::MAX).unwrap()
}

/// Another such key, which may block.
pub fn blocking_key() -> SecretKey {
    let seed = *b"SAKER TEST KEY - NOT A SECRET 01";
    SecretKey::from_seed(seed, Role::Content, true, 1..=u32::MAX).unwrap()
}

/// The folder of the demonstration rules.
pub fn content_folder() -> PathBuf {
    root().join("tests/content")
}

/// The workspace's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Everything that the driver does with a file before it serves it.
pub fn open(
    file: &[u8],
    key: &SecretKey,
    sensor: &SensorProfile,
) -> Result<Ruleset<Vec<u8>>, Refusal> {
    let anchor = Anchor::parse(&Anchor::encode(&[], 0, &[key.public])?)?;
    Ruleset::parse(verify(file, &anchor)?.body(file.to_vec())?, sensor)
}

/// One rule with that detection section, indented as under `detection:`.
pub fn rule(detection: &str) -> SourceRule {
    let text = rule_text(detection);
    parse_rules(Path::new("rule.yml"), &text).unwrap_or_else(|e| panic!("{e:?}\n{text}")).remove(0)
}

/// The text of such a rule.
pub fn rule_text(detection: &str) -> String {
    format!(
        "title: Test\nid: 11111111-2222-4333-8444-555555555555\nlogsource:\n    product: windows\n    \
         category: pipe_created\ndetection:\n{detection}\n"
    )
}

/// What [`Ruleset::parse`] says of a file whose header is in order, without its signature.
pub fn check(file: &[u8]) -> Result<(), Refusal> {
    Bounds::of_file(&Header::parse(file)?, file).map(|_| ())
}

/// Where a section lies in a file.
pub fn section(file: &[u8], kind: SectionKind) -> Range<usize> {
    let section = Header::parse(file).unwrap().sections[usize::from(kind.number()) - 1];
    section.offset as usize..(section.offset + section.length) as usize
}

/// The number that lies at a place.
pub fn word(file: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(file[at..at + 4].try_into().unwrap())
}

/// Writes a number at a place.
pub fn put(file: &mut [u8], at: usize, word: u32) {
    file[at..at + 4].copy_from_slice(&word.to_le_bytes());
}

/// Where the parts of a scan lie in a file.
#[derive(Clone, Debug)]
pub struct ScanPlaces {
    pub descriptor: usize,
    pub classes: usize,
    pub ascii: Range<usize>,
    pub others: Range<usize>,
    pub pairs: Range<usize>,
    pub slots: Range<usize>,
    pub groups: Range<usize>,
    pub hits: Range<usize>,
}

/// The scans of a file.
pub fn scans(file: &[u8]) -> Vec<ScanPlaces> {
    let section = section(file, SectionKind::Scans);
    let count = if section.is_empty() { 0 } else { word(file, section.start) as usize };
    let scan = |index: usize| {
        let descriptor = section.start + 4 + index * DESCRIPTOR_LEN;
        let short = |at: usize| word(file, at) as usize & 0xffff;
        let (classes, others) = (short(descriptor + 4), short(descriptor + 6));
        let number = |at: usize| word(file, descriptor + at) as usize;
        let mut at = section.start + number(20);
        let mut part = |length: usize| {
            at += length;
            at - length..at
        };
        ScanPlaces {
            descriptor,
            classes,
            ascii: part(128),
            others: part(4 * others),
            pairs: part(4 * classes * classes),
            slots: part(4 * number(8)),
            groups: part(16 * number(12)),
            hits: part(4 * number(16)),
        }
    };
    (0..count).map(scan).collect()
}
