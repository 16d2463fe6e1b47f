//! What the driver tells, as text for people and as JSON for programs.

use std::fmt::Write as _;

use channel_format::profile::SensorProfile;
use channel_format::refusal::{Code, Refusal};
use driver_abi::{
    Cause, LATENCY_BUCKETS, Loss, Mode, Probe, Protection, RefusalNote, Setting, Stage, Statistics,
    Status, Trip,
};
use serde_json::{Value, json};

pub(super) use self::event::sid;
pub use self::event::{event, event_json};
use crate::content::sensor::Written;
use crate::report::count;

mod event;
mod trust;

/// Units of the driver's clock in a second.
const TICKS: u64 = 10_000_000;

/// The status in some lines.
pub fn status(status: &Status) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line("protection", &protection(status));
    let others = status.losses.iter().filter(|loss| Some(*loss) != told_loss(status));
    let others: Vec<_> = others.map(Loss::name).collect();
    if !others.is_empty() {
        line("and", &others.join(", "));
    }
    line("state", status.state.name());
    line("mode", &modes(status));
    line("content", &content(status));
    if let Some(trip) = status.trip {
        line("fuse", &format!("tripped ({}); {} not blocked since", trip.name(), status.fused));
    }
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
    let failed_open = failed_open(status);
    if !failed_open.is_empty() {
        line("failed open", &failed_open);
    }
    line("records", &format!("{} lost, {} held back", status.dropped, status.untold));
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
    trust::lines(&status.trust, &mut line);
    let settings: Vec<_> = status.settings_refused.iter().map(Setting::name).collect();
    if !settings.is_empty() {
        line("settings", &format!("{} not understood: the default holds", settings.join(", ")));
    }
    line("probe", &probe(&status.probe));
    if status.unwatched != 0 {
        line("processes", &format!("their ends are not told: 0x{:08X}", status.unwatched));
    }
    if status.test_keys {
        line("keys", "content keys stand in the driver itself: a test package");
    }
    text
}

/// The status as JSON.
pub fn status_json(status: &Status) -> Value {
    let level = match status.protection {
        Protection::Full => "full",
        Protection::Degraded(_) => "degraded",
        Protection::None(_) => "none",
    };
    let refusal = &status.refusal;
    let refused = refusal.stands().then(|| refusal_json(refusal));
    json!({
        "kind": "status",
        "protection": level,
        "loss": told_loss(status).map(Loss::name),
        "losses": status.losses.iter().map(Loss::name).collect::<Vec<_>>(),
        "state": status.state.name(),
        "attached": status.attached,
        "mode": mode(status.mode),
        "start_mode": mode(status.start_mode),
        "settings_refused": status.settings_refused.iter().map(Setting::name).collect::<Vec<_>>(),
        "stage": stage(status.stage),
        "test_keys": status.test_keys,
        "may_block": status.may_block,
        "channel": status.channel,
        "epoch": status.epoch,
        "sequence": status.sequence,
        "rules": status.rules,
        "trip": status.trip.map(Trip::name),
        "events": status.events,
        "detected": status.detected,
        "blocked": status.blocked,
        "exempt": status.exempt,
        "unknown": status.unknown,
        "not_ready": status.not_ready,
        "fused": status.fused,
        "untold": status.untold,
        "stack_low": status.stack_low,
        "wrong_irql": status.wrong_irql,
        "no_memory": status.no_memory,
        "nameless": status.nameless,
        "dropped": status.dropped,
        "accepted": status.accepted,
        "refused": status.refused,
        "scans": status.scans,
        "refusal": refused,
        "profile": profile(status),
        "trust": trust::json(&status.trust),
        "probe": { "outcome": status.probe.outcome.name(), "time": status.probe.at },
        "unwatched": (status.unwatched != 0).then(|| format!("0x{:08X}", status.unwatched)),
    })
}

/// What the sensor can do for content, in the form that `content validate --sensor` reads; null if it
/// does not say.
fn profile(status: &Status) -> Value {
    let profile = SensorProfile::parse(&status.profile.0);
    profile.map_or(Value::Null, |profile| json!(Written::of(&profile)))
}

/// How much is protected, and why not more.
pub fn protection(status: &Status) -> String {
    match status.protection {
        Protection::Full => "FULL".into(),
        Protection::Degraded(loss) => format!("DEGRADED: {}", loss.name()),
        Protection::None(loss) => format!("NONE: {}", loss.name()),
    }
}

/// The loss that the level of protection is told with.
const fn told_loss(status: &Status) -> Option<Loss> {
    match status.protection {
        Protection::Full => None,
        Protection::Degraded(loss) | Protection::None(loss) => Some(loss),
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

const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Enforce => "enforce",
    }
}

fn modes(status: &Status) -> String {
    let now = mode(status.mode);
    match mode(status.start_mode) {
        start if start == now => now.into(),
        start => format!("{now} until the next start, then {start}"),
    }
}

/// What was let through unjudged, or judged with less than there should be.
fn failed_open(status: &Status) -> String {
    let counted = [
        (status.stack_low, "for want of stack"),
        (status.wrong_irql, "at a wrong IRQL"),
        (status.no_memory, "for want of memory"),
        (status.nameless, "without a name"),
    ];
    let told = counted.iter().filter(|(times, _)| *times > 0);
    told.map(|(times, why)| format!("{times} {why}")).collect::<Vec<_>>().join(", ")
}

fn probe(probe: &Probe) -> String {
    let outcome = probe.outcome.name();
    match probe.at {
        0 => outcome.into(),
        at => format!("{outcome}, {} s after the boot", at / TICKS),
    }
}

const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::None => "none",
        Stage::Trial => "trial",
        Stage::Good => "good",
    }
}

pub(super) const fn stage_text(stage: Stage) -> &'static str {
    match stage {
        Stage::None => "none",
        Stage::Trial => "on trial",
        Stage::Good => "good",
    }
}

fn refusal_json(refusal: &RefusalNote) -> Value {
    json!({
        "epoch": refusal.epoch,
        "sequence": refusal.sequence,
        "code": refusal.code,
        "offset": refusal.offset,
        "expected": refusal.expected,
        "found": refusal.found,
        "host_status": refusal.host_status,
        "cause": refusal.cause.name(),
        "file": trust::hex(&refusal.file),
        "key": trust::hex(&refusal.key),
    })
}

/// What was refused and why; `None` when nothing stands.
pub(super) fn refusal(note: &RefusalNote) -> Option<String> {
    let file = format!("{}-{}{}", note.epoch, note.sequence, trust::names(&note.file, &note.key));
    if note.host_status == RefusalNote::STRUCK {
        return Some(format!("{file}: the machine went down twice while it was tried"));
    }
    if note.host_status == RefusalNote::WAITS {
        return Some(format!(
            "{file}: a session ended while it was in force; {}",
            note.cause.remedy()
        ));
    }
    if note.host_status != 0 {
        let cause = match note.cause {
            Cause::None => String::new(),
            cause => format!("{}; {}; ", cause.name(), cause.remedy()),
        };
        return Some(format!("{file}: {cause}the host said {:#010x}", note.host_status));
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

/// The statistics in some lines.
pub fn statistics(statistics: &Statistics) -> String {
    let mut text = String::new();
    let seconds = statistics.time / TICKS;
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

#[cfg(test)]
mod tests {
    use driver_abi::{Losses, ProbeOutcome, Settings, State};

    use super::*;

    #[test]
    fn a_good_day_is_told_without_what_did_not_happen() {
        let status = Status { protection: Protection::Full, ..Status::default() };
        let text = super::status(&status);
        for absent in
            ["\nand ", "\nfuse", "failed open", "settings", "refused ", "keys", "processes"]
        {
            assert!(!text.contains(absent), "{absent:?} in:\n{text}");
        }
        assert!(text.contains("mode         observe\n") && text.contains("probe        not_yet\n"));
        let json = status_json(&status);
        assert_eq!((&json["loss"], &json["trip"]), (&Value::Null, &Value::Null));
        assert_eq!(json["losses"], json!([]));
    }

    #[test]
    fn all_that_is_amiss_is_told() {
        let mut settings_refused = Settings::NONE;
        settings_refused.insert(Setting::PollSeconds);
        let losses = Losses::NONE.with(Loss::FuseTripped, true).with(Loss::Slow, true);
        let refusal =
            RefusalNote { host_status: 0xC000_0043, cause: Cause::Held, ..RefusalNote::default() };
        let status = Status {
            protection: Protection::Degraded(Loss::FuseTripped),
            losses,
            state: State::Running,
            trip: Some(Trip::Share),
            fused: 5,
            untold: 6,
            nameless: 7,
            wrong_irql: 8,
            mode: Mode::Enforce,
            settings_refused,
            refusal,
            probe: Probe { outcome: ProbeOutcome::Held, at: 900_000_000 },
            unwatched: 0xC000_000D,
            ..Status::default()
        };
        let text = super::status(&status);
        for line in [
            "protection   DEGRADED: fuse_tripped",
            "and          slow",
            "state        running",
            "mode         enforce until the next start, then observe",
            "fuse         tripped (share); 5 not blocked since",
            "failed open  8 at a wrong IRQL, 7 without a name",
            "records      0 lost, 6 held back",
            "settings     PollSeconds not understood: the default holds",
            "probe        held, 90 s after the boot",
            "processes    their ends are not told: 0xC000000D",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} is not in:\n{text}");
        }
        assert!(text.contains("held; close the program that has it open"), "{text}");
        let json = status_json(&status);
        assert_eq!(json["losses"], json!(["fuse_tripped", "slow"]));
        assert_eq!((&json["trip"], &json["fused"]), (&"share".into(), &5.into()));
        assert_eq!((&json["untold"], &json["nameless"]), (&6.into(), &7.into()));
        assert_eq!(json["refusal"]["cause"], "held");
        assert_eq!(json["settings_refused"], json!(["PollSeconds"]));
        assert_eq!(json["probe"]["outcome"], "held");
        assert_eq!(json["unwatched"], "0xC000000D");
    }
}
