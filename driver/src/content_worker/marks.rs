//! The journal: who is to blame if the session ends, kept in step with what is in force.

use driver_core::journal::Journal;
use driver_core::ladder::HEALTHY_HOUR;

use super::desk::Desk;
use super::orders::Pardon;
use crate::ffi::status::{NtStatus, Result};
use crate::ffi::sync::now;
use crate::sensor::Sensor;
use crate::state_folder::StateFolder;

impl Desk {
    /// Writes what the journal must say by now and does not yet: that this session has begun, whose
    /// fault its end would be, that it has been healthy for an hour. A boot's first minute is over.
    ///
    /// # Errors
    /// The kernel's reason. Nothing may be tried then: a journal that could not be read may know of
    /// something, and one that cannot be written remembers nothing.
    pub(super) fn keep_journal(&mut self, sensor: &Sensor, state: &StateFolder<'_>) -> Result<()> {
        if self.journal.is_none() {
            let found = state.read_journal()?;
            self.journal = Some(found.settle(self.start, self.slots.rungs()));
            self.unwritten = true;
        }
        self.keep_mark(sensor, state)?;
        if self.trial.is_none()
            && now().saturating_sub(self.since) >= HEALTHY_HOUR
            && let Some(lived) = self.journal.and_then(|journal| journal.lived(self.served_boot))
        {
            self.write_journal(state, lived)?;
        }
        Ok(())
    }

    /// Has the mark name what is in force, or nobody.
    pub(super) fn keep_mark(&mut self, sensor: &Sensor, state: &StateFolder<'_>) -> Result<()> {
        let journal = self.journal.ok_or(NtStatus::NOT_FOUND)?;
        let mark = self.to_blame(sensor);
        if self.unwritten || journal.mark() != mark {
            self.write_journal(state, journal.marked(mark))?;
        }
        Ok(())
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
        self.unwritten = false;
        Ok(next)
    }
}
