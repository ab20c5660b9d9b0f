//! What works without a project.

use crate::env;

#[test]
fn versions() {
    let env = env();
    assert!(env.run(&["--version"]).success().stdout.starts_with("bourn "));
    let link = env.path().join("bst");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_bourn"), &link).expect("a link");
    let as_bst = bourn_testkit::TestEnv::new(link);
    assert_eq!(as_bst.run(&["--version"]).success().stdout, "2.8.1\n");
    assert!(as_bst.run(&["--help"]).success().stdout.starts_with("Usage: bst "));
}

#[test]
fn statuses() {
    let env = env();
    env.run(&[]).failure(2, "Usage: bourn");
    env.run(&["build", "--pony"]).failure(2, "--pony");
    env.run(&["help", "pony"]).failure(255, "Not a valid command: 'bourn pony'");
    env.run(&["help", "artifact", "pull"]).success();
}

#[test]
fn error_reports() {
    let mut env = env();
    let report = env.path().join("report.json");
    env.set("BOURN_ERROR_REPORT", &report.to_string_lossy());
    env.run(&["init", "--project-name", "foo", "--min-version", "1.4"]).failure(255, "2.0");
    let text = std::fs::read_to_string(report).expect("a report");
    assert!(text.starts_with(r#"{"main":{"domain":"app","reason":"invalid-min-version""#), "{text}");
}

#[test]
fn new_projects() {
    let env = env();
    env.run(&["init"]).failure(255, "--project-name");
    env.run(&["init", "--project-name", "foo"]).success();
    let conf = std::fs::read_to_string(env.project().join("project.conf")).expect("a project");
    assert!(conf.contains("name: foo\n") && conf.contains("min-version: 2.8\n"), "{conf}");
    assert!(env.project().join("elements").is_dir());
    env.run(&["init", "--project-name", "foo"]).failure(255, "already exists");
    env.run(&["-C", "x", "init", "--project-name", "foo"]).failure(255, "-C");
}

#[test]
fn completions() {
    let mut env = env();
    env.files("=== project.conf\nname: x\nelement-path: e\n=== e/a.bst\n=== e/sub/b.bst\n=== e/notes.txt\n");
    env.set("_BST_COMPLETION", "complete");
    env.set("COMP_WORDS", "bourn show ");
    env.set("COMP_CWORD", "2");
    assert_eq!(env.run(&[]).success().stdout, "a.bst \nsub/\n");
}

#[test]
fn every_command_has_a_manual_page() {
    let env = env();
    let printed = env.run(&["manual", "man/man1"]).success().stdout;
    assert!(printed.lines().count() > 30, "{printed}");
    for path in printed.lines() {
        let page = std::fs::read_to_string(env.project().join(path)).expect("the page");
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{path}: {page}");
    }
    let written = std::fs::read_dir(env.project().join("man/man1")).expect("a directory").count();
    assert_eq!(written, printed.lines().count(), "{printed}");
    let checkout = std::fs::read_to_string(env.project().join("man/man1/bourn-artifact-checkout.1"));
    assert!(checkout.expect("the page").contains("compression"));
}

#[test]
fn a_newcomer_is_told_what_to_do() {
    let env = env();
    let outside = env.run(&["build", "a.bst"]).failure(255, "Unable to load elements: a.bst");
    assert!(outside.stderr.contains("make one with `init`"), "{}", outside.stderr);
    env.files("=== project.conf\nname: small\nmin-version: 2.0\n=== hello.bst\nkind: stack\n");
    env.run(&["build", "hello"]).failure(255, "did you mean `hello.bst`?");
    env.run(&["shell"]).failure(255, "name an element");
    let shell = env.run(&["shell", "helo.bst"]).failure(255, "did you mean `hello.bst`?").stderr;
    assert!(shell.contains("Error launching shell:\n"), "{shell}");
    let shown = env.run(&["show", "--format", "%{nam} %{state}", "hello.bst"]).success();
    assert_eq!(shown.stdout, "%{nam} buildable\n");
    assert!(shown.stderr.contains("did you mean `%{name}`?"), "{}", shown.stderr);
    for group in ["artifact", "cache", "source", "workspace", "build", "shell"] {
        let help = env.run(&[group, "--help"]).success().stdout;
        assert!(help.contains("Example: bourn "), "{help}");
    }
}
