//! The INF of the project keeps every rule, and each rule turns red on an example.

use super::*;
use crate::inf::{Arch, Stamp};

const INX: &str = include_str!("../../../inf/saker.inx");

/// The rules that a text does not keep, each once.
fn broken(text: &str) -> BTreeSet<&'static str> {
    faults(text).into_iter().map(|fault| fault.rule).collect()
}

#[test]
fn the_projects_inf_keeps_every_rule() {
    assert_eq!(faults(INX), []);
    for arch in Arch::ALL {
        let stamped = Stamp { arch, date: "11/24/2026".into(), version: "0.1.0.7".into() };
        let text = stamped.apply(INX).unwrap();
        assert_eq!(faults(&text), [], "{arch:?}");
    }
}

/// The rule that must turn red, what is changed in the INF, and to what.
const EXAMPLES: &[(&str, &str, &str)] = &[
    ("version", "Signature   = \"$WINDOWS NT$\"", "Signature = \"$CHICAGO$\""),
    ("version", "Provider    = %Provider%", ""),
    ("version", "CatalogFile = saker.cat", "CatalogFile = saker.sys"),
    ("class", "Class       = \"ActivityMonitor\"", "Class = \"AntiVirus\""),
    ("class", "{b86dff51-a31e-4bac-b3cf-e8cfe75c9fc2}", "{b1d1a169-c54f-4379-81db-bee7d88d7454}"),
    ("lockdown", "PnpLockdown = 1", ""),
    ("lockdown", "PnpLockdown = 1", "PnpLockdown = 0"),
    ("driver-version", "01/01/2026,0.1.0.0", "2026-01-01,0.1.0.0"),
    ("driver-version", "01/01/2026,0.1.0.0", "01/01/2026,0.1.0"),
    ("driver-version", "01/01/2026,0.1.0.0", "13/01/2026,0.1.0.0"),
    ("driver-version", "01/01/2026,0.1.0.0", "01/01/2026,0.1.0.65536"),
    ("primitive", "[SourceDisksNames]", "[Manufacturer]\n%Provider% = x\n\n[SourceDisksNames]"),
    ("decorated", "[SourceDisksNames]", "[DefaultInstall]\n\n[SourceDisksNames]"),
    ("legacy-uninstall", "LegacyUninstall = 1", ""),
    ("both-layouts", "10.0...25952", "10.0...17763"),
    ("sections", "[SourceDisksNames]\n1 = %DiskName%", ""),
    ("one-use", "DelFiles        = Saker.Drivers.Delete", "DelFiles = Saker.Drivers"),
    ("lists", "CopyFiles  = Saker.Drivers", "CopyFiles = Saker.Nothing"),
    ("destination", "Saker.Drivers     = 12", ""),
    ("renamed", "[Saker.Drivers]\nsaker.sys", "[Saker.Drivers]\nsaker.sys, other.sys"),
    ("source", "saker.sys = 1", "other.sys = 1"),
    ("source", "saker.sys = 1", "saker.sys = 2"),
    ("subfolder", "saker.sys = 1", "saker.sys = 1, amd64"),
    ("strings", "Altitude     = \"371873.291\"", ""),
    ("folder", "Saker.DriverStore = 13", "Saker.DriverStore = 12"),
    ("folder", "Saker.Drivers     = 12", "Saker.Drivers = 13"),
    (
        "service-flags",
        "%ServiceName%, , Saker.Service.Drivers\n",
        "%ServiceName%, 0x2, Saker.Service.Drivers\n",
    ),
    ("service", "%ServiceName%, , Saker.Service.Drivers\n", "%ServiceName%, , Saker.Nothing\n"),
    ("service-type", "ServiceType    = 2 ", "ServiceType = 1 "),
    ("start-type", "StartType      = 3 ", "StartType = 2 "),
    ("error-control", "ErrorControl   = 1 ", "ErrorControl = 3 "),
    (
        "group",
        "LoadOrderGroup = \"FSFilter Activity Monitor\"",
        "LoadOrderGroup = \"FSFilter Anti-Virus\"",
    ),
    ("dependencies", "Dependencies   = \"FltMgr\"", ""),
    ("binary", "%13%\\saker.sys", "%12%\\saker.sys"),
    ("registry", "HKR, , \"SupportedFeatures\", 0x00010001, 0x0", "HKR, , \"SupportedFeatures\""),
    ("relative", "HKR, , \"SupportedFeatures\"", "HKLM, , \"SupportedFeatures\""),
    ("instances", "HKR, \"Parameters\\Instances\", \"Def", "HKR, \"Instances\", \"Def"),
    ("instances", "HKR, \"Instances\"", "HKR, \"Parameters\\Instances\""),
    ("default-instance", "\"DefaultInstance\", 0x00000000", "\"DefaultInstance\", 0x00010001"),
    ("instance-flags", "\"Flags\", 0x00010001, 0x0", "\"Flags\", 0x00010001, 0x1"),
    ("instance-flags", "\"Flags\", 0x00010001, 0x0", "\"Flags\", 0x00000000, 0x0"),
    ("instance-flags", "InstanceName, \"Flags\"", "Altitude, \"Flags\""),
    ("altitude", "371873.291", "321410.5"),
    ("altitude", "371873.291", "385200"),
    ("altitude", "371873.291", "371873."),
    ("altitude", "\"Altitude\", 0x00000000", "\"Altitude\", 0x00010001"),
    ("features", "\"SupportedFeatures\", 0x00010001", "\"SupportedFeatures\", 0x00000000"),
];

#[test]
fn every_rule_turns_red_on_its_example() {
    for (rule, from, to) in EXAMPLES {
        let from = from.replace("InstanceName, ", "%InstanceName%, ");
        let to = to.replace("Altitude, \"Flags\"", "%Altitude%, \"Flags\"");
        assert!(INX.contains(&from), "{rule}: {from:?} is not in the INF");
        let found = faults(&INX.replace(&from, &to));
        assert!(found.iter().any(|fault| fault.rule == *rule), "{rule}: {to:?} gives {found:?}");
    }
}

/// No rule that could never turn red.
#[test]
fn every_rule_has_an_example() {
    let examples: BTreeSet<&str> = EXAMPLES.iter().map(|(rule, _, _)| *rule).collect();
    assert_eq!(examples, RULES.iter().copied().collect());
}

#[test]
fn what_is_no_inf_breaks_many_rules() {
    for text in ["", "nonsense", "[DefaultInstall.NTamd64]"] {
        assert!(broken(text).len() > 3, "{text:?}");
    }
}

#[test]
fn a_fault_says_where_it_is() {
    let found = faults(&INX.replace("PnpLockdown = 1", ""));
    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["[Version] [lockdown]: PnpLockdown is nothing, expected 1"]);
}
