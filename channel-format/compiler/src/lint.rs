//! What a reader of rules would object to: rules that can never match, that say what another says
//! already, that cost too much, or that say too little of themselves.
//!
//! # Guarantees
//! * What is called impossible or implied is proven, from the lowered expression alone. What cannot
//!   be proven in a bounded number of steps is passed over: no finding is no proof of the opposite.
//! * A rule is proven to be shadowed only if it is true wherever the other is, also where inputs are
//!   unknown.

mod contradiction;
mod cost;
mod fact;
mod finding;
mod metadata;
mod overlap;
mod place;
mod view;

use channel_format::schema::SensorProfile;

use crate::derive::complete;
use crate::error::{FaultKind, RuleError};
use crate::layout::{failing_examples, unsupplied};
use crate::lower::{Expr, lower};
use crate::source::{Loaded, SourceRule};

pub use finding::{Code, Finding, Severity};

/// Every finding about these rules, in the order of files and lines.
pub fn lint(loaded: &Loaded, sensor: &SensorProfile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for refused in &loaded.refused {
        let errors = refused.errors.iter().cloned();
        findings.extend(errors.map(|error| cannot_be_built("", &refused.title, error)));
    }
    let mut live = Vec::new();
    for rule in &loaded.rules {
        let mut faults = failing_examples(rule);
        match lower(rule) {
            Ok(expr) => {
                faults.extend(unsupplied(rule, &expr, sensor));
                findings.extend(cost::findings(rule, &expr));
                let impossible = contradiction::findings(rule, &expr);
                // What never matches overlaps with everything, and nobody wants to know.
                if !impossible.iter().any(|finding| finding.code == Code::NeverMatches) {
                    if faults.is_empty() {
                        faults.extend(complete(rule, &expr).err().into_iter().flatten());
                    }
                    live.push(Lowered { rule, expr });
                }
                findings.extend(impossible);
            }
            Err(found) => faults.extend(found),
        }
        let faults = faults.into_iter();
        findings.extend(faults.map(|error| cannot_be_built(&rule.id, &rule.title, error)));
        findings.extend(metadata::findings(rule));
    }
    findings.extend(overlap::findings(&live));
    sort(&mut findings);
    findings
}

/// Brings findings into the order in which a reader meets them.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by(|left, right| {
        let key = |finding: &Finding| (finding.fault.line, finding.severity, finding.code);
        left.fault.file.cmp(&right.fault.file).then_with(|| key(left).cmp(&key(right)))
    });
}

/// A rule with its expression.
struct Lowered<'a> {
    rule: &'a SourceRule,
    expr: Expr,
}

fn cannot_be_built(id: &str, title: &str, fault: RuleError) -> Finding {
    let code = match fault.kind {
        FaultKind::Wrong => Code::Wrong,
        FaultKind::Unsupported => Code::Unsupported,
    };
    let (id, title) = (id.to_owned(), title.to_owned());
    Finding { code, severity: Severity::Error, id, title, fault }
}

/// Steps that a proof may still take. A proof that runs out of them has failed.
struct Steps(u32);

impl Steps {
    /// Enough for lists of a thousand values against each other; a few milliseconds.
    const ONE_PROOF: Self = Self(1 << 21);

    fn take(&mut self) -> bool {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                true
            }
            None => false,
        }
    }
}
