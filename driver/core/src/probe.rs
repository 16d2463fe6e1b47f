//! Whether the filter sees what it should: what a pipe that the driver opens itself shows.
//!
//! Attached is not the same as called: a filter above may swallow creates, or the file system's
//! device be reached past the filters. So the driver now and then opens a pipe that does not exist
//! and looks whether its own filter saw that.

use driver_abi::{Probe, ProbeOutcome};

use crate::Position;

/// Units of a probe's name.
pub const NAME_UNITS: usize = 29;
/// Time between two probes when all is well, in 100-nanosecond units: five minutes.
const PERIOD: u64 = 5 * 60 * 10_000_000;
/// Probes in a row that may end without saying anything before that says enough.
const MAX_SILENT: u32 = 3;
/// How long a probe may be under way before that is told, in 100-nanosecond units: ten seconds,
/// where one takes microseconds.
const PATIENCE: u64 = 10 * 10_000_000;

/// How one probe ended.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// The filter saw it.
    pub seen: bool,
    /// The filter was attached afterwards. Opening a pipe may be what attaches it.
    pub attached: bool,
    /// Opening failed for want of memory, perhaps before any filter was asked.
    pub short_of_memory: bool,
}

/// When to probe, and what the probes said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Probing {
    said: Probe,
    /// Probes in a row that failed or said nothing.
    failures: u32,
    silent: u32,
    /// The circumstances of the last probe: attached, and the content in force.
    circumstances: Option<(bool, Option<Position>)>,
    next: u64,
    /// When the probe began that is under way.
    begun: Option<u64>,
}

impl Probing {
    /// True when a probe is due at `now` (100-nanosecond units since boot): the first time, after
    /// the filter was attached or detached, after content came into force, after a probe that did
    /// not go well, and every five minutes.
    pub fn is_due(&mut self, now: u64, attached: bool, content: Option<Position>) -> bool {
        let circumstances = Some((attached, content));
        if self.circumstances != circumstances {
            self.circumstances = circumstances;
            return true;
        }
        now >= self.next
    }

    /// A probe begins.
    pub const fn begin(&mut self, now: u64) {
        self.begun = Some(now);
    }

    /// Takes in how a probe that was made at `now` ended.
    pub fn note(&mut self, now: u64, attempt: Attempt) {
        self.begun = None;
        let outcome = if attempt.seen {
            ProbeOutcome::Seen
        } else if !attempt.attached {
            // There is nothing to be seen by. That the filter is not attached is told elsewhere.
            ProbeOutcome::NotAttached
        } else if attempt.short_of_memory && self.silent < MAX_SILENT {
            // It says nothing, so what the last one said stands, until that goes on too long.
            self.silent = self.silent.saturating_add(1);
            self.next = now;
            return;
        } else {
            ProbeOutcome::NotSeen
        };
        self.silent = 0;
        self.failures = match outcome {
            ProbeOutcome::NotSeen => self.failures.saturating_add(1),
            _ => 0,
        };
        self.said = Probe { outcome, at: now };
        // What does not go well is looked at again at the next opportunity.
        let well = outcome == ProbeOutcome::Seen;
        self.next = if well { now.saturating_add(PERIOD) } else { now };
    }

    /// What the last probe that said anything said.
    pub const fn said(&self) -> Probe {
        self.said
    }

    /// The probe that has been under way for longer than it should, if there is one. What the last
    /// one said stands beside it.
    pub fn held(&self, now: u64) -> Option<Probe> {
        let at = self.begun?;
        let held = now.saturating_sub(at) > PATIENCE;
        held.then_some(Probe { outcome: ProbeOutcome::Held, at })
    }

    /// Probes in a row that were not seen.
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

/// The name that a probe opens, below the root of the named-pipe file system: `\saker-probe-` and
/// sixteen digits made of `seed`. Nobody's pipe; that nobody can fake being seen does not rest on
/// the name but on the thread that opens it.
pub fn name(seed: u64) -> [u16; NAME_UNITS] {
    const PREFIX: &[u8; 13] = b"\\saker-probe-";
    let mut name = [0; NAME_UNITS];
    let digits = (0..16_u32).rev().map(|digit| {
        let value = mix(seed) >> digit.saturating_mul(4) & 0xF;
        let value = u8::try_from(value).unwrap_or(0);
        if value < 10 {
            b'0'.wrapping_add(value)
        } else {
            b'a'.wrapping_add(value).wrapping_sub(10)
        }
    });
    for (unit, byte) in name.iter_mut().zip(PREFIX.iter().copied().chain(digits)) {
        *unit = u16::from(byte);
    }
    name
}

/// Spreads a seed over all bits (the finaliser of SplitMix64), so that names do not follow each
/// other.
const fn mix(seed: u64) -> u64 {
    let seed = (seed ^ seed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let seed = (seed ^ seed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    seed ^ seed >> 31
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::String;

    use super::*;

    const SEEN: Attempt = Attempt { seen: true, attached: true, short_of_memory: false };
    const NOT_SEEN: Attempt = Attempt { seen: false, ..SEEN };
    const NO_MEMORY: Attempt = Attempt { short_of_memory: true, ..NOT_SEEN };
    const CONTENT: Option<Position> = Some(Position { epoch: 0, sequence: 1 });

    #[test]
    fn a_probe_that_is_seen_is_repeated_after_five_minutes() {
        let mut probing = Probing::default();
        assert_eq!(probing.said().outcome, ProbeOutcome::NotYet);
        assert!(probing.is_due(5, true, CONTENT));
        probing.note(5, SEEN);
        assert_eq!(probing.said(), Probe { outcome: ProbeOutcome::Seen, at: 5 });
        assert!(!probing.is_due(4 + PERIOD, true, CONTENT));
        assert!(probing.is_due(5 + PERIOD, true, CONTENT));
    }

    #[test]
    fn new_circumstances_are_looked_at_at_once() {
        let mut probing = Probing::default();
        assert!(probing.is_due(0, false, None));
        probing.note(0, SEEN);
        assert!(!probing.is_due(1, false, None));
        assert!(probing.is_due(1, true, None));
        assert!(!probing.is_due(1, true, None));
        assert!(probing.is_due(1, true, CONTENT));
    }

    #[test]
    fn one_that_is_not_seen_is_told_and_tried_again() {
        let mut probing = Probing::default();
        assert!(probing.is_due(0, true, None));
        probing.note(7, NOT_SEEN);
        assert_eq!(probing.said(), Probe { outcome: ProbeOutcome::NotSeen, at: 7 });
        assert!(probing.is_due(7, true, None));
        probing.note(8, NOT_SEEN);
        assert_eq!(probing.failures(), 2);
        probing.note(9, SEEN);
        assert_eq!((probing.said().outcome, probing.failures()), (ProbeOutcome::Seen, 0));
    }

    #[test]
    fn a_filter_that_is_not_attached_is_not_blamed() {
        let mut probing = Probing::default();
        probing.note(1, Attempt { attached: false, ..NOT_SEEN });
        assert_eq!(probing.said().outcome, ProbeOutcome::NotAttached);
    }

    #[test]
    fn want_of_memory_says_nothing_unless_it_stays() {
        let mut probing = Probing::default();
        probing.note(1, SEEN);
        for now in 2..2 + u64::from(MAX_SILENT) {
            probing.note(now, NO_MEMORY);
            assert_eq!(probing.said().outcome, ProbeOutcome::Seen);
            assert!(probing.is_due(now, true, None));
        }
        probing.note(9, NO_MEMORY);
        assert_eq!(probing.said().outcome, ProbeOutcome::NotSeen);
    }

    #[test]
    fn one_that_does_not_come_back_is_held_until_it_does() {
        let mut probing = Probing::default();
        probing.note(1, NOT_SEEN);
        assert_eq!(probing.held(u64::MAX), None, "none is under way");
        probing.begin(5);
        assert_eq!(probing.held(5 + PATIENCE), None);
        assert_eq!(probing.held(6 + PATIENCE), Some(Probe { outcome: ProbeOutcome::Held, at: 5 }));
        assert_eq!(probing.said().outcome, ProbeOutcome::NotSeen, "that is still what is known");
        probing.note(7 + PATIENCE, SEEN);
        assert_eq!(probing.held(u64::MAX), None);
    }

    #[test]
    fn names_are_of_one_length_and_differ() {
        let text = |seed| String::from_utf16(&name(seed)).unwrap();
        assert!(text(1).starts_with("\\saker-probe-"));
        assert!(text(1)[13..].bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(text(1), text(2));
        assert_eq!(text(0), "\\saker-probe-0000000000000000");
    }
}
