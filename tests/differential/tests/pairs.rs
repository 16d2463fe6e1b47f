//! A thousandth of what `cargo xtask fuzz --differential` judges, with the same code.

use std::thread;

use differential::Side;
use differential::batch::{Counts, Place, run, size};

/// Pairs on each side, at least.
const PAIRS: usize = 2_000;
/// Not that of long runs, so that these pairs are not a part of theirs.
const SEED: u64 = 291;

#[test]
fn compiled_files_judge_as_the_naive_reference() {
    let counts = judge(Side::Naive);
    assert!(counts.unknown * 50 > counts.pairs(), "unknown is common: {counts:?}");
}

#[test]
fn compiled_files_judge_as_another_engine() {
    let counts = judge(Side::Sigma);
    assert_eq!(counts.unknown, 0, "all is known: {counts:?}");
}

fn judge(side: Side) -> Counts {
    let mut batches = Vec::new();
    let mut pairs = 0;
    while pairs < PAIRS {
        let place = Place { side, seed: SEED, number: batches.len() as u64 };
        let (rules, events) = size(place);
        pairs += rules * events;
        batches.push(place);
    }
    let mut counts = Counts::default();
    let workers: Vec<_> =
        batches.into_iter().map(|place| thread::spawn(move || run(place))).collect();
    for worker in workers {
        let (found, differences) = worker.join().unwrap();
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        counts.add(found);
    }
    assert!(counts.pairs() >= 1_000, "{counts:?}");
    assert!(counts.yes * 10 > counts.pairs() && counts.no * 10 > counts.pairs(), "{counts:?}");
    assert!(counts.refused * 100 < counts.pairs(), "{counts:?}");
    counts
}

#[test]
fn a_seed_makes_the_same_pairs_again() {
    for side in [Side::Naive, Side::Sigma] {
        let place = |seed, number| Place { side, seed, number };
        // A small one: what all it follows from is the same for every batch.
        let small = (0..).find(|number| size(place(SEED, *number)).0 < 9).unwrap_or(0);
        let counts = |seed| run(place(seed, small)).0;
        assert_eq!(counts(SEED), counts(SEED));
        assert_ne!(counts(SEED), counts(SEED + 1));
    }
}
