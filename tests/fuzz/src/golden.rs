//! The golden files, the keys that everyone knows, and good signatures for bad files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use channel_compiler::SecretKey;
use channel_compiler::incident::resign;
use channel_format::anchor::Anchor;
use channel_format::frame::{Verified, verify};
use channel_format::limits::{HEADER_LEN, SIGNED_LEN};
use channel_format::refusal::Refusal;
use channel_format::ruleset::Ruleset;
use channel_format::schema::SensorProfile;
use channel_format::signature::Role;

/// The workspace's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A golden file of format version 0, read once.
pub fn golden(name: &'static str) -> Vec<u8> {
    static KNOWN: Mutex<BTreeMap<&str, Vec<u8>>> = Mutex::new(BTreeMap::new());

    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let read = || {
        let path = root().join("tests/golden/v0").join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    known.entry(name).or_insert_with(read).clone()
}

/// The golden files with rules.
pub const CONTENT: [&str; 2] =
    ["C-00000291-00000001-00000007.sys", "C-00000291-00000001-00000008.sys"];
/// The golden file of channel 0.
pub const CONTROL: &str = "C-00000000-00000000-00000004.sys";

/// The key of the golden content.
pub fn content_key() -> &'static SecretKey {
    static KEY: OnceLock<SecretKey> = OnceLock::new();
    let seed = *b"SAKER TEST KEY - NOT A SECRET 00";
    let key = || SecretKey::from_seed(seed, Role::Content, false, 1..=u32::MAX);
    KEY.get_or_init(|| key().expect("a sound range"))
}

/// A root key for channel 0.
pub fn root_key() -> &'static SecretKey {
    static KEY: OnceLock<SecretKey> = OnceLock::new();
    let key = || SecretKey::from_seed([9; 32], Role::Root, false, 0..=0);
    KEY.get_or_init(|| key().expect("a sound range"))
}

/// An anchor with both keys.
pub fn anchor() -> &'static Anchor {
    static ANCHOR: OnceLock<Anchor> = OnceLock::new();
    let bytes = || Anchor::encode(&[root_key().public], 1, &[content_key().public]);
    ANCHOR.get_or_init(|| bytes().and_then(|b| Anchor::parse(&b)).expect("a sound anchor"))
}

/// Makes a file's length, digest and signature good, so that only what they cover is judged. Does
/// nothing where the header cannot be read: that is refused before any of them matters.
pub fn make_good(file: &mut [u8]) {
    let is_control = file.get(24..28) == Some(&[0; 4]);
    make_good_with(file, if is_control { root_key() } else { content_key() });
}

/// The same with another key.
pub fn make_good_with(file: &mut [u8], key: &SecretKey) {
    if file.len() < HEADER_LEN {
        return;
    }
    let length = file.len() as u64;
    file[16..24].copy_from_slice(&length.to_le_bytes());
    file[SIGNED_LEN..HEADER_LEN].fill(0);
    // One that cannot be read cannot be signed.
    let _ = resign(file, key);
}

/// What the driver does with a file before it interprets the body.
pub fn verified(file: &[u8], anchor: &Anchor) -> Result<Verified<Vec<u8>>, Refusal> {
    verify(file.get(..HEADER_LEN).unwrap_or(file), anchor)?.body(file.to_vec())
}

/// What it does before it serves it.
pub fn open(file: &[u8], anchor: &Anchor) -> Result<Ruleset<Vec<u8>>, Refusal> {
    Ruleset::parse(verified(file, anchor)?, &SensorProfile::FULL)
}
