//! What a message callback can do wrong. `PlantedMessageBug` picks one; 0 is the sound callback,
//! which copies the message in and gives its first byte as its status.

use core::ffi::c_void;
use core::hint::black_box;
use core::ptr::{addr_of_mut, null, null_mut, read_volatile};

use crate::nt::*;

static mut PICKED: u32 = 0;

/// Picks what the callback does.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn PlantedMessageBug(number: u32) {
    unsafe { PICKED = number };
}

/// Runs what is picked; `None` when nothing is.
pub unsafe fn run(input: *const u8, length: u32, client: *mut HANDLE) -> Option<NTSTATUS> {
    unsafe {
        Some(match PICKED {
            1 => copied_once(input, length),
            2 => touched_directly(input),
            3 => fetched_twice(input),
            4 => waits_for_ever(client),
            _ => return None,
        })
    }
}

/// True when the callback is to say nothing of its output.
pub fn leaves_length_open() -> bool {
    unsafe { PICKED == 5 }
}

/// Nothing is wrong here.
#[inline(never)]
unsafe fn copied_once(input: *const u8, length: u32) -> NTSTATUS {
    unsafe {
        let block = ExAllocatePool2(NON_PAGED, length as usize, TAG);
        let mut copied = 0;
        let status = MmCopyMemory(block, input, length as usize, 2, &mut copied);
        let first = if status < 0 { 0 } else { NTSTATUS::from(*block) };
        ExFreePoolWithTag(block, TAG);
        if status < 0 { status } else { first }
    }
}

#[inline(never)]
unsafe fn touched_directly(input: *const u8) -> NTSTATUS {
    NTSTATUS::from(unsafe { read_volatile(input) })
}

/// The length is checked, and then read again.
#[inline(never)]
unsafe fn fetched_twice(input: *const u8) -> NTSTATUS {
    const ROOM: usize = 16;
    unsafe {
        let block = ExAllocatePool2(NON_PAGED, ROOM, TAG);
        let mut copied = 0;
        let mut sum = 0;
        MmCopyMemory(block, input, 1, 2, &mut copied);
        if usize::from(*block) < ROOM {
            MmCopyMemory(block, input, ROOM, 2, &mut copied);
            for index in 1..usize::from(*block) {
                sum += NTSTATUS::from(read_volatile(block.add(index)));
            }
        }
        ExFreePoolWithTag(block, TAG);
        black_box(sum)
    }
}

#[inline(never)]
unsafe fn waits_for_ever(client: *mut HANDLE) -> NTSTATUS {
    let none = null_mut::<c_void>();
    let length = addr_of_mut!(PICKED);
    let text = c"ping".as_ptr().cast();
    let status = unsafe { FltSendMessage(crate::FILTER, client, text, 4, none, length, null()) };
    black_box(status)
}
