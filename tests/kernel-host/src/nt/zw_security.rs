//! Security descriptors of files.

use super::zw_file::{file, settle};
use crate::cpu::{PASSIVE, apis};
use crate::guest;
use crate::status::NtStatus;

const OWNER_INFORMATION: u32 = 1;
const DACL_INFORMATION: u32 = 4;
/// `READ_CONTROL`, and the generic and maximum rights that hold it.
const READS_SECURITY: u32 = 0xF202_0000;

apis! {
    // ntifs.h: the caller needs READ_CONTROL; a buffer too small gets the length that is needed.
    ntoskrnl [PASSIVE, 3000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ZwQuerySecurityObject(cx, handle: u64, what: u32, buffer: u64, length: u32, needed: u64)
        -> NtStatus {
        let file = match file(cx, handle)? {
            Ok(file) => file,
            Err(status) => return Ok(status),
        };
        if what != OWNER_INFORMATION | DACL_INFORMATION {
            return Err(cx.misuse(format!("security information {what:#x} is not modelled")));
        }
        if file.access & READS_SECURITY == 0 {
            return Ok(NtStatus::ACCESS_DENIED);
        }
        let machine = cx.kernel().machine();
        let descriptor = match settle(machine.disk().files().security(file.open))? {
            Ok(descriptor) => descriptor,
            Err(status) => return Ok(status),
        };
        guest::write(needed, descriptor.len() as u32)?;
        if descriptor.len() > length as usize {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        }
        guest::write_bytes(buffer, &descriptor)?;
        Ok(NtStatus::SUCCESS)
    }
}
