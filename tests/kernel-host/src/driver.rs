//! A loaded driver, from mapping to unload.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use windows_sys::Wdk::Foundation::{DRIVER_EXTENSION, DRIVER_OBJECT};

use crate::bug::{Bug, BugKind};
use crate::cpu::{api_address, direct_export};
use crate::guest::{self, GuestBlock, GuestBuffer, UnicodeString};
use crate::kernel::Kernel;
use crate::ledger::{Leak, LeakReport};
use crate::pe::{Image, LoadError, Section};
use crate::status::NtStatus;

const LOADED: u8 = 0;
const STARTED: u8 = 1;
const UNLOADED: u8 = 2;

/// A driver in a kernel. Dropping one that was not unloaded cuts the kernel's power.
pub struct Driver {
    kernel: Arc<Kernel>,
    image: Arc<Image>,
    service: String,
    object: GuestBlock,
    _extension: GuestBlock,
    _service_name: GuestBuffer,
    state: AtomicU8,
    /// Held while `DriverEntry` runs: the I/O manager keeps the image until it has returned.
    entry: Mutex<()>,
    powered: AtomicBool,
}

impl Driver {
    pub(crate) fn load(
        kernel: &Kernel,
        file: &[u8],
        service: &str,
        pdb: Option<PathBuf>,
    ) -> Result<Driver, LoadError> {
        let kernel = kernel.shared().ok_or(LoadError::Map("the kernel is gone"))?;
        let resolve = |_: &str, name: &str| {
            direct_export(name)
                .or_else(|| kernel.exports().address(name))
                .or_else(|| api_address(name))
        };
        let image = Arc::new(Image::map(file, service, pdb, resolve)?);
        kernel.images().push(image.clone());
        kernel.machine().install_minifilter(service, "385291");
        let object = GuestBlock::new(size_of::<DRIVER_OBJECT>());
        let extension = GuestBlock::new(size_of::<DRIVER_EXTENSION>());
        let units: Vec<u16> = service.encode_utf16().collect();
        let service_name = GuestBuffer::utf16(&units);
        let driver = Driver {
            image,
            service: service.to_owned(),
            object,
            _extension: extension,
            _service_name: service_name,
            state: AtomicU8::new(LOADED),
            entry: Mutex::new(()),
            powered: AtomicBool::new(true),
            kernel,
        };
        driver.describe(units.len()).map_err(|_| LoadError::Map("own memory"))?;
        Ok(driver)
    }

    /// Fills the DRIVER_OBJECT.
    fn describe(&self, name_units: usize) -> Result<(), guest::Fault> {
        let object = self.object.address();
        let at = |offset: usize| object + offset as u64;
        guest::write(at(std::mem::offset_of!(DRIVER_OBJECT, Type)), 4u16)?;
        let size = size_of::<DRIVER_OBJECT>() as u16;
        guest::write(at(std::mem::offset_of!(DRIVER_OBJECT, Size)), size)?;
        guest::write(at(std::mem::offset_of!(DRIVER_OBJECT, DriverStart)), self.image.base)?;
        let image_size = self.image.size as u32;
        guest::write(at(std::mem::offset_of!(DRIVER_OBJECT, DriverSize)), image_size)?;
        let extension = self._extension.address();
        guest::write(at(std::mem::offset_of!(DRIVER_OBJECT, DriverExtension)), extension)?;
        guest::write(at(std::mem::offset_of!(DRIVER_OBJECT, DriverInit)), self.image.entry)?;
        guest::write(extension, object)?;
        let length = (name_units * 2) as u16;
        let name = UnicodeString { length, maximum: length, buffer: self._service_name.address() };
        name.write(extension + std::mem::offset_of!(DRIVER_EXTENSION, ServiceKeyName) as u64)
    }

    /// The kernel it runs in.
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    /// The address of its DRIVER_OBJECT.
    pub fn object(&self) -> u64 {
        self.object.address()
    }

    /// The name of its service.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Imports that nothing models; calling one is a report.
    pub fn unresolved(&self) -> &[String] {
        &self.image.unresolved
    }

    /// The sections of the image.
    pub fn sections(&self) -> &[Section] {
        &self.image.sections
    }

    /// The size of the mapped image.
    pub fn image_size(&self) -> usize {
        self.image.size
    }

    /// The contents of a section as it is now.
    pub fn read_section(&self, name: &str) -> Option<Vec<u8>> {
        self.image.read_section(name)
    }

    /// Overwrites the start of a section, between mapping and start.
    pub fn write_section(&self, name: &str, data: &[u8]) -> Result<(), LoadError> {
        if self.state.load(Ordering::Acquire) != LOADED {
            return Err(LoadError::Refused("the driver has started".into()));
        }
        self.image.write_section(name, data)
    }

    /// Puts a breakpoint at the start of the first function whose name contains `part`: from then on
    /// whoever calls it goes down there. For faults that a test cannot cause otherwise.
    pub fn plant_breakpoint(&self, part: &str) -> Result<(), LoadError> {
        let found = self.image.module.function_named(part);
        let rva =
            found.ok_or_else(|| LoadError::Refused(format!("no function is named {part}")))?;
        self.image.write_code(rva, &[0xCC])
    }

    /// Runs `DriverEntry` with the driver object and the registry path, on this thread.
    ///
    /// A failing status is an `Ok`: that is the driver's decision. It must then have given back
    /// everything, which [`Kernel::outstanding`] shows.
    pub fn start(&self) -> Result<NtStatus, Box<Bug>> {
        if self.state.swap(STARTED, Ordering::AcqRel) != LOADED {
            return Err(Box::new(Bug::bare(BugKind::Stopped)));
        }
        let _entry = self.entry.lock().unwrap_or_else(PoisonError::into_inner);
        let path: Vec<u16> = self.registry_path().encode_utf16().collect();
        let text = GuestBuffer::utf16(&path);
        let length = (path.len() * 2) as u16;
        let string = GuestBlock::new(16);
        UnicodeString { length, maximum: length, buffer: text.address() }
            .write(string.address())
            .expect("own memory");
        let arguments = [self.object.address(), string.address()];
        let entered = self.kernel.as_system(|| self.kernel.call(self.image.entry, &arguments))?;
        self.image.discard_sections();
        let status = NtStatus::from_register(entered.value);
        if !status.is_success() {
            self.state.store(UNLOADED, Ordering::Release);
            let own = self.object.address();
            self.kernel.services().forget(&self.memory());
            self.kernel.reinitialization().retain(|entry| entry.driver_object != own);
        }
        Ok(status)
    }

    /// `\Registry\Machine\System\CurrentControlSet\Services\<service>`.
    pub fn registry_path(&self) -> String {
        crate::machine::service_key(&self.service)
    }

    /// Unloads as `fltmc unload` does and reports what was left. A driver that refuses stays. May be
    /// called on another thread while `DriverEntry` still runs.
    pub fn unload(&self) -> Result<LeakReport, Box<Bug>> {
        if self.state.load(Ordering::Acquire) != STARTED {
            return Err(self.kernel.crash_or_stopped());
        }
        let status = self.kernel.as_system(|| self.run_unload())?;
        if !status.is_success() {
            return Ok(LeakReport { refused: Some(status), ..LeakReport::default() });
        }
        drop(self.entry.lock().unwrap_or_else(PoisonError::into_inner));
        self.kernel.check()?;
        self.state.store(UNLOADED, Ordering::Release);
        let mut report = self.kernel.outstanding();
        for thread in self.kernel.threads().running() {
            if self.image.contains(thread.start) {
                report.leaks.push(Leak {
                    what: "system thread still running at unload, created".to_owned(),
                    frames: self.kernel.frames(&thread.site, false),
                });
            }
        }
        let image = self.memory();
        for what in self.kernel.services().forget(&image) {
            let what = format!("{what} still pending at unload");
            report.leaks.push(Leak { what, frames: Vec::new() });
        }
        self.kernel.ledger().forget_rundowns(image);
        self.image.make_inaccessible();
        if self.kernel.threads().running().iter().any(|t| self.image.contains(t.start)) {
            // They fault now; that is part of the report above.
            self.kernel.halt();
        }
        self.kernel.images().retain(|image| !Arc::ptr_eq(image, &self.image));
        Ok(report)
    }

    /// Where its image lies.
    fn memory(&self) -> std::ops::Range<u64> {
        self.image.base..self.image.base + self.image.size as u64
    }

    fn run_unload(&self) -> Result<NtStatus, Box<Bug>> {
        let offset = std::mem::offset_of!(DRIVER_OBJECT, DriverUnload) as u64;
        let own = guest::read::<u64>(self.object.address() + offset).unwrap_or(0);
        match self.kernel.filters().unload_routine(self.object.address()) {
            Some(0) => Ok(NtStatus::FLT_DO_NOT_DETACH),
            Some(routine) => Ok(NtStatus::from_register(self.kernel.call(routine, &[0])?.value)),
            None if own != 0 => {
                self.kernel.call(own, &[self.object.address()])?;
                Ok(NtStatus::SUCCESS)
            }
            None => Ok(NtStatus::SUCCESS),
        }
    }

    /// Calls an export of the image with register-sized arguments, on this thread.
    pub fn call_export(&self, name: &str, arguments: &[u64]) -> Result<u64, Box<Bug>> {
        let Some(address) = self.image.export(name) else {
            let name = format!("export {name}");
            return Err(Box::new(Bug::bare(BugKind::Unresolved { name })));
        };
        Ok(self.kernel.as_system(|| self.kernel.call(address, arguments))?.value)
    }

    /// An export, to be called often.
    pub fn export(&self, name: &str) -> Option<Export<'_>> {
        Some(Export { driver: self, address: self.image.export(name)? })
    }

    /// Whether the image has an export of that name.
    pub fn has_export(&self, name: &str) -> bool {
        self.image.export(name).is_some()
    }
}

/// An exported routine of a driver.
pub struct Export<'a> {
    driver: &'a Driver,
    address: u64,
}

impl Export<'_> {
    /// Calls it with register-sized arguments, on this thread, in its current process.
    pub fn call(&self, arguments: &[u64]) -> Result<u64, Box<Bug>> {
        Ok(self.driver.kernel.call(self.address, arguments)?.value)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if self.powered.swap(false, Ordering::AcqRel)
            && self.state.load(Ordering::Acquire) == STARTED
        {
            self.kernel.power_off();
        }
    }
}
