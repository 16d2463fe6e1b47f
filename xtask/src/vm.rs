//! `cargo xtask vm`: installs Windows in QEMU without hands, plays the scenarios there, and brings the
//! results back.
//!
//! Everything goes through one medium, a FAT volume that the machine takes for a USB stick: the answer
//! file at its root, the driver, the scripts, the scenarios and their files in `saker`, and in the end
//! the results in `results`. The machine has no network.
//!
//! With `--check` there is no Windows: the firmware's own shell reads the medium and writes to it,
//! which shows that machine and medium work.
//!
//! | module | does |
//! |---|---|
//! | [`medium`] | the volume |
//! | [`qemu`] | the machine |
//! | [`results`] | reads JUnit |

mod medium;
mod qemu;
mod results;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::artifacts::{self, Artifacts, Workspace};
use crate::failure::Failure;
use crate::process;
use crate::progress::note;
use crate::tools;

use medium::Medium;
use qemu::{Ended, Machine};

/// What the shell of the firmware carries from one file to another.
const PROOF: &str = "the firmware was here";
/// How long the firmware may take to say so.
const CHECK_PATIENCE: Duration = Duration::from_secs(5 * 60);
/// Room for Windows; the file takes what is used of it.
const DISK: u64 = 64 << 30;

/// What to do.
#[derive(clap::Args)]
pub struct Options {
    /// The installation medium: 64-bit Windows 10 (2004 or later) or 11. An Enterprise evaluation
    /// needs no product key
    #[arg(long, value_name = "ISO", required_unless_present = "check")]
    iso: Option<PathBuf>,
    /// Which of the images on it, from 1
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    image: u8,
    /// The product key, where the ISO asks for one
    #[arg(long, value_name = "KEY")]
    product_key: Option<String>,
    /// How long all of it may take
    #[arg(long, value_name = "N", default_value_t = 8)]
    hours: u64,
    /// Show the machine's screen
    #[arg(long)]
    window: bool,
    /// Emulate the processor, although /dev/kvm is there
    #[arg(long)]
    no_kvm: bool,
    /// Everything but Windows: makes the medium, and has the firmware in QEMU read it and write to it
    #[arg(long, conflicts_with_all = ["iso", "product_key"])]
    check: bool,
}

/// Does it. The results are in `target/vm/results`, and one that failed fails the command.
pub fn run(workspace: &Workspace, options: &Options) -> Result<(), Failure> {
    let parts = tools::find_or_install_qemu()?;
    let dir = workspace.target_dir.join("vm");
    fs::create_dir_all(&dir).map_err(Failure::file(&dir))?;
    let built = artifacts::build(workspace)?;
    let medium = Medium::create(&dir.join("medium.img"))?;
    let answers = answer_file(&workspace.root, options)?;
    medium.write("autounattend.xml", answers.as_bytes())?;
    fill(&medium, &workspace.root, &built, &dir)?;
    // The firmware alone needs no speed.
    let kvm = !options.check && !options.no_kvm && qemu::can_use_kvm();
    let (medium_path, window) = (medium.path(), options.window);
    let machine = Machine { parts: &parts, dir: &dir, medium: medium_path, window, kvm };
    match &options.iso {
        Some(iso) => {
            install_and_test(&machine, &medium, iso, Duration::from_secs(options.hours * 3600))
        }
        None => check(&machine, &medium),
    }
}

/// The answer file for this ISO.
fn answer_file(root: &Path, options: &Options) -> Result<String, Failure> {
    let path = root.join("tests/vm/guest/autounattend.xml");
    let text = fs::read_to_string(&path).map_err(Failure::file(&path))?;
    answers(&text, options.image, options.product_key.as_deref())
}

fn answers(text: &str, image: u8, product_key: Option<&str>) -> Result<String, Failure> {
    let key = match product_key {
        None => String::new(),
        Some(key) if key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') => {
            format!("<ProductKey><Key>{key}</Key></ProductKey>")
        }
        Some(key) => {
            return Err(Failure::Other(format!(
                "{key:?} is no product key: letters and figures in five groups, with dashes"
            )));
        }
    };
    // The comment names the places too; what replaces them there is as good as any text.
    Ok(text.replace("@IMAGE@", &image.to_string()).replace("@PRODUCT_KEY@", &key))
}

/// What the machine finds in `saker`.
fn fill(medium: &Medium, root: &Path, built: &Artifacts, dir: &Path) -> Result<(), Failure> {
    let (key, public) = keys(built, dir)?;
    let stamped = dir.join("saker.sys");
    remove_file(&stamped)?;
    let mut stamp = Command::new(&built.sakerctl);
    stamp.args(["machine", "stamp"]).arg(&built.driver).arg("--key").arg(public);
    process::quietly("stamp the driver", stamp.arg("--out").arg(&stamped))?;

    let content = dir.join("content");
    remove_dir(&content)?;
    let scripts = root.join("tests/vm");
    let scenarios = scripts.join("scenarios");
    let mut make = Command::new(&built.kernel_host);
    make.args(["scenario", "files"]).arg(&scenarios).arg("--key").arg(key).arg("--out");
    process::quietly("make the scenarios' files", make.arg(&content))?;

    medium.copy(&stamped, "saker/saker.sys")?;
    medium.copy(&built.driver_pdb, "saker/saker.pdb")?;
    for script in ["port.ps1", "scenarios.ps1", "smoke.ps1"] {
        medium.copy(&scripts.join(script), &format!("saker/{script}"))?;
    }
    medium.copy(&scripts.join("guest/guest.ps1"), "saker/guest.ps1")?;
    medium.copy(&root.join("driver/windbg/saker.js"), "saker/saker.js")?;
    medium.copy_all(&scenarios, "saker/scenarios")?;
    medium.copy_all(&content, "saker/content")
}

/// A key of this machine's own for the content, made once; only its public half leaves.
fn keys(built: &Artifacts, dir: &Path) -> Result<(PathBuf, PathBuf), Failure> {
    let keys = dir.join("keys");
    if !keys.is_dir() {
        let mut make = Command::new(&built.sakerctl);
        make.args(["content", "keygen", "--may-block", "--out-dir"]).arg(&keys);
        process::quietly("make a key", &mut make)?;
    }
    let find = |extension: &str| {
        let entries = fs::read_dir(&keys).map_err(Failure::file(&keys))?;
        let mut paths = entries.flatten().map(|entry| entry.path());
        paths
            .find(|path| path.extension().is_some_and(|found| found == extension))
            .ok_or_else(|| Failure::Other(format!("{} holds no .{extension}", keys.display())))
    };
    Ok((find("key")?, find("pub")?))
}

/// Windows: from the ISO to the results.
fn install_and_test(
    machine: &Machine<'_>,
    medium: &Medium,
    iso: &Path,
    patience: Duration,
) -> Result<(), Failure> {
    if !iso.is_file() {
        return Err(Failure::Other(format!(
            "{}: there is no such file; give the ISO of a 64-bit Windows",
            iso.display()
        )));
    }
    let disk = machine.dir.join("windows.img");
    remove_file(&disk)?;
    let file = fs::File::create(&disk).map_err(Failure::file(&disk))?;
    file.set_len(DISK).map_err(Failure::file(&disk))?;
    note("  ..  Windows is installed and tested; the machine's lines:");
    let ended = machine.run(Some((iso, &disk)), patience)?;
    let kept = machine.dir.join("results");
    remove_dir(&kept)?;
    medium.extract("results", &kept)?;
    let summary = results::read_all(&kept);
    if ended == Ended::OutOfTime {
        return Err(Failure::Other(format!(
            "the machine was not done after {} hours; its screen is seen with --window, and what \
             it had is in {}",
            patience.as_secs() / 3600,
            kept.display()
        )));
    }
    let summary = summary?;
    println!("{summary}\n{}", kept.display());
    if summary.failures == 0 {
        Ok(())
    } else {
        Err(Failure::Other(format!("failed on Windows: {} scenarios", summary.failures)))
    }
}

/// The firmware's shell runs `startup.nsh` of a medium.
fn check(machine: &Machine<'_>, medium: &Medium) -> Result<(), Failure> {
    medium.write("saker/proof.txt", PROOF.as_bytes())?;
    medium.write("results/empty.txt", b"")?;
    let mut script = String::from("@echo -off\r\n");
    for volume in 0..4 {
        script.push_str(&format!(
            "if exist fs{volume}:\\saker\\proof.txt then\r\n\
             cp fs{volume}:\\saker\\proof.txt fs{volume}:\\results\\proof.txt\r\n\
             endif\r\n"
        ));
    }
    script.push_str("reset -s\r\n");
    medium.write("startup.nsh", script.as_bytes())?;
    note("  ..  the firmware starts");
    if machine.run(None, CHECK_PATIENCE)? == Ended::OutOfTime {
        return Err(Failure::Other(
            "the firmware did not switch the machine off: see target/vm/serial.log".to_owned(),
        ));
    }
    let proof = medium.read("results/proof.txt")?;
    if proof != PROOF.as_bytes() {
        return Err(Failure::Other("the firmware wrote something else to the medium".to_owned()));
    }
    note("  ok  QEMU started, the firmware read the medium and wrote to it");
    Ok(())
}

fn remove_file(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::File { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

fn remove_dir(path: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::File { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}
