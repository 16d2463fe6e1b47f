//! The one way to read and write a message's bytes.

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes ended inside a field.
    Short,
    /// Bytes were left over, or the length in the head is not the message's.
    Length,
    /// The kind is not one of [`crate::Kind`].
    Kind {
        /// The kind found.
        found: u16,
    },
    /// Another version of the protocol.
    Version {
        /// The version found.
        found: u16,
    },
    /// A field holds a value its type does not have.
    Value,
}

/// Reads little-endian fields from the front of a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(*head)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(u8::from_le_bytes)
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// Fails when anything is left.
    pub const fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Length) }
    }
}

/// Writes little-endian fields to the front of a slice. A write past its end is remembered
/// and reported by [`Writer::finish`], so that callers need no check after each field.
#[derive(Debug)]
pub struct Writer<'a> {
    rest: &'a mut [u8],
    overflow: bool,
}

impl<'a> Writer<'a> {
    /// Starts at the first byte of `bytes`.
    pub const fn new(bytes: &'a mut [u8]) -> Self {
        Self { rest: bytes, overflow: false }
    }

    /// Writes `N` bytes.
    pub fn array<const N: usize>(&mut self, value: [u8; N]) {
        match core::mem::take(&mut self.rest).split_first_chunk_mut::<N>() {
            Some((head, rest)) => {
                *head = value;
                self.rest = rest;
            }
            None => self.overflow = true,
        }
    }

    /// Writes one byte.
    pub fn u8(&mut self, value: u8) {
        self.array([value]);
    }

    /// Writes two bytes.
    pub fn u16(&mut self, value: u16) {
        self.array(value.to_le_bytes());
    }

    /// Writes four bytes.
    pub fn u32(&mut self, value: u32) {
        self.array(value.to_le_bytes());
    }

    /// Writes eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.array(value.to_le_bytes());
    }

    /// True when everything fitted and nothing is left unwritten.
    pub const fn finish(self) -> bool {
        !self.overflow && self.rest.is_empty()
    }
}
