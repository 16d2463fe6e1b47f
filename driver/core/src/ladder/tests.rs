extern crate std;

use std::collections::HashSet;

use super::*;
use crate::slots::Slot;

const fn body(number: u8) -> BodyId {
    BodyId([number; 16])
}

fn at_boot(boot: u32) -> Start {
    Start { boot, at_boot: true }
}

const BOTH: Rungs = [Some(body(2)), Some(body(1))];
const ALONE: Rungs = [Some(body(2)), None];
const MINUTE: u64 = HEALTHY_HOUR / 60;

/// The journal after a session of this boot that ended with this mark open.
fn open(boot: u32, mark: Mark) -> Journal {
    let mut journal = Journal::default().marked(Some(mark));
    journal.start = at_boot(boot);
    journal
}

fn old(number: u8) -> Mark {
    Mark { body: body(number), healthy: true }
}

#[test]
fn a_session_that_ended_in_order_costs_nothing() {
    let journal = open(7, Mark::new(body(2))).closed().settle(at_boot(8), BOTH);
    assert_eq!((journal.serves(BOTH), journal.struck()), (Some(0), 0));
}

#[test]
fn one_lost_session_costs_good_content_a_step_and_a_second_of_the_next_the_rest() {
    let once = open(7, Mark::new(body(2))).settle(at_boot(8), BOTH);
    assert_eq!(once.serves(BOTH), Some(1));
    let twice = once.marked(Some(Mark::new(body(1)))).settle(at_boot(9), BOTH);
    assert_eq!(twice.serves(BOTH), None);
}

#[test]
fn content_without_another_has_two_losses() {
    let once = open(7, Mark::new(body(2))).settle(at_boot(8), ALONE);
    assert_eq!(once.serves(ALONE), Some(0));
    let twice = once.marked(Some(Mark::new(body(2)))).settle(at_boot(9), ALONE);
    assert_eq!(twice.serves(ALONE), None);
    let same = [Some(body(2)), Some(body(2))];
    assert_eq!((once.serves(same), twice.serves(same)), (Some(0), None));
}

#[test]
fn boots_that_left_no_trace_cost_what_they_served() {
    let last = open(7, Mark::new(body(2))).closed();
    let expected = [(8, Some(0)), (9, Some(1)), (10, None), (11, None), (u32::MAX, None)];
    for (boot, serves) in expected {
        assert_eq!(last.settle(at_boot(boot), BOTH).serves(BOTH), serves, "boot {boot}");
    }
    // The lost session, and then one that left no trace.
    assert_eq!(open(7, Mark::new(body(2))).settle(at_boot(9), BOTH).serves(BOTH), None);
    // The same boot again, and one before: numbers that say nothing.
    for boot in [7, 3, 0] {
        assert_eq!(last.settle(at_boot(boot), BOTH).serves(BOTH), Some(0), "boot {boot}");
    }
}

#[test]
fn boots_in_which_the_driver_may_not_have_been_are_not_counted() {
    let by_hand = Start { boot: 12, at_boot: false };
    let last = open(7, Mark::new(body(2))).closed();
    assert_eq!(last.settle(by_hand, BOTH).serves(BOTH), Some(0));
    let mut before = last;
    before.start = Start { boot: 7, at_boot: false };
    assert_eq!(before.settle(at_boot(12), BOTH).serves(BOTH), Some(0));
}

#[test]
fn what_ran_for_an_hour_is_struck_out_the_second_time_in_a_row_and_not_the_last_there_is() {
    let once = open(7, old(2)).settle(at_boot(8), BOTH);
    assert_eq!((once.serves(BOTH), once.struck()), (Some(0), 0));
    let twice = once.marked(Some(old(2))).settle(at_boot(9), BOTH);
    assert_eq!((twice.serves(BOTH), twice.struck()), (Some(1), 1));
    let forgiven = once.marked(Some(old(2))).closed().marked(Some(old(2)));
    assert_eq!(forgiven.settle(at_boot(9), BOTH).serves(BOTH), Some(0));
    let mut journal = Journal::default();
    for boot in 1..9 {
        journal = journal.marked(Some(old(2))).settle(at_boot(boot), ALONE);
        assert_eq!(journal.serves(ALONE), Some(0));
    }
}

#[test]
fn what_waits_is_tried_after_an_hour_and_what_is_struck_once_after_a_day() {
    let once = open(7, Mark::new(body(3))).settle(at_boot(8), BOTH);
    assert_eq!(once.may_try(body(3), HEALTHY_HOUR - 1), Err(Cause::Waits));
    assert_eq!(once.may_try(body(3), HEALTHY_HOUR), Ok(()));
    assert_eq!(once.may_try(body(4), 0), Ok(()));
    let twice = once.try_body(body(3)).settle(at_boot(9), BOTH);
    assert_eq!(twice.may_try(body(3), HEALTHY_DAY - 1), Err(Cause::Struck));
    assert_eq!(twice.may_try(body(3), HEALTHY_DAY), Ok(()));
    let again = twice.try_body(body(3)).settle(at_boot(10), BOTH);
    assert_eq!(again.may_try(body(3), u64::MAX), Err(Cause::Struck));
    let good = twice.try_body(body(3)).promoted(body(3), Floor::default());
    assert_eq!(good.struck(), 0, "it may serve a boot");
    assert_eq!(good.settle(at_boot(10), BOTH).may_try(body(3), u64::MAX), Err(Cause::Struck));
}

#[test]
fn losses_are_forgotten_when_a_boot_was_served_for_an_hour_and_no_sooner() {
    let lost = open(7, Mark::new(body(2))).settle(at_boot(8), ALONE);
    let served = lost.marked(Some(Mark::new(body(2))));
    let lived = served.lived(true).unwrap();
    assert_eq!(lived.lived(true), None, "once a session");
    assert_eq!(lived.marked(Some(Mark::new(body(2)))).settle(at_boot(9), ALONE).struck(), 0);
    let promoted = lost.try_body(body(2)).promoted(body(2), Floor::default());
    assert_eq!(promoted.serves(BOTH), Some(0));
    let promoted = promoted.lived(false).unwrap();
    let again = promoted.marked(Some(Mark::new(body(2)))).settle(at_boot(9), BOTH);
    assert_eq!(again.struck(), 1);
    assert_eq!(Journal::default().lived(true), None);
}

#[test]
fn a_pardon_is_for_one_body_or_for_all_and_leaves_a_mark() {
    let lost = |journal: Journal, number| {
        let journal = journal.try_body(body(number)).settle(at_boot(8), BOTH);
        journal.try_body(body(number)).settle(at_boot(9), BOTH)
    };
    let journal = lost(lost(Journal::default(), 1), 2).begin(body(3));
    assert_eq!(journal.struck(), 2);
    let one = journal.pardon(Some(body(1))).unwrap();
    assert_eq!((one.struck(), one.mark()), (1, journal.mark()));
    assert_eq!(one.next_copy(), journal.begin(body(3)).next_copy(), "it is the next record");
    assert_eq!(journal.pardon(None).unwrap().struck(), 0);
    assert_eq!(journal.pardon(Some(body(9))), None);
    assert_eq!(journal.pardon(Some(BodyId::FREE)), None);
    assert_eq!(Journal::default().pardon(None), None);
}

#[test]
fn a_sequence_far_ahead_is_a_jump_and_the_next_epoch_is_none() {
    let at = |epoch, sequence| Position { epoch, sequence };
    assert!(is_jump(at(1, 5), at(1, 6 + MAX_STEP)));
    assert!(!is_jump(at(1, 5), at(1, 5 + MAX_STEP)) && !is_jump(at(1, 5), at(2, 99_999_999)));
    assert!(!is_jump(at(0, 0), at(0, 99_999_999)) && !is_jump(at(1, 99), at(1, 5)));
}

/// When content takes the machine down that is in force.
const EARLY: u8 = 1;
const YOUNG: u8 = 2;
const OLD: u8 = 4;

/// How far a session comes before it ends, if nothing takes it down sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Reach {
    Start,
    Minutes,
    Hour,
    Hours,
    Days,
}

/// What ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Cut,
    Crash(u8),
    Dirty,
    Clean,
}

/// All that outlives a session; contents are numbered by their sequence, 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    copies: [Option<Journal>; 2],
    trial: u8,
    good: u8,
    previous: u8,
    inbox: u8,
    boot: u32,
    /// Sessions that each content took down in a row, and how often it was tried after a day.
    lost: [u8; 4],
    retried: [u8; 4],
    /// Sessions that ended in another way than in order.
    dirty: u8,
}

/// One session of the driver's worker, in the order in which it writes.
struct Session<'a> {
    world: &'a mut World,
    bad: [u8; 4],
    journal: Journal,
    in_force: u8,
    served_boot: bool,
    /// Writes until the power goes.
    left: usize,
    writes: usize,
    /// The session has lasted for an hour.
    old: bool,
}

impl Session<'_> {
    fn cut(&mut self) -> Result<(), End> {
        self.writes += 1;
        self.left = self.left.checked_sub(1).ok_or(End::Cut)?;
        Ok(())
    }

    fn write(&mut self, next: Journal) -> Result<(), End> {
        let copy = self.journal.next_copy();
        // A write that is cut tears.
        self.world.copies[copy] = None;
        self.cut()?;
        self.world.copies[copy] = Some(next);
        self.journal = next;
        Ok(())
    }

    fn rename(&mut self, from: Slot, to: Slot) -> Result<(), End> {
        self.cut()?;
        let content = core::mem::take(self.slot(from));
        if content != 0 {
            *self.slot(to) = content;
        }
        Ok(())
    }

    fn slot(&mut self, slot: Slot) -> &mut u8 {
        match slot {
            Slot::Trial => &mut self.world.trial,
            Slot::Good => &mut self.world.good,
            Slot::Previous => &mut self.world.previous,
        }
    }

    fn lives(&self, when: u8) -> Result<(), End> {
        match self.bad[usize::from(self.in_force)] & when {
            0 => Ok(()),
            _ => Err(End::Crash(self.in_force)),
        }
    }

    fn rungs(&self) -> Rungs {
        [self.world.good, self.world.previous].map(|it| (it != 0).then_some(body(it)))
    }

    fn run(&mut self, reach: Reach) -> Result<(), End> {
        self.lives(EARLY)?;
        if reach == Reach::Start {
            return Ok(());
        }
        let mark = (self.in_force != 0).then(|| Mark::new(body(self.in_force)));
        self.write(self.journal.marked(mark))?;
        self.take(self.world.inbox, MINUTE)?;
        self.lives(YOUNG)?;
        if reach == Reach::Minutes {
            return Ok(());
        }
        if let Some(next) = self.journal.lived(self.served_boot) {
            self.write(next)?;
        }
        self.retry(HEALTHY_HOUR)?;
        if reach == Reach::Hour {
            return Ok(());
        }
        self.old = true;
        self.lives(OLD)?;
        if reach == Reach::Hours {
            return Ok(());
        }
        self.retry(HEALTHY_DAY)?;
        self.lives(OLD)
    }

    fn retry(&mut self, up: u64) -> Result<(), End> {
        let rungs = self.rungs();
        if rungs[0].is_some()
            && self.journal.serves(rungs) != Some(0)
            && self.in_force != self.world.good
        {
            for (from, to) in crate::slots::DEMOTION {
                self.rename(from, to)?;
            }
        }
        self.take(self.world.trial, up)?;
        self.take(self.world.inbox, up)
    }

    /// Tries content, and makes it good.
    fn take(&mut self, new: u8, up: u64) -> Result<(), End> {
        let known = self.journal.floor().position.sequence;
        if new == 0
            || new <= self.in_force
            || u32::from(new) < known
            || self.journal.may_try(body(new), up).is_err()
        {
            return Ok(());
        }
        let struck = self.journal.suspect(body(new)).losses >= MAX_LOSSES;
        self.write(self.journal.try_body(body(new)))?;
        if struck {
            self.world.retried[usize::from(new)] += 1;
            self.world.lost[usize::from(new)] = 0;
        }
        if self.world.trial != new {
            self.world.trial = 0;
            self.cut()?;
            self.world.trial = new;
        }
        (self.in_force, self.served_boot) = (new, false);
        self.lives(YOUNG)?;
        let renames = match self.journal.serves(self.rungs()) {
            Some(1) => &crate::slots::REPLACEMENT[..],
            _ => &crate::slots::PROMOTION[..],
        };
        for (from, to) in renames {
            self.rename(*from, *to)?;
        }
        let floor = Floor { position: Position { epoch: 0, sequence: new.into() }, rules: 1 };
        self.write(self.journal.promoted(body(new), floor))
    }
}

/// One boot; how it ended, and how many writes it made.
fn boot(
    world: &mut World,
    bad: [u8; 4],
    reach: Reach,
    clean: bool,
    cut: usize,
) -> (End, usize, u8) {
    world.boot += 1;
    let found = Journal::newest(world.copies);
    let slots = [world.good, world.previous];
    let rungs = slots.map(|it| (it != 0).then_some(body(it)));
    let journal = found.settle(at_boot(world.boot), rungs);
    let in_force = journal.serves(rungs).map_or(0, |at| slots[at]);
    let mut session = Session {
        world,
        bad,
        journal,
        in_force,
        served_boot: true,
        left: cut,
        writes: 0,
        old: false,
    };
    let mut end = session.run(reach).err().unwrap_or(End::Dirty);
    if end == End::Dirty && clean {
        end = session.write(session.journal.closed()).err().unwrap_or(End::Clean);
    }
    let (writes, last) = (session.writes, session.in_force);
    let other = |rung: &BodyId| *rung != body(last) && session.journal.suspect(*rung).may_serve();
    let last_resort = session.old && !session.rungs().iter().flatten().any(other);
    match end {
        // The last content that there is goes on, if the machine is up for an hour each time.
        End::Crash(content) if last_resort => world.lost[usize::from(content)] = 0,
        End::Crash(content) => world.lost[usize::from(content)] += 1,
        End::Clean if reach > Reach::Minutes => world.lost[usize::from(last)] = 0,
        _ => {}
    }
    world.dirty = world.dirty.saturating_add(u8::from(end != End::Clean));
    (end, writes, in_force)
}

/// Every order of sessions: each ends at any of its writes, at any time in order or not, or is taken
/// down by content that does so early, young, old, or at any two or three of these.
#[test]
fn whatever_ends_sessions_no_content_takes_down_more_than_two_in_a_row() {
    const REACHES: [Reach; 5] =
        [Reach::Start, Reach::Minutes, Reach::Hour, Reach::Hours, Reach::Days];
    let mut seen_worst = 0;
    for (good, previous) in [(2, 1), (2, 0), (0, 0)] {
        let bads = [0, EARLY, OLD, EARLY | YOUNG | OLD].into_iter();
        for bad in bads.flat_map(|good| (0..8).map(move |new| [0, 0, good, new])) {
            let mut journal = Journal::default();
            journal.start = at_boot(0);
            let world = World {
                copies: [Some(journal), None],
                trial: 0,
                good,
                previous,
                inbox: 3,
                boot: 0,
                lost: [0; 4],
                retried: [0; 4],
                dirty: 0,
            };
            let mut worlds = HashSet::from([world]);
            for _ in 0..4 {
                let mut next = HashSet::new();
                for world in &worlds {
                    for (reach, clean) in
                        REACHES.into_iter().flat_map(|it| [(it, false), (it, true)])
                    {
                        let mut after = *world;
                        let (_, writes, served) = boot(&mut after, bad, reach, clean, usize::MAX);
                        check(world, &after, served, bad);
                        next.insert(after);
                        if reach != Reach::Days || !clean {
                            continue;
                        }
                        for cut in 0..writes {
                            let mut after = *world;
                            let (_, _, served) = boot(&mut after, bad, reach, clean, cut);
                            check(world, &after, served, bad);
                            next.insert(after);
                        }
                    }
                }
                worlds = next;
            }
            seen_worst = worlds.iter().flat_map(|world| world.lost).fold(seen_worst, u8::max);
        }
    }
    assert_eq!(seen_worst, 2, "content that takes two sessions down is among them");
}

fn check(before: &World, after: &World, served: u8, bad: [u8; 4]) {
    assert!(after.lost.iter().all(|lost| *lost <= 2), "{bad:?} {before:?} {after:?}");
    assert!(after.retried.iter().all(|times| *times <= 1), "{bad:?} {before:?} {after:?}");
    let had = before.good != 0 || before.previous != 0;
    if before.dirty == 0 && before.good != 0 {
        assert_eq!(served, before.good, "{bad:?} {before:?}");
    }
    if before.dirty == 1 && had {
        assert_ne!(served, 0, "one session is not enough to serve nothing: {bad:?} {before:?}");
    }
    for content in [before.good, before.previous].into_iter().filter(|content| *content > 1) {
        let struck = !Journal::newest(after.copies).suspect(body(content)).may_serve();
        let there = [after.trial, after.good, after.previous].contains(&content);
        assert!(there || struck || after.good > content, "{content} is gone: {before:?} {after:?}");
    }
}
