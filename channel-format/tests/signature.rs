//! The signature check against `ed25519-dalek`'s `verify_strict`, RFC 8032 and Wycheproof.

use channel_format::signature::{PublicKey, Role, verify};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use proptest::prelude::*;

/// What `verify_strict` says; a key that it cannot read verifies nothing.
fn strict(key: &[u8; 32], signature: &[u8; 64], message: &[u8]) -> bool {
    VerifyingKey::from_bytes(key)
        .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}

fn compare(key: &[u8; 32], signature: &[u8; 64], message: &[u8]) -> bool {
    let found = verify(key, signature, &[message]);
    assert_eq!(
        found,
        strict(key, signature, message),
        "{key:02x?} {signature:02x?} {message:02x?}"
    );
    found
}

fn unhex<const N: usize>(text: &str) -> [u8; N] {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect::<Vec<u8>>().try_into().unwrap()
}

#[test]
fn accepts_the_vectors_of_rfc_8032() {
    // Section 7.1, tests 1 to 3.
    for (key, message, signature) in [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            &[][..],
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            &[0x72],
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            &[0xaf, 0x82],
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ] {
        assert!(compare(&unhex(key), &unhex(signature), message));
    }
}

#[test]
fn agrees_with_wycheproof() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let mut accepted = 0;
    for group in &set.test_groups {
        let key: [u8; 32] = group.key.pk.as_ref().try_into().unwrap();
        for test in &group.tests {
            let valid = test.result == wycheproof::TestResult::Valid;
            // A signature of another length cannot even be given to this check.
            let Ok(signature) = <[u8; 64]>::try_from(test.sig.as_ref()) else {
                assert!(!valid, "{}", test.tc_id);
                continue;
            };
            assert_eq!(
                compare(&key, &signature, &test.msg),
                valid,
                "{}: {}",
                test.tc_id,
                test.comment
            );
            accepted += usize::from(valid);
        }
    }
    assert!(accepted > 50, "the vectors were read");
}

/// The eight points of small order, and encodings of them that are not canonical.
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

#[test]
fn refuses_small_order_keys_and_nonces() {
    // With S = 0, R = -[k]A: for a key of small order one of these pairs satisfies the equation
    // for every message, and a lax check would take it.
    for key in SMALL_ORDER {
        for r in SMALL_ORDER {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&unhex::<32>(r));
            for message in [&b""[..], b"a", b"b", b"c"] {
                assert!(!compare(&unhex(key), &signature, message));
            }
        }
    }
}

#[test]
fn refuses_a_scalar_that_is_not_canonical() {
    let signing = SigningKey::from_bytes(&[3; 32]);
    let key = signing.verifying_key().to_bytes();
    let good = signing.sign(b"message").to_bytes();
    assert!(compare(&key, &good, b"message"));
    // S + L, where L is the order of the base point: the same point, another encoding.
    let order = unhex::<32>("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut other = good;
    let mut carry = 0_u16;
    for (byte, add) in other[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry as u8;
        carry >>= 8;
    }
    assert!(!compare(&key, &other, b"message"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn agrees_with_verify_strict(
        seed in any::<[u8; 32]>(),
        message in proptest::collection::vec(any::<u8>(), 0..200),
        split in 0_usize..200,
        flip in 0_usize..(32 + 64) * 8,
        noise in any::<[u8; 32]>(),
    ) {
        let signing = SigningKey::from_bytes(&seed);
        let key = signing.verifying_key().to_bytes();
        let signature = signing.sign(&message).to_bytes();
        prop_assert!(compare(&key, &signature, &message));
        // The message may come in parts.
        let (first, second) = message.split_at(split.min(message.len()));
        prop_assert!(verify(&key, &signature, &[first, second]));
        // One bit of key or signature changed.
        let (mut bad_key, mut bad_signature) = (key, signature);
        if flip < 256 {
            bad_key[flip / 8] ^= 1 << (flip % 8);
        } else {
            bad_signature[(flip - 256) / 8] ^= 1 << (flip % 8);
        }
        prop_assert!(!compare(&bad_key, &bad_signature, &message));
        // A nonce or a key that is noise.
        let mut noisy = signature;
        noisy[..32].copy_from_slice(&noise);
        compare(&key, &noisy, &message);
        compare(&noise, &signature, &message);
    }
}

#[test]
fn a_key_id_binds_the_permissions() {
    let key = PublicKey {
        role: Role::Content,
        may_block: false,
        first_channel: 1,
        last_channel: 300,
        bytes: [9; 32],
    };
    let others = [
        PublicKey { role: Role::Root, ..key },
        PublicKey { may_block: true, ..key },
        PublicKey { first_channel: 2, ..key },
        PublicKey { last_channel: 301, ..key },
        PublicKey { bytes: [8; 32], ..key },
    ];
    assert!(others.iter().all(|other| other.id() != key.id()));
}
