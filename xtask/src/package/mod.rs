//! `cargo xtask package`: all that a Windows machine needs, as a folder and a zip.
//!
//! | file | what |
//! |---|---|
//! | `saker.sys`, `saker.pdb` | the driver, stamped with the keys it trusts, and signed |
//! | `saker.js` | shows in WinDbg what the driver holds |
//! | `saker.inf`, `saker.cat` | what Windows installs it by, and the hashes of both, signed |
//! | `saker-test.cer` | the certificate to trust on a test machine |
//! | `sakerctl.exe` | installs it and talks to it |
//! | `content/`, `scripts/` | channel files that were given; the scripts of `tests/vm` |
//! | `sbom.cdx.json`, `SHA256SUMS` | what it is made of; a hash of every other file |
//!
//! The catalogue is made here and read by `osslsigncode`, which hashes the driver by itself.

mod catalog;
mod sbom;
mod sign;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::artifacts::{self, Artifacts, Workspace};
use crate::failure::Failure;
use crate::inf::{Arch, Stamp, lint};
use crate::inspect::{self, Facts};
use crate::process;
use crate::progress::note;
use crate::tools::TARGET;
use crate::user_mode;
use catalog::Member;
use sign::Signer;

/// What is packed.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Public keys that the driver is to trust (NAME.pub): root keys, or content keys for tests
    #[arg(long = "anchor", value_name = "PUB")]
    anchors: Vec<PathBuf>,
    /// Sign driver and catalogue with the key and certificate in this PEM file; one that is not there
    /// is made, for test machines
    #[arg(long, value_name = "PEM")]
    sign: Option<PathBuf>,
    /// Signed channel files to take along
    #[arg(long, value_name = "FILE")]
    content: Vec<PathBuf>,
}

/// The driver is built for this alone so far.
const ARCH: Arch = Arch::X64;

/// Builds and packs.
pub fn run(workspace: &Workspace, options: &Options) -> Result<(), Failure> {
    let built = artifacts::build(workspace)?;
    let program = user_mode::build(workspace)?;
    let folder = pack(workspace, options, &built, &program)?;
    note(&format!("\n{}\n{}", folder.display(), artifacts::line(&zip_of(&folder))));
    Ok(())
}

/// Packs what was built; gives the package's folder.
fn pack(
    workspace: &Workspace,
    options: &Options,
    built: &Artifacts,
    program: &Path,
) -> Result<PathBuf, Failure> {
    let source = Source::of(workspace)?;
    let name = format!("saker-{}-{}", source.version, ARCH.name());
    let folder = workspace.out.join("package").join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Failure::file(&folder))?;
    }
    for part in ["content", "scripts"] {
        let part = folder.join(part);
        fs::create_dir_all(&part).map_err(Failure::file(&part))?;
    }

    let driver = folder.join("saker.sys");
    stamp(&built.sakerctl, &built.driver, &options.anchors, &driver)?;
    copy(&built.driver_pdb, &folder.join("saker.pdb"))?;
    copy(program, &folder.join("sakerctl.exe"))?;
    let inf = write_inf(workspace, &source, &folder)?;
    for file in &options.content {
        copy(file, &folder.join("content").join(file.file_name().unwrap_or_default()))?;
    }
    for script in ["port.ps1", "smoke.ps1", "scenarios.ps1", "README.md"] {
        let from = workspace.root.join("tests/vm").join(script);
        copy(&from, &folder.join("scripts").join(script))?;
    }
    copy(&workspace.root.join("driver/windbg/saker.js"), &folder.join("saker.js"))?;
    copy(&workspace.root.join("inf/README.md"), &folder.join("README.md"))?;

    let signer = options.sign.as_deref().map(Signer::find_or_make).transpose()?;
    if let Some(signer) = &signer {
        signer.sign(&driver)?;
        signer.write_certificate(&folder.join("saker-test.cer"))?;
    } else {
        note("note: not signed, so no Windows installs it: --sign KEY.pem");
    }
    check_driver(&driver, !options.anchors.is_empty(), signer.is_some())?;
    write_catalog(&folder, &[&inf, &driver], source.made, signer.as_ref())?;

    let bill = sbom::make(workspace, TARGET)?;
    write(&folder.join("sbom.cdx.json"), format!("{bill:#}\n").as_bytes())?;
    let files = files_below(&folder)?;
    write_checksums(&folder, &files)?;
    write_zip(&zip_of(&folder), &name, &folder)?;
    Ok(folder)
}

/// The package as one file: beside its folder. The version has points, so no extension is replaced.
fn zip_of(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!("{name}.zip"))
}

/// What is packed, by the repository.
struct Source {
    /// When its last commit was made, since 1970.
    made: Duration,
    /// `w.x.y.z`: the project's version, and how many commits it has.
    version: String,
}

impl Source {
    fn of(workspace: &Workspace) -> Result<Self, Failure> {
        let git = |arguments: &[&str]| {
            process::output(Command::new("git").current_dir(&workspace.root).args(arguments))
        };
        let number = |text: String| {
            let text = text.trim();
            text.parse::<u64>().map_err(|_| Failure::Other(format!("git says {text:?}")))
        };
        let made = number(git(&["log", "-1", "--format=%ct"])?)?;
        // The last part of a driver's version has 16 bits.
        let commits = number(git(&["rev-list", "--count", "HEAD"])?)? % 65_536;
        let version = format!("{}.{commits}", env!("CARGO_PKG_VERSION"));
        Ok(Self { made: Duration::from_secs(made), version })
    }

    /// `mm/dd/yyyy`.
    fn date(&self) -> Result<String, Failure> {
        let made = der::DateTime::from_unix_duration(self.made)
            .map_err(|error| Failure::Other(format!("the last commit's time: {error}")))?;
        Ok(format!("{:02}/{:02}/{:04}", made.month(), made.day(), made.year()))
    }
}

/// The driver with its keys, by `sakerctl`; as it was linked where there are none.
fn stamp(sakerctl: &Path, driver: &Path, keys: &[PathBuf], to: &Path) -> Result<(), Failure> {
    if keys.is_empty() {
        note("note: not stamped, so the driver takes no content: --anchor PUB");
        return copy(driver, to);
    }
    let mut command = Command::new(sakerctl);
    command.args(["machine", "stamp"]).arg(driver).arg("--out").arg(to);
    for key in keys {
        command.arg("--key").arg(key);
    }
    process::quietly("stamp the keys into the driver", &mut command)
}

fn write_inf(workspace: &Workspace, source: &Source, folder: &Path) -> Result<PathBuf, Failure> {
    let path = workspace.root.join("inf/saker.inx");
    let text = fs::read_to_string(&path).map_err(Failure::file(&path))?;
    let stamp = Stamp { arch: ARCH, date: source.date()?, version: source.version.clone() };
    let text = stamp
        .apply(&text)
        .ok_or_else(|| Failure::Other(format!("{} has no DriverVer", path.display())))?;
    let faults = lint::faults(&text);
    if !faults.is_empty() {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        return Err(Failure::Other(format!("{}\n  - {}", path.display(), faults.join("\n  - "))));
    }
    let inf = folder.join("saker.inf");
    write(&inf, text.as_bytes())?;
    Ok(inf)
}

/// The rules of `cargo xtask inspect`, for a driver that may be stamped and signed.
fn check_driver(driver: &Path, is_stamped: bool, is_signed: bool) -> Result<(), Failure> {
    let bytes = fs::read(driver).map_err(Failure::file(driver))?;
    let fail = |faults: &str| Failure::Other(format!("{}\n  - {faults}", driver.display()));
    let mut facts = Facts::read(&bytes).map_err(|words| fail(&words))?;
    if facts.is_signed != is_signed {
        return Err(fail("its signature is not as it was asked for"));
    }
    for section in facts.sections.iter_mut().filter(|section| section.name == ".anchor") {
        if section.is_zero == is_stamped {
            return Err(fail("its keys are not as they were asked for"));
        }
        // The other rules are those of a driver as it was linked.
        section.is_zero = true;
    }
    let faults = inspect::faults(&facts);
    if faults.is_empty() { Ok(()) } else { Err(fail(&faults.join("\n  - "))) }
}

/// Lists the files, signs the list, and has it read back by somebody else.
fn write_catalog(
    folder: &Path,
    files: &[&Path],
    made: Duration,
    signer: Option<&Signer>,
) -> Result<(), Failure> {
    let catalog = folder.join("saker.cat");
    let mut members = Vec::new();
    for path in files {
        let bytes = fs::read(path).map_err(Failure::file(path))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let member = Member::read(&name, &bytes)
            .map_err(|words| Failure::Other(format!("{}: {words}", path.display())))?;
        members.push(member);
    }
    let failed = |error: der::Error| Failure::Other(format!("{}: {error}", catalog.display()));
    write(&catalog, &catalog::unsigned(&members, made).map_err(failed)?)?;
    if let Some(signer) = signer {
        signer.sign(&catalog)?;
        let signed = fs::read(&catalog).map_err(Failure::file(&catalog))?;
        let listed = catalog::listed(&signed).map_err(failed)?;
        let is_there =
            |member: &Member| listed.contains(&(member.name.clone(), member.digest.to_vec()));
        if !members.iter().all(is_there) {
            return Err(Failure::Other(format!("{}: signing has lost a file", catalog.display())));
        }
        signer.verify(&catalog)?;
        for (path, member) in files.iter().zip(&members) {
            signer.look_up(path, member, &catalog)?;
        }
    }
    Ok(())
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().map_err(Failure::file(&folder))? {
            let path = entry.map_err(Failure::file(&folder))?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A file's name as it is seen from the package's folder.
fn shown(folder: &Path, file: &Path) -> String {
    file.strip_prefix(folder).unwrap_or(file).to_string_lossy().replace('\\', "/")
}

/// As `sha256sum` writes them, so that `sha256sum -c` and `Get-FileHash` can tell.
fn write_checksums(folder: &Path, files: &[PathBuf]) -> Result<(), Failure> {
    let mut text = String::new();
    for file in files {
        let bytes = fs::read(file).map_err(Failure::file(file))?;
        let digest: String =
            Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        text.push_str(&format!("{digest}  {}\n", shown(folder, file)));
    }
    write(&folder.join("SHA256SUMS"), text.as_bytes())
}

/// The folder as one file. Nothing in it has a time, so that the same files give the same zip.
fn write_zip(zip: &Path, name: &str, folder: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::File { path: zip.to_owned(), source: error };
    let mut writer = zip::ZipWriter::new(File::create(zip).map_err(failed)?);
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default());
    for file in files_below(folder)? {
        let bytes = fs::read(&file).map_err(Failure::file(&file))?;
        writer
            .start_file(format!("{name}/{}", shown(folder, &file)), options)
            .map_err(|error| failed(io::Error::other(error)))?;
        writer.write_all(&bytes).map_err(failed)?;
    }
    writer.finish().map(drop).map_err(|error| failed(io::Error::other(error)))
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::copy(from, to).map(drop).map_err(Failure::file(from))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(path, bytes).map_err(Failure::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_and_zip_hold_every_file() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("p");
        fs::create_dir_all(folder.join("content")).unwrap();
        write(&folder.join("a"), b"abc").unwrap();
        write(&folder.join("content/b"), b"").unwrap();
        write_checksums(&folder, &files_below(&folder).unwrap()).unwrap();
        let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a";
        assert_eq!(sums.lines().next(), Some(abc));
        assert!(sums.lines().nth(1).unwrap().ends_with("  content/b"), "{sums}");

        let (one, two) = (dir.path().join("1.zip"), dir.path().join("2.zip"));
        write_zip(&one, "p", &folder).unwrap();
        write_zip(&two, "p", &folder).unwrap();
        assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
        let mut zip = zip::ZipArchive::new(File::open(&one).unwrap()).unwrap();
        let names: Vec<String> = (0..zip.len())
            .map(|at| zip.by_index(at).unwrap().name().unwrap().into_owned())
            .collect();
        assert_eq!(names, ["p/SHA256SUMS", "p/a", "p/content/b"]);
    }

    /// The whole way with the files that were built; where one of them or a tool is missing, a line
    /// says so.
    #[test]
    fn a_package_is_whole() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
        let built = root.join("target/saker");
        let file = |name: &str| built.join(name);
        let program = file("sakerctl.exe");
        let out = tempfile::tempdir().unwrap();
        let pem = out.path().join("test.pem");
        let there = ["saker.sys", "saker.pdb", "sakerctl", "sakerctl.exe"].map(&file);
        if !there.iter().all(|path| path.is_file()) || Signer::for_tests(&pem).is_none() {
            eprintln!("skipped: cargo xtask build has not been run, or osslsigncode is missing");
            return;
        }
        let keys = out.path().join("keys");
        let mut keygen = Command::new(file("sakerctl"));
        keygen.args(["content", "keygen", "--channels", "291", "--out-dir"]).arg(&keys);
        assert!(keygen.output().unwrap().status.success());
        let anchors = files_below(&keys).unwrap();
        let anchors =
            anchors.into_iter().filter(|path| path.extension().is_some_and(|e| e == "pub"));
        let options = Options { anchors: anchors.collect(), sign: Some(pem), content: Vec::new() };
        let artifacts = Artifacts {
            dir: built.clone(),
            driver: file("saker.sys"),
            driver_pdb: file("saker.pdb"),
            sakerctl: file("sakerctl"),
            kernel_host: file("kernel-host"),
        };
        let workspace =
            Workspace { target_dir: root.join("target"), root, out: out.path().to_owned() };
        let folder = pack(&workspace, &options, &artifacts, &program).unwrap();
        let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
        let listed: Vec<&str> = sums.lines().filter_map(|line| line.get(66..)).collect();
        for name in [
            "README.md",
            "saker-test.cer",
            "saker.cat",
            "saker.inf",
            "saker.pdb",
            "saker.sys",
            "sakerctl.exe",
            "sbom.cdx.json",
            "scripts/smoke.ps1",
        ] {
            assert!(listed.contains(&name), "{name} is not in:\n{sums}");
        }
        assert!(zip_of(&folder).is_file());
        let bill = fs::read_to_string(folder.join("sbom.cdx.json")).unwrap();
        assert!(bill.contains("pkg:cargo/curve25519-dalek@") && !bill.contains("pkg:cargo/insta@"));
    }

    #[test]
    fn a_driver_that_is_none_is_not_packed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("saker.sys");
        write(&path, b"MZ").unwrap();
        assert!(check_driver(&path, false, false).is_err());
    }

    /// A catalogue that is signed and read back by another reader, which refuses it for a file that
    /// is not in it. Where there is no signer, a line says so.
    #[test]
    fn a_signed_catalogue_is_read_by_another_reader() {
        let dir = tempfile::tempdir().unwrap();
        let Some(signer) = Signer::for_tests(&dir.path().join("test.pem")) else {
            eprintln!("skipped: osslsigncode or openssl is not installed");
            return;
        };
        let path = |name: &str| dir.path().join(name);
        let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/saker/saker.sys");
        let mut files = vec![path("saker.inf")];
        write(&files[0], b"[Version]\r\n").unwrap();
        if image.is_file() {
            copy(&image, &path("saker.sys")).unwrap();
            signer.sign(&path("saker.sys")).unwrap();
            files.push(path("saker.sys"));
        }
        let listed: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        write_catalog(dir.path(), &listed, Duration::from_secs(1_795_478_400), Some(&signer))
            .unwrap();
        let catalog = path("saker.cat");
        for file in &files {
            let mut bytes = fs::read(file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            write(file, &bytes).unwrap();
            let member = Member::read("a file that is not listed", &bytes).unwrap();
            let found = signer.look_up(file, &member, &catalog);
            assert!(found.is_err(), "{}", file.display());
        }
        let mut bytes = fs::read(&catalog).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        write(&catalog, &bytes).unwrap();
        assert!(signer.verify(&catalog).is_err());
    }
}
