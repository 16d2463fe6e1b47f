//! `verify` and `inspect` on good, strange and damaged files.

mod support;

use channel_format::control::Trust;
use channel_format::schema::SensorProfile;
use channel_format::signature::Role;
use loader::content::validate::{Accepted, Obstacle, judge};
use support::{SIGNED, Sandbox, UNSIGNED};

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// The text without what every change of the compiler changes.
fn without_sizes(text: &str) -> String {
    let rows = text.lines().map(|row| match row.split_whitespace().next() {
        Some(name @ ("SHA-512" | "id" | "length" | "steps")) => format!("{name:<14} […]"),
        _ => row.to_owned(),
    });
    rows.collect::<Vec<_>>().join("\n")
}

fn check(bytes: &[u8], trust: &Trust<'_, Vec<u8>>) -> Result<Accepted, Obstacle> {
    judge(bytes, &SensorProfile::CURRENT, Some(trust))
}

#[test]
fn verify_accepts_a_good_file() {
    let sandbox = Sandbox::with_signed_file();
    let output = sandbox.run(&["verify", SIGNED, "--key", "content.pub"]).success();
    assert_eq!(output.stderr, "");
    let swapped = sandbox.run(&["verify", "--key", "content.pub", SIGNED]).success();
    assert_eq!(swapped.stdout, output.stdout);
    insta::assert_snapshot!("verify_good", output.stdout);
}

#[test]
fn verify_says_why_it_refuses() {
    let sandbox = Sandbox::with_signed_file();
    sandbox.key("other", 9, Role::Content, false, 1..=u32::MAX);
    sandbox.key("root", 8, Role::Root, false, 0..=0);
    let verify = |file: &str, key: &str| sandbox.run(&["verify", file, "--key", key]);

    let wrong_key = verify(SIGNED, "other.pub").refused(&["UnknownSigner (46)", "offset", "help:"]);
    insta::assert_snapshot!("verify_wrong_key", wrong_key.stderr);
    verify(SIGNED, "root.pub").refused(&["UnknownSigner (46)"]);
    verify(UNSIGNED, "content.pub").refused(&["Unsigned (43)", "whose fault: the key's"]);
    verify("none", "content.pub").refused(&["none: cannot be read", "help:"]);
    verify(SIGNED, "none.pub").refused(&["none.pub: cannot be read", "help:"]);
    verify(SIGNED, "content.key").refused(&["content.key: not a usable key", ".pub"]);
    verify(".", "content.pub").refused(&[".: cannot be read"]);
    let twice = sandbox.run(&["verify", SIGNED, "--key", "content.pub", "--key", "content.pub"]);
    twice.refused(&["content.pub, content.pub cannot be used together", "DuplicateKey"]);
    sandbox.run(&["verify", SIGNED]).usage();
}

#[test]
fn verify_refuses_a_signature_by_a_key_whose_role_does_not_fit() {
    let sandbox = Sandbox::with_signed_file();
    sandbox.key("root", 8, Role::Root, false, 0..=0);
    // The root key's id in place of the signer's, as a forger could write it.
    let text = String::from_utf8(sandbox.read("root.pub")).unwrap();
    let id = text.split(" id=").nth(1).unwrap().get(..32).unwrap();
    let id: Vec<u8> =
        (0..16).map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).unwrap()).collect();
    let mut forged = sandbox.read(SIGNED);
    forged[520..536].copy_from_slice(&id);
    sandbox.write("forged", forged);
    sandbox.run(&["verify", "forged", "--key", "root.pub"]).refused(&["KeyRole (48)", "0x208"]);
}

#[test]
fn every_cut_is_refused_by_verify_and_shown_by_inspect() {
    let sandbox = Sandbox::with_signed_file();
    let good = sandbox.read(SIGNED);
    let anchor = loader::content::keys::anchor(&[sandbox.path("content.pub")]).unwrap();
    let trust = Trust::<Vec<u8>> { anchor: &anchor, control: None };
    // Cuts within the header end before the costly check of a signature.
    for cut in (0..1_024).chain((1_024..good.len()).step_by(7)) {
        let Err(Obstacle::Refused(refusal)) = check(&good[..cut], &trust) else {
            panic!("cut at {cut}");
        };
        assert_eq!(refusal.code.name(), "Absent", "cut at {cut}");
    }
    let step = good.len() / 25;
    for cut in (0..good.len()).step_by(step).chain([7, 8, 511, 512, 1_023, 1_024]) {
        sandbox.write("cut", &good[..cut]);
        let key = ["--key", "content.pub"];
        sandbox.run(&["verify", "cut", key[0], key[1]]).refused(&["Absent (1)", "the file's"]);
        let shown = json(&sandbox.run(&["inspect", "cut", "--json"]).success().stdout);
        assert_eq!(shown["state"], "absent", "cut at {cut}");
        assert_eq!(shown["length"], cut);
    }
}

#[test]
fn changed_bytes_are_refused() {
    let sandbox = Sandbox::with_signed_file();
    let good = sandbox.read(SIGNED);
    let anchor = loader::content::keys::anchor(&[sandbox.path("content.pub")]).unwrap();
    let trust = Trust::<Vec<u8>> { anchor: &anchor, control: None };
    for at in (0..good.len()).step_by(7) {
        let mut changed = good.clone();
        changed[at] ^= 0x41;
        assert!(check(&changed, &trust).is_err(), "byte {at}");
    }
}

#[test]
fn verify_refuses_what_follows_the_file_and_zeros() {
    let sandbox = Sandbox::with_signed_file();
    let mut long = sandbox.read(SIGNED);
    long.push(0);
    sandbox.write("long", &long);
    let key = ["--key", "content.pub"];
    sandbox.run(&["verify", "long", key[0], key[1]]).refused(&["FileLength (14)"]);
    sandbox.write("zeros", vec![0; 4_096]);
    let zeros = sandbox.run(&["verify", "zeros", key[0], key[1]]).refused(&["Absent (1)"]);
    insta::assert_snapshot!("verify_zeros", zeros.stderr);
    sandbox.write("empty", "");
    sandbox.run(&["verify", "empty", key[0], key[1]]).refused(&["Absent (1)"]);
}

#[test]
fn verify_refuses_a_file_larger_than_any_channel_file_without_reading_it_all() {
    let sandbox = Sandbox::with_signed_file();
    let file = std::fs::File::create(sandbox.path("huge")).unwrap();
    file.set_len(1 << 40).unwrap();
    let key = ["--key", "content.pub"];
    sandbox.run(&["verify", "huge", key[0], key[1]]).refused(&["FileLength (14)"]);
}

#[test]
fn verify_remarks_on_a_wrong_name() {
    let sandbox = Sandbox::with_signed_file();
    let wrong = "C-00000291-00000001-00000008.sys";
    std::fs::rename(sandbox.path(SIGNED), sandbox.path(wrong)).unwrap();
    let output = sandbox.run(&["verify", wrong, "--key", "content.pub"]).success();
    assert!(output.stderr.contains(SIGNED), "{}", output.stderr);
}

#[test]
fn inspect_shows_unsigned_and_signed_files() {
    let sandbox = Sandbox::with_signed_file();
    let unsigned = sandbox.run(&["inspect", UNSIGNED]).success();
    insta::assert_snapshot!("inspect_unsigned", without_sizes(&unsigned.stdout));

    let shown = json(&sandbox.run(&["inspect", UNSIGNED, "--json"]).success().stdout);
    assert_eq!(shown["state"], "unsigned");
    assert_eq!(shown["verified"], false);
    assert_eq!(shown["name"], SIGNED);
    assert_eq!(shown["header"]["channel"], 291);
    assert_eq!(shown["header"]["sequence"], 7);
    assert_eq!(shown["header"]["rule_count"], 2);
    assert_eq!(shown["digest_matches"], true);
    assert_eq!(shown["self_test"], true);
    assert_eq!(shown["rules"][0]["title"], "Evil pipe");
    assert_eq!(shown["rules"][0]["level"], "high");
    assert_eq!(shown["rules"][0]["action"], "detect");
    assert_eq!(shown["refusal"], serde_json::Value::Null);

    let shown = json(&sandbox.run(&["inspect", SIGNED, "--json"]).success().stdout);
    assert_eq!(shown["state"], "signed");
    assert_eq!(shown["verified"], false);
    assert_eq!(shown["signatures"].as_array().unwrap().len(), 1);
}

#[test]
fn inspect_shows_damaged_files() {
    let sandbox = Sandbox::with_signed_file();
    let good = sandbox.read(SIGNED);
    for at in [0, 8, 20, 27, 36, 40, 48, 88, 152, 160, 300, 512, 1_000, 1_024, good.len() - 1] {
        let mut changed = good.clone();
        changed[at] ^= 0x80;
        sandbox.write("bad", &changed);
        sandbox.run(&["inspect", "bad"]).success();
        let shown = json(&sandbox.run(&["inspect", "bad", "--json"]).success().stdout);
        assert_eq!(shown["state"], "damaged", "byte {at}");
        assert!(shown["refusal"]["remedy"].is_string());
        let has_header = !shown["header"].is_null();
        assert_eq!(has_header, at >= 8, "byte {at}");
    }
    sandbox.run(&["inspect", "none"]).refused(&["none: cannot be read", "help:"]);
}
