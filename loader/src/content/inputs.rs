//! From an event of a log to the inputs of an evaluation.
//!
//! `sakerctl content eval` and the kernel host's replay describe an event by the same rules, so
//! that their verdicts can be compared.
//!
//! | schema field | from |
//! |---|---|
//! | Operation | the event's kind |
//! | PipeName, ImagePath, ProcessId | the event |
//! | ImageName | the last component of the image |
//! | User | `UserSid`, or else `User` if it is a well-known account's English name |
//! | all others | the keys of [`pipe_log::Key`] |
//!
//! What the log does not say is [`Missing`]; what it says in a way that cannot be used (an account
//! whose SID is not known, a level that is no level) is [`Input::Unknown`] always.

use channel_format::schema::{Field, Input, Inputs, Operation};
use pipe_log::{Key, PipeEvent, Value};

/// What a field is that the log does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Absent, as Sigma engines take it: `null` matches, and nothing else does.
    Absent,
    /// Unknown, as the driver takes it.
    Unknown,
}

/// An event with what its inputs borrow.
#[derive(Debug)]
pub struct EventInputs<'e> {
    event: &'e PipeEvent,
    user: User,
}

#[derive(Debug)]
enum User {
    Missing,
    NotUsable,
    Sid(Vec<u8>),
}

impl<'e> EventInputs<'e> {
    /// Prepares an event.
    pub fn new(event: &'e PipeEvent) -> Self {
        let user = match (event.other.get(&Key::UserSid), &event.user) {
            (Some(Value::Text(sid)), _) => sid_from_text(&sid.to_string()),
            (Some(_), _) => None,
            (None, Some(name)) => well_known_sid(&name.to_string()),
            (None, None) => {
                return Self { event, user: User::Missing };
            }
        };
        Self { event, user: user.map_or(User::NotUsable, User::Sid) }
    }

    /// The inputs.
    pub fn inputs(&self, missing: Missing) -> Inputs<'_> {
        let event = self.event;
        let nothing = match missing {
            Missing::Absent => Input::Absent,
            Missing::Unknown => Input::Unknown,
        };
        let mut inputs = match missing {
            Missing::Absent => Inputs::absent(),
            Missing::Unknown => Inputs::unknown(),
        };
        inputs.set(Field::Operation, Input::Number(operation(event.operation).number()));
        inputs.set(Field::PipeName, Input::Text(event.pipe_name.units()));
        if let Some(image) = &event.image {
            inputs.set(Field::ImagePath, Input::Text(image.units()));
            inputs.set(Field::ImageName, Input::Text(image.last_component()));
        }
        if let Some(id) = event.process_id {
            inputs.set(Field::ProcessId, Input::Number(id));
        }
        let user = match &self.user {
            User::Missing => nothing,
            User::NotUsable => Input::Unknown,
            User::Sid(sid) => Input::Sid(sid),
        };
        inputs.set(Field::User, user);
        for (key, value) in &event.other {
            if let Some(field) = field(*key) {
                inputs.set(field, input(*key, value));
            }
        }
        inputs
    }
}

/// The schema's word for a log's operation.
pub fn operation(operation: pipe_log::Operation) -> Operation {
    match operation {
        pipe_log::Operation::Created => Operation::Created,
        pipe_log::Operation::Connected => Operation::Connected,
    }
}

/// The schema field that a key supplies, if it does so by itself.
fn field(key: Key) -> Option<Field> {
    Some(match key {
        Key::ParentImage => Field::ParentImage,
        Key::IntegrityLevel => Field::Integrity,
        Key::Elevated => Field::Elevation,
        Key::SessionId => Field::Session,
        Key::RemoteOrigin => Field::RemoteOrigin,
        Key::Impersonating => Field::Impersonating,
        Key::DesiredAccess => Field::DesiredAccess,
        Key::CreateOptions => Field::CreateOptions,
        Key::Disposition => Field::Disposition,
        Key::Direction => Field::Direction,
        Key::PipeType => Field::PipeType,
        Key::ReadMode => Field::ReadMode,
        Key::RejectRemote => Field::RejectRemote,
        Key::MaxInstances => Field::MaxInstances,
        Key::InboundQuota => Field::InboundQuota,
        Key::OutboundQuota => Field::OutboundQuota,
        Key::DefaultTimeout => Field::DefaultTimeout,
        // With the user's name above; or a key of a later pipe-log.
        _ => return None,
    })
}

fn input(key: Key, value: &Value) -> Input<'_> {
    if key == Key::ParentImage {
        return match value {
            Value::Text(text) => Input::Text(text.units()),
            Value::Number(_) | Value::Flag(_) => Input::Unknown,
        };
    }
    let number = match value {
        Value::Number(number) => Some(*number),
        Value::Flag(flag) => Some(u64::from(*flag)),
        Value::Text(text) => named_number(key, &text.to_string()),
    };
    number.filter(|number| !is_flag(key) || *number <= 1).map_or(Input::Unknown, Input::Number)
}

fn is_flag(key: Key) -> bool {
    matches!(key, Key::Elevated | Key::RemoteOrigin | Key::Impersonating | Key::RejectRemote)
}

/// The number that a word stands for, under keys that have words.
fn named_number(key: Key, text: &str) -> Option<u64> {
    let words: &[(&str, u64)] = match key {
        Key::IntegrityLevel => {
            if let Some(level) = text.strip_prefix("S-1-16-") {
                return level.parse().ok();
            }
            &[
                ("untrusted", 0),
                ("low", 0x1000),
                ("medium", 0x2000),
                ("high", 0x3000),
                ("system", 0x4000),
            ]
        }
        Key::Direction => &[("inbound", 0), ("outbound", 1), ("duplex", 2), ("full duplex", 2)],
        Key::PipeType | Key::ReadMode => &[("byte", 0), ("message", 1)],
        key if is_flag(key) => &[("false", 0), ("true", 1)],
        _ => &[],
    };
    words.iter().find(|(word, _)| text.eq_ignore_ascii_case(word)).map(|(_, number)| *number)
}

/// Binary form of `S-1-5-18`.
fn sid_from_text(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('-');
    if !parts.next()?.eq_ignore_ascii_case("S") || parts.next()? != "1" {
        return None;
    }
    let authority: u64 = parts.next()?.parse().ok()?;
    let parts = parts.map(|part| part.parse().ok()).collect::<Option<Vec<u32>>>()?;
    sid(authority, &parts)
}

fn sid(authority: u64, parts: &[u32]) -> Option<Vec<u8>> {
    /// Windows' own bound.
    const MAX_PARTS: usize = 15;
    let [0, 0, authority @ ..] = authority.to_be_bytes() else {
        return None;
    };
    let count = u8::try_from(parts.len()).ok().filter(|count| usize::from(*count) <= MAX_PARTS)?;
    let mut bytes = vec![1, count];
    bytes.extend(authority);
    bytes.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
    Some(bytes)
}

/// SID of an account that is the same on every machine, by its English name.
fn well_known_sid(name: &str) -> Option<Vec<u8>> {
    let (domain, account) = name.split_once('\\').unwrap_or(("NT AUTHORITY", name));
    let is = |left: &str, right: &str| left.eq_ignore_ascii_case(right);
    let number_after = |prefix: &str| {
        let start = account.get(..prefix.len()).filter(|start| is(start, prefix))?;
        account.get(start.len()..)?.parse::<u32>().ok()
    };
    if is(domain, "Window Manager") {
        return sid(5, &[90, 0, number_after("DWM-")?]);
    }
    if is(domain, "Font Driver Host") {
        return sid(5, &[96, 0, number_after("UMFD-")?]);
    }
    let accounts = [
        ("ANONYMOUS LOGON", 7),
        ("SYSTEM", 18),
        ("LOCAL SERVICE", 19),
        ("LocalService", 19),
        ("NETWORK SERVICE", 20),
        ("NetworkService", 20),
    ];
    let found = accounts.iter().find(|(known, _)| is(account, known))?;
    if is(domain, "NT AUTHORITY") { sid(5, &[found.1]) } else { None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pipe_log::Wide;

    use super::*;

    fn event(image: Option<&str>) -> PipeEvent {
        PipeEvent {
            operation: pipe_log::Operation::Connected,
            pipe_name: r"\lsass".into(),
            image: image.map(Wide::from),
            process_id: None,
            user: None,
            time: None,
            other: BTreeMap::new(),
        }
    }

    fn get<'a>(inputs: &Inputs<'a>, field: Field) -> Input<'a> {
        inputs.try_input(field.index()).unwrap()
    }

    #[test]
    fn what_sysmon_logs() {
        let mut event = event(Some(r"C:\Windows\cmd.exe"));
        event.process_id = Some(4);
        event.user = Some(r"NT AUTHORITY\SYSTEM".into());
        let prepared = EventInputs::new(&event);
        let inputs = prepared.inputs(Missing::Absent);
        assert_eq!(get(&inputs, Field::Operation), Input::Number(2));
        assert_eq!(get(&inputs, Field::ProcessId), Input::Number(4));
        let name: Vec<u16> = "cmd.exe".encode_utf16().collect();
        assert_eq!(get(&inputs, Field::ImageName), Input::Text(&name));
        let system = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
        assert_eq!(get(&inputs, Field::User), Input::Sid(&system));
    }

    #[test]
    fn what_is_missing_is_absent_or_unknown_in_every_field_alike() {
        let event = event(None);
        let prepared = EventInputs::new(&event);
        let present = [Field::Operation, Field::PipeName];
        for (missing, expected) in
            [(Missing::Absent, Input::Absent), (Missing::Unknown, Input::Unknown)]
        {
            let inputs = prepared.inputs(missing);
            for field in Field::ALL.into_iter().filter(|field| !present.contains(field)) {
                assert_eq!(get(&inputs, field), expected, "{field:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_used_is_unknown_not_absent() {
        let mut event = event(None);
        event.user = Some(r"DESKTOP\bob".into());
        event.other.insert(Key::IntegrityLevel, Value::Text("hoch".into()));
        event.other.insert(Key::RemoteOrigin, Value::Number(7));
        let prepared = EventInputs::new(&event);
        let inputs = prepared.inputs(Missing::Absent);
        for field in [Field::User, Field::Integrity, Field::RemoteOrigin] {
            assert_eq!(get(&inputs, field), Input::Unknown, "{field:?}");
        }
    }

    #[test]
    fn words_and_flags() {
        let mut event = event(None);
        event.other = BTreeMap::from([
            (Key::IntegrityLevel, Value::Text("High".into())),
            (Key::RemoteOrigin, Value::Flag(true)),
            (Key::RejectRemote, Value::Text("False".into())),
            (Key::Direction, Value::Text("Duplex".into())),
            (Key::DesiredAccess, Value::Number(0x0012_019F)),
            (Key::UserSid, Value::Text("S-1-5-21-1-2-3-500".into())),
        ]);
        let prepared = EventInputs::new(&event);
        let inputs = prepared.inputs(Missing::Unknown);
        for (field, number) in [
            (Field::Integrity, 12_288),
            (Field::RemoteOrigin, 1),
            (Field::RejectRemote, 0),
            (Field::Direction, 2),
            (Field::DesiredAccess, 0x0012_019F),
        ] {
            assert_eq!(get(&inputs, field), Input::Number(number), "{field:?}");
        }
        let Input::Sid(sid) = get(&inputs, Field::User) else { panic!("no SID") };
        assert_eq!(sid.len(), 8 + 5 * 4);
    }

    #[test]
    fn every_key_supplies_a_field_or_the_user() {
        for key in Key::ALL {
            assert!(field(*key).is_some() || *key == Key::UserSid, "{key:?}");
        }
    }

    #[test]
    fn sids() {
        assert_eq!(sid_from_text("S-1-5-18"), well_known_sid(r"nt authority\system"));
        assert_eq!(sid_from_text("S-1-5-90-0-1"), well_known_sid(r"Window Manager\DWM-1"));
        for wrong in ["", "S", "S-1", "S-2-5-18", "S-1-5-x", "S-1-5-4294967296", "X-1-5-18"] {
            assert_eq!(sid_from_text(wrong), None, "{wrong}");
        }
        assert_eq!(sid_from_text(&format!("S-1-5{}", "-1".repeat(16))), None);
        assert_eq!(well_known_sid(r"DESKTOP\SYSTEM"), None);
    }
}
