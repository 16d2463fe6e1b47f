//! What content can do to a machine: `saker.sys` and a driver in the shape of July 2024.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use kernel_host_runner::incidents::{Played, replay};

fn played(name: &str) -> Option<Played> {
    let driver = kernel_host::artifacts::path("saker.sys")?;
    let beside = kernel_host::artifacts::path("sensor2024.sys")?;
    let mut played = replay(&driver, &beside, |scenario| scenario.contains(name)).unwrap();
    assert_eq!(played.len(), 1, "{name}");
    played.pop()
}

/// What brings the other driver down for good costs this one nothing, and it says what it refused.
fn refused(name: &str, blamed: &str) {
    let Some(Played { ours, theirs, .. }) = played(name) else { return };
    assert!(theirs.hands && theirs.lost == 15, "{theirs:?}");
    assert!(theirs.blamed.is_some_and(|function| function.contains(blamed)));
    assert_eq!((ours.lost, ours.hands, ours.failed), (0, false, 0));
    assert_eq!(ours.after, "blocks; sequence 1, good; DEGRADED (refused)");
}

#[test]
fn the_21st_of_20_inputs() {
    refused("21 inputs", "Content::holds");
}

#[test]
fn a_wild_table_entry() {
    refused("table entry", "content::same");
}

/// What disarms the other driver without a word leaves this one as it was, and it says so.
#[test]
fn files_that_are_none() {
    for name in ["zeros", "cut short", "while the file was written", "no file at all"] {
        let Some(Played { ours, theirs, .. }) = played(name) else { return };
        assert_eq!((theirs.lost, theirs.after.as_str()), (0, "does not block; says nothing"));
        assert_eq!((ours.lost, ours.failed), (0, 0));
        assert_eq!(ours.after, "blocks; sequence 1, good; DEGRADED (refused)");
    }
}

/// No check can find a fault of the driver itself that content brings out. It costs two boots.
#[test]
fn content_that_crashes_the_evaluation() {
    let Some(Played { ours, theirs, .. }) = played("crashes the evaluation") else { return };
    assert!(theirs.hands && theirs.lost == 15, "{theirs:?}");
    assert!(ours.is_well() && ours.lost == 2, "{ours:?}");
    assert_eq!(ours.after, "blocks; sequence 1, good; DEGRADED (refused)");
}

/// Content that has been good is found out later. What was good before it takes over, and nothing
/// needs a hand.
#[test]
fn good_content_that_crashes_later() {
    for name in ["a day later", "only in early boot"] {
        let Some(Played { ours, theirs, .. }) = played(name) else { return };
        assert!(theirs.hands && theirs.lost == 15, "{name}: {theirs:?}");
        assert!(ours.is_well() && ours.lost == 2, "{name}: {ours:?}");
        assert_eq!(ours.after, "blocks; sequence 1, good; DEGRADED (refused)", "{name}: {ours:?}");
    }
}

#[test]
fn power_cuts_at_each_write() {
    let Some(Played { ours, .. }) = played("power goes") else { return };
    assert_eq!((ours.lost, ours.hands, ours.failed), (0, false, 0));
    // The last cut comes after it was good: that session's end costs it a step, and it is tried again.
    assert!(ours.after.contains("sequence 2, on trial; DEGRADED"), "{ours:?}");
}

/// What somebody puts into the folder is not what is in force.
#[test]
fn files_that_are_over() {
    let Some(Played { ours, theirs, .. }) = played("revoked file") else { return };
    assert_eq!(ours.after, "blocks; sequence 1, good; DEGRADED (refused)", "{ours:?}");
    assert_eq!(theirs.after, "blocks; says nothing", "it goes on with what is over");
    let Some(Played { ours, .. }) = played("old good file") else { return };
    assert_eq!(ours.after, "blocks; sequence 2, good; FULL", "{ours:?}");
    let Some(Played { ours, .. }) = played("stolen key") else { return };
    assert!(ours.is_well(), "{ours:?}");
    assert_eq!(ours.after, "does not block; sequence 1, on trial; DEGRADED (on_trial)", "{ours:?}");
}

#[test]
fn a_flood_of_files() {
    let Some(Played { ours, .. }) = played("flood") else { return };
    assert_eq!((ours.lost, ours.hands, ours.failed), (0, false, 0));
    assert!(ours.after.starts_with("blocks; sequence 1, good; DEGRADED"), "{ours:?}");
}

/// Signed content that would stop every program stops none: not on trial, and it does not get further.
#[test]
fn content_that_blocks_every_pipe() {
    let Some(Played { ours, theirs, .. }) = played("blocks every pipe") else { return };
    assert!(theirs.failed > 100, "{theirs:?}");
    assert_eq!((ours.lost, ours.hands, ours.failed), (0, false, 0));
    assert!(ours.after.contains("DEGRADED (fuse_tripped)"), "{ours:?}");
}
