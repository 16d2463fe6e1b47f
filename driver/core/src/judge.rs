//! What becomes of one pipe event.

use driver_abi::{Mode, Stage, Verdict};

/// What is known once every rule has been evaluated.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Rules that matched.
    pub matched: u32,
    /// Rules that could not be decided.
    pub unknown: u32,
    /// A matching rule asks to block this operation.
    pub asks_block: bool,
    /// The key that signed the content may sign blocking rules.
    pub may_block: bool,
    /// How far the content has come.
    pub stage: Stage,
    /// What the service parameters ask.
    pub mode: Mode,
    /// The requestor is one that must never be blocked.
    pub exempt: bool,
}

/// Decides. Only a match can block, never an undecided rule, and every other condition can only
/// take the block away: trouble and doubt fail open.
pub const fn judge(facts: &Facts) -> Verdict {
    if facts.matched == 0 {
        return if facts.unknown == 0 { Verdict::Allow } else { Verdict::Unknown };
    }
    let blocks = facts.asks_block
        && facts.may_block
        && matches!(facts.stage, Stage::Good)
        && matches!(facts.mode, Mode::Enforce);
    match (blocks, facts.exempt) {
        (true, false) => Verdict::Block,
        (true, true) => Verdict::Exempt,
        (false, _) => Verdict::Detect,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    const BLOCKING: Facts = Facts {
        matched: 1,
        unknown: 0,
        asks_block: true,
        may_block: true,
        stage: Stage::Good,
        mode: Mode::Enforce,
        exempt: false,
    };

    #[test]
    fn blocks_when_every_condition_holds() {
        assert_eq!(judge(&BLOCKING), Verdict::Block);
    }

    #[test]
    fn any_condition_missing_takes_the_block_away() {
        let cases = [
            (Facts { asks_block: false, ..BLOCKING }, Verdict::Detect),
            (Facts { may_block: false, ..BLOCKING }, Verdict::Detect),
            (Facts { stage: Stage::Trial, ..BLOCKING }, Verdict::Detect),
            (Facts { mode: Mode::Observe, ..BLOCKING }, Verdict::Detect),
            (Facts { exempt: true, ..BLOCKING }, Verdict::Exempt),
            (Facts { matched: 0, ..BLOCKING }, Verdict::Allow),
            (Facts { matched: 0, unknown: 1, ..BLOCKING }, Verdict::Unknown),
        ];
        for (facts, verdict) in cases {
            assert_eq!(judge(&facts), verdict, "{facts:?}");
        }
    }

    #[test]
    fn no_undecided_rule_ever_blocks() {
        for bits in 0..32_u32 {
            let on = |bit: u32| bits >> bit & 1 == 1;
            let facts = Facts {
                matched: 0,
                unknown: 3,
                asks_block: on(0),
                may_block: on(1),
                stage: if on(2) { Stage::Good } else { Stage::Trial },
                mode: if on(3) { Mode::Enforce } else { Mode::Observe },
                exempt: on(4),
            };
            assert_eq!(judge(&facts), Verdict::Unknown);
        }
    }
}
