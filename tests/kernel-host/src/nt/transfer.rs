//! What a read, a write and a listing do to disk and memory, whenever that happens.

use std::mem::offset_of;
use std::sync::PoisonError;

use windows_sys::Wdk::Storage::FileSystem::FILE_ID_BOTH_DIR_INFORMATION;

use super::OpenFile;
use super::ob::Listing;
use super::zw_file::settle;
use crate::cpu::Trap;
use crate::guest;
use crate::kernel::Kernel;
use crate::machine::{FileInfo, fold};
use crate::status::NtStatus;

type Entry = FILE_ID_BOTH_DIR_INFORMATION;
/// Where an entry's name begins.
pub(super) const NAME: usize = offset_of!(Entry, FileName);

/// A transfer between a file and driver memory.
#[derive(Debug)]
pub(super) enum Transfer {
    Read { buffer: u64, length: u32, start: u64 },
    Write { buffer: u64, length: u32, start: u64 },
    List { buffer: u64, length: u32, pattern: Option<String>, single: bool, restart: bool },
}

/// What came of a transfer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finished {
    pub status: NtStatus,
    pub information: u64,
}

impl Transfer {
    /// The driver's memory that it may touch.
    pub(super) fn memory(&self) -> (u64, u64) {
        let (Transfer::Read { buffer, length, .. }
        | Transfer::Write { buffer, length, .. }
        | Transfer::List { buffer, length, .. }) = self;
        (*buffer, u64::from(*length))
    }

    pub(super) fn perform(&self, kernel: &Kernel, file: &OpenFile) -> Result<Finished, Trap> {
        let machine = kernel.machine();
        let now = kernel.clock().system_time();
        let done = match self {
            Transfer::Read { buffer, length, start } => {
                let read = machine.disk().files().read(file.open, *start, *length as usize);
                match settle(read)? {
                    Ok(data) => {
                        guest::write_bytes(*buffer, &data)?;
                        Ok((*start, data.len()))
                    }
                    Err(status) => Err(status),
                }
            }
            Transfer::Write { buffer, length, start } => {
                let data = guest::bytes(*buffer, *length as usize)?;
                let written = machine.disk().files().at(now).write(file.open, *start, &data);
                settle(written)?.map(|()| (*start, data.len()))
            }
            Transfer::List { buffer, length, pattern, single, restart } => {
                return list(kernel, file, *buffer, *length, pattern.as_deref(), *single, *restart);
            }
        };
        Ok(match done {
            Ok((start, count)) => {
                let mut position = file.position.lock().unwrap_or_else(PoisonError::into_inner);
                *position = start + count as u64;
                Finished { status: NtStatus::SUCCESS, information: count as u64 }
            }
            Err(status) => Finished { status, information: 0 },
        })
    }
}

fn list(
    kernel: &Kernel,
    file: &OpenFile,
    buffer: u64,
    length: u32,
    pattern: Option<&str>,
    single: bool,
    restart: bool,
) -> Result<Finished, Trap> {
    let mut listing = file.listing.lock().unwrap_or_else(PoisonError::into_inner);
    let first = listing.is_none();
    if first || restart {
        let machine = kernel.machine();
        let mut entries = match settle(machine.disk().files().list(file.open))? {
            Ok(entries) => entries,
            Err(status) => return Ok(Finished { status, information: 0 }),
        };
        if let Some(pattern) = pattern {
            let pattern: Vec<char> = fold(pattern).chars().collect();
            entries
                .retain(|entry| matches(&pattern, &fold(&entry.name).chars().collect::<Vec<_>>()));
        }
        *listing = Some(Listing { entries, next: 0 });
    }
    let Some(listing) = listing.as_mut() else {
        return Ok(Finished { status: NtStatus::UNSUCCESSFUL, information: 0 });
    };
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
        if single {
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
    Ok(Finished { status, information: out.len() as u64 })
}

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
