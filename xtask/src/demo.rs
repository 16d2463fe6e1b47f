//! `cargo xtask demo`: the main job, end to end, with the programs that were just built.
//!
//! Rules become a signed channel file; the real `saker.sys` boots in the kernel host, takes the
//! file from its inbox and judges the pipe events of a log; then the file of July 2024 is dropped
//! on top of it. Every claim the demo makes is checked: it fails if the driver does otherwise.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::artifacts::{Artifacts, Workspace};
use crate::failure::Failure;
use crate::process;

/// Shows the built driver at work.
pub fn run(workspace: &Workspace, built: &Artifacts) -> Result<(), Failure> {
    let temporary = tempfile::tempdir().map_err(Failure::file(Path::new("a temporary folder")))?;
    let desk = Desk { built, content: workspace.root.join("tests/content"), dir: temporary.path() };

    heading("1  Rules become a signed channel file");
    let (key, public) = desk.keys()?;
    let file = desk.channel_file(&key)?;

    heading("2  saker.sys judges the pipe events of a log");
    desk.replay(&public)?;

    heading("3  The file of 19 July 2024: a table index that points far outside its table");
    desk.incident(&file, &key, &public)
}

/// What the demo works with.
struct Desk<'a> {
    built: &'a Artifacts,
    content: PathBuf,
    dir: &'a Path,
}

impl Desk<'_> {
    /// A fresh pair of keys: the secret one and the public one.
    fn keys(&self) -> Result<(PathBuf, PathBuf), Failure> {
        let mut command = self.sakerctl();
        command.args(["keygen", "--may-block", "--out-dir"]).arg(self.dir);
        process::output(&mut command)?;
        let pair = [self.find("key")?, self.find("pub")?];
        let [key, public] = pair;
        say(&format!("a content key that may sign blocking rules: {}", name(&public)));
        Ok((key, public))
    }

    /// The demo's rules, built and signed into the inbox folder.
    fn channel_file(&self, key: &Path) -> Result<PathBuf, Failure> {
        let mut build = self.sakerctl();
        build.args(["build", "--channel", "291", "--sequence", "1", "--rules"]);
        build.arg(&self.content).arg("--out").arg(self.dir);
        let unsigned = PathBuf::from(process::output(&mut build)?.trim());

        let inbox = self.inbox();
        fs::create_dir_all(&inbox).map_err(Failure::file(&inbox))?;
        let mut sign = self.sakerctl();
        sign.arg("sign").arg(&unsigned).arg("--key").arg(key).arg("--out").arg(&inbox);
        let signed = PathBuf::from(process::output(&mut sign)?.trim());
        let size = fs::metadata(&signed).map_err(Failure::file(&signed))?.len();
        say(&format!("{}, {size} bytes, from the rules in tests/content", name(&signed)));
        Ok(signed)
    }

    fn replay(&self, public: &Path) -> Result<(), Failure> {
        let mut command = self.kernel_host(public);
        let output = run_shown(&mut command)?;
        expect(output.status.success(), "the replay ends well")?;
        for verdict in ["block", "detect", "unknown"] {
            let shown = String::from_utf8_lossy(&output.stdout);
            expect(shown.contains(verdict), &format!("the log holds an event to {verdict}"))?;
        }
        Ok(())
    }

    /// Drops the incident's file beside the good one.
    fn incident(&self, file: &Path, key: &Path, public: &Path) -> Result<(), Failure> {
        let mut make = Command::new(&self.built.kernel_host);
        make.arg("incident").arg(file).arg("--key").arg(key).arg("--out").arg(self.inbox());
        let wild = PathBuf::from(process::output(&mut make)?.trim());
        say(&format!("{} has a good signature and a good hash;", name(&wild)));
        say("one record of its tables names an entry that is not there.");

        let mut command = self.kernel_host(public);
        command.arg("--json");
        let output = command.output().map_err(|source| Failure::Start {
            program: self.built.kernel_host.display().to_string(),
            source,
        })?;
        let told = String::from_utf8_lossy(&output.stderr);
        print!("{told}");
        expect(!output.status.success(), "a refused file gives a non-zero exit code")?;
        expect(told.contains("IndexOutOfRange"), "the driver says what is wrong with the file")?;
        let lines = String::from_utf8_lossy(&output.stdout);
        let blocked = lines.lines().filter(|line| line.contains("\"block\"")).count();
        expect(blocked > 0, "the content that was in force goes on blocking")?;
        print!("{}", beside(blocked));
        Ok(())
    }

    fn sakerctl(&self) -> Command {
        let mut command = Command::new(&self.built.sakerctl);
        command.arg("content");
        command
    }

    fn kernel_host(&self, public: &Path) -> Command {
        let mut command = Command::new(&self.built.kernel_host);
        command.arg("replay").arg("--driver").arg(&self.built.driver);
        command.arg("--content").arg(self.inbox()).arg("--key").arg(public);
        command.arg("--events").arg(self.content.join("demo/events.jsonl"));
        command
    }

    fn inbox(&self) -> PathBuf {
        self.dir.join("inbox")
    }

    /// The one file of the folder with this extension.
    fn find(&self, extension: &str) -> Result<PathBuf, Failure> {
        let entries = fs::read_dir(self.dir).map_err(Failure::file(self.dir))?;
        entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|found| found == extension))
            .ok_or_else(|| Failure::Other(format!("keygen left no .{extension} file")))
    }
}

/// What the same kind of file did in 2024, and what it did now.
fn beside(blocked: usize) -> String {
    format!(
        "\n  19 July 2024                                   here, just now
  ---------------------------------------------  ---------------------------------------------
  the content passed a validator of its own      the validator is the driver's own code
  an input was read beyond the end of its table  the record was refused when the file was read
  8.5 million machines stopped, again each boot  the driver went on; {blocked} events were blocked
  repaired by hand, one by one                   nothing to repair: the content before serves\n\n"
    )
}

fn run_shown(command: &mut Command) -> Result<Output, Failure> {
    let output = command.output().map_err(|source| Failure::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    print!("{}", String::from_utf8_lossy(&output.stderr));
    print!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(output)
}

fn expect(holds: bool, claim: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Other(format!("the demo's claim failed: {claim}"))) }
}

fn heading(text: &str) {
    println!("\n{text}\n{}", "=".repeat(text.len()));
}

fn say(text: &str) {
    println!("  {text}");
}

fn name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
