//! What a crash dump shall say of the driver, kept up to date while it runs.
//!
//! One static, of plain atomics and an address: the layout is that of `driver_abi::crash`, and writing it costs a
//! store. Nothing is ever read from it here.

use core::sync::atomic::{AtomicU64, Ordering, fence};

use channel_format::frame::Header;
use driver_abi::crash::{
    NOTE_HEAD_WORDS, NOTE_LEN, NOTE_MAGIC, NOTE_VERDICTS, NoteState, NoteVerdict, Phase, pair,
    slot_of,
};
use driver_abi::{Status, Verdict};
use driver_core::Position;

use crate::debug_map::{DebugMap, MAP};
use crate::ffi::crash::Block;
use crate::ffi::sync::now;

/// The block.
#[repr(C)]
pub struct Note {
    magic: AtomicU64,
    build: AtomicU64,
    state: AtomicU64,
    position: AtomicU64,
    digest: AtomicU64,
    phase: AtomicU64,
    tried: AtomicU64,
    begun: AtomicU64,
    ended: AtomicU64,
    rule: AtomicU64,
    verdicts: AtomicU64,
    /// Where a debugger goes on from here.
    map: &'static DebugMap,
    slots: [Slot; NOTE_VERDICTS],
}

#[repr(C)]
struct Slot {
    event: AtomicU64,
    time: AtomicU64,
    position: AtomicU64,
    outcome: AtomicU64,
}

const _: () = assert!(size_of::<Note>() == NOTE_LEN && NOTE_HEAD_WORDS == 12);

/// Where the block is in the image.
pub static NOTE: Note = Note {
    magic: AtomicU64::new(NOTE_MAGIC),
    build: AtomicU64::new(BUILD),
    state: AtomicU64::new(0),
    position: AtomicU64::new(0),
    digest: AtomicU64::new(0),
    phase: AtomicU64::new(0),
    tried: AtomicU64::new(0),
    begun: AtomicU64::new(0),
    ended: AtomicU64::new(0),
    rule: AtomicU64::new(0),
    verdicts: AtomicU64::new(0),
    map: &MAP,
    slots: [const {
        Slot {
            event: AtomicU64::new(0),
            time: AtomicU64::new(0),
            position: AtomicU64::new(0),
            outcome: AtomicU64::new(0),
        }
    }; NOTE_VERDICTS],
};

/// Where the block is.
pub struct InImage;

impl Block for InImage {
    type Note = Note;
    const NOTE: &'static Note = &NOTE;
}

/// The sensor's state, when it has been composed.
pub fn state(status: &Status) {
    let state = NoteState {
        protection: status.protection,
        mode: status.mode,
        stage: status.stage,
        attached: status.attached,
    };
    NOTE.state.store(state.word(), Ordering::Relaxed);
}

/// Content comes into force.
pub fn content(header: &Header) {
    NOTE.position.store(pair(header.epoch, header.sequence), Ordering::Relaxed);
    let prefix = header.digest.first_chunk::<8>().copied().unwrap_or_default();
    NOTE.digest.store(u64::from_le_bytes(prefix), Ordering::Relaxed);
}

/// The worker goes on to this.
pub fn phase(phase: Phase) {
    // Only the worker's thread writes this word.
    let count = NOTE.phase.load(Ordering::Relaxed) >> 8;
    let next = count.wrapping_add(1) << 8 | u64::from(phase.number());
    NOTE.phase.store(next, Ordering::Relaxed);
}

/// The worker tries this file.
pub fn tries(position: Position) {
    NOTE.tried.store(pair(position.epoch, position.sequence), Ordering::Relaxed);
}

/// An event's evaluation begins.
#[inline]
pub fn begins(event: u64) {
    NOTE.begun.store(event, Ordering::Relaxed);
}

/// An event's evaluation has ended.
#[inline]
pub fn ends(event: u64) {
    NOTE.ended.store(event, Ordering::Relaxed);
}

/// A rule came out other than false.
#[inline]
pub fn rule(event: u64, rule: u32) {
    NOTE.rule.store(event << 32 | u64::from(rule), Ordering::Relaxed);
}

/// An event was judged, other than *allow*.
#[inline(never)]
pub fn verdict(event: u64, position: (u32, u32), rule: u32, verdict: Verdict) {
    let number = NOTE.verdicts.fetch_add(1, Ordering::Relaxed);
    let Some(slot) = NOTE.slots.get(slot_of(number)) else {
        return;
    };
    // A slot without an event is one that is being written. The fence keeps what follows from being
    // seen before that is.
    slot.event.store(0, Ordering::Relaxed);
    fence(Ordering::Release);
    slot.time.store(now(), Ordering::Relaxed);
    slot.position.store(pair(position.0, position.1), Ordering::Relaxed);
    slot.outcome.store(NoteVerdict::outcome_word(verdict, rule), Ordering::Relaxed);
    slot.event.store(event, Ordering::Release);
}

/// The driver's version: major, minor and patch in 16 bits each.
const BUILD: u64 = number(env!("CARGO_PKG_VERSION_MAJOR"))
    | number(env!("CARGO_PKG_VERSION_MINOR")) << 16
    | number(env!("CARGO_PKG_VERSION_PATCH")) << 32;

/// A decimal number, read while compiling.
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "evaluated while compiling"
)]
const fn number(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let (mut at, mut number) = (0, 0);
    while at < bytes.len() {
        number = number * 10 + (bytes[at] - b'0') as u64;
        at += 1;
    }
    assert!(number <= 0xFFFF);
    number
}
