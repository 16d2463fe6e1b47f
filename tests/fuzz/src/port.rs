//! Clients of the port and what they asked, beside models that remember everything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use driver_abi::{Answer, Ask, Mode, Outcome, Request};
use driver_core::clients::{PLACES, Places, Ticket};
use driver_core::requests::{MAX_REQUESTS, Requests};
use driver_core::ring::Ring;

use crate::input::Input;
use crate::target::Target;

/// The targets of this module.
pub const TARGETS: &[Target] = &[
    Target::new("clients", "clients that come, go and are served, in any order", clients)
        .seeds(|| vec![(0..120).collect()])
        .longest(512),
    Target::new("requests", "what clients ask, and when it is done and answered", requests)
        .seeds(|| vec![(0..120).collect()])
        .longest(512),
    Target::new("ring", "what is kept when nobody listens", ring)
        .seeds(|| vec![vec![0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 2]])
        .longest(512),
];

/// No place is two clients', none that the sender serves is given away, none is lost.
pub fn clients(bytes: &[u8]) {
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Is {
        Connected,
        Closing,
        Closed,
    }
    let mut input = Input::new(bytes);
    let mut places = Places::default();
    let mut known: BTreeMap<usize, (Ticket, Is)> = BTreeMap::new();
    let mut numbers = BTreeSet::new();
    let mut served: Option<usize> = None;
    while !input.is_empty() {
        let (operation, place) = (input.u8() % 6, input.below(PLACES));
        let of_place = known.get(&place).copied();
        match operation {
            0 => match places.connect() {
                Some(ticket) => {
                    assert_eq!(Ticket::from_number(ticket.number()), Some(ticket));
                    assert!(numbers.insert(ticket.number()), "a ticket is given once");
                    assert!(served != Some(ticket.place), "the sender is at that place");
                    let before = known.insert(ticket.place, (ticket, Is::Connected));
                    assert_eq!(before.map(|(ticket, _)| ticket), None, "a place of another");
                }
                None => assert_eq!(known.len(), PLACES, "a place is free"),
            },
            1 => {
                if let Some((ticket, is)) = of_place {
                    assert_eq!(places.begin_closing(ticket), is == Is::Connected);
                    if is == Is::Connected {
                        known.insert(place, (ticket, Is::Closing));
                    }
                }
            }
            2 => {
                if let Some((ticket, Is::Closing)) = of_place {
                    let clears = places.closed(ticket);
                    assert_eq!(clears, served != Some(place));
                    if clears {
                        places.cleared(place);
                        known.remove(&place);
                    } else {
                        known.insert(place, (ticket, Is::Closed));
                    }
                }
            }
            3 => {
                if served.is_none() {
                    let ticket = places.begin_turn(place);
                    let expected = of_place.filter(|(_, is)| *is == Is::Connected);
                    assert_eq!(ticket, expected.map(|(ticket, _)| ticket));
                    served = ticket.map(|ticket| ticket.place);
                }
            }
            4 => {
                if let Some(place) = served.take() {
                    let clears = places.end_turn(place);
                    let closed = known.get(&place).is_some_and(|(_, is)| *is == Is::Closed);
                    assert_eq!(clears, closed);
                    if clears {
                        places.cleared(place);
                        known.remove(&place);
                    }
                }
            }
            _ => {
                // A cookie that somebody made up.
                if let Some(ticket) = Ticket::from_number(usize::from(input.u16())) {
                    let connected =
                        known.values().any(|(known, is)| *known == ticket && *is == Is::Connected);
                    assert_eq!(places.is_connected(ticket), connected);
                }
            }
        }
        for (place, (ticket, is)) in &known {
            let connected = (*is == Is::Connected).then_some(*ticket);
            assert_eq!(places.connected(*place), connected);
        }
    }
}

/// Each request that was taken in gets one answer, with what became of it; errands come in the
/// order asked, and no more are in flight than there is room for.
pub fn requests(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut requests = Requests::default();
    // Asked and not answered: whether the worker was given it, and has it; what became of it.
    let mut open: VecDeque<(Request, u8, Option<Outcome>)> = VecDeque::new();
    let mut id = 0;
    while !input.is_empty() {
        let operation = input.u8();
        match operation % 6 {
            0 => {
                id += 1;
                let ask = input.pick(&[
                    Ask::Status,
                    Ask::Statistics,
                    Ask::Reload,
                    Ask::SetMode(Mode::Observe),
                    Ask::ClearQuarantine,
                    Ask::ResetFuse,
                ]);
                let request = Request { id, ask };
                assert_eq!(requests.add(request), open.len() < MAX_REQUESTS);
                if open.len() < MAX_REQUESTS {
                    open.push_back((request, 0, None));
                }
            }
            1 | 2 => {
                let first = open.iter_mut().find(|(_, stage, end)| *stage == 0 && end.is_none());
                assert_eq!(requests.first_asked(), first.as_ref().map(|first| first.0));
                if let Some(first) = first {
                    if operation % 6 == 1 {
                        requests.end_first(Outcome::Done);
                        first.2 = Some(Outcome::Done);
                    } else {
                        requests.hand_over_first();
                        first.1 = 1;
                    }
                }
            }
            3 => {
                let errands = requests.take_errands();
                let mut expected = (false, false);
                for (request, stage, _) in open.iter_mut().filter(|(_, stage, _)| *stage == 1) {
                    expected.0 |= request.ask == Ask::Reload;
                    expected.1 |= request.ask == Ask::ClearQuarantine;
                    *stage = 2;
                }
                assert_eq!((errands.reload, errands.clear_quarantine), expected);
            }
            4 => {
                let outcome = input.pick(&Outcome::ALL);
                let mut ended = false;
                for (_, stage, end) in &mut open {
                    if *stage == 2 && end.is_none() {
                        *end = Some(outcome);
                        ended = true;
                    }
                }
                assert_eq!(requests.end_errands(outcome), ended);
            }
            _ => {
                let answer = requests.answer();
                let first = open.iter().position(|(_, _, end)| end.is_some());
                let expected = first.and_then(|place| {
                    let (request, _, outcome) = open[place];
                    outcome.map(|outcome| Answer { id: request.id, ask: request.ask, outcome })
                });
                assert_eq!(answer, expected);
                if let (Some(answer), Some(place)) = (answer, first) {
                    requests.answered(answer);
                    open.remove(place);
                }
            }
        }
    }
}

/// A ring keeps the oldest in order, and counts what it had no room for.
pub fn ring(bytes: &[u8]) {
    const SLOTS: usize = 5;
    let mut ring = Ring::new([0_u32; SLOTS]);
    let (mut kept, mut dropped) = (VecDeque::new(), 0);
    for (number, operation) in (1_u32..).zip(bytes) {
        match operation % 8 {
            0..=3 => {
                let room = kept.len() < SLOTS;
                assert_eq!(ring.push::<u32>(|slot| *slot = number), room);
                if room {
                    kept.push_back(number);
                } else {
                    dropped += 1;
                }
            }
            4 => assert_eq!(ring.front::<u32, _>(|slot| *slot), kept.front().copied()),
            5 | 6 => assert_eq!(ring.pop::<u32, _>(|slot| *slot), kept.pop_front()),
            _ => {
                ring.clear();
                kept.clear();
            }
        }
        assert_eq!((ring.len(), ring.is_empty()), (kept.len(), kept.is_empty()));
        assert_eq!(ring.dropped(), dropped);
    }
}
