//! The calls into Windows for which there is no safe crate: a filter's port, driver packages, access
//! lists, the event log and a service's start type.
//!
//! One operation in an `unsafe` block; nothing here decides anything.
#![allow(unsafe_code, reason = "the only calls into Windows that no crate wraps")]

use std::ffi::{OsStr, c_void};
use std::io;
use std::mem::size_of;
use std::os::windows::ffi::OsStrExt as _;
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::path::Path;
use std::ptr::{NonNull, null, null_mut};
use std::time::Duration;

use driver_abi::MESSAGE_MAX;
use windows_sys::Win32::Devices::DeviceAndDriverInstallation::{
    DiInstallDriverW, DiUninstallDriverW,
};
use windows_sys::Win32::Foundation::{ERROR_ALREADY_EXISTS, LocalFree, WAIT_TIMEOUT};
use windows_sys::Win32::Security::Authorization::{
    ConvertSecurityDescriptorToStringSecurityDescriptorW,
    ConvertStringSecurityDescriptorToSecurityDescriptorW, GetNamedSecurityInfoW, SDDL_REVISION_1,
    SE_FILE_OBJECT,
};
use windows_sys::Win32::Security::{
    DACL_SECURITY_INFORMATION, OWNER_SECURITY_INFORMATION, PROTECTED_DACL_SECURITY_INFORMATION,
    PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES, SetFileSecurityW,
};
use windows_sys::Win32::Storage::FileSystem::CreateDirectoryW;
use windows_sys::Win32::Storage::InstallableFileSystems::{
    FILTER_MESSAGE_HEADER, FilterConnectCommunicationPort, FilterGetMessage, FilterSendMessage,
};
use windows_sys::Win32::System::EventLog::{
    DeregisterEventSource, EVENTLOG_ERROR_TYPE, EVENTLOG_INFORMATION_TYPE, EVENTLOG_WARNING_TYPE,
    RegisterEventSourceW, ReportEventW,
};
use windows_sys::Win32::System::IO::{
    CancelIoEx, GetOverlappedResult, GetOverlappedResultEx, OVERLAPPED,
};
use windows_sys::Win32::System::Services::{
    ChangeServiceConfigW, SC_HANDLE, SERVICE_ERROR, SERVICE_NO_CHANGE, SERVICE_START_TYPE,
};
use windows_sys::Win32::System::Threading::CreateEventW;

use crate::host::Level;

/// An `HRESULT` that is no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HResult(pub u32);

/// `HRESULT_FROM_WIN32(ERROR_IO_PENDING)`.
const PENDING: u32 = 0x8007_03E5;

/// A connection to a filter's communication port.
pub(super) struct Port {
    handle: OwnedHandle,
    done: OwnedHandle,
    get: NonNull<Get>,
    /// The kernel may write to `get`.
    is_pending: bool,
}

/// A request for one message. The kernel writes here until the request has ended, so it lives at a
/// place of its own and is reached by its pointer alone.
#[repr(C)]
struct Get {
    overlapped: OVERLAPPED,
    message: Message,
}

/// A message as the filter manager delivers it.
#[repr(C)]
struct Message {
    header: FILTER_MESSAGE_HEADER,
    body: [u8; MESSAGE_MAX],
}

impl Port {
    /// Connects with this context.
    pub fn connect(name: &str, context: &[u8]) -> Result<Self, HResult> {
        let name = wide(name);
        let length = u16::try_from(context.len()).map_err(|_| HResult(0x8007_0057))?;
        let mut handle = null_mut();
        // SAFETY: the name ends with a zero, the context is `length` bytes, and `handle` is written
        // to before the call returns; no security attributes are given, which is allowed.
        let result = unsafe {
            FilterConnectCommunicationPort(
                name.as_ptr(),
                0,
                context.as_ptr().cast::<c_void>(),
                length,
                null(),
                &raw mut handle,
            )
        };
        succeeded(result)?;
        // SAFETY: the call succeeded, so the handle is one, and nobody else owns it.
        let handle = unsafe { OwnedHandle::from_raw_handle(handle) };
        // SAFETY: no attributes and no name are given, which is allowed.
        let done = unsafe { CreateEventW(null(), 1, 0, null()) };
        if done.is_null() {
            return Err(last_hresult());
        }
        // SAFETY: the call succeeded, so the handle is one, and nobody else owns it.
        let done = unsafe { OwnedHandle::from_raw_handle(done) };
        let get = NonNull::from(Box::leak(Box::new(Get::new(&done))));
        Ok(Self { handle, done, get, is_pending: false })
    }

    /// The next message, or `None` when none comes in time; it is then still asked for.
    pub fn receive(&mut self, patience: Duration) -> Result<Option<Vec<u8>>, HResult> {
        if !self.is_pending {
            self.ask()?;
        }
        let milliseconds = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX - 1);
        let mut length = 0;
        let overlapped = self.overlapped();
        // SAFETY: the request was made with this handle and this structure, which lives until the
        // request has ended; `length` is written to before the call returns.
        let has_ended = unsafe {
            GetOverlappedResultEx(self.raw(), overlapped, &raw mut length, milliseconds, 0)
        };
        if has_ended == 0 {
            let error = last_hresult();
            if error == HResult::of(WAIT_TIMEOUT) || error == HResult::of(ERROR_IO_INCOMPLETE) {
                return Ok(None);
            }
            self.is_pending = false;
            return Err(error);
        }
        self.is_pending = false;
        // SAFETY: the request has ended, so nobody else reaches the structure now.
        let get = unsafe { self.get.as_ref() };
        Ok(Some(get.message.told().to_vec()))
    }

    /// Sends a message, which the driver takes in or refuses.
    pub fn send(&mut self, message: &[u8]) -> Result<(), HResult> {
        let length = u32::try_from(message.len()).map_err(|_| HResult(0x8007_0057))?;
        let mut returned = 0;
        // SAFETY: the message is `length` bytes, no answer is taken, and `returned` is written to
        // before the call returns.
        let result = unsafe {
            FilterSendMessage(
                self.raw(),
                message.as_ptr().cast::<c_void>(),
                length,
                null_mut(),
                0,
                &raw mut returned,
            )
        };
        succeeded(result)
    }

    fn ask(&mut self) -> Result<(), HResult> {
        let get = self.get.as_ptr();
        // SAFETY: no request is pending, so nobody else reaches the structure now; it came from a
        // box, and nothing in it wants to be dropped.
        unsafe { get.write(Get::new(&self.done)) };
        // SAFETY: the pointer is into the structure, which lives as long as `self`.
        let header = unsafe { &raw mut (*get).message }.cast::<FILTER_MESSAGE_HEADER>();
        let overlapped = self.overlapped();
        // Nothing here is as long as 4 GB.
        let length = size_of::<Message>() as u32;
        // SAFETY: the header begins a structure of `length` bytes. It and `overlapped` live until the
        // request has ended: `is_pending` says that it has not, and `drop` waits for its end.
        let result = unsafe { FilterGetMessage(self.raw(), header, length, overlapped) };
        if result.cast_unsigned() != PENDING {
            succeeded(result)?;
        }
        self.is_pending = true;
        Ok(())
    }

    fn raw(&self) -> *mut c_void {
        self.handle.as_raw_handle()
    }

    fn overlapped(&self) -> *mut OVERLAPPED {
        // It is the first field of a `repr(C)` structure.
        self.get.as_ptr().cast()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        if self.is_pending {
            let overlapped = self.overlapped();
            // SAFETY: the request was made with this handle and this structure.
            unsafe { CancelIoEx(self.raw(), overlapped) };
            let mut length = 0;
            // SAFETY: as above; the call returns when the request has ended, however it did.
            unsafe { GetOverlappedResult(self.raw(), overlapped, &raw mut length, 1) };
        }
        // SAFETY: it came from a box, and no request that would write to it is left.
        drop(unsafe { Box::from_raw(self.get.as_ptr()) });
    }
}

impl Get {
    fn new(done: &OwnedHandle) -> Self {
        let header = FILTER_MESSAGE_HEADER { ReplyLength: 0, MessageId: 0 };
        let overlapped = OVERLAPPED { hEvent: done.as_raw_handle(), ..Default::default() };
        Self { overlapped, message: Message { header, body: [0; MESSAGE_MAX] } }
    }
}

impl Message {
    /// The driver's message without the filter manager's header, as long as it says it is: what the
    /// filter manager counts is documented nowhere. One that says nonsense is given as it is.
    fn told(&self) -> &[u8] {
        let length = self.body.get(4..8).and_then(|bytes| bytes.try_into().ok());
        let length = length.map_or(0, u32::from_le_bytes);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.body.get(..length).unwrap_or(&self.body)
    }
}

/// `ERROR_IO_INCOMPLETE`.
const ERROR_IO_INCOMPLETE: u32 = 996;

impl HResult {
    /// `HRESULT_FROM_WIN32`.
    const fn of(error: u32) -> Self {
        Self(if error == 0 { 0x8000_4005 } else { 0x8007_0000 | error & 0xFFFF })
    }
}

fn succeeded(result: i32) -> Result<(), HResult> {
    if result < 0 { Err(HResult(result.cast_unsigned())) } else { Ok(()) }
}

fn last_hresult() -> HResult {
    let error = io::Error::last_os_error().raw_os_error().unwrap_or_default();
    HResult::of(error.cast_unsigned())
}

/// Adds a driver package to the driver store and installs it; true when a restart is wanted.
pub(super) fn install_package(inf: &Path) -> io::Result<bool> {
    let inf = wide(inf);
    let mut restart = 0;
    // SAFETY: the path ends with a zero; `restart` is written to before the call returns.
    let done = unsafe { DiInstallDriverW(null_mut(), inf.as_ptr(), 0, &raw mut restart) };
    succeeded_or_last(done).map(|()| restart != 0)
}

/// Uninstalls a driver package and takes it out of the driver store; true when a restart is wanted.
pub(super) fn uninstall_package(inf: &Path) -> io::Result<bool> {
    let inf = wide(inf);
    let mut restart = 0;
    // SAFETY: the path ends with a zero; `restart` is written to before the call returns.
    let done = unsafe { DiUninstallDriverW(null_mut(), inf.as_ptr(), 0, &raw mut restart) };
    succeeded_or_last(done).map(|()| restart != 0)
}

/// Makes a folder with this security, or gives it to the one that is there; true when it was made.
pub(super) fn make_folder(path: &Path, sddl: &str) -> io::Result<bool> {
    let descriptor = Descriptor::parse(sddl)?;
    let path = wide(path);
    let attributes = SECURITY_ATTRIBUTES {
        nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
        lpSecurityDescriptor: descriptor.0,
        bInheritHandle: 0,
    };
    // SAFETY: the path ends with a zero; the attributes and their descriptor outlive the call.
    let made = unsafe { CreateDirectoryW(path.as_ptr(), &raw const attributes) };
    if made != 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() != Some(ERROR_ALREADY_EXISTS.cast_signed()) {
        return Err(error);
    }
    let what = OWNER_SECURITY_INFORMATION
        | DACL_SECURITY_INFORMATION
        | PROTECTED_DACL_SECURITY_INFORMATION;
    // SAFETY: the path ends with a zero; the descriptor is a valid one and outlives the call.
    let set = unsafe { SetFileSecurityW(path.as_ptr(), what, descriptor.0) };
    succeeded_or_last(set).map(|()| false)
}

/// Owner and access list of a file or folder, as SDDL.
pub(super) fn security(path: &Path) -> io::Result<String> {
    const WHAT: u32 = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
    let path = wide(path);
    let mut descriptor = null_mut();
    // SAFETY: the path ends with a zero; of the results only the descriptor is asked for, which is
    // written to before the call returns and which we then own.
    let error = unsafe {
        GetNamedSecurityInfoW(
            path.as_ptr(),
            SE_FILE_OBJECT,
            WHAT,
            null_mut(),
            null_mut(),
            null_mut(),
            null_mut(),
            &raw mut descriptor,
        )
    };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error.cast_signed()));
    }
    let descriptor = Descriptor(descriptor);
    let (mut text, mut length) = (null_mut(), 0);
    // SAFETY: the descriptor is the system's own; the results are written to before the call returns.
    let done = unsafe {
        ConvertSecurityDescriptorToStringSecurityDescriptorW(
            descriptor.0,
            SDDL_REVISION_1,
            WHAT,
            &raw mut text,
            &raw mut length,
        )
    };
    succeeded_or_last(done)?;
    let length = usize::try_from(length).unwrap_or(0);
    // SAFETY: the call succeeded: `text` has `length` units, its zero included, and nobody else
    // reaches it.
    let units = unsafe { std::slice::from_raw_parts(text, length) };
    let told = String::from_utf16_lossy(units.split(|unit| *unit == 0).next().unwrap_or_default());
    // SAFETY: the text came from the system's heap by the call above and is not used any more.
    unsafe { LocalFree(text.cast()) };
    Ok(told)
}

/// A security descriptor that the system allocated for us.
struct Descriptor(PSECURITY_DESCRIPTOR);

impl Descriptor {
    fn parse(sddl: &str) -> io::Result<Self> {
        let sddl = wide(sddl);
        let mut descriptor = null_mut();
        // SAFETY: the text ends with a zero; the descriptor is written to before the call returns,
        // and its length is not asked for.
        let done = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                sddl.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                null_mut(),
            )
        };
        succeeded_or_last(done).map(|()| Self(descriptor))
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the system allocated it on its heap, and nobody uses it any more.
        unsafe { LocalFree(self.0) };
    }
}

/// Writes one entry to the event log of this source.
pub(super) fn report_event(source: &str, level: Level, id: u32, text: &str) -> io::Result<()> {
    let (source, text) = (wide(source), wide(text));
    // SAFETY: the name ends with a zero; no server is named, which means this machine.
    let log = unsafe { RegisterEventSourceW(null(), source.as_ptr()) };
    if log.is_null() {
        return Err(io::Error::last_os_error());
    }
    let kind = match level {
        Level::Error => EVENTLOG_ERROR_TYPE,
        Level::Warning => EVENTLOG_WARNING_TYPE,
        Level::Information => EVENTLOG_INFORMATION_TYPE,
    };
    let strings = [text.as_ptr()];
    // SAFETY: the log was opened above, one string is given, which ends with a zero and outlives the
    // call, and no user and no data.
    let written =
        unsafe { ReportEventW(log, kind, 0, id, null_mut(), 1, 0, strings.as_ptr(), null()) };
    let written = succeeded_or_last(written);
    // SAFETY: the log was opened above and is not used any more.
    unsafe { DeregisterEventSource(log) };
    written
}

/// Changes how a service is started, and nothing else of it.
pub(super) fn change_start(service: SC_HANDLE, start: SERVICE_START_TYPE) -> io::Result<()> {
    const SAME: SERVICE_ERROR = SERVICE_NO_CHANGE;
    // SAFETY: the caller's service handle is open; null pointers and SERVICE_NO_CHANGE leave all
    // else as it is.
    let changed = unsafe {
        ChangeServiceConfigW(
            service,
            SERVICE_NO_CHANGE,
            start,
            SAME,
            null(),
            null(),
            null_mut(),
            null(),
            null(),
            null(),
            null(),
        )
    };
    succeeded_or_last(changed)
}

fn succeeded_or_last(done: i32) -> io::Result<()> {
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// UTF-16 that ends with a zero.
fn wide(text: impl AsRef<OsStr>) -> Vec<u16> {
    text.as_ref().encode_wide().chain([0]).collect()
}
