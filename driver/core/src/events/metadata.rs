//! The bytes by which a TraceLogging event describes itself, made while compiling.
//!
//! ```text
//! provider: u16 length of all · name, NUL
//! event:    u16 length of all · u8 tag (0) · name, NUL
//!           per field: name, NUL · u8 in-type [· u8 out-type, when bit 7 of the in-type is set]
//! ```
//!
//! Source: `TraceLoggingProvider.h` and `evntprov.h` of the Windows SDK.

/// How grave an event is. The numbers are Windows's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something failed.
    Error,
    /// Somebody should look.
    Warning,
    /// For the record.
    Info,
}

impl Level {
    /// Windows's number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Error => 2,
            Self::Warning => 3,
            Self::Info => 4,
        }
    }

    /// Windows's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "information",
        }
    }
}

/// What a field holds, and how tools show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A 32-bit number.
    Number,
    /// A 64-bit number.
    Count,
    /// True or false, in a byte.
    Flag,
    /// A process id.
    Pid,
    /// An `NTSTATUS`.
    Status,
    /// A counted ASCII string.
    Word,
    /// A counted UTF-16 string, which may hold any unit.
    Text,
    /// A security identifier.
    User,
    /// A counted array of 32-bit numbers.
    Rules,
}

/// A second type byte follows.
const CHAIN: u8 = 0x80;
/// The field is an array whose length stands before it.
const ARRAY: u8 = 0x40;

impl Kind {
    /// The in-type of the field: how its bytes are laid out.
    pub const fn in_type(self) -> u8 {
        match self {
            Self::Number | Self::Pid => 8,
            Self::Count => 10,
            Self::Flag => 4,
            Self::Status => 7,
            Self::Word => 23,
            Self::Text => 22,
            Self::User => 19,
            Self::Rules => 8 | ARRAY,
        }
    }

    /// The out-type of the field, where it is not that of its in-type: how it is shown.
    pub const fn out_type(self) -> Option<u8> {
        match self {
            Self::Flag => Some(3),
            Self::Pid => Some(5),
            Self::Status => Some(14),
            _ => None,
        }
    }

    /// The word for it in the documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "u32",
            Self::Count => "u64",
            Self::Flag => "boolean",
            Self::Pid => "process id",
            Self::Status => "NTSTATUS",
            Self::Word => "string",
            Self::Text => "UTF-16 string",
            Self::User => "SID",
            Self::Rules => "u32 array",
        }
    }
}

/// One field of an event.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in a trace.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What it means.
    pub doc: &'static str,
}

/// What is the same of every event of one name, as far as writing one needs it.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// How grave it is.
    pub level: Level,
    /// What it is about: a bit of [`super::KEYWORDS`].
    pub keyword: u64,
    /// The bytes by which it describes itself.
    pub metadata: &'static [u8],
}

impl Definition {
    /// Its name, as its description has it.
    pub fn name(&self) -> &'static str {
        let name = self.metadata.get(3..).and_then(|rest| rest.split(|byte| *byte == 0).next());
        name.and_then(|name| core::str::from_utf8(name).ok()).unwrap_or("")
    }
}

/// An event for people to read about. Nothing of it reaches the driver.
#[derive(Clone, Copy, Debug)]
pub struct Document {
    /// What a trace says of it.
    pub definition: &'static Definition,
    /// What it says.
    pub doc: &'static str,
    /// What it is about.
    pub keyword: super::Keyword,
    /// Its fields in their order.
    pub fields: &'static [Field],
}

/// Length of what [`traits`] makes.
pub const fn traits_len(name: &str) -> usize {
    Measure::START.text(name).len
}

/// The provider's description of itself.
pub const fn traits<const N: usize>(name: &str) -> [u8; N] {
    Bytes::<N>::start().text(name).bytes
}

/// Length of what [`event`] makes.
pub const fn event_len(name: &str, fields: &[Field]) -> usize {
    let mut measure = Measure::START.byte().text(name);
    let mut at = 0;
    #[allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "evaluated while compiling"
    )]
    while at < fields.len() {
        measure = measure.text(fields[at].name).byte();
        if fields[at].kind.out_type().is_some() {
            measure = measure.byte();
        }
        at += 1;
    }
    measure.len
}

/// An event's description of itself.
pub const fn event<const N: usize>(name: &str, fields: &[Field]) -> [u8; N] {
    let mut bytes = Bytes::<N>::start().byte(0).text(name);
    let mut at = 0;
    #[allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "evaluated while compiling"
    )]
    while at < fields.len() {
        let kind = fields[at].kind;
        bytes = bytes.text(fields[at].name);
        bytes = match kind.out_type() {
            Some(out) => bytes.byte(kind.in_type() | CHAIN).byte(out),
            None => bytes.byte(kind.in_type()),
        };
        at += 1;
    }
    bytes.bytes
}

/// Bytes of the length that begins every description.
const LENGTH: usize = 2;

/// Counts bytes.
struct Measure {
    len: usize,
}

#[allow(clippy::arithmetic_side_effects, reason = "evaluated while compiling")]
impl Measure {
    const START: Self = Self { len: LENGTH };

    const fn byte(self) -> Self {
        Self { len: self.len + 1 }
    }

    const fn text(self, text: &str) -> Self {
        Self { len: self.len + text.len() + 1 }
    }
}

/// Writes bytes.
struct Bytes<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "evaluated while compiling"
)]
impl<const N: usize> Bytes<N> {
    const fn start() -> Self {
        assert!(N <= 0xFFFF, "a description is at most 64 KB");
        let length = (N as u16).to_le_bytes();
        Self { bytes: [0; N], at: 0 }.byte(length[0]).byte(length[1])
    }

    const fn byte(mut self, byte: u8) -> Self {
        self.bytes[self.at] = byte;
        self.at += 1;
        self
    }

    const fn text(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        let mut at = 0;
        while at < text.len() {
            assert!(text[at] != 0 && text[at] < 0x80, "names are ASCII without NUL");
            self = self.byte(text[at]);
            at += 1;
        }
        self.byte(0)
    }
}
