//! Comparing as NT compares: upcased UTF-16 code units, by a fixed table.
//!
//! The table is that of the simple upper-case mappings of Unicode within the basic plane, unit by
//! unit, so no text changes its length and surrogates stand for themselves. [`EXCEPTIONS`] lists
//! the units that Unicode maps and this table does not: NT's own table leaves them alone, since
//! it maps back and forth, or predates the mapping. This list is to be compared with
//! `RtlUpcaseUnicodeChar` on a Windows machine before format version 1 freezes it.

use super::fold_table::{DELTAS, PAGE_OF};

/// Ranges of units, both ends included, that Unicode upcases and this table leaves alone.
pub const EXCEPTIONS: &[(u16, u16)] = &[
    (0x00b5, 0x00b5), // micro sign: would become a Greek letter
    (0x0131, 0x0131), // dotless i: would become an ASCII letter
    (0x017f, 0x017f), // long s: would become an ASCII letter
    (0x01c5, 0x01c5), // titlecase digraphs: not lower case
    (0x01c8, 0x01c8),
    (0x01cb, 0x01cb),
    (0x01f2, 0x01f2),
    (0x0345, 0x0345), // combining iota
    (0x03d0, 0x03d1), // Greek symbols, variants of letters
    (0x03d5, 0x03d6),
    (0x03f0, 0x03f1),
    (0x03f5, 0x03f5),
    (0x10d0, 0x10fa), // Georgian: capitals came with Unicode 11
    (0x10fd, 0x10ff),
    (0x13f8, 0x13fd), // Cherokee: small letters came with Unicode 8
    (0x1e9b, 0x1e9b), // long s with dot
    (0x1fbe, 0x1fbe), // prosgegrammeni
    (0xab70, 0xabbf), // Cherokee
];

/// The unit that `unit` compares as.
#[inline]
pub fn fold(unit: u16) -> u16 {
    if unit < 0x80 {
        let lower = unit.wrapping_sub(0x61) < 26;
        return if lower { unit.wrapping_sub(0x20) } else { unit };
    }
    fold_beyond_ascii(unit)
}

#[cold]
#[inline(never)]
fn fold_beyond_ascii(unit: u16) -> u16 {
    let [low, high] = unit.to_le_bytes();
    let page = PAGE_OF.get(usize::from(high)).copied().unwrap_or(0);
    let delta = DELTAS.get(usize::from(page)).and_then(|page| page.get(usize::from(low)));
    unit.wrapping_add(delta.copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn excepted(unit: u16) -> bool {
        EXCEPTIONS.iter().any(|(first, last)| (*first..=*last).contains(&unit))
    }

    #[test]
    fn agrees_with_unicode_but_for_the_exceptions() {
        for unit in 0..=u16::MAX {
            let Some(letter) = char::from_u32(unit.into()) else {
                assert_eq!(fold(unit), unit, "surrogates stand for themselves");
                continue;
            };
            let upper: Vec<char> = letter.to_uppercase().collect();
            let simple = match upper.as_slice() {
                [one] => u16::try_from(u32::from(*one)).ok(),
                // Several letters: Unicode's simple mapping is then none, or a titlecase letter.
                _ => None,
            };
            if excepted(unit) {
                assert_eq!(fold(unit), unit, "{unit:#06x} is left alone");
            } else if fold(unit) != unit && upper.len() == 1 {
                assert_eq!(Some(fold(unit)), simple, "{unit:#06x}");
            }
            // Only letters newer than the table's Unicode may be mapped there and not here.
            if let (true, Some(simple)) = (fold(unit) == unit && !excepted(unit), simple) {
                let newer = [0x019b, 0x0264, 0x1c8a].contains(&unit) || unit >= 0xa7c0;
                assert!(simple == unit || newer, "{unit:#06x}");
            }
        }
    }

    #[test]
    fn folding_twice_is_folding_once() {
        assert!((0..=u16::MAX).all(|unit| fold(fold(unit)) == fold(unit)));
    }

    #[test]
    fn folds_what_nt_folds() {
        for (lower, upper) in
            [('a', 'A'), ('z', 'Z'), ('é', 'É'), ('ÿ', 'Ÿ'), ('ς', 'Σ'), ('я', 'Я')]
        {
            assert_eq!(fold(lower as u16), upper as u16);
        }
        assert_eq!(fold(0x1f80), 0x1f88, "a letter whose full mapping is two letters");
        for alone in ['ß', 'İ', 'ı', 'ſ', 'µ', 'ǅ', '@', '[', '`', '{'] {
            assert_eq!(fold(alone as u16), alone as u16);
        }
    }
}
