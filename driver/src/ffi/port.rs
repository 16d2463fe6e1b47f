//! The communication port: the driver's one way to speak to user mode.
//!
//! The driver never touches a user buffer: a message is copied in once by a routine that cannot
//! fault, and only the copy is read; answers go out as messages of the driver's own. What a client
//! says when it connects the filter manager has already copied into kernel memory.

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::slice;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use driver_abi::{MAX_CLIENTS, REQUEST_LEN};
use driver_core::clients::{PLACES, Ticket};

use super::bindings as nt;
use super::flt::Filter;
use super::pool::{PoolSlice, Tag};
use super::security::Security;
use super::start::Service;
use super::status::{NtStatus, Result, check, to_raw};
use super::{UnicodeString, object_attributes};

/// The lines to the clients, one a place.
pub struct Lines {
    filter: AtomicPtr<nt::_FLT_FILTER>,
    places: [Line; PLACES],
}

/// The line to the client that has a place.
struct Line {
    // The filter manager clears the port through the pointer it is given when it closes it, which
    // is how it synchronizes closing with sending; so there is one variable and no copy.
    client: AtomicPtr<nt::_FLT_PORT>,
    // Only this process may send through the port, whoever has got hold of a handle to it.
    process: AtomicU64,
}

impl Line {
    /// A line with nobody at its end.
    const fn new() -> Self {
        Self { client: AtomicPtr::new(ptr::null_mut()), process: AtomicU64::new(0) }
    }
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

impl Lines {
    /// Lines with nobody at their ends.
    #[allow(clippy::new_without_default, reason = "lines belong to one outbox")]
    pub const fn new() -> Self {
        Self { filter: AtomicPtr::new(ptr::null_mut()), places: [const { Line::new() }; PLACES] }
    }

    /// Sends a message and waits until the client has taken it, or `timeout` (100-nanosecond
    /// units) has passed. Only from the driver's own threads, never from a callback.
    pub fn send(&self, place: usize, message: &[u8], timeout: u64) -> Sent {
        let (Some(line), Ok(len)) = (self.places.get(place), u32::try_from(message.len())) else {
            return Sent::Nobody;
        };
        if line.client.load(Ordering::Acquire).is_null() {
            return Sent::Nobody;
        }
        // A timeout of 0 would mean for ever.
        let mut timeout = super::sync::relative(timeout.max(1));
        // SAFETY: the filter is registered as long as the driver's threads run, which are joined
        // before it is unregistered; the port variable is the shared one that FltCloseClientPort
        // clears, and the call copes with its being cleared; the message and the timeout outlive
        // the call, which does not write to the message; PASSIVE_LEVEL.
        let status = unsafe {
            nt::FltSendMessage(
                self.filter.load(Ordering::Acquire),
                line.client.as_ptr(),
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

    /// Closes the port of the client that has the place. Whoever sends to it is woken.
    pub fn close(&self, place: usize) {
        if let Some(line) = self.places.get(place) {
            // SAFETY: the filter is registered while callbacks and the driver's threads run; the
            // variable is the shared one, as the call demands, and may be null; PASSIVE_LEVEL.
            unsafe {
                nt::FltCloseClientPort(self.filter.load(Ordering::Acquire), line.client.as_ptr());
            }
        }
    }
}

/// The open port. Closing it keeps new clients out; those connected go when the filter is
/// unregistered, which therefore comes later.
pub struct Port {
    server: NonNull<nt::_FLT_PORT>,
}

impl Port {
    /// Opens the port `name` to SYSTEM and administrators.
    ///
    /// # Errors
    /// The filter manager's reason; a name collision when another driver has the name.
    pub fn open<S: Service>(filter: &Filter, name: &[u16]) -> Result<Self> {
        const MAX: i32 = {
            assert!(MAX_CLIENTS <= 64);
            #[allow(
                clippy::as_conversions,
                clippy::cast_possible_truncation,
                clippy::cast_possible_wrap,
                reason = "asserted above"
            )]
            {
                MAX_CLIENTS as i32
            }
        };
        if let Some(service) = S::global().get() {
            service.lines().filter.store(filter.as_ptr(), Ordering::Release);
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
                Some(message::<S>),
                MAX,
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
    connection_cookie: *mut *mut c_void,
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
    let process = Caller::current();
    // Only a welcome client is known to the sender: the port of one that is refused goes without
    // FltCloseClientPort, so nothing would keep a send from meeting it half gone.
    to_raw(service.on_connect(hello, process.id, |ticket| {
        if let Some(line) = service.lines().places.get(ticket.place) {
            line.process.store(process.key, Ordering::Release);
            line.client.store(client, Ordering::Release);
        }
        let cookie = ptr::without_provenance_mut(ticket.number());
        // SAFETY: the filter manager passes a pointer to its own variable for the cookie.
        unsafe { connection_cookie.write(cookie) };
    }))
}

/// PASSIVE_LEVEL. The client has closed its last handle, has died, or the filter is going.
extern "C" fn disconnect<S: Service>(connection_cookie: *mut c_void) {
    if let (Some(service), Some(ticket)) =
        (S::global().get(), Ticket::from_number(connection_cookie.addr()))
    {
        service.on_disconnect(ticket);
    }
}

/// PASSIVE_LEVEL, in the client's thread. `input` is a user address that the filter manager has
/// probed and that may become invalid at any time; the output buffer is not touched at all.
extern "C" fn message<S: Service>(
    connection_cookie: *mut c_void,
    input: *mut c_void,
    input_len: u32,
    _output: *mut c_void,
    _output_len: u32,
    returned: *mut u32,
) -> nt::NTSTATUS {
    if let Some(returned) = NonNull::new(returned) {
        // SAFETY: the filter manager passes a pointer to its own variable, in kernel memory.
        unsafe { returned.write(0) };
    }
    let (Some(service), Some(ticket)) =
        (S::global().get(), Ticket::from_number(connection_cookie.addr()))
    else {
        return NtStatus::INVALID_PARAMETER.raw();
    };
    let line = service.lines().places.get(ticket.place);
    let connected_by = line.map(|line| line.process.load(Ordering::Acquire));
    to_raw(if connected_by == Some(Caller::current().key) {
        copy_in(input, input_len).and_then(|request| service.on_message(ticket, &request))
    } else {
        service.on_message_refused();
        Err(NtStatus::ACCESS_DENIED)
    })
}

/// The one look at a client's message: a copy in memory that nobody else knows.
fn copy_in(input: *mut c_void, input_len: u32) -> Result<PoolSlice<u8>> {
    if usize::try_from(input_len) != Ok(REQUEST_LEN) {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    // MmCopyMemory would copy from anywhere in the kernel, too.
    let end = input.addr().checked_add(REQUEST_LEN).and_then(|end| u64::try_from(end).ok());
    if input.is_null() || end.is_none_or(|end| end > user_probe_address()) {
        return Err(NtStatus::ACCESS_VIOLATION);
    }
    // The routine copies to nonpaged memory only.
    let mut copy = PoolSlice::zeroed(REQUEST_LEN, Tag::Text)?;
    let from = nt::MM_COPY_ADDRESS {
        __bindgen_anon_1: nt::_MM_COPY_ADDRESS__bindgen_ty_1 { VirtualAddress: input },
    };
    let mut copied = 0;
    // SAFETY: the target is nonpaged, ours alone and REQUEST_LEN bytes long; the source is a user
    // address of the current process, which the routine may find invalid, and then says so;
    // <= APC_LEVEL, we are at PASSIVE_LEVEL.
    check(unsafe {
        nt::MmCopyMemory(
            copy.as_mut_ptr().cast(),
            from,
            u64::from(input_len),
            nt::MM_COPY_MEMORY_VIRTUAL,
            &raw mut copied,
        )
    })?;
    if copied == u64::from(input_len) { Ok(copy) } else { Err(NtStatus::ACCESS_VIOLATION) }
}

/// The first address that no user memory has.
fn user_probe_address() -> u64 {
    // SAFETY: the loader filled the import slot in; the variable it names never changes.
    let variable = unsafe { nt::imported::MM_USER_PROBE_ADDRESS };
    // SAFETY: the variable is the kernel's, set before any driver starts.
    unsafe { *variable }
}

/// The process of the thread that a port callback runs on: the client's.
struct Caller {
    id: u64,
    /// Of all processes of this boot, only this one has it.
    key: u64,
}

impl Caller {
    fn current() -> Self {
        // SAFETY: any IRQL; the process is alive while its thread runs here.
        let process = unsafe { nt::IoGetCurrentProcess() };
        // SAFETY: as above.
        let id = unsafe { nt::PsGetProcessId(process) };
        // SAFETY: as above; <= DISPATCH_LEVEL, we are at PASSIVE_LEVEL.
        let key = unsafe { nt::PsGetProcessStartKey(process) };
        Self { id: u64::try_from(id.addr()).unwrap_or(0), key }
    }
}
