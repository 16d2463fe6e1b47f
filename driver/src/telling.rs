//! What is told of an event.
//!
//! What was asked and decided is known before NPFS sees the create, and nothing of that may be
//! looked at afterwards; what became of it is known only then. So the records of an event that
//! goes on are filled in the pre-operation, wait in the pool, and are queued with their result in
//! the post-operation. A create that is refused, or whose records there is no memory for, is told
//! at once.

use driver_abi::{EventRecord, Hit, Instance, MAX_HITS, Operation, Verdict};
use driver_core::rate::{Allowance, RateLimit};

use crate::events::record_slots;
use crate::ffi::create::Completed;
use crate::ffi::pool::{PoolBox, PoolSlice, Tag};
use crate::ffi::status::NtStatus;
use crate::ffi::sync::now;
use crate::pipe_event::PipeEvent;
use crate::sensor::{Sensor, count};

/// What every record of an event says.
pub struct Told {
    /// The event's number.
    pub number: u64,
    /// What was decided.
    pub verdict: Verdict,
    /// It is told to whoever wants to hear of what matters.
    pub notable: bool,
    /// Epoch and sequence of the content that decided.
    pub position: (u32, u32),
    /// Rules that matched.
    pub matched: u32,
    /// Rules that could not be decided.
    pub unknown: u32,
}

/// The records of an event that goes on.
pub struct Telling {
    records: PoolSlice<EventRecord>,
    notable: bool,
}

/// What limits how often rules are told.
type Rate = RateLimit<PoolSlice<Allowance>>;

/// Whether a client or event tracing hears of an event with that verdict.
pub fn is_heard(sensor: &Sensor, verdict: Verdict, notable: bool) -> bool {
    sensor.outbox.wants(notable) || is_traced(sensor, verdict, notable)
}

/// What rules told too often is not traced either.
fn is_traced(sensor: &Sensor, verdict: Verdict, notable: bool) -> bool {
    let is_news = notable || matches!(verdict, Verdict::Allow | Verdict::NotReady);
    is_news && sensor.events.wants(verdict)
}

/// Queues one record for all who hear of it. Where it finds no room it is counted as lost, and so is
/// each that follows it: none is left out in silence.
fn queue(sensor: &Sensor, verdict: Verdict, notable: bool, write: impl Fn(&mut EventRecord)) {
    if sensor.outbox.wants(notable) {
        sensor.outbox.queue(notable, &write);
    }
    if is_traced(sensor, verdict, notable) {
        sensor.events.queue(&write);
    }
}

/// Fills in the records of an event. They come back when they are to wait for its result, else they
/// are queued. Nothing is evaluated here: other callbacks wait for the queue.
#[inline(never)]
pub fn tell(
    sensor: &Sensor,
    event: &PipeEvent<'_>,
    told: &Told,
    hits: &[Hit],
    rate: Option<&Rate>,
) -> Option<PoolBox<Telling>> {
    if told.verdict != Verdict::Block {
        match Telling::new(event, told, hits, rate) {
            Ok(telling) => return Some(telling),
            Err(_) => count(&sensor.counters.no_memory),
        };
    }
    for (share, more) in shares(hits) {
        // Once for all who hear of it: what one is told of here is not told to another later.
        let untold = untold(rate, share);
        queue(sensor, told.verdict, told.notable, |record| {
            fill(record, event, told, share);
            record.more = more;
            record.untold = untold;
            if told.verdict == Verdict::Block {
                record.result = Some(NtStatus::ACCESS_DENIED.number());
            }
        });
    }
    sensor.outbox.wake.set();
    None
}

impl Telling {
    fn new(
        event: &PipeEvent<'_>,
        told: &Told,
        hits: &[Hit],
        rate: Option<&Rate>,
    ) -> crate::ffi::status::Result<PoolBox<Self>> {
        let records = record_slots(shares(hits).count())?;
        let telling = Self { records, notable: told.notable };
        let mut telling = PoolBox::new(telling, Tag::Events)?;
        for (record, (share, more)) in telling.records.iter_mut().zip(shares(hits)) {
            fill(record, event, told, share);
            record.more = more;
            record.untold = untold(rate, share);
        }
        Ok(telling)
    }

    /// Queues the records with what became of the create.
    pub fn complete(&mut self, sensor: &Sensor, completed: &Completed) {
        for record in self.records.iter_mut() {
            record.result = completed.status;
            record.instance = instance(record.operation, completed);
            // Only ever a hint that it was: the file server may not have said so yet.
            if completed.is_of_remote_origin {
                record.remote = Some(true);
            }
            queue(sensor, record.verdict, self.notable, |slot| slot.copy_from(record));
        }
        sensor.outbox.wake.set();
    }
}

/// How much of these rules was not told before.
fn untold(rate: Option<&Rate>, share: &[Hit]) -> u32 {
    let Some(rate) = rate else { return 0 };
    let matching = share.iter().filter(|hit| !hit.unknown);
    matching.fold(0, |sum: u32, hit| sum.saturating_add(rate.take_untold(hit.rule)))
}

/// The rules that each record of an event names, and whether another record follows. There is
/// always one record.
fn shares(hits: &[Hit]) -> impl Iterator<Item = (&[Hit], bool)> {
    let mut rest = Some(hits);
    core::iter::from_fn(move || {
        let (share, later) = match rest? {
            all if all.len() <= MAX_HITS => (all, None),
            all => all.split_at_checked(MAX_HITS).map(|(share, later)| (share, Some(later)))?,
        };
        rest = later;
        Some((share, later.is_some()))
    })
}

fn fill(record: &mut EventRecord, event: &PipeEvent<'_>, told: &Told, hits: &[Hit]) {
    record.clear();
    record.event = told.number;
    record.time = now();
    record.process_id = event.process_id();
    record.operation = match event.operation() {
        channel_format::schema::Operation::Created => Operation::Created,
        channel_format::schema::Operation::Connected => Operation::Connected,
    };
    record.verdict = told.verdict;
    record.image_known = event.image().is_some();
    (record.epoch, record.sequence) = told.position;
    record.matched = told.matched;
    record.unknown = told.unknown;
    record.name.set(event.name().unwrap_or(&[]));
    record.image.set(event.image().unwrap_or(&[]));
    record.impersonating = event.is_impersonating();
    record.remote = event.is_remote();
    if let Some(identity) = event.identity() {
        record.session = identity.session;
        record.integrity = identity.integrity;
        record.elevated = identity.elevated;
        if let Some(user) = &identity.user {
            record.user = *user;
        }
    }
    for hit in hits {
        record.add_hit(*hit);
    }
}

/// Which instance a pipe's creation made, as NPFS tells it.
const fn instance(operation: Operation, completed: &Completed) -> Instance {
    const OPENED: u64 = 1;
    const CREATED: u64 = 2;
    match (operation, completed.status, completed.information) {
        (Operation::Created, Some(0), CREATED) => Instance::First,
        (Operation::Created, Some(0), OPENED) => Instance::Further,
        _ => Instance::Unknown,
    }
}
