//! Sigma rules to channel files.
//!
//! # Use case
//! `sakerctl content` builds and signs with this crate; tests use it to make files.
//!
//! # How
//! [`load_rules`] reads Sigma rules, [`build`] lowers them to the tables of `channel-format` and
//! lays out an unsigned file, [`sign`] runs the file's own examples with the driver's own code and
//! adds a signature. [`naive`] judges the same source rules without any of those tables: it is what
//! the tables are tested against.
//!
//! # Guarantees
//! * The same rules and options give the same bytes, whatever the order of the files.
//! * What is not supported refuses the rule, with its place and a remedy; nothing is dropped.

pub mod control;
mod cover;
mod derive;
mod error;
mod fields;
pub mod incident;
pub mod key_text;
mod keys;
mod layout;
pub mod lint;
mod lower;
pub mod naive;
mod regex;
mod reissue;
mod sign;
mod source;
mod supported;
mod users;

pub use error::{FaultKind, RuleError};
pub use keys::{KeyError, SecretKey, public_key};
pub use layout::{BuildOptions, build, build_for};
pub use reissue::reissue;
pub use sign::{SignError, add_signature, attach_signature, message, sign, sign_for};
pub use source::{
    Example, ExampleValue, Loaded, RefusedRule, SourceRule, load, load_rules, parse, parse_rules,
};
pub use supported::{Split, split};
