//! What `saker.sys` and user mode say to each other over the filter communication port.
//!
//! Every message is one fixed little-endian layout behind an 8-byte [`Head`]; a length or version
//! that does not fit is an error, never a guess. A client says what it wants to hear in the
//! [`Hello`] it passes when it connects, and may then send a [`Request`]; the driver sends the
//! [`Message`]s. Nothing here allocates or panics, and the same code encodes in the kernel and
//! decodes in user mode.
//!
//! The protocol stays at version 0 until it is frozen.

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]

mod cause;
mod condition;
pub mod crash;
mod event;
mod hello;
mod loss;
mod probe;
mod record;
mod request;
mod sid;
mod statistics;
mod status;
mod trust;
mod wire;

pub use cause::Cause;
pub use condition::{Losses, Setting, Settings, State, Trip};
pub use event::Verdict;
pub use event::{
    EVENT_LEN, EventRecord, Hit, IMAGE_UNITS, Instance, MAX_HITS, NAME_UNITS, Operation, Text,
};
pub use hello::{HELLO_LEN, Hello, Interest};
pub use loss::Loss;
pub use probe::{Probe, ProbeOutcome};
pub use record::SensorRecord;
pub use request::{ANSWER_LEN, Answer, Ask, Outcome, REQUEST_LEN, Request};
pub use sid::{SID_MAX, Sid};
pub use statistics::{
    ClientNote, LATENCY_BUCKETS, MAX_CLIENTS, MAX_SUPPRESSED, STATISTICS_LEN, Statistics,
    Suppressed,
};
pub use status::{Mode, Protection, RefusalNote, STATUS_LEN, Stage, Status};
pub use trust::{SLOTS, SlotNote, SlotState, TrustNote};
pub use wire::{Malformed, Reader, Writer};

/// Object-manager name of the driver's port; only SYSTEM and administrators may open it.
pub const PORT_NAME: &str = "\\SakerPort";

/// Version of every layout in this crate.
pub const VERSION: u16 = 0;

/// Length of [`Head`] in bytes.
pub const HEAD_LEN: usize = 8;

/// The longest message the driver sends, in bytes: what a client's buffer must hold.
pub const MESSAGE_MAX: usize = longest(&[STATUS_LEN, EVENT_LEN, ANSWER_LEN, STATISTICS_LEN]);

const fn longest(lengths: &[usize]) -> usize {
    match lengths.split_first() {
        Some((first, rest)) => {
            let other = longest(rest);
            if *first > other { *first } else { other }
        }
        None => 0,
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A [`Status`]: sent when a client connects and whenever it changes.
    Status,
    /// An [`EventRecord`]: one judged pipe event, or a part of one.
    Event,
    /// An [`Answer`] to a request.
    Answer,
    /// [`Statistics`]: sent when asked for.
    Statistics,
    /// A [`Request`], the one kind that a client sends.
    Request,
}

impl Kind {
    /// The number on the wire.
    pub const fn number(self) -> u16 {
        match self {
            Self::Status => 1,
            Self::Event => 2,
            Self::Answer => 3,
            Self::Statistics => 4,
            Self::Request => 16,
        }
    }
}

/// A decoded message from the driver.
// The large variant is the common one, and a client decodes one message at a time.
#[allow(clippy::large_enum_variant, reason = "no allocator in this crate to box with")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The sensor's state.
    Status(Status),
    /// One judged pipe event, or a part of one.
    Event(EventRecord),
    /// The answer to a request.
    Answer(Answer),
    /// What has been counted and measured.
    Statistics(Statistics),
}

impl Message {
    /// Decodes one message as it came from the port.
    ///
    /// # Errors
    /// [`Malformed`] for a short, long, unknown or differently versioned message.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (kind, mut reader) = read_head(bytes)?;
        let message = match kind {
            k if k == Kind::Status.number() => Self::Status(Status::read(&mut reader)?),
            k if k == Kind::Event.number() => Self::Event(EventRecord::read(&mut reader)?),
            k if k == Kind::Answer.number() => Self::Answer(Answer::read(&mut reader)?),
            k if k == Kind::Statistics.number() => Self::Statistics(Statistics::read(&mut reader)?),
            found => return Err(Malformed::Kind { found }),
        };
        reader.finish()?;
        Ok(message)
    }
}

/// Reads the head of a message: its kind, and what follows.
fn read_head(bytes: &[u8]) -> Result<(u16, Reader<'_>), Malformed> {
    let mut reader = Reader::new(bytes);
    let kind = reader.u16()?;
    let version = reader.u16()?;
    let length = reader.u32()?;
    if version != VERSION {
        return Err(Malformed::Version { found: version });
    }
    if u32::try_from(bytes.len()) != Ok(length) {
        return Err(Malformed::Length);
    }
    Ok((kind, reader))
}

/// Writes the head of a message of `length` bytes in all.
fn write_head(writer: &mut Writer<'_>, kind: Kind, length: usize) {
    writer.u16(kind.number());
    writer.u16(VERSION);
    // Every message is a few kilobytes at most; a length that does not fit is refused on decoding.
    writer.u32(u32::try_from(length).unwrap_or(u32::MAX));
}

#[cfg(test)]
mod tests;
