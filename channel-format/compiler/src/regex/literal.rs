//! The literal of a pattern: text that everything it accepts holds, from which a search starts.
//!
//! A pattern is taken apart into the ways of its alternations where that gives each way a literal:
//! `\\(foo|bar)_[0-9]` has none of its own, `\\foo_[0-9]` and `\\bar_[0-9]` have.

use channel_format::engine::fold::fold;
use channel_format::engine::regex::ANY_LEAD;
use channel_format::engine::scan::ODD_UNITS;
use channel_format::limits::MAX_LITERAL_UNITS;
use regex_syntax::hir::{Class, Hir, HirKind, Repetition};
use rsigma_parser::value::{SpecialChar, StringPart};

/// A literal of this length is long enough: a longer one is met hardly less often.
const LONG_ENOUGH: usize = 5;
/// A shorter one is met by most events.
const SHORTEST: usize = 2;
/// Ways that a pattern is taken apart into at most.
const MAX_WAYS: usize = 16;

/// A literal, folded, and the most units that a match may have before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Literal {
    pub(super) units: Vec<u16>,
    pub(super) lead: u16,
}

impl Literal {
    /// No literal: the search starts at the text's beginning.
    pub(super) const NONE: Self = Self { units: Vec::new(), lead: ANY_LEAD };

    /// How good it is to start from.
    fn rank(&self) -> usize {
        let length = self.units.len().min(2 * LONG_ENOUGH);
        if self.lead == ANY_LEAD { length.saturating_sub(1) } else { length }
    }
}

/// The ways of a pattern, which together mean the same, each with its literal.
pub(super) fn ways(hir: &Hir) -> Vec<(Hir, Literal)> {
    let mut ways = vec![flatten(hir)];
    while worst(&ways) < LONG_ENOUGH {
        let better = (0..ways.len()).find_map(|place| {
            let split = split(&ways[place])?;
            if ways.len() + split.len() > MAX_WAYS + 1 {
                return None;
            }
            let gains = worst(&split) > literal(&ways[place]).rank();
            gains.then_some((place, split))
        });
        let Some((place, split)) = better else { break };
        ways.splice(place..=place, split);
    }
    let with_literal = |way: Vec<Hir>| {
        let literal = literal(&way);
        (Hir::concat(way), literal)
    };
    ways.into_iter().map(with_literal).collect()
}

/// The literal of a text with wildcards.
pub(super) fn of_wildcards(parts: &[StringPart]) -> Literal {
    let mut runs = Runs::default();
    for part in parts {
        match part {
            StringPart::Plain(text) => {
                for unit in text.encode_utf16() {
                    runs.take(folded(unit), Some(1));
                }
            }
            // One character has at most two units.
            StringPart::Special(SpecialChar::WildcardSingle) => runs.take(None, Some(2)),
            StringPart::Special(SpecialChar::WildcardMulti) => runs.take(None, None),
        }
    }
    runs.best()
}

fn worst(ways: &[Vec<Hir>]) -> usize {
    ways.iter().map(|way| literal(way).rank()).min().unwrap_or(0)
}

/// The parts of a pattern in their order, without the groups around them.
fn flatten(hir: &Hir) -> Vec<Hir> {
    match hir.kind() {
        HirKind::Concat(parts) => parts.iter().flat_map(flatten).collect(),
        HirKind::Capture(capture) => flatten(&capture.sub),
        HirKind::Empty => vec![],
        _ => vec![hir.clone()],
    }
}

/// Takes the first alternation apart.
fn split(way: &[Hir]) -> Option<Vec<Vec<Hir>>> {
    let place = way.iter().position(|part| matches!(part.kind(), HirKind::Alternation(_)))?;
    let HirKind::Alternation(alternatives) = way[place].kind() else { return None };
    let (before, behind) = (&way[..place], &way[place + 1..]);
    let one = |alternative: &Hir| [before, &flatten(alternative), behind].concat();
    Some(alternatives.iter().map(one).collect())
}

fn literal(way: &[Hir]) -> Literal {
    let mut runs = Runs::default();
    for part in way {
        match part.kind() {
            HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
                Ok(text) => text.encode_utf16().for_each(|unit| runs.take(folded(unit), Some(1))),
                Err(_) => runs.take(None, Some(literal.0.len())),
            },
            HirKind::Class(class) => runs.take(one_letter(class), part.properties().maximum_len()),
            HirKind::Repetition(repetition) => repeated(repetition, part, &mut runs),
            // Nothing is taken there, but what stands around it need not.
            HirKind::Look(_) => runs.take(None, Some(0)),
            // A text has no more units than bytes in UTF-8.
            _ => runs.take(None, part.properties().maximum_len()),
        }
    }
    runs.best()
}

/// A letter that must stand there so many times, or anything else that is repeated.
fn repeated(repetition: &Repetition, whole: &Hir, runs: &mut Runs) {
    let letter = match repetition.sub.kind() {
        HirKind::Literal(literal) => match std::str::from_utf8(&literal.0).ok() {
            Some(text) if text.len() == 1 => text.encode_utf16().next().and_then(folded),
            _ => None,
        },
        HirKind::Class(class) => one_letter(class),
        _ => None,
    };
    let most = whole.properties().maximum_len();
    let Some(letter) = letter else { return runs.take(None, most) };
    for _ in 0..repetition.min {
        runs.take(Some(letter), repetition.sub.properties().maximum_len());
    }
    if repetition.max != Some(repetition.min) {
        runs.take(None, most);
    }
}

/// Collects runs of units that must follow one another.
#[derive(Default)]
struct Runs {
    best: Option<Literal>,
    run: Vec<u16>,
    /// The most units before the run; none if there is no bound.
    lead: Option<usize>,
    /// The most units so far.
    taken: Option<usize>,
    begun: bool,
}

impl Runs {
    /// Takes one unit that is known, or something of at most `length` units.
    fn take(&mut self, unit: Option<u16>, length: Option<usize>) {
        if !self.begun {
            (self.begun, self.lead, self.taken) = (true, Some(0), Some(0));
        }
        if unit.is_none() || self.run.len() >= MAX_LITERAL_UNITS as usize {
            self.end();
        }
        self.run.extend(unit);
        self.taken = self.taken.zip(length).map(|(taken, length)| taken + length);
        if unit.is_none() {
            self.lead = self.taken;
        }
    }

    fn end(&mut self) {
        let lead = self.lead.and_then(|lead| u16::try_from(lead).ok()).unwrap_or(ANY_LEAD);
        let found = Literal { units: std::mem::take(&mut self.run), lead };
        if self.best.as_ref().is_none_or(|best| best.rank() < found.rank()) {
            self.best = Some(found);
        }
        self.lead = self.taken;
    }

    fn best(mut self) -> Literal {
        self.end();
        self.best.filter(|best| best.units.len() >= SHORTEST).unwrap_or(Literal::NONE)
    }
}

/// What a unit is sought as; none for those that are taken for others.
fn folded(unit: u16) -> Option<u16> {
    let odd = ODD_UNITS.iter().any(|(odd, _)| *odd == unit);
    (!odd).then(|| fold(unit))
}

/// The unit that every member of a class is sought as, if it is one.
fn one_letter(class: &Class) -> Option<u16> {
    let Class::Unicode(class) = class else { return None };
    let letters = class.iter().flat_map(|range| range.start()..=range.end());
    let mut common = None;
    for letter in letters.take(5) {
        let unit = u16::try_from(u32::from(letter)).ok()?;
        let odd = ODD_UNITS.iter().find(|(odd, _)| *odd == unit);
        let sought = odd.map_or_else(|| fold(unit), |(_, letter)| *letter);
        if *common.get_or_insert(sought) != sought {
            return None;
        }
    }
    let members: u32 =
        class.iter().map(|range| u32::from(range.end()) - u32::from(range.start()) + 1).sum();
    common.filter(|_| members <= 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ways' literals, with their leads.
    fn literals(pattern: &str) -> Vec<(String, u16)> {
        let hir = regex_syntax::Parser::new().parse(pattern).unwrap();
        let text = |(_, literal): (Hir, Literal)| {
            (String::from_utf16(&literal.units).unwrap(), literal.lead)
        };
        ways(&hir).into_iter().map(text).collect()
    }

    #[test]
    fn finds_the_longest_run() {
        for (pattern, literal, lead) in [
            (r"\\foo_?[0-9a-f]{2}", r"\FOO", 0),
            (r"^\\mojo\.\d+\.x$", r"\MOJO.", 0),
            (r"\\[a-z]{4}wkssvc[0-9]+", "WKSSVC", 5),
            (r"(?i)\\postex_ssh_[0-9a-f]{4}", r"\POSTEX_SSH_", 0),
            (r"a.*longer", "LONGER", ANY_LEAD),
            (r"é\d😀x", "😀X", 1 + 4),
            // Nothing is sought under a letter that others are taken for.
            ("aſbcd", "BCD", 2),
            ("(?i)a\u{212a}b", "AKB", 0),
            (r"[ab]x[cd]", "", ANY_LEAD),
            (r"^\\A{4,}b", r"\AAAA", 0),
            (r"(?i)ba{2}b?x", "BAA", 0),
            (r"a{0,3}bc{2}d", "BCCD", 3),
        ] {
            assert_eq!(literals(pattern), [(literal.to_owned(), lead)], "{pattern}");
        }
    }

    #[test]
    fn takes_alternations_apart_where_that_helps() {
        let of = |pattern: &str| -> Vec<String> {
            literals(pattern).into_iter().map(|(literal, _)| literal).collect()
        };
        assert_eq!(of(r"\\(?:paexec|remcom)_[0-9]"), [r"\PAEXEC_", r"\REMCOM_"]);
        assert_eq!(of(r"name|other[0-9]"), ["NAME", "OTHER"]);
        assert_eq!(of(r"status_(a|b)[0-9]"), ["STATUS_"], "it has one of its own");
        assert_eq!(of(r"(aa|[0-9])x"), [""], "one way has none");
        let many = format!("({})z", ["word"; 40].join("1|"));
        assert_eq!(of(&many).len(), 1, "too many ways");
    }
}
