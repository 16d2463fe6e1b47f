//! What one client has asked and has no answer to yet.
//!
//! The message callback takes requests in and returns; the sender carries out those that need no
//! file, hands the others to the content worker, and sends the answers.

use driver_abi::{Answer, Ask, Outcome, Request};

/// Requests of one client without an answer. A tool sends one and waits; more than a few in flight
/// are a mistake or an attack.
pub const MAX_REQUESTS: usize = 4;

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Asked,
    /// The worker is to take it.
    Waits,
    /// The worker has it.
    InWork,
    Ended(Outcome),
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    request: Request,
    stage: Stage,
    /// Which of the client's requests it is.
    number: u32,
}

impl Pending {
    const fn answer(&self) -> Option<Answer> {
        let Request { id, ask } = self.request;
        match self.stage {
            Stage::Ended(outcome) => Some(Answer { id, ask, outcome }),
            Stage::Asked | Stage::Waits | Stage::InWork => None,
        }
    }
}

/// What the worker is asked to do, by one or several clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errands {
    /// Look into the inbox now.
    pub reload: bool,
    /// Forget which bodies are not tried any more.
    pub clear_quarantine: bool,
}

impl Errands {
    /// True when there is something to do.
    pub const fn any(self) -> bool {
        self.reload || self.clear_quarantine
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            reload: self.reload || other.reload,
            clear_quarantine: self.clear_quarantine || other.clear_quarantine,
        }
    }
}

/// A client's requests.
#[derive(Debug, Default)]
pub struct Requests {
    pending: [Option<Pending>; MAX_REQUESTS],
    next: u32,
}

impl Requests {
    /// Takes a request in. False when too many have no answer yet.
    pub fn add(&mut self, request: Request) -> bool {
        let Some(free) = self.pending.iter_mut().find(|place| place.is_none()) else {
            return false;
        };
        *free = Some(Pending { request, stage: Stage::Asked, number: self.next });
        self.next = self.next.wrapping_add(1);
        true
    }

    /// The request that was asked first and nobody has begun.
    pub fn first_asked(&self) -> Option<Request> {
        self.first(|stage| stage == Stage::Asked).map(|pending| pending.request)
    }

    /// That one was carried out.
    pub fn end_first(&mut self, outcome: Outcome) {
        self.set_first(Stage::Ended(outcome));
    }

    /// That one is for the worker.
    pub fn hand_over_first(&mut self) {
        self.set_first(Stage::Waits);
    }

    /// The worker takes what it is to do.
    pub fn take_errands(&mut self) -> Errands {
        let mut errands = Errands::default();
        for pending in self.pending.iter_mut().flatten() {
            if pending.stage == Stage::Waits {
                pending.stage = Stage::InWork;
                match pending.request.ask {
                    Ask::Reload => errands.reload = true,
                    Ask::ClearQuarantine => errands.clear_quarantine = true,
                    Ask::Status | Ask::Statistics | Ask::SetMode(_) | Ask::ResetFuse => {}
                }
            }
        }
        errands
    }

    /// The worker has done what it took. True when there is something to answer.
    pub fn end_errands(&mut self, outcome: Outcome) -> bool {
        let mut ended = false;
        for pending in self.pending.iter_mut().flatten() {
            if pending.stage == Stage::InWork {
                pending.stage = Stage::Ended(outcome);
                ended = true;
            }
        }
        ended
    }

    /// The answer to send next.
    pub fn answer(&self) -> Option<Answer> {
        self.first(|stage| matches!(stage, Stage::Ended(_))).and_then(Pending::answer)
    }

    /// That answer was sent. Meanwhile the worker may have ended a request that was asked earlier,
    /// which has not been answered by that.
    pub fn answered(&mut self, sent: Answer) {
        let all = self.pending.iter_mut();
        let is_sent = |pending: &Pending| pending.answer() == Some(sent);
        // Where two are alike, it does not matter which it was.
        if let Some(place) = all.into_iter().find(|place| place.as_ref().is_some_and(is_sent)) {
            *place = None;
        }
    }

    /// Forgets everything.
    pub const fn clear(&mut self) {
        self.pending = [None; MAX_REQUESTS];
    }

    fn first(&self, is: impl Fn(Stage) -> bool) -> Option<&Pending> {
        let all = self.pending.iter().flatten().filter(|pending| is(pending.stage));
        // Counted from the number to come, which wraps, the first is the one farthest back.
        all.max_by_key(|pending| self.next.wrapping_sub(pending.number))
    }

    fn set_first(&mut self, stage: Stage) {
        let number = self.first(|stage| stage == Stage::Asked).map(|pending| pending.number);
        for pending in self.pending.iter_mut().flatten() {
            if Some(pending.number) == number {
                pending.stage = stage;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use driver_abi::Mode;

    use super::*;

    const fn request(id: u64, ask: Ask) -> Request {
        Request { id, ask }
    }

    /// Takes the next answer out.
    fn answer(requests: &mut Requests) -> Answer {
        let answer = requests.answer().expect("something has ended");
        requests.answered(answer);
        answer
    }

    #[test]
    fn what_the_worker_ends_while_an_answer_is_sent_is_answered_too() {
        let mut requests = Requests::default();
        assert!(requests.add(request(1, Ask::Reload)));
        requests.hand_over_first();
        assert!(requests.take_errands().reload);
        assert!(requests.add(request(2, Ask::SetMode(Mode::Observe))));
        requests.end_first(Outcome::Done);
        let second = requests.answer().unwrap();
        assert!(requests.end_errands(Outcome::Done));
        requests.answered(second);
        assert_eq!([second.id, answer(&mut requests).id], [2, 1]);
        assert_eq!(requests.answer(), None);
    }

    #[test]
    fn requests_of_one_number_are_each_answered() {
        let mut requests = Requests::default();
        for _ in 0..2 {
            assert!(requests.add(request(5, Ask::ResetFuse)));
            requests.end_first(Outcome::Done);
        }
        assert_eq!(answer(&mut requests), answer(&mut requests));
        assert_eq!(requests.answer(), None);
    }

    #[test]
    fn so_many_are_taken_and_no_more_until_one_is_answered() {
        let mut requests = Requests::default();
        for _ in 0..MAX_REQUESTS {
            assert!(requests.add(request(7, Ask::Status)));
        }
        assert!(!requests.add(request(8, Ask::Status)));
        requests.end_first(Outcome::Done);
        assert!(!requests.add(request(8, Ask::Status)));
        answer(&mut requests);
        assert!(requests.add(request(8, Ask::Status)));
    }

    #[test]
    fn they_are_carried_out_and_answered_in_their_order() {
        let mut requests = Requests { next: u32::MAX, ..Requests::default() };
        assert!(requests.add(request(1, Ask::SetMode(Mode::Observe))));
        assert!(requests.add(request(2, Ask::SetMode(Mode::Enforce))));
        for id in [1, 2] {
            assert_eq!(requests.first_asked().map(|request| request.id), Some(id));
            requests.end_first(Outcome::Done);
        }
        assert_eq!(requests.first_asked(), None);
        for id in [1, 2] {
            assert_eq!(answer(&mut requests).id, id);
        }
        assert_eq!(requests.answer(), None);
    }

    #[test]
    fn the_worker_ends_what_it_took_and_nothing_else() {
        let mut requests = Requests::default();
        assert!(requests.add(request(1, Ask::Reload)));
        assert!(!requests.take_errands().any(), "nobody handed it over");
        requests.hand_over_first();
        let errands = requests.take_errands();
        assert_eq!(errands, Errands { reload: true, clear_quarantine: false });
        assert!(requests.add(request(2, Ask::ClearQuarantine)));
        requests.hand_over_first();
        assert!(requests.end_errands(Outcome::NoInbox));
        let expected = Answer { id: 1, ask: Ask::Reload, outcome: Outcome::NoInbox };
        assert_eq!(answer(&mut requests), expected);
        assert_eq!(requests.answer(), None);
        assert!(!requests.end_errands(Outcome::Done));
        assert!(requests.take_errands().clear_quarantine);
    }

    #[test]
    fn nothing_is_left_of_a_client_that_has_gone() {
        let mut requests = Requests::default();
        assert!(requests.add(request(1, Ask::Reload)));
        requests.hand_over_first();
        assert!(requests.take_errands().any());
        requests.clear();
        assert!(!requests.end_errands(Outcome::Done));
        assert_eq!(requests.answer(), None);
        assert_eq!(requests.first_asked(), None);
    }
}
