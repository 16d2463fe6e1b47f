//! Whose files the built driver takes: channel 0, from the inbox to the next boot.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::path::PathBuf;

use channel_compiler::control::{ControlOptions, ControlSource};
use channel_compiler::{BuildOptions, SecretKey, sign};
use channel_format::anchor::Anchor;
use channel_format::name::ChannelName;
use channel_format::refusal::Code;
use channel_format::signature::{PublicKey, Role};
use common::{EXPLORER, RULES, created, name, options, unsigned};
use driver_abi::{Cause, Interest, Loss, Protection, SlotState, Stage, Status, Verdict};
use kernel_host::Machine;
use kernel_host_runner::rig::{Boot, INBOX, Rig, STATE};

/// Root keys in the driver, and content keys that only channel 0 names.
struct House {
    driver: PathBuf,
    roots: [SecretKey; 2],
    keys: [SecretKey; 2],
    anchor: Vec<u8>,
}

type File = (String, Vec<u8>);

impl House {
    fn new() -> Option<Self> {
        let driver = kernel_host::artifacts::path("saker.sys")?;
        let roots = [21, 22]
            .map(|seed| SecretKey::from_seed([seed; 32], Role::Root, false, 0..=0).unwrap());
        let keys = [31, 32].map(|seed| {
            SecretKey::from_seed([seed; 32], Role::Content, true, 1..=u32::MAX).unwrap()
        });
        let public = [roots[0].public, roots[1].public];
        let anchor = Anchor::encode(&public, 2, &[]).unwrap().to_vec();
        Some(Self { driver, roots, keys, anchor })
    }

    fn boot(&self) -> Boot<'_> {
        Boot::new(&self.driver, &self.anchor)
    }

    fn boot_again(&self, machine: Machine) -> Rig {
        Boot::on(&self.driver, &self.anchor, machine).boot().unwrap()
    }

    /// Channel 0 with this text, signed by so many roots. Its keys are `one` and `two`.
    fn control(&self, sequence: u32, text: &str, roots: usize) -> File {
        self.control_that_expires(sequence, 0, text, roots)
    }

    fn control_that_expires(&self, sequence: u32, expires: u64, text: &str, roots: usize) -> File {
        let source = ControlSource::parse(text).unwrap();
        let key = |name| match name {
            "one" => self.keys[0].public,
            "two" => self.keys[1].public,
            other => panic!("{other}"),
        };
        let keys: Vec<PublicKey> = source.key_names().map(key).collect();
        let options = ControlOptions { epoch: 1, sequence, created: 0, expires };
        let mut file = source.build(&keys, &options).unwrap();
        for root in &self.roots[..roots] {
            sign(&mut file, root).unwrap();
        }
        (ChannelName { channel: 0, epoch: 1, sequence }.to_string(), file)
    }

    /// Content by one of the keys.
    fn content(&self, key: usize, epoch: u32, sequence: u32) -> File {
        let options = BuildOptions { epoch, ..options(sequence) };
        self.content_of(key, RULES, &options)
    }

    fn content_of(&self, key: usize, rules: &str, options: &BuildOptions) -> File {
        let mut file = unsigned(rules, options);
        sign(&mut file, &self.keys[key]).unwrap();
        (name(options.epoch, options.sequence), file)
    }

    /// A sensor with channel 0 of sequence 1 and good content of epoch 1 and sequence 1.
    fn ready(&self) -> Rig {
        let mut rig = self.boot().boot().unwrap();
        drop_files(&mut rig, &[self.control(1, BOTH, 2), self.content(0, 1, 1)]);
        let status = rig.mature().unwrap();
        assert_eq!(status.protection, Protection::Full, "{status:?}");
        rig
    }
}

/// Both keys sign; nothing is over.
const BOTH: &str = "keys: [{key: one, epochs: 1-9}, {key: two, epochs: 1-9}]";

fn drop_files(rig: &mut Rig, files: &[File]) -> Status {
    rig.drop_files(files.iter().map(|(name, bytes)| (name.as_str(), bytes))).unwrap()
}

/// Text that adds to what [`BOTH`] says.
fn both_and(more: &str) -> String {
    format!("{BOTH}\n{more}")
}

fn at(status: &Status) -> (Stage, u32, u32) {
    (status.stage, status.epoch, status.sequence)
}

#[test]
fn content_comes_in_only_after_channel_0_has_named_its_key() {
    let Some(house) = House::new() else { return };
    let mut rig = house.boot().boot().unwrap();
    let status = drop_files(&mut rig, &[house.content(0, 1, 1)]);
    assert_eq!(at(&status).0, Stage::None);
    assert_eq!(status.refusal.code, Code::UnknownSigner.number());
    assert!(status.losses.contains(Loss::NoControl), "{status:?}");
    assert!(!status.test_keys);
    // The file that was refused is not forgotten.
    let status = drop_files(&mut rig, &[house.control(1, BOTH, 2)]);
    assert_eq!(at(&status), (Stage::Trial, 1, 1), "{status:?}");
    assert!(!status.losses.contains(Loss::NoControl) && !status.refusal.stands(), "{status:?}");
    assert_eq!((status.trust.control_epoch, status.trust.control_sequence), (1, 1));
    rig.unload().unwrap();
}

#[test]
fn too_few_roots_say_nothing() {
    let Some(house) = House::new() else { return };
    let mut rig = house.ready();
    let status = drop_files(&mut rig, &[house.control(2, BOTH, 1)]);
    let refusal = status.trust.refusal;
    assert_eq!((refusal.code, refusal.sequence), (Code::RootThreshold.number(), 2), "{status:?}");
    assert_eq!((status.trust.control_sequence, at(&status)), (1, (Stage::Good, 1, 1)));
    // An older one, and the same once more: nothing to tell.
    let status = drop_files(&mut rig, &[house.control(1, &both_and("files: []"), 2)]);
    assert_eq!(status.trust.control_sequence, 1);
    rig.unload().unwrap();
}

#[test]
fn what_is_revoked_stops_serving_at_once_and_what_was_good_before_takes_over() {
    let Some(house) = House::new() else { return };
    let mut rig = house.ready();
    drop_files(&mut rig, &[house.content(0, 1, 2)]);
    rig.mature().unwrap();
    let revoked = "revoked: [{channel: 291, epoch: 1, through: 1}]";
    // Sequence 1 alone cannot be named by a range that spares what came before, but a file can.
    let file = channel_format::frame::FileId::of(&house.content(0, 1, 2).1);
    let id: String = file.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let status = drop_files(&mut rig, &[house.control(2, &both_and(&format!("files: [{id}]")), 2)]);
    assert_eq!(at(&status), (Stage::Good, 1, 1), "{status:?}");
    assert_eq!(status.refusal.code, Code::Revoked.number(), "the file is still in the folder");
    assert_eq!(status.refusal.file, file.0[..16], "and is told by its name");
    assert!(status.losses.contains(Loss::FellBack), "{status:?}");
    assert_eq!(status.trust.slots[0].state, SlotState::Refused, "{status:?}");
    rig.listen(Interest::Everything).unwrap();
    assert_eq!(created(&mut rig, r"\evil", EXPLORER), Verdict::Block);

    // And at the next boot, whatever the inbox holds.
    let machine = rig.machine();
    rig.unload().unwrap();
    let mut rig = house.boot_again(machine);
    let status = rig.status().unwrap();
    assert_eq!(at(&status), (Stage::Good, 1, 1), "{status:?}");
    assert_eq!(status.trust.control_sequence, 2);

    // Both are over: then nothing serves, and that is told.
    let all = format!("files: [{id}]\n{revoked}");
    let status = drop_files(&mut rig, &[house.control(3, &both_and(&all), 2)]);
    assert_eq!(at(&status).0, Stage::None, "{status:?}");
    assert_eq!(status.protection, Protection::None(Loss::NoContent));
    // The last good rules under a higher sequence.
    let status = drop_files(&mut rig, &[house.content(0, 1, 3)]);
    assert_eq!(at(&status), (Stage::Trial, 1, 3), "{status:?}");
    rig.unload().unwrap();
}

#[test]
fn a_halt_keeps_new_content_out_and_what_is_in_force_stays() {
    let Some(house) = House::new() else { return };
    let mut rig = house.ready();
    let halt = both_and("channels: [{channel: 291, halted: true}]");
    let status = drop_files(&mut rig, &[house.control(2, &halt, 2), house.content(0, 1, 2)]);
    assert_eq!((at(&status), status.trust.halted), ((Stage::Good, 1, 1), true), "{status:?}");
    assert_eq!(status.refusal.code, Code::Halted.number());
    let machine = rig.machine();
    rig.unload().unwrap();
    let mut rig = house.boot_again(machine);
    assert_eq!(at(&rig.status().unwrap()), (Stage::Good, 1, 1));
    let status = drop_files(&mut rig, &[house.control(3, BOTH, 2)]);
    assert_eq!((at(&status), status.trust.halted), ((Stage::Trial, 1, 2), false), "{status:?}");
    rig.unload().unwrap();
}

/// The thief signs the last sequence there is; the next epoch has other keys, and is newer.
#[test]
fn a_stolen_key_is_undone_by_the_next_epoch() {
    let Some(house) = House::new() else { return };
    let mut rig = house.ready();
    let status = drop_files(&mut rig, &[house.content(0, 1, 99_999_999)]);
    assert_eq!(at(&status), (Stage::Trial, 1, 99_999_999));
    assert!(status.losses.contains(Loss::SequenceJump), "{status:?}");
    assert_eq!(drop_files(&mut rig, &[house.content(1, 1, 2)]).sequence, 99_999_999);
    let rotated = "keys: [{key: one, epochs: 1}, {key: two, epochs: 2-9}]
channels: [{channel: 291, least-epoch: 2}]";
    let files = [house.control(2, rotated, 2), house.content(1, 2, 1), house.content(0, 2, 5)];
    let status = drop_files(&mut rig, &files);
    assert_eq!(at(&status), (Stage::Trial, 2, 1), "{status:?}");
    assert_eq!(status.refusal.code, Code::KeyEpoch.number(), "the thief tries the new epoch");
    rig.unload().unwrap();
}

#[test]
fn floors_keep_old_files_and_fewer_rules_out() {
    let Some(house) = House::new() else { return };
    let mut rig = house.ready();
    let floor = both_and("channels: [{channel: 291, floor: 1-5, rules: 3}]");
    drop_files(&mut rig, &[house.control(2, &floor, 2)]);
    let status = drop_files(&mut rig, &[house.content(0, 1, 4)]);
    assert_eq!(status.refusal.code, Code::BelowFloor.number(), "{status:?}");
    let one_rule = RULES.split("---").next().unwrap();
    let options = BuildOptions { epoch: 1, ..options(5) };
    let status = drop_files(&mut rig, &[house.content_of(0, one_rule, &options)]);
    assert_eq!(status.refusal.code, Code::FewerRules.number(), "{status:?}");
    let shrinks = BuildOptions { sequence: 6, shrink: true, ..options };
    let status = drop_files(&mut rig, &[house.content_of(0, one_rule, &shrinks)]);
    assert_eq!((at(&status), status.rules), ((Stage::Trial, 1, 6), 1), "{status:?}");
    rig.unload().unwrap();
}

/// What was good on this machine is a floor of its own, without a word from the root keys.
#[test]
fn a_good_file_that_is_restored_by_hand_does_not_come_in_again() {
    let Some(house) = House::new() else { return };
    let mut rig = house.ready();
    drop_files(&mut rig, &[house.content(0, 1, 5)]);
    rig.mature().unwrap();
    let machine = rig.machine();
    rig.unload().unwrap();
    for slot in ["good.sys", "previous.sys", "trial.sys"] {
        machine.disk().remove(&format!(r"{STATE}\{slot}"));
    }
    for sequence in [1, 5] {
        machine.disk().remove(&format!(r"{INBOX}\{}", name(1, sequence)));
    }
    let mut rig = house.boot_again(machine);
    let status = drop_files(&mut rig, &[house.content(0, 1, 4)]);
    assert_eq!(at(&status).0, Stage::None, "{status:?}");
    assert_eq!(status.refusal.code, Code::BelowFloor.number());
    assert_eq!((status.trust.floor_epoch, status.trust.floor_sequence), (1, 5));
    // That very file may, and so may a newer one.
    let status = drop_files(&mut rig, &[house.content(0, 1, 5)]);
    assert_eq!(at(&status), (Stage::Trial, 1, 5), "{status:?}");
    rig.unload().unwrap();
}

#[test]
fn channel_0_that_is_lost_or_put_back_is_told_and_mends_from_the_inbox() {
    let Some(house) = House::new() else { return };
    let mut rig = house.ready();
    let first = rig.machine().disk().read(&format!(r"{STATE}\control-a.sys")).unwrap();
    drop_files(&mut rig, &[house.control(2, BOTH, 2)]);
    let machine = rig.machine();
    rig.unload().unwrap();
    let copies = ["control-a.sys", "control-b.sys"].map(|copy| format!(r"{STATE}\{copy}"));
    let inbox = [1, 2].map(|sequence| format!(r"{INBOX}\C-00000000-00000001-{sequence:08}.sys"));
    let kept = machine.disk().read(&inbox[1]).unwrap();
    let take_away = || {
        for path in &inbox {
            machine.disk().remove(path);
        }
    };

    // One copy is enough, and the other is written again.
    take_away();
    machine.disk().write(&copies[0], vec![0; 4096]);
    let mut rig = house.boot_again(machine.clone());
    let status = drop_files(&mut rig, &[]);
    assert_eq!((at(&status), status.protection), ((Stage::Good, 1, 1), Protection::Full));
    assert_eq!(machine.disk().read(&copies[0]), machine.disk().read(&copies[1]));
    rig.unload().unwrap();

    // An older one than was taken here: its keys serve, and it is told.
    copies.iter().for_each(|path| machine.disk().write(path, &first));
    let mut rig = house.boot_again(machine.clone());
    let status = rig.status().unwrap();
    assert_eq!(status.protection, Protection::Degraded(Loss::NoControl), "{status:?}");
    assert_eq!((at(&status), status.trust.control_sequence), ((Stage::Good, 1, 1), 1));
    // What it does not know to be over does not come in.
    let status = drop_files(&mut rig, &[house.content(0, 1, 2)]);
    assert_eq!((status.sequence, status.refusal.cause), (1, Cause::NoControl), "{status:?}");
    assert!(machine.disk().remove(&format!(r"{INBOX}\{}", name(1, 2))));
    rig.unload().unwrap();

    // None at all.
    copies.iter().for_each(|path| assert!(machine.disk().remove(path)));
    let mut rig = house.boot_again(machine.clone());
    let status = rig.status().unwrap();
    assert!(status.losses.contains(Loss::NoControl), "{status:?}");
    assert_eq!(status.protection, Protection::None(Loss::NoContent), "no key is known");
    // An older one from the inbox does not do; the last one does, and good content is good again.
    let status = drop_files(&mut rig, &[house.control(1, BOTH, 2)]);
    assert!(status.losses.contains(Loss::NoControl), "{status:?}");
    machine.disk().write(&inbox[1], kept);
    let status = drop_files(&mut rig, &[]);
    assert!(!status.losses.contains(Loss::NoControl), "{status:?}");
    assert_eq!(at(&status), (Stage::Good, 1, 1), "{status:?}");
    rig.unload().unwrap();
}

#[test]
fn channel_0_that_has_expired_is_told_and_holds() {
    let Some(house) = House::new() else { return };
    let mut rig = house.boot().boot().unwrap();
    rig.machine().set_unix_time(2_000_000_000);
    let control = house.control_that_expires(1, 1_900_000_000, BOTH, 2);
    drop_files(&mut rig, &[control, house.content(0, 1, 1)]);
    let status = rig.mature().unwrap();
    assert_eq!(status.protection, Protection::Degraded(Loss::ControlStale), "{status:?}");
    rig.listen(Interest::Everything).unwrap();
    assert_eq!(created(&mut rig, r"\evil", EXPLORER), Verdict::Block);
    rig.unload().unwrap();
}

/// A key in the anchor goes on working beside channel 0, and the status says so.
#[test]
fn a_key_in_the_anchor_of_a_test_machine_works_without_channel_0() {
    let Some(house) = House::new() else { return };
    let roots = [house.roots[0].public, house.roots[1].public];
    let anchor = Anchor::encode(&roots, 2, &[house.keys[0].public]).unwrap().to_vec();
    let mut rig = Boot::new(&house.driver, &anchor).boot().unwrap();
    let status = drop_files(&mut rig, &[house.content(0, 1, 1)]);
    assert_eq!((at(&status), status.test_keys), ((Stage::Trial, 1, 1), true));
    assert!(status.losses.contains(Loss::NoControl), "{status:?}");
    rig.unload().unwrap();
}

#[test]
fn power_lost_at_any_write_leaves_channel_0_whole() {
    let Some(house) = House::new() else { return };
    for journal_wins in [false, true] {
        for cut in 0.. {
            let rig = house.ready();
            let machine = rig.machine();
            rig.unload().unwrap();
            let mut rig = house.boot_again(machine.clone());
            machine.disk().journal_wins(journal_wins);
            machine.disk().cut_power_after(cut);
            let (name, file) = house.control(2, &both_and("files: []"), 2);
            let dropped = rig.drop_files(std::iter::once((name.as_str(), &file)));
            let survived = dropped.is_ok_and(|status| status.trust.control_sequence == 2);
            rig.power_off();
            machine.disk().keep_power();
            machine.disk().remove(&format!(r"{INBOX}\{name}"));
            let mut rig = house.boot_again(machine);
            let status = rig.status().unwrap();
            let what = format!("cut {cut}: {status:?}");
            assert!([1, 2].contains(&status.trust.control_sequence), "{what}");
            assert_eq!((status.stage, status.sequence), (Stage::Good, 1), "{what}");
            assert!(!status.losses.contains(Loss::NoControl), "{what}");
            rig.unload().unwrap();
            if survived {
                assert!(cut >= 9, "two marks and two copies: {cut}");
                break;
            }
        }
    }
}
