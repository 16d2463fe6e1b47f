extern crate std;

use std::collections::BTreeSet;
use std::string::String;
use std::vec;
use std::vec::Vec;

use driver_abi::Instance;
use sha1::{Digest, Sha1};

use super::*;

/// The GUID of a provider's name, as every tool for event sources computes it: SHA-1 of a fixed
/// namespace and the name in upper case, UTF-16 big-endian; the version nibble says 5.
fn guid_of(name: &str) -> Guid {
    const NAMESPACE: [u8; 16] = [
        0x48, 0x2C, 0x2D, 0xB2, 0xC3, 0x90, 0x47, 0xC8, 0x87, 0xF8, 0x1A, 0x15, 0xBF, 0xC1, 0x30,
        0xFB,
    ];
    let mut hash = Sha1::new();
    hash.update(NAMESPACE);
    for unit in name.to_uppercase().encode_utf16() {
        hash.update(unit.to_be_bytes());
    }
    let hash: [u8; 20] = hash.finalize().into();
    let [a, b, c, d, e, f, g, h, rest @ ..] = hash;
    let data3 = u16::from_le_bytes([g, h & 0x0F | 0x50]);
    let mut data4 = [0; 8];
    data4.copy_from_slice(&rest[..8]);
    Guid {
        data1: u32::from_le_bytes([a, b, c, d]),
        data2: u16::from_le_bytes([e, f]),
        data3,
        data4,
    }
}

#[test]
fn the_guid_is_that_of_the_name() {
    // .NET's own provider of this name has this GUID, as its documentation says.
    let runtime = Guid {
        data1: 0x4959_2C0F,
        data2: 0x5A05,
        data3: 0x516D,
        data4: [0xAA, 0x4B, 0xA6, 0x4E, 0x02, 0x02, 0x6C, 0x89],
    };
    assert_eq!(guid_of("System.Runtime"), runtime);
    assert_eq!(guid_of(PROVIDER_NAME), PROVIDER_GUID);
    assert_ne!(guid_of("Saker2"), PROVIDER_GUID);
}

#[test]
fn the_provider_says_its_name() {
    assert_eq!(&PROVIDER_TRAITS, b"\x08\0Saker\0");
}

/// Byte by byte, one event that has each kind of type byte.
#[test]
fn an_event_describes_itself() {
    let refused = definition("ContentRefused");
    let expected: &[&[u8]] = &[
        b"\x7C\0\0ContentRefused\0",
        b"Epoch\0\x08Sequence\0\x08Code\0\x08Name\0\x17Fault\0\x17Offset\0\x08",
        b"Expected\0\x0AFound\0\x0AStatus\0\x87\x0E",
        b"Cause\0\x17",
    ];
    let mut expected = expected.concat();
    expected[0] = u8::try_from(expected.len()).unwrap();
    assert_eq!(refused.metadata, expected);
    let detection = definition("Detection").metadata;
    let has = |part: &[u8]| detection.windows(part.len()).any(|window| window == part);
    assert!(has(b"ProcessId\0\x88\x05") && has(b"PipeName\0\x16") && has(b"Rules\0\x48"));
    assert!(has(b"More\0\x84\x03") && has(b"User\0\x13") && has(b"Result\0\x87\x0E"));
}

fn definition(name: &str) -> &'static Definition {
    let mut all = DOCUMENTS.iter().map(|document| document.definition);
    all.find(|definition| definition.name() == name).expect("an event of that name")
}

#[test]
fn values_are_laid_out_as_described() {
    let event = Event::ContentRefused {
        epoch: 1,
        sequence: 2,
        code: 80,
        name: "Absent",
        fault: "file",
        offset: 3,
        expected: 4,
        found: 5,
        status: 0xC000_0034,
        cause: "held",
    };
    let mut out = [0xEE; SMALL_PAYLOAD];
    let len = event.encode(&mut out).unwrap();
    let mut expected = vec![1, 0, 0, 0, 2, 0, 0, 0, 80, 0, 0, 0, 6, 0];
    expected.extend(b"Absent\x04\0file\x03\0\0\0");
    expected.extend([4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0x34, 0, 0, 0xC0]);
    expected.extend(b"\x04\0held");
    assert_eq!(out[..len], expected);
    assert!(out[len..].iter().all(|byte| *byte == 0xEE));
    // With any byte less there is no event rather than half of one.
    for short in 0..len {
        assert_eq!(event.encode(&mut out[..short]), None, "{short}");
    }
}

#[test]
fn a_record_becomes_the_event_of_its_verdict() {
    let mut record = EventRecord::EMPTY;
    record.name.set(&[0x5C, 0xD800]);
    record.image.set(&[0x41; 400]);
    for rule in 0..48 {
        record.add_hit(Hit { rule, unknown: false });
    }
    for (verdict, name) in [
        (Verdict::Detect, Some("Detection")),
        (Verdict::Block, Some("Block")),
        (Verdict::Exempt, Some("Exempt")),
        (Verdict::Unknown, Some("Unknown")),
        (Verdict::Allow, None),
        (Verdict::NotReady, None),
    ] {
        record.verdict = verdict;
        let event = Event::of_record(&record);
        assert_eq!(event.map(|event| event.definition().name()), name);
        assert_eq!(definition_of(verdict).map(|definition| definition.name()), name);
    }
    record.verdict = Verdict::Block;
    record.user = Sid::new(&[[1, 15].as_slice(), &[7; 66]].concat()).unwrap();
    let mut out = [0; MAX_PAYLOAD];
    // The longest there is fits.
    record.name.set(&[0x42; 400]);
    assert!(Event::of_record(&record).unwrap().encode(&mut out).is_some());
}

#[test]
fn what_a_record_does_not_know_is_told_as_not_known() {
    let mut record = EventRecord::EMPTY;
    record.verdict = Verdict::Detect;
    let mut out = [0; MAX_PAYLOAD];
    let mut tail = |record: &EventRecord| {
        let len = Event::of_record(record).unwrap().encode(&mut out).unwrap();
        // Behind the empty texts and rules and the fixed numbers: what follows `More`.
        out[52..len].to_vec()
    };
    let not_known = b"\0\0\0\0\xFF\xFF\xFF\xFF\x07\0unknown\
        \x01\x01\0\0\0\0\0\0\0\0\0\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\
        \x07\0unknown\x07\0unknown\x07\0unknown";
    assert_eq!(tail(&record), not_known);
    record.untold = 9;
    record.result = Some(0xC000_0022);
    record.instance = Instance::Further;
    record.user = Sid::new(&[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]).unwrap();
    (record.session, record.integrity) = (Some(1), Some(0x4000));
    (record.elevated, record.impersonating) = (Some(true), Some(false));
    record.remote = Some(true);
    let known = b"\x09\0\0\0\x22\0\0\xC0\x07\0further\
        \x01\x01\0\0\0\0\0\x05\x12\0\0\0\x01\0\0\0\0\x40\0\0\
        \x03\0yes\x02\0no\x03\0yes";
    assert_eq!(tail(&record), known);
}

#[test]
fn names_and_keywords_are_distinct() {
    let names: BTreeSet<_> = DOCUMENTS.iter().map(|document| document.definition.name()).collect();
    assert_eq!(names.len(), DOCUMENTS.len());
    for document in DOCUMENTS {
        let fields: BTreeSet<_> = document.fields.iter().map(|field| field.name).collect();
        assert_eq!(fields.len(), document.fields.len(), "{}", document.definition.name());
    }
    assert_eq!(KEYWORDS.iter().fold(0, |bits, keyword| bits ^ keyword.bit).count_ones(), 4);
    // An event without a keyword would pass every listener's choice.
    assert!(DOCUMENTS.iter().all(|document| document.definition.keyword != 0));
}

/// What `docs/events.md` must hold; written with `SAKER_WRITE_DOCS=1`.
#[test]
fn the_document_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/events.md");
    let document = document();
    if std::env::var_os("SAKER_WRITE_DOCS").is_some() {
        std::fs::write(path, &document).expect("docs/events.md can be written");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == document, "docs/events.md is not what the tables say: SAKER_WRITE_DOCS=1");
}

fn document() -> String {
    let mut out = Vec::from([String::from(HEAD)]);
    let Guid { data1, data2, data3, data4 } = PROVIDER_GUID;
    let (node, tail) = data4.split_at(2);
    let hex =
        |bytes: &[u8]| bytes.iter().map(|byte| std::format!("{byte:02x}")).collect::<String>();
    out.push(std::format!(
        "Provider `{PROVIDER_NAME}`, GUID `{data1:08x}-{data2:04x}-{data3:04x}-{}-{}`.\n",
        hex(node),
        hex(tail)
    ));
    out.push("| keyword | bit | covers |\n|---|---|---|".into());
    for keyword in KEYWORDS {
        out.push(std::format!("| {} | {:#x} | {} |", keyword.name, keyword.bit, keyword.covers));
    }
    out.push("\n## Events".into());
    for Document { definition, doc, keyword, fields } in DOCUMENTS {
        let (name, level) = (definition.name(), definition.level.name());
        out.push(std::format!("\n### {name}\n{doc} Level {level}, {}.", keyword.name));
        if !fields.is_empty() {
            out.push("\n| field | type | meaning |\n|---|---|---|".into());
        }
        for field in *fields {
            out.push(std::format!("| {} | {} | {} |", field.name, field.kind.name(), field.doc));
        }
    }
    out.push(String::from(REFUSALS));
    for code in channel_format::refusal::Code::ALL {
        out.push(std::format!(
            "| {} | {} | {} | {} | {} |",
            code.number(),
            code.name(),
            code.fault().name(),
            code.summary(),
            code.remedy()
        ));
    }
    out.push(String::new());
    out.join("\n")
}

const HEAD: &str = "\
# Events and refusals

Made from the tables `driver/core/src/events/mod.rs` and `channel-format/src/refusal.rs`; a test keeps
it so (`SAKER_WRITE_DOCS=1 cargo test -p driver-core` writes it anew).

`saker.sys` writes these events to Event Tracing for Windows. They describe themselves (TraceLogging),
so a trace can be read without a manifest; they do not appear in the Event Viewer. Started with
`logman start saker -p {80548362-3b00-55a7-b6fe-ec332d94552a} 0xffffffff 4 -ets`, say; none of this
has been run on Windows yet.

Events about a pipe are written by the thread that also serves clients, not by the callback that
judges; what finds no room on the way is counted and told as `RecordsDropped`. Everything else is told
when the driver's state is seen to have changed, within two seconds. Before the first trace is started
nothing is kept.
";

const REFUSALS: &str = "
## Refusals
What `Code` of `ContentRefused`, the driver's status and `sakerctl` call a refusal.

| code | name | at fault | what is wrong | remedy |
|---|---|---|---|---|";
