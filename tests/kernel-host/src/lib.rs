//! A model of the NT kernel, the filter manager and NPFS that runs a real x64 `.sys` in a Linux
//! process and checks what Driver Verifier checks.
//!
//! ```no_run
//! # #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use kernel_host::{Kernel, PipeOptions, Pool, ProcessSpec};
//!
//! let kernel = Kernel::builder().pool(Pool::Special).build();
//! let driver = kernel.load("target/saker/saker.sys")?;
//! assert!(driver.start()?.is_success());
//! kernel.run_boot_reinitialization()?;
//! let image = Some(r"\Device\HarddiskVolume3\Windows\explorer.exe".to_owned());
//! let process = kernel.create_process(ProcessSpec { pid: 1234, image, ..Default::default() });
//! let outcome = kernel.create_named_pipe(&process, r"\evil", PipeOptions::default())?;
//! println!("{:?}", outcome.status);
//! driver.unload()?.assert_clean();
//! # Ok(())
//! # }
//! # #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
//! # fn main() {}
//! ```
//!
//! See the README for what the model checks and what it cannot check. On other systems than
//! x86-64 Linux this crate is empty.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![deny(unsafe_code)]

pub mod artifacts;
pub mod bug;
pub mod coverage;
mod cpu;
mod driver;
mod exports;
mod flt;
pub mod guest;
mod inject;
mod kernel;
mod ledger;
pub mod machine;
mod npfs;
mod nt;
pub mod pe;
mod pool;
pub mod process;
mod sched;
mod status;
mod symbols;
mod token;

pub use bug::{Access, Bug, BugKind, Note};
pub use cpu::Surroundings;
pub use driver::{Driver, Export};
pub use flt::{
    ConnectOptions, Ecp, IntoUnits, Message, Outcome, PipeOptions, PortClient, PreOperation,
    PreStatus, UserInput,
};
pub use inject::{Hit, Injector};
pub use kernel::{Builder, Kernel};
pub use ledger::{Leak, LeakReport, Ledger};
pub use machine::Machine;
pub use npfs::PipeEnd;
pub use nt::{DumpBlock, Trace, TraceEvent, TraceValue};
pub use pe::{LoadError, Section};
pub use pool::{Pool, PoolMarks};
pub use process::{Process, ProcessSpec};
pub use sched::{Played, Race, Seeds};
pub use status::NtStatus;
pub use symbols::{Frame, Function};
pub use token::{Token, TokenSpec, sid};
