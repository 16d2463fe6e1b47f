//! Scans over literals made at random: what they find is what stands in the text, and no other
//! table is accepted in their place.

mod common;

use channel_compiler::{SourceRule, attach_signature, build, incident::resign, parse_rules};
use channel_format::engine::fold::fold;
use channel_format::engine::scan::{BASE_SHIFT, EMPTY, SHORT};
use channel_format::refusal::Code;
use channel_format::ruleset::Ruleset;
use channel_format::schema::{Field, Input, Inputs, SensorProfile, Truth};
use proptest::prelude::*;

use common::{OPTIONS, ScanPlaces, check, open, put, scans, test_key, word};

/// How a literal is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    Contains,
    StartsWith,
    EndsWith,
    Equals,
    Cased,
    /// In the image's name, when the pipe's has been found.
    Filter,
}

/// A literal, and how it is looked for: a rule of its own.
type Sought = (String, How);

const PIPE: &str = "ab";

fn rules(sought: &[Sought]) -> Vec<SourceRule> {
    let rule = |(number, (literal, how)): (usize, &Sought)| {
        let item = match how {
            How::Contains => format!("PipeName|contains: '{literal}'"),
            How::StartsWith => format!("PipeName|startswith: '{literal}'"),
            How::EndsWith => format!("PipeName|endswith: '{literal}'"),
            How::Equals => format!("PipeName: '{literal}'"),
            How::Cased => format!("PipeName|contains|cased: '{literal}'"),
            How::Filter => {
                format!("PipeName|startswith: '{PIPE}'\n        ImageName|contains: '{literal}'")
            }
        };
        let text = format!(
            "title: Literal\nid: 00000000-0000-4000-8000-{number:012}\nlogsource:\n    category: \
             pipe_created\ndetection:\n    s:\n        {item}\n    condition: s\n"
        );
        parse_rules("rule.yml".as_ref(), &text).unwrap_or_else(|e| panic!("{e:?}\n{text}"))
    };
    sought.iter().enumerate().flat_map(rule).collect()
}

fn built(sought: &[Sought]) -> Vec<u8> {
    let mut file = build(&rules(sought), &OPTIONS).unwrap_or_else(|e| panic!("{e:?} {sought:?}"));
    attach_signature(&mut file, &test_key()).unwrap();
    file
}

/// Whether a literal is found, by trying every place.
fn holds((literal, how): &Sought, pipe: &[u16], image: &[u16]) -> bool {
    let units: Vec<u16> = literal.encode_utf16().collect();
    let folded = |text: &[u16]| text.iter().map(|unit| fold(*unit)).collect::<Vec<u16>>();
    let (wanted, text) = (folded(&units), folded(pipe));
    let occurs = |wanted: &[u16], text: &[u16]| text.windows(wanted.len()).any(|at| at == wanted);
    match how {
        How::Contains => occurs(&wanted, &text),
        How::StartsWith => text.starts_with(&wanted),
        How::EndsWith => text.ends_with(&wanted),
        How::Equals => text == wanted,
        How::Cased => occurs(&units, pipe),
        How::Filter => {
            let cover: Vec<u16> = PIPE.encode_utf16().collect();
            text.starts_with(&folded(&cover)) && occurs(&wanted, &folded(image))
        }
    }
}

/// The rules that are true for an event.
fn found(ruleset: &Ruleset<Vec<u8>>, pipe: &[u16], image: &[u16]) -> Vec<usize> {
    let mut inputs = Inputs::absent();
    inputs.set(Field::Operation, Input::Number(1));
    inputs.set(Field::PipeName, Input::Text(pipe));
    inputs.set(Field::ImageName, Input::Text(image));
    let mut found = Vec::new();
    let evaluation = ruleset.evaluate(&inputs, &mut |rule, truth| {
        assert_eq!(truth, Truth::True);
        found.push(rule as usize);
    });
    assert!(evaluation.steps <= ruleset.header().steps_per_event);
    found.sort_unstable();
    found
}

fn expected(sought: &[Sought], pipe: &[u16], image: &[u16]) -> Vec<usize> {
    (0..sought.len()).filter(|rule| holds(&sought[*rule], pipe, image)).collect()
}

/// Few letters, so that literals begin and end as others do.
fn letters(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let letter = proptest::sample::select(&['a', 'a', 'b', 'b', 'A', 'c', 'é', 'É'][..]);
    proptest::collection::vec(letter, length).prop_map(|letters| letters.into_iter().collect())
}

/// Literals of any length, and longer ones, of which the scan finds a beginning.
fn sought() -> impl Strategy<Value = Vec<Sought>> {
    prop_oneof![sought_of(1..7), sought_of(20..40)]
}

fn sought_of(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Sought>> {
    let how = proptest::sample::select(
        &[
            How::Contains,
            How::Contains,
            How::StartsWith,
            How::EndsWith,
            How::Equals,
            How::Cased,
            How::Filter,
        ][..],
    );
    proptest::collection::btree_set((letters(length), how), 1..14)
        .prop_map(|sought| sought.into_iter().collect())
}

/// Texts of literals' letters, of literals one behind the other and apart, and the literals themselves.
fn texts(sought: &[Sought], random: &[(String, Vec<prop::sample::Index>)]) -> Vec<Vec<u16>> {
    let mut texts: Vec<Vec<u16>> =
        sought.iter().map(|(literal, _)| literal.encode_utf16().collect()).collect();
    for (text, literals) in random {
        texts.push(text.encode_utf16().collect());
        let glued: String =
            literals.iter().map(|at| sought[at.index(sought.len())].0.as_str()).collect();
        texts.push(glued.encode_utf16().collect());
        let spread: Vec<&str> =
            literals.iter().map(|at| sought[at.index(sought.len())].0.as_str()).collect();
        let apart = ["xy", "xyzxyzxyz", "xyſzK"][text.len() % 3];
        texts.push(format!("{text}{}{text}", spread.join(apart)).encode_utf16().collect());
        texts.push((PIPE.to_owned() + text).encode_utf16().collect());
    }
    // The empty name is that of an anonymous pipe, which rules know by another.
    texts.retain(|text| !text.is_empty());
    texts
}

fn random_texts() -> impl Strategy<Value = Vec<(String, Vec<prop::sample::Index>)>> {
    proptest::collection::vec(
        (letters(0..14), proptest::collection::vec(any::<prop::sample::Index>(), 1..5)),
        1..6,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_is_found_is_what_stands_in_the_text(sought in sought(), random in random_texts()) {
        let ruleset = open(&built(&sought), &test_key(), &SensorProfile::CURRENT).unwrap();
        let texts = texts(&sought, &random);
        for (place, pipe) in texts.iter().enumerate() {
            let image = &texts[texts.len() - 1 - place];
            prop_assert_eq!(
                found(&ruleset, pipe, image),
                expected(&sought, pipe, image),
                "{:?} in {} and {}",
                &sought,
                String::from_utf16_lossy(pipe),
                String::from_utf16_lossy(image)
            );
        }
    }

    #[test]
    fn no_scan_is_accepted_with_one_word_changed(
        sought in sought(),
        changes in proptest::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_u8..4, any::<u32>()),
            24,
        ),
    ) {
        let file = built(&sought);
        prop_assert_eq!(check(&file), Ok(()));
        for (scan, at, kind, value) in changes {
            let scans = scans(&file);
            let scan = &scans[scan.index(scans.len())];
            let words = (scan.hits.end - scan.pairs.start) / 4;
            let at = scan.pairs.start + 4 * at.index(words);
            let before = word(&file, at);
            let other = scan.pairs.start + 4 * (value as usize % words);
            let changed = match kind {
                // A bit, what another word is, nothing, anything.
                0 => before ^ 1 << (value % 32),
                1 => word(&file, other),
                2 => EMPTY,
                _ => value,
            };
            if changed != before {
                let mut file = file.clone();
                put(&mut file, at, changed);
                prop_assert!(check(&file).is_err(), "{before:#x} to {changed:#x} at {at:#x}");
            }
        }
    }

    #[test]
    fn a_scan_accepted_with_several_words_changed_finds_the_same(
        sought in sought(),
        random in random_texts(),
        changes in proptest::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
            1..24,
        ),
    ) {
        // Two words change places: sometimes a state only lies elsewhere then.
        let file = built(&sought);
        for (first, second) in changes {
            let mut changed = file.clone();
            let scan = &scans(&file)[0];
            let words = (scan.groups.start - scan.pairs.start) / 4;
            let place = |index: prop::sample::Index| scan.pairs.start + 4 * index.index(words);
            let (first, second) = (place(first), place(second));
            put(&mut changed, first, word(&file, second));
            put(&mut changed, second, word(&file, first));
            if check(&changed).is_err() {
                continue;
            }
            resign(&mut changed, &test_key()).unwrap();
            let ruleset = open(&changed, &test_key(), &SensorProfile::CURRENT).unwrap();
            for text in texts(&sought, &random) {
                prop_assert_eq!(found(&ruleset, &text, &text), expected(&sought, &text, &text));
            }
        }
    }

    #[test]
    fn no_two_states_share_a_base(sought in sought_of(1..7)) {
        let file = built(&sought);
        for scan in scans(&file) {
            let states = states(&file, &scan);
            for first in &states {
                for second in &states {
                    if let Some(shared) = share_base(&file, &scan, *first, *second) {
                        prop_assert!(check(&shared).is_err(), "{first:#x} and {second:#x}");
                    }
                }
            }
        }
    }
}

/// Where the numbers of states that have a base lie.
fn states(file: &[u8], scan: &ScanPlaces) -> Vec<usize> {
    let slots = scan.slots.clone().step_by(4).filter(|at| {
        let slot = word(file, *at);
        slot != EMPTY && (slot as usize & 0xff) < scan.classes
    });
    let pairs = scan.pairs.clone().step_by(4).filter(|at| word(file, *at) & SHORT == 0);
    pairs.chain(slots).collect()
}

/// Moves all slots of the second state to the base of the first, if they are free there: then each
/// has the other's too.
fn share_base(file: &[u8], scan: &ScanPlaces, first: usize, second: usize) -> Option<Vec<u8>> {
    let base = |at: usize| (word(file, at) >> BASE_SHIFT) as usize;
    let (to, from) = (base(first), base(second));
    if to == from {
        return None;
    }
    let mut shared = file.to_vec();
    let mut at_second = second;
    for label in 0..scan.classes + 2 {
        let slot = |base: usize| scan.slots.start + 4 * (base ^ label);
        let moved = word(file, slot(from));
        if moved == EMPTY || moved as usize & 0xff != label {
            continue;
        }
        if word(file, slot(to)) != EMPTY {
            return None;
        }
        put(&mut shared, slot(from), EMPTY);
        put(&mut shared, slot(to), moved);
        // The second state may itself lie in a slot that moves.
        at_second = if slot(from) == second { slot(to) } else { at_second };
    }
    let number = word(&shared, at_second) & ((1 << BASE_SHIFT) - 1) | (to as u32) << BASE_SHIFT;
    put(&mut shared, at_second, number);
    Some(shared)
}

/// If `AA` and `BA` shared a base, `BAB` would be found in `aab`, and `AAC` in `bac`.
#[test]
fn a_state_does_not_have_the_slots_of_another() {
    let sought = [("aac".to_owned(), How::Contains), ("bab".to_owned(), How::Contains)];
    let file = built(&sought);
    let scan = &scans(&file)[0];
    let pairs: Vec<usize> =
        scan.pairs.clone().step_by(4).filter(|at| word(&file, *at) & SHORT == 0).collect();
    let shared = share_base(&file, scan, pairs[0], pairs[1]).unwrap();
    assert_eq!(check(&shared).unwrap_err().code, Code::ScanTable);
    // Either may have any base of its own.
    assert_eq!(check(&file), Ok(()));
}

/// Length and key of each group of a scan.
fn keys(file: &[u8], scan: &ScanPlaces) -> Vec<(u32, u32)> {
    let words = scan.groups.clone().step_by(16).map(|at| word(file, at + 12));
    words.map(|word| (word & 0xffff, word >> 16)).collect()
}

/// A literal of which the scan finds a beginning, and what follows decides.
#[test]
fn what_follows_a_key_is_compared() {
    let sought = [
        ("alphabetical-order-of-all-tables".to_owned(), How::Contains),
        ("omega-omicron-upsilon-epsilon".to_owned(), How::StartsWith),
        ("epsilon-eta-theta-iota-kappa-lambda".to_owned(), How::Equals),
        ("lambda-kappa-iota-theta-eta-zeta".to_owned(), How::EndsWith),
        ("Sigma-Tau-RHO-Pi-Omicron-Xi".to_owned(), How::Cased),
    ];
    let file = built(&sought);
    let ruleset = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap();
    // What must stand at the end is its own key.
    let expected_keys = [(32, 24), (35, 24), (32, 32), (29, 24), (27, 24)];
    assert_eq!(keys(&file, &scans(&file)[0]), expected_keys);
    for (literal, _) in &sought {
        let units: Vec<u16> = literal.encode_utf16().collect();
        let changed = |at: usize, unit: u16| {
            let mut changed = units.clone();
            changed[at] = unit;
            changed
        };
        let variants = (0..units.len()).flat_map(|at| {
            // Another letter, the same one in the other case, a unit taken for S, nothing more.
            let other = [u16::from(b'x'), units[at] ^ 0x20, 0x017f].map(|unit| changed(at, unit));
            other.into_iter().chain([units[..at].to_vec()])
        });
        for text in variants.chain([units.clone()]).filter(|text| !text.is_empty()) {
            for (before, behind) in [("", ""), ("x", ""), ("", "x"), ("some-text-", "-more")] {
                let [before, behind] = [before, behind].map(str::encode_utf16);
                let text: Vec<u16> = before.chain(text.iter().copied()).chain(behind).collect();
                let spelled = String::from_utf16_lossy(&text);
                let expected = expected(&sought, &text, &text);
                assert_eq!(found(&ruleset, &text, &text), expected, "{spelled}");
            }
        }
    }
}

/// Where literals are many, keys are short.
#[test]
fn keys_of_many_literals_tell_them_apart() {
    let hows = [How::Contains, How::StartsWith, How::EndsWith, How::Equals, How::Cased];
    // Words of a few syllables, so that many begin as others do.
    let syllables = ["ka", "ro", "mi", "tes", "lun", "Do", "va", "É", "sk"];
    let word = |number: usize| {
        let places = (0..9).map(|place| number / 7_usize.pow(place % 4) + place as usize * number);
        places.map(|place| syllables[place % syllables.len()]).collect::<String>()
    };
    let sought: Vec<Sought> =
        (0..700).map(|number| (word(number), hows[number % hows.len()])).collect();
    let file = built(&sought);
    let keys = keys(&file, &scans(&file)[0]);
    assert!(keys.iter().filter(|(length, key)| key < length).count() > 300);
    assert!(keys.iter().all(|(length, key)| *key >= 8.min(*length)));
    let ruleset = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap();
    for number in 0..700 {
        let (one, other) = (word(number), word(number * 31 % 700));
        for text in [format!("{one}{other}"), format!("{other}x{one}"), one.clone(), one + "-"] {
            let units: Vec<u16> = text.encode_utf16().collect();
            assert_eq!(
                found(&ruleset, &units, &units),
                expected(&sought, &units, &units),
                "{text}"
            );
        }
    }
}

/// Every short text of few letters: what stands at its beginning, at its end, at both, and what is
/// taken for a letter that it is not.
#[test]
fn what_must_stand_at_the_beginning_or_the_end_does() {
    let one = |literal: &str, how| (literal.to_owned(), how);
    let narrow = [
        one("as", How::StartsWith),
        one("a", How::StartsWith),
        one("sas", How::StartsWith),
        one("sa", How::EndsWith),
        one("assa", How::EndsWith),
        one("s", How::Equals),
        one("asa", How::Equals),
    ];
    // The same, some of which now end where one ends that counts anywhere.
    let wide = [one("sa", How::Contains), one("ss", How::Contains), one("aS", How::Cased)];
    let mut texts: Vec<Vec<u16>> = vec![vec![]];
    for length in 0..5 {
        for at in 0..texts.len() {
            if texts[at].len() == length {
                for letter in "asSſx".encode_utf16() {
                    texts.push([texts[at].as_slice(), &[letter]].concat());
                }
            }
        }
    }
    for sought in [narrow.to_vec(), [narrow.as_slice(), &wide].concat()] {
        let ruleset = open(&built(&sought), &test_key(), &SensorProfile::CURRENT).unwrap();
        // The empty name is that of an anonymous pipe, which rules know by another.
        for text in &texts[1..] {
            let spelled = String::from_utf16_lossy(text);
            assert_eq!(found(&ruleset, text, text), expected(&sought, text, text), "{spelled}");
        }
    }
}
