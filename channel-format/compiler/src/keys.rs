//! Signing keys.

use std::ops::RangeInclusive;

use channel_format::signature::{PublicKey, Role};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use thiserror::Error;

use crate::key_text;

/// Why a key could not be made or read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}")]
    Randomness(String),
    /// The permissions contradict each other.
    #[error("{0}")]
    Permissions(&'static str),
    /// The text is not that of a key.
    #[error("{0}")]
    Text(String),
}

/// A secret key and its permissions.
#[derive(Clone)]
pub struct SecretKey {
    /// The public half.
    pub public: PublicKey,
    signing: SigningKey,
}

impl SecretKey {
    /// A new key from the operating system's randomness.
    pub fn generate(
        role: Role,
        may_block: bool,
        channels: RangeInclusive<u32>,
    ) -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| KeyError::Randomness(error.to_string()))?;
        Self::from_seed(seed, role, may_block, channels)
    }

    /// The key of a seed. For tests: a seed that is known is no secret.
    pub fn from_seed(
        seed: [u8; 32],
        role: Role,
        may_block: bool,
        channels: RangeInclusive<u32>,
    ) -> Result<Self, KeyError> {
        let signing = SigningKey::from_bytes(&seed);
        let bytes = signing.verifying_key().to_bytes();
        let public = public_key(bytes, role, may_block, channels)?;
        Ok(Self { public, signing })
    }

    /// Reads the line that [`SecretKey::to_text`] writes.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let (public, seed) = key_text::parse_secret(text)?;
        let channels = public.first_channel..=public.last_channel;
        let key = Self::from_seed(seed, public.role, public.may_block, channels)?;
        if key.public == public {
            Ok(key)
        } else {
            Err(KeyError::Text("the secret key does not belong to its public half".into()))
        }
    }

    /// The key as one line of text. It is the secret: keep it in a file of mode 600.
    pub fn to_text(&self) -> String {
        key_text::format_secret(&self.public, &self.signing.to_bytes())
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing.sign(message).to_bytes()
    }
}

/// A public key of a pair that was made elsewhere, and what it may sign.
///
/// # Errors
/// The permissions contradict each other, or no signature by such a key could ever verify.
pub fn public_key(
    bytes: [u8; 32],
    role: Role,
    may_block: bool,
    channels: RangeInclusive<u32>,
) -> Result<PublicKey, KeyError> {
    let (first_channel, last_channel) = channels.into_inner();
    match role {
        Role::Root if (first_channel, last_channel) != (0, 0) || may_block => {
            return Err(KeyError::Permissions(
                "a root key signs channel 0 only and never blocks; leave out channels and \
                 --may-block",
            ));
        }
        Role::Content if first_channel == 0 || first_channel > last_channel => {
            return Err(KeyError::Permissions(
                "a content key needs a range of channels that starts at 1 or above",
            ));
        }
        _ => {}
    }
    if VerifyingKey::from_bytes(&bytes).map_or(true, |key| key.is_weak()) {
        return Err(KeyError::Text(
            "these bytes are no Ed25519 public key; give the 32 bytes of one, not its wrapping"
                .into(),
        ));
    }
    Ok(PublicKey { role, may_block, first_channel, last_channel, bytes })
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("SecretKey").field("public", &self.public).finish_non_exhaustive()
    }
}
