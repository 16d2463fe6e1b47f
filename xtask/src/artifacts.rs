//! The workspace and what is built from it.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::lane::{Lane, Linked};
use crate::process;
use crate::tools::{Tools, bare};

/// Where sources are and where results go.
pub struct Workspace {
    /// The root of the sources.
    pub root: PathBuf,
    /// Where cargo builds.
    pub target_dir: PathBuf,
    /// Where finished files go.
    pub out: PathBuf,
}

impl Workspace {
    /// The workspace this program was built from. Finished files go to `out` or `target/saker`.
    pub fn find(out: Option<PathBuf>) -> Result<Self, Failure> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().unwrap_or(here).to_owned();
        let target_dir =
            env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let target_dir = std::path::absolute(&target_dir).map_err(Failure::file(&target_dir))?;
        let out = out.unwrap_or_else(|| root.join("target/saker"));
        let out = std::path::absolute(&out).map_err(Failure::file(&out))?;
        fs::create_dir_all(&out).map_err(Failure::file(&out))?;
        Ok(Self { root, target_dir, out })
    }

    /// Where drivers are built: apart from the host's programs, with another compiler.
    pub fn lane_dir(&self) -> PathBuf {
        self.target_dir.join("driver-lane")
    }

    /// Where `sakerctl.exe` is built on Linux.
    pub fn user_mode_dir(&self) -> PathBuf {
        self.target_dir.join("windows-lane")
    }

    /// The user's own cargo, with which everything but drivers is built.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target_dir);
        command
    }
}

/// The finished files.
#[derive(Debug, Clone)]
pub struct Artifacts {
    /// Their folder.
    pub dir: PathBuf,
    /// The driver.
    pub driver: PathBuf,
    /// Its debugging information.
    pub driver_pdb: PathBuf,
    /// The tool for channel files.
    pub sakerctl: PathBuf,
    /// The model that runs the driver on Linux.
    pub kernel_host: PathBuf,
}

impl fmt::Display for Artifacts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for path in [&self.driver, &self.driver_pdb, &self.sakerctl, &self.kernel_host] {
            writeln!(formatter, "{}", line(path))?;
        }
        Ok(())
    }
}

/// A finished file, with its size.
pub fn line(path: &Path) -> String {
    let size = fs::metadata(path).map(|metadata| metadata.len()).unwrap_or(0);
    format!("  {:>9} KB  {}", size.div_ceil(1024), path.display())
}

/// Builds everything that is shipped or shown.
pub fn build(workspace: &Workspace) -> Result<Artifacts, Failure> {
    let tools = Tools::find_or_install()?;
    let lane = Lane::prepare(&tools, &workspace.root, &workspace.lane_dir())?;
    build_with(workspace, &lane)
}

/// As [`build`], in a lane that is already prepared.
pub fn build_with(workspace: &Workspace, lane: &Lane<'_>) -> Result<Artifacts, Failure> {
    let linked = lane.build("saker", &[])?;
    let driver = place_driver(&linked, &workspace.out, "saker")?;
    let [sakerctl, kernel_host] = build_host_programs(workspace)?;
    Ok(Artifacts {
        dir: workspace.out.clone(),
        driver_pdb: driver.with_extension("pdb"),
        driver,
        sakerctl,
        kernel_host,
    })
}

/// Copies a linked driver and its PDB to `NAME.sys` and `NAME.pdb`.
pub fn place_driver(linked: &Linked, dir: &Path, name: &str) -> Result<PathBuf, Failure> {
    let image = dir.join(format!("{name}.sys"));
    place(&linked.image, &image)?;
    place(&linked.pdb, &image.with_extension("pdb"))?;
    Ok(image)
}

fn build_host_programs(workspace: &Workspace) -> Result<[PathBuf; 2], Failure> {
    let mut command = workspace.cargo();
    command.args(["build", "--profile", "tools", "-p", "loader", "-p", "kernel-host-runner"]);
    process::quietly("build sakerctl and kernel-host", &mut bare(command))?;
    let built = workspace.target_dir.join("tools");
    let suffix = env::consts::EXE_SUFFIX;
    let mut placed = [PathBuf::new(), PathBuf::new()];
    for (place_to, name) in placed.iter_mut().zip(["sakerctl", "kernel-host"]) {
        *place_to = workspace.out.join(format!("{name}{suffix}"));
        place(&built.join(format!("{name}{suffix}")), place_to)?;
    }
    Ok(placed)
}

/// Copies a file by way of a temporary name, so that a program that runs is never written to.
pub fn place(from: &Path, to: &Path) -> Result<(), Failure> {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = to.with_file_name(name);
    fs::copy(from, &fresh).map_err(Failure::file(from))?;
    fs::rename(&fresh, to).map_err(Failure::file(to))
}
