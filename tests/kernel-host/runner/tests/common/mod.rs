//! What the tests of the built `saker.sys` share: keys, content and a booted machine.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};

use channel_compiler::{BuildOptions, SecretKey, build, parse_rules, sign};
use channel_format::anchor::Anchor;
use channel_format::name::ChannelName;
use channel_format::signature::Role;
use driver_abi::{Interest, Verdict};
use kernel_host_runner::rig::{Boot, Rig};

pub const RULES: &str = r"
title: a pipe to block
id: 00000000-0000-4000-8000-000000000001
logsource: {product: windows, category: pipe_created}
detection: {selection: {PipeName|startswith: '\evil'}, condition: selection}
level: high
saker: {action: block}
---
title: a pipe to report
id: 00000000-0000-4000-8000-000000000002
logsource: {product: windows, category: pipe_created}
detection: {selection: {PipeName: '\odd'}, condition: selection}
level: low
---
title: any pipe of a program in Downloads but for one
id: 00000000-0000-4000-8000-000000000003
logsource: {product: windows, category: pipe_created}
detection:
    selection: {Image|startswith: 'C:\Downloads\'}
    filter: {PipeName: '\fine'}
    condition: selection and not filter
level: low
";

/// A driver that was built, and a key it trusts.
pub struct Bench {
    pub driver: PathBuf,
    pub key: SecretKey,
    pub anchor: Vec<u8>,
}

impl Bench {
    /// `None`, with a line that says so, where the driver has not been built.
    pub fn new() -> Option<Self> {
        Self::with_key(&SecretKey::from_seed([7; 32], Role::Content, true, 1..=u32::MAX).unwrap())
    }

    pub fn with_key(key: &SecretKey) -> Option<Self> {
        let driver = kernel_host::artifacts::path("saker.sys")?;
        let anchor = Anchor::encode(&[], 0, &[key.public]).unwrap().to_vec();
        Some(Self { driver, key: key.clone(), anchor })
    }

    pub fn boot(&self) -> Boot<'_> {
        Boot::new(&self.driver, &self.anchor)
    }

    /// A signed file of [`RULES`] with this sequence, and its name.
    pub fn file(&self, sequence: u32) -> (String, Vec<u8>) {
        self.file_of(RULES, 0, sequence)
    }

    pub fn file_of(&self, rules: &str, epoch: u32, sequence: u32) -> (String, Vec<u8>) {
        let file = self.file_with(rules, &BuildOptions { epoch, ..options(sequence) });
        (name(epoch, sequence), file)
    }

    pub fn file_with(&self, rules: &str, options: &BuildOptions) -> Vec<u8> {
        let mut file = unsigned(rules, options);
        sign(&mut file, &self.key).unwrap();
        file
    }

    /// A running sensor with [`RULES`] in force and good, told to report everything.
    pub fn ready(&self) -> Rig {
        let mut rig = self.boot().boot().unwrap();
        let (name, file) = self.file(1);
        rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
        rig.mature().unwrap();
        rig.listen(Interest::Everything).unwrap();
        rig
    }
}

pub fn name(epoch: u32, sequence: u32) -> String {
    ChannelName { channel: 291, epoch, sequence }.to_string()
}

pub fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

/// What the driver says about a created pipe of a process with this image.
pub fn created(rig: &mut Rig, pipe: &str, image: Option<&str>) -> Verdict {
    let process = rig.create_process(4242, image.map(wide));
    rig.create_pipe(&process, &wide(pipe)).unwrap().verdict
}

/// What the driver says about an opened pipe.
pub fn connected(rig: &mut Rig, pipe: &str, image: Option<&str>) -> Verdict {
    let process = rig.create_process(4242, image.map(wide));
    rig.connect_pipe(&process, &wide(pipe)).unwrap().verdict
}

pub const EXPLORER: Option<&str> = Some(r"\Device\HarddiskVolume3\Windows\explorer.exe");

/// How files of channel 291 are built.
pub fn options(sequence: u32) -> BuildOptions {
    BuildOptions {
        channel: 291,
        epoch: 0,
        sequence,
        created: 1_700_000_000,
        expires: 0,
        shrink: false,
    }
}

pub fn unsigned(rules: &str, options: &BuildOptions) -> Vec<u8> {
    build(&parse_rules(Path::new("rules.yml"), rules).unwrap(), options).unwrap()
}
