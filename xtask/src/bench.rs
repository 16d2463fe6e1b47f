//! `cargo xtask bench`: Saker beside other ways to match the same rules.
//!
//! The measurements are a workspace of their own, so that nothing else needs Vectorscan or the
//! engines that Saker is compared with. A run without options is the one that `docs/matching.md`
//! is written from.

use std::process::Command;

use clap::Args;

use crate::artifacts::Workspace;
use crate::failure::Failure;
use crate::process;
use crate::tools::{self, bare};

/// What to measure.
#[derive(Args)]
pub struct Options {
    /// Few rules and rounds, and the measurement's own tests; fails if engines disagree
    #[arg(long)]
    quick: bool,
    /// Numbers of rules
    #[arg(long, value_name = "N,N")]
    n: Option<String>,
    /// Only these engines (parts of their names)
    #[arg(long, value_name = "ENGINE")]
    only: Option<String>,
}

/// Builds and runs the measurements; a full run writes the documents.
pub fn run(workspace: &Workspace, options: &Options) -> Result<(), Failure> {
    tools::find_or_install_vectorscan()?;
    if options.quick {
        process::quietly("bench: its own tests", &mut cargo(workspace, "test"))?;
    }
    process::quietly("bench: build", &mut cargo(workspace, "build"))?;
    let program = workspace.target_dir.join("bench/release/saker-bench");
    process::openly("bench", Command::new(program).args(options.words(workspace)))
}

/// Cargo in the folder of the measurements, whose own settings it then takes.
fn cargo(workspace: &Workspace, task: &str) -> Command {
    let mut command = workspace.cargo();
    command.current_dir(workspace.root.join("tests/bench"));
    command.env("CARGO_TARGET_DIR", workspace.target_dir.join("bench"));
    command.args([task, "--release", "--locked"]);
    bare(command)
}

impl Options {
    /// The words for the program. Only a run without options writes documents.
    fn words(&self, workspace: &Workspace) -> Vec<String> {
        let mut words = Vec::new();
        if self.quick {
            words.push("--quick".to_owned());
        }
        for (name, value) in [("--n", &self.n), ("--only", &self.only)] {
            if let Some(value) = value {
                words.extend([name.to_owned(), value.clone()]);
            }
        }
        if words.is_empty() {
            let docs = workspace.root.join("docs");
            words.extend(["--docs".to_owned(), docs.display().to_string()]);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn words(options: &Options) -> String {
        let (root, target_dir) = (PathBuf::from("/saker"), PathBuf::from("/saker/target"));
        options.words(&Workspace { root, out: target_dir.clone(), target_dir }).join(" ")
    }

    #[test]
    fn only_a_run_without_options_writes_documents() {
        let mut options = Options { quick: false, n: None, only: None };
        assert_eq!(words(&options), "--docs /saker/docs");
        options.n = Some("20,200".to_owned());
        assert_eq!(words(&options), "--n 20,200");
        options = Options { quick: true, n: None, only: Some("saker".to_owned()) };
        assert_eq!(words(&options), "--quick --only saker");
    }
}
