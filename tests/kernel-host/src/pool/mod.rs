//! The pool: special (every block on its own pages) or fast (malloc, counted).
//!
//! *Special* is for tests: an overrun faults at once, freed memory faults until its pages are
//! reused thousands of blocks later, slack bytes are checked, every block knows where it was
//! allocated. *Fast* is for benchmarks and bulk fuzzing.

#![allow(unsafe_code)]

mod fast;
mod special;

use crate::cpu::Site;

/// How pool memory is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pool {
    /// Guard pages, quarantine, history. 5-10 µs a block.
    #[default]
    Special,
    /// malloc with a header: sizes, tags and double frees are still checked, leaks are counted.
    Fast,
}

/// Bytes of each kind of pool: now, and the most there ever were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolMarks {
    /// Nonpaged pool in use.
    pub nonpaged: usize,
    /// Paged pool in use.
    pub paged: usize,
    /// The most nonpaged pool that was in use.
    pub most_nonpaged: usize,
    /// The most paged pool that was in use.
    pub most_paged: usize,
}

impl PoolMarks {
    fn add(&mut self, size: usize, paged: bool) {
        let (now, most) = match paged {
            true => (&mut self.paged, &mut self.most_paged),
            false => (&mut self.nonpaged, &mut self.most_nonpaged),
        };
        *now += size;
        *most = (*most).max(*now);
    }

    fn take(&mut self, size: usize, paged: bool) {
        *(if paged { &mut self.paged } else { &mut self.nonpaged }) -= size;
    }
}

/// What the pool knows about an address.
#[derive(Debug)]
pub(crate) struct History {
    pub text: String,
    pub allocated: Site,
    pub freed: Option<Site>,
}

/// A block that was not given back.
#[derive(Debug)]
pub(crate) struct Live {
    pub size: usize,
    pub tag: u32,
    pub count: usize,
    pub site: Site,
}

/// A request, as the driver made it.
#[derive(Debug)]
pub(crate) struct Request {
    pub size: usize,
    pub tag: u32,
    pub paged: bool,
    pub zeroed: bool,
    pub site: Site,
}

/// The pool of one kernel.
#[derive(Debug)]
pub(crate) enum Heap {
    Special(special::Special),
    Fast(fast::Fast),
}

impl Heap {
    pub(crate) fn new(mode: Pool) -> Heap {
        match mode {
            Pool::Special => Heap::Special(special::Special::new()),
            Pool::Fast => Heap::Fast(fast::Fast::default()),
        }
    }

    pub(crate) fn allocate(&self, request: Request) -> u64 {
        match self {
            Heap::Special(pool) => pool.allocate(request),
            Heap::Fast(pool) => pool.allocate(&request),
        }
    }

    /// Frees a block and gives its size. `Err` says what is wrong with the call or the block.
    pub(crate) fn free(&self, address: u64, tag: Option<u32>, site: Site) -> Result<usize, String> {
        match self {
            Heap::Special(pool) => pool.free(address, tag, site),
            Heap::Fast(pool) => pool.free(address, tag),
        }
    }

    /// The block at or next to an address.
    pub(crate) fn describe(&self, address: u64) -> Option<History> {
        match self {
            Heap::Special(pool) => pool.describe(address),
            Heap::Fast(_) => None,
        }
    }

    /// Whether the address lies in a live block of paged pool.
    pub(crate) fn is_paged(&self, address: u64) -> bool {
        match self {
            Heap::Special(pool) => pool.is_paged(address),
            Heap::Fast(_) => false,
        }
    }

    /// Pages paged pool out, or in again.
    pub(crate) fn hide_paged(&self, hide: bool) {
        if let Heap::Special(pool) = self {
            pool.hide_paged(hide);
        }
    }

    /// Blocks not given back, oldest first.
    pub(crate) fn live(&self) -> Vec<Live> {
        match self {
            Heap::Special(pool) => pool.live(),
            Heap::Fast(pool) => pool.live(),
        }
    }

    /// Bytes of each kind; nothing with the fast pool.
    pub(crate) fn marks(&self) -> PoolMarks {
        match self {
            Heap::Special(pool) => pool.marks(),
            Heap::Fast(_) => PoolMarks::default(),
        }
    }

    /// Bytes and blocks in use.
    pub(crate) fn in_use(&self) -> (usize, usize) {
        match self {
            Heap::Special(pool) => pool.in_use(),
            Heap::Fast(pool) => pool.in_use(),
        }
    }
}

/// A tag as its four characters.
pub(crate) fn tag_text(tag: u32) -> String {
    tag.to_le_bytes().iter().map(|byte| char::from(*byte)).collect()
}
