//! A machine with `saker.sys` running on it, and a client at the driver's port.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use driver_abi::{EventRecord, Hello, Hit, Interest, Message, Mode, Stage, Status, Verdict};
use kernel_host::{
    ConnectOptions, Driver, Kernel, Machine, Outcome, PipeEnd, PipeOptions, Pool, PortClient,
    Process, ProcessSpec,
};

use crate::error::Error;
use crate::volumes::Volumes;

/// Where the driver looks for files.
pub const INBOX: &str = r"\SystemRoot\System32\drivers\CrowdStrike";
/// Where it keeps what it accepted.
pub const STATE: &str = r"\SystemRoot\System32\drivers\Saker";
/// The service's parameters.
const PARAMETERS: &str = r"\Registry\Machine\System\CurrentControlSet\Services\saker\Parameters";
/// An altitude of the activity monitors' range that nobody has.
const ALTITUDE: &str = "389995.29100";
/// How long the driver may take, in real time, to do what it was asked: far more than it needs.
const PATIENCE: Duration = Duration::from_secs(20);
/// Past a boot's first minute.
const UPTIME: Duration = Duration::from_secs(61);
/// The machine's time that passes at each look: more than the driver's default poll.
const POLL: Duration = Duration::from_secs(6);
/// How long content must be in force to become good, and a little more.
const TRIAL: Duration = Duration::from_secs(10 * 60 + 1);
/// How many events it must have judged.
const TRIAL_EVENTS: usize = 1_000;

/// A running sensor.
pub struct Rig {
    kernel: Arc<Kernel>,
    driver: Driver,
    client: Option<PortClient>,
    interest: Interest,
    events: u64,
}

/// What the driver decided about one event.
#[derive(Debug)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// The NT status the requestor got, from the driver or from NPFS.
    pub status: u32,
    /// The rules that did not come out false.
    pub hits: Vec<Hit>,
    /// The event's last record.
    pub record: EventRecord,
    /// Bytes of the driver's stack that the callback used.
    pub stack_used: usize,
    /// The end of the pipe that the requestor got; it is closed when this is dropped.
    pub end: Option<PipeEnd>,
}

/// How a machine is to boot.
pub struct Boot<'a> {
    /// The driver's image.
    pub driver: &'a Path,
    /// What its `.anchor` section is to hold; empty leaves the section as it stands in the file.
    pub anchor: &'a [u8],
    /// The machine: a new one, or one that was shut down or lost power before.
    pub machine: Machine,
    /// Which pool the kernel has.
    pub pool: Pool,
    /// How long the machine is up before anything else happens.
    pub uptime: Duration,
    /// One thread at a time, in the order that this seed picks.
    pub seed: Option<u64>,
}

impl<'a> Boot<'a> {
    /// A new machine whose driver trusts the keys of `anchor`, in enforce mode.
    pub fn new(driver: &'a Path, anchor: &'a [u8]) -> Self {
        Self::on(driver, anchor, Machine::new())
    }

    /// The same on a machine that may have booted before.
    pub fn on(driver: &'a Path, anchor: &'a [u8], machine: Machine) -> Self {
        machine.install_minifilter("saker", ALTITUDE);
        machine.disk().create_directory(INBOX);
        let pool = Pool::Special;
        let boot = Self { driver, anchor, machine, pool, uptime: UPTIME, seed: None };
        boot.mode(Mode::Enforce)
    }

    /// The same in this mode.
    #[must_use]
    pub fn mode(self, mode: Mode) -> Self {
        let mode = match mode {
            Mode::Observe => 1,
            Mode::Enforce => 2,
        };
        self.parameter("Mode", mode)
    }

    /// The same with a service parameter set.
    #[must_use]
    pub fn parameter(self, name: &str, value: u32) -> Self {
        self.machine.registry().set_dword(PARAMETERS, name, value);
        self
    }

    /// The same with one thread at a time, in the order that this seed picks.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// The same with these volumes.
    #[must_use]
    pub fn volumes(self, volumes: &Volumes) -> Self {
        for (device, letter) in volumes.iter() {
            self.machine.set_volume(&format!(r"\Device\{device}"), letter);
        }
        self
    }

    /// The same on this machine.
    #[must_use]
    pub fn machine(self, machine: Machine) -> Self {
        Self { machine, ..self }
    }

    /// A kernel with the driver loaded, its anchor in place, and nothing of it run yet.
    pub fn load(&self) -> Result<(Arc<Kernel>, Driver), Error> {
        let mut builder = Kernel::builder().pool(self.pool).machine(self.machine.clone());
        if let Some(seed) = self.seed {
            builder = builder.seed(seed);
        }
        let kernel = builder.build();
        let driver = kernel.load(self.driver)?;
        if !self.anchor.is_empty() {
            driver.write_section(".anchor", self.anchor)?;
        }
        Ok((kernel, driver))
    }

    /// Boots, with nobody at the driver's port.
    pub fn start(&self) -> Result<(Arc<Kernel>, Driver), Error> {
        let (kernel, driver) = self.load()?;
        let status = driver.start()?;
        if !status.is_success() {
            return Err(Error::Start { status: status.0 });
        }
        kernel.run_boot_reinitialization()?;
        // New content is not touched in a boot's first minute.
        kernel.rest(PATIENCE);
        kernel.advance(self.uptime);
        Ok((kernel, driver))
    }

    /// Boots, and connects to the driver's port.
    pub fn boot(&self) -> Result<Rig, Error> {
        let (kernel, driver) = self.start()?;
        Rig::connect(kernel, driver)
    }
}

impl Rig {
    /// A rig with a driver that has started and has judged nothing yet, by its port.
    pub fn connect(kernel: Arc<Kernel>, driver: Driver) -> Result<Rig, Error> {
        let client = connect(&kernel, Interest::Status)?;
        let interest = Interest::Status;
        Ok(Rig { kernel, driver, client: Some(client), interest, events: 0 })
    }

    /// Drops files into the inbox, as a user would, and waits until the driver has looked at them.
    pub fn drop_files<'f>(
        &mut self,
        files: impl Iterator<Item = (&'f str, &'f Vec<u8>)>,
    ) -> Result<Status, Error> {
        let before = self.status()?.scans;
        let machine = self.kernel.machine();
        for (name, bytes) in files {
            machine.disk().write(&format!(r"{INBOX}\{name}"), bytes);
        }
        // The look under way may have begun before the files were there; the next one has not.
        self.status_when("the inbox", |status| status.scans >= before + 2)
    }

    /// Lets the content in force become good: ten minutes pass and a thousand events.
    pub fn mature(&mut self) -> Result<Status, Error> {
        self.kernel.rest(PATIENCE);
        self.kernel.advance(TRIAL);
        let process = self.create_process(1, None);
        let name: Vec<u16> = r"\kernel-host-passes-the-time".encode_utf16().collect();
        for _ in 0..TRIAL_EVENTS {
            self.send(&process, &name)?;
        }
        self.status_when("good content", |status| status.stage == Stage::Good)
    }

    /// Connects anew, to hear of `interest`.
    pub fn listen(&mut self, interest: Interest) -> Result<(), Error> {
        // The old one goes first: it would have to be listened to, too.
        self.client = None;
        self.client = Some(connect(&self.kernel, interest)?);
        self.interest = interest;
        Ok(())
    }

    /// The driver's state now.
    pub fn status(&mut self) -> Result<Status, Error> {
        while self.receive()?.is_some() {}
        let events = self.events;
        self.status_when("itself", |status| status.events >= events)
    }

    /// The machine, which outlives this boot of it.
    pub fn machine(&self) -> Machine {
        self.kernel.machine()
    }

    /// Size of the driver's image in memory, in bytes.
    pub fn image_size(&self) -> usize {
        self.driver.image_size()
    }

    /// The driver.
    pub const fn driver(&self) -> &Driver {
        &self.driver
    }

    /// The kernel.
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    /// Takes the power away.
    pub fn power_off(self) {
        self.kernel.power_off();
    }

    /// Tells the driver that the machine is shut down in order, and stops there.
    pub fn tell_shutdown(&self) -> Result<(), Error> {
        Ok(self.kernel.tell_shutdown()?)
    }

    /// Lets the machine's time pass.
    pub fn advance(&self, time: Duration) {
        self.kernel.advance(time);
    }

    /// A process with an image at an NT path, or one whose image cannot be found.
    pub fn create_process(&self, pid: u64, image: Option<Vec<u16>>) -> Arc<Process> {
        let image = image.map(|image| String::from_utf16_lossy(&image));
        self.kernel.create_process(ProcessSpec { pid, image, ..Default::default() })
    }

    /// The system process.
    pub fn system_process(&self) -> Arc<Process> {
        Arc::clone(self.kernel.system_process())
    }

    /// Has a process create a pipe, and waits for the driver's word about it.
    pub fn create_pipe(&mut self, process: &Arc<Process>, name: &[u16]) -> Result<Judged, Error> {
        self.create_pipe_as(process, name, PipeOptions::default())
    }

    /// The same for a pipe that shall be like this.
    pub fn create_pipe_as(
        &mut self,
        process: &Arc<Process>,
        name: &[u16],
        options: PipeOptions,
    ) -> Result<Judged, Error> {
        self.events += 1;
        let outcome = self.kernel.create_named_pipe(process, name, options)?;
        self.judged(outcome)
    }

    /// Has a process connect to a pipe, and waits for the driver's word about it.
    pub fn connect_pipe(&mut self, process: &Arc<Process>, name: &[u16]) -> Result<Judged, Error> {
        self.connect_pipe_as(process, name, ConnectOptions::default())
    }

    /// The same for a client end that is opened like this.
    pub fn connect_pipe_as(
        &mut self,
        process: &Arc<Process>,
        name: &[u16],
        options: ConnectOptions,
    ) -> Result<Judged, Error> {
        self.events += 1;
        let outcome = self.kernel.connect_pipe(process, name, options)?;
        self.judged(outcome)
    }

    /// Has a process create a pipe and does not listen to the driver.
    pub fn create_pipe_unheard(&mut self, name: &str) -> Result<(), Error> {
        let process = self.create_process(1, None);
        let name: Vec<u16> = name.encode_utf16().collect();
        self.send(&process, &name).map(drop)
    }

    /// Unloads the driver and checks that it left nothing behind.
    pub fn unload(mut self) -> Result<(), Error> {
        self.client = None;
        let report = self.driver.unload()?;
        if report.is_clean() { Ok(()) } else { Err(Error::Leak(report.to_string())) }
    }

    fn send(&mut self, process: &Arc<Process>, name: &[u16]) -> Result<Outcome, Error> {
        self.events += 1;
        Ok(self.kernel.create_named_pipe(process, name, PipeOptions::default())?)
    }

    /// Collects the records of the event that was just sent.
    fn judged(&mut self, outcome: Outcome) -> Result<Judged, Error> {
        let stack_used = outcome.stack_used;
        let mut hits = Vec::new();
        loop {
            let record = self.record()?;
            if record.event != self.events {
                return Err(Error::Order { expected: self.events, found: record.event });
            }
            hits.extend_from_slice(record.hits());
            if !record.more {
                return Ok(Judged {
                    verdict: record.verdict,
                    status: outcome.status.0,
                    hits,
                    record,
                    stack_used,
                    end: outcome.end,
                });
            }
        }
    }

    /// The next event record that the driver sends.
    pub fn record(&mut self) -> Result<EventRecord, Error> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(Message::Event(record)) = self.receive()? {
                return Ok(record);
            }
        }
        let what = format!("event {}", self.events);
        Err(Error::Silence { what, patience: PATIENCE })
    }

    /// Lets the machine's time pass until the driver tells a status that will do.
    pub fn status_when(
        &mut self,
        what: &str,
        will_do: impl Fn(&Status) -> bool,
    ) -> Result<Status, Error> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.receive()? {
                Some(Message::Status(status)) if will_do(&status) => return Ok(status),
                Some(_) => {}
                // It took nothing while the clock went on, and was dropped for that.
                None if self.client.as_ref().is_some_and(PortClient::is_closed) => {
                    self.listen(self.interest)?;
                }
                None => {
                    // A driver that is at work is not slow because the clock jumps.
                    self.kernel.rest(PATIENCE);
                    self.kernel.advance(POLL);
                }
            }
        }
        Err(Error::Silence { what: what.to_owned(), patience: PATIENCE })
    }

    fn receive(&mut self) -> Result<Option<Message>, Error> {
        let Some(client) = &self.client else {
            return Ok(None);
        };
        let bytes = client.receive(Duration::from_millis(20));
        self.kernel.check()?;
        bytes.map(|bytes| Message::decode(&bytes).map_err(Error::Message)).transpose()
    }
}

fn connect(kernel: &Arc<Kernel>, interest: Interest) -> Result<PortClient, Error> {
    kernel
        .try_connect_port(driver_abi::PORT_NAME, &Hello { interest }.encode())?
        .map_err(|status| Error::Port { status: status.0 })
}
