//! `sakerctl install|uninstall|start|stop|doctor|testsign|verifier`: this Windows machine.

use std::io::Write;
use std::path::Path;

use clap::Subcommand;

use super::doctor::Doctor;
use super::install::{self, Install, Uninstall};
use super::testsign::TestSign;
use super::this_machine;
use super::verifier::Verifier;
use crate::Error;
use crate::device::Device;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum HostCommand {
    /// Install the driver on this Windows machine, and start it
    Install(Install),
    /// Remove the driver from this Windows machine
    Uninstall(Uninstall),
    /// Start the driver
    Start,
    /// Stop the driver
    Stop,
    /// Say what is wrong with this machine's protection, and what to do
    Doctor(Doctor),
    /// Have a test machine take drivers that a test certificate's key signed
    Testsign(TestSign),
    /// Driver Verifier for the driver alone
    #[command(subcommand)]
    Verifier(Verifier),
}

impl HostCommand {
    /// Runs the command; results go to `out`. A simulated machine has a driver to ask and nothing
    /// to install on.
    pub fn run(&self, simulated: Option<&Path>, out: &mut dyn Write) -> Result<(), Error> {
        match self {
            Self::Doctor(doctor) => {
                let device = Device::new(simulated)?;
                let host = if simulated.is_some() { None } else { Some(this_machine()?) };
                doctor.run(host.as_deref(), &device, out)
            }
            Self::Install(install) => install.run(&mut *this_machine()?, out),
            Self::Uninstall(uninstall) => uninstall.run(&mut *this_machine()?, out),
            Self::Start => install::start(&mut *this_machine()?, out),
            Self::Stop => install::stop(&mut *this_machine()?, out),
            Self::Testsign(testsign) => testsign.run(&mut *this_machine()?, out),
            Self::Verifier(verifier) => verifier.run(&mut *this_machine()?, out),
        }
    }
}
