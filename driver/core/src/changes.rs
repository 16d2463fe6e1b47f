//! What of a status is worth telling: the events that lie between two of them.
//!
//! The sensor's state is composed from facts whenever it is asked for. Telling what changed from
//! one look to the next keeps the telling out of the places where the facts are made, and nothing
//! is told that the status does not say too.

use channel_format::refusal::Code;
use driver_abi::{
    Mode, ProbeOutcome, Protection, RefusalNote, SLOTS, SlotState, Stage, Status, TrustNote,
};

use crate::events::Event;

/// The slots in the order of the status.
const SLOT_NAMES: [&str; SLOTS] = ["good", "previous", "trial"];

/// Calls `tell` with each event that turns `before` into `after`.
pub fn between(before: &Status, after: &Status, tell: &mut dyn FnMut(&Event<'_>)) {
    attachment(before, after, tell);
    content(before, after, tell);
    if after.refusal != before.refusal {
        refusal(&after.refusal, tell);
    }
    trust(&before.trust, &after.trust, tell);
    fuse(before, after, tell);
    let refused_before = before.settings_refused;
    for setting in after.settings_refused.iter().filter(|new| !refused_before.contains(*new)) {
        tell(&Event::SettingRefused { name: setting.name() });
    }
    let unseen = |status: &Status| status.probe.outcome == ProbeOutcome::NotSeen;
    if unseen(after) && !unseen(before) {
        tell(&Event::ProbeFailed { time: after.probe.at });
    }
    let held = |status: &Status| status.probe.outcome == ProbeOutcome::Held;
    if held(after) && !held(before) {
        tell(&Event::ProbeHeld { time: after.probe.at });
    }
    if after.unwatched != 0 && before.unwatched == 0 {
        tell(&Event::ProcessesUnwatched { status: after.unwatched });
    }
    if after.mode != before.mode {
        tell(&Event::ModeChanged { mode: mode(after.mode), was: mode(before.mode) });
    }
    if after.protection != before.protection {
        let (level, reason) = protection(after.protection);
        let (was, was_reason) = protection(before.protection);
        tell(&Event::ProtectionChanged { level, reason, was, was_reason });
    }
}

/// The word for a mode.
pub const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Enforce => "enforce",
    }
}

/// The words for how much the machine is protected, and why no more.
pub const fn protection(protection: Protection) -> (&'static str, &'static str) {
    match protection {
        Protection::Full => ("full", ""),
        Protection::Degraded(loss) => ("degraded", loss.name()),
        Protection::None(loss) => ("none", loss.name()),
    }
}

fn attachment(before: &Status, after: &Status, tell: &mut dyn FnMut(&Event<'_>)) {
    match (before.attached, after.attached) {
        (false, true) => tell(&Event::Attached {}),
        (true, false) => tell(&Event::Detached {}),
        _ => {}
    }
}

fn content(before: &Status, after: &Status, tell: &mut dyn FnMut(&Event<'_>)) {
    let (epoch, sequence, rules) = (after.epoch, after.sequence, after.rules);
    let may_block = after.may_block;
    let same = (before.epoch, before.sequence) == (epoch, sequence) && before.stage != Stage::None;
    match (same, before.stage, after.stage) {
        (_, Stage::None, Stage::None) => {}
        (_, _, Stage::None) => {
            tell(&Event::ContentWithdrawn { epoch: before.epoch, sequence: before.sequence })
        }
        (false, _, Stage::Trial) => {
            tell(&Event::ContentAccepted { epoch, sequence, rules, may_block });
        }
        (false, _, Stage::Good) => {
            tell(&Event::ContentLoaded { epoch, sequence, rules, may_block });
        }
        (true, Stage::Trial, Stage::Good) => tell(&Event::ContentPromoted { epoch, sequence }),
        (true, Stage::Good, Stage::Trial) => tell(&Event::ContentDemoted { epoch, sequence }),
        (true, _, _) => {}
    }
}

/// What is trusted, and what the slots are worth.
fn trust(before: &TrustNote, after: &TrustNote, tell: &mut dyn FnMut(&Event<'_>)) {
    let position = |note: &TrustNote| (note.control, note.control_epoch, note.control_sequence);
    if position(after) != position(before) && after.control {
        tell(&Event::ControlTaken {
            epoch: after.control_epoch,
            sequence: after.control_sequence,
            halted: after.halted,
        });
    }
    if after.refusal != before.refusal && after.refusal.stands() {
        let refusal = &after.refusal;
        let code = code_of(refusal.code);
        tell(&Event::ControlRefused {
            epoch: refusal.epoch,
            sequence: refusal.sequence,
            code: u32::from(refusal.code),
            name: code.map_or("", |code| code.name()),
            offset: refusal.offset,
            expected: refusal.expected,
            found: refusal.found,
            status: refusal.host_status,
            cause: refusal.cause.name(),
        });
    }
    for (slot, (old, new)) in SLOT_NAMES.into_iter().zip(before.slots.iter().zip(&after.slots)) {
        if (new.state, new.code) == (old.state, old.code) && new.file == old.file {
            continue;
        }
        if matches!(new.state, SlotState::Waits | SlotState::Struck | SlotState::Refused) {
            tell(&Event::SlotOut {
                slot,
                epoch: new.epoch,
                sequence: new.sequence,
                state: new.state.name(),
                code: u32::from(new.code),
                name: code_of(new.code).map_or("", |code| code.name()),
            });
        }
    }
}

fn code_of(number: u16) -> Option<Code> {
    Code::ALL.iter().copied().find(|code| code.number() == number)
}

/// Each content has a fuse of its own, so one that is the same as before may be another's.
fn fuse(before: &Status, after: &Status, tell: &mut dyn FnMut(&Event<'_>)) {
    let (epoch, sequence) = (after.epoch, after.sequence);
    let same = (before.epoch, before.sequence) == (epoch, sequence);
    match after.trip {
        Some(trip) if !same || before.trip.is_none() => {
            tell(&Event::FuseTripped { epoch, sequence, reason: trip.name() });
        }
        _ => {}
    }
}

fn refusal(refusal: &RefusalNote, tell: &mut dyn FnMut(&Event<'_>)) {
    let (epoch, sequence) = (refusal.epoch, refusal.sequence);
    if refusal.host_status == RefusalNote::STRUCK {
        tell(&Event::ContentStruck { epoch, sequence });
        return;
    }
    if refusal.code == 0 && refusal.host_status == 0 {
        return;
    }
    let code = code_of(refusal.code);
    tell(&Event::ContentRefused {
        epoch,
        sequence,
        code: u32::from(refusal.code),
        name: code.map_or("", |code| code.name()),
        fault: code.map_or("host", |code| code.fault().name()),
        offset: refusal.offset,
        expected: refusal.expected,
        found: refusal.found,
        status: refusal.host_status,
        cause: refusal.cause.name(),
    });
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::String;
    use std::vec::Vec;

    use driver_abi::{Cause, Loss, Probe, Setting, Settings, Trip};

    use super::*;

    /// The names of what is told.
    fn told(before: &Status, after: &Status) -> Vec<String> {
        let mut names = Vec::new();
        between(before, after, &mut |event| names.push(event.definition().name().into()));
        names
    }

    fn trial() -> Status {
        let protection = Protection::Degraded(Loss::OnTrial);
        Status { stage: Stage::Trial, sequence: 3, protection, attached: true, ..Status::default() }
    }

    #[test]
    fn nothing_is_told_of_what_stays() {
        assert_eq!(told(&trial(), &Status { events: 9, scans: 3, ..trial() }), [""; 0]);
    }

    #[test]
    fn what_is_trusted_and_what_slots_are_worth_is_told() {
        let note = |change: fn(&mut TrustNote)| {
            let mut status = trial();
            change(&mut status.trust);
            status
        };
        let taken = note(|trust| trust.control = true);
        assert_eq!(told(&trial(), &taken), ["ControlTaken"]);
        assert_eq!(told(&taken, &trial()), [""; 0], "its loss is a loss of protection");
        let refused = note(|trust| trust.refusal.code = 1);
        assert_eq!(told(&trial(), &refused), ["ControlRefused"]);
        assert_eq!(told(&refused, &trial()), [""; 0]);
        let ready = note(|trust| trust.slots[0].state = SlotState::Ready);
        assert_eq!(told(&trial(), &ready), [""; 0]);
        for state in [SlotState::Waits, SlotState::Struck, SlotState::Refused] {
            let mut out = ready;
            out.trust.slots[0].state = state;
            assert_eq!(told(&ready, &out), ["SlotOut"]);
            assert_eq!(told(&out, &ready), [""; 0]);
        }
    }

    #[test]
    fn content_that_is_gone_is_told() {
        let none = Status { stage: Stage::None, sequence: 0, rules: 0, ..trial() };
        assert_eq!(told(&trial(), &none), ["ContentWithdrawn"]);
        assert_eq!(told(&none, &none), [""; 0]);
    }

    #[test]
    fn each_change_of_content_has_its_event() {
        let none = Status { stage: Stage::None, sequence: 0, rules: 0, ..trial() };
        let good = Status { stage: Stage::Good, ..trial() };
        let next = Status { sequence: 4, ..trial() };
        for (before, after, name) in [
            (&none, &trial(), "ContentAccepted"),
            (&none, &good, "ContentLoaded"),
            (&trial(), &good, "ContentPromoted"),
            (&good, &trial(), "ContentDemoted"),
            (&good, &next, "ContentAccepted"),
        ] {
            assert_eq!(told(before, after), [name]);
        }
        // Sequence 0 is a position too.
        let zero = Status { sequence: 0, ..trial() };
        assert_eq!(told(&none, &zero), ["ContentAccepted"]);
    }

    #[test]
    fn refusals_are_told_by_name_and_struck_files_apart() {
        let refused = |refusal| Status { refusal, ..trial() };
        let file = RefusalNote { code: 25, sequence: 4, ..RefusalNote::default() };
        let mut seen = None;
        between(&trial(), &refused(file), &mut |event| {
            if let Event::ContentRefused { code, name, fault, sequence, .. } = event {
                seen = Some((*code, String::from(*name), String::from(*fault), *sequence));
            }
        });
        assert_eq!(seen, Some((25, "DigestMismatch".into(), "file".into(), 4)));
        let host = RefusalNote { host_status: 0xC000_0043, ..RefusalNote::default() };
        assert_eq!(told(&trial(), &refused(host)), ["ContentRefused"]);
        let struck = RefusalNote { host_status: RefusalNote::STRUCK, ..RefusalNote::default() };
        assert_eq!(told(&trial(), &refused(struck)), ["ContentStruck"]);
        assert_eq!(told(&refused(file), &trial()), [""; 0], "a refusal that is over");
    }

    #[test]
    fn the_host_s_refusals_say_what_is_in_the_way() {
        let note = RefusalNote { host_status: 1, cause: Cause::HardLink, ..RefusalNote::default() };
        let mut seen = None;
        between(&trial(), &Status { refusal: note, ..trial() }, &mut |event| {
            if let Event::ContentRefused { cause, fault, .. } = event {
                seen = Some((String::from(*cause), String::from(*fault)));
            }
        });
        assert_eq!(seen, Some(("hard_link".into(), "host".into())));
    }

    #[test]
    fn a_fuse_is_told_once_for_each_content_it_trips_for() {
        let tripped = |sequence, trip| Status { sequence, trip, ..trial() };
        let (whole, blocks) = (tripped(3, None), tripped(3, Some(Trip::Blocks)));
        let mut reason = String::new();
        between(&whole, &blocks, &mut |event| {
            if let Event::FuseTripped { reason: why, sequence: 3, .. } = event {
                reason.push_str(why);
            }
        });
        assert_eq!(reason, "blocks");
        assert_eq!(told(&blocks, &blocks), [""; 0]);
        assert_eq!(told(&blocks, &whole), [""; 0], "it was reset");
        let next = tripped(4, Some(Trip::Blocks));
        assert_eq!(told(&blocks, &next), ["ContentAccepted", "FuseTripped"]);
    }

    #[test]
    fn each_setting_that_is_refused_is_told_by_its_name() {
        let mut settings_refused = Settings::NONE;
        settings_refused.insert(Setting::PollSeconds);
        settings_refused.insert(Setting::ExemptProtected);
        let refused = Status { settings_refused, ..trial() };
        let mut names = Vec::new();
        between(&trial(), &refused, &mut |event| {
            if let Event::SettingRefused { name } = event {
                names.push(String::from(*name));
            }
        });
        assert_eq!(names, ["PollSeconds", "ExemptProtected"]);
        assert_eq!(told(&refused, &refused), [""; 0]);
    }

    #[test]
    fn protection_mode_and_attachment() {
        let detached = Status { attached: false, ..trial() };
        assert_eq!(told(&trial(), &detached), ["Detached"]);
        assert_eq!(told(&detached, &trial()), ["Attached"]);
        assert_eq!(told(&trial(), &Status { mode: Mode::Enforce, ..trial() }), ["ModeChanged"]);
        let probe = Probe { outcome: ProbeOutcome::NotSeen, at: 7 };
        let unseen = Status { probe, ..trial() };
        assert_eq!(told(&trial(), &unseen), ["ProbeFailed"]);
        assert_eq!(told(&unseen, &unseen), [""; 0]);
        let probe = Probe { outcome: ProbeOutcome::Held, at: 7 };
        let held = Status { probe, ..trial() };
        assert_eq!(told(&trial(), &held), ["ProbeHeld"]);
        assert_eq!(told(&held, &held), [""; 0]);
        assert_eq!(told(&held, &trial()), [""; 0], "it has come back");
        let unwatched = Status { unwatched: 0xC000_000D, ..trial() };
        assert_eq!(told(&trial(), &unwatched), ["ProcessesUnwatched"]);
        assert_eq!(told(&unwatched, &unwatched), [""; 0]);
        let full = Status { protection: Protection::Full, ..trial() };
        assert_eq!(told(&trial(), &full), ["ProtectionChanged"]);
    }
}
