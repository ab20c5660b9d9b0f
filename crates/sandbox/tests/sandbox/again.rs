//! All tests once more as a user without privileges, when the tests are run by the superuser; and those that depend
//! on how a root comes to be once more in the ways of other machines.

use crate::bench::DIRECTORY;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

const NOBODY: u32 = 65534;

/// The tests that depend on how a root comes to be.
const ROOTS: [&str; 7] = ["attack::", "capture::", "environment::", "escape::", "host::", "kept::", "pool::"];

#[test]
fn as_an_unprivileged_user() {
    without_privileges(None);
}

#[test]
fn as_an_unprivileged_user_of_linux_5_11() {
    without_privileges(Some("old"));
}

/// Everything, or what depends on how a root comes to be on another machine.
fn without_privileges(machine: Option<&str>) {
    if !rustix::process::geteuid().is_root() || std::env::var_os("BOURN_SANDBOX_TESTS").is_some() {
        return; // this is that user, or the repetition itself
    }
    let directory = tempfile::Builder::new().prefix("bourn-sandbox").tempdir().expect("a directory");
    std::os::unix::fs::chown(directory.path(), Some(NOBODY), Some(NOBODY)).expect("given away");
    let program = directory.path().join("tests");
    // Written by another process: one that is split off here by another test would have the copy open for writing as
    // well, and the kernel does not run such a file.
    let copied = std::process::Command::new("cp")
        .arg(std::env::current_exe().expect("this program"))
        .arg(&program)
        .status();
    assert!(copied.expect("cp runs").success());
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("made executable");
    let mut command = std::process::Command::new(&program);
    if let Some(machine) = machine {
        command.args(ROOTS).env("BOURN_SANDBOX_MACHINE", machine);
    }
    let output = command
        .uid(NOBODY)
        .gid(NOBODY)
        .current_dir(directory.path())
        .env("BOURN_SANDBOX_TESTS", directory.path().join("files"))
        .env("HOME", directory.path())
        .env("TMPDIR", directory.path())
        .output()
        .expect("this program runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    println!("repeated as user {NOBODY} (and here in {}):\n{printed}", DIRECTORY.display());
}

/// How many trees are laid out as stubs.
pub(crate) fn layers_in(cache: &Path) -> usize {
    std::fs::read_dir(cache.join("bourn/layers/stub")).into_iter().flatten().count()
}

/// What a command sees, may do and leaves behind, on a machine that has not all that this one has.
fn on_another_machine(machine: &str) {
    if std::env::var_os("BOURN_SANDBOX_TESTS").is_some() {
        return; // this is a repetition itself
    }
    let directory = tempfile::tempdir_in(&*DIRECTORY).expect("a directory");
    let output = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(ROOTS)
        .env("BOURN_SANDBOX_TESTS", directory.path().join("files"))
        .env("BOURN_SANDBOX_MACHINE", machine)
        .output()
        .expect("this program runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    // Roots really came to be in that way: layers that are not stacked are kept apart.
    let layers = std::fs::read_dir(directory.path().join("files/cache/bourn/layers")).expect("layers");
    let names: Vec<String> =
        layers.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let alone = |name: &String| name.ends_with("-alone");
    assert!(!names.is_empty() && names.iter().all(|name| alone(name) == (machine == "none")), "{names:?}");
    assert_eq!(names.contains(&"stub".to_owned()), machine == "served", "{names:?}");
    if machine == "served" {
        assert_eq!(layers_in(&directory.path().join("files/cache")), 0, "nothing is laid out");
    }
}

/// Large trees are not laid out at all; here, all of them.
#[test]
fn where_every_tree_is_served() {
    let facts = crate::bench::Bench::new().executor.facts();
    match facts.served {
        Ok(()) => on_another_machine("served"),
        Err(error) => println!("not tested, because trees cannot be served here: {error}"),
    }
}

#[test]
fn where_stubs_do_not_work() {
    on_another_machine("copies");
}

#[test]
fn where_the_kernel_is_linux_5_11() {
    on_another_machine("old");
}

#[test]
fn where_there_are_no_overlays() {
    on_another_machine("none");
}
