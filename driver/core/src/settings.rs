//! What the service parameters mean, with safe defaults and bounds.
//!
//! A value that makes no sense is refused loudly and replaced by its default: nonsense in the
//! registry can make the sensor quieter or slower, never stop the machine.

use driver_abi::Mode;

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
}
