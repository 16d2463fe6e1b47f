//! `sakerctl content digest`: what a key that is kept elsewhere has to sign.

use std::io::Write;
use std::path::{Path, PathBuf};

use channel_compiler::message;
use data_encoding::{BASE64, HEXLOWER};

use crate::content::sensor::Sensor;
use crate::content::{say, validate};
use crate::{Error, cli, files};

/// Arguments of `digest`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints the whole message, the domain prefix and the signed 512 bytes of the header, which hold the \
digest of the rest; it is signed as it is, with plain Ed25519 (not Ed25519ph). The file is validated \
first, as `sign` does: nothing leads from a file that a sensor would refuse to a signature.

With OpenSSL, on the machine that has the key:
  sakerctl content digest FILE --form raw > message
  openssl pkeyutl -sign -rawin -inkey KEY.pem -in message | base64 -w 0
  sakerctl content sign FILE --public NAME.pub --signature KEYID:BASE64

`sakerctl content keygen --public` makes NAME.pub of a public key that was made elsewhere.")]
pub struct Args {
    /// Channel file, unsigned or signed
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How it is printed: raw without a line end
    #[arg(long, value_enum, default_value = "hex")]
    pub form: Form,
    /// Sensor that has to take the file [default: the driver of this version]
    #[arg(long, value_name = "SENSOR")]
    pub sensor: Option<PathBuf>,
}

/// How bytes are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// Hexadecimal digits
    Hex,
    /// Base64
    Base64,
    /// The bytes themselves
    Raw,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let bytes = files::read_channel_file(&args.file)?;
    validated(&args.file, &bytes, args.sensor.as_deref())?;
    let message =
        message(&bytes).map_err(|source| Error::NotSigned { path: args.file.clone(), source })?;
    cli::note(format_args!("{} bytes, to be signed with Ed25519 as they are", message.len()));
    match args.form {
        Form::Hex => say!(out, "{}", HEXLOWER.encode(&message)),
        Form::Base64 => say!(out, "{}", BASE64.encode(&message)),
        Form::Raw => out.write_all(&message).map_err(|source| Error::Output { source }),
    }
}

/// The sensor that a file is signed for, once it would take the file.
///
/// # Errors
/// What it would refuse the file for.
pub fn validated(path: &Path, bytes: &[u8], sensor: Option<&Path>) -> Result<Sensor, Error> {
    let sensor = Sensor::read_or_current(sensor)?;
    validate::judge::<Vec<u8>>(bytes, &sensor.profile, None)
        .map_err(|obstacle| obstacle.into_error(path, bytes))?;
    Ok(sensor)
}
