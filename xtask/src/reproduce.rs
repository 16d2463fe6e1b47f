//! `cargo xtask reproduce`: the driver's bytes must depend on its sources and its tools alone, not
//! on where or when it is built.
//!
//! The sources are copied to another folder and built there with another target folder; image and
//! PDB must come out the same, bit for bit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::artifacts::Workspace;
use crate::failure::Failure;
use crate::lane::Lane;
use crate::process;
use crate::progress::note;
use crate::tools::Tools;

/// Builds twice and compares.
pub fn run(workspace: &Workspace) -> Result<(), Failure> {
    let tools = Tools::find_or_install()?;
    let here =
        Lane::prepare(&tools, &workspace.root, &workspace.lane_dir())?.build("saker", &[])?;

    let elsewhere = tempfile::tempdir().map_err(Failure::file(Path::new("a temporary folder")))?;
    let sources = elsewhere.path().join("sources elsewhere");
    copy_sources(&workspace.root, &sources)?;
    let target_dir = elsewhere.path().join("built");
    let there = Lane::prepare(&tools, &sources, &target_dir)?.build("saker", &[])?;

    let mut different = Vec::new();
    for (name, first, second) in
        [("saker.sys", &here.image, &there.image), ("saker.pdb", &here.pdb, &there.pdb)]
    {
        let (first, second) = (digest(first)?, digest(second)?);
        let same = first == second;
        note(&format!("  {}  {name}  {first}", if same { "ok" } else { "!!" }));
        if !same {
            different.push(format!("{name}: {first} here, {second} elsewhere"));
        }
    }
    if different.is_empty() {
        note("\nreproducible: two builds at different places gave the same bytes");
        Ok(())
    } else {
        Err(Failure::Other(format!("not reproducible\n{}", different.join("\n"))))
    }
}

/// Copies every file that git tracks or would track.
fn copy_sources(from: &Path, to: &Path) -> Result<(), Failure> {
    let listed = process::output(Command::new("git").current_dir(from).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        let (source, copy): (PathBuf, PathBuf) = (from.join(name), to.join(name));
        // A tracked file that is deleted in the work tree is still listed.
        if !source.is_file() {
            continue;
        }
        if let Some(parent) = copy.parent() {
            fs::create_dir_all(parent).map_err(Failure::file(parent))?;
        }
        fs::copy(&source, &copy).map_err(Failure::file(&source))?;
    }
    Ok(())
}

fn digest(path: &Path) -> Result<String, Failure> {
    let bytes = fs::read(path).map_err(Failure::file(path))?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}
