//! Signing a built file.

use channel_format::anchor::Anchor;
use channel_format::control::Control;
use channel_format::frame::{Header, verify};
use channel_format::limits::{HEADER_LEN, MAX_SIGNATURES, SIGNED_LEN};
use channel_format::refusal::Refusal;
use channel_format::ruleset::Ruleset;
use channel_format::schema::SensorProfile;
use channel_format::signature::{DOMAIN_PREFIX, Role};
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
    /// A signature of the file is by a key that this one does not fit with.
    #[error("the file's header cannot be read: {0}")]
    #[diagnostic(code(saker::sign::header), help("{}", .0.code.remedy()))]
    Header(Refusal),
}

/// Adds a signature, after the driver's own code has accepted the file and all its examples.
pub fn sign(file: &mut Vec<u8>, key: &SecretKey) -> Result<(), SignError> {
    let mut signed = file.clone();
    attach_signature(&mut signed, key)?;
    check(&signed, key).map_err(SignError::Refused)?;
    *file = signed;
    Ok(())
}

/// Adds a signature to whatever the file holds. For tests and for replays of incidents: it lets a
/// file be signed that no sensor accepts.
pub fn attach_signature(file: &mut [u8], key: &SecretKey) -> Result<(), SignError> {
    let header = Header::parse(file).map_err(SignError::Header)?;
    let channel = header.channel;
    let role = if channel == 0 { Role::Root } else { Role::Content };
    if key.public.role != role || !key.public.covers(channel) {
        return Err(SignError::NotPermitted { channel });
    }
    let id = key.public.id();
    let (signed, area) = file[..HEADER_LEN].split_at_mut(SIGNED_LEN);
    let count = usize::from(area[0]);
    let slots = &mut area[8..];
    if slots.chunks_exact(80).take(count).any(|slot| slot[..16] == id.0) {
        return Err(SignError::Again);
    }
    let Some(slot) = slots.chunks_exact_mut(80).take(MAX_SIGNATURES).nth(count) else {
        return Err(SignError::Full);
    };
    slot[..16].copy_from_slice(&id.0);
    slot[16..].copy_from_slice(&key.sign(&[DOMAIN_PREFIX, signed].concat()));
    area[0] += 1;
    Ok(())
}

/// What the driver does with a file before it serves it.
fn check(file: &[u8], key: &SecretKey) -> Result<(), Refusal> {
    let keys = [key.public];
    let anchor = match key.public.role {
        Role::Root => Anchor::encode(&keys, 1, &[])?,
        Role::Content => Anchor::encode(&[], 0, &keys)?,
    };
    let verified = verify(file, &Anchor::parse(&anchor)?)?.body(file)?;
    if key.public.role == Role::Root {
        return Control::parse(verified).map(|_| ());
    }
    Ruleset::parse(verified, &SensorProfile::CURRENT)?.self_test()
}
