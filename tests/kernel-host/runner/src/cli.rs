//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{coverage, incident, incidents, replay, run, scenario};

/// Runs saker.sys in a Linux process, in a model of the NT kernel.
#[derive(Debug, Parser)]
#[command(name = "kernel-host", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sends the events of a log through the driver and prints its verdicts.
    Replay(replay::Arguments),
    /// Makes, from a sound signed file, one that has the fault of July 2024: a record of its tables
    /// names an entry far outside of them. Digest and signature are good. Prints its path.
    Incident(incident::Arguments),
    /// Replays what content can do to a machine, beside a driver in the shape of July 2024.
    Incidents(incidents::Arguments),
    /// Says which source lines of a driver its tests reached, after a run with SAKER_COVERAGE set.
    Coverage(coverage::Arguments),
    /// Keeps a machine with the driver running, in real time, with a console on standard input and
    /// the driver's port on a socket.
    Run(run::Arguments),
    /// Plays scenarios that Windows plays too, or makes their files for it.
    Scenario(scenario::Arguments),
}

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Incident(arguments) => incident::run(&arguments),
        Command::Incidents(arguments) => incidents::run(&arguments),
        Command::Coverage(arguments) => coverage::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Scenario(arguments) => scenario::run(&arguments),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{:?}", miette::Report::new(error));
            ExitCode::FAILURE
        }
    }
}
