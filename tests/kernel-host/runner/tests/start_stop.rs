//! The built driver is unloaded before it has finished starting.
//!
//! The filter manager may call the unload routine as soon as filtering has started, which is before
//! `DriverEntry` has returned.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::Bench;
use kernel_host::{Driver, Kernel, LeakReport, PipeOptions, ProcessSpec};

/// How long `DriverEntry` is kept where it is, for the unload to come as far as it can.
const LONG_ENOUGH: Duration = Duration::from_millis(20);

/// Starts the driver and unloads it on another thread when `api` has been called.
fn unload_after(kernel: &Kernel, driver: &Arc<Driver>, api: &'static str) -> LeakReport {
    let (send, unloading) = mpsc::channel();
    let unloaded = Arc::clone(driver);
    kernel.injector().afterwards(api, move || {
        send.send(thread::spawn(move || unloaded.unload())).unwrap();
        thread::sleep(LONG_ENOUGH);
    });
    let status = driver.start().unwrap_or_else(|bug| panic!("{bug}"));
    assert!(status.is_success(), "{status:?}");
    let unload = unloading.try_recv().expect("the driver calls that API while it starts");
    let report = unload.join().unwrap().unwrap_or_else(|bug| panic!("{bug}"));
    kernel.check().unwrap_or_else(|bug| panic!("{bug}"));
    report
}

#[test]
fn an_unload_waits_for_the_start_and_then_takes_everything_back() {
    let Some(bench) = Bench::new() else { return };
    // From the first moment at which the filter manager knows the filter to the last call.
    for api in ["FltRegisterFilter", "FltStartFiltering", "IoRegisterBootDriverReinitialization"] {
        let (kernel, driver) = bench.boot().load().unwrap();
        let report = unload_after(&kernel, &Arc::new(driver), api);
        assert!(report.is_clean(), "after {api}: {report}");
        assert!(report.refused.is_none());
    }
}

/// On a running system, where pipes are made meanwhile and the filter attaches at once.
#[test]
fn it_does_so_under_load_too_again_and_again() {
    let Some(bench) = Bench::new() else { return };
    let (kernel, driver) = bench.boot().load().unwrap();
    kernel.run_boot_reinitialization().unwrap();
    drop(driver);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for pid in [100, 104] {
            let (kernel, stop) = (&kernel, &stop);
            scope.spawn(move || {
                let process = kernel.create_process(ProcessSpec { pid, ..Default::default() });
                while !stop.load(Ordering::Relaxed) && kernel.check().is_ok() {
                    let made = kernel.create_named_pipe(&process, r"\ping", PipeOptions::default());
                    made.unwrap_or_else(|bug| panic!("{bug}"));
                }
            });
        }
        let _stop = Stop(&stop);
        for round in 0..20 {
            let driver = kernel.load(&bench.driver).unwrap();
            let report = unload_after(&kernel, &Arc::new(driver), "FltStartFiltering");
            assert!(report.is_clean(), "round {round}: {report}");
        }
    });
}

/// Tells the other threads of a test to end, also when this one panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The pair of the above: a start that fails where filtering would begin leaves nothing, and there
/// is nothing to be unloaded.
#[test]
fn a_filter_that_does_not_start_leaves_nothing() {
    let Some(bench) = Bench::new() else { return };
    let (kernel, driver) = bench.boot().load().unwrap();
    kernel.injector().fail_api("FltStartFiltering", 1);
    assert!(!driver.start().unwrap().is_success());
    kernel.outstanding().assert_clean();
    kernel.check().unwrap();
}
