//! What waits for the clients at the port: for each a bounded ring that callbacks fill, and the
//! requests it has no answer to. The sender empties both; nobody else waits for a client.

use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use driver_abi::{ClientNote, EventRecord, Hello, Interest, Outcome, Request};
use driver_core::clients::{PLACES, Places, Ticket};
use driver_core::requests::{Errands, Requests};
use driver_core::ring::Ring;

use crate::events::record_slots;
use crate::ffi::pool::{PoolSlice, Tag};
use crate::ffi::port::Lines;
use crate::ffi::status::{NtStatus, Result};
use crate::ffi::sync::{Event, PushLock};

/// Records that wait for one client at most: about 180 KB.
pub const RING_SLOTS: usize = 128;

/// What waits for the clients, and the lines to them.
pub struct Outbox {
    /// The lines to the clients.
    pub lines: Lines,
    /// Wakes the sender.
    pub wake: Event,
    /// What has been counted since start.
    pub counters: Counters,
    /// Who is connected. Never held while anything is sent or closed.
    pub places: PushLock<Places>,
    clients: PoolSlice<Client>,
    /// The most that any client wants to hear.
    loudest: AtomicU8,
}

/// What has been counted since start.
#[derive(Default)]
pub struct Counters {
    /// Records that were queued.
    pub told: AtomicU64,
    /// Records that found a ring full, or whose client was dropped.
    pub dropped: AtomicU64,
    /// Clients that connected.
    pub connections: AtomicU64,
    /// Clients that were dropped because they took nothing.
    pub stuck: AtomicU64,
    /// Requests that were taken in.
    pub requests: AtomicU64,
    /// Messages that were refused.
    pub refused_requests: AtomicU64,
}

/// What belongs to one place.
pub struct Client {
    /// There while somebody is connected.
    pub ring: PushLock<Option<Ring<PoolSlice<EventRecord>>>>,
    /// What the client asked.
    pub requests: PushLock<Requests>,
    /// The status is to be sent.
    pub status_due: AtomicBool,
    /// Messages the client took.
    pub sent: AtomicU64,
    interest: AtomicU8,
    process_id: AtomicU64,
}

impl Client {
    fn new() -> Result<Self> {
        Ok(Self {
            ring: PushLock::new(None)?,
            requests: PushLock::new(Requests::default())?,
            status_due: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            interest: AtomicU8::new(NOBODY),
            process_id: AtomicU64::new(0),
        })
    }

    fn wants(&self, least: Interest) -> bool {
        self.interest.load(Ordering::Acquire) >= level(least)
    }

    fn note(&self) -> Option<ClientNote> {
        let interest = interest(self.interest.load(Ordering::Acquire))?;
        let ring = self.ring.lock();
        let ring = ring.as_ref()?;
        Some(ClientNote {
            process_id: self.process_id.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            dropped: ring.dropped(),
            waiting: u32::try_from(ring.len()).unwrap_or(u32::MAX),
            interest,
        })
    }
}

impl Client {
    /// Where a debugger finds the ring, what the client wants to hear (0: nobody is there, and there
    /// is no ring), and its process, in bytes.
    pub const AT: [usize; 3] = {
        type Records = Ring<PoolSlice<EventRecord>>;
        // Without a byte that says whether there is a ring, the ring begins where it lies.
        assert!(size_of::<Option<Records>>() == size_of::<Records>());
        let ring = offset_of!(Self, ring).saturating_add(PushLock::<Option<Records>>::AT);
        [ring, offset_of!(Self, interest), offset_of!(Self, process_id)]
    };
}

impl Outbox {
    /// Where a debugger finds the clients, in bytes.
    pub const CLIENTS_AT: usize = offset_of!(Self, clients);

    /// An outbox with nobody listening.
    ///
    /// # Errors
    /// `NO_RESOURCES`.
    #[inline(never)]
    pub fn new() -> Result<Self> {
        Ok(Self {
            lines: Lines::new(),
            wake: Event::new()?,
            counters: Counters::default(),
            places: PushLock::new(Places::default())?,
            clients: PoolSlice::try_new(PLACES, Tag::Sensor, Client::new)?,
            loudest: AtomicU8::new(NOBODY),
        })
    }

    /// A client connects. `open_line` is called once it is welcome, before anything is sent.
    ///
    /// # Errors
    /// `INVALID_PARAMETER` when it speaks another protocol, `TOO_MANY_CLIENTS`, `NO_RESOURCES`.
    pub fn connect(
        &self,
        hello: &[u8],
        process_id: u64,
        open_line: impl FnOnce(Ticket),
    ) -> Result<()> {
        let hello = Hello::decode(hello).map_err(|_| NtStatus::INVALID_PARAMETER)?;
        let slots = record_slots(RING_SLOTS)?;
        let ticket = self.places.lock().connect().ok_or(NtStatus::TOO_MANY_CLIENTS)?;
        if let Some(client) = self.client(ticket.place) {
            *client.ring.lock() = Some(Ring::new(slots));
            client.process_id.store(process_id, Ordering::Relaxed);
            client.sent.store(0, Ordering::Relaxed);
            open_line(ticket);
            client.status_due.store(true, Ordering::Release);
            client.interest.store(level(hello.interest), Ordering::Release);
        }
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
        self.listen_anew();
        self.wake.set();
        Ok(())
    }

    /// The client is gone, or is to go. False when that was known.
    pub fn disconnect(&self, ticket: Ticket) -> bool {
        if !self.places.lock().begin_closing(ticket) {
            return false;
        }
        if let Some(client) = self.client(ticket.place) {
            client.interest.store(NOBODY, Ordering::Release);
        }
        self.listen_anew();
        self.lines.close(ticket.place);
        let clears = self.places.lock().closed(ticket);
        if clears {
            self.clear(ticket.place);
        }
        true
    }

    /// The sender's turn at a place ends.
    pub fn end_turn(&self, place: usize) {
        let clears = self.places.lock().end_turn(place);
        if clears {
            self.clear(place);
        }
    }

    /// Clears away what is left of a client that is gone.
    fn clear(&self, place: usize) {
        if let Some(client) = self.client(place) {
            let ring = client.ring.lock().take();
            let waiting = ring.map_or(0, |ring| ring.len());
            let lost = u64::try_from(waiting).unwrap_or(0);
            self.counters.dropped.fetch_add(lost, Ordering::Relaxed);
            client.requests.lock().clear();
        }
        self.places.lock().cleared(place);
    }

    /// A client sent this. It is only taken in; the sender does the rest.
    ///
    /// # Errors
    /// `INVALID_PARAMETER` for what is no request, `BUSY` when too many have no answer yet,
    /// `PORT_DISCONNECTED` after the client was dropped.
    pub fn take_in(&self, ticket: Ticket, message: &[u8]) -> Result<()> {
        let request = Request::decode(message).map_err(|_| NtStatus::INVALID_PARAMETER)?;
        // Held until the request is in its place, so that it cannot become the next client's.
        let places = self.places.lock();
        if !places.is_connected(ticket) {
            return Err(NtStatus::PORT_DISCONNECTED);
        }
        let client = self.client(ticket.place).ok_or(NtStatus::PORT_DISCONNECTED)?;
        if !client.requests.lock().add(request) {
            return Err(NtStatus::BUSY);
        }
        drop(places);
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        self.wake.set();
        Ok(())
    }

    /// True when somebody wants to hear of events with (`notable`) or also without consequences.
    pub fn wants(&self, notable: bool) -> bool {
        self.loudest.load(Ordering::Acquire) >= level(least(notable))
    }

    /// Has the status sent to every client.
    pub fn tell_status(&self) {
        for client in self.clients.iter() {
            client.status_due.store(true, Ordering::Release);
        }
        self.wake.set();
    }

    /// Queues one record, written in place, for everybody who wants it. Where it finds no room it is
    /// counted as lost.
    pub fn queue(&self, notable: bool, write: impl Fn(&mut EventRecord)) {
        for client in self.clients.iter().filter(|client| client.wants(least(notable))) {
            let mut ring = client.ring.lock();
            let Some(ring) = ring.as_mut() else {
                continue;
            };
            let dropped = ring.dropped();
            let room = ring.push(|record: &mut EventRecord| {
                write(record);
                record.dropped = dropped;
            });
            let counters = &self.counters;
            let counter = if room { &counters.told } else { &counters.dropped };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The client at a place.
    pub fn client(&self, place: usize) -> Option<&Client> {
        self.clients.get(place)
    }

    /// What the clients ask the worker to do.
    pub fn take_errands(&self) -> Errands {
        let all = self.clients.iter().map(|client| client.requests.lock().take_errands());
        all.fold(Errands::default(), Errands::and)
    }

    /// The worker has done what it took.
    pub fn end_errands(&self, outcome: Outcome) {
        let mut any = false;
        for client in self.clients.iter() {
            any |= client.requests.lock().end_errands(outcome);
        }
        if any {
            self.wake.set();
        }
    }

    /// Fills in who is connected, as far as there is room. The places must be empty.
    // Not inlined: unrolled it would be a kilobyte of code.
    #[inline(never)]
    pub fn notes(&self, notes: &mut [Option<ClientNote>]) {
        let connected = self.clients.iter().filter_map(Client::note);
        for (place, note) in notes.iter_mut().zip(connected) {
            *place = Some(note);
        }
    }

    /// Sums up what clients want to hear. One at a time: a sum that was made before a client came
    /// must not be written after that client's own, or nobody would be told anything.
    fn listen_anew(&self) {
        let _one_at_a_time = self.places.lock();
        let all = self.clients.iter().map(|client| client.interest.load(Ordering::Acquire));
        self.loudest.store(all.max().unwrap_or(NOBODY), Ordering::Release);
    }
}

const NOBODY: u8 = 0;

const fn least(notable: bool) -> Interest {
    if notable { Interest::Detections } else { Interest::Everything }
}

const fn level(interest: Interest) -> u8 {
    match interest {
        Interest::Status => 1,
        Interest::Detections => 2,
        Interest::Everything => 3,
    }
}

const fn interest(level: u8) -> Option<Interest> {
    Some(match level {
        1 => Interest::Status,
        2 => Interest::Detections,
        3 => Interest::Everything,
        _ => return None,
    })
}
