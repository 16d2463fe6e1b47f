//! What can go wrong for a user, each with the file, the place and the remedy.

use std::fmt;
use std::io;
use std::path::PathBuf;

use channel_compiler::control::{ControlError, EditError};
use channel_compiler::key_text::format_id;
use channel_compiler::{FaultKind, KeyError, RuleError, SignError};
use channel_format::refusal::Refusal;
use channel_format::signature::KeyId;
use driver_abi::Cause;
use miette::Diagnostic;
use pipe_log::LogError;
use thiserror::Error;

use crate::content::failed_example::FailedExample;
use crate::content::position::PositionError;
use crate::content::revert::RevertError;
use crate::content::sensor::SensorError;
use crate::content::validate::not_read;
use crate::device::DeviceError;
use crate::host::HostError;
use crate::machine::stamp::StampError;
use crate::offline::OfflineError;

/// Why a command did not do what it was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The options contradict each other.
    #[error("{0}")]
    Usage(String),
    /// A file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file cannot be written. Nothing has changed.
    #[error("{}: cannot be written; nothing was changed", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A folder to write to is missing and cannot be made.
    #[error("{}: no such folder, and it cannot be made", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file that must not be overwritten is there already.
    #[error("{}: exists already, and is not overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The rules cannot be compiled. No file was written.
    #[error("{}", Faults(errors.len()))]
    Rules {
        /// Every fault of every rule.
        errors: Vec<RuleError>,
    },
    /// Every rule was left out, so there is nothing to build. No file was written.
    #[error("all of the {count} rules are not supported, so there is nothing to build")]
    AllSkipped {
        /// How many rules.
        count: u64,
    },
    /// Rules have findings that are not let pass.
    #[error("{}", LintFaults(*findings, *strict))]
    Lint {
        /// How many findings.
        findings: u64,
        /// Whether any finding counts, not errors alone.
        strict: bool,
    },
    /// A log that rules are to be quiet on cannot be read to its end.
    #[error("{}: is no usable baseline: {reason}", path.display())]
    Baseline {
        /// The log.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key text cannot be used.
    #[error("{}: not a usable key", path.display())]
    Key {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// A new key cannot be made.
    #[error("no key was made")]
    NoKey {
        /// What is wrong.
        source: KeyError,
    },
    /// The keys together cannot be an anchor: too many, or one of them twice.
    #[error("the keys {paths} cannot be used together")]
    Keys {
        /// The key files.
        paths: String,
        /// What is wrong.
        source: Refusal,
    },
    /// The file was not signed. Nothing was written.
    #[error("{}: not signed with {}", path.display(), key.display())]
    Sign {
        /// The channel file.
        path: PathBuf,
        /// The key file.
        key: PathBuf,
        /// Why.
        source: SignError,
    },
    /// A rule does not judge one of its examples as it must. Nothing was written.
    #[error(
        "{}: refused: {} {} of the rule `{}` ({}) must {}match, and does {}: {}",
        path.display(),
        example.origin(),
        example.number,
        example.title,
        example.id,
        if example.matches { "" } else { "not " },
        if example.matches { "not" } else { "match" },
        example.event
    )]
    ExampleFails {
        /// The channel file.
        path: PathBuf,
        /// Which example.
        example: Box<FailedExample>,
        /// What the driver would say.
        #[source]
        refusal: Refusal,
    },
    /// The sensor would not even read the file's body.
    #[error("{}: not read: {}", path.display(), not_read(*cause))]
    NotRead {
        /// The channel file.
        path: PathBuf,
        /// What is in the way.
        cause: Cause,
    },
    /// The file does not say what a sensor can do.
    #[error("{}: does not say what a sensor can do", path.display())]
    Sensor {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SensorError,
    },
    /// The signature is said to be of another key than the one given.
    #[error(
        "{}: is the key {}, and the signature is said to be of {}",
        path.display(),
        format_id(*given),
        format_id(*named)
    )]
    OtherKey {
        /// The public key.
        path: PathBuf,
        /// The key that the signature is said to be of.
        named: KeyId,
        /// The key that was given.
        given: KeyId,
    },
    /// There is nothing to be signed in the file.
    #[error("{}: nothing to sign", path.display())]
    NotSigned {
        /// The channel file.
        path: PathBuf,
        /// Why.
        source: SignError,
    },
    /// The next file cannot have that position.
    #[error("{}: {source}", path.display())]
    Position {
        /// The file that it is to follow.
        path: PathBuf,
        /// Why.
        source: PositionError,
    },
    /// The older rules are not issued again. Nothing was written.
    #[error("{}: {source}", path.display())]
    Revert {
        /// The older file.
        path: PathBuf,
        /// Why.
        source: RevertError,
    },
    /// Channel 0 is not changed so. Nothing was written.
    #[error("{}: {source}", path.display())]
    Edit {
        /// The file of channel 0.
        path: PathBuf,
        /// Why.
        source: EditError,
    },
    /// The file is refused, as the driver would refuse it.
    #[error("{}: refused", path.display())]
    Refused {
        /// The channel file.
        path: PathBuf,
        /// Why.
        #[source]
        refusal: Refusal,
    },
    /// Channel 0 cannot be built. Nothing was written.
    #[error("{}: {source}", path.display())]
    Trust {
        /// What it was to be built from.
        path: PathBuf,
        /// Why.
        source: ControlError,
    },
    /// A root key stands where channel 0 names keys for content. Nothing was written.
    #[error("{}: a root key signs channel 0 itself and is not named in it", path.display())]
    RootInControl {
        /// The key.
        path: PathBuf,
    },
    /// A file of channel 0 is to be revoked. Nothing was written.
    #[error("{}: is a file of channel 0, which no file of channel 0 revokes", path.display())]
    ControlRevoked {
        /// The file.
        path: PathBuf,
    },
    /// The driver was not stamped. Nothing was written.
    #[error("{}: not stamped", path.display())]
    Stamp {
        /// The driver.
        path: PathBuf,
        /// Why.
        source: StampError,
    },
    /// The running driver was not reached, or did not do what it was asked.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The machine was not changed, or is not as it should be.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A disk was not looked at, or holds what would not be taken.
    #[error(transparent)]
    Offline(#[from] OfflineError),
    /// The log gives no records.
    #[error("the log cannot be used")]
    Log(#[from] LogError),
    /// Reading the log failed after some records.
    #[error("{}: reading failed after {records} records: {reason}", path.display())]
    LogBroken {
        /// The log.
        path: PathBuf,
        /// How many records were read.
        records: u64,
        /// What the system says.
        reason: String,
    },
    /// The results cannot be written.
    #[error("the results cannot be written")]
    Output {
        /// What the system says.
        source: io::Error,
    },
}

impl Error {
    /// What the process leaves with.
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Self::Usage(_)) { 2 } else { 1 }
    }

    fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Usage(_) => "see --help".into(),
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "check the path".into()
            }
            Self::Read { .. } => "check the path and its permissions".into(),
            Self::Write { .. } => "check the folder, its permissions and the free space".into(),
            Self::Folder { .. } => "check the path, or make the folder".into(),
            Self::Exists { .. } => "move it away first, or choose another folder".into(),
            Self::Rules { errors } if errors.iter().all(is_unsupported) => {
                "mend the rules, or leave them out with --skip-unsupported; no file was written"
                    .into()
            }
            Self::Rules { .. } => "mend the rules; no file was written".into(),
            Self::Lint { .. } => "mend the rules as told".into(),
            Self::Baseline { .. } => "mend the record, or take it out".into(),
            Self::AllSkipped { .. } => "give rules that can be built; no file was written".into(),
            Self::Key { .. } => {
                "give a file that `sakerctl content keygen` made: NAME.key signs, NAME.pub verifies"
                    .into()
            }
            Self::Keys { .. } => "give each key once, and at most 12".into(),
            Self::ExampleFails { .. } => {
                "mend the rule or its example, and build the file again; no driver would take it"
                    .into()
            }
            Self::Sign { source, .. } | Self::NotSigned { source, .. } => {
                return source.help().map(|help| help.to_string());
            }
            Self::NotRead { cause: Cause::OtherChannel, .. } => {
                "build it for the channel that the sensor serves: --channel 291".into()
            }
            Self::NotRead { .. } => "split the rules over several files, or leave some out".into(),
            Self::Sensor { source, .. } => source.remedy().into(),
            Self::OtherKey { .. } => "give the public key of the pair that signed".into(),
            Self::Position { source, .. } => source.remedy().into(),
            Self::Revert { source, .. } => source.remedy().into(),
            Self::Edit { source, .. } => return source.help().map(|help| help.to_string()),
            Self::Refused { refusal, .. } => format!(
                "whose fault: the {}'s. Remedy: {}",
                refusal.fault().name(),
                refusal.code.remedy()
            ),
            Self::Trust { source, .. } => return source.help().map(|help| help.to_string()),
            Self::RootInControl { .. } => "root keys belong into the driver's anchor".into(),
            Self::ControlRevoked { .. } => {
                "a newer file of channel 0 ends an older one by itself: give it out".into()
            }
            Self::Stamp { source, .. } => source.remedy().into(),
            Self::Device(error) => error.remedy().into(),
            Self::Host(error) => error.remedy().into(),
            Self::Offline(error) => error.remedy().into(),
            Self::Log(error) => error.remedy().into(),
            Self::LogBroken { .. } => "read the log again; the results so far are printed".into(),
            Self::NoKey { .. } | Self::Output { .. } => return None,
        })
    }
}

impl Diagnostic for Error {
    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        self.remedy().map(|remedy| Box::new(remedy) as Box<dyn fmt::Display>)
    }

    fn related(&self) -> Option<Box<dyn Iterator<Item = &dyn Diagnostic> + '_>> {
        match self {
            Self::Rules { errors } => {
                Some(Box::new(errors.iter().map(|error| error as &dyn Diagnostic)))
            }
            _ => None,
        }
    }
}

fn is_unsupported(error: &RuleError) -> bool {
    error.kind == FaultKind::Unsupported
}

struct LintFaults(u64, bool);

impl fmt::Display for LintFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.1 { "finding" } else { "error" };
        write!(f, "the rules have {}", crate::report::count(self.0, what))
    }
}

struct Faults(usize);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("the rules have a fault"),
            count => write!(f, "the rules have {count} faults"),
        }
    }
}
