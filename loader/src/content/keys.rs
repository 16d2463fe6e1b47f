//! Key files: one line of text each, in the form of [`channel_compiler::key_text`].

use std::path::{Path, PathBuf};

use channel_compiler::{KeyError, SecretKey, key_text};
use channel_format::anchor::Anchor;
use channel_format::limits::ANCHOR_LEN;
use channel_format::signature::{PublicKey, Role};

use crate::{Error, files};

/// A key file has one line of less than 400 bytes.
const MAX_KEY_FILE: u64 = 4096;

/// Reads a public key (`NAME.pub`).
pub fn read_public(path: &Path) -> Result<PublicKey, Error> {
    read(path, key_text::parse_public)
}

/// Reads a secret key (`NAME.key`).
pub fn read_secret(path: &Path) -> Result<SecretKey, Error> {
    read(path, SecretKey::from_text)
}

/// The anchor that trusts these public keys and no others. See [`anchor_bytes`].
pub fn anchor(paths: &[PathBuf]) -> Result<Anchor, Error> {
    let bytes = anchor_bytes(paths)?;
    Anchor::parse(&bytes).map_err(|source| Error::Keys { paths: files::list(paths), source })
}

/// What a driver's `.anchor` section holds so that it trusts these public keys and no others: two
/// root keys must sign channel 0, or one where only one is given.
pub fn anchor_bytes(paths: &[PathBuf]) -> Result<[u8; ANCHOR_LEN], Error> {
    let mut roots = Vec::new();
    let mut content = Vec::new();
    for path in paths {
        let key = read_public(path)?;
        match key.role {
            Role::Root => roots.push(key),
            Role::Content => content.push(key),
        }
    }
    let threshold = match roots.len() {
        0 => 0,
        1 => 1,
        _ => 2,
    };
    Anchor::encode(&roots, threshold, &content)
        .map_err(|source| Error::Keys { paths: files::list(paths), source })
}

fn read<K>(path: &Path, parse: fn(&str) -> Result<K, KeyError>) -> Result<K, Error> {
    let bytes = files::read_at_most(path, MAX_KEY_FILE)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| KeyError::Text("not text, so not a key file".into()))
        .and_then(|text| parse(&text));
    text.map_err(|source| Error::Key { path: path.to_owned(), source })
}
