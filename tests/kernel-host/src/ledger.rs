//! What a driver must give back, and the report of what it did not.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cpu::Site;
use crate::guest;
use crate::kernel::Kernel;
use crate::pool::tag_text;
use crate::status::NtStatus;
use crate::symbols::Frame;

/// Kinds of things that are counted one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Debt {
    Handle,
    ObjectReference,
    Filter,
    FilterReference,
    ServerPort,
    ClientPort,
    PushLock,
    SecurityDescriptor,
    NameInformation,
    Device,
    TraceProvider,
    CrashCallback,
    ProcessNotify,
    Resource,
    Lookaside,
    Timer,
    WorkItem,
    Context,
}

impl Debt {
    fn text(self) -> &'static str {
        match self {
            Debt::Handle => "handle",
            Debt::ObjectReference => "object reference",
            Debt::Filter => "registered filter",
            Debt::FilterReference => "filter reference",
            Debt::ServerPort => "communication port",
            Debt::ClientPort => "client port",
            Debt::PushLock => "push lock not deleted",
            Debt::SecurityDescriptor => "security descriptor",
            Debt::NameInformation => "file name information",
            Debt::Device => "device object",
            Debt::TraceProvider => "event tracing provider",
            Debt::CrashCallback => "bug check callback",
            Debt::ProcessNotify => "process notify routine",
            Debt::Resource => "resource not deleted",
            Debt::Lookaside => "lookaside list not deleted",
            Debt::Timer => "timer still running",
            Debt::WorkItem => "work item",
            Debt::Context => "context reference",
        }
    }
}

/// Things that lie in the driver's own memory and must be gone before that is.
const EMBEDDED: [Debt; 4] = [Debt::PushLock, Debt::Resource, Debt::Lookaside, Debt::Timer];

#[derive(Default)]
struct Entries {
    /// Outstanding, with the place of each.
    owed: BTreeMap<(Debt, u64), Vec<Site>>,
    /// Rundown references that were initialised.
    rundowns: BTreeMap<u64, Site>,
}

/// The book of one kernel.
#[derive(Default)]
pub struct Ledger(Mutex<Entries>);

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn owe(&self, debt: Debt, id: u64, site: Site) {
        self.entries().owed.entry((debt, id)).or_default().push(site);
    }

    /// Gives one back; `false` when none was owed.
    pub(crate) fn settle(&self, debt: Debt, id: u64) -> bool {
        let mut entries = self.entries();
        let Some(sites) = entries.owed.get_mut(&(debt, id)) else {
            return false;
        };
        sites.pop();
        if sites.is_empty() {
            entries.owed.remove(&(debt, id));
        }
        true
    }

    pub(crate) fn owes(&self, debt: Debt, id: u64) -> usize {
        self.entries().owed.get(&(debt, id)).map_or(0, Vec::len)
    }

    /// What still lies in some memory and is in use by the system.
    pub(crate) fn alive_in(&self, memory: &std::ops::Range<u64>) -> Option<&'static str> {
        let entries = self.entries();
        let alive = |debt: &&Debt| {
            entries.owed.range((**debt, memory.start)..(**debt, memory.end)).next().is_some()
        };
        EMBEDDED.iter().find(alive).map(|debt| debt.text())
    }

    pub(crate) fn watch_rundown(&self, address: u64, site: Site) {
        self.entries().rundowns.insert(address, site);
    }

    /// The memory is gone, and with it the rundown references in it.
    pub(crate) fn forget_rundowns(&self, memory: std::ops::Range<u64>) {
        self.entries().rundowns.retain(|address, _| !memory.contains(address));
    }

    /// Everything still owed, without settling it.
    pub(crate) fn report(&self, kernel: &Kernel) -> LeakReport {
        let mut leaks = Vec::new();
        for block in kernel.pool().live() {
            let what = match block.count {
                1 => format!("pool block of {} bytes '{}'", block.size, tag_text(block.tag)),
                count => format!("{count} pool blocks, {} bytes", block.size),
            };
            leaks.push(Leak { what, frames: kernel.frames(&block.site, false) });
        }
        let entries = self.entries();
        for ((debt, id), sites) in &entries.owed {
            for site in sites {
                let what = format!("{} {id:#x}", debt.text());
                leaks.push(Leak { what, frames: kernel.frames(site, false) });
            }
        }
        for (address, site) in &entries.rundowns {
            let count = guest::read::<u64>(*address).unwrap_or(0) >> 1;
            if count != 0 {
                let what = format!("{count} rundown references at {address:#x}, initialised");
                leaks.push(Leak { what, frames: kernel.frames(site, false) });
            }
        }
        LeakReport { leaks, refused: None }
    }
}

/// One thing that was not given back.
#[derive(Clone, Debug)]
pub struct Leak {
    /// What it is.
    pub what: String,
    /// Where it was obtained, innermost first.
    pub frames: Vec<Frame>,
}

impl Leak {
    /// Whether a function whose path contains `part` obtained it, with a source line.
    pub fn blames(&self, part: &str) -> bool {
        let functions = self.frames.iter().flat_map(Frame::functions);
        functions
            .into_iter()
            .any(|function| function.name.contains(part) && function.line.is_some())
    }
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        for frame in &self.frames {
            write!(f, "\n    {frame}")?;
        }
        Ok(())
    }
}

/// What was left after an unload.
#[derive(Clone, Debug, Default)]
pub struct LeakReport {
    /// Everything not given back.
    pub leaks: Vec<Leak>,
    /// The status with which the driver refused to unload.
    pub refused: Option<NtStatus>,
}

impl LeakReport {
    /// Nothing was left.
    pub fn is_clean(&self) -> bool {
        self.leaks.is_empty() && self.refused.is_none()
    }

    /// Panics with the whole report unless nothing was left.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "the driver left something behind:\n{self}");
    }
}

impl fmt::Display for LeakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(status) = self.refused {
            writeln!(f, "refused to unload: {status}")?;
        }
        for leak in &self.leaks {
            writeln!(f, "not given back: {leak}")?;
        }
        Ok(())
    }
}
