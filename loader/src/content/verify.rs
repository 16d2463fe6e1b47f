//! `sakerctl content verify`: would the driver take this file?

use std::io::Write;
use std::path::{Path, PathBuf};

use channel_compiler::key_text;
use channel_format::control::Trust;
use channel_format::frame::Header;
use channel_format::name::ChannelName;
use channel_format::schema::SensorProfile;

use crate::content::{keys, say, time, validate};
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
    let control = args.control.as_ref().map(|path| validate::read_control(path, &anchor));
    let control = control.transpose()?;
    let bytes = files::read_channel_file(&args.file)?;
    let trust = Trust { anchor: &anchor, control: control.as_ref() };
    let accepted = validate::judge(&bytes, &SensorProfile::CURRENT, Some(&trust))
        .map_err(|obstacle| obstacle.into_error(&args.file, &bytes))?;
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
        key_text::format_id(accepted.signer.unwrap_or_default()),
        if accepted.may_block { "" } else { "not " },
    )
}

/// Says what the driver would not refuse, but its owner would want to know.
fn remark(path: &Path, header: &Header) {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if ChannelName::parse(name).is_some_and(|name| name != header.name()) {
        cli::note(format_args!("the header says that the file is {}", header.name()));
    }
    if header.expires != 0 && header.expires <= time::now() {
        cli::note(format_args!(
            "expired on {}: it would be in force, and be reported as stale",
            time::format(header.expires)
        ));
    }
}
