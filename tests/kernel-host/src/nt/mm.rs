//! Memory: routine lookup and careful copies.

use super::text_of;
use crate::cpu::{APC, DISPATCH, PASSIVE, api_address, apis, direct_export};
use crate::guest;
use crate::status::NtStatus;

apis! {
    ntoskrnl [PASSIVE, 500]
    fn MmGetSystemRoutineAddress(cx, name: u64) -> u64 {
        let name = text_of(cx, name)?;
        let exports = cx.kernel().exports();
        let found = direct_export(&name).or_else(|| exports.address(&name));
        Ok(found.or_else(|| api_address(&name)).unwrap_or(0))
    }

    ntoskrnl [APC, 500]
    fn MmCopyMemory(cx, target: u64, source: u64, count: u64, flags: u32, copied: u64)
        -> NtStatus {
        const VIRTUAL: u32 = 2;
        if flags != VIRTUAL {
            guest::write(copied, 0u64)?;
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        // The target must be resident and nonpaged: a fault there is the driver's, and the source's
        // is not. [MicrosoftDocs/windows-driver-docs-ddi: ntddk/nf-ntddk-mmcopymemory]
        match guest::bytes(source, count as usize) {
            Ok(bytes) => {
                guest::write_bytes(target, &bytes)?;
                cx.kernel().filters().changing().copied(source, count);
                guest::write(copied, count)?;
                Ok(NtStatus::SUCCESS)
            }
            Err(fault) => {
                guest::write(copied, fault.address.saturating_sub(source).min(count))?;
                Ok(NtStatus(0xC000_0005))
            }
        }
    }

    ntoskrnl [DISPATCH, 100]
    fn MmIsAddressValid(_cx, address: u64) -> bool {
        Ok(guest::read::<u8>(address).is_ok())
    }
}
