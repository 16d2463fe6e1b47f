//! What whole logs came to, rule by rule.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use channel_format::ruleset::Rule;
use pipe_log::{PipeEvent, RecordError};
use serde::Serialize;

use crate::Error;
use crate::content::{say, table, time};
use crate::report::{self, count, printable};

/// Most images that are named for one rule.
const MAX_IMAGES: usize = 3;

/// What stands for an image that the log does not name.
const NO_IMAGE: &str = "(no image)";

/// Counts over logs.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    logs: Vec<String>,
    records: u64,
    matched: u64,
    other_events: u64,
    unreadable: u64,
    rules: BTreeMap<String, RuleCount>,
}

#[derive(Debug, Default)]
struct RuleCount {
    title: String,
    level: &'static str,
    hits: u64,
    unknown: u64,
    first: Option<Seen>,
    last: Option<Seen>,
    images: BTreeMap<String, u64>,
}

/// Where and when, as far as the log says.
#[derive(Debug, Clone, Serialize)]
struct Seen {
    log: String,
    event: u64,
    time: Option<String>,
    #[serde(skip)]
    sortable: Option<String>,
}

impl Summary {
    /// Begins the next log.
    pub(crate) fn begin_log(&mut self, path: &Path) {
        self.logs.push(path.display().to_string());
    }

    /// Counts a record that gave no event.
    pub(crate) fn add_error(&mut self, error: &RecordError) {
        match error {
            // The failed read is not a record.
            RecordError::Io { .. } => return,
            RecordError::OtherEvent { .. } => self.other_events += 1,
            _ => self.unreadable += 1,
        }
        self.records += 1;
    }

    /// Counts an event.
    pub(crate) fn add_event(&mut self, matched: bool) {
        self.records += 1;
        self.matched += u64::from(matched);
    }

    /// Counts an event for a rule that matched it.
    pub(crate) fn add_hit(&mut self, rule: &Rule<'_>, index: u64, event: &PipeEvent) {
        let log = self.logs.last().cloned().unwrap_or_default();
        let time = event.time.as_ref().map(ToString::to_string);
        let sortable = time.as_deref().and_then(time::sortable);
        let seen = Seen { log, event: index, time, sortable };
        let rule = self.rule(rule);
        rule.hits += 1;
        if rule.first.as_ref().is_none_or(|first| seen.is_before(first)) {
            rule.first = Some(seen.clone());
        }
        if rule.last.as_ref().is_none_or(|last| !seen.is_before(last)) {
            rule.last = Some(seen);
        }
        let image = event.image.as_ref().map_or_else(|| NO_IMAGE.into(), ToString::to_string);
        *rule.images.entry(image).or_default() += 1;
    }

    /// Counts an event for a rule that could not be told.
    pub(crate) fn add_unknown(&mut self, rule: &Rule<'_>) {
        self.rule(rule).unknown += 1;
    }

    /// Records counted, of whatever kind.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Whether any event matched.
    pub(crate) fn any_hit(&self) -> bool {
        self.matched > 0
    }

    fn rule(&mut self, rule: &Rule<'_>) -> &mut RuleCount {
        if !self.rules.contains_key(rule.id) {
            let (title, level) = (rule.title.to_owned(), rule.level.name());
            let count = RuleCount { title, level, ..RuleCount::default() };
            self.rules.insert(rule.id.to_owned(), count);
        }
        self.rules.entry(rule.id.to_owned()).or_default()
    }

    fn events(&self) -> u64 {
        self.records - self.other_events - self.unreadable
    }

    fn rules_matched(&self) -> usize {
        self.rules.values().filter(|rule| rule.hits > 0).count()
    }

    /// The rules that matched or could not be told, the one with most hits first.
    fn ranked(&self) -> Vec<(&String, &RuleCount)> {
        let mut rules: Vec<_> = self.rules.iter().collect();
        rules.sort_by_key(|(_, rule)| std::cmp::Reverse((rule.hits, rule.unknown)));
        rules
    }

    /// Prints the counts as a table.
    pub(crate) fn print(
        &self,
        rule_count: u32,
        took: Duration,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let rules = self.ranked();
        if !rules.is_empty() {
            let head = ["rule", "level", "hits", "unknown", "first", "last", "images"];
            let several = self.logs.len() > 1;
            let rows = rules.iter().map(|(id, rule)| rule.row(id, several));
            say!(out, "{}", table::text(&head, &["hits", "unknown"], rows))?;
            say!(out)?;
        }
        let logs = match self.logs.len() {
            1 => String::new(),
            logs => format!(" in {}", count(logs as u64, "log")),
        };
        say!(
            out,
            "{}{logs}: {}, {} of other kinds, {} unreadable",
            count(self.records, "record"),
            count(self.events(), "pipe event"),
            self.other_events,
            self.unreadable
        )?;
        say!(
            out,
            "{} matched; {} of {} matched",
            count(self.matched, "event"),
            self.rules_matched(),
            count(rule_count.into(), "rule")
        )?;
        let (seconds, rate) = (took.as_secs_f64(), rate(self.events(), took));
        say!(out, "took {seconds:.3} s, {rate} events a second")
    }

    /// Prints the counts as one JSON line.
    pub(crate) fn print_json(
        &self,
        rule_count: u32,
        took: Duration,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let line = Line {
            v: report::VERSION,
            summary: Totals {
                logs: &self.logs,
                records: self.records,
                events: self.events(),
                other_events: self.other_events,
                unreadable: self.unreadable,
                matched: self.matched,
                rules: rule_count,
                rules_matched: self.rules_matched(),
                seconds: took.as_secs_f64(),
                events_per_second: rate(self.events(), took),
                by_rule: self.ranked().iter().map(|(id, rule)| rule.line(id)).collect(),
            },
        };
        serde_json::to_writer(&mut *out, &line).map_err(|e| Error::Output { source: e.into() })?;
        say!(out)
    }
}

/// Events a second; 0 where no time has passed.
fn rate(events: u64, took: Duration) -> u64 {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    events.saturating_mul(1_000_000).checked_div(micros).unwrap_or(0)
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    v: u32,
    summary: Totals<'a>,
}

#[derive(Debug, Serialize)]
struct Totals<'a> {
    logs: &'a [String],
    records: u64,
    events: u64,
    other_events: u64,
    unreadable: u64,
    matched: u64,
    rules: u32,
    rules_matched: usize,
    seconds: f64,
    events_per_second: u64,
    by_rule: Vec<RuleLine<'a>>,
}

#[derive(Debug, Serialize)]
struct RuleLine<'a> {
    id: &'a str,
    title: &'a str,
    level: &'static str,
    hits: u64,
    unknown: u64,
    first: Option<&'a Seen>,
    last: Option<&'a Seen>,
    distinct_images: usize,
    images: Vec<ImageLine<'a>>,
}

#[derive(Debug, Serialize)]
struct ImageLine<'a> {
    image: &'a str,
    hits: u64,
}

impl RuleCount {
    /// Images, the one with most hits first, as many as are named.
    fn top_images(&self) -> Vec<(&String, u64)> {
        let mut images: Vec<_> = self.images.iter().map(|(image, hits)| (image, *hits)).collect();
        images.sort_by_key(|(_, hits)| std::cmp::Reverse(*hits));
        images.truncate(MAX_IMAGES);
        images
    }

    fn row(&self, id: &str, several: bool) -> Vec<String> {
        let seen =
            |seen: &Option<Seen>| seen.as_ref().map_or_else(String::new, |seen| seen.text(several));
        let mut images: Vec<String> = self
            .top_images()
            .into_iter()
            .map(|(image, hits)| format!("{} ({hits})", printable(image)))
            .collect();
        match self.images.len().saturating_sub(MAX_IMAGES) {
            0 => {}
            more => images.push(format!("and {more} more")),
        }
        vec![
            format!("{}\n{}", printable(&self.title), printable(id)),
            self.level.to_owned(),
            self.hits.to_string(),
            self.unknown.to_string(),
            seen(&self.first),
            seen(&self.last),
            images.join("\n"),
        ]
    }

    fn line<'a>(&'a self, id: &'a str) -> RuleLine<'a> {
        let images = self.top_images().into_iter().map(|(image, hits)| ImageLine { image, hits });
        RuleLine {
            id,
            title: &self.title,
            level: self.level,
            hits: self.hits,
            unknown: self.unknown,
            first: self.first.as_ref(),
            last: self.last.as_ref(),
            distinct_images: self.images.len(),
            images: images.collect(),
        }
    }
}

impl Seen {
    /// By time where both logs say it, else as they were read: then this is the later.
    fn is_before(&self, other: &Self) -> bool {
        match (&self.sortable, &other.sortable) {
            (Some(mine), Some(other)) => mine < other,
            _ => false,
        }
    }

    fn text(&self, several: bool) -> String {
        let mut text = match &self.time {
            Some(time) => format!("{}\nevent {}", printable(time), self.event),
            None => format!("event {}", self.event),
        };
        if several {
            text.push_str(" of ");
            text.push_str(&printable(&self.log));
        }
        text
    }
}
