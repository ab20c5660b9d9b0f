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

/// Installs the reference unless it is there, and returns the path of its `bst`.
///
/// # Errors
/// When Python, its packages or the packages of Debian that it runs cannot be installed.
pub(crate) fn install() -> Outcome<PathBuf> {
    let environment = scratch("reference");
    let bst = environment.join("bin/bst");
    let stamp = environment.join("requirements");
    let wanted = REQUIREMENTS.join("\n");
    setup::install(&[setup::REFERENCE])?;
    if bst.exists() && std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(bst);
    }
    // Never emptied: worktrees may share it, and somebody may be running what is in it.
    if !environment.join("bin/pip").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    let mut pip = Command::new(environment.join("bin/pip"));
    run(pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(REQUIREMENTS))?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(bst)
}
