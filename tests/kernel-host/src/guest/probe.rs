//! Loads, stores and atomics that cannot crash the host.
//!
//! Every access to memory that a driver named goes through one of the leaf routines below. They
//! lie in one address range; when one of them faults, the signal handler sets `rip` to
//! [`FAULT_SYMBOL`](probe_fault_address) and `rdx` to the faulting address, so the routine returns
//! an error instead. No Rust frame is ever skipped.

use std::arch::global_asm;

use super::Fault;

global_asm!(
    ".globl kernel_host_probe_begin",
    "kernel_host_probe_begin:",
    ".globl kernel_host_probe_copy",
    "kernel_host_probe_copy:",
    "mov rcx, rdx",
    "rep movsb",
    "xor eax, eax",
    "ret",
    ".globl kernel_host_probe_read8",
    "kernel_host_probe_read8:",
    "movzx edx, byte ptr [rdi]",
    "xor eax, eax",
    "ret",
    ".globl kernel_host_probe_read16",
    "kernel_host_probe_read16:",
    "movzx edx, word ptr [rdi]",
    "xor eax, eax",
    "ret",
    ".globl kernel_host_probe_read32",
    "kernel_host_probe_read32:",
    "mov edx, dword ptr [rdi]",
    "xor eax, eax",
    "ret",
    ".globl kernel_host_probe_read64",
    "kernel_host_probe_read64:",
    "mov rdx, qword ptr [rdi]",
    "xor eax, eax",
    "ret",
    ".globl kernel_host_probe_write8",
    "kernel_host_probe_write8:",
    "mov byte ptr [rdi], sil",
    "xor eax, eax",
    "ret",
    ".globl kernel_host_probe_write16",
    "kernel_host_probe_write16:",
    "mov word ptr [rdi], si",
    "xor eax, eax",
    "ret",
    ".globl kernel_host_probe_write32",
    "kernel_host_probe_write32:",
    "mov dword ptr [rdi], esi",
    "xor eax, eax",
    "ret",
    ".globl kernel_host_probe_write64",
    "kernel_host_probe_write64:",
    "mov qword ptr [rdi], rsi",
    "xor eax, eax",
    "ret",
    ".globl kernel_host_probe_exchange",
    "kernel_host_probe_exchange:",
    "mov rax, rsi",
    "lock cmpxchg qword ptr [rdi], rdx",
    "mov rdx, rax",
    "xor eax, eax",
    "ret",
    ".globl kernel_host_probe_add",
    "kernel_host_probe_add:",
    "lock xadd qword ptr [rdi], rsi",
    "mov rdx, rsi",
    "xor eax, eax",
    "ret",
    ".globl kernel_host_probe_end",
    "kernel_host_probe_end:",
    ".globl kernel_host_probe_fault",
    "kernel_host_probe_fault:",
    "mov eax, 1",
    "ret",
);

/// What a leaf routine returns in `rax` and `rdx`.
#[repr(C)]
struct Probe {
    faulted: u64,
    /// The value read, or the faulting address.
    value: u64,
}

impl Probe {
    fn result(self) -> Result<u64, Fault> {
        if self.faulted == 0 { Ok(self.value) } else { Err(Fault { address: self.value }) }
    }
}

unsafe extern "sysv64" {
    fn kernel_host_probe_begin();
    fn kernel_host_probe_end();
    fn kernel_host_probe_fault();
    fn kernel_host_probe_copy(to: u64, from: u64, count: u64) -> Probe;
    fn kernel_host_probe_read8(address: u64) -> Probe;
    fn kernel_host_probe_read16(address: u64) -> Probe;
    fn kernel_host_probe_read32(address: u64) -> Probe;
    fn kernel_host_probe_read64(address: u64) -> Probe;
    fn kernel_host_probe_write8(address: u64, value: u64) -> Probe;
    fn kernel_host_probe_write16(address: u64, value: u64) -> Probe;
    fn kernel_host_probe_write32(address: u64, value: u64) -> Probe;
    fn kernel_host_probe_write64(address: u64, value: u64) -> Probe;
    fn kernel_host_probe_exchange(address: u64, expected: u64, new: u64) -> Probe;
    fn kernel_host_probe_add(address: u64, value: u64) -> Probe;
}

/// Whether `rip` lies in a leaf routine; read by the signal handler.
pub(crate) fn in_probe(rip: u64) -> bool {
    let begin = kernel_host_probe_begin as *const () as u64;
    let end = kernel_host_probe_end as *const () as u64;
    (begin..end).contains(&rip)
}

/// Where a faulting leaf routine continues.
pub(crate) fn probe_fault_address() -> u64 {
    kernel_host_probe_fault as *const () as u64
}

pub(super) fn copy(to: u64, from: u64, count: usize) -> Result<(), Fault> {
    // SAFETY: a fault becomes an error; what the bytes mean is the caller's business (see the
    // module page of `guest` on what a driver can do to its host).
    unsafe { kernel_host_probe_copy(to, from, count as u64) }.result().map(|_| ())
}

pub(super) fn read(address: u64, width: usize) -> Result<u64, Fault> {
    let routine = match width {
        1 => kernel_host_probe_read8,
        2 => kernel_host_probe_read16,
        4 => kernel_host_probe_read32,
        _ => kernel_host_probe_read64,
    };
    // SAFETY: a plain load; a fault becomes an error.
    unsafe { routine(address) }.result()
}

pub(super) fn write(address: u64, width: usize, value: u64) -> Result<(), Fault> {
    let routine = match width {
        1 => kernel_host_probe_write8,
        2 => kernel_host_probe_write16,
        4 => kernel_host_probe_write32,
        _ => kernel_host_probe_write64,
    };
    // SAFETY: a plain store to memory that the driver named; a fault becomes an error.
    unsafe { routine(address, value) }.result().map(|_| ())
}

/// Atomic compare and exchange; returns the value found.
pub(crate) fn compare_exchange(address: u64, expected: u64, new: u64) -> Result<u64, Fault> {
    // SAFETY: an atomic store to memory that the driver named; a fault becomes an error.
    unsafe { kernel_host_probe_exchange(address, expected, new) }.result()
}

/// Atomic addition; returns the value before it.
pub(crate) fn fetch_add(address: u64, value: u64) -> Result<u64, Fault> {
    // SAFETY: an atomic store to memory that the driver named; a fault becomes an error.
    unsafe { kernel_host_probe_add(address, value) }.result()
}
