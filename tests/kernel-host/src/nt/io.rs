//! The I/O manager: stack limits, boot reinitialization.

use crate::cpu::{ANY, DISPATCH, PASSIVE, apis};
use crate::guest;
use crate::kernel::Reinitialization;

apis! {
    ntoskrnl [DISPATCH, 20]
    fn IoGetRemainingStackSize(cx) -> u64 {
        Ok(cx.caller_stack() - cx.kpcr().stack_low)
    }

    ntoskrnl [ANY, 20]
    fn IoGetStackLimits(cx, low: u64, high: u64) -> () {
        guest::write(low, cx.kpcr().stack_low)?;
        guest::write(high, cx.kpcr().stack_high)?;
        Ok(())
    }

    ntoskrnl [PASSIVE, 200]
    fn IoRegisterBootDriverReinitialization(cx, driver_object: u64, routine: u64, context: u64)
        -> () {
        cx.kernel().reinitialization().push(Reinitialization {
            driver_object,
            routine,
            context,
            count: 0,
        });
        Ok(())
    }
}
