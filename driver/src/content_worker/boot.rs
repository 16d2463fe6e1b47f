//! Puts good content into force at a start, from its slots alone.

use driver_abi::crash::Phase;
use driver_core::journal::{BodyId, Journal, Mark, Start};
use driver_core::ladder::is_jump;
use driver_core::slots::{BOOT_ORDER, Slot};

use super::desk::Desk;
use super::load::{SignedFile, resident, trust};
use super::slots::{Content, Kept};
use super::{CHANNEL, Failure, Outcome, until_first_use};
use crate::crash_note;
use crate::ffi::boot;
use crate::ffi::status::{NtStatus, Result};
use crate::ffi::sync::now;
use crate::sensor::{Active, Sensor};
use crate::state_folder::StateFolder;

/// Tries to load good content before what cannot be read is passed over.
const TRIES: u32 = 5;

/// Which session this is.
pub(super) fn start() -> Start {
    Start { boot: boot::number(), at_boot: until_first_use() > 0 }
}

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
        // The volume may not be ready, or memory be short: look again, but not for ever, since a
        // bad sector must not keep the next slot from serving.
        let patient = self.boot_tries < TRIES;
        self.unread = false;
        if self.look_back(sensor, state, patient).is_err() {
            self.unread = true;
            if patient {
                return;
            }
        }
        self.booted = self.serve(sensor, state, patient);
    }

    /// Reads all that a start needs to know before it serves anything: channel 0, what is in the
    /// slots, and how the last sessions ended.
    fn look_back(&mut self, sensor: &Sensor, state: &StateFolder<'_>, patient: bool) -> Result<()> {
        self.recall_control(sensor, state, patient)?;
        let unread = self.read_slots(sensor, state);
        if patient {
            unread?;
        }
        if self.journal.is_none() {
            let found = state.read_journal()?;
            let settled = found.settle(self.start, self.slots.rungs());
            self.journal = Some(self.slots.floors().fold(settled, Journal::raised));
            self.unwritten = true;
        }
        unread
    }

    /// Looks at what is in the slots.
    ///
    /// # Errors
    /// The kernel's reason when one could not be read; what was known of it stays.
    pub(super) fn read_slots(&mut self, sensor: &Sensor, state: &StateFolder<'_>) -> Result<()> {
        let mut unread = Ok(());
        for slot in [Slot::Good, Slot::Previous, Slot::Trial] {
            let content = match self.read_slot(sensor, state, slot) {
                Ok(kept) => Content::Kept(kept),
                Err(Failure::Refused(refusal)) => Content::Refused(refusal),
                Err(Failure::Host(status)) if status != NtStatus::NOT_FOUND => {
                    unread = Err(status);
                    continue;
                }
                Err(_) => Content::Nothing,
            };
            *self.slots.place(slot) = content;
        }
        unread
    }

    /// Puts the first of the slots into force that may serve; nothing is in force. False when one
    /// that may could not be read, and there is patience for another look.
    #[inline(never)]
    pub(super) fn serve(
        &mut self,
        sensor: &Sensor,
        state: &StateFolder<'_>,
        patient: bool,
    ) -> bool {
        // Without a journal nothing is known against anybody.
        let journal = self.journal.unwrap_or_default();
        let passed_over = self.slots.good.body().is_some();
        while let Some(slot) =
            journal.serves(self.slots.rungs()).and_then(|at| BOOT_ORDER.get(at).copied())
        {
            match self.load_slot(sensor, state, slot) {
                Ok(()) => {
                    self.in_force_since(now(), !self.booted);
                    self.note_fallback(sensor, slot);
                    return true;
                }
                Err(failure) => {
                    if matches!(failure, Failure::Host(status) if status != NtStatus::NOT_FOUND) {
                        self.unread = true;
                        if patient {
                            return false;
                        }
                    }
                    *self.slots.place(slot) = match failure {
                        Failure::Refused(refusal) => Content::Refused(refusal),
                        _ => Content::Nothing,
                    };
                }
            }
        }
        sensor.content.lock().fell_back = passed_over;
        true
    }

    /// What serves is not the newest that was good, or far ahead of what was good before it.
    fn note_fallback(&mut self, sensor: &Sensor, slot: Slot) {
        let position = |content: &Content| content.kept().map(|kept| kept.position);
        let served = position(self.slots.place(slot));
        let floor = self.journal.unwrap_or_default().floor().position;
        let newest = served.is_none_or(|served| served >= floor);
        sensor.content.lock().fell_back = slot != Slot::Good || !newest;
        let previous = position(&self.slots.previous);
        self.jumped = slot == Slot::Good
            && previous.zip(served).is_some_and(|(before, served)| is_jump(before, served));
    }

    #[inline(never)]
    fn read_slot(&self, sensor: &Sensor, state: &StateFolder<'_>, slot: Slot) -> Outcome<Kept> {
        self.open_slot(sensor, state, slot).map(|file| Kept::of(&file.signed))
    }

    /// Opens a slot and judges its header: a revoked file is served from nowhere.
    pub(super) fn open_slot<'l>(
        &self,
        sensor: &Sensor,
        state: &StateFolder<'l>,
        slot: Slot,
    ) -> Outcome<SignedFile<'l>> {
        let trust = trust(sensor, &self.obeyed)?;
        let file = SignedFile::read(&trust, state.open_slot(slot)?)?;
        trust.serves(&file.signed)?;
        if file.signed.header.channel != CHANNEL {
            return Err(Failure::NotNewer);
        }
        Ok(file)
    }

    #[inline(never)]
    fn load_slot(&self, sensor: &Sensor, state: &StateFolder<'_>, slot: Slot) -> Outcome<()> {
        let rules = resident(self.open_slot(sensor, state, slot)?.rules()?)?;
        crash_note::content(rules.header());
        sensor.active.publish(Active::new(rules, true)?)?;
        Ok(())
    }

    /// Whose fault it is if the session ends now.
    pub(super) fn to_blame(&self, sensor: &Sensor) -> Option<Mark> {
        let body = match &self.trial {
            Some(trial) => trial.body,
            None => sensor.active.read(|active| BodyId::of(&active.rules.header().digest))?,
        };
        let stands = self.journal.and_then(|journal| journal.mark());
        let healthy = stands.is_some_and(|mark| mark.body == body && mark.healthy);
        Some(Mark { body, healthy: healthy && !self.unwritten })
    }
}
