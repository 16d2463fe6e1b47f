//! File requests that go on after the call that began them.
//!
//! A transfer on a file that was not opened for synchronous use may return `STATUS_PENDING`. Then
//! status block and buffer belong to the request until its event is signalled: memory freed
//! before is a report. As in Windows the last step of a request, which writes to them, runs on the
//! thread that began it; here whenever that thread waits. A thread that ends has its requests
//! cancelled first, and waits five minutes for those that do not mind (ReactOS, `IoCancelThreadIo`).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::OpenFile;
use super::ob::EventObject;
use super::transfer::{Finished, Transfer};
use crate::cpu::{Cx, Trap};
use crate::guest;
use crate::kernel::Kernel;
use crate::machine::Pace;
use crate::sched::{Deadline, ticks};
use crate::status::NtStatus;

/// How long the end of a thread waits for requests that are not over.
const THREAD_END: Duration = Duration::from_secs(300);

/// When a request is over by itself.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// Interrupt time.
    At(i64),
    /// When somebody cancels it.
    Cancelled,
    Never,
}

/// A request that is not over.
#[derive(Debug)]
struct Pending {
    thread: i64,
    file: Arc<OpenFile>,
    block: u64,
    event: Option<Arc<EventObject>>,
    transfer: Transfer,
    due: Due,
    cancelled: bool,
}

impl Pending {
    fn is_over(&self, now: i64) -> bool {
        match self.due {
            Due::At(time) => time <= now || self.cancelled,
            Due::Cancelled => self.cancelled,
            Due::Never => false,
        }
    }

    /// Writes what came of it where the driver said.
    fn finish(&self, kernel: &Kernel) -> Result<(), Trap> {
        let finished = match self.due {
            Due::At(time) if time <= kernel.clock().interrupt_time() => {
                self.transfer.perform(kernel, &self.file)?
            }
            _ => Finished { status: NtStatus::CANCELLED, information: 0 },
        };
        guest::write(self.block, u64::from(finished.status.0))?;
        guest::write(self.block + 8, finished.information)?;
        if let Some(event) = &self.event {
            // The scheduler's lock is held: this runs where it looks for what a wait is for.
            event.signal_locked()?;
        }
        Ok(())
    }
}

/// The requests of a kernel that are not over.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    list: Mutex<Vec<Pending>>,
    /// Whether there are any, to be asked at every call.
    count: AtomicUsize,
}

impl Requests {
    fn list(&self) -> MutexGuard<'_, Vec<Pending>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is none: mostly so, and cheap to know.
    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Finishes what is over of a thread's requests. Runs under the scheduler's lock.
    pub(crate) fn deliver(&self, kernel: &Kernel, thread: i64) -> Result<(), Trap> {
        while !self.is_empty() {
            let now = kernel.clock().interrupt_time();
            let mut list = self.list();
            let found =
                list.iter().position(|request| request.thread == thread && request.is_over(now));
            let Some(found) = found else { return Ok(()) };
            let request = list.remove(found);
            self.count.store(list.len(), Ordering::Release);
            let last = !list.iter().any(|other| Arc::ptr_eq(&other.file, &request.file));
            drop(list);
            let finished = request.finish(kernel);
            if last && request.file.closed.load(Ordering::Acquire) {
                kernel.machine().disk().files().close(request.file.open);
            }
            finished?;
        }
        Ok(())
    }

    /// Real time until the next request of a thread is over by itself.
    pub(crate) fn next(&self, kernel: &Kernel, thread: i64) -> Option<Duration> {
        if self.is_empty() {
            return None;
        }
        let list = self.list();
        let own = list.iter().filter(|request| request.thread == thread);
        let due = own.filter_map(|request| match request.due {
            Due::At(time) => Some(time),
            Due::Cancelled | Due::Never => None,
        });
        let left = due.min()? - kernel.clock().interrupt_time();
        Some(Duration::from_nanos(left.max(0) as u64 * 100))
    }

    /// Whether a request may still touch some of this memory.
    pub(crate) fn touch(&self, memory: &std::ops::Range<u64>) -> bool {
        let overlaps = |start: u64, length: u64| {
            start < memory.end && memory.start < start.saturating_add(length)
        };
        !self.is_empty()
            && self.list().iter().any(|request| {
                let (buffer, length) = request.transfer.memory();
                overlaps(request.block, 16) || overlaps(buffer, length)
            })
    }

    /// Whether a request keeps a file open.
    pub(crate) fn keep(&self, file: &Arc<OpenFile>) -> bool {
        self.list().iter().any(|request| Arc::ptr_eq(&request.file, file))
    }

    /// How many are not over.
    pub(crate) fn count(&self) -> usize {
        self.list().len()
    }

    /// Cancels requests; how many that were.
    fn cancel(&self, which: impl Fn(&Pending) -> bool) -> usize {
        let mut count = 0;
        for request in self.list().iter_mut().filter(|request| which(request)) {
            request.cancelled = true;
            count += 1;
        }
        count
    }

    fn of_thread(&self, thread: i64) -> usize {
        self.list().iter().filter(|request| request.thread == thread).count()
    }
}

/// Performs a transfer, or begins it: as slow as the disk is just now.
pub(super) fn start(
    cx: &Cx<'_>,
    file: Arc<OpenFile>,
    block: u64,
    event: u64,
    transfer: Transfer,
) -> Result<NtStatus, Trap> {
    let kernel = cx.kernel();
    let event = match event {
        0 => None,
        handle => Some(kernel.objects().event(cx, handle)?),
    };
    if let Some(event) = &event {
        event.clear(kernel)?;
    }
    let now = kernel.clock().interrupt_time();
    let due = match kernel.machine().disk().pace() {
        Pace::AtOnce => None,
        Pace::Takes(time) => Some(Due::At(now + ticks(time))),
        Pace::UntilCancelled => Some(Due::Cancelled),
        Pace::Never => Some(Due::Never),
    };
    let Some(due) = due.filter(|_| !file.synchronous) else {
        super::zw_file::pause(cx)?;
        let finished = transfer.perform(kernel, &file)?;
        guest::write(block, u64::from(finished.status.0))?;
        guest::write(block + 8, finished.information)?;
        if let Some(event) = &event {
            event.signal(kernel)?;
        }
        return Ok(finished.status);
    };
    let thread = cx.kpcr().shared.tid as i64;
    let request = Pending { thread, file, block, event, transfer, due, cancelled: false };
    let requests = kernel.requests();
    let mut list = requests.list();
    list.push(request);
    requests.count.store(list.len(), Ordering::Release);
    drop(list);
    Ok(NtStatus::PENDING)
}

/// `ZwCancelIoFileEx`: asks for the end of the requests on a file, or of the one with this status
/// block, whichever thread began them.
pub(super) fn cancel(cx: &Cx<'_>, file: &Arc<OpenFile>, block: u64) -> NtStatus {
    let cancelled = cx.kernel().requests().cancel(|request| {
        Arc::ptr_eq(&request.file, file) && (block == 0 || request.block == block)
    });
    cx.kernel().sched().wake();
    if cancelled == 0 { NtStatus::NOT_FOUND } else { NtStatus::SUCCESS }
}

/// What the end of a thread does to its requests.
pub(super) fn run_down(cx: &Cx<'_>) -> Result<(), Trap> {
    let kernel = cx.kernel();
    let thread = cx.kpcr().shared.tid as i64;
    let requests = kernel.requests();
    if requests.cancel(|request| request.thread == thread) == 0 {
        return Ok(());
    }
    let deadline = Deadline::Interrupt(kernel.clock().interrupt_time() + ticks(THREAD_END));
    kernel.sched().block(kernel, deadline, || {
        requests.deliver(kernel, thread)?;
        Ok((requests.of_thread(thread) == 0).then_some(()))
    })?;
    Ok(())
}
