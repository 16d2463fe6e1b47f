//! What lies in folders and in the registry: names, directory entries, security, parameters.

use std::collections::BTreeSet;

use channel_format::limits::MAX_NAME_NUMBER;
use channel_format::name::ChannelName;
use driver_abi::{Cause, RefusalNote, Setting};
use driver_core::Position;
use driver_core::access::{Exposed, MAX_DESCRIPTOR, administrators_alone};
use driver_core::inbox::{Entry, Ignored, MAX_CANDIDATES, Scan, Stamp, obstacle};
use driver_core::settings::{
    Found, MAX_DIRECTORY_UNITS, MAX_POLL_SECONDS, Parameters, Switch, is_directory,
};

use crate::input::Input;
use crate::target::Target;

/// The targets of this module.
pub const TARGETS: &[Target] = &[
    Target::new("name", "names of channel files", name)
        .seeds(|| vec![wide("C-00000291-00000001-00000007.sys"), wide("c-99999999-0.SYS")])
        .words(&["C-", "00000291", ".sys"])
        .longest(128),
    Target::new("inbox", "the entries of a folder, beside a list that is sorted", inbox)
        .seeds(|| vec![(0..200).collect()])
        .longest(2_048),
    Target::new("access-raw", "security descriptors of any bytes", descriptor)
        .seeds(|| vec![described(&[0, 1]).0, described(&[1; 64]).0])
        .longest(MAX_DESCRIPTOR),
    Target::new("access", "security descriptors that say what they say", access)
        .seeds(|| vec![vec![0; 8], (0..64).collect()])
        .longest(256),
    Target::new("settings", "the service's parameters", settings)
        .seeds(|| vec![vec![1; 40], wide(r"System32\drivers\CrowdStrike")])
        .words(&["\\\0", ".\0", ":\0"])
        .longest(512),
];

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A name is refused, or is what writing its numbers gives, but for the case of its letters.
pub fn name(bytes: &[u8]) {
    let units: Vec<u16> =
        bytes.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    if let Some(name) = ChannelName::parse_utf16(&units) {
        let text = String::from_utf16(&units).expect("a name is plain text");
        assert!(name.to_string().eq_ignore_ascii_case(&text), "{text}");
        assert_eq!(name.to_ascii(), *name.to_string().as_bytes());
        assert_eq!(ChannelName::parse(&text), Some(name));
    }
    // Every number that a header may have makes a name that is read again.
    let mut input = Input::new(bytes);
    let [channel, epoch, sequence] = [(); 3].map(|()| input.u32() % (MAX_NAME_NUMBER + 1));
    let name = ChannelName { channel, epoch, sequence };
    assert_eq!(ChannelName::parse(&name.to_string()), Some(name));
}

/// One look at a folder finds what sorting all of it finds.
pub fn inbox(bytes: &[u8]) {
    const CHANNEL: u32 = 291;
    let mut input = Input::new(bytes);
    let above = input.flag().then(|| Position { epoch: 1, sequence: u32::from(input.u8()) });
    let refused = match input.u8() {
        0 => RefusalNote::default(),
        sequence => RefusalNote {
            cause: Cause::Held,
            epoch: 1,
            sequence: sequence.into(),
            ..RefusalNote::default()
        },
    };
    let mut ignored = Ignored::new([Stamp::default(); 4]);
    for _ in 0..input.below(6) {
        ignored.insert(Stamp { file_id: u64::from(input.u8()), size: 1, changed: 1 });
    }
    let mut scan = Scan::new(CHANNEL, above, &refused);
    let mut expected = Vec::new();
    let mut seen_refused = false;
    let mut names = BTreeSet::new();
    while !input.is_empty() {
        let name = ChannelName {
            channel: if input.u8() < 224 { CHANNEL } else { 7 },
            epoch: input.below(3) as u32,
            sequence: input.u8().into(),
        };
        // A folder has each name once.
        if !names.insert(name) {
            continue;
        }
        let stamp = Stamp { file_id: u64::from(input.u8()), size: 1, changed: 1 };
        let attributes = input.u32();
        let mut units: Vec<u16> = name.to_string().encode_utf16().collect();
        let spoilt = input.u8() > 240;
        if spoilt {
            units[usize::from(input.u8()) % 32] ^= 0x80;
        }
        assert!(scan.offer(&Entry { name: &units, stamp, attributes }, &ignored));
        let position = Position { epoch: name.epoch, sequence: name.sequence };
        if spoilt || name.channel != CHANNEL || above.is_some_and(|above| position <= above) {
            continue;
        }
        seen_refused |=
            refused.stands() && position == Position { epoch: 1, sequence: refused.sequence };
        if !ignored.contains(&stamp) {
            expected.push((position, stamp, obstacle(attributes)));
        }
    }
    expected.sort_by_key(|(position, ..)| std::cmp::Reverse(*position));
    expected.truncate(MAX_CANDIDATES);
    let found: Vec<_> = scan
        .candidates()
        .map(|candidate| (candidate.position(), candidate.stamp, candidate.obstacle))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(scan.refusal_stands(), seen_refused || scan.is_over());
}

/// Whatever the bytes are, there is an answer, and bytes behind the descriptor do not change it
/// from exposed to safe.
pub fn descriptor(bytes: &[u8]) {
    let found = administrators_alone(bytes);
    if found != Err(Exposed::Malformed) {
        let longer = [bytes, &[0xff; 64]].concat();
        assert_eq!(administrators_alone(&longer), found);
    }
}

/// A descriptor made of parts is judged as its parts are.
pub fn access(bytes: &[u8]) {
    let (descriptor, expected) = described(bytes);
    assert_eq!(administrators_alone(&descriptor), expected);
    for cut in 0..descriptor.len() {
        assert!(administrators_alone(&descriptor[..cut]).is_err(), "cut at {cut}");
    }
}

/// A descriptor and what must be said of it: an owner, and entries of {type, flags, access, who}.
fn described(bytes: &[u8]) -> (Vec<u8>, Result<(), Exposed>) {
    let installer = [80, 956_008_885, 3_418_522_649, 1_831_038_044, 1_853_292_631, 2_271_478_464];
    let who: [(u8, &[u32], bool); 7] = [
        (5, &[18], true),
        (5, &[32, 544], true),
        (5, &installer, true),
        (3, &[0], false),
        (1, &[0], false),
        (5, &[32, 545], false),
        (5, &[32, 544, 1], false),
    ];
    let sid = |(authority, parts, _): (u8, &[u32], bool)| {
        let mut sid = vec![1, parts.len() as u8, 0, 0, 0, 0, 0, authority];
        sid.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
        sid
    };
    let mut input = Input::new(bytes);
    let owner = input.pick(&who);
    let mut expected = if owner.2 { Ok(()) } else { Err(Exposed::Owner) };
    let mut entries = Vec::new();
    let count = input.below(6);
    for _ in 0..count {
        let (kind, flags) = (input.pick(&[0, 0, 0, 1, 5]), input.u8() & 0x0f);
        let access = 1_u32 << (input.u8() % 32);
        let named = input.pick(&who);
        let sid = sid(named);
        entries.extend([kind, flags]);
        entries.extend((8 + sid.len() as u16).to_le_bytes());
        entries.extend(access.to_le_bytes());
        entries.extend(&sid);
        // Reading data and attributes, traversing, reading the descriptor, waiting: and what no
        // bit of the above is.
        let writes = [1, 2, 4, 6, 8, 16, 18, 19, 28, 30].contains(&access.trailing_zeros());
        let inherited_creator = named.0 == 3 && flags & 8 != 0;
        if expected.is_ok() {
            expected = match kind {
                1 => Ok(()),
                0 if writes && !named.2 && !inherited_creator => Err(Exposed::Writer),
                0 => Ok(()),
                _ => Err(Exposed::Malformed),
            };
        }
    }
    let owner = sid(owner);
    let list = 20 + owner.len() as u32;
    let mut descriptor = vec![1, 0, 4, 0x80];
    for offset in [20, 0, 0, list] {
        descriptor.extend(u32::to_le_bytes(offset));
    }
    descriptor.extend(owner);
    descriptor.extend([2, 0]);
    descriptor.extend((8 + entries.len() as u16).to_le_bytes());
    descriptor.extend((count as u16).to_le_bytes());
    descriptor.extend([0, 0]);
    descriptor.extend(entries);
    (descriptor, expected)
}

/// Parameters have a meaning within bounds, and what was refused is named.
pub fn settings(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut number = || match input.u8() % 4 {
        0 => Found::Nothing,
        1 => Found::Other,
        2 => Found::Value(u32::from(input.u8() % 4)),
        _ => Found::Value(input.u32()),
    };
    let (mode, poll_seconds, exempt_protected) = (number(), number(), number());
    let units: Vec<u16> =
        input.rest().as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    let directory = Found::Value(units.clone());
    let meaning = Parameters { mode, poll_seconds, exempt_protected, directory }.meaning();
    assert!((1..=MAX_POLL_SECONDS).contains(&meaning.poll_seconds));
    let refuses = |setting| meaning.refused.contains(setting);
    if meaning.switch == Switch::Off {
        assert_eq!(mode, Found::Value(0), "only a clear word keeps the driver off");
    }
    for (found, setting) in [
        (mode, Setting::Mode),
        (poll_seconds, Setting::PollSeconds),
        (exempt_protected, Setting::ExemptProtected),
    ] {
        match found {
            Found::Nothing => assert!(!refuses(setting)),
            Found::Other => assert!(refuses(setting)),
            Found::Value(_) => {}
        }
    }
    // A path below the system's folder stays there.
    assert_eq!(meaning.directory.is_none(), refuses(Setting::ContentDirectory));
    assert_eq!(is_directory(&units), meaning.directory.is_some());
    if let Some(directory) = meaning.directory {
        let text = String::from_utf16_lossy(&directory);
        assert!(!text.is_empty() && directory.len() <= MAX_DIRECTORY_UNITS);
        for part in text.split('\\') {
            assert!(!part.is_empty() && part != "." && part != "..", "{text}");
            assert!(!part.contains([':', '/', '*', '?', '"', '<', '>', '|']), "{text}");
        }
    }
}
