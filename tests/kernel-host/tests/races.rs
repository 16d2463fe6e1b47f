//! Races that are planted are found within a few hundred seeds, and the seed shows them again.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::path::Path;

use kernel_host::{
    Access, Bug, BugKind, Kernel, LeakReport, PipeOptions, Played, ProcessSpec, Seeds, artifacts,
};

const PARAMETERS: &str = r"\Registry\Machine\System\CurrentControlSet\Services\planted\Parameters";

/// The number of the first race in `bugs::RUN` of the planted driver.
const FIRST: u32 = 40;

/// Their order there.
const NAMES: [&str; 8] = [
    "race_control",
    "check_then_act",
    "freed_meanwhile",
    "freed_by_both",
    "locks_crossed",
    "wake_up_lost",
    "counted_without_lock",
    "ended_too_early",
];

/// Within how many seeds each must show.
const ENOUGH: u64 = 300;

/// What two threads with two callbacks each, then the unload, come to with this seed, and how that went.
fn play(path: &Path, name: &str, seed: u64) -> (Result<LeakReport, Box<Bug>>, Played) {
    let number = NAMES.iter().position(|known| *known == name).expect("a known race");
    let kernel = Kernel::builder().seed(seed).build();
    kernel.machine().install_minifilter("planted", "385291");
    kernel.machine().registry().set_dword(PARAMETERS, "Bug", FIRST + number as u32);
    let driver = kernel.load(path).expect("the image is a driver");
    let callback = |pid| {
        let process = kernel.create_process(ProcessSpec { pid, ..Default::default() });
        kernel.create_named_pipe(&process, r"\a", PipeOptions::default())?;
        kernel.create_named_pipe(&process, r"\b", PipeOptions::default()).map(drop)
    };
    let end = || {
        assert!(driver.start()?.is_success());
        kernel.race().with("one", || callback(100)).with("other", || callback(104)).run()?;
        driver.unload()
    };
    let end = end();
    (end, kernel.played().expect("it has a seed"))
}

/// The first seed that shows a race, and its report; played again it shows the very same.
fn found(name: &str) -> Option<Bug> {
    let path = artifacts::path("planted.sys")?;
    let found = Seeds::new(ENOUGH).find(|seed| play(&path, name, seed).0.err());
    let (seed, bug) = found.unwrap_or_else(|| panic!("{name} was not found"));
    let (first, played) = play(&path, name, seed);
    let (again, played_again) = play(&path, name, seed);
    assert_eq!(played, played_again);
    let (first, again) = (first.unwrap_err(), again.unwrap_err());
    // Addresses are not part of the order.
    assert_eq!(first.functions(), again.functions());
    assert_eq!(bug.functions(), again.functions());
    assert!(bug.to_string().contains(&format!("seed {seed}, ")), "{bug}");
    assert!(bug.to_string().contains("races.rs:"), "no source line:\n{bug}");
    Some(*bug)
}

#[test]
fn the_control_is_silent_in_every_order() {
    let Some(path) = artifacts::path("planted.sys") else { return };
    Seeds::new(ENOUGH).each(|seed| {
        let (end, _) = play(&path, "race_control", seed);
        end.map(|report| report.assert_clean())
    });
}

#[test]
fn what_is_allocated_twice_is_found_at_unload() {
    let Some(path) = artifacts::path("planted.sys") else { return };
    let lost = |seed| {
        let report = play(&path, "check_then_act", seed).0.unwrap_or_else(|bug| panic!("{bug}"));
        report.leaks.into_iter().next()
    };
    let (_, leak) = Seeds::new(ENOUGH).find(lost).expect("one is lost");
    assert_eq!(leak.what, "pool block of 32 bytes 'PlnT'");
    assert!(leak.blames("races::check_then_act"), "{leak}");
}

#[test]
fn use_after_free_and_double_free_are_found() {
    let Some(freed) = found("freed_meanwhile") else { return };
    assert!(matches!(freed.kind, BugKind::Fault { access: Access::Read, .. }), "{freed}");
    assert!(freed.blames("races::freed_meanwhile"), "{freed}");
    let twice = found("freed_by_both").expect("the driver is built");
    assert!(matches!(&twice.kind, BugKind::Pool(why) if why.contains("double free")), "{twice}");
    let early = found("ended_too_early").expect("the driver is built");
    assert!(matches!(early.kind, BugKind::Fault { access: Access::Read, .. }), "{early}");
    assert!(early.blames("races::goes_on"), "{early}");
}

#[test]
fn deadlocks_are_found() {
    let Some(crossed) = found("locks_crossed") else { return };
    assert_eq!(crossed.kind, BugKind::Hang);
    assert!(crossed.blames("races::locks_crossed"), "{crossed}");
    let lost = found("wake_up_lost").expect("the driver is built");
    assert_eq!(lost.kind, BugKind::Hang);
    // Nobody wakes the worker: who waits for it hangs, be it for its work or for its end.
    assert!(lost.blames("races::wake_up_lost") || lost.blames("races::unload"), "{lost}");
    let counted = found("counted_without_lock").expect("the driver is built");
    assert_eq!(counted.kind, BugKind::Hang);
    assert!(counted.blames("races::unload"), "{counted}");
}
