//! The processor control region of a thread: what `gs` points at while a driver runs.
//!
//! Linux uses only `fs` on x86-64, so `gs` is free. The first page looks as NT code expects
//! (`gs:[18h]` self, `gs:[20h]` PRCB, `gs:[188h]` current thread); the crossings of
//! [`asm`](super::asm) keep their state at `gs:[1000h]`.

use std::cell::{Cell, RefCell};
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::{Registers, Site, Trap};
use crate::guest::{self, GuestBlock};
use crate::kernel::Kernel;

/// What a kernel stack measures.
pub(crate) const STACK_SIZE: usize = 24 * 1024;
const PAGE: usize = 4096;
const ALTERNATE_STACK: usize = 64 * 1024;
const PAINT: u8 = 0x5A;

/// A lock that this thread holds.
pub(crate) struct Held {
    /// The lock's address.
    pub address: u64,
    pub what: &'static str,
    pub exclusive: bool,
    pub site: Site,
}

/// What the watchdog of a kernel may look at from another thread.
pub(crate) struct ThreadShared {
    pub tid: i32,
    /// Counts API calls and entries: a driver that moves makes it move.
    pub progress: AtomicU64,
    /// How many driver calls are nested on this thread.
    pub depth: AtomicU32,
    /// The thread sleeps in a wait.
    pub waiting: AtomicBool,
    /// The watchdog gave up on it.
    pub hung: AtomicBool,
}

/// What the signal handler noted about a fault.
#[derive(Clone, Copy)]
pub(crate) struct HardwareFault {
    pub signal: i32,
    pub code: i32,
    pub address: u64,
    pub error: u64,
    pub registers: Registers,
}

/// See the module page. The first four fields are known to the assembly.
#[repr(C, align(4096))]
pub(crate) struct Kpcr {
    nt: [Cell<u64>; 512],
    /// `gs:[1000h]`: the host stack to go back to.
    pub host_rsp: Cell<u64>,
    /// `gs:[1008h]`: `rsp` of the innermost API frame, on the driver stack.
    pub api_frame: Cell<u64>,
    pub irql: Cell<u64>,
    /// Lowest `rsp` at an API call, the API's own cost charged.
    pub low: Cell<u64>,
    pub stack_low: u64,
    pub stack_high: u64,
    /// Stack that others have used before a driver is called.
    pub used_above: Cell<u64>,
    pub depth: Cell<u32>,
    pub fault: Cell<Option<HardwareFault>>,
    pub trap: RefCell<Option<(Trap, Registers)>>,
    pub kernel: Cell<*const Kernel>,
    /// The id of the kernel whose watchdog knows this thread.
    pub watched_by: Cell<u64>,
    /// The current process object.
    pub process: Cell<u64>,
    pub apc_disabled: Cell<i32>,
    /// Made by a driver, so waiting for ever is its right.
    pub system_thread: Cell<bool>,
    /// In a callback of a bug check.
    pub in_crash: Cell<bool>,
    pub held: RefCell<Vec<Held>>,
    pub shared: Arc<ThreadShared>,
    /// cr8 accesses emulated.
    pub emulated: Cell<u64>,
    thread_object: GuestBlock,
    alternate_stack: u64,
}

impl Kpcr {
    /// This thread's region; made at the first call on a thread.
    pub(crate) fn current<'a>() -> &'a Kpcr {
        let pointer = POINTER.get();
        if pointer.is_null() {
            return Kpcr::create();
        }
        // SAFETY: set by `create`, freed only when the thread ends; all fields are cells.
        unsafe { &*pointer }
    }

    /// This thread's region, for the signal handler: never allocates.
    pub(super) fn existing<'a>() -> Option<&'a Kpcr> {
        // SAFETY: null or made by `create`, and freed only when the thread ends.
        unsafe { POINTER.get().as_ref() }
    }

    #[cold]
    fn create<'a>() -> &'a Kpcr {
        super::install_handlers();
        let stack = map(STACK_SIZE + 2 * PAGE, libc::PROT_NONE);
        protect(stack + PAGE as u64, STACK_SIZE, libc::PROT_READ | libc::PROT_WRITE);
        let alternate_stack = map(ALTERNATE_STACK, libc::PROT_READ | libc::PROT_WRITE);
        let thread_object = GuestBlock::new(0x800);
        // A KTHREAD begins with a dispatcher header of type 6.
        guest::write(thread_object.address(), 6u8).expect("own memory");
        let stack_low = stack + PAGE as u64;
        // SAFETY: no arguments; cannot fail.
        let tid = unsafe { libc::gettid() };
        let region = Box::new(Kpcr {
            nt: [const { Cell::new(0) }; 512],
            host_rsp: Cell::new(0),
            api_frame: Cell::new(0),
            irql: Cell::new(0),
            low: Cell::new(stack_low + STACK_SIZE as u64),
            stack_low,
            stack_high: stack_low + STACK_SIZE as u64,
            used_above: Cell::new(0),
            depth: Cell::new(0),
            fault: Cell::new(None),
            trap: RefCell::new(None),
            kernel: Cell::new(std::ptr::null()),
            watched_by: Cell::new(0),
            process: Cell::new(0),
            apc_disabled: Cell::new(0),
            system_thread: Cell::new(false),
            in_crash: Cell::new(false),
            held: RefCell::new(Vec::new()),
            shared: Arc::new(ThreadShared {
                tid,
                progress: AtomicU64::new(0),
                depth: AtomicU32::new(0),
                waiting: AtomicBool::new(false),
                hung: AtomicBool::new(false),
            }),
            emulated: Cell::new(0),
            thread_object,
            alternate_stack,
        });
        let pointer = Box::into_raw(region);
        // SAFETY: just made from a box, shared from here on only by reference.
        let region = unsafe { &*pointer };
        region.nt[0x18 / 8].set(pointer as u64);
        region.nt[0x20 / 8].set(pointer as u64 + 0x180);
        region.set_thread_object(0);
        region.paint(STACK_SIZE);
        const ARCH_SET_GS: i32 = 0x1001;
        // SAFETY: points gs at memory that lives as long as the thread; nothing else uses gs.
        let set = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, pointer as u64) };
        assert_eq!(set, 0, "gs can be set on every Linux");
        let signal_stack = libc::stack_t {
            ss_sp: alternate_stack as *mut libc::c_void,
            ss_flags: 0,
            ss_size: ALTERNATE_STACK,
        };
        // SAFETY: a mapping of that size which is freed only after it was disabled.
        unsafe { libc::sigaltstack(&signal_stack, null_mut()) };
        POINTER.set(pointer);
        OWNER.with(|owner| owner.0.set(true));
        region
    }

    /// Makes `gs:[188h]` name a thread object; 0 means this thread's own.
    pub(crate) fn set_thread_object(&self, object: u64) {
        let object = if object == 0 { self.thread_object.address() } else { object };
        self.nt[0x188 / 8].set(object);
    }

    /// The current thread object.
    pub(crate) fn thread_object(&self) -> u64 {
        self.nt[0x188 / 8].get()
    }

    /// How many bytes of the driver stack were ever written since the last [`Kpcr::repaint`].
    pub(crate) fn high_water(&self) -> usize {
        let painted = u64::from_ne_bytes([PAINT; 8]);
        let start = self.stack_low as *const u64;
        // SAFETY: this thread's driver stack, mapped while the thread lives; no driver code runs
        // on it now, and what it last wrote are plain bytes.
        let words = unsafe { std::slice::from_raw_parts(start, STACK_SIZE / 8) };
        let clean = words.iter().take_while(|word| **word == painted).count();
        STACK_SIZE - clean * 8
    }

    /// Forgets what was used so far.
    pub(crate) fn repaint(&self) {
        self.paint(self.high_water());
        self.low.set(self.stack_high);
    }

    fn paint(&self, count: usize) {
        let start = (self.stack_high as usize - count) as *mut u8;
        // SAFETY: the top `count` bytes of the driver stack, which no driver is using now.
        unsafe { start.write_bytes(PAINT, count) };
    }
}

thread_local! {
    static POINTER: Cell<*mut Kpcr> = const { Cell::new(null_mut()) };
    static OWNER: Owner = const { Owner(Cell::new(false)) };
}

/// Gives a thread's region back when the thread ends.
struct Owner(Cell<bool>);

impl Drop for Owner {
    fn drop(&mut self) {
        let pointer = POINTER.replace(null_mut());
        if !self.0.get() || pointer.is_null() {
            return;
        }
        // SAFETY: made by `Box::into_raw` in `create`; no reference outlives the thread.
        let region = unsafe { Box::from_raw(pointer) };
        let off = libc::stack_t { ss_sp: null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        // SAFETY: only switches the alternate stack off before it is unmapped.
        unsafe { libc::sigaltstack(&off, null_mut()) };
        // SAFETY: gs is not used by any code that runs after this.
        unsafe { libc::syscall(libc::SYS_arch_prctl, 0x1001, 0u64) };
        unmap(region.stack_low - PAGE as u64, STACK_SIZE + 2 * PAGE);
        unmap(region.alternate_stack, ALTERNATE_STACK);
        region.shared.depth.store(0, Ordering::Relaxed);
    }
}

fn map(size: usize, protection: i32) -> u64 {
    // SAFETY: a fresh private mapping, no address asked for.
    let address = unsafe {
        libc::mmap(null_mut(), size, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    };
    assert_ne!(address, libc::MAP_FAILED, "out of address space");
    address as u64
}

fn protect(address: u64, size: usize, protection: i32) {
    // SAFETY: only called on parts of mappings made by `map` just before.
    let done = unsafe { libc::mprotect(address as *mut libc::c_void, size, protection) };
    assert_eq!(done, 0, "out of mappings");
}

fn unmap(address: u64, size: usize) {
    // SAFETY: only called with whole mappings made by `map`, at the end of their thread.
    unsafe { libc::munmap(address as *mut libc::c_void, size) };
}
