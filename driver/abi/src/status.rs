//! The sensor's state, as facts and what follows from them.

use crate::cause::Cause;
use crate::condition::{Losses, Settings, State, Trip};
use crate::event::flag;
use crate::loss::Loss;
use crate::probe::{PROBE_LEN, Probe};
use crate::record::{RECORD_LEN, SensorRecord};
use crate::trust::{TRUST_LEN, TrustNote};
use crate::wire::{Malformed, Reader, Writer};
use crate::{HEAD_LEN, Kind, write_head};

/// Length of a status message in bytes.
pub const STATUS_LEN: usize =
    HEAD_LEN + 4 + 4 + 4 * 4 + 8 * 10 + 40 + 4 + 4 + 8 * 6 + PROBE_LEN + RECORD_LEN + NAMES_LEN + 8;
/// What is trusted, and the names of both refused files.
const NAMES_LEN: usize = TRUST_LEN + 2 * 32;

/// What is asked of the sensor's verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Judge and report, never block. The default.
    #[default]
    Observe,
    /// Judge, report, and block where content and its key may.
    Enforce,
}

impl Mode {
    /// The number in the service's parameters and on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::Observe => 1,
            Self::Enforce => 2,
        }
    }

    /// The mode with this number.
    ///
    /// # Errors
    /// [`Malformed::Value`] for a number that no mode has.
    pub const fn from_number(number: u8) -> Result<Self, Malformed> {
        Ok(match number {
            1 => Self::Observe,
            2 => Self::Enforce,
            _ => return Err(Malformed::Value),
        })
    }
}

/// How far the content in force has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// No content is in force.
    #[default]
    None,
    /// Accepted in this session and not yet good: it never blocks.
    Trial,
    /// Has been in force long and often enough, or was loaded from the good slot.
    Good,
}

impl Stage {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Trial => 1,
            Self::Good => 2,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Result<Self, Malformed> {
        Ok(match number {
            0 => Self::None,
            1 => Self::Trial,
            2 => Self::Good,
            _ => return Err(Malformed::Value),
        })
    }
}

/// How much the machine is protected. Always derived from facts, never set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Good content judges every pipe event.
    Full,
    /// Content judges, with this restriction.
    Degraded(Loss),
    /// Nothing is judged.
    None(Loss),
}

impl RefusalNote {
    /// The host status of a file whose body is struck out, because the machine went down twice
    /// while it was tried: `STATUS_DRIVER_BLOCKED_CRITICAL`, which says the same of a driver.
    pub const STRUCK: u32 = 0xC000_036B;

    /// The host status of a file whose body waits for a healthy hour: `STATUS_RETRY`.
    pub const WAITS: u32 = 0xC000_022D;

    /// True when a file stands refused.
    pub const fn stands(&self) -> bool {
        self.code != 0 || self.host_status != 0
    }

    /// All but the names, which follow at the end of the message.
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        writer.u16(self.code);
        writer.u16(self.cause.number());
        writer.u32(self.offset);
        writer.u32(self.epoch);
        writer.u32(self.sequence);
        writer.u32(self.host_status);
        writer.u32(0);
        writer.u64(self.expected);
        writer.u64(self.found);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut refusal = Self {
            code: reader.u16()?,
            cause: Cause::from_number(reader.u16()?)?,
            offset: reader.u32()?,
            epoch: reader.u32()?,
            sequence: reader.u32()?,
            host_status: reader.u32()?,
            ..Self::default()
        };
        if reader.u32()? != 0 {
            return Err(Malformed::Value);
        }
        refusal.expected = reader.u64()?;
        refusal.found = reader.u64()?;
        Ok(refusal)
    }
}

impl Default for Protection {
    fn default() -> Self {
        Self::None(Loss::NoContent)
    }
}

/// The last file the driver refused, until a newer one is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusalNote {
    /// Stable number of the refusal; 0 when nothing is refused.
    pub code: u16,
    /// Where in the file, in bytes.
    pub offset: u32,
    /// What the reader expected there.
    pub expected: u64,
    /// What it found.
    pub found: u64,
    /// Epoch in the file's name.
    pub epoch: u32,
    /// Sequence in the file's name.
    pub sequence: u32,
    /// NT status when the refusal is the host's (a file that cannot be read), else 0.
    pub host_status: u32,
    /// What that status means here.
    pub cause: Cause,
    /// The first half of the file's id, as the tools print it; zeros while its header is not signed.
    pub file: [u8; 16],
    /// The id of the key that signed it; zeros likewise.
    pub key: [u8; 16],
}

/// The sensor's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// How much the machine is protected.
    pub protection: Protection,
    /// What is asked of verdicts now.
    pub mode: Mode,
    /// How far the content in force has come.
    pub stage: Stage,
    /// The anchor holds content keys directly: a test package.
    pub test_keys: bool,
    /// The key that signed the content in force may sign blocking rules.
    pub may_block: bool,
    /// The filter is attached to the named-pipe file system.
    pub attached: bool,
    /// Channel of the content in force.
    pub channel: u32,
    /// Epoch of the content in force.
    pub epoch: u32,
    /// Sequence of the content in force.
    pub sequence: u32,
    /// Rules in force.
    pub rules: u32,
    /// Events judged since start, and how they ended.
    pub events: u64,
    /// Events a rule detected.
    pub detected: u64,
    /// Events blocked.
    pub blocked: u64,
    /// Events an exemption kept from being blocked.
    pub exempt: u64,
    /// Events with an undecided rule and no match.
    pub unknown: u64,
    /// Events that came while no content was in force.
    pub not_ready: u64,
    /// Records that found the ring full or the client stuck.
    pub dropped: u64,
    /// Files accepted since start.
    pub accepted: u64,
    /// Files refused since start.
    pub refused: u64,
    /// Looks into the inbox since start: a client that dropped a file waits for this to grow.
    pub scans: u64,
    /// The last refusal still standing.
    pub refusal: RefusalNote,
    /// What the driver is about.
    pub state: State,
    /// What tripped the fuse of the content in force.
    pub trip: Option<Trip>,
    /// Everything that keeps protection from being full.
    pub losses: Losses,
    /// The service parameters that made no sense.
    pub settings_refused: Settings,
    /// What the service parameters ask of verdicts; the next start does it again.
    pub start_mode: Mode,
    /// Operations that only a fuse that has tripped kept from being blocked.
    pub fused: u64,
    /// Events of noisy rules that were judged and counted and not told.
    pub untold: u64,
    /// Operations let through unjudged because too little stack was left.
    pub stack_low: u64,
    /// Operations let through unjudged because they came at another IRQL than PASSIVE_LEVEL, or not
    /// told because they came back at another.
    pub wrong_irql: u64,
    /// Times that something was not found out or not told for want of memory.
    pub no_memory: u64,
    /// Events judged without their pipe's name.
    pub nameless: u64,
    /// What opening a pipe of our own showed the last time.
    pub probe: Probe,
    /// What this sensor can do for content.
    pub profile: SensorRecord,
    /// Why the driver is not told when processes end, as an NT status; 0 when it is. What it keeps of
    /// them then stays until others need the room, under a key that is never given twice.
    pub unwatched: u32,
    /// What is trusted, and what is kept for the next boot.
    pub trust: TrustNote,
}

impl Status {
    /// Encodes the status as a whole message. False when `out` is not [`STATUS_LEN`] bytes long.
    #[must_use]
    pub fn encode(&self, out: &mut [u8]) -> bool {
        let mut writer = Writer::new(out);
        write_head(&mut writer, Kind::Status, STATUS_LEN);
        writer.array(protection_bytes(self.protection));
        writer.u8(self.mode.number());
        writer.u8(self.stage.number());
        let trip = self.trip.map_or(0, Trip::number);
        let (test_keys, may_block) = (u8::from(self.test_keys), u8::from(self.may_block));
        writer.array([test_keys, may_block, self.state.number(), trip]);
        for number in [self.channel, self.epoch, self.sequence, self.rules] {
            writer.u32(number);
        }
        for number in [
            self.events,
            self.detected,
            self.blocked,
            self.exempt,
            self.unknown,
            self.not_ready,
            self.dropped,
            self.accepted,
            self.refused,
            self.scans,
        ] {
            writer.u64(number);
        }
        self.refusal.write(&mut writer);
        writer.u32(self.losses.bits());
        writer.u16(self.settings_refused.bits());
        writer.array([self.start_mode.number(), u8::from(self.attached)]);
        for number in [
            self.fused,
            self.untold,
            self.stack_low,
            self.wrong_irql,
            self.no_memory,
            self.nameless,
        ] {
            writer.u64(number);
        }
        self.probe.write(&mut writer);
        self.profile.write(&mut writer);
        self.trust.write(&mut writer);
        for refusal in [&self.refusal, &self.trust.refusal] {
            writer.array(refusal.file);
            writer.array(refusal.key);
        }
        writer.u32(self.unwatched);
        writer.u32(0);
        writer.finish()
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut status = Self::default();
        let [level, loss] = reader.array()?;
        status.protection = protection_of(level, loss)?;
        status.mode = Mode::from_number(reader.u8()?)?;
        status.stage = Stage::from_number(reader.u8()?)?;
        status.test_keys = flag(reader)?;
        status.may_block = flag(reader)?;
        status.state = State::from_number(reader.u8()?)?;
        status.trip = Trip::from_number(reader.u8()?)?;
        for number in
            [&mut status.channel, &mut status.epoch, &mut status.sequence, &mut status.rules]
        {
            *number = reader.u32()?;
        }
        for number in [
            &mut status.events,
            &mut status.detected,
            &mut status.blocked,
            &mut status.exempt,
            &mut status.unknown,
            &mut status.not_ready,
            &mut status.dropped,
            &mut status.accepted,
            &mut status.refused,
            &mut status.scans,
        ] {
            *number = reader.u64()?;
        }
        status.refusal = RefusalNote::read(reader)?;
        status.losses = Losses::from_bits(reader.u32()?)?;
        status.settings_refused = Settings::from_bits(reader.u16()?)?;
        status.start_mode = Mode::from_number(reader.u8()?)?;
        status.attached = flag(reader)?;
        for number in [
            &mut status.fused,
            &mut status.untold,
            &mut status.stack_low,
            &mut status.wrong_irql,
            &mut status.no_memory,
            &mut status.nameless,
        ] {
            *number = reader.u64()?;
        }
        status.probe = Probe::read(reader)?;
        status.profile = SensorRecord::read(reader)?;
        status.trust = TrustNote::read(reader)?;
        for refusal in [&mut status.refusal, &mut status.trust.refusal] {
            refusal.file = reader.array()?;
            refusal.key = reader.array()?;
        }
        status.unwatched = reader.u32()?;
        if reader.u32()? != 0 {
            return Err(Malformed::Value);
        }
        Ok(status)
    }
}

/// Level and reason of how much the machine is protected.
pub(crate) const fn protection_bytes(protection: Protection) -> [u8; 2] {
    match protection {
        Protection::Full => [2, 0],
        Protection::Degraded(loss) => [1, loss.number()],
        Protection::None(loss) => [0, loss.number()],
    }
}

pub(crate) fn protection_of(level: u8, loss: u8) -> Result<Protection, Malformed> {
    Ok(match level {
        2 if loss == 0 => Protection::Full,
        1 => Protection::Degraded(Loss::from_number(loss)?),
        0 => Protection::None(Loss::from_number(loss)?),
        _ => return Err(Malformed::Value),
    })
}
