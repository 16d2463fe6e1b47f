//! What comes into the content folder.

use channel_compiler::control::{ControlError, ControlOptions, ControlSource};
use channel_compiler::incident::{field_not_supplied, wild_table_index};
use channel_compiler::{BuildOptions, SecretKey, build, parse_rules, sign};
use channel_format::anchor::Anchor;
use channel_format::frame::FileId;
use channel_format::name::ChannelName;
use channel_format::signature::Role;

use crate::error::Error;

/// Pipes that are created all day long; one that fails is a program that does not work.
pub const EVERYDAY: [&str; 5] =
    [r"\lsass", r"\spoolss", r"\mojo.1234.5678.90", r"\incident-1", r"\incident-2"];

/// A file with its name.
pub type File = (String, Vec<u8>);

/// When content brings the machine down that is in force: a fault that no check of a file can find.
/// The host puts a breakpoint on the callback, whatever the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Never.
    Never,
    /// At the first event it judges.
    AtOnce,
    /// At the first event it judges when a day has passed since it came, and from then on.
    AfterADay,
    /// Only while the machine boots.
    WhileBooting,
}

/// One of the scenarios.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// Sound content of sequence 2 becomes good before, beside that of sequence 1.
    pub second: bool,
    /// What comes then.
    pub arrives: fn(&Content) -> Result<Vec<File>, Error>,
    /// Whether the content of sequence 2, or what comes, brings the machine down.
    pub crashes: Crash,
    /// The power goes at each of the driver's writes in turn, from what comes to its being good.
    pub cuts: bool,
}

/// All scenarios.
pub fn all() -> Vec<Scenario> {
    let quiet = |name, arrives| Scenario {
        name,
        second: false,
        arrives,
        crashes: Crash::Never,
        cuts: false,
    };
    let second = |scenario| Scenario { second: true, ..scenario };
    vec![
        quiet("21 inputs declared, 20 supplied", |content| {
            let file = field_not_supplied(&options(2), &content.key).map_err(Error::Incident)?;
            Ok(vec![(name(2), file)])
        }),
        quiet("a table entry that is not there", |content| {
            let sound = content.file(GOOD, 2);
            Ok(vec![(name(2), wild_table_index(&sound.1, &content.key)?)])
        }),
        quiet("a file of zeros", |content| {
            Ok(vec![(name(2), vec![0; content.file(GOOD, 2).1.len()])])
        }),
        quiet("a file cut short while it was written", |content| {
            let (name, mut file) = content.file(GOOD, 2);
            file.truncate(file.len() / 2);
            Ok(vec![(name, file)])
        }),
        quiet("a crash while the file was written", |content| {
            // Its length reached the disk, and half of its bytes.
            let (name, mut file) = content.file(GOOD, 2);
            let half = file.len() / 2;
            file[half..].fill(0);
            Ok(vec![(name, file)])
        }),
        quiet("no file at all, but its name", |_| Ok(vec![(name(2), Vec::new())])),
        quiet("content that blocks every pipe", |content| Ok(vec![content.file(EVERYTHING, 2)])),
        Scenario {
            crashes: Crash::AtOnce,
            ..quiet("content that crashes the evaluation at once", |content| {
                Ok(vec![content.file(OTHER, 2)])
            })
        },
        Scenario {
            crashes: Crash::AfterADay,
            ..second(quiet("good content that crashes a day later", |_| Ok(Vec::new())))
        },
        Scenario {
            crashes: Crash::WhileBooting,
            ..second(quiet("good content that crashes only in early boot", |_| Ok(Vec::new())))
        },
        Scenario {
            cuts: true,
            ..quiet("the power goes at each write", |content| Ok(vec![content.file(OTHER, 2)]))
        },
        second(quiet("a revoked file that is still in the folder", |content| {
            let (_, revoked) = content.file(OTHER, 2);
            let id: String = FileId::of(&revoked).0.map(|byte| format!("{byte:02x}")).concat();
            content.control(2, &format!("{KEYS}\nfiles: [{id}]")).map(|file| vec![file])
        })),
        second(quiet("an old good file put back under a new name", |content| {
            Ok(vec![(name(3), content.file(GOOD, 1).1)])
        })),
        quiet("a stolen key, undone by the next epoch", |content| {
            let control = "keys: [{key: ours, epochs: 0}, {key: next, epochs: 1-9}]
channels: [{channel: 291, least-epoch: 1}]";
            let next = BuildOptions { epoch: 1, ..options(1) };
            Ok(vec![
                content.file(EVERYTHING, 99_999_999),
                content.control(2, control)?,
                content.file_by(&content.next, GOOD, &next),
            ])
        }),
        quiet("a flood of files", |_| {
            Ok((0..5_000).map(|number| (name(1_000 + number), vec![0x5A; 2_048])).collect())
        }),
    ]
}

/// Rules that have been good for long.
const GOOD: &str = r"
title: a pipe of a tool
id: 00000000-0000-4000-8000-000000000001
logsource: {product: windows, category: pipe_created}
detection: {selection: {PipeName|startswith: '\evil'}, condition: selection}
level: high
saker: {action: block}
";

/// The same, and one more.
const OTHER: &str = r"
title: a pipe of a tool
id: 00000000-0000-4000-8000-000000000001
logsource: {product: windows, category: pipe_created}
detection: {selection: {PipeName|startswith: '\evil'}, condition: selection}
level: high
saker: {action: block}
---
title: a pipe of another tool
id: 00000000-0000-4000-8000-000000000003
logsource: {product: windows, category: pipe_created}
detection: {selection: {PipeName|startswith: '\worse'}, condition: selection}
level: high
saker: {action: block}
";

/// What channel 0 says as long as nothing is over.
const KEYS: &str = "keys: [{key: ours, epochs: 0-9}, {key: next, epochs: 1-9}]";

/// Rules that would stop every program.
const EVERYTHING: &str = r"
title: every pipe
id: 00000000-0000-4000-8000-000000000002
logsource: {product: windows, category: pipe_created}
detection: {selection: {PipeName|startswith: '\'}, condition: selection}
level: high
saker: {action: block}
";

/// Makes files that both drivers take for content.
pub struct Content {
    root: SecretKey,
    key: SecretKey,
    next: SecretKey,
    anchor: Vec<u8>,
}

impl Content {
    /// With a root key, and keys that may sign blocking rules.
    pub fn new() -> Result<Self, Error> {
        let key = |seed, role, may_block, channels| {
            SecretKey::from_seed([seed; 32], role, may_block, channels)
                .map_err(|error| Error::Key(error.to_string()))
        };
        let root = key(6, Role::Root, false, 0..=0)?;
        let anchor = Anchor::encode(&[root.public], 1, &[]).map_err(Error::Base)?.to_vec();
        Ok(Self {
            root,
            key: key(7, Role::Content, true, 1..=u32::MAX)?,
            next: key(8, Role::Content, true, 1..=u32::MAX)?,
            anchor,
        })
    }

    /// The anchor that trusts its root key.
    pub fn anchor(&self) -> &[u8] {
        &self.anchor
    }

    /// The content that has been good for long, and what names its key.
    pub fn good(&self) -> Result<Vec<File>, Error> {
        Ok(vec![self.control(1, KEYS)?, self.file(GOOD, 1)])
    }

    /// Content that is as good, and newer.
    pub fn second(&self) -> Vec<File> {
        vec![self.file(OTHER, 2)]
    }

    fn file(&self, rules: &str, sequence: u32) -> File {
        self.file_by(&self.key, rules, &options(sequence))
    }

    fn file_by(&self, key: &SecretKey, rules: &str, options: &BuildOptions) -> File {
        let rules = parse_rules("incident.yml".as_ref(), rules).expect("rules of our own");
        let mut file = build(&rules, options).expect("rules of our own");
        sign(&mut file, key).expect("a file of our own");
        let BuildOptions { channel, epoch, sequence, .. } = *options;
        (ChannelName { channel, epoch, sequence }.to_string(), file)
    }

    fn control(&self, sequence: u32, text: &str) -> Result<File, Error> {
        let wrong = |error: ControlError| Error::Key(error.to_string());
        let source = ControlSource::parse(text).map_err(wrong)?;
        let keys: Vec<_> = source
            .key_names()
            .map(|name| if name == "ours" { self.key.public } else { self.next.public })
            .collect();
        let options = ControlOptions { epoch: 1, sequence, created: 0, expires: 0 };
        let mut file = source.build(&keys, &options).map_err(wrong)?;
        sign(&mut file, &self.root).expect("a file of our own");
        Ok((ChannelName { channel: 0, epoch: 1, sequence }.to_string(), file))
    }
}

fn options(sequence: u32) -> BuildOptions {
    BuildOptions { channel: 291, epoch: 0, sequence, created: 0, expires: 0, shrink: false }
}

fn name(sequence: u32) -> String {
    ChannelName { channel: 291, epoch: 0, sequence }.to_string()
}
