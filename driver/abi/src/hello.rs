//! What a client says when it connects.

use crate::VERSION;
use crate::wire::{Malformed, Reader, Writer};

/// Length of a [`Hello`] in bytes.
pub const HELLO_LEN: usize = 8;

const MAGIC: u32 = u32::from_le_bytes(*b"SKR?");

/// How much a client wants to hear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interest {
    /// Status only.
    #[default]
    Status,
    /// Status, and every event that a rule detected, blocked or could not decide.
    Detections,
    /// Status and every judged event. Dear: meant for replays and debugging.
    Everything,
}

impl Interest {
    /// The word used in logs and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Detections => "detections",
            Self::Everything => "everything",
        }
    }

    pub(crate) const fn number(self) -> u16 {
        match self {
            Self::Status => 0,
            Self::Detections => 1,
            Self::Everything => 2,
        }
    }

    pub(crate) const fn from_number(number: u16) -> Result<Self, Malformed> {
        Ok(match number {
            0 => Self::Status,
            1 => Self::Detections,
            2 => Self::Everything,
            _ => return Err(Malformed::Value),
        })
    }
}

/// The connection context a client passes: who it takes the driver for, and what it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// How much the client wants to hear.
    pub interest: Interest,
}

impl Hello {
    /// The bytes to pass as connection context.
    pub fn encode(self) -> [u8; HELLO_LEN] {
        let mut bytes = [0; HELLO_LEN];
        let mut writer = Writer::new(&mut bytes);
        writer.u32(MAGIC);
        writer.u16(VERSION);
        writer.u16(self.interest.number());
        bytes
    }

    /// Reads a connection context; the driver refuses the connection when this fails.
    ///
    /// # Errors
    /// [`Malformed`] for anything but a hello of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u32()? != MAGIC {
            return Err(Malformed::Value);
        }
        let version = reader.u16()?;
        if version != VERSION {
            return Err(Malformed::Version { found: version });
        }
        let interest = Interest::from_number(reader.u16()?)?;
        reader.finish()?;
        Ok(Self { interest })
    }
}
