//! Rules that a build leaves out: told on stderr, and as JSON.

use std::io::Write;

use channel_compiler::RefusedRule;
use serde::Serialize;

use crate::report::printable;

/// One rule that was left out.
#[derive(Debug, Serialize)]
pub(crate) struct Skipped<'a> {
    file: String,
    title: &'a str,
    faults: Vec<Fault<'a>>,
}

#[derive(Debug, Serialize)]
struct Fault<'a> {
    line: usize,
    reason: &'a str,
    remedy: &'a str,
}

impl<'a> Skipped<'a> {
    /// The form of a refused rule.
    pub(crate) fn of(refused: &'a RefusedRule) -> Self {
        let faults = refused.errors.iter().map(|error| Fault {
            line: error.line,
            reason: &error.reason,
            remedy: error.help.as_deref().unwrap_or_default(),
        });
        let file = refused.file.display().to_string();
        Self { file, title: &refused.title, faults: faults.collect() }
    }
}

/// Lists the rules on stderr, two lines a fault.
pub(crate) fn list(skipped: &[RefusedRule]) {
    let mut out = std::io::stderr().lock();
    for refused in skipped {
        for error in &refused.errors {
            // Nobody to tell it to is no reason to fail.
            let _ = writeln!(out, "skipped: {}", printable(&error.to_string()));
            let title = printable(&refused.title);
            let remedy = error.help.as_deref().unwrap_or("none known");
            let _ = writeln!(out, "         rule: {title}; remedy: {}", printable(remedy));
        }
    }
}
