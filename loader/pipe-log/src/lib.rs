//! Reads named-pipe events from logs: Sysmon's events 17 (pipe created) and 18 (pipe connected).
//!
//! # Formats
//!
//! [`open`] looks at the content, never at the file's name:
//!
//! * **EVTX** (begins with `ElfFile\0`): a Windows event log, read by the crate `evtx`.
//! * **JSON lines** (everything else): one object a line, UTF-8, `\n` or `\r\n`, with or without a
//!   byte-order mark. A blank line is no record. A line may hold [`MAX_LINE`] bytes.
//!
//! A JSON object may be flat (`{"EventID": 17, "PipeName": …}`), in the event log's own shape
//! (`{"Event": {"System": {"EventID": 17}, "EventData": {…}}}`, as `evtx_dump` and Chainsaw write
//! it), or in Winlogbeat's (`{"winlog": {"event_id": "17", "event_data": {…}}}`).
//!
//! # Keys
//!
//! | key | value | note |
//! |---|---|---|
//! | `EventID` | 17 created, 18 connected; number or string | without it, `EventType` (`CreatePipe`, `ConnectPipe`) decides |
//! | `PipeName` | text, with its leading `\` | needed; `<Anonymous Pipe>` is the empty name |
//! | `Image` | text | may be missing or null |
//! | `ProcessId` | number, or decimal or `0x` text | missing, null, empty and `-` mean "not in the log" |
//! | `User` | text, `DOMAIN\name` | may be missing or null |
//! | `UtcTime` | text | only for reports; without it `TimeCreated` (its `SystemTime`), then `@timestamp` |
//!
//! Sysmon does not log the other inputs of the `Ipc` schema. A log that has them uses these keys
//! (a number may be text, decimal or `0x`; a flag is `true`, `false`, 0 or 1):
//!
//! | schema field | key, or alias | value |
//! |---|---|---|
//! | ParentImage | `ParentImage` | text |
//! | User | `UserSid` | text, `S-1-5-18`; goes before `User` |
//! | Integrity | `IntegrityLevel`, `Integrity` | `Untrusted`, `Low`, `Medium`, `High`, `System`, or the level's number (8192 is medium) |
//! | Elevation | `Elevated`, `Elevation` | flag |
//! | Session | `SessionId`, `TerminalSessionId` | number |
//! | RemoteOrigin | `RemoteOrigin` | flag |
//! | Impersonating | `Impersonating` | flag |
//! | DesiredAccess | `DesiredAccess` | number |
//! | CreateOptions | `CreateOptions` | number |
//! | Disposition | `CreateDisposition`, `Disposition` | number: 1 open, 2 create, 3 open or create |
//! | Direction | `PipeDirection`, `Direction` | `Inbound`, `Outbound`, `Duplex`, or 0 to 2 |
//! | PipeType | `PipeType` | `Byte`, `Message`, or 0 to 1 |
//! | ReadMode | `ReadMode` | `Byte`, `Message`, or 0 to 1 |
//! | RejectRemote | `RejectRemote`, `RejectRemoteClients` | flag |
//! | MaxInstances | `MaxInstances`, `MaximumInstances` | number |
//! | InboundQuota, OutboundQuota | `InboundQuota`, `OutboundQuota` | bytes |
//! | DefaultTimeout | `DefaultTimeout` | number, units of 100 ns |
//!
//! All other keys are ignored. A key that is read must not occur twice in an object.
//!
//! # Guarantees
//!
//! * Every record of the file gives one [`Record`], in order, and `index` counts all of them: one
//!   that is no pipe event, or that cannot be read, is an `Err` in its place and the run goes on.
//! * Nothing panics, whatever the bytes; memory is bounded by [`MAX_LINE`] (or one EVTX chunk).
//! * Text keeps lone surrogates (`"\ud800"` in JSON), since the kernel's names may have them.

mod error;
mod event;
mod evtx_log;
mod json;
mod lines;
mod wide;

pub use crate::error::{LogError, RecordError};
pub use crate::event::{Key, Operation, PipeEvent, Value};
pub use crate::wide::Wide;

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

/// Most bytes that one line may hold. Sysmon's pipe events are below 2 KiB; an event log record
/// cannot pass 64 KiB, and JSON escapes may make six bytes of one.
pub const MAX_LINE: usize = 1 << 20;

/// The first eight bytes of every EVTX file.
const EVTX_MAGIC: &[u8; 8] = b"ElfFile\0";

/// One record of a log, readable or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Position among all records of the log, from 0.
    pub index: u64,
    /// The event, or why this record gives none.
    pub body: Result<PipeEvent, RecordError>,
}

/// How far a [`Reader`] is, in bytes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read.
    pub done: u64,
    /// Bytes in the file; 0 where that is not known (a pipe).
    pub total: u64,
}

/// The records of one log. See [`open`].
pub struct Reader {
    source: Source,
    next_index: u64,
    total: u64,
}

enum Source {
    Lines(lines::Lines<std::io::Chain<Cursor<Vec<u8>>, File>>),
    Evtx(Box<evtx_log::EvtxLog>),
}

/// Opens a log of either format.
///
/// Fails only where there is nothing to read records from: no such file, a folder, UTF-16 text, an
/// event log whose header is damaged.
pub fn open(path: &Path) -> Result<Reader, LogError> {
    let unreadable = |source| LogError::Unreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let total = match file.metadata() {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => 0,
    };
    // Read, not sought, so that a log may come from a pipe.
    let mut start = Vec::with_capacity(EVTX_MAGIC.len());
    let limit = EVTX_MAGIC.len() as u64;
    (&mut file).take(limit).read_to_end(&mut start).map_err(unreadable)?;

    let source = if start == EVTX_MAGIC {
        Source::Evtx(Box::new(evtx_log::EvtxLog::open(path)?))
    } else if start.starts_with(&[0xFF, 0xFE]) || start.starts_with(&[0xFE, 0xFF]) {
        return Err(LogError::Utf16 { path: path.to_owned() });
    } else {
        Source::Lines(lines::Lines::new(Cursor::new(start).chain(file)))
    };
    Ok(Reader { source, next_index: 0, total })
}

impl Reader {
    /// How much of the file has been read.
    pub fn progress(&self) -> Progress {
        let done = match &self.source {
            Source::Lines(lines) => lines.bytes_read(),
            Source::Evtx(log) => log.bytes_read(),
        };
        Progress { done, total: self.total }
    }
}

impl Iterator for Reader {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let body = match &mut self.source {
            Source::Lines(lines) => lines.next_line()?.and_then(json::event),
            Source::Evtx(log) => log.next_record()?.and_then(|text| json::event(text.as_bytes())),
        };
        let index = self.next_index;
        self.next_index += 1;
        Some(Record { index, body })
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let format = match self.source {
            Source::Lines(_) => "JSON lines",
            Source::Evtx(_) => "EVTX",
        };
        f.debug_struct("Reader")
            .field("format", &format)
            .field("next_index", &self.next_index)
            .finish_non_exhaustive()
    }
}
