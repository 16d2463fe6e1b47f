//! A header's numbers as they stand in the file, also where the header is damaged.
//!
//! Only for display: whatever decides goes through [`channel_format::frame::Header`].

use channel_compiler::key_text;
use channel_format::limits::{HEADER_LEN, MAX_SIGNATURES, SIGNED_LEN};
use channel_format::signature::KeyId;
use serde::Serialize;

const SIGNATURE_LEN: usize = 80;
/// The count and the zeros before the first signature.
const COUNT_LEN: usize = 8;

/// The numbers, in their order. See `docs/channel-format.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct RawHeader {
    pub(crate) format_version: u16,
    pub(crate) header_length: u16,
    pub(crate) flags: u32,
    pub(crate) file_length: u64,
    pub(crate) channel: u32,
    pub(crate) epoch: u32,
    pub(crate) sequence: u32,
    pub(crate) template_type: u16,
    pub(crate) schema_version: u16,
    pub(crate) fields_used: u64,
    pub(crate) api_level: u32,
    pub(crate) rule_count: u32,
    pub(crate) steps_per_event: u64,
    pub(crate) steps_per_load: u64,
    pub(crate) created: u64,
    pub(crate) expires: u64,
}

impl RawHeader {
    /// Reads the header of a file that begins with the magic and is not shorter than a header.
    pub(crate) fn read(file: &[u8]) -> Option<Self> {
        let header = file.first_chunk::<HEADER_LEN>()?;
        if !header.starts_with(&channel_format::frame::MAGIC) {
            return None;
        }
        Some(Self {
            format_version: u16::from_le_bytes(array(header, 8)?),
            header_length: u16::from_le_bytes(array(header, 10)?),
            flags: u32::from_le_bytes(array(header, 12)?),
            file_length: u64::from_le_bytes(array(header, 16)?),
            channel: u32::from_le_bytes(array(header, 24)?),
            epoch: u32::from_le_bytes(array(header, 28)?),
            sequence: u32::from_le_bytes(array(header, 32)?),
            template_type: u16::from_le_bytes(array(header, 36)?),
            schema_version: u16::from_le_bytes(array(header, 38)?),
            fields_used: u64::from_le_bytes(array(header, 40)?),
            api_level: u32::from_le_bytes(array(header, 48)?),
            rule_count: u32::from_le_bytes(array(header, 52)?),
            steps_per_event: u64::from_le_bytes(array(header, 56)?),
            steps_per_load: u64::from_le_bytes(array(header, 64)?),
            created: u64::from_le_bytes(array(header, 72)?),
            expires: u64::from_le_bytes(array(header, 80)?),
        })
    }
}

/// Ids of the keys whose signatures the header carries, good or not.
pub(crate) fn signers(file: &[u8]) -> Vec<String> {
    let area = file.get(SIGNED_LEN..HEADER_LEN).unwrap_or_default();
    let count = area.first().map_or(0, |count| usize::from(*count).min(MAX_SIGNATURES));
    let slots = area.get(COUNT_LEN..).unwrap_or_default().chunks_exact(SIGNATURE_LEN);
    slots
        .take(count)
        .filter_map(|slot| slot.first_chunk())
        .map(|id| key_text::format_id(KeyId(*id)))
        .collect()
}

/// The digest of the body that the header states.
pub(crate) fn digest(file: &[u8]) -> Option<[u8; 64]> {
    array(file, 88)
}

fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}
