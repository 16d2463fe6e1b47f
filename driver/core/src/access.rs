//! Whether a folder is the administrators' alone: its owner and who may write there.
//!
//! Judged from the security descriptor as the kernel hands it out (self-relative). Content is
//! signed, so a stranger who can write to the inbox cannot bring rules into force; but he could
//! keep files open, swap them between two looks, or bury a new one under thousands.
//!
//! ```text
//! descriptor   0 1 revision (1) · 1 1 zero · 2 2 control · 4 4 owner · 8 4 group · 12 4 SACL · 16 4 DACL
//! SID          0 1 revision (1) · 1 1 count · 2 6 authority, big-endian · 8 4×count
//! ACL          0 1 revision · 1 1 zero · 2 2 length · 4 2 entries · 6 2 zero
//! ACE          0 1 type · 1 1 flags · 2 2 length · 4 4 access · then the SID, or object fields and the SID
//! ```

/// The longest descriptor looked at, in bytes: some hundred entries.
pub const MAX_DESCRIPTOR: usize = 4 * 1024;

/// Why a folder is not the administrators' alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposed {
    /// The owner is somebody else, who may change who may write.
    Owner,
    /// There is no list of who may do what: everybody may do anything.
    NoList,
    /// The list lets somebody else write.
    Writer,
    /// The descriptor makes no sense, or has entries of a kind that is not known.
    Malformed,
}

/// Judges a self-relative security descriptor with its owner and DACL.
///
/// Trusted are SYSTEM, the administrators and the trusted installer. An entry for `CREATOR OWNER`
/// that is only inherited is about files that one of them made.
///
/// # Errors
/// The first thing that is wrong.
#[inline(never)]
pub fn administrators_alone(descriptor: &[u8]) -> Result<(), Exposed> {
    const DACL_PRESENT: u16 = 0x0004;
    const SELF_RELATIVE: u16 = 0x8000;
    let control = u16_at(descriptor, 2)?;
    if descriptor.first() != Some(&1) || control & SELF_RELATIVE == 0 {
        return Err(Exposed::Malformed);
    }
    let owner = sid(part(descriptor, 4)?.ok_or(Exposed::Owner)?)?;
    if !TRUSTED.iter().any(|trusted| trusted.is(owner)) {
        return Err(Exposed::Owner);
    }
    if control & DACL_PRESENT == 0 {
        return Err(Exposed::NoList);
    }
    let list = part(descriptor, 16)?.ok_or(Exposed::NoList)?;
    let length = usize::from(u16_at(list, 2)?);
    let mut rest = list.get(8..length).ok_or(Exposed::Malformed)?;
    for _ in 0..u16_at(list, 4)? {
        let length = usize::from(u16_at(rest, 2)?);
        let (entry, next) = rest.split_at_checked(length.max(8)).ok_or(Exposed::Malformed)?;
        judge(entry)?;
        rest = next;
    }
    Ok(())
}

/// Judges one entry of the list.
fn judge(entry: &[u8]) -> Result<(), Exposed> {
    const ALLOWED: u8 = 0;
    const DENIED: u8 = 1;
    const INHERIT_ONLY: u8 = 0x08;
    /// Adding a file or a folder, changing attributes, removing a child or the folder itself,
    /// changing the list or the owner, and the generic rights that hold one of these.
    const WRITES: u32 = 0x0000_0002
        | 0x0000_0004
        | 0x0000_0010
        | 0x0000_0040
        | 0x0000_0100
        | 0x0001_0000
        | 0x0004_0000
        | 0x0008_0000
        | 0x1000_0000
        | 0x4000_0000;
    let flags = entry.get(1).copied().ok_or(Exposed::Malformed)?;
    let access = u32_at(entry, 4)?;
    match entry.first() {
        Some(&DENIED) => return Ok(()),
        Some(&ALLOWED) => {}
        // Entries with a condition or for object types have no business on a plain folder.
        _ => return Err(Exposed::Malformed),
    }
    let who = sid(entry.get(8..).unwrap_or(&[]))?;
    let trusted = TRUSTED.iter().any(|trusted| trusted.is(who))
        || (CREATOR_OWNER.is(who) && flags & INHERIT_ONLY != 0);
    if access & WRITES == 0 || trusted { Ok(()) } else { Err(Exposed::Writer) }
}

/// A security identifier: its authority and what follows.
struct Sid {
    authority: u8,
    parts: &'static [u32],
}

/// SYSTEM, the administrators, the trusted installer.
const TRUSTED: [Sid; 3] = [
    Sid { authority: 5, parts: &[18] },
    Sid { authority: 5, parts: &[32, 544] },
    Sid {
        authority: 5,
        parts: &[80, 956_008_885, 3_418_522_649, 1_831_038_044, 1_853_292_631, 2_271_478_464],
    },
];
const CREATOR_OWNER: Sid = Sid { authority: 3, parts: &[0] };

impl Sid {
    /// True for the bytes of this identifier.
    fn is(&self, bytes: &[u8]) -> bool {
        let authority = bytes.get(2..8) == Some(&[0, 0, 0, 0, 0, self.authority]);
        let (parts, rest) = bytes.get(8..).unwrap_or(&[]).as_chunks::<4>();
        let same = self.parts.iter().zip(parts).all(|(a, b)| a.to_le_bytes() == *b);
        authority && rest.is_empty() && parts.len() == self.parts.len() && same
    }
}

/// The security identifier at the front of some bytes, without what follows.
fn sid(bytes: &[u8]) -> Result<&[u8], Exposed> {
    let count = match bytes {
        [1, count, ..] => usize::from(*count),
        _ => return Err(Exposed::Malformed),
    };
    let length = count.saturating_mul(4).saturating_add(8);
    bytes.get(..length).ok_or(Exposed::Malformed)
}

/// What the offset at `at` leads to; `None` for an offset of zero.
fn part(descriptor: &[u8], at: usize) -> Result<Option<&[u8]>, Exposed> {
    match usize::try_from(u32_at(descriptor, at)?) {
        Ok(0) => Ok(None),
        Ok(offset) => descriptor.get(offset..).map(Some).ok_or(Exposed::Malformed),
        Err(_) => Err(Exposed::Malformed),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Exposed> {
    let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk());
    chunk.map(|chunk| u16::from_le_bytes(*chunk)).ok_or(Exposed::Malformed)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Exposed> {
    let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk());
    chunk.map(|chunk| u32::from_le_bytes(*chunk)).ok_or(Exposed::Malformed)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;

    const SYSTEM: &[u32] = &[5, 18];
    const ADMINISTRATORS: &[u32] = &[5, 32, 544];
    const INSTALLER: &[u32] =
        &[5, 80, 956_008_885, 3_418_522_649, 1_831_038_044, 1_853_292_631, 2_271_478_464];
    const USERS: &[u32] = &[5, 32, 545];
    const EVERYONE: &[u32] = &[1, 0];
    const CREATOR: &[u32] = &[3, 0];
    const READ: u32 = 0x0012_00A9;
    const FULL: u32 = 0x001F_01FF;

    fn sid_of(parts: &[u32]) -> Vec<u8> {
        let (authority, parts) = parts.split_first().unwrap();
        let mut bytes = vec![1, u8::try_from(parts.len()).unwrap(), 0, 0, 0, 0, 0];
        bytes.push(u8::try_from(*authority).unwrap());
        bytes.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
        bytes
    }

    fn entry(kind: u8, flags: u8, access: u32, who: &[u32]) -> Vec<u8> {
        let who = sid_of(who);
        let length = u16::try_from(who.len().saturating_add(8)).unwrap();
        let mut bytes = vec![kind, flags];
        bytes.extend(length.to_le_bytes());
        bytes.extend(access.to_le_bytes());
        bytes.extend(who);
        bytes
    }

    /// A descriptor with this owner and list.
    fn descriptor(owner: &[u32], entries: &[Vec<u8>]) -> Vec<u8> {
        let owner = sid_of(owner);
        let list: Vec<u8> = entries.concat();
        let mut bytes = vec![1, 0, 4, 0x80];
        for offset in [20, 0, 0, owner.len().saturating_add(20)] {
            bytes.extend(u32::try_from(offset).unwrap().to_le_bytes());
        }
        bytes.extend(owner);
        bytes.extend([2, 0]);
        bytes.extend(u16::try_from(list.len().saturating_add(8)).unwrap().to_le_bytes());
        bytes.extend(u16::try_from(entries.len()).unwrap().to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(list);
        bytes
    }

    /// What a folder below `System32\drivers` has.
    fn usual(owner: &[u32]) -> Vec<u8> {
        descriptor(
            owner,
            &[
                entry(0, 0, FULL, INSTALLER),
                entry(0, 0x0B, 0x1000_0000, INSTALLER),
                entry(0, 0, 0x0013_01BF, SYSTEM),
                entry(0, 0x0B, 0x1000_0000, ADMINISTRATORS),
                entry(0, 0, READ, USERS),
                entry(0, 0x0B, 0x1000_0000, CREATOR),
            ],
        )
    }

    #[test]
    fn the_systems_own_folders_are_the_administrators_alone() {
        for owner in [SYSTEM, ADMINISTRATORS, INSTALLER] {
            assert_eq!(administrators_alone(&usual(owner)), Ok(()));
        }
        assert_eq!(administrators_alone(&descriptor(SYSTEM, &[])), Ok(()), "nobody may anything");
    }

    #[test]
    fn another_owner_is_refused() {
        for owner in [USERS, EVERYONE, &[5, 32][..], &[5, 32, 544, 1], &[1, 18], &[5, 21, 1, 500]] {
            assert_eq!(administrators_alone(&usual(owner)), Err(Exposed::Owner), "{owner:?}");
        }
    }

    #[test]
    fn any_right_to_write_for_others_is_refused() {
        let rights = [2, 4, 0x10, 0x40, 0x100, 1 << 16, 1 << 18, 1 << 19, 1 << 28, 1 << 30];
        for access in rights {
            for flags in [0, 0x0B, 0x10] {
                let list = [entry(0, 0, READ, USERS), entry(0, flags, access, EVERYONE)];
                let found = administrators_alone(&descriptor(SYSTEM, &list));
                assert_eq!(found, Err(Exposed::Writer), "{access:#x} {flags:#x}");
                // Denied is not allowed.
                let list = [entry(1, flags, access, EVERYONE)];
                assert_eq!(administrators_alone(&descriptor(SYSTEM, &list)), Ok(()));
            }
        }
        let mine = [entry(0, 0, FULL, CREATOR)];
        let found = administrators_alone(&descriptor(SYSTEM, &mine));
        assert_eq!(found, Err(Exposed::Writer), "it is not only inherited");
    }

    #[test]
    fn no_list_lets_everybody_in() {
        let mut bytes = usual(SYSTEM);
        bytes[2] = 0;
        assert_eq!(administrators_alone(&bytes), Err(Exposed::NoList));
        let mut bytes = usual(SYSTEM);
        bytes[16..20].fill(0);
        assert_eq!(administrators_alone(&bytes), Err(Exposed::NoList));
    }

    #[test]
    fn a_kind_of_entry_that_is_not_known_is_refused() {
        for kind in (2..=u8::MAX).step_by(7) {
            let list = [entry(kind, 0, READ, SYSTEM)];
            assert_eq!(
                administrators_alone(&descriptor(SYSTEM, &list)),
                Err(Exposed::Malformed),
                "{kind}"
            );
        }
    }

    #[test]
    fn a_descriptor_cut_anywhere_is_refused() {
        let bytes = usual(SYSTEM);
        for cut in 0..bytes.len() {
            assert!(administrators_alone(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn no_change_of_one_byte_makes_a_strangers_folder_pass_unseen() {
        // Nothing to assert but that it ends: the judge reads what anybody may have written.
        let bytes = descriptor(USERS, &[entry(0, 0, FULL, EVERYONE)]);
        let passed = (0..bytes.len()).flat_map(|at| (0..=u8::MAX).map(move |value| (at, value)));
        let passed = passed.filter(|(at, value)| {
            let mut changed = bytes.clone();
            changed[*at] = *value;
            administrators_alone(&changed).is_ok()
        });
        assert_eq!(passed.count(), 0);
    }
}
