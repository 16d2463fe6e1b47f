//! Ports, waits and the virtual clock, through a real driver.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel_host::{Bug, BugKind, Driver, Kernel, NtStatus, Seeds, artifacts};

const PORT: &str = r"\PlantedPort";
/// One second and one hour as NT counts relative time.
const SECOND: i64 = -10_000_000;
const HOUR: i64 = 3_600 * SECOND;

fn start() -> Option<(Arc<Kernel>, Driver)> {
    let path = artifacts::path("planted.sys")?;
    let kernel = Kernel::builder().build();
    let driver = kernel.load(path).expect("the image is a driver");
    assert!(driver.start().expect("no bug").is_success());
    kernel.run_boot_reinitialization().expect("no bug");
    Some((kernel, driver))
}

fn call(driver: &Driver, name: &str, arguments: &[u64]) -> u64 {
    driver.call_export(name, arguments).unwrap_or_else(|bug| panic!("{name}: {bug}"))
}

fn status(driver: &Driver, name: &str, arguments: &[u64]) -> NtStatus {
    NtStatus(call(driver, name, arguments) as u32)
}

/// The planted driver has no setup callback, so it is attached to whatever is offered.
#[test]
fn a_filter_that_refuses_no_volume_is_attached_to_all() {
    let Some((kernel, driver)) = start() else {
        return;
    };
    let others = [r"\Device\Mailslot", r"\Device\HarddiskVolume3", r"\Device\Mup"];
    assert_eq!(kernel.attachments_elsewhere(), others);
    driver.unload().expect("no bug").assert_clean();
}

#[test]
fn connecting_and_talking() {
    let Some((kernel, driver)) = start() else {
        return;
    };
    let absent = kernel.try_connect_port(PORT, b"hello").unwrap().unwrap_err();
    assert_eq!(absent, NtStatus::OBJECT_NAME_NOT_FOUND);
    assert_eq!(status(&driver, "PlantedOpenPort", &[]), NtStatus::SUCCESS);
    assert_eq!(status(&driver, "PlantedOpenPort", &[]), NtStatus::OBJECT_NAME_COLLISION);
    let refused = kernel.try_connect_port(PORT, b"wrong").unwrap().unwrap_err();
    assert_eq!(refused, NtStatus::ACCESS_DENIED);
    assert!(kernel.connect_port(PORT, b"").is_err());

    let client = kernel.connect_port(r"\plantedport", b"hello").unwrap();
    let full = kernel.try_connect_port(PORT, b"hello").unwrap().unwrap_err();
    assert_eq!(full, NtStatus::CONNECTION_COUNT_LIMIT);
    assert_eq!(client.send(b"abc", 8).unwrap(), (NtStatus::SUCCESS, b"cba".to_vec()));
    assert_eq!(client.receive(Duration::from_millis(1)), None);

    // Delivered, answered, and not listened to in time.
    let sender = |reply: u64| {
        std::thread::scope(|scope| {
            let sent = scope.spawn(|| call(&driver, "PlantedSend", &[SECOND as u64, reply]));
            let message = client.receive_message(Duration::from_secs(5)).expect("a message");
            assert_eq!((message.body.as_slice(), message.wants_reply), (&b"ping"[..], reply != 0));
            if message.wants_reply {
                client.reply(&message, b"pong");
            }
            sent.join().expect("the sender ends")
        })
    };
    assert_eq!(sender(0), 0);
    assert_eq!(sender(1), u64::from(b'p') << 32);
    let soon = (SECOND / 100) as u64;
    assert_eq!(status(&driver, "PlantedSend", &[soon, 0]), NtStatus::TIMEOUT);
    assert_eq!(client.receive(Duration::from_millis(1)), None, "it was taken back");

    drop(client);
    assert_eq!(status(&driver, "PlantedSend", &[soon, 0]), NtStatus::PORT_DISCONNECTED);
    let again = kernel.connect_port(PORT, b"hello").unwrap();
    call(&driver, "PlantedClosePort", &[]);
    driver.unload().unwrap().assert_clean();
    assert!(again.is_closed());
}

#[test]
fn unregistering_before_closing_the_port_would_hang() {
    let Some((_kernel, driver)) = start() else {
        return;
    };
    call(&driver, "PlantedOpenPort", &[]);
    let bug: Box<Bug> = driver.unload().unwrap_err();
    let BugKind::Misuse { api: "FltUnregisterFilter", .. } = bug.kind else { panic!("{bug}") };
}

#[test]
fn the_clock_jumps_and_timeouts_with_it() {
    let Some((kernel, driver)) = start() else {
        return;
    };
    let before = Instant::now();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| status(&driver, "PlantedWait", &[HOUR as u64]));
        while !waiter.is_finished() {
            std::thread::sleep(Duration::from_millis(5));
            kernel.advance(Duration::from_secs(3_600));
        }
        assert_eq!(waiter.join().unwrap(), NtStatus::TIMEOUT);
    });
    assert!(before.elapsed() < Duration::from_secs(30));
    assert_eq!(status(&driver, "PlantedWait", &[0]), NtStatus::TIMEOUT);
    driver.unload().unwrap().assert_clean();
}

#[test]
fn a_power_cut_ends_a_wait_that_is_running() {
    let Some((kernel, driver)) = start() else {
        return;
    };
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| driver.call_export("PlantedWait", &[HOUR as u64]));
        std::thread::sleep(Duration::from_millis(20));
        kernel.power_off();
        assert_eq!(waiter.join().unwrap().unwrap_err().kind, BugKind::Stopped);
    });
    assert_eq!(driver.unload().unwrap_err().kind, BugKind::Stopped);
}

/// The same machine boots again and again, and one kernel loads and unloads again and again.
#[test]
fn loads_and_boots_many_times() {
    let Some(path) = artifacts::path("planted.sys") else {
        return;
    };
    let machine = kernel_host::Machine::new();
    for _ in 0..20 {
        let kernel = Kernel::builder().machine(machine.clone()).demand_start().build();
        for _ in 0..20 {
            let driver = kernel.load(&path).expect("the image is a driver");
            assert!(driver.start().expect("no bug").is_success());
            driver.unload().expect("no bug").assert_clean();
        }
    }
}

/// The way into the host still uses the driver's stack: its end there is the driver's fault.
#[test]
fn a_stack_that_ends_in_an_api_call_is_an_overflow() {
    let Some((_kernel, driver)) = start() else {
        return;
    };
    let bug = driver.call_export("PlantedStackEnd", &[]).unwrap_err();
    assert_eq!(bug.kind, BugKind::StackOverflow);
}

/// Registry hives are written when they are flushed, or when the machine is shut down in order.
#[test]
fn a_value_that_nobody_flushed_is_lost_with_the_power() {
    const KEY: &str = r"\Registry\Machine";
    let boot = |machine: &kernel_host::Machine| {
        let kernel = Kernel::builder().machine(machine.clone()).build();
        let driver = kernel.load(artifacts::path("planted.sys")?).expect("the image is a driver");
        assert!(driver.start().expect("no bug").is_success());
        Some((kernel, driver))
    };
    let machine = kernel_host::Machine::new();
    let value = || machine.registry().dword(KEY, "V");
    for (number, flush, kept) in [(7, 1, Some(7)), (8, 0, Some(7))] {
        let Some((kernel, driver)) = boot(&machine) else { return };
        assert!(status(&driver, "PlantedSetValue", &[number, flush]).is_success());
        assert_eq!(value(), Some(number as u32));
        kernel.power_off();
        assert_eq!(value(), kept);
    }
    let Some((kernel, driver)) = boot(&machine) else { return };
    assert!(status(&driver, "PlantedSetValue", &[9, 0]).is_success());
    kernel.shut_down().expect("no bug");
    machine.registry().set_dword(KEY, "Other", 1);
    let (kernel, _driver) = boot(&machine).expect("the driver is built");
    kernel.power_off();
    assert_eq!(value(), Some(9));
}

/// Unregistering waits for message callbacks: afterwards their code is gone.
#[test]
fn a_message_on_its_way_keeps_the_filter() {
    let Some(path) = artifacts::path("planted.sys") else { return };
    Seeds::new(100).each(|seed| {
        let kernel = Kernel::builder().seed(seed).build();
        let driver = kernel.load(&path).expect("the image is a driver");
        assert!(driver.start()?.is_success());
        kernel.run_boot_reinitialization()?;
        assert!(status(&driver, "PlantedOpenPort", &[]).is_success());
        // The callback that allocates, copies and frees.
        call(&driver, "PlantedMessageBug", &[1]);
        let client = kernel.connect_port(PORT, b"hello")?;
        kernel
            .race()
            .with("client", || client.send(b"hello", 0).map(drop))
            .with("unload", || {
                call(&driver, "PlantedClosePort", &[]);
                driver.unload()?.assert_clean();
                Ok(())
            })
            .run()
    });
}
