//! What is behind the keys that a scan finds: groups, and the criteria that are their hits.

use crate::engine::criterion::Operator;

/// Length of a group.
pub const GROUP_LEN: usize = 16;
/// No group.
pub const NO_GROUP: u32 = u32::MAX;
/// Group flag: see [`super::ANYWHERE`].
pub const FLAG_ANYWHERE: u8 = 1;
/// Bit of a hit's operator: the literal is compared as it is spelled, once it is found folded.
pub const CASED: u8 = 0x80;

/// A group of criteria with one literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// The first of its hits.
    pub first_hit: u32,
    /// The group whose key is the longest proper suffix of its own, or [`NO_GROUP`].
    pub suffix: u32,
    /// The most steps that finding it may cost.
    pub cost: u32,
    /// The literal's length in units.
    pub length: u16,
    /// How many of them are its key.
    pub key: u16,
    /// See [`FLAG_ANYWHERE`].
    pub flags: u8,
}

impl Group {
    /// Reads a record.
    #[inline]
    pub fn read(record: &[u8; GROUP_LEN]) -> Self {
        let [f0, f1, f2, flags, s0, s1, s2, s3, c0, c1, c2, c3, l0, l1, k0, k1] = *record;
        Self {
            first_hit: u32::from_le_bytes([f0, f1, f2, 0]),
            suffix: u32::from_le_bytes([s0, s1, s2, s3]),
            cost: u32::from_le_bytes([c0, c1, c2, c3]),
            length: u16::from_le_bytes([l0, l1]),
            key: u16::from_le_bytes([k0, k1]),
            flags,
        }
    }
}

/// A criterion whose key was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The criterion's index.
    pub criterion: u32,
    /// Its operator's number, and [`CASED`] if it is cased.
    pub operator: u8,
}

impl Hit {
    /// Reads a record.
    #[inline]
    pub const fn read(record: [u8; 4]) -> Self {
        let [operator, c0, c1, c2] = record;
        Self { criterion: u32::from_le_bytes([c0, c1, c2, 0]), operator }
    }

    /// Whether it holds for a literal that begins at `start`, with so many units of the text behind it,
    /// as far as a place can say.
    #[inline]
    pub(crate) fn is_placed(self, start: usize, behind: usize) -> Option<bool> {
        Some(match Operator::from_number(self.operator & !CASED)? {
            Operator::Equals => start == 0 && behind == 0,
            Operator::StartsWith => start == 0,
            Operator::EndsWith => behind == 0,
            Operator::Contains | Operator::Regex => true,
            _ => return None,
        })
    }

    /// Whether the literal is compared as it is spelled.
    #[inline]
    pub(crate) const fn is_cased(self) -> bool {
        self.operator & CASED != 0
    }

    /// Whether it is a regular expression's.
    #[inline]
    pub(crate) fn is_regex(self) -> bool {
        self.operator == Operator::Regex.number()
    }

    /// Whether it may hold wherever the key of its literal ends; `longer` says whether the literal is
    /// longer than that.
    pub(crate) fn is_anywhere(self, longer: bool) -> bool {
        match Operator::from_number(self.operator & !CASED) {
            Some(Operator::EndsWith) => longer,
            operator => matches!(operator, Some(Operator::Contains | Operator::Regex)),
        }
    }
}
