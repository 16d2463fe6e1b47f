//! `cargo xtask coverage`: which lines of the driver its tests in the kernel host reach.
//!
//! The image is the one that ships; the kernel host puts a breakpoint on each of its basic blocks
//! and takes it away when it is reached.

use std::fs;
use std::process::Command;

use clap::Args;

use crate::artifacts::{self, Workspace};
use crate::failure::Failure;
use crate::process;
use crate::tools::bare;

/// What to show.
#[derive(Args)]
pub struct Options {
    /// Lists the lines that were not reached
    #[arg(long)]
    missed: bool,
    /// Only source files whose path contains this
    #[arg(long, value_name = "TEXT", default_value = "driver/")]
    under: String,
    /// Fails when fewer than this many lines of a hundred were reached
    #[arg(long, value_name = "PERCENT", default_value = "90")]
    least: String,
}

/// Builds the driver, runs its tests and reports.
pub fn run(workspace: &Workspace, options: &Options) -> Result<(), Failure> {
    let built = artifacts::build(workspace)?;
    let hits = workspace.target_dir.join("coverage");
    if hits.exists() {
        fs::remove_dir_all(&hits).map_err(Failure::file(&hits))?;
    }
    fs::create_dir_all(&hits).map_err(Failure::file(&hits))?;
    let mut tests = bare(workspace.cargo());
    tests
        .env("SAKER_REQUIRE_ARTIFACTS", "1")
        .env("SAKER_ARTIFACTS", &built.dir)
        .env("SAKER_COVERAGE", &hits)
        .args(["test", "-p", "kernel-host-runner"]);
    process::quietly("the driver's tests, with coverage", &mut tests)?;
    let mut report = Command::new(&built.kernel_host);
    report.arg("coverage").arg(&hits).arg("--driver").arg(&built.driver);
    report.args(["--under", &options.under, "--least", &options.least]);
    if options.missed {
        report.arg("--missed");
    }
    process::openly("coverage", &mut report)
}
