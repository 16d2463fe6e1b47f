//! Generated rules: real Sigma YAML in the mix that published pipe rules have.
//!
//! | of a hundred rules | |
//! |---|---|
//! | 35 · 30 · 10 · 15 · 10 | compare by equals · startswith · endswith · contains · a regular expression |
//! | 12 | look at the image, the others at the pipe's name |
//! | 25 | have a filter: `selection and not 1 of filter_main_*` |
//! | 10 | also want an image |
//! | 10 | also test a number |
//! | 25 | have two to five values, the others one |

use std::fmt::Write as _;

use super::events::{BENIGN_HEADS, PROGRAMS};
use super::names::{name, word, words};
use super::random::Random;
use super::{CorpusRule, Sample};

/// How the rule's main line compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equals,
    StartsWith,
    EndsWith,
    Contains,
    Regex,
}

/// Makes the next rule.
pub fn rule(random: &mut Random, number: usize) -> CorpusRule {
    let on_image = random.percent(12);
    let comparison = match random.below(100) {
        0..35 => Comparison::Equals,
        35..65 => Comparison::StartsWith,
        65..75 => Comparison::EndsWith,
        75..90 => Comparison::Contains,
        _ => Comparison::Regex,
    };
    let count = if random.percent(25) { 2 + random.below(4) } else { 1 };
    let all = comparison == Comparison::Contains && count > 1 && random.percent(20);
    let mut values = Vec::new();
    let mut fitting = Vec::new();
    for _ in 0..count {
        let (value, text) =
            if on_image { image_value(random, comparison) } else { pipe_value(random, comparison) };
        values.push(value);
        fitting.push(text);
    }

    let id = random.uuid();
    let mut yaml = format!(
        "title: Generated rule {number}, {} {}\nid: {id}\nstatus: test\nlogsource:\n    product: windows\
         \n    category: pipe_created\ndetection:\n    selection:\n",
        word(random),
        word(random)
    );
    let field = if on_image { "Image" } else { "PipeName" };
    let all_modifier = if all { "|all" } else { "" };
    list(&mut yaml, &format!("{field}{}{all_modifier}", modifier(comparison)), &values);
    // Only rules on the pipe's name can want an image too: ten of the eighty-eight in a hundred.
    if !on_image && random.below(88) < 10 {
        let folders = [r":\Users\Public\".to_owned(), format!(r"\{}\", word(random))];
        list(&mut yaml, "Image|contains", &folders);
    }
    if random.percent(10) {
        yaml.push_str(random.pick(&[
            "        SessionId: 1\n",
            "        ProcessId|gt: 1000\n",
            "        ProcessId|lt: 20000\n",
        ]));
    }
    let filtered = random.percent(25);
    if filtered {
        filter(&mut yaml, random);
    }
    let rest = if filtered { " and not 1 of filter_main_*" } else { "" };
    let _ = write!(yaml, "    condition: selection{rest}\nlevel: high\n");

    let text = if all { format!(r"\{}", fitting.concat()) } else { fitting.swap_remove(0) };
    let sample = if on_image {
        Sample { pipe: format!(r"\{}", random.uuid()), image: text }
    } else {
        Sample { pipe: text, image: format!(r"C:\Users\Public\{}.exe", name(random)) }
    };
    CorpusRule { id, yaml, samples: vec![sample] }
}

const fn modifier(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equals => "",
        Comparison::StartsWith => "|startswith",
        Comparison::EndsWith => "|endswith",
        Comparison::Contains => "|contains",
        Comparison::Regex => "|re|i",
    }
}

/// A value on the pipe's name, and a name that fits it.
fn pipe_value(random: &mut Random, comparison: Comparison) -> (String, String) {
    let name = name(random);
    match comparison {
        Comparison::Equals => {
            let value = match random.below(100) {
                0..10 => format!(r"{}{name}", random.pick(BENIGN_HEADS)),
                10..22 => format!(r"\{}", random.uuid()),
                _ => format!(r"\{name}"),
            };
            (value.clone(), value)
        }
        Comparison::StartsWith => {
            let head = if random.percent(15) { random.pick(BENIGN_HEADS) } else { r"\" };
            let value = format!("{head}{name}");
            (value.clone(), format!("{value}{}", random.decimal(4)))
        }
        Comparison::EndsWith => {
            let value = format!("{}{name}", random.pick(&["-", "_", ".", r"\"]));
            (value.clone(), format!(r"\{}{value}", random.hex(6)))
        }
        Comparison::Contains => {
            let value = if random.percent(50) { format!(r"\{name}") } else { name };
            (value.clone(), format!(r"\a{value}-1"))
        }
        Comparison::Regex => pipe_regex(random, &name),
    }
}

fn pipe_regex(random: &mut Random, name: &str) -> (String, String) {
    let escaped = regex_syntax::escape(name);
    match random.below(6) {
        0 => (format!(r"^\\{escaped}_?[0-9a-f]{{2,4}}$"), format!(r"\{name}_{}", random.hex(3))),
        1 => (format!(r"\\{escaped}[-_.][0-9]{{3,5}}"), format!(r"\{name}-{}", random.decimal(4))),
        2 => (
            format!(r"^\\{escaped}-(?:in|out|err)[0-9a-f]{{4}}$"),
            format!(r"\{name}-out{}", random.hex(4)),
        ),
        3 => (format!(r"{escaped}\.[0-9]+\.[0-9]+"), format!(r"\a{name}.12.{}", random.decimal(3))),
        4 => {
            let second = words(random);
            (format!(r"{escaped}.{{0,8}}{second}"), format!(r"\{name}-1-{second}"))
        }
        _ => (format!(r"\\[a-z]{{4}}{escaped}[0-9]+"), format!(r"\qwer{name}77")),
    }
}

/// A value on the image, and a path that fits it.
fn image_value(random: &mut Random, comparison: Comparison) -> (String, String) {
    let name = name(random);
    match comparison {
        Comparison::Equals => {
            let value = format!(r"C:\Users\Public\{name}.exe");
            (value.clone(), value)
        }
        Comparison::StartsWith => {
            let value = format!(r"C:\ProgramData\{}\{name}", word(random));
            (value.clone(), format!(r"{value}\run.exe"))
        }
        Comparison::EndsWith => {
            let value = format!(r"\{name}.exe");
            (value.clone(), format!(r"C:\Temp{value}"))
        }
        Comparison::Contains => {
            let value = format!(r"\{name}\");
            (value.clone(), format!(r"C:\Tools{value}run.exe"))
        }
        Comparison::Regex => (
            format!(r"\\{}[0-9]{{2}}\.exe$", regex_syntax::escape(&name)),
            format!(r"C:\Temp\{name}{}.exe", random.decimal(2)),
        ),
    }
}

/// What a rule leaves out: programs that are known to do the same.
fn filter(yaml: &mut String, random: &mut Random) {
    let (folder, program) = split(random.pick(PROGRAMS));
    yaml.push_str("    filter_main_known:\n");
    match random.below(3) {
        0 => {
            let programs = [format!(r"\{program}"), format!(r"\{}.exe", words(random))];
            list(yaml, "Image|endswith", &programs);
        }
        1 => list(yaml, "Image|startswith", &[format!(r"{folder}\")]),
        _ => {
            list(yaml, "PipeName|endswith", &[format!("-{}", word(random))]);
            yaml.push_str("    filter_main_folder:\n");
            list(yaml, "Image|contains", &[format!(r"{}\", &folder[2..])]);
        }
    }
}

/// The folder and the name of a path.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('\\').unwrap_or(("", path))
}

/// Writes a key with its values.
fn list(yaml: &mut String, key: &str, values: &[String]) {
    if let [value] = values {
        let _ = writeln!(yaml, "        {key}: '{value}'");
        return;
    }
    let _ = writeln!(yaml, "        {key}:");
    for value in values {
        let _ = writeln!(yaml, "            - '{value}'");
    }
}
