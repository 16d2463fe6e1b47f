//! Every program up to a small length: what is accepted ends, costs no more than was said, means what
//! the format says it means, and is false where its proof says so.
//!
//! The alphabet: two criteria, every flag, and as targets both ends, nothing, and each place up to
//! one behind the program. All programs of three instructions are more than a plain test has time
//! for: `cargo xtask mutate` runs those.

use std::vec::Vec;

use super::program::{
    FALSE, FLAG_COVER, FLAG_LIVE, FLAG_NEGATED, Instruction, RECORD_LEN, TRUE, run, validate,
};
use crate::schema::Truth;

const CRITERIA: u32 = 2;
/// What judging each criterion may cost, and does.
const COSTS: [u64; CRITERIA as usize] = [3, 5];
const TRUTHS: [Truth; 3] = [Truth::False, Truth::True, Truth::Unknown];

#[test]
fn all_programs_of_two_instructions() {
    assert!(all_programs(1) > 0);
    assert!(all_programs(2) > 0);
}

#[test]
#[ignore = "a minute even when optimised: cargo xtask mutate"]
fn all_programs_of_three_instructions() {
    assert!(all_programs(3) > 0);
}

/// Checks all programs of a length; how many were accepted.
fn all_programs(length: usize) -> u64 {
    let targets: Vec<u16> = [TRUE, FALSE, 0].into_iter().chain(1..=length as u16).collect();
    let mut words = Vec::new();
    for criterion in 0..CRITERIA {
        // And a flag that is not known.
        for flags in (0..=FLAG_NEGATED | FLAG_COVER | FLAG_LIVE).chain([8]) {
            for if_holds in &targets {
                for if_not in &targets {
                    let (if_holds, if_not) = (*if_holds, *if_not);
                    words.push(Instruction { criterion, flags, if_holds, if_not }.write());
                }
            }
        }
    }
    let mut accepted = 0;
    let mut program = std::vec![words[0]; length];
    all(&words, &mut program, 0, &mut |program| accepted += check(program));
    accepted
}

fn all(
    words: &[[u8; RECORD_LEN]],
    program: &mut Vec<[u8; RECORD_LEN]>,
    place: usize,
    each: &mut impl FnMut(&[[u8; RECORD_LEN]]),
) {
    if place == program.len() {
        return each(program);
    }
    for word in words {
        program[place] = *word;
        all(words, program, place + 1, each);
    }
}

/// Checks one program for every set of criteria that its rule is triggered by; how many of them it
/// is accepted with.
fn check(program: &[[u8; RECORD_LEN]]) -> u64 {
    let mut accepted = 0;
    for covering in 0..1_u32 << CRITERIA {
        let covers = |criterion: u32| covering >> criterion & 1 == 1;
        let cost = |criterion: u32| COSTS.get(criterion as usize).copied();
        let Ok(checked) = validate(program, 0, cost, covers) else { continue };
        accepted += 1;
        for first in TRUTHS {
            for second in TRUTHS {
                let truths = [first, second];
                let mut steps = 0;
                let mut spent = 0;
                let mut judge = |criterion: u32| {
                    spent += COSTS[criterion as usize];
                    truths[criterion as usize]
                };
                let found = run(program, &mut judge, &mut steps);
                let found = found.expect("an accepted program ends");
                assert!(steps + spent <= checked.cost, "{program:?} {truths:?}");
                assert_eq!(found, meaning(program, &truths), "{program:?} {truths:?}");
                let untriggered = (0..CRITERIA)
                    .filter(|criterion| covers(*criterion))
                    .all(|criterion| truths[criterion as usize] == Truth::False);
                if checked.covered && untriggered {
                    assert_eq!(found, Truth::False, "missed: {program:?} {truths:?}");
                }
            }
        }
    }
    accepted
}

/// What the format says a program means, without a loop: both ways of taking what is unknown.
fn meaning(program: &[[u8; RECORD_LEN]], truths: &[Truth]) -> Truth {
    let (holds, unknown) = from(program, 0, truths, false);
    match (holds, from(program, 0, truths, true).0) {
        (holds, _) if !unknown => holds.into(),
        (holds, possible) if holds == possible => holds.into(),
        _ => Truth::Unknown,
    }
}

/// Whether the rule is true from an instruction on, and whether a criterion was unknown on the way.
fn from(
    program: &[[u8; RECORD_LEN]],
    place: usize,
    truths: &[Truth],
    unknown_holds: bool,
) -> (bool, bool) {
    let Instruction { criterion, flags, if_holds, if_not } = Instruction::read(program[place]);
    let truth = truths[criterion as usize];
    let holds = match truth {
        Truth::Unknown => unknown_holds,
        known => (known == Truth::True) != (flags & FLAG_NEGATED != 0),
    };
    let (ends, met) = match if holds { if_holds } else { if_not } {
        TRUE => (true, false),
        FALSE => (false, false),
        forward => from(program, place + usize::from(forward), truths, unknown_holds),
    };
    (ends, met || truth == Truth::Unknown)
}
