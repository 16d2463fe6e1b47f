//! Batches: rules compiled together, and events that each of them judges.

use channel_compiler::{SourceRule, naive};
use channel_format::schema::Truth;

use crate::Side;
use crate::choices::Choices;
use crate::compiled::{Compiled, Refused, read};
use crate::event::{Event, event};
use crate::rule::{Rule, rule};
use crate::shrink::shrink;
use crate::sigma::Sigma;
use crate::words::Words;

/// Which batch it is: all else follows from this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What the compiled file is compared with.
    pub side: Side,
    /// The seed of the run.
    pub seed: u64,
    /// The batch's number within the run.
    pub number: u64,
}

/// How many pairs there were, and how they were judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Verdicts that were false.
    pub no: u64,
    /// Verdicts that were true.
    pub yes: u64,
    /// Verdicts that were unknown.
    pub unknown: u64,
    /// Rules that were too large to build, left out.
    pub refused: u64,
    /// Rules left out since no example of one kind was found for them.
    pub one_sided: u64,
    /// Those of them for which an event showed that there is one.
    pub underived: u64,
}

impl Counts {
    /// How many pairs were judged.
    pub const fn pairs(&self) -> u64 {
        self.no + self.yes + self.unknown
    }

    /// Adds what another counted.
    pub fn add(&mut self, other: Self) {
        self.no += other.no;
        self.yes += other.yes;
        self.unknown += other.unknown;
        self.refused += other.refused;
        self.one_sided += other.one_sided;
        self.underived += other.underived;
    }

    fn count(&mut self, truth: Truth) {
        match truth {
            Truth::False => self.no += 1,
            Truth::True => self.yes += 1,
            Truth::Unknown => self.unknown += 1,
        }
    }
}

/// How many rules and events a batch has. Known without making them, so that a run knows its
/// batches beforehand.
pub fn size(place: Place) -> (usize, usize) {
    let mut choices = Choices::seeded(&[place.seed, place.number, 0]);
    match choices.weighted(&[2, 10, 20, 1]) {
        0 => (1, 64),
        1 => (choices.between(2, 8), 128),
        2 => (choices.between(9, 40), 128),
        _ => (choices.between(100, 300), 16),
    }
}

/// Judges every event of a batch by every rule, both ways. Differences come made small, at most
/// one a rule.
pub fn run(place: Place) -> (Counts, Vec<String>) {
    let Place { side, seed, number } = place;
    let mut counts = Counts::default();
    let mut told = Vec::new();
    let (rule_count, event_count) = size(place);
    let words = Words::choose(&mut Choices::seeded(&[seed, number, 1]), side);
    let mut all = Vec::new();
    for at in 0..rule_count {
        let mut choices = Choices::seeded(&[seed, number, 2, at as u64]);
        let rule = rule(&mut choices, &words, side, at);
        all.push((rule, choices.into_tape()));
    }
    let mut one_sided = Vec::new();
    let (mut rules, mut tapes) = (Vec::new(), Vec::new());
    for (rule, tape) in &all {
        match Judges::new(side, std::slice::from_ref(rule)) {
            Ok(_) => {
                rules.push(rule.clone());
                tapes.push(tape.clone());
            }
            Err(Refused::OneSided(truth)) => {
                counts.one_sided += 1;
                match Other::new(side, std::slice::from_ref(rule)) {
                    Ok(other) => one_sided.push((rule, Refused::OneSided(truth), other)),
                    Err(error) => told.push(format!("{}\n{error}", heading(place))),
                }
            }
            // A pattern that explodes is refused, and its rule left out.
            Err(Refused::Told(error)) => {
                counts.refused += 1;
                if !["too large", "explodes"].iter().any(|reason| error.contains(reason)) {
                    told.push(format!("{}\na rule is refused:\n{error}", heading(place)));
                }
            }
        }
    }
    if rules.is_empty() {
        return (counts, told);
    }
    let judges = match Judges::new(side, &rules) {
        Ok(judges) => judges,
        Err(error) => {
            told.push(format!("{}\nrefused together, not alone: {error}", heading(place)));
            return (counts, told);
        }
    };
    let whole: Vec<Rule> = all.iter().map(|(rule, _)| rule.clone()).collect();
    let mut differing = vec![false; rules.len()];
    for at in 0..event_count {
        let mut choices = Choices::seeded(&[seed, number, 3, at as u64]);
        let event = event(&mut choices, &words, side, &whole);
        match judges.judge(&event) {
            Err(error) => told.push(format!("{}\n{error}\n{event}", heading(place))),
            Ok(pairs) => {
                for (at, (compiled, other)) in pairs.into_iter().enumerate() {
                    counts.count(compiled);
                    if compiled != other && !differing[at] {
                        differing[at] = true;
                        let found = shrink(side, &words, &rules, &tapes, at, &event);
                        told.push(format!("{}\n{found}", heading(place)));
                    }
                }
            }
        }
        one_sided.retain(|(rule, refused, other)| {
            match other.judge(&event) {
                Ok(verdicts) if !verdicts.iter().any(|v| refused.is_refuted_by(&event, *v)) => true,
                // Looking for an example is bounded work: its author has to give one.
                Ok(_) => {
                    counts.underived += 1;
                    false
                }
                Err(error) => {
                    told.push(format!("{}\n{error}\n{}\n{event}", heading(place), rule.yaml));
                    false
                }
            }
        });
    }
    (counts, told)
}

/// How to see it again.
fn heading(place: Place) -> String {
    let Place { side, seed, number } = place;
    let side = side.name();
    format!("difference: replay with --side {side} --seed {seed} --batch {number}")
}

/// The rules in both forms.
pub(crate) struct Judges {
    compiled: Compiled,
    other: Other,
}

enum Other {
    Naive(Vec<SourceRule>),
    Sigma(Box<Sigma>),
}

impl Other {
    fn new(side: Side, rules: &[Rule]) -> Result<Self, String> {
        let yaml = yaml(rules);
        let other = match side {
            Side::Naive => read(&yaml).map(Self::Naive),
            Side::Sigma => Sigma::new(&yaml, rules.iter().map(|rule| rule.id.as_str()))
                .map(|sigma| Self::Sigma(Box::new(sigma))),
        };
        other.map_err(|error| format!("{error}\n{yaml}"))
    }

    fn judge(&self, event: &Event) -> Result<Vec<Truth>, String> {
        match self {
            Self::Sigma(sigma) => sigma.judge(event),
            Self::Naive(source) => {
                let inputs = event.whole();
                Ok(source.iter().map(|rule| naive::judge(rule, &inputs)).collect())
            }
        }
    }
}

fn yaml(rules: &[Rule]) -> String {
    rules.iter().map(|rule| rule.yaml.as_str()).collect::<Vec<_>>().join("---\n")
}

impl Judges {
    pub(crate) fn new(side: Side, rules: &[Rule]) -> Result<Self, Refused> {
        let yaml = yaml(rules);
        let with_rules = |error: String| Refused::Told(format!("{error}\n{yaml}"));
        let source = read(&yaml).map_err(with_rules)?;
        let compiled = Compiled::new(&source).map_err(|refused| match refused {
            Refused::Told(error) => with_rules(error),
            one_sided @ Refused::OneSided(_) => one_sided,
        })?;
        let other = Other::new(side, rules).map_err(Refused::Told)?;
        Ok(Self { compiled, other })
    }

    /// A pair of verdicts a rule: the file's and the other's.
    pub(crate) fn judge(&self, event: &Event) -> Result<Vec<(Truth, Truth)>, String> {
        let compiled = self.compiled.judge(event)?;
        Ok(compiled.into_iter().zip(self.other.judge(event)?).collect())
    }
}
