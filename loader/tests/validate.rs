//! `content validate` and `content profile`: what one sensor would do with a file, and that nothing is
//! signed for a sensor that would refuse it.

mod support;

use std::path::PathBuf;

use channel_format::profile::SensorProfile;
use channel_format::signature::Role;
use serde_json::{Value, json};
use support::{SIGNED, Sandbox, UNSIGNED};

/// A file whose rules need `ParentImage`, which today's driver does not supply.
const FULL: &str = "C-00000291-00000001-00000008.sys";

fn golden(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/v0"));
    std::fs::read(folder.join(name)).unwrap()
}

/// Today's profile with a change, in the file `sensor.json`.
fn sensor(sandbox: &Sandbox, change: impl FnOnce(&mut Value)) {
    let mut profile = json!(loader::content::sensor::Written::of(&SensorProfile::CURRENT));
    change(&mut profile);
    sandbox.write("sensor.json", profile.to_string());
}

#[test]
fn today_s_driver_takes_a_good_file_signed_or_not() {
    let sandbox = Sandbox::with_signed_file();
    for file in [UNSIGNED, SIGNED] {
        let output = sandbox.run(&["validate", file]).success();
        assert!(output.stdout.contains("would be taken: channel 291, 1-7, 2 rules"));
        assert!(output.stderr.contains("no signature was checked"), "{}", output.stderr);
    }
    let signed = sandbox.run(&["validate", SIGNED, "--key", "content.pub"]).success();
    assert!(!signed.stderr.contains("no signature"), "{}", signed.stderr);
    sandbox.run(&["validate", UNSIGNED, "--key", "content.pub"]).refused(&["Unsigned (43)"]);
    sandbox.key("other", 9, Role::Content, false, 1..=u32::MAX);
    sandbox.run(&["validate", SIGNED, "--key", "other.pub"]).refused(&["UnknownSigner (46)"]);
    sandbox.run(&["validate", SIGNED, "--control", SIGNED]).usage();
}

#[test]
fn each_thing_that_another_sensor_lacks_is_named() {
    let sandbox = Sandbox::with_signed_file();
    let cases: [(&str, Value, &[&str]); 9] = [
        ("api_level", json!(0), &["ApiLevel (61)", "update the sensor"]),
        ("schema_version", json!(1), &["SchemaVersion (60)"]),
        ("format_version", json!(1), &["FormatVersion (11)"]),
        (
            "supplied",
            json!(["Operation", "PipeName"]),
            &["FieldNotSupplied (62)", "field ImagePath"],
        ),
        ("max_rules", json!(1), &["TooMany (18)"]),
        ("max_steps_per_event", json!(1), &["StepLimit (19)", "0x38"]),
        ("max_steps_per_load", json!(1), &["StepLimit (19)", "0x40"]),
        ("max_file", json!(1_024), &["not read", "longer than the sensor takes", "split"]),
        ("supplied", json!([]), &["FieldNotSupplied (62)", "field Operation"]),
    ];
    for (name, value, words) in cases {
        sensor(&sandbox, |profile| profile[name] = value);
        sandbox.run(&["validate", SIGNED, "--sensor", "sensor.json"]).refused(words);
        // What it would refuse is not signed for it, nor given out to be signed elsewhere.
        let sign = ["sign", UNSIGNED, "--key", "content.key", "--sensor", "sensor.json"];
        sandbox.run(&[&sign[..], &["--out", "signed"]].concat()).refused(words);
        sandbox.run(&["digest", UNSIGNED, "--sensor", "sensor.json"]).refused(words);
        assert!(!sandbox.path("signed").exists());
    }
    sensor(&sandbox, |_| ());
    sandbox.run(&["validate", SIGNED, "--sensor", "sensor.json"]).success();
}

#[test]
fn content_for_a_later_sensor_is_signed_for_that_one_only() {
    let sandbox = Sandbox::new();
    sandbox.key("content", 1, Role::Content, false, 1..=u32::MAX);
    let mut file = golden(FULL);
    file[512..1024].fill(0);
    sandbox.write("full", file);
    let sign = ["sign", "full", "--key", "content.key"];
    sandbox.run(&sign).refused(&["FieldNotSupplied (62)", "field ParentImage"]);
    assert!(!sandbox.path(FULL).exists());
    sensor(&sandbox, |profile| {
        profile["supplied"].as_array_mut().unwrap().push("ParentImage".into());
    });
    sandbox.run(&[&sign[..], &["--sensor", "sensor.json"]].concat()).success();
    sandbox.run(&["validate", FULL]).refused(&["field ParentImage"]);
    sandbox.run(&["validate", FULL, "--sensor", "sensor.json"]).success();
}

#[test]
fn another_channel_is_not_read_and_channel_0_is() {
    let sandbox = Sandbox::new();
    sandbox.write("rules/r.yml", support::PREFIX_RULE);
    let build = ["build", "--channel", "292", "--sequence", "1", "--rules", "rules", "--out", "."];
    sandbox.run(&build).success();
    let file = "C-00000292-00000001-00000001.sys.unsigned";
    sandbox.run(&["validate", file]).refused(&["not read", "another channel", "--channel 291"]);
    sandbox.write("control", golden("C-00000000-00000000-00000004.sys"));
    sandbox.run(&["validate", "control"]).success();
}

#[test]
fn json_says_the_same() {
    let sandbox = Sandbox::with_signed_file();
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let good = sandbox.run(&["validate", SIGNED, "--json"]).success();
    let good = read(&good.stdout);
    assert_eq!((&good["answer"], &good["signatures"]), (&json!("accepted"), &json!(false)));
    assert_eq!(good["refusal"], Value::Null);
    let bad = sandbox.run(&["validate", UNSIGNED, "--key", "content.pub", "--json"]).refused(&[]);
    let bad = read(&bad.stdout);
    assert_eq!((&bad["answer"], &bad["signatures"]), (&json!("refused"), &json!(true)));
    assert_eq!((&bad["refusal"]["code"], &bad["refusal"]["offset"]), (&json!(43), &json!(512)));
    sensor(&sandbox, |profile| profile["max_file"] = 1.into());
    let args = ["validate", SIGNED, "--json", "--sensor", "sensor.json"];
    let not_read = read(&sandbox.run(&args).refused(&[]).stdout);
    assert_eq!((&not_read["answer"], &not_read["cause"]), (&json!("not_read"), &json!("no_file")));
}

#[test]
fn what_does_not_say_what_a_sensor_can_do_is_refused() {
    let sandbox = Sandbox::with_signed_file();
    let validate = |sensor: &str| sandbox.run(&["validate", SIGNED, "--sensor", sensor]);
    validate("none").refused(&["none: cannot be read"]);
    validate(SIGNED).refused(&[
        SIGNED,
        "does not say what a sensor can do",
        "neither a driver nor JSON",
    ]);
    sandbox.write("status.json", json!({"kind": "status", "profile": null}).to_string());
    validate("status.json").refused(&["status.json", "sakerctl status --json"]);
    sandbox.write("cut.sys", b"MZ");
    validate("cut.sys").refused(&["no 64-bit Windows image", "saker.sys that runs there"]);
}

/// The built driver says what this version's tools think of it, stamped or not. Nothing to do, with a
/// line that says so, where it has not been built.
#[test]
fn the_built_driver_says_what_it_can_do() {
    let workspace = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let folder = std::env::var_os("SAKER_ARTIFACTS")
        .map_or_else(|| workspace.join("target/saker"), PathBuf::from);
    let path = folder.join("saker.sys");
    let required = std::env::var_os("SAKER_REQUIRE_ARTIFACTS").is_some_and(|value| value == "1");
    let Ok(driver) = std::fs::read(&path) else {
        assert!(!required, "{} is missing", path.display());
        eprintln!("skipped: {} is not built; run cargo xtask test", path.display());
        return;
    };
    let sandbox = Sandbox::with_signed_file();
    sandbox.write("saker.sys", driver);
    let profile = sandbox.run(&["profile", "saker.sys"]).success().stdout;
    let said: Value = serde_json::from_str(&profile).unwrap();
    assert_eq!(said, json!(loader::content::sensor::Written::of(&SensorProfile::CURRENT)));
    sandbox.write("kept.json", profile);
    sandbox.run(&["validate", SIGNED, "--sensor", "kept.json"]).success();

    let validate = |sensor: &str| sandbox.run(&["validate", SIGNED, "--sensor", sensor]);
    let blank = validate("saker.sys").success();
    assert!(blank.stderr.contains("no signature was checked"), "{}", blank.stderr);
    sandbox.key("other", 9, Role::Content, false, 1..=u32::MAX);
    for (key, out) in [("content.pub", "mine.sys"), ("other.pub", "theirs.sys")] {
        sandbox.run_machine(&["stamp", "saker.sys", "--key", key, "--out", out]).success();
    }
    let stamped = validate("mine.sys").success();
    assert!(!stamped.stderr.contains("no signature"), "{}", stamped.stderr);
    validate("theirs.sys").refused(&["UnknownSigner (46)"]);
    // Another's key for this question.
    let args = ["validate", SIGNED, "--sensor", "theirs.sys", "--key", "content.pub"];
    sandbox.run(&args).success();
}
