//! Where a debugger finds what the driver holds: one static, [`MAP`], from which
//! `driver/windbg/saker.js` reads a live machine or a dump.
//!
//! | byte | what |
//! |---|---|
//! | 0 | `SKRDEBUG` |
//! | 8 | version of this layout, 4 bytes |
//! | 12 | length of the map, 4 bytes |
//! | 16 | address of the pointer to the sensor, which is null while the driver is stopped |
//! | 24 | address of the crash note |
//! | 32 | two bytes for each line of the list below: an offset, a length or a number |
//!
//! Rust lays its types out as it likes, so that no script can know where a field is; the compiler
//! writes it here. The list's order is that of `FIELDS` in the script, and belongs to the version.

use core::mem::offset_of;

use channel_format::ruleset::Ruleset;
use driver_abi::{EventRecord, Hit, IMAGE_UNITS, NAME_UNITS, RefusalNote, Text};
use driver_core::rate::{Allowance, RateLimit};
use driver_core::ring::Ring;

use crate::content_worker::ContentFacts;
use crate::crash_note::{NOTE, Note};
use crate::ffi::pool::PoolSlice;
use crate::ffi::published::Published;
use crate::ffi::shared::Shared;
use crate::ffi::start::Global;
use crate::ffi::sync::PushLock;
use crate::outbox::{Client, Outbox};
use crate::process_table::{Process, ProcessTable};
use crate::sensor::{Active, SENSOR, Sensor};

/// Changes whenever the list below does.
const VERSION: u32 = 1;

/// The map.
#[repr(C)]
pub struct DebugMap {
    magic: [u8; 8],
    version: u32,
    length: u32,
    sensor: &'static Global<Sensor>,
    note: &'static Note,
    fields: [u16; FIELDS.len()],
}

/// Nothing in the driver reads it; the crash note names its address, which keeps it in the image.
pub static MAP: DebugMap = DebugMap {
    magic: *b"SKRDEBUG",
    version: VERSION,
    length: LENGTH,
    sensor: &SENSOR,
    note: &NOTE,
    fields: FIELDS,
};

/// What stands in the map, by the names that the script gives it.
macro_rules! fields {
    ($($name:literal: $value:expr,)*) => { [$(narrow($value)),*] };
}

const FIELDS: [u16; 75] = fields! {
    "slice.first": PoolSlice::<u8>::AT[0],
    "slice.len": PoolSlice::<u8>::AT[1],
    "mode": Sensor::AT[0],
    "attached": Sensor::AT[1],
    "settled": Sensor::AT[2],
    "stopping": Sensor::AT[3],
    "events": offset_of!(Sensor, counters.events),
    "creates": offset_of!(Sensor, counters.creates),
    "detected": offset_of!(Sensor, counters.detected),
    "blocked": offset_of!(Sensor, counters.blocked),
    "exempt": offset_of!(Sensor, counters.exempt),
    "unknown": offset_of!(Sensor, counters.unknown),
    "not_ready": offset_of!(Sensor, counters.not_ready),
    "fused": offset_of!(Sensor, counters.fused),
    "untold": offset_of!(Sensor, counters.untold),
    "stack_low": offset_of!(Sensor, counters.stack_low),
    "wrong_irql": offset_of!(Sensor, counters.wrong_irql),
    "no_memory": offset_of!(Sensor, counters.no_memory),
    "nameless": offset_of!(Sensor, counters.nameless),
    "told": offset_of!(Sensor, outbox.counters.told),
    "dropped": offset_of!(Sensor, outbox.counters.dropped),

    "active.generation": within(offset_of!(Sensor, active), Published::<Active>::AT[0]),
    "active.even": within(offset_of!(Sensor, active), Published::<Active>::AT[1]),
    "active.odd": within(offset_of!(Sensor, active), Published::<Active>::AT[2]),
    "active.good": offset_of!(Active, good),
    "active.trip": Active::TRIP_AT,
    "active.file": within(offset_of!(Active, rules), Rules::AT[0]),
    "active.may_block": within(offset_of!(Active, rules), Rules::AT[1]),
    "active.allowances": within(offset_of!(Active, rate), Rate::SLOTS_AT),
    "allowance.length": size_of::<Allowance>(),
    "allowance.untold": Allowance::AT[0],
    "allowance.owned_up": Allowance::AT[1],

    "content.accepted": fact(offset_of!(ContentFacts, accepted)),
    "content.refused": fact(offset_of!(ContentFacts, refused)),
    "content.scans": fact(offset_of!(ContentFacts, scans)),
    "refusal.code": refusal(offset_of!(RefusalNote, code)),
    "refusal.offset": refusal(offset_of!(RefusalNote, offset)),
    "refusal.expected": refusal(offset_of!(RefusalNote, expected)),
    "refusal.found": refusal(offset_of!(RefusalNote, found)),
    "refusal.epoch": refusal(offset_of!(RefusalNote, epoch)),
    "refusal.sequence": refusal(offset_of!(RefusalNote, sequence)),
    "refusal.status": refusal(offset_of!(RefusalNote, host_status)),

    "processes": within(offset_of!(Sensor, processes), ProcessTable::AT[0]),
    "processes.stride": ProcessTable::AT[1],
    "processes.parts": ProcessTable::AT[2],
    "slot.length": ProcessTable::AT[3],
    "slot.key": ProcessTable::AT[4],
    "slot.process": ProcessTable::AT[5],
    "process.path": within(Shared::<Process>::AT, Process::AT[0]),
    "process.start": within(Shared::<Process>::AT, Process::AT[1]),

    "clients": within(offset_of!(Sensor, outbox), Outbox::CLIENTS_AT),
    "client.length": size_of::<Client>(),
    "client.ring": Client::AT[0],
    "client.interest": Client::AT[1],
    "client.process_id": Client::AT[2],
    "client.sent": offset_of!(Client, sent),
    "ring.slots": Records::AT[0],
    "ring.head": Records::AT[1],
    "ring.len": Records::AT[2],
    "ring.dropped": Records::AT[3],

    "record.length": size_of::<EventRecord>(),
    "record.event": offset_of!(EventRecord, event),
    "record.time": offset_of!(EventRecord, time),
    "record.process_id": offset_of!(EventRecord, process_id),
    "record.operation": offset_of!(EventRecord, operation),
    "record.verdict": offset_of!(EventRecord, verdict),
    "record.epoch": offset_of!(EventRecord, epoch),
    "record.sequence": offset_of!(EventRecord, sequence),
    "record.hits": EventRecord::HITS_AT[0],
    "record.hit_count": EventRecord::HITS_AT[1],
    "hit.length": size_of::<Hit>(),
    "record.name": within(offset_of!(EventRecord, name), Text::<NAME_UNITS>::AT[0]),
    "record.name_kept": within(offset_of!(EventRecord, name), Text::<NAME_UNITS>::AT[1]),
    "record.image": within(offset_of!(EventRecord, image), Text::<IMAGE_UNITS>::AT[0]),
    "record.image_kept": within(offset_of!(EventRecord, image), Text::<IMAGE_UNITS>::AT[1]),
};

type Rules = Ruleset<PoolSlice<u8>>;
type Rate = RateLimit<PoolSlice<Allowance>>;
type Records = Ring<PoolSlice<EventRecord>>;

// The script takes for granted that all slices are laid out alike, and that a hit begins with its
// rule.
const _: () = {
    let [first, len] = PoolSlice::<u8>::AT;
    let others = [
        PoolSlice::<Allowance>::AT,
        PoolSlice::<Client>::AT,
        PoolSlice::<EventRecord>::AT,
        ProcessTable::SLICE_AT,
    ];
    let mut rest = others.as_slice();
    while let [[other_first, other_len], next @ ..] = rest {
        assert!(*other_first == first && *other_len == len);
        rest = next;
    }
    assert!(offset_of!(Hit, rule) == 0);
};

const fn fact(at: usize) -> usize {
    within(within(offset_of!(Sensor, content), PushLock::<ContentFacts>::AT), at)
}

const fn refusal(at: usize) -> usize {
    fact(within(offset_of!(ContentFacts, refusal), at))
}

/// Where something is that lies at `inner` in what lies at `outer`.
const fn within(outer: usize, inner: usize) -> usize {
    outer.saturating_add(inner)
}

#[allow(clippy::as_conversions, clippy::cast_possible_truncation, reason = "asserted")]
const fn narrow(at: usize) -> u16 {
    assert!(at <= 0xFFFF);
    at as u16
}

#[allow(clippy::as_conversions, clippy::cast_possible_truncation, reason = "a few hundred")]
const LENGTH: u32 = size_of::<DebugMap>() as u32;
