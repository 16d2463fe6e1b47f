//! What survives a session: who is to blame if it ends without a word, and what was counted before.
//!
//! Before one byte of a new file's body is interpreted, a mark that names the body is made durable
//! here; so is one that names the good content in force, once a boot's first minute is over. The
//! mark is taken back when the session ends in order. A driver that starts and finds one knows that
//! the machine went down, whatever the cause; what it makes of that is said in [`crate::ladder`].
//!
//! The journal is one small record in two copies, written in turn, each with a counter and a
//! checksum: a write that a power cut tears leaves the other copy.
//!
//! ```text
//!   0  8  magic "SKRJRNL\0"          40  8 × 16  bodies counted against, newest first, zero = free
//!   8  2  version 0                 168  8 × 1   how often each of them was
//!  10  2  flags, see below          176  8 × 1   flags of each, see below
//!  12  4  number of the boot        184  3 × 4   floor: epoch, sequence, rules
//!  16  8  counter                   196  2 × 4   channel 0: epoch, sequence
//!  24 16  body that the mark names  204  4       zero
//!                                   208  8       FNV-1a 64 of bytes 0..208
//! ```
//! Flags of the record: 1 a mark is open, 2 the session was healthy, 4 the driver was started at boot,
//! 8 channel 0 is known. Flags of a body: 1 it took down a session
//! that had been healthy, 2 it waits for a healthy hour, 4 it was tried again after it was struck.

use channel_format::frame::Header;
use channel_format::refusal::{Code, Refusal};

use crate::Position;

/// Length of a journal record in bytes.
pub const JOURNAL_LEN: usize = 216;
/// The two copies' file names in the state folder.
pub const FILE_NAMES: [&str; 2] = ["journal-a.bin", "journal-b.bin"];
/// Bodies remembered; the one counted against longest ago is forgotten first.
pub const MAX_BODIES: usize = 8;
/// Sessions a body may end before it is struck out.
pub const MAX_LOSSES: u8 = 2;

const MAGIC: [u8; 8] = *b"SKRJRNL\0";
const SUMMED: usize = JOURNAL_LEN - 8;

const OPEN: u16 = 1;
const HEALTHY: u16 = 2;
const AT_BOOT: u16 = 4;
const CONTROL: u16 = 8;
const LATE: u8 = 1;
const WAITS: u8 = 2;
const RETRIED: u8 = 4;

/// Names a body: the first 16 bytes of its SHA-512.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BodyId(pub [u8; 16]);

impl BodyId {
    pub(crate) const FREE: Self = Self([0; 16]);

    /// The name of the body with this SHA-512.
    pub fn of(digest: &[u8; 64]) -> Self {
        digest.first_chunk().map_or(Self::FREE, |head| Self(*head))
    }
}

/// Whose fault it is if the session ends without another word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The body that is being tried or in force.
    pub body: BodyId,
    /// It was in force for an hour of this session.
    pub healthy: bool,
}

impl Mark {
    /// Of a body that is new.
    pub const fn new(body: BodyId) -> Self {
        Self { body, healthy: false }
    }
}

/// Which session it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Start {
    /// The number of the boot, which rises with each attempt to boot, also one that came to nothing.
    pub boot: u32,
    /// The driver was started while the machine booted, and not by hand.
    pub at_boot: bool,
}

/// What a file must not be below to come in: what was good here before. Rises with content that
/// becomes good, and never falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Floor {
    /// The newest content that was good.
    pub position: Position,
    /// How many rules it had.
    pub rules: u32,
}

impl Floor {
    /// Whether a file may come in.
    ///
    /// # Errors
    /// [`Code::BelowFloor`]; [`Code::FewerRules`] unless the file says that it shrinks.
    pub fn admits(&self, header: &Header) -> Result<(), Refusal> {
        let Position { epoch, sequence } = self.position;
        if (header.epoch, header.sequence) < (epoch, sequence) {
            let found = header.sequence.into();
            return Err(Refusal::new(Code::BelowFloor, 28, sequence.into(), found));
        }
        if header.rule_count < self.rules && !header.may_shrink() {
            let (expected, found) = (self.rules.into(), header.rule_count.into());
            return Err(Refusal::new(Code::FewerRules, 52, expected, found));
        }
        Ok(())
    }
}

/// A body that is counted against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Suspect {
    pub body: BodyId,
    /// Sessions that ended while it was tried or young.
    pub losses: u8,
    /// One that had been healthy ended, and it was in force.
    pub late: bool,
    /// It is not used before a healthy hour, if there is anything else.
    pub waits: bool,
    /// It was tried again after it was struck out; there is no second time.
    pub retried: bool,
}

/// The journal's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Journal {
    counter: u64,
    pub(crate) start: Start,
    pub(crate) mark: Option<Mark>,
    pub(crate) suspects: [Suspect; MAX_BODIES],
    floor: Floor,
    control: Option<Position>,
}

impl Journal {
    /// The journal as the two copies tell it: the newer of those that are whole. With neither,
    /// nothing is known and an empty journal begins.
    pub fn read(first: &[u8], second: &[u8]) -> Self {
        Self::newest([Self::decode(first), Self::decode(second)])
    }

    pub(crate) fn newest(copies: [Option<Self>; 2]) -> Self {
        match copies {
            [Some(a), Some(b)] if b.counter > a.counter => b,
            [Some(one), _] | [None, Some(one)] => one,
            [None, None] => Self::default(),
        }
    }

    /// Which of [`FILE_NAMES`] the next write goes to: never the one that holds the newest record.
    pub const fn next_copy(&self) -> usize {
        if self.counter & 1 == 0 { 1 } else { 0 }
    }

    /// The record to write before the body is tried.
    #[must_use]
    pub const fn begin(self, body: BodyId) -> Self {
        self.marked(Some(Mark::new(body)))
    }

    /// The record to write when this is to be to blame from now on.
    #[must_use]
    #[inline(never)]
    pub const fn marked(mut self, mark: Option<Mark>) -> Self {
        self.mark = mark;
        self.step()
    }

    /// The mark as it stands.
    pub const fn mark(&self) -> Option<Mark> {
        self.mark
    }

    /// What must not be undercut.
    pub const fn floor(&self) -> Floor {
        self.floor
    }

    /// The newest channel 0 that was ever taken here.
    pub const fn control(&self) -> Option<Position> {
        self.control
    }

    /// The record to write when channel 0 at this position has been taken and is on the disk.
    #[must_use]
    #[inline(never)]
    pub fn with_control(mut self, position: Position) -> Self {
        self.control = self.control.max(Some(position));
        self.step()
    }

    /// The same with content at this floor known to be good. No record to write.
    #[must_use]
    #[inline(never)]
    pub fn raised(mut self, floor: Floor) -> Self {
        if floor.position >= self.floor.position {
            self.floor = floor;
        }
        self
    }

    /// Bodies that are struck out.
    pub fn struck(&self) -> usize {
        self.suspects.iter().filter(|suspect| suspect.losses >= MAX_LOSSES).count()
    }

    /// What is counted against a body.
    pub(crate) fn suspect(&self, body: BodyId) -> Suspect {
        let found = self.suspects.iter().find(|suspect| suspect.body == body);
        found
            .filter(|_| body != BodyId::FREE)
            .copied()
            .unwrap_or(Suspect { body, ..Suspect::default() })
    }

    /// Remembers what is counted against a body, as the newest; nothing frees its place.
    #[must_use]
    pub(crate) fn with_suspect(mut self, suspect: Suspect) -> Self {
        let place = |body| self.suspects.iter().position(|known| known.body == body);
        let known = place(suspect.body);
        let end = known.or(place(BodyId::FREE)).unwrap_or(MAX_BODIES.saturating_sub(1));
        if suspect == (Suspect { body: suspect.body, ..Suspect::default() }) {
            if let Some(place) = known.and_then(|at| self.suspects.get_mut(at)) {
                *place = Suspect::default();
            }
            return self;
        }
        if let Some(before) = self.suspects.get_mut(..=end) {
            before.rotate_right(1);
        }
        if let Some(first) = self.suspects.first_mut() {
            *first = suspect;
        }
        self
    }

    /// The record's bytes.
    #[inline(never)]
    pub fn encode(&self) -> [u8; JOURNAL_LEN] {
        let mut bytes = [0; JOURNAL_LEN];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 10, &self.flags().to_le_bytes());
        put(&mut bytes, 12, &self.start.boot.to_le_bytes());
        put(&mut bytes, 16, &self.counter.to_le_bytes());
        put(&mut bytes, 24, &self.mark.map_or(BodyId::FREE, |mark| mark.body).0);
        for (suspect, place) in self.suspects.iter().zip(0_usize..) {
            let flags = bit(suspect.late, LATE) | bit(suspect.waits, WAITS);
            let flags = flags | bit(suspect.retried, RETRIED);
            put(&mut bytes, place.saturating_mul(16).saturating_add(40), &suspect.body.0);
            put(&mut bytes, place.saturating_add(168), &[suspect.losses]);
            put(&mut bytes, place.saturating_add(176), &[flags]);
        }
        let Floor { position, rules } = self.floor;
        let control = self.control.unwrap_or_default();
        let numbers = [position.epoch, position.sequence, rules, control.epoch, control.sequence];
        for (number, place) in numbers.into_iter().zip(0_usize..) {
            put(&mut bytes, place.saturating_mul(4).saturating_add(184), &number.to_le_bytes());
        }
        let sum = fnv1a(bytes.get(..SUMMED).unwrap_or(&[]));
        put(&mut bytes, SUMMED, &sum.to_le_bytes());
        bytes
    }

    fn flags(&self) -> u16 {
        let mark = self.mark.map_or(0, |mark| OPEN | if mark.healthy { HEALTHY } else { 0 });
        let at_boot = if self.start.at_boot { AT_BOOT } else { 0 };
        mark | at_boot | if self.control.is_some() { CONTROL } else { 0 }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (summed, sum) = bytes.split_at_checked(SUMMED)?;
        let known = bytes.first_chunk::<8>() == Some(&MAGIC) && summed.get(8..10) == Some(&[0; 2]);
        if !known || sum != fnv1a(summed).to_le_bytes() {
            return None;
        }
        let flags = u16::from_le_bytes(*summed.get(10..)?.first_chunk()?);
        if flags & !(OPEN | HEALTHY | AT_BOOT | CONTROL) != 0 {
            return None;
        }
        let mark =
            Mark { body: BodyId(*summed.get(24..)?.first_chunk()?), healthy: flags & HEALTHY != 0 };
        let mut suspects = [Suspect::default(); MAX_BODIES];
        let (bodies, _) = summed.get(40..)?.as_chunks::<16>();
        let counted = summed.get(168..)?.iter().zip(summed.get(176..)?);
        for (suspect, (body, (losses, flags))) in
            suspects.iter_mut().zip(bodies.iter().zip(counted))
        {
            *suspect = Suspect {
                body: BodyId(*body),
                losses: *losses,
                late: flags & LATE != 0,
                waits: flags & WAITS != 0,
                retried: flags & RETRIED != 0,
            };
        }
        let number = |at| Some(u32::from_le_bytes(*summed.get(at..)?.first_chunk()?));
        let position = |at, next| Some(Position { epoch: number(at)?, sequence: number(next)? });
        Some(Self {
            counter: u64::from_le_bytes(*summed.get(16..)?.first_chunk()?),
            start: Start { boot: number(12)?, at_boot: flags & AT_BOOT != 0 },
            mark: (flags & OPEN != 0).then_some(mark),
            suspects,
            floor: Floor { position: position(184, 188)?, rules: number(192)? },
            control: if flags & CONTROL != 0 { Some(position(196, 200)?) } else { None },
        })
    }

    pub(crate) const fn step(mut self) -> Self {
        self.counter = self.counter.saturating_add(1);
        self
    }
}

const fn bit(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(value) {
        *to = *from;
    }
}

/// FNV-1a 64: it tells a torn write from a whole one. It is no defence against a forger, who would
/// need SYSTEM to write here and could then do as he likes.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    const fn body(number: u8) -> BodyId {
        BodyId([number; 16])
    }

    /// A journal in which every field says something.
    fn full() -> Journal {
        let suspect = |number| Suspect {
            body: body(number),
            losses: number,
            late: number & 1 != 0,
            waits: number & 2 != 0,
            retried: number & 4 != 0,
        };
        let journal =
            (1..=8).fold(Journal::default(), |all, number| all.with_suspect(suspect(number)));
        let position = Position { epoch: 3, sequence: 44 };
        let journal = journal.raised(Floor { position, rules: 5 }).with_control(position);
        let mark = Mark { body: body(9), healthy: true };
        Journal { start: Start { boot: 77, at_boot: true }, ..journal.marked(Some(mark)) }
    }

    #[test]
    fn reads_what_it_wrote_cut_nowhere_else() {
        let journal = full();
        let bytes = journal.encode();
        assert_eq!(Journal::read(&bytes, &[]), journal);
        assert_eq!(Journal::read(&[], &bytes), journal);
        for cut in 0..bytes.len() {
            assert_eq!(Journal::read(&bytes[..cut], &[]), Journal::default(), "cut at {cut}");
        }
        for at in 0..bytes.len() {
            let mut bad = bytes;
            bad[at] ^= 0x10;
            assert_eq!(Journal::read(&bad, &[]), Journal::default(), "byte {at} changed");
        }
        let mut long = bytes.to_vec();
        long.push(0);
        assert_eq!(Journal::read(&long, &[]), Journal::default());
    }

    #[test]
    fn flags_that_nobody_knows_are_no_journal() {
        let mut bytes = full().encode();
        bytes[11] = 1;
        let sum = fnv1a(&bytes[..SUMMED]).to_le_bytes();
        bytes[SUMMED..].copy_from_slice(&sum);
        assert_eq!(Journal::read(&bytes, &[]), Journal::default());
    }

    #[test]
    fn each_flag_is_read_back_alone() {
        for healthy in [false, true] {
            let journal = Journal::default().marked(Some(Mark { body: body(1), healthy }));
            assert_eq!(Journal::read(&journal.encode(), &[]), journal);
        }
        let by_hand = Journal { start: Start { boot: 1, at_boot: false }, ..Journal::default() };
        assert_eq!(Journal::read(&by_hand.encode(), &[]), by_hand);
        for suspect in [
            Suspect { body: body(1), late: true, ..Suspect::default() },
            Suspect { body: body(1), waits: true, ..Suspect::default() },
            Suspect { body: body(1), retried: true, ..Suspect::default() },
        ] {
            let journal = Journal::default().with_suspect(suspect);
            assert_eq!(Journal::read(&journal.encode(), &[]).suspect(body(1)), suspect);
        }
    }

    #[test]
    fn the_body_counted_against_longest_ago_is_forgotten_first() {
        let lost = |journal: Journal, number| {
            let losses = journal.suspect(body(number)).losses + 1;
            journal.with_suspect(Suspect { body: body(number), losses, ..Suspect::default() })
        };
        let journal = (1..=9).fold(Journal::default(), lost);
        assert_eq!(journal.suspect(body(1)).losses, 0);
        assert!((2..=9).all(|number| journal.suspect(body(number)).losses == 1));
        let again = lost(journal, 5);
        assert_eq!(again.suspect(body(2)).losses, 1, "a known body must not push another out");
        assert_eq!(again.suspect(body(5)).losses, 2);
        let cleared = again.with_suspect(Suspect { body: body(5), ..Suspect::default() });
        assert_eq!((cleared.suspect(body(5)).losses, cleared.struck()), (0, 0));
        assert_eq!(lost(cleared, 10).suspect(body(2)).losses, 1, "there was a free place");
    }

    #[test]
    fn a_floor_and_channel_0_rise_and_do_not_fall() {
        let at = |sequence| Position { epoch: 1, sequence };
        let floor = |sequence, rules| Floor { position: at(sequence), rules };
        let journal = Journal::default().raised(floor(5, 9)).with_control(at(5));
        assert_eq!(journal.raised(floor(4, 20)).floor(), floor(5, 9));
        assert_eq!(journal.raised(floor(6, 3)).floor(), floor(6, 3));
        assert_eq!(journal.with_control(at(4)).control(), Some(at(5)));
        assert_eq!(journal.with_control(at(6)).control(), Some(at(6)));
        assert_eq!(Journal::default().control(), None);
    }

    #[test]
    fn a_write_torn_at_any_byte_leaves_the_record_before_or_after_it() {
        let mut disk = [Vec::new(), Vec::new()];
        let mut journal = Journal::default();
        for number in 1..6 {
            for next in [journal.begin(body(number)), journal.begin(body(number)).marked(None)] {
                for cut in 0..=JOURNAL_LEN {
                    let mut torn = disk.clone();
                    torn[journal.next_copy()] = next.encode()[..cut].to_vec();
                    let found = Journal::read(&torn[0], &torn[1]);
                    let expected = if cut == JOURNAL_LEN { next } else { journal };
                    assert_eq!(found, expected, "number {number} cut {cut}");
                }
                disk[journal.next_copy()] = next.encode().to_vec();
                journal = next;
            }
        }
    }
}
