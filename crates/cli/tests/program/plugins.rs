//! Python plugins that misbehave, and two versions of one package in one project.

use crate::env;
use bourn_testkit::TestEnv;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// An element kind and a source kind that do what their `what` says.
const PROJECT: &str = r#"
=== project.conf
name: misbehaving
min-version: 2.0
element-path: elements
plugins:
- origin: local
  path: plugins
  elements: [odd, absent, broken]
  sources: [strange]
- origin: local
  path: first/shared_kinds
  elements: [early]
- origin: local
  path: second/shared_kinds
  elements: [late]
=== plugins/odd.py
from buildstream import Element
import os
import sys


class Odd(Element):
    BST_MIN_VERSION = "2.0"

    def configure(self, node):
        what = node.get_str("what")
        if what == "print":
            print("{\"done\": 7}", flush=True)
            os.system("echo from a tool")
        elif what == "raise":
            raise ZeroDivisionError("just so")
        elif what == "exit":
            sys.exit(0)
        elif what == "die":
            print("about to die", flush=True)
            os._exit(3)

    def preflight(self):
        pass

    def get_unique_key(self):
        return "odd"


def setup():
    return Odd
=== plugins/absent.py
import no_such_module_anywhere
=== plugins/broken.py
def setup(:
=== plugins/strange.py
from buildstream import Source
import os
import subprocess
import time


class Strange(Source):
    BST_MIN_VERSION = "2.0"

    def configure(self, node):
        self.what = node.get_str("what")

    def preflight(self):
        pass

    def get_unique_key(self):
        return self.what

    def load_ref(self, node):
        pass

    def get_ref(self):
        return "none"

    def set_ref(self, ref, node):
        pass

    def is_cached(self):
        if self.what == "unsure":
            raise KeyError("on purpose")
        return False

    def fetch(self):
        print("a word from", self.what, flush=True)
        if self.what == "die":
            os._exit(3)
        if self.what == "raise":
            raise ZeroDivisionError("just so")
        if self.what == "hang":
            tool = subprocess.Popen(["sleep", "1000"])
            with open(os.path.join(self.get_project_directory(), "draft"), "w") as file:
                file.write("{} {}".format(os.getpid(), tool.pid))
            os.rename(file.name, os.path.join(self.get_project_directory(), "pids"))
            time.sleep(1000)

    def stage(self, directory):
        with open(os.path.join(directory, "file"), "w") as file:
            file.write(self.what)


def setup():
    return Strange
=== first/shared_kinds/__init__.py
WORD = "first"
=== second/shared_kinds/__init__.py
WORD = "second"
=== first/shared_kinds/early.py
from buildstream import Element
from shared_kinds import WORD


class Early(Element):
    BST_MIN_VERSION = "2.0"

    def configure(self, node):
        self.warn("early is of the {}".format(WORD))
        if WORD != "first":
            raise AssertionError(WORD)

    def preflight(self):
        pass

    def get_unique_key(self):
        return WORD


def setup():
    return Early
=== second/shared_kinds/late.py
from buildstream import Element
from shared_kinds import WORD


class Late(Element):
    BST_MIN_VERSION = "2.0"

    def configure(self, node):
        if WORD != "second":
            raise AssertionError(WORD)

    def preflight(self):
        pass

    def get_unique_key(self):
        return WORD


def setup():
    return Late
=== elements/print.bst
kind: odd
config: {what: print}
=== elements/raise.bst
kind: odd
config: {what: raise}
=== elements/exit.bst
kind: odd
config: {what: exit}
=== elements/die.bst
kind: odd
config: {what: die}
=== elements/absent.bst
kind: absent
=== elements/broken.bst
kind: broken
=== elements/early.bst
kind: early
=== elements/late.bst
kind: late
depends: [early.bst]
=== elements/fetch-well.bst
kind: import
sources:
- kind: strange
  what: well
=== elements/fetch-die.bst
kind: import
sources:
- kind: strange
  what: die
=== elements/fetch-raise.bst
kind: import
sources:
- kind: strange
  what: raise
=== elements/fetch-unsure.bst
kind: import
sources:
- kind: strange
  what: unsure
=== elements/fetch-hang.bst
kind: import
sources:
- kind: strange
  what: hang
"#;

fn project() -> TestEnv {
    let env = env();
    env.files(PROJECT);
    env
}

const KEY: &[&str] = &["show", "--format", "%{name} %{full-key}"];

#[test]
fn what_plugins_print_is_no_answer() {
    let env = project();
    let shown = env.run(&[KEY, &["print.bst"]].concat()).success();
    assert_eq!(shown.stdout.lines().count(), 1, "{}", shown.stdout);
    assert!(shown.stdout.starts_with("print.bst "), "{}", shown.stdout);
    assert!(shown.stderr.contains("from a tool"), "{}", shown.stderr);
}

#[test]
fn what_plugins_raise_is_one_error() {
    let env = project();
    // What is wrong, and a part of what explains it.
    let cases = [
        ("raise.bst", "ZeroDivisionError: just so", "in configure"),
        ("exit.bst", "SystemExit: 0", "in configure"),
        ("die.bst", "The Python process that runs plugins ended (exit status: 3)", "about to die"),
        ("absent.bst", "No module named 'no_such_module_anywhere'", "absent.py"),
        ("broken.bst", "invalid syntax", "broken.py"),
    ];
    for (element, message, part) in cases {
        let refused = env.run(&[KEY, &[element]].concat()).failure(255, message);
        assert!(refused.stderr.contains(part), "{element}: {}", refused.stderr);
        let errors = refused.stderr.lines().filter(|line| line.starts_with("error")).count();
        assert_eq!(errors, 1, "{element}: {}", refused.stderr);
        assert!(!refused.stdout.contains(element), "{element}: {}", refused.stdout);
        // Another process serves whoever asks next.
        env.run(&[KEY, &["print.bst"]].concat()).success();
    }
}

#[test]
fn two_versions_of_a_package_do_not_meet() {
    let env = project();
    let shown = env.run(&["show", "--deps", "all", "--format", "%{name} %{full-key}", "late.bst"]).success();
    assert_eq!(shown.stdout.lines().count(), 2, "{}", shown.stdout);
}

#[test]
fn a_job_that_dies_takes_no_other_with_it() {
    let env = project();
    let words = ["--on-error", "continue", "source", "fetch"];
    let targets = ["fetch-die.bst", "fetch-raise.bst", "fetch-unsure.bst", "fetch-well.bst"];
    let ran = env.run(&[&words[..], &targets[..]].concat()).failure(255, "Failure Summary");
    assert!(ran.stderr.contains("ZeroDivisionError: just so"), "{}", ran.stderr);
    assert!(ran.stderr.contains("failed to check its cached state: 'on purpose'"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("The Python process that runs plugins ended (exit status: 3)"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("a word from die"), "what was printed before is in the log: {}", ran.stderr);
    env.run(&["source", "checkout", "--directory", "well", "fetch-well.bst"]).success();
    let staged = std::fs::read_to_string(env.project().join("well/fetch-well/file")).expect("a file");
    assert_eq!(staged, "well");
}

/// Waits until `done`; a machine that is slow takes longer.
#[track_caller]
fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(120), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process is at work: one that has ended and was not waited for is not.
fn is_running(pid: &str) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    status.is_ok_and(|status| !status.rsplit(')').next().unwrap_or_default().trim().starts_with('Z'))
}

fn hanging(env: &TestEnv) -> (Child, Vec<String>) {
    let mut command = env.command(&["source", "fetch", "fetch-hang.bst"]);
    command.current_dir(env.project()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let fetching = command.spawn();
    let pids = env.project().join("pids");
    wait("the beginning of the fetch", || pids.exists());
    let pids = std::fs::read_to_string(pids).expect("the processes");
    (fetching.expect("bourn started"), pids.split(' ').map(str::to_owned).collect())
}

#[test]
fn a_plugin_that_hangs_ends_with_bourn() {
    let env = project();
    let (mut fetching, pids) = hanging(&env);
    assert!(pids.iter().all(|pid| is_running(pid)));
    fetching.kill().expect("killed");
    fetching.wait().expect("ended");
    wait("the end of the plugin and its tool", || !pids.iter().any(|pid| is_running(pid)));
}

#[test]
fn a_plugin_that_hangs_is_stopped() {
    let env = project();
    let (mut fetching, pids) = hanging(&env);
    let pid = fetching.id().to_string();
    let sent = std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
    assert!(sent.success());
    let status = fetching.wait().expect("ended");
    assert!(!status.success(), "{status}");
    wait("the end of the plugin and its tool", || !pids.iter().any(|pid| is_running(pid)));
}

/// Imports a package of the user.
const IMPORTING: &str = r#"
=== project.conf
name: importing
min-version: 2.0
plugins:
- origin: local
  path: plugins
  elements: [importing]
=== plugins/importing.py
from buildstream import Element
from a_package_of_the_user.part import WORD


class Importing(Element):
    BST_MIN_VERSION = "2.0"

    def configure(self, node):
        exit  # Built in where installed packages are found, and also before they are looked for.

    def preflight(self):
        pass

    def get_unique_key(self):
        return WORD


def setup():
    return Importing
=== it.bst
kind: importing
"#;

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn installed_packages_are_found_when_they_are_imported() {
    let env = env();
    env.files(IMPORTING);
    let script = "import site; print(site.ENABLE_USER_SITE and site.getusersitepackages() or '')";
    let mut python = std::process::Command::new("python3");
    let output = python.args(["-c", script]).env("HOME", env.home()).output().expect("python3");
    let place = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if place.is_empty() {
        eprintln!("SKIPPED: python3 does not look for packages in the user's home");
        return;
    }
    let place = Path::new(&place);
    bourn_testkit::fixture::write(
        place,
        "=== a_package_of_the_user/__init__.py\n=== a_package_of_the_user/part.py\nWORD = 'here'\n\
         === usercustomize.py\nimport subprocess\nsubprocess.run(['true'])\n",
    );
    let first = env.run(&[KEY, &["it.bst"]].concat()).success().stdout;
    // Nothing is kept while files are newer than a load, and Python puts the compiled form beside the package.
    wait("a picture", || {
        env.run(&[KEY, &["it.bst"]].concat()).success();
        let kept = env.cache().join("bourn/pictures").read_dir();
        kept.is_ok_and(|mut kept| kept.next().is_some())
    });
    // What the user does to every Python is no reason to ask again.
    let host = env.cache().join("bourn/pyhost");
    std::fs::remove_dir_all(&host).expect("removed");
    assert_eq!(env.run(&[KEY, &["it.bst"]].concat()).success().stdout, first);
    assert!(!host.exists(), "Python was started");
    // Another package is.
    std::fs::write(place.join("a_package_of_the_user/part.py"), "WORD = 'there, and longer'\n")
        .expect("a file");
    assert_ne!(env.run(&[KEY, &["it.bst"]].concat()).success().stdout, first);
}
