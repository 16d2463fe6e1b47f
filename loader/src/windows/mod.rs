//! What only Windows has: the driver's port, and the machine to install on.
//!
//! Nothing here decides anything: that is in [`crate::host`] and [`crate::device`], which are tested
//! everywhere. The calls themselves are in `ffi`, the one place with `unsafe`.

mod ffi;
pub mod machine;
pub mod port;
pub mod service;
