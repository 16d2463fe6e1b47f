//! Channel 0: taken from the inbox like content, kept in two copies, and obeyed at once.
//!
//! Both copies hold the newest that was taken; they are written one after the other, so that a power
//! cut leaves one whole. A boot reads both and takes the newer that is whole and signed. The journal
//! remembers how new the newest was: one that is gone, or older than that, is told as lost, and the
//! content in force goes on.

use channel_format::control::Control;
use channel_format::frame::FileId;
use driver_abi::crash::Phase;
use driver_abi::{Cause, RefusalNote};
use driver_core::Position;
use driver_core::inbox::{Candidate, Scan};
use driver_core::journal::BodyId;

use super::desk::Desk;
use super::load::{SignedFile, trust};
use super::tell::Names;
use super::{Failure, Outcome, must_end};
use crate::crash_note;
use crate::ffi::io::Directory;
use crate::ffi::pool::PoolSlice;
use crate::ffi::status::{NtStatus, Result};
use crate::ffi::utf16;
use crate::sensor::Sensor;
use crate::state_folder::{CONTROL_COPIES, StateFolder};

/// The channel that root keys sign.
pub(super) const CONTROL_CHANNEL: u32 = 0;
/// The names of its files, for the file system to pick.
const PATTERN: [u16; 16] = utf16("C-00000000-*.sys");

/// Channel 0 as it is obeyed, and as it lies on the disk.
#[derive(Default)]
pub(super) struct Obeyed {
    pub control: Option<Control<PoolSlice<u8>>>,
    /// The copies have been read.
    known: bool,
    /// Which copies hold it.
    saved: [bool; CONTROL_COPIES.len()],
}

impl Obeyed {
    pub(super) fn position(&self) -> Option<Position> {
        self.control.as_ref().map(position_of)
    }
}

impl Desk {
    /// Reads both copies, once a session; a boot does so before it looks for content.
    ///
    /// # Errors
    /// The kernel's reason when a copy is there and could not be read.
    #[inline(never)]
    pub(super) fn recall_control(
        &mut self,
        sensor: &Sensor,
        state: &StateFolder<'_>,
        patient: bool,
    ) -> Result<()> {
        if self.obeyed.known {
            return Ok(());
        }
        let first = read_copy(sensor, &self.obeyed, state, 0, patient)?;
        let second = read_copy(sensor, &self.obeyed, state, 1, patient)?;
        let [a, b] = [&first, &second].map(|control| control.as_ref().map(position_of));
        let control = if b > a { second } else { first };
        let saved = [a, b].map(|copy| copy.is_some() && copy == a.max(b));
        self.obeyed = Obeyed { control, known: true, saved };
        Ok(())
    }

    /// Writes the copies that do not hold what is obeyed.
    pub(super) fn mend_control(&mut self, sensor: &Sensor, state: &StateFolder<'_>) {
        let Obeyed { control: Some(control), saved, .. } = &mut self.obeyed else { return };
        for (copy, saved) in (0..).zip(saved.iter_mut()).filter(|(_, saved)| !**saved) {
            match state.save_control(copy, control.bytes()) {
                Ok(()) => *saved = true,
                Err(_) => sensor.content.lock().state_usable = false,
            }
        }
    }

    /// Looks for what the root keys say now.
    #[inline(never)]
    pub(super) fn look_for_control(
        &mut self,
        sensor: &Sensor,
        state: &StateFolder<'_>,
        inbox: &Directory<'_>,
    ) -> Result<()> {
        let refused = sensor.content.lock().trust.refusal;
        let scan = Scan::new(CONTROL_CHANNEL, self.obeyed.position(), &refused);
        let scan = self.list(inbox, &PATTERN, scan)?;
        if !scan.refusal_stands() {
            sensor.content.lock().trust.refusal = RefusalNote::default();
        }
        for candidate in scan.candidates() {
            if must_end() {
                break;
            }
            let mut names = Names::default();
            match self.try_control(sensor, state, inbox, candidate, &mut names) {
                Ok(()) => {
                    sensor.content.lock().trust.refusal = RefusalNote::default();
                    // What it said no to before, it may say yes to now.
                    self.ignored.clear();
                    self.obey(sensor, state);
                    // One that cannot be written now is written at the next look.
                    let _ = self.keep_mark(sensor, state);
                    break;
                }
                Err(Failure::Later) => break,
                Err(failure) => self.note(sensor, candidate, &failure, &names),
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn try_control(
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
        if header.channel != CONTROL_CHANNEL {
            return Err(Cause::OtherChannel.into());
        }
        let journal = self.journal.unwrap_or_default();
        // One that was lost may come again; nothing older may.
        let known = self.obeyed.position();
        if known.is_some_and(|known| position <= known) || Some(position) < journal.control() {
            return Err(Failure::NotNewer);
        }
        let body = BodyId::of(&header.digest);
        journal.may_try(body, self.up())?;
        self.spend(file.size())?;
        let before = journal.mark();
        self.write_journal(state, journal.try_body(body))
            .inspect_err(|_| sensor.content.lock().state_usable = false)?;
        let outcome = file.control().and_then(|control| self.keep(sensor, state, control));
        let journal = self.journal.unwrap_or_default();
        let next = match outcome {
            Ok(()) => journal.with_control(position),
            Err(_) => journal,
        };
        // A mark that cannot be put back now is put back at the next look.
        let _ = self.write_journal(state, next.marked(before));
        outcome
    }

    /// Obeys it once one copy is on the disk.
    fn keep(
        &mut self,
        sensor: &Sensor,
        state: &StateFolder<'_>,
        control: Control<PoolSlice<u8>>,
    ) -> Outcome<()> {
        crash_note::phase(Phase::Save);
        // Never over the only one that is whole.
        let first = self.obeyed.saved.iter().position(|saved| !*saved).unwrap_or(0);
        if let Some(saved) = self.obeyed.saved.get_mut(first) {
            *saved = false;
        }
        state.save_control(first, control.bytes())?;
        let mut saved = [false; CONTROL_COPIES.len()];
        if let Some(saved) = saved.get_mut(first) {
            *saved = true;
        }
        self.obeyed = Obeyed { control: Some(control), known: true, saved };
        self.mend_control(sensor, state);
        Ok(())
    }

    /// Has what is in force judged by what was just taken; what may serve no more ends at once, and
    /// the next of the ladder takes over.
    #[inline(never)]
    fn obey(&mut self, sensor: &Sensor, state: &StateFolder<'_>) {
        // A slot that cannot be read now is judged before it serves.
        let _ = self.read_slots(sensor, state);
        let Ok(trust) = trust(sensor, &self.obeyed) else { return };
        let judged = sensor.active.read(|active| {
            let head = active.rules.bytes();
            let file = FileId::of(head);
            (active.rules.header().name(), file, trust.judge(head).err())
        });
        match judged {
            Some((_, _, None)) => return,
            Some((name, file, Some(refusal))) => {
                let names = Names { file: Some(file), ..Names::default() };
                self.tell_refused(sensor, &name, &Failure::Refused(refusal), &names);
                if sensor.active.withdraw().is_err() {
                    // Somebody publishes, which nobody but this thread does.
                    return;
                }
            }
            // What lies in the slots may be trusted now, and was not before.
            None => {}
        }
        (self.trial, self.trial_saved) = (None, false);
        self.serve(sensor, state, false);
    }
}

fn position_of(control: &Control<PoolSlice<u8>>) -> Position {
    let header = control.header();
    Position { epoch: header.epoch, sequence: header.sequence }
}

/// One copy, if it is there, whole and signed by the root keys.
fn read_copy(
    sensor: &Sensor,
    obeyed: &Obeyed,
    state: &StateFolder<'_>,
    copy: usize,
    patient: bool,
) -> Result<Option<Control<PoolSlice<u8>>>> {
    match parse_copy(sensor, obeyed, state, copy) {
        Ok(control) => Ok(Some(control)),
        Err(Failure::Host(status)) if status != NtStatus::NOT_FOUND && patient => Err(status),
        Err(_) => Ok(None),
    }
}

#[inline(never)]
fn parse_copy(
    sensor: &Sensor,
    obeyed: &Obeyed,
    state: &StateFolder<'_>,
    copy: usize,
) -> Outcome<Control<PoolSlice<u8>>> {
    // What content keys it names has no say here: the root keys are the anchor's.
    let trust = trust(sensor, obeyed)?;
    let file = SignedFile::read(&trust, state.open_control(copy)?)?;
    if file.signed.header.channel != CONTROL_CHANNEL {
        return Err(Failure::NotNewer);
    }
    file.control()
}
