//! `sakerctl content validate` and the driver say the same of a file: of each test vector, and of what is
//! in a file's way before it is read. And the driver says of itself what its tools read.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::path::{Path, PathBuf};

use channel_compiler::BuildOptions;
use channel_format::anchor::Anchor;
use channel_format::control::{Control, Trust};
use channel_format::frame::{Header, verify};
use channel_format::limits::MAX_ACTIVE;
use channel_format::profile::SensorProfile;
use common::{Bench, RULES, options};
use driver_abi::{Cause, RefusalNote, Stage, Status};
use kernel_host_runner::rig::Boot;
use loader::content::sensor::Written;
use loader::content::validate::{Obstacle, judge};
use loader::device::text::status_json;
use serde_json::{Value, json};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/v0/vectors")
}

/// What the driver with that anchor makes of a file, all by itself in the inbox or behind channel 0.
fn driver(bench: &Bench, anchor: &[u8], control: Option<&Vec<u8>>, file: &Vec<u8>) -> Status {
    let mut rig = Boot::new(&bench.driver, anchor).boot().unwrap();
    if let Some(control) = control {
        let name = Header::parse(control).unwrap().name().to_string();
        let status = rig.drop_files(std::iter::once((name.as_str(), control))).unwrap();
        assert!(status.trust.control, "{status:?}");
    }
    let name = common::name(1, 7);
    let status = rig.drop_files(std::iter::once((name.as_str(), file))).unwrap();
    rig.unload().unwrap();
    status
}

/// What the validator says for today's sensor with that anchor.
fn validator(anchor: &Anchor, control: Option<&[u8]>, file: &[u8]) -> Result<(), Obstacle> {
    let taken = |bytes: &[u8]| Control::parse(verify(bytes, anchor)?.body(bytes.to_vec())?);
    let control = control.map(taken).transpose()?;
    let trust = Trust { anchor, control: control.as_ref() };
    judge(file, &SensorProfile::CURRENT, Some(&trust)).map(drop)
}

#[track_caller]
fn agree(what: &str, said: &Result<(), Obstacle>, status: &Status) {
    let note = &status.refusal;
    match said {
        Ok(()) => {
            assert_eq!((status.stage, note.stands()), (Stage::Trial, false), "{what}: {status:?}");
        }
        Err(Obstacle::Refused(refusal)) => {
            let refused = (refusal.code.number(), refusal.offset, refusal.expected, refusal.found);
            let RefusalNote { code, offset, expected, found, .. } = *note;
            assert_eq!((code, offset, expected, found), refused, "{what}: {refusal}");
            assert_eq!(status.stage, Stage::None, "{what}");
        }
        Err(Obstacle::NotRead(cause)) => {
            assert_eq!((note.code, note.cause), (0, *cause), "{what}: {status:?}");
            assert!(note.stands() && status.stage == Stage::None, "{what}");
        }
    }
}

#[test]
fn the_driver_says_to_each_vector_what_the_validator_says() {
    let Some(bench) = Bench::new() else { return };
    let read = |name: &Value| std::fs::read(vectors().join(name.as_str().unwrap())).unwrap();
    let index: Value = serde_json::from_slice(&read(&json!("index.json"))).unwrap();
    let mut met = 0;
    for vector in index["vectors"].as_array().unwrap() {
        let (file, anchor) = (read(&vector["file"]), read(&vector["anchor"]));
        let control = vector["control"].is_string().then(|| read(&vector["control"]));
        // A file of channel 0 is not content: what is said of it is told apart.
        if vector["file"].as_str().unwrap().starts_with("control") {
            continue;
        }
        let said = Anchor::parse(&anchor)
            .map_err(Obstacle::Refused)
            .and_then(|anchor| validator(&anchor, control.as_deref(), &file));
        let status = driver(&bench, &anchor, control.as_ref(), &file);
        agree(&vector.to_string(), &said, &status);
        let code = match said {
            Err(Obstacle::Refused(refusal)) => json!(refusal.code.number()),
            _ => Value::Null,
        };
        assert_eq!(code, vector["code"], "{vector}");
        met += 1;
    }
    assert!(met > 58, "{met}");
}

#[test]
fn what_is_not_even_read_is_said_alike() {
    let Some(bench) = Bench::new() else { return };
    let anchor = Anchor::parse(&bench.anchor).unwrap();
    let other = bench.file_with(RULES, &BuildOptions { channel: 292, ..options(7) });
    let sound = bench.file_with(RULES, &BuildOptions { epoch: 1, ..options(7) });
    let mut long = sound.clone();
    long.resize(MAX_ACTIVE as usize + 1, 0);
    for (file, cause) in
        [(&sound, None), (&other, Some(Cause::OtherChannel)), (&long, Some(Cause::NoFile))]
    {
        let said = validator(&anchor, None, file);
        assert_eq!(said.err(), cause.map(Obstacle::NotRead));
        agree(&format!("{cause:?}"), &said, &driver(&bench, &bench.anchor, None, file));
    }
}

#[test]
fn the_status_holds_the_profile_of_the_image() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.boot().boot().unwrap();
    let status = rig.status().unwrap();
    rig.unload().unwrap();
    assert_eq!(SensorProfile::parse(&status.profile.0), Ok(SensorProfile::CURRENT));
    assert_eq!(status_json(&status)["profile"], json!(Written::of(&SensorProfile::CURRENT)));
    let image = std::fs::read(&bench.driver).unwrap();
    assert!(image.windows(status.profile.0.len()).any(|bytes| bytes == status.profile.0));
}

/// Channel 0 itself: taken, or refused with the same words.
#[test]
fn the_driver_says_to_channel_0_what_the_validator_says() {
    let Some(bench) = Bench::new() else { return };
    let read = |name: &str| std::fs::read(vectors().join(name)).unwrap();
    let anchor_bytes = read("roots.anchor");
    let anchor = Anchor::parse(&anchor_bytes).unwrap();
    for name in ["control.sys", "control-one-root.sys", "control-record.sys"] {
        let file = read(name);
        let said = validator(&anchor, None, &file);
        let mut rig = Boot::new(&bench.driver, &anchor_bytes).boot().unwrap();
        let as_named = "C-00000000-00000000-00000004.sys";
        let status = rig.drop_files(std::iter::once((as_named, &file))).unwrap();
        rig.unload().unwrap();
        let note = status.trust.refusal;
        match said {
            Ok(()) => assert!(status.trust.control && !note.stands(), "{status:?}"),
            Err(Obstacle::Refused(refusal)) => {
                assert_eq!((note.code, note.offset), (refusal.code.number(), refusal.offset));
                assert_eq!((note.expected, note.found), (refusal.expected, refusal.found));
            }
            Err(Obstacle::NotRead(cause)) => panic!("{name}: {cause:?}"),
        }
    }
}
