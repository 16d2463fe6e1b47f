//! The ways in which a condition can hold.

use channel_format::engine::criterion::Operator;

use crate::lower::{Criterion, Expr, Operand};
use crate::source::ExampleValue;

use super::MAX_TRIES;
use super::value::meets;

/// Criteria that must hold, or must not: together they settle the condition.
pub(super) type Way<'a> = Vec<(&'a Criterion, bool)>;

/// Ways that are kept.
const MAX_WAYS: usize = 1024;
/// Criteria that may be looked at while ways are put together.
const MAX_WORK: usize = 1 << 22;

/// Ways in which the expression is true, or false; those that contradict themselves at first sight
/// are left out. Not all, if they are too many.
pub(super) fn ways(expr: &Expr, wanted: bool) -> Vec<Way<'_>> {
    let mut work = 0;
    collect(expr, wanted, &mut work)
}

fn collect<'a>(expr: &'a Expr, wanted: bool, work: &mut usize) -> Vec<Way<'a>> {
    match expr {
        Expr::Criterion(criterion) => vec![vec![(criterion, wanted)]],
        Expr::Not(inner) => collect(inner, !wanted, work),
        Expr::And(parts) if wanted => together(parts, wanted, work),
        Expr::Or(parts) if !wanted => together(parts, wanted, work),
        Expr::And(parts) | Expr::Or(parts) => {
            let parts = parts.iter().take(MAX_WAYS);
            either(parts.map(|part| collect(part, wanted, work)).collect())
        }
    }
}

/// The ways of each part, one part after the other; if they are more than will be tried, one way of
/// each part in turn, so that no part is left out for another that has many.
fn either(parts: Vec<Vec<Way<'_>>>) -> Vec<Way<'_>> {
    let mut ranked: Vec<(usize, Way<'_>)> =
        parts.into_iter().flat_map(|part| part.into_iter().enumerate()).collect();
    if ranked.len() > MAX_TRIES {
        ranked.sort_by_key(|(rank, _)| *rank);
    }
    ranked.truncate(MAX_WAYS);
    ranked.into_iter().map(|(_, way)| way).collect()
}

/// One way of each part, in every combination; a way that settles the next part already needs no
/// more for it.
fn together<'a>(parts: &'a [Expr], wanted: bool, work: &mut usize) -> Vec<Way<'a>> {
    let mut parts: Vec<_> = parts.iter().map(|part| collect(part, wanted, work)).collect();
    // What leaves the least choice comes first: it rules out, and settles, most.
    parts.sort_by_key(Vec::len);
    let mut whole: Vec<Way<'_>> = vec![vec![]];
    for part in parts {
        let mut longer = Vec::new();
        'all: for way in whole {
            *work += way.len() * part.iter().map(Vec::len).sum::<usize>();
            if part.iter().any(|more| more.iter().all(|wish| way.contains(wish))) {
                longer.push(way);
                continue;
            }
            for more in &part {
                if longer.len() == MAX_WAYS || (*work > MAX_WORK && !longer.is_empty()) {
                    break 'all;
                }
                let fresh: Way<'_> =
                    more.iter().filter(|wish| !way.contains(wish)).copied().collect();
                let joined = [way.as_slice(), &fresh].concat();
                if consistent(&joined, way.len()) {
                    longer.push(joined);
                }
            }
        }
        whole = longer;
    }
    whole
}

/// False if a value that one criterion fixes is at odds with another; those up to `old` have been
/// compared among themselves.
fn consistent(way: &[(&Criterion, bool)], old: usize) -> bool {
    let (before, added) = way.split_at(old);
    let at_odds = |left: &(&Criterion, bool), right: &(&Criterion, bool)| {
        let ((left, holds), (right, wanted)) = (*left, *right);
        if left.field != right.field {
            return false;
        }
        if left == right {
            return holds != wanted;
        }
        holds && fixed(left, right).is_some_and(|value| meets(right, Some(&value)) != wanted)
    };
    added.iter().enumerate().all(|(place, new)| {
        let mut others = before.iter().chain(&added[..place]);
        others.all(|other| !at_odds(new, other) && !at_odds(other, new))
    })
}

/// The value that a criterion fixes, as far as another one can see it.
fn fixed(criterion: &Criterion, other: &Criterion) -> Option<ExampleValue> {
    let equals = [Operator::Equals, Operator::NumberEqual, Operator::SidEquals];
    if !equals.iter().any(|operator| operator.number() == criterion.operator) {
        return None;
    }
    // Text that any case of letters spells is fixed only for those that do not look at case.
    let sees_case = match &other.operand {
        Operand::Literal { cased, .. } => *cased,
        Operand::Automaton(_) => true,
        _ => false,
    };
    match &criterion.operand {
        Operand::Literal { cased: false, .. } if sees_case => None,
        Operand::Literal { units, .. } => Some(ExampleValue::Text(units.clone())),
        Operand::Number(number) => Some(ExampleValue::Number(*number)),
        Operand::Sid(sid) => Some(ExampleValue::Sid(sid.clone())),
        Operand::Nothing | Operand::Automaton(_) => None,
    }
}
