//! `tau-engine`, optimised. It has a rule language of its own, so the rules are rewritten.

use std::borrow::Cow;

use serde_json::{Map, Value as Json, json};
use tau_engine::core::Detection;
use tau_engine::{Document, Optimisations, Rule, Value, solve};

use super::Engine;
use crate::corpus::events::{Event, Prepared};
use crate::rule::{Atom, Comparison, Expr, RuleSet};

/// The rules.
pub struct Tau(Vec<Detection>);

impl Tau {
    /// Rewrites the rules.
    pub fn new(set: &RuleSet) -> Result<Self, String> {
        let rules = set.rules.iter().map(|rule| detection(rule, &set.atoms));
        Ok(Self(rules.collect::<Result<_, _>>()?))
    }
}

impl Engine for Tau {
    fn judge(&mut self, event: &Prepared<'_>, matched: &mut Vec<u32>) {
        for (number, rule) in (0..).zip(&self.0) {
            if solve(rule, event.event) {
                matched.push(number);
            }
        }
    }
}

impl Document for Event {
    fn find(&self, key: &str) -> Option<Value<'_>> {
        match key {
            "PipeName" => Some(Value::String(Cow::Borrowed(&self.pipe.raw))),
            "Image" => Some(Value::String(Cow::Borrowed(&self.image.raw))),
            "ProcessId" => Some(Value::UInt(self.process_id)),
            "SessionId" => Some(Value::UInt(self.session)),
            _ => None,
        }
    }
}

fn detection(rule: &Expr, atoms: &[Atom]) -> Result<Detection, String> {
    let mut writer = Writer { atoms, identifiers: Map::new() };
    let condition = writer.outermost(rule);
    writer.identifiers.insert("condition".to_owned(), condition.into());
    let text = json!({
        "detection": writer.identifiers,
        "true_positives": [],
        "true_negatives": [],
    })
    .to_string();
    // JSON is YAML too.
    let rule = Rule::from_str(&text).map_err(|error| format!("{error:?} in {text}"))?;
    Ok(rule.optimise(Optimisations::default()).detection)
}

/// Gives each test a name, and writes the condition over the names.
struct Writer<'a> {
    atoms: &'a [Atom],
    identifiers: Map<String, Json>,
}

impl Writer<'_> {
    /// The whole condition: a language without need for outer brackets may choke on them.
    fn outermost(&mut self, expr: &Expr) -> String {
        match (self.values(expr), expr) {
            (None, Expr::And(parts)) => self.joined(parts, " and "),
            (None, Expr::Or(parts)) => self.joined(parts, " or "),
            _ => self.condition(expr),
        }
    }

    fn condition(&mut self, expr: &Expr) -> String {
        if let Some((key, values)) = self.values(expr) {
            return self.name(key, values);
        }
        match expr {
            Expr::And(parts) => format!("({})", self.joined(parts, " and ")),
            Expr::Or(parts) => format!("({})", self.joined(parts, " or ")),
            Expr::Not(part) => format!("not {}", self.condition(part)),
            Expr::Number(test) => {
                let sign = match test.ordering {
                    std::cmp::Ordering::Less => "<",
                    std::cmp::Ordering::Equal => "=",
                    std::cmp::Ordering::Greater => ">",
                };
                self.name(test.field.name(), json!(format!("{sign}{}", test.value)))
            }
            Expr::Atom(id) => {
                let atom = &self.atoms[*id as usize];
                self.name(atom.field.name(), json!(value(atom)))
            }
        }
    }

    fn joined(&mut self, parts: &[Expr], by: &str) -> String {
        parts.iter().map(|part| self.condition(part)).collect::<Vec<_>>().join(by)
    }

    /// Alternatives of one field are one list of values, which is what it searches best.
    fn values(&self, expr: &Expr) -> Option<(&'static str, Json)> {
        let Expr::Or(parts) = expr else {
            return None;
        };
        let mut values = Vec::new();
        let mut field = None;
        for part in parts {
            let Expr::Atom(id) = part else {
                return None;
            };
            let atom = &self.atoms[*id as usize];
            if *field.get_or_insert(atom.field) != atom.field {
                return None;
            }
            values.push(value(atom));
        }
        Some((field?.name(), json!(values)))
    }

    fn name(&mut self, key: &str, value: Json) -> String {
        let name = format!("S{}", self.identifiers.len());
        self.identifiers.insert(name.clone(), json!({ key: value }));
        name
    }
}

fn value(atom: &Atom) -> String {
    let text = &atom.text;
    match atom.comparison {
        Comparison::Equals => format!("i{text}"),
        Comparison::StartsWith => format!("i{text}*"),
        Comparison::EndsWith => format!("i*{text}"),
        Comparison::Contains => format!("i*{text}*"),
        Comparison::Regex => format!("?(?i){text}"),
    }
}
