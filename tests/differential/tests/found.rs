//! What these tests have found, made small.

mod common;

use channel_format::schema::{Field, Truth};
use differential::event::{Event, Given};

/// The plain value alone was compiled to "the name is empty", which a name of that spelling is not.
#[test]
fn the_word_for_no_name_fits_itself() {
    let event = |name: &str| Event::of(1).with(Field::PipeName, Given::text(name));
    for value in ["'<Anonymous Pipe>'", "'<anonymous pipe>'"] {
        let rule = format!("    s: {{PipeName: {value}}}\n    condition: s\n");
        assert_eq!(common::verdict(&rule, &event("")), Truth::True);
        assert_eq!(common::verdict(&rule, &event("<Anonymous Pipe>")), Truth::True);
        assert_eq!(common::verdict(&rule, &event(r"\a")), Truth::False);
    }
}

/// `*` asks whether there is a value, of whatever kind; the naive reference wanted text.
#[test]
fn a_star_fits_what_is_no_text() {
    let event = Event::of(1).with(Field::PipeName, Given::Number(17));
    let verdict =
        |item: &str| common::verdict(&format!("    s: {{{item}}}\n    condition: s\n"), &event);
    for item in ["PipeName: '*'", "PipeName: '**'", "PipeName|contains: ''"] {
        assert_eq!(verdict(item), Truth::True, "{item}");
    }
    for item in ["PipeName: ''", "PipeName: '?*'", "PipeName|re: ''"] {
        assert_eq!(verdict(item), Truth::Unknown, "{item}");
    }
}
