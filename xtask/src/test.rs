//! Every test there is, with everything they need.

use crate::shell::{self, Outcome, cargo, root};
use crate::{peers, setup, tidy};
use std::process::Command;

/// Sets up, then checks the rules of the house and runs the tests. Arguments go to `cargo test`.
///
/// # Errors
/// The first step that failed.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    setup::install(&[setup::TOOLS])?;
    let reference = peers::install()?;
    let storage_server = peers::install_storage_server()?;
    let registry = setup::unpack("docker-registry", "usr/bin/docker-registry")?;
    tidy::run()?;
    let mut tests = Command::new(cargo());
    tests.current_dir(root()).args(["test", "--workspace"]).args(arguments);
    tests.env("BOURN_REFERENCE", reference).env("BOURN_BUILDGRID", storage_server);
    shell::run(tests.env("BOURN_REGISTRY", registry))
}
