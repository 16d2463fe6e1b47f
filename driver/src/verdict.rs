//! What becomes of one pipe event once every rule has been judged.

use channel_format::schema::Operation;
use core::sync::atomic::Ordering;
use driver_abi::{Stage, Verdict};
use driver_core::exempt::{self, is_exempt};
use driver_core::fuse::Block;
use driver_core::judge::{self, judge};

use crate::ffi::sync::now;
use crate::pipe_event::PipeEvent;
use crate::sensor::{Active, Sensor, count};

/// What the rules found.
#[derive(Clone, Copy)]
pub struct Found {
    /// Rules that matched.
    pub matched: u32,
    /// Rules that could not be decided.
    pub unknown: u32,
    /// A matching rule asks to block this operation.
    pub asks_block: bool,
}

/// Decides, and counts what was decided. PASSIVE_LEVEL; only a block, or what would be one, takes
/// a lock.
pub fn decide(sensor: &Sensor, active: &Active, event: &PipeEvent<'_>, found: Found) -> Verdict {
    let may_block = active.rules.may_block();
    let facts = judge::Facts {
        matched: found.matched,
        unknown: found.unknown,
        asks_block: found.asks_block,
        may_block,
        stage: active.stage(),
        mode: sensor.mode(),
        // Only asked when it matters: it takes calls of the kernel.
        exempt: found.asks_block && may_block && exempt(sensor, event),
        fuse_tripped: active.trip().is_some(),
    };
    let verdict = past_the_fuse(sensor, active, event, &facts);
    let counters = &sensor.counters;
    match verdict {
        Verdict::Detect => count(&counters.detected),
        Verdict::Block => count(&counters.blocked),
        Verdict::Exempt => count(&counters.exempt),
        Verdict::Unknown => count(&counters.unknown),
        Verdict::Allow | Verdict::NotReady => 0,
    };
    verdict
}

fn past_the_fuse(
    sensor: &Sensor,
    active: &Active,
    event: &PipeEvent<'_>,
    facts: &judge::Facts,
) -> Verdict {
    let verdict = judge(facts);
    // On trial nothing is blocked, but what would be is counted: content that blocks too much does
    // not become good.
    let on_trial = facts.stage == Stage::Trial && facts.would_block();
    if facts.fuse_tripped {
        let unfused = judge::Facts { fuse_tripped: false, ..*facts };
        if judge(&unfused) == Verdict::Block {
            count(&sensor.counters.fused);
        }
    } else if verdict == Verdict::Block || on_trial {
        let block = Block {
            now: now(),
            creates: sensor.counters.creates.load(Ordering::Relaxed),
            image: event.image_key(),
        };
        if active.count_block(sensor, &block).is_some() && verdict == Verdict::Block {
            count(&sensor.counters.fused);
            return Verdict::Detect;
        }
    }
    verdict
}

fn exempt(sensor: &Sensor, event: &PipeEvent<'_>) -> bool {
    is_exempt(&exempt::Facts {
        requestor: event.requestor_kind(),
        remote: event.is_remote() == Some(true),
        exempt_protected: sensor.settings.exempt_protected,
        operation: event.operation(),
        name: event.name(),
    })
}

/// Counts the event. Returns its number.
pub fn number(sensor: &Sensor, event: &PipeEvent<'_>) -> u64 {
    if event.operation() == Operation::Created {
        count(&sensor.counters.creates);
    }
    if event.name().is_none() {
        count(&sensor.counters.nameless);
    }
    count(&sensor.counters.events)
}
