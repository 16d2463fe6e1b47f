//! Events aimed at a rule: texts that fit its values, and near misses.

use std::fmt;

use channel_format::limits::MAX_TEXT_UNITS;
use channel_format::schema::{FIELD_COUNT, Field, Input, Inputs, Kind};

use crate::Side;
use crate::choices::Choices;
use crate::fields::names;
use crate::item::{exactly, number};
use crate::rule::Rule;
use crate::words::Words;

/// One input of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// Not known.
    Unknown,
    /// Not there.
    Absent,
    /// Text.
    Text(Vec<u16>),
    /// A number.
    Number(u64),
    /// A security identifier.
    Sid(Vec<u8>),
}

/// An event: an input a field, in the schema's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The inputs.
    pub given: [Given; FIELD_COUNT],
}

impl Event {
    /// An event of this operation, without anything else.
    pub fn of(operation: u64) -> Self {
        let mut event = Self { given: std::array::from_fn(|_| Given::Absent) };
        event.set(Field::Operation, Given::Number(operation));
        event
    }

    /// The event with this input.
    #[must_use]
    pub fn with(mut self, field: Field, given: Given) -> Self {
        self.set(field, given);
        self
    }

    /// The inputs, given whole.
    pub fn whole(&self) -> Inputs<'_> {
        Inputs::from_array(std::array::from_fn(|place| input(&self.given[place])))
    }

    /// The same inputs, set one by one on inputs that are unknown otherwise.
    pub fn one_by_one(&self) -> Inputs<'_> {
        let mut inputs = Inputs::unknown();
        for (field, given) in Field::ALL.into_iter().zip(&self.given) {
            if *given != Given::Unknown {
                inputs.set(field, input(given));
            }
        }
        inputs
    }

    /// The input of a field.
    pub fn get(&self, field: Field) -> &Given {
        &self.given[field.index()]
    }

    fn set(&mut self, field: Field, given: Given) {
        self.given[field.index()] = given;
    }
}

impl Given {
    /// That text.
    pub fn text(text: &str) -> Self {
        Self::Text(encode(text))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (field, given) in Field::ALL.into_iter().zip(&self.given) {
            match given {
                // Most fields are not there; they are not worth a line.
                Given::Absent => continue,
                Given::Unknown => writeln!(f, "{}: (unknown)", field.name())?,
                Given::Text(units) => {
                    let text = String::from_utf16_lossy(units);
                    let count = units.len();
                    match String::from_utf16(units) {
                        Ok(_) if count < 80 => writeln!(f, "{}: {text:?}", field.name())?,
                        Ok(_) => writeln!(f, "{}: {text:?} ({count} units)", field.name())?,
                        Err(_) => writeln!(f, "{}: {text:?} = {units:04x?}", field.name())?,
                    }
                }
                Given::Number(number) => writeln!(f, "{}: {number}", field.name())?,
                Given::Sid(bytes) => writeln!(f, "{}: SID {bytes:02x?}", field.name())?,
            }
        }
        Ok(())
    }
}

fn input(given: &Given) -> Input<'_> {
    match given {
        Given::Unknown => Input::Unknown,
        Given::Absent => Input::Absent,
        Given::Text(text) => Input::Text(text),
        Given::Number(number) => Input::Number(*number),
        Given::Sid(bytes) => Input::Sid(bytes),
    }
}

/// Makes an event that comes near one of the rules.
pub fn event(choices: &mut Choices, words: &Words, side: Side, rules: &[Rule]) -> Event {
    let aimed = choices.below(rules.len());
    let mut maker = Maker { side, words, rules, aimed };
    let rest =
        if side == Side::Naive && choices.chance(1, 3) { Given::Unknown } else { Given::Absent };
    let mut event = Event { given: std::array::from_fn(|_| rest.clone()) };
    for field in Field::ALL {
        if let Some(given) = maker.given(choices, field) {
            event.set(field, given);
        }
    }
    // The name of an image is most often the last part of its path.
    if let (Given::Text(path), true) = (event.get(Field::ImagePath), choices.chance(1, 2)) {
        let name = path.rsplit(|unit| *unit == u16::from(b'\\')).next().unwrap_or_default();
        let name = name.to_vec();
        event.set(Field::ImageName, Given::Text(name));
    }
    event
}

struct Maker<'a> {
    side: Side,
    words: &'a Words,
    rules: &'a [Rule],
    aimed: usize,
}

impl Maker<'_> {
    /// The input of a field; `None` leaves it as the rest is.
    fn given(&mut self, choices: &mut Choices, field: Field) -> Option<Given> {
        let operation = field == Field::Operation;
        // The other engine knows two truth values, and two operations.
        let naive = self.side == Side::Naive;
        let odd = [13, usize::from(naive), usize::from(naive || !operation)];
        match choices.weighted(&odd) {
            1 => return Some(Given::Unknown),
            2 => return Some(Given::Absent),
            _ => {}
        }
        let kind = field.kind();
        let kind = match kind {
            // A value of the wrong kind is nothing that an event brings, and yet has a verdict.
            _ if naive && choices.chance(1, 200) => {
                choices.pick(&[Kind::Text, Kind::Number, Kind::Sid])
            }
            kind => kind,
        };
        let often = [Field::PipeName, Field::ImagePath, Field::ImageName, Field::ProcessId];
        if !operation && !often.contains(&field) && !self.uses(field) && choices.chance(3, 4) {
            return None;
        }
        Some(match kind {
            Kind::Text => {
                let mut text = self.text(choices, field);
                // Longer text is unknown, which the other engine does not know.
                if !naive && text.len() > MAX_TEXT_UNITS as usize {
                    text.truncate(MAX_TEXT_UNITS as usize);
                    text = whole(text, Vec::new());
                }
                Given::Text(text)
            }
            Kind::Number if operation => {
                let numbers: &[u64] = if naive { &[1, 2, 1, 2, 1, 2, 0, 3] } else { &[1, 2] };
                Given::Number(choices.pick(numbers))
            }
            Kind::Number => Given::Number(self.number(choices, field)),
            Kind::Sid => Given::Sid(vec![1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]),
        })
    }

    fn uses(&self, field: Field) -> bool {
        let material = &self.rules[self.aimed].material;
        material.texts.iter().any(|(known, _)| *known == field)
            || material.numbers.iter().any(|(known, _)| *known == field)
            || names(field).any(|name| self.rules[self.aimed].yaml.contains(name))
    }

    fn text(&mut self, choices: &mut Choices, field: Field) -> Vec<u16> {
        let rule = match choices.weighted(&[8, 3, 2, 1]) {
            0 => self.aimed,
            1 => choices.below(self.rules.len()),
            2 => return encode(&self.words.glue(choices, 5)),
            _ => return self.extreme(choices, field),
        };
        let texts = &self.rules[rule].material.texts;
        let fitting: Vec<_> = texts.iter().filter(|(known, _)| *known == field).collect();
        if fitting.is_empty() {
            return encode(&self.words.glue(choices, 4));
        }
        let mut text = choices.pick(&fitting).1.fill(choices, self.words);
        // Several values of a field may have to fit at once.
        if choices.chance(1, 6) {
            text += &choices.pick(&fitting).1.fill(choices, self.words);
        }
        let text = encode(&text);
        if choices.chance(3, 8) { self.mutated(choices, text) } else { text }
    }

    /// Empty, Sysmon's word for an empty name, or as long as texts may be.
    fn extreme(&self, choices: &mut Choices, field: Field) -> Vec<u16> {
        match choices.weighted(&[8, 6, 1]) {
            0 => Vec::new(),
            1 if field == Field::PipeName => {
                encode(&exactly("<Anonymous Pipe>").fill(choices, self.words))
            }
            1 => encode(self.words.pick(choices)),
            _ => {
                let length = MAX_TEXT_UNITS as usize - 1 + choices.below(3);
                let mut text = encode(&self.words.glue(choices, 4));
                let fill = encode(self.words.pick(choices));
                while text.len() < length {
                    text.extend_from_slice(&fill);
                }
                text.truncate(length);
                if self.side == Side::Sigma { whole(text, Vec::new()) } else { text }
            }
        }
    }

    /// The text with one thing changed.
    fn mutated(&self, choices: &mut Choices, text: Vec<u16>) -> Vec<u16> {
        if text.is_empty() {
            return text;
        }
        let at = choices.below(text.len());
        let mut changed = text.clone();
        match choices.weighted(&[3, 6, 3, 3, 3, 3]) {
            0 => {
                changed.remove(at);
            }
            1 => changed.iter_mut().for_each(|unit| *unit = other_case(*unit)),
            2 => changed[at] = other_case(changed[at]),
            3 => changed.insert(at, changed[at]),
            4 => changed[at] = u16::from(b'x'),
            _ if self.side == Side::Sigma => changed.truncate(at),
            _ => match choices.below(4) {
                0 => changed[at] = special(changed[at]),
                1 => changed.insert(at, 0xd83d),
                2 => changed.insert(at, 0xde00),
                _ => changed.iter_mut().for_each(|unit| *unit = special(*unit)),
            },
        }
        if self.side == Side::Sigma { whole(changed, text) } else { changed }
    }

    fn number(&self, choices: &mut Choices, field: Field) -> u64 {
        let rule = if choices.chance(1, 4) { choices.below(self.rules.len()) } else { self.aimed };
        let numbers = &self.rules[rule].material.numbers;
        let fitting: Vec<_> = numbers.iter().filter(|(known, _)| *known == field).collect();
        if fitting.is_empty() || choices.chance(1, 8) {
            return number(choices, self.side);
        }
        let number = choices.pick(&fitting).1;
        match choices.weighted(&[4, 1, 1]) {
            0 => number,
            1 => number.wrapping_add(1),
            _ => number.saturating_sub(1),
        }
    }
}

fn encode(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

/// The text if it is one in UTF-16, else another.
fn whole(text: Vec<u16>, other: Vec<u16>) -> Vec<u16> {
    if String::from_utf16(&text).is_ok() { text } else { other }
}

/// The letter in its other case, where that is one unit.
fn other_case(unit: u16) -> u16 {
    let Some(letter) = char::from_u32(unit.into()) else {
        return unit;
    };
    let (upper, lower) = (letter.to_uppercase(), letter.to_lowercase());
    let other: Vec<char> =
        if upper.clone().eq([letter]) { lower.collect() } else { upper.collect() };
    match other.as_slice() {
        [one] => u16::try_from(u32::from(*one)).unwrap_or(unit),
        _ => unit,
    }
}

/// A letter that only some ways of folding take for this one.
fn special(unit: u16) -> u16 {
    let letter = match char::from_u32(unit.into()) {
        Some('k' | 'K') => '\u{212a}',
        Some('s' | 'S') => 'ſ',
        Some('i') => 'ı',
        Some('I') => 'İ',
        Some('e' | 'E') => 'é',
        Some('σ') => 'ς',
        Some('µ') => 'μ',
        Some('\\') => '/',
        Some('*') => '?',
        _ => return unit,
    };
    letter as u16
}
