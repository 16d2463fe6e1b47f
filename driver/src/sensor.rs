//! What the driver holds while it runs.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use channel_format::anchor::Anchor;
use channel_format::refusal::Refusal;
use channel_format::ruleset::Ruleset;
use driver_abi::{Mode, Stage, Status};
use driver_core::drives::DriveTable;
use driver_core::protection;
use driver_core::settings::{self, Switch};

use crate::content_worker::ContentFacts;
use crate::ffi::create::{Completed, PipeCreate};
use crate::ffi::flt::Decision;
use crate::ffi::pool::{PoolBox, PoolSlice, Tag};
use crate::ffi::port::Line;
use crate::ffi::published::Published;
use crate::ffi::registry::Parameters;
use crate::ffi::start::{Global, Service};
use crate::ffi::status::{NtStatus, Result};
use crate::ffi::sync::{Event, MILLISECOND, PushLock, SECOND};
use crate::ffi::{anchor, utf16};
use crate::identity::TokenTable;
use crate::process_table::ProcessTable;
use crate::telemetry::Outbox;
use crate::telling::Telling;
use crate::{entry, pipe_filter};

/// How long the boot waits for content at most: it can be delayed, never stopped.
const BOOT_PATIENCE: u64 = 200 * MILLISECOND;

/// What the service parameters ask, with defaults for what they leave out.
pub struct Settings {
    /// Off, or on in a mode.
    pub switch: Switch,
    /// Time between two looks into the inbox, in 100-nanosecond units.
    pub poll: u64,
    /// NT path of the folder that files are dropped into.
    pub inbox: PoolSlice<u16>,
    /// NT path of the folder that only the driver writes to.
    pub state: PoolSlice<u16>,
}

impl Settings {
    /// Reads the parameters below the service's key. What is missing or makes no sense has its
    /// default.
    ///
    /// # Errors
    /// The kernel's reason when they cannot be read.
    pub fn read(service_key: &[u16]) -> Result<Self> {
        const ROOT: &[u16] = &utf16::<12>("\\SystemRoot\\");
        const INBOX: &[u16] = &utf16::<28>("System32\\drivers\\CrowdStrike");
        const STATE: &[u16] = &utf16::<22>("System32\\drivers\\Saker");
        const MODE: &[u16] = &utf16::<4>("Mode");
        const POLL: &[u16] = &utf16::<11>("PollSeconds");
        const DIRECTORY: &[u16] = &utf16::<16>("ContentDirectory");

        // An off switch that cannot be read may be off: then the driver does not start.
        let parameters = match Parameters::open(service_key) {
            Ok(parameters) => Some(parameters),
            Err(NtStatus::NOT_FOUND) => None,
            Err(status) => return Err(status),
        };
        let number = |name| match &parameters {
            Some(parameters) => parameters.dword(name),
            None => Ok(None),
        };
        let directory = match &parameters {
            Some(parameters) => parameters.string(DIRECTORY)?,
            None => None,
        };
        let directory = directory.filter(|directory| settings::is_directory(directory));
        let switch = number(MODE)?.and_then(settings::switch);
        let switch = switch.unwrap_or(Switch::On(Mode::default()));
        let seconds = number(POLL)?.and_then(settings::poll_seconds);
        let seconds = seconds.unwrap_or(settings::DEFAULT_POLL_SECONDS);
        Ok(Self {
            switch,
            poll: u64::from(seconds).saturating_mul(SECOND),
            inbox: PoolSlice::joined(&[ROOT, directory.as_deref().unwrap_or(INBOX)], Tag::Text)?,
            state: PoolSlice::joined(&[ROOT, STATE], Tag::Text)?,
        })
    }
}

/// Content in force.
pub struct Active {
    /// The rules.
    pub rules: Ruleset<PoolSlice<u8>>,
    /// It has become good, or was good when it was loaded.
    pub good: AtomicBool,
}

impl Active {
    /// How far it has come.
    pub fn stage(&self) -> Stage {
        if self.good.load(Ordering::Acquire) { Stage::Good } else { Stage::Trial }
    }
}

/// What has been counted since the driver started.
#[derive(Default)]
pub struct Counters {
    /// Events seen; the last one's number.
    pub events: AtomicU64,
    /// Events a rule detected.
    pub detected: AtomicU64,
    /// Events blocked.
    pub blocked: AtomicU64,
    /// Events an exemption kept from being blocked.
    pub exempt: AtomicU64,
    /// Events with an undecided rule and no match.
    pub unknown: AtomicU64,
    /// Events that came while no content was in force.
    pub not_ready: AtomicU64,
    /// Records that a client did not take in time.
    pub late: AtomicU64,
}

/// The sensor.
pub struct Sensor {
    /// What the service parameters ask of verdicts.
    pub mode: Mode,
    /// What they ask of the content worker.
    pub settings: Settings,
    /// The keys in the image, or why there are none.
    pub anchor: core::result::Result<Anchor, Refusal>,
    /// The content in force.
    pub active: Published<Active>,
    /// What the drive letters name.
    pub drives: Published<DriveTable>,
    /// The processes that asked for pipes.
    pub processes: ProcessTable,
    /// The tokens that they asked with.
    pub tokens: TokenTable,
    /// What has been counted.
    pub counters: Counters,
    /// What waits for the client.
    pub outbox: Outbox,
    /// What the content worker has to tell.
    pub content: PushLock<ContentFacts>,
    /// Wakes the content worker.
    pub wake_worker: Event,
    attached: AtomicBool,
    content_settled: Event,
    stopping: AtomicBool,
}

static SENSOR: Global<Sensor> = Global::new();

impl Sensor {
    /// A sensor with nothing in force.
    ///
    /// # Errors
    /// `NO_RESOURCES`.
    pub fn new(mode: Mode, settings: Settings) -> Result<Self> {
        Ok(Self {
            mode,
            settings,
            anchor: Anchor::parse(&anchor::bytes()),
            active: Published::new(Tag::Content)?,
            drives: Published::new(Tag::Sensor)?,
            processes: ProcessTable::new()?,
            tokens: TokenTable::new()?,
            counters: Counters::default(),
            outbox: Outbox::new()?,
            content: PushLock::new(ContentFacts::default())?,
            wake_worker: Event::new()?,
            attached: AtomicBool::new(false),
            content_settled: Event::new()?,
            stopping: AtomicBool::new(false),
        })
    }

    /// True once the driver's threads are to return.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Tells the driver's threads to return.
    pub fn ask_to_stop() {
        if let Some(sensor) = SENSOR.get() {
            sensor.stopping.store(true, Ordering::Release);
            sensor.wake_worker.set();
            sensor.outbox.wake.set();
        }
    }

    /// The content worker has done what it could with what there is.
    pub fn settle(&self) {
        self.content_settled.set();
        self.outbox.tell_status();
    }

    /// The sensor's state, composed from facts.
    pub fn status(&self) -> Status {
        let content = *self.content.lock();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let in_force = self.active.read(|active| {
            let header = active.rules.header();
            Status {
                stage: active.stage(),
                may_block: active.rules.may_block(),
                channel: header.channel,
                epoch: header.epoch,
                sequence: header.sequence,
                rules: active.rules.rule_count(),
                ..Status::default()
            }
        });
        let status = in_force.unwrap_or_default();
        Status {
            protection: protection::protection(&protection::Facts {
                anchored: self.anchor.is_ok(),
                attached: self.attached.load(Ordering::Acquire),
                stage: status.stage,
                state: content.state_usable,
                inbox: content.inbox_readable,
                refused: content.refusal.code != 0 || content.refusal.host_status != 0,
                stale: content.stale,
                fell_back: content.fell_back,
            }),
            mode: self.mode,
            test_keys: self.anchor.as_ref().is_ok_and(Anchor::has_test_keys),
            events: count(&self.counters.events),
            detected: count(&self.counters.detected),
            blocked: count(&self.counters.blocked),
            exempt: count(&self.counters.exempt),
            unknown: count(&self.counters.unknown),
            not_ready: count(&self.counters.not_ready),
            dropped: self.outbox.dropped().saturating_add(count(&self.counters.late)),
            accepted: content.accepted,
            refused: content.refused,
            scans: content.scans,
            refusal: content.refusal,
            ..status
        }
    }
}

impl Service for Sensor {
    fn global() -> &'static Global<Self> {
        &SENSOR
    }

    fn line(&self) -> &Line {
        &self.outbox.line
    }

    type Pending = Telling;
    const PENDING_TAG: Tag = Tag::Events;

    fn on_pipe(&self, create: &PipeCreate<'_>) -> Decision<Telling> {
        pipe_filter::pre_create(self, create)
    }

    fn on_pipe_done(&self, telling: PoolBox<Telling>, completed: &Completed) {
        pipe_filter::post_create(self, telling, completed);
    }

    fn on_process_end(&self, start_key: u64) {
        self.processes.forget(start_key);
    }

    fn on_attached(&self, attached: bool) {
        self.attached.store(attached, Ordering::Release);
        self.outbox.tell_status();
    }

    fn on_connect(&self, hello: &[u8], open_line: impl FnOnce()) -> Result<()> {
        self.outbox.connect(hello, open_line)
    }

    fn on_disconnect(&self) {
        self.outbox.disconnect();
    }

    fn on_boot_devices_ready(&self) {
        // What the worker settled before files could be opened is forgotten: it says nothing.
        self.content_settled.wait(0);
        self.wake_worker.set();
        self.content_settled.wait(BOOT_PATIENCE);
    }

    fn stop() {
        entry::stop();
    }
}
