//! Tells the clients what happens and carries out what they ask, on a thread of its own.
//!
//! One thread serves all, in turns. A client that does not take a message within 100 ms ends its
//! turn and is left alone for 300 ms, so a stuck client keeps the others waiting for 100 ms at most
//! at each of its turns, and [`MAX_MISSES`] such turns in a row are its last: it alone is dropped.
//!
//! [`MAX_MISSES`]: driver_core::clients::MAX_MISSES

use core::sync::atomic::Ordering;

use driver_abi::{ANSWER_LEN, Answer, Ask, EVENT_LEN, EventRecord, MESSAGE_MAX, Outcome};
use driver_abi::{STATISTICS_LEN, STATUS_LEN};
use driver_core::clients::{PLACES, Patience, Ticket};
use driver_core::events::Event;

use crate::events::Teller;
use crate::ffi::pool::{PoolSlice, Tag};
use crate::ffi::port::Sent;
use crate::ffi::start::Service;
use crate::ffi::status::Result;
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
        // Without its buffers the sensor still judges; it only cannot tell, until there is memory.
        let (mut desk, mut teller) = (None, None);
        while !sensor.is_stopping() {
            if desk.is_none() {
                desk = Desk::new(sensor).ok();
            }
            if teller.is_none() {
                teller = Teller::new(sensor).ok();
            }
            sensor.outbox.wake.wait(desk.as_ref().and_then(Desk::rest).unwrap_or(SECOND));
            if let Some(teller) = &mut teller {
                teller.round(sensor);
            }
            if let Some(desk) = &mut desk {
                (0..PLACES).for_each(|place| desk.turn(place));
            }
        }
    }
}

/// What the sender works with.
struct Desk<'a> {
    sensor: &'a Sensor,
    /// The message on its way.
    buffer: PoolSlice<u8>,
    /// How the client that was last served at each place has been listening.
    patience: [(Option<Ticket>, Patience); PLACES],
}

/// How a turn ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Served {
    /// Everything was sent that could be.
    Enough,
    /// The client has missed too much.
    Stuck,
}

/// What a message was, once it has been taken.
#[derive(Clone, Copy)]
enum Next {
    Status,
    /// What a request asked to hear.
    Heard,
    Answer(Answer),
    Event,
}

impl<'a> Desk<'a> {
    fn new(sensor: &'a Sensor) -> Result<Self> {
        let buffer = PoolSlice::zeroed(MESSAGE_MAX, Tag::Events)?;
        Ok(Self { sensor, buffer, patience: [(None, Patience::default()); PLACES] })
    }

    /// How long until a client that is left alone has its turn; `None` when nobody is.
    fn rest(&self) -> Option<u64> {
        let now = now();
        let rests = self.patience.iter().map(|(_, patience)| patience.rest(now));
        rests.filter(|rest| *rest > 0).min()
    }

    /// Sends one client what waits for it, as long as it takes it.
    // Not inlined: it would be there once for each place.
    #[inline(never)]
    fn turn(&mut self, place: usize) {
        let outbox = &self.sensor.outbox;
        let begun = outbox.places.lock().begin_turn(place);
        let Some(ticket) = begun else {
            return;
        };
        if let Some(client) = outbox.client(place)
            && self.is_due(ticket)
            && self.serve(ticket, client) == Served::Stuck
            && outbox.disconnect(ticket)
        {
            outbox.counters.stuck.fetch_add(1, Ordering::Relaxed);
            self.sensor.events.tell(&Event::ClientGone { stuck: true });
        }
        outbox.end_turn(place);
    }

    /// True when the client is not left alone now. One that is new at its place begins anew.
    fn is_due(&mut self, ticket: Ticket) -> bool {
        let Some((known, patience)) = self.patience.get_mut(ticket.place) else {
            return false;
        };
        if *known != Some(ticket) {
            *known = Some(ticket);
            patience.took();
        }
        patience.rest(now()) == 0
    }

    fn serve(&mut self, ticket: Ticket, client: &Client) -> Served {
        let outbox = &self.sensor.outbox;
        // As many as a ring holds, twice: whoever keeps on asking must not keep the turn.
        for _ in 0..RING_SLOTS.saturating_mul(2) {
            if self.sensor.is_stopping() {
                return Served::Enough;
            }
            let Some((next, len)) = self.encode_next(client) else {
                return Served::Enough;
            };
            let message = self.buffer.get(..len).unwrap_or(&[]);
            let sent = outbox.lines.send(ticket.place, message, SEND_PATIENCE);
            if sent != Sent::Yes && matches!(next, Next::Status) {
                client.status_due.store(true, Ordering::Release);
            }
            let patience = self.patience.get_mut(ticket.place).map(|(_, patience)| patience);
            match (sent, patience) {
                (Sent::Yes, Some(patience)) => {
                    patience.took();
                    taken(client, next);
                }
                (Sent::Late, Some(patience)) => {
                    let stuck = patience.missed(now(), REST);
                    return if stuck { Served::Stuck } else { Served::Enough };
                }
                // It has gone, or its line is not open yet.
                _ => return Served::Enough,
            }
        }
        // More waits; the others first.
        outbox.wake.set();
        Served::Enough
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
            return answer.encode(out).then_some((Next::Answer(answer), ANSWER_LEN));
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
                }
                Ask::ResetFuse => {
                    requests.end_first(Outcome::Done);
                    drop(requests);
                    self.sensor.reset_fuse();
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
        Next::Answer(answer) => client.requests.lock().answered(answer),
        Next::Event => {
            if let Some(ring) = client.ring.lock().as_mut() {
                ring.pop(|_: &mut EventRecord| ());
            }
        }
    }
}
