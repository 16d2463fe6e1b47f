//! Which clients are connected at the port, and which of them has stopped listening.

use driver_abi::MAX_CLIENTS;

/// Places for clients. Two more than clients may be connected, so that one that has gone, and whose
/// place the sender has not cleared yet, keeps nobody out.
pub const PLACES: usize = MAX_CLIENTS + 2;

/// Sends in a row that a client may miss before it is taken for stuck.
pub const MAX_MISSES: u32 = 10;

/// One connection. A place is used again, its number together with the generation is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Which of the [`PLACES`].
    pub place: usize,
    generation: u32,
}

impl Ticket {
    /// The ticket as one number that is not 0, which the filter manager keeps as the connection's
    /// cookie.
    pub fn number(self) -> usize {
        let generation = usize::try_from(self.generation).unwrap_or(0);
        generation.wrapping_mul(PLACES).wrapping_add(self.place).wrapping_add(1)
    }

    /// The ticket with this number.
    pub fn from_number(number: usize) -> Option<Self> {
        let number = number.checked_sub(1)?;
        let place = number.checked_rem(PLACES)?;
        let generation = u32::try_from(number.checked_div(PLACES)?).ok()?;
        Some(Self { place, generation })
    }
}

/// What a place is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nobody's.
    #[default]
    Free,
    /// A client's, whose port may be sent to.
    Connected,
    /// Its port is being closed, by whoever took it there.
    Closing,
    /// The client is gone and its port closed; the sender, whose turn it is, clears it away.
    Gone,
}

/// The places. Connecting and disconnecting come on clients' threads, turns on the sender's. A place
/// that the sender serves becomes nobody else's before its turn has ended, so what waited for one
/// client is never sent to the next.
#[derive(Debug, Default)]
pub struct Places {
    places: [(State, u32); PLACES],
    served: Option<usize>,
}

impl Places {
    /// Takes a free place for a client that connects.
    pub fn connect(&mut self) -> Option<Ticket> {
        let free = self.places.iter_mut().enumerate().find(|(_, (state, _))| *state == State::Free);
        let (place, (state, generation)) = free?;
        *state = State::Connected;
        *generation = generation.wrapping_add(1);
        Some(Ticket { place, generation: *generation })
    }

    /// The client that has the place, if one is connected there.
    pub fn connected(&self, place: usize) -> Option<Ticket> {
        let (state, generation) = *self.places.get(place)?;
        (state == State::Connected).then_some(Ticket { place, generation })
    }

    /// True while the client with this ticket is connected.
    pub fn is_connected(&self, ticket: Ticket) -> bool {
        self.connected(ticket.place) == Some(ticket)
    }

    /// Begins to close the client's port. False when there is nothing to close: another has begun
    /// to, or has done it.
    pub fn begin_closing(&mut self, ticket: Ticket) -> bool {
        let closes = self.is_connected(ticket);
        if closes && let Some((state, _)) = self.places.get_mut(ticket.place) {
            *state = State::Closing;
        }
        closes
    }

    /// The port that [`Self::begin_closing`] let close is closed. True when whoever closed it clears
    /// the place away; else the sender does, at the end of its turn.
    pub fn closed(&mut self, ticket: Ticket) -> bool {
        let clears = self.served != Some(ticket.place);
        if !clears && let Some((state, _)) = self.places.get_mut(ticket.place) {
            *state = State::Gone;
        }
        clears
    }

    /// Nothing is left of the client that had the place.
    pub fn cleared(&mut self, place: usize) {
        if let Some((state, _)) = self.places.get_mut(place)
            && matches!(*state, State::Closing | State::Gone)
        {
            *state = State::Free;
        }
    }

    /// The sender's turn at a place begins, if a client is connected there.
    pub fn begin_turn(&mut self, place: usize) -> Option<Ticket> {
        let ticket = self.connected(place)?;
        self.served = Some(place);
        Some(ticket)
    }

    /// The turn ends. True when the client went meanwhile, and the sender clears the place away.
    pub fn end_turn(&mut self, place: usize) -> bool {
        self.served = None;
        self.places.get(place).is_some_and(|(state, _)| *state == State::Gone)
    }
}

/// How a client has been listening.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    misses: u32,
    rests_until: u64,
}

impl Patience {
    /// It took a message.
    pub const fn took(&mut self) {
        *self = Self { misses: 0, rests_until: 0 };
    }

    /// It missed one at `now`, and is left alone for `rest`, which is the others' time. True when
    /// it is stuck.
    pub const fn missed(&mut self, now: u64, rest: u64) -> bool {
        self.misses = self.misses.saturating_add(1);
        self.rests_until = now.saturating_add(rest);
        self.misses >= MAX_MISSES
    }

    /// How long it is still left alone; 0 when it is its turn.
    pub const fn rest(&self, now: u64) -> u64 {
        self.rests_until.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_ticket_survives_being_a_number() {
        for place in 0..PLACES {
            for generation in [0, 1, 77, u32::MAX] {
                let ticket = Ticket { place, generation };
                assert_ne!(ticket.number(), 0);
                assert_eq!(Ticket::from_number(ticket.number()), Some(ticket));
            }
        }
        assert_eq!(Ticket::from_number(0), None);
        assert_eq!(Ticket::from_number(usize::MAX), None);
    }

    #[test]
    fn there_are_so_many_places_and_no_more() {
        let mut places = Places::default();
        for _ in 0..PLACES {
            assert!(places.connect().is_some());
        }
        assert_eq!(places.connect(), None);
    }

    #[test]
    fn a_place_is_free_only_once_it_is_cleared() {
        let mut places = Places::default();
        let first = places.connect().unwrap();
        assert!(places.begin_closing(first));
        assert!(!places.begin_closing(first), "two would close one port");
        assert_eq!(places.begin_turn(first.place), None);
        assert!(places.closed(first));
        assert_ne!(places.connect().unwrap().place, first.place);
        places.cleared(first.place);
        let next = places.connect().unwrap();
        assert_eq!(next.place, first.place);
        assert_ne!(next, first);
    }

    #[test]
    fn a_place_that_is_served_is_cleared_by_the_sender() {
        let mut places = Places::default();
        let first = places.connect().unwrap();
        assert_eq!(places.begin_turn(first.place), Some(first));
        assert!(places.begin_closing(first));
        assert!(!places.closed(first), "the sender may be about to send");
        assert_ne!(places.connect().unwrap().place, first.place);
        assert!(places.end_turn(first.place));
        places.cleared(first.place);
        assert_eq!(places.connect().unwrap().place, first.place);
        assert!(places.begin_turn(first.place).is_some());
        assert!(!places.end_turn(first.place));
    }

    #[test]
    fn a_turn_that_ends_while_the_port_is_being_closed_leaves_the_place_to_the_closer() {
        let mut places = Places::default();
        let first = places.connect().unwrap();
        assert!(places.begin_turn(first.place).is_some());
        assert!(places.begin_closing(first));
        assert!(!places.end_turn(first.place));
        assert!(places.closed(first));
    }

    #[test]
    fn a_late_word_of_the_last_client_is_not_the_next_ones() {
        let mut places = Places::default();
        let dropped = places.connect().unwrap();
        assert!(places.begin_closing(dropped));
        assert!(places.closed(dropped));
        places.cleared(dropped.place);
        let next = places.connect().unwrap();
        assert!(!places.begin_closing(dropped));
        assert!(places.is_connected(next) && !places.is_connected(dropped));
    }

    #[test]
    fn a_client_is_stuck_after_so_many_misses_in_a_row() {
        let mut patience = Patience::default();
        for _ in 1..MAX_MISSES {
            assert!(!patience.missed(0, 5));
        }
        patience.took();
        for _ in 1..MAX_MISSES {
            assert!(!patience.missed(0, 5));
        }
        assert!(patience.missed(0, 5));
    }

    #[test]
    fn a_client_that_missed_is_left_alone_for_a_while() {
        let mut patience = Patience::default();
        assert_eq!(patience.rest(10), 0);
        assert!(!patience.missed(10, 5));
        assert_eq!(patience.rest(12), 3);
        assert_eq!(patience.rest(15), 0);
        assert!(!patience.missed(15, 5));
        patience.took();
        assert_eq!(patience.rest(16), 0);
    }

    proptest! {
        #[test]
        fn no_two_connections_share_a_place_or_a_ticket(
            steps in prop::collection::vec((0..5_u8, 0..PLACES), 0..120),
        ) {
            let mut places = Places::default();
            let mut seen = Vec::new();
            let mut closing = Vec::new();
            let mut turn: Option<(usize, Ticket)> = None;
            for (step, place) in steps {
                match step {
                    0 => if let Some(ticket) = places.connect() {
                        prop_assert!(!seen.contains(&ticket));
                        prop_assert!(closing.iter().all(|other: &Ticket| other.place != ticket.place));
                        prop_assert!(turn.is_none_or(|(place, _)| place != ticket.place));
                        seen.push(ticket);
                    },
                    1 => if let Some(ticket) = places.connected(place) {
                        prop_assert!(places.begin_closing(ticket));
                        closing.push(ticket);
                    },
                    2 => if let Some(ticket) = closing.pop() && places.closed(ticket) {
                        places.cleared(ticket.place);
                    },
                    3 => if turn.is_none() {
                        turn = places.begin_turn(place).map(|ticket| (place, ticket));
                    },
                    _ => if let Some((place, _)) = turn.take() && places.end_turn(place) {
                        places.cleared(place);
                    },
                }
            }
        }
    }
}
