//! The tables of a file while they grow.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use channel_format::engine::criterion::{Criterion as Record, Operator, Search};
use channel_format::engine::program::{FLAG_COVER, Instruction};

use channel_format::engine::regex::DESCRIPTOR_LEN;
use channel_format::frame::SECTION_SLOTS;
use channel_format::ruleset::{
    DERIVED, EXPECT_FALSE, EXPECT_TRUE, VALUE_NUMBER, VALUE_SID, VALUE_TEXT,
};
use channel_format::schema::{Field, FieldSet};

use super::plan::Plan;
use super::program::{self, Branch};
use super::scan::{Scan, Sought};
use crate::lower::{Criterion, Expr, Operand};
use crate::regex::Automaton;
use crate::source::{Example, ExampleValue, SourceRule};

/// A rule that has been lowered, with all of its examples.
pub(super) struct Lowered<'a> {
    pub(super) rule: &'a SourceRule,
    pub(super) examples: Vec<Example>,
}

/// The sections' contents.
#[derive(Default)]
pub(super) struct Writer<'a> {
    text: Vec<u8>,
    texts: HashMap<String, [u8; 8]>,
    units: Vec<u8>,
    automata: Vec<&'a Automaton>,
    known_automata: HashMap<&'a Automaton, u16>,
    criteria: Vec<(&'a Criterion, Record)>,
    known_criteria: HashMap<&'a Criterion, u32>,
    /// For each cover criterion by its index, the rules that it points to.
    triggers: BTreeMap<u32, BTreeSet<u32>>,
    /// The rules that every event is judged by.
    always: Vec<u32>,
    programs: Vec<u8>,
    rules: Vec<u8>,
    lists: Vec<u8>,
    examples: Vec<u8>,
    used: BTreeSet<Field>,
}

impl<'a> Writer<'a> {
    /// Writes rules, which must come in the order of their ids, and their conditions.
    pub(super) fn of(rules: &[Lowered<'a>], conditions: &'a [Expr]) -> Self {
        let plan = Plan::of(conditions);
        let mut writer = Self::default();
        for (index, (rule, condition)) in rules.iter().zip(conditions).enumerate() {
            writer.rule(index, rule, condition, &plan);
        }
        writer
    }

    fn rule(&mut self, index: usize, lowered: &Lowered<'a>, condition: &'a Expr, plan: &Plan<'a>) {
        let rule = lowered.rule;
        self.used.insert(Field::Operation);
        let cover = &plan.covers[index];
        let index = index as u32;
        let code = program::write(condition, cover, &|criterion| plan.effort(criterion));
        let first = (self.programs.len() / 8) as u32;
        for branch in &code {
            self.branch(branch, index, plan);
        }
        if cover.is_empty() {
            self.always.push(index);
        }
        let list = (self.lists.len() / 8) as u32;
        for text in rule.tags.iter().chain(&rule.references) {
            let reference = self.reference(text);
            self.lists.extend(reference);
        }
        let (id, title) = (self.reference(&rule.id), self.reference(&rule.title));
        self.rules.extend(id);
        self.rules.extend(title);
        self.rules.extend(first.to_le_bytes());
        self.rules.extend((code.len() as u32).to_le_bytes());
        self.rules.extend(list.to_le_bytes());
        self.rules.extend((rule.tags.len() as u16).to_le_bytes());
        self.rules.extend((rule.references.len() as u16).to_le_bytes());
        self.rules.extend([rule.level.number(), rule.action.number(), rule.judges, rule.blocks]);
        self.rules.extend([0; 4]);
        for example in &lowered.examples {
            self.example(index, example);
        }
    }

    fn branch(&mut self, branch: &Branch<'a>, rule: u32, plan: &Plan<'a>) {
        let criterion = self.criterion(branch.criterion, plan);
        let Branch { flags, if_holds, if_not, .. } = *branch;
        if flags & FLAG_COVER != 0 {
            self.triggers.entry(criterion).or_default().insert(rule);
        }
        self.programs.extend(Instruction { criterion, flags, if_holds, if_not }.write());
    }

    fn criterion(&mut self, criterion: &'a Criterion, plan: &Plan<'a>) -> u32 {
        if let Some(index) = self.known_criteria.get(criterion) {
            return *index;
        }
        let Some(operator) = Operator::from_number(criterion.operator) else {
            unreachable!("criteria are made from operators");
        };
        let mut record = Record {
            field: criterion.field,
            operator,
            cased: false,
            search: plan.search(criterion),
            length: 0,
            automaton: 0,
            value: (self.units.len() / 2) as u64,
            first_trigger: 0,
            triggers: 0,
        };
        let laid = self.units.len();
        let literal: &[u16] = match &criterion.operand {
            Operand::Nothing => {
                record.value = 0;
                &[]
            }
            Operand::Number(number) => {
                record.value = *number;
                &[]
            }
            Operand::Sid(sid) => {
                self.units.extend(sid);
                &[]
            }
            Operand::Automaton(automaton) => {
                record.automaton = self.automaton(automaton);
                &automaton.literal
            }
            Operand::Literal { units, cased, .. } => {
                record.cased = *cased;
                units
            }
        };
        self.units.extend(literal.iter().flat_map(|unit| unit.to_le_bytes()));
        record.length = ((self.units.len() - laid) / 2) as u16;
        let index = self.criteria.len() as u32;
        self.criteria.push((criterion, record));
        self.used.insert(criterion.field);
        self.known_criteria.insert(criterion, index);
        index
    }

    fn automaton(&mut self, automaton: &'a Automaton) -> u16 {
        let fresh = self.automata.len();
        // Beyond the format's limit the file is refused as a whole.
        let index = u16::try_from(fresh).unwrap_or(u16::MAX);
        let index = *self.known_automata.entry(automaton).or_insert(index);
        if usize::from(index) == fresh {
            self.automata.push(automaton);
        }
        index
    }

    /// The fields that the rules use.
    pub(super) fn fields(&self) -> FieldSet {
        self.used.iter().fold(FieldSet::EMPTY, |set, field| set.with(*field))
    }

    /// The sections, in their order.
    pub(super) fn sections(&self) -> [Vec<u8>; SECTION_SLOTS] {
        let (criteria, triggers) = self.criteria_and_triggers();
        [
            self.text.clone(),
            self.lists.clone(),
            self.rules.clone(),
            self.programs.clone(),
            criteria,
            self.units.clone(),
            self.automata_section(),
            self.scans_section(),
            triggers,
            self.examples.clone(),
        ]
    }

    fn criteria_and_triggers(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut criteria, mut triggers) = (Vec::new(), Vec::new());
        for ((_, record), index) in self.criteria.iter().zip(0_u32..) {
            let rules = self.triggers.get(&index).into_iter().flatten();
            let first_trigger = (triggers.len() / 4) as u32;
            triggers.extend(rules.flat_map(|rule| rule.to_le_bytes()));
            let count = (triggers.len() / 4) as u32 - first_trigger;
            criteria.extend(Record { first_trigger, triggers: count, ..*record }.write());
        }
        triggers.extend(self.always.iter().flat_map(|rule| rule.to_le_bytes()));
        (criteria, triggers)
    }

    fn scans_section(&self) -> Vec<u8> {
        let mut sought: BTreeMap<(u8, u8), Vec<Sought<'_>>> = BTreeMap::new();
        for ((criterion, record), index) in self.criteria.iter().zip(0_u32..) {
            if let (Some(literal), true) =
                (criterion.searched_literal(), record.search != Search::Direct)
            {
                let scan = (record.field.number() as u8, record.search.number());
                sought.entry(scan).or_default().push(Sought {
                    literal,
                    criterion: index,
                    operator: criterion.operator,
                    cased: record.cased,
                });
            }
        }
        let scans: Vec<(u8, u8, Scan)> = sought
            .iter()
            .map(|((field, purpose), sought)| (*field, *purpose, Scan::build(sought)))
            .collect();
        Scan::section(&scans)
    }

    fn automata_section(&self) -> Vec<u8> {
        if self.automata.is_empty() {
            return Vec::new();
        }
        let mut section = (self.automata.len() as u32).to_le_bytes().to_vec();
        let mut offset = section.len() + self.automata.len() * DESCRIPTOR_LEN;
        for automaton in &self.automata {
            let Automaton { flags, states, classes, ranges, start, middle, lead, tables, .. } =
                automaton;
            for number in [flags, states, classes, ranges, start, middle, lead, &0] {
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

    fn example(&mut self, rule: u32, example: &Example) {
        self.examples.extend(rule.to_le_bytes());
        let expected = if example.matches { EXPECT_TRUE } else { EXPECT_FALSE };
        self.examples.push(expected | if example.derived { DERIVED } else { 0 });
        self.examples.push(example.values.len() as u8);
        self.examples.extend([0; 2]);
        for (field, value) in &example.values {
            self.example_value(*field, value);
        }
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
