//! What the driver trusts and keeps, as text and as JSON.

use std::fmt::Write as _;

use channel_format::refusal::Code;
use driver_abi::{SlotNote, SlotState, TrustNote};
use serde_json::{Value, json};

use super::{refusal, refusal_json};
use crate::report::count;

/// The slots in the order of the status.
const SLOTS: [&str; driver_abi::SLOTS] = ["good", "previous", "trial"];

/// Adds the lines about it.
pub(super) fn lines(trust: &TrustNote, line: &mut impl FnMut(&str, &str)) {
    if trust.control {
        let halted = if trust.halted { ", halted: nothing new comes in" } else { "" };
        let (epoch, sequence) = (trust.control_epoch, trust.control_sequence);
        line("channel 0", &format!("{epoch}-{sequence}{halted}"));
    }
    if let Some(refusal) = refusal(&trust.refusal) {
        line("refused", &format!("channel 0, {refusal}"));
    }
    if (trust.floor_epoch, trust.floor_sequence) != (0, 0) {
        let rules = count(trust.floor_rules.into(), "rule");
        line("floor", &format!("{}-{}, {rules}", trust.floor_epoch, trust.floor_sequence));
    }
    for (name, slot) in SLOTS.iter().zip(&trust.slots) {
        if slot.state != SlotState::Empty {
            line("slot", &format!("{name}: {}", self::slot(slot)));
        }
    }
}

/// The same as JSON.
pub(super) fn json(trust: &TrustNote) -> Value {
    let slots = SLOTS.iter().zip(&trust.slots).map(|(name, slot)| {
        json!({
            "slot": name,
            "state": slot.state.name(),
            "code": slot.code,
            "epoch": slot.epoch,
            "sequence": slot.sequence,
            "file": hex(&slot.file),
            "key": hex(&slot.key),
        })
    });
    let control = trust.control.then(|| {
        json!({
            "epoch": trust.control_epoch,
            "sequence": trust.control_sequence,
            "halted": trust.halted,
        })
    });
    json!({
        "control": control,
        "refusal": trust.refusal.stands().then(|| refusal_json(&trust.refusal)),
        "floor": {
            "epoch": trust.floor_epoch,
            "sequence": trust.floor_sequence,
            "rules": trust.floor_rules,
        },
        "slots": slots.collect::<Vec<_>>(),
    })
}

fn slot(slot: &SlotNote) -> String {
    if slot.state == SlotState::Refused {
        let known = Code::ALL.iter().find(|code| code.number() == slot.code);
        return format!("refused, {}", known.map_or("code unknown", |code| code.name()));
    }
    let names = names(&slot.file, &slot.key);
    format!("{}-{}{names}, {}", slot.epoch, slot.sequence, slot.state.name())
}

/// How a file and its key are named, as far as they are known.
pub(super) fn names(file: &[u8; 16], key: &[u8; 16]) -> String {
    match (hex(file), hex(key)) {
        (Some(file), Some(key)) => format!(" (file {file}, key {key})"),
        (Some(file), None) => format!(" (file {file})"),
        _ => String::new(),
    }
}

/// Zeros are nobody's name.
pub(super) fn hex(name: &[u8; 16]) -> Option<String> {
    name.iter().any(|byte| *byte != 0).then(|| {
        name.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    })
}

#[cfg(test)]
mod tests {
    use driver_abi::RefusalNote;

    use super::*;

    fn text(trust: &TrustNote) -> Vec<String> {
        let mut lines = Vec::new();
        super::lines(trust, &mut |name, value| lines.push(format!("{name} {value}")));
        lines
    }

    #[test]
    fn nothing_known_is_nothing_told() {
        assert!(text(&TrustNote::default()).is_empty());
        let json = json(&TrustNote::default());
        assert_eq!((&json["control"], &json["refusal"]), (&Value::Null, &Value::Null));
        assert_eq!(json["slots"][2]["file"], Value::Null);
    }

    #[test]
    fn what_is_trusted_and_kept_is_told_by_name() {
        let good = SlotNote {
            state: SlotState::Struck,
            epoch: 2,
            sequence: 7,
            file: [0xAB; 16],
            key: [0x01; 16],
            ..SlotNote::default()
        };
        let revoked = SlotNote {
            state: SlotState::Refused,
            code: Code::Revoked.number(),
            ..SlotNote::default()
        };
        let trust = TrustNote {
            control: true,
            halted: true,
            control_epoch: 1,
            control_sequence: 4,
            floor_epoch: 2,
            floor_sequence: 7,
            floor_rules: 1,
            slots: [good, revoked, SlotNote::default()],
            refusal: RefusalNote {
                code: Code::RootThreshold.number(),
                epoch: 1,
                sequence: 5,
                expected: 2,
                found: 1,
                ..RefusalNote::default()
            },
        };
        let lines = text(&trust);
        let (file, key) = ("ab".repeat(16), "01".repeat(16));
        assert_eq!(lines[0], "channel 0 1-4, halted: nothing new comes in");
        assert!(lines[1].starts_with("refused channel 0, 1-5: "), "{}", lines[1]);
        assert_eq!(lines[2], "floor 2-7, 1 rule");
        assert_eq!(lines[3], format!("slot good: 2-7 (file {file}, key {key}), struck"));
        assert_eq!(lines[4], format!("slot previous: refused, {}", Code::Revoked.name()));
        assert_eq!(lines.len(), 5);
        let json = json(&trust);
        assert_eq!(json["control"]["halted"], true);
        assert_eq!(json["slots"][0]["key"], key);
        assert_eq!(json["refusal"]["sequence"], 5);
    }
}
