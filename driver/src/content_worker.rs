//! Brings dropped files into force, on a thread of its own.
//!
//! ```text
//! inbox → name sorts → header signature → newer? → attempt mark written through → body hash
//!       → parse → its own examples → slot "trial" → published beside the old → earns "good"
//! ```
//!
//! | module | does |
//! |---|---|
//! | [`orders`] | what others ask of the worker |
//! | [`desk`] | one look at everything, and what is remembered from look to look |
//! | [`boot`] | puts good content into force at a start |
//! | [`look`] | looks into the inbox and tries what is newer |
//! | [`control`] | takes channel 0, and obeys it |
//! | [`load`] | makes rules of a file's bytes |
//! | [`trial`] | makes content good that has earned it |
//! | [`retry`] | tries again what took a machine down |
//! | [`slots`] | what lies in the slots |
//! | [`marks`] | the journal: who is to blame if the session ends |
//! | [`tell`] | why a file did not come into force |
//! | [`letters`] | what the drive letters name |
//!
//! A boot serves only what was good before and writes nothing; the inbox comes a minute later.
//! Whatever fails, the content in force stays in force. All of it runs at PASSIVE_LEVEL. The
//! thread's own waits and its transfers are timed; what the file system itself waits for when a
//! file is opened, asked, renamed or flushed is not in the driver's hands, and is told.

mod boot;
mod control;
mod desk;
mod letters;
mod load;
mod look;
mod marks;
pub mod orders;
mod retry;
mod slots;
mod tell;
mod trial;

use channel_format::refusal::Refusal;
use driver_abi::crash::Phase;
use driver_abi::{Cause, Outcome as Answered, RefusalNote, TrustNote};

use self::desk::Desk;
use self::orders::Pardon;
use crate::crash_note;
use crate::ffi::lane::Lane;
use crate::ffi::pool::PoolBox;
use crate::ffi::start::Service;
use crate::ffi::status::NtStatus;
use crate::ffi::sync::{SECOND, ThreadMain, now};
use crate::sensor::Sensor;

/// The channel this sensor takes its rules from.
const CHANNEL: u32 = 291;
/// How long a machine must be up before new content is tried and anything is written.
const FIRST_USE: u64 = 60 * SECOND;
/// Time between two looks before content was put into force.
const BOOT_RETRY: u64 = SECOND;
/// How long all transfers of one look together may wait for the disk.
const LOOK_PATIENCE: u64 = 30 * SECOND;
/// How long the transfers of the worker's last word may.
const CLOSE_PATIENCE: u64 = 5 * SECOND;

/// What the worker has to tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct ContentFacts {
    /// The state folder could be used the last time it was needed.
    pub state_usable: bool,
    /// The inbox could be read the last time.
    pub inbox_readable: bool,
    /// Others than administrators may change the inbox, so it was not read.
    pub inbox_exposed: bool,
    /// The disk did not answer in time the last time.
    pub disk_slow: bool,
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
    /// What the root keys said last is missing, damaged or older than it was.
    pub control_lost: bool,
    /// What they said last has expired.
    pub control_stale: bool,
    /// The content in force is far ahead of what was good before it.
    pub jumped: bool,
    /// What is trusted, and what is kept for the next boot.
    pub trust: TrustNote,
}

/// Why a file did not come into force.
enum Failure {
    /// The file is at fault; it need not be read again until it changes.
    Refused(Refusal),
    /// The host is at fault, or the file is not ready; it is tried again at the next look.
    Host(NtStatus),
    /// It is not a file that is read, or must not be tried; that stays until it changes.
    InTheWay(Cause),
    /// Nothing is wrong with it, but what is in force is as new.
    NotNewer,
    /// This look has read enough; the next one goes on.
    Later,
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

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self::InTheWay(cause)
    }
}

/// What a file came to.
type Outcome<T> = core::result::Result<T, Failure>;

/// The thread.
pub struct Worker;

/// What the thread works with; without memory it is tried for again.
struct Tools {
    lane: Lane,
    desk: PoolBox<Desk>,
}

impl ThreadMain for Worker {
    fn run() {
        let Some(sensor) = Sensor::global().get() else {
            return;
        };
        let mut tools = None;
        while !sensor.is_stopping() {
            if tools.is_none() {
                tools = Tools::gather();
            }
            let errands = sensor.outbox.take_errands();
            if errands.clear_quarantine {
                sensor.clear_quarantine(Pardon::All);
            } else if errands.any() {
                sensor.reload_now();
            }
            let booted = tools.as_mut().is_some_and(|tools| tools.use_for(sensor));
            crash_note::phase(Phase::Probe);
            sensor.probe.tick(look::position_in_force(sensor), || sensor.is_attached());
            crash_note::phase(Phase::Idle);
            if errands.any() {
                sensor.outbox.end_errands(outcome(sensor, booted));
            }
            sensor.settle(booted);
            sensor.wake_worker.wait(match until_first_use() {
                0 if booted => sensor.settings.poll,
                left if booted => sensor.settings.poll.min(left),
                _ => sensor.settings.poll.min(BOOT_RETRY),
            });
        }
        if let Some(tools) = &mut tools
            && !sensor.orders.is_over()
        {
            tools.finish(sensor);
        }
    }
}

impl Tools {
    fn gather() -> Option<Self> {
        Some(Self { lane: Lane::new().ok()?, desk: Desk::in_pool().ok()? })
    }

    /// One turn; true once content has been put into force as far as a boot can.
    fn use_for(&mut self, sensor: &Sensor) -> bool {
        if sensor.orders.is_over() {
            // Nothing is begun while the machine goes down.
        } else if sensor.orders.is_shutting_down() {
            self.finish(sensor);
            sensor.orders.finish();
        } else {
            sensor.orders.set_busy(now());
            self.lane.begin(LOOK_PATIENCE, must_end);
            self.desk.tick(sensor, &self.lane);
            sensor.orders.set_busy(0);
        }
        self.desk.has_booted()
    }

    /// The worker's last word.
    fn finish(&mut self, sensor: &Sensor) {
        self.lane.begin(CLOSE_PATIENCE, || false);
        self.desk.close(sensor, &self.lane);
    }
}

/// True once a turn has to come to its end: the driver is unloaded or the machine shut down.
fn must_end() -> bool {
    let sensor = Sensor::global().get();
    sensor.is_none_or(|sensor| sensor.is_stopping() || sensor.orders.is_shutting_down())
}

/// How long from now new content stays untouched: a boot never makes its first use. 0 once the
/// machine has been up for a minute, as it is when the driver is started by hand.
fn until_first_use() -> u64 {
    FIRST_USE.saturating_sub(now())
}

/// What an administrator is told who asked for the look that has just ended.
fn outcome(sensor: &Sensor, booted: bool) -> Answered {
    let facts = *sensor.content.lock();
    if until_first_use() > 0 {
        Answered::TooEarly
    } else if !facts.state_usable || !booted {
        Answered::NoState
    } else if !facts.inbox_readable {
        Answered::NoInbox
    } else {
        Answered::Done
    }
}
