//! What the driver tells, as text for people and as JSON for programs.

use std::fmt::Write as _;

use channel_format::refusal::{Code, Refusal};
use driver_abi::{
    EventRecord, LATENCY_BUCKETS, Operation, Protection, RefusalNote, Stage, Statistics, Status,
    Verdict,
};
use serde_json::{Value, json};

use crate::report::{count, printable};

/// The status in some lines.
pub fn status(status: &Status) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line("protection", &protection(status));
    line("mode", mode(status));
    line("content", &content(status));
    let events = format!(
        "{} judged: {} detected, {} blocked, {} exempt, {} unknown, {} without content",
        status.events,
        status.detected,
        status.blocked,
        status.exempt,
        status.unknown,
        status.not_ready
    );
    line("events", &events);
    line("records", &format!("{} lost", status.dropped));
    let files = format!(
        "{} accepted, {} refused, {} into the inbox",
        status.accepted,
        status.refused,
        count(status.scans, "look")
    );
    line("files", &files);
    if let Some(refusal) = refusal(&status.refusal) {
        line("refused", &refusal);
    }
    if status.test_keys {
        line("keys", "content keys stand in the driver itself: a test package");
    }
    text
}

/// The status as JSON.
pub fn status_json(status: &Status) -> Value {
    let (level, loss) = match status.protection {
        Protection::Full => ("full", None),
        Protection::Degraded(loss) => ("degraded", Some(loss.name())),
        Protection::None(loss) => ("none", Some(loss.name())),
    };
    let refusal = &status.refusal;
    let refused = (refusal.code != 0 || refusal.host_status != 0).then(|| {
        json!({
            "epoch": refusal.epoch,
            "sequence": refusal.sequence,
            "code": refusal.code,
            "offset": refusal.offset,
            "expected": refusal.expected,
            "found": refusal.found,
            "host_status": refusal.host_status,
        })
    });
    json!({
        "kind": "status",
        "protection": level,
        "loss": loss,
        "mode": mode(status),
        "stage": stage(status.stage),
        "test_keys": status.test_keys,
        "may_block": status.may_block,
        "channel": status.channel,
        "epoch": status.epoch,
        "sequence": status.sequence,
        "rules": status.rules,
        "events": status.events,
        "detected": status.detected,
        "blocked": status.blocked,
        "exempt": status.exempt,
        "unknown": status.unknown,
        "not_ready": status.not_ready,
        "dropped": status.dropped,
        "accepted": status.accepted,
        "refused": status.refused,
        "scans": status.scans,
        "refusal": refused,
    })
}

/// How much is protected, and why not more.
pub fn protection(status: &Status) -> String {
    match status.protection {
        Protection::Full => "FULL".into(),
        Protection::Degraded(loss) => format!("DEGRADED: {}", loss.name()),
        Protection::None(loss) => format!("NONE: {}", loss.name()),
    }
}

/// What is in force.
pub fn content(status: &Status) -> String {
    match status.stage {
        Stage::None => "none in force".into(),
        stage => format!(
            "channel {}, {}-{}, {}, {}{}",
            status.channel,
            status.epoch,
            status.sequence,
            count(status.rules.into(), "rule"),
            stage_text(stage),
            if status.may_block { ", may block" } else { "" }
        ),
    }
}

const fn mode(status: &Status) -> &'static str {
    match status.mode {
        driver_abi::Mode::Observe => "observe",
        driver_abi::Mode::Enforce => "enforce",
    }
}

const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::None => "none",
        Stage::Trial => "trial",
        Stage::Good => "good",
    }
}

const fn stage_text(stage: Stage) -> &'static str {
    match stage {
        Stage::None => "none",
        Stage::Trial => "on trial",
        Stage::Good => "good",
    }
}

fn refusal(note: &RefusalNote) -> Option<String> {
    let file = format!("{}-{}", note.epoch, note.sequence);
    if note.host_status == RefusalNote::STRUCK {
        return Some(format!("{file}: the machine went down twice while it was tried"));
    }
    if note.host_status != 0 {
        return Some(format!("{file}: the host said {:#010x}", note.host_status));
    }
    if note.code == 0 {
        return None;
    }
    let known = Code::ALL.iter().find(|code| code.number() == note.code);
    Some(match known {
        Some(code) => {
            let refusal = Refusal::new(*code, note.offset, note.expected, note.found);
            format!("{file}: {refusal}")
        }
        None => format!("{file}: code {}", note.code),
    })
}

/// One event in a line.
pub fn event(event: &EventRecord) -> String {
    let operation = match event.operation {
        Operation::Created => "create",
        Operation::Connected => "connect",
    };
    let mut text = format!(
        "{:<9} {operation:<7} {}  process {}  {}",
        event.verdict.name(),
        units(event.name.units()),
        event.process_id,
        if event.image_known { units(event.image.units()) } else { "image not known".into() },
    );
    if event.verdict != Verdict::NotReady {
        let _ = write!(text, "  content {}-{}", event.epoch, event.sequence);
    }
    for hit in event.hits() {
        let unknown = if hit.unknown { "?" } else { "" };
        let _ = write!(text, "  rule {}{unknown}", hit.rule);
    }
    text
}

/// One event as JSON.
pub fn event_json(event: &EventRecord) -> Value {
    let rules = |unknown| {
        let hits = event.hits().iter().filter(move |hit| hit.unknown == unknown);
        hits.map(|hit| hit.rule).collect::<Vec<_>>()
    };
    json!({
        "kind": "event",
        "event": event.event,
        "time": event.time,
        "process_id": event.process_id,
        "operation": match event.operation {
            Operation::Created => "created",
            Operation::Connected => "connected",
        },
        "verdict": event.verdict.name(),
        "pipe": String::from_utf16_lossy(event.name.units()),
        "image": event.image_known.then(|| String::from_utf16_lossy(event.image.units())),
        "epoch": event.epoch,
        "sequence": event.sequence,
        "matched": event.matched,
        "unknown": event.unknown,
        "rules": rules(false),
        "unknown_rules": rules(true),
        "more": event.more,
        "dropped": event.dropped,
    })
}

/// The statistics in some lines.
pub fn statistics(statistics: &Statistics) -> String {
    let mut text = String::new();
    let seconds = statistics.time / 10_000_000;
    let _ = writeln!(text, "{:<12} {seconds} s", "up");
    let _ = writeln!(text, "{:<12} {}", "events", statistics.events);
    let _ =
        writeln!(text, "{:<12} {} queued, {} lost", "records", statistics.told, statistics.dropped);
    let _ = writeln!(
        text,
        "{:<12} {} taken, {} refused",
        "requests", statistics.requests, statistics.refused_requests
    );
    let _ = writeln!(
        text,
        "{:<12} {} since start, {} dropped as stuck",
        "clients", statistics.connections, statistics.stuck
    );
    for client in statistics.clients.iter().flatten() {
        let _ = writeln!(
            text,
            "  process {:<7} hears {:<11} {} sent, {} waiting, {} lost",
            client.process_id,
            client.interest.name(),
            client.sent,
            client.waiting,
            client.dropped
        );
    }
    for (bucket, events) in latency(statistics) {
        let _ = writeln!(text, "{:<12} from {} ns: {}", "latency", from(bucket), events);
    }
    if statistics.suppressed_rules != 0 {
        let _ = writeln!(
            text,
            "{:<12} {}",
            "held back",
            count(statistics.suppressed_rules.into(), "rule")
        );
    }
    for note in statistics.suppressed.iter().flatten() {
        let _ = writeln!(text, "  rule {:<10} {} not told", note.rule, count(note.events, "event"));
    }
    text
}

/// The statistics as JSON.
pub fn statistics_json(statistics: &Statistics) -> Value {
    let clients = statistics.clients.iter().flatten().map(|client| {
        json!({
            "process_id": client.process_id,
            "interest": client.interest.name(),
            "sent": client.sent,
            "waiting": client.waiting,
            "dropped": client.dropped,
        })
    });
    let suppressed = statistics.suppressed.iter().flatten();
    let suppressed = suppressed.map(|note| json!({ "rule": note.rule, "events": note.events }));
    let latency = latency(statistics)
        .map(|(bucket, events)| json!({ "from_ns": from(bucket), "events": events }));
    json!({
        "kind": "statistics",
        "time": statistics.time,
        "events": statistics.events,
        "told": statistics.told,
        "dropped": statistics.dropped,
        "connections": statistics.connections,
        "stuck": statistics.stuck,
        "requests": statistics.requests,
        "refused_requests": statistics.refused_requests,
        "clients": clients.collect::<Vec<_>>(),
        "latency": latency.collect::<Vec<_>>(),
        "suppressed_rules": statistics.suppressed_rules,
        "suppressed": suppressed.collect::<Vec<_>>(),
    })
}

/// The buckets that hold something.
fn latency(statistics: &Statistics) -> impl Iterator<Item = (usize, u64)> {
    (0..LATENCY_BUCKETS).zip(statistics.latency).filter(|(_, events)| *events > 0)
}

/// Where a bucket begins, in nanoseconds.
const fn from(bucket: usize) -> u64 {
    if bucket == 0 { 0 } else { 1 << bucket }
}

fn units(units: &[u16]) -> String {
    printable(&String::from_utf16_lossy(units))
}
