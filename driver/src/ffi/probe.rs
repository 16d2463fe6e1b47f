//! Opening a pipe of our own, as any program would.

use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::bindings as nt;
use super::create::PipeCreate;
use super::status::{NtStatus, Result, check};
use super::{Handle, UnicodeString, object_attributes, u32_size_of};

/// A thread, known by its object.
pub struct ThreadMark(AtomicUsize);

impl ThreadMark {
    /// Nobody.
    #[allow(clippy::new_without_default, reason = "made once")]
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// The calling thread, until [`Self::clear`].
    pub fn set(&self) {
        // SAFETY: any IRQL.
        let thread = unsafe { nt::PsGetCurrentThread() };
        self.0.store(thread.addr(), Ordering::Release);
    }

    /// Nobody again.
    pub fn clear(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// True when the marked thread asked for `create`. A thread cannot pass for another: the I/O
    /// manager notes who asked.
    pub fn asked_for(&self, create: &PipeCreate<'_>) -> bool {
        let marked = self.0.load(Ordering::Acquire);
        marked != 0 && marked == create.thread()
    }
}

/// Opens the client end of a pipe, and closes it again should it exist. `path` begins with
/// `\Device\NamedPipe\`. PASSIVE_LEVEL, with nothing held: the filter is called within.
///
/// # Errors
/// The kernel's reason: `NOT_FOUND` when there is no such pipe.
pub fn open(path: &[u16]) -> Result<()> {
    let mut name = UnicodeString::new(path).ok_or(NtStatus::INVALID_PARAMETER)?;
    let mut attributes = object_attributes(&mut name, ptr::null_mut(), ptr::null_mut());
    // Should somebody have made that pipe, he is not to speak for the system.
    let mut quality = nt::SECURITY_QUALITY_OF_SERVICE {
        Length: u32_size_of::<nt::SECURITY_QUALITY_OF_SERVICE>(),
        ImpersonationLevel: nt::_SECURITY_IMPERSONATION_LEVEL::SecurityAnonymous,
        ContextTrackingMode: 0,
        EffectiveOnly: 1,
    };
    attributes.SecurityQualityOfService = (&raw mut quality).cast();
    let mut outcome = nt::IO_STATUS_BLOCK::default();
    let mut handle: nt::HANDLE = ptr::null_mut();
    // SAFETY: all pointers are to locals that outlive the call; PASSIVE_LEVEL with APCs enabled, on
    // a thread of ours.
    check(unsafe {
        nt::ZwCreateFile(
            &raw mut handle,
            nt::FILE_READ_ATTRIBUTES | nt::SYNCHRONIZE,
            &raw mut attributes,
            &raw mut outcome,
            ptr::null_mut(),
            nt::FILE_ATTRIBUTE_NORMAL,
            nt::FILE_SHARE_READ | nt::FILE_SHARE_WRITE,
            nt::FILE_OPEN,
            nt::FILE_SYNCHRONOUS_IO_NONALERT,
            ptr::null_mut(),
            0,
        )
    })?;
    drop(Handle(handle));
    Ok(())
}
