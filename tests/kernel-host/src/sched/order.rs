//! The order in which locks are taken: two threads that take two locks in two orders may wait for
//! each other one day, even if they have not today.
//!
//! As Driver Verifier's deadlock detection: spin locks and mutexes, not resources and push locks.
//! [DOC: devtest/deadlock-detection]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cpu::Site;

/// For each lock those that were taken while it was held, and where.
#[derive(Debug, Default)]
pub(crate) struct Orders(Mutex<BTreeMap<u64, BTreeMap<u64, Site>>>);

impl Orders {
    fn later(&self) -> MutexGuard<'_, BTreeMap<u64, BTreeMap<u64, Site>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that `new` is taken while `held` is held. When somebody came from `new` to `held`
    /// before, it gives the place of his first step.
    pub(crate) fn note(&self, held: u64, new: u64, site: impl FnOnce() -> Site) -> Option<Site> {
        let mut later = self.later();
        if let Some(first) = first_step(&later, new, held) {
            return Some(first);
        }
        later.entry(held).or_default().entry(new).or_insert_with(site);
        None
    }

    /// The memory is gone, and the locks in it.
    pub(crate) fn forget(&self, memory: &std::ops::Range<u64>) {
        let mut later = self.later();
        if !later.is_empty() {
            later.retain(|lock, _| !memory.contains(lock));
            later.values_mut().for_each(|next| next.retain(|lock, _| !memory.contains(lock)));
        }
    }
}

/// The place of the first step on a way from one lock to another.
fn first_step(later: &BTreeMap<u64, BTreeMap<u64, Site>>, from: u64, to: u64) -> Option<Site> {
    let steps = later.get(&from)?;
    steps.iter().find(|(next, _)| leads(later, **next, to)).map(|(_, site)| site.clone())
}

fn leads(later: &BTreeMap<u64, BTreeMap<u64, Site>>, from: u64, to: u64) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(lock) = open.pop() {
        if lock == to {
            return true;
        }
        if seen.insert(lock) {
            open.extend(later.get(&lock).into_iter().flatten().map(|(next, _)| *next));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_found_and_a_line_is_not() {
        let orders = Orders::default();
        let site = |place: u64| move || Site::from([place]);
        assert_eq!(orders.note(1, 2, site(10)), None);
        assert_eq!(orders.note(2, 3, site(11)), None);
        assert_eq!(orders.note(1, 3, site(12)), None);
        assert_eq!(orders.note(3, 1, site(13)).unwrap()[0], 10);
        assert_eq!(orders.note(2, 1, site(14)).unwrap()[0], 10);
        orders.forget(&(2..3));
        assert_eq!(orders.note(2, 1, site(15)), None);
    }
}
