//! `KUSER_SHARED_DATA`, the page that every driver may read at a fixed address.
//!
//! That address lies in the kernel's half, where a Linux process can map nothing. A driver that loads
//! a 32-bit number from it faults, and the fault is answered here with the number. What is not
//! modelled stays a fault.

use crate::guest;

/// Where the page lies (`ntddk.h`, `KI_USER_SHARED_DATA`).
const ADDRESS: u64 = 0xFFFF_F780_0000_0000;
/// `KUSER_SHARED_DATA.BootId`: "boot sequence, incremented for each boot attempt by the OS loader".
const BOOT_ID: u64 = 0x2C4;

/// A load of 32 bits that can be answered.
pub(super) struct Load {
    /// The register that it goes to, in the order of their encoding.
    pub register: usize,
    /// Where the code goes on.
    pub next: u64,
}

/// True for the address of what is modelled.
pub(super) const fn is_boot_id(address: u64) -> bool {
    address == ADDRESS + BOOT_ID
}

/// The load at `rip`: `mov r32, [r64]`, with or without a displacement, or `mov eax, [moffs64]`.
pub(super) fn decode(rip: u64) -> Option<Load> {
    let byte = |at: u64| guest::read::<u8>(rip + at).ok();
    let (rex, mut at) = match byte(0)? {
        prefix @ 0x40..=0x4F => (prefix, 1),
        _ => (0, 0),
    };
    // A load of 64 bits would take what follows, too.
    if rex & 8 != 0 {
        return None;
    }
    let opcode = byte(at)?;
    at += 1;
    if opcode == 0xA1 {
        return Some(Load { register: 0, next: rip + at + 8 });
    }
    let modrm = byte(at)?;
    at += 1;
    let base = modrm & 7;
    // With a SIB byte, or relative to rip, the address is another.
    let displacement = match modrm >> 6 {
        0 if base != 5 => 0,
        1 => 1,
        2 => 4,
        _ => return None,
    };
    if opcode != 0x8B || base == 4 {
        return None;
    }
    let register = usize::from(modrm >> 3 & 7) + if rex & 4 != 0 { 8 } else { 0 };
    Some(Load { register, next: rip + at + displacement })
}
