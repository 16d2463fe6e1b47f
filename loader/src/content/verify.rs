//! `sakerctl content verify`: would the driver take this file?

use std::io::Write;
use std::path::{Path, PathBuf};

use channel_compiler::key_text;
use channel_format::anchor::Anchor;
use channel_format::control::{Control, Trust};
use channel_format::frame::{Header, verify};
use channel_format::limits::MAX_ACTIVE;
use channel_format::name::ChannelName;
use channel_format::refusal::{Code, Refusal};
use channel_format::ruleset::Ruleset;
use channel_format::schema::SensorProfile;

use crate::content::{keys, say, time};
use crate::{Error, cli, files, report};

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Checks what the driver checks, in its order and with its code: header, signatures, length, digest, \
every table, the fields that today's driver supplies, and the file's own examples. A refusal shows \
its code, the offset in the file, what was expected and found, whose fault it is and the remedy. \
Several root keys: two of them must have signed channel 0. With --control, the keys, epochs, floors \
and revocations of that file count too, as on a sensor that has it.")]
pub struct Args {
    /// Channel file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Public keys that are trusted (NAME.pub)
    #[arg(long, value_name = "PUB", required = true)]
    pub key: Vec<PathBuf>,
    /// File of channel 0 that is in force
    #[arg(long, value_name = "FILE")]
    pub control: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let anchor = keys::anchor(&args.key)?;
    let control = args.control.as_ref().map(|path| {
        let bytes = files::read_channel_file(path)?;
        control(bytes, &anchor).map_err(|refusal| Error::Refused { path: path.clone(), refusal })
    });
    let control = control.transpose()?;
    let bytes = files::read_channel_file(&args.file)?;
    let accepted = check(&bytes, &Trust { anchor: &anchor, control: control.as_ref() })
        .map_err(|refusal| Error::Refused { path: args.file.clone(), refusal })?;
    remark(&args.file, &accepted.header);

    let header = &accepted.header;
    say!(out, "{}: good", args.file.display())?;
    say!(
        out,
        "channel {}, epoch {}, sequence {}; {}; signed by {}, which may {}block",
        header.channel,
        header.epoch,
        header.sequence,
        report::count(header.rule_count.into(), "rule"),
        accepted.signer,
        if accepted.may_block { "" } else { "not " },
    )
}

/// What is known of a file that passed.
#[derive(Debug)]
pub struct Accepted {
    /// Its header.
    pub header: Header,
    /// Id of the first key that signed it.
    pub signer: String,
    /// Whether a key that may block has signed it.
    pub may_block: bool,
}

/// The file of channel 0 that a sensor with that anchor would take.
fn control(bytes: Vec<u8>, anchor: &Anchor) -> Result<Control<Vec<u8>>, Refusal> {
    let signed = verify(&bytes, anchor)?;
    if signed.header.channel != 0 {
        return Err(Refusal::new(Code::TemplateType, 24, 0, signed.header.channel.into()));
    }
    Control::parse(signed.body(bytes)?)
}

/// Every check of the driver.
///
/// # Errors
/// What it would refuse the file for.
pub fn check<B: AsRef<[u8]>>(bytes: &[u8], trust: &Trust<'_, B>) -> Result<Accepted, Refusal> {
    let signed = verify(bytes, trust)?;
    trust.admits(&signed)?;
    let accepted = Accepted {
        header: signed.header,
        signer: key_text::format_id(signed.signer),
        may_block: signed.may_block,
    };
    let verified = signed.body(bytes)?;
    match accepted.header.channel {
        0 => Control::parse(verified).map(|_| ())?,
        _ => Ruleset::parse(verified, &SensorProfile::CURRENT)?.self_test()?,
    }
    Ok(accepted)
}

/// Says what the driver would not refuse, but its owner would want to know.
fn remark(path: &Path, header: &Header) {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if ChannelName::parse(name).is_some_and(|name| name != header.name()) {
        cli::note(format_args!("the header says that the file is {}", header.name()));
    }
    if header.file_length > MAX_ACTIVE {
        cli::note(format_args!(
            "{} bytes: a sensor takes no file of more than {MAX_ACTIVE}",
            header.file_length
        ));
    }
    if header.expires != 0 && header.expires <= time::now() {
        cli::note(format_args!(
            "expired on {}: it would be in force, and be reported as stale",
            time::format(header.expires)
        ));
    }
}
