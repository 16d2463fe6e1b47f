//! Tells Event Tracing for Windows what happens.
//!
//! Callbacks write nothing: what they judge waits in a ring of its own until the sender's thread
//! comes round, whether or not a client is connected. What changes in the sensor's state is seen by
//! comparing its status with the one told last, on the same thread.

use driver_abi::{EventRecord, Status, Verdict};
use driver_core::changes;
use driver_core::events::{Event, MAX_PAYLOAD, SMALL_PAYLOAD, definition_of};
use driver_core::ring::Ring;

use crate::crash_note;
use crate::ffi::etw::Provider;
use crate::ffi::pool::{PoolSlice, Tag};
use crate::ffi::status::Result;
use crate::ffi::sync::{PushLock, SECOND, now};
use crate::sensor::Sensor;

/// Records that wait at most: about 100 KB.
const RING_SLOTS: usize = 64;

/// What waits to be told, and the provider.
pub struct Events {
    provider: Provider,
    ring: PushLock<Ring<PoolSlice<EventRecord>>>,
}

impl Events {
    /// Registers the provider.
    ///
    /// # Errors
    /// `NO_RESOURCES` for the ring. A provider that cannot be registered is no error.
    #[inline(never)]
    pub fn new() -> Result<Self> {
        let slots = record_slots(RING_SLOTS)?;
        Ok(Self { provider: Provider::register(), ring: PushLock::new(Ring::new(slots))? })
    }

    /// True when somebody listens to events of this verdict. PASSIVE_LEVEL.
    #[inline]
    pub fn wants(&self, verdict: Verdict) -> bool {
        definition_of(verdict).is_some_and(|definition| self.provider.wants(definition))
    }

    /// Queues one record, written in place. One that finds no room is counted and told as lost.
    pub fn queue(&self, write: impl FnOnce(&mut EventRecord)) {
        self.ring.lock().push(write);
    }

    /// Tells one event that has no pipe and no rules, if somebody listens.
    // Not inlined: its buffer must not lie below what its callers call next.
    #[inline(never)]
    pub fn tell(&self, event: &Event<'_>) {
        self.tell_through(event, &mut [0; SMALL_PAYLOAD]);
    }

    fn tell_through(&self, event: &Event<'_>, buffer: &mut [u8]) {
        let definition = event.definition();
        if !self.provider.wants(definition) {
            return;
        }
        if let Some(values) = event.encode(buffer).and_then(|len| buffer.get(..len)) {
            self.provider.write(definition, values);
        }
    }
}

/// Room for `count` records.
///
/// # Errors
/// `NO_RESOURCES`.
// Not inlined: an empty record is some twenty kilobytes of code.
#[inline(never)]
pub fn record_slots(count: usize) -> Result<PoolSlice<EventRecord>> {
    PoolSlice::new(count, Tag::Events, || EventRecord::EMPTY)
}

/// What the sender's thread keeps between two rounds.
pub struct Teller {
    buffer: PoolSlice<u8>,
    told: Status,
    told_dropped: u64,
    /// When the state is looked at again.
    next_look: u64,
}

impl Teller {
    /// Nothing told yet.
    ///
    /// # Errors
    /// `NO_RESOURCES`.
    pub fn new(sensor: &Sensor) -> Result<Self> {
        // What the parameters ask is where the telling begins; everything else is news.
        let told = Status { mode: sensor.mode(), ..Status::default() };
        let buffer = PoolSlice::zeroed(MAX_PAYLOAD, Tag::Events)?;
        Ok(Self { buffer, told, told_dropped: 0, next_look: 0 })
    }

    /// One round: what changed, and then what waits. A busy sender comes round for every event, so
    /// the state is looked at once a second at most.
    pub fn round(&mut self, sensor: &Sensor) {
        let events = &sensor.events;
        if now() >= self.next_look {
            self.next_look = now().saturating_add(SECOND);
            self.tell_changes(sensor);
        }
        // As many as the ring holds, twice: creates may come faster than they are told, and this
        // thread has clients to serve and an unload to heed.
        for _ in 0..RING_SLOTS.saturating_mul(2) {
            let buffer = &mut *self.buffer;
            // Laid out while the queue is held, which takes less time than another copy of the
            // record would, and written when it is not.
            let laid_out = events.ring.lock().pop(|record: &mut EventRecord| {
                let event = Event::of_record(record)?;
                Some((event.definition(), event.encode(buffer)?))
            });
            match laid_out {
                Some(Some((definition, len))) => {
                    if let Some(values) = self.buffer.get(..len) {
                        events.provider.write(definition, values);
                    }
                }
                Some(None) => {}
                None => break,
            }
        }
        if !events.ring.lock().is_empty() {
            sensor.outbox.wake.set();
        }
        let dropped = events.ring.lock().dropped();
        let new = dropped.saturating_sub(self.told_dropped);
        if new > 0 {
            self.told_dropped = dropped;
            events.tell(&Event::RecordsDropped { dropped: new });
        }
    }

    // Not inlined: two states are a good part of a kilobyte.
    #[inline(never)]
    fn tell_changes(&mut self, sensor: &Sensor) {
        let status = sensor.status();
        crash_note::state(&status);
        changes::between(&self.told, &status, &mut |event| sensor.events.tell(event));
        // Some losses come of nobody's doing but of time that passes.
        if status.losses != self.told.losses {
            sensor.outbox.tell_status();
        }
        self.told = status;
    }
}
