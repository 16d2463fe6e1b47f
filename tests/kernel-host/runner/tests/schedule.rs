//! The built driver in orders of events that seeds pick: callbacks, the content worker, a client
//! at the port, the end of a process and an unload race, with content being swapped under them.
//! `SAKER_SEED=n` plays one of them again.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::Bench;
use driver_abi::{Ask, Hello, Interest, PORT_NAME, Request};
use kernel_host::{
    Bug, ConnectOptions, Kernel, Machine, PipeOptions, Played, Process, ProcessSpec, Seeds,
};

const INBOX: &str = r"\SystemRoot\System32\drivers\CrowdStrike";

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

/// One race, to the end of the driver.
fn play(bench: &Bench, machine: &Machine, seed: u64) -> Result<Played, Box<Bug>> {
    let boot = bench.boot().machine(machine.copy()).seed(seed);
    let (kernel, driver) = boot.start().unwrap_or_else(|error| panic!("{error}"));
    let image = Some(r"\Device\HarddiskVolume3\Downloads\a.exe".to_owned());
    let process = |pid| {
        let spec = ProcessSpec { pid, image: image.clone(), ..Default::default() };
        kernel.create_process(spec)
    };
    let (first, second) = (process(100), process(104));
    let (name, file) = bench.file(2);
    let newer = || {
        kernel.machine().disk().write(&format!(r"{INBOX}\{name}"), &file);
        kernel.advance(Duration::from_secs(6));
        Ok(())
    };
    let client = || {
        let hello = Hello { interest: Interest::Everything }.encode();
        let Ok(client) = kernel.try_connect_port(PORT_NAME, &hello)? else { return Ok(()) };
        client.send(&Request { id: 1, ask: Ask::Reload }.encode(), 64)?;
        while !client.is_closed() && client.receive(Duration::from_secs(1)).is_some() {}
        Ok(())
    };
    kernel
        .race()
        .with("callback", || asks_for_pipes(&kernel, &first))
        .with("another callback", || asks_for_pipes(&kernel, &second))
        .with("the same process", || asks_for_pipes(&kernel, &second))
        .with("exit", || kernel.end_process(&first).and(kernel.end_process(&second)))
        .with("file", newer)
        .with("client", client)
        .with("unload", || {
            driver.unload()?.assert_clean();
            Ok(())
        })
        .run()?;
    Ok(kernel.played().unwrap())
}

/// A process makes two pipes and opens one.
fn asks_for_pipes(kernel: &Kernel, process: &Arc<Process>) -> Result<(), Box<Bug>> {
    let odd = kernel.create_named_pipe(process, r"\odd", PipeOptions::default())?;
    assert!(odd.status.is_success(), "{odd:?}");
    kernel.connect_pipe(process, r"\odd", ConnectOptions::default())?;
    kernel.create_named_pipe(process, r"\evil", PipeOptions::default()).map(drop)
}

#[test]
fn nothing_is_wrong_in_thousands_of_orders() {
    let Some(bench) = Bench::new() else { return };
    let machine = machine(&bench);
    Seeds::new(2000).each(|seed| play(&bench, &machine, seed).map(drop));
}

#[test]
fn a_seed_comes_again_and_another_is_another() {
    let Some(bench) = Bench::new() else { return };
    let machine = machine(&bench);
    let play = |seed| play(&bench, &machine, seed).unwrap_or_else(|bug| panic!("{bug}"));
    for seed in 0..10 {
        assert_eq!(play(seed), play(seed));
    }
    assert_ne!(play(1).digest, play(2).digest);
}
