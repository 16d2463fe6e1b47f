//! How long callbacks take: counts by powers of two.

use core::sync::atomic::{AtomicU64, Ordering};

/// Buckets of a histogram: the last one holds everything from two seconds on.
pub const BUCKETS: usize = 32;

/// Counts of times, each counted where its power of two is. Any number of threads count at once.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    /// Clock ticks a second.
    frequency: u64,
}

impl Histogram {
    /// Nothing counted yet, of a clock with so many ticks a second.
    pub const fn new(frequency: u64) -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], frequency }
    }

    /// Counts a time in the clock's ticks.
    #[inline]
    pub fn count(&self, ticks: u64) {
        let nanoseconds = ticks.saturating_mul(1_000_000_000).checked_div(self.frequency);
        if let Some(bucket) = self.buckets.get(bucket(nanoseconds.unwrap_or(0))) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Fills in the counts of now.
    // Not inlined: unrolled it would be half a kilobyte of code.
    #[inline(never)]
    pub fn read(&self, counts: &mut [u64]) {
        for (to, from) in counts.iter_mut().zip(&self.buckets) {
            *to = from.load(Ordering::Relaxed);
        }
    }
}

/// The bucket of a time: `n` for 2^n nanoseconds and more, up to twice that. The first also takes no
/// time at all, the last everything longer.
const fn bucket(nanoseconds: u64) -> usize {
    #[allow(clippy::as_conversions, reason = "at most 63")]
    let bucket = (nanoseconds | 1).ilog2() as usize;
    if bucket < BUCKETS { bucket } else { BUCKETS.saturating_sub(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_its_power_of_two() {
        for (nanoseconds, expected) in
            [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (1_023, 9), (1_024, 10), (1_000_000_000, 29)]
        {
            assert_eq!(bucket(nanoseconds), expected, "{nanoseconds}");
        }
        assert_eq!(bucket(1 << 31), BUCKETS - 1);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn ticks_are_converted_whatever_the_clock() {
        for (frequency, ticks, expected) in [
            (10_000_000, 10, 9),
            (1_000_000_000, 1_000, 9),
            (3_579_545, 1, 8),
            (10_000_000, u64::MAX, BUCKETS - 1),
            (0, 5, 0),
        ] {
            let histogram = Histogram::new(frequency);
            histogram.count(ticks);
            histogram.count(ticks);
            let mut counts = [0; BUCKETS];
            counts[expected] = 2;
            let mut found = [0; BUCKETS];
            histogram.read(&mut found);
            assert_eq!(found, counts, "{frequency} {ticks}");
        }
    }
}
