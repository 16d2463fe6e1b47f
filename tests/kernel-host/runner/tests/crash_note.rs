//! What a crash dump says of the built driver.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use common::{Bench, EXPLORER, created};
use driver_abi::crash::{CrashNote, NOTE_GUID, NOTE_LEN};
use driver_abi::{Mode, Protection, Stage, Verdict};
use kernel_host::{DumpBlock, Kernel};

/// As much as Windows may allow.
const ROOM: u32 = 0x1_0000;

fn guid() -> [u8; 16] {
    let (data1, data2, data3, data4) = NOTE_GUID;
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&data1.to_le_bytes());
    bytes[4..6].copy_from_slice(&data2.to_le_bytes());
    bytes[6..8].copy_from_slice(&data3.to_le_bytes());
    bytes[8..].copy_from_slice(&data4);
    bytes
}

fn note(kernel: &Kernel) -> CrashNote {
    let blocks = kernel.bug_check(ROOM).unwrap();
    let [DumpBlock { guid: found, data }] = blocks.as_slice() else {
        panic!("{blocks:?}");
    };
    assert_eq!(*found, guid());
    assert_eq!(data.len(), NOTE_LEN);
    CrashNote::decode(data).unwrap()
}

#[test]
fn a_dump_says_what_was_in_force_and_what_was_judged_last() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    for (pipe, verdict) in [
        (r"\odd", Verdict::Detect),
        (r"\good", Verdict::Allow),
        (r"\evil", Verdict::Block),
        (r"\good", Verdict::Allow),
    ] {
        assert_eq!(created(&mut rig, pipe, EXPLORER), verdict);
    }
    let events = rig.status().unwrap().events;
    let note = note(rig.kernel());
    assert_eq!(note.version.map(|part| part.to_string()).join("."), env!("CARGO_PKG_VERSION"));
    assert_eq!((note.state.protection, note.state.mode), (Protection::Full, Mode::Enforce));
    assert_eq!((note.state.stage, note.state.attached), (Stage::Good, true));
    assert_eq!((note.epoch, note.sequence), (0, 1));
    assert_ne!(note.digest, [0; 8]);
    assert_eq!((note.tried_epoch, note.tried_sequence), (0, 1));
    assert_eq!((note.begun, note.ended), (events, events));
    // The block's rule is the first of the file.
    assert_eq!(note.last_rule, ((events - 1) as u32, 0));
    let last: Vec<_> = note.verdicts.iter().flatten().collect();
    assert_eq!((last[0].event, last[0].verdict, last[0].rule), (events - 1, Verdict::Block, 0));
    assert_eq!((last[1].event, last[1].verdict, last[1].rule), (events - 3, Verdict::Detect, 1));
    assert_eq!((last[0].epoch, last[0].sequence), (0, 1));
    assert!(last[0].time > last[1].time);
}

#[test]
fn more_verdicts_than_it_has_room_for_push_out_the_oldest() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    for _ in 0..40 {
        assert_eq!(created(&mut rig, r"\odd", EXPLORER), Verdict::Detect);
    }
    let events = rig.status().unwrap().events;
    let note = note(rig.kernel());
    let numbers: Vec<_> = note.verdicts.iter().flatten().map(|verdict| verdict.event).collect();
    let expected: Vec<_> = (0..16).map(|back| events - back).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn where_there_is_no_room_it_says_nothing() {
    let Some(bench) = Bench::new() else { return };
    let rig = bench.boot().boot().unwrap();
    assert_eq!(rig.kernel().bug_check(NOTE_LEN as u32 - 1).unwrap(), []);
    let rig = bench.boot().boot().unwrap();
    assert_eq!(rig.kernel().bug_check(NOTE_LEN as u32).unwrap().len(), 1);
}

#[test]
fn after_an_unload_nobody_is_asked() {
    let Some(bench) = Bench::new() else { return };
    let rig = bench.boot().boot().unwrap();
    let kernel = rig.kernel().clone();
    rig.unload().unwrap();
    assert_eq!(kernel.bug_check(ROOM).unwrap(), []);
}
