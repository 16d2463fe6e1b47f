//! What a sensor can do for content, and the record in which it says so.
//!
//! # Format
//! 64 bytes, in the section `.profile` of `saker.sys` and in its status: magic `SKRPROFL`, version
//! u16 = 0, format version u16, schema version u16, zero u16, API level u32, rules u32, supplied
//! fields u64 (bit n is field n), file length u64, steps an event u64, steps a load u64, zero u64.
//! The numbers behind the API level but for the fields are the most that the sensor takes.
//!
//! # Use case
//! Whoever makes content asks what *that* sensor would do with it, the one that is out there, and
//! not the one that was built last.

use core::fmt;

use crate::frame::{FORMAT_VERSION, Header, at_most, equal};
use crate::limits::{MAX_ACTIVE, MAX_RULES, MAX_STEPS_PER_EVENT, MAX_STEPS_PER_LOAD, PROFILE_LEN};
use crate::reader::Reader;
use crate::refusal::{Code, Refusal};
use crate::schema::{Field, FieldSet, SCHEMA_VERSION};

pub use crate::limits::PROFILE_LEN as LEN;

const MAGIC: &[u8; 8] = b"SKRPROFL";
const VERSION: u16 = 0;

/// What a sensor can do for content: checked when content is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SensorProfile {
    /// The one version of the format that it reads.
    pub format_version: u16,
    /// The schema's version.
    pub schema_version: u16,
    /// The sensor's API level; content may ask for this one or a lower one.
    pub api_level: u32,
    /// The fields the sensor supplies.
    pub supplied: FieldSet,
    /// Rules in one file.
    pub max_rules: u32,
    /// Bytes of one file.
    pub max_file: u64,
    /// Steps that one event may cost.
    pub max_steps_per_event: u64,
    /// Steps that the self test of one load may cost.
    pub max_steps_per_load: u64,
}

impl SensorProfile {
    /// Today's driver.
    pub const CURRENT: Self = Self {
        format_version: FORMAT_VERSION,
        schema_version: SCHEMA_VERSION,
        api_level: 1,
        supplied: FieldSet::EMPTY
            .with(Field::Operation)
            .with(Field::PipeName)
            .with(Field::ImagePath)
            .with(Field::ImageName)
            .with(Field::User)
            .with(Field::Integrity)
            .with(Field::Elevation)
            .with(Field::Session)
            .with(Field::ProcessId)
            .with(Field::RemoteOrigin)
            .with(Field::Impersonating)
            .with(Field::DesiredAccess)
            .with(Field::CreateOptions)
            .with(Field::Disposition)
            .with(Field::Direction)
            .with(Field::PipeType)
            .with(Field::ReadMode)
            .with(Field::RejectRemote)
            .with(Field::MaxInstances)
            .with(Field::InboundQuota)
            .with(Field::OutboundQuota)
            .with(Field::DefaultTimeout),
        max_rules: MAX_RULES,
        max_file: wide(MAX_ACTIVE),
        max_steps_per_event: MAX_STEPS_PER_EVENT,
        max_steps_per_load: MAX_STEPS_PER_LOAD,
    };

    /// A sensor that supplies every field: what the schema allows, for tests and tools.
    pub const FULL: Self = Self { supplied: FieldSet::ALL, ..Self::CURRENT };

    /// The record that [`Self::parse`] reads.
    pub const fn record(&self) -> [u8; PROFILE_LEN] {
        let mut bytes = [0; PROFILE_LEN];
        let out = put(&mut bytes, MAGIC);
        let out = put(out, &VERSION.to_le_bytes());
        let out = put(out, &self.format_version.to_le_bytes());
        let out = put(out, &self.schema_version.to_le_bytes());
        let out = put(out, &[0; 2]);
        let out = put(out, &self.api_level.to_le_bytes());
        let out = put(out, &self.max_rules.to_le_bytes());
        let out = put(out, &self.supplied.bits().to_le_bytes());
        let out = put(out, &self.max_file.to_le_bytes());
        let out = put(out, &self.max_steps_per_event.to_le_bytes());
        put(out, &self.max_steps_per_load.to_le_bytes());
        bytes
    }

    /// Reads a sensor's record.
    ///
    /// Fields of another schema have no meaning here and are left out: nothing of this schema is
    /// for such a sensor anyway.
    ///
    /// # Errors
    /// What is wrong with it: it is of another version, or no record at all.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProfileError> {
        let Some(bytes) = bytes.first_chunk::<PROFILE_LEN>().filter(|_| bytes.len() == PROFILE_LEN)
        else {
            return Err(ProfileError::Length { found: bytes.len() });
        };
        let mut reader = Reader::new(bytes, 0);
        if reader.array()? != MAGIC {
            return Err(ProfileError::Magic);
        }
        let version = reader.u16()?;
        if version != VERSION {
            return Err(ProfileError::Version { found: version });
        }
        let (format_version, schema_version) = (reader.u16()?, reader.u16()?);
        reader.zeros(2)?;
        let (api_level, max_rules) = (reader.u32()?, reader.u32()?);
        let bits = reader.u64()?;
        let known = bits & FieldSet::ALL.bits();
        if schema_version == SCHEMA_VERSION && known != bits {
            return Err(ProfileError::Fields { found: bits });
        }
        let supplied = FieldSet::from_bits(known).unwrap_or_default();
        let (max_file, max_steps_per_event) = (reader.u64()?, reader.u64()?);
        let max_steps_per_load = reader.u64()?;
        reader.zeros(8)?;
        reader.finish()?;
        Ok(Self {
            format_version,
            schema_version,
            api_level,
            supplied,
            max_rules,
            max_file,
            max_steps_per_event,
            max_steps_per_load,
        })
    }

    /// Whether a header keeps to what the sensor reads and takes, as far as that sensor may differ
    /// from this program: the rest [`Header::parse`] has checked, and the ruleset's check will.
    ///
    /// # Errors
    /// What that sensor's own check of the header would say.
    pub fn reads(&self, header: &Header) -> Result<(), Refusal> {
        equal(Code::FormatVersion, 8, self.format_version.into(), FORMAT_VERSION.into())?;
        at_most(Code::TooMany, 52, self.max_rules.into(), header.rule_count.into())?;
        at_most(Code::StepLimit, 56, self.max_steps_per_event, header.steps_per_event)?;
        at_most(Code::StepLimit, 64, self.max_steps_per_load, header.steps_per_load)
    }
}

/// Why bytes are no record of a sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileError {
    /// The record has another length.
    Length {
        /// Its length.
        found: usize,
    },
    /// The record does not begin as one does.
    Magic,
    /// The record is of another version.
    Version {
        /// Its version.
        found: u16,
    },
    /// The record names fields that the schema which it names does not have.
    Fields {
        /// Its fields.
        found: u64,
    },
    /// A reserved byte is not zero.
    Reserved(Refusal),
}

impl From<Refusal> for ProfileError {
    fn from(refusal: Refusal) -> Self {
        Self::Reserved(refusal)
    }
}

impl fmt::Display for ProfileError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { found } => {
                write!(out, "a sensor's record has {PROFILE_LEN} bytes, this one {found}")
            }
            Self::Magic => write!(out, "a sensor's record begins with SKRPROFL, this one does not"),
            Self::Version { found } => {
                write!(out, "a sensor's record of version {VERSION} was expected, found {found}")
            }
            Self::Fields { found } => write!(
                out,
                "schema {SCHEMA_VERSION} has the fields {:#x}, the sensor's record says {found:#x}",
                FieldSet::ALL.bits()
            ),
            Self::Reserved(refusal) => write!(out, "a sensor's record is malformed: {refusal}"),
        }
    }
}

impl core::error::Error for ProfileError {}

const fn put<'a, const N: usize>(out: &'a mut [u8], bytes: &[u8; N]) -> &'a mut [u8] {
    match out.split_first_chunk_mut::<N>() {
        Some((slot, rest)) => {
            *slot = *bytes;
            rest
        }
        None => &mut [],
    }
}

const fn wide(number: u32) -> u64 {
    let [a, b, c, d] = number.to_le_bytes();
    u64::from_le_bytes([a, b, c, d, 0, 0, 0, 0])
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let odd = SensorProfile {
            format_version: 0x0102,
            schema_version: SCHEMA_VERSION,
            api_level: 0x0304_0506,
            supplied: FieldSet::EMPTY.with(Field::User),
            max_rules: 0x0708_090a,
            max_file: 0x0b0c_0d0e_0f10_1112,
            max_steps_per_event: 0x1314_1516_1718_191a,
            max_steps_per_load: 0x1b1c_1d1e_1f20_2122,
        };
        for profile in [SensorProfile::CURRENT, SensorProfile::FULL, odd] {
            assert_eq!(SensorProfile::parse(&profile.record()), Ok(profile));
        }
        // The last number has its place.
        assert_eq!(odd.record()[48..56], odd.max_steps_per_load.to_le_bytes());
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let good = SensorProfile::CURRENT.record();
        for cut in 0..good.len() {
            let error = SensorProfile::parse(&good[..cut]).unwrap_err();
            assert_eq!(error, ProfileError::Length { found: cut });
        }
        assert!(SensorProfile::parse(&[&good[..], &[0]].concat()).is_err());
        let changed = |at: usize, byte: u8| {
            let mut bytes = good;
            bytes[at] = byte;
            SensorProfile::parse(&bytes)
        };
        assert_eq!(changed(0, b'M'), Err(ProfileError::Magic));
        assert_eq!(changed(8, 1), Err(ProfileError::Version { found: 1 }));
        assert!(matches!(changed(14, 1), Err(ProfileError::Reserved(_))));
        assert!(matches!(changed(63, 1), Err(ProfileError::Reserved(_))));
        let error = changed(31, 0x80).unwrap_err();
        assert!(matches!(error, ProfileError::Fields { .. }), "{error:?}");
        assert!(error.to_string().contains("0x80"), "{error}");
        // A sensor of another schema may have fields that this one does not.
        let mut other = good;
        (other[12], other[31]) = (9, 0x80);
        assert_eq!(SensorProfile::parse(&other).map(|profile| profile.schema_version), Ok(9));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        for byte in 0..=u8::MAX {
            for at in 0..PROFILE_LEN {
                let mut bytes = SensorProfile::CURRENT.record();
                bytes[at] = byte;
                if let Ok(profile) = SensorProfile::parse(&bytes) {
                    assert!(profile.record() == bytes || profile.schema_version != SCHEMA_VERSION);
                }
            }
        }
    }
}
