//! One look at everything, and what is remembered from look to look.

use driver_abi::TrustNote;
use driver_core::inbox::{Ignored, MAX_NAMES, Stamp};
use driver_core::journal::{BodyId, Floor, Journal, Start};

use super::control::Obeyed;
use super::slots::Slots;
use super::trial::OnTrial;
use super::{CHANNEL, boot, letters, until_first_use};
use crate::ffi::lane::Lane;
use crate::ffi::pool::{PoolBox, PoolSlice, Tag};
use crate::ffi::status::Result;
use crate::ffi::sync::{now, unix_seconds};
use crate::sensor::Sensor;
use crate::state_folder::StateFolder;

/// Where directory entries are put: some dozens at a time.
const LISTING_BYTES: usize = 8 * 1024;

/// What the worker works with.
pub(super) struct Desk {
    pub listing: PoolSlice<u8>,
    pub ignored: Ignored<PoolSlice<Stamp>>,
    /// Known once the state folder could be read.
    pub journal: Option<Journal>,
    pub booted: bool,
    pub boot_tries: u32,
    /// A slot was there and could not be read.
    pub unread: bool,
    pub trial: Option<OnTrial>,
    /// The slot of content on trial holds what is in force, and nothing else.
    pub trial_saved: bool,
    /// Bytes this look may still read.
    pub budget: u32,
    /// Channel 0.
    pub obeyed: Obeyed,
    /// What the slots hold.
    pub slots: Slots,
    /// Which session this is, and when it began.
    pub start: Start,
    began: u64,
    /// What was settled at the start has yet to be written.
    pub unwritten: bool,
    /// Content that has become good, which has yet to be written.
    pub promoted: Option<(BodyId, Floor)>,
    /// Since when what is in force is, and whether it has been since the boot.
    pub since: u64,
    pub served_boot: bool,
    /// What is in force is far ahead of what was good before.
    pub jumped: bool,
    /// The session has been healthy for a day, which has been seen to.
    pub day_over: bool,
}

impl Desk {
    /// Not inlined: the copy on the stack must not stay below all that the thread does.
    #[inline(never)]
    pub(super) fn in_pool() -> Result<PoolBox<Self>> {
        let stamps = PoolSlice::new(MAX_NAMES, Tag::Content, Stamp::default)?;
        let desk = Self {
            listing: PoolSlice::zeroed(LISTING_BYTES, Tag::Content)?,
            ignored: Ignored::new(stamps),
            journal: None,
            booted: false,
            boot_tries: 0,
            unread: false,
            trial: None,
            trial_saved: false,
            budget: 0,
            obeyed: Obeyed::default(),
            slots: Slots::default(),
            start: boot::start(),
            began: now(),
            unwritten: false,
            promoted: None,
            since: 0,
            served_boot: false,
            jumped: false,
            day_over: false,
        };
        PoolBox::new(desk, Tag::Content)
    }

    /// True once content has been put into force as far as a boot can.
    pub(super) const fn has_booted(&self) -> bool {
        self.booted
    }

    /// One look at everything. Each step does what it can; what it could not is tried next time.
    pub(super) fn tick(&mut self, sensor: &Sensor, lane: &Lane) {
        letters::refresh(sensor);
        if lane.is_free() {
            self.work(sensor, lane);
            sensor.content.lock().disk_slow = lane.was_late();
        } else {
            // A transfer of an earlier look has still not come back.
            sensor.content.lock().disk_slow = true;
        }
        let expired = sensor.active.read(|active| {
            let expires = active.rules.header().expires;
            expires != 0 && expires <= unix_seconds()
        });
        sensor.content.lock().stale = expired.unwrap_or(false);
        self.tell(sensor);
    }

    /// Has the status say what is trusted and kept.
    #[inline(never)]
    fn tell(&self, sensor: &Sensor) {
        let journal = self.journal.unwrap_or_default();
        let rooted = sensor.anchor.as_ref().is_ok_and(|anchor| anchor.root_threshold() > 0);
        let position = self.obeyed.position();
        let control = self.obeyed.control.as_ref();
        let expires = control.map_or(0, |control| control.header().expires);
        let halted = control.is_some_and(|control| {
            control.channels().any(|rule| rule.channel == CHANNEL && rule.halted)
        });
        let floor = journal.floor();
        let mut facts = sensor.content.lock();
        facts.control_lost =
            rooted && self.booted && (position.is_none() || position < journal.control());
        facts.control_stale = expires != 0 && expires <= unix_seconds();
        facts.jumped = self.jumped;
        let of_control = position.unwrap_or_default();
        facts.trust = TrustNote {
            control: position.is_some(),
            halted,
            control_epoch: of_control.epoch,
            control_sequence: of_control.sequence,
            floor_epoch: floor.position.epoch,
            floor_sequence: floor.position.sequence,
            floor_rules: floor.rules,
            slots: self.slots.notes(&journal),
            refusal: facts.trust.refusal,
        };
    }

    /// How long the session has lasted.
    pub(super) fn up(&self) -> u64 {
        now().saturating_sub(self.began)
    }

    /// What is in force has come into force.
    pub(super) fn in_force_since(&mut self, now: u64, served_boot: bool) {
        (self.since, self.served_boot) = (now, served_boot);
    }

    fn work(&mut self, sensor: &Sensor, lane: &Lane) {
        let early = until_first_use() > 0;
        let state = if early {
            StateFolder::open(&sensor.settings.state, lane)
        } else {
            StateFolder::open_or_create(&sensor.settings.state, lane)
        };
        // Early in a boot there may be no disk to find it on, or nothing was ever accepted.
        sensor.content.lock().state_usable = early || state.is_ok();
        let Ok(state) = state else { return };
        self.boot(sensor, &state);
        // Until good content has had its chance, nothing is newer than it or on trial.
        if !self.booted || early {
            return;
        }
        self.note_promotion(&state);
        let kept = self.keep_journal(sensor, &state);
        if kept.and_then(|()| self.forgive(sensor, &state)).is_err() {
            sensor.content.lock().state_usable = false;
            return;
        }
        self.mend_control(sensor, &state);
        self.promote(sensor, &state);
        self.look(sensor, &state, lane);
        self.retry(sensor, &state);
    }

    /// The driver is unloaded or the machine shut down: all is well, and nobody is to blame for
    /// anything that comes. Said also when the session was too short for another word: its boot
    /// would else count as one that went down.
    pub(super) fn close(&mut self, sensor: &Sensor, lane: &Lane) {
        if let (Some(journal), Ok(state)) =
            (self.journal, StateFolder::open(&sensor.settings.state, lane))
            && (journal.mark().is_some() || self.unwritten)
        {
            // A mark that stays costs the body a loss.
            let _ = self.write_journal(&state, journal.closed());
        }
    }
}
