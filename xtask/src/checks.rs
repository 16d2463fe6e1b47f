//! `cargo xtask test`: every check there is, each on its own, and a table at the end.
//!
//! A failed check does not stop the others; the command fails if one did. What cannot run on a
//! machine (a rustup without clippy, say) is skipped and the table says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::artifacts::{self, Artifacts, Workspace};
use crate::facts;
use crate::failure::Failure;
use crate::inspect::{self, Facts};
use crate::lane::{Lane, Linked};
use crate::panics;
use crate::process;
use crate::progress::{clock, note};
use crate::tools::{self, Tools, bare};
use crate::user_mode;

/// Runs everything, or only the checks whose name contains one of `only`.
pub fn run(workspace: &Workspace, only: &[String]) -> Result<(), Failure> {
    let tools = Tools::find_or_install()?;
    let lane = Lane::prepare(&tools, &workspace.root, &workspace.lane_dir())?;
    let mut table = Table { only: only.to_vec(), rows: Vec::new() };

    table.check("formatting", || formatting(workspace));
    table.check("clippy, everything but drivers", || clippy(workspace));

    table.check("hot swap in a model checker", || model_check(workspace));

    let built = artifacts::build_with(workspace, &lane);
    let built = match built {
        Ok(built) => built,
        // Without a driver nothing below means anything.
        Err(failure) => {
            table.add("build", Err(failure), Duration::ZERO);
            return table.finish();
        }
    };
    table.check("saker.sys: image", || image(&built.driver));
    table.check("saker.sys: no panic path", || no_panic_path(&built.driver));
    table.check("saker.sys: a planted panic is found", || planted_panic(workspace, &lane));
    table.check("saker.sys: structures match Microsoft's metadata", || {
        lane.check("saker", &["abi-check"]).map(|()| Outcome::Passed)
    });
    table.check("docs/safety.md: what is counted", || {
        facts::check(workspace).map(|()| Outcome::Passed)
    });
    table.check("clippy, drivers", || driver_clippy(&lane));
    table.check("sakerctl.exe", || user_mode_programs(workspace));
    table.check("planted bugs: build", || planted_bugs(workspace, &lane));
    table.check("tests", || tests(workspace, &built));
    table.finish()
}

/// Applies the checks of an image to any file.
pub fn inspect(path: &Path) -> Result<(), Failure> {
    let facts = facts(path)?;
    for section in &facts.sections {
        println!("{:<10} {:>8} bytes  {:#010x}", section.name, section.virtual_size, section.flags);
    }
    println!("{}", facts.imports.join("\n"));
    image(path)?;
    no_panic_path(path)?;
    println!("nothing is wrong with {}", path.display());
    Ok(())
}

/// How a check ended.
enum Outcome {
    Passed,
    Skipped(&'static str),
}

/// The results so far.
struct Table {
    /// What the name of a check must contain; empty: anything.
    only: Vec<String>,
    rows: Vec<(&'static str, Result<Outcome, Failure>, Duration)>,
}

impl Table {
    fn check(&mut self, name: &'static str, check: impl FnOnce() -> Result<Outcome, Failure>) {
        let chosen = self.only.is_empty() || self.only.iter().any(|part| name.contains(part));
        if !chosen {
            return;
        }
        let begun = Instant::now();
        let result = check();
        self.add(name, result, begun.elapsed());
    }

    fn add(&mut self, name: &'static str, result: Result<Outcome, Failure>, took: Duration) {
        if let Err(failure) = &result {
            note(&format!("\n{name}: {failure}\n"));
        }
        self.rows.push((name, result, took));
    }

    fn finish(self) -> Result<(), Failure> {
        println!("\n{:=<72}", "== checks ");
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for (name, result, took) in &self.rows {
            let (word, remark) = match result {
                Ok(Outcome::Passed) => {
                    passed += 1;
                    ("ok", "")
                }
                Ok(Outcome::Skipped(reason)) => {
                    skipped += 1;
                    ("skipped", *reason)
                }
                Err(_) => {
                    failed += 1;
                    ("FAILED", "")
                }
            };
            println!("{name:.<52} {word:<7} {:>7} {remark}", clock(*took));
        }
        let word = if failed == 0 { "ok" } else { "FAILED" };
        println!("\ncheck result: {word}. {passed} passed; {failed} failed; {skipped} skipped");
        if failed == 0 { Ok(()) } else { Err(Failure::Other(format!("{failed} checks failed"))) }
    }
}

fn formatting(workspace: &Workspace) -> Result<Outcome, Failure> {
    if !has_subcommand(workspace, "fmt") {
        return Ok(Outcome::Skipped("rustfmt is not installed"));
    }
    let mut command = workspace.cargo();
    command.args(["fmt", "--all", "--check"]);
    process::quietly("cargo fmt --all --check", &mut command)?;
    let mut command = workspace.cargo();
    command.args(["fmt", "--check", "--manifest-path", "xtask/wdk-linux/wdk-build/Cargo.toml"]);
    process::quietly("cargo fmt --check, wdk-build", &mut command)?;
    Ok(Outcome::Passed)
}

fn clippy(workspace: &Workspace) -> Result<Outcome, Failure> {
    if !has_subcommand(workspace, "clippy") {
        return Ok(Outcome::Skipped("clippy is not installed"));
    }
    let mut command = workspace.cargo();
    command.args(["clippy", "--all-targets", "--", "-D", "warnings"]);
    process::quietly("cargo clippy --all-targets", &mut bare(command))?;
    Ok(Outcome::Passed)
}

/// Every order of steps in which content can be swapped under readers. Apart from the other tests:
/// the checker is only built for this.
fn model_check(workspace: &Workspace) -> Result<Outcome, Failure> {
    let mut command = bare(workspace.cargo());
    command.args(["test", "--profile", "tools", "-p", "driver-core"]);
    command.args(["--features", "loom", "--test", "publish"]);
    process::quietly("cargo test -p driver-core --features loom", &mut command)?;
    Ok(Outcome::Passed)
}

fn driver_clippy(lane: &Lane<'_>) -> Result<Outcome, Failure> {
    Ok(if lane.clippy("saker")? && lane.clippy("planted")? && lane.clippy("sensor2024")? {
        Outcome::Passed
    } else {
        Outcome::Skipped("the driver's toolchain has no clippy")
    })
}

/// The tool for Windows builds, needs nothing but Windows, and pleases clippy.
fn user_mode_programs(workspace: &Workspace) -> Result<Outcome, Failure> {
    user_mode::build(workspace)?;
    Ok(if user_mode::clippy(workspace)? {
        Outcome::Passed
    } else {
        Outcome::Skipped("built; its toolchain has no clippy")
    })
}

fn has_subcommand(workspace: &Workspace, name: &str) -> bool {
    process::output(workspace.cargo().args([name, "--version"])).is_ok()
}

/// The image has the form that Windows asks of a boot driver.
fn image(driver: &Path) -> Result<Outcome, Failure> {
    let faults = inspect::faults(&facts(driver)?);
    if faults.is_empty() {
        Ok(Outcome::Passed)
    } else {
        Err(Failure::Other(format!("{}\n  - {}", driver.display(), faults.join("\n  - "))))
    }
}

/// No way leads to a panic: by the import table, and by the names in the PDB.
fn no_panic_path(driver: &Path) -> Result<Outcome, Failure> {
    let left = panics::functions(&driver.with_extension("pdb"))?;
    if facts(driver)?.can_panic() || !left.is_empty() {
        return Err(Failure::Other(format!("panic paths are left: {}", left.join(", "))));
    }
    Ok(Outcome::Passed)
}

/// The check above can turn red: a driver with one `unwrap` on a value that the optimiser cannot
/// see must fail it, in both of its ways.
fn planted_panic(workspace: &Workspace, lane: &Lane<'_>) -> Result<Outcome, Failure> {
    let linked = lane.build_aside("saker", &["planted-panic"], &workspace.lane_dir())?;
    let found = facts(&linked.image)?;
    let left = panics::functions(&linked.pdb)?;
    if !found.can_panic() || inspect::faults(&found).is_empty() {
        return Err(Failure::Other("the import table does not show the planted panic".to_owned()));
    }
    if left.is_empty() {
        return Err(Failure::Other("the PDB does not name the planted panic".to_owned()));
    }
    note(&format!("      found, as it must be: KeBugCheckEx, {}", left.join(", ")));
    Ok(Outcome::Passed)
}

/// The drivers that are wrong on purpose, which the kernel host's tests run.
fn planted_bugs(workspace: &Workspace, lane: &Lane<'_>) -> Result<Outcome, Failure> {
    for name in ["planted", "sensor2024"] {
        let linked = lane.build(name, &[])?;
        artifacts::place_driver(&linked, &workspace.out, name)?;
    }
    Ok(Outcome::Passed)
}

/// Unit, integration and documentation tests; those that need the built files must find them.
fn tests(workspace: &Workspace, built: &Artifacts) -> Result<Outcome, Failure> {
    tools::find_or_install_node()?;
    let mut command = bare(workspace.cargo());
    command
        .env("SAKER_REQUIRE_ARTIFACTS", "1")
        .env("SAKER_ARTIFACTS", &built.dir)
        .args(["test", "--no-fail-fast"]);
    note("\ncargo test");
    process::openly("cargo test", &mut command)?;
    Ok(Outcome::Passed)
}

fn facts(image: &Path) -> Result<Facts, Failure> {
    let bytes = fs::read(image).map_err(Failure::file(image))?;
    Facts::read(&bytes)
        .map_err(|words| Failure::Other(format!("{} is no image: {words}", image.display())))
}

impl Lane<'_> {
    /// Builds a variant of a driver and leaves the plain build as it was.
    ///
    /// Cargo gives every variant of a library of this kind the same file name, and would later
    /// take this one for the plain build. So that is moved away and back.
    fn build_aside(
        &self,
        package: &str,
        features: &[&str],
        lane_dir: &Path,
    ) -> Result<Linked, Failure> {
        let plain = self.build(package, &[])?;
        let aside = lane_dir.join("aside");
        fs::create_dir_all(&aside).map_err(Failure::file(&aside))?;
        let kept =
            [&plain.image, &plain.pdb].map(|path| (path.clone(), in_dir(&aside, path, "plain")));
        for (path, place) in &kept {
            fs::rename(path, place).map_err(Failure::file(path))?;
        }
        let variant = self.build(package, features).and_then(|linked| {
            let image = in_dir(&aside, &linked.image, "variant");
            let pdb = in_dir(&aside, &linked.pdb, "variant");
            fs::rename(&linked.image, &image).map_err(Failure::file(&linked.image))?;
            fs::rename(&linked.pdb, &pdb).map_err(Failure::file(&linked.pdb))?;
            Ok(Linked { image, pdb })
        });
        for (path, place) in &kept {
            fs::rename(place, path).map_err(Failure::file(place))?;
        }
        variant
    }
}

fn in_dir(dir: &Path, path: &Path, label: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    dir.join(format!("{label}-{name}"))
}
