//! Evaluation: events, criteria, and the four parts of matching.
//!
//! Everything here works on tables that [`crate::ruleset::Ruleset::parse`] has accepted, and yet
//! reads them only with checked reads: a read that fails makes a criterion Unknown. It never does
//! for an accepted file.

pub mod criterion;
pub mod fold;
mod fold_table;
pub mod literals;
pub mod program;
pub mod regex;

use crate::schema::{Field, Input, Inputs};

/// Text as a sequence of UTF-16 code units, wherever it lies.
pub trait Units: Copy {
    /// How many units there are.
    fn count(self) -> usize;
    /// The unit at a place.
    fn unit(self, index: usize) -> Option<u16>;
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
