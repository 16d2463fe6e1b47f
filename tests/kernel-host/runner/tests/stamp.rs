//! A driver that `sakerctl machine stamp` stamped, run as it stands in its file.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::path::PathBuf;

use common::{Bench, EXPLORER, created};
use driver_abi::{Interest, Loss, Protection, Stage, Verdict};
use kernel_host_runner::rig::Boot;
use loader::content::keygen::write_pair;
use loader::machine::stamp;

#[test]
fn accepts_a_file_of_the_key_it_was_stamped_with() {
    let Some(bench) = Bench::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let driver = stamped(&bench, folder.path().join("saker.sys"));

    let mut rig = Boot::new(&driver, &[]).boot().unwrap();
    let (name, file) = bench.file(1);
    let status = rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
    assert_eq!((status.channel, status.epoch, status.sequence), (291, 0, 1));
    assert_eq!((status.stage, status.accepted, status.refused), (Stage::Trial, 1, 0));
    assert!(status.test_keys && status.may_block);

    rig.listen(Interest::Everything).unwrap();
    assert_eq!(created(&mut rig, r"\odd", EXPLORER), Verdict::Detect);
    assert_eq!(created(&mut rig, r"\good", EXPLORER), Verdict::Allow);
    rig.unload().unwrap();
}

#[test]
fn trusts_nobody_as_it_was_linked() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = Boot::new(&bench.driver, &[]).boot().unwrap();
    let (name, file) = bench.file(1);
    let status = rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
    assert_eq!(status.protection, Protection::None(Loss::NoAnchor));
    assert_eq!((status.channel, status.accepted), (0, 0));
    assert!(!status.test_keys);
    rig.unload().unwrap();
}

/// The built driver stamped with the bench's key.
fn stamped(bench: &Bench, out: PathBuf) -> PathBuf {
    let folder = out.parent().unwrap();
    let (_, public) = write_pair(folder, &bench.key).unwrap();
    let args = stamp::Args {
        driver: bench.driver.clone(),
        keys: vec![public],
        out: out.clone(),
        replace: false,
    };
    let mut said = Vec::new();
    stamp::run(&args, &mut said).unwrap();
    assert_eq!(String::from_utf8(said).unwrap().trim_end(), out.display().to_string());
    out
}
