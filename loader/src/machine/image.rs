//! Where in a driver's file its keys go.
//!
//! A driver is linked with a section `.anchor` of zeros; with those it loads nothing. Stamping
//! changes that section's bytes and the checksum of the PE header, and nothing else of the file.

use std::ops::Range;

use channel_format::limits::ANCHOR_LEN;
use object::LittleEndian as LE;
use object::pe;
use object::read::pe::{ImageNtHeaders as _, ImageOptionalHeader as _, PeFile64};
use thiserror::Error;

/// The section's name, as its header holds it.
const ANCHOR_NAME: [u8; 8] = *b".anchor\0";
/// Offset in the DOS header of where the PE header is.
const PE_AT: usize = 0x3C;
/// Offset in the PE header of the checksum: signature, file header, 64 bytes of the optional one.
const CHECKSUM_IN_PE: usize = 4 + 20 + 64;

/// Why a file is not a driver that can be stamped.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ImageError {
    /// The file is no 64-bit PE image, or is cut short.
    #[error("no 64-bit Windows image: {0}")]
    NotAnImage(String),
    /// The image is for another processor than x86-64 or ARM64.
    #[error("the image is for machine {0:#06x}, not for x86-64 (0x8664) or ARM64 (0xaa64)")]
    Machine(u16),
    /// The image is for another subsystem than the kernel's.
    #[error("the image is for subsystem {0}, not a native one (1), so it is no driver")]
    Subsystem(u16),
    /// The image has no `.anchor`, or more than one.
    #[error("the image has {0} sections .anchor, not one")]
    Anchors(usize),
    /// `.anchor` has another size in memory.
    #[error("the section .anchor has {0} bytes, not {ANCHOR_LEN}")]
    AnchorSize(u32),
    /// `.anchor` is not in the file as a whole.
    #[error("the section .anchor is not within the file: {length} bytes at {offset}")]
    AnchorPlace {
        /// Where its header says it begins.
        offset: u32,
        /// How long its header says it is in the file.
        length: u32,
    },
    /// The image carries an Authenticode signature.
    #[error("the image carries an Authenticode signature, which stamping would break")]
    Signed,
}

/// A driver's image.
#[derive(Debug)]
pub struct Image<'a> {
    bytes: &'a [u8],
    machine: u16,
    is_signed: bool,
    anchor: Range<usize>,
    checksum: Range<usize>,
}

impl<'a> Image<'a> {
    /// A driver that can be stamped: one that carries no signature.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let image = Self::read(bytes)?;
        if image.is_signed { Err(ImageError::Signed) } else { Ok(image) }
    }

    /// Finds the anchor and the checksum.
    pub fn read(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let words = |error: object::Error| ImageError::NotAnImage(error.to_string());
        let cut = || ImageError::NotAnImage("the headers are cut short".into());
        let file = PeFile64::parse(bytes).map_err(words)?;
        let headers = file.nt_headers();
        let machine = headers.file_header().machine.get(LE);
        if machine != pe::IMAGE_FILE_MACHINE_AMD64 && machine != pe::IMAGE_FILE_MACHINE_ARM64 {
            return Err(ImageError::Machine(machine.0));
        }
        let subsystem = headers.optional_header().subsystem();
        if subsystem != pe::IMAGE_SUBSYSTEM_NATIVE {
            return Err(ImageError::Subsystem(subsystem.0));
        }
        // Not `data_directory`, which overlooks a table without an address.
        let certificates = file.data_directories().iter().nth(pe::IMAGE_DIRECTORY_ENTRY_SECURITY);
        let is_signed = certificates
            .is_some_and(|table| table.virtual_address.get(LE) != 0 || table.size.get(LE) != 0);

        let table = file.section_table();
        let anchors: Vec<_> = table.iter().filter(|section| section.name == ANCHOR_NAME).collect();
        let &[anchor] = &anchors[..] else {
            return Err(ImageError::Anchors(anchors.len()));
        };
        let size = anchor.virtual_size.get(LE);
        if usize::try_from(size) != Ok(ANCHOR_LEN) {
            return Err(ImageError::AnchorSize(size));
        }
        let (offset, length) =
            (anchor.pointer_to_raw_data.get(LE), anchor.size_of_raw_data.get(LE));
        let place = ImageError::AnchorPlace { offset, length };
        if length < size || offset < headers.optional_header().size_of_headers() {
            return Err(place);
        }
        let anchor = range(offset, ANCHOR_LEN, bytes).ok_or(place)?;

        let pe_header = bytes.get(PE_AT..).and_then(|rest| rest.first_chunk()).ok_or_else(cut)?;
        let checksum = u32::from_le_bytes(*pe_header)
            .checked_add(CHECKSUM_IN_PE as u32)
            .and_then(|at| range(at, 4, bytes))
            .ok_or_else(cut)?;
        Ok(Self { bytes, machine: machine.0, is_signed, anchor, checksum })
    }

    /// The processor it is for, as COFF numbers it.
    pub const fn machine(&self) -> u16 {
        self.machine
    }

    /// True when it carries an Authenticode signature.
    pub const fn is_signed(&self) -> bool {
        self.is_signed
    }

    /// What the anchor holds.
    pub fn anchor(&self) -> &'a [u8] {
        self.bytes.get(self.anchor.clone()).unwrap_or_default()
    }

    /// True when the anchor is as linked.
    pub fn is_blank(&self) -> bool {
        self.anchor().iter().all(|byte| *byte == 0)
    }

    /// The whole file with this anchor and the checksum that then is right.
    pub fn stamped(&self, anchor: &[u8; ANCHOR_LEN]) -> Vec<u8> {
        let mut bytes = self.bytes.to_vec();
        bytes[self.anchor.clone()].copy_from_slice(anchor);
        bytes[self.checksum.clone()].fill(0);
        let checksum = checksum(&bytes);
        bytes[self.checksum.clone()].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

fn range(offset: u32, length: usize, within: &[u8]) -> Option<Range<usize>> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(length)?;
    (end <= within.len()).then_some(start..end)
}

/// The PE checksum of a file whose checksum field is zero: its little-endian 16-bit words, summed
/// with end-around carry, plus its length.
fn checksum(bytes: &[u8]) -> u32 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += match *pair {
            [low, high] => u32::from(u16::from_le_bytes([low, high])),
            [low] => u32::from(low),
            _ => 0,
        };
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    // Files are bounded when they are read, far below the field's range.
    sum.wrapping_add(bytes.len() as u32)
}

/// The least driver, for tests.
#[cfg(test)]
pub(crate) fn made_driver(is_stamped: bool, is_signed: bool) -> Vec<u8> {
    tests::made_driver(is_stamped, is_signed)
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
