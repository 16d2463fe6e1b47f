//! The attempt journal: two copies, written in turn, any write of which may be torn.

use driver_core::Position;
use driver_core::journal::{BodyId, Floor, JOURNAL_LEN, Journal, MAX_BODIES, Mark};

use crate::input::Input;
use crate::target::Target;

/// The targets of this module.
pub const TARGETS: &[Target] = &[
    Target::new("journal", "the two copies of the journal, as they may be found", |bytes| {
        _ = copies(bytes);
    })
    .seeds(|| vec![written(), written()[JOURNAL_LEN..].to_vec()])
    .longest(2 * JOURNAL_LEN),
    Target::new("journal-life", "marks, floors and power cuts in any order", life)
        .seeds(|| vec![(0..96).collect(), vec![0, 1, 9, 0, 1, 9, 0, 1, 9]])
        .longest(512),
];

/// The copies after a body was begun, and after it was in force for an hour.
pub(crate) fn written() -> Vec<u8> {
    let position = Position { epoch: 1, sequence: 2 };
    let begun = Journal::default().begin(BodyId([7; 16]));
    let floor = Floor { position, rules: 9 };
    let healthy = Mark { body: BodyId([7; 16]), healthy: true };
    let newer = begun.raised(floor).with_control(position).marked(Some(healthy));
    [begun.encode(), newer.encode()].concat()
}

/// Whatever is found, what is read of it can be written and read again. True if a mark is open.
pub fn copies(bytes: &[u8]) -> bool {
    let (first, second) = bytes.split_at(bytes.len().min(JOURNAL_LEN));
    let found = Journal::read(first, second);
    let bytes = found.encode();
    assert_eq!(Journal::read(&bytes, &[]), found);
    assert_eq!(Journal::read(&[], &bytes), found);
    assert!(found.struck() <= MAX_BODIES);
    found.mark().is_some()
}

/// A driver's life with its journal. A write that is torn leaves what was there before, or all of
/// the new; floors never fall.
pub fn life(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut disk: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
    let mut journal = Journal::default();
    while !input.is_empty() {
        let operation = input.u8();
        let number = u32::from(input.u8());
        let body = BodyId([1 + input.u8() % 4; 16]);
        let position = Position { epoch: number >> 6, sequence: number & 0x3f };
        let next = match operation % 6 {
            0 => journal.begin(body),
            1 => journal.marked(None),
            2 => journal.marked(Some(Mark { body, healthy: number & 1 == 1 })),
            3 => journal.raised(Floor { position, rules: number }).begin(body),
            4 => journal.with_control(position),
            _ => {
                // The machine goes down and starts again.
                journal = Journal::read(&disk[0], &disk[1]);
                continue;
            }
        };
        assert!(next.floor().position >= journal.floor().position, "a floor falls");
        assert!(next.control() >= journal.control(), "channel 0 goes back");
        let copy = journal.next_copy();
        let (before, record) = (Journal::read(&disk[0], &disk[1]), next.encode());
        if operation & 0x80 != 0 {
            // A write that is torn at any place, over what the copy held.
            let at = usize::from(input.u8()) % record.len();
            disk[copy].resize(record.len(), 0);
            disk[copy][..at].copy_from_slice(&record[..at]);
            journal = Journal::read(&disk[0], &disk[1]);
            assert!(journal == before || journal == next, "torn at {at}: {journal:?}");
        } else {
            disk[copy] = record.to_vec();
            assert_eq!(Journal::read(&disk[0], &disk[1]), next, "the newest record is read");
            journal = next;
        }
    }
}
