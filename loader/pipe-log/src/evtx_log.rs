//! Windows event logs, one chunk (64 KiB) in memory at a time.
//!
//! The parser renders a record as JSON in the event log's own shape, so that both formats take the
//! same way from there on.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use evtx::err::EvtxError;
use evtx::{EvtxChunkData, EvtxParser, EvtxRecord, IntoIterChunks, ParserSettings};

use crate::{LogError, RecordError};

const CHUNK_LEN: u64 = 1 << 16;

pub(crate) struct EvtxLog {
    chunks: IntoIterChunks<BufReader<File>>,
    settings: Arc<ParserSettings>,
    records: VecDeque<Result<String, RecordError>>,
    chunks_read: u64,
}

impl EvtxLog {
    pub(crate) fn open(path: &Path) -> Result<Self, LogError> {
        let file = File::open(path)
            .map_err(|source| LogError::Unreadable { path: path.to_owned(), source })?;
        // Attributes beside the values: `"EventID": 17` rather than an object.
        let settings =
            ParserSettings::new().num_threads(1).indent(false).separate_json_attributes(true);
        let parser = EvtxParser::from_read_seek(BufReader::new(file))
            .map_err(|error| LogError::Evtx { path: path.to_owned(), reason: chain(&error) })?
            .with_configuration(settings.clone());
        Ok(Self {
            chunks: parser.into_chunks(),
            settings: Arc::new(settings),
            records: VecDeque::new(),
            chunks_read: 0,
        })
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.chunks_read.saturating_mul(CHUNK_LEN)
    }

    /// The next record as JSON. A chunk that cannot be read is one record.
    pub(crate) fn next_record(&mut self) -> Option<Result<String, RecordError>> {
        while self.records.is_empty() {
            let chunk = self.chunks.next()?;
            self.chunks_read += 1;
            if let Err(error) = chunk.and_then(|chunk| self.read_chunk(chunk)) {
                self.records.push_back(Err(damaged(&error)));
            }
        }
        self.records.pop_front()
    }

    fn read_chunk(&mut self, mut chunk: EvtxChunkData) -> Result<(), EvtxError> {
        let number = chunk.number.unwrap_or_default();
        let mut chunk = chunk.parse(Arc::clone(&self.settings)).map_err(|source| {
            EvtxError::FailedToParseChunk { chunk_id: number, source: Box::new(source) }
        })?;
        for record in chunk.iter() {
            let json = record.and_then(EvtxRecord::into_json);
            self.records.push_back(json.map(|json| json.data).map_err(|error| damaged(&error)));
        }
        Ok(())
    }
}

fn damaged(error: &EvtxError) -> RecordError {
    RecordError::Evtx { reason: chain(error) }
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        // Some of the parser's errors already print their cause.
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
