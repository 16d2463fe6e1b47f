//! `regex::RegexSet`: every atom is a pattern, one set a field.

use regex::bytes::{RegexSet, RegexSetBuilder};

use super::Engine;
use crate::corpus::events::Prepared;
use crate::rule::layer::BooleanLayer;
use crate::rule::{AtomId, Field, RuleSet};

/// Bytes that the lazy automaton of a set may grow to: enough never to be thrown away.
pub const CACHE: usize = 256 << 20;

/// The sets.
pub struct Sets {
    layer: BooleanLayer,
    fields: Vec<(Field, Vec<AtomId>, RegexSet)>,
}

impl Sets {
    /// The sets of those rules.
    pub fn new(set: &RuleSet) -> Result<Self, String> {
        let field = |field| {
            let atoms = set.of_field(field);
            let patterns = atoms.iter().map(|id| set.atoms[*id as usize].pattern());
            let built = RegexSetBuilder::new(patterns)
                .unicode(false)
                .dot_matches_new_line(true)
                .size_limit(1 << 32)
                .dfa_size_limit(CACHE)
                .build();
            Ok((field, atoms, built.map_err(|error| error.to_string())?))
        };
        let fields: Result<_, String> = Field::ALL.into_iter().map(field).collect();
        Ok(Self { layer: BooleanLayer::new(set), fields: fields? })
    }
}

impl Engine for Sets {
    fn judge(&mut self, event: &Prepared<'_>, matched: &mut Vec<u32>) {
        for (field, atoms, set) in &self.fields {
            for pattern in &set.matches(field.lower(event.event)) {
                self.layer.hit(atoms[pattern]);
            }
        }
        self.layer.finish(event.event, matched);
    }
}
