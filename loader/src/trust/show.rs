//! `sakerctl trust show`: what a file of channel 0 says.

use std::io::Write;
use std::path::PathBuf;

use channel_compiler::key_text;
use channel_format::control::Control;
use serde::Serialize;

use crate::Error;
use crate::content::{say, time, unverified};
use crate::files;
use crate::report::hex;

/// Arguments of `show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Checks no signature: that is what `sakerctl content verify` is for. A file that a sensor would \
refuse for what it says is refused here.")]
pub struct Args {
    /// File of channel 0, signed or not
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What the file says.
#[derive(Debug, Serialize)]
struct Report {
    v: u32,
    epoch: u32,
    sequence: u32,
    created: u64,
    expires: u64,
    keys: Vec<Key>,
    channels: Vec<Channel>,
    revoked: Vec<Range>,
    files: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Key {
    id: String,
    channels: [u32; 2],
    epochs: [u32; 2],
    may_block: bool,
}

#[derive(Debug, Serialize)]
struct Channel {
    channel: u32,
    least_epoch: u32,
    floor: [u32; 2],
    rules: u32,
    halted: bool,
}

#[derive(Debug, Serialize)]
struct Range {
    channel: u32,
    epoch: u32,
    through: u32,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let bytes = files::read_channel_file(&args.file)?;
    let refused = |refusal| Error::Refused { path: args.file.clone(), refusal };
    let control = unverified::control(&bytes).map_err(refused)?;
    let report = Report::of(&control);
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &report)
            .map_err(|error| Error::Output { source: error.into() })?;
        return say!(out);
    }
    print(&report, out)
}

impl Report {
    fn of(control: &Control<Vec<u8>>) -> Self {
        let header = control.header();
        Self {
            v: 1,
            epoch: header.epoch,
            sequence: header.sequence,
            created: header.created,
            expires: header.expires,
            keys: control
                .keys()
                .map(|key| Key {
                    id: key_text::format_id(key.key.id()),
                    channels: [key.key.first_channel, key.key.last_channel],
                    epochs: [key.first_epoch, key.last_epoch],
                    may_block: key.key.may_block,
                })
                .collect(),
            channels: control
                .channels()
                .map(|rule| Channel {
                    channel: rule.channel,
                    least_epoch: rule.least_epoch,
                    floor: [rule.floor.0, rule.floor.1],
                    rules: rule.rules,
                    halted: rule.halted,
                })
                .collect(),
            revoked: control
                .ranges()
                .map(|range| Range {
                    channel: range.channel,
                    epoch: range.epoch,
                    through: range.through,
                })
                .collect(),
            files: control.files().map(|file| hex(&file.0)).collect(),
        }
    }
}

fn print(report: &Report, out: &mut dyn Write) -> Result<(), Error> {
    say!(out, "UNVERIFIED: no signature was checked (`sakerctl content verify` does)")?;
    let expires = match report.expires {
        0 => "never".to_owned(),
        expires => time::format(expires),
    };
    say!(
        out,
        "channel 0, epoch {}, sequence {}; created {}; goes stale: {expires}",
        report.epoch,
        report.sequence,
        time::format(report.created)
    )?;
    for key in &report.keys {
        let [first, last] = key.channels;
        let [from, to] = key.epochs;
        let may = if key.may_block { "may block" } else { "may only report" };
        say!(out, "key {}: channels {first}-{last}, epochs {from}-{to}, {may}", key.id)?;
    }
    for channel in &report.channels {
        let [epoch, sequence] = channel.floor;
        let halted = if channel.halted { "; HALTED: nothing new comes in" } else { "" };
        say!(
            out,
            "channel {}: epoch {} at least, nothing before {epoch}-{sequence}, {} rules at \
             least{halted}",
            channel.channel,
            channel.least_epoch,
            channel.rules
        )?;
    }
    for range in &report.revoked {
        let Range { channel, epoch, through } = range;
        say!(out, "revoked: channel {channel}, epoch {epoch}, up to sequence {through}")?;
    }
    for file in &report.files {
        say!(out, "revoked: file {file}")?;
    }
    Ok(())
}
