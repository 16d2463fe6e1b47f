//! One judged pipe event.

use core::mem::offset_of;

use crate::sid::{SID_MAX, Sid};
use crate::wire::{Malformed, Reader, Writer};
use crate::{HEAD_LEN, Kind, write_head};

/// Hits one record holds. An event with more is told in several records, all but the last with
/// [`EventRecord::more`] set.
pub const MAX_HITS: usize = 48;
/// UTF-16 units of the pipe name a record holds: the Win32 limit for pipe names.
pub const NAME_UNITS: usize = 256;
/// UTF-16 units of the image path a record holds: `MAX_PATH`.
pub const IMAGE_UNITS: usize = 260;
/// Length of an event message in bytes.
pub const EVENT_LEN: usize = HEAD_LEN
    + 8 * 4
    + 4
    + 4 * 5
    + MAX_HITS * 4
    + (4 + NAME_UNITS * 2)
    + (4 + IMAGE_UNITS * 2)
    + 4
    + 4 * 3
    + 8
    + SID_MAX;

/// What was asked of the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// A server end was to be created (Sysmon event 17).
    Created,
    /// A client end was to be opened (Sysmon event 18).
    Connected,
}

/// What the sensor decided about one event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    /// No rule matched.
    #[default]
    Allow,
    /// A rule matched; the operation went on.
    Detect,
    /// A rule matched and the operation was refused.
    Block,
    /// A rule would have blocked, but the requestor is exempt; the operation went on.
    Exempt,
    /// No rule matched, but at least one could not be decided for want of an input.
    Unknown,
    /// No content was in force.
    NotReady,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 6] =
        [Self::Allow, Self::Detect, Self::Block, Self::Exempt, Self::Unknown, Self::NotReady];

    /// The word used in logs and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Detect => "detect",
            Self::Block => "block",
            Self::Exempt => "exempt",
            Self::Unknown => "unknown",
            Self::NotReady => "not_ready",
        }
    }

    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Allow => 0,
            Self::Detect => 1,
            Self::Block => 2,
            Self::Exempt => 3,
            Self::Unknown => 4,
            Self::NotReady => 5,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Result<Self, Malformed> {
        Ok(match number {
            0 => Self::Allow,
            1 => Self::Detect,
            2 => Self::Block,
            3 => Self::Exempt,
            4 => Self::Unknown,
            5 => Self::NotReady,
            _ => return Err(Malformed::Value),
        })
    }
}

/// Which instance of its pipe a created one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Instance {
    /// Not known, or nothing was created.
    #[default]
    Unknown,
    /// The first: the pipe did not exist before.
    First,
    /// A further instance of a pipe that existed.
    Further,
}

impl Instance {
    /// The word used in logs and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::First => "first",
            Self::Further => "further",
        }
    }
}

/// One rule that did not come out false.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hit {
    /// Index of the rule in the content named by the record's epoch and sequence.
    pub rule: u32,
    /// The rule could not be decided; else it matched.
    pub unknown: bool,
}

const UNKNOWN_BIT: u32 = 1 << 31;

impl Hit {
    const EMPTY: Self = Self { rule: 0, unknown: false };
}

/// A bounded copy of a UTF-16 string, which may hold any unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<const N: usize> {
    units: [u16; N],
    kept: u16,
    full: u16,
}

impl<const N: usize> Text<N> {
    /// Where a debugger finds the units and how many were kept, in bytes.
    pub const AT: [usize; 2] = [offset_of!(Self, units), offset_of!(Self, kept)];

    /// The empty string.
    pub const EMPTY: Self = Self { units: [0; N], kept: 0, full: 0 };

    /// Copies as much of `units` as fits and remembers the full length.
    pub fn set(&mut self, units: &[u16]) {
        // What the record held before is another event's, and goes to nobody.
        let mut from = units.iter();
        for to in &mut self.units {
            *to = from.next().copied().unwrap_or(0);
        }
        self.full = u16::try_from(units.len()).unwrap_or(u16::MAX);
        self.kept = u16::try_from(units.len().min(N)).unwrap_or(u16::MAX);
    }

    /// The units kept.
    pub fn units(&self) -> &[u16] {
        self.units.get(..usize::from(self.kept)).unwrap_or(&self.units)
    }

    fn copy_from(&mut self, other: &Self) {
        self.units.copy_from_slice(&other.units);
        self.kept = other.kept;
        self.full = other.full;
    }

    /// True when the string was longer than what was kept.
    pub const fn is_cut(&self) -> bool {
        self.full > self.kept
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.u16(self.kept);
        writer.u16(self.full);
        for unit in self.units {
            writer.u16(unit);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut text = Self::EMPTY;
        text.kept = reader.u16()?;
        text.full = reader.u16()?;
        if usize::from(text.kept) > N || text.kept > text.full {
            return Err(Malformed::Value);
        }
        for unit in &mut text.units {
            *unit = reader.u16()?;
        }
        Ok(text)
    }
}

/// One judged pipe event, or a part of one. Not `Copy`: at over a kilobyte it has no business on
/// a kernel stack, so copies are spelled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// Number of the event since the driver started, from 1, without gaps; a gap a client sees is
    /// what the ring had no room for, or what it did not ask to hear.
    pub event: u64,
    /// When: 100-nanosecond units since boot, not counting sleep.
    pub time: u64,
    /// The requesting process.
    pub process_id: u64,
    /// Records that this client lost before this one, since it connected.
    pub dropped: u64,
    /// What was asked of the pipe.
    pub operation: Operation,
    /// What was decided.
    pub verdict: Verdict,
    /// The image path could be found (else [`Self::image`] is empty and means nothing).
    pub image_known: bool,
    /// Another record about the same event follows.
    pub more: bool,
    /// Epoch of the content that judged; 0 with [`Verdict::NotReady`].
    pub epoch: u32,
    /// Sequence of the content that judged; 0 with [`Verdict::NotReady`].
    pub sequence: u32,
    /// Rules that matched, over all records of the event.
    pub matched: u32,
    /// Rules that could not be decided, over all records of the event.
    pub unknown: u32,
    hits: [Hit; MAX_HITS],
    hit_count: u32,
    /// The pipe's name, with its leading backslash.
    pub name: Text<NAME_UNITS>,
    /// The requesting process's image path.
    pub image: Text<IMAGE_UNITS>,
    /// Events of this record's rules that were judged and counted but not told since the last
    /// record that names them, because they were too many.
    pub untold: u32,
    /// The NT status that the requestor got, where the driver learned it.
    pub result: Option<u32>,
    /// Which instance of the pipe was created.
    pub instance: Instance,
    /// In whose name the request was made: a binary security identifier, empty where not known.
    pub user: Sid,
    /// The terminal services session of that user's token.
    pub session: Option<u32>,
    /// Its integrity level: 8192 medium, 12288 high.
    pub integrity: Option<u32>,
    /// It is elevated.
    pub elevated: Option<bool>,
    /// It is another one's than the process's own.
    pub impersonating: Option<bool>,
    /// The request came through the file server: from the network, or from this machine by its
    /// network name.
    pub remote: Option<bool>,
}

impl EventRecord {
    /// Where a debugger finds the hits and how many there are, in bytes.
    pub const HITS_AT: [usize; 2] = [offset_of!(Self, hits), offset_of!(Self, hit_count)];

    /// A record of nothing.
    pub const EMPTY: Self = Self {
        event: 0,
        time: 0,
        process_id: 0,
        dropped: 0,
        operation: Operation::Created,
        verdict: Verdict::Allow,
        image_known: false,
        more: false,
        epoch: 0,
        sequence: 0,
        matched: 0,
        unknown: 0,
        hits: [Hit::EMPTY; MAX_HITS],
        hit_count: 0,
        name: Text::EMPTY,
        image: Text::EMPTY,
        untold: 0,
        result: None,
        instance: Instance::Unknown,
        user: Sid::EMPTY,
        session: None,
        integrity: None,
        elevated: None,
        impersonating: None,
        remote: None,
    };

    /// The rules this record names.
    pub fn hits(&self) -> &[Hit] {
        usize::try_from(self.hit_count).ok().and_then(|n| self.hits.get(..n)).unwrap_or(&[])
    }

    /// Adds a rule. False when the record is full.
    pub fn add_hit(&mut self, hit: Hit) -> bool {
        let slot = usize::try_from(self.hit_count).ok().and_then(|n| self.hits.get_mut(n));
        let Some(slot) = slot else { return false };
        *slot = hit;
        self.hit_count = self.hit_count.saturating_add(1);
        true
    }

    /// Forgets the rules named so far.
    pub const fn clear_hits(&mut self) {
        self.hits = [Hit::EMPTY; MAX_HITS];
        self.hit_count = 0;
    }

    /// Forgets everything, in place.
    pub fn clear(&mut self) {
        self.copy_from(&Self::EMPTY);
    }

    /// Takes over everything from another record, in place.
    pub fn copy_from(&mut self, other: &Self) {
        let Self {
            event,
            time,
            process_id,
            dropped,
            operation,
            verdict,
            image_known,
            more,
            epoch,
            sequence,
            matched,
            unknown,
            hits,
            hit_count,
            name,
            image,
            untold,
            result,
            instance,
            user,
            session,
            integrity,
            elevated,
            impersonating,
            remote,
        } = other;
        self.event = *event;
        self.time = *time;
        self.process_id = *process_id;
        self.dropped = *dropped;
        self.operation = *operation;
        self.verdict = *verdict;
        self.image_known = *image_known;
        self.more = *more;
        self.epoch = *epoch;
        self.sequence = *sequence;
        self.matched = *matched;
        self.unknown = *unknown;
        self.hits.copy_from_slice(hits);
        self.hit_count = *hit_count;
        self.name.copy_from(name);
        self.image.copy_from(image);
        self.untold = *untold;
        self.result = *result;
        self.instance = *instance;
        self.user = *user;
        self.session = *session;
        self.integrity = *integrity;
        self.elevated = *elevated;
        self.impersonating = *impersonating;
        self.remote = *remote;
    }

    /// Encodes the record as a whole message. False when `out` is not [`EVENT_LEN`] bytes long.
    #[must_use]
    pub fn encode(&self, out: &mut [u8]) -> bool {
        let mut writer = Writer::new(out);
        write_head(&mut writer, Kind::Event, EVENT_LEN);
        writer.u64(self.event);
        writer.u64(self.time);
        writer.u64(self.process_id);
        writer.u64(self.dropped);
        writer.u8(match self.operation {
            Operation::Created => 1,
            Operation::Connected => 2,
        });
        writer.u8(self.verdict.number());
        writer.u8(u8::from(self.image_known));
        writer.u8(u8::from(self.more));
        for number in [self.epoch, self.sequence, self.matched, self.unknown, self.hit_count] {
            writer.u32(number);
        }
        for hit in &self.hits {
            writer.u32(hit.rule & !UNKNOWN_BIT | if hit.unknown { UNKNOWN_BIT } else { 0 });
        }
        self.name.write(&mut writer);
        self.image.write(&mut writer);
        writer.u32(self.untold);
        let numbers = [self.result, self.session, self.integrity];
        for number in numbers {
            writer.u32(number.unwrap_or(0));
        }
        for number in numbers {
            writer.u8(u8::from(number.is_some()));
        }
        writer.u8(match self.instance {
            Instance::Unknown => 0,
            Instance::First => 1,
            Instance::Further => 2,
        });
        for answer in [self.elevated, self.impersonating, self.remote] {
            writer.u8(match answer {
                None => 0,
                Some(false) => 1,
                Some(true) => 2,
            });
        }
        self.user.write(&mut writer);
        writer.finish()
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut record = Self::EMPTY;
        record.event = reader.u64()?;
        record.time = reader.u64()?;
        record.process_id = reader.u64()?;
        record.dropped = reader.u64()?;
        record.operation = match reader.u8()? {
            1 => Operation::Created,
            2 => Operation::Connected,
            _ => return Err(Malformed::Value),
        };
        record.verdict = Verdict::from_number(reader.u8()?)?;
        record.image_known = flag(reader)?;
        record.more = flag(reader)?;
        record.epoch = reader.u32()?;
        record.sequence = reader.u32()?;
        record.matched = reader.u32()?;
        record.unknown = reader.u32()?;
        record.hit_count = reader.u32()?;
        if !usize::try_from(record.hit_count).is_ok_and(|n| n <= MAX_HITS) {
            return Err(Malformed::Value);
        }
        for hit in &mut record.hits {
            let number = reader.u32()?;
            *hit = Hit { rule: number & !UNKNOWN_BIT, unknown: number & UNKNOWN_BIT != 0 };
        }
        record.name = Text::read(reader)?;
        record.image = Text::read(reader)?;
        record.untold = reader.u32()?;
        let numbers = [reader.u32()?, reader.u32()?, reader.u32()?];
        let [result, session, integrity] = numbers;
        record.result = known(result, flag(reader)?)?;
        record.session = known(session, flag(reader)?)?;
        record.integrity = known(integrity, flag(reader)?)?;
        record.instance = match reader.u8()? {
            0 => Instance::Unknown,
            1 => Instance::First,
            2 => Instance::Further,
            _ => return Err(Malformed::Value),
        };
        record.elevated = answer(reader)?;
        record.impersonating = answer(reader)?;
        record.remote = answer(reader)?;
        record.user = Sid::read(reader)?;
        Ok(record)
    }
}

/// A number that counts only where it is said to be known.
const fn known(number: u32, is_known: bool) -> Result<Option<u32>, Malformed> {
    match (number, is_known) {
        (_, true) => Ok(Some(number)),
        (0, false) => Ok(None),
        _ => Err(Malformed::Value),
    }
}

/// Yes, no, or not known.
fn answer(reader: &mut Reader<'_>) -> Result<Option<bool>, Malformed> {
    match reader.u8()? {
        0 => Ok(None),
        1 => Ok(Some(false)),
        2 => Ok(Some(true)),
        _ => Err(Malformed::Value),
    }
}

pub(crate) fn flag(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed::Value),
    }
}
