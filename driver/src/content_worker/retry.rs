//! Tries again what took a machine down, when nothing has happened for long enough.

use driver_abi::crash::Phase;
use driver_core::ladder::{HEALTHY_DAY, HEALTHY_HOUR};
use driver_core::slots::{DEMOTION, Slot};

use super::desk::Desk;
use super::look::{Source, position_in_force};
use super::slots::Content;
use super::{Failure, Outcome};
use crate::crash_note;
use crate::ffi::status::{NtStatus, Result};
use crate::sensor::Sensor;
use crate::state_folder::StateFolder;

impl Desk {
    /// After an hour, good content that serves no boot goes back to the slot of content on trial,
    /// and is tried, in observe, as if it were new. What was never good comes from the inbox only:
    /// whoever takes it away there has ended it.
    #[inline(never)]
    pub(super) fn retry(&mut self, sensor: &Sensor, state: &StateFolder<'_>) {
        if self.up() < HEALTHY_HOUR || self.trial.is_some() {
            return;
        }
        if self.up() >= HEALTHY_DAY && !self.day_over {
            // What was struck out may be tried once more, from the inbox too.
            self.day_over = true;
            self.ignored.clear();
        }
        if self.demote(sensor, state).is_err() {
            sensor.content.lock().state_usable = false;
            return;
        }
        let outcome = self.retry_slot(sensor, state);
        if let Err(Failure::Refused(refusal)) = outcome {
            self.slots.trial = Content::Refused(refusal);
        }
    }

    /// Puts good content aside that serves no boot any more, so that what does is good from now on.
    fn demote(&mut self, sensor: &Sensor, state: &StateFolder<'_>) -> Result<()> {
        let journal = self.journal.unwrap_or_default();
        let Some(good) = self.slots.good.kept().copied() else { return Ok(()) };
        let rungs = self.slots.rungs();
        if journal.serves(rungs) == Some(0) || position_in_force(sensor) == Some(good.position) {
            return Ok(());
        }
        crash_note::phase(Phase::Promote);
        for (from, to) in DEMOTION {
            match state.move_slot(from, to) {
                Ok(()) | Err(NtStatus::NOT_FOUND) => self.slots.moved(from, to),
                Err(status) => return Err(status),
            }
        }
        Ok(())
    }

    fn retry_slot(&mut self, sensor: &Sensor, state: &StateFolder<'_>) -> Outcome<()> {
        let Some(kept) = self.slots.trial.kept().copied() else { return Ok(()) };
        let newer = position_in_force(sensor).is_none_or(|in_force| kept.position > in_force);
        let journal = self.journal.unwrap_or_default();
        let was_good = kept.position <= journal.floor().position;
        if !newer || !was_good || journal.may_try(kept.body, self.up()).is_err() {
            return Ok(());
        }
        let file = self.open_slot(sensor, state, Slot::Trial)?;
        self.try_file(sensor, state, file, Source::Slot)
    }
}
