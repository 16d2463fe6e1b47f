//! Which dropped file is tried next.
//!
//! The name is only a hint of what a file is: it sorts the queue, the signed header decides. A
//! scan looks at a bounded number of entries and keeps a bounded number of candidates, so a folder
//! of thousands of files costs no more than a folder of a few hundred.

use channel_format::limits::MAX_ACTIVE;
use channel_format::name::ChannelName;
use driver_abi::{Cause, RefusalNote};

use crate::Position;

/// Entries one scan looks at: some sixty calls. The system reproduced keeps files of many channels
/// and sequences in one folder, and a file system may list the newest name last, so this is far
/// more than a folder in order has.
pub const MAX_ENTRIES: u32 = 4_096;
/// Names newer than what is in force that one scan considers. No more than are remembered as not
/// worth reading: so each of them has its turn, and no number of bad files hides a sound one.
pub const MAX_NAMES: usize = 256;
/// Files one scan opens.
pub const MAX_CANDIDATES: usize = 8;
/// Bytes one scan reads. A file of any size has room; the rest waits for the next look.
pub const MAX_SCAN_BYTES: u32 = MAX_ACTIVE * 2;

/// What an open file says of itself.
#[derive(Clone, Copy, Debug)]
pub struct FileFacts {
    /// Its `FILE_ATTRIBUTE_*`.
    pub attributes: u32,
    /// How many names it has.
    pub links: u32,
    /// Its length in bytes.
    pub size: u64,
}

/// The length of a plain file: one name, its bytes on this machine, no longer than content may be.
///
/// # Errors
/// What it is instead.
pub fn plain_size(facts: &FileFacts) -> Result<u32, Cause> {
    if let Some(obstacle) = obstacle(facts.attributes) {
        return Err(obstacle);
    }
    if facts.links != 1 {
        return Err(Cause::HardLink);
    }
    u32::try_from(facts.size).ok().filter(|size| *size <= MAX_ACTIVE).ok_or(Cause::NoFile)
}

/// What keeps an entry with these `FILE_ATTRIBUTE_*` from being opened, if anything does. A file
/// whose bytes are elsewhere is not even opened: that may be what fetches them.
pub const fn obstacle(attributes: u32) -> Option<Cause> {
    const DIRECTORY: u32 = 0x10;
    const DEVICE: u32 = 0x40;
    const REPARSE_POINT: u32 = 0x400;
    const OFFLINE: u32 = 0x1000;
    const RECALL_ON_OPEN: u32 = 0x0004_0000;
    const RECALL_ON_DATA_ACCESS: u32 = 0x0040_0000;
    if attributes & (OFFLINE | RECALL_ON_OPEN | RECALL_ON_DATA_ACCESS) != 0 {
        Some(Cause::Offline)
    } else if attributes & REPARSE_POINT != 0 {
        Some(Cause::ReparsePoint)
    } else if attributes & DIRECTORY != 0 {
        Some(Cause::Directory)
    } else if attributes & DEVICE != 0 {
        Some(Cause::NoFile)
    } else {
        None
    }
}

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
    /// What keeps it from being opened.
    pub obstacle: Option<Cause>,
}

impl Candidate {
    /// Where its name puts it.
    pub const fn position(&self) -> Position {
        Position { epoch: self.name.epoch, sequence: self.name.sequence }
    }
}

/// One entry of the folder.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its name.
    pub name: &'a [u16],
    /// Which version of the file.
    pub stamp: Stamp,
    /// Its `FILE_ATTRIBUTE_*`.
    pub attributes: u32,
}

/// One look into the inbox.
#[derive(Clone, Debug)]
pub struct Scan {
    channel: u32,
    above: Option<Position>,
    refused: Option<Position>,
    still_there: bool,
    entries: u32,
    names: usize,
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
            names: 0,
            kept: [None; MAX_CANDIDATES],
        }
    }

    /// Considers one directory entry. False once enough have been seen and the scan should end.
    pub fn offer<S: AsRef<[Stamp]>>(&mut self, entry: &Entry<'_>, ignored: &Ignored<S>) -> bool {
        if self.is_over() {
            return false;
        }
        self.entries = self.entries.saturating_add(1);
        let Some(name) = ChannelName::parse_utf16(entry.name) else {
            return true;
        };
        let obstacle = obstacle(entry.attributes);
        let candidate = Candidate { name, stamp: entry.stamp, obstacle };
        let newer = self.above.is_none_or(|above| candidate.position() > above);
        if name.channel == self.channel && newer {
            self.names = self.names.saturating_add(1);
            self.still_there |= self.refused == Some(candidate.position());
            if !ignored.contains(&entry.stamp) {
                self.keep(candidate);
            }
        }
        true
    }

    /// The candidates, newest first.
    pub fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.kept.iter().flatten()
    }

    /// True when there may be more in the folder than a scan looks at.
    pub const fn is_over(&self) -> bool {
        self.entries >= MAX_ENTRIES || self.names >= MAX_NAMES
    }

    /// True when the file that was refused before is still newer than what is in force and was not
    /// taken away; also when the scan could not see all.
    pub const fn refusal_stands(&self) -> bool {
        self.still_there || self.is_over()
    }

    /// Inserts into the sorted list; the oldest falls off its end. Not inlined: the loop unrolls.
    #[inline(never)]
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
    if !note.stands() {
        return None;
    }
    Some(Position { epoch: note.epoch, sequence: note.sequence })
}

/// Files that were read once and need not be read again until they change. The storage says how
/// many are remembered; a stamp of zeros is a free place.
#[derive(Clone, Debug)]
pub struct Ignored<S> {
    stamps: S,
    /// Where the next one goes.
    next: usize,
}

impl<S: AsRef<[Stamp]>> Ignored<S> {
    /// Nothing is ignored. `stamps` are all zeros.
    pub const fn new(stamps: S) -> Self {
        Self { stamps, next: 0 }
    }

    /// True for a file that need not be read again.
    pub fn contains(&self, stamp: &Stamp) -> bool {
        *stamp != Stamp::default() && self.stamps.as_ref().contains(stamp)
    }
}

impl<S: AsMut<[Stamp]>> Ignored<S> {
    /// Remembers a file; the one remembered longest is forgotten.
    pub fn insert(&mut self, stamp: Stamp) {
        let stamps = self.stamps.as_mut();
        if let Some(place) = stamps.get_mut(self.next) {
            *place = stamp;
        }
        self.next = self.next.saturating_add(1).checked_rem(stamps.len()).unwrap_or(0);
    }

    /// Forgets them all: each is read again.
    pub fn clear(&mut self) {
        self.stamps.as_mut().fill(Stamp::default());
        self.next = 0;
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

    const NONE: Ignored<[Stamp; 0]> = Ignored::new([]);

    fn entry(name: &[u16], stamp: Stamp) -> Entry<'_> {
        Entry { name, stamp, attributes: 0x20 }
    }

    fn stamp(number: usize) -> Stamp {
        Stamp { file_id: u64::try_from(number).unwrap(), size: 2, changed: 3 }
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
                prop_assert!(scan.offer(&entry(&name(291, *epoch, *sequence), stamp(0)), &NONE));
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
        let stamp = stamp(0);
        let mut ignored = Ignored::new([Stamp::default(); 4]);
        ignored.insert(stamp);
        let scan = |above, files: &[u32]| {
            let mut scan = Scan::new(291, above, &refusal(12));
            for sequence in files {
                assert!(scan.offer(&entry(&name(291, 1, *sequence), stamp), &ignored));
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
            assert!(scan.offer(&entry(&other, stamp(0)), &NONE));
        }
        assert_eq!(positions(&scan), []);
    }

    #[test]
    fn an_ignored_file_comes_back_when_it_changes_or_all_are_forgotten() {
        let mut ignored = Ignored::new([Stamp::default(); 4]);
        ignored.insert(stamp(0));
        let found = |stamp, ignored: &Ignored<[Stamp; 4]>| {
            let mut scan = Scan::new(291, None, &RefusalNote::default());
            assert!(scan.offer(&entry(&name(291, 1, 1), stamp), ignored));
            positions(&scan)
        };
        assert_eq!(found(stamp(0), &ignored), []);
        assert_eq!(found(Stamp { changed: 4, ..stamp(0) }, &ignored), [(1, 1)]);
        ignored.clear();
        assert_eq!(found(stamp(0), &ignored), [(1, 1)]);
    }

    #[test]
    fn a_stamp_of_zeros_is_a_free_place_and_never_ignored() {
        let mut ignored = Ignored::new([Stamp::default(); 4]);
        assert!(!ignored.contains(&Stamp::default()));
        ignored.insert(Stamp::default());
        assert!(!ignored.contains(&Stamp::default()));
    }

    #[test]
    fn the_file_ignored_longest_is_forgotten_first() {
        let mut ignored = Ignored::new([Stamp::default(); 8]);
        for number in 0..=8 {
            ignored.insert(stamp(number));
        }
        assert!(!ignored.contains(&stamp(0)));
        assert!((1..=8).all(|number| ignored.contains(&stamp(number))));
    }

    #[test]
    fn a_scan_ends_after_so_many_entries() {
        let mut scan = Scan::new(291, None, &RefusalNote::default());
        for _ in 0..MAX_ENTRIES {
            assert!(scan.offer(&entry(&[], stamp(0)), &NONE));
        }
        assert!(scan.is_over());
        assert!(!scan.offer(&entry(&name(291, 1, 1), stamp(0)), &NONE));
        assert_eq!(positions(&scan), []);
    }

    #[test]
    fn a_scan_ends_after_so_many_newer_names() {
        let mut scan = Scan::new(291, Some(at(5)), &RefusalNote::default());
        for _ in 0..MAX_NAMES {
            // Old names and those of others do not count.
            assert!(scan.offer(&entry(&name(291, 1, 5), stamp(0)), &NONE));
            assert!(scan.offer(&entry(&name(292, 1, 6), stamp(0)), &NONE));
            assert!(!scan.is_over());
            assert!(scan.offer(&entry(&name(291, 1, 6), stamp(0)), &NONE));
        }
        assert!(scan.is_over());
        assert!(!scan.offer(&entry(&name(291, 1, 6), stamp(0)), &NONE));
    }

    /// As many bad files as a scan considers, newer than one sound file: it has its turn.
    #[test]
    fn no_number_of_bad_files_hides_a_sound_one() {
        let names: Vec<_> = (0..u32::try_from(MAX_NAMES - 1).unwrap())
            .map(|number| name(291, 1, number + 1))
            .collect();
        let mut ignored = Ignored::new([Stamp::default(); MAX_NAMES]);
        for look in 1.. {
            assert!(look <= MAX_NAMES / MAX_CANDIDATES, "the sound file never has its turn");
            let mut scan = Scan::new(291, None, &RefusalNote::default());
            for (number, name) in names.iter().enumerate() {
                assert!(scan.offer(&entry(name, stamp(number)), &ignored));
            }
            if positions(&scan).contains(&(1, 1)) {
                break;
            }
            let tried: Vec<Stamp> = scan.candidates().map(|candidate| candidate.stamp).collect();
            assert_eq!(tried.len(), MAX_CANDIDATES);
            for stamp in tried {
                ignored.insert(stamp);
            }
        }
    }

    #[test]
    fn attributes_say_what_is_in_the_way() {
        for (attributes, expected) in [
            (0, None),
            (0x20 | 0x1 | 0x80, None),
            (0x10, Some(Cause::Directory)),
            (0x40, Some(Cause::NoFile)),
            (0x400 | 0x10, Some(Cause::ReparsePoint)),
            (0x1000, Some(Cause::Offline)),
            (0x0004_0000 | 0x400, Some(Cause::Offline)),
            (0x0040_0000 | 0x400, Some(Cause::Offline)),
        ] {
            assert_eq!(obstacle(attributes), expected, "{attributes:#x}");
        }
        let plain = FileFacts { attributes: 0x20, links: 1, size: u64::from(MAX_ACTIVE) };
        assert_eq!(plain_size(&plain), Ok(MAX_ACTIVE));
        for (facts, cause) in [
            (FileFacts { links: 2, ..plain }, Cause::HardLink),
            (FileFacts { links: 0, ..plain }, Cause::HardLink),
            (FileFacts { size: plain.size + 1, ..plain }, Cause::NoFile),
            (FileFacts { size: u64::MAX, ..plain }, Cause::NoFile),
            (FileFacts { attributes: 0x1020, ..plain }, Cause::Offline),
        ] {
            assert_eq!(plain_size(&facts), Err(cause), "{facts:?}");
        }
        let name = name(291, 1, 1);
        let mut scan = Scan::new(291, None, &RefusalNote::default());
        let link = Entry { name: &name, stamp: stamp(0), attributes: 0x420 };
        assert!(scan.offer(&link, &NONE));
        let found = scan.candidates().next().unwrap();
        assert_eq!(found.obstacle, Some(Cause::ReparsePoint), "told, not passed over");
    }
}
