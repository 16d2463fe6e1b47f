//! The driver's decisions as plain logic.
//!
//! What `saker.sys` decides is decided here, in code that knows neither the WDK nor a pointer and
//! that is tested on any machine; what it *does* is in the driver. Everything is bounded and
//! allocation-free, and nothing panics: the driver calls it in kernel mode.
//!
//! | module | decides |
//! |---|---|
//! | [`settings`] | what the service parameters mean |
//! | [`access`] | whether a folder is the administrators' alone |
//! | [`inbox`] | which dropped file is tried next |
//! | [`journal`] | what survives a crash during a try |
//! | [`ladder`] | which content a boot serves, and what becomes of content that takes machines down |
//! | [`slots`] | where accepted content lies |
//! | [`merit`] | when content on trial has become good |
//! | [`judge`] | what becomes of one pipe event |
//! | [`exempt`] | whom and what content never blocks |
//! | [`fuse`] | when content has blocked too much |
//! | [`rate`] | how often a rule's detections are told |
//! | [`publish`] | which ruleset an event is judged by while another comes into force |
//! | [`drives`] | how a device path is spelled with a drive letter |
//! | [`events`] | what is told to Event Tracing for Windows, and how it reads |
//! | [`changes`] | what of a status is worth telling |
//! | [`probe`] | whether the filter sees what it should |
//! | [`ring`] | what is kept when nobody listens |
//! | [`clients`] | who is connected at the port, and who has stopped listening |
//! | [`requests`] | what a client has asked and has no answer to yet |
//! | [`processes`] | what is kept of processes and tokens between their events |
//! | [`latency`] | how callbacks' times are counted |
//! | [`protection`] | what the status says |

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]

pub mod access;
pub mod changes;
pub mod clients;
pub mod drives;
pub mod events;
pub mod exempt;
pub mod fuse;
pub mod inbox;
pub mod journal;
pub mod judge;
pub mod ladder;
pub mod latency;
pub mod merit;
pub mod probe;
pub mod processes;
pub mod protection;
pub mod publish;
pub mod rate;
pub mod requests;
pub mod ring;
pub mod settings;
pub mod slots;

/// The order of content: epoch first, then sequence. Never a file's name order or time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Raised when a key is retired; outranks every sequence.
    pub epoch: u32,
    /// Raised with each file.
    pub sequence: u32,
}
