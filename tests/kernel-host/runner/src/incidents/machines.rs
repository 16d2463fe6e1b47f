//! A machine with one of the two drivers on it.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use driver_abi::{Protection, Stage, Status};
use kernel_host::{Bug, Driver, Kernel, Machine, PipeOptions, ProcessSpec};

use super::scenarios::File;
use crate::error::Error;
use crate::rig::{Boot, INBOX, Rig};

const EXPLORER: &str = r"\Device\HarddiskVolume3\Windows\explorer.exe";
/// How long a machine has been up when the first programs run.
const EARLY: Duration = Duration::from_secs(5);
/// Real time that the driver of 2024 may take to notice a file.
const NOTICE: Duration = Duration::from_secs(5);

/// Why a machine does not go on.
#[derive(Debug)]
pub enum Down {
    /// A bugcheck.
    Bugcheck(Box<Bug>),
    /// The replay itself went wrong.
    Failed(Error),
}

impl From<Error> for Down {
    fn from(error: Error) -> Self {
        match error {
            Error::Bug(bug) => Self::Bugcheck(bug),
            other => Self::Failed(other),
        }
    }
}

impl From<Box<Bug>> for Down {
    fn from(bug: Box<Bug>) -> Self {
        Self::Bugcheck(bug)
    }
}

impl From<Down> for Error {
    fn from(down: Down) -> Self {
        match down {
            Down::Bugcheck(bug) => Self::Bug(bug),
            Down::Failed(error) => error,
        }
    }
}

/// A driver to put on machines.
pub enum Host<'a> {
    /// `saker.sys`, with the anchor that it is stamped with.
    Saker(&'a Path, &'a [u8]),
    /// The driver in the shape of July 2024.
    Of2024(&'a Path),
}

impl<'a> Host<'a> {
    pub const fn saker(driver: &'a Path, anchor: &'a [u8]) -> Self {
        Self::Saker(driver, anchor)
    }

    pub const fn of_2024(driver: &'a Path) -> Self {
        Self::Of2024(driver)
    }

    /// Boots a machine with it.
    pub fn boot(&self, machine: &Machine) -> Result<Running, Down> {
        match *self {
            Self::Saker(driver, anchor) => {
                // Nothing has been written yet when the first pipes are created.
                let boot = Boot::on(driver, anchor, machine.clone());
                let boot = Boot { uptime: EARLY, ..boot };
                Ok(Running::Saker(Box::new(boot.boot()?)))
            }
            Self::Of2024(path) => {
                machine.install_minifilter("sensor2024", "389995.2024");
                machine.disk().create_directory(INBOX);
                let kernel = Kernel::builder().machine(machine.clone()).build();
                let driver = kernel.load(path).map_err(Error::from)?;
                let status = driver.start()?;
                if !status.is_success() {
                    return Err(Error::Start { status: status.0 }.into());
                }
                kernel.run_boot_reinitialization()?;
                Ok(Running::Of2024 { kernel, driver })
            }
        }
    }
}

/// A machine that is up.
pub enum Running {
    /// With `saker.sys`.
    Saker(Box<Rig>),
    /// With the other one.
    Of2024 {
        /// The kernel.
        kernel: Arc<Kernel>,
        /// The driver.
        driver: Driver,
    },
}

impl Running {
    /// Files come into the folder, and the driver notices.
    pub fn deliver(&mut self, files: &[File]) -> Result<(), Down> {
        match self {
            Self::Saker(rig) => {
                rig.drop_files(files.iter().map(|(name, bytes)| (name.as_str(), bytes)))?;
                Ok(())
            }
            Self::Of2024 { kernel, .. } => {
                for (name, bytes) in files {
                    kernel.machine().disk().write(&format!(r"{INBOX}\{name}"), bytes);
                }
                settle(kernel)
            }
        }
    }

    /// Waits until the driver has looked into the folder, however busy the machine is that plays this.
    pub fn looks(&mut self) -> Result<(), Down> {
        match self {
            Self::Saker(rig) => rig.drop_files(std::iter::empty()).map(drop).map_err(Down::from),
            Self::Of2024 { kernel, .. } => settle(kernel),
        }
    }

    /// The content becomes good, where that means anything.
    pub fn mature(&mut self) -> Result<(), Down> {
        match self {
            Self::Saker(rig) => rig.mature().map(drop).map_err(Down::from),
            Self::Of2024 { .. } => Ok(()),
        }
    }

    /// Lets the callback crash from now on, if the content that came is in force.
    pub fn plant(&mut self) -> Result<(), Down> {
        match self {
            Self::Saker(rig) => {
                if rig.status()?.sequence > 1 {
                    rig.driver().plant_breakpoint("flt::pre_create").map_err(Error::from)?;
                }
            }
            Self::Of2024 { kernel, driver } => {
                if newest(&kernel.machine()).is_some_and(|name| !name.ends_with("0001.sys")) {
                    driver.plant_breakpoint("pre_create_named_pipe").map_err(Error::from)?;
                }
            }
        }
        Ok(())
    }

    /// A program creates a pipe; one that it does not get is counted.
    pub fn create(&mut self, name: &str, failed: &mut u32) -> Result<(), Down> {
        let kernel = self.kernel();
        let image = Some(EXPLORER.to_owned());
        let process = kernel.create_process(ProcessSpec { pid: 4000, image, ..Default::default() });
        let outcome = kernel.create_named_pipe(&process, name, PipeOptions::default())?;
        kernel.check()?;
        *failed += u32::from(!outcome.status.is_success());
        Ok(())
    }

    /// Time passes. A driver that is at work is not slow because the clock jumps.
    pub fn advance(&self, time: Duration) {
        self.kernel().rest(NOTICE);
        self.kernel().advance(time);
    }

    /// Whether a pipe that the good content blocks is blocked, and what the driver says of itself.
    pub fn describe(&mut self) -> Result<String, Error> {
        const ACCESS_DENIED: u32 = 0xC000_0022;
        let kernel = self.kernel();
        let process = kernel.create_process(ProcessSpec { pid: 4001, ..Default::default() });
        let outcome = kernel.create_named_pipe(&process, r"\evil", PipeOptions::default())?;
        let blocks = match outcome.status.0 {
            ACCESS_DENIED => "blocks",
            _ => "does not block",
        };
        Ok(match self {
            Self::Saker(rig) => format!("{blocks}; {}", words(&rig.status()?)),
            Self::Of2024 { .. } => format!("{blocks}; says nothing"),
        })
    }

    /// The power goes.
    pub fn power_off(self) {
        match self {
            Self::Saker(rig) => rig.power_off(),
            Self::Of2024 { kernel, driver } => {
                kernel.power_off();
                drop(driver);
            }
        }
    }

    /// An orderly shutdown: what is written reaches the disk.
    pub fn shut_down(self) -> Result<(), Down> {
        match self {
            Self::Saker(rig) => rig.unload().map_err(Down::from),
            Self::Of2024 { kernel, driver } => {
                kernel.halt();
                drop(driver);
                Ok(())
            }
        }
    }

    fn kernel(&self) -> &Arc<Kernel> {
        match self {
            Self::Saker(rig) => rig.kernel(),
            Self::Of2024 { kernel, .. } => kernel,
        }
    }
}

/// Where a bugcheck happened: the innermost function that has a name.
pub fn blamed(bug: &Bug) -> String {
    let functions = bug.functions();
    let Some(function) = functions.first() else { return bug.to_string() };
    let bare = function.name.split(['(', '<']).next();
    bare.unwrap_or(&function.name).to_owned()
}

/// Deletes a file of the content folder.
pub fn delete(machine: &Machine, name: &str) {
    machine.disk().remove(&format!(r"{INBOX}\{name}"));
}

/// Lets the driver's thread look a few times.
fn settle(kernel: &Arc<Kernel>) -> Result<(), Down> {
    let deadline = Instant::now() + NOTICE;
    for _ in 0..20 {
        kernel.advance(Duration::from_secs(6));
        thread::sleep(Duration::from_millis(5));
        kernel.check()?;
        if Instant::now() > deadline {
            break;
        }
    }
    Ok(())
}

/// The file that it would load.
fn newest(machine: &Machine) -> Option<String> {
    machine.disk().list(INBOX).into_iter().filter(|name| name.starts_with("C-00000291")).max()
}

fn words(status: &Status) -> String {
    let stage = match status.stage {
        Stage::None => return "nothing".to_owned(),
        Stage::Trial => "on trial",
        Stage::Good => "good",
    };
    let protection = match status.protection {
        Protection::Full => "FULL".to_owned(),
        Protection::Degraded(loss) => format!("DEGRADED ({})", loss.name()),
        Protection::None(loss) => format!("NONE ({})", loss.name()),
    };
    format!("sequence {}, {stage}; {protection}", status.sequence)
}
