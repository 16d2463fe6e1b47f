//! Which boot of the machine this is.

use core::ptr;

/// `KI_USER_SHARED_DATA` (`ntddk.h`): the page that the kernel shares with everybody, at the same
/// address on every x64 system.
const SHARED_DATA: usize = 0xFFFF_F780_0000_0000;
/// `KUSER_SHARED_DATA.BootId` (`ntddk.h`): "boot sequence, incremented for each boot attempt by the OS
/// loader".
const BOOT_ID: usize = 0x2C4;

/// The number of this boot. One that goes down before it can write leaves a gap.
#[inline(never)]
pub fn number() -> u32 {
    let boot_id: *const u32 = ptr::with_exposed_provenance(SHARED_DATA.wrapping_add(BOOT_ID));
    // SAFETY: the page is mapped for as long as the system is up, readable at any IRQL, and the number
    // is aligned and does not change after the loader has written it.
    unsafe { boot_id.read_volatile() }
}
