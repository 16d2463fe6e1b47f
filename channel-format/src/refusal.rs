//! Why a file was refused: a small value with a stable number, a place, and whose fault it is.
//!
//! The numbers are for ever: a code that is no longer used keeps its number. The list in
//! `docs/channel-format.md` is checked against [`Code::ALL`] by a test.

use core::fmt;

/// Who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file: whoever built or carried it.
    File,
    /// The keys: who signed, with what permission, or what this sensor trusts.
    Key,
    /// The schema: the content asks for another version of the sensor.
    Schema,
    /// This machine or this program.
    Host,
}

impl Fault {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Key => "key",
            Self::Schema => "schema",
            Self::Host => "host",
        }
    }
}

/// One refusal: what was wrong, where, what was expected there and what was found.
///
/// `expected` and `found` are numbers whose meaning depends on the code: a limit and a value, two
/// lengths, a set of fields and the index of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was wrong.
    pub code: Code,
    /// Where, in bytes from the start of the file (or of the anchor).
    pub offset: u32,
    /// What had to be there.
    pub expected: u64,
    /// What was there.
    pub found: u64,
}

impl Refusal {
    /// A refusal of what lies at `offset`.
    pub const fn new(code: Code, offset: u32, expected: u64, found: u64) -> Self {
        Self { code, offset, expected, found }
    }

    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        self.code.fault()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} ({}) at offset {:#x}: {}; ",
            self.code.name(),
            self.code.number(),
            self.offset,
            self.code.summary()
        )?;
        if let (Code::FieldNotSupplied | Code::FieldsUsed, Some(field)) =
            (self.code, crate::schema::Field::from_number(self.found))
        {
            return write!(out, "field {} (number {})", field.name(), self.found);
        }
        let (expected, found) = (Number(self.expected), Number(self.found));
        write!(out, "expected {expected}, found {found}")
    }
}

impl core::error::Error for Refusal {}

/// Writes small numbers in decimal and wild ones in both, as a reader of a hex dump wants them.
struct Number(u64);

impl fmt::Display for Number {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0x1_0000 {
            write!(out, "{}", self.0)
        } else {
            write!(out, "{} ({:#x})", self.0, self.0)
        }
    }
}

/// Makes the enum and its tables from one list, so that they cannot drift apart.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $fault:ident, $remedy:literal;)+) => {
        /// What was wrong with a file, a key or this host. See [`Code::number`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Code {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl Code {
            /// Every code, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable number.
            pub const fn number(self) -> u16 {
                match self {
                    $(Self::$name => $number,)+
                }
            }

            /// The stable name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// What was wrong, in one line.
            pub const fn summary(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc,)+).trim_ascii(),)+
                }
            }

            /// What to do about it.
            pub const fn remedy(self) -> &'static str {
                match self {
                    $(Self::$name => $remedy,)+
                }
            }

            /// Whose fault it is.
            // Not inlined: what is done with each fault would become a jump by the code's number,
            // with a trap for the numbers that no code has.
            #[inline(never)]
            pub const fn fault(self) -> Fault {
                match self {
                    $(Self::$name => Fault::$fault,)+
                }
            }
        }
    };
}

codes! {
    /// the file is empty, all zero or cut short, as a write torn by a crash leaves it
    Absent = 1, File, "copy the file again; the content in force is not affected";

    /// the file does not begin as a channel file does
    BadMagic = 10, File, "check that this is a Saker channel file";
    /// the format version is not known
    FormatVersion = 11, File, "build the file for this sensor's format, or update the sensor";
    /// the header length is not that of this format version
    HeaderLength = 12, File, "build the file again";
    /// a flag is set that has no meaning
    UnknownFlags = 13, File, "build the file for this sensor's format, or update the sensor";
    /// the file is longer than its header says, or than any file may be
    FileLength = 14, File, "build the file again, or split the rules over several channels";
    /// a reserved byte is not zero
    ReservedNotZero = 15, File, "build the file for this sensor's format, or update the sensor";
    /// channel, epoch or sequence does not fit a file name
    NameNumber = 16, File, "use numbers up to 99999999";
    /// the template type is not known, or not one that this channel carries
    TemplateType = 17, File, "build the file for this sensor, or update the sensor";
    /// the file has more of something than may be
    TooMany = 18, File, "split the rules over several channels";
    /// a declared step bound is over the limit
    StepLimit = 19, File, "split the rules over several channels, or simplify them";
    /// the number of sections is wrong
    SectionCount = 20, File, "build the file again";
    /// a section's kind is unknown or out of order
    SectionKind = 21, File, "build the file for this sensor's format, or update the sensor";
    /// a section overlaps, leaves a gap, or does not end where the file ends
    SectionBounds = 22, File, "build the file again";
    /// a section's record size or length does not fit its kind
    SectionSize = 23, File, "build the file again";
    /// bytes are left over where a structure should end
    TrailingBytes = 24, File, "build the file again";
    /// the file's digest is not the one that was signed
    DigestMismatch = 25, File, "copy the file again; if it stays so, it was altered after signing";
    /// the file's header is not the one whose signature was checked
    HeaderChanged = 26, File, "the file changed while it was read; try again";

    /// this sensor has no anchor, so it trusts no key
    NoAnchor = 40, Key, "install a package that was stamped with root keys";
    /// the anchor of this sensor is malformed
    BadAnchor = 41, Key, "reinstall the package";
    /// a key appears twice in the anchor
    DuplicateKey = 42, Key, "stamp the package again with distinct keys";
    /// the file is not signed
    Unsigned = 43, Key, "sign the file";
    /// the number of signatures is wrong
    SignatureCount = 44, Key, "sign the file again";
    /// one key signed twice
    DuplicateSigner = 45, Key, "sign the file again, with distinct keys";
    /// no signature is by a key that this sensor knows
    UnknownSigner = 46, Key, "sign the file with a key of this sensor, or give the right public key";
    /// a signature of a known key is wrong
    BadSignature = 47, Key, "sign the file again; if it stays so, it was altered after signing";
    /// the key's role may not sign this channel
    KeyRole = 48, Key, "sign channel 0 with root keys and every other channel with a content key";
    /// the key's channels do not include this one
    KeyChannel = 49, Key, "sign with a key for this channel";
    /// too few root keys signed
    RootThreshold = 50, Key, "have more root keys sign the file";

    /// the key may not sign in this epoch
    KeyEpoch = 51, Key, "sign with a key of this epoch, or raise the file's epoch";
    /// files of this epoch are trusted no more
    EpochRetired = 52, Key, "build the content for the current epoch and sign it with a key of it";
    /// the file was revoked
    Revoked = 53, Key, "deploy a newer file";
    /// the file is older than what must at least come in
    BelowFloor = 54, Key, "deploy the newest file; to go back, sign the old rules under a higher sequence";
    /// nothing new may come in on this channel
    Halted = 55, Key, "wait until the publisher ends the halt; what is in force stays";
    /// the file has fewer rules than must at least come in, and does not say that it shrinks
    FewerRules = 56, Key, "check that no rule got lost; if none did, build the file so that it may shrink";

    /// the content's schema version is not this sensor's
    SchemaVersion = 60, Schema, "build the content for this sensor's schema, or update the sensor";
    /// the content needs a newer sensor
    ApiLevel = 61, Schema, "update the sensor, or build the content for its level";
    /// the content matches on a field that the sensor does not supply
    FieldNotSupplied = 62, Schema, "leave the field out of the rules, or update the sensor";
    /// the header's set of fields is not what the rules use
    FieldsUsed = 63, File, "build the file again";
    /// a field number is not in the schema
    UnknownField = 64, Schema, "build the content for this sensor's schema, or update the sensor";

    /// a record's index points outside its table
    IndexOutOfRange = 80, File, "do not deploy this file; build it again with a sound compiler";
    /// a length runs past the end of what holds it, or is over its limit
    LengthOutOfRange = 81, File, "do not deploy this file; build it again with a sound compiler";
    /// records do not follow one another in canonical order
    OutOfOrder = 82, File, "build the file again";
    /// an operator is not known
    UnknownOperator = 83, File, "build the file for this sensor's format, or update the sensor";
    /// an operator does not suit its field
    OperatorForField = 84, File, "build the file again";
    // 85 to 88 were about programs with a stack.
    /// a literal is not folded
    NotFolded = 89, File, "build the file again";
    // 90 was about search tables of single literals.
    /// an automaton's unit classes are wrong
    UnitClasses = 91, File, "build the file again";
    /// an automaton's state table is wrong
    StateTable = 92, File, "build the file again";
    /// a text is not UTF-8
    NotUtf8 = 93, File, "build the file again";
    /// a rule's level, action or operations are not known
    RuleHeader = 94, File, "build the file for this sensor's format, or update the sensor";
    /// an example is malformed
    BadExample = 95, File, "build the file again";
    /// an event may cost more steps than the header declares
    StepsPerEvent = 96, File, "build the file again";
    /// a load may cost more steps than the header declares
    StepsPerLoad = 97, File, "build the file again";
    /// an example was not judged as its author says
    ExampleFailed = 98, File, "do not deploy this file; mend the rule or its example";

    /// a criterion is to be searched in a way that is not known, or not one for its operator
    UnknownSearch = 99, File, "build the file for this sensor's format, or update the sensor";
    /// an automaton over literals is not that of its criteria's literals
    ScanTable = 100, File, "do not deploy this file; build it again with a sound compiler";
    /// a criterion's triggers are not what its search calls for, or name a rule that is not there
    TriggerList = 101, File, "do not deploy this file; build it again with a sound compiler";
    /// a program jumps out of itself, or not forward
    JumpTarget = 102, File, "do not deploy this file; build it again with a sound compiler";
    /// a rule could be true for an event that is not judged by it
    RuleCover = 103, File, "do not deploy this file; build it again with a sound compiler";

    /// a rule has no example that it matches, or none that it does not
    ExampleMissing = 104, File, "give the rule an example of each kind";

    /// a record of channel 0 has no meaning
    ControlRecord = 110, File, "build channel 0 again";

    /// the program contradicts itself
    Internal = 120, Host, "report this with the file";
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::schema::Field;

    #[test]
    fn numbers_rise_and_stay() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].number() < pair[1].number()));
        for (code, number) in [
            (Code::Absent, 1),
            (Code::DigestMismatch, 25),
            (Code::BadSignature, 47),
            (Code::FieldNotSupplied, 62),
            (Code::IndexOutOfRange, 80),
            (Code::ExampleFailed, 98),
        ] {
            assert_eq!(code.number(), number);
        }
    }

    #[test]
    fn reads_well() {
        let wild = Refusal::new(Code::IndexOutOfRange, 0x1c40, 87, 0xffff_fff0);
        assert_eq!(
            wild.to_string(),
            "IndexOutOfRange (80) at offset 0x1c40: a record's index points outside its table; \
             expected 87, found 4294967280 (0xfffffff0)"
        );
        assert_eq!(wild.fault(), Fault::File);
        let field = Refusal::new(Code::FieldNotSupplied, 40, 0x20f, Field::User.number());
        assert!(field.to_string().ends_with("field User (number 5)"), "{field}");
    }
}
