//! Going back: older rules under a higher sequence, as `sakerctl content revert` issues them.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use channel_compiler::{reissue, sign};
use common::{Bench, EXPLORER, RULES, created, name, options};
use driver_abi::{Interest, Stage, Verdict};
use kernel_host_runner::rig::Rig;

fn drop_file(rig: &mut Rig, sequence: u32, file: &Vec<u8>) -> (Stage, u32) {
    let name = name(0, sequence);
    let status = rig.drop_files(std::iter::once((name.as_str(), file))).unwrap();
    (status.stage, status.sequence)
}

#[test]
fn the_old_rules_come_again_and_become_good() {
    let Some(bench) = Bench::new() else { return };
    let old = bench.file_with(RULES, &options(1));
    let new = bench.file_with(&RULES.replace(r"\evil", r"\vile"), &options(2));
    let mut rig = bench.boot().boot().unwrap();
    for (sequence, file) in [(1, &old), (2, &new)] {
        assert_eq!(drop_file(&mut rig, sequence, file), (Stage::Trial, sequence));
        rig.mature().unwrap();
    }
    // As it is, the old file is no way back.
    let again = name(0, 1);
    rig.drop_files(std::iter::once((again.as_str(), &old))).unwrap();
    assert_eq!(rig.status().unwrap().sequence, 2);

    let mut again = reissue(&old, &options(3)).unwrap();
    sign(&mut again, &bench.key).unwrap();
    assert_eq!(drop_file(&mut rig, 3, &again), (Stage::Trial, 3));
    assert_eq!(rig.mature().unwrap().stage, Stage::Good);
    rig.listen(Interest::Everything).unwrap();
    assert_eq!(created(&mut rig, r"\evil", EXPLORER), Verdict::Block);
    assert_eq!(created(&mut rig, r"\vile", EXPLORER), Verdict::Allow);
    rig.unload().unwrap();
}
