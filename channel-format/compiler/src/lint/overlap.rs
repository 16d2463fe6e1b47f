//! Rules that say what another rule says already.

use super::finding::{Code, Finding, Severity};
use super::view::View;
use super::{Lowered, Steps};
use crate::lower::Expr;
use crate::source::SourceRule;

/// Rules that another rule matches wherever they do: one finding a rule, naming the first other.
pub(super) fn findings(rules: &[Lowered<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, narrow) in rules.iter().enumerate() {
        for (other, wide) in rules.iter().enumerate() {
            if at == other || !implied(narrow, wide) {
                continue;
            }
            if implied(wide, narrow) {
                // Of two twins the later is told.
                if other > at {
                    continue;
                }
                findings.push(duplicate(narrow.rule, wide.rule));
            } else {
                findings.push(shadowed(narrow.rule, wide.rule));
            }
            break;
        }
    }
    findings
}

fn duplicate(rule: &SourceRule, first: &SourceRule) -> Finding {
    let reason = format!("it matches exactly what {} matches", name(first));
    let help = "keep one of the two";
    Finding::about(rule, Code::Duplicate, Severity::Warning, "detection", reason, help)
}

fn shadowed(rule: &SourceRule, wide: &SourceRule) -> Finding {
    let reason = format!("whatever it matches, {} matches too", name(wide));
    // A rule that asks for more than the wider one has its own use.
    let asks_more = rule.level > wide.level || rule.blocks & !wide.blocks != 0;
    let (severity, help) = if asks_more {
        (Severity::Note, "both report; exclude it from the wider rule if one report is enough")
    } else {
        (Severity::Warning, "take it out, or narrow the wider rule")
    };
    Finding::about(rule, Code::Shadowed, severity, "detection", reason, help)
}

fn name(rule: &SourceRule) -> String {
    format!("`{}` ({}, {})", rule.title, rule.id, rule.file.display())
}

/// True if the one rule is proven to be true wherever the other is.
fn implied(narrow: &Lowered<'_>, wide: &Lowered<'_>) -> bool {
    narrow.rule.judges & !wide.rule.judges == 0
        && Proof(Steps::ONE_PROOF).entails((&narrow.expr, true), (&wide.expr, true))
}

struct Proof(Steps);

/// An expression, and whether it holds.
type Part<'e> = (&'e Expr, bool);

impl Proof {
    /// True if the one follows from the other. Each step keeps "true" and not only "not false", so
    /// that nothing is proven by an input that is unknown.
    fn entails(&mut self, from: Part<'_>, to: Part<'_>) -> bool {
        if !self.0.take() {
            return false;
        }
        match (View::of(from.0, from.1), View::of(to.0, to.1)) {
            (_, View::All(wanted, holds)) => {
                wanted.iter().all(|part| self.entails(from, (part, holds)))
            }
            (View::Any(parts, holds), _) => {
                parts.iter().all(|part| self.entails((part, holds), to))
            }
            (View::Fact(fact), View::Fact(wanted)) => fact.entails(&wanted),
            (View::All(parts, holds), View::Fact(_)) => {
                parts.iter().any(|part| self.entails((part, holds), to))
            }
            (View::Fact(_), View::Any(wanted, holds)) => {
                wanted.iter().any(|part| self.entails(from, (part, holds)))
            }
            (View::All(parts, holding), View::Any(wanted, holds)) => {
                wanted.iter().any(|part| self.entails(from, (part, holds)))
                    || parts.iter().any(|part| self.entails((part, holding), to))
            }
        }
    }
}
