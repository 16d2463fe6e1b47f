//! How often a rule's detections are told, so that a noisy rule pushes no other out of a ring.
//!
//! Only telling is limited. Every event is judged, acted on and counted; what was not told is
//! counted too, and the rule's next record says how much that was.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use driver_abi::Suppressed;

/// Detections of one rule that are told in a minute: an analyst has seen enough of it, and even a
/// dozen noisy rules leave most of a ring of 128 records, emptied many times a second, to others.
pub const TOLD_A_MINUTE: u32 = 60;
/// Rules that have an allowance of their own at most: 16 KB. Beyond, rules that are this far apart
/// in the content share one.
pub const MAX_ALLOWANCES: usize = 1_024;

const SECOND: u64 = 10_000_000;
const MINUTE_SECONDS: u64 = 60;
/// The lower half of a word.
const TOLD: u64 = 0xFFFF_FFFF;

/// What one rule has been told of in its current minute, which begins with the first detection after
/// the one before is over. Any number of threads use it at once.
#[derive(Debug)]
pub struct Allowance {
    /// The second that the minute began in the upper half, what was told in it in the lower; 0 when
    /// nothing was ever told.
    spent: AtomicU64,
    /// Detections that were not told, and how many of them a record has said so of.
    untold: AtomicU32,
    owned_up: AtomicU32,
}

impl Allowance {
    /// Where a debugger finds what was not told, and what of that was owned up to, in bytes.
    pub const AT: [usize; 2] = [offset_of!(Self, untold), offset_of!(Self, owned_up)];

    /// One of which nothing is spent.
    pub const fn new() -> Self {
        Self { spent: AtomicU64::new(0), untold: AtomicU32::new(0), owned_up: AtomicU32::new(0) }
    }

    /// True when a detection at `now` (100-nanosecond units of a clock that never goes back) is
    /// told. Else it is counted as untold.
    fn spend(&self, now: u64) -> bool {
        // The clock would have to run for 136 years for its seconds not to fit.
        let second = now.checked_div(SECOND).unwrap_or(0) & TOLD;
        let spend = |spent: u64| {
            let begun = spent.wrapping_shr(32);
            let is_over = spent == 0 || second.saturating_sub(begun) >= MINUTE_SECONDS;
            let told = if is_over { second.wrapping_shl(32) } else { spent };
            (told & TOLD < u64::from(TOLD_A_MINUTE)).then(|| told.wrapping_add(1))
        };
        let told = self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok();
        if !told {
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
        told
    }
}

impl Default for Allowance {
    fn default() -> Self {
        Self::new()
    }
}

/// The allowances of the rules of one content, over slots that its owner allocated once.
#[derive(Debug)]
pub struct RateLimit<S> {
    slots: S,
    undecided: Allowance,
}

impl<S> RateLimit<S> {
    /// Where a debugger finds the allowances, in bytes.
    pub const SLOTS_AT: usize = offset_of!(Self, slots);
}

impl<S: AsRef<[Allowance]>> RateLimit<S> {
    /// A limit over `slots`, see [`allowances`]. Without slots nothing is limited.
    pub const fn new(slots: S) -> Self {
        Self { slots, undecided: Allowance::new() }
    }

    /// True when a detection of `rule` at `now` is told.
    pub fn admits(&self, rule: u32, now: u64) -> bool {
        self.slot(rule).is_none_or(|slot| slot.spend(now))
    }

    /// True when an event that no rule matched and some could not decide is told. All of those share
    /// one allowance and take nothing from detections: a rule may be undecided for every event of
    /// a process whose image is not known.
    pub fn admits_undecided(&self, now: u64) -> bool {
        self.undecided.spend(now)
    }

    /// Detections of `rule` that were not told since this was last asked.
    pub fn take_untold(&self, rule: u32) -> u32 {
        self.slot(rule).map_or(0, |slot| {
            let untold = slot.untold.load(Ordering::Relaxed);
            let before = slot.owned_up.load(Ordering::Relaxed);
            // Of two threads at once one says it.
            let mine = slot
                .owned_up
                .compare_exchange(before, untold, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
            if mine { untold.saturating_sub(before) } else { 0 }
        })
    }

    /// Fills in the rules of which most was not told since the content came into force, most first,
    /// and says of how many rules anything was not told. The places must be empty.
    // Not inlined: unrolled it would be kilobytes of code.
    #[inline(never)]
    pub fn noisiest(&self, noisiest: &mut [Option<Suppressed>]) -> u32 {
        let mut rules: u32 = 0;
        for (rule, slot) in (0..).zip(self.slots.as_ref()) {
            let events = u64::from(slot.untold.load(Ordering::Relaxed));
            if events == 0 {
                continue;
            }
            rules = rules.saturating_add(1);
            let mut next = Some(Suppressed { rule, events });
            for place in &mut *noisiest {
                let least = place.map_or(0, |noisy: Suppressed| noisy.events);
                if next.is_some_and(|next| next.events > least) {
                    core::mem::swap(place, &mut next);
                }
            }
        }
        rules
    }

    fn slot(&self, rule: u32) -> Option<&Allowance> {
        let slots = self.slots.as_ref();
        let at = usize::try_from(rule).ok()?.checked_rem(slots.len())?;
        slots.get(at)
    }
}

/// The slots that content with so many rules gets.
pub fn allowances(rules: u32) -> usize {
    usize::try_from(rules).unwrap_or(usize::MAX).min(MAX_ALLOWANCES)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::thread;
    use std::vec::Vec;

    use super::*;

    fn limit(rules: u32) -> RateLimit<Vec<Allowance>> {
        RateLimit::new((0..allowances(rules)).map(|_| Allowance::new()).collect())
    }

    fn told(limit: &RateLimit<Vec<Allowance>>, rule: u32, now: u64, times: u32) -> u32 {
        (0..times).map(|_| u32::from(limit.admits(rule, now))).sum()
    }

    #[test]
    fn tells_its_allowance_and_counts_the_rest() {
        let limit = limit(3);
        assert_eq!(told(&limit, 1, 5, TOLD_A_MINUTE), TOLD_A_MINUTE);
        assert_eq!(limit.take_untold(1), 0);
        assert_eq!(told(&limit, 1, 5, 1_000), 0);
        assert_eq!(limit.take_untold(1), 1_000);
        assert_eq!(limit.take_untold(1), 0);
    }

    #[test]
    fn a_noisy_rule_takes_nothing_from_another() {
        let limit = limit(3);
        assert_eq!(told(&limit, 0, 5, 10_000), TOLD_A_MINUTE);
        assert_eq!(told(&limit, 2, 5, TOLD_A_MINUTE), TOLD_A_MINUTE);
        assert_eq!(limit.take_untold(2), 0);
    }

    #[test]
    fn what_is_undecided_takes_nothing_from_detections() {
        let limit = limit(1);
        let told_undecided = (0..500).filter(|_| limit.admits_undecided(7)).count();
        assert_eq!(told_undecided, usize::try_from(TOLD_A_MINUTE).unwrap());
        assert_eq!(told(&limit, 0, 7, 1), 1);
        assert_eq!(limit.take_untold(0), 0);
    }

    #[test]
    fn a_new_minute_has_a_new_allowance() {
        let limit = limit(1);
        for minute in [0, 1, 2, 500_000] {
            let now = minute * MINUTE_SECONDS * SECOND;
            assert_eq!(told(&limit, 0, now, 70), TOLD_A_MINUTE, "{minute}");
            assert_eq!(told(&limit, 0, now + 59 * SECOND, 1), 0);
        }
        assert_eq!(limit.take_untold(0), 44);
    }

    #[test]
    fn a_clock_that_was_read_earlier_elsewhere_ends_no_minute_for_good() {
        let limit = limit(1);
        assert_eq!(told(&limit, 0, 100 * SECOND, 1), 1);
        assert_eq!(told(&limit, 0, 99 * SECOND, 1), 1);
        assert_eq!(told(&limit, 0, 100 * SECOND, 100), TOLD_A_MINUTE - 2);
    }

    #[test]
    fn many_rules_share_and_none_are_not_limited() {
        let many = limit(100_000);
        let apart = u32::try_from(MAX_ALLOWANCES).unwrap();
        assert_eq!(told(&many, 7, 0, 70), TOLD_A_MINUTE);
        assert_eq!(told(&many, 7 + apart, 0, 70), 0);
        assert_eq!(told(&many, 8, 0, 70), TOLD_A_MINUTE);
        assert_eq!(told(&limit(0), 0, 0, 70), 70);
    }

    #[test]
    fn the_noisiest_rules_come_first_and_all_are_counted() {
        let limit = limit(6);
        let mut two = [None; 2];
        assert_eq!((limit.noisiest(&mut two), two), (0, [None; 2]));
        for (rule, untold) in [(0, 3), (2, 9), (3, 1), (5, 7)] {
            told(&limit, rule, 5, TOLD_A_MINUTE + untold);
        }
        // What a record has said counts as before.
        assert_eq!(limit.take_untold(2), 9);
        let untold = |rule, events| Some(Suppressed { rule, events });
        assert_eq!((limit.noisiest(&mut two), two), (4, [untold(2, 9), untold(5, 7)]));
        let mut five = [None; 5];
        let all = [untold(2, 9), untold(5, 7), untold(0, 3), untold(3, 1), None];
        assert_eq!((limit.noisiest(&mut five), five), (4, all));
    }

    #[test]
    fn many_threads_are_told_no_more_and_lose_none() {
        let limit = limit(1);
        let sum: u32 = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| told(&limit, 0, 9, 1_000))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(sum, TOLD_A_MINUTE);
        assert_eq!(limit.take_untold(0), 4_000 - TOLD_A_MINUTE);
    }
}
