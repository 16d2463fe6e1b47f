//! What `inf/saker.inx` must say, as tests: each rule here is a known way to install a filter that
//! loads and sees nothing, or none at all.

#![cfg(test)]

use std::collections::BTreeMap;

/// The INF source as cargo finds it.
const INX: &str = include_str!("../../inf/saker.inx");

/// Sections by lower-case name, each a list of lines without comments.
type Sections = BTreeMap<String, Vec<String>>;

fn sections(text: &str) -> Sections {
    let mut sections = Sections::new();
    let mut current = String::new();
    for line in text.lines() {
        let line = line.split(';').next().unwrap_or_default().trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            current = name.to_ascii_lowercase();
            sections.entry(current.clone()).or_default();
        } else if !line.is_empty() {
            sections.entry(current.clone()).or_default().push(line.to_owned());
        }
    }
    sections
}

/// The value of `key = value` in a section, with `%strings%` replaced and without quotes.
fn value(sections: &Sections, section: &str, key: &str) -> Option<String> {
    let line = sections.get(&section.to_ascii_lowercase())?.iter().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        name.trim().eq_ignore_ascii_case(key).then(|| value.trim().to_owned())
    })?;
    Some(expanded(sections, &line).trim_matches('"').to_owned())
}

/// The lines of a section, with `%strings%` replaced.
fn lines(sections: &Sections, section: &str) -> Vec<String> {
    let lines = sections.get(&section.to_ascii_lowercase()).cloned().unwrap_or_default();
    lines.iter().map(|line| expanded(sections, line)).collect()
}

fn expanded(sections: &Sections, text: &str) -> String {
    let mut text = text.to_owned();
    for line in sections.get("strings").into_iter().flatten() {
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        text = text.replace(&format!("%{}%", name.trim()), value.trim().trim_matches('"'));
    }
    text
}

/// The registry lines that one of the two installations adds.
fn registry(sections: &Sections, install: &str) -> Vec<String> {
    let services = format!("{install}.Services");
    let service = value(sections, &services, "AddService").expect("an AddService directive");
    let service_section = service.rsplit(',').next().unwrap_or_default().trim().to_owned();
    let add = value(sections, &service_section, "AddReg").expect("an AddReg directive");
    add.split(',').flat_map(|section| lines(sections, section.trim())).collect()
}

const OLD: &str = "DefaultInstall.NT$ARCH$";
const NEW: &str = "DefaultInstall.NT$ARCH$.10.0...25952";

#[test]
fn the_version_section_is_complete() {
    let sections = sections(INX);
    for (key, expected) in [
        ("Class", "ActivityMonitor"),
        ("ClassGuid", "{b86dff51-a31e-4bac-b3cf-e8cfe75c9fc2}"),
        ("CatalogFile", "saker.cat"),
        ("PnpLockdown", "1"),
    ] {
        assert_eq!(value(&sections, "Version", key).as_deref(), Some(expected), "{key}");
    }
    assert!(value(&sections, "Version", "Provider").is_some());
    assert!(value(&sections, "Version", "DriverVer").is_some());
}

#[test]
fn it_is_a_primitive_driver() {
    let sections = sections(INX);
    assert!(!sections.contains_key("manufacturer"));
    assert!(!sections.contains_key("defaultinstall"), "an undecorated section forbids the others");
    for name in [OLD, NEW] {
        assert!(sections.contains_key(&name.to_ascii_lowercase()), "{name}");
    }
}

/// Trap 1: with bit 0 of the instance's flags set, a filter loads and attaches to nothing.
#[test]
fn instances_attach_by_themselves() {
    let sections = sections(INX);
    for install in [OLD, NEW] {
        let flags: Vec<String> = registry(&sections, install)
            .into_iter()
            .filter(|line| line.contains("\"Flags\""))
            .collect();
        assert!(!flags.is_empty(), "{install} sets no instance flags");
        for line in flags {
            assert_eq!(line.rsplit(',').next().map(str::trim), Some("0x0"), "{line}");
        }
    }
}

/// Trap 3: the filter manager of 24H2 looks below `Parameters`, older ones beside it.
#[test]
fn instances_are_where_each_windows_looks() {
    let sections = sections(INX);
    for (install, key) in [(OLD, "\"Instances"), (NEW, "\"Parameters\\Instances")] {
        let lines = registry(&sections, install);
        for value in ["\"DefaultInstance\"", "\"Altitude\"", "\"Flags\""] {
            assert!(
                lines.iter().any(|line| line.contains(value) && line.contains(key)),
                "{install}: no {value} below {key}"
            );
        }
        let others = lines.iter().filter(|line| line.contains("Instances") && !line.contains(key));
        assert_eq!(others.count(), 0, "{install} writes elsewhere too");
    }
}

#[test]
fn each_windows_gets_the_folder_it_wants() {
    let sections = sections(INX);
    for (install, directory) in [(NEW, "13"), (OLD, "12")] {
        let files = value(&sections, install, "CopyFiles").expect("a CopyFiles directive");
        let destination = value(&sections, "DestinationDirs", &files).expect("a destination");
        assert_eq!(destination, directory, "{install}");
    }
}

#[test]
fn the_altitude_is_in_its_group_and_free() {
    let sections = sections(INX);
    for install in [OLD, NEW] {
        let line = registry(&sections, install)
            .into_iter()
            .find(|line| line.contains("\"Altitude\""))
            .expect("an altitude");
        let altitude = line.rsplit(',').next().unwrap_or_default().trim().trim_matches('"');
        let whole: u32 =
            altitude.split('.').next().and_then(|text| text.parse().ok()).expect("a number");
        assert!((360_000..=389_999).contains(&whole), "{altitude}");
        // Process Monitor and Sysmon.
        assert!(!["385200", "385201"].contains(&altitude), "{altitude} is taken");
    }
}

#[test]
fn both_services_are_the_same_but_for_the_binary() {
    let sections = sections(INX);
    for install in [OLD, NEW] {
        let services = format!("{install}.Services");
        let service = value(&sections, &services, "AddService").expect("an AddService directive");
        let section = service.rsplit(',').next().unwrap_or_default().trim().to_owned();
        for (key, expected) in [
            ("ServiceType", "2"),
            ("StartType", "3"),
            ("ErrorControl", "1"),
            ("LoadOrderGroup", "FSFilter Activity Monitor"),
            ("Dependencies", "FltMgr"),
        ] {
            let found = value(&sections, &section, key);
            assert_eq!(found.as_deref(), Some(expected), "{section}: {key}");
        }
        let binary = value(&sections, &section, "ServiceBinary").expect("a binary");
        let directory = if install == NEW { "%13%" } else { "%12%" };
        assert_eq!(binary, format!("{directory}\\saker.sys"), "{section}");
    }
}

#[test]
fn the_parser_sees_what_is_wrong() {
    let spoiled = sections(&INX.replace("0x00010001, 0x0", "0x00010001, 0x1"));
    let flags: Vec<String> =
        registry(&spoiled, OLD).into_iter().filter(|line| line.contains("\"Flags\"")).collect();
    assert!(flags.iter().all(|line| line.ends_with("0x1")), "{flags:?}");
}
