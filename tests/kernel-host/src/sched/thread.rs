//! System threads.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::bug::BugKind;
use crate::cpu::{Kpcr, Site, call_out, enter};
use crate::guest::{self, GuestBlock};
use crate::kernel::Kernel;

const THREAD: u8 = 6;
const SIGNAL_STATE: u64 = 4;

/// A thread that a driver made.
#[derive(Debug)]
pub(crate) struct ThreadObject {
    body: GuestBlock,
    /// Its start routine.
    pub start: u64,
    /// Where it was created.
    pub site: Site,
    tid: AtomicU32,
    exited: AtomicBool,
    join: Mutex<Option<JoinHandle<()>>>,
}

impl ThreadObject {
    /// The KTHREAD.
    pub(crate) fn address(&self) -> u64 {
        self.body.address()
    }

    pub(crate) fn has_exited(&self) -> bool {
        self.exited.load(Ordering::Acquire)
    }

    fn is_finished(&self) -> bool {
        let join = self.join.lock().unwrap_or_else(PoisonError::into_inner);
        join.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn join(&self) {
        let handle = self.join.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle {
            let _ = handle.join();
        }
    }
}

/// All threads that drivers of a kernel made.
#[derive(Default)]
pub(crate) struct Threads(Mutex<Vec<Arc<ThreadObject>>>);

impl Threads {
    fn list(&self) -> MutexGuard<'_, Vec<Arc<ThreadObject>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The threads that still run driver code.
    pub(crate) fn running(&self) -> Vec<Arc<ThreadObject>> {
        self.list().iter().filter(|thread| !thread.has_exited()).cloned().collect()
    }

    /// Waits until every thread is gone, once the kernel is stopping. `false` when one is stuck.
    pub(crate) fn join_all(&self, kernel: &Kernel) -> bool {
        let end = Instant::now() + Duration::from_secs(10);
        let threads: Vec<_> = self.list().drain(..).collect();
        let own = std::thread::current().id();
        for thread in &threads {
            let handle = thread.join.lock().unwrap_or_else(PoisonError::into_inner);
            let is_self = handle.as_ref().is_some_and(|handle| handle.thread().id() == own);
            drop(handle);
            if is_self {
                continue;
            }
            while !thread.is_finished() {
                if Instant::now() > end {
                    return false;
                }
                kernel.sched().wake();
                let tid = thread.tid.load(Ordering::Acquire);
                if tid != 0 && kernel.is_stopping() {
                    call_out(tid as i32);
                }
                std::thread::sleep(Duration::from_micros(100));
            }
            thread.join();
        }
        true
    }
}

/// `PsCreateSystemThread` without the handle. `None` when the host cannot make a thread.
pub(crate) fn create_system_thread(
    kernel: &Kernel,
    start: u64,
    context: u64,
    site: Site,
) -> Option<Arc<ThreadObject>> {
    create_thread(kernel, kernel.thread_name(start), start, Call::Driver(context), site)
}

fn create_thread(
    kernel: &Kernel,
    name: String,
    start: u64,
    call: Call,
    site: Site,
) -> Option<Arc<ThreadObject>> {
    let thread = Arc::new(ThreadObject {
        body: GuestBlock::new(0x800),
        start,
        site,
        tid: AtomicU32::new(0),
        exited: AtomicBool::new(false),
        join: Mutex::new(None),
    });
    guest::write(thread.address(), THREAD).ok()?;
    let owner = kernel.shared()?;
    let own = thread.clone();
    let place = kernel.sched().schedule().map(|schedule| schedule.enroll(&name));
    let body = move || run(&owner, &own, call, place);
    let mut slot = thread.join.lock().unwrap_or_else(PoisonError::into_inner);
    let spawned = std::thread::Builder::new().name(name).spawn(body).ok();
    if let (None, Some(schedule), Some(place)) = (&spawned, kernel.sched().schedule(), place) {
        schedule.leave(kernel, place);
    }
    *slot = Some(spawned?);
    drop(slot);
    kernel.threads().list().push(thread.clone());
    Some(thread)
}

/// A thread of the system itself, which calls drivers.
pub(super) fn create_service_thread(kernel: &Kernel, name: &str, main: fn(&Kernel)) {
    let call = Call::Service(main);
    // Without a thread nothing is served, which is what a machine without memory does.
    let _ = create_thread(kernel, name.to_owned(), 0, call, kernel.no_site());
}

/// What a thread does.
enum Call {
    /// A driver's routine with its context.
    Driver(u64),
    Service(fn(&Kernel)),
}

fn run(kernel: &Arc<Kernel>, thread: &ThreadObject, call: Call, place: Option<usize>) {
    let kpcr = Kpcr::current();
    thread.tid.store(kpcr.shared.tid as u32, Ordering::Release);
    kpcr.set_thread_object(thread.address());
    kpcr.process.set(kernel.system_process().address());
    kpcr.system_thread.set(true);
    let schedule = kernel.sched().schedule();
    if let (Some(schedule), Some(place)) = (schedule, place) {
        schedule.come(place);
    }
    let ended = match call {
        Call::Driver(context) => enter(kernel, thread.start, &[context]).map(drop),
        Call::Service(main) => {
            main(kernel);
            Ok(())
        }
    };
    if let Err(bug) = ended
        && !matches!(bug.kind, BugKind::ThreadExit(_) | BugKind::Stopped)
    {
        kernel.crash(&bug);
    }
    kpcr.set_thread_object(0);
    kernel.sched().change(|| {
        let _ = guest::write(thread.address() + SIGNAL_STATE, 1i32);
        thread.exited.store(true, Ordering::Release);
    });
    thread.tid.store(0, Ordering::Release);
    if let (Some(schedule), Some(place)) = (schedule, place) {
        schedule.leave(kernel, place);
    }
}
