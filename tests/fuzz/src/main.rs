//! `fuzz-targets`: lists the targets, writes what they begin with, replays inputs, and changes every
//! byte of the golden files. `cargo xtask fuzz` and `cargo xtask mutate` run it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fuzz_targets::{Target, find, mutate, targets};

#[derive(Parser)]
#[command(about = "What is fuzzed, and replays of what was found")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Lists the targets: name, longest input, whether the built driver is needed, what it is about
    List,
    /// Writes the inputs that a target begins with, and its words where it has any
    Seeds {
        /// The target
        target: String,
        /// Where the inputs go
        folder: PathBuf,
        /// Where the words go, as libFuzzer reads them
        words: PathBuf,
    },
    /// Runs a target on the inputs in files, and says of each that it holds
    Replay {
        /// The target
        target: String,
        /// The files
        files: Vec<PathBuf>,
    },
    /// Changes every byte of every golden file to all other values, and cuts it at every byte
    Mutate,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(words) => {
            eprintln!("error: {words}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<(), String> {
    match task {
        Task::List => {
            for Target { name, about, longest, needs_driver, .. } in targets() {
                println!("{name}\t{longest}\t{needs_driver}\t{about}");
            }
            Ok(())
        }
        Task::Seeds { target, folder, words } => seeds(&target_of(&target)?, &folder, &words),
        Task::Replay { target, files } => {
            let target = target_of(&target)?;
            for file in files {
                let input = fs::read(&file).map_err(|error| told(&file, error))?;
                (target.run)(&input);
                println!("{} holds for {}", target.name, file.display());
            }
            Ok(())
        }
        Task::Mutate => {
            println!("{}", mutate::every_byte(mutate::Depth::All));
            Ok(())
        }
    }
}

fn target_of(name: &str) -> Result<Target, String> {
    let known: Vec<_> = targets().iter().map(|target| target.name).collect();
    find(name).ok_or_else(|| format!("there is no target {name}; there are {}", known.join(", ")))
}

fn seeds(target: &Target, folder: &Path, words: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| told(folder, error))?;
    for (number, seed) in (target.seeds)().iter().enumerate() {
        let path = folder.join(format!("seed-{number:03}"));
        fs::write(&path, seed).map_err(|error| told(&path, error))?;
    }
    let escaped =
        |word: &str| -> String { word.bytes().map(|byte| format!("\\x{byte:02x}")).collect() };
    let text: String = target.words.iter().map(|word| format!("\"{}\"\n", escaped(word))).collect();
    fs::write(words, text).map_err(|error| told(words, error))
}

fn told(path: &Path, error: std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
