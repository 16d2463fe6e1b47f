//! `sakerctl verifier on|off|report`: Driver Verifier for the driver alone.

use std::io::Write;

use clap::Subcommand;

use super::{Host, HostError, Said, Start, checks};
use crate::Error;
use crate::cli::note;
use crate::content::say;

const PROGRAM: &str = "verifier.exe";
const DRIVER: &str = "saker.sys";

/// Special pool, forced IRQL checks, pool tracking, I/O verification, deadlocks, DMA, security,
/// miscellaneous, DDI compliance (together `/standard`), and code integrity.
const FLAGS: u32 = 0x0200_0000 | 0x0002_09BB;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Verifier {
    /// Verify the driver from the next boot on: the standard checks and code integrity
    On,
    /// Verify nothing from the next boot on
    Off,
    /// Tell what is verified and what was found
    Report,
}

impl Verifier {
    /// Runs the command.
    pub(super) fn run(&self, host: &mut dyn Host, out: &mut dyn Write) -> Result<(), Error> {
        match self {
            Self::On => {
                let service = checks::installed(host)?;
                let flags = format!("{FLAGS:#010x}");
                let mut arguments = vec!["/flags", &flags, "/driver", DRIVER];
                if service.start == Start::Boot {
                    // A boot driver that is found at fault would stop every boot from now on.
                    arguments.extend(["/bootmode", "resetonbootfail"]);
                }
                let said = verifier(host, &arguments)?;
                say!(out, "{}", said.text.trim())?;
                note("restart for it; `sakerctl verifier report` tells what it found");
            }
            Self::Off => {
                let said = verifier(host, &["/reset"])?;
                say!(out, "{}", said.text.trim())?;
                note("restart for it");
            }
            Self::Report => {
                for question in ["/querysettings", "/query"] {
                    let said = verifier(host, &[question])?;
                    say!(out, "{}", said.text.trim())?;
                }
            }
        }
        Ok(())
    }
}

/// Runs Verifier's own program. It leaves with 2 when a restart is wanted, which is a success.
fn verifier(host: &mut dyn Host, arguments: &[&str]) -> Result<Said, HostError> {
    let said = host.run(PROGRAM, arguments).map_err(HostError::failed(PROGRAM))?;
    match said.code {
        0 | 2 => Ok(said),
        code => Err(HostError::Program {
            program: format!("{PROGRAM} {}", arguments.join(" ")),
            code,
            text: said.text.trim().into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::super::{SERVICE, Service, State};
    use super::*;

    fn installed(start: Start) -> Fake {
        let mut host = Fake::fit();
        host.services.insert(SERVICE.into(), Service { state: State::Stopped, start });
        host
    }

    fn run(command: &Verifier, host: &mut Fake) -> Result<(), Error> {
        command.run(host, &mut Vec::new())
    }

    #[test]
    fn a_driver_on_demand_gets_the_flags_and_no_boot_mode() {
        let mut host = installed(Start::Demand);
        run(&Verifier::On, &mut host).unwrap();
        assert_eq!(host.ran, ["verifier.exe /flags 0x020209bb /driver saker.sys"]);
        run(&Verifier::Off, &mut host).unwrap();
        run(&Verifier::Report, &mut host).unwrap();
        let after = ["/reset", "/querysettings", "/query"].map(|a| format!("verifier.exe {a}"));
        assert_eq!(host.ran[1..], after);
    }

    #[test]
    fn a_boot_driver_is_let_go_when_it_stops_the_boot() {
        let mut host = installed(Start::Boot);
        run(&Verifier::On, &mut host).unwrap();
        assert!(host.ran[0].ends_with(" /bootmode resetonbootfail"), "{:?}", host.ran);
    }

    #[test]
    fn nothing_is_verified_that_is_not_there() {
        assert!(run(&Verifier::On, &mut Fake::fit()).is_err());
    }

    #[test]
    fn a_restart_that_is_wanted_is_a_success_and_other_codes_are_not() {
        let mut host = installed(Start::Demand);
        host.says.insert(PROGRAM.into(), Said { code: 2, text: "restart".into() });
        run(&Verifier::On, &mut host).unwrap();
        host.says.insert(PROGRAM.into(), Said { code: 1, text: "denied\r\n".into() });
        let error = run(&Verifier::On, &mut host).unwrap_err();
        assert!(error.to_string().ends_with("ended with 1: denied"), "{error}");
    }
}
