//! Vectorscan: every atom is a pattern, one database a field.
//!
//! It is given text in any case and patterns marked caseless, which is how one would use it and
//! needs no pass that folds the text. Each pattern is told once a scan at most.

use super::Engine;
use super::hs::{Database, Scratch};
use crate::corpus::events::Prepared;
use crate::rule::layer::BooleanLayer;
use crate::rule::{Field, RuleSet};

/// The databases.
pub struct Vectorscan {
    layer: BooleanLayer,
    databases: Vec<Database>,
    scratch: Scratch,
}

impl Vectorscan {
    /// The databases of those rules.
    pub fn new(set: &RuleSet) -> Result<Self, String> {
        let database = |field| {
            let atoms = set.of_field(field);
            let pattern = |id: &u32| (*id, set.atoms[*id as usize].pattern());
            Database::compile(&atoms.iter().map(pattern).collect::<Vec<_>>())
        };
        let databases: Result<Vec<Database>, String> =
            Field::ALL.into_iter().map(database).collect();
        let databases = databases?;
        let scratch = Scratch::new(&databases)?;
        Ok(Self { layer: BooleanLayer::new(set), databases, scratch })
    }
}

impl Engine for Vectorscan {
    fn judge(&mut self, event: &Prepared<'_>, matched: &mut Vec<u32>) {
        let texts = [&event.event.pipe.raw, &event.event.image.raw];
        for (database, text) in self.databases.iter().zip(texts) {
            let layer = &mut self.layer;
            // A scan that fails finds nothing, and the comparison of verdicts tells.
            let _ = self.scratch.scan(database, text.as_bytes(), |atom| layer.hit(atom));
        }
        self.layer.finish(event.event, matched);
    }

    fn foreign_memory(&self) -> usize {
        self.databases.iter().map(Database::size).sum::<usize>() + self.scratch.size()
    }
}
