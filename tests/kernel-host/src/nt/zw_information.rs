//! Querying and setting file information.

use std::mem::offset_of;

use windows_sys::Wdk::Storage::FileSystem::{
    FILE_BASIC_INFORMATION, FILE_INTERNAL_INFORMATION, FILE_RENAME_INFORMATION,
    FILE_STANDARD_INFORMATION,
};
use windows_sys::Wdk::System::SystemServices::FILE_ATTRIBUTE_TAG_INFORMATION;

use super::zw_file::{complete, file, settle};
use super::{Object, OpenFile};
use crate::cpu::{Cx, PASSIVE, Trap, apis};
use crate::guest;
use crate::machine::FileInfo;
use crate::status::NtStatus;

const FILE_BASIC: u32 = 4;
const FILE_STANDARD: u32 = 5;
const FILE_INTERNAL: u32 = 6;
const FILE_RENAME: u32 = 10;
const FILE_DISPOSITION: u32 = 13;
const FILE_END_OF_FILE: u32 = 20;
const FILE_ATTRIBUTE_TAG: u32 = 35;
/// `FILE_READ_ATTRIBUTES`, and the generic and maximum rights that hold it.
const READS_ATTRIBUTES: u32 = 0xB200_0080;
const ATTRIBUTE_REPARSE_POINT: u32 = 0x400;
const TAG_SYMLINK: u32 = 0xA000_000C;

/// The bytes of an information class, or `None` for one that is not modelled.
fn information(class: u32, info: &FileInfo) -> Option<Vec<u8>> {
    let mut out = vec![
        0u8;
        match class {
            FILE_BASIC => size_of::<FILE_BASIC_INFORMATION>(),
            FILE_STANDARD => size_of::<FILE_STANDARD_INFORMATION>(),
            FILE_INTERNAL => size_of::<FILE_INTERNAL_INFORMATION>(),
            FILE_ATTRIBUTE_TAG => size_of::<FILE_ATTRIBUTE_TAG_INFORMATION>(),
            _ => return None,
        }
    ];
    let mut put = |offset: usize, bytes: &[u8]| {
        out[offset..offset + bytes.len()].copy_from_slice(bytes);
    };
    match class {
        FILE_BASIC => {
            type Basic = FILE_BASIC_INFORMATION;
            put(offset_of!(Basic, CreationTime), &info.created.to_le_bytes());
            put(offset_of!(Basic, LastAccessTime), &info.written.to_le_bytes());
            put(offset_of!(Basic, LastWriteTime), &info.written.to_le_bytes());
            put(offset_of!(Basic, ChangeTime), &info.changed.to_le_bytes());
            put(offset_of!(Basic, FileAttributes), &info.attributes.to_le_bytes());
        }
        FILE_STANDARD => {
            type Standard = FILE_STANDARD_INFORMATION;
            let allocated = info.size.next_multiple_of(4096);
            put(offset_of!(Standard, AllocationSize), &allocated.to_le_bytes());
            put(offset_of!(Standard, EndOfFile), &info.size.to_le_bytes());
            put(offset_of!(Standard, NumberOfLinks), &info.links.to_le_bytes());
            put(offset_of!(Standard, DeletePending), &[u8::from(info.delete_pending)]);
            put(offset_of!(Standard, Directory), &[u8::from(info.directory)]);
        }
        FILE_INTERNAL => put(0, &info.id.to_le_bytes()),
        _ => {
            put(0, &info.attributes.to_le_bytes());
            let tag = if info.attributes & ATTRIBUTE_REPARSE_POINT != 0 { TAG_SYMLINK } else { 0 };
            put(4, &tag.to_le_bytes());
        }
    }
    Some(out)
}

/// The new path of a rename request.
fn rename_target(
    cx: &Cx<'_>,
    file: &OpenFile,
    buffer: u64,
    given: u32,
) -> Result<Result<String, NtStatus>, Trap> {
    type Rename = FILE_RENAME_INFORMATION;
    let at = |offset: usize| buffer + offset as u64;
    let root: u64 = guest::read(at(offset_of!(Rename, RootDirectory)))?;
    let length: u32 = guest::read(at(offset_of!(Rename, FileNameLength)))?;
    let room = given.saturating_sub(offset_of!(Rename, FileName) as u32);
    if length == 0 || length > 0xFFFE || !length.is_multiple_of(2) || length > room {
        return Ok(Err(NtStatus::INVALID_PARAMETER));
    }
    let units = guest::units(at(offset_of!(Rename, FileName)), length as usize / 2)?;
    let name = String::from_utf16_lossy(&units);
    let machine = cx.kernel().machine();
    let disk = machine.disk();
    if name.starts_with('\\') {
        let resolved = disk.resolve(&name, machine.phase());
        return Ok(resolved.ok_or(NtStatus::OBJECT_PATH_NOT_FOUND));
    }
    let folder = if root == 0 {
        let path = disk.files().path(file.open);
        path.and_then(|path| path.rsplit_once('\\').map(|(folder, _)| folder.to_owned()))
    } else {
        match cx.kernel().objects().handle(cx, root)? {
            Object::File(root) => disk.files().path(root.open),
            _ => return Ok(Err(NtStatus::OBJECT_TYPE_MISMATCH)),
        }
    };
    Ok(folder.map(|folder| format!(r"{folder}\{name}")).ok_or(NtStatus::INVALID_HANDLE))
}

apis! {
    ntoskrnl [PASSIVE, 2500, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ZwQueryInformationFile(cx, handle: u64, block: u64, buffer: u64, length: u32, class: u32)
        -> NtStatus {
        let file = match file(cx, handle)? {
            Ok(file) => file,
            Err(status) => return Ok(status),
        };
        let machine = cx.kernel().machine();
        let info = settle(machine.disk().files().info(file.open))?;
        let info = match info {
            Ok(info) => info,
            Err(status) => return complete(block, status, 0),
        };
        let reads_attributes = matches!(class, FILE_BASIC | FILE_ATTRIBUTE_TAG);
        if reads_attributes && file.access & READS_ATTRIBUTES == 0 {
            return complete(block, NtStatus::ACCESS_DENIED, 0);
        }
        let Some(bytes) = information(class, &info) else {
            return Err(cx.misuse(format!("information class {class} is not modelled")));
        };
        if bytes.len() > length as usize {
            return complete(block, NtStatus::INFO_LENGTH_MISMATCH, 0);
        }
        guest::write_bytes(buffer, &bytes)?;
        complete(block, NtStatus::SUCCESS, bytes.len() as u64)
    }

    ntoskrnl [PASSIVE, 4000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ZwSetInformationFile(cx, handle: u64, block: u64, buffer: u64, length: u32, class: u32)
        -> NtStatus {
        let file = match file(cx, handle)? {
            Ok(file) => file,
            Err(status) => return Ok(status),
        };
        let needed = match class {
            FILE_RENAME => size_of::<FILE_RENAME_INFORMATION>() as u32,
            FILE_DISPOSITION => 1,
            FILE_END_OF_FILE => 8,
            _ => return Err(cx.misuse(format!("information class {class} is not modelled"))),
        };
        if length < needed {
            return complete(block, NtStatus::INFO_LENGTH_MISMATCH, 0);
        }
        let kernel = cx.kernel();
        let machine = kernel.machine();
        let target = match class {
            FILE_RENAME => match rename_target(cx, &file, buffer, length)? {
                Ok(target) => target,
                Err(status) => return complete(block, status, 0),
            },
            _ => String::new(),
        };
        let value: u8 = guest::read(buffer)?;
        let end = if class == FILE_END_OF_FILE { guest::read::<u64>(buffer)? } else { 0 };
        let mut files = machine.disk().files().at(kernel.clock().system_time());
        let done = match class {
            FILE_RENAME => files.rename(file.open, &target, value != 0),
            FILE_DISPOSITION => files.set_delete(file.open, value != 0),
            _ => files.set_length(file.open, end),
        };
        drop(files);
        complete(block, settle(done)?.err().unwrap_or(NtStatus::SUCCESS), 0)
    }
}
