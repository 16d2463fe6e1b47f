//! Directories and files of the content and state folders.
//!
//! Everything is opened relative to a directory that was opened itself and not through a reparse
//! point. All of it runs on the driver's worker thread at PASSIVE_LEVEL with APCs enabled, as the
//! `Zw` file routines demand; none of it is called from a callback. What is read, written and
//! listed goes over a [`Lane`].

use core::mem::offset_of;
use core::ptr;

use driver_core::inbox::FileFacts;

use super::bindings as nt;
use super::lane::Lane;
use super::security::Security;
use super::status::{NtStatus, Result, check};
use super::{Handle, UnicodeString, object_attributes, u32_size_of};

/// An open directory.
pub struct Directory<'l> {
    handle: Handle,
    lane: &'l Lane,
}

/// One entry of a directory.
pub struct Entry<'a> {
    /// The entry's name; empty when it is longer than any the driver looks for.
    pub name: &'a [u16],
    /// Its number on the volume.
    pub file_id: u64,
    /// Length of a file in bytes.
    pub size: u64,
    /// When it last changed, in 100-nanosecond units since 1601.
    pub changed: u64,
    /// Its `FILE_ATTRIBUTE_*`.
    pub attributes: u32,
}

/// UTF-16 units of a name that an [`Entry`] holds; no name the driver looks for is longer.
const MAX_ENTRY_NAME: usize = 64;

impl<'l> Directory<'l> {
    /// Opens the directory at an absolute NT path.
    ///
    /// # Errors
    /// `WRONG_TYPE` for a reparse point; the kernel's reason otherwise: `NOT_FOUND` and its
    /// relatives early in a boot.
    pub fn open(path: &[u16], lane: &'l Lane) -> Result<Self> {
        Self::open_or(path, lane, nt::FILE_OPEN, None)
    }

    /// Opens the directory at an absolute NT path, making it if it is not there. One that is made
    /// is for SYSTEM and administrators alone: who may open its files may keep them from changing.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn open_or_create(path: &[u16], lane: &'l Lane) -> Result<Self> {
        let security = Security::system_and_administrators(nt::FILE_ALL_ACCESS)?;
        Self::open_or(path, lane, nt::FILE_OPEN_IF, Some(&security))
    }

    #[inline(never)]
    fn open_or(
        path: &[u16],
        lane: &'l Lane,
        disposition: u32,
        security: Option<&Security>,
    ) -> Result<Self> {
        let handle = create(&Create {
            root: ptr::null_mut(),
            name: path,
            access: nt::FILE_LIST_DIRECTORY
                | nt::FILE_TRAVERSE
                | nt::FILE_READ_ATTRIBUTES
                | nt::READ_CONTROL,
            share: nt::FILE_SHARE_READ | nt::FILE_SHARE_WRITE | nt::FILE_SHARE_DELETE,
            disposition,
            options: nt::FILE_DIRECTORY_FILE,
            security,
        })?;
        // A junction was opened itself, and is empty: its target's files would go missing unseen.
        let directory = File { handle, lane };
        let tag: nt::FILE_ATTRIBUTE_TAG_INFORMATION =
            directory.query(nt::_FILE_INFORMATION_CLASS::FileAttributeTagInformation)?;
        if tag.FileAttributes & nt::FILE_ATTRIBUTE_REPARSE_POINT != 0 {
            return Err(NtStatus::WRONG_TYPE);
        }
        Ok(Self { handle: directory.handle, lane })
    }

    /// Puts the directory's owner and access list, as a self-relative security descriptor, into
    /// `buffer`.
    ///
    /// # Errors
    /// The kernel's reason; `BUFFER_TOO_SMALL` for a longer one.
    pub fn descriptor<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8]> {
        let room = u32::try_from(buffer.len()).map_err(|_| NtStatus::INVALID_PARAMETER)?;
        let mut length = 0;
        // SAFETY: the directory was opened with READ_CONTROL, the buffer is as long as the call is
        // told, and the count is a local; PASSIVE_LEVEL.
        check(unsafe {
            nt::ZwQuerySecurityObject(
                self.handle.0,
                nt::OWNER_SECURITY_INFORMATION | nt::DACL_SECURITY_INFORMATION,
                buffer.as_mut_ptr().cast(),
                room,
                &raw mut length,
            )
        })?;
        let length = usize::try_from(length).map_err(|_| NtStatus::INVALID_PARAMETER)?;
        buffer.get(..length).ok_or(NtStatus::INVALID_PARAMETER)
    }

    /// Calls `each` for the entries whose names match `pattern` (`*` is any run of units), in no
    /// particular order, until it returns false. `buffer` is where they are put.
    ///
    /// # Errors
    /// The kernel's reason; `IO_TIMEOUT` when the disk does not answer in time.
    pub fn for_each(
        &self,
        pattern: &[u16],
        buffer: &mut [u8],
        mut each: impl FnMut(&Entry<'_>) -> bool,
    ) -> Result<()> {
        let mut restart = true;
        while self.lane.list(&self.handle, pattern, restart, buffer)? {
            restart = false;
            let mut records = Records { rest: Some(buffer) };
            let mut name = [0; MAX_ENTRY_NAME];
            while let Some(entry) = records.next(&mut name) {
                if !each(&entry) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Opens a file to read. Others may read it meanwhile, but not write or remove it: a file that
    /// is still being written cannot be opened.
    ///
    /// # Errors
    /// The kernel's reason; `SHARING_VIOLATION` while somebody holds the file.
    pub fn open_file(&self, name: &[u16]) -> Result<File<'l>> {
        self.file(&Create {
            root: self.handle.0,
            name,
            access: nt::FILE_READ_DATA | nt::FILE_READ_ATTRIBUTES,
            share: nt::FILE_SHARE_READ,
            disposition: nt::FILE_OPEN,
            options: nt::FILE_NON_DIRECTORY_FILE | nt::FILE_COMPLETE_IF_OPLOCKED,
            security: None,
        })
    }

    /// Replaces a file by `bytes`, written through to the disk before this returns.
    ///
    /// # Errors
    /// The kernel's reason; the file may then hold anything.
    #[inline(never)]
    pub fn write_file(&self, name: &[u16], bytes: &[u8]) -> Result<()> {
        let file = self.file(&Create {
            root: self.handle.0,
            name,
            access: nt::FILE_WRITE_DATA,
            share: 0,
            disposition: nt::FILE_OVERWRITE_IF,
            options: nt::FILE_NON_DIRECTORY_FILE
                | nt::FILE_WRITE_THROUGH
                | nt::FILE_COMPLETE_IF_OPLOCKED,
            security: None,
        })?;
        file.write(bytes)?;
        file.flush()
    }

    /// Renames a file within the directory, over any file that has the new name.
    ///
    /// # Errors
    /// The kernel's reason.
    #[inline(never)]
    pub fn rename(&self, from: &[u16], to: &[u16]) -> Result<()> {
        let file = self.file(&Create {
            root: self.handle.0,
            name: from,
            access: nt::DELETE,
            share: nt::FILE_SHARE_READ,
            disposition: nt::FILE_OPEN,
            options: nt::FILE_NON_DIRECTORY_FILE | nt::FILE_COMPLETE_IF_OPLOCKED,
            security: None,
        })?;
        file.rename(self, to)
    }

    fn file(&self, what: &Create<'_>) -> Result<File<'l>> {
        Ok(File { handle: create(what)?, lane: self.lane })
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
            attributes: u32_at(record, offset_of!(Info, FileAttributes))?,
        })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// An open file.
pub struct File<'l> {
    handle: Handle,
    lane: &'l Lane,
}

impl File<'_> {
    /// What kind of file it is.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn facts(&self) -> Result<FileFacts> {
        let tag: nt::FILE_ATTRIBUTE_TAG_INFORMATION =
            self.query(nt::_FILE_INFORMATION_CLASS::FileAttributeTagInformation)?;
        let standard: nt::FILE_STANDARD_INFORMATION =
            self.query(nt::_FILE_INFORMATION_CLASS::FileStandardInformation)?;
        // SAFETY: every bit pattern is an i64, and the call above filled the structure in.
        let size = unsafe { standard.EndOfFile.QuadPart };
        Ok(FileFacts {
            attributes: tag.FileAttributes,
            links: standard.NumberOfLinks,
            size: u64::try_from(size).unwrap_or(u64::MAX),
        })
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
    /// `END_OF_FILE` when the file is shorter, `IO_TIMEOUT` when the disk does not answer in time;
    /// the kernel's reason otherwise.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let mut done = 0_usize;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = u64::try_from(done).ok().and_then(|done| offset.checked_add(done));
            let at = at.ok_or(NtStatus::END_OF_FILE)?;
            done = done.saturating_add(progress(self.lane.read(&self.handle, at, rest)?)?);
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        let mut done = 0_usize;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let at = u64::try_from(done).map_err(|_| NtStatus::END_OF_FILE)?;
            done = done.saturating_add(progress(self.lane.write(&self.handle, at, rest)?)?);
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        let mut outcome = nt::IO_STATUS_BLOCK::default();
        // SAFETY: the file is open; the pointer is to a local; PASSIVE_LEVEL.
        check(unsafe { nt::ZwFlushBuffersFile(self.handle.0, &raw mut outcome) })
    }

    fn rename(&self, directory: &Directory<'_>, to: &[u16]) -> Result<()> {
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

/// A transfer that moved nothing would be none, and go on for ever.
const fn progress(bytes: usize) -> Result<usize> {
    if bytes == 0 { Err(NtStatus::END_OF_FILE) } else { Ok(bytes) }
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

#[inline(never)]
fn create(what: &Create<'_>) -> Result<Handle> {
    let mut name = UnicodeString::new(what.name).ok_or(NtStatus::INVALID_PARAMETER)?;
    let security = what.security.map_or(ptr::null_mut(), Security::as_ptr);
    let mut attributes = object_attributes(&mut name, what.root, security);
    let mut outcome = nt::IO_STATUS_BLOCK::default();
    let mut handle: nt::HANDLE = ptr::null_mut();
    // Never through a reparse point: what it names would not be in the folder.
    let options = what.options | nt::FILE_OPEN_REPARSE_POINT;
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
