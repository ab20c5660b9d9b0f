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
    let ssh = setup::ssh_server()?;
    tidy::run()?;
    let mut tests = Command::new(cargo());
    tests.current_dir(root()).args(["test", "--workspace"]).args(arguments);
    tests.env("BOURN_REFERENCE", reference).env("BOURN_BUILDGRID", storage_server);
    tests.env("BOURN_REGISTRY", registry);
    if let Some((server, libraries)) = ssh {
        tests.env("BOURN_SSHD", server).env("BOURN_SSHD_LIBRARIES", libraries);
    }
    shell::run(&mut tests)
}
