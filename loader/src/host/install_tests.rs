//! Installing on a machine in memory: what is made, and that every failure leaves what was there.

use super::super::fake::{Fake, package, package_with};
use super::super::{Service, below};
use super::*;
use crate::machine::image::made_driver;

fn install(package: PathBuf) -> Install {
    Install { package, boot: false, no_start: false, force: false }
}

fn run(command: &Install, host: &mut Fake) -> Result<String, Error> {
    let mut out = Vec::new();
    command.run(host, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn host_error(error: Error) -> HostError {
    match error {
        Error::Host(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn a_fit_machine_gets_all_and_starts_on_demand() {
    let mut host = Fake::fit();
    let said = run(&install(package(&mut host)), &mut host).unwrap();
    assert_eq!(said, "installed and started; starts on demand\n");
    let service = Service { state: State::Running, start: Start::Demand };
    assert_eq!(host.services[SERVICE], service);
    for folder in [INBOX, STATE] {
        assert_eq!(host.security(&below(&host, folder)).unwrap(), FOLDER_SECURITY);
    }
    let messages = host.value(EVENT_SOURCE, "EventMessageFile").unwrap();
    assert_eq!(messages, Some(Value::Expanded(MESSAGES.into())));
}

#[test]
fn a_boot_start_comes_behind_a_start_that_worked() {
    let mut host = Fake::fit();
    let command = Install { boot: true, ..install(package(&mut host)) };
    run(&command, &mut host).unwrap();
    assert_eq!(host.services[SERVICE].start, Start::Boot);

    let mut host = Fake::fit();
    let before = host.state();
    host.start_fails = Some(577);
    let command = Install { boot: true, ..install(package(&mut host)) };
    let error = host_error(run(&command, &mut host).unwrap_err());
    assert!(error.to_string().contains("signature"), "{error}");
    assert_eq!(host.state(), before, "a driver that does not start is not left to the boot loader");

    let command = Install { force: true, ..command };
    run(&command, &mut host).unwrap();
    assert_eq!(host.services[SERVICE], Service { state: State::Stopped, start: Start::Boot });
}

/// Whichever change fails, all before it are taken back.
#[test]
fn every_failure_is_undone() {
    let mut failures = 0;
    for changes in 0.. {
        let mut host = Fake::fit();
        let command = Install { boot: true, ..install(package(&mut host)) };
        let before = host.state();
        host.changes_left = Some(changes);
        match run(&command, &mut host) {
            Ok(_) => break,
            Err(error) => {
                let error = host_error(error);
                assert!(matches!(error, HostError::Undone { .. }), "after {changes}: {error}");
                assert_eq!(host.state(), before, "after {changes} changes");
                failures += 1;
            }
        }
    }
    // Two folders, two values, the package, the start and the boot start.
    assert_eq!(failures, 7);
}

#[test]
fn an_upgrade_that_fails_leaves_the_driver_that_was_there() {
    let mut host = Fake::fit();
    let command = install(package(&mut host));
    run(&command, &mut host).unwrap();
    host.start_fails = Some(2);
    let error = host_error(run(&command, &mut host).unwrap_err());
    assert!(error.to_string().contains("instance keys"), "{error}");
    assert!(host.services.contains_key(SERVICE));
    assert!(host.value(EVENT_SOURCE, "EventMessageFile").unwrap().is_some());
}

#[test]
fn what_is_in_the_way_is_told_and_nothing_is_changed() {
    let mut host = Fake::fit();
    host.put(r"SYSTEM\CurrentControlSet\Control", "SystemStartOptions", "");
    let command = install(package(&mut host));
    let before = host.state();
    let error = host_error(run(&command, &mut host).unwrap_err());
    assert!(matches!(&error, HostError::Unfit { faults } if faults.len() == 1), "{error}");
    assert!(error.to_string().contains("bcdedit /set testsigning on"), "{error}");
    assert_eq!(host.state(), before);
    run(&Install { force: true, ..command }, &mut host).unwrap();
}

#[test]
fn a_falcon_sensor_is_in_the_way_even_of_those_who_insist() {
    let mut host = Fake::fit();
    let service = Service { state: State::Running, start: Start::Auto };
    host.services.insert("CSAgent".into(), service);
    let command = Install { force: true, ..install(package(&mut host)) };
    let error = host_error(run(&command, &mut host).unwrap_err());
    assert!(error.to_string().contains("CSAgent"), "{error}");
    assert!(host.packages.is_empty());
}

#[test]
fn a_package_that_is_none_is_refused() {
    let mut host = Fake::fit();
    let folder = package(&mut host);
    host.files.retain(|path, _| !path.ends_with("saker.cat"));
    let error = host_error(run(&install(folder), &mut host).unwrap_err());
    assert!(error.to_string().contains("no saker.cat"), "{error}");

    for (driver, word) in [
        (b"MZ".to_vec(), "Windows image"),
        (made_driver(false, true), "trusts no key"),
        (made_driver(true, false), "no signature"),
    ] {
        let mut host = Fake::fit();
        let folder = package_with(&mut host, &driver);
        let error = host_error(run(&install(folder), &mut host).unwrap_err());
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn a_package_for_another_processor_is_refused() {
    let mut host = Fake::fit();
    let key = r"SYSTEM\CurrentControlSet\Control\Session Manager\Environment";
    host.put(key, "PROCESSOR_ARCHITECTURE", "ARM64");
    let command = Install { force: true, ..install(package(&mut host)) };
    let error = host_error(run(&command, &mut host).unwrap_err());
    assert!(error.to_string().contains("this machine is ARM64"), "{error}");
}

#[test]
fn removing_undoes_the_installation_but_for_what_was_collected() {
    let mut host = Fake::fit();
    let before = host.state();
    run(&install(package(&mut host)), &mut host).unwrap();
    Uninstall {}.run(&mut host, &mut Vec::new()).unwrap();
    assert_eq!(host.state(), before);

    run(&install(package(&mut host)), &mut host).unwrap();
    let content = below(&host, INBOX).join("C-00000291-00000001-00000001.sys");
    host.file(&content, b"0");
    Uninstall {}.run(&mut host, &mut Vec::new()).unwrap();
    assert!(host.security(&below(&host, INBOX)).is_ok(), "with content in it, it stays");
}

#[test]
fn what_is_not_installed_is_not_removed_started_or_stopped() {
    let mut host = Fake::fit();
    let out = &mut Vec::new();
    for error in [
        Uninstall {}.run(&mut host, out).unwrap_err(),
        start(&mut host, out).unwrap_err(),
        stop(&mut host, out).unwrap_err(),
    ] {
        assert!(matches!(host_error(error), HostError::NotInstalled));
    }
    let mut host = Fake { is_administrator: false, ..Fake::fit() };
    assert!(Uninstall {}.run(&mut host, out).is_err());
}

#[test]
fn start_and_stop_say_what_they_did() {
    let mut host = Fake::fit();
    run(&Install { no_start: true, ..install(package(&mut host)) }, &mut host).unwrap();
    let mut out = Vec::new();
    stop(&mut host, &mut out).unwrap();
    start(&mut host, &mut out).unwrap();
    start(&mut host, &mut out).unwrap();
    stop(&mut host, &mut out).unwrap();
    let said = String::from_utf8(out).unwrap();
    assert_eq!(said, "does not run\nstarted\nruns already\nstopped\n");
}

#[test]
fn an_inf_is_found_by_its_catalogue_in_either_encoding() {
    let mut host = Fake::fit();
    let inf = |host: &Fake, name: &str| below(host, &format!(r"INF\{name}"));
    for name in ["oem1.inf", "saker.inf"] {
        let path = inf(&host, name);
        host.file(&path, b"[Version]\nCatalogFile=other.cat\n");
    }
    assert_eq!(published_inf(&host).unwrap(), None);
    let wide: Vec<u8> = "\u{feff}[Version]\r\ncatalogfile = \"SAKER.CAT\"\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let path = inf(&host, "oem12.inf");
    host.file(&path, &wide);
    assert_eq!(published_inf(&host).unwrap(), Some(path));
}

#[test]
fn errors_of_starting_say_what_they_mean() {
    for (error, word) in [(577, "test signing"), (2, "instance keys"), (1275, "memory integrity")] {
        let told = explained(&io::Error::from_raw_os_error(error)).to_string();
        assert!(told.contains(word), "{told}");
    }
    let other = io::Error::from_raw_os_error(31);
    assert_eq!(explained(&other).to_string(), other.to_string());
}
