//! `machine stamp` on the built driver, and what it refuses.

mod support;

use std::path::PathBuf;

use channel_format::signature::Role;
use support::Sandbox;

/// A sandbox with the built driver, a content and a root key. `None`, with a line that says so,
/// where the driver has not been built.
fn sandbox() -> Option<Sandbox> {
    let workspace = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let folder = std::env::var_os("SAKER_ARTIFACTS")
        .map_or_else(|| workspace.join("target/saker"), PathBuf::from);
    let path = folder.join("saker.sys");
    let required = std::env::var_os("SAKER_REQUIRE_ARTIFACTS").is_some_and(|value| value == "1");
    let Ok(bytes) = std::fs::read(&path) else {
        assert!(!required, "{} is missing", path.display());
        eprintln!("skipped: {} is not built; run cargo xtask test", path.display());
        return None;
    };
    let sandbox = Sandbox::new();
    sandbox.write("saker.sys", bytes);
    sandbox.key("content", 1, Role::Content, false, 1..=u32::MAX);
    sandbox.key("root", 2, Role::Root, false, 0..=0);
    Some(sandbox)
}

fn key_id(sandbox: &Sandbox, name: &str) -> String {
    let text = String::from_utf8(sandbox.read(name)).unwrap();
    text.split_whitespace().find_map(|word| word.strip_prefix("id=")).unwrap().to_owned()
}

#[test]
fn stamps_a_copy_and_says_whom_it_trusts() {
    let Some(sandbox) = sandbox() else { return };
    let before = sandbox.read("saker.sys");
    let stamp = |key: &str, out: &str| {
        sandbox.run_machine(&["stamp", "saker.sys", "--key", key, "--out", out]).success()
    };
    let test = stamp("content.pub", "test.sys");
    assert_eq!(test.stdout, "test.sys\n");
    assert!(test.stderr.contains(&key_id(&sandbox, "content.pub")), "{}", test.stderr);
    assert!(test.stderr.contains("test package"), "{}", test.stderr);
    let root = stamp("root.pub", "root.sys");
    assert!(root.stderr.contains(&key_id(&sandbox, "root.pub")), "{}", root.stderr);
    assert!(!root.stderr.contains("test package"), "{}", root.stderr);

    assert_eq!(sandbox.read("saker.sys"), before);
    let stamped = sandbox.read("test.sys");
    let anchor = loader::content::keys::anchor_bytes(&[sandbox.path("content.pub")]).unwrap();
    assert!(stamped.windows(anchor.len()).any(|part| part == anchor));
    // The same again is the same.
    stamp("content.pub", "test.sys");
    assert_eq!(sandbox.read("test.sys"), stamped);
}

#[test]
fn stamps_again_only_when_told_to() {
    let Some(sandbox) = sandbox() else { return };
    let stamp = |driver: &str, keys: &[&str], more: &[&str]| {
        let mut args = vec!["stamp", driver, "--out", "out.sys"];
        keys.iter().for_each(|key| args.extend(["--key", key]));
        sandbox.run_machine(&[&args[..], more].concat())
    };
    stamp("saker.sys", &["root.pub", "content.pub"], &[]).success();
    std::fs::rename(sandbox.path("out.sys"), sandbox.path("both.sys")).unwrap();
    stamp("both.sys", &["content.pub"], &[]).refused(&[
        "both.sys: not stamped",
        "stamped already",
        "help:",
        "--replace",
    ]);
    assert!(!sandbox.path("out.sys").exists());
    stamp("both.sys", &["content.pub"], &["--replace"]).success();
    let replaced = sandbox.read("out.sys");
    stamp("saker.sys", &["content.pub"], &[]).success();
    assert_eq!(sandbox.read("out.sys"), replaced);
}

#[test]
fn refuses_and_writes_nothing() {
    let Some(sandbox) = sandbox() else { return };
    let good = sandbox.read("saker.sys");
    let stamp = |driver: &str, key: &str, out: &str| {
        sandbox.run_machine(&["stamp", driver, "--key", key, "--out", out])
    };
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("cut", good[..good.len() / 2].to_vec()),
        ("text", b"no driver at all\n".repeat(100)),
        ("zeros", vec![0; good.len()]),
    ] {
        sandbox.write(name, bytes);
        stamp(name, "content.pub", "out.sys").refused(&[name, "not stamped", "help:"]);
    }
    stamp("none.sys", "content.pub", "out.sys").refused(&["none.sys: cannot be read", "help:"]);
    stamp("saker.sys", "content.key", "out.sys").refused(&["content.key: not a usable key"]);
    stamp("saker.sys", "content.pub", "no/out.sys").refused(&["no/out.sys: cannot be written"]);
    for same in ["saker.sys", "./saker.sys"] {
        stamp("saker.sys", "content.pub", same).refused(&["saker.sys", "--out", "help:"]);
    }
    let twice =
        ["stamp", "saker.sys", "--key", "root.pub", "--key", "root.pub", "--out", "out.sys"];
    sandbox.run_machine(&twice).refused(&["cannot be used together", "help:"]);
    sandbox.run_machine(&["stamp", "saker.sys", "--out", "out.sys"]).usage();
    sandbox.run_machine(&["stamp", "saker.sys", "--key", "root.pub"]).usage();
    assert!(!sandbox.path("out.sys").exists());
    assert_eq!(sandbox.read("saker.sys"), good);
}
