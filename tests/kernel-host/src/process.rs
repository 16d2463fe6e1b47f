//! Processes: what a driver can ask about the requestor of an operation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cpu::Kpcr;
use crate::guest::{self, GuestBlock};

/// What a new process shall be.
#[derive(Clone, Debug, Default)]
pub struct ProcessSpec {
    /// Its id.
    pub pid: u64,
    /// The NT path of its image, such as `\Device\HarddiskVolume3\Windows\explorer.exe`; `None`
    /// for a process whose image cannot be found.
    pub image: Option<String>,
    /// Whether it is a protected process.
    pub protected: bool,
}

/// A process.
#[derive(Debug)]
pub struct Process {
    spec: ProcessSpec,
    start_key: u64,
    object: GuestBlock,
}

impl Process {
    /// What it was made from.
    pub fn spec(&self) -> &ProcessSpec {
        &self.spec
    }

    /// `PsGetProcessStartKey`: unique in this boot.
    pub fn start_key(&self) -> u64 {
        self.start_key
    }

    /// The EPROCESS.
    pub(crate) fn address(&self) -> u64 {
        self.object.address()
    }

    /// Runs something with this as the current process of the thread.
    pub(crate) fn attached<T>(&self, run: impl FnOnce() -> T) -> T {
        let kpcr = Kpcr::current();
        let _back = Back { kpcr, process: kpcr.process.replace(self.address()) };
        run()
    }
}

struct Back<'a> {
    kpcr: &'a Kpcr,
    process: u64,
}

impl Drop for Back<'_> {
    fn drop(&mut self) {
        self.kpcr.process.set(self.process);
    }
}

/// The processes of a kernel. They stay known after their end, as a referenced EPROCESS does.
#[derive(Debug)]
pub(crate) struct Processes {
    system: Arc<Process>,
    by_object: Mutex<HashMap<u64, Arc<Process>>>,
    next_key: std::sync::atomic::AtomicU64,
}

impl Processes {
    pub(crate) fn new() -> Processes {
        let spec = ProcessSpec { pid: 4, image: None, protected: true };
        let system = Arc::new(Process { spec, start_key: 1, object: body() });
        Processes {
            by_object: Mutex::new(HashMap::from([(system.address(), system.clone())])),
            system,
            next_key: 2.into(),
        }
    }

    pub(crate) fn system(&self) -> &Arc<Process> {
        &self.system
    }

    pub(crate) fn create(&self, spec: ProcessSpec) -> Arc<Process> {
        let start_key = self.next_key.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let process = Arc::new(Process { spec, start_key, object: body() });
        let mut processes = self.by_object.lock().unwrap_or_else(PoisonError::into_inner);
        processes.insert(process.address(), process.clone());
        process
    }

    /// The process with that EPROCESS.
    pub(crate) fn find(&self, object: u64) -> Option<Arc<Process>> {
        self.by_object.lock().unwrap_or_else(PoisonError::into_inner).get(&object).cloned()
    }
}

/// An EPROCESS begins with a dispatcher header of type 3.
fn body() -> GuestBlock {
    let object = GuestBlock::new(0x800);
    guest::write(object.address(), 3u8).expect("own memory");
    object
}
