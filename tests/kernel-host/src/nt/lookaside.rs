//! Lookaside lists. As under Driver Verifier each block comes from the pool and goes back there.
//!
//! The functions that take blocks from a list are inline: they pop from the list's head, which is
//! always empty here, and then call what `Allocate` of the list points at. [wdm.h]

use crate::cpu::{ANY, APC, Cx, DISPATCH, Trap, api_address, apis};
use crate::guest;
use crate::ledger::Debt;
use crate::status::NtStatus;

/// `GENERAL_LOOKASIDE` on x64.
mod offset {
    pub(super) const DEPTH: u64 = 0x10;
    pub(super) const TYPE: u64 = 0x24;
    pub(super) const TAG: u64 = 0x28;
    pub(super) const SIZE: u64 = 0x2C;
    pub(super) const ALLOCATE: u64 = 0x30;
    pub(super) const FREE: u64 = 0x38;
}
const NON_PAGED_EXECUTE: u32 = 0;
const PAGED: u32 = 1;
const NON_PAGED_NX: u32 = 0x200;

struct Wanted {
    allocate: u64,
    free: u64,
    pool: u32,
    size: u64,
    tag: u32,
}

fn initialize(cx: &Cx<'_>, list: u64, wanted: Wanted) -> Result<(), Trap> {
    let kernel = cx.kernel();
    if !list.is_multiple_of(16) {
        return Err(cx.misuse(format!("the list at {list:#x} is not aligned to 16 bytes")));
    }
    if kernel.pool().is_paged(list) && wanted.pool != PAGED {
        return Err(cx.misuse(format!("the list at {list:#x} lies in paged pool")));
    }
    if kernel.ledger().owes(Debt::Lookaside, list) != 0 {
        return Err(cx.misuse("the list is initialised already"));
    }
    if wanted.pool == NON_PAGED_EXECUTE {
        return Err(cx.misuse("executable pool"));
    }
    let or =
        |given: u64, name: &str| if given == 0 { api_address(name).unwrap_or(0) } else { given };
    for offset in (0..0x60).step_by(8) {
        guest::write(list + offset, 0u64)?;
    }
    guest::write(list + offset::DEPTH, 0u32)?;
    guest::write(list + offset::TYPE, wanted.pool)?;
    guest::write(list + offset::TAG, wanted.tag)?;
    guest::write(list + offset::SIZE, wanted.size as u32)?;
    guest::write(list + offset::ALLOCATE, or(wanted.allocate, "ExAllocatePoolWithTag"))?;
    guest::write(list + offset::FREE, or(wanted.free, "ExFreePool"))?;
    kernel.ledger().owe(Debt::Lookaside, list, cx.site());
    Ok(())
}

fn delete(cx: &Cx<'_>, list: u64) -> Result<(), Trap> {
    if !cx.kernel().ledger().settle(Debt::Lookaside, list) {
        return Err(cx.misuse(format!("{list:#x} is no initialised list")));
    }
    Ok(())
}

apis! {
    ntoskrnl [DISPATCH, 200]
    fn ExInitializeNPagedLookasideList(cx, list: u64, allocate: u64, free: u64, flags: u32,
        size: u64, tag: u32, _depth: u16) -> () {
        // POOL_NX_ALLOCATION 0x200, or POOL_NX_OPTIN of the whole driver.
        let pool = flags & NON_PAGED_NX;
        initialize(cx, list, Wanted { allocate, free, pool, size, tag })
    }

    ntoskrnl [DISPATCH, 200]
    fn ExInitializePagedLookasideList(cx, list: u64, allocate: u64, free: u64, _flags: u32,
        size: u64, tag: u32, _depth: u16) -> () {
        initialize(cx, list, Wanted { allocate, free, pool: PAGED, size, tag })
    }

    // [DDI: wdm/nf-wdm-exinitializelookasidelistex]
    ntoskrnl [DISPATCH, 200, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ExInitializeLookasideListEx(cx, list: u64, allocate: u64, free: u64, pool: u32, _flags: u32,
        size: u64, tag: u32, _depth: u16) -> NtStatus {
        initialize(cx, list, Wanted { allocate, free, pool, size, tag })?;
        Ok(NtStatus::SUCCESS)
    }

    ntoskrnl [DISPATCH, 200]
    fn ExDeleteNPagedLookasideList(cx, list: u64) -> () {
        delete(cx, list)
    }

    ntoskrnl [APC, 200]
    fn ExDeletePagedLookasideList(cx, list: u64) -> () {
        delete(cx, list)
    }

    ntoskrnl [DISPATCH, 200]
    fn ExDeleteLookasideListEx(cx, list: u64) -> () {
        delete(cx, list)
    }

    ntoskrnl [DISPATCH, 50]
    fn ExFlushLookasideListEx(_cx, _list: u64) -> () {
        Ok(())
    }

    ntoskrnl [ANY, 20]
    fn ExQueryDepthSList(_cx, _list: u64) -> u16 {
        Ok(0)
    }

    ntoskrnl [ANY, 20]
    fn ExpInterlockedPopEntrySList(_cx, _list: u64) -> u64 {
        Ok(0)
    }
}
