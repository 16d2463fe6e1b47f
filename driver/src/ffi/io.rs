//! Directories and files of the content and state folders.
//!
//! Everything is opened relative to a directory that was opened itself and not through a reparse
//! point. All of it runs on the driver's worker thread at PASSIVE_LEVEL with APCs enabled, as the
//! `Zw` file routines demand; none of it is called from a callback.

use core::mem::offset_of;
use core::ptr;

use super::bindings as nt;
use super::security::Security;
use super::status::{NtStatus, Result, check};
use super::{Handle, UnicodeString, object_attributes, u32_size_of};

/// An open directory.
pub struct Directory {
    handle: Handle,
}

/// One entry of a directory.
pub struct Entry<'a> {
    /// The entry's name.
    pub name: &'a [u16],
    /// Its number on the volume.
    pub file_id: u64,
    /// Length of a file in bytes.
    pub size: u64,
    /// When it last changed, in 100-nanosecond units since 1601.
    pub changed: u64,
    /// It is a directory, a reparse point, or its bytes are not on this machine.
    pub unusual: bool,
}

/// Attributes of what the driver does not read: directories, reparse points, offline and recalled
/// files, devices.
const UNUSUAL: u32 = nt::FILE_ATTRIBUTE_DIRECTORY
    | nt::FILE_ATTRIBUTE_REPARSE_POINT
    | nt::FILE_ATTRIBUTE_OFFLINE
    | nt::FILE_ATTRIBUTE_DEVICE
    | FILE_ATTRIBUTE_RECALL_ON_OPEN
    | FILE_ATTRIBUTE_RECALL_ON_DATA_ACCESS;

// From winnt.h of newer kits; older headers lack them.
const FILE_ATTRIBUTE_RECALL_ON_OPEN: u32 = 0x0004_0000;
const FILE_ATTRIBUTE_RECALL_ON_DATA_ACCESS: u32 = 0x0040_0000;

/// UTF-16 units of a name that an [`Entry`] holds; no name the driver looks for is longer.
const MAX_ENTRY_NAME: usize = 64;

impl Directory {
    /// Opens the directory at an absolute NT path.
    ///
    /// # Errors
    /// `WRONG_TYPE` for a reparse point; the kernel's reason otherwise: `NOT_FOUND` and its
    /// relatives early in a boot.
    pub fn open(path: &[u16]) -> Result<Self> {
        Self::open_or(path, nt::FILE_OPEN, None)
    }

    /// Opens the directory at an absolute NT path, making it if it is not there. One that is made
    /// is for SYSTEM and administrators alone: who may open its files may keep them from changing.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn open_or_create(path: &[u16]) -> Result<Self> {
        let security = Security::system_and_administrators(nt::FILE_ALL_ACCESS)?;
        Self::open_or(path, nt::FILE_OPEN_IF, Some(&security))
    }

    fn open_or(path: &[u16], disposition: u32, security: Option<&Security>) -> Result<Self> {
        let handle = create(&Create {
            root: ptr::null_mut(),
            name: path,
            access: nt::FILE_LIST_DIRECTORY
                | nt::FILE_TRAVERSE
                | nt::FILE_READ_ATTRIBUTES
                | nt::SYNCHRONIZE,
            share: nt::FILE_SHARE_READ | nt::FILE_SHARE_WRITE | nt::FILE_SHARE_DELETE,
            disposition,
            options: nt::FILE_DIRECTORY_FILE,
            security,
        })?;
        // A junction was opened itself, and is empty: its target's files would go missing unseen.
        let directory = File { handle };
        let tag: nt::FILE_ATTRIBUTE_TAG_INFORMATION =
            directory.query(nt::_FILE_INFORMATION_CLASS::FileAttributeTagInformation)?;
        if tag.FileAttributes & nt::FILE_ATTRIBUTE_REPARSE_POINT != 0 {
            return Err(NtStatus::WRONG_TYPE);
        }
        Ok(Self { handle: directory.handle })
    }

    /// Calls `each` for the entries of the directory, in no particular order, until it returns
    /// false. `buffer` is where the kernel puts them.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn for_each(
        &self,
        buffer: &mut [u8],
        mut each: impl FnMut(&Entry<'_>) -> bool,
    ) -> Result<()> {
        let mut restart = true;
        loop {
            match self.query(buffer, restart) {
                Err(status) if status.number() == nt_number(nt::STATUS_NO_MORE_FILES) => {
                    return Ok(());
                }
                other => other?,
            }
            restart = false;
            let mut records = Records { rest: Some(buffer) };
            let mut name = [0; MAX_ENTRY_NAME];
            while let Some(entry) = records.next(&mut name) {
                if !each(&entry) {
                    return Ok(());
                }
            }
        }
    }

    fn query(&self, buffer: &mut [u8], restart: bool) -> Result<()> {
        let mut outcome = nt::IO_STATUS_BLOCK::default();
        let room = u32::try_from(buffer.len()).map_err(|_| NtStatus::INVALID_PARAMETER)?;
        // The kernel fills in whole records and ends the last with a next-offset of zero; what an
        // earlier call left behind must not be taken for one.
        buffer.fill(0);
        // SAFETY: the directory is open for synchronous use, the buffer is as long as the call is
        // told, and both outlive it; PASSIVE_LEVEL.
        check(unsafe {
            nt::ZwQueryDirectoryFile(
                self.handle.0,
                ptr::null_mut(),
                None,
                ptr::null_mut(),
                &raw mut outcome,
                buffer.as_mut_ptr().cast(),
                room,
                nt::_FILE_INFORMATION_CLASS::FileIdBothDirectoryInformation,
                0,
                ptr::null_mut(),
                u8::from(restart),
            )
        })
    }

    /// Opens a file to read. Others may read it meanwhile, but not write or remove it: a file that
    /// is still being written cannot be opened.
    ///
    /// # Errors
    /// The kernel's reason; `SHARING_VIOLATION` while somebody holds the file.
    pub fn open_file(&self, name: &[u16]) -> Result<File> {
        let handle = create(&Create {
            root: self.handle.0,
            name,
            access: nt::FILE_READ_DATA | nt::FILE_READ_ATTRIBUTES | nt::SYNCHRONIZE,
            share: nt::FILE_SHARE_READ,
            disposition: nt::FILE_OPEN,
            options: nt::FILE_NON_DIRECTORY_FILE | nt::FILE_COMPLETE_IF_OPLOCKED,
            security: None,
        })?;
        Ok(File { handle })
    }

    /// Replaces a file by `bytes`, written through to the disk before this returns.
    ///
    /// # Errors
    /// The kernel's reason; the file may then hold anything.
    pub fn write_file(&self, name: &[u16], bytes: &[u8]) -> Result<()> {
        let file = File {
            handle: create(&Create {
                root: self.handle.0,
                name,
                access: nt::FILE_WRITE_DATA | nt::SYNCHRONIZE,
                share: 0,
                disposition: nt::FILE_OVERWRITE_IF,
                options: nt::FILE_NON_DIRECTORY_FILE
                    | nt::FILE_WRITE_THROUGH
                    | nt::FILE_COMPLETE_IF_OPLOCKED,
                security: None,
            })?,
        };
        file.write(bytes)?;
        file.flush()
    }

    /// Renames a file within the directory, over any file that has the new name.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn rename(&self, from: &[u16], to: &[u16]) -> Result<()> {
        let file = File {
            handle: create(&Create {
                root: self.handle.0,
                name: from,
                access: nt::DELETE | nt::SYNCHRONIZE,
                share: nt::FILE_SHARE_READ,
                disposition: nt::FILE_OPEN,
                options: nt::FILE_NON_DIRECTORY_FILE | nt::FILE_COMPLETE_IF_OPLOCKED,
                security: None,
            })?,
        };
        file.rename(self, to)
    }
}

/// The records of a directory query's buffer.
struct Records<'a> {
    rest: Option<&'a [u8]>,
}

impl Records<'_> {
    /// The next record; `name` is where its name is put, since the buffer need not be aligned.
    /// A name too long for it comes out empty.
    fn next<'n>(&mut self, name: &'n mut [u16; MAX_ENTRY_NAME]) -> Option<Entry<'n>> {
        type Info = nt::FILE_ID_BOTH_DIR_INFORMATION;
        let record = self.rest?;
        let next = usize::try_from(u32_at(record, offset_of!(Info, NextEntryOffset))?).ok()?;
        self.rest = if next == 0 { None } else { record.get(next..) };
        let bytes = usize::try_from(u32_at(record, offset_of!(Info, FileNameLength))?).ok()?;
        let (units, _) = record.get(offset_of!(Info, FileName)..)?.as_chunks::<2>();
        let name = name.get_mut(..bytes / 2).unwrap_or(&mut []);
        for (to, from) in name.iter_mut().zip(units) {
            *to = u16::from_le_bytes(*from);
        }
        Some(Entry {
            name,
            file_id: u64_at(record, offset_of!(Info, FileId))?,
            size: u64_at(record, offset_of!(Info, EndOfFile))?,
            changed: u64_at(record, offset_of!(Info, ChangeTime))?,
            unusual: u32_at(record, offset_of!(Info, FileAttributes))? & UNUSUAL != 0,
        })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

const fn nt_number(status: nt::NTSTATUS) -> u32 {
    u32::from_ne_bytes(status.to_ne_bytes())
}

/// An open file.
pub struct File {
    handle: Handle,
}

impl File {
    /// The file's length in bytes.
    ///
    /// # Errors
    /// `WRONG_TYPE` for anything but a plain file with one name whose bytes are on this machine;
    /// the kernel's reason otherwise.
    pub fn plain_size(&self) -> Result<u64> {
        let tag: nt::FILE_ATTRIBUTE_TAG_INFORMATION =
            self.query(nt::_FILE_INFORMATION_CLASS::FileAttributeTagInformation)?;
        let standard: nt::FILE_STANDARD_INFORMATION =
            self.query(nt::_FILE_INFORMATION_CLASS::FileStandardInformation)?;
        if tag.FileAttributes & UNUSUAL != 0
            || standard.Directory != 0
            || standard.NumberOfLinks != 1
        {
            return Err(NtStatus::WRONG_TYPE);
        }
        // SAFETY: every bit pattern is an i64, and the call above filled the structure in.
        let size = unsafe { standard.EndOfFile.QuadPart };
        u64::try_from(size).map_err(|_| NtStatus::WRONG_TYPE)
    }

    fn query<T: Default>(&self, class: nt::FILE_INFORMATION_CLASS) -> Result<T> {
        let mut outcome = nt::IO_STATUS_BLOCK::default();
        let mut info = T::default();
        // SAFETY: the file is open, and the structure is as long as the call is told; all callers
        // pass the class that belongs to the structure; PASSIVE_LEVEL.
        check(unsafe {
            nt::ZwQueryInformationFile(
                self.handle.0,
                &raw mut outcome,
                (&raw mut info).cast(),
                u32_size_of::<T>(),
                class,
            )
        })?;
        Ok(info)
    }

    /// Fills `bytes` from the file, from byte `offset` on.
    ///
    /// # Errors
    /// `END_OF_FILE` when the file is shorter; the kernel's reason otherwise.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let mut done = 0_usize;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = u64::try_from(done).ok().and_then(|done| offset.checked_add(done));
            let mut at = large(at.ok_or(NtStatus::END_OF_FILE)?)?;
            let mut outcome = nt::IO_STATUS_BLOCK::default();
            let room = u32::try_from(rest.len().min(MAX_TRANSFER)).unwrap_or(0);
            // SAFETY: the file is open for synchronous use, the buffer is at least as long as the
            // call is told, and all outlive it; PASSIVE_LEVEL.
            check(unsafe {
                nt::ZwReadFile(
                    self.handle.0,
                    ptr::null_mut(),
                    None,
                    ptr::null_mut(),
                    &raw mut outcome,
                    rest.as_mut_ptr().cast(),
                    room,
                    &raw mut at,
                    ptr::null_mut(),
                )
            })?;
            done = done.saturating_add(transferred(&outcome)?);
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        let mut done = 0_usize;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let mut at = large(u64::try_from(done).map_err(|_| NtStatus::END_OF_FILE)?)?;
            let mut outcome = nt::IO_STATUS_BLOCK::default();
            let room = u32::try_from(rest.len().min(MAX_TRANSFER)).unwrap_or(0);
            // SAFETY: as for reading; the call does not write to the buffer.
            check(unsafe {
                nt::ZwWriteFile(
                    self.handle.0,
                    ptr::null_mut(),
                    None,
                    ptr::null_mut(),
                    &raw mut outcome,
                    rest.as_ptr().cast_mut().cast(),
                    room,
                    &raw mut at,
                    ptr::null_mut(),
                )
            })?;
            done = done.saturating_add(transferred(&outcome)?);
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        let mut outcome = nt::IO_STATUS_BLOCK::default();
        // SAFETY: the file is open; the pointer is to a local; PASSIVE_LEVEL.
        check(unsafe { nt::ZwFlushBuffersFile(self.handle.0, &raw mut outcome) })
    }

    fn rename(&self, directory: &Directory, to: &[u16]) -> Result<()> {
        let mut outcome = nt::IO_STATUS_BLOCK::default();
        let mut info = RenameInfo::new(directory.handle.0, to)?;
        // SAFETY: the file is open with DELETE access, and the structure is as long as the call is
        // told; PASSIVE_LEVEL.
        check(unsafe {
            nt::ZwSetInformationFile(
                self.handle.0,
                &raw mut outcome,
                (&raw mut info).cast(),
                u32_size_of::<RenameInfo>(),
                nt::_FILE_INFORMATION_CLASS::FileRenameInformation,
            )
        })
    }
}

/// `FILE_RENAME_INFORMATION` with room for a name: the WDK's declaration ends in an array of one.
#[repr(C)]
struct RenameInfo {
    replace_if_exists: u8,
    root: nt::HANDLE,
    name_bytes: u32,
    name: [u16; MAX_ENTRY_NAME],
}

const _: () = {
    assert!(offset_of!(RenameInfo, root) == offset_of!(nt::FILE_RENAME_INFORMATION, RootDirectory));
    assert!(
        offset_of!(RenameInfo, name_bytes)
            == offset_of!(nt::FILE_RENAME_INFORMATION, FileNameLength)
    );
    assert!(offset_of!(RenameInfo, name) == offset_of!(nt::FILE_RENAME_INFORMATION, FileName));
};

impl RenameInfo {
    fn new(root: nt::HANDLE, to: &[u16]) -> Result<Self> {
        let bytes = to.len().checked_mul(2).and_then(|bytes| u32::try_from(bytes).ok());
        let mut info = Self {
            replace_if_exists: 1,
            root,
            name_bytes: bytes.ok_or(NtStatus::INVALID_PARAMETER)?,
            name: [0; MAX_ENTRY_NAME],
        };
        let name = info.name.get_mut(..to.len()).ok_or(NtStatus::INVALID_PARAMETER)?;
        for (to, from) in name.iter_mut().zip(to) {
            *to = *from;
        }
        Ok(info)
    }
}

/// Bytes moved by one call at most.
const MAX_TRANSFER: usize = 1 << 20;

fn large(value: u64) -> Result<nt::LARGE_INTEGER> {
    let mut large = nt::LARGE_INTEGER::default();
    large.QuadPart = i64::try_from(value).map_err(|_| NtStatus::END_OF_FILE)?;
    Ok(large)
}

/// How many bytes a transfer moved. None at all would not be progress, and is an error.
fn transferred(outcome: &nt::IO_STATUS_BLOCK) -> Result<usize> {
    match usize::try_from(outcome.Information) {
        Ok(0) | Err(_) => Err(NtStatus::END_OF_FILE),
        Ok(bytes) => Ok(bytes),
    }
}

/// What to open, and how.
struct Create<'a> {
    root: nt::HANDLE,
    name: &'a [u16],
    access: u32,
    share: u32,
    disposition: u32,
    options: u32,
    /// Who may open it, if this makes it.
    security: Option<&'a Security>,
}

fn create(what: &Create<'_>) -> Result<Handle> {
    let mut name = UnicodeString::new(what.name).ok_or(NtStatus::INVALID_PARAMETER)?;
    let security = what.security.map_or(ptr::null_mut(), Security::as_ptr);
    let mut attributes = object_attributes(&mut name, what.root, security);
    let mut outcome = nt::IO_STATUS_BLOCK::default();
    let mut handle: nt::HANDLE = ptr::null_mut();
    // Never through a reparse point: what it names would not be in the folder.
    let options = what.options | nt::FILE_OPEN_REPARSE_POINT | nt::FILE_SYNCHRONOUS_IO_NONALERT;
    // SAFETY: all pointers are to locals that outlive the call, and the root handle is null or
    // open; PASSIVE_LEVEL with APCs enabled, on a thread of ours.
    let status = unsafe {
        nt::ZwCreateFile(
            &raw mut handle,
            what.access,
            &raw mut attributes,
            &raw mut outcome,
            ptr::null_mut(),
            nt::FILE_ATTRIBUTE_NORMAL,
            what.share,
            what.disposition,
            options,
            ptr::null_mut(),
            0,
        )
    };
    check(status)?;
    let handle = Handle(handle);
    // A success code: the file is open, but somebody holds an oplock on it, and the next call would
    // wait until he gives it up, if he ever does.
    if status == nt::STATUS_OPLOCK_BREAK_IN_PROGRESS {
        return Err(NtStatus::SHARING_VIOLATION);
    }
    Ok(handle)
}
