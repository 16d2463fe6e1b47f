//! `sakerctl trust`: channel 0, which says whose content a sensor takes and which files are over.
//!
//! `build` makes the unsigned file from a text, `revoke`, `rotate` and `halt` make the next one from the
//! one before, `show` prints what one says. Root keys sign it with
//! `sakerctl content sign`, as many as the sensors' anchor asks for.

pub mod build;
pub mod edit;
pub mod next;
pub mod show;

use std::io::Write;

use clap::Subcommand;

use crate::Error;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// Make an unsigned file of channel 0: keys, epochs, floors, revocations
    Build(build::Args),
    /// End files: one by one, or all of an epoch up to a sequence
    Revoke(edit::Revoke),
    /// Put one key in the place of another, from an epoch on
    Rotate(edit::Rotate),
    /// Let nothing new in on a channel, or end that
    Halt(edit::Halt),
    /// Show what a file of channel 0 says
    Show(show::Args),
}

impl TrustCommand {
    /// Runs the command; results go to `out`.
    pub fn run(&self, out: &mut dyn Write) -> Result<(), Error> {
        match self {
            Self::Build(args) => build::run(args, out),
            Self::Revoke(args) => args.run(out),
            Self::Rotate(args) => args.run(out),
            Self::Halt(args) => args.run(out),
            Self::Show(args) => show::run(args, out),
        }
    }
}
