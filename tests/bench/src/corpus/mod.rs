//! The rules and the events of the measurement, the same on every machine.

pub mod events;
mod generated;
mod known;
mod names;
pub mod random;

use random::Random;

/// Seed of the generated rules.
const RULE_SEED: u64 = 0x5a4b_4552_0001;

/// Rules of one measurement, in the order of their identifiers.
pub struct Corpus {
    /// The rules. A rule's place is its number in every engine: channel files have their rules
    /// in this order too.
    pub rules: Vec<CorpusRule>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorpusRule {
    /// Its identifier.
    pub id: String,
    /// Its text.
    pub yaml: String,
    /// What fits its selection, or another rule's.
    pub samples: Vec<Sample>,
}

/// A pipe and the image of the process that creates it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The pipe's name.
    pub pipe: String,
    /// The image's path.
    pub image: String,
}

impl Corpus {
    /// The first `count` rules: twenty that are written by hand, then generated ones.
    pub fn new(count: usize) -> Self {
        let mut rules = known::rules();
        let mut random = Random::new(RULE_SEED);
        let generated = (rules.len()..count).map(|number| generated::rule(&mut random, number));
        rules.extend(generated);
        rules.truncate(count);
        rules.sort_by(|left, right| left.id.cmp(&right.id));
        Self { rules }
    }
}

#[cfg(test)]
mod tests;
