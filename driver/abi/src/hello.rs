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
        writer.u16(match self.interest {
            Interest::Status => 0,
            Interest::Detections => 1,
            Interest::Everything => 2,
        });
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
        let interest = match reader.u16()? {
            0 => Interest::Status,
            1 => Interest::Detections,
            2 => Interest::Everything,
            _ => return Err(Malformed::Value),
        };
        reader.finish()?;
        Ok(Self { interest })
    }
}
