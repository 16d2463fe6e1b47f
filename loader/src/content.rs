//! `sakerctl content`: channel files from rules to verdicts.
//!
//! `keygen` makes keys, `lint` reads rules as a critic does, `build` makes an unsigned file of rules, `validate` says
//! what a sensor would do with it, `sign` signs it (`digest` says what a key elsewhere has to sign), `verify` says whether today's driver would take it,
//! `inspect` shows what is in it, `eval` tries it on a log, `revert` issues an older one again.

pub mod build;
pub(crate) mod bytes_text;
pub mod digest;
pub mod eval;
pub mod failed_example;
pub mod inputs;
pub mod inspect;
pub mod keygen;
pub mod keys;
pub mod lint;
pub mod position;
mod raw;
pub mod revert;
pub mod sensor;
pub mod sign;
mod skipped;
mod summary;
mod table;
pub mod time;
pub mod unverified;
pub mod validate;
pub mod verify;

use std::io::Write;

use clap::Subcommand;

use crate::Error;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum ContentCommand {
    /// Make a pair of keys: NAME.key to sign with, NAME.pub to verify with
    Keygen(keygen::Args),
    /// Say what is wrong with Sigma rules, or will be
    Lint(lint::Args),
    /// Compile Sigma rules into an unsigned channel file
    Build(build::Args),
    /// Say what a sensor would do with a channel file
    Validate(validate::Args),
    /// Print what a sensor can do, so that it can be kept
    Profile(validate::ProfileArgs),
    /// Print what is to be signed with a key that is kept elsewhere
    Digest(digest::Args),
    /// Sign a channel file that a sensor would take
    Sign(sign::Args),
    /// Issue the rules of an older file again, to go back to them
    Revert(revert::Args),
    /// Check a channel file as the driver does
    Verify(verify::Args),
    /// Show what a channel file holds, also when it is unsigned or damaged
    Inspect(inspect::Args),
    /// Judge the events of a log with a channel file
    Eval(eval::Args),
}

impl ContentCommand {
    /// Runs the command; results go to `out`.
    pub fn run(&self, out: &mut dyn Write) -> Result<(), Error> {
        match self {
            Self::Keygen(args) => keygen::run(args, out),
            Self::Lint(args) => lint::run(args, out),
            Self::Build(args) => build::run(args, out),
            Self::Validate(args) => validate::run(args, out),
            Self::Profile(args) => validate::run_profile(args, out),
            Self::Digest(args) => digest::run(args, out),
            Self::Sign(args) => sign::run(args, out),
            Self::Revert(args) => revert::run(args, out),
            Self::Verify(args) => verify::run(args, out),
            Self::Inspect(args) => inspect::run(args, out),
            Self::Eval(args) => eval::run(args, out),
        }
    }
}

/// Writes a result.
macro_rules! say {
    ($out:expr) => {
        ::std::writeln!($out).map_err(|source| $crate::Error::Output { source })
    };
    ($out:expr, $($text:tt)+) => {
        ::std::writeln!($out, $($text)+).map_err(|source| $crate::Error::Output { source })
    };
}
pub(crate) use say;
