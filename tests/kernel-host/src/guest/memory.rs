//! Memory that the host owns and a driver sees: kernel objects, parameter blocks, names.

use std::sync::atomic::AtomicU64;

/// Zeroed memory for a kernel object. Every word is an atomic, since a driver may write to it at
/// any time.
#[derive(Debug)]
pub struct GuestBlock {
    words: Box<[AtomicU64]>,
}

impl GuestBlock {
    /// At least `size` bytes, 8-aligned, all zero.
    pub fn new(size: usize) -> GuestBlock {
        GuestBlock { words: (0..size.div_ceil(8).max(1)).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The first byte.
    pub fn address(&self) -> u64 {
        self.words.as_ptr() as u64
    }

    /// All its bytes.
    pub fn range(&self) -> std::ops::Range<u64> {
        self.address()..self.address() + 8 * self.words.len() as u64
    }
}

const PAGE: usize = 4096;

/// A copy of some bytes that ends exactly at an inaccessible page: one byte too many faults.
#[derive(Debug)]
pub struct GuestBuffer {
    mapping: u64,
    mapped: usize,
    address: u64,
    length: usize,
}

impl GuestBuffer {
    /// A guarded copy. Panics only when the process is out of address space.
    pub fn new(data: &[u8]) -> GuestBuffer {
        let room = data.len().max(1).next_multiple_of(PAGE);
        // SAFETY: a fresh private mapping, no address asked for.
        let mapping = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                room + PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(mapping, libc::MAP_FAILED, "out of address space");
        let mapping = mapping as u64;
        let guard = mapping + room as u64;
        // SAFETY: the page lies inside the mapping just made.
        let guarded = unsafe { libc::mprotect(guard as *mut libc::c_void, PAGE, libc::PROT_NONE) };
        assert_eq!(guarded, 0, "out of mappings");
        let address = guard - data.len() as u64;
        let buffer = GuestBuffer { mapping, mapped: room + PAGE, address, length: data.len() };
        super::write_bytes(address, data).expect("the mapping was just made writable");
        buffer
    }

    /// A guarded copy of UTF-16 text.
    pub fn utf16(text: &[u16]) -> GuestBuffer {
        let raw: Vec<u8> = text.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        GuestBuffer::new(&raw)
    }

    /// The first byte.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The bytes as they are now.
    pub fn contents(&self) -> Vec<u8> {
        super::bytes(self.address, self.length).unwrap_or_default()
    }
}

impl Drop for GuestBuffer {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`; nothing else hands out its address.
        unsafe { libc::munmap(self.mapping as *mut libc::c_void, self.mapped) };
    }
}
