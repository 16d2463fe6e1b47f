//! Puts good content into force at a start, once, from its slots alone.

use driver_abi::crash::Phase;
use driver_core::slots::{BOOT_ORDER, Slot};

use super::desk::Desk;
use super::load::{SignedFile, resident};
use super::{CHANNEL, Failure, Outcome};
use crate::crash_note;
use crate::ffi::status::NtStatus;
use crate::sensor::{Active, Sensor};
use crate::state_folder::StateFolder;

/// Tries to load good content before what cannot be read is passed over.
const TRIES: u32 = 5;

impl Desk {
    /// Goes down the ladder until something serves. A slot that cannot be read is tried again at
    /// every look for as long as nothing serves: a slow disk delays what was good, and no more.
    pub(super) fn boot(&mut self, sensor: &Sensor, state: &StateFolder<'_>) {
        let serves = sensor.active.read(|_| ()).is_some();
        if self.booted && (serves || !self.unread) {
            return;
        }
        crash_note::phase(Phase::Boot);
        self.boot_tries = self.boot_tries.saturating_add(1);
        self.unread = false;
        for slot in BOOT_ORDER {
            match load_slot(sensor, state, slot) {
                Ok(()) => {
                    sensor.content.lock().fell_back = slot != Slot::Good;
                    break;
                }
                Err(Failure::Host(status)) if status != NtStatus::NOT_FOUND => {
                    self.unread = true;
                    // The volume may not be ready, or memory be short: look again, but not for
                    // ever, since a bad sector must not keep the next slot from serving.
                    if self.boot_tries < TRIES {
                        return;
                    }
                }
                Err(_) => {}
            }
        }
        self.booted = true;
    }
}

#[inline(never)]
fn load_slot(sensor: &Sensor, state: &StateFolder<'_>, slot: Slot) -> Outcome<()> {
    let file = SignedFile::read(sensor, state.open_slot(slot)?)?;
    if file.signed.header.channel != CHANNEL {
        return Err(Failure::NotNewer);
    }
    let rules = resident(file.rules()?)?;
    crash_note::content(rules.header());
    sensor.active.publish(Active::new(rules, true)?)?;
    Ok(())
}
