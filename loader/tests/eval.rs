//! `eval`: verdicts over logs.

mod support;

use std::path::Path;

use channel_format::signature::Role;
use loader::report::Line;
use support::{SIGNED, Sandbox, UNSIGNED};

const PREFIX_ID: &str = "11111111-1111-4111-8111-111111111111";
const IMAGE_ID: &str = "22222222-2222-4222-8222-222222222222";

const LOG: &str = concat!(
    r#"{"EventID":17,"PipeName":"\\evil-tool","Image":"C:\\a.exe","ProcessId":"4"}"#,
    "\r\n\r\n",
    r#"{"EventID":18,"PipeName":"\\EVIL","Image":null,"ProcessId":null}"#,
    "\n",
    r#"{"EventID":18,"PipeName":"\\x-tool"}"#,
    "\n",
    r#"{"EventID":17,"PipeName":"\\x-tool","Image":"C:\\Program Files\\a.exe"}"#,
    "\n",
    r#"{"EventID":3,"Image":"C:\\a.exe"}"#,
    "\nnot json\n",
    r#"{"EventID":17,"PipeName":"<Anonymous Pipe>","Image":"System","ProcessId":4}"#,
);

/// The records' lines; the summary behind them is another form.
fn lines(text: &str) -> Vec<Line> {
    let (records, _) = parts(text);
    records.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The summary.
fn summary(text: &str) -> serde_json::Value {
    let (_, summary) = parts(text);
    let line: serde_json::Value = serde_json::from_str(summary).unwrap();
    assert_eq!(line["v"], 1);
    line["summary"].clone()
}

fn parts(text: &str) -> (Vec<&str>, &str) {
    let mut lines: Vec<&str> = text.lines().collect();
    let summary = lines.pop().unwrap();
    (lines, summary)
}

/// The table without the line that says how long it took.
fn without_time(text: &str) -> String {
    let (lines, last) = parts(text);
    assert!(last.starts_with("took ") && last.ends_with(" events a second"), "{last}");
    lines.join("\n")
}

fn ids(lines: &[Line]) -> Vec<(Vec<&str>, Vec<&str>, bool)> {
    fn texts(ids: &[String]) -> Vec<&str> {
        ids.iter().map(String::as_str).collect()
    }
    lines
        .iter()
        .map(|line| (texts(&line.rules), texts(&line.unknown), line.error.is_some()))
        .collect()
}

#[test]
fn a_line_a_record() {
    let sandbox = Sandbox::with_signed_file();
    sandbox.write("log.jsonl", LOG);
    let output = sandbox.run(&["eval", SIGNED, "--events", "log.jsonl", "--json"]).success();
    assert!(output.stderr.contains("signature not checked"), "{}", output.stderr);
    let first = output.stdout.lines().next().unwrap();
    assert_eq!(
        first,
        format!(r#"{{"v":1,"event":0,"rules":["{PREFIX_ID}","{IMAGE_ID}"],"unknown":[]}}"#)
    );
    let lines = lines(&output.stdout);
    assert!(lines.iter().enumerate().all(|(at, line)| line.event == at as u64 && line.v == 1));
    assert_eq!(
        ids(&lines),
        [
            (vec![PREFIX_ID, IMAGE_ID], vec![], false),
            (vec![PREFIX_ID], vec![], false),
            (vec![IMAGE_ID], vec![], false),
            (vec![], vec![], false),
            (vec![], vec![], true),
            (vec![], vec![], true),
            (vec![], vec![], false),
        ]
    );
}

#[test]
fn a_missing_image_is_absent_or_unknown() {
    let sandbox = Sandbox::with_signed_file();
    sandbox.write("log", LOG);
    let eval = |more: &[&str]| {
        let args = [&["eval", SIGNED, "--events", "log", "--json"], more].concat();
        sandbox.run(&args)
    };
    let default = eval(&[]).success().stdout;
    let same = eval(&["--sigma-null"]).success().stdout;
    assert_eq!(lines(&same), lines(&default));
    let strict = lines(&eval(&["--strict-unknown"]).success().stdout);
    assert_eq!(ids(&strict)[2], (vec![], vec![IMAGE_ID], false));
    assert_eq!(ids(&strict)[..2], ids(&lines(&default))[..2]);
    eval(&["--sigma-null", "--strict-unknown"]).usage();
}

#[test]
fn the_signature_is_checked_where_a_key_is_given() {
    let sandbox = Sandbox::with_signed_file();
    sandbox.key("other", 9, Role::Content, false, 1..=u32::MAX);
    sandbox.write("log", LOG);
    let eval = |file: &str, key: &str| {
        sandbox.run(&["eval", file, "--events", "log", "--json", "--key", key])
    };
    assert_eq!(eval(SIGNED, "content.pub").success().stderr, "");
    eval(SIGNED, "other.pub").refused(&["UnknownSigner (46)"]);
    eval(UNSIGNED, "content.pub").refused(&["Unsigned (43)"]);
    let unsigned = sandbox.run(&["eval", UNSIGNED, "--events", "log", "--json"]).success();
    let signed = eval(SIGNED, "content.pub");
    assert_eq!(parts(&unsigned.stdout).0, parts(&signed.stdout).0);
}

#[test]
fn a_damaged_file_is_refused_before_the_log_is_read() {
    let sandbox = Sandbox::with_signed_file();
    let mut bytes = sandbox.read(SIGNED);
    *bytes.last_mut().unwrap() ^= 1;
    sandbox.write("bad", bytes);
    sandbox.write("log", LOG);
    let output = sandbox.run(&["eval", "bad", "--events", "log", "--json"]);
    assert_eq!(output.refused(&["DigestMismatch (25)"]).stdout, "");
    sandbox.write("cut", sandbox.read(SIGNED).get(..1_100).unwrap());
    sandbox.run(&["eval", "cut", "--events", "log"]).refused(&["Absent (1)"]);
}

#[test]
fn a_log_that_cannot_be_used_says_why() {
    let sandbox = Sandbox::with_signed_file();
    let eval = |log: &str| sandbox.run(&["eval", SIGNED, "--events", log]);
    eval("none").refused(&["none: cannot be read", "help:"]);
    eval(".").refused(&["help:"]);
    sandbox.write("utf16", b"\xFF\xFE{\0");
    eval("utf16").refused(&["utf16", "UTF-16", "iconv"]);
    sandbox.write("broken.evtx", b"ElfFile\0 and no more");
    eval("broken.evtx").refused(&["broken.evtx", "damaged event log", "wevtutil"]);
    sandbox.write("empty", "");
    assert!(eval("empty").success().stdout.starts_with("0 records: 0 pipe"));
}

#[test]
fn the_table_for_people() {
    let sandbox = Sandbox::with_signed_file();
    let log = LOG.replace("\\\\EVIL", "\\\\EVIL\\u001b[2J");
    sandbox.write("log", log);
    let output = sandbox.run(&["eval", SIGNED, "--events", "log"]).success();
    insta::assert_snapshot!("eval_table", without_time(&output.stdout));
}

/// Two logs that overlap in time; the second says it in another form.
fn two_logs(sandbox: &Sandbox) {
    let event = |name: &str, image: &str, time: &str| {
        format!(
            "{{\"EventID\":17,\"PipeName\":\"\\\\{name}\",\"Image\":\"C:\\\\{image}.exe\",{time}}}\n"
        )
    };
    let one = [
        event("evil1", "b", r#""UtcTime":"2024-07-19 04:09:02.500""#),
        event("evil2", "a", r#""UtcTime":"2024-07-19 04:09:04.000""#),
        event("good", "a", r#""UtcTime":"2024-07-19 04:09:09.000""#),
    ];
    sandbox.write("one.jsonl", one.concat());
    let two = ["a", "a", "c", "d"]
        .map(|image| event("evil", image, r#""@timestamp":"2024-07-19T04:09:01.25Z""#));
    sandbox.write("two.jsonl", two.concat());
}

#[test]
fn several_logs_in_one_run() {
    let sandbox = Sandbox::with_signed_file();
    two_logs(&sandbox);
    let args = ["eval", SIGNED, "--events", "one.jsonl", "--events", "two.jsonl"];
    let table = sandbox.run(&args).success();
    insta::assert_snapshot!("eval_two_logs", without_time(&table.stdout));

    let json = sandbox.run(&[&args[..], &["--json"]].concat()).success();
    let records = lines(&json.stdout);
    assert_eq!(records.len(), 7);
    assert_eq!((records[4].log.as_deref(), records[4].event), (Some("two.jsonl"), 1));
    let summary = summary(&json.stdout);
    assert_eq!(summary["logs"], serde_json::json!(["one.jsonl", "two.jsonl"]));
    assert_eq!((&summary["matched"], &summary["rules"]), (&6.into(), &2.into()));
    assert!(summary["seconds"].is_f64() && summary["events_per_second"].is_u64());
    let rule = &summary["by_rule"][0];
    assert_eq!(summary["by_rule"].as_array().unwrap().len(), 1);
    assert_eq!((&rule["id"], &rule["hits"]), (&PREFIX_ID.into(), &6.into()));
    assert_eq!((&rule["level"], &rule["unknown"]), (&"high".into(), &0.into()));
    // By time, not by the order of the logs.
    let first = serde_json::json!(
        {"log": "two.jsonl", "event": 0, "time": "2024-07-19T04:09:01.25Z"}
    );
    assert_eq!(rule["first"], first);
    let last = serde_json::json!(
        {"log": "one.jsonl", "event": 1, "time": "2024-07-19 04:09:04.000"}
    );
    assert_eq!(rule["last"], last);
    assert_eq!(rule["distinct_images"], 4);
    let images = serde_json::json!([
        {"image": "C:\\a.exe", "hits": 3},
        {"image": "C:\\b.exe", "hits": 1},
        {"image": "C:\\c.exe", "hits": 1},
    ]);
    assert_eq!(rule["images"], images);

    let missing = [&args[..], &["--events", "none"]].concat();
    assert_eq!(sandbox.run(&missing).refused(&["none: cannot be read"]).stdout, "");
}

#[test]
fn one_log_is_not_named_and_unknowns_are_counted() {
    let sandbox = Sandbox::with_signed_file();
    sandbox.write("log", LOG);
    let args = ["eval", SIGNED, "--events", "log", "--json", "--strict-unknown"];
    let output = sandbox.run(&args).success();
    assert!(!output.stdout.lines().next().unwrap().contains("log"));
    let summary = summary(&output.stdout);
    let facts = ["records", "events", "other_events", "unreadable", "matched", "rules_matched"];
    let found = facts.map(|fact| summary[fact].as_u64().unwrap());
    assert_eq!(found, [7, 5, 1, 1, 2, 2]);
    let rule = &summary["by_rule"][1];
    assert_eq!(
        (&rule["id"], &rule["hits"], &rule["unknown"]),
        (&IMAGE_ID.into(), &1.into(), &1.into())
    );
    assert_eq!(rule["first"]["time"], serde_json::Value::Null);
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    use std::process::{Command, Stdio};
    let sandbox = Sandbox::with_signed_file();
    sandbox.write("log", LOG.repeat(3_000));
    let mut child = Command::new(env!("CARGO_BIN_EXE_sakerctl"))
        .args(["content", "eval", SIGNED, "--events", "log", "--json"])
        .current_dir(sandbox.path("."))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_collection_of_real_events() {
    let log =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/sysmon-pipe-events.jsonl");
    if !log.exists() {
        println!("skipped: no {}", log.display());
        return;
    }
    let log = log.canonicalize().unwrap();
    let log = log.to_str().unwrap();
    let sandbox = Sandbox::with_signed_file();
    let output = sandbox.run(&["eval", SIGNED, "--events", log, "--json"]).success();
    let lines = lines(&output.stdout);
    assert_eq!(lines.len(), 1_391);
    assert!(lines.iter().all(|line| line.error.is_none() && line.unknown.is_empty()));
    let table = sandbox.run(&["eval", SIGNED, "--events", log]).success();
    assert!(table.stdout.contains("1391 records: 1391 pipe events"), "{}", table.stdout);
    let summary = summary(&output.stdout);
    assert_eq!((&summary["records"], &summary["events"]), (&1_391.into(), &1_391.into()));
}
