//! Pool.

use crate::bug::{Bug, BugKind};
use crate::cpu::{APC, Cx, DISPATCH, Trap, apis};
use crate::pool::Request;

const POOL_FLAG_UNINITIALIZED: u64 = 0x2;
const POOL_FLAG_RAISE: u64 = 0x20;
const POOL_FLAG_NON_PAGED: u64 = 0x40;
const POOL_FLAG_EXECUTE: u64 = 0x80;
const POOL_FLAG_PAGED: u64 = 0x100;

fn allocate(cx: &Cx<'_>, size: u64, tag: u32, paged: bool, zeroed: bool) -> Result<u64, Trap> {
    if paged {
        cx.require_irql("allocation of paged pool", APC)?;
    }
    if size == 0 {
        return Err(cx.misuse("allocation of zero bytes"));
    }
    if tag == 0 {
        return Err(cx.misuse("allocation without a tag"));
    }
    if size > 1 << 31 {
        return Ok(0);
    }
    let site = cx.cheap_site();
    let request = Request { size: size as usize, tag, paged, zeroed, site };
    Ok(cx.kernel().pool().allocate(request))
}

pub(super) fn free(cx: &Cx<'_>, block: u64, tag: Option<u32>) -> Result<(), Trap> {
    let pool = cx.kernel().pool();
    if pool.is_paged(block) {
        cx.require_irql("free of paged pool", APC)?;
    }
    let size = pool.free(block, tag, cx.cheap_site()).map_err(|why| {
        let bug = Bug::bare(BugKind::Pool(why));
        cx.trap_with_history(bug, block)
    })?;
    if cx.kernel().requests().touch(&(block..block + size as u64)) {
        return Err(cx.misuse("a file request that is not over may still touch the block"));
    }
    if cx.kernel().is_checked() {
        let memory = block..block + size as u64;
        if let Some(alive) = cx.kernel().ledger().alive_in(&memory) {
            return Err(cx.misuse(format!("the block holds something in use: {alive}")));
        }
        cx.kernel().orders().forget(&memory);
        cx.kernel().ledger().forget_rundowns(memory);
    }
    Ok(())
}

apis! {
    ntoskrnl [DISPATCH, 300, fails 0]
    fn ExAllocatePool2(cx, flags: u64, size: u64, tag: u32) -> u64 {
        if flags & POOL_FLAG_EXECUTE != 0 {
            return Err(cx.misuse("executable pool"));
        }
        if flags & POOL_FLAG_RAISE != 0 {
            return Err(cx.misuse("POOL_FLAG_RAISE_ON_FAILURE raises a structured exception"));
        }
        let kinds = flags & (POOL_FLAG_NON_PAGED | POOL_FLAG_PAGED);
        if kinds != POOL_FLAG_NON_PAGED && kinds != POOL_FLAG_PAGED {
            return Err(cx.misuse(format!("flags {flags:#x} name no kind of pool, or two")));
        }
        let zeroed = flags & POOL_FLAG_UNINITIALIZED == 0;
        allocate(cx, size, tag, kinds == POOL_FLAG_PAGED, zeroed)
    }

    ntoskrnl [DISPATCH, 300, fails 0]
    fn ExAllocatePoolWithTag(cx, kind: u32, size: u64, tag: u32) -> u64 {
        if kind & 1 == 0 && kind & 0x200 == 0 {
            return Err(cx.misuse("executable pool"));
        }
        allocate(cx, size, tag, kind & 1 != 0, false)
    }

    ntoskrnl [DISPATCH, 300]
    fn ExFreePoolWithTag(cx, block: u64, tag: u32) -> () {
        free(cx, block, (tag != 0).then_some(tag))
    }

    ntoskrnl [DISPATCH, 300]
    fn ExFreePool(cx, block: u64) -> () {
        free(cx, block, None)
    }
}
