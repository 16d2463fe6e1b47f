//! Who owns a file and who may do what with it.

/// A security descriptor: owner and access list. It is only shown to whoever asks; the model does
/// not check accesses against it, since a driver's are not checked either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    owner: String,
    list: Option<Vec<(String, u32)>>,
}

/// SYSTEM.
pub const SYSTEM: &str = "S-1-5-18";
/// The administrators.
pub const ADMINISTRATORS: &str = "S-1-5-32-544";
/// The users of the machine.
pub const USERS: &str = "S-1-5-32-545";
/// Everybody.
pub const EVERYONE: &str = "S-1-1-0";

const FULL_ACCESS: u32 = 0x001F_01FF;
const READ_AND_EXECUTE: u32 = 0x0012_00A9;

impl Default for Security {
    /// What files below `System32\drivers` have: administrators write, users read.
    fn default() -> Security {
        Security { owner: ADMINISTRATORS.to_owned(), list: Some(Vec::new()) }
            .allow(SYSTEM, FULL_ACCESS)
            .allow(ADMINISTRATORS, FULL_ACCESS)
            .allow(USERS, READ_AND_EXECUTE)
    }
}

impl Security {
    /// The same with another owner, as `S-1-5-32-545`.
    #[must_use]
    pub fn owner(self, sid: &str) -> Security {
        Security { owner: sid.to_owned(), ..self }
    }

    /// The same, with an access allowed to somebody more.
    #[must_use]
    pub fn allow(mut self, sid: &str, access: u32) -> Security {
        self.list.get_or_insert_default().push((sid.to_owned(), access));
        self
    }

    /// The same without a list: everybody may do anything.
    #[must_use]
    pub fn without_list(self) -> Security {
        Security { list: None, ..self }
    }

    /// The self-relative form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        const SELF_RELATIVE: u16 = 0x8000;
        const DACL_PRESENT: u16 = 0x0004;
        let owner = sid(&self.owner);
        let present = if self.list.is_some() { DACL_PRESENT } else { 0 };
        let list_at = if self.list.is_some() { 20 + owner.len() } else { 0 };
        let mut out = vec![1, 0];
        out.extend((SELF_RELATIVE | present).to_le_bytes());
        for offset in [20, 0, 0, list_at] {
            out.extend((offset as u32).to_le_bytes());
        }
        out.extend(owner);
        if let Some(list) = &self.list {
            let entries: Vec<Vec<u8>> =
                list.iter().map(|(who, access)| entry(who, *access)).collect();
            let length = 8 + entries.iter().map(Vec::len).sum::<usize>();
            out.extend([2, 0]);
            out.extend((length as u16).to_le_bytes());
            out.extend((entries.len() as u16).to_le_bytes());
            out.extend([0, 0]);
            out.extend(entries.concat());
        }
        out
    }
}

/// An entry that allows an access.
fn entry(who: &str, access: u32) -> Vec<u8> {
    let who = sid(who);
    let mut out = vec![0, 0];
    out.extend((8 + who.len() as u16).to_le_bytes());
    out.extend(access.to_le_bytes());
    out.extend(who);
    out
}

/// The bytes of `S-1-authority-part-…`; a test that writes another is wrong.
fn sid(text: &str) -> Vec<u8> {
    let parts = text.strip_prefix("S-1-").expect("a SID begins with S-1-").split('-');
    let parts: Vec<u32> =
        parts.map(|part| part.parse().expect("a SID is made of numbers")).collect();
    let (authority, parts) = parts.split_first().expect("a SID has an authority");
    let mut out = vec![1, parts.len() as u8, 0, 0, 0, 0, 0, *authority as u8];
    out.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_and_list_are_where_their_offsets_say() {
        let bytes = Security::default().owner(EVERYONE).encode();
        assert_eq!(bytes[..4], [1, 0, 4, 0x80]);
        assert_eq!(bytes[4..8], 20u32.to_le_bytes());
        assert_eq!(bytes[20..32], [1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(bytes[16..20], 32u32.to_le_bytes());
        assert_eq!(bytes[36..38], 3u16.to_le_bytes());
        assert_eq!(usize::from(bytes[34]), bytes.len() - 32);
        let none = Security::default().without_list().encode();
        assert_eq!((none[2], &none[16..20]), (0, &[0; 4][..]));
    }
}
