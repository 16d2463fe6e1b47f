//! `driver/windbg`: the script reads the built driver's memory as WinDbg would give it, and the
//! visualizers name what the PDB has.
//!
//! The kernel host runs the driver in this process, so its memory is taken from here, with the
//! address of one symbol from the PDB. `windbg/debugger.js` gives it to the script under Node.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;
#[path = "windbg/image.rs"]
mod image;
#[path = "windbg/natvis.rs"]
mod natvis;

use common::{Bench, EXPLORER, RULES, created};
use driver_abi::crash::CrashNote;
use driver_abi::{Status, Verdict};
use image::{Debugger, MemoryImage};
use kernel_host::DumpBlock;
use kernel_host_runner::rig::Rig;
use serde_json::{Value, json};

const DOWNLOADED: Option<&str> = Some(r"\Device\HarddiskVolume3\Downloads\a.exe");
const NAMES: [&str; 6] = ["status", "content", "rules", "events", "process", "dump"];

/// A machine that has judged a little, at rest.
fn machine(bench: &Bench) -> Rig {
    let mut rig = bench.ready();
    for (pipe, image, verdict) in [
        (r"\odd", EXPLORER, Verdict::Detect),
        (r"\good", EXPLORER, Verdict::Allow),
        (r"\evil", DOWNLOADED, Verdict::Block),
        (r"\good", None, Verdict::Unknown),
    ] {
        assert_eq!(created(&mut rig, pipe, image), verdict);
    }
    // The crash note has the state that was composed last.
    rig.status().unwrap();
    rig
}

fn crash_note(rig: &Rig) -> (Vec<u8>, CrashNote) {
    let blocks = rig.kernel().bug_check(0x1_0000).unwrap();
    let [DumpBlock { data, .. }] = blocks.as_slice() else { panic!("{blocks:?}") };
    (data.clone(), CrashNote::decode(data).unwrap())
}

/// What a command returned.
fn value<'a>(results: &'a Value, name: &str) -> &'a Value {
    assert_eq!(results[name]["error"], Value::Null, "{name}");
    &results[name]["value"]
}

fn error<'a>(results: &'a Value, name: &str) -> &'a str {
    results[name]["error"].as_str().unwrap_or_else(|| panic!("{name}: {}", results[name]))
}

#[test]
fn the_script_tells_what_the_driver_holds() {
    let Some(bench) = Bench::new() else { return };
    let Some(debugger) = Debugger::find() else { return };
    let mut rig = machine(&bench);
    let status = rig.status().unwrap();
    let image = MemoryImage::of(rig.driver(), &bench.driver);
    let told = debugger.run(&image, &NAMES);

    status_is_told(value(&told, "status"), &status);
    content_is_told(value(&told, "content"), &status);
    rules_are_told(value(&told, "rules"));
    events_are_told(value(&told, "events"), status.events);
    processes_are_told(&told["process"]);
    note_is_told(value(&told, "dump"), &crash_note(&rig).1);
    assert_eq!(told["rules"]["lines"][1], "rule 1 a pipe to report, low, detect");
}

fn status_is_told(told: &Value, status: &Status) {
    let numbers = [
        ("events", status.events),
        ("detected", status.detected),
        ("blocked", status.blocked),
        ("exempt", status.exempt),
        ("unknown", status.unknown),
        ("not_ready", status.not_ready),
        ("fused", status.fused),
        ("untold", status.untold),
        ("dropped", status.dropped),
        ("stack_low", status.stack_low),
        ("wrong_irql", status.wrong_irql),
        ("no_memory", status.no_memory),
        ("nameless", status.nameless),
    ];
    for (name, number) in numbers {
        assert_eq!(told[name], number, "{name}");
    }
    assert!(status.events > 1_000 && status.detected > 0 && status.blocked > 0);
    // All but the rig's own passing of time created pipes, and so did that.
    assert_eq!(told["creates"], status.events);
    assert_eq!(told["state"], "running");
    assert_eq!(told["protection"], "full");
    assert_eq!((&told["mode"], &told["attached"]), (&json!("enforce"), &json!(true)));
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(told["content"], "channel 291, epoch and sequence 0, 1, 3 rules, good");
}

fn content_is_told(told: &Value, status: &Status) {
    let in_force = &told["in_force"];
    assert_eq!(in_force["channel"], status.channel);
    assert_eq!(in_force["epoch"], status.epoch);
    assert_eq!(in_force["sequence"], status.sequence);
    assert_eq!(in_force["rules"], status.rules);
    assert_eq!(in_force["may_block"], status.may_block);
    assert_eq!((&in_force["stage"], &in_force["fuse"]), (&json!("good"), &json!("whole")));
    assert_eq!(told["accepted"], status.accepted);
    assert_eq!(told["refused"], status.refused);
    assert!(told["scans"].as_u64() >= Some(status.scans));
    assert_eq!((&told["refusal"], &told["tried"]), (&json!("none"), &json!("0, 1")));
    assert_eq!(told["worker"], "waits");
}

fn rules_are_told(told: &Value) {
    let rules = told.as_array().unwrap();
    assert_eq!(rules.len(), 3);
    for (index, rule) in rules.iter().enumerate() {
        for name in ["id", "title"] {
            let line = format!("{name}: {}", rule[name].as_str().unwrap());
            assert!(RULES.contains(&line), "{line}");
        }
        assert_eq!((&rule["index"], &rule["untold"]), (&json!(index), &json!(0)));
    }
    assert_eq!((&rules[0]["level"], &rules[0]["action"]), (&json!("high"), &json!("block")));
    assert_eq!((&rules[1]["level"], &rules[1]["action"]), (&json!("low"), &json!("detect")));
}

fn events_are_told(told: &Value, events: u64) {
    assert_eq!(told["judging"], "nothing");
    let last = told["last"].as_array().unwrap();
    let told_of = |index: usize| {
        let verdict = &last[index];
        (verdict["event"].as_u64().unwrap(), verdict["verdict"].as_str().unwrap())
    };
    assert_eq!(told_of(0), (events, "unknown"));
    assert_eq!(told_of(1), (events - 1, "block"));
    assert_eq!(told_of(2), (events - 3, "detect"));
    assert_eq!(last[2]["title"], "a pipe to report");
    let [client] = told["clients"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!(client["interest"], "everything");
    let records = client["records"].as_array().unwrap();
    let record =
        |back: u64| records.iter().find(|record| record["event"] == events - back).unwrap();
    let (blocked, detected) = (record(1), record(3));
    assert_eq!((&blocked["pipe"], &blocked["verdict"]), (&json!(r"\evil"), &json!("block")));
    assert_eq!(blocked["image"], r"C:\Downloads\a.exe");
    assert_eq!(blocked["hits"].as_array().unwrap().len(), 2, "{blocked}");
    assert_eq!(detected["hits"], json!(["rule 1 a pipe to report"]));
    assert_eq!((&detected["process_id"], &detected["content"]), (&json!(4242), &json!("0, 1")));
    assert_eq!((&detected["operation"], &detected["waits"]), (&json!("created"), &json!(false)));
}

fn processes_are_told(told: &Value) {
    let processes = told["value"].as_array().unwrap();
    let images: Vec<&str> =
        processes.iter().map(|process| process["image"].as_str().unwrap()).collect();
    for image in [r"C:\Windows\explorer.exe", r"C:\Downloads\a.exe"] {
        assert!(images.contains(&image), "{images:?}");
    }
    assert!(told["lines"][0].as_str().unwrap().starts_with("0x"));
}

fn note_is_told(told: &Value, note: &CrashNote) {
    assert_eq!(told["version"], note.version.map(|part| part.to_string()).join("."));
    assert_eq!(told["protection"], "full");
    assert_eq!(told["content"], format!("{}, {}", note.epoch, note.sequence));
    let digest: String = note.digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(told["digest"], digest);
    let known: Vec<_> = note.verdicts.iter().flatten().collect();
    let verdicts = told["verdicts"].as_array().unwrap();
    assert_eq!(verdicts.len(), known.len());
    for (verdict, known) in verdicts.iter().zip(known) {
        assert_eq!(
            (&verdict["event"], &verdict["time"]),
            (&json!(known.event), &json!(known.time))
        );
        assert_eq!(verdict["verdict"], known.verdict.name());
    }
}

#[test]
fn a_word_chooses_rules_and_processes() {
    let Some(bench) = Bench::new() else { return };
    let Some(debugger) = Debugger::find() else { return };
    let image = MemoryImage::of(machine(&bench).driver(), &bench.driver);
    let told = debugger.run(&image, &["rules", "=REPORT", "process", "=downloads"]);
    assert_eq!(value(&told, "rules").as_array().unwrap().len(), 1);
    assert_eq!(value(&told, "process").as_array().unwrap().len(), 1);
    let told = debugger.run(&image, &["rules", "=no such word", "process", "=no such word"]);
    assert_eq!((value(&told, "rules"), value(&told, "process")), (&json!([]), &json!([])));
}

#[test]
fn a_driver_without_content_and_one_that_has_stopped_are_told() {
    let Some(bench) = Bench::new() else { return };
    let Some(debugger) = Debugger::find() else { return };
    let rig = bench.boot().boot().unwrap();
    let image = MemoryImage::of(rig.driver(), &bench.driver);
    let told = debugger.run(&image, &NAMES);
    assert_eq!(value(&told, "status")["content"], "none");
    assert_eq!(value(&told, "status")["protection"], "none (no_content)");
    assert_eq!(value(&told, "content")["in_force"], "none");
    assert_eq!(value(&told, "rules"), &json!([]));

    // As a driver that waits to be freed: its pointer to the sensor is null.
    let stopped = image.with_zeros(image.sensor_place(), 8);
    let told = debugger.run(&stopped, &NAMES);
    assert_eq!(value(&told, "status")["state"], "stopped");
    assert_eq!(value(&told, "events")["clients"], json!([]));
    for name in ["content", "rules", "process"] {
        assert!(error(&told, name).contains("does not run"), "{}", told[name]);
    }
}

#[test]
fn without_a_symbol_the_map_is_taken_by_its_address() {
    let Some(bench) = Bench::new() else { return };
    let Some(debugger) = Debugger::find() else { return };
    let image = MemoryImage::of(machine(&bench).driver(), &bench.driver);
    let nameless = MemoryImage { map: None, ..image.clone() };
    let told = debugger.run(&nameless, &["status"]);
    assert!(error(&told, "status").contains("saker.pdb"), "{told}");
    let place = format!("={:#x}", image.map.unwrap());
    let told = debugger.run(&nameless, &["at", &place, "status"]);
    assert_eq!(value(&told, "status")["state"], "running");
}

#[test]
fn a_dump_with_less_in_it_tells_what_it_has() {
    let Some(bench) = Bench::new() else { return };
    let Some(debugger) = Debugger::find() else { return };
    let rig = machine(&bench);
    let image = MemoryImage::of(rig.driver(), &bench.driver);

    // The driver's image alone: what lies in pool is told to be missing.
    let told = debugger.run(&image.only_driver(), &NAMES);
    assert_eq!(value(&told, "dump")["protection"], "full");
    for name in ["status", "content", "rules", "events", "process"] {
        assert!(error(&told, name).contains("not in this dump"), "{}", told[name]);
    }

    // Nothing but the block that Windows keeps for the driver.
    let (mut block, _) = crash_note(&rig);
    // A brace in the text beside the numbers is no other block's name.
    block[32] = b'{';
    let note = CrashNote::decode(&block).unwrap();
    let empty = MemoryImage { regions: Vec::new(), map: None, ..image.clone() };
    let told = debugger.run(&MemoryImage { enumtag: enumtag(&block), ..empty.clone() }, &NAMES);
    note_is_told(value(&told, "dump"), &note);
    assert!(error(&told, "status").contains("not in this dump"), "{told}");

    // A whole dump without symbols: the block names the map.
    assert_eq!(image.map, Some(note.map));
    let nameless = MemoryImage { map: None, enumtag: enumtag(&block), ..image.clone() };
    let told = debugger.run(&nameless, &NAMES);
    assert_eq!(value(&told, "status")["state"], "running");
    let told = debugger.run(&empty, &NAMES);
    assert!(error(&told, "dump").contains(".enumtag"), "{told}");
    let cut = MemoryImage { enumtag: enumtag(&block[..block.len() - 1]), ..empty };
    assert!(error(&debugger.run(&cut, &NAMES), "dump").contains(".enumtag"));
}

/// As the debugger prints the blocks of a dump.
fn enumtag(block: &[u8]) -> Vec<String> {
    let mut lines = vec![
        "{BC5C008F-1E3A-44D7-988D-D86F8C9B8D86} - 0x10 bytes".to_owned(),
        "  FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF  ................".to_owned(),
        format!("{{9C03AB1C-7C85-510A-41D9-F9D901469276}} - {:#x} bytes", block.len()),
    ];
    for row in block.chunks(16) {
        let numbers: Vec<String> = row.iter().map(|byte| format!("{byte:02X}")).collect();
        let text: String = row
            .iter()
            .map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' })
            .collect();
        lines.push(format!("  {:<47}  {text}", numbers.join(" ")));
    }
    lines
}

#[test]
fn a_map_of_another_version_or_none_at_all_is_refused() {
    let Some(bench) = Bench::new() else { return };
    let Some(debugger) = Debugger::find() else { return };
    let image = MemoryImage::of(machine(&bench).driver(), &bench.driver);
    let map = image.map.unwrap();
    let refused = [(0, "no map of saker.sys"), (8, "take the saker.js"), (12, "bytes long")];
    for (at, words) in refused {
        let told = debugger.run(&image.with_zeros(map + at, 1), &NAMES);
        for name in NAMES {
            assert!(error(&told, name).contains(words), "{name}: {}", told[name]);
        }
    }
}

/// What is not the driver's doing may have written anywhere; the script must end, in words of its
/// own.
#[test]
fn a_spoiled_map_or_structure_is_told_in_words() {
    let Some(bench) = Bench::new() else { return };
    let Some(debugger) = Debugger::find() else { return };
    let image = MemoryImage::of(machine(&bench).driver(), &bench.driver);
    let map = image.map.unwrap();
    let fields = (image.u32(map + 12) as u64 - 32) / 2;
    let mut spoiled: Vec<MemoryImage> =
        (0..fields).map(|field| image.with_bytes(map + 32 + 2 * field, &[0xFF; 2])).collect();
    let sensor = image.u64(image.sensor_place());
    spoiled.extend((0..512).step_by(4).map(|word| image.with_bytes(sensor + 8 * word, &[0xFE; 8])));
    for told in debugger.run_each(&spoiled, &NAMES) {
        for name in NAMES {
            let kind = told[name]["kind"].as_str();
            assert!(matches!(kind, None | Some("Error")), "{name}: {}", told[name]);
        }
    }
}

/// The script has its fields in the order in which the driver's source lists them.
#[test]
fn the_script_names_the_fields_as_the_driver_does() {
    let source = include_str!("../../../../driver/src/debug_map.rs");
    let rows = source.lines().skip_while(|line| !line.starts_with("const FIELDS"));
    let in_driver: Vec<&str> = rows
        .take_while(|line| *line != "};")
        .filter_map(|line| line.trim().strip_prefix('"')?.split_once('"').map(|(name, _)| name))
        .collect();
    let script = include_str!("../../../../driver/windbg/saker.js");
    let (_, list) = script.split_once("const FIELDS = [").unwrap();
    let (list, _) = list.split_once("];").unwrap();
    let in_script: Vec<&str> = list.split(',').map(|name| name.trim().trim_matches('\'')).collect();
    assert_eq!(in_script.strip_suffix(&[""]).unwrap(), in_driver);
    assert!(in_driver.len() > 60);
}

/// Nothing that is newer than ECMAScript 6, which is all that the debugger's engine has.
#[test]
fn the_script_is_as_old_as_the_debugger() {
    let script = include_str!("../../../../driver/windbg/saker.js");
    let code = script.lines().map(|line| line.split("//").next().unwrap_or(""));
    for (number, line) in code.enumerate() {
        for newer in ["?.", "??", "**", "async ", "await ", "BigInt", ".includes(", ".at(-", "...{"]
        {
            assert!(!line.contains(newer), "line {}: {newer}", number + 1);
        }
    }
}

/// The functions that the document stops at have a name in the PDB: the optimiser leaves few.
#[test]
fn the_document_stops_at_functions_that_there_are() {
    let Some(driver) = kernel_host::artifacts::path("saker.sys") else { return };
    let document = include_str!("../../../../docs/windows-vm.md");
    let functions = image::functions(&driver.with_extension("pdb"));
    let patterns = document.lines().filter_map(|line| line.strip_prefix("kd> bm saker!*"));
    let mut found = 0;
    for pattern in patterns.map(|pattern| pattern.trim_end_matches('*')) {
        assert!(functions.iter().any(|name| name.contains(pattern)), "{pattern}");
        found += 1;
    }
    assert!(found >= 4, "{found}");
    assert!(!functions.iter().any(|name| name.contains("pipe_filter::no_such_function")));
}

#[test]
fn every_visualizer_names_what_the_pdb_has() {
    let Some(driver) = kernel_host::artifacts::path("saker.sys") else { return };
    let text = include_str!("../../../../driver/windbg/saker.natvis");
    let types = natvis::Types::read(&driver.with_extension("pdb"));
    let checked = natvis::check(text, &types).unwrap();
    assert!(checked.types >= 10 && checked.paths >= 40, "{checked:?}");
}

#[test]
fn a_visualizer_of_what_is_not_there_is_refused() {
    let Some(driver) = kernel_host::artifacts::path("saker.sys") else { return };
    let types = natvis::Types::read(&driver.with_extension("pdb"));
    let with = |name: &str, path: &str| {
        format!(
            "<AutoVisualizer xmlns=\"http://schemas.microsoft.com/vstudio/debugger/natvis/2010\">\
             <Type Name=\"{name}\"><Expand><Item Name=\"x\">{path}</Item></Expand></Type>\
             </AutoVisualizer>"
        )
    };
    assert!(natvis::check(&with("saker::sensor::Counters", "events"), &types).is_ok());
    for (name, path, words) in [
        ("saker::sensor::NoSuchThing", "events", "NoSuchThing"),
        ("saker::sensor::Counters", "no_such_field", "no_such_field"),
        ("saker::crash_note::Note", "slots.further", "further"),
    ] {
        let refused = natvis::check(&with(name, path), &types).unwrap_err();
        assert!(refused.contains(words), "{refused}");
    }
    assert!(natvis::check("<AutoVisualizer>", &types).is_err());
}
