//! The shipped driver boots, sees pipes, and leaves nothing, with nothing to judge by.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kernel_host::{ConnectOptions, Kernel, NtStatus, PipeOptions, ProcessSpec, artifacts};

#[test]
fn boots_and_unloads_cleanly_without_content() {
    let Some(path) = artifacts::path("saker.sys") else {
        return;
    };
    let kernel = Kernel::builder().build();
    let driver = kernel.load(path).expect("the image is a driver");
    assert_eq!(driver.unresolved(), [] as [&str; 0]);
    let status = driver.start().unwrap_or_else(|bug| panic!("{bug}"));
    assert_eq!(status, NtStatus::SUCCESS, "{:?}", kernel.debug_log());
    kernel.run_boot_reinitialization().unwrap_or_else(|bug| panic!("{bug}"));
    let image = Some(r"\Device\HarddiskVolume3\Windows\explorer.exe".to_owned());
    let process = kernel.create_process(ProcessSpec { pid: 4321, image, ..Default::default() });
    let server = kernel
        .create_named_pipe(&process, r"\some-pipe", PipeOptions::default())
        .unwrap_or_else(|bug| panic!("{bug}"));
    assert_eq!(server.status, NtStatus::SUCCESS);
    assert!(server.pre.is_some(), "the filter is attached");
    assert!(server.stack_used > 0 && server.stack_used < 4096, "{server:?}");
    let client = kernel
        .connect_pipe(&process, r"\some-pipe", ConnectOptions::default())
        .unwrap_or_else(|bug| panic!("{bug}"));
    assert_eq!(client.status, NtStatus::SUCCESS);
    kernel.advance(Duration::from_secs(60));
    driver.unload().unwrap_or_else(|bug| panic!("{bug}")).assert_clean();
}

/// Callbacks in flight while the filter is unregistered.
#[test]
fn unloads_under_load() {
    let Some(path) = artifacts::path("saker.sys") else {
        return;
    };
    let kernel = Kernel::builder().build();
    for _ in 0..10 {
        let driver = kernel.load(&path).expect("the image is a driver");
        assert!(driver.start().unwrap_or_else(|bug| panic!("{bug}")).is_success());
        kernel.run_boot_reinitialization().unwrap_or_else(|bug| panic!("{bug}"));
        let stop = AtomicBool::new(false);
        let seen = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for pid in [100, 104, 108] {
                let (kernel, stop, seen) = (&kernel, &stop, &seen);
                scope.spawn(move || {
                    let process = kernel.create_process(ProcessSpec { pid, ..Default::default() });
                    while !stop.load(Ordering::Relaxed) {
                        let outcome = kernel
                            .create_named_pipe(&process, r"\busy", PipeOptions::default())
                            .unwrap_or_else(|bug| panic!("{bug}"));
                        assert_eq!(outcome.status, NtStatus::SUCCESS);
                        seen.fetch_add(usize::from(outcome.pre.is_some()), Ordering::Relaxed);
                    }
                });
            }
            while seen.load(Ordering::Relaxed) < 100 && kernel.check().is_ok() {
                std::thread::yield_now();
            }
            let report = driver.unload();
            stop.store(true, Ordering::Relaxed);
            report.unwrap_or_else(|bug| panic!("{bug}")).assert_clean();
        });
    }
}

#[test]
fn stays_off_in_safe_mode() {
    let Some(path) = artifacts::path("saker.sys") else {
        return;
    };
    let kernel = Kernel::builder().safe_mode(1).build();
    let driver = kernel.load(path).expect("the image is a driver");
    let status = driver.start().unwrap_or_else(|bug| panic!("{bug}"));
    assert!(!status.is_success());
    kernel.outstanding().assert_clean();
}

#[test]
fn survives_every_single_failure_of_its_start() {
    let Some(path) = artifacts::path("saker.sys") else {
        return;
    };
    let mut failures = 0;
    for k in 1..200 {
        let kernel = Kernel::builder().build();
        kernel.injector().fail_call(k);
        let driver = kernel.load(&path).expect("the image is a driver");
        let status = driver.start().unwrap_or_else(|bug| panic!("call {k}: {bug}"));
        if status.is_success() {
            kernel.run_boot_reinitialization().unwrap_or_else(|bug| panic!("call {k}: {bug}"));
            let report = driver.unload().unwrap_or_else(|bug| panic!("call {k}: {bug}"));
            assert!(report.is_clean(), "call {k}, {:?}: {report}", kernel.injector().hits());
        } else {
            let report = kernel.outstanding();
            assert!(report.is_clean(), "call {k}, {:?}: {report}", kernel.injector().hits());
        }
        if kernel.injector().hits().is_empty() {
            break;
        }
        failures += 1;
    }
    assert!(failures > 3, "{failures}");
}
