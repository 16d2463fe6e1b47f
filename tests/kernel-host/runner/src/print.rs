//! What a replay tells people.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

use channel_format::name::ChannelName;
use channel_format::refusal::{Code, Refusal};
use driver_abi::{Mode, Stage, Status, Verdict};
use loader::report::Line;
use pipe_log::Record;

use crate::replay::RuleName;
use crate::rig::{Judged, Rig};

/// Columns for a pipe's name; a longer one pushes the rest of its line to the right.
const NAME_WIDTH: usize = 42;

/// The driver runs.
pub fn booted(rig: &Rig, driver: &Path, mode: Mode) -> String {
    let mode = match mode {
        Mode::Observe => "observe",
        Mode::Enforce => "enforce",
    };
    let size = rig.image_size().div_ceil(1024);
    format!("{} booted in the kernel host: {size} KB image, mode {mode}", driver.display())
}

/// The content in force.
pub fn in_force(status: &Status, files: usize) -> String {
    let stage = match status.stage {
        Stage::None => return format!("nothing is in force; {files} files were offered"),
        Stage::Trial => "on trial",
        Stage::Good => "good",
    };
    let name = name(status.epoch, status.sequence);
    let rights = if status.may_block { "may block" } else { "may not block" };
    format!("{name} is in force: {} rules, {stage}; its key {rights}", status.rules)
}

/// The refusal that stands.
pub fn refused(status: &Status) -> String {
    let note = &status.refusal;
    let name = name(note.epoch, note.sequence);
    match Code::ALL.iter().find(|code| code.number() == note.code) {
        Some(code) => {
            let refusal = Refusal::new(*code, note.offset, note.expected, note.found);
            format!("{name} was refused by the driver: {refusal}\n  remedy: {}", code.remedy())
        }
        None => format!(
            "{name} was not taken by the driver: {} (status {:#010x})\n  remedy: {}",
            note.cause.name(),
            note.host_status,
            note.cause.remedy()
        ),
    }
}

fn name(epoch: u32, sequence: u32) -> ChannelName {
    ChannelName { channel: 291, epoch, sequence }
}

/// One line for each record but those that were allowed.
pub fn record(
    out: &mut impl Write,
    record: &Record,
    line: &Line,
    rules: &[RuleName],
) -> io::Result<()> {
    let index = record.index;
    let (Ok(event), Some(verdict)) = (&record.body, line.verdict) else {
        let error = line.error.as_deref().unwrap_or_default();
        return writeln!(out, "{index:>7}  {}  {error}", Coloured::verdict(None));
    };
    if verdict == Verdict::Allow {
        return Ok(());
    }
    let verdict = Coloured::verdict(Some(verdict));
    let image = event.image.as_ref().map_or("(unknown image)".to_owned(), ToString::to_string);
    let pipe = loader::report::printable(&event.pipe_name.to_string());
    write!(out, "{index:>7}  {verdict}  {pipe:<NAME_WIDTH$}")?;
    for (ids, mark) in [(&line.rules, ""), (&line.unknown, "?")] {
        for id in ids {
            let rule = rules.iter().find(|rule| rule.id == *id);
            write!(out, "  {}{mark}", rule.map_or(id.as_str(), |rule| rule.title.as_str()))?;
        }
    }
    writeln!(out, "  [{}]", loader::report::printable(&image))
}

/// What a replay came to.
#[derive(Debug, Default)]
pub struct Summary {
    events: u64,
    /// Records that gave no event.
    pub unreadable: u64,
    verdicts: BTreeMap<&'static str, u64>,
    rules: BTreeMap<String, u64>,
    deepest_stack: usize,
}

impl Summary {
    /// Counts one event.
    pub fn count(&mut self, line: &Line, judged: &Judged) {
        self.events += 1;
        *self.verdicts.entry(judged.verdict.name()).or_default() += 1;
        for rule in &line.rules {
            *self.rules.entry(rule.clone()).or_default() += 1;
        }
        self.deepest_stack = self.deepest_stack.max(judged.stack_used);
    }

    /// Writes it: verdicts, then hits by rule, most first.
    pub fn write(&self, out: &mut impl Write, rules: &[RuleName]) -> io::Result<()> {
        write!(out, "\n{} events", self.events)?;
        for (verdict, count) in &self.verdicts {
            write!(out, ", {count} {verdict}")?;
        }
        if self.unreadable > 0 {
            write!(out, "; {} records gave no event", self.unreadable)?;
        }
        writeln!(out, "; the callback used {} bytes of stack at most", self.deepest_stack)?;
        let mut hits: Vec<(&String, &u64)> = self.rules.iter().collect();
        hits.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (id, count) in hits {
            let title = rules.iter().find(|rule| rule.id == *id).map(|rule| rule.title.as_str());
            writeln!(out, "{count:>7}  {}", title.unwrap_or(id))?;
        }
        Ok(())
    }
}

/// A word of fixed width, coloured on a terminal.
struct Coloured(&'static str, &'static str);

impl Coloured {
    const fn verdict(verdict: Option<Verdict>) -> Self {
        match verdict {
            Some(verdict @ Verdict::Block) => Self(verdict.name(), "31;1"),
            Some(verdict @ Verdict::Detect) => Self(verdict.name(), "33"),
            Some(verdict @ (Verdict::Unknown | Verdict::Exempt)) => Self(verdict.name(), "35"),
            Some(verdict) => Self(verdict.name(), "0"),
            None => Self("no event", "2"),
        }
    }
}

impl Display for Coloured {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(word, colour) = self;
        if io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
            write!(formatter, "\x1b[{colour}m{word:<9}\x1b[0m")
        } else {
            write!(formatter, "{word:<9}")
        }
    }
}
