//! The reference, installed into a virtual environment of its own below `target`.

use crate::setup;
use crate::shell::{Outcome, run, scratch};
use std::path::PathBuf;
use std::process::Command;

/// The versions whose behaviour bourn answers for.
const REQUIREMENTS: &[&str] = &[
    "BuildStream==2.8.1",
    "buildstream-plugins==2.8.0",
    "buildstream-plugins-community==2.4.0",
    "arpy",
    "dulwich",
    "requests",
    "tomlkit",
];

/// A server of somebody else, for blobs: it shares no code with the reference.
const STORAGE_SERVER: &[&str] = &["buildgrid==0.4.4"];

/// Installs the reference unless it is there, and returns the path of its `bst`.
///
/// # Errors
/// When Python, its packages or the packages of Debian that it runs cannot be installed.
pub(crate) fn install() -> Outcome<PathBuf> {
    install_program("reference", REQUIREMENTS, "bst")
}

/// Installs a second, independent server unless it is there, and returns the path of its `bgd`.
///
/// # Errors
/// When Python or its packages cannot be installed.
pub(crate) fn install_storage_server() -> Outcome<PathBuf> {
    install_program("buildgrid", STORAGE_SERVER, "bgd")
}

/// Installs Python packages into an environment of their own, and returns the path of a program that is among them.
fn install_program(name: &str, requirements: &[&str], program: &str) -> Outcome<PathBuf> {
    let environment = scratch(name);
    let program = environment.join("bin").join(program);
    let stamp = environment.join("requirements");
    let wanted = requirements.join("\n");
    setup::install(&[setup::REFERENCE])?;
    if program.exists() && std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(program);
    }
    // Never emptied: worktrees may share it, and somebody may be running what is in it.
    if !environment.join("bin/pip").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    let mut pip = Command::new(environment.join("bin/pip"));
    run(pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(requirements))?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(program)
}
