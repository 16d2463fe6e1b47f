//! The crossings between host code and driver code.
//!
//! * [`enter_driver`]: host → driver. Saves the host's registers, moves to the driver stack, calls,
//!   checks the nonvolatile registers and the direction flag, comes back.
//! * [`api_entry`]: driver → host. Every import stub jumps here with `r11` = its [`Rec`](super::Rec).
//! * `kernel_host_recover`: the way out of a driver that faulted; returns from [`enter_driver`].
//! * the routines of ntoskrnl that must run on the driver's own stack (`memcpy`, `__chkstk`, ...).
//!   A fault in them is the driver's fault: see [`in_driver_helper`].

use std::arch::{asm, global_asm, naked_asm};

/// What [`enter_driver`] returns in `rax` and `rdx`.
#[repr(C)]
pub(super) struct Outcome {
    pub value: u64,
    /// 0 returned, 1 recovered from a fault or trap, 2 returned with clobbered registers.
    pub how: u64,
}

/// Calls `target` with 12 register-sized arguments on the stack that ends at `stack_top`.
///
/// The nonvolatile registers hold known numbers meanwhile; a driver that changes one is found.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn enter_driver(
    _target: u64,
    _arguments: *const [u64; 12],
    _stack_top: u64,
) -> Outcome {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push qword ptr gs:[0x1000]",
        "push qword ptr gs:[0x1008]",
        "sub rsp, 8",
        "stmxcsr [rsp]",
        "mov gs:[0x1000], rsp",
        "lea rsp, [rdx - 0x80]",
        "mov r10, rdi",
        "mov r11, rsi",
        "movups xmm0, [r11 + 0x20]",
        "movups [rsp + 0x20], xmm0",
        "movups xmm0, [r11 + 0x30]",
        "movups [rsp + 0x30], xmm0",
        "movups xmm0, [r11 + 0x40]",
        "movups [rsp + 0x40], xmm0",
        "movups xmm0, [r11 + 0x50]",
        "movups [rsp + 0x50], xmm0",
        "mov rcx, [r11]",
        "mov rdx, [r11 + 8]",
        "mov r8, [r11 + 16]",
        "mov r9, [r11 + 24]",
        "mov rbx, 0x5A5A0001",
        "mov rbp, 0x5A5A0002",
        "mov rsi, 0x5A5A0003",
        "mov rdi, 0x5A5A0004",
        "mov r12, 0x5A5A0005",
        "mov r13, 0x5A5A0006",
        "mov r14, 0x5A5A0007",
        "mov r15, 0x5A5A0008",
        "call r10",
        "xor rbx, 0x5A5A0001",
        "xor rbp, 0x5A5A0002",
        "xor rsi, 0x5A5A0003",
        "xor rdi, 0x5A5A0004",
        "xor r12, 0x5A5A0005",
        "xor r13, 0x5A5A0006",
        "xor r14, 0x5A5A0007",
        "xor r15, 0x5A5A0008",
        "or rbx, rbp",
        "or rsi, rdi",
        "or r12, r13",
        "or r14, r15",
        "or rbx, rsi",
        "or r12, r14",
        "or rbx, r12",
        "pushfq",
        "pop rcx",
        "and ecx, 0x400",
        "or rbx, rcx",
        "xor edx, edx",
        "test rbx, rbx",
        "setne dl",
        "add edx, edx",
        "2:",
        "mov rsp, gs:[0x1000]",
        "ldmxcsr [rsp]",
        "add rsp, 8",
        "cld",
        "pop qword ptr gs:[0x1008]",
        "pop qword ptr gs:[0x1000]",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        ".globl kernel_host_recover",
        "kernel_host_recover:",
        "mov edx, 1",
        "xor eax, eax",
        "jmp 2b",
    )
}

/// Entered from an import stub: spills the register arguments to the caller's home space (where
/// a variadic function's `va_list` then begins), moves to the host stack with up to twelve
/// arguments and calls the API.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn api_entry() {
    naked_asm!(
        "mov [rsp + 8], rcx",
        "mov [rsp + 16], rdx",
        "mov [rsp + 24], r8",
        "mov [rsp + 32], r9",
        "push rbp",
        "mov rbp, rsp",
        "mov gs:[0x1008], rsp",
        "mov rsp, gs:[0x1000]",
        ".globl kernel_host_on_host_stack",
        "kernel_host_on_host_stack:",
        "sub rsp, 0x60",
        "movups xmm0, [rbp + 0x30]",
        "movups [rsp + 0x20], xmm0",
        "movups xmm0, [rbp + 0x40]",
        "movups [rsp + 0x30], xmm0",
        "movups xmm0, [rbp + 0x50]",
        "movups [rsp + 0x40], xmm0",
        "movups xmm0, [rbp + 0x60]",
        "movups [rsp + 0x50], xmm0",
        "call qword ptr [r11]",
        "mov rsp, rbp",
        "pop rbp",
        "ret",
    )
}

global_asm!(
    ".globl kernel_host_helper_begin",
    "kernel_host_helper_begin:",
    // void *memcpy(rcx to, rdx from, r8 count): rdi and rsi are nonvolatile and wait in r10, r11.
    ".globl kernel_host_memcpy",
    "kernel_host_memcpy:",
    // Unlike memmove it must not be asked to move; the same place is no move.
    "mov r10, rcx",
    "sub r10, rdx",
    "jz 9f",
    "cmp r10, r8",
    "jb kernel_host_memcpy_overlap",
    "neg r10",
    "cmp r10, r8",
    "jb kernel_host_memcpy_overlap",
    "9:",
    "mov r10, rdi",
    "mov r11, rsi",
    "mov rax, rcx",
    "mov rdi, rcx",
    "mov rsi, rdx",
    "mov rcx, r8",
    "rep movsb",
    "mov rdi, r10",
    "mov rsi, r11",
    "ret",
    ".globl kernel_host_memcpy_overlap",
    "kernel_host_memcpy_overlap:",
    "ud2",
    ".globl kernel_host_memmove",
    "kernel_host_memmove:",
    "mov r10, rdi",
    "mov r11, rsi",
    "mov rax, rcx",
    "mov rdi, rcx",
    "mov rsi, rdx",
    "sub rdx, rax",
    "neg rdx",
    "mov rcx, r8",
    "cmp rdx, r8",
    "jb 2f",
    "rep movsb",
    "mov rdi, r10",
    "mov rsi, r11",
    "ret",
    "2:",
    "lea rdi, [rdi + rcx - 1]",
    "lea rsi, [rsi + rcx - 1]",
    "std",
    "rep movsb",
    "cld",
    "mov rdi, r10",
    "mov rsi, r11",
    "ret",
    ".globl kernel_host_memset",
    "kernel_host_memset:",
    "mov r10, rdi",
    "mov r11, rsi",
    "mov r9, rcx",
    "mov rdi, rcx",
    "mov eax, edx",
    "mov rcx, r8",
    "rep stosb",
    "mov rax, r9",
    "mov rdi, r10",
    "mov rsi, r11",
    "ret",
    ".globl kernel_host_memcmp",
    "kernel_host_memcmp:",
    "mov r10, rdi",
    "mov r11, rsi",
    "xor r9d, r9d",
    "3:",
    "cmp r9, r8",
    "jae 4f",
    "movzx eax, byte ptr [rcx + r9]",
    "movzx edi, byte ptr [rdx + r9]",
    "inc r9",
    "sub eax, edi",
    "jz 3b",
    "mov rdi, r10",
    "ret",
    "4:",
    "xor eax, eax",
    "mov rdi, r10",
    "ret",
    // SIZE_T RtlCompareMemory(rcx, rdx, r8): how many leading bytes are equal.
    ".globl kernel_host_compare_memory",
    "kernel_host_compare_memory:",
    "mov r10, rdi",
    "mov r11, rsi",
    "xor eax, eax",
    "5:",
    "cmp rax, r8",
    "jae 6f",
    "movzx edi, byte ptr [rcx + rax]",
    "movzx r9d, byte ptr [rdx + rax]",
    "cmp edi, r9d",
    "jne 6f",
    "inc rax",
    "jmp 5b",
    "6:",
    "mov rdi, r10",
    "ret",
    // __chkstk: rax = frame size; touches every page, changes no register.
    ".globl kernel_host_chkstk",
    "kernel_host_chkstk:",
    "push rcx",
    "push rax",
    "lea rcx, [rsp + 0x18]",
    "7:",
    "cmp rax, 0x1000",
    "jb 8f",
    "sub rcx, 0x1000",
    "test [rcx], cl",
    "sub rax, 0x1000",
    "jmp 7b",
    "8:",
    "sub rcx, rax",
    "test [rcx], cl",
    "pop rax",
    "pop rcx",
    "ret",
    ".globl kernel_host_specific_handler",
    // __C_specific_handler is only an identity here: the signal handler reads the scope tables.
    "kernel_host_specific_handler:",
    "mov eax, 1",
    "ret",
    ".globl kernel_host_helper_end",
    "kernel_host_helper_end:",
);

unsafe extern "C" {
    fn kernel_host_recover();
    fn kernel_host_on_host_stack();
    fn kernel_host_helper_begin();
    fn kernel_host_helper_end();
    fn kernel_host_memcpy();
    fn kernel_host_memcpy_overlap();
    fn kernel_host_memmove();
    fn kernel_host_memset();
    fn kernel_host_memcmp();
    fn kernel_host_compare_memory();
    fn kernel_host_chkstk();
    fn kernel_host_specific_handler();
}

/// Where the signal handler continues after a driver's fault.
pub(super) fn recover_address() -> u64 {
    kernel_host_recover as *const () as u64
}

/// Whether `rip` is where `memcpy` ends that was given ranges which overlap.
pub(super) fn is_memcpy_overlap(rip: u64) -> bool {
    rip == kernel_host_memcpy_overlap as *const () as u64
}

/// Whether `rip` lies in a routine that runs on the driver's stack on its behalf.
pub(super) fn in_driver_helper(rip: u64) -> bool {
    let begin = kernel_host_helper_begin as *const () as u64;
    let end = kernel_host_helper_end as *const () as u64;
    (begin..end).contains(&rip)
}

/// Whether `rip` lies in the part of [`api_entry`] that still writes to the driver's stack, where
/// the stack may end.
pub(super) fn in_api_entry(rip: u64) -> bool {
    let begin = api_entry as *const () as u64;
    let end = kernel_host_on_host_stack as *const () as u64;
    (begin..end).contains(&rip)
}

/// Whether `rip` lies in `__chkstk`, which has pushed two registers.
pub(super) fn in_chkstk(rip: u64) -> bool {
    let begin = kernel_host_chkstk as *const () as u64;
    let end = kernel_host_specific_handler as *const () as u64;
    (begin..end).contains(&rip)
}

/// The address of `__C_specific_handler`.
pub(super) fn specific_handler() -> u64 {
    kernel_host_specific_handler as *const () as u64
}

/// Exports that a driver's import slots point at directly.
pub(crate) fn direct_export(name: &str) -> Option<u64> {
    let routine: unsafe extern "C" fn() = match name {
        "memcpy" | "RtlCopyMemory" => kernel_host_memcpy,
        "memmove" | "RtlMoveMemory" => kernel_host_memmove,
        "memset" => kernel_host_memset,
        "memcmp" => kernel_host_memcmp,
        "RtlCompareMemory" => kernel_host_compare_memory,
        "__chkstk" => kernel_host_chkstk,
        "__C_specific_handler" => kernel_host_specific_handler,
        _ => return None,
    };
    Some(routine as *const () as u64)
}

/// Leaves the API that is running on this thread and returns from the innermost
/// [`enter_driver`] as recovered.
///
/// # Safety
/// Must run in an API called by driver code on this thread, with nothing left to drop in the host
/// frames between here and [`api_entry`].
pub(super) unsafe fn leave_api() -> ! {
    // SAFETY: `kernel_host_recover` reloads the stack that `enter_driver` saved in the KPCR.
    unsafe { asm!("jmp {}", sym kernel_host_recover, options(noreturn)) }
}
