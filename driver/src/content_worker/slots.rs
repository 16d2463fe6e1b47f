//! What is known of the slots: read at a start, and kept in step from then on.

use channel_format::frame::Signed;
use channel_format::refusal::Refusal;
use driver_abi::{SlotNote, SlotState};
use driver_core::Position;
use driver_core::journal::{BodyId, Floor, Journal};
use driver_core::ladder::Rungs;
use driver_core::slots::Slot;

/// What a slot holds that may serve.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    pub body: BodyId,
    pub position: Position,
    rules: u32,
    file: [u8; 16],
    key: [u8; 16],
}

impl Kept {
    pub(super) fn of(signed: &Signed) -> Self {
        let header = &signed.header;
        Self {
            body: BodyId::of(&header.digest),
            position: Position { epoch: header.epoch, sequence: header.sequence },
            rules: header.rule_count,
            file: signed.id.0.first_chunk().copied().unwrap_or_default(),
            key: signed.signer.0,
        }
    }
}

/// What is in a slot.
#[derive(Clone, Copy, Default)]
pub(super) enum Content {
    #[default]
    Nothing,
    Kept(Kept),
    /// Damaged or no longer trusted.
    Refused(Refusal),
}

/// All slots.
#[derive(Clone, Copy, Default)]
pub(super) struct Slots {
    pub good: Content,
    pub previous: Content,
    pub trial: Content,
}

impl Slots {
    pub(super) fn place(&mut self, slot: Slot) -> &mut Content {
        match slot {
            Slot::Trial => &mut self.trial,
            Slot::Good => &mut self.good,
            Slot::Previous => &mut self.previous,
        }
    }

    /// One slot's content was moved to another.
    pub(super) fn moved(&mut self, from: Slot, to: Slot) {
        let content = core::mem::take(self.place(from));
        *self.place(to) = content;
    }

    /// What a boot may serve.
    pub(super) fn rungs(&self) -> Rungs {
        [self.good.body(), self.previous.body()]
    }

    /// What was good here, which a journal that was lost does not say.
    pub(super) fn floors(&self) -> impl Iterator<Item = Floor> {
        let kept =
            [self.previous, self.good].into_iter().filter_map(|content| content.kept().copied());
        kept.map(|kept| Floor { position: kept.position, rules: kept.rules })
    }

    /// What the status says about them.
    pub(super) fn notes(&self, journal: &Journal) -> [SlotNote; 3] {
        [self.good, self.previous, self.trial].map(|content| content.note(journal))
    }
}

impl Content {
    pub(super) const fn body(&self) -> Option<BodyId> {
        match self.kept() {
            Some(kept) => Some(kept.body),
            None => None,
        }
    }

    pub(super) const fn kept(&self) -> Option<&Kept> {
        match self {
            Self::Kept(kept) => Some(kept),
            Self::Nothing | Self::Refused(_) => None,
        }
    }

    fn note(&self, journal: &Journal) -> SlotNote {
        match self {
            Self::Nothing => SlotNote::default(),
            Self::Refused(refusal) => SlotNote {
                state: SlotState::Refused,
                code: refusal.code.number(),
                ..SlotNote::default()
            },
            Self::Kept(kept) => SlotNote {
                state: journal.worth(kept.body),
                epoch: kept.position.epoch,
                sequence: kept.position.sequence,
                file: kept.file,
                key: kept.key,
                ..SlotNote::default()
            },
        }
    }
}
