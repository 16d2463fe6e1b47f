//! The I/O manager: stack limits, boot reinitialization.

use std::mem::offset_of;

use windows_sys::Wdk::Foundation::FILE_OBJECT;

use crate::cpu::{ANY, APC, DISPATCH, PASSIVE, apis};
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

    // [DDI: ntddk/nf-ntddk-ioisfileoriginremote]
    ntoskrnl [APC, 50]
    fn IoIsFileOriginRemote(_cx, file: u64) -> bool {
        const FO_REMOTE_ORIGIN: u32 = 0x0100_0000;
        let flags: u32 = guest::read(file + offset_of!(FILE_OBJECT, Flags) as u64)?;
        Ok(flags & FO_REMOTE_ORIGIN != 0)
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
