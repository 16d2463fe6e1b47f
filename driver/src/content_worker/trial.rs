//! Makes content good that has earned it: by renames, so that a power cut leaves good content.

use core::sync::atomic::Ordering;

use driver_abi::crash::Phase;
use driver_core::Position;
use driver_core::journal::{BodyId, Floor};
use driver_core::merit::Trial;
use driver_core::slots::{PROMOTION, REPLACEMENT, Slot};

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
        let journal = self.journal.unwrap_or_default();
        // What serves no boot any more does not push out what does.
        let on_trial = self.slots.trial.kept().map(|kept| kept.position);
        let keeps_good = self.slots.good.kept().is_some_and(|good| Some(good.position) != on_trial)
            && journal.serves(self.slots.rungs()) == Some(0);
        let renames = if keeps_good { &PROMOTION[..] } else { &REPLACEMENT[..] };
        for &(from, to) in renames {
            let renamed = state.move_slot(from, to);
            let missing_is_fine = from == Slot::Good;
            match renamed {
                Ok(()) => self.slots.moved(from, to),
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
        let floor = sensor.active.read(|active| {
            active.good.store(true, Ordering::Release);
            let header = active.rules.header();
            let position = Position { epoch: header.epoch, sequence: header.sequence };
            Floor { position, rules: active.rules.rule_count() }
        });
        // Until it is written, the body on trial is to blame as before, and older files may come in.
        self.promoted = floor.map(|floor| (trial.body, floor));
        self.note_promotion(state);
    }

    /// Writes down that content has become good, if that is still to be done.
    pub(super) fn note_promotion(&mut self, state: &StateFolder<'_>) {
        if let Some((body, floor)) = self.promoted
            && let Some(journal) = self.journal
            && self.write_journal(state, journal.promoted(body, floor)).is_ok()
        {
            self.promoted = None;
        }
    }
}
