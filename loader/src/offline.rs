//! `sakerctl offline inspect PATH`: the disk of a machine that does not run, or is not to.
//!
//! Which channel files are there, in the inbox and in the driver's own folder, and which of them the
//! driver would take; and what its journal holds against them. Nothing is written.

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use channel_compiler::key_text;
use channel_format::anchor::Anchor;
use channel_format::control::Trust;
use channel_format::frame::{Header, verify};
use channel_format::schema::SensorProfile;
use clap::Subcommand;
use driver_abi::SlotState;
use driver_core::journal::{BodyId, FILE_NAMES, Journal};
use serde_json::{Value, json};
use thiserror::Error as ThisError;

use crate::content::validate::{self, Obstacle};
use crate::content::{keys, say};
use crate::host::{INBOX, STATE};
use crate::machine::image::Image;
use crate::report::hex;
use crate::{Error, files};

/// No driver comes near this; what is longer is not read.
const MAX_DRIVER: u64 = 16 * 1024 * 1024;
/// A copy of the journal is far smaller.
const MAX_JOURNAL: u64 = 4096;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum OfflineCommand {
    /// Say which channel files of a disk are good, bad or unknown
    Inspect(Args),
}

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
PATH is a disk's Windows folder, or one with the folders `inbox` and `state` (as `kernel-host run \
--state` keeps them), or the driver's own folder. A file is good when the driver would take it, bad \
when it would not, and unknown when its signature could not be checked: give --driver (the stamped \
saker.sys of that disk) or --key. Leaves with 1 when a file is bad. Nothing is written.")]
pub struct Args {
    /// Folder to look at
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The driver of that disk, whose keys count
    #[arg(long, value_name = "SAKER.SYS", conflicts_with = "keys")]
    driver: Option<PathBuf>,
    /// Public keys that count (NAME.pub)
    #[arg(long = "key", value_name = "PUB")]
    keys: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Why a disk was not looked at, or is not as it should be.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum OfflineError {
    /// There is nothing of Saker there.
    #[error("{}: neither a Windows folder nor one of Saker's", path.display())]
    NotSaker {
        /// The folder.
        path: PathBuf,
    },
    /// The driver holds no keys that could be read.
    #[error("{}: {reason}", path.display())]
    NoKeys {
        /// The driver.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Files are bad.
    #[error("{} of the files would not be taken", .0)]
    Bad(u64),
}

impl OfflineError {
    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::NotSaker { .. } => "give the folder that holds System32, or the driver's own",
            Self::NoKeys { .. } => "give the stamped saker.sys, or public keys with --key",
            Self::Bad(_) => {
                "a bad file in the inbox may be deleted; the driver passes it by anyway"
            }
        }
    }
}

impl OfflineCommand {
    /// Runs the command; results go to `out`.
    pub fn run(&self, out: &mut dyn Write) -> Result<(), Error> {
        match self {
            Self::Inspect(args) => args.run(out),
        }
    }
}

impl Args {
    fn run(&self, out: &mut dyn Write) -> Result<(), Error> {
        let anchor = self.anchor()?;
        let folders = Folders::find(&self.path)?;
        let journal = folders.state.as_deref().map(Record::read).transpose()?;
        let mut found = Vec::new();
        for (place, folder) in [("state", &folders.state), ("inbox", &folders.inbox)] {
            for path in folder
                .iter()
                .map(|folder| channel_files(folder))
                .collect::<Result<Vec<_>, _>>()?
                .concat()
            {
                let judged = Judged::read(&path, anchor.as_ref())?;
                found.push(Found { place, path, judged });
            }
        }
        if self.json {
            say!(out, "{}", to_json(&found, journal.as_ref()))?;
        } else {
            for file in &found {
                file.tell(journal.as_ref(), out)?;
            }
            match &journal {
                Some(journal) => say!(out, "journal: {journal}")?,
                None => say!(out, "journal: the driver's own folder is not there")?,
            }
        }
        let bad = found.iter().filter(|file| matches!(file.judged.verdict, Verdict::Bad(_)));
        match u64::try_from(bad.count()).unwrap_or(u64::MAX) {
            0 => Ok(()),
            bad => Err(OfflineError::Bad(bad).into()),
        }
    }

    fn anchor(&self) -> Result<Option<Anchor>, Error> {
        let Some(path) = &self.driver else {
            return match self.keys.as_slice() {
                [] => Ok(None),
                keys => keys::anchor(keys).map(Some),
            };
        };
        let none = |reason: String| OfflineError::NoKeys { path: path.clone(), reason };
        let bytes = files::read_at_most(path, MAX_DRIVER)?;
        let image = Image::read(&bytes).map_err(|error| none(error.to_string()))?;
        if image.is_blank() {
            return Err(none("the driver is not stamped: it holds no keys".into()).into());
        }
        Anchor::parse(image.anchor()).map(Some).map_err(|refusal| none(refusal.to_string()).into())
    }
}

/// The two folders, as far as they are there.
struct Folders {
    inbox: Option<PathBuf>,
    state: Option<PathBuf>,
}

impl Folders {
    fn find(path: &Path) -> Result<Self, Error> {
        let below = |wanted: &str| walk(path, wanted);
        let of_windows = Self { inbox: below(INBOX), state: below(STATE) };
        if of_windows.inbox.is_some() || of_windows.state.is_some() {
            return Ok(of_windows);
        }
        let kept = Self { inbox: below("inbox"), state: below("state") };
        if kept.inbox.is_some() || kept.state.is_some() {
            return Ok(kept);
        }
        let is_own = FILE_NAMES.iter().chain(&["good.sys", "trial.sys", "previous.sys"]);
        if is_own.into_iter().any(|name| walk(path, name).is_some()) {
            return Ok(Self { inbox: None, state: Some(path.to_owned()) });
        }
        if below("System32").is_some() {
            return Ok(Self { inbox: None, state: None });
        }
        Err(OfflineError::NotSaker { path: path.to_owned() }.into())
    }
}

/// What is below a folder at this path of Windows's, in which case says nothing.
fn walk(folder: &Path, path: &str) -> Option<PathBuf> {
    let mut at = folder.to_owned();
    for part in path.split('\\') {
        let found = fs::read_dir(&at).ok()?.flatten().find(|entry| {
            entry.file_name().to_str().is_some_and(|name| name.eq_ignore_ascii_case(part))
        });
        at = found?.path();
    }
    Some(at)
}

/// The files of a folder that may be channel files, by name.
fn channel_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Read { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_sys = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("sys"));
        if is_sys && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// A file that was found.
struct Found {
    place: &'static str,
    path: PathBuf,
    judged: Judged,
}

/// What is said of a file.
struct Judged {
    header: Option<Header>,
    signer: Option<String>,
    verdict: Verdict,
}

enum Verdict {
    /// The driver would take it.
    Good,
    /// It would not.
    Bad(Obstacle),
    /// Its signature was not checked; all else is as it must be.
    Unknown,
}

impl Judged {
    fn read(path: &Path, anchor: Option<&Anchor>) -> Result<Self, Error> {
        let bytes = match files::read_channel_file(path) {
            Ok(bytes) => bytes,
            Err(Error::Refused { refusal, .. }) => {
                let verdict = Verdict::Bad(refusal.into());
                return Ok(Self { header: None, signer: None, verdict });
            }
            Err(error) => return Err(error),
        };
        let header = Header::parse(&bytes).ok();
        let trust = anchor.map(|anchor| Trust::<Vec<u8>> { anchor, control: None });
        let signer = anchor
            .and_then(|anchor| verify(&bytes, anchor).ok())
            .map(|signed| key_text::format_id(signed.signer));
        let verdict = match validate::judge(&bytes, &SensorProfile::CURRENT, trust.as_ref()) {
            Ok(_) if anchor.is_some() => Verdict::Good,
            Ok(_) => Verdict::Unknown,
            Err(obstacle) => Verdict::Bad(obstacle),
        };
        Ok(Self { header, signer, verdict })
    }
}

impl Verdict {
    const fn name(&self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad(_) => "bad",
            Self::Unknown => "unknown",
        }
    }
}

impl Found {
    fn body(&self) -> Option<BodyId> {
        self.judged.header.as_ref().map(|header| BodyId::of(&header.digest))
    }

    fn tell(&self, journal: Option<&Record>, out: &mut dyn Write) -> Result<(), Error> {
        let judged = &self.judged;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let numbers = judged.header.as_ref().map_or_else(String::new, |header| {
            format!("  channel {}, {}-{}", header.channel, header.epoch, header.sequence)
        });
        let struck =
            self.body().zip(journal).is_some_and(|(body, journal)| journal.has_struck(body));
        let struck = if struck { "  struck out: took the machine down twice" } else { "" };
        let signer =
            judged.signer.as_ref().map_or_else(String::new, |id| format!("  signed by {id}"));
        let why = match &judged.verdict {
            Verdict::Bad(obstacle) => format!("  {obstacle}"),
            Verdict::Unknown => "  its signature was not checked".into(),
            Verdict::Good => String::new(),
        };
        say!(
            out,
            "{:<8} {}/{name}{numbers}{signer}{struck}{why}",
            judged.verdict.name(),
            self.place
        )
    }
}

/// The driver's journal.
struct Record(Journal);

impl Record {
    fn read(folder: &Path) -> Result<Self, Error> {
        let copies = FILE_NAMES.map(|name| match walk(folder, name) {
            Some(path) => files::read_at_most(&path, MAX_JOURNAL),
            None => Ok(Vec::new()),
        });
        let [first, second] = copies;
        Ok(Self(Journal::read(&first?, &second?)))
    }
}

impl Record {
    fn has_struck(&self, body: BodyId) -> bool {
        self.0.worth(body) == SlotState::Struck
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = match self.0.mark() {
            Some(_) => "the session did not end in order",
            None => "the session ended in order",
        };
        write!(
            f,
            "{open}; {} struck out",
            crate::report::count_of(self.0.struck(), "body", "bodies")
        )
    }
}

fn to_json(found: &[Found], journal: Option<&Record>) -> Value {
    let files = found.iter().map(|file| {
        let judged = &file.judged;
        let header = judged.header.as_ref();
        let obstacle = match &judged.verdict {
            Verdict::Bad(obstacle) => Some(obstacle),
            Verdict::Good | Verdict::Unknown => None,
        };
        json!({
            "place": file.place,
            "file": file.path,
            "verdict": judged.verdict.name(),
            "channel": header.map(|header| header.channel),
            "epoch": header.map(|header| header.epoch),
            "sequence": header.map(|header| header.sequence),
            "rules": header.map(|header| header.rule_count),
            "digest": header.map(|header| hex(&header.digest)),
            "signer": judged.signer,
            "struck": file.body().zip(journal).map(|(body, journal)| journal.has_struck(body)),
            "code": obstacle.and_then(Obstacle::refusal).map(|refusal| refusal.code.number()),
            "reason": obstacle.map(ToString::to_string),
        })
    });
    let journal = journal.map(
        |Record(journal)| json!({ "open": journal.mark().is_some(), "struck": journal.struck() }),
    );
    json!({ "kind": "offline", "files": files.collect::<Vec<_>>(), "journal": journal })
}
