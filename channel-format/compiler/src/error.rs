//! What is wrong with a rule, where, and what to do about it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceSpan};
use thiserror::Error;

/// Whose turn it is after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The rule contradicts itself or the rules of its language: only its author can mend it.
    Wrong,
    /// The rule may be right, but this compiler, the format or the sensor cannot express it.
    Unsupported,
}

/// One fault of one rule.
#[derive(Clone, Debug, Error, Diagnostic)]
#[error("{file}{line}: {reason}", file = file.display(), line = Line(*line))]
#[diagnostic(code(saker::rule))]
pub struct RuleError {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1; 0 if the fault has no place.
    pub line: usize,
    /// Whether the rule is wrong, or only not supported.
    pub kind: FaultKind,
    /// What is wrong.
    pub reason: String,
    /// The text of the file.
    #[source_code]
    source_text: NamedSource<Arc<str>>,
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

    /// A fault at a place in a file's text, given as a byte range. Faults of one file share its text.
    pub fn new(
        file: &Path,
        text: impl Into<Arc<str>>,
        span: Option<std::ops::Range<usize>>,
        reason: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let text = text.into();
        let line = match &span {
            Some(span) => text[..span.start].matches('\n').count() + 1,
            None => 0,
        };
        Self {
            file: file.to_owned(),
            line,
            kind: FaultKind::Wrong,
            reason: reason.into(),
            source_text: NamedSource::new(file.display().to_string(), text),
            span: span.map(SourceSpan::from),
            help: Some(help.into()).filter(|help: &String| !help.is_empty()),
        }
    }

    /// The same fault, as one of what is not supported.
    #[must_use]
    pub fn unsupported(self) -> Self {
        Self { kind: FaultKind::Unsupported, ..self }
    }
}

/// Writes `:line` if there is one.
struct Line(usize);

impl std::fmt::Display for Line {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(out, ":{}", self.0) }
    }
}
