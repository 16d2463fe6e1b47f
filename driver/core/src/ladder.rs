//! Which content a boot serves, and what becomes of content that takes machines down.
//!
//! # The ladder
//! trial → good → previous → none. Each session that ends without a word costs one step, whatever the
//! cause; a machine that goes down again and again therefore comes up at the third boot at the latest:
//!
//! | how the session ended | what it costs |
//! |---|---|
//! | in order: unloaded, or the machine shut down | nothing |
//! | while a body was tried or on trial, or good content was in force for less than an hour | one loss of that body; it waits |
//! | good content had been in force for an hour | nothing the first time; the next loss is its second, if other content can serve instead |
//! | before the boot's first minute was over, so that nothing was written | the number of the boot tells the next one: one loss of what that boot served |
//!
//! Content that *waits* does not serve a boot while other good content can, and is tried again, on
//! trial, after an hour in which nothing happened. With two losses it is *struck out*: it serves no
//! boot, and is tried once more, on trial, after a healthy day. Losses are forgotten when the content
//! has served a boot for an hour, or when an administrator says so.
//!
//! # Why boots are numbered
//! A boot writes nothing, so one that goes down early leaves no trace but the number that the boot
//! loader gave it. The numbers between the last session that wrote and this one are such boots, as
//! long as the driver was started at boot both times: then it was there in between, too.

use driver_abi::{Cause, SlotState};

use crate::Position;
use crate::journal::{BodyId, Floor, Journal, MAX_LOSSES, Mark, Start, Suspect};
use crate::slots::BOOT_ORDER;

/// How long nothing must have happened: 100-nanosecond units.
pub const HEALTHY_HOUR: u64 = 60 * 60 * 10_000_000;
/// The same for content that was struck out.
pub const HEALTHY_DAY: u64 = 24 * HEALTHY_HOUR;

/// What the slots hold that a boot may serve, in their order: `None` for one that is empty, damaged
/// or no longer trusted.
pub type Rungs = [Option<BodyId>; BOOT_ORDER.len()];

impl Journal {
    /// What a driver that starts makes of the journal.
    ///
    /// This is no record to write: it keeps the counter of the one on disk, so that the next record
    /// is written beside that one and not over it. A write torn there would else take an open mark
    /// with it.
    #[must_use]
    #[inline(never)]
    pub fn settle(mut self, start: Start, rungs: Rungs) -> Self {
        if let Some(mark) = self.mark.take() {
            self = self.blame(mark, rungs);
        }
        if start.at_boot && self.start.at_boot {
            let between = start.boot.saturating_sub(self.start.boot).saturating_sub(1);
            // More can lose no more: by then nothing is served.
            for _ in 0..between.min(8) {
                if let Some(body) =
                    self.serves(rungs).and_then(|at| rungs.get(at).copied().flatten())
                {
                    self = self.blame(Mark::new(body), rungs);
                }
            }
        }
        self.start = start;
        self
    }

    /// Which of the rungs a boot serves; `None` when there is none left.
    pub fn serves(&self, rungs: Rungs) -> Option<usize> {
        let left =
            |rung: &Option<BodyId>| rung.map(|body| self.suspect(body)).filter(Suspect::may_serve);
        let [good, previous] = [rungs.first().and_then(left), rungs.last().and_then(left)];
        let alone = good.is_none() || previous.is_none() || good == previous;
        rungs.iter().position(|rung| left(rung).is_some_and(|suspect| alone || !suspect.waits))
    }

    /// Whether a body may be tried in a session that has been up for so long, as new content or
    /// again.
    ///
    /// # Errors
    /// What is in its way.
    pub fn may_try(&self, body: BodyId, up: u64) -> Result<(), Cause> {
        let suspect = self.suspect(body);
        if suspect.losses >= MAX_LOSSES {
            let again = up >= HEALTHY_DAY && !suspect.retried;
            return if again { Ok(()) } else { Err(Cause::Struck) };
        }
        if suspect.waits && up < HEALTHY_HOUR { Err(Cause::Waits) } else { Ok(()) }
    }

    /// What a body in a slot is worth.
    pub fn worth(&self, body: BodyId) -> SlotState {
        let suspect = self.suspect(body);
        match (suspect.may_serve(), suspect.waits) {
            (false, _) => SlotState::Struck,
            (true, true) => SlotState::Waits,
            (true, false) => SlotState::Ready,
        }
    }

    /// The record to write before a body is tried that [`Self::may_try`] let through.
    #[must_use]
    #[inline(never)]
    pub fn try_body(self, body: BodyId) -> Self {
        let suspect = self.suspect(body);
        let retried = suspect.retried || suspect.losses >= MAX_LOSSES;
        self.with_suspect(Suspect { retried, ..suspect }).begin(body)
    }

    /// The record to write when the body on trial has become good.
    #[must_use]
    #[inline(never)]
    pub fn promoted(self, body: BodyId, floor: Floor) -> Self {
        let suspect = self.suspect(body);
        // One more loss strikes it out again: it has not served a boot yet.
        let losses = suspect.losses.min(MAX_LOSSES.saturating_sub(1));
        let known = self.with_suspect(Suspect { losses, waits: false, ..suspect });
        known.raised(floor).begin(body)
    }

    /// The record to write when what is in force has been so for an hour of this session;
    /// `booted` when it has been since the boot.
    #[must_use]
    #[inline(never)]
    pub fn lived(self, booted: bool) -> Option<Self> {
        let mark = self.mark.filter(|mark| !mark.healthy)?;
        let suspect = self.suspect(mark.body);
        let known = match booted {
            true => self.with_suspect(Suspect { losses: 0, waits: false, ..suspect }),
            false => self,
        };
        Some(known.marked(Some(Mark { healthy: true, ..mark })))
    }

    /// The record to write when the session ends in order. What went down when it was healthy and
    /// now did not is forgiven.
    #[must_use]
    #[inline(never)]
    pub fn closed(self) -> Self {
        let Some(mark) = self.mark else { return self.marked(None) };
        let suspect = self.suspect(mark.body);
        let late = suspect.late && !mark.healthy;
        self.with_suspect(Suspect { late, ..suspect }).marked(None)
    }

    /// The record to write when an administrator forgives a body, or all of them. A mark that is
    /// open stays open. `None` when there is nothing to forgive.
    #[must_use]
    #[inline(never)]
    pub fn pardon(mut self, body: Option<BodyId>) -> Option<Self> {
        let mut found = false;
        for suspect in &mut self.suspects {
            if *suspect != Suspect::default() && body.is_none_or(|body| suspect.body == body) {
                *suspect = Suspect::default();
                found = true;
            }
        }
        found.then(|| self.step())
    }

    /// A session ended, and this was to blame.
    fn blame(self, mark: Mark, rungs: Rungs) -> Self {
        let suspect = self.suspect(mark.body);
        let before = suspect.losses.saturating_add(u8::from(suspect.late));
        if mark.healthy && before == 0 {
            return self.with_suspect(Suspect { late: true, ..suspect });
        }
        let losses = before.saturating_add(1);
        let without = self.with_suspect(Suspect { losses, waits: true, late: false, ..suspect });
        // Content that runs for an hour is not given up for nothing.
        if !mark.healthy || without.serves(rungs).is_some() { without } else { self }
    }
}

impl Suspect {
    const fn may_serve(&self) -> bool {
        self.losses < MAX_LOSSES
    }
}

/// How many sequences a file may be ahead of what was good before it and pass for the next one. One
/// that is further ahead leaves no room for those in between, as a thief of the key would want.
pub const MAX_STEP: u32 = 10_000;

/// True when content at `position` is suspiciously far ahead of what was good before it.
pub const fn is_jump(before: Position, position: Position) -> bool {
    before.epoch == position.epoch
        && position.sequence.saturating_sub(before.sequence) > MAX_STEP
        && before.sequence != 0
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "counts of a small model; a test may panic")]
mod tests;
