//! What is kept of processes between their events, in a table of fixed size.
//!
//! A process is known by its start key, which Windows never gives twice between two boots: a process
//! identifier is reused, and would hand one process what was found out about another. The table is a
//! cache: whoever needs room takes that of the process in the same set that was not asked for the
//! longest, and what was lost is found out again.
//!
//! The same goes for access tokens, whose identifiers are not given twice either.

use core::mem::offset_of;

/// Processes that share a set.
pub const WAYS: usize = 4;

/// Room for what is kept of one process.
#[derive(Clone, Copy, Debug)]
pub struct Slot<V> {
    process: u64,
    asked: u32,
    value: Option<V>,
}

impl<V> Slot<V> {
    /// Room that is free.
    pub const FREE: Self = Self { process: 0, asked: 0, value: None };

    /// Where a debugger finds the number, which is 0 in a free slot, and what is kept, in bytes.
    pub const AT: [usize; 2] = {
        // Without a byte that says whether there is a value, the value begins where it lies.
        assert!(size_of::<Option<V>>() == size_of::<V>());
        [offset_of!(Self, process), offset_of!(Self, value)]
    };
}

/// The table, over slots that its owner allocated once: a multiple of [`WAYS`]; slots beyond the
/// last whole set are not used. It is for one thread at a time.
#[derive(Debug)]
pub struct Processes<S> {
    slots: S,
    clock: u32,
}

impl<S> Processes<S> {
    /// Where a debugger finds the slots, in bytes.
    pub const SLOTS_AT: usize = offset_of!(Self, slots);

    /// A table over `slots`.
    pub const fn new(slots: S) -> Self {
        Self { slots, clock: 0 }
    }

    /// What is kept of the process with that start key.
    #[inline]
    pub fn find<V>(&mut self, process: u64) -> Option<&V>
    where
        S: AsMut<[Slot<V>]>,
    {
        self.find_mut(process).map(|value| &*value)
    }

    /// The same, to be changed.
    #[inline]
    pub fn find_mut<V>(&mut self, process: u64) -> Option<&mut V>
    where
        S: AsMut<[Slot<V>]>,
    {
        self.clock = self.clock.wrapping_add(1);
        let clock = self.clock;
        let slot = self.set(process)?.iter_mut().find(|slot| slot.holds(process))?;
        slot.asked = clock;
        slot.value.as_mut()
    }

    /// Keeps something of a process, in place of what was kept of it before.
    pub fn keep<V>(&mut self, process: u64, value: V)
    where
        S: AsMut<[Slot<V>]>,
    {
        self.clock = self.clock.wrapping_add(1);
        let clock = self.clock;
        let Some(set) = self.set(process) else { return };
        // Its own first, then a free one, then the one that was not asked for the longest.
        let order = |slot: &&mut Slot<V>| {
            let rank: u8 = match &slot.value {
                _ if slot.holds(process) => 2,
                None => 1,
                Some(_) => 0,
            };
            (rank, clock.wrapping_sub(slot.asked))
        };
        if let Some(slot) = set.iter_mut().max_by_key(order) {
            *slot = Slot { process, asked: clock, value: Some(value) };
        }
    }

    /// Forgets a process, which has ended.
    pub fn forget<V>(&mut self, process: u64)
    where
        S: AsMut<[Slot<V>]>,
    {
        let set = self.set(process).into_iter().flatten();
        for slot in set.filter(|slot| slot.holds(process)) {
            *slot = Slot::FREE;
        }
    }

    /// Forgets all processes.
    pub fn clear<V>(&mut self)
    where
        S: AsMut<[Slot<V>]>,
    {
        self.slots.as_mut().iter_mut().for_each(|slot| *slot = Slot::FREE);
    }

    /// The slots in which a process may be.
    #[inline]
    fn set<V>(&mut self, process: u64) -> Option<&mut [Slot<V>]>
    where
        S: AsMut<[Slot<V>]>,
    {
        let (sets, _) = self.slots.as_mut().as_chunks_mut::<WAYS>();
        // Start keys rise by one: the product's upper half spreads them.
        let spread = process.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_shr(32);
        let count = u64::try_from(sets.len()).ok()?;
        let set = sets.get_mut(usize::try_from(spread.checked_rem(count)?).ok()?)?;
        Some(set.as_mut_slice())
    }
}

impl<V> Slot<V> {
    fn holds(&self, process: u64) -> bool {
        self.process == process && self.value.is_some()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeMap;
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn table(slots: usize) -> Processes<Vec<Slot<u64>>> {
        Processes::new(vec![Slot::FREE; slots])
    }

    #[test]
    fn keeps_replaces_and_forgets() {
        let mut table = table(8);
        assert_eq!(table.find(7), None);
        table.keep(7, 70);
        table.keep(8, 80);
        table.keep(7, 71);
        for (process, expected) in [(7, Some(&71)), (8, Some(&80)), (0, None)] {
            assert_eq!(table.find(process), expected);
        }
        table.forget(7);
        table.forget(9);
        assert_eq!(table.find(7), None);
        assert_eq!(table.find(8), Some(&80));
    }

    #[test]
    fn key_zero_is_a_process_like_any_other() {
        let mut table = table(4);
        assert_eq!(table.find(0), None);
        table.keep(0, 1);
        assert_eq!(table.find(0), Some(&1));
    }

    #[test]
    fn the_one_not_asked_for_the_longest_makes_room() {
        let mut table = table(WAYS);
        for process in 0..4 {
            table.keep(process, process);
        }
        for process in [0, 2, 3] {
            assert!(table.find(process).is_some());
        }
        table.keep(9, 9);
        assert_eq!(table.find(1), None);
        for process in [0, 2, 3, 9] {
            assert_eq!(table.find(process), Some(&process));
        }
    }

    #[test]
    fn a_table_without_a_whole_set_keeps_nothing() {
        for slots in 0..WAYS {
            let mut table = table(slots);
            table.keep(1, 1);
            assert_eq!(table.find(1), None);
        }
    }

    proptest! {
        /// Whatever happens, what is found is what was kept last and not forgotten since.
        #[test]
        fn never_says_what_was_not_kept(
            steps in proptest::collection::vec((0_u64..40, 0_u8..3), 0..300),
        ) {
            let mut table = table(16);
            let mut model = BTreeMap::new();
            for ((process, step), time) in steps.into_iter().zip(0_u64..) {
                match step {
                    0 => {
                        table.keep(process, time);
                        model.insert(process, time);
                        prop_assert_eq!(table.find(process), Some(&time));
                    }
                    1 => {
                        table.forget(process);
                        model.remove(&process);
                        prop_assert_eq!(table.find(process), None);
                    }
                    _ => {
                        if let Some(found) = table.find(process) {
                            prop_assert_eq!(Some(found), model.get(&process));
                        }
                    }
                }
            }
        }
    }
}
