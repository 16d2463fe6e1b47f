//! Ed25519 over constant-time primitives, and what a signing key may do.
//!
//! The check is RFC 8032 with the strictness of `ed25519-dalek`'s `verify_strict`: canonical S, no
//! small-order key, no small-order R, and the compressed `[S]B - [k]A` equal to R byte for byte.
//! It is written over the constant-time operations of `curve25519-dalek`, not for secrecy, there
//! is none, but because they leave no panic path in the linked driver; their variable-time
//! counterparts index tables.

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use sha2::{Digest, Sha512};

/// What precedes the header in the message that is signed, so that no signature for another
/// purpose or version can be passed off as one for a channel file.
pub const DOMAIN_PREFIX: &[u8] = b"Saker channel file header v0\0";

const KEY_ID_PREFIX: &[u8] = b"Saker key id v0\0";

/// What a key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Channel 0 only, several together.
    Root = 1,
    /// Every channel of its range but 0.
    Content = 2,
}

impl Role {
    /// The role's number in files.
    pub const fn number(self) -> u8 {
        match self {
            Self::Root => 1,
            Self::Content => 2,
        }
    }

    /// The role with that number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Root),
            2 => Some(Self::Content),
            _ => None,
        }
    }
}

/// A public key and its permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// What it may sign.
    pub role: Role,
    /// Whether rules that it signed may block.
    pub may_block: bool,
    /// First channel it may sign.
    pub first_channel: u32,
    /// Last channel it may sign.
    pub last_channel: u32,
    /// The Ed25519 key.
    pub bytes: [u8; 32],
}

impl PublicKey {
    /// The key's name in files. It binds the permissions: the same key with others has another id.
    pub fn id(&self) -> KeyId {
        let digest: [u8; 64] = Sha512::new()
            .chain_update(KEY_ID_PREFIX)
            .chain_update([self.role.number(), u8::from(self.may_block)])
            .chain_update(self.first_channel.to_le_bytes())
            .chain_update(self.last_channel.to_le_bytes())
            .chain_update(self.bytes)
            .finalize()
            .into();
        let mut id = [0; 16];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        KeyId(id)
    }

    /// True if the key's range holds the channel.
    pub const fn covers(&self, channel: u32) -> bool {
        self.first_channel <= channel && channel <= self.last_channel
    }
}

/// The name of a key with its permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 16]);

/// The SHA-512 digest of a message given in parts.
pub fn sha512(parts: &[&[u8]]) -> [u8; 64] {
    let mut digest = Sha512::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().into()
}

/// True if `signature` is a valid Ed25519 signature of the message, given in parts, by `key`.
pub fn verify(key: &[u8; 32], signature: &[u8; 64], message: &[&[u8]]) -> bool {
    let Some((r, s)) = signature.split_first_chunk::<32>() else {
        return false;
    };
    let Some(s) = s.first_chunk::<32>() else {
        return false;
    };
    let Some(s) = Option::<Scalar>::from(Scalar::from_canonical_bytes(*s)) else {
        return false;
    };
    let Some(key_point) = decompress_large_order(key) else {
        return false;
    };
    if decompress_large_order(r).is_none() {
        return false;
    }
    let mut digest = Sha512::new().chain_update(r).chain_update(key);
    for part in message {
        digest.update(part);
    }
    let k = Scalar::from_bytes_mod_order_wide(&digest.finalize().into());
    recompute(&s, &k, key_point) == *r
}

/// The compressed `[s]B - [k]A`, its own function so that its large frame is not its callers'.
#[inline(never)]
fn recompute(s: &Scalar, k: &Scalar, key: EdwardsPoint) -> [u8; 32] {
    #[expect(clippy::arithmetic_side_effects, reason = "group operations are total")]
    let point = EdwardsPoint::mul_base(s) + (-key) * k;
    point.compress().to_bytes()
}

/// The point that `bytes` encode, unless they encode none or one of the eight of small order.
#[inline(never)]
fn decompress_large_order(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    let point = CompressedEdwardsY(*bytes).decompress()?;
    (!point.mul_by_cofactor().is_identity()).then_some(point)
}
