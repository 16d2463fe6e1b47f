//! What a crash dump says about the driver: a block of [`NOTE_LEN`] bytes that the driver keeps up
//! to date while it runs and hands to Windows when the machine goes down.
//!
//! In WinDbg `.enumtag` lists the block under [`NOTE_GUID`]. All of it is little-endian words of
//! eight bytes; `docs/crash-note.md` has the table. A block is read as it stood at the crash, so
//! that its words need not fit each other to the last event.

use crate::event::Verdict;
use crate::status::{Mode, Protection, Stage, protection_bytes, protection_of};
use crate::wire::{Malformed, Reader};

/// Names the block in a dump: `9c03ab1c-7c85-510a-41d9-f9d901469276`, as Windows lays a GUID out.
pub const NOTE_GUID: (u32, u16, u16, [u8; 8]) =
    (0x9C03_AB1C, 0x7C85, 0x510A, [0x41, 0xD9, 0xF9, 0xD9, 0x01, 0x46, 0x92, 0x76]);

/// The first word: `SKRNOTE` and the layout's version.
pub const NOTE_MAGIC: u64 = u64::from_le_bytes(*b"SKRNOTE\0");

/// Verdicts a block remembers.
pub const NOTE_VERDICTS: usize = 16;

/// Words before the verdicts.
pub const NOTE_HEAD_WORDS: usize = 12;

/// Words of one verdict.
pub const NOTE_VERDICT_WORDS: usize = 4;

/// Length of the block in bytes.
pub const NOTE_LEN: usize = (NOTE_HEAD_WORDS + NOTE_VERDICTS * NOTE_VERDICT_WORDS) * 8;

/// No rule: the rule's number where none came out other than false.
pub const NO_RULE: u32 = u32::MAX;

/// What the content worker is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It waits.
    #[default]
    Idle,
    /// It loads good content from a slot.
    Boot,
    /// It looks into the inbox.
    Look,
    /// It reads a header and checks its signatures.
    Header,
    /// It writes the attempt mark.
    Mark,
    /// It reads, hashes and parses a body.
    Body,
    /// It runs the content's own examples.
    SelfTest,
    /// It writes a slot.
    Save,
    /// It puts content into force.
    Publish,
    /// It makes content good.
    Promote,
    /// It probes its own filter.
    Probe,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 11] = [
        Self::Idle,
        Self::Boot,
        Self::Look,
        Self::Header,
        Self::Mark,
        Self::Body,
        Self::SelfTest,
        Self::Save,
        Self::Publish,
        Self::Promote,
        Self::Probe,
    ];

    /// The number in the block.
    pub const fn number(self) -> u8 {
        match self {
            Self::Idle => 0,
            Self::Boot => 1,
            Self::Look => 2,
            Self::Header => 3,
            Self::Mark => 4,
            Self::Body => 5,
            Self::SelfTest => 6,
            Self::Save => 7,
            Self::Publish => 8,
            Self::Promote => 9,
            Self::Probe => 10,
        }
    }
}

/// The state word: the sensor's state in eight bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoteState {
    /// How much the machine was protected.
    pub protection: Protection,
    /// What the service parameters asked.
    pub mode: Mode,
    /// How far the content in force had come.
    pub stage: Stage,
    /// The filter was attached.
    pub attached: bool,
}

impl NoteState {
    /// The word.
    pub const fn word(&self) -> u64 {
        let [level, loss] = protection_bytes(self.protection);
        let attached = if self.attached { 1 } else { 0 };
        u64::from_le_bytes([
            level,
            loss,
            self.mode.number(),
            self.stage.number(),
            attached,
            0,
            0,
            0,
        ])
    }

    fn read(word: u64) -> Result<Self, Malformed> {
        let [level, loss, mode, stage, attached, 0, 0, 0] = word.to_le_bytes() else {
            return Err(Malformed::Value);
        };
        Ok(Self {
            protection: protection_of(level, loss)?,
            mode: Mode::from_number(mode)?,
            stage: Stage::from_number(stage)?,
            attached: match attached {
                0 => false,
                1 => true,
                _ => return Err(Malformed::Value),
            },
        })
    }
}

/// One of the last verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoteVerdict {
    /// Number of the event.
    pub event: u64,
    /// When, in 100-nanosecond units since boot.
    pub time: u64,
    /// Epoch of the content that judged.
    pub epoch: u32,
    /// Its sequence.
    pub sequence: u32,
    /// The last rule that did not come out false, by its index; [`NO_RULE`] if there was none.
    pub rule: u32,
    /// What was decided.
    pub verdict: Verdict,
}

impl NoteVerdict {
    /// The last word: verdict and rule.
    pub fn outcome_word(verdict: Verdict, rule: u32) -> u64 {
        pair(u32::from(verdict.number()), rule)
    }
}

/// A block, read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrashNote {
    /// The driver's version: major, minor, patch.
    pub version: [u16; 3],
    /// The sensor's state when it was last composed, which is at every look of the worker.
    pub state: NoteState,
    /// Epoch of the content in force.
    pub epoch: u32,
    /// Its sequence.
    pub sequence: u32,
    /// The first bytes of the digest that its header signs.
    pub digest: [u8; 8],
    /// What the worker was at.
    pub phase: Phase,
    /// How many phases it had been through.
    pub phases: u64,
    /// Epoch of the file that was tried last.
    pub tried_epoch: u32,
    /// Its sequence.
    pub tried_sequence: u32,
    /// Number of the last event whose evaluation began.
    pub begun: u64,
    /// Number of the last event whose evaluation ended. Where it is not [`Self::begun`], an event
    /// was being judged at the crash.
    pub ended: u64,
    /// The last rule that came out other than false, and the low half of its event's number.
    pub last_rule: (u32, u32),
    /// Address of the driver's map for debuggers.
    pub map: u64,
    /// The last verdicts other than *allow*, the newest first. Those that were being written are
    /// left out.
    pub verdicts: [Option<NoteVerdict>; NOTE_VERDICTS],
}

impl CrashNote {
    /// Reads a block.
    ///
    /// # Errors
    /// [`Malformed`] for what is no block of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut word = || reader.array().map(u64::from_le_bytes);
        if word()? != NOTE_MAGIC {
            return Err(Malformed::Value);
        }
        let [m0, m1, n0, n1, p0, p1, 0, 0] = word()?.to_le_bytes() else {
            return Err(Malformed::Value);
        };
        let version = [[m0, m1], [n0, n1], [p0, p1]].map(u16::from_le_bytes);
        let state = NoteState::read(word()?)?;
        let (epoch, sequence) = halves(word()?);
        let digest = word()?.to_le_bytes();
        let phase = word()?.to_le_bytes();
        let [phase, rest @ ..] = phase;
        let phase = Phase::ALL.into_iter().find(|known| known.number() == phase);
        let [a, b, c, d, e, f, g] = rest;
        let (tried_epoch, tried_sequence) = halves(word()?);
        let (begun, ended) = (word()?, word()?);
        let last_rule = halves(word()?);
        let (count, map) = (word()?, word()?);
        let mut slots = [None; NOTE_VERDICTS];
        for slot in &mut slots {
            let (event, time) = (word()?, word()?);
            let ((epoch, sequence), (verdict, rule)) = (halves(word()?), halves(word()?));
            let verdict = u8::try_from(verdict).map_err(|_| Malformed::Value)?;
            let verdict = Verdict::from_number(verdict)?;
            // A slot that is being written has no event; so has one that was never used.
            if event != 0 {
                *slot = Some(NoteVerdict { event, time, epoch, sequence, rule, verdict });
            }
        }
        reader.finish()?;
        let mut verdicts = [None; NOTE_VERDICTS];
        let newest_first = (1..).map_while(|back| count.checked_sub(back));
        for (verdict, number) in verdicts.iter_mut().zip(newest_first) {
            *verdict = slots.get(slot_of(number)).copied().flatten();
        }
        Ok(Self {
            version,
            state,
            epoch,
            sequence,
            digest,
            phase: phase.ok_or(Malformed::Value)?,
            phases: u64::from_le_bytes([a, b, c, d, e, f, g, 0]),
            tried_epoch,
            tried_sequence,
            begun,
            ended,
            last_rule,
            map,
            verdicts,
        })
    }
}

/// The slot of the verdict with this number, counted from 0.
pub fn slot_of(number: u64) -> usize {
    const MASK: u64 = 15;
    const { assert!(NOTE_VERDICTS == 16, "the mask below") };
    usize::try_from(number & MASK).unwrap_or(0)
}

/// Two numbers in a word, the first in its high half.
pub const fn pair(high: u32, low: u32) -> u64 {
    let [a, b, c, d] = low.to_le_bytes();
    let [e, f, g, h] = high.to_le_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

const fn halves(word: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    (u32::from_le_bytes([e, f, g, h]), u32::from_le_bytes([a, b, c, d]))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use crate::Loss;

    const STATE: NoteState = NoteState {
        protection: Protection::Degraded(Loss::Stale),
        mode: Mode::Enforce,
        stage: Stage::Good,
        attached: true,
    };

    fn block(count: u64) -> Vec<u8> {
        let mut words = std::vec![
            NOTE_MAGIC,
            0x0003_0002_0001,
            STATE.word(),
            pair(4, 5),
            u64::from_le_bytes(*b"ABCDEFGH"),
            77 << 8 | u64::from(Phase::Body.number()),
            pair(6, 7),
            8,
            9,
            pair(10, 11),
            count,
            0xFFFF_F801_2345_6780,
        ];
        for (slot, event) in (0..16).zip(100_u64..) {
            // Slot 3 is being written.
            let event = if slot == 3 { 0 } else { event };
            words.extend([event, 5, pair(1, 2), NoteVerdict::outcome_word(Verdict::Block, 12)]);
        }
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn reads_what_is_there_newest_first() {
        let bytes = block(20);
        assert_eq!(bytes.len(), NOTE_LEN);
        let note = CrashNote::decode(&bytes).unwrap();
        assert_eq!((note.version, note.state), ([1, 2, 3], STATE));
        assert_eq!((note.epoch, note.sequence, &note.digest), (4, 5, b"ABCDEFGH"));
        assert_eq!((note.phase, note.phases), (Phase::Body, 77));
        assert_eq!((note.tried_epoch, note.tried_sequence), (6, 7));
        assert_eq!((note.begun, note.ended, note.last_rule), (8, 9, (10, 11)));
        assert_eq!(note.map, 0xFFFF_F801_2345_6780);
        // Verdict 19 lies in slot 3.
        let events = note.verdicts.map(|verdict| verdict.map(|verdict| verdict.event));
        assert_eq!(events[..4], [None, Some(102), Some(101), Some(100)]);
        assert_eq!(events[4], Some(115));
        let newest = note.verdicts[1].unwrap();
        let expected = NoteVerdict {
            event: 102,
            time: 5,
            epoch: 1,
            sequence: 2,
            rule: 12,
            verdict: Verdict::Block,
        };
        assert_eq!(newest, expected);
        let few = CrashNote::decode(&block(2)).unwrap();
        assert_eq!(few.verdicts.iter().flatten().count(), 2);
    }

    #[test]
    fn refuses_a_block_cut_at_every_byte_or_of_another_version() {
        let bytes = block(20);
        for len in 0..bytes.len() {
            assert!(CrashNote::decode(&bytes[..len]).is_err(), "{len}");
        }
        assert!(CrashNote::decode(&[&bytes[..], &[0]].concat()).is_err());
        for (at, value) in [(7, 1), (14, 1), (16, 9), (21, 1), (40, 99), (NOTE_LEN - 4, 99)] {
            let mut wrong = bytes.clone();
            wrong[at] = value;
            assert_eq!(CrashNote::decode(&wrong), Err(Malformed::Value), "byte {at}");
        }
    }
}
