//! `rsigma-eval`: the rules' own YAML. Its prefilters are left off, as they are by default: with
//! these rules they cost more than they save.

use std::borrow::Cow;

use rsigma_eval::{Engine as Evaluator, Event as SigmaEvent, EventValue};
use rsigma_parser::parse_sigma_yaml;

use super::Engine;
use crate::corpus::Corpus;
use crate::corpus::events::{Event, Prepared};

/// The engine.
pub struct Rsigma(Evaluator);

impl Rsigma {
    /// The engine with those rules.
    pub fn new(corpus: &Corpus) -> Result<Self, String> {
        let mut rules = Vec::with_capacity(corpus.rules.len());
        for (number, rule) in corpus.rules.iter().enumerate() {
            let parsed = parse_sigma_yaml(&rule.yaml).map_err(|error| error.to_string())?;
            for mut rule in parsed.rules {
                // Matches name their rule by its title only.
                rule.title = number.to_string();
                rules.push(rule);
            }
        }
        let mut evaluator = Evaluator::new();
        match evaluator.add_rules(&rules).first() {
            None => Ok(Self(evaluator)),
            Some((place, error)) => Err(format!("rule {place}: {error}")),
        }
    }
}

impl Engine for Rsigma {
    fn judge(&mut self, event: &Prepared<'_>, matched: &mut Vec<u32>) {
        let results = self.0.evaluate(event.event);
        matched
            .extend(results.iter().filter_map(|found| found.header.rule_title.parse::<u32>().ok()));
    }
}

impl SigmaEvent for Event {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        let text = |text| Some(EventValue::Str(Cow::Borrowed(text)));
        let number = |number: u64| Some(EventValue::Int(number as i64));
        match path {
            "PipeName" => text(&self.pipe.raw),
            "Image" => text(&self.image.raw),
            "ProcessId" => number(self.process_id),
            "SessionId" => number(self.session),
            _ => None,
        }
    }

    fn any_string_value(&self, holds: &dyn Fn(&str) -> bool) -> bool {
        holds(&self.pipe.raw) || holds(&self.image.raw)
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        vec![Cow::Borrowed(&self.pipe.raw), Cow::Borrowed(&self.image.raw)]
    }

    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "PipeName": self.pipe.raw,
            "Image": self.image.raw,
            "ProcessId": self.process_id,
            "SessionId": self.session,
        })
    }
}
