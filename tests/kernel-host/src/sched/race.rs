//! What a test lets happen at once, and the seeds it does that with.

use std::fmt::Display;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::Played;
use crate::bug::{Bug, BugKind};
use crate::kernel::Kernel;

type Actor<'a> = Box<dyn FnOnce() -> Result<(), Box<Bug>> + Send + 'a>;

/// Threads of a test that run at once: in a kernel with a seed in the order that the seed picks,
/// else as the machine has it.
pub struct Race<'a> {
    kernel: &'a Kernel,
    actors: Vec<(&'static str, Actor<'a>)>,
}

impl Kernel {
    /// Lets threads run at once; they begin with [`Race::run`].
    pub fn race(&self) -> Race<'_> {
        Race { kernel: self, actors: Vec::new() }
    }

    /// How a kernel with a seed has played so far; `None` in one without.
    pub fn played(&self) -> Option<Played> {
        Some(self.sched().schedule()?.played())
    }
}

impl<'a> Race<'a> {
    /// And this on a thread of its own. In a kernel with a seed it may wait for others only in calls
    /// of the kernel: they do not run while it waits elsewhere.
    #[must_use]
    pub fn with(
        mut self,
        name: &'static str,
        run: impl FnOnce() -> Result<(), Box<Bug>> + Send + 'a,
    ) -> Race<'a> {
        self.actors.push((name, Box::new(run)));
        self
    }

    /// Runs them all to their end. The first bug is the error; a panic goes on here.
    pub fn run(self) -> Result<(), Box<Bug>> {
        let Race { kernel, actors } = self;
        let schedule = kernel.sched().schedule();
        let left = AtomicUsize::new(actors.len());
        let end = |place: Option<usize>| {
            left.fetch_sub(1, Ordering::AcqRel);
            if let (Some(schedule), Some(place)) = (schedule, place) {
                schedule.leave(kernel, place);
            }
        };
        let ended: Vec<_> = thread::scope(|scope| {
            let mut threads = Vec::new();
            // All have their places before the first runs.
            let places: Vec<_> =
                actors.iter().map(|(name, _)| schedule.map(|s| s.enroll(name))).collect();
            for ((name, run), place) in actors.into_iter().zip(places) {
                let body = move || {
                    if let (Some(schedule), Some(place)) = (schedule, place) {
                        schedule.come(place);
                    }
                    let ended = catch_unwind(AssertUnwindSafe(run));
                    end(place);
                    ended
                };
                let thread = thread::Builder::new().name(name.to_owned());
                threads.push(thread.spawn_scoped(scope, body).expect("a thread can be made"));
            }
            if let Some(schedule) = schedule {
                while left.load(Ordering::Acquire) > 0 && !kernel.is_stopping() {
                    schedule.wait(kernel, None, None);
                    if schedule.is_endless() {
                        kernel.crash(&kernel.with_schedule(Box::new(Bug::bare(BugKind::Hang))));
                    }
                }
            }
            threads.into_iter().map(|thread| thread.join().and_then(|ended| ended)).collect()
        });
        let mut first = Ok(());
        for end in ended {
            first = first.and(end.unwrap_or_else(|panic| resume_unwind(panic)));
        }
        // What the others ended with follows from the bug that stopped the kernel.
        kernel.check().and(first)
    }
}

/// The seeds that a test runs a scenario with: from 0 on, or what the environment says.
/// `SAKER_SEEDS` is another number of them, `SAKER_SEED` the only one: what a failure prints.
#[derive(Clone, Debug)]
pub struct Seeds(Range<u64>);

impl Seeds {
    /// So many, unless the environment says otherwise.
    pub fn new(count: u64) -> Seeds {
        Seeds::within(0..variable("SAKER_SEEDS").unwrap_or(count))
    }

    /// These, or the one that the environment names.
    pub fn within(range: Range<u64>) -> Seeds {
        Seeds(variable("SAKER_SEED").map_or(range, |only| only..only + 1))
    }

    /// Runs a scenario with each, on all processors.
    ///
    /// # Panics
    /// When it fails or panics with one: the message says with which.
    pub fn each<E: Display>(&self, scenario: impl Fn(u64) -> Result<(), E> + Sync) {
        let next = AtomicU64::new(self.0.start);
        let failed = AtomicBool::new(false);
        let failure = Mutex::new(None::<(u64, String)>);
        let work = || {
            while !failed.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= self.0.end {
                    return;
                }
                let why = match catch_unwind(AssertUnwindSafe(|| scenario(seed))) {
                    Ok(Ok(())) => continue,
                    Ok(Err(why)) => why.to_string(),
                    Err(_) => "it panicked, see above".to_owned(),
                };
                failed.store(true, Ordering::Relaxed);
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((seed, why));
            }
        };
        let workers = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(work);
            }
        });
        if let Some((seed, why)) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            panic!("with seed {seed}: {why}\nthe same again: SAKER_SEED={seed}");
        }
    }

    /// The first with which a scenario comes to something, and what that is.
    pub fn find<T>(&self, scenario: impl Fn(u64) -> Option<T>) -> Option<(u64, T)> {
        self.0.clone().find_map(|seed| Some((seed, scenario(seed)?)))
    }
}

/// A number from the environment.
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, expected a number")))
}
