//! Says which source lines of a driver its tests reached.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use kernel_host::coverage::{FileLines, Report};

use crate::error::Error;

/// What to report on.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The folder that SAKER_COVERAGE named when the tests ran.
    hits: PathBuf,
    /// The driver they ran, with its PDB beside it.
    #[arg(long, value_name = "SYS")]
    driver: PathBuf,
    /// Only source files whose path contains this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    under: String,
    /// Fails when fewer than this many lines of a hundred were reached.
    #[arg(long, value_name = "PERCENT")]
    least: Option<f64>,
    /// Lists the lines that were not reached, too.
    #[arg(long)]
    missed: bool,
}

/// Prints a line for each source file, and the sum.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let report = Report::read(&arguments.hits, &arguments.driver)?;
    let files = report.files.iter().filter(|(path, _)| path.contains(&arguments.under));
    let (mut reached, mut lines, mut text) = (0, 0, String::new());
    for (path, file) in files {
        reached += file.reached();
        lines += file.lines.len();
        let from = path.find(&arguments.under).unwrap_or(0);
        let _ = row(&mut text, &path[from..], file.reached(), file.lines.len());
        if arguments.missed {
            let _ = missed(&mut text, file);
        }
    }
    let _ = row(&mut text, "all of these", reached, lines);
    let _ = row(&mut text, "basic blocks of the image", report.reached, report.blocks);
    print!("{text}");
    match arguments.least {
        Some(least) if percent(reached, lines) < least => {
            Err(Error::Coverage { reached: percent(reached, lines), least })
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn row(text: &mut String, name: &str, reached: usize, all: usize) -> std::fmt::Result {
    writeln!(text, "{name:<44} {reached:>6} of {all:>6}  {:>5.1} %", percent(reached, all))
}

fn missed(text: &mut String, file: &FileLines) -> std::fmt::Result {
    for (first, last) in file.missed() {
        match first == last {
            true => writeln!(text, "      {first}")?,
            false => writeln!(text, "      {first}-{last}")?,
        }
    }
    Ok(())
}

/// Nothing of nothing is all of it.
fn percent(reached: usize, all: usize) -> f64 {
    if all == 0 { 100.0 } else { 100.0 * reached as f64 / all as f64 }
}
