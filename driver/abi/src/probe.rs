//! What the driver's look at itself showed.

use crate::wire::{Malformed, Reader, Writer};

/// Length of a [`Probe`] in bytes.
pub(crate) const PROBE_LEN: usize = 16;

/// What a probe said: the driver opened a pipe of its own, and its filter had to see that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// There was no probe yet that said anything.
    #[default]
    NotYet,
    /// The filter saw it.
    Seen,
    /// The filter is attached and did not see it: pipes are not judged.
    NotSeen,
    /// The filter is not attached, so there was nothing to see it: early in a boot there is no
    /// named-pipe file system yet.
    NotAttached,
    /// One is under way and does not come back: a filter or the file system keeps it. What the
    /// filter sees is not known meanwhile.
    Held,
}

impl ProbeOutcome {
    /// Every outcome.
    pub const ALL: [Self; 5] =
        [Self::NotYet, Self::Seen, Self::NotSeen, Self::NotAttached, Self::Held];

    /// The word used in logs and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotYet => "not_yet",
            Self::Seen => "seen",
            Self::NotSeen => "not_seen",
            Self::NotAttached => "not_attached",
            Self::Held => "held",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::NotYet => 0,
            Self::Seen => 1,
            Self::NotSeen => 2,
            Self::NotAttached => 3,
            Self::Held => 4,
        }
    }
}

/// The last probe that said anything, or the one that does not come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// What it said.
    pub outcome: ProbeOutcome,
    /// When, or since when it is held: 100-nanosecond units since boot, not counting sleep.
    pub at: u64,
}

impl Probe {
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        writer.array([self.outcome.number(), 0, 0, 0, 0, 0, 0, 0]);
        writer.u64(self.at);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let [number, rest @ ..] = reader.array::<8>()?;
        if rest != [0; 7] {
            return Err(Malformed::Value);
        }
        let outcome = ProbeOutcome::ALL.into_iter().find(|outcome| outcome.number() == number);
        Ok(Self { outcome: outcome.ok_or(Malformed::Value)?, at: reader.u64()? })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn reads_what_it_wrote_and_refuses_what_means_nothing() {
        for outcome in ProbeOutcome::ALL {
            let probe = Probe { outcome, at: 0x0102_0304_0506_0708 };
            let mut bytes = [0xEE; PROBE_LEN];
            let mut writer = Writer::new(&mut bytes);
            probe.write(&mut writer);
            assert!(writer.finish());
            assert_eq!(Probe::read(&mut Reader::new(&bytes)), Ok(probe));
            let unknown: Vec<u8> = [&[5][..], &bytes[1..]].concat();
            assert_eq!(Probe::read(&mut Reader::new(&unknown)), Err(Malformed::Value));
            let reserved: Vec<u8> = [&bytes[..7], &[1][..], &bytes[8..]].concat();
            assert_eq!(Probe::read(&mut Reader::new(&reserved)), Err(Malformed::Value));
            for len in 0..PROBE_LEN {
                assert_eq!(Probe::read(&mut Reader::new(&bytes[..len])), Err(Malformed::Short));
            }
        }
    }
}
