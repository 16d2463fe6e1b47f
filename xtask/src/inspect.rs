//! What a driver image must look like, read from the file itself.
//!
//! Two steps: [`Facts::read`] takes an image apart, [`faults`] says what is wrong with it. The
//! second is plain logic over plain data, so that every rule is tested both ways without an image
//! having to be made for each.

use iced_x86::{Decoder, DecoderOptions, EncodingKind, Mnemonic};
use object::LittleEndian as LE;
use object::pe;
use object::read::pe::{ImageNtHeaders as _, ImageOptionalHeader as _, PeFile64};
use object::read::{Object as _, ObjectSection as _};

/// Bytes of the section in which the root keys are stamped after the build.
pub const ANCHOR_LEN: usize = 1024;

/// The driver must stay below this.
const MAX_SIZE: usize = 256 * 1024;

/// What an image says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Bytes of the file, without its signature.
    pub file_size: usize,
    /// COFF machine.
    pub machine: u16,
    /// PE subsystem.
    pub subsystem: u16,
    /// Subsystem version, major part.
    pub subsystem_version: u16,
    /// `DllCharacteristics`.
    pub characteristics: u16,
    /// `SectionAlignment`.
    pub section_alignment: u32,
    /// `CheckSum` as it stands in the header.
    pub checksum: u32,
    /// What it should be.
    pub true_checksum: u32,
    /// Whether there is a load configuration.
    pub has_load_config: bool,
    /// Whether there is a thread-local storage or delayed import directory.
    pub has_loader_extras: bool,
    /// Whether there is a version resource.
    pub has_version: bool,
    /// Whether there is an embedded signature.
    pub is_signed: bool,
    /// The sections.
    pub sections: Vec<Section>,
    /// Imported names with the module they come from, as `module!name`.
    pub imports: Vec<String>,
    /// The PDB's name in the debug directory.
    pub pdb_name: String,
    /// Instructions a driver must not have: mnemonic and address.
    pub bad_instructions: Vec<String>,
}

/// One section of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// `Characteristics`.
    pub flags: u32,
    /// Its length in memory.
    pub virtual_size: u32,
    /// Whether all its bytes are zero.
    pub is_zero: bool,
}

impl Facts {
    /// Reads an image. The error is in words: such a file is no driver at all.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let words = |error: object::Error| error.to_string();
        let file = PeFile64::parse(bytes).map_err(words)?;
        let headers = file.nt_headers();
        let optional = headers.optional_header();
        let directory = |index: usize| {
            file.data_directory(index).is_some_and(|entry| entry.virtual_address.get(LE) != 0)
        };
        let mut facts = Self {
            file_size: signature_at(&file).unwrap_or(bytes.len()),
            machine: headers.file_header().machine.get(LE).0,
            subsystem: optional.subsystem().0,
            subsystem_version: optional.major_subsystem_version(),
            characteristics: optional.dll_characteristics().0,
            section_alignment: optional.section_alignment(),
            checksum: optional.check_sum(),
            true_checksum: checksum(bytes)?,
            has_version: has_version(&file),
            // Its address is a place in the file.
            is_signed: directory(pe::IMAGE_DIRECTORY_ENTRY_SECURITY),
            has_load_config: directory(pe::IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG),
            has_loader_extras: directory(pe::IMAGE_DIRECTORY_ENTRY_TLS)
                || directory(pe::IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT),
            ..Self::default()
        };
        for section in file.sections() {
            let object::SectionFlags::Coff { characteristics } = section.flags() else {
                continue;
            };
            let data = section.data().map_err(words)?;
            facts.sections.push(Section {
                name: section.name().map_err(words)?.to_owned(),
                flags: characteristics.0,
                virtual_size: u32::try_from(section.size()).unwrap_or(u32::MAX),
                is_zero: data.iter().all(|byte| *byte == 0),
            });
            if characteristics.0 & pe::IMAGE_SCN_MEM_EXECUTE.0 != 0 {
                facts.bad_instructions.extend(bad_instructions(data, section.address()));
            }
        }
        facts.imports = imports(&file).map_err(words)?;
        if let Ok(Some(view)) = file.pdb_info() {
            facts.pdb_name = String::from_utf8_lossy(view.path()).into_owned();
        }
        Ok(facts)
    }

    /// Whether the kernel's way to stop the machine is imported, which only a panic would call.
    pub fn can_panic(&self) -> bool {
        self.imports.iter().any(|import| import.ends_with("!KeBugCheckEx"))
    }
}

/// What is wrong with a release driver; empty when nothing is.
pub fn faults(facts: &Facts) -> Vec<String> {
    let mut faults = Vec::new();
    let mut require = |holds: bool, fault: String| {
        if !holds {
            faults.push(fault);
        }
    };
    require(facts.machine == pe::IMAGE_FILE_MACHINE_AMD64.0, "is not an x86-64 image".to_owned());
    require(
        facts.subsystem == pe::IMAGE_SUBSYSTEM_NATIVE.0 && facts.subsystem_version == 10,
        format!("subsystem is {} {}, not native 10", facts.subsystem, facts.subsystem_version),
    );
    for (flag, name, why) in [
        (
            pe::IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY,
            "FORCE_INTEGRITY",
            "process callbacks ask for it",
        ),
        (pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT, "NX_COMPAT", "memory integrity asks for it"),
        (pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, "DYNAMIC_BASE", "the image must be movable"),
    ] {
        require(facts.characteristics & flag.0 != 0, format!("lacks {name}: {why}"));
    }
    require(
        facts.characteristics & pe::IMAGE_DLLCHARACTERISTICS_GUARD_CF.0 == 0
            || facts.has_load_config,
        "says GUARD_CF without a load configuration".to_owned(),
    );
    require(
        facts.section_alignment == 0x1000,
        format!("sections are aligned to {:#x}, not 0x1000", facts.section_alignment),
    );
    require(
        facts.checksum != 0 && facts.checksum == facts.true_checksum,
        format!("checksum is {:#x}, should be {:#x}", facts.checksum, facts.true_checksum),
    );
    require(facts.has_version, "has no version resource".to_owned());
    require(!facts.has_loader_extras, "has thread-local storage or delayed imports".to_owned());
    require(
        facts.file_size < MAX_SIZE,
        format!("{} bytes, the limit is {MAX_SIZE}", facts.file_size),
    );
    require(
        !facts.pdb_name.is_empty() && !facts.pdb_name.contains(['/', '\\']),
        format!("names its PDB {:?}, not by a bare file name", facts.pdb_name),
    );
    require(
        facts.bad_instructions.is_empty(),
        format!("has instructions a driver must not have: {}", facts.bad_instructions.join(", ")),
    );
    for section in &facts.sections {
        let writable_code = pe::IMAGE_SCN_MEM_EXECUTE.0 | pe::IMAGE_SCN_MEM_WRITE.0;
        require(
            section.flags & writable_code != writable_code,
            format!("section {} is writable and executable", section.name),
        );
    }
    let allowed =
        |import: &String| import.starts_with("ntoskrnl.exe!") || import.starts_with("fltmgr.sys!");
    for import in facts.imports.iter().filter(|import| !allowed(import)) {
        require(false, format!("imports {import}"));
    }
    require(!facts.can_panic(), "imports KeBugCheckEx: a panic path is left".to_owned());
    match facts.sections.iter().find(|section| section.name == ".anchor") {
        None => require(false, "has no .anchor section for the root keys".to_owned()),
        Some(anchor) => {
            require(
                usize::try_from(anchor.virtual_size).is_ok_and(|size| size >= ANCHOR_LEN),
                format!(".anchor is {} bytes, not {ANCHOR_LEN}", anchor.virtual_size),
            );
            require(anchor.is_zero, ".anchor is not zero: keys were linked in".to_owned());
            let code = pe::IMAGE_SCN_MEM_EXECUTE.0 | pe::IMAGE_SCN_MEM_WRITE.0;
            require(anchor.flags & code == 0, ".anchor is not read-only data".to_owned());
        }
    }
    let says = |section: &&Section| section.name == ".profile" && !section.is_zero;
    let profile = facts.sections.iter().find(says);
    require(
        profile.is_some_and(|section| section.flags & pe::IMAGE_SCN_MEM_WRITE.0 == 0),
        "has no read-only .profile that says what it can do for content".to_owned(),
    );
    faults
}

fn imports(file: &PeFile64<'_>) -> object::Result<Vec<String>> {
    let mut names = Vec::new();
    let Some(table) = file.import_table()? else {
        return Ok(names);
    };
    let mut descriptors = table.descriptors()?;
    while let Some(descriptor) = descriptors.next()? {
        let module = table.name(descriptor.name.get(LE))?;
        let module = String::from_utf8_lossy(module).to_ascii_lowercase();
        let mut thunks = table.thunks(descriptor.original_first_thunk.get(LE))?;
        while let Some(thunk) = thunks.next::<pe::ImageNtHeaders64>()? {
            let import = table.import::<pe::ImageNtHeaders64>(thunk)?;
            names.push(match import {
                object::read::pe::Import::Ordinal(ordinal) => format!("{module}!#{ordinal}"),
                object::read::pe::Import::Name(_, name) => {
                    format!("{module}!{}", String::from_utf8_lossy(name))
                }
            });
        }
    }
    Ok(names)
}

/// Whether there is a resource that holds a version. One that cannot be read is none.
fn has_version(file: &PeFile64<'_>) -> bool {
    /// `RT_VERSION`.
    const VERSION: u16 = 16;
    let sections = file.section_table();
    let Ok(Some(resources)) = file.data_directories().resource_directory(file.data(), &sections)
    else {
        return false;
    };
    let root = resources.root();
    root.is_ok_and(|table| {
        table.entries.iter().any(|entry| entry.name_or_id().id() == Some(VERSION))
    })
}

/// Where a signature is; it is behind all else.
fn signature_at(file: &PeFile64<'_>) -> Option<usize> {
    let table = file.data_directory(pe::IMAGE_DIRECTORY_ENTRY_SECURITY)?;
    usize::try_from(table.virtual_address.get(LE)).ok().filter(|at| *at != 0)
}

/// The PE checksum: the file as little-endian 16-bit words, summed with end-around carry and the
/// checksum field taken for zero, plus the file's length.
fn checksum(bytes: &[u8]) -> Result<u32, String> {
    let cut = || "the headers are cut short".to_owned();
    let nt = bytes.get(0x3C..0x40).and_then(|field| field.try_into().ok()).map(u32::from_le_bytes);
    let field = usize::try_from(nt.ok_or_else(cut)?).map_err(|_| cut())? + 24 + 64;
    let mut sum: u64 = 0;
    for (index, pair) in bytes.chunks(2).enumerate() {
        let at = index * 2;
        if at == field || at == field + 2 {
            continue;
        }
        let word = u16::from_le_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
        sum += u64::from(word);
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum = (sum & 0xFFFF) + (sum >> 16);
    let total = sum + u64::try_from(bytes.len()).map_err(|_| cut())?;
    u32::try_from(total).map_err(|_| cut())
}

/// Traps in the place of panics, and instructions that need processor state a driver has not saved
/// (AVX) or that ask which processor this is.
fn bad_instructions(code: &[u8], address: u64) -> Vec<String> {
    let mut found = Vec::new();
    let decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    for instruction in decoder {
        let encoding = instruction.code().encoding();
        let is_vector =
            matches!(encoding, EncodingKind::VEX | EncodingKind::EVEX | EncodingKind::XOP);
        let is_bad = matches!(
            instruction.mnemonic(),
            Mnemonic::Ud2 | Mnemonic::Ud1 | Mnemonic::Ud0 | Mnemonic::Cpuid | Mnemonic::Xgetbv
        );
        if is_vector || is_bad {
            found.push(format!("{:?} at {:#x}", instruction.mnemonic(), instruction.ip()));
        }
    }
    found
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
