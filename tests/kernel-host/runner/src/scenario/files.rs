//! The channel files of a scenario.

use std::path::{Path, PathBuf};

use channel_compiler::incident::wild_table_index;
use channel_compiler::{BuildOptions, SecretKey, build, load_rules, sign};
use channel_format::name::ChannelName;
use channel_format::signature::Role;
use loader::files::{self, Existing, Readers};

use super::{Damage, FileSpec, Stored, wrong};
use crate::error::Error;

/// What a scenario's files are numbered with.
pub const CHANNEL: u32 = 291;
/// Their epoch.
pub const EPOCH: u32 = 1;

/// A key for the kernel host, whose driver then trusts it. Everybody knows it.
///
/// # Errors
/// [`Error::Key`].
pub fn test_key() -> Result<SecretKey, Error> {
    key_of([7; 32])
}

fn key_of(seed: [u8; 32]) -> Result<SecretKey, Error> {
    SecretKey::from_seed(seed, Role::Content, true, 1..=u32::MAX)
        .map_err(|error| Error::Key(error.to_string()))
}

/// The name that a file has in the inbox.
pub fn name(spec: &FileSpec) -> String {
    ChannelName { channel: CHANNEL, epoch: EPOCH, sequence: spec.sequence }.to_string()
}

/// One of a scenario's files, signed with this key.
///
/// # Errors
/// What is wrong with its rules.
pub fn make(stored: &Stored, spec: &FileSpec, key: &SecretKey) -> Result<Vec<u8>, Error> {
    let refused = |what: String| wrong(&stored.path, format!("{}: {what}", name(spec)));
    let folder = stored.path.parent().unwrap_or(Path::new("."));
    let rules: Vec<PathBuf> = spec.rules.iter().map(|rules| folder.join(rules)).collect();
    let rules = load_rules(&rules).map_err(|errors| refused(format!("{errors:?}")))?;
    let options = BuildOptions {
        channel: CHANNEL,
        epoch: EPOCH,
        sequence: spec.sequence,
        created: 0,
        expires: 0,
        shrink: false,
    };
    let mut file = build(&rules, &options).map_err(|errors| refused(format!("{errors:?}")))?;
    let signer = match spec.damage {
        Some(Damage::ForeignKey) => &key_of([8; 32])?,
        _ => key,
    };
    sign(&mut file, signer).map_err(|error| refused(error.to_string()))?;
    match spec.damage {
        None | Some(Damage::ForeignKey) => {}
        Some(Damage::LastByte) => {
            if let Some(last) = file.last_mut() {
                *last ^= 1;
            }
        }
        Some(Damage::Cut) => file.truncate(file.len() / 2),
        Some(Damage::WildIndex) => file = wild_table_index(&file, key)?,
    }
    Ok(file)
}

/// Writes all files of a scenario: `OUT/SCENARIO/FILE/C-….sys`.
///
/// # Errors
/// As [`make`], or a file that cannot be written.
pub fn write_all(stored: &Stored, key: &SecretKey, out: &Path) -> Result<(), Error> {
    for (called, spec) in &stored.scenario.files {
        let folder = out.join(stored.name()).join(called);
        std::fs::create_dir_all(&folder)
            .map_err(|source| Error::Write { path: folder.clone(), source })?;
        let file = make(stored, spec, key)?;
        files::write(&folder.join(name(spec)), &file, Existing::Replace, Readers::All)?;
    }
    Ok(())
}
