//! Telling the rules that a sensor can serve from those that it cannot.

use channel_format::schema::SensorProfile;

use crate::derive::complete;
use crate::error::RuleError;
use crate::layout::{failing_examples, unsupplied};
use crate::lower::lower;
use crate::source::{Loaded, RefusedRule, SourceRule};

/// Rules that can be built, and rules that only a later compiler or sensor could.
#[derive(Clone, Debug, Default)]
pub struct Split {
    /// The rules to build.
    pub rules: Vec<SourceRule>,
    /// The rules to leave out, none of them wrong.
    pub skipped: Vec<RefusedRule>,
}

/// Tells the rules apart. What is wrong rather than not supported is an error for all of them, so
/// that no mistake of an author goes by as a rule left out.
pub fn split(loaded: Loaded, sensor: &SensorProfile) -> Result<Split, Vec<RuleError>> {
    let mut split = Split { rules: Vec::new(), skipped: loaded.refused };
    for rule in loaded.rules {
        let faults = match lower(&rule) {
            // An author's example that fails is told when the file is built.
            Ok(expr) if !failing_examples(&rule).is_empty() => unsupplied(&rule, &expr, sensor),
            Ok(expr) => {
                let mut faults = unsupplied(&rule, &expr, sensor);
                faults.extend(complete(&rule, &expr).err().into_iter().flatten());
                faults
            }
            Err(faults) => faults,
        };
        if faults.is_empty() {
            split.rules.push(rule);
        } else {
            let (file, title) = (rule.file.clone(), rule.title.clone());
            split.skipped.push(RefusedRule { file, title, errors: faults });
        }
    }
    let wrong = split.skipped.iter().filter(|refused| !refused.is_unsupported());
    let wrong: Vec<RuleError> = wrong.flat_map(|refused| refused.errors.clone()).collect();
    if wrong.is_empty() { Ok(split) } else { Err(wrong) }
}
