//! Which dropped file is tried next.
//!
//! The name is only a hint of what a file is: it sorts the queue, the signed header decides. A
//! scan looks at a bounded number of entries and keeps a bounded number of candidates, so a folder
//! of thousands of files costs no more than a folder of a few hundred.

use channel_format::name::ChannelName;
use driver_abi::RefusalNote;

use crate::Position;

/// Entries one scan looks at.
pub const MAX_ENTRIES: u32 = 4_096;
/// Candidates one scan keeps.
pub const MAX_CANDIDATES: usize = 8;
/// Files remembered as not worth reading again.
pub const MAX_IGNORED: usize = 64;

/// What tells one version of a file from another without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The file's number on its volume.
    pub file_id: u64,
    /// Its length in bytes.
    pub size: u64,
    /// When it last changed, in the file system's time.
    pub changed: u64,
}

/// A file that may hold newer content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What its name says it is.
    pub name: ChannelName,
    /// Which version of it.
    pub stamp: Stamp,
}

impl Candidate {
    /// Where its name puts it.
    pub const fn position(&self) -> Position {
        Position { epoch: self.name.epoch, sequence: self.name.sequence }
    }
}

/// One look into the inbox.
#[derive(Clone, Debug)]
pub struct Scan {
    channel: u32,
    above: Option<Position>,
    refused: Option<Position>,
    still_there: bool,
    entries: u32,
    kept: [Option<Candidate>; MAX_CANDIDATES],
}

impl Scan {
    /// A look for files of `channel` that are newer than `above`, and for the one that was
    /// `refused` before.
    pub const fn new(channel: u32, above: Option<Position>, refused: &RefusalNote) -> Self {
        Self {
            channel,
            above,
            refused: refused_position(refused),
            still_there: false,
            entries: 0,
            kept: [None; MAX_CANDIDATES],
        }
    }

    /// Considers one directory entry; one that is no plain file has no name here. False once
    /// enough have been seen and the scan should end.
    pub fn offer(&mut self, name: &[u16], stamp: Stamp, ignored: &Ignored) -> bool {
        if self.entries >= MAX_ENTRIES {
            return false;
        }
        self.entries = self.entries.saturating_add(1);
        if let Some(name) = ChannelName::parse_utf16(name) {
            let candidate = Candidate { name, stamp };
            let newer = self.above.is_none_or(|above| candidate.position() > above);
            if name.channel == self.channel && newer {
                self.still_there |= self.refused == Some(candidate.position());
                if !ignored.contains(&stamp) {
                    self.keep(candidate);
                }
            }
        }
        true
    }

    /// The candidates, newest first.
    pub fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.kept.iter().flatten()
    }

    /// True when there was more in the folder than a scan looks at.
    pub const fn is_over(&self) -> bool {
        self.entries >= MAX_ENTRIES
    }

    /// True when the file that was refused before is still newer than what is in force and was not
    /// taken away; also when the scan could not see all.
    pub const fn refusal_stands(&self) -> bool {
        self.still_there || self.is_over()
    }

    /// Inserts into the sorted list; the oldest falls off its end.
    fn keep(&mut self, candidate: Candidate) {
        let mut carried = Some(candidate);
        for slot in &mut self.kept {
            let goes_here = match (&carried, &*slot) {
                (Some(new), Some(old)) => new.position() > old.position(),
                (Some(_), None) => true,
                (None, _) => return,
            };
            if goes_here {
                core::mem::swap(slot, &mut carried);
            }
        }
    }
}

/// The refusal to tell after `new`: the newer file's, since that is what is missing.
pub fn worse_refusal(standing: &RefusalNote, new: &RefusalNote) -> RefusalNote {
    if refused_position(standing) > refused_position(new) { *standing } else { *new }
}

/// The refusal to tell once the file at `accepted` is in force: one of a newer file still stands.
pub fn refusal_after(standing: &RefusalNote, accepted: Position) -> RefusalNote {
    if refused_position(standing) > Some(accepted) { *standing } else { RefusalNote::default() }
}

/// Where the name of the refused file puts it; `None` when nothing is refused.
const fn refused_position(note: &RefusalNote) -> Option<Position> {
    if note.code == 0 && note.host_status == 0 {
        return None;
    }
    Some(Position { epoch: note.epoch, sequence: note.sequence })
}

/// Files that were read once and need not be read again until they change.
#[derive(Clone, Debug)]
pub struct Ignored {
    stamps: [Option<Stamp>; MAX_IGNORED],
}

impl Default for Ignored {
    fn default() -> Self {
        Self::NONE
    }
}

impl Ignored {
    /// Nothing is ignored.
    pub const NONE: Self = Self { stamps: [None; MAX_IGNORED] };

    /// Remembers a file; the one remembered longest is forgotten.
    pub fn insert(&mut self, stamp: Stamp) {
        self.stamps.rotate_right(1);
        if let Some(first) = self.stamps.first_mut() {
            *first = Some(stamp);
        }
    }

    /// True for a file that need not be read again.
    pub fn contains(&self, stamp: &Stamp) -> bool {
        self.stamps.iter().flatten().any(|known| known == stamp)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn name(channel: u32, epoch: u32, sequence: u32) -> Vec<u16> {
        format!("C-{channel:08}-{epoch:08}-{sequence:08}.sys").encode_utf16().collect()
    }

    fn positions(scan: &Scan) -> Vec<(u32, u32)> {
        scan.candidates().map(|c| (c.name.epoch, c.name.sequence)).collect()
    }

    proptest! {
        #[test]
        fn keeps_the_newest_in_order_whatever_the_order_of_entries(
            files in prop::collection::vec((0_u32..3, 0_u32..40), 0..40),
            above in prop::option::of((0_u32..3, 0_u32..40)),
        ) {
            let above = above.map(|(epoch, sequence)| Position { epoch, sequence });
            let mut scan = Scan::new(291, above, &RefusalNote::default());
            for (epoch, sequence) in &files {
                prop_assert!(scan.offer(&name(291, *epoch, *sequence), Stamp::default(), &Ignored::NONE));
            }
            let mut expected: Vec<_> = files
                .into_iter()
                .filter(|(epoch, sequence)| {
                    above.is_none_or(|a| (*epoch, *sequence) > (a.epoch, a.sequence))
                })
                .collect();
            expected.sort_unstable();
            expected.reverse();
            expected.truncate(MAX_CANDIDATES);
            prop_assert_eq!(positions(&scan), expected);
        }
    }

    fn refusal(sequence: u32) -> RefusalNote {
        RefusalNote { code: 25, epoch: 1, sequence, ..RefusalNote::default() }
    }

    const fn at(sequence: u32) -> Position {
        Position { epoch: 1, sequence }
    }

    #[test]
    fn an_older_file_accepted_does_not_hide_a_newer_one_refused() {
        assert_eq!(refusal_after(&refusal(12), at(11)), refusal(12));
        assert_eq!(refusal_after(&refusal(12), at(12)), RefusalNote::default());
        assert_eq!(refusal_after(&refusal(12), at(13)), RefusalNote::default());
        assert_eq!(refusal_after(&RefusalNote::default(), at(0)), RefusalNote::default());
    }

    #[test]
    fn the_newest_refusal_is_told() {
        assert_eq!(worse_refusal(&refusal(12), &refusal(11)), refusal(12));
        assert_eq!(worse_refusal(&refusal(11), &refusal(12)), refusal(12));
        assert_eq!(worse_refusal(&RefusalNote::default(), &refusal(0)), refusal(0));
        let again = RefusalNote { code: 1, ..refusal(12) };
        assert_eq!(worse_refusal(&refusal(12), &again), again);
    }

    #[test]
    fn a_refusal_stands_while_its_file_does() {
        let stamp = Stamp::default();
        let mut ignored = Ignored::NONE;
        ignored.insert(stamp);
        let scan = |above, files: &[u32]| {
            let mut scan = Scan::new(291, above, &refusal(12));
            for sequence in files {
                assert!(scan.offer(&name(291, 1, *sequence), stamp, &ignored));
            }
            scan.refusal_stands()
        };
        assert!(scan(None, &[11, 12]));
        assert!(scan(Some(at(11)), &[12]));
        assert!(!scan(Some(at(12)), &[12]));
        assert!(!scan(None, &[11, 13]));
    }

    #[test]
    fn other_channels_and_other_names_are_passed_over() {
        let mut scan = Scan::new(291, None, &RefusalNote::default());
        for other in [name(292, 1, 1), "readme.txt".encode_utf16().collect(), Vec::new()] {
            assert!(scan.offer(&other, Stamp::default(), &Ignored::NONE));
        }
        assert_eq!(positions(&scan), []);
    }

    #[test]
    fn an_ignored_file_comes_back_when_it_changes() {
        let stamp = Stamp { file_id: 1, size: 2, changed: 3 };
        let mut ignored = Ignored::NONE;
        ignored.insert(stamp);
        let mut scan = Scan::new(291, None, &RefusalNote::default());
        assert!(scan.offer(&name(291, 1, 1), stamp, &ignored));
        assert_eq!(positions(&scan), []);
        assert!(scan.offer(&name(291, 1, 1), Stamp { changed: 4, ..stamp }, &ignored));
        assert_eq!(positions(&scan), [(1, 1)]);
    }

    #[test]
    fn the_file_ignored_longest_is_forgotten_first() {
        let stamp =
            |number: usize| Stamp { file_id: u64::try_from(number).unwrap(), size: 0, changed: 0 };
        let mut ignored = Ignored::NONE;
        for number in 0..=MAX_IGNORED {
            ignored.insert(stamp(number));
        }
        assert!(!ignored.contains(&stamp(0)));
        assert!((1..=MAX_IGNORED).all(|number| ignored.contains(&stamp(number))));
    }

    #[test]
    fn a_scan_ends_after_so_many_entries() {
        let mut scan = Scan::new(291, None, &RefusalNote::default());
        for _ in 0..MAX_ENTRIES {
            assert!(scan.offer(&[], Stamp::default(), &Ignored::NONE));
        }
        assert!(scan.is_over());
        assert!(!scan.offer(&name(291, 1, 1), Stamp::default(), &Ignored::NONE));
        assert_eq!(positions(&scan), []);
    }
}
