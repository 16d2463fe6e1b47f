//! A driver package's catalogue, as Windows' `inf2cat` makes one: a list of files with the hash of
//! each, in a PKCS #7 envelope that is signed afterwards.
//!
//! Only what is said here is in it: the list for SHA-256 (`CATALOG_LIST_MEMBER_V2`), one entry a file
//! with its name, its system and its digest. An image's digest is the one that Authenticode signs, so
//! that it holds for the image with and without its embedded signature; any other file's is its own.

use std::time::Duration;

use der::asn1::{BmpString, Int, Null, ObjectIdentifier, OctetString, SetOfVec, UtcTime};
use der::{Any, Decode as _, Encode, Sequence, Tag, TagNumber, ValueOrd};
use object::LittleEndian as LE;
use object::pe;
use object::read::pe::PeFile64;
use sha2::{Digest as _, Sha256};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TRUST_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.10.1");
const CATALOG_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.12.1.1");
const CATALOG_MEMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.12.1.3");
const NAME_VALUE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.12.2.1");
const MEMBER_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.12.2.3");
const INDIRECT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");
const IMAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.15");
const PLAIN_FILE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.25");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

/// What `inf2cat` gives each name and value.
const NAME_VALUE_FLAGS: u32 = 0x1001_0001;
/// Desktop Windows 10 and later.
const SYSTEM: &str = "2:10.0";

/// A file that a catalogue lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// What identifies it.
    pub digest: [u8; 32],
    /// It is an image, and the digest is Authenticode's.
    pub is_image: bool,
}

impl Member {
    /// A file by its bytes.
    ///
    /// # Errors
    /// In words, when an image is none.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, String> {
        let is_image = bytes.starts_with(b"MZ");
        let digest = if is_image { image_digest(bytes)? } else { Sha256::digest(bytes).into() };
        Ok(Self { name: name.to_owned(), digest, is_image })
    }
}

/// The unsigned catalogue of these files, made at this time (since 1970).
///
/// # Errors
/// What could not be encoded: a name that is not of Unicode's first plane, a time after 2049.
pub fn unsigned(members: &[Member], made: Duration) -> der::Result<Vec<u8>> {
    let mut id = Sha256::new();
    for member in members {
        id.update(member.digest);
    }
    let id: [u8; 32] = id.finalize().into();
    let mut entries = members.iter().map(Entry::new).collect::<der::Result<Vec<_>>>()?;
    entries.sort_by(|a, b| a.digest.as_bytes().cmp(b.digest.as_bytes()));
    let list = TrustList {
        usage: vec![CATALOG_LIST],
        // Any 16 bytes; these depend on the files alone, so that the same files give the same list.
        id: OctetString::new(&id[..16])?,
        made: UtcTime::from_unix_duration(made)?,
        algorithm: Algorithm::of(CATALOG_MEMBER),
        entries,
    };
    let envelope = SignedData {
        version: 1,
        digest_algorithms: SetOfVec::new(),
        content: Content { kind: TRUST_LIST, content: Any::encode_from(&list)? },
        signers: SetOfVec::new(),
    };
    Content { kind: SIGNED_DATA, content: Any::encode_from(&envelope)? }.to_der()
}

/// Reads back what files a catalogue lists, signed or not: name and digest of each.
///
/// # Errors
/// What is no such catalogue.
pub fn listed(catalog: &[u8]) -> der::Result<Vec<(String, Vec<u8>)>> {
    let outer = Content::from_der(catalog)?;
    // A signed envelope has certificates behind the content, which are of no interest here.
    let mut reader = der::SliceReader::new(outer.content.value())?;
    let list = {
        use der::Reader as _;
        u8::decode(&mut reader)?;
        SetOfVec::<Algorithm>::decode(&mut reader)?;
        let content = Content::decode(&mut reader)?;
        reader.read_slice(reader.remaining_len())?;
        content.content.decode_as::<TrustList>()?
    };
    list.entries
        .iter()
        .map(|entry| {
            let name = entry.name()?.unwrap_or_default();
            Ok((name, entry.digest.as_bytes().to_vec()))
        })
        .collect()
}

/// PKCS #7's `ContentInfo`.
#[derive(Sequence)]
struct Content {
    kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: Any,
}

/// PKCS #7's `SignedData` that nobody has signed.
#[derive(Sequence)]
struct SignedData {
    version: u8,
    digest_algorithms: SetOfVec<Any>,
    content: Content,
    signers: SetOfVec<Any>,
}

/// Microsoft's certificate trust list.
#[derive(Sequence)]
struct TrustList {
    usage: Vec<ObjectIdentifier>,
    id: OctetString,
    made: UtcTime,
    algorithm: Algorithm,
    entries: Vec<Entry>,
}

#[derive(Sequence, ValueOrd)]
struct Algorithm {
    kind: ObjectIdentifier,
    parameters: Any,
}

/// One file.
#[derive(Sequence)]
struct Entry {
    digest: OctetString,
    attributes: SetOfVec<Attribute>,
}

#[derive(Sequence, ValueOrd)]
struct Attribute {
    kind: ObjectIdentifier,
    values: SetOfVec<Any>,
}

#[derive(Sequence)]
struct NameValue {
    name: BmpString,
    flags: Int,
    value: OctetString,
}

/// Authenticode's `SpcIndirectDataContent`.
#[derive(Sequence)]
struct IndirectData {
    data: Data,
    digest: DigestInfo,
}

#[derive(Sequence)]
struct Data {
    kind: ObjectIdentifier,
    value: Any,
}

#[derive(Sequence)]
struct DigestInfo {
    algorithm: Algorithm,
    digest: OctetString,
}

impl Algorithm {
    fn of(kind: ObjectIdentifier) -> Self {
        Self { kind, parameters: Any::from(Null) }
    }
}

impl Entry {
    fn new(member: &Member) -> der::Result<Self> {
        let mut attributes = SetOfVec::new();
        attributes.insert(Attribute::of(MEMBER_INFO, &empty(2)?)?)?;
        attributes.insert(Attribute::of(NAME_VALUE, &NameValue::new("OSAttr", SYSTEM)?)?)?;
        attributes.insert(Attribute::of(NAME_VALUE, &NameValue::new("File", &member.name)?)?)?;
        attributes.insert(Attribute::of(INDIRECT_DATA, &IndirectData::new(member)?)?)?;
        Ok(Self { digest: OctetString::new(member.digest)?, attributes })
    }

    /// The file's name, if it is said.
    fn name(&self) -> der::Result<Option<String>> {
        for attribute in self.attributes.iter().filter(|found| found.kind == NAME_VALUE) {
            for value in attribute.values.iter() {
                let value = value.decode_as::<NameValue>()?;
                if value.name.to_string() == "File" {
                    let units = value.value.as_bytes().as_chunks::<2>().0;
                    let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
                    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
                    return Ok(Some(String::from_utf16_lossy(&units)));
                }
            }
        }
        Ok(None)
    }
}

impl Attribute {
    fn of(kind: ObjectIdentifier, value: &impl Encode) -> der::Result<Self> {
        let mut values = SetOfVec::new();
        values.insert(Any::from_der(&value.to_der()?)?)?;
        Ok(Self { kind, values })
    }
}

impl NameValue {
    fn new(name: &str, value: &str) -> der::Result<Self> {
        let value: Vec<u8> = value.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        Ok(Self {
            name: BmpString::from_utf8(name)?,
            flags: Int::new(&NAME_VALUE_FLAGS.to_be_bytes())?,
            value: OctetString::new(value)?,
        })
    }
}

impl IndirectData {
    fn new(member: &Member) -> der::Result<Self> {
        // `SpcLink`'s third choice, a file, whose name is empty.
        let link = Any::new(context(2, true)?, empty(0)?.to_der()?)?;
        let data = if member.is_image {
            // No flags in a bit string, and the link; the bits are what every signer writes.
            let mut value = vec![0x03, 0x02, 0x05, 0xA0];
            value.extend(Any::new(context(0, true)?, link.to_der()?)?.to_der()?);
            Data { kind: IMAGE, value: Any::new(Tag::Sequence, value)? }
        } else {
            Data { kind: PLAIN_FILE, value: link }
        };
        let digest = DigestInfo {
            algorithm: Algorithm::of(SHA256),
            digest: OctetString::new(member.digest)?,
        };
        Ok(Self { data, digest })
    }
}

fn context(number: u8, constructed: bool) -> der::Result<Tag> {
    Ok(Tag::ContextSpecific { constructed, number: TagNumber::new(number) })
}

/// A context-specific element without content.
fn empty(number: u8) -> der::Result<Any> {
    Any::new(context(number, false)?, Vec::new())
}

/// What Authenticode signs of an image: all but the checksum, the entry that says where signatures
/// are, and the signatures.
fn image_digest(bytes: &[u8]) -> Result<[u8; 32], String> {
    let file = PeFile64::parse(bytes).map_err(|error| error.to_string())?;
    let cut = || "the headers are cut short".to_owned();
    let at = bytes.get(0x3C..0x40).and_then(|field| field.try_into().ok());
    let at = usize::try_from(u32::from_le_bytes(at.ok_or_else(cut)?)).map_err(|_| cut())?;
    let optional = at + 24;
    let checksum = optional + 64;
    let signatures = optional + 112 + 8 * pe::IMAGE_DIRECTORY_ENTRY_SECURITY;
    let table = file.data_directories().iter().nth(pe::IMAGE_DIRECTORY_ENTRY_SECURITY);
    let end = match table.map(|table| (table.virtual_address.get(LE), table.size.get(LE))) {
        Some((offset, size)) if offset != 0 && size != 0 => {
            usize::try_from(offset).map_err(|_| cut())?
        }
        _ => bytes.len(),
    };
    let mut digest = Sha256::new();
    for range in [0..checksum, checksum + 4..signatures, signatures + 8..end] {
        digest.update(bytes.get(range).ok_or_else(cut)?);
    }
    Ok(digest.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 24 November 2026.
    const MADE: Duration = Duration::from_secs(1_795_478_400);

    fn member(name: &str, bytes: &[u8]) -> Member {
        Member::read(name, bytes).unwrap()
    }

    #[test]
    fn what_was_listed_is_read_back() {
        let members = [member("saker.inf", b"[Version]"), member("readme.txt", b"")];
        let bytes = unsigned(&members, MADE).unwrap();
        let mut found = listed(&bytes).unwrap();
        found.sort();
        let mut expected: Vec<_> =
            members.iter().map(|m| (m.name.clone(), m.digest.to_vec())).collect();
        expected.sort();
        assert_eq!(found, expected);
        assert_eq!(bytes, unsigned(&members, MADE).unwrap(), "the same files, the same bytes");
    }

    #[test]
    fn a_list_that_is_cut_is_none() {
        let bytes = unsigned(&[member("saker.inf", b"[Version]")], MADE).unwrap();
        for cut in 0..bytes.len() {
            assert!(listed(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    /// The element that `inf2cat` writes for each member, byte by byte.
    #[test]
    fn the_member_element_is_the_tools_own() {
        let attribute = Attribute::of(MEMBER_INFO, &empty(2).unwrap()).unwrap();
        let expected = [
            0x30, 0x10, 0x06, 0x0A, 0x2B, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x0C, 0x02, 0x03,
            0x31, 0x02, 0x82, 0x00,
        ];
        assert_eq!(attribute.to_der().unwrap(), expected);
    }

    #[test]
    fn what_begins_like_an_image_and_is_none_is_refused() {
        assert!(Member::read("a.sys", b"MZ and no more").is_err());
    }
}
