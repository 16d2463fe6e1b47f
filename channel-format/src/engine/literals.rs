//! Literals, compared at a place of a text.
//!
//! # Format
//! The units section holds the literals of all criteria, one behind the other in the criteria's
//! order, as little-endian UTF-16 code units. A literal is folded unless its criterion is cased.
//! That of a regular expression is what its automaton is looked for from: see [`super::scan`]. A
//! security identifier stands there as its bytes, two to a unit.

use super::criterion::Criterion;
use super::fold::fold;
use super::{LeUnits, Units};
use crate::frame::equal;
use crate::refusal::{Code, Refusal};
use crate::ruleset::Tables;

/// The literal of `length` units that starts at unit `first`.
#[inline]
pub fn literal<'a>(tables: &Tables<'a>, first: u64, length: u16) -> Option<LeUnits<'a>> {
    let first = usize::try_from(first).ok()?;
    let end = first.checked_add(usize::from(length))?;
    tables.units.get(first..end).map(LeUnits)
}

/// True if the literal stands in the text at `start`.
#[inline]
pub fn equals_at<T: Units>(
    literal: LeUnits<'_>,
    cased: bool,
    text: T,
    start: usize,
) -> Option<bool> {
    let mut units = text.units_from(start);
    for wanted in literal.0 {
        let (unit, wanted) = (units.next()?, u16::from_le_bytes(*wanted));
        if unit != wanted && (cased || fold(unit) != wanted) {
            return Some(false);
        }
    }
    Some(true)
}

/// True if the literal is the identifier.
#[inline]
pub fn is_sid(literal: LeUnits<'_>, sid: &[u8]) -> bool {
    literal.0.as_flattened() == sid
}

/// Checks the literal of one criterion: that it follows the one before and is folded. `laid` counts
/// the units of the literals before it.
pub(crate) fn validate(
    tables: &Tables<'_>,
    criterion: &Criterion,
    offset: u32,
    laid: &mut u64,
) -> Result<(), Refusal> {
    let Some(literal) = literal(tables, criterion.value, criterion.length) else {
        let units = u64::try_from(tables.units.len()).unwrap_or(u64::MAX);
        return Err(Refusal::new(Code::IndexOutOfRange, offset, units, criterion.value));
    };
    equal(Code::OutOfOrder, offset, *laid, criterion.value)?;
    *laid = laid.saturating_add(criterion.length.into());
    if criterion.is_folded() {
        let unfolded = literal.units_from(0).fold(0, |seen, unit| seen | (fold(unit) ^ unit));
        equal(Code::NotFolded, offset, 0, unfolded.into())?;
    }
    Ok(())
}
