//! One look at everything, and what is remembered from look to look.

use driver_core::inbox::{Ignored, MAX_NAMES, Stamp};
use driver_core::journal::Journal;

use super::trial::OnTrial;
use super::{letters, until_first_use};
use crate::ffi::lane::Lane;
use crate::ffi::pool::{PoolBox, PoolSlice, Tag};
use crate::ffi::status::Result;
use crate::ffi::sync::unix_seconds;
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
        if self.recall(&state).and_then(|()| self.forgive(sensor, &state)).is_err() {
            sensor.content.lock().state_usable = false;
            return;
        }
        self.promote(sensor, &state);
        self.look(sensor, &state, lane);
    }

    /// The driver is unloaded or the machine shut down: all is well, and content on trial is not
    /// to blame for anything that comes.
    pub(super) fn close(&mut self, sensor: &Sensor, lane: &Lane) {
        if let (Some(journal), Ok(state)) =
            (self.journal, StateFolder::open(&sensor.settings.state, lane))
            && journal.is_open()
        {
            // A mark that stays costs the body one of its tries.
            let _ = self.write_journal(&state, journal.end());
        }
    }
}
