#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::cast_possible_truncation
    )
)]
//! The channel file, format version 0: bytes to header to signed to verified to ruleset to verdict.
//!
//! # Use case
//! The driver, the build tools and the tests all judge a channel file with this one crate, so what
//! the tools accept is what the kernel accepts.
//!
//! # How
//! Each step is a type, and only the next step's function makes it:
//!
//! | step | type | what is known then |
//! |---|---|---|
//! | [`frame::Header::parse`] | [`frame::Header`] | the first 1,024 bytes have the right structure |
//! | [`frame::verify`] | [`frame::Signed`] | a permitted key signed that header |
//! | [`frame::Signed::body`] | [`frame::Verified`] | the whole file has the length and digest signed |
//! | [`control::Control::parse`] | [`control::Control`] | of channel 0: every record has a meaning and its place |
//! | [`ruleset::Ruleset::parse`] | [`ruleset::Ruleset`] | every index, length, operator, jump, scan, cover and step bound holds |
//!
//! Only a [`ruleset::Ruleset`] evaluates. The layout is specified in `docs/channel-format.md`.
//!
//! # Guarantees
//! * Total: every function returns for every byte string and every event; nothing panics.
//! * No allocation, no unsafe code, no recursion; `evaluate` keeps a few hundred bytes of stack.
//! * Work is bounded by [`limits`] and by the step bounds in the signed header.

#[cfg(test)]
extern crate std;

pub mod anchor;
pub mod control;
pub mod engine;
pub mod frame;
pub mod limits;
pub mod name;
pub mod profile;
pub mod reader;
pub mod refusal;
pub mod ruleset;
pub mod schema;
pub mod signature;
