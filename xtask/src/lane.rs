//! The lane that builds drivers: cargo with the Linux stand-in for `wdk-build`, import libraries
//! made from `.def` files, a lock file of its own and a linker that leaves no trace of the place.
//!
//! The root `Cargo.lock` names the published `wdk-build`. The lane's lock file is a copy of it,
//! made anew at every build, in which cargo swaps that one package: the tree stays clean and both
//! files name the same versions.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::link;
use crate::process;
use crate::tools::{Library, TARGET, Tools, bare, library_source};

/// The workspace as debuggers see it, wherever it was built.
const SHOWN_ROOT: &str = "/saker";

/// A prepared lane.
pub struct Lane<'a> {
    tools: &'a Tools,
    root: PathBuf,
    target_dir: PathBuf,
    libraries: PathBuf,
    linker: PathBuf,
}

/// A linked driver.
pub struct Linked {
    /// The image.
    pub image: PathBuf,
    /// Its debugging information.
    pub pdb: PathBuf,
}

impl<'a> Lane<'a> {
    /// Prepares a lane for the workspace at `root`, with build files below `target_dir`.
    pub fn prepare(tools: &'a Tools, root: &Path, target_dir: &Path) -> Result<Self, Failure> {
        let target_dir = target_dir.to_owned();
        let libraries = target_dir.join("import-libraries");
        fs::create_dir_all(&libraries).map_err(Failure::file(&libraries))?;
        let linker = env::current_exe().map_err(Failure::file(Path::new("this program")))?;
        let lane = Self { tools, root: root.to_owned(), target_dir, libraries, linker };
        lane.make_import_libraries()?;
        Ok(lane)
    }

    /// Builds and links a driver package.
    pub fn build(&self, package: &str, features: &[&str]) -> Result<Linked, Failure> {
        let mut title = format!("build {package}.sys");
        if !features.is_empty() {
            title.push_str(&format!(" with {}", features.join(", ")));
        }
        let mut command = self.cargo("build", package, features)?;
        process::quietly(&title, &mut command)?;
        let dir = self.target_dir.join(TARGET).join("release/deps");
        Ok(Linked {
            image: dir.join(format!("{package}.dll")),
            pdb: dir.join(format!("{package}.pdb")),
        })
    }

    /// Type-checks a driver package.
    pub fn check(&self, package: &str, features: &[&str]) -> Result<(), Failure> {
        let title = format!("check {package} with {}", features.join(", "));
        process::quietly(&title, &mut self.cargo("check", package, features)?)
    }

    /// Runs clippy on a driver package; `Ok(false)` when this toolchain has none.
    pub fn clippy(&self, package: &str) -> Result<bool, Failure> {
        let Some(clippy) = &self.tools.toolchain.clippy else {
            return Ok(false);
        };
        let mut command = self.command(clippy, "clippy", package, &[])?;
        command.args(["--", "-D", "warnings"]);
        process::quietly(&format!("clippy {package}"), &mut command)?;
        Ok(true)
    }

    fn cargo(&self, verb: &str, package: &str, features: &[&str]) -> Result<Command, Failure> {
        self.command(&self.tools.toolchain.cargo, verb, package, features)
    }

    /// `program` is cargo or one of its subcommands.
    fn command(
        &self,
        program: &Path,
        verb: &str,
        package: &str,
        features: &[&str],
    ) -> Result<Command, Failure> {
        let toolchain = &self.tools.toolchain;
        let lock = self.copy_lock_file()?;
        let stand_in = self.root.join("xtask/wdk-linux/wdk-build");

        let mut command = bare(Command::new(program));
        command
            .current_dir(&self.root)
            .env("CARGO", &toolchain.cargo)
            .env("RUSTC", &toolchain.rustc)
            // For `-Z` options on a released compiler; no unstable language feature is used.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_DIR", &self.target_dir)
            .env("LIBCLANG_PATH", &self.tools.libclang_dir)
            .env("SAKER_WDK_LIB_DIR", &self.libraries)
            .env("SAKER_MINGW_INCLUDE_DIR", &self.tools.mingw_include)
            .env(link::LINKER, &self.tools.lld_link)
            // They would replace the flags of `.cargo/config.toml` and of this lane.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET")
            .args([verb, "--release", "--package", package, "--target", TARGET])
            .args(["-Z", "lockfile-path"])
            .args(config("resolver.lockfile-path", &quoted(&lock)))
            .args(config("patch.crates-io.wdk-build.path", &quoted(&stand_in)))
            .args(config(&format!("target.{TARGET}.linker"), &quoted(&self.linker)))
            .args(config(&format!("target.{TARGET}.rustflags"), &self.path_flags()));
        if toolchain.library == Library::Source {
            command.args(["-Z", "build-std=core,alloc"]);
            command.args(["-Z", "build-std-features=compiler-builtins-mem"]);
        }
        if !features.is_empty() {
            command.args(["--features", &features.join(",")]);
        }
        Ok(command)
    }

    /// The lane's own lock file, as the root's stands now.
    fn copy_lock_file(&self) -> Result<PathBuf, Failure> {
        let (from, to) = (self.root.join("Cargo.lock"), self.target_dir.join("Cargo.lock"));
        fs::copy(&from, &to).map_err(Failure::file(&from))?;
        Ok(to)
    }

    /// Flags that keep this machine's paths out of the image and its debugging information. The
    /// last match wins, so the outer folders come first.
    fn path_flags(&self) -> String {
        let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let cargo_home =
            env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
        let library = library_source(&self.tools.toolchain.sysroot);
        let real_library = library.canonicalize().unwrap_or_else(|_| library.clone());
        let flags: Vec<String> = [
            (cargo_home, "/cargo"),
            (library, "/rust/library"),
            (real_library, "/rust/library"),
            (self.root.clone(), SHOWN_ROOT),
            (self.target_dir.clone(), "/saker/target"),
        ]
        .iter()
        .map(|(from, to)| format!("\"--remap-path-prefix={}={to}\"", from.display()))
        .collect();
        format!("[{}]", flags.join(", "))
    }

    fn make_import_libraries(&self) -> Result<(), Failure> {
        let definitions = self.root.join("xtask/wdk-linux/def");
        for entry in definitions.read_dir().map_err(Failure::file(&definitions))?.flatten() {
            let definition = entry.path();
            if definition.extension().is_none_or(|extension| extension != "def") {
                continue;
            }
            let name = definition.with_extension("lib");
            let library = self.libraries.join(name.file_name().unwrap_or_default());
            process::output(
                Command::new(&self.tools.lld_link)
                    .arg("/lib")
                    .arg("/machine:x64")
                    .arg(format!("/def:{}", definition.display()))
                    .arg(format!("/out:{}", library.display())),
            )?;
        }
        Ok(())
    }
}

fn config(key: &str, value: &str) -> [String; 2] {
    ["--config".to_owned(), format!("{key}={value}")]
}

/// A path as a TOML string.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}
