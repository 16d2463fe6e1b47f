//! The values of an event, one after another, as TraceLogging lays them out.

use driver_abi::{Hit, Sid};

/// The identifier of nobody, S-1-0-0: an event has no room for none.
const NOBODY: [u8; 12] = [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Writes values to the front of a slice, and remembers when one does not fit. Nothing of it is
/// inlined: it is called for every field of every event.
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
        self.bytes(&[value]);
    }

    #[inline(never)]
    pub(super) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    #[inline(never)]
    pub(super) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    /// A counted string of bytes: its length in bytes, then the bytes.
    #[inline(never)]
    pub(super) fn word(&mut self, word: &str) {
        self.length(word.len());
        self.bytes(word.as_bytes());
    }

    /// A counted UTF-16 string: its length in bytes, then the units.
    #[inline(never)]
    pub(super) fn text(&mut self, units: &[u16]) {
        self.length(units.len().saturating_mul(2));
        for unit in units {
            self.bytes(&unit.to_le_bytes());
        }
    }

    /// A security identifier, which says itself how long it is.
    #[inline(never)]
    pub(super) fn sid(&mut self, sid: &Sid) {
        match sid.bytes() {
            [] => self.bytes(&NOBODY),
            known => self.bytes(known),
        }
    }

    /// An array of numbers: how many, then the numbers.
    #[inline(never)]
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
            Ok(length) => self.bytes(&length.to_le_bytes()),
            Err(_) => self.fits = false,
        }
    }

    #[inline(never)]
    fn bytes(&mut self, bytes: &[u8]) {
        match core::mem::take(&mut self.rest).split_at_mut_checked(bytes.len()) {
            Some((head, rest)) if self.fits => {
                for (to, from) in head.iter_mut().zip(bytes) {
                    *to = *from;
                }
                self.rest = rest;
                self.written = self.written.saturating_add(bytes.len());
            }
            _ => self.fits = false,
        }
    }
}
