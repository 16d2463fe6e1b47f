//! Automata against `regex-automata`, and against trying, for wildcards.

use channel_format::engine::fold::fold;
use channel_format::engine::regex::Automaton as Reader;
use channel_format::engine::scan::ODD_UNITS;
use channel_format::limits::MAX_STATES;
use proptest::prelude::*;
use rsigma_parser::SigmaString;

use super::*;
use crate::lower::{Comparison, Modifiers, pattern_parts};
use crate::naive;

/// A section with one automaton.
fn section(automaton: &Automaton) -> Vec<u8> {
    let Automaton { flags, states, classes, ranges, start, middle, lead, tables, .. } = automaton;
    let mut section = 1_u32.to_le_bytes().to_vec();
    for number in [flags, states, classes, ranges, start, middle, lead, &0] {
        section.extend(number.to_le_bytes());
    }
    section.extend(24_u32.to_le_bytes());
    section.extend(tables);
    section
}

/// Whether an automaton accepts a text, looked at as a whole; it must say the same when it starts
/// from where its literal is.
fn accepts(automaton: &Automaton, text: &[u16]) -> bool {
    let section = section(automaton);
    let reader = Reader::read(&section, 0).unwrap();
    let mut steps = 0;
    let whole = reader.search(text, &mut steps).unwrap();
    assert!(steps <= text.len() as u64);
    if !automaton.literal.is_empty() {
        let sought = |unit: &u16| {
            let odd = ODD_UNITS.iter().find(|(odd, _)| odd == unit);
            odd.map_or_else(|| fold(*unit), |(_, letter)| *letter)
        };
        let spelled: Vec<u16> = text.iter().map(sought).collect();
        let stands = |(_, part): &(usize, &[u16])| *part == automaton.literal;
        let mut places = spelled.windows(automaton.literal.len()).enumerate().filter(stands);
        let around = match places.next().map(|(place, _)| place as u16) {
            None => false,
            Some(first) => {
                let last = places.next_back().map_or(first, |(place, _)| place as u16);
                let mut steps = 0;
                let found = reader.search_around(text, first, last, &mut steps).unwrap();
                assert!(steps <= text.len() as u64);
                found
            }
        };
        assert_eq!(around, whole, "from {:04x?} of {text:04x?}", automaton.literal);
    }
    whole
}

fn oracle(pattern: &str, flags: Flags) -> regex_automata::meta::Regex {
    let syntax = regex_automata::util::syntax::Config::new()
        .case_insensitive(flags.ignore_case)
        .multi_line(flags.multi_line)
        .dot_matches_new_line(flags.dot_all);
    regex_automata::meta::Regex::builder().syntax(syntax).build(pattern).unwrap()
}

/// Compares for one text; a lone surrogate stands as U+FFFD before the oracle.
fn compare(pattern: &str, flags: Flags, text: &[u16]) {
    let automata = compile(pattern, flags).unwrap_or_else(|why| panic!("{pattern}: {why:?}"));
    let expected = oracle(pattern, flags).is_match(&String::from_utf16_lossy(text));
    let found = automata.iter().filter(|automaton| accepts(automaton, text)).count() > 0;
    assert_eq!(found, expected, "{pattern:?} {flags:?} on {text:04x?}");
}

/// Code units that patterns below tell apart, lone surrogates among them.
fn text() -> impl Strategy<Value = Vec<u16>> {
    let unit = prop_oneof![
        Just(b'a'.into()),
        Just(b'b'.into()),
        Just(b'K'.into()),
        Just(b'\\'.into()),
        Just(b'\n'.into()),
        Just(0xe9),
        Just(0x212a), // the Kelvin sign, which folds with k
        Just(0xd83d),
        Just(0xde00),
        Just(0xde01),
    ];
    proptest::collection::vec(unit, 0..12)
}

/// Patterns over the same letters.
fn pattern() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("a"),
        Just("b"),
        Just("k"),
        Just("ab"),
        Just("bak"),
        Just("é"),
        Just("😀"),
        Just("."),
        Just("[^a]"),
        Just("[ab]"),
        Just("[a-é]"),
        Just("[😀-😎]"),
        Just("[^😀]"),
        Just(r"\w"),
        Just(r"\s"),
        Just(r"\\"),
        Just(r"\n"),
        Just("^"),
        Just("$"),
        Just("(?m:^)"),
        Just("(?m:$)"),
        Just("(?s:.)"),
        Just(""),
    ];
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(?:{a}|{b})")),
            inner.clone().prop_map(|a| format!("(?:{a})*")),
            inner.clone().prop_map(|a| format!("(?:{a})+")),
            inner.clone().prop_map(|a| format!("({a})?")),
            inner.prop_map(|a| format!("(?:{a}){{1,3}}")),
        ]
    })
}

fn flags() -> impl Strategy<Value = Flags> {
    any::<[bool; 3]>().prop_map(|[ignore_case, multi_line, dot_all]| Flags {
        ignore_case,
        multi_line,
        dot_all,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn agrees_with_regex_automata(
        pattern in pattern(),
        flags in flags(),
        texts in proptest::collection::vec(text(), 1..6),
    ) {
        for text in texts {
            compare(&pattern, flags, &text);
        }
    }

    #[test]
    fn wildcards_agree_with_trying(
        parts in proptest::collection::vec(
            prop_oneof![Just("*"), Just("?"), Just("a"), Just("B"), Just("é"), Just("😀"), Just("k")],
            0..8,
        ),
        cased in any::<bool>(),
        texts in proptest::collection::vec(text(), 1..6),
    ) {
        let value = SigmaString::new(&parts.concat());
        let automaton = compile_wildcards(&value.parts, cased).unwrap();
        let modifiers =
            Modifiers { comparison: Comparison::Is, all: false, cased, flags: Flags::default() };
        for text in texts {
            let expected = naive::text_fits(&modifiers, &value, &text);
            prop_assert_eq!(accepts(&automaton, &text), expected, "{:?} on {:04x?}", parts, text);
        }
    }
}

#[test]
fn surrogates_pair_before_they_are_lone() {
    let flags = Flags::default();
    let (high, low) = (0xd83d, 0xde00);
    for text in [vec![high, low], vec![high], vec![low], vec![low, high], vec![high, high, low]] {
        for pattern in ["^.$", "^..$", "^.{3}$", "^[^a]$", "^😀$", "^.😀$", "^[^😀]$"] {
            compare(pattern, flags, &text);
        }
    }
}

#[test]
fn what_published_rules_use_stays_small() {
    for pattern in [
        r"^\\MSSE-[0-9a-f]{4,5}-server$",
        r"\\mojo\.5688\.8052\.(?:183894939787088877|35780273329370473)[0-9a-f]{2}",
        r"\\[a-zA-Z0-9]{10}$",
        r"(?i)\\postex_(ssh_)?[0-9a-f]{4}",
    ] {
        for automaton in compile(pattern, Flags::default()).unwrap() {
            assert!(automaton.states < 128, "{pattern}: {} states", automaton.states);
        }
    }
}

#[test]
fn what_explodes_or_is_not_regular_is_refused() {
    for (pattern, reason) in [
        (r"(a|b)*a(a|b){14}", "explodes"),
        (r"(.{1,400}){1,400}", "too large"),
        (r"\bname\b", "word boundaries"),
        (r"a(?=b)", "not a regular expression"),
        (r"(a)\1", "not a regular expression"),
        (r"a{5000000}", "too large"),
    ] {
        let (why, help) = compile(pattern, Flags::default()).unwrap_err();
        assert!(why.contains(reason), "{pattern}: {why}");
        assert!(!help.is_empty());
    }
    assert!(compile(&"a".repeat(MAX_STATES as usize + 1), Flags::default()).is_err());
}

#[test]
fn parts_of_a_contains_have_no_two_stars_side_by_side() {
    let parts = pattern_parts(Comparison::Contains, &SigmaString::new("**a*")).unwrap();
    assert_eq!(parts.iter().filter(|part| is_star(part)).count(), 2);
}
