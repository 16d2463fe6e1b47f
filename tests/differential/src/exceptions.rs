//! Where the other engine differs on purpose, or errs: what the generators keep away from.

use channel_format::schema::{Field, Truth};

use crate::event::{Event, Given};

/// A case in which compiled files and `rsigma-eval` differ.
#[derive(Clone, Debug)]
pub struct Exception {
    /// What it is about.
    pub name: &'static str,
    /// Why the two differ, and why ours is meant.
    pub why: &'static str,
    /// The rule, from behind `detection:` to its end.
    pub rule: &'static str,
    /// The event's fields.
    pub event: &'static [(Field, Input)],
    /// What the compiled file says.
    pub compiled: Truth,
    /// What the other engine says; `None` if it refuses the rule.
    pub sigma: Option<Truth>,
}

/// An input that can be written down here.
#[derive(Clone, Copy, Debug)]
pub enum Input {
    /// Text.
    Text(&'static str),
    /// A number.
    Number(u64),
    /// Nothing.
    Absent,
}

impl Exception {
    /// The event: a pipe created, with these fields.
    pub fn event(&self) -> Event {
        self.event.iter().fold(Event::of(1), |event, (field, input)| {
            event.with(
                *field,
                match input {
                    Input::Text(text) => Given::text(text),
                    Input::Number(number) => Given::Number(*number),
                    Input::Absent => Given::Absent,
                },
            )
        })
    }
}

/// Every exception.
pub const EXCEPTIONS: &[Exception] = &[
    Exception {
        name: "letters that NT does not upcase",
        why: "NT compares by its upcase table, which leaves the Kelvin sign alone; Unicode's \
              lower case of it is k",
        rule: "    s: {PipeName: 'k'}\n    condition: s\n",
        event: &[(Field::PipeName, Input::Text("\u{212a}"))],
        compiled: Truth::False,
        sigma: Some(Truth::True),
    },
    Exception {
        name: "letters that NT does not upcase, beside a wildcard",
        why: "Unicode's case folding takes the long s for an s; NT's table does not",
        rule: "    s: {PipeName: 's?'}\n    condition: s\n",
        event: &[(Field::PipeName, Input::Text("ſx"))],
        compiled: Truth::False,
        sigma: Some(Truth::True),
    },
    Exception {
        name: "letters whose lower case is longer",
        why: "NT maps unit by unit; Unicode's lower case of İ is an i and a dot",
        rule: "    s: {PipeName|contains: 'i'}\n    condition: s\n",
        event: &[(Field::PipeName, Input::Text("İ"))],
        compiled: Truth::False,
        sigma: Some(Truth::True),
    },
    Exception {
        name: "the final sigma",
        why: "Unicode's lower case of Σ depends on its place in the word; NT's table does not",
        rule: "    s: {PipeName: 'ΑΣ'}\n    condition: s\n",
        event: &[(Field::PipeName, Input::Text("ασ"))],
        compiled: Truth::True,
        sigma: Some(Truth::False),
    },
    Exception {
        name: "case beyond the basic plane",
        why: "NT's table ends at U+FFFF",
        rule: "    s: {PipeName: '𐐨'}\n    condition: s\n",
        event: &[(Field::PipeName, Input::Text("𐐀"))],
        compiled: Truth::False,
        sigma: Some(Truth::True),
    },
    Exception {
        name: "wildcards and line breaks",
        why: "Sigma's * stands for any characters; the other engine makes it a regular \
              expression in which . is no line break",
        rule: "    s: {PipeName: 'a*b'}\n    condition: s\n",
        event: &[(Field::PipeName, Input::Text("a\nb"))],
        compiled: Truth::True,
        sigma: Some(Truth::False),
    },
    Exception {
        name: "wildcards in startswith",
        why: "the other engine anchors such a value at the end of the text in place of its start",
        rule: "    s: {PipeName|startswith: 'a?'}\n    condition: s\n",
        event: &[(Field::PipeName, Input::Text("abc"))],
        compiled: Truth::True,
        sigma: Some(Truth::False),
    },
    Exception {
        name: "wildcards in endswith",
        why: "the other engine anchors such a value at the start of the text in place of its end",
        rule: "    s: {PipeName|endswith: 'a?'}\n    condition: s\n",
        event: &[(Field::PipeName, Input::Text("cab"))],
        compiled: Truth::True,
        sigma: Some(Truth::False),
    },
    Exception {
        name: "null among other values",
        why: "a list is an or of its values; the other engine looks for null only where it \
              stands alone",
        rule: "    s: {Image: [null, 'a']}\n    condition: s\n",
        event: &[(Field::PipeName, Input::Text("a"))],
        compiled: Truth::True,
        sigma: Some(Truth::False),
    },
    Exception {
        name: "exists with several values",
        why: "a list is an or of its values; the other engine reads the first alone",
        rule: "    s: {PipeName|exists: [false, true], ProcessId: 4}\n    condition: s\n",
        event: &[(Field::PipeName, Input::Text("a")), (Field::ProcessId, Input::Number(4))],
        compiled: Truth::True,
        sigma: Some(Truth::False),
    },
    Exception {
        name: "all of one value",
        why: "all values of a list of one is that one; the other engine refuses it",
        rule: "    s: {PipeName|contains|all: 'a'}\n    condition: s\n",
        event: &[(Field::PipeName, Input::Text("a"))],
        compiled: Truth::True,
        sigma: None,
    },
    Exception {
        name: "numbers written otherwise",
        why: "a number field is compared by number, however the rule spells it; the other engine \
              compares what is in quotes as text",
        rule: "    s: {ProcessId: '004'}\n    condition: s\n",
        event: &[(Field::ProcessId, Input::Number(4))],
        compiled: Truth::True,
        sigma: Some(Truth::False),
    },
    Exception {
        name: "large numbers",
        why: "numbers here have 64 bits; the other engine's are doubles, exact up to 2^53",
        rule: "    s: {ProcessId: 9007199254740993}\n    condition: s\n",
        event: &[(Field::ProcessId, Input::Number(9_007_199_254_740_992))],
        compiled: Truth::False,
        sigma: Some(Truth::True),
    },
    Exception {
        name: "flags within a pattern",
        why: "the other engine takes a pattern that starts with a group of flags for one that \
              ignores case throughout, and gives it the text in lower case",
        rule: "    s: {PipeName|re: ['(?i:a)B', '(?i)x']}\n    condition: s\n",
        event: &[(Field::PipeName, Input::Text("AB"))],
        compiled: Truth::True,
        sigma: Some(Truth::False),
    },
    Exception {
        name: "an event that is no operation on a pipe",
        why: "rules of this category judge pipes created and connected; the other engine leaves \
              the category to whoever sends the event",
        rule: "    s: {PipeName: 'a'}\n    condition: s\n",
        event: &[(Field::Operation, Input::Absent), (Field::PipeName, Input::Text("a"))],
        compiled: Truth::False,
        sigma: Some(Truth::True),
    },
    Exception {
        name: "what `saker` says",
        why: "`on` is ours",
        rule: "    s: {PipeName: 'a'}\n    condition: s\nsaker: {on: connected}\n",
        event: &[(Field::PipeName, Input::Text("a"))],
        compiled: Truth::False,
        sigma: Some(Truth::True),
    },
    Exception {
        name: "text longer than is looked at",
        why: "text beyond 1,024 units is unknown here",
        rule: "    s: {PipeName|startswith: 'a'}\n    condition: s\n",
        event: &[(Field::PipeName, Input::Text(TOO_LONG))],
        compiled: Truth::Unknown,
        sigma: Some(Truth::True),
    },
];

const TOO_LONG: &str = match str::from_utf8(&[b'a'; 1_025]) {
    Ok(text) => text,
    Err(_) => "",
};
