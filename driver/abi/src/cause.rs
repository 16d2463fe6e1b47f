//! Why a file was not taken though its bytes are not to blame.

use crate::wire::Malformed;

/// Why the driver did not take a file whose content it does not blame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// Nothing is in the way, or the refusal's code says it.
    #[default]
    None,
    /// The kernel could not do what was asked; its status says why. Tried again at each look.
    Host,
    /// Somebody has the file open for writing, shares it with nobody, or holds an oplock on it.
    /// Tried again at each look.
    Held,
    /// The disk did not answer in time. Tried again at each look.
    Slow,
    /// A directory has the name.
    Directory,
    /// A reparse point: what it leads to is not in the folder.
    ReparsePoint,
    /// The bytes are not on this machine, and reading them would fetch them.
    Offline,
    /// The file has a second name, through which it can be changed from outside the folder.
    HardLink,
    /// No kind of file the driver reads: a device, or longer than a content file may be.
    NoFile,
    /// The signed header names another channel than the file's name.
    OtherChannel,
    /// The machine went down twice while this body was tried.
    Struck,
    /// The machine went down while this body was in force or tried: it is tried again after an hour
    /// in which nothing happens.
    Waits,
    /// What the root keys said last is missing here, so nobody knows whether the file is over.
    NoControl,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 13] = [
        Self::None,
        Self::Host,
        Self::Held,
        Self::Slow,
        Self::Directory,
        Self::ReparsePoint,
        Self::Offline,
        Self::HardLink,
        Self::NoFile,
        Self::OtherChannel,
        Self::Struck,
        Self::Waits,
        Self::NoControl,
    ];

    /// The word used in logs and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Host => "host",
            Self::Held => "held",
            Self::Slow => "slow",
            Self::Directory => "directory",
            Self::ReparsePoint => "reparse_point",
            Self::Offline => "offline",
            Self::HardLink => "hard_link",
            Self::NoFile => "no_file",
            Self::OtherChannel => "other_channel",
            Self::Struck => "struck",
            Self::Waits => "waits",
            Self::NoControl => "no_control",
        }
    }

    /// What to do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Host => "look the status up; the file is tried again at every look",
            Self::Held => "close the program that has it open; write to another name and rename",
            Self::Slow => "see what keeps the disk busy; the file is tried again at every look",
            Self::Directory => "remove the directory",
            Self::ReparsePoint => "put the file itself into the folder, not a link to it",
            Self::Offline => "have the file's bytes kept on this machine",
            Self::HardLink => "copy the file into the folder instead of linking it",
            Self::NoFile => "put a content file there; see the limits of the format",
            Self::OtherChannel => "give the file the name that its header says",
            Self::Struck => "build the content anew, or clear the quarantine",
            Self::NoControl => "put the newest file of channel 0 into the folder",
            Self::Waits => "nothing: it is tried again after an hour; or clear the quarantine",
        }
    }

    /// True when the file is worth another try though it did not change.
    pub const fn passes(self) -> bool {
        matches!(self, Self::Host | Self::Held | Self::Slow | Self::Waits | Self::NoControl)
    }

    pub(crate) const fn number(self) -> u16 {
        match self {
            Self::None => 0,
            Self::Host => 1,
            Self::Held => 2,
            Self::Slow => 3,
            Self::Directory => 4,
            Self::ReparsePoint => 5,
            Self::Offline => 6,
            Self::HardLink => 7,
            Self::NoFile => 8,
            Self::OtherChannel => 9,
            Self::Struck => 10,
            Self::Waits => 11,
            Self::NoControl => 12,
        }
    }

    pub(crate) fn from_number(number: u16) -> Result<Self, Malformed> {
        let found = Self::ALL.into_iter().find(|cause| cause.number() == number);
        found.ok_or(Malformed::Value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_back_and_no_others() {
        for (number, cause) in (0..).zip(Cause::ALL) {
            assert_eq!((cause.number(), Cause::from_number(number)), (number, Ok(cause)));
            assert!(!cause.name().is_empty() && !cause.remedy().is_empty());
        }
        assert_eq!(Cause::from_number(13), Err(Malformed::Value));
        assert_eq!(Cause::from_number(u16::MAX), Err(Malformed::Value));
    }
}
