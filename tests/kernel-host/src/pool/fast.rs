//! The fast pool: malloc with a header in front of each block.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Live, Request, tag_text};
use crate::cpu::Site;
use crate::guest;

const MAGIC: u64 = 0x4C4F_4F50_5453_4146;
const FREED: u64 = 0x4445_4552_4621_2121;
/// Header words before a block: magic, size, tag, start of the malloc block.
const HEADER: u64 = 32;
const PAGE: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Fast {
    blocks: AtomicUsize,
    bytes: AtomicUsize,
}

impl Fast {
    pub(super) fn allocate(&self, request: &Request) -> u64 {
        let (align, room) = if request.size >= PAGE { (PAGE, PAGE) } else { (16, HEADER as usize) };
        let mut start = std::ptr::null_mut();
        // SAFETY: plain allocation; the out pointer is valid and the alignment a power of two.
        let failed = unsafe { libc::posix_memalign(&mut start, align, request.size + room) };
        if failed != 0 {
            return 0;
        }
        let address = start as u64 + room as u64;
        if request.zeroed {
            // SAFETY: inside the block just allocated.
            unsafe { (address as *mut u8).write_bytes(0, request.size) };
        }
        let header = [MAGIC, request.size as u64, u64::from(request.tag), start as u64];
        for (index, word) in header.into_iter().enumerate() {
            let _ = guest::write(address - HEADER + 8 * index as u64, word);
        }
        self.blocks.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(request.size, Ordering::Relaxed);
        address
    }

    pub(super) fn free(&self, address: u64, tag: Option<u32>) -> Result<usize, String> {
        let word =
            |index: u64| guest::read::<u64>(address.wrapping_sub(HEADER - 8 * index)).unwrap_or(0);
        match word(0) {
            MAGIC => {}
            FREED => return Err(format!("double free of {address:#x}")),
            _ => return Err(format!("free of {address:#x}, which is no pool block")),
        }
        let (size, own_tag, start) = (word(1) as usize, word(2) as u32, word(3));
        if tag.is_some_and(|tag| tag != own_tag) {
            return Err(format!("free with the wrong tag, allocated with '{}'", tag_text(own_tag)));
        }
        let _ = guest::write(address - HEADER, FREED);
        // SAFETY: the header says that this block came from `allocate` and is live.
        unsafe { libc::free(start as *mut libc::c_void) };
        self.blocks.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(size, Ordering::Relaxed);
        Ok(size)
    }

    pub(super) fn live(&self) -> Vec<Live> {
        let (size, count) = self.in_use();
        if count == 0 {
            return Vec::new();
        }
        vec![Live { size, tag: 0, count, site: Site::from([]) }]
    }

    pub(super) fn in_use(&self) -> (usize, usize) {
        (self.bytes.load(Ordering::Relaxed), self.blocks.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_refuses() {
        let pool = Fast::default();
        let request =
            Request { size: 100, tag: 1, paged: false, zeroed: true, site: Site::from([]) };
        let block = pool.allocate(&request);
        let page = pool.allocate(&Request { size: 5000, ..request });
        assert_eq!(block % 16, 0);
        assert_eq!(page % 4096, 0);
        assert_eq!(pool.in_use(), (5100, 2));
        assert!(pool.free(block, Some(2)).unwrap_err().contains("wrong tag"));
        pool.free(block, Some(1)).unwrap();
        pool.free(page, None).unwrap();
        assert!(pool.live().is_empty());
        let other = crate::guest::GuestBlock::new(128);
        assert!(pool.free(other.address() + 64, None).is_err());
    }
}
