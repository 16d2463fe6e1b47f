//! What a status says about the sensor's condition, as small sets and words.

use crate::loss::Loss;
use crate::wire::Malformed;

/// Everything that keeps protection from being full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses(u32);

impl Losses {
    /// No loss.
    pub const NONE: Self = Self(0);

    /// The same with `loss` added when `lost`.
    #[must_use]
    pub const fn with(self, loss: Loss, lost: bool) -> Self {
        if lost { Self(self.0 | bit(loss)) } else { self }
    }

    /// True when `loss` is among them.
    pub const fn contains(self, loss: Loss) -> bool {
        self.0 & bit(loss) != 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Loss> {
        Loss::ALL.into_iter().filter(move |loss| self.contains(*loss))
    }

    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    pub(crate) fn from_bits(bits: u32) -> Result<Self, Malformed> {
        let known = Loss::ALL.into_iter().fold(0, |known, loss| known | bit(loss));
        if bits & !known == 0 { Ok(Self(bits)) } else { Err(Malformed::Value) }
    }
}

/// Every loss has a small number; one beyond the set's width would not be in it, which the tests of
/// this crate show.
#[allow(clippy::as_conversions, reason = "widening")]
const fn bit(loss: Loss) -> u32 {
    match 1_u32.checked_shl(loss.number() as u32) {
        Some(bit) => bit,
        None => 0,
    }
}

/// What the driver is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It has not looked for good content yet.
    #[default]
    Starting,
    /// It judges by what it has and takes new content.
    Running,
    /// It is being unloaded.
    Stopping,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Starting, Self::Running, Self::Stopping];

    /// The word used in logs and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
        }
    }

    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Starting => 0,
            Self::Running => 1,
            Self::Stopping => 2,
        }
    }

    pub(crate) fn from_number(number: u8) -> Result<Self, Malformed> {
        find(&Self::ALL, |state| state.number() == number)
    }
}

/// What tripped a fuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trip {
    /// Too many blocks in a minute.
    Blocks,
    /// Too many different images blocked in an hour.
    Images,
    /// Too large a share of an hour's creates blocked.
    Share,
}

impl Trip {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Blocks, Self::Images, Self::Share];

    /// The word used in logs and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Images => "images",
            Self::Share => "share",
        }
    }

    /// The number on the wire, from 1: 0 is a fuse that has not tripped.
    pub const fn number(self) -> u8 {
        match self {
            Self::Blocks => 1,
            Self::Images => 2,
            Self::Share => 3,
        }
    }

    /// What has this number; `None` for 0.
    ///
    /// # Errors
    /// [`Malformed::Value`] for a number that nothing has.
    pub fn from_number(number: u8) -> Result<Option<Self>, Malformed> {
        match number {
            0 => Ok(None),
            _ => find(&Self::ALL, |trip| trip.number() == number).map(Some),
        }
    }
}

/// A service parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `Mode`.
    Mode,
    /// `PollSeconds`.
    PollSeconds,
    /// `ContentDirectory`.
    ContentDirectory,
    /// `ExemptProtected`.
    ExemptProtected,
}

impl Setting {
    /// Every parameter.
    pub const ALL: [Self; 4] =
        [Self::Mode, Self::PollSeconds, Self::ContentDirectory, Self::ExemptProtected];

    /// The name in the registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mode => "Mode",
            Self::PollSeconds => "PollSeconds",
            Self::ContentDirectory => "ContentDirectory",
            Self::ExemptProtected => "ExemptProtected",
        }
    }

    const fn bit(self) -> u16 {
        match self {
            Self::Mode => 1,
            Self::PollSeconds => 2,
            Self::ContentDirectory => 4,
            Self::ExemptProtected => 8,
        }
    }
}

/// A set of service parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings(u16);

impl Settings {
    /// No parameter.
    pub const NONE: Self = Self(0);

    /// Adds one.
    pub const fn insert(&mut self, setting: Setting) {
        self.0 |= setting.bit();
    }

    /// True when it is in the set.
    pub const fn contains(self, setting: Setting) -> bool {
        self.0 & setting.bit() != 0
    }

    /// True for the empty set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Setting> {
        Setting::ALL.into_iter().filter(move |setting| self.contains(*setting))
    }

    pub(crate) const fn bits(self) -> u16 {
        self.0
    }

    pub(crate) fn from_bits(bits: u16) -> Result<Self, Malformed> {
        let known = Setting::ALL.into_iter().fold(0, |known, setting| known | setting.bit());
        if bits & !known == 0 { Ok(Self(bits)) } else { Err(Malformed::Value) }
    }
}

fn find<T: Copy>(all: &[T], is_it: impl Fn(&T) -> bool) -> Result<T, Malformed> {
    all.iter().copied().find(is_it).ok_or(Malformed::Value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_is_in_a_set_of_its_own() {
        let mut all = Losses::NONE;
        for loss in Loss::ALL {
            assert!(!all.contains(loss), "{loss:?}");
            let one = Losses::NONE.with(loss, true);
            assert!(one.contains(loss), "{loss:?}: its number is beyond the set");
            assert_eq!(one.iter().count(), 1);
            assert_eq!(all.with(loss, false), all);
            all = all.with(loss, true);
        }
        assert_eq!(Losses::from_bits(all.bits()), Ok(all));
        assert!(all.iter().eq(Loss::ALL));
    }

    #[test]
    fn a_set_with_something_unknown_is_refused() {
        assert_eq!(Losses::from_bits(1), Err(Malformed::Value));
        assert_eq!(Losses::from_bits(u32::MAX), Err(Malformed::Value));
        assert_eq!(Settings::from_bits(16), Err(Malformed::Value));
        let mut all = Settings::NONE;
        assert!(all.is_empty());
        for setting in Setting::ALL {
            assert!(!all.contains(setting));
            all.insert(setting);
        }
        assert_eq!(Settings::from_bits(all.bits()), Ok(all));
        assert!(all.iter().eq(Setting::ALL));
    }

    #[test]
    fn numbers_without_a_word_are_refused() {
        assert_eq!(State::ALL.map(|state| State::from_number(state.number())), State::ALL.map(Ok));
        assert_eq!(State::from_number(3), Err(Malformed::Value));
        let trips = Trip::ALL.map(|trip| Trip::from_number(trip.number()));
        assert_eq!(trips, Trip::ALL.map(|trip| Ok(Some(trip))));
        assert_eq!(Trip::from_number(0), Ok(None));
        assert_eq!(Trip::from_number(4), Err(Malformed::Value));
    }
}
