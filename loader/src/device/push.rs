//! `sakerctl push FILE…`: channel files put into the driver's inbox, and what the driver says.
//!
//! Nothing here is trusted by the driver, which checks all again. A file that no driver would take is
//! told before it is put there, under the name that its signed header has.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use channel_format::control::Trust;
use channel_format::frame::Header;
use channel_format::schema::SensorProfile;
use clap::Args;
use driver_abi::{Ask, Interest, Outcome, Stage, Status};
use serde_json::{Value, json};

use super::{Device, DeviceError, Session, commands, text};
use crate::content::{keys, say, validate};
use crate::{Error, files};

/// How long to wait before a driver that is not ready is asked again.
const RETRY: Duration = Duration::from_millis(500);

/// Arguments of `push`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each file is checked, put into the inbox under the name of its header (beside its place, flushed, \
renamed), and the driver is asked to look. Leaves with 0 when each file is in force, or is one of \
channel 0 that was not refused; with 1 otherwise. Several files are pushed in the order given.")]
pub struct Push {
    /// Signed channel files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Public keys that the driver trusts: check the signatures before anything is put there
    #[arg(long = "key", value_name = "PUB")]
    keys: Vec<PathBuf>,
    /// How long the driver may be not ready: it touches no content in a boot's first minute
    #[arg(long, value_name = "SECONDS", default_value_t = 90)]
    patience: u64,
    /// Print one JSON object for each file
    #[arg(long)]
    json: bool,
}

impl Push {
    /// Runs the command.
    ///
    /// # Errors
    /// The first file that is not good, before anything is put there; then what the driver says.
    pub fn run(&self, device: &Device, out: &mut dyn Write) -> Result<(), Error> {
        let files = self.files.iter().map(|path| self.check(path));
        let files = files.collect::<Result<Vec<_>, _>>()?;
        let mut session = device.connect(Interest::Status)?;
        let mut first_failure = None;
        for file in &files {
            let name = file.header.name().to_string();
            session.deliver(&name, &file.bytes)?;
            self.look(&mut session)?;
            let answer = Reply::read(&commands::status(&mut session)?, &file.header);
            if self.json {
                say!(out, "{}", answer.json(file))?;
            } else {
                say!(out, "{}: {}", file.path.display(), answer.text())?;
            }
            if !answer.is_good() && first_failure.is_none() {
                let reason = answer.text();
                first_failure = Some(DeviceError::NotInForce { path: file.path.clone(), reason });
            }
        }
        first_failure.map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Reads a file and refuses one that no driver would take.
    fn check(&self, path: &Path) -> Result<Checked, Error> {
        let bytes = files::read_channel_file(path)?;
        let anchor = (!self.keys.is_empty()).then(|| keys::anchor(&self.keys)).transpose()?;
        let trust = anchor.as_ref().map(|anchor| Trust::<Vec<u8>> { anchor, control: None });
        let accepted = validate::judge(&bytes, &SensorProfile::CURRENT, trust.as_ref())
            .map_err(|obstacle| obstacle.into_error(path, &bytes))?;
        Ok(Checked { path: path.to_owned(), bytes, header: accepted.header })
    }

    /// Has the driver look into its inbox, when it is ready to.
    fn look(&self, session: &mut Session) -> Result<(), DeviceError> {
        let deadline = Instant::now() + Duration::from_secs(self.patience);
        loop {
            match session.done(Ask::Reload) {
                Err(DeviceError::NotDone { outcome: Outcome::TooEarly })
                    if Instant::now() < deadline =>
                {
                    thread::sleep(RETRY);
                }
                ended => return ended.map(drop),
            }
        }
    }
}

/// A file that a driver may take.
struct Checked {
    path: PathBuf,
    bytes: Vec<u8>,
    header: Header,
}

/// What became of a file.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    /// It is in force.
    InForce(Stage),
    /// It is channel 0, and was not refused.
    Taken,
    /// It was refused.
    Refused(String),
    /// Newer content is in force, so it was not looked at.
    Older { epoch: u32, sequence: u32 },
    /// The driver has looked and says nothing about it.
    Unseen,
}

impl Reply {
    /// What a status says about the file with this header.
    fn read(status: &Status, header: &Header) -> Self {
        let file = (header.epoch, header.sequence);
        let in_force = status.stage != Stage::None && status.channel == header.channel;
        if in_force && (status.epoch, status.sequence) == file {
            return Self::InForce(status.stage);
        }
        let note = &status.refusal;
        if (note.epoch, note.sequence) == file
            && let Some(reason) = text::refusal(note)
        {
            return Self::Refused(reason);
        }
        match (status.epoch, status.sequence) {
            _ if header.channel == 0 => Self::Taken,
            (epoch, sequence) if in_force && (epoch, sequence) > file => {
                Self::Older { epoch, sequence }
            }
            _ => Self::Unseen,
        }
    }

    const fn is_good(&self) -> bool {
        matches!(self, Self::InForce(_) | Self::Taken)
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::InForce(_) => "in_force",
            Self::Taken => "taken",
            Self::Refused(_) => "refused",
            Self::Older { .. } => "older",
            Self::Unseen => "unseen",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::InForce(stage) => format!("in force, {}", text::stage_text(*stage)),
            Self::Taken => "not refused; `sakerctl status` tells what holds now".into(),
            Self::Refused(reason) => format!("refused: {reason}"),
            Self::Older { epoch, sequence } => {
                format!("older than what is in force, {epoch}-{sequence}")
            }
            Self::Unseen => "the driver has looked and says nothing of it".into(),
        }
    }

    fn json(&self, file: &Checked) -> Value {
        json!({
            "kind": "push",
            "file": file.path,
            "channel": file.header.channel,
            "epoch": file.header.epoch,
            "sequence": file.header.sequence,
            "outcome": self.name(),
            "text": self.text(),
        })
    }
}

#[cfg(test)]
mod tests {
    use channel_compiler::{BuildOptions, build, parse_rules};
    use driver_abi::{Cause, RefusalNote};

    use super::*;

    const RULE: &str = r"
title: a
id: 00000000-0000-4000-8000-000000000001
logsource: {product: windows, category: pipe_created}
detection: {selection: {PipeName: '\a'}, condition: selection}
level: low
";

    fn file(sequence: u32) -> Vec<u8> {
        let options = BuildOptions {
            channel: 291,
            epoch: 1,
            sequence,
            created: 1_700_000_000,
            expires: 0,
            shrink: false,
        };
        build(&parse_rules(Path::new("a.yml"), RULE).unwrap(), &options).unwrap()
    }

    fn reply(status: Status) -> Reply {
        Reply::read(&status, &Header::parse(&file(7)).unwrap())
    }

    fn in_force(epoch: u32, sequence: u32) -> Status {
        Status { stage: Stage::Trial, channel: 291, epoch, sequence, ..Status::default() }
    }

    #[test]
    fn what_is_in_force_is_good_and_nothing_else() {
        assert!(reply(in_force(1, 7)).is_good());
        assert_eq!(reply(in_force(1, 8)), Reply::Older { epoch: 1, sequence: 8 });
        assert_eq!(reply(in_force(2, 1)), Reply::Older { epoch: 2, sequence: 1 });
        assert_eq!(reply(in_force(1, 6)), Reply::Unseen);
        assert_eq!(reply(Status::default()), Reply::Unseen);
        // The numbers of content that serves no more.
        assert_eq!(reply(Status { stage: Stage::None, ..in_force(1, 7) }), Reply::Unseen);
    }

    #[test]
    fn a_refusal_is_this_files_or_anothers() {
        let refusal = RefusalNote {
            epoch: 1,
            sequence: 7,
            host_status: 0xC000_0043,
            cause: Cause::Held,
            ..RefusalNote::default()
        };
        let status = Status { refusal, ..in_force(1, 6) };
        assert!(matches!(reply(status), Reply::Refused(why) if why.contains("held")));
        let another = RefusalNote { sequence: 9, ..refusal };
        assert_eq!(reply(Status { refusal: another, ..in_force(1, 6) }), Reply::Unseen);
        // One that stands from before says nothing once the file is in force.
        assert_eq!(reply(Status { refusal, ..in_force(1, 7) }), Reply::InForce(Stage::Trial));
    }

    #[test]
    fn a_file_that_no_driver_would_take_is_told_before_anything_is_put_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.sys");
        let push = |keys| Push { files: vec![path.clone()], keys, patience: 0, json: false };
        std::fs::write(&path, file(7)).unwrap();
        assert!(push(Vec::new()).check(&path).is_ok(), "its signature is the driver's to check");
        let mut damaged = file(7);
        *damaged.last_mut().unwrap() ^= 1;
        std::fs::write(&path, damaged).unwrap();
        let error = push(Vec::new()).check(&path).map(drop).unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error}");
        let nowhere = Device::Simulated(folder.path().join("nowhere"));
        let error = push(Vec::new()).run(&nowhere, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "before anybody is connected to: {error}");
    }
}
