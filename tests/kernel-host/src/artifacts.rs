//! Where tests find built drivers.

use std::path::{Path, PathBuf};

/// The path of a built artifact such as `saker.sys`, from the folder that `SAKER_ARTIFACTS` names
/// or `target/saker` of the workspace.
///
/// `None` when it was not built: a test then prints why and returns. With
/// `SAKER_REQUIRE_ARTIFACTS=1`, which `cargo xtask test` sets, absence is a failure.
pub fn path(name: &str) -> Option<PathBuf> {
    let path = folder().join(name);
    if path.is_file() {
        return Some(path);
    }
    let required = std::env::var_os("SAKER_REQUIRE_ARTIFACTS").is_some_and(|value| value == "1");
    assert!(!required, "{} is missing", path.display());
    eprintln!("skipped: {} is not built; run cargo xtask test", path.display());
    None
}

fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("SAKER_ARTIFACTS") {
        return folder.into();
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    workspace.unwrap_or(Path::new(".")).join("target/saker")
}
