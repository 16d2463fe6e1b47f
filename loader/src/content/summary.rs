//! What a whole log came to, rule by rule.

use std::collections::BTreeMap;
use std::io::Write;

use pipe_log::{PipeEvent, RecordError};

use crate::Error;
use crate::content::say;
use crate::report::{count, printable};

/// Most images that are named for one rule.
const MAX_IMAGES: usize = 3;

/// Counts over a log.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    records: u64,
    matched: u64,
    other_events: u64,
    unreadable: u64,
    rules: BTreeMap<String, RuleCount>,
}

#[derive(Debug, Default)]
struct RuleCount {
    title: String,
    hits: u64,
    unknown: u64,
    first: Option<Seen>,
    last: Option<Seen>,
    images: BTreeMap<String, u64>,
}

/// Where and when, as far as the log says.
#[derive(Debug, Clone)]
struct Seen {
    event: u64,
    time: Option<String>,
}

impl Summary {
    /// Counts a record that gave no event.
    pub(crate) fn add_error(&mut self, error: &RecordError) {
        self.records += 1;
        match error {
            RecordError::OtherEvent { .. } => self.other_events += 1,
            _ => self.unreadable += 1,
        }
    }

    /// Counts an event.
    pub(crate) fn add_event(&mut self, matched: bool) {
        self.records += 1;
        self.matched += u64::from(matched);
    }

    /// Counts an event for a rule that matched it.
    pub(crate) fn add_hit(&mut self, id: &str, title: &str, index: u64, event: &PipeEvent) {
        let rule = self.rule(id, title);
        rule.hits += 1;
        let seen = Seen { event: index, time: event.time.as_ref().map(ToString::to_string) };
        rule.first.get_or_insert_with(|| seen.clone());
        rule.last = Some(seen);
        let image = event.image.as_ref().map_or_else(|| "(no image)".into(), ToString::to_string);
        *rule.images.entry(image).or_default() += 1;
    }

    /// Counts an event for a rule that could not be told.
    pub(crate) fn add_unknown(&mut self, id: &str, title: &str) {
        self.rule(id, title).unknown += 1;
    }

    /// Records counted, of whatever kind.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Whether any event matched.
    pub(crate) fn any_hit(&self) -> bool {
        self.matched > 0
    }

    fn rule(&mut self, id: &str, title: &str) -> &mut RuleCount {
        if !self.rules.contains_key(id) {
            let count = RuleCount { title: title.to_owned(), ..RuleCount::default() };
            self.rules.insert(id.to_owned(), count);
        }
        self.rules.entry(id.to_owned()).or_default()
    }

    /// Prints the counts, the rule with most hits first.
    pub(crate) fn print(&self, rule_count: u32, out: &mut dyn Write) -> Result<(), Error> {
        let events = self.records - self.other_events - self.unreadable;
        say!(
            out,
            "{}: {}, {} of other kinds, {} unreadable",
            count(self.records, "record"),
            count(events, "pipe event"),
            self.other_events,
            self.unreadable
        )?;
        let hit = self.rules.values().filter(|rule| rule.hits > 0).count();
        say!(
            out,
            "{} matched; {hit} of {} matched",
            count(self.matched, "event"),
            count(rule_count.into(), "rule")
        )?;

        let mut rules: Vec<_> = self.rules.iter().collect();
        rules.sort_by_key(|(_, rule)| std::cmp::Reverse((rule.hits, rule.unknown)));
        for (id, rule) in rules {
            say!(out)?;
            say!(out, "{}  {}", printable(id), printable(&rule.title))?;
            let unknown = match rule.unknown {
                0 => String::new(),
                count => format!(", {count} could not be told"),
            };
            say!(out, "  hits    {}{unknown}", rule.hits)?;
            if let (Some(first), Some(last)) = (&rule.first, &rule.last) {
                say!(out, "  first   {}", first.text())?;
                say!(out, "  last    {}", last.text())?;
            }
            rule.print_images(out)?;
        }
        Ok(())
    }
}

impl RuleCount {
    fn print_images(&self, out: &mut dyn Write) -> Result<(), Error> {
        let mut images: Vec<_> = self.images.iter().collect();
        images.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (image, count) in images.iter().take(MAX_IMAGES) {
            say!(out, "  image   {} ({count})", printable(image))?;
        }
        match images.len().saturating_sub(MAX_IMAGES) {
            0 => Ok(()),
            more => say!(out, "  image   and {more} more"),
        }
    }
}

impl Seen {
    fn text(&self) -> String {
        match &self.time {
            Some(time) => format!("event {}, {}", self.event, printable(time)),
            None => format!("event {}", self.event),
        }
    }
}
