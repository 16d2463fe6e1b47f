//! Structured exception handling: finds the `__except` block that a fault in driver code reaches.
//!
//! Only scopes with the constant filter `EXCEPTION_EXECUTE_HANDLER` are handled; filter functions
//! and `__finally` are not. Runs in the signal handler: no allocation, no lock.

use std::ops::Range;

use super::Registers;
use crate::pe::UnwindImage;

const STATUS_ACCESS_VIOLATION: u64 = 0xC000_0005;
const MAXIMUM_FRAMES: usize = 48;

/// Registers to continue with, if a scope covers the fault.
pub(super) fn find_handler(
    image: &UnwindImage,
    mut registers: Registers,
    stack: Range<u64>,
    specific_handler: u64,
) -> Option<Registers> {
    for depth in 0..MAXIMUM_FRAMES {
        let rva = image.rva(registers.rip)?;
        let lookup = if depth == 0 { rva } else { rva - 1 };
        if let Some(target) = scope_target(image, lookup, specific_handler) {
            registers.rip = image.base + u64::from(target);
            registers.general[0] = STATUS_ACCESS_VIOLATION;
            return Some(registers);
        }
        registers = image.step(registers, &stack, lookup)?;
    }
    None
}

/// The `__except` block of a scope that covers `rva`.
fn scope_target(image: &UnwindImage, rva: u32, specific_handler: u64) -> Option<u32> {
    let info = image.unwind_info(rva)?;
    let header = image.bytes(info, 4)?;
    const EXCEPTION_HANDLER: u8 = 1;
    if (header[0] >> 3) & EXCEPTION_HANDLER == 0 {
        return None;
    }
    // The codes are padded to an even number.
    let codes = (u32::from(header[2]) + 1) & !1;
    let trailer = info + 4 + codes * 2;
    let word = |index: u32| {
        let raw = image.bytes(trailer + index * 4, 4)?;
        Some(u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]))
    };
    if image.thunk_target(word(0)?) != Some(specific_handler) {
        return None;
    }
    (0..word(1)?).find_map(|scope| {
        let begin = word(2 + scope * 4)?;
        let end = word(3 + scope * 4)?;
        let filter = word(4 + scope * 4)?;
        let target = word(5 + scope * 4)?;
        (rva >= begin && rva < end && filter == 1 && target != 0).then_some(target)
    })
}
