//! Channel 0 from a text that people write: which keys sign what, and which files are over.
//!
//! ```yaml
//! keys:
//!   - {key: content-2026.pub, epochs: 1-3}        # a path, resolved by whoever reads the text
//! channels:
//!   - {channel: 291, least-epoch: 2, floor: 2-100, rules: 90, halted: false}
//! revoked:
//!   - {channel: 291, epoch: 1, through: 99999999}
//! files: [3f…]                                    # 64 hexadecimal digits, as `inspect` prints them
//! ```
//!
//! Everything but `keys` may be left out. The order is free; the file has its own.

mod edit;

use std::collections::BTreeMap;

use channel_format::control::{
    ChannelRule, Control, ControlKey, FLAG_HALTED, RECORD_LENS, RevokedRange, SECTION_KINDS,
};
use channel_format::frame::{
    FORMAT_VERSION, FileId, Header, MAGIC, TEMPLATE_CONTROL, Verified, verify,
};
use channel_format::limits::HEADER_LEN;
use channel_format::refusal::Refusal;
use channel_format::signature::{PublicKey, Role, sha512};
use miette::Diagnostic;
use serde::{Deserialize, Deserializer, de};
use thiserror::Error;

use crate::key_text::format_id;
use crate::keys::SecretKey;
use crate::sign::attach_signature;

pub use edit::{EditError, Rotation};

/// Why channel 0 could not be built.
#[derive(Debug, Error, Diagnostic)]
pub enum ControlError {
    /// The text is not of the form that is read.
    #[error("the text cannot be read: {0}")]
    #[diagnostic(code(saker::control::text), help("see docs/trust.md for the form"))]
    Text(String),
    /// The same thing is said twice.
    #[error("{0} is there twice")]
    #[diagnostic(code(saker::control::twice), help("say it once"))]
    Twice(String),
    /// The driver would refuse the file.
    #[error("the file would be refused: {0}")]
    #[diagnostic(code(saker::control::refused), help("{}", .0.code.remedy()))]
    Refused(Refusal),
}

/// The position and life of a control file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlOptions {
    /// Its epoch.
    pub epoch: u32,
    /// Its sequence.
    pub sequence: u32,
    /// When it is built, in seconds since 1970.
    pub created: u64,
    /// When it goes stale, in seconds since 1970; 0 is never.
    pub expires: u64,
}

/// What channel 0 shall say, with keys by the names that the text has for them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlSource {
    keys: Vec<KeySource>,
    #[serde(default)]
    channels: Vec<ChannelSource>,
    #[serde(default)]
    revoked: Vec<RangeSource>,
    #[serde(default)]
    files: Vec<FileSource>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeySource {
    key: String,
    epochs: Pair,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ChannelSource {
    channel: u32,
    #[serde(default)]
    least_epoch: u32,
    #[serde(default)]
    floor: Pair,
    #[serde(default)]
    rules: u32,
    #[serde(default)]
    halted: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeSource {
    channel: u32,
    epoch: u32,
    through: u32,
}

/// Two numbers, `1-3`; one number stands for both.
#[derive(Clone, Copy, Debug, Default)]
struct Pair(u32, u32);

impl<'de> Deserialize<'de> for Pair {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Words {
            One(u32),
            Two(String),
        }
        let text = match Words::deserialize(from)? {
            Words::One(number) => return Ok(Self(number, number)),
            Words::Two(text) => text,
        };
        let pair = text.split_once('-').and_then(|(first, last)| {
            Some(Self(first.trim().parse().ok()?, last.trim().parse().ok()?))
        });
        pair.ok_or_else(|| de::Error::custom(format!("`{text}` is not a pair such as 1-3")))
    }
}

#[derive(Clone, Copy, Debug)]
struct FileSource(FileId);

impl<'de> Deserialize<'de> for FileSource {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let mut id = [0; 32];
        let digits = text.as_bytes().chunks_exact(2);
        let sound = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        for (byte, digits) in id.iter_mut().zip(digits) {
            let digits = std::str::from_utf8(digits).unwrap_or("");
            *byte = u8::from_str_radix(digits, 16).unwrap_or(0);
        }
        match sound {
            true => Ok(Self(FileId(id))),
            false => Err(de::Error::custom(format!("`{text}` is not 64 hexadecimal digits"))),
        }
    }
}

impl ControlSource {
    /// Reads the text.
    ///
    /// # Errors
    /// Where it is not of the form.
    pub fn parse(text: &str) -> Result<Self, ControlError> {
        yaml_serde::from_str(text).map_err(|error| ControlError::Text(error.to_string()))
    }

    /// The names that the text has for keys, in its order.
    pub fn key_names(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.key.as_str())
    }

    /// Builds the unsigned file. `keys` are those of [`Self::key_names`].
    ///
    /// # Errors
    /// What is there twice, or what the driver would refuse the file for.
    pub fn build(
        &self,
        keys: &[PublicKey],
        options: &ControlOptions,
    ) -> Result<Vec<u8>, ControlError> {
        let keys = self.keys.iter().zip(keys).map(|(source, key)| {
            let Pair(first_epoch, last_epoch) = source.epochs;
            ControlKey { key: *key, first_epoch, last_epoch }
        });
        let channels = self.channels.iter().map(|source| ChannelRule {
            channel: source.channel,
            least_epoch: source.least_epoch,
            floor: (source.floor.0, source.floor.1),
            rules: source.rules,
            halted: source.halted,
        });
        let ranges = self.revoked.iter().map(|source| RevokedRange {
            channel: source.channel,
            epoch: source.epoch,
            through: source.through,
        });
        let content = ControlContent {
            keys: keys.collect(),
            channels: channels.collect(),
            ranges: ranges.collect(),
            files: self.files.iter().map(|FileSource(id)| *id).collect(),
        };
        content.build(options)
    }
}

/// All that a file of channel 0 says, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlContent {
    /// The keys that sign content.
    pub keys: Vec<ControlKey>,
    /// What is asked of the files of each channel.
    pub channels: Vec<ChannelRule>,
    /// The revoked ranges.
    pub ranges: Vec<RevokedRange>,
    /// The files that are revoked one by one.
    pub files: Vec<FileId>,
}

impl ControlContent {
    /// What a file says.
    pub fn of<B: AsRef<[u8]>>(control: &Control<B>) -> Self {
        Self {
            keys: control.keys().collect(),
            channels: control.channels().collect(),
            ranges: control.ranges().collect(),
            files: control.files().collect(),
        }
    }

    /// Builds the unsigned file.
    ///
    /// # Errors
    /// What is there twice, or what the driver would refuse the file for.
    pub fn build(&self, options: &ControlOptions) -> Result<Vec<u8>, ControlError> {
        let mut sections = [const { BTreeMap::<Vec<u8>, Vec<u8>>::new() }; 4];
        let [keys, channels, ranges, files] = &mut sections;
        for key in &self.keys {
            let name = || format!("the key {}", format_id(key.key.id()));
            put(keys, key.key.bytes.to_vec(), key_record(key), name)?;
        }
        for rule in &self.channels {
            let order = rule.channel.to_be_bytes().to_vec();
            put(channels, order, channel_record(rule), || format!("channel {}", rule.channel))?;
        }
        for range in &self.ranges {
            let RevokedRange { channel, epoch, .. } = *range;
            let order = [channel.to_be_bytes(), epoch.to_be_bytes()].concat();
            let name = || format!("epoch {epoch} of channel {channel}");
            put(ranges, order, range_record(range), name)?;
        }
        for id in &self.files {
            put(files, id.0.to_vec(), id.0.to_vec(), || "a revoked file".into())?;
        }
        let file =
            assemble(&sections.map(|records| records.into_values().flatten().collect()), options);
        accepted(&file).map_err(ControlError::Refused)?;
        Ok(file)
    }
}

fn put(
    records: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    order: Vec<u8>,
    record: Vec<u8>,
    what: impl FnOnce() -> String,
) -> Result<(), ControlError> {
    match records.insert(order, record) {
        None => Ok(()),
        Some(_) => Err(ControlError::Twice(what())),
    }
}

fn key_record(key: &ControlKey) -> Vec<u8> {
    let ControlKey { key, first_epoch, last_epoch } = key;
    let mut record = vec![key.role.number(), u8::from(key.may_block), 0, 0];
    for number in [key.first_channel, key.last_channel, *first_epoch, *last_epoch, 0] {
        record.extend(number.to_le_bytes());
    }
    record.extend(key.bytes);
    record
}

fn channel_record(rule: &ChannelRule) -> Vec<u8> {
    let flags = if rule.halted { FLAG_HALTED } else { 0 };
    let (epoch, sequence) = rule.floor;
    [rule.channel, rule.least_epoch, epoch, sequence, rule.rules, flags]
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect()
}

fn range_record(range: &RevokedRange) -> Vec<u8> {
    [range.channel, range.epoch, range.through, 0].into_iter().flat_map(u32::to_le_bytes).collect()
}

/// Puts header, sections and digest together.
fn assemble(sections: &[Vec<u8>; 4], options: &ControlOptions) -> Vec<u8> {
    let mut file = vec![0; HEADER_LEN];
    let mut directory = Vec::new();
    for ((bytes, kind), size) in sections.iter().zip(SECTION_KINDS).zip(RECORD_LENS) {
        directory.extend(u32::from(kind).to_le_bytes());
        directory.extend(size.to_le_bytes());
        directory.extend((file.len() as u32).to_le_bytes());
        directory.extend((bytes.len() as u32).to_le_bytes());
        file.extend(bytes);
    }
    let mut header = Vec::with_capacity(HEADER_LEN);
    header.extend(MAGIC);
    header.extend(FORMAT_VERSION.to_le_bytes());
    header.extend((HEADER_LEN as u16).to_le_bytes());
    header.extend(0_u32.to_le_bytes());
    header.extend((file.len() as u64).to_le_bytes());
    for number in [0, options.epoch, options.sequence] {
        header.extend(number.to_le_bytes());
    }
    header.extend(TEMPLATE_CONTROL.to_le_bytes());
    // No schema, fields, level, rules or steps.
    header.extend([0; 2 + 8 + 4 + 4 + 8 + 8]);
    header.extend(options.created.to_le_bytes());
    header.extend(options.expires.to_le_bytes());
    header.extend(sha512(&[&file[HEADER_LEN..]]));
    header.extend((SECTION_KINDS.len() as u16).to_le_bytes());
    header.extend([0; 6]);
    header.extend(directory);
    file[..header.len()].copy_from_slice(&header);
    file
}

/// Has the driver's own code accept the file, under a root key made for the purpose.
fn accepted(file: &[u8]) -> Result<(), Refusal> {
    use channel_format::anchor::Anchor;
    use channel_format::refusal::Code;

    Header::parse(file)?;
    let internal = Refusal::new(Code::Internal, 0, 0, 0);
    let key = SecretKey::from_seed([0; 32], Role::Root, false, 0..=0).map_err(|_| internal)?;
    let mut signed = file.to_vec();
    attach_signature(&mut signed, &key).map_err(|_| internal)?;
    let anchor = Anchor::parse(&Anchor::encode(&[key.public], 1, &[])?)?;
    let verified: Verified<_> = verify(&signed, &anchor)?.body(signed.as_slice())?;
    Control::parse(verified).map(|_| ())
}
