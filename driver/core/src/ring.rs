//! A bounded queue that drops the newest when it is full, and counts what it dropped.

use core::mem::offset_of;

/// A queue over slots that the caller allocated once. The slots are written and read in place, so
/// that a large element never crosses the stack.
#[derive(Debug)]
pub struct Ring<S> {
    slots: S,
    head: usize,
    len: usize,
    dropped: u64,
}

impl<S> Ring<S> {
    /// Where a debugger finds slots, head, length and what was dropped, in bytes.
    pub const AT: [usize; 4] = [
        offset_of!(Self, slots),
        offset_of!(Self, head),
        offset_of!(Self, len),
        offset_of!(Self, dropped),
    ];

    /// An empty ring over `slots`.
    pub const fn new(slots: S) -> Self {
        Self { slots, head: 0, len: 0, dropped: 0 }
    }

    /// Writes the next element in place. When the ring is full `write` is not called, the loss is
    /// counted and false returned.
    pub fn push<T>(&mut self, write: impl FnOnce(&mut T)) -> bool
    where
        S: AsMut<[T]>,
    {
        let slots = self.slots.as_mut();
        if self.len < slots.len() {
            let at = wrapped(self.head, self.len, slots.len());
            if let Some(slot) = slots.get_mut(at) {
                write(slot);
                self.len = self.len.saturating_add(1);
                return true;
            }
        }
        self.dropped = self.dropped.saturating_add(1);
        false
    }

    /// Reads the oldest element and leaves it; `None` when the ring is empty.
    pub fn front<T, R>(&self, read: impl FnOnce(&T) -> R) -> Option<R>
    where
        S: AsRef<[T]>,
    {
        if self.len == 0 {
            return None;
        }
        self.slots.as_ref().get(self.head).map(read)
    }

    /// Reads and removes the oldest element; `None` when the ring is empty.
    pub fn pop<T, R>(&mut self, read: impl FnOnce(&mut T) -> R) -> Option<R>
    where
        S: AsMut<[T]>,
    {
        if self.len == 0 {
            return None;
        }
        let slots = self.slots.as_mut();
        let result = slots.get_mut(self.head).map(read);
        self.head = wrapped(self.head, 1, slots.len());
        self.len = self.len.saturating_sub(1);
        result
    }

    /// Elements waiting.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True when nothing waits.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Elements that found no room.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Forgets what waits.
    pub const fn clear(&mut self) {
        self.len = 0;
    }
}

/// `at + by` modulo `len`, for `at < len` and `by <= len`.
const fn wrapped(at: usize, by: usize, len: usize) -> usize {
    let sum = at.wrapping_add(by);
    if sum >= len { sum.wrapping_sub(len) } else { sum }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::VecDeque;
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_bounded_queue(
            room in 0_usize..5,
            steps in prop::collection::vec(any::<bool>(), 0..64),
        ) {
            let mut ring = Ring::new(vec![0_u32; room]);
            let mut model = VecDeque::new();
            let mut dropped = 0_u64;
            for (number, push) in (0..).zip(steps) {
                if push {
                    let kept = ring.push(|slot: &mut u32| *slot = number);
                    prop_assert_eq!(kept, model.len() < room);
                    if kept { model.push_back(number) } else { dropped = dropped.wrapping_add(1) }
                } else {
                    prop_assert_eq!(ring.front(|slot: &u32| *slot), model.front().copied());
                    prop_assert_eq!(ring.pop(|slot: &mut u32| *slot), model.pop_front());
                }
                prop_assert_eq!(ring.len(), model.len());
                prop_assert_eq!(ring.is_empty(), model.is_empty());
                prop_assert_eq!(ring.dropped(), dropped);
            }
        }
    }

    #[test]
    fn clear_forgets_what_waits() {
        let mut ring = Ring::new(Vec::from([0_u8; 2]));
        assert!(ring.push(|slot: &mut u8| *slot = 1));
        ring.clear();
        assert_eq!(ring.pop(|slot: &mut u8| *slot), None);
    }
}
