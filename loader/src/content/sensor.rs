//! What one sensor can do: read from its driver, from its status, or from a saved profile.
//!
//! A driver says it in the record of its section `.profile`, and whom it trusts in `.anchor`. A
//! status and a saved profile hold the same as JSON, without the keys.

use std::path::Path;

use channel_format::anchor::Anchor;
use channel_format::limits::{ANCHOR_LEN, PROFILE_LEN};
use channel_format::profile::{ProfileError, SensorProfile};
use channel_format::refusal::{Code, Refusal};
use channel_format::schema::{Field, FieldSet, SCHEMA_VERSION};
use object::LittleEndian as LE;
use object::read::pe::PeFile64;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Error, files};

/// No driver and no status comes near this; what is longer is not read.
const MAX_SOURCE: u64 = 16 * 1024 * 1024;
const PROFILE_NAME: [u8; 8] = *b".profile";
const ANCHOR_NAME: [u8; 8] = *b".anchor\0";

/// A sensor, as far as content needs to know it.
#[derive(Debug, Clone)]
pub struct Sensor {
    /// What it can do.
    pub profile: SensorProfile,
    /// Whom it trusts; `None` if that is not known, or if it trusts nobody yet.
    pub anchor: Option<Anchor>,
}

impl Sensor {
    /// The driver of this version, as it is built.
    pub const CURRENT: Self = Self { profile: SensorProfile::CURRENT, anchor: None };

    /// Reads a driver, a status or a saved profile.
    ///
    /// # Errors
    /// The file cannot be read, or is none of them.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = files::read_at_most(path, MAX_SOURCE)?;
        let sensor = match bytes.first_chunk() {
            Some(b"MZ") => Self::of_driver(&bytes),
            _ => Self::of_json(&bytes),
        };
        sensor.map_err(|source| Error::Sensor { path: path.to_owned(), source })
    }

    /// [`Self::read`], or this version's driver if no file is given.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_or_current(path: Option<&Path>) -> Result<Self, Error> {
        path.map_or(Ok(Self::CURRENT), Self::read)
    }

    fn of_driver(bytes: &[u8]) -> Result<Self, SensorError> {
        let image = |error: object::Error| SensorError::Image(error.to_string());
        let file = PeFile64::parse(bytes).map_err(image)?;
        let section = |name: [u8; 8], length: usize| {
            let found = file.section_table().iter().find(|section| section.name == name)?;
            let start = usize::try_from(found.pointer_to_raw_data.get(LE)).ok()?;
            bytes.get(start..start.checked_add(length)?)
        };
        let record = section(PROFILE_NAME, PROFILE_LEN).ok_or(SensorError::NoProfile)?;
        let profile = SensorProfile::parse(record)?;
        let anchor = section(ANCHOR_NAME, ANCHOR_LEN).ok_or(SensorError::NoAnchor)?;
        match Anchor::parse(anchor) {
            Ok(anchor) => Ok(Self { profile, anchor: Some(anchor) }),
            // As linked: it is stamped when it is packaged.
            Err(Refusal { code: Code::NoAnchor, .. }) => Ok(Self { profile, anchor: None }),
            Err(refusal) => Err(SensorError::Anchor(refusal)),
        }
    }

    fn of_json(bytes: &[u8]) -> Result<Self, SensorError> {
        let json: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|_| SensorError::Nothing)?;
        let profile = json.get("profile").unwrap_or(&json).clone();
        let written: Written = serde_json::from_value(profile)
            .map_err(|error| SensorError::Json(error.to_string()))?;
        Ok(Self { profile: written.profile()?, anchor: None })
    }
}

/// A profile as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    format_version: u16,
    schema_version: u16,
    api_level: u32,
    supplied: Vec<String>,
    max_rules: u32,
    max_file: u64,
    max_steps_per_event: u64,
    max_steps_per_load: u64,
}

impl Written {
    /// A profile in this form.
    pub fn of(profile: &SensorProfile) -> Self {
        Self {
            format_version: profile.format_version,
            schema_version: profile.schema_version,
            api_level: profile.api_level,
            supplied: profile.supplied.iter().map(|field| field.name().to_owned()).collect(),
            max_rules: profile.max_rules,
            max_file: profile.max_file,
            max_steps_per_event: profile.max_steps_per_event,
            max_steps_per_load: profile.max_steps_per_load,
        }
    }

    fn profile(&self) -> Result<SensorProfile, SensorError> {
        let mut supplied = FieldSet::EMPTY;
        for name in &self.supplied {
            match Field::ALL.into_iter().find(|field| field.name() == name) {
                Some(field) => supplied = supplied.with(field),
                // Fields of another schema have no meaning here, as in the driver's record.
                None if self.schema_version != SCHEMA_VERSION => {}
                None => return Err(SensorError::Json(format!("no field is called `{name}`"))),
            }
        }
        Ok(SensorProfile {
            format_version: self.format_version,
            schema_version: self.schema_version,
            api_level: self.api_level,
            supplied,
            max_rules: self.max_rules,
            max_file: self.max_file,
            max_steps_per_event: self.max_steps_per_event,
            max_steps_per_load: self.max_steps_per_load,
        })
    }
}

/// Why a file does not say what a sensor can do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SensorError {
    /// It is neither an image nor JSON.
    #[error("neither a driver nor JSON")]
    Nothing,
    /// It begins as an image does and is none.
    #[error("no 64-bit Windows image: {0}")]
    Image(String),
    /// The image does not say what it can do.
    #[error("the image has no section .profile, so it does not say what it can do")]
    NoProfile,
    /// The image has no place for keys.
    #[error("the image has no section .anchor, so it is no driver of Saker's")]
    NoAnchor,
    /// The image's keys cannot be read.
    #[error("the image's keys cannot be read: {0}")]
    Anchor(Refusal),
    /// The image's record cannot be read.
    #[error(transparent)]
    Record(#[from] ProfileError),
    /// The JSON is of another form.
    #[error("no profile: {0}")]
    Json(String),
}

impl SensorError {
    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::NoProfile | Self::NoAnchor | Self::Image(_) => {
                "give the saker.sys that runs there; one that is older than this cannot be asked"
            }
            Self::Anchor(_) => "stamp the driver again with `sakerctl machine stamp`",
            Self::Record(_) => "use the sakerctl of that driver's version",
            Self::Nothing | Self::Json(_) => {
                "give a saker.sys, the output of `sakerctl status --json`, or that of \
                 `sakerctl content profile`"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(profile: &SensorProfile) -> serde_json::Value {
        serde_json::to_value(Written::of(profile)).unwrap()
    }

    fn read(json: &serde_json::Value) -> Result<SensorProfile, SensorError> {
        Sensor::of_json(json.to_string().as_bytes()).map(|sensor| sensor.profile)
    }

    #[test]
    fn a_profile_is_read_as_it_was_written_alone_or_in_a_status() {
        for profile in [SensorProfile::CURRENT, SensorProfile::FULL] {
            assert_eq!(read(&json(&profile)), Ok(profile));
            let status = serde_json::json!({"kind": "status", "profile": json(&profile)});
            assert_eq!(read(&status), Ok(profile));
        }
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        assert!(matches!(Sensor::of_json(b"no"), Err(SensorError::Nothing)));
        assert!(matches!(read(&serde_json::json!({"kind": "event"})), Err(SensorError::Json(_))));
        let mut other = json(&SensorProfile::CURRENT);
        other["supplied"][0] = "Nonsense".into();
        let error = read(&other).unwrap_err();
        assert!(error.to_string().contains("Nonsense"), "{error}");
        // A later schema may have such a field.
        other["schema_version"] = 9.into();
        assert_eq!(read(&other).map(|profile| profile.schema_version), Ok(9));
        other["more"] = 1.into();
        assert!(matches!(read(&other), Err(SensorError::Json(_))));
    }

    #[test]
    fn an_image_that_is_cut_or_another_s_is_refused() {
        assert!(matches!(Sensor::of_driver(b"MZ"), Err(SensorError::Image(_))));
        let mut image = include_bytes!("sensor.rs").to_vec();
        image[..2].copy_from_slice(b"MZ");
        assert!(matches!(Sensor::of_driver(&image), Err(SensorError::Image(_))));
    }
}
