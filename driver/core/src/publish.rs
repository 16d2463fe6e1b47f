//! How one value is swapped for another under readers that never wait.
//!
//! There are two slots, and a generation whose parity names the current one. A reader enters the
//! current slot and uses what is there; the writer fills the other slot, moves the generation on,
//! and waits until the last reader of the old slot has left before it frees the old value. A
//! reader that meets a slot being run down finds that the generation has moved, and tries again;
//! the number of tries is bounded.
//!
//! Only the order of steps is here. What a slot is made of is the driver's: memory of the kernel's
//! pool behind its rundown protection. A model checker puts slots and words of its own in their
//! place and runs this very code through every order of steps that threads can take
//! (`cargo test -p driver-core --features loom --test publish`).

use core::mem::offset_of;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Swaps a reader may meet in one read before it gives up and goes without.
pub const READ_TRIES: u32 = 8;

/// A place for one value, with a door that readers come in by.
pub trait Slot {
    /// What is put into it.
    type Value;
    /// What a reader sees.
    type Seen;

    /// Lets a reader in; false when the slot is run down or being so. Must see at least what the
    /// writer did before it ran the slot down.
    fn enter(&self) -> bool;
    /// Lets a reader out. Called once for each time `enter` was true.
    fn leave(&self);
    /// What is in the slot. Only between `enter` and `leave`.
    fn with<R>(&self, look: impl FnOnce(&Self::Seen) -> R) -> Option<R>;
    /// Waits until the last reader has left; from then on nobody can enter.
    fn run_down(&self);
    /// Puts a value into a slot that is run down.
    fn put(&self, value: Self::Value);
    /// Lets readers into a slot that is run down.
    fn open(&self);
    /// Frees what is in a slot that is run down.
    fn clear(&self);
}

/// An atomic word.
pub trait Word {
    /// Reads it.
    fn load(&self, order: Ordering) -> usize;
    /// Writes it.
    fn store(&self, value: usize, order: Ordering);
    /// Writes it and returns what was there before.
    fn swap(&self, value: usize, order: Ordering) -> usize;
}

impl Word for AtomicUsize {
    #[inline]
    fn load(&self, order: Ordering) -> usize {
        Self::load(self, order)
    }

    fn store(&self, value: usize, order: Ordering) {
        Self::store(self, value, order);
    }

    fn swap(&self, value: usize, order: Ordering) -> usize {
        Self::swap(self, value, order)
    }
}

/// Another thread is publishing; what was to be published is handed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy<V>(pub V);

/// See the module's description.
#[derive(Debug)]
pub struct Swap<S, W> {
    slots: [S; 2],
    generation: W,
    writing: W,
}

impl<S, W> Swap<S, W> {
    /// Where a debugger finds the two slots and the generation, in bytes.
    pub const AT: [usize; 3] = {
        let [slots, generation] = [offset_of!(Self, slots), offset_of!(Self, generation)];
        [slots, slots.saturating_add(size_of::<S>()), generation]
    };
}

impl<S: Slot, W: Word> Swap<S, W> {
    /// Nothing published yet, over two slots that are empty and run down and two words that are 0.
    pub const fn new(slots: [S; 2], generation: W, writing: W) -> Self {
        Self { slots, generation, writing }
    }

    /// Runs `look` on the current value, which stays alive and unchanged meanwhile. `None` when
    /// nothing is published. Never waits; `look` should not either, and must not publish here.
    #[inline]
    pub fn read<R>(&self, look: impl FnOnce(&S::Seen) -> R) -> Option<R> {
        for _ in 0..READ_TRIES {
            let generation = self.generation.load(Ordering::Acquire);
            let slot = self.slot(generation);
            let entered = slot.enter();
            // A slot that was entered late may already hold what comes next. It is not used before
            // everybody can: else a thread could see new content and then the old once more.
            if self.generation.load(Ordering::Acquire) == generation {
                if !entered {
                    return None;
                }
                let result = slot.with(look);
                slot.leave();
                return result;
            }
            if entered {
                slot.leave();
            }
        }
        None
    }

    /// Publishes `value` and frees the one before, when its last reader has left.
    ///
    /// # Errors
    /// [`Busy`] while another thread is publishing; then the old value stays.
    pub fn publish(&self, value: S::Value) -> Result<(), Busy<S::Value>> {
        if self.writing.swap(1, Ordering::Acquire) != 0 {
            return Err(Busy(value));
        }
        self.turn(|new| {
            new.put(value);
            new.open();
        });
        Ok(())
    }

    /// Takes what is published back and frees it, when its last reader has left.
    ///
    /// # Errors
    /// [`Busy`] while another thread is publishing; then the value stays.
    pub fn withdraw(&self) -> Result<(), Busy<()>> {
        if self.writing.swap(1, Ordering::Acquire) != 0 {
            return Err(Busy(()));
        }
        // The slot stays run down: who comes finds that nothing is there.
        self.turn(|_| ());
        Ok(())
    }

    /// Only for who has `writing`, which is given back.
    fn turn(&self, fill: impl FnOnce(&S)) {
        let generation = self.generation.load(Ordering::Relaxed);
        let next = generation.wrapping_add(1);
        let (old, new) = (self.slot(generation), self.slot(next));
        fill(new);
        self.generation.store(next, Ordering::Release);
        old.run_down();
        old.clear();
        self.writing.store(0, Ordering::Release);
    }

    /// The slots, for whoever takes the whole apart.
    pub const fn slots(&self) -> &[S; 2] {
        &self.slots
    }

    const fn slot(&self, generation: usize) -> &S {
        let [even, odd] = &self.slots;
        if generation & 1 == 0 { even } else { odd }
    }
}
