//! `sakerctl content eval`: what a channel file would have said to the events of a log.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use channel_format::frame::verify;
use channel_format::ruleset::Ruleset;
use channel_format::schema::{SensorProfile, Truth};
use indicatif::{ProgressBar, ProgressStyle};
use pipe_log::{PipeEvent, Reader, Record, RecordError};

use crate::content::inputs::{EventInputs, Missing};
use crate::content::summary::Summary;
use crate::content::{keys, say, unverified};
use crate::report::{Line, printable};
use crate::{Error, cli, files};

/// Records between two looks at the progress.
const PROGRESS_STEP: u64 = 256;

/// Arguments of `eval`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
LOG holds JSON lines with Sysmon's names, or is an .evtx file; the content decides, not the name. \
Read are EventID 17 (created) and 18 (connected), PipeName, Image, ProcessId and User.

With --json each record gives one line:
  {\"v\":1,\"event\":0,\"rules\":[\"<id>\",...],\"unknown\":[...]}
`event` counts all records from 0; ids are sorted; a record of another kind, or one that cannot be \
read, has an `error` and no ids. Such records do not fail the command.

The file's digest, its tables and its bounds are checked with the driver's own code; its signature \
only where --key is given.")]
pub struct Args {
    /// Channel file, signed or unsigned
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Log to read
    #[arg(long, value_name = "LOG")]
    pub events: PathBuf,
    /// Print one JSON line a record
    #[arg(long)]
    pub json: bool,
    /// A field that the log does not have is absent, as Sigma engines take it (the default)
    #[arg(long, conflicts_with = "strict_unknown")]
    pub sigma_null: bool,
    /// A field that the log does not have is unknown, as the driver takes it
    #[arg(long)]
    pub strict_unknown: bool,
    /// Public keys: check the signature too
    #[arg(long, value_name = "PUB")]
    pub key: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let bytes = files::read_channel_file(&args.file)?;
    let refused = |refusal| Error::Refused { path: args.file.clone(), refusal };
    let ruleset = if args.key.is_empty() {
        cli::note("signature not checked (give --key PUB to check it)");
        unverified::ruleset(&bytes, &SensorProfile::FULL).map_err(refused)?
    } else {
        let anchor = keys::anchor(&args.key)?;
        verify(&bytes, &anchor)
            .and_then(|signed| signed.body(bytes))
            .and_then(|verified| Ruleset::parse(verified, &SensorProfile::FULL))
            .map_err(refused)?
    };
    remark_on_fields(&ruleset);
    let missing = if args.strict_unknown { Missing::Unknown } else { Missing::Absent };
    let reader = pipe_log::open(&args.events)?;
    let mut run = Run {
        ruleset: &ruleset,
        missing,
        json: args.json,
        summary: Summary::default(),
        progress: progress_bar(&reader, args.json),
    };
    run.log(args, reader, out)
}

/// One run over a log.
struct Run<'a> {
    ruleset: &'a Ruleset<Vec<u8>>,
    missing: Missing,
    json: bool,
    summary: Summary,
    progress: ProgressBar,
}

impl Run<'_> {
    fn log(&mut self, args: &Args, mut reader: Reader, out: &mut dyn Write) -> Result<(), Error> {
        let mut broken = None;
        while let Some(Record { index, body }) = reader.next() {
            match body {
                Ok(event) => self.event(index, &event, out)?,
                Err(error) => {
                    self.summary.add_error(&error);
                    if self.json {
                        write_line(&Line::failed(index, &error), out)?;
                    }
                    if let RecordError::Io { reason } = error {
                        broken = Some(reason);
                    }
                }
            }
            if index % PROGRESS_STEP == 0 {
                self.progress.set_position(reader.progress().done);
            }
        }
        self.progress.finish_and_clear();
        if !self.json {
            if self.summary.any_hit() {
                say!(out)?;
            }
            self.summary.print(self.ruleset.rule_count(), out)?;
        }
        match broken {
            None => Ok(()),
            Some(reason) => Err(Error::LogBroken {
                path: args.events.clone(),
                // The failed read is not a record.
                records: self.summary.records().saturating_sub(1),
                reason,
            }),
        }
    }

    fn event(&mut self, index: u64, event: &PipeEvent, out: &mut dyn Write) -> Result<(), Error> {
        let judged = judge(self.ruleset, event, self.missing);
        if self.json {
            return write_line(&judged.line(self.ruleset, index), out);
        }
        self.summary.add_event(!judged.matched.is_empty());
        let rule = |index: &u32| self.ruleset.rule(*index);
        for rule in judged.unknown.iter().filter_map(rule) {
            self.summary.add_unknown(rule.id, rule.title);
        }
        for rule in judged.matched.iter().filter_map(rule) {
            self.summary.add_hit(rule.id, rule.title, index, event);
            let image = event.image.as_ref().map(|image| printable(&image.to_string()));
            let row = format!(
                "{index:>7}  {:<9}  {:<32}  {}  {} [{}]",
                event.operation.to_string(),
                name(event),
                image.as_deref().unwrap_or("(no image)"),
                printable(rule.title),
                rule.level.name(),
            );
            // Asked before: the bar is locked while it is suspended.
            let seen = !self.progress.is_hidden();
            self.progress.suspend(|| {
                say!(out, "{row}")?;
                // The row must reach the terminal before the bar is drawn again.
                if seen { out.flush().map_err(output) } else { Ok(()) }
            })?;
        }
        Ok(())
    }
}

/// What a ruleset says to one event, by rule indices.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Rules that match.
    pub matched: Vec<u32>,
    /// Rules that cannot be told.
    pub unknown: Vec<u32>,
    /// Whether a rule that matches asks to block.
    pub block: bool,
}

/// Judges one event as the driver does, but for what a [`Missing`] field is.
pub fn judge<B: AsRef<[u8]>>(ruleset: &Ruleset<B>, event: &PipeEvent, missing: Missing) -> Judged {
    let mut judged = Judged::default();
    let prepared = EventInputs::new(event);
    let evaluation = ruleset.evaluate(&prepared.inputs(missing), &mut |index, truth| match truth {
        Truth::True => judged.matched.push(index),
        Truth::Unknown => judged.unknown.push(index),
        Truth::False => {}
    });
    judged.block = evaluation.block;
    judged
}

impl Judged {
    /// The line for a record.
    pub fn line<B: AsRef<[u8]>>(&self, ruleset: &Ruleset<B>, event: u64) -> Line {
        let ids = |indices: &[u32]| {
            let rules = indices.iter().filter_map(|index| ruleset.rule(*index));
            rules.map(|rule| rule.id.to_owned()).collect()
        };
        Line::judged(event, ids(&self.matched), ids(&self.unknown))
    }
}

fn write_line(line: &Line, out: &mut dyn Write) -> Result<(), Error> {
    line.write(out).map_err(output)
}

fn output(source: std::io::Error) -> Error {
    Error::Output { source }
}

fn name(event: &PipeEvent) -> String {
    if event.pipe_name.is_empty() {
        "<Anonymous Pipe>".into()
    } else {
        printable(&event.pipe_name.to_string())
    }
}

/// Content may use fields that a log has and today's driver does not.
fn remark_on_fields(ruleset: &Ruleset<Vec<u8>>) {
    let missing = ruleset.fields_used().without(SensorProfile::CURRENT.supplied);
    if let Some(field) = missing.iter().next() {
        cli::note(format_args!(
            "today's driver would refuse this file: it does not supply {}",
            field.name()
        ));
    }
}

/// A bar on stderr, where somebody can see it and it does not mix with results.
fn progress_bar(reader: &Reader, json: bool) -> ProgressBar {
    let total = reader.progress().total;
    let mixed = json && std::io::stdout().is_terminal();
    if total == 0 || mixed || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:40} {percent:>3}%  {bytes} of {total_bytes}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| {
        // The template is a constant; a bar of another look is no reason to fail.
        ProgressStyle::default_bar()
    });
    let bar = ProgressBar::new(total).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
