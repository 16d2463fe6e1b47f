//! Do all engines say the same?

use std::fmt;
use std::time::{Duration, Instant};

use super::Expected;
use crate::corpus::Corpus;
use crate::engines::{Engine, Kind};

/// Events that every engine is compared and timed on, however slow it is.
pub const LEAST_EVENTS: usize = 60;
/// Differences that are kept of one comparison; more say nothing new.
const MOST_DIFFERENCES: usize = 5;

/// How an engine compared.
pub struct Comparison {
    /// Events that it was compared on: the first ones.
    pub events: usize,
    /// The first differences.
    pub differences: Vec<Difference>,
}

/// An event that an engine judges otherwise than the naive loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    engine: &'static str,
    pipe: String,
    image: String,
    missing: Vec<String>,
    wrong: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{} differs on pipe `{}`", self.engine, self.pipe)?;
        writeln!(formatter, "    of image `{}`", self.image)?;
        for rule in &self.missing {
            writeln!(formatter, "  - {rule}: true by the naive loop")?;
        }
        for rule in &self.wrong {
            writeln!(formatter, "  + {rule}: true by this engine only")?;
        }
        Ok(())
    }
}

/// Compares an engine on all events, or on as many as fit the budget.
pub fn compare(
    kind: &Kind,
    engine: &mut dyn Engine,
    expected: &Expected<'_>,
    corpus: &Corpus,
    budget: Duration,
) -> Comparison {
    let start = Instant::now();
    let mut comparison = Comparison { events: 0, differences: Vec::new() };
    let mut found = Vec::new();
    for (event, verdict) in expected.events.iter().zip(&expected.verdicts) {
        if comparison.events >= LEAST_EVENTS && start.elapsed() > budget {
            break;
        }
        comparison.events += 1;
        found.clear();
        engine.judge(event, &mut found);
        found.sort_unstable();
        if found != *verdict && comparison.differences.len() < MOST_DIFFERENCES {
            let name = |rule: &u32| corpus.rules[*rule as usize].id.clone();
            let only = |of: &[u32], not: &[u32]| -> Vec<String> {
                of.iter().filter(|rule| !not.contains(rule)).map(name).collect()
            };
            comparison.differences.push(Difference {
                engine: kind.title,
                pipe: event.event.pipe.raw.clone(),
                image: event.event.image.raw.clone(),
                missing: only(verdict, &found),
                wrong: only(&found, verdict),
            });
        }
    }
    comparison
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::events::{Prepared, benign, prepare};
    use crate::engines::KINDS;
    use crate::engines::naive::Naive;
    use crate::rule::RuleSet;

    /// Says of every event that the rule of that number is true too.
    struct Liar(Naive, u32);

    impl Engine for Liar {
        fn judge(&mut self, event: &Prepared<'_>, matched: &mut Vec<u32>) {
            self.0.judge(event, matched);
            matched.push(self.1);
        }
    }

    #[test]
    fn a_wrong_verdict_is_found_and_named_and_a_right_one_is_not() {
        let corpus = Corpus::new(20);
        let set = RuleSet::parse(&corpus).unwrap();
        let events = benign(100, &corpus, 1);
        let expected = Expected::new(prepare(&events), &Naive::new(&set));
        let kind = &KINDS[0];
        let budget = Duration::MAX;

        let mut honest = Naive::new(&set);
        let comparison = compare(kind, &mut honest, &expected, &corpus, budget);
        assert_eq!((comparison.events, comparison.differences.len()), (100, 0));

        let mut liar = Liar(Naive::new(&set), 7);
        let comparison = compare(kind, &mut liar, &expected, &corpus, budget);
        assert_eq!(comparison.differences.len(), MOST_DIFFERENCES);
        let told = comparison.differences[0].to_string();
        assert!(told.contains(&format!("+ {}", corpus.rules[7].id)), "{told}");
    }

    #[test]
    fn without_time_the_least_is_compared() {
        let corpus = Corpus::new(20);
        let set = RuleSet::parse(&corpus).unwrap();
        let events = benign(100, &corpus, 1);
        let expected = Expected::new(prepare(&events), &Naive::new(&set));
        let mut naive = Naive::new(&set);
        let comparison = compare(&KINDS[0], &mut naive, &expected, &corpus, Duration::ZERO);
        assert_eq!(comparison.events, LEAST_EVENTS);
    }
}
