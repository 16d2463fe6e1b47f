//! `sakerctl content keygen`: one pair of keys.

use std::io::Write;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use channel_compiler::{SecretKey, key_text, public_key};
use channel_format::signature::{PublicKey, Role};

use crate::content::{bytes_text, say};
use crate::files::{self, Existing, Readers};
use crate::{Error, cli};

/// Arguments of `keygen`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes DIR/NAME.key (the secret, mode 600; keep it off the machines it is for) and DIR/NAME.pub, \
and prints both paths. NAME is the role and the first digits of the key's id, which covers the \
permissions too: a changed permission is another key.

With --public the pair was made elsewhere, and only NAME.pub is written: a key for production need \
never be on this machine. Of a key that OpenSSL made, the 32 bytes are
  openssl pkey -in KEY.pem -pubout -outform DER | tail -c 32 | base64")]
pub struct Args {
    /// Folder for the two files; made if it is missing
    #[arg(long, value_name = "DIR")]
    pub out_dir: PathBuf,
    /// What the key signs: `content` every channel but 0, `root` channel 0
    #[arg(long, value_enum, default_value = "content")]
    pub role: RoleArg,
    /// Let rules signed with the key block, not only report
    #[arg(long)]
    pub may_block: bool,
    /// Channels that the key may sign, one or a range [default: all but 0]
    #[arg(long, value_name = "N|FIRST-LAST", value_parser = parse_channels)]
    pub channels: Option<RangeInclusive<u32>>,
    /// The 32 bytes of a public key that was made elsewhere, in hex or base64
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub public: Option<PublicBytes>,
}

/// The bytes of a public key.
pub type PublicBytes = [u8; 32];

/// The roles, as the command line spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RoleArg {
    /// Signs channel 0: keys, floors, revocations.
    Root,
    /// Signs rules.
    Content,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let (role, channels) = match args.role {
        RoleArg::Root if args.may_block || args.channels.is_some() => {
            return Err(Error::Usage(
                "a root key signs channel 0 alone and never blocks: --role root goes with neither \
                 --may-block nor --channels"
                    .into(),
            ));
        }
        RoleArg::Root => (Role::Root, 0..=0),
        RoleArg::Content => (Role::Content, args.channels.clone().unwrap_or(1..=u32::MAX)),
    };
    std::fs::create_dir_all(&args.out_dir)
        .map_err(|source| Error::Folder { path: args.out_dir.clone(), source })?;
    if let Some(bytes) = args.public {
        let key = public_key(bytes, role, args.may_block, channels)
            .map_err(|source| Error::NoKey { source })?;
        let path = args.out_dir.join(format!("{}.pub", name(&key)));
        let text = line(&key_text::format_public(&key));
        files::write(&path, text.as_bytes(), Existing::Keep, Readers::All)?;
        return say!(out, "{}", path.display());
    }
    let key = SecretKey::generate(role, args.may_block, channels)
        .map_err(|source| Error::NoKey { source })?;
    let (secret, public) = write_pair(&args.out_dir, &key)?;
    if cfg!(not(unix)) {
        cli::note("let nobody but yourself read the .key file");
    }
    say!(out, "{}", secret.display())?;
    say!(out, "{}", public.display())
}

/// Writes a pair of key files, or neither; returns the paths of the secret and the public one.
pub fn write_pair(folder: &Path, key: &SecretKey) -> Result<(PathBuf, PathBuf), Error> {
    let name = name(&key.public);
    let secret = folder.join(format!("{name}.key"));
    let public = folder.join(format!("{name}.pub"));
    files::write(&secret, line(&key.to_text()).as_bytes(), Existing::Keep, Readers::Owner)?;
    let text = line(&key_text::format_public(&key.public));
    if let Err(error) = files::write(&public, text.as_bytes(), Existing::Keep, Readers::All) {
        // Half a pair is of no use, and nobody has the other half.
        let _ = std::fs::remove_file(&secret);
        return Err(error);
    }
    Ok((secret, public))
}

fn name(key: &PublicKey) -> String {
    let role = match key.role {
        Role::Root => "root",
        Role::Content => "content",
    };
    let id = key_text::format_id(key.id());
    format!("{role}-{}", id.get(..8).unwrap_or(&id))
}

fn line(text: &str) -> String {
    format!("{}\n", text.trim_end())
}

fn parse_bytes(text: &str) -> Result<PublicBytes, String> {
    bytes_text::parse(text, "a public key")
}

fn parse_channels(text: &str) -> Result<RangeInclusive<u32>, String> {
    let number = |text: &str| text.parse::<u32>().map_err(|_| format!("`{text}` is no channel"));
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first == 0 || first > last {
        return Err("channels are a range that starts at 1 or above".into());
    }
    Ok(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_never_overwritten_and_never_halved() {
        let folder = tempfile::tempdir().unwrap();
        let key = SecretKey::from_seed([3; 32], Role::Content, false, 1..=9).unwrap();
        let (secret, public) = write_pair(folder.path(), &key).unwrap();
        let before = std::fs::read(&secret).unwrap();
        assert!(matches!(write_pair(folder.path(), &key), Err(Error::Exists { .. })));
        assert_eq!(std::fs::read(&secret).unwrap(), before);

        std::fs::remove_file(&secret).unwrap();
        assert!(matches!(write_pair(folder.path(), &key), Err(Error::Exists { .. })));
        assert!(!secret.exists() && public.exists());
    }

    #[test]
    fn channels() {
        assert_eq!(parse_channels("291"), Ok(291..=291));
        assert_eq!(parse_channels("1-300"), Ok(1..=300));
        for wrong in ["", "0", "0-3", "5-4", "-3", "a", "1-2-3", "4294967296"] {
            assert!(parse_channels(wrong).is_err(), "{wrong}");
        }
    }
}
