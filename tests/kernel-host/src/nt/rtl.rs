//! Strings.

use super::text_of;
use crate::cpu::{ANY, APC, PASSIVE, apis};
use crate::guest::{self, UnicodeString};
use crate::machine::{fold, fold_char};

fn upcase(unit: u16) -> u16 {
    let Some(character) = char::from_u32(u32::from(unit)) else {
        return unit;
    };
    u16::try_from(u32::from(fold_char(character))).unwrap_or(unit)
}

apis! {
    ntoskrnl [ANY, 50]
    fn RtlInitUnicodeString(_cx, string: u64, source: u64) -> () {
        let length = if source == 0 { 0 } else { guest::wide_string(source)?.len() as u16 * 2 };
        let maximum = if source == 0 { 0 } else { length.saturating_add(2) };
        UnicodeString { length, maximum, buffer: source }.write(string)?;
        Ok(())
    }

    ntoskrnl [APC, 50]
    fn RtlUpcaseUnicodeChar(_cx, unit: u16) -> u16 {
        Ok(upcase(unit))
    }

    ntoskrnl [PASSIVE, 100]
    fn RtlEqualUnicodeString(cx, one: u64, other: u64, insensitive: u8) -> bool {
        let (one, other) = (text_of(cx, one)?, text_of(cx, other)?);
        Ok(if insensitive != 0 { fold(&one) == fold(&other) } else { one == other })
    }

    ntoskrnl [PASSIVE, 100]
    fn RtlCompareUnicodeString(cx, one: u64, other: u64, insensitive: u8) -> i32 {
        let (mut one, mut other) = (text_of(cx, one)?, text_of(cx, other)?);
        if insensitive != 0 {
            (one, other) = (fold(&one), fold(&other));
        }
        Ok(one.encode_utf16().cmp(other.encode_utf16()) as i32)
    }
}
