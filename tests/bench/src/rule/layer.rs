//! From atoms that hold to rules that are true: what the plain string matchers share.

use super::cover::cover;
use super::{AtomId, Expr, RuleSet};
use crate::corpus::events::Event;

/// Collects the atoms that hold, and looks only at rules of whose cover an atom holds.
pub struct BooleanLayer {
    rules: Vec<Expr>,
    /// Rules without a cover: looked at for every event.
    always: Vec<u32>,
    /// For each atom, where the rules that it wakes lie in `woken`.
    wakes: Vec<std::ops::Range<u32>>,
    woken: Vec<u32>,
    /// The atoms that hold: as bits, and as a list.
    bits: Vec<u64>,
    list: Vec<AtomId>,
    /// For each rule, the last event that it was looked at for.
    seen: Vec<u32>,
    event: u32,
}

impl BooleanLayer {
    /// The layer over those rules.
    pub fn new(set: &RuleSet) -> Self {
        let mut always = Vec::new();
        let mut by_atom = vec![Vec::new(); set.atoms.len()];
        for (number, rule) in (0..).zip(&set.rules) {
            match cover(rule, &set.atoms) {
                Some(cover) => cover.iter().for_each(|id| by_atom[*id as usize].push(number)),
                None => always.push(number),
            }
        }
        let mut woken = Vec::new();
        let mut wakes = Vec::with_capacity(by_atom.len());
        for rules in by_atom {
            let start = woken.len() as u32;
            woken.extend(rules);
            wakes.push(start..woken.len() as u32);
        }
        Self {
            rules: set.rules.clone(),
            always,
            wakes,
            woken,
            bits: vec![0; set.atoms.len().div_ceil(64)],
            list: Vec::with_capacity(256),
            seen: vec![0; set.rules.len()],
            event: 0,
        }
    }

    /// An atom holds. It may be said more than once.
    #[inline]
    pub fn hit(&mut self, atom: AtomId) {
        let (word, bit) = place(atom);
        if self.bits[word] & bit == 0 {
            self.bits[word] |= bit;
            self.list.push(atom);
        }
    }

    /// Appends the rules that are true, and forgets the atoms.
    #[inline]
    pub fn finish(&mut self, event: &Event, matched: &mut Vec<u32>) {
        self.event = self.event.wrapping_add(1);
        let bits = &self.bits;
        let mut look = |number: u32| {
            if self.rules[number as usize].holds(event, &mut |atom| holds(bits, atom)) {
                matched.push(number);
            }
        };
        for atom in &self.list {
            let wakes = &self.wakes[*atom as usize];
            for number in &self.woken[wakes.start as usize..wakes.end as usize] {
                let seen = &mut self.seen[*number as usize];
                if *seen != self.event {
                    *seen = self.event;
                    look(*number);
                }
            }
        }
        self.always.iter().copied().for_each(look);
        for atom in self.list.drain(..) {
            self.bits[place(atom).0] = 0;
        }
    }
}

#[inline]
fn holds(bits: &[u64], atom: AtomId) -> bool {
    let (word, bit) = place(atom);
    bits[word] & bit != 0
}

#[inline]
const fn place(atom: AtomId) -> (usize, u64) {
    (atom as usize / 64, 1 << (atom % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Corpus;
    use crate::corpus::events::benign;
    use crate::engines::naive::Naive;

    #[test]
    fn with_every_atom_that_holds_it_finds_the_rules_of_the_naive_loop() {
        let corpus = Corpus::new(300);
        let set = RuleSet::parse(&corpus).unwrap();
        let naive = Naive::new(&set);
        let mut layer = BooleanLayer::new(&set);
        let mut hits = 0;
        for event in benign(2_000, &corpus, 3) {
            for atom in 0..set.atoms.len() as AtomId {
                if naive.atom_holds(atom, &event) {
                    layer.hit(atom);
                    layer.hit(atom);
                }
            }
            let mut matched = Vec::new();
            layer.finish(&event, &mut matched);
            matched.sort_unstable();
            assert_eq!(matched, naive.matched(&event), "{}", event.pipe.raw);
            hits += matched.len();
        }
        assert!(hits > 10, "only {hits} rules were true");
    }

    #[test]
    fn an_atom_of_one_event_does_not_hold_for_the_next() {
        let corpus = Corpus::new(20);
        let set = RuleSet::parse(&corpus).unwrap();
        let event = benign(1, &corpus, 3).remove(0);
        let mut layer = BooleanLayer::new(&set);
        (0..set.atoms.len() as AtomId).for_each(|atom| layer.hit(atom));
        let mut matched = Vec::new();
        layer.finish(&event, &mut matched);
        assert!(matched.len() > 5, "{matched:?}");
        matched.clear();
        layer.finish(&event, &mut matched);
        assert!(matched.is_empty(), "{matched:?}");
    }
}
