//! Which tools this machine has, and getting those it lacks.
//!
//! Nothing here names a version: tools are found on `PATH` and in `/usr/lib/llvm-*/bin`, the newest
//! first, and apt is asked which versions it has.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::process;
use crate::progress::note;

/// The target triple of the driver.
pub const TARGET: &str = "x86_64-pc-windows-msvc";

/// Everything that building the driver needs besides cargo's own crates.
#[derive(Debug, Clone)]
pub struct Tools {
    /// Compiler for the driver.
    pub toolchain: Toolchain,
    /// `lld-link`, which also makes import libraries.
    pub lld_link: PathBuf,
    /// The folder of `libclang`, for bindgen.
    pub libclang_dir: PathBuf,
    /// The folder of mingw-w64's headers.
    pub mingw_include: PathBuf,
}

/// The target triple of `sakerctl.exe`: unlike the driver's, its runtime library is to be had on
/// Linux.
pub const USER_TARGET: &str = "x86_64-pc-windows-gnu";

/// What building `sakerctl.exe` needs besides cargo's own crates.
#[derive(Debug, Clone)]
pub struct UserModeTools {
    /// Compiler for [`USER_TARGET`].
    pub toolchain: Toolchain,
    /// mingw-w64's `gcc`, as the linker.
    pub linker: PathBuf,
}

/// A Rust compiler that can build for one of the targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// Its cargo.
    pub cargo: PathBuf,
    /// Its rustc.
    pub rustc: PathBuf,
    /// Where its library for the target comes from.
    pub library: Library,
    /// Its sysroot.
    pub sysroot: PathBuf,
    /// Its clippy, if that is installed.
    pub clippy: Option<PathBuf>,
}

/// Where the standard library for the target comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Library {
    /// The target is installed.
    Installed,
    /// The library's source is installed, and cargo builds it.
    Source,
}

/// What `find` finds, after installing what is missing if that is possible.
fn find_or_install<T>(find: impl Fn() -> Result<T, Vec<Need>>) -> Result<T, Failure> {
    let missing = match find() {
        Ok(tools) => return Ok(tools),
        Err(missing) => missing,
    };
    note(&format!("  ..  missing: {}", names(&missing)));
    let packages = install(&missing)?;
    find().map_err(|still| {
        Failure::MissingTools(format!(
            "still missing after installing {}: {}",
            packages.join(" "),
            names(&still)
        ))
    })
}

impl UserModeTools {
    /// Finds the tools, installing what is missing if that is possible.
    pub fn find_or_install() -> Result<Self, Failure> {
        find_or_install(Self::find)
    }

    fn find() -> Result<Self, Vec<Need>> {
        match (find_toolchain(USER_TARGET), find_program("x86_64-w64-mingw32-gcc")) {
            (Some(toolchain), Some(linker)) => Ok(Self { toolchain, linker }),
            (toolchain, linker) => {
                let needs = [
                    (toolchain.is_none(), Need::Toolchain),
                    (linker.is_none(), Need::UserModeLinker),
                ];
                Err(needs.into_iter().filter(|need| need.0).map(|need| need.1).collect())
            }
        }
    }
}

/// What running programs for Windows needs where there is no Windows.
#[derive(Debug, Clone)]
pub struct WineTools {
    /// Wine, for 64-bit programs.
    pub wine: PathBuf,
}

impl WineTools {
    /// Finds the tools, installing what is missing if that is possible.
    pub fn find_or_install() -> Result<Self, Failure> {
        find_or_install(|| {
            // The bare loader of Debian's wine64 package, else whatever is called wine.
            let wine = find_program("wine64").or_else(|| find_program("wine"));
            wine.map(|wine| Self { wine }).ok_or_else(|| vec![Need::Wine])
        })
    }
}

/// What signing a package needs.
#[derive(Debug, Clone)]
pub struct SigningTools {
    /// Signs, and reads signatures.
    pub osslsigncode: PathBuf,
    /// Makes keys and certificates.
    pub openssl: PathBuf,
}

impl SigningTools {
    /// Finds the tools, installing what is missing if that is possible.
    pub fn find_or_install() -> Result<Self, Failure> {
        find_or_install(|| Self::find().map_err(|()| vec![Need::Signer]))
    }

    /// Finds the tools.
    pub fn find() -> Result<Self, ()> {
        match (find_program("osslsigncode"), find_program("openssl")) {
            (Some(osslsigncode), Some(openssl)) => Ok(Self { osslsigncode, openssl }),
            _ => Err(()),
        }
    }
}

impl Tools {
    /// Finds the tools, installing what is missing if that is possible.
    pub fn find_or_install() -> Result<Self, Failure> {
        find_or_install(Self::find)
    }

    fn find() -> Result<Self, Vec<Need>> {
        let toolchain = find_toolchain(TARGET);
        let lld_link = find_program("lld-link");
        let libclang = find_libclang();
        let mingw = find_mingw_include();
        match (toolchain, lld_link, libclang, mingw) {
            (Some(toolchain), Some(lld_link), Some(libclang_dir), Some(mingw_include)) => {
                Ok(Self { toolchain, lld_link, libclang_dir, mingw_include })
            }
            (toolchain, lld_link, libclang, mingw) => {
                let needs = [
                    (toolchain.is_none(), Need::Toolchain),
                    (lld_link.is_none(), Need::Linker),
                    (libclang.is_none(), Need::Libclang),
                    (mingw.is_none(), Need::Headers),
                ];
                Err(needs.into_iter().filter(|need| need.0).map(|need| need.1).collect())
            }
        }
    }
}

/// Sees to it that programs can be linked with Vectorscan, which only measurements need.
pub fn find_or_install_vectorscan() -> Result<(), Failure> {
    if linker_finds("libhs.so") {
        return Ok(());
    }
    note(&format!("  ..  missing: {}", Need::Vectorscan.name()));
    install(&[Need::Vectorscan])?;
    if linker_finds("libhs.so") {
        return Ok(());
    }
    let name = Need::Vectorscan.name();
    Err(Failure::MissingTools(format!("still missing after an installation: {name}")))
}

/// Sees to it that there is Node, under which the debugger's script is tested.
pub fn find_or_install_node() -> Result<(), Failure> {
    if find_program("node").is_some() {
        return Ok(());
    }
    note(&format!("  ..  missing: {}", Need::Node.name()));
    install(&[Need::Node])?;
    if find_program("node").is_some() {
        return Ok(());
    }
    let name = Need::Node.name();
    Err(Failure::MissingTools(format!("still missing after an installation: {name}")))
}

/// A virtual machine: QEMU and the firmware.
#[derive(Debug, Clone)]
pub struct Qemu {
    /// `qemu-system-x86_64`.
    pub program: PathBuf,
    /// The firmware's code.
    pub firmware: PathBuf,
    /// What its variables are at first.
    pub variables: PathBuf,
}

/// Finds QEMU with a UEFI firmware, or installs it.
pub fn find_or_install_qemu() -> Result<Qemu, Failure> {
    if let Some(found) = find_qemu() {
        return Ok(found);
    }
    note(&format!("  ..  missing: {}", Need::Qemu.name()));
    install(&[Need::Qemu])?;
    let name = Need::Qemu.name();
    find_qemu().ok_or_else(|| {
        Failure::MissingTools(format!("still missing after an installation: {name}"))
    })
}

fn find_qemu() -> Option<Qemu> {
    let program = find_program("qemu-system-x86_64")?;
    let pairs = [
        ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
        ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
        ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ];
    let mut pairs = pairs.iter().map(|(code, variables)| [code, variables].map(PathBuf::from));
    let [firmware, variables] = pairs.find(|pair| pair.iter().all(|path| path.is_file()))?;
    Some(Qemu { program, firmware, variables })
}

/// Sees to it that C++ can be compiled, which only libFuzzer is written in.
pub fn find_or_install_cxx() -> Result<(), Failure> {
    if find_program("c++").is_some() {
        return Ok(());
    }
    note(&format!("  ..  missing: {}", Need::Cxx.name()));
    install(&[Need::Cxx])?;
    match find_program("c++") {
        Some(_) => Ok(()),
        None => {
            let name = Need::Cxx.name();
            Err(Failure::MissingTools(format!("still missing after an installation: {name}")))
        }
    }
}

/// Something a machine can lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Toolchain,
    Linker,
    Libclang,
    Headers,
    UserModeLinker,
    Wine,
    Signer,
    Vectorscan,
    Node,
    Qemu,
    Cxx,
}

impl Need {
    fn name(self) -> &'static str {
        match self {
            Need::Toolchain => "a Rust toolchain for Windows",
            Need::Linker => "lld-link",
            Need::Libclang => "libclang",
            Need::Headers => "the mingw-w64 headers",
            Need::UserModeLinker => "mingw-w64's gcc",
            Need::Wine => "Wine",
            Need::Signer => "osslsigncode with openssl",
            Need::Vectorscan => "Vectorscan (libhs.so)",
            Need::Node => "Node (node)",
            Need::Qemu => "QEMU (qemu-system-x86_64) with the OVMF firmware",
            Need::Cxx => "a C++ compiler",
        }
    }

    /// Debian's packages for it, given the LLVM version to take.
    fn packages(self, llvm: u32) -> Vec<String> {
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        match self {
            Need::Toolchain => {
                named(&["rustc-web", "cargo-web", "rust-web-src", "rust-web-clippy"])
            }
            Need::Linker => vec![format!("lld-{llvm}")],
            Need::Libclang => {
                vec![format!("libclang1-{llvm}"), format!("libclang-common-{llvm}-dev")]
            }
            Need::Headers => named(&["mingw-w64-x86-64-dev", "mingw-w64-common"]),
            Need::UserModeLinker => named(&["gcc-mingw-w64-x86-64-win32"]),
            Need::Wine => named(&["wine", "wine64"]),
            Need::Signer => named(&["osslsigncode", "openssl"]),
            Need::Vectorscan => named(&["libvectorscan-dev"]),
            Need::Node => named(&["nodejs"]),
            Need::Qemu => named(&["qemu-system-x86", "ovmf"]),
            Need::Cxx => named(&["g++"]),
        }
    }
}

fn names(needs: &[Need]) -> String {
    needs.iter().map(|need| need.name()).collect::<Vec<_>>().join(", ")
}

/// Installs what is needed with apt; returns the packages.
fn install(needs: &[Need]) -> Result<Vec<String>, Failure> {
    let apt_exists = find_program("apt-get").is_some();
    let prefix: Option<&[&str]> = if !apt_exists {
        None
    } else if is_root() {
        Some(&[])
    } else if Command::new("sudo").args(["-n", "true"]).output().is_ok_and(|o| o.status.success()) {
        Some(&["sudo", "-n"])
    } else {
        None
    };
    let Some(prefix) = prefix else {
        return Err(Failure::MissingTools(advice(needs, newest_llvm().unwrap_or(19))));
    };
    let apt = |arguments: &[&str]| {
        let mut words: Vec<&str> = prefix.to_vec();
        words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]);
        words.extend(arguments);
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().unwrap_or("env"));
        command.args(words);
        command
    };
    process::quietly("apt-get update", &mut apt(&["update"]))?;
    let llvm = newest_llvm().ok_or_else(|| {
        Failure::MissingTools("apt offers no lld-<version> together with its libclang1".to_owned())
    })?;
    let packages: BTreeSet<String> = needs.iter().flat_map(|need| need.packages(llvm)).collect();
    let packages: Vec<String> = packages.into_iter().collect();
    let mut arguments = vec!["install", "--no-install-recommends"];
    arguments.extend(packages.iter().map(String::as_str));
    process::quietly(&format!("apt-get install {}", packages.join(" ")), &mut apt(&arguments))?;
    Ok(packages)
}

/// What to install by hand.
fn advice(needs: &[Need], llvm: u32) -> String {
    let packages: Vec<String> = needs.iter().flat_map(|need| need.packages(llvm)).collect();
    let mut text = format!(
        "missing: {}\n\nOn Debian (this task does it itself when run as root or with sudo):\n    \
         apt-get install --no-install-recommends {}\n",
        names(needs),
        packages.join(" ")
    );
    if needs.contains(&Need::Toolchain) {
        text.push_str(&format!(
            "\nIn place of the rustc-web packages, where rustup can download:\n    \
             rustup target add {TARGET} {USER_TARGET}\n"
        ));
    }
    text
}

/// The newest LLVM of which apt has the linker and libclang.
fn newest_llvm() -> Option<u32> {
    let versions = |pattern: &str, prefix: &str| -> BTreeSet<u32> {
        let listed =
            process::output(Command::new("apt-cache").args(["search", "--names-only", pattern]));
        let listed = listed.unwrap_or_default();
        listed
            .lines()
            .filter_map(|line| line.split(' ').next()?.strip_prefix(prefix)?.parse().ok())
            .collect()
    };
    let linkers = versions("^lld-[0-9]+$", "lld-");
    let libraries = versions("^libclang1-[0-9]+$", "libclang1-");
    linkers.intersection(&libraries).max().copied()
}

fn is_root() -> bool {
    process::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// The best toolchain among all on `PATH`: an installed target before a library from source.
fn find_toolchain(target: &str) -> Option<Toolchain> {
    let mut found: Vec<Toolchain> =
        search_path().iter().filter_map(|dir| toolchain_in(dir, target)).collect();
    // A stable sort: of equals, the first on `PATH`.
    found.sort_by_key(|toolchain| toolchain.library);
    found.into_iter().next()
}

fn toolchain_in(dir: &Path, target: &str) -> Option<Toolchain> {
    let (cargo, rustc) = (dir.join("cargo"), dir.join("rustc"));
    if !cargo.is_file() || !rustc.is_file() {
        return None;
    }
    let printed = |what: &[&str]| -> Option<PathBuf> {
        let text = process::output(bare(Command::new(&rustc)).args(what)).ok()?;
        Some(PathBuf::from(text.trim()))
    };
    let sysroot = printed(&["--print", "sysroot"])?;
    let library_dir = printed(&["--print", "target-libdir", "--target", target])?;
    let library = if holds_core(&library_dir) {
        Library::Installed
    } else if library_source(&sysroot).join("core/src/lib.rs").is_file() {
        Library::Source
    } else {
        return None;
    };
    // The lock file of the lane is an unstable option of recent cargos.
    let options = process::output(
        bare(Command::new(&cargo)).env("RUSTC_BOOTSTRAP", "1").args(["-Z", "help"]),
    );
    if !options.ok()?.contains("lockfile-path") {
        return None;
    }
    // Asked for by its path: `cargo clippy` would run the first clippy on `PATH`, which may be
    // another toolchain's. Rustup's stand-in is there even where clippy is not.
    let clippy = dir.join("cargo-clippy");
    let answers = process::output(bare(Command::new(&clippy)).arg("--version")).is_ok();
    let clippy = answers.then_some(clippy);
    Some(Toolchain { cargo, rustc, library, sysroot, clippy })
}

/// Where a sysroot has the library's source.
pub fn library_source(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust/library")
}

fn holds_core(library_dir: &Path) -> bool {
    let Ok(entries) = library_dir.read_dir() else {
        return false;
    };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("libcore-")
    })
}

/// A command without what `cargo run` sets for its child: the libraries of *its* toolchain would
/// be loaded into another's compiler.
pub fn bare(mut command: Command) -> Command {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let set_by_cargo = text.starts_with("CARGO_PKG_")
            || text.starts_with("CARGO_BIN_")
            || matches!(&*text, "CARGO" | "CARGO_MANIFEST_DIR" | "CARGO_MANIFEST_PATH");
        if set_by_cargo || text == "LD_LIBRARY_PATH" {
            command.env_remove(&name);
        }
    }
    command
}

/// A program of this name on `PATH` or among LLVM's, without or with a version in its name.
pub fn find_program(name: &str) -> Option<PathBuf> {
    search_path()
        .into_iter()
        .chain(llvm_dirs("bin"))
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

/// Whether the C compiler, which links Rust's programs too, knows where a library is.
fn linker_finds(library: &str) -> bool {
    // It answers with the bare name if it does not.
    let answer = process::output(Command::new("cc").arg(format!("-print-file-name={library}")));
    answer.is_ok_and(|path| path.contains('/'))
}

fn find_libclang() -> Option<PathBuf> {
    let named = env::var_os("LIBCLANG_PATH").map(PathBuf::from);
    named.into_iter().chain(llvm_dirs("lib")).find(|dir| {
        let Ok(entries) = dir.read_dir() else {
            return false;
        };
        let has_library = entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.contains(".so")
                && (name.starts_with("libclang.") || name.starts_with("libclang-"))
                && !name.starts_with("libclang-cpp")
        });
        // Without clang's own headers libclang parses nothing of ours.
        has_library && dir.join("clang").is_dir()
    })
}

fn find_mingw_include() -> Option<PathBuf> {
    [
        "/usr/share/mingw-w64/include",
        "/usr/x86_64-w64-mingw32/include",
        "/usr/x86_64-w64-mingw32/sys-root/mingw/include",
    ]
    .iter()
    .map(PathBuf::from)
    .find(|dir| dir.join("ddk/ntifs.h").is_file())
}

/// The folders of `PATH`, and `/usr/bin` at the end: Debian's compiler may be hidden behind rustup's.
fn search_path() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    dirs.push(PathBuf::from("/usr/bin"));
    let mut seen = BTreeSet::new();
    dirs.retain(|dir| seen.insert(dir.clone()));
    dirs
}

/// `/usr/lib/llvm-<version>/<part>`, newest first.
fn llvm_dirs(part: &str) -> Vec<PathBuf> {
    let Ok(entries) = Path::new("/usr/lib").read_dir() else {
        return Vec::new();
    };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_string_lossy().strip_prefix("llvm-")?.parse().ok()?;
            Some((version, entry.path().join(part)))
        })
        .collect();
    versions.sort_by_key(|version| std::cmp::Reverse(version.0));
    versions.into_iter().map(|version| version.1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_packages_and_the_other_way() {
        let text = advice(&[Need::Toolchain, Need::Linker], 42);
        assert!(text.contains("lld-42") && text.contains("rustc-web"), "{text}");
        let add = "rustup target add x86_64-pc-windows-msvc x86_64-pc-windows-gnu";
        assert!(text.contains(add), "{text}");
    }

    #[test]
    fn advice_about_the_linker_says_nothing_of_toolchains() {
        assert!(!advice(&[Need::Linker], 42).contains("rustup"));
    }

    #[test]
    fn advice_on_vectorscan_is_one_package() {
        let text = advice(&[Need::Vectorscan], 42);
        assert!(text.contains("libvectorscan-dev") && !text.contains("lld"), "{text}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_linker_finds_the_c_library_and_not_any_name() {
        assert!(linker_finds("libc.so"));
        assert!(!linker_finds("libno-such-library.so"));
    }

    #[test]
    fn an_installed_target_is_preferred_to_source() {
        assert!(Library::Installed < Library::Source);
    }

    #[test]
    fn a_folder_without_a_toolchain_has_none() {
        let empty = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(toolchain_in(empty.path(), TARGET), None);
    }
}
