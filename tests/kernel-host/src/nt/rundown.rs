//! Rundown protection. Bit 0 of the reference says that rundown has begun, the rest counts.

use crate::cpu::{APC, Cx, DISPATCH, Trap, apis};
use crate::guest::{self, compare_exchange, fetch_add};

const ACTIVE: u64 = 1;
const ONE: u64 = 2;

fn initialize(cx: &Cx<'_>, reference: u64) -> Result<(), Trap> {
    guest::write(reference, 0u64)?;
    // The fast pool does not tell when the memory of a reference is gone.
    if cx.kernel().is_checked() {
        cx.kernel().ledger().watch_rundown(reference, cx.site());
    }
    Ok(())
}

apis! {
    ntoskrnl [APC, 50]
    fn ExInitializeRundownProtection(cx, reference: u64) -> () {
        initialize(cx, reference)
    }

    ntoskrnl [APC, 50]
    fn ExReInitializeRundownProtection(cx, reference: u64) -> () {
        if guest::read::<u64>(reference)? != ACTIVE {
            return Err(cx.misuse("the rundown before is not completed"));
        }
        guest::write(reference, 0u64)?;
        Ok(())
    }

    ntoskrnl [DISPATCH, 50]
    fn ExAcquireRundownProtection(_cx, reference: u64) -> bool {
        let mut value: u64 = guest::read(reference)?;
        loop {
            if value & ACTIVE != 0 {
                return Ok(false);
            }
            let found = compare_exchange(reference, value, value + ONE)?;
            if found == value {
                return Ok(true);
            }
            value = found;
        }
    }

    ntoskrnl [DISPATCH, 50]
    fn ExReleaseRundownProtection(cx, reference: u64) -> () {
        let before = fetch_add(reference, ONE.wrapping_neg())?;
        if before < ONE {
            return Err(cx.misuse("released more often than acquired"));
        }
        if before == ONE + ACTIVE {
            cx.kernel().sched().wake();
        }
        Ok(())
    }

    ntoskrnl [APC, 500]
    fn ExWaitForRundownProtectionRelease(cx, reference: u64) -> () {
        let mut value: u64 = guest::read(reference)?;
        while value & ACTIVE == 0 {
            let found = compare_exchange(reference, value, value | ACTIVE)?;
            if found == value {
                break;
            }
            value = found;
        }
        let kernel = cx.kernel();
        kernel.sched().block(kernel, crate::sched::Deadline::Never, || {
            Ok((guest::read::<u64>(reference)? == ACTIVE).then_some(()))
        })?;
        Ok(())
    }

    ntoskrnl [APC, 50]
    fn ExRundownCompleted(cx, reference: u64) -> () {
        if guest::read::<u64>(reference)? >= ONE {
            return Err(cx.misuse("references are still held"));
        }
        guest::write(reference, ACTIVE)?;
        Ok(())
    }
}
