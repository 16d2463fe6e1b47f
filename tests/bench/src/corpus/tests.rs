use super::events::{HOSTILE_UNITS, benign, hostile};
use super::*;
use crate::engines::naive::Naive;
use crate::rule::RuleSet;

/// The share of generated rules whose text fits, in percent.
fn share(rules: &[CorpusRule], fits: impl Fn(&CorpusRule) -> bool) -> f64 {
    let generated: Vec<&CorpusRule> =
        rules.iter().filter(|rule| rule.yaml.starts_with("title: Generated")).collect();
    let count = generated.iter().filter(|rule| fits(rule)).count();
    count as f64 * 100.0 / generated.len() as f64
}

/// The selection's first key, without its values.
fn main_key(rule: &CorpusRule) -> &str {
    let rest = rule.yaml.split("    selection:\n        ").nth(1).unwrap();
    rest.split(':').next().unwrap()
}

/// How many values stand below that key.
fn values(rule: &CorpusRule) -> usize {
    let lines = rule.yaml.lines().skip_while(|line| !line.contains("    selection:")).skip(2);
    lines.take_while(|line| line.starts_with("            - ")).count().max(1)
}

#[test]
fn the_same_rules_and_events_every_time() {
    assert_eq!(Corpus::new(500).rules, Corpus::new(500).rules);
    let pipes = |seed| -> Vec<String> {
        benign(200, &Corpus::new(20), seed).into_iter().map(|event| event.pipe.raw).collect()
    };
    assert_eq!(pipes(7), pipes(7));
    assert_ne!(pipes(7), pipes(8));
}

#[test]
fn a_larger_corpus_holds_the_smaller() {
    let (small, large) = (Corpus::new(200), Corpus::new(1_000));
    assert_eq!((small.rules.len(), large.rules.len()), (200, 1_000));
    assert!(small.rules.iter().all(|rule| large.rules.contains(rule)));
    assert!(large.rules.is_sorted_by(|left, right| left.id < right.id), "ids repeat");
}

#[test]
fn the_mix_is_the_one_stated() {
    let rules = Corpus::new(10_000).rules;
    let shares = [
        (35.0, share(&rules, |rule| !main_key(rule).contains('|'))),
        (30.0, share(&rules, |rule| main_key(rule).contains("|startswith"))),
        (10.0, share(&rules, |rule| main_key(rule).contains("|endswith"))),
        (15.0, share(&rules, |rule| main_key(rule).contains("|contains"))),
        (10.0, share(&rules, |rule| main_key(rule).contains("|re|i"))),
        (12.0, share(&rules, |rule| main_key(rule).starts_with("Image"))),
        (25.0, share(&rules, |rule| rule.yaml.contains("and not 1 of filter_main_*"))),
        (10.0, share(&rules, |rule| rule.yaml.contains(r"':\Users\Public\'"))),
        (
            10.0,
            share(&rules, |rule| {
                rule.yaml.contains("SessionId") || rule.yaml.contains("ProcessId")
            }),
        ),
        (25.0, share(&rules, |rule| values(rule) >= 2)),
        (0.0, share(&rules, |rule| values(rule) > 5)),
    ];
    for (stated, found) in shares {
        assert!((stated - found).abs() < 1.2, "stated {stated}, found {found}: {shares:?}");
    }
}

#[test]
fn every_rule_written_by_hand_is_true_of_a_sample() {
    let corpus = Corpus::new(20);
    let naive = Naive::new(&RuleSet::parse(&corpus).unwrap());
    let mut found = vec![false; 20];
    for event in benign(20_000, &corpus, 1) {
        naive.matched(&event).into_iter().for_each(|rule| found[rule as usize] = true);
    }
    assert_eq!(found, [true; 20]);
}

#[test]
fn benign_events_are_as_stated() {
    let corpus = Corpus::new(1_000);
    let naive = Naive::new(&RuleSet::parse(&corpus).unwrap());
    let events = benign(4_096, &corpus, 1);
    let mean = events.iter().map(|event| event.pipe.units.len()).sum::<usize>() as f64 / 4_096.0;
    assert!((32.0..38.0).contains(&mean), "mean pipe {mean}");
    let hits = events.iter().filter(|event| !naive.matched(event).is_empty()).count();
    assert!((25..60).contains(&hits), "{hits} events with a hit");
    // A process keeps its image.
    let mut images = std::collections::HashMap::new();
    let hostile = hostile(64, &RuleSet::parse(&corpus).unwrap(), 1);
    for event in events.iter().chain(&hostile) {
        let known = images.entry(event.process).or_insert(&event.image.raw);
        assert_eq!(*known, &event.image.raw);
    }
}

#[test]
fn hostile_events_are_full_of_literals() {
    let set = RuleSet::parse(&Corpus::new(200)).unwrap();
    let literals = set.literals(crate::rule::Field::Pipe);
    for event in hostile(20, &set, 1).iter().step_by(2) {
        assert_eq!(event.pipe.units.len(), HOSTILE_UNITS);
        assert_eq!(event.image.units.len(), HOSTILE_UNITS);
        let held = literals.iter().filter(|literal| event.pipe.lower.contains(*literal)).count();
        assert!(held >= 5, "{} holds {held}", event.pipe.raw);
    }
}
