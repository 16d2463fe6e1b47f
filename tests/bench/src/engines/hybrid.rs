//! `regex-automata`: the same patterns in one lazily built automaton a field, without the
//! allocations that `RegexSet` makes for every search.

use regex_automata::hybrid::dfa::{Builder, Cache, Config, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind, PatternSet};

use super::Engine;
use super::regex_set::CACHE;
use crate::corpus::events::Prepared;
use crate::rule::layer::BooleanLayer;
use crate::rule::{AtomId, Field, RuleSet};

/// The automata.
pub struct Hybrid {
    layer: BooleanLayer,
    fields: Vec<Automaton>,
}

struct Automaton {
    field: Field,
    atoms: Vec<AtomId>,
    dfa: DFA,
    cache: Cache,
    found: PatternSet,
}

impl Hybrid {
    /// The automata of those rules.
    pub fn new(set: &RuleSet) -> Result<Self, String> {
        let fields: Result<_, String> =
            Field::ALL.into_iter().map(|field| Automaton::new(set, field)).collect();
        Ok(Self { layer: BooleanLayer::new(set), fields: fields? })
    }
}

impl Automaton {
    fn new(set: &RuleSet, field: Field) -> Result<Self, String> {
        let atoms = set.of_field(field);
        let patterns: Vec<String> =
            atoms.iter().map(|id| set.atoms[*id as usize].pattern()).collect();
        let syntax = syntax::Config::new().unicode(false).utf8(false).dot_matches_new_line(true);
        let nfa = thompson::Compiler::new()
            .syntax(syntax)
            .configure(thompson::Config::new().utf8(false).nfa_size_limit(None))
            .build_many(&patterns)
            .map_err(|error| error.to_string())?;
        let config = Config::new().match_kind(MatchKind::All).cache_capacity(CACHE);
        let dfa = Builder::new().configure(config).build_from_nfa(nfa);
        let dfa = dfa.map_err(|error| error.to_string())?;
        let cache = dfa.create_cache();
        let found = PatternSet::new(atoms.len());
        Ok(Self { field, atoms, dfa, cache, found })
    }

    fn search(&mut self, event: &Prepared<'_>, layer: &mut BooleanLayer) {
        let input = Input::new(self.field.lower(event.event));
        self.found.clear();
        let searched =
            self.dfa.try_which_overlapping_matches(&mut self.cache, &input, &mut self.found);
        // It gives up only if told to, or on bytes that it was told to quit at.
        if searched.is_ok() && !self.found.is_empty() {
            self.found.iter().for_each(|pattern| layer.hit(self.atoms[pattern.as_usize()]));
        }
    }
}

impl Engine for Hybrid {
    fn judge(&mut self, event: &Prepared<'_>, matched: &mut Vec<u32>) {
        for automaton in &mut self.fields {
            automaton.search(event, &mut self.layer);
        }
        self.layer.finish(event.event, matched);
    }
}
