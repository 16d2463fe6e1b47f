//! The values of an event, one after another, as TraceLogging lays them out.

use driver_abi::Hit;

/// Writes values to the front of a slice, and remembers when one does not fit.
pub(super) struct Payload<'a> {
    rest: &'a mut [u8],
    written: usize,
    fits: bool,
}

impl<'a> Payload<'a> {
    pub(super) const fn new(out: &'a mut [u8]) -> Self {
        Self { rest: out, written: 0, fits: true }
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.array([value]);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.array(value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.array(value.to_le_bytes());
    }

    /// A counted string of bytes: its length in bytes, then the bytes.
    pub(super) fn word(&mut self, word: &str) {
        self.length(word.len());
        for byte in word.bytes() {
            self.u8(byte);
        }
    }

    /// A counted UTF-16 string: its length in bytes, then the units.
    pub(super) fn text(&mut self, units: &[u16]) {
        self.length(units.len().saturating_mul(2));
        for unit in units {
            self.array(unit.to_le_bytes());
        }
    }

    /// An array of numbers: how many, then the numbers.
    pub(super) fn rules(&mut self, hits: &[Hit]) {
        self.length(hits.len());
        for hit in hits {
            self.u32(hit.rule);
        }
    }

    /// The bytes written; `None` when something did not fit.
    pub(super) const fn finish(self) -> Option<usize> {
        if self.fits { Some(self.written) } else { None }
    }

    fn length(&mut self, length: usize) {
        match u16::try_from(length) {
            Ok(length) => self.array(length.to_le_bytes()),
            Err(_) => self.fits = false,
        }
    }

    fn array<const N: usize>(&mut self, value: [u8; N]) {
        match core::mem::take(&mut self.rest).split_first_chunk_mut::<N>() {
            Some((head, rest)) if self.fits => {
                *head = value;
                self.rest = rest;
                self.written = self.written.saturating_add(N);
            }
            _ => self.fits = false,
        }
    }
}
