//! `cargo xtask fuzz`: long runs of tests that make their own cases.

mod libfuzzer;
mod output;

use std::path::PathBuf;
use std::process::Command;

use crate::artifacts::Workspace;
use crate::failure::Failure;
use crate::process;
use crate::progress::note;
use crate::tools::bare;

/// What to run, and how much of it. Without options: every target, for a minute each.
#[derive(clap::Args)]
pub struct Fuzz {
    /// How long each target runs; parts of a minute will do
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Only targets whose name begins so; may be given again
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// Instead: judge made-up rules and events by compiled channel files, by the naive reference
    /// and by another Sigma engine, and show where they differ
    #[arg(long, conflicts_with_all = ["minutes", "target"])]
    differential: bool,
    /// How many pairs of a rule and an event, with each of the two
    #[arg(long, default_value_t = 1_000_000, requires = "differential")]
    pairs: u64,
    /// The same seed makes the same pairs
    #[arg(long, default_value_t = 1, requires = "differential")]
    seed: u64,
}

/// Runs what was asked for, and fails when something does not hold.
pub fn run(workspace: &Workspace, asked: &Fuzz) -> Result<(), Failure> {
    if asked.differential {
        return differential(workspace, asked);
    }
    libfuzzer::run(workspace, asked.minutes, &asked.target)
}

/// What is tried without chance: every byte of the golden files changed to every other value, and
/// every small table and program.
pub fn mutate(workspace: &Workspace) -> Result<(), Failure> {
    let program = targets_program(workspace)?;
    process::openly("mutate", Command::new(program).arg("mutate"))?;
    let mut models = bare(workspace.cargo());
    models.args(["test", "--profile", "tools", "-p", "channel-format", "--lib", "models"]);
    models.args(["--", "--include-ignored"]);
    process::openly("small models", &mut models)
}

/// Builds the program that knows the targets.
fn targets_program(workspace: &Workspace) -> Result<PathBuf, Failure> {
    let mut build = bare(workspace.cargo());
    build.args(["build", "--profile", "tools", "-p", "fuzz-targets"]);
    process::quietly("build the fuzz targets", &mut build)?;
    Ok(workspace.target_dir.join("tools/fuzz-targets"))
}

fn differential(workspace: &Workspace, asked: &Fuzz) -> Result<(), Failure> {
    let package = ["--profile", "tools", "-p", "differential"];
    let mut build = bare(workspace.cargo());
    process::quietly("build the differential tests", build.arg("build").args(package))?;
    note(&format!("  ..  {} pairs with each side, seed {}", asked.pairs, asked.seed));
    let mut judge = bare(workspace.cargo());
    judge.args(["run", "--quiet"]).args(package).arg("--");
    judge.args(["--pairs", &asked.pairs.to_string(), "--seed", &asked.seed.to_string()]);
    process::openly("differential tests", &mut judge)
}
