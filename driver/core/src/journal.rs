//! What survives a crash during a try.
//!
//! Before one byte of a new file's body is interpreted, a mark that names the file is made durable
//! here; it is taken back when the try has ended, well or badly. A driver that starts and finds the
//! mark knows that the try never ended: the machine went down in it. It strikes that body out, and
//! no file with it is tried again.
//!
//! The journal is one small record in two copies, written in turn, each with a counter and a
//! checksum: a write that a power cut tears leaves the other copy.
//!
//! ```text
//!   0  8  magic "SKRJRNL\0"          40  8 × 16  struck bodies, newest first, zero = free
//!   8  2  version 0                 168  8       zero
//!  10  2  zero                      176  8       FNV-1a 64 of bytes 0..176
//!  12  4  1 when a try is open
//!  16  8  counter
//!  24 16  body of the open try
//! ```

/// Length of a journal record in bytes.
pub const JOURNAL_LEN: usize = 184;
/// The two copies' file names in the state folder.
pub const FILE_NAMES: [&str; 2] = ["journal-a.bin", "journal-b.bin"];
/// Bodies remembered as struck out; the oldest is forgotten first.
pub const MAX_STRUCK: usize = 8;

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

/// The journal's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    counter: u64,
    open: Option<BodyId>,
    struck: [BodyId; MAX_STRUCK],
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

    /// The record to write when the try has ended, whatever came of it.
    #[must_use]
    pub const fn end(mut self) -> Self {
        self.open = None;
        self.step()
    }

    /// What a driver that starts makes of the journal: an open try means that the machine went
    /// down in it, so its body is struck out. `None` when there is nothing to settle.
    ///
    /// This is no record to write: it keeps the counter of the one on disk, so that the next
    /// [`Self::begin`] is written beside that one and not over it. A write torn there would else
    /// take the open mark with it.
    pub fn settle(mut self) -> Option<Self> {
        let body = self.open.take()?;
        if !self.is_struck(body) {
            self.struck.rotate_right(1);
            if let Some(first) = self.struck.first_mut() {
                *first = body;
            }
        }
        Some(self)
    }

    /// True for a body that must not be tried.
    pub fn is_struck(&self, body: BodyId) -> bool {
        body != BodyId::FREE && self.struck.contains(&body)
    }

    /// True when a try is open.
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The record's bytes.
    pub fn encode(&self) -> [u8; JOURNAL_LEN] {
        let mut bytes = [0; JOURNAL_LEN];
        put(&mut bytes, 0, &MAGIC);
        put(
            &mut bytes,
            12,
            &u32::from(self.open.is_some()).to_le_bytes(),
        );
        put(&mut bytes, 16, &self.counter.to_le_bytes());
        put(&mut bytes, 24, &self.open.unwrap_or(BodyId::FREE).0);
        let mut at = 40_usize;
        for body in &self.struck {
            put(&mut bytes, at, &body.0);
            at = at.saturating_add(16);
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
        let mut struck = [BodyId::FREE; MAX_STRUCK];
        let (bodies, _) = summed.get(40..)?.as_chunks::<16>();
        for (to, from) in struck.iter_mut().zip(bodies) {
            *to = BodyId(*from);
        }
        Some(Self {
            counter,
            open,
            struck,
        })
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
    fn reads_what_it_wrote_cut_nowhere_else() {
        let journal = Journal::default()
            .begin(body(1))
            .settle()
            .unwrap()
            .begin(body(2));
        let bytes = journal.encode();
        assert_eq!(Journal::read(&bytes, &[]), journal);
        assert_eq!(Journal::read(&[], &bytes), journal);
        for cut in 0..bytes.len() {
            assert_eq!(
                Journal::read(&bytes[..cut], &[]),
                Journal::default(),
                "cut at {cut}"
            );
        }
        for at in 0..bytes.len() {
            let mut bad = bytes;
            bad[at] ^= 0x10;
            assert_eq!(
                Journal::read(&bad, &[]),
                Journal::default(),
                "byte {at} changed"
            );
        }
        let mut long = bytes.to_vec();
        long.push(0);
        assert_eq!(Journal::read(&long, &[]), Journal::default());
    }

    #[test]
    fn a_try_that_ended_leaves_nothing_to_settle() {
        assert_eq!(Journal::default().begin(body(1)).end().settle(), None);
    }

    #[test]
    fn a_try_that_never_ended_strikes_its_body_out() {
        let settled = Journal::default().begin(body(1)).settle().unwrap();
        assert!(settled.is_struck(body(1)));
        assert!(!settled.is_struck(body(2)));
        assert!(!settled.is_struck(BodyId::FREE));
        assert!(!settled.is_open());
    }

    #[test]
    fn the_oldest_struck_body_is_forgotten_first() {
        let mut journal = Journal::default();
        for number in 1..=9 {
            journal = journal.begin(body(number)).settle().unwrap();
        }
        assert!(!journal.is_struck(body(1)));
        assert!((2..=9).all(|number| journal.is_struck(body(number))));
        let again = journal.begin(body(5)).settle().unwrap();
        assert!(
            again.is_struck(body(2)),
            "striking twice must not push another out"
        );
    }

    #[test]
    fn a_write_torn_after_settling_leaves_the_open_mark() {
        let mut disk = Disk::default();
        let mut journal = Journal::default();
        for number in 1..4 {
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
            for next in [
                journal.begin(body(number)),
                journal.begin(body(number)).end(),
            ] {
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
