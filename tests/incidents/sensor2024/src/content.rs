//! The content interpreter, which believes what a file says.

use core::ptr::{null_mut, read_unaligned};

use crate::Input;
use crate::nt::*;

const MAGIC: u64 = u64::from_le_bytes(*b"\x89SAKER\r\n");
const RULES: usize = 2;
const CRITERIA: usize = 4;
const UNITS: usize = 5;

/// A file in memory.
pub struct Content {
    file: *const u8,
}

impl Content {
    pub unsafe fn of(file: *const u8) -> Self {
        Self { file }
    }

    /// Whether one of the criteria holds and the file blocks.
    pub unsafe fn blocks(&self, inputs: *const Input) -> bool {
        unsafe {
            let (criteria, length) = self.section(CRITERIA);
            let mut held = false;
            for index in 0..length as usize / 24 {
                held |= self.holds(criteria.add(index * 24), inputs);
            }
            let (rules, _) = self.section(RULES);
            held && *rules.add(35) != 0
        }
    }

    /// Reads the input that the record names and compares it with the literal that it points to.
    unsafe fn holds(&self, record: *const u8, inputs: *const Input) -> bool {
        unsafe {
            // 20 inputs are there; the record says which one it wants.
            let input = *inputs.add(usize::from(*record));
            let operator = *record.add(1);
            let length = usize::from(read_unaligned(record.add(4).cast::<u16>()));
            let place = read_unaligned(record.add(8).cast::<u64>()) as usize;
            let literal = self.section(UNITS).0.wrapping_add(place.wrapping_mul(2)).cast::<u16>();
            let last = input.length.wrapping_sub(length);
            match operator {
                1 => input.length == length && same(input.units, literal, length),
                2 => input.length >= length && same(input.units, literal, length),
                3 => {
                    input.length >= length && same(input.units.wrapping_add(last), literal, length)
                }
                4 => {
                    input.length >= length
                        && (0..=last).any(|at| same(input.units.wrapping_add(at), literal, length))
                }
                6 => !input.units.is_null(),
                // Numbers are read from where the input points to.
                8..=12 => u64::from(*input.units) == place as u64,
                _ => false,
            }
        }
    }

    /// A section by its place in the directory.
    unsafe fn section(&self, index: usize) -> (*const u8, u32) {
        unsafe {
            let entry = self.file.add(160 + 16 * index);
            let offset = read_unaligned(entry.add(8).cast::<u32>());
            (self.file.add(offset as usize), read_unaligned(entry.add(12).cast::<u32>()))
        }
    }
}

unsafe fn same(one: *const u16, other: *const u16, length: usize) -> bool {
    let fold = |unit: u16| if (0x61..=0x7A).contains(&unit) { unit - 0x20 } else { unit };
    unsafe { (0..length).all(|at| fold(*one.add(at)) == fold(read_unaligned(other.add(at)))) }
}

/// The contents of the newest file of the channel, by name; null if there is none or it cannot be
/// read. A file that does not begin as one is none.
pub unsafe fn newest() -> *mut u8 {
    unsafe {
        let mut name = [0_u16; 64];
        let length = find_newest(&mut name);
        if length == 0 {
            return null_mut();
        }
        let mut path = [0_u16; 128];
        let folder = join(&mut path, 0, FOLDER);
        path[folder] = u16::from(b'\\');
        path[folder + 1..folder + 1 + length].copy_from_slice(&name[..length]);
        let handle = open(&path[..folder + 1 + length], FILE_SYNCHRONOUS);
        if handle.is_null() {
            return null_mut();
        }
        let file = read(handle);
        ZwClose(handle);
        file
    }
}

const FOLDER: &[u8] = b"\\SystemRoot\\System32\\drivers\\CrowdStrike";
const PATTERN: &[u8] = b"C-00000291*.sys";
const FILE_SYNCHRONOUS: u32 = 0x20;

unsafe fn find_newest(newest: &mut [u16; 64]) -> usize {
    unsafe {
        let mut path = [0_u16; 64];
        let length = join(&mut path, 0, FOLDER);
        let handle = open(&path[..length], FILE_SYNCHRONOUS | 1);
        if handle.is_null() {
            return 0;
        }
        let mut pattern = [0_u16; 32];
        let length = join(&mut pattern, 0, PATTERN);
        let pattern = string(&pattern[..length]);
        let entry = ExAllocatePool2(PAGED, 1024, TAG);
        let (mut found, mut restart) = (0, 1);
        while !entry.is_null() {
            let mut block = [0_usize; 2];
            let status = ZwQueryDirectoryFile(
                handle,
                null_mut(),
                null_mut(),
                null_mut(),
                &mut block,
                entry,
                1024,
                37,
                1,
                &pattern,
                restart,
            );
            restart = 0;
            if status != 0 {
                break;
            }
            // FILE_ID_BOTH_DIR_INFORMATION: the name's length at 60, the name at 104.
            let length = (read_unaligned(entry.add(60).cast::<u32>()) / 2) as usize;
            let name = core::slice::from_raw_parts(entry.add(104).cast::<u16>(), length.min(64));
            if name > &newest[..found] {
                newest[..name.len()].copy_from_slice(name);
                found = name.len();
            }
        }
        if !entry.is_null() {
            ExFreePoolWithTag(entry, TAG);
        }
        ZwClose(handle);
        found
    }
}

unsafe fn read(handle: HANDLE) -> *mut u8 {
    unsafe {
        // FILE_STANDARD_INFORMATION: the end of the file at 8.
        let mut standard = [0_u64; 3];
        let mut block = [0_usize; 2];
        let information = standard.as_mut_ptr().cast();
        if ZwQueryInformationFile(handle, &mut block, information, 24, 5) < 0 || standard[1] < 1024
        {
            return null_mut();
        }
        let size = standard[1] as usize;
        let file = ExAllocatePool2(PAGED, size, TAG);
        if file.is_null() {
            return null_mut();
        }
        let start = 0_i64;
        let status = ZwReadFile(
            handle,
            null_mut(),
            null_mut(),
            null_mut(),
            &mut block,
            file,
            size as u32,
            &start,
            null_mut(),
        );
        if status < 0 || read_unaligned(file.cast::<u64>()) != MAGIC {
            ExFreePoolWithTag(file, TAG);
            return null_mut();
        }
        file
    }
}

/// Opens a file or, with bit 0 of `options`, a folder. Null if it cannot be.
unsafe fn open(path: &[u16], options: u32) -> HANDLE {
    unsafe {
        let name = string(path);
        let attributes = attributes(&name, OBJ_KERNEL_HANDLE);
        let mut handle = null_mut();
        let mut block = [0_usize; 2];
        // Read and synchronize, shared with readers.
        let status = ZwOpenFile(&mut handle, 0x12_0089, &attributes, &mut block, 1, options);
        if status < 0 { null_mut() } else { handle }
    }
}

fn join(path: &mut [u16], at: usize, text: &[u8]) -> usize {
    for (unit, byte) in path[at..].iter_mut().zip(text) {
        *unit = u16::from(*byte);
    }
    at + text.len()
}
