//! Looking into files whose signature nobody has checked.
//!
//! The format gives a ruleset only for a signed header, and rightly so. Tools that must look into
//! unsigned files (a file just built, a file on a dead disk) go the same way as the driver with one
//! difference: the signatures are left out and a throw-away key signs the header, in memory only.
//! So bounds, digest and every check of the body are the driver's own.

use channel_compiler::{SecretKey, SignError, attach_signature};
use channel_format::anchor::Anchor;
use channel_format::control::Control;
use channel_format::frame::{Header, Verified, verify};
use channel_format::limits::{HEADER_LEN, SIGNED_LEN};
use channel_format::refusal::{Code, Refusal};
use channel_format::ruleset::Ruleset;
use channel_format::schema::SensorProfile;
use channel_format::signature::Role;

/// The ruleset of a file, whoever signed it or nobody. All but the signatures is checked; those
/// in the ruleset's bytes are the throw-away key's.
pub fn ruleset(
    file: impl AsRef<[u8]>,
    sensor: &SensorProfile,
) -> Result<Ruleset<Vec<u8>>, Refusal> {
    Ruleset::parse(verified(file)?, sensor)
}

/// What a file of channel 0 says, whoever signed it or nobody.
pub fn control(file: impl AsRef<[u8]>) -> Result<Control<Vec<u8>>, Refusal> {
    Control::parse(verified(file)?)
}

/// A file of the right length and digest, whoever signed it or nobody.
pub fn verified(file: impl AsRef<[u8]>) -> Result<Verified<Vec<u8>>, Refusal> {
    let mut file = file.as_ref().to_vec();
    let header = Header::parse(&file)?;
    if let Some(signatures) = file.get_mut(SIGNED_LEN..HEADER_LEN) {
        signatures.fill(0);
    }
    let key = throw_away_key(header.channel)?;
    attach_signature(&mut file, &key).map_err(|error| match error {
        SignError::Refused(refusal) | SignError::Header(refusal) => refusal,
        _ => Refusal::new(Code::Internal, 0, 0, 0),
    })?;
    let anchor = match key.public.role {
        Role::Root => Anchor::encode(&[key.public], 1, &[]),
        Role::Content => Anchor::encode(&[], 0, &[key.public]),
    }?;
    verify(&file, &Anchor::parse(&anchor)?)?.body(file)
}

/// Not secret, and not to be: no anchor ever holds it.
fn throw_away_key(channel: u32) -> Result<SecretKey, Refusal> {
    let key = match channel {
        0 => SecretKey::from_seed([0; 32], Role::Root, false, 0..=0),
        _ => SecretKey::from_seed([0; 32], Role::Content, true, 1..=u32::MAX),
    };
    key.map_err(|_| Refusal::new(Code::Internal, 0, 0, 0))
}
