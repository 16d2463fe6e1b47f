//! `kernel-host run` with `sakerctl --sim` at its socket: the whole way from the command line to the
//! driver and back.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use channel_compiler::SecretKey;
use channel_format::signature::Role;
use clap::Parser as _;
use common::Bench;
use driver_abi::{Hello, Interest};
use loader::cli::Cli;
use loader::content::keygen::write_pair;
use loader::device::frames::{Frame, FrameKind};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a key, channel files and a socket, and the machine that runs on them.
struct Machine {
    dir: tempfile::TempDir,
    child: Child,
    console: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Machine {
    fn run(bench: &Bench, dir: tempfile::TempDir, options: &[&str]) -> Self {
        let (_, public) = write_pair(dir.path(), &bench.key).unwrap_or_else(|_| {
            let pub_file = |path: &PathBuf| path.extension().is_some_and(|e| e == "pub");
            let entries = std::fs::read_dir(dir.path()).unwrap();
            let found = entries.map(|entry| entry.unwrap().path()).find(pub_file).unwrap();
            (found.with_extension("key"), found)
        });
        let mut child = Command::new(env!("CARGO_BIN_EXE_kernel-host"))
            .args(["run", "--driver"])
            .arg(&bench.driver)
            .arg("--key")
            .arg(public)
            .arg("--socket")
            .arg(dir.path().join("socket"))
            .arg("--state")
            .arg(dir.path().join("kept"))
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let console = child.stdin.take().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut machine = Self { dir, child, console, said };
        assert!(machine.answer().starts_with("ok"));
        machine
    }

    /// What the console says to a line.
    fn say(&mut self, line: &str) -> String {
        writeln!(self.console, "{line}").unwrap();
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "it ended after: {text}");
            text.push_str(&line);
            if line.starts_with("ok") || line.starts_with("error:") {
                return text;
            }
        }
    }

    fn ok(&mut self, line: &str) {
        assert_eq!(self.say(line), "ok\n", "{line}");
    }

    fn drop_file(&mut self, (name, bytes): &(String, Vec<u8>)) {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        self.ok(&format!("drop {}", path.display()));
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// What `sakerctl --sim SOCKET …` prints.
    fn sakerctl(&self, line: &str) -> String {
        sakerctl(&self.socket(), line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.sakerctl("status --json")).unwrap()
    }

    /// Waits until a client hears of this.
    fn listened_to(&self, interest: &str, clients: usize) {
        let start = Instant::now();
        loop {
            let statistics = self.sakerctl("statistics --json");
            let statistics: Value = serde_json::from_str(&statistics).unwrap();
            let all = statistics["clients"].as_array().unwrap();
            if all.iter().filter(|client| client["interest"] == interest).count() == clients {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{statistics}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn quit(mut self) -> tempfile::TempDir {
        writeln!(self.console, "quit").unwrap();
        assert!(self.child.wait().unwrap().success());
        assert!(!self.socket().exists(), "the socket is left behind");
        self.dir
    }
}

/// Runs `sakerctl` in this process; its output, or what it says went wrong.
fn sakerctl(socket: &Path, line: &str) -> Result<String, String> {
    let mut out = Vec::new();
    run_sakerctl(socket, line, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn run_sakerctl(socket: &Path, line: &str, out: &mut dyn Write) -> Result<(), String> {
    let words = ["sakerctl", "--sim", socket.to_str().unwrap()];
    let cli = Cli::try_parse_from(words.into_iter().chain(line.split(' ')));
    loader::cli::run(&cli.map_err(|e| e.to_string())?, out).map_err(|e| e.to_string())
}

/// A `sakerctl watch` that ends after some events, and what it has printed so far.
struct Watch {
    printed: Arc<Mutex<Vec<u8>>>,
    thread: thread::JoinHandle<Result<(), String>>,
}

struct Printed(Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Watch {
    fn start(socket: PathBuf, line: &'static str) -> Self {
        let printed = Arc::new(Mutex::new(Vec::new()));
        let mut out = Printed(Arc::clone(&printed));
        let thread = thread::spawn(move || run_sakerctl(&socket, line, &mut out));
        Self { printed, thread }
    }

    fn text(&self) -> String {
        String::from_utf8(self.printed.lock().unwrap().clone()).unwrap()
    }

    /// Waits until it has printed this.
    fn shows(&self, what: &str) {
        let start = Instant::now();
        while !self.text().contains(what) {
            assert!(start.elapsed() < PATIENCE, "{what} is not in:\n{}", self.text());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn ends(self) -> String {
        let text = Arc::clone(&self.printed);
        self.thread.join().unwrap().unwrap();
        let text = text.lock().unwrap().clone();
        String::from_utf8(text).unwrap()
    }
}

const IMAGE: &str = r"C:\Windows\explorer.exe";

#[test]
fn content_comes_into_force_and_is_watched() {
    let Some(bench) = Bench::new() else { return };
    let mut machine = Machine::run(&bench, tempfile::tempdir().unwrap(), &[]);
    let empty = machine.sakerctl("status");
    assert!(empty.contains("NONE: no_content") && empty.contains("observe"), "{empty}");

    machine.drop_file(&bench.file(1));
    let loaded = machine.sakerctl("reload --wait");
    assert!(loaded.contains("channel 291, 0-1, 3 rules, on trial, may block"), "{loaded}");

    let watch = Watch::start(machine.socket(), "watch --json --count 2");
    machine.listened_to("detections", 1);
    machine.ok(&format!(r"create \fine {IMAGE}"));
    machine.ok(&format!(r"create \odd {IMAGE}"));
    watch.shows(r#""verdict":"detect""#);

    // The driver stops and comes back; whoever watches goes on with the new one.
    machine.ok("stop");
    let error = sakerctl(&machine.socket(), "status").unwrap_err();
    assert!(error.contains("not running"), "{error}");
    machine.ok("start");
    machine.listened_to("detections", 1);
    machine.sakerctl("reload --wait");
    machine.ok(&format!(r"create \odd {IMAGE}"));
    let lines = watch.ends();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<&Value> = lines.iter().filter(|line| line["kind"] == "event").collect();
    assert_eq!(events.len(), 2, "{lines:?}");
    for event in events {
        assert_eq!((&event["pipe"], &event["image"]), (&r"\odd".into(), &IMAGE.into()));
        assert_eq!((&event["rules"], &event["dropped"]), (&vec![1].into(), &0.into()));
    }
    assert!(lines.iter().any(|line| line["kind"] == "status" && line["stage"] == "trial"));
    machine.quit();
}

#[test]
fn good_content_blocks_once_that_is_asked_and_is_kept() {
    let Some(bench) = Bench::new() else { return };
    let mut machine = Machine::run(&bench, tempfile::tempdir().unwrap(), &[]);
    machine.drop_file(&bench.file(1));
    machine.sakerctl("reload --wait");
    for number in 0..1_000 {
        machine.ok(&format!(r"create \passes-the-time-{number}"));
    }
    machine.ok("time +11m");
    let good = machine.sakerctl("reload --wait");
    assert!(good.contains("FULL") && good.contains("good"), "{good}");

    machine.ok(&format!(r"create \evil.1 {IMAGE}"));
    machine.sakerctl("mode enforce");
    let denied = machine.say(&format!(r"create \evil.2 {IMAGE}"));
    assert_eq!(denied, "ok: access denied (0xc0000022)\n");
    machine.sakerctl("mode observe");
    machine.ok(&format!(r"create \evil.3 {IMAGE}"));
    let status = machine.status();
    assert_eq!((&status["blocked"], &status["mode"]), (&1.into(), &"observe".into()));
    machine.sakerctl("quarantine clear");
    machine.sakerctl("fuse reset");

    machine.ok("power cycle");
    machine.sakerctl("reload --wait");
    assert_eq!(machine.status()["protection"], "full");
    // A second session that ends within an hour would cost the content.
    machine.ok("time +61m");
    machine.sakerctl("reload --wait");
    machine.ok("pull the plug");
    assert!(sakerctl(&machine.socket(), "status").unwrap_err().contains("not running"));
    assert!(machine.say("status").starts_with("error: the machine is off"));
    machine.ok("power on");
    machine.sakerctl("reload --wait");
    let said = machine.say("status");
    assert!(said.contains("FULL") && said.ends_with("ok\n"), "{said}");

    // Another machine with the same disk.
    let dir = machine.quit();
    let machine = Machine::run(&bench, dir, &["--enforce"]);
    let status = machine.status();
    assert_eq!((&status["stage"], &status["mode"]), (&"good".into(), &"enforce".into()));
    machine.quit();
}

#[test]
fn a_stuck_client_beside_a_live_one_goes_alone() {
    let Some(bench) = Bench::new() else { return };
    let mut machine = Machine::run(&bench, tempfile::tempdir().unwrap(), &[]);
    machine.drop_file(&bench.file(1));
    machine.sakerctl("reload --wait");
    // It connects and then takes nothing.
    let mut stuck = UnixStream::connect(machine.socket()).unwrap();
    let hello = Hello { interest: Interest::Detections }.encode();
    Frame::new(FrameKind::Connect, hello).write(&stuck).unwrap();
    let mut bytes = Vec::new();
    let welcome = Frame::read(&mut stuck, &mut bytes).unwrap().unwrap();
    assert_eq!(welcome.as_status(), Some(0));

    let watch = Watch::start(machine.socket(), "watch --everything --count 40");
    machine.listened_to("everything", 1);
    for number in 0..40 {
        machine.ok(&format!(r"create \odd.{number} {IMAGE}"));
        watch.shows(&format!(r"\odd.{number} "));
    }
    watch.ends();
    machine.listened_to("detections", 0);
    let statistics: Value = serde_json::from_str(&machine.sakerctl("statistics --json")).unwrap();
    assert_eq!(statistics["stuck"], 1);
    machine.quit();
}

#[test]
fn what_cannot_be_done_is_said() {
    let Some(bench) = Bench::new() else { return };
    let mut machine = Machine::run(&bench, tempfile::tempdir().unwrap(), &["--uptime", "0"]);
    let socket = machine.socket();
    assert!(sakerctl(&socket, "reload --wait").unwrap_err().contains("up for a minute"));
    assert_eq!(sakerctl(&socket, "reload").unwrap(), "", "taken in, and not waited for");
    assert!(sakerctl(&socket, "mode off").unwrap_err().contains("invalid value 'off'"));
    assert!(machine.say("power off").starts_with("error: `power off` is no command"));
    assert!(machine.say("drop /nowhere/C-1.sys").starts_with("error: /nowhere/C-1.sys"));
    assert!(machine.say("start").starts_with("error: the driver runs already"));
    let nowhere = machine.dir.path().join("nowhere");
    assert!(sakerctl(&nowhere, "status").unwrap_err().contains("no machine listens there"));
    assert!(sakerctl(&nowhere, "watch").unwrap_err().contains("no machine listens there"));
    let cli = Cli::try_parse_from(["sakerctl", "status"]).unwrap();
    let error = loader::cli::run(&cli, &mut Vec::new()).unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert!(error.to_string().contains("simulated machines"), "{error}");
    machine.quit();
}

/// Bytes that are no frames, and a client that goes in the middle of one.
#[test]
fn a_client_that_breaks_the_rules_is_let_go() {
    let Some(bench) = Bench::new() else { return };
    let machine = Machine::run(&bench, tempfile::tempdir().unwrap(), &[]);
    let hello = Hello { interest: Interest::Status }.encode();
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[8, 0, 0, 0, 1, 0, 0],
        &[0, 0, 0, 0, 3, 0, 0, 0],
        &[0xFF; 64],
    ] {
        let mut stream = UnixStream::connect(machine.socket()).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(Frame::read(&mut stream, &mut Vec::new()).unwrap(), None);
    }
    // Another protocol is refused by the driver itself.
    let mut stream = UnixStream::connect(machine.socket()).unwrap();
    Frame::new(FrameKind::Connect, *b"SKR?\x09\0\0\0").write(&stream).unwrap();
    let status = Frame::read(&mut stream, &mut Vec::new()).unwrap().unwrap();
    assert_eq!(status.as_status(), Some(0xC000_000D));
    // And so is a message that is none.
    let mut stream = UnixStream::connect(machine.socket()).unwrap();
    let mut bytes = Vec::new();
    Frame::new(FrameKind::Connect, hello).write(&stream).unwrap();
    assert_eq!(Frame::read(&mut stream, &mut bytes).unwrap().unwrap().as_status(), Some(0));
    Frame::new(FrameKind::Send, *b"nonsense").write(&stream).unwrap();
    let status = Frame::read(&mut stream, &mut bytes).unwrap().unwrap();
    assert_eq!(status.as_status(), Some(0xC000_000D));
    drop(stream);
    assert_eq!(machine.status()["protection"], "none");
    machine.quit();
}

/// `sakerctl push`: the file lands whole, the driver looks, and its answer is told.
#[test]
fn pushed_files_come_into_force_or_are_refused_by_name() {
    let Some(bench) = Bench::new() else { return };
    let machine = Machine::run(&bench, tempfile::tempdir().unwrap(), &[]);
    let socket = machine.socket();
    let path = |name: &str| machine.dir.path().join(name);
    let write = |name: &str, bytes: &[u8]| std::fs::write(path(name), bytes).unwrap();
    write("one.sys", &bench.file(1).1);
    write("two.sys", &bench.file(2).1);

    // The file's own name does not matter: it lands under the one that its header has.
    let said = machine.sakerctl(&format!("push {}", path("two.sys").display()));
    assert!(said.ends_with("two.sys: in force, on trial\n"), "{said}");
    assert!(path("kept/inbox/C-00000291-00000000-00000002.sys").is_file());

    let error = sakerctl(&socket, &format!("push {}", path("one.sys").display())).unwrap_err();
    assert!(error.contains("older than what is in force, 0-2"), "{error}");

    // Signed by a key that the driver does not know: only it can tell, and it does.
    let stranger = SecretKey::from_seed([9; 32], Role::Content, true, 1..=u32::MAX).unwrap();
    let stranger = Bench { key: stranger, ..Bench::new().unwrap() };
    write("three.sys", &stranger.file(3).1);
    let error = sakerctl(&socket, &format!("push {}", path("three.sys").display())).unwrap_err();
    assert!(error.contains("refused"), "{error}");

    // One that no driver would take is not even sent.
    let mut damaged = bench.file(4).1;
    *damaged.last_mut().unwrap() ^= 1;
    write("four.sys", &damaged);
    let error = sakerctl(&socket, &format!("push {}", path("four.sys").display())).unwrap_err();
    assert!(error.ends_with("four.sys: refused"), "{error}");
    assert!(!path("kept/inbox/C-00000291-00000000-00000004.sys").exists());

    // A large file comes in many parts.
    write("five.sys", &bench.file_of(&many_rules(2_000), 0, 5).1);
    assert!(std::fs::metadata(path("five.sys")).unwrap().len() > 100_000);
    let said = machine.sakerctl(&format!("push --json {}", path("five.sys").display()));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["outcome"], &said["sequence"]), (&"in_force".into(), &5.into()));

    let dir = machine.quit();
    offline(dir.path());
}

/// What the disk of that machine tells without it.
fn offline(dir: &Path) {
    let kept = dir.join("kept");
    let mut paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let key = paths.find(|path| path.extension().is_some_and(|end| end == "pub")).unwrap();
    let inspect = |options: &[&str]| {
        let words = ["sakerctl", "offline", "inspect", "--json"].iter().chain(options);
        let cli =
            Cli::try_parse_from(words.map(ToString::to_string).chain([kept.display().to_string()]));
        let mut out = Vec::new();
        let ended = loader::cli::run(&cli.unwrap(), &mut out).map_err(|error| error.to_string());
        let told: Value = serde_json::from_slice(&out).unwrap();
        let files = told["files"].as_array().unwrap().iter().map(|file| {
            let sequence = file["sequence"].as_u64().unwrap();
            (
                file["place"].as_str().unwrap().to_owned(),
                sequence,
                file["verdict"].as_str().unwrap().to_owned(),
            )
        });
        (files.collect::<Vec<_>>(), told["journal"].clone(), ended)
    };
    let (files, journal, ended) = inspect(&["--key", key.to_str().unwrap()]);
    assert!(ended.unwrap_err().contains("1 of the files"), "the stranger's");
    assert!(files.contains(&("state".into(), 5, "good".into())), "{files:?}");
    assert!(files.contains(&("inbox".into(), 3, "bad".into())), "{files:?}");
    assert_eq!((&journal["open"], &journal["struck"]), (&false.into(), &0.into()), "{journal}");
    // Without keys nothing is called good, and the stranger's file is as good as any.
    let (files, _, ended) = inspect(&[]);
    assert_eq!(ended, Ok(()));
    assert!(files.iter().all(|(_, _, verdict)| verdict == "unknown"), "{files:?}");
}

fn many_rules(count: u32) -> String {
    let rule = |number: u32| {
        format!(
            "title: rule {number}\nid: 00000000-0000-4000-8000-{number:012}\n\
             logsource: {{product: windows, category: pipe_created}}\n\
             detection: {{selection: {{PipeName: '\\name.{number}'}}, condition: selection}}\n\
             level: low\n"
        )
    };
    (1..=count).map(rule).collect::<Vec<_>>().join("---\n")
}

#[test]
fn the_doctor_and_each_form_of_events_speak_of_the_real_driver() {
    let Some(bench) = Bench::new() else { return };
    let mut machine = Machine::run(&bench, tempfile::tempdir().unwrap(), &[]);
    let socket = machine.socket();
    let error = sakerctl(&socket, "doctor").unwrap_err();
    assert!(error.contains("wrong with this machine's protection"), "{error}");

    machine.drop_file(&bench.file(1));
    machine.sakerctl("reload --wait");
    let well = machine.sakerctl("doctor");
    assert!(well.contains("on_trial") && !well.contains("WRONG"), "{well}");

    for (form, expected) in [
        ("ecs", r#""action":"pipe-created""#),
        ("ocsf", r#""class_uid":1001"#),
        ("sysmon", r#""EventID":17"#),
    ] {
        let line: &'static str = match form {
            "ecs" => "watch --format ecs --count 1",
            "ocsf" => "watch --format ocsf --count 1",
            _ => "watch --format sysmon --count 1",
        };
        let watch = Watch::start(machine.socket(), line);
        machine.listened_to("detections", 1);
        machine.ok(&format!(r"create \odd {IMAGE}"));
        let told = watch.ends();
        assert!(told.contains(expected) && told.lines().count() == 1, "{told}");
        machine.listened_to("detections", 0);
    }
    machine.quit();
}

/// What is kept outlives the driver's stop, and begins before the machine is there.
#[test]
fn the_service_keeps_what_it_hears() {
    let Some(bench) = Bench::new() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (socket, log) = (dir.path().join("socket"), dir.path().join("log"));
    std::fs::create_dir(&log).unwrap();
    let line = format!("service run --log {} --count 2", log.display());
    let service = thread::spawn(move || run_sakerctl(&socket, &line, &mut Vec::new()));

    let mut machine = Machine::run(&bench, dir, &[]);
    machine.listened_to("detections", 1);
    machine.drop_file(&bench.file(1));
    machine.sakerctl("reload --wait");
    machine.ok(&format!(r"create \odd {IMAGE}"));
    machine.listened_to("detections", 1);
    machine.ok("stop");
    machine.ok("start");
    machine.listened_to("detections", 1);
    machine.sakerctl("reload --wait");
    machine.ok(&format!(r"create \odd {IMAGE}"));
    service.join().unwrap().unwrap();

    let kept = std::fs::read_to_string(log.join("events.jsonl")).unwrap();
    let lines: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events = lines.iter().filter(|line| line["kind"] == "event" && line["pipe"] == r"\odd");
    assert_eq!(events.count(), 2, "{kept}");
    assert!(lines.iter().any(|line| line["kind"] == "status" && line["stage"] == "trial"));
    machine.quit();
}
