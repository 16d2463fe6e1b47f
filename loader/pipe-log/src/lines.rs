//! Lines of bounded length, streamed.

use std::io::{BufRead, BufReader, Read};

use crate::{MAX_LINE, RecordError};

/// UTF-8's byte-order mark, which some Windows tools write first.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads line after line into one buffer. Blank lines are skipped.
pub(crate) struct Lines<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    bytes_read: u64,
    at_start: bool,
    failed: bool,
}

/// How one line ended.
enum Ended {
    Line,
    TooLong,
    File,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(1 << 16, input),
            line: Vec::new(),
            bytes_read: 0,
            at_start: true,
            failed: false,
        }
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The next line that is not blank, without white space at either end.
    pub(crate) fn next_line(&mut self) -> Option<Result<&[u8], RecordError>> {
        loop {
            if self.failed {
                return None;
            }
            let ended = match self.fill() {
                Ok(ended) => ended,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(RecordError::Io { reason: error.to_string() }));
                }
            };
            if std::mem::take(&mut self.at_start) && self.line.starts_with(BYTE_ORDER_MARK) {
                self.line.drain(..BYTE_ORDER_MARK.len());
            }
            match ended {
                Ended::TooLong => return Some(Err(RecordError::TooLong { limit: MAX_LINE })),
                Ended::File if self.line.trim_ascii().is_empty() => return None,
                Ended::Line if self.line.trim_ascii().is_empty() => {}
                Ended::Line | Ended::File => return Some(Ok(self.line.trim_ascii())),
            }
        }
    }

    /// Reads one line into `self.line`. Of a line that is too long the rest is passed over.
    fn fill(&mut self) -> std::io::Result<Ended> {
        self.line.clear();
        let mut too_long = false;
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end_of_file = available.is_empty();
            let newline = available.iter().position(|byte| *byte == b'\n');
            let (part, used) = match newline {
                Some(at) => (available.get(..at).unwrap_or_default(), at + 1),
                None => (available, available.len()),
            };
            if !too_long {
                too_long = self.line.len() + part.len() > MAX_LINE;
                if too_long {
                    self.line.clear();
                } else {
                    self.line.extend_from_slice(part);
                }
            }
            self.input.consume(used);
            self.bytes_read += used as u64;
            if newline.is_some() || end_of_file {
                return Ok(match (too_long, newline) {
                    (true, _) => Ended::TooLong,
                    (false, Some(_)) => Ended::Line,
                    (false, None) => Ended::File,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<Result<Vec<u8>, RecordError>> {
        let mut lines = Lines::new(bytes);
        std::iter::from_fn(|| lines.next_line().map(|line| line.map(<[u8]>::to_vec))).collect()
    }

    #[test]
    fn ends_of_line_blank_lines_and_byte_order_mark() {
        let read = lines(b"\xEF\xBB\xBFa\r\n\n \t\r\nb\n\xEF\xBB\xBFc");
        let expected: [&[u8]; 3] = [b"a", b"b", b"\xEF\xBB\xBFc"];
        assert_eq!(read.into_iter().map(Result::unwrap).collect::<Vec<_>>(), expected);
        assert!(lines(b"").is_empty());
        assert!(lines(b"\n\n  \n").is_empty());
    }

    #[test]
    fn a_line_at_the_bound_is_read_and_one_past_it_is_an_error_in_its_place() {
        let mut bytes = vec![b'x'; MAX_LINE];
        bytes.extend(b"\n");
        bytes.extend(vec![b'y'; MAX_LINE + 1]);
        bytes.extend(b"\nz");
        let read = lines(&bytes);
        assert_eq!(read.len(), 3);
        assert_eq!(read[0].as_ref().map(Vec::len), Ok(MAX_LINE));
        assert_eq!(read[1], Err(RecordError::TooLong { limit: MAX_LINE }));
        assert_eq!(read[2].as_deref(), Ok(b"z".as_slice()));
    }

    #[test]
    fn a_long_line_without_an_end_is_one_error() {
        assert_eq!(lines(&vec![b'x'; 3 * MAX_LINE]).len(), 1);
    }

    #[test]
    fn a_failing_read_is_the_last_record() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("pulled out"))
            }
        }
        let mut lines = Lines::new(b"a\n".chain(Broken));
        assert_eq!(lines.next_line(), Some(Ok(b"a".as_slice())));
        assert!(matches!(lines.next_line(), Some(Err(RecordError::Io { .. }))));
        assert_eq!(lines.next_line(), None);
    }
}
