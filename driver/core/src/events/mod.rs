//! What the driver tells Event Tracing for Windows: one table of events, and what follows from it.
//!
//! The events describe themselves (TraceLogging): beside its values each carries its name and the
//! names and types of its fields, so that no manifest is needed to read a trace. Those bytes are
//! made from the table while compiling ([`metadata`]); the values are laid out by
//! [`Event::encode`]. `docs/events.md` is made from the same table.
//!
//! Nothing here allocates, and what does not fit is not told in part: it is refused whole.

pub mod metadata;
mod payload;

use driver_abi::{EventRecord, Hit, Operation, SID_MAX, Sid, Verdict};

pub use self::metadata::{Definition, Document, Field, Kind, Level};
use self::payload::Payload;

/// The provider's name.
pub const PROVIDER_NAME: &str = "Saker";

/// The provider's GUID as Windows lays it out. It is the hash of [`PROVIDER_NAME`] that every tool
/// for event sources computes, so the name alone is enough to listen: see the test.
pub const PROVIDER_GUID: Guid = Guid {
    data1: 0x8054_8362,
    data2: 0x3B00,
    data3: 0x55A7,
    data4: [0xB6, 0xFE, 0xEC, 0x33, 0x2D, 0x94, 0x55, 0x2A],
};

/// What the provider says of itself: its name.
pub static PROVIDER_TRAITS: [u8; metadata::traits_len(PROVIDER_NAME)] =
    metadata::traits(PROVIDER_NAME);

/// A GUID as Windows lays it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guid {
    /// The first group of digits.
    pub data1: u32,
    /// The second.
    pub data2: u16,
    /// The third.
    pub data3: u16,
    /// The last two.
    pub data4: [u8; 8],
}

/// What an event is about, so that a listener can choose. A bit of the keyword mask each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyword {
    /// The bit.
    pub bit: u64,
    /// Its name in the documents.
    pub name: &'static str,
    /// What it covers.
    pub covers: &'static str,
}

/// Verdicts on pipe events.
pub const VERDICT: Keyword =
    Keyword { bit: 0x1, name: "Verdict", covers: "what rules said about a pipe" };
/// What became of channel files.
pub const CONTENT: Keyword =
    Keyword { bit: 0x2, name: "Content", covers: "what became of channel files" };
/// How much the machine is protected.
pub const PROTECTION: Keyword =
    Keyword { bit: 0x4, name: "Protection", covers: "how much the machine is protected" };
/// The driver's own life.
pub const LIFE: Keyword =
    Keyword { bit: 0x8, name: "Life", covers: "the driver, its filter and its clients" };

/// Every keyword.
pub const KEYWORDS: [Keyword; 4] = [VERDICT, CONTENT, PROTECTION, LIFE];

/// Bytes that hold the values of any event that has neither a pipe's name nor rules.
pub const SMALL_PAYLOAD: usize = 160;
/// What stands for a number that is not known, since a field cannot be left out.
const NOT_KNOWN: u32 = u32::MAX;

/// Bytes that hold the values of any event.
pub const MAX_PAYLOAD: usize = SMALL_PAYLOAD
    + SID_MAX
    + driver_abi::MAX_HITS * 4
    + (driver_abi::NAME_UNITS + driver_abi::IMAGE_UNITS) * 2;

/// The Rust type of a field.
macro_rules! value {
    ($life:lifetime Number) => { u32 };
    ($life:lifetime Count) => { u64 };
    ($life:lifetime Flag) => { bool };
    ($life:lifetime Pid) => { u32 };
    ($life:lifetime Status) => { u32 };
    ($life:lifetime Word) => { &$life str };
    ($life:lifetime Text) => { &$life [u16] };
    ($life:lifetime User) => { &$life Sid };
    ($life:lifetime Rules) => { &$life [Hit] };
}

/// Makes the enum, its metadata and its layout from one list, so that they cannot drift apart.
/// Events before one pair of braces have the same fields.
macro_rules! events {
    ($($(#[doc = $doc:literal] $name:ident: $level:ident, $keyword:ident;)+ with $fields:tt)+) => {
        table! { $($(#[doc = $doc] $name: $level, $keyword $fields)+)+ }
    };
}

macro_rules! table {
    ($(
        #[doc = $doc:literal]
        $name:ident: $level:ident, $keyword:ident {
            $(#[doc = $field_doc:literal] $field:ident $wire:literal: $kind:ident,)*
        }
    )+) => {
        /// One event and its values.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Event<'a> {
            $(#[doc = $doc] $name { $(#[doc = $field_doc] $field: value!('a $kind),)* },)+
        }

        /// Every event, in the order of the table.
        pub const DOCUMENTS: &[Document] = &[$(Document {
            definition: &definitions::$name,
            doc: $doc.trim_ascii(),
            keyword: $keyword,
            fields: &[
                $(Field { name: $wire, kind: Kind::$kind, doc: $field_doc.trim_ascii() },)*
            ],
        },)+];

        #[allow(non_upper_case_globals, reason = "named as the events are")]
        mod definitions {
            use super::metadata::{Definition, Field, Kind, Level, event, event_len};

            $(pub(super) static $name: Definition = {
                const FIELDS: &[Field] = &[
                    $(Field { name: $wire, kind: Kind::$kind, doc: "" },)*
                ];
                const NAME: &str = stringify!($name);
                const METADATA: [u8; event_len(NAME, FIELDS)] = event(NAME, FIELDS);
                Definition {
                    level: Level::$level,
                    keyword: super::$keyword.bit,
                    metadata: &METADATA,
                }
            };)+
        }

        impl Event<'_> {
            /// The event's definition.
            pub fn definition(&self) -> &'static Definition {
                match self {
                    $(Self::$name { .. } => &definitions::$name,)+
                }
            }

            /// Lays the values out in `out` as the definition says, and returns how many bytes
            /// that took. `None` when they do not fit.
            #[must_use]
            pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
                let mut payload = Payload::new(out);
                match self {
                    $(Self::$name { $($field),* } => { $(put!(payload, $kind, $field);)* })+
                }
                payload.finish()
            }
        }
    };
}

/// Lays out one value by its kind.
macro_rules! put {
    ($payload:ident, Number, $value:ident) => {
        $payload.u32(*$value)
    };
    ($payload:ident, Count, $value:ident) => {
        $payload.u64(*$value)
    };
    ($payload:ident, Flag, $value:ident) => {
        $payload.u8(u8::from(*$value))
    };
    ($payload:ident, Pid, $value:ident) => {
        $payload.u32(*$value)
    };
    ($payload:ident, Status, $value:ident) => {
        $payload.u32(*$value)
    };
    ($payload:ident, Word, $value:ident) => {
        $payload.word($value)
    };
    ($payload:ident, Text, $value:ident) => {
        $payload.text($value)
    };
    ($payload:ident, User, $value:ident) => {
        $payload.sid($value)
    };
    ($payload:ident, Rules, $value:ident) => {
        $payload.rules($value)
    };
}

events! {
    /// A rule matched; the operation went on.
    Detection: Warning, VERDICT;
    /// A rule matched and the operation was refused.
    Block: Warning, VERDICT;
    /// A rule would have blocked, but the requestor is never blocked; the operation went on.
    Exempt: Warning, VERDICT;
    /// No rule matched, and at least one could not be decided for want of an input.
    Unknown: Info, VERDICT;
    with {
        /// number of the event since the driver's start
        event "Event": Count,
        /// when, in 100-nanosecond units since boot, not counting sleep
        time "Time": Count,
        /// the requesting process
        process "ProcessId": Pid,
        /// `created` or `connected`
        operation "Operation": Word,
        /// the pipe's name, cut at 256 units
        pipe "PipeName": Text,
        /// the requesting process's image, cut at 260 units; empty when it is not known
        image "Image": Text,
        /// epoch of the content that judged
        epoch "Epoch": Number,
        /// its sequence
        sequence "Sequence": Number,
        /// rules that matched, in all
        matched "Matched": Number,
        /// rules that could not be decided, in all
        undecided "Undecided": Number,
        /// indices of these rules in the content, those that matched first
        rules "Rules": Rules,
        /// more rules of the same operation follow in another event
        more "More": Flag,
        /// events of these rules that were not told before this one, because they were too many
        untold "Untold": Number,
        /// what the requestor got; 0xFFFFFFFF when it is not known
        result "Result": Status,
        /// which instance of its pipe was created: `first`, `further` or `unknown`
        instance "Instance": Word,
        /// in whose name the request was made; S-1-0-0 when it is not known
        user "User": User,
        /// the session of that user's token; 0xFFFFFFFF when it is not known
        session "Session": Number,
        /// its integrity level, such as 8192 medium and 12288 high; 0xFFFFFFFF when it is not known
        integrity "Integrity": Number,
        /// it is elevated: `yes`, `no` or `unknown`
        elevated "Elevated": Word,
        /// it is another one's than the process's own: `yes`, `no` or `unknown`
        impersonating "Impersonating": Word,
        /// the request came through the file server: `yes`, `no` or `unknown`
        remote "Remote": Word,
    }
    /// Events for which this trace had no room since the last of these.
    RecordsDropped: Warning, VERDICT; with {
        /// how many
        dropped "Dropped": Count,
    }
    /// A file came into force, on trial.
    ContentAccepted: Info, CONTENT; with {
        /// its epoch
        epoch "Epoch": Number,
        /// its sequence
        sequence "Sequence": Number,
        /// its rules
        rules "RuleCount": Number,
        /// its key may sign rules that block
        may_block "MayBlock": Flag,
    }
    /// Content that was good before came into force from a slot, as at a boot.
    ContentLoaded: Info, CONTENT; with {
        /// its epoch
        epoch "Epoch": Number,
        /// its sequence
        sequence "Sequence": Number,
        /// its rules
        rules "RuleCount": Number,
        /// its key may sign rules that block
        may_block "MayBlock": Flag,
    }
    /// The content in force has become good.
    ContentPromoted: Info, CONTENT; with {
        /// its epoch
        epoch "Epoch": Number,
        /// its sequence
        sequence "Sequence": Number,
    }
    /// The content in force was good and is on trial again.
    ContentDemoted: Warning, CONTENT; with {
        /// its epoch
        epoch "Epoch": Number,
        /// its sequence
        sequence "Sequence": Number,
    }
    /// The content that was in force serves no more, and nothing else does.
    ContentWithdrawn: Error, CONTENT; with {
        /// its epoch
        epoch "Epoch": Number,
        /// its sequence
        sequence "Sequence": Number,
    }
    /// Channel 0 was taken: it says whose files and which files are trusted from now on.
    ControlTaken: Info, CONTENT; with {
        /// its epoch
        epoch "Epoch": Number,
        /// its sequence
        sequence "Sequence": Number,
        /// it says that nothing new comes in
        halted "Halted": Flag,
    }
    /// A file of channel 0 was refused; what was said before holds.
    ControlRefused: Error, CONTENT; with {
        /// the file's epoch, from its name
        epoch "Epoch": Number,
        /// the file's sequence, from its name
        sequence "Sequence": Number,
        /// the refusal's number, see the list of refusals; 0 when the host is at fault
        code "Code": Number,
        /// its name; empty when the host is at fault
        name "Name": Word,
        /// where in the file, in bytes
        offset "Offset": Number,
        /// what had to be there
        expected "Expected": Count,
        /// what was there
        found "Found": Count,
        /// what the host said when it is at fault, else 0
        status "Status": Status,
        /// what that status means here, such as `held` or `hard_link`; else `none`
        cause "Cause": Word,
    }
    /// Content that is kept for the next boot does not serve it.
    SlotOut: Error, CONTENT; with {
        /// where it is kept: `good`, `previous` or `trial`
        slot "Slot": Word,
        /// its epoch; 0 when it is refused
        epoch "Epoch": Number,
        /// its sequence; 0 when it is refused
        sequence "Sequence": Number,
        /// `waits` for a healthy hour, `struck` out, or `refused`
        state "State": Word,
        /// the refusal's number, see the list of refusals; else 0
        code "Code": Number,
        /// its name; else empty
        name "Name": Word,
    }
    /// A file was refused; what was in force stays in force.
    ContentRefused: Error, CONTENT; with {
        /// the file's epoch, from its name
        epoch "Epoch": Number,
        /// the file's sequence, from its name
        sequence "Sequence": Number,
        /// the refusal's number, see the list of refusals; 0 when the host is at fault
        code "Code": Number,
        /// its name; empty when the host is at fault
        name "Name": Word,
        /// who can mend it: `file`, `key`, `schema` or `host`
        fault "Fault": Word,
        /// where in the file, in bytes
        offset "Offset": Number,
        /// what had to be there
        expected "Expected": Count,
        /// what was there
        found "Found": Count,
        /// what the host said when it is at fault, else 0
        status "Status": Status,
        /// what that status means here, such as `held` or `hard_link`; else `none`
        cause "Cause": Word,
    }
    /// A file is not tried any more: the machine went down twice while it was.
    ContentStruck: Error, CONTENT; with {
        /// the file's epoch, from its name
        epoch "Epoch": Number,
        /// the file's sequence, from its name
        sequence "Sequence": Number,
    }
    /// How much the machine is protected has changed.
    ProtectionChanged: Warning, PROTECTION; with {
        /// `full`, `degraded` or `none`
        level "Protection": Word,
        /// why it is less than full, else empty
        reason "Reason": Word,
        /// what it was before
        was "Was": Word,
        /// why it was less than full
        was_reason "WasReason": Word,
    }
    /// The mode is another.
    ModeChanged: Warning, PROTECTION; with {
        /// `observe` or `enforce`
        mode "Mode": Word,
        /// what it was before
        was "Was": Word,
    }
    /// Content blocked far too much and only observes from now on.
    FuseTripped: Error, PROTECTION; with {
        /// epoch of the content
        epoch "Epoch": Number,
        /// its sequence
        sequence "Sequence": Number,
        /// the limit that was passed
        reason "Reason": Word,
    }
    /// A service parameter has a value that makes no sense; its default holds.
    SettingRefused: Warning, PROTECTION; with {
        /// the parameter
        name "Name": Word,
    }
    /// A pipe that the driver opened itself was not seen by its own filter: pipes are not judged.
    ProbeFailed: Error, PROTECTION; with {
        /// when that probe was made, in 100-nanosecond units since boot
        time "Time": Count,
    }
    /// A pipe that the driver opens itself does not come back: a filter or the file system keeps it.
    ProbeHeld: Error, PROTECTION; with {
        /// when that probe began, in 100-nanosecond units since boot
        time "Time": Count,
    }
    /// The driver has started.
    Started: Info, LIFE; with {
        /// its version
        version "Version": Word,
        /// `observe` or `enforce`
        mode "Mode": Word,
    }
    /// The driver stops.
    Stopped: Info, LIFE; with {
        /// pipe events judged since it started
        events "Events": Count,
    }
    /// The driver is not told when processes end: what it keeps of them stays until others need room.
    ProcessesUnwatched: Warning, LIFE; with {
        /// what the kernel said
        status "Status": Status,
    }
    /// The filter is attached to the named-pipe file system.
    Attached: Info, LIFE; with {}
    /// The filter is no longer attached to it.
    Detached: Warning, LIFE; with {}
    /// A client has connected to the port.
    ClientConnected: Info, LIFE; with {}
    /// A client is gone, or was given up.
    ClientGone: Info, LIFE; with {
        /// it took nothing for too long and was given up
        stuck "Stuck": Flag,
    }
}

/// The definition of the event that a verdict becomes; `None` for one that is not told.
pub fn definition_of(verdict: Verdict) -> Option<&'static Definition> {
    match verdict {
        Verdict::Detect => Some(&definitions::Detection),
        Verdict::Block => Some(&definitions::Block),
        Verdict::Exempt => Some(&definitions::Exempt),
        Verdict::Unknown => Some(&definitions::Unknown),
        Verdict::Allow | Verdict::NotReady => None,
    }
}

impl<'a> Event<'a> {
    /// What a record of a pipe event says; `None` for a verdict that is not told.
    pub fn of_record(record: &'a EventRecord) -> Option<Self> {
        /// The events about a pipe have the same fields.
        macro_rules! about_a_pipe {
            ($name:ident) => {
                Self::$name {
                    event: record.event,
                    time: record.time,
                    process: u32::try_from(record.process_id).unwrap_or(u32::MAX),
                    operation: match record.operation {
                        Operation::Created => "created",
                        Operation::Connected => "connected",
                    },
                    pipe: record.name.units(),
                    image: record.image.units(),
                    epoch: record.epoch,
                    sequence: record.sequence,
                    matched: record.matched,
                    undecided: record.unknown,
                    rules: record.hits(),
                    more: record.more,
                    untold: record.untold,
                    result: record.result.unwrap_or(NOT_KNOWN),
                    instance: record.instance.name(),
                    user: &record.user,
                    session: record.session.unwrap_or(NOT_KNOWN),
                    integrity: record.integrity.unwrap_or(NOT_KNOWN),
                    elevated: answer(record.elevated),
                    impersonating: answer(record.impersonating),
                    remote: answer(record.remote),
                }
            };
        }
        Some(match record.verdict {
            Verdict::Detect => about_a_pipe!(Detection),
            Verdict::Block => about_a_pipe!(Block),
            Verdict::Exempt => about_a_pipe!(Exempt),
            Verdict::Unknown => about_a_pipe!(Unknown),
            Verdict::Allow | Verdict::NotReady => return None,
        })
    }
}

/// The word for what may not be known.
const fn answer(answer: Option<bool>) -> &'static str {
    match answer {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    }
}

#[cfg(test)]
mod tests;
