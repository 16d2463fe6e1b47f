//! The one way to read bytes: a cursor that checks every length and knows where it is.
//!
//! All numbers are little-endian. A read past the end is a [`Refusal`] that carries the offset
//! from the start of the file and what was wanted, never a panic.

use crate::refusal::{Code, Refusal};

/// A cursor over a part of a file.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    offset: u32,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`, which start at `offset` of the file.
    pub const fn new(bytes: &'a [u8], offset: u32) -> Self {
        Self { rest: bytes, offset }
    }

    /// Where the next byte lies in the file.
    pub const fn offset(&self) -> u32 {
        self.offset
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// True if every byte has been read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(self.short(count));
        };
        self.advance(count, rest);
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Refusal> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.short(N));
        };
        self.advance(N, rest);
        Ok(taken)
    }

    /// A cursor over the next `count` bytes, which this cursor then has passed.
    pub fn sub(&mut self, count: usize) -> Result<Reader<'a>, Refusal> {
        let offset = self.offset;
        Ok(Reader::new(self.take(count)?, offset))
    }

    /// The next byte.
    pub fn u8(&mut self) -> Result<u8, Refusal> {
        let [byte] = self.array::<1>()?;
        Ok(*byte)
    }

    /// The next two bytes as a number.
    pub fn u16(&mut self) -> Result<u16, Refusal> {
        Ok(u16::from_le_bytes(*self.array()?))
    }

    /// The next four bytes as a number.
    pub fn u32(&mut self) -> Result<u32, Refusal> {
        Ok(u32::from_le_bytes(*self.array()?))
    }

    /// The next eight bytes as a number.
    pub fn u64(&mut self) -> Result<u64, Refusal> {
        Ok(u64::from_le_bytes(*self.array()?))
    }

    /// The next `count` bytes, all of which must be zero: reserved for a later version.
    pub fn zeros(&mut self, count: usize) -> Result<(), Refusal> {
        let offset = self.offset;
        let reserved = self.take(count)?;
        if reserved.iter().fold(0, |seen, byte| seen | byte) == 0 {
            return Ok(());
        }
        let position = reserved.iter().position(|byte| *byte != 0).unwrap_or(0);
        let found = reserved.get(position).copied().unwrap_or(0);
        let offset = offset.saturating_add(u32::try_from(position).unwrap_or(u32::MAX));
        Err(Refusal::new(Code::ReservedNotZero, offset, 0, found.into()))
    }

    /// Ends the reading: bytes that are left are trailing bytes, which the format does not allow.
    pub fn finish(self) -> Result<(), Refusal> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let left = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        Err(Refusal::new(Code::TrailingBytes, self.offset, 0, left))
    }

    fn advance(&mut self, count: usize, rest: &'a [u8]) {
        self.rest = rest;
        self.offset = self.offset.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
    }

    fn short(&self, wanted: usize) -> Refusal {
        let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
        let left = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        Refusal::new(Code::LengthOutOfRange, self.offset, wanted, left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_little_endian() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 0];
        let mut reader = Reader::new(&bytes, 100);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(0x0302));
        assert_eq!(reader.u32(), Ok(0x0706_0504));
        assert_eq!(reader.u64(), Ok(0x0f0e_0d0c_0b0a_0908));
        assert_eq!(reader.offset(), 115);
        assert_eq!(reader.zeros(2), Ok(()));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn refuses_short_at_every_length() {
        for length in 0..8 {
            let bytes = [0; 8];
            let mut reader = Reader::new(&bytes[..length], 7);
            let refusal = reader.u64().unwrap_err();
            assert_eq!(refusal, Refusal::new(Code::LengthOutOfRange, 7, 8, length as u64));
            assert_eq!(reader.offset(), 7, "a refused read takes nothing");
        }
    }

    #[test]
    fn refuses_reserved_and_trailing_bytes() {
        let mut reader = Reader::new(&[0, 0, 5, 1], 10);
        assert_eq!(
            reader.zeros(3),
            Err(Refusal::new(Code::ReservedNotZero, 12, 0, 5)),
            "the offset is that of the first byte that is not zero"
        );
        assert_eq!(reader.finish(), Err(Refusal::new(Code::TrailingBytes, 13, 0, 1)));
    }

    #[test]
    fn sub_reader_keeps_file_offsets() {
        let mut reader = Reader::new(&[1, 2, 3, 4], 50);
        reader.u8().unwrap();
        let mut inner = reader.sub(2).unwrap();
        assert_eq!((inner.offset(), reader.offset()), (51, 53));
        assert_eq!(inner.u16(), Ok(0x0302));
        assert_eq!(inner.finish(), Ok(()));
    }
}
