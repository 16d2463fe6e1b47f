//! Why a log, or one record of it, cannot be read.

use std::path::PathBuf;

use thiserror::Error;

/// A log that gives no records at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LogError {
    /// The file cannot be opened or read.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// The log.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is UTF-16 text, as PowerShell's `>` writes it.
    #[error("{}: is UTF-16 text; JSON lines are UTF-8", path.display())]
    Utf16 {
        /// The log.
        path: PathBuf,
    },
    /// The file begins as an event log does, but its header is damaged.
    #[error("{}: is a damaged event log: {reason}", path.display())]
    Evtx {
        /// The log.
        path: PathBuf,
        /// What the EVTX parser says.
        reason: String,
    },
}

impl LogError {
    /// What the user can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "give a readable file of JSON lines, or an .evtx file",
            Self::Utf16 { .. } => {
                "convert it, for example: iconv -f UTF-16 -t UTF-8 LOG > LOG.jsonl"
            }
            Self::Evtx { .. } => {
                "export the log again, for example: wevtutil epl \
                 Microsoft-Windows-Sysmon/Operational sysmon.evtx"
            }
        }
    }
}

/// A record that gives no event; the records after it are not affected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// An event of another kind.
    #[error("event {event_id} is not a named-pipe event (17 or 18)")]
    OtherEvent {
        /// The record's `EventID`.
        event_id: u64,
    },
    /// Neither `EventID` nor a usable `EventType`.
    #[error("no EventID")]
    NoEventId,
    /// A pipe event without a name.
    #[error("no PipeName")]
    NoPipeName,
    /// A value that its key does not allow.
    #[error("{key} is {found}, expected {expected}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// What the record has, shortened.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A key that is read occurs twice in one object.
    #[error("{key} is given twice")]
    GivenTwice {
        /// The key.
        key: &'static str,
    },
    /// The line is not JSON.
    #[error("not JSON: {reason} (column {column})")]
    NotJson {
        /// What the JSON parser says.
        reason: String,
        /// Where, in bytes from 1.
        column: usize,
    },
    /// The line is JSON, but not an object.
    #[error("{found} where an object is expected (one object a line)")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// The line is not UTF-8.
    #[error("not UTF-8 (byte {offset} of the line)")]
    NotUtf8 {
        /// Where in the line, from 0.
        offset: usize,
    },
    /// The line is longer than [`MAX_LINE`](crate::MAX_LINE).
    #[error("line of more than {limit} bytes")]
    TooLong {
        /// The bound.
        limit: usize,
    },
    /// The event log's record is damaged.
    #[error("damaged event log: {reason}")]
    Evtx {
        /// What the EVTX parser says.
        reason: String,
    },
    /// Reading failed; this is the last record.
    #[error("reading failed: {reason}")]
    Io {
        /// What the system says.
        reason: String,
    },
}
