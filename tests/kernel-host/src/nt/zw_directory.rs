//! Listing directories.

use super::requests;
use super::text_of;
use super::transfer::{NAME, Transfer};
use super::zw_file::file;
use crate::cpu::{PASSIVE, apis};
use crate::status::NtStatus;

const FILE_ID_BOTH_DIRECTORY: u32 = 37;

apis! {
    ntoskrnl [PASSIVE, 3500, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ZwQueryDirectoryFile(cx, handle: u64, event: u64, _apc: u64, _context: u64, block: u64,
        buffer: u64, length: u32, class: u32, single: u8, pattern: u64, restart: u8) -> NtStatus {
        let file = match file(cx, handle)? {
            Ok(file) => file,
            Err(status) => return Ok(status),
        };
        if class != FILE_ID_BOTH_DIRECTORY {
            return Err(cx.misuse(format!("information class {class} is not modelled")));
        }
        if (length as usize) < NAME {
            return Ok(NtStatus::INFO_LENGTH_MISMATCH);
        }
        // The I/O manager copies the pattern before the request goes on.
        let pattern = if pattern == 0 { None } else { Some(text_of(cx, pattern)?) };
        let (single, restart) = (single != 0, restart != 0);
        let listing = Transfer::List { buffer, length, pattern, single, restart };
        requests::start(cx, file, block, event, listing)
    }
}
