//! Every layout is accepted whole and refused cut at every byte.

extern crate std;

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

fn event() -> EventRecord {
    let mut record = EventRecord::EMPTY;
    record.event = 7;
    record.time = 1 << 40;
    record.process_id = 4242;
    record.dropped = 11;
    record.operation = Operation::Connected;
    record.verdict = Verdict::Block;
    record.image_known = true;
    record.more = true;
    record.epoch = 3;
    record.sequence = 99;
    record.matched = 2;
    record.unknown = 1;
    record.untold = 4;
    assert!(record.add_hit(Hit { rule: 5, unknown: false }));
    assert!(record.add_hit(Hit { rule: 6, unknown: true }));
    record.name.set(&[0x5C, 0xD800, 0]);
    record.image.set(&[0x43; IMAGE_UNITS + 9]);
    record.result = Some(0xC000_0022);
    record.instance = Instance::Further;
    record.user = Sid::new(&[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]).unwrap();
    record.session = Some(2);
    record.integrity = Some(0x3000);
    record.elevated = Some(true);
    record.impersonating = Some(false);
    record
}

fn status() -> Status {
    Status {
        protection: Protection::Degraded(Loss::Refused),
        mode: Mode::Enforce,
        stage: Stage::Trial,
        test_keys: true,
        may_block: true,
        attached: true,
        channel: 291,
        epoch: 1,
        sequence: 2,
        rules: 3,
        events: 4,
        detected: 5,
        blocked: 6,
        exempt: 7,
        unknown: 8,
        not_ready: 9,
        dropped: 10,
        accepted: 11,
        refused: 12,
        scans: 13,
        refusal: RefusalNote {
            code: 14,
            offset: 15,
            expected: 16,
            found: 17,
            epoch: 18,
            sequence: 19,
            host_status: 20,
            cause: Cause::HardLink,
            file: [27; 16],
            key: [28; 16],
        },
        state: State::Stopping,
        trip: Some(Trip::Share),
        losses: Losses::NONE.with(Loss::Refused, true).with(Loss::FuseTripped, true),
        settings_refused: {
            let mut refused = Settings::NONE;
            refused.insert(Setting::ExemptProtected);
            refused
        },
        start_mode: Mode::Observe,
        fused: 21,
        untold: 22,
        stack_low: 23,
        wrong_irql: 24,
        no_memory: 25,
        nameless: 26,
        probe: Probe { outcome: ProbeOutcome::Seen, at: 21 },
        profile: SensorRecord(core::array::from_fn(|at| u8::try_from(at).unwrap())),
        unwatched: 27,
        trust: TrustNote {
            control: true,
            halted: true,
            control_epoch: 29,
            control_sequence: 30,
            floor_epoch: 31,
            floor_sequence: 32,
            floor_rules: 33,
            slots: [SlotState::Ready, SlotState::Struck, SlotState::Refused].map(|state| {
                SlotNote { state, code: 34, epoch: 35, sequence: 36, file: [37; 16], key: [38; 16] }
            }),
            refusal: RefusalNote {
                code: 39,
                file: [40; 16],
                key: [41; 16],
                ..RefusalNote::default()
            },
        },
    }
}

fn answer() -> Answer {
    Answer { id: 1 << 60, ask: Ask::SetMode(Mode::Enforce), outcome: Outcome::NoState }
}

fn statistics() -> Statistics {
    let client = ClientNote {
        process_id: 700,
        sent: 1,
        dropped: 2,
        waiting: 3,
        interest: Interest::Everything,
    };
    let mut statistics = Statistics {
        time: 1,
        events: 2,
        told: 3,
        dropped: 4,
        connections: 5,
        stuck: 6,
        requests: 7,
        refused_requests: 8,
        suppressed_rules: 17,
        ..Statistics::default()
    };
    statistics.latency[9] = 10;
    statistics.clients[2] = Some(client);
    statistics.suppressed[0] = Some(Suppressed { rule: 11, events: 12 });
    statistics
}

fn encoded() -> [(Vec<u8>, Message); 4] {
    [
        Message::Event(event()),
        Message::Status(status()),
        Message::Answer(answer()),
        Message::Statistics(statistics()),
    ]
    .map(|message| (bytes_of(&message), message))
}

fn bytes_of(message: &Message) -> Vec<u8> {
    let mut bytes = vec![0; MESSAGE_MAX];
    let (length, fits) = match message {
        Message::Event(event) => (EVENT_LEN, event.encode(&mut bytes[..EVENT_LEN])),
        Message::Status(status) => (STATUS_LEN, status.encode(&mut bytes[..STATUS_LEN])),
        Message::Answer(answer) => (ANSWER_LEN, answer.encode(&mut bytes[..ANSWER_LEN])),
        Message::Statistics(statistics) => {
            (STATISTICS_LEN, statistics.encode(&mut bytes[..STATISTICS_LEN]))
        }
    };
    assert!(fits);
    bytes.truncate(length);
    bytes
}

#[test]
fn reads_what_it_wrote() {
    for (bytes, message) in encoded() {
        assert_eq!(Message::decode(&bytes), Ok(message));
        assert!(bytes.len() <= MESSAGE_MAX);
    }
}

#[test]
fn a_record_copied_in_place_is_the_same() {
    let mut copy = EventRecord::EMPTY;
    copy.copy_from(&event());
    assert_eq!(copy, event());
    copy.clear();
    assert_eq!(copy, EventRecord::EMPTY);
}

#[test]
fn refuses_a_message_cut_at_every_byte_or_with_one_more() {
    for (mut bytes, _) in encoded() {
        for cut in 0..bytes.len() {
            assert!(Message::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        bytes.push(0);
        assert!(Message::decode(&bytes).is_err());
    }
}

#[test]
fn refuses_another_kind_or_version_by_number() {
    let (mut bytes, _) = encoded()[0].clone();
    bytes[0] = 9;
    assert_eq!(Message::decode(&bytes), Err(Malformed::Kind { found: 9 }));
    bytes[2] = 1;
    assert_eq!(Message::decode(&bytes), Err(Malformed::Version { found: 1 }));
}

#[test]
fn every_byte_changed_is_refused_or_read_back_the_same() {
    for (good, _) in encoded() {
        for at in 0..good.len() {
            for value in [0, 1, 0x7F, 0xFF] {
                let mut bytes = good.clone();
                bytes[at] = value;
                let Ok(message) = Message::decode(&bytes) else { continue };
                assert_eq!(bytes_of(&message), bytes, "byte {at} as {value:#x} was read loosely");
            }
        }
    }
}

#[test]
fn a_buffer_of_another_size_is_not_encoded_to() {
    assert!(!event().encode(&mut vec![0; EVENT_LEN - 1]));
    assert!(!event().encode(&mut vec![0; EVENT_LEN + 1]));
    assert!(!status().encode(&mut [0; STATUS_LEN - 1]));
    assert!(!answer().encode(&mut [0; ANSWER_LEN + 1]));
    assert!(!statistics().encode(&mut [0; STATISTICS_LEN - 1]));
}

#[test]
fn a_record_takes_so_many_hits_and_no_more() {
    let mut record = EventRecord::EMPTY;
    for rule in 0..u32::try_from(MAX_HITS).unwrap() {
        assert!(record.add_hit(Hit { rule, unknown: false }));
    }
    assert!(!record.add_hit(Hit { rule: 1, unknown: false }));
    assert_eq!(record.hits().len(), MAX_HITS);
    record.clear_hits();
    assert_eq!(record.hits(), []);
}

#[test]
fn text_keeps_what_fits_and_says_so() {
    let record = event();
    assert_eq!(record.name.units(), [0x5C, 0xD800, 0]);
    assert!(!record.name.is_cut());
    assert_eq!(record.image.units().len(), IMAGE_UNITS);
    assert!(record.image.is_cut());
}

#[test]
fn hello_is_read_whole_or_not_at_all() {
    for interest in [Interest::Status, Interest::Detections, Interest::Everything] {
        let bytes = Hello { interest }.encode();
        assert_eq!(Hello::decode(&bytes), Ok(Hello { interest }));
        for cut in 0..bytes.len() {
            assert!(Hello::decode(&bytes[..cut]).is_err());
        }
    }
    assert_eq!(Hello::decode(b"SKR?\0\0\x03\0"), Err(Malformed::Value));
    assert_eq!(Hello::decode(b"SKR?\x01\0\0\0"), Err(Malformed::Version { found: 1 }));
    assert_eq!(Hello::decode(b"nope\0\0\0\0"), Err(Malformed::Value));
    assert_eq!(Hello::decode(b"SKR?\0\0\0\0\0"), Err(Malformed::Length));
}

#[test]
fn a_record_used_again_keeps_nothing_of_its_last_event() {
    let (mut used, mut fresh) = (event(), EventRecord::EMPTY);
    let mut bytes = [vec![0; EVENT_LEN], vec![0; EVENT_LEN]];
    used.clear();
    for (record, bytes) in [&mut used, &mut fresh].into_iter().zip(&mut bytes) {
        record.name.set(&[0x5C]);
        assert!(record.encode(bytes));
    }
    // Also behind the end of texts and lists, where no reader looks.
    let [used, fresh] = bytes;
    assert_eq!(used, fresh);
}

const ASKS: [Ask; 7] = [
    Ask::Status,
    Ask::Statistics,
    Ask::Reload,
    Ask::SetMode(Mode::Observe),
    Ask::SetMode(Mode::Enforce),
    Ask::ClearQuarantine,
    Ask::ResetFuse,
];

#[test]
fn a_request_is_read_whole_or_not_at_all() {
    for ask in ASKS {
        let request = Request { id: 0x0102_0304_0506_0708, ask };
        let bytes = request.encode();
        assert_eq!(Request::decode(&bytes), Ok(request));
        for cut in 0..bytes.len() {
            assert!(Request::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
        assert_eq!(Request::decode(&longer), Err(Malformed::Length));
        for at in 0..bytes.len() {
            for value in 0..=255 {
                let mut bytes = bytes;
                bytes[at] = value;
                if let Ok(read) = Request::decode(&bytes) {
                    assert_eq!(read.encode(), bytes, "byte {at} as {value:#x} was read loosely");
                }
            }
        }
    }
}

#[test]
fn neither_side_takes_the_other_sides_messages() {
    let request = Request { id: 1, ask: Ask::Status }.encode();
    assert_eq!(Message::decode(&request), Err(Malformed::Kind { found: 16 }));
    for (bytes, _) in encoded() {
        assert!(matches!(Request::decode(&bytes), Err(Malformed::Kind { .. })));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_back_the_same_or_refused(
        kind in 0_u16..18,
        body in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut bytes = Vec::new();
        bytes.extend(kind.to_le_bytes());
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(u32::try_from(HEAD_LEN.saturating_add(body.len())).unwrap().to_le_bytes());
        bytes.extend(body);
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(bytes_of(&message), bytes.clone());
        }
        if let Ok(request) = Request::decode(&bytes) {
            prop_assert_eq!(request.encode().to_vec(), bytes);
        }
    }

    #[test]
    fn answers_and_requests_survive_the_way(
        id in any::<u64>(),
        ask in prop::sample::select(ASKS.as_slice()),
        outcome in prop::sample::select(Outcome::ALL.as_slice()),
    ) {
        let answer = Answer { id, ask, outcome };
        let bytes = bytes_of(&Message::Answer(answer));
        prop_assert_eq!(Message::decode(&bytes), Ok(Message::Answer(answer)));
        let request = Request { id, ask };
        prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
    }

    #[test]
    fn statistics_survive_the_way(
        numbers in any::<[u64; 8]>(),
        latency in any::<[u64; LATENCY_BUCKETS]>(),
        place in 0..MAX_CLIENTS,
        process_id in any::<u64>(),
        waiting in any::<u32>(),
        rules in prop::collection::vec((any::<u32>(), any::<u64>()), 0..=MAX_SUPPRESSED),
    ) {
        let [time, events, told, dropped, connections, stuck, requests, refused_requests] = numbers;
        let mut statistics = Statistics {
            time, events, told, dropped, connections, stuck, requests, refused_requests, latency,
            suppressed_rules: waiting,
            ..Statistics::default()
        };
        statistics.clients[place] = Some(ClientNote { process_id, waiting, ..ClientNote::default() });
        for (place, (rule, events)) in statistics.suppressed.iter_mut().zip(rules) {
            *place = Some(Suppressed { rule, events });
        }
        let bytes = bytes_of(&Message::Statistics(statistics.clone()));
        prop_assert_eq!(Message::decode(&bytes), Ok(Message::Statistics(statistics)));
    }
}
