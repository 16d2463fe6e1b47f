//! What keeps protection from being full.

use crate::wire::Malformed;

/// Why protection is less than full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The binary's `.anchor` holds no key: nothing can be verified.
    NoAnchor,
    /// No content has been accepted.
    NoContent,
    /// The content in force is on trial.
    OnTrial,
    /// The newest file offered was refused; older content serves.
    Refused,
    /// The state folder cannot be read or written, so no new content can be tried.
    NoState,
    /// The inbox cannot be read.
    NoInbox,
    /// The filter is not attached to the named-pipe file system.
    NotAttached,
    /// The content in force has expired.
    Stale,
    /// The boot could not use what was good last, and serves what was good before it.
    FellBack,
    /// The content in force blocked too much, or would have on trial: it blocks nothing any more.
    FuseTripped,
    /// A service parameter made no sense and was replaced by its default.
    SettingsRefused,
    /// Others than SYSTEM and administrators may change the inbox, so it is not read.
    InboxUnsafe,
    /// The disk keeps the content worker waiting for longer than it should.
    Slow,
    /// The filter is attached, but did not see a pipe that the driver opened itself.
    NotSeen,
    /// A pipe that the driver opens itself does not come back, and the content worker with it.
    ProbeHeld,
    /// The anchor has root keys, and what they said last, channel 0, is missing, damaged or older than
    /// it was: nothing says which keys and files are over.
    NoControl,
    /// Channel 0 has expired: newer words of the root keys may be kept from this machine.
    ControlStale,
    /// The content in force has no rules.
    NoRules,
    /// The content in force is far ahead of what was good before it: nothing in between can follow.
    SequenceJump,
}

impl Loss {
    /// Every loss.
    pub const ALL: [Self; 19] = [
        Self::NoAnchor,
        Self::NoContent,
        Self::OnTrial,
        Self::Refused,
        Self::NoState,
        Self::NoInbox,
        Self::NotAttached,
        Self::Stale,
        Self::FellBack,
        Self::FuseTripped,
        Self::SettingsRefused,
        Self::InboxUnsafe,
        Self::Slow,
        Self::NotSeen,
        Self::ProbeHeld,
        Self::NoControl,
        Self::ControlStale,
        Self::NoRules,
        Self::SequenceJump,
    ];

    /// The word used in logs and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoAnchor => "no_anchor",
            Self::NoContent => "no_content",
            Self::OnTrial => "on_trial",
            Self::Refused => "refused",
            Self::NoState => "no_state",
            Self::NoInbox => "no_inbox",
            Self::NotAttached => "not_attached",
            Self::Stale => "stale",
            Self::FellBack => "fell_back",
            Self::FuseTripped => "fuse_tripped",
            Self::SettingsRefused => "settings_refused",
            Self::InboxUnsafe => "inbox_unsafe",
            Self::Slow => "slow",
            Self::NotSeen => "not_seen",
            Self::ProbeHeld => "probe_held",
            Self::NoControl => "no_control",
            Self::ControlStale => "control_stale",
            Self::NoRules => "no_rules",
            Self::SequenceJump => "sequence_jump",
        }
    }

    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::NoAnchor => 1,
            Self::NoContent => 2,
            Self::OnTrial => 3,
            Self::Refused => 4,
            Self::NoState => 5,
            Self::NoInbox => 6,
            Self::NotAttached => 7,
            Self::Stale => 8,
            Self::FellBack => 9,
            Self::FuseTripped => 10,
            Self::SettingsRefused => 11,
            Self::InboxUnsafe => 12,
            Self::Slow => 13,
            Self::NotSeen => 14,
            Self::ProbeHeld => 15,
            Self::NoControl => 16,
            Self::ControlStale => 17,
            Self::NoRules => 18,
            Self::SequenceJump => 19,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Result<Self, Malformed> {
        Ok(match number {
            1 => Self::NoAnchor,
            2 => Self::NoContent,
            3 => Self::OnTrial,
            4 => Self::Refused,
            5 => Self::NoState,
            6 => Self::NoInbox,
            7 => Self::NotAttached,
            8 => Self::Stale,
            9 => Self::FellBack,
            10 => Self::FuseTripped,
            11 => Self::SettingsRefused,
            12 => Self::InboxUnsafe,
            13 => Self::Slow,
            14 => Self::NotSeen,
            15 => Self::ProbeHeld,
            16 => Self::NoControl,
            17 => Self::ControlStale,
            18 => Self::NoRules,
            19 => Self::SequenceJump,
            _ => return Err(Malformed::Value),
        })
    }
}
