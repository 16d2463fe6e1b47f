//! Judges pairs of a rule and an event in compiled files and elsewhere, and tells of differences.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use differential::Side;
use differential::batch::{Counts, Place, run, size};

/// Differences shown before a run ends.
const MOST_SHOWN: usize = 10;

/// Judges rules by compiled channel files and in another way, and shows where they differ
#[derive(Parser)]
struct Arguments {
    /// How many pairs of a rule and an event to judge, on each side
    #[arg(long, default_value_t = 1_000_000)]
    pairs: u64,
    /// The seed: the same seed makes the same pairs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What to compare with
    #[arg(long, value_enum, default_value = "both")]
    side: Sides,
    /// Only this batch, as a difference names it
    #[arg(long)]
    batch: Option<u64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Sides {
    /// The naive reference
    Naive,
    /// rsigma-eval
    Sigma,
    /// One after the other
    Both,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let sides: &[Side] = match arguments.side {
        Sides::Naive => &[Side::Naive],
        Sides::Sigma => &[Side::Sigma],
        Sides::Both => &[Side::Naive, Side::Sigma],
    };
    let mut sound = true;
    for side in sides {
        sound &= judge(*side, &arguments);
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Judges one side's pairs on all cores; true if no verdict differs.
fn judge(side: Side, arguments: &Arguments) -> bool {
    let begun = Instant::now();
    let batches = batches(side, arguments);
    let next = AtomicUsize::new(0);
    let state = Mutex::new((Counts::default(), Vec::new(), begun));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(place) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (found, differences) = run(*place);
                    let mut state = state.lock().unwrap_or_else(|broken| broken.into_inner());
                    let (counts, told, shown) = &mut *state;
                    counts.add(found);
                    told.extend(differences);
                    progress(side, counts.pairs(), arguments, begun, shown);
                    if told.len() >= MOST_SHOWN {
                        next.store(batches.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (counts, mut told, _) = state.into_inner().unwrap_or_else(|broken| broken.into_inner());
    told.truncate(MOST_SHOWN);
    for difference in &told {
        println!("\n{difference}");
    }
    let percent = |count: u64| 100.0 * count as f64 / counts.pairs().max(1) as f64;
    println!(
        "compiled files and {}: {} pairs in {} batches, {:.1} s; {} true ({:.1} %), {} false, {} \
         unknown ({:.1} %); {} rules too large, {} one-sided ({} of them not); {}",
        side.name(),
        counts.pairs(),
        batches.len(),
        begun.elapsed().as_secs_f64(),
        counts.yes,
        percent(counts.yes),
        counts.no,
        counts.unknown,
        percent(counts.unknown),
        counts.refused,
        counts.one_sided,
        counts.underived,
        if told.is_empty() { "no difference".into() } else { format!("{} differ", told.len()) },
    );
    told.is_empty()
}

/// The batches that make up the pairs: the same for the same seed, however many cores there are.
fn batches(side: Side, arguments: &Arguments) -> Vec<Place> {
    let place = |number| Place { side, seed: arguments.seed, number };
    if let Some(number) = arguments.batch {
        return vec![place(number)];
    }
    let mut left = arguments.pairs;
    let mut batches = Vec::new();
    for number in 0.. {
        if left == 0 {
            break;
        }
        let (rules, events) = size(place(number));
        left = left.saturating_sub(rules as u64 * events as u64);
        batches.push(place(number));
    }
    batches
}

/// A line that moves on a terminal; elsewhere one every ten seconds.
fn progress(side: Side, pairs: u64, arguments: &Arguments, begun: Instant, shown: &mut Instant) {
    let terminal = stderr().is_terminal();
    let pause = if terminal { Duration::from_millis(200) } else { Duration::from_secs(10) };
    if shown.elapsed() < pause {
        return;
    }
    *shown = Instant::now();
    let (start, end) = if terminal { ("\r", "") } else { ("", "\n") };
    let seconds = begun.elapsed().as_secs_f64();
    let rate = pairs as f64 / seconds;
    // Nothing can be done when the terminal is gone.
    let _ = write!(
        stderr(),
        "{start}{}: {pairs} of {} pairs, {rate:.0} a second, {seconds:.0} s{end}",
        side.name(),
        arguments.pairs,
    );
}
