//! What the status says about the sensor: derived from facts, never set.

use driver_abi::{Loss, Losses, Protection, Stage, State};

/// What is known about the sensor.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The anchor holds at least one key.
    pub anchored: bool,
    /// The filter is attached to the named-pipe file system.
    pub attached: bool,
    /// The filter did not see a pipe that the driver opened itself.
    pub unseen: bool,
    /// Such a pipe is being opened and does not come back.
    pub held: bool,
    /// How far the content in force has come.
    pub stage: Stage,
    /// The fuse of the content in force has tripped: it blocks nothing any more.
    pub fuse_tripped: bool,
    /// The state folder can be used.
    pub state: bool,
    /// The inbox can be read.
    pub inbox: bool,
    /// Others than administrators may change the inbox.
    pub exposed: bool,
    /// The disk keeps the content worker waiting.
    pub slow: bool,
    /// A file newer than the content in force stands refused.
    pub refused: bool,
    /// The content in force has expired.
    pub stale: bool,
    /// The boot could not use what was good last, and serves what was good before it.
    pub fell_back: bool,
    /// A service parameter made no sense and was replaced by its default.
    pub settings_refused: bool,
    /// What the root keys said last is missing, damaged or older than it was.
    pub control_lost: bool,
    /// What they said last has expired.
    pub control_stale: bool,
    /// The content in force has no rules.
    pub no_rules: bool,
    /// The content in force is far ahead of what was good before it.
    pub jumped: bool,
}

impl Facts {
    /// Everything that is amiss. Neither a mode that was asked for nor a client that does not keep
    /// up is: events are judged as they should be.
    pub const fn losses(&self) -> Losses {
        let none = Losses::NONE;
        none.with(Loss::NoAnchor, !self.anchored)
            .with(Loss::NoContent, matches!(self.stage, Stage::None))
            .with(Loss::NotAttached, !self.attached)
            .with(Loss::NotSeen, self.unseen)
            .with(Loss::FuseTripped, self.fuse_tripped)
            .with(Loss::ProbeHeld, self.held)
            .with(Loss::Slow, self.slow)
            .with(Loss::NoState, !self.state)
            .with(Loss::InboxUnsafe, self.exposed)
            .with(Loss::NoInbox, !self.inbox)
            .with(Loss::Refused, self.refused)
            .with(Loss::FellBack, self.fell_back)
            .with(Loss::Stale, self.stale)
            .with(Loss::SettingsRefused, self.settings_refused)
            .with(Loss::NoRules, self.no_rules)
            .with(Loss::NoControl, self.control_lost)
            .with(Loss::ControlStale, self.control_stale)
            .with(Loss::SequenceJump, self.jumped)
            .with(Loss::OnTrial, matches!(self.stage, Stage::Trial))
    }
}

/// The losses that leave events unjudged, worst first.
const NONE: [Loss; 5] =
    [Loss::NoAnchor, Loss::NoContent, Loss::NoRules, Loss::NotAttached, Loss::NotSeen];
/// The losses that only restrict, worst first.
const DEGRADED: [Loss; 14] = [
    Loss::FuseTripped,
    Loss::ProbeHeld,
    Loss::Slow,
    Loss::NoState,
    Loss::NoControl,
    Loss::InboxUnsafe,
    Loss::NoInbox,
    Loss::Refused,
    Loss::FellBack,
    Loss::SequenceJump,
    Loss::Stale,
    Loss::ControlStale,
    Loss::SettingsRefused,
    Loss::OnTrial,
];

/// Derives protection: the worst of the losses.
pub fn protection(losses: Losses) -> Protection {
    let worst = |of: &[Loss]| of.iter().copied().find(|loss| losses.contains(*loss));
    match (worst(&NONE), worst(&DEGRADED)) {
        (Some(loss), _) => Protection::None(loss),
        (None, Some(loss)) => Protection::Degraded(loss),
        (None, None) => Protection::Full,
    }
}

/// Derives what the driver is about. It is starting until the worker has looked once for good
/// content, and stopping from the first rung of the ladder out.
pub const fn state(settled: bool, stopping: bool) -> State {
    match (stopping, settled) {
        (true, _) => State::Stopping,
        (false, true) => State::Running,
        (false, false) => State::Starting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL_WELL: Facts = Facts {
        anchored: true,
        attached: true,
        unseen: false,
        held: false,
        stage: Stage::Good,
        fuse_tripped: false,
        state: true,
        inbox: true,
        exposed: false,
        slow: false,
        refused: false,
        stale: false,
        fell_back: false,
        settings_refused: false,
        control_lost: false,
        control_stale: false,
        no_rules: false,
        jumped: false,
    };

    /// Each fact that is amiss alone, worst first.
    const CASES: [(Facts, Protection); 19] = [
        (Facts { anchored: false, ..ALL_WELL }, Protection::None(Loss::NoAnchor)),
        (Facts { stage: Stage::None, ..ALL_WELL }, Protection::None(Loss::NoContent)),
        (Facts { no_rules: true, ..ALL_WELL }, Protection::None(Loss::NoRules)),
        (Facts { attached: false, ..ALL_WELL }, Protection::None(Loss::NotAttached)),
        (Facts { unseen: true, ..ALL_WELL }, Protection::None(Loss::NotSeen)),
        (Facts { fuse_tripped: true, ..ALL_WELL }, Protection::Degraded(Loss::FuseTripped)),
        (Facts { held: true, ..ALL_WELL }, Protection::Degraded(Loss::ProbeHeld)),
        (Facts { slow: true, ..ALL_WELL }, Protection::Degraded(Loss::Slow)),
        (Facts { state: false, ..ALL_WELL }, Protection::Degraded(Loss::NoState)),
        (Facts { control_lost: true, ..ALL_WELL }, Protection::Degraded(Loss::NoControl)),
        (Facts { exposed: true, ..ALL_WELL }, Protection::Degraded(Loss::InboxUnsafe)),
        (Facts { inbox: false, ..ALL_WELL }, Protection::Degraded(Loss::NoInbox)),
        (Facts { refused: true, ..ALL_WELL }, Protection::Degraded(Loss::Refused)),
        (Facts { fell_back: true, ..ALL_WELL }, Protection::Degraded(Loss::FellBack)),
        (Facts { jumped: true, ..ALL_WELL }, Protection::Degraded(Loss::SequenceJump)),
        (Facts { stale: true, ..ALL_WELL }, Protection::Degraded(Loss::Stale)),
        (Facts { control_stale: true, ..ALL_WELL }, Protection::Degraded(Loss::ControlStale)),
        (Facts { settings_refused: true, ..ALL_WELL }, Protection::Degraded(Loss::SettingsRefused)),
        (Facts { stage: Stage::Trial, ..ALL_WELL }, Protection::Degraded(Loss::OnTrial)),
    ];

    #[test]
    fn full_when_all_is_well() {
        assert_eq!(protection(ALL_WELL.losses()), Protection::Full);
    }

    #[test]
    fn each_cause_shows_alone() {
        for (facts, expected) in CASES {
            assert_eq!(protection(facts.losses()), expected, "{facts:?}");
            let (Protection::None(loss) | Protection::Degraded(loss)) = expected else {
                panic!("{expected:?}")
            };
            assert_eq!(facts.losses(), Losses::NONE.with(loss, true));
        }
    }

    #[test]
    fn every_loss_has_its_place() {
        for loss in Loss::ALL {
            assert_ne!(protection(Losses::NONE.with(loss, true)), Protection::Full, "{loss:?}");
        }
        assert_eq!(Loss::ALL.len(), CASES.len());
    }

    #[test]
    fn the_worst_is_told_and_none_is_forgotten() {
        for (at, (_, worse)) in CASES.iter().enumerate() {
            for (_, other) in &CASES[at..] {
                let of = |protection: &Protection| match protection {
                    Protection::None(loss) | Protection::Degraded(loss) => *loss,
                    Protection::Full => panic!("no loss"),
                };
                let both = Losses::NONE.with(of(worse), true).with(of(other), true);
                assert_eq!(protection(both), *worse);
            }
        }
    }

    #[test]
    fn stopping_outranks_everything() {
        assert_eq!(state(false, false), State::Starting);
        assert_eq!(state(true, false), State::Running);
        assert_eq!([state(true, true), state(false, true)], [State::Stopping; 2]);
    }
}
