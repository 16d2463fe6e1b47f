//! Saker: the rules' own YAML through the compiler, and the file that comes out through the
//! driver's own parser and evaluator.

use std::path::Path;

use channel_compiler::{BuildOptions, SecretKey, attach_signature, build_for, parse_rules};
use channel_format::anchor::Anchor;
use channel_format::engine::kept::Kept;
use channel_format::frame::verify;
use channel_format::refusal::Refusal;
use channel_format::ruleset::{Ruleset, SectionKind};
use channel_format::schema::{SensorProfile, Truth};
use channel_format::signature::Role;
use driver_core::processes::{Processes, Slot};

use super::Engine;
use crate::corpus::Corpus;
use crate::corpus::events::Prepared;

/// The channel, epoch and sequence of the files, which nothing here depends on.
const OPTIONS: BuildOptions =
    BuildOptions { channel: 291, epoch: 1, sequence: 1, created: 0, expires: 0, shrink: false };

/// A ruleset as the driver serves it.
pub struct Saker(Ruleset<Vec<u8>>);

impl Saker {
    /// Does everything that the driver does with a file before it serves it.
    pub fn new(file: &[u8]) -> Result<Self, String> {
        let (_, anchor) = key().map_err(|refusal| refusal.to_string())?;
        load(file.to_vec(), &anchor).map(Self).map_err(|refusal| refusal.to_string())
    }

    /// Bytes of the tables that are matched with: all sections but metadata and examples.
    pub fn table_bytes(&self) -> usize {
        let apart = [SectionKind::Text, SectionKind::Lists, SectionKind::Examples];
        let apart = apart.map(SectionKind::number);
        let sections = self.0.header().sections.iter();
        sections.filter(|section| !apart.contains(&section.kind)).map(|s| s.length as usize).sum()
    }
}

impl Engine for Saker {
    fn judge(&mut self, event: &Prepared<'_>, matched: &mut Vec<u32>) {
        self.0.evaluate(&event.inputs, &mut |rule, truth| {
            if truth == Truth::True {
                matched.push(rule);
            }
        });
    }
}

/// The same, with what scans find in a process's image kept beside the process, as a driver's table
/// of processes would: the time of finding it there, and of finding it out once, is part of it.
pub struct SakerKept {
    ruleset: Ruleset<Vec<u8>>,
    processes: Processes<Vec<Slot<Option<Kept>>>>,
}

/// Room for processes: some twice as many as a busy machine has.
const PROCESSES: usize = 1_024;

impl SakerKept {
    /// A ruleset and an empty table.
    pub fn new(file: &[u8]) -> Result<Self, String> {
        let Saker(ruleset) = Saker::new(file)?;
        Ok(Self { ruleset, processes: Processes::new(vec![Slot::FREE; PROCESSES]) })
    }
}

impl Engine for SakerKept {
    fn judge(&mut self, event: &Prepared<'_>, matched: &mut Vec<u32>) {
        let process = event.event.process as u64;
        let kept = match self.processes.find(process) {
            Some(kept) => *kept,
            None => {
                let kept = self.ruleset.keep(&event.inputs);
                self.processes.keep(process, kept);
                kept
            }
        };
        self.ruleset.evaluate_kept(&event.inputs, kept.as_ref(), &mut |rule, truth| {
            if truth == Truth::True {
                matched.push(rule);
            }
        });
    }
}

/// The signed channel file of those rules.
pub fn file(corpus: &Corpus) -> Result<Vec<u8>, String> {
    let mut rules = Vec::with_capacity(corpus.rules.len());
    for rule in &corpus.rules {
        let parsed = parse_rules(Path::new(&rule.id), &rule.yaml);
        rules.extend(parsed.map_err(|faults| told(&faults))?);
    }
    // The rules test numbers that today's sensor does not supply.
    let mut file =
        build_for(&rules, &OPTIONS, &SensorProfile::FULL).map_err(|faults| told(&faults))?;
    let (key, _) = key().map_err(|refusal| refusal.to_string())?;
    attach_signature(&mut file, &key).map_err(|error| error.to_string())?;
    Ok(file)
}

/// Verifies, parses and tests a file.
pub fn load<B: AsRef<[u8]>>(file: B, anchor: &Anchor) -> Result<Ruleset<B>, Refusal> {
    let signed = verify(file.as_ref(), anchor)?;
    let ruleset = Ruleset::parse(signed.body(file)?, &SensorProfile::FULL)?;
    ruleset.self_test()?;
    Ok(ruleset)
}

/// A key that everyone knows, and the anchor that trusts it.
pub fn key() -> Result<(SecretKey, Anchor), Refusal> {
    let seed = *b"SAKER BENCH KEY, NOT A SECRET 00";
    let internal = Refusal::new(channel_format::refusal::Code::Internal, 0, 0, 0);
    let key =
        SecretKey::from_seed(seed, Role::Content, false, 1..=u32::MAX).map_err(|_| internal)?;
    let anchor = Anchor::parse(&Anchor::encode(&[], 0, &[key.public])?)?;
    Ok((key, anchor))
}

fn told(faults: &[channel_compiler::RuleError]) -> String {
    faults.iter().take(3).map(|fault| format!("{fault:?}")).collect::<Vec<_>>().join("\n")
}
