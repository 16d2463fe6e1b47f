//! `sakerctl doctor`: what is wrong with this machine's protection, and what to do.
//!
//! It looks at the machine, at what is installed, and asks the driver; of a simulated machine, only
//! the driver can be asked.

use std::io::Write;

use driver_abi::{Interest, Loss, Protection, Status};
use serde_json::{Value, json};

use super::checks::{Finding, Severity};
use super::{FOLDER_SECURITY, Host, HostError, INBOX, SERVICE, STATE, Start, State, below, checks};
use crate::Error;
use crate::content::say;
use crate::device::{Device, DeviceError, commands};

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Leaves with 0 when nothing is wrong, with 1 otherwise.")]
pub struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Runs the command. Without a machine, only the driver is asked.
    pub(super) fn run(
        &self,
        host: Option<&dyn Host>,
        device: &Device,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let mut findings = Vec::new();
        if let Some(host) = host {
            findings.extend(checks::machine(host)?);
            findings.extend(installation(host)?);
        }
        findings.extend(driver(ask(device)));
        self.tell(&findings, out)?;
        let wrong = findings.iter().filter(|finding| finding.severity >= Severity::Fault).count();
        match u64::try_from(wrong).unwrap_or(u64::MAX) {
            0 => Ok(()),
            faults => Err(HostError::Sick { faults }.into()),
        }
    }

    fn tell(&self, findings: &[Finding], out: &mut dyn Write) -> Result<(), Error> {
        if self.json {
            let findings: Vec<Value> = findings.iter().map(to_json).collect();
            return say!(out, "{}", json!({ "kind": "doctor", "findings": findings }));
        }
        for finding in findings {
            let word = match finding.severity {
                Severity::Fine => "ok",
                Severity::Remark => "note",
                Severity::Fault | Severity::Never => "WRONG",
            };
            say!(out, "{word:<6} {:<20} {}", finding.what, finding.text)?;
            if finding.severity > Severity::Fine {
                say!(out, "{:<6} {:<20} → {}", "", "", finding.remedy)?;
            }
        }
        Ok(())
    }
}

fn to_json(finding: &Finding) -> Value {
    json!({
        "what": finding.what,
        "severity": finding.severity.name(),
        "text": finding.text,
        "remedy": finding.remedy,
    })
}

fn ask(device: &Device) -> Result<Status, DeviceError> {
    commands::status(&mut device.connect(Interest::Status)?)
}

/// The service, its settings and the folders.
fn installation(host: &dyn Host) -> Result<Vec<Finding>, HostError> {
    let failed = |what: &str| HostError::failed(format!("looking at {what}"));
    let service = host.service(SERVICE).map_err(failed("the service"))?;
    let Some(service) = service else {
        let remedy = "install it: `sakerctl install PACKAGE`";
        return Ok(vec![Finding::new("driver", Severity::Fault, "not installed", remedy)]);
    };
    let mut findings = vec![match (service.state, service.start) {
        (_, Start::Disabled) => Finding::new(
            "driver",
            Severity::Fault,
            "disabled",
            "`sc config saker start= demand`, then `sakerctl start`",
        ),
        (State::Running, Start::Boot) => Finding::fine("driver", "runs, starts with the machine"),
        (State::Running, _) => Finding::fine("driver", "runs, started on demand"),
        (State::Stopped | State::Pending, _) => {
            Finding::new("driver", Severity::Fault, "does not run", "`sakerctl start`")
        }
    }];
    for path in [INBOX, STATE] {
        let folder = below(host, path);
        findings.push(match host.security(&folder) {
            Ok(security) if is_ours(&security) => {
                Finding::fine("folder", format!("{}: ours alone", folder.display()))
            }
            Ok(security) => Finding::new(
                "folder",
                Severity::Remark,
                format!("{} has the access list {security}", folder.display()),
                "the driver judges it itself; `sakerctl install` sets what is best",
            ),
            Err(error) => Finding::new(
                "folder",
                Severity::Fault,
                format!("{}: {error}", folder.display()),
                "`sakerctl install PACKAGE` makes it",
            ),
        });
    }
    Ok(findings)
}

/// The access list of the installation, as Windows writes it back: `AI` and the like may be added.
fn is_ours(security: &str) -> bool {
    let entries = |text: &str| {
        let mut entries: Vec<String> =
            text.split('(').skip(1).map(|entry| entry.replace("0x1f01ff", "FA")).collect();
        entries.sort();
        entries
    };
    let owner = |text: &str| text.split("D:").next().map(str::to_owned);
    owner(security) == owner(FOLDER_SECURITY) && entries(security) == entries(FOLDER_SECURITY)
}

/// What the driver says.
fn driver(said: Result<Status, DeviceError>) -> Vec<Finding> {
    let status = match said {
        Ok(status) => status,
        Err(error) => {
            return vec![Finding::new("port", Severity::Fault, error.to_string(), error.remedy())];
        }
    };
    let mut findings = vec![Finding::fine("port", "the driver answers")];
    let told = match status.protection {
        Protection::Full => {
            findings.push(Finding::fine("protection", "full"));
            None
        }
        Protection::Degraded(loss) | Protection::None(loss) => Some(loss),
    };
    let others = status.losses.iter().filter(|loss| Some(*loss) != told);
    for loss in told.into_iter().chain(others) {
        let severity = if loss == Loss::OnTrial { Severity::Remark } else { Severity::Fault };
        findings.push(Finding::new("protection", severity, loss.name(), remedy(loss)));
    }
    if status.test_keys {
        findings.push(Finding::new(
            "keys",
            Severity::Remark,
            "content keys stand in the driver itself",
            "for tests only: a release holds root keys alone",
        ));
    }
    for (count, what) in [
        (status.stack_low, "for want of stack"),
        (status.wrong_irql, "at a wrong IRQL"),
        (status.no_memory, "for want of memory"),
    ] {
        if count > 0 {
            findings.push(Finding::new(
                "failed open",
                Severity::Remark,
                format!("{count} events {what}"),
                "other filters above take stack; `fltmc instances` names them",
            ));
        }
    }
    findings
}

/// What to do about a loss of protection.
const fn remedy(loss: Loss) -> &'static str {
    match loss {
        Loss::NoAnchor => "install a driver that was stamped: `sakerctl machine stamp`",
        Loss::NoContent => "push content: `sakerctl push FILE`",
        Loss::OnTrial => "wait: content is good after ten minutes and a thousand events",
        Loss::Refused => "`sakerctl status` says why; mend the file and push it again",
        Loss::NoState => {
            "look at the folder System32\\drivers\\Saker: it must be writable by SYSTEM"
        }
        Loss::NoInbox => "make the folder System32\\drivers\\CrowdStrike: `sakerctl install` does",
        Loss::NotAttached => "`fltmc instances` shows no instance at \\Device\\NamedPipe; restart",
        Loss::Stale => "push content that has not expired",
        Loss::FellBack => "what was good could not be used; push it again, newer",
        Loss::FuseTripped => "mend the rule that blocks too much; then `sakerctl fuse reset`",
        Loss::SettingsRefused => "mend the values below the service's Parameters key",
        Loss::InboxUnsafe => "let nobody but SYSTEM and administrators write to the inbox",
        Loss::Slow => "look for what keeps the disk, or a program that holds the files open",
        Loss::NotSeen => "`fltmc instances`: another filter may answer for pipes before Saker",
        #[allow(unreachable_patterns, reason = "a driver of another version may know more")]
        _ => "docs/events.md says what it means",
    }
}

#[cfg(test)]
mod tests {
    use driver_abi::Losses;

    use super::super::Service;
    use super::super::fake::Fake;
    use super::*;

    fn healthy() -> Fake {
        let mut host = Fake::fit();
        let service = Service { state: State::Running, start: Start::Boot };
        host.services.insert(SERVICE.into(), service);
        for path in [INBOX, STATE] {
            let path = below(&host, path);
            host.make_folder(&path, FOLDER_SECURITY).unwrap();
        }
        host
    }

    fn wrong(findings: &[Finding]) -> Vec<&str> {
        let wrong = findings.iter().filter(|finding| finding.severity >= Severity::Fault);
        wrong.map(|finding| finding.text.as_str()).collect()
    }

    #[test]
    fn a_healthy_installation_is_well() {
        assert_eq!(wrong(&installation(&healthy()).unwrap()), [""; 0]);
        let status = Status { protection: Protection::Full, ..Status::default() };
        assert_eq!(wrong(&driver(Ok(status))), [""; 0]);
    }

    #[test]
    fn each_ill_is_told_with_its_remedy() {
        let mut host = healthy();
        host.services.clear();
        assert_eq!(wrong(&installation(&host).unwrap()), ["not installed"]);
        let mut host = healthy();
        host.services.get_mut(SERVICE).unwrap().state = State::Stopped;
        assert_eq!(wrong(&installation(&host).unwrap()), ["does not run"]);
        host.services.get_mut(SERVICE).unwrap().start = Start::Disabled;
        assert_eq!(wrong(&installation(&host).unwrap()), ["disabled"]);
        let mut host = healthy();
        host.folders.clear();
        assert_eq!(wrong(&installation(&host).unwrap()).len(), 2);
        let absent = DeviceError::Connect { status: crate::device::NO_PORT };
        assert_eq!(wrong(&driver(Err(absent))), ["the driver is not running there"]);
    }

    #[test]
    fn every_loss_is_told_once_and_a_trial_is_no_ill() {
        for loss in Loss::ALL {
            assert!(!remedy(loss).is_empty());
        }
        let losses = Losses::NONE.with(Loss::NoInbox, true).with(Loss::Slow, true);
        let protection = Protection::Degraded(Loss::Slow);
        let status = Status { protection, losses, ..Status::default() };
        assert_eq!(wrong(&driver(Ok(status))), ["slow", "no_inbox"]);
        let losses = Losses::NONE.with(Loss::OnTrial, true);
        let protection = Protection::Degraded(Loss::OnTrial);
        let status = Status { protection, losses, ..Status::default() };
        assert_eq!(wrong(&driver(Ok(status))), [""; 0]);
    }

    #[test]
    fn an_access_list_is_ours_however_windows_writes_it() {
        assert!(is_ours(FOLDER_SECURITY));
        assert!(is_ours("O:BAD:PAI(A;OICI;FA;;;BA)(A;OICI;0x1f01ff;;;SY)"));
        assert!(!is_ours("O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;WD)"));
        assert!(!is_ours("O:BUD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"));
        assert!(!is_ours(""));
    }

    #[test]
    fn json_has_each_finding() {
        let doctor = Doctor { json: true };
        let mut out = Vec::new();
        doctor.tell(&[Finding::fine("a", "b")], &mut out).unwrap();
        let told: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(told["findings"][0]["severity"], "fine");
    }
}
