//! Evaluation: events, criteria, and the parts of matching.
//!
//! | module | does |
//! |---|---|
//! | [`scan`] | one automaton a field over the literals of all criteria: one pass says which occur |
//! | [`regex`] | an automaton a pattern, run from where its literal stands |
//! | [`literals`] | a comparison at a place |
//! | [`find`] | a comparison at every place |
//! | [`criterion`] | the record that says what is compared with what |
//! | [`program`] | a rule's condition as code that only jumps forward |
//! | [`judgement`] | one event against a ruleset: which rules to look at, and their truth |
//! | [`kept`] | what was found in the texts of a process, for its next event |
//!
//! Everything here works on tables that [`crate::ruleset::Ruleset::parse`] has accepted, and yet
//! reads them only with checked reads: a read that fails makes a criterion Unknown. It never does
//! for an accepted file.

mod candidates;
pub mod criterion;
pub mod find;
pub mod fold;
mod fold_table;
mod found;
pub(crate) mod judgement;
pub mod kept;
pub mod literals;
pub mod program;
#[cfg(test)]
mod program_models;
pub mod regex;
pub mod scan;

use crate::limits::MAX_TEXT_UNITS;
use crate::schema::{Field, Input, Inputs};

/// Text as a sequence of UTF-16 code units, wherever it lies.
pub trait Units: Copy {
    /// How many units there are.
    fn count(self) -> usize;
    /// The unit at a place.
    fn unit(self, index: usize) -> Option<u16>;
    /// The units from a place on; none beyond the end.
    fn units_from(self, index: usize) -> impl Iterator<Item = u16>;

    /// How many units there are; `None` if they are more than a text may have.
    #[inline]
    fn length(self) -> Option<u16> {
        let length = u16::try_from(self.count()).ok()?;
        (u32::from(length) <= MAX_TEXT_UNITS).then_some(length)
    }
}

impl Units for &[u16] {
    #[inline]
    fn count(self) -> usize {
        self.len()
    }

    #[inline]
    fn unit(self, index: usize) -> Option<u16> {
        self.get(index).copied()
    }

    #[inline]
    fn units_from(self, index: usize) -> impl Iterator<Item = u16> {
        self.get(index..).unwrap_or(&[]).iter().copied()
    }
}

/// Little-endian code units in a file, at any alignment.
#[derive(Clone, Copy, Debug)]
pub struct LeUnits<'a>(pub &'a [[u8; 2]]);

impl Units for LeUnits<'_> {
    #[inline]
    fn count(self) -> usize {
        self.0.len()
    }

    #[inline]
    fn unit(self, index: usize) -> Option<u16> {
        self.0.get(index).map(|bytes| u16::from_le_bytes(*bytes))
    }

    #[inline]
    fn units_from(self, index: usize) -> impl Iterator<Item = u16> {
        self.0.get(index..).unwrap_or(&[]).iter().map(|bytes| u16::from_le_bytes(*bytes))
    }
}

/// One input of an event, with its text in whatever form the event keeps it.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a, T> {
    /// See [`Input::Unknown`].
    Unknown,
    /// See [`Input::Absent`].
    Absent,
    /// See [`Input::Text`].
    Text(T),
    /// See [`Input::Number`].
    Number(u64),
    /// See [`Input::Sid`].
    Sid(&'a [u8]),
}

/// Where criteria find their inputs.
pub trait Event {
    /// The form of its texts.
    type Text: Units;
    /// The input of a field.
    fn value(&self, field: Field) -> Value<'_, Self::Text>;
}

impl<'a> Event for Inputs<'a> {
    type Text = &'a [u16];

    #[inline]
    fn value(&self, field: Field) -> Value<'_, &'a [u16]> {
        match self.try_input(field.index()) {
            Some(Input::Text(text)) => Value::Text(text),
            Some(Input::Number(number)) => Value::Number(number),
            Some(Input::Absent) => Value::Absent,
            Some(Input::Sid(sid)) => Value::Sid(sid),
            Some(Input::Unknown) | None => Value::Unknown,
        }
    }
}
