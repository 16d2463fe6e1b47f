//! The words that the rules and events of one batch share, so that matches are common.

use crate::Side;
use crate::choices::Choices;

/// Words on which both sides agree, whatever the comparison.
const WORDS: [&str; 30] = [
    "a",
    "b",
    "ab",
    "B",
    "pipe",
    r"\",
    "PIPE",
    r"\pipe",
    "aba",
    ".exe",
    "x.y",
    "0",
    r"C:\Windows\",
    r"\\",
    "svchost",
    "é",
    "É",
    "😀",
    "*",
    "?",
    "MSSE-",
    "-server",
    " ",
    "я",
    "世",
    "'",
    "\"",
    "postex_",
    "<Anonymous Pipe>",
    "𝄞",
];

/// Words that the two sides of [`Side::Sigma`] fold, or treat, differently on purpose.
const SPECIAL: [&str; 16] = [
    "ſ",
    "K",
    "ı",
    "İ",
    "µ",
    "ß",
    "ẞ",
    "Σ",
    "σ",
    "ς",
    "ǅ",
    "ﬁ",
    "𐐨",
    "𐐀",
    "\n",
    "<anonymous PIPE>",
];

/// The words of one batch.
#[derive(Clone, Debug)]
pub struct Words {
    words: Vec<&'static str>,
}

impl Words {
    /// Some of the words.
    pub fn choose(choices: &mut Choices, side: Side) -> Self {
        let count = choices.between(4, 12);
        let words = (0..count)
            .map(|_| {
                let special = side == Side::Naive && choices.chance(1, 5);
                choices.pick(if special { &SPECIAL[..] } else { &WORDS[..] })
            })
            .collect();
        Self { words }
    }

    /// One of the words.
    pub fn pick(&self, choices: &mut Choices) -> &'static str {
        choices.pick(&self.words)
    }

    /// Up to that many words, one behind the other.
    pub fn glue(&self, choices: &mut Choices, most: usize) -> String {
        (0..choices.below(most + 1)).map(|_| self.pick(choices)).collect()
    }
}
