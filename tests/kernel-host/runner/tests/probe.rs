//! The built driver looks whether its own filter is called.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Bench, wide};
use driver_abi::{Loss, ProbeOutcome, Protection, Status};
use kernel_host_runner::rig::Rig;

/// Lets time pass until the driver tells a status that will do.
fn until(rig: &mut Rig, what: &str, will_do: impl Fn(&Status) -> bool) -> Status {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        let status = rig.status().unwrap();
        if will_do(&status) {
            return status;
        }
        rig.advance(Duration::from_secs(6));
        sleep(Duration::from_millis(1));
    }
    panic!("{what} does not come: {:?}", rig.status());
}

#[test]
fn a_filter_that_is_called_is_seen_to_be() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let status = until(&mut rig, "a probe", |s| s.probe.outcome == ProbeOutcome::Seen);
    assert_eq!(status.protection, Protection::Full);
    let (events, at) = (status.events, status.probe.at);
    assert!(at > 0);
    // Five minutes later it is made again, and is nobody's event.
    rig.advance(Duration::from_secs(5 * 60));
    let later = until(&mut rig, "the next probe", |s| s.probe.at > at);
    assert!(later.probe.at - at >= 5 * 60 * 10_000_000);
    assert_eq!((later.events, later.detected), (events, status.detected));
    rig.unload().unwrap();
}

#[test]
fn a_filter_that_is_passed_by_is_no_protection_and_told_so() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    until(&mut rig, "a probe", |s| s.probe.outcome == ProbeOutcome::Seen);
    rig.kernel().bypass_filters(true);
    rig.advance(Duration::from_secs(5 * 60));
    let status = until(&mut rig, "the loss", |s| s.probe.outcome == ProbeOutcome::NotSeen);
    assert_eq!(status.protection, Protection::None(Loss::NotSeen));
    assert!(status.attached, "that it is attached is still true");
    // It is looked at again at every look, so the end of it is seen at once.
    rig.kernel().bypass_filters(false);
    let status = until(&mut rig, "the end", |s| s.probe.outcome == ProbeOutcome::Seen);
    assert_eq!(status.protection, Protection::Full);
    rig.unload().unwrap();
}

/// A filter above that ends opens itself: the driver's own is attached, in its place, and is never
/// called.
#[test]
fn a_filter_above_that_swallows_opens_is_noticed() {
    let Some(bench) = Bench::new() else { return };
    let Some(above) = kernel_host::artifacts::path("planted.sys") else { return };
    let boot = bench.boot();
    boot.machine.install_minifilter("planted", "409999");
    const PARAMETERS: &str =
        r"\Registry\Machine\System\CurrentControlSet\Services\planted\Parameters";
    boot.machine.registry().set_dword(PARAMETERS, "Bug", 38);
    let mut rig = boot.boot().unwrap();
    let planted = rig.kernel().load(&above).unwrap();
    assert!(planted.start().unwrap().is_success());
    rig.kernel().run_boot_reinitialization().unwrap();
    rig.advance(Duration::from_secs(5 * 60));
    let status = until(&mut rig, "the loss", |s| s.probe.outcome == ProbeOutcome::NotSeen);
    assert!(status.attached);
    planted.unload().unwrap();
    until(&mut rig, "the end", |s| s.probe.outcome == ProbeOutcome::Seen);
    rig.unload().unwrap();
}

/// A filter above that keeps what the driver opens: nobody else would ever say so, since the thread
/// that could waits there.
#[test]
fn a_probe_that_does_not_come_back_is_told_until_it_does() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let seen = until(&mut rig, "a probe", |s| s.probe.outcome == ProbeOutcome::Seen);
    rig.kernel().hold_pipes(true);
    rig.advance(Duration::from_secs(5 * 60));
    let status = until(&mut rig, "the hold", |s| s.probe.outcome == ProbeOutcome::Held);
    assert_eq!(status.protection, Protection::Degraded(Loss::ProbeHeld));
    assert!(status.probe.at > seen.probe.at, "since when, not when the last one was seen");
    rig.kernel().hold_pipes(false);
    let status = until(&mut rig, "the end", |s| s.probe.outcome == ProbeOutcome::Seen);
    assert_eq!(status.protection, Protection::Full);
    rig.unload().unwrap();
}

/// What the last one said is not forgotten for one that says nothing.
#[test]
fn a_probe_that_is_held_hides_no_worse_loss() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    rig.kernel().bypass_filters(true);
    rig.advance(Duration::from_secs(5 * 60));
    until(&mut rig, "the loss", |s| s.probe.outcome == ProbeOutcome::NotSeen);
    rig.kernel().hold_pipes(true);
    let status = until(&mut rig, "the hold", |s| s.losses.contains(Loss::ProbeHeld));
    assert_eq!(status.protection, Protection::None(Loss::NotSeen));
    rig.kernel().hold_pipes(false);
    rig.kernel().bypass_filters(false);
    until(&mut rig, "the end", |s| s.protection == Protection::Full);
    rig.unload().unwrap();
}

/// Nobody else can make a probe be seen: a name is not enough.
#[test]
fn a_pipe_with_such_a_name_is_an_event_as_any_other() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    rig.kernel().bypass_filters(true);
    rig.advance(Duration::from_secs(5 * 60));
    until(&mut rig, "the loss", |s| s.probe.outcome == ProbeOutcome::NotSeen);
    rig.kernel().bypass_filters(false);
    let before = rig.status().unwrap().events;
    let process = rig.create_process(4242, None);
    rig.connect_pipe(&process, &wide(r"\saker-probe-0123456789abcdef")).unwrap();
    assert_eq!(rig.status().unwrap().events, before + 1);
    rig.unload().unwrap();
}

#[test]
fn early_in_a_boot_there_is_nothing_to_be_seen() {
    let Some(bench) = Bench::new() else { return };
    let boot = bench.boot();
    let (kernel, driver) = boot.load().unwrap();
    assert!(driver.start().unwrap().is_success());
    // There is no named-pipe file system yet; that must not count as not being seen.
    for _ in 0..20 {
        kernel.advance(Duration::from_secs(2));
        sleep(Duration::from_millis(1));
    }
    kernel.check().unwrap();
    kernel.run_boot_reinitialization().unwrap();
    driver.unload().unwrap().assert_clean();
}
