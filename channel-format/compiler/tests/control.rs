//! Channel 0: what the driver's code accepts of it and refuses, and what it then means.

mod common;

use channel_compiler::control::{ControlError, ControlOptions, ControlSource};
use channel_compiler::{BuildOptions, SecretKey, SignError, attach_signature, build, sign};
use channel_format::anchor::Anchor;
use channel_format::control::{ChannelRule, Control, Trust};
use channel_format::frame::{FileId, Header, Signed, verify};
use channel_format::limits::SIGNED_LEN;
use channel_format::refusal::{Code, Refusal};
use channel_format::signature::{PublicKey, Role, sha512};
use common::{OPTIONS, blocking_key, rule, test_key};

const SOURCE: &str = "
keys:
  - {key: test, epochs: 1-2}
  - {key: blocking, epochs: 3}
channels:
  - {channel: 500}
  - {channel: 291, least-epoch: 1, floor: 1-5, rules: 1}
revoked:
  - {channel: 291, epoch: 1, through: 6}
files: []
";

const CONTROL: ControlOptions =
    ControlOptions { epoch: 0, sequence: 4, created: 1_721_361_600, expires: 0 };

fn roots() -> [SecretKey; 3] {
    [1, 2, 3].map(|seed| SecretKey::from_seed([seed; 32], Role::Root, false, 0..=0).unwrap())
}

fn anchor() -> Anchor {
    let public = roots().map(|key| key.public);
    Anchor::parse(&Anchor::encode(&public, 2, &[]).unwrap()).unwrap()
}

fn keys() -> [PublicKey; 2] {
    [test_key().public, blocking_key().public]
}

/// A control file of this text, signed by two roots.
fn control_file(text: &str) -> Vec<u8> {
    let mut file = ControlSource::parse(text).unwrap().build(&keys(), &CONTROL).unwrap();
    let [one, two, _] = roots();
    sign(&mut file, &one).unwrap();
    sign(&mut file, &two).unwrap();
    file
}

fn open(file: &[u8]) -> Result<Control<Vec<u8>>, Refusal> {
    Control::parse(verify(file, &anchor())?.body(file.to_vec())?)
}

/// The file with its digest and signatures made good again.
fn resigned(mut file: Vec<u8>) -> Vec<u8> {
    let length = (file.len() as u64).to_le_bytes();
    file[16..24].copy_from_slice(&length);
    let digest = sha512(&[&file[1024..]]);
    file[88..152].copy_from_slice(&digest);
    file[SIGNED_LEN..1024].fill(0);
    let [one, two, _] = roots();
    attach_signature(&mut file, &one).unwrap();
    attach_signature(&mut file, &two).unwrap();
    file
}

/// A content file at a position, by a key.
fn content(epoch: u32, sequence: u32, key: &SecretKey) -> Vec<u8> {
    let rules = [rule("    s: {PipeName: x}\n    condition: s")];
    let mut file = build(&rules, &BuildOptions { epoch, sequence, ..OPTIONS }).unwrap();
    sign(&mut file, key).unwrap();
    file
}

fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>) -> Code {
    result.unwrap_err().code
}

#[test]
fn the_golden_file_is_built_today_and_says_the_same() {
    let path = common::root().join("tests/golden/v0/C-00000000-00000000-00000004.sys");
    if std::env::var_os("SAKER_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, control_file(SOURCE)).unwrap();
    }
    let golden = std::fs::read(path).unwrap();
    assert!(golden == control_file(SOURCE), "it differs from what is built today");
    assert_eq!(
        open(&golden).unwrap().header().name().to_string(),
        "C-00000000-00000000-00000004.sys"
    );
}

#[test]
fn says_what_its_text_says() {
    let control = open(&control_file(SOURCE)).unwrap();
    let found: Vec<_> =
        control.keys().map(|key| (key.key, key.first_epoch, key.last_epoch)).collect();
    let mut expected = vec![(test_key().public, 1, 2), (blocking_key().public, 3, 3)];
    expected.sort_by_key(|(key, ..)| key.bytes);
    assert_eq!(found, expected);
    let pipes =
        ChannelRule { channel: 291, least_epoch: 1, floor: (1, 5), rules: 1, halted: false };
    let other = ChannelRule { channel: 500, ..ChannelRule::default() };
    assert_eq!(control.channels().collect::<Vec<_>>(), [pipes, other]);
    assert_eq!(control.ranges().count(), 1);
    assert_eq!(control.header().sequence, 4);
}

#[test]
fn a_key_signs_in_its_epochs_and_nowhere_else() {
    let (anchor, control) = (anchor(), open(&control_file(SOURCE)).unwrap());
    let trust = Trust { anchor: &anchor, control: Some(&control) };
    let by = |epoch, key| verify(&content(epoch, 9, &key), &trust);
    assert!(by(1, test_key()).is_ok() && by(2, test_key()).is_ok());
    assert!(by(3, blocking_key()).unwrap().may_block);
    for (epoch, key) in [(0, test_key()), (3, test_key()), (2, blocking_key())] {
        assert_eq!(refused(by(epoch, key)), Code::KeyEpoch);
    }
    // Without channel 0 the anchor's roots sign no content, and nobody else is known.
    let alone = Trust::<Vec<u8>> { anchor: &anchor, control: None };
    assert_eq!(refused(verify(&content(1, 9, &test_key()), &alone)), Code::UnknownSigner);
}

/// Whether a content file may come in, and whether it is served, with that text in force.
fn standing(text: &str, file: &[u8]) -> (Result<(), Code>, Result<(), Code>) {
    let (anchor, control) = (anchor(), open(&control_file(text)).unwrap());
    let trust = Trust { anchor: &anchor, control: Some(&control) };
    let signed: Signed = verify(file, &trust).unwrap();
    let code = |refusal: Refusal| refusal.code;
    (trust.admits(&signed).map_err(code), trust.serves(&signed).map_err(code))
}

#[test]
fn floors_halts_and_revocations() {
    let seven = content(1, 7, &test_key());
    let with = |channel: &str, more: &str| {
        format!("keys: [{{key: test, epochs: 0-9}}]\nchannels: [{{channel: 291{channel}}}]\n{more}")
    };
    let only_in = |code| (Err(code), Ok(()));
    let never = |code| (Err(code), Err(code));
    let id = FileId::of(&seven).0.map(|byte| format!("{byte:02x}")).concat();
    let cases = [
        (with("", ""), (Ok(()), Ok(()))),
        (with(", floor: 1-7", ""), (Ok(()), Ok(()))),
        (with(", floor: 1-8", ""), only_in(Code::BelowFloor)),
        (with(", floor: 2-0", ""), only_in(Code::BelowFloor)),
        (with(", rules: 1", ""), (Ok(()), Ok(()))),
        (with(", rules: 2", ""), only_in(Code::FewerRules)),
        (with(", halted: true", ""), only_in(Code::Halted)),
        (with(", least-epoch: 1", ""), (Ok(()), Ok(()))),
        (with(", least-epoch: 2", ""), never(Code::EpochRetired)),
        (with("", "revoked: [{channel: 291, epoch: 1, through: 6}]"), (Ok(()), Ok(()))),
        (with("", "revoked: [{channel: 291, epoch: 1, through: 7}]"), never(Code::Revoked)),
        (with("", "revoked: [{channel: 291, epoch: 2, through: 9}]"), (Ok(()), Ok(()))),
        (with("", "revoked: [{channel: 290, epoch: 1, through: 9}]"), (Ok(()), Ok(()))),
        (with("", &format!("files: [{id}]")), never(Code::Revoked)),
        (with("", &format!("files: [{}]", "00".repeat(32))), (Ok(()), Ok(()))),
    ];
    for (text, expected) in cases {
        assert_eq!(standing(&text, &seven), expected, "{text}");
    }
}

#[test]
fn a_revoked_file_stays_revoked_with_more_signatures_or_others() {
    let mut file = content(1, 7, &test_key());
    let id = FileId::of(&file);
    sign(&mut file, &blocking_key()).unwrap();
    assert_eq!(FileId::of(&file), id);
    assert_ne!(FileId::of(&content(1, 8, &test_key())), id);
}

#[test]
fn what_a_thief_signed_ends_with_the_epoch() {
    // The stolen key signed the greatest sequence there is; the next epoch has another key.
    let last = content(1, 99_999_999, &test_key());
    let text = "keys: [{key: test, epochs: 2}]\nchannels: [{channel: 291, least-epoch: 2}]";
    let (anchor, control) = (anchor(), open(&control_file(text)).unwrap());
    let trust = Trust { anchor: &anchor, control: Some(&control) };
    assert_eq!(refused(verify(&last, &trust)), Code::KeyEpoch);
    let next = verify(&content(2, 0, &test_key()), &trust).unwrap();
    assert_eq!(trust.admits(&next), Ok(()));
}

#[test]
fn texts_that_are_refused() {
    for text in [
        "",
        "keys: []",
        "keys: [{key: test}]",
        "keys: [{key: test, epochs: 2-1}]",
        "keys: [{key: test, epochs: x}]",
        "keys: [{key: test, epochs: 0-100000000}]",
        "keys: [{key: test, epochs: 1, may-block: true}]",
        "keys: [{key: test, epochs: 1}]\nchannels: [{channel: 0}]",
        "keys: [{key: test, epochs: 1}]\nchannels: [{channel: 1}, {channel: 1}]",
        "keys: [{key: test, epochs: 1}]\nchannels: [{channel: 1, rules: 65537}]",
        "keys: [{key: test, epochs: 1}]\nrevoked: [{channel: 1, epoch: 1}]",
        "keys: [{key: test, epochs: 1}]\nfiles: [12]",
        "keys: [{key: test, epochs: 1}]\nfiles: [zz00000000000000000000000000000000000000000000000000000000000000]",
        "keys: [{key: test, epochs: 1}]\nfile: []",
    ] {
        let built = ControlSource::parse(text).and_then(|source| source.build(&keys(), &CONTROL));
        assert!(built.is_err(), "{text}");
    }
    let twice = "keys: [{key: a, epochs: 1}, {key: b, epochs: 2}]";
    let same = [test_key().public, test_key().public];
    let built = ControlSource::parse(twice).unwrap().build(&same, &CONTROL);
    assert!(matches!(built, Err(ControlError::Twice(_))), "{built:?}");
}

#[test]
fn root_keys_must_be_as_many_as_the_anchor_asks() {
    let mut file = ControlSource::parse(SOURCE).unwrap().build(&keys(), &CONTROL).unwrap();
    assert_eq!(refused(open(&file)), Code::Unsigned);
    sign(&mut file, &roots()[2]).unwrap();
    assert_eq!(refused(open(&file)), Code::RootThreshold);
    sign(&mut file, &roots()[0]).unwrap();
    assert!(open(&file).is_ok());
}

#[test]
fn every_cut_and_every_changed_byte_of_the_body_is_read_without_a_panic() {
    let good = control_file(SOURCE);
    for cut in 0..good.len() {
        assert!(open(&good[..cut]).is_err(), "cut at {cut}");
    }
    // Behind the signature: what an accepted file says must be what a text can say.
    let mut accepted = 0;
    for at in (160..224).chain(1024..good.len()) {
        for flip in [1, 0x80, 0xFF] {
            let mut file = good.clone();
            file[at] ^= flip;
            if Header::parse(&file).is_err() {
                continue;
            }
            if let Ok(control) = open(&resigned(file)) {
                accepted += 1;
                assert!(control.keys().count() == 2 && control.channels().count() == 2);
                assert!(at >= 1024, "the directory has one form: byte {at}");
            }
        }
    }
    assert!(accepted > 0, "other numbers are other meanings, not faults");
}

#[test]
fn records_out_of_order_or_left_over_are_refused() {
    let good = control_file(SOURCE);
    let mut swapped = good.clone();
    swapped[1024..1024 + 112].rotate_left(56);
    assert_eq!(refused(open(&resigned(swapped))), Code::OutOfOrder);
    let mut channels = good.clone();
    channels[1136..1136 + 48].rotate_left(24);
    assert_eq!(refused(open(&resigned(channels))), Code::OutOfOrder);
    let mut longer = good.clone();
    longer.extend([0; 8]);
    assert_eq!(refused(open(&resigned(longer))), Code::TrailingBytes);
    let mut header = good.clone();
    header[52] = 1;
    assert_eq!(refused(open(&resigned(header))), Code::TooMany);
    let mut reserved = good;
    reserved[1024 + 20] = 1;
    assert_eq!(refused(open(&resigned(reserved))), Code::ReservedNotZero);
}

#[test]
fn a_root_key_signs_only_what_the_driver_takes() {
    let sound = ControlSource::parse(SOURCE).unwrap().build(&keys(), &CONTROL).unwrap();
    let mut spoilt = sound.clone();
    *spoilt.last_mut().unwrap() ^= 1;
    let before = spoilt.clone();
    let Err(SignError::Refused(refusal)) = sign(&mut spoilt, &roots()[0]) else { panic!("signed") };
    assert_eq!(refusal.code, Code::DigestMismatch);
    assert_eq!(spoilt, before);
    sign(&mut sound.clone(), &roots()[0]).unwrap();
}
