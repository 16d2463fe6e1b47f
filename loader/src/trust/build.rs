//! `sakerctl trust build`: a text to an unsigned file of channel 0.

use std::io::Write;
use std::path::PathBuf;

use channel_compiler::control::{ControlOptions, ControlSource};
use channel_format::name::ChannelName;
use channel_format::signature::Role;

use crate::Error;
use crate::content::{keys, say, time};
use crate::files::{self, Existing, Readers};

/// The text names a few dozen keys, channels and files.
const MAX_SOURCE: u64 = 1024 * 1024;

/// Arguments of `build`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes DIR/C-00000000-<epoch>-<sequence>.sys.unsigned and prints its path. Key files are found \
relative to SOURCE. The form of SOURCE is in docs/trust.md. A sensor takes a file of channel 0 only \
if it is newer than the one it has, so each one says all that shall hold from then on.")]
pub struct Args {
    /// What channel 0 shall say
    #[arg(value_name = "SOURCE")]
    pub source: PathBuf,
    /// Number of the file within its epoch; a later file has a higher one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=99_999_999))]
    pub sequence: u32,
    /// Epoch of channel 0
    #[arg(
        long, value_name = "E", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(0..=99_999_999)
    )]
    pub epoch: u32,
    /// Folder for the file; its last part is made if it is missing
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// When the file goes stale: YYYY-MM-DD, or seconds since 1970 [default: never]
    #[arg(long, value_name = "WHEN", value_parser = time::parse)]
    pub expires: Option<u64>,
    /// Time of creation: YYYY-MM-DD, or seconds since 1970 [default: now]
    #[arg(long, value_name = "WHEN", value_parser = time::parse)]
    pub created: Option<u64>,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let created = args.created.unwrap_or_else(time::now);
    if args.expires.is_some_and(|expires| expires <= created) {
        return Err(Error::Usage("--expires is not after the time of creation".into()));
    }
    let failed = |source| Error::Trust { path: args.source.clone(), source };
    let bytes = files::read_at_most(&args.source, MAX_SOURCE)?;
    let source = ControlSource::parse(&String::from_utf8_lossy(&bytes)).map_err(failed)?;
    let folder = files::folder_of(&args.source);
    let mut trusted = Vec::new();
    for name in source.key_names() {
        let path = folder.join(name);
        let key = keys::read_public(&path)?;
        if key.role != Role::Content {
            return Err(Error::RootInControl { path });
        }
        trusted.push(key);
    }
    let options = ControlOptions {
        epoch: args.epoch,
        sequence: args.sequence,
        created,
        expires: args.expires.unwrap_or(0),
    };
    let file = source.build(&trusted, &options).map_err(failed)?;
    let name = ChannelName { channel: 0, epoch: args.epoch, sequence: args.sequence };
    let path = args.out.join(format!("{name}.unsigned"));
    files::ensure_folder(&args.out)?;
    files::write(&path, &file, Existing::Replace, Readers::All)?;
    say!(out, "{}", path.display())
}
