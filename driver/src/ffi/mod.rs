//! Everything the driver says to the kernel: the only unsafe code in it.
//!
//! | module | of the kernel |
//! |---|---|
//! | [`bindings`] | the declarations, generated from the WDK's headers |
//! | [`status`] | `NTSTATUS` |
//! | [`pool`] | fallible, tagged memory |
//! | [`sync`] | events, push locks, system threads, time |
//! | [`published`] | one value that readers never wait for and a writer swaps whole |
//! | [`io`] | directories and files |
//! | [`lane`] | transfers to and from files, with a deadline |
//! | [`registry`] | the service's parameters |
//! | [`boot`] | which boot this is |
//! | [`objects`] | what the drive letters name |
//! | [`ps`] | the requesting process |
//! | [`cpu`] | the stack's rest and the performance counter |
//! | [`security`] | who may open what the driver makes |
//! | [`flt`] | the filter manager: registration, attachment, callbacks |
//! | [`create`] | one pipe create, and what became of it |
//! | [`file_name`] | names that the filter manager completes |
//! | [`token`] | whom a request speaks for |
//! | [`process_watch`] | the end of processes |
//! | [`shared`] | one value with several owners |
//! | [`port`] | the communication port |
//! | [`shutdown`] | the machine is shut down |
//! | [`probe`] | opening a pipe of our own |
//! | [`etw`] | Event Tracing for Windows |
//! | [`crash`] | what goes into a crash dump |
//! | [`start`] | `DriverEntry`, safe mode, boot reinitialization, unload |
//! | [`anchor`] | the root keys in the image |
//! | [`profile`] | what this sensor can do, in the image |
//!
//! The rules here: one operation in an `unsafe` block; its `SAFETY:` says why the call is allowed
//! and at which IRQL it runs; no pointer leaves this folder. What the folder offers is safe to
//! call from anywhere in the driver, which only ever runs at PASSIVE_LEVEL: the filter manager's
//! create callbacks, port callbacks, system threads, `DriverEntry` and unload all do.

#[cfg(feature = "abi-check")]
mod abi_check;
pub mod anchor;
pub mod bindings;
pub mod boot;
pub mod cpu;
pub mod crash;
pub mod create;
pub mod etw;
pub mod file_name;
pub mod flt;
pub mod io;
pub mod lane;
pub mod objects;
pub mod pool;
pub mod port;
pub mod probe;
pub mod process_watch;
pub mod profile;
pub mod ps;
pub mod published;
pub mod registry;
pub mod security;
pub mod shared;
pub mod shutdown;
pub mod start;
pub mod status;
pub mod sync;
pub mod token;

use core::ptr;

use bindings as nt;

/// A counted UTF-16 string in the form the kernel takes. Borrows its units.
struct UnicodeString<'a> {
    raw: nt::UNICODE_STRING,
    _units: core::marker::PhantomData<&'a [u16]>,
}

impl<'a> UnicodeString<'a> {
    /// `None` when the string is longer than the kernel's strings can be.
    fn new(units: &'a [u16]) -> Option<Self> {
        let length = u16::try_from(units.len().checked_mul(2)?).ok()?;
        let raw = nt::UNICODE_STRING {
            Length: length,
            MaximumLength: length,
            // The kernel takes input strings as PUNICODE_STRING and does not write to them.
            Buffer: units.as_ptr().cast_mut(),
        };
        Some(Self { raw, _units: core::marker::PhantomData })
    }

    fn as_ptr(&mut self) -> *mut nt::UNICODE_STRING {
        &raw mut self.raw
    }
}

/// Attributes of a kernel object named `name`, relative to `root` when that is not null. Handles
/// made with it are kernel handles, which user mode cannot touch.
fn object_attributes(
    name: &mut UnicodeString<'_>,
    root: nt::HANDLE,
    security: nt::PSECURITY_DESCRIPTOR,
) -> nt::OBJECT_ATTRIBUTES {
    nt::OBJECT_ATTRIBUTES {
        Length: u32_size_of::<nt::OBJECT_ATTRIBUTES>(),
        RootDirectory: root,
        ObjectName: name.as_ptr(),
        Attributes: nt::OBJ_KERNEL_HANDLE | nt::OBJ_CASE_INSENSITIVE,
        SecurityDescriptor: security,
        SecurityQualityOfService: ptr::null_mut(),
    }
}

/// Attributes of an object without a name.
fn object_attributes_unnamed() -> nt::OBJECT_ATTRIBUTES {
    nt::OBJECT_ATTRIBUTES {
        Length: u32_size_of::<nt::OBJECT_ATTRIBUTES>(),
        RootDirectory: ptr::null_mut(),
        ObjectName: ptr::null_mut(),
        Attributes: nt::OBJ_KERNEL_HANDLE,
        SecurityDescriptor: ptr::null_mut(),
        SecurityQualityOfService: ptr::null_mut(),
    }
}

/// The size of a structure as the kernel's `ULONG` lengths want it.
const fn u32_size_of<T>() -> u32 {
    const { assert!(size_of::<T>() <= 0xFFFF) };
    #[allow(clippy::as_conversions, clippy::cast_possible_truncation, reason = "asserted above")]
    {
        size_of::<T>() as u32
    }
}

/// A kernel handle, closed when dropped.
struct Handle(nt::HANDLE);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is a kernel handle that this value owns alone; PASSIVE_LEVEL, as all
        // of the driver.
        let _ = unsafe { nt::ZwClose(self.0) };
    }
}

// SAFETY: a kernel handle belongs to the system process and may be used from any thread.
unsafe impl Send for Handle {}
// SAFETY: as above; the kernel serializes operations on the object behind the handle.
unsafe impl Sync for Handle {}

/// An ASCII literal as UTF-16 units, made while compiling.
pub const fn utf16<const N: usize>(text: &str) -> [u16; N] {
    let bytes = text.as_bytes();
    let mut units = [0; N];
    let mut at = 0;
    // A wrong length or a letter outside ASCII does not compile where this is used in a constant.
    assert!(bytes.len() == N, "the length must be the literal's");
    #[allow(
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "evaluated while compiling"
    )]
    while at < N {
        assert!(bytes[at] < 0x80, "only ASCII");
        units[at] = bytes[at] as u16;
        at += 1;
    }
    units
}
