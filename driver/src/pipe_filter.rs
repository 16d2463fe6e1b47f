//! Judges one pipe create. PASSIVE_LEVEL, in the requestor's thread, before NPFS sees it.
//!
//! Whatever goes wrong here, the create goes on: only a verdict of *block* stops it.

use channel_format::engine::kept::Kept;
use channel_format::schema::{FieldSet, Truth};
use driver_abi::crash::NO_RULE;
use driver_abi::{Hit, MAX_HITS, Verdict};

use crate::crash_note;
use crate::ffi::create::{Completed, PipeCreate};
use crate::ffi::flt::Decision;
use crate::ffi::pool::{PoolBox, PoolSlice, Tag};
use crate::ffi::sync::now;
use crate::pipe_event::{PipeEvent, Supplied};
use crate::sensor::{Active, Sensor, count};
use crate::telling::{Telling, Told, is_heard, tell};
use crate::verdict::{self, Found};

/// Rules named of one event, over all its records; those beyond are only counted.
const MAX_TOLD: usize = 64 * MAX_HITS;

/// What was decided, and what is to be told once the create is done.
struct Judged(Verdict, Option<PoolBox<Telling>>);

/// The pre-operation of both creates.
pub fn pre_create(sensor: &Sensor, create: &PipeCreate<'_>) -> Decision<Telling> {
    if sensor.probe.sees(create) {
        return Decision::Pass;
    }
    let Some(mut event) = PipeEvent::of(create) else {
        return Decision::Pass;
    };
    let number = verdict::number(sensor, &event);
    let judged = sensor
        .active
        .read(|active| judge_event(sensor, active, number, &mut event))
        .unwrap_or_else(|| not_ready(sensor, number, &mut event));
    match judged {
        Judged(Verdict::Block, _) => Decision::Deny,
        Judged(_, Some(telling)) => Decision::Follow(telling),
        Judged(_, None) => Decision::Pass,
    }
}

/// The post-operation of those that are to be told.
pub fn post_create(sensor: &Sensor, mut telling: PoolBox<Telling>, completed: &Completed) {
    telling.complete(sensor, completed);
}

fn judge_event(sensor: &Sensor, active: &Active, number: u64, event: &mut PipeEvent<'_>) -> Judged {
    event.find(sensor, active.rules.fields_used());
    let kept = event.found(sensor, &active.rules);
    let inputs = event.inputs();
    // A rule that was told often enough is still judged, and its event only told to whoever wants
    // everything.
    let telling = sensor.outbox.wants(true) || sensor.events.wants(Verdict::Detect);
    let (mut notable, mut last_rule) = (false, NO_RULE);
    crash_note::begins(number);
    let outcome = active.rules.evaluate_kept(&inputs, kept.as_ref(), &mut |rule, truth| {
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
    let header = active.rules.header();
    let position = (header.epoch, header.sequence);
    if verdict != Verdict::Allow {
        crash_note::verdict(number, position, last_rule, verdict);
    }
    if !is_heard(sensor, verdict, notable) {
        return Judged(verdict, None);
    }
    let (matched, unknown) = (outcome.matched, outcome.unknown);
    let told = Told { number, verdict, notable, position, matched, unknown };
    let hits = hits(active, &inputs, kept.as_ref(), &told);
    if hits.is_none() && matched.saturating_add(unknown) > 0 {
        count(&sensor.counters.no_memory);
    }
    // Only now: the rules are named for what they saw.
    event.find(sensor, FieldSet::ALL);
    let rate = notable.then_some(&active.rate);
    Judged(verdict, tell(sensor, event, &told, hits.as_deref().unwrap_or(&[]), rate))
}

fn not_ready(sensor: &Sensor, number: u64, event: &mut PipeEvent<'_>) -> Judged {
    let verdict = Verdict::NotReady;
    count(&sensor.counters.not_ready);
    if !is_heard(sensor, verdict, false) {
        return Judged(verdict, None);
    }
    event.find(sensor, FieldSet::ALL);
    let told = Told { number, verdict, notable: false, position: (0, 0), matched: 0, unknown: 0 };
    Judged(verdict, tell(sensor, event, &told, &[], None))
}

/// The rules that did not come out false, those that match first. They are not kept while judging,
/// which would need room on the stack for every rule; few events have any, and those are judged
/// once more. Without memory none are named; the records still count them.
fn hits(
    active: &Active,
    inputs: &Supplied<'_>,
    kept: Option<&Kept>,
    told: &Told,
) -> Option<PoolSlice<Hit>> {
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
    active.rules.evaluate_kept(inputs, kept, &mut |rule, truth| {
        let unknown = truth == Truth::Unknown;
        let free = if unknown { undecided.next() } else { matching.next() };
        if let Some(hit) = free {
            *hit = Hit { rule, unknown };
        }
    });
    Some(hits)
}
