//! The disk by itself: sharing, renames, deletion, and what a power cut leaves.

use super::files::{DELETE, FILE_READ_DATA, FILE_WRITE_DATA};
use super::{DiskError, Machine, OpenRequest, Phase};
use crate::status::NtStatus;

const FOLDER: &str = r"\SystemRoot\System32\drivers\X";
const WRITE_THROUGH: u32 = 2;

fn machine() -> Machine {
    let machine = Machine::new();
    machine.disk().create_directory(FOLDER);
    machine
}

fn path(machine: &Machine, name: &str) -> String {
    machine.disk().resolve(&format!(r"{FOLDER}\{name}"), Phase::Running).unwrap()
}

fn open(
    machine: &Machine,
    name: &str,
    access: u32,
    share: u32,
    disposition: u32,
    options: u32,
) -> Result<(u64, u64), DiskError> {
    let request = OpenRequest { access, share, disposition, options, attributes: 0 };
    machine.disk().files().open(&path(machine, name), request)
}

fn create(machine: &Machine, name: &str, options: u32, data: &[u8]) -> u64 {
    let access = FILE_READ_DATA | FILE_WRITE_DATA | DELETE;
    let (file, _) = open(machine, name, access, 0, 2, options).unwrap();
    machine.disk().files().write(file, 0, data).unwrap();
    file
}

#[test]
fn dispositions() {
    let machine = machine();
    let status = |disposition| match open(&machine, "a", FILE_WRITE_DATA, 7, disposition, 0) {
        Ok((file, information)) => {
            machine.disk().files().close(file);
            Ok(information)
        }
        Err(DiskError::Status(status)) => Err(status),
        Err(DiskError::PowerCut) => panic!("the power is on"),
    };
    assert_eq!(status(1), Err(NtStatus::OBJECT_NAME_NOT_FOUND));
    assert_eq!(status(3), Ok(2));
    assert_eq!(status(3), Ok(1));
    assert_eq!(status(2), Err(NtStatus::OBJECT_NAME_COLLISION));
    assert_eq!(status(5), Ok(3));
    assert_eq!(status(0), Ok(0));
    assert_eq!(status(9), Err(NtStatus::INVALID_PARAMETER));
    let deep = open(&machine, r"no\b", FILE_WRITE_DATA, 7, 3, 0).unwrap_err();
    assert_eq!(deep, NtStatus::OBJECT_PATH_NOT_FOUND.into());
    let bad = open(&machine, "a|b", FILE_WRITE_DATA, 7, 3, 0).unwrap_err();
    assert_eq!(bad, NtStatus::OBJECT_NAME_INVALID.into());
}

#[test]
fn sharing() {
    let machine = machine();
    machine.disk().write(&format!(r"{FOLDER}\a"), b"data");
    let reader = |share| open(&machine, "a", FILE_READ_DATA, share, 1, 0);
    let (first, _) = reader(1).unwrap();
    assert!(reader(1).is_ok());
    let writer = open(&machine, "a", FILE_WRITE_DATA, 7, 1, 0).unwrap_err();
    assert_eq!(writer, NtStatus::SHARING_VIOLATION.into());
    machine.disk().files().close(first);
    let held = machine.disk().hold(&format!(r"{FOLDER}\b"), 0);
    machine.disk().write(&format!(r"{FOLDER}\b"), b"busy");
    assert!(open(&machine, "b", FILE_READ_DATA, 7, 1, 0).is_err());
    drop(held);
    assert!(open(&machine, "b", FILE_READ_DATA, 7, 1, 0).is_ok());
}

#[test]
fn rename_replaces_only_when_asked_and_only_what_is_closed() {
    let machine = machine();
    machine.disk().write(&format!(r"{FOLDER}\old"), b"old");
    let file = create(&machine, "new", 0, b"new");
    let to = path(&machine, "old");
    let rename = |replace| machine.disk().files().rename(file, &to, replace);
    assert_eq!(rename(false), Err(NtStatus::OBJECT_NAME_COLLISION.into()));
    let (busy, _) = open(&machine, "old", FILE_READ_DATA, 7, 1, 0).unwrap();
    assert_eq!(rename(true), Err(NtStatus::ACCESS_DENIED.into()));
    machine.disk().files().close(busy);
    assert_eq!(rename(true), Ok(()));
    assert_eq!(machine.disk().list(FOLDER), ["old"]);
    assert_eq!(machine.disk().read(&format!(r"{FOLDER}\OLD")).unwrap(), b"new");
    assert_eq!(machine.disk().files().read(file, 1, 9).unwrap(), b"ew", "the open follows");
}

#[test]
fn a_deleted_file_goes_with_its_last_open() {
    let machine = machine();
    let file = create(&machine, "a", 0, b"x");
    machine.disk().files().set_delete(file, true).unwrap();
    let again = open(&machine, "a", FILE_READ_DATA, 7, 1, 0).unwrap_err();
    assert_eq!(again, NtStatus::DELETE_PENDING.into());
    machine.disk().files().close(file);
    assert!(!machine.disk().exists(&format!(r"{FOLDER}\a")));
}

#[test]
fn a_power_cut_leaves_what_was_flushed() {
    let machine = machine();
    create(&machine, "lost", 0, b"lost");
    machine.disk().lose_unflushed();
    assert_eq!(machine.disk().list(FOLDER), [""; 0]);

    let flushed = create(&machine, "flushed", 0, b"flushed");
    create(&machine, "torn", 0, b"torn");
    machine.disk().files().flush(flushed).unwrap();
    let through = create(&machine, "through", WRITE_THROUGH, b"through");
    machine.disk().files().rename(through, &path(&machine, "renamed"), false).unwrap();
    create(&machine, "late", 0, b"late");
    machine.disk().lose_unflushed();
    let contents = |name: &str| machine.disk().read(&format!(r"{FOLDER}\{name}"));
    assert_eq!(machine.disk().list(FOLDER), ["flushed", "renamed", "torn"]);
    assert_eq!(contents("flushed").unwrap(), b"flushed");
    assert_eq!(contents("renamed").unwrap(), b"through");
    assert_eq!(contents("torn").unwrap(), [0; 4], "its name is there, its data are not");
}

#[test]
fn the_power_goes_before_the_change_that_is_one_too_many() {
    let machine = machine();
    machine.disk().cut_power_after(2);
    let file = create(&machine, "a", WRITE_THROUGH, b"1");
    let second = machine.disk().files().write(file, 0, b"2");
    assert_eq!(second, Err(DiskError::PowerCut));
    machine.disk().lose_unflushed();
    assert_eq!(machine.disk().read(&format!(r"{FOLDER}\a")).unwrap(), b"1");
}

#[test]
fn volumes_and_their_letters() {
    let machine = machine();
    machine.set_volume(r"\Device\HarddiskVolume9", Some('e'));
    machine.disk().write(r"\??\E:\x\y", b"1");
    assert_eq!(machine.disk().read(r"\Device\HarddiskVolume9\X\Y").unwrap(), b"1");
    machine.set_volume(r"\Device\HarddiskVolume9", None);
    assert_eq!(machine.disk().link_target(r"\??\E:", Phase::Running), None);
}

#[test]
fn inconsistent_requests() {
    let plain =
        OpenRequest { access: 0x10_0001, share: 7, disposition: 1, options: 0, attributes: 0 };
    let with = |options| OpenRequest { options, ..plain };
    for good in [plain, with(0x20), with(0x21), with(0x60)] {
        assert!(good.is_consistent(), "{good:?}");
    }
    for bad in [
        OpenRequest { access: 1, ..with(0x20) },
        with(0x30),
        with(0x41),
        OpenRequest { disposition: 5, ..with(1) },
        with(0x1000),
    ] {
        assert!(!bad.is_consistent(), "{bad:?}");
    }
}

#[test]
fn rights_are_those_of_the_open() {
    let machine = machine();
    machine.disk().write(&format!(r"{FOLDER}\a"), b"data");
    let (file, _) = open(&machine, "a", FILE_READ_DATA | DELETE, 7, 1, 0).unwrap();
    let denied = Err(NtStatus::ACCESS_DENIED.into());
    assert_eq!(machine.disk().files().flush(file), denied);
    let bad = path(&machine, "a:b?");
    let invalid = Err(NtStatus::OBJECT_NAME_INVALID.into());
    assert_eq!(machine.disk().files().rename(file, &bad, true), invalid);
    machine.disk().write(&format!(r"{FOLDER}\b"), b"kept");
    machine.disk().set_attributes(&format!(r"{FOLDER}\b"), 1);
    assert_eq!(machine.disk().files().rename(file, &path(&machine, "b"), true), denied);
    let request =
        OpenRequest { access: DELETE, share: 7, disposition: 1, options: 0, attributes: 0 };
    let folder = machine.disk().resolve(FOLDER, Phase::Running).unwrap();
    let (folder, _) = machine.disk().files().open(&folder, request).unwrap();
    assert_eq!(machine.disk().files().list(folder).unwrap_err(), NtStatus::ACCESS_DENIED.into());
}

#[test]
fn a_rename_that_is_written_through_takes_no_data_along() {
    let machine = machine();
    let file = create(&machine, "a", 0, b"data");
    machine.disk().files().close(file);
    let (file, _) = open(&machine, "a", DELETE, 7, 1, WRITE_THROUGH).unwrap();
    machine.disk().files().rename(file, &path(&machine, "b"), false).unwrap();
    machine.disk().lose_unflushed();
    assert_eq!(machine.disk().read(&format!(r"{FOLDER}\b")).unwrap(), [0; 4]);
}

#[test]
fn the_journal_may_win_over_the_data() {
    let machine = machine();
    machine.disk().journal_wins(true);
    machine.disk().write(&format!(r"{FOLDER}\good"), b"good");
    machine.disk().write(&format!(r"{FOLDER}\state"), b"state");
    let file = create(&machine, "new", 0, b"new");
    machine.disk().files().rename(file, &path(&machine, "good"), true).unwrap();
    let (state, _) = open(&machine, "state", FILE_WRITE_DATA, 0, 5, 0).unwrap();
    machine.disk().files().write(state, 0, b"later").unwrap();
    machine.disk().lose_unflushed();
    assert_eq!(machine.disk().list(FOLDER), ["good", "state"]);
    assert_eq!(machine.disk().read(&format!(r"{FOLDER}\good")).unwrap(), [0; 3]);
    assert_eq!(machine.disk().read(&format!(r"{FOLDER}\state")).unwrap(), [0; 5]);
}
