//! The machine of `kernel-host run`: on or off, with the driver running or stopped.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use driver_abi::{Ask, Interest, Message, Mode, Status};
use kernel_host::{
    Bug, ConnectOptions, Driver, Kernel, Machine, NtStatus, PipeEnd, PipeOptions, Pool, Process,
    ProcessSpec,
};

use crate::client::Client;
use crate::error::Error;
use crate::rig::{Boot, INBOX, STATE};
use crate::volumes::Volumes;

/// The folders that are kept, with their names outside.
const KEPT: [(&str, &str); 2] = [("inbox", INBOX), ("state", STATE)];

/// What the machine is made of.
pub(super) struct Setup {
    pub driver: PathBuf,
    pub anchor: Vec<u8>,
    pub mode: Mode,
    pub uptime: Duration,
    pub volumes: Volumes,
    pub state: Option<PathBuf>,
}

impl Setup {
    fn boot(&self, machine: Option<Machine>) -> Boot<'_> {
        let mut boot = Boot::new(&self.driver, &self.anchor);
        if let Some(machine) = machine {
            boot = boot.machine(machine);
        }
        // Memory that was freed stays away for good with the other pool: too dear for hours.
        boot.pool = Pool::Fast;
        boot.uptime = self.uptime;
        boot
    }
}

/// The computer.
pub(super) struct Computer {
    setup: Setup,
    machine: Machine,
    on: Option<On>,
    next_pid: u64,
    /// The clients' connections, which end with the power.
    connections: Vec<UnixStream>,
}

/// What runs while there is power.
struct On {
    kernel: Arc<Kernel>,
    driver: Option<Driver>,
    /// Pipes that were created and stay until the machine is off.
    pipes: Vec<PipeEnd>,
}

impl Computer {
    pub fn new(setup: Setup) -> Result<Self, Error> {
        let boot = setup.boot(None).mode(setup.mode).volumes(&setup.volumes);
        let machine = boot.machine.clone();
        if let Some(folder) = &setup.state {
            for (name, path) in KEPT {
                load(&folder.join(name), &machine, path)?;
            }
        }
        Ok(Self { setup, machine, on: None, next_pid: 1_000, connections: Vec::new() })
    }

    pub fn power_on(&mut self) -> Result<(), Error> {
        if self.on.is_some() {
            return Err(Error::Console("the machine is on already".into()));
        }
        let (kernel, driver) = self.setup.boot(Some(self.machine.clone())).start()?;
        self.on = Some(On { kernel, driver: Some(driver), pipes: Vec::new() });
        Ok(())
    }

    /// The power goes: what was not flushed is lost.
    pub fn pull_the_plug(&mut self) -> Result<(), Error> {
        self.off(|kernel| {
            kernel.power_off();
            Ok(())
        })
    }

    /// The machine goes down in order; the driver is not unloaded, as Windows does not.
    pub fn shut_down(&mut self) -> Result<(), Error> {
        self.off(Kernel::shut_down)
    }

    fn off(&mut self, how: impl FnOnce(&Kernel) -> Result<(), Box<Bug>>) -> Result<(), Error> {
        let on = self.on.take().ok_or_else(is_off)?;
        self.disconnect_all();
        how(&on.kernel)?;
        on.kernel.check()?;
        self.save()
    }

    pub fn stop_driver(&mut self) -> Result<(), Error> {
        let driver = self.running()?.driver.take();
        let driver = driver.ok_or_else(|| Error::Console("the driver is stopped".into()))?;
        let report = driver.unload()?;
        self.disconnect_all();
        if report.is_clean() { self.save() } else { Err(Error::Leak(report.to_string())) }
    }

    pub fn start_driver(&mut self) -> Result<(), Error> {
        let (path, anchor) = (self.setup.driver.clone(), self.setup.anchor.clone());
        let on = self.running()?;
        if on.driver.is_some() {
            return Err(Error::Console("the driver runs already".into()));
        }
        let driver = on.kernel.load(path)?;
        if !anchor.is_empty() {
            driver.write_section(".anchor", &anchor)?;
        }
        let status = driver.start()?;
        if !status.is_success() {
            return Err(Error::Start { status: status.0 });
        }
        on.kernel.run_boot_reinitialization()?;
        on.driver = Some(driver);
        Ok(())
    }

    /// Lets the machine's time jump.
    pub fn advance(&mut self, time: Duration) -> Result<(), Error> {
        self.running()?.kernel.advance(time);
        Ok(())
    }

    /// Puts a file of the host's into the inbox.
    pub fn drop_file(&mut self, path: &Path) -> Result<(), Error> {
        let bytes =
            fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.put_file(&name, bytes)
    }

    /// Puts a file into the inbox.
    pub fn put_file(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), Error> {
        self.machine.disk().write(&format!(r"{INBOX}\{name}"), bytes);
        self.save()
    }

    /// Has a process create a pipe, and keeps it.
    pub fn create(&mut self, name: &str, image: Option<&str>) -> Result<NtStatus, Error> {
        let process = self.process(image)?;
        let on = self.running()?;
        let outcome = on.kernel.create_named_pipe(&process, name, PipeOptions::default())?;
        on.pipes.extend(outcome.end);
        Ok(outcome.status)
    }

    /// Has a process open a pipe.
    pub fn connect(&mut self, name: &str, image: Option<&str>) -> Result<NtStatus, Error> {
        let process = self.process(image)?;
        let on = self.running()?;
        let outcome = on.kernel.connect_pipe(&process, name, ConnectOptions::default())?;
        Ok(outcome.status)
    }

    /// What the driver says about itself.
    pub fn status(&mut self) -> Result<Status, Error> {
        let process = self.process(None)?;
        let kernel = Arc::clone(&self.running()?.kernel);
        let client = Client::connect(&kernel, &process, Interest::Status)?;
        let mut client = client.map_err(|status| Error::Port { status: status.0 })?;
        match client.ask(Ask::Status)? {
            Ok(id) => client.answer(id)?,
            Err(status) => return Err(Error::Port { status: status.0 }),
        };
        let newest = client.heard.iter().rev().find_map(|message| match message {
            Message::Status(status) => Some(*status),
            _ => None,
        });
        newest.ok_or_else(|| Error::Console("the driver told no status".into()))
    }

    /// The kernel that runs, and a process for a client that comes to its port.
    pub fn welcome(&mut self, stream: UnixStream) -> Option<(Arc<Kernel>, Arc<Process>)> {
        const IMAGE: &str = r"C:\Program Files\Saker\sakerctl.exe";
        let process = self.process(Some(IMAGE)).ok()?;
        let kernel = Arc::clone(&self.running().ok()?.kernel);
        self.connections.push(stream);
        Some((kernel, process))
    }

    /// The console is done: everything ends, and what is kept is written.
    pub fn finish(&mut self) -> Result<(), Error> {
        if self.on.as_ref().is_some_and(|on| on.driver.is_some()) {
            self.stop_driver()?;
        }
        if self.on.is_some() { self.shut_down() } else { self.save() }
    }

    fn running(&mut self) -> Result<&mut On, Error> {
        self.on.as_mut().ok_or_else(is_off)
    }

    fn process(&mut self, image: Option<&str>) -> Result<Arc<Process>, Error> {
        let pid = self.next_pid;
        self.next_pid += 4;
        let image = image.map(|image| {
            let wide: Vec<u16> = image.encode_utf16().collect();
            String::from_utf16_lossy(&self.setup.volumes.to_kernel(&wide))
        });
        let spec = ProcessSpec { pid, image, ..Default::default() };
        Ok(self.running()?.kernel.create_process(spec))
    }

    fn disconnect_all(&mut self) {
        for stream in self.connections.drain(..) {
            // One that its client has closed is closed.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    fn save(&self) -> Result<(), Error> {
        let Some(folder) = &self.setup.state else {
            return Ok(());
        };
        for (name, path) in KEPT {
            save(&folder.join(name), &self.machine, path)?;
        }
        Ok(())
    }
}

fn is_off() -> Error {
    Error::Console("the machine is off: `power on` comes first".into())
}

/// Puts the files of a folder of the host's onto the machine's disk.
fn load(folder: &Path, machine: &Machine, path: &str) -> Result<(), Error> {
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Read { path, source }
    };
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(read(folder))? {
        let file = entry.map_err(read(folder))?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = fs::read(&file).map_err(read(&file))?;
        machine.disk().write(&format!(r"{path}\{name}"), bytes);
    }
    Ok(())
}

/// Makes a folder of the host's hold what a folder of the machine's holds.
fn save(folder: &Path, machine: &Machine, path: &str) -> Result<(), Error> {
    let write = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    };
    fs::create_dir_all(folder).map_err(write(folder))?;
    let names = machine.disk().list(path);
    for entry in fs::read_dir(folder).map_err(write(folder))? {
        let old = entry.map_err(write(folder))?;
        let known = names.iter().any(|name| **name == *old.file_name());
        if !known && old.path().is_file() {
            fs::remove_file(old.path()).map_err(write(&old.path()))?;
        }
    }
    for name in names {
        if let Some(bytes) = machine.disk().read(&format!(r"{path}\{name}")) {
            let file = folder.join(name);
            fs::write(&file, bytes).map_err(write(&file))?;
        }
    }
    Ok(())
}
