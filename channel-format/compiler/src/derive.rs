//! Examples that a rule's author did not give: an event that it matches for each of its
//! alternatives, and one that it just misses.
//!
//! # How
//! The condition is taken apart into [`ways`] to hold, each a list of criteria that must hold or
//! must not. For one way each field is solved on its own: a [text](text) is glued from the
//! literals or found by walking the automata side by side, a number lies at the edge of a bound.
//! A near miss is a match with one unit changed, or else one value.
//!
//! # Guarantees
//! * Each was judged by [`naive`] before it is kept: a mistake here costs an example, not its truth.
//! * The same rule gives the same examples, after bounded work.

mod text;
mod value;
mod ways;

use std::collections::{BTreeMap, BTreeSet};

use channel_format::schema::{Field, Operation, Truth};

use crate::error::RuleError;
use crate::lower::{Criterion, Expr};
use crate::naive;
use crate::source::{Example, ExampleValue, SourceRule};
use text::Budget;
use ways::{Way, ways};

/// Alternatives of a rule that get a match of their own.
const MAX_ALTERNATIVES: usize = 4;
/// Most examples that are derived for a rule: its alternatives, and a near miss.
pub(crate) const MAX_DERIVED: usize = MAX_ALTERNATIVES + 1;
/// Ways that are tried before a rule is given up.
const MAX_TRIES: usize = 128;
/// Changes that are tried for a near miss.
const MAX_CHANGES: usize = 512;

/// The values of an event; fields that are not in it are absent.
type Values = BTreeMap<Field, ExampleValue>;

/// The author's examples, and derived ones for the alternatives that they leave out, such that one
/// matches and one does not.
pub(crate) fn complete(rule: &SourceRule, expr: &Expr) -> Result<Vec<Example>, Vec<RuleError>> {
    let mut examples = rule.examples.clone();
    let mut search = Search { rule, budget: Budget::of_a_rule(), known: Vec::new() };
    for values in search.matches(expr) {
        examples.push(Example { matches: true, values, derived: true });
    }
    let Some(matching) = examples.iter().find(|example| example.matches) else {
        let help = "see that its parts do not exclude each other, or give an event that it matches \
                    under `saker: examples: match:`";
        return Err(vec![impossible(rule, "matches", help)]);
    };
    if !examples.iter().any(|example| !example.matches) {
        let missed = near_miss(rule, expr, &matching.values).or_else(|| {
            let mut all = ways(expr, false).into_iter().take(MAX_TRIES);
            all.find_map(|way| search.event(&way, Truth::False))
        });
        let Some(values) = missed else {
            let help = "a rule that matches every event tells nothing; narrow it, or give an event \
                        that it does not match under `saker: examples: no_match:`";
            return Err(vec![impossible(rule, "does not match", help)]);
        };
        examples.push(Example { matches: false, values, derived: true });
    }
    Ok(examples)
}

fn impossible(rule: &SourceRule, what: &str, help: &str) -> RuleError {
    let reason = format!("no example could be derived that the rule `{}` {what}", rule.title);
    rule.error(&["condition", "detection"], reason, help).unsupported()
}

/// The search for events of one rule.
struct Search<'a> {
    rule: &'a SourceRule,
    budget: Budget,
    /// What was asked of a field, and the value that was found, if one was.
    known: Vec<(Way<'a>, Option<Option<ExampleValue>>)>,
}

impl<'a> Search<'a> {
    /// Events that the rule matches: one a way that brings a criterion that no event before met.
    fn matches(&mut self, expr: &'a Expr) -> Vec<Values> {
        let mut found: Vec<Values> = Vec::new();
        let mut met: BTreeSet<&Criterion> = BTreeSet::new();
        let all = ways(expr, true);
        let given: Vec<&Example> = self.rule.examples.iter().filter(|e| e.matches).collect();
        for example in &given {
            let wanted = all.iter().flatten().filter(|(_, wanted)| *wanted);
            met.extend(wanted.map(|(c, _)| *c).filter(|c| value::meets_event(c, &example.values)));
        }
        let mut tries = 0;
        for way in &all {
            let settled = !given.is_empty() || !found.is_empty();
            let fresh = way.iter().any(|(criterion, wanted)| *wanted && !met.contains(criterion));
            if (settled && !fresh) || self.is_hopeless(way) {
                continue;
            }
            tries += 1;
            if tries > MAX_TRIES || found.len() == MAX_ALTERNATIVES {
                break;
            }
            if let Some(values) = self.event(way, Truth::True) {
                let wanted = way.iter().filter(|(_, wanted)| *wanted);
                met.extend(wanted.map(|(criterion, _)| *criterion));
                found.push(values);
            }
        }
        found
    }

    /// True if the way asks all that was in vain before.
    fn is_hopeless(&self, way: &Way<'_>) -> bool {
        let mut vain = self.known.iter().filter(|(_, found)| found.is_none());
        vain.any(|(wishes, _)| wishes.iter().all(|wish| way.contains(wish)))
    }

    /// An event that the rule judges so, made for a way of its condition.
    fn event(&mut self, way: &Way<'a>, wanted: Truth) -> Option<Values> {
        let mut wishes: BTreeMap<Field, Way<'a>> = BTreeMap::new();
        for wish in way {
            wishes.entry(wish.0.field).or_default().push(*wish);
        }
        let operation = wishes.remove(&Field::Operation).unwrap_or_default();
        let judged = Operation::ALL.into_iter().filter(|op| self.rule.judges & op.mask() != 0);
        let operation = judged
            .map(|operation| ExampleValue::Number(operation.number()))
            .find(|value| operation.iter().all(|(c, w)| value::meets(c, Some(value)) == *w))?;
        let mut values = Values::from([(Field::Operation, operation)]);
        if let (Some(path), Some(name)) =
            (wishes.get(&Field::ImagePath), wishes.get(&Field::ImageName))
            && let Some((path, name)) = value::image(path, name, &mut self.budget)
        {
            values.insert(Field::ImagePath, path);
            values.insert(Field::ImageName, name);
            wishes.remove(&Field::ImagePath);
            wishes.remove(&Field::ImageName);
        }
        for (field, wishes) in wishes {
            if let Some(value) = self.value(field, wishes)? {
                values.insert(field, value);
            }
        }
        judged_so(self.rule, values, wanted)
    }

    /// [`value::solve`], once for the same wishes.
    fn value(&mut self, field: Field, wishes: Way<'a>) -> Option<Option<ExampleValue>> {
        if let Some((_, found)) = self.known.iter().find(|(known, _)| *known == wishes) {
            return found.clone();
        }
        let found = value::solve(field, &wishes, &mut self.budget);
        self.known.push((wishes, found.clone()));
        found
    }
}

/// The rule's match with as little changed as makes it miss: one unit of a text, else a number or
/// a user, else a value taken away, else the operation.
fn near_miss(rule: &SourceRule, expr: &Expr, matching: &Values) -> Option<Values> {
    let with = |field: Field, value: ExampleValue| {
        let mut values = matching.clone();
        values.insert(field, value);
        if let (Field::ImagePath, Some(ExampleValue::Text(path))) = (field, values.get(&field))
            && values.contains_key(&Field::ImageName)
        {
            let name = ExampleValue::Text(value::last_part(path).to_vec());
            values.insert(Field::ImageName, name);
        }
        values
    };
    let others = || matching.iter().filter(|(field, _)| **field != Field::Operation);
    let texts = others().flat_map(|(field, found)| {
        let found: &[u16] = if let ExampleValue::Text(text) = found { text } else { &[] };
        let changed = if found.is_empty() { vec![] } else { value::changed(found) };
        changed.into_iter().map(|text| with(*field, ExampleValue::Text(text)))
    });
    let numbers = others().flat_map(|(field, found)| {
        let near = match found {
            ExampleValue::Number(number) => {
                [number.checked_add(1), number.checked_sub(1), Some(0), Some(u64::MAX)]
            }
            _ => [None; 4],
        };
        near.into_iter().flatten().map(|number| with(*field, ExampleValue::Number(number)))
    });
    let users = others().filter(|(_, found)| matches!(found, ExampleValue::Sid(_)));
    let users = users.map(|(field, _)| with(*field, ExampleValue::Sid(value::some_user())));
    let without = others().map(|(field, _)| {
        let mut values = matching.clone();
        values.remove(field);
        values
    });
    let operations = Operation::ALL.into_iter();
    let operations = operations
        .map(|operation| with(Field::Operation, ExampleValue::Number(operation.number())));
    texts
        .take(MAX_CHANGES)
        .chain(numbers)
        .chain(users)
        .chain(without)
        .filter(|values| !value::holds(expr, values))
        .chain(operations)
        .find_map(|values| judged_so(rule, values, Truth::False))
}

/// The values, if the reference judges them so.
fn judged_so(rule: &SourceRule, values: Values, wanted: Truth) -> Option<Values> {
    let example = Example { matches: wanted == Truth::True, values, derived: true };
    (naive::judge(rule, &example.inputs()) == wanted).then_some(example.values)
}

#[cfg(test)]
mod tests;
