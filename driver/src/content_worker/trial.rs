//! Makes content good that has earned it: by renames, so that a power cut leaves good content.

use core::sync::atomic::Ordering;

use driver_abi::crash::Phase;
use driver_core::journal::BodyId;
use driver_core::merit::Trial;
use driver_core::slots::{PROMOTION, Slot};

use super::desk::Desk;
use crate::crash_note;
use crate::ffi::status::NtStatus;
use crate::ffi::sync::now;
use crate::sensor::Sensor;
use crate::state_folder::StateFolder;

/// The content in force that has yet to become good.
#[derive(Clone, Copy)]
pub(super) struct OnTrial {
    /// Its body.
    pub body: BodyId,
    /// What it has to show for itself.
    pub merit: Trial,
}

impl Desk {
    /// Makes the content on trial good if it has earned that.
    #[inline(never)]
    pub(super) fn promote(&mut self, sensor: &Sensor, state: &StateFolder<'_>) {
        // Content that blocked too much, or would have, is not good until an administrator says so.
        if sensor.trip().is_some() {
            return;
        }
        let events = sensor.counters.events.load(Ordering::Relaxed);
        let Some(trial) = self.trial.filter(|trial| trial.merit.is_good(now(), events)) else {
            return;
        };
        crash_note::phase(Phase::Promote);
        if !self.trial_saved {
            let saved = sensor.active.read(|active| state.save(Slot::Trial, active.rules.bytes()));
            if saved != Some(Ok(())) {
                sensor.content.lock().state_usable = false;
                return;
            }
            self.trial_saved = true;
        }
        for (from, to) in PROMOTION {
            let renamed = state.move_slot(from, to);
            let missing_is_fine = from == Slot::Good;
            match renamed {
                Ok(()) => {}
                Err(NtStatus::NOT_FOUND) if missing_is_fine => {}
                Err(status) => {
                    // A slot that is gone is written again.
                    self.trial_saved = status != NtStatus::NOT_FOUND;
                    sensor.content.lock().state_usable = false;
                    return;
                }
            }
        }
        self.trial = None;
        self.trial_saved = false;
        sensor.content.lock().fell_back = false;
        sensor.active.read(|active| active.good.store(true, Ordering::Release));
        if let Some(journal) = self.journal {
            // A mark that cannot be taken back now is taken back at the next look.
            let _ = self.write_journal(state, journal.end_well(trial.body));
        }
    }
}
