//! `OBJECT_ATTRIBUTES` and strings as a driver passes them, judged as Driver Verifier does.

use std::mem::offset_of;

use windows_sys::Wdk::Foundation::OBJECT_ATTRIBUTES;
use windows_sys::Win32::Security::SECURITY_QUALITY_OF_SERVICE;

use super::ob::Object;
use crate::cpu::{Cx, Trap};
use crate::guest::{self, UnicodeString};
use crate::status::NtStatus;

const OBJ_KERNEL_HANDLE: u32 = 0x200;

/// The text of a `UNICODE_STRING`; a malformed one is a report.
pub(crate) fn text_of(cx: &Cx<'_>, string: u64) -> Result<String, Trap> {
    let string = UnicodeString::read(string)?;
    if !string.is_well_formed() {
        let (length, maximum) = (string.length, string.maximum);
        return Err(cx.misuse(format!(
            "malformed UNICODE_STRING: Length {length}, MaximumLength {maximum}"
        )));
    }
    Ok(String::from_utf16_lossy(&string.units()?))
}

/// What an `OBJECT_ATTRIBUTES` says.
#[derive(Debug)]
pub(crate) struct ObjectAttributes {
    pub root: u64,
    pub name: String,
    pub attributes: u32,
    /// How far a server may speak for the opener, where that is said.
    pub impersonation: Option<i32>,
}

impl ObjectAttributes {
    /// Reads one. The inner `Err` is the status that the caller of the API gets.
    ///
    /// Outside a system process a handle must be a kernel handle, or user mode can use it.
    pub(crate) fn read(cx: &Cx<'_>, address: u64) -> Result<Result<Self, NtStatus>, Trap> {
        let at = |offset: usize| address + offset as u64;
        let length: u32 = guest::read(at(offset_of!(OBJECT_ATTRIBUTES, Length)))?;
        if length as usize != size_of::<OBJECT_ATTRIBUTES>() {
            return Ok(Err(NtStatus::INVALID_PARAMETER));
        }
        let name: u64 = guest::read(at(offset_of!(OBJECT_ATTRIBUTES, ObjectName)))?;
        let quality: u64 =
            guest::read(at(offset_of!(OBJECT_ATTRIBUTES, SecurityQualityOfService)))?;
        let level = offset_of!(SECURITY_QUALITY_OF_SERVICE, ImpersonationLevel) as u64;
        let read = ObjectAttributes {
            root: guest::read(at(offset_of!(OBJECT_ATTRIBUTES, RootDirectory)))?,
            name: if name == 0 { String::new() } else { text_of(cx, name)? },
            attributes: guest::read(at(offset_of!(OBJECT_ATTRIBUTES, Attributes)))?,
            impersonation: (quality != 0).then(|| guest::read(quality + level)).transpose()?,
        };
        let in_system = cx.kpcr().process.get() == cx.kernel().system_process().address();
        if !in_system && !read.is_kernel_handle() {
            return Err(cx.misuse("no OBJ_KERNEL_HANDLE in the context of a user process"));
        }
        Ok(Ok(read))
    }

    pub(crate) fn is_kernel_handle(&self) -> bool {
        self.attributes & OBJ_KERNEL_HANDLE != 0
    }

    /// The full path of a file in the disk's own form.
    pub(crate) fn file_path(&self, cx: &Cx<'_>) -> Result<Result<String, NtStatus>, Trap> {
        let machine = cx.kernel().machine();
        if self.root == 0 {
            if !self.name.starts_with('\\') {
                return Ok(Err(NtStatus::OBJECT_PATH_SYNTAX_BAD));
            }
            let resolved = machine.disk().resolve(&self.name, machine.phase());
            return Ok(resolved.ok_or(NtStatus::OBJECT_PATH_NOT_FOUND));
        }
        let Object::File(root) = cx.kernel().objects().handle(cx, self.root)? else {
            return Ok(Err(NtStatus::OBJECT_TYPE_MISMATCH));
        };
        if self.name.starts_with('\\') {
            return Ok(Err(NtStatus::OBJECT_NAME_INVALID));
        }
        let files = machine.disk().files();
        let Some(path) = files.path(root.open) else {
            return Ok(Err(NtStatus::INVALID_HANDLE));
        };
        if self.name.is_empty() {
            return Ok(Ok(path));
        }
        Ok(Ok(format!(r"{path}\{}", self.name.trim_end_matches('\\'))))
    }
}
