//! What the built driver makes of files that are dropped into its inbox.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::time::Duration;

use channel_compiler::incident::{field_not_supplied, wild_table_index};
use channel_compiler::{BuildOptions, SecretKey, sign};
use channel_format::refusal::Code;
use channel_format::schema::Field;
use channel_format::signature::Role;
use common::{Bench, EXPLORER, RULES, created, name, options, unsigned};
use driver_abi::{Cause, Interest, Loss, Protection, RefusalNote, Stage, Verdict};
use kernel_host_runner::rig::{Boot, Rig};

fn drop_file(rig: &mut Rig, (name, bytes): &(String, Vec<u8>)) -> driver_abi::Status {
    rig.drop_files([(name.as_str(), bytes)].into_iter()).unwrap()
}

/// Good content with sequence 5 in force, and a bad file with a higher one that must not change it.
fn refused(bench: &Bench, file: &(String, Vec<u8>)) -> driver_abi::Status {
    let mut rig = bench.boot().boot().unwrap();
    drop_file(&mut rig, &bench.file(5));
    let status = drop_file(&mut rig, file);
    assert_eq!((status.sequence, status.accepted, status.refused), (5, 1, 1), "{status:?}");
    assert_eq!(status.protection, Protection::Degraded(Loss::Refused));
    rig.listen(Interest::Everything).unwrap();
    assert_eq!(created(&mut rig, r"\evil", EXPLORER), Verdict::Detect, "the old content serves");
    rig.unload().unwrap();
    status
}

#[test]
fn a_signed_file_comes_into_force_on_trial_and_becomes_good() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.boot().boot().unwrap();
    let before = rig.status().unwrap();
    assert_eq!(before.protection, Protection::None(Loss::NoContent));
    let trial = drop_file(&mut rig, &bench.file(1));
    assert_eq!((trial.stage, trial.sequence, trial.rules), (Stage::Trial, 1, 3));
    assert_eq!(trial.protection, Protection::Degraded(Loss::OnTrial));
    assert!(trial.test_keys && trial.may_block);
    let good = rig.mature().unwrap();
    assert_eq!((good.stage, good.protection), (Stage::Good, Protection::Full));
    rig.unload().unwrap();
}

#[test]
fn a_newer_file_replaces_the_old_and_an_older_one_does_not() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.boot().boot().unwrap();
    assert_eq!(drop_file(&mut rig, &bench.file(5)).sequence, 5);
    assert_eq!(drop_file(&mut rig, &bench.file(7)).sequence, 7);
    assert_eq!(drop_file(&mut rig, &bench.file(6)).sequence, 7);
    // The epoch outranks the sequence.
    let status = drop_file(&mut rig, &bench.file_of(RULES, 1, 1));
    assert_eq!((status.epoch, status.sequence, status.refused), (1, 1, 0));
    rig.unload().unwrap();
}

#[test]
fn a_wild_table_index_is_refused_with_its_place() {
    let Some(bench) = Bench::new() else { return };
    let (name, good) = bench.file(6);
    let wild = wild_table_index(&good, &bench.key).unwrap();
    let status = refused(&bench, &(name, wild));
    assert_eq!(status.refusal.code, Code::IndexOutOfRange.number());
    assert!(status.refusal.offset > 1024, "{status:?}");
}

#[test]
fn content_for_a_field_the_sensor_lacks_is_refused_by_the_fields_name() {
    let Some(bench) = Bench::new() else { return };
    let file = field_not_supplied(&options(6), &bench.key).unwrap();
    let status = refused(&bench, &(name(0, 6), file));
    assert_eq!(status.refusal.code, Code::FieldNotSupplied.number());
    assert_eq!(Field::from_number(status.refusal.found), Some(Field::ParentImage));
}

#[test]
fn a_file_of_another_key_is_refused() {
    let Some(bench) = Bench::new() else { return };
    let stranger = SecretKey::from_seed([8; 32], Role::Content, true, 1..=u32::MAX).unwrap();
    let mut file = unsigned(RULES, &options(6));
    sign(&mut file, &stranger).unwrap();
    refused(&bench, &(name(0, 6), file));
}

#[test]
fn a_file_of_another_channel_under_this_channels_name_is_told() {
    let Some(bench) = Bench::new() else { return };
    let file = bench.file_with(RULES, &BuildOptions { channel: 292, ..options(6) });
    assert_eq!(refused(&bench, &(name(0, 6), file)).refusal.host_status, 0xC000_0024);
}

#[test]
fn an_unsigned_file_is_refused() {
    let Some(bench) = Bench::new() else { return };
    let file = unsigned(RULES, &options(6));
    refused(&bench, &(name(0, 6), file));
}

#[test]
fn zeros_cuts_and_changes_are_refused() {
    let Some(bench) = Bench::new() else { return };
    let (file_name, good) = bench.file(6);
    let mut changed = good.clone();
    changed[1_200] ^= 1;
    let cuts = [0, 1, 511, 1_023, 1_024, 1_200, good.len() - 1].map(|cut| good[..cut].to_vec());
    for bytes in cuts.into_iter().chain([vec![0; good.len()], changed]) {
        refused(&bench, &(file_name.clone(), bytes));
    }
}

#[test]
fn a_refused_file_does_not_hide_a_sound_one() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.boot().boot().unwrap();
    let zeros = (name(0, 9), vec![0; 4_096]);
    let good = bench.file(8);
    let files = [&zeros, &good].map(|(name, bytes)| (name.as_str(), bytes));
    let status = rig.drop_files(files.into_iter()).unwrap();
    assert_eq!((status.stage, status.sequence), (Stage::Trial, 8));
    rig.unload().unwrap();
}

#[test]
fn without_an_anchor_nothing_loads() {
    let Some(mut bench) = Bench::new() else {
        return;
    };
    bench.anchor.fill(0);
    let mut rig = bench.boot().boot().unwrap();
    let status = drop_file(&mut rig, &bench.file(1));
    assert_eq!((status.stage, status.protection), (Stage::None, Protection::None(Loss::NoAnchor)));
    rig.unload().unwrap();
}

#[test]
fn content_of_a_key_that_may_not_block_never_blocks() {
    let key = SecretKey::from_seed([9; 32], Role::Content, false, 1..=u32::MAX).unwrap();
    let Some(bench) = Bench::with_key(&key) else {
        return;
    };
    let mut rig = bench.boot().boot().unwrap();
    let mut file = unsigned(RULES, &options(1));
    match sign(&mut file, &key) {
        // The tool refuses to sign a block with such a key; then there is nothing to drop.
        Err(_) => assert!(file[512] == 0, "a refused signature leaves the file as it was"),
        Ok(()) => {
            drop_file(&mut rig, &(name(0, 1), file));
            rig.mature().unwrap();
            rig.listen(Interest::Everything).unwrap();
            assert_eq!(created(&mut rig, r"\evil", EXPLORER), Verdict::Detect);
        }
    }
    rig.unload().unwrap();
}

#[test]
fn a_boot_serves_what_was_good_and_only_that() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.boot().boot().unwrap();
    drop_file(&mut rig, &bench.file(1));
    rig.mature().unwrap();
    drop_file(&mut rig, &bench.file(2));
    let machine = rig.machine();
    rig.unload().unwrap();

    // With the inbox gone, only slots can serve; sequence 2 was never good.
    for sequence in [1, 2] {
        let inbox = r"\SystemRoot\System32\drivers\CrowdStrike";
        assert!(machine.disk().remove(&format!(r"{inbox}\{}", name(0, sequence))));
    }
    let mut rig = bench.boot().machine(machine).boot().unwrap();
    let status = rig.status().unwrap();
    assert_eq!((status.stage, status.sequence), (Stage::Good, 1), "{status:?}");
    rig.listen(Interest::Everything).unwrap();
    assert_eq!(created(&mut rig, r"\evil", EXPLORER), Verdict::Block, "good from the first event");
    rig.unload().unwrap();
}

#[test]
fn a_boot_makes_no_first_use_of_content_and_writes_nothing() {
    let Some(bench) = Bench::new() else { return };
    let machine = {
        let rig = bench.boot().boot().unwrap();
        let machine = rig.machine();
        rig.unload().unwrap();
        machine
    };
    let (name, file) = bench.file(1);
    machine.disk().write(&format!(r"\SystemRoot\System32\drivers\CrowdStrike\{name}"), &file);
    let changes = machine.disk().changes();
    let boot = bench.boot().machine(machine.clone());
    let early = Boot { uptime: Duration::from_secs(20), ..boot };
    let mut rig = early.boot().unwrap();
    let status = rig.status().unwrap();
    assert_eq!((status.stage, status.scans), (Stage::None, 0), "{status:?}");
    assert_eq!(machine.disk().changes(), changes);
    rig.advance(Duration::from_secs(60));
    assert_eq!(drop_file(&mut rig, &bench.file(1)).stage, Stage::Trial);
    rig.unload().unwrap();
}

#[test]
fn content_that_takes_the_machine_down_twice_is_not_tried_a_third_time() {
    let Some(bench) = Bench::new() else { return };
    let (name, file) = bench.file(1);
    let mut boot = bench.boot();
    for session in 1..=2 {
        let mut rig = boot.boot().unwrap();
        let mut status = rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
        if session == 2 {
            // Not before an hour in which nothing happened.
            assert_eq!((status.stage, status.refusal.cause), (Stage::None, Cause::Waits));
            assert_eq!(status.refusal.host_status, RefusalNote::WAITS);
            rig.advance(Duration::from_secs(60 * 60));
            status = rig.status_when("another try", |status| status.stage != Stage::None).unwrap();
        }
        assert_eq!((status.stage, status.sequence), (Stage::Trial, 1), "tried");
        // The machine goes down while the content is on trial.
        boot = bench.boot().machine(rig.machine());
        rig.power_off();
    }
    let mut rig = boot.boot().unwrap();
    let status = rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
    assert_eq!(status.stage, Stage::None, "{status:?}");
    assert_eq!(status.refusal.host_status, RefusalNote::STRUCK);
    // Another body is tried all the same.
    let status = drop_file(&mut rig, &bench.file_of(&RULES.replace("evil", "bad"), 0, 2));
    assert_eq!((status.stage, status.sequence), (Stage::Trial, 2), "{status:?}");
    rig.unload().unwrap();
}

#[test]
fn a_clean_unload_on_trial_is_not_held_against_the_content() {
    let Some(bench) = Bench::new() else { return };
    let mut boot = bench.boot();
    for _ in 0..4 {
        let mut rig = boot.boot().unwrap();
        assert_eq!(drop_file(&mut rig, &bench.file(1)).stage, Stage::Trial);
        boot = bench.boot().machine(rig.machine());
        rig.unload().unwrap();
    }
}

#[test]
fn a_damaged_good_slot_falls_back_and_says_so() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.boot().boot().unwrap();
    for sequence in [1, 2] {
        drop_file(&mut rig, &bench.file(sequence));
        rig.mature().unwrap();
    }
    let machine = rig.machine();
    rig.unload().unwrap();
    let inbox = r"\SystemRoot\System32\drivers\CrowdStrike";
    for sequence in [1, 2] {
        assert!(machine.disk().remove(&format!(r"{inbox}\{}", name(0, sequence))));
    }
    machine.disk().write(r"\SystemRoot\System32\drivers\Saker\good.sys", [0; 4_096]);
    let mut rig = bench.boot().machine(machine).boot().unwrap();
    let status = rig.status().unwrap();
    assert_eq!((status.stage, status.sequence), (Stage::Good, 1), "{status:?}");
    assert_eq!(status.protection, Protection::Degraded(Loss::FellBack));
    rig.unload().unwrap();
}

#[test]
fn expired_content_stays_in_force_and_is_called_stale() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.boot().boot().unwrap();
    rig.machine().set_unix_time(2_000_000_000);
    let file = bench.file_with(RULES, &BuildOptions { expires: 1_900_000_000, ..options(1) });
    drop_file(&mut rig, &(name(0, 1), file));
    rig.mature().unwrap();
    let status = rig.status().unwrap();
    assert_eq!(status.protection, Protection::Degraded(Loss::Stale), "{status:?}");
    rig.listen(Interest::Everything).unwrap();
    assert_eq!(created(&mut rig, r"\evil", EXPLORER), Verdict::Block);
    rig.unload().unwrap();
}

#[test]
fn power_lost_at_any_write_leaves_good_content() {
    lose_power_at_every_write(false);
}

/// As above, but names, renames and lengths reach the disk before the data do.
#[test]
fn power_lost_at_any_write_leaves_good_content_though_the_journal_wins() {
    lose_power_at_every_write(true);
}

/// From the second file's arrival to its being good.
fn lose_power_at_every_write(journal_wins: bool) {
    let Some(bench) = Bench::new() else { return };
    for cut in 0.. {
        let mut rig = bench.boot().boot().unwrap();
        drop_file(&mut rig, &bench.file(1));
        rig.mature().unwrap();
        let machine = rig.machine();
        machine.disk().journal_wins(journal_wins);
        machine.disk().cut_power_after(cut);
        let (name, file) = bench.file(2);
        let tried = rig.drop_files(std::iter::once((name.as_str(), &file)));
        let survived = tried.is_ok() && rig.mature().is_ok();
        rig.power_off();
        machine.disk().keep_power();

        let mut rig = bench.boot().machine(machine).boot().unwrap();
        let status = rig.status().unwrap();
        let at = format!("cut {cut}: {status:?}");
        assert!(status.sequence >= 1 && status.stage != Stage::None, "{at}");
        rig.unload().unwrap();
        if survived {
            assert!(cut >= 5, "mark, slot, mark and two renames: {cut}");
            return;
        }
    }
}
