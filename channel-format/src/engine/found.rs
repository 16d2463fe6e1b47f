//! What scans found in the texts of one event, in room of fixed size.
//!
//! What there is no room for is not lost: it is compared by itself when a program asks for it. So
//! the room decides what an event costs, and never how a rule comes out.

use crate::limits::{MAX_FOUND, MAX_RUNS};

/// What was found.
pub(super) struct Found {
    /// Searched criteria that hold.
    criteria: [u32; MAX_FOUND],
    /// Regular expressions whose literal was found.
    runs: [Run; MAX_RUNS],
    count: usize,
    run_count: usize,
    /// There was no room for a criterion, or a table could not be read: what is not here may hold.
    pub(super) is_full: bool,
    /// There was no room for a regular expression's literal: one that is not here may accept.
    pub(super) runs_full: bool,
}

/// A regular expression whose literal was found.
#[derive(Clone, Copy)]
pub(super) struct Run {
    criterion: [u8; 3],
    pub(super) outcome: Outcome,
    /// First and last place of the literal.
    pub(super) first: u16,
    pub(super) last: u16,
}

/// What the automaton of a run says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    NotRun,
    Accepts,
    Rejects,
}

impl Run {
    const NONE: Self = Self { criterion: [0; 3], outcome: Outcome::NotRun, first: 0, last: 0 };

    /// The criterion's index.
    #[inline]
    pub(super) const fn criterion(&self) -> u32 {
        let [a, b, c] = self.criterion;
        u32::from_le_bytes([a, b, c, 0])
    }
}

impl Found {
    pub(super) const NOTHING: Self = Self {
        criteria: [0; MAX_FOUND],
        runs: [Run::NONE; MAX_RUNS],
        count: 0,
        run_count: 0,
        is_full: false,
        runs_full: false,
    };

    /// The criteria that hold, as far as no automaton has to say so.
    #[inline]
    pub(super) fn criteria(&self) -> &[u32] {
        self.criteria.get(..self.count).unwrap_or(&[])
    }

    pub(super) fn runs(&self) -> &[Run] {
        self.runs.get(..self.run_count).unwrap_or(&[])
    }

    /// The place of a criterion's run.
    pub(super) fn run_of(&self, criterion: u32) -> Option<usize> {
        self.runs().iter().position(|run| run.criterion() == criterion)
    }

    pub(super) fn set_outcome(&mut self, place: usize, outcome: Outcome) {
        if let Some(run) = self.runs.get_mut(place) {
            run.outcome = outcome;
        }
    }

    /// Keeps a criterion that holds; false if it was here before.
    pub(super) fn add(&mut self, criterion: u32) -> bool {
        if self.criteria().contains(&criterion) {
            return false;
        }
        match self.criteria.get_mut(self.count) {
            Some(slot) => {
                *slot = criterion;
                self.count = self.count.wrapping_add(1);
            }
            None => self.is_full = true,
        }
        true
    }

    /// Keeps that a regular expression's literal stands at a place behind all those before; false if
    /// there is no room.
    pub(super) fn add_run(&mut self, criterion: u32, start: u16) -> bool {
        let known = self.run_of(criterion).and_then(|place| self.runs.get_mut(place));
        if let Some(run) = known {
            run.last = start;
            return true;
        }
        let [a, b, c, _] = criterion.to_le_bytes();
        match self.runs.get_mut(self.run_count) {
            Some(slot) => {
                *slot = Run { criterion: [a, b, c], first: start, last: start, ..Run::NONE };
                self.run_count = self.run_count.wrapping_add(1);
                true
            }
            None => {
                self.runs_full = true;
                false
            }
        }
    }
}
