//! `cargo xtask fuzz`: long runs of tests that make their own cases.

use crate::artifacts::Workspace;
use crate::failure::Failure;
use crate::process;
use crate::progress::note;
use crate::tools::bare;

/// What to run, and how much of it.
#[derive(clap::Args)]
pub struct Fuzz {
    /// Judge made-up rules and events by compiled channel files, by the naive reference and by
    /// another Sigma engine, and show where they differ
    #[arg(long, required = true)]
    differential: bool,
    /// How many pairs of a rule and an event, with each of the two
    #[arg(long, default_value_t = 1_000_000)]
    pairs: u64,
    /// The same seed makes the same pairs
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs what was asked for, and fails at the first fault.
pub fn run(workspace: &Workspace, asked: &Fuzz) -> Result<(), Failure> {
    if asked.differential {
        differential(workspace, asked)?;
    }
    Ok(())
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
