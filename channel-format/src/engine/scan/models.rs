//! Every table of a small scan, whether it makes sense or not: a walk ends; and where the table is
//! accepted, it finds what a search place by place finds.
//!
//! The literals are `a`, `aa` and `aaa` with each operator, so there are two classes. A scan of two
//! has slots in blocks of four, the first of them empty. Tables of eight slots are tried whose words
//! are any of: the words of a table that is right, with each of the four bases; an empty slot; the
//! root. Then each table that is accepted with any word at all in place of one of its own. Most of
//! the tables are more than a plain test has time for: `cargo xtask mutate` runs those.

use std::vec::Vec;

use super::{
    ANYWHERE, BASE_SHIFT, DESCRIPTOR_LEN, EMPTY, FLAG_ANYWHERE, LINK, NO_GROUP, OUT, ROOT, SHORT,
    Scan, Walk, validate,
};
use crate::engine::criterion::{Criterion, Operator, Search};
use crate::limits::MAX_LITERAL_UNITS;
use crate::ruleset::Tables;
use crate::schema::Field;

const CLASSES: u32 = 2;
const SLOTS: usize = 8;
/// The table of pairs comes first, then the slots.
const WORDS: usize = 4 + SLOTS;
const OUTPUT: u32 = CLASSES;
const LINKED: u32 = CLASSES + 1;
const A: u16 = b'A' as u16;
const OPERATORS: [Operator; 4] =
    [Operator::Contains, Operator::StartsWith, Operator::EndsWith, Operator::Equals];

#[test]
fn every_small_table_over_two_bases() {
    for operator in OPERATORS {
        for length in 1..=3 {
            let model = Model::new(operator, length);
            let accepted = model.all_tables(&[4, 5]);
            assert!(accepted > 0, "{operator:?} {length}");
        }
    }
}

#[test]
#[ignore = "a minute even when optimised: cargo xtask mutate"]
fn every_small_table() {
    for operator in OPERATORS {
        for length in 1..=3 {
            let model = Model::new(operator, length);
            let accepted = model.all_tables(&[4, 5, 6, 7]);
            assert!(accepted > 0, "{operator:?} {length}");
        }
    }
}

/// One criterion, whose literal is so many times the letter A.
struct Model {
    operator: Operator,
    length: u32,
    anywhere: bool,
    criterion: [u8; 24],
    units: [[u8; 2]; 3],
    texts: Vec<Vec<u16>>,
}

impl Model {
    fn new(operator: Operator, length: u32) -> Self {
        let criterion = Criterion {
            field: Field::PipeName,
            operator,
            cased: false,
            search: Search::Cover,
            length: length as u16,
            automaton: u16::MAX,
            value: 0,
            first_trigger: 0,
            triggers: 1,
        };
        Self {
            operator,
            length,
            anywhere: operator == Operator::Contains,
            criterion: criterion.write(),
            units: [A.to_le_bytes(); 3],
            texts: texts(),
        }
    }

    /// Tries all tables whose states have one of the bases; how many were accepted.
    fn all_tables(&self, bases: &[u32]) -> u64 {
        let states = |bits: u32| bases.iter().map(move |base| bits | *base << BASE_SHIFT);
        // What ends at the literal's end, and a state of all but one of its units.
        let out = if self.anywhere { OUT | ANYWHERE } else { OUT };
        let bits = |depth: u32| if depth == self.length { out } else { 0 };
        let mut pairs: Vec<u32> = std::vec![ROOT, EMPTY];
        let mut slots: Vec<u32> = std::vec![EMPTY, OUTPUT];
        if self.length == 1 {
            pairs.extend(states(SHORT | bits(1)));
        } else {
            pairs.extend(states(bits(2)));
        }
        if self.length == 3 {
            slots.extend(states(1 | LINK | bits(3)));
            slots.extend(states(LINKED | bits(2)));
        }
        let mut words = [EMPTY; WORDS];
        let mut accepted = Vec::new();
        self.each(&pairs, &slots, &mut words, 0, &mut accepted);
        for table in &accepted {
            self.each_other_word(table);
        }
        accepted.len() as u64
    }

    /// All words from a place on.
    fn each(
        &self,
        pairs: &[u32],
        slots: &[u32],
        words: &mut [u32; WORDS],
        place: usize,
        accepted: &mut Vec<[u32; WORDS]>,
    ) {
        match place {
            WORDS => {
                if self.check(words) {
                    accepted.push(*words);
                }
            }
            // The first block of slots.
            4..8 => self.each(pairs, slots, words, 8, accepted),
            _ => {
                for word in if place < 4 { pairs } else { slots } {
                    words[place] = *word;
                    self.each(pairs, slots, words, place + 1, accepted);
                }
            }
        }
    }

    /// A table with every word there can be, up to one base too many, in place of each of its own.
    fn each_other_word(&self, table: &[u32; WORDS]) {
        for place in 0..WORDS {
            for label in (0..=LINKED + 1).chain([EMPTY]) {
                for bits in 0..16 {
                    for base in 0..=SLOTS as u32 {
                        let mut changed = *table;
                        changed[place] = label | bits << 8 | base << BASE_SHIFT;
                        self.check(&changed);
                    }
                }
            }
        }
    }

    /// Walks over every text; true if the table is accepted.
    fn check(&self, words: &[u32; WORDS]) -> bool {
        let section = self.section(words);
        let criteria = [self.criterion];
        let tables = Tables {
            text: &[],
            lists: &[],
            rules: &[],
            programs: &[],
            criteria: &criteria,
            units: &self.units,
            automata: &[],
            scans: &section,
            triggers: &[],
            examples: &[],
        };
        let places = validate(&tables, 0, 1, 0x5a5a).ok().and_then(|scans| scans.covers[0]);
        let place = places.unwrap_or(super::TablePlace {
            start: 4 + DESCRIPTOR_LEN as u32,
            classes: CLASSES as u16,
            others: 0,
            slots: SLOTS as u32,
            groups: 1,
            hits: 1,
            unit_cost: 0,
        });
        let scan = Scan::at(&section, &place).unwrap();
        // A table that is refused need only be walked to the end, and one long text will do.
        let texts =
            if places.is_some() { &self.texts[..] } else { &self.texts[self.texts.len() - 2..] };
        for text in texts {
            let mut walk = Walk::new(&scan, text.as_slice());
            let (mut ends, mut starts) = (Vec::new(), Vec::new());
            for _ in 0..=text.len() {
                match walk.advance() {
                    Some(true) => ends.push(walk.taken()),
                    Some(false) | None => break,
                }
                assert!(walk.taken() <= text.len());
                // Nor does asking what holds there leave the tables.
                let asked = walk.hits(|_, start, _| {
                    starts.push(start);
                    Some(false)
                });
                assert!(places.is_none() || asked == Some(false), "{words:x?} {text:?}");
            }
            assert!(ends.windows(2).all(|pair| pair[0] < pair[1]), "{words:x?} {text:?}");
            if places.is_some() {
                assert_eq!(ends, self.naive(text), "{words:x?} {text:?}");
                assert_eq!(starts, self.holds_from(text), "{words:x?} {text:?}");
            }
        }
        places.is_some()
    }

    /// Where the literal ends and may count.
    fn naive(&self, text: &[u16]) -> Vec<usize> {
        let length = self.length as usize;
        let ends = |end: &usize| {
            let begun = &text[..*end];
            let stands =
                begun.len() >= length && begun[begun.len() - length..].iter().all(|u| *u == A);
            stands && (self.anywhere || *end == length || *end == text.len())
        };
        (1..=text.len()).filter(ends).collect()
    }

    /// Where the literal begins and its operator holds.
    fn holds_from(&self, text: &[u16]) -> Vec<usize> {
        let length = self.length as usize;
        let holds = |start: &usize| {
            let Some(stands) = text.get(*start..*start + length) else { return false };
            let behind = text.len() - *start - length;
            stands.iter().all(|unit| *unit == A)
                && match self.operator {
                    Operator::StartsWith => *start == 0,
                    Operator::EndsWith => behind == 0,
                    Operator::Equals => *start == 0 && behind == 0,
                    _ => true,
                }
        };
        (0..text.len()).filter(holds).collect()
    }

    /// The scans section with these words in its tables, and all else as it must be.
    fn section(&self, words: &[u32; WORDS]) -> Vec<u8> {
        let mut section = Vec::with_capacity(4 + DESCRIPTOR_LEN + 128 + 4 * WORDS + 20);
        section.extend(1_u32.to_le_bytes());
        section.extend([Field::PipeName.number() as u8, Search::Cover.number(), 0, 0]);
        for number in [CLASSES, SLOTS as u32, 1, 1, 4 + DESCRIPTOR_LEN as u32] {
            section.extend(number.to_le_bytes());
        }
        let mut ascii = [0; 128];
        (ascii[usize::from(b'A')], ascii[usize::from(b'a')]) = (1, 1);
        section.extend(ascii);
        section.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        let flags = if self.anywhere { u32::from(FLAG_ANYWHERE) << 24 } else { 0 };
        // All of the literal is its key.
        for number in [flags, NO_GROUP, self.length + 1, self.length | self.length << 16] {
            section.extend(number.to_le_bytes());
        }
        section.extend([self.criterion[1], 0, 0, 0]);
        section
    }
}

/// All texts of up to five units, each of which is the letter or another, and in the end two that
/// lead as far into the tables as any.
fn texts() -> Vec<Vec<u16>> {
    let mut texts = Vec::new();
    for length in 0..=5_u32 {
        for number in 0..1_u32 << length {
            let unit = |place: u32| if number >> place & 1 == 1 { A } else { u16::from(b'x') };
            texts.push((0..length).map(unit).collect());
        }
    }
    texts.push([A, A, A, b'x'.into(), A, A, A, A].to_vec());
    texts.push([A; 7].to_vec());
    assert!(texts.iter().all(|text| text.len() < MAX_LITERAL_UNITS as usize));
    texts
}
