//! Whole logs of both formats, good and bad.

mod evtx_file;

use std::path::Path;

use pipe_log::{LogError, Operation, Record, RecordError, open};

fn read(bytes: &[u8]) -> Vec<Record> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    open(file.path()).unwrap().collect()
}

fn sample_evtx() -> Vec<u8> {
    evtx_file::log(&[
        (
            "17",
            &[
                ("PipeName", r"\svchost"),
                ("Image", r"C:\Windows\svchost.exe"),
                ("ProcessId", "1120"),
                ("User", r"NT AUTHORITY\SYSTEM"),
            ],
        ),
        ("1", &[("Image", r"C:\Windows\svchost.exe")]),
        ("18", &[("PipeName", "<Anonymous Pipe>"), ("Image", "System"), ("ProcessId", "4")]),
    ])
}

#[test]
fn a_log_with_bad_lines_keeps_its_count() {
    let mut log = Vec::new();
    log.extend(b"\xEF\xBB\xBF{\"EventID\":17,\"PipeName\":\"\\\\a\"}\r\n");
    log.extend(b"\r\n");
    log.extend(b"{\"EventID\":1}\r\n");
    log.extend(b"{\"EventID\":17,\"Pipe\r\n");
    log.extend(b"\xFF\xFE\r\n");
    log.extend(b"\0\0\0\0\r\n");
    log.extend(vec![b'x'; pipe_log::MAX_LINE + 1]);
    log.extend(b"\n{\"EventID\":\"18\",\"PipeName\":\"\\\\b\"}");
    let records = read(&log);

    assert_eq!(
        records.iter().map(|record| record.index).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4, 5, 6]
    );
    assert_eq!(records[0].body.as_ref().unwrap().pipe_name, r"\a");
    assert_eq!(records[1].body, Err(RecordError::OtherEvent { event_id: 1 }));
    assert!(matches!(records[2].body, Err(RecordError::NotJson { .. })));
    assert_eq!(records[3].body, Err(RecordError::NotUtf8 { offset: 0 }));
    assert!(matches!(records[4].body, Err(RecordError::NotJson { .. })));
    assert!(matches!(records[5].body, Err(RecordError::TooLong { .. })));
    assert_eq!(records[6].body.as_ref().unwrap().operation, Operation::Connected);
}

#[test]
fn an_event_log_is_known_by_its_content() {
    let records = read(&sample_evtx());
    assert_eq!(records.len(), 3, "{records:?}");
    let first = records[0].body.as_ref().unwrap();
    assert_eq!(first.operation, Operation::Created);
    assert_eq!(first.pipe_name, r"\svchost");
    assert_eq!(first.image.as_ref().unwrap(), &r"C:\Windows\svchost.exe");
    assert_eq!(first.process_id, Some(1120));
    assert_eq!(first.user.as_ref().unwrap(), &r"NT AUTHORITY\SYSTEM");
    assert_eq!(records[1].body, Err(RecordError::OtherEvent { event_id: 1 }));
    let last = records[2].body.as_ref().unwrap();
    assert!(last.pipe_name.is_empty());
    assert_eq!(last.operation, Operation::Connected);
}

#[test]
fn every_cut_and_many_changes_of_an_event_log_are_survived() {
    let log = sample_evtx();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let count = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        match open(&path) {
            Ok(reader) => reader.count(),
            Err(LogError::Evtx { .. }) => 0,
            Err(other) => panic!("{other}"),
        }
    };
    // The records lie in the first 3 KiB of the chunk, which starts at 4,096.
    for cut in (8..7_000).step_by(37) {
        assert!(count(&log[..cut]) <= 4, "cut at {cut}");
    }
    for at in (4_096..7_000).step_by(5) {
        let mut changed = log.clone();
        changed[at] ^= 0xFF;
        count(&changed);
    }
}

#[test]
fn what_cannot_be_opened_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let missing = open(&folder.path().join("none")).unwrap_err();
    assert!(matches!(missing, LogError::Unreadable { .. }), "{missing}");
    assert!(matches!(open(folder.path()), Err(LogError::Unreadable { .. })));

    let utf16 = folder.path().join("utf16.jsonl");
    std::fs::write(&utf16, b"\xFF\xFE{\0}\0").unwrap();
    assert!(matches!(open(&utf16), Err(LogError::Utf16 { .. })));

    let empty = folder.path().join("empty");
    std::fs::write(&empty, b"").unwrap();
    assert_eq!(open(&empty).unwrap().count(), 0);
}

#[test]
fn progress_ends_at_the_files_length() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"{}\n{}\n").unwrap();
    let mut reader = open(file.path()).unwrap();
    assert_eq!(reader.by_ref().count(), 2);
    assert_eq!((reader.progress().done, reader.progress().total), (6, 6));
}

#[test]
fn the_collection_of_real_events() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/sysmon-pipe-events.jsonl");
    if !path.exists() {
        println!("skipped: no {}", path.display());
        return;
    }
    let events: Vec<_> = open(&path).unwrap().map(|record| record.body.unwrap()).collect();
    assert_eq!(events.len(), 1_391);
    let connects = events.iter().filter(|event| event.operation == Operation::Connected).count();
    assert_eq!(connects, 1_166);
    let without_letter = |event: &&pipe_log::PipeEvent| {
        event.image.as_ref().is_some_and(|image| image.units().get(1) != Some(&0x3A))
    };
    println!("{} images without a drive letter", events.iter().filter(without_letter).count());
    assert!(events.iter().any(|event| event.process_id.is_none()));
}
