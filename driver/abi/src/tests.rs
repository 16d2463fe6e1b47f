//! Every layout is accepted whole and refused cut at every byte.

extern crate std;

use std::vec;
use std::vec::Vec;

use super::*;

fn event() -> EventRecord {
    let mut record = EventRecord::EMPTY;
    record.event = 7;
    record.time = 1 << 40;
    record.process_id = 4242;
    record.operation = Operation::Connected;
    record.verdict = Verdict::Block;
    record.image_known = true;
    record.more = true;
    record.epoch = 3;
    record.sequence = 99;
    record.matched = 2;
    record.unknown = 1;
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
        },
    }
}

fn encoded() -> [(Vec<u8>, Message); 2] {
    let mut bytes = [vec![0; EVENT_LEN], vec![0; STATUS_LEN]];
    assert!(event().encode(&mut bytes[0]));
    assert!(status().encode(&mut bytes[1]));
    let [first, second] = bytes;
    [(first, Message::Event(event())), (second, Message::Status(status()))]
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
                let mut again = vec![0; good.len()];
                match Message::decode(&bytes) {
                    Ok(Message::Event(record)) => assert!(record.encode(&mut again)),
                    Ok(Message::Status(status)) => assert!(status.encode(&mut again)),
                    Err(_) => continue,
                }
                assert_eq!(again, bytes, "byte {at} as {value:#x} was read loosely");
            }
        }
    }
}

#[test]
fn a_buffer_of_another_size_is_not_encoded_to() {
    assert!(!event().encode(&mut vec![0; EVENT_LEN - 1]));
    assert!(!event().encode(&mut vec![0; EVENT_LEN + 1]));
    assert!(!status().encode(&mut [0; STATUS_LEN - 1]));
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
