//! The running driver, as `sakerctl` talks to it: over its filter communication port.
//!
//! A [`Connection`] is the port of a simulated machine ([`frames`]) or, on Windows, that of the
//! driver on this machine.

pub mod commands;
pub mod formats;
pub mod frames;
#[cfg(any(windows, test))]
pub(crate) mod port_status;
pub mod push;
#[cfg(unix)]
mod simulated;
pub mod text;

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use driver_abi::{
    Answer, Ask, EventRecord, Interest, Malformed, Message, Outcome, Request, Status,
};
use thiserror::Error;

/// How long the driver may take to answer a request.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait before a driver that has gone is looked for again.
const RETRY: Duration = Duration::from_millis(300);

/// Where a driver runs.
#[derive(Clone, Debug)]
pub enum Device {
    /// In a machine that `kernel-host run` simulates and that listens at this socket.
    Simulated(PathBuf),
    /// On this machine, which is one of Windows.
    #[cfg(windows)]
    Here,
}

impl Device {
    /// The machine of `--sim`, else the one that this process runs on.
    ///
    /// # Errors
    /// [`DeviceError::NoDevice`] when that is none of Windows.
    pub fn new(simulated: Option<&Path>) -> Result<Self, DeviceError> {
        match simulated {
            Some(path) => Ok(Self::Simulated(path.to_owned())),
            #[cfg(windows)]
            None => Ok(Self::Here),
            #[cfg(not(windows))]
            None => Err(DeviceError::NoDevice),
        }
    }

    /// Connects to the driver, to hear of `interest`.
    ///
    /// # Errors
    /// [`DeviceError`], which says whether to try again makes sense.
    pub fn connect(&self, interest: Interest) -> Result<Session, DeviceError> {
        match self {
            #[cfg(unix)]
            Self::Simulated(path) => {
                let connection = Box::new(simulated::Simulated::connect(path, interest)?);
                Ok(Session { connection, next: 1 })
            }
            #[cfg(not(unix))]
            Self::Simulated(_) => Err(DeviceError::NoSimulation),
            #[cfg(windows)]
            Self::Here => {
                let connection = Box::new(crate::windows::port::Port::connect(interest)?);
                Ok(Session { connection, next: 1 })
            }
        }
    }
}

/// What is heard of a driver that is followed.
#[derive(Debug)]
pub enum Heard<'m> {
    /// It is there, for the first time or again.
    Connected,
    /// It has gone, and is waited for.
    Gone(&'m DeviceError),
    /// An event, or a part of one.
    Event(&'m EventRecord),
    /// Its state.
    Status(&'m Status),
    /// Nothing, for a while.
    Quiet,
}

impl Device {
    /// Tells what the driver says for as long as `told` wants more. A driver that has gone is
    /// waited for, and one that was never there only where that is asked: else a path may be wrong.
    ///
    /// # Errors
    /// What `told` says, or what will not pass.
    pub fn follow(
        &self,
        interest: Interest,
        waits_at_first: bool,
        told: &mut dyn FnMut(Heard<'_>) -> Result<bool, crate::Error>,
    ) -> Result<(), crate::Error> {
        let mut waits = waits_at_first;
        loop {
            let ended = match self.connect(interest) {
                Ok(mut session) => {
                    waits = true;
                    told(Heard::Connected)?;
                    loop {
                        let message = match session.receive(Duration::from_secs(1)) {
                            Ok(message) => message,
                            Err(error) => break error,
                        };
                        let more = match &message {
                            Some(Message::Event(event)) => told(Heard::Event(event))?,
                            Some(Message::Status(status)) => told(Heard::Status(status))?,
                            Some(Message::Answer(_) | Message::Statistics(_)) | None => {
                                told(Heard::Quiet)?
                            }
                        };
                        if !more {
                            return Ok(());
                        }
                    }
                }
                Err(error) => error,
            };
            if !waits || !ended.is_passing() {
                return Err(ended.into());
            }
            if !told(Heard::Gone(&ended))? {
                return Ok(());
            }
            thread::sleep(RETRY);
        }
    }
}

/// One connection to a driver's port.
pub trait Connection {
    /// The next message, or `None` when none comes in time.
    ///
    /// # Errors
    /// [`DeviceError::Closed`] when the driver or the machine has gone.
    fn receive(&mut self, patience: Duration) -> Result<Option<Message>, DeviceError>;

    /// Sends a request, which the driver takes in or refuses.
    ///
    /// # Errors
    /// [`DeviceError::Refused`] when it was not taken in.
    fn send(&mut self, request: &Request) -> Result<(), DeviceError>;

    /// Puts a file into the driver's inbox, whole or not at all.
    ///
    /// # Errors
    /// [`DeviceError::NotDelivered`] when it is not there then.
    fn deliver(&mut self, name: &str, bytes: &[u8]) -> Result<(), DeviceError>;
}

/// A connection, and the numbers of the requests sent over it.
pub struct Session {
    connection: Box<dyn Connection>,
    next: u64,
}

impl Session {
    /// The next message, or `None` when none comes in time.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub fn receive(&mut self, patience: Duration) -> Result<Option<Message>, DeviceError> {
        self.connection.receive(patience)
    }

    /// Puts a file into the driver's inbox, whole or not at all.
    ///
    /// # Errors
    /// As [`Connection::deliver`].
    pub fn deliver(&mut self, name: &str, bytes: &[u8]) -> Result<(), DeviceError> {
        self.connection.deliver(name, bytes)
    }

    /// Asks; the driver has taken the request in when this returns. Gives the request's number.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub fn ask(&mut self, ask: Ask) -> Result<u64, DeviceError> {
        let id = self.next;
        self.next = id.wrapping_add(1);
        self.connection.send(&Request { id, ask })?;
        Ok(id)
    }

    /// Asks and waits for the answer; gives what was heard before it.
    ///
    /// # Errors
    /// [`DeviceError::NotDone`] with the driver's reason.
    pub fn done(&mut self, ask: Ask) -> Result<Vec<Message>, DeviceError> {
        let asked = self.ask(ask)?;
        let deadline = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.receive(left)? {
                Some(Message::Answer(Answer { id, outcome, .. })) if id == asked => {
                    return match outcome {
                        Outcome::Done => Ok(heard),
                        outcome => Err(DeviceError::NotDone { outcome }),
                    };
                }
                Some(message) => heard.push(message),
                None => return Err(DeviceError::Silence { patience: PATIENCE }),
            }
        }
    }
}

/// Why the driver was not reached, or did not do what it was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// Nothing was named that could be talked to.
    #[error(
        "no driver to talk to: this is no Windows, and simulated machines are named with --sim"
    )]
    NoDevice,
    /// Simulated machines are reached over a Unix socket.
    #[error("simulated machines are reached on Linux, where they run")]
    NoSimulation,
    /// Nobody listens at the socket.
    #[error("{}: no machine listens there", path.display())]
    Absent {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The driver or the filter manager refused the connection.
    #[error("{}", connect_status(*status))]
    Connect {
        /// The `NTSTATUS`.
        status: u32,
    },
    /// The driver did not take a request in.
    #[error("the driver did not take the request: status {status:#010x}")]
    Refused {
        /// The `NTSTATUS`.
        status: u32,
    },
    /// The connection has ended.
    #[error("the connection has ended: the driver or its machine stopped")]
    Closed,
    /// No word came.
    #[error("the driver said nothing for {patience:?}")]
    Silence {
        /// How long was waited.
        patience: Duration,
    },
    /// What came is no message of this version.
    #[error("the driver sent what is no message of this version: {0:?}")]
    Message(Malformed),
    /// What came is no frame.
    #[error("what listens there is no simulated machine")]
    Broken {
        /// What is wrong.
        source: io::Error,
    },
    /// A file did not come into the driver's inbox.
    #[error("{name} was not put into the inbox: {reason}")]
    NotDelivered {
        /// The file's name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A file that was pushed is not in force.
    #[error("{}: {reason}", path.display())]
    NotInForce {
        /// The file.
        path: PathBuf,
        /// What became of it.
        reason: String,
    },
    /// The driver could not do what it was asked.
    #[error("the driver did not do it: {}", outcome_text(*outcome))]
    NotDone {
        /// Its reason.
        outcome: Outcome,
    },
}

/// `STATUS_OBJECT_NAME_NOT_FOUND`: there is no port of that name.
pub const NO_PORT: u32 = 0xC000_0034;
/// `STATUS_CONNECTION_COUNT_LIMIT`.
const TOO_MANY: u32 = 0xC000_0246;
/// `STATUS_DEVICE_BUSY`.
const BUSY: u32 = 0x8000_0011;

impl DeviceError {
    /// True when the driver may be back later: it stopped, restarts, or is full.
    pub const fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Absent { .. } | Self::Closed | Self::Connect { status: NO_PORT | TOO_MANY }
        )
    }

    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::NoDevice => "start one with `kernel-host run --socket PATH`, and give --sim PATH",
            Self::NoSimulation => "leave --sim out to talk to the driver on this machine",
            Self::Absent { .. } => "check the path; `kernel-host run --socket PATH` listens there",
            Self::Connect { status: NO_PORT } => "start the driver, or the machine, and try again",
            Self::Connect { status: TOO_MANY } => "end one of the clients that are connected",
            Self::Connect { .. } => "use sakerctl and driver of one version, as administrator",
            Self::Refused { status: BUSY } => "wait for what was asked before to be answered",
            Self::Refused { .. } | Self::Message(_) => "use sakerctl and driver of one version",
            Self::Closed | Self::Silence { .. } => "look whether the machine still runs",
            Self::Broken { .. } => "check the path",
            Self::NotDelivered { .. } => "check the folder, its permissions and the free space",
            Self::NotInForce { .. } => {
                "`sakerctl content verify` says what is wrong with a file, `sakerctl status` what holds"
            }
            Self::NotDone { outcome: Outcome::TooEarly } => "wait until it has been up a minute",
            Self::NotDone { .. } => {
                "look at the folder on the machine; `sakerctl status` tells more"
            }
        }
    }
}

fn connect_status(status: u32) -> String {
    match status {
        NO_PORT => "the driver is not running there".into(),
        TOO_MANY => "as many clients are connected as the driver serves".into(),
        status => format!("the driver refused the connection: status {status:#010x}"),
    }
}

const fn outcome_text(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::TooEarly => "the machine has not been up for a minute",
        Outcome::NoState => "its state folder cannot be read or written",
        Outcome::NoInbox => "its inbox cannot be read",
    }
}
