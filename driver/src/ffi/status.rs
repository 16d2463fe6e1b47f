//! `NTSTATUS`, the kernel's results.

use super::bindings as nt;

/// A failure as the kernel numbers it. Never a success code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NtStatus(i32);

/// What kernel calls return.
pub type Result<T> = core::result::Result<T, NtStatus>;

impl NtStatus {
    /// Memory or another resource is short.
    pub const NO_RESOURCES: Self = Self::new(0xC000_009A);
    /// The file is held by someone who does not share it.
    pub const SHARING_VIOLATION: Self = Self::new(0xC000_0043);
    /// There is nothing of that name.
    pub const NOT_FOUND: Self = Self::new(0xC000_0034);
    /// What was asked for does not fit into the buffer; what does is in it.
    pub const BUFFER_OVERFLOW: Self = Self::new(0x8000_0005);
    /// There is nobody at the other end of the port.
    pub const PORT_DISCONNECTED: Self = Self::new(0xC000_0037);
    /// The file ended before what was asked for.
    pub const END_OF_FILE: Self = Self::new(0xC000_0011);
    /// There are no more entries.
    pub const NO_MORE_FILES: Self = Self::new(0x8000_0006);
    /// There is no entry of that kind.
    pub const NO_SUCH_FILE: Self = Self::new(0xC000_000F);
    /// The file system did not answer in time.
    pub const IO_TIMEOUT: Self = Self::new(0xC000_00B5);
    /// The request was cancelled.
    pub const CANCELLED: Self = Self::new(0xC000_0120);
    /// Not the kind of file the driver reads.
    pub const WRONG_TYPE: Self = Self::new(0xC000_0024);
    /// A parameter makes no sense.
    pub const INVALID_PARAMETER: Self = Self::new(0xC000_000D);
    /// The caller may not.
    pub const ACCESS_DENIED: Self = Self::new(0xC000_0022);
    /// The address is not the caller's to name, or there is nothing.
    pub const ACCESS_VIOLATION: Self = Self::new(0xC000_0005);
    /// As many clients are connected as may be.
    pub const TOO_MANY_CLIENTS: Self = Self::new(0xC000_0246);
    /// Too much of what was asked has not been done yet.
    pub const BUSY: Self = Self::new(0x8000_0011);
    /// The driver is switched off, or the machine is in safe mode.
    pub const SWITCHED_OFF: Self = Self::new(0xC000_0453);
    /// Polite refusal to attach to a volume.
    pub const DO_NOT_ATTACH: Self = Self::new(0xC01C_000F);

    const fn new(code: u32) -> Self {
        Self(i32::from_ne_bytes(code.to_ne_bytes()))
    }

    /// The number as the kernel's own lists write it.
    pub const fn number(self) -> u32 {
        u32::from_ne_bytes(self.0.to_ne_bytes())
    }

    pub(super) const fn raw(self) -> nt::NTSTATUS {
        self.0
    }
}

/// Turns a status into a result: success and information are `Ok`; warnings, such as
/// `STATUS_BUFFER_OVERFLOW`, and errors are not. Calls for which a success code such as
/// `STATUS_TIMEOUT` matters look at the status themselves.
pub(super) const fn check(status: nt::NTSTATUS) -> Result<()> {
    if status >= 0 { Ok(()) } else { Err(NtStatus(status)) }
}

/// What a callback returns to the kernel.
pub(super) const fn to_raw(result: Result<()>) -> nt::NTSTATUS {
    match result {
        Ok(()) => 0,
        Err(status) => status.raw(),
    }
}
