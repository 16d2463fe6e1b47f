//! Signing a built file.

use channel_format::anchor::Anchor;
use channel_format::control::Control;
use channel_format::frame::{Header, verify};
use channel_format::limits::{HEADER_LEN, MAX_SIGNATURES, SIGNED_LEN};
use channel_format::refusal::Refusal;
use channel_format::ruleset::Ruleset;
use channel_format::schema::SensorProfile;
use channel_format::signature::{DOMAIN_PREFIX, PublicKey, Role, verify as is_signature};
use miette::Diagnostic;
use thiserror::Error;

use crate::keys::SecretKey;

/// Why a file was not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Diagnostic)]
pub enum SignError {
    /// The driver would refuse the file.
    #[error("the file would be refused: {0}")]
    #[diagnostic(code(saker::sign::refused), help("{}", .0.code.remedy()))]
    Refused(Refusal),
    /// The key's role or channels do not include the file's channel.
    #[error("this key may not sign channel {channel}")]
    #[diagnostic(
        code(saker::sign::not_permitted),
        help("channel 0 needs a root key, any other channel a content key whose range holds it")
    )]
    NotPermitted {
        /// The file's channel.
        channel: u32,
    },
    /// The key has signed already.
    #[error("this key has signed the file already")]
    #[diagnostic(code(saker::sign::again))]
    Again,
    /// There is no room for another signature.
    #[error("the file has {MAX_SIGNATURES} signatures already")]
    #[diagnostic(code(saker::sign::full))]
    Full,
    /// The signature is not this key's, or not of this file.
    #[error("the signature is not one of this file by this key")]
    #[diagnostic(
        code(saker::sign::wrong),
        help(
            "sign what `sakerctl content digest` prints of this very file, as a whole and with plain \
             Ed25519, and give the public half of the key that did"
        )
    )]
    Wrong,
    /// A signature of the file is by a key that this one does not fit with.
    #[error("the file's header cannot be read: {0}")]
    #[diagnostic(code(saker::sign::header), help("{}", .0.code.remedy()))]
    Header(Refusal),
}

/// Adds a signature, after the driver's own code has accepted the file and all its examples.
pub fn sign(file: &mut Vec<u8>, key: &SecretKey) -> Result<(), SignError> {
    sign_for(file, key, &SensorProfile::CURRENT)
}

/// [`sign`] for another sensor than today's.
pub fn sign_for(
    file: &mut Vec<u8>,
    key: &SecretKey,
    sensor: &SensorProfile,
) -> Result<(), SignError> {
    let mut signed = file.clone();
    attach_signature(&mut signed, key)?;
    check(&signed, &key.public, sensor).map_err(SignError::Refused)?;
    *file = signed;
    Ok(())
}

/// The whole message that a signature of this file is of: the domain prefix and the signed part of the
/// header, which holds the digest of the rest. Signatures that are there already do not change it.
///
/// # Errors
/// The header cannot be read.
pub fn message(file: &[u8]) -> Result<Vec<u8>, SignError> {
    Header::parse(file).map_err(SignError::Header)?;
    Ok([DOMAIN_PREFIX, file.get(..SIGNED_LEN).unwrap_or(file)].concat())
}

/// Adds a signature of [`message`] that was made elsewhere, after it and the file have passed.
///
/// # Errors
/// As [`sign_for`]; [`SignError::Wrong`] if it is not `key`'s signature of this file.
pub fn add_signature(
    file: &mut Vec<u8>,
    key: &PublicKey,
    signature: &[u8; 64],
    sensor: &SensorProfile,
) -> Result<(), SignError> {
    let mut signed = file.clone();
    put_signature(&mut signed, key, |_| *signature)?;
    if !is_signature(&key.bytes, signature, &[&message(file)?]) {
        return Err(SignError::Wrong);
    }
    check(&signed, key, sensor).map_err(SignError::Refused)?;
    *file = signed;
    Ok(())
}

/// Adds a signature to whatever the file holds. For tests and for replays of incidents: it lets a
/// file be signed that no sensor accepts.
pub fn attach_signature(file: &mut [u8], key: &SecretKey) -> Result<(), SignError> {
    put_signature(file, &key.public, |message| key.sign(message))
}

fn put_signature(
    file: &mut [u8],
    key: &PublicKey,
    sign: impl FnOnce(&[u8]) -> [u8; 64],
) -> Result<(), SignError> {
    let header = Header::parse(file).map_err(SignError::Header)?;
    let channel = header.channel;
    let role = if channel == 0 { Role::Root } else { Role::Content };
    if key.role != role || !key.covers(channel) {
        return Err(SignError::NotPermitted { channel });
    }
    let id = key.id();
    let signature = sign(&message(file)?);
    let area = &mut file[SIGNED_LEN..HEADER_LEN];
    let count = usize::from(area[0]);
    let slots = &mut area[8..];
    if slots.chunks_exact(80).take(count).any(|slot| slot[..16] == id.0) {
        return Err(SignError::Again);
    }
    let Some(slot) = slots.chunks_exact_mut(80).take(MAX_SIGNATURES).nth(count) else {
        return Err(SignError::Full);
    };
    slot[..16].copy_from_slice(&id.0);
    slot[16..].copy_from_slice(&signature);
    area[0] += 1;
    Ok(())
}

/// What the driver does with a file before it serves it.
fn check(file: &[u8], key: &PublicKey, sensor: &SensorProfile) -> Result<(), Refusal> {
    let keys = [*key];
    let anchor = match key.role {
        Role::Root => Anchor::encode(&keys, 1, &[])?,
        Role::Content => Anchor::encode(&[], 0, &keys)?,
    };
    let verified = verify(file, &Anchor::parse(&anchor)?)?.body(file)?;
    if key.role == Role::Root {
        return Control::parse(verified).map(|_| ());
    }
    sensor.reads(verified.header())?;
    Ruleset::parse(verified, sensor)?.self_test()
}
