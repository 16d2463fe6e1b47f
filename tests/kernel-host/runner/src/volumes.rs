//! The volumes of the machine, and how a log's image paths are spelled on it.
//!
//! A log says `C:\Windows\a.exe`; the kernel gives a driver `\Device\HarddiskVolume3\Windows\a.exe`.
//! Every letter that occurs gets a volume; a path that is spelled for the kernel already stays as
//! it is.

use std::collections::BTreeMap;
use std::str::FromStr;

/// One volume given on the command line: `HarddiskVolume7=D`, or `HarddiskVolume7=` for a volume
/// without a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeArg {
    /// The device's name without `\Device\`.
    pub device: String,
    /// Its letter, if it has one.
    pub letter: Option<char>,
}

impl FromStr for VolumeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (device, letter) =
            text.split_once('=').ok_or("write DEVICE=LETTER, or DEVICE= for none")?;
        if device.is_empty() || !device.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(format!("{device:?} is not a device name such as HarddiskVolume3"));
        }
        let letter = match letter.as_bytes() {
            [] => None,
            [letter] if letter.is_ascii_alphabetic() => {
                Some(char::from(letter.to_ascii_uppercase()))
            }
            _ => return Err(format!("{letter:?} is not a drive letter")),
        };
        Ok(Self { device: device.to_owned(), letter })
    }
}

/// The machine's volumes.
#[derive(Clone, Debug)]
pub struct Volumes {
    letters: BTreeMap<char, String>,
    letterless: Vec<String>,
}

impl Volumes {
    /// `C` on `HarddiskVolume3`, changed and added to by the arguments.
    pub fn new(arguments: &[VolumeArg]) -> Self {
        let mut volumes = Self { letters: BTreeMap::new(), letterless: Vec::new() };
        for VolumeArg { device, letter } in arguments {
            match letter {
                Some(letter) => {
                    volumes.letters.insert(*letter, device.clone());
                }
                None => volumes.letterless.push(device.clone()),
            }
        }
        // The system's own volume must be somewhere, with or without its letter.
        if !volumes.letters.contains_key(&'C') && !volumes.letterless.contains(&SYSTEM.to_owned()) {
            volumes.letters.insert('C', SYSTEM.to_owned());
        }
        volumes
    }

    /// Each device with its letter.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<char>)> {
        let lettered = self.letters.iter().map(|(letter, device)| (device.as_str(), Some(*letter)));
        lettered.chain(self.letterless.iter().map(|device| (device.as_str(), None)))
    }

    /// Adds a volume for every letter that `paths` use.
    pub fn cover<'p>(&mut self, paths: impl Iterator<Item = &'p [u16]>) {
        for path in paths {
            let Some((letter, _)) = split_letter(path) else {
                continue;
            };
            let number = 10 + u32::from(letter) - u32::from('A');
            self.letters.entry(letter).or_insert_with(|| format!("HarddiskVolume{number}"));
        }
    }

    /// `path` as the kernel spells it.
    pub fn to_kernel(&self, path: &[u16]) -> Vec<u16> {
        match split_letter(path).and_then(|(letter, rest)| Some((self.letters.get(&letter)?, rest)))
        {
            Some((device, rest)) => {
                let mut spelled: Vec<u16> = format!(r"\Device\{device}").encode_utf16().collect();
                spelled.extend_from_slice(rest);
                spelled
            }
            None => path.to_vec(),
        }
    }
}

/// Where the system volume is unless the arguments say otherwise.
const SYSTEM: &str = "HarddiskVolume3";

/// The letter of a path such as `C:\…` and what follows the colon.
fn split_letter(path: &[u16]) -> Option<(char, &[u16])> {
    const COLON: u16 = b':' as u16;
    const BACKSLASH: u16 = b'\\' as u16;
    match path {
        [letter, COLON, rest @ ..] if rest.first() == Some(&BACKSLASH) => {
            let letter = char::from_u32(u32::from(*letter))?;
            letter.is_ascii_alphabetic().then(|| (letter.to_ascii_uppercase(), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn kernel(volumes: &Volumes, path: &str) -> String {
        String::from_utf16(&volumes.to_kernel(&wide(path))).unwrap()
    }

    #[test]
    fn a_letter_is_spelled_as_its_device() {
        let mut volumes = Volumes::new(&[]);
        volumes.cover([wide(r"e:\x").as_slice()].into_iter());
        assert_eq!(kernel(&volumes, r"C:\Windows\a.exe"), r"\Device\HarddiskVolume3\Windows\a.exe");
        assert_eq!(kernel(&volumes, r"c:\a"), r"\Device\HarddiskVolume3\a");
        assert_eq!(kernel(&volumes, r"E:\a"), r"\Device\HarddiskVolume14\a");
    }

    #[test]
    fn other_paths_stay() {
        let volumes = Volumes::new(&[]);
        for path in ["System", r"\Device\HarddiskVolume9\a", r"\\server\share\a", "C:a", ""] {
            assert_eq!(kernel(&volumes, path), path);
        }
    }

    #[test]
    fn arguments_move_and_unletter_volumes() {
        let volumes = Volumes::new(&[
            "HarddiskVolume9=D".parse().unwrap(),
            "HarddiskVolume3=".parse().unwrap(),
        ]);
        let all: Vec<_> = volumes.iter().collect();
        assert_eq!(all, [("HarddiskVolume9", Some('D')), ("HarddiskVolume3", None)]);
        assert_eq!(kernel(&volumes, r"C:\a"), r"C:\a");
    }

    #[test]
    fn a_bad_argument_is_refused() {
        for text in ["", "HarddiskVolume3", "=C", "a b=C", "x=CD", "x=1"] {
            assert!(text.parse::<VolumeArg>().is_err(), "{text:?}");
        }
    }
}
