//! The deterministic mode: one thread runs at a time, and a seed says which.
//!
//! Whoever holds the turn gives it away at calls of the kernel's API, when it waits and when it
//! ends; the seed picks the next one. Time is the machine's and stands still but for a tick a call;
//! when all wait it jumps to the first timeout, and now and then before that, which is what slow
//! threads look like. So a seed is an order of events that comes again each time.
//!
//! What lies between two calls happens at once, and memory is as ordered as x86 has it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;

use super::ticks;
use crate::kernel::Kernel;

/// What a call of the API takes of the machine's time, in 100 ns.
const CALL: i64 = 10;
/// How long a thread that a test sent into the driver may wait without a timeout of its own, and
/// anybody for a lock.
const PATIENCE: Duration = Duration::from_secs(600);
/// Calls after which a run is taken for endless.
const ENDLESS: u64 = 5_000_000;
/// Steps that a report shows.
const SHOWN: usize = 24;
/// Nobody's turn.
const NOBODY: usize = usize::MAX;

/// Whether a thread can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Runs,
    /// Until something was changed after this many changes, or until this interrupt time, or until
    /// all have waited for so long.
    Waits {
        changes: u64,
        until: Option<i64>,
        idle: Option<i64>,
    },
    /// Until all others wait.
    Rests,
    Ended,
}

#[derive(Debug)]
struct Member {
    name: String,
    /// 0 until the thread itself has come.
    tid: i32,
    state: State,
    wake: Arc<Condvar>,
}

/// A call in the order in which they came.
#[derive(Clone, Copy, Debug)]
struct Step {
    member: usize,
    call: &'static str,
}

#[derive(Debug)]
struct Turns {
    random: Rng,
    /// One call in so many gives the turn away.
    switches: u32,
    /// One call in so many lets the next timeout pass; 0: none does.
    late: u32,
    members: Vec<Member>,
    turn: usize,
    changes: u64,
    /// Time that has passed while all waited.
    idle: i64,
    steps: u64,
    digest: u64,
    last: VecDeque<Step>,
    /// The kernel stops: everybody runs, to their end.
    over: bool,
}

/// The schedule of a kernel that was built with a seed.
#[derive(Debug)]
pub(crate) struct Schedule {
    seed: u64,
    turns: Mutex<Turns>,
}

/// How a run with a seed went, as far as it has come. Two runs with one seed are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    /// The seed.
    pub seed: u64,
    /// Calls of the kernel's API.
    pub steps: u64,
    /// Stands for all of them and their order.
    pub digest: u64,
    /// The last ones, as `thread: call`.
    pub last: Vec<String>,
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, {} calls, the last:", self.seed, self.steps)?;
        for step in &self.last {
            write!(f, "\n    {step}")?;
        }
        Ok(())
    }
}

impl Schedule {
    /// The calling thread takes part from the start, and has the turn.
    pub(crate) fn new(seed: u64) -> Schedule {
        let mut random = Rng::with_seed(seed);
        // Some orders need many switches in a row, others few at the right places.
        let switches = [1, 2, 4, 16][random.usize(..4)];
        let late = [0, 16, 64, 256][random.usize(..4)];
        let turns = Turns {
            random,
            switches,
            late,
            members: Vec::new(),
            turn: 0,
            changes: 0,
            idle: 0,
            steps: 0,
            digest: 0,
            last: VecDeque::with_capacity(SHOWN),
            over: false,
        };
        let schedule = Schedule { seed, turns: Mutex::new(turns) };
        schedule.enroll("test");
        schedule.turns().members[0].tid = own_tid();
        schedule
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn played(&self) -> Played {
        let turns = self.turns();
        let text = |step: &Step| format!("{}: {}", turns.members[step.member].name, step.call);
        let last = turns.last.iter().map(text).collect();
        Played { seed: self.seed, steps: turns.steps, digest: turns.digest, last }
    }

    /// A new thread takes part; it has yet to come. Gives its place.
    pub(crate) fn enroll(&self, name: &str) -> usize {
        let mut turns = self.turns();
        let place = turns.members.len();
        turns.members.push(Member {
            name: format!("{name} {place}"),
            tid: 0,
            state: State::Runs,
            wake: Arc::default(),
        });
        place
    }

    /// The new thread has come, and goes on when it is its turn.
    pub(crate) fn come(&self, place: usize) {
        let mut turns = self.turns();
        turns.members[place].tid = own_tid();
        drop(wait_for_turn(turns, place));
    }

    /// The thread that has the turn ends, or never began.
    pub(crate) fn leave(&self, kernel: &Kernel, place: usize) {
        let mut turns = self.turns();
        turns.members[place].state = State::Ended;
        turns.members[place].tid = 0;
        turns.changes += 1;
        if turns.turn == place {
            turns.pass(kernel);
        }
    }

    /// The thread's place, which drivers see as its number.
    ///
    /// # Panics
    /// For a thread that takes no part: it would run beside the one whose turn it is.
    pub(crate) fn place(&self, tid: i32) -> usize {
        let turns = self.turns();
        let place = turns.members.iter().position(|member| member.tid == tid);
        place.expect("threads that call a driver of a kernel with a seed are made by Kernel::race")
    }

    /// A call of the API: the moment at which others may come first. False when there were so many
    /// that the run has no end.
    pub(crate) fn step(&self, kernel: &Kernel, call: &'static str) -> bool {
        let mut turns = self.turns();
        if turns.over || turns.steps > ENDLESS {
            return turns.over;
        }
        let own = turns.turn;
        turns.note(own, call);
        kernel.machine_clock().advance(CALL);
        let (switches, late) = (turns.switches, turns.late);
        if late != 0 && turns.random.u32(..late) == 0 {
            turns.let_time_pass(kernel, false);
        }
        if switches == 1 || turns.random.u32(..switches) == 0 {
            turns.pass(kernel);
            drop(wait_for_turn(turns, own));
        }
        true
    }

    /// A thread of the test enters a driver. What it did before may be what others wait for.
    pub(crate) fn enter(&self, kernel: &Kernel, tid: i32) {
        self.place(tid);
        self.changed();
        self.step(kernel, "enters the driver");
    }

    /// Whether the run has become endless.
    pub(crate) fn is_endless(&self) -> bool {
        self.turns().steps > ENDLESS
    }

    /// Somebody may find now what he waits for.
    pub(crate) fn changed(&self) {
        self.turns().changes += 1;
    }

    /// The thread whose turn it is waits for a change, a time, or until all have waited so long.
    pub(crate) fn wait(&self, kernel: &Kernel, until: Option<i64>, idle: Option<i64>) {
        let turns = self.turns();
        let changes = turns.changes;
        Schedule::pause(turns, kernel, State::Waits { changes, until, idle });
    }

    /// How long all have waited so far. Only time in which nobody could do anything makes a wait
    /// for ever: a slow thread does not.
    pub(super) fn idle(&self) -> i64 {
        self.turns().idle
    }

    /// The thread whose turn it is lets all others go on until they wait.
    pub(crate) fn rest(&self, kernel: &Kernel) {
        self.changed();
        Schedule::pause(self.turns(), kernel, State::Rests);
    }

    fn pause(mut turns: MutexGuard<'_, Turns>, kernel: &Kernel, state: State) {
        if turns.over {
            return;
        }
        let own = turns.turn;
        turns.members[own].state = state;
        turns.pass(kernel);
        let mut turns = wait_for_turn(turns, own);
        turns.members[own].state = State::Runs;
    }

    /// From now on nobody waits for a turn.
    pub(crate) fn end(&self) {
        let mut turns = self.turns();
        turns.over = true;
        for member in &turns.members {
            member.wake.notify_all();
        }
    }
}

fn own_tid() -> i32 {
    crate::cpu::Kpcr::current().shared.tid
}

fn wait_for_turn(mut turns: MutexGuard<'_, Turns>, place: usize) -> MutexGuard<'_, Turns> {
    let wake = turns.members[place].wake.clone();
    while turns.turn != place && !turns.over {
        turns = wake.wait(turns).unwrap_or_else(PoisonError::into_inner);
    }
    turns
}

impl Turns {
    fn note(&mut self, member: usize, call: &'static str) {
        self.steps += 1;
        for byte in call.bytes().chain([member as u8]) {
            // FNV-1a.
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(Step { member, call });
    }

    /// Gives the turn to one that can go on, which may be the one that has it.
    fn pass(&mut self, kernel: &Kernel) {
        loop {
            let now = kernel.clock().interrupt_time();
            let ready: Vec<usize> =
                (0..self.members.len()).filter(|i| self.ready(*i, now)).collect();
            if !ready.is_empty() {
                let next = ready[self.random.usize(..ready.len())];
                return self.give(next);
            }
            let rests = self.members.iter().position(|member| member.state == State::Rests);
            if let Some(rests) = rests {
                return self.give(rests);
            }
            if !self.let_time_pass(kernel, true) {
                // Nobody will ever go on: whoever has not ended is told so.
                self.steps += ENDLESS;
                let left = |member: &Member| member.state != State::Ended;
                return self.give(self.members.iter().position(left).unwrap_or(NOBODY));
            }
        }
    }

    fn give(&mut self, next: usize) {
        self.turn = next;
        if let Some(member) = self.members.get(next) {
            member.wake.notify_all();
        }
    }

    fn ready(&self, place: usize, now: i64) -> bool {
        match self.members[place].state {
            State::Runs => true,
            State::Waits { changes, until, idle } => {
                self.changes > changes
                    || until.is_some_and(|until| until <= now)
                    || idle.is_some_and(|idle| idle <= self.idle)
            }
            State::Rests | State::Ended => false,
        }
    }

    /// Moves the clock to the first timeout that is still to come. False when there is none.
    fn let_time_pass(&mut self, kernel: &Kernel, all_wait: bool) -> bool {
        let now = kernel.clock().interrupt_time();
        let times = self.members.iter().flat_map(|member| match member.state {
            State::Waits { until, idle, .. } => {
                [until.map(|until| until - now), idle.filter(|_| all_wait).map(|i| i - self.idle)]
            }
            _ => [None, None],
        });
        let Some(time) = times.flatten().filter(|time| *time > 0).min() else { return false };
        kernel.machine_clock().advance(time);
        if all_wait {
            self.idle += time;
        }
        true
    }
}

/// How much [`Schedule::idle`] time a wait without a timeout may take.
pub(super) fn patience() -> i64 {
    ticks(PATIENCE)
}
