//! What the driver holds while it runs.

use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use channel_format::anchor::Anchor;
use channel_format::refusal::Refusal;
use channel_format::ruleset::Ruleset;
use driver_abi::{Losses, Mode, ProbeOutcome, SensorRecord, Stage, Statistics, Status, Trip};
use driver_core::clients::Ticket;
use driver_core::drives::DriveTable;
use driver_core::events::Event;
use driver_core::fuse::{Block, Fuse};
use driver_core::latency::Histogram;
use driver_core::protection;
use driver_core::rate::{Allowance, RateLimit, allowances};

use crate::content_worker::ContentFacts;
use crate::content_worker::orders::Orders;
use crate::events::Events;
use crate::ffi::create::{Completed, PipeCreate};
use crate::ffi::flt::Decision;
use crate::ffi::pool::{PoolBox, PoolSlice, Tag};
use crate::ffi::port::Lines;
use crate::ffi::published::Published;
use crate::ffi::start::{Global, Service};
use crate::ffi::status::{NtStatus, Result};
use crate::ffi::sync::{Event as Wake, MILLISECOND, PushLock, now};
use crate::ffi::{anchor, cpu, profile};
use crate::identity::TokenTable;
use crate::outbox::Outbox;
use crate::probe::SelfProbe;
use crate::process_table::ProcessTable;
use crate::settings::Settings;
use crate::telling::Telling;
use crate::{entry, pipe_filter};

/// How long the boot waits for content at most: it can be delayed, never stopped.
const BOOT_PATIENCE: u64 = 200 * MILLISECOND;

/// The least stack that an event is judged on: 2 KB are the callback's own, and the rest is for the
/// kernel's routines that it calls, of which the one that finds an image takes most.
const MIN_STACK: usize = 6 * 1024;

/// Content in force.
pub struct Active {
    /// The rules.
    pub rules: Ruleset<PoolSlice<u8>>,
    /// It has become good, or was good when it was loaded.
    pub good: AtomicBool,
    /// How often its rules are told.
    pub rate: RateLimit<PoolSlice<Allowance>>,
    fuse: PushLock<Fuse>,
    /// The number of what tripped the fuse, for those who only ask.
    trip: AtomicU8,
}

impl Active {
    /// Where a debugger finds what tripped the fuse, in bytes.
    pub const TRIP_AT: usize = offset_of!(Self, trip);

    /// Content that comes into force, good already or on trial.
    ///
    /// # Errors
    /// `NO_RESOURCES`.
    pub fn new(rules: Ruleset<PoolSlice<u8>>, good: bool) -> Result<Self> {
        let slots = allowances(rules.rule_count());
        Ok(Self {
            rules,
            good: AtomicBool::new(good),
            rate: RateLimit::new(PoolSlice::new(slots, Tag::Content, Allowance::new)?),
            fuse: PushLock::new(Fuse::new())?,
            trip: AtomicU8::new(0),
        })
    }

    /// What tripped its fuse: then it blocks nothing any more and does not become good.
    pub fn trip(&self) -> Option<Trip> {
        Trip::from_number(self.trip.load(Ordering::Acquire)).unwrap_or(None)
    }

    /// Counts a block that is about to happen. `Some` when it must not.
    pub fn count_block(&self, sensor: &Sensor, block: &Block) -> Option<Trip> {
        let trip = {
            let mut fuse = self.fuse.lock();
            let trip = fuse.count(block);
            // Under the lock, so that a reset is not undone.
            self.trip.store(trip.map_or(0, Trip::number), Ordering::Release);
            trip
        };
        if trip.is_some() {
            sensor.outbox.tell_status();
        }
        trip
    }

    fn reset_fuse(&self) {
        let mut fuse = self.fuse.lock();
        *fuse = Fuse::new();
        self.trip.store(0, Ordering::Release);
    }

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
    /// Those among them that create a pipe.
    pub creates: AtomicU64,
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
    /// Operations that only a fuse that has tripped kept from being blocked.
    pub fused: AtomicU64,
    /// Events of noisy rules that were not told.
    pub untold: AtomicU64,
    /// Operations let through because too little stack was left.
    pub stack_low: AtomicU64,
    /// Operations let through because they came at another IRQL than PASSIVE_LEVEL, or not told
    /// because they came back at another.
    pub wrong_irql: AtomicU64,
    /// Times that something was not found out or not told for want of memory.
    pub no_memory: AtomicU64,
    /// Events judged without their pipe's name.
    pub nameless: AtomicU64,
}

/// Counts one more and returns the new count.
pub fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
}

/// The sensor.
pub struct Sensor {
    /// What the service parameters ask.
    pub settings: Settings,
    /// How long the callbacks take.
    pub latency: Histogram,
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
    /// What waits for the clients.
    pub outbox: Outbox,
    /// What waits for event tracing.
    pub events: Events,
    /// Whether the filter sees what it should.
    pub probe: SelfProbe,
    /// What the content worker has to tell.
    pub content: PushLock<ContentFacts>,
    /// What is asked of the content worker.
    pub orders: Orders,
    /// Wakes the content worker.
    pub wake_worker: Wake,
    /// What the service parameters ask of verdicts.
    start_mode: Mode,
    /// What is asked of them now, as its number.
    mode: AtomicU8,
    attached: AtomicBool,
    /// Why the driver is not told when processes end, as a number; 0 when it is.
    unwatched: AtomicU32,
    content_settled: Wake,
    settled: AtomicBool,
    stopping: AtomicBool,
}

/// Where the sensor is while the driver runs.
pub static SENSOR: Global<Sensor> = Global::new();

impl Sensor {
    /// Where a debugger finds the mode, whether the filter is attached, whether the worker has looked
    /// for good content, and whether the driver is to stop, in bytes.
    pub const AT: [usize; 4] = [
        offset_of!(Self, mode),
        offset_of!(Self, attached),
        offset_of!(Self, settled),
        offset_of!(Self, stopping),
    ];

    /// A sensor with nothing in force. Its larger parts are made out of line: inlined, each would be
    /// followed by a copy of what undoes all before it.
    ///
    /// # Errors
    /// `NO_RESOURCES`.
    pub fn new(mode: Mode, settings: Settings) -> Result<Self> {
        Ok(Self {
            settings,
            latency: Histogram::new(cpu::ticks_per_second()),
            anchor: parse_anchor(),
            active: Published::new(Tag::Content)?,
            drives: Published::new(Tag::Sensor)?,
            processes: ProcessTable::new()?,
            tokens: TokenTable::new()?,
            counters: Counters::default(),
            outbox: Outbox::new()?,
            events: Events::new()?,
            probe: SelfProbe::new()?,
            content: PushLock::new(ContentFacts::default())?,
            orders: Orders::new()?,
            wake_worker: Wake::new()?,
            start_mode: mode,
            mode: AtomicU8::new(mode.number()),
            attached: AtomicBool::new(false),
            unwatched: AtomicU32::new(0),
            content_settled: Wake::new()?,
            settled: AtomicBool::new(false),
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

    /// What is asked of verdicts.
    pub fn mode(&self) -> Mode {
        // A number that is no mode cannot be there; it would be the one that blocks nothing.
        Mode::from_number(self.mode.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// Asks something else of verdicts until the driver stops: the next start does again what the
    /// service parameters say. Whoever may open the port may write those too, so either mode may
    /// follow either; off is not among them, since that is for the ladder.
    pub fn set_mode(&self, mode: Mode) {
        self.mode.store(mode.number(), Ordering::Relaxed);
        self.outbox.tell_status();
    }

    /// An administrator has looked: the content in force may block again, and the fuse counts anew.
    pub fn reset_fuse(&self) {
        let _ = self.active.read(Active::reset_fuse);
        self.outbox.tell_status();
    }

    /// What tripped the fuse of the content in force.
    pub fn trip(&self) -> Option<Trip> {
        self.active.read(Active::trip).flatten()
    }

    /// The content worker has done what it could with what there is, and knows by now whether
    /// there is good content.
    pub fn settle(&self, booted: bool) {
        self.settled.store(booted, Ordering::Release);
        self.content_settled.set();
        self.outbox.tell_status();
    }

    /// The driver is not told when processes end, for this reason.
    pub fn note_unwatched(&self, reason: NtStatus) {
        self.unwatched.store(reason.number(), Ordering::Relaxed);
    }

    /// True while the filter is attached to the named-pipe file system.
    pub fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Acquire)
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
                trip: active.trip(),
                ..Status::default()
            }
        });
        let status = in_force.unwrap_or_default();
        let status = Status { attached: self.is_attached(), probe: self.probe.said(), ..status };
        let held = self.probe.held();
        let losses = self.losses(&content, &status, held.is_some());
        Status {
            probe: held.unwrap_or(status.probe),
            protection: protection::protection(losses),
            losses,
            state: protection::state(self.settled.load(Ordering::Acquire), self.is_stopping()),
            settings_refused: self.settings.refused,
            start_mode: self.start_mode,
            mode: self.mode(),
            test_keys: self.anchor.as_ref().is_ok_and(Anchor::has_test_keys),
            events: count(&self.counters.events),
            detected: count(&self.counters.detected),
            blocked: count(&self.counters.blocked),
            exempt: count(&self.counters.exempt),
            unknown: count(&self.counters.unknown),
            not_ready: count(&self.counters.not_ready),
            dropped: count(&self.outbox.counters.dropped),
            accepted: content.accepted,
            refused: content.refused,
            scans: content.scans,
            refusal: content.refusal,
            fused: count(&self.counters.fused),
            untold: count(&self.counters.untold),
            stack_low: count(&self.counters.stack_low),
            wrong_irql: count(&self.counters.wrong_irql),
            no_memory: count(&self.counters.no_memory),
            nameless: count(&self.counters.nameless),
            profile: SensorRecord(profile::record()),
            unwatched: self.unwatched.load(Ordering::Relaxed),
            trust: content.trust,
            ..status
        }
    }

    fn losses(&self, content: &ContentFacts, in_force: &Status, held: bool) -> Losses {
        let facts = protection::Facts {
            anchored: self.anchor.is_ok(),
            attached: in_force.attached,
            unseen: in_force.probe.outcome == ProbeOutcome::NotSeen,
            held,
            stage: in_force.stage,
            fuse_tripped: in_force.trip.is_some(),
            state: content.state_usable,
            inbox: content.inbox_readable,
            exposed: content.inbox_exposed,
            slow: content.disk_slow || self.orders.is_held_up(),
            refused: content.refusal.stands(),
            stale: content.stale,
            fell_back: content.fell_back,
            settings_refused: !self.settings.refused.is_empty(),
            control_lost: content.control_lost,
            control_stale: content.control_stale,
            no_rules: in_force.stage != Stage::None && in_force.rules == 0,
            jumped: content.jumped && in_force.stage != Stage::None,
        };
        facts.losses()
    }

    /// What has been counted beyond that.
    pub fn statistics(&self) -> Statistics {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.outbox.counters;
        let mut statistics = Statistics {
            time: now(),
            events: count(&self.counters.events),
            told: count(&counters.told),
            dropped: count(&counters.dropped),
            connections: count(&counters.connections),
            stuck: count(&counters.stuck),
            requests: count(&counters.requests),
            refused_requests: count(&counters.refused_requests),
            ..Statistics::default()
        };
        self.latency.read(&mut statistics.latency);
        self.outbox.notes(&mut statistics.clients);
        let suppressed = &mut statistics.suppressed;
        let rules = self.active.read(|active| active.rate.noisiest(suppressed));
        statistics.suppressed_rules = rules.unwrap_or(0);
        statistics
    }
}

/// Not inlined: the section's copy is a kilobyte of stack.
#[inline(never)]
fn parse_anchor() -> core::result::Result<Anchor, Refusal> {
    Anchor::parse(&anchor::bytes())
}

impl Service for Sensor {
    fn global() -> &'static Global<Self> {
        &SENSOR
    }

    fn lines(&self) -> &Lines {
        &self.outbox.lines
    }

    type Pending = Telling;
    const PENDING_TAG: Tag = Tag::Events;

    fn on_pipe(&self, create: &PipeCreate<'_>) -> Decision<Telling> {
        let begun = cpu::ticks();
        let decision = if cpu::remaining_stack() < MIN_STACK {
            count(&self.counters.stack_low);
            Decision::Pass
        } else {
            pipe_filter::pre_create(self, create)
        };
        self.latency.count(cpu::ticks().saturating_sub(begun));
        decision
    }

    fn on_wrong_irql(&self) {
        count(&self.counters.wrong_irql);
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

    fn on_connect(
        &self,
        hello: &[u8],
        process_id: u64,
        open_line: impl FnOnce(Ticket),
    ) -> Result<()> {
        self.outbox.connect(hello, process_id, open_line)?;
        self.events.tell(&Event::ClientConnected {});
        Ok(())
    }

    fn on_disconnect(&self, ticket: Ticket) {
        // One that was dropped before is gone already, and was told.
        if self.outbox.disconnect(ticket) {
            self.events.tell(&Event::ClientGone { stuck: false });
        }
    }

    fn on_message(&self, ticket: Ticket, message: &[u8]) -> Result<()> {
        self.outbox.take_in(ticket, message).inspect_err(|_| self.on_message_refused())
    }

    fn on_message_refused(&self) {
        self.outbox.counters.refused_requests.fetch_add(1, Ordering::Relaxed);
    }

    fn on_boot_devices_ready(&self) {
        // What the worker settled before files could be opened is forgotten: it says nothing.
        self.content_settled.wait(0);
        self.wake_worker.set();
        self.content_settled.wait(BOOT_PATIENCE);
    }

    fn on_shutdown(&self) {
        self.note_shutdown();
    }

    fn stop() {
        entry::stop();
    }
}
