//! Regular expressions with a sample of what they fit.

use crate::Side;
use crate::choices::Choices;
use crate::value::Piece;
use crate::words::Words;

/// A pattern, and the parts of a text that fits it.
pub fn regex(choices: &mut Choices, words: &Words, side: Side) -> (String, Vec<Piece>) {
    let mut regex = Regex { side, words, pattern: String::new(), sample: Vec::new() };
    if choices.chance(1, 4) {
        regex.pattern.push('^');
    }
    regex.sequence(choices, 0);
    if choices.chance(1, 4) {
        regex.pattern.push('$');
    }
    (regex.pattern, regex.sample)
}

struct Regex<'a> {
    side: Side,
    words: &'a Words,
    pattern: String,
    sample: Vec<Piece>,
}

impl Regex<'_> {
    fn sequence(&mut self, choices: &mut Choices, depth: usize) {
        for _ in 0..choices.between(1, 3) {
            self.part(choices, depth);
        }
    }

    fn part(&mut self, choices: &mut Choices, depth: usize) {
        let deeper = if depth < 2 { 1 } else { 0 };
        match choices.weighted(&[6, 1, 1, 2, 2 * deeper, deeper, deeper]) {
            0 => {
                let word = self.words.pick(choices);
                self.pattern += &escape(word);
                self.sample.extend(word.chars().map(Piece::Char));
            }
            1 => {
                self.pattern.push('.');
                self.sample.push(Piece::One);
            }
            2 => {
                self.pattern += choices.pick(&[".*", ".*?", "[^q]*"]);
                self.sample.push(Piece::Any);
            }
            3 => self.class(choices),
            4 => self.repeated(choices, depth),
            5 => self.alternatives(choices, depth),
            _ => {
                // Flags within a pattern are among the listed exceptions.
                let inline = self.side == Side::Naive && choices.chance(1, 2);
                self.pattern += if inline { choices.pick(&["(?i:", "(?s:"]) } else { "(?:" };
                self.sequence(choices, depth + 1);
                self.pattern.push(')');
            }
        }
    }

    fn class(&mut self, choices: &mut Choices) {
        let (class, member) = choices.pick(&[
            ("[ab]", 'a'),
            ("[^a]", 'b'),
            ("[a-f0-9]", '0'),
            (r"\d", '0'),
            (r"\s", ' '),
            (r"\S", 'a'),
            (r"\W", '\\'),
            (r"[\\/]", '\\'),
            ("[é世]", '世'),
            (r"[^\\]", '😀'),
            (r"\x{1f600}", '😀'),
            ("[a-z]", 'p'),
        ]);
        // Large classes make large automata.
        let large = choices.chance(1, 12);
        let (class, member) = if large { (r"\w", 'é') } else { (class, member) };
        self.pattern += class;
        self.sample.push(Piece::Char(member));
    }

    fn repeated(&mut self, choices: &mut Choices, depth: usize) {
        let (sign, times) =
            choices.pick(&[("?", 0), ("+", 2), ("*", 3), ("{2}", 2), ("{1,3}", 1), ("+?", 1)]);
        self.pattern += "(?:";
        let start = self.sample.len();
        // Repetitions within repetitions soon explode: a few are enough to see them refused.
        let deep = if choices.chance(1, 12) { 1 } else { 2 };
        self.sequence(choices, depth + deep);
        self.pattern += ")";
        self.pattern += sign;
        let body = self.sample.split_off(start);
        (0..times).for_each(|_| self.sample.extend_from_slice(&body));
    }

    fn alternatives(&mut self, choices: &mut Choices, depth: usize) {
        self.pattern.push('(');
        self.sequence(choices, depth + 1);
        let kept = self.sample.len();
        for _ in 0..choices.between(1, 2) {
            self.pattern.push('|');
            self.sequence(choices, depth + 1);
        }
        self.pattern.push(')');
        // The first alternative is the sample's.
        self.sample.truncate(kept);
    }
}

/// The word with a backslash before what means something in a pattern.
fn escape(word: &str) -> String {
    let mut escaped = String::new();
    for letter in word.chars() {
        if r"\.+*?()|[]{}^$".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}
