//! The tables that events are judged by, changed field by field behind a good signature, and the
//! code of each refusal.

mod common;

use channel_format::engine::criterion::{Criterion, Operator, RECORD_LEN, Search};
use channel_format::engine::program::{
    FALSE, FLAG_COVER, FLAG_LIVE, FLAG_NEGATED, Instruction, TRUE,
};
use channel_format::refusal::Code;
use channel_format::ruleset::SectionKind::{Criteria, Examples, Programs, Triggers, Units};
use channel_format::ruleset::VALUE_SID;
use channel_format::schema::{Field, SensorProfile};

use common::changed::{code, golden, refused, refused_section, start, with_section};
use common::{check, open, put, section, test_key, word};

/// The criteria of the golden file.
fn criteria() -> Vec<Criterion> {
    let section = golden()[section(&golden(), Criteria)].to_vec();
    section.as_chunks().0.iter().map(|record| Criterion::read(record).unwrap()).collect()
}

/// Where the record of the first such criterion lies in its section.
fn record(is: impl Fn(&Criterion) -> bool) -> usize {
    criteria().iter().position(is).unwrap() * RECORD_LEN
}

#[test]
fn criteria_are_checked_field_by_field() {
    let wild = [0xff; 8];
    let cover = record(|c| c.search == Search::Cover && c.operator == Operator::Contains);
    let filter = record(|c| c.search == Search::Filter && c.operator == Operator::Contains);
    let direct = record(|c| c.search == Search::Direct && c.operator == Operator::EndsWith);
    let regex = record(|c| c.operator == Operator::Regex && c.length == 0);
    let number = record(|c| c.operator == Operator::Less);
    let exists = record(|c| c.operator == Operator::Exists);
    let empty = record(|c| c.operator == Operator::Equals && c.length == 0);
    for (at, bytes, expected) in [
        // Field and operator.
        (cover, &[23][..], Code::UnknownField),
        (cover, &[9], Code::OperatorForField),
        (cover, &[2], Code::ScanTable),
        (cover + 1, &[0], Code::UnknownOperator),
        (cover + 1, &[14], Code::UnknownOperator),
        (cover + 1, &[8], Code::OperatorForField),
        (cover + 1, &[13], Code::OperatorForField),
        (cover + 1, &[1], Code::ScanTable),
        (number + 1, &[5], Code::OperatorForField),
        // Flags: only a literal has a case.
        (cover + 2, &[2], Code::UnknownFlags),
        (cover + 2, &[1], Code::ScanTable),
        (regex + 2, &[1], Code::UnknownFlags),
        (number + 2, &[1], Code::UnknownFlags),
        (empty + 2, &[1], Code::UnknownFlags),
        // Search.
        (cover + 3, &[3], Code::UnknownSearch),
        (cover + 3, &[0], Code::TriggerList),
        (cover + 3, &[2], Code::TriggerList),
        (filter + 3, &[1], Code::TriggerList),
        (filter + 3, &[0], Code::ScanTable),
        (direct + 3, &[2], Code::ScanTable),
        (regex + 3, &[2], Code::UnknownSearch),
        (number + 3, &[2], Code::UnknownSearch),
        (exists + 3, &[1], Code::UnknownSearch),
        // Length.
        (cover + 4, &wild[..2], Code::LengthOutOfRange),
        (cover + 4, &[0], Code::LengthOutOfRange),
        (cover + 4, &[1], Code::OutOfOrder),
        (number + 4, &[1], Code::ReservedNotZero),
        (exists + 4, &[1], Code::ReservedNotZero),
        // Automaton.
        (cover + 6, &[1], Code::ReservedNotZero),
        (number + 6, &[1], Code::ReservedNotZero),
        (regex + 6, &wild[..2], Code::IndexOutOfRange),
        (regex + 6, &[1], Code::OutOfOrder),
        // Value.
        (cover + 8, &wild, Code::IndexOutOfRange),
        (cover + 8, &[0], Code::OutOfOrder),
        (regex + 8, &[0], Code::OutOfOrder),
        (exists + 8, &[1], Code::ReservedNotZero),
        // Triggers.
        (cover + 16, &[0], Code::OutOfOrder),
        (cover + 16, &wild[..4], Code::OutOfOrder),
        (cover + 20, &[0], Code::TriggerList),
        (cover + 20, &[2], Code::OutOfOrder),
        (cover + 20, &wild[..4], Code::IndexOutOfRange),
        (filter + 20, &[1], Code::TriggerList),
    ] {
        refused(Criteria, at, bytes, expected);
    }
}

#[test]
fn a_literal_is_folded_and_the_one_that_its_scan_finds() {
    let criteria = criteria();
    let folded = criteria.iter().find(|c| c.operator == Operator::Contains && !c.cased).unwrap();
    let cased = criteria.iter().find(|c| c.search == Search::Cover && c.cased).unwrap();
    let at = |criterion: &Criterion| 2 * criterion.value as usize;
    refused(Units, at(folded), b"b", Code::NotFolded);
    refused(Units, at(folded), b"Z", Code::ScanTable);
    // A cased one in other letters is another rule's; in another case it folds to the same.
    refused(Units, at(cased), b"Z", Code::ScanTable);
    refused(Units, at(folded), &[0x2a, 0x21], Code::ScanTable);
}

#[test]
fn criteria_stand_in_the_order_of_their_first_use() {
    // The first instruction names criterion 0; 1 would leave 0 for later.
    refused(Programs, 0, &[1], Code::OutOfOrder);
}

#[test]
fn security_identifiers_have_the_length_of_one() {
    let file =
        std::fs::read(common::root().join("tests/golden/v0/C-00000291-00000001-00000008.sys"))
            .unwrap();
    let criteria = section(&file, Criteria).start;
    let records = file[section(&file, Criteria)].as_chunks::<RECORD_LEN>().0;
    let sid = records.iter().position(|record| record[1] == 13).unwrap() * RECORD_LEN;
    for (at, bytes, expected) in [
        (0, 4, Code::OperatorForField),
        (2, 1, Code::UnknownFlags),
        (3, 2, Code::UnknownSearch),
        (4, 3, Code::LengthOutOfRange),
        (4, 35, Code::LengthOutOfRange),
        (6, 1, Code::ReservedNotZero),
    ] {
        let mut file = file.clone();
        file[criteria + sid + at] = bytes;
        assert_eq!(check(&file).unwrap_err().code, expected, "{bytes} at {at}");
    }
    // So have those of examples: 69 bytes are none.
    let examples = section(&file, Examples);
    let sid = [Field::User.number() as u8, VALUE_SID, 12, 0];
    let at = examples.start
        + file[examples].windows(4).position(|window| window == sid).expect("an identifier");
    let mut file = file;
    file[at + 2] = 69;
    assert_eq!(check(&file).unwrap_err().code, Code::LengthOutOfRange);
}

/// Where the first such instruction lies in its section.
fn instruction(is: impl Fn(&Instruction) -> bool) -> usize {
    let section = golden()[section(&golden(), Programs)].to_vec();
    let mut records = section.as_chunks().0.iter().map(|record| Instruction::read(*record));
    records.position(|instruction| is(&instruction)).unwrap() * 8
}

#[test]
fn instructions_are_checked_field_by_field() {
    let first = 0;
    let last = instruction(|i| i.if_holds == TRUE && i.if_not == FALSE);
    for (at, bytes, expected) in [
        (first, &[0xff, 0xff, 0xff][..], Code::IndexOutOfRange),
        (first + 3, &[FLAG_COVER | FLAG_LIVE | 8], Code::UnknownFlags),
        (first + 3, &[FLAG_COVER | FLAG_LIVE | 0x80], Code::UnknownFlags),
        // A jump to itself, out of the program, backward.
        (first + 4, &[0, 0], Code::JumpTarget),
        (first + 6, &[0, 0], Code::JumpTarget),
        (first + 4, &[7, 0], Code::JumpTarget),
        (first + 6, &[7, 0], Code::JumpTarget),
        (first + 6, &[0xfd, 0xff], Code::JumpTarget),
        (last + 4, &[1, 0], Code::JumpTarget),
        (last + 6, &[1, 0], Code::JumpTarget),
    ] {
        refused(Programs, at, bytes, expected);
    }
}

#[test]
fn the_proof_that_no_rule_is_missed_is_checked_mark_by_mark() {
    let cover = |i: &Instruction| i.has(FLAG_COVER);
    let first = instruction(cover);
    let always = instruction(|i| criteria()[i.criterion as usize].operator == Operator::Less);
    let negated = instruction(|i| i.has(FLAG_NEGATED));
    for (at, bytes) in [
        // The live mark of the first instruction says that there is a proof.
        (first + 3, &[FLAG_COVER][..]),
        (first + 3, &[0]),
        (first + 8 + 3, &[FLAG_COVER]),
        // A cover criterion without its mark may be true.
        (first + 3, &[FLAG_LIVE]),
        // Negated, it is true for the events that it does not point to.
        (first + 3, &[FLAG_COVER | FLAG_LIVE | FLAG_NEGATED]),
        // If it is not, the rule is true.
        (first + 6, &[0xff, 0xff]),
        // What has no triggers for the rule is no cover of it.
        (negated + 3, &[FLAG_NEGATED | FLAG_COVER]),
        // Nor is there a live instruction in a rule that every event is judged by.
        (always + 3, &[FLAG_LIVE]),
    ] {
        refused(Programs, at, bytes, Code::RuleCover);
    }
    // The whole proof taken away, the rule is not among those that every event is judged by.
    let found = code(|file| {
        let programs = start(Programs);
        (0..7).for_each(|at| file[programs + at * 8 + 3] &= FLAG_NEGATED);
    });
    assert_eq!(found, Code::RuleCover);
}

/// The golden file with other triggers for the criterion that has two, and everything made to fit.
fn with_triggers(rules: &[u32]) -> Vec<u8> {
    let golden = golden();
    let place = criteria().iter().position(|c| c.triggers == 2).unwrap();
    let mut records = golden[section(&golden, Criteria)].to_vec();
    let at = place * RECORD_LEN;
    let first = word(&records, at + 16);
    put(&mut records, at + 20, rules.len() as u32);
    for at in (at + RECORD_LEN..records.len()).step_by(RECORD_LEN) {
        let moved = word(&records, at + 16) + rules.len() as u32 - 2;
        put(&mut records, at + 16, moved);
    }
    let mut triggers = golden[section(&golden, Triggers)].to_vec();
    let range = first as usize * 4..first as usize * 4 + 8;
    triggers.splice(range, rules.iter().flat_map(|rule| rule.to_le_bytes()));
    with_section(&with_section(&golden, Criteria, &records), Triggers, &triggers)
}

#[test]
fn triggers_are_checked_one_by_one() {
    // The criterion covers rules 1 and 4; rule 3 is judged for every event.
    assert_eq!(check(&with_triggers(&[1, 4])), Ok(()));
    for (rules, expected) in [
        (&[][..], Code::TriggerList),
        (&[1], Code::RuleCover),
        (&[4], Code::RuleCover),
        (&[4, 1, 4], Code::TriggerList),
        (&[1, 1, 4], Code::TriggerList),
        (&[1, 3, 4], Code::TriggerList),
        (&[1, 4, 5], Code::TriggerList),
        (&[1, 4, u32::MAX], Code::TriggerList),
        (&[1, 2], Code::RuleCover),
    ] {
        assert_eq!(check(&with_triggers(rules)).unwrap_err().code, expected, "{rules:?}");
    }
    // One more than it needs costs a look at the rule, and nothing else.
    let file = with_triggers(&[0, 1, 4]);
    let ruleset = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap();
    assert_eq!(ruleset.self_test(), Ok(()));
}

#[test]
fn rules_that_every_event_is_judged_by_are_listed_once() {
    let remove = |all: &mut Vec<u8>| all.truncate(all.len() - 4);
    refused_section(Triggers, remove, Code::RuleCover);
    for more in [0_u32, 3, 4, 5] {
        let add = |all: &mut Vec<u8>| all.extend(more.to_le_bytes());
        refused_section(Triggers, add, Code::TrailingBytes);
    }
    let other = |all: &mut Vec<u8>| {
        let at = all.len() - 4;
        put(all, at, 2);
    };
    refused_section(Triggers, other, Code::RuleCover);
}
