//! Rules that an event has to be judged by, because a criterion that holds points to them.

use super::judgement::names;
use crate::limits::{MAX_CANDIDATES, MAX_TRIGGERS};

/// Rules, each once.
pub(crate) struct Candidates {
    rules: [u16; MAX_CANDIDATES],
    count: usize,
    /// Triggers followed.
    followed: u16,
    /// The one rule that counts, where it is asked for one alone.
    pub(crate) only: Option<u32>,
    /// There was no room, or a text that covers are sought in is not known: judge every rule.
    pub(crate) all: bool,
}

impl Candidates {
    pub(super) const NONE: Self =
        Self { rules: [0; MAX_CANDIDATES], count: 0, followed: 0, only: None, all: false };

    /// The rule at a place; none behind the last.
    #[inline]
    pub(crate) fn rule(&self, place: u32) -> Option<u32> {
        let rules = self.rules.get(..self.count)?;
        rules.get(usize::try_from(place).ok()?).map(|rule| u32::from(*rule))
    }

    /// Takes in the rules that a criterion points to.
    pub(super) fn follow(&mut self, triggers: &[[u8; 4]]) {
        if let Some(only) = self.only {
            self.all |= names(triggers, only);
            return;
        }
        for rule in triggers {
            if self.all {
                return;
            }
            self.followed = self.followed.saturating_add(1);
            match u16::try_from(u32::from_le_bytes(*rule)) {
                Ok(rule) if self.followed <= MAX_TRIGGERS => self.add(rule),
                _ => self.all = true,
            }
        }
    }

    fn add(&mut self, rule: u16) {
        if self.rules.get(..self.count).is_some_and(|rules| rules.contains(&rule)) {
            return;
        }
        match self.rules.get_mut(self.count) {
            Some(slot) => {
                *slot = rule;
                self.count = self.count.wrapping_add(1);
            }
            None => self.all = true,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    fn triggers(rules: impl Iterator<Item = u32>) -> Vec<[u8; 4]> {
        rules.map(u32::to_le_bytes).collect()
    }

    #[test]
    fn keeps_each_rule_once_and_in_order() {
        let mut candidates = Candidates::NONE;
        candidates.follow(&triggers([3, 5].into_iter()));
        candidates.follow(&triggers([5, 7].into_iter()));
        let rules: Vec<u32> = (0..).map_while(|place| candidates.rule(place)).collect();
        assert_eq!((rules.as_slice(), candidates.all), ([3, 5, 7].as_slice(), false));
    }

    #[test]
    fn one_rule_too_many_means_all() {
        let most = u32::try_from(MAX_CANDIDATES).unwrap();
        for (count, all) in [(most, false), (most + 1, true)] {
            let mut candidates = Candidates::NONE;
            candidates.follow(&triggers(0..count));
            assert_eq!(candidates.all, all, "{count} rules");
        }
    }

    #[test]
    fn being_pointed_to_few_rules_too_often_means_all() {
        let mut candidates = Candidates::NONE;
        let two = triggers(0..2);
        for _ in 0..MAX_TRIGGERS / 2 {
            candidates.follow(&two);
        }
        assert!(!candidates.all);
        candidates.follow(&two);
        assert!(candidates.all);
    }

    #[test]
    fn where_one_rule_counts_no_other_does() {
        let mut candidates = Candidates { only: Some(4), ..Candidates::NONE };
        candidates.follow(&triggers(5..200));
        assert!(!candidates.all);
        candidates.follow(&triggers(0..5));
        assert!(candidates.all);
    }
}
