//! The built driver under load: content that changes while threads are judged by it, and unloading
//! at any moment.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Bench, wide};
use driver_abi::{Hello, Interest, Message, PORT_NAME};
use kernel_host::{ConnectOptions, Driver, Kernel, Machine, PipeOptions, ProcessSpec};
use kernel_host_runner::rig::Boot;

const INBOX: &str = r"\SystemRoot\System32\drivers\CrowdStrike";

/// Tells the other threads of a test to end, also when this one panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Content whose sequence says how many of its rules match `\ping`: 1 to 7.
fn matching(sequence: u32) -> u32 {
    sequence % 7 + 1
}

fn rules(sequence: u32) -> String {
    let rule = |number: u32| {
        format!(
            r"
title: rule {number}
id: 00000000-0000-4000-8000-{number:012}
logsource: {{product: windows, category: pipe_created}}
detection: {{selection: {{PipeName|startswith: '\ping'}}, condition: selection}}
level: low
"
        )
    };
    (0..matching(sequence)).map(rule).collect::<Vec<_>>().join("---")
}

/// Threads judge without a pause while content is swapped under them: each event is judged by one
/// content as a whole, which the number of rules that matched shows.
#[test]
fn every_event_is_judged_by_one_content_as_a_whole() {
    const SWAPS: u32 = 40;
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.boot().parameter("PollSeconds", 1).boot().unwrap();
    let files: Vec<_> =
        (1..=SWAPS).map(|sequence| bench.file_of(&rules(sequence), 0, sequence)).collect();
    rig.listen(Interest::Everything).unwrap();
    let kernel = rig.kernel().clone();
    let stop = AtomicBool::new(false);
    let judged = AtomicU64::new(0);
    let mut seen = BTreeSet::new();
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        for pid in [100, 104, 108] {
            let (kernel, stop, judged) = (&kernel, &stop, &judged);
            scope.spawn(move || {
                let process = kernel.create_process(ProcessSpec { pid, ..Default::default() });
                while !stop.load(Ordering::Relaxed) && kernel.check().is_ok() {
                    let options = PipeOptions::default();
                    let outcome = kernel.create_named_pipe(&process, r"\ping", options);
                    outcome.unwrap_or_else(|bug| panic!("{bug}"));
                    judged.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for (sequence, (name, file)) in (1..).zip(&files) {
            kernel.machine().disk().write(&format!(r"{INBOX}\{name}"), file);
            // Until the first record of the new content: those before are of the old or of none.
            let deadline = Instant::now() + Duration::from_secs(20);
            while !seen.contains(&sequence) {
                assert!(Instant::now() < deadline, "content {sequence} does not come into force");
                kernel.advance(Duration::from_secs(2));
                let record = rig.record().unwrap();
                if record.sequence == 0 {
                    continue;
                }
                let found = (record.matched, record.hits().len());
                let expected = matching(record.sequence);
                assert_eq!(found, (expected, usize::try_from(expected).unwrap()));
                seen.insert(record.sequence);
            }
        }
    });
    kernel.check().unwrap();
    assert_eq!(seen.len(), files.len());
    assert!(judged.into_inner() > u64::from(SWAPS));
    rig.unload().unwrap();
}

/// A driver on a running system, started by hand, whose good content is in force.
fn start(kernel: &Arc<Kernel>, boot: &Boot<'_>) -> Driver {
    let driver = kernel.load(boot.driver).unwrap();
    driver.write_section(".anchor", boot.anchor).unwrap();
    let status = driver.start().unwrap_or_else(|bug| panic!("{bug}"));
    assert!(status.is_success(), "{status:?}");
    kernel.run_boot_reinitialization().unwrap_or_else(|bug| panic!("{bug}"));
    driver
}

/// A machine on which content is good.
fn machine(bench: &Bench) -> Machine {
    let rig = bench.ready();
    let machine = rig.machine();
    rig.unload().unwrap();
    machine
}

/// Unloads while pipes are made and opened, while clients come and go, while files are dropped and
/// read, and at once after the start: nothing is left, ever.
#[test]
fn unloads_under_load_a_thousand_times() {
    let Some(bench) = Bench::new() else { return };
    let boot = bench.boot().machine(machine(&bench));
    let kernel = Kernel::builder().machine(boot.machine.clone()).demand_start().build();
    // Past the minute in which files are not tried.
    kernel.advance(Duration::from_secs(70));
    let stop = AtomicBool::new(false);
    let (judged, heard) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        for pid in [100, 104] {
            let (kernel, stop, judged) = (&kernel, &stop, &judged);
            scope.spawn(move || {
                let process = kernel.create_process(ProcessSpec { pid, ..Default::default() });
                while !stop.load(Ordering::Relaxed) && kernel.check().is_ok() {
                    let made = kernel.create_named_pipe(&process, r"\odd", PipeOptions::default());
                    let made = made.unwrap_or_else(|bug| panic!("{bug}"));
                    kernel
                        .connect_pipe(&process, r"\odd", ConnectOptions::default())
                        .unwrap_or_else(|bug| panic!("{bug}"));
                    judged.fetch_add(u64::from(made.pre.is_some()), Ordering::Relaxed);
                }
            });
        }
        let (kernel_, stop_, heard_) = (&kernel, &stop, &heard);
        scope.spawn(move || {
            let hello = Hello { interest: Interest::Everything }.encode();
            while !stop_.load(Ordering::Relaxed) && kernel_.check().is_ok() {
                // There is no port while there is no driver.
                let client = kernel_.try_connect_port(PORT_NAME, &hello);
                if let Ok(client) = client.unwrap_or_else(|bug| panic!("{bug}")) {
                    for _ in 0..3 {
                        if let Some(bytes) = client.receive(Duration::from_millis(1)) {
                            Message::decode(&bytes).unwrap();
                            heard_.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                thread::yield_now();
            }
        });
        let mut sequence = 1;
        for round in 0..1_000_u64 {
            let driver = start(&kernel, &boot);
            let before = judged.load(Ordering::Relaxed);
            match round % 4 {
                // At once, whatever has been begun.
                0 => {}
                // When events are judged.
                1 => {
                    while judged.load(Ordering::Relaxed) < before + 3 && kernel.check().is_ok() {
                        thread::yield_now();
                    }
                }
                // While the worker looks at a new file, more or less far.
                2 => {
                    sequence += 1;
                    let (name, file) = bench.file(sequence);
                    boot.machine.disk().write(&format!(r"{INBOX}\{name}"), &file);
                    kernel.advance(Duration::from_secs(6));
                    thread::sleep(Duration::from_micros(round));
                }
                // While the status is on its way.
                _ => kernel.advance(Duration::from_secs(6)),
            }
            let report = driver.unload().unwrap_or_else(|bug| panic!("round {round}: {bug}"));
            assert!(report.is_clean(), "round {round}: {report}");
        }
    });
    kernel.check().unwrap();
    assert!(judged.into_inner() > 1_000);
    assert!(heard.into_inner() > 100);
}

/// What a boot registered is not called any more, and what it waited for is not waited for.
#[test]
fn unloads_before_and_right_after_the_boot_devices_are_ready() {
    let Some(bench) = Bench::new() else { return };
    let machine = machine(&bench);
    for after in [false, true] {
        for _ in 0..50 {
            // Before files can be opened no unload can write that it was one; a boot that leaves no
            // trace counts against what it served, so each of those begins with the same machine.
            let machine = if after { machine.clone() } else { machine.copy() };
            let boot = bench.boot().machine(machine);
            let (kernel, driver) = boot.load().unwrap();
            assert!(driver.start().unwrap().is_success());
            if after {
                kernel.run_boot_reinitialization().unwrap();
            }
            driver.unload().unwrap().assert_clean();
        }
    }
    // The content is as good as before.
    let mut rig = bench.boot().machine(machine).boot().unwrap();
    let process = rig.create_process(7, None);
    rig.listen(Interest::Everything).unwrap();
    assert_eq!(rig.create_pipe(&process, &wide(r"\odd")).unwrap().hits.len(), 2);
    rig.unload().unwrap();
}
