//! The content pack builds, signs and loads, is silent on everyday events, and agrees with the
//! naive reference and with its golden verdicts on real ones.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use channel_compiler::{SourceRule, attach_signature, build, load_rules, naive, sign};
use channel_format::ruleset::{Action, Ruleset};
use channel_format::schema::{Field, Input, Inputs, Operation, SensorProfile, Truth};
use channel_format::signature::sha512;
use serde_json::{Value, json};

use common::{OPTIONS, blocking_key, content_folder, open, rule, test_key};

#[test]
fn the_pack_builds_signs_and_loads() {
    let rules = load_rules(&[content_folder()]).unwrap();
    for rule in &rules {
        assert!(!rule.references.is_empty(), "{} has no references", rule.title);
        assert!(rule.tags.iter().any(|tag| tag.starts_with("attack.t")), "{}", rule.title);
        assert!(rule.examples.iter().any(|example| example.matches), "{}", rule.title);
        assert!(rule.examples.iter().any(|example| !example.matches), "{}", rule.title);
    }
    assert!(rules.iter().any(|rule| rule.action == Action::Block));
    let mut file = build(&rules, &OPTIONS).unwrap();
    sign(&mut file, &blocking_key()).unwrap();
    let ruleset = open(&file, &blocking_key(), &SensorProfile::CURRENT).unwrap();
    assert!(ruleset.may_block());
    assert_eq!(ruleset.self_test(), Ok(()));
    for index in 0..ruleset.rule_count() {
        let rule = ruleset.rule(index).unwrap();
        let source = rules.iter().find(|source| source.id == rule.id).unwrap();
        assert_eq!((rule.title, rule.level), (source.title.as_str(), source.level));
        assert_eq!(
            (rule.action, rule.judges, rule.blocks),
            (source.action, source.judges, source.blocks)
        );
        assert!(rule.tags().eq(source.tags.iter().map(String::as_str)));
        assert!(rule.references().eq(source.references.iter().map(String::as_str)));
    }
}

#[test]
fn building_does_not_depend_on_the_order_of_rules() {
    let mut rules = load_rules(&[content_folder()]).unwrap();
    let file = build(&rules, &OPTIONS).unwrap();
    rules.reverse();
    assert_eq!(build(&rules, &OPTIONS).unwrap(), file);
}

#[test]
fn evaluation_agrees_with_the_reference_with_any_input_missing() {
    let rules = load_rules(&[content_folder()]).unwrap();
    let mut file = build(&rules, &OPTIONS).unwrap();
    sign(&mut file, &test_key()).unwrap();
    let ruleset = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap();
    assert!(!ruleset.may_block());
    let names = [
        r"\PSEXESVC",
        r"\lsass",
        r"\kekeo_tsssp_endpoint",
        r"\qfhaer",
        r"\MSSE-1234-server",
        r"\PSHost.1.2.DefaultAppDomain.notepad",
        r"\x-WORKSTATION5-7-stdout",
        r"\RemCom_communicaton",
        "",
    ];
    let images = [r"C:\Users\kim\Downloads\x.exe", r"C:\Windows\System32\svchost.exe", ""];
    for name in names {
        for image in images {
            for operation in Operation::ALL {
                for missing in 0..27_u8 {
                    check(&ruleset, &rules, name, image, operation, missing);
                }
            }
        }
    }
}

/// Compares for one event; in `missing`, digits of base 3 say whether operation, name and image
/// are given, unknown or absent.
fn check(
    ruleset: &Ruleset<Vec<u8>>,
    rules: &[SourceRule],
    name: &str,
    image: &str,
    operation: Operation,
    missing: u8,
) {
    let (name, image): (Vec<u16>, Vec<u16>) =
        (name.encode_utf16().collect(), image.encode_utf16().collect());
    let image_name = image.rsplit(|unit| *unit == u16::from(b'\\')).next().unwrap();
    let mut inputs = Inputs::unknown();
    let given = |digit: u8, input| match digit % 3 {
        0 => input,
        1 => Input::Unknown,
        _ => Input::Absent,
    };
    inputs.set(Field::Operation, given(missing, Input::Number(operation.number())));
    inputs.set(Field::PipeName, given(missing / 3, Input::Text(&name)));
    inputs.set(Field::ImagePath, given(missing / 9, Input::Text(&image)));
    inputs.set(Field::ImageName, given(missing / 9, Input::Text(image_name)));
    let mut truths = vec![Truth::False; rules.len()];
    let evaluation = ruleset.evaluate(&inputs, &mut |index, truth| truths[index as usize] = truth);
    assert!(evaluation.steps <= ruleset.header().steps_per_event);
    let count = |wanted| truths.iter().filter(|truth| **truth == wanted).count() as u32;
    assert_eq!(
        (evaluation.matched, evaluation.unknown),
        (count(Truth::True), count(Truth::Unknown))
    );
    for (index, truth) in truths.iter().enumerate() {
        let id = ruleset.rule(index as u32).unwrap().id;
        let rule = rules.iter().find(|rule| rule.id == id).unwrap();
        assert_eq!(naive::judge(rule, &inputs), *truth, "{} for {inputs:?}", rule.title);
    }
}

#[test]
fn the_pack_is_whole_and_says_where_it_is_from() {
    let rules = load_rules(&[content_folder()]).unwrap();
    assert!(rules.len() >= 60, "{} rules", rules.len());
    let index = fs::read_to_string(content_folder().join("README.md")).unwrap();
    let mut titles = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for rule in &rules {
        let title = &rule.title;
        assert!(ids.insert(rule.id.to_lowercase()), "{title}: its id {} is taken", rule.id);
        assert!(titles.insert(title.to_lowercase()), "{title}: its title is taken");
        assert!(rule.references.iter().all(|it| it.starts_with("https://")), "{title}");
        let file = rule.file.file_stem().unwrap().to_str().unwrap();
        assert!(index.contains(&format!("`{file}`")), "README.md does not name {file}");
        let text = fs::read_to_string(&rule.file).unwrap();
        for key in ["status", "description", "author", "date", "falsepositives", "level"] {
            assert!(text.contains(&format!("\n{key}:")), "{title} has no {key}");
        }
    }
}

#[test]
fn no_rule_fires_on_everyday_events() {
    let pack = Pack::load();
    let log = fs::read_to_string(content_folder().join("baseline.jsonl")).unwrap();
    let events: Vec<Event> = log.lines().map(Event::parse).collect();
    assert!(events.len() >= 250, "{} events", events.len());
    for operation in Operation::ALL {
        assert!(events.iter().any(|event| event.operation == operation.number()));
    }
    for (event, line) in events.iter().zip(log.lines()) {
        for (rule, truth) in pack.judge(&event.inputs()) {
            assert_eq!(truth, Truth::False, "{} for {line}", rule.title);
        }
        // Where the driver cannot name the program, a rule may hang on it, but none may fire.
        for (rule, truth) in pack.judge(&event.inputs_without_image()) {
            assert_ne!(truth, Truth::True, "{} without an image, for {line}", rule.title);
        }
    }
}

/// Some 1,400 events of real machines, where the workspace has them beside it.
#[test]
fn verdicts_on_real_events_are_the_golden_ones() {
    let Ok(log) = fs::read(common::root().join("../shared/data").join(REAL_LOG)) else {
        return;
    };
    let digest = sha512(&[&log]).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let log = String::from_utf8(log).unwrap();
    let pack = Pack::load();
    let (mut whole, mut imageless) = (Counts::new(), Counts::new());
    for line in log.lines() {
        let event = Event::parse(line);
        count(&mut whole, pack.judge(&event.inputs()));
        count(&mut imageless, pack.judge(&event.inputs_without_image()));
    }
    let found = json!({
        "log": REAL_LOG,
        "sha512": digest,
        "events": log.lines().count(),
        "rules": whole,
        "rules_where_no_image_is_known": imageless,
    });
    let path = common::root().join("tests/golden/verdicts/sysmon-pipe-events.json");
    if std::env::var_os("SAKER_WRITE_GOLDEN").is_some() {
        fs::write(&path, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
    }
    let golden: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(found["sha512"], golden["sha512"], "this is another log than the golden file's");
    assert_eq!(found, golden, "if that is meant, write it anew with SAKER_WRITE_GOLDEN=1");
}

/// The name of the real log, beside the workspace.
const REAL_LOG: &str = "sysmon-pipe-events.jsonl";

/// By file name, how often a rule matched and how often it could not be told; no entry is never.
type Counts = BTreeMap<String, BTreeMap<&'static str, u32>>;

fn count<'a>(counts: &mut Counts, verdicts: impl Iterator<Item = (&'a SourceRule, Truth)>) {
    for (rule, truth) in verdicts {
        let name = match truth {
            Truth::False => continue,
            Truth::True => "matched",
            Truth::Unknown => "unknown",
        };
        let file = rule.file.file_stem().unwrap().to_str().unwrap().to_owned();
        *counts.entry(file).or_default().entry(name).or_default() += 1;
    }
}

/// The pack as source and as tables, for questions to both.
struct Pack {
    ruleset: Ruleset<Vec<u8>>,
    /// In the order of the ruleset.
    rules: Vec<SourceRule>,
}

impl Pack {
    fn load() -> Self {
        let mut rules = load_rules(&[content_folder()]).unwrap();
        let mut file = build(&rules, &OPTIONS).unwrap();
        sign(&mut file, &test_key()).unwrap();
        let ruleset = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap();
        let place = |id: &str| {
            (0..ruleset.rule_count()).position(|index| ruleset.rule(index).unwrap().id == id)
        };
        rules.sort_by_key(|rule| place(&rule.id).unwrap());
        Self { ruleset, rules }
    }

    /// What the tables say, which must be what the reference says.
    fn judge(&self, inputs: &Inputs<'_>) -> impl Iterator<Item = (&SourceRule, Truth)> {
        let mut truths = vec![Truth::False; self.rules.len()];
        self.ruleset.evaluate(inputs, &mut |index, truth| truths[index as usize] = truth);
        for (rule, truth) in self.rules.iter().zip(&truths) {
            assert_eq!(naive::judge(rule, inputs), *truth, "{} for {inputs:?}", rule.title);
        }
        self.rules.iter().zip(truths)
    }
}

/// One line of a log, as the driver would see it.
struct Event {
    operation: u64,
    pipe: Vec<u16>,
    image: Vec<u16>,
    process: Option<u64>,
}

impl Event {
    fn parse(line: &str) -> Self {
        let event: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| event[name].as_str().unwrap();
        let pipe = text("PipeName");
        let pipe = if pipe == "<Anonymous Pipe>" { "" } else { pipe };
        let process = &event["ProcessId"];
        Self {
            operation: event["EventID"].as_u64().unwrap() - 16,
            pipe: pipe.encode_utf16().collect(),
            image: text("Image").encode_utf16().collect(),
            process: process.as_u64().or_else(|| process.as_str()?.parse().ok()),
        }
    }

    fn inputs_without_image(&self) -> Inputs<'_> {
        let mut inputs = Inputs::unknown();
        inputs.set(Field::Operation, Input::Number(self.operation));
        inputs.set(Field::PipeName, Input::Text(&self.pipe));
        if let Some(process) = self.process {
            inputs.set(Field::ProcessId, Input::Number(process));
        }
        inputs
    }

    fn inputs(&self) -> Inputs<'_> {
        let mut inputs = self.inputs_without_image();
        inputs.set(Field::ImagePath, Input::Text(&self.image));
        let name = self.image.rsplit(|unit| *unit == u16::from(b'\\')).next().unwrap();
        inputs.set(Field::ImageName, Input::Text(name));
        inputs
    }
}

#[test]
fn a_name_that_holds_the_word_for_no_name_is_still_a_name() {
    let matched = |name: &str| {
        let name: Vec<u16> = name.encode_utf16().collect();
        let mut inputs = Inputs::unknown();
        inputs.set(Field::Operation, Input::Number(1));
        inputs.set(Field::PipeName, Input::Text(&name));
        ["contains", "endswith", "re"].map(|modifier| {
            let item = format!("PipeName|{modifier}: '<Anonymous Pipe>'");
            let rules = [rule(&format!("    s: {{{item}}}\n    condition: s"))];
            let mut file = build(&rules, &OPTIONS).unwrap();
            attach_signature(&mut file, &test_key()).unwrap();
            let ruleset = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap();
            ruleset.evaluate(&inputs, &mut |_, _| ()).matched
        })
    };
    assert_eq!(matched(r"\my<Anonymous Pipe>"), [1; 3]);
    assert_eq!(matched(""), [1; 3], "what Sysmon calls so");
    assert_eq!(matched(r"\my"), [0; 3]);
}
