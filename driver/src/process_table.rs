//! What is known of the processes that ask for pipes. It is found out at a process's first event
//! and kept until the process ends, or others need the room.

use core::mem::offset_of;

use channel_format::engine::Event;
use channel_format::engine::kept::Kept;
use channel_format::ruleset::Ruleset;
use driver_core::drives::DriveTable;
use driver_core::processes::Slot;

use crate::ffi::pool::{PoolSlice, Tag};
use crate::ffi::ps::{ImagePath, Requestor};
use crate::ffi::published::Published;
use crate::ffi::shared::Shared;
use crate::ffi::status::Result;
use crate::ffi::utf16;
use crate::shards::Shards;

/// Slots in each part of the table: room for a thousand processes in all, some times what a busy
/// machine has.
const SLOTS: usize = 128;

/// What does not change while a process lives.
pub struct Process {
    /// Its image's path. The system process has no image.
    path: Option<ImagePath>,
    /// The unit that the path's spelling begins at.
    start: usize,
}

impl Process {
    /// Where a debugger finds the path's address, which is null where there is no path, and where its
    /// spelling begins, in bytes.
    pub const AT: [usize; 2] = [offset_of!(Self, path), offset_of!(Self, start)];

    /// The image's path, spelled with a drive letter where its volume has one; logs call the system
    /// process `System`.
    pub fn image(&self) -> &[u16] {
        const SYSTEM: &[u16] = &utf16::<6>("System");
        match &self.path {
            Some(path) => path.units().get(self.start..).unwrap_or(&[]),
            None => SYSTEM,
        }
    }

    /// Asks the kernel. `None` when the image cannot be found, or its path not be spelled yet: early
    /// in a boot, before the letters are known.
    fn of(requestor: Requestor<'_>, drives: &Published<DriveTable>) -> Option<Self> {
        if requestor.is_system() {
            return Some(Self { path: None, start: 0 });
        }
        let mut path = requestor.image()?;
        let start = drives.read(|drives| spell(drives, path.units_mut()))?;
        Some(Self { path: Some(path), start })
    }
}

/// What one ruleset found in the texts of a process.
#[derive(Clone, Copy)]
struct Found {
    /// [`Ruleset::mark`].
    ruleset: u64,
    /// `None`: there is nothing to be kept, which is not sought again either.
    kept: Option<Kept>,
}

struct Entry {
    process: Shared<Process>,
    found: Option<Found>,
}

impl Entry {
    /// What was found in the texts of this very process: it may have been spelled anew meanwhile.
    fn found_of(&mut self, process: &Process) -> Option<&mut Option<Found>> {
        core::ptr::eq(&raw const *self.process, process).then_some(&mut self.found)
    }
}

/// The processes.
pub struct ProcessTable {
    entries: Shards<Entry>,
}

impl ProcessTable {
    /// As [`PoolSlice::AT`], for the slots.
    pub const SLICE_AT: [usize; 2] = PoolSlice::<Slot<Entry>>::AT;

    /// Where a debugger finds the slots: as [`Shards::AT`], then how long a slot is, where its number
    /// is, and where the owner of its process is, in bytes.
    pub const AT: [usize; 6] = {
        let [first, stride, parts] = Shards::<Entry>::AT;
        let [key, value] = Slot::<Entry>::AT;
        let process = value.saturating_add(offset_of!(Entry, process));
        let first = first.saturating_add(offset_of!(Self, entries));
        [first, stride, parts, size_of::<Slot<Entry>>(), key, process]
    };

    /// An empty table.
    ///
    /// # Errors
    /// `NO_RESOURCES`.
    pub fn new() -> Result<Self> {
        Ok(Self { entries: Shards::new(SLOTS)? })
    }

    /// The process behind a request.
    ///
    /// One that is ending is asked about and not kept: nobody would tell that it has ended. What
    /// was found out while it, or another in the same part of the table, was ending is not either.
    pub fn process(
        &self,
        requestor: Requestor<'_>,
        drives: &Published<DriveTable>,
    ) -> Option<Shared<Process>> {
        let key = requestor.start_key();
        if let Some(process) = self.entries.find(key, |entry| entry.process.clone()) {
            return Some(process);
        }
        let since = self.entries.now(key);
        let process = Shared::new(Process::of(requestor, drives)?, Tag::Sensor).ok()?;
        if !requestor.is_ending() {
            self.entries.keep(key, since, Entry { process: process.clone(), found: None });
        }
        Some(process)
    }

    /// What these rules found in the texts of the process behind a request: found with its first
    /// event and kept for the others. `event` is one of them, and `process` what it knows.
    ///
    /// Not inlined: what is looked at is copied, and the copies are not to lie below an evaluation.
    #[inline(never)]
    pub fn found<E: Event>(
        &self,
        requestor: Requestor<'_>,
        process: &Process,
        rules: &Ruleset<PoolSlice<u8>>,
        event: &E,
    ) -> Option<Kept> {
        let key = requestor.start_key();
        let found = self.entries.find(key, |entry| entry.found_of(process).map(|found| *found))?;
        match found?.filter(|found| found.ruleset == rules.mark()) {
            Some(found) => found.kept,
            None => self.find_out(key, process, rules, event),
        }
    }

    /// Not inlined: it takes the stack of an evaluation, which comes afterwards.
    #[inline(never)]
    fn find_out<E: Event>(
        &self,
        key: u64,
        process: &Process,
        rules: &Ruleset<PoolSlice<u8>>,
        event: &E,
    ) -> Option<Kept> {
        let kept = rules.keep(event);
        let found = Found { ruleset: rules.mark(), kept };
        self.entries.find(key, |entry| {
            if let Some(place) = entry.found_of(process) {
                *place = Some(found);
            }
        });
        kept
    }

    /// Forgets a process that has ended.
    pub fn forget(&self, start_key: u64) {
        self.entries.forget(start_key);
    }

    /// Forgets all of them: their paths are spelled otherwise now.
    pub fn clear(&self) {
        self.entries.clear();
    }
}

/// Spells `path` in place and says where it now begins.
fn spell(drives: &DriveTable, path: &mut [u16]) -> usize {
    let full = path.len();
    full.saturating_sub(drives.spell(path).len())
}
