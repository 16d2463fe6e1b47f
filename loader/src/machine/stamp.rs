//! `sakerctl machine stamp`: the keys that a driver trusts, put into it.

use std::io::Write;
use std::path::{Path, PathBuf};

use channel_compiler::key_text;
use channel_format::signature::{PublicKey, Role};
use thiserror::Error;

use crate::content::{keys, say};
use crate::files::{self, Existing, Readers};
use crate::machine::image::{Image, ImageError};
use crate::report::count;
use crate::{Error, cli};

/// No driver comes near this; what is longer is not read.
const MAX_DRIVER: u64 = 16 * 1024 * 1024;

/// Arguments of `stamp`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes a copy of the driver whose section .anchor holds these keys and no others, with the PE \
checksum put right, and prints its path. Stamp first, sign after: a signed driver is refused. \
Root keys sign channel 0, which names the keys for content. A content key in the driver itself is \
for test machines.")]
pub struct Args {
    /// Driver as it was built
    #[arg(value_name = "SAKER.SYS")]
    pub driver: PathBuf,
    /// Public key (NAME.pub); may be given several times
    #[arg(long = "key", value_name = "PUB", required = true)]
    pub keys: Vec<PathBuf>,
    /// The stamped copy; an older one is replaced
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Take the place of the keys of a driver that is stamped already
    #[arg(long)]
    pub replace: bool,
}

/// Why a driver was not stamped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StampError {
    /// The file is no driver that can be stamped.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The file is longer than any driver.
    #[error("more than {MAX_DRIVER} bytes, so no driver of ours")]
    TooLong,
    /// The driver holds keys already.
    #[error("the driver is stamped already")]
    Stamped,
    /// The copy would take the place of its source.
    #[error("the copy would take the place of the driver itself")]
    SameFile,
}

impl StampError {
    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Image(ImageError::Signed) => {
                "stamp the driver as it was built, then sign the copy"
            }
            Self::Image(ImageError::Anchors(_) | ImageError::AnchorSize(_)) => {
                "give the saker.sys that belongs to this sakerctl: `cargo xtask build` makes both"
            }
            Self::Image(_) | Self::TooLong => "give the saker.sys that `cargo xtask build` made",
            Self::Stamped => "give the driver as it was built, or --replace its keys",
            Self::SameFile => "choose another path for --out",
        }
    }
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let anchor = keys::anchor_bytes(&args.keys)?;
    let keys =
        args.keys.iter().map(|path| keys::read_public(path)).collect::<Result<Vec<_>, _>>()?;
    let failed = |source| Error::Stamp { path: args.driver.clone(), source };

    let bytes = files::read_at_most(&args.driver, MAX_DRIVER + 1)?;
    if bytes.len() as u64 > MAX_DRIVER {
        return Err(failed(StampError::TooLong));
    }
    let image = Image::parse(&bytes).map_err(|error| failed(error.into()))?;
    if !image.is_blank() && !args.replace {
        return Err(failed(StampError::Stamped));
    }
    if is_same_file(&args.driver, &args.out) {
        return Err(failed(StampError::SameFile));
    }
    files::write(&args.out, &image.stamped(&anchor), Existing::Replace, Readers::All)?;
    tell(&args.out, &keys);
    say!(out, "{}", args.out.display())
}

/// True when writing one would change the other. A file that is not there is no other's.
fn is_same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

fn tell(path: &Path, keys: &[PublicKey]) {
    let number = u64::try_from(keys.len()).unwrap_or(u64::MAX);
    cli::note(format_args!("{} trusts {}:", path.display(), count(number, "key")));
    for key in keys {
        let id = key_text::format_id(key.id());
        match key.role {
            Role::Root => cli::note(format_args!("  root key {id}")),
            Role::Content => {
                let may = if key.may_block { "may block" } else { "may only report" };
                cli::note(format_args!(
                    "  content key {id}, channels {}-{}, {may}",
                    key.first_channel, key.last_channel
                ));
            }
        }
    }
    if keys.iter().any(|key| key.role == Role::Content) {
        cli::note(
            "content keys stand in the driver itself: this is a test package, not for release",
        );
    }
}
