//! What a rule costs.

use channel_format::engine::criterion::Operator;
use channel_format::limits::{MAX_STATES, MAX_TRANSITIONS};

use super::finding::{Code, Finding, Severity};
use crate::cover::{cover, price};
use crate::lower::{Criterion, Expr, Operand};
use crate::regex::Automaton;
use crate::source::SourceRule;

/// Units of a text that narrow a search: shorter ones, such as the backslash that every name starts
/// with, occur in every event.
const MIN_UNITS: usize = 3;

/// A pattern whose states or transitions pass this part of what is allowed is near the limit.
const NEAR: u32 = 2;

/// What is dear about the rule.
pub(super) fn findings(rule: &SourceRule, expr: &Expr) -> Vec<Finding> {
    let mut findings = Vec::new();
    if needs_every_event(expr) {
        let reason = "no text must occur for it to match, so it is judged for every event";
        let help = format!(
            "add a text of at least {MIN_UNITS} letters that each match has: `PipeName|contains: …`"
        );
        let (code, severity) = (Code::EveryEvent, Severity::Warning);
        findings.push(Finding::about(rule, code, severity, "condition", reason, help));
    }
    let mut largest: Option<&Automaton> = None;
    each_automaton(expr, &mut |automaton| {
        if largest.is_none_or(|known| known.states < automaton.states) {
            largest = Some(automaton);
        }
    });
    findings.extend(largest.and_then(|automaton| near_limit(rule, automaton)));
    findings
}

/// True if the rule may match an event in which none of its texts occurs: then nothing but judging
/// it tells whether it does.
fn needs_every_event(expr: &Expr) -> bool {
    cover(expr, &|criterion| price(criterion).filter(|_| narrows(criterion))).is_none()
}

/// True if few events meet the criterion.
fn narrows(criterion: &Criterion) -> bool {
    let whole = criterion.operator == Operator::Equals.number();
    whole || criterion.searched_literal().is_some_and(|literal| literal.len() >= MIN_UNITS)
}

fn near_limit(rule: &SourceRule, automaton: &Automaton) -> Option<Finding> {
    let states = u32::from(automaton.states);
    let transitions = states * u32::from(automaton.classes);
    let (what, found, limit) = if states >= MAX_STATES / NEAR {
        ("states", states, MAX_STATES)
    } else if transitions >= MAX_TRANSITIONS / NEAR {
        ("transitions", transitions, MAX_TRANSITIONS)
    } else {
        return None;
    };
    let reason = format!("a pattern takes {found} of the {limit} {what} that one may have");
    let help = "use narrower classes and lower counts, anchor it with ^, or split the rule";
    let word = if rule.text[rule.document.clone()].contains("|re") { "re" } else { "detection" };
    Some(Finding::about(rule, Code::RegexNearLimit, Severity::Warning, word, reason, help))
}

fn each_automaton<'a>(expr: &'a Expr, found: &mut dyn FnMut(&'a Automaton)) {
    match expr {
        Expr::Criterion(Criterion { operand: Operand::Automaton(automaton), .. }) => {
            found(automaton);
        }
        Expr::Criterion(_) => {}
        Expr::Not(inner) => each_automaton(inner, found),
        Expr::And(parts) | Expr::Or(parts) => {
            parts.iter().for_each(|part| each_automaton(part, found));
        }
    }
}
