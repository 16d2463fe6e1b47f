//! The current thread's stack and the processor's clock.

use core::ptr;

use super::bindings as nt;

/// Bytes of the current kernel stack that are still free.
pub fn remaining_stack() -> usize {
    let (mut low, mut high) = (0, 0);
    // SAFETY: both pointers are to locals; any IRQL.
    unsafe { nt::IoGetStackLimits(&raw mut low, &raw mut high) };
    // The locals lie where the stack has grown to.
    let here = (&raw const low).addr();
    usize::try_from(low).map_or(0, |low| here.saturating_sub(low))
}

/// Ticks of the performance counter. Never go back.
pub fn ticks() -> u64 {
    // SAFETY: the pointer may be null when the frequency is not asked for; any IRQL.
    count(unsafe { nt::KeQueryPerformanceCounter(ptr::null_mut()) })
}

/// Ticks of the performance counter in a second, the same while the machine is up.
pub fn ticks_per_second() -> u64 {
    let mut frequency = nt::LARGE_INTEGER::default();
    // SAFETY: the pointer is to a local; any IRQL.
    let _ = unsafe { nt::KeQueryPerformanceCounter(&raw mut frequency) };
    count(frequency)
}

fn count(number: nt::LARGE_INTEGER) -> u64 {
    // SAFETY: every bit pattern is an i64, and the kernel filled the union in.
    u64::try_from(unsafe { number.QuadPart }).unwrap_or(0)
}
