//! Keys that are kept elsewhere: what they sign, and signatures that are put in after a check.

mod support;

use std::process::Command;

use channel_format::signature::Role;
use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signer, SigningKey};
use support::{SIGNED, Sandbox, UNSIGNED};

/// A pair of which this program never sees the secret half but to sign with it here.
fn elsewhere() -> SigningKey {
    SigningKey::from_bytes(&[77; 32])
}

/// The one public key file of a folder, and the key's id.
fn public_file(sandbox: &Sandbox, folder: &str) -> (String, String) {
    let names = sandbox.names(folder);
    let [name] = &names[..] else { panic!("{names:?}") };
    assert!(name.ends_with(".pub"));
    let path = format!("{folder}/{name}");
    let text = String::from_utf8(sandbox.read(&path)).unwrap();
    let id = text.split_whitespace().find_map(|word| word.strip_prefix("id=")).unwrap();
    (path, id.to_owned())
}

/// A built file and the public half of a key from elsewhere, which may block.
fn sandbox() -> (Sandbox, String, String) {
    let sandbox = Sandbox::new();
    sandbox.build();
    let bytes = HEXLOWER.encode(elsewhere().verifying_key().as_bytes());
    let args = ["keygen", "--public", &bytes, "--may-block", "--out-dir", "keys"];
    let printed = sandbox.run(&args).success().stdout;
    let (path, id) = public_file(&sandbox, "keys");
    assert_eq!(printed, format!("{path}\n"));
    (sandbox, path, id)
}

fn message(sandbox: &Sandbox, file: &str) -> Vec<u8> {
    let hex = sandbox.run(&["digest", file]).success().stdout;
    HEXLOWER.decode(hex.trim_end().as_bytes()).unwrap()
}

#[test]
fn what_is_signed_is_the_prefix_and_the_signed_part_in_each_form() {
    let (sandbox, ..) = sandbox();
    let message = message(&sandbox, UNSIGNED);
    let (prefix, header) = message.split_at(message.len() - 512);
    assert_eq!(prefix, b"Saker channel file header v0\0");
    assert_eq!(header, &sandbox.read(UNSIGNED)[..512]);
    let base64 = sandbox.run(&["digest", UNSIGNED, "--form", "base64"]).success().stdout;
    assert_eq!(BASE64.decode(base64.trim_end().as_bytes()).unwrap(), message);
    let raw = Command::new(env!("CARGO_BIN_EXE_sakerctl"))
        .args(["content", "digest", UNSIGNED, "--form", "raw"])
        .current_dir(sandbox.path(""))
        .output()
        .unwrap();
    assert_eq!(raw.stdout, message, "no line end behind it");
}

#[test]
fn a_signature_made_elsewhere_is_put_in_and_verifies() {
    let (sandbox, public, id) = sandbox();
    let signature = elsewhere().sign(&message(&sandbox, UNSIGNED)).to_bytes();
    for text in [HEXLOWER.encode(&signature), BASE64.encode(&signature)] {
        let signature = format!("{id}:{text}");
        let args = ["sign", UNSIGNED, "--public", &public, "--signature", &signature];
        assert_eq!(sandbox.run(&args).success().stdout, format!("{SIGNED}\n"));
        let verified = sandbox.run(&["verify", SIGNED, "--key", &public]).success();
        assert!(verified.stdout.contains("which may block"), "{}", verified.stdout);
    }
    // The same key with its secret here makes the same file.
    let here = Sandbox::new();
    here.build();
    here.key("k", 77, Role::Content, true, 1..=u32::MAX);
    here.run(&["sign", UNSIGNED, "--key", "k.key"]).success();
    assert_eq!(here.read(SIGNED), sandbox.read(SIGNED));

    // A second signature is of the same message: the first one is no part of it.
    assert_eq!(message(&sandbox, SIGNED), message(&sandbox, UNSIGNED));
    let again = format!("{id}:{}", HEXLOWER.encode(&signature));
    let args = ["sign", SIGNED, "--public", &public, "--signature", &again];
    let output = sandbox.run(&args).success();
    assert!(output.stderr.contains("signed the file already"), "{}", output.stderr);
}

#[test]
fn a_signature_that_is_not_of_this_file_by_this_key_is_refused() {
    let (sandbox, public, id) = sandbox();
    sandbox.key("other", 78, Role::Content, true, 1..=u32::MAX);
    sandbox.key("root", 77, Role::Root, false, 0..=0);
    let message = message(&sandbox, UNSIGNED);
    let key = elsewhere();
    let by = |key: &SigningKey, message: &[u8]| HEXLOWER.encode(&key.sign(message).to_bytes());
    let sign = |public: &str, signature: &str| {
        sandbox.run(&["sign", UNSIGNED, "--public", public, "--signature", signature])
    };
    let other = SigningKey::from_bytes(&[78; 32]);
    let mut cut = message.clone();
    cut.pop();
    for wrong in [by(&other, &message), by(&key, &cut), by(&key, &message[29..]), "00".repeat(64)] {
        sign(&public, &format!("{id}:{wrong}")).refused(&[
            UNSIGNED,
            "not one of this file by this key",
            "sakerctl content digest",
        ]);
    }
    let good = by(&key, &message);
    // Good, but said to be of another key; and of the same key under other permissions.
    sign("other.pub", &format!("{id}:{good}")).refused(&[
        "other.pub",
        &id,
        "public key of the pair",
    ]);
    let root = String::from_utf8(sandbox.read("root.pub")).unwrap();
    let root_id = root.split(" id=").nth(1).unwrap().get(..32).unwrap().to_owned();
    sign("root.pub", &format!("{root_id}:{good}")).refused(&["may not sign channel 291"]);
    assert!(!sandbox.path(SIGNED).exists());

    sandbox.run(&["sign", UNSIGNED, "--signature", &format!("{id}:{good}")]).usage();
    sign(&public, &good).usage();
    sign(&public, &format!("{id}:{}", &good[1..])).usage();
    let both = ["sign", UNSIGNED, "--key", "other.key", "--public", &public, "--signature"];
    sandbox.run(&[&both[..], &[&format!("{id}:{good}")]].concat()).usage();
    sandbox.run(&["sign", UNSIGNED]).usage();
}

#[test]
fn what_no_sensor_takes_is_not_given_out_to_be_signed() {
    let (sandbox, public, id) = sandbox();
    let mut bad = sandbox.read(UNSIGNED);
    *bad.last_mut().unwrap() ^= 1;
    sandbox.write("bad", &bad);
    let output = sandbox.run(&["digest", "bad"]).refused(&["DigestMismatch (25)"]);
    assert_eq!(output.stdout, "");
    // Nor is a good signature of such a file put in.
    let message = [b"Saker channel file header v0\0", &bad[..512]].concat();
    let signature = format!("{id}:{}", HEXLOWER.encode(&elsewhere().sign(&message).to_bytes()));
    let args = ["sign", "bad", "--public", &public, "--signature", &signature];
    sandbox.run(&args).refused(&["DigestMismatch (25)"]);
    assert!(!sandbox.path(SIGNED).exists());
}

#[test]
fn bytes_that_are_no_public_key_become_none() {
    let sandbox = Sandbox::new();
    let keygen = |bytes: &str, more: &[&str]| {
        sandbox.run(&[&["keygen", "--out-dir", "k", "--public", bytes], more].concat())
    };
    // A point of small order: its signatures are anybody's.
    keygen(&format!("01{}", "00".repeat(31)), &[]).refused(&["no Ed25519 public key"]);
    keygen(&format!("02{}", "00".repeat(31)), &[]).refused(&["no Ed25519 public key"]);
    keygen("0102", &[]).usage();
    let good = HEXLOWER.encode(elsewhere().verifying_key().as_bytes());
    keygen(&good, &["--role", "root", "--may-block"]).usage();
    assert!(!sandbox.path("k").exists() || sandbox.names("k").is_empty());
    keygen(&good, &["--role", "root"]).success();
    let (path, _) = public_file(&sandbox, "k");
    assert!(path.starts_with("k/root-"));
    keygen(&good, &["--role", "root"]).refused(&["exists already"]);
}

/// What root keys are for: neither of the two is ever here.
#[test]
fn two_root_keys_elsewhere_sign_channel_0() {
    let sandbox = Sandbox::new();
    sandbox.key("content", 1, Role::Content, false, 1..=u32::MAX);
    sandbox.write("trust.yml", "keys: [{key: content.pub, epochs: 1}]\n");
    sandbox.run_trust(&["build", "trust.yml", "--sequence", "1", "--out", "."]).success();
    let (file, unsigned) =
        ("C-00000000-00000001-00000001.sys", "C-00000000-00000001-00000001.sys.unsigned");
    let keys = [101, 102].map(|seed| SigningKey::from_bytes(&[seed; 32]));
    let publics: Vec<(String, String)> = keys
        .iter()
        .enumerate()
        .map(|(at, key)| {
            let folder = format!("root{at}");
            let bytes = BASE64.encode(key.verifying_key().as_bytes());
            let args = ["keygen", "--role", "root", "--public", &bytes, "--out-dir", &folder];
            sandbox.run(&args).success();
            public_file(&sandbox, &folder)
        })
        .collect();
    let verify = || {
        let [one, two] = [&publics[0].0, &publics[1].0];
        sandbox.run(&["verify", file, "--key", one, "--key", two])
    };
    for ((key, (public, id)), from) in keys.iter().zip(&publics).zip([unsigned, file]) {
        let signature = key.sign(&message(&sandbox, from)).to_bytes();
        let signature = format!("{id}:{}", HEXLOWER.encode(&signature));
        let args = ["sign", from, "--public", public, "--signature", &signature];
        sandbox.run(&args).success();
        if from == unsigned {
            verify().refused(&["RootThreshold (50)"]);
        }
    }
    verify().success();
}

/// OpenSSL as the signer elsewhere, where it is installed.
#[test]
fn openssl_signs() {
    let sandbox = Sandbox::new();
    let openssl = |args: &[&str]| {
        let output = Command::new("openssl").args(args).current_dir(sandbox.path("")).output();
        output.ok().filter(|output| output.status.success()).map(|output| output.stdout)
    };
    if openssl(&["genpkey", "-algorithm", "ed25519", "-out", "k.pem"]).is_none() {
        eprintln!("skipped: no openssl that makes Ed25519 keys");
        return;
    }
    sandbox.build();
    let der = openssl(&["pkey", "-in", "k.pem", "-pubout", "-outform", "DER"]).unwrap();
    let bytes = BASE64.encode(der.last_chunk::<32>().unwrap());
    sandbox.run(&["keygen", "--public", &bytes, "--out-dir", "keys"]).success();
    let (public, id) = public_file(&sandbox, "keys");
    sandbox.write("message", message(&sandbox, UNSIGNED));
    let sign = ["pkeyutl", "-sign", "-rawin", "-inkey", "k.pem", "-in", "message", "-out", "s"];
    openssl(&sign).unwrap();
    let signature = format!("{id}:{}", BASE64.encode(&sandbox.read("s")));
    sandbox.run(&["sign", UNSIGNED, "--public", &public, "--signature", &signature]).success();
    sandbox.run(&["verify", SIGNED, "--key", &public]).success();
}
