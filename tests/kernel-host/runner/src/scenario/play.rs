//! A scenario in the kernel host.

use std::path::Path;

use channel_compiler::SecretKey;
use channel_format::anchor::Anchor;
use driver_abi::{Interest, Status};
use kernel_host::Machine;
use loader::device::text::status_json;
use serde_json::Value;

use super::{Judged, Made, Mode, Step, Stored, files, wrong};
use crate::error::Error;
use crate::rig::{Boot, INBOX, Rig};
use crate::volumes::Volumes;

/// Whoever plays the scenario.
const PLAYER: &str = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe";
/// What NPFS and the driver say.
const SUCCESS: u32 = 0;
const ACCESS_DENIED: u32 = 0xC000_0022;

/// Plays every step of a scenario on a new machine.
///
/// # Errors
/// The first step that does not go as the scenario says, with what happened instead.
pub fn play(stored: &Stored, driver: &Path, key: &SecretKey) -> Result<(), Error> {
    let anchor = Anchor::encode(&[], 0, std::slice::from_ref(&key.public))
        .map_err(|refusal| Error::Key(refusal.to_string()))?;
    let volumes = Volumes::new(&[]);
    let mut player = Player {
        stored,
        driver,
        key,
        anchor: anchor.to_vec(),
        machine: Machine::new(),
        volumes,
        rig: None,
        next_pid: 4_000,
    };
    for (index, step) in stored.scenario.steps.iter().enumerate() {
        player.step(step).map_err(|error| match error {
            Error::Scenario { path, what } => {
                wrong(&path, format!("step {}, {}: {what}", index + 1, name(step)))
            }
            other => other,
        })?;
    }
    Ok(())
}

struct Player<'a> {
    stored: &'a Stored,
    driver: &'a Path,
    key: &'a SecretKey,
    anchor: Vec<u8>,
    machine: Machine,
    volumes: Volumes,
    rig: Option<Rig>,
    next_pid: u64,
}

impl Player<'_> {
    fn step(&mut self, step: &Step) -> Result<(), Error> {
        match step {
            Step::Start {} => self.start(),
            Step::Stop {} => self.stop(),
            Step::Drop { file } => self.drop_file(file),
            Step::Status { expect } => self.status(expect),
            Step::Mature {} => self.mature(),
            Step::Create { pipe, program, times, expect } => {
                (0..*times).try_for_each(|_| self.create(pipe, program.as_deref(), expect))
            }
        }
    }

    fn start(&mut self) -> Result<(), Error> {
        let mode = match self.stored.scenario.mode {
            Mode::Observe => driver_abi::Mode::Observe,
            Mode::Enforce => driver_abi::Mode::Enforce,
        };
        let boot = Boot::on(self.driver, &self.anchor, self.machine.clone());
        let mut rig = boot.mode(mode).volumes(&self.volumes).boot()?;
        rig.listen(Interest::Everything)?;
        self.rig = Some(rig);
        Ok(())
    }

    fn stop(&mut self) -> Result<(), Error> {
        self.rig.take().map_or(Ok(()), Rig::unload)
    }

    fn drop_file(&mut self, called: &str) -> Result<(), Error> {
        let spec = self.stored.scenario.files.get(called);
        let spec = spec.ok_or_else(|| self.differs(format!("there is no file {called}")))?;
        let file = files::make(self.stored, spec, self.key)?;
        let path = format!(r"{INBOX}\{}", files::name(spec));
        self.machine.disk().write(&path, &file);
        Ok(())
    }

    fn status(&mut self, expect: &serde_json::Map<String, Value>) -> Result<(), Error> {
        let seen = self.rig()?.status_when("what is expected", |status| agrees(status, expect));
        match seen {
            Ok(_) => Ok(()),
            Err(Error::Silence { .. }) => {
                let status = status_json(&self.rig()?.status()?);
                Err(self.differs(format!("the driver says {status}")))
            }
            Err(error) => Err(error),
        }
    }

    fn mature(&mut self) -> Result<(), Error> {
        let rig = self.rig()?;
        rig.mature()?;
        // What was told of the thousand events is of no interest.
        rig.listen(Interest::Everything)
    }

    fn create(&mut self, pipe: &str, program: Option<&str>, expect: &Judged) -> Result<(), Error> {
        let image: Vec<u16> = program.unwrap_or(PLAYER).encode_utf16().collect();
        let image = self.volumes.to_kernel(&image);
        self.next_pid += 4;
        let pid = self.next_pid;
        let rig = self.rig()?;
        let process = rig.create_process(pid, Some(image.to_vec()));
        let name: Vec<u16> = pipe.encode_utf16().collect();
        let judged = rig.create_pipe(&process, &name)?;
        let result = match judged.status {
            SUCCESS => Made::Made,
            ACCESS_DENIED => Made::Denied,
            other => return Err(self.differs(format!("{pipe}: status {other:#010x}"))),
        };
        let mut hits: Vec<u32> = judged.hits.iter().map(|hit| hit.rule).collect();
        hits.sort_unstable();
        let found = Judged { result, verdict: judged.verdict.name().to_owned(), hits };
        if found == *expect {
            return Ok(());
        }
        Err(self.differs(format!("{pipe}: {found:?}, and not {expect:?}")))
    }

    fn rig(&mut self) -> Result<&mut Rig, Error> {
        let path = &self.stored.path;
        self.rig.as_mut().ok_or_else(|| wrong(path, "the driver does not run".to_owned()))
    }

    fn differs(&self, what: String) -> Error {
        wrong(&self.stored.path, what)
    }
}

/// True when the status says all that is expected.
fn agrees(status: &Status, expect: &serde_json::Map<String, Value>) -> bool {
    let said = status_json(status);
    expect.iter().all(|(name, value)| match name.as_str() {
        "refusal_code" => *value == status.refusal.code,
        name => said.get(name) == Some(value),
    })
}

const fn name(step: &Step) -> &'static str {
    match step {
        Step::Start {} => "start",
        Step::Stop {} => "stop",
        Step::Drop { .. } => "drop",
        Step::Status { .. } => "status",
        Step::Mature {} => "mature",
        Step::Create { .. } => "create",
    }
}
