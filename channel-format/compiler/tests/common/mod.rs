//! What the tests of this crate share.
#![allow(dead_code, reason = "each test uses some of it")]

use std::path::{Path, PathBuf};

use channel_compiler::{BuildOptions, SecretKey, SourceRule, parse_rules};
use channel_format::anchor::Anchor;
use channel_format::frame::verify;
use channel_format::refusal::Refusal;
use channel_format::ruleset::Ruleset;
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
