//! The Windows machine that `sakerctl` runs on: what it is like, what is installed, and changing
//! that.
//!
//! [`Host`] is the machine as far as the commands touch it. What they decide is plain logic over it,
//! tested against a machine in memory; the machine of Windows is in `crate::windows`, and thin.

pub mod checks;
pub mod commands;
pub mod doctor;
#[cfg(test)]
mod fake;
pub mod install;
pub mod testsign;
mod undo;
pub mod verifier;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::Error;

/// The driver's service, and its file's stem.
pub const SERVICE: &str = "saker";
/// The driver's own settings, below `HKEY_LOCAL_MACHINE`.
pub const PARAMETERS: &str = r"SYSTEM\CurrentControlSet\Services\saker\Parameters";
/// Content comes here; below the system's folder.
pub const INBOX: &str = r"System32\drivers\CrowdStrike";
/// Accepted content and the journal; below the system's folder.
pub const STATE: &str = r"System32\drivers\Saker";
/// Owner and access list of both: administrators own it, SYSTEM and administrators alone may do
/// anything, and nothing is inherited.
pub const FOLDER_SECURITY: &str = "O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)";

/// A value of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// REG_DWORD.
    Number(u32),
    /// REG_SZ.
    Text(String),
    /// REG_EXPAND_SZ.
    Expanded(String),
    /// Any other type.
    Other,
}

/// How a service is started: the numbers of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// By the boot loader.
    Boot,
    /// By the kernel.
    System,
    /// By the service controller.
    Auto,
    /// When it is asked for.
    Demand,
    /// Never.
    Disabled,
}

/// What a service is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does not run.
    Stopped,
    /// It is neither, and will be one of the two.
    Pending,
    /// It runs.
    Running,
}

/// A service that is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// What it is about.
    pub state: State,
    /// How it is started.
    pub start: Start,
}

/// How grave an entry of the event log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something is wrong.
    Error,
    /// Something may be wrong.
    Warning,
    /// Something happened.
    Information,
}

/// What a program that was run has said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its exit code; 0 is a success.
    pub code: i32,
    /// Its output, and then its errors.
    pub text: String,
}

/// A Windows machine. Keys are below `HKEY_LOCAL_MACHINE`.
pub trait Host {
    /// The system's folder, such as `C:\Windows`.
    fn system_root(&self) -> PathBuf;

    /// Whether this process may install drivers.
    fn may_administer(&self) -> bool;

    /// A value of the registry; `None` when there is no such value or key.
    ///
    /// # Errors
    /// The system's reason.
    fn value(&self, key: &str, name: &str) -> io::Result<Option<Value>>;

    /// Sets a value of the registry, making its key.
    ///
    /// # Errors
    /// The system's reason.
    fn set_value(&mut self, key: &str, name: &str, value: &Value) -> io::Result<()>;

    /// Removes a key with all that is below it; one that is not there is removed.
    ///
    /// # Errors
    /// The system's reason.
    fn remove_key(&mut self, key: &str) -> io::Result<()>;

    /// A service; `None` when it is not installed.
    ///
    /// # Errors
    /// The system's reason.
    fn service(&self, name: &str) -> io::Result<Option<Service>>;

    /// Starts a service and waits until it runs.
    ///
    /// # Errors
    /// The system's reason.
    fn start_service(&mut self, name: &str) -> io::Result<()>;

    /// Stops a service and waits until it has stopped.
    ///
    /// # Errors
    /// The system's reason.
    fn stop_service(&mut self, name: &str) -> io::Result<()>;

    /// Installs this program as a service that starts with the machine, with these arguments.
    ///
    /// # Errors
    /// The system's reason.
    fn install_program(&mut self, name: &str, arguments: &[String]) -> io::Result<()>;

    /// Removes a service that has stopped.
    ///
    /// # Errors
    /// The system's reason.
    fn remove_service(&mut self, name: &str) -> io::Result<()>;

    /// Changes how a service is started.
    ///
    /// # Errors
    /// The system's reason.
    fn set_start(&mut self, name: &str, start: Start) -> io::Result<()>;

    /// Adds a driver package to the driver store and installs it; true when a restart is wanted.
    ///
    /// # Errors
    /// The system's reason.
    fn install_package(&mut self, inf: &Path) -> io::Result<bool>;

    /// Uninstalls a driver package and takes it out of the driver store; true when a restart is
    /// wanted.
    ///
    /// # Errors
    /// The system's reason.
    fn uninstall_package(&mut self, inf: &Path) -> io::Result<bool>;

    /// The names in a folder; none when there is no such folder.
    ///
    /// # Errors
    /// The system's reason.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// The bytes of a small file.
    ///
    /// # Errors
    /// The system's reason.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Makes a folder with this security, or gives it to the one that is there; true when it was
    /// made.
    ///
    /// # Errors
    /// The system's reason.
    fn make_folder(&mut self, path: &Path, sddl: &str) -> io::Result<bool>;

    /// Removes a folder that is empty.
    ///
    /// # Errors
    /// The system's reason.
    fn remove_folder(&mut self, path: &Path) -> io::Result<()>;

    /// Owner and access list of a file or folder, as SDDL.
    ///
    /// # Errors
    /// The system's reason.
    fn security(&self, path: &Path) -> io::Result<String>;

    /// Runs a program of the system's with these arguments, without a shell.
    ///
    /// # Errors
    /// The system's reason why it could not be run.
    fn run(&mut self, program: &str, arguments: &[&str]) -> io::Result<Said>;

    /// Writes an entry to the event log.
    ///
    /// # Errors
    /// The system's reason.
    fn report(&mut self, source: &str, level: Level, id: u32, text: &str) -> io::Result<()>;
}

/// Where a folder of the system's is.
///
/// The separator of Windows is in the constants, so that a message names what Windows shows.
pub(crate) fn below(host: &dyn Host, path: &str) -> PathBuf {
    let root = host.system_root();
    PathBuf::from(format!("{}\\{path}", root.display()))
}

/// Where content comes to on this machine: the service's own parameter, else [`INBOX`].
#[cfg(any(windows, test))]
pub(crate) fn inbox(host: &dyn Host) -> io::Result<PathBuf> {
    let path = match host.value(PARAMETERS, "ContentDirectory")? {
        Some(Value::Text(path)) if !path.is_empty() => path,
        _ => INBOX.to_owned(),
    };
    Ok(below(host, &path))
}

/// Why a machine was not changed, or is not as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HostError {
    /// This is no Windows machine.
    #[error("this command changes or looks at a Windows machine, and this is none")]
    NotWindows,
    /// The machine is not one to install on.
    #[error("not installed: {}", faults.join("; "))]
    Unfit {
        /// Each reason, with what to do.
        faults: Vec<String>,
    },
    /// A step failed; what was done before it was undone.
    #[error("{step}: {source}; what was done before was undone")]
    Undone {
        /// What was being done.
        step: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A step failed, and what was done before it could not all be undone.
    #[error("{step}: {source}; not undone: {}", left.join(", "))]
    HalfDone {
        /// What was being done.
        step: String,
        /// The system's reason.
        source: io::Error,
        /// What is left, with the reasons.
        left: Vec<String>,
    },
    /// Something failed that has changed nothing.
    #[error("{step}: {source}")]
    Failed {
        /// What was being done.
        step: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The driver is not installed.
    #[error("the driver is not installed on this machine")]
    NotInstalled,
    /// The machine is to be restarted first.
    #[error("{what}")]
    Unready {
        /// What is in the way.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A program of the system's did not do what it was asked.
    #[error("{program} ended with {code}: {text}")]
    Program {
        /// The program.
        program: String,
        /// Its exit code.
        code: i32,
        /// What it said.
        text: String,
    },
    /// The doctor has found something.
    #[error("{} wrong with this machine's protection", is_or_are(*faults))]
    Sick {
        /// How many things.
        faults: u64,
    },
}

impl HostError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NotWindows => "run it on the Windows machine that the driver is for",
            Self::Unfit { .. } => "do what is said, or --force it on a machine that may break",
            Self::Undone { .. } | Self::Failed { .. } => {
                "look into %SystemRoot%\\INF\\setupapi.dev.log and the System log"
            }
            Self::HalfDone { .. } => "undo by hand what is named; inf/README.md says how",
            Self::NotInstalled => "install it: `sakerctl install PACKAGE`",
            Self::Unready { remedy, .. } => remedy,
            Self::Program { .. } => "run it by hand, as administrator, to see more",
            Self::Sick { .. } => "do what is said beside each",
        }
    }

    /// An error of a step that has changed nothing, for `map_err`.
    pub(crate) fn failed(step: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Failed { step: step.into(), source }
    }
}

fn is_or_are(things: u64) -> String {
    let verb = if things == 1 { "is" } else { "are" };
    format!("{} {verb}", crate::report::count(things, "thing"))
}

/// The machine that this process runs on.
///
/// # Errors
/// [`HostError::NotWindows`] elsewhere.
pub fn this_machine() -> Result<Box<dyn Host>, Error> {
    #[cfg(windows)]
    {
        Ok(Box::new(crate::windows::machine::Machine::new()))
    }
    #[cfg(not(windows))]
    {
        Err(HostError::NotWindows.into())
    }
}

#[cfg(test)]
mod tests {
    use super::fake::Fake;
    use super::*;

    #[test]
    fn content_goes_where_the_driver_looks() {
        let mut host = Fake::fit();
        let usual = PathBuf::from(r"C:\Windows\System32\drivers\CrowdStrike");
        assert_eq!(inbox(&host).unwrap(), usual);
        host.put(PARAMETERS, "ContentDirectory", r"Saker\In");
        assert_eq!(inbox(&host).unwrap(), PathBuf::from(r"C:\Windows\Saker\In"));
        // The driver takes its default for a value of another type; so does this.
        host.put(PARAMETERS, "ContentDirectory", 7);
        assert_eq!(inbox(&host).unwrap(), usual);
    }

    #[test]
    fn things_are_counted_as_people_do() {
        assert!(HostError::Sick { faults: 1 }.to_string().starts_with("1 thing is wrong"));
        assert!(HostError::Sick { faults: 2 }.to_string().starts_with("2 things are wrong"));
    }
}
