//! Regular expressions and wildcards to automata over UTF-16 code units.
//!
//! A pattern becomes a nondeterministic automaton ([`nfa`]), that a deterministic one by subset
//! construction ([`dfa`]), and that the tables of `channel_format::engine::regex`. A pattern that
//! explodes on the way is refused at the limits of the format.
//!
//! # What a pattern means
//! The syntax and the meaning are those of the `regex` crate: unanchored, case-sensitive unless
//! asked otherwise. One character is one code point, whether one code unit or a surrogate pair. A
//! class that spans the surrogate gap, as `.` and negated classes do, also takes one surrogate
//! that is no part of a pair.

pub(crate) mod dfa;
mod literal;
mod nfa;
#[cfg(test)]
mod tests;

use rsigma_parser::value::{SpecialChar, StringPart};

pub(crate) use dfa::Automaton;

/// Flags of a regular expression, as Sigma's sub-modifiers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Flags {
    pub(crate) ignore_case: bool,
    pub(crate) multi_line: bool,
    pub(crate) dot_all: bool,
}

/// Builds the automata of a regular expression, one of which accepts what it matches; says why not,
/// and what to do.
pub(crate) fn compile(pattern: &str, flags: Flags) -> Result<Vec<Automaton>, (String, String)> {
    let hir = regex_syntax::ParserBuilder::new()
        .case_insensitive(flags.ignore_case)
        .multi_line(flags.multi_line)
        .dot_matches_new_line(flags.dot_all)
        .nest_limit(100)
        .build()
        .parse(pattern)
        .map_err(|error| {
            let help = "look-around and back references are not regular; write the pattern \
                        without them";
            (format!("not a regular expression: {error}"), help.to_owned())
        })?;
    let ways = literal::ways(&hir).into_iter();
    ways.map(|(way, literal)| dfa::build(&nfa::from_hir(&way)?, false, literal)).collect()
}

/// Builds the automaton of a text with wildcards, which the whole of a field must fit.
pub(crate) fn compile_wildcards(
    parts: &[StringPart],
    cased: bool,
) -> Result<Automaton, (String, String)> {
    dfa::build(&nfa::from_wildcards(parts, cased)?, !cased, literal::of_wildcards(parts))
}

/// True if the part is `*`.
pub(crate) fn is_star(part: &StringPart) -> bool {
    matches!(part, StringPart::Special(SpecialChar::WildcardMulti))
}
