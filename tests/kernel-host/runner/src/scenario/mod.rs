//! Scenarios that the kernel host and a Windows machine both play: JSON files in
//! `tests/vm/scenarios`, whose README lists what a step may be. Here they are read and played on
//! the built `saker.sys`; `tests/vm/scenarios.ps1` plays the same files on Windows.
//!
//! | module | does |
//! |---|---|
//! | [`files`] | makes the channel files that a scenario drops |
//! | [`play`] | plays the steps in the kernel host |

pub mod files;
pub mod play;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use loader::content::keys;
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;

/// One scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, as a sentence.
    pub title: String,
    /// What is asked of verdicts.
    pub mode: Mode,
    /// The channel files that it drops, by the names that its steps call them.
    pub files: BTreeMap<String, FileSpec>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// A mode of the driver.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Judge and report.
    Observe,
    /// And block.
    Enforce,
}

/// How a channel file is made. Its channel is 291.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// The files of its rules, beside the scenario.
    pub rules: Vec<PathBuf>,
    /// Its sequence, in epoch 1.
    pub sequence: u32,
    /// What is wrong with it.
    pub damage: Option<Damage>,
}

/// What is wrong with a file that was built and signed well.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// Its last byte is another one.
    LastByte,
    /// Its second half is missing.
    Cut,
    /// Another key signed it.
    ForeignKey,
    /// Its tables are those of July 2024: an index far outside, and a good signature over it.
    WildIndex,
}

/// One step.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// The driver is started.
    Start {},
    /// The driver is unloaded, and leaves nothing behind.
    Stop {},
    /// A file lands in the inbox, whole.
    Drop {
        /// Which.
        file: String,
    },
    /// The driver's status comes to say this, within a minute and a half.
    Status {
        /// Names as in `sakerctl status --json`, and `refusal_code`.
        expect: serde_json::Map<String, Value>,
    },
    /// The content in force becomes good: ten minutes pass, and a thousand events.
    Mature {},
    /// A pipe is created, and closed again.
    Create {
        /// Its name, with its leading backslash.
        pipe: String,
        /// The program that creates it; without one it is whoever plays the scenario.
        program: Option<String>,
        /// How often, one after the other.
        #[serde(default = "once")]
        times: u32,
        /// What is to become of it each time.
        expect: Judged,
    },
}

const fn once() -> u32 {
    1
}

/// What becomes of a pipe.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// Whether it was made.
    pub result: Made,
    /// The driver's verdict, in the word of logs and JSON.
    pub verdict: String,
    /// Numbers of the rules that did not come out false.
    pub hits: Vec<u32>,
}

/// Whether a pipe was made.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    /// It was.
    Made,
    /// Access was denied.
    Denied,
}

/// A scenario and where it stands.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its file.
    pub path: PathBuf,
    /// The scenario.
    pub scenario: Scenario,
}

impl Stored {
    /// Reads a scenario.
    ///
    /// # Errors
    /// What is wrong with the file, and where.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let scenario: Scenario = serde_json::from_str(&text)
            .map_err(|error| wrong(path, format!("it cannot be read: {error}")))?;
        let stored = Self { path: path.to_owned(), scenario };
        stored.check()?;
        Ok(stored)
    }

    /// Every scenario in a folder, by name.
    ///
    /// # Errors
    /// As [`Stored::read`], or there is none.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>, Error> {
        let read = |source| Error::Read { path: folder.to_owned(), source };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(read)? {
            let path = entry.map_err(read)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                paths.push(path);
            }
        }
        paths.sort();
        if paths.is_empty() {
            return Err(wrong(folder, "there is no scenario (*.json)".to_owned()));
        }
        paths.iter().map(|path| Self::read(path)).collect()
    }

    /// Its short name: that of the file.
    pub fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What the types do not say: steps that name files that there are, in an order that can be.
    fn check(&self) -> Result<(), Error> {
        let refuse = |index: usize, what: &str| {
            Err(wrong(&self.path, format!("step {}: {what}", index + 1)))
        };
        let mut runs = false;
        for (index, step) in self.scenario.steps.iter().enumerate() {
            match step {
                Step::Start {} if runs => return refuse(index, "the driver runs already"),
                Step::Start {} => runs = true,
                Step::Drop { file } if !self.scenario.files.contains_key(file) => {
                    return refuse(index, &format!("`files` has no {file}"));
                }
                Step::Drop { .. } => {}
                _ if !runs => return refuse(index, "the driver does not run; `start` comes first"),
                Step::Stop {} => runs = false,
                Step::Create { pipe, .. } if !pipe.starts_with('\\') => {
                    return refuse(index, "a pipe's name begins with a backslash");
                }
                Step::Status { .. } | Step::Mature {} | Step::Create { .. } => {}
            }
        }
        if runs {
            return Err(wrong(&self.path, "it does not end with `stop`".to_owned()));
        }
        Ok(())
    }
}

pub(crate) fn wrong(path: &Path, what: String) -> Error {
    Error::Scenario { path: path.to_owned(), what }
}

/// What to do with scenarios.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Task {
    /// Plays every scenario of a folder on the built driver
    Play {
        /// The folder
        folder: PathBuf,
        /// The driver
        #[arg(long, value_name = "SYS")]
        driver: PathBuf,
    },
    /// Makes the channel files of every scenario of a folder, for another machine to play them
    Files {
        /// The folder
        folder: PathBuf,
        /// The secret key that signs them
        #[arg(long, value_name = "KEY")]
        key: PathBuf,
        /// Where they go: a folder for each scenario, in it one for each of its files
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// Carries it out.
///
/// # Errors
/// The first scenario that does not go as it says, or what keeps it from being played.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    match &arguments.task {
        Task::Play { folder, driver } => {
            let key = files::test_key()?;
            for stored in Stored::read_all(folder)? {
                play::play(&stored, driver, &key)?;
                println!("ok  {}: {}", stored.name(), stored.scenario.title);
            }
        }
        Task::Files { folder, key, out } => {
            let key = keys::read_secret(key)?;
            for stored in Stored::read_all(folder)? {
                files::write_all(&stored, &key, out)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
