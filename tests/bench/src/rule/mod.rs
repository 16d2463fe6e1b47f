//! The rules as expressions over atoms: what the plain string matchers and the naive loop work on.

pub mod cover;
pub mod layer;
mod literal;
mod parse;

use std::collections::{BTreeSet, HashMap};

pub use literal::longest_literal;

use crate::corpus::Corpus;
use crate::corpus::events::Event;

/// A field with text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The pipe's name.
    Pipe,
    /// The image's path.
    Image,
}

impl Field {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Pipe, Self::Image];

    /// The field's name in rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pipe => "PipeName",
            Self::Image => "Image",
        }
    }

    /// The event's text in small letters: what atoms are compared with.
    pub fn lower(self, event: &Event) -> &[u8] {
        match self {
            Self::Pipe => event.pipe.lower.as_bytes(),
            Self::Image => event.image.lower.as_bytes(),
        }
    }
}

/// How an atom compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// The text is the literal.
    Equals,
    /// The text starts with the literal.
    StartsWith,
    /// The text ends with the literal.
    EndsWith,
    /// The text contains the literal.
    Contains,
    /// The regular expression finds a place in the text.
    Regex,
}

/// One comparison of one text. Equal atoms of different rules are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Atom {
    /// The field.
    pub field: Field,
    /// How it is compared.
    pub comparison: Comparison,
    /// The literal or the pattern, in small letters.
    pub text: String,
}

impl Atom {
    /// The atom as a regular expression over the text in small letters.
    pub fn pattern(&self) -> String {
        let literal = || regex_syntax::escape(&self.text);
        match self.comparison {
            Comparison::Equals => format!("^{}$", literal()),
            Comparison::StartsWith => format!("^{}", literal()),
            Comparison::EndsWith => format!("{}$", literal()),
            Comparison::Contains => literal(),
            Comparison::Regex => self.text.clone(),
        }
    }
}

/// The place of an atom in its table.
pub type AtomId = u32;

/// A field with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberField {
    /// The process's identifier.
    ProcessId,
    /// The terminal session.
    Session,
}

impl NumberField {
    /// The field's name in rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProcessId => "ProcessId",
            Self::Session => "SessionId",
        }
    }
}

/// A test of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberTest {
    /// The field.
    pub field: NumberField,
    /// What the number is to the value: less, equal, or greater.
    pub ordering: std::cmp::Ordering,
    /// The value.
    pub value: u64,
}

impl NumberTest {
    /// Whether the event's number fits.
    pub fn holds(&self, event: &Event) -> bool {
        event.number(self.field).cmp(&self.value) == self.ordering
    }
}

/// When a rule is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// An atom holds.
    Atom(AtomId),
    /// A number fits.
    Number(NumberTest),
    /// All hold.
    And(Vec<Self>),
    /// One holds.
    Or(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
}

impl Expr {
    /// Whether it holds for the event, of whose texts `atom` tells.
    pub fn holds(&self, event: &Event, atom: &mut impl FnMut(AtomId) -> bool) -> bool {
        match self {
            Self::Atom(id) => atom(*id),
            Self::Number(test) => test.holds(event),
            Self::And(parts) => parts.iter().all(|part| part.holds(event, atom)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(event, atom)),
            Self::Not(part) => !part.holds(event, atom),
        }
    }
}

/// All rules of a measurement.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    /// The atoms.
    pub atoms: Vec<Atom>,
    /// The rules, in the order of the corpus.
    pub rules: Vec<Expr>,
}

impl RuleSet {
    /// Parses every rule of the corpus; says which rule says more than this measurement knows.
    pub fn parse(corpus: &Corpus) -> Result<Self, String> {
        let mut atoms = AtomTable::default();
        let mut rules = Vec::with_capacity(corpus.rules.len());
        for rule in &corpus.rules {
            let parsed = parse::rule(&rule.yaml, &mut atoms);
            rules.push(parsed.map_err(|why| format!("rule {}: {why}", rule.id))?);
        }
        Ok(Self { atoms: atoms.atoms, rules })
    }

    /// The places of the atoms of a field.
    pub fn of_field(&self, field: Field) -> Vec<AtomId> {
        (0..).zip(&self.atoms).filter(|(_, atom)| atom.field == field).map(|(id, _)| id).collect()
    }

    /// The literals of a field's atoms, and the longest of each regular expression.
    pub fn literals(&self, field: Field) -> Vec<String> {
        let literals = self.atoms.iter().filter(|atom| atom.field == field).map(|atom| match atom
            .comparison
        {
            Comparison::Regex => longest_literal(&atom.text),
            _ => atom.text.clone(),
        });
        let literals: BTreeSet<String> = literals.filter(|literal| !literal.is_empty()).collect();
        literals.into_iter().collect()
    }
}

/// Atoms by what they say.
#[derive(Default)]
struct AtomTable {
    atoms: Vec<Atom>,
    places: HashMap<Atom, AtomId>,
}

impl AtomTable {
    fn id(&mut self, atom: Atom) -> AtomId {
        *self.places.entry(atom).or_insert_with_key(|atom| {
            self.atoms.push(atom.clone());
            self.atoms.len() as AtomId - 1
        })
    }
}
