//! The golden file with one thing in it changed behind a good signature, and the code with which it
//! is then refused.

use channel_compiler::incident::resign;
use channel_format::frame::Header;
use channel_format::refusal::Code;
use channel_format::ruleset::SectionKind;
use channel_format::schema::SensorProfile;

use super::{open, root, section, test_key};

/// The golden file for today's sensor.
pub fn golden() -> Vec<u8> {
    std::fs::read(root().join("tests/golden/v0/C-00000291-00000001-00000007.sys")).unwrap()
}

/// The code with which the golden file is refused after `change`.
#[track_caller]
pub fn code(change: impl FnOnce(&mut Vec<u8>)) -> Code {
    let mut file = golden();
    change(&mut file);
    // A header that cannot be read cannot be signed either, and is refused before that matters.
    let _ = resign(&mut file, &test_key());
    refusal_of(&file)
}

/// Where a section starts.
pub fn start(kind: SectionKind) -> usize {
    section(&golden(), kind).start
}

/// Refused after these bytes are written at a place of a section.
#[track_caller]
pub fn refused(kind: SectionKind, at: usize, bytes: &[u8], expected: Code) {
    let at = start(kind) + at;
    let found = code(|file| file[at..at + bytes.len()].copy_from_slice(bytes));
    assert_eq!(found, expected, "{kind:?} {bytes:x?}");
}

/// Refused after the content of a section was changed, and all around it made to fit.
#[track_caller]
pub fn refused_section(kind: SectionKind, change: impl FnOnce(&mut Vec<u8>), expected: Code) {
    let golden = golden();
    let mut content = golden[section(&golden, kind)].to_vec();
    change(&mut content);
    let file = with_section(&golden, kind, &content);
    assert_eq!(refusal_of(&file), expected, "{kind:?}");
}

#[track_caller]
fn refusal_of(file: &[u8]) -> Code {
    match open(file, &test_key(), &SensorProfile::CURRENT) {
        Err(refusal) => refusal.code,
        Ok(_) => panic!("the file is accepted"),
    }
}

/// A file with another content of one section, and everything around it made to fit.
pub fn with_section(original: &[u8], kind: SectionKind, content: &[u8]) -> Vec<u8> {
    let header = Header::parse(original).unwrap();
    let mut file = original[..1024].to_vec();
    for (place, entry) in header.sections.iter().enumerate() {
        let range = entry.offset as usize..(entry.offset + entry.length) as usize;
        let bytes = if entry.kind == kind.number() { content } else { &original[range] };
        file.resize(file.len().next_multiple_of(8), 0);
        let entry = 160 + place * 16;
        let offset = (file.len() as u32).to_le_bytes();
        file[entry + 8..entry + 12].copy_from_slice(&offset);
        file[entry + 12..entry + 16].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        file.extend(bytes);
    }
    let length = (file.len() as u64).to_le_bytes();
    file[16..24].copy_from_slice(&length);
    resign(&mut file, &test_key()).unwrap();
    file
}
