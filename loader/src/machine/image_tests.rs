//! A made image and the built driver: what is changed, what is refused, and cuts at every byte.

use std::path::PathBuf;

use super::*;

const PE_HEADER: usize = 0x40;
const FILE_HEADER: usize = PE_HEADER + 4;
const OPTIONAL: usize = FILE_HEADER + 20;
const CERTIFICATES: usize = OPTIONAL + 112 + 4 * 8;
const SECTIONS: usize = OPTIONAL + 240;
const ANCHOR_HEADER: usize = SECTIONS + 40;
const ANCHOR: usize = 0x400;

/// The least image that has all that is looked at: headers, `.text` and `.anchor`.
fn made() -> Vec<u8> {
    let mut bytes = vec![0; ANCHOR + ANCHOR_LEN];
    put(&mut bytes, 0, b"MZ");
    put32(&mut bytes, PE_AT, PE_HEADER as u32);
    put(&mut bytes, PE_HEADER, b"PE\0\0");
    put(&mut bytes, FILE_HEADER, &0x8664_u16.to_le_bytes());
    put(&mut bytes, FILE_HEADER + 2, &2_u16.to_le_bytes());
    put(&mut bytes, FILE_HEADER + 16, &240_u16.to_le_bytes());
    put(&mut bytes, OPTIONAL, &0x20B_u16.to_le_bytes());
    put32(&mut bytes, OPTIONAL + 32, 0x1000);
    put32(&mut bytes, OPTIONAL + 36, 0x200);
    put32(&mut bytes, OPTIONAL + 56, 0x3000);
    put32(&mut bytes, OPTIONAL + 60, 0x200);
    put(&mut bytes, OPTIONAL + 68, &1_u16.to_le_bytes());
    put32(&mut bytes, OPTIONAL + 108, 16);
    for (at, name, memory, length, offset) in [
        (SECTIONS, *b".text\0\0\0", 0x1000, 0x10, 0x200),
        (ANCHOR_HEADER, *b".anchor\0", 0x2000, ANCHOR_LEN as u32, ANCHOR as u32),
    ] {
        put(&mut bytes, at, &name);
        put32(&mut bytes, at + 8, length);
        put32(&mut bytes, at + 12, memory);
        put32(&mut bytes, at + 16, length.next_multiple_of(0x200));
        put32(&mut bytes, at + 20, offset);
    }
    bytes[0x200..0x210].fill(0xCC);
    bytes
}

/// The same, stamped with something or as linked, with a signature's place or without.
pub(super) fn made_driver(is_stamped: bool, is_signed: bool) -> Vec<u8> {
    let mut bytes = made();
    bytes[ANCHOR] = u8::from(is_stamped);
    if is_signed {
        put32(&mut bytes, CERTIFICATES, 0x800);
    }
    bytes
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn put32(bytes: &mut [u8], at: usize, value: u32) {
    put(bytes, at, &value.to_le_bytes());
}

/// What parsing says of the made image with one change.
fn refused(change: impl FnOnce(&mut Vec<u8>)) -> ImageError {
    let mut bytes = made();
    change(&mut bytes);
    Image::parse(&bytes).map(drop).unwrap_err()
}

/// The built driver. `None`, with a line that says so, where it has not been built.
fn driver() -> Option<Vec<u8>> {
    let workspace = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let folder = std::env::var_os("SAKER_ARTIFACTS")
        .map_or_else(|| workspace.join("target/saker"), PathBuf::from);
    let path = folder.join("saker.sys");
    let bytes = std::fs::read(&path).ok();
    let required = std::env::var_os("SAKER_REQUIRE_ARTIFACTS").is_some_and(|value| value == "1");
    assert!(bytes.is_some() || !required, "{} is missing", path.display());
    if bytes.is_none() {
        eprintln!("skipped: {} is not built; run cargo xtask test", path.display());
    }
    bytes
}

#[test]
fn only_the_anchor_and_the_checksum_change() {
    let bytes = made();
    let image = Image::parse(&bytes).unwrap();
    assert!(image.is_blank());
    let stamped = image.stamped(&[0xA5; ANCHOR_LEN]);
    let again = Image::parse(&stamped).unwrap();
    assert!(!again.is_blank());
    assert_eq!(again.anchor(), [0xA5; ANCHOR_LEN]);
    for (at, (old, new)) in bytes.iter().zip(&stamped).enumerate() {
        let may = image.anchor.contains(&at) || image.checksum.contains(&at);
        assert!(may || old == new, "byte {at} has changed");
    }
    assert_eq!(stamped.len(), bytes.len());
    // Taken back, it is what it would have been had it been stamped with zeros at once.
    assert_eq!(again.stamped(&[0; ANCHOR_LEN]), image.stamped(&[0; ANCHOR_LEN]));
}

#[test]
fn the_checksum_by_hand() {
    assert_eq!(checksum(&[]), 0);
    assert_eq!(checksum(&[1, 2, 3]), 0x0201 + 3 + 3);
    // The carry comes back at the other end.
    assert_eq!(checksum(&[0xFF, 0xFF, 2, 0]), 2 + 4);
}

#[test]
fn the_linker_and_this_agree_on_the_checksum() {
    let Some(bytes) = driver() else { return };
    let image = Image::parse(&bytes).unwrap();
    assert!(image.is_blank());
    assert_eq!(image.stamped(&[0; ANCHOR_LEN]), bytes);
}

#[test]
fn what_is_no_driver_is_refused() {
    assert!(matches!(refused(Vec::clear), ImageError::NotAnImage(_)));
    assert!(matches!(refused(|bytes| bytes[0] = 0), ImageError::NotAnImage(_)));
    assert!(matches!(refused(|bytes| bytes.fill(0)), ImageError::NotAnImage(_)));
    // A 32-bit image.
    assert!(matches!(refused(|bytes| bytes[OPTIONAL] = 0x0B + 1), ImageError::NotAnImage(_)));
    assert!(matches!(
        refused(|bytes| put(bytes, OPTIONAL, &0x10B_u16.to_le_bytes())),
        ImageError::NotAnImage(_)
    ));
    let arm = refused(|bytes| put(bytes, FILE_HEADER, &0x1C4_u16.to_le_bytes()));
    assert_eq!(arm, ImageError::Machine(0x1C4));
    assert_eq!(refused(|bytes| bytes[OPTIONAL + 68] = 3), ImageError::Subsystem(3));
}

#[test]
fn either_processor_is_taken_and_told() {
    for machine in [0x8664_u16, 0xAA64] {
        let mut bytes = made();
        put(&mut bytes, FILE_HEADER, &machine.to_le_bytes());
        assert_eq!(Image::parse(&bytes).unwrap().machine(), machine);
    }
}

#[test]
fn a_signed_image_is_read_and_not_stamped() {
    let bytes = made_driver(true, true);
    let image = Image::read(&bytes).unwrap();
    assert!(image.is_signed() && !image.is_blank());
    assert_eq!(Image::parse(&bytes).map(drop), Err(ImageError::Signed));
}

#[test]
fn a_signed_image_is_refused() {
    assert_eq!(refused(|bytes| put32(bytes, CERTIFICATES, 0x800)), ImageError::Signed);
    assert_eq!(refused(|bytes| put32(bytes, CERTIFICATES + 4, 8)), ImageError::Signed);
}

#[test]
fn an_anchor_that_is_not_one_is_refused() {
    assert_eq!(refused(|bytes| bytes[ANCHOR_HEADER] = b'_'), ImageError::Anchors(0));
    assert_eq!(refused(|bytes| bytes[ANCHOR_HEADER + 7] = b'2'), ImageError::Anchors(0));
    assert_eq!(refused(|bytes| put(bytes, SECTIONS, b".anchor\0")), ImageError::Anchors(2));
    for size in [0, 1023, 1025, u32::MAX] {
        let error = refused(|bytes| put32(bytes, ANCHOR_HEADER + 8, size));
        assert_eq!(error, ImageError::AnchorSize(size));
    }
    for length in [0, 512, 1023] {
        let error = refused(|bytes| put32(bytes, ANCHOR_HEADER + 16, length));
        assert_eq!(error, ImageError::AnchorPlace { offset: ANCHOR as u32, length });
    }
    for offset in [0, 0x1FF, ANCHOR as u32 + 1, u32::MAX - 100, u32::MAX] {
        let error = refused(|bytes| put32(bytes, ANCHOR_HEADER + 20, offset));
        assert_eq!(error, ImageError::AnchorPlace { offset, length: 1024 });
    }
}

#[test]
fn every_cut_is_refused() {
    let bytes = made();
    for cut in 0..bytes.len() {
        assert!(Image::parse(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let Some(bytes) = driver() else { return };
    let image = Image::parse(&bytes).unwrap();
    for cut in (0..0x400).chain((0x400..image.anchor.end).step_by(509)) {
        assert!(Image::parse(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn any_header_byte_may_be_anything() {
    let good = made();
    for at in 0..ANCHOR {
        for value in [0, 1, 0x7F, 0x80, 0xFF] {
            let mut bytes = good.clone();
            bytes[at] = value;
            if let Ok(image) = Image::parse(&bytes) {
                assert_eq!(image.stamped(&[1; ANCHOR_LEN]).len(), bytes.len());
            }
        }
    }
}
