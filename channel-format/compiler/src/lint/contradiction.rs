//! Rules, and values of rules, that no event can fit.
//!
//! Facts are collected along each conjunction. A part of a disjunction is refuted if it contradicts
//! them, or if it leaves another disjunction beside it without a part; if one part is left, it is a
//! fact too. That is sound and takes a bounded number of steps; it does not find every contradiction
//! there is.

use std::sync::Arc;

use channel_format::engine::criterion::Operator;
use channel_format::schema::{Field, Operation};

use super::Steps;
use super::fact::{Fact, values_of};
use super::finding::{Code, Finding, Severity};
use super::place;
use super::view::View;
use crate::error::RuleError;
use crate::lower::{Criterion, Expr, Operand};
use crate::source::SourceRule;

/// Values that one finding names.
const MAX_NAMED: usize = 5;

/// What of the rule can never be.
pub(super) fn findings(rule: &SourceRule, expr: &Expr) -> Vec<Finding> {
    let operation = only_operation(rule);
    let mut known: Vec<Fact<'_>> =
        operation.iter().map(|criterion| Fact::new(criterion, true)).collect();
    let mut search = Search { rule, steps: Steps::ONE_PROOF, dead: Vec::new() };
    if let Some(why) = search.refuted(expr, true, &mut known) {
        let reason = format!("no event can match the rule: {}", why.reason);
        return vec![finding(rule, Code::NeverMatches, Severity::Error, &why, reason)];
    }
    search.idle(expr);
    search.ruled_out(expr, true, &mut known);
    search.dead_finding().into_iter().collect()
}

/// The one operation that the rule judges, if it is one.
fn only_operation(rule: &SourceRule) -> Option<Criterion> {
    let only = Operation::ALL.into_iter().find(|operation| rule.judges == operation.mask())?;
    let number = Operand::Number(only.number());
    Some(Criterion::new(Field::Operation, Operator::NumberEqual, number))
}

/// Why something can never be.
#[derive(Clone, Debug)]
struct Why {
    reason: String,
    help: String,
    /// The value to point at.
    units: Vec<u16>,
    field: Field,
}

impl Why {
    fn new(fact: &Fact<'_>, reason: impl Into<String>, help: &str) -> Self {
        let units = fact.text().map_or_else(Vec::new, |(units, _)| units.to_vec());
        Self { reason: reason.into(), help: help.to_owned(), units, field: fact.field() }
    }
}

/// A disjunction: its parts, and whether each counts as holding or not.
type Any<'e> = (&'e [Expr], bool);

struct Search<'r> {
    rule: &'r SourceRule,
    steps: Steps,
    dead: Vec<Why>,
}

impl Search<'_> {
    /// Why the expression cannot hold (or not hold) along with what is known. What is known is left
    /// as it was.
    fn refuted<'e>(
        &mut self,
        expr: &'e Expr,
        holds: bool,
        known: &mut Vec<Fact<'e>>,
    ) -> Option<Why> {
        if !self.steps.take() {
            return None;
        }
        match View::of(expr, holds) {
            View::Fact(fact) => self.clash(&fact, known),
            View::All(parts, holds) => {
                let before = known.len();
                let why = self.learn(parts, holds, known).err();
                known.truncate(before);
                why
            }
            View::Any(parts, holds) => self.all_refuted((parts, holds), known),
        }
    }

    /// Why no part of a disjunction can hold.
    fn all_refuted<'e>(&mut self, any: Any<'e>, known: &mut Vec<Fact<'e>>) -> Option<Why> {
        let mut first = None;
        for part in any.0 {
            let why = self.refuted(part, any.1, known)?;
            first.get_or_insert(why);
        }
        first
    }

    /// Why one part of a disjunction cannot hold, beside others of which each must have a part that
    /// does.
    fn refuted_beside<'e>(
        &mut self,
        part: &'e Expr,
        holds: bool,
        others: impl Iterator<Item = Any<'e>>,
        known: &mut Vec<Fact<'e>>,
    ) -> Option<Why> {
        let before = known.len();
        let mut why = self.learn(std::slice::from_ref(part), holds, known).err();
        for other in others {
            if why.is_none() {
                why = self.all_refuted(other, known);
            }
        }
        known.truncate(before);
        why
    }

    /// Adds to what is known all that follows from these parts together; says why they cannot be.
    fn learn<'e>(
        &mut self,
        parts: &'e [Expr],
        holds: bool,
        known: &mut Vec<Fact<'e>>,
    ) -> Result<(), Why> {
        let mut open: Vec<Any<'e>> = Vec::new();
        let mut left: Vec<(&Expr, bool)> = parts.iter().map(|part| (part, holds)).collect();
        loop {
            while let Some((part, holds)) = left.pop() {
                match View::of(part, holds) {
                    View::Fact(fact) => {
                        if let Some(why) = self.clash(&fact, known) {
                            return Err(why);
                        }
                        known.push(fact);
                    }
                    View::All(parts, holds) => left.extend(parts.iter().map(|part| (part, holds))),
                    View::Any(parts, holds) => open.push((parts, holds)),
                }
            }
            for at in 0..open.len() {
                let (parts, holds) = open[at];
                let mut first = None;
                let mut standing = Vec::new();
                for part in parts {
                    let others = open.iter().enumerate().filter(|(other, _)| *other != at);
                    let others = others.map(|(_, any)| *any);
                    match self.refuted_beside(part, holds, others, known) {
                        Some(why) => first = first.or(Some(why)),
                        None => standing.push(part),
                    }
                }
                match (standing.as_slice(), first) {
                    ([], Some(why)) => return Err(why),
                    ([one], _) => {
                        open.remove(at);
                        left.push((one, holds));
                        break;
                    }
                    _ => {}
                }
            }
            if left.is_empty() {
                return Ok(());
            }
        }
    }

    /// Why a fact cannot be, alone or along with what is known.
    fn clash(&mut self, fact: &Fact<'_>, known: &[Fact<'_>]) -> Option<Why> {
        if fact.holds
            && let Some((reason, help)) = fact.impossible()
        {
            return Some(Why::new(
                fact,
                format!("{}, but {reason}", fact.describe(self.rule)),
                help,
            ));
        }
        for other in known {
            if !self.steps.take() {
                return None;
            }
            if fact.contradicts(other) {
                let (one, two) = (other.describe(self.rule), fact.describe(self.rule));
                let help = "take one of them out, or let the condition join them with `or`";
                return Some(Why::new(
                    fact,
                    format!("it asks for `{one}` and `{two}` at once"),
                    help,
                ));
            }
        }
        self.no_number_left(fact, known)
    }

    /// Numbers may fit each fact and not all of them.
    fn no_number_left(&self, fact: &Fact<'_>, known: &[Fact<'_>]) -> Option<Why> {
        fact.span()?;
        let all = || known.iter().chain([fact]).filter(|other| other.field() == fact.field());
        let holding = all().filter(|other| other.holds).filter_map(Fact::span);
        let holding: Vec<_> = holding.collect();
        if holding.is_empty() {
            return None;
        }
        let left = holding.into_iter().fold(values_of(fact.field()), |left, span| left.and(span));
        let excluded = all()
            .filter(|other| !other.holds)
            .filter_map(Fact::span)
            .any(|excluded| left.is_within(excluded));
        if !left.is_empty() && !excluded {
            return None;
        }
        let reason = format!("no number is left for {}", fact.field().name());
        Some(Why::new(fact, reason, "let the ranges overlap"))
    }

    /// Collects the values that no event has, whatever the rule does with them: a filter on one
    /// filters nothing.
    fn idle(&mut self, expr: &Expr) {
        match expr {
            Expr::Criterion(criterion) => {
                let fact = Fact::new(criterion, true);
                if let Some((reason, help)) = fact.impossible() {
                    self.dead.push(Why::new(&fact, reason, help));
                }
            }
            Expr::Not(inner) => self.idle(inner),
            Expr::And(parts) | Expr::Or(parts) => parts.iter().for_each(|part| self.idle(part)),
        }
    }

    /// Collects the alternatives that the rest of the condition rules out.
    fn ruled_out<'e>(&mut self, expr: &'e Expr, holds: bool, known: &mut Vec<Fact<'e>>) {
        let before = known.len();
        let (parts, joined) = match View::of(expr, holds) {
            View::Fact(_) => return,
            View::All(parts, holds) => {
                // It may hold, so there is nothing to learn but facts.
                let _ = self.learn(parts, holds, known);
                (parts, holds)
            }
            View::Any(..) => (std::slice::from_ref(expr), holds),
        };
        let any = |part| match View::of(part, joined) {
            View::Any(parts, holds) => Some((parts, holds)),
            _ => None,
        };
        let open: Vec<Any<'e>> = parts.iter().filter_map(any).collect();
        for (at, (parts, holds)) in open.iter().enumerate() {
            for part in *parts {
                let others = open.iter().enumerate().filter(|(other, _)| *other != at);
                match self.refuted_beside(part, *holds, others.map(|(_, any)| *any), known) {
                    // A filter may well repeat what the selection says.
                    Some(why) if *holds => self.dead.push(why),
                    Some(_) => {}
                    None => self.ruled_out(part, *holds, known),
                }
            }
        }
        known.truncate(before);
    }

    /// One finding for all of them.
    fn dead_finding(&mut self) -> Option<Finding> {
        let mut values: Vec<String> = Vec::new();
        for why in &self.dead {
            let value = place::spelling(self.rule, &why.units);
            if !value.is_empty() && !values.contains(&value) {
                values.push(value);
            }
        }
        let first = self.dead.first()?;
        let named = values.iter().take(MAX_NAMED).map(|value| format!("`{value}`"));
        let mut named = named.collect::<Vec<_>>().join(", ");
        if values.len() > MAX_NAMED {
            named = format!("{named} and {} more", values.len() - MAX_NAMED);
        }
        let what = match values.len() {
            0 => "a part of the condition".to_owned(),
            1 => format!("the value {named}"),
            count => format!("{count} values ({named})"),
        };
        let reason = format!("{what} can never match: {}", first.reason);
        Some(finding(self.rule, Code::DeadValue, Severity::Warning, first, reason))
    }
}

fn finding(
    rule: &SourceRule,
    code: Code,
    severity: Severity,
    why: &Why,
    reason: String,
) -> Finding {
    let field = || {
        let names = crate::fields::SigmaField::names_of(why.field);
        names.into_iter().find_map(|name| place::detected(rule, name))
    };
    let span = place::value(rule, &why.units).or_else(field);
    let fault = RuleError::new(&rule.file, Arc::clone(&rule.text), span, reason, why.help.clone());
    Finding { code, severity, id: rule.id.clone(), title: rule.title.clone(), fault }
}
