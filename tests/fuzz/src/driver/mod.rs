//! The built `saker.sys` in the kernel host: what it does with any request, message and life.
//!
//! The kernel host says what is wrong: each call of the driver is checked as Driver Verifier would
//! check it. What must hold beside that is in the targets. Where the driver was not built there is
//! nothing to run, and a target returns.

mod callback;
mod life;
mod messages;

use std::path::{Path, PathBuf};

use channel_compiler::{BuildOptions, SecretKey, build, parse_rules, sign};
use channel_format::anchor::Anchor;
use channel_format::name::ChannelName;
use channel_format::signature::Role;
use kernel_host::Machine;
use kernel_host_runner::rig::{Boot, Rig};

use crate::target::Target;

/// The targets of this module.
pub const TARGETS: &[Target] = &[
    Target::new(
        "driver-callback",
        "creates and opens of any kind, judged by the driver",
        callback::run,
    )
    .seeds(callback::seeds)
    .longest(2_048)
    .on_driver(),
    Target::new("driver-port", "clients of the driver's port and what they say", messages::run)
        .seeds(messages::seeds)
        .longest(512)
        .on_driver(),
    Target::new(
        "driver-life",
        "files, pipes, power cuts, failures and unloads in any order",
        life::run,
    )
    .seeds(life::seeds)
    .longest(256)
    .on_driver(),
];

/// A rule that blocks by the pipe's name alone, and rules on everything that the driver finds out
/// of an event.
const RULES: &str = r"
title: a pipe to block
id: 00000000-0000-4000-8000-000000000001
logsource: {product: windows, category: pipe_created}
detection: {selection: {PipeName|startswith: '\evil'}, condition: selection}
saker: {action: block}
---
title: a name by its parts
id: 00000000-0000-4000-8000-000000000002
logsource: {product: windows, category: pipe_created}
detection:
    parts: {PipeName|contains: ['ab', 'abc', 'ä'], PipeName|endswith: 'x'}
    pattern: {PipeName|re: '\\[a-f0-9]{3,8}-pipe$'}
    condition: parts or pattern
---
title: everything that is asked of a pipe
id: 00000000-0000-4000-8000-000000000003
logsource: {product: windows, category: pipe_created}
detection:
    a: {DesiredAccess: '0x80000000', CreateOptions: '0x40'}
    b: {Disposition: 2, Direction: 1, PipeType: 1, ReadMode: 1}
    c: {RejectRemote: true, MaxInstances: 7, InboundQuota: 65536, OutboundQuota: 65536}
    d: {DefaultTimeout: 990}
    condition: 1 of them
---
title: everything that is found out of who asks
id: 00000000-0000-4000-8000-000000000004
logsource: {product: windows, category: pipe_created}
detection:
    a: {Image|startswith: 'C:\Downloads\'}
    b: {User: 'NT AUTHORITY\SYSTEM', ProcessId: 4242}
    condition: a or b
";

/// The built driver, and a key that it trusts and that may block.
struct Sensor {
    path: PathBuf,
    key: SecretKey,
    anchor: Vec<u8>,
}

impl Sensor {
    /// `None` where the driver has not been built.
    fn find() -> Option<Self> {
        let path = kernel_host::artifacts::path("saker.sys")?;
        let key = SecretKey::from_seed([7; 32], Role::Content, true, 1..=u32::MAX);
        let key = key.expect("a sound range");
        let anchor = Anchor::encode(&[], 0, &[key.public]).expect("one key").to_vec();
        Some(Self { path, key, anchor })
    }

    /// A machine with it, which is on.
    fn boot(&self, machine: Machine) -> Result<Rig, kernel_host_runner::Error> {
        Boot::on(&self.path, &self.anchor, machine).boot()
    }

    /// The name and the bytes of a file of [`RULES`] with this sequence.
    fn file(&self, sequence: u32) -> (String, Vec<u8>) {
        let options = BuildOptions { channel: 291, sequence, ..BuildOptions::default() };
        let rules = parse_rules(Path::new("rules.yml"), RULES).expect("sound rules");
        let mut file = build(&rules, &options).expect("rules for today's sensor");
        sign(&mut file, &self.key).expect("a sound file");
        (ChannelName { channel: 291, epoch: 0, sequence }.to_string(), file)
    }

    /// A running sensor that blocks.
    fn ready(&self) -> Rig {
        let mut rig = self.boot(Machine::new()).expect("it boots");
        let (name, file) = self.file(1);
        rig.drop_files([(name.as_str(), &file)].into_iter()).expect("it takes the file");
        rig.mature().expect("the file becomes good");
        rig
    }
}
