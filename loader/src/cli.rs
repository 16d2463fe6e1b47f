//! The command line: arguments in, exit code out.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::Error;
use crate::content::ContentCommand;
use crate::device::Device;
use crate::device::commands::DeviceCommand;
use crate::host::commands::HostCommand;
use crate::machine::MachineCommand;
use crate::offline::OfflineCommand;
use crate::service::ServiceCommand;
use crate::trust::TrustCommand;

/// Saker in user mode: makes, checks and tries channel files, puts keys into the driver, and talks
/// to a running one.
#[derive(Debug, Parser)]
#[command(name = "sakerctl", version, propagate_version = true)]
#[command(after_help = "Exit codes: 0 done, 1 refused or failed, 2 wrong command line.")]
pub struct Cli {
    /// The socket of a simulated machine (`kernel-host run --socket PATH`), for the commands that talk
    /// to a running driver
    #[arg(long, value_name = "SOCKET")]
    pub sim: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The groups of commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make, check and try channel files
    #[command(subcommand)]
    Content(ContentCommand),
    /// Prepare a driver for a machine
    #[command(subcommand)]
    Machine(MachineCommand),
    /// Say whose content sensors take, and which files are over
    #[command(subcommand)]
    Trust(TrustCommand),
    /// Look at the disk of a machine that does not run
    #[command(subcommand)]
    Offline(OfflineCommand),
    /// Talk to a running driver
    #[command(flatten)]
    Device(DeviceCommand),
    /// Keep what the driver detects, in files and the event log
    #[command(subcommand)]
    Service(ServiceCommand),
    /// This Windows machine
    #[command(flatten)]
    Host(HostCommand),
    /// Print a script that completes sakerctl's commands in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Reads the process' arguments, runs the command and reports.
pub fn main() -> ExitCode {
    // Clap itself leaves with 2 for a wrong command line, and with 0 for help.
    let cli = Cli::parse();
    let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
    let result = run(&cli, &mut stdout)
        .and_then(|()| stdout.flush().map_err(|source| Error::Output { source }));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has had enough of it (`| head`).
        Err(Error::Output { source }) if source.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            // What was already found out stays visible; the error is the exit code.
            let _ = stdout.flush();
            let code = ExitCode::from(error.exit_code());
            report(error);
            code
        }
    }
}

/// Runs one command; results go to `out`.
pub fn run(cli: &Cli, out: &mut dyn Write) -> Result<(), Error> {
    match &cli.command {
        Command::Content(command) => command.run(out),
        Command::Machine(command) => command.run(out),
        Command::Trust(command) => command.run(out),
        Command::Offline(command) => command.run(out),
        Command::Service(command) => command.run(cli.sim.as_deref(), out),
        Command::Host(command) => command.run(cli.sim.as_deref(), out),
        Command::Completions { shell } => {
            // Into memory first: the generator does not survive a reader that goes.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "sakerctl", &mut script);
            out.write_all(&script).map_err(|source| Error::Output { source })
        }
        Command::Device(command) => command.run(&Device::new(cli.sim.as_deref())?, out),
    }
}

/// A remark for the user that is no result.
pub(crate) fn note(text: impl std::fmt::Display) {
    // Nobody to tell it to is no reason to fail.
    let _ = writeln!(std::io::stderr(), "note: {text}");
}

fn report(error: Error) {
    // Lines are folded for people only: scripts look for whole paths and messages.
    let fold = std::io::stderr().is_terminal();
    let _ = miette::set_hook(Box::new(move |_| {
        Box::new(miette::MietteHandlerOpts::new().wrap_lines(fold).break_words(false).build())
    }));
    let _ = writeln!(std::io::stderr(), "{:?}", miette::Report::new(error));
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    #[test]
    fn completions_know_the_commands_and_no_other_shell() {
        for shell in ["bash", "powershell", "zsh", "fish"] {
            let cli = super::Cli::try_parse_from(["sakerctl", "completions", shell]).unwrap();
            let mut out = Vec::new();
            super::run(&cli, &mut out).unwrap();
            let script = String::from_utf8(out).unwrap();
            assert!(script.contains("uninstall") && script.contains("quarantine"), "{shell}");
        }
        assert!(super::Cli::try_parse_from(["sakerctl", "completions", "cmd"]).is_err());
    }

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
