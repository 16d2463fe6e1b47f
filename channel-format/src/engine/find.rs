//! Whether a literal stands anywhere in a text, in time linear in both and with no memory.
//!
//! Scans answer that for all criteria at once. This is for the criterion that none holds, and for
//! those of a text that holds more than there is room to keep: a search that tried every place would
//! let a name of one letter repeated cost a thousand times its length.
//!
//! It is the two-way algorithm (Crochemore and Perrin, 1991): the literal is cut where its
//! halves share no more than its period, the right half is compared forward, then the left one
//! backward, and a mismatch moves on by what has been compared, or by the period.

use super::fold::fold;
use super::literals::equals_at;
use super::{LeUnits, Units};

/// Steps a unit of the text.
pub(crate) const TEXT_STEPS: u64 = 2;
/// Steps a unit of the literal: for each of two orders its greatest suffix takes two.
pub(crate) const LITERAL_STEPS: u64 = 5;

/// True if the literal stands anywhere in the text. `None` never happens.
pub fn contains<T: Units>(literal: LeUnits<'_>, cased: bool, text: T) -> Option<bool> {
    let length = literal.count();
    let Some(last) = text.count().checked_sub(length) else {
        return Some(false);
    };
    let same = |index: usize, start: usize| {
        let unit = text.unit(start.checked_add(index)?)?;
        Some(literal.unit(index)? == if cased { unit } else { fold(unit) })
    };
    let (cut, period) = cut(literal)?;
    // If the left half comes again after the period, so does all of the literal, and what has been
    // compared before a step of a period need not be compared again behind it.
    let repeats = equals_at(LeUnits(literal.0.get(..cut)?), true, literal, period).unwrap_or(false);
    let step = if repeats { period } else { cut.max(length.checked_sub(cut)?).checked_add(1)? };
    let (mut start, mut known) = (0_usize, 0_usize);
    while start <= last {
        let mut right = cut.max(known);
        while right < length && same(right, start)? {
            right = right.checked_add(1)?;
        }
        if right < length {
            start = start.checked_add(right.checked_sub(cut)?)?.checked_add(1)?;
            known = 0;
            continue;
        }
        let mut left = cut;
        while left > known && same(left.checked_sub(1)?, start)? {
            left = left.checked_sub(1)?;
        }
        if left <= known {
            return Some(true);
        }
        start = start.checked_add(step)?;
        known = if repeats { length.checked_sub(period)? } else { 0 };
    }
    Some(false)
}

/// Where to cut a literal, and the period of what stands behind the cut.
fn cut(literal: LeUnits<'_>) -> Option<(usize, usize)> {
    let (rising, falling) = (suffix(literal, false)?, suffix(literal, true)?);
    Some(if rising.0 > falling.0 { rising } else { falling })
}

/// Where the greatest suffix of a literal begins, in the order of units or in the reverse one, and
/// its period.
fn suffix(literal: LeUnits<'_>, reverse: bool) -> Option<(usize, usize)> {
    let (mut best, mut other, mut same, mut period) = (0_usize, 1_usize, 0_usize, 1_usize);
    while let Some(unit) = literal.unit(other.checked_add(same)?) {
        let wanted = literal.unit(best.checked_add(same)?)?;
        let next = same.checked_add(1)?;
        if unit == wanted {
            if next == period {
                other = other.checked_add(period)?;
                same = 0;
            } else {
                same = next;
            }
        } else if (unit < wanted) != reverse {
            other = other.checked_add(next)?;
            same = 0;
            period = other.checked_sub(best)?;
        } else {
            best = other;
            other = other.checked_add(1)?;
            same = 0;
            period = 1;
        }
    }
    Some((best, period))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    fn both(literal: &[u16], text: &[u16]) -> (bool, bool) {
        let bytes: Vec<[u8; 2]> = literal.iter().map(|unit| unit.to_le_bytes()).collect();
        let everywhere = text.windows(literal.len()).any(|window| window == literal);
        (contains(LeUnits(&bytes), true, text).unwrap(), everywhere)
    }

    /// Every word of so many units of two letters.
    fn words(length: u32) -> impl Iterator<Item = Vec<u16>> {
        (0..1_u32 << length)
            .map(move |bits| (0..length).map(|n| 65 + (bits >> n & 1) as u16).collect())
    }

    #[test]
    fn finds_what_stands_there_and_nothing_else() {
        for literal in (1..=7).flat_map(words) {
            for text in [0, 1, 3, 6, 9, 11].into_iter().flat_map(words) {
                let (found, there) = both(&literal, &text);
                assert_eq!(found, there, "{literal:?} in {text:?}");
            }
        }
    }

    #[test]
    fn finds_long_literals_with_periods() {
        let period: Vec<u16> = (0..200).map(|n| 65 + u16::from(n % 7 == 6)).collect();
        for start in 0..60 {
            for length in [1, 6, 7, 8, 13, 14, 20, 50, 140] {
                let literal = &period[start..start + length];
                let mut text = period.clone();
                assert_eq!(both(literal, &text), (true, true));
                // One wrong unit everywhere leaves shorter ones alone.
                text.iter_mut().step_by(11).for_each(|unit| *unit = 67);
                let (found, there) = both(literal, &text);
                assert_eq!(found, there, "{length} units from {start}");
            }
        }
    }

    #[test]
    fn folds_the_text_unless_the_case_counts() {
        let literal = [[0x41, 0], [0x42, 0]];
        let text: Vec<u16> = "xaB".encode_utf16().collect();
        assert_eq!(contains(LeUnits(&literal), false, text.as_slice()), Some(true));
        assert_eq!(contains(LeUnits(&literal), true, text.as_slice()), Some(false));
    }
}
