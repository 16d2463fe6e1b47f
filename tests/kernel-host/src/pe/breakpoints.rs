//! A breakpoint on every basic block of an image that was not reached yet.

use std::fs::OpenOptions;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::coverage::Plan;
use crate::guest;

const INT3: u8 = 0xCC;

/// The breakpoints of one mapped image. Read by the signal handler without locks.
#[derive(Debug)]
pub(crate) struct Breakpoints {
    base: u64,
    /// Where each block begins, in order, and what its first byte is.
    blocks: Vec<(u32, u8)>,
    /// One byte a block, shared with every process through the file.
    hits: u64,
    /// Where a test has put a breakpoint that stays; 0 if nowhere.
    kept: AtomicU64,
}

impl Breakpoints {
    /// Plants them in an image that lies at `base` and can still be written.
    pub(super) fn plant(plan: &Plan, base: u64) -> Option<Self> {
        let file = OpenOptions::new().read(true).write(true).open(&plan.hits).ok()?;
        let hits = share(&file, plan.blocks.len())?;
        let first = |rva: u32| guest::read::<u8>(base + u64::from(rva)).ok();
        let blocks = plan.blocks.iter().map(|block| Some((block.start, first(block.start)?)));
        let blocks = blocks.collect::<Option<_>>()?;
        let breakpoints = Self { base, blocks, hits, kept: AtomicU64::new(0) };
        for (index, (rva, _)) in breakpoints.blocks.iter().enumerate() {
            if breakpoints.hit(index).load(Ordering::Relaxed) == 0 {
                guest::write(base + u64::from(*rva), INT3).ok()?;
            }
        }
        Some(breakpoints)
    }

    /// A thread ran into the breakpoint at `address`: marks the block and puts the byte back. False
    /// if there is none. Async-signal-safe; the code is writable while breakpoints are in it.
    pub(crate) fn pass(&self, address: u64) -> bool {
        if address == self.kept.load(Ordering::Acquire) {
            return false;
        }
        let Some(rva) = address.checked_sub(self.base).and_then(|rva| u32::try_from(rva).ok())
        else {
            return false;
        };
        let Ok(index) = self.blocks.binary_search_by_key(&rva, |(start, _)| *start) else {
            return false;
        };
        self.hit(index).store(1, Ordering::Relaxed);
        // SAFETY: the image is mapped, as a thread runs in it, and its code writable; other threads
        // write the same byte or run into the breakpoint and come here too.
        let code = unsafe { AtomicU8::from_ptr(address as *mut u8) };
        code.store(self.blocks[index].1, Ordering::SeqCst);
        true
    }

    /// A breakpoint of a test's own at `address` is no block that is reached.
    pub(super) fn keep(&self, address: u64) {
        self.kept.store(address, Ordering::Release);
    }

    fn hit(&self, index: usize) -> &AtomicU8 {
        assert!(index < self.blocks.len());
        // SAFETY: within the shared mapping, which has a byte for each block and lives as long as
        // `self`; every process only ever stores 1 there.
        unsafe { AtomicU8::from_ptr((self.hits + index as u64) as *mut u8) }
    }
}

impl Drop for Breakpoints {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `share` made.
        unsafe { libc::munmap(self.hits as *mut libc::c_void, self.blocks.len()) };
    }
}

/// Maps the first `length` bytes of a file that has them.
fn share(file: &std::fs::File, length: usize) -> Option<u64> {
    use std::os::fd::AsRawFd;

    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a fresh mapping of an open file, no address asked for.
    let address = unsafe {
        libc::mmap(null_mut(), length, protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    (address != libc::MAP_FAILED).then_some(address as u64)
}
