//! Writes small event logs: one chunk, plain elements without templates.

const CHUNK_LEN: usize = 1 << 16;
const CHUNK_HEADER_LEN: usize = 512;
const FILE_HEADER_LEN: usize = 4096;

/// An event log with one record an entry: its event id and its named data.
pub fn log(records: &[(&str, &[(&str, &str)])]) -> Vec<u8> {
    let mut chunk = vec![0; CHUNK_HEADER_LEN];
    let mut last = CHUNK_HEADER_LEN;
    for (number, (event_id, data)) in records.iter().enumerate() {
        last = chunk.len();
        push_record(&mut chunk, number as u64 + 1, event_id, data);
    }
    let free = chunk.len();
    assert!(free < CHUNK_LEN, "one chunk only");
    let count = records.len() as u64;

    let mut header = Vec::new();
    header.extend(b"ElfChnk\0");
    // First and last record, by number and by identifier.
    for number in [1, count, 1, count] {
        header.extend(number.to_le_bytes());
    }
    header.extend([128_u32, last as u32, free as u32].map(u32::to_le_bytes).concat());
    chunk[..header.len()].copy_from_slice(&header);
    // Chunk flag "no CRC32".
    chunk[120] = 4;
    chunk.resize(CHUNK_LEN, 0);

    let mut file = Vec::new();
    file.extend(b"ElfFile\0");
    file.extend([0, 0, count + 1].map(u64::to_le_bytes).concat());
    file.extend(128_u32.to_le_bytes());
    file.extend([1_u16, 3, 4096, 1].map(u16::to_le_bytes).concat());
    file.resize(FILE_HEADER_LEN, 0);
    file.extend(chunk);
    file
}

fn push_record(chunk: &mut Vec<u8>, id: u64, event_id: &str, data: &[(&str, &str)]) {
    let start = chunk.len();
    chunk.extend(b"\x2A\x2A\0\0");
    chunk.extend(0_u32.to_le_bytes());
    chunk.extend(id.to_le_bytes());
    chunk.extend(133_000_000_000_000_000_u64.to_le_bytes());
    chunk.extend([0x0F, 1, 1, 0]);
    element(chunk, "Event", None, |chunk| {
        element(chunk, "System", None, |chunk| {
            element(chunk, "EventID", None, |chunk| value(chunk, event_id));
        });
        element(chunk, "EventData", None, |chunk| {
            for (name, text) in data {
                element(chunk, "Data", Some(name), |chunk| value(chunk, text));
            }
        });
    });
    chunk.push(0);
    let len = (chunk.len() - start + 4) as u32;
    chunk.extend(len.to_le_bytes());
    chunk[start + 4..start + 8].copy_from_slice(&len.to_le_bytes());
}

/// One element, with a `Name` attribute if there is a name.
fn element(chunk: &mut Vec<u8>, tag: &str, name: Option<&str>, content: impl FnOnce(&mut Vec<u8>)) {
    chunk.push(if name.is_some() { 0x41 } else { 0x01 });
    let len_at = chunk.len();
    chunk.extend([0; 4]);
    inline_name(chunk, tag);
    if let Some(name) = name {
        let list_at = chunk.len();
        chunk.extend([0; 4]);
        chunk.push(0x06);
        inline_name(chunk, "Name");
        value(chunk, name);
        patch_len(chunk, list_at);
    }
    chunk.push(0x02);
    content(chunk);
    chunk.push(0x04);
    patch_len(chunk, len_at);
}

fn patch_len(chunk: &mut [u8], at: usize) {
    let len = (chunk.len() - at - 4) as u32;
    chunk[at..at + 4].copy_from_slice(&len.to_le_bytes());
}

/// A name, stored where it is first used: its offset points right behind itself.
fn inline_name(chunk: &mut Vec<u8>, name: &str) {
    let offset = (chunk.len() + 4) as u32;
    chunk.extend(offset.to_le_bytes());
    chunk.extend(0_u32.to_le_bytes());
    let hash = name
        .encode_utf16()
        .fold(0_u32, |hash, unit| hash.wrapping_mul(65_599).wrapping_add(unit.into()));
    chunk.extend((hash as u16).to_le_bytes());
    utf16(chunk, name);
    chunk.extend([0; 2]);
}

fn value(chunk: &mut Vec<u8>, text: &str) {
    chunk.extend([0x05, 0x01]);
    utf16(chunk, text);
}

fn utf16(chunk: &mut Vec<u8>, text: &str) {
    let units: Vec<u16> = text.encode_utf16().collect();
    chunk.extend((units.len() as u16).to_le_bytes());
    chunk.extend(units.into_iter().flat_map(u16::to_le_bytes));
}
