//! Saker in user mode: the command `sakerctl`, and the parts of it that other tools share.
//!
//! # Exit codes
//! 0 done; 1 refused or failed, with a message that names the file, the place and the remedy;
//! 2 the command line itself is wrong.
//!
//! # Guarantees
//! * Results go to stdout, everything else to stderr.
//! * A file is written beside its place, flushed and renamed there: after an error or a crash there
//!   is the old file or the new one, whole. Key files are readable by their owner alone and are
//!   never overwritten.
//! * The driver is never asked to trust any of this: it checks all again.

#![deny(unsafe_code)]

pub mod cli;
pub mod content;
pub mod device;
pub mod error;
pub mod files;
pub mod host;
pub mod machine;
pub mod offline;
pub mod report;
pub mod service;
pub mod trust;
#[cfg(windows)]
mod windows;

pub use error::Error;
