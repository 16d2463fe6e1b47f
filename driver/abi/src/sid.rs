//! A security identifier as a record carries it.

use crate::wire::{Malformed, Reader, Writer};

/// The longest identifier in bytes: fifteen parts.
pub const SID_MAX: usize = 68;

/// A binary security identifier, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sid {
    bytes: [u8; SID_MAX],
    len: u8,
}

impl Sid {
    /// No identifier.
    pub const EMPTY: Self = Self { bytes: [0; SID_MAX], len: 0 };

    /// A copy of the identifier in these bytes; `None` when they are no identifier.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut sid = Self::EMPTY;
        // Its revision, the number of its parts, six bytes of authority, four a part.
        let [1, parts, ..] = bytes else { return None };
        let len = usize::from(*parts).checked_mul(4)?.checked_add(8)?;
        sid.bytes.get_mut(..len)?.copy_from_slice(bytes.get(..len)?);
        sid.len = u8::try_from(len).ok()?;
        Some(sid)
    }

    /// Its bytes; none where it is not known.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        writer.u8(self.len);
        for byte in self.bytes {
            writer.u8(byte);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let len = reader.u8()?;
        let mut bytes = [0; SID_MAX];
        for byte in &mut bytes {
            *byte = reader.u8()?;
        }
        let read =
            if len == 0 { Self::EMPTY } else { Self::new(&bytes).ok_or(Malformed::Value)? };
        // What lies behind an identifier is nobody's.
        if read.len == len && read.bytes == bytes { Ok(read) } else { Err(Malformed::Value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYSTEM: [u8; 12] = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];

    #[test]
    fn takes_an_identifier_and_leaves_what_lies_behind_it() {
        let mut longer = [0xAA; 80];
        longer[..12].copy_from_slice(&SYSTEM);
        assert_eq!(Sid::new(&longer).unwrap().bytes(), SYSTEM);
        let longest = [1, 15, 0, 0, 0, 0, 0, 5].into_iter().chain([7; 60]);
        let mut bytes = [0; SID_MAX];
        bytes.iter_mut().zip(longest).for_each(|(to, from)| *to = from);
        assert_eq!(Sid::new(&bytes).unwrap().bytes(), bytes);
    }

    #[test]
    fn refuses_what_is_none() {
        for cut in 0..SYSTEM.len() {
            assert_eq!(Sid::new(&SYSTEM[..cut]), None, "cut at {cut}");
        }
        assert_eq!(Sid::new(&[2, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]), None, "another revision");
        let mut too_long = [0; 80];
        too_long[..2].copy_from_slice(&[1, 16]);
        assert_eq!(Sid::new(&too_long), None, "sixteen parts");
    }
}
