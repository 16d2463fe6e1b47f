//! Running programs: quietly under a [`Step`], with the end of their output kept for the report,
//! or in the open.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use crate::failure::Failure;
use crate::progress::Step;

/// Lines of output kept for a failed program.
const TAIL_LINES: usize = 60;

/// Runs a program under a step of this title. Its output is shown only when it fails.
pub fn quietly(title: &str, command: &mut Command) -> Result<(), Failure> {
    let mut step = Step::begin(title);
    match run_watched(command, &mut step) {
        Ok((true, _)) => {
            step.done();
            Ok(())
        }
        Ok((false, tail)) => {
            step.failed();
            Err(Failure::Program { step: title.to_owned(), command: shown(command), tail })
        }
        Err(failure) => {
            step.failed();
            Err(failure)
        }
    }
}

/// What a short program prints.
pub fn output(command: &mut Command) -> Result<String, Failure> {
    let output =
        command.output().map_err(|source| Failure::Start { program: shown(command), source })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Failure::Program {
            step: "a query".to_owned(),
            command: shown(command),
            tail: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// Runs a program whose output the user sees as it comes.
pub fn openly(title: &str, command: &mut Command) -> Result<(), Failure> {
    let status =
        command.status().map_err(|source| Failure::Start { program: shown(command), source })?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::Program {
            step: title.to_owned(),
            command: shown(command),
            tail: status.to_string(),
        })
    }
}

fn run_watched(command: &mut Command, step: &mut Step) -> Result<(bool, String), Failure> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| Failure::Start { program: shown(command), source })?;
    let (sender, receiver) = mpsc::channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
        child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
    ];
    for stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                    break;
                }
                line.clear();
            }
        });
    }
    drop(sender);

    let mut tail = VecDeque::new();
    for line in receiver {
        step.tell(&line);
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
    let status =
        child.wait().map_err(|source| Failure::Start { program: shown(command), source })?;
    let tail: Vec<String> = tail.into();
    Ok((status.success(), tail.join("\n")))
}

/// A command as one would type it.
fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}
