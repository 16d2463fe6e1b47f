//! A machine's life in any order: files come, pipes are made, the power goes, calls fail, the driver
//! is unloaded and started again.

use std::time::Duration;

use driver_abi::{Hello, Interest, Message, PORT_NAME};
use kernel_host::{Bug, BugKind, Machine, PipeOptions, PortClient};
use kernel_host_runner::rig::{INBOX, Rig, STATE};

use super::Sensor;
use crate::golden::make_good_with;
use crate::input::Input;

/// Operations of one life, each of which may take a boot.
const MOST: usize = 24;
/// Calls that fail now and then on a real machine.
const FALLIBLE: [&str; 8] = [
    "ExAllocatePool2",
    "FltGetFileNameInformation",
    "FltSendMessage",
    "ZwCreateFile",
    "ZwQueryDirectoryFile",
    "ZwReadFile",
    "ZwSetInformationFile",
    "ZwWriteFile",
];
/// How long the driver may be at work, in real time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whatever happens, in whatever order, the driver starts again, fails no pipe that no rule blocks,
/// and leaves nothing behind when it is unloaded at the end.
pub fn run(bytes: &[u8]) {
    let Some(sensor) = Sensor::find() else { return };
    let mut input = Input::new(bytes);
    let mut life = Life::begin(&sensor, Machine::new());
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        life = life.goes_on(&mut input);
    }
    life.end();
}

struct Life<'s> {
    sensor: &'s Sensor,
    rig: Rig,
    clients: Vec<PortClient>,
    sequence: u32,
}

/// The power went, as was planned.
struct PowerCut;

impl<'s> Life<'s> {
    fn begin(sensor: &'s Sensor, machine: Machine) -> Self {
        let rig = sensor.boot(machine).unwrap_or_else(|error| panic!("it does not boot: {error}"));
        Self { sensor, rig, clients: Vec::new(), sequence: 1 }
    }

    /// The next operation.
    fn goes_on(mut self, input: &mut Input<'_>) -> Self {
        let done = match input.u8() % 16 {
            0 => self.file(input),
            1 | 2 => self.pipes(input),
            3 => self.time(input),
            4 => {
                self.rig.machine().disk().cut_power_after(u64::from(input.u8() % 24));
                self.rig.machine().disk().journal_wins(input.flag());
                Ok(())
            }
            5 => Err(PowerCut),
            6 => return self.unloaded(),
            7 => self.shut_down(),
            8 => self.client(input),
            9 => self.heard(),
            10 => {
                let names = self.rig.machine().disk().list(INBOX);
                if let Some(name) = names.get(input.below(names.len().max(1))) {
                    self.rig.machine().disk().remove(&format!(r"{INBOX}\{name}"));
                }
                Ok(())
            }
            11 => {
                self.spoil(input);
                Ok(())
            }
            12 => {
                self.rig
                    .kernel()
                    .injector()
                    .fail_api(input.pick(&FALLIBLE), 1 + u64::from(input.u8() % 8));
                Ok(())
            }
            13 => {
                self.rig.kernel().injector().clear();
                Ok(())
            }
            14 => self.attributes(input),
            _ => self.rest(),
        };
        match done.and_then(|()| self.check()) {
            Ok(()) => self,
            Err(PowerCut) => self.power_cut(),
        }
    }

    /// A file comes into the folder: sound, changed behind a good signature, or torn.
    fn file(&mut self, input: &mut Input<'_>) -> Result<(), PowerCut> {
        self.sequence += u32::from(input.u8() % 3);
        let (name, mut file) = self.sensor.file(self.sequence);
        match input.u8() % 4 {
            0 | 1 => {}
            2 => {
                for _ in 0..1 + input.below(3) {
                    let place = usize::from(input.u16()) % file.len();
                    file[place] ^= 1 << (input.u8() & 7);
                }
                make_good_with(&mut file, &self.sensor.key);
            }
            _ => {
                let end = usize::from(input.u16()) % file.len();
                file[end..].fill(0);
                if input.flag() {
                    file.truncate(end);
                }
            }
        }
        self.rig.machine().disk().write(&format!(r"{INBOX}\{name}"), file);
        self.passes(Duration::from_secs(6))
    }

    /// Pipes are made. Only a rule may be in the way of one.
    fn pipes(&mut self, input: &mut Input<'_>) -> Result<(), PowerCut> {
        let process = self.rig.create_process(7, None);
        let kernel = self.rig.kernel().clone();
        let names = [r"\fine", r"\evil", r"\abx", r"\evil2"];
        for _ in 0..1 + input.below(8) {
            let name = input.pick(&names);
            let outcome = kernel.create_named_pipe(&process, name, PipeOptions::default());
            let outcome = self.sound(outcome)?;
            let blocked = name.starts_with(r"\evil");
            assert!(outcome.status.is_success() || blocked, "{name}: {:?}", outcome.status);
        }
        Ok(())
    }

    /// Time passes, mostly little.
    fn time(&mut self, input: &mut Input<'_>) -> Result<(), PowerCut> {
        let seconds = input.pick(&[1, 6, 6, 61, 301, 601, 3_601, 86_400]);
        self.passes(Duration::from_secs(seconds))
    }

    fn passes(&mut self, time: Duration) -> Result<(), PowerCut> {
        self.rig.kernel().advance(time);
        self.rest()
    }

    fn rest(&mut self) -> Result<(), PowerCut> {
        self.rig.kernel().rest(PATIENCE);
        self.check()
    }

    fn client(&mut self, input: &mut Input<'_>) -> Result<(), PowerCut> {
        if self.clients.len() > 2 || input.u8() & 3 == 3 {
            self.clients.pop();
            return Ok(());
        }
        let interest = input.pick(&[Interest::Everything, Interest::Detections, Interest::Status]);
        let client = self.rig.kernel().try_connect_port(PORT_NAME, &Hello { interest }.encode());
        self.clients.extend(self.sound(client)?.ok());
        Ok(())
    }

    fn heard(&mut self) -> Result<(), PowerCut> {
        for client in &self.clients {
            while let Some(bytes) = client.receive(Duration::from_millis(1)) {
                Message::decode(&bytes).unwrap_or_else(|error| panic!("{error:?}: {bytes:02x?}"));
            }
        }
        Ok(())
    }

    /// Somebody who may do anything writes into the driver's own folder.
    fn spoil(&mut self, input: &mut Input<'_>) {
        let disk = self.rig.machine();
        let disk = disk.disk();
        let names = disk.list(STATE);
        let Some(name) = names.get(input.below(names.len().max(1))) else { return };
        let path = format!(r"{STATE}\{name}");
        let mut bytes = disk.read(&path).unwrap_or_default();
        match input.u8() % 3 {
            0 => drop(disk.remove(&path)),
            1 => {
                let end = usize::from(input.u16()) % (bytes.len() + 1);
                disk.write(&path, &bytes[..end]);
            }
            _ => {
                let place = usize::from(input.u16());
                let length = bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(place % length) {
                    *byte ^= 1 << (input.u8() & 7);
                }
                disk.write(&path, bytes);
            }
        }
    }

    fn attributes(&mut self, input: &mut Input<'_>) -> Result<(), PowerCut> {
        let names = self.rig.machine().disk().list(INBOX);
        if let Some(name) = names.get(input.below(names.len().max(1))) {
            let path = format!(r"{INBOX}\{name}");
            let machine = self.rig.machine();
            match input.u8() % 3 {
                0 => machine.disk().set_attributes(&path, input.pick(&[0, 0x10, 0x400, 0x1000])),
                1 => machine.disk().set_links(&path, 1 + u32::from(input.u8() % 2)),
                _ => {
                    let _held = machine.disk().hold(&path, u32::from(input.u8() % 8));
                    return self.passes(Duration::from_secs(6));
                }
            }
        }
        self.passes(Duration::from_secs(6))
    }

    /// The power goes, and comes back.
    fn power_cut(mut self) -> Self {
        self.clients.clear();
        let machine = self.rig.machine();
        self.rig.power_off();
        machine.disk().keep_power();
        Life { sequence: self.sequence, ..Life::begin(self.sensor, machine) }
    }

    /// The driver is told, and the machine starts again.
    fn shut_down(&mut self) -> Result<(), PowerCut> {
        let told = self.rig.kernel().tell_shutdown();
        self.sound(told)?;
        Err(PowerCut)
    }

    /// The driver is unloaded, and the machine starts again with it.
    fn unloaded(mut self) -> Self {
        self.clients.clear();
        let (machine, sensor, sequence) = (self.rig.machine(), self.sensor, self.sequence);
        machine.disk().keep_power();
        self.rig.unload().unwrap_or_else(|error| panic!("{error}"));
        Life { sequence, ..Life::begin(sensor, machine) }
    }

    /// Unloads it for good.
    fn end(self) {
        let mut life = self;
        life.rig.kernel().injector().clear();
        life.rig.machine().disk().keep_power();
        if life.check().is_err() {
            life = life.power_cut();
        }
        life.clients.clear();
        life.rig.unload().unwrap_or_else(|error| panic!("{error}"));
    }

    fn check(&self) -> Result<(), PowerCut> {
        self.sound(self.rig.kernel().check())
    }

    fn sound<T>(&self, result: Result<T, Box<Bug>>) -> Result<T, PowerCut> {
        match result {
            Ok(value) => Ok(value),
            Err(bug) if is_power(&bug) => Err(PowerCut),
            Err(bug) => panic!("{bug}"),
        }
    }
}

/// Nobody's fault: the power went.
fn is_power(bug: &Bug) -> bool {
    matches!(bug.kind, BugKind::PowerCut | BugKind::Stopped)
}

/// A file that becomes good, one that is torn, one whose mark the power cut tears, and a bit of
/// everything.
pub fn seeds() -> Vec<Vec<u8>> {
    let good = [0, 1, 0, 3, 5, 1, 0, 1, 2, 3, 6];
    let torn = [0, 1, 3, 0, 4, 0, 3, 2, 1, 1, 0, 0];
    let cut = [4, 3, 0, 0, 1, 0, 3, 1, 5, 3, 1];
    let failing = [12, 0, 2, 0, 1, 0, 12, 6, 0, 3, 1, 13, 1, 1, 0];
    let clients = [8, 0, 0, 8, 0, 1, 1, 3, 0, 1, 2, 9, 6, 7, 8, 0, 2];
    let spoilt = [0, 1, 0, 3, 5, 11, 0, 1, 9, 0, 7, 11, 1, 2, 0, 0, 5, 14, 0, 1, 1, 10, 0];
    [&good[..], &torn, &cut, &failing, &clients, &spoilt].map(<[u8]>::to_vec).to_vec()
}
