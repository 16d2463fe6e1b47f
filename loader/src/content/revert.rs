//! `sakerctl content revert`: the rules of an older file under a higher sequence.

use std::io::Write;
use std::path::PathBuf;

use channel_compiler::{BuildOptions, reissue};
use channel_format::frame::Header;
use thiserror::Error;

use crate::content::digest::validated;
use crate::content::position::Next;
use crate::content::say;
use crate::files::{self, Existing, Readers};
use crate::{Error, cli, report};

/// Arguments of `revert`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A sensor takes only what is newer than what it has, so going back is going forward: the rules of OLD, \
byte for byte, in a file that follows CURRENT. Writes DIR/C-<channel>-<epoch>-<sequence>.sys.unsigned \
and prints its path; sign it as any other. OLD is validated as `validate` does. CURRENT may be one that \
sensors refuse: only its position counts.")]
pub struct Args {
    /// Channel file whose rules are to serve again
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// Newest channel file that was given out
    #[arg(long, value_name = "CURRENT")]
    pub over: PathBuf,
    /// Let the file hold fewer rules than CURRENT
    #[arg(long)]
    pub shrink: bool,
    /// Sensor that has to take it [default: the driver of this version]
    #[arg(long, value_name = "SENSOR")]
    pub sensor: Option<PathBuf>,
    /// Where it stands.
    #[command(flatten)]
    pub next: Next,
}

/// Why older rules are not issued again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RevertError {
    /// The file is one of channel 0.
    #[error("channel 0 is not reverted: what was revoked stays revoked")]
    Control,
    /// The two files are of different channels.
    #[error("is of channel {old}, and the newest file of channel {current}")]
    Channel {
        /// Of the older file.
        old: u32,
        /// Of the newest one.
        current: u32,
    },
    /// The older file is not older.
    #[error("is {}-{}, which is not older than {}-{}", .old.0, .old.1, .current.0, .current.1)]
    NotOlder {
        /// Position of the older file.
        old: (u32, u32),
        /// Position of the newest one.
        current: (u32, u32),
    },
    /// Both hold the same.
    #[error("holds the same rules as the newest file")]
    Same,
    /// The older file has fewer rules.
    #[error("has {}, and the newest file {}", report::count((*.old).into(), "rule"), .current)]
    Fewer {
        /// Rules of the older file.
        old: u32,
        /// Rules of the newest one.
        current: u32,
    },
    /// The older file has no fewer rules, so nothing shrinks.
    #[error("has {} rules, no fewer than the newest file, so nothing shrinks", .old)]
    NoFewer {
        /// Rules of the older file.
        old: u32,
    },
}

impl RevertError {
    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Control => "edit channel 0 with `sakerctl trust revoke`, `rotate` or `halt`",
            Self::Channel { .. } => "give two files of one channel",
            Self::NotOlder { .. } => "give the newest file that was given out with --over",
            Self::Same => "there is nothing to go back from; to raise the sequence, build anew",
            Self::Fewer { .. } => {
                "say --shrink if that is meant: without it a sensor may take the loss of rules for \
                 an accident"
            }
            Self::NoFewer { .. } => "leave --shrink out: it is for files that lose rules",
        }
    }
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let bytes = files::read_channel_file(&args.old)?;
    let current = files::read_channel_file(&args.over)?;
    let current = Header::parse(&current)
        .map_err(|refusal| Error::Refused { path: args.over.clone(), refusal })?;
    args.next.trusted(&args.old, &bytes)?;
    validated(&args.old, &bytes, args.sensor.as_deref())?;
    let old = Header::parse(&bytes)
        .map_err(|refusal| Error::Refused { path: args.old.clone(), refusal })?;
    sensible(&old, &current, args.shrink)
        .map_err(|source| Error::Revert { path: args.old.clone(), source })?;
    let position = args.next.after(&args.over, &current, &old)?;
    let options = BuildOptions {
        channel: old.channel,
        epoch: position.epoch,
        sequence: position.sequence,
        created: position.created,
        expires: position.expires,
        shrink: args.shrink,
    };
    let again = reissue(&bytes, &options)
        .map_err(|refusal| Error::Refused { path: args.old.clone(), refusal })?;
    let name = channel_format::name::ChannelName {
        channel: old.channel,
        epoch: position.epoch,
        sequence: position.sequence,
    };
    let path = args.next.out.join(format!("{name}.unsigned"));
    files::ensure_folder(&args.next.out)?;
    files::write(&path, &again, Existing::Replace, Readers::All)?;
    cli::note(format_args!(
        "the {} of {}, not signed yet",
        report::count(old.rule_count.into(), "rule"),
        old.name()
    ));
    say!(out, "{}", path.display())
}

fn sensible(old: &Header, current: &Header, shrink: bool) -> Result<(), RevertError> {
    if old.channel == 0 {
        return Err(RevertError::Control);
    }
    if old.channel != current.channel {
        return Err(RevertError::Channel { old: old.channel, current: current.channel });
    }
    let position = |header: &Header| (header.epoch, header.sequence);
    if position(old) >= position(current) {
        return Err(RevertError::NotOlder { old: position(old), current: position(current) });
    }
    if old.digest == current.digest {
        return Err(RevertError::Same);
    }
    let (old, current) = (old.rule_count, current.rule_count);
    match (old < current, shrink) {
        (true, false) => Err(RevertError::Fewer { old, current }),
        (false, true) => Err(RevertError::NoFewer { old }),
        _ => Ok(()),
    }
}
