//! The state of elements, and the keys that the cache decides upon.

use crate::Both;

// Not the digest of the artifact, for which bst ends with an exception where something below has no reference.
const FORMAT: &str = "%{name} %{state} %{full-key}";

/// Shows all elements of a project with both, strictly and not.
#[track_caller]
fn shown(both: &Both, targets: &[&str]) -> [String; 2] {
    ["--strict", "--no-strict"].map(|plan| {
        let mut words = vec![plan, "show", "--format", FORMAT];
        words.extend(targets);
        both.same(&words)
    })
}

const PROJECT: &str = "
=== project.conf
name: states
min-version: 2.0
=== base.bst
kind: import
sources:
- kind: local
  path: files
=== files/a
a
=== middle.bst
kind: stack
depends: [base.bst]
=== top.bst
kind: stack
depends: [middle.bst]
=== firm.bst
kind: stack
depends:
- filename: base.bst
  strict: true
=== composed.bst
kind: compose
build-depends: [middle.bst]
=== fetched.bst
kind: manual
build-depends: [middle.bst]
sources:
- kind: remote
  url: http://localhost/x
  ref: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
";

const NO_REFERENCE: &str = "
=== base.bst
kind: import
sources:
- kind: local
  path: files
- kind: remote
  url: http://localhost/x
";

const TARGETS: [&str; 4] = ["top.bst", "firm.bst", "composed.bst", "fetched.bst"];

/// A strict key needs a reference of everything below, a weak one does not: what was built before is still found.
#[test]
fn above_what_has_no_reference() {
    let Some(both) = Both::new(PROJECT) else { return };
    shown(&both, &TARGETS);
    both.bourn(&["build", "top.bst", "firm.bst"]).success();
    shown(&both, &TARGETS);
    both.bourn.files(NO_REFERENCE);
    let [strict, loose] = shown(&both, &TARGETS);
    assert!(strict.contains("base.bst no reference ?"), "{strict}");
    assert!(strict.contains("top.bst cached ?") && strict.contains("fetched.bst fetch needed ?"), "{strict}");
    assert!(strict.contains("firm.bst waiting ?") && strict.contains("composed.bst waiting ?"), "{strict}");
    assert!(loose.contains("top.bst cached") && !loose.contains("top.bst cached ?"), "{loose}");
}

/// A failure that was kept is to be built again, so that its key matters even in a strict plan.
#[test]
fn failures_above_what_has_no_reference() {
    let Some(both) = Both::new(PROJECT) else { return };
    let failing = "
=== failing.bst
kind: manual
build-depends: [middle.bst]
config: {install-commands: ['false']}
=== above.bst
kind: manual
build-depends: [failing.bst]
config: {install-commands: ['true']}
";
    both.bourn.files(failing);
    both.bourn(&["build", "failing.bst"]).failure(255, "failing.bst");
    let targets = ["failing.bst", "above.bst"];
    let [strict, _] = shown(&both, &targets);
    assert!(strict.contains("failing.bst failed"), "{strict}");
    both.bourn.files(NO_REFERENCE);
    let [strict, _] = shown(&both, &targets);
    assert!(strict.contains("failing.bst failed") && strict.contains("above.bst waiting"), "{strict}");
}

/// In a plan that is not strict, what changed below does not matter to what follows it loosely.
#[test]
fn above_what_changed() {
    let Some(both) = Both::new(PROJECT) else { return };
    both.bourn(&["build", "top.bst", "firm.bst", "composed.bst"]).success();
    both.bourn.files("=== files/a\nb\n");
    let [strict, loose] = shown(&both, &TARGETS);
    assert!(!strict.contains("top.bst cached"), "{strict}");
    assert!(loose.contains("top.bst cached"), "{loose}");
    // What is asked for decides what has a key: what something below that is not asked for would be built as.
    for deps in ["none", "build", "run", "all"] {
        for targets in [&["fetched.bst"][..], &["middle.bst", "fetched.bst"]] {
            let words = ["--no-strict", "show", "--deps", deps, "--format", FORMAT];
            both.same(&[&words, targets].concat());
        }
    }
    both.bourn(&["--no-strict", "build", "firm.bst"]).success();
    shown(&both, &TARGETS);
}
