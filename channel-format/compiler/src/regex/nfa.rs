//! Nondeterministic automata over code units, with conditions on what stands beside a place.

use channel_format::engine::fold::fold;
use regex_syntax::hir::{Class, Hir, HirKind, Look};
use rsigma_parser::value::{SpecialChar, StringPart};

/// States beyond this are refused: a pattern like `(.{1,500}){1,500}`.
const MAX_STATES: usize = 20_000;

/// A sorted set of ranges of code units, both ends included.
pub(super) type UnitSet = Vec<(u16, u16)>;

/// A condition on what stands before or behind a place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// The text starts here.
    Start,
    /// The text ends here.
    End,
    /// A line starts here.
    LineStart,
    /// A line ends here.
    LineEnd,
    /// The unit before is no high surrogate.
    NoHighBefore,
    /// The unit behind is no low surrogate.
    NoLowBehind,
}

/// One state.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// Take one unit of a set and go on.
    Units(usize, usize),
    /// Go on in any of these ways.
    Split(Vec<usize>),
    /// Go on if the condition holds.
    Beside(Beside, usize),
    /// The text is accepted.
    Accept,
}

/// An automaton. State 0 accepts.
#[derive(Clone, Debug)]
pub(super) struct Nfa {
    pub(super) states: Vec<State>,
    pub(super) sets: Vec<UnitSet>,
    pub(super) start: usize,
}

type Built<T> = Result<T, (String, String)>;

pub(super) fn from_hir(hir: &Hir) -> Built<Nfa> {
    let mut nfa = Nfa::new();
    nfa.start = nfa.hir(hir, 0)?;
    Ok(nfa)
}

pub(super) fn from_wildcards(parts: &[StringPart], cased: bool) -> Built<Nfa> {
    let mut nfa = Nfa::new();
    let mut next = nfa.add(State::Beside(Beside::End, 0))?;
    for part in parts.iter().rev() {
        next = match part {
            StringPart::Plain(text) => {
                for unit in text.encode_utf16().collect::<Vec<_>>().into_iter().rev() {
                    let unit = if cased { unit } else { fold(unit) };
                    next = nfa.units(vec![(unit, unit)], next)?;
                }
                next
            }
            StringPart::Special(SpecialChar::WildcardSingle) => {
                nfa.class(&[(0, 0x10_ffff)], next)?
            }
            StringPart::Special(SpecialChar::WildcardMulti) => {
                // Any units at all: no need to keep pairs together.
                let again = nfa.add(State::Split(Vec::new()))?;
                let any = nfa.units(vec![(0, u16::MAX)], again)?;
                nfa.states[again] = State::Split(vec![any, next]);
                again
            }
        };
    }
    nfa.start = nfa.add(State::Beside(Beside::Start, next))?;
    Ok(nfa)
}

impl Nfa {
    fn new() -> Self {
        Self { states: vec![State::Accept], sets: Vec::new(), start: 0 }
    }

    fn add(&mut self, state: State) -> Built<usize> {
        if self.states.len() >= MAX_STATES {
            let help = "lower the counts of its repetitions, or split the rule";
            return Err(("the pattern is too large".into(), help.into()));
        }
        self.states.push(state);
        Ok(self.states.len() - 1)
    }

    /// The part of the automaton that takes `hir` and goes on at `next`; built back to front.
    fn hir(&mut self, hir: &Hir, next: usize) -> Built<usize> {
        match hir.kind() {
            HirKind::Empty => Ok(next),
            HirKind::Literal(literal) => {
                let text = std::str::from_utf8(&literal.0).map_err(|_| {
                    let help = "write characters instead of bytes";
                    ("the pattern matches bytes that are no text".to_owned(), help.to_owned())
                })?;
                let units: Vec<u16> = text.encode_utf16().collect();
                units
                    .into_iter()
                    .rev()
                    .try_fold(next, |next, unit| self.units(vec![(unit, unit)], next))
            }
            HirKind::Class(class) => {
                let ranges: Vec<(u32, u32)> = match class {
                    Class::Unicode(class) => {
                        class.iter().map(|r| (r.start().into(), r.end().into())).collect()
                    }
                    Class::Bytes(class) => {
                        class.iter().map(|r| (r.start().into(), r.end().into())).collect()
                    }
                };
                self.class(&ranges, next)
            }
            HirKind::Look(look) => self.look(*look, next),
            HirKind::Capture(capture) => self.hir(&capture.sub, next),
            HirKind::Concat(parts) => {
                parts.iter().rev().try_fold(next, |next, part| self.hir(part, next))
            }
            HirKind::Alternation(ways) => {
                let ways: Vec<usize> =
                    ways.iter().map(|way| self.hir(way, next)).collect::<Built<_>>()?;
                self.add(State::Split(ways))
            }
            HirKind::Repetition(repetition) => {
                let mut next = next;
                match repetition.max {
                    None => {
                        let again = self.add(State::Split(Vec::new()))?;
                        let body = self.hir(&repetition.sub, again)?;
                        self.states[again] = State::Split(vec![body, next]);
                        next = again;
                    }
                    Some(max) => {
                        let end = next;
                        for _ in repetition.min..max {
                            let body = self.hir(&repetition.sub, next)?;
                            next = self.add(State::Split(vec![body, end]))?;
                        }
                    }
                }
                (0..repetition.min).try_fold(next, |next, _| self.hir(&repetition.sub, next))
            }
        }
    }

    fn look(&mut self, look: Look, next: usize) -> Built<usize> {
        let beside = match look {
            Look::Start => Beside::Start,
            Look::End => Beside::End,
            Look::StartLF => Beside::LineStart,
            Look::EndLF => Beside::LineEnd,
            _ => {
                let help = r"write the neighbours out, as in `(^|\W)name(\W|$)`";
                return Err(("word boundaries are not supported".into(), help.into()));
            }
        };
        self.add(State::Beside(beside, next))
    }

    fn units(&mut self, set: UnitSet, next: usize) -> Built<usize> {
        let known = self.sets.iter().rposition(|known| *known == set);
        let set = known.unwrap_or_else(|| {
            self.sets.push(set);
            self.sets.len() - 1
        });
        self.add(State::Units(set, next))
    }

    /// One character of a class of code points.
    fn class(&mut self, ranges: &[(u32, u32)], next: usize) -> Built<usize> {
        let mut single: UnitSet = Vec::new();
        let mut pairs: Vec<(u16, UnitSet)> = Vec::new();
        let mut lone = false;
        for &(first, last) in ranges {
            lone |= first <= 0xd7ff && last >= 0xe000;
            for (first, last) in [(first, last.min(0xd7ff)), (first.max(0xe000), last.min(0xffff))]
            {
                if first <= last {
                    single.push((first as u16, last as u16));
                }
            }
            let first = first.max(0x1_0000);
            if first <= last {
                split_pairs(first - 0x1_0000, last - 0x1_0000, &mut pairs);
            }
        }
        let mut ways = Vec::new();
        if !single.is_empty() {
            ways.push(self.units(single, next)?);
        }
        for (highs, lows) in group_pairs(pairs) {
            let low = self.units(lows, next)?;
            ways.push(self.units(highs, low)?);
        }
        if lone {
            let behind = self.add(State::Beside(Beside::NoLowBehind, next))?;
            ways.push(self.units(vec![(0xd800, 0xdbff)], behind)?);
            let low = self.units(vec![(0xdc00, 0xdfff)], next)?;
            ways.push(self.add(State::Beside(Beside::NoHighBefore, low))?);
        }
        match ways.as_slice() {
            [one] => Ok(*one),
            _ => self.add(State::Split(ways)),
        }
    }
}

/// Splits a range of supplementary code points, counted from U+10000, by high surrogate.
fn split_pairs(first: u32, last: u32, pairs: &mut Vec<(u16, UnitSet)>) {
    for high in first >> 10..=last >> 10 {
        let low = if high == first >> 10 { first & 0x3ff } else { 0 };
        let top = if high == last >> 10 { last & 0x3ff } else { 0x3ff };
        let range = (0xdc00 | low as u16, 0xdc00 | top as u16);
        let high = 0xd800 | high as u16;
        match pairs.last_mut() {
            Some((known, lows)) if *known == high => lows.push(range),
            _ => pairs.push((high, vec![range])),
        }
    }
}

/// Brings together the high surrogates that have the same low ones.
fn group_pairs(pairs: Vec<(u16, UnitSet)>) -> Vec<(UnitSet, UnitSet)> {
    let mut groups: Vec<(UnitSet, UnitSet)> = Vec::new();
    for (high, lows) in pairs {
        match groups.iter_mut().find(|(_, known)| *known == lows) {
            Some((highs, _)) => match highs.last_mut() {
                Some((_, last)) if *last + 1 == high => *last = high,
                _ => highs.push((high, high)),
            },
            None => groups.push((vec![(high, high)], lows)),
        }
    }
    groups
}
