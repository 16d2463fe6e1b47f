//! The targets of `tests/fuzz` under libFuzzer, on the installed compiler.
//!
//! Inputs that lead to something new are kept in `target/fuzz/corpus`, so that a later run begins
//! where this one ended. An input for which something does not hold goes to `tests/regressions`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::output::Ran;
use super::targets_program;
use crate::artifacts::{self, Workspace};
use crate::failure::Failure;
use crate::process;
use crate::progress::note;
use crate::tools::{self, bare};

/// What the compiler is to do: mark every edge, and tell what is compared with what. The same that
/// `cargo fuzz` asks for, without a sanitizer, which would need another compiler: the code under
/// test has no unsafe block, and the driver is watched by the kernel host.
const INSTRUMENTED: [&str; 9] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Ccodegen-units=1",
    "-Cforce-frame-pointers=yes",
    "--cfg=fuzzing",
];
/// A target that does not hold for inputs which begin with a word, to see that this is noticed.
const PLANTED: &str = "planted";

/// Builds what is needed and runs the targets whose names begin with one of `only`.
pub fn run(workspace: &Workspace, minutes: f64, only: &[String]) -> Result<(), Failure> {
    tools::find_or_install_cxx()?;
    let targets = targets_program(workspace)?;
    let chosen = chosen(&process::output(Command::new(&targets).arg("list"))?, only)?;
    let mut fuzzer = Fuzzer {
        root: workspace.root.clone(),
        dir: workspace.target_dir.join("fuzz"),
        artifacts: workspace.out.clone(),
        program: build(workspace)?,
        targets,
        seconds: (minutes * 60.0).max(1.0) as u64,
    };
    if chosen.iter().any(|target| target.needs_driver) {
        fuzzer.artifacts = artifacts::build(workspace)?.dir;
    }
    fuzzer.notices_a_planted_fault()?;
    note(&format!(
        "  ..  {} targets, {} seconds each\n\n{:<16} {:>12} {:>6}  {:<16} features",
        chosen.len(),
        fuzzer.seconds,
        "target",
        "executions",
        "kept",
        "edges"
    ));
    let results = fuzzer.run_all(&chosen);
    let executions: u64 = results.iter().flatten().map(|ran| ran.executions).sum();
    note(&format!("{:<16} {executions:>12}", "all"));
    let failures: Vec<String> =
        results.into_iter().filter_map(|result| Some(result.err()?.to_string())).collect();
    match failures.is_empty() {
        true => Ok(()),
        false => Err(Failure::Other(failures.join("\n\n"))),
    }
}

/// A target as `fuzz-targets list` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    name: String,
    longest: String,
    needs_driver: bool,
}

/// The targets of a list whose names begin with one of `only`.
fn chosen(list: &str, only: &[String]) -> Result<Vec<Target>, Failure> {
    let targets = list.lines().filter_map(|line| {
        let mut columns = line.split('\t');
        let (name, longest, driver) = (columns.next()?, columns.next()?, columns.next()?);
        Some(Target {
            name: name.to_owned(),
            longest: longest.to_owned(),
            needs_driver: driver == "true",
        })
    });
    let wanted = |target: &Target| {
        only.is_empty() || only.iter().any(|begin| target.name.starts_with(begin.as_str()))
    };
    let chosen: Vec<Target> = targets.filter(wanted).collect();
    match chosen.is_empty() {
        false => Ok(chosen),
        true => Err(Failure::Other(format!("no target is called that; there are\n{list}"))),
    }
}

/// Builds the program that is fuzzed: the user's own compiler, with coverage.
fn build(workspace: &Workspace) -> Result<PathBuf, Failure> {
    let version = process::output(bare(Command::new("rustc")).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| Failure::Other("rustc -vV names no host".to_owned()))?;
    let target_dir = workspace.target_dir.join("fuzz");
    let mut command = workspace.cargo();
    command.env("CARGO_TARGET_DIR", &target_dir);
    command.env("CARGO_ENCODED_RUSTFLAGS", INSTRUMENTED.join("\u{1f}"));
    // With a target named, build scripts and macros are not instrumented.
    command.args(["build", "--profile", "fuzz", "-p", "saker-fuzz", "--target", host]);
    process::quietly("build the targets with coverage", &mut bare(command))?;
    Ok(target_dir.join(host).join("fuzz/saker-fuzz"))
}

/// The built program, and where its files are.
struct Fuzzer {
    root: PathBuf,
    dir: PathBuf,
    artifacts: PathBuf,
    program: PathBuf,
    targets: PathBuf,
    seconds: u64,
}

impl Fuzzer {
    /// A fault that is there is found and kept: else nothing below means anything.
    fn notices_a_planted_fault(&self) -> Result<(), Failure> {
        let folders = self.folders(PLANTED)?;
        fs::write(folders.corpus.join("seed"), b"SAKEQ").map_err(Failure::file(&folders.corpus))?;
        let mut command = self.command(PLANTED, &folders);
        command.args(["-runs=1000000", "-max_len=16"]).arg(&folders.corpus);
        let output = output_of(&mut command)?;
        let found = found(&folders.found)?;
        if output.status.success() || found.is_empty() {
            return Err(Failure::Other("the fuzzer does not find a planted fault".to_owned()));
        }
        note("      a planted fault is found and kept, as it must be");
        fs::remove_dir_all(&folders.found).map_err(Failure::file(&folders.found))
    }

    /// As many at a time as there are processors.
    fn run_all(&self, targets: &[Target]) -> Vec<Result<Ran, Failure>> {
        let next = AtomicUsize::new(0);
        let results = Mutex::new(Vec::new());
        let threads = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..threads.min(targets.len()) {
                scope.spawn(|| {
                    while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let result = self.run_one(target);
                        if let Ok(ran) = &result {
                            note(&row(&target.name, ran));
                        }
                        if let Ok(mut results) = results.lock() {
                            results.push(result);
                        }
                    }
                });
            }
        });
        results.into_inner().unwrap_or_default()
    }

    fn run_one(&self, target: &Target) -> Result<Ran, Failure> {
        let folders = self.folders(&target.name)?;
        let mut seeds = Command::new(&self.targets);
        seeds.args(["seeds", &target.name]).arg(&folders.corpus).arg(&folders.words);
        process::output(&mut seeds)?;
        let mut command = self.command(&target.name, &folders);
        command
            .arg(format!("-max_total_time={}", self.seconds))
            .arg(format!("-max_len={}", target.longest))
            .arg("-rss_limit_mb=4096");
        if fs::metadata(&folders.words).is_ok_and(|words| words.len() > 0) {
            command.arg(format!("-dict={}", folders.words.display()));
        }
        if target.needs_driver {
            command.env("SAKER_COVERAGE", &folders.hits);
            // The kernel host has its own handlers, and its own watch for code that hangs. A signal
            // of libFuzzer's would run on the driver's stack.
            command.args(["-timeout=0", "-handle_segv=0", "-handle_bus=0", "-handle_ill=0"]);
            command.args(["-handle_fpe=0", "-handle_abrt=1"]);
        } else {
            command.arg("-timeout=60");
        }
        let kept = self.root.join("tests/regressions").join(&target.name);
        command.arg(&folders.corpus);
        if kept.is_dir() {
            command.arg(&kept);
        }
        let output = output_of(&mut command)?;
        let printed = String::from_utf8_lossy(&output.stderr);
        let ran = Ran::read(&printed);
        match (output.status.success(), ran) {
            (true, Some(ran)) => Ok(ran),
            _ => Err(self.keep(target, &folders, &printed)),
        }
    }

    fn command(&self, target: &str, folders: &Folders) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("SAKER_FUZZ", target)
            .env("SAKER_ARTIFACTS", &self.artifacts)
            .env("SAKER_REQUIRE_ARTIFACTS", "1")
            .env("RUST_BACKTRACE", "0")
            .arg(format!("-artifact_prefix={}/", folders.found.display()))
            .args(["-print_final_stats=1", "-report_slow_units=60", "-detect_leaks=0"]);
        command
    }

    /// Puts what was found into the folder of regressions; says what it is and how to see it again.
    fn keep(&self, target: &Target, folders: &Folders, printed: &str) -> Failure {
        let kept = self.root.join("tests/regressions").join(&target.name);
        let copied = found(&folders.found).and_then(|files| {
            fs::create_dir_all(&kept).map_err(Failure::file(&kept))?;
            let copy = |file: PathBuf| {
                let to = kept.join(file.file_name().unwrap_or_default());
                fs::copy(&file, &to).map_err(Failure::file(&file))?;
                Ok(to)
            };
            files.into_iter().map(copy).collect::<Result<Vec<PathBuf>, Failure>>()
        });
        let name = &target.name;
        let begin = printed.lines().position(|line| line.contains("panicked at"));
        let lines = printed.lines().count();
        let from = begin.unwrap_or(lines.saturating_sub(40));
        let told: Vec<&str> = printed.lines().skip(from).take(40).collect();
        let told = told.join("\n");
        match copied {
            Err(failure) => failure,
            Ok(files) if files.is_empty() => {
                Failure::Other(format!("{name}: the fuzzer itself failed\n{told}"))
            }
            Ok(files) => {
                let paths: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
                Failure::Other(format!(
                    "{name} does not hold for an input, which is now in {}\n{told}\n\nSee it again \
                     with\n    cargo run -p fuzz-targets -- replay {name} {}\nMend it, and commit the \
                     file with what mends it; cargo test replays it from then on.",
                    kept.display(),
                    paths.join(" ")
                ))
            }
        }
    }

    /// The folders of a target, with what an earlier run found and marked taken away.
    fn folders(&self, target: &str) -> Result<Folders, Failure> {
        let folders = Folders {
            corpus: self.dir.join("corpus").join(target),
            found: self.dir.join("found").join(target),
            hits: self.dir.join("hits").join(target),
            words: self.dir.join("words").join(target),
        };
        for stale in [&folders.found, &folders.hits] {
            if stale.exists() {
                fs::remove_dir_all(stale).map_err(Failure::file(stale))?;
            }
        }
        let words = self.dir.join("words");
        for folder in [&folders.corpus, &folders.found, &folders.hits, &words] {
            fs::create_dir_all(folder).map_err(Failure::file(folder))?;
        }
        Ok(folders)
    }
}

/// Where the files of a target are.
struct Folders {
    corpus: PathBuf,
    found: PathBuf,
    hits: PathBuf,
    words: PathBuf,
}

/// What libFuzzer left that does not hold, hangs or takes too much memory. Slow inputs are no fault.
fn found(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(folder).map_err(Failure::file(folder))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            ["crash-", "timeout-", "oom-"].iter().any(|begin| name.starts_with(begin))
        })
        .map(|entry| entry.path())
        .collect();
    files.sort();
    Ok(files)
}

fn output_of(command: &mut Command) -> Result<std::process::Output, Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().map_err(|source| Failure::Start { program, source })
}

fn row(name: &str, ran: &Ran) -> String {
    let Ran { executions, kept, begun, ended } = ran;
    let edges = format!("{} → {}", begun.edges, ended.edges);
    format!(
        "{name:<16} {executions:>12} {kept:>6}  {edges:<16} {} → {}",
        begun.features, ended.features
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "parse\t4096\tfalse\twhole files\ndriver-life\t256\ttrue\tany order\n";

    fn names(only: &[&str]) -> Option<Vec<String>> {
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        let chosen = chosen(LIST, &only).ok()?;
        Some(chosen.into_iter().map(|target| target.name).collect())
    }

    #[test]
    fn chooses_by_the_beginning_of_a_name() {
        assert_eq!(names(&[]).unwrap(), ["parse", "driver-life"]);
        assert_eq!(names(&["driver"]).unwrap(), ["driver-life"]);
        assert!(chosen(LIST, &["driver".to_owned()]).unwrap()[0].needs_driver);
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        assert_eq!(names(&["life"]), None);
    }

    #[test]
    fn slow_inputs_are_no_fault_and_others_are() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["slow-unit-1", "crash-2", "timeout-3", "oom-4"] {
            fs::write(folder.path().join(name), b"").expect("a file");
        }
        assert_eq!(found(folder.path()).unwrap().len(), 3);
    }
}
