//! Finds threads that spin in driver code without ever calling an API.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

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
            let mut seen: HashMap<i32, (u64, Instant)> = HashMap::new();
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

fn inspect(kernel: &Kernel, seen: &mut HashMap<i32, (u64, Instant)>, limit: Duration) {
    for thread in kernel.watched().live() {
        let progress = thread.progress.load(Ordering::Relaxed);
        let idle =
            thread.depth.load(Ordering::Relaxed) == 0 || thread.waiting.load(Ordering::Relaxed);
        let entry = seen.entry(thread.tid).or_insert((progress, Instant::now()));
        if idle || entry.0 != progress {
            *entry = (progress, Instant::now());
        } else if entry.1.elapsed() > limit {
            thread.hung.store(true, Ordering::Relaxed);
            call_out(thread.tid);
        }
    }
}
