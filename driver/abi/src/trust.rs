//! What the driver trusts, and what it keeps for the next boot.

use crate::event::flag;
use crate::status::RefusalNote;
use crate::wire::{Malformed, Reader, Writer};

/// Slots that content is kept in.
pub const SLOTS: usize = 3;
/// Length of a [`TrustNote`] in bytes.
pub(crate) const TRUST_LEN: usize = 4 + 5 * 4 + SLOTS * 48 + 40;

/// What a slot is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlotState {
    /// There is nothing in it, or it has not been looked at.
    #[default]
    Empty,
    /// It may serve.
    Ready,
    /// A session ended while it was in force: it waits for a healthy hour.
    Waits,
    /// Two did: it is struck out.
    Struck,
    /// It is damaged or no longer trusted; the note's code says how.
    Refused,
}

impl SlotState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Empty, Self::Ready, Self::Waits, Self::Struck, Self::Refused];

    /// The word used in logs and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Ready => "ready",
            Self::Waits => "waits",
            Self::Struck => "struck",
            Self::Refused => "refused",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Empty => 0,
            Self::Ready => 1,
            Self::Waits => 2,
            Self::Struck => 3,
            Self::Refused => 4,
        }
    }

    fn from_number(number: u8) -> Result<Self, Malformed> {
        let found = Self::ALL.into_iter().find(|state| state.number() == number);
        found.ok_or(Malformed::Value)
    }
}

/// One slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotNote {
    /// What it is worth.
    pub state: SlotState,
    /// Why it is refused, as the number of a refusal.
    pub code: u16,
    /// Epoch of the content.
    pub epoch: u32,
    /// Its sequence.
    pub sequence: u32,
    /// The first half of its id, as the tools print it.
    pub file: [u8; 16],
    /// The id of the key that signed it.
    pub key: [u8; 16],
}

/// What the driver trusts, and what it keeps for the next boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrustNote {
    /// Channel 0 is in force.
    pub control: bool,
    /// It says that nothing new comes in.
    pub halted: bool,
    /// Its epoch.
    pub control_epoch: u32,
    /// Its sequence.
    pub control_sequence: u32,
    /// Epoch of the newest content that was good here: older does not come in.
    pub floor_epoch: u32,
    /// Its sequence.
    pub floor_sequence: u32,
    /// Its rules: fewer do not come in, unless the file says that it shrinks.
    pub floor_rules: u32,
    /// The slots `good`, `previous` and `trial`.
    pub slots: [SlotNote; SLOTS],
    /// The refusal of a file of channel 0 that still stands.
    pub refusal: RefusalNote,
}

impl TrustNote {
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        writer.array([u8::from(self.control), u8::from(self.halted), 0, 0]);
        for number in [
            self.control_epoch,
            self.control_sequence,
            self.floor_epoch,
            self.floor_sequence,
            self.floor_rules,
        ] {
            writer.u32(number);
        }
        for slot in &self.slots {
            writer.array([slot.state.number(), 0]);
            writer.u16(slot.code);
            writer.u32(slot.epoch);
            writer.u32(slot.sequence);
            writer.u32(0);
            writer.array(slot.file);
            writer.array(slot.key);
        }
        self.refusal.write(writer);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut note = Self { control: flag(reader)?, halted: flag(reader)?, ..Self::default() };
        zero(reader.u16()?.into())?;
        for number in [
            &mut note.control_epoch,
            &mut note.control_sequence,
            &mut note.floor_epoch,
            &mut note.floor_sequence,
            &mut note.floor_rules,
        ] {
            *number = reader.u32()?;
        }
        for slot in &mut note.slots {
            slot.state = SlotState::from_number(reader.u8()?)?;
            zero(reader.u8()?.into())?;
            slot.code = reader.u16()?;
            slot.epoch = reader.u32()?;
            slot.sequence = reader.u32()?;
            zero(reader.u32()?)?;
            slot.file = reader.array()?;
            slot.key = reader.array()?;
        }
        note.refusal = RefusalNote::read(reader)?;
        Ok(note)
    }
}

const fn zero(number: u32) -> Result<(), Malformed> {
    if number == 0 { Ok(()) } else { Err(Malformed::Value) }
}
