//! The built driver's life: starting, refusing to start, unloading, and failures all along.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::thread;
use std::time::Duration;

use common::{Bench, EXPLORER, created};
use driver_abi::{Stage, Verdict};
use kernel_host::Kernel;
use kernel_host_runner::Error;

const SWITCHED_OFF: u32 = 0xC000_0453;

#[test]
fn starts_and_unloads_a_hundred_times_and_leaves_nothing() {
    let Some(bench) = Bench::new() else { return };
    for _ in 0..100 {
        bench.boot().boot().unwrap().unload().unwrap();
    }
}

#[test]
fn keeps_out_of_safe_mode() {
    let Some(bench) = Bench::new() else { return };
    for mode in 1..=3 {
        let machine = bench.boot().machine;
        let kernel = Kernel::builder().machine(machine).safe_mode(mode).build();
        let driver = kernel.load(&bench.driver).unwrap();
        assert_eq!(driver.start().unwrap().0, SWITCHED_OFF);
        kernel.outstanding().assert_clean();
    }
}

#[test]
fn the_off_switch_keeps_it_off() {
    let Some(bench) = Bench::new() else { return };
    match bench.boot().parameter("Mode", 0).boot() {
        Err(Error::Start { status }) => assert_eq!(status, SWITCHED_OFF),
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn nonsense_in_the_registry_has_its_default() {
    let Some(bench) = Bench::new() else { return };
    let boot = bench.boot().parameter("Mode", 77).parameter("PollSeconds", 0);
    let mut rig = boot.boot().unwrap();
    assert_eq!(rig.status().unwrap().mode, driver_abi::Mode::Observe);
    rig.unload().unwrap();
}

#[test]
fn several_machines_run_in_one_process() {
    let Some(bench) = Bench::new() else { return };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut rig = bench.ready();
                for _ in 0..10 {
                    assert_eq!(created(&mut rig, r"\evil", EXPLORER), Verdict::Block);
                    assert_eq!(created(&mut rig, r"\good", EXPLORER), Verdict::Allow);
                }
                rig.unload().unwrap();
            });
        }
    });
}

/// Every fallible call of start and unload fails once: `DriverEntry` may refuse, but nothing is
/// left behind, and nothing crashes.
#[test]
fn any_one_failure_while_starting_leaves_nothing_behind() {
    let Some(bench) = Bench::new() else { return };
    let mut failures = 0;
    for call in 1.. {
        let (kernel, driver) = bench.boot().load().unwrap();
        kernel.injector().fail_call(call);
        let status = driver.start().unwrap_or_else(|bug| panic!("call {call}: {bug}"));
        let hit = kernel.injector().hits();
        if status.is_success() {
            kernel.run_boot_reinitialization().unwrap_or_else(|bug| panic!("call {call}: {bug}"));
            let report = driver.unload().unwrap_or_else(|bug| panic!("call {call}: {bug}"));
            assert!(report.is_clean(), "call {call} ({hit:?}): {report}");
        } else {
            failures += 1;
            let report = kernel.outstanding();
            assert!(report.is_clean(), "call {call} ({hit:?}): {report}");
        }
        if kernel.injector().hits().is_empty() {
            break;
        }
        assert!(call < 500, "the sweep does not end");
    }
    assert!(failures > 5, "only {failures} calls of DriverEntry can fail?");
}

/// With fast startup the kernel goes on, and so does a trial; the night counts for nothing.
#[test]
fn fast_startup_goes_on_with_the_trial() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.boot().boot().unwrap();
    let (name, file) = bench.file(1);
    rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
    assert_eq!(rig.status().unwrap().stage, Stage::Trial);
    let process = rig.create_process(100, None);
    rig.kernel().fast_startup(Duration::from_secs(8 * 3600)).unwrap();
    let ended = rig.kernel().end_process(&process);
    assert!(ended.is_ok(), "it has ended, which is told once");
    let status = rig.status().unwrap();
    assert_eq!((status.stage, status.sequence), (Stage::Trial, 1));
    rig.mature().unwrap();
    rig.unload().unwrap();
}
