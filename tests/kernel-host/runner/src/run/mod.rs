//! `kernel-host run`: a machine that runs in real time until it is told to quit.
//!
//! The console reads a command a line from standard input and answers each with lines of which the
//! last begins with `ok` or `error:`; the end of the input is `quit`. The driver's port is served at
//! a Unix socket, by the frames of `loader::device::frames`.

mod computer;
mod console;
mod server;

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use driver_abi::Mode;
use loader::content::keys;

use crate::error::Error;
use crate::volumes::{VolumeArg, Volumes};
use computer::{Computer, Setup};

/// Which machine is to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The driver, with its .pdb beside it for reports with source lines.
    #[arg(long, value_name = "SAKER.SYS")]
    driver: PathBuf,
    /// A public key the driver shall trust; may be given several times. Without one the keys that
    /// were stamped into the file stay.
    #[arg(long = "key", value_name = "PUB")]
    keys: Vec<PathBuf>,
    /// Serve the driver's port at this Unix socket.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Begin with the inbox and the driver's state folder that are kept in this folder, and keep them
    /// there.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Start the driver in enforce mode; else it observes.
    #[arg(long)]
    enforce: bool,
    /// Seconds that the machine has been up when the console begins: the driver touches no new
    /// content in a boot's first minute.
    #[arg(long, value_name = "SECONDS", default_value_t = 61)]
    uptime: u64,
    /// Put a volume at a letter, or (with nothing behind the =) at none. The default is
    /// HarddiskVolume3=C.
    #[arg(long = "volume", value_name = "DEVICE=LETTER")]
    volumes: Vec<VolumeArg>,
}

/// The computer, for the console and for every client.
type Shared = Arc<Mutex<Computer>>;

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, Computer> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the machine. The exit code is 1 when the driver was at fault or left something behind.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let anchor = match arguments.keys.as_slice() {
        [] => Vec::new(),
        keys => keys::anchor_bytes(keys)?.to_vec(),
    };
    let computer = Computer::new(Setup {
        driver: arguments.driver.clone(),
        anchor,
        mode: if arguments.enforce { Mode::Enforce } else { Mode::Observe },
        uptime: Duration::from_secs(arguments.uptime),
        volumes: Volumes::new(&arguments.volumes),
        state: arguments.state.clone(),
    })?;
    let shared: Shared = Arc::new(Mutex::new(computer));
    lock(&shared).power_on()?;
    let server = arguments.socket.as_deref().map(|path| server::Server::start(path, &shared));
    let server = server.transpose()?;
    let outcome = converse(&shared);
    drop(server);
    lock(&shared).finish()?;
    outcome
}

fn converse(shared: &Shared) -> Result<ExitCode, Error> {
    let mut out = io::stdout().lock();
    writeln!(out, "ok the machine runs; `help` lists what can be done").map_err(Error::Output)?;
    for line in io::stdin().lock().lines() {
        out.flush().map_err(Error::Output)?;
        let Ok(line) = line else { break };
        match console::Order::parse(&line) {
            Ok(None) => {}
            Ok(Some(console::Order::Quit)) => break,
            Ok(Some(order)) => match order.carry_out(&mut lock(shared)) {
                Ok(text) => writeln!(out, "{text}").map_err(Error::Output)?,
                // The driver is at fault: nothing that comes after it means anything.
                Err(error @ (Error::Bug(_) | Error::Leak(_))) => return Err(error),
                Err(error) => writeln!(out, "error: {error}").map_err(Error::Output)?,
            },
            Err(error) => writeln!(out, "error: {error}").map_err(Error::Output)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}
