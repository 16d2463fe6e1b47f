//! What the built driver makes of an inbox that is not as it should be: files in the way, files
//! held open, thousands of them, a folder that others may change, a disk that is slow.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{Bench, EXPLORER, RULES, created, name, options};
use driver_abi::{Cause, Interest, Loss, Protection, Stage, Status, Verdict};
use kernel_host::machine::{ADMINISTRATORS, EVERYONE, Pace, Security, USERS};
use kernel_host_runner::Error;
use kernel_host_runner::rig::Rig;

const INBOX: &str = r"\SystemRoot\System32\drivers\CrowdStrike";

fn path(name: &str) -> String {
    format!(r"{INBOX}\{name}")
}

/// The status after the driver has looked at least twice more.
fn after_a_look(rig: &mut Rig) -> Status {
    rig.drop_files([].into_iter()).unwrap()
}

/// Good content in force, a sound newer file with something in its way, and what the driver says
/// of it.
fn in_the_way(obstruct: impl FnOnce(&Bench, &Rig, &str)) -> Status {
    let bench = Bench::new().expect("the caller looked");
    let mut rig = bench.ready();
    let (name, file) = bench.file(6);
    rig.machine().disk().write(&path(&name), &file);
    obstruct(&bench, &rig, &path(&name));
    rig.listen(Interest::Status).unwrap();
    let status = after_a_look(&mut rig);
    assert_eq!((status.sequence, status.stage), (1, Stage::Good), "{status:?}");
    assert_eq!(status.protection, Protection::Degraded(Loss::Refused));
    assert_eq!((status.refusal.sequence, status.refusal.code), (6, 0), "{status:?}");
    assert!(status.refusal.host_status != 0, "{status:?}");
    rig.listen(Interest::Everything).unwrap();
    assert_eq!(created(&mut rig, r"\evil", EXPLORER), Verdict::Block, "the old content serves");
    rig.unload().unwrap();
    status
}

#[test]
fn what_is_no_plain_file_is_told_by_its_cause() {
    if Bench::new().is_none() {
        return;
    }
    for (attributes, cause) in [
        (0x420, Cause::ReparsePoint),
        (0x1020, Cause::Offline),
        (0x0040_0420, Cause::Offline),
        (0x0004_0420, Cause::Offline),
        (0x60, Cause::NoFile),
    ] {
        let status =
            in_the_way(|_, rig, path| rig.machine().disk().set_attributes(path, attributes));
        assert_eq!((status.refusal.cause, status.refused), (cause, 1), "{attributes:#x}");
    }
}

#[test]
fn a_hard_link_a_directory_and_another_channels_file_are_told_by_their_cause() {
    if Bench::new().is_none() {
        return;
    }
    let status = in_the_way(|_, rig, path| rig.machine().disk().set_links(path, 2));
    assert_eq!((status.refusal.cause, status.refused), (Cause::HardLink, 1));
    let status = in_the_way(|_, rig, path| {
        rig.machine().disk().remove(path);
        rig.machine().disk().create_directory(path);
    });
    assert_eq!((status.refusal.cause, status.refused), (Cause::Directory, 1));
    let status = in_the_way(|bench, rig, path| {
        let other = channel_compiler::BuildOptions { channel: 292, ..options(6) };
        rig.machine().disk().write(path, bench.file_with(RULES, &other));
    });
    assert_eq!((status.refusal.cause, status.refused), (Cause::OtherChannel, 1));
    let status = in_the_way(|_, rig, path| {
        let length = usize::try_from(channel_format::limits::MAX_FILE).unwrap() + 1;
        rig.machine().disk().write(path, vec![1; length]);
    });
    assert_eq!((status.refusal.cause, status.refused), (Cause::NoFile, 1));
}

/// Whoever writes a file, or keeps it to himself, keeps the driver off it as long as he has it.
#[test]
fn a_file_that_is_held_is_tried_again_until_it_is_let_go() {
    let Some(bench) = Bench::new() else { return };
    for oplock in [false, true] {
        let mut rig = bench.boot().boot().unwrap();
        let disk_owner = rig.machine();
        let disk = disk_owner.disk();
        let (name, file) = bench.file(3);
        disk.write(&path(&name), &file);
        let held = if oplock { disk.hold_oplock(&path(&name)) } else { disk.hold(&path(&name), 0) };
        let status = after_a_look(&mut rig);
        let refusal = &status.refusal;
        assert_eq!((status.stage, status.refused), (Stage::None, 0), "oplock {oplock}: {status:?}");
        assert_eq!((refusal.cause, refusal.sequence), (Cause::Held, 3), "oplock {oplock}");
        drop(held);
        let status = after_a_look(&mut rig);
        assert_eq!((status.stage, status.sequence), (Stage::Trial, 3), "oplock {oplock}");
        assert_eq!(status.refusal.cause, Cause::None);
        rig.unload().unwrap();
    }
}

#[test]
fn an_inbox_that_others_may_change_is_not_read_until_that_is_mended() {
    let Some(bench) = Bench::new() else { return };
    let usual = Security::default();
    for exposed in [
        usual.clone().owner(USERS),
        usual.clone().allow(EVERYONE, 0x1000_0000),
        usual.clone().allow(USERS, 0x0002),
        usual.clone().without_list(),
    ] {
        let mut rig = bench.ready();
        let machine = rig.machine();
        machine.disk().set_security(INBOX, &exposed);
        rig.listen(Interest::Status).unwrap();
        let (name, file) = bench.file(2);
        let status = rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
        assert_eq!(status.protection, Protection::Degraded(Loss::InboxUnsafe), "{exposed:?}");
        assert_eq!((status.sequence, status.stage, status.accepted), (1, Stage::Good, 1));
        machine.disk().set_security(INBOX, &usual.clone().owner(ADMINISTRATORS));
        let status = after_a_look(&mut rig);
        assert_eq!((status.sequence, status.stage), (2, Stage::Trial), "{exposed:?}");
        rig.unload().unwrap();
    }
}

#[test]
fn thousands_of_other_files_hide_nothing() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.boot().boot().unwrap();
    let machine = rig.machine();
    for number in 0..5_000 {
        machine.disk().write(&path(&format!("C-00000290-00000000-{number:08}.sys")), [1; 16]);
    }
    let (name, file) = bench.file(1);
    let status = rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
    assert_eq!((status.stage, status.sequence), (Stage::Trial, 1), "{status:?}");
    rig.unload().unwrap();
}

#[test]
fn hundreds_of_bad_newer_files_delay_a_sound_one_and_do_not_hide_it() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.boot().boot().unwrap();
    let machine = rig.machine();
    for sequence in 2..=201 {
        machine.disk().write(&path(&name(0, sequence)), [1; 2_048]);
    }
    let (sound, file) = bench.file(1);
    machine.disk().write(&path(&sound), &file);
    // Eight files a look.
    let status = rig.status_when("the sound file", |status| status.accepted == 1).unwrap();
    assert_eq!((status.stage, status.sequence, status.refused), (Stage::Trial, 1, 200));
    assert!(status.scans >= 26, "{status:?}");
    assert_eq!(status.protection, Protection::Degraded(Loss::Refused), "newer ones stand refused");
    rig.unload().unwrap();
}

#[test]
fn more_newer_names_than_a_look_considers_are_loud() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let machine = rig.machine();
    for sequence in 2..=400 {
        machine.disk().write(&path(&name(0, sequence)), [1; 2_048]);
    }
    rig.listen(Interest::Status).unwrap();
    let before = after_a_look(&mut rig);
    assert_eq!(before.protection, Protection::Degraded(Loss::NoInbox), "{before:?}");
    // Its work stays bounded: eight files a look, however many there are.
    let after = after_a_look(&mut rig);
    assert!(after.refused - before.refused <= 8 * (after.scans - before.scans), "{after:?}");
    rig.unload().unwrap();
}

/// Signed headers before bodies of 7 MiB: two of them are all that a look reads.
#[test]
fn a_look_reads_so_many_bytes_and_the_next_one_goes_on() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.boot().boot().unwrap();
    let machine = rig.machine();
    let before = rig.status().unwrap().scans;
    for sequence in 2..=7 {
        let (name, mut file) = bench.file(sequence);
        file.resize(7 << 20, 0);
        machine.disk().write(&path(&name), file);
    }
    let (sound, file) = bench.file(1);
    machine.disk().write(&path(&sound), file);
    let status = rig.status_when("the sound file", |status| status.accepted == 1).unwrap();
    assert_eq!((status.sequence, status.refused), (1, 6), "{status:?}");
    assert!(status.scans >= before + 3, "{status:?}");
    rig.unload().unwrap();
}

/// Each call of the files' routines fails once while a file comes into force over a disk that
/// answers late.
#[test]
fn any_one_failure_delays_a_file_and_does_no_harm() {
    let Some(bench) = Bench::new() else { return };
    let (name, file) = bench.file(1);
    for api in [
        "ExAllocatePool2",
        "ZwCreateFile",
        "ZwFlushBuffersFile",
        "ZwQueryDirectoryFile",
        "ZwQueryInformationFile",
        "ZwQuerySecurityObject",
        "ZwReadFile",
        "ZwWriteFile",
    ] {
        for call in 1..=8 {
            let mut rig = bench.boot().boot().unwrap();
            let machine = rig.machine();
            machine.disk().set_pace(Pace::Takes(Duration::ZERO));
            // A driver that tells its status has all that it needs to tell it.
            rig.status().unwrap();
            rig.kernel().injector().fail_api(api, call);
            machine.disk().write(&path(&name), &file);
            let status = rig.status_when("the file", |status| status.accepted == 1);
            let status = status.unwrap_or_else(|error| panic!("{api} {call}: {error}"));
            assert_eq!((status.stage, status.refused), (Stage::Trial, 0), "{api} {call}");
            let hits = rig.kernel().injector().hits().len();
            assert!(hits == 1 || call > 1, "{api} was never called");
            rig.unload().unwrap_or_else(|error| panic!("{api} {call}: {error}"));
            if hits == 0 {
                break;
            }
        }
    }
}

#[test]
fn transfers_that_go_on_after_their_calls_bring_content_into_force_all_the_same() {
    let Some(bench) = Bench::new() else { return };
    for time in [Duration::ZERO, Duration::from_micros(200)] {
        let mut rig = bench.boot().boot().unwrap();
        rig.machine().disk().set_pace(Pace::Takes(time));
        let (name, file) = bench.file(1);
        rig.machine().disk().write(&path(&name), &file);
        let status = rig.status_when("the file", |status| status.accepted == 1).unwrap();
        assert_eq!((status.stage, status.sequence), (Stage::Trial, 1), "{status:?}");
        let good = rig.mature().unwrap();
        assert_eq!(good.stage, Stage::Good);
        let machine = rig.machine();
        rig.unload().unwrap();
        // And so does the next boot.
        let mut rig = bench.boot().machine(machine).boot().unwrap();
        let status = rig.status().unwrap();
        assert_eq!((status.stage, status.sequence), (Stage::Good, 1), "{status:?}");
        rig.unload().unwrap();
    }
}

/// A disk that does not answer: what is in force serves, the reason is told, and when the disk is
/// back so are updates.
#[test]
fn a_disk_that_does_not_answer_delays_updates_and_is_told() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let machine = rig.machine();
    machine.disk().set_pace(Pace::UntilCancelled);
    rig.listen(Interest::Status).unwrap();
    let (name, file) = bench.file(2);
    let status = rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
    assert_eq!(status.protection, Protection::Degraded(Loss::Slow), "{status:?}");
    assert_eq!((status.stage, status.sequence), (Stage::Good, 1));
    rig.listen(Interest::Everything).unwrap();
    assert_eq!(created(&mut rig, r"\evil", EXPLORER), Verdict::Block);
    machine.disk().set_pace(Pace::AtOnce);
    rig.listen(Interest::Status).unwrap();
    let status = rig.status_when("the disk", |status| status.sequence == 2).unwrap();
    assert_eq!(status.protection, Protection::Degraded(Loss::OnTrial), "{status:?}");
    assert_eq!(rig.kernel().requests_outstanding(), 0);
    rig.unload().unwrap();
}

/// Good content that a slow disk keeps back at a start serves as soon as the disk answers.
#[test]
fn a_boot_with_a_disk_that_does_not_answer_serves_when_it_does() {
    let Some(bench) = Bench::new() else { return };
    let rig = bench.ready();
    let machine = rig.machine();
    rig.unload().unwrap();
    machine.disk().remove(&path(&name(0, 1)));
    machine.disk().set_pace(Pace::UntilCancelled);
    let mut rig = bench.boot().machine(machine.clone()).boot().unwrap();
    let slow = |status: &Status| status.protection == Protection::None(Loss::NoContent);
    rig.status_when("nothing", slow).unwrap();
    // Longer than a boot's tries last.
    for _ in 0..100 {
        rig.advance(Duration::from_secs(6));
        thread::sleep(Duration::from_millis(3));
    }
    // The client took nothing meanwhile, and was dropped for that.
    rig.listen(Interest::Status).unwrap();
    assert_eq!(rig.status().unwrap().stage, Stage::None);
    machine.disk().set_pace(Pace::AtOnce);
    let status = rig.status_when("good content", |status| status.stage == Stage::Good).unwrap();
    assert_eq!((status.sequence, status.protection), (1, Protection::Full));
    rig.unload().unwrap();
}

/// A junction in the folder's place leads to somebody else's files.
#[test]
fn an_inbox_that_is_a_reparse_point_is_not_read() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let machine = rig.machine();
    let (name, file) = bench.file(2);
    machine.disk().write(&path(&name), &file);
    machine.disk().set_attributes(INBOX, 0x410);
    rig.listen(Interest::Status).unwrap();
    let status = after_a_look(&mut rig);
    assert_eq!(status.protection, Protection::Degraded(Loss::NoInbox), "{status:?}");
    assert_eq!(status.sequence, 1);
    machine.disk().set_attributes(INBOX, 0x10);
    assert_eq!(after_a_look(&mut rig).sequence, 2);
    rig.unload().unwrap();
}

/// Unloads while the machine's time passes; how much of it did.
fn unload_meanwhile(rig: Rig) -> (Result<(), Error>, Duration) {
    let kernel = rig.kernel().clone();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let clock = scope.spawn(|| {
            let mut passed = Duration::ZERO;
            while !done.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(2));
                kernel.advance(Duration::from_millis(500));
                passed += Duration::from_millis(500);
            }
            passed
        });
        let ended = rig.unload();
        done.store(true, Ordering::Release);
        (ended, clock.join().unwrap())
    })
}

#[test]
fn a_disk_that_does_not_answer_does_not_hold_the_unload() {
    let Some(bench) = Bench::new() else { return };
    let rig = bench.ready();
    rig.machine().disk().set_pace(Pace::UntilCancelled);
    // The worker waits in its next look.
    rig.advance(Duration::from_secs(6));
    while rig.kernel().requests_outstanding() == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    let (ended, _) = unload_meanwhile(rig);
    ended.unwrap();
}

/// The memory of a request that is never over stays the kernel's: freed, it would be written to
/// after it had become somebody else's. Nothing else is left behind.
#[test]
fn a_request_that_is_never_over_keeps_its_memory_and_nothing_else() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let machine = rig.machine();
    machine.disk().set_pace(Pace::Never);
    rig.listen(Interest::Status).unwrap();
    let status = rig
        .status_when("the disk", |status| status.protection == Protection::Degraded(Loss::Slow))
        .unwrap();
    assert_eq!((status.stage, status.sequence), (Stage::Good, 1));
    assert_eq!(rig.kernel().requests_outstanding(), 1, "nothing is begun behind it");
    rig.advance(Duration::from_secs(60));
    assert_eq!(rig.kernel().requests_outstanding(), 1);
    let (ended, _) = unload_meanwhile(rig);
    let Err(Error::Leak(left)) = ended else { panic!("{ended:?}") };
    let lines: Vec<&str> = left.lines().filter(|line| line.contains("not given back")).collect();
    assert_eq!(lines.len(), 2, "status block and buffer: {left}");
    assert!(
        lines.iter().all(|line| line.contains("pool block") && line.contains("SkrC")),
        "{left}"
    );
}

/// Opening a file is the file system's own wait. Nobody can cut it short, but it is told.
#[test]
fn an_open_that_takes_minutes_is_told() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let machine = rig.machine();
    machine.disk().set_call_time(Duration::from_secs(100));
    rig.advance(Duration::from_secs(6));
    let begun = std::time::Instant::now();
    loop {
        // Nobody tells a status while the worker waits; a client that connects is told one.
        rig.listen(Interest::Status).unwrap();
        if rig.status().unwrap().protection == Protection::Degraded(Loss::Slow) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it is not told");
        rig.advance(Duration::from_secs(10));
    }
    machine.disk().set_call_time(Duration::ZERO);
    let (ended, _) = unload_meanwhile(rig);
    ended.unwrap();
}

#[test]
fn an_orderly_shutdown_on_trial_is_not_held_against_the_content() {
    let Some(bench) = Bench::new() else { return };
    let mut boot = bench.boot();
    for session in 0..4 {
        let mut rig = boot.boot().unwrap();
        let (name, file) = bench.file(1);
        let status = rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
        assert_eq!((status.stage, status.refused), (Stage::Trial, 0), "session {session}");
        boot = bench.boot().machine(rig.machine());
        rig.kernel().shut_down().unwrap();
    }
}

/// A shutdown in the middle of a look that waits for the disk: the disk is given up, and should it
/// answer by then, the mark is taken back.
#[test]
fn a_look_under_way_gives_way_to_a_shutdown() {
    let Some(bench) = Bench::new() else { return };
    let mut boot = bench.boot();
    for session in 0..4 {
        let mut rig = boot.boot().unwrap();
        let (first, file) = bench.file(1);
        let status = rig.drop_files([(first.as_str(), &file)].into_iter()).unwrap();
        assert_eq!((status.stage, status.refused), (Stage::Trial, 0), "session {session}");
        let machine = rig.machine();
        machine.disk().set_pace(Pace::Takes(Duration::from_secs(20)));
        rig.advance(Duration::from_secs(6));
        while rig.kernel().requests_outstanding() == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        machine.disk().set_pace(Pace::AtOnce);
        rig.kernel().shut_down().unwrap();
        boot = bench.boot().machine(machine);
    }
}

/// After its last word the worker begins nothing: a mark would be held against a body.
#[test]
fn nothing_is_tried_while_the_machine_goes_down() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let machine = rig.machine();
    rig.listen(Interest::Status).unwrap();
    // A driver that refuses to let the shutdown end would hang here.
    rig.tell_shutdown().unwrap();
    let changes = machine.disk().changes();
    let (name, file) = bench.file(2);
    machine.disk().write(&path(&name), &file);
    for _ in 0..4 {
        rig.advance(Duration::from_secs(6));
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(machine.disk().changes(), changes);
    assert_eq!(rig.status().unwrap().sequence, 1);
    rig.unload().unwrap();
}

#[test]
fn the_power_going_at_any_write_of_a_shutdown_leaves_good_content() {
    let Some(bench) = Bench::new() else { return };
    for cut in 0.. {
        let mut rig = bench.boot().boot().unwrap();
        let (first, bytes) = bench.file(1);
        rig.drop_files([(first.as_str(), &bytes)].into_iter()).unwrap();
        rig.mature().unwrap();
        let (second, bytes) = bench.file(2);
        rig.drop_files([(second.as_str(), &bytes)].into_iter()).unwrap();
        let machine = rig.machine();
        machine.disk().cut_power_after(cut);
        let survived = rig.kernel().shut_down().is_ok();
        rig.power_off();
        machine.disk().keep_power();
        let mut rig = bench.boot().machine(machine).boot().unwrap();
        let status = rig.status().unwrap();
        assert!(status.sequence >= 1 && status.stage != Stage::None, "cut {cut}: {status:?}");
        rig.unload().unwrap();
        if survived {
            assert!(cut >= 2, "the mark is taken back by a write and a flush: {cut}");
            return;
        }
    }
}
