//! The tables that events are judged by, changed field by field behind a good signature, and the
//! code of each refusal.

mod common;

use channel_compiler::build;
use channel_format::engine::criterion::{Criterion, Operator, RECORD_LEN, Search};
use channel_format::engine::program::{
    FALSE, FLAG_COVER, FLAG_LIVE, FLAG_NEGATED, Instruction, TRUE,
};
use channel_format::engine::scan::{BASE_SHIFT, EMPTY, LINK, NO_GROUP, OUT, ROOT, SHORT};
use channel_format::refusal::Code;
use channel_format::ruleset::SectionKind::{Criteria, Examples, Programs, Scans, Triggers, Units};
use channel_format::ruleset::VALUE_SID;
use channel_format::schema::{Field, SensorProfile};

use common::changed::{code, golden, refused, refused_section, start, with_section};
use common::{OPTIONS, ScanPlaces, check, open, put, rule, scans, section, test_key, word};

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

/// The first scan of the golden file: that of the covers in the pipe's name.
fn scan() -> ScanPlaces {
    scans(&golden()).remove(0)
}

/// The code with which the golden file is refused after these numbers are written at places of it.
#[track_caller]
fn scan_code(changes: &[(usize, u32)]) -> Code {
    code(|file| changes.iter().for_each(|(at, number)| put(file, *at, *number)))
}

#[test]
fn descriptors_of_scans_are_checked_field_by_field() {
    let golden = golden();
    let at = |place: usize| place - section(&golden, Scans).start;
    let first = at(scan().descriptor);
    let second = at(scans(&golden)[1].descriptor);
    let wild = [0xff; 4];
    for (at, bytes, expected) in [
        (0, &[0][..], Code::SectionSize),
        (0, &[9], Code::TooMany),
        (0, &[8], Code::OutOfOrder),
        (0, &[3], Code::OutOfOrder),
        // Field: one of text, in rising order, and that of its criteria.
        (first, &[0], Code::OperatorForField),
        (first, &[5], Code::OperatorForField),
        (first, &[23], Code::OperatorForField),
        (first, &[2], Code::ScanTable),
        // Purpose.
        (first + 1, &[0], Code::UnknownSearch),
        (first + 1, &[3], Code::UnknownSearch),
        (first + 1, &[2], Code::ScanTable),
        (second + 1, &[1], Code::OutOfOrder),
        (first + 2, &[1], Code::ReservedNotZero),
        (first + 3, &[1], Code::ReservedNotZero),
        // Classes: 7 of them, in blocks of 16 slots.
        (first + 4, &[251], Code::UnitClasses),
        (first + 4, &[8], Code::UnitClasses),
        (first + 4, &[6], Code::UnitClasses),
        (first + 6, &[0], Code::UnitClasses),
        (first + 6, &[2], Code::UnitClasses),
        (first + 6, &wild[..2], Code::LengthOutOfRange),
        // Slots.
        (first + 8, &[0], Code::ScanTable),
        (first + 8, &[49], Code::ScanTable),
        (first + 8, &[64], Code::ScanTable),
        (first + 8, &wild, Code::TooMany),
        // Groups.
        (first + 12, &[0], Code::ScanTable),
        (first + 12, &[9], Code::ScanTable),
        (first + 12, &[11], Code::ScanTable),
        (first + 12, &wild, Code::TooMany),
        // Hits.
        (first + 16, &[11], Code::ScanTable),
        (first + 16, &[13], Code::ScanTable),
        (first + 16, &wild, Code::TooMany),
        // Offset.
        (first + 20, &[0], Code::OutOfOrder),
        (first + 20, &wild, Code::OutOfOrder),
    ] {
        refused(Scans, at, bytes, expected);
    }
}

#[test]
fn classes_of_a_scan_are_checked_one_by_one() {
    let golden = golden();
    let scan = scan();
    let at = |unit: char| scan.ascii.start + unit as usize;
    let byte = |at: usize, value: u8| {
        assert_eq!(code(|file| file[at] = value), Code::UnitClasses, "{value} at {at:#x}");
    };
    let class = |unit: char| golden[at(unit)];
    // A small letter has its capital's; the classes rise with the units; none is left out.
    byte(at('a'), class('B'));
    byte(at('a'), 0);
    byte(at('z'), class('A'));
    byte(at('A'), class('B'));
    byte(at('B'), class('A'));
    byte(at('1'), 0);
    byte(at('Z'), 1);
    byte(at('0'), 0xff);
    let found = code(|file| {
        file[at('A')] = class('B');
        file[at('a')] = class('B');
        file[at('B')] = class('A');
        file[at('b')] = class('A');
    });
    assert_eq!(found, Code::UnitClasses);
    // Beyond ASCII: folded, rising, none that is taken for an ASCII letter, and the next class.
    let other = scan.others.start;
    let of_other = u32::from(golden[other + 2]) << 16;
    for unit in [0x7f, 0xe4, 0x212a, 0x017f] {
        assert_eq!(scan_code(&[(other, of_other | unit)]), Code::UnitClasses, "{unit:#x}");
    }
    // Another capital is another automaton.
    assert_eq!(scan_code(&[(other, of_other | 0xc9)]), Code::ScanTable);
    for class in [0, 5, 7, 0x106] {
        assert_eq!(scan_code(&[(other, class << 16 | 0xc4)]), Code::UnitClasses, "{class}");
    }
}

/// Each kind of state, with each of its parts changed.
#[test]
fn states_of_a_scan_are_checked_part_by_part() {
    let golden = golden();
    let scan = scan();
    let number = |at: &usize| word(&golden, *at);
    let pairs = || scan.pairs.clone().step_by(4);
    let slots = || scan.slots.clone().step_by(4).filter(|at| number(at) != EMPTY);
    let classes = scan.classes as u32;
    let is_state = |at: &usize| number(at) & 0xff < classes;
    let root = pairs().next().unwrap();
    let single = pairs().find(|at| number(at) & (OUT | SHORT) == OUT | SHORT).unwrap();
    let row = 4 * scan.classes;
    let pair = pairs().find(|at| number(at) & (OUT | SHORT) == 0).unwrap();
    let pair_out = pairs().find(|at| number(at) & (OUT | SHORT) == OUT).unwrap();
    let state = slots().filter(is_state).find(|at| number(at) & LINK == 0).unwrap();
    let linked = slots().filter(is_state).find(|at| number(at) & LINK != 0).unwrap();
    let changes = |at: usize| {
        let state = word(&golden, at);
        // Bits, label, a base in the empty block, one that is another's, one beyond the slots.
        let bits = [OUT, LINK, SHORT].map(|bit| state ^ bit);
        let below = state & ((1 << BASE_SHIFT) - 1);
        let bases = [0, 1, 2047].map(|base| below | base << BASE_SHIFT);
        let next = [state ^ 1, state ^ 0x80, state ^ 1 << BASE_SHIFT, ROOT, EMPTY, u32::MAX];
        bits.into_iter().chain(bases).chain(next).filter(move |changed| *changed != state)
    };
    for at in [root, single, single + row, pair, pair_out, state, linked] {
        for changed in changes(at) {
            let found = scan_code(&[(at, changed)]);
            assert_eq!(found, Code::ScanTable, "{changed:#x} at {at:#x}");
        }
    }
    // The single state's number in every row but one.
    let all_rows: Vec<_> = (1..scan.classes).map(|before| (single + before * row, ROOT)).collect();
    assert_eq!(scan_code(&all_rows), Code::ScanTable);
    // And in none: its outputs stand idle.
    let no_row: Vec<_> = (0..scan.classes).map(|before| (single + before * row, ROOT)).collect();
    assert_eq!(scan_code(&no_row), Code::ScanTable);
}

#[test]
fn slots_of_a_scan_are_checked_one_by_one() {
    let golden = golden();
    let scan = scan();
    let slots = || scan.slots.clone().step_by(4);
    let label = |at: &usize| word(&golden, *at) as usize & 0xff;
    let out = slots().find(|at| label(at) == scan.classes).unwrap();
    let link = slots().find(|at| label(at) == scan.classes + 1).unwrap();
    for (at, changed) in [
        // Another group, one that is not there, none.
        (out, word(&golden, out) ^ 1 << 8),
        (out, word(&golden, out) | 0xffff_ff00),
        (out, EMPTY),
        // Another label.
        (out, word(&golden, out) + 1),
        (link, word(&golden, link) ^ OUT),
        (link, word(&golden, link) ^ LINK),
        (link, word(&golden, link) ^ SHORT),
        (link, word(&golden, link) ^ 1 << BASE_SHIFT),
        (link, word(&golden, link) - 1),
        (link, EMPTY),
    ] {
        assert_eq!(scan_code(&[(at, changed)]), Code::ScanTable, "{changed:#x} at {at:#x}");
    }
    // Anything in an empty slot: of the first block, and of any other.
    let empty: Vec<usize> = slots().filter(|at| word(&golden, *at) == EMPTY).collect();
    assert!(empty[0] == scan.slots.start && empty.len() > 20);
    for at in empty {
        let place = (at - scan.slots.start) / 4;
        for changed in [0, 0x1ff, ROOT, place as u32 & 7 | 16 << BASE_SHIFT] {
            assert_eq!(scan_code(&[(at, changed)]), Code::ScanTable, "{changed:#x} at {at:#x}");
        }
    }
}

#[test]
fn groups_and_hits_are_checked_field_by_field() {
    let golden = golden();
    let scan = scan();
    let groups = scan.groups.clone().step_by(16);
    let group = groups.clone().find(|at| word(&golden, at + 4) != NO_GROUP).unwrap();
    let hit = scan.hits.start;
    let number = |at: usize| word(&golden, at);
    for (at, changed, expected) in [
        (group, number(group) + 1, Code::ScanTable),
        (group, u32::MAX, Code::ScanTable),
        (group + 4, NO_GROUP, Code::ScanTable),
        (group + 4, number(group + 4) + 1, Code::ScanTable),
        (group + 4, 1000, Code::ScanTable),
        (group + 8, number(group + 8) - 1, Code::ScanTable),
        (group + 8, number(group + 8) + 1, Code::ScanTable),
        (group + 12, number(group + 12) + 1, Code::ScanTable),
        (group + 12, number(group + 12) | 1 << 16, Code::ReservedNotZero),
        // A hit's operator and case, its criterion: another's, and none.
        (hit, number(hit) ^ 2, Code::ScanTable),
        (hit, number(hit) ^ 0x80, Code::ScanTable),
        (hit, number(hit) ^ 1 << 8, Code::ScanTable),
        (hit, number(hit) | 0xffff_ff00, Code::IndexOutOfRange),
        // The same twice, and the two of one group in the other order.
        (hit + 4, number(hit), Code::ScanTable),
    ] {
        assert_eq!(scan_code(&[(at, changed)]), expected, "{changed:#x} at {at:#x}");
    }
    let of_two =
        groups.clone().zip(groups.skip(1)).find(|(at, next)| number(*next) - number(*at) == 2);
    let first = scan.hits.start + 4 * number(of_two.map_or(group, |(at, _)| at)) as usize;
    let swapped = [(first, number(first + 4)), (first + 4, number(first))];
    assert_eq!(scan_code(&swapped), Code::ScanTable);
}

#[test]
fn literals_of_a_scan_stand_in_their_order() {
    // The automaton of `abc` and `abd` with the second as its first group.
    let rules = [rule("    s: {PipeName|contains: [abc, abd]}\n    condition: s")];
    let mut file = build(&rules, &OPTIONS).unwrap();
    let scan = scans(&file).remove(0);
    let [first, second] = [0, 4].map(|at| word(&file, scan.hits.start + at));
    put(&mut file, scan.hits.start, second);
    put(&mut file, scan.hits.start + 4, first);
    for at in scan.slots.step_by(4) {
        let slot = word(&file, at);
        if slot as usize & 0xff == scan.classes {
            put(&mut file, at, slot ^ 1 << 8);
        }
    }
    assert_eq!(check(&file).unwrap_err().code, Code::OutOfOrder);
}

/// A file whose section of scans is another, made good again.
fn with_scans(file: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut content = file[section(file, Scans)].to_vec();
    change(&mut content);
    with_section(file, Scans, &content)
}

#[test]
fn no_scan_and_no_class_stands_idle() {
    // A scan of the parent's image that looks for nothing: one class, four empty slots.
    let golden = golden();
    let count = u32::from(golden[section(&golden, Scans).start]);
    let idle = with_scans(&golden, |all| {
        let end = 4 + 24 * count as usize;
        for at in (24..end).step_by(24) {
            let moved = word(all, at) + 24;
            put(all, at, moved);
        }
        put(all, 0, count + 1);
        let start = all.len() as u32 + 24;
        let field = Field::ParentImage.number() as u32 | 1 << 8;
        let descriptor = [field, 1, 4, 0, 0, start];
        all.splice(end..end, descriptor.into_iter().flat_map(u32::to_le_bytes));
        all.extend([0; 128]);
        all.extend([ROOT, EMPTY, EMPTY, EMPTY, EMPTY].into_iter().flat_map(u32::to_le_bytes));
    });
    assert_eq!(check(&idle).unwrap_err().code, Code::ScanTable);

    // A class of a unit that no literal holds: one more column and row, and all labels as before.
    let rules = [rule("    s: {PipeName|contains: aba}\n    condition: s")];
    let mut file = build(&rules, &OPTIONS).unwrap();
    let scan = scans(&file).remove(0);
    assert_eq!(scan.classes, 3);
    // Three classes and two labels fill blocks of eight slots, as four classes do: only the labels
    // of outputs move up by one.
    let slot = |place: usize| scan.slots.start + 4 * place;
    let out = (0..scan.slots.len() / 4).find(|at| word(&file, slot(*at)) & 0xff == 3).unwrap();
    let owner = out ^ 3;
    let moved = word(&file, slot(out)) + 1;
    assert_eq!(word(&file, slot(owner ^ 4)), EMPTY);
    put(&mut file, slot(out), EMPTY);
    put(&mut file, slot(owner ^ 4), moved);
    file[scan.descriptor + 4] = 4;
    file[scan.ascii.start + usize::from(b'X')] = 3;
    file[scan.ascii.start + usize::from(b'x')] = 3;
    let pairs = scan.pairs.start - section(&file, Scans).start;
    let idle = with_scans(&file, |all| {
        let rows: Vec<u8> = all[pairs..pairs + 36]
            .chunks(12)
            .flat_map(|row| [row, &ROOT.to_le_bytes()].concat())
            .chain([ROOT; 4].into_iter().flat_map(u32::to_le_bytes))
            .collect();
        all.splice(pairs..pairs + 36, rows);
    });
    assert_eq!(check(&idle).unwrap_err().code, Code::UnitClasses);
}
