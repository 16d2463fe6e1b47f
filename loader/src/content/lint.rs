//! `sakerctl content lint`: what a reader of the rules would object to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use channel_compiler::lint::{self, Code, Finding, Severity};
use channel_compiler::{BuildOptions, Loaded, SourceRule, build_for, load, split};
use channel_format::schema::SensorProfile;
use miette::{MietteHandler, MietteHandlerOpts, ReportHandler};
use pipe_log::{PipeEvent, RecordError};
use serde::Serialize;

use crate::Error;
use crate::content::eval::judge;
use crate::content::inputs::Missing;
use crate::content::{say, table, unverified};
use crate::report::{count, printable};

/// Version of the JSON form.
const VERSION: u32 = 1;

/// Arguments of `lint`.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help())]
pub struct Args {
    /// Sigma rules: files, or folders that are searched for *.yml and *.yaml
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Log of a machine on which nothing happens; a rule that matches it is told
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Fail on any finding, not on errors alone
    #[arg(long)]
    pub strict: bool,
    /// Print one JSON object a finding
    #[arg(long)]
    pub json: bool,
}

fn after_help() -> String {
    let mut text = String::from(
        "Leaves with 1 if a finding is an error, with --strict if there is any, else with 0. What is \
         called impossible or implied is proven from the rules alone; what cannot be proven in a \
         bounded number of steps is not told.\n\n\
         --baseline reads a log as `eval` does: JSON lines or EVTX. The project's own is \
         tests/content/baseline.jsonl.\n\n\
         With --json each finding gives one line:\n  \
         {\"v\":1,\"code\":CODE,\"severity\":\"error\"|\"warning\"|\"note\",\"id\":ID,\"title\":TEXT,\n   \
         \"file\":PATH,\"line\":N,\"span\":{\"offset\":N,\"length\":N}|null,\"reason\":TEXT,\"remedy\":TEXT}\n\
         `line` counts from 1 and is 0 where there is no place; `span` is in bytes.\n\nCodes:",
    );
    for code in Code::ALL {
        text.push_str(&format!("\n  {:<24} {}", code.name(), code.doc()));
    }
    text
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let loaded = load(&args.paths);
    let mut findings = lint::lint(&loaded, &SensorProfile::CURRENT);
    let rules = loaded.rules.len() as u64;
    if let Some(path) = &args.baseline {
        findings.extend(on_baseline(loaded, path)?);
        lint::sort(&mut findings);
    }
    if args.json {
        for finding in &findings {
            write_line(finding, out)?;
        }
    } else {
        print(&findings, rules, out)?;
    }
    let fails = |finding: &&Finding| args.strict || finding.severity == Severity::Error;
    match findings.iter().filter(fails).count() {
        0 => Ok(()),
        failing => Err(Error::Lint { findings: failing as u64, strict: args.strict }),
    }
}

/// Rules that match events of the baseline.
fn on_baseline(loaded: Loaded, path: &Path) -> Result<Vec<Finding>, Error> {
    let reader = pipe_log::open(path)?;
    let rules = buildable(loaded.rules);
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    let options = BuildOptions { channel: 291, ..BuildOptions::default() };
    let bytes = build_for(&rules, &options, &SensorProfile::FULL)
        .map_err(|errors| Error::Rules { errors })?;
    let ruleset = unverified::ruleset(&bytes, &SensorProfile::FULL)
        .map_err(|refusal| Error::Refused { path: "(the rules, built)".into(), refusal })?;

    let mut hits: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for record in reader {
        let event = match record.body {
            Ok(event) => event,
            Err(RecordError::OtherEvent { .. }) => continue,
            // A baseline that is half read would call rules quiet that are not.
            Err(error) => {
                let reason = format!("record {}: {error}", record.index);
                return Err(Error::Baseline { path: path.to_owned(), reason });
            }
        };
        let judged = judge(&ruleset, &event, Missing::Absent);
        for rule in judged.matched.iter().filter_map(|index| ruleset.rule(*index)) {
            let hit = hits
                .entry(rule.id.to_owned())
                .or_insert_with(|| (0, describe(record.index, &event)));
            hit.0 += 1;
        }
    }
    let found = |rule: &SourceRule| {
        let (count, first) = hits.get(&rule.id)?;
        Some(Finding::on_baseline(rule, *count, first))
    };
    Ok(rules.iter().filter_map(found).collect())
}

/// The rules that can be judged, each id once. What is wrong with the others is a finding already.
fn buildable(rules: Vec<SourceRule>) -> Vec<SourceRule> {
    let mut ids = BTreeSet::new();
    let mut good = Vec::new();
    for mut rule in rules {
        // Examples that fail are no reason to leave the rule out.
        rule.examples.clear();
        let alone = Loaded { rules: vec![rule], refused: Vec::new() };
        let split = split(alone, &SensorProfile::FULL).unwrap_or_default();
        let mut new = |rule: &SourceRule| ids.insert(rule.id.to_ascii_lowercase());
        good.extend(split.rules.into_iter().filter(&mut new));
    }
    good
}

/// An event in a finding.
fn describe(index: u64, event: &PipeEvent) -> String {
    let name = match event.pipe_name.is_empty() {
        true => "<Anonymous Pipe>".to_owned(),
        false => event.pipe_name.to_string(),
    };
    let image = event.image.as_ref().map_or_else(String::new, |image| format!(" by `{image}`"));
    let time = event.time.as_ref().map_or_else(String::new, |time| format!(", {time}"));
    printable(&format!("at record {index}: `{name}` {}{image}{time}", event.operation))
}

/// One finding as JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    v: u32,
    code: &'static str,
    severity: &'static str,
    id: &'a str,
    title: &'a str,
    file: String,
    line: usize,
    span: Option<Span>,
    reason: &'a str,
    remedy: &'a str,
}

#[derive(Debug, Serialize)]
struct Span {
    offset: usize,
    length: usize,
}

fn write_line(finding: &Finding, out: &mut dyn Write) -> Result<(), Error> {
    let fault = &finding.fault;
    let line = Line {
        v: VERSION,
        code: finding.code.name(),
        severity: finding.severity.name(),
        id: &finding.id,
        title: &finding.title,
        file: fault.file.display().to_string(),
        line: fault.line,
        span: fault.span.map(|span| Span { offset: span.offset(), length: span.len() }),
        reason: &fault.reason,
        remedy: fault.help.as_deref().unwrap_or_default(),
    };
    serde_json::to_writer(&mut *out, &line).map_err(|e| Error::Output { source: e.into() })?;
    say!(out)
}

/// Each finding with its place, then the counts.
fn print(findings: &[Finding], rules: u64, out: &mut dyn Write) -> Result<(), Error> {
    // The results go to stdout; what the handler would find out of itself is about stderr.
    let seen = std::io::stdout().is_terminal();
    let color = seen && std::env::var_os("NO_COLOR").is_none();
    let handler = MietteHandlerOpts::new().color(color).wrap_lines(seen).break_words(false).build();
    for finding in findings {
        say!(out, "{}", Shown(finding, &handler))?;
    }
    if !findings.is_empty() {
        let mut counts: BTreeMap<(Severity, Code), u64> = BTreeMap::new();
        for finding in findings {
            *counts.entry((finding.severity, finding.code)).or_default() += 1;
        }
        let rows = counts.iter().map(|((severity, code), count)| {
            vec![severity.name().into(), code.name().into(), count.to_string(), code.doc().into()]
        });
        let head = ["severity", "code", "count", "meaning"];
        say!(out, "{}", table::text(&head, &["count"], rows))?;
        say!(out)?;
    }
    let of = |wanted: Severity| {
        let findings = findings.iter().filter(|finding| finding.severity == wanted);
        count(findings.count() as u64, wanted.name())
    };
    let [errors, warnings, notes] = Severity::ALL.map(of);
    say!(out, "{}: {errors}, {warnings}, {notes}", count(rules, "rule"))
}

/// A finding with the lines it is about.
struct Shown<'a>(&'a Finding, &'a MietteHandler);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.1.debug(self.0, out)
    }
}
