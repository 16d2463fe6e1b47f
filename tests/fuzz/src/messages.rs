//! What the driver and user mode say to each other: what is read is what was said, to the last bit.

use driver_abi::crash::CrashNote;
use driver_abi::{
    ANSWER_LEN, Answer, Ask, EVENT_LEN, EventRecord, HELLO_LEN, Hello, Hit, Interest, Message,
    Mode, Outcome, Protection, REQUEST_LEN, Request, STATISTICS_LEN, STATUS_LEN, Sid, Statistics,
    Status,
};

use crate::target::Target;

/// The targets of this module.
pub const TARGETS: &[Target] = &[
    Target::new("message", "messages of the driver", |bytes| _ = message(bytes))
        .seeds(messages)
        .longest(4_096),
    Target::new("request", "what a client says: its hello and its requests", |bytes| {
        _ = request(bytes)
    })
    .seeds(requests)
    .longest(64),
    Target::new("crash-note", "the block that a crash dump holds", note)
        .seeds(|| vec![vec![0; 1_024]])
        .longest(2_048),
];

/// A message of the driver is refused, or is what writing it again gives. True if it can be read.
pub fn message(bytes: &[u8]) -> bool {
    let Ok(message) = Message::decode(bytes) else { return false };
    let mut again = vec![0; bytes.len()];
    let written = match &message {
        Message::Status(status) => status.encode(&mut again),
        Message::Event(event) => event.encode(&mut again),
        Message::Answer(answer) => answer.encode(&mut again),
        Message::Statistics(statistics) => statistics.encode(&mut again),
    };
    assert!(written && again == bytes, "{message:?}");
    if let Message::Event(event) = &message {
        assert!(event.hits().len() <= driver_abi::MAX_HITS);
        assert!(event.name.units().len() <= driver_abi::NAME_UNITS);
        assert!(event.image.units().len() <= driver_abi::IMAGE_UNITS);
    }
    true
}

/// So is what a client says.
pub fn request(bytes: &[u8]) -> bool {
    let (request, hello) = (Request::decode(bytes), Hello::decode(bytes));
    if let Ok(request) = &request {
        assert_eq!(request.encode()[..], *bytes, "{request:?}");
    }
    if let Ok(hello) = &hello {
        assert_eq!(hello.encode()[..], *bytes, "{hello:?}");
    }
    request.is_ok() || hello.is_ok()
}

/// A block of a dump is read or refused; what is read is within bounds.
pub fn note(bytes: &[u8]) {
    let Ok(note) = CrashNote::decode(bytes) else { return };
    assert_eq!(CrashNote::decode(bytes), Ok(note));
    for verdict in note.verdicts.into_iter().flatten() {
        assert!(verdict.event != 0);
    }
}

/// What [`messages`] has one of, in its order.
pub(crate) const NAMES: [&str; 4] = ["status", "event", "answer", "statistics"];

/// A message of each kind.
pub(crate) fn messages() -> Vec<Vec<u8>> {
    let of = |length: usize, write: &dyn Fn(&mut [u8]) -> bool| {
        let mut bytes = vec![0; length];
        assert!(write(&mut bytes), "the length of its kind");
        bytes
    };
    let mut event = EventRecord::EMPTY;
    (event.event, event.matched, event.unknown) = (7, 2, 1);
    event.name.set(&[0x5c, 0x61, 0xd800]);
    event.image.set(&[0x5c; driver_abi::IMAGE_UNITS + 9]);
    event.add_hit(Hit { rule: 3, unknown: true });
    event.user = Sid::new(&[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]).expect("an identifier");
    (event.session, event.elevated, event.remote) = (Some(1), Some(true), Some(false));
    let status = Status { protection: Protection::Full, events: 9, ..Status::default() };
    let answer = Answer { id: 5, ask: Ask::SetMode(Mode::Enforce), outcome: Outcome::TooEarly };
    vec![
        of(STATUS_LEN, &|out| status.encode(out)),
        of(EVENT_LEN, &|out| event.encode(out)),
        of(ANSWER_LEN, &|out| answer.encode(out)),
        of(STATISTICS_LEN, &|out| Statistics::default().encode(out)),
    ]
}

/// Every request and every hello.
pub(crate) fn requests() -> Vec<Vec<u8>> {
    let asks = [
        Ask::Status,
        Ask::Statistics,
        Ask::Reload,
        Ask::SetMode(Mode::Observe),
        Ask::SetMode(Mode::Enforce),
        Ask::ClearQuarantine,
        Ask::ResetFuse,
    ];
    let interests = [Interest::Status, Interest::Detections, Interest::Everything];
    let requests = asks.map(|ask| {
        let bytes: [u8; REQUEST_LEN] = Request { id: 1, ask }.encode();
        bytes.to_vec()
    });
    let hellos = interests.map(|interest| {
        let bytes: [u8; HELLO_LEN] = Hello { interest }.encode();
        bytes.to_vec()
    });
    requests.into_iter().chain(hellos).collect()
}
