//! One judged pipe event in the forms of others: the Elastic Common Schema, the Open Cybersecurity
//! Schema Framework, and Sysmon's own names, which `sakerctl content eval` reads.
//!
//! The driver's clock counts from the boot; the times here are when `sakerctl` heard of the event.

use std::time::Duration;

use clap::ValueEnum;
use driver_abi::{EventRecord, Operation, Verdict};
use serde_json::{Map, Value, json};

use super::text::{event_json, sid};
use crate::content::time;

/// The version of ECS that [`Format::Ecs`] keeps to.
const ECS: &str = "8.11.0";
/// The version of OCSF that [`Format::Ocsf`] keeps to.
const OCSF: &str = "1.1.0";

/// A form for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Saker's own JSON
    Json,
    /// Elastic Common Schema
    Ecs,
    /// Open Cybersecurity Schema Framework, class 1001 (file system activity)
    Ocsf,
    /// Sysmon's names, events 17 and 18
    Sysmon,
}

impl Format {
    /// The event in this form; `None` where the form has one line an event and this record is not
    /// the event's last.
    pub fn event(self, event: &EventRecord, heard: Duration) -> Option<Value> {
        match self {
            Self::Json => Some(event_json(event)),
            Self::Ecs => Some(ecs(event, heard)),
            Self::Ocsf => Some(ocsf(event, heard)),
            Self::Sysmon => (!event.more).then(|| sysmon(event, heard)),
        }
    }
}

fn ecs(event: &EventRecord, heard: Duration) -> Value {
    let is_alert = matches!(event.verdict, Verdict::Detect | Verdict::Block | Verdict::Exempt);
    let (kind, action) = match event.operation {
        Operation::Created => ("creation", "pipe-created"),
        Operation::Connected => ("access", "pipe-connected"),
    };
    let allowed = if event.verdict == Verdict::Block { "denied" } else { "allowed" };
    let outcome = match (event.verdict, event.result) {
        (Verdict::Block, _) => "failure",
        (_, Some(0)) => "success",
        (_, Some(_)) => "failure",
        (_, None) => "unknown",
    };
    present(json!({
        "@timestamp": milliseconds(heard),
        "ecs": { "version": ECS },
        "event": {
            "kind": if is_alert { "alert" } else { "event" },
            "category": ["file"],
            "type": [kind, allowed],
            "action": action,
            "outcome": outcome,
            "module": "saker",
            "dataset": "saker.pipe",
            "provider": "Saker",
            "sequence": event.event,
        },
        "file": { "name": pipe(event) },
        "process": {
            "pid": event.process_id,
            "executable": image(event),
            "name": image(event).as_deref().map(file_name),
        },
        "user": { "id": sid(&event.user) },
        "rule": {
            "id": rules(event),
            "ruleset": content(event),
        },
        "saker": event_json(event),
    }))
}

fn ocsf(event: &EventRecord, heard: Duration) -> Value {
    const CLASS: u32 = 1001;
    let (activity, name) = match event.operation {
        Operation::Created => (1, "Create"),
        Operation::Connected => (14, "Open"),
    };
    let is_blocked = event.verdict == Verdict::Block;
    let (severity, severity_name) = match event.verdict {
        Verdict::Block | Verdict::Exempt => (4, "High"),
        Verdict::Detect => (3, "Medium"),
        Verdict::Allow | Verdict::Unknown | Verdict::NotReady => (1, "Informational"),
    };
    let (status, status_name) = match (is_blocked, event.result) {
        (true, _) => (2, "Failure"),
        (false, Some(0)) => (1, "Success"),
        (false, Some(_)) => (2, "Failure"),
        (false, None) => (0, "Unknown"),
    };
    let (disposition, disposition_name) = if is_blocked { (2, "Blocked") } else { (1, "Allowed") };
    present(json!({
        "metadata": {
            "version": OCSF,
            "product": {
                "name": "Saker",
                "vendor_name": "Saker",
                "version": env!("CARGO_PKG_VERSION"),
            },
            "profiles": ["security_control"],
            "sequence": event.event,
        },
        "time": u64::try_from(heard.as_millis()).unwrap_or(u64::MAX),
        "category_uid": 1,
        "category_name": "System Activity",
        "class_uid": CLASS,
        "class_name": "File System Activity",
        "activity_id": activity,
        "activity_name": name,
        "type_uid": CLASS * 100 + activity,
        "severity_id": severity,
        "severity": severity_name,
        "status_id": status,
        "status": status_name,
        "disposition_id": disposition,
        "disposition": disposition_name,
        "file": { "name": pipe(event), "type_id": 6, "type": "Named Pipe" },
        "actor": {
            "process": {
                "pid": event.process_id,
                "file": image(event).map(|path| json!({
                    "path": path, "name": file_name(&path), "type_id": 1,
                })),
            },
            "user": { "uid": sid(&event.user) },
        },
        "device": { "type_id": 0 },
        "unmapped": event_json(event),
    }))
}

fn sysmon(event: &EventRecord, heard: Duration) -> Value {
    let (id, kind) = match event.operation {
        Operation::Created => (17, "CreatePipe"),
        Operation::Connected => (18, "ConnectPipe"),
    };
    let name = Some(pipe(event)).filter(|name| !name.is_empty());
    present(json!({
        "EventID": id,
        "EventType": kind,
        "UtcTime": milliseconds(heard).trim_end_matches('Z').replacen('T', " ", 1),
        "ProcessId": event.process_id,
        "PipeName": name.unwrap_or_else(|| "<Anonymous Pipe>".into()),
        "Image": image(event),
        "UserSid": sid(&event.user),
        "SessionId": event.session,
        "IntegrityLevel": event.integrity,
        "Elevated": event.elevated,
        "Impersonating": event.impersonating,
        "RemoteOrigin": event.remote,
    }))
}

/// The same without what is not known.
fn present(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, present(value)));
            let is_there = |value: &Value| match value {
                Value::Null => false,
                Value::Object(fields) => !fields.is_empty(),
                _ => true,
            };
            Value::Object(fields.filter(|(_, value)| is_there(value)).collect::<Map<_, _>>())
        }
        other => other,
    }
}

/// The rules that matched. Their names are in the content, which the driver does not tell.
fn rules(event: &EventRecord) -> Vec<String> {
    let hits = event.hits().iter().filter(|hit| !hit.unknown);
    hits.map(|hit| format!("{}/{}", content(event), hit.rule)).collect()
}

fn content(event: &EventRecord) -> String {
    format!("{}-{}", event.epoch, event.sequence)
}

fn pipe(event: &EventRecord) -> String {
    String::from_utf16_lossy(event.name.units())
}

fn image(event: &EventRecord) -> Option<String> {
    event.image_known.then(|| String::from_utf16_lossy(event.image.units()))
}

fn file_name(path: &str) -> &str {
    path.rsplit('\\').next().unwrap_or(path)
}

/// `2024-07-19T04:09:00.123Z`.
fn milliseconds(since_1970: Duration) -> String {
    let whole = time::format(since_1970.as_secs());
    match whole.strip_suffix('Z') {
        Some(whole) => format!("{whole}.{:03}Z", since_1970.subsec_millis()),
        None => whole,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const HEARD: Duration = Duration::from_millis(1_721_362_140_123);

    fn record() -> EventRecord {
        let mut record = EventRecord::EMPTY;
        record.verdict = Verdict::Detect;
        record.event = 9;
        record.process_id = 4242;
        record.name.set(&r"\odd".encode_utf16().collect::<Vec<_>>());
        record.epoch = 1;
        record.sequence = 7;
        record
    }

    fn known() -> EventRecord {
        let mut record = record();
        record.image_known = true;
        record.image.set(&r"C:\Windows\explorer.exe".encode_utf16().collect::<Vec<_>>());
        record.result = Some(0);
        record.elevated = Some(true);
        record
    }

    #[test]
    fn ecs_says_what_happened_and_leaves_out_what_is_not_known() {
        let told = Format::Ecs.event(&known(), HEARD).unwrap();
        assert_eq!(told["@timestamp"], "2024-07-19T04:09:00.123Z");
        assert_eq!(told["event"]["kind"], "alert");
        assert_eq!(told["event"]["type"], json!(["creation", "allowed"]));
        assert_eq!(told["event"]["outcome"], "success");
        assert_eq!(told["file"]["name"], r"\odd");
        assert_eq!(told["process"]["name"], "explorer.exe");
        assert_eq!(told.get("user"), None);
        let told = Format::Ecs.event(&record(), HEARD).unwrap();
        assert_eq!(told["event"]["outcome"], "unknown");
        assert_eq!(told["process"], json!({ "pid": 4242 }));
    }

    #[test]
    fn a_block_is_a_denied_failure_in_each_form() {
        let mut record = known();
        (record.verdict, record.result) = (Verdict::Block, Some(0xC000_0022));
        let told = Format::Ecs.event(&record, HEARD).unwrap();
        assert_eq!(told["event"]["type"], json!(["creation", "denied"]));
        assert_eq!(told["event"]["outcome"], "failure");
        let told = Format::Ocsf.event(&record, HEARD).unwrap();
        assert_eq!((&told["disposition_id"], &told["status_id"]), (&2.into(), &2.into()));
    }

    #[test]
    fn ocsf_numbers_its_type_by_class_and_activity() {
        let told = Format::Ocsf.event(&known(), HEARD).unwrap();
        assert_eq!((&told["class_uid"], &told["type_uid"]), (&1001.into(), &100_101.into()));
        assert_eq!(told["file"]["type_id"], 6);
        assert_eq!(told["time"], 1_721_362_140_123_u64);
        assert_eq!(told["actor"]["process"]["file"]["name"], "explorer.exe");
        let mut opened = record();
        opened.operation = Operation::Connected;
        let told = Format::Ocsf.event(&opened, HEARD).unwrap();
        assert_eq!((&told["type_uid"], &told["activity_name"]), (&100_114.into(), &"Open".into()));
        assert_eq!(told["actor"]["process"].get("file"), None);
    }

    /// What is written in Sysmon's form is read back by what reads Sysmon's logs.
    #[test]
    fn sysmons_form_is_read_as_a_sysmon_log() {
        let mut log = tempfile::Builder::new().suffix(".jsonl").tempfile().unwrap();
        let mut opened = record();
        opened.operation = Operation::Connected;
        for record in [known(), opened] {
            writeln!(log, "{}", Format::Sysmon.event(&record, HEARD).unwrap()).unwrap();
        }
        let records = pipe_log::open(log.path()).unwrap();
        let events: Vec<_> = records.map(|record| record.body.unwrap()).collect();
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].operation, pipe_log::Operation::Created);
        assert_eq!(events[0].pipe_name.to_string(), r"\odd");
        assert_eq!(events[0].process_id, Some(4242));
        assert_eq!(events[0].time.as_ref().unwrap().to_string(), "2024-07-19 04:09:00.123");
        assert_eq!(
            events[0].other.get(&pipe_log::Key::Elevated),
            Some(&pipe_log::Value::Flag(true))
        );
        assert_eq!(
            (events[1].operation, &events[1].image),
            (pipe_log::Operation::Connected, &None)
        );
    }

    #[test]
    fn an_event_in_parts_is_one_line_for_sysmon() {
        let mut part = record();
        part.more = true;
        assert_eq!(Format::Sysmon.event(&part, HEARD), None);
        assert!(Format::Json.event(&part, HEARD).is_some());
    }
}
