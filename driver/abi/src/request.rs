//! What a client asks of the driver, and the driver's answer.
//!
//! A client sends a [`Request`] with a number of its own choice. The driver only takes it in; what
//! it did comes as an [`Answer`] with the same number, behind whatever the request asked to hear.

use crate::wire::{Malformed, Reader, Writer};
use crate::{HEAD_LEN, Kind, Mode, read_head, write_head};

/// Length of a [`Request`] in bytes.
pub const REQUEST_LEN: usize = HEAD_LEN + 8 + 8;

/// Length of an [`Answer`] in bytes.
pub const ANSWER_LEN: usize = HEAD_LEN + 8 + 8;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Send the status.
    Status,
    /// Send the statistics.
    Statistics,
    /// Look into the inbox now. Answered when that look has ended.
    Reload,
    /// Change the mode, until the driver is started again.
    SetMode(Mode),
    /// Forget which bodies are not tried any more, and look into the inbox.
    ClearQuarantine,
    /// Let the content in force block again, after its fuse has tripped.
    ResetFuse,
}

impl Ask {
    const fn numbers(self) -> (u16, u8) {
        match self {
            Self::Status => (1, 0),
            Self::Statistics => (2, 0),
            Self::Reload => (3, 0),
            Self::SetMode(Mode::Observe) => (4, 1),
            Self::SetMode(Mode::Enforce) => (4, 2),
            Self::ClearQuarantine => (5, 0),
            Self::ResetFuse => (6, 0),
        }
    }

    const fn from_numbers(kind: u16, mode: u8) -> Result<Self, Malformed> {
        Ok(match (kind, mode) {
            (1, 0) => Self::Status,
            (2, 0) => Self::Statistics,
            (3, 0) => Self::Reload,
            (4, 1) => Self::SetMode(Mode::Observe),
            (4, 2) => Self::SetMode(Mode::Enforce),
            (5, 0) => Self::ClearQuarantine,
            (6, 0) => Self::ResetFuse,
            _ => return Err(Malformed::Value),
        })
    }

    fn write(self, writer: &mut Writer<'_>) {
        let (kind, mode) = self.numbers();
        writer.u16(kind);
        writer.array([mode, 0]);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let kind = reader.u16()?;
        let [mode, zero] = reader.array()?;
        if zero != 0 {
            return Err(Malformed::Value);
        }
        Self::from_numbers(kind, mode)
    }
}

/// One message from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The client's own number for it, which the answer repeats.
    pub id: u64,
    /// What is asked.
    pub ask: Ask,
}

impl Request {
    /// The bytes to send.
    pub fn encode(&self) -> [u8; REQUEST_LEN] {
        let mut bytes = [0; REQUEST_LEN];
        let mut writer = Writer::new(&mut bytes);
        write_head(&mut writer, Kind::Request, REQUEST_LEN);
        writer.u64(self.id);
        self.ask.write(&mut writer);
        writer.u32(0);
        bytes
    }

    /// Reads a message from a client.
    ///
    /// # Errors
    /// [`Malformed`] for anything but a request of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (kind, mut reader) = read_head(bytes)?;
        if kind != Kind::Request.number() {
            return Err(Malformed::Kind { found: kind });
        }
        let request = Self { id: reader.u64()?, ask: Ask::read(&mut reader)? };
        if reader.u32()? != 0 {
            return Err(Malformed::Value);
        }
        reader.finish()?;
        Ok(request)
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// The machine has not been up for a minute: the inbox is not looked into yet.
    TooEarly,
    /// The state folder could not be read or written.
    NoState,
    /// The inbox could not be read.
    NoInbox,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Done, Self::TooEarly, Self::NoState, Self::NoInbox];

    /// The word used in logs and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::TooEarly => "too_early",
            Self::NoState => "no_state",
            Self::NoInbox => "no_inbox",
        }
    }

    const fn number(self) -> u16 {
        match self {
            Self::Done => 0,
            Self::TooEarly => 1,
            Self::NoState => 2,
            Self::NoInbox => 3,
        }
    }

    const fn from_number(number: u16) -> Result<Self, Malformed> {
        Ok(match number {
            0 => Self::Done,
            1 => Self::TooEarly,
            2 => Self::NoState,
            3 => Self::NoInbox,
            _ => return Err(Malformed::Value),
        })
    }
}

/// The driver's answer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The request's number.
    pub id: u64,
    /// What was asked.
    pub ask: Ask,
    /// What became of it.
    pub outcome: Outcome,
}

impl Answer {
    /// Encodes the answer as a whole message. False when `out` is not [`ANSWER_LEN`] bytes long.
    #[must_use]
    pub fn encode(&self, out: &mut [u8]) -> bool {
        let mut writer = Writer::new(out);
        write_head(&mut writer, Kind::Answer, ANSWER_LEN);
        writer.u64(self.id);
        self.ask.write(&mut writer);
        writer.u16(self.outcome.number());
        writer.u16(0);
        writer.finish()
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let answer = Self {
            id: reader.u64()?,
            ask: Ask::read(reader)?,
            outcome: Outcome::from_number(reader.u16()?)?,
        };
        if reader.u16()? != 0 {
            return Err(Malformed::Value);
        }
        Ok(answer)
    }
}
