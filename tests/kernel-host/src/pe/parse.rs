//! Reading a PE file into a plan for mapping it. Pure and total: bad bytes are refused.

use std::collections::BTreeMap;

use object::LittleEndian as LE;
use object::pe;
use object::read::pe::{
    ExportTarget, ImageNtHeaders, ImageOptionalHeader, ImageThunkData, Import, PeFile64,
};

const PAGE: u32 = 4096;
const MAXIMUM_IMAGE: u32 = 256 << 20;

/// Why a file is not a driver that this host would load.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a PE file, or one whose tables lie outside it.
    #[error("malformed PE file: {0}")]
    Malformed(#[from] object::Error),
    /// A PE file that is no x64 kernel-mode driver, or one that Windows would refuse.
    #[error("refused: {0}")]
    Refused(String),
    /// No address space left, or 256 images loaded at once.
    #[error("cannot map the image: {0}")]
    Map(&'static str),
}

/// A section of the image.
#[derive(Clone, Debug)]
pub struct Section {
    /// Up to eight characters.
    pub name: String,
    /// Where it lies in the image.
    pub rva: u32,
    /// Its size in the image.
    pub size: u32,
    /// `IMAGE_SCN_*`.
    pub flags: u32,
    /// Where it lies in the file.
    raw: std::ops::Range<usize>,
}

impl Section {
    pub(super) fn is_readable(&self) -> bool {
        self.flags & 0x4000_0000 != 0
    }

    pub(super) fn is_writable(&self) -> bool {
        self.flags & 0x8000_0000 != 0
    }

    pub(super) fn is_executable(&self) -> bool {
        self.flags & 0x2000_0000 != 0
    }

    pub(super) fn is_discardable(&self) -> bool {
        self.flags & 0x0200_0000 != 0
    }

    fn contains(&self, rva: u32, length: u32) -> bool {
        rva >= self.rva
            && u64::from(rva) + u64::from(length) <= u64::from(self.rva) + u64::from(self.size)
    }
}

/// An import slot.
#[derive(Clone, Debug)]
pub(super) struct ImportSlot {
    pub dll: String,
    pub name: String,
    pub rva: u32,
}

/// All that is needed to map an image.
#[derive(Debug)]
pub(super) struct Plan {
    pub size: u32,
    pub preferred_base: u64,
    pub entry: u32,
    pub headers: usize,
    pub sections: Vec<Section>,
    pub relocations: Vec<u32>,
    pub imports: Vec<ImportSlot>,
    pub exports: BTreeMap<String, u32>,
    pub function_table: std::ops::Range<u32>,
}

impl Plan {
    /// The image as it lies in memory, before relocation.
    pub(super) fn lay_out(&self, file: &[u8]) -> Vec<u8> {
        let mut image = vec![0u8; self.size as usize];
        image[..self.headers].copy_from_slice(&file[..self.headers]);
        for section in &self.sections {
            let start = section.rva as usize;
            image[start..start + section.raw.len()].copy_from_slice(&file[section.raw.clone()]);
        }
        image
    }
}

/// An image as it lies in memory, for those who look at its code.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Its bytes, not relocated.
    pub image: Vec<u8>,
    function_table: std::ops::Range<u32>,
}

impl Layout {
    /// Lays out a driver's file.
    pub(crate) fn of(file: &[u8]) -> Result<Self, LoadError> {
        let plan = parse(file)?;
        Ok(Self { image: plan.lay_out(file), function_table: plan.function_table })
    }

    /// The functions that the unwind tables name, each from its first byte to behind its last.
    pub(crate) fn functions(&self) -> Vec<std::ops::Range<u32>> {
        let table = self.function_table.start as usize..self.function_table.end as usize;
        let (entries, _) = self.image.get(table).unwrap_or(&[]).as_chunks::<12>();
        let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        entries.iter().map(|entry| word(&entry[..4])..word(&entry[4..8])).collect()
    }
}

/// Reads and judges a file.
pub(super) fn parse(file: &[u8]) -> Result<Plan, LoadError> {
    let pe_file = PeFile64::parse(file)?;
    let header = pe_file.nt_headers().optional_header();
    let refuse = |why: &str| Err(LoadError::Refused(why.to_owned()));
    if pe_file.nt_headers().file_header().machine.get(LE) != pe::IMAGE_FILE_MACHINE_AMD64 {
        return refuse("not an x64 image");
    }
    if header.subsystem() != pe::IMAGE_SUBSYSTEM_NATIVE {
        return refuse("the subsystem is not NATIVE");
    }
    if header.section_alignment() != PAGE {
        return refuse("the section alignment is not 4096");
    }
    let size = match header.size_of_image().checked_next_multiple_of(PAGE) {
        Some(size) if (PAGE..=MAXIMUM_IMAGE).contains(&size) => size,
        _ => return refuse("the image is larger than 256 MiB or empty"),
    };
    let headers = header.size_of_headers() as usize;
    if headers > file.len() || headers > size as usize {
        return refuse("the headers lie outside the file");
    }
    let sections = sections(&pe_file, file, size)?;
    let entry = header.address_of_entry_point();
    if !sections.iter().any(|section| section.is_executable() && section.contains(entry, 1)) {
        return refuse("the entry point lies in no executable section");
    }
    let function_table = directory(&pe_file, pe::IMAGE_DIRECTORY_ENTRY_EXCEPTION, size)?;
    Ok(Plan {
        size,
        preferred_base: header.image_base(),
        entry,
        headers,
        relocations: relocations(&pe_file, file, size)?,
        imports: imports(&pe_file, &sections)?,
        exports: exports(&pe_file, size)?,
        function_table,
        sections,
    })
}

fn sections(pe_file: &PeFile64<'_>, file: &[u8], size: u32) -> Result<Vec<Section>, LoadError> {
    let mut sections = Vec::<Section>::new();
    for header in pe_file.section_table().iter() {
        let name = String::from_utf8_lossy(header.raw_name()).into_owned();
        let refuse = |why: &str| Err(LoadError::Refused(format!("section {name}: {why}")));
        let (offset, raw_size) = header.pe_file_range();
        let virtual_size = header.virtual_size.get(LE);
        let extent = virtual_size.max(raw_size);
        let rva = header.virtual_address.get(LE);
        let start = offset as usize;
        let raw = start..start + raw_size.min(virtual_size) as usize;
        if raw.end > file.len() {
            return refuse("its data lies outside the file");
        }
        if !rva.is_multiple_of(PAGE)
            || rva < PAGE
            || u64::from(rva) + u64::from(extent) > u64::from(size)
        {
            return refuse("it lies outside the image");
        }
        if sections.last().is_some_and(|last| rva < last.rva + last.size) {
            return refuse("it overlaps the one before it");
        }
        let section =
            Section { name, rva, size: extent, flags: header.characteristics.get(LE).0, raw };
        if section.is_writable() && section.is_executable() {
            let name = &section.name;
            return Err(LoadError::Refused(format!("section {name} is writable and executable")));
        }
        sections.push(section);
    }
    Ok(sections)
}

fn directory(
    pe_file: &PeFile64<'_>,
    index: usize,
    size: u32,
) -> Result<std::ops::Range<u32>, LoadError> {
    let Some(entry) = pe_file.data_directory(index) else {
        return Ok(0..0);
    };
    let start = entry.virtual_address.get(LE);
    match start.checked_add(entry.size.get(LE)) {
        Some(end) if end <= size => Ok(start..end),
        _ => Err(LoadError::Refused("a data directory lies outside the image".into())),
    }
}

fn relocations(pe_file: &PeFile64<'_>, file: &[u8], size: u32) -> Result<Vec<u32>, LoadError> {
    let mut found = Vec::new();
    let table = pe_file.section_table();
    let Some(mut blocks) = pe_file.data_directories().relocation_blocks(file, &table)? else {
        return Ok(found);
    };
    while let Some(block) = blocks.next()? {
        for relocation in block {
            match relocation.typ {
                pe::IMAGE_REL_BASED_ABSOLUTE => {}
                pe::IMAGE_REL_BASED_DIR64 => {
                    let rva = relocation.virtual_address;
                    if rva > size - 8 {
                        return Err(LoadError::Refused(
                            "a relocation lies outside the image".into(),
                        ));
                    }
                    found.push(rva);
                }
                other => {
                    return Err(LoadError::Refused(format!("relocation type {}", other.0)));
                }
            }
        }
    }
    Ok(found)
}

fn imports(pe_file: &PeFile64<'_>, sections: &[Section]) -> Result<Vec<ImportSlot>, LoadError> {
    let mut slots = Vec::new();
    let Some(table) = pe_file.import_table()? else {
        return Ok(slots);
    };
    let mut descriptors = table.descriptors()?;
    while let Some(descriptor) = descriptors.next()? {
        let dll = String::from_utf8_lossy(table.name(descriptor.name.get(LE))?).into_owned();
        let mut rva = descriptor.first_thunk.get(LE);
        let names = match descriptor.original_first_thunk.get(LE) {
            0 => rva,
            names => names,
        };
        let mut thunks = table.thunks(names)?;
        while let Some(thunk) = thunks.next::<pe::ImageNtHeaders64>()? {
            let name = match table.import::<pe::ImageNtHeaders64>(thunk)? {
                Import::Name(_, name) => String::from_utf8_lossy(name).into_owned(),
                Import::Ordinal(_) => format!("#{}", thunk.ordinal()),
            };
            let Some(section) = sections.iter().find(|section| section.contains(rva, 8)) else {
                return Err(LoadError::Refused(format!("the import slot of {name} lies nowhere")));
            };
            if section.is_executable() {
                return Err(LoadError::Refused("the import slots lie in executable code".into()));
            }
            slots.push(ImportSlot { dll: dll.clone(), name, rva });
            rva += 8;
        }
    }
    Ok(slots)
}

fn exports(pe_file: &PeFile64<'_>, size: u32) -> Result<BTreeMap<String, u32>, LoadError> {
    let mut found = BTreeMap::new();
    let Some(table) = pe_file.export_table()? else {
        return Ok(found);
    };
    for export in table.exports()? {
        if let (Some(name), ExportTarget::Address(rva)) = (export.name, export.target)
            && rva < size
        {
            found.insert(String::from_utf8_lossy(name).into_owned(), rva);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_the_made_up_image_cut_at_every_byte() {
        let whole = crate::pe::sample::image(0x6000_0020);
        assert!(parse(&whole).is_ok());
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "accepted when cut at {length}");
        }
    }

    #[test]
    fn no_changed_byte_makes_it_panic() {
        let whole = crate::pe::sample::image(0x6000_0020);
        for position in 0..whole.len() {
            for value in [0u8, 1, 0x7F, 0x80, 0xFF] {
                let mut changed = whole.clone();
                changed[position] = value;
                if let Ok(plan) = parse(&changed) {
                    plan.lay_out(&changed);
                }
            }
        }
    }

    #[test]
    fn refuses_a_writable_executable_section() {
        let error = parse(&crate::pe::sample::image(0xE000_0020)).unwrap_err();
        assert!(error.to_string().contains("writable and executable"), "{error}");
    }

    #[test]
    fn refuses_what_is_no_driver() {
        let mut other = crate::pe::sample::image(0x6000_0020);
        other[crate::pe::sample::SUBSYSTEM] = 3;
        assert!(parse(&other).unwrap_err().to_string().contains("subsystem"));
        assert!(parse(b"").is_err());
        assert!(parse(&[0u8; 4096]).is_err());
    }
}
