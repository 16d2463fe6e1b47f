//! When content on trial has become good.

/// How long content must have been in force: 10 minutes, in 100-nanosecond units.
pub const TRIAL_TIME: u64 = 10 * 60 * 10_000_000;
/// How many events it must have judged.
pub const TRIAL_EVENTS: u64 = 1_000;

/// What content on trial has to show for itself.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    since: u64,
    events_before: u64,
}

impl Trial {
    /// Content came into force at `now` (100-nanosecond units of a clock that never goes back),
    /// when `events` had been judged since the driver started.
    pub const fn begin(now: u64, events: u64) -> Self {
        Self { since: now, events_before: events }
    }

    /// True once the content has been in force long enough *and* has judged enough.
    pub const fn is_good(&self, now: u64, events: u64) -> bool {
        now.saturating_sub(self.since) >= TRIAL_TIME
            && events.saturating_sub(self.events_before) >= TRIAL_EVENTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_time_and_use_are_needed() {
        let trial = Trial::begin(500, 40);
        assert!(trial.is_good(500 + TRIAL_TIME, 40 + TRIAL_EVENTS));
        assert!(!trial.is_good(499 + TRIAL_TIME, 40 + TRIAL_EVENTS));
        assert!(!trial.is_good(500 + TRIAL_TIME, 39 + TRIAL_EVENTS));
    }

    #[test]
    fn a_clock_that_goes_back_makes_nothing_good() {
        assert!(!Trial::begin(1 << 60, 0).is_good(0, u64::MAX));
    }
}
