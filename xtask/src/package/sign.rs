//! Authenticode by `osslsigncode`: signing, and reading what was signed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::catalog::Member;
use crate::failure::Failure;
use crate::process;
use crate::progress::note;
use crate::tools::{SigningTools, bare};

/// A key with its certificate.
pub struct Signer {
    tools: SigningTools,
    pem: PathBuf,
}

impl Signer {
    /// The key and certificate in a PEM file; one that is not there is made, for test machines.
    pub fn find_or_make(pem: &Path) -> Result<Self, Failure> {
        let signer = Self { tools: SigningTools::find_or_install()?, pem: pem.to_owned() };
        if !pem.exists() {
            signer.make()?;
            note(&format!("note: made a test key and its certificate: {}", pem.display()));
        }
        Ok(signer)
    }

    /// A new key, where the tools are installed.
    #[cfg(test)]
    pub fn for_tests(pem: &Path) -> Option<Self> {
        let signer = Self { tools: SigningTools::find().ok()?, pem: pem.to_owned() };
        signer.make().ok()?;
        Some(signer)
    }

    /// Makes a key and a certificate for signing code, in one file that its owner alone may read.
    fn make(&self) -> Result<(), Failure> {
        let folder = tempfile::tempdir().map_err(Failure::file(Path::new("a temporary folder")))?;
        let (key, certificate) = (folder.path().join("key"), folder.path().join("certificate"));
        process::output(
            Command::new(&self.tools.openssl)
                .args(["req", "-x509", "-newkey", "rsa:3072", "-nodes", "-sha256", "-days", "1825"])
                .args(["-subj", "/CN=Saker test"])
                .args(["-addext", "keyUsage=critical,digitalSignature"])
                .args(["-addext", "extendedKeyUsage=codeSigning"])
                .arg("-keyout")
                .arg(&key)
                .arg("-out")
                .arg(&certificate),
        )?;
        let mut both = fs::read(&key).map_err(Failure::file(&key))?;
        both.extend(fs::read(&certificate).map_err(Failure::file(&certificate))?);
        write_secret(&self.pem, &both)
    }

    /// Signs an image or a catalogue in its place.
    pub fn sign(&self, path: &Path) -> Result<(), Failure> {
        let signed = path.with_extension("signed");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut command = bare(Command::new(&self.tools.osslsigncode));
        command.args(["sign", "-h", "sha256", "-n", "Saker", "-certs"]);
        command
            .arg(&self.pem)
            .arg("-key")
            .arg(&self.pem)
            .arg("-in")
            .arg(path)
            .arg("-out")
            .arg(&signed);
        process::quietly(&format!("sign {name}"), &mut command)?;
        fs::rename(&signed, path).map_err(Failure::file(path))
    }

    /// Has the signature of an image or a catalogue checked.
    pub fn verify(&self, path: &Path) -> Result<(), Failure> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        process::quietly(&format!("verify {name}"), self.reader().arg("-in").arg(path))
    }

    /// Has a file looked up in a signed catalogue by another reader than the one that made it: an
    /// image by its hash, which the reader takes itself; any other by its digest alone, since no
    /// reader here knows such files.
    pub fn look_up(&self, path: &Path, member: &Member, catalog: &Path) -> Result<(), Failure> {
        let name = &member.name;
        if member.is_image {
            let title = format!("look {name} up in the catalogue");
            let mut command = self.reader();
            return process::quietly(
                &title,
                command.arg("-catalog").arg(catalog).arg("-in").arg(path),
            );
        }
        let mut command = Command::new(&self.tools.openssl);
        let elements =
            process::output(command.args(["asn1parse", "-inform", "DER", "-in"]).arg(catalog))?;
        let digest: String = member.digest.iter().map(|byte| format!("{byte:02X}")).collect();
        if elements.contains(&digest) {
            return Ok(());
        }
        Err(Failure::Other(format!("{}: does not list {name}", catalog.display())))
    }

    fn reader(&self) -> Command {
        let mut command = bare(Command::new(&self.tools.osslsigncode));
        command.arg("verify").arg("-CAfile").arg(&self.pem);
        command.arg("-TSA-CAfile").arg(&self.pem);
        command
    }

    /// The certificate as Windows imports it.
    pub fn write_certificate(&self, to: &Path) -> Result<(), Failure> {
        process::output(
            Command::new(&self.tools.openssl)
                .args(["x509", "-outform", "DER", "-in"])
                .arg(&self.pem)
                .arg("-out")
                .arg(to),
        )
        .map(drop)
    }
}

fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path).map_err(Failure::file(path))?;
    file.write_all(bytes).map_err(Failure::file(path))
}
