//! What survives a crash during a try.
//!
//! Before one byte of a new file's body is interpreted, a mark that names the body is made durable
//! here. It is taken back when the try has ended: when the body was refused, when the content has
//! become good, or when the driver is unloaded. A driver that starts and finds the mark knows that
//! the machine went down during the try, whatever the cause, and counts that against the body. One
//! that was counted against twice is struck out: no file with it is tried again.
//!
//! The journal is one small record in two copies, written in turn, each with a counter and a
//! checksum: a write that a power cut tears leaves the other copy.
//!
//! ```text
//!   0  8  magic "SKRJRNL\0"          40  8 × 16  bodies counted against, newest first, zero = free
//!   8  2  version 0                 168  8 × 1   how often each of them was
//!  10  2  zero                      176  8       FNV-1a 64 of bytes 0..176
//!  12  4  1 when a try is open
//!  16  8  counter
//!  24 16  body of the open try
//! ```

/// Length of a journal record in bytes.
pub const JOURNAL_LEN: usize = 184;
/// The two copies' file names in the state folder.
pub const FILE_NAMES: [&str; 2] = ["journal-a.bin", "journal-b.bin"];
/// Bodies remembered; the one counted against longest ago is forgotten first.
pub const MAX_BODIES: usize = 8;
/// Sessions a body may end before it is struck out.
pub const MAX_LOSSES: u8 = 2;

const MAGIC: [u8; 8] = *b"SKRJRNL\0";
const SUMMED: usize = JOURNAL_LEN - 8;

/// Names a body: the first 16 bytes of its SHA-512.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyId(pub [u8; 16]);

impl BodyId {
    const FREE: Self = Self([0; 16]);

    /// The name of the body with this SHA-512.
    pub fn of(digest: &[u8; 64]) -> Self {
        digest.first_chunk().map_or(Self::FREE, |head| Self(*head))
    }
}

/// A body during whose try the machine went down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Suspect {
    body: BodyId,
    losses: u8,
}

/// The journal's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    counter: u64,
    open: Option<BodyId>,
    suspects: [Suspect; MAX_BODIES],
}

impl Journal {
    /// The journal as the two copies tell it: the newer of those that are whole. With neither,
    /// nothing is known and an empty journal begins.
    pub fn read(first: &[u8], second: &[u8]) -> Self {
        match (Self::decode(first), Self::decode(second)) {
            (Some(a), Some(b)) => {
                if b.counter > a.counter {
                    b
                } else {
                    a
                }
            }
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => Self::default(),
        }
    }

    /// Which of [`FILE_NAMES`] the next write goes to: never the one that holds the newest record.
    pub const fn next_copy(&self) -> usize {
        if self.counter & 1 == 0 { 1 } else { 0 }
    }

    /// The record to write before the body is tried.
    #[must_use]
    pub const fn begin(mut self, body: BodyId) -> Self {
        self.open = Some(body);
        self.step()
    }

    /// The record to write when the try has ended without saying anything about the body.
    #[must_use]
    pub const fn end(mut self) -> Self {
        self.open = None;
        self.step()
    }

    /// The record to write when the body has become good: what was counted against it is forgotten.
    #[must_use]
    pub fn end_well(mut self, body: BodyId) -> Self {
        for suspect in &mut self.suspects {
            if suspect.body == body {
                *suspect = Suspect::default();
            }
        }
        self.end()
    }

    /// The record to write when an administrator says that every body may be tried again. A try
    /// that is open stays open.
    #[must_use]
    pub const fn forgive(mut self) -> Self {
        self.suspects = [Suspect { body: BodyId::FREE, losses: 0 }; MAX_BODIES];
        self.step()
    }

    /// What a driver that starts makes of the journal: an open try means that the machine went
    /// down in it, which is counted against its body. `None` when there is nothing to settle.
    ///
    /// This is no record to write: it keeps the counter of the one on disk, so that the next
    /// [`Self::begin`] is written beside that one and not over it. A write torn there would else
    /// take the open mark with it.
    pub fn settle(mut self) -> Option<Self> {
        let body = self.open.take()?;
        let losses = self.losses(body).saturating_add(1);
        let known = self.suspects.iter().position(|suspect| suspect.body == body);
        let end = known.unwrap_or(MAX_BODIES.saturating_sub(1));
        if let Some(before) = self.suspects.get_mut(..=end) {
            before.rotate_right(1);
        }
        if let Some(first) = self.suspects.first_mut() {
            *first = Suspect { body, losses };
        }
        Some(self)
    }

    /// True for a body that must not be tried.
    pub fn is_struck(&self, body: BodyId) -> bool {
        self.losses(body) >= MAX_LOSSES
    }

    fn losses(&self, body: BodyId) -> u8 {
        let suspect = self.suspects.iter().find(|suspect| suspect.body == body);
        suspect.filter(|_| body != BodyId::FREE).map_or(0, |suspect| suspect.losses)
    }

    /// True when a try is open.
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The record's bytes.
    pub fn encode(&self) -> [u8; JOURNAL_LEN] {
        let mut bytes = [0; JOURNAL_LEN];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 12, &u32::from(self.open.is_some()).to_le_bytes());
        put(&mut bytes, 16, &self.counter.to_le_bytes());
        put(&mut bytes, 24, &self.open.unwrap_or(BodyId::FREE).0);
        for (suspect, place) in self.suspects.iter().zip(0_usize..) {
            put(&mut bytes, place.saturating_mul(16).saturating_add(40), &suspect.body.0);
            put(&mut bytes, place.saturating_add(168), &[suspect.losses]);
        }
        let sum = fnv1a(bytes.get(..SUMMED).unwrap_or(&[]));
        put(&mut bytes, SUMMED, &sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (summed, sum) = bytes.split_at_checked(SUMMED)?;
        let known = bytes.first_chunk::<8>() == Some(&MAGIC) && summed.get(8..12) == Some(&[0; 4]);
        if !known || sum != fnv1a(summed).to_le_bytes() {
            return None;
        }
        let counter = u64::from_le_bytes(*summed.get(16..)?.first_chunk()?);
        let open = match u32::from_le_bytes(*summed.get(12..)?.first_chunk()?) {
            0 => None,
            1 => Some(BodyId(*summed.get(24..)?.first_chunk()?)),
            _ => return None,
        };
        let mut suspects = [Suspect::default(); MAX_BODIES];
        let (bodies, _) = summed.get(40..)?.as_chunks::<16>();
        let losses = summed.get(168..)?;
        for (suspect, (body, losses)) in suspects.iter_mut().zip(bodies.iter().zip(losses)) {
            *suspect = Suspect { body: BodyId(*body), losses: *losses };
        }
        Some(Self { counter, open, suspects })
    }

    const fn step(mut self) -> Self {
        self.counter = self.counter.saturating_add(1);
        self
    }
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

    /// The two copies on a disk.
    #[derive(Clone, Default)]
    struct Disk([Vec<u8>; 2]);

    impl Disk {
        fn journal(&self) -> Journal {
            Journal::read(&self.0[0], &self.0[1])
        }

        /// Writes, and loses power after `cut` bytes: what was beyond is gone.
        fn write(&mut self, journal: Journal, copy: usize, cut: usize) {
            self.0[copy] = journal.encode()[..cut].to_vec();
        }
    }

    #[test]
    fn forgiving_frees_every_body_and_leaves_the_open_try_open() {
        let struck = lost(Journal::default(), 1, MAX_LOSSES);
        assert!(struck.is_struck(body(1)));
        let before = struck.begin(body(2));
        let forgiven = before.forgive();
        assert!(!forgiven.is_struck(body(1)));
        assert!(forgiven.is_open() && forgiven.settle().is_some());
        assert_ne!(forgiven.next_copy(), before.next_copy());
        assert_eq!(Journal::read(&forgiven.encode(), &before.encode()), forgiven);
    }

    #[test]
    fn reads_what_it_wrote_cut_nowhere_else() {
        let journal = Journal::default().begin(body(1)).settle().unwrap().begin(body(2));
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
    fn a_try_that_ended_leaves_nothing_to_settle() {
        assert_eq!(Journal::default().begin(body(1)).end().settle(), None);
    }

    /// The journal after so many sessions ended during a try of this body.
    fn lost(mut journal: Journal, number: u8, sessions: u8) -> Journal {
        for _ in 0..sessions {
            journal = journal.begin(body(number)).settle().unwrap();
        }
        journal
    }

    #[test]
    fn a_body_that_ended_two_sessions_is_struck_out_and_no_other() {
        let once = lost(Journal::default(), 1, 1);
        assert!(!once.is_struck(body(1)) && !once.is_open());
        let twice = lost(once, 1, 1);
        assert!(twice.is_struck(body(1)));
        assert!(!twice.is_struck(body(2)) && !twice.is_struck(BodyId::FREE));
        assert_eq!(Journal::read(&twice.encode(), &[]), twice);
    }

    #[test]
    fn a_body_that_became_good_has_nothing_counted_against_it() {
        let journal = lost(lost(Journal::default(), 2, 2), 1, 1);
        let journal = journal.begin(body(1)).end_well(body(1));
        assert!(!lost(journal, 1, 1).is_struck(body(1)));
        assert!(journal.is_struck(body(2)), "others stay as they were");
    }

    #[test]
    fn the_body_counted_against_longest_ago_is_forgotten_first() {
        let mut journal = Journal::default();
        for number in 1..=9 {
            journal = lost(journal, number, 2);
        }
        assert!(!journal.is_struck(body(1)));
        assert!((2..=9).all(|number| journal.is_struck(body(number))));
        let again = lost(journal, 5, 1);
        assert!(again.is_struck(body(2)), "a body that is known must not push another out");
    }

    #[test]
    fn a_write_torn_after_settling_leaves_the_open_mark() {
        let mut disk = Disk::default();
        let mut journal = Journal::default();
        for number in 1..4 {
            journal = lost(journal, number, 1);
            let (begun, copy) = (journal.begin(body(number)), journal.next_copy());
            disk.write(begun, copy, JOURNAL_LEN);
            // The machine goes down here; the next start tries another body.
            let settled = disk.journal().settle().unwrap();
            let next = settled.begin(body(100));
            for cut in 0..JOURNAL_LEN {
                let mut torn = disk.clone();
                torn.write(next, settled.next_copy(), cut);
                let found = torn.journal().settle();
                assert!(
                    found.is_some_and(|found| found.is_struck(body(number))),
                    "number {number} cut {cut}"
                );
            }
            disk.write(next, settled.next_copy(), JOURNAL_LEN);
            disk.write(next.end(), next.next_copy(), JOURNAL_LEN);
            journal = disk.journal();
            assert!(journal.is_struck(body(number)));
        }
    }

    #[test]
    fn a_write_torn_at_any_byte_leaves_the_record_before_or_after_it() {
        let mut disk = Disk::default();
        let mut journal = Journal::default();
        for number in 1..6 {
            for next in [journal.begin(body(number)), journal.begin(body(number)).end()] {
                for cut in 0..=JOURNAL_LEN {
                    let mut torn = disk.clone();
                    torn.write(next, journal.next_copy(), cut);
                    let found = torn.journal();
                    let expected = if cut == JOURNAL_LEN { next } else { journal };
                    assert_eq!(found, expected, "number {number} cut {cut}");
                }
                disk.write(next, journal.next_copy(), JOURNAL_LEN);
                journal = next;
            }
        }
    }
}
