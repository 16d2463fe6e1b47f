//! An expression, seen as what it means when it holds or when it does not.

use super::fact::Fact;
use crate::lower::Expr;

/// What an expression comes to; each part counts as holding, or not, as the flag beside it says.
pub(super) enum View<'e> {
    /// One criterion.
    Fact(Fact<'e>),
    /// Each of these.
    All(&'e [Expr], bool),
    /// At least one of these.
    Any(&'e [Expr], bool),
}

impl<'e> View<'e> {
    pub(super) fn of(expr: &'e Expr, holds: bool) -> Self {
        match (expr, holds) {
            (Expr::Criterion(criterion), _) => Self::Fact(Fact::new(criterion, holds)),
            (Expr::Not(inner), _) => Self::of(inner, !holds),
            (Expr::And(parts), true) | (Expr::Or(parts), false) => Self::All(parts, holds),
            (Expr::Or(parts), true) | (Expr::And(parts), false) => Self::Any(parts, holds),
        }
    }
}
