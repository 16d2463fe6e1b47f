//! Values of a text field: literals with wildcards, written as Sigma and YAML want them.

use channel_format::limits::MAX_LITERAL_UNITS;

use crate::choices::Choices;
use crate::words::Words;

/// A part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// This character.
    Char(char),
    /// Any one character.
    One,
    /// Any characters, or none.
    Any,
}

/// A pattern, kept to make texts that fit it.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Its parts.
    pub pieces: Vec<Piece>,
    /// Whether a text may have more before it.
    pub open_start: bool,
    /// Whether a text may have more behind it.
    pub open_end: bool,
}

impl Sample {
    /// A text that fits: what is open is filled with words.
    pub fn fill(&self, choices: &mut Choices, words: &Words) -> String {
        let mut text = String::new();
        if self.open_start && choices.chance(1, 3) {
            text += &words.glue(choices, 2);
        }
        // A search that fails part of the way must not miss a start within what it has read.
        let again = if self.open_start && choices.chance(1, 4) {
            choices.below(self.pieces.len().min(6) + 1)
        } else {
            0
        };
        for piece in self.pieces[..again].iter().chain(&self.pieces) {
            match piece {
                Piece::Char(letter) => text.push(*letter),
                Piece::One => text.push(words.pick(choices).chars().next().unwrap_or('a')),
                Piece::Any => text += &words.glue(choices, 2),
            }
        }
        if self.open_end && choices.chance(1, 3) {
            text += &words.glue(choices, 2);
        }
        text
    }
}

/// The parts of a value; with wildcards, if asked.
pub fn pieces(choices: &mut Choices, words: &Words, wildcards: bool) -> Vec<Piece> {
    let mut pieces = Vec::new();
    if choices.chance(1, 400) {
        // As long as a literal may be.
        let word = words.pick(choices).chars().next().unwrap_or('a');
        let count = MAX_LITERAL_UNITS as usize / word.len_utf16();
        return vec![Piece::Char(word); count];
    }
    if choices.chance(1, 8) {
        // Literals that start again within themselves are the ones that searches trip over.
        let word = words.pick(choices);
        let times = choices.between(1, 3);
        pieces.extend(word.repeat(times).chars().map(Piece::Char));
    }
    let weights = if wildcards { [12, 2, 1, 1] } else { [12, 0, 0, 1] };
    for _ in 0..choices.between(1, 4) {
        match choices.weighted(&weights) {
            0 => pieces.extend(words.pick(choices).chars().map(Piece::Char)),
            1 => pieces.push(Piece::Any),
            2 => pieces.push(Piece::One),
            _ => pieces.push(Piece::Char(choices.pick(&['\\', '*', '?']))),
        }
    }
    if choices.chance(1, 40) {
        pieces.clear();
    }
    pieces
}

/// The value as Sigma writes it: `\` before a wildcard makes it a character, and before another
/// `\` too; elsewhere it stands for itself, doubled or not.
pub fn escape(choices: &mut Choices, pieces: &[Piece]) -> String {
    let mut text = String::new();
    for (place, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Any => text.push('*'),
            Piece::One => text.push('?'),
            Piece::Char(wildcard @ ('*' | '?')) => text.extend(['\\', *wildcard]),
            Piece::Char('\\') => {
                let alone = match pieces.get(place + 1) {
                    None => true,
                    Some(Piece::Char(next)) => !matches!(next, '\\' | '*' | '?'),
                    Some(_) => false,
                };
                text += if alone && !choices.chance(1, 4) { r"\" } else { r"\\" };
            }
            Piece::Char(letter) => text.push(*letter),
        }
    }
    text
}

/// The text as a YAML scalar: plain where that is safe, else in quotes of either kind.
pub fn quote(choices: &mut Choices, text: &str) -> String {
    let control = text.chars().any(char::is_control);
    let plain = !text.is_empty()
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '\\')
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "\\_-.".contains(letter))
        && !["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"]
            .contains(&text.to_ascii_lowercase().as_str());
    match choices.weighted(&[4, 2, 1]) {
        1 if plain => text.to_owned(),
        0 | 1 if !control => format!("'{}'", text.replace('\'', "''")),
        _ => {
            let mut quoted = String::from("\"");
            for letter in text.chars() {
                match letter {
                    '\\' | '"' => quoted.extend(['\\', letter]),
                    '\n' => quoted += "\\n",
                    letter => quoted.push(letter),
                }
            }
            quoted + "\""
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_as_sigma_says() {
        use Piece::{Any, Char, One};
        let plainest = |pieces: &[Piece]| escape(&mut Choices::replayed(vec![]), pieces);
        assert_eq!(plainest(&[Char('\\'), Char('a'), Any, One]), r"\a*?");
        assert_eq!(plainest(&[Char('*'), Char('?'), Char('\\')]), r"\*\?\");
        assert_eq!(plainest(&[Char('\\'), Any]), r"\\*", "a backslash, then anything");
        assert_eq!(plainest(&[Char('\\'), Char('*')]), r"\\\*", "a backslash, then a star");
        assert_eq!(plainest(&[Char('\\'), Char('\\')]), r"\\\", "two backslashes");
    }

    #[test]
    fn quotes_as_yaml_says() {
        let all = |text: &str| -> Vec<String> {
            [0, 4, 6].map(|way| quote(&mut Choices::replayed(vec![way]), text)).to_vec()
        };
        assert_eq!(all("a'b"), ["'a''b'", "'a''b'", "\"a'b\""]);
        assert_eq!(all(r"\pipe"), [r"'\pipe'", r"\pipe", r#""\\pipe""#]);
        assert_eq!(all("\n"), ["\"\\n\""; 3]);
        assert_eq!(all("null")[1], "'null'");
    }
}
