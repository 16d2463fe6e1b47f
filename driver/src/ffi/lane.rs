//! Transfers to and from files, one at a time and each with a deadline.
//!
//! Reads, writes and listings are asynchronous requests. Until the kernel says that one is over it
//! may write to the status block and read or write the buffer, whatever the driver does meanwhile.
//! So both belong to the lane, lie in pool and are never on a stack, and what is transferred is
//! copied in or out while nothing is outstanding. A request that is not over at the deadline is
//! cancelled; one that is not over then either stays *outstanding*: nothing new is begun on the
//! lane, and its memory is given back only when the kernel has said that it is over. If it never
//! does, the memory stays with the kernel for good.
//!
//! Opening, asking for information, renaming and flushing know no such requests: the I/O manager
//! waits for these itself, as long as the file system does.

use core::cell::{Cell, UnsafeCell};
use core::ffi::c_void;
use core::mem::ManuallyDrop;
use core::ptr;

use super::bindings as nt;
use super::pool::{PoolBox, PoolSlice, Tag};
use super::status::{NtStatus, Result, check};
use super::sync::{MILLISECOND, SECOND, now, relative};
use super::{Handle, UnicodeString, object_attributes_unnamed};

/// Bytes moved by one request at most.
const ROOM: usize = 64 * 1024;
/// How long a wait lasts before the lane looks whether it should give up.
const GLANCE: u64 = 200 * MILLISECOND;
/// How long a request may take to be over once it is cancelled.
const CANCEL_PATIENCE: u64 = SECOND;
/// How long the lane's end waits for a request that is still outstanding.
const END_PATIENCE: u64 = 10 * SECOND;

/// A lane for transfers, for one thread.
pub struct Lane {
    /// Written by the kernel, as is `room`. Both are freed by `drop`, unless they are its for good.
    outcome: ManuallyDrop<PoolBox<UnsafeCell<nt::IO_STATUS_BLOCK>>>,
    room: ManuallyDrop<PoolSlice<UnsafeCell<u8>>>,
    /// Signalled when the request is over.
    over: Handle,
    outstanding: Cell<bool>,
    deadline: Cell<u64>,
    gives_up: Cell<fn() -> bool>,
    late: Cell<bool>,
}

impl Lane {
    /// A lane on which nothing is outstanding, and whose deadline has passed.
    ///
    /// # Errors
    /// `NO_RESOURCES`.
    pub fn new() -> Result<Self> {
        let over = notification_event()?;
        let outcome = PoolBox::new(UnsafeCell::new(nt::IO_STATUS_BLOCK::default()), Tag::Content)?;
        let room = PoolSlice::new(ROOM, Tag::Content, || UnsafeCell::new(0))?;
        Ok(Self {
            outcome: ManuallyDrop::new(outcome),
            room: ManuallyDrop::new(room),
            over,
            outstanding: Cell::new(false),
            deadline: Cell::new(0),
            gives_up: Cell::new(|| false),
            late: Cell::new(false),
        })
    }

    /// Begins a stretch of transfers that together may wait this long (100-nanosecond units), and
    /// that are not waited for once `gives_up` says so.
    pub fn begin(&self, patience: u64, gives_up: fn() -> bool) {
        self.deadline.set(now().saturating_add(patience));
        self.gives_up.set(gives_up);
        self.late.set(false);
    }

    /// True when a transfer can be begun: nothing is outstanding any more.
    pub fn is_free(&self) -> bool {
        self.is_over(0)
    }

    /// True when a transfer of this stretch was not over at its deadline.
    pub const fn was_late(&self) -> bool {
        self.late.get()
    }

    /// Reads from a file at `offset` into `to`; returns how many bytes, which may be fewer.
    #[inline(never)]
    pub(super) fn read(&self, file: &Handle, offset: u64, to: &mut [u8]) -> Result<usize> {
        let mut at = large(offset)?;
        let room = length(to.len())?;
        let count = self.run(file, |lane| {
            // SAFETY: the file is open for asynchronous use; status block and buffer are the
            // lane's, which frees them only when the request is over, and the buffer has `room`
            // bytes; the offset is taken before the call returns; PASSIVE_LEVEL.
            unsafe {
                nt::ZwReadFile(
                    file.0,
                    lane.over.0,
                    None,
                    ptr::null_mut(),
                    lane.outcome.get(),
                    lane.buffer(),
                    room,
                    &raw mut at,
                    ptr::null_mut(),
                )
            }
        })?;
        let count = count.min(to.len());
        self.copy_out(to.get_mut(..count).unwrap_or(&mut []));
        Ok(count)
    }

    /// Writes to a file at `offset` from the front of `from`; returns how many bytes.
    #[inline(never)]
    pub(super) fn write(&self, file: &Handle, offset: u64, from: &[u8]) -> Result<usize> {
        if !self.is_free() {
            return Err(NtStatus::IO_TIMEOUT);
        }
        let mut at = large(offset)?;
        let from = from.get(..from.len().min(ROOM)).unwrap_or(from);
        let room = length(from.len())?;
        // SAFETY: nothing is outstanding, so the buffer is the lane's alone; it has `ROOM` bytes,
        // which `from` is not longer than, and does not overlap a borrowed slice.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), self.buffer().cast(), from.len()) };
        self.run(file, |lane| {
            // SAFETY: as for reading; the call does not write to the buffer.
            unsafe {
                nt::ZwWriteFile(
                    file.0,
                    lane.over.0,
                    None,
                    ptr::null_mut(),
                    lane.outcome.get(),
                    lane.buffer(),
                    room,
                    &raw mut at,
                    ptr::null_mut(),
                )
            }
        })
    }

    /// Lists the next entries of a directory whose names match, as whole records, into `to`, the
    /// rest of which becomes zeros. `false` when there are no more.
    #[inline(never)]
    pub(super) fn list(
        &self,
        directory: &Handle,
        pattern: &[u16],
        restart: bool,
        to: &mut [u8],
    ) -> Result<bool> {
        let mut pattern = UnicodeString::new(pattern).ok_or(NtStatus::INVALID_PARAMETER)?;
        let room = length(to.len())?;
        let listed = self.run(directory, |lane| {
            // SAFETY: as for reading; the pattern is copied before the call returns.
            unsafe {
                nt::ZwQueryDirectoryFile(
                    directory.0,
                    lane.over.0,
                    None,
                    ptr::null_mut(),
                    lane.outcome.get(),
                    lane.buffer(),
                    room,
                    nt::_FILE_INFORMATION_CLASS::FileIdBothDirectoryInformation,
                    0,
                    pattern.as_ptr(),
                    u8::from(restart),
                )
            }
        });
        let count = match listed {
            Err(NtStatus::NO_MORE_FILES | NtStatus::NO_SUCH_FILE) => return Ok(false),
            other => other?.min(to.len()),
        };
        // What an earlier request left behind must not be taken for a record.
        let (records, rest) = to.split_at_mut_checked(count).unwrap_or((&mut [], &mut []));
        self.copy_out(records);
        rest.fill(0);
        Ok(true)
    }

    /// Begins a request and waits until it is over; returns its byte count.
    #[inline(never)]
    fn run(&self, file: &Handle, start: impl FnOnce(&Self) -> nt::NTSTATUS) -> Result<usize> {
        /// The request goes on after the call.
        const PENDING: nt::NTSTATUS = 0x103;
        if !self.is_free() || self.has_waited_enough() {
            return Err(NtStatus::IO_TIMEOUT);
        }
        let status = start(self);
        if status != PENDING {
            // It was over when the call returned, or never began.
            check(status)?;
            return self.count();
        }
        self.outstanding.set(true);
        while !self.is_over(self.left().min(GLANCE)) {
            if self.has_waited_enough() {
                self.cancel(file);
                if !self.is_over(CANCEL_PATIENCE) {
                    return Err(NtStatus::IO_TIMEOUT);
                }
                break;
            }
        }
        match check(self.status()) {
            // That was us.
            Err(NtStatus::CANCELLED) => Err(NtStatus::IO_TIMEOUT),
            Err(other) => Err(other),
            Ok(()) => self.count(),
        }
    }

    fn left(&self) -> u64 {
        self.deadline.get().saturating_sub(now())
    }

    fn has_waited_enough(&self) -> bool {
        let late = self.left() == 0;
        if late {
            self.late.set(true);
        }
        late || (self.gives_up.get())()
    }

    /// Waits until nothing is outstanding, at most `patience`.
    fn is_over(&self, patience: u64) -> bool {
        if !self.outstanding.get() {
            return true;
        }
        let mut timeout = relative(patience);
        // SAFETY: the event is ours and open; the pointer is to a local; PASSIVE_LEVEL.
        let status = unsafe { nt::ZwWaitForSingleObject(self.over.0, 0, &raw mut timeout) };
        self.outstanding.set(status != 0);
        status == 0
    }

    fn cancel(&self, file: &Handle) {
        let mut outcome = nt::IO_STATUS_BLOCK::default();
        // It is only asked for: whether the request is over, its event says.
        // SAFETY: the file is open; the request is named by the address of its status block, which
        // is not written to; the pointer is to a local that the call fills in; PASSIVE_LEVEL.
        let _ = unsafe { nt::ZwCancelIoFileEx(file.0, self.outcome.get(), &raw mut outcome) };
    }

    fn buffer(&self) -> *mut c_void {
        self.room.as_ptr().cast_mut().cast()
    }

    /// Copies the front of the buffer out. Only called with nothing outstanding.
    fn copy_out(&self, to: &mut [u8]) {
        let count = to.len().min(ROOM);
        // SAFETY: nothing is outstanding, so the buffer is the lane's alone; both have `count`
        // bytes and a borrowed slice does not overlap the buffer.
        unsafe { ptr::copy_nonoverlapping(self.buffer().cast(), to.as_mut_ptr(), count) };
    }

    /// The status of the request that is over.
    fn status(&self) -> nt::NTSTATUS {
        // SAFETY: nothing is outstanding, so nobody writes to the status block.
        let outcome = unsafe { self.outcome.get().read() };
        // SAFETY: the request filled the status in; every bit pattern is one.
        unsafe { outcome.__bindgen_anon_1.Status }
    }

    /// The byte count of the request that is over.
    fn count(&self) -> Result<usize> {
        // SAFETY: nothing is outstanding, so nobody writes to the status block.
        let outcome = unsafe { self.outcome.get().read() };
        usize::try_from(outcome.Information).map_err(|_| NtStatus::END_OF_FILE)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if !self.is_over(END_PATIENCE) {
            // The kernel may still write there. It is told by the memory that is missing.
            return;
        }
        // SAFETY: nothing is outstanding, and neither is used again.
        unsafe { ManuallyDrop::drop(&mut self.outcome) };
        // SAFETY: as above.
        unsafe { ManuallyDrop::drop(&mut self.room) };
    }
}

/// `SYNCHRONIZE` and `EVENT_MODIFY_STATE`.
const EVENT_ACCESS: u32 = 0x0010_0002;

/// An event that stays signalled until the next request begins, which clears it.
fn notification_event() -> Result<Handle> {
    let mut event: nt::HANDLE = ptr::null_mut();
    let mut attributes = object_attributes_unnamed();
    // SAFETY: both pointers are to locals; PASSIVE_LEVEL.
    check(unsafe {
        nt::ZwCreateEvent(
            &raw mut event,
            EVENT_ACCESS,
            &raw mut attributes,
            nt::_EVENT_TYPE::NotificationEvent,
            0,
        )
    })?;
    Ok(Handle(event))
}

/// How much of `wanted` one request may move.
fn length(wanted: usize) -> Result<u32> {
    u32::try_from(wanted.min(ROOM)).map_err(|_| NtStatus::INVALID_PARAMETER)
}

fn large(value: u64) -> Result<nt::LARGE_INTEGER> {
    let mut large = nt::LARGE_INTEGER::default();
    large.QuadPart = i64::try_from(value).map_err(|_| NtStatus::END_OF_FILE)?;
    Ok(large)
}
