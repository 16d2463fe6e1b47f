//! Sigma's wildcards and escapes, by a table written by hand from its specification. All three
//! judges must say the same.

mod common;

use channel_format::schema::{Field, Truth};
use differential::event::{Event, Given};

#[test]
fn values_mean_what_sigma_says() {
    let table: [(&str, &[&str], &[&str]); 16] = [
        // A backslash before any other character is itself.
        (r"\pipe", &[r"\pipe", r"\PIPE"], &["pipe", r"\\pipe"]),
        // Doubled it is one.
        (r"\\pipe", &[r"\pipe"], &["pipe", r"\\pipe"]),
        (r"\\\\srv", &[r"\\srv"], &[r"\srv", r"\\\\srv"]),
        (r"a\", &[r"a\"], &["a", r"a\\"]),
        (r"a\\", &[r"a\"], &["a", r"a\\"]),
        // Wildcards.
        ("a*", &["a", "ab", "a😀b"], &["", "ba"]),
        ("*", &["", "a"], &[]),
        ("a**b", &["ab", "axb"], &["a", "axbx"]),
        ("a?", &["ab", "aé", "a😀", "a?"], &["a", "abc"]),
        ("a??", &["abc", "a😀c"], &["a😀", "ab"]),
        // A wildcard with a backslash before it is a character.
        (r"a\*", &["a*"], &["a", "ab", r"a\b", r"a\*"]),
        (r"a\?", &["a?"], &["ab", r"a\?"]),
        // A doubled backslash leaves the wildcard one.
        (r"a\\*", &[r"a\", r"a\b", r"a\*"], &["a*", "ab"]),
        (r"a\\?", &[r"a\b"], &[r"a\", "a?"]),
        // Both escaped.
        (r"a\\\*", &[r"a\*"], &[r"a\", r"a\b", "a*"]),
        // Nothing is nothing.
        ("", &[""], &["a", " "]),
    ];
    for (value, fitting, other) in table {
        let rule = format!("    s: {{Image: '{value}'}}\n    condition: s\n");
        let texts = fitting.iter().map(|text| (text, Truth::True));
        for (text, expected) in texts.chain(other.iter().map(|text| (text, Truth::False))) {
            let event = Event::of(1).with(Field::ImagePath, Given::text(text));
            assert_eq!(common::verdict(&rule, &event), expected, "{value} {text}");
            assert_eq!(common::sigma_verdict(&rule, &event), Some(expected), "{value} {text}");
        }
    }
}
