//! What the built driver tells Event Tracing for Windows.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Bench, EXPLORER, created, wide};
use driver_abi::{Interest, Verdict};
use driver_core::events::{self, Guid, PROVIDER_GUID};
use kernel_host::{Kernel, Trace, TraceEvent, TraceValue};
use kernel_host_runner::client::Client;
use kernel_host_runner::rig::Rig;

const INFORMATION: u8 = 4;
const WARNING: u8 = 3;
const PATIENCE: Duration = Duration::from_secs(20);

fn guid() -> [u8; 16] {
    let Guid { data1, data2, data3, data4 } = PROVIDER_GUID;
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&data1.to_le_bytes());
    bytes[4..6].copy_from_slice(&data2.to_le_bytes());
    bytes[6..8].copy_from_slice(&data3.to_le_bytes());
    bytes[8..].copy_from_slice(&data4);
    bytes
}

fn listen(kernel: &Kernel) -> Trace {
    kernel.start_trace(guid(), INFORMATION, u64::MAX)
}

/// Waits for an event of this name and gives it, with all that came before it. What came after it is
/// there for the next call.
fn until(kernel: &Kernel, trace: &Trace, name: &str) -> (TraceEvent, Vec<TraceEvent>) {
    let deadline = Instant::now() + PATIENCE;
    let mut seen: Vec<TraceEvent> = Vec::new();
    while Instant::now() < deadline {
        while let Some(event) = trace.next() {
            if event.name == name {
                return (event, seen);
            }
            seen.push(event);
        }
        kernel.check().unwrap();
        kernel.advance(Duration::from_secs(2));
        sleep(Duration::from_millis(1));
    }
    let names: Vec<_> = seen.iter().map(|event| &event.name).collect();
    panic!("no {name} came, but {names:?}");
}

fn names(events: &[TraceEvent]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

#[test]
fn verdicts_are_told_to_a_trace_alone() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    rig.listen(Interest::Status).unwrap();
    let kernel = rig.kernel().clone();
    let trace = kernel.start_trace(guid(), WARNING, events::VERDICT.bit);
    let process = rig.create_process(4242, EXPLORER.map(wide));
    let options = kernel_host::PipeOptions::default;
    for pipe in [r"\good", r"\odd", r"\evil.7"] {
        kernel.create_named_pipe(&process, pipe, options()).unwrap();
    }
    let (block, before) = until(&kernel, &trace, "Block");
    assert_eq!(names(&before), ["Detection"], "an event that is allowed is not told");
    let detection = &before[0];
    assert_eq!((detection.level, detection.keyword), (3, events::VERDICT.bit));
    assert_eq!(detection.provider, "Saker");
    assert_eq!(detection.text("PipeName").as_deref(), Some(r"\odd"));
    assert_eq!(detection.text("Image").as_deref(), Some(r"C:\Windows\explorer.exe"));
    assert_eq!(detection.text("Operation").as_deref(), Some("created"));
    assert_eq!(detection.number("ProcessId"), Some(4242));
    assert_eq!((detection.number("Epoch"), detection.number("Sequence")), (Some(0), Some(1)));
    assert_eq!((detection.number("Matched"), detection.number("Undecided")), (Some(1), Some(0)));
    assert_eq!(detection.field("Rules"), Some(&TraceValue::Array(vec![TraceValue::Number(1)])));
    assert_eq!(detection.number("Result"), Some(0));
    assert_eq!(detection.text("Instance").as_deref(), Some("first"));
    assert!(matches!(detection.field("User"), Some(TraceValue::Sid(sid)) if sid.len() > 8));
    assert_eq!(detection.text("Remote").as_deref(), Some("no"));
    assert_eq!(block.number("Result"), Some(0xFFFF_FFFF_C000_0022));
    assert_eq!(block.text("PipeName").as_deref(), Some(r"\evil.7"));
    assert!(block.number("Event") > detection.number("Event"));
    drop(trace);
    rig.unload().unwrap();
}

#[test]
fn a_client_and_a_trace_hear_the_same_and_neither_takes_it_from_the_other() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let kernel = rig.kernel().clone();
    let trace = listen(&kernel);
    assert_eq!(created(&mut rig, r"\odd", EXPLORER), Verdict::Detect);
    until(&kernel, &trace, "Detection");
    drop(trace);
    // Without a trace the client still hears.
    assert_eq!(created(&mut rig, r"\odd", EXPLORER), Verdict::Detect);
    let again = listen(&kernel);
    assert_eq!(created(&mut rig, r"\odd", None), Verdict::Detect);
    let (detection, before) = until(&kernel, &again, "Detection");
    assert!(!names(&before).contains(&"Detection"), "what came while nobody listened");
    assert_eq!(detection.text("Image").as_deref(), Some(""));
    rig.unload().unwrap();
}

/// A boot with a trace that was there before the driver, as an autologger is.
#[test]
fn a_boot_and_what_becomes_of_files() {
    let Some(bench) = Bench::new() else { return };
    let (kernel, driver) = bench.boot().load().unwrap();
    let trace = listen(&kernel);
    assert!(driver.start().unwrap().is_success());
    let (started, _) = until(&kernel, &trace, "Started");
    assert_eq!(started.text("Mode").as_deref(), Some("enforce"));
    assert_eq!(kernel.trace_providers(), ["Saker"]);
    kernel.run_boot_reinitialization().unwrap();
    until(&kernel, &trace, "Attached");
    let report = driver.unload().unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(names(&trace.take()).contains(&"Stopped"));
    assert_eq!(kernel.trace_providers(), [""; 0]);
}

/// Nobody has ever connected to the port.
#[test]
fn a_trace_needs_no_client() {
    let Some(bench) = Bench::new() else { return };
    let boot = bench.boot();
    let (name, file) = bench.file(1);
    boot.machine.disk().write(&format!(r"\SystemRoot\System32\drivers\CrowdStrike\{name}"), &file);
    let (kernel, driver) = boot.load().unwrap();
    let trace = listen(&kernel);
    assert!(driver.start().unwrap().is_success());
    kernel.run_boot_reinitialization().unwrap();
    kernel.advance(Duration::from_secs(61));
    until(&kernel, &trace, "ContentAccepted");
    let image = EXPLORER.map(str::to_owned);
    let spec = kernel_host::ProcessSpec { pid: 77, image, ..Default::default() };
    let process = kernel.create_process(spec);
    let options = kernel_host::PipeOptions::default();
    kernel.create_named_pipe(&process, r"\odd", options).unwrap();
    let (detection, _) = until(&kernel, &trace, "Detection");
    assert_eq!(detection.text("PipeName").as_deref(), Some(r"\odd"));
    driver.unload().unwrap().assert_clean();
}

#[test]
fn content_is_told_from_its_acceptance_to_its_refusal() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.boot().boot().unwrap();
    let kernel = rig.kernel().clone();
    let trace = listen(&kernel);
    let (name, file) = bench.file(1);
    rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
    let (accepted, _) = until(&kernel, &trace, "ContentAccepted");
    assert_eq!((accepted.number("Sequence"), accepted.number("RuleCount")), (Some(1), Some(3)));
    assert_eq!(accepted.number("MayBlock"), Some(1));
    let (change, _) = until(&kernel, &trace, "ProtectionChanged");
    assert_eq!(change.text("Protection").as_deref(), Some("degraded"));
    assert_eq!(change.text("Reason").as_deref(), Some("on_trial"));
    rig.mature().unwrap();
    let (_, before) = until(&kernel, &trace, "ContentPromoted");
    assert!(!names(&before).contains(&"ContentAccepted"));

    let (name, mut file) = bench.file(2);
    *file.last_mut().unwrap() ^= 1;
    rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
    let (refused, _) = until(&kernel, &trace, "ContentRefused");
    assert_eq!(refused.text("Name").as_deref(), Some("DigestMismatch"));
    assert_eq!(refused.text("Fault").as_deref(), Some("file"));
    assert_eq!((refused.number("Code"), refused.number("Sequence")), (Some(25), Some(2)));
    assert_eq!(refused.level, 2);
    rig.unload().unwrap();
}

fn odd_rule(number: u32) -> String {
    format!(
        "title: a pipe to report\nid: 00000000-0000-4000-8000-0000000000{number}\n\
         logsource: {{product: windows, category: pipe_created}}\n\
         detection: {{selection: {{PipeName: '\\odd{number}'}}, condition: selection}}\nlevel: low\n"
    )
}

#[test]
fn what_finds_no_room_is_told_as_lost() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.boot().boot().unwrap();
    // Of many rules, so that none is told too often.
    let rules: Vec<String> = (10..20).map(odd_rule).collect();
    let (name, file) = bench.file_of(&rules.join("---\n"), 0, 1);
    rig.drop_files(std::iter::once((name.as_str(), &file))).unwrap();
    rig.listen(Interest::Everything).unwrap();
    let kernel = rig.kernel().clone();
    let trace = kernel.start_trace(guid(), WARNING, events::VERDICT.bit);
    // The client takes nothing, so the sender is held up and the ring fills.
    for number in 0..400 {
        rig.create_pipe_unheard(&format!(r"\odd{}", 10 + number % 10)).unwrap();
    }
    rig.listen(Interest::Status).unwrap();
    // How often the loss is told depends on how the two threads take turns.
    let (mut told, mut lost) = (0, 0);
    let deadline = Instant::now() + PATIENCE;
    while told + lost < 400 && Instant::now() < deadline {
        for event in trace.take() {
            match event.name.as_str() {
                "Detection" => told += 1,
                "RecordsDropped" => lost += event.number("Dropped").unwrap(),
                other => panic!("{other}"),
            }
        }
        kernel.check().unwrap();
        kernel.advance(Duration::from_secs(2));
        sleep(Duration::from_millis(1));
    }
    assert_eq!((told + lost, lost > 0), (400, true));
    rig.unload().unwrap();
}

#[test]
fn a_provider_that_cannot_be_registered_stops_nothing() {
    let Some(bench) = Bench::new() else { return };
    for api in ["EtwRegister", "EtwSetInformation"] {
        let (kernel, driver) = bench.boot().load().unwrap();
        kernel.injector().fail_api(api, 1);
        assert!(driver.start().unwrap().is_success(), "{api}");
        kernel.run_boot_reinitialization().unwrap();
        assert_eq!(kernel.injector().hits().len(), 1);
        driver.unload().unwrap().assert_clean();
    }
}

#[test]
fn an_event_that_cannot_be_written_stops_nothing() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let kernel: std::sync::Arc<Kernel> = rig.kernel().clone();
    let trace = kernel.start_trace(guid(), WARNING, events::VERDICT.bit);
    kernel.injector().fail_api("EtwWriteTransfer", 1);
    assert_eq!(created(&mut rig, r"\odd", EXPLORER), Verdict::Detect);
    assert_eq!(created(&mut rig, r"\odd", EXPLORER), Verdict::Detect);
    let (second, before) = until(&kernel, &trace, "Detection");
    assert!(before.is_empty() && second.number("Event").is_some());
    rig.unload().unwrap();
}

#[test]
fn the_end_of_a_client_is_told_once() {
    let Some(bench) = Bench::new() else { return };
    let (kernel, driver) = bench.boot().start().unwrap();
    let trace = kernel.start_trace(guid(), INFORMATION, events::LIFE.bit);
    let process = kernel.create_process(kernel_host::ProcessSpec::default());
    let connect = || Client::connect(&kernel, &process, Interest::Everything).unwrap().unwrap();
    let stuck = connect();
    let start = Instant::now();
    while !stuck.port().is_closed() {
        kernel.create_named_pipe(&process, r"\any", kernel_host::PipeOptions::default()).unwrap();
        sleep(Duration::from_millis(10));
        assert!(start.elapsed() < PATIENCE, "it is never dropped");
    }
    assert_eq!(until(&kernel, &trace, "ClientGone").0.number("Stuck"), Some(1));
    // It closes its handle; that is no news. What is next is another's end.
    drop(stuck);
    drop(connect());
    assert_eq!(until(&kernel, &trace, "ClientGone").0.number("Stuck"), Some(0));
    driver.unload().unwrap().assert_clean();
    assert!(!names(&trace.take()).contains(&"ClientGone"));
}

/// Only what a session asks for is told.
#[test]
fn level_and_keyword_choose() {
    let Some(bench) = Bench::new() else { return };
    let mut rig: Rig = bench.ready();
    let kernel = rig.kernel().clone();
    let life = kernel.start_trace(guid(), INFORMATION, events::LIFE.bit);
    let errors = kernel.start_trace(guid(), 2, u64::MAX);
    assert_eq!(created(&mut rig, r"\odd", EXPLORER), Verdict::Detect);
    rig.listen(Interest::Status).unwrap();
    until(&kernel, &life, "ClientConnected");
    assert_eq!(names(&errors.take()), [""; 0]);
    rig.unload().unwrap();
    assert!(!names(&life.take()).contains(&"Detection"));
}

#[test]
fn a_probe_that_does_not_come_back_is_told_once() {
    let Some(bench) = Bench::new() else { return };
    let rig = bench.ready();
    let kernel = rig.kernel().clone();
    let trace = kernel.start_trace(guid(), INFORMATION, events::PROTECTION.bit);
    kernel.hold_pipes(true);
    kernel.advance(Duration::from_secs(5 * 60));
    let (held, _) = until(&kernel, &trace, "ProbeHeld");
    assert!(held.number("Time").is_some_and(|time| time > 0));
    let (changed, _) = until(&kernel, &trace, "ProtectionChanged");
    assert_eq!(changed.text("Reason").as_deref(), Some("probe_held"));
    kernel.hold_pipes(false);
    let (changed, before) = until(&kernel, &trace, "ProtectionChanged");
    assert_eq!(changed.text("WasReason").as_deref(), Some("probe_held"));
    assert!(!names(&before).contains(&"ProbeHeld"));
    rig.unload().unwrap();
}

#[test]
fn what_the_start_could_not_do_is_told() {
    let Some(bench) = Bench::new() else { return };
    let (kernel, driver) = bench.boot().parameter("PollSeconds", 0).load().unwrap();
    let trace = listen(&kernel);
    kernel.injector().fail_api("PsSetCreateProcessNotifyRoutineEx", 1);
    assert!(driver.start().unwrap().is_success());
    let (unwatched, before) = until(&kernel, &trace, "ProcessesUnwatched");
    assert!(unwatched.number("Status").is_some_and(|status| status != 0));
    let before = if names(&before).contains(&"SettingRefused") {
        before
    } else {
        vec![until(&kernel, &trace, "SettingRefused").0]
    };
    let refused = before.iter().find(|event| event.name == "SettingRefused").unwrap();
    assert_eq!(refused.text("Name").as_deref(), Some("PollSeconds"));
    // And stands in the status, for whoever comes later.
    let mut rig = Rig::connect(kernel, driver).unwrap();
    let status = rig.status().unwrap();
    let told = unwatched.number("Status").map(|status| u32::try_from(status & 0xFFFF_FFFF));
    assert_eq!(told, Some(Ok(status.unwatched)));
    rig.unload().unwrap();
}

/// The one that is given up closes its handle later; its end is told once.
#[test]
fn a_stuck_client_is_told_as_such_and_once() {
    let Some(bench) = Bench::new() else { return };
    let (kernel, driver) = bench.boot().load().unwrap();
    assert!(driver.start().unwrap().is_success());
    kernel.run_boot_reinitialization().unwrap();
    let trace = kernel.start_trace(guid(), INFORMATION, events::LIFE.bit);
    let process = kernel.create_process(kernel_host::ProcessSpec::default());
    let stuck = Client::connect(&kernel, &process, Interest::Everything).unwrap().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !stuck.port().is_closed() {
        assert!(Instant::now() < deadline, "it is never given up");
        let options = kernel_host::PipeOptions::default();
        kernel.create_named_pipe(&process, r"\fine", options).unwrap();
        sleep(Duration::from_millis(5));
    }
    let (gone, _) = until(&kernel, &trace, "ClientGone");
    assert_eq!(gone.number("Stuck"), Some(1));
    drop(stuck);
    let patient = Client::connect(&kernel, &process, Interest::Status).unwrap().unwrap();
    drop(patient);
    let (gone, _) = until(&kernel, &trace, "ClientGone");
    assert_eq!(gone.number("Stuck"), Some(0));
    driver.unload().unwrap().assert_clean();
    assert!(!names(&trace.take()).contains(&"ClientGone"));
}
