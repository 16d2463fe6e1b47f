//! `docs/traps.md` names a test for each trap of boot-start pipe filters; here is the one that fits
//! nowhere else, and the check that the others exist.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use common::Bench;
use driver_abi::{Hello, Interest, Message, PORT_NAME, Stage};
use kernel_host::Kernel;
use kernel_host_runner::rig::INBOX;

/// A boot reinitialization routine never runs for a driver that is started by hand.
#[test]
fn started_by_hand_it_takes_content_without_a_boot() {
    let Some(bench) = Bench::new() else { return };
    let boot = bench.boot();
    let (name, file) = bench.file(1);
    boot.machine.disk().write(&format!(r"{INBOX}\{name}"), &file);
    let kernel = Kernel::builder().machine(boot.machine.clone()).demand_start().build();
    let driver = kernel.load(&bench.driver).unwrap();
    driver.write_section(".anchor", &bench.anchor).unwrap();
    assert!(driver.start().unwrap().is_success());
    let hello = Hello { interest: Interest::Status }.encode();
    let client = kernel.connect_port(PORT_NAME, &hello).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let taken = loop {
        kernel.check().unwrap();
        match client.receive(Duration::from_millis(20)).map(|bytes| Message::decode(&bytes)) {
            Some(Ok(Message::Status(status))) if status.stage == Stage::Trial => break status,
            Some(Ok(_)) => {}
            Some(Err(error)) => panic!("{error:?}"),
            None => kernel.advance(Duration::from_secs(6)),
        }
        assert!(Instant::now() < deadline, "the content is not taken");
    };
    assert_eq!((taken.sequence, taken.accepted), (1, 1));
    drop(client);
    driver.unload().unwrap().assert_clean();
}

/// Each row of the table names files and tests; a test that is renamed must be renamed there.
#[test]
fn every_trap_has_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let page = fs::read_to_string(root.join("docs/traps.md")).unwrap();
    let rows: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit())
        .collect();
    assert_eq!(rows.len(), 15);
    for (row, number) in rows.iter().zip(1..) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        assert_eq!(cells[1], number.to_string());
        let mut file = String::new();
        let mut tests = 0;
        for word in cells[3].split('`').skip(1).step_by(2) {
            if word.ends_with(".rs") {
                file = fs::read_to_string(root.join(word)).unwrap_or_else(|_| panic!("{word}"));
            } else {
                assert!(file.contains(&format!("fn {word}(")), "trap {number}: no test {word}");
                tests += 1;
            }
        }
        assert!(tests > 0, "trap {number} has no test");
    }
}
