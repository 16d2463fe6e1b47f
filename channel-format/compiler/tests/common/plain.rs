//! Judging without scans, triggers and covers: every rule by its program, every criterion by a
//! comparison of its own. What the engine finds for any accepted file must be this.

use channel_format::engine::criterion::{Criterion, Operator};
use channel_format::engine::program;
use channel_format::limits::MAX_TEXT_UNITS;
use channel_format::ruleset::{
    Ruleset, SectionKind, VALUE_NUMBER, VALUE_SID, VALUE_TEXT, VALUE_UNKNOWN,
};
use channel_format::schema::{Field, Input, Inputs, Operation, Truth};

use super::section;

/// The rules that are true, or cannot be told, in their order.
pub fn judge(ruleset: &Ruleset<Vec<u8>>, inputs: &Inputs<'_>) -> Vec<(u32, Truth)> {
    let tables = ruleset.tables();
    let operation = match input(inputs, Field::Operation) {
        Input::Unknown => None,
        Input::Number(number) => Some(Operation::from_number(number).map_or(0, Operation::mask)),
        _ => Some(0),
    };
    let mut found = Vec::new();
    for (record, index) in tables.rules.iter().zip(0_u32..) {
        let judges = record[34];
        let judged = match operation {
            Some(mask) => Truth::from(judges & mask != 0),
            None if judges == Operation::ALL_MASK => Truth::True,
            None => Truth::Unknown,
        };
        let number = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
        let (first, count) = (number(16) as usize, number(20) as usize);
        let code = &tables.programs[first..first + count];
        let mut criterion = |index: u32| {
            let record = &tables.criteria[index as usize];
            criterion(ruleset, &Criterion::read(record).unwrap(), inputs)
        };
        let truth = judged.and(program::run(code, &mut criterion, &mut 0).unwrap());
        if truth != Truth::False {
            found.push((index, truth));
        }
    }
    found
}

/// What the engine says, in the order of the rules.
pub fn evaluate(ruleset: &Ruleset<Vec<u8>>, inputs: &Inputs<'_>) -> Vec<(u32, Truth)> {
    let mut found = Vec::new();
    let evaluation = ruleset.evaluate(inputs, &mut |rule, truth| found.push((rule, truth)));
    assert!(evaluation.steps <= ruleset.header().steps_per_event);
    found.sort_unstable_by_key(|(rule, _)| *rule);
    found
}

fn criterion(ruleset: &Ruleset<Vec<u8>>, criterion: &Criterion, inputs: &Inputs<'_>) -> Truth {
    let tables = ruleset.tables();
    match input(inputs, criterion.field) {
        Input::Unknown => Truth::Unknown,
        Input::Absent => Truth::from(criterion.operator == Operator::Null),
        Input::Number(number) => criterion.judge_number(number),
        Input::Sid(sid) => criterion.judge_sid(&tables, sid),
        Input::Text(text) if text.len() > MAX_TEXT_UNITS as usize => Truth::Unknown,
        Input::Text(text) => criterion.judge_text(&tables, text, &mut 0).unwrap(),
    }
}

fn input<'a>(inputs: &Inputs<'a>, field: Field) -> Input<'a> {
    inputs.try_input(field.index()).unwrap()
}

/// A value of an example.
#[derive(Clone, Debug)]
pub enum Given {
    Unknown,
    Text(Vec<u16>),
    Number(u64),
    Sid(Vec<u8>),
}

/// An example of a file: its rule, whether that is true, and the event.
#[derive(Clone, Debug)]
pub struct Example {
    pub rule: u32,
    pub matches: bool,
    pub values: Vec<(Field, Given)>,
    /// How many bytes it takes.
    pub length: usize,
}

impl Example {
    pub fn inputs(&self) -> Inputs<'_> {
        let mut inputs = Inputs::absent();
        for (field, value) in &self.values {
            inputs.set(
                *field,
                match value {
                    Given::Unknown => Input::Unknown,
                    Given::Text(text) => Input::Text(text),
                    Given::Number(number) => Input::Number(*number),
                    Given::Sid(sid) => Input::Sid(sid),
                },
            );
        }
        inputs
    }
}

/// The examples of a file.
pub fn examples(file: &[u8]) -> Vec<Example> {
    let mut rest = &file[section(file, SectionKind::Examples)];
    let mut take = |length: usize| {
        let (taken, behind) = rest.split_at_checked(length)?;
        rest = behind;
        Some(taken)
    };
    let mut examples = Vec::new();
    while let Some(head) = take(8) {
        let rule = u32::from_le_bytes(head[..4].try_into().unwrap());
        let (mut values, mut taken) = (Vec::new(), 8);
        for _ in 0..head[5] {
            let head = take(4).unwrap();
            let field = Field::from_number(head[0].into()).unwrap();
            let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
            let length = if head[1] == VALUE_TEXT { 2 * length } else { length };
            let payload = take(length).unwrap();
            taken += 4 + length;
            let value = match head[1] {
                VALUE_TEXT => Given::Text(
                    payload.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect(),
                ),
                VALUE_NUMBER => Given::Number(u64::from_le_bytes(payload.try_into().unwrap())),
                VALUE_UNKNOWN => Given::Unknown,
                VALUE_SID => Given::Sid(payload.to_vec()),
                kind => panic!("no value of kind {kind}"),
            };
            values.push((field, value));
        }
        examples.push(Example { rule, matches: head[4] & 1 == 1, values, length: taken });
    }
    examples
}
