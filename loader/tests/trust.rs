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

/// The name of the file of channel 0 that follows [`CONTROL`].
const NEXT: &str = "C-00000000-00000001-00000004.sys";

/// Edits [`CONTROL`] into [`NEXT`], which is then signed.
fn edited(sandbox: &Sandbox, args: &[&str]) -> Output {
    let output = edit(sandbox, args).success();
    assert_eq!(output.stdout, format!("./{NEXT}.unsigned\n"));
    sandbox.run(&["sign", &format!("{NEXT}.unsigned"), "--key", "root.key"]).success();
    output
}

fn edit(sandbox: &Sandbox, args: &[&str]) -> Output {
    let (command, more) = args.split_first().unwrap();
    sandbox.run_trust(&[&[*command, CONTROL, "--out", "."], more].concat())
}

/// What a sensor with that file of channel 0 says to the content.
fn verify(sandbox: &Sandbox, file: &str, control: &str) -> Output {
    sandbox.run(&["verify", file, "--key", "root.pub", "--control", control])
}

#[test]
fn a_file_is_revoked_by_its_path_or_its_id_and_by_range() {
    let shown = |sandbox: &Sandbox| {
        let json = sandbox.run(&["inspect", SIGNED, "--json"]).success().stdout;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        json["id"].as_str().unwrap().to_owned()
    };
    let range = ["revoke", "--channel", "291", "--of-epoch", "1", "--through", "7"];
    for way in 0..3 {
        let sandbox = signed(TRUSTED);
        verify(&sandbox, SIGNED, CONTROL).success();
        let id = shown(&sandbox);
        let output = match way {
            0 => edited(&sandbox, &["revoke", "--file", SIGNED]),
            1 => edited(&sandbox, &["revoke", "--file", &id]),
            _ => edited(&sandbox, &range),
        };
        assert!(output.stderr.contains("revoked: "), "{}", output.stderr);
        verify(&sandbox, SIGNED, NEXT).refused(&["Revoked (53)"]);
    }
    // Whose file of channel 0 it is can be asked for.
    let sandbox = signed(TRUSTED);
    sandbox.key("other", 9, Role::Root, false, 0..=0);
    let revoke = ["revoke", "--file", SIGNED, "--key"];
    edit(&sandbox, &[&revoke[..], &["other.pub"]].concat())
        .refused(&[CONTROL, "UnknownSigner (46)"]);
    let checked = edit(&sandbox, &[&revoke[..], &["root.pub"]].concat()).success();
    assert!(!checked.stderr.contains("no signature was checked"), "{}", checked.stderr);
    let unchecked = edit(&sandbox, &revoke[..3]).success();
    assert!(unchecked.stderr.contains("no signature was checked"), "{}", unchecked.stderr);
    // One sequence less, and the file stays.
    let sandbox = signed(TRUSTED);
    edited(&sandbox, &["revoke", "--channel", "291", "--of-epoch", "1", "--through", "6"]);
    verify(&sandbox, SIGNED, NEXT).success();
}

#[test]
fn a_revocation_that_changes_nothing_or_is_none_is_refused() {
    let text = format!("{TRUSTED}revoked: [{{channel: 291, epoch: 1, through: 7}}]\n");
    let sandbox = signed(&text);
    let range = |through: &str| {
        edit(&sandbox, &["revoke", "--channel", "291", "--of-epoch", "1", "--through", through])
    };
    range("7").refused(&[CONTROL, "all up to sequence 7 is revoked", "newest file of channel 0"]);
    range("3").refused(&["nothing to change"]);
    range("8").success();
    edit(&sandbox, &["revoke", "--file", CONTROL]).refused(&["file of channel 0", "newer file"]);
    edit(&sandbox, &["revoke", "--file", "none"]).refused(&["none: cannot be read"]);
    edit(&sandbox, &["revoke", "--file", SIGNED, "--file", SIGNED]).refused(&["is revoked"]);
    edit(&sandbox, &["revoke"]).usage();
    edit(&sandbox, &["revoke", "--channel", "291", "--through", "3"]).usage();
    edit(&sandbox, &["revoke", "--channel", "0", "--of-epoch", "1", "--through", "3"]).usage();
}

#[test]
fn the_next_file_is_newer_and_one_of_channel_0_is_changed() {
    let sandbox = signed(TRUSTED);
    let halt = |more: &[&str]| edit(&sandbox, &[&["halt", "--channel", "291"], more].concat());
    halt(&["--sequence", "3"]).refused(&["1-3", "higher --sequence"]);
    halt(&["--epoch", "0"]).refused(&["cannot be 0-0"]);
    halt(&["--expires", "2001-01-01"]).refused(&["go stale on 2001-01-01", "--expires 0"]);
    assert_eq!(
        halt(&["--epoch", "2"]).success().stdout,
        "./C-00000000-00000002-00000000.sys.unsigned\n"
    );
    let other = ["halt", SIGNED, "--channel", "291", "--out", "."];
    sandbox.run_trust(&other).refused(&[SIGNED, "TemplateType"]);
}

#[test]
fn a_halt_keeps_new_files_out_until_it_ends() {
    let sandbox = signed(TRUSTED);
    edited(&sandbox, &["halt", "--channel", "291"]);
    verify(&sandbox, SIGNED, NEXT).refused(&["Halted (55)"]);
    let end = |current: &str| {
        let args = ["halt", current, "--channel", "291", "--end", "--out", "."];
        sandbox.run_trust(&args)
    };
    end(CONTROL).refused(&["is not halted"]);
    let last = "C-00000000-00000001-00000005.sys";
    assert_eq!(end(NEXT).success().stdout, format!("./{last}.unsigned\n"));
    sandbox.run(&["sign", &format!("{last}.unsigned"), "--key", "root.key"]).success();
    verify(&sandbox, SIGNED, last).success();
    let again = ["halt", NEXT, "--channel", "291", "--out", "."];
    sandbox.run_trust(&again).refused(&["is halted"]);
}

/// Content of an epoch, signed by a key.
fn content(sandbox: &Sandbox, epoch: &str, sequence: &str, key: &str) -> String {
    let args = ["build", "--channel", "291", "--epoch", epoch, "--sequence", sequence];
    let built = sandbox.run(&[&args[..], &["--rules", "rules", "--out", "."]].concat()).success();
    let unsigned = built.stdout.trim_end().to_owned();
    sandbox.run(&["sign", &unsigned, "--key", key]).success();
    unsigned.strip_suffix(".unsigned").unwrap().to_owned()
}

#[test]
fn a_key_that_got_old_ends_and_what_it_signed_stays() {
    let sandbox = signed(TRUSTED);
    sandbox.key("new", 5, Role::Content, false, 1..=u32::MAX);
    let rotate = ["rotate", "--old", "content.pub", "--new", "new.pub", "--epochs", "2-4"];
    edited(&sandbox, &rotate);
    verify(&sandbox, SIGNED, NEXT).success();
    let late = content(&sandbox, "2", "0", "content.key");
    verify(&sandbox, &late, CONTROL).success();
    verify(&sandbox, &late, NEXT).refused(&["KeyEpoch (51)"]);
    let next = content(&sandbox, "2", "1", "new.key");
    verify(&sandbox, &next, CONTROL).refused(&["UnknownSigner (46)"]);
    verify(&sandbox, &next, NEXT).success();
}

#[test]
fn a_stolen_key_is_undone_with_all_that_it_signed() {
    let sandbox = signed(TRUSTED);
    sandbox.key("new", 5, Role::Content, false, 1..=u32::MAX);
    let fast = content(&sandbox, "1", "99999999", "content.key");
    verify(&sandbox, &fast, CONTROL).success();
    let rotate =
        ["rotate", "--old", "content.pub", "--new", "new.pub", "--epochs", "2-4", "--stolen"];
    edit(&sandbox, &rotate).refused(&["of which channels", "--channel 291"]);
    let output = edited(&sandbox, &[&rotate[..], &["--channel", "291"]].concat());
    assert!(output.stderr.contains("give both out together"), "{}", output.stderr);
    verify(&sandbox, &fast, NEXT).refused(&["UnknownSigner (46)"]);
    verify(&sandbox, SIGNED, NEXT).refused(&["UnknownSigner (46)"]);
    // Not by any other key either: the epoch is over.
    let old = content(&sandbox, "1", "8", "new.key");
    verify(&sandbox, &old, NEXT).refused(&["KeyEpoch (51)"]);
    let next = content(&sandbox, "2", "0", "new.key");
    verify(&sandbox, &next, NEXT).success();
}

#[test]
fn a_rotation_that_makes_no_sense_is_refused() {
    let sandbox = signed(TRUSTED);
    sandbox.key("new", 5, Role::Content, false, 1..=u32::MAX);
    let rotate = |old: &str, new: &str, epochs: &str| {
        edit(&sandbox, &["rotate", "--old", old, "--new", new, "--epochs", epochs])
    };
    rotate("new.pub", "new.pub", "2").refused(&["names no key", "trust show"]);
    rotate(&"00".repeat(16), "new.pub", "2").refused(&["names no key 0000"]);
    rotate("content.pub", "content.pub", "2").refused(&["already", "keygen"]);
    rotate("content.pub", "root.pub", "2").refused(&["root key"]);
    rotate("content.pub", "new.pub", "1-4").refused(&["from epoch 1 on", "from 2 on"]);
    rotate("content.pub", "new.key", "2").refused(&["new.key: not a usable key"]);
    rotate("content.pub", "new.pub", "0-4").usage();
    let channel = ["--epochs", "2", "--channel", "291"];
    let more = ["rotate", "--old", "content.pub", "--new", "new.pub"];
    edit(&sandbox, &[&more[..], &channel].concat()).usage();
    assert!(!sandbox.path(format!("{NEXT}.unsigned")).exists());
    rotate("content.pub", "new.pub", "2").success();
}
