//! Whether a machine is one to install the driver on, and whether a package is one to install.
//!
//! What is looked at is the registry, the services and the package's files; each finding says what
//! to do.

use std::io;
use std::path::{Path, PathBuf};

use object::pe::{IMAGE_FILE_MACHINE_AMD64, IMAGE_FILE_MACHINE_ARM64};

use super::{Host, HostError, INBOX, SERVICE, Value, below};
use crate::machine::image::Image;

/// The first Windows with the kernel's calls that the driver imports: 10, version 2004.
pub const LEAST_BUILD: u32 = 19_041;
/// The services and the driver of a genuine Falcon sensor.
const FALCON: [&str; 3] = ["CSFalconService", "CSAgent", "CSDeviceControl"];

const VERSION: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion";
const CONTROL: &str = r"SYSTEM\CurrentControlSet\Control";

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Fine,
    /// Worth knowing.
    Remark,
    /// In the way; an administrator may insist.
    Fault,
    /// In the way, and nobody may insist.
    Never,
}

impl Severity {
    /// The word used in text and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Remark => "remark",
            Self::Fault => "fault",
            Self::Never => "never",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How grave it is.
    pub severity: Severity,
    /// What was found.
    pub text: String,
    /// What to do; empty when there is nothing to do.
    pub remedy: &'static str,
}

impl Finding {
    pub(super) fn fine(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, severity: Severity::Fine, text: text.into(), remedy: "" }
    }

    pub(super) fn new(
        what: &'static str,
        severity: Severity,
        text: impl Into<String>,
        remedy: &'static str,
    ) -> Self {
        Self { what, severity, text: text.into(), remedy }
    }
}

/// A processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    /// x86-64.
    X64,
    /// ARM64.
    Arm64,
}

impl Processor {
    const fn name(self) -> &'static str {
        match self {
            Self::X64 => "x64",
            Self::Arm64 => "ARM64",
        }
    }
}

/// A folder that holds what Windows installs.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its INF.
    pub inf: PathBuf,
    /// What its driver is for.
    pub processor: Processor,
}

/// Looks at the machine.
///
/// # Errors
/// What could not be looked at.
pub fn machine(host: &dyn Host) -> Result<Vec<Finding>, HostError> {
    let look = |finding: io::Result<Finding>| finding.map_err(HostError::failed("looking around"));
    Ok(vec![
        administrator(host),
        look(build(host))?,
        look(test_signing(host))?,
        look(secure_boot(host))?,
        look(memory_integrity(host))?,
        look(fast_startup(host))?,
        look(safe_mode(host))?,
        look(falcon(host))?,
    ])
}

/// Looks at a package that is to be installed on this machine.
///
/// # Errors
/// What is no package at all.
pub fn package(host: &dyn Host, folder: &Path) -> Result<(Package, Vec<Finding>), HostError> {
    let named = |name: &str| folder.join(name);
    for name in ["saker.inf", "saker.sys", "saker.cat"] {
        let there = host.list(folder).map_err(HostError::failed(folder.display().to_string()))?;
        if !there.iter().any(|found| found.eq_ignore_ascii_case(name)) {
            return Err(HostError::Unready {
                what: format!("{}: there is no {name}", folder.display()),
                remedy: "give the folder that `cargo xtask package` made",
            });
        }
    }
    let driver = named("saker.sys");
    let bytes = host.read(&driver).map_err(HostError::failed(driver.display().to_string()))?;
    let no_driver = |what: String| HostError::Unready {
        what: format!("{}: {what}", driver.display()),
        remedy: "give the folder that `cargo xtask package` made",
    };
    let image = Image::read(&bytes).map_err(|error| no_driver(error.to_string()))?;
    let processor = match image.machine() {
        machine if machine == IMAGE_FILE_MACHINE_AMD64.0 => Processor::X64,
        machine if machine == IMAGE_FILE_MACHINE_ARM64.0 => Processor::Arm64,
        machine => return Err(no_driver(format!("it is for machine {machine:#06x}"))),
    };

    let mut findings = vec![
        processor_fits(host, processor).map_err(HostError::failed("looking for the processor"))?,
    ];
    findings.push(if image.is_signed() {
        Finding::fine("driver's signature", "embedded")
    } else {
        Finding::new(
            "driver's signature",
            Severity::Fault,
            "the driver carries no signature, so no Windows starts it",
            "sign it: `sakerctl testsign`, or `cargo xtask package --sign KEY`",
        )
    });
    findings.push(if image.is_blank() {
        Finding::new(
            "keys",
            Severity::Fault,
            "the driver trusts no key, so it would take no content",
            "stamp it before it is signed: `sakerctl machine stamp`, or `package --anchor PUB`",
        )
    } else {
        Finding::fine("keys", "stamped")
    });
    Ok((Package { inf: named("saker.inf"), processor }, findings))
}

fn administrator(host: &dyn Host) -> Finding {
    if host.may_administer() {
        Finding::fine("administrator", "yes")
    } else {
        Finding::new(
            "administrator",
            Severity::Never,
            "this process may not install drivers",
            "run it in a prompt that was started as administrator",
        )
    }
}

fn processor_fits(host: &dyn Host, wanted: Processor) -> io::Result<Finding> {
    let key = format!(r"{CONTROL}\Session Manager\Environment");
    let found = text(host.value(&key, "PROCESSOR_ARCHITECTURE")?).unwrap_or_default();
    let fits = match wanted {
        Processor::X64 => found == "AMD64",
        Processor::Arm64 => found == "ARM64",
    };
    Ok(if fits {
        Finding::fine("processor", wanted.name())
    } else {
        Finding::new(
            "processor",
            Severity::Never,
            format!("the driver is for {}, this machine is {found}", wanted.name()),
            "give the package for this machine's processor",
        )
    })
}

fn build(host: &dyn Host) -> io::Result<Finding> {
    let found = text(host.value(VERSION, "CurrentBuildNumber")?).unwrap_or_default();
    let revision = number(host.value(VERSION, "UBR")?).unwrap_or(0);
    Ok(match found.parse::<u32>() {
        Ok(build) if build >= LEAST_BUILD => {
            Finding::fine("Windows", format!("build {build}.{revision}"))
        }
        _ => Finding::new(
            "Windows",
            Severity::Never,
            format!("build {found:?} is older than {LEAST_BUILD} (Windows 10, version 2004)"),
            "use a newer Windows: the driver imports what older kernels do not have",
        ),
    })
}

/// What this boot was started with; `bcdedit` shows the next one's.
fn test_signing(host: &dyn Host) -> io::Result<Finding> {
    let options = text(host.value(CONTROL, "SystemStartOptions")?).unwrap_or_default();
    let is_on = options.split_whitespace().any(|option| option.eq_ignore_ascii_case("TESTSIGNING"));
    Ok(if is_on {
        Finding::fine("test signing", "on")
    } else {
        Finding::new(
            "test signing",
            Severity::Fault,
            "this boot takes no test-signed driver",
            "`bcdedit /set testsigning on`, then restart",
        )
    })
}

fn secure_boot(host: &dyn Host) -> io::Result<Finding> {
    let key = format!(r"{CONTROL}\SecureBoot\State");
    Ok(match number(host.value(&key, "UEFISecureBootEnabled")?) {
        Some(1) => Finding::new(
            "Secure Boot",
            Severity::Fault,
            "on: test signing cannot be switched on beside it",
            "switch it off in the machine's firmware",
        ),
        _ => Finding::fine("Secure Boot", "off"),
    })
}

fn memory_integrity(host: &dyn Host) -> io::Result<Finding> {
    let key = format!(r"{CONTROL}\DeviceGuard\Scenarios\HypervisorEnforcedCodeIntegrity");
    Ok(match number(host.value(&key, "Enabled")?) {
        Some(1) => Finding::new(
            "memory integrity",
            Severity::Remark,
            "on: the driver is built for it, which no machine has shown yet",
            "if the driver does not start, look into the CodeIntegrity log",
        ),
        _ => Finding::fine("memory integrity", "off"),
    })
}

fn fast_startup(host: &dyn Host) -> io::Result<Finding> {
    let key = format!(r"{CONTROL}\Session Manager\Power");
    Ok(match number(host.value(&key, "HiberbootEnabled")?) {
        Some(1) => Finding::new(
            "fast startup",
            Severity::Remark,
            "on: a shutdown does not end the driver's session, so a boot start shows at a restart",
            "use `shutdown /r`, or `powercfg /hibernate off`",
        ),
        _ => Finding::fine("fast startup", "off"),
    })
}

fn safe_mode(host: &dyn Host) -> io::Result<Finding> {
    let key = format!(r"{CONTROL}\SafeBoot\Option");
    Ok(match number(host.value(&key, "OptionValue")?) {
        Some(1..) => Finding::new(
            "safe mode",
            Severity::Fault,
            "this boot is in safe mode, where the driver refuses to start",
            "restart without safe mode",
        ),
        _ => Finding::fine("safe mode", "no"),
    })
}

/// A genuine sensor keeps its own files in the folder that is Saker's inbox.
fn falcon(host: &dyn Host) -> io::Result<Finding> {
    let never = |text: String| {
        let remedy = "use a machine without it: both would work in the same folder";
        Finding::new("Falcon sensor", Severity::Never, text, remedy)
    };
    for name in FALCON {
        if host.service(name)?.is_some() {
            return Ok(never(format!("the service {name} is installed")));
        }
    }
    let folder = below(host, INBOX);
    let files = host.list(&folder)?;
    let is_sensors = |name: &&String| {
        let name = name.to_ascii_lowercase();
        ["csagent", "csboot", "csdevicecontrol", "csfirmwareanalysis"]
            .iter()
            .any(|stem| name.starts_with(stem))
    };
    Ok(match files.iter().find(is_sensors) {
        Some(name) => never(format!("{} holds {name}", folder.display())),
        None => Finding::fine("Falcon sensor", "none"),
    })
}

/// Whether the driver's service is there.
///
/// # Errors
/// The system's reason.
pub fn installed(host: &dyn Host) -> Result<super::Service, HostError> {
    let service = host.service(SERVICE).map_err(HostError::failed("looking for the service"))?;
    service.ok_or(HostError::NotInstalled)
}

pub(super) fn number(value: Option<Value>) -> Option<u32> {
    match value {
        Some(Value::Number(number)) => Some(number),
        _ => None,
    }
}

pub(super) fn text(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::Text(text) | Value::Expanded(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::super::{Service, Start, State};
    use super::*;

    fn worst(host: &Fake) -> Vec<&'static str> {
        let findings = machine(host).unwrap();
        let grave = findings.iter().filter(|finding| finding.severity >= Severity::Fault);
        grave.map(|finding| finding.what).collect()
    }

    #[test]
    fn a_test_machine_is_fit() {
        assert_eq!(worst(&Fake::fit()), [""; 0]);
    }

    /// Each rule turns red, alone, and says what to do.
    #[test]
    fn each_thing_in_the_way_is_found() {
        let control = |key: &str| format!(r"{CONTROL}\{key}");
        type Spoil<'a> = Box<dyn Fn(&mut Fake) + 'a>;
        let cases: [(&str, Spoil<'_>); 8] = [
            ("administrator", Box::new(|host| host.is_administrator = false)),
            ("Windows", Box::new(|host| host.put(VERSION, "CurrentBuildNumber", "19040"))),
            ("Windows", Box::new(|host| host.put(VERSION, "CurrentBuildNumber", "eleven"))),
            (
                "test signing",
                Box::new(|host| host.put(CONTROL, "SystemStartOptions", " NOTESTSIGNING")),
            ),
            (
                "Secure Boot",
                Box::new(|host| {
                    host.put(&control(r"SecureBoot\State"), "UEFISecureBootEnabled", 1)
                }),
            ),
            (
                "safe mode",
                Box::new(|host| host.put(&control(r"SafeBoot\Option"), "OptionValue", 2)),
            ),
            (
                "Falcon sensor",
                Box::new(|host| {
                    let service = Service { state: State::Running, start: Start::Auto };
                    host.services.insert("CSFalconService".into(), service);
                }),
            ),
            (
                "Falcon sensor",
                Box::new(|host| host.file(&below(host, INBOX).join("CSAgent.sys"), b"")),
            ),
        ];
        for (what, spoil) in cases {
            let mut host = Fake::fit();
            spoil(&mut host);
            assert_eq!(worst(&host), [what]);
            let findings = machine(&host).unwrap();
            let finding = findings.iter().find(|finding| finding.what == what).unwrap();
            assert!(!finding.remedy.is_empty(), "{finding:?}");
        }
    }

    #[test]
    fn remarks_are_in_nobodys_way() {
        let mut host = Fake::fit();
        host.put(&format!(r"{CONTROL}\Session Manager\Power"), "HiberbootEnabled", 1);
        let findings = machine(&host).unwrap();
        assert!(findings.iter().any(|finding| finding.severity == Severity::Remark));
        assert_eq!(worst(&host), [""; 0]);
    }

    #[test]
    fn content_of_our_own_is_no_sensor() {
        let mut host = Fake::fit();
        let inbox = below(&host, INBOX);
        host.file(&inbox.join("C-00000291-00000001-00000001.sys"), b"");
        assert_eq!(worst(&host), [""; 0]);
    }
}
