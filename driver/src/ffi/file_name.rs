//! A name that the filter manager completes.

use core::ptr::{self, NonNull};
use core::slice;

use super::bindings as nt;
use super::create::PipeCreate;

/// The full name of what a create opens, for one whose own name is relative to a directory.
pub struct FullName {
    information: NonNull<nt::FLT_FILE_NAME_INFORMATION>,
}

impl FullName {
    /// Asks the filter manager. `None` when it cannot say. It needs kernel APCs, so no lock may be
    /// held and no critical region entered.
    pub fn of(create: &PipeCreate<'_>) -> Option<Self> {
        let mut information: nt::PFLT_FILE_NAME_INFORMATION = ptr::null_mut();
        // SAFETY: the callback data is valid throughout the pre-create, where a name as opened can
        // always be asked for; the pointer is to a local; PASSIVE_LEVEL with APCs enabled.
        let status = unsafe {
            nt::FltGetFileNameInformation(
                create.data(),
                nt::FLT_FILE_NAME_OPENED | nt::FLT_FILE_NAME_QUERY_DEFAULT,
                &raw mut information,
            )
        };
        if status < 0 {
            return None;
        }
        NonNull::new(information).map(|information| Self { information })
    }

    /// The name within its volume, beginning with a backslash; `None` when it does not.
    pub fn in_volume(&self) -> Option<&[u16]> {
        // SAFETY: the filter manager's information is valid until it is released in `drop`.
        let information = unsafe { self.information.as_ref() };
        let (name, volume) = (information.Name, information.Volume);
        if name.Buffer.is_null() || !name.Buffer.is_aligned() {
            return None;
        }
        // SAFETY: the string's buffer holds `Length` bytes, aligned as just checked; the filter
        // manager's names do not change while they are held.
        let name = unsafe { slice::from_raw_parts(name.Buffer, usize::from(name.Length) / 2) };
        let rest = name.get(usize::from(volume.Length) / 2..)?;
        matches!(rest, [0x5C, ..]).then_some(rest)
    }
}

impl Drop for FullName {
    fn drop(&mut self) {
        // SAFETY: obtained in `of` and released once; <= APC_LEVEL.
        unsafe { nt::FltReleaseFileNameInformation(self.information.as_ptr()) };
    }
}
