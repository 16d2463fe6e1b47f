//! Lines of a selection: `Field|modifiers: values`.

use channel_format::schema::Field;

use crate::Side;
use crate::choices::Choices;
use crate::fields::{NUMBERS, TEXTS, USER};
use crate::regex::regex;
use crate::value::{Piece, Sample, escape, pieces, quote};
use crate::words::Words;

/// What events are made from, to come near a rule.
#[derive(Clone, Debug, Default)]
pub struct Material {
    /// Patterns of text fields.
    pub texts: Vec<(Field, Sample)>,
    /// Numbers of number fields.
    pub numbers: Vec<(Field, u64)>,
}

/// A line of a selection.
#[derive(Clone, Debug)]
pub struct Item {
    /// The field and its modifiers.
    pub key: String,
    /// Its values, as YAML scalars.
    pub values: Vec<String>,
}

/// Makes items, and notes what events need to come near them.
pub struct Items<'a> {
    pub(crate) side: Side,
    pub(crate) words: &'a Words,
    pub(crate) material: Material,
}

impl Items<'_> {
    /// An item.
    pub fn item(&mut self, choices: &mut Choices) -> Item {
        match choices.weighted(&[24, 5, 5, 2, 2, 2, 2]) {
            0 => self.text(choices),
            1 => self.regex(choices),
            2 => self.number(choices),
            3 => self.null(choices),
            4 => exists(choices, self.side),
            5 => event_id(choices),
            _ => self.event_type(choices),
        }
    }

    fn text(&mut self, choices: &mut Choices) -> Item {
        let (name, field) = text_field(choices);
        let (comparison, open_start, open_end) = choices.pick(&[
            ("", false, false),
            ("|contains", true, true),
            ("|startswith", false, true),
            ("|endswith", true, false),
        ]);
        // Wildcards beside `startswith` and `endswith` are among the listed exceptions.
        let wildcards = self.side == Side::Naive || open_start == open_end;
        let many = choices.chance(1, 24);
        let count = if many { choices.between(8, 40) } else { choices.between(1, 4) };
        let mut values = Vec::new();
        for _ in 0..count {
            let pieces = pieces(choices, self.words, wildcards);
            let text = escape(choices, &pieces);
            values.push(quote(choices, &text));
            self.material.texts.push((field, Sample { pieces, open_start, open_end }));
        }
        let all = self.all(choices, &values);
        let cased = if choices.chance(1, 6) { "|cased" } else { "" };
        if self.side == Side::Naive && [comparison, cased, all] == [""; 3] && choices.chance(1, 20)
        {
            values.push("null".to_owned());
        }
        let [first, second] = if choices.chance(1, 4) { [all, cased] } else { [cased, all] };
        Item { key: format!("{name}{comparison}{first}{second}"), values }
    }

    fn regex(&mut self, choices: &mut Choices) -> Item {
        let (name, field) = text_field(choices);
        let mut values = Vec::new();
        for _ in 0..choices.between(1, 3) {
            let (pattern, pieces) = regex(choices, self.words, self.side);
            values.push(quote(choices, &pattern));
            let open = choices.chance(1, 2);
            let sample = Sample { pieces, open_start: open, open_end: open };
            self.material.texts.push((field, sample));
        }
        let all = self.all(choices, &values);
        let flags =
            choices.pick(&["", "", "|i", "|i|m", "|s", "|m|s", "|ignorecase", "|multiline|dotall"]);
        Item { key: format!("{name}|re{flags}{all}"), values }
    }

    fn number(&mut self, choices: &mut Choices) -> Item {
        let (name, field) = if choices.chance(1, 2) { choices.pick(&NUMBERS) } else { NUMBERS[0] };
        let comparison = choices.pick(&["", "|lt", "|lte", "|gt", "|gte"]);
        let mut values = Vec::new();
        for _ in 0..choices.between(1, 3) {
            let number = number(choices, self.side);
            self.material.numbers.push((field, number));
            // YAML numbers beyond 63 bits are not whole; text in quotes may have any form.
            values.push(match choices.below(8) {
                1 => format!("'{number}'"),
                2 if self.side == Side::Naive => format!("'{number:03}'"),
                3 if self.side == Side::Naive => format!("'{number:#x}'"),
                _ if i64::try_from(number).is_err() => format!("'{number}'"),
                _ => number.to_string(),
            });
        }
        let all = self.all(choices, &values);
        Item { key: format!("{name}{comparison}{all}"), values }
    }

    fn null(&mut self, choices: &mut Choices) -> Item {
        let value = choices.pick(&["null", "~", ""]);
        Item { key: any_field(choices).to_owned(), values: vec![value.to_owned()] }
    }

    fn event_type(&mut self, choices: &mut Choices) -> Item {
        let (modifiers, value) = choices.pick(&[
            ("", "CreatePipe"),
            ("", "connectpipe"),
            ("", "'*Pipe'"),
            ("", "'C?eate*'"),
            ("|contains", "CONNECT"),
            ("|startswith", "create"),
            ("|endswith", "pipe"),
            ("|cased", "ConnectPipe"),
            ("|re", "'^C.*n'"),
            ("|re|i", "'ATE'"),
        ]);
        Item { key: format!("EventType{modifiers}"), values: vec![value.to_owned()] }
    }

    /// Now and then all values must fit; of one value alone this is a listed exception.
    fn all(&self, choices: &mut Choices, values: &[String]) -> &'static str {
        let suits = values.len() > 1 || self.side == Side::Naive;
        if choices.chance(1, 6) && suits { "|all" } else { "" }
    }
}

fn exists(choices: &mut Choices, side: Side) -> Item {
    let mut values = vec![choices.pick(&["true", "false"]).to_string()];
    if side == Side::Naive && choices.chance(1, 12) {
        values.push("true".to_owned());
    }
    Item { key: format!("{}|exists", any_field(choices)), values }
}

fn event_id(choices: &mut Choices) -> Item {
    let values: &[&str] = choices.pick(&[&["17"][..], &["18"], &["'17'"], &["18", "17"]]);
    Item {
        key: "EventID".to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    }
}

/// A number that is likely to be met again.
pub fn number(choices: &mut Choices, side: Side) -> u64 {
    const EXACT: u64 = 1 << 53;
    let numbers = [
        0,
        1,
        2,
        3,
        4,
        5,
        17,
        18,
        255,
        256,
        8_192,
        12_288,
        65_536,
        0x7fff_ffff,
        0xffff_ffff,
        EXACT - 1,
        EXACT,
        EXACT + 1,
        i64::MAX as u64,
        i64::MAX as u64 + 1,
        u64::MAX,
    ];
    // Numbers that a double cannot tell apart are among the listed exceptions.
    let known = if side == Side::Naive { numbers.len() } else { numbers.len() - 5 };
    let common = if choices.chance(3, 4) { 6 } else { known };
    choices.pick(&numbers[..common])
}

fn text_field(choices: &mut Choices) -> (&'static str, Field) {
    let (name, field, _) = TEXTS[choices.weighted(&TEXTS.map(|(_, _, weight)| weight))];
    (name, field)
}

fn any_field(choices: &mut Choices) -> &'static str {
    match choices.weighted(&[6, 2, 1, 1]) {
        0 => text_field(choices).0,
        1 => choices.pick(&NUMBERS).0,
        2 => USER.0,
        _ => choices.pick(&["EventID", "EventType"]),
    }
}

/// The parts of a text, for material that is no pattern.
pub fn exactly(text: &str) -> Sample {
    Sample { pieces: text.chars().map(Piece::Char).collect(), ..Sample::default() }
}
