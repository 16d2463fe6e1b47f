//! Runs the real `saker.sys` in the kernel host: the command `kernel-host`, and the rig that the
//! driver's own tests are built on.
//!
//! `replay` drops channel files into the inbox, sends every event of a log through the driver's own
//! pre-operation callback, and prints what it decided: the lines of `sakerctl content eval` with a
//! verdict added. Nothing of the driver is replaced, only the kernel around it.
//!
//! `run` keeps a machine running in real time, with a console and a socket that carries the driver's
//! port, so that `sakerctl --sim` talks to the real driver.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

pub mod cli;
pub mod client;
pub mod coverage;
pub mod error;
pub mod incident;
pub mod incidents;
pub mod print;
pub mod replay;
pub mod rig;
pub mod run;
pub mod scenario;
pub mod volumes;

pub use error::Error;
