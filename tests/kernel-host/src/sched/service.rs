//! What the system does for drivers on threads of its own: timers and deferred procedure calls at
//! DISPATCH_LEVEL, work items at PASSIVE_LEVEL. One thread for each of the two, made when there is
//! something to do and gone when there is not.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Deadline, thread};
use crate::cpu::{DISPATCH, PASSIVE, Surroundings, Trap};
use crate::guest;
use crate::kernel::Kernel;
use crate::ledger::Debt;

const SIGNAL_STATE: u64 = 4;

/// A routine that is to be called, and what it was queued as.
#[derive(Clone, Debug)]
pub(crate) struct Deferred {
    pub object: u64,
    pub routine: u64,
    pub arguments: [u64; 4],
    /// Counts it until it has returned.
    pub in_flight: Option<Arc<AtomicU32>>,
}

impl Deferred {
    fn end(&self) {
        if let Some(count) = &self.in_flight {
            count.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// A timer that runs.
#[derive(Clone, Copy, Debug)]
struct Timer {
    address: u64,
    /// Interrupt time.
    due: i64,
    /// In 100 ns; 0: once.
    period: i64,
    dpc: u64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Deferred>,
    running: Option<Deferred>,
    /// Its thread has been made and has not left.
    served: bool,
}

#[derive(Debug, Default)]
struct State {
    timers: Vec<Timer>,
    /// Counts what the thread of the timers must look at.
    news: u64,
    dpcs: Queue,
    work: Queue,
}

/// Which thread calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Dpc,
    Work,
}

/// The services of a kernel.
#[derive(Debug, Default)]
pub(crate) struct Services(Mutex<State>);

impl State {
    fn queue(&mut self, service: Service) -> &mut Queue {
        match service {
            Service::Dpc => &mut self.dpcs,
            Service::Work => &mut self.work,
        }
    }
}

impl Services {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a routine. False when its object is queued already.
    pub(crate) fn queue(&self, kernel: &Kernel, service: Service, what: Deferred) -> bool {
        let mut state = self.state();
        let queue = state.queue(service);
        if queue.waiting.iter().any(|other| other.object == what.object) {
            return false;
        }
        if let Some(count) = &what.in_flight {
            count.fetch_add(1, Ordering::AcqRel);
        }
        queue.waiting.push_back(what);
        state.news += 1;
        drop(state);
        self.serve(kernel, service);
        true
    }

    /// Takes a routine back. False when it is not waiting.
    pub(crate) fn remove(&self, service: Service, object: u64) -> bool {
        let mut state = self.state();
        let waiting = &mut state.queue(service).waiting;
        let before = waiting.len();
        waiting.retain(|other| other.object != object);
        waiting.len() != before
    }

    /// Whether nothing waits and nothing runs.
    pub(crate) fn is_idle(&self, service: Service) -> bool {
        let mut state = self.state();
        let queue = state.queue(service);
        queue.running.is_none() && queue.waiting.is_empty()
    }

    /// Sets a timer; whether it ran before.
    pub(crate) fn set_timer(
        &self,
        kernel: &Kernel,
        address: u64,
        due: i64,
        period: i64,
        dpc: u64,
    ) -> bool {
        let mut state = self.state();
        let before = state.timers.len();
        state.timers.retain(|timer| timer.address != address);
        let ran = state.timers.len() != before;
        state.timers.push(Timer { address, due, period, dpc });
        state.news += 1;
        drop(state);
        self.serve(kernel, Service::Dpc);
        ran
    }

    /// Stops a timer; whether it ran.
    pub(crate) fn cancel_timer(&self, address: u64) -> bool {
        let mut state = self.state();
        let before = state.timers.len();
        state.timers.retain(|timer| timer.address != address);
        state.timers.len() != before
    }

    /// What of a driver's image would still be called; it is forgotten.
    pub(crate) fn forget(&self, image: &std::ops::Range<u64>) -> Vec<&'static str> {
        let mut state = self.state();
        let mut left = Vec::new();
        for (service, what) in
            [(Service::Dpc, "deferred procedure call"), (Service::Work, "work item")]
        {
            let queue = state.queue(service);
            let own = |deferred: &Deferred| image.contains(&deferred.routine);
            left.extend(
                queue.running.iter().chain(&queue.waiting).filter(|d| own(d)).map(|_| what),
            );
            queue.waiting.retain(|deferred| !own(deferred));
        }
        // The ledger knows those.
        let calls = |address| dpc(address).is_ok_and(|call| image.contains(&call.routine));
        state.timers.retain(|timer| !image.contains(&timer.address) && !calls(timer.dpc));
        left
    }

    /// Sees to it that the thread is there.
    fn serve(&self, kernel: &Kernel, service: Service) {
        let queue_served = std::mem::replace(&mut self.state().queue(service).served, true);
        if !queue_served {
            let (name, main): (_, fn(&Kernel)) = match service {
                Service::Dpc => ("processor", |kernel| serve(kernel, Service::Dpc)),
                Service::Work => ("system worker", |kernel| serve(kernel, Service::Work)),
            };
            thread::create_service_thread(kernel, name, main);
        }
        kernel.sched().wake();
    }
}

fn serve(kernel: &Kernel, service: Service) {
    let irql = if service == Service::Dpc { DISPATCH } else { PASSIVE };
    while let Some(next) = next(kernel, service) {
        let surroundings = Surroundings { irql, stack_used: 0 };
        let called = kernel.surrounded(surroundings, || {
            kernel.as_system(|| kernel.call(next.routine, &next.arguments))
        });
        kernel.sched().change(|| {
            kernel.services().state().queue(service).running = None;
            next.end();
        });
        if called.is_err() {
            return;
        }
    }
}

/// The next routine, once there is one; `None` when there will be none.
fn next(kernel: &Kernel, service: Service) -> Option<Deferred> {
    loop {
        let mut state = kernel.services().state();
        if service == Service::Dpc {
            expire_timers(kernel, &mut state);
        }
        let due = state.timers.iter().map(|timer| timer.due).min();
        let due = due.filter(|_| service == Service::Dpc);
        let queue = state.queue(service);
        if let Some(next) = queue.waiting.pop_front() {
            queue.running = Some(next.clone());
            return Some(next);
        }
        let Some(due) = due.filter(|_| !kernel.is_stopping()) else {
            queue.served = false;
            return None;
        };
        let news = state.news;
        drop(state);
        let poll = || Ok::<_, Trap>((kernel.services().state().news != news).then_some(()));
        if kernel.sched().block(kernel, Deadline::Interrupt(due), poll).is_err() {
            return None;
        }
    }
}

/// Signals the timers that are due and queues their calls.
fn expire_timers(kernel: &Kernel, state: &mut State) {
    let now = kernel.clock().interrupt_time();
    let (due, left): (Vec<Timer>, Vec<Timer>) =
        state.timers.iter().partition(|timer| timer.due <= now);
    state.timers = left;
    for mut timer in due {
        // A timer in memory that is gone was reported when that was freed.
        let _ = kernel.sched().change(|| guest::write(timer.address + SIGNAL_STATE, 1i32));
        if let Some(call) = (timer.dpc != 0).then(|| dpc(timer.dpc).ok()).flatten() {
            state.dpcs.waiting.push_back(call);
        }
        if timer.period == 0 {
            kernel.ledger().settle(Debt::Timer, timer.address);
        } else {
            timer.due += timer.period;
            state.timers.push(timer);
        }
    }
}

/// `KDPC`: what it calls.
pub(crate) fn dpc(address: u64) -> Result<Deferred, guest::Fault> {
    const ROUTINE: u64 = 0x18;
    let routine = guest::read(address + ROUTINE)?;
    let mut arguments = [address, 0, 0, 0];
    for (index, argument) in arguments.iter_mut().enumerate().skip(1) {
        *argument = guest::read(address + ROUTINE + 8 * index as u64)?;
    }
    Ok(Deferred { object: address, routine, arguments, in_flight: None })
}
