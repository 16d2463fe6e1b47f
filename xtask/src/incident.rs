//! `cargo xtask incident`: what content can do to a machine, on `saker.sys` and beside it on a driver
//! that has the shape of the sensor of July 2024.

use std::process::Command;

use crate::artifacts::{self, Workspace};
use crate::failure::Failure;
use crate::lane::Lane;
use crate::process;
use crate::tools::Tools;

/// Builds both drivers and replays the scenarios.
pub fn run(workspace: &Workspace, only: &[String]) -> Result<(), Failure> {
    let tools = Tools::find_or_install()?;
    let lane = Lane::prepare(&tools, &workspace.root, &workspace.lane_dir())?;
    let built = artifacts::build_with(workspace, &lane)?;
    let linked = lane.build("sensor2024", &[])?;
    let beside = artifacts::place_driver(&linked, &workspace.out, "sensor2024")?;
    let mut command = Command::new(&built.kernel_host);
    command.arg("incidents").arg("--driver").arg(&built.driver).arg("--beside").arg(beside);
    process::openly("incidents", command.args(only))
}
