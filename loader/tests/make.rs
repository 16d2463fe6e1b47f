//! `keygen`, `build` and `sign`, and what they refuse.

mod support;

use channel_format::signature::Role;
use support::{IMAGE_RULE, PREFIX_RULE, SIGNED, Sandbox, TYPO_RULE, UNSIGNED};

#[test]
fn keygen_makes_exactly_one_pair_in_a_folder_that_it_makes() {
    let sandbox = Sandbox::new();
    let output = sandbox.run(&["keygen", "--out-dir", "a/keys"]).success();
    let names = sandbox.names("a/keys");
    let [secret, public] = &names[..] else { panic!("{names:?}") };
    let name = secret.strip_suffix(".key").unwrap();
    assert_eq!(public.strip_suffix(".pub"), Some(name));
    let id = name.strip_prefix("content-").unwrap();
    assert!(id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(output.stdout, format!("a/keys/{secret}\na/keys/{public}\n"));

    let text = String::from_utf8(sandbox.read(&format!("a/keys/{public}"))).unwrap();
    assert!(text.starts_with("saker-public-key v0 role=content may-block=no channels=1-"));
    assert!(text.contains(&format!(" id={id}")) && text.ends_with('\n'));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |name: &str| {
            std::fs::metadata(sandbox.path("a/keys").join(name)).unwrap().permissions().mode()
        };
        assert_eq!(mode(secret) & 0o777, 0o600);
        assert_ne!(mode(public) & 0o444, 0);
    }
    sandbox.run(&["keygen", "--out-dir", "a/keys"]).success();
    assert_eq!(sandbox.names("a/keys").len(), 4);
}

#[test]
fn keygen_roles_and_permissions() {
    let sandbox = Sandbox::new();
    let root = sandbox.run(&["keygen", "--out-dir", "k", "--role", "root"]).success();
    assert!(root.stdout.starts_with("k/root-"));
    let args = ["keygen", "--out-dir", "b", "--may-block", "--channels", "291"];
    sandbox.run(&args).success();
    let name = sandbox.names("b").into_iter().find(|name| name.ends_with(".pub")).unwrap();
    let text = String::from_utf8(sandbox.read(&format!("b/{name}"))).unwrap();
    assert!(text.contains("may-block=yes channels=291-291 "), "{text}");

    sandbox.run(&["keygen", "--out-dir", "c", "--role", "root", "--may-block"]).usage();
    sandbox.run(&["keygen", "--out-dir", "c", "--role", "user"]).usage();
    sandbox.run(&["keygen", "--out-dir", "c", "--channels", "0"]).usage();
    sandbox.run(&["keygen"]).usage();
    assert!(!sandbox.path("c").exists());

    sandbox.write("file", "");
    sandbox.run(&["keygen", "--out-dir", "file"]).refused(&["file: ", "help:"]);
}

#[test]
fn build_is_reproducible_and_prints_only_the_path() {
    let sandbox = Sandbox::new();
    sandbox.build();
    let first = sandbox.read(UNSIGNED);
    assert_eq!(first.get(..8), Some(b"\x89SAKER\r\n".as_slice()));
    // The same rules from other files, in another order.
    sandbox.write("again/1.yml", IMAGE_RULE);
    sandbox.write("again/2.yml", PREFIX_RULE);
    let args = [
        "build",
        "--channel",
        "291",
        "--sequence",
        "7",
        "--epoch",
        "1",
        "--created",
        "1721347200",
        "--rules",
        "again/1.yml",
        "again/2.yml",
        "--out",
        "out",
    ];
    let output = sandbox.run(&args).success();
    assert_eq!(output.stdout, format!("out/{UNSIGNED}\n"));
    assert_eq!(sandbox.read(&format!("out/{UNSIGNED}")), first);
    assert_eq!(sandbox.names("out"), [UNSIGNED]);
}

#[test]
fn build_refuses_a_rule_with_a_typo_and_keeps_the_old_file() {
    let sandbox = Sandbox::new();
    sandbox.build();
    let before = sandbox.read(UNSIGNED);
    sandbox.write("rules/typo.yml", TYPO_RULE);
    let args = ["build", "--channel", "291", "--sequence", "7", "--rules", "rules", "--out", "."];
    let output = sandbox.run(&args).refused(&["rules/typo.yml:9", "PipeNmae", "help:"]);
    assert_eq!(output.stdout, "");
    assert_eq!(sandbox.read(UNSIGNED), before);
    insta::assert_snapshot!("build_typo", output.stderr);
}

/// Two rules in one file: one counts over events, the other can be built.
fn half_supported() -> String {
    let counting = TYPO_RULE
        .replace("PipeNmae", "PipeName")
        .replace("condition: selection", "condition: selection | count() by Image > 5");
    format!("{counting}---{PREFIX_RULE}")
}

const BUILD: [&str; 9] =
    ["build", "--channel", "291", "--sequence", "7", "--rules", "rules", "--out", "."];

#[test]
fn build_skips_what_is_not_supported_and_says_so() {
    let sandbox = Sandbox::new();
    sandbox.write("rules/image.yml", IMAGE_RULE);
    sandbox.write("rules/half.yml", half_supported());
    sandbox.write("rules/typo.yml", TYPO_RULE.replace("PipeNmae", "PipeName|fieldref"));
    let created = ["--created", "2024-07-19"];
    sandbox.run(&[&BUILD[..], &created].concat()).refused(&[
        "rules/half.yml:10",
        "counts over events",
        "rules/typo.yml:9",
        "fieldref",
    ]);
    assert_eq!(sandbox.names("."), ["rules"]);

    let skip = [&BUILD[..], &created, &["--skip-unsupported"]].concat();
    let output = sandbox.run(&skip).success();
    assert_eq!(output.stdout, format!("./{UNSIGNED}\n"));
    insta::assert_snapshot!("build_skips", without_bytes(&output.stderr));

    // What is left is what the good rules alone make.
    let file = sandbox.read(UNSIGNED);
    let other = Sandbox::new();
    other.build();
    assert_eq!(file, other.read(UNSIGNED));

    let json = sandbox.run(&[&skip[..], &["--json"]].concat()).success();
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["v"], &json["rules"]), (&1.into(), &2.into()));
    assert_eq!(json["bytes"], file.len());
    assert_eq!(json["skipped"].as_array().unwrap().len(), 2);
    assert_eq!(json["skipped"][1]["file"], "rules/typo.yml");
    assert_eq!(json["skipped"][1]["title"], "Typo");
    assert_eq!(json["skipped"][1]["faults"][0]["line"], 9);
    assert!(json["skipped"][1]["faults"][0]["remedy"].as_str().unwrap().contains("another field"));
}

#[test]
fn build_that_skips_nothing_says_nothing_of_it() {
    let sandbox = Sandbox::new();
    sandbox.write("rules/prefix.yml", PREFIX_RULE);
    let output = sandbox.run(&[&BUILD[..], &["--skip-unsupported", "--json"]].concat()).success();
    assert!(!output.stderr.contains("skipped"), "{}", output.stderr);
    let json: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(json["skipped"], serde_json::json!([]));
    assert_eq!(json["file"], format!("./{UNSIGNED}"));
}

#[test]
fn build_skips_no_mistake() {
    let mistakes = [
        ("title: [x", "not YAML"),
        (PREFIX_RULE, "is also that of"),
        (&IMAGE_RULE.replace("condition: selection", "condition: selecton"), "not defined"),
        (&format!("{IMAGE_RULE}saker: {{acton: block}}"), "acton"),
        (
            &format!("{IMAGE_RULE}saker: {{examples: {{match: [{{PipeName: x}}]}}}}"),
            "must be True and is False",
        ),
        (&IMAGE_RULE.replace("id:", "key:"), "has no id"),
    ];
    for (text, reason) in mistakes {
        let sandbox = Sandbox::new();
        sandbox.write("rules/good.yml", half_supported());
        sandbox.write("rules/mistake.yml", text);
        let output = sandbox.run(&[&BUILD[..], &["--skip-unsupported"]].concat());
        output.refused(&["rules/mistake.yml", reason]);
        assert_eq!(sandbox.names("."), ["rules"], "{reason}");
    }
}

#[test]
fn build_that_skips_everything_is_an_error() {
    let sandbox = Sandbox::new();
    sandbox.write("rules/typo.yml", TYPO_RULE);
    let output = sandbox.run(&[&BUILD[..], &["--skip-unsupported"]].concat());
    output.refused(&["rules/typo.yml:9", "did you mean", "nothing to build", "help:"]);
    assert_eq!(sandbox.names("."), ["rules"]);
}

/// The text without the size of the file, which changes with the format.
fn without_bytes(text: &str) -> String {
    let words = text.split_inclusive(' ').collect::<Vec<_>>();
    let size = words.iter().position(|word| word.starts_with("bytes"));
    let kept = words.iter().enumerate().filter(|(at, _)| size.is_none_or(|size| at + 1 != size));
    kept.map(|(_, word)| *word).collect()
}

#[test]
fn build_refuses_what_is_missing() {
    let sandbox = Sandbox::new();
    let build = |rules: &str, out: &str| {
        let args = ["build", "--channel", "291", "--sequence", "7", "--rules", rules, "--out", out];
        sandbox.run(&args)
    };
    build("none", ".").refused(&["none", "help:"]);
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    build("empty", ".").refused(&["empty", "help:"]);
    sandbox.write("rules/a.yml", PREFIX_RULE);
    build("rules", "no/such/folder").refused(&["no/such/folder: no such folder", "help:"]);
    build("rules", "rules/a.yml").refused(&["rules/a.yml: no such folder", "help:"]);
    sandbox.write("rules/text.yml", "no rule");
    build("rules", ".").refused(&["rules/text.yml"]);
    assert_eq!(sandbox.names("."), ["empty", "rules"]);
}

#[test]
fn build_refuses_wrong_numbers() {
    let sandbox = Sandbox::new();
    sandbox.write("a.yml", PREFIX_RULE);
    let build = |channel: &str, sequence: &str, more: &[&str]| {
        let args = ["build", "--channel", channel, "--sequence", sequence];
        let rest = ["--rules", "a.yml", "--out", "."];
        sandbox.run(&[&args[..], &rest[..], more].concat())
    };
    build("0", "1", &[]).usage();
    build("100000000", "1", &[]).usage();
    build("291", "100000000", &[]).usage();
    build("291", "-1", &[]).usage();
    build("291", "1", &["--expires", "yesterday"]).usage();
    build("291", "1", &["--created", "2024-07-19", "--expires", "2024-07-18"]).usage();
    assert_eq!(sandbox.names("."), ["a.yml"]);
    build("99999999", "99999999", &["--epoch", "99999999", "--expires", "2999-01-01"]).success();
    assert_eq!(sandbox.names("."), ["C-99999999-99999999-99999999.sys.unsigned", "a.yml"]);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_refuses_and_changes_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::with_signed_file();
    let folder = sandbox.path("locked");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(folder.join("probe"), b"").is_ok() {
        // Root writes anywhere; a place that is a folder serves as well.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::remove_file(folder.join("probe")).unwrap();
        std::fs::create_dir(folder.join(SIGNED)).unwrap();
    }
    let before = sandbox.names("locked");
    sandbox
        .run(&["sign", UNSIGNED, "--key", "content.key", "--out", "locked"])
        .refused(&["cannot be written; nothing was changed", "help:"]);
    assert_eq!(sandbox.names("locked"), before);
}

#[test]
fn sign_names_the_file_by_its_header() {
    let sandbox = Sandbox::new();
    sandbox.build();
    sandbox.key("content", 1, Role::Content, false, 1..=u32::MAX);
    let before = sandbox.read(UNSIGNED);
    std::fs::rename(sandbox.path(UNSIGNED), sandbox.path("x")).unwrap();
    let output = sandbox.run(&["sign", "x", "--key", "content.key"]).success();
    assert_eq!(output.stdout, format!("{SIGNED}\n"));
    assert_eq!(sandbox.read("x"), before);
    let output = sandbox.run(&["sign", "x", "--key", "content.key", "--out", "inbox"]).success();
    assert_eq!(output.stdout, format!("inbox/{SIGNED}\n"));
    assert_eq!(sandbox.names("inbox"), [SIGNED]);
    assert_eq!(sandbox.read(&format!("inbox/{SIGNED}")), sandbox.read(SIGNED));
    sandbox.run(&["verify", SIGNED, "--key", "content.pub"]).success();
}

#[test]
fn sign_adds_signatures_and_the_same_key_nothing() {
    let sandbox = Sandbox::with_signed_file();
    let one = sandbox.read(SIGNED);
    let again = sandbox.run(&["sign", SIGNED, "--key", "content.key"]).success();
    assert!(again.stderr.contains("nothing was added"), "{}", again.stderr);
    assert_eq!(sandbox.read(SIGNED), one);

    for seed in 2..=4 {
        sandbox.key(&format!("k{seed}"), seed, Role::Content, false, 1..=u32::MAX);
        sandbox.run(&["sign", SIGNED, "--key", &format!("k{seed}.key")]).success();
        sandbox.run(&["verify", SIGNED, "--key", &format!("k{seed}.pub")]).success();
    }
    sandbox.run(&["verify", SIGNED, "--key", "content.pub", "--key", "k3.pub"]).success();
    sandbox.key("k5", 5, Role::Content, false, 1..=u32::MAX);
    let full = sandbox.read(SIGNED);
    sandbox.run(&["sign", SIGNED, "--key", "k5.key"]).refused(&[SIGNED, "4 signatures already"]);
    assert_eq!(sandbox.read(SIGNED), full);
}

#[test]
fn sign_refuses_wrong_keys() {
    let sandbox = Sandbox::new();
    sandbox.build();
    sandbox.key("root", 1, Role::Root, false, 0..=0);
    sandbox.key("other", 2, Role::Content, false, 1..=290);
    let sign = |key: &str| sandbox.run(&["sign", UNSIGNED, "--key", key]);
    let output = sign("root.key").refused(&[UNSIGNED, "root.key", "channel 291", "help:"]);
    insta::assert_snapshot!("sign_wrong_role", output.stderr);
    sign("other.key").refused(&["channel 291", "help:"]);
    sign("other.pub").refused(&["other.pub: not a usable key", ".key", "help:"]);
    sign("none.key").refused(&["none.key: cannot be read", "help:"]);
    sign(UNSIGNED).refused(&["not a usable key", "help:"]);
    sandbox.write("cut.key", sandbox.read("other.key").get(..80).unwrap());
    sign("cut.key").refused(&["cut.key: not a usable key"]);
    assert!(!sandbox.path(SIGNED).exists());
}

/// The section of examples in a built file, found by its kind in the header's directory.
fn examples(file: &[u8]) -> std::ops::Range<usize> {
    let header = channel_format::frame::Header::parse(file).unwrap();
    let kind = channel_format::ruleset::SectionKind::Examples.number();
    let section = header.sections.iter().find(|section| section.kind == kind).unwrap();
    let start = section.offset as usize;
    start..start + section.length as usize
}

#[test]
fn sign_names_the_example_that_fails() {
    let sandbox = Sandbox::new();
    let examples_of = "saker: {examples: {match: [{PipeName: '\\evil1'}, {PipeName: '\\evil2'}], \
                       no_match: [{PipeName: '\\good', Image: 'C:\\x.exe'}, {PipeName: '\\fair'}]}}\n";
    sandbox.write("rules/image.yml", IMAGE_RULE);
    sandbox.write("rules/prefix.yml", format!("{PREFIX_RULE}{examples_of}"));
    sandbox.run(&BUILD).success();
    let good = sandbox.read(UNSIGNED);
    let key = channel_compiler::SecretKey::from_seed([1; 32], Role::Content, false, 1..=u32::MAX)
        .unwrap();
    sandbox.key("content", 1, Role::Content, false, 1..=u32::MAX);

    // Each author's example, made to expect the opposite; the rule of that file is the first.
    let section = examples(&good);
    let units = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let at = |text: &str| {
        let text = units(text);
        let found = good[section.clone()].windows(text.len()).position(|part| part == text);
        section.start + found.unwrap()
    };
    for (name, reason) in [
        (
            r"\evil2",
            "example 2 of the rule `Evil pipe` (11111111-1111-4111-8111-111111111111) must not match, and does match: Operation 1, PipeName `\\evil2`",
        ),
        (
            r"\good",
            "example 3 of the rule `Evil pipe` (11111111-1111-4111-8111-111111111111) must match, and does not: Operation 1, PipeName `\\good`, ImagePath `C:\\x.exe`, ImageName `x.exe`",
        ),
    ] {
        let mut file = good.clone();
        // Before the name: its own head, the operation's value and head, count and zeros.
        let expected = at(name) - 4 - 12 - 4;
        assert!(file[expected] <= 1, "the expectation of an author");
        file[expected] ^= 1;
        channel_compiler::incident::resign(&mut file, &key).unwrap();
        // Back to a file without a signature.
        file[512..1024].fill(0);
        sandbox.write("bad", file);
        let output = sandbox.run(&["sign", "bad", "--key", "content.key"]);
        output.refused(&["bad: refused", reason, "ExampleFailed (98)", "help:", "mend the rule"]);
        assert!(!sandbox.path(SIGNED).exists());
    }
    sandbox.run(&["sign", UNSIGNED, "--key", "content.key"]).success();
}

#[test]
fn sign_refuses_damaged_files() {
    let sandbox = Sandbox::new();
    sandbox.build();
    sandbox.key("content", 1, Role::Content, false, 1..=u32::MAX);
    let good = sandbox.read(UNSIGNED);
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    for (bytes, code) in [
        (good[..good.len() - 1].to_vec(), "Absent"),
        (vec![0; good.len()], "Absent"),
        (changed, "DigestMismatch"),
        (b"MZ".repeat(2_000), "BadMagic"),
        (Vec::new(), "Absent"),
    ] {
        sandbox.write("bad", bytes);
        sandbox.run(&["sign", "bad", "--key", "content.key"]).refused(&["bad", code, "help:"]);
    }
    sandbox.run(&["sign", "none", "--key", "content.key"]).refused(&["none: cannot be read"]);
    assert!(!sandbox.path(SIGNED).exists());
}
