//! Header fields and records changed one by one behind a good signature, and the code of each
//! refusal.

mod common;

use channel_compiler::incident::resign;
use channel_compiler::{SecretKey, SignError, attach_signature, build, sign};
use channel_format::anchor::Anchor;
use channel_format::frame::verify;
use channel_format::limits::SIGNED_LEN;
use channel_format::refusal::Code;
use channel_format::ruleset::SectionKind;
use channel_format::schema::SensorProfile;
use channel_format::signature::Role;

use common::changed::{code, golden, refused, refused_section, start, with_section};
use common::plain::examples;
use common::{OPTIONS, blocking_key, open, put, rule, section, test_key, word};

#[test]
fn header_fields_are_checked_one_by_one() {
    for (at, bytes, expected) in [
        (0, &b"MZ"[..], Code::BadMagic),
        (8, &[1], Code::FormatVersion),
        (10, &[1], Code::HeaderLength),
        (12, &[2], Code::UnknownFlags),
        (15, &[0x80], Code::UnknownFlags),
        (19, &[1], Code::FileLength),
        (16, &[1, 0], Code::FileLength),
        (24, &[0; 4], Code::TemplateType),
        (27, &[0xff], Code::NameNumber),
        (31, &[0xff], Code::NameNumber),
        (35, &[0xff], Code::NameNumber),
        (36, &[0], Code::TemplateType),
        (37, &[1], Code::TemplateType),
        (38, &[1], Code::SchemaVersion),
        (47, &[1], Code::UnknownField),
        (40, &[0x1f], Code::FieldNotSupplied),
        (41, &[0], Code::FieldsUsed),
        (48, &[2], Code::ApiLevel),
        (52, &[4], Code::LengthOutOfRange),
        (52, &[6], Code::LengthOutOfRange),
        (55, &[1], Code::TooMany),
        (63, &[1], Code::StepLimit),
        (71, &[1], Code::StepLimit),
        (56, &[0; 8], Code::StepsPerEvent),
        (64, &[0; 8], Code::StepsPerLoad),
        // A slot that is not counted is zero, and none may be missing.
        (152, &[9], Code::ReservedNotZero),
        (152, &[11], Code::SectionCount),
        (154, &[1], Code::ReservedNotZero),
        (160, &[2], Code::SectionKind),
        (162, &[1], Code::ReservedNotZero),
        (164, &[1], Code::SectionSize),
        (168, &[1], Code::SectionBounds),
        (172, &[1, 0], Code::SectionBounds),
        (175, &[0xff], Code::SectionBounds),
        (184, &[0, 0, 0, 0], Code::SectionBounds),
        (304, &[9], Code::SectionKind),
        (320, &[1], Code::ReservedNotZero),
        (511, &[1], Code::ReservedNotZero),
    ] {
        let found = code(|file| file[at..at + bytes.len()].copy_from_slice(bytes));
        assert_eq!(found, expected, "{bytes:?} at {at}");
    }
}

#[test]
fn a_missing_section_is_refused() {
    let found = code(|file| {
        file[152] = 9;
        file[304..320].fill(0);
    });
    assert_eq!(found, Code::SectionCount);
}

#[test]
fn rules_and_their_texts_are_checked_one_by_one() {
    use SectionKind::{Lists, Rules, Text};
    let wild = [0xff; 4];
    refused(Text, 0, &[0xff], Code::NotUtf8);
    refused(Rules, 0, &wild, Code::IndexOutOfRange);
    refused(Rules, 4, &wild, Code::LengthOutOfRange);
    refused(Rules, 4, &[0], Code::OutOfOrder);
    refused(Rules, 8, &wild, Code::IndexOutOfRange);
    refused(Rules, 12, &wild, Code::LengthOutOfRange);
    refused(Rules, 16, &wild, Code::IndexOutOfRange);
    refused(Rules, 16, &[1], Code::OutOfOrder);
    refused(Rules, 20, &wild, Code::IndexOutOfRange);
    refused(Rules, 20, &[1], Code::JumpTarget);
    refused(Rules, 20, &[0], Code::LengthOutOfRange);
    refused(Rules, 24, &wild, Code::IndexOutOfRange);
    refused(Rules, 28, &[0xff, 0], Code::IndexOutOfRange);
    refused(Rules, 28, &[0xff, 0x0f], Code::TooMany);
    refused(Rules, 40 + 24, &[2], Code::OutOfOrder);
    refused(Rules, 30, &[0xff, 0x0f], Code::TooMany);
    refused(Rules, 32, &[6], Code::RuleHeader);
    refused(Rules, 33, &[2], Code::RuleHeader);
    refused(Rules, 34, &[0], Code::RuleHeader);
    refused(Rules, 34, &[7], Code::RuleHeader);
    refused(Rules, 35, &[0], Code::RuleHeader);
    refused(Rules, 36, &[1], Code::ReservedNotZero);
    // The second rule's id is the first's.
    let first = golden()[start(Rules)..][..8].to_vec();
    refused(Rules, 40, &first, Code::OutOfOrder);
    refused(Lists, 0, &wild, Code::IndexOutOfRange);
    refused(Lists, 4, &wild, Code::LengthOutOfRange);
    refused(Lists, 0, &[1], Code::OutOfOrder);
}

#[test]
fn automata_are_checked_field_by_field() {
    use SectionKind::Automata;
    let wild = [0xff; 4];
    refused(Automata, 0, &[0xff, 0xff], Code::LengthOutOfRange);
    refused(Automata, 0, &[0xff, 0xff, 0xff], Code::TooMany);
    refused(Automata, 0, &[0], Code::SectionSize);
    // The descriptor of automaton 0.
    refused(Automata, 4, &[2], Code::UnknownFlags);
    refused(Automata, 6, &[0, 0], Code::StateTable);
    refused(Automata, 6, &wild[..2], Code::StateTable);
    refused(Automata, 8, &[0, 0], Code::UnitClasses);
    refused(Automata, 8, &wild[..2], Code::UnitClasses);
    refused(Automata, 10, &[0, 0], Code::UnitClasses);
    refused(Automata, 12, &[0xff, 0xff], Code::StateTable);
    refused(Automata, 14, &[0xff, 0xff], Code::StateTable);
    refused(Automata, 18, &[1], Code::ReservedNotZero);
    refused(Automata, 20, &[0], Code::OutOfOrder);
    // Its tables.
    let tables = automaton().tables;
    refused(Automata, tables, &[0xff], Code::UnitClasses);
    refused(Automata, tables + 128, &[0x81], Code::UnitClasses);
    refused(Automata, tables + 130, &[0xff], Code::UnitClasses);
    refused(Automata, automaton().next, &[0xff], Code::StateTable);
    for says in [3, 5, 16, 0xff] {
        refused(Automata, automaton().says, &[says], Code::UnknownFlags);
    }
}

/// Where the tables of automaton 0 lie in their section.
struct Places {
    tables: usize,
    next: usize,
    says: usize,
}

fn automaton() -> Places {
    let file = golden();
    let automata = start(SectionKind::Automata);
    let short = |at: usize| word(&file, automata + at) as usize & 0xffff;
    let (states, classes, ranges) = (short(6), short(8), short(10));
    let tables = word(&file, automata + 20) as usize;
    let next = tables + 128 + 4 * ranges;
    Places { tables, next, says: next + states * classes }
}

#[test]
fn examples_are_checked_field_by_field() {
    use SectionKind::Examples;
    refused(Examples, 0, &[1], Code::OutOfOrder);
    refused(Examples, 0, &[0xff; 4], Code::OutOfOrder);
    refused(Examples, 4, &[4], Code::BadExample);
    refused(Examples, 6, &[1], Code::ReservedNotZero);
    refused(Examples, 8, &[23], Code::UnknownField);
    refused(Examples, 9, &[9], Code::BadExample);
    // A number is no security identifier.
    refused(Examples, 9, &[4], Code::BadExample);
    refused(Examples, 9, &[1], Code::BadExample);
    refused(Examples, 10, &[7], Code::BadExample);
    // Its first value is of a number behind the second one's field.
    refused(Examples, 8, &[9], Code::OutOfOrder);
}

/// Each rule has an example that it matches, and one that it does not.
#[test]
fn no_example_may_be_missing() {
    use SectionKind::Examples;
    let file = golden();
    let (mut matching, mut others) = (Vec::new(), Vec::new());
    let mut at = 0;
    for example in examples(&file) {
        // Rule 0 is the first.
        if example.rule == 0 {
            (if example.matches { &mut matching } else { &mut others }).push(at + 4);
        }
        at += example.length;
    }
    assert!(matching.len() > 1 && !others.is_empty());
    let expect = |places: &[usize], expectation: u8| {
        let change = |all: &mut Vec<u8>| places.iter().for_each(|at| all[*at] = expectation);
        refused_section(Examples, change, Code::ExampleMissing);
    };
    expect(&matching, 0);
    expect(&others, 1);
    // A rule without any, at the end and before.
    let last = examples(&file).last().unwrap().rule;
    let of_last: usize = lengths(&file, |rule| rule == last);
    let cut = |all: &mut Vec<u8>| all.truncate(all.len() - of_last);
    refused_section(Examples, cut, Code::ExampleMissing);
    let of_first = lengths(&file, |rule| rule == 0);
    let cut = |all: &mut Vec<u8>| drop(all.drain(..of_first));
    refused_section(Examples, cut, Code::OutOfOrder);
    refused_section(Examples, Vec::clear, Code::ExampleMissing);
}

/// How many bytes the examples of some rules take.
fn lengths(file: &[u8], of: impl Fn(u32) -> bool) -> usize {
    examples(file).iter().filter(|example| of(example.rule)).map(|example| example.length).sum()
}

#[test]
fn every_section_is_refused_when_cut_at_any_byte() {
    let golden = golden();
    for kind in SectionKind::ALL {
        let section = &golden[section(&golden, kind)];
        let length = section.len();
        let whole = with_section(&golden, kind, section);
        assert!(open(&whole, &test_key(), &SensorProfile::CURRENT).is_ok());
        let longer = [section, &[0; 40]].concat();
        for (what, content) in
            (0..length).map(|cut| (cut, &section[..cut])).chain([(length + 40, longer.as_slice())])
        {
            let file = with_section(&golden, kind, content);
            let opened = open(&file, &test_key(), &SensorProfile::CURRENT);
            // Fewer examples are still examples.
            let lax = kind == SectionKind::Examples
                && opened.as_ref().is_ok_and(|ruleset| ruleset.self_test().is_ok());
            assert!(opened.is_err() || lax, "{kind:?} of {what} bytes");
        }
    }
}

#[test]
fn an_example_that_fails_is_found_by_the_self_test_and_not_signed() {
    let mut file = golden();
    let expectation = start(SectionKind::Examples) + 4;
    file[expectation] = 0;
    resign(&mut file, &test_key()).unwrap();
    let ruleset = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap();
    let refusal = ruleset.self_test().unwrap_err();
    assert_eq!((refusal.code, refusal.expected, refusal.found), (Code::ExampleFailed, 0, 1));
    assert_eq!(refusal.offset as usize, expectation - 4);
    // Signing runs the same test.
    file[SIGNED_LEN..1024].fill(0);
    assert_eq!(sign(&mut file, &test_key()), Err(SignError::Refused(refusal)));
    assert!(file[SIGNED_LEN..1024].iter().all(|byte| *byte == 0), "the file is as it was");
}

#[test]
fn keys_sign_what_they_may() {
    let narrow =
        |first, last| SecretKey::from_seed([5; 32], Role::Content, false, first..=last).unwrap();
    let root_key = |seed| SecretKey::from_seed([seed; 32], Role::Root, false, 0..=0).unwrap();
    let rules = [rule("    s: {PipeName: x}\n    condition: s")];
    let unsigned = build(&rules, &OPTIONS).unwrap();
    let code = |file: &[u8], anchor: &[u8]| {
        verify(file, &Anchor::parse(anchor).unwrap())
            .map(|signed| signed.may_block)
            .map_err(|r| r.code)
    };
    let encode = |roots: &[SecretKey], content: &[SecretKey]| {
        let roots: Vec<_> = roots.iter().map(|key| key.public).collect();
        let content: Vec<_> = content.iter().map(|key| key.public).collect();
        Anchor::encode(&roots, u8::from(!roots.is_empty()), &content).unwrap()
    };
    let (plain, block) = (test_key(), blocking_key());
    let both = encode(&[root_key(1)], &[plain.clone(), block.clone()]);

    assert_eq!(code(&unsigned, &both), Err(Code::Unsigned));
    let mut signed = unsigned.clone();
    sign(&mut signed, &plain).unwrap();
    assert_eq!(code(&signed, &both), Ok(false));
    assert_eq!(sign(&mut signed, &plain), Err(SignError::Again));
    assert_eq!(code(&signed, &encode(&[], &[narrow(1, 9)])), Err(Code::UnknownSigner));

    // A second signature, by a key that may block, gives the permission; a stranger's gives none.
    sign(&mut signed, &block).unwrap();
    assert_eq!(code(&signed, &both), Ok(true));
    assert_eq!(code(&signed, &encode(&[], std::slice::from_ref(&plain))), Ok(false));
    for seed in [21, 22] {
        let other = SecretKey::from_seed([seed; 32], Role::Content, true, 1..=300).unwrap();
        sign(&mut signed, &other).unwrap();
    }
    assert_eq!(code(&signed, &both), Ok(true));
    assert_eq!(sign(&mut signed, &narrow(1, 300)), Err(SignError::Full));

    // A wrong signature of a known key refuses, whatever the others say.
    let mut wrong = signed.clone();
    wrong[600 + 16] ^= 1;
    assert_eq!(code(&wrong, &both), Err(Code::BadSignature));
    assert_eq!(
        code(&wrong, &encode(&[], std::slice::from_ref(&plain))),
        Ok(false),
        "not known, not looked at"
    );
    let mut twice = signed.clone();
    twice.copy_within(520..600, 600);
    assert_eq!(code(&twice, &both), Err(Code::DuplicateSigner));
    let mut many = signed;
    many[512] = 5;
    assert_eq!(code(&many, &both), Err(Code::SignatureCount));

    // Roles and ranges.
    assert_eq!(
        attach_signature(&mut unsigned.clone(), &root_key(1)),
        Err(SignError::NotPermitted { channel: 291 })
    );
    assert_eq!(
        sign(&mut unsigned.clone(), &narrow(292, 300)),
        Err(SignError::NotPermitted { channel: 291 })
    );
    // The same slot bytes under an anchor that knows the key with a narrower range: another id.
    let mut ranged = unsigned;
    sign(&mut ranged, &narrow(291, 291)).unwrap();
    assert_eq!(code(&ranged, &encode(&[], &[narrow(291, 291)])), Ok(false));
    assert_eq!(code(&ranged, &encode(&[], &[narrow(1, 300)])), Err(Code::UnknownSigner));
}

#[test]
fn a_forged_key_id_does_not_widen_a_permission() {
    // Sign as a key for channels 1 to 9 would, and write its id into the slot: the range refuses.
    let narrow = SecretKey::from_seed([5; 32], Role::Content, false, 1..=9).unwrap();
    let wide = SecretKey::from_seed([5; 32], Role::Content, false, 1..=300).unwrap();
    let rules = [rule("    s: {PipeName: x}\n    condition: s")];
    let mut file = build(&rules, &OPTIONS).unwrap();
    sign(&mut file, &wide).unwrap();
    file[520..536].copy_from_slice(&narrow.public.id().0);
    let refusal = open(&file, &narrow, &SensorProfile::CURRENT).unwrap_err();
    assert_eq!(refusal.code, Code::KeyChannel);
    // And a root key's id: the role refuses.
    let root_key = SecretKey::from_seed([5; 32], Role::Root, false, 0..=0).unwrap();
    file[520..536].copy_from_slice(&root_key.public.id().0);
    let anchor = Anchor::encode(&[root_key.public], 1, &[]).unwrap();
    let refusal = verify(&file, &Anchor::parse(&anchor).unwrap()).unwrap_err();
    assert_eq!(refusal.code, Code::KeyRole);
}

#[test]
fn channel_zero_needs_the_threshold_of_roots() {
    let roots: Vec<_> =
        (1..=3).map(|s| SecretKey::from_seed([s; 32], Role::Root, false, 0..=0).unwrap()).collect();
    let public: Vec<_> = roots.iter().map(|key| key.public).collect();
    let anchor = Anchor::parse(&Anchor::encode(&public, 2, &[]).unwrap()).unwrap();
    let mut control = golden()[..1024].to_vec();
    control[24..28].fill(0);
    control[36] = 0;
    control[SIGNED_LEN..].fill(0);
    assert_eq!(
        attach_signature(&mut control, &test_key()),
        Err(SignError::NotPermitted { channel: 0 })
    );
    attach_signature(&mut control, &roots[0]).unwrap();
    assert_eq!(verify(&control, &anchor).unwrap_err().code, Code::RootThreshold);
    attach_signature(&mut control, &roots[2]).unwrap();
    let signed = verify(&control, &anchor).unwrap();
    assert_eq!((signed.header.channel, signed.may_block), (0, false));
}

#[test]
fn what_nothing_names_is_refused() {
    // Bytes that are carried along under the signature, and that no reader shows.
    refused_section(SectionKind::Text, |text| text.extend(b"hidden"), Code::TrailingBytes);
    refused_section(SectionKind::Text, |text| text.insert(0, b'x'), Code::OutOfOrder);
    let mut idle = [0; 24];
    idle[..2].copy_from_slice(&[1, 6]);
    // Triggers of criteria end where those behind them begin.
    let last = golden()[section(&golden(), SectionKind::Criteria)].len() - 24;
    refused_section(
        SectionKind::Criteria,
        |all| {
            idle[16..20].copy_from_slice(&all[last + 16..last + 20]);
            all.extend(idle);
        },
        Code::TrailingBytes,
    );
    refused_section(SectionKind::Units, |units| units.extend([0x41, 0]), Code::TrailingBytes);
    refused_section(
        SectionKind::Automata,
        |automata| {
            // The last automaton once more.
            let count = automata[0] as usize;
            let end = 4 + 20 * count;
            let last = word(automata, end - 4) as usize;
            let tables = automata[last..].to_vec();
            let mut descriptor = automata[end - 20..end].to_vec();
            for at in (24..=end).step_by(20) {
                let moved = word(automata, at - 4) + 20;
                put(automata, at - 4, moved);
            }
            automata[0] += 1;
            let length = u32::try_from(automata.len()).unwrap();
            descriptor[16..].copy_from_slice(&(length + 20).to_le_bytes());
            automata.splice(end..end, descriptor);
            automata.extend(tables);
        },
        Code::TrailingBytes,
    );
}

#[test]
fn automata_are_written_in_one_way() {
    refused_section(SectionKind::Automata, |automata| *automata = vec![0; 4], Code::SectionSize);
    // A second range of the same class, before the tables of the other automata move up.
    let tables = automaton().tables;
    refused_section(
        SectionKind::Automata,
        |automata| {
            let mut twin = automata[tables + 128..tables + 132].to_vec();
            automata[10] = 2;
            twin[0] = 0x90;
            automata.splice(tables + 132..tables + 132, twin);
            for at in (44..=4 + 20 * automata[0] as usize).step_by(20) {
                let moved = word(automata, at - 4) + 4;
                put(automata, at - 4, moved);
            }
        },
        Code::UnitClasses,
    );
}

#[test]
fn an_empty_literal_has_no_case() {
    let rules = [rule("    s: {ImageName: ''}\n    condition: s")];
    let mut file = build(&rules, &OPTIONS).unwrap();
    let at = section(&file, SectionKind::Criteria).start;
    assert_eq!(file[at..at + 8], [3, 1, 0, 1, 0, 0, 0, 0]);
    file[at + 2] = 1;
    resign(&mut file, &test_key()).unwrap();
    let found = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap_err().code;
    assert_eq!(found, Code::UnknownFlags);
}
