//! `tests/vm/port.ps1` reads messages by tables of its own; here each line of them is compared with
//! what this crate encodes.

use std::collections::BTreeMap;
use std::ops::Range;

use driver_abi::{
    Cause, EVENT_LEN, EventRecord, Hello, Hit, IMAGE_UNITS, Instance, Interest, Kind, Loss, Losses,
    MAX_HITS, Mode, NAME_UNITS, Operation, PORT_NAME, Probe, ProbeOutcome, Protection, RefusalNote,
    SID_MAX, STATUS_LEN, Setting, Sid, Stage, State, Status, Trip, VERSION, Verdict,
};

const SCRIPT: &str = include_str!("../../../tests/vm/port.ps1");

/// The lines of one table of the script: name and what it is set to.
fn table(name: &str) -> BTreeMap<&'static str, &'static str> {
    let begin = format!("${name} = @{{");
    let lines = SCRIPT.lines().skip_while(|line| *line != begin).skip(1);
    let mut rows = BTreeMap::new();
    for line in lines.take_while(|line| *line != "}").filter(|line| !line.trim().is_empty()) {
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("no row: {line}"));
        let old = rows.insert(key.trim().trim_matches('\''), value.trim().trim_matches('\''));
        assert!(old.is_none(), "{key} is there twice");
    }
    assert!(!rows.is_empty(), "the script has no table {name}");
    rows
}

fn number(text: &str) -> usize {
    text.trim().parse().unwrap_or_else(|_| panic!("no number: {text}"))
}

fn event_bytes(event: &EventRecord) -> Vec<u8> {
    let mut bytes = vec![0; EVENT_LEN];
    assert!(event.encode(&mut bytes));
    bytes
}

fn status_bytes(status: &Status) -> Vec<u8> {
    let mut bytes = vec![0; STATUS_LEN];
    assert!(status.encode(&mut bytes));
    bytes
}

/// The bytes that differ, which must be one run.
fn changed(old: &[u8], new: &[u8]) -> Range<usize> {
    let places: Vec<usize> = (0..old.len()).filter(|at| old[*at] != new[*at]).collect();
    let (first, last) = (places[0], places[places.len() - 1]);
    assert_eq!(places.len(), last + 1 - first, "more than one field has changed");
    first..last + 1
}

/// Where the field of the status is that this changes in all its bytes.
fn status(change: impl FnOnce(&mut Status)) -> Range<usize> {
    let mut status =
        Status { protection: Protection::Degraded(Loss::NoContent), ..Status::default() };
    let old = status_bytes(&status);
    change(&mut status);
    changed(&old, &status_bytes(&status))
}

/// Where the field of an event is that this changes in all its bytes. The event names one rule, and
/// its texts are as long as they can be.
fn event(change: impl FnOnce(&mut EventRecord)) -> Range<usize> {
    let mut event = EventRecord::EMPTY;
    event.add_hit(Hit::default());
    event.name.set(&[0; NAME_UNITS]);
    event.image.set(&[0; IMAGE_UNITS]);
    let old = event_bytes(&event);
    change(&mut event);
    changed(&old, &event_bytes(&event))
}

/// Where the number of an event is that may be unknown.
fn number_place(set: impl Fn(&mut EventRecord, Option<u32>)) -> Range<usize> {
    let of = |value: u32| {
        let mut event = EventRecord::EMPTY;
        set(&mut event, Some(value));
        event_bytes(&event)
    };
    changed(&of(0), &of(u32::MAX))
}

#[test]
fn every_field_is_where_the_script_says() {
    let hit = Hit { rule: u32::MAX, unknown: true };
    let first_hit = event(|e| {
        e.clear_hits();
        e.add_hit(hit);
    });
    let name_text = event(|e| e.name.set(&[u16::MAX; NAME_UNITS]));
    let image_text = event(|e| e.image.set(&[u16::MAX; IMAGE_UNITS]));
    let user = {
        let of = |fill: u8| {
            let mut event = EventRecord::EMPTY;
            let mut sid = [fill; SID_MAX];
            sid[..2].copy_from_slice(&[1, 15]);
            event.user = Sid::new(&sid).unwrap();
            event_bytes(&event)
        };
        let parts = changed(&of(0), &of(u8::MAX));
        parts.start - 2..parts.end
    };
    // A text's two lengths stand before it, the number of rules before the rules: checked by value
    // in the next test.
    let before = |at: usize, length: usize| at - length..at;
    // Sets have bits that nothing uses: only where they begin can be seen.
    let every_loss = Loss::ALL.into_iter().fold(Losses::NONE, |all, loss| all.with(loss, true));
    let losses = status(|s| s.losses = every_loss).start;
    let settings = status(|s| s.settings_refused.insert(Setting::Mode)).start;
    let expected = [
        ("head.kind", 0..2),
        ("head.version", 2..4),
        ("head.length", 4..8),
        ("status.protection", status(|s| s.protection = Protection::None(Loss::NoContent))),
        ("status.loss", status(|s| s.protection = Protection::Degraded(Loss::Stale))),
        ("status.mode", status(|s| s.mode = Mode::Enforce)),
        ("status.stage", status(|s| s.stage = Stage::Good)),
        ("status.test_keys", status(|s| s.test_keys = true)),
        ("status.may_block", status(|s| s.may_block = true)),
        ("status.state", status(|s| s.state = State::Stopping)),
        ("status.trip", status(|s| s.trip = Some(Trip::Share))),
        ("status.attached", status(|s| s.attached = true)),
        ("status.channel", status(|s| s.channel = u32::MAX)),
        ("status.epoch", status(|s| s.epoch = u32::MAX)),
        ("status.sequence", status(|s| s.sequence = u32::MAX)),
        ("status.rules", status(|s| s.rules = u32::MAX)),
        ("status.events", status(|s| s.events = u64::MAX)),
        ("status.detected", status(|s| s.detected = u64::MAX)),
        ("status.blocked", status(|s| s.blocked = u64::MAX)),
        ("status.exempt", status(|s| s.exempt = u64::MAX)),
        ("status.unknown", status(|s| s.unknown = u64::MAX)),
        ("status.not_ready", status(|s| s.not_ready = u64::MAX)),
        ("status.dropped", status(|s| s.dropped = u64::MAX)),
        ("status.accepted", status(|s| s.accepted = u64::MAX)),
        ("status.refused", status(|s| s.refused = u64::MAX)),
        ("status.scans", status(|s| s.scans = u64::MAX)),
        ("refusal.code", status(|s| s.refusal.code = u16::MAX)),
        // Numbers below 256: one byte changes.
        ("refusal.cause", {
            let at = status(|s| s.refusal.cause = Cause::Struck);
            at.start..at.start + 2
        }),
        ("refusal.offset", status(|s| s.refusal.offset = u32::MAX)),
        ("refusal.epoch", status(|s| s.refusal.epoch = u32::MAX)),
        ("refusal.sequence", status(|s| s.refusal.sequence = u32::MAX)),
        ("refusal.host_status", status(|s| s.refusal.host_status = u32::MAX)),
        ("refusal.expected", status(|s| s.refusal.expected = u64::MAX)),
        ("refusal.found", status(|s| s.refusal.found = u64::MAX)),
        ("status.losses", losses..losses + 4),
        ("status.settings", settings..settings + 2),
        ("status.start_mode", status(|s| s.start_mode = Mode::Enforce)),
        ("status.fused", status(|s| s.fused = u64::MAX)),
        ("status.untold", status(|s| s.untold = u64::MAX)),
        ("status.stack_low", status(|s| s.stack_low = u64::MAX)),
        ("status.wrong_irql", status(|s| s.wrong_irql = u64::MAX)),
        ("status.no_memory", status(|s| s.no_memory = u64::MAX)),
        ("status.nameless", status(|s| s.nameless = u64::MAX)),
        ("status.unwatched", status(|s| s.unwatched = u32::MAX)),
        ("probe.outcome", status(|s| s.probe.outcome = ProbeOutcome::NotSeen)),
        ("probe.at", status(|s| s.probe.at = u64::MAX)),
        ("event.number", event(|e| e.event = u64::MAX)),
        ("event.time", event(|e| e.time = u64::MAX)),
        ("event.process_id", event(|e| e.process_id = u64::MAX)),
        ("event.dropped", event(|e| e.dropped = u64::MAX)),
        ("event.operation", event(|e| e.operation = Operation::Connected)),
        ("event.verdict", event(|e| e.verdict = Verdict::Detect)),
        ("event.image_known", event(|e| e.image_known = true)),
        ("event.more", event(|e| e.more = true)),
        ("event.epoch", event(|e| e.epoch = u32::MAX)),
        ("event.sequence", event(|e| e.sequence = u32::MAX)),
        ("event.matched", event(|e| e.matched = u32::MAX)),
        ("event.unknown", event(|e| e.unknown = u32::MAX)),
        ("event.hit_count", before(first_hit.start, 4)),
        ("event.first_hit", first_hit),
        ("event.name_kept", before(name_text.start - 2, 2)),
        ("event.name_full", before(name_text.start, 2)),
        ("event.name_text", name_text),
        ("event.image_kept", before(image_text.start - 2, 2)),
        ("event.image_full", before(image_text.start, 2)),
        ("event.image_text", image_text),
        ("event.untold", event(|e| e.untold = u32::MAX)),
        ("event.result", number_place(|e, number| e.result = number)),
        ("event.session", number_place(|e, number| e.session = number)),
        ("event.integrity", number_place(|e, number| e.integrity = number)),
        ("event.result_known", event(|e| e.result = Some(0))),
        ("event.session_known", event(|e| e.session = Some(0))),
        ("event.integrity_known", event(|e| e.integrity = Some(0))),
        ("event.instance", event(|e| e.instance = Instance::Further)),
        ("event.elevated", event(|e| e.elevated = Some(true))),
        ("event.impersonating", event(|e| e.impersonating = Some(true))),
        ("event.remote", event(|e| e.remote = Some(true))),
        ("event.user_length", before(user.start, 1)),
        ("event.user", user),
    ];
    let expected: BTreeMap<&str, Range<usize>> = expected.into_iter().collect();
    assert_eq!(fields(), expected);
}

fn fields() -> BTreeMap<&'static str, Range<usize>> {
    let rows = table("SakerFields").into_iter().map(|(name, place)| {
        let (offset, length) = place.split_once(',').expect("offset, length");
        let offset = number(offset);
        (name, offset..offset + number(length))
    });
    rows.collect()
}

#[test]
fn heads_and_lengths_hold_what_the_script_takes_them_for() {
    let fields = fields();
    let read = |bytes: &[u8], field: &str| {
        let field = bytes[fields[field].clone()].iter().rev();
        field.fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let status = status_bytes(&Status::default());
    let mut event = EventRecord::EMPTY;
    event.add_hit(Hit { rule: 7, unknown: false });
    event.add_hit(Hit { rule: 8, unknown: true });
    event.name.set(&[0x61; NAME_UNITS + 3]);
    event.image.set(&[0x62; IMAGE_UNITS + 4]);
    let event = event_bytes(&event);
    for (bytes, kind) in [(&status, Kind::Status), (&event, Kind::Event)] {
        assert_eq!(read(bytes, "head.kind"), usize::from(kind.number()));
        assert_eq!(read(bytes, "head.version"), usize::from(VERSION));
        assert_eq!(read(bytes, "head.length"), bytes.len());
    }
    assert_eq!(read(&event, "event.hit_count"), 2);
    assert_eq!(read(&event, "event.first_hit"), 7);
    let second = fields["event.first_hit"].end;
    assert_eq!(event[second..second + 4], 0x8000_0008_u32.to_le_bytes());
    assert_eq!(read(&event, "event.name_kept"), NAME_UNITS);
    assert_eq!(read(&event, "event.name_full"), NAME_UNITS + 3);
    assert_eq!(read(&event, "event.image_kept"), IMAGE_UNITS);
    assert_eq!(read(&event, "event.image_full"), IMAGE_UNITS + 4);
}

#[test]
fn numbers() {
    let expected = [
        ("version", usize::from(VERSION)),
        ("status.kind", usize::from(Kind::Status.number())),
        ("event.kind", usize::from(Kind::Event.number())),
        ("status.length", STATUS_LEN),
        ("event.length", EVENT_LEN),
        ("event.hits", MAX_HITS),
    ];
    let found: BTreeMap<&str, usize> =
        table("SakerNumbers").into_iter().map(|(name, value)| (name, number(value))).collect();
    assert_eq!(found, expected.into_iter().collect());
}

#[test]
fn words() {
    let fields = fields();
    let in_status = |field: &str, status: &Status| status_bytes(status)[fields[field].start];
    let in_event = |field: &str, event: &EventRecord| event_bytes(event)[fields[field].start];
    let mut expected: BTreeMap<&str, BTreeMap<u8, &str>> = BTreeMap::new();
    let mut add = |table, number, word| {
        expected.entry(table).or_default().insert(number, word);
    };
    for (mode, word) in [(Mode::Observe, "observe"), (Mode::Enforce, "enforce")] {
        let status = Status { mode, ..Status::default() };
        add("mode", in_status("status.mode", &status), word);
    }
    for (stage, word) in [(Stage::None, "none"), (Stage::Trial, "trial"), (Stage::Good, "good")] {
        let status = Status { stage, ..Status::default() };
        add("stage", in_status("status.stage", &status), word);
    }
    for state in State::ALL {
        let status = Status { state, ..Status::default() };
        add("state", in_status("status.state", &status), state.name());
    }
    for trip in Trip::ALL {
        let status = Status { trip: Some(trip), ..Status::default() };
        add("trip", in_status("status.trip", &status), trip.name());
    }
    let stale = Loss::Stale;
    for (protection, word) in [
        (Protection::None(stale), "none"),
        (Protection::Degraded(stale), "degraded"),
        (Protection::Full, "full"),
    ] {
        let status = Status { protection, ..Status::default() };
        add("protection", in_status("status.protection", &status), word);
    }
    for loss in Loss::ALL {
        let status = Status { protection: Protection::None(loss), ..Status::default() };
        add("loss", in_status("status.loss", &status), loss.name());
    }
    for cause in Cause::ALL {
        let refusal = RefusalNote { cause, ..RefusalNote::default() };
        let status = Status { refusal, ..Status::default() };
        add("cause", in_status("refusal.cause", &status), cause.name());
    }
    for outcome in ProbeOutcome::ALL {
        let status = Status { probe: Probe { outcome, at: 0 }, ..Status::default() };
        add("probe", in_status("probe.outcome", &status), outcome.name());
    }
    for (operation, word) in [(Operation::Created, "created"), (Operation::Connected, "connected")]
    {
        let mut event = EventRecord::EMPTY;
        event.operation = operation;
        add("operation", in_event("event.operation", &event), word);
    }
    for (instance, word) in
        [(Instance::Unknown, "unknown"), (Instance::First, "first"), (Instance::Further, "further")]
    {
        let mut event = EventRecord::EMPTY;
        event.instance = instance;
        add("instance", in_event("event.instance", &event), word);
    }
    for (remote, word) in [(None, "unknown"), (Some(false), "no"), (Some(true), "yes")] {
        let mut event = EventRecord::EMPTY;
        event.remote = remote;
        add("answer", in_event("event.remote", &event), word);
    }
    for verdict in [
        Verdict::Allow,
        Verdict::Detect,
        Verdict::Block,
        Verdict::Exempt,
        Verdict::Unknown,
        Verdict::NotReady,
    ] {
        let mut event = EventRecord::EMPTY;
        event.verdict = verdict;
        add("verdict", in_event("event.verdict", &event), verdict.name());
    }
    for (interest, word) in [
        (Interest::Status, "status"),
        (Interest::Detections, "detections"),
        (Interest::Everything, "everything"),
    ] {
        add("interest", Hello { interest }.encode()[6], word);
    }

    let mut found: BTreeMap<&str, BTreeMap<u8, &str>> = BTreeMap::new();
    for (table, words) in table("SakerWords") {
        let numbered = (0..).zip(words.split(' ')).filter(|(_, word)| *word != "-");
        found.insert(table, numbered.collect());
    }
    assert_eq!(found, expected);
}

#[test]
fn the_port_and_the_hello() {
    assert!(SCRIPT.contains(&format!("$SakerPortName = '{PORT_NAME}'")));
    let magic = SCRIPT.split_once("$SakerHelloMagic = '").and_then(|(_, rest)| rest.get(..4));
    // What `Connect-SakerPort` puts together for an interest in everything.
    let mut hello = magic.expect("a magic").as_bytes().to_vec();
    hello.extend(VERSION.to_le_bytes());
    hello.extend(2_u16.to_le_bytes());
    assert_eq!(hello, Hello { interest: Interest::Everything }.encode());
}
