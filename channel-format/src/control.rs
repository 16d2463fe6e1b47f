//! Channel 0: what an installation trusts beyond its anchor, signed by root keys.
//!
//! # Format
//! A channel file of template type 0 whose header has no fields, rules or steps, and four sections
//! in this order, each of which may be empty but the first:
//!
//! | kind | record | order |
//! |---|---|---|
//! | 64 keys | {role u8 = 2, flags u8 (bit 0: may block), zero u16, first channel u32, last channel u32, first epoch u32, last epoch u32, zero u32, key 32 bytes} | rising keys |
//! | 65 channels | {channel u32, least epoch u32, floor epoch u32, floor sequence u32, rules u32, flags u32 (bit 0: halted)} | rising channels |
//! | 66 ranges | {channel u32, epoch u32, last revoked sequence u32, zero u32} | rising (channel, epoch) |
//! | 67 files | the first 32 bytes of the SHA-512 of a header's signed part | rising |
//!
//! Every length is a multiple of 8, so sections follow one another without gaps.
//!
//! # Meaning
//! * A key signs content of its channels in its epochs. A stolen key dies with its epoch: the next
//!   one has other keys, and any file of it is newer than all the thief can sign.
//! * Of a channel, files before the least epoch are trusted no more; files under the floor do not
//!   come in any more, but one that is in force stays; a halt lets nothing new in.
//! * A revoked file is never served again, from wherever it comes.

use core::ops::Range;

use crate::anchor::Anchor;
use crate::frame::{
    DIRECTORY_OFFSET, FileId, Header, Keys, Section, Signed, Signer, TEMPLATE_CONTROL, Verified,
    at_least, at_most, equal, verify,
};
use crate::limits::{
    MAX_CONTROL_CHANNELS, MAX_CONTROL_KEYS, MAX_NAME_NUMBER, MAX_REVOKED_FILES, MAX_REVOKED_RANGES,
    MAX_RULES,
};
use crate::reader::Reader;
use crate::refusal::{Code, Refusal};
use crate::signature::{KeyId, PublicKey, Role};

/// Kinds of the sections, in the order that files have them.
pub const SECTION_KINDS: [u16; 4] = [64, 65, 66, 67];
/// Lengths of their records.
pub const RECORD_LENS: [u32; 4] = [56, 24, 16, 32];
/// Channel flag: nothing new comes in.
pub const FLAG_HALTED: u32 = 1;

const KEY_LEN: usize = 56;

/// A key and the epochs in which it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlKey {
    /// The key with its permissions.
    pub key: PublicKey,
    /// First epoch it may sign in.
    pub first_epoch: u32,
    /// Last epoch it may sign in.
    pub last_epoch: u32,
}

/// What is asked of the files of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelRule {
    /// The channel.
    pub channel: u32,
    /// Files of earlier epochs are trusted no more.
    pub least_epoch: u32,
    /// Files before this epoch and sequence do not come in.
    pub floor: (u32, u32),
    /// Files with fewer rules than this do not come in unless they say that they shrink.
    pub rules: u32,
    /// Nothing new comes in.
    pub halted: bool,
}

/// Sequences that are revoked: all of an epoch up to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokedRange {
    /// The channel.
    pub channel: u32,
    /// The epoch.
    pub epoch: u32,
    /// The last revoked sequence.
    pub through: u32,
}

/// A control file that has passed validation.
#[derive(Clone, Debug)]
pub struct Control<B> {
    header: Header,
    sections: [Range<usize>; 4],
    file: B,
}

impl<B: AsRef<[u8]>> Control<B> {
    /// Validates the body of a verified file of channel 0.
    ///
    /// # Errors
    /// What is wrong with it and where.
    pub fn parse(verified: Verified<B>) -> Result<Self, Refusal> {
        let Verified { header, file, .. } = verified;
        check_header(&header)?;
        let sections = lay_out(&header)?;
        let control = Self { header, sections, file };
        let mut keys = [0; 32];
        for (record, offset) in control.records::<KEY_LEN>(0) {
            let key = parse_key(record, offset)?.key.bytes;
            rising(offset, keys < key)?;
            keys = key;
        }
        let mut channel = 0;
        for (record, offset) in control.records::<24>(1) {
            let rule = parse_channel(record, offset)?;
            rising(offset, channel < rule.channel)?;
            channel = rule.channel;
        }
        let mut range = (0, 0);
        for (record, offset) in control.records::<16>(2) {
            let revoked = parse_range(record, offset)?;
            rising(offset, range < (revoked.channel, revoked.epoch))?;
            range = (revoked.channel, revoked.epoch);
        }
        let mut last = None;
        for (record, offset) in control.records::<32>(3) {
            rising(offset, last < Some(record))?;
            last = Some(record);
        }
        Ok(control)
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        self.file.as_ref()
    }

    /// The keys that may sign content.
    pub fn keys(&self) -> impl Iterator<Item = ControlKey> + '_ {
        self.records::<KEY_LEN>(0).filter_map(|(record, offset)| parse_key(record, offset).ok())
    }

    /// What is asked of the files of each channel.
    pub fn channels(&self) -> impl Iterator<Item = ChannelRule> + '_ {
        self.records::<24>(1).filter_map(|(record, offset)| parse_channel(record, offset).ok())
    }

    /// The revoked ranges.
    pub fn ranges(&self) -> impl Iterator<Item = RevokedRange> + '_ {
        self.records::<16>(2).filter_map(|(record, offset)| parse_range(record, offset).ok())
    }

    /// The files that are revoked one by one.
    pub fn files(&self) -> impl Iterator<Item = FileId> + '_ {
        self.records::<32>(3).map(|(record, _)| FileId(*record))
    }

    /// The records of a section, each with its offset in the file.
    fn records<const N: usize>(&self, index: usize) -> impl Iterator<Item = (&[u8; N], u32)> {
        let range = self.sections.get(index).cloned().unwrap_or(0..0);
        let start = u32::try_from(range.start).unwrap_or(u32::MAX);
        let bytes = self.file.as_ref().get(range).unwrap_or(&[]);
        let (records, _) = bytes.as_chunks::<N>();
        let step = u32::try_from(N).unwrap_or(u32::MAX);
        let offsets = core::iter::successors(Some(start), move |at| at.checked_add(step));
        records.iter().zip(offsets)
    }
}

/// What an installation trusts: its anchor, and channel 0 if it has one.
#[derive(Debug)]
pub struct Trust<'a, B> {
    /// The keys in the binary.
    pub anchor: &'a Anchor,
    /// Channel 0.
    pub control: Option<&'a Control<B>>,
}

impl<B: AsRef<[u8]>> Trust<'_, B> {
    /// Reads the header of a file that is to be served, wherever it comes from, and judges it.
    ///
    /// # Errors
    /// As [`verify`] and [`Self::serves`].
    pub fn judge(&self, header_bytes: &[u8]) -> Result<Signed, Refusal> {
        let signed = verify(header_bytes, self)?;
        self.serves(&signed)?;
        Ok(signed)
    }

    /// Whether a signed file is one to serve, wherever it comes from.
    ///
    /// # Errors
    /// [`Code::EpochRetired`] or [`Code::Revoked`].
    pub fn serves(&self, signed: &Signed) -> Result<(), Refusal> {
        let Some(control) = self.control else { return Ok(()) };
        let Header { channel, epoch, sequence, .. } = signed.header;
        if let Some(rule) = self.rule(channel) {
            at_least(Code::EpochRetired, 28, rule.least_epoch.into(), epoch.into())?;
        }
        let range = control.ranges().find(|range| (range.channel, range.epoch) == (channel, epoch));
        if let Some(range) = range {
            let least = u64::from(range.through).saturating_add(1);
            at_least(Code::Revoked, 32, least, sequence.into())?;
        }
        match control.files().any(|file| file == signed.id) {
            true => Err(Refusal::new(Code::Revoked, 0, 0, 1)),
            false => Ok(()),
        }
    }

    /// Whether a signed file may come in, as what is to be served from now on.
    ///
    /// # Errors
    /// As [`Self::serves`]; [`Code::Halted`], [`Code::BelowFloor`] or [`Code::FewerRules`].
    pub fn admits(&self, signed: &Signed) -> Result<(), Refusal> {
        self.serves(signed)?;
        let header = &signed.header;
        let Some(rule) = self.rule(header.channel) else { return Ok(()) };
        equal(Code::Halted, 24, 0, rule.halted.into())?;
        if (header.epoch, header.sequence) < rule.floor {
            let (expected, found) = (rule.floor.1.into(), header.sequence.into());
            return Err(Refusal::new(Code::BelowFloor, 28, expected, found));
        }
        if header.may_shrink() {
            return Ok(());
        }
        at_least(Code::FewerRules, 52, rule.rules.into(), header.rule_count.into())
    }

    fn rule(&self, channel: u32) -> Option<ChannelRule> {
        self.control?.channels().find(|rule| rule.channel == channel)
    }
}

impl<B: AsRef<[u8]>> Keys for Trust<'_, B> {
    fn find(&self, id: KeyId) -> Option<Signer> {
        let known = |key: &ControlKey| key.key.id() == id;
        let control = self.control.and_then(|control| control.keys().find(known));
        let signer = control.map(|ControlKey { key, first_epoch, last_epoch }| Signer {
            key,
            first_epoch,
            last_epoch,
        });
        // What channel 0 says of a key goes before what the anchor of a test machine does.
        signer.or_else(|| Keys::find(self.anchor, id))
    }

    fn root_threshold(&self) -> u8 {
        self.anchor.root_threshold()
    }
}

fn check_header(header: &Header) -> Result<(), Refusal> {
    equal(Code::TemplateType, 36, TEMPLATE_CONTROL.into(), header.template_type.into())?;
    equal(Code::UnknownFlags, 12, 0, header.flags.into())?;
    equal(Code::SchemaVersion, 38, 0, header.schema_version.into())?;
    equal(Code::FieldsUsed, 40, 0, header.fields_used.bits())?;
    equal(Code::ApiLevel, 48, 0, header.api_level.into())?;
    equal(Code::TooMany, 52, 0, header.rule_count.into())?;
    equal(Code::StepLimit, 56, 0, header.steps_per_event)?;
    equal(Code::StepLimit, 64, 0, header.steps_per_load)
}

/// Where the sections lie: in order, without gaps, to the file's end.
fn lay_out(header: &Header) -> Result<[Range<usize>; 4], Refusal> {
    equal(Code::SectionCount, 152, 4, header.section_count.into())?;
    let limits = [MAX_CONTROL_KEYS, MAX_CONTROL_CHANNELS, MAX_REVOKED_RANGES, MAX_REVOKED_FILES];
    let mut ranges = [const { 0..0 }; 4];
    let mut entry = DIRECTORY_OFFSET;
    let mut end = 1024_u32;
    let kinds = SECTION_KINDS.into_iter().zip(RECORD_LENS).zip(limits);
    for ((section, range), ((kind, size), limit)) in
        header.sections.iter().zip(&mut ranges).zip(kinds)
    {
        let Section { kind: found, record_size, offset, length } = *section;
        equal(Code::SectionKind, entry, kind.into(), found.into())?;
        equal(Code::SectionSize, entry, size.into(), record_size.into())?;
        equal(Code::SectionSize, entry, 0, length.checked_rem(size).unwrap_or(0).into())?;
        let count = length.checked_div(size).unwrap_or(0);
        at_most(Code::TooMany, entry, limit.into(), count.into())?;
        equal(Code::SectionBounds, entry, end.into(), offset.into())?;
        end = offset.saturating_add(length);
        at_most(Code::SectionBounds, entry, header.file_length.into(), end.into())?;
        *range = section.range().unwrap_or(0..0);
        entry = entry.saturating_add(16);
    }
    equal(Code::TrailingBytes, end, end.into(), header.file_length.into())?;
    // A file that trusts nobody would lock every publisher out: that is what a halt is for.
    let keys = header.sections.first().map_or(0, |keys| keys.length);
    at_least(Code::ControlRecord, DIRECTORY_OFFSET, 1, keys.into())?;
    Ok(ranges)
}

fn parse_key(record: &[u8; KEY_LEN], offset: u32) -> Result<ControlKey, Refusal> {
    let mut reader = Reader::new(record, offset);
    let (role, flags) = (reader.u8()?, reader.u8()?);
    equal(Code::KeyRole, offset, Role::Content.number().into(), role.into())?;
    at_most(Code::UnknownFlags, offset.saturating_add(1), 1, flags.into())?;
    reader.zeros(2)?;
    let [first_channel, last_channel] = span(&mut reader, 1, u32::MAX)?;
    let [first_epoch, last_epoch] = span(&mut reader, 0, MAX_NAME_NUMBER)?;
    reader.zeros(4)?;
    let bytes = *reader.array()?;
    reader.finish()?;
    let may_block = flags == 1;
    let key = PublicKey { role: Role::Content, may_block, first_channel, last_channel, bytes };
    Ok(ControlKey { key, first_epoch, last_epoch })
}

/// A first and a last number, within bounds and in this order.
fn span(reader: &mut Reader<'_>, least: u32, greatest: u32) -> Result<[u32; 2], Refusal> {
    let offset = reader.offset();
    let (first, last) = (reader.u32()?, reader.u32()?);
    at_least(Code::ControlRecord, offset, least.into(), first.into())?;
    at_most(Code::ControlRecord, offset, last.into(), first.into())?;
    at_most(Code::NameNumber, offset, greatest.into(), last.into())?;
    Ok([first, last])
}

fn parse_channel(record: &[u8; 24], offset: u32) -> Result<ChannelRule, Refusal> {
    let mut reader = Reader::new(record, offset);
    let channel = channel(&mut reader)?;
    let least_epoch = name_number(&mut reader)?;
    let floor = (name_number(&mut reader)?, name_number(&mut reader)?);
    let at = reader.offset();
    let rules = reader.u32()?;
    at_most(Code::TooMany, at, MAX_RULES.into(), rules.into())?;
    let at = reader.offset();
    let flags = reader.u32()?;
    at_most(Code::UnknownFlags, at, FLAG_HALTED.into(), flags.into())?;
    reader.finish()?;
    Ok(ChannelRule { channel, least_epoch, floor, rules, halted: flags == FLAG_HALTED })
}

fn parse_range(record: &[u8; 16], offset: u32) -> Result<RevokedRange, Refusal> {
    let mut reader = Reader::new(record, offset);
    let channel = channel(&mut reader)?;
    let (epoch, through) = (name_number(&mut reader)?, name_number(&mut reader)?);
    reader.zeros(4)?;
    reader.finish()?;
    Ok(RevokedRange { channel, epoch, through })
}

/// A channel of content. Channel 0 is not subject to itself: only a newer one ends one.
fn channel(reader: &mut Reader<'_>) -> Result<u32, Refusal> {
    let offset = reader.offset();
    let channel = name_number(reader)?;
    at_least(Code::ControlRecord, offset, 1, channel.into())?;
    Ok(channel)
}

fn name_number(reader: &mut Reader<'_>) -> Result<u32, Refusal> {
    let offset = reader.offset();
    let number = reader.u32()?;
    at_most(Code::NameNumber, offset, MAX_NAME_NUMBER.into(), number.into())?;
    Ok(number)
}

fn rising(offset: u32, rises: bool) -> Result<(), Refusal> {
    if rises { Ok(()) } else { Err(Refusal::new(Code::OutOfOrder, offset, 1, 0)) }
}
