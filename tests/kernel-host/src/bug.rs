//! What the host reports: the kind of bug, where, and what is known about the memory involved.

use std::fmt;

use crate::cpu::Site;
use crate::kernel::Kernel;
use crate::symbols::{Frame, Function};

/// How memory was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BugKind {
    /// An invalid address was touched by driver code.
    #[error("{access:?} of invalid address {address:#x}")]
    Fault {
        /// How.
        access: Access,
        /// Where.
        address: u64,
    },
    /// A non-canonical address or a privileged instruction.
    #[error("general protection fault: privileged instruction or non-canonical address")]
    GeneralProtection,
    /// An undefined instruction, `ud2` included.
    #[error("illegal instruction")]
    IllegalInstruction,
    /// `__fastfail`: the compiler's own checks, of a stack cookie or a list entry for example.
    #[error("fast fail {code}")]
    FastFail {
        /// `FAST_FAIL_*`.
        code: u64,
    },
    /// `int3`.
    #[error("breakpoint instruction")]
    Breakpoint,
    /// Division by zero or overflow.
    #[error("divide error")]
    DivideError,
    /// The driver used more than its 24 KiB of stack.
    #[error("kernel stack overflow")]
    StackOverflow,
    /// An API was handed a pointer that cannot be accessed.
    #[error("an API was passed a pointer that faults at {address:#x}")]
    BadPointer {
        /// The address that faulted.
        address: u64,
    },
    /// An API was called at too high an IRQL.
    #[error("{api} called at IRQL {current}, allowed up to {maximum}")]
    Irql {
        /// The API, with its argument where that sets the limit.
        api: &'static str,
        /// The IRQL at the call.
        current: u8,
        /// The highest allowed.
        maximum: u8,
    },
    /// A callback changed the IRQL.
    #[error("a callback entered at IRQL {before} returned at IRQL {after}")]
    IrqlNotRestored {
        /// At entry.
        before: u8,
        /// At return.
        after: u8,
    },
    /// A callback left normal kernel APCs disabled, or enabled once too often.
    #[error("a callback entered with APC count {before} returned with {after}")]
    ApcCount {
        /// At entry.
        before: i32,
        /// At return.
        after: i32,
    },
    /// A callback returned with a lock held.
    #[error("a callback returned with a {what} held")]
    LockHeld {
        /// What kind of lock.
        what: &'static str,
    },
    /// A callback returned while a file request may still write to its stack.
    #[error("a callback returned, and a file request that is not over may write to its stack")]
    RequestOnStack,
    /// A callback changed a nonvolatile register or left the direction flag set.
    #[error("a callback changed a nonvolatile register or the direction flag")]
    Registers,
    /// Misuse of the pool: overrun, double free, wrong tag, zero size.
    #[error("pool: {0}")]
    Pool(String),
    /// Misuse of an API.
    #[error("{api}: {why}")]
    Misuse {
        /// The API.
        api: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Misuse of the filter manager, by a callback's answer rather than by a call.
    #[error("filter manager: {0}")]
    Filter(String),
    /// The driver called `KeBugCheckEx`.
    #[error("the driver stopped the machine: bugcheck {code:#x} {parameters:x?}")]
    BugCheck {
        /// The code.
        code: u32,
        /// The parameters.
        parameters: [u64; 4],
    },
    /// An import that nothing models was called.
    #[error("{name} is not modelled")]
    Unresolved {
        /// `dll!name`.
        name: String,
    },
    /// Driver code ran too long, or waited for ever.
    #[error("hang: driver code made no progress")]
    Hang,
    /// The model itself panicked: a bug of the host.
    #[error("the host's model panicked: {message}")]
    HostPanic {
        /// The panic's text.
        message: String,
    },
    /// The power was cut on purpose (see `Disk::cut_power_after`).
    #[error("the power was cut")]
    PowerCut,
    /// The kernel was stopped, by an earlier bug or by the test.
    #[error("the kernel was stopped")]
    Stopped,
    /// `PsTerminateSystemThread`: not a bug, the way that call leaves.
    #[error("the thread ended with status {0:#010x}")]
    ThreadExit(u32),
}

impl BugKind {
    /// Not a defect of the driver, so no backtrace is worth making.
    pub(crate) fn is_orderly(&self) -> bool {
        matches!(self, BugKind::Stopped | BugKind::ThreadExit(_) | BugKind::PowerCut)
    }
}

/// A piece of history, for example where a block was allocated.
#[derive(Clone, Debug)]
pub struct Note {
    /// What happened there.
    pub what: String,
    /// Where, innermost first.
    pub frames: Vec<Frame>,
}

/// A report. `Display` resolves source lines and prints everything.
#[derive(Clone, Debug)]
pub struct Bug {
    /// What went wrong.
    pub kind: BugKind,
    /// Where, innermost first; empty for orderly ends.
    pub frames: Vec<Frame>,
    /// What is known about the memory or lock involved.
    pub notes: Vec<Note>,
    /// The thread's name.
    pub thread: String,
}

impl Bug {
    /// A report without a place.
    pub(crate) fn bare(kind: BugKind) -> Bug {
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        Bug { kind, frames: Vec::new(), notes: Vec::new(), thread }
    }

    /// A report about the routine that begins at `address`.
    pub(crate) fn at(kernel: &Kernel, kind: BugKind, address: u64) -> Bug {
        Bug::bare(kind).with_frames(kernel, &[address], true)
    }

    pub(crate) fn with_frames(mut self, kernel: &Kernel, addresses: &[u64], precise: bool) -> Bug {
        self.frames = kernel.frames(addresses, precise);
        self
    }

    pub(crate) fn with_site(mut self, kernel: &Kernel, what: &str, site: &Site) -> Bug {
        self.notes.push(Note { what: what.to_owned(), frames: kernel.frames(site, false) });
        self
    }

    /// Adds what the pool knows about an address.
    pub(crate) fn with_pool_history(mut self, kernel: &Kernel, address: u64) -> Bug {
        if let Some(history) = kernel.pool().describe(address) {
            self.notes.push(Note { what: history.text, frames: Vec::new() });
            self = self.with_site(kernel, "allocated", &history.allocated);
            if let Some(freed) = history.freed {
                self = self.with_site(kernel, "freed", &freed);
            }
        }
        self
    }

    /// All functions of the backtrace, innermost first, inlined ones included.
    pub fn functions(&self) -> Vec<Function> {
        self.frames.iter().flat_map(Frame::functions).collect()
    }

    /// Whether a function whose path contains `part` is in the backtrace, with a source line.
    pub fn blames(&self, part: &str) -> bool {
        self.functions()
            .iter()
            .any(|function| function.name.contains(part) && function.line.is_some())
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [thread {}]", self.kind, self.thread)?;
        for (index, frame) in self.frames.iter().enumerate() {
            write!(f, "\n    #{index} {frame}")?;
        }
        for note in &self.notes {
            write!(f, "\n  {}", note.what)?;
            for frame in &note.frames {
                write!(f, "\n    {frame}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Bug {}
