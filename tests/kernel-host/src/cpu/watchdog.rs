//! Finds threads that spin in driver code without ever calling an API.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::kpcr::ThreadShared;
use super::signal::call_out;
use crate::kernel::Kernel;

const PERIOD: Duration = Duration::from_millis(50);

/// The threads that a kernel's drivers run on.
#[derive(Default)]
pub(crate) struct Watched(Mutex<Vec<Weak<ThreadShared>>>);

impl Watched {
    /// Adds a thread; cheap when it is known.
    pub(crate) fn add(&self, thread: &Arc<ThreadShared>) {
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !threads.iter().any(|known| known.as_ptr() == Arc::as_ptr(thread)) {
            threads.retain(|known| known.strong_count() > 0);
            threads.push(Arc::downgrade(thread));
        }
    }

    fn live(&self) -> Vec<Arc<ThreadShared>> {
        let threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().filter_map(Weak::upgrade).collect()
    }

    /// Whether every thread is out of driver code or waits there.
    pub(crate) fn is_idle(&self) -> bool {
        self.live().iter().all(|thread| is_idle(thread))
    }

    /// Calls every thread out of driver code.
    pub(crate) fn call_out_all(&self) {
        for thread in self.live() {
            if thread.depth.load(Ordering::Relaxed) > 0 {
                call_out(thread.tid);
            }
        }
    }
}

/// Watches a kernel until it is dropped.
pub(crate) fn start(kernel: &Arc<Kernel>, limit: Duration) {
    let kernel = Arc::downgrade(kernel);
    let spawned =
        std::thread::Builder::new().name("kernel-host watchdog".into()).spawn(move || {
            let mut seen: HashMap<i32, (u64, Duration)> = HashMap::new();
            loop {
                std::thread::sleep(PERIOD);
                let Some(kernel) = kernel.upgrade() else {
                    return;
                };
                inspect(&kernel, &mut seen, limit);
            }
        });
    spawned.expect("a thread can be made");
}

/// The time that is measured is the thread's own: one that gets no processor is not spinning.
fn inspect(kernel: &Kernel, seen: &mut HashMap<i32, (u64, Duration)>, limit: Duration) {
    let live = kernel.watched().live();
    // The number of a thread that ended may come back with another one.
    seen.retain(|tid, _| live.iter().any(|thread| thread.tid == *tid));
    for thread in live {
        let Some(now) = processor_time(thread.tid) else {
            continue;
        };
        let progress = thread.progress.load(Ordering::Relaxed);
        let idle = is_idle(&thread);
        let entry = seen.entry(thread.tid).or_insert((progress, now));
        if idle || entry.0 != progress || now < entry.1 {
            *entry = (progress, now);
        } else if now - entry.1 > limit {
            thread.hung.store(true, Ordering::Relaxed);
            call_out(thread.tid);
        }
    }
}

fn is_idle(thread: &ThreadShared) -> bool {
    thread.depth.load(Ordering::Relaxed) == 0 || thread.waiting.load(Ordering::Relaxed)
}

/// The processor time that a thread of this process has used; `None` when it is gone.
fn processor_time(tid: i32) -> Option<Duration> {
    // Linux's number of the clock of one thread (CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED).
    let clock = (!tid << 3) | 6;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the structure; a stale number is an error only.
    let done = unsafe { libc::clock_gettime(clock, &mut time) };
    (done == 0).then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_sleeps_uses_no_processor_time() {
        // SAFETY: no arguments; cannot fail.
        let tid = unsafe { libc::gettid() };
        let before = processor_time(tid).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        assert!(processor_time(tid).unwrap() - before < Duration::from_millis(100));
        assert_eq!(processor_time(i32::MAX >> 4), None);
    }
}
