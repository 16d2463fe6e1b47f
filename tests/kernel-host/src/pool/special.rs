//! The special pool: each block ends at an inaccessible page; freed pages stay inaccessible.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{History, Live, PoolMarks, Request, tag_text};
use crate::cpu::Site;
use crate::guest;

const PAGE: u64 = 4096;
/// Address room of one kernel; reserved, not committed.
const ARENA: u64 = 16 << 30;
/// One-page blocks wait this long for reuse.
const QUARANTINE: usize = 4096;
/// Freed blocks whose history is kept.
const HISTORY: usize = 200_000;
const SLACK: u8 = 0xFD;
const FILL: u8 = 0xA5;

#[derive(Clone, Debug)]
struct Block {
    size: usize,
    tag: u32,
    paged: bool,
    /// First page of the block and how many bytes of pages it has.
    pages: u64,
    room: u64,
    sequence: u64,
    allocated: Site,
    freed: Option<Site>,
}

impl Block {
    /// Slack before and after the block on its own pages.
    fn slack(&self, address: u64) -> [std::ops::Range<u64>; 2] {
        [self.pages..address, address + self.size as u64..self.pages + self.room]
    }
}

#[derive(Debug, Default)]
struct State {
    blocks: BTreeMap<u64, Block>,
    arenas: Vec<u64>,
    cursor: u64,
    end: u64,
    quarantine: VecDeque<u64>,
    sequence: u64,
    live: usize,
    live_bytes: usize,
    marks: PoolMarks,
    /// Live blocks of paged pool, and whether they are paged out.
    paged: BTreeSet<u64>,
    hidden: bool,
}

#[derive(Debug)]
pub(crate) struct Special(Mutex<State>);

impl Special {
    pub(super) fn new() -> Special {
        Special(Mutex::new(State::default()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn allocate(&self, request: Request) -> u64 {
        let mut state = self.state();
        let room = (request.size as u64).max(1).next_multiple_of(PAGE);
        let pages = state.pages(room);
        protect(pages, room, libc::PROT_READ | libc::PROT_WRITE);
        // Page-aligned from a page up, as the real pool; else as near to the guard as 16-byte
        // alignment allows.
        let address = if request.size as u64 >= PAGE {
            pages
        } else {
            pages + room - (request.size as u64).max(1).next_multiple_of(16)
        };
        state.sequence += 1;
        let block = Block {
            size: request.size,
            tag: request.tag,
            paged: request.paged,
            pages,
            room,
            sequence: state.sequence,
            allocated: request.site,
            freed: None,
        };
        for range in block.slack(address) {
            fill(range.start, range.end - range.start, SLACK);
        }
        fill(address, request.size as u64, if request.zeroed { 0 } else { FILL });
        state.live += 1;
        state.live_bytes += request.size;
        state.marks.add(request.size, request.paged);
        if block.paged {
            state.paged.insert(address);
        }
        state.blocks.insert(address, block);
        address
    }

    pub(super) fn free(&self, address: u64, tag: Option<u32>, site: Site) -> Result<usize, String> {
        let mut state = self.state();
        let Some(block) = state.blocks.get_mut(&address) else {
            return Err(format!("free of {address:#x}, which is no pool block"));
        };
        let (size, own_tag) = (block.size, block.tag);
        if block.freed.is_some() {
            return Err(format!("double free of a block of {size} bytes '{}'", tag_text(own_tag)));
        }
        if let Some(tag) = tag.filter(|tag| *tag != own_tag) {
            let (freed, own) = (tag_text(tag), tag_text(own_tag));
            return Err(format!("block allocated with tag '{own}' freed with '{freed}'"));
        }
        for range in block.slack(address) {
            let bytes = guest::bytes(range.start, (range.end - range.start) as usize);
            let changed = bytes.unwrap_or_default().iter().position(|byte| *byte != SLACK);
            if let Some(changed) = changed {
                let offset = range.start as i64 + changed as i64 - address as i64;
                return Err(format!(
                    "overrun: the byte at offset {offset:+} of a block of {size} bytes '{}' was changed",
                    tag_text(own_tag)
                ));
            }
        }
        block.freed = Some(site);
        let (pages, room, paged) = (block.pages, block.room, block.paged);
        state.live -= 1;
        state.live_bytes -= size;
        state.marks.take(size, paged);
        state.paged.remove(&address);
        forget(pages, room);
        if room == PAGE {
            state.quarantine.push_back(address);
        }
        state.trim_history();
        Ok(size)
    }

    pub(super) fn describe(&self, address: u64) -> Option<History> {
        let state = self.state();
        let (start, block) = state.near(address)?;
        let offset = address as i64 - start as i64;
        let life = if block.freed.is_some() { "freed" } else { "live" };
        let kind = if block.paged { "paged" } else { "nonpaged" };
        let text = format!(
            "offset {offset:+} of a {life} block of {} bytes '{}' of {kind} pool",
            block.size,
            tag_text(block.tag)
        );
        let hidden = state.hidden && block.paged && block.freed.is_none();
        let text = if hidden { format!("{text}, at DISPATCH_LEVEL or above") } else { text };
        Some(History { text, allocated: block.allocated.clone(), freed: block.freed.clone() })
    }

    pub(super) fn is_paged(&self, address: u64) -> bool {
        let state = self.state();
        state.near(address).is_some_and(|(_, block)| block.paged && block.freed.is_none())
    }

    pub(super) fn hide_paged(&self, hide: bool) {
        let mut state = self.state();
        state.hidden = hide;
        let access = if hide { libc::PROT_NONE } else { libc::PROT_READ | libc::PROT_WRITE };
        for block in state.paged.iter().filter_map(|address| state.blocks.get(address)) {
            protect(block.pages, block.room, access);
        }
    }

    pub(super) fn live(&self) -> Vec<Live> {
        let state = self.state();
        let mut live: Vec<&Block> = state.blocks.values().filter(|b| b.freed.is_none()).collect();
        live.sort_by_key(|block| block.sequence);
        live.into_iter()
            .map(|block| Live {
                size: block.size,
                tag: block.tag,
                count: 1,
                site: block.allocated.clone(),
            })
            .collect()
    }

    pub(super) fn in_use(&self) -> (usize, usize) {
        let state = self.state();
        (state.live_bytes, state.live)
    }

    pub(super) fn marks(&self) -> PoolMarks {
        self.state().marks
    }
}

impl State {
    /// Inaccessible pages with a guard page behind them.
    fn pages(&mut self, room: u64) -> u64 {
        if room == PAGE && self.quarantine.len() > QUARANTINE {
            let oldest = self.quarantine.pop_front().and_then(|start| self.blocks.remove(&start));
            if let Some(block) = oldest {
                return block.pages;
            }
        }
        if self.cursor + room + PAGE > self.end {
            let size = ARENA.max(room + 2 * PAGE);
            let arena = reserve(size);
            self.arenas.push(arena);
            self.cursor = arena + PAGE;
            self.end = arena + ARENA;
        }
        let pages = self.cursor;
        self.cursor += room + PAGE;
        pages
    }

    /// The block whose pages or guard pages hold an address.
    fn near(&self, address: u64) -> Option<(u64, &Block)> {
        let candidates = self.blocks.range(..address.saturating_add(2 * PAGE)).rev().take(3);
        candidates.map(|(start, block)| (*start, block)).find(|(_, block)| {
            address + PAGE >= block.pages && address < block.pages + block.room + PAGE
        })
    }

    fn trim_history(&mut self) {
        if self.blocks.len() - self.live > HISTORY {
            let mut left = HISTORY / 2;
            let quarantine: std::collections::HashSet<u64> =
                self.quarantine.iter().copied().collect();
            self.blocks.retain(|start, block| {
                let drop = left > 0 && block.freed.is_some() && !quarantine.contains(start);
                left -= usize::from(drop);
                !drop
            });
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        for arena in &self.arenas {
            // SAFETY: exactly the reservation made by `reserve`; the kernel is gone.
            unsafe { libc::munmap(*arena as *mut libc::c_void, ARENA as usize) };
        }
    }
}

fn reserve(size: u64) -> u64 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a fresh private mapping, no address asked for.
    let arena = unsafe { libc::mmap(null_mut(), size as usize, libc::PROT_NONE, flags, -1, 0) };
    assert_ne!(arena, libc::MAP_FAILED, "out of address space");
    arena as u64
}

fn protect(address: u64, size: u64, protection: i32) {
    // SAFETY: pages of an arena that belong to one block.
    let done = unsafe { libc::mprotect(address as *mut libc::c_void, size as usize, protection) };
    assert_eq!(done, 0, "out of mappings: raise vm.max_map_count or use the fast pool");
}

fn fill(address: u64, count: u64, value: u8) {
    // SAFETY: inside the pages of a block that were just made writable.
    unsafe { (address as *mut u8).write_bytes(value, count as usize) };
}

/// Gives the memory back and makes the pages inaccessible.
fn forget(address: u64, size: u64) {
    protect(address, size, libc::PROT_NONE);
    // SAFETY: pages of an arena that belong to a freed block.
    unsafe { libc::madvise(address as *mut libc::c_void, size as usize, libc::MADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(size: usize) -> Request {
        Request { size, tag: 0x3154_5354, paged: false, zeroed: true, site: Site::from([1]) }
    }

    #[test]
    fn a_block_ends_at_a_guard_page_and_dies_when_freed() {
        crate::cpu::install_handlers();
        let pool = Special::new();
        let block = pool.allocate(request(64));
        assert_eq!(guest::read::<u64>(block + 56), Ok(0));
        assert!(guest::write(block + 64, 1u8).is_err());
        pool.free(block, Some(0x3154_5354), Site::from([2])).unwrap();
        assert!(guest::read::<u8>(block).is_err());
        let history = pool.describe(block + 3).unwrap();
        assert!(history.text.contains("offset +3 of a freed block of 64 bytes 'TST1'"));
        assert_eq!(history.freed.unwrap()[0], 2);
        assert!(pool.free(block, None, Site::from([3])).unwrap_err().contains("double free"));
    }

    #[test]
    fn slack_bytes_are_checked_at_free() {
        let pool = Special::new();
        let block = pool.allocate(request(61));
        guest::write(block + 61, 0u8).unwrap();
        let error = pool.free(block, None, Site::from([])).unwrap_err();
        assert!(error.contains("offset +61"), "{error}");
        let block = pool.allocate(request(16));
        guest::write(block - 1, 0u8).unwrap();
        assert!(pool.free(block, None, Site::from([])).unwrap_err().contains("offset -1"));
    }

    #[test]
    fn tags_counts_and_reuse() {
        let pool = Special::new();
        let block = pool.allocate(request(5000));
        assert_eq!(block % 4096, 0);
        assert!(pool.free(block, Some(7), Site::from([])).unwrap_err().contains("TST1"));
        assert_eq!(pool.in_use(), (5000, 1));
        assert!(pool.marks().most_nonpaged + pool.marks().most_paged >= 5000);
        assert_eq!(pool.live()[0].size, 5000);
        for _ in 0..2 * QUARANTINE {
            let one = pool.allocate(request(8));
            pool.free(one, None, Site::from([])).unwrap();
        }
        assert_eq!(pool.in_use(), (5000, 1));
        assert!(pool.free(0x10, None, Site::from([])).unwrap_err().contains("no pool block"));
    }
}
