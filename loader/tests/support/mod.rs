//! A folder to run `sakerctl` in, with rules, keys and files made by it.

#![allow(dead_code, reason = "each test program uses a part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use channel_compiler::SecretKey;
use channel_format::signature::Role;
use loader::content::keygen::write_pair;

/// A rule that matches names that begin with `\evil`.
pub const PREFIX_RULE: &str = r"
title: Evil pipe
id: 11111111-1111-4111-8111-111111111111
status: experimental
description: Names that begin so.
logsource:
    product: windows
    category: pipe_created
detection:
    selection:
        PipeName|startswith: '\evil'
    condition: selection
level: high
tags:
    - attack.privilege_escalation
";

/// A rule over the image, which a log may lack.
pub const IMAGE_RULE: &str = r"
title: Pipe of a tool
id: 22222222-2222-4222-8222-222222222222
status: experimental
description: A tool that is not in its folder.
logsource:
    product: windows
    category: pipe_created
detection:
    selection:
        PipeName|endswith: '-tool'
    filter:
        Image|startswith: 'C:\Program Files\'
    condition: selection and not filter
level: medium
";

/// A rule that does not compile: the field has a typo.
pub const TYPO_RULE: &str = r"
title: Typo
id: 33333333-3333-4333-8333-333333333333
logsource:
    product: windows
    category: pipe_created
detection:
    selection:
        PipeNmae: '\evil'
    condition: selection
level: high
";

/// Name of the file that [`Sandbox::build`] makes.
pub const UNSIGNED: &str = "C-00000291-00000001-00000007.sys.unsigned";
/// Its name when signed.
pub const SIGNED: &str = "C-00000291-00000001-00000007.sys";

pub struct Sandbox(tempfile::TempDir);

pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Sandbox {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With the two good rules in `rules`, built and signed in the sandbox by `content.key`.
    pub fn with_signed_file() -> Self {
        let sandbox = Self::new();
        sandbox.build();
        sandbox.key("content", 1, Role::Content, false, 1..=u32::MAX);
        sandbox.run(&["sign", UNSIGNED, "--key", "content.key"]).success();
        sandbox
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Names in a folder of the sandbox, sorted.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Builds [`UNSIGNED`] from the two good rules.
    pub fn build(&self) {
        self.write("rules/prefix.yml", PREFIX_RULE);
        self.write("rules/more/image.yaml", IMAGE_RULE);
        let output = self.run(&[
            "build",
            "--channel",
            "291",
            "--sequence",
            "7",
            "--created",
            "2024-07-19",
            "--rules",
            "rules",
            "--out",
            ".",
        ]);
        assert_eq!(output.success().stdout, format!("./{UNSIGNED}\n"));
    }

    /// A key that is always the same: NAME.key and NAME.pub.
    pub fn key(
        &self,
        name: &str,
        seed: u8,
        role: Role,
        may_block: bool,
        channels: std::ops::RangeInclusive<u32>,
    ) {
        let key = SecretKey::from_seed([seed; 32], role, may_block, channels).unwrap();
        let (secret, public) = write_pair(self.0.path(), &key).unwrap();
        fs::rename(secret, self.path(format!("{name}.key"))).unwrap();
        fs::rename(public, self.path(format!("{name}.pub"))).unwrap();
    }

    /// Runs `sakerctl content …` in the sandbox.
    pub fn run(&self, args: &[&str]) -> Output {
        self.run_group("content", args)
    }

    /// Runs `sakerctl machine …` in the sandbox.
    pub fn run_machine(&self, args: &[&str]) -> Output {
        self.run_group("machine", args)
    }

    /// Runs `sakerctl trust …` in the sandbox.
    pub fn run_trust(&self, args: &[&str]) -> Output {
        self.run_group("trust", args)
    }

    fn run_group(&self, group: &str, args: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_sakerctl"))
            .arg(group)
            .args(args)
            .current_dir(self.0.path())
            .env_remove("SOURCE_DATE_EPOCH")
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        Output {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Output {
    pub fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self
    }

    /// Failed with code 1, saying each of these.
    pub fn refused(self, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(1), "{}{}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not in:\n{}", self.stderr);
        }
        self
    }

    /// Failed with code 2: the command line is wrong.
    pub fn usage(self) -> Self {
        assert_eq!(self.code, Some(2), "{}{}", self.stdout, self.stderr);
        self
    }
}
