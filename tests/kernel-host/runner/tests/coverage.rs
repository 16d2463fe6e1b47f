//! Coverage of the image that ships: `SAKER_COVERAGE` and `kernel-host coverage`, end to end.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::Bench;
use kernel_host::coverage::{Report, VARIABLE};

const HOST: &str = env!("CARGO_BIN_EXE_kernel-host");

/// A replay of one event without any content: the driver starts, judges nothing and is unloaded.
fn replay(bench: &Bench, hits: &Path, log: &str) {
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("log.jsonl");
    std::fs::write(&events, log).unwrap();
    let key = folder.path().join("key.pub");
    let text = channel_compiler::key_text::format_public(&bench.key.public);
    std::fs::write(&key, text).unwrap();
    let output = Command::new(HOST)
        .env(VARIABLE, hits)
        .arg("replay")
        .args(["--driver".as_ref(), bench.driver.as_os_str()])
        .args(["--content".as_ref(), folder.path().as_os_str()])
        .args(["--key".as_ref(), key.as_os_str()])
        .args(["--events".as_ref(), events.as_os_str()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn report(bench: &Bench, hits: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(HOST);
    command.arg("coverage").arg(hits).arg("--driver").arg(&bench.driver).args(more);
    command.output().unwrap()
}

#[test]
fn says_which_lines_ran_and_adds_up_over_processes() {
    let Some(bench) = Bench::new() else { return };
    let hits = tempfile::tempdir().unwrap();
    replay(&bench, hits.path(), "");
    let idle = Report::read(hits.path(), &bench.driver).unwrap();
    let of = |report: &Report, name: &str| {
        let (_, file) = report.files.iter().find(|(path, _)| path.ends_with(name)).unwrap();
        file.reached()
    };
    assert!(of(&idle, "driver/src/entry.rs") > 0, "DriverEntry ran");
    assert_eq!(of(&idle, "driver/src/verdict.rs"), 0, "no event was judged");
    assert!(0 < idle.reached && idle.reached < idle.blocks);

    replay(&bench, hits.path(), r#"{"EventID":17,"PipeName":"\\x","Image":"C:\\a.exe"}"#);
    let judged = Report::read(hits.path(), &bench.driver).unwrap();
    assert!(of(&judged, "driver/src/verdict.rs") > 0, "a pipe was created");
    assert!(judged.reached > idle.reached);
    assert_eq!(judged.blocks, idle.blocks);
}

#[test]
fn fails_below_the_bound_and_without_a_run() {
    let Some(bench) = Bench::new() else { return };
    let hits = tempfile::tempdir().unwrap();
    let nothing = report(&bench, hits.path(), &[]);
    assert!(!nothing.status.success());
    assert!(String::from_utf8_lossy(&nothing.stderr).contains(".hits"));

    replay(&bench, hits.path(), "");
    let little = report(&bench, hits.path(), &["--under", "driver/", "--least", "99"]);
    assert!(!little.status.success());
    assert!(String::from_utf8_lossy(&little.stderr).contains("99.0 % must be"));
    let enough = report(&bench, hits.path(), &["--under", "driver/src/entry.rs", "--missed"]);
    assert!(enough.status.success());
    let text = String::from_utf8_lossy(&enough.stdout).into_owned();
    assert!(text.starts_with("driver/src/entry.rs "), "{text}");
}
