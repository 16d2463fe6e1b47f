//! Rules and events made from the input: what the file says is what the naive reference says.
//!
//! The generators are those of the differential tests; there a seed makes the choices, here the
//! fuzzer does, and learns which of them lead to new code.

use channel_compiler::naive;
use channel_format::schema::Truth;
use differential::Side;
use differential::choices::Choices;
use differential::compiled::{Compiled, Refused, read};
use differential::event::event;
use differential::rule::rule;
use differential::words::Words;

use crate::target::Target;

/// The target of this module.
pub const TARGETS: &[Target] = &[Target::new(
    "judge",
    "rules and events made from the input, compiled and judged, and judged naively",
    judge,
)
.seeds(seeds)
.longest(4_096)];

/// The most rules of one file.
const MOST_RULES: usize = 6;
/// Events judged by each.
const EVENTS: usize = 4;

/// Builds rules, and judges events by the file and by their source.
pub fn judge(bytes: &[u8]) {
    let mut choices = Choices::replayed(bytes.iter().map(|byte| u32::from(*byte)).collect());
    let words = Words::choose(&mut choices, Side::Naive);
    let count = choices.between(1, MOST_RULES);
    let rules: Vec<_> = (0..count)
        .map(|number| rule(&mut choices, &words, Side::Naive, number))
        // A rule that no file can have is the compiler's to refuse, alone or with others.
        .filter(|rule| read(&rule.yaml).and_then(|source| compiled(&source)).is_ok())
        .collect();
    if rules.is_empty() {
        return;
    }
    let yaml: Vec<_> = rules.iter().map(|rule| rule.yaml.as_str()).collect();
    let yaml = yaml.join("---\n");
    let source = read(&yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    let file = compiled(&source).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    for _ in 0..EVENTS {
        let event = event(&mut choices, &words, Side::Naive, &rules);
        let found = file.judge(&event).unwrap_or_else(|error| panic!("{error}\n{event}\n{yaml}"));
        let inputs = event.whole();
        let expected: Vec<Truth> = source.iter().map(|rule| naive::judge(rule, &inputs)).collect();
        assert_eq!(found, expected, "{event}\n{yaml}");
    }
}

fn compiled(source: &[channel_compiler::SourceRule]) -> Result<Compiled, String> {
    Compiled::new(source).map_err(|refused: Refused| refused.to_string())
}

/// What seeds of the differential tests choose.
fn seeds() -> Vec<Vec<u8>> {
    (0..16).map(|seed| tape(&mut Choices::seeded(&[seed]))).collect()
}

fn tape(choices: &mut Choices) -> Vec<u8> {
    let words = Words::choose(choices, Side::Naive);
    let count = choices.between(1, MOST_RULES);
    let rules: Vec<_> =
        (0..count).map(|number| rule(choices, &words, Side::Naive, number)).collect();
    (0..EVENTS).for_each(|_| drop(event(choices, &words, Side::Naive, &rules)));
    let taken = choices.clone().into_tape();
    taken.into_iter().map(|chosen| u8::try_from(chosen).unwrap_or(u8::MAX)).collect()
}
