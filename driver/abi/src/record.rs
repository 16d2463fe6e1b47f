//! The record in which a sensor says what it can do, as its image holds it.

use crate::wire::{Malformed, Reader, Writer};

/// Length of a [`SensorRecord`] in bytes.
pub(crate) const RECORD_LEN: usize = 64;

/// What the sensor can do for content: its API level, the fields that it supplies, its limits. The
/// bytes are those that `channel_format::profile` reads; all zero says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SensorRecord(pub [u8; RECORD_LEN]);

impl Default for SensorRecord {
    fn default() -> Self {
        Self([0; RECORD_LEN])
    }
}

impl SensorRecord {
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        writer.array(self.0);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self(reader.array()?))
    }
}
