//! What comes into the content folder.

use channel_compiler::incident::{field_not_supplied, wild_table_index};
use channel_compiler::{BuildOptions, SecretKey, build, parse_rules, sign};
use channel_format::anchor::Anchor;
use channel_format::name::ChannelName;
use channel_format::signature::Role;

use crate::error::Error;

/// Pipes that are created all day long; one that fails is a program that does not work.
pub const EVERYDAY: [&str; 4] = [r"\lsass", r"\spoolss", r"\mojo.1234.5678.90", r"\incident-1"];

/// A file with its name.
pub type File = (String, Vec<u8>);

/// One of the scenarios.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What comes.
    pub arrives: fn(&Content) -> Result<Vec<File>, Error>,
    /// The host lets the callback crash while the content that came is in force, whatever the
    /// driver: a fault that no check of a file can find.
    pub crashes: bool,
}

/// All scenarios.
pub fn all() -> Vec<Scenario> {
    let quiet = |name, arrives| Scenario { name, arrives, crashes: false };
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
        quiet("no file at all, but its name", |_| Ok(vec![(name(2), Vec::new())])),
        quiet("content that blocks every pipe", |content| Ok(vec![content.file(EVERYTHING, 2)])),
        Scenario {
            name: "content that crashes the evaluation at once",
            arrives: |content| Ok(vec![content.file(GOOD, 2)]),
            crashes: true,
        },
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
    key: SecretKey,
    anchor: Vec<u8>,
}

impl Content {
    /// With a key that may sign blocking rules.
    pub fn new() -> Result<Self, Error> {
        let key = SecretKey::from_seed([7; 32], Role::Content, true, 1..=u32::MAX)
            .map_err(|error| Error::Key(error.to_string()))?;
        let anchor = Anchor::encode(&[], 0, &[key.public]).map_err(Error::Base)?.to_vec();
        Ok(Self { key, anchor })
    }

    /// The anchor that trusts its key.
    pub fn anchor(&self) -> &[u8] {
        &self.anchor
    }

    /// The content that has been good for long.
    pub fn good(&self) -> Vec<File> {
        vec![self.file(GOOD, 1)]
    }

    fn file(&self, rules: &str, sequence: u32) -> File {
        let rules = parse_rules("incident.yml".as_ref(), rules).expect("rules of our own");
        let mut file = build(&rules, &options(sequence)).expect("rules of our own");
        sign(&mut file, &self.key).expect("a file of our own");
        (name(sequence), file)
    }
}

fn options(sequence: u32) -> BuildOptions {
    BuildOptions { channel: 291, epoch: 0, sequence, created: 0, expires: 0, shrink: false }
}

fn name(sequence: u32) -> String {
    ChannelName { channel: 291, epoch: 0, sequence }.to_string()
}
