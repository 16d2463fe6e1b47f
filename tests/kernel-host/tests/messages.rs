//! Messages from user mode through a real driver: what its callback may do wrong is caught, and
//! what a hostile program may do is done.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::sync::Arc;
use std::time::Duration;

use kernel_host::{
    Access, Bug, BugKind, Driver, Kernel, NtStatus, PortClient, ProcessSpec, UserInput, artifacts,
};

const PORT: &str = r"\PlantedPort";

/// What `PlantedMessageBug` picks.
const COPIED_ONCE: u64 = 1;
const TOUCHED_DIRECTLY: u64 = 2;
const FETCHED_TWICE: u64 = 3;
const WAITS_FOR_EVER: u64 = 4;
const LEAVES_LENGTH_OPEN: u64 = 5;

struct Run {
    client: PortClient,
    driver: Driver,
    kernel: Arc<Kernel>,
}

impl Run {
    fn send(&self, input: &UserInput) -> Result<NtStatus, Box<Bug>> {
        let process = self.kernel.system_process();
        self.client.send_from(process, input, 0).map(|(status, _)| status)
    }
}

fn start(bug: u64) -> Option<Run> {
    let path = artifacts::path("planted.sys")?;
    let kernel = Kernel::builder().hang_limit(Duration::from_millis(500)).build();
    let driver = kernel.load(path).expect("the image is a driver");
    assert!(driver.start().expect("no bug").is_success());
    kernel.run_boot_reinitialization().expect("no bug");
    for (name, argument) in [("PlantedOpenPort", 0), ("PlantedMessageBug", bug)] {
        driver.call_export(name, &[argument]).unwrap_or_else(|bug| panic!("{name}: {bug}"));
    }
    let client = kernel.connect_port(PORT, b"hello").expect("no bug");
    Some(Run { client, driver, kernel })
}

/// One length byte, and as many bytes as a sound message has.
fn message(length: u8) -> Vec<u8> {
    [vec![length], vec![1; 15]].concat()
}

fn changing() -> UserInput {
    UserInput::Changing { first: message(3), then: message(200) }
}

#[test]
fn a_sound_callback_survives_every_input() {
    let Some(run) = start(COPIED_ONCE) else { return };
    assert_eq!(run.send(&message(3).as_slice().into()).unwrap(), NtStatus(3));
    assert_eq!(run.send(&changing()).unwrap(), NtStatus(3), "it saw the first of two contents");
    assert_eq!(run.send(&UserInput::Unmapped(16)).unwrap(), NtStatus::ACCESS_VIOLATION);
    assert_eq!(run.send(&UserInput::At(0x30, 16)).unwrap(), NtStatus::ACCESS_VIOLATION);
    run.driver.call_export("PlantedClosePort", &[]).unwrap();
    drop(run.client);
    run.driver.unload().unwrap().assert_clean();
}

#[test]
fn a_touch_of_user_memory_is_a_fault_when_it_is_gone() {
    let Some(run) = start(TOUCHED_DIRECTLY) else { return };
    assert_eq!(run.send(&message(3).as_slice().into()).unwrap(), NtStatus(3));
    let bug = run.send(&UserInput::Unmapped(16)).unwrap_err();
    assert!(matches!(bug.kind, BugKind::Fault { access: Access::Read, .. }), "{bug}");
    assert!(bug.blames("messages::touched_directly"), "{bug}");
}

#[test]
fn a_length_that_is_read_twice_is_caught() {
    let Some(run) = start(FETCHED_TWICE) else { return };
    assert_eq!(run.send(&message(3).as_slice().into()).unwrap(), NtStatus(2));
    let bug = run.send(&changing()).unwrap_err();
    assert!(matches!(bug.kind, BugKind::Fault { access: Access::Read, .. }), "{bug}");
    assert!(bug.blames("messages::fetched_twice"), "{bug}");
    assert!(bug.to_string().contains("offset +16 of a live block of 16 bytes"), "{bug}");
}

#[test]
fn a_callback_that_waits_for_a_client_for_ever_is_caught() {
    let Some(run) = start(WAITS_FOR_EVER) else { return };
    let bug = run.send(&message(3).as_slice().into()).unwrap_err();
    assert!(matches!(bug.kind, BugKind::Misuse { api: "FltSendMessage", .. }), "{bug}");
    assert!(bug.blames("messages::waits_for_ever"), "{bug}");
}

#[test]
fn a_callback_that_says_nothing_of_its_output_is_caught() {
    let Some(run) = start(LEAVES_LENGTH_OPEN) else { return };
    let bug = run.send(&message(3).as_slice().into()).unwrap_err();
    assert!(matches!(&bug.kind, BugKind::Filter(why) if why.contains("length")), "{bug}");
    assert_eq!(run.kernel.crash_report().unwrap().kind, bug.kind);
}

#[test]
fn a_process_is_the_current_one_while_it_connects_and_sends() {
    let Some(run) = start(COPIED_ONCE) else { return };
    drop(run.client);
    let process = run.kernel.create_process(ProcessSpec { pid: 77, ..Default::default() });
    let client = run.kernel.try_connect_port_as(&process, PORT, b"hello").unwrap().unwrap();
    assert_eq!(client.send(&message(5), 0).unwrap().0, NtStatus(5));
    let other = run.kernel.create_process(ProcessSpec { pid: 78, ..Default::default() });
    let (status, _) = client.send_from(&other, &message(6).as_slice().into(), 0).unwrap();
    assert_eq!(status, NtStatus(6), "whether another process may send is the driver's to say");
}
