//! The name of a channel file: `C-<channel:8>-<epoch:8>-<sequence:8>.sys`, decimal.
//!
//! The name is a hint to find candidates; the signed header decides what a file is.

use core::fmt;

use crate::limits::MAX_NAME_NUMBER;

/// Length of a channel file's name in characters.
pub const NAME_LEN: usize = 32;

/// What a file name claims about its file.
///
/// Orders by channel, then epoch, then sequence: within a channel the order of succession.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelName {
    /// The channel, at most 99,999,999.
    pub channel: u32,
    /// The epoch of the keys, at most 99,999,999.
    pub epoch: u32,
    /// The number of the file within its epoch, at most 99,999,999.
    pub sequence: u32,
}

impl ChannelName {
    /// Reads a name as a file system spells it; case does not matter, nothing else may differ.
    pub fn parse(name: &str) -> Option<Self> {
        Self::from_units(name.bytes().map(u16::from))
    }

    /// [`ChannelName::parse`] over UTF-16 code units.
    pub fn parse_utf16(name: &[u16]) -> Option<Self> {
        Self::from_units(name.iter().copied())
    }

    /// The name as bytes, as [`fmt::Display`] writes it, without needing a formatter.
    pub fn to_ascii(self) -> [u8; NAME_LEN] {
        let mut bytes = *b"C-00000000-00000000-00000000.sys";
        for (number, end) in [(self.channel, 9), (self.epoch, 18), (self.sequence, 27)] {
            let mut left = number;
            for place in 0..8_usize {
                let digit = u8::try_from(left.checked_rem(10).unwrap_or(0)).unwrap_or(0);
                if let Some(byte) = bytes.get_mut(end_minus(end, place)) {
                    *byte = digit.wrapping_add(b'0');
                }
                left = left.checked_div(10).unwrap_or(0);
            }
        }
        bytes
    }

    fn from_units(mut units: impl Iterator<Item = u16>) -> Option<Self> {
        letter(&mut units, b'c')?;
        let mut numbers = [0; 3];
        for number in &mut numbers {
            letter(&mut units, b'-')?;
            *number = digits(&mut units)?;
        }
        for expected in *b".sys" {
            letter(&mut units, expected)?;
        }
        let [channel, epoch, sequence] = numbers;
        units.next().is_none().then_some(Self { channel, epoch, sequence })
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "C-{:08}-{:08}-{:08}.sys", self.channel, self.epoch, self.sequence)
    }
}

fn end_minus(end: usize, place: usize) -> usize {
    end.saturating_sub(place)
}

/// Takes one unit, which must be `expected`, a lower-case ASCII character, in either case.
fn letter(units: &mut impl Iterator<Item = u16>, expected: u8) -> Option<()> {
    let found = u8::try_from(units.next()?).ok()?;
    (found.to_ascii_lowercase() == expected).then_some(())
}

/// Takes eight decimal digits.
fn digits(units: &mut impl Iterator<Item = u16>) -> Option<u32> {
    let mut number = 0_u32;
    for _ in 0..8 {
        let digit = units.next()?.checked_sub(u16::from(b'0'))?;
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u32::from(digit))?;
    }
    (number <= MAX_NAME_NUMBER).then_some(number)
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec::Vec;

    use super::*;

    const NAME: &str = "C-00000291-00000001-00000007.sys";
    const PARSED: ChannelName = ChannelName { channel: 291, epoch: 1, sequence: 7 };

    #[test]
    fn reads_a_name_in_any_case() {
        for name in [NAME, "c-00000291-00000001-00000007.SYS"] {
            assert_eq!(ChannelName::parse(name), Some(PARSED));
            let units: Vec<u16> = name.encode_utf16().collect();
            assert_eq!(ChannelName::parse_utf16(&units), Some(PARSED));
        }
    }

    #[test]
    fn refuses_a_name_cut_or_changed_at_any_place() {
        for cut in 0..NAME.len() {
            assert_eq!(ChannelName::parse(&NAME[..cut]), None);
            let mut changed = NAME.as_bytes().to_vec();
            changed[cut] = b'x';
            assert_eq!(ChannelName::parse(core::str::from_utf8(&changed).unwrap()), None);
        }
        assert_eq!(ChannelName::parse(&(NAME.to_string() + ".unsigned")), None);
        let wide: Vec<u16> = NAME.encode_utf16().map(|unit| unit | 0x100).collect();
        assert_eq!(ChannelName::parse_utf16(&wide), None, "no unit is cut to a byte");
    }

    #[test]
    fn writes_what_it_reads() {
        let extreme = ChannelName { channel: 99_999_999, epoch: 0, sequence: 10_203_040 };
        for name in [PARSED, extreme] {
            assert_eq!(ChannelName::parse(&name.to_string()), Some(name));
            assert_eq!(name.to_ascii(), name.to_string().as_bytes());
        }
    }

    #[test]
    fn orders_by_succession() {
        let older = ChannelName { sequence: 99_999_999, ..PARSED };
        let newer = ChannelName { epoch: 2, sequence: 0, ..PARSED };
        assert!(older < newer, "a raised epoch outranks every sequence of the old one");
    }
}
