//! Who may sign what: signatures, the anchor, channel 0.

use channel_format::anchor::{Anchor, LEN};
use channel_format::control::{Control, RECORD_LENS, SECTION_KINDS, Trust};
use channel_format::frame::{FORMAT_VERSION, MAGIC, verify};
use channel_format::limits::HEADER_LEN;
use channel_format::refusal::Code;
use channel_format::signature::{self, PublicKey, Role};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::files::lies_within;
use crate::golden::{self, CONTENT, CONTROL, golden, make_good, verified};
use crate::input::Input;
use crate::target::Target;

/// The targets of this module.
pub const TARGETS: &[Target] = &[
    Target::new("signature", "a key, a signature and a message, beside ed25519-dalek", signature)
        .seeds(signatures)
        .longest(256),
    Target::new("anchor", "the anchor: read to the last bit", |bytes| _ = anchor(bytes))
        .seeds(|| vec![golden("anchor.bin")])
        .longest(LEN),
    Target::new("control", "channel 0 behind good signatures: parsed, and what it trusts", control)
        .seeds(controls)
        .longest(4_096),
];

/// A key, a signature and a message: ours and `ed25519-dalek`'s strict check say the same.
pub fn signature(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (key, signed): ([u8; 32], [u8; 64]) = (input.array(), input.array());
    let message = input.rest();
    let expected = VerifyingKey::from_bytes(&key)
        .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(&signed)).is_ok());
    assert_eq!(signature::verify(&key, &signed, &[message]), expected);
    let (front, back) = message.split_at(message.len() / 2);
    assert_eq!(signature::verify(&key, &signed, &[front, back]), expected, "a message in parts");
}

fn signatures() -> Vec<Vec<u8>> {
    let key = SigningKey::from_bytes(&[5; 32]);
    let good = |message: &[u8]| {
        let signature = key.sign(message).to_bytes();
        [&key.verifying_key().to_bytes()[..], &signature, message].concat()
    };
    // A key of small order verifies everything in a lax check: 1, with R = 1 and S = 0.
    let mut small = vec![0; 96];
    (small[0], small[32]) = (1, 1);
    vec![good(b""), good(b"Saker channel file header v0\0"), small]
}

/// An anchor is refused, or is what writing its keys gives. True if it is accepted.
pub fn anchor(bytes: &[u8]) -> bool {
    match Anchor::parse(bytes) {
        Err(refusal) => {
            lies_within(&refusal, LEN);
            false
        }
        Ok(anchor) => {
            let keys = anchor.keys().map(|(_, key)| key);
            let (roots, content): (Vec<_>, Vec<PublicKey>) =
                keys.partition(|key| key.role == Role::Root);
            let again = Anchor::encode(&roots, anchor.root_threshold(), &content);
            assert_eq!(again.expect("it was accepted")[..], bytes[..LEN]);
            for (id, key) in anchor.keys() {
                assert_eq!(anchor.find(id), Some(key));
            }
            true
        }
    }
}

/// Channel 0 from the numbers of its records and their bytes, behind good signatures.
pub fn control(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let file = assembled(input.array::<4>().map(u32::from), input.rest());
    check_control(&file);
}

/// Channel 0 is refused, at a place of it; or each record says all that its bytes do, and what it
/// admits it also serves. True if it is accepted.
pub fn check_control(file: &[u8]) -> bool {
    let anchor = golden::anchor();
    let control = match verified(file, anchor).and_then(Control::parse) {
        Ok(control) => control,
        Err(refusal) => {
            lies_within(&refusal, file.len().max(HEADER_LEN));
            return false;
        }
    };
    assert_eq!(control.bytes(), file);
    let lengths: usize = RECORD_LENS
        .into_iter()
        .zip([
            control.keys().count(),
            control.channels().count(),
            control.ranges().count(),
            control.files().count(),
        ])
        .map(|(length, count)| length as usize * count)
        .sum();
    assert_eq!(HEADER_LEN + lengths, file.len(), "a record was left out");
    for key in control.keys() {
        assert_eq!(key.key.role, Role::Content);
        assert!(key.first_epoch <= key.last_epoch && key.key.first_channel >= 1);
    }
    let trust = Trust { anchor, control: Some(&control) };
    let mut files = CONTENT.map(golden).to_vec();
    for range in control.ranges() {
        files.extend(
            [0, 1].map(|behind| renumbered(range.channel, range.epoch, range.through + behind)),
        );
    }
    for file in files {
        let signed = match verify(&file, &trust) {
            Ok(signed) => signed,
            // The fuzzer may know a key of this name, and give it fewer rights.
            Err(refusal) => {
                assert!(matches!(
                    refusal.code,
                    Code::KeyEpoch | Code::KeyChannel | Code::NameNumber
                ));
                continue;
            }
        };
        let header = signed.header;
        let served = trust.serves(&signed);
        if trust.admits(&signed).is_ok() {
            assert_eq!(served, Ok(()), "what comes in is served");
        }
        let revoked = control.ranges().any(|range| {
            (range.channel, range.epoch) == (header.channel, header.epoch)
                && header.sequence <= range.through
        });
        assert!(!(revoked && served.is_ok()), "a revoked file is served: {header:?}");
    }
    true
}

/// A golden file that says to be another one.
fn renumbered(channel: u32, epoch: u32, sequence: u32) -> Vec<u8> {
    let mut file = golden(CONTENT[0]);
    for (place, number) in [(24, channel), (28, epoch), (32, sequence)] {
        file[place..place + 4].copy_from_slice(&number.to_le_bytes());
    }
    make_good(&mut file);
    file
}

/// A control file with so many records of each kind, from these bytes and then zeros.
fn assembled(counts: [u32; 4], mut records: &[u8]) -> Vec<u8> {
    let mut file = vec![0; HEADER_LEN];
    file[..8].copy_from_slice(&MAGIC);
    file[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    file[10..12].copy_from_slice(&1024_u16.to_le_bytes());
    file[152] = 4;
    for (place, ((kind, size), count)) in
        SECTION_KINDS.into_iter().zip(RECORD_LENS).zip(counts).enumerate()
    {
        let length = size * count;
        let entry = 160 + 16 * place;
        for (at, number) in [(0, u32::from(kind)), (4, size), (8, file.len() as u32), (12, length)]
        {
            file[entry + at..entry + at + 4].copy_from_slice(&number.to_le_bytes());
        }
        let (taken, rest) = records.split_at(records.len().min(length as usize));
        file.extend(taken);
        file.resize(file.len() + length as usize - taken.len(), 0);
        records = rest;
    }
    make_good(&mut file);
    file
}

/// The golden file's records, and one of nothing but a key.
fn controls() -> Vec<Vec<u8>> {
    let file = golden(CONTROL);
    let length = |place: usize| {
        let at = 160 + 16 * place + 12;
        u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"))
    };
    let counts: Vec<u8> = RECORD_LENS
        .into_iter()
        .enumerate()
        .map(|(place, size)| (length(place) / size) as u8)
        .collect();
    let golden = [&counts, &file[HEADER_LEN..]].concat();
    let mut key = vec![1, 0, 0, 0, 2, 1, 0, 0];
    for number in [1, 291, 0, 9, 0_u32] {
        key.extend(number.to_le_bytes());
    }
    key.extend(golden::content_key().public.bytes);
    vec![golden, key]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_of_channel_0_are_accepted() {
        for seed in controls() {
            let mut input = Input::new(&seed);
            let file = assembled(input.array::<4>().map(u32::from), input.rest());
            verified(&file, golden::anchor()).and_then(Control::parse).expect("a sound file");
        }
    }
}
