//! bourn beside the reference: the same projects given to both, the same answers wanted.
//!
//! `BOURN_REFERENCE` names the reference's `bst`; `cargo xtask test` installs it and sets the variable. Without it
//! these tests say that they were skipped.

#![allow(clippy::print_stderr, reason = "what was skipped is said")]

#[path = "differential/api.rs"]
mod api;
#[path = "differential/archives.rs"]
mod archives;
#[path = "differential/cache.rs"]
mod cache;
#[path = "differential/container.rs"]
mod container;
#[path = "differential/credentials.rs"]
mod credentials;
#[path = "differential/files.rs"]
mod files;
#[path = "differential/fleet.rs"]
mod fleet;
#[path = "differential/hosted.rs"]
mod hosted;
#[path = "differential/keys.rs"]
mod keys;
#[path = "differential/kinds.rs"]
mod kinds;
#[path = "differential/mirror.rs"]
mod mirror;
#[path = "differential/origins.rs"]
mod origins;
#[path = "differential/packaged.rs"]
mod packaged;
#[path = "differential/packages.rs"]
mod packages;
#[path = "differential/proxies.rs"]
mod proxies;
#[path = "differential/pulls.rs"]
mod pulls;
#[path = "differential/python.rs"]
mod python;
#[path = "differential/refs.rs"]
mod refs;
#[path = "differential/refusals.rs"]
mod refusals;
#[expect(dead_code, reason = "shared with the tests of the sources, which use more of it")]
#[path = "../../sources/tests/sources/registry.rs"]
mod registry;
#[path = "differential/remote.rs"]
mod remote;
#[path = "differential/repositories.rs"]
mod repositories;
#[expect(dead_code, reason = "shared with the tests of the sources, which use more of it")]
#[path = "../../sources/tests/sources/server.rs"]
mod server;
#[path = "../../sources/tests/sources/smart.rs"]
mod smart;
#[path = "differential/sockets.rs"]
mod sockets;
#[path = "differential/sources.rs"]
mod sources;
#[path = "differential/sourcing.rs"]
mod sourcing;
#[path = "differential/ssh.rs"]
mod ssh;
#[path = "differential/states.rs"]
mod states;
#[path = "differential/storage.rs"]
mod storage;
#[path = "differential/tables.rs"]
mod tables;
#[path = "differential/tracking.rs"]
mod tracking;
#[path = "differential/turmoil.rs"]
mod turmoil;
#[path = "differential/urls.rs"]
mod urls;

use bourn_testkit::{Ran, TestEnv};
use std::path::PathBuf;

/// A project that does a little of everything: files that are imported, a build with commands to integrate it, a build
/// that fails.
const SHARED: &str = "
=== project.conf
name: shared
min-version: 2.0
=== base.bst
kind: import
sources:
- kind: local
  path: files/base
=== hello.bst
kind: manual
depends: [base.bst]
sources:
- kind: local
  path: files/src
config:
  build-commands:
  - cat greeting
  install-commands:
  - mkdir -p %{install-root}/usr/share/doc
  - echo hello > %{install-root}/usr/share/greeting
  - echo manual > %{install-root}/usr/share/doc/hello
public:
  bst:
    integration-commands:
    - echo integrated > /integrated
=== files/src/greeting
Good morning
=== broken.bst
kind: manual
build-depends: [base.bst]
config:
  build-commands:
  - echo about to fail
  - 'false'
";

/// Both programs in one place: the same home, cache and project.
struct Both {
    bourn: TestEnv,
    bst: PathBuf,
}

impl Both {
    /// `None`, loudly, where the reference is not installed.
    fn new(fixture: &str) -> Option<Both> {
        let Some(bst) = std::env::var_os("BOURN_REFERENCE").map(PathBuf::from) else {
            eprintln!("SKIPPED: BOURN_REFERENCE names no bst to compare with (`cargo xtask test` sets it)");
            return None;
        };
        let bourn = TestEnv::new(env!("CARGO_BIN_EXE_bourn"));
        bourn.files(fixture);
        Some(Both { bourn, bst })
    }

    /// [`SHARED`] and more, with a shell. `None` where the reference is not installed.
    fn shared(more: &str) -> Option<Both> {
        Both::new(&format!("{SHARED}{more}")).map(Both::with_shell)
    }

    /// A place with the same project and an empty cache.
    fn elsewhere(&self) -> Both {
        let other = Both::new("").expect("the reference, as before");
        let (from, to) = (self.bourn.project(), other.bourn.project());
        let copied = std::process::Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status();
        assert!(copied.expect("cp").success());
        other
    }

    /// Puts a static shell into the project, for elements that run commands.
    fn with_shell(self) -> Both {
        let bin = self.bourn.project().join("files/base/bin");
        std::fs::create_dir_all(&bin).expect("a directory");
        std::fs::copy("/bin/busybox", bin.join("busybox"))
            .expect("busybox-static, which `cargo xtask test` installs");
        for name in ["sh", "echo", "mkdir", "cat", "true", "false", "find", "sort", "stat", "touch"] {
            std::os::unix::fs::symlink("busybox", bin.join(name)).expect("a link");
        }
        self
    }

    fn bourn(&self, arguments: &[&str]) -> Ran {
        self.bourn.run(arguments)
    }

    fn bst(&self, arguments: &[&str]) -> Ran {
        let mut words = vec!["--no-colors", "--no-interactive"];
        words.extend(arguments);
        let mut command = self.bourn.command(&words);
        let program = std::mem::replace(&mut command, std::process::Command::new(&self.bst));
        command.args(program.get_args()).env_clear();
        command.envs(program.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
        let output = command.current_dir(self.bourn.project()).output().expect("the reference started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran {
            status: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Checks that both print the same.
    #[track_caller]
    fn same(&self, arguments: &[&str]) -> String {
        let ours = self.bourn(arguments).success().stdout;
        let theirs = self.bst(arguments).success().stdout;
        assert_eq!(ours, theirs, "bourn (left) and bst (right) on {arguments:?}");
        ours
    }

    /// Checks that both refuse, at the same place.
    #[track_caller]
    fn both_refuse(&self, arguments: &[&str], place: &str) {
        let ours = self.bourn(arguments).failure(255, place);
        let theirs = self.bst(arguments).failure(255, place);
        let _ = (ours, theirs);
    }
}
