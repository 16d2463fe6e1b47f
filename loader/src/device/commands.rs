//! `sakerctl status|watch|push|reload|mode|statistics|quarantine|fuse`: the running driver.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueEnum};
use driver_abi::{Ask, EventRecord, Interest, Message, Mode, Statistics, Status};
use serde_json::Value;

use super::formats::Format;
use super::push::Push;
use super::{Device, DeviceError, Heard, Session, text};
use crate::Error;
use crate::cli::note;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// Tell the running driver's state
    Status(Form),
    /// Tell what the running driver detects, as it happens; goes on when the driver starts again
    Watch(Watch),
    /// Put signed channel files into the driver's inbox, and tell what it says
    Push(Push),
    /// Have the driver look into its inbox now
    Reload(Reload),
    /// Have it block (enforce) or only report (observe), until it is started again
    Mode {
        /// The mode
        mode: ModeName,
    },
    /// Tell what the driver has counted: clients, lost records, how long events took
    Statistics(Form),
    /// What the driver does not try any more
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// What keeps content from blocking too much
    #[command(subcommand)]
    Fuse(Fuse),
}

/// How results are printed.
#[derive(Debug, Args)]
pub struct Form {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What to watch.
#[derive(Debug, Args)]
pub struct Watch {
    /// Print one JSON object a line: the same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Print one JSON object a line, in this form
    #[arg(long, value_name = "FORM")]
    format: Option<Format>,
    /// Every event, not those alone that a rule detected, blocked or could not decide
    #[arg(long)]
    everything: bool,
    /// End after this many events
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// How to reload.
#[derive(Debug, Args)]
pub struct Reload {
    /// Wait until the driver has looked, and tell its state then
    #[arg(long)]
    wait: bool,
}

/// The quarantine.
#[derive(Debug, Subcommand)]
pub enum Quarantine {
    /// Forget which files took the machine down, and try them again
    Clear,
}

/// The fuse.
#[derive(Debug, Subcommand)]
pub enum Fuse {
    /// Let the content in force block again; the fuse counts anew
    Reset,
}

/// A mode by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ModeName {
    /// Judge and report, never block
    Observe,
    /// Judge, report, and block where content and its key may
    Enforce,
}

impl DeviceCommand {
    /// Runs the command; results go to `out`.
    pub fn run(&self, device: &Device, out: &mut dyn Write) -> Result<(), Error> {
        match self {
            Self::Status(form) => {
                let status = status(&mut connect(device)?)?;
                print(out, form.json, &text::status(&status), &text::status_json(&status))
            }
            Self::Statistics(form) => {
                let found = statistics(&mut connect(device)?)?;
                print(out, form.json, &text::statistics(&found), &text::statistics_json(&found))
            }
            Self::Watch(watch) => watch.run(device, out),
            Self::Push(push) => push.run(device, out),
            Self::Reload(reload) => {
                let mut session = connect(device)?;
                if !reload.wait {
                    session.ask(Ask::Reload)?;
                    return Ok(());
                }
                session.done(Ask::Reload)?;
                let status = status(&mut session)?;
                print(out, false, &text::status(&status), &Value::Null)
            }
            Self::Mode { mode } => {
                let mode = match mode {
                    ModeName::Observe => Mode::Observe,
                    ModeName::Enforce => Mode::Enforce,
                };
                connect(device)?.done(Ask::SetMode(mode))?;
                Ok(())
            }
            Self::Quarantine(Quarantine::Clear) => {
                connect(device)?.done(Ask::ClearQuarantine)?;
                Ok(())
            }
            Self::Fuse(Fuse::Reset) => {
                connect(device)?.done(Ask::ResetFuse)?;
                Ok(())
            }
        }
    }
}

fn connect(device: &Device) -> Result<Session, DeviceError> {
    device.connect(Interest::Status)
}

pub(crate) fn status(session: &mut Session) -> Result<Status, DeviceError> {
    let heard = session.done(Ask::Status)?;
    // One may be older, sent because it had changed.
    let newest = heard.into_iter().rev().find_map(|message| match message {
        Message::Status(status) => Some(status),
        _ => None,
    });
    newest.ok_or(DeviceError::Closed)
}

fn statistics(session: &mut Session) -> Result<Statistics, DeviceError> {
    let heard = session.done(Ask::Statistics)?;
    let found = heard.into_iter().find_map(|message| match message {
        Message::Statistics(statistics) => Some(statistics),
        _ => None,
    });
    found.ok_or(DeviceError::Closed)
}

fn print(out: &mut dyn Write, json: bool, text: &str, value: &Value) -> Result<(), Error> {
    let written = if json { writeln!(out, "{value}") } else { write!(out, "{text}") };
    written.map_err(|source| Error::Output { source })
}

impl Watch {
    fn run(&self, device: &Device, out: &mut dyn Write) -> Result<(), Error> {
        let interest = if self.everything { Interest::Everything } else { Interest::Detections };
        let format = if self.json { Some(Format::Json) } else { self.format };
        let mut watched = Watched { format, seen: 0, told: None, lost: 0 };
        if self.count == Some(0) {
            return Ok(());
        }
        device.follow(interest, false, &mut |heard| {
            match heard {
                Heard::Connected => watched.lost = 0,
                Heard::Gone(error) => {
                    if watched.told.take().is_some() {
                        note(format_args!("{error}; waiting for it"));
                    }
                }
                Heard::Event(event) => watched.event(event, out)?,
                Heard::Status(status) => watched.status(status, out)?,
                Heard::Quiet => {}
            }
            Ok(self.count.is_none_or(|count| watched.seen < count))
        })
    }
}

struct Watched {
    /// The form for programs, if it is for one.
    format: Option<Format>,
    seen: u64,
    /// What was last said about the driver's state.
    told: Option<(String, String)>,
    lost: u64,
}

impl Watched {
    fn event(&mut self, event: &EventRecord, out: &mut dyn Write) -> Result<(), Error> {
        let lost = event.dropped.saturating_sub(self.lost);
        if lost > 0 {
            note(format_args!("{lost} records before this one were lost"));
            self.lost = event.dropped;
        }
        if !event.more {
            self.seen += 1;
        }
        match self.format {
            None => print(out, false, &(text::event(event) + "\n"), &Value::Null)?,
            Some(format) => {
                let heard = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                if let Some(value) = format.event(event, heard) {
                    print(out, true, "", &value)?;
                }
            }
        }
        out.flush().map_err(|source| Error::Output { source })
    }

    /// Told when it says something new: counters change all the time.
    fn status(&mut self, status: &Status, out: &mut dyn Write) -> Result<(), Error> {
        let news = (text::protection(status), text::content(status));
        if self.told.as_ref() == Some(&news) {
            return Ok(());
        }
        let line = format!("-- protection {}; content: {}\n", news.0, news.1);
        self.told = Some(news);
        match self.format {
            None => print(out, false, &line, &Value::Null)?,
            Some(Format::Json) => print(out, true, "", &text::status_json(status))?,
            // Those forms are of events; a reader of a pipe still hears it.
            Some(_) => note(line.trim_end()),
        }
        out.flush().map_err(|source| Error::Output { source })
    }
}
