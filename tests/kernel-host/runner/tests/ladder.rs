//! What the built driver makes of content that takes the machine down, whenever it does.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::time::Duration;

use common::{Bench, EXPLORER, RULES, created, name};
use driver_abi::{Cause, Interest, Loss, Protection, SlotState, Stage, Status, Verdict};
use kernel_host::{Kernel, Machine};
use kernel_host_runner::rig::{Boot, INBOX, Rig};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Good content of sequence 2, and of sequence 1 before it, with bodies of their own; the inbox is
/// empty.
fn two_good(bench: &Bench) -> Machine {
    let mut rig = bench.boot().boot().unwrap();
    for sequence in [1, 2] {
        let (name, file) = bench.file_of(&rules(sequence), 0, sequence);
        rig.drop_files(std::iter::once((name.as_str(), &file))).unwrap();
        rig.mature().unwrap();
    }
    let machine = rig.machine();
    rig.unload().unwrap();
    for sequence in [1, 2] {
        assert!(machine.disk().remove(&format!(r"{INBOX}\{}", name(0, sequence))));
    }
    machine
}

fn rules(sequence: u32) -> String {
    RULES.replace(r"'\odd'", &format!(r"'\odd{sequence}'"))
}

fn boot(bench: &Bench, machine: &Machine) -> Rig {
    bench.boot().machine(machine.clone()).boot().unwrap()
}

/// A boot in which the driver serves, and that goes down before its first minute is over.
fn lost_early(bench: &Bench, machine: &Machine) {
    let boot = bench.boot().machine(machine.clone());
    let early = Boot { uptime: Duration::from_secs(5), ..boot };
    let changes = machine.disk().changes();
    early.boot().unwrap().power_off();
    assert_eq!(machine.disk().changes(), changes, "a boot writes nothing");
}

fn after(rig: &mut Rig, time: Duration, what: &str, will_do: impl Fn(&Status) -> bool) -> Status {
    rig.advance(time);
    rig.status_when(what, will_do).unwrap()
}

fn at(status: &Status) -> (Stage, u32) {
    (status.stage, status.sequence)
}

#[test]
fn a_session_that_ends_without_a_word_costs_a_step_and_an_orderly_one_nothing() {
    let Some(bench) = Bench::new() else { return };
    let machine = two_good(&bench);
    for _ in 0..3 {
        let mut rig = boot(&bench, &machine);
        let status = rig.status().unwrap();
        assert_eq!((at(&status), status.protection), ((Stage::Good, 2), Protection::Full));
        rig.tell_shutdown().unwrap();
        rig.power_off();
    }
    boot(&bench, &machine).power_off();
    let mut rig = boot(&bench, &machine);
    let status = rig.status().unwrap();
    assert_eq!(at(&status), (Stage::Good, 1), "{status:?}");
    assert_eq!(status.protection, Protection::Degraded(Loss::FellBack));
    assert_eq!(status.trust.slots[0].state, SlotState::Waits);
    rig.listen(Interest::Everything).unwrap();
    assert_eq!(created(&mut rig, r"\evil", EXPLORER), Verdict::Block, "the one before serves");
    rig.listen(Interest::Status).unwrap();

    // An hour later it is tried again, in observe, and becomes good again.
    let status = after(&mut rig, HOUR, "another try", |status| status.sequence == 2);
    assert_eq!(at(&status), (Stage::Trial, 2), "{status:?}");
    let status = rig.mature().unwrap();
    assert_eq!(at(&status), (Stage::Good, 2));
    assert_eq!(status.protection, Protection::Full, "{status:?}");
    rig.unload().unwrap();
    let mut rig = boot(&bench, &machine);
    assert_eq!(at(&rig.status().unwrap()), (Stage::Good, 2));
    rig.unload().unwrap();
}

#[test]
fn boots_that_go_down_before_anything_is_written_walk_the_ladder() {
    let Some(bench) = Bench::new() else { return };
    let machine = two_good(&bench);
    boot(&bench, &machine).unload().unwrap();
    lost_early(&bench, &machine);
    let mut rig = boot(&bench, &machine);
    assert_eq!(at(&rig.status().unwrap()), (Stage::Good, 1));
    // Nothing was written in between: this boot is the next that finds it so.
    rig.unload().unwrap();

    let machine = two_good(&bench);
    boot(&bench, &machine).unload().unwrap();
    lost_early(&bench, &machine);
    lost_early(&bench, &machine);
    let mut rig = boot(&bench, &machine);
    let status = rig.status().unwrap();
    assert_eq!(at(&status).0, Stage::None, "two boots, and nothing is served: {status:?}");
    assert_eq!(status.protection, Protection::None(Loss::NoContent));
    assert!(status.losses.contains(Loss::FellBack), "{status:?}");
    // It heals by itself.
    let status = after(&mut rig, HOUR, "another try", |status| status.stage == Stage::Trial);
    assert_eq!(status.sequence, 2, "{status:?}");
    rig.unload().unwrap();
}

#[test]
fn a_boot_without_the_driver_is_told_from_nothing_and_one_by_hand_from_none() {
    let Some(bench) = Bench::new() else { return };
    let machine = two_good(&bench);
    boot(&bench, &machine).unload().unwrap();
    // The driver is started by hand: nobody knows of the boots before.
    drop(Kernel::builder().machine(machine.clone()).build());
    let (kernel, driver) = bench.boot().machine(machine.clone()).load().unwrap();
    kernel.advance(Duration::from_secs(61));
    assert!(driver.start().unwrap().is_success());
    kernel.run_boot_reinitialization().unwrap();
    kernel.rest(Duration::from_secs(20));
    kernel.advance(Duration::from_secs(6));
    kernel.rest(Duration::from_secs(20));
    kernel.halt();
    drop(driver);
    let mut rig = boot(&bench, &machine);
    // The session by hand had no orderly end: that is the one step, and there is no second.
    assert_eq!(at(&rig.status().unwrap()), (Stage::Good, 1));
    rig.unload().unwrap();
}

#[test]
fn content_that_ran_for_an_hour_is_struck_out_after_the_second_session() {
    let Some(bench) = Bench::new() else { return };
    let machine = two_good(&bench);
    for serves in [2, 2] {
        let mut rig = boot(&bench, &machine);
        assert_eq!(at(&rig.status().unwrap()), (Stage::Good, serves));
        after(&mut rig, HOUR, "a look", |status| status.scans > 1);
        rig.kernel().rest(Duration::from_secs(20));
        rig.power_off();
    }
    let mut rig = boot(&bench, &machine);
    let status = rig.status().unwrap();
    assert_eq!(at(&status), (Stage::Good, 1), "{status:?}");
    assert_eq!(status.trust.slots[0].state, SlotState::Struck);
    // Put aside after an hour, and tried once more after a day.
    let status =
        after(&mut rig, HOUR, "it is put aside", |s| s.trust.slots[2].state == SlotState::Struck);
    assert_eq!((at(&status), status.trust.slots[0].sequence), ((Stage::Good, 1), 1));
    assert!(status.losses.contains(Loss::FellBack), "it is still told: {status:?}");
    let status = after(&mut rig, 23 * HOUR, "another try", |status| status.sequence == 2);
    assert_eq!(at(&status), (Stage::Trial, 2), "{status:?}");
    rig.power_off();
    let mut rig = boot(&bench, &machine);
    let status = after(&mut rig, 25 * HOUR, "a look", |status| status.scans > 2);
    assert_eq!(at(&status), (Stage::Good, 1), "there is no second time: {status:?}");
    rig.unload().unwrap();
}

#[test]
fn content_in_the_inbox_waits_too_and_an_administrator_can_have_it_at_once() {
    let Some(bench) = Bench::new() else { return };
    let machine = two_good(&bench);
    boot(&bench, &machine).power_off();
    let mut rig = boot(&bench, &machine);
    let (name, file) = bench.file_of(&rules(2), 0, 2);
    let status = rig.drop_files(std::iter::once((name.as_str(), &file))).unwrap();
    assert_eq!((at(&status), status.refusal.cause), ((Stage::Good, 1), Cause::Waits));
    rig.unload().unwrap();
    // The quarantine is cleared by a client at the port: see `tests/port.rs`.
    let mut rig = boot(&bench, &machine);
    let status = after(&mut rig, HOUR, "another try", |status| status.sequence == 2);
    assert_eq!(at(&status), (Stage::Trial, 2), "{status:?}");
    // Newer content than what waits is tried at any time.
    let (name, file) = bench.file_of(&rules(3), 0, 3);
    let status = rig.drop_files(std::iter::once((name.as_str(), &file))).unwrap();
    assert_eq!(at(&status), (Stage::Trial, 3), "{status:?}");
    rig.unload().unwrap();
}
