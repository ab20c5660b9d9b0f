//! `bourn explain`: every input of a key, changed one by one, is named, wherever below it is.

use crate::env;
use bourn_testkit::TestEnv;
use std::fs;

const PROJECT: &str = "
=== project.conf
name: explained
min-version: 2.0
fatal-warnings: [overlaps]
environment: {SHARED: one}
variables: {shared: one}
=== base.bst
kind: import
sources:
- kind: local
  path: files
=== files/a
a
=== sub.bst
kind: junction
sources:
- kind: local
  path: sub
=== sub/project.conf
name: sub
min-version: 2.0
=== sub/inner.bst
kind: import
sources:
- kind: local
  path: files
=== sub/files/inner
a
=== middle.bst
kind: stack
depends:
- base.bst
- sub.bst:inner.bst
=== composed.bst
kind: compose
build-depends: [middle.bst]
=== top.bst
kind: stack
depends: [composed.bst]
public: {domain: {key: '%{shared}'}}
";

/// A project whose elements are built.
fn built() -> TestEnv {
    let env = env();
    env.files(PROJECT);
    env.run(&["build", "top.bst"]).success();
    assert!(env.run(&["explain", "top.bst"]).success().stdout.starts_with("top.bst is cached ("));
    env
}

/// Replaces `from` in a file, checks the lines that explain the top element, and undoes it.
#[track_caller]
fn check(env: &TestEnv, file: &str, from: &str, to: &str, expect: &[&str]) {
    let path = env.project().join(file);
    let before = fs::read_to_string(&path).expect("a file");
    assert!(before.contains(from), "{before}");
    fs::write(&path, before.replace(from, to)).expect("written");
    let text = env.run(&["explain", "top.bst"]).success().stdout;
    let causes: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("  - ")).collect();
    assert_eq!(causes.len(), expect.len(), "{file}: {text}");
    for (cause, expect) in causes.iter().zip(expect) {
        assert!(cause.starts_with(expect), "{file}: {text}");
    }
    let json = env.run(&["explain", "--json", "top.bst"]).success().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json[0]["state"], "changed", "{json}");
    assert_eq!(json[0]["causes"].as_array().map(Vec::len), Some(expect.len()), "{json}");
    fs::write(&path, before).expect("written");
}

#[test]
fn every_input_is_named() {
    let env = built();
    let check = |file, from, to, expect: &[&str]| check(&env, file, from, to, expect);
    check("files/a", "a", "b", &["base.bst: source 1 (local) was "]);
    check("sub/files/inner", "a", "b", &["sub.bst:inner.bst: source 1 (local) was "]);
    check(
        "project.conf",
        "shared: one",
        "shared: two",
        &["the public data: domain, key was \"one\", is \"two\""],
    );
    check(
        "project.conf",
        "SHARED: one",
        "SHARED: two",
        &["composed.bst: the environment: SHARED was \"one\", is"],
    );
    check(
        "project.conf",
        "fatal-warnings: [overlaps]",
        "fatal-warnings: []",
        &[
            "the fatal warnings of the project: 1 is gone: \"overlaps\"",
            "composed.bst: the fatal warnings",
            "base.bst: the fatal warnings",
            "middle.bst: the fatal warnings",
        ],
    );
    check(
        "middle.bst",
        "- base.bst\n",
        "",
        &[
            "middle.bst: dependency explained/base.bst is gone",
            "composed.bst: dependency explained/base.bst is gone",
        ],
    );
    let other = "kind: compose\nconfig: {include-orphans: false}\n";
    check("composed.bst", "kind: compose\n", other, &["composed.bst: the configuration: orphans was "]);
    check(
        "project.conf",
        "variables:",
        "sandbox: {build-uid: 7}\nvariables:",
        &["composed.bst: the sandbox: build-uid is new: 7"],
    );
}

#[test]
fn workspaces_are_named() {
    let env = built();
    env.run(&["workspace", "open", "--directory", "../ws", "base.bst"]).success();
    let text = env.run(&["explain", "top.bst"]).success().stdout;
    assert!(text.contains("base.bst: source 1 (workspace)"), "{text}");
}

#[test]
fn what_cannot_be_built_is_said() {
    let env = built();
    env.files("=== base.bst\nkind: import\nsources:\n- kind: remote\n  url: http://localhost/x\n");
    let explain =
        |words: &[&str]| env.run(&[words, &["explain", "top.bst", "sub.bst"]].concat()).success().stdout;
    let text = explain(&[]);
    assert!(text.starts_with("top.bst has no key: sources without a ref are in base.bst\n"), "{text}");
    assert!(text.ends_with("sub.bst is a junction, of which nothing is built\n"), "{text}");
    assert!(explain(&["--no-strict"]).starts_with("top.bst is cached ("));
}

/// What another program built, or another machine, left no inputs: the artifacts tell what it was built upon.
#[test]
fn artifacts_built_elsewhere_tell_what_they_can() {
    let env = built();
    fs::remove_dir_all(env.cache().join("bourn/inputs")).expect("what is remembered of builds");
    check(&env, "files/a", "a", "b", &["base.bst: something in its configuration, public data or sources"]);
    check(
        &env,
        "project.conf",
        "SHARED: one",
        "SHARED: two",
        &["composed.bst: the environment: SHARED was "],
    );
    check(
        &env,
        "middle.bst",
        "- base.bst\n",
        "",
        &[
            "middle.bst: dependency explained/base.bst is gone",
            "composed.bst: dependency explained/base.bst is gone",
        ],
    );
    fs::remove_dir_all(env.cache().join("artifacts/refs")).expect("the artifacts");
    assert!(env.run(&["explain", "top.bst"]).success().stdout.contains("has not built it before"));
}
