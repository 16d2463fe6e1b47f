//! What is fuzzed, and what must hold for every input.
//!
//! # Use case
//! `cargo xtask fuzz` runs each [`Target`] under libFuzzer; `cargo test -p fuzz-targets` replays the
//! seeds and every file of `tests/regressions`; `cargo xtask mutate` changes every byte of the golden
//! files. All three call the same functions.
//!
//! # How
//! A target is a function of bytes that panics when something does not hold. "Returns" is the least of
//! it: what is accepted must also be what an independent reading makes of the same bytes.
//!
//! | module | targets |
//! |---|---|
//! | [`files`] | channel files: header, body behind a good signature, patches of tables |
//! | [`judge`] | rules and events made from the input, judged by the file and by the naive reference |
//! | [`sigma`] | the text of rules |
//! | [`trust`] | signatures, anchors, channel 0 |
//! | [`journal`] | the attempt journal, with torn writes |
//! | [`messages`] | the driver's port |
//! | [`folder`] | the inbox and its security descriptor, file names, service parameters |
//! | [`port`] | clients of the port and what they asked |
//! | [`driver`] | the built `saker.sys` in the kernel host |

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod driver;
pub mod files;
pub mod folder;
mod golden;
mod input;
pub mod journal;
pub mod judge;
pub mod messages;
pub mod mutate;
pub mod port;
pub mod sigma;
mod target;
pub mod trust;

pub use input::Input;
pub use target::{Target, find, targets};
