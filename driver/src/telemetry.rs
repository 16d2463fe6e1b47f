//! Tells the clients what happens and carries out what they ask, on a thread of its own.
//!
//! One thread serves all, in turns. A client that does not take a message within 100 ms ends its
//! turn and is left alone for 300 ms, so a stuck client keeps the others waiting for 100 ms at most
//! at each of its turns, and [`MAX_MISSES`] such turns in a row are its last: it alone is dropped.
//!
//! [`MAX_MISSES`]: driver_core::clients::MAX_MISSES

use core::sync::atomic::Ordering;

use driver_abi::{ANSWER_LEN, Ask, EVENT_LEN, EventRecord, MESSAGE_MAX, Outcome};
use driver_abi::{STATISTICS_LEN, STATUS_LEN};
use driver_core::clients::{PLACES, Patience};

use crate::ffi::pool::{PoolSlice, Tag};
use crate::ffi::port::Sent;
use crate::ffi::start::Service;
use crate::ffi::sync::{MILLISECOND, SECOND, ThreadMain, now};
use crate::outbox::{Client, RING_SLOTS};
use crate::sensor::Sensor;

/// How long one send may take.
const SEND_PATIENCE: u64 = 100 * MILLISECOND;
/// How long a client that missed a message is left alone.
const REST: u64 = 300 * MILLISECOND;

/// The thread.
pub struct Sender;

impl ThreadMain for Sender {
    fn run() {
        let Some(sensor) = Sensor::global().get() else {
            return;
        };
        // Without its buffer the sensor still judges; it only cannot tell.
        let Ok(buffer) = PoolSlice::zeroed(MESSAGE_MAX, Tag::Events) else {
            return;
        };
        let mut desk = Desk { sensor, buffer, patience: [Patience::default(); PLACES] };
        while !sensor.is_stopping() {
            sensor.outbox.wake.wait(desk.rest().unwrap_or(SECOND));
            for place in 0..PLACES {
                desk.turn(place);
            }
        }
    }
}

/// What the sender works with.
struct Desk<'a> {
    sensor: &'a Sensor,
    /// The message on its way.
    buffer: PoolSlice<u8>,
    patience: [Patience; PLACES],
}

/// What a message was, once it has been taken.
#[derive(Clone, Copy)]
enum Next {
    Status,
    /// What a request asked to hear.
    Heard,
    Answer,
    Event,
}

impl Desk<'_> {
    /// How long until a client that is left alone has its turn; `None` when nobody is.
    fn rest(&self) -> Option<u64> {
        let now = now();
        self.patience.iter().map(|patience| patience.rest(now)).filter(|rest| *rest > 0).min()
    }

    /// Sends one client what waits for it, as long as it takes it.
    fn turn(&mut self, place: usize) {
        let outbox = &self.sensor.outbox;
        if outbox.places.lock().is_gone(place) {
            outbox.clear(place);
            self.listens(place);
        }
        let ticket = outbox.places.lock().connected(place);
        let (Some(ticket), Some(client)) = (ticket, outbox.client(place)) else {
            return;
        };
        if self.patience.get(place).is_none_or(|patience| patience.rest(now()) > 0) {
            return;
        }
        // As many as a ring holds and a few: whoever keeps on asking must not keep the turn.
        for _ in 0..RING_SLOTS.saturating_mul(2) {
            if self.sensor.is_stopping() {
                return;
            }
            let Some((next, len)) = self.encode_next(client) else {
                return;
            };
            let message = self.buffer.get(..len).unwrap_or(&[]);
            match outbox.lines.send(place, message, SEND_PATIENCE) {
                Sent::Yes => {
                    taken(client, next);
                    self.listens(place);
                }
                Sent::Late => {
                    if matches!(next, Next::Status) {
                        client.status_due.store(true, Ordering::Release);
                    }
                    let patience = self.patience.get_mut(place);
                    if patience.is_some_and(|patience| patience.missed(now(), REST))
                        && outbox.disconnect(ticket)
                    {
                        outbox.counters.stuck.fetch_add(1, Ordering::Relaxed);
                        outbox.clear(place);
                        self.listens(place);
                    }
                    return;
                }
                // It has gone, or its line is not open yet.
                Sent::Nobody => {
                    if matches!(next, Next::Status) {
                        client.status_due.store(true, Ordering::Release);
                    }
                    return;
                }
            }
        }
        // More waits; the others first.
        outbox.wake.set();
    }

    fn listens(&mut self, place: usize) {
        if let Some(patience) = self.patience.get_mut(place) {
            patience.took();
        }
    }

    /// Encodes what the client is to hear next: the state first, then what it asked, then events.
    fn encode_next(&mut self, client: &Client) -> Option<(Next, usize)> {
        self.carry_out(client);
        let sensor = self.sensor;
        let buffer = &mut *self.buffer;
        if client.status_due.swap(false, Ordering::AcqRel) {
            let out = buffer.get_mut(..STATUS_LEN)?;
            return sensor.status().encode(out).then_some((Next::Status, STATUS_LEN));
        }
        let asked = client.requests.lock().first_asked();
        match asked.map(|request| request.ask) {
            Some(Ask::Status) => {
                let out = buffer.get_mut(..STATUS_LEN)?;
                return sensor.status().encode(out).then_some((Next::Heard, STATUS_LEN));
            }
            Some(Ask::Statistics) => {
                let out = buffer.get_mut(..STATISTICS_LEN)?;
                return encode_statistics(sensor, out).then_some((Next::Heard, STATISTICS_LEN));
            }
            _ => {}
        }
        let answer = client.requests.lock().answer();
        if let Some(answer) = answer {
            let out = buffer.get_mut(..ANSWER_LEN)?;
            return answer.encode(out).then_some((Next::Answer, ANSWER_LEN));
        }
        let out = buffer.get_mut(..EVENT_LEN)?;
        let ring = client.ring.lock();
        let encoded = ring.as_ref()?.front(|record: &EventRecord| record.encode(out))?;
        encoded.then_some((Next::Event, EVENT_LEN))
    }

    /// Carries out what takes no time, and hands the worker what needs files. What asks to hear
    /// something stays until it is heard.
    fn carry_out(&self, client: &Client) {
        loop {
            let mut requests = client.requests.lock();
            let Some(request) = requests.first_asked() else {
                return;
            };
            match request.ask {
                Ask::Status | Ask::Statistics => return,
                Ask::SetMode(mode) => {
                    requests.end_first(Outcome::Done);
                    drop(requests);
                    self.sensor.set_mode(mode);
                    self.sensor.outbox.tell_status();
                }
                Ask::Reload | Ask::ClearQuarantine => {
                    requests.hand_over_first();
                    drop(requests);
                    self.sensor.wake_worker.set();
                }
            }
        }
    }
}

/// Not inlined: the numbers take room on the stack that a send must not find taken.
#[inline(never)]
fn encode_statistics(sensor: &Sensor, out: &mut [u8]) -> bool {
    sensor.statistics().encode(out)
}

fn taken(client: &Client, next: Next) {
    client.sent.fetch_add(1, Ordering::Relaxed);
    match next {
        Next::Status => {}
        Next::Heard => client.requests.lock().end_first(Outcome::Done),
        Next::Answer => client.requests.lock().answered(),
        Next::Event => {
            if let Some(ring) = client.ring.lock().as_mut() {
                ring.pop(|_: &mut EventRecord| ());
            }
        }
    }
}
