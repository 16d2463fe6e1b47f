//! What can go wrong in a replay, each with its place and remedy.

use std::path::PathBuf;
use std::time::Duration;

use kernel_host::{Bug, LoadError};
use miette::Diagnostic;
use thiserror::Error;

/// Why a replay ended early.
#[derive(Debug, Error, Diagnostic)]
pub enum Error {
    /// A file or folder cannot be read.
    #[error("{}: cannot be read", path.display())]
    #[diagnostic(help("check that it exists and that you may read it"))]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A key or another input of the tools' library.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Tool(#[from] loader::Error),
    /// The log cannot be opened.
    #[error(transparent)]
    #[diagnostic(help("a log is JSON lines with Sysmon's names, or EVTX"))]
    Log(#[from] pipe_log::LogError),
    /// The file to make an incident from is not sound.
    #[error("the file to start from is not sound: {0}")]
    #[diagnostic(help("start from a file that `sakerctl content verify` accepts"))]
    Base(channel_format::refusal::Refusal),
    /// The incident's file cannot be made.
    #[error(transparent)]
    Incident(#[from] channel_compiler::incident::IncidentError),
    /// The image cannot be loaded.
    #[error("the driver cannot be loaded")]
    #[diagnostic(help("build it with `cargo xtask build`; it is target/saker/saker.sys then"))]
    Load(#[from] LoadError),
    /// The kernel model found a bug in the driver.
    #[error("the driver would have brought the machine down\n{0}")]
    #[diagnostic(help("this is a bug in the driver, whatever the content and the log were"))]
    Bug(Box<Bug>),
    /// `DriverEntry` failed.
    #[error("the driver refused to start: status {status:#010x}")]
    #[diagnostic(help("see the driver's log above"))]
    Start {
        /// What it returned.
        status: u32,
    },
    /// The driver's port could not be opened.
    #[error("the driver's port cannot be opened: status {status:#010x}")]
    Port {
        /// What the model returned.
        status: u32,
    },
    /// A message from the driver could not be read.
    #[error("the driver sent a message that is none: {0:?}")]
    #[diagnostic(help("driver and kernel-host are of different versions: build both again"))]
    Message(driver_abi::Malformed),
    /// The driver said nothing.
    #[error("the driver said nothing about {what} for {patience:?}")]
    Silence {
        /// What was waited for.
        what: String,
        /// How long.
        patience: Duration,
    },
    /// The driver told of something else than what happened.
    #[error("the driver told of event {found} where event {expected} was due")]
    Order {
        /// The event that had been sent.
        expected: u64,
        /// The event the record is about.
        found: u64,
    },
    /// The content in force is none of the files given.
    #[error("the driver has content {epoch}-{sequence} in force, which is none of the files given")]
    ForeignContent {
        /// Epoch in force.
        epoch: u32,
        /// Sequence in force.
        sequence: u32,
    },
    /// The driver left something behind when it was unloaded.
    #[error("the driver left something behind when it was unloaded\n{0}")]
    Leak(String),
    /// Content cost more than it may.
    #[error("\"{scenario}\" cost more than two boots, or hands, or a pipe")]
    #[diagnostic(help("see its row in the table"))]
    Dear {
        /// The scenario.
        scenario: &'static str,
    },
    /// A power cut left the machine without what was good before it.
    #[error("the power went after {cut} writes, and then the machine {after}")]
    #[diagnostic(help("run the scenario alone; every cut must leave good content"))]
    Disarmed {
        /// Writes before the power went.
        cut: u64,
        /// What the machine did then.
        after: String,
    },
    /// A scenario cannot be played, or does not go as it says.
    #[error("{}: {what}", path.display())]
    #[diagnostic(help("tests/vm/README.md says what a scenario may hold"))]
    Scenario {
        /// The scenario.
        path: PathBuf,
        /// Which step, and what happened instead.
        what: String,
    },
    /// A key cannot be made.
    #[error("a key for the replay cannot be made: {0}")]
    Key(String),
    /// The tests reach too little of a driver.
    #[error("{reached:.1} % of the lines are reached, {least:.1} % must be")]
    #[diagnostic(help("--missed lists the lines that no test gets to"))]
    Coverage {
        /// Lines of a hundred that were reached.
        reached: f64,
        /// Lines of a hundred that must be.
        least: f64,
    },
    /// A file or folder cannot be written.
    #[error("{}: cannot be written", path.display())]
    #[diagnostic(help("check the folder and its permissions"))]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The socket cannot be made.
    #[error("{}: no socket can be made there", path.display())]
    #[diagnostic(help("give a path in a folder of yours that nothing else has"))]
    Socket {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The console was told what it does not know, or what cannot be done now.
    #[error("{0}")]
    #[diagnostic(help("`help` lists what the console knows"))]
    Console(String),
    /// Standard output cannot be written.
    #[error("the output cannot be written")]
    Output(#[source] std::io::Error),
}

impl From<Box<Bug>> for Error {
    fn from(bug: Box<Bug>) -> Self {
        Self::Bug(bug)
    }
}
