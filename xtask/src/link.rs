//! This program as the driver's linker: runs `lld-link` so that its output does not depend on
//! where it was run.
//!
//! A PDB records the linker's working folder, its command line and the path of every input, and
//! the image records a hash of the PDB. So the inputs are gathered in a fresh folder under names
//! that say what they are and not where they came from, and `lld-link` is started there with
//! relative names only and told that the folder is called [`SHOWN_DIR`].

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::version;

/// Names the real linker; set by the lane for the compilers it starts.
pub const LINKER: &str = "SAKER_LLD_LINK";

/// What the PDB says about where it was linked.
const SHOWN_DIR: &str = "/saker/link";

/// The driver that is shipped, and so says its version.
const SHIPPED: &str = "saker.sys";

/// The name of its version resource in the stage.
const VERSION: &str = "version.res";

/// The real linker, if this process was started as one: the variable is set and the arguments are
/// a linker's.
pub fn requested() -> Option<PathBuf> {
    let linker = env::var_os(LINKER)?;
    let is_link = env::args_os()
        .skip(1)
        .any(|argument| argument.to_string_lossy().to_ascii_uppercase().starts_with("/OUT:"));
    is_link.then(|| PathBuf::from(linker))
}

/// Links with the arguments of this process.
pub fn run(linker: &Path) -> Result<(), Failure> {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let stage = tempfile::tempdir().map_err(Failure::file(&env::temp_dir()))?;
    let mut plan = Plan::default();
    for argument in &arguments {
        plan.add(&argument.to_string_lossy())?;
    }
    for (name, source) in &plan.inputs {
        let staged = stage.path().join(name);
        let source = fs::canonicalize(source).map_err(Failure::file(source))?;
        place(&source, &staged).map_err(Failure::file(&staged))?;
    }

    if plan.outputs.contains_key(SHIPPED) {
        let resource = stage.path().join(VERSION);
        fs::write(&resource, version::resource()).map_err(Failure::file(&resource))?;
        plan.arguments.push(VERSION.to_owned());
    }

    let mut command = Command::new(linker);
    name_plainly(&mut command);
    command
        .current_dir(stage.path())
        .env_remove("LIB")
        .env_remove("LINK")
        .args(&plan.arguments)
        .arg(format!("/PDBSOURCEPATH:{SHOWN_DIR}"));
    let status = command
        .status()
        .map_err(|source| Failure::Start { program: linker.display().to_string(), source })?;
    if !status.success() {
        return Err(Failure::Other(format!("{} ended with {status}", linker.display())));
    }
    for (name, destination) in &plan.outputs {
        let made = stage.path().join(name);
        if made.is_file() {
            fs::copy(&made, destination).map_err(Failure::file(destination))?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn place(source: &Path, staged: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(source, staged)
}

#[cfg(not(unix))]
fn place(source: &Path, staged: &Path) -> io::Result<()> {
    fs::copy(source, staged).map(|_| ())
}

/// The linker's own path would go into the PDB.
#[cfg(unix)]
fn name_plainly(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    command.arg0("lld-link");
}

#[cfg(not(unix))]
fn name_plainly(_command: &mut Command) {}

/// The same link, said with names instead of paths.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// Arguments for the linker.
    arguments: Vec<String>,
    /// Name in the stage → the file it stands for.
    inputs: BTreeMap<String, PathBuf>,
    /// Name in the stage → where the result belongs.
    outputs: BTreeMap<String, PathBuf>,
}

impl Plan {
    fn add(&mut self, argument: &str) -> Result<(), Failure> {
        if argument.starts_with('@') {
            return Err(Failure::Other("a response file as argument is not expected".to_owned()));
        }
        let (option, value) = match argument.split_once(':') {
            Some((option, value)) if option.starts_with('/') => {
                (option.to_ascii_uppercase(), value)
            }
            _ => (String::new(), argument),
        };
        match option.as_str() {
            // Inputs come with their full path; what a search would find is never asked for.
            "/LIBPATH" => {}
            "/OUT" => {
                let path = PathBuf::from(value);
                // The image's own name is in its export table and in its PDB.
                let image = driver_name(&path);
                let pdb = Path::new(&image).with_extension("pdb");
                let pdb = pdb.to_string_lossy().into_owned();
                self.arguments.push(format!("/OUT:{image}"));
                self.arguments.push(format!("/PDB:{pdb}"));
                self.outputs.insert(pdb, path.with_extension("pdb"));
                self.outputs.insert(image, path);
            }
            "/IMPLIB" => {
                self.arguments.push("/IMPLIB:exports.lib".to_owned());
                self.outputs.insert("exports.lib".to_owned(), PathBuf::from(value));
            }
            "/DEF" | "/NATVIS" => {
                let name = self.stage(Path::new(value));
                self.arguments.push(format!("{option}:{name}"));
            }
            "" if Path::new(argument).is_absolute() && Path::new(argument).is_file() => {
                let name = self.stage(Path::new(argument));
                self.arguments.push(name);
            }
            _ => self.arguments.push(argument.to_owned()),
        }
        Ok(())
    }

    fn stage(&mut self, path: &Path) -> String {
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{:02}-{}", self.inputs.len(), without_hash(&file_name));
        self.inputs.insert(name.clone(), path.to_owned());
        name
    }
}

/// `saker.dll` as cargo calls it is `saker.sys`.
fn driver_name(path: &Path) -> String {
    Path::new(path.file_name().unwrap_or_default())
        .with_extension("sys")
        .to_string_lossy()
        .into_owned()
}

/// A file name without cargo's hash, which depends on the compiler's flags and so on the place:
/// `libcore-0123456789abcdef.rlib` → `libcore.rlib`.
fn without_hash(name: &str) -> String {
    let is_hash = |part: &str| part.len() == 16 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let parts: Vec<String> = name
        .split('.')
        .filter(|part| !is_hash(part))
        .map(|part| match part.rsplit_once('-') {
            Some((stem, hash)) if is_hash(hash) => stem.to_owned(),
            _ => part.to_owned(),
        })
        .collect();
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_go_back_where_the_compiler_wants_them() {
        let mut plan = Plan::default();
        plan.add("/OUT:/somewhere/deps/saker.dll").expect("a valid argument");
        assert_eq!(plan.arguments, ["/OUT:saker.sys", "/PDB:saker.pdb"]);
        assert_eq!(plan.outputs["saker.sys"], Path::new("/somewhere/deps/saker.dll"));
        assert_eq!(plan.outputs["saker.pdb"], Path::new("/somewhere/deps/saker.pdb"));
    }

    #[test]
    fn inputs_lose_their_place_and_their_hash() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let input = dir.path().join("libcore-0123456789abcdef.rlib");
        fs::write(&input, b"").expect("a writable folder");
        let mut plan = Plan::default();
        plan.add(&input.to_string_lossy()).expect("a valid argument");
        plan.add("/LIBPATH:/somewhere").expect("a valid argument");
        plan.add("/DRIVER").expect("a valid argument");
        assert_eq!(plan.arguments, ["00-libcore.rlib", "/DRIVER"]);
        assert_eq!(plan.inputs["00-libcore.rlib"], input);
    }

    #[test]
    fn response_files_are_refused() {
        assert!(Plan::default().add("@arguments.txt").is_err());
    }

    #[test]
    fn only_hashes_are_removed_from_names() {
        assert_eq!(
            without_hash("saker.saker.0123456789abcdef-cgu.0.rcgu.o"),
            "saker.saker.0123456789abcdef-cgu.0.rcgu.o"
        );
        assert_eq!(without_hash("ntoskrnl.lib"), "ntoskrnl.lib");
        assert_eq!(without_hash("libdriver_core-00ff00ff00ff00ff.rlib"), "libdriver_core.rlib");
    }
}
