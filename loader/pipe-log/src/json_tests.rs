//! Tests of the way from a line to an event.

use super::*;

fn parse(line: &str) -> Result<PipeEvent, RecordError> {
    event(line.as_bytes())
}

fn with(member: &str) -> Result<PipeEvent, RecordError> {
    parse(&format!(r#"{{"EventID":17,"PipeName":"\\a",{member}}}"#))
}

#[test]
fn a_sysmon_record() {
    let event = parse(
        r#"{"source":"x","EventID":18,"PipeName":"\\lsass","Image":"C:\\Windows\\System32\\a.exe",
            "ProcessId":"1244","UtcTime":"2023-07-19 16:02:20.136","User":"NT AUTHORITY\\SYSTEM"}"#,
    )
    .unwrap();
    assert_eq!(event.operation, Operation::Connected);
    assert_eq!(event.pipe_name, r"\lsass");
    assert_eq!(event.image.unwrap(), r"C:\Windows\System32\a.exe");
    assert_eq!(event.process_id, Some(1244));
    assert_eq!(event.user.unwrap(), r"NT AUTHORITY\SYSTEM");
    assert_eq!(event.time.unwrap(), "2023-07-19 16:02:20.136");
    assert!(event.other.is_empty());
}

#[test]
fn event_ids() {
    for (id, expected) in [
        ("17", Ok(Operation::Created)),
        ("18", Ok(Operation::Connected)),
        (r#""17""#, Ok(Operation::Created)),
        (r#""0x12""#, Ok(Operation::Connected)),
        ("1", Err(RecordError::OtherEvent { event_id: 1 })),
        ("19", Err(RecordError::OtherEvent { event_id: 19 })),
        ("null", Err(RecordError::NoEventId)),
    ] {
        let event = parse(&format!(r#"{{"EventID":{id},"PipeName":"\\a"}}"#));
        assert_eq!(event.map(|event| event.operation), expected, "{id}");
    }
    for id in ["17.0", "-17", "1e1", "[]", "{}", "true", r#""+17""#, r#""0x+11""#] {
        let event = parse(&format!(r#"{{"EventID":{id},"PipeName":"\\a"}}"#));
        assert!(matches!(event, Err(RecordError::BadValue { key: "EventID", .. })), "{id}");
    }
}

#[test]
fn event_type_decides_only_where_there_is_no_event_id() {
    let operation = |line| parse(line).map(|event| event.operation);
    let created = r#"{"EventType":"CreatePipe","PipeName":"\\a"}"#;
    assert_eq!(operation(created), Ok(Operation::Created));
    let connected = r#"{"EventID":18,"EventType":"INFO","PipeName":"\\a"}"#;
    assert_eq!(operation(connected), Ok(Operation::Connected));
    let neither = r#"{"EventType":"INFO","PipeName":"\\a"}"#;
    assert_eq!(operation(neither), Err(RecordError::NoEventId));
}

#[test]
fn the_time_is_sysmons_own_or_that_of_the_envelope() {
    let time = |line: &str| parse(line).unwrap().time.map(|time| time.to_string());
    let event = |system: &str, data: &str| {
        format!(
            r#"{{"Event":{{"System":{{"EventID":17{system}}},"EventData":{{"PipeName":"\\a"{data}}}}},
                "@timestamp":"2024-07-19T04:09:09Z"}}"#
        )
    };
    let created = r##","TimeCreated":{"#attributes":{"SystemTime":"2024-07-19T04:09:01Z"}}"##;
    let own = r#","UtcTime":"2024-07-19 04:09:00.123""#;
    assert_eq!(time(&event(created, own)).unwrap(), "2024-07-19 04:09:00.123");
    for system in [
        created,
        r#","TimeCreated":{"SystemTime":"2024-07-19T04:09:01Z"}"#,
        r#","TimeCreated":"2024-07-19T04:09:01Z""#,
        r#","TimeCreated_attributes":{"SystemTime":"2024-07-19T04:09:01Z"}"#,
    ] {
        assert_eq!(time(&event(system, "")).unwrap(), "2024-07-19T04:09:01Z", "{system}");
    }
    assert_eq!(time(&event("", "")).unwrap(), "2024-07-19T04:09:09Z");
    let flat = |member: &str| time(&format!(r#"{{"EventID":17,"PipeName":"\\a"{member}}}"#));
    assert_eq!(flat(r#","TimeCreated":"2024""#).unwrap(), "2024");
    assert_eq!(flat(r#","@timestamp":1721362140000"#).unwrap(), "1721362140000");
    assert_eq!(flat(""), None);
    // What cannot be read is no time, and no reason to lose the event.
    for member in [
        r#","TimeCreated":[1]"#,
        r#","TimeCreated":{"SystemTime":{}}"#,
        r##","TimeCreated":{"#attributes":[]}"##,
        r#","@timestamp":null"#,
        r#","@timestamp":"-""#,
        r#","@timestamp":1,"@timestamp":2"#,
    ] {
        assert_eq!(flat(member), None, "{member}");
    }
}

#[test]
fn process_ids() {
    for (id, expected) in [
        ("4", Some(4)),
        (r#""4""#, Some(4)),
        (r#""0x1F4""#, Some(500)),
        ("null", None),
        (r#""""#, None),
        (r#""-""#, None),
    ] {
        assert_eq!(with(&format!(r#""ProcessId":{id}"#)).unwrap().process_id, expected, "{id}");
    }
    for id in ["-1", "1.5", r#""x""#, r#"" 4""#, "18446744073709551616", "[4]"] {
        let event = with(&format!(r#""ProcessId":{id}"#));
        assert!(matches!(event, Err(RecordError::BadValue { key: "ProcessId", .. })), "{id}");
    }
}

#[test]
fn missing_null_and_anonymous() {
    let event = with(r#""Image":null"#).unwrap();
    assert_eq!((event.image, event.user, event.process_id), (None, None, None));
    let anonymous = parse(r#"{"EventID":17,"PipeName":"<Anonymous Pipe>"}"#).unwrap();
    assert!(anonymous.pipe_name.is_empty());
    assert_eq!(parse(r#"{"EventID":17}"#), Err(RecordError::NoPipeName));
    assert_eq!(parse(r#"{"EventID":17,"PipeName":null}"#), Err(RecordError::NoPipeName));
    assert!(matches!(
        parse(r#"{"EventID":17,"PipeName":5}"#),
        Err(RecordError::BadValue { key: "PipeName", .. })
    ));
}

#[test]
fn lone_surrogates_and_nul_are_kept() {
    let event = parse(r#"{"EventID":17,"PipeName":"\\a\ud800\u0000\ude00\ud83d\ude00é"}"#).unwrap();
    assert_eq!(event.pipe_name.units(), [0x5C, 0x61, 0xD800, 0, 0xDE00, 0xD83D, 0xDE00, 0xE9],);
}

#[test]
fn a_lone_surrogate_in_a_key_that_is_not_read_does_no_harm() {
    assert!(with(r#""Description":"\udfff""#).is_ok());
}

#[test]
fn other_schema_inputs_under_their_keys() {
    let event = with(
        r#""IntegrityLevel":"High","TerminalSessionId":"2","RemoteOrigin":true,
           "DesiredAccess":"0x12019F","MaxInstances":255,"ParentImage":"7","PipeDirection":"Duplex""#,
    )
    .unwrap();
    let expected = [
        (Key::ParentImage, Value::Text("7".into())),
        (Key::IntegrityLevel, Value::Text("High".into())),
        (Key::SessionId, Value::Number(2)),
        (Key::RemoteOrigin, Value::Flag(true)),
        (Key::DesiredAccess, Value::Number(0x0012_019F)),
        (Key::Direction, Value::Text("Duplex".into())),
        (Key::MaxInstances, Value::Number(255)),
    ];
    assert_eq!(event.other, expected.into());
    assert!(matches!(with(r#""MaxInstances":[1]"#), Err(RecordError::BadValue { .. })));
}

#[test]
fn the_preferred_name_goes_before_its_alias() {
    let event = with(r#""TerminalSessionId":1,"SessionId":2"#).unwrap();
    assert_eq!(event.other, [(Key::SessionId, Value::Number(2))].into());
}

#[test]
fn a_key_given_twice_is_refused_only_where_it_is_read() {
    assert_eq!(with(r#""EventID":18"#), Err(RecordError::GivenTwice { key: "EventID" }),);
    assert!(with(r#""x":1,"x":2"#).is_ok());
}

#[test]
fn event_log_and_winlogbeat_shapes() {
    let lines = [
        r#"{"Event":{"System":{"EventID":17},"EventData":{"PipeName":"\\a","ProcessId":8}}}"#,
        r##"{"Event":{"System":{"EventID":{"#attributes":{"Qualifiers":1},"#text":17}},
             "EventData":{"PipeName":"\\a","ProcessId":"8"}}}"##,
        r#"{"winlog":{"event_id":"17","event_data":{"PipeName":"\\a","ProcessId":"8"}}}"#,
        r#"{"winlog":{"event_id":17,"event_data":{"PipeName":"\\a","ProcessId":"8"}},"Event":1}"#,
    ];
    for line in lines {
        let event = parse(line).unwrap();
        assert_eq!(event.operation, Operation::Created);
        assert_eq!(event.pipe_name, r"\a");
        assert_eq!(event.process_id, Some(8));
    }
    assert_eq!(
        parse(r#"{"Event":{"System":{"EventID":1},"EventData":null}}"#),
        Err(RecordError::OtherEvent { event_id: 1 })
    );
}

#[test]
fn what_is_no_object_is_said() {
    assert_eq!(parse("[1,2]"), Err(RecordError::NotAnObject { found: "an array" }));
    assert_eq!(parse("17"), Err(RecordError::NotAnObject { found: "a number" }));
    assert_eq!(parse("null"), Err(RecordError::NotAnObject { found: "other text" }));
    for line in ["{", "[", "{]", "EventID=17", "{\"a\":1}x", "\0\0\0", r#"{"a":"\ud8"}"#] {
        assert!(matches!(parse(line), Err(RecordError::NotJson { .. })), "{line}");
    }
    assert_eq!(event(b"{\"a\":\"\xFF\"}"), Err(RecordError::NotUtf8 { offset: 6 }));
    assert_eq!(
        parse("{\"EventID\":17,").unwrap_err().to_string(),
        "not JSON: EOF while parsing a value (column 14)"
    );
}

#[test]
fn deep_nesting_costs_no_stack() {
    let deep = "[".repeat(200_000);
    let closed = format!(r#"{{"EventID":17,"PipeName":"\\a","x":{deep}{}}}"#, "]".repeat(200_000));
    assert!(parse(&closed).is_ok());
    assert!(parse(&deep).is_err());
    assert!(parse(&format!(r#"{{"EventID":{deep}"#)).is_err());
}

proptest::proptest! {
    #[test]
    fn any_line_gives_an_event_or_an_error(line: Vec<u8>) {
        let _ = event(&line);
    }

    #[test]
    fn any_cut_or_byte_change_of_a_record_gives_an_event_or_an_error(
        at in 0_usize..110, byte: u8, cut: bool,
    ) {
        let mut line = br#"{"EventID":17,"PipeName":"\\a\ud800\"","Image":"C:\\b","ProcessId":"0x4",
            "RemoteOrigin":true,"Event":{}}"#.to_vec();
        if cut { line.truncate(at) } else { line[at] = byte }
        let _ = event(&line);
    }
}
