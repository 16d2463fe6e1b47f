//! Judges one pipe create. PASSIVE_LEVEL, in the requestor's thread, before NPFS sees it.
//!
//! Whatever goes wrong here, the create goes on: only a verdict of *block* stops it.

use channel_format::schema::{Field, Operation, Truth};
use driver_abi::crash::NO_RULE;
use driver_abi::{EventRecord, Hit, MAX_HITS, Verdict};
use driver_core::rate::{Allowance, RateLimit};

use crate::crash_note;
use crate::ffi::flt::{Decision, PipeCreate};
use crate::ffi::pool::{PoolSlice, Tag};
use crate::ffi::sync::now;
use crate::pipe_event::{PipeEvent, Supplied};
use crate::sensor::{Active, Sensor, count};
use crate::verdict::{self, Found};

/// Rules named of one event, over all its records; those beyond are only counted.
const MAX_TOLD: usize = 64 * MAX_HITS;

/// The pre-operation of both creates.
pub fn pre_create(sensor: &Sensor, create: &PipeCreate<'_>) -> Decision {
    if sensor.probe.sees(create) {
        return Decision::Pass;
    }
    let Some(mut event) = PipeEvent::of(create) else {
        return Decision::Pass;
    };
    let number = verdict::number(sensor, &event);
    let verdict = sensor
        .active
        .read(|active| judge_event(sensor, active, number, &mut event))
        .unwrap_or_else(|| not_ready(sensor, number, &event));
    match verdict {
        Verdict::Block => Decision::Deny,
        _ => Decision::Pass,
    }
}

fn judge_event(
    sensor: &Sensor,
    active: &Active,
    number: u64,
    event: &mut PipeEvent<'_>,
) -> Verdict {
    let used = active.rules.fields_used();
    let image_used = used.contains(Field::ImagePath) || used.contains(Field::ImageName);
    if image_used || sensor.outbox.wants(false) {
        event.find_image(sensor);
    }
    let event = &*event;
    let inputs = event.inputs();
    // A rule that was told often enough is still judged, and its event only told to whoever wants
    // everything.
    let telling = sensor.outbox.wants(true) || sensor.events.wants(Verdict::Detect);
    let (mut notable, mut last_rule) = (false, NO_RULE);
    crash_note::begins(number);
    let outcome = active.rules.evaluate(&inputs, &mut |rule, truth| {
        last_rule = rule;
        crash_note::rule(number, rule);
        notable |= telling && truth == Truth::True && active.rate.admits(rule, now());
    });
    crash_note::ends(number);
    let verdict = verdict::decide(
        sensor,
        active,
        event,
        Found { matched: outcome.matched, unknown: outcome.unknown, asks_block: outcome.block },
    );
    notable |= match verdict {
        Verdict::Block => true,
        Verdict::Unknown => telling && active.rate.admits_undecided(now()),
        _ => false,
    };
    if telling && !notable && verdict != Verdict::Allow {
        count(&sensor.counters.untold);
    }
    if verdict != Verdict::Allow {
        let header = active.rules.header();
        crash_note::verdict(number, (header.epoch, header.sequence), last_rule, verdict);
    }
    if sensor.outbox.wants(notable) || is_traced(sensor, verdict, notable) {
        let header = active.rules.header();
        let told = Told {
            number,
            verdict,
            position: (header.epoch, header.sequence),
            matched: outcome.matched,
            unknown: outcome.unknown,
        };
        let hits = hits(active, &inputs, &told);
        if hits.is_none() && told.matched.saturating_add(told.unknown) > 0 {
            count(&sensor.counters.no_memory);
        }
        let rate = notable.then_some(&active.rate);
        tell(sensor, event, &told, hits.as_deref().unwrap_or(&[]), rate);
    }
    verdict
}

/// Whether event tracing hears of it: what rules told too often is not traced either.
fn is_traced(sensor: &Sensor, verdict: Verdict, notable: bool) -> bool {
    let is_news = notable || matches!(verdict, Verdict::Allow | Verdict::NotReady);
    is_news && sensor.events.wants(verdict)
}

fn not_ready(sensor: &Sensor, number: u64, event: &PipeEvent<'_>) -> Verdict {
    let verdict = Verdict::NotReady;
    count(&sensor.counters.not_ready);
    if sensor.outbox.wants(false) {
        let told = Told { number, verdict, position: (0, 0), matched: 0, unknown: 0 };
        tell(sensor, event, &told, &[], None);
    }
    verdict
}

/// The rules that did not come out false, those that match first. They are not kept while judging, which would
/// need room on the stack for every rule; few events have any, and those are judged once more.
/// Without memory none are named; the records still count them.
fn hits(active: &Active, inputs: &Supplied<'_>, told: &Told) -> Option<PoolSlice<Hit>> {
    let total = told.matched.saturating_add(told.unknown);
    let total = usize::try_from(total).unwrap_or(usize::MAX).min(MAX_TOLD);
    if total == 0 {
        return None;
    }
    let mut hits = PoolSlice::new(total, Tag::Events, Hit::default).ok()?;
    // Where not all can be told, what matches is told rather than what cannot be decided.
    let matched = usize::try_from(told.matched).unwrap_or(usize::MAX).min(total);
    let (matching, undecided) = hits.split_at_mut_checked(matched)?;
    let (mut matching, mut undecided) = (matching.iter_mut(), undecided.iter_mut());
    active.rules.evaluate(inputs, &mut |rule, truth| {
        let unknown = truth == Truth::Unknown;
        let free = if unknown { undecided.next() } else { matching.next() };
        if let Some(hit) = free {
            *hit = Hit { rule, unknown };
        }
    });
    Some(hits)
}

/// What every record of an event says.
struct Told {
    number: u64,
    verdict: Verdict,
    position: (u32, u32),
    matched: u32,
    unknown: u32,
}

/// Queues the event's records. Nothing is evaluated while the queue is held: other callbacks wait
/// for it.
fn tell(
    sensor: &Sensor,
    event: &PipeEvent<'_>,
    told: &Told,
    hits: &[Hit],
    rate: Option<&RateLimit<PoolSlice<Allowance>>>,
) {
    let mut rest = hits;
    loop {
        let (share, later) = rest.split_at_checked(MAX_HITS).unwrap_or((rest, &[]));
        // Once for all clients: what one is told of here is not told to another later.
        let untold = rate.map_or(0, |rate| {
            let matching = share.iter().filter(|hit| !hit.unknown);
            matching.fold(0_u32, |sum, hit| sum.saturating_add(rate.take_untold(hit.rule)))
        });
        let notable = rate.is_some();
        let write = |record: &mut EventRecord| {
            fill(record, event, told);
            record.more = !later.is_empty();
            record.untold = untold;
            for hit in share {
                record.add_hit(*hit);
            }
        };
        let heard = sensor.outbox.wants(notable) && sensor.outbox.queue(notable, write);
        let traced = is_traced(sensor, told.verdict, notable) && sensor.events.queue(write);
        if later.is_empty() || !(heard || traced) {
            break;
        }
        rest = later;
    }
    sensor.outbox.wake.set();
}

fn fill(record: &mut EventRecord, event: &PipeEvent<'_>, told: &Told) {
    record.event = told.number;
    record.time = now();
    record.process_id = event.process_id();
    record.operation = match event.operation() {
        Operation::Created => driver_abi::Operation::Created,
        Operation::Connected => driver_abi::Operation::Connected,
    };
    record.verdict = told.verdict;
    record.image_known = event.image().is_some();
    (record.epoch, record.sequence) = told.position;
    record.matched = told.matched;
    record.unknown = told.unknown;
    record.clear_hits();
    record.name.set(event.name().unwrap_or(&[]));
    record.image.set(event.image().unwrap_or(&[]));
}
