//! Processes: what a driver can ask about the requestor of an operation.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cpu::Kpcr;
use crate::guest::{self, GuestBlock};
use crate::token::{Token, TokenSpec, Tokens};

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
    /// Whom its primary token stands for.
    pub token: TokenSpec,
}

/// A process.
#[derive(Debug)]
pub struct Process {
    spec: ProcessSpec,
    start_key: u64,
    token: Arc<Token>,
    ended: AtomicBool,
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

    /// Its primary token.
    pub fn token(&self) -> &Arc<Token> {
        &self.token
    }

    /// It has an exit status.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Gives it an exit status. False when it had one.
    pub(crate) fn end(&self) -> bool {
        !self.ended.swap(true, Ordering::AcqRel)
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
    tokens: Tokens,
    next_key: AtomicU64,
}

impl Processes {
    pub(crate) fn new() -> Processes {
        let tokens = Tokens::default();
        let token = TokenSpec::system();
        let spec = ProcessSpec { pid: 4, image: None, protected: true, token };
        let system = Arc::new(process(spec, 1, &tokens));
        Processes {
            by_object: Mutex::new(HashMap::from([(system.address(), system.clone())])),
            system,
            tokens,
            next_key: 2.into(),
        }
    }

    pub(crate) fn system(&self) -> &Arc<Process> {
        &self.system
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    pub(crate) fn create(&self, spec: ProcessSpec) -> Arc<Process> {
        let start_key = self.next_key.fetch_add(1, Ordering::Relaxed);
        let process = Arc::new(process(spec, start_key, &self.tokens));
        let mut processes = self.by_object.lock().unwrap_or_else(PoisonError::into_inner);
        processes.insert(process.address(), process.clone());
        process
    }

    /// The processes of users' sessions that run, the oldest first.
    pub(crate) fn of_users(&self) -> Vec<Arc<Process>> {
        let processes = self.by_object.lock().unwrap_or_else(PoisonError::into_inner);
        let of_user = |process: &&Arc<Process>| process.token.spec().session != 0;
        let mut found: Vec<_> = processes.values().filter(of_user).cloned().collect();
        found.sort_by_key(|process| process.start_key);
        found
    }

    /// The process with that EPROCESS.
    pub(crate) fn find(&self, object: u64) -> Option<Arc<Process>> {
        self.by_object.lock().unwrap_or_else(PoisonError::into_inner).get(&object).cloned()
    }
}

fn process(spec: ProcessSpec, start_key: u64, tokens: &Tokens) -> Process {
    let token = tokens.create(spec.token.clone());
    Process { spec, start_key, token, ended: AtomicBool::new(false), object: body() }
}

/// An EPROCESS begins with a dispatcher header of type 3.
fn body() -> GuestBlock {
    let object = GuestBlock::new(0x800);
    guest::write(object.address(), 3u8).expect("own memory");
    object
}
