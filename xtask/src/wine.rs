//! `cargo xtask wine`: `sakerctl.exe` and the INF on Wine, which has a registry, services, files and
//! an INF engine that are not ours. It is no Windows: what passes here has still not run on one.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::artifacts::Workspace;
use crate::failure::Failure;
use crate::inf::{Arch, Stamp};
use crate::process;
use crate::progress::note;
use crate::tools::{UserModeTools, WineTools, bare};
use crate::user_mode;

/// The folder of the test, as Wine's programs see it.
const FOLDER: &str = r"C:\saker";
const CONTROL: &str = r"HKLM\System\CurrentControlSet\Control";
const VERSION: &str = r"HKLM\Software\Microsoft\Windows NT\CurrentVersion";
const EVENT_LOG: &str = r"HKLM\System\CurrentControlSet\Services\EventLog\Saker\Saker";
const PACKAGE: &str = r"C:\saker\package";
const SERVICE: &str = r"HKLM\System\CurrentControlSet\Services\saker";

/// Runs every step, each on what those before it left.
pub fn run(workspace: &Workspace) -> Result<(), Failure> {
    let program = user_mode::build(workspace)?;
    let machine = Machine::new(workspace, &program)?;
    for (name, step) in STEPS {
        step(&machine).map_err(|why| Failure::Other(format!("on Wine: {name}: {why}")))?;
        note(&format!("  ok  on Wine: {name}"));
    }
    Ok(())
}

type Step = fn(&Machine) -> Result<(), String>;

const STEPS: &[(&str, Step)] = &[
    ("sakerctl.exe starts", starts),
    ("files are written", writes_files),
    ("the registry and services are looked at", looks_around),
    ("an installation that cannot be is refused before anything is changed", refuses),
    ("folders, access lists and the event log are made", installs),
    ("a service is installed, starts, and is removed", serves),
    ("setupapi installs the INF", installs_inf),
    ("the installed driver is found", finds_driver),
];

fn starts(machine: &Machine) -> Result<(), String> {
    machine.sakerctl(&["--version"])?.succeeds()?.says("sakerctl")
}

fn writes_files(machine: &Machine) -> Result<(), String> {
    let keys = format!(r"{FOLDER}\keys");
    machine
        .sakerctl(&["content", "keygen", "--out-dir", &keys, "--channels", "291"])?
        .succeeds()?;
    let names = machine.names("keys");
    let has = |end: &str| names.iter().any(|name| name.ends_with(end));
    require(has(".key") && has(".pub") && names.len() == 2, format!("in the folder: {names:?}"))?;
    // What is there already is kept.
    let key = names.iter().find(|name| name.ends_with(".pub")).cloned().unwrap_or_default();
    let missing = format!(r"{FOLDER}\none.sys");
    let key = format!(r"{FOLDER}\keys\{key}");
    machine.sakerctl(&["content", "verify", &missing, "--key", &key])?.fails()?.says("none.sys")
}

fn looks_around(machine: &Machine) -> Result<(), String> {
    let before = machine.doctor()?;
    require(before.severity("test signing") == "fault", "test signing is off at first")?;
    require(before.severity("processor").is_empty(), "a package is not asked for")?;
    require(before.severity("Falcon sensor") == "fine", "there is no sensor")?;
    require(before.severity("driver") == "fault", "the driver is not installed")?;
    require(before.severity("port") == "fault", "there is no port")?;

    machine.reg_add(VERSION, "CurrentBuildNumber", "REG_SZ", "19045")?;
    machine.reg_add(CONTROL, "SystemStartOptions", "REG_SZ", " TESTSIGNING  NOEXECUTE=OPTIN")?;
    machine.reg_add(
        &format!(r"{CONTROL}\Session Manager\Power"),
        "HiberbootEnabled",
        "REG_DWORD",
        "1",
    )?;
    machine.sc(&["create", "CSAgent", "type=", "kernel", "binPath=", r"C:\none.sys"])?;
    let after = machine.doctor()?;
    require(after.severity("test signing") == "fine", "test signing was switched on")?;
    require(after.text("Windows").starts_with("build 19045."), "it is another build")?;
    require(after.severity("fast startup") == "remark", "fast startup was switched on")?;
    require(after.severity("Falcon sensor") == "never", "a sensor's service was made")
}

fn refuses(machine: &Machine) -> Result<(), String> {
    let said = machine.sakerctl(&["install", PACKAGE, "--force"])?.fails()?;
    said.says("CSAgent")?;
    require(machine.reg(EVENT_LOG, "TypesSupported").is_err(), "the event log was registered")?;
    require(!machine.inbox().exists(), "the inbox was made")?;
    machine.sc(&["delete", "CSAgent"]).map(drop)
}

/// Wine's driver store takes anything and installs nothing: what is seen is all around it.
fn installs(machine: &Machine) -> Result<(), String> {
    machine.sakerctl(&["install", PACKAGE, "--force", "--no-start"])?.succeeds()?;
    let messages = machine.reg(EVENT_LOG, "EventMessageFile")?;
    require(messages == r"%SystemRoot%\System32\EventCreate.exe", messages.clone())?;
    require(machine.inbox().is_dir(), "the inbox was not made")?;
    let security = machine.sakerctl(&["doctor", "--json"])?.fails()?;
    // SYSTEM may do anything there, and nobody is let in who was not named.
    security.says("(A;OICI;FA;;;SY)")?;
    require(!security.text().contains(";;;WD)"), "everybody may do something there")
}

fn serves(machine: &Machine) -> Result<(), String> {
    let log = format!(r"{FOLDER}\log");
    machine.sakerctl(&["service", "install", "--log", &log])?.succeeds()?;
    // The service controller has started the program, which has opened its log.
    let log = machine.drive.join("saker/log/events.jsonl");
    require(log.is_file(), "it has not begun a log")?;
    let path = machine.reg(r"HKLM\System\CurrentControlSet\Services\sakerwatch", "ImagePath")?;
    require(path.contains("--as-service"), format!("it is started with {path}"))?;
    machine.sakerctl(&["service", "remove"])?.succeeds()?;
    require(machine.sc(&["query", "sakerwatch"]).is_err(), "it is still there")
}

fn installs_inf(machine: &Machine) -> Result<(), String> {
    let section = "DefaultInstall.NTamd64 128";
    let inf = format!(r"{PACKAGE}\saker.inf");
    machine.wine(&["rundll32", "setupapi,InstallHinfSection", section, &inf])?;
    let driver = machine.drive.join("windows/system32/drivers/saker.sys");
    require(driver.is_file(), "the driver was not copied")?;
    for (key, name, expected) in [
        (SERVICE.to_owned(), "Type", "0x2"),
        (SERVICE.to_owned(), "Start", "0x3"),
        (SERVICE.to_owned(), "ErrorControl", "0x1"),
        (SERVICE.to_owned(), "Group", "FSFilter Activity Monitor"),
        (format!(r"{SERVICE}\Instances"), "DefaultInstance", "Saker Instance"),
        (format!(r"{SERVICE}\Instances\Saker Instance"), "Altitude", "371873.291"),
        (format!(r"{SERVICE}\Instances\Saker Instance"), "Flags", "0x0"),
    ] {
        let found = machine.reg(&key, name)?;
        require(found == expected, format!("{key} {name} is {found}, not {expected}"))?;
    }
    Ok(())
}

fn finds_driver(machine: &Machine) -> Result<(), String> {
    let found = machine.doctor()?;
    require(found.text("driver") == "does not run", format!("it says {}", found.text("driver")))
}

fn require(holds: bool, why: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why.into()) }
}

/// A fresh machine of Wine's, with the program and a package.
struct Machine {
    wine: PathBuf,
    prefix: PathBuf,
    drive: PathBuf,
}

impl Machine {
    fn new(workspace: &Workspace, program: &Path) -> Result<Self, Failure> {
        let wine = WineTools::find_or_install()?.wine;
        let prefix = workspace.target_dir.join("wine");
        if prefix.exists() {
            fs::remove_dir_all(&prefix).map_err(Failure::file(&prefix))?;
        }
        fs::create_dir_all(&prefix).map_err(Failure::file(&prefix))?;
        let drive = prefix.join("drive_c");
        let machine = Self { wine, prefix, drive };
        process::quietly(
            "make a machine of Wine's",
            machine.command(&["wineboot", "-i"]).as_mut(),
        )?;

        let folder = machine.drive.join("saker");
        let package = folder.join("package");
        fs::create_dir_all(&package).map_err(Failure::file(&package))?;
        let place =
            |from: &Path, to: PathBuf| fs::copy(from, to).map(drop).map_err(Failure::file(from));
        place(program, folder.join("sakerctl.exe"))?;
        machine.make_prng(workspace, &folder)?;
        let driver = workspace.out.join("saker.sys");
        if !driver.is_file() {
            let words = format!("{} is missing: `cargo xtask build` makes it", driver.display());
            return Err(Failure::Other(words));
        }
        place(&driver, package.join("saker.sys"))?;
        let inx = workspace.root.join("inf/saker.inx");
        let text = fs::read_to_string(&inx).map_err(Failure::file(&inx))?;
        let stamp = Stamp { arch: Arch::X64, date: "01/01/2026".into(), version: "0.1.0.0".into() };
        let text = stamp.apply(&text).unwrap_or_default();
        for (name, bytes) in [("saker.inf", text.as_bytes()), ("saker.cat", b"")] {
            let path = package.join(name);
            fs::write(&path, bytes).map_err(Failure::file(&path))?;
        }
        Ok(machine)
    }

    /// Rust's standard library wants a DLL that older Wines do not have.
    fn make_prng(&self, workspace: &Workspace, folder: &Path) -> Result<(), Failure> {
        if self.drive.join("windows/system32/bcryptprimitives.dll").exists() {
            return Ok(());
        }
        let tools = UserModeTools::find_or_install()?;
        let mut command = bare(Command::new(&tools.linker));
        command.args(["-shared", "-o"]).arg(folder.join("bcryptprimitives.dll"));
        command.arg(workspace.root.join("tests/wine/process_prng.c")).arg("-ladvapi32");
        process::output(&mut command).map(drop)
    }

    fn command(&self, words: &[&str]) -> Box<Command> {
        let mut command = bare(Command::new(&self.wine));
        command
            .args(words)
            .env("WINEPREFIX", &self.prefix)
            .env("WINEDEBUG", "-all")
            // No offers to download what is not needed here.
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
            .env("XDG_RUNTIME_DIR", env::temp_dir())
            .env_remove("DISPLAY");
        Box::new(command)
    }

    fn said(&self, words: &[&str]) -> Result<Said, String> {
        let output = self.command(words).output().map_err(|error| error.to_string())?;
        Ok(Said { line: words.join(" "), output })
    }

    fn sakerctl(&self, words: &[&str]) -> Result<Said, String> {
        let program = format!(r"{FOLDER}\sakerctl.exe");
        self.said(&[&[program.as_str()], words].concat())
    }

    fn wine(&self, words: &[&str]) -> Result<Said, String> {
        self.said(words)?.succeeds()
    }

    fn sc(&self, words: &[&str]) -> Result<Said, String> {
        self.wine(&[&["sc"], words].concat())
    }

    fn reg_add(&self, key: &str, name: &str, kind: &str, data: &str) -> Result<(), String> {
        self.wine(&["reg", "add", key, "/v", name, "/t", kind, "/d", data, "/f"]).map(drop)
    }

    /// A value of the registry, as `reg` shows it.
    fn reg(&self, key: &str, name: &str) -> Result<String, String> {
        let said = self.wine(&["reg", "query", key, "/v", name])?;
        let text = said.text();
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
        let value = line.and_then(|rest| rest.trim_start().split_once("    "));
        value.map(|(_, value)| value.trim().to_owned()).ok_or(format!("{key} {name}: {text}"))
    }

    fn doctor(&self) -> Result<Findings, String> {
        let said = self.sakerctl(&["doctor", "--json"])?.fails()?;
        let text = String::from_utf8_lossy(&said.output.stdout).into_owned();
        serde_json::from_str(&text).map(Findings).map_err(|error| format!("{error}: {text}"))
    }

    fn inbox(&self) -> PathBuf {
        self.drive.join("windows/system32/drivers/CrowdStrike")
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.drive.join("saker").join(folder));
        let entries = entries.into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its programs end with it; one that has ended already needs no telling.
        let server = self.wine.with_file_name("wineserver");
        let _ = Command::new(server).arg("-k").env("WINEPREFIX", &self.prefix).output();
    }
}

/// What a program has said.
struct Said {
    line: String,
    output: Output,
}

impl Said {
    fn text(&self) -> String {
        let said = [&self.output.stdout, &self.output.stderr];
        said.map(|bytes| String::from_utf8_lossy(bytes)).concat()
    }

    fn succeeds(self) -> Result<Self, String> {
        if self.output.status.success() {
            return Ok(self);
        }
        Err(format!("{} ended with {}: {}", self.line, self.output.status, self.text()))
    }

    fn fails(self) -> Result<Self, String> {
        if self.output.status.code() == Some(1) {
            return Ok(self);
        }
        Err(format!("{} ended with {}, not 1: {}", self.line, self.output.status, self.text()))
    }

    fn says(&self, word: &str) -> Result<(), String> {
        require(self.text().contains(word), format!("{} says: {}", self.line, self.text()))
    }
}

/// What the doctor has found.
struct Findings(Value);

impl Findings {
    fn field(&self, what: &str, field: &str) -> String {
        let findings = self.0["findings"].as_array();
        let found = findings.into_iter().flatten().find(|finding| finding["what"] == what);
        found.and_then(|finding| finding[field].as_str()).unwrap_or_default().to_owned()
    }

    fn severity(&self, what: &str) -> String {
        self.field(what, "severity")
    }

    fn text(&self, what: &str) -> String {
        self.field(what, "text")
    }
}
