//! A program whose targets say what a negation would: unknown is then true.
mod common;
use channel_compiler::{attach_signature, build, incident::resign};
use channel_format::engine::program::{FALSE, TRUE};
use channel_format::ruleset::SectionKind;
use channel_format::schema::{Field, Input, Inputs, SensorProfile, Truth};
use common::{OPTIONS, check, open, rule, section, test_key};

#[test]
fn an_unknown_criterion_never_makes_a_rule_true() {
    let rules = [rule("    s: {ProcessId: 4}\n    condition: not s")];
    let mut file = build(&rules, &OPTIONS).unwrap();
    attach_signature(&mut file, &test_key()).unwrap();
    let at = section(&file, SectionKind::Programs).start;
    assert_eq!(file[at + 3], 1, "negated");
    // The same without the flag: the targets change places.
    file[at + 3] = 0;
    file[at + 4..at + 6].copy_from_slice(&FALSE.to_le_bytes());
    file[at + 6..at + 8].copy_from_slice(&TRUE.to_le_bytes());
    if check(&file).is_err() {
        return;
    }
    resign(&mut file, &test_key()).unwrap();
    let ruleset = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap();
    assert_eq!(ruleset.self_test(), Ok(()));
    let mut inputs = Inputs::absent();
    inputs.set(Field::Operation, Input::Number(1));
    inputs.set(Field::ProcessId, Input::Unknown);
    let mut found = Truth::False;
    ruleset.evaluate(&inputs, &mut |_, truth| found = truth);
    assert_eq!(found, Truth::Unknown);
}
