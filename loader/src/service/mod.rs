//! `sakerctl service`: what the driver detects, kept: as lines in files that do not grow for ever,
//! and on Windows in the event log `Saker`. It goes on when the driver stops and starts.

mod log;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use driver_abi::{EventRecord, Interest, Status, Verdict};

use crate::Error;
use crate::cli::note;
use crate::device::formats::Format;
use crate::device::{Device, Heard, text};
use crate::host::{FOLDER_SECURITY, Host, HostError, Level, this_machine};
use log::Log;

/// Its name as a service of Windows's, and in the event log.
pub const NAME: &str = "sakerwatch";
/// The source in the event log.
const SOURCE: &str = "Saker";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Keep what the driver detects, until it is ended
    Run(Run),
    /// Have Windows run it from its start on, and start it now
    Install(Install),
    /// Have Windows end it and run it no more
    Remove,
}

/// How it is kept.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// Folder for events.jsonl, and events.1.jsonl and so on before it
    #[arg(long, value_name = "DIR")]
    log: PathBuf,
    /// The form of the lines
    #[arg(long, value_name = "FORM", default_value = "json")]
    format: Format,
    /// When a file is put aside, in MB
    #[arg(long, value_name = "MB", default_value_t = 16)]
    max_size: u64,
    /// How many files are kept beside the newest
    #[arg(long, value_name = "N", default_value_t = 8)]
    keep: u32,
    /// End after this many events
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Started by Windows's service controller
    #[arg(long, hide = true)]
    as_service: bool,
}

/// How it is installed.
#[derive(Debug, Args)]
pub struct Install {
    /// Folder for the files; made for SYSTEM and administrators alone
    #[arg(long, value_name = "DIR", default_value = r"C:\ProgramData\Saker")]
    log: PathBuf,
    /// The form of the lines
    #[arg(long, value_name = "FORM", default_value = "json")]
    format: Format,
}

impl ServiceCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// What could not be written, or is not there.
    pub fn run(&self, simulated: Option<&Path>, _out: &mut dyn Write) -> Result<(), Error> {
        match self {
            #[cfg(windows)]
            Self::Run(run) if run.as_service => crate::windows::service::dispatch(run.clone()),
            Self::Run(run) => {
                let device = Device::new(simulated)?;
                let host = if simulated.is_some() { None } else { Some(this_machine()?) };
                run.keep(&device, host, &AtomicBool::new(false))
            }
            Self::Install(install) => {
                let mut host = this_machine()?;
                host.make_folder(&install.log, FOLDER_SECURITY)
                    .map_err(HostError::failed(format!("making {}", install.log.display())))?;
                let arguments = install.arguments();
                host.install_program(NAME, &arguments)
                    .map_err(HostError::failed(format!("installing the service {NAME}")))?;
                host.start_service(NAME)
                    .map_err(HostError::failed(format!("starting the service {NAME}")))?;
                Ok(())
            }
            Self::Remove => {
                let mut host = this_machine()?;
                let service = host.service(NAME).map_err(HostError::failed("looking for it"))?;
                if service.ok_or(HostError::NotInstalled)?.state != crate::host::State::Stopped {
                    host.stop_service(NAME).map_err(HostError::failed("stopping it"))?;
                }
                host.remove_service(NAME).map_err(HostError::failed("removing it"))?;
                Ok(())
            }
        }
    }
}

impl Install {
    /// What the service controller is to start it with.
    fn arguments(&self) -> Vec<String> {
        use clap::ValueEnum as _;
        let format = self
            .format
            .to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned());
        let log = self.log.display().to_string();
        let words = ["service", "run", "--as-service", "--log", &log, "--format", &format];
        words.map(str::to_owned).to_vec()
    }
}

impl Run {
    /// Keeps what is heard, until `stop` or enough.
    pub(crate) fn keep(
        &self,
        device: &Device,
        host: Option<Box<dyn Host>>,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        let failed = |source| Error::Write { path: self.log.clone(), source };
        let max = self.max_size.saturating_mul(1 << 20);
        let log = Log::open(&self.log, max, self.keep).map_err(failed)?;
        let mut keeper = Keeper { log, host, format: self.format, told: None, is_broken: false };
        let mut seen = 0;
        device.follow(Interest::Detections, true, &mut |heard| {
            match heard {
                Heard::Connected | Heard::Quiet => {}
                Heard::Gone(error) => keeper.gone(&error.to_string()),
                Heard::Status(status) => keeper.status(status),
                Heard::Event(event) => {
                    keeper.event(event);
                    seen += u64::from(!event.more);
                }
            }
            let enough = self.count.is_some_and(|count| seen >= count);
            Ok(!enough && !stop.load(Ordering::Acquire))
        })
    }
}

/// Where things are kept.
struct Keeper {
    log: Log,
    host: Option<Box<dyn Host>>,
    format: Format,
    /// What was last said of the driver.
    told: Option<String>,
    /// The last line could not be written.
    is_broken: bool,
}

impl Keeper {
    fn event(&mut self, event: &EventRecord) {
        let heard = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if let Some(line) = self.format.event(event, heard) {
            self.line(&line.to_string());
        }
        let (level, id) = match event.verdict {
            Verdict::Detect => (Level::Warning, 1),
            Verdict::Block => (Level::Warning, 2),
            Verdict::Exempt => (Level::Warning, 3),
            // Told in the files alone: nothing is known to be wrong.
            Verdict::Allow | Verdict::Unknown | Verdict::NotReady => return,
        };
        if !event.more {
            self.report(level, id, &text::event(event));
        }
    }

    /// Told when it says something new: counters change all the time.
    fn status(&mut self, status: &Status) {
        let protection = text::protection(status);
        let news = format!("protection {protection}; content: {}", text::content(status));
        if self.told.as_ref() == Some(&news) {
            return;
        }
        if self.format == Format::Json {
            self.line(&text::status_json(status).to_string());
        }
        let is_full = protection == "FULL";
        self.report(if is_full { Level::Information } else { Level::Warning }, 10, &news);
        self.told = Some(news);
    }

    fn gone(&mut self, why: &str) {
        if self.told.take().is_some() {
            self.report(Level::Error, 11, &format!("{why}; waiting for it"));
        }
    }

    /// A disk that is full must not end the service: it is told once, and tried again.
    fn line(&mut self, line: &str) {
        match self.log.write(line) {
            Ok(()) => self.is_broken = false,
            Err(error) if !self.is_broken => {
                self.is_broken = true;
                self.report(Level::Error, 20, &format!("events are not kept: {error}"));
            }
            Err(_) => {}
        }
    }

    fn report(&mut self, level: Level, id: u32, text: &str) {
        let reported = self.host.as_mut().map(|host| host.report(SOURCE, level, id, text));
        // Without an event log, or when it takes nothing, whoever started this hears it.
        if !matches!(reported, Some(Ok(()))) {
            note(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    /// What the service controller is told is a command line that this program understands.
    #[test]
    fn the_service_is_started_with_its_own_words() {
        let install = Install { log: r"C:\ProgramData\Saker logs".into(), format: Format::Ecs };
        let words = ["sakerctl".to_owned()].into_iter().chain(install.arguments());
        let cli = Cli::try_parse_from(words).unwrap();
        let Command::Service(ServiceCommand::Run(run)) = cli.command else { panic!("no run") };
        assert!(run.as_service);
        assert_eq!((run.log, run.format), (install.log, Format::Ecs));
    }

    #[test]
    fn a_full_disk_is_told_once_and_what_matters_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), 1, 1).unwrap();
        let mut keeper =
            Keeper { log, host: None, format: Format::Json, told: None, is_broken: false };
        let mut event = EventRecord::EMPTY;
        event.verdict = Verdict::Detect;
        keeper.event(&event);
        // The place of the file to put aside is taken by a folder that is not empty.
        std::fs::create_dir(folder.path().join("events.1.jsonl")).unwrap();
        std::fs::write(folder.path().join("events.1.jsonl/x"), "").unwrap();
        keeper.event(&event);
        assert!(keeper.is_broken);
        std::fs::remove_dir_all(folder.path().join("events.1.jsonl")).unwrap();
        keeper.event(&event);
        assert!(!keeper.is_broken);
    }
}
