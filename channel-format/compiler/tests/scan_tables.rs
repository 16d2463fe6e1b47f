//! The tables of scans, changed field by field behind a good signature, and the code of each
//! refusal.

mod common;

use channel_compiler::build;
use channel_format::engine::scan::{
    ANYWHERE, BASE_SHIFT, EMPTY, FLAG_ANYWHERE, LINK, MAX_SLOTS, NO_GROUP, OUT, ROOT, SHORT,
};
use channel_format::refusal::Code;
use channel_format::ruleset::SectionKind::Scans;
use channel_format::schema::Field;

use common::changed::{code, golden, refused, with_section};
use common::{OPTIONS, ScanPlaces, check, put, rule, scans, section, word};

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
        (first + 12, &[9], Code::IndexOutOfRange),
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
    let [elsewhere, anywhere] = [0, ANYWHERE].map(|bit| {
        let mut states = pairs().chain(slots().filter(is_state));
        states.find(|at| number(at) & (OUT | ANYWHERE) == OUT | bit).unwrap()
    });
    let changes = |at: usize| {
        let state = word(&golden, at);
        // Bits, label, a base in the empty block, one that is another's, one beyond the slots.
        let bits = [OUT, LINK, SHORT, ANYWHERE].map(|bit| state ^ bit);
        let below = state & ((1 << BASE_SHIFT) - 1);
        let bases = [0, 1, 47, 48, MAX_SLOTS - 1].map(|base| below | base << BASE_SHIFT);
        let next = [state ^ 1, state ^ 0x80, state ^ 1 << BASE_SHIFT, ROOT, EMPTY, u32::MAX];
        bits.into_iter().chain(bases).chain(next).filter(move |changed| *changed != state)
    };
    for at in [root, single, single + row, pair, pair_out, state, linked, elsewhere, anywhere] {
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
        (link, word(&golden, link) ^ ANYWHERE),
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
    const FLAG: u32 = (FLAG_ANYWHERE as u32) << 24;
    let flag = |at: usize| word(&golden, at) & FLAG;
    let elsewhere = groups.clone().find(|at| flag(*at) != flag(group)).unwrap();
    let hit = scan.hits.start;
    let number = |at: usize| word(&golden, at);
    for (at, changed, expected) in [
        (group, number(group) + 1, Code::ScanTable),
        (group, number(group) | 0x00ff_ffff, Code::ScanTable),
        (group + 4, NO_GROUP, Code::ScanTable),
        (group + 4, number(group + 4) + 1, Code::ScanTable),
        (group + 4, 1000, Code::ScanTable),
        (group + 8, number(group + 8) - 1, Code::ScanTable),
        (group + 8, number(group + 8) + 1, Code::ScanTable),
        (group + 12, number(group + 12) + 1, Code::ScanTable),
        // Flags: anywhere or not, the other way round; and one that there is not.
        (group, number(group) ^ FLAG, Code::ScanTable),
        (elsewhere, number(elsewhere) ^ FLAG, Code::ScanTable),
        (group, number(group) | 2 << 24, Code::UnknownFlags),
        (group, number(group) | 1 << 31, Code::UnknownFlags),
        // Key: longer than the literal, shorter, none.
        (group + 12, number(group + 12) + (1 << 16), Code::ScanTable),
        (group + 12, number(group + 12) - (1 << 16), Code::ScanTable),
        (group + 12, number(group + 12) & 0xffff, Code::ScanTable),
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
    let first_hit = |at: usize| number(at) & 0x00ff_ffff;
    let of_two = groups
        .clone()
        .zip(groups.skip(1))
        .find(|(at, next)| first_hit(*next) - first_hit(*at) == 2);
    let first = scan.hits.start + 4 * first_hit(of_two.map_or(group, |(at, _)| at)) as usize;
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
