//! The journal of tries: read once, written through before and after each try.

use driver_core::journal::Journal;

use super::desk::Desk;
use super::orders::Pardon;
use crate::ffi::status::Result;
use crate::sensor::Sensor;
use crate::state_folder::StateFolder;

impl Desk {
    /// Reads the journal once. A try it shows as open never ended, which is counted against its
    /// body. That is written when the next try is, so that a boot writes nothing.
    ///
    /// A mark that could not be put back when its try ended is put back now.
    ///
    /// # Errors
    /// The kernel's reason. Nothing may be tried then: a copy that could not be read now may be the
    /// newer one.
    pub(super) fn recall(&mut self, state: &StateFolder<'_>) -> Result<()> {
        let Some(journal) = self.journal else {
            let found = state.read_journal()?;
            self.journal = Some(found.settle().unwrap_or(found));
            return Ok(());
        };
        match journal.corrected(self.trial.map(|trial| trial.body)) {
            Some(next) => self.write_journal(state, next).map(drop),
            None => Ok(()),
        }
    }

    /// Forgets strikes, when that was asked for.
    ///
    /// # Errors
    /// The kernel's reason when the journal could not be written; the order stays.
    pub(super) fn forgive(&mut self, sensor: &Sensor, state: &StateFolder<'_>) -> Result<()> {
        let Some(pardon) = sensor.orders.take_pardon() else {
            return Ok(());
        };
        let body = match pardon {
            Pardon::All => None,
            Pardon::Body(body) => Some(body),
        };
        let next = self.journal.unwrap_or_default().pardon(body);
        let written = next.map_or(Ok(()), |next| self.write_journal(state, next).map(drop));
        written.inspect_err(|_| sensor.orders.keep_pardon(pardon))
    }

    /// Writes the journal's next record through to the disk and keeps it.
    #[inline(never)]
    pub(super) fn write_journal(
        &mut self,
        state: &StateFolder<'_>,
        next: Journal,
    ) -> Result<Journal> {
        state.write_journal(&self.journal.unwrap_or_default(), &next)?;
        self.journal = Some(next);
        Ok(next)
    }
}
