//! `sakerctl machine`: what a machine needs before content can be tried on it.
//!
//! `stamp` puts public keys into a driver.

pub mod image;
pub mod stamp;

use std::io::Write;

use clap::Subcommand;

use crate::Error;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum MachineCommand {
    /// Put the public keys that a driver is to trust into a copy of it
    Stamp(stamp::Args),
}

impl MachineCommand {
    /// Runs the command; results go to `out`.
    pub fn run(&self, out: &mut dyn Write) -> Result<(), Error> {
        match self {
            Self::Stamp(args) => stamp::run(args, out),
        }
    }
}
