//! The requesting process.

use core::ptr::NonNull;
use core::slice;

use super::bindings as nt;
use super::create::PipeCreate;

/// The process that asked for a pipe. The filter manager gives no reference with it; it lives at
/// least as long as the operation, whose lifetime this carries.
#[derive(Clone, Copy)]
pub struct Requestor<'a> {
    process: NonNull<nt::_KPROCESS>,
    _operation: core::marker::PhantomData<&'a ()>,
}

impl<'a> Requestor<'a> {
    /// The process behind `create`, if there is one.
    pub fn of(create: &'a PipeCreate<'_>) -> Option<Self> {
        // SAFETY: the callback data is the operation's own and valid throughout it; <= DISPATCH.
        let process = unsafe { nt::FltGetRequestorProcess(create.data()) };
        NonNull::new(process).map(|process| Self { process, _operation: core::marker::PhantomData })
    }

    /// The process's number.
    pub fn id(self) -> u64 {
        // SAFETY: the process object is alive, see the type; any IRQL.
        let id = unsafe { nt::PsGetProcessId(self.process.as_ptr()) };
        u64::try_from(id.addr()).unwrap_or(0)
    }

    /// The number that no other process of this boot has: process numbers are reused.
    pub fn start_key(self) -> u64 {
        // SAFETY: the process object is alive, see the type; <= DISPATCH.
        unsafe { nt::PsGetProcessStartKey(self.process.as_ptr()) }
    }

    /// True when it has ended or is ending.
    pub fn is_ending(self) -> bool {
        // SAFETY: the process object is alive, see the type; <= APC_LEVEL.
        let status = unsafe { nt::PsGetProcessExitStatus(self.process.as_ptr()) };
        status != nt::STATUS_PENDING
    }

    /// True for the system process.
    pub fn is_system(self) -> bool {
        // SAFETY: the loader filled the import slot in; the variable it names never changes.
        let variable = unsafe { nt::imported::PS_INITIAL_SYSTEM_PROCESS };
        // SAFETY: the variable is the kernel's, set long before any driver starts.
        self.process.as_ptr() == unsafe { *variable }
    }

    /// True for a protected process, as those that Windows itself depends on are.
    pub fn is_protected(self) -> bool {
        // SAFETY: the process object is alive, see the type; any IRQL.
        unsafe { nt::PsIsProtectedProcess(self.process.as_ptr()) != 0 }
    }

    /// The NT path of the process's image; `None` when it has none or it cannot be had now.
    pub fn image(self) -> Option<ImagePath> {
        let mut path: nt::PUNICODE_STRING = core::ptr::null_mut();
        // SAFETY: the process object is alive, see the type; the pointer is to a local;
        // PASSIVE_LEVEL.
        let status = unsafe { nt::SeLocateProcessImageName(self.process.as_ptr(), &raw mut path) };
        let path = NonNull::new(path)?;
        // The string is ours from here on, even when it turns out to be of no use.
        let path = ImagePath { path };
        (status >= 0 && !path.units().is_empty()).then_some(path)
    }
}

/// An image path that the kernel allocated for us, in paged pool; freed when dropped. Transparent, so
/// that a path that is not there is a null pointer, for debuggers.
#[repr(transparent)]
pub struct ImagePath {
    path: NonNull<nt::UNICODE_STRING>,
}

impl ImagePath {
    const fn string(&self) -> &nt::UNICODE_STRING {
        // SAFETY: the kernel's string is valid until it is freed in `drop`.
        unsafe { self.path.as_ref() }
    }

    /// The path's units.
    pub fn units(&self) -> &[u16] {
        let (buffer, len) = self.buffer();
        // SAFETY: see `buffer`; nobody else knows the string.
        unsafe { slice::from_raw_parts(buffer.as_ptr(), len) }
    }

    /// The path's units, ours to change.
    pub fn units_mut(&mut self) -> &mut [u16] {
        let (buffer, len) = self.buffer();
        // SAFETY: see `buffer`; nobody else knows the string, and `self` is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(buffer.as_ptr(), len) }
    }

    /// The string's buffer and its length in units: a part of the kernel's allocation, which is
    /// ours, holding `Length` bytes; or, for a buffer that is no such thing, nothing.
    fn buffer(&self) -> (NonNull<u16>, usize) {
        let string = self.string();
        match NonNull::new(string.Buffer) {
            Some(buffer) if buffer.is_aligned() => (buffer, usize::from(string.Length) / 2),
            _ => (NonNull::dangling(), 0),
        }
    }
}

// SAFETY: the string is ours alone, and pool may be freed on any thread.
unsafe impl Send for ImagePath {}
// SAFETY: a shared path is only read.
unsafe impl Sync for ImagePath {}

impl Drop for ImagePath {
    fn drop(&mut self) {
        // SAFETY: the documentation of SeLocateProcessImageName has the caller free the string
        // with ExFreePool; it is not used again; PASSIVE_LEVEL.
        unsafe { nt::ExFreePool(self.path.as_ptr().cast()) };
    }
}
