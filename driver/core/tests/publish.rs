//! The hot swap in a model checker: every order of steps that a writer and readers can take.
//!
//! The slots here are what the kernel's rundown protection is thought to do: a word whose lowest
//! bit says that the slot is closed and whose rest counts readers. What is in a slot is two cells
//! that the checker watches: a reader beside a writer is found at once, and so is half a value.
#![cfg(feature = "loom")]

use std::sync::atomic::Ordering;

use driver_core::publish::{Busy, Slot, Swap, Word};
use loom::cell::Cell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::thread;

const CLOSED: usize = 1;
const READER: usize = 2;

struct ModelWord(AtomicUsize);

impl Word for ModelWord {
    fn load(&self, order: Ordering) -> usize {
        self.0.load(order)
    }

    fn store(&self, value: usize, order: Ordering) {
        self.0.store(value, order);
    }

    fn swap(&self, value: usize, order: Ordering) -> usize {
        self.0.swap(value, order)
    }
}

/// `EX_RUNDOWN_REF`: an interlocked operation is a full barrier on x64, of which the checker is
/// told only what the protocol needs. The wait is a spin that gives way, which it follows as well.
struct ModelSlot {
    rundown: AtomicUsize,
    /// Both halves of the value; (0, 0) is none.
    value: [Cell<u32>; 2],
    /// Frees, to be compared with what was published.
    freed: Arc<AtomicUsize>,
}

impl ModelSlot {
    fn new(freed: &Arc<AtomicUsize>) -> Self {
        Self {
            rundown: AtomicUsize::new(CLOSED),
            value: [Cell::new(0), Cell::new(0)],
            freed: freed.clone(),
        }
    }
}

impl Slot for ModelSlot {
    type Value = u32;
    type Seen = (u32, u32);

    fn enter(&self) -> bool {
        let enter = |word| (word & CLOSED == 0).then_some(word + READER);
        self.rundown.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).is_ok()
    }

    fn leave(&self) {
        let before = self.rundown.fetch_sub(READER, Ordering::AcqRel);
        assert!(before >= READER, "left more often than entered");
    }

    fn with<R>(&self, look: impl FnOnce(&(u32, u32)) -> R) -> Option<R> {
        let [first, second] = &self.value;
        let seen = (first.get(), second.get());
        (seen != (0, 0)).then(|| look(&seen))
    }

    fn run_down(&self) {
        self.rundown.fetch_or(CLOSED, Ordering::AcqRel);
        while self.rundown.load(Ordering::Acquire) != CLOSED {
            thread::yield_now();
        }
    }

    fn put(&self, value: u32) {
        for half in &self.value {
            assert_eq!(half.replace(value), 0, "the slot was not empty");
        }
    }

    fn open(&self) {
        assert_eq!(self.rundown.swap(0, Ordering::AcqRel), CLOSED, "opened while not run down");
    }

    fn clear(&self) {
        let [first, second] = &self.value;
        if (first.replace(0), second.replace(0)) != (0, 0) {
            self.freed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

type Model = Swap<ModelSlot, ModelWord>;

fn swap(freed: &Arc<AtomicUsize>) -> Model {
    let word = || ModelWord(AtomicUsize::new(0));
    Swap::new([ModelSlot::new(freed), ModelSlot::new(freed)], word(), word())
}

/// What a reader sees: nothing, or one value with both halves.
fn whole(swap: &Model) -> Option<u32> {
    swap.read(|(first, second)| {
        assert_eq!(first, second, "half of one value and half of another");
        *first
    })
}

#[test]
fn a_reader_sees_one_value_whole_and_never_an_older_one_later() {
    loom::model(|| {
        let freed = Arc::new(AtomicUsize::new(0));
        let shared = Arc::new(swap(&freed));
        assert!(shared.publish(1).is_ok());
        let reader = {
            let shared = shared.clone();
            thread::spawn(move || {
                let first = whole(&shared).expect("one is always published");
                let second = whole(&shared).expect("one is always published");
                assert!(first <= second, "{first}, then {second}");
            })
        };
        for value in [2, 3] {
            assert!(shared.publish(value).is_ok());
        }
        reader.join().unwrap();
        assert_eq!(whole(&shared), Some(3));
        assert_eq!(freed.load(Ordering::Relaxed), 2, "each old value is freed, once");
    });
}

#[test]
fn two_readers_keep_a_value_alive_between_them() {
    let mut model = loom::model::Builder::new();
    // Three threads in every order take hours; those with at most three forced switches, seconds.
    model.preemption_bound = Some(3);
    model.check(|| {
        let freed = Arc::new(AtomicUsize::new(0));
        let shared = Arc::new(swap(&freed));
        assert!(shared.publish(1).is_ok());
        let readers = [(), ()].map(|()| {
            let shared = shared.clone();
            thread::spawn(move || {
                assert!(whole(&shared).is_some_and(|value| value == 1 || value == 2));
            })
        });
        assert!(shared.publish(2).is_ok());
        for reader in readers {
            reader.join().unwrap();
        }
        assert_eq!(freed.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn before_the_first_value_a_reader_goes_without() {
    loom::model(|| {
        let freed = Arc::new(AtomicUsize::new(0));
        let shared = Arc::new(swap(&freed));
        assert_eq!(whole(&shared), None);
        let reader = {
            let shared = shared.clone();
            thread::spawn(move || assert!(whole(&shared).is_none_or(|value| value == 1)))
        };
        assert!(shared.publish(1).is_ok());
        reader.join().unwrap();
        assert_eq!(freed.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn what_is_withdrawn_stays_for_who_reads_it_and_is_gone_for_who_comes() {
    loom::model(|| {
        let freed = Arc::new(AtomicUsize::new(0));
        let shared = Arc::new(swap(&freed));
        assert!(shared.publish(1).is_ok());
        let reader = {
            let shared = shared.clone();
            thread::spawn(move || {
                let first = whole(&shared);
                let second = whole(&shared);
                assert!(first.is_some() || second.is_none(), "gone, and there again");
            })
        };
        assert_eq!(shared.withdraw(), Ok(()));
        reader.join().unwrap();
        assert_eq!((whole(&shared), freed.load(Ordering::Relaxed)), (None, 1));
        assert!(shared.publish(2).is_ok());
        assert_eq!(whole(&shared), Some(2));
    });
}

#[test]
fn of_two_writers_at_once_one_is_sent_away_or_they_take_turns() {
    loom::model(|| {
        let freed = Arc::new(AtomicUsize::new(0));
        let shared = Arc::new(swap(&freed));
        let other = {
            let shared = shared.clone();
            thread::spawn(move || shared.publish(1))
        };
        let mine = shared.publish(2);
        let other = other.join().unwrap();
        let published = usize::from(mine.is_ok()) + usize::from(other.is_ok());
        assert!(published >= 1);
        assert!(matches!(mine, Ok(()) | Err(Busy(2))) && matches!(other, Ok(()) | Err(Busy(1))));
        assert!(whole(&shared).is_some());
        assert_eq!(freed.load(Ordering::Relaxed), published - 1);
    });
}

/// The checker can turn red: a writer that does not wait for the readers of the old value frees it
/// under them.
#[test]
#[should_panic]
fn a_writer_that_does_not_wait_is_found() {
    struct Hasty(ModelSlot);

    impl Slot for Hasty {
        type Value = u32;
        type Seen = (u32, u32);

        fn enter(&self) -> bool {
            self.0.enter()
        }
        fn leave(&self) {
            self.0.rundown.fetch_sub(READER, Ordering::AcqRel);
        }
        fn with<R>(&self, look: impl FnOnce(&(u32, u32)) -> R) -> Option<R> {
            self.0.with(look)
        }
        fn run_down(&self) {
            self.0.rundown.fetch_or(CLOSED, Ordering::AcqRel);
        }
        fn put(&self, value: u32) {
            self.0.put(value);
        }
        fn open(&self) {
            self.0.rundown.store(0, Ordering::Release);
        }
        fn clear(&self) {
            self.0.clear();
        }
    }

    loom::model(|| {
        let freed = Arc::new(AtomicUsize::new(0));
        let word = || ModelWord(AtomicUsize::new(0));
        let slots = [Hasty(ModelSlot::new(&freed)), Hasty(ModelSlot::new(&freed))];
        let shared = Arc::new(Swap::new(slots, word(), word()));
        assert!(shared.publish(1).is_ok());
        let reader = {
            let shared = shared.clone();
            thread::spawn(move || shared.read(|(first, second)| assert_eq!(first, second)))
        };
        assert!(shared.publish(2).is_ok());
        reader.join().unwrap();
    });
}
