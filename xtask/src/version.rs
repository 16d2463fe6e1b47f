//! The driver's version resource, which Windows shows in a file's properties and a debugger with
//! `lmvm`: the bytes of a `.res` file, which `lld-link` takes as it takes an object.
//!
//! It depends on the project's version alone, so that two builds give the same bytes.

/// The texts that are shown.
const TEXTS: [(&str, &str); 7] = [
    ("CompanyName", "Saker"),
    ("FileDescription", "Saker named-pipe monitor"),
    ("FileVersion", env!("CARGO_PKG_VERSION")),
    ("InternalName", "saker.sys"),
    ("LegalCopyright", "MIT OR Apache-2.0"),
    ("OriginalFilename", "saker.sys"),
    ("ProductVersion", env!("CARGO_PKG_VERSION")),
];
/// English of the United States, in UTF-16.
const LANGUAGE: u16 = 0x0409;
const CODE_PAGE: u16 = 1200;

/// The whole `.res` file.
pub fn resource() -> Vec<u8> {
    const VERSION: u16 = 16;
    let info = information();
    // A file of this kind begins with an empty entry.
    let mut file = entry(0, 0, &[]);
    file.extend(entry(VERSION, 1, &info));
    file
}

fn entry(kind: u16, name: u16, data: &[u8]) -> Vec<u8> {
    const HEADER: u32 = 32;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let language = if data.is_empty() { 0 } else { LANGUAGE };
    let mut bytes = Vec::new();
    bytes.extend(length.to_le_bytes());
    bytes.extend(HEADER.to_le_bytes());
    // Numbers in the place of names begin with a unit that no name has.
    for number in [0xFFFF, kind, 0xFFFF, name] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend(0_u16.to_le_bytes());
    bytes.extend(language.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(data);
    pad(&mut bytes);
    bytes
}

/// `VS_VERSIONINFO`.
fn information() -> Vec<u8> {
    let texts = TEXTS.map(|(name, text)| {
        let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
        let length = u16::try_from(units.len()).unwrap_or(u16::MAX);
        let bytes: Vec<u8> = units.into_iter().flat_map(u16::to_le_bytes).collect();
        node(name, 1, length, &bytes, &[])
    });
    let table = format!("{LANGUAGE:04x}{CODE_PAGE:04x}");
    let texts = node("StringFileInfo", 1, 0, &[], &[node(&table, 1, 0, &[], &texts)]);
    let languages = [LANGUAGE.to_le_bytes(), CODE_PAGE.to_le_bytes()].concat();
    let languages = node("Translation", 0, 4, &languages, &[]);
    let languages = node("VarFileInfo", 1, 0, &[], &[languages]);
    let fixed = fixed();
    let length = u16::try_from(fixed.len()).unwrap_or(u16::MAX);
    node("VS_VERSION_INFO", 0, length, &fixed, &[texts, languages])
}

/// `VS_FIXEDFILEINFO`: a driver of the system's, for Windows NT.
fn fixed() -> Vec<u8> {
    let mut parts = env!("CARGO_PKG_VERSION").split('.').map(|part| part.parse().unwrap_or(0));
    let mut part = || -> u32 { parts.next().unwrap_or(0) };
    let (high, low) = (part() << 16 | part(), part() << 16);
    let numbers: [u32; 13] = [
        0xFEEF_04BD, // signature
        0x0001_0000, // version of this structure
        high,
        low, // of the file
        high,
        low,         // of the product
        0x3F,        // which flags are meant
        0,           // none is set
        0x0004_0004, // Windows NT, 32-bit API
        3,           // a driver
        7,           // of the system
        0,
        0, // no date
    ];
    numbers.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// One node: its length, its value's (in units for a text), its kind, key, value and children, each
/// at a multiple of 4.
fn node(key: &str, kind: u16, value_length: u16, value: &[u8], children: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![0; 2];
    bytes.extend(value_length.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend(key.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
    pad(&mut bytes);
    bytes.extend(value);
    for child in children {
        pad(&mut bytes);
        bytes.extend(child);
    }
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes();
    bytes[..2].copy_from_slice(&length);
    bytes
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8], at: usize) -> usize {
        usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
    }

    /// The keys of a node and of all below it, read by the lengths that stand in them.
    fn keys(bytes: &[u8], found: &mut Vec<String>) {
        let (length, value, kind) = (number(bytes, 0), number(bytes, 2), number(bytes, 4));
        assert_eq!(length, bytes.len());
        let units: Vec<u16> = bytes[6..].chunks(2).map(|unit| number(unit, 0) as u16).collect();
        let key: Vec<u16> = units.into_iter().take_while(|unit| *unit != 0).collect();
        found.push(String::from_utf16(&key).unwrap());
        let mut at = (6 + 2 * key.len() + 2).next_multiple_of(4);
        at += if kind == 1 { 2 * value } else { value };
        while at.next_multiple_of(4) < bytes.len() {
            at = at.next_multiple_of(4);
            let child = number(bytes, at);
            keys(&bytes[at..at + child], found);
            at += child;
        }
    }

    #[test]
    fn every_node_is_as_long_as_it_says() {
        let mut found = Vec::new();
        keys(&information(), &mut found);
        let mut expected = vec!["VS_VERSION_INFO", "StringFileInfo", "040904b0"];
        expected.extend(TEXTS.map(|(name, _)| name));
        expected.extend(["VarFileInfo", "Translation"]);
        assert_eq!(found, expected);
    }

    #[test]
    fn the_file_is_two_entries() {
        let file = resource();
        assert_eq!(file[..8], [0, 0, 0, 0, 32, 0, 0, 0]);
        assert_eq!(number(&file, 32), information().len());
        assert_eq!(file.len(), 64 + information().len().next_multiple_of(4));
    }

    /// The linker makes a section of it that another reader finds. Where there is no linker, a line
    /// says so.
    #[test]
    fn the_linker_takes_it() {
        let Some(linker) = crate::tools::find_program("lld-link") else {
            eprintln!("skipped: lld-link is not installed");
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("version.res"), resource()).unwrap();
        let mut command = std::process::Command::new(&linker);
        command.current_dir(dir.path());
        command.args(["/dll", "/noentry", "/machine:x64", "/out:a.dll", "version.res"]);
        assert!(command.status().unwrap().success());
        let bytes = std::fs::read(dir.path().join("a.dll")).unwrap();
        assert!(crate::inspect::Facts::read(&bytes).unwrap().has_version);
    }
}
