//! What is wrong with a rule, where, and what to do about it.

use std::path::{Path, PathBuf};

use miette::{Diagnostic, NamedSource, SourceSpan};
use thiserror::Error;

/// One fault of one rule.
#[derive(Clone, Debug, Error, Diagnostic)]
#[error("{file}{line}: {reason}", file = file.display(), line = Line(*line))]
#[diagnostic(code(saker::rule))]
pub struct RuleError {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1; 0 if the fault has no place.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
    /// The text of the file.
    #[source_code]
    source_text: NamedSource<String>,
    /// The place.
    #[label("here")]
    pub span: Option<SourceSpan>,
    /// What to do.
    #[help]
    pub help: Option<String>,
}

impl RuleError {
    /// A fault of a whole file.
    pub fn of_file(file: &Path, reason: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(file, "", None, reason, help)
    }

    /// A fault at a place in a file's text, given as a byte range.
    pub fn new(
        file: &Path,
        text: &str,
        span: Option<std::ops::Range<usize>>,
        reason: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let line = match &span {
            Some(span) => text[..span.start].matches('\n').count() + 1,
            None => 0,
        };
        Self {
            file: file.to_owned(),
            line,
            reason: reason.into(),
            source_text: NamedSource::new(file.display().to_string(), text.to_owned()),
            span: span.map(SourceSpan::from),
            help: Some(help.into()).filter(|help: &String| !help.is_empty()),
        }
    }
}

/// Writes `:line` if there is one.
struct Line(usize);

impl std::fmt::Display for Line {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(out, ":{}", self.0) }
    }
}
