//! `sakerctl content eval`: what a channel file would have said to the events of a log.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use channel_format::frame::verify;
use channel_format::ruleset::{Rule, Ruleset};
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
Read are EventID 17 (created) and 18 (connected), PipeName, Image, ProcessId and User, and the time \
for the report. Give --events more than once to judge several logs in one run.

At the end a table says for each rule that matched, or could not be told: hits, unknowns, the first \
and the last hit (by the events' time where the logs have one), and the images with most hits.

With --json each record gives one line:
  {\"v\":1,\"event\":0,\"rules\":[\"<id>\",...],\"unknown\":[...]}
`event` counts all records of a log from 0; ids are sorted; a record of another kind, or one that \
cannot be read, has an `error` and no ids; with several logs `log` says which. Such records do not \
fail the command. The last line is the summary:
  {\"v\":1,\"summary\":{\"logs\":[PATH,...],\"records\":N,\"events\":N,\"other_events\":N,
   \"unreadable\":N,\"matched\":N,\"rules\":N,\"rules_matched\":N,\"seconds\":S,
   \"events_per_second\":N,\"by_rule\":[{\"id\":ID,\"title\":TEXT,\"level\":LEVEL,\"hits\":N,
   \"unknown\":N,\"first\":SEEN,\"last\":SEEN,\"distinct_images\":N,
   \"images\":[{\"image\":PATH,\"hits\":N},...]},...]}}
SEEN is null or {\"log\":PATH,\"event\":N,\"time\":TEXT or null}; `images` holds the three with most \
hits.

The file's digest, its tables and its bounds are checked with the driver's own code; its signature \
only where --key is given.")]
pub struct Args {
    /// Channel file, signed or unsigned
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Log to read; may be given more than once
    #[arg(long, value_name = "LOG", required = true)]
    pub events: Vec<PathBuf>,
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
    // All before the first is read: a wrong path is told at once.
    let logs = args.events.iter().map(|path| Ok((path, pipe_log::open(path)?)));
    let logs = logs.collect::<Result<Vec<_>, Error>>()?;
    let readers: Vec<&Reader> = logs.iter().map(|(_, reader)| reader).collect();
    let mut run = Run {
        ruleset: &ruleset,
        missing,
        json: args.json,
        name_log: logs.len() > 1,
        summary: Summary::default(),
        progress: progress_bar(&readers, args.json),
        broken: None,
    };
    run.logs(logs, out)
}

/// One run over some logs.
struct Run<'a> {
    ruleset: &'a Ruleset<Vec<u8>>,
    missing: Missing,
    json: bool,
    /// Whether a line must say which log it is of.
    name_log: bool,
    summary: Summary,
    progress: ProgressBar,
    /// The first log that could not be read to its end.
    broken: Option<Error>,
}

impl Run<'_> {
    fn logs(&mut self, logs: Vec<(&PathBuf, Reader)>, out: &mut dyn Write) -> Result<(), Error> {
        let started = Instant::now();
        let mut done = 0;
        for (path, reader) in logs {
            let total = reader.progress().total;
            self.log(path, reader, done, out)?;
            done += total;
        }
        let took = started.elapsed();
        self.progress.finish_and_clear();
        let rules = self.ruleset.rule_count();
        if self.json {
            self.summary.print_json(rules, took, out)?;
        } else {
            if self.summary.any_hit() {
                say!(out)?;
            }
            self.summary.print(rules, took, out)?;
        }
        self.broken.take().map_or(Ok(()), Err)
    }

    /// Judges one log; `done` bytes of others were read before.
    fn log(
        &mut self,
        path: &Path,
        mut reader: Reader,
        done: u64,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let before = self.summary.records();
        self.summary.begin_log(path);
        let log = self.name_log.then(|| path.display().to_string());
        while let Some(Record { index, body }) = reader.next() {
            match body {
                Ok(event) => self.event(index, &event, &log, out)?,
                Err(error) => {
                    self.summary.add_error(&error);
                    if self.json {
                        write_line(Line::failed(index, &error).with_log(log.clone()), out)?;
                    }
                    if let RecordError::Io { reason } = error {
                        let records = self.summary.records() - before;
                        let path = path.to_owned();
                        self.broken.get_or_insert(Error::LogBroken { path, records, reason });
                    }
                }
            }
            if index % PROGRESS_STEP == 0 {
                self.progress.set_position(done + reader.progress().done);
            }
        }
        Ok(())
    }

    fn event(
        &mut self,
        index: u64,
        event: &PipeEvent,
        log: &Option<String>,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let judged = judge(self.ruleset, event, self.missing);
        self.summary.add_event(!judged.matched.is_empty());
        let rule = |index: &u32| self.ruleset.rule(*index);
        for rule in judged.unknown.iter().filter_map(rule) {
            self.summary.add_unknown(&rule);
        }
        for rule in judged.matched.iter().filter_map(rule) {
            self.summary.add_hit(&rule, index, event);
            if !self.json {
                self.row(index, event, &rule, out)?;
            }
        }
        if self.json {
            write_line(judged.line(self.ruleset, index).with_log(log.clone()), out)?;
        }
        Ok(())
    }

    /// One hit, for people.
    fn row(
        &self,
        index: u64,
        event: &PipeEvent,
        rule: &Rule<'_>,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
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
        })
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

fn write_line(line: Line, out: &mut dyn Write) -> Result<(), Error> {
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
fn progress_bar(readers: &[&Reader], json: bool) -> ProgressBar {
    let totals: Vec<u64> = readers.iter().map(|reader| reader.progress().total).collect();
    let mixed = json && std::io::stdout().is_terminal();
    if totals.contains(&0) || mixed || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let total = totals.into_iter().sum();
    let template = "{bar:40} {percent:>3}%  {bytes} of {total_bytes}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| {
        // The template is a constant; a bar of another look is no reason to fail.
        ProgressStyle::default_bar()
    });
    let bar = ProgressBar::new(total).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
