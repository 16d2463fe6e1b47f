//! `sakerctl trust revoke`, `rotate` and `halt`: one change of channel 0, ready to be signed.

use std::io::Write;
use std::path::{Path, PathBuf};

use channel_compiler::control::Rotation;
use channel_compiler::key_text::format_id;
use channel_format::control::RevokedRange;
use channel_format::frame::{FileId, Header};
use channel_format::signature::KeyId;

use super::next::Change;
use crate::content::keys;
use crate::report::hex;
use crate::{Error, cli, files};

/// What all of these do.
const HELP: &str = "\
Writes DIR/C-00000000-<epoch>-<sequence>.sys.unsigned, which says all that CURRENT says and this, and \
prints its path. CURRENT has to be the newest file of channel 0 that was given out: what a newer one \
said would be lost. Nothing holds before the root keys have signed the file and a sensor has taken it.";

/// Arguments of `revoke`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Revoke {
    #[command(flatten)]
    change: Change,
    /// One file: a channel file, or its `id` as `sakerctl content inspect` prints it; may be repeated
    #[arg(long = "file", value_name = "FILE|ID", required_unless_present = "channel")]
    files: Vec<String>,
    /// All files of a channel, of one epoch up to one sequence
    #[arg(
        long, value_name = "N", requires_all = ["of_epoch", "through"], conflicts_with = "files",
        value_parser = clap::value_parser!(u32).range(1..=99_999_999)
    )]
    channel: Option<u32>,
    /// The epoch of those files
    #[arg(
        long, value_name = "E", requires = "channel",
        value_parser = clap::value_parser!(u32).range(0..=99_999_999)
    )]
    of_epoch: Option<u32>,
    /// The last sequence that is revoked
    #[arg(
        long, value_name = "N", requires = "channel",
        value_parser = clap::value_parser!(u32).range(0..=99_999_999)
    )]
    through: Option<u32>,
}

impl Revoke {
    /// Runs the command.
    pub fn run(&self, out: &mut dyn Write) -> Result<(), Error> {
        if let (Some(channel), Some(epoch), Some(through)) =
            (self.channel, self.of_epoch, self.through)
        {
            let range = RevokedRange { channel, epoch, through };
            let said =
                format!("revoked: channel {channel}, epoch {epoch}, up to sequence {through}");
            return self.change.make(|content| content.revoke_range(range), &said, out);
        }
        let ids = self.files.iter().map(|file| file_id(file)).collect::<Result<Vec<_>, _>>()?;
        let listed: Vec<_> = ids.iter().map(|id| hex(&id.0)).collect();
        let said = format!("revoked: {}", listed.join(", "));
        let edit = |content: &mut channel_compiler::control::ControlContent| {
            ids.iter().try_for_each(|id| content.revoke_file(*id))
        };
        self.change.make(edit, &said, out)
    }
}

/// The id of a file that is named by its path, or by the id itself.
fn file_id(text: &str) -> Result<FileId, Error> {
    let path = Path::new(text);
    if !path.exists()
        && let Ok(id) = crate::content::bytes_text::parse(text, "a file's id")
    {
        return Ok(FileId(id));
    }
    let bytes = files::read_channel_file(path)?;
    let header = Header::parse(&bytes)
        .map_err(|refusal| Error::Refused { path: path.to_owned(), refusal })?;
    if header.channel == 0 {
        return Err(Error::ControlRevoked { path: path.to_owned() });
    }
    Ok(FileId::of(&bytes))
}

/// Arguments of `rotate`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Rotate {
    #[command(flatten)]
    change: Change,
    /// The key that goes: its public half (NAME.pub), or its id
    #[arg(long, value_name = "PUB|ID")]
    old: String,
    /// The key that comes: its public half (NAME.pub)
    #[arg(long, value_name = "PUB")]
    new: PathBuf,
    /// Epochs in which the new key signs, such as 4-9; the old one signs until the one before
    #[arg(long, value_name = "FIRST-LAST", value_parser = parse_epochs)]
    epochs: (u32, u32),
    /// The old key is in other hands: it signs nothing any more, and all files of earlier epochs are over
    #[arg(long)]
    stolen: bool,
    /// A channel of which the stolen key's files are over, beside those that CURRENT speaks of
    #[arg(
        long, value_name = "N", requires = "stolen",
        value_parser = clap::value_parser!(u32).range(1..=99_999_999)
    )]
    channel: Vec<u32>,
}

impl Rotate {
    /// Runs the command.
    pub fn run(&self, out: &mut dyn Write) -> Result<(), Error> {
        let old = key_id(&self.old)?;
        let new = keys::read_public(&self.new)?;
        let (first, last) = self.epochs;
        let stolen = self.stolen.then(|| self.channel.clone());
        let rotation = Rotation { old, new, epochs: self.epochs, stolen };
        let (old, new) = (format_id(old), format_id(new.id()));
        let ends = if self.stolen { "nothing any more" } else { "none of them" };
        let said = format!("key {new} signs epochs {first} to {last}, key {old} {ends}");
        self.change.make(|content| content.rotate(&rotation), &said, out)?;
        if self.stolen {
            cli::note(format_args!(
                "no sensor serves files of an epoch before {first} once it has taken this: have \
                 content of epoch {first} ready, signed with the new key, and give both out together"
            ));
        }
        Ok(())
    }
}

fn key_id(text: &str) -> Result<KeyId, Error> {
    let path = Path::new(text);
    match crate::content::bytes_text::parse(text, "a key's id") {
        Ok(id) if !path.exists() => Ok(KeyId(id)),
        _ => Ok(keys::read_public(path)?.id()),
    }
}

fn parse_epochs(text: &str) -> Result<(u32, u32), String> {
    let number =
        |text: &str| text.trim().parse::<u32>().ok().filter(|number| *number <= 99_999_999);
    let pair = match text.split_once('-') {
        Some((first, last)) => number(first).zip(number(last)),
        None => number(text).map(|epoch| (epoch, epoch)),
    };
    // Epoch 0 has none before it, in which the old key could end.
    pair.filter(|(first, last)| *first >= 1 && first <= last)
        .ok_or_else(|| format!("`{text}` are no epochs such as 4-9, from 1 on"))
}

/// Arguments of `halt`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Halt {
    #[command(flatten)]
    change: Change,
    /// The channel that takes in nothing new; what is in force on it stays
    #[arg(
        long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=99_999_999)
    )]
    channel: u32,
    /// End the halt
    #[arg(long)]
    end: bool,
}

impl Halt {
    /// Runs the command.
    pub fn run(&self, out: &mut dyn Write) -> Result<(), Error> {
        let channel = self.channel;
        let said = match self.end {
            false => format!("halted: channel {channel} takes in nothing new"),
            true => format!("channel {channel} takes in new files again"),
        };
        self.change.make(|content| content.halt(channel, !self.end), &said, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs() {
        assert_eq!(parse_epochs("4"), Ok((4, 4)));
        assert_eq!(parse_epochs("4-9"), Ok((4, 9)));
        for wrong in ["", "0", "0-3", "9-4", "4-", "-4", "a", "4-100000000"] {
            assert!(parse_epochs(wrong).unwrap_err().contains("no epochs"), "{wrong}");
        }
    }
}
