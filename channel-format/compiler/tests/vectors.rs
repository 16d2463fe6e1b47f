//! The test vectors for other readers: each refusal is shown by a file, and the index says what the
//! code says.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use channel_compiler::control::{ControlOptions, ControlSource};
use channel_compiler::incident::{resign, wild_table_index};
use channel_compiler::{SecretKey, attach_signature, build, build_for, load_rules, parse_rules};
use channel_format::anchor::Anchor;
use channel_format::control::{Control, Trust};
use channel_format::engine::criterion::{Criterion, Operator, RECORD_LEN, Search};
use channel_format::engine::program::FLAG_LIVE;
use channel_format::frame::{FileId, verify};
use channel_format::limits::{HEADER_LEN, SIGNED_LEN};
use channel_format::refusal::{Code, Refusal};
use channel_format::ruleset::{Ruleset, SectionKind};
use channel_format::schema::SensorProfile;
use channel_format::signature::{Role, sha512};
use serde_json::{Value, json};

use common::changed::with_section;
use common::{OPTIONS, blocking_key, root, scans, section, test_key};

/// What no file can show, and why.
const NOT_BY_A_FILE: [(Code, &str); 2] = [
    (Code::HeaderChanged, "a file that changes between two reads"),
    (Code::Internal, "a fault of the program"),
];

fn folder() -> PathBuf {
    root().join("tests/golden/v0/vectors")
}

fn roots() -> [SecretKey; 2] {
    [1, 2].map(|seed| SecretKey::from_seed([seed; 32], Role::Root, false, 0..=0).unwrap())
}

/// A file, and what judges it.
struct Vector {
    file: &'static str,
    anchor: &'static str,
    control: Option<&'static str>,
}

/// All files of the folder by name, and the vectors made of them.
#[derive(Default)]
struct Made {
    files: BTreeMap<&'static str, Vec<u8>>,
    vectors: Vec<Vector>,
}

impl Made {
    fn new() -> Self {
        let mut made = Self::default();
        made.anchors();
        let sound = made.sound();
        made.header(&sound);
        made.signatures(&sound);
        made.profile(&sound);
        made.tables(&sound);
        made.rules_and_examples(&sound);
        made.control(&sound);
        made
    }

    fn file(&mut self, name: &'static str, bytes: Vec<u8>) {
        assert!(self.files.insert(name, bytes).is_none(), "{name} is made twice");
    }

    /// A content file for a sensor that trusts the test key.
    fn add(&mut self, file: &'static str, bytes: Vec<u8>) {
        self.add_for(file, bytes, "content.anchor");
    }

    fn add_for(&mut self, file: &'static str, bytes: Vec<u8>, anchor: &'static str) {
        self.file(file, bytes);
        self.vectors.push(Vector { file, anchor, control: None });
    }

    /// A file that is there already, by another sensor.
    fn again(&mut self, file: &'static str, anchor: &'static str, control: Option<&'static str>) {
        self.vectors.push(Vector { file, anchor, control });
    }

    fn anchors(&mut self) {
        let [one, two] = roots().map(|key| key.public);
        let test = test_key().public;
        let encode = |roots: &[_], threshold, content: &[_]| {
            Anchor::encode(roots, threshold, content).unwrap().to_vec()
        };
        let narrow = SecretKey::from_seed(*SEED, Role::Content, false, 1..=9).unwrap().public;
        let same_root = SecretKey::from_seed(*SEED, Role::Root, false, 0..=0).unwrap().public;
        let content = encode(&[], 0, &[test]);
        let mut bad = content.clone();
        bad[8] = 1;
        let mut twice = encode(&[], 0, &[test, blocking_key().public]);
        twice.copy_within(16..64, 64);
        for (name, bytes) in [
            ("content.anchor", content),
            ("roots.anchor", encode(&[one, two], 2, &[])),
            ("other.anchor", encode(&[], 0, &[blocking_key().public])),
            ("narrow.anchor", encode(&[], 0, &[narrow])),
            ("same-root.anchor", encode(&[same_root], 1, &[])),
            ("blank.anchor", vec![0; 1024]),
            ("bad.anchor", bad),
            ("twice.anchor", twice),
        ] {
            self.file(name, bytes);
        }
    }

    fn sound(&mut self) -> Vec<u8> {
        let rules = load_rules(&[folder().join("rules.yml")]).unwrap();
        let mut sound = build(&rules, &OPTIONS).unwrap();
        attach_signature(&mut sound, &test_key()).unwrap();
        self.add("sound.sys", sound.clone());
        for anchor in ["blank.anchor", "bad.anchor", "twice.anchor", "other.anchor"] {
            self.again("sound.sys", anchor, None);
        }
        sound
    }

    /// What [`verify`] and the header's own checks refuse.
    fn header(&mut self, sound: &[u8]) {
        self.add("absent-zeros.sys", vec![0; 2048]);
        self.add("absent-empty.sys", Vec::new());
        self.add("absent-cut.sys", sound[..sound.len() - 1].to_vec());
        let mut torn = sound.to_vec();
        let tail = torn.len() - 512;
        torn[tail..].fill(0);
        self.add("absent-torn.sys", torn);
        self.add("longer.sys", [sound, &[0]].concat());
        let mut spoilt = sound.to_vec();
        spoilt[HEADER_LEN] ^= 1;
        self.add("digest.sys", spoilt);
        for (name, at, bytes) in [
            ("magic.sys", 0, &b"MZ"[..]),
            ("format-version.sys", 8, &[1]),
            ("header-length.sys", 10, &[1]),
            ("flags.sys", 12, &[2]),
            ("length-over-limit.sys", 19, &[1]),
            ("name-number.sys", 27, &[0xff]),
            ("template-type.sys", 36, &[0]),
            ("too-many-rules.sys", 55, &[1]),
            ("step-limit.sys", 63, &[1]),
            ("section-count.sys", 152, &[11]),
            ("section-missing.sys", 152, &[9]),
            ("section-kind.sys", 160, &[2]),
            ("section-size.sys", 164, &[1]),
            ("section-bounds.sys", 168, &[1]),
            ("reserved.sys", 511, &[1]),
            ("schema-version.sys", 38, &[1]),
            ("api-level.sys", 48, &[2]),
            ("unknown-field-in-header.sys", 47, &[1]),
            ("fields-used.sys", 41, &[0]),
            ("steps-per-event.sys", 56, &[0; 8]),
            ("steps-per-load.sys", 64, &[0; 8]),
        ] {
            let mut file = sound.to_vec();
            file[at..at + bytes.len()].copy_from_slice(bytes);
            // A header that cannot be read cannot be signed either, and need not be.
            let _ = resign(&mut file, &test_key());
            self.add(name, file);
        }
    }

    fn signatures(&mut self, sound: &[u8]) {
        let changed = |at: usize, bytes: &[u8]| {
            let mut file = sound.to_vec();
            file[at..at + bytes.len()].copy_from_slice(bytes);
            file
        };
        self.add("unsigned.sys", changed(SIGNED_LEN, &[0; 512]));
        self.add("signature-count.sys", changed(SIGNED_LEN, &[5]));
        self.add("bad-signature.sys", changed(520 + 16, &[0; 64]));
        let mut twice = changed(SIGNED_LEN, &[2]);
        twice.copy_within(520..600, 600);
        self.add("signed-twice.sys", twice);
        for (name, anchor, role, channels) in [
            ("forged-range.sys", "narrow.anchor", Role::Content, 1..=9),
            ("forged-role.sys", "same-root.anchor", Role::Root, 0..=0),
        ] {
            // Signed by the wide key, with the id of the narrow one in the slot.
            let key = SecretKey::from_seed(*SEED, role, false, channels).unwrap();
            self.add_for(name, changed(520, &key.public.id().0), anchor);
        }
    }

    fn profile(&mut self, _sound: &[u8]) {
        let text = "title: T\nid: 00000000-0000-4000-8000-000000000003\n\
                    logsource: {category: pipe_created}\n\
                    detection: {s: {ParentImage: 'C:\\a.exe'}, condition: s}\nlevel: low\n";
        let rules = parse_rules("parent.yml".as_ref(), text).unwrap();
        let mut file = build_for(&rules, &OPTIONS, &SensorProfile::FULL).unwrap();
        attach_signature(&mut file, &test_key()).unwrap();
        self.add("field-not-supplied.sys", file);
    }

    /// Criteria, automata, scans, triggers, programs.
    fn tables(&mut self, sound: &[u8]) {
        use SectionKind::{Automata, Criteria, Programs, Triggers, Units};
        self.add("wild-index.sys", wild_table_index(sound, &test_key()).unwrap());
        let criteria = section(sound, Criteria);
        let records: Vec<Criterion> = sound[criteria.clone()]
            .chunks_exact(RECORD_LEN)
            .map(|record| Criterion::read(record.try_into().unwrap()).unwrap())
            .collect();
        let place = |is: &dyn Fn(&Criterion) -> bool| {
            criteria.start + records.iter().position(is).unwrap() * RECORD_LEN
        };
        let literal = place(&|c| c.operator == Operator::Contains);
        let cover = place(&|c| c.search == Search::Cover);
        let number = place(&|c| c.operator.has_number());
        let units = section(sound, Units).start;
        let automata = section(sound, Automata).start;
        let programs = section(sound, Programs).start;
        let triggers = section(sound, Triggers).start;
        let scan = scans(sound)[0].clone();
        let live = (0..)
            .map(|index| programs + index * 8 + 3)
            .find(|at| sound[*at] & FLAG_LIVE != 0)
            .unwrap();
        for (name, at, bytes) in [
            ("unknown-field.sys", literal, &[23][..]),
            ("unknown-operator.sys", literal + 1, &[14]),
            ("operator-for-field.sys", number + 1, &[5]),
            ("unknown-search.sys", cover + 3, &[3]),
            ("literal-length.sys", literal + 4, &[0xff, 0xff]),
            ("not-folded.sys", units + 2, &[b'a', 0]),
            ("unit-classes.sys", automata + 8, &[0, 0]),
            ("state-table.sys", automata + 6, &[0, 0]),
            ("scan-table.sys", scan.slots.start, &[0x55; 4]),
            ("cover-without-search.sys", cover + 3, &[0]),
            ("trigger.sys", triggers, &[0xff; 4]),
            ("jump.sys", programs + 6, &[0xf0, 0x7f]),
            ("cover.sys", live, &[0]),
        ] {
            let mut file = sound.to_vec();
            file[at..at + bytes.len()].copy_from_slice(bytes);
            resign(&mut file, &test_key()).unwrap();
            self.add(name, file);
        }
        let longer = [&sound[section(sound, Units)], &[0, 0]].concat();
        self.add("trailing.sys", with_section(sound, Units, &longer));
    }

    fn rules_and_examples(&mut self, sound: &[u8]) {
        use SectionKind::{Examples, Rules, Text};
        let [rules, text, examples] =
            [Rules, Text, Examples].map(|kind| section(sound, kind).start);
        for (name, at, bytes) in [
            ("not-utf8.sys", text, &[0xff][..]),
            ("out-of-order.sys", rules + 4, &[0]),
            ("rule-level.sys", rules + 32, &[6]),
            ("bad-example.sys", examples + 4, &[4]),
            // The first example must match; this one says that it must not.
            ("example-fails.sys", examples + 4, &[2]),
        ] {
            let mut file = sound.to_vec();
            file[at..at + bytes.len()].copy_from_slice(bytes);
            resign(&mut file, &test_key()).unwrap();
            self.add(name, file);
        }
        self.add("no-examples.sys", with_section(sound, Examples, &[]));
    }

    /// Channel 0, and content that a sensor with one refuses.
    fn control(&mut self, sound: &[u8]) {
        let control = |text: &str, by: &[SecretKey]| {
            let source = ControlSource::parse(&format!("keys: [{{key: test, epochs: 1}}]\n{text}"));
            let options =
                ControlOptions { epoch: 0, sequence: 4, created: OPTIONS.created, expires: 0 };
            let mut file = source.unwrap().build(&[test_key().public], &options).unwrap();
            by.iter().for_each(|key| attach_signature(&mut file, key).unwrap());
            file
        };
        let both = roots();
        self.add_for("control.sys", control("", &both), "roots.anchor");
        self.add_for("control-one-root.sys", control("", &both[..1]), "roots.anchor");
        let mut records = control("", &both);
        // A first channel of 0: content keys do not sign channel 0.
        records[HEADER_LEN + 4] = 0;
        let digest = sha512(&[&records[HEADER_LEN..]]);
        records[88..152].copy_from_slice(&digest);
        records[SIGNED_LEN..HEADER_LEN].fill(0);
        both.iter().for_each(|key| attach_signature(&mut records, key).unwrap());
        self.add_for("control-record.sys", records, "roots.anchor");

        self.again("sound.sys", "roots.anchor", Some("control.sys"));
        let id: String = FileId::of(sound).0.iter().map(|byte| format!("{byte:02x}")).collect();
        let revoked = format!("files: [{id}]");
        let channel = |rest: &str| format!("channels: [{{channel: 291, {rest}}}]");
        for (name, text) in [
            ("control-least-epoch.sys", channel("least-epoch: 2")),
            ("control-range.sys", "revoked: [{channel: 291, epoch: 1, through: 7}]".into()),
            ("control-file.sys", revoked),
            ("control-floor.sys", channel("floor: 1-8")),
            ("control-halt.sys", channel("halted: true")),
            ("control-rules.sys", channel("rules: 3")),
        ] {
            self.file(name, control(&text, &both));
            self.again("sound.sys", "roots.anchor", Some(name));
        }
        let text = "keys: [{key: test, epochs: 2}]";
        let options =
            ControlOptions { epoch: 0, sequence: 5, created: OPTIONS.created, expires: 0 };
        let source = ControlSource::parse(text).unwrap();
        let mut later = source.build(&[test_key().public], &options).unwrap();
        both.iter().for_each(|key| attach_signature(&mut later, key).unwrap());
        self.file("control-later-epoch.sys", later);
        self.again("sound.sys", "roots.anchor", Some("control-later-epoch.sys"));
    }

    fn index(&self) -> Value {
        let vectors: Vec<Value> = self
            .vectors
            .iter()
            .map(|Vector { file, anchor, control }| {
                let read = |name: &str| self.files[name].clone();
                let control_bytes = control.map(read);
                let refusal = judge(&read(file), &read(anchor), control_bytes.as_deref()).err();
                json!({
                    "file": file,
                    "anchor": anchor,
                    "control": control,
                    "code": refusal.map(|refusal| refusal.code.number()),
                    "name": refusal.map(|refusal| refusal.code.name()),
                    "offset": refusal.map(|refusal| refusal.offset),
                    "expected": refusal.map(|refusal| refusal.expected),
                    "found": refusal.map(|refusal| refusal.found),
                })
            })
            .collect();
        let sensor = SensorProfile::CURRENT;
        json!({
            "format_version": sensor.format_version,
            "sensor": {
                "schema_version": sensor.schema_version,
                "api_level": sensor.api_level,
                "supplied": sensor.supplied.bits(),
            },
            "vectors": vectors,
        })
    }
}

/// The seed of [`test_key`].
const SEED: &[u8; 32] = b"SAKER TEST KEY - NOT A SECRET 00";

/// All that a sensor does with a file, in its order.
fn judge(file: &[u8], anchor: &[u8], control: Option<&[u8]>) -> Result<(), Refusal> {
    let anchor = Anchor::parse(anchor)?;
    let control = match control {
        Some(bytes) => Some(Control::parse(verify(bytes, &anchor)?.body(bytes)?)?),
        None => None,
    };
    let trust = Trust { anchor: &anchor, control: control.as_ref() };
    let signed = verify(file, &trust)?;
    trust.admits(&signed)?;
    let verified = signed.body(file)?;
    match verified.header().channel {
        0 => Control::parse(verified).map(|_| ()),
        _ => Ruleset::parse(verified, &SensorProfile::CURRENT)?.self_test(),
    }
}

#[test]
fn the_vectors_are_what_is_made_today_and_say_what_the_index_says() {
    let made = Made::new();
    let mut files: Vec<(&str, Vec<u8>)> = made.files.clone().into_iter().collect();
    let index = serde_json::to_string_pretty(&made.index()).unwrap() + "\n";
    files.push(("index.json", index.into_bytes()));
    for (name, bytes) in &files {
        let path = folder().join(name);
        if std::env::var_os("SAKER_WRITE_GOLDEN").is_some() {
            fs::write(&path, bytes).unwrap();
        }
        let found = fs::read(&path).unwrap_or_default();
        let same = if *name == "index.json" {
            // In which order the members of an object stand depends on who else is built.
            let value = |bytes| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
            value(&found) == value(bytes)
        } else {
            found == *bytes
        };
        assert!(same, "{name} differs from what is made today");
    }
    // Nothing else lies there.
    let mut names: Vec<_> = files.iter().map(|(name, _)| (*name).to_owned()).collect();
    names.extend(["README.md", "rules.yml"].map(String::from));
    names.sort();
    let entries = fs::read_dir(folder()).unwrap();
    let mut there: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    there.sort();
    assert_eq!(there, names);
}

/// By the index alone, as another reader would go.
#[test]
fn the_index_and_the_files_agree_and_each_refusal_is_shown() {
    // The test beside this one is writing them.
    if std::env::var_os("SAKER_WRITE_GOLDEN").is_some() {
        return;
    }
    let index: Value =
        serde_json::from_slice(&fs::read(folder().join("index.json")).unwrap()).unwrap();
    let read = |value: &Value| value.as_str().map(|name| fs::read(folder().join(name)).unwrap());
    let mut shown = Vec::new();
    let mut accepted = 0;
    for vector in index["vectors"].as_array().unwrap() {
        let (file, anchor) = (read(&vector["file"]).unwrap(), read(&vector["anchor"]).unwrap());
        let answer = judge(&file, &anchor, read(&vector["control"]).as_deref());
        let Err(refusal) = answer else {
            assert_eq!(vector["code"], Value::Null, "{vector}");
            accepted += 1;
            continue;
        };
        for (key, value) in [
            ("code", u64::from(refusal.code.number())),
            ("offset", refusal.offset.into()),
            ("expected", refusal.expected),
            ("found", refusal.found),
        ] {
            assert_eq!(vector[key], json!(value), "{key} of {vector}: {refusal}");
        }
        assert_eq!(vector["name"], refusal.code.name());
        shown.push(refusal.code);
    }
    assert!(accepted >= 3, "content, channel 0, content under channel 0");
    let not_shown: Vec<_> = Code::ALL.iter().filter(|code| !shown.contains(code)).collect();
    let excused: Vec<_> = NOT_BY_A_FILE.iter().map(|(code, _)| code).collect();
    assert_eq!(not_shown, excused);
    let shown = format!("{} of {}", Code::ALL.len() - excused.len(), Code::ALL.len());
    let page = fs::read_to_string(root().join("docs/safety.md")).unwrap();
    assert!(page.contains(&shown), "docs/safety.md does not say {shown}");
}
