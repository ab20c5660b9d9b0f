//! Input that is wrong and a world that is wrong: one clear message, bst's exit status, a store as it was.

use crate::env;
use bourn_testkit::{Ran, TestEnv};
use std::path::Path;
use std::process::{Command, Stdio};

const PROJECT: &str = "
=== project.conf
name: bad
min-version: 2.0
aliases:
  here: '%{project-root-uri}/'
=== base.bst
kind: import
sources:
- kind: local
  path: files/base
=== other.bst
kind: stack
";

/// A project with one element of this text.
fn with_element(text: &str) -> TestEnv {
    let env = env();
    env.files(&format!("{PROJECT}=== element.bst\n{text}"));
    env
}

/// Showing an element of this text fails with all of `parts`.
#[track_caller]
fn refused(text: &str, parts: &[&str]) {
    let env = with_element(text);
    let ran = env.run(&["show", "element.bst"]);
    for part in parts {
        ran.clone().failure(255, part);
    }
    assert_eq!(ran.stdout, "");
}

#[test]
fn wrong_elements() {
    refused("kind: stack\ndepends: [missing.bst]\n", &["element.bst [line 2 column 10]", "missing.bst"]);
    refused("kind: stack\ndepends: other.bst\n", &["element.bst [line 2 column 9]"]);
    refused("kind: stack\nvariable: {}\n", &["element.bst [line 2 column", "variable", "variables"]);
    refused("kind: pony\n", &["element.bst [line 1 column", "pony"]);
    refused("kind: stack\ndepends: [element.bst]\n", &["element.bst"]);
    refused("kind: manual\nvariables:\n  a: '%{nothing}'\n", &["element.bst [line 3 column 5]", "nothing"]);
    refused("kind: manual\nvariables:\n  a: '%{b}'\n  b: '%{a}'\n", &["element.bst [line"]);
    refused("kind: stack\nkind: stack\n", &["element.bst [line 2", "uplicate"]);
    refused("kind: stack\nvariables:\n\ta: b\n", &["element.bst [line 3"]);
    refused("kind: stack\nvariables: &here\n  a: b\n", &["element.bst [line 2", "nchor"]);
}

#[test]
fn several_errors_at_once() {
    let env = env();
    env.files(&format!(
        "{PROJECT}=== a.bst\nkind: manual\nconfi: {{}}\n=== b.bst\nkind: manual\nvariables:\n  x: '%{{y}}'\n\
         === element.bst\nkind: stack\ndepends: [a.bst, b.bst]\n"
    ));
    env.run(&["show", "element.bst"]).failure(255, "a.bst [line 2 column");
}

#[test]
fn unknown_option() {
    let env = with_element("kind: stack\n");
    env.run(&["--option", "pony", "yes", "show", "element.bst"]).failure(255, "pony");
}

#[test]
fn no_project() {
    let env = env();
    env.run(&["show", "element.bst"]).failure(255, "project.conf");
}

/// A tarball of what `script` makes in an empty directory, as `archive.tar` of the project, pinned to `ref`.
fn with_archive(script: &str, pin: Option<&str>) -> TestEnv {
    let env = env();
    let at = env.project();
    env.files(PROJECT);
    let make = format!("mkdir work && cd work && {script}");
    let made = Command::new("sh").args(["-e", "-c", &make]).current_dir(&at).status().expect("sh");
    assert!(made.success(), "{script}");
    let sum = Command::new("sha256sum").arg(at.join("archive.tar")).output().expect("sha256sum").stdout;
    let sum = String::from_utf8_lossy(&sum).split(' ').next().unwrap_or_default().to_owned();
    let pin = pin.unwrap_or(&sum);
    env.files(&format!(
        "=== element.bst\nkind: import\nsources:\n- kind: tar\n  url: here:archive.tar\n  base-dir: ''\n  ref: {pin}\n"
    ));
    env
}

/// Fetching fails with all of `parts`, nothing appears outside, and no source is kept as if it were whole.
#[track_caller]
fn refused_archive(script: &str, pin: Option<&str>, parts: &[&str]) {
    let env = with_archive(script, pin);
    let ran = env.run(&["source", "fetch", "element.bst"]);
    for part in parts {
        ran.clone().failure(255, part);
    }
    nothing_escaped(&env);
    let kept = std::fs::read_dir(env.cache().join("elementsources")).map_or(0, Iterator::count);
    assert_eq!(kept, 0, "a refused source was kept");
}

fn nothing_escaped(env: &TestEnv) {
    for place in
        [env.path().join("evil"), env.project().join("evil"), env.cache().join("evil"), "/evil".into()]
    {
        assert!(!place.exists(), "{} was written", place.display());
    }
}

#[test]
fn wrong_sum() {
    let wrong = "85c2bae9d3a1eb3121c9674f68ef6e87211fddb9c930f3e5057b9a1e66eb41d9";
    refused_archive("echo a > a; tar -cf ../archive.tar a", Some(wrong), &["archive.tar", wrong]);
}

#[test]
fn truncated_archive() {
    let script = "seq 100000 > a; tar -cf - a | head -c 200000 > ../archive.tar";
    refused_archive(script, None, &["archive.tar"]);
    let script = "seq 100000 > a; tar -czf - a | head -c 100000 > ../archive.tar";
    refused_archive(script, None, &["archive.tar"]);
}

#[test]
fn entries_that_climb_out() {
    let up = "echo a > evil; tar -cf ../archive.tar --transform 's,^,../../../../../../../../,' -P evil";
    refused_archive(up, None, &["evil"]);
    let through = "ln -s ../.. out; tar -cf ../archive.tar out; rm out; mkdir out; echo a > out/evil; \
                   tar -rf ../archive.tar out/evil";
    let env = with_archive(through, None);
    let _ = env.run(&["source", "fetch", "element.bst"]);
    nothing_escaped(&env);
}

#[test]
fn absolute_entries_stay_inside() {
    let env = with_archive("echo a > evil; tar -cf ../archive.tar -P --transform 's,^,/,' evil", None);
    let _ = env.run(&["source", "fetch", "element.bst"]);
    nothing_escaped(&env);
}

#[test]
fn device_nodes() {
    // Made without privileges: the type flag of a plain entry is changed to that of a character device.
    let script = "echo a > node; tar --format=ustar -cf ../archive.tar node; \
                  python3 -c \"import tarfile,io
t=tarfile.open('../archive.tar','w')
i=tarfile.TarInfo('dev/null'); i.type=tarfile.CHRTYPE; i.devmajor=1; i.devminor=3; i.mode=0o666; t.addfile(i)
t.close()\"";
    let env = with_archive(script, None);
    let ran = env.run(&["source", "fetch", "element.bst"]);
    assert!(ran.status == 0 || ran.stderr.contains("dev/null"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

/// A project whose base has a static shell.
fn with_shell(element: &str) -> TestEnv {
    let env = with_element(element);
    let bin = env.project().join("files/base/bin");
    std::fs::create_dir_all(&bin).expect("a directory");
    std::fs::copy("/bin/busybox", bin.join("busybox"))
        .expect("busybox-static, which `cargo xtask test` installs");
    for name in ["sh", "echo", "sleep", "dd", "true", "false"] {
        std::os::unix::fs::symlink("busybox", bin.join(name)).expect("a link");
    }
    env
}

const BUILD: &str = "kind: manual\nbuild-depends: [base.bst]\nconfig:\n  install-commands:\n";

#[test]
fn failing_commands() {
    let env = with_shell(&format!("{BUILD}  - echo about to fail\n  - 'false'\n"));
    env.run(&["build", "element.bst"]).failure(255, "about to fail");
    let show = ["show", "--deps", "none", "--format", "%{state}", "element.bst"];
    assert_eq!(env.run(&show).success().stdout, "failed\n");
    clean(&env);
}

#[test]
fn processes_left_behind() {
    // No other process sleeps for as long, not even one of these tests that somebody else runs now.
    let word = (5_000_000 + u64::from(std::process::id())).to_string();
    let env = with_shell(&format!("{BUILD}  - sleep {word} & echo started\n"));
    env.run(&["build", "element.bst"]).success();
    assert_eq!(crate::machine::sleeping(&word), [""; 0], "a process outlived its sandbox");
    clean(&env);
}

#[test]
fn full_disk() {
    let element = format!("{BUILD}  - dd if=/dev/zero of=%{{install-root}}/large bs=1024 count=65536\n");
    let env = with_shell(&element);
    let mount = "mkdir -p $CACHE && mount -t tmpfs -o size=24m none $CACHE";
    let ran = in_namespace(&env, mount, &["build", "element.bst"]);
    assert_eq!(ran.status, 255, "{}", ran.stderr);
    assert!(ran.stderr.to_lowercase().contains("no space left"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

#[test]
fn read_only_cache() {
    let env = with_shell(&format!("{BUILD}  - echo done\n"));
    env.run(&["build", "base.bst"]).success();
    let before = listing(&env.cache());
    let mount = "mount --bind $CACHE $CACHE && mount -o remount,bind,ro $CACHE";
    let ran = in_namespace(&env, mount, &["build", "element.bst"]);
    assert_eq!(ran.status, 255, "{}", ran.stderr);
    let told = ran.stderr.contains(&*env.cache().to_string_lossy());
    assert!(told && ran.stderr.to_lowercase().contains("read-only"), "{}", ran.stderr);
    assert_eq!(listing(&env.cache()), before);
}

#[test]
fn no_user_namespaces() {
    let env = with_shell(&format!("{BUILD}  - echo done\n"));
    let off = "echo 0 > /proc/sys/user/max_user_namespaces";
    let ran = in_namespace(&env, off, &["build", "element.bst"]);
    assert_eq!(ran.status, 255, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("user namespace") && ran.stderr.contains("max_user_namespaces"),
        "{}",
        ran.stderr
    );
}

/// Runs the program in namespaces of its own after `prepare`, a shell command that may say `$CACHE`.
fn in_namespace(env: &TestEnv, prepare: &str, arguments: &[&str]) -> Ran {
    let inner = env.command(arguments);
    let script = format!("{prepare} && exec \"$@\"");
    let mut outer = Command::new("unshare");
    outer.args(["--user", "--map-root-user", "--mount", "sh", "-e", "-c", &script, "sh"]);
    outer.arg(inner.get_program()).args(inner.get_args()).env_clear();
    outer.envs(inner.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
    outer.env("CACHE", env.cache()).current_dir(env.project()).stdin(Stdio::null());
    let output = outer.output().expect("unshare started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        status: output.status.code().unwrap_or(-1),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// Nothing is left of a build but its results.
fn clean(env: &TestEnv) {
    let left: Vec<_> = std::fs::read_dir(env.cache().join("build")).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

fn listing(directory: &Path) -> String {
    let output = Command::new("find").arg(directory).args(["-type", "f"]).output().expect("find").stdout;
    let text = String::from_utf8_lossy(&output).into_owned();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}
