//! Which dropped file is tried next.
//!
//! The name is only a hint of what a file is: it sorts the queue, the signed header decides. A
//! scan looks at a bounded number of entries and keeps a bounded number of candidates, so a folder
//! of thousands of files costs no more than a folder of a few hundred.

use channel_format::name::ChannelName;

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
        Position {
            epoch: self.name.epoch,
            sequence: self.name.sequence,
        }
    }
}

/// One look into the inbox.
#[derive(Clone, Debug)]
pub struct Scan {
    channel: u32,
    above: Option<Position>,
    entries: u32,
    kept: [Option<Candidate>; MAX_CANDIDATES],
}

impl Scan {
    /// A look for files of `channel` that are newer than `above`.
    pub const fn new(channel: u32, above: Option<Position>) -> Self {
        Self {
            channel,
            above,
            entries: 0,
            kept: [None; MAX_CANDIDATES],
        }
    }

    /// Considers one directory entry. False once enough have been seen and the scan should end.
    pub fn offer(&mut self, name: &[u16], stamp: Stamp, ignored: &Ignored) -> bool {
        if self.entries >= MAX_ENTRIES {
            return false;
        }
        self.entries = self.entries.saturating_add(1);
        if let Some(name) = ChannelName::parse_utf16(name) {
            let candidate = Candidate { name, stamp };
            let newer = self.above.is_none_or(|above| candidate.position() > above);
            if name.channel == self.channel && newer && !ignored.contains(&stamp) {
                self.keep(candidate);
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
    pub const NONE: Self = Self {
        stamps: [None; MAX_IGNORED],
    };

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
        format!("C-{channel:08}-{epoch:08}-{sequence:08}.sys")
            .encode_utf16()
            .collect()
    }

    fn positions(scan: &Scan) -> Vec<(u32, u32)> {
        scan.candidates()
            .map(|c| (c.name.epoch, c.name.sequence))
            .collect()
    }

    proptest! {
        #[test]
        fn keeps_the_newest_in_order_whatever_the_order_of_entries(
            files in prop::collection::vec((0_u32..3, 0_u32..40), 0..40),
            above in prop::option::of((0_u32..3, 0_u32..40)),
        ) {
            let above = above.map(|(epoch, sequence)| Position { epoch, sequence });
            let mut scan = Scan::new(291, above);
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

    #[test]
    fn other_channels_and_other_names_are_passed_over() {
        let mut scan = Scan::new(291, None);
        for other in [
            name(292, 1, 1),
            "readme.txt".encode_utf16().collect(),
            Vec::new(),
        ] {
            assert!(scan.offer(&other, Stamp::default(), &Ignored::NONE));
        }
        assert_eq!(positions(&scan), []);
    }

    #[test]
    fn an_ignored_file_comes_back_when_it_changes() {
        let stamp = Stamp {
            file_id: 1,
            size: 2,
            changed: 3,
        };
        let mut ignored = Ignored::NONE;
        ignored.insert(stamp);
        let mut scan = Scan::new(291, None);
        assert!(scan.offer(&name(291, 1, 1), stamp, &ignored));
        assert_eq!(positions(&scan), []);
        assert!(scan.offer(
            &name(291, 1, 1),
            Stamp {
                changed: 4,
                ..stamp
            },
            &ignored
        ));
        assert_eq!(positions(&scan), [(1, 1)]);
    }

    #[test]
    fn the_file_ignored_longest_is_forgotten_first() {
        let stamp = |number: usize| Stamp {
            file_id: u64::try_from(number).unwrap(),
            size: 0,
            changed: 0,
        };
        let mut ignored = Ignored::NONE;
        for number in 0..=MAX_IGNORED {
            ignored.insert(stamp(number));
        }
        assert!(!ignored.contains(&stamp(0)));
        assert!((1..=MAX_IGNORED).all(|number| ignored.contains(&stamp(number))));
    }

    #[test]
    fn a_scan_ends_after_so_many_entries() {
        let mut scan = Scan::new(291, None);
        for _ in 0..MAX_ENTRIES {
            assert!(scan.offer(&[], Stamp::default(), &Ignored::NONE));
        }
        assert!(scan.is_over());
        assert!(!scan.offer(&name(291, 1, 1), Stamp::default(), &Ignored::NONE));
        assert_eq!(positions(&scan), []);
    }
}
