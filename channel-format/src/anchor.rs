//! The anchor: the public keys that one installation trusts, in the driver's `.anchor` section.
//!
//! # Format
//! 1,024 bytes: magic `SKRANCHR`, version u16 = 0, root count u8, root threshold u8, content key
//! count u8, zero to 16; then a record of 48 bytes a key {role u8, flags u8 (bit 0: may block),
//! zero u16, first channel u32, last channel u32, zero u32, key}, roots first; zero to the end.
//! As linked it is all zero: then there is no anchor, and nothing loads.
//!
//! Content keys in an anchor are for test machines only; [`Anchor::has_test_keys`] tells.

use crate::limits::{ANCHOR_LEN, MAX_ANCHOR_KEYS};
use crate::reader::Reader;
use crate::refusal::{Code, Refusal};
use crate::signature::{KeyId, PublicKey, Role};

pub use crate::limits::ANCHOR_LEN as LEN;

const MAGIC: &[u8; 8] = b"SKRANCHR";
const VERSION: u16 = 0;
const KEY_LEN: usize = 48;
const COUNTS_OFFSET: u32 = 10;

/// The keys an installation trusts.
#[derive(Clone, Debug)]
pub struct Anchor {
    root_threshold: u8,
    content_count: u8,
    keys: [Option<(KeyId, PublicKey)>; MAX_ANCHOR_KEYS],
}

impl Anchor {
    /// Reads an anchor section. All zero is [`Code::NoAnchor`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let Some(bytes) = bytes.first_chunk::<ANCHOR_LEN>() else {
            return Err(bad(0, number(ANCHOR_LEN), number(bytes.len())));
        };
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(Refusal::new(Code::NoAnchor, 0, 1, 0));
        }
        let mut reader = Reader::new(bytes, 0);
        if reader.array()? != MAGIC {
            return Err(bad(0, u64::from_le_bytes(*MAGIC), 0));
        }
        let version = reader.u16()?;
        if version != VERSION {
            return Err(bad(8, VERSION.into(), version.into()));
        }
        let (roots, root_threshold, content_count) = (reader.u8()?, reader.u8()?, reader.u8()?);
        check_counts(roots, root_threshold, content_count)?;
        reader.zeros(3)?;

        let mut anchor = Self { root_threshold, content_count, keys: [None; MAX_ANCHOR_KEYS] };
        let mut left = usize::from(roots).saturating_add(usize::from(content_count));
        for index in 0..MAX_ANCHOR_KEYS {
            if left == 0 {
                break;
            }
            left = left.saturating_sub(1);
            let offset = reader.offset();
            let key = parse_key(&mut reader)?;
            let role = if index < usize::from(roots) { Role::Root } else { Role::Content };
            if key.role != role {
                return Err(bad(offset, role.number().into(), key.role.number().into()));
            }
            anchor.insert(index, key, offset)?;
        }
        let rest = reader.remaining();
        reader.zeros(rest)?;
        Ok(anchor)
    }

    /// Writes the anchor with these keys, as [`Anchor::parse`] reads it.
    pub fn encode(
        roots: &[PublicKey],
        threshold: u8,
        content: &[PublicKey],
    ) -> Result<[u8; ANCHOR_LEN], Refusal> {
        let root_count = u8::try_from(roots.len()).unwrap_or(u8::MAX);
        let content_count = u8::try_from(content.len()).unwrap_or(u8::MAX);
        check_counts(root_count, threshold, content_count)?;
        let mut bytes = [0; ANCHOR_LEN];
        {
            let mut out = bytes.iter_mut();
            put(&mut out, MAGIC);
            put(&mut out, &VERSION.to_le_bytes());
            put(&mut out, &[root_count, threshold, content_count, 0, 0, 0]);
            for key in roots.iter().chain(content) {
                put(&mut out, &[key.role.number(), u8::from(key.may_block), 0, 0]);
                put(&mut out, &key.first_channel.to_le_bytes());
                put(&mut out, &key.last_channel.to_le_bytes());
                put(&mut out, &[0; 4]);
                put(&mut out, &key.bytes);
            }
        }
        Self::parse(&bytes)?;
        Ok(bytes)
    }

    /// The key with that id.
    pub fn find(&self, id: KeyId) -> Option<PublicKey> {
        self.keys.iter().flatten().find(|(known, _)| *known == id).map(|(_, key)| *key)
    }

    /// How many root keys must sign channel 0.
    pub const fn root_threshold(&self) -> u8 {
        self.root_threshold
    }

    /// True if content keys stand in the anchor itself, as on a machine for tests.
    pub const fn has_test_keys(&self) -> bool {
        self.content_count > 0
    }

    /// Every key, roots first.
    pub fn keys(&self) -> impl Iterator<Item = (KeyId, PublicKey)> + '_ {
        self.keys.iter().flatten().copied()
    }

    fn insert(&mut self, index: usize, key: PublicKey, offset: u32) -> Result<(), Refusal> {
        let same = |known: &(KeyId, PublicKey)| known.1.bytes == key.bytes;
        if self.keys.iter().flatten().any(same) {
            return Err(Refusal::new(Code::DuplicateKey, offset, 0, number(index)));
        }
        if let Some(slot) = self.keys.get_mut(index) {
            *slot = Some((key.id(), key));
        }
        Ok(())
    }
}

/// One to twelve keys, and a threshold that the roots can reach; without roots it is zero.
fn check_counts(roots: u8, threshold: u8, content: u8) -> Result<(), Refusal> {
    let keys = usize::from(roots).saturating_add(usize::from(content));
    if keys == 0 || keys > MAX_ANCHOR_KEYS {
        return Err(bad(COUNTS_OFFSET, number(MAX_ANCHOR_KEYS), number(keys)));
    }
    let sound = if roots == 0 { threshold == 0 } else { threshold >= 1 && threshold <= roots };
    if sound { Ok(()) } else { Err(bad(COUNTS_OFFSET, roots.into(), threshold.into())) }
}

fn parse_key(reader: &mut Reader<'_>) -> Result<PublicKey, Refusal> {
    let offset = reader.offset();
    let mut reader = reader.sub(KEY_LEN)?;
    let (role, flags) = (reader.u8()?, reader.u8()?);
    let Some(role) = Role::from_number(role) else {
        return Err(bad(offset, Role::Content.number().into(), role.into()));
    };
    if flags > 1 {
        return Err(Refusal::new(Code::UnknownFlags, offset, 1, flags.into()));
    }
    reader.zeros(2)?;
    let (first_channel, last_channel) = (reader.u32()?, reader.u32()?);
    // A root key signs channel 0 and nothing else, a content key anything but channel 0.
    let sound = match role {
        Role::Root => first_channel == 0 && last_channel == 0 && flags == 0,
        Role::Content => first_channel >= 1 && first_channel <= last_channel,
    };
    if !sound {
        return Err(bad(offset, first_channel.into(), last_channel.into()));
    }
    reader.zeros(4)?;
    let bytes = *reader.array()?;
    reader.finish()?;
    Ok(PublicKey { role, may_block: flags == 1, first_channel, last_channel, bytes })
}

fn put<'a>(out: &mut impl Iterator<Item = &'a mut u8>, bytes: &[u8]) {
    // The bytes come first: `zip` must not take a slot that it then leaves unwritten.
    for (from, to) in bytes.iter().zip(out) {
        *to = *from;
    }
}

fn bad(offset: u32, expected: u64, found: u64) -> Refusal {
    Refusal::new(Code::BadAnchor, offset, expected, found)
}

fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
