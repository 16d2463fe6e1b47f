//! One measurement: all engines over the same rules and the same events, in turn.
//!
//! 1. Every engine is built, and its verdicts are compared with the naive loop's own. An engine
//!    that is slow is compared on as many events as fit a budget, and timed on as many of those as
//!    fit another.
//! 2. Round for round each engine judges all its events. The machine may be faster or slower from
//!    one round to the next: that is why ratios are taken within a round.
//! 3. Single events are timed: the best of several passes for each, and after the caches were
//!    swept.

mod clock;
pub mod limit;
pub mod load;
pub mod stats;
pub mod verdicts;

use std::fmt;
use std::time::{Duration, Instant};

use crate::corpus::Corpus;
use crate::corpus::events::{Prepared, benign, hostile, prepare};
use crate::engines::naive::Naive;
use crate::engines::saker::Saker;
use crate::engines::{Engine, KINDS, Kind, REFERENCE, saker};
use crate::heap;
use crate::rule::RuleSet;

pub use clock::WARM_UP;
use clock::{fitting, judge_cold, judge_once, pass};
use stats::{Tail, median};
use verdicts::{Comparison, Difference};

/// Seeds of the events.
const BENIGN_SEED: u64 = 0x5a4b_4552_0002;
const HOSTILE_SEED: u64 = 0x5a4b_4552_0003;
/// Passes of which each event's best time is kept.
const TAIL_PASSES: usize = 7;
/// Rounds of an engine whose passes take more than twice their budget.
const SLOW_ROUNDS: usize = 7;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds over all engines.
    pub rounds: usize,
    /// Benign events.
    pub benign: usize,
    /// Hostile events.
    pub hostile: usize,
    /// Events judged with cold caches.
    pub cold: usize,
    /// What comparing an engine's verdicts may take, if that is enough for
    /// [`verdicts::LEAST_EVENTS`].
    pub comparing: Duration,
    /// What one pass of an engine may take, if that is enough for [`verdicts::LEAST_EVENTS`].
    pub budget: Duration,
}

impl Effort {
    /// What the documents are written from.
    pub const FULL: Self = Self {
        rounds: 21,
        benign: 4_096,
        hostile: 512,
        cold: 200,
        comparing: Duration::from_secs(2),
        budget: Duration::from_millis(250),
    };
    /// What tells whether all engines agree.
    pub const QUICK: Self = Self {
        rounds: 3,
        benign: 2_048,
        hostile: 128,
        cold: 40,
        comparing: Duration::from_secs(1),
        budget: Duration::from_millis(100),
    };
}

/// What was measured with some number of rules.
pub struct Measured {
    /// The number of rules.
    pub rules: usize,
    /// The atoms that they are made of.
    pub atoms: usize,
    /// Events as on everyday Windows.
    pub benign: Timed,
    /// Events glued from the rules' literals.
    pub hostile: Timed,
    /// What building the engines took.
    pub built: Vec<Built>,
    /// Saker's file and the tables in it, in bytes.
    pub file: Option<FileSize>,
}

/// Why nothing was measured.
pub enum Failure {
    /// With so many rules, engines do not agree with the naive loop.
    Differences(usize, Vec<Difference>),
    /// Anything else, in words.
    Other(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Other(why)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differences(rules, differences) => {
                writeln!(formatter, "verdicts differ with {rules} rules; nothing was timed")?;
                differences.iter().try_for_each(|difference| write!(formatter, "\n{difference}"))
            }
            Self::Other(why) => formatter.write_str(why),
        }
    }
}

/// The sizes of a channel file.
#[derive(Clone, Copy, Debug)]
pub struct FileSize {
    /// The whole file.
    pub file: usize,
    /// What is matched with: all but metadata and examples.
    pub tables: usize,
}

/// What building an engine took.
pub struct Built {
    /// Which engine.
    pub kind: &'static Kind,
    /// How long.
    pub time: Duration,
    /// Bytes kept, after it has judged all its events.
    pub memory: usize,
}

/// The times of all engines over one kind of events.
pub struct Timed {
    /// Mean code units of a pipe's name.
    pub pipe_units: f64,
    /// Mean code units of an image's path.
    pub image_units: f64,
    /// Events in all.
    pub events: usize,
    /// Events of which a rule is true.
    pub hits: usize,
    /// One row an engine.
    pub rows: Vec<Row>,
    /// The physical limit in the same rounds: nanoseconds a step.
    pub step: f64,
}

/// One engine's times, in nanoseconds an event.
pub struct Row {
    /// Which engine.
    pub kind: &'static Kind,
    /// Events compared and timed.
    pub events: usize,
    /// Median of the rounds.
    pub mean: f64,
    /// Median of the rounds' ratios to [`REFERENCE`].
    pub ratio: Option<f64>,
    /// Best times of single events.
    pub tail: Tail,
    /// Median with cold caches.
    pub cold: f64,
    /// Allocations an event.
    pub allocations: f64,
}

/// An engine with what is known of it.
struct Entrant {
    kind: &'static Kind,
    engine: Box<dyn Engine>,
}

/// Measures with so many rules the engines that `wanted` names.
pub fn run(
    count: usize,
    effort: &Effort,
    wanted: impl Fn(&Kind) -> bool,
    tell: &mut dyn FnMut(&str),
) -> Result<Measured, Failure> {
    let corpus = Corpus::new(count);
    let set = RuleSet::parse(&corpus)?;
    let naive = Naive::new(&set);
    let benign = benign(effort.benign, &corpus, BENIGN_SEED);
    let hostile = hostile(effort.hostile, &set, HOSTILE_SEED);
    let benign = Expected::new(prepare(&benign), &naive);
    let hostile = Expected::new(prepare(&hostile), &naive);

    let mut entrants = Vec::new();
    let mut built = Vec::new();
    let mut compared = Vec::new();
    let mut differences = Vec::new();
    for kind in KINDS.iter().filter(|kind| wanted(kind)) {
        tell(&format!("{count} rules: {} is built and compared", kind.title));
        let before = heap::live();
        let start = Instant::now();
        let engine = (kind.build)(&corpus, &set);
        let time = start.elapsed();
        let mut engine = engine.map_err(|why| format!("{} cannot be built: {why}", kind.title))?;
        let of_engine = [&benign, &hostile].map(|events| {
            verdicts::compare(kind, engine.as_mut(), events, &corpus, effort.comparing)
        });
        differences.extend(of_engine.iter().flat_map(|compared| compared.differences.clone()));
        // Some engines build their tables as they go, so memory is looked at now. What comparing
        // kept is a few words.
        let memory = heap::live().saturating_sub(before) + engine.foreign_memory();
        built.push(Built { kind, time, memory });
        entrants.push(Entrant { kind, engine });
        compared.push(of_engine);
    }
    // What is wrong need not be fast.
    if !differences.is_empty() {
        return Err(Failure::Differences(count, differences));
    }
    let (of_benign, of_hostile): (Vec<_>, Vec<_>) =
        compared.into_iter().map(|[benign, hostile]| (benign, hostile)).unzip();

    tell(&format!("{count} rules: {} rounds over all engines", effort.rounds));
    Ok(Measured {
        rules: count,
        atoms: set.atoms.len(),
        benign: time_all(&mut entrants, &benign, &of_benign, effort),
        hostile: time_all(&mut entrants, &hostile, &of_hostile, effort),
        built,
        file: if KINDS.iter().any(|kind| kind.name == "saker" && wanted(kind)) {
            Some(file_size(&corpus)?)
        } else {
            None
        },
    })
}

/// Events and the rules that the naive loop finds true of each.
pub struct Expected<'e> {
    /// The events.
    pub events: Vec<Prepared<'e>>,
    /// For each event, the numbers of the rules, in order.
    pub verdicts: Vec<Vec<u32>>,
}

impl<'e> Expected<'e> {
    fn new(events: Vec<Prepared<'e>>, naive: &Naive) -> Self {
        let verdicts = events.iter().map(|event| naive.matched(event.event)).collect();
        Self { events, verdicts }
    }
}

fn time_all(
    entrants: &mut [Entrant],
    expected: &Expected<'_>,
    compared: &[Comparison],
    effort: &Effort,
) -> Timed {
    let events = &expected.events;
    let mut rounds = vec![Vec::with_capacity(effort.rounds); entrants.len()];
    let mut allocations = vec![0.0; entrants.len()];
    let mut steps = Vec::with_capacity(effort.rounds);
    // Of the events that an engine was compared on, those that fit its budget.
    let counts: Vec<usize> = entrants
        .iter_mut()
        .zip(compared)
        .map(|(entrant, compared)| {
            fitting(entrant.engine.as_mut(), &events[..compared.events], effort.budget)
        })
        .collect();
    let mut slow = vec![false; entrants.len()];
    for round in 0..effort.rounds {
        steps.push(limit::step());
        for (place, entrant) in entrants.iter_mut().enumerate() {
            if slow[place] && round >= SLOW_ROUNDS {
                continue;
            }
            let start = Instant::now();
            let pass = pass(entrant.engine.as_mut(), &events[..counts[place]]);
            slow[place] |= start.elapsed() > 2 * effort.budget;
            rounds[place].push(pass.time);
            allocations[place] = pass.allocations;
        }
    }
    let reference = entrants.iter().position(|entrant| entrant.kind.name == REFERENCE);
    let reference = reference.map(|place| rounds[place].clone());
    let mut rows = Vec::with_capacity(entrants.len());
    for (place, entrant) in entrants.iter_mut().enumerate() {
        let events = &events[..counts[place]];
        let ratio = reference.as_ref().map(|reference| {
            let pairs = rounds[place].iter().zip(reference);
            median(pairs.map(|(own, reference)| own / reference).collect())
        });
        rows.push(Row {
            kind: entrant.kind,
            events: events.len(),
            mean: median(rounds[place].clone()),
            ratio,
            tail: tail(entrant.engine.as_mut(), events, effort),
            cold: cold(entrant.engine.as_mut(), events, effort),
            allocations: allocations[place],
        });
    }
    let mean = |units: fn(&Prepared<'_>) -> usize| {
        events.iter().map(units).sum::<usize>() as f64 / events.len() as f64
    };
    Timed {
        pipe_units: mean(|prepared| prepared.event.pipe.units.len()),
        image_units: mean(|prepared| prepared.event.image.units.len()),
        events: events.len(),
        hits: expected.verdicts.iter().filter(|verdict| !verdict.is_empty()).count(),
        rows,
        step: median(steps),
    }
}

/// The best time of each event over some passes: at least two, and as many as fit the budget.
fn tail(engine: &mut dyn Engine, events: &[Prepared<'_>], effort: &Effort) -> Tail {
    let mut best = vec![f64::INFINITY; events.len()];
    let start = Instant::now();
    for done in 0..TAIL_PASSES {
        if done >= 2 && start.elapsed() > effort.budget * 4 {
            break;
        }
        for (event, best) in events.iter().zip(&mut best) {
            *best = best.min(judge_once(engine, event));
        }
    }
    Tail::of(best)
}

fn cold(engine: &mut dyn Engine, events: &[Prepared<'_>], effort: &Effort) -> f64 {
    let step = (events.len() / effort.cold).max(1);
    let chosen = events.iter().step_by(step).take(effort.cold);
    median(chosen.map(|event| judge_cold(engine, event)).collect())
}

fn file_size(corpus: &Corpus) -> Result<FileSize, String> {
    let file = saker::file(corpus)?;
    Ok(FileSize { file: file.len(), tables: Saker::new(&file)?.table_bytes() })
}
