//! Mapping a driver image: sections with their own protections, relocations, import slots.
//!
//! As in a kernel with memory integrity, no page is writable and executable, import slots become
//! read-only with their section, and DISCARDABLE sections vanish after `DriverEntry`.

#![allow(unsafe_code)]

mod breakpoints;
mod parse;
#[cfg(test)]
pub(crate) mod sample;
mod unwind;

use std::collections::BTreeMap;
use std::ptr::null_mut;
use std::sync::Arc;

pub(crate) use breakpoints::Breakpoints;
pub(crate) use parse::Layout;
pub use parse::{LoadError, Section};
pub(crate) use unwind::{UnwindImage, walk};

use crate::coverage;
use crate::cpu::{StubPage, add_image, remove_image};
use crate::guest;
use crate::symbols::Module;

const PAGE: usize = 4096;
/// Inaccessible room before and after the image.
const GUARD: usize = 64 * 1024;

/// A mapped driver.
#[derive(Debug)]
pub(crate) struct Image {
    pub base: u64,
    pub size: usize,
    pub entry: u64,
    pub sections: Vec<Section>,
    /// Imports that nothing models: calling one is a report.
    pub unresolved: Vec<String>,
    pub module: Arc<Module>,
    exports: BTreeMap<String, u64>,
    unwind: Box<UnwindImage>,
    slot: usize,
    breakpoints: Option<Box<Breakpoints>>,
    _stubs: Option<StubPage>,
}

impl std::fmt::Debug for StubPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StubPage")
    }
}

impl Image {
    /// Maps, relocates and binds. `resolve` gives the address that an import slot shall hold.
    pub(crate) fn map(
        file: &[u8],
        name: &str,
        pdb: Option<std::path::PathBuf>,
        resolve: impl Fn(&str, &str) -> Option<u64>,
    ) -> Result<Image, LoadError> {
        let plan = parse::parse(file)?;
        let size = plan.size as usize;
        let base = reserve(size)?;
        let mut image = plan.lay_out(file);
        let delta = base.wrapping_sub(plan.preferred_base);
        for rva in &plan.relocations {
            patch(&mut image, *rva, |old| old.wrapping_add(delta));
        }
        let bound: Vec<_> =
            plan.imports.iter().map(|slot| resolve(&slot.dll, &slot.name)).collect();
        let unresolved: Vec<String> = plan
            .imports
            .iter()
            .zip(&bound)
            .filter(|(_, address)| address.is_none())
            .map(|(slot, _)| format!("{}!{}", slot.dll, slot.name))
            .collect();
        let stubs = (!unresolved.is_empty()).then(|| StubPage::unresolved(&unresolved));
        let mut next_stub = 0;
        for (slot, address) in plan.imports.iter().zip(bound) {
            let address = match (address, &stubs) {
                (Some(address), _) => address,
                (None, Some(stubs)) => {
                    next_stub += 1;
                    stubs.stub(next_stub - 1)
                }
                (None, None) => 0,
            };
            patch(&mut image, slot.rva, |_| address);
        }
        protect(base, size, libc::PROT_READ | libc::PROT_WRITE);
        guest::write_bytes(base, &image).map_err(|_| LoadError::Map("writing the image"))?;
        let breakpoints = coverage::Plan::wanted(name, file, pdb.as_deref())
            .and_then(|plan| Breakpoints::plant(&plan, base))
            .map(Box::new);
        protect(base, size, libc::PROT_NONE);
        protect(base, PAGE, libc::PROT_READ);
        for section in &plan.sections {
            let mut access = protection(section);
            if breakpoints.is_some() && section.is_executable() {
                // Whoever runs into a breakpoint puts the code back.
                access |= libc::PROT_WRITE;
            }
            protect_section(base, section, access);
        }
        let unwind = Box::new(UnwindImage::new(base, image, plan.function_table));
        let Some(slot) = add_image(base, size as u64, &*unwind, breakpoints.as_deref()) else {
            unmap(base, size);
            return Err(LoadError::Map("256 images are loaded at once"));
        };
        Ok(Image {
            base,
            size,
            entry: base + u64::from(plan.entry),
            sections: plan.sections,
            unresolved,
            module: Arc::new(Module::new(name, base, size as u64, pdb)),
            exports: plan
                .exports
                .iter()
                .map(|(k, rva)| (k.clone(), base + u64::from(*rva)))
                .collect(),
            unwind,
            slot,
            breakpoints,
            _stubs: stubs,
        })
    }

    pub(crate) fn contains(&self, address: u64) -> bool {
        (self.base..self.base + self.size as u64).contains(&address)
    }

    pub(crate) fn unwind(&self) -> &UnwindImage {
        &self.unwind
    }

    /// The address of an export.
    pub(crate) fn export(&self, name: &str) -> Option<u64> {
        self.exports.get(name).copied()
    }

    fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name.trim_end_matches('\0') == name)
    }

    /// The contents of a section as it is now.
    pub(crate) fn read_section(&self, name: &str) -> Option<Vec<u8>> {
        let section = self.section(name)?;
        guest::bytes(self.base + u64::from(section.rva), section.size as usize).ok()
    }

    /// Overwrites the start of a section, whatever its protection. Only while no driver code runs.
    pub(crate) fn write_section(&self, name: &str, data: &[u8]) -> Result<(), LoadError> {
        let section = self
            .section(name)
            .ok_or_else(|| LoadError::Refused(format!("the image has no section {name}")))?;
        if data.len() > section.size as usize {
            return Err(LoadError::Refused(format!("section {name} is too small")));
        }
        protect_section(self.base, section, libc::PROT_READ | libc::PROT_WRITE);
        let written = guest::write_bytes(self.base + u64::from(section.rva), data);
        protect_section(self.base, section, protection(section));
        written.map_err(|_| LoadError::Map("writing a section"))
    }

    /// Overwrites code. A thread may run in the section meanwhile: it stays executable.
    pub(crate) fn write_code(&self, rva: u32, code: &[u8]) -> Result<(), LoadError> {
        let within = |section: &&Section| {
            section.is_executable() && (section.rva..section.rva + section.size).contains(&rva)
        };
        let refused = || LoadError::Refused(format!("there is no code at {rva:#x}"));
        let section = self.sections.iter().find(within).ok_or_else(refused)?;
        let access = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        protect_section(self.base, section, access);
        let address = self.base + u64::from(rva);
        if let Some(breakpoints) = &self.breakpoints {
            breakpoints.keep(address);
        }
        let written = guest::write_bytes(address, code);
        if self.breakpoints.is_none() {
            protect_section(self.base, section, protection(section));
        }
        written.map_err(|_| LoadError::Map("writing code"))
    }

    /// Makes DISCARDABLE sections inaccessible, as the kernel frees them after `DriverEntry`.
    pub(crate) fn discard_sections(&self) {
        for section in self.sections.iter().filter(|section| section.is_discardable()) {
            protect_section(self.base, section, libc::PROT_NONE);
        }
    }

    /// Pages pageable sections, whose names begin with `PAGE`, out or in again.
    pub(crate) fn hide_paged(&self, hide: bool) {
        for section in self.sections.iter().filter(|section| section.name.starts_with("PAGE")) {
            let access = if hide { libc::PROT_NONE } else { protection(section) };
            protect_section(self.base, section, access);
        }
    }

    /// Makes the whole image inaccessible: it was unloaded, and whoever still runs in it faults.
    pub(crate) fn make_inaccessible(&self) {
        protect(self.base, self.size, libc::PROT_NONE);
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        remove_image(self.slot);
        unmap(self.base, self.size);
    }
}

fn patch(image: &mut [u8], rva: u32, new: impl FnOnce(u64) -> u64) {
    let at = rva as usize;
    let Some(bytes) = image.get_mut(at..at + 8) else {
        return;
    };
    let old = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    bytes.copy_from_slice(&new(old).to_le_bytes());
}

fn protection(section: &Section) -> i32 {
    let mut protection = libc::PROT_NONE;
    if section.is_readable() {
        protection |= libc::PROT_READ;
    }
    if section.is_writable() {
        protection |= libc::PROT_WRITE;
    }
    if section.is_executable() {
        protection |= libc::PROT_EXEC;
    }
    protection
}

fn protect_section(base: u64, section: &Section, protection: i32) {
    let size = (section.size as usize).next_multiple_of(PAGE);
    protect(base + u64::from(section.rva), size, protection);
}

/// Reserves room for the image with guards round it.
fn reserve(size: usize) -> Result<u64, LoadError> {
    // SAFETY: a fresh private mapping, no address asked for.
    let address = unsafe {
        libc::mmap(
            null_mut(),
            size + 2 * GUARD,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(LoadError::Map("out of address space"));
    }
    Ok(address as u64 + GUARD as u64)
}

fn protect(address: u64, size: usize, protection: i32) {
    // SAFETY: only called on parts of a reservation made by `reserve` that is still mapped.
    let done = unsafe { libc::mprotect(address as *mut libc::c_void, size, protection) };
    assert_eq!(done, 0, "out of mappings");
}

fn unmap(base: u64, size: usize) {
    let start = base - GUARD as u64;
    // SAFETY: exactly the reservation of `reserve`; no driver code runs in it any more.
    unsafe { libc::munmap(start as *mut libc::c_void, size + 2 * GUARD) };
}
