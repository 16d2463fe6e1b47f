//! One judged pipe event, as text and as JSON.

use std::fmt::Write as _;

use driver_abi::{EventRecord, Instance, Operation, Sid, Verdict};
use serde_json::{Value, json};

use crate::report::{count, printable};

/// One event in a line: what does not go without saying stands at its end.
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
    let mut add = |more: &str| {
        // Writing to a string cannot fail.
        let _ = write!(text, "  {more}");
    };
    if let Some(user) = sid(&event.user) {
        add(&user);
    }
    for (says, word) in [
        (event.elevated, "elevated"),
        (event.impersonating, "impersonating"),
        (event.remote, "remote"),
    ] {
        if says == Some(true) {
            add(word);
        }
    }
    // A refusal of ours is said by the verdict.
    if let Some(result) = event.result.filter(|result| *result != 0)
        && event.verdict != Verdict::Block
    {
        add(&format!("result {result:#010x}"));
    }
    if event.verdict != Verdict::NotReady {
        add(&format!("content {}-{}", event.epoch, event.sequence));
    }
    for hit in event.hits() {
        add(&format!("rule {}{}", hit.rule, if hit.unknown { "?" } else { "" }));
    }
    if event.untold > 0 {
        add(&format!("{} not told before", count(event.untold.into(), "event")));
    }
    text
}

/// One event as JSON. What is not known is null.
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
        "user": sid(&event.user),
        "session": event.session,
        "integrity": event.integrity,
        "elevated": event.elevated,
        "impersonating": event.impersonating,
        "remote": event.remote,
        "result": event.result,
        "instance": match event.instance {
            Instance::Unknown => None,
            known => Some(known.name()),
        },
        "epoch": event.epoch,
        "sequence": event.sequence,
        "matched": event.matched,
        "unknown": event.unknown,
        "rules": rules(false),
        "unknown_rules": rules(true),
        "more": event.more,
        "untold": event.untold,
        "dropped": event.dropped,
    })
}

/// An identifier as Windows writes it; `None` where there is none.
pub(in crate::device) fn sid(sid: &Sid) -> Option<String> {
    let [revision, _, authority @ ..] = sid.bytes() else { return None };
    let (authority, parts) = authority.split_at_checked(6)?;
    let authority = authority.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let mut text = format!("S-{revision}-{authority}");
    for part in parts.as_chunks::<4>().0 {
        let _ = write!(text, "-{}", u32::from_le_bytes(*part));
    }
    Some(text)
}

fn units(units: &[u16]) -> String {
    printable(&String::from_utf16_lossy(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> EventRecord {
        let mut record = EventRecord::EMPTY;
        record.verdict = Verdict::Detect;
        record.name.set(&[0x5C, 0x61]);
        record
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let record = record();
        let line = "detect    create  \\a  process 0  image not known  content 0-0";
        assert_eq!(event(&record), line);
        let json = event_json(&record);
        for field in
            ["user", "session", "integrity", "elevated", "impersonating", "remote", "result"]
        {
            assert_eq!(json.get(field), Some(&Value::Null), "{field}");
        }
        assert_eq!((&json["instance"], &json["image"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn what_is_known_is_told() {
        let mut record = record();
        record.user = Sid::new(&[1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0]).unwrap();
        (record.session, record.integrity) = (Some(0), Some(0x3000));
        (record.elevated, record.impersonating) = (Some(true), Some(false));
        record.remote = Some(true);
        record.result = Some(0xC000_00BA);
        record.instance = Instance::Further;
        record.untold = 1;
        let line = event(&record);
        let tail = "S-1-5-32-544  elevated  remote  result 0xc00000ba  content 0-0  \
            1 event not told before";
        assert!(line.ends_with(tail), "{line}");
        let json = event_json(&record);
        assert_eq!((&json["user"], &json["session"]), (&"S-1-5-32-544".into(), &0.into()));
        assert_eq!((&json["integrity"], &json["elevated"]), (&0x3000.into(), &true.into()));
        assert_eq!((&json["impersonating"], &json["remote"]), (&false.into(), &true.into()));
        assert_eq!(
            (&json["result"], &json["instance"]),
            (&0xC000_00BA_u32.into(), &"further".into())
        );
        assert_eq!(json["untold"], 1);
    }

    #[test]
    fn a_block_says_its_result_only_to_programs() {
        let mut record = record();
        record.verdict = Verdict::Block;
        record.result = Some(0xC000_0022);
        assert!(!event(&record).contains("result"));
        assert_eq!(event_json(&record)["result"], 0xC000_0022_u32);
    }
}
