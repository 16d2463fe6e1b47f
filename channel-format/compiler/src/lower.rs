//! From a rule's detections to an expression over criteria.

mod item;

pub(crate) use item::{Comparison, Modifiers, pattern_parts};

use std::collections::{BTreeMap, BTreeSet};

use channel_format::engine::criterion::Operator;
use channel_format::engine::fold::fold;
use channel_format::limits::MAX_PROGRAM;
use channel_format::schema::Field;
use rsigma_parser::{ConditionExpr, Detection, Quantifier, SelectorPattern};

use crate::error::RuleError;
use crate::fields::closest;
use crate::regex::Automaton;
use crate::source::SourceRule;

/// What a criterion compares its field with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Operand {
    Nothing,
    /// As it is compared, and as a scan finds it.
    Literal {
        units: Vec<u16>,
        cased: bool,
        folded: Vec<u16>,
    },
    Number(u64),
    /// A binary security identifier.
    Sid(Vec<u8>),
    Automaton(Box<Automaton>),
}

impl Operand {
    /// A literal. The empty one has no case: its two spellings are one criterion.
    pub(crate) fn literal(units: Vec<u16>, cased: bool) -> Self {
        let folded: Vec<u16> = units.iter().map(|unit| fold(*unit)).collect();
        let cased = cased && !units.is_empty();
        Self::Literal { units: if cased { units } else { folded.clone() }, cased, folded }
    }
}

/// A criterion before it has a place in a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Criterion {
    pub(crate) field: Field,
    /// The operator's number.
    pub(crate) operator: u8,
    pub(crate) operand: Operand,
}

impl Criterion {
    pub(crate) fn new(field: Field, operator: Operator, operand: Operand) -> Self {
        Self { field, operator: operator.number(), operand }
    }

    /// The literal that a scan can find it by, folded.
    pub(crate) fn searched_literal(&self) -> Option<&[u16]> {
        match &self.operand {
            Operand::Literal { folded, .. } => Some(folded),
            Operand::Automaton(automaton) => {
                Some(automaton.literal.as_slice()).filter(|literal| !literal.is_empty())
            }
            _ => None,
        }
    }
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expr {
    Criterion(Criterion),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
}

impl Expr {
    /// All of them; one alone is itself.
    pub(crate) fn all(parts: Vec<Expr>) -> Self {
        Self::flat(parts, true)
    }

    /// Any of them; one alone is itself.
    pub(crate) fn any(parts: Vec<Expr>) -> Self {
        Self::flat(parts, false)
    }

    /// The opposite; twice is itself.
    pub(crate) fn opposite(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// Whether all of its parts must hold for it to hold; else any of them, or the one.
    pub(crate) fn needs_all(&self, negated: bool) -> bool {
        matches!((self, negated), (Self::And(_), false) | (Self::Or(_), true))
    }

    /// How many criteria it names, each as often as it names it: the length of its program.
    pub(crate) fn criteria(&self) -> usize {
        match self {
            Self::Criterion(_) => 1,
            Self::Not(inner) => inner.criteria(),
            Self::And(parts) | Self::Or(parts) => parts.iter().map(Self::criteria).sum(),
        }
    }

    fn flat(parts: Vec<Expr>, all: bool) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::And(inner) if all => flat.extend(inner),
                Self::Or(inner) if !all => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match (flat.len(), all) {
            (1, _) => flat.remove(0),
            (_, true) => Self::And(flat),
            (_, false) => Self::Or(flat),
        }
    }
}

/// Lowers a rule.
pub(crate) fn lower(rule: &SourceRule) -> Result<Expr, Vec<RuleError>> {
    let mut lowering = Lowering {
        rule,
        selections: BTreeMap::new(),
        left: Some(MAX_PROGRAM as usize),
        errors: Vec::new(),
    };
    // In the order of their names, since the parser does not keep that of the file.
    let mut names: Vec<&String> = rule.detections.named.keys().collect();
    names.sort();
    for name in names {
        if let Some(expr) = lowering.detection(name, &rule.detections.named[name]) {
            lowering.selections.insert(name, expr);
        }
    }
    if !lowering.errors.is_empty() {
        return Err(lowering.errors);
    }
    let mut used = BTreeSet::new();
    let conditions = &rule.detections.conditions;
    let parts = conditions.iter().filter_map(|c| lowering.condition(c, &mut used)).collect();
    let expr = Expr::any(parts);
    if !lowering.errors.is_empty() {
        return Err(lowering.errors);
    }
    let unused: Vec<&str> =
        lowering.selections.keys().copied().filter(|name| !used.contains(*name)).collect();
    for name in unused {
        let help = "name it in the condition, or take it out";
        lowering.fail(&[name], format!("no condition uses the selection `{name}`"), help);
    }
    if lowering.errors.is_empty() { Ok(expr) } else { Err(lowering.errors) }
}

struct Lowering<'a> {
    rule: &'a SourceRule,
    selections: BTreeMap<&'a str, Expr>,
    /// How many more instructions the condition may take: it names a selection as often as it likes.
    left: Option<usize>,
    errors: Vec<RuleError>,
}

impl<'a> Lowering<'a> {
    fn detection(&mut self, name: &str, detection: &Detection) -> Option<Expr> {
        match detection {
            Detection::AllOf(items) => {
                let parts: Vec<_> = items
                    .iter()
                    .map(|item| {
                        item::lower(item).map_err(|(words, reason, help)| {
                            let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
                            words.push(name);
                            self.unsupported(&words, reason, help);
                        })
                    })
                    .collect();
                Some(Expr::all(parts.into_iter().collect::<Result<_, ()>>().ok()?))
            }
            Detection::AnyOf(parts) => {
                let parts: Vec<_> = parts.iter().map(|part| self.detection(name, part)).collect();
                Some(Expr::any(parts.into_iter().collect::<Option<_>>()?))
            }
            Detection::And(parts) => {
                let parts: Vec<_> = parts.iter().map(|part| self.detection(name, part)).collect();
                Some(Expr::all(parts.into_iter().collect::<Option<_>>()?))
            }
            Detection::Keywords(_) => {
                let help = "name the field: `PipeName|contains: …`";
                self.unsupported(&[name], format!("`{name}` holds values without a field"), help);
                None
            }
            Detection::ArrayMatch { .. } | Detection::Conditional { .. } => {
                let help = "fields of this category hold one value; take the brackets out";
                self.unsupported(&[name], format!("`{name}` looks into an array"), help);
                None
            }
        }
    }

    fn condition(
        &mut self,
        condition: &ConditionExpr,
        used: &mut BTreeSet<String>,
    ) -> Option<Expr> {
        let parts = |this: &mut Self, parts: &[ConditionExpr], used: &mut BTreeSet<String>| {
            let parts: Vec<_> = parts.iter().map(|part| this.condition(part, used)).collect();
            parts.into_iter().collect::<Option<Vec<_>>>()
        };
        match condition {
            ConditionExpr::And(inner) => Some(Expr::all(parts(self, inner, used)?)),
            ConditionExpr::Or(inner) => Some(Expr::any(parts(self, inner, used)?)),
            ConditionExpr::Not(inner) => Some(self.condition(inner, used)?.opposite()),
            ConditionExpr::Identifier(name) => match self.selections.get(name.as_str()) {
                Some(expr) => {
                    used.insert(name.clone());
                    let size = expr.criteria();
                    self.take(size)?;
                    self.selections.get(name.as_str()).cloned()
                }
                None => {
                    let help = match closest(name, self.selections.keys().copied()) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => "define it under `detection:`".to_owned(),
                    };
                    let reason = format!("the condition names `{name}`, which is not defined");
                    self.fail(&[name, "condition"], reason, help);
                    None
                }
            },
            ConditionExpr::Selector { quantifier, pattern } => {
                self.selector(quantifier, pattern, used)
            }
        }
    }

    fn selector(
        &mut self,
        quantifier: &Quantifier,
        pattern: &SelectorPattern,
        used: &mut BTreeSet<String>,
    ) -> Option<Expr> {
        let chosen: Vec<(&str, usize)> = self
            .selections
            .iter()
            .filter(|(name, _)| match pattern {
                SelectorPattern::Them => !name.starts_with('_'),
                SelectorPattern::Pattern(pattern) => name_fits(name, pattern),
            })
            .map(|(name, expr)| (*name, expr.criteria()))
            .collect();
        if chosen.is_empty() {
            let help = match closest(&pattern.to_string(), self.selections.keys().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "define selections of such names under `detection:`".to_owned(),
            };
            let words = [pattern.to_string()];
            self.fail(&[&words[0], "condition"], format!("no selection fits `{pattern}`"), help);
            return None;
        }
        used.extend(chosen.iter().map(|(name, _)| (*name).to_owned()));
        let count = chosen.len() as u64;
        self.take(chosen.iter().map(|(_, size)| size).sum())?;
        let parts = chosen.iter().filter_map(|(name, _)| self.selections.get(name).cloned());
        let parts = parts.collect();
        match quantifier {
            Quantifier::Any | Quantifier::Count(1) => Some(Expr::any(parts)),
            Quantifier::All => Some(Expr::all(parts)),
            Quantifier::Count(wanted) if *wanted == count => Some(Expr::all(parts)),
            Quantifier::Count(wanted) => {
                let reason = format!("`{wanted} of {pattern}` is not supported");
                let help = "write `1 of` or `all of`, or spell the combinations out with and/or";
                self.unsupported(&["condition"], reason, help);
                None
            }
        }
    }

    /// Takes instructions from what the condition may have; the first time that it cannot, it says
    /// so.
    fn take(&mut self, size: usize) -> Option<()> {
        match self.left?.checked_sub(size) {
            Some(left) => self.left = Some(left),
            None => {
                self.left = None;
                let help = "name each selection once, or split the rule";
                let reason = format!("the condition takes more than {MAX_PROGRAM} instructions");
                self.unsupported(&["condition"], reason, help);
            }
        }
        self.left.map(|_| ())
    }

    fn fail(&mut self, words: &[&str], reason: impl Into<String>, help: impl Into<String>) {
        self.errors.push(self.rule.error(words, reason, help));
    }

    fn unsupported(&mut self, words: &[&str], reason: impl Into<String>, help: impl Into<String>) {
        self.errors.push(self.rule.error(words, reason, help).unsupported());
    }
}

/// True if a selection's name fits a pattern with `*`. Each part is taken at its first place, which
/// leaves the most for those behind it: nothing is tried twice.
pub(crate) fn name_fits(name: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return name == pattern;
    };
    let Some(mut left) = name.strip_prefix(start) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or("");
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_patterns() {
        assert!(name_fits("selection_image", "selection*"));
        assert!(name_fits("selection", "selection*"));
        assert!(name_fits("a_b_c", "a*b*c"));
        assert!(!name_fits("filter", "selection*"));
        assert!(!name_fits("selections", "selection"));
        assert!(name_fits("abab", "a*ab") && name_fits("aXbXb", "a*b") && name_fits("é_x", "*_*"));
        assert!(!name_fits("ab", "ab*b") && !name_fits("aba", "a*b"));
        assert!(!name_fits(&"a".repeat(60), &("a*".repeat(30) + "b")), "and soon");
    }
}
