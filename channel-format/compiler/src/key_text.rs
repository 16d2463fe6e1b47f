//! Keys as text: one line each.
//!
//! ```text
//! saker-public-key v0 role=content may-block=no channels=1-4294967295 id=<32 hex> ed25519=<64 hex>
//! saker-secret-key v0 role=content may-block=no channels=1-4294967295 id=<32 hex> ed25519=<64 hex> seed=<64 hex>
//! ```
//!
//! The id is written for the reader and checked against the rest, so that a permission changed by
//! hand is noticed.

use channel_format::signature::{KeyId, PublicKey, Role};

use crate::keys::KeyError;

const PUBLIC: &str = "saker-public-key";
const SECRET: &str = "saker-secret-key";

/// A public key as one line, without a line end.
pub fn format_public(key: &PublicKey) -> String {
    format!("{PUBLIC} {}", body(key))
}

/// Reads a public key's line.
pub fn parse_public(text: &str) -> Result<PublicKey, KeyError> {
    if text.trim_start().starts_with(SECRET) {
        return Err(KeyError::Text(
            "this is a secret key; give the public one (the .pub file)".into(),
        ));
    }
    let mut words = words(text, PUBLIC)?;
    let key = parse_body(&mut words)?;
    end(words)?;
    Ok(key)
}

/// A key id as text: 32 hexadecimal digits.
pub fn format_id(id: KeyId) -> String {
    hex(&id.0)
}

pub(crate) fn format_secret(key: &PublicKey, seed: &[u8; 32]) -> String {
    format!("{SECRET} {} seed={}", body(key), hex(seed))
}

pub(crate) fn parse_secret(text: &str) -> Result<(PublicKey, [u8; 32]), KeyError> {
    if text.trim_start().starts_with(PUBLIC) {
        return Err(KeyError::Text(
            "this is a public key; give the secret one (the .key file)".into(),
        ));
    }
    let mut words = words(text, SECRET)?;
    let key = parse_body(&mut words)?;
    let seed = unhex("seed", value(&mut words, "seed")?)?;
    end(words)?;
    Ok((key, seed))
}

fn body(key: &PublicKey) -> String {
    format!(
        "v0 role={} may-block={} channels={}-{} id={} ed25519={}",
        match key.role {
            Role::Root => "root",
            Role::Content => "content",
        },
        if key.may_block { "yes" } else { "no" },
        key.first_channel,
        key.last_channel,
        hex(&key.id().0),
        hex(&key.bytes)
    )
}

type Words<'a> = std::str::SplitWhitespace<'a>;

fn words<'a>(text: &'a str, label: &str) -> Result<Words<'a>, KeyError> {
    let mut words = text.split_whitespace();
    if words.next() != Some(label) {
        return Err(KeyError::Text(format!("not a key: the text must begin with `{label}`")));
    }
    match words.next() {
        Some("v0") => Ok(words),
        other => Err(KeyError::Text(format!(
            "unknown version of key text: expected v0, found {}",
            other.unwrap_or("nothing")
        ))),
    }
}

fn parse_body(words: &mut Words<'_>) -> Result<PublicKey, KeyError> {
    let role = match value(words, "role")? {
        "root" => Role::Root,
        "content" => Role::Content,
        other => return Err(KeyError::Text(format!("unknown role `{other}`"))),
    };
    let may_block = match value(words, "may-block")? {
        "yes" => true,
        "no" => false,
        other => {
            return Err(KeyError::Text(format!("may-block must be yes or no, found `{other}`")));
        }
    };
    let channels = value(words, "channels")?;
    let range = channels
        .split_once('-')
        .and_then(|(first, last)| Some((first.parse::<u32>().ok()?, last.parse::<u32>().ok()?)));
    let Some((first_channel, last_channel)) = range else {
        return Err(KeyError::Text(format!("channels must be FIRST-LAST, found `{channels}`")));
    };
    let id = KeyId(unhex("id", value(words, "id")?)?);
    let bytes = unhex("ed25519", value(words, "ed25519")?)?;
    let key = PublicKey { role, may_block, first_channel, last_channel, bytes };
    if key.id() == id {
        Ok(key)
    } else {
        Err(KeyError::Text("the key's id does not fit the rest: the line was changed".into()))
    }
}

fn value<'a>(words: &mut Words<'a>, name: &str) -> Result<&'a str, KeyError> {
    let word = words.next().unwrap_or("");
    word.strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('='))
        .ok_or_else(|| KeyError::Text(format!("expected `{name}=…`, found `{word}`")))
}

fn end(mut words: Words<'_>) -> Result<(), KeyError> {
    match words.next() {
        None => Ok(()),
        Some(word) => Err(KeyError::Text(format!("unexpected `{word}` after the key"))),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(name: &str, text: &str) -> Result<[u8; N], KeyError> {
    let wrong = || KeyError::Text(format!("{name} must be {} hexadecimal digits", N * 2));
    let digits = text.as_bytes();
    if digits.len() != N * 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(wrong());
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    fn key() -> SecretKey {
        SecretKey::from_seed([7; 32], Role::Content, true, 1..=u32::MAX).unwrap()
    }

    #[test]
    fn reads_what_it_writes() {
        let key = key();
        let public = format_public(&key.public);
        assert!(public.starts_with(
            "saker-public-key v0 role=content may-block=yes channels=1-4294967295 id="
        ));
        assert_eq!(parse_public(&(public + "\n")), Ok(key.public));
        assert_eq!(SecretKey::from_text(&key.to_text()).unwrap().public, key.public);
    }

    #[test]
    fn refuses_a_line_cut_at_any_place() {
        let key = key();
        let (public, secret) = (format_public(&key.public), key.to_text());
        for cut in 0..public.len() {
            assert!(parse_public(&public[..cut]).is_err());
        }
        for cut in 0..secret.len() {
            assert!(SecretKey::from_text(&secret[..cut]).is_err());
        }
    }

    #[test]
    fn refuses_a_changed_permission_and_the_wrong_half() {
        let key = key();
        let public = format_public(&key.public);
        let changed = public.replace("may-block=yes", "may-block=no");
        assert!(parse_public(&changed).unwrap_err().to_string().contains("was changed"));
        assert!(parse_public(&key.to_text()).unwrap_err().to_string().contains(".pub"));
        assert!(SecretKey::from_text(&public).unwrap_err().to_string().contains(".key"));
        assert!(parse_public(&(public + " more")).is_err());
    }

    #[test]
    fn refuses_contradictory_permissions() {
        assert!(SecretKey::from_seed([1; 32], Role::Root, true, 0..=0).is_err());
        assert!(SecretKey::from_seed([1; 32], Role::Root, false, 0..=5).is_err());
        assert!(SecretKey::from_seed([1; 32], Role::Content, false, 0..=5).is_err());
        assert!(SecretKey::from_seed([1; 32], Role::Root, false, 0..=0).is_ok());
    }
}
