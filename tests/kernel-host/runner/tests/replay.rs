//! The command `kernel-host replay`, end to end.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use channel_compiler::key_text;
use channel_format::schema::SensorProfile;
use common::{Bench, RULES};
use driver_abi::Verdict;
use loader::content::eval;
use loader::content::inputs::Missing;
use loader::content::unverified;
use loader::report::Line;

/// A folder with a key, an inbox with one good file, and a log.
struct Desk {
    bench: Bench,
    folder: tempfile::TempDir,
}

impl Desk {
    fn new(rules: &str, log: &str) -> Option<Self> {
        let bench = Bench::new()?;
        let desk = Self { bench, folder: tempfile::tempdir().unwrap() };
        fs::create_dir(desk.inbox()).unwrap();
        let (name, file) = desk.bench.file_of(rules, 1, 1);
        fs::write(desk.inbox().join(name), file).unwrap();
        fs::write(desk.path("key.pub"), key_text::format_public(&desk.bench.key.public)).unwrap();
        fs::write(desk.path("log.jsonl"), log).unwrap();
        Some(desk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn inbox(&self) -> PathBuf {
        self.path("inbox")
    }

    fn replay(&self, log: &Path, more: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_kernel-host"))
            .arg("replay")
            .arg("--driver")
            .arg(&self.bench.driver)
            .arg("--content")
            .arg(self.inbox())
            .arg("--key")
            .arg(self.path("key.pub"))
            .arg("--events")
            .arg(log)
            .args(more)
            .output()
            .unwrap()
    }

    fn lines(&self, more: &[&str]) -> Vec<Line> {
        lines(&self.replay(&self.path("log.jsonl"), &[&["--json"], more].concat()))
    }
}

fn lines(output: &Output) -> Vec<Line> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn verdicts(lines: &[Line]) -> Vec<Option<Verdict>> {
    lines.iter().map(|line| line.verdict).collect()
}

const DOWNLOADS: &str = r#"
{"EventID":17,"PipeName":"\\x","Image":"C:\\Downloads\\a.exe","ProcessId":"1"}
{"EventID":17,"PipeName":"\\x","Image":"\\Device\\HarddiskVolume3\\Downloads\\a.exe","ProcessId":2}
{"EventID":17,"PipeName":"\\x","Image":"D:\\Downloads\\a.exe","ProcessId":null}
{"EventID":17,"PipeName":"\\x"}
{"EventID":1,"Image":"C:\\Downloads\\a.exe"}
not json
{"EventID":"18","PipeName":"\\evil","Image":"System"}
{"EventID":17,"PipeName":"<Anonymous Pipe>","Image":"C:\\a.exe"}
"#;

#[test]
fn one_line_a_record_with_the_drivers_verdict() {
    let Some(desk) = Desk::new(RULES, DOWNLOADS) else { return };
    let lines = desk.lines(&[]);
    use Verdict::{Allow, Detect, Unknown};
    let expected = [
        Some(Detect),
        Some(Detect),
        Some(Allow),
        Some(Unknown),
        None,
        None,
        Some(Detect),
        Some(Allow),
    ];
    assert_eq!(verdicts(&lines), expected);
    assert!(lines.iter().zip(0..).all(|(line, index)| line.event == index && line.v == 1));
    assert!(lines[4].error.is_some() && lines[5].error.is_some());
    assert_eq!(lines[0].rules, ["00000000-0000-4000-8000-000000000003"]);
    assert_eq!(lines[3].unknown, ["00000000-0000-4000-8000-000000000003"]);
}

#[test]
fn a_volume_without_a_letter_has_no_drive_to_match() {
    let Some(desk) = Desk::new(RULES, DOWNLOADS) else { return };
    let lines = desk.lines(&["--volume", "HarddiskVolume3="]);
    // The first image is `C:\…` in the log and no volume has that letter: it stays as it is.
    assert_eq!(lines[0].verdict, Some(Verdict::Detect));
    assert_eq!(lines[1].verdict, Some(Verdict::Allow));
    let lines = desk.lines(&["--volume", "HarddiskVolume3=D", "--volume", "HarddiskVolume4=C"]);
    assert_eq!(lines[1].verdict, Some(Verdict::Allow));
}

#[test]
fn observe_and_trial_take_the_block_away() {
    let log = r#"{"EventID":17,"PipeName":"\\evil","Image":"C:\\a.exe"}"#;
    let Some(desk) = Desk::new(RULES, log) else { return };
    assert_eq!(verdicts(&desk.lines(&[])), [Some(Verdict::Block)]);
    assert_eq!(verdicts(&desk.lines(&["--observe"])), [Some(Verdict::Detect)]);
    assert_eq!(verdicts(&desk.lines(&["--trial"])), [Some(Verdict::Detect)]);
}

#[test]
fn more_rules_than_a_record_holds_are_all_told() {
    let rule = |n: u32| {
        format!(
            "title: r{n}\nid: 00000000-0000-4000-8000-{n:012}\nlogsource: {{product: windows, \
             category: pipe_created}}\ndetection: {{s: {{PipeName|endswith: 'x', Image|endswith: \
             '{}'}}, condition: s}}\nlevel: low\n",
            if n.is_multiple_of(2) { "x" } else { "" }
        )
    };
    let rules: Vec<String> = (0..200).map(rule).collect();
    let log = r#"{"EventID":17,"PipeName":"\\x","Image":"C:\\x"}
{"EventID":17,"PipeName":"\\x"}"#;
    let Some(desk) = Desk::new(&rules.join("---\n"), log) else { return };
    let lines = desk.lines(&[]);
    assert_eq!(lines[0].rules.len(), 200);
    assert_eq!(lines[1].rules.len() + lines[1].unknown.len(), 200);
    assert!(lines[1].unknown.is_sorted() && lines[1].unknown.len() >= 100);
}

#[test]
fn a_refused_file_is_told_with_its_place_and_the_old_content_judges() {
    let Some(desk) = Desk::new(RULES, DOWNLOADS) else { return };
    fs::write(desk.inbox().join(common::name(1, 2)), [0; 2_000]).unwrap();
    let output = desk.replay(&desk.path("log.jsonl"), &["--json"]);
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("C-00000291-00000001-00000002.sys was refused"), "{told}");
    assert!(told.contains("Absent") && told.contains("remedy"), "{told}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 8);
}

#[test]
fn what_is_missing_is_said_with_its_path() {
    let Some(desk) = Desk::new(RULES, DOWNLOADS) else { return };
    let output = desk.replay(&desk.path("no-such-log"), &[]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such-log"));
    fs::remove_dir_all(desk.inbox()).unwrap();
    let output = desk.replay(&desk.path("log.jsonl"), &[]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("inbox"));
}

/// The driver and `sakerctl content eval` say the same of every event of a real log.
#[test]
fn the_driver_and_eval_agree_on_real_events() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap();
    let log = workspace.join("../shared/data/sysmon-pipe-events.jsonl");
    if !log.is_file() {
        eprintln!("skipped: no real log on this machine");
        return;
    }
    let Some(desk) = Desk::new(RULES, "") else { return };
    let rules = channel_compiler::load_rules(&[workspace.join("tests/content")]).unwrap();
    let options = channel_compiler::BuildOptions { epoch: 1, ..common::options(2) };
    let mut file = channel_compiler::build(&rules, &options).unwrap();
    channel_compiler::sign(&mut file, &desk.bench.key).unwrap();
    fs::write(desk.inbox().join(common::name(1, 2)), &file).unwrap();

    let told = lines(&desk.replay(&log, &["--json"]));
    let ruleset = unverified::ruleset(&file, &SensorProfile::CURRENT).unwrap();
    let records: Vec<pipe_log::Record> = pipe_log::open(&log).unwrap().collect();
    assert_eq!(told.len(), records.len());
    let mut hits = 0;
    for (record, line) in records.iter().zip(&told) {
        let event = record.body.as_ref().unwrap();
        let expected = eval::judge(&ruleset, event, Missing::Unknown).line(&ruleset, record.index);
        assert_eq!(Line { verdict: None, ..line.clone() }, expected);
        hits += line.rules.len();
    }
    // How often each rule matches is for tests/golden/verdicts; here something must have matched.
    assert!(hits > 0, "no rule in tests/content matches anything");
}
