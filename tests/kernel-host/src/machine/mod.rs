//! What survives a reboot: disk, registry, clock, volumes. A [`Machine`] is a shared handle; boot
//! it again and again with `Kernel::builder().machine(machine)`.

mod boot;
mod disk;
#[cfg(test)]
mod disk_tests;
mod files;
mod registry;
mod security;

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use boot::Phase;
pub use disk::{Disk, Held, Volume};
pub use files::Pace;
pub(crate) use files::{DiskError, FileInfo, OpenRequest};
pub use registry::{Registry, Value};
pub use security::{ADMINISTRATORS, EVERYONE, SYSTEM, Security, USERS};

use crate::sched::MachineClock;

/// A computer without its kernel.
#[derive(Clone, Debug)]
pub struct Machine(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    disk: Disk,
    registry: Registry,
    clock: MachineClock,
    phase: AtomicU8,
    boots: AtomicU32,
    volumes: Arc<Mutex<Vec<Volume>>>,
}

impl Default for Machine {
    /// A fresh Windows installation: an EFI volume without a letter and the system volume
    /// `\Device\HarddiskVolume3` as `C:`.
    fn default() -> Machine {
        let volumes = Arc::new(Mutex::new(vec![
            Volume { device: r"\Device\HarddiskVolume3".into(), letter: Some('C') },
            Volume { device: r"\Device\HarddiskVolume1".into(), letter: None },
        ]));
        let machine = Machine(Arc::new(Parts {
            disk: Disk::new(volumes.clone()),
            registry: Registry::default(),
            clock: MachineClock::default(),
            phase: AtomicU8::new(Phase::Running as u8),
            boots: AtomicU32::new(0),
            volumes,
        }));
        machine.disk().create_directory(r"\SystemRoot\System32\drivers");
        machine.registry().create_key(r"\Registry\Machine\System\CurrentControlSet\Services");
        machine
    }
}

impl Machine {
    /// See [`Machine::default`].
    pub fn new() -> Machine {
        Machine::default()
    }

    /// An equal machine that goes its own way from here on. Nothing is open on its disk. Copies of
    /// one that a kernel with a seed ran on all begin at the same time.
    #[must_use]
    pub fn copy(&self) -> Machine {
        let volumes = Arc::new(Mutex::new(self.volumes()));
        Machine(Arc::new(Parts {
            disk: self.0.disk.copy(volumes.clone()),
            registry: self.0.registry.copy(),
            clock: self.0.clock.copy(),
            phase: AtomicU8::new(self.phase() as u8),
            boots: AtomicU32::new(self.0.boots.load(Ordering::Relaxed)),
            volumes,
        }))
    }

    /// The disk.
    pub fn disk(&self) -> &Disk {
        &self.0.disk
    }

    /// The registry.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// The volumes; the first is the system volume.
    pub fn volumes(&self) -> Vec<Volume> {
        self.0.volumes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds a volume, or changes the letter of one that is there.
    pub fn set_volume(&self, device: &str, letter: Option<char>) {
        let mut volumes = self.0.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        match volumes.iter_mut().find(|volume| volume.device.eq_ignore_ascii_case(device)) {
            Some(volume) => volume.letter = letter,
            None => volumes.push(Volume { device: device.to_owned(), letter }),
        }
        drop(volumes);
        self.0.disk.create_directory(device);
    }

    /// Sets the wall clock, in seconds since 1970.
    pub fn set_unix_time(&self, seconds: u64) {
        self.0.clock.set_unix_time(seconds);
    }

    /// Writes the service key that an INF of a boot-start minifilter writes, unless it exists.
    pub fn install_minifilter(&self, service: &str, altitude: &str) {
        let key = service_key(service);
        if self.registry().has_key(&key) {
            return;
        }
        let registry = self.registry();
        registry.set_dword(&key, "Type", 2);
        registry.set_dword(&key, "Start", 0);
        registry.set_dword(&key, "ErrorControl", 1);
        registry.set_string(&key, "ImagePath", &format!(r"System32\drivers\{service}.sys"));
        let instance = format!("{service} Instance");
        for instances in [format!(r"{key}\Instances"), format!(r"{key}\Parameters\Instances")] {
            registry.set_string(&instances, "DefaultInstance", &instance);
            registry.set_string(&format!(r"{instances}\{instance}"), "Altitude", altitude);
            registry.set_dword(&format!(r"{instances}\{instance}"), "Flags", 0);
        }
    }

    pub(crate) fn clock(&self) -> &MachineClock {
        &self.0.clock
    }

    /// A kernel starts: nothing is open any more. Returns the number of this boot, which the boot
    /// loader counts.
    pub(crate) fn boot(&self, phase: Phase) -> u32 {
        self.0.disk.close_all();
        self.set_phase(phase);
        self.0.boots.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Ordering::Release);
    }

    pub(crate) fn phase(&self) -> Phase {
        Phase::from_number(self.0.phase.load(Ordering::Acquire))
    }
}

/// The registry path of a service.
pub(crate) fn service_key(service: &str) -> String {
    format!(r"\Registry\Machine\System\CurrentControlSet\Services\{service}")
}

/// Text for comparing as NT does: each UTF-16 unit upcased for itself.
pub(crate) fn fold(text: &str) -> String {
    text.chars().map(fold_char).collect()
}

/// One character upcased, if its upper case is one character; NT's table maps one to one.
pub(crate) fn fold_char(character: char) -> char {
    let mut upper = character.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) if character.len_utf16() == one.len_utf16() => one,
        _ => character,
    }
}
