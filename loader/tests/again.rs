//! `content revert`, and files that lose rules.

mod support;

use channel_format::signature::Role;
use support::{IMAGE_RULE, Output, PREFIX_RULE, Sandbox};

const OLD: &str = "C-00000291-00000001-00000007.sys";
const NEW: &str = "C-00000291-00000001-00000009.sys";
const NEXT: &str = "C-00000291-00000001-00000010.sys";

fn build(sandbox: &Sandbox, sequence: &str, more: &[&str]) -> Output {
    let args = ["build", "--channel", "291", "--sequence", sequence, "--created", "2024-07-19"];
    let args = [&args[..], &["--rules", "rules", "--out", "."], more].concat();
    sandbox.run(&args)
}

fn sign(sandbox: &Sandbox, file: &str) {
    sandbox.run(&["sign", &format!("{file}.unsigned"), "--key", "content.key"]).success();
}

/// [`OLD`] with two rules and [`NEW`] with other ones, both signed.
fn sandbox(newer: &[(&str, &str)]) -> Sandbox {
    let sandbox = Sandbox::with_signed_file();
    std::fs::remove_dir_all(sandbox.path("rules")).unwrap();
    for (name, text) in newer {
        sandbox.write(&format!("rules/{name}.yml"), text);
    }
    build(&sandbox, "9", &[]).success();
    sign(&sandbox, NEW);
    sandbox
}

fn other(rule: &str) -> String {
    rule.replace("evil", "vile").replace("-tool", "-loot")
}

fn two() -> Sandbox {
    sandbox(&[("a", &other(PREFIX_RULE)), ("b", &other(IMAGE_RULE))])
}

fn revert(sandbox: &Sandbox, more: &[&str]) -> Output {
    sandbox.run(&[&["revert", OLD, "--over", NEW, "--out", "."], more].concat())
}

#[test]
fn the_old_rules_come_again_as_the_newest_file() {
    let sandbox = two();
    let output = revert(&sandbox, &[]).success();
    assert_eq!(output.stdout, format!("./{NEXT}.unsigned\n"));
    sign(&sandbox, NEXT);
    sandbox.run(&["verify", NEXT, "--key", "content.pub"]).success();
    let (old, again) = (sandbox.read(OLD), sandbox.read(NEXT));
    assert_eq!(old[1024..], again[1024..], "byte for byte");
    let differ: Vec<usize> = (0..512).filter(|at| old[*at] != again[*at]).collect();
    assert!(differ.iter().all(|at| (32..36).contains(at) || (72..80).contains(at)), "{differ:?}");
    // Whose rules come again can be asked for.
    sandbox.key("other", 9, Role::Content, false, 1..=u32::MAX);
    revert(&sandbox, &["--key", "other.pub"]).refused(&[OLD, "UnknownSigner (46)"]);
    revert(&sandbox, &["--key", "content.pub"]).success();
    // A new epoch begins at 0, and a position may be chosen.
    let epoch = revert(&sandbox, &["--epoch", "2"]).success();
    assert_eq!(epoch.stdout, "./C-00000291-00000002-00000000.sys.unsigned\n");
    let far = revert(&sandbox, &["--sequence", "500"]).success();
    assert_eq!(far.stdout, "./C-00000291-00000001-00000500.sys.unsigned\n");
}

#[test]
fn going_back_to_what_is_no_way_back_is_refused() {
    let sandbox = two();
    let revert = |args: &[&str]| sandbox.run(&[&["revert"], args, &["--out", "out"]].concat());
    revert(&[NEW, "--over", OLD]).refused(&["1-9, which is not older than 1-7", "newest file"]);
    revert(&[OLD, "--over", OLD]).refused(&["not older"]);
    revert(&[OLD, "--over", NEW, "--sequence", "9"]).refused(&["1-9", "higher --sequence"]);
    revert(&[OLD, "--over", NEW, "--epoch", "0"]).refused(&["cannot be 0-0"]);
    revert(&[OLD, "--over", NEW, "--shrink"]).refused(&["nothing shrinks", "leave --shrink out"]);
    revert(&["none", "--over", NEW]).refused(&["none: cannot be read"]);
    // The newest file may be a bad one, the old one must be sound.
    let mut bad = sandbox.read(NEW);
    *bad.last_mut().unwrap() ^= 1;
    sandbox.write("bad", &bad);
    revert(&[OLD, "--over", "bad"]).success();
    std::fs::remove_dir_all(sandbox.path("out")).unwrap();
    let mut bad = sandbox.read(OLD);
    *bad.last_mut().unwrap() ^= 1;
    sandbox.write("bad", &bad);
    revert(&["bad", "--over", NEW]).refused(&["DigestMismatch (25)"]);
    sandbox.write("zeros", vec![0; 4_096]);
    revert(&[OLD, "--over", "zeros"]).refused(&["zeros", "Absent (1)"]);
    let control = include_bytes!("../../tests/golden/v0/C-00000000-00000000-00000004.sys");
    sandbox.write("control", control);
    revert(&["control", "--over", "control"]).refused(&["not reverted", "trust revoke"]);
    revert(&[OLD, "--over", "control"]).refused(&["of channel 291", "channel 0"]);
    assert!(!sandbox.path("out").exists());
}

#[test]
fn the_same_rules_are_no_revert() {
    let sandbox = sandbox(&[("a", PREFIX_RULE), ("b", IMAGE_RULE)]);
    revert(&sandbox, &[]).refused(&["same rules", "nothing to go back from"]);
}

#[test]
fn what_went_stale_needs_a_new_life() {
    let sandbox = two();
    sandbox.write("rules/c.yml", PREFIX_RULE.replace("evil", "soon"));
    let stale = ["--expires", "2024-07-20"];
    std::fs::remove_file(sandbox.path("rules/a.yml")).unwrap();
    build(&sandbox, "8", &stale).success();
    let old = "C-00000291-00000001-00000008.sys";
    sign(&sandbox, old);
    let revert = |more: &[&str]| {
        sandbox.run(&[&["revert", old, "--over", NEW, "--out", "."], more].concat())
    };
    revert(&[]).refused(&["2024-07-20", "later --expires"]);
    revert(&["--expires", "0"]).success();
    let shown = sandbox.run(&["inspect", &format!("{NEXT}.unsigned")]).success().stdout;
    assert!(shown.contains("expires        never"), "{shown}");
    revert(&["--expires", "2999-01-01"]).success();
}

/// A sensor whose channel 0 asks for two rules at least.
#[test]
fn rules_are_lost_only_when_that_is_said() {
    let sandbox = sandbox(&[
        ("a", &other(PREFIX_RULE)),
        ("b", &other(IMAGE_RULE)),
        ("c", &PREFIX_RULE.replace("1111", "4444").replace("evil", "more")),
    ]);
    sandbox.key("root", 2, Role::Root, false, 0..=0);
    let text = "keys: [{key: content.pub, epochs: 1}]\nchannels: [{channel: 291, rules: 3}]\n";
    sandbox.write("trust.yml", text);
    sandbox.run_trust(&["build", "trust.yml", "--sequence", "1", "--out", "."]).success();
    let control = "C-00000000-00000001-00000001.sys";
    sandbox.run(&["sign", &format!("{control}.unsigned"), "--key", "root.key"]).success();
    let verify =
        |file: &str| sandbox.run(&["verify", file, "--key", "root.pub", "--control", control]);

    revert(&sandbox, &[]).refused(&["has 2 rules, and the newest file 3", "say --shrink"]);
    revert(&sandbox, &["--shrink"]).success();
    sign(&sandbox, NEXT);
    verify(NEXT).success();

    std::fs::remove_file(sandbox.path("rules/c.yml")).unwrap();
    for (sequence, more) in [("20", &[][..]), ("21", &["--shrink"])] {
        build(&sandbox, sequence, more).success();
        sign(&sandbox, &format!("C-00000291-00000001-000000{sequence}.sys"));
    }
    verify("C-00000291-00000001-00000020.sys").refused(&["FewerRules (56)", "may shrink"]);
    verify("C-00000291-00000001-00000021.sys").success();
}
