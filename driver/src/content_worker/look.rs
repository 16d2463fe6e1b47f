//! Looks into the inbox and tries what is newer, newest first, until one comes into force.

use core::sync::atomic::Ordering;

use driver_abi::crash::Phase;
use driver_abi::{Cause, RefusalNote};
use driver_core::Position;
use driver_core::access::{MAX_DESCRIPTOR, administrators_alone};
use driver_core::inbox::{Candidate, Entry, MAX_SCAN_BYTES, Scan, Stamp, refusal_after};
use driver_core::ladder::is_jump;
use driver_core::merit::Trial;
use driver_core::slots::Slot;

use super::desk::Desk;
use super::load::{SignedFile, resident, trust};
use super::slots::{Content, Kept};
use super::tell::Names;
use super::trial::OnTrial;
use super::{CHANNEL, Failure, Outcome, must_end};
use crate::crash_note;
use crate::ffi::io::Directory;
use crate::ffi::lane::Lane;
use crate::ffi::status::{NtStatus, Result};
use crate::ffi::sync::now;
use crate::ffi::utf16;
use crate::sensor::{Active, Sensor};
use crate::state_folder::StateFolder;

/// Where content that is tried comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The inbox; it has yet to be kept.
    Inbox,
    /// The slot of content on trial.
    Slot,
}

/// The names of [`CHANNEL`]'s files, for the file system to pick.
const PATTERN: [u16; 16] = utf16("C-00000291-*.sys");

impl Desk {
    /// One look.
    #[inline(never)]
    pub(super) fn look(&mut self, sensor: &Sensor, state: &StateFolder<'_>, lane: &Lane) {
        crash_note::phase(Phase::Look);
        if sensor.orders.take_reload() {
            self.ignored.clear();
        }
        self.budget = MAX_SCAN_BYTES;
        let inbox = Directory::open(&sensor.settings.inbox, lane);
        let safe = inbox.as_ref().map_err(|status| *status).and_then(|inbox| self.is_safe(inbox));
        let scan = match (&inbox, safe) {
            (Ok(inbox), Ok(true)) => {
                // First whose files are taken, then the files.
                let control = self.look_for_control(sensor, state, inbox);
                control.and_then(|()| self.scan(sensor, inbox))
            }
            (_, Ok(_)) => Err(NtStatus::ACCESS_DENIED),
            (_, Err(status)) => Err(status),
        };
        {
            let mut facts = sensor.content.lock();
            facts.inbox_exposed = safe == Ok(false);
            // A folder too full to be seen whole may hold newer content that is not seen.
            facts.inbox_readable = scan.as_ref().is_ok_and(|scan| !scan.is_over());
            facts.scans = facts.scans.saturating_add(1);
            if scan.as_ref().is_ok_and(|scan| !scan.refusal_stands()) {
                facts.refusal = RefusalNote::default();
            }
        }
        let (Ok(inbox), Ok(scan)) = (inbox, scan) else {
            return;
        };
        for candidate in scan.candidates() {
            if must_end() {
                return;
            }
            let mut names = Names::default();
            match self.attempt(sensor, state, &inbox, candidate, &mut names) {
                Ok(()) => {
                    let mut facts = sensor.content.lock();
                    facts.accepted = facts.accepted.saturating_add(1);
                    facts.refusal = refusal_after(&facts.refusal, candidate.position());
                    return;
                }
                Err(Failure::Later) => return,
                Err(failure) => self.note(sensor, candidate, &failure, &names),
            }
        }
    }

    fn scan(&mut self, sensor: &Sensor, inbox: &Directory<'_>) -> Result<Scan> {
        let refused = sensor.content.lock().refusal;
        self.list(inbox, &PATTERN, Scan::new(CHANNEL, position_in_force(sensor), &refused))
    }

    /// True when only administrators may change what is in the folder. Others could not bring
    /// rules into force, but keep new ones out: files held open, swapped or buried.
    fn is_safe(&mut self, inbox: &Directory<'_>) -> Result<bool> {
        let buffer = self.listing.get_mut(..MAX_DESCRIPTOR).unwrap_or(&mut []);
        Ok(administrators_alone(inbox.descriptor(buffer)?).is_ok())
    }

    /// Goes through the names that match, and puts what may be newer in order.
    #[inline(never)]
    pub(super) fn list(
        &mut self,
        inbox: &Directory<'_>,
        pattern: &[u16],
        mut scan: Scan,
    ) -> Result<Scan> {
        let Self { listing, ignored, .. } = self;
        inbox.for_each(pattern, listing, |entry| {
            let stamp = Stamp { file_id: entry.file_id, size: entry.size, changed: entry.changed };
            scan.offer(&Entry { name: entry.name, stamp, attributes: entry.attributes }, ignored)
        })?;
        Ok(scan)
    }

    /// Tries one file.
    #[inline(never)]
    fn attempt(
        &mut self,
        sensor: &Sensor,
        state: &StateFolder<'_>,
        inbox: &Directory<'_>,
        candidate: &Candidate,
        names: &mut Names,
    ) -> Outcome<()> {
        if let Some(obstacle) = candidate.obstacle {
            return Err(obstacle.into());
        }
        crash_note::tries(candidate.position());
        crash_note::phase(Phase::Header);
        let name = candidate.name.to_ascii().map(u16::from);
        let trust = trust(sensor, &self.obeyed)?;
        let file = SignedFile::read(&trust, inbox.open_file(&name)?)?;
        *names = Names::of(&file.signed);
        let header = &file.signed.header;
        let position = Position { epoch: header.epoch, sequence: header.sequence };
        if header.channel != CHANNEL {
            // Its name said otherwise: that is told, not passed over.
            return Err(Cause::OtherChannel.into());
        }
        if position_in_force(sensor).is_some_and(|in_force| position <= in_force) {
            return Err(Failure::NotNewer);
        }
        let journal = self.journal.unwrap_or_default();
        if self.obeyed.position() < journal.control() {
            // What is over may be what this file is, and nobody says so here.
            return Err(Cause::NoControl.into());
        }
        trust.admits(&file.signed)?;
        journal.floor().admits(header)?;
        self.try_file(sensor, state, file, Source::Inbox)
    }

    /// Tries content that may come in: from here on its body is read. Should that bring the machine
    /// down, the mark says so.
    #[inline(never)]
    pub(super) fn try_file(
        &mut self,
        sensor: &Sensor,
        state: &StateFolder<'_>,
        file: SignedFile<'_>,
        source: Source,
    ) -> Outcome<()> {
        let kept = Kept::of(&file.signed);
        let journal = self.journal.unwrap_or_default();
        journal.may_try(kept.body, self.up())?;
        self.spend(file.size())?;
        crash_note::phase(Phase::Mark);
        self.write_journal(state, journal.try_body(kept.body))
            .inspect_err(|_| sensor.content.lock().state_usable = false)?;
        let outcome = self.accept(sensor, state, file, &kept, source);
        if outcome.is_err() {
            // The mark goes back to what is in force. One that cannot be put back now is put back
            // at the next look.
            let _ = self.keep_mark(sensor, state);
        }
        outcome
    }

    fn accept(
        &mut self,
        sensor: &Sensor,
        state: &StateFolder<'_>,
        file: SignedFile<'_>,
        kept: &Kept,
        source: Source,
    ) -> Outcome<()> {
        crash_note::phase(Phase::Body);
        let rules = file.rules()?;
        crash_note::phase(Phase::SelfTest);
        rules.self_test()?;
        if source == Source::Inbox {
            // From here on the slot is no longer that of the content in force, should that be on
            // trial.
            self.trial_saved = false;
            self.slots.trial = Content::Nothing;
            crash_note::phase(Phase::Save);
            state.save(Slot::Trial, rules.bytes())?;
            self.slots.trial = Content::Kept(*kept);
        }
        crash_note::phase(Phase::Publish);
        let rules = resident(rules)?;
        crash_note::content(rules.header());
        sensor.active.publish(Active::new(rules, false)?)?;
        // The mark stays: it is that of the content on trial now.
        let events = sensor.counters.events.load(Ordering::Relaxed);
        self.trial = Some(OnTrial { body: kept.body, merit: Trial::begin(now(), events) });
        self.trial_saved = true;
        self.in_force_since(now(), false);
        let before = self.journal.unwrap_or_default().floor().position;
        self.jumped = is_jump(before, kept.position);
        Ok(())
    }

    /// Takes so many bytes from what this look may read.
    pub(super) fn spend(&mut self, bytes: usize) -> Outcome<()> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.budget = self.budget.checked_sub(bytes).ok_or(Failure::Later)?;
        Ok(())
    }
}

pub(super) fn position_in_force(sensor: &Sensor) -> Option<Position> {
    sensor.active.read(|active| {
        let header = active.rules.header();
        Position { epoch: header.epoch, sequence: header.sequence }
    })
}
