//! Rules as an author would write them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::Side;
use crate::choices::Choices;
use crate::item::{Item, Items, Material};
use crate::words::Words;

/// Names of selections: some share their start or end, one is left out of `them`, some begin with
/// a word of the condition's own.
const NAMES: [&str; 10] = [
    "selection",
    "selection_pipe",
    "selection_image",
    "filter",
    "filter_main_pipe",
    "filter_image",
    "_hidden",
    "order",
    "notable",
    "all_of_it",
];

/// What `1 of` and `all of` may be followed by.
const PATTERNS: [&str; 7] =
    ["selection*", "selection_*", "filter*", "*_pipe", "*", "filter*_pipe", "them"];

/// A rule and what comes near it.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its identifier.
    pub id: String,
    /// Its text.
    pub yaml: String,
    /// What events are made from.
    pub material: Material,
}

/// Makes a rule; its id follows from its number, in order.
pub fn rule(choices: &mut Choices, words: &Words, side: Side, number: usize) -> Rule {
    let id = format!("{number:08x}-5a6b-4c7d-8e9f-{number:012x}");
    let mut items = Items { side, words, material: Material::default() };
    let mut names: Vec<&str> = Vec::new();
    let mut detection = String::new();
    for _ in 0..choices.between(1, 4) {
        let name = choices.pick(&NAMES);
        if !names.contains(&name) {
            names.push(name);
            let _ = writeln!(detection, "    {name}:");
            selection(choices, &mut items, &mut detection);
        }
    }
    let condition = conditions(choices, &names);
    // The driver's own words: the other engine does not know them.
    let saker = ["", "saker: {on: [created]}\n", "saker: {on: connected, action: block}\n"];
    let saker = if side == Side::Naive && choices.chance(1, 8) { choices.pick(&saker) } else { "" };
    let yaml = format!(
        "title: Rule {number}\nid: {id}\nlogsource:\n    product: windows\n    category: \
         pipe_created\ndetection:\n{detection}    condition:{condition}\n{saker}"
    );
    Rule { id, yaml, material: items.material }
}

/// A map, or a list of maps.
fn selection(choices: &mut Choices, items: &mut Items<'_>, text: &mut String) {
    let list = choices.chance(1, 3);
    for _ in 0..if list { choices.between(1, 3) } else { 1 } {
        let mut keys = BTreeSet::new();
        let mut lead = if list { "        - " } else { "        " };
        for _ in 0..choices.between(1, 3) {
            let item = items.item(choices);
            // A key stands once in a map.
            if keys.insert(item.key.clone()) {
                write_item(choices, &item, lead, text);
                lead = if list { "          " } else { "        " };
            }
        }
    }
}

fn write_item(choices: &mut Choices, Item { key, values }: &Item, lead: &str, text: &mut String) {
    // An empty value stands for null only where nothing follows it.
    let block = choices.chance(1, 2);
    let _ = match values.as_slice() {
        [one] if one.is_empty() || block => writeln!(text, "{lead}{key}: {one}"),
        _ if block => {
            let indent = " ".repeat(lead.len() + 2);
            let lines: String = values.iter().map(|v| format!("\n{indent}- {v}")).collect();
            writeln!(text, "{lead}{key}:{lines}")
        }
        _ => writeln!(text, "{lead}{key}: [{}]", values.join(", ")),
    };
}

/// One condition or two, which between them use every selection.
fn conditions(choices: &mut Choices, names: &[&str]) -> String {
    let mut used = BTreeSet::new();
    let first = expression(choices, names, 0, &mut used);
    let second = choices.chance(1, 6).then(|| expression(choices, names, 0, &mut used));
    let mut last = second.clone().unwrap_or_else(|| first.clone());
    for name in names.iter().filter(|name| !used.contains(**name)) {
        let join = choices.pick(&["or", "and", "and not", "or not"]);
        last = format!("({last}) {join} {name}");
    }
    match second {
        None => format!(" {last}"),
        Some(_) => format!("\n        - {first}\n        - {last}"),
    }
}

fn expression<'a>(
    choices: &mut Choices,
    names: &[&'a str],
    depth: usize,
    used: &mut BTreeSet<&'a str>,
) -> String {
    let deeper = if depth < 3 { 1 } else { 0 };
    match choices.weighted(&[4, 2, 2 * deeper, 2 * deeper, 2 * deeper]) {
        0 => {
            let name = choices.pick(names);
            used.insert(name);
            name.to_owned()
        }
        1 => {
            let pattern = choices.pick(&PATTERNS);
            let chosen: Vec<&str> =
                names.iter().copied().filter(|name| fits(name, pattern)).collect();
            used.extend(&chosen);
            match chosen.len() {
                // What fits nothing is refused.
                0 => expression(choices, names, 3, used),
                count if count > 1 && choices.chance(1, 6) => format!("{count} of {pattern}"),
                _ => format!("{} {pattern}", choices.pick(&["1 of", "all of", "any of"])),
            }
        }
        2 => {
            let inner = expression(choices, names, depth + 1, used);
            if inner.contains(' ') { format!("not ({inner})") } else { format!("not {inner}") }
        }
        way => {
            let word = if way == 3 { "and" } else { "or" };
            let left = expression(choices, names, depth + 1, used);
            let right = expression(choices, names, depth + 1, used);
            // Without parentheses, what binds tighter is for the parser to know.
            if choices.chance(1, 3) {
                format!("{left} {word} {right}")
            } else {
                format!("({left}) {word} ({right})")
            }
        }
    }
}

/// True if the pattern of a condition chooses the selection.
fn fits(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None if pattern == "them" => !name.starts_with('_'),
        None => name == pattern,
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
    }
}
