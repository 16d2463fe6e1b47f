//! Brings dropped files into force, on a thread of its own.
//!
//! ```text
//! inbox → name sorts → header signature → newer? → attempt mark written through → body hash
//!       → parse → its own examples → slot "trial" → published beside the old → earns "good"
//! ```
//!
//! A boot serves only what was good before and writes nothing; the inbox comes a minute later.
//! Whatever fails, the content in force stays in force. All of it runs at PASSIVE_LEVEL. The thread's own waits are
//! timed; its file operations are synchronous and wait as long as the file system does.

use core::sync::atomic::{AtomicBool, Ordering};

use channel_format::frame::{self, Signed};
use channel_format::limits::{HEADER_LEN, MAX_FILE};
use channel_format::refusal::Refusal;
use channel_format::ruleset::Ruleset;
use channel_format::schema::SensorProfile;
use driver_abi::RefusalNote;
use driver_core::Position;
use driver_core::drives::{DriveTable, LETTERS, MAX_DEVICE_UNITS};
use driver_core::inbox::{Candidate, Ignored, Scan, Stamp, refusal_after, worse_refusal};
use driver_core::journal::{BodyId, Journal};
use driver_core::merit::Trial;
use driver_core::slots::{BOOT_ORDER, PROMOTION, Slot};

use crate::ffi::io::{Directory, File};
use crate::ffi::objects;
use crate::ffi::pool::{PoolBox, PoolSlice, Tag};
use crate::ffi::start::Service;
use crate::ffi::status::{NtStatus, Result};
use crate::ffi::sync::{SECOND, ThreadMain, now, unix_seconds};
use crate::sensor::{Active, Sensor};
use crate::state_folder::StateFolder;

/// The channel this sensor takes its rules from.
const CHANNEL: u32 = 291;
/// Tries to load good content before what cannot be read is passed over, and the time between two.
const BOOT_TRIES: u32 = 5;
const BOOT_RETRY: u64 = SECOND;
/// How long a machine must be up before new content is tried and anything is written.
const FIRST_USE: u64 = 60 * SECOND;
/// Where the kernel puts directory entries: some dozens at a time.
const LISTING_BYTES: usize = 8 * 1024;

/// What the worker has to tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct ContentFacts {
    /// The state folder could be used the last time it was needed.
    pub state_usable: bool,
    /// The inbox could be read the last time.
    pub inbox_readable: bool,
    /// The content in force has expired.
    pub stale: bool,
    /// The boot could not use what was good last, and serves what was good before it.
    pub fell_back: bool,
    /// Files accepted since start.
    pub accepted: u64,
    /// Files refused since start.
    pub refused: u64,
    /// Looks into the inbox since start.
    pub scans: u64,
    /// The refusal that still stands.
    pub refusal: RefusalNote,
}

/// Why a file did not come into force.
enum Failure {
    /// The file is at fault; it need not be read again until it changes.
    Refused(Refusal),
    /// The host is at fault, or the file is not ready; it is tried again at the next look.
    Host(NtStatus),
    /// Nothing is wrong with it, but what is in force is as new.
    NotNewer,
    /// The machine went down twice while this body was tried.
    Struck,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<NtStatus> for Failure {
    fn from(status: NtStatus) -> Self {
        Self::Host(status)
    }
}

/// The thread.
pub struct Worker;

impl ThreadMain for Worker {
    fn run() {
        let Some(sensor) = Sensor::global().get() else {
            return;
        };
        let mut desk = None;
        while !sensor.is_stopping() {
            if desk.is_none() {
                desk = Desk::in_pool().ok();
            }
            if let Some(desk) = &mut desk {
                desk.tick(sensor);
            }
            sensor.settle();
            let poll = sensor.settings.poll;
            let booted = desk.as_ref().is_some_and(|desk| desk.booted);
            let patience = match until_first_use() {
                0 if booted => poll,
                left if booted => poll.min(left),
                _ => poll.min(BOOT_RETRY),
            };
            sensor.wake_worker.wait(patience);
        }
        if let Some(desk) = &mut desk {
            desk.close(sensor);
        }
    }
}

/// What the worker works with.
struct Desk {
    listing: PoolSlice<u8>,
    ignored: Ignored,
    /// Known once the state folder could be read.
    journal: Option<Journal>,
    booted: bool,
    boot_tries: u32,
    trial: Option<OnTrial>,
    /// The slot of content on trial holds what is in force, and nothing else.
    trial_saved: bool,
}

/// The content in force that has yet to become good.
#[derive(Clone, Copy)]
struct OnTrial {
    body: BodyId,
    merit: Trial,
}

impl Desk {
    /// Not inlined: the copy on the stack must not stay below all that the thread does.
    #[inline(never)]
    fn in_pool() -> Result<PoolBox<Self>> {
        let desk = Self {
            listing: PoolSlice::zeroed(LISTING_BYTES, Tag::Content)?,
            ignored: Ignored::NONE,
            journal: None,
            booted: false,
            boot_tries: 0,
            trial: None,
            trial_saved: false,
        };
        PoolBox::new(desk, Tag::Content)
    }

    /// One look at everything. Each step does what it can; what it could not is tried next time.
    fn tick(&mut self, sensor: &Sensor) {
        refresh_drives(sensor);
        let early = until_first_use() > 0;
        let state = if early {
            StateFolder::open(&sensor.settings.state)
        } else {
            StateFolder::open_or_create(&sensor.settings.state)
        };
        // Early in a boot there may be no disk to find it on, or nothing was ever accepted.
        sensor.content.lock().state_usable = early || state.is_ok();
        if let Ok(state) = state {
            self.boot(sensor, &state);
            // Until good content has had its chance, nothing is newer than it or on trial.
            if self.booted && !early {
                match self.recall(&state) {
                    Ok(()) => {
                        self.promote(sensor, &state);
                        self.look(sensor, &state);
                    }
                    Err(_) => sensor.content.lock().state_usable = false,
                }
            }
        }
        let expired = sensor.active.read(|active| {
            let expires = active.rules.header().expires;
            expires != 0 && expires <= unix_seconds()
        });
        sensor.content.lock().stale = expired.unwrap_or(false);
    }

    /// The driver is unloaded: the machine is well, and content on trial is not to blame for
    /// anything that comes.
    fn close(&mut self, sensor: &Sensor) {
        if let (Some(journal), Ok(state)) =
            (self.journal, StateFolder::open(&sensor.settings.state))
            && journal.is_open()
        {
            // A mark that stays costs the body one of its tries.
            let _ = self.write_journal(&state, journal.end());
        }
    }

    /// Reads the journal once. A try it shows as open never ended, which is counted against its
    /// body. That is written when the next try is, so that a boot writes nothing.
    ///
    /// A mark of this session that could not be taken back when its try ended is taken back now.
    ///
    /// # Errors
    /// The kernel's reason. Nothing may be tried then: a copy that could not be read now may be the
    /// newer one.
    fn recall(&mut self, state: &StateFolder) -> Result<()> {
        let Some(journal) = self.journal else {
            let found = state.read_journal()?;
            self.journal = Some(found.settle().unwrap_or(found));
            return Ok(());
        };
        if journal.is_open() && self.trial.is_none() {
            self.write_journal(state, journal.end())?;
        }
        Ok(())
    }

    /// Puts good content into force, once, from its slots alone.
    fn boot(&mut self, sensor: &Sensor, state: &StateFolder) {
        if self.booted {
            return;
        }
        self.boot_tries = self.boot_tries.saturating_add(1);
        for slot in BOOT_ORDER {
            match self.load_slot(sensor, state, slot) {
                Ok(()) => {
                    sensor.content.lock().fell_back = slot != Slot::Good;
                    break;
                }
                // The volume may not be ready, or memory be short: look again, but not for ever,
                // since a bad sector must not keep the next slot from serving.
                Err(Failure::Host(status))
                    if status != NtStatus::NOT_FOUND && self.boot_tries < BOOT_TRIES =>
                {
                    return;
                }
                Err(_) => {}
            }
        }
        self.booted = true;
    }

    fn load_slot(
        &self,
        sensor: &Sensor,
        state: &StateFolder,
        slot: Slot,
    ) -> core::result::Result<(), Failure> {
        let file = state.open_slot(slot)?;
        let (signed, bytes) = self.read_header(sensor, &file)?;
        if signed.header.channel != CHANNEL {
            return Err(Failure::NotNewer);
        }
        let rules = self.read_rules(signed, &file, bytes)?;
        sensor.active.publish(Active { rules, good: AtomicBool::new(true) })?;
        Ok(())
    }

    /// Looks into the inbox and tries what is newer, newest first, until one comes into force.
    fn look(&mut self, sensor: &Sensor, state: &StateFolder) {
        let inbox = Directory::open(&sensor.settings.inbox);
        let scan =
            inbox.as_ref().map_err(|status| *status).and_then(|inbox| self.scan(sensor, inbox));
        {
            let mut facts = sensor.content.lock();
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
            if sensor.is_stopping() {
                return;
            }
            let outcome = self.attempt(sensor, state, &inbox, candidate);
            self.note(sensor, candidate, &outcome);
            if outcome.is_ok() {
                return;
            }
        }
    }

    fn scan(&mut self, sensor: &Sensor, inbox: &Directory) -> Result<Scan> {
        let refused = sensor.content.lock().refusal;
        let mut scan = Scan::new(CHANNEL, position_in_force(sensor), &refused);
        let Self { listing, ignored, .. } = self;
        inbox.for_each(listing, |entry| {
            let stamp = Stamp { file_id: entry.file_id, size: entry.size, changed: entry.changed };
            let name = if entry.unusual { &[] } else { entry.name };
            scan.offer(name, stamp, ignored)
        })?;
        Ok(scan)
    }

    /// Tries one file.
    fn attempt(
        &mut self,
        sensor: &Sensor,
        state: &StateFolder,
        inbox: &Directory,
        candidate: &Candidate,
    ) -> core::result::Result<(), Failure> {
        let name = candidate.name.to_ascii().map(u16::from);
        let file = inbox.open_file(&name)?;
        let (signed, bytes) = self.read_header(sensor, &file)?;
        let header = &signed.header;
        let position = Position { epoch: header.epoch, sequence: header.sequence };
        if header.channel != CHANNEL {
            // Its name said otherwise: that is told, not passed over.
            return Err(Failure::Host(NtStatus::WRONG_TYPE));
        }
        if position_in_force(sensor).is_some_and(|in_force| position <= in_force) {
            return Err(Failure::NotNewer);
        }
        let body = BodyId::of(&header.digest);
        let journal = self.journal.unwrap_or_default();
        if journal.is_struck(body) {
            return Err(Failure::Struck);
        }
        // From here on the body is read. Should that bring the machine down, the mark says so.
        let journal = self
            .write_journal(state, journal.begin(body))
            .inspect_err(|_| sensor.content.lock().state_usable = false)?;
        let outcome = self.accept(sensor, state, signed, &file, bytes, body);
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
        state: &StateFolder,
        signed: Signed,
        file: &File,
        bytes: PoolSlice<u8>,
        body: BodyId,
    ) -> core::result::Result<(), Failure> {
        let rules = self.read_rules(signed, file, bytes)?;
        rules.self_test()?;
        // From here on the slot is no longer that of the content in force, should that be on trial.
        self.trial_saved = false;
        state.save(Slot::Trial, rules.bytes())?;
        sensor.active.publish(Active { rules, good: AtomicBool::new(false) })?;
        // The mark stays: the try ends when the content is good.
        let events = sensor.counters.events.load(Ordering::Relaxed);
        self.trial = Some(OnTrial { body, merit: Trial::begin(now(), events) });
        self.trial_saved = true;
        Ok(())
    }

    /// Reads the file's header and checks its signatures. The memory returned has room for the
    /// whole file and begins with the header; only a signed file is given that much.
    fn read_header(
        &self,
        sensor: &Sensor,
        file: &File,
    ) -> core::result::Result<(Signed, PoolSlice<u8>), Failure> {
        let anchor = sensor.anchor.as_ref().map_err(|refusal| *refusal)?;
        let size = file.plain_size()?;
        let size = u32::try_from(size).ok().filter(|size| *size <= MAX_FILE);
        let size = size.and_then(|size| usize::try_from(size).ok()).ok_or(NtStatus::WRONG_TYPE)?;
        let mut head = PoolSlice::zeroed(size.min(HEADER_LEN), Tag::Content)?;
        file.read(0, &mut head)?;
        let signed = frame::verify(&head, anchor)?;
        let mut bytes = PoolSlice::zeroed(size, Tag::Content)?;
        for (to, from) in bytes.iter_mut().zip(head.iter()) {
            *to = *from;
        }
        Ok((signed, bytes))
    }

    /// Reads the rest of the file and makes rules of it.
    fn read_rules(
        &self,
        signed: Signed,
        file: &File,
        mut bytes: PoolSlice<u8>,
    ) -> core::result::Result<Ruleset<PoolSlice<u8>>, Failure> {
        let offset = u64::try_from(HEADER_LEN).map_err(|_| NtStatus::WRONG_TYPE)?;
        file.read(offset, bytes.get_mut(HEADER_LEN..).unwrap_or(&mut []))?;
        Ok(Ruleset::parse(signed.body(bytes)?, &SensorProfile::CURRENT)?)
    }

    /// Makes content good that has earned it: by renames, so that a power cut leaves good content.
    fn promote(&mut self, sensor: &Sensor, state: &StateFolder) {
        let events = sensor.counters.events.load(Ordering::Relaxed);
        let Some(trial) = self.trial.filter(|trial| trial.merit.is_good(now(), events)) else {
            return;
        };
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

    fn note(
        &mut self,
        sensor: &Sensor,
        candidate: &Candidate,
        outcome: &core::result::Result<(), Failure>,
    ) {
        let mut facts = sensor.content.lock();
        let note = RefusalNote {
            epoch: candidate.name.epoch,
            sequence: candidate.name.sequence,
            ..RefusalNote::default()
        };
        let note = match outcome {
            Ok(()) => {
                facts.accepted = facts.accepted.saturating_add(1);
                facts.refusal = refusal_after(&facts.refusal, candidate.position());
                return;
            }
            Err(Failure::NotNewer) => {
                self.ignored.insert(candidate.stamp);
                if (facts.refusal.epoch, facts.refusal.sequence) == (note.epoch, note.sequence) {
                    facts.refusal = RefusalNote::default();
                }
                return;
            }
            Err(Failure::Refused(refusal)) => RefusalNote {
                code: refusal.code.number(),
                offset: refusal.offset,
                expected: refusal.expected,
                found: refusal.found,
                ..note
            },
            Err(Failure::Host(status)) => RefusalNote { host_status: status.number(), ..note },
            Err(Failure::Struck) => RefusalNote { host_status: RefusalNote::STRUCK, ..note },
        };
        facts.refusal = worse_refusal(&facts.refusal, &note);
        // What the host could not do is tried again, except with a kind of file that is not read:
        // that changes only with its stamp, and keeps its place from others meanwhile.
        let again =
            matches!(outcome, Err(Failure::Host(status)) if *status != NtStatus::WRONG_TYPE);
        if !again {
            facts.refused = facts.refused.saturating_add(1);
            self.ignored.insert(candidate.stamp);
        }
    }

    /// Writes the journal's next record through to the disk and keeps it.
    fn write_journal(&mut self, state: &StateFolder, next: Journal) -> Result<Journal> {
        state.write_journal(&self.journal.unwrap_or_default(), &next)?;
        self.journal = Some(next);
        Ok(next)
    }
}

/// How long from now new content stays untouched: a boot never makes its first use. 0 once the
/// machine has been up for a minute, as it is when the driver is started by hand.
fn until_first_use() -> u64 {
    FIRST_USE.saturating_sub(now())
}

fn position_in_force(sensor: &Sensor) -> Option<Position> {
    sensor.active.read(|active| {
        let header = active.rules.header();
        Position { epoch: header.epoch, sequence: header.sequence }
    })
}

/// Publishes what the drive letters name when that has changed. Not inlined: the tables take
/// kilobytes of stack, which file systems and signatures need afterwards.
#[inline(never)]
fn refresh_drives(sensor: &Sensor) {
    let mut drives = DriveTable::EMPTY;
    for (index, letter) in (0..LETTERS).zip(0_u16..) {
        let mut target = [0; MAX_DEVICE_UNITS];
        if let Ok(len) = objects::drive_target(letter, &mut target) {
            drives.set(index, target.get(..len).unwrap_or(&[]));
        }
    }
    let known = sensor.drives.read(|known| known.is_same(&drives)).unwrap_or(false);
    // No letter at all means that it is too early to say; images stay unknown until then.
    if drives.is_filled() && !known {
        // Without memory the old table serves, and the next look tries again.
        if sensor.drives.publish(drives).is_ok() {
            sensor.processes.clear();
        }
    }
}
