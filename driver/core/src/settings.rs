//! What the service parameters mean, with safe defaults and bounds.
//!
//! A value that makes no sense is refused loudly (the status names it and protection is less than
//! full) and replaced by its default: nonsense in the registry can make the sensor quieter or
//! slower, never stop the machine.

use driver_abi::{Mode, Setting, Settings as Refused};

/// Default seconds between two looks into the inbox.
pub const DEFAULT_POLL_SECONDS: u32 = 5;
/// The longest wait between two looks: an hour.
pub const MAX_POLL_SECONDS: u32 = 3_600;
/// The longest `ContentDirectory`, in UTF-16 units.
pub const MAX_DIRECTORY_UNITS: usize = 200;

/// The `Mode` value of the service's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// 0: the driver refuses to start.
    Off,
    /// 1 observe, 2 enforce.
    On(Mode),
}

/// What the registry has under a parameter's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// Nothing.
    Nothing,
    /// A value of the type it should have.
    Value(T),
    /// A value of another type or size.
    Other,
}

/// The parameters as they were found.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<D> {
    /// `Mode`.
    pub mode: Found<u32>,
    /// `PollSeconds`.
    pub poll_seconds: Found<u32>,
    /// `ExemptProtected`.
    pub exempt_protected: Found<u32>,
    /// `ContentDirectory`.
    pub directory: Found<D>,
}

/// What they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning<D> {
    /// Off, or on in a mode.
    pub switch: Switch,
    /// Seconds between two looks into the inbox.
    pub poll_seconds: u32,
    /// Protected processes are never blocked.
    pub exempt_protected: bool,
    /// The inbox below `\SystemRoot`; `None` for the default.
    pub directory: Option<D>,
    /// The parameters that made no sense.
    pub refused: Refused,
}

impl<D: AsRef<[u16]>> Parameters<D> {
    /// Takes what makes sense, and defaults for the rest.
    pub fn meaning(self) -> Meaning<D> {
        let mut refused = Refused::default();
        let mut accept = |setting, accepted: bool| {
            if !accepted {
                refused.insert(setting);
            }
        };
        let switch = self.mode.accepted(switch);
        accept(Setting::Mode, switch.is_ok());
        let poll_seconds = self.poll_seconds.accepted(poll_seconds);
        accept(Setting::PollSeconds, poll_seconds.is_ok());
        let exempt_protected = self.exempt_protected.accepted(flag);
        accept(Setting::ExemptProtected, exempt_protected.is_ok());
        let directory =
            self.directory.accepted(|units| is_directory(units.as_ref()).then_some(units));
        accept(Setting::ContentDirectory, directory.is_ok());
        Meaning {
            switch: switch.unwrap_or(None).unwrap_or(Switch::On(Mode::default())),
            poll_seconds: poll_seconds.unwrap_or(None).unwrap_or(DEFAULT_POLL_SECONDS),
            exempt_protected: exempt_protected.unwrap_or(None).unwrap_or(true),
            directory: directory.unwrap_or(None),
            refused,
        }
    }
}

/// A value was found that means nothing.
struct Nonsense;

impl<T> Found<T> {
    fn accepted<U>(self, read: impl FnOnce(T) -> Option<U>) -> Result<Option<U>, Nonsense> {
        match self {
            Self::Nothing => Ok(None),
            Self::Value(value) => read(value).map(Some).ok_or(Nonsense),
            Self::Other => Err(Nonsense),
        }
    }
}

/// Reads `Mode`. `None` for a number that means nothing.
pub const fn switch(value: u32) -> Option<Switch> {
    match value {
        0 => Some(Switch::Off),
        1 => Some(Switch::On(Mode::Observe)),
        2 => Some(Switch::On(Mode::Enforce)),
        _ => None,
    }
}

/// Reads `PollSeconds`. `None` for 0 and for more than [`MAX_POLL_SECONDS`].
pub const fn poll_seconds(value: u32) -> Option<u32> {
    if value >= 1 && value <= MAX_POLL_SECONDS { Some(value) } else { None }
}

/// Reads `ExemptProtected`. `None` for anything but 0 and 1.
pub const fn flag(value: u32) -> Option<bool> {
    match value {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// True when `ContentDirectory` is a plain path below `\SystemRoot`: relative, not empty, without
/// `..` or `.` components, empty components, drive or stream colons, or wildcards.
pub fn is_directory(units: &[u16]) -> bool {
    !units.is_empty()
        && units.len() <= MAX_DIRECTORY_UNITS
        && units.split(|unit| *unit == u16::from(b'\\')).all(is_component)
}

fn is_component(units: &[u16]) -> bool {
    const FORBIDDEN: &[u8] = b"/:*?\"<>|";
    const DOT: u16 = 0x2E;
    !units.is_empty()
        && units.last() != Some(&DOT)
        && units
            .iter()
            .all(|unit| *unit >= 0x20 && !FORBIDDEN.iter().any(|bad| u16::from(*bad) == *unit))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    fn directory(path: &str) -> bool {
        is_directory(&path.encode_utf16().collect::<Vec<_>>())
    }

    #[test]
    fn accepts_a_path_below_the_system_root() {
        assert!(directory(r"System32\drivers\CrowdStrike"));
        assert!(directory("content"));
        assert!(directory(r"a\..b\c.d"));
    }

    #[test]
    fn refuses_a_path_that_leads_elsewhere() {
        for path in [
            "",
            r"\a",
            r"a\",
            r"a\\b",
            r"..\a",
            r"a\..\..\b",
            r"a\.",
            "C:",
            r"C:\x",
            "a:b",
            "a/b",
            "a*",
            "a?",
            "a\0b",
            "a\nb",
        ] {
            assert!(!directory(path), "{path:?}");
        }
        assert!(directory(&"a".repeat(MAX_DIRECTORY_UNITS)));
        assert!(!directory(&"a".repeat(MAX_DIRECTORY_UNITS + 1)));
    }

    #[test]
    fn numbers_have_bounds() {
        assert_eq!(switch(0), Some(Switch::Off));
        assert_eq!(switch(1), Some(Switch::On(Mode::Observe)));
        assert_eq!(switch(2), Some(Switch::On(Mode::Enforce)));
        assert_eq!(switch(3), None);
        assert_eq!(poll_seconds(0), None);
        assert_eq!(poll_seconds(1), Some(1));
        assert_eq!(poll_seconds(MAX_POLL_SECONDS), Some(MAX_POLL_SECONDS));
        assert_eq!(poll_seconds(MAX_POLL_SECONDS + 1), None);
    }

    const NOTHING: Parameters<Vec<u16>> = Parameters {
        mode: Found::Nothing,
        poll_seconds: Found::Nothing,
        exempt_protected: Found::Nothing,
        directory: Found::Nothing,
    };
    const DEFAULTS: Meaning<Vec<u16>> = Meaning {
        switch: Switch::On(Mode::Observe),
        poll_seconds: DEFAULT_POLL_SECONDS,
        exempt_protected: true,
        directory: None,
        refused: Refused::NONE,
    };

    #[test]
    fn what_is_not_there_has_its_default_and_is_not_refused() {
        assert_eq!(NOTHING.meaning(), DEFAULTS);
    }

    #[test]
    fn what_makes_sense_is_taken() {
        let directory: Vec<u16> = "content".encode_utf16().collect();
        let found = Parameters {
            mode: Found::Value(2),
            poll_seconds: Found::Value(60),
            exempt_protected: Found::Value(0),
            directory: Found::Value(directory.clone()),
        };
        let expected = Meaning {
            switch: Switch::On(Mode::Enforce),
            poll_seconds: 60,
            exempt_protected: false,
            directory: Some(directory),
            refused: Refused::NONE,
        };
        assert_eq!(found.meaning(), expected);
        let off = Parameters { mode: Found::Value(0), ..NOTHING };
        assert_eq!(off.meaning(), Meaning { switch: Switch::Off, ..DEFAULTS });
    }

    #[test]
    fn nonsense_is_refused_by_name_and_has_its_default() {
        let up: Vec<u16> = "..".encode_utf16().collect();
        let cases = [
            (Setting::Mode, Parameters { mode: Found::Value(3), ..NOTHING }),
            (Setting::Mode, Parameters { mode: Found::Other, ..NOTHING }),
            (Setting::PollSeconds, Parameters { poll_seconds: Found::Value(0), ..NOTHING }),
            (Setting::PollSeconds, Parameters { poll_seconds: Found::Other, ..NOTHING }),
            (Setting::ExemptProtected, Parameters { exempt_protected: Found::Value(2), ..NOTHING }),
            (Setting::ExemptProtected, Parameters { exempt_protected: Found::Other, ..NOTHING }),
            (Setting::ContentDirectory, Parameters { directory: Found::Value(up), ..NOTHING }),
            (Setting::ContentDirectory, Parameters { directory: Found::Other, ..NOTHING }),
        ];
        for (setting, parameters) in cases {
            let mut refused = Refused::NONE;
            refused.insert(setting);
            assert_eq!(parameters.meaning(), Meaning { refused, ..DEFAULTS }, "{setting:?}");
        }
    }

    #[test]
    fn a_flag_is_0_or_1() {
        assert_eq!([0, 1, 2, u32::MAX].map(flag), [Some(false), Some(true), None, None]);
    }
}
