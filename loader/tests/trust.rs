//! `sakerctl trust`, and what channel 0 means to `content verify`.

mod support;

use channel_format::signature::Role;
use support::{Output, SIGNED, Sandbox};

const CONTROL: &str = "C-00000000-00000001-00000003.sys";

fn sandbox(text: &str) -> Sandbox {
    let sandbox = Sandbox::with_signed_file();
    sandbox.key("root", 2, Role::Root, false, 0..=0);
    sandbox.write("trust.yml", text);
    sandbox
}

fn build(sandbox: &Sandbox) -> Output {
    sandbox.run_trust(&[
        "build",
        "trust.yml",
        "--sequence",
        "3",
        "--created",
        "1721347200",
        "--out",
        ".",
    ])
}

fn signed(text: &str) -> Sandbox {
    let sandbox = sandbox(text);
    build(&sandbox).success();
    sandbox.run(&["sign", &format!("{CONTROL}.unsigned"), "--key", "root.key"]).success();
    sandbox
}

const TRUSTED: &str = "keys: [{key: content.pub, epochs: 1-2}]\n";

#[test]
fn content_is_verified_with_the_keys_of_channel_0() {
    let sandbox = signed(TRUSTED);
    sandbox.run(&["verify", CONTROL, "--key", "root.pub"]).success();
    let with = ["verify", SIGNED, "--key", "root.pub", "--control", CONTROL];
    let output = sandbox.run(&with).success();
    assert!(output.stdout.contains("good"), "{}", output.stdout);
    sandbox.run(&with[..4]).refused(&["UnknownSigner (46)"]);
    // A content file is no channel 0.
    sandbox
        .run(&["verify", SIGNED, "--key", "content.pub", "--control", SIGNED])
        .refused(&["TemplateType"]);
}

#[test]
fn a_revoked_file_is_named_with_its_remedy() {
    let text = format!("{TRUSTED}revoked: [{{channel: 291, epoch: 1, through: 7}}]\n");
    let sandbox = signed(&text);
    sandbox
        .run(&["verify", SIGNED, "--key", "root.pub", "--control", CONTROL])
        .refused(&["Revoked (53)", "deploy a newer file"]);
}

#[test]
fn show_says_all_of_it() {
    let text = format!("{TRUSTED}channels: [{{channel: 291, floor: 1-7, halted: true}}]\n");
    let sandbox = signed(&text);
    let shown = sandbox.run_trust(&["show", CONTROL]).success().stdout;
    for words in ["UNVERIFIED", "epoch 1, sequence 3", "epochs 1-2", "before 1-7", "HALTED"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let json = sandbox.run_trust(&["show", CONTROL, "--json"]).success().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["channels"][0]["floor"], serde_json::json!([1, 7]));
    sandbox.run_trust(&["show", SIGNED]).refused(&["TemplateType"]);
}

#[test]
fn what_cannot_be_built_is_refused_and_nothing_is_written() {
    for (text, words) in [
        ("keys: []\n", "ControlRecord (110)"),
        ("keys: [{key: root.pub, epochs: 1}]\n", "a root key signs channel 0 itself"),
        ("keys: [{key: none.pub, epochs: 1}]\n", "none.pub: cannot be read"),
        ("keys: [{key: content.pub, epochs: 1, block: no}]\n", "the text cannot be read"),
    ] {
        let sandbox = sandbox(text);
        build(&sandbox).refused(&[words]);
        assert!(!sandbox.path(format!("{CONTROL}.unsigned")).exists());
    }
}
