//! Which example of a file failed: a refusal has only its offset.

use channel_format::frame::Header;
use channel_format::refusal::Refusal;
use channel_format::ruleset::{DERIVED, EXPECT_TRUE, SectionKind, VALUE_NUMBER, VALUE_TEXT};
use channel_format::schema::{Field, SensorProfile};

use crate::content::unverified;
use crate::report::printable;

/// An example, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedExample {
    /// The rule's title.
    pub title: String,
    /// The rule's id.
    pub id: String,
    /// Which of the rule's examples, from 1.
    pub number: u32,
    /// Whether the rule must match it.
    pub matches: bool,
    /// Whether it was derived, and not written by the rule's author.
    pub derived: bool,
    /// Its values.
    pub event: String,
}

impl FailedExample {
    /// The example at the refusal's offset; `None` if there is none.
    pub fn find(file: &[u8], refusal: &Refusal) -> Option<Self> {
        let header = Header::parse(file).ok()?;
        let kind = SectionKind::Examples.number();
        let section = header.sections.iter().find(|section| section.kind == kind)?;
        let start = usize::try_from(section.offset).ok()?;
        let end = start.checked_add(usize::try_from(section.length).ok()?)?;
        let mut rest = Cursor { file: file.get(..end)?, at: start };
        let wanted = usize::try_from(refusal.offset).ok()?;
        let mut before = (u32::MAX, 0);
        while rest.at <= wanted {
            let at = rest.at;
            let (rule, expected, event) = rest.example()?;
            before = (rule, if before.0 == rule { before.1 + 1 } else { 1 });
            if at == wanted {
                let ruleset = unverified::ruleset(file, &SensorProfile::FULL).ok()?;
                let found = ruleset.rule(rule)?;
                return Some(Self {
                    title: printable(found.title),
                    id: printable(found.id),
                    number: before.1,
                    matches: expected & !DERIVED == EXPECT_TRUE,
                    derived: expected & DERIVED != 0,
                    event: printable(&event),
                });
            }
        }
        None
    }

    /// Whose it is, in a word before it.
    pub fn origin(&self) -> &'static str {
        if self.derived { "derived example" } else { "example" }
    }
}

/// What is left to read of the examples. The file has been accepted but for its examples' verdicts.
struct Cursor<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The next example: its rule, what is expected, and its values in words.
    fn example(&mut self) -> Option<(u32, u8, String)> {
        let rule = u32::from_le_bytes(*self.take(4)?.first_chunk()?);
        let [expected, count, _, _] = *self.take(4)?.first_chunk()?;
        let mut values = Vec::new();
        for _ in 0..count {
            let [field, kind, low, high] = *self.take(4)?.first_chunk()?;
            let length = usize::from(u16::from_le_bytes([low, high]));
            let bytes = self.take(if kind == VALUE_TEXT { length * 2 } else { length })?;
            let value = match kind {
                VALUE_TEXT => {
                    let pairs = bytes.as_chunks().0.iter();
                    let units: Vec<u16> = pairs.map(|unit| u16::from_le_bytes(*unit)).collect();
                    format!("`{}`", String::from_utf16_lossy(&units))
                }
                VALUE_NUMBER => u64::from_le_bytes(*bytes.first_chunk()?).to_string(),
                _ => "something else".to_owned(),
            };
            values.push(format!("{} {value}", Field::from_number(field.into())?.name()));
        }
        Some((rule, expected, values.join(", ")))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.file.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }
}
