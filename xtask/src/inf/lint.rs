//! What is wrong with the INF of a file system filter, by the rules of primitive drivers, of the
//! driver store, and of the filter manager.
//!
//! Each rule is a known way to a package that is refused, or to a filter that loads and sees
//! nothing. The tests show each rule turning red on an example.

use std::collections::BTreeSet;
use std::fmt;

use super::{Inf, Line};

/// The build of Windows from which a filter's instances stand below `Parameters`.
const NEW_LAYOUT: &str = "10.0...25952";
/// The class of filters that look and do not hold, with its identifier and its load order group.
const CLASS: &str = "ActivityMonitor";
const CLASS_GUID: &str = "{b86dff51-a31e-4bac-b3cf-e8cfe75c9fc2}";
const GROUP: &str = "FSFilter Activity Monitor";
/// The altitudes of that group.
const ALTITUDES: std::ops::RangeInclusive<u32> = 360_000..=389_999;
/// Process Monitor's and Sysmon's.
const TAKEN: [&str; 2] = ["385200", "385201"];
const REG_SZ: u32 = 0;
const REG_DWORD: u32 = 0x0001_0001;

/// Every rule.
const RULES: &[&str] = &[
    "altitude",
    "binary",
    "both-layouts",
    "class",
    "decorated",
    "default-instance",
    "dependencies",
    "destination",
    "driver-version",
    "error-control",
    "features",
    "folder",
    "group",
    "instance-flags",
    "instances",
    "legacy-uninstall",
    "lists",
    "lockdown",
    "one-use",
    "primitive",
    "registry",
    "relative",
    "renamed",
    "sections",
    "service",
    "service-flags",
    "service-type",
    "source",
    "start-type",
    "strings",
    "subfolder",
    "version",
];

/// A rule that is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The rule's name.
    pub rule: &'static str,
    /// Where: a section, or a line.
    pub place: String,
    /// What is wrong and what is expected.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]: {}", self.place, self.rule, self.text)
    }
}

/// Everything that is wrong with a file; empty when nothing is.
pub fn faults(text: &str) -> Vec<Fault> {
    let inf = Inf::parse(text);
    let mut lint = Lint { inf: &inf, faults: Vec::new() };
    lint.version();
    lint.kind_of_package();
    lint.files();
    lint.strings();
    for install in lint.installs() {
        lint.install(&install);
    }
    lint.faults
}

struct Lint<'i> {
    inf: &'i Inf,
    faults: Vec<Fault>,
}

/// One of the sections `DefaultInstall.NT…`.
struct Install {
    section: String,
    /// For Windows 11 24H2 and later.
    is_new: bool,
}

impl Lint<'_> {
    fn require(&mut self, holds: bool, rule: &'static str, place: &str, text: impl Into<String>) {
        debug_assert!(RULES.contains(&rule), "{rule} is not among the rules");
        if !holds {
            let place = format!("[{place}]");
            self.faults.push(Fault { rule, place, text: text.into() });
        }
    }

    fn require_value(&mut self, rule: &'static str, section: &str, key: &str, expected: &str) {
        let found = self.inf.value(section, key);
        let holds = found.is_some_and(|found| found.eq_ignore_ascii_case(expected));
        let found = found.unwrap_or("nothing").to_owned();
        self.require(holds, rule, section, format!("{key} is {found}, expected {expected}"));
    }

    fn version(&mut self) {
        self.require_value("version", "Version", "Signature", "$WINDOWS NT$");
        for key in ["Provider", "CatalogFile", "DriverVer"] {
            let is_there = self.inf.value("Version", key).is_some_and(|value| !value.is_empty());
            self.require(is_there, "version", "Version", format!("{key} is missing"));
        }
        self.require_value("class", "Version", "Class", CLASS);
        self.require_value("class", "Version", "ClassGuid", CLASS_GUID);
        self.require_value("lockdown", "Version", "PnpLockdown", "1");
        if let Some(catalog) = self.inf.value("Version", "CatalogFile") {
            let is_name = catalog.to_ascii_lowercase().ends_with(".cat") && !catalog.contains('\\');
            self.require(is_name, "version", "Version", format!("{catalog} is no catalogue"));
        }
        if let Some(values) = self.inf.values("Version", "DriverVer") {
            let holds = matches!(values, [date, version] if is_date(date) && is_version(version));
            let found = values.join(",");
            let text = format!("DriverVer is {found}, expected mm/dd/yyyy,w.x.y.z");
            self.require(holds, "driver-version", "Version", text);
        }
    }

    /// A primitive driver: installed without a device.
    fn kind_of_package(&mut self) {
        let has = |name: &str| self.inf.section(name).is_some();
        let (manufacturer, undecorated) = (has("Manufacturer"), has("DefaultInstall"));
        let uninstalls: Vec<String> = self.sections_of("defaultuninstall");
        let text = "a filter belongs to no device; with a manufacturer it is no primitive driver";
        self.require(!manufacturer, "primitive", "Manufacturer", text);
        let text = "without an architecture it forbids the decorated ones: .NTamd64 or .NTarm64";
        self.require(!undecorated, "decorated", "DefaultInstall", text);
        for section in uninstalls.iter().filter(|name| !name.ends_with(".services")) {
            let text = "only with LegacyUninstall = 1, else later Windows refuse the package";
            let holds = self.inf.value(section, "LegacyUninstall") == Some("1");
            self.require(holds, "legacy-uninstall", section, text);
        }
        for new in [false, true] {
            let holds = self.installs().iter().any(|install| install.is_new == new);
            let which = if new { "24H2 and later" } else { "earlier Windows" };
            let text = format!("there is no DefaultInstall.NT… for {which}");
            self.require(holds, "both-layouts", "DefaultInstall", text);
        }
    }

    fn sections_of(&self, stem: &str) -> Vec<String> {
        let decorated = format!("{stem}.");
        let is_of = |name: &&str| *name == stem || name.starts_with(&decorated);
        self.inf.names().filter(is_of).map(str::to_owned).collect()
    }

    fn installs(&self) -> Vec<Install> {
        let sections = self.sections_of("defaultinstall");
        let installs = sections.into_iter().filter(|name| name.starts_with("defaultinstall.nt"));
        installs
            .filter(|name| !name.ends_with(".services"))
            .map(|section| Install { is_new: section.ends_with(NEW_LAYOUT), section })
            .collect()
    }

    /// What is copied is on the medium, and what is deleted is not what is copied.
    fn files(&mut self) {
        for name in ["DestinationDirs", "SourceDisksNames", "SourceDisksFiles", "Strings"] {
            let is_there = self.inf.section(name).is_some();
            self.require(is_there, "sections", name, "the section is missing");
        }
        let lists = |key: &str| -> BTreeSet<String> {
            let lines = self.inf.lines().filter(|(_, line)| {
                line.key.as_deref().is_some_and(|found| found.eq_ignore_ascii_case(key))
            });
            lines.flat_map(|(_, line)| line.values.iter().map(|v| v.to_ascii_lowercase())).collect()
        };
        let (copied, deleted) = (lists("CopyFiles"), lists("DelFiles"));
        for list in copied.intersection(&deleted) {
            let text = "is copied and deleted: InfVerif refuses one list for both (1205)";
            self.require(false, "one-use", list, text);
        }
        for list in &copied {
            let Some(files) = self.inf.section(list).map(<[Line]>::to_vec) else {
                self.require(false, "lists", list, "CopyFiles names it, and it is not there");
                continue;
            };
            let directory = self.inf.values("DestinationDirs", list).map(<[String]>::to_vec);
            let text = "DestinationDirs does not say where it goes";
            self.require(directory.is_some(), "destination", list, text);
            for file in &files {
                let name = file.values.first().cloned().unwrap_or_default();
                let renamed = file.values.get(1).is_some_and(|source| !source.is_empty());
                let text = format!("{name} would be renamed, which the driver store does not do");
                self.require(!renamed, "renamed", list, text);
                let source = self.inf.values("SourceDisksFiles", &name).map(<[String]>::to_vec);
                let disk = source.as_ref().and_then(|values| values.first().cloned());
                let known = disk
                    .as_ref()
                    .is_some_and(|disk| self.inf.value("SourceDisksNames", disk).is_some());
                let text = format!("{name} is not in SourceDisksFiles, or its disk has no name");
                self.require(known, "source", list, text);
                let sub = |values: Option<&Vec<String>>| {
                    values.and_then(|values| values.get(1).cloned()).unwrap_or_default()
                };
                let same = sub(source.as_ref()) == sub(directory.as_ref());
                let text = format!("{name} has another subfolder at its source than at its place");
                self.require(same, "subfolder", list, text);
            }
        }
    }

    /// Every `%name%` that is left has no string.
    fn strings(&mut self) {
        let mut unknown = Vec::new();
        for (section, line) in self.inf.lines().filter(|(section, _)| *section != "strings") {
            for text in line.values.iter().chain(&line.key) {
                for name in text.split('%').skip(1).step_by(2) {
                    // Numbers stand for folders.
                    if !name.chars().all(|c| c.is_ascii_digit()) {
                        unknown.push((section.to_owned(), line.number, name.to_owned()));
                    }
                }
            }
        }
        for (section, number, name) in unknown {
            let text = format!("line {number}: there is no string {name}");
            self.require(false, "strings", &section, text);
        }
    }

    fn install(&mut self, install: &Install) {
        let section = &install.section;
        let directory = if install.is_new { "13" } else { "12" };
        let list = self.inf.value(section, "CopyFiles").unwrap_or_default().to_owned();
        let found = self.inf.value("DestinationDirs", &list).unwrap_or("nowhere").to_owned();
        let text = format!("copies to {found}, this Windows runs drivers from {directory}");
        self.require(found == directory, "folder", section, text);

        let services = format!("{section}.services");
        let Some(service) = self.inf.values(&services, "AddService").map(<[String]>::to_vec) else {
            self.require(false, "service", &services, "there is no AddService");
            return;
        };
        let flags = service.get(1).cloned().unwrap_or_default();
        let is_none = flags.is_empty() || number(&flags) == Some(0);
        let text =
            format!("AddService has the flags {flags}; a filter is no device's function driver");
        self.require(is_none, "service-flags", &services, text);
        let service = service.get(2).cloned().unwrap_or_default();
        if self.inf.section(&service).is_none() {
            self.require(false, "service", &services, format!("there is no section [{service}]"));
            return;
        }
        self.service(&service, directory);
        self.registry(&service, install.is_new);
    }

    fn service(&mut self, service: &str, directory: &str) {
        self.require_value("service-type", service, "ServiceType", "2");
        let start = self.inf.value(service, "StartType").unwrap_or_default().to_owned();
        let text = format!("StartType is {start}: 3 on demand, or 0 once it is proven");
        self.require(matches!(&*start, "0" | "3"), "start-type", service, text);
        self.require_value("error-control", service, "ErrorControl", "1");
        self.require_value("group", service, "LoadOrderGroup", GROUP);
        self.require_value("dependencies", service, "Dependencies", "FltMgr");
        let binary = format!("%{directory}%\\saker.sys");
        self.require_value("binary", service, "ServiceBinary", &binary);
    }

    /// The instances, where this Windows looks for them, and such that they attach by themselves.
    fn registry(&mut self, service: &str, is_new: bool) {
        let sections = self.inf.values(service, "AddReg").map(<[String]>::to_vec);
        let lines: Vec<Line> = sections
            .unwrap_or_default()
            .iter()
            .flat_map(|section| self.inf.section(section).unwrap_or_default().to_vec())
            .collect();
        let entries: Vec<Entry<'_>> = lines.iter().filter_map(Entry::read).collect();
        let text = "a line of AddReg is none: root, key, name, type, value";
        self.require(entries.len() == lines.len(), "registry", service, text);
        for entry in &entries {
            let text = format!("line {} writes to {}, expected HKR", entry.line, entry.root);
            self.require(entry.root.eq_ignore_ascii_case("HKR"), "relative", service, text);
        }

        let root = if is_new { r"Parameters\Instances" } else { "Instances" };
        let below = |key: &str| {
            key.len() > root.len() + 1
                && key.as_bytes()[..root.len()].eq_ignore_ascii_case(root.as_bytes())
                && key.as_bytes()[root.len()] == b'\\'
        };
        let elsewhere = entries.iter().find(|entry| {
            entry.key.to_ascii_lowercase().contains("instances")
                && !entry.key.eq_ignore_ascii_case(root)
                && !below(entry.key)
        });
        let text = format!("instances belong below {root} here, and nowhere else");
        self.require(elsewhere.is_none(), "instances", service, text);

        let default = entries.iter().find(|entry| {
            entry.key.eq_ignore_ascii_case(root) && entry.is("DefaultInstance", REG_SZ)
        });
        let Some(default) = default else {
            let text = format!("{root} has no DefaultInstance (a REG_SZ)");
            self.require(false, "default-instance", service, text);
            return;
        };
        let instance = format!("{root}\\{}", default.value);
        let of_it = |name: &str, kind: u32| {
            entries
                .iter()
                .find(|entry| entry.key.eq_ignore_ascii_case(&instance) && entry.is(name, kind))
        };
        let altitude = of_it("Altitude", REG_SZ).map(|entry| entry.value.to_owned());
        let flags = of_it("Flags", REG_DWORD).and_then(|entry| number(entry.value));
        let text =
            format!("Flags of {instance} is not a REG_DWORD of 0: it would not attach by itself");
        self.require(flags == Some(0), "instance-flags", service, text);
        let (altitude, fits) = match altitude {
            Some(altitude) => {
                let fits = is_altitude(&altitude);
                (altitude, fits)
            }
            None => ("nothing".to_owned(), false),
        };
        let text =
            format!("Altitude of {instance} is {altitude}, expected one of {GROUP} that is free");
        self.require(fits, "altitude", service, text);
        let key = if is_new { "Parameters" } else { "" };
        let features = entries.iter().any(|entry| {
            entry.key.eq_ignore_ascii_case(key) && entry.is("SupportedFeatures", REG_DWORD)
        });
        let text = "SupportedFeatures (a REG_DWORD) is missing";
        self.require(features, "features", service, text);
    }
}

/// A line of an AddReg section.
struct Entry<'l> {
    root: &'l str,
    key: &'l str,
    name: &'l str,
    kind: u32,
    value: &'l str,
    line: usize,
}

impl<'l> Entry<'l> {
    fn read(line: &'l Line) -> Option<Self> {
        let [root, key, name, kind, value] = line.values.as_slice() else { return None };
        Some(Self { root, key, name, kind: number(kind)?, value, line: line.number })
    }

    fn is(&self, name: &str, kind: u32) -> bool {
        self.name.eq_ignore_ascii_case(name) && self.kind == kind
    }
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn is_altitude(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && whole.parse().is_ok_and(|whole| ALTITUDES.contains(&whole))
        && !TAKEN.contains(&text)
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let fits = |part: &str, length: usize, range: std::ops::RangeInclusive<u32>| {
        part.len() == length && part.parse().is_ok_and(|number| range.contains(&number))
    };
    matches!(parts[..], [month, day, year]
        if fits(month, 2, 1..=12) && fits(day, 2, 1..=31) && fits(year, 4, 1980..=9999))
}

fn is_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 4 && parts.iter().all(|part| part.parse::<u16>().is_ok())
}

#[cfg(test)]
#[path = "lint_tests.rs"]
mod tests;
