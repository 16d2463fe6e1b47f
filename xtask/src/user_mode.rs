//! `sakerctl.exe`, built where there is no Windows: the same sources for [`USER_TARGET`], with a
//! standard library that is installed or built from its source, linked by mingw-w64.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::LittleEndian as LE;
use object::pe;
use object::read::pe::{ImageNtHeaders as _, ImageOptionalHeader as _, PeFile64};

use crate::artifacts::{Workspace, place};
use crate::failure::Failure;
use crate::process;
use crate::tools::{Library, USER_TARGET, UserModeTools, bare};

/// Libraries that every supported Windows has; all others would have to come with the program.
const SYSTEM_LIBRARIES: &[&str] = &[
    "advapi32.dll",
    "bcryptprimitives.dll",
    "fltlib.dll",
    "kernel32.dll",
    "msvcrt.dll",
    "newdev.dll",
    "ntdll.dll",
    "oleaut32.dll",
    "user32.dll",
    "userenv.dll",
    "ws2_32.dll",
];

/// Builds `sakerctl.exe` into the folder of finished files.
pub fn build(workspace: &Workspace) -> Result<PathBuf, Failure> {
    let placed = workspace.out.join("sakerctl.exe");
    if cfg!(windows) {
        // There it is the host's own program, and built with the others.
        return Ok(placed);
    }
    let tools = UserModeTools::find_or_install()?;
    let mut command = command(workspace, &tools, &tools.toolchain.cargo, "build");
    command.args(["--bin", "sakerctl"]);
    process::quietly("build sakerctl.exe", &mut command)?;
    let built = workspace.user_mode_dir().join(USER_TARGET).join("tools/sakerctl.exe");
    check(&built)?;
    place(&built, &placed)?;
    Ok(placed)
}

/// Runs clippy on what only Windows compiles; `Ok(false)` when this toolchain has none.
pub fn clippy(workspace: &Workspace) -> Result<bool, Failure> {
    let tools = UserModeTools::find_or_install()?;
    let Some(clippy) = &tools.toolchain.clippy else {
        return Ok(false);
    };
    let mut command = command(workspace, &tools, clippy, "clippy");
    command.args(["--lib", "--bins", "--", "-D", "warnings"]);
    process::quietly("clippy sakerctl.exe", &mut command)?;
    Ok(true)
}

fn command(workspace: &Workspace, tools: &UserModeTools, program: &Path, verb: &str) -> Command {
    let toolchain = &tools.toolchain;
    let mut command = bare(Command::new(program));
    command
        .current_dir(&workspace.root)
        .env("CARGO", &toolchain.cargo)
        .env("RUSTC", &toolchain.rustc)
        // For `-Z` options on a released compiler; no unstable language feature is used.
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .args([verb, "--locked", "--profile", "tools", "--package", "loader"])
        .args(["--target", USER_TARGET, "--target-dir"])
        .arg(workspace.user_mode_dir())
        .args(["--config", "profile.tools.panic='abort'"])
        .arg("--config")
        .arg(format!("target.{USER_TARGET}.linker='{}'", tools.linker.display()))
        .arg("--config")
        .arg(format!(
            "target.{USER_TARGET}.rustflags=['-Clink-arg=-Wl,--no-insert-timestamp','-Cstrip=symbols']"
        ));
    if toolchain.library == Library::Source {
        command.args(["-Z", "build-std=std,panic_abort"]);
    }
    command
}

/// The program is one for 64-bit Windows that needs no library but the system's.
fn check(program: &Path) -> Result<(), Failure> {
    let bytes = fs::read(program).map_err(Failure::file(program))?;
    let faults = faults(&bytes).map_err(|words| {
        Failure::Other(format!("{} is no Windows program: {words}", program.display()))
    })?;
    if faults.is_empty() {
        return Ok(());
    }
    Err(Failure::Other(format!("{}\n  - {}", program.display(), faults.join("\n  - "))))
}

/// What is wrong with a program; the error is in words: such a file is no program at all.
fn faults(bytes: &[u8]) -> Result<Vec<String>, String> {
    let words = |error: object::Error| error.to_string();
    let file = PeFile64::parse(bytes).map_err(words)?;
    let optional = file.nt_headers().optional_header();
    let mut faults = Vec::new();
    if optional.subsystem() != pe::IMAGE_SUBSYSTEM_WINDOWS_CUI {
        faults.push(format!("subsystem is {}, not the console's", optional.subsystem().0));
    }
    for (flag, name) in [
        (pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT, "NX_COMPAT"),
        (pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, "DYNAMIC_BASE"),
    ] {
        if optional.dll_characteristics().0 & flag.0 == 0 {
            faults.push(format!("lacks {name}"));
        }
    }
    if let Some(table) = file.import_table().map_err(words)? {
        let mut descriptors = table.descriptors().map_err(words)?;
        while let Some(descriptor) = descriptors.next().map_err(words)? {
            let name = table.name(descriptor.name.get(LE)).map_err(words)?;
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            // The universal C runtime and forwarders to it.
            let known = SYSTEM_LIBRARIES.contains(&&*name) || name.starts_with("api-ms-win-");
            if !known {
                faults.push(format!("needs {name}, which is no part of Windows"));
            }
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_program_is_refused() {
        assert!(faults(b"").is_err());
        assert!(faults(b"MZ is not enough").is_err());
    }

    /// The built program, where it has been built, and what is said of it with one byte changed.
    #[test]
    fn a_wrong_subsystem_and_a_missing_flag_are_told() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/saker/sakerctl.exe");
        let Ok(mut bytes) = fs::read(&path) else {
            eprintln!("skipped: {} is not built; run cargo xtask build", path.display());
            return;
        };
        assert_eq!(faults(&bytes), Ok(Vec::new()));
        let nt = u32::from_le_bytes(bytes[0x3C..0x40].try_into().unwrap()) as usize;
        let (subsystem, flags) = (nt + 24 + 68, nt + 24 + 70);
        bytes[subsystem] = 2;
        bytes[flags] = 0;
        bytes[flags + 1] = 0;
        let told = faults(&bytes).unwrap();
        assert_eq!(told.len(), 3, "{told:?}");
    }
}
