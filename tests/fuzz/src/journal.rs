//! The attempt journal: two copies, written in turn, any write of which may be torn.

use driver_core::journal::{BodyId, JOURNAL_LEN, Journal};

use crate::input::Input;
use crate::target::Target;

/// The targets of this module.
pub const TARGETS: &[Target] = &[
    Target::new("journal", "the two copies of the journal, as they may be found", |bytes| {
        _ = copies(bytes)
    })
    .seeds(|| vec![written(&[]), written(&[1, 2, 3]), written(&[1; 4])])
    .longest(2 * JOURNAL_LEN),
    Target::new("journal-life", "tries, ends and power cuts in any order", life)
        .seeds(|| vec![(0..96).collect(), vec![0, 1, 9, 0, 1, 9, 0, 1, 9]])
        .longest(512),
];

/// The copies after so many bodies were begun and lost.
pub(crate) fn written(bodies: &[u8]) -> Vec<u8> {
    let mut journal = Journal::default();
    for body in bodies {
        journal = journal.begin(BodyId([*body; 16]));
        journal = journal.settle().expect("a try is open");
    }
    let newer = journal.end();
    [journal.encode(), newer.encode()].concat()
}

/// Whatever is found, what is read of it can be written and read again. True if a try is open.
pub fn copies(bytes: &[u8]) -> bool {
    let (first, second) = bytes.split_at(bytes.len().min(JOURNAL_LEN));
    let found = Journal::read(first, second);
    let bytes = found.encode();
    assert_eq!(Journal::read(&bytes, &[]), found);
    assert_eq!(Journal::read(&[], &bytes), found);
    if let Some(settled) = found.settle() {
        assert!(!settled.is_open() && settled.struck() <= driver_core::journal::MAX_BODIES);
    }
    found.is_open()
}

/// A driver's life with its journal. A write that is torn leaves what was there before, or all of
/// the new; a body that was counted against twice, and was not forgiven or forgotten, is struck out.
pub fn life(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut disk: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
    let mut journal = Journal::default();
    while !input.is_empty() {
        let operation = input.u8();
        let body = BodyId([1 + input.u8() % 4; 16]);
        let next = match operation % 6 {
            0 => journal.begin(body),
            1 => journal.end(),
            2 => journal.end_well(body),
            3 => match journal.pardon(Some(body).filter(|_| operation & 0x40 != 0)) {
                Some(next) => next,
                None => continue,
            },
            4 => match journal.corrected(Some(body).filter(|_| operation & 0x40 != 0)) {
                Some(next) => next,
                None => continue,
            },
            _ => {
                // The machine goes down and starts again.
                let read = Journal::read(&disk[0], &disk[1]);
                journal = read.settle().unwrap_or(read);
                assert!(!journal.is_open());
                continue;
            }
        };
        let copy = journal.next_copy();
        let (before, record) = (Journal::read(&disk[0], &disk[1]), next.encode());
        if operation & 0x80 != 0 {
            // A write that is torn at any place, over what the copy held.
            let at = usize::from(input.u8()) % record.len();
            disk[copy].resize(record.len(), 0);
            disk[copy][..at].copy_from_slice(&record[..at]);
            let after = Journal::read(&disk[0], &disk[1]);
            assert!(after == before || after == next, "torn at {at}: {after:?}");
            journal = after.settle().unwrap_or(after);
        } else {
            disk[copy] = record.to_vec();
            assert_eq!(Journal::read(&disk[0], &disk[1]), next, "the newest record is read");
            journal = next;
            if operation % 6 == 2 {
                assert!(!journal.is_struck(body), "a body that has become good");
            }
        }
    }
}
