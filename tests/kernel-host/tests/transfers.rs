//! Requests that go on after their call, oplocks, descriptors and the shutdown request, through a
//! real driver.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::sync::Arc;
use std::time::Duration;

use kernel_host::machine::{EVERYONE, Pace, Security};
use kernel_host::{Bug, BugKind, Driver, Kernel, NtStatus, artifacts};

const FILE: &str = r"\SystemRoot\planted.bin";
/// Ten milliseconds as NT counts relative time.
const SOON: u64 = -100_000_i64 as u64;
/// The call came back with the request under way.
const UNDER_WAY: u64 = 1;
/// The wait for it ran out.
const RAN_OUT: u64 = 2;

fn start() -> Option<(Arc<Kernel>, Driver)> {
    let path = artifacts::path("planted.sys")?;
    let kernel = Kernel::builder().build();
    kernel.machine().disk().write(FILE, b"planted!");
    let driver = kernel.load(path).expect("the image is a driver");
    if !driver.has_export("PlantedRead") {
        eprintln!("skipped: planted.sys is older than this test");
        return None;
    }
    assert!(driver.start().expect("no bug").is_success());
    kernel.run_boot_reinitialization().expect("no bug");
    Some((kernel, driver))
}

fn call(driver: &Driver, name: &str, arguments: &[u64]) -> u64 {
    driver.call_export(name, arguments).unwrap_or_else(|bug| panic!("{name}: {bug}"))
}

/// Status, first byte and facts of a read.
fn read(driver: &Driver) -> (NtStatus, u8, u64) {
    let result = call(driver, "PlantedRead", &[SOON]);
    (NtStatus(result as u32), (result >> 32) as u8, result >> 40)
}

fn misuse(bug: Box<Bug>, of: &str) {
    match &bug.kind {
        BugKind::Misuse { api, .. } if *api == of => {}
        _ => panic!("{bug}"),
    }
}

#[test]
fn a_read_is_over_at_once_or_later_or_when_it_is_cancelled() {
    let Some((kernel, driver)) = start() else { return };
    let machine = kernel.machine();
    assert_eq!(read(&driver), (NtStatus::SUCCESS, b'p', 0));
    machine.disk().set_pace(Pace::Takes(Duration::ZERO));
    assert_eq!(read(&driver), (NtStatus::SUCCESS, b'p', UNDER_WAY));
    machine.disk().set_pace(Pace::Takes(Duration::from_millis(1)));
    assert_eq!(read(&driver), (NtStatus::SUCCESS, b'p', UNDER_WAY));
    machine.disk().set_pace(Pace::UntilCancelled);
    assert_eq!(read(&driver), (NtStatus::CANCELLED, 0, UNDER_WAY | RAN_OUT));
    machine.disk().set_pace(Pace::Takes(Duration::from_secs(3_600)));
    assert_eq!(read(&driver), (NtStatus::CANCELLED, 0, UNDER_WAY | RAN_OUT));
    assert_eq!(kernel.requests_outstanding(), 0);
    driver.unload().expect("no bug").assert_clean();
}

#[test]
fn memory_of_a_request_that_is_not_over_must_not_be_freed() {
    let Some((kernel, driver)) = start() else { return };
    kernel.machine().disk().set_pace(Pace::UntilCancelled);
    let bug = driver.call_export("PlantedReadAndFree", &[]).unwrap_err();
    assert!(bug.to_string().contains("PlantedReadAndFree"), "{bug}");
    misuse(bug, "ExFreePoolWithTag");
}

#[test]
fn a_thread_that_ends_has_its_requests_cancelled() {
    let Some((kernel, driver)) = start() else { return };
    kernel.machine().disk().set_pace(Pace::UntilCancelled);
    let status = call(&driver, "PlantedEndThread", &[]);
    assert_eq!(NtStatus(status as u32), NtStatus::CANCELLED);
    assert_eq!(kernel.requests_outstanding(), 0);
    driver.unload().expect("no bug").assert_clean();
}

#[test]
fn an_open_that_breaks_an_oplock_comes_back_only_when_told_to() {
    const COMPLETE_IF_OPLOCKED: u64 = 0x100;
    let Some((kernel, driver)) = start() else { return };
    let machine = kernel.machine();
    let open = |options| NtStatus(call(&driver, "PlantedOpen", &[options]) as u32);
    assert_eq!(open(0), NtStatus::SUCCESS);
    let held = machine.disk().hold_oplock(FILE);
    assert_eq!(open(COMPLETE_IF_OPLOCKED), NtStatus::OPLOCK_BREAK_IN_PROGRESS);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| open(0));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waiter.is_finished());
        drop(held);
        // Whoever waits for the host looks again when the clock moves.
        kernel.advance(Duration::from_secs(1));
        assert_eq!(waiter.join().unwrap(), NtStatus::SUCCESS);
    });
    assert_eq!(open(COMPLETE_IF_OPLOCKED), NtStatus::SUCCESS);
    driver.unload().expect("no bug").assert_clean();
}

#[test]
fn a_descriptor_is_handed_out_whole_or_with_the_length_it_needs() {
    let Some((kernel, driver)) = start() else { return };
    let ask = |room| {
        let result = call(&driver, "PlantedSecurity", &[room]);
        (NtStatus(result as u32), result >> 32)
    };
    let (status, usual) = ask(256);
    assert_eq!(status, NtStatus::SUCCESS);
    assert_eq!(ask(usual - 1), (NtStatus::BUFFER_TOO_SMALL, usual));
    kernel.machine().disk().set_security(FILE, &Security::default().allow(EVERYONE, 2));
    assert_eq!(ask(256), (NtStatus::SUCCESS, usual + 20));
    driver.unload().expect("no bug").assert_clean();
}

fn notice(driver: &Driver, how: u64) {
    assert_eq!(call(driver, "PlantedShutdownNotice", &[driver.object(), how]), 0);
}

#[test]
fn a_driver_that_asked_is_told_of_a_shutdown_and_others_are_not() {
    let Some((kernel, driver)) = start() else { return };
    kernel.tell_shutdown().expect("nobody asked");
    notice(&driver, 0);
    kernel.tell_shutdown().expect("no bug");
    assert_eq!(call(&driver, "PlantedShutdownNoticeEnds", &[]), 1);
    kernel.tell_shutdown().expect("nobody asks any more");
    driver.unload().expect("no bug").assert_clean();
}

#[test]
fn a_shutdown_request_is_completed_once() {
    let Some((kernel, driver)) = start() else { return };
    notice(&driver, 1);
    misuse(kernel.tell_shutdown().unwrap_err(), "IRP_MJ_SHUTDOWN");
    let Some((kernel, driver)) = start() else { return };
    notice(&driver, 2);
    misuse(kernel.tell_shutdown().unwrap_err(), "IofCompleteRequest");
}

#[test]
fn a_device_that_is_left_or_still_registered_is_reported() {
    let Some((_kernel, driver)) = start() else { return };
    notice(&driver, 0);
    misuse(driver.call_export("PlantedDeleteDevice", &[]).unwrap_err(), "IoDeleteDevice");
    let Some((_kernel, driver)) = start() else { return };
    notice(&driver, 0);
    let report = driver.unload().expect("no bug");
    assert!(report.leaks.iter().any(|leak| leak.what.contains("device object")), "{report}");
}
