//! `sigma-rust`: the rules' own YAML, with the one change that it knows no `re|i`.

use sigma_rust::{Rule, rule_from_yaml};

use super::Engine;
use crate::corpus::Corpus;
use crate::corpus::events::Prepared;

/// The rules.
pub struct SigmaRust(Vec<Rule>);

impl SigmaRust {
    /// Parses the rules.
    pub fn new(corpus: &Corpus) -> Result<Self, String> {
        let parse = |yaml: &str| rule_from_yaml(&inline_flags(yaml));
        let rules = corpus
            .rules
            .iter()
            .map(|rule| parse(&rule.yaml).map_err(|error| format!("rule {}: {error}", rule.id)));
        Ok(Self(rules.collect::<Result<_, _>>()?))
    }
}

impl Engine for SigmaRust {
    fn judge(&mut self, event: &Prepared<'_>, matched: &mut Vec<u32>) {
        for (number, rule) in (0..).zip(&self.0) {
            if rule.is_match(&event.sigma_rust) {
                matched.push(number);
            }
        }
    }
}

/// Puts the flag of `re|i` into the patterns.
fn inline_flags(yaml: &str) -> String {
    let mut text = String::with_capacity(yaml.len());
    let mut under_regex = false;
    for line in yaml.lines() {
        let value = line.trim_start().starts_with("- '");
        under_regex = line.contains("|re|i:") || (under_regex && value);
        let line = line.replace("|re|i:", "|re:");
        text.push_str(&if under_regex { line.replacen('\'', "'(?i)", 1) } else { line });
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_patterns_get_the_flag() {
        let yaml =
            "    PipeName|re|i:\n        - 'a'\n        - 'b'\n    Image: 'c'\n    X|re|i: 'd'\n";
        let wanted = "    PipeName|re:\n        - '(?i)a'\n        - '(?i)b'\n    Image: 'c'\n    X|re: '(?i)d'\n";
        assert_eq!(inline_flags(yaml), wanted);
    }
}
