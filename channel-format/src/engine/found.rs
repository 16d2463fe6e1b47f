//! What scans found in the texts of one event, in room of fixed size.

use crate::limits::{MAX_FOUND, MAX_RUNS};

/// What was found in the pipe's name, or in the texts of images. Each has its own room, so that a
/// long path takes none of the name's.
pub(super) struct Found {
    /// Searched criteria that hold.
    criteria: [u32; MAX_FOUND],
    count: usize,
    /// Regular expressions whose literal was found.
    runs: [Run; MAX_RUNS],
    run_count: usize,
    /// There was no room for a criterion, or a table could not be read: what is not here may hold.
    pub(super) is_full: bool,
    /// There was no room for a regular expression's literal: one that is not here may accept.
    pub(super) runs_full: bool,
}

/// A regular expression whose literal was found.
#[derive(Clone, Copy, Default)]
pub(super) struct Run {
    pub(super) criterion: u32,
    /// First and last place of the literal.
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) outcome: Outcome,
}

/// What the automaton of a run says.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Outcome {
    #[default]
    NotRun,
    Accepts,
    Rejects,
}

impl Found {
    pub(super) const NOTHING: Self = Self {
        criteria: [0; MAX_FOUND],
        count: 0,
        runs: [Run { criterion: 0, first: 0, last: 0, outcome: Outcome::NotRun }; MAX_RUNS],
        run_count: 0,
        is_full: false,
        runs_full: false,
    };

    /// The criteria that hold, as far as no automaton has to say so.
    #[inline]
    pub(super) fn criteria(&self) -> &[u32] {
        self.criteria.get(..self.count).unwrap_or(&[])
    }

    /// The criteria that hold, once every automaton has run.
    pub(super) fn holding(&self) -> impl Iterator<Item = u32> {
        let accepted = self.runs().iter().filter(|run| run.outcome == Outcome::Accepts);
        self.criteria().iter().copied().chain(accepted.map(|run| run.criterion))
    }

    pub(super) fn runs(&self) -> &[Run] {
        self.runs.get(..self.run_count).unwrap_or(&[])
    }

    /// The place of a criterion's run.
    pub(super) fn run_of(&self, criterion: u32) -> Option<usize> {
        self.runs().iter().position(|run| run.criterion == criterion)
    }

    pub(super) fn set_outcome(&mut self, place: usize, outcome: Outcome) {
        if let Some(run) = self.runs.get_mut(place) {
            run.outcome = outcome;
        }
    }

    /// Keeps a criterion that holds.
    pub(super) fn add(&mut self, criterion: u32) {
        if self.criteria().contains(&criterion) {
            return;
        }
        match self.criteria.get_mut(self.count) {
            Some(slot) => {
                *slot = criterion;
                self.count = self.count.wrapping_add(1);
            }
            None => self.is_full = true,
        }
    }

    /// Keeps that a regular expression's literal stands at a place behind all those before.
    pub(super) fn add_run(&mut self, criterion: u32, start: u16) {
        let known = self.run_of(criterion).and_then(|place| self.runs.get_mut(place));
        if let Some(run) = known {
            run.last = start;
            return;
        }
        match self.runs.get_mut(self.run_count) {
            Some(slot) => {
                *slot = Run { criterion, first: start, last: start, outcome: Outcome::NotRun };
                self.run_count = self.run_count.wrapping_add(1);
            }
            None => self.runs_full = true,
        }
    }
}
