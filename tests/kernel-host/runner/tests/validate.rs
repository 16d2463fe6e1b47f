//! `sakerctl content validate` and the driver say the same of a file: of each test vector, and of what is
//! in a file's way before it is read. And the driver says of itself what its tools read.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::path::{Path, PathBuf};

use channel_compiler::BuildOptions;
use channel_format::anchor::Anchor;
use channel_format::control::Trust;
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

/// What the driver with that anchor makes of a file, all by itself in the inbox.
fn driver(bench: &Bench, anchor: &[u8], file: &Vec<u8>) -> Status {
    let mut rig = Boot::new(&bench.driver, anchor).boot().unwrap();
    let name = common::name(1, 7);
    let status = rig.drop_files(std::iter::once((name.as_str(), file))).unwrap();
    rig.unload().unwrap();
    status
}

/// What the validator says for today's sensor with that anchor.
fn validator(anchor: &Anchor, file: &[u8]) -> Result<(), Obstacle> {
    let trust = Trust::<Vec<u8>> { anchor, control: None };
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
        // The driver takes its rules from one channel; channel 0 is its own matter.
        let of_channel_0 = vector["file"].as_str().unwrap().starts_with("control");
        if of_channel_0 || vector["control"] != Value::Null {
            continue;
        }
        let said = Anchor::parse(&anchor)
            .map_err(Obstacle::Refused)
            .and_then(|anchor| validator(&anchor, &file));
        agree(&vector.to_string(), &said, &driver(&bench, &anchor, &file));
        let code = match said {
            Err(Obstacle::Refused(refusal)) => json!(refusal.code.number()),
            _ => Value::Null,
        };
        assert_eq!(code, vector["code"], "{vector}");
        met += 1;
    }
    assert!(met > 50, "{met}");
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
        let said = validator(&anchor, file);
        assert_eq!(said.err(), cause.map(Obstacle::NotRead));
        agree(&format!("{cause:?}"), &said, &driver(&bench, &bench.anchor, file));
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
