//! Listing directories.

use std::mem::offset_of;
use std::sync::PoisonError;

use windows_sys::Wdk::Storage::FileSystem::FILE_ID_BOTH_DIR_INFORMATION;

use super::ob::Listing;
use super::text_of;
use super::zw_file::{complete, settle, waiting_file};
use crate::cpu::{PASSIVE, apis};
use crate::guest;
use crate::machine::{FileInfo, fold};
use crate::status::NtStatus;

const FILE_ID_BOTH_DIRECTORY: u32 = 37;
type Entry = FILE_ID_BOTH_DIR_INFORMATION;
const NAME: usize = offset_of!(Entry, FileName);

/// One entry without its link to the next.
fn encode(info: &FileInfo) -> Vec<u8> {
    let name: Vec<u8> = info.name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut out = vec![0u8; NAME + name.len()];
    let mut put = |offset: usize, bytes: &[u8]| {
        out[offset..offset + bytes.len()].copy_from_slice(bytes);
    };
    put(offset_of!(Entry, CreationTime), &info.created.to_le_bytes());
    put(offset_of!(Entry, LastAccessTime), &info.written.to_le_bytes());
    put(offset_of!(Entry, LastWriteTime), &info.written.to_le_bytes());
    put(offset_of!(Entry, ChangeTime), &info.changed.to_le_bytes());
    put(offset_of!(Entry, EndOfFile), &info.size.to_le_bytes());
    put(offset_of!(Entry, AllocationSize), &info.size.next_multiple_of(4096).to_le_bytes());
    put(offset_of!(Entry, FileAttributes), &info.attributes.to_le_bytes());
    put(offset_of!(Entry, FileNameLength), &(name.len() as u32).to_le_bytes());
    put(offset_of!(Entry, FileId), &info.id.to_le_bytes());
    put(NAME, &name);
    out
}

/// `*` and `?` over folded text.
fn matches(pattern: &[char], name: &[char]) -> bool {
    match (pattern.first(), name.first()) {
        (None, None) => true,
        (Some('*'), _) => {
            matches(&pattern[1..], name) || (!name.is_empty() && matches(pattern, &name[1..]))
        }
        (Some('?'), Some(_)) => matches(&pattern[1..], &name[1..]),
        (Some(one), Some(other)) => one == other && matches(&pattern[1..], &name[1..]),
        _ => false,
    }
}

apis! {
    ntoskrnl [PASSIVE, 3500, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ZwQueryDirectoryFile(cx, handle: u64, event: u64, _apc: u64, _context: u64, block: u64,
        buffer: u64, length: u32, class: u32, single: u8, pattern: u64, restart: u8) -> NtStatus {
        let file = match waiting_file(cx, handle)? {
            Ok(file) => file,
            Err(status) => return Ok(status),
        };
        if class != FILE_ID_BOTH_DIRECTORY {
            return Err(cx.misuse(format!("information class {class} is not modelled")));
        }
        if (length as usize) < NAME {
            return Ok(NtStatus::INFO_LENGTH_MISMATCH);
        }
        let mut listing = file.listing.lock().unwrap_or_else(PoisonError::into_inner);
        let first = listing.is_none();
        if first || restart != 0 {
            let machine = cx.kernel().machine();
            let mut entries = match settle(machine.disk().files().list(file.open))? {
                Ok(entries) => entries,
                Err(status) => return complete(cx, block, event, status, 0),
            };
            if pattern != 0 {
                let pattern: Vec<char> = fold(&text_of(cx, pattern)?).chars().collect();
                entries.retain(|entry| {
                    matches(&pattern, &fold(&entry.name).chars().collect::<Vec<_>>())
                });
            }
            *listing = Some(Listing { entries, next: 0 });
        }
        let Some(listing) = listing.as_mut() else { return Ok(NtStatus::UNSUCCESSFUL) };
        let mut out: Vec<u8> = Vec::new();
        let mut last = None;
        while let Some(info) = listing.entries.get(listing.next) {
            let entry = encode(info);
            let start = out.len().next_multiple_of(8);
            if start + entry.len() > length as usize {
                break;
            }
            if let Some(last) = last {
                let distance = (start - last) as u32;
                out[last..last + 4].copy_from_slice(&distance.to_le_bytes());
            }
            out.resize(start, 0);
            out.extend(entry);
            last = Some(start);
            listing.next += 1;
            if single != 0 {
                break;
            }
        }
        let status = match (out.is_empty(), listing.next < listing.entries.len(), first) {
            (false, ..) => NtStatus::SUCCESS,
            (_, true, _) => NtStatus::BUFFER_OVERFLOW,
            (.., true) => NtStatus::NO_SUCH_FILE,
            _ => NtStatus::NO_MORE_FILES,
        };
        guest::write_bytes(buffer, &out)?;
        complete(cx, block, event, status, out.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern: &str, name: &str| {
            let folded = |text: &str| fold(text).chars().collect::<Vec<_>>();
            matches(&folded(pattern), &folded(name))
        };
        assert!(check("*", "anything"));
        assert!(check("C-*.sys", "c-00000291-1.SYS"));
        assert!(check("?a*", "xab"));
        assert!(!check("C-*.sys", "c-1.sys.tmp"));
        assert!(!check("", "x"));
    }
}
