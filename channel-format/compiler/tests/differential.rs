//! Built files against the naive reference, over rules and events made at random.

mod common;

use channel_compiler::{attach_signature, build_for, naive, parse_rules, sign};
use channel_format::schema::{Field, Input, Inputs, SensorProfile, Truth};
use proptest::prelude::*;

use common::{OPTIONS, open, rule_text, test_key};

/// Words that occur in values and in texts alike, so that matches are common.
const WORDS: [&str; 12] =
    ["a", "B", "ab", "\\", "pipe", "PIPE", "é", "É", "😀", ".exe", "<Anonymous Pipe>", "ſ"];

fn text() -> impl Strategy<Value = Vec<u16>> {
    proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..5)
        .prop_map(|words| words.concat().encode_utf16().collect())
}

/// One line of a selection.
fn item() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        8 => proptest::sample::select(&WORDS[..]).prop_map(str::to_owned),
        2 => Just("*".to_owned()),
        1 => Just("?".to_owned()),
        1 => Just(r"\*".to_owned()),
    ];
    let value = proptest::collection::vec(word, 0..4).prop_map(|words| words.concat());
    let values = proptest::collection::vec(value, 1..4)
        .prop_map(|values| values.iter().map(|v| format!("'{v}'")).collect::<Vec<_>>().join(", "));
    let field = prop_oneof![Just("PipeName"), Just("Image"), Just("ImageName")];
    let modifier = prop_oneof![
        Just(""),
        Just("|contains"),
        Just("|startswith"),
        Just("|endswith"),
        Just("|contains|all"),
        Just("|cased"),
        Just("|contains|cased"),
        Just("|endswith|cased|all"),
    ];
    let regex = prop_oneof![
        Just(r"^\\.*pipe$"),
        Just("a.b?"),
        Just("[^a]é"),
        Just("(ab|B)+$"),
        Just(r"\.exe"),
    ];
    let flags = prop_oneof![Just(""), Just("|i"), Just("|m|s")];
    prop_oneof![
        8 => (field.clone(), modifier, values).prop_map(|(f, m, v)| format!("{f}{m}: [{v}]")),
        2 => (field.clone(), flags, regex).prop_map(|(f, m, r)| format!("{f}|re{m}: '{r}'")),
        1 => field.clone().prop_map(|f| format!("{f}: null")),
        1 => (field, any::<bool>()).prop_map(|(f, e)| format!("{f}|exists: {e}")),
        1 => proptest::sample::select(&["", "|lt", "|lte", "|gt", "|gte"][..])
            .prop_map(|m| format!("ProcessId{m}: 4")),
        1 => proptest::sample::select(&[
            r"User: 'NT AUTHORITY\SYSTEM'",
            "User|contains: ['AUTHORI', 'AUTORI']",
            r"User|endswith: ['\Système', '\LOKALER DIENST']",
            "User: [S-1-5-21-1-2-3-500, s-1-5-18]",
            r"User: 'Window Manager\DWM-3'",
            "User: '*'",
            "User|exists: false",
        ][..])
        .prop_map(str::to_owned),
        1 => Just("EventID: 18".to_owned()),
        1 => Just("EventType: '*pipe'".to_owned()),
        1 => Just("EventType|contains: [connect, zz*, c]".to_owned()).prop_map(|_| {
            "EventType|startswith: connect".to_owned()
        }),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("s0"),
        Just("s1"),
        Just("s2"),
        Just("1 of s*"),
        Just("all of them"),
        Just("1 of them"),
    ];
    leaf.prop_map(str::to_owned).prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            inner.prop_map(|a| format!("not ({a})")),
        ]
    })
}

/// A rule's detection section with three selections: maps and lists of maps.
fn detection() -> impl Strategy<Value = String> {
    let selection = prop_oneof![
        proptest::collection::vec(item(), 1..3).prop_map(|items| (false, items)),
        proptest::collection::vec(item(), 1..3).prop_map(|items| (true, items)),
    ];
    (proptest::collection::vec(selection, 3), condition(), any::<bool>()).prop_map(
        |(selections, condition, several)| {
            let mut text = String::new();
            for (number, (list, items)) in selections.iter().enumerate() {
                text += &format!("    s{number}:\n");
                let mut seen = std::collections::BTreeSet::new();
                for item in items {
                    // A key may stand once in a map.
                    if *list || seen.insert(item.split(':').next().unwrap().to_owned()) {
                        text += &format!("        {}{item}\n", if *list { "- " } else { "" });
                    }
                }
            }
            // Every selection must be used.
            let whole = format!("{condition} or (s0 and s1 and s2)");
            if several {
                text + &format!("    condition:\n        - {whole}\n        - s1 and not s2\n")
            } else {
                text + &format!("    condition: {whole}\n")
            }
        },
    )
}

/// Identifiers of users, and bytes that are none.
const USERS: [&[u8]; 6] = [
    &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0],
    &[1, 1, 0, 0, 0, 0, 0, 5, 19, 0, 0, 0],
    &[1, 3, 0, 0, 0, 0, 0, 5, 90, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0],
    &[1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 244, 1, 0, 0],
    &[1, 1, 0, 0],
    &[],
];

/// An input that is there, unknown or absent.
fn given<'a>(kind: u8, input: Input<'a>) -> Input<'a> {
    match kind {
        0 => Input::Unknown,
        1 => Input::Absent,
        _ => input,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn evaluation_equals_the_reference(
        detection in detection(),
        block in prop_oneof![
            Just(""),
            Just("saker: {on: [created]}\n"),
            Just("saker: {on: connected, action: block}\n"),
        ],
        events in proptest::collection::vec(
            (
                text(),
                text(),
                proptest::sample::select(&USERS[..]),
                0_u64..4,
                any::<[u8; 5]>(),
                prop_oneof![Just(4_u64), any::<u64>()],
            ),
            1..16,
        ),
    ) {
        let source = rule_text(&detection) + block;
        let rules = parse_rules("rule.yml".as_ref(), &source)
            .unwrap_or_else(|e| panic!("{e:?}\n{source}"));
        // A rule that always or never matches has no examples of both kinds.
        let (ruleset, one_sided) = match build_for(&rules, &OPTIONS, &SensorProfile::FULL) {
            Ok(mut file) => {
                attach_signature(&mut file, &test_key()).unwrap();
                (Some(open(&file, &test_key(), &SensorProfile::FULL).unwrap()), None)
            }
            Err(errors) => {
                let reason = &errors[0].reason;
                prop_assert!(reason.starts_with("no example"), "{:?}\n{}", errors, source);
                (None, Some(Truth::from(reason.ends_with("does not match"))))
            }
        };
        if let Some(ruleset) = &ruleset {
            prop_assert_eq!(ruleset.self_test(), Ok(()), "{}", source);
        }
        for (name, image, user, operation, kinds, process) in &events {
            let image_name = image.rsplit(|unit| *unit == 0x5c).next().unwrap();
            let mut inputs = Inputs::unknown();
            inputs.set(Field::Operation, given(kinds[0] % 8, Input::Number(*operation)));
            inputs.set(Field::PipeName, given(kinds[1] % 8, Input::Text(name)));
            inputs.set(Field::ImagePath, given(kinds[2] % 8, Input::Text(image)));
            inputs.set(Field::ImageName, given(kinds[2] % 8, Input::Text(image_name)));
            inputs.set(Field::ProcessId, given(kinds[3] % 8, Input::Number(*process)));
            inputs.set(Field::User, given(kinds[4] % 8, Input::Sid(user)));
            let mut found = Truth::False;
            let Some(ruleset) = &ruleset else {
                // Then no event of a sensor may be judged otherwise.
                let judged = naive::judge(&rules[0], &inputs);
                let real = (1..=2).contains(operation) && kinds[0] % 8 > 1;
                let as_refused = judged == Truth::Unknown || Some(judged) == one_sided;
                prop_assert!(!real || as_refused, "{}\n{:?}", source, inputs);
                continue;
            };
            let evaluation = ruleset.evaluate(&inputs, &mut |_, truth| found = truth);
            prop_assert_eq!(naive::judge(&rules[0], &inputs), found, "{}\n{:?}", source, inputs);
            prop_assert!(evaluation.steps <= ruleset.header().steps_per_event);
            let blocks = found == Truth::True && block.contains("block");
            prop_assert_eq!(evaluation.block, blocks);
        }
    }
}

#[test]
fn text_beyond_the_limit_is_unknown() {
    let rules = vec![common::rule("    s: {PipeName|startswith: 'a'}\n    condition: s")];
    let mut file = channel_compiler::build(&rules, &OPTIONS).unwrap();
    sign(&mut file, &test_key()).unwrap();
    let ruleset = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap();
    for (length, expected) in [(1_024, Truth::True), (1_025, Truth::Unknown)] {
        let text = vec![u16::from(b'a'); length];
        let mut inputs = Inputs::absent();
        inputs.set(Field::Operation, Input::Number(1));
        inputs.set(Field::PipeName, Input::Text(&text));
        let mut found = Truth::False;
        ruleset.evaluate(&inputs, &mut |_, truth| found = truth);
        assert_eq!((found, naive::judge(&rules[0], &inputs)), (expected, expected));
    }
}

#[test]
fn the_hardest_texts_keep_to_the_declared_steps() {
    let detection = "    s:\n        PipeName|contains: ['aaaaaaab', 'abababac']\n        \
                     PipeName|re: '(a|b)*a(a|b){6}c'\n    condition: s";
    let rules = vec![common::rule(detection)];
    let mut file = channel_compiler::build(&rules, &OPTIONS).unwrap();
    sign(&mut file, &test_key()).unwrap();
    let ruleset = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap();
    for pattern in ["a", "ab", "aaaaaaa", "abababa"] {
        let text: Vec<u16> = pattern.encode_utf16().cycle().take(1_024).collect();
        let mut inputs = Inputs::absent();
        inputs.set(Field::Operation, Input::Number(1));
        inputs.set(Field::PipeName, Input::Text(&text));
        let evaluation = ruleset.evaluate(&inputs, &mut |_, _| {});
        assert!(evaluation.steps >= 1_024);
        assert!(evaluation.steps <= ruleset.header().steps_per_event);
    }
}
