//! The text of `docs/matching.md`.

use std::fmt::Write as _;

use super::number::{count, time};
use super::{goals, tables};
use crate::engines::vectorscan_version;
use crate::measure::load::Loaded;
use crate::measure::verdicts::LEAST_EVENTS;
use crate::measure::{Effort, Measured, WARM_UP};

/// What was resolved, which says the peers' versions.
const LOCK: &str = include_str!("../../Cargo.lock");
/// The peers that are crates.
const PEERS: &[&str] =
    &["aho-corasick", "regex", "regex-automata", "rsigma-eval", "tau-engine", "sigma-rust"];

/// The document.
pub fn text(measured: &[Measured], loaded: &[Loaded]) -> String {
    let mut text = String::new();
    let mut add = |part: &str| {
        let _ = writeln!(text, "{part}\n");
    };
    add("# Matching, measured");
    add(&opening());
    add("![Time an event over the number of rules, for each engine](matching.svg)");

    add("## Goals");
    add(goals::text(measured, loaded).trim_end());

    add("## Everyday events");
    add(&everyday(measured));
    add(tables::means(measured, |measured| &measured.benign).trim_end());
    for measured in measured {
        add(&format!("### {} rules", count(measured.rules)));
        add(tables::detail(&measured.benign).trim_end());
    }

    add("## Hostile events");
    add("Pipe *and* image are 256 code units glued from the literals of the same rules, whole \
         ones and starts of such.");
    add(tables::means(measured, |measured| &measured.hostile).trim_end());
    add(tables::slowest(measured, |measured| &measured.hostile).trim_end());

    add("## The physical limit");
    add("A matcher that goes through a table unit by unit does, for each unit, a load that \
         depends on an addition that depends on the load before. One such step was timed in the \
         same rounds, with a table in the first cache. Saker's time an event is divided by all \
         code units of the pipe and the image.");
    add(tables::limit(measured).trim_end());

    add("## Memory, and time to build");
    add("Memory is what is kept after all events were judged, since some engines build their \
         tables as they go. For Saker, building is from Sigma text to a signed and loaded file, \
         and memory is that file.");
    add(tables::memory(measured).trim_end());
    add("The tables are all of Saker's file but metadata and examples:");
    add(tables::files(measured).trim_end());

    add("## Loading");
    add("Load is what the driver does with a file before it serves it: verify, parse, self test. \
         Beside it, the same bytes through the same SHA-512, in turn.");
    add(tables::loaded(loaded).trim_end());

    add("## How it is measured");
    add(&method());
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn opening() -> String {
    let mut peers: Vec<String> =
        PEERS.iter().filter_map(|name| Some(format!("{name} {}", locked(name)?))).collect();
    peers.push(format!("Vectorscan {}", vectorscan_version()));
    format!(
        "Written by `cargo xtask bench` ([tests/bench](../tests/bench)), with every number in it. \
         Machine: {}. Times differ from machine to machine and from run to run; the ratios are \
         taken within one round of one run.\n\n\
         All engines judged the same events by the same rules, and **each gave the naive loop's \
         verdict on every event** that it was compared and timed on, else nothing would have been \
         written. \
         Beside Saker: {}.",
        machine(),
        peers.join(", ")
    )
}

fn everyday(measured: &[Measured]) -> String {
    let shape = measured.first().map_or_else(String::new, |measured| {
        format!(
            "{} events; a pipe's name has {:.0} code units in the mean, an image {:.0}.",
            count(measured.benign.events),
            measured.benign.pipe_units,
            measured.benign.image_units
        )
    });
    let hits: Vec<String> = measured
        .iter()
        .map(|measured| format!("{} with {} rules", measured.benign.hits, count(measured.rules)))
        .collect();
    format!(
        "Names and images as on an everyday machine, with one event in a hundred made to fit a \
         rule. {shape} Events of which a rule is true: {}. In brackets: the ratio to Vectorscan.",
        hits.join(", ")
    )
}

fn method() -> String {
    let effort = Effort::FULL;
    format!(
        "* **Rules** are real Sigma text: [twenty written by hand](../tests/bench/rules/known.yml), \
         the others [generated](../tests/bench/src/corpus/generated.rs) from a fixed seed in the mix \
         that published pipe rules have. Regular expressions ignore case.\n\
         * **Engines** get an event in the form that suits them, made before the clock starts: \
         Saker UTF-16 as the kernel has it; the plain matchers and the naive loop bytes in small \
         letters; Vectorscan bytes in any case and patterns marked caseless; the Sigma engines \
         strings. All text is ASCII.\n\
         * **Plain matchers** (Vectorscan, aho-corasick, regex-automata, RegexSet) share [one layer]\
         (../tests/bench/src/rule/layer.rs) that turns atoms into rules: of each rule a few atoms \
         are known of which one must hold, and only rules so woken are looked at.\n\
         * **An event** is the median of {} rounds; in a round each engine goes over all its \
         events, after {} to warm up. Texts are brought into the cache first. The clock's own \
         cost is taken off.\n\
         * **A slow engine** is compared on the first events that fit {} and timed on those \
         that fit {}, at least on {LEAST_EVENTS}; the column *events* says how many were timed.\n\
         * **p50, p99, slowest** are over single events, of which each has the best of several \
         passes. **Cold** is the median after 4 MB were read through, with the text in the cache.",
        effort.rounds,
        time(WARM_UP.as_nanos() as f64),
        time(effort.comparing.as_nanos() as f64),
        time(effort.budget.as_nanos() as f64),
    )
}

/// The machine, as far as it matters.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{} with {cores} cores{}", std::env::consts::ARCH, vectors())
}

#[cfg(target_arch = "x86_64")]
fn vectors() -> &'static str {
    if is_x86_feature_detected!("avx512vbmi") {
        " and AVX-512 VBMI, which Vectorscan uses"
    } else if is_x86_feature_detected!("avx512bw") {
        " and AVX-512, which Vectorscan uses"
    } else if is_x86_feature_detected!("avx2") {
        " and AVX2, which Vectorscan uses"
    } else {
        ""
    }
}

#[cfg(not(target_arch = "x86_64"))]
const fn vectors() -> &'static str {
    ""
}

/// The version of a crate in the lock file.
fn locked(name: &str) -> Option<&'static str> {
    let (_, rest) = LOCK.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_has_a_version() {
        for peer in PEERS {
            assert!(locked(peer).is_some_and(|version| version.contains('.')), "{peer}");
        }
        assert_eq!(locked("no-such-crate"), None);
    }
}
