//! Times one engine.

use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::corpus::events::Prepared;
use crate::engines::Engine;
use crate::heap;

use super::verdicts::LEAST_EVENTS;

/// Events between two looks at the clock. Their texts fit the first cache beside the engine's
/// tables.
const BATCH: usize = 8;
/// How long an engine runs before its time is taken.
pub const WARM_UP: Duration = Duration::from_millis(2);
/// What is read through to empty the first and second cache.
const SWEEP: usize = 4 << 20;

/// One pass over all events, per event.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// Nanoseconds.
    pub time: f64,
    /// Allocations.
    pub allocations: f64,
}

/// Judges all events. Texts are brought into the cache before the clock starts: the driver has
/// just been given them.
pub fn pass(engine: &mut dyn Engine, events: &[Prepared<'_>]) -> Pass {
    let mut matched = Vec::with_capacity(1024);
    let overhead = overhead();
    warm_up(engine, events);
    let before = heap::calls();
    let mut total = 0.0;
    for batch in events.chunks(BATCH) {
        batch.iter().for_each(touch);
        let start = Instant::now();
        for event in batch {
            matched.clear();
            engine.judge(event, &mut matched);
            black_box(&matched);
        }
        total += start.elapsed().as_nanos() as f64 - overhead;
    }
    let count = events.len() as f64;
    Pass { time: total / count, allocations: (heap::calls() - before) as f64 / count }
}

/// How many of the events an engine judges in a time; at least [`LEAST_EVENTS`], if there are.
pub fn fitting(engine: &mut dyn Engine, events: &[Prepared<'_>], budget: Duration) -> usize {
    let mut matched = Vec::with_capacity(1024);
    let start = Instant::now();
    for (count, event) in events.iter().enumerate() {
        if count >= LEAST_EVENTS && start.elapsed() > budget {
            return count;
        }
        matched.clear();
        engine.judge(event, &mut matched);
    }
    events.len()
}

/// Lets an engine run a while: others have just had the caches.
fn warm_up(engine: &mut dyn Engine, events: &[Prepared<'_>]) {
    let mut matched = Vec::with_capacity(1024);
    let start = Instant::now();
    for event in events.iter().take_while(|_| start.elapsed() < WARM_UP) {
        matched.clear();
        engine.judge(event, &mut matched);
    }
}

/// Nanoseconds of one event.
pub fn judge_once(engine: &mut dyn Engine, event: &Prepared<'_>) -> f64 {
    let mut matched = Vec::with_capacity(1024);
    let overhead = overhead();
    touch(event);
    let start = Instant::now();
    engine.judge(event, &mut matched);
    let time = start.elapsed().as_nanos() as f64;
    black_box(&matched);
    (time - overhead).max(0.0)
}

/// Nanoseconds of one event whose text is in the cache while the engine's tables are not.
pub fn judge_cold(engine: &mut dyn Engine, event: &Prepared<'_>) -> f64 {
    thread_local! {
        static SWEPT: Vec<u8> = vec![1; SWEEP];
    }
    SWEPT.with(|bytes| {
        black_box(bytes.iter().step_by(64).map(|byte| u64::from(*byte)).sum::<u64>())
    });
    judge_once(engine, event)
}

/// Reads an event in every form.
fn touch(event: &Prepared<'_>) {
    let mut sum = 0_u64;
    for text in [&event.event.pipe, &event.event.image] {
        sum += text.units.iter().map(|unit| u64::from(*unit)).sum::<u64>();
        sum += text.raw.bytes().chain(text.lower.bytes()).map(u64::from).sum::<u64>();
    }
    black_box(sum);
    black_box(event.inputs);
    black_box(event.sigma_rust.get("PipeName"));
}

/// What two looks at the clock cost with nothing between.
fn overhead() -> f64 {
    thread_local! {
        static OVERHEAD: Cell<Option<f64>> = const { Cell::new(None) };
    }
    let known = OVERHEAD.get().unwrap_or_else(|| {
        let look = |_| {
            let start = Instant::now();
            start.elapsed().as_nanos() as f64
        };
        (0..10_000).map(look).fold(f64::INFINITY, f64::min)
    });
    OVERHEAD.set(Some(known));
    known
}
