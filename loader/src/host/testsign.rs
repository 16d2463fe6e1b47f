//! `sakerctl testsign CERTIFICATE`: a test machine takes drivers that this certificate's key signed.
//!
//! Signing itself is done where the package is made (`cargo xtask package --sign`): the key stays
//! there, and the machine gets the certificate alone.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::checks::{self, Severity};
use super::{Host, HostError};
use crate::Error;
use crate::content::say;

/// Where a certificate must stand for a silent installation, and for the signature to be valid.
const STORES: [&str; 2] = ["Root", "TrustedPublisher"];

/// Arguments of `testsign`.
#[derive(Debug, Args)]
#[command(after_help = "\
For virtual machines: whoever has the key can then make this machine trust any program. Adds the \
certificate to the machine's stores Root and TrustedPublisher and switches test signing on, which \
holds from the next boot. With --off it takes both back.")]
pub struct TestSign {
    /// The package's certificate, saker-test.cer
    #[arg(value_name = "CERTIFICATE")]
    certificate: PathBuf,
    /// Take it back
    #[arg(long)]
    off: bool,
}

impl TestSign {
    /// Runs the command.
    pub(super) fn run(&self, host: &mut dyn Host, out: &mut dyn Write) -> Result<(), Error> {
        let bytes = host
            .read(&self.certificate)
            .map_err(HostError::failed(self.certificate.display().to_string()))?;
        let serial = serial(&bytes).ok_or_else(|| HostError::Unready {
            what: format!("{}: no certificate in DER", self.certificate.display()),
            remedy: "give the saker-test.cer of the package",
        })?;
        let findings = checks::machine(host)?;
        let in_the_way = ["administrator", "Secure Boot"];
        let found = findings.into_iter().find(|finding| {
            finding.severity >= Severity::Fault && in_the_way.contains(&finding.what)
        });
        if let Some(finding) = found {
            let what = format!("{}: {}", finding.what, finding.text);
            return Err(HostError::Unready { what, remedy: finding.remedy }.into());
        }

        let certificate = self.certificate.display().to_string();
        for store in STORES {
            let arguments = if self.off {
                ["-delstore", store, &serial]
            } else {
                ["-addstore", store, &certificate]
            };
            run(host, "certutil.exe", &arguments)?;
        }
        let switch = if self.off { "off" } else { "on" };
        run(host, "bcdedit.exe", &["/set", "testsigning", switch])?;
        say!(out, "test signing is {switch} from the next boot on: restart")
    }
}

fn run(host: &mut dyn Host, program: &str, arguments: &[&str]) -> Result<(), HostError> {
    let said = host.run(program, arguments).map_err(HostError::failed(program))?;
    if said.code == 0 {
        return Ok(());
    }
    Err(HostError::Program {
        program: format!("{program} {}", arguments.join(" ")),
        code: said.code,
        text: said.text.trim().into(),
    })
}

/// The serial number of a certificate in DER, in hexadecimal: how `certutil` finds it again.
///
/// A certificate is a sequence that begins with a sequence that begins with its version (in `[0]`)
/// and its serial number.
fn serial(der: &[u8]) -> Option<String> {
    let (certificate, rest) = element(der, 0x30)?;
    if !rest.is_empty() {
        return None;
    }
    let (body, _) = element(certificate, 0x30)?;
    let (_, behind_version) = element(body, 0xA0)?;
    let (serial, _) = element(behind_version, 0x02)?;
    (!serial.is_empty()).then(|| crate::report::hex(serial))
}

/// The content of the element of this kind that `bytes` begin with, and what is behind it.
fn element(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    if *tag != kind {
        return None;
    }
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..=0x7F => (usize::from(short), rest),
        long => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7F))?;
            // More than four bytes would be a length beyond any certificate.
            if digits.is_empty() || digits.len() > 4 {
                return None;
            }
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::super::Said;
    use super::super::fake::Fake;
    use super::*;

    /// The beginning of a certificate: version 3, serial number 0x1234.
    const CERTIFICATE: [u8; 13] = [0x30, 11, 0x30, 9, 0xA0, 3, 2, 1, 2, 0x02, 2, 0x12, 0x34];

    fn command(host: &mut Fake, off: bool) -> TestSign {
        let certificate = PathBuf::from(r"C:\saker\saker-test.cer");
        host.file(&certificate, &CERTIFICATE);
        TestSign { certificate, off }
    }

    #[test]
    fn both_stores_and_the_boot_option_are_set_and_taken_back() {
        let mut host = Fake::fit();
        command(&mut host, false).run(&mut host, &mut Vec::new()).unwrap();
        assert_eq!(
            host.ran,
            [
                r"certutil.exe -addstore Root C:\saker\saker-test.cer",
                r"certutil.exe -addstore TrustedPublisher C:\saker\saker-test.cer",
                "bcdedit.exe /set testsigning on",
            ]
        );
        host.ran.clear();
        command(&mut host, true).run(&mut host, &mut Vec::new()).unwrap();
        assert_eq!(
            host.ran,
            [
                "certutil.exe -delstore Root 1234",
                "certutil.exe -delstore TrustedPublisher 1234",
                "bcdedit.exe /set testsigning off",
            ]
        );
    }

    #[test]
    fn secure_boot_is_in_the_way_before_anything_is_run() {
        let mut host = Fake::fit();
        let key = r"SYSTEM\CurrentControlSet\Control\SecureBoot\State";
        host.put(key, "UEFISecureBootEnabled", 1);
        let error = command(&mut host, false).run(&mut host, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("Secure Boot"), "{error}");
        assert!(host.ran.is_empty());
    }

    #[test]
    fn a_program_that_refuses_is_told() {
        let mut host = Fake::fit();
        host.says.insert("certutil.exe".into(), Said { code: 5, text: "denied".into() });
        let error = command(&mut host, false).run(&mut host, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("-addstore Root"), "{error}");
        assert_eq!(host.ran.len(), 1);
    }

    #[test]
    fn what_is_no_certificate_is_refused_cut_at_every_byte() {
        assert_eq!(serial(&CERTIFICATE).as_deref(), Some("1234"));
        for cut in 0..CERTIFICATE.len() {
            assert_eq!(serial(&CERTIFICATE[..cut]), None, "cut at {cut}");
        }
        assert_eq!(serial(b"-----BEGIN CERTIFICATE-----"), None);
        assert_eq!(serial(&[0x30, 0x85, 1, 1, 1, 1, 1, 0]), None);
        assert_eq!(serial(&[&CERTIFICATE[..], &[0]].concat()), None);
    }
}
