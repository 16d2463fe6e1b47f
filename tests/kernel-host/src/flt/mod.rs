//! The filter manager: registration, attachment to NPFS, callbacks, ports, push locks.

mod context;
mod dispatch;
mod layout;
mod lock;
mod name;
mod operation;
mod port;
mod registration;
mod user_input;
mod work;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use lock::{acquire_push_lock, release_push_lock};
pub use operation::{
    ConnectOptions, Ecp, IntoUnits, Outcome, PipeOptions, PreOperation, PreStatus,
};
pub use port::{Message, PortClient};
pub use user_input::UserInput;

use crate::cpu::Rec;
use crate::guest::GuestBlock;

/// The APIs of fltmgr.sys.
pub(crate) static APIS: [&[&Rec]; 6] =
    [registration::APIS, lock::APIS, name::APIS, port::APIS, context::APIS, work::APIS];

/// What a filter registered for one operation.
#[derive(Clone, Copy, Debug)]
struct Operation {
    major: u8,
    pre: u64,
    post: u64,
}

/// A registered filter.
#[derive(Debug)]
pub(crate) struct Filter {
    body: GuestBlock,
    driver_object: u64,
    /// Its place in the stack: higher is called first.
    altitude: f64,
    supports_npfs: bool,
    operations: Vec<Operation>,
    contexts: Vec<context::Kind>,
    unload: u64,
    setup: u64,
    teardown_start: u64,
    teardown_complete: u64,
    started: AtomicBool,
    /// NPFS was offered to it once.
    offered: AtomicBool,
    /// No new callbacks: it is being unregistered.
    draining: AtomicBool,
    /// Callbacks that run now, work items on their way and references that the driver holds.
    busy: Arc<AtomicU32>,
    /// Its instance on NPFS.
    instance: Mutex<Option<Arc<GuestBlock>>>,
    /// The other volumes it did not refuse. Nothing is sent to it there.
    elsewhere: Mutex<Vec<&'static str>>,
}

impl Filter {
    /// The PFLT_FILTER.
    fn address(&self) -> u64 {
        self.body.address()
    }

    fn operation(&self, major: u8) -> Option<Operation> {
        self.operations.iter().copied().find(|operation| operation.major == major)
    }

    fn elsewhere(&self) -> MutexGuard<'_, Vec<&'static str>> {
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn instance(&self) -> Option<Arc<GuestBlock>> {
        self.instance.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug, Default)]
struct State {
    filters: Vec<Arc<Filter>>,
    server_ports: HashMap<u64, Arc<port::ServerPort>>,
    client_ports: HashMap<u64, Arc<port::ClientPort>>,
    /// How many there ever were.
    connections: u64,
    descriptors: HashMap<u64, GuestBlock>,
    names: HashMap<u64, name::NameInformation>,
    contexts: context::Contexts,
}

/// The filter manager of a kernel.
#[derive(Debug)]
pub(crate) struct FilterManager {
    state: Mutex<State>,
    /// The FLT_VOLUME of NPFS.
    volume: GuestBlock,
    changing: user_input::Changing,
    /// Operations reach NPFS past all filters.
    bypassed: AtomicBool,
    /// Operations do not go on for now.
    held: AtomicBool,
}

impl Default for FilterManager {
    fn default() -> FilterManager {
        FilterManager {
            state: Mutex::default(),
            volume: GuestBlock::new(64),
            changing: user_input::Changing::default(),
            bypassed: AtomicBool::new(false),
            held: AtomicBool::new(false),
        }
    }
}

impl FilterManager {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn filter(&self, address: u64) -> Option<Arc<Filter>> {
        self.state().filters.iter().find(|filter| filter.address() == address).cloned()
    }

    /// The filter that an instance belongs to.
    fn filter_of_instance(&self, address: u64) -> Option<Arc<Filter>> {
        let owns = |filter: &&Arc<Filter>| {
            filter.instance().is_some_and(|instance| instance.address() == address)
        };
        self.state().filters.iter().find(owns).cloned()
    }

    /// User memory that changes once it was copied.
    pub(crate) fn changing(&self) -> &user_input::Changing {
        &self.changing
    }

    /// Attached filters, the highest altitude first.
    fn attached(&self) -> Vec<Arc<Filter>> {
        let mut filters: Vec<_> = self
            .state()
            .filters
            .iter()
            .filter(|filter| filter.instance().is_some())
            .cloned()
            .collect();
        filters.sort_by(|one, other| other.altitude.total_cmp(&one.altitude));
        filters
    }

    /// The unload routine of a driver's filter: 0 when it registered none, `None` without filter.
    pub(crate) fn unload_routine(&self, driver_object: u64) -> Option<u64> {
        let state = self.state();
        let own = state.filters.iter().find(|filter| filter.driver_object == driver_object);
        own.map(|filter| filter.unload)
    }
}
