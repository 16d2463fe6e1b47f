//! Three-valued truth, by tables written by hand.

mod common;

use channel_format::limits::MAX_TEXT_UNITS;
use channel_format::schema::Truth::{False as F, True as T, Unknown as U};
use channel_format::schema::{Field, Kind, Truth};
use differential::event::{Event, Given};

/// What each operator says of an input that is unknown, absent, fitting, and not fitting.
#[test]
fn operators() {
    let table = [
        // Text.
        ("PipeName: 'a'", Field::PipeName, [U, F, T, F]),
        ("PipeName: ['a', 'c']", Field::PipeName, [U, F, T, F]),
        ("PipeName|cased: 'a'", Field::PipeName, [U, F, T, F]),
        ("PipeName|contains: 'a'", Field::PipeName, [U, F, T, F]),
        ("PipeName|contains|all: ['a', '']", Field::PipeName, [U, F, T, F]),
        ("PipeName|startswith: 'a'", Field::PipeName, [U, F, T, F]),
        ("PipeName|endswith: 'a'", Field::PipeName, [U, F, T, F]),
        ("PipeName: '?'", Field::PipeName, [U, F, T, T]),
        ("PipeName: '*'", Field::PipeName, [U, F, T, T]),
        ("PipeName: 'a*a'", Field::PipeName, [U, F, F, F]),
        ("PipeName|re: '^a'", Field::PipeName, [U, F, T, F]),
        ("PipeName|re: ''", Field::PipeName, [U, F, T, T]),
        ("PipeName: null", Field::PipeName, [U, T, F, F]),
        ("PipeName: [null, 'a']", Field::PipeName, [U, T, T, F]),
        ("PipeName|exists: true", Field::PipeName, [U, F, T, T]),
        ("PipeName|exists: false", Field::PipeName, [U, T, F, F]),
        ("Image: 'a'", Field::ImagePath, [U, F, T, F]),
        ("ImageName: 'a'", Field::ImageName, [U, F, T, F]),
        ("ParentImage: 'a'", Field::ParentImage, [U, F, T, F]),
        // Numbers: 4 fits, 9 does not.
        ("ProcessId: 4", Field::ProcessId, [U, F, T, F]),
        ("ProcessId: [4, 5]", Field::ProcessId, [U, F, T, F]),
        ("ProcessId|lt: 5", Field::ProcessId, [U, F, T, F]),
        ("ProcessId|lte: 4", Field::ProcessId, [U, F, T, F]),
        ("ProcessId|gt: 3", Field::ProcessId, [U, F, T, T]),
        ("ProcessId|gt: 4", Field::ProcessId, [U, F, F, T]),
        ("ProcessId|gte: 4", Field::ProcessId, [U, F, T, T]),
        ("ProcessId|gte: 5", Field::ProcessId, [U, F, F, T]),
        ("ProcessId: null", Field::ProcessId, [U, T, F, F]),
        ("ProcessId|exists: true", Field::ProcessId, [U, F, T, T]),
        ("ProcessId|exists: false", Field::ProcessId, [U, T, F, F]),
        ("DesiredAccess: 4", Field::DesiredAccess, [U, F, T, F]),
        ("SessionId|lt: 5", Field::Session, [U, F, T, F]),
        // Security identifiers.
        ("User: null", Field::User, [U, T, F, F]),
        ("User|exists: true", Field::User, [U, F, T, T]),
        ("User|exists: false", Field::User, [U, T, F, F]),
    ];
    for (item, field, expected) in table {
        let values = match field.kind() {
            Kind::Text => [Given::text("a"), Given::text("b")],
            Kind::Number => [Given::Number(4), Given::Number(9)],
            Kind::Sid => [Given::Sid(vec![1]), Given::Sid(vec![2])],
        };
        let [fitting, other] = values;
        let inputs = [Given::Unknown, Given::Absent, fitting, other];
        for (input, expected) in inputs.into_iter().zip(expected) {
            // Not is the other way round, and leaves unknown as it is.
            let negated = [T, F, U][[F, T, U].iter().position(|t| *t == expected).unwrap()];
            let event = Event::of(1).with(field, input);
            let rule = |condition| format!("    s: {{{item}}}\n    condition: {condition}\n");
            assert_eq!(common::verdict(&rule("s"), &event), expected, "{item}\n{event}");
            assert_eq!(common::verdict(&rule("not s"), &event), negated, "not {item}\n{event}");
        }
    }
}

/// The operation's own names: unknown, absent, created, connected, and a number that is neither.
/// A rule that judges both operations is asked whatever is known of it; an event that is neither
/// is nothing to judge.
#[test]
fn operations() {
    let inputs =
        [Given::Unknown, Given::Absent, Given::Number(1), Given::Number(2), Given::Number(3)];
    let table = [
        ("EventID: 17", "", [U, F, T, F, F]),
        ("EventID: 18", "", [U, F, F, T, F]),
        ("EventType: 'CreatePipe'", "", [U, F, T, F, F]),
        ("EventType|contains: 'CONNECT'", "", [U, F, F, T, F]),
        ("EventType: '*Pipe'", "", [U, F, T, T, F]),
        ("EventID|exists: true", "", [U, F, T, T, F]),
        ("EventID: null", "", [U, F, F, F, F]),
        ("Operation|lt: 2", "", [U, F, T, F, F]),
        ("PipeName: 'a'", "", [T, F, T, T, F]),
        ("PipeName: 'a'", "saker: {on: created}\n", [U, F, T, F, F]),
        ("PipeName: 'a'", "saker: {on: connected}\n", [U, F, F, T, F]),
        ("PipeName: 'a'", "saker: {on: [created, connected]}\n", [T, F, T, T, F]),
        ("PipeName: 'b'", "", [F, F, F, F, F]),
        ("PipeName: 'b'", "saker: {on: created}\n", [F, F, F, F, F]),
        ("Image: 'a'", "saker: {on: created}\n", [U, F, U, F, F]),
    ];
    for (item, saker, expected) in table {
        let rule = format!("    s: {{{item}}}\n    condition: s\n{saker}");
        for (input, expected) in inputs.iter().zip(expected) {
            let event = Event::of(1)
                .with(Field::Operation, input.clone())
                .with(Field::PipeName, Given::text("a"))
                .with(Field::ImagePath, Given::Unknown);
            assert_eq!(common::verdict(&rule, &event), expected, "{rule}\n{event}");
        }
    }
}

/// Each connective over two selections, that are false, true and unknown. A row is the first
/// one's truth, a column the second one's.
#[test]
fn connectives() {
    let table = [
        ("a1 and a2", [[F, F, F], [F, T, U], [F, U, U]]),
        ("all of a*", [[F, F, F], [F, T, U], [F, U, U]]),
        ("all of them", [[F, F, F], [F, T, U], [F, U, U]]),
        ("2 of a*", [[F, F, F], [F, T, U], [F, U, U]]),
        ("a1 or a2", [[F, T, U], [T, T, T], [U, T, U]]),
        ("1 of a*", [[F, T, U], [T, T, T], [U, T, U]]),
        ("1 of them", [[F, T, U], [T, T, T], [U, T, U]]),
        ("any of a*", [[F, T, U], [T, T, T], [U, T, U]]),
        ("a1 and not a2", [[F, F, F], [T, F, U], [U, F, U]]),
        ("a1 or not a2", [[T, F, U], [T, T, T], [T, U, U]]),
        ("not a1 and a2", [[F, T, U], [F, F, F], [F, U, U]]),
        ("not (a1 and a2)", [[T, T, T], [T, F, U], [T, U, U]]),
        ("not (a1 or a2)", [[T, F, U], [F, F, F], [U, F, U]]),
        ("not 1 of a*", [[T, F, U], [F, F, F], [U, F, U]]),
        ("not all of a*", [[T, T, T], [T, F, U], [T, U, U]]),
        ("not not a1 and a2", [[F, F, F], [F, T, U], [F, U, U]]),
        // And binds tighter than or.
        ("a1 or a1 and a2", [[F, F, F], [T, T, T], [U, U, U]]),
        ("(a1 or a1) and a2", [[F, F, F], [F, T, U], [F, U, U]]),
        // Unknown is no third way out: it may be either.
        ("(a1 and a2) or (not a1 and not a2)", [[T, F, U], [F, T, U], [U, U, U]]),
        ("(a1 or not a1) and (a2 or not a2)", [[T, T, U], [T, T, U], [U, U, U]]),
    ];
    for (condition, expected) in table {
        let rule = format!(
            "    a1: {{PipeName: 'a'}}\n    a2: {{ProcessId: 4}}\n    condition: {condition}\n"
        );
        expect(&rule, expected);
    }
}

/// The same for what stands in one selection.
#[test]
fn maps_and_lists() {
    let and = [[F, F, F], [F, T, U], [F, U, U]];
    let or = [[F, T, U], [T, T, T], [U, T, U]];
    expect("    s:\n        PipeName: 'a'\n        ProcessId: 4\n    condition: s\n", and);
    expect("    s:\n        - PipeName: 'a'\n        - ProcessId: 4\n    condition: s\n", or);
    expect(
        "    a: {PipeName: 'a'}\n    b: {ProcessId: 4}\n    condition:\n        - a\n        - b\n",
        or,
    );
    // A list of maps is an or of ands.
    expect(
        "    s:\n        - PipeName: 'a'\n          ProcessId: 4\n        - PipeName: 'a'\n          \
         EventID: 18\n    condition: s\n",
        and,
    );
}

/// Text beyond the longest is unknown to every operator, even to those that only ask whether it
/// is there; text of the longest is known.
#[test]
fn text_too_long() {
    let longest = MAX_TEXT_UNITS as usize;
    let items = [
        ("PipeName|contains: 'a'", T),
        ("PipeName|startswith: 'b'", F),
        ("PipeName: 'a*'", T),
        ("PipeName: '?a*a?'", T),
        ("PipeName: '*'", T),
        ("PipeName: null", F),
        ("PipeName|exists: true", T),
        ("PipeName|exists: false", F),
        ("PipeName|re: 'a$'", T),
    ];
    for (item, expected) in items {
        let rule = format!("    s: {{{item}}}\n    condition: s\n");
        for (length, expected) in [(longest - 1, expected), (longest, expected), (longest + 1, U)] {
            let event =
                Event::of(1).with(Field::PipeName, Given::Text(vec![u16::from(b'a'); length]));
            assert_eq!(common::verdict(&rule, &event), expected, "{item} {length}");
        }
    }
}

/// Expects a verdict for each truth of `PipeName: 'a'` (rows) and of `ProcessId: 4` (columns).
fn expect(rule: &str, expected: [[Truth; 3]; 3]) {
    let names = [Given::text("b"), Given::text("a"), Given::Unknown];
    let numbers = [Given::Number(9), Given::Number(4), Given::Unknown];
    for (name, row) in names.iter().zip(expected) {
        for (number, expected) in numbers.iter().zip(row) {
            let event = Event::of(1)
                .with(Field::PipeName, name.clone())
                .with(Field::ProcessId, number.clone());
            assert_eq!(common::verdict(rule, &event), expected, "{rule}\n{event}");
        }
    }
}
