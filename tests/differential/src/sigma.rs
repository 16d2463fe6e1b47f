//! The other Sigma engine: `rsigma-eval`.

use std::collections::BTreeMap;

use channel_format::schema::{Field, Truth};
use rsigma_eval::Engine;
use rsigma_eval::event::JsonEvent;
use serde_json::{Map, Value};

use crate::event::{Event, Given};
use crate::fields::names;

/// Rules in that engine.
pub struct Sigma {
    engine: Engine,
    places: BTreeMap<String, usize>,
}

impl Sigma {
    /// Reads the rules, whose ids are given in order; says why not.
    pub fn new<'a>(yaml: &str, ids: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let collection =
            rsigma_parser::parse_sigma_yaml(yaml).map_err(|error| error.to_string())?;
        if !collection.errors.is_empty() {
            return Err(collection.errors.join("\n"));
        }
        let mut engine = Engine::new();
        engine.add_collection(&collection).map_err(|error| error.to_string())?;
        let places = ids.enumerate().map(|(place, id)| (id.to_owned(), place)).collect();
        Ok(Self { engine, places })
    }

    /// The verdict of each rule, in the order of their ids.
    pub fn judge(&self, event: &Event) -> Result<Vec<Truth>, String> {
        let event = Value::Object(as_sysmon_writes_it(event)?);
        let mut verdicts = vec![Truth::False; self.places.len()];
        for found in self.engine.evaluate(&JsonEvent::borrow(&event)) {
            let id = found.header.rule_id.as_deref().unwrap_or_default();
            let place = self.places.get(id).ok_or_else(|| format!("no rule has the id {id:?}"))?;
            verdicts[*place] = Truth::True;
        }
        Ok(verdicts)
    }
}

/// The event under every name that a rule may use. What Sysmon writes for a pipe without a name
/// stands where the kernel has an empty one.
pub fn as_sysmon_writes_it(event: &Event) -> Result<Map<String, Value>, String> {
    let mut written = Map::new();
    for field in Field::ALL {
        let value: Value = match event.get(field) {
            Given::Absent => continue,
            Given::Unknown => {
                return Err(format!("{} is unknown: no such thing here", field.name()));
            }
            Given::Text(text) if text.is_empty() && field == Field::PipeName => {
                "<Anonymous Pipe>".into()
            }
            Given::Text(text) => {
                String::from_utf16(text).map_err(|error| error.to_string())?.into()
            }
            Given::Number(number) => (*number).into(),
            Given::Sid(_) => "S-1-5-18".into(),
        };
        if field == Field::Operation {
            let created = value == 1;
            written.insert("EventID".into(), if created { 17 } else { 18 }.into());
            let name = if created { "CreatePipe" } else { "ConnectPipe" };
            written.insert("EventType".into(), name.into());
        }
        for name in names(field) {
            written.insert(name.to_owned(), value.clone());
        }
    }
    Ok(written)
}
