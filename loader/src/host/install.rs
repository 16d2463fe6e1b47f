//! `sakerctl install`, `uninstall`, `start` and `stop`: the driver on this machine.
//!
//! The driver store does the installing (`DiInstallDriver`); what is added is looking first, the
//! folders with their access lists, the event source, a first start on demand, and going back when a
//! step fails. A boot start, which can cost a machine, comes only after a start on demand.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::checks::{self, Severity};
use super::undo::Steps;
use super::{FOLDER_SECURITY, Host, HostError, INBOX, SERVICE, STATE, Start, State, Value, below};
use crate::Error;
use crate::cli::note;
use crate::content::say;

/// The event log's own key for what Saker writes.
pub const EVENT_LOG: &str = r"SYSTEM\CurrentControlSet\Services\EventLog\Saker";
/// The source, below it.
pub const EVENT_SOURCE: &str = r"SYSTEM\CurrentControlSet\Services\EventLog\Saker\Saker";
/// A message file that every Windows has, whose messages are the text that is given.
const MESSAGES: &str = r"%SystemRoot%\System32\EventCreate.exe";
/// Error, warning and information.
const EVENT_KINDS: u32 = 7;

/// Arguments of `install`.
#[derive(Debug, Args)]
#[command(after_help = "\
Looks at the machine and the package first, and says what is in the way. Makes the folders for \
content and state, for SYSTEM and administrators alone, and the event log Saker; installs the \
package through the driver store; starts the driver. When a step fails, those before it are undone. \
With --boot the driver starts with the machine from then on; take a checkpoint first.")]
pub struct Install {
    /// Folder with saker.inf, saker.sys and saker.cat
    #[arg(value_name = "PACKAGE")]
    package: PathBuf,
    /// Have it started by the boot loader from the next boot on, once it has started now
    #[arg(long)]
    boot: bool,
    /// Do not start it now
    #[arg(long, conflicts_with = "boot")]
    no_start: bool,
    /// Install although something is in the way (a Falcon sensor, another processor, an older
    /// Windows and missing rights always are); with --boot, even if it does not start now
    #[arg(long)]
    force: bool,
}

/// Arguments of `uninstall`.
#[derive(Debug, Args)]
#[command(after_help = "\
Stops the driver, has the driver store remove its package, and removes the event log Saker. Content \
and state stay in their folders, and are named.")]
pub struct Uninstall {}

impl Install {
    /// Runs the command.
    pub(super) fn run(&self, host: &mut dyn Host, out: &mut dyn Write) -> Result<(), Error> {
        let (package, mut findings) = checks::package(host, &self.package)?;
        findings.extend(checks::machine(host)?);
        let in_the_way = if self.force { Severity::Never } else { Severity::Fault };
        let mut faults = Vec::new();
        for finding in findings.into_iter().filter(|f| f.severity > Severity::Fine) {
            let line = format!("{}: {} ({})", finding.what, finding.text, finding.remedy);
            if finding.severity >= in_the_way {
                faults.push(line);
            } else {
                note(line);
            }
        }
        if !faults.is_empty() {
            return Err(HostError::Unfit { faults }.into());
        }
        let restart = self.install(host, &package.inf)?;
        let how = match (self.no_start, self.boot) {
            (true, _) => "installed, not started",
            (false, true) => "installed; starts with the machine from the next boot on",
            (false, false) => "installed and started; starts on demand",
        };
        say!(out, "{how}")?;
        if restart {
            note("Windows wants a restart");
        }
        Ok(())
    }

    fn install(&self, host: &mut dyn Host, inf: &Path) -> Result<bool, Error> {
        let before = host.service(SERVICE).map_err(HostError::failed("looking for the service"))?;
        let mut steps = Steps::new(host);
        for folder in [INBOX, STATE] {
            make_folder(&mut steps, folder)?;
        }
        make_event_log(&mut steps)?;

        let package = inf.to_owned();
        let restart =
            steps.step("installing the package", |host| host.install_package(&package))?;
        if before.is_none() {
            steps.undo_with("the driver package", move |host| {
                host.uninstall_package(&package).map(drop)
            });
        }
        if self.no_start {
            return Ok(restart);
        }
        if before.is_some_and(|service| service.state != State::Stopped) {
            steps.step("stopping the driver that ran", |host| host.stop_service(SERVICE))?;
        }
        match steps.host.start_service(SERVICE) {
            Ok(()) => steps.undo_with("the start", |host| host.stop_service(SERVICE)),
            Err(error) if self.boot && self.force => {
                note(format_args!("the driver did not start now: {}", explained(&error)));
            }
            Err(error) => return Err(steps.undo("starting the driver", explained(&error)).into()),
        }
        if self.boot {
            steps.step("setting the boot start", |host| host.set_start(SERVICE, Start::Boot))?;
        }
        Ok(restart)
    }
}

/// Makes one of the folders, or takes one that is there into care.
fn make_folder(steps: &mut Steps<'_>, path: &str) -> Result<(), HostError> {
    let path = below(steps.host, path);
    let step = format!("making {}", path.display());
    let is_new = steps.step(&step, |host| host.make_folder(&path, FOLDER_SECURITY))?;
    if is_new {
        let name = format!("the folder {}", path.display());
        steps.undo_with(&name, move |host| host.remove_folder(&path));
    }
    Ok(())
}

/// Registers the event log, with a message file that every Windows has.
fn make_event_log(steps: &mut Steps<'_>) -> Result<(), HostError> {
    let there = steps
        .step("looking for the event log", |host| host.value(EVENT_SOURCE, "EventMessageFile"))?;
    if there.is_none() {
        steps.undo_with("the event log", |host| host.remove_key(EVENT_LOG));
    }
    steps.step("registering the event log", |host| {
        let messages = Value::Expanded(MESSAGES.into());
        host.set_value(EVENT_SOURCE, "EventMessageFile", &messages)?;
        host.set_value(EVENT_SOURCE, "TypesSupported", &Value::Number(EVENT_KINDS))
    })
}

impl Uninstall {
    /// Runs the command.
    pub(super) fn run(&self, host: &mut dyn Host, out: &mut dyn Write) -> Result<(), Error> {
        if !host.may_administer() {
            return Err(HostError::Unready {
                what: "this process may not remove drivers".into(),
                remedy: "run it in a prompt that was started as administrator",
            }
            .into());
        }
        let service = checks::installed(host)?;
        let inf = published_inf(host)?.ok_or(HostError::NotInstalled)?;
        if service.state != State::Stopped {
            host.stop_service(SERVICE).map_err(|error| HostError::Failed {
                step: "stopping the driver".into(),
                source: explained(&error),
            })?;
        }
        let step = format!("removing {}", inf.display());
        let restart = host.uninstall_package(&inf).map_err(HostError::failed(step))?;
        host.remove_key(EVENT_LOG).map_err(HostError::failed("removing the event log"))?;
        say!(out, "removed")?;
        if restart {
            note("Windows wants a restart");
        }
        for folder in [INBOX, STATE] {
            let folder = below(host, folder);
            let files = host.list(&folder).unwrap_or_default();
            if files.is_empty() {
                // One that is not there need not be removed.
                let _ = host.remove_folder(&folder);
            } else {
                note(format_args!("{} stays, with {} files", folder.display(), files.len()));
            }
        }
        Ok(())
    }
}

/// The name that the driver store gave our INF: the one whose catalogue is ours.
fn published_inf(host: &dyn Host) -> Result<Option<PathBuf>, HostError> {
    let folder = below(host, "INF");
    let failed = |path: &Path| HostError::failed(path.display().to_string());
    for name in host.list(&folder).map_err(failed(&folder))? {
        let lower = name.to_ascii_lowercase();
        if !lower.starts_with("oem") || !lower.ends_with(".inf") {
            continue;
        }
        let path = PathBuf::from(format!("{}\\{name}", folder.display()));
        let text = decode(&host.read(&path).map_err(failed(&path))?);
        let is_ours = text.lines().any(|line| {
            line.split_once('=').is_some_and(|(key, value)| {
                key.trim().eq_ignore_ascii_case("CatalogFile")
                    && value.trim().trim_matches('"').eq_ignore_ascii_case("saker.cat")
            })
        });
        if is_ours {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// The text of an INF: UTF-16 with its mark, else as it stands.
fn decode(bytes: &[u8]) -> String {
    match bytes.strip_prefix(&[0xFF, 0xFE]) {
        Some(units) => {
            let units: Vec<u16> =
                units.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
            String::from_utf16_lossy(&units)
        }
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Starts the driver.
pub(super) fn start(host: &mut dyn Host, out: &mut dyn Write) -> Result<(), Error> {
    if checks::installed(host)?.state == State::Running {
        return say!(out, "runs already");
    }
    host.start_service(SERVICE).map_err(|error| HostError::Failed {
        step: "starting the driver".into(),
        source: explained(&error),
    })?;
    say!(out, "started")
}

/// Stops the driver.
pub(super) fn stop(host: &mut dyn Host, out: &mut dyn Write) -> Result<(), Error> {
    if checks::installed(host)?.state == State::Stopped {
        return say!(out, "does not run");
    }
    host.stop_service(SERVICE).map_err(|error| HostError::Failed {
        step: "stopping the driver".into(),
        source: explained(&error),
    })?;
    say!(out, "stopped")
}

/// A Win32 error of starting or stopping with what it means for this driver.
fn explained(error: &io::Error) -> io::Error {
    let Some(meaning) = error.raw_os_error().and_then(meaning) else {
        return io::Error::new(error.kind(), error.to_string());
    };
    io::Error::new(error.kind(), format!("{error}: {meaning}"))
}

/// What a Win32 error of starting or stopping means for this driver.
const fn meaning(error: i32) -> Option<&'static str> {
    Some(match error {
        2 => "the file or the instance keys are not where this Windows looks for them",
        5 => "administrators alone may do this",
        // STATUS_NOT_SUPPORTED and ERROR_SERVICE_DISABLED.
        50 => "the driver refused: in safe mode, or switched off by Mode 0",
        577 => "the signature is not accepted: is test signing on, and the driver signed?",
        1058 => "the service is disabled: its start type is 4",
        1060 => "the driver is not installed",
        1061 | 1052 => "the driver can not be stopped now",
        1275 => "Windows blocks this driver: memory integrity or a block list",
        _ => return None,
    })
}

#[cfg(test)]
#[path = "install_tests.rs"]
mod tests;
