//! Why a task stopped.

use std::io;
use std::path::{Path, PathBuf};

/// Why a task stopped. The text says what to do about it where that is known.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file operation failed.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// Its name.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program ran and failed; `tail` holds the end of what it printed.
    #[error("{step} failed ({command})\n{tail}")]
    Program {
        /// What was being done.
        step: String,
        /// The command line.
        command: String,
        /// The end of its output.
        tail: String,
    },
    /// Tools are missing and could not be installed.
    #[error("{0}")]
    MissingTools(String),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// A closure that says which file an error was about, for `map_err`.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Failure + use<'_> {
        move |source| Failure::File { path: path.to_owned(), source }
    }
}
