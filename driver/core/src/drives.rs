//! How a device path is spelled with a drive letter.
//!
//! Rules are written for `C:\Windows\…`; the kernel knows `\Device\HarddiskVolume3\Windows\…`. One
//! worker keeps the table, callbacks only read it.

/// Letters `A` to `Z`.
pub const LETTERS: usize = 26;
/// The longest device name kept, in UTF-16 units; a longer one has no letter for us.
pub const MAX_DEVICE_UNITS: usize = 64;

/// The device behind one letter.
#[derive(Clone, Copy, Debug)]
struct Device {
    units: [u16; MAX_DEVICE_UNITS],
    len: u16,
}

impl Device {
    const NONE: Self = Self { units: [0; MAX_DEVICE_UNITS], len: 0 };

    fn name(&self) -> &[u16] {
        self.units.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

/// Which device each drive letter names.
#[derive(Clone, Debug)]
pub struct DriveTable {
    devices: [Device; LETTERS],
}

impl DriveTable {
    /// No letter names anything.
    pub const EMPTY: Self = Self { devices: [Device::NONE; LETTERS] };

    /// Notes that letter number `letter` (0 = `A`) names `device`, an NT path without a trailing
    /// backslash. False when either is out of range; then the letter names nothing.
    pub fn set(&mut self, letter: usize, device: &[u16]) -> bool {
        let Some(slot) = self.devices.get_mut(letter) else {
            return false;
        };
        slot.len = 0;
        if device.is_empty() || device.len() > MAX_DEVICE_UNITS {
            return false;
        }
        for (to, from) in slot.units.iter_mut().zip(device) {
            *to = *from;
        }
        slot.len = u16::try_from(device.len()).unwrap_or(0);
        true
    }

    /// True when some letter names a device.
    pub fn is_filled(&self) -> bool {
        self.devices.iter().any(|device| device.len != 0)
    }

    /// True when the tables name the same devices.
    pub fn is_same(&self, other: &Self) -> bool {
        self.devices.iter().zip(&other.devices).all(|(a, b)| a.name() == b.name())
    }

    /// Spells `path` with its drive letter, in place: the end of the device's name is written
    /// over with `C:` and the rest of the slice returned. A path of a device without a letter is
    /// returned as it came.
    pub fn spell<'p>(&self, path: &'p mut [u16]) -> &'p [u16] {
        let found = self.devices.iter().zip(u16::from(b'A')..).find_map(|(device, letter)| {
            let name = device.name();
            let rest = path.get(name.len()..)?;
            let below = rest.first() == Some(&u16::from(b'\\'));
            let same = path.iter().zip(name).all(|(a, b)| lower(*a) == lower(*b));
            (below && same && name.len() >= 2).then_some((letter, name.len()))
        });
        let Some((letter, device_len)) = found else {
            return path;
        };
        let Some(spelled) = device_len.checked_sub(2).and_then(|start| path.get_mut(start..))
        else {
            return &[];
        };
        for (to, from) in spelled.iter_mut().zip([letter, u16::from(b':')]) {
            *to = from;
        }
        spelled
    }
}

/// Device names compare without regard to ASCII case, as the object manager compares them.
const fn lower(unit: u16) -> u16 {
    if unit >= 0x41 && unit <= 0x5A { unit | 0x20 } else { unit }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::String;
    use std::vec::Vec;

    use super::*;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn table() -> DriveTable {
        let mut table = DriveTable::EMPTY;
        assert!(table.set(2, &units(r"\Device\HarddiskVolume3")));
        assert!(table.set(3, &units(r"\Device\HarddiskVolume31")));
        table
    }

    fn spell(path: &str) -> String {
        let mut path = units(path);
        String::from_utf16(table().spell(&mut path)).unwrap()
    }

    #[test]
    fn a_device_with_a_letter_is_spelled_with_it() {
        assert_eq!(spell(r"\Device\HarddiskVolume3\Windows\a.exe"), r"C:\Windows\a.exe");
        assert_eq!(spell(r"\Device\HarddiskVolume31\b.exe"), r"D:\b.exe");
        assert_eq!(spell(r"\device\harddiskVOLUME3\c"), r"C:\c");
        assert_eq!(spell(r"\Device\HarddiskVolume3\"), r"C:\");
    }

    #[test]
    fn other_paths_stay_as_they_came() {
        for path in [
            r"\Device\HarddiskVolume5\a.exe",
            r"\Device\Mup\server\share\a.exe",
            r"\Device\HarddiskVolume3",
            r"\Device\HarddiskVolume32\x",
            "",
            "System",
        ] {
            assert_eq!(spell(path), path);
        }
    }

    #[test]
    fn a_letter_can_lose_its_device() {
        let mut table = table();
        assert!(table.is_filled());
        assert!(!table.set(2, &[]));
        assert!(!table.set(3, &[1; MAX_DEVICE_UNITS + 1]));
        assert!(!table.set(LETTERS, &units("x")));
        assert!(!table.is_filled());
        assert!(table.is_same(&DriveTable::EMPTY));
    }

    #[test]
    fn a_name_of_one_unit_has_no_room_for_a_letter_and_is_left_alone() {
        let mut table = DriveTable::EMPTY;
        assert!(table.set(0, &units("x")));
        let mut path = units(r"x\y");
        assert_eq!(table.spell(&mut path), units(r"x\y"));
    }
}
