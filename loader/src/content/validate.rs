//! `sakerctl content validate`: what would that sensor do with this file?

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use channel_format::anchor::Anchor;
use channel_format::control::{Control, Trust};
use channel_format::frame::{Header, Verified, verify};
use channel_format::refusal::{Code, Refusal};
use channel_format::ruleset::Ruleset;
use channel_format::schema::SensorProfile;
use channel_format::signature::KeyId;
use driver_abi::Cause;
use serde::Serialize;

use crate::content::failed_example::FailedExample;
use crate::content::sensor::{Sensor, Written};
use crate::content::{keys, say, unverified};
use crate::{Error, cli, files, report};

/// The channel that today's driver takes its rules from.
const CHANNEL: u32 = 291;

/// Arguments of `validate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Goes the sensor's own way through the file, with its code: header, signatures, digest, every table, \
the fields that it supplies, its limits, and the file's own examples. SENSOR is the saker.sys that \
runs there (its section .profile says what it can do, .anchor whom it trusts), the output of \
`sakerctl status --json`, or a profile that `sakerctl content profile` has saved.

Signatures are checked where the keys are known: those of a stamped saker.sys, or those of --key. \
Where they are not, all else is checked and that is said. What depends on the machine, such as \
newer content in force there, is not known here.

With --json one object is printed, and the exit code stays:
  {\"v\":1,\"file\":PATH,\"answer\":\"accepted\"|\"refused\"|\"not_read\",\"signatures\":BOOL,
   \"refusal\":{\"code\":N,\"name\":TEXT,\"offset\":N,\"expected\":N,\"found\":N}|null,\"cause\":TEXT|null}")]
pub struct Args {
    /// Channel file, signed or not
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Which sensor [default: the driver of this version]
    #[arg(long, value_name = "SENSOR")]
    pub sensor: Option<PathBuf>,
    /// Public keys that it trusts (NAME.pub), in the place of those in a saker.sys
    #[arg(long, value_name = "PUB")]
    pub key: Vec<PathBuf>,
    /// File of channel 0 that is in force there
    #[arg(long, value_name = "FILE")]
    pub control: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let mut sensor = Sensor::read_or_current(args.sensor.as_deref())?;
    if !args.key.is_empty() {
        sensor.anchor = Some(keys::anchor(&args.key)?);
    }
    let control = match (&args.control, &sensor.anchor) {
        (None, _) => None,
        (Some(_), None) => {
            return Err(Error::Usage(
                "--control needs the root keys that signed it: give them with --key, or a stamped \
                 saker.sys with --sensor"
                    .into(),
            ));
        }
        (Some(path), Some(anchor)) => Some(read_control(path, anchor)?),
    };
    let trust = sensor.anchor.as_ref();
    let trust = trust.map(|anchor| Trust { anchor, control: control.as_ref() });
    let bytes = files::read_channel_file(&args.file)?;
    let answer = judge(&bytes, &sensor.profile, trust.as_ref());
    if args.json {
        print_json(args, &answer, trust.is_some(), out)?;
    }
    let accepted = answer.map_err(|obstacle| obstacle.into_error(&args.file, &bytes))?;
    if trust.is_none() {
        cli::note("no signature was checked: the sensor's keys are not known");
    }
    if args.json {
        return Ok(());
    }
    let header = accepted.header;
    say!(
        out,
        "{}: would be taken: channel {}, {}-{}, {}",
        args.file.display(),
        header.channel,
        header.epoch,
        header.sequence,
        report::count(header.rule_count.into(), "rule")
    )
}

/// What keeps a file from coming into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The sensor refuses it.
    Refused(Refusal),
    /// The sensor does not even read its body.
    NotRead(Cause),
}

impl From<Refusal> for Obstacle {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::NotRead(cause) => write!(f, "not read: {}", not_read(*cause)),
        }
    }
}

/// Why a sensor does not read the body of a file whose header is good.
pub const fn not_read(cause: Cause) -> &'static str {
    match cause {
        Cause::OtherChannel => "the sensor serves another channel",
        _ => "it is longer than the sensor takes",
    }
}

impl Obstacle {
    /// The refusal, where the file's bytes are what is in the way.
    pub const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::NotRead(_) => None,
        }
    }

    /// As an error about that file, with the example if one has failed.
    pub fn into_error(self, path: &Path, bytes: &[u8]) -> Error {
        let path = path.to_owned();
        match self {
            Self::NotRead(cause) => Error::NotRead { path, cause },
            Self::Refused(refusal) if refusal.code == Code::ExampleFailed => {
                match FailedExample::find(bytes, &refusal) {
                    Some(example) => {
                        Error::ExampleFails { path, example: Box::new(example), refusal }
                    }
                    None => Error::Refused { path, refusal },
                }
            }
            Self::Refused(refusal) => Error::Refused { path, refusal },
        }
    }
}

/// What is known of a file that a sensor takes.
#[derive(Debug, Clone, Copy)]
pub struct Accepted {
    /// Its header.
    pub header: Header,
    /// The first key that signed it, where signatures were checked.
    pub signer: Option<KeyId>,
    /// Whether a key that may block has signed it.
    pub may_block: bool,
}

/// What a sensor does with a file that nothing newer stands in the way of, step by step as the
/// driver's `content_worker` does it. Without `trust` the signatures are left out, and nothing else.
///
/// # Errors
/// What keeps it from coming into force.
pub fn judge<B: AsRef<[u8]>>(
    bytes: &[u8],
    sensor: &SensorProfile,
    trust: Option<&Trust<'_, B>>,
) -> Result<Accepted, Obstacle> {
    if bytes.len() as u64 > sensor.max_file {
        return Err(Obstacle::NotRead(Cause::NoFile));
    }
    let header = Header::parse(bytes)?;
    sensor.reads(&header)?;
    let Some(trust) = trust else {
        is_served(header.channel)?;
        understood(unverified::verified(bytes)?, sensor)?;
        return Ok(Accepted { header, signer: None, may_block: false });
    };
    let signed = verify(bytes, trust)?;
    is_served(header.channel)?;
    trust.admits(&signed)?;
    let (signer, may_block) = (Some(signed.signer), signed.may_block);
    understood(signed.body(bytes.to_vec())?, sensor)?;
    Ok(Accepted { header, signer, may_block })
}

/// The sensor serves one channel of content, and channel 0 says whose.
const fn is_served(channel: u32) -> Result<(), Obstacle> {
    match channel {
        0 | CHANNEL => Ok(()),
        _ => Err(Obstacle::NotRead(Cause::OtherChannel)),
    }
}

fn understood(verified: Verified<Vec<u8>>, sensor: &SensorProfile) -> Result<(), Refusal> {
    match verified.header().channel {
        0 => Control::parse(verified).map(|_| ()),
        _ => Ruleset::parse(verified, sensor)?.self_test(),
    }
}

/// The file of channel 0 that a sensor with that anchor would take.
///
/// # Errors
/// It cannot be read, or would be refused.
pub fn read_control(path: &Path, anchor: &Anchor) -> Result<Control<Vec<u8>>, Error> {
    let bytes = files::read_channel_file(path)?;
    let control = || {
        let signed = verify(&bytes, anchor)?;
        if signed.header.channel != 0 {
            return Err(Refusal::new(Code::TemplateType, 24, 0, signed.header.channel.into()));
        }
        Control::parse(signed.body(bytes.clone())?)
    };
    control().map_err(|refusal| Error::Refused { path: path.to_owned(), refusal })
}

#[derive(Serialize)]
struct Report {
    v: u32,
    file: String,
    answer: &'static str,
    signatures: bool,
    refusal: Option<Refused>,
    cause: Option<&'static str>,
}

#[derive(Serialize)]
struct Refused {
    code: u16,
    name: &'static str,
    offset: u32,
    expected: u64,
    found: u64,
}

fn print_json(
    args: &Args,
    answer: &Result<Accepted, Obstacle>,
    signatures: bool,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let (word, refusal, cause) = match answer {
        Ok(_) => ("accepted", None, None),
        Err(Obstacle::Refused(refusal)) => ("refused", Some(*refusal), None),
        Err(Obstacle::NotRead(cause)) => ("not_read", None, Some(cause.name())),
    };
    let refusal = refusal.map(|refusal| Refused {
        code: refusal.code.number(),
        name: refusal.code.name(),
        offset: refusal.offset,
        expected: refusal.expected,
        found: refusal.found,
    });
    let file = args.file.display().to_string();
    let report = Report { v: 1, file, answer: word, signatures, refusal, cause };
    serde_json::to_writer(&mut *out, &report)
        .map_err(|error| Error::Output { source: error.into() })?;
    say!(out)
}

/// Arguments of `profile`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints one JSON object, which --sensor of `validate`, `sign` and `digest` reads: so a profile can be \
kept of each sensor that is out there, without its driver.")]
pub struct ProfileArgs {
    /// A saker.sys, the output of `sakerctl status --json`, or a profile
    #[arg(value_name = "SENSOR")]
    pub sensor: PathBuf,
}

/// Runs `profile`.
pub fn run_profile(args: &ProfileArgs, out: &mut dyn Write) -> Result<(), Error> {
    let sensor = Sensor::read(&args.sensor)?;
    serde_json::to_writer_pretty(&mut *out, &Written::of(&sensor.profile))
        .map_err(|error| Error::Output { source: error.into() })?;
    say!(out)
}
