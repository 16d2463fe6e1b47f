//! Literals: equals, starts with, ends with, contains.
//!
//! # Format
//! The units section holds the literals of all criteria, one behind the other in the criteria's
//! order, as little-endian UTF-16 code units. A literal is folded unless its criterion is cased.
//! Behind each literal of `contains` lies its search table of the same length: for each of its
//! prefixes, the length of the longest proper prefix that is also a suffix of it. With it a search
//! costs at most two steps a unit of the text, however the two are built (Knuth, Morris, Pratt).

use super::criterion::{Criterion, Operator};
use super::fold::fold;
use super::{LeUnits, Units};
use crate::frame::equal;
use crate::refusal::{Code, Refusal};
use crate::ruleset::Tables;

/// The literal of `length` units that starts at unit `first`.
#[inline]
pub fn literal<'a>(tables: &Tables<'a>, first: u64, length: u32) -> Option<LeUnits<'a>> {
    let first = usize::try_from(first).ok()?;
    let end = first.checked_add(usize::try_from(length).ok()?)?;
    tables.units.get(first..end).map(LeUnits)
}

/// A literal of `contains` and its search table.
#[inline]
pub fn with_table<'a>(
    tables: &Tables<'a>,
    first: u64,
    length: u32,
) -> Option<(LeUnits<'a>, LeUnits<'a>)> {
    let behind = first.checked_add(length.into())?;
    Some((literal(tables, first, length)?, literal(tables, behind, length)?))
}

/// True if the literal stands in the text at `start`.
#[inline]
pub fn equals_at<T: Units>(
    literal: LeUnits<'_>,
    cased: bool,
    text: T,
    start: usize,
) -> Option<bool> {
    for (index, wanted) in literal.0.iter().enumerate() {
        let unit = text.unit(start.checked_add(index)?)?;
        if spell(unit, cased) != u16::from_le_bytes(*wanted) {
            return Some(false);
        }
    }
    Some(true)
}

/// True if the text contains the literal.
#[inline]
pub fn contains<T: Units>(
    literal: LeUnits<'_>,
    table: LeUnits<'_>,
    cased: bool,
    text: T,
) -> Option<bool> {
    let mut matched = 0_usize;
    if literal.count() == 0 {
        return Some(true);
    }
    for index in 0..text.count() {
        let unit = spell(text.unit(index)?, cased);
        while matched > 0 && literal.unit(matched)? != unit {
            matched = fall_back(table, matched)?;
        }
        if literal.unit(matched)? == unit {
            matched = matched.checked_add(1)?;
            if matched == literal.count() {
                return Some(true);
            }
        }
    }
    Some(false)
}

/// How much of the literal still matches when the unit after `matched` of its units does not.
#[inline]
fn fall_back(table: LeUnits<'_>, matched: usize) -> Option<usize> {
    let last = matched.checked_sub(1)?;
    // `min` holds the loop to its bound by itself, whatever the table says.
    Some(usize::from(table.unit(last)?).min(last))
}

#[inline]
fn spell(unit: u16, cased: bool) -> u16 {
    if cased { unit } else { fold(unit) }
}

/// Checks the literal of one criterion: that it follows the one before, is folded, and that its
/// search table is right. `laid` counts the units of the literals before it.
pub(crate) fn validate(
    tables: &Tables<'_>,
    criterion: &Criterion,
    offset: u32,
    laid: &mut u64,
) -> Result<(), Refusal> {
    let has_table = criterion.operator == Operator::Contains;
    let copies = if has_table { 2 } else { 1 };
    let units = u64::try_from(tables.units.len()).unwrap_or(u64::MAX);
    let needed = u64::from(criterion.length).saturating_mul(copies);
    let end = criterion.value.saturating_add(needed);
    let (Some(literal), true) = (literal(tables, criterion.value, criterion.length), end <= units)
    else {
        return Err(Refusal::new(Code::IndexOutOfRange, offset, units, criterion.value));
    };
    equal(Code::OutOfOrder, offset, *laid, criterion.value)?;
    *laid = end;
    if !criterion.cased && criterion.operator != Operator::SidEquals {
        let unfolded = literal.0.iter().fold(0, |seen, bytes| {
            let unit = u16::from_le_bytes(*bytes);
            seen | (fold(unit) ^ unit)
        });
        equal(Code::NotFolded, offset, 0, unfolded.into())?;
    }
    if has_table {
        let Some((literal, table)) = with_table(tables, criterion.value, criterion.length) else {
            return Err(Refusal::new(Code::IndexOutOfRange, offset, units, criterion.value));
        };
        validate_table(literal, table, offset)?;
    }
    Ok(())
}

/// Recomputes the search table with the entries already checked, in linear time.
fn validate_table(literal: LeUnits<'_>, table: LeUnits<'_>, offset: u32) -> Result<(), Refusal> {
    let mut border = 0_usize;
    for index in 0..literal.count() {
        let unit = literal.unit(index);
        if index > 0 {
            while border > 0 && literal.unit(border) != unit {
                border = fall_back(table, border).unwrap_or(0);
            }
            if literal.unit(border) == unit {
                border = border.saturating_add(1);
            }
        }
        let found = table.unit(index).map_or(u64::MAX, u64::from);
        equal(Code::SearchTable, offset, u64::try_from(border).unwrap_or(u64::MAX), found)?;
    }
    Ok(())
}
