//! Tells the connected client what happens: a bounded queue that callbacks fill, and a thread that
//! empties it. A callback never waits for the client; what finds no room is counted.

use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use driver_abi::{EVENT_LEN, EventRecord, Hello, Interest, STATUS_LEN};
use driver_core::ring::Ring;

use crate::events::{Teller, record_slots};
use crate::ffi::pool::{PoolSlice, Tag};
use crate::ffi::port::{Line, Sent};
use crate::ffi::start::Service;
use crate::ffi::status::{NtStatus, Result};
use crate::ffi::sync::{Event, MILLISECOND, PushLock, SECOND, ThreadMain};
use crate::sensor::Sensor;

/// Records that wait at most: about 180 KB.
const RING_SLOTS: usize = 128;
/// How long one send may take before the sender looks whether it should stop.
const SEND_PATIENCE: u64 = 100 * MILLISECOND;
/// Sends of one message before it is given up: a client that takes nothing for a second is stuck.
const SEND_TRIES: u32 = 10;

/// What waits for the client, and the line to it.
pub struct Outbox {
    /// The line to the client.
    pub line: Line,
    /// Wakes the sender.
    pub wake: Event,
    ring: PushLock<Ring<PoolSlice<EventRecord>>>,
    interest: AtomicU8,
    status_due: AtomicBool,
}

impl Outbox {
    /// An empty outbox with nobody listening.
    ///
    /// # Errors
    /// `NO_RESOURCES`.
    pub fn new() -> Result<Self> {
        let slots = record_slots(RING_SLOTS)?;
        Ok(Self {
            line: Line::new(),
            wake: Event::new()?,
            ring: PushLock::new(Ring::new(slots))?,
            interest: AtomicU8::new(NOBODY),
            status_due: AtomicBool::new(false),
        })
    }

    /// A client connects. `open_line` is called once it is welcome, before anything is sent.
    ///
    /// # Errors
    /// `INVALID_PARAMETER` when it speaks another protocol.
    pub fn connect(&self, hello: &[u8], open_line: impl FnOnce()) -> Result<()> {
        let hello = Hello::decode(hello).map_err(|_| NtStatus::INVALID_PARAMETER)?;
        // What waited for the last client is not this one's.
        self.ring.lock().clear();
        open_line();
        self.interest.store(level(hello.interest), Ordering::Release);
        self.tell_status();
        Ok(())
    }

    /// The client is gone.
    pub fn disconnect(&self) {
        self.interest.store(NOBODY, Ordering::Release);
    }

    /// True when somebody wants to hear of events with (`notable`) or also without consequences.
    pub fn wants(&self, notable: bool) -> bool {
        let least = if notable { Interest::Detections } else { Interest::Everything };
        self.interest.load(Ordering::Acquire) >= level(least)
    }

    /// Has the status sent to the client, if there is one.
    pub fn tell_status(&self) {
        self.status_due.store(true, Ordering::Release);
        self.wake.set();
    }

    /// Queues one record, written in place. False when the queue is full.
    pub fn queue(&self, write: impl FnOnce(&mut EventRecord)) -> bool {
        self.ring.lock().push(write)
    }

    /// Records that found the queue full.
    pub fn dropped(&self) -> u64 {
        self.ring.lock().dropped()
    }
}

const NOBODY: u8 = 0;

const fn level(interest: Interest) -> u8 {
    match interest {
        Interest::Status => 1,
        Interest::Detections => 2,
        Interest::Everything => 3,
    }
}

/// The thread that empties the outbox.
pub struct Sender;

impl ThreadMain for Sender {
    fn run() {
        let Some(sensor) = Sensor::global().get() else {
            return;
        };
        // Without its buffers the sensor still judges; it only cannot tell.
        let (Ok(mut event), Ok(mut status)) =
            (PoolSlice::zeroed(EVENT_LEN, Tag::Events), PoolSlice::zeroed(STATUS_LEN, Tag::Events))
        else {
            return;
        };
        // Without memory for it event tracing goes without, and clients are served all the same.
        let mut teller = Teller::new(sensor).ok();
        while !sensor.is_stopping() {
            sensor.outbox.wake.wait(SECOND);
            if let Some(teller) = &mut teller {
                teller.round(sensor);
            }
            empty(sensor, &mut event, &mut status);
        }
    }
}

fn empty(sensor: &Sensor, event: &mut [u8], status: &mut [u8]) {
    let outbox = &sensor.outbox;
    while !sensor.is_stopping() {
        if outbox.status_due.swap(false, Ordering::AcqRel)
            && sensor.status().encode(status)
            && send(sensor, status) == Sent::Late
        {
            // A status is only ever superseded, never lost.
            outbox.status_due.store(true, Ordering::Release);
            return;
        }
        let encoded = outbox.ring.lock().pop(|record: &mut EventRecord| record.encode(event));
        match encoded {
            Some(true) => {}
            Some(false) => continue,
            None => return,
        }
        if send(sensor, event) == Sent::Late {
            sensor.counters.late.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn send(sensor: &Sensor, message: &[u8]) -> Sent {
    for _ in 0..SEND_TRIES {
        match sensor.outbox.line.send(message, SEND_PATIENCE) {
            Sent::Late if !sensor.is_stopping() => {}
            other => return other,
        }
    }
    Sent::Late
}
