//! Making a difference small: fewer rules, a plainer rule, a shorter event.

use channel_format::schema::{FIELD_COUNT, Field, Truth};

use crate::Side;
use crate::batch::Judges;
use crate::choices::Choices;
use crate::event::{Event, Given};
use crate::rule::{Rule, rule};
use crate::words::Words;

/// Tries at the most: a difference need not be the smallest there is.
const TRIES: usize = 4_000;

/// The difference that a rule of the batch shows for the event, made small, in words.
pub fn shrink(
    side: Side,
    words: &Words,
    rules: &[Rule],
    tapes: &[Vec<u32>],
    at: usize,
    event: &Event,
) -> String {
    let mut found = Found {
        side,
        words,
        rules: rules.iter().cloned().zip(tapes.iter().cloned()).collect(),
        at,
        event: event.clone(),
        tries: 0,
    };
    found.fewer_rules();
    found.plainer_rule();
    found.shorter_event();
    found.plainer_rule();
    found.tell()
}

struct Found<'a> {
    side: Side,
    words: &'a Words,
    /// The rules with their tapes.
    rules: Vec<(Rule, Vec<u32>)>,
    /// The place of the rule that differs.
    at: usize,
    event: Event,
    tries: usize,
}

impl Found<'_> {
    /// The two verdicts of the rule at a place, if they differ.
    fn verdicts(
        &self,
        rules: &[(Rule, Vec<u32>)],
        at: usize,
        event: &Event,
    ) -> Option<(Truth, Truth)> {
        let rules: Vec<Rule> = rules.iter().map(|(rule, _)| rule.clone()).collect();
        let pairs = Judges::new(self.side, &rules).ok()?.judge(event).ok()?;
        pairs.get(at).copied().filter(|(compiled, other)| compiled != other)
    }

    fn differs(&mut self, rules: &[(Rule, Vec<u32>)], at: usize, event: &Event) -> bool {
        self.tries += 1;
        self.tries <= TRIES && self.verdicts(rules, at, event).is_some()
    }

    /// The rule alone, or else with as few others as may be.
    fn fewer_rules(&mut self) {
        let alone = vec![self.rules[self.at].clone()];
        let event = self.event.clone();
        if self.differs(&alone, 0, &event) {
            (self.rules, self.at) = (alone, 0);
            return;
        }
        for other in
            (0..self.rules.len()).rev().filter(|other| *other != self.at).collect::<Vec<_>>()
        {
            let mut fewer = self.rules.clone();
            fewer.remove(other);
            let at = if other < self.at { self.at - 1 } else { self.at };
            if self.differs(&fewer, at, &event) {
                (self.rules, self.at) = (fewer, at);
            }
        }
    }

    /// The same rule from a shorter tape with lower numbers.
    fn plainer_rule(&mut self) {
        let mut length = self.rules[self.at].1.len();
        while length > 0 {
            let mut start = 0;
            while start < self.rules[self.at].1.len() {
                let mut shorter = self.rules[self.at].1.clone();
                let end = (start + length).min(shorter.len());
                shorter.drain(start..end);
                if !self.take_tape(shorter) {
                    start += length;
                }
            }
            length /= 2;
        }
        for place in 0..self.rules[self.at].1.len() {
            for lower in [0, 1] {
                let mut plainer = self.rules[self.at].1.clone();
                if plainer.get(place).is_some_and(|number| *number > lower) {
                    plainer[place] = lower;
                    if self.take_tape(plainer) {
                        break;
                    }
                }
            }
        }
    }

    fn take_tape(&mut self, tape: Vec<u32>) -> bool {
        if tape == self.rules[self.at].1 {
            return false;
        }
        let mut rules = self.rules.clone();
        // The number is the end of the rule's id.
        let number = usize::from_str_radix(&rules[self.at].0.id[..8], 16).unwrap_or(0);
        let mut choices = Choices::replayed(tape.clone());
        rules[self.at] = (rule(&mut choices, self.words, self.side, number), tape);
        let (at, event) = (self.at, self.event.clone());
        let differs = self.differs(&rules, at, &event);
        if differs {
            self.rules = rules;
        }
        differs
    }

    fn shorter_event(&mut self) {
        for field in 0..FIELD_COUNT {
            // The other engine does not know events without an operation.
            if self.side == Side::Sigma && field == Field::Operation.index() {
                continue;
            }
            let mut plainer = self.event.clone();
            plainer.given[field] = Given::Absent;
            if self.take_event(plainer) {
                continue;
            }
            let Given::Text(text) = &self.event.given[field] else {
                continue;
            };
            let mut length = text.len();
            while length > 0 {
                let mut start = 0;
                while let Given::Text(text) = &self.event.given[field]
                    && start < text.len()
                {
                    let mut shorter = text.clone();
                    shorter.drain(start..(start + length).min(text.len()));
                    let mut event = self.event.clone();
                    event.given[field] = Given::Text(shorter);
                    if !self.take_event(event) {
                        start += length;
                    }
                }
                length /= 2;
            }
        }
    }

    fn take_event(&mut self, event: Event) -> bool {
        let (rules, at) = (self.rules.clone(), self.at);
        let differs = event != self.event && self.differs(&rules, at, &event);
        if differs {
            self.event = event;
        }
        differs
    }

    fn tell(&self) -> String {
        let verdicts = self.verdicts(&self.rules, self.at, &self.event);
        let (compiled, other) = verdicts.map_or(("no difference".to_owned(), String::new()), |v| {
            (format!("{:?}", v.0), format!("{:?}", v.1))
        });
        let rules: Vec<&str> = self.rules.iter().map(|(rule, _)| rule.yaml.as_str()).collect();
        format!(
            "rule {} of {}:\n{}\nevent:\n{}verdicts: compiled {compiled}, {} {other}\n",
            self.at + 1,
            rules.len(),
            rules.join("---\n"),
            self.event,
            self.side.name(),
        )
    }
}
