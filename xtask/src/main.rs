//! `cargo xtask`: builds the driver and its tools, runs every check, shows the whole at work.
//!
//! | command | does |
//! |---|---|
//! | `build` | leaves `saker.sys`, `saker.pdb`, `sakerctl`, `sakerctl.exe` and `kernel-host` in `target/saker` |
//! | `test` | builds, checks the driver's image and runs all tests; ends with a table |
//! | `package` | builds all that a Windows machine needs, as a folder and a zip |
//! | `demo` | builds and shows the driver judging pipe events |
//! | `inspect` | says what is wrong with a driver image, by the rules of `test` |
//! | `reproduce` | builds the driver twice, at different places, and compares the bytes |
//! | `bench` | times Saker beside other matchers, and checks that all agree |
//! | `coverage` | says which lines of the driver its tests reach |
//! | `facts` | counts what `docs/safety.md` says of the source |
//! | `incident` | replays what content can do to a machine, beside a driver as in July 2024 |
//! | `fuzz` | long runs of tests that make their own cases |
//! | `wine` | tries `sakerctl.exe` and the INF on Wine |
//! | `vm` | installs Windows in QEMU and plays the scenarios there |
//! | `mutate` | every change of a byte of the golden files, every small table and program |
//!
//! Each command looks for the tools it needs and installs what is missing with apt when it may;
//! otherwise it says what to install and stops.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod artifacts;
mod bench;
mod checks;
mod coverage;
mod demo;
mod facts;
mod failure;
mod fuzz;
mod incident;
mod inf;
mod inspect;
mod lane;
mod link;
mod package;
mod panics;
mod process;
mod progress;
mod reproduce;
mod tools;
mod user_mode;
mod version;
#[cfg(unix)]
mod vm;
mod wine;

use failure::Failure;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, checks and shows Saker")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
    /// Where the finished files go [default: target/saker]
    #[arg(long, global = true, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Task {
    /// Builds saker.sys, saker.pdb, sakerctl, sakerctl.exe and kernel-host into target/saker
    Build,
    /// Builds, checks the driver's image and runs all tests
    Test {
        /// Only the checks whose name contains one of these
        only: Vec<String>,
    },
    /// Builds and shows saker.sys judging pipe events in the kernel host
    Demo,
    /// Builds all that a Windows machine needs, as a folder and a zip
    Package(package::Options),
    /// Tries sakerctl.exe and the INF on Wine
    Wine,
    /// Says what is wrong with a driver image, by the rules of `test`
    Inspect {
        /// The image, with its PDB beside it
        image: PathBuf,
    },
    /// Builds saker.sys twice, at different places, and compares the bytes
    Reproduce,
    /// Times Saker beside other ways to match the same rules; without options writes docs/matching.*
    Bench(bench::Options),
    /// Replays what content can do to a machine, beside a driver in the shape of July 2024
    Incident {
        /// Only scenarios whose name contains one of these
        only: Vec<String>,
    },
    /// Counts anew what docs/safety.md says of the source
    Facts(facts::Options),
    /// Says which lines of the driver its tests in the kernel host reach
    Coverage(coverage::Options),
    /// Long runs of tests that make their own cases
    Fuzz(fuzz::Fuzz),
    /// Installs Windows in QEMU without hands, plays the scenarios there, and reports as JUnit
    #[cfg(unix)]
    Vm(vm::Options),
    /// Tries every change of a byte of the golden files, and every small table and program
    Mutate,
}

fn main() -> ExitCode {
    if let Some(linker) = link::requested() {
        return finish(link::run(&linker));
    }
    let arguments = Arguments::parse();
    finish(run(&arguments))
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let workspace = artifacts::Workspace::find(arguments.out.clone())?;
    match &arguments.task {
        Task::Build => {
            let built = artifacts::build(&workspace)?;
            let program = user_mode::build(&workspace)?;
            progress::note(&format!("\n{built}{}", artifacts::line(&program)));
            Ok(())
        }
        Task::Test { only } => checks::run(&workspace, only),
        Task::Demo => {
            let built = artifacts::build(&workspace)?;
            demo::run(&workspace, &built)
        }
        Task::Package(options) => package::run(&workspace, options),
        Task::Wine => wine::run(&workspace),
        Task::Inspect { image } => checks::inspect(image),
        Task::Reproduce => reproduce::run(&workspace),
        Task::Bench(options) => bench::run(&workspace, options),
        Task::Incident { only } => incident::run(&workspace, only),
        Task::Facts(options) => facts::run(&workspace, options),
        Task::Coverage(options) => coverage::run(&workspace, options),
        Task::Fuzz(asked) => fuzz::run(&workspace, asked),
        #[cfg(unix)]
        Task::Vm(options) => vm::run(&workspace, options),
        Task::Mutate => fuzz::mutate(&workspace),
    }
}

fn finish(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nerror: {failure}");
            ExitCode::FAILURE
        }
    }
}
