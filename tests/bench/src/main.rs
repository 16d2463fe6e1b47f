//! `cargo xtask bench`: Saker beside other ways to match the same rules, on the same events, in the
//! same run.
//!
//! Verdicts are compared before anything is timed; a difference is printed and makes the program
//! fail. `docs/matching.md` says how to read what comes out.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

mod corpus;
mod engines;
#[allow(unsafe_code, reason = "an allocator is unsafe by its trait")]
mod heap;
mod measure;
mod report;
mod rule;

use engines::{KINDS, Kind};
use measure::{Effort, Failure, Measured, load};

/// Numbers of rules of a full and of a quick run.
const FULL: &[usize] = &[20, 200, 1_000, 10_000];
const QUICK: &[usize] = &[20, 200];
/// Rounds of the times of loading.
const LOAD_ROUNDS: usize = 15;

/// Times Saker beside other ways to match the same rules
#[derive(Parser)]
struct Arguments {
    /// Few rules, few rounds: enough to tell whether all engines agree
    #[arg(long)]
    quick: bool,
    /// Numbers of rules [default: 20,200,1000,10000; with --quick 20,200]
    #[arg(long, value_delimiter = ',', value_name = "N")]
    n: Vec<usize>,
    /// Only these engines (parts of their names)
    #[arg(long, value_delimiter = ',', value_name = "ENGINE")]
    only: Vec<String>,
    /// Writes matching.md and matching.svg into this folder
    #[arg(long, value_name = "DIR")]
    docs: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nerror: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let wanted = |kind: &Kind| {
        arguments.only.is_empty() || arguments.only.iter().any(|part| kind.name.contains(part))
    };
    if !KINDS.iter().any(wanted) {
        let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        return Err(format!("no engine has such a name; there are {}", names.join(", ")).into());
    }
    let (effort, counts) =
        if arguments.quick { (Effort::QUICK, QUICK) } else { (Effort::FULL, FULL) };
    let counts = if arguments.n.is_empty() { counts } else { &arguments.n };
    let mut measured: Vec<Measured> = Vec::new();
    for count in counts {
        let found = measure::run(*count, &effort, wanted, &mut |line| eprintln!("  ..  {line}"))?;
        println!("{}", report::measured(&found));
        measured.push(found);
    }

    let mut loaded = Vec::new();
    if !arguments.quick && KINDS.iter().any(|kind| kind.name == "saker" && wanted(kind)) {
        eprintln!("  ..  loading");
        for count in [load::rules_of_a_megabyte()?, 10_000] {
            loaded.push(load::run(count, LOAD_ROUNDS)?);
        }
        println!("{}", report::loaded(&loaded));
    }
    if let Some(folder) = &arguments.docs {
        report::write(folder, &measured, &loaded)?;
    }
    Ok(())
}
