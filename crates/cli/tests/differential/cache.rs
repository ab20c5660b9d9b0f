//! One cache for both: what one built the other finds.

use crate::Both;

const PROJECT: &str = "
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
build-depends: [base.bst]
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
=== slim.bst
kind: compose
build-depends: [base.bst, hello.bst]
config:
  exclude: [doc]
=== all.bst
kind: stack
depends: [slim.bst, hello.bst]
";

const STATES: &[&str] =
    &["show", "--deps", "all", "--format", "%{name} %{full-key} %{state} %{artifact-cas-digest}", "all.bst"];

fn project() -> Option<Both> {
    Both::new(PROJECT).map(Both::with_shell)
}

#[test]
fn bst_finds_what_bourn_built() {
    let Some(both) = project() else { return };
    both.bourn(&["build", "all.bst"]).success();
    let states = both.same(STATES);
    assert_eq!(states.matches(" cached ").count(), 4, "{states}");
    both.bst(&["artifact", "checkout", "--directory", "by-bst", "all.bst"]).success();
    both.bourn(&["artifact", "checkout", "--directory", "by-bourn", "all.bst"]).success();
    same_trees(&both);
    let log = both.bst(&["artifact", "log", "hello.bst"]).success().stdout;
    assert!(log.contains("Good morning"), "{log}");
    let built = both.bst(&["build", "all.bst"]).success();
    assert!(!built.stderr.contains("Running commands"), "{}", built.stderr);
}

#[test]
fn bourn_finds_what_bst_built() {
    let Some(both) = project() else { return };
    both.bst(&["build", "all.bst"]).success();
    let states = both.same(STATES);
    assert_eq!(states.matches(" cached ").count(), 4, "{states}");
    both.bourn(&["artifact", "checkout", "--directory", "by-bourn", "all.bst"]).success();
    both.bst(&["artifact", "checkout", "--directory", "by-bst", "all.bst"]).success();
    same_trees(&both);
    let log = both.bourn(&["artifact", "log", "hello.bst"]).success().stdout;
    assert!(log.contains("Good morning"), "{log}");
    let built = both.bourn(&["build", "all.bst"]).success();
    assert!(!built.stderr.contains("Running commands"), "{}", built.stderr);
}

#[test]
fn both_build_the_same() {
    let (Some(ours), Some(theirs)) = (project(), project()) else { return };
    ours.bourn(&["build", "all.bst"]).success();
    theirs.bst(&["build", "all.bst"]).success();
    assert_eq!(ours.bourn(STATES).success().stdout, theirs.bst(STATES).success().stdout);
}

#[test]
fn failures_are_kept_for_both() {
    let Some(both) = project() else { return };
    let show = ["show", "--deps", "none", "--format", "%{state}", "broken.bst"];
    both.bourn(&["build", "broken.bst"]).failure(255, "about to fail");
    assert_eq!(both.same(&show), "failed\n");
    let log = both.bst(&["artifact", "log", "broken.bst"]).success().stdout;
    assert!(log.contains("about to fail"), "{log}");
}

#[test]
fn a_failure_of_bst_is_known_to_bourn() {
    let Some(both) = project() else { return };
    both.bst(&["build", "broken.bst"]).failure(255, "about to fail");
    let show = ["show", "--deps", "none", "--format", "%{state}", "broken.bst"];
    assert_eq!(both.same(&show), "failed\n");
    let log = both.bourn(&["artifact", "log", "broken.bst"]).success().stdout;
    assert!(log.contains("about to fail"), "{log}");
}

/// The trees that both checked out: paths, permissions, content and links.
fn same_trees(both: &Both) {
    let list = |name: &str| {
        let directory = both.bourn.project().join(name);
        let script = "find . -printf '%p %m %l\\n' | sort; find . -type f | sort | xargs sha256sum";
        let output = std::process::Command::new("sh").args(["-c", script]).current_dir(directory).output();
        String::from_utf8_lossy(&output.expect("find and sort").stdout).into_owned()
    };
    let (ours, theirs) = (list("by-bourn"), list("by-bst"));
    assert!(ours.contains("./integrated"), "{ours}");
    assert_eq!(ours, theirs);
}
