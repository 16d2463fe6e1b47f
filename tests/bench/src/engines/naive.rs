//! The naive loop: every rule for every event, every atom as it comes. All verdicts are measured
//! against its own.

use memchr::memmem;
use regex::bytes::{Regex, RegexBuilder};

use super::Engine;
use crate::corpus::events::{Event, Prepared};
use crate::rule::{Atom, AtomId, Comparison, RuleSet};

/// The loop.
pub struct Naive {
    set: RuleSet,
    /// For each atom, its regular expression if it is one.
    regexes: Vec<Option<Regex>>,
}

impl Naive {
    /// The loop over those rules.
    pub fn new(set: &RuleSet) -> Self {
        Self { set: set.clone(), regexes: set.atoms.iter().map(regex_of).collect() }
    }

    /// The rules that are true of an event, in order.
    pub fn matched(&self, event: &Event) -> Vec<u32> {
        let mut matched = Vec::new();
        self.collect(event, &mut matched);
        matched
    }

    /// Whether an atom holds for an event.
    pub fn atom_holds(&self, id: AtomId, event: &Event) -> bool {
        let atom = &self.set.atoms[id as usize];
        let (text, literal) = (atom.field.lower(event), atom.text.as_bytes());
        match atom.comparison {
            Comparison::Equals => text == literal,
            Comparison::StartsWith => text.starts_with(literal),
            Comparison::EndsWith => text.ends_with(literal),
            Comparison::Contains => memmem::find(text, literal).is_some(),
            Comparison::Regex => {
                self.regexes[id as usize].as_ref().is_some_and(|regex| regex.is_match(text))
            }
        }
    }

    fn collect(&self, event: &Event, matched: &mut Vec<u32>) {
        for (number, rule) in (0..).zip(&self.set.rules) {
            if rule.holds(event, &mut |atom| self.atom_holds(atom, event)) {
                matched.push(number);
            }
        }
    }
}

impl Engine for Naive {
    fn judge(&mut self, event: &Prepared<'_>, matched: &mut Vec<u32>) {
        self.collect(event.event, matched);
    }
}

/// The regular expression of an atom, over bytes in small letters.
pub fn regex_of(atom: &Atom) -> Option<Regex> {
    let built = RegexBuilder::new(&atom.text).unicode(false).dot_matches_new_line(true).build();
    if atom.comparison == Comparison::Regex { built.ok() } else { None }
}
