//! Programs of the host that a source kind needs and that are not there: what to install is said.

const PROJECT: &str = "
=== project.conf
name: bare
min-version: 2.0
aliases:
  up: file:///nowhere/
plugins:
- origin: pip
  package-name: buildstream-plugins
  sources: [bzr, git, patch, pip]
- origin: pip
  package-name: buildstream-plugins-community
  sources: [bazel_source, cargo2, gen_cargo_lock, git_module, git_repo, git_tag, ostree, patch_queue, quilt]
=== files/patches/series
p
=== files/patches/p
--- a/x
+++ b/x
=== it.bst
kind: import
sources:
- kind: local
  path: files
- kind: KIND
";

/// What is said about a missing tool. For pip there are several, and what any of them says of itself.
fn missing(tool: &str) -> String {
    match tool {
        "pip" => "Unable to find a suitable pip command".to_owned(),
        tool => format!("Did not find '{tool}' in PATH"),
    }
}

const CARGO2: &str = "  url: up:x\n  ref:\n  - kind: git\n    commit: COMMIT\n    repo: up:y\n    name: a\n    version: 0.3.0\n    query: {branch: main}\n";

const COMMIT: &str = "0123456789012345678901234567890123456789";

/// That tracking or fetching an element with such a source says that `tool` is missing, and what package has it.
#[track_caller]
fn check(command: &str, kind: &str, options: &str, tool: &str, package: &str) {
    let mut env = crate::env();
    let empty = env.path().join("empty");
    std::fs::create_dir(&empty).expect("a directory");
    env.set("PATH", &empty.display().to_string());
    env.files(
        &PROJECT.replace("- kind: KIND\n", &format!("- kind: {kind}\n{}", options.replace("COMMIT", COMMIT))),
    );
    let ran = env.run(&["source", command, "it.bst"]).failure(255, &missing(tool));
    let hint = format!("install the package `{package}` on this machine");
    assert!(ran.stderr.contains(&hint), "{kind}: {}", ran.stderr);
    // What is to be downloaded does not count as fetched; patches need no download.
    let state = env.run(&["show", "--format", "%{state}", "it.bst"]).success().stdout;
    let expect: &[&str] = if options.contains("url") {
        &["fetch needed", "no reference"]
    } else {
        &["no reference", "buildable"]
    };
    assert!(expect.contains(&state.trim()), "{kind}: {state}");
}

#[test]
fn a_missing_tool_is_named_with_its_package() {
    for (command, kind, options, tool, package) in [
        ("track", "git", "  url: up:x\n  track: main\n", "git", "git"),
        ("fetch", "git", "  url: up:x\n  ref: COMMIT\n", "git", "git"),
        ("track", "git_repo", "  url: up:x\n  track: main\n", "git", "git"),
        ("fetch", "git_repo", "  url: up:x\n  ref: COMMIT\n", "git", "git"),
        ("track", "git_tag", "  url: up:x\n  track: main\n", "git", "git"),
        ("fetch", "git_tag", "  url: up:x\n  ref: COMMIT\n", "git", "git"),
        ("track", "git_module", "  url: up:x\n  path: sub\n", "git", "git"),
        ("fetch", "git_module", "  url: up:x\n  path: sub\n  ref: COMMIT\n", "git", "git"),
        ("fetch", "cargo2", CARGO2, "git", "git"),
        ("fetch", "patch_queue", "  path: files/patches\n", "git", "git"),
        ("track", "bzr", "  url: up:x\n  track: trunk\n", "bzr", "brz"),
        ("fetch", "bzr", "  url: up:x\n  track: trunk\n  ref: '1'\n", "bzr", "brz"),
        ("track", "ostree", "  url: up:x\n  track: main\n", "ostree", "ostree"),
        ("fetch", "ostree", "  url: up:x\n  ref: COMMIT\n", "ostree", "ostree"),
        ("fetch", "patch", "  path: files/patches/p\n", "patch", "patch"),
        ("fetch", "quilt", "  path: patches\n", "quilt", "quilt"),
        ("track", "pip", "  url: up:x\n  packages: [a]\n", "pip", "python3-pip"),
        ("fetch", "pip", "  url: up:x\n  packages: [a]\n  ref: a==1\n", "pip", "python3-pip"),
        ("track", "gen_cargo_lock", "", "cargo", "cargo or rustup"),
        ("track", "bazel_source", "  allow-host-bazel: true\n", "bazel", "bazel"),
    ] {
        check(command, kind, options, tool, package);
    }
}

/// Git is there, and what it reaches a server with is not.
#[test]
fn a_missing_ssh_is_named_with_its_package() {
    let mut env = crate::env();
    let bin = env.path().join("bin");
    std::fs::create_dir(&bin).expect("a directory");
    let path = std::env::var_os("PATH").expect("a PATH");
    for name in ["git", "sh"] {
        let found = std::env::split_paths(&path).map(|place| place.join(name)).find(|path| path.exists());
        std::os::unix::fs::symlink(found.expect("a tool"), bin.join(name)).expect("a link");
    }
    env.set("PATH", &bin.display().to_string());
    for kind in ["git", "git_repo", "git_tag"] {
        let source = format!("- kind: {kind}\n  url: up:x\n  track: main\n");
        let project = PROJECT.replace("- kind: KIND\n", &source);
        env.files(&project.replace("up: file:///nowhere/", "up: ssh://127.0.0.1:1/"));
        let ran = env.run(&["source", "track", "it.bst"]).failure(255, "ssh");
        assert!(ran.stderr.contains("install the package `openssh-client`"), "{kind}: {}", ran.stderr);
    }
}
