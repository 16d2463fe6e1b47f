//! Judges one pipe create. PASSIVE_LEVEL, in the requestor's thread, before NPFS sees it.
//!
//! Whatever goes wrong here, the create goes on: only a verdict of *block* stops it.

use core::sync::atomic::{AtomicU64, Ordering};

use channel_format::schema::{Field, Inputs, Operation, Truth};
use driver_abi::{EventRecord, Hit, MAX_HITS, Verdict};
use driver_core::judge::{self, judge};

use crate::ffi::flt::{Decision, PipeCreate};
use crate::ffi::sync::now;
use crate::pipe_event::PipeEvent;
use crate::sensor::{Active, Sensor};

/// Records one event may fill; rules beyond them are counted and not named.
const MAX_RECORDS: u32 = 64;

/// The pre-operation of both creates.
pub fn pre_create(sensor: &Sensor, create: &PipeCreate<'_>) -> Decision {
    let Some(mut event) = PipeEvent::of(create) else {
        return Decision::Pass;
    };
    let number = count(&sensor.counters.events);
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
    let mut inputs = Inputs::unknown();
    event.supply(used, &mut inputs);
    let outcome = active.rules.evaluate(&inputs, &mut |_rule, _truth| {});
    let verdict = judge(&judge::Facts {
        matched: outcome.matched,
        unknown: outcome.unknown,
        asks_block: outcome.block,
        may_block: active.rules.may_block(),
        stage: active.stage(),
        mode: sensor.mode,
        exempt: event.is_exempt(),
    });
    let counters = &sensor.counters;
    match verdict {
        Verdict::Detect => count(&counters.detected),
        Verdict::Block => count(&counters.blocked),
        Verdict::Exempt => count(&counters.exempt),
        Verdict::Unknown => count(&counters.unknown),
        Verdict::Allow | Verdict::NotReady => 0,
    };
    if sensor.outbox.wants(verdict != Verdict::Allow) {
        let header = active.rules.header();
        let told = Told {
            number,
            verdict,
            position: (header.epoch, header.sequence),
            matched: outcome.matched,
            unknown: outcome.unknown,
        };
        tell(sensor, event, &told, &mut |each| {
            active.rules.evaluate(&inputs, &mut |rule, truth| {
                each(Hit {
                    rule,
                    unknown: truth == Truth::Unknown,
                });
            });
        });
    }
    verdict
}

fn not_ready(sensor: &Sensor, number: u64, event: &PipeEvent<'_>) -> Verdict {
    let verdict = Verdict::NotReady;
    count(&sensor.counters.not_ready);
    if sensor.outbox.wants(false) {
        let told = Told {
            number,
            verdict,
            position: (0, 0),
            matched: 0,
            unknown: 0,
        };
        tell(sensor, event, &told, &mut |_each| {});
    }
    verdict
}

/// Calls what it is given for each rule that did not come out false, in order.
type Hits<'h> = dyn FnMut(&mut dyn FnMut(Hit)) + 'h;

/// What every record of an event says.
struct Told {
    number: u64,
    verdict: Verdict,
    position: (u32, u32),
    matched: u32,
    unknown: u32,
}

/// Queues the event's records. The hits are not kept while judging, which would need room on the
/// stack for every rule; each record evaluates again and takes its share. Few events have any hit,
/// and almost none more than one record's.
fn tell(sensor: &Sensor, event: &PipeEvent<'_>, told: &Told, hits: &mut Hits<'_>) {
    let total = told.matched.saturating_add(told.unknown);
    let share = u32::try_from(MAX_HITS).unwrap_or(1);
    for record_number in 0..MAX_RECORDS {
        let first = record_number.saturating_mul(share);
        let more = first.saturating_add(share) < total;
        let last = !more || record_number.saturating_add(1) == MAX_RECORDS;
        let queued = sensor.outbox.queue(|record| {
            fill(record, event, told);
            record.more = !last;
            let mut skip = first;
            hits(&mut |hit| match skip.checked_sub(1) {
                Some(fewer) => skip = fewer,
                None => {
                    record.add_hit(hit);
                }
            });
        });
        if last || !queued {
            break;
        }
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

/// Counts one more and returns the new count.
fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
}
