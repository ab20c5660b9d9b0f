//! All tests once more as a user without privileges, when the tests are run by the superuser.

use crate::bench::DIRECTORY;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

const NOBODY: u32 = 65534;

#[test]
fn as_an_unprivileged_user() {
    if !rustix::process::geteuid().is_root() || std::env::var_os("BOURN_SANDBOX_TESTS").is_some() {
        return; // this is that user, or the repetition itself
    }
    let directory = tempfile::Builder::new().prefix("bourn-sandbox").tempdir().expect("a directory");
    std::os::unix::fs::chown(directory.path(), Some(NOBODY), Some(NOBODY)).expect("given away");
    let program = directory.path().join("tests");
    std::fs::copy(std::env::current_exe().expect("this program"), &program).expect("a copy of this program");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("made executable");
    let output = std::process::Command::new(&program)
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
