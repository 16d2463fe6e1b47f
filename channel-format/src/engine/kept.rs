//! What was found in the texts of a process, kept for its next event.
//!
//! A process makes many events and its image does not change, so what scans find in the image's
//! texts is found once. A [`Kept`] has a fixed size and holds no reference: whoever keeps processes
//! puts it beside them, and drops it with them.

use super::scan::TEXT_FIELDS;
use super::{Event, Units, Value};
use crate::schema::Field;

/// Criteria that a [`Kept`] has room for. A text on which more hold is scanned each time.
pub const MAX_KEPT: usize = 12;

/// The texts that do not change while a process lives.
pub const KEPT_FIELDS: [Field; 3] = [Field::ImagePath, Field::ImageName, Field::ParentImage];

/// The searched criteria of one ruleset that hold for the image texts of one process.
///
/// It says nothing to another ruleset, which takes no notice of it; that it is used for events with
/// the very texts it was made from is its keeper's duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The ruleset: the beginning of its file's digest.
    pub(crate) ruleset: u64,
    /// The criteria.
    pub(crate) found: [u32; MAX_KEPT],
    /// How many there are.
    pub(crate) count: u8,
    /// The fields whose texts were looked at: bit n for [`super::scan::TEXT_FIELDS`].
    pub(crate) fields: u8,
    /// Whether one of the criteria has triggers.
    pub(crate) triggers: bool,
}

impl Kept {
    /// The criteria.
    pub(crate) fn found(&self) -> &[u32] {
        self.found.get(..usize::from(self.count)).unwrap_or(&[])
    }

    /// Whether the event has texts for all that it speaks for. A function of its own, so that its
    /// stack is free again when rules are judged.
    #[inline(never)]
    pub(crate) fn is_of_texts_of<E: Event>(&self, event: &E) -> bool {
        TEXT_FIELDS.into_iter().enumerate().all(|(index, field)| {
            let has_text = || match event.value(field) {
                Value::Text(text) => text.length().is_some(),
                _ => false,
            };
            !self.has(index) || has_text()
        })
    }

    /// Whether it speaks for a field, by its place among [`super::scan::TEXT_FIELDS`].
    #[inline]
    pub(crate) fn has(&self, field: usize) -> bool {
        field_bit(field) & self.fields != 0
    }
}

/// The bit of a field, by its place among [`super::scan::TEXT_FIELDS`].
#[inline]
pub(crate) const fn field_bit(field: usize) -> u8 {
    match field {
        0 => 1,
        1 => 2,
        2 => 4,
        3 => 8,
        _ => 0,
    }
}
