//! Fault injection: makes fallible API calls fail.
//!
//! Every entry of the API tables says whether it can fail and how. The calls of all fallible APIs
//! are counted; a plan picks which of them fail.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::cpu::Site;
use crate::kernel::Kernel;
use crate::symbols::Frame;

#[derive(Clone, Debug)]
enum Plan {
    /// Only these calls.
    Calls(Vec<u64>),
    /// The k-th call and all after it.
    From(u64),
    /// The n-th call of one API.
    Api { name: String, left: u64 },
}

/// A call that was made to fail.
#[derive(Clone, Debug)]
pub struct Hit {
    /// Which API.
    pub api: &'static str,
    /// Its number among all fallible calls, from 1.
    pub number: u64,
    site: Site,
}

impl Hit {
    /// Where the driver made the call, innermost first.
    pub fn frames(&self, kernel: &Kernel) -> Vec<Frame> {
        kernel.frames(&self.site, false)
    }
}

/// The fault injection of one kernel.
#[derive(Default)]
pub struct Injector {
    count: AtomicU64,
    armed: AtomicBool,
    plan: Mutex<Option<Plan>>,
    hits: Mutex<Vec<Hit>>,
    meanwhile: Mutex<Option<(&'static str, Meanwhile)>>,
    afterwards: Mutex<Option<(&'static str, Meanwhile)>>,
}

/// Something else that happens in the machine.
type Meanwhile = Box<dyn FnOnce() + Send>;

impl Injector {
    /// Fails the `k`-th fallible call from the kernel's start, counted from 1.
    pub fn fail_call(&self, k: u64) {
        self.fail_calls(&[k]);
    }

    /// Fails these calls, each counted as in [`Injector::fail_call`].
    pub fn fail_calls(&self, calls: &[u64]) {
        self.set(Some(Plan::Calls(calls.to_vec())));
    }

    /// Fails every fallible call from the `k`-th on: low memory that stays.
    pub fn fail_from(&self, k: u64) {
        self.set(Some(Plan::From(k)));
    }

    /// Fails the `n`-th coming call of one API, counted from 1.
    pub fn fail_api(&self, name: &str, n: u64) {
        self.set(Some(Plan::Api { name: name.to_owned(), left: n }));
    }

    /// Lets something else happen while the driver waits in the next call of a fallible API: what
    /// another thread could do then.
    pub fn meanwhile(&self, api: &'static str, happens: impl FnOnce() + Send + 'static) {
        *self.happening() = Some((api, Box::new(happens)));
        self.armed.store(true, Ordering::Relaxed);
    }

    /// Lets something else happen when the next call of an API is done, before the driver goes on.
    pub fn afterwards(&self, api: &'static str, happens: impl FnOnce() + Send + 'static) {
        *self.following() = Some((api, Box::new(happens)));
        self.armed.store(true, Ordering::Relaxed);
    }

    /// Fails nothing any more.
    pub fn clear(&self) {
        self.set(None);
    }

    /// How many fallible calls were made so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The calls that were made to fail.
    pub fn hits(&self) -> Vec<Hit> {
        self.hits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn happening(&self) -> std::sync::MutexGuard<'_, Option<(&'static str, Meanwhile)>> {
        self.meanwhile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn following(&self) -> std::sync::MutexGuard<'_, Option<(&'static str, Meanwhile)>> {
        self.afterwards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call of an API is done.
    pub(crate) fn done(&self, api: &'static str) {
        if !self.armed.load(Ordering::Relaxed) {
            return;
        }
        let happens = self.following().take_if(|(name, _)| *name == api);
        if let Some((_, happens)) = happens {
            happens();
        }
    }

    fn set(&self, plan: Option<Plan>) {
        self.armed.store(plan.is_some(), Ordering::Release);
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
    }

    /// Counts a fallible call and says whether it shall fail.
    pub(crate) fn should_fail(&self, api: &'static str, site: impl FnOnce() -> Site) -> bool {
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        if !self.armed.load(Ordering::Relaxed) {
            return false;
        }
        let happens = self.happening().take_if(|(name, _)| *name == api);
        if let Some((_, happens)) = happens {
            happens();
        }
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let fails = match &mut *plan {
            Some(Plan::Calls(calls)) => calls.contains(&number),
            Some(Plan::From(k)) => number >= *k,
            Some(Plan::Api { name, left }) if name == api => {
                *left = left.wrapping_sub(1);
                *left == 0
            }
            _ => false,
        };
        drop(plan);
        if fails {
            let mut hits = self.hits.lock().unwrap_or_else(PoisonError::into_inner);
            hits.push(Hit { api, number, site: site() });
        }
        fails
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_afterwards_comes_once_and_after_that_api_alone() {
        let injector = Injector::default();
        let count = std::sync::Arc::new(AtomicU64::new(0));
        let counted = std::sync::Arc::clone(&count);
        injector.afterwards("B", move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        injector.done("A");
        assert_eq!(count.load(Ordering::Relaxed), 0);
        injector.done("B");
        injector.done("B");
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    fn call(injector: &Injector, api: &'static str) -> bool {
        injector.should_fail(api, || Site::from([0]))
    }

    #[test]
    fn plans_pick_what_they_say() {
        let injector = Injector::default();
        assert!(!call(&injector, "A"));
        injector.fail_call(3);
        assert_eq!(
            [call(&injector, "A"), call(&injector, "B"), call(&injector, "A")],
            [false, true, false]
        );
        injector.fail_from(6);
        assert_eq!(
            [call(&injector, "A"), call(&injector, "B"), call(&injector, "A")],
            [false, true, true]
        );
        injector.fail_api("B", 2);
        assert_eq!(
            [
                call(&injector, "B"),
                call(&injector, "A"),
                call(&injector, "B"),
                call(&injector, "B")
            ],
            [false, false, true, false]
        );
        injector.fail_calls(&[12, 14]);
        assert_eq!(
            [call(&injector, "A"), call(&injector, "A"), call(&injector, "B")],
            [true, false, true]
        );
        injector.clear();
        assert!(!call(&injector, "A"));
        assert_eq!(injector.count(), 15);
        assert_eq!(injector.hits().len(), 6);
    }
}
