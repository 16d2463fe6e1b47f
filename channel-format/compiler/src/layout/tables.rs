//! The tables of a file while they grow.

use std::collections::{BTreeSet, HashMap};

use channel_format::engine::criterion::{Criterion as Record, FLAG_CASED, Operator};
use channel_format::engine::program::Instruction;
use channel_format::engine::regex::DESCRIPTOR_LEN;
use channel_format::ruleset::{
    EXAMPLE_COST, EXPECT_DERIVED, EXPECT_FALSE, EXPECT_TRUE, RULE_COST, VALUE_NUMBER, VALUE_SID,
    VALUE_TEXT,
};
use channel_format::schema::{Field, FieldSet};

use crate::lower::{Criterion, Expr, Operand};
use crate::regex::Automaton;
use crate::source::{Example, ExampleValue, SourceRule};

/// The sections' contents. Rules must come in the order of their ids.
#[derive(Default)]
pub(super) struct Writer {
    text: Vec<u8>,
    texts: HashMap<String, [u8; 8]>,
    units: Vec<u8>,
    automata: Vec<Automaton>,
    known_automata: HashMap<Automaton, u64>,
    criteria: Vec<u8>,
    known_criteria: HashMap<Criterion, u32>,
    costs: Vec<u64>,
    programs: Vec<u8>,
    rules: Vec<u8>,
    lists: Vec<u8>,
    examples: Vec<u8>,
    used: BTreeSet<Field>,
    pub(super) steps_per_event: u64,
    pub(super) steps_per_load: u64,
}

impl Writer {
    /// Adds a rule.
    pub(super) fn rule(&mut self, rule: &SourceRule, expr: &Expr, examples: &[Example]) {
        self.used.insert(Field::Operation);
        let index = (self.rules.len() / 40) as u32;
        let program = (self.programs.len() / 4) as u32;
        let mut cost = RULE_COST;
        self.program(expr, &mut cost);
        let length = (self.programs.len() / 4) as u32 - program;
        self.steps_per_event += cost;
        let list = (self.lists.len() / 8) as u32;
        for text in rule.tags.iter().chain(&rule.references) {
            let reference = self.reference(text);
            self.lists.extend(reference);
        }
        let (id, title) = (self.reference(&rule.id), self.reference(&rule.title));
        self.rules.extend(id);
        self.rules.extend(title);
        self.rules.extend(program.to_le_bytes());
        self.rules.extend(length.to_le_bytes());
        self.rules.extend(list.to_le_bytes());
        self.rules.extend((rule.tags.len() as u16).to_le_bytes());
        self.rules.extend((rule.references.len() as u16).to_le_bytes());
        self.rules.extend([rule.level.number(), rule.action.number(), rule.judges, rule.blocks]);
        self.rules.extend([0; 4]);
        for example in examples {
            self.steps_per_load += cost + EXAMPLE_COST;
            self.examples.extend(index.to_le_bytes());
            let expected = if example.matches { EXPECT_TRUE } else { EXPECT_FALSE };
            let derived = if example.derived { EXPECT_DERIVED } else { 0 };
            self.examples.push(expected | derived);
            self.examples.push(example.values.len() as u8);
            self.examples.extend([0; 2]);
            for (field, value) in &example.values {
                self.example_value(*field, value);
            }
        }
    }

    /// The fields that the rules use.
    pub(super) fn fields(&self) -> FieldSet {
        self.used.iter().fold(FieldSet::EMPTY, |set, field| set.with(*field))
    }

    /// The sections, in their order.
    pub(super) fn sections(&self) -> [Vec<u8>; 8] {
        [
            self.text.clone(),
            self.units.clone(),
            self.automata_section(),
            self.criteria.clone(),
            self.programs.clone(),
            self.rules.clone(),
            self.lists.clone(),
            self.examples.clone(),
        ]
    }

    fn program(&mut self, expr: &Expr, cost: &mut u64) {
        match expr {
            Expr::Criterion(criterion) => {
                let index = self.criterion(criterion);
                *cost += self.costs[index as usize];
                self.instruction(Instruction::Criterion(index), cost);
            }
            Expr::Not(inner) => {
                self.program(inner, cost);
                self.instruction(Instruction::Not, cost);
            }
            Expr::And(parts) => self.join(parts, Instruction::And, cost),
            Expr::Or(parts) => self.join(parts, Instruction::Or, cost),
        }
    }

    /// The deepest part first, then each other and the instruction that joins it.
    fn join(&mut self, parts: &[Expr], instruction: Instruction, cost: &mut u64) {
        let mut parts: Vec<&Expr> = parts.iter().collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.depth()));
        for (place, part) in parts.into_iter().enumerate() {
            self.program(part, cost);
            if place > 0 {
                self.instruction(instruction, cost);
            }
        }
    }

    fn instruction(&mut self, instruction: Instruction, cost: &mut u64) {
        *cost += 1;
        self.programs.extend(instruction.write());
    }

    fn criterion(&mut self, criterion: &Criterion) -> u32 {
        if let Some(index) = self.known_criteria.get(criterion) {
            return *index;
        }
        let (mut flags, mut length, mut value) = (0, 0, 0);
        match &criterion.operand {
            Operand::Nothing => {}
            Operand::Number(number) => value = *number,
            Operand::Automaton(automaton) => value = self.automaton(automaton),
            Operand::Sid(sid) => {
                length = (sid.len() / 2) as u32;
                value = (self.units.len() / 2) as u64;
                self.units.extend(sid);
            }
            Operand::Literal { units, cased } => {
                flags = if *cased { FLAG_CASED } else { 0 };
                length = units.len() as u32;
                value = (self.units.len() / 2) as u64;
                self.units.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
                if criterion.operator == Operator::Contains.number() {
                    self.units.extend(search_table(units).into_iter().flat_map(u16::to_le_bytes));
                }
            }
        }
        let mut record = [0; 16];
        record[..3].copy_from_slice(&[criterion.field.number() as u8, criterion.operator, flags]);
        record[4..8].copy_from_slice(&u32::to_le_bytes(length));
        record[8..].copy_from_slice(&u64::to_le_bytes(value));
        let index = self.costs.len() as u32;
        self.costs.push(Record::read(&record).map_or(0, |record| record.cost()));
        self.criteria.extend(record);
        self.used.insert(criterion.field);
        self.known_criteria.insert(criterion.clone(), index);
        index
    }

    fn automaton(&mut self, automaton: &Automaton) -> u64 {
        if let Some(index) = self.known_automata.get(automaton) {
            return *index;
        }
        let index = self.automata.len() as u64;
        self.known_automata.insert(automaton.clone(), index);
        self.automata.push(automaton.clone());
        index
    }

    fn automata_section(&self) -> Vec<u8> {
        if self.automata.is_empty() {
            return Vec::new();
        }
        let mut section = (self.automata.len() as u32).to_le_bytes().to_vec();
        let mut offset = section.len() + self.automata.len() * DESCRIPTOR_LEN;
        for automaton in &self.automata {
            let Automaton { flags, states, classes, ranges, start, tables } = automaton;
            for number in [flags, states, classes, ranges, start, &0] {
                section.extend(number.to_le_bytes());
            }
            section.extend((offset as u32).to_le_bytes());
            offset += tables.len();
        }
        section.extend(self.automata.iter().flat_map(|automaton| &automaton.tables));
        section
    }

    /// A reference to a text, which is written once.
    fn reference(&mut self, text: &str) -> [u8; 8] {
        if let Some(known) = self.texts.get(text) {
            return *known;
        }
        let mut reference = [0; 8];
        reference[..4].copy_from_slice(&(self.text.len() as u32).to_le_bytes());
        reference[4..].copy_from_slice(&(text.len() as u32).to_le_bytes());
        self.text.extend(text.as_bytes());
        self.texts.insert(text.to_owned(), reference);
        reference
    }

    fn example_value(&mut self, field: Field, value: &ExampleValue) {
        self.examples.push(field.number() as u8);
        match value {
            ExampleValue::Text(units) => {
                self.examples.push(VALUE_TEXT);
                self.examples.extend((units.len() as u16).to_le_bytes());
                self.examples.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
            }
            ExampleValue::Number(number) => {
                self.examples.push(VALUE_NUMBER);
                self.examples.extend(8_u16.to_le_bytes());
                self.examples.extend(number.to_le_bytes());
            }
            ExampleValue::Sid(sid) => {
                self.examples.push(VALUE_SID);
                self.examples.extend((sid.len() as u16).to_le_bytes());
                self.examples.extend(sid);
            }
        }
    }
}

/// For each prefix of the literal, the length of its longest proper prefix that is also its suffix.
fn search_table(units: &[u16]) -> Vec<u16> {
    let mut table = vec![0_u16; units.len()];
    for end in 1..units.len() {
        let mut border = usize::from(table[end - 1]);
        while border > 0 && units[border] != units[end] {
            border = usize::from(table[border - 1]);
        }
        table[end] = if units[border] == units[end] { border as u16 + 1 } else { 0 };
    }
    table
}
