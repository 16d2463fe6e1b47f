//! `sakerctl content sign`: adds a signature, made here or elsewhere.

use std::io::Write;
use std::path::PathBuf;

use channel_compiler::{SignError, add_signature, key_text, sign_for};
use channel_format::anchor::Anchor;
use channel_format::frame::{Header, verify};
use channel_format::refusal::Refusal;
use channel_format::signature::{KeyId, PublicKey, Role};

use crate::content::digest::validated;
use crate::content::{bytes_text, keys, say};
use crate::files::{self, Existing, Readers};
use crate::{Error, cli};

/// Arguments of `sign`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Validates the file first, as `validate` does, for the driver of this version or for the sensor that \
--sensor names, and signs only what that would take. Writes C-<channel>-<epoch>-<sequence>.sys, named \
by the file's header, beside FILE or in DIR, and prints its path; FILE itself is not changed unless it \
has that name and place. A signed file gets one signature more, up to four. A key that has signed the \
file already adds nothing; that is no error.

With a key that is kept elsewhere, sign there what `sakerctl content digest FILE` prints, and give the \
signature with --signature and the public key with --public: it is checked before it is put in.")]
pub struct Args {
    /// Channel file, unsigned or signed
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Secret key (NAME.key)
    #[arg(long, value_name = "KEY", required_unless_present = "signature")]
    pub key: Option<PathBuf>,
    /// Signature that was made elsewhere: the key's id, a colon, and the 64 bytes in hex or base64
    #[arg(
        long, value_name = "KEYID:SIGNATURE", value_parser = parse_signature,
        conflicts_with = "key", requires = "public"
    )]
    pub signature: Option<Signature>,
    /// Public key (NAME.pub) that the signature is of
    #[arg(long, value_name = "PUB", requires = "signature")]
    pub public: Option<PathBuf>,
    /// Sensor that has to take the file [default: the driver of this version]
    #[arg(long, value_name = "SENSOR")]
    pub sensor: Option<PathBuf>,
    /// Folder for the signed file [default: the folder of FILE]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// A signature and the key that it is said to be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// The key's id.
    pub key: KeyId,
    /// The signature.
    pub bytes: [u8; 64],
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let mut bytes = files::read_channel_file(&args.file)?;
    let refused = |refusal| Error::Refused { path: args.file.clone(), refusal };
    let header = Header::parse(&bytes).map_err(refused)?;
    let sensor = validated(&args.file, &bytes, args.sensor.as_deref())?.profile;
    let (path, public, signed) = match (&args.key, &args.signature, &args.public) {
        (Some(path), _, _) => {
            let key = keys::read_secret(path)?;
            (path, key.public, sign_for(&mut bytes, &key, &sensor))
        }
        (None, Some(signature), Some(path)) => {
            let key = keys::read_public(path)?;
            if key.id() != signature.key {
                let (named, given) = (signature.key, key.id());
                return Err(Error::OtherKey { path: path.clone(), named, given });
            }
            (path, key, add_signature(&mut bytes, &key, &signature.bytes, &sensor))
        }
        _ => return Err(Error::Usage("--signature goes with --public".into())),
    };
    match signed {
        Ok(()) => {}
        Err(SignError::Again) => {
            // Only if that signature is good.
            check_signature(&bytes, &public).map_err(refused)?;
            let id = key_text::format_id(public.id());
            cli::note(format_args!("key {id} has signed the file already; nothing was added"));
        }
        Err(SignError::Header(refusal)) => return Err(refused(refusal)),
        Err(source) => {
            return Err(Error::Sign { path: args.file.clone(), key: path.clone(), source });
        }
    }
    write(args, &header, &bytes, out)
}

fn write(args: &Args, header: &Header, bytes: &[u8], out: &mut dyn Write) -> Result<(), Error> {
    let folder = match &args.out {
        Some(folder) => {
            files::ensure_folder(folder)?;
            folder.as_path()
        }
        None => files::folder_of(&args.file),
    };
    // Without a folder the path is the bare name, as it was given.
    let name = header.name().to_string();
    let path = match args.file.parent() {
        Some(parent) if args.out.is_none() => parent.join(name),
        _ => folder.join(name),
    };
    files::write(&path, bytes, Existing::Replace, Readers::All)?;
    say!(out, "{}", path.display())
}

fn check_signature(bytes: &[u8], key: &PublicKey) -> Result<(), Refusal> {
    let anchor = match key.role {
        Role::Root => Anchor::encode(&[*key], 1, &[]),
        Role::Content => Anchor::encode(&[], 0, &[*key]),
    }?;
    verify(bytes, &Anchor::parse(&anchor)?).map(|_| ())
}

fn parse_signature(text: &str) -> Result<Signature, String> {
    let (key, signature) = text
        .split_once(':')
        .ok_or("a signature is given as KEYID:SIGNATURE, with a colon between")?;
    Ok(Signature {
        key: KeyId(bytes_text::parse(key, "a key's id")?),
        bytes: bytes_text::parse(signature, "a signature")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_read_in_hex_and_base64() {
        let id = "00112233445566778899aabbccddeeff";
        let bytes: [u8; 64] = std::array::from_fn(|at| at as u8);
        for text in [
            data_encoding::HEXLOWER.encode(&bytes),
            data_encoding::HEXUPPER.encode(&bytes),
            data_encoding::BASE64.encode(&bytes),
        ] {
            let read = parse_signature(&format!("{id}:{text}")).unwrap();
            assert_eq!((read.key.0[1], read.bytes), (0x11, bytes));
            assert!(parse_signature(&text).is_err(), "no key");
            assert!(parse_signature(&format!("{id}:{}", &text[1..])).is_err());
            assert!(parse_signature(&format!("{}:{text}", &id[2..])).is_err());
        }
    }
}
