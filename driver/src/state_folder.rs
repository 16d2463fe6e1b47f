//! The state folder: accepted content in its slots, channel 0, and the journal.
//!
//! Only the driver writes there. Every write goes through to the disk before it returns.

use driver_core::journal::{FILE_NAMES, JOURNAL_LEN, Journal};
use driver_core::slots::Slot;

use crate::ffi::io::{Directory, File};
use crate::ffi::lane::Lane;
use crate::ffi::status::{NtStatus, Result};

/// The file names of the two copies of channel 0.
pub const CONTROL_COPIES: [&str; 2] = ["control-a.sys", "control-b.sys"];
/// The longest file name in the folder.
const NAME_UNITS: usize = 16;

/// The open folder.
pub struct StateFolder<'l>(Directory<'l>);

impl<'l> StateFolder<'l> {
    /// Opens the folder.
    ///
    /// # Errors
    /// The kernel's reason; `NOT_FOUND` also early in a boot.
    pub fn open(path: &[u16], lane: &'l Lane) -> Result<Self> {
        Directory::open(path, lane).map(Self)
    }

    /// Opens the folder, making it if it is not there.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn open_or_create(path: &[u16], lane: &'l Lane) -> Result<Self> {
        Directory::open_or_create(path, lane).map(Self)
    }

    /// Opens the content in a slot to read.
    ///
    /// # Errors
    /// The kernel's reason; `NOT_FOUND` when the slot is empty.
    pub fn open_slot(&self, slot: Slot) -> Result<File<'l>> {
        self.0.open_file(ascii(slot.file_name(), &mut [0; NAME_UNITS]))
    }

    /// Replaces what is in a slot.
    ///
    /// # Errors
    /// The kernel's reason; the slot may then hold anything.
    pub fn save(&self, slot: Slot, content: &[u8]) -> Result<()> {
        self.0.write_file(ascii(slot.file_name(), &mut [0; NAME_UNITS]), content)
    }

    /// Moves what is in one slot to another, over what is there.
    ///
    /// # Errors
    /// The kernel's reason; `NOT_FOUND` when there is nothing to move.
    pub fn move_slot(&self, from: Slot, to: Slot) -> Result<()> {
        let (mut old, mut new) = ([0; NAME_UNITS], [0; NAME_UNITS]);
        self.0.rename(ascii(from.file_name(), &mut old), ascii(to.file_name(), &mut new))
    }

    /// Opens a copy of channel 0 to read.
    ///
    /// # Errors
    /// The kernel's reason; `NOT_FOUND` when there is none.
    pub fn open_control(&self, copy: usize) -> Result<File<'l>> {
        self.0.open_file(ascii(control_name(copy), &mut [0; NAME_UNITS]))
    }

    /// Replaces a copy of channel 0.
    ///
    /// # Errors
    /// The kernel's reason; the copy may then hold anything.
    pub fn save_control(&self, copy: usize, content: &[u8]) -> Result<()> {
        self.0.write_file(ascii(control_name(copy), &mut [0; NAME_UNITS]), content)
    }

    /// The journal as it is on the disk.
    ///
    /// # Errors
    /// The kernel's reason when a copy could not be read, which may be the newer one.
    pub fn read_journal(&self) -> Result<Journal> {
        let [first, second] = FILE_NAMES;
        Ok(Journal::read(&self.read_copy(first)?, &self.read_copy(second)?))
    }

    /// Writes the record `next` that follows `current`, beside it and not over it.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn write_journal(&self, current: &Journal, next: &Journal) -> Result<()> {
        let name = FILE_NAMES.get(current.next_copy()).copied().unwrap_or_default();
        self.0.write_file(ascii(name, &mut [0; NAME_UNITS]), &next.encode())
    }

    /// One copy of the journal; one that is not there or too short is none.
    fn read_copy(&self, name: &str) -> Result<[u8; JOURNAL_LEN]> {
        let mut bytes = [0; JOURNAL_LEN];
        let file = self.0.open_file(ascii(name, &mut [0; NAME_UNITS]));
        match file.and_then(|file| file.read(0, &mut bytes)) {
            Ok(()) => Ok(bytes),
            Err(NtStatus::NOT_FOUND | NtStatus::END_OF_FILE) => Ok([0; JOURNAL_LEN]),
            Err(status) => Err(status),
        }
    }
}

fn control_name(copy: usize) -> &'static str {
    CONTROL_COPIES.get(copy).copied().unwrap_or_default()
}

/// The UTF-16 units of a short ASCII name.
fn ascii<'u>(name: &str, units: &'u mut [u16; NAME_UNITS]) -> &'u [u16] {
    for (to, from) in units.iter_mut().zip(name.bytes()) {
        *to = u16::from(from);
    }
    units.get(..name.len()).unwrap_or(&[])
}
