//! Nothing disarms the built driver in silence: whatever could is told by its status and by an event.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::cell::RefCell;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use channel_compiler::BuildOptions;
use channel_compiler::control::{ControlOptions, ControlSource};
use channel_compiler::{SecretKey, sign};
use channel_format::anchor::Anchor;
use channel_format::refusal::Code;
use channel_format::signature::Role;
use common::{Bench, RULES, name, options};
use driver_abi::{Cause, Loss, Protection, Stage, Status};
use driver_core::events::PROVIDER_GUID;
use kernel_host::{Kernel, Trace, TraceEvent};
use kernel_host_runner::rig::{Boot, INBOX, Rig, STATE};

const INFORMATION: u8 = 4;
const PATIENCE: Duration = Duration::from_secs(20);

/// What came, kept until somebody asks for it: in which order two things are told depends on when
/// the worker looks.
struct Heard {
    trace: Trace,
    kept: RefCell<Vec<TraceEvent>>,
}

fn listen(kernel: &Kernel) -> Heard {
    let guid = PROVIDER_GUID;
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&guid.data1.to_le_bytes());
    bytes[4..6].copy_from_slice(&guid.data2.to_le_bytes());
    bytes[6..8].copy_from_slice(&guid.data3.to_le_bytes());
    bytes[8..].copy_from_slice(&guid.data4);
    let trace = kernel.start_trace(bytes, INFORMATION, u64::MAX);
    Heard { trace, kept: RefCell::default() }
}

/// Waits for an event that will do.
fn hear(
    kernel: &Kernel,
    heard: &Heard,
    mut will_do: impl FnMut(&TraceEvent) -> bool,
) -> TraceEvent {
    let deadline = Instant::now() + PATIENCE;
    let mut kept = heard.kept.borrow_mut();
    if let Some(place) = kept.iter().position(&mut will_do) {
        return kept.remove(place);
    }
    while Instant::now() < deadline {
        while let Some(event) = heard.trace.next() {
            if will_do(&event) {
                return event;
            }
            kept.push(event);
        }
        kernel.check().unwrap();
        kernel.advance(Duration::from_secs(2));
        sleep(Duration::from_millis(1));
    }
    let names: Vec<_> = kept.iter().map(|event| &event.name).collect();
    panic!("it did not come, but {names:?}");
}

/// The next event of this name that will do.
fn told(rig: &Rig, trace: &Heard, name: &str, will_do: impl Fn(&TraceEvent) -> bool) -> TraceEvent {
    hear(rig.kernel(), trace, |event| event.name == name && will_do(event))
}

/// Boots with a listener from the first moment.
fn boot_and_hear(boot: &Boot<'_>, listen_to: impl FnOnce(&Kernel, &Heard)) -> Arc<Kernel> {
    let (kernel, driver) = boot.load().unwrap();
    let trace = listen(&kernel);
    assert!(driver.start().unwrap().is_success());
    kernel.run_boot_reinitialization().unwrap();
    listen_to(&kernel, &trace);
    kernel
}

/// The change of protection that has this reason.
fn lost(rig: &Rig, trace: &Heard, level: &str, loss: Loss) {
    let change = told(rig, trace, "ProtectionChanged", |event| {
        event.text("Reason").as_deref() == Some(loss.name())
    });
    assert_eq!(change.text("Protection").as_deref(), Some(level));
}

fn drop_file(rig: &mut Rig, (name, bytes): &(String, Vec<u8>)) -> Status {
    rig.drop_files(std::iter::once((name.as_str(), bytes))).unwrap()
}

/// Good content in force and someone who listens.
fn ready(bench: &Bench) -> (Rig, Heard) {
    let mut rig = bench.ready();
    rig.listen(driver_abi::Interest::Status).unwrap();
    let trace = listen(rig.kernel());
    (rig, trace)
}

#[test]
fn a_file_that_lost_its_rules_on_the_way() {
    let Some(bench) = Bench::new() else { return };
    let (mut rig, trace) = ready(&bench);
    let one = RULES.split("---").next().unwrap();
    let status = drop_file(&mut rig, &bench.file_of(one, 0, 2));
    assert_eq!((status.sequence, status.rules), (1, 3), "{status:?}");
    assert_eq!(status.protection, Protection::Degraded(Loss::Refused));
    let refused = told(&rig, &trace, "ContentRefused", |_| true);
    assert_eq!(refused.number("Code"), Some(Code::FewerRules.number().into()));
    lost(&rig, &trace, "degraded", Loss::Refused);
    // Who means it says so.
    let meant = BuildOptions { shrink: true, ..options(3) };
    let status = drop_file(&mut rig, &(name(0, 3), bench.file_with(one, &meant)));
    assert_eq!((status.sequence, status.rules), (3, 1), "{status:?}");
    told(&rig, &trace, "ContentAccepted", |_| true);
    drop(trace);
    rig.unload().unwrap();
}

#[test]
fn a_flood_of_files() {
    let Some(bench) = Bench::new() else { return };
    let (mut rig, trace) = ready(&bench);
    rig.kernel().rest(PATIENCE);
    for number in 0..400 {
        rig.machine().disk().write(&format!(r"{INBOX}\{}", name(0, 100 + number)), [0x5A; 64]);
    }
    let status = rig.drop_files([].into_iter()).unwrap();
    assert_eq!((status.stage, status.sequence), (Stage::Good, 1));
    assert_eq!(status.protection, Protection::Degraded(Loss::NoInbox), "{status:?}");
    told(&rig, &trace, "ContentRefused", |_| true);
    lost(&rig, &trace, "degraded", Loss::NoInbox);
    drop(trace);
    rig.unload().unwrap();
}

#[test]
fn a_file_that_somebody_keeps_to_himself() {
    let Some(bench) = Bench::new() else { return };
    let (mut rig, trace) = ready(&bench);
    rig.kernel().rest(PATIENCE);
    let (name, file) = bench.file(2);
    let path = format!(r"{INBOX}\{name}");
    rig.machine().disk().write(&path, &file);
    let held = rig.machine().disk().hold(&path, 0);
    let status = rig.drop_files([].into_iter()).unwrap();
    assert_eq!((status.sequence, status.refusal.cause), (1, Cause::Held), "{status:?}");
    let refused = told(&rig, &trace, "ContentRefused", |_| true);
    assert_eq!(refused.text("Cause").as_deref(), Some("held"));
    lost(&rig, &trace, "degraded", Loss::Refused);
    drop(held);
    rig.status_when("the file", |status| status.sequence == 2).unwrap();
    drop(trace);
    rig.unload().unwrap();
}

/// Somebody who can reset the machine can walk it down the ladder, and be heard.
#[test]
fn resets_that_walk_the_ladder() {
    let Some(bench) = Bench::new() else { return };
    let (mut rig, trace) = ready(&bench);
    drop_file(&mut rig, &bench.file_of(&RULES.replace("odd", "strange"), 0, 2));
    rig.mature().unwrap();
    told(&rig, &trace, "ContentPromoted", |_| true);
    drop(trace);
    let machine = rig.machine();
    rig.power_off();
    for sequence in [1, 2] {
        assert!(machine.disk().remove(&format!(r"{INBOX}\{}", name(0, sequence))));
    }
    for (slots, serves) in [(1, 1), (2, 0)] {
        let boot = bench.boot().machine(machine.clone());
        let kernel = boot_and_hear(&boot, |kernel, trace| {
            let mut out = 0;
            hear(kernel, trace, |event| {
                out +=
                    u32::from(event.name == "SlotOut" && event.text("State").unwrap() == "waits");
                out == slots
            });
            if serves > 0 {
                hear(kernel, trace, |event| {
                    event.name == "ProtectionChanged"
                        && event.text("Protection").as_deref() == Some("degraded")
                        && event.text("Reason").as_deref() == Some(Loss::FellBack.name())
                });
            }
        });
        kernel.power_off();
    }
}

#[test]
fn a_sequence_that_jumps() {
    let Some(bench) = Bench::new() else { return };
    let (mut rig, trace) = ready(&bench);
    drop_file(&mut rig, &bench.file(50_000_000));
    let status = rig.mature().unwrap();
    assert_eq!(status.protection, Protection::Degraded(Loss::SequenceJump), "{status:?}");
    lost(&rig, &trace, "degraded", Loss::SequenceJump);
    drop(trace);
    let machine = rig.machine();
    rig.unload().unwrap();
    let mut rig = bench.boot().machine(machine).boot().unwrap();
    let status = rig.status().unwrap();
    assert_eq!(status.protection, Protection::Degraded(Loss::SequenceJump), "{status:?}");
    // The next epoch undoes it.
    drop_file(&mut rig, &bench.file_of(RULES, 1, 1));
    assert_eq!(rig.mature().unwrap().protection, Protection::Full);
    rig.unload().unwrap();
}

#[test]
fn what_the_root_keys_said_is_lost() {
    let Some(bench) = Bench::new() else { return };
    let root = SecretKey::from_seed([21; 32], Role::Root, false, 0..=0).unwrap();
    let anchor = Anchor::encode(&[root.public], 1, &[bench.key.public]).unwrap();
    let source = ControlSource::parse("keys: [{key: test, epochs: 0-9}]").unwrap();
    let position = ControlOptions { epoch: 0, sequence: 1, created: 0, expires: 0 };
    let mut file = source.build(&[bench.key.public], &position).unwrap();
    sign(&mut file, &root).unwrap();
    let mut rig = Boot::new(&bench.driver, &anchor).boot().unwrap();
    let trace = listen(rig.kernel());
    drop_file(&mut rig, &("C-00000000-00000000-00000001.sys".to_owned(), file));
    told(&rig, &trace, "ControlTaken", |_| true);
    drop_file(&mut rig, &bench.file(1));
    assert_eq!(rig.mature().unwrap().protection, Protection::Full);
    drop(trace);
    let machine = rig.machine();
    rig.unload().unwrap();
    for gone in [
        format!(r"{STATE}\control-a.sys"),
        format!(r"{STATE}\control-b.sys"),
        format!(r"{INBOX}\C-00000000-00000000-00000001.sys"),
    ] {
        assert!(machine.disk().remove(&gone), "{gone}");
    }
    let boot = Boot::on(&bench.driver, &anchor, machine.clone());
    let kernel = boot_and_hear(&boot, |kernel, trace| {
        hear(kernel, trace, |event| {
            event.name == "ProtectionChanged"
                && event.text("Protection").as_deref() == Some("degraded")
                && event.text("Reason").as_deref() == Some(Loss::NoControl.name())
        });
    });
    kernel.power_off();
    let mut rig = Boot::on(&bench.driver, &anchor, machine).boot().unwrap();
    let status = rig.status().unwrap();
    assert_eq!((status.stage, status.sequence), (Stage::Good, 1), "the anchor knows its key");
    assert_eq!(status.protection, Protection::Degraded(Loss::NoControl), "{status:?}");
    rig.unload().unwrap();
}
