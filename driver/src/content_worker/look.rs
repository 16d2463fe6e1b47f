//! Looks into the inbox and tries what is newer, newest first, until one comes into force.

use core::sync::atomic::Ordering;

use driver_abi::crash::Phase;
use driver_abi::{Cause, RefusalNote};
use driver_core::Position;
use driver_core::access::{MAX_DESCRIPTOR, administrators_alone};
use driver_core::inbox::{
    Candidate, Entry, MAX_SCAN_BYTES, Scan, Stamp, refusal_after, worse_refusal,
};
use driver_core::journal::BodyId;
use driver_core::merit::Trial;
use driver_core::slots::Slot;

use super::desk::Desk;
use super::load::{SignedFile, resident};
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
            (Ok(inbox), Ok(true)) => self.scan(sensor, inbox),
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
            match self.attempt(sensor, state, &inbox, candidate) {
                Ok(()) => {
                    let mut facts = sensor.content.lock();
                    facts.accepted = facts.accepted.saturating_add(1);
                    facts.refusal = refusal_after(&facts.refusal, candidate.position());
                    return;
                }
                Err(failure) => {
                    self.note(sensor, candidate, &failure);
                    if matches!(failure, Failure::Later) {
                        return;
                    }
                }
            }
        }
    }

    /// True when only administrators may change what is in the folder. Others could not bring
    /// rules into force, but keep new ones out: files held open, swapped or buried.
    fn is_safe(&mut self, inbox: &Directory<'_>) -> Result<bool> {
        let buffer = self.listing.get_mut(..MAX_DESCRIPTOR).unwrap_or(&mut []);
        Ok(administrators_alone(inbox.descriptor(buffer)?).is_ok())
    }

    #[inline(never)]
    fn scan(&mut self, sensor: &Sensor, inbox: &Directory<'_>) -> Result<Scan> {
        let refused = sensor.content.lock().refusal;
        let mut scan = Scan::new(CHANNEL, position_in_force(sensor), &refused);
        let Self { listing, ignored, .. } = self;
        inbox.for_each(&PATTERN, listing, |entry| {
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
    ) -> Outcome<()> {
        if let Some(obstacle) = candidate.obstacle {
            return Err(obstacle.into());
        }
        crash_note::tries(candidate.position());
        crash_note::phase(Phase::Header);
        let name = candidate.name.to_ascii().map(u16::from);
        let file = SignedFile::read(sensor, inbox.open_file(&name)?)?;
        let header = &file.signed.header;
        let position = Position { epoch: header.epoch, sequence: header.sequence };
        if header.channel != CHANNEL {
            // Its name said otherwise: that is told, not passed over.
            return Err(Cause::OtherChannel.into());
        }
        if position_in_force(sensor).is_some_and(|in_force| position <= in_force) {
            return Err(Failure::NotNewer);
        }
        let body = BodyId::of(&header.digest);
        let journal = self.journal.unwrap_or_default();
        if journal.is_struck(body) {
            return Err(Cause::Struck.into());
        }
        let size = u32::try_from(file.size()).unwrap_or(u32::MAX);
        self.budget = self.budget.checked_sub(size).ok_or(Failure::Later)?;
        crash_note::phase(Phase::Mark);
        // From here on the body is read. Should that bring the machine down, the mark says so.
        let journal = self
            .write_journal(state, journal.begin(body))
            .inspect_err(|_| sensor.content.lock().state_usable = false)?;
        let outcome = self.accept(sensor, state, file, body);
        if outcome.is_err() {
            // The mark goes back to what is still on trial, if anything is. One that cannot be
            // taken back now is taken back at the next look.
            let next = match &self.trial {
                Some(trial) => journal.begin(trial.body),
                None => journal.end(),
            };
            let _ = self.write_journal(state, next);
        }
        outcome
    }

    fn accept(
        &mut self,
        sensor: &Sensor,
        state: &StateFolder<'_>,
        file: SignedFile<'_>,
        body: BodyId,
    ) -> Outcome<()> {
        crash_note::phase(Phase::Body);
        let rules = file.rules()?;
        crash_note::phase(Phase::SelfTest);
        rules.self_test()?;
        // From here on the slot is no longer that of the content in force, should that be on trial.
        self.trial_saved = false;
        crash_note::phase(Phase::Save);
        state.save(Slot::Trial, rules.bytes())?;
        crash_note::phase(Phase::Publish);
        let rules = resident(rules)?;
        crash_note::content(rules.header());
        sensor.active.publish(Active::new(rules, false)?)?;
        // The mark stays: the try ends when the content is good.
        let events = sensor.counters.events.load(Ordering::Relaxed);
        self.trial = Some(OnTrial { body, merit: Trial::begin(now(), events) });
        self.trial_saved = true;
        Ok(())
    }

    /// Tells why a file did not come into force, and remembers one that need not be read again.
    #[inline(never)]
    fn note(&mut self, sensor: &Sensor, candidate: &Candidate, failure: &Failure) {
        let mut facts = sensor.content.lock();
        let note = RefusalNote {
            epoch: candidate.name.epoch,
            sequence: candidate.name.sequence,
            ..RefusalNote::default()
        };
        let note = match failure {
            // The next look goes on with it.
            Failure::Later => return,
            Failure::NotNewer => {
                self.ignored.insert(candidate.stamp);
                if (facts.refusal.epoch, facts.refusal.sequence) == (note.epoch, note.sequence) {
                    facts.refusal = RefusalNote::default();
                }
                return;
            }
            Failure::Refused(refusal) => RefusalNote {
                code: refusal.code.number(),
                offset: refusal.offset,
                expected: refusal.expected,
                found: refusal.found,
                ..note
            },
            Failure::Host(status) => {
                RefusalNote { host_status: status.number(), cause: cause(*status), ..note }
            }
            Failure::InTheWay(cause) => RefusalNote {
                host_status: match cause {
                    Cause::Struck => RefusalNote::STRUCK,
                    _ => NtStatus::WRONG_TYPE.number(),
                },
                cause: *cause,
                ..note
            },
        };
        facts.refusal = worse_refusal(&facts.refusal, &note);
        // What the host could not do is tried again; the rest changes only with its stamp, and
        // keeps its place from others meanwhile.
        if !note.cause.passes() {
            facts.refused = facts.refused.saturating_add(1);
            self.ignored.insert(candidate.stamp);
        }
    }
}

/// What the kernel's status means for a file.
const fn cause(status: NtStatus) -> Cause {
    match status {
        NtStatus::SHARING_VIOLATION => Cause::Held,
        NtStatus::IO_TIMEOUT => Cause::Slow,
        _ => Cause::Host,
    }
}

pub(super) fn position_in_force(sensor: &Sensor) -> Option<Position> {
    sensor.active.read(|active| {
        let header = active.rules.header();
        Position { epoch: header.epoch, sequence: header.sequence }
    })
}
