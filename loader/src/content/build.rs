//! `sakerctl content build`: Sigma rules to an unsigned channel file.

use std::io::Write;
use std::path::PathBuf;

use channel_compiler::{BuildOptions, Split, build, load, split};
use channel_format::frame::Header;
use channel_format::schema::SensorProfile;
use serde::Serialize;

use crate::content::skipped::{self, Skipped};
use crate::content::{say, time};
use crate::files::{self, Existing, Readers};
use crate::{Error, cli, report};

/// Version of the JSON form.
const VERSION: u32 = 1;

/// Arguments of `build`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes DIR/C-<channel>-<epoch>-<sequence>.sys.unsigned and prints its path. The same rules and \
options, with --created (or SOURCE_DATE_EPOCH) given, make the same bytes.

A rule that cannot be built fails the command, and no file is written. With --skip-unsupported a \
rule that only asks for what there is not yet (a field, a modifier, a pattern that explodes, \
another log source) is left out and listed on stderr, each with file, line, reason and remedy. A \
mistake still fails: what is no YAML, an id given twice, an example that does not hold, a selection \
that is not defined, a misspelled key of the `saker` block. So does a file that would hold no rule.

With --json one object is printed instead of the path:
  {\"v\":1,\"file\":PATH,\"bytes\":N,\"rules\":N,\"skipped\":[{\"file\":PATH,\"title\":TEXT,
   \"faults\":[{\"line\":N,\"reason\":TEXT,\"remedy\":TEXT},...]},...]}")]
pub struct Args {
    /// Channel, 1 to 99999999; 291 is named pipes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=99_999_999))]
    pub channel: u32,
    /// Number of the file within its epoch; a later file has a higher one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=99_999_999))]
    pub sequence: u32,
    /// Epoch; raised when keys are retired
    #[arg(
        long, value_name = "E", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(0..=99_999_999)
    )]
    pub epoch: u32,
    /// Sigma rules: files, or folders that are searched for *.yml and *.yaml
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    pub rules: Vec<PathBuf>,
    /// Folder for the file; its last part is made if it is missing
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// When the rules go stale: YYYY-MM-DD, or seconds since 1970 [default: never]
    #[arg(long, value_name = "WHEN", value_parser = time::parse)]
    pub expires: Option<u64>,
    /// Time of creation: YYYY-MM-DD, or seconds since 1970 [default: now]
    #[arg(long, value_name = "WHEN", value_parser = time::parse)]
    pub created: Option<u64>,
    /// Let the file hold fewer rules than the one it replaces
    #[arg(long)]
    pub shrink: bool,
    /// Leave out rules that are not supported, and list them
    #[arg(long)]
    pub skip_unsupported: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What was built.
#[derive(Debug, Serialize)]
struct Built<'a> {
    v: u32,
    file: String,
    bytes: usize,
    rules: u32,
    skipped: Vec<Skipped<'a>>,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let created = match args.created {
        Some(created) => created,
        None => source_date_epoch()?.unwrap_or_else(time::now),
    };
    if args.expires.is_some_and(|expires| expires <= created) {
        return Err(Error::Usage("--expires is not after the time of creation".into()));
    }
    let options = BuildOptions {
        channel: args.channel,
        epoch: args.epoch,
        sequence: args.sequence,
        created,
        expires: args.expires.unwrap_or(0),
        shrink: args.shrink,
    };
    let Split { rules, skipped } = rules(args)?;
    skipped::list(&skipped);
    if rules.is_empty() {
        return Err(Error::AllSkipped { count: skipped.len() as u64 });
    }
    let bytes = build(&rules, &options).map_err(|errors| Error::Rules { errors })?;

    let name = channel_format::name::ChannelName {
        channel: args.channel,
        epoch: args.epoch,
        sequence: args.sequence,
    };
    let path = args.out.join(format!("{name}.unsigned"));
    files::ensure_folder(&args.out)?;
    files::write(&path, &bytes, Existing::Replace, Readers::All)?;
    let count = Header::parse(&bytes).map_or(0, |header| header.rule_count);
    let length = bytes.len();
    cli::note(format_args!(
        "{}, {length} bytes, not signed yet",
        report::count(count.into(), "rule")
    ));
    if !skipped.is_empty() {
        let skipped = report::count(skipped.len() as u64, "rule");
        cli::note(format_args!("{skipped} skipped, listed above: the file does not hold them"));
    }
    if args.json {
        let built = Built {
            v: VERSION,
            file: path.display().to_string(),
            bytes: length,
            rules: count,
            skipped: skipped.iter().map(Skipped::of).collect(),
        };
        return print(&built, out);
    }
    say!(out, "{}", path.display())
}

/// The rules to build, and those to leave out.
fn rules(args: &Args) -> Result<Split, Error> {
    let loaded = load(&args.rules);
    let split = if args.skip_unsupported {
        split(loaded, &SensorProfile::CURRENT)
    } else {
        loaded.complete().map(|rules| Split { rules, skipped: Vec::new() })
    };
    split.map_err(|errors| Error::Rules { errors })
}

fn print(built: &Built<'_>, out: &mut dyn Write) -> Result<(), Error> {
    serde_json::to_writer(&mut *out, built).map_err(|e| Error::Output { source: e.into() })?;
    say!(out)
}

/// The time of creation that reproducible builds set.
fn source_date_epoch() -> Result<Option<u64>, Error> {
    let Ok(text) = std::env::var("SOURCE_DATE_EPOCH") else {
        return Ok(None);
    };
    let seconds = text.parse().map_err(|_| {
        Error::Usage(format!("SOURCE_DATE_EPOCH is `{text}`, which is no number of seconds"))
    })?;
    Ok(Some(seconds))
}
