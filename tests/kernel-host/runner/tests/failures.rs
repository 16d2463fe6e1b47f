//! Failures all along the life of the built driver: it starts, serves its content, takes newer
//! content into force, judges, answers a client, sees processes end, and is unloaded; and each call
//! that can fail does, once, then twice, then for ever. It may refuse to start; else it must let go
//! of everything when it is unloaded, and serve its content at the next boot.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Bench, EXPLORER, created};
use driver_abi::{Ask, Hello, Interest, Mode, PORT_NAME, Request, Verdict};
use kernel_host::{
    Bug, ConnectOptions, Driver, Injector, Kernel, Machine, NtStatus, Outcome, PipeOptions,
    PortClient, ProcessSpec, Seeds,
};

const INBOX: &str = r"\SystemRoot\System32\drivers\CrowdStrike";
const PATIENCE: Duration = Duration::from_secs(20);

/// How a life went.
struct Life {
    /// Calls that could fail until the driver had started, and in all.
    starting: u64,
    calls: u64,
    /// The APIs that failed.
    failed: Vec<&'static str>,
    /// The next boot's.
    machine: Machine,
}

/// The driver's whole life on a copy of a machine; `plan` says what fails.
fn live(
    bench: &Bench,
    machine: &Machine,
    seed: u64,
    plan: impl Fn(&Injector),
) -> Result<Life, String> {
    let boot = bench.boot().machine(machine.copy()).seed(seed);
    let (kernel, driver) = boot.load().map_err(|error| error.to_string())?;
    plan(kernel.injector());
    let ended = (|| {
        let status = driver.start()?;
        let starting = kernel.injector().count();
        if !status.is_success() {
            kernel.outstanding().assert_clean();
        } else {
            work(bench, &kernel)?;
            unload(&kernel, &driver)?;
        }
        Ok(starting)
    })();
    let starting = ended.map_err(|bug: Box<Bug>| format!("{:?}: {bug}", hits(&kernel)))?;
    let calls = kernel.injector().count();
    let failed = kernel.injector().hits().iter().map(|hit| hit.api).collect();
    Ok(Life { starting, calls, failed, machine: kernel.machine() })
}

fn work(bench: &Bench, kernel: &Arc<Kernel>) -> Result<(), Box<Bug>> {
    kernel.run_boot_reinitialization()?;
    pass(kernel, Duration::from_secs(61));
    let hello = Hello { interest: Interest::Everything }.encode();
    let client = kernel.try_connect_port(PORT_NAME, &hello)?.ok();
    asks_for_pipes(kernel, 100)?;
    let (name, file) = bench.file(2);
    kernel.machine().disk().write(&format!(r"{INBOX}\{name}"), &file);
    for _ in 0..3 {
        pass(kernel, Duration::from_secs(6));
    }
    asks_for_pipes(kernel, 104)?;
    for (id, ask) in
        (1..).zip([Ask::Reload, Ask::Status, Ask::Statistics, Ask::SetMode(Mode::Enforce)])
    {
        if let Some(client) = &client {
            client.send(&Request { id, ask }.encode(), 0)?;
        }
        listen(client.as_ref());
    }
    pass(kernel, Duration::from_secs(6));
    listen(client.as_ref());
    kernel.check()
}

fn asks_for_pipes(kernel: &Kernel, pid: u64) -> Result<(), Box<Bug>> {
    let image = Some(r"\Device\HarddiskVolume3\Downloads\a.exe".to_owned());
    let process = kernel.create_process(ProcessSpec { pid, image, ..Default::default() });
    let through = |outcome: Outcome| {
        let status = outcome.status;
        assert!(status.is_success() || status == NtStatus::ACCESS_DENIED, "{status}");
        outcome.end
    };
    let _odd = through(kernel.create_named_pipe(&process, r"\odd", PipeOptions::default())?);
    through(kernel.connect_pipe(&process, r"\odd", ConnectOptions::default())?);
    through(kernel.create_named_pipe(&process, r"\evil", PipeOptions::default())?);
    kernel.end_process(&process)
}

fn listen(client: Option<&PortClient>) {
    while client.is_some_and(|client| client.receive(Duration::from_millis(20)).is_some()) {}
}

fn pass(kernel: &Kernel, time: Duration) {
    kernel.rest(PATIENCE);
    kernel.advance(time);
    kernel.rest(PATIENCE);
}

fn unload(kernel: &Kernel, driver: &Driver) -> Result<(), Box<Bug>> {
    let report = driver.unload()?;
    assert!(report.is_clean(), "{:?}: {report}", hits(kernel));
    Ok(())
}

/// What was made to fail, and by whom it was called.
fn hits(kernel: &Kernel) -> Vec<String> {
    let hits = kernel.injector().hits();
    let place = |frames: Vec<kernel_host::Frame>| frames.first().map(ToString::to_string);
    hits.iter().map(|hit| format!("{} {:?}", hit.api, place(hit.frames(kernel)))).collect()
}

/// A machine on which content is good.
fn machine(bench: &Bench) -> Machine {
    let mut rig = bench.boot().seed(0).boot().unwrap();
    let (name, file) = bench.file(1);
    rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
    rig.mature().unwrap();
    let machine = rig.machine();
    rig.unload().unwrap();
    machine
}

/// What failed once is forgotten: the next boot blocks.
fn serves(bench: &Bench, machine: Machine) {
    let mut rig = bench.boot().machine(machine).seed(0).boot().unwrap();
    rig.listen(Interest::Everything).unwrap();
    assert_eq!(created(&mut rig, r"\evil", EXPLORER), Verdict::Block);
}

#[test]
fn any_one_failure_is_survived_and_forgotten() {
    let Some(bench) = Bench::new() else { return };
    let machine = machine(&bench);
    let Life { starting, calls, machine: after, .. } = live(&bench, &machine, 1, |_| {}).unwrap();
    serves(&bench, after);
    assert!(starting > 30 && calls > starting + 100, "{starting} of {calls}");
    let failed = Mutex::new(BTreeSet::new());
    Seeds::within(1..calls + 1).each(|call| {
        let life = live(&bench, &machine, 1, |injector| injector.fail_call(call))?;
        failed.lock().unwrap().extend(life.failed);
        serves(&bench, life.machine);
        Ok::<(), String>(())
    });
    let failed = failed.into_inner().unwrap();
    // From each part of the life, if it was not only one of them.
    for api in ["FltRegisterFilter", "ZwReadFile", "ZwWriteFile", "FltSendMessage"] {
        assert!(failed.len() < 10 || failed.contains(api), "{api} never failed: {failed:?}");
    }
}

/// Memory runs out at any moment and does not come back, nor does anything else.
#[test]
fn failures_that_stay_are_survived() {
    let Some(bench) = Bench::new() else { return };
    let machine = machine(&bench);
    let calls = live(&bench, &machine, 1, |_| {}).unwrap().calls;
    Seeds::within(1..calls + 1).each(|call| {
        let life = live(&bench, &machine, 1, |injector| injector.fail_from(call))?;
        if call % 8 == 0 {
            serves(&bench, life.machine);
        }
        Ok::<(), String>(())
    });
}

/// Any two of the start.
#[test]
fn any_two_failures_of_the_start_leave_nothing() {
    let Some(bench) = Bench::new() else { return };
    let machine = machine(&bench);
    let starting = live(&bench, &machine, 1, |_| {}).unwrap().starting;
    Seeds::within(1..starting + 1).each(|first| {
        for second in first + 1..=starting + 1 {
            let plan = [first, second];
            let failed = start(&bench, &machine, &plan)?;
            if failed < 2 {
                // The first kept it from coming to the second, and to any after it.
                break;
            }
        }
        Ok::<(), String>(())
    });
}

/// Starts with these calls failing, and unloads. How many of them were made.
fn start(bench: &Bench, machine: &Machine, plan: &[u64]) -> Result<usize, String> {
    let boot = bench.boot().machine(machine.copy()).seed(1);
    let (kernel, driver) = boot.load().map_err(|error| error.to_string())?;
    kernel.injector().fail_calls(plan);
    let ended = driver
        .start()
        .and_then(|status| if status.is_success() { unload(&kernel, &driver) } else { Ok(()) });
    ended.map_err(|bug| format!("{:?}: {bug}", hits(&kernel)))?;
    kernel.outstanding().assert_clean();
    Ok(kernel.injector().hits().len())
}

/// Two failures anywhere, while threads are slow and waits time out as the seed has it.
#[test]
fn two_failures_in_any_order_of_events_are_survived() {
    let Some(bench) = Bench::new() else { return };
    let machine = machine(&bench);
    let calls = live(&bench, &machine, 1, |_| {}).unwrap().calls;
    Seeds::new(300).each(|seed| {
        // Two numbers that the seed spreads over the life.
        let first = seed * 7919 % calls + 1;
        let second = first + seed * 104_729 % (calls - first + 1) + 1;
        live(&bench, &machine, seed, |injector| injector.fail_calls(&[first, second])).map(drop)
    });
}
