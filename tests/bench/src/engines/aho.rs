//! `aho-corasick`: literals in one automaton a field, whole names in a map, and a regular
//! expression when its literal is found.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes::Regex;

use super::Engine;
use super::naive::regex_of;
use crate::corpus::events::Prepared;
use crate::rule::layer::BooleanLayer;
use crate::rule::{AtomId, Comparison, Field, RuleSet, longest_literal};

/// The automata.
pub struct Aho {
    layer: BooleanLayer,
    fields: Vec<Matcher>,
}

/// One field's.
struct Matcher {
    field: Field,
    whole: HashMap<Box<[u8]>, AtomId>,
    automaton: AhoCorasick,
    /// For each literal of the automaton.
    literals: Vec<Literal>,
    /// Regular expressions without a literal.
    always: Vec<(AtomId, Regex)>,
    event: u32,
}

/// What finding a literal means.
struct Literal {
    atom: AtomId,
    test: Test,
}

enum Test {
    StartsWith,
    EndsWith,
    Contains,
    /// The expression, and the last event that it was tried for: once is enough.
    Regex(Box<Regex>, u32),
}

impl Aho {
    /// The automata of those rules.
    pub fn new(set: &RuleSet, kind: AhoCorasickKind) -> Result<Self, String> {
        let fields: Result<_, String> =
            Field::ALL.into_iter().map(|field| Matcher::new(set, field, kind)).collect();
        Ok(Self { layer: BooleanLayer::new(set), fields: fields? })
    }
}

impl Matcher {
    fn new(set: &RuleSet, field: Field, kind: AhoCorasickKind) -> Result<Self, String> {
        let mut whole = HashMap::new();
        let mut texts = Vec::new();
        let mut literals = Vec::new();
        let mut always = Vec::new();
        for id in set.of_field(field) {
            let atom = &set.atoms[id as usize];
            let (text, test) = match atom.comparison {
                Comparison::Equals => {
                    whole.insert(atom.text.clone().into_bytes().into(), id);
                    continue;
                }
                Comparison::StartsWith => (atom.text.clone(), Test::StartsWith),
                Comparison::EndsWith => (atom.text.clone(), Test::EndsWith),
                Comparison::Contains => (atom.text.clone(), Test::Contains),
                Comparison::Regex => {
                    let regex = regex_of(atom).ok_or("a regular expression does not build")?;
                    let literal = longest_literal(&atom.text);
                    // A shorter one is in almost every name.
                    if literal.len() < 3 {
                        always.push((id, regex));
                        continue;
                    }
                    (literal, Test::Regex(Box::new(regex), 0))
                }
            };
            texts.push(text);
            literals.push(Literal { atom: id, test });
        }
        let automaton = AhoCorasick::builder().kind(Some(kind)).build(&texts);
        let automaton = automaton.map_err(|error| error.to_string())?;
        Ok(Self { field, whole, automaton, literals, always, event: 0 })
    }

    fn search(&mut self, event: &Prepared<'_>, layer: &mut BooleanLayer) {
        let text = self.field.lower(event.event);
        self.event = self.event.wrapping_add(1);
        if let Some(atom) = self.whole.get(text) {
            layer.hit(*atom);
        }
        for found in self.automaton.find_overlapping_iter(text) {
            let literal = &mut self.literals[found.pattern().as_usize()];
            let holds = match &mut literal.test {
                Test::StartsWith => found.start() == 0,
                Test::EndsWith => found.end() == text.len(),
                Test::Contains => true,
                Test::Regex(_, tried) if *tried == self.event => false,
                Test::Regex(regex, tried) => {
                    *tried = self.event;
                    regex.is_match(text)
                }
            };
            if holds {
                layer.hit(literal.atom);
            }
        }
        for (atom, regex) in &self.always {
            if regex.is_match(text) {
                layer.hit(*atom);
            }
        }
    }
}

impl Engine for Aho {
    fn judge(&mut self, event: &Prepared<'_>, matched: &mut Vec<u32>) {
        for matcher in &mut self.fields {
            matcher.search(event, &mut self.layer);
        }
        self.layer.finish(event.event, matched);
    }
}
