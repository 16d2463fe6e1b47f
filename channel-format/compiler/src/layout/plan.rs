//! How each criterion is found out: which rules are covered by what, and what scans look for.

use std::collections::{BTreeMap, HashMap, HashSet};

use channel_format::engine::criterion::{Operator, Search};
use channel_format::engine::scan::{MAX_SCAN_CLASSES, ODD_UNITS, TEXT_FIELDS};
use channel_format::schema::Field;

use crate::cover::{cover, price};
use crate::lower::{Criterion, Expr};

/// What is decided before the tables are written.
pub(super) struct Plan<'a> {
    /// For each rule, the criteria that point to it; none if every event is judged by it.
    pub(super) covers: Vec<HashSet<&'a Criterion>>,
    covering: HashSet<&'a Criterion>,
    alphabet: Alphabet,
}

impl<'a> Plan<'a> {
    pub(super) fn of(rules: &'a [Expr]) -> Self {
        let alphabet = Alphabet::of(rules);
        let price = |criterion: &Criterion| {
            if alphabet.spells(criterion) { price(criterion) } else { None }
        };
        let covers: Vec<HashSet<&Criterion>> = rules
            .iter()
            .map(|rule| cover(rule, &price).unwrap_or_default().into_iter().collect())
            .collect();
        let covering = covers.iter().flatten().copied().collect();
        Self { covers, covering, alphabet }
    }

    /// How a criterion is found out.
    pub(super) fn search(&self, criterion: &Criterion) -> Search {
        if self.covering.contains(criterion) {
            return Search::Cover;
        }
        let wide = [Operator::Contains.number(), Operator::Regex.number()];
        // What has its place is compared there in less than it takes to scan.
        if wide.contains(&criterion.operator) && self.alphabet.spells(criterion) {
            Search::Filter
        } else {
            Search::Direct
        }
    }

    /// How much work it is to judge a criterion, for an order.
    pub(super) fn effort(&self, criterion: &Criterion) -> u32 {
        let regex = criterion.operator == Operator::Regex.number();
        match (self.search(criterion), criterion.searched_literal()) {
            (Search::Direct, None) if !regex => 0,
            (Search::Cover, _) => 1,
            (Search::Direct, Some(_)) if !regex => 2,
            (Search::Filter, _) => 8,
            _ => 16,
        }
    }
}

/// The units that scans tell apart, a field: as many as they have classes for, and of those that
/// literals hold the most frequent.
struct Alphabet {
    units: HashMap<Field, HashSet<u16>>,
}

impl Alphabet {
    fn of(rules: &[Expr]) -> Self {
        let mut counts: BTreeMap<Field, BTreeMap<u16, usize>> = BTreeMap::new();
        for rule in rules {
            count(rule, &mut counts);
        }
        let chosen = |counts: BTreeMap<u16, usize>| {
            let mut units: Vec<(u16, usize)> = counts.into_iter().collect();
            units.sort_by_key(|(unit, count)| (*unit >= 0x80, std::cmp::Reverse(*count), *unit));
            let most = usize::from(MAX_SCAN_CLASSES) - 1;
            units.into_iter().map(|(unit, _)| unit).take(most).collect()
        };
        let units = counts.into_iter().map(|(field, counts)| (field, chosen(counts))).collect();
        Self { units }
    }

    /// Whether a scan can find the criterion's literal.
    fn spells(&self, criterion: &Criterion) -> bool {
        let Some(units) = self.units.get(&criterion.field) else { return false };
        let Some(literal) = criterion.searched_literal() else { return false };
        TEXT_FIELDS.contains(&criterion.field) && literal.iter().all(|unit| units.contains(unit))
    }
}

fn count(expr: &Expr, counts: &mut BTreeMap<Field, BTreeMap<u16, usize>>) {
    match expr {
        Expr::Criterion(criterion) => {
            let counts = counts.entry(criterion.field).or_default();
            let literal = criterion.searched_literal().unwrap_or(&[]);
            // Units that are taken for others in a text cannot be told apart in a literal.
            for unit in literal.iter().filter(|unit| !ODD_UNITS.iter().any(|odd| odd.0 == **unit)) {
                *counts.entry(*unit).or_default() += 1;
            }
        }
        Expr::Not(inner) => count(inner, counts),
        Expr::And(parts) | Expr::Or(parts) => parts.iter().for_each(|part| count(part, counts)),
    }
}
