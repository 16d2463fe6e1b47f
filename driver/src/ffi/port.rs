//! The communication port: the driver's one way to speak to user mode.
//!
//! The driver takes no messages, so it never touches a user buffer. A client says what it wants in
//! the context of its connection, which the filter manager has already copied into kernel memory.

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::slice;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::bindings as nt;
use super::flt::Filter;
use super::security::Security;
use super::start::Service;
use super::status::{NtStatus, Result, check, to_raw};
use super::{UnicodeString, object_attributes};

/// The line to the one connected client.
pub struct Line {
    // The filter manager clears the port through the pointer it is given when it closes it, which
    // is how it synchronizes closing with sending; so there is one variable and no copy.
    client: AtomicPtr<nt::_FLT_PORT>,
    filter: AtomicPtr<nt::_FLT_FILTER>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The client has it.
    Yes,
    /// The client did not ask for it in time, or it could not be sent just now.
    Late,
    /// There is no client.
    Nobody,
}

impl Line {
    /// A line with nobody at its end.
    #[allow(clippy::new_without_default, reason = "a line belongs to one outbox")]
    pub const fn new() -> Self {
        Self { client: AtomicPtr::new(ptr::null_mut()), filter: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Sends a message and waits until the client has taken it, or `timeout` (100-nanosecond
    /// units) has passed. Only from the driver's own threads, never from a callback.
    pub fn send(&self, message: &[u8], timeout: u64) -> Sent {
        let Ok(len) = u32::try_from(message.len()) else {
            return Sent::Nobody;
        };
        if self.client.load(Ordering::Acquire).is_null() {
            return Sent::Nobody;
        }
        let mut timeout = super::sync::relative(timeout);
        // SAFETY: the filter is registered as long as the driver's threads run, which are joined
        // before it is unregistered; the port variable is the shared one that FltCloseClientPort
        // clears, and the call copes with its being cleared; the message and the timeout outlive
        // the call, which does not write to the message; PASSIVE_LEVEL.
        let status = unsafe {
            nt::FltSendMessage(
                self.filter.load(Ordering::Acquire),
                self.client.as_ptr(),
                message.as_ptr().cast_mut().cast(),
                len,
                ptr::null_mut(),
                ptr::null_mut(),
                &raw mut timeout,
            )
        };
        match check(status) {
            // STATUS_TIMEOUT is a success code, so success is told apart by its value.
            Ok(()) if status == 0 => Sent::Yes,
            Err(NtStatus::PORT_DISCONNECTED) => Sent::Nobody,
            _ => Sent::Late,
        }
    }
}

/// The open port. Closing it keeps new clients out; those connected go when the filter is
/// unregistered, which therefore comes later.
pub struct Port {
    server: NonNull<nt::_FLT_PORT>,
}

impl Port {
    /// Opens the port `name` to SYSTEM and administrators, for one client at a time.
    ///
    /// # Errors
    /// The filter manager's reason; a name collision when another driver has the name.
    pub fn open<S: Service>(filter: &Filter, name: &[u16]) -> Result<Self> {
        if let Some(service) = S::global().get() {
            service.line().filter.store(filter.as_ptr(), Ordering::Release);
        }
        let security = Security::system_and_administrators(nt::FLT_PORT_ALL_ACCESS)?;
        let mut name = UnicodeString::new(name).ok_or(NtStatus::INVALID_PARAMETER)?;
        let mut attributes = object_attributes(&mut name, ptr::null_mut(), security.as_ptr());
        let mut server: nt::PFLT_PORT = ptr::null_mut();
        // SAFETY: the filter is registered; all pointers are to locals that outlive the call, which
        // copies what it needs; PASSIVE_LEVEL.
        check(unsafe {
            nt::FltCreateCommunicationPort(
                filter.as_ptr(),
                &raw mut server,
                &raw mut attributes,
                ptr::null_mut(),
                Some(connect::<S>),
                Some(disconnect::<S>),
                None,
                1,
            )
        })?;
        NonNull::new(server).map(|server| Self { server }).ok_or(NtStatus::INVALID_PARAMETER)
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // SAFETY: the port is open and not closed elsewhere, and the filter is still registered;
        // PASSIVE_LEVEL.
        unsafe { nt::FltCloseCommunicationPort(self.server.as_ptr()) };
    }
}

// SAFETY: the port pointer is the filter manager's handle, valid on any thread.
unsafe impl Send for Port {}
// SAFETY: as above.
unsafe impl Sync for Port {}

/// PASSIVE_LEVEL, in the client's thread. A refusal here refuses the connection.
extern "C" fn connect<S: Service>(
    client: nt::PFLT_PORT,
    _server_cookie: *mut c_void,
    context: *mut c_void,
    context_len: u32,
    _connection_cookie: *mut *mut c_void,
) -> nt::NTSTATUS {
    let Some(service) = S::global().get() else {
        return NtStatus::INVALID_PARAMETER.raw();
    };
    let hello = match (NonNull::new(context), usize::try_from(context_len)) {
        // SAFETY: the filter manager passes a kernel copy of the client's context, this long, that
        // lives throughout the callback.
        (Some(context), Ok(len)) => unsafe { slice::from_raw_parts(context.cast().as_ptr(), len) },
        _ => &[],
    };
    // Only a welcome client is known to the sender: the port of one that is refused goes without
    // FltCloseClientPort, so nothing would keep a send from meeting it half gone.
    to_raw(service.on_connect(hello, || {
        service.line().client.store(client, Ordering::Release);
    }))
}

/// PASSIVE_LEVEL. The client has closed its last handle, has died, or the filter is going.
extern "C" fn disconnect<S: Service>(_connection_cookie: *mut c_void) {
    let Some(service) = S::global().get() else {
        return;
    };
    service.on_disconnect();
    let line = service.line();
    // SAFETY: the filter is registered while callbacks run; the variable is the shared one, as the
    // call demands; PASSIVE_LEVEL.
    unsafe {
        nt::FltCloseClientPort(line.filter.load(Ordering::Acquire), line.client.as_ptr());
    }
}
