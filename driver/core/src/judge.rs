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
    /// Requestor or name is one that must never be blocked.
    pub exempt: bool,
    /// The fuse of the content has tripped.
    pub fuse_tripped: bool,
}

impl Facts {
    /// True when only the content's youth, the mode or the fuse can keep the operation from being
    /// blocked. This is what the fuse counts while content is on trial.
    pub const fn would_block(&self) -> bool {
        self.matched > 0 && self.asks_block && self.may_block && !self.exempt
    }
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
        && matches!(facts.mode, Mode::Enforce)
        && !facts.fuse_tripped;
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
        fuse_tripped: false,
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
            (Facts { fuse_tripped: true, ..BLOCKING }, Verdict::Detect),
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
        for bits in 0..64_u32 {
            let on = |bit: u32| bits >> bit & 1 == 1;
            let facts = Facts {
                matched: 0,
                unknown: 3,
                asks_block: on(0),
                may_block: on(1),
                stage: if on(2) { Stage::Good } else { Stage::Trial },
                mode: if on(3) { Mode::Enforce } else { Mode::Observe },
                exempt: on(4),
                fuse_tripped: on(5),
            };
            assert_eq!(judge(&facts), Verdict::Unknown);
            assert!(!facts.would_block());
        }
    }

    #[test]
    fn what_would_block_hangs_on_neither_stage_mode_nor_fuse() {
        assert!(BLOCKING.would_block());
        for facts in [
            Facts { stage: Stage::Trial, ..BLOCKING },
            Facts { mode: Mode::Observe, ..BLOCKING },
            Facts { fuse_tripped: true, ..BLOCKING },
        ] {
            assert!(facts.would_block(), "{facts:?}");
        }
        for facts in [
            Facts { matched: 0, ..BLOCKING },
            Facts { asks_block: false, ..BLOCKING },
            Facts { may_block: false, ..BLOCKING },
            Facts { exempt: true, ..BLOCKING },
        ] {
            assert!(!facts.would_block(), "{facts:?}");
        }
    }
}
