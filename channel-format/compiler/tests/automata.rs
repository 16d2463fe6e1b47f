//! Automata whose state numbers take one byte, and those that take two.

mod common;

use channel_compiler::{attach_signature, build, naive};
use channel_format::engine::regex::{DESCRIPTOR_LEN, MAX_NARROW};
use channel_format::refusal::Code;
use channel_format::ruleset::SectionKind;
use channel_format::schema::{Field, Input, Inputs, SensorProfile, Truth};
use common::{OPTIONS, check, open, rule, section, test_key, word};

/// A file of one pattern, and where its descriptor and its state table lie.
struct File {
    bytes: Vec<u8>,
    descriptor: usize,
    next: usize,
}

impl File {
    fn of(pattern: &str) -> Self {
        let rule = rule(&format!("    s: {{PipeName|re: '{pattern}'}}\n    condition: s"));
        let bytes = build(&[rule], &OPTIONS).unwrap();
        let automata = section(&bytes, SectionKind::Automata).start;
        let descriptor = automata + 4;
        let ranges = word(&bytes, descriptor + 6) as usize & 0xffff;
        let next = automata + word(&bytes, descriptor + 16) as usize + 128 + 4 * ranges;
        Self { bytes, descriptor, next }
    }

    fn short(&self, at: usize) -> usize {
        word(&self.bytes, self.descriptor + at) as usize & 0xffff
    }

    /// States, and bytes of the state table: it ends where the last automaton does, before what its
    /// states say and up to three zeros.
    fn size(&self) -> (usize, usize) {
        let end = section(&self.bytes, SectionKind::Automata).end;
        let (states, classes) = (self.short(2), self.short(4));
        assert_eq!(section(&self.bytes, SectionKind::Automata).start + 4, self.descriptor);
        assert!(self.descriptor + DESCRIPTOR_LEN < self.next);
        let width = if (end - self.next) >= 2 * states * classes + states { 2 } else { 1 };
        (states, width)
    }
}

/// So many states: one for each length of a run of `a`, and some more.
const NARROW: &str = "ba{200}c";
const WIDE: &str = "ba{300}c";

#[test]
fn the_number_of_states_says_how_wide_their_numbers_are() {
    for (pattern, width) in [(NARROW, 1), (WIDE, 2)] {
        let file = File::of(pattern);
        let (states, found) = file.size();
        assert_eq!((states > usize::from(MAX_NARROW), found), (width == 2, width), "{pattern}");
    }
}

#[test]
fn both_judge_as_the_reference_does() {
    for (pattern, count) in [(NARROW, 200), (WIDE, 300)] {
        let rule = rule(&format!("    s: {{PipeName|re: '{pattern}'}}\n    condition: s"));
        let mut file = build(std::slice::from_ref(&rule), &OPTIONS).unwrap();
        attach_signature(&mut file, &test_key()).unwrap();
        let set = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap();
        for length in [count - 1, count, count + 1] {
            let name: Vec<u16> = format!("\\xb{}c", "a".repeat(length)).encode_utf16().collect();
            let mut inputs = Inputs::absent();
            inputs.set(Field::Operation, Input::Number(1));
            inputs.set(Field::PipeName, Input::Text(&name));
            let matched = set.evaluate(&inputs, &mut |_, _| {}).matched == 1;
            assert_eq!(matched, length == count, "{pattern} of {length}");
            assert_eq!(Truth::from(matched), naive::judge(&rule, &inputs));
        }
    }
}

#[test]
fn a_state_that_is_not_there_is_refused_in_both() {
    for (pattern, width) in [(NARROW, 1), (WIDE, 2)] {
        let file = File::of(pattern);
        assert!(check(&file.bytes).is_ok());
        let (states, classes) = (file.short(2), file.short(4));
        for entry in [0, 1, states * classes - 1] {
            let at = file.next + entry * width;
            let mut changed = file.bytes.clone();
            changed[at..at + width].copy_from_slice(&(states as u16).to_le_bytes()[..width]);
            let refusal = check(&changed).unwrap_err();
            let told = (refusal.code, refusal.offset as usize, refusal.found as usize);
            assert_eq!(told, (Code::StateTable, at, states), "{pattern}, entry {entry}");
        }
    }
}
