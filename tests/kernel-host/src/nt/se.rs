//! Security: the image name of a process.

use crate::cpu::{PASSIVE, apis};
use crate::guest::{self, UnicodeString};
use crate::pool::Request;
use crate::status::NtStatus;

const TAG: u32 = u32::from_le_bytes(*b"SeNm");

apis! {
    ntoskrnl [PASSIVE, 2500, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn SeLocateProcessImageName(cx, process: u64, out: u64) -> NtStatus {
        guest::write(out, 0u64)?;
        let kernel = cx.kernel();
        let Some(process) = kernel.processes().find(process) else {
            return Err(cx.misuse(format!("{process:#x} is no process")));
        };
        let Some(image) = &process.spec().image else { return Ok(NtStatus::NOT_FOUND) };
        let units: Vec<u8> = image.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let request = Request {
            size: 16 + units.len() + 2,
            tag: TAG,
            paged: true,
            zeroed: true,
            site: cx.site(),
        };
        let block = kernel.pool().allocate(request);
        guest::write_bytes(block + 16, &units)?;
        let length = units.len() as u16;
        UnicodeString { length, maximum: length + 2, buffer: block + 16 }.write(block)?;
        guest::write(out, block)?;
        Ok(NtStatus::SUCCESS)
    }
}
