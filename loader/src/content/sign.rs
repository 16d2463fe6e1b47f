//! `sakerctl content sign`: adds a signature.

use std::io::Write;
use std::path::PathBuf;

use channel_compiler::{SecretKey, SignError, key_text, sign};
use channel_format::anchor::Anchor;
use channel_format::frame::{Header, verify};
use channel_format::refusal::{Code, Refusal};
use channel_format::signature::Role;

use crate::content::failed_example::FailedExample;
use crate::content::{keys, say};
use crate::files::{self, Existing, Readers};
use crate::{Error, cli};

/// Arguments of `sign`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Runs the file's own examples first, with the driver's code, and signs only if all pass. Writes \
C-<channel>-<epoch>-<sequence>.sys, named by the file's header, beside FILE or in DIR, and prints \
its path; FILE itself is not changed unless it has that name and place. A signed file gets one \
signature more, up to four. A key that has signed the file already adds nothing; that is no error.")]
pub struct Args {
    /// Channel file, unsigned or signed
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Secret key (NAME.key)
    #[arg(long, value_name = "KEY")]
    pub key: PathBuf,
    /// Folder for the signed file [default: the folder of FILE]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let key = keys::read_secret(&args.key)?;
    let mut bytes = files::read_channel_file(&args.file)?;
    let refused = |refusal| Error::Refused { path: args.file.clone(), refusal };
    let header = Header::parse(&bytes).map_err(refused)?;
    match sign(&mut bytes, &key) {
        Ok(()) => {}
        Err(SignError::Again) => {
            // Only if that signature is good.
            check_signature(&bytes, &key).map_err(refused)?;
            let id = key_text::format_id(key.public.id());
            cli::note(format_args!("key {id} has signed the file already; nothing was added"));
        }
        Err(SignError::Header(refusal)) => return Err(refused(refusal)),
        Err(SignError::Refused(refusal)) if refusal.code == Code::ExampleFailed => {
            return Err(example_fails(args, &bytes, refusal));
        }
        Err(source) => {
            return Err(Error::Sign { path: args.file.clone(), key: args.key.clone(), source });
        }
    }

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
    files::write(&path, &bytes, Existing::Replace, Readers::All)?;
    say!(out, "{}", path.display())
}

/// Says which example of which rule failed.
fn example_fails(args: &Args, bytes: &[u8], refusal: Refusal) -> Error {
    match FailedExample::find(bytes, &refusal) {
        Some(example) => {
            Error::ExampleFails { path: args.file.clone(), example: Box::new(example), refusal }
        }
        None => Error::Refused { path: args.file.clone(), refusal },
    }
}

fn check_signature(bytes: &[u8], key: &SecretKey) -> Result<(), Refusal> {
    let anchor = match key.public.role {
        Role::Root => Anchor::encode(&[key.public], 1, &[]),
        Role::Content => Anchor::encode(&[], 0, &[key.public]),
    }?;
    verify(bytes, &Anchor::parse(&anchor)?).map(|_| ())
}
