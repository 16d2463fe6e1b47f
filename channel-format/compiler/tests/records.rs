//! Header fields and records changed one by one behind a good signature, and the code of each
//! refusal.

mod common;

use channel_compiler::incident::resign;
use channel_compiler::{SecretKey, SignError, attach_signature, build, sign};
use channel_format::anchor::Anchor;
use channel_format::frame::{Header, verify};
use channel_format::limits::SIGNED_LEN;
use channel_format::refusal::Code;
use channel_format::ruleset::SectionKind;
use channel_format::schema::SensorProfile;
use channel_format::signature::Role;

use common::{OPTIONS, blocking_key, open, root, rule, test_key};

fn golden() -> Vec<u8> {
    std::fs::read(root().join("tests/golden/v0/C-00000291-00000001-00000007.sys")).unwrap()
}

/// The code with which the golden file is refused after `change`.
fn code(change: impl FnOnce(&mut Vec<u8>)) -> Code {
    let mut file = golden();
    change(&mut file);
    // A header that cannot be read cannot be signed either, and is refused before that matters.
    let _ = resign(&mut file, &test_key());
    open(&file, &test_key(), &SensorProfile::CURRENT).unwrap_err().code
}

/// Where a section starts.
fn start(kind: SectionKind) -> usize {
    let header = Header::parse(&golden()).unwrap();
    header.sections[usize::from(kind.number()) - 1].offset as usize
}

/// Refused after these bytes are written at a place of a section.
#[track_caller]
fn refused(kind: SectionKind, at: usize, bytes: &[u8], expected: Code) {
    let at = start(kind) + at;
    let found = code(|file| file[at..at + bytes.len()].copy_from_slice(bytes));
    assert_eq!(found, expected, "{kind:?}");
}

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
        (55, &[1], Code::TooMany),
        (63, &[1], Code::StepLimit),
        (71, &[1], Code::StepLimit),
        (56, &[0; 8], Code::StepsPerEvent),
        (64, &[0; 8], Code::StepsPerLoad),
        (152, &[7], Code::ReservedNotZero),
        (152, &[9], Code::SectionCount),
        (154, &[1], Code::ReservedNotZero),
        (160, &[2], Code::SectionKind),
        (162, &[1], Code::ReservedNotZero),
        (164, &[1], Code::SectionSize),
        (168, &[1], Code::SectionBounds),
        (172, &[1, 0], Code::SectionBounds),
        (175, &[0xff], Code::SectionBounds),
        (184, &[0, 0, 0, 0], Code::SectionBounds),
        (288, &[1], Code::ReservedNotZero),
        (511, &[1], Code::ReservedNotZero),
    ] {
        let found = code(|file| file[at..at + bytes.len()].copy_from_slice(bytes));
        assert_eq!(found, expected, "{bytes:?} at {at}");
    }
}

#[test]
fn records_are_checked_one_by_one() {
    use SectionKind::{Automata, Criteria, Examples, Lists, Programs, Rules, Text, Units};
    let wild = [0xff; 4];
    refused(Text, 0, &[0xff], Code::NotUtf8);
    // Criterion 0: a literal.
    refused(Criteria, 0, &[23], Code::UnknownField);
    refused(Criteria, 1, &[0], Code::UnknownOperator);
    refused(Criteria, 1, &[14], Code::UnknownOperator);
    refused(Criteria, 1, &[8], Code::OperatorForField);
    refused(Criteria, 2, &[2], Code::UnknownFlags);
    refused(Criteria, 3, &[1], Code::ReservedNotZero);
    refused(Criteria, 4, &wild, Code::LengthOutOfRange);
    refused(Criteria, 8, &wild, Code::IndexOutOfRange);
    refused(Criteria, 8, &[1], Code::OutOfOrder);
    refused(Criteria, 16 + 8, &[0], Code::OutOfOrder);
    // The first literal is in small letters, or its unit is another.
    let contains =
        golden()[start(Criteria)..].chunks(16).position(|record| record[1] == 4).unwrap();
    let record = &golden()[start(Criteria) + contains * 16..][..16];
    let unit = u64::from_le_bytes(record[8..].try_into().unwrap()) as usize;
    refused(Units, unit * 2, b"a", Code::NotFolded);
    let length = u32::from_le_bytes(record[4..8].try_into().unwrap()) as usize;
    refused(Units, (unit + length) * 2, &[1], Code::SearchTable);
    refused(Units, (unit + length) * 2 + 2, &[9], Code::SearchTable);

    refused(Programs, 0, &[0], Code::UnknownInstruction);
    refused(Programs, 0, &[5], Code::UnknownInstruction);
    refused(Programs, 0, &[2, 1], Code::UnknownInstruction);
    refused(Programs, 0, &[1, 0xff, 0xff, 0xff], Code::IndexOutOfRange);
    refused(Programs, 0, &[2, 0, 0, 0], Code::StackUnderflow);
    refused(Programs, 4, &[4, 0, 0, 0], Code::StackUnderflow);

    refused(Rules, 0, &wild, Code::IndexOutOfRange);
    refused(Rules, 4, &wild, Code::LengthOutOfRange);
    refused(Rules, 4, &[0], Code::OutOfOrder);
    refused(Rules, 16, &wild, Code::IndexOutOfRange);
    refused(Rules, 16, &[1], Code::OutOfOrder);
    refused(Rules, 20, &[1], Code::OutOfOrder);
    refused(Rules, 24, &wild, Code::IndexOutOfRange);
    refused(Rules, 28, &[0xff, 0xff], Code::TooMany);
    refused(Rules, 32, &[6], Code::RuleHeader);
    refused(Rules, 33, &[2], Code::RuleHeader);
    refused(Rules, 34, &[0], Code::RuleHeader);
    refused(Rules, 34, &[7], Code::RuleHeader);
    refused(Rules, 35, &[0], Code::RuleHeader);
    refused(Rules, 36, &[1], Code::ReservedNotZero);
    refused(Lists, 0, &wild, Code::IndexOutOfRange);

    refused(Automata, 0, &[0xff, 0xff], Code::LengthOutOfRange);
    refused(Automata, 4, &[2], Code::UnknownFlags);
    refused(Automata, 6, &[0, 0], Code::StateTable);
    refused(Automata, 8, &[0, 0], Code::UnitClasses);
    refused(Automata, 8, &wild, Code::UnitClasses);
    refused(Automata, 12, &[0xff, 0xff], Code::StateTable);
    refused(Automata, 14, &[1], Code::ReservedNotZero);
    refused(Automata, 16, &[0], Code::OutOfOrder);
    let tables = 4 + 2 * 16;
    refused(Automata, tables, &[0xff], Code::UnitClasses);
    refused(Automata, tables + 128, &[0x81], Code::UnitClasses);
    refused(Automata, tables + 130, &[0xff], Code::UnitClasses);

    refused(Examples, 0, &[1], Code::OutOfOrder);
    refused(Examples, 0, &wild, Code::IndexOutOfRange);
    refused(Examples, 4, &[4], Code::BadExample);
    refused(Examples, 6, &[1], Code::ReservedNotZero);
    refused(Examples, 8, &[23], Code::UnknownField);
    refused(Examples, 9, &[9], Code::BadExample);
    // A number is no security identifier.
    refused(Examples, 9, &[4], Code::BadExample);
    refused(Examples, 9, &[1], Code::BadExample);
}

/// The golden file with another content of one section, and everything around it made to fit.
fn with_section(kind: SectionKind, content: &[u8]) -> Vec<u8> {
    let golden = golden();
    let header = Header::parse(&golden).unwrap();
    let mut file = golden[..1024].to_vec();
    for (place, section) in header.sections.iter().enumerate() {
        let range = section.offset as usize..(section.offset + section.length) as usize;
        let bytes = if section.kind == kind.number() { content } else { &golden[range] };
        file.resize(file.len().next_multiple_of(8), 0);
        let entry = 160 + place * 16;
        let offset = (file.len() as u32).to_le_bytes();
        file[entry + 8..entry + 12].copy_from_slice(&offset);
        file[entry + 12..entry + 16].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        file.extend(bytes);
    }
    let length = (file.len() as u64).to_le_bytes();
    file[16..24].copy_from_slice(&length);
    resign(&mut file, &test_key()).unwrap();
    file
}

#[test]
fn every_section_is_refused_when_cut_at_any_byte() {
    let golden = golden();
    for kind in SectionKind::ALL {
        let start = start(kind);
        let header = Header::parse(&golden).unwrap();
        let length = header.sections[usize::from(kind.number()) - 1].length as usize;
        let section = &golden[start..start + length];
        assert!(open(&with_section(kind, section), &test_key(), &SensorProfile::CURRENT).is_ok());
        let longer = [section, &[0; 40]].concat();
        for (what, content) in
            (0..length).map(|cut| (cut, &section[..cut])).chain([(length + 40, longer.as_slice())])
        {
            let file = with_section(kind, content);
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

#[track_caller]
fn refused_section(kind: SectionKind, change: impl FnOnce(&mut Vec<u8>), expected: Code) {
    let golden = golden();
    let header = Header::parse(&golden).unwrap();
    let section = header.sections[usize::from(kind.number()) - 1];
    let range = section.offset as usize..(section.offset + section.length) as usize;
    let mut content = golden[range].to_vec();
    change(&mut content);
    let file = with_section(kind, &content);
    let found = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap_err().code;
    assert_eq!(found, expected, "{kind:?}");
}

#[test]
fn what_nothing_names_is_refused() {
    // Bytes that are carried along under the signature, and that no reader shows.
    refused_section(SectionKind::Text, |text| text.extend(b"hidden"), Code::TrailingBytes);
    refused_section(SectionKind::Text, |text| text.insert(0, b'x'), Code::OutOfOrder);
    let idle = [1, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    refused_section(SectionKind::Criteria, |all| all.extend(idle), Code::TrailingBytes);
    refused_section(
        SectionKind::Automata,
        |automata| {
            // The last automaton once more.
            let last = u32::from_le_bytes(automata[32..36].try_into().unwrap()) as usize;
            let tables = automata[last..].to_vec();
            let mut descriptor = automata[20..36].to_vec();
            let first = u32::from_le_bytes(automata[16..20].try_into().unwrap()) + 16;
            let end = u32::try_from(automata.len()).unwrap() + 16;
            automata[0] = 3;
            automata[16..20].copy_from_slice(&first.to_le_bytes());
            let second = u32::try_from(last).unwrap() + 16;
            automata[32..36].copy_from_slice(&second.to_le_bytes());
            descriptor[12..].copy_from_slice(&end.to_le_bytes());
            automata.splice(36..36, descriptor);
            automata.extend(tables);
        },
        Code::TrailingBytes,
    );
}

#[test]
fn criteria_and_automata_stand_in_the_order_of_their_first_use() {
    // The first instruction names criterion 0; 1 would leave 0 for later.
    refused(SectionKind::Programs, 0, &[1, 1, 0, 0], Code::OutOfOrder);
    // Criterion 6 is the first that names an automaton.
    refused(SectionKind::Criteria, 6 * 16 + 8, &[1], Code::OutOfOrder);
}

#[test]
fn automata_are_written_in_one_way() {
    refused_section(SectionKind::Automata, |automata| *automata = vec![0; 4], Code::SectionSize);
    let automata = start(SectionKind::Automata);
    let file = golden();
    let number = |at: usize| usize::from(u16::from_le_bytes([file[at], file[at + 1]]));
    let (states, classes, ranges) =
        (number(automata + 6), number(automata + 8), number(automata + 10));
    let flags = 0x24 + 128 + 4 * ranges + 2 * states * classes;
    refused(SectionKind::Automata, flags, &[3], Code::UnknownFlags);
    // A second range of the same class, before the tables of the second automaton move up.
    refused_section(
        SectionKind::Automata,
        |automata| {
            let range = automata[0x24 + 128..0x24 + 132].to_vec();
            automata[10] = 2;
            let mut twin = range;
            twin[0] = 0x90;
            automata.splice(0x24 + 132..0x24 + 132, twin);
            let second = u32::from_le_bytes(automata[32..36].try_into().unwrap()) + 4;
            automata[32..36].copy_from_slice(&second.to_le_bytes());
        },
        Code::UnitClasses,
    );
}

#[test]
fn an_empty_literal_has_no_case() {
    let rules = [rule("    s: {ImageName: ''}\n    condition: s")];
    let mut file = build(&rules, &OPTIONS).unwrap();
    let header = Header::parse(&file).unwrap();
    let at = header.sections[3].offset as usize;
    assert_eq!(file[at..at + 8], [3, 1, 0, 0, 0, 0, 0, 0]);
    file[at + 2] = 1;
    resign(&mut file, &test_key()).unwrap();
    let found = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap_err().code;
    assert_eq!(found, Code::UnknownFlags);
}

#[test]
fn a_root_key_signs_only_what_the_digest_fits() {
    let root = SecretKey::from_seed([9; 32], Role::Root, false, 0..=0).unwrap();
    let mut file = golden();
    file[24..28].fill(0);
    file[36..38].fill(0);
    file[512..1024].fill(0);
    let sound = file.clone();
    *file.last_mut().unwrap() ^= 1;
    let Err(SignError::Refused(refusal)) = sign(&mut file, &root) else { panic!("signed") };
    assert_eq!(refusal.code, Code::DigestMismatch);
    assert_eq!(file[512], 0);
    sign(&mut sound.clone(), &root).unwrap();
}
