//! From an expression to a program: branches that only go forward, negations at criteria alone.

use std::collections::HashSet;

use channel_format::engine::program::{FALSE, FLAG_COVER, FLAG_LIVE, FLAG_NEGATED, TRUE};

use crate::lower::{Criterion, Expr};

/// An instruction that still names its criterion.
pub(super) struct Branch<'a> {
    pub(super) criterion: &'a Criterion,
    pub(super) flags: u8,
    pub(super) if_holds: u16,
    pub(super) if_not: u16,
}

/// Where to go: an end, or an instruction by its place.
#[derive(Clone, Copy)]
enum Target {
    True,
    False,
    At(usize),
}

impl Target {
    /// As the instruction at `place` has it.
    fn seen_from(self, place: usize) -> u16 {
        match self {
            Self::True => TRUE,
            Self::False => FALSE,
            Self::At(target) => (target - place) as u16,
        }
    }
}

/// Writes the program of a rule; `cover` are its cover criteria, and `effort` says how much work it
/// is to judge a criterion.
pub(super) fn write<'a>(
    expr: &'a Expr,
    cover: &HashSet<&Criterion>,
    effort: &dyn Fn(&Criterion) -> u32,
) -> Vec<Branch<'a>> {
    let mut code = Vec::new();
    let order = Order { cover, effort };
    branches(expr, false, Target::True, Target::False, &order, &mut code);
    if !cover.is_empty() {
        mark(&mut code, cover);
    }
    code
}

/// How the parts of an and are ordered.
struct Order<'a> {
    cover: &'a HashSet<&'a Criterion>,
    effort: &'a dyn Fn(&Criterion) -> u32,
}

impl Order<'_> {
    /// What brought the event here comes first, then what is little work.
    fn of(&self, expr: &Expr) -> (bool, u32) {
        match expr {
            Expr::Criterion(criterion) => {
                (!self.cover.contains(criterion), (self.effort)(criterion))
            }
            Expr::Not(inner) => self.of(inner),
            Expr::And(parts) | Expr::Or(parts) => {
                let orders = parts.iter().map(|part| self.of(part));
                orders.fold((true, 0), |all, part| (all.0 & part.0, all.1 + part.1))
            }
        }
    }
}

fn branches<'a>(
    expr: &'a Expr,
    negated: bool,
    if_holds: Target,
    if_not: Target,
    order: &Order<'_>,
    code: &mut Vec<Branch<'a>>,
) {
    match expr {
        Expr::Criterion(criterion) => {
            let place = code.len();
            code.push(Branch {
                criterion,
                flags: if negated { FLAG_NEGATED } else { 0 },
                if_holds: if_holds.seen_from(place),
                if_not: if_not.seen_from(place),
            });
        }
        Expr::Not(inner) => branches(inner, !negated, if_holds, if_not, order, code),
        Expr::And(parts) | Expr::Or(parts) => {
            let all = expr.needs_all(negated);
            let mut parts: Vec<&Expr> = parts.iter().collect();
            if all {
                parts.sort_by_key(|part| order.of(part));
            }
            let mut next = code.len();
            let count = parts.len();
            for (place, part) in parts.into_iter().enumerate() {
                next += part.criteria();
                let go_on = if place + 1 < count { Some(Target::At(next)) } else { None };
                let (if_holds, if_not) = match (all, go_on) {
                    (true, Some(go_on)) => (go_on, if_not),
                    (false, Some(go_on)) => (if_holds, go_on),
                    (_, None) => (if_holds, if_not),
                };
                branches(part, negated, if_holds, if_not, order, code);
            }
        }
    }
}

/// Marks the cover criteria, and what can be reached while all of them are false.
fn mark(code: &mut [Branch<'_>], cover: &HashSet<&Criterion>) {
    if let Some(first) = code.first_mut() {
        first.flags |= FLAG_LIVE;
    }
    for place in 0..code.len() {
        let branch = &mut code[place];
        let negated = branch.flags & FLAG_NEGATED != 0;
        let covers = cover.contains(branch.criterion);
        branch.flags |= if covers { FLAG_COVER } else { 0 };
        if branch.flags & FLAG_LIVE == 0 {
            continue;
        }
        let open = [(branch.if_holds, !covers || negated), (branch.if_not, !covers || !negated)];
        for (target, _) in open.into_iter().filter(|(_, open)| *open) {
            if let Some(next) = code.get_mut(place + usize::from(target)) {
                next.flags |= FLAG_LIVE;
            }
        }
    }
}
