//! What the drive letters name.

use core::ptr;

use super::bindings as nt;
use super::status::{NtStatus, Result, check};
use super::{Handle, UnicodeString, object_attributes};

/// Reads where the drive letter number `letter` (0 = `A`) leads, into `target`, and returns how
/// many units that are.
///
/// # Errors
/// `NOT_FOUND` for a letter that names nothing; the kernel's reason otherwise.
pub fn drive_target(letter: u16, target: &mut [u16]) -> Result<usize> {
    const PREFIX: [u16; 12] = super::utf16("\\GLOBAL??\\A:");
    let mut path = PREFIX;
    if let Some(unit) = path.get_mut(10) {
        *unit = unit.wrapping_add(letter);
    }
    let mut name = UnicodeString::new(&path).ok_or(NtStatus::INVALID_PARAMETER)?;
    let mut attributes = object_attributes(&mut name, ptr::null_mut(), ptr::null_mut());
    let mut link: nt::HANDLE = ptr::null_mut();
    // SAFETY: all pointers are to locals that outlive the call; PASSIVE_LEVEL.
    check(unsafe {
        nt::ZwOpenSymbolicLinkObject(&raw mut link, nt::GENERIC_READ, &raw mut attributes)
    })?;
    let link = Handle(link);
    let room = u16::try_from(target.len()).ok().and_then(|units| units.checked_mul(2));
    let mut found = nt::UNICODE_STRING {
        Length: 0,
        MaximumLength: room.ok_or(NtStatus::INVALID_PARAMETER)?,
        Buffer: target.as_mut_ptr(),
    };
    // SAFETY: the link is open and the string describes `target`, which outlives the call;
    // PASSIVE_LEVEL.
    check(unsafe { nt::ZwQuerySymbolicLinkObject(link.0, &raw mut found, ptr::null_mut()) })?;
    Ok(usize::from(found.Length) / 2)
}
