//! What a rule costs.

use channel_format::engine::criterion::Operator;
use channel_format::limits::{MAX_STATES, MAX_TRANSITIONS};
use regex_syntax::hir::{Class, Hir, HirKind};
use rsigma_parser::{Detection, SigmaValue};

use super::finding::{Code, Finding, Severity};
use crate::lower::{Comparison, Criterion, Expr, Modifiers, Operand};
use crate::regex::{self, Automaton};
use crate::source::SourceRule;

/// Units of a text that narrow a search: shorter ones, such as the backslash that every name starts
/// with, occur in every event.
const MIN_UNITS: usize = 3;

/// A pattern whose states or transitions pass this part of what is allowed is near the limit.
const NEAR: u32 = 2;

/// What is dear about the rule.
pub(super) fn findings(rule: &SourceRule, expr: &Expr) -> Vec<Finding> {
    let mut findings = Vec::new();
    let loose = loose_patterns(rule);
    if needs_every_event(expr, &loose) {
        let reason = match loose.as_slice() {
            [] => "no text must occur for it to match, so it is judged for every event",
            _ => "its pattern has no text that must occur, so it is judged for every event",
        };
        let help = format!(
            "add a text of at least {MIN_UNITS} letters that each match has: `PipeName|contains: …`"
        );
        let word = if loose.is_empty() { "condition" } else { "re" };
        findings.push(Finding::about(
            rule,
            Code::EveryEvent,
            Severity::Warning,
            word,
            reason,
            help,
        ));
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
fn needs_every_event(expr: &Expr, loose: &[Automaton]) -> bool {
    !narrows(expr, true, loose)
}

/// True if the expression can only be true (or false) where one of some texts occurs.
fn narrows(expr: &Expr, holds: bool, loose: &[Automaton]) -> bool {
    match (expr, holds) {
        (Expr::Criterion(criterion), _) => holds && is_text(criterion, loose),
        (Expr::Not(inner), _) => narrows(inner, !holds, loose),
        (Expr::And(parts), true) | (Expr::Or(parts), false) => {
            parts.iter().any(|part| narrows(part, holds, loose))
        }
        (Expr::Or(parts), true) | (Expr::And(parts), false) => {
            parts.iter().all(|part| narrows(part, holds, loose))
        }
    }
}

fn is_text(criterion: &Criterion, loose: &[Automaton]) -> bool {
    let equals = criterion.operator == Operator::Equals.number();
    match &criterion.operand {
        Operand::Literal { units, .. } => equals || units.len() >= MIN_UNITS,
        Operand::Automaton(automaton) => !loose.contains(automaton),
        _ => false,
    }
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

/// The automata of the rule's regular expressions that hold no text which every match has.
fn loose_patterns(rule: &SourceRule) -> Vec<Automaton> {
    let mut loose = Vec::new();
    for detection in rule.detections.named.values() {
        collect_loose(detection, &mut loose);
    }
    loose
}

fn collect_loose(detection: &Detection, loose: &mut Vec<Automaton>) {
    let (Detection::AnyOf(parts) | Detection::And(parts)) = detection else {
        let Detection::AllOf(items) = detection else { return };
        for item in items {
            let Ok(modifiers) = Modifiers::read(&item.field.modifiers) else { continue };
            if modifiers.comparison != Comparison::Regex {
                continue;
            }
            for value in &item.values {
                let SigmaValue::String(text) = value else { continue };
                let parsed = regex_syntax::ParserBuilder::new()
                    .case_insensitive(modifiers.flags.ignore_case)
                    .build()
                    .parse(&text.original);
                if parsed.is_ok_and(|hir| longest_text(&hir) < MIN_UNITS) {
                    loose.extend(regex::compile(&text.original, modifiers.flags));
                }
            }
        }
        return;
    };
    parts.iter().for_each(|part| collect_loose(part, loose));
}

/// Characters of the longest text that every match of the pattern has, or fewer.
fn longest_text(hir: &Hir) -> usize {
    if let Some(letters) = letters(hir) {
        return letters;
    }
    match hir.kind() {
        HirKind::Capture(capture) => longest_text(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => longest_text(&repetition.sub),
        HirKind::Alternation(parts) => parts.iter().map(longest_text).min().unwrap_or(0),
        HirKind::Concat(parts) => {
            let (mut longest, mut run) = (0, 0);
            for part in parts {
                match letters(part) {
                    Some(letters) => run += letters,
                    None => {
                        longest = longest.max(run).max(longest_text(part));
                        run = 0;
                    }
                }
            }
            longest.max(run)
        }
        _ => 0,
    }
}

/// How many characters a part is that stands for one text, or for a few: a letter in either case.
fn letters(hir: &Hir) -> Option<usize> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(String::from_utf8_lossy(&literal.0).chars().count()),
        HirKind::Class(Class::Unicode(class)) => {
            let ranges = class.ranges().iter();
            let size: usize = ranges.map(regex_syntax::hir::ClassUnicodeRange::len).sum();
            // A letter has up to four spellings: k, K and the Kelvin sign; digits have ten.
            (size <= 4).then_some(1)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::longest_text;

    #[test]
    fn the_text_that_every_match_has() {
        let longest = |pattern| longest_text(&regex_syntax::parse(pattern).unwrap());
        assert_eq!(longest(r"\\evil[0-9]+x"), 5);
        assert_eq!(longest(r"(?i)evil"), 4);
        assert_eq!(longest(r"(abc|defg)+"), 3);
        assert_eq!(longest(r"(abc)?de"), 2);
        assert_eq!(longest(r".*\d{8}"), 0);
        assert_eq!(longest(r"abc|\d"), 0);
    }
}
