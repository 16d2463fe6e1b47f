//! The anchor: what it accepts, and what it refuses when cut or changed at any byte.

use channel_format::anchor::Anchor;
use channel_format::limits::ANCHOR_LEN;
use channel_format::refusal::Code;
use channel_format::signature::{KeyId, PublicKey, Role};

fn root(byte: u8) -> PublicKey {
    let (first_channel, last_channel) = (0, 0);
    PublicKey { role: Role::Root, may_block: false, first_channel, last_channel, bytes: [byte; 32] }
}

fn content(byte: u8) -> PublicKey {
    PublicKey {
        role: Role::Content,
        may_block: true,
        first_channel: 1,
        last_channel: 400,
        bytes: [byte; 32],
    }
}

#[test]
fn reads_what_it_writes() {
    let roots = [root(1), root(2), root(3)];
    let bytes = Anchor::encode(&roots, 2, &[content(4)]).unwrap();
    let anchor = Anchor::parse(&bytes).unwrap();
    assert_eq!(anchor.root_threshold(), 2);
    assert!(anchor.has_test_keys());
    for key in [root(1), root(3), content(4)] {
        assert_eq!(anchor.find(key.id()), Some(key));
    }
    assert_eq!(anchor.find(KeyId([0; 16])), None);
    let packaged = Anchor::parse(&Anchor::encode(&roots, 2, &[]).unwrap()).unwrap();
    assert!(!packaged.has_test_keys());
    assert_eq!(packaged.keys().count(), 3);
}

#[test]
fn refuses_the_anchor_as_linked() {
    assert_eq!(Anchor::parse(&[0; ANCHOR_LEN]).unwrap_err().code, Code::NoAnchor);
}

#[test]
fn refuses_an_anchor_cut_at_every_byte() {
    let bytes = Anchor::encode(&[root(1)], 1, &[content(4)]).unwrap();
    for cut in 0..ANCHOR_LEN {
        assert_eq!(Anchor::parse(&bytes[..cut]).unwrap_err().code, Code::BadAnchor);
    }
}

#[test]
fn every_changed_byte_is_refused_or_is_another_key() {
    let keys = [root(1), content(4)];
    let bytes = Anchor::encode(&keys[..1], 1, &keys[1..]).unwrap();
    for place in 0..ANCHOR_LEN {
        for change in [1, 0x80, 0xff] {
            let mut changed = bytes;
            changed[place] ^= change;
            if let Ok(anchor) = Anchor::parse(&changed) {
                let known = keys.iter().filter(|key| anchor.find(key.id()).is_some()).count();
                assert!(known < 2, "byte {place} means nothing");
            }
        }
    }
}

#[test]
fn refuses_contradictory_keys() {
    let code = |roots: &[PublicKey], threshold, content: &[PublicKey]| {
        Anchor::encode(roots, threshold, content).unwrap_err().code
    };
    assert_eq!(code(&[root(1), root(1)], 1, &[]), Code::DuplicateKey);
    assert_eq!(code(&[root(1)], 2, &[]), Code::BadAnchor);
    assert_eq!(code(&[root(1)], 0, &[]), Code::BadAnchor);
    assert_eq!(code(&[], 1, &[content(1)]), Code::BadAnchor);
    assert_eq!(code(&[], 0, &[]), Code::BadAnchor);
    assert_eq!(code(&[content(1)], 1, &[]), Code::BadAnchor);
    assert_eq!(code(&[], 0, &[root(1)]), Code::BadAnchor);
    let many: Vec<PublicKey> = (0..13).map(root).collect();
    assert_eq!(code(&many, 2, &[]), Code::BadAnchor);
    assert_eq!(code(&[PublicKey { may_block: true, ..root(1) }], 1, &[]), Code::BadAnchor);
    let backwards = PublicKey { first_channel: 9, last_channel: 8, ..content(1) };
    assert_eq!(code(&[], 0, &[backwards]), Code::BadAnchor);
}
