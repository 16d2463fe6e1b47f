//! One of the fuzz targets under libFuzzer; `cargo xtask fuzz` builds and runs it.
//!
//! `SAKER_FUZZ` names the target. What libFuzzer learns from is the coverage of the host's own code,
//! by the compiler's instrumentation, and for the targets that run the driver also that of
//! `saker.sys` as it ships: the kernel host marks each basic block that is reached in the file of
//! `SAKER_COVERAGE`, and what is newly marked after an input is counted as new here.

#![no_main]

use std::sync::OnceLock;

use fuzz_targets::{Target, find};
use libfuzzer_sys::fuzz_target;

mod blocks;

fuzz_target!(
    init: { target(); },
    |input: &[u8]| {
        (target())(input);
        blocks::count_new();
    }
);

/// What [`Target::run`] is.
type Run = fn(&[u8]);

/// The target that was named; without one there is nothing to fuzz.
fn target() -> Run {
    static TARGET: OnceLock<Run> = OnceLock::new();
    *TARGET.get_or_init(|| {
        let name = std::env::var("SAKER_FUZZ").unwrap_or_default();
        match find(&name) {
            Some(Target { run, .. }) => run,
            // To see that what does not hold is found and kept.
            None if name == "planted" => planted,
            None => panic!("SAKER_FUZZ={name} names no target; cargo xtask fuzz sets it"),
        }
    })
}

/// Holds for every input but those that begin with a word.
fn planted(input: &[u8]) {
    assert!(!input.starts_with(b"SAKER"), "the planted fault");
}
