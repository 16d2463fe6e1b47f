//! The fixed header and the steps from bytes to a verified file.
//!
//! Only the first [`HEADER_LEN`] bytes are looked at before a signature over them has been
//! checked, and the body only after its digest, which that signature covers, has matched.

use core::ops::Range;

use crate::anchor::Anchor;
use crate::limits::{
    HEADER_LEN, MAX_FILE, MAX_NAME_NUMBER, MAX_RULES, MAX_SIGNATURES, MAX_STEPS_PER_EVENT,
    MAX_STEPS_PER_LOAD, SIGNED_LEN,
};
use crate::name::ChannelName;
use crate::reader::Reader;
use crate::refusal::{Code, Refusal};
use crate::schema::FieldSet;
use crate::signature::{DOMAIN_PREFIX, KeyId, PublicKey, Role, sha512, verify as verify_signature};

/// How a channel file begins: a byte that is no text, our name, and a line end that a transfer in
/// text mode would spoil.
pub const MAGIC: [u8; 8] = *b"\x89SAKER\r\n";
/// The format version of this crate.
pub const FORMAT_VERSION: u16 = 0;
/// Header flag: the file may hold fewer rules than the one it replaces.
pub const FLAG_SHRINK: u32 = 1;
/// Template type of channel 0.
pub const TEMPLATE_CONTROL: u16 = 0;
/// Template type of named-pipe content.
pub const TEMPLATE_IPC: u16 = 1;
/// Slots in the section directory.
pub const SECTION_SLOTS: usize = 10;
/// Where the section directory lies.
pub const DIRECTORY_OFFSET: u32 = 160;

const DIRECTORY_LEN: usize = SECTION_SLOTS * 16;
const SIGNATURE_LEN: usize = 80;
const SIGNATURES_OFFSET: u32 = 512;
/// A torn write leaves whole sectors of zeros at the end.
const SECTOR: usize = 512;

/// One entry of the section directory, not yet checked against anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// What the section holds.
    pub kind: u16,
    /// Length of its records, or 0 if it has none of fixed length.
    pub record_size: u32,
    /// Where it starts, from the start of the file.
    pub offset: u32,
    /// Its length in bytes.
    pub length: u32,
}

/// The fixed header: structure checked, nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The channel.
    pub channel: u32,
    /// The epoch of the keys.
    pub epoch: u32,
    /// The number of the file within its epoch.
    pub sequence: u32,
    /// See [`FLAG_SHRINK`].
    pub flags: u32,
    /// See [`TEMPLATE_IPC`].
    pub template_type: u16,
    /// The schema that the content was built for.
    pub schema_version: u16,
    /// The fields that its rules use.
    pub fields_used: FieldSet,
    /// The sensor API level that it needs.
    pub api_level: u32,
    /// How many rules it holds.
    pub rule_count: u32,
    /// The most steps one event may cost.
    pub steps_per_event: u64,
    /// The most steps its self test may cost.
    pub steps_per_load: u64,
    /// When it was built, in seconds since 1970.
    pub created: u64,
    /// When it goes stale, in seconds since 1970; 0 is never.
    pub expires: u64,
    /// Length of the whole file.
    pub file_length: u32,
    /// SHA-512 of all that follows the header.
    pub digest: [u8; 64],
    /// How many slots of the section directory are in use.
    pub section_count: u16,
    /// The section directory.
    pub sections: [Section; SECTION_SLOTS],
}

impl Header {
    /// Reads the header from the first bytes of a file.
    ///
    /// Fewer bytes than a header has, or only zeros, are [`Code::Absent`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else {
            let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            return Err(Refusal::new(Code::Absent, 0, 1024, found));
        };
        if is_zero(bytes) {
            return Err(Refusal::new(Code::Absent, 0, u64::from_le_bytes(MAGIC), 0));
        }
        let mut reader = Reader::new(bytes, 0);
        let magic = *reader.array::<8>()?;
        equal(Code::BadMagic, 0, u64::from_le_bytes(MAGIC), u64::from_le_bytes(magic))?;
        equal(Code::FormatVersion, 8, FORMAT_VERSION.into(), reader.u16()?.into())?;
        equal(Code::HeaderLength, 10, 1024, reader.u16()?.into())?;
        let flags = reader.u32()?;
        equal(Code::UnknownFlags, 12, 0, u64::from(flags & !FLAG_SHRINK))?;
        let length = reader.u64()?;
        at_most(Code::FileLength, 16, MAX_FILE.into(), length)?;
        at_least(Code::FileLength, 16, 1024, length)?;
        let file_length = u32::try_from(length).unwrap_or(u32::MAX);
        let (channel, epoch, sequence) = (reader.u32()?, reader.u32()?, reader.u32()?);
        for (offset, part) in [(24, channel), (28, epoch), (32, sequence)] {
            at_most(Code::NameNumber, offset, MAX_NAME_NUMBER.into(), part.into())?;
        }
        let template_type = reader.u16()?;
        let template = if channel == 0 { TEMPLATE_CONTROL } else { TEMPLATE_IPC };
        equal(Code::TemplateType, 36, template.into(), template_type.into())?;
        let schema_version = reader.u16()?;
        let bits = reader.u64()?;
        let Some(fields_used) = FieldSet::from_bits(bits) else {
            return Err(Refusal::new(Code::UnknownField, 40, FieldSet::ALL.bits(), bits));
        };
        let (api_level, rule_count) = (reader.u32()?, reader.u32()?);
        at_most(Code::TooMany, 52, MAX_RULES.into(), rule_count.into())?;
        let (steps_per_event, steps_per_load) = (reader.u64()?, reader.u64()?);
        at_most(Code::StepLimit, 56, MAX_STEPS_PER_EVENT, steps_per_event)?;
        at_most(Code::StepLimit, 64, MAX_STEPS_PER_LOAD, steps_per_load)?;
        let (created, expires) = (reader.u64()?, reader.u64()?);
        let digest = *reader.array()?;
        let section_count = reader.u16()?;
        at_most(Code::SectionCount, 152, 10, section_count.into())?;
        reader.zeros(6)?;
        let sections = parse_directory(reader.sub(DIRECTORY_LEN)?, section_count)?;
        reader.zeros(192)?;
        Signatures::parse(reader)?;
        Ok(Self {
            channel,
            epoch,
            sequence,
            flags,
            template_type,
            schema_version,
            fields_used,
            api_level,
            rule_count,
            steps_per_event,
            steps_per_load,
            created,
            expires,
            file_length,
            digest,
            section_count,
            sections,
        })
    }

    /// The name that the file should have.
    pub const fn name(&self) -> ChannelName {
        ChannelName { channel: self.channel, epoch: self.epoch, sequence: self.sequence }
    }

    /// True if the file may hold fewer rules than the one it replaces.
    pub const fn may_shrink(&self) -> bool {
        self.flags & FLAG_SHRINK != 0
    }
}

/// A key and the epochs in which it may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The key with its permissions.
    pub key: PublicKey,
    /// First epoch.
    pub first_epoch: u32,
    /// Last epoch.
    pub last_epoch: u32,
}

/// Who may sign: an anchor alone, or an anchor and what channel 0 adds to it.
pub trait Keys {
    /// The key with that id.
    fn find(&self, id: KeyId) -> Option<Signer>;
    /// How many root keys must sign channel 0.
    fn root_threshold(&self) -> u8;
}

impl Keys for Anchor {
    fn find(&self, id: KeyId) -> Option<Signer> {
        let signer = |key| Signer { key, first_epoch: 0, last_epoch: MAX_NAME_NUMBER };
        Self::find(self, id).map(signer)
    }

    fn root_threshold(&self) -> u8 {
        Self::root_threshold(self)
    }
}

/// The name of a file by its contents: the first half of the SHA-512 of the signed part of its header,
/// which holds the digest of the rest. Signatures do not change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub [u8; 32]);

impl FileId {
    /// The name of the file that has this header.
    pub fn of(header_bytes: &[u8]) -> Self {
        let digest = sha512(&[header_bytes.get(..SIGNED_LEN).unwrap_or(header_bytes)]);
        let mut id = [0; 32];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self(id)
    }
}

/// Reads the header and checks its signatures against the keys that are trusted.
///
/// Content needs a content key whose channels and epochs include the file's; channel 0 needs as many
/// root keys as the anchor's threshold. Signatures by unknown keys do not count; a wrong one by a known
/// key, or one by a key that may not sign this channel, refuses the file.
pub fn verify(header_bytes: &[u8], keys: &impl Keys) -> Result<Signed, Refusal> {
    let header = Header::parse(header_bytes)?;
    let checked = header_bytes.get(..HEADER_LEN).unwrap_or(&[]);
    let (signed, signatures) = Signatures::of(checked)?;
    let mut valid = 0_u8;
    let mut may_block = false;
    let mut signer = None;
    for (offset, id, signature) in signatures.iter() {
        let Some(Signer { key, first_epoch, last_epoch }) = keys.find(id) else { continue };
        check_permission(&key, header.channel, offset)?;
        at_least(Code::KeyEpoch, offset, first_epoch.into(), header.epoch.into())?;
        at_most(Code::KeyEpoch, offset, last_epoch.into(), header.epoch.into())?;
        if !verify_signature(&key.bytes, signature, &[DOMAIN_PREFIX, signed]) {
            return Err(Refusal::new(Code::BadSignature, offset, 1, 0));
        }
        valid = valid.saturating_add(1);
        may_block |= key.may_block;
        signer = signer.or(Some(id));
    }
    let found = u64::from(signatures.count);
    let Some(signer) = signer else {
        let code = if found == 0 { Code::Unsigned } else { Code::UnknownSigner };
        return Err(Refusal::new(code, SIGNATURES_OFFSET, 1, found));
    };
    if header.channel == 0 {
        let threshold = keys.root_threshold().into();
        at_least(Code::RootThreshold, SIGNATURES_OFFSET, threshold, valid.into())?;
    }
    let id = FileId::of(checked);
    Ok(Signed { header, may_block, signer, id, header_digest: sha512(&[checked]) })
}

/// A header that a permitted key signed.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The header.
    pub header: Header,
    /// Whether a key that may block signed it.
    pub may_block: bool,
    /// The first permitted signer.
    pub signer: KeyId,
    /// The file's name by its contents.
    pub id: FileId,
    /// Of all of the header, with the signatures: what is kept is then what will verify again.
    header_digest: [u8; 64],
}

impl Signed {
    /// Checks a whole file against its signed header: length, header bytes (the signatures too, so
    /// that a copy of the file verifies as the header did) and digest.
    ///
    /// `B` must give the same bytes each time it is asked, as owned buffers and slices do. What one
    /// that did not would give is still only ever read with checks.
    ///
    /// A file that is too short, or whose digest is wrong and which ends in zeros, is
    /// [`Code::Absent`]: that is how a crash leaves a file that was being written.
    pub fn body<B: AsRef<[u8]>>(self, file: B) -> Result<Verified<B>, Refusal> {
        let bytes = file.as_ref();
        let declared = u64::from(self.header.file_length);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        at_least(Code::Absent, 16, declared, length)?;
        equal(Code::FileLength, 16, declared, length)?;
        let Some((header, body)) = bytes.split_at_checked(HEADER_LEN) else {
            return Err(Refusal::new(Code::Absent, 0, 1024, length));
        };
        if sha512(&[header]) != self.header_digest {
            return Err(Refusal::new(Code::HeaderChanged, 0, 0, 0));
        }
        if sha512(&[body]) != self.header.digest {
            let tail = body.get(body.len().saturating_sub(SECTOR)..).unwrap_or(body);
            let code = if is_zero(tail) { Code::Absent } else { Code::DigestMismatch };
            return Err(Refusal::new(code, 88, declared, length));
        }
        Ok(Verified { header: self.header, may_block: self.may_block, signer: self.signer, file })
    }
}

/// A whole file that is exactly what was signed; its body has not been interpreted.
#[derive(Clone, Debug)]
pub struct Verified<B> {
    pub(crate) header: Header,
    pub(crate) may_block: bool,
    pub(crate) signer: KeyId,
    pub(crate) file: B,
}

impl<B: AsRef<[u8]>> Verified<B> {
    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The first permitted signer.
    pub const fn signer(&self) -> KeyId {
        self.signer
    }
}

/// The signature area of a header.
struct Signatures<'a> {
    count: u8,
    slots: [Option<(KeyId, &'a [u8; 64])>; MAX_SIGNATURES],
}

impl<'a> Signatures<'a> {
    /// The signed part of a header, and its signatures.
    fn of(header: &'a [u8]) -> Result<(&'a [u8], Self), Refusal> {
        let mut reader = Reader::new(header, 0);
        let signed = reader.take(SIGNED_LEN)?;
        let area = reader.sub(HEADER_LEN.saturating_sub(SIGNED_LEN))?;
        Ok((signed, Self::parse(area)?))
    }

    fn parse(mut reader: Reader<'a>) -> Result<Self, Refusal> {
        let count = reader.u8()?;
        at_most(Code::SignatureCount, SIGNATURES_OFFSET, 4, count.into())?;
        reader.zeros(7)?;
        let mut signatures = Self { count, slots: [None; MAX_SIGNATURES] };
        for index in 0..MAX_SIGNATURES {
            let offset = reader.offset();
            if index >= usize::from(count) {
                reader.zeros(SIGNATURE_LEN)?;
                continue;
            }
            let id = KeyId(*reader.array()?);
            let signature = reader.array()?;
            if signatures.slots.iter().flatten().any(|(known, _)| *known == id) {
                return Err(Refusal::new(Code::DuplicateSigner, offset, 0, 1));
            }
            if let Some(slot) = signatures.slots.get_mut(index) {
                *slot = Some((id, signature));
            }
        }
        reader.zeros(184)?;
        reader.finish()?;
        Ok(signatures)
    }

    /// Each signature with its offset in the file.
    fn iter(&self) -> impl Iterator<Item = (u32, KeyId, &'a [u8; 64])> + '_ {
        let offsets = [520, 600, 680, 760];
        offsets
            .into_iter()
            .zip(self.slots.iter().flatten())
            .map(|(at, (id, bytes))| (at, *id, *bytes))
    }
}

fn check_permission(key: &PublicKey, channel: u32, offset: u32) -> Result<(), Refusal> {
    let role = if channel == 0 { Role::Root } else { Role::Content };
    equal(Code::KeyRole, offset, role.number().into(), key.role.number().into())?;
    if key.covers(channel) {
        return Ok(());
    }
    Err(Refusal::new(Code::KeyChannel, offset, key.first_channel.into(), channel.into()))
}

fn parse_directory(
    mut reader: Reader<'_>,
    count: u16,
) -> Result<[Section; SECTION_SLOTS], Refusal> {
    let mut sections = [Section::default(); SECTION_SLOTS];
    for (section, _) in sections.iter_mut().zip(0..count) {
        section.kind = reader.u16()?;
        reader.zeros(2)?;
        section.record_size = reader.u32()?;
        section.offset = reader.u32()?;
        section.length = reader.u32()?;
    }
    let unused = reader.remaining();
    reader.zeros(unused)?;
    reader.finish()?;
    Ok(sections)
}

impl Section {
    /// The section's bytes within the file, if it has an end.
    pub(crate) fn range(&self) -> Option<Range<usize>> {
        let end = self.offset.checked_add(self.length)?;
        Some(usize::try_from(self.offset).ok()?..usize::try_from(end).ok()?)
    }
}

/// True if every byte is zero; looks at all of them, so that the loop is one the optimiser knows.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |seen, byte| seen | byte) == 0
}

pub(crate) fn equal(code: Code, offset: u32, expected: u64, found: u64) -> Result<(), Refusal> {
    if found == expected { Ok(()) } else { Err(Refusal::new(code, offset, expected, found)) }
}

pub(crate) fn at_most(code: Code, offset: u32, limit: u64, found: u64) -> Result<(), Refusal> {
    if found <= limit { Ok(()) } else { Err(Refusal::new(code, offset, limit, found)) }
}

pub(crate) fn at_least(code: Code, offset: u32, least: u64, found: u64) -> Result<(), Refusal> {
    if found >= least { Ok(()) } else { Err(Refusal::new(code, offset, least, found)) }
}
