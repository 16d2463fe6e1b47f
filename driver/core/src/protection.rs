//! What the status says about protection: derived from facts, never set.

use driver_abi::{Loss, Protection, Stage};

/// What is known about the sensor.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The anchor holds at least one key.
    pub anchored: bool,
    /// The filter is attached to the named-pipe file system.
    pub attached: bool,
    /// The filter did not see a pipe that the driver opened itself.
    pub unseen: bool,
    /// How far the content in force has come.
    pub stage: Stage,
    /// The state folder can be used.
    pub state: bool,
    /// The inbox can be read.
    pub inbox: bool,
    /// A file newer than the content in force stands refused.
    pub refused: bool,
    /// The content in force has expired.
    pub stale: bool,
    /// The boot could not use what was good last, and serves what was good before it.
    pub fell_back: bool,
}

/// Derives protection. The worst loss is told first; a loss that leaves events unjudged is `None`.
pub const fn protection(facts: &Facts) -> Protection {
    if !facts.anchored {
        return Protection::None(Loss::NoAnchor);
    }
    if matches!(facts.stage, Stage::None) {
        return Protection::None(Loss::NoContent);
    }
    if !facts.attached {
        return Protection::None(Loss::NotAttached);
    }
    if facts.unseen {
        return Protection::None(Loss::NotSeen);
    }
    if !facts.state {
        return Protection::Degraded(Loss::NoState);
    }
    if !facts.inbox {
        return Protection::Degraded(Loss::NoInbox);
    }
    if facts.refused {
        return Protection::Degraded(Loss::Refused);
    }
    if facts.fell_back {
        return Protection::Degraded(Loss::FellBack);
    }
    if facts.stale {
        return Protection::Degraded(Loss::Stale);
    }
    if matches!(facts.stage, Stage::Trial) {
        return Protection::Degraded(Loss::OnTrial);
    }
    Protection::Full
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL_WELL: Facts = Facts {
        anchored: true,
        attached: true,
        unseen: false,
        stage: Stage::Good,
        state: true,
        inbox: true,
        refused: false,
        stale: false,
        fell_back: false,
    };

    #[test]
    fn full_when_all_is_well() {
        assert_eq!(protection(&ALL_WELL), Protection::Full);
    }

    #[test]
    fn each_cause_shows() {
        let cases = [
            (Facts { anchored: false, ..ALL_WELL }, Protection::None(Loss::NoAnchor)),
            (Facts { stage: Stage::None, ..ALL_WELL }, Protection::None(Loss::NoContent)),
            (Facts { attached: false, ..ALL_WELL }, Protection::None(Loss::NotAttached)),
            (Facts { unseen: true, ..ALL_WELL }, Protection::None(Loss::NotSeen)),
            (Facts { state: false, ..ALL_WELL }, Protection::Degraded(Loss::NoState)),
            (Facts { inbox: false, ..ALL_WELL }, Protection::Degraded(Loss::NoInbox)),
            (Facts { refused: true, ..ALL_WELL }, Protection::Degraded(Loss::Refused)),
            (Facts { fell_back: true, ..ALL_WELL }, Protection::Degraded(Loss::FellBack)),
            (Facts { stale: true, ..ALL_WELL }, Protection::Degraded(Loss::Stale)),
            (Facts { stage: Stage::Trial, ..ALL_WELL }, Protection::Degraded(Loss::OnTrial)),
        ];
        for (facts, expected) in cases {
            assert_eq!(protection(&facts), expected, "{facts:?}");
        }
    }
}
