//! Rules as the driver has them: built, signed, verified, parsed.

use std::fmt;
use std::path::Path;

use channel_compiler::{
    BuildOptions, RuleError, SecretKey, SourceRule, attach_signature, build_for, parse_rules,
};
use channel_format::anchor::Anchor;
use channel_format::frame::verify;
use channel_format::refusal::Refusal;
use channel_format::ruleset::{Evaluation, Ruleset};
use channel_format::schema::{Field, Inputs, SensorProfile, Truth};
use channel_format::signature::Role;

use crate::event::{Event, Given};

const OPTIONS: BuildOptions = BuildOptions {
    channel: 291,
    epoch: 1,
    sequence: 1,
    created: 1_721_361_600,
    expires: 0,
    shrink: false,
};

/// Why there is no file of some rules.
#[derive(Clone, Debug)]
pub enum Refused {
    /// The only rule judges every event so, as far as the compiler can find out: it has no example
    /// of the other kind, and a file has no room for such a rule.
    OneSided(Truth),
    /// Anything else, in words.
    Told(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneSided(truth) => write!(f, "the rule judges every event {truth:?}"),
            Self::Told(reason) => f.write_str(reason),
        }
    }
}

impl Refused {
    fn by(rules: &[SourceRule], errors: Vec<RuleError>) -> Self {
        match errors.as_slice() {
            [one] if rules.len() == 1 && one.reason.starts_with("no example") => {
                Self::OneSided(one.reason.ends_with("does not match").into())
            }
            _ => Self::Told(told(errors)),
        }
    }

    /// Whether that is at odds with another's verdict on an event. Only what a sensor may bring
    /// counts: the compiler looks at no other operations.
    pub fn is_refuted_by(&self, event: &Event, verdict: Truth) -> bool {
        let real = matches!(event.get(Field::Operation), Given::Number(1 | 2));
        let agrees = match self {
            Self::OneSided(truth) => verdict == *truth || verdict == Truth::Unknown,
            Self::Told(_) => false,
        };
        real && !agrees
    }
}

/// A channel file in force.
#[derive(Debug)]
pub struct Compiled {
    ruleset: Ruleset<Vec<u8>>,
}

impl Compiled {
    /// Builds a file of the rules and takes it in as the driver does; says why not.
    pub fn new(rules: &[SourceRule]) -> Result<Self, Refused> {
        let file = build_for(rules, &OPTIONS, &SensorProfile::FULL)
            .map_err(|errors| Refused::by(rules, errors))?;
        Self::open(file).map_err(Refused::Told)
    }

    fn open(mut file: Vec<u8>) -> Result<Self, String> {
        let seed = *b"SAKER TEST KEY - NOT A SECRET 00";
        let key = SecretKey::from_seed(seed, Role::Content, false, 1..=u32::MAX)
            .map_err(|error| error.to_string())?;
        // `sign` would refuse what today's sensor does not supply.
        attach_signature(&mut file, &key).map_err(|error| error.to_string())?;
        let refused = |refusal: Refusal| format!("the file is refused: {refusal}");
        let anchor = Anchor::encode(&[], 0, &[key.public]).map_err(refused)?;
        let anchor = Anchor::parse(&anchor).map_err(refused)?;
        let body = verify(&file, &anchor).and_then(|verified| verified.body(file.clone()));
        let ruleset = Ruleset::parse(body.map_err(refused)?, &SensorProfile::FULL);
        Ok(Self { ruleset: ruleset.map_err(refused)? })
    }

    /// The verdict of each rule, in the order of their ids. The event is given in each way that
    /// there is; an evaluation that contradicts another, or itself, is an error.
    pub fn judge(&self, event: &Event) -> Result<Vec<Truth>, String> {
        let (whole, verdicts) = self.evaluate(&event.whole())?;
        let (one_by_one, again) = self.evaluate(&event.one_by_one())?;
        if (whole, &verdicts) != (one_by_one, &again) {
            return Err(format!("the same inputs gave {verdicts:?}, then {again:?}"));
        }
        let count = |wanted: Truth| verdicts.iter().filter(|truth| **truth == wanted).count();
        let told = (whole.matched as usize, whole.unknown as usize);
        if told != (count(Truth::True), count(Truth::Unknown)) {
            return Err(format!("told of {verdicts:?}, and counted {whole:?}"));
        }
        Ok(verdicts)
    }

    fn evaluate(&self, inputs: &Inputs<'_>) -> Result<(Evaluation, Vec<Truth>), String> {
        let mut verdicts = vec![Truth::False; self.ruleset.rule_count() as usize];
        let mut twice = None;
        let evaluation = self.ruleset.evaluate(inputs, &mut |rule, truth| match verdicts
            .get_mut(rule as usize)
        {
            Some(verdict) if *verdict == Truth::False => *verdict = truth,
            _ => twice = Some(rule),
        });
        match twice {
            Some(rule) => Err(format!("told of rule {rule} twice, or there is no such rule")),
            None => Ok((evaluation, verdicts)),
        }
    }
}

/// Reads rules; says why not.
pub fn read(yaml: &str) -> Result<Vec<SourceRule>, String> {
    parse_rules(Path::new("generated.yml"), yaml).map_err(told)
}

fn told(errors: Vec<RuleError>) -> String {
    errors.iter().map(|error| format!("{error}")).collect::<Vec<_>>().join("\n")
}
