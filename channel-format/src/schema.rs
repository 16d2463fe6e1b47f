//! The `Ipc` template type: its fields, in order, and the values an event brings for them.
//!
//! One table names every field. The number of inputs of an evaluation is the length of that table,
//! so the mismatch of July 2024, 21 inputs declared and 20 supplied, does not compile. With all of
//! them it does; the second is the first with one less:
//!
//! ```
//! use channel_format::schema::{FIELD_COUNT, Input, Inputs};
//! let inputs = Inputs::from_array([Input::Unknown; FIELD_COUNT]);
//! ```
//! ```compile_fail
//! use channel_format::schema::{FIELD_COUNT, Input, Inputs};
//! let inputs = Inputs::from_array([Input::Unknown; FIELD_COUNT - 1]);
//! ```
//!
//! Nor does a read of a field that is not in the table, of which the last is the one before:
//!
//! ```
//! use channel_format::schema::{FIELD_COUNT, Inputs};
//! let last = Inputs::unknown().input::<{ FIELD_COUNT - 1 }>();
//! ```
//! ```compile_fail
//! use channel_format::schema::{FIELD_COUNT, Inputs};
//! let last = Inputs::unknown().input::<{ FIELD_COUNT }>();
//! ```
//!
//! A value of an event is asked for by its field, and the `match` that answers names each of them:
//! a field that nobody thought of does not compile.
//!
//! ```compile_fail
//! use channel_format::schema::Field;
//! fn is_known(field: Field) -> bool {
//!     match field {
//!         Field::Operation | Field::PipeName | Field::ImagePath => true,
//!     }
//! }
//! ```
//! ```
//! use channel_format::schema::Field;
//! fn is_known(field: Field) -> bool {
//!     match field {
//!         Field::Operation | Field::PipeName | Field::ImagePath => true,
//!         _ => false,
//!     }
//! }
//! ```

pub use crate::profile::SensorProfile;

/// Version of the schema below; content built for another one is refused.
pub const SCHEMA_VERSION: u16 = 0;

/// How values of a field look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-16 text, compared as NT compares names.
    Text,
    /// An unsigned number.
    Number,
    /// A binary security identifier.
    Sid,
}

/// Makes the enum, its tables and the count from one list.
macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $kind:ident;)+) => {
        /// A field of the `Ipc` template type.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Field {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl Field {
            /// Every field, in order.
            pub const ALL: [Self; FIELD_COUNT] = [$(Self::$name,)+];

            /// The field's place in the table.
            pub const fn index(self) -> usize {
                match self {
                    $(Self::$name => $number,)+
                }
            }

            /// The field's place in the table, as files and refusals carry it.
            pub const fn number(self) -> u64 {
                match self {
                    $(Self::$name => $number,)+
                }
            }

            /// The field at that place.
            pub const fn from_number(number: u64) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// The field's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// What the field means.
            pub const fn doc(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc,)+).trim_ascii(),)+
                }
            }

            /// How its values look.
            pub const fn kind(self) -> Kind {
                match self {
                    $(Self::$name => Kind::$kind,)+
                }
            }
        }

        /// Number of fields: the length of every input array.
        pub const FIELD_COUNT: usize = [$(stringify!($name),)+].len();
    };
}

fields! {
    /// What was asked of the pipe: 1 created, 2 connected.
    Operation = 0, Number;
    /// The pipe's name with its leading backslash; empty for an anonymous pipe.
    PipeName = 1, Text;
    /// The full path of the process image, with its drive letter where there is one.
    ImagePath = 2, Text;
    /// The last part of the image path.
    ImageName = 3, Text;
    /// The full path of the parent process's image.
    ParentImage = 4, Text;
    /// The security identifier of the user in whose name the request is made.
    User = 5, Sid;
    /// The integrity level: the last part of the label's identifier, 8192 medium, 12288 high.
    Integrity = 6, Number;
    /// 1 if the token is elevated, else 0.
    Elevation = 7, Number;
    /// The terminal services session.
    Session = 8, Number;
    /// The process identifier.
    ProcessId = 9, Number;
    /// 1 if the request came over the network, else 0.
    RemoteOrigin = 10, Number;
    /// 1 if the thread impersonates, else 0.
    Impersonating = 11, Number;
    /// The access rights asked for.
    DesiredAccess = 12, Number;
    /// The create options.
    CreateOptions = 13, Number;
    /// The create disposition.
    Disposition = 14, Number;
    /// The pipe's direction: 0 inbound, 1 outbound, 2 full duplex.
    Direction = 15, Number;
    /// The pipe's type: 0 byte stream, 1 messages.
    PipeType = 16, Number;
    /// The read mode: 0 byte stream, 1 messages.
    ReadMode = 17, Number;
    /// 1 if remote clients are refused, else 0.
    RejectRemote = 18, Number;
    /// The greatest number of instances.
    MaxInstances = 19, Number;
    /// The inbound quota in bytes.
    InboundQuota = 20, Number;
    /// The outbound quota in bytes.
    OutboundQuota = 21, Number;
    /// The default timeout in units of 100 ns, as a magnitude.
    DefaultTimeout = 22, Number;
}

/// A set of fields, as the header carries it: bit n is field n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(u64);

impl FieldSet {
    /// No field.
    pub const EMPTY: Self = Self(0);
    /// Every field of the schema.
    pub const ALL: Self = {
        let mut bits = 0;
        let mut fields = Field::ALL.as_slice();
        while let [field, rest @ ..] = fields {
            bits |= 1_u64.wrapping_shl(field_shift(*field));
            fields = rest;
        }
        Self(bits)
    };

    /// The set with those bits; `None` if one of them is no field.
    pub const fn from_bits(bits: u64) -> Option<Self> {
        if bits & !Self::ALL.0 == 0 { Some(Self(bits)) } else { None }
    }

    /// The bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The set and one more field.
    #[must_use]
    pub const fn with(self, field: Field) -> Self {
        Self(self.0 | 1_u64.wrapping_shl(field_shift(field)))
    }

    /// The fields that are in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True if the field is in the set.
    pub const fn contains(self, field: Field) -> bool {
        self.0 & 1_u64.wrapping_shl(field_shift(field)) != 0
    }

    /// The fields that are in this set and not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The set's fields, in order.
    pub fn iter(self) -> impl Iterator<Item = Field> {
        Field::ALL.into_iter().filter(move |field| self.contains(*field))
    }
}

/// What was asked of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// An instance of a pipe is created.
    Created = 1,
    /// A client opens a pipe.
    Connected = 2,
}

impl Operation {
    /// Every operation, in order.
    pub const ALL: [Self; 2] = [Self::Created, Self::Connected];
    /// The mask of all operations.
    pub const ALL_MASK: u8 = 0b11;

    /// The operation's number as an input of [`Field::Operation`].
    pub const fn number(self) -> u64 {
        match self {
            Self::Created => 1,
            Self::Connected => 2,
        }
    }

    /// The operation with that number.
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::Created),
            2 => Some(Self::Connected),
            _ => None,
        }
    }

    /// The operation's bit in a rule's masks.
    pub const fn mask(self) -> u8 {
        match self {
            Self::Created => 0b01,
            Self::Connected => 0b10,
        }
    }
}

/// Three-valued truth: a criterion over an input that is not known is neither true nor false.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Truth {
    /// It does not hold.
    False = 0,
    /// It holds.
    True = 1,
    /// It cannot be told.
    Unknown = 2,
}

impl Truth {
    /// Kleene's and: false wins, then unknown.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::True, Self::True) => Self::True,
            _ => Self::Unknown,
        }
    }

    /// Kleene's or: true wins, then unknown.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::True, _) | (_, Self::True) => Self::True,
            (Self::False, Self::False) => Self::False,
            _ => Self::Unknown,
        }
    }

    /// Kleene's not: unknown stays unknown.
    #[must_use]
    pub const fn not(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::True => Self::False,
            Self::Unknown => Self::Unknown,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// One input of an evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Input<'a> {
    /// Not supplied, or could not be found out: every criterion on it is Unknown.
    #[default]
    Unknown,
    /// The event truly has no such field, in Sigma's meaning: `null` holds, all else does not.
    Absent,
    /// Text in UTF-16 code units, as NT has it: lone surrogates may occur.
    Text(&'a [u16]),
    /// A number.
    Number(u64),
    /// A binary security identifier.
    Sid(&'a [u8]),
}

/// The inputs of an evaluation, one a field.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    values: [Input<'a>; FIELD_COUNT],
}

impl<'a> Inputs<'a> {
    /// Inputs of which nothing is known.
    pub const fn unknown() -> Self {
        Self { values: [Input::Unknown; FIELD_COUNT] }
    }

    /// Inputs of which every field is absent: an event of a log, before its fields are set.
    pub const fn absent() -> Self {
        Self { values: [Input::Absent; FIELD_COUNT] }
    }

    /// Inputs from one value a field, in the order of the table.
    pub const fn from_array(values: [Input<'a>; FIELD_COUNT]) -> Self {
        Self { values }
    }

    /// Sets one field.
    pub fn set(&mut self, field: Field, value: Input<'a>) {
        if let Some(slot) = self.values.get_mut(field.index()) {
            *slot = value;
        }
    }

    /// The input at a place known when this is built: a place outside the table does not compile.
    pub fn input<const INDEX: usize>(&self) -> Input<'a> {
        const { assert!(INDEX < FIELD_COUNT, "no such field in the schema") };
        self.try_input(INDEX).unwrap_or_default()
    }

    /// The input at a place that content chose; `None` if there is no such field.
    pub fn try_input(&self, index: usize) -> Option<Input<'a>> {
        self.values.get(index).copied()
    }
}

const fn field_shift(field: Field) -> u32 {
    let mut shift = 0;
    let mut index = field.index();
    while index > 0 {
        index = index.saturating_sub(1);
        shift = u32::saturating_add(shift, 1);
    }
    shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_dense_and_in_order() {
        assert_eq!(FIELD_COUNT, 23);
        for (index, field) in Field::ALL.into_iter().enumerate() {
            assert_eq!(field.index(), index);
            assert_eq!(field.number(), index as u64);
            assert_eq!(Field::from_number(index as u64), Some(field));
            assert!(FieldSet::EMPTY.with(field).contains(field));
            assert_eq!(FieldSet::EMPTY.with(field).bits(), 1 << index);
            assert!(!field.doc().is_empty() && !field.name().is_empty());
        }
        assert_eq!(Field::from_number(FIELD_COUNT as u64), None);
        assert_eq!(FieldSet::from_bits(1 << FIELD_COUNT), None);
        assert_eq!(FieldSet::ALL.iter().count(), FIELD_COUNT);
    }

    #[test]
    fn kleene_tables() {
        use Truth::{False, True, Unknown};
        let and = [[False; 3], [False, True, Unknown], [False, Unknown, Unknown]];
        let or = [[False, True, Unknown], [True; 3], [Unknown, True, Unknown]];
        for (row, left) in [False, True, Unknown].into_iter().enumerate() {
            for (column, right) in [False, True, Unknown].into_iter().enumerate() {
                assert_eq!(left.and(right), and[row][column]);
                assert_eq!(left.or(right), or[row][column]);
                assert_eq!(left.and(right).not(), left.not().or(right.not()), "De Morgan");
            }
        }
        assert_eq!([False.not(), True.not(), Unknown.not()], [True, False, Unknown]);
    }

    #[test]
    fn inputs_start_unknown_and_can_be_set() {
        let mut inputs = Inputs::unknown();
        inputs.set(Field::ProcessId, Input::Number(4));
        assert_eq!(inputs.input::<9>(), Input::Number(4));
        assert_eq!(inputs.try_input(9), Some(Input::Number(4)));
        assert_eq!(inputs.try_input(1), Some(Input::Unknown));
        assert_eq!(inputs.try_input(FIELD_COUNT), None);
        assert!(size_of::<Inputs<'_>>() <= FIELD_COUNT * 24);
    }
}
