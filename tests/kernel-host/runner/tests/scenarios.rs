//! The scenarios that Windows plays too, on the built driver.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::Bench;
use kernel_host_runner::Error;
use kernel_host_runner::scenario::{Stored, files, play};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vm/scenarios")
}

#[test]
fn every_scenario_goes_as_it_says() {
    let Some(bench) = Bench::new() else { return };
    let key = files::test_key().unwrap();
    let all = Stored::read_all(&folder()).unwrap();
    assert!(all.len() >= 8, "{} scenarios", all.len());
    for stored in all {
        let played = play::play(&stored, &bench.driver, &key);
        played.unwrap_or_else(|error| panic!("{}: {error}", stored.name()));
    }
}

/// Each scenario with something else expected at one place.
#[test]
fn a_scenario_that_goes_otherwise_is_told_with_its_step() {
    let Some(bench) = Bench::new() else { return };
    let key = files::test_key().unwrap();
    for (name, from, to, told) in [
        ("detect", r#""hits": [0] } }"#, r#""hits": [1] } }"#, "step 4, create"),
        ("no-content", r#""verdict": "not_ready""#, r#""verdict": "allow""#, "step 3, create"),
        ("no-content", r#""result": "made""#, r#""result": "denied""#, "step 3, create"),
    ] {
        let altered = altered(name, from, to);
        let stored = Stored::read(&altered.path).unwrap();
        let error = play::play(&stored, &bench.driver, &key).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn a_scenario_that_says_nonsense_is_refused() {
    for (name, from, to, told) in [
        (
            "detect",
            r#""file": "first" }"#,
            r#""file": "second" }"#,
            "step 2: `files` has no second",
        ),
        ("detect", r#"{ "step": "start" },"#, "", "step 2: the driver does not run"),
        ("detect", r#"{ "step": "stop" }"#, r#"{ "step": "mature" }"#, "does not end with `stop`"),
        ("detect", r#"{ "step": "stop" }"#, r#"{ "step": "start" }"#, "the driver runs already"),
        ("detect", r#""\\saker_scenario_detect""#, r#""saker_scenario_detect""#, "a backslash"),
        ("detect", r#""step": "stop""#, r#""step": "halt""#, "halt"),
        ("detect", r#""mode": "enforce","#, r#""mode": "enforce", "moed": 1,"#, "moed"),
        ("detect", r#""hits": [0]"#, r#""hits": [0], "rule": 1"#, "rule"),
    ] {
        let altered = altered(name, from, to);
        let error = Stored::read(&altered.path).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(Stored::read_all(empty.path()), Err(Error::Scenario { .. })));
}

/// The player on Windows knows every kind of step, and every word of a status that is expected.
#[test]
fn the_player_on_windows_knows_what_the_scenarios_use() {
    let player = include_str!("../../../vm/scenarios.ps1");
    let port = include_str!("../../../vm/port.ps1").to_ascii_lowercase();
    let (mut steps, mut words) = (BTreeSet::new(), BTreeSet::new());
    for stored in Stored::read_all(&folder()).unwrap() {
        let text = fs::read_to_string(&stored.path).unwrap();
        let scenario: Value = serde_json::from_str(&text).unwrap();
        for step in scenario["steps"].as_array().unwrap() {
            let name = step["step"].as_str().unwrap().to_owned();
            if name == "status" {
                words.extend(step["expect"].as_object().unwrap().keys().cloned());
            }
            steps.insert(name);
        }
    }
    assert_eq!(steps.len(), 6, "{steps:?}");
    for step in steps {
        assert!(player.contains(&format!("        '{step}' {{")), "{step}");
    }
    assert!(words.len() > 10, "{words:?}");
    for word in words {
        let property = format!("        {} ", word.replace('_', ""));
        let row = port.lines().find(|line| line.starts_with(&property));
        assert!(
            row.is_some_and(|row| row.contains("= read-saker") || row.contains("= (read-saker"))
        );
    }
}

struct Altered {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

/// A scenario with a part of its text replaced, and the rules beside it.
fn altered(name: &str, from: &str, to: &str) -> Altered {
    let text = fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
    assert!(text.contains(from), "{name}: {from}");
    let temporary = tempfile::tempdir().unwrap();
    for rules in ["pipes.yml", "newer.yml"] {
        fs::copy(folder().join(rules), temporary.path().join(rules)).unwrap();
    }
    let path = temporary.path().join(format!("{name}.json"));
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
    Altered { path, _folder: temporary }
}

#[test]
fn the_files_of_every_scenario_are_made_for_another_machine() {
    let out = tempfile::tempdir().unwrap();
    let key = files::test_key().unwrap();
    for stored in Stored::read_all(&folder()).unwrap() {
        files::write_all(&stored, &key, out.path()).unwrap();
        for (called, spec) in &stored.scenario.files {
            let path = out.path().join(stored.name()).join(called).join(files::name(spec));
            assert_eq!(fs::read(&path).unwrap(), files::make(&stored, spec, &key).unwrap());
        }
    }
}
