//! `sakerctl trust`: channel 0, which says whose content a sensor takes and which files are over.
//!
//! `build` makes the unsigned file from a text, `show` prints what one says. Root keys sign it with
//! `sakerctl content sign`, as many as the sensors' anchor asks for.

pub mod build;
pub mod show;

use std::io::Write;

use clap::Subcommand;

use crate::Error;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// Make an unsigned file of channel 0: keys, epochs, floors, revocations
    Build(build::Args),
    /// Show what a file of channel 0 says
    Show(show::Args),
}

impl TrustCommand {
    /// Runs the command; results go to `out`.
    pub fn run(&self, out: &mut dyn Write) -> Result<(), Error> {
        match self {
            Self::Build(args) => build::run(args, out),
            Self::Show(args) => show::run(args, out),
        }
    }
}
