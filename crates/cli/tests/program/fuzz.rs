//! Random command lines in random projects: whatever is asked, the program answers and does not panic.

use crate::env;
use bourn_testkit::{Random, TestEnv};
use std::path::{Path, PathBuf};

/// Runs of each test; more with this variable set.
const RUNS: &str = "BOURN_TEST_COMMAND_LINES";

const COMMANDS: &[&str] = &[
    "artifact",
    "build",
    "cache",
    "completions",
    "doctor",
    "explain",
    "graph",
    "help",
    "init",
    "manual",
    "shell",
    "show",
    "source",
    "workspace",
    "checkout",
    "delete",
    "list-contents",
    "log",
    "pull",
    "push",
    "fetch",
    "track",
    "open",
    "close",
    "list",
    "reset",
    "fsck",
    "kind",
    "bash",
    "zsh",
    "fish",
    "import",
    "junction",
    "--",
    "-",
    "",
    "nonsense",
];

const OPTIONS: &[&str] = &[
    "--deps",
    "-d",
    "--except",
    "--order",
    "--format",
    "-f",
    "--force",
    "--tar",
    "--compression",
    "--directory",
    "-C",
    "--config",
    "-c",
    "--on-error",
    "--fetchers",
    "--builders",
    "--pushers",
    "--max-jobs",
    "--network-retries",
    "--no-interactive",
    "--verbose",
    "--no-verbose",
    "--debug",
    "--error-lines",
    "--message-lines",
    "--log-file",
    "--colors",
    "--strict",
    "--no-strict",
    "--option",
    "-o",
    "--default-mirror",
    "--pull-buildtrees",
    "--cache-buildtrees",
    "--version",
    "--help",
    "--integrate",
    "--no-integrate",
    "--hardlinks",
    "--long",
    "-l",
    "--all",
    "--soft",
    "--no-checkout",
    "--remove-dir",
    "--out",
    "--mount",
    "--message-format",
    "--build",
    "--cli-buildtree",
    "--use-buildtree",
    "--isolate",
    "--artifact-remote",
    "--ignore-project-artifact-remotes",
    "--retry-failed",
];

/// None of them is a place outside of the test: what is asked for is done.
const VALUES: &[&str] = &[
    "all",
    "run",
    "build",
    "none",
    "alpha",
    "stage",
    "json",
    "%{name}",
    "%{name: <20}",
    "%{",
    "%{nonsense}",
    "gz",
    "xz",
    "-1",
    "0",
    "4",
    "99999999999999999999",
    "continue",
    "never",
    "a.bst",
    "b.bst",
    "missing.bst",
    "circle.bst",
    "sub.bst:a.bst",
    "sub.bst:",
    ":a.bst",
    "a.bst:b.bst",
    "loose/a/*",
    "*",
    "[",
    "loose/a",
    "../a.bst",
    "/dev/null/nothing",
    ".",
    "out",
    "\u{e9}\u{1f600}",
    "a\nb",
    "%",
    "=",
    "debug",
];

/// A project that loads, with options, a subproject, an element that can be built and one that needs itself.
const PROJECT: &str = "
=== project.conf
name: loose
min-version: 2.0
aliases:
  here: file:///nowhere/
options:
  debug:
    type: bool
    description: x
    default: False
(@): shared.yml
=== shared.yml
variables:
  both: \"%{element-name}\"
environment:
  (?):
  - debug:
      LEVEL: 3
=== a.bst
kind: import
sources:
- kind: local
  path: project.conf
=== b.bst
kind: compose
build-depends: [a.bst]
public:
  bst:
    split-rules:
      part: ['/**']
=== circle.bst
kind: stack
depends: [circle.bst]
=== away.bst
kind: manual
depends:
- filename: [a.bst, 'sub.bst:a.bst']
  type: build
config:
  build-commands: [make]
sources:
- kind: tar
  url: here:x.tar
  ref: 0000
=== sub.bst
kind: junction
sources:
- kind: local
  path: sub
config:
  options:
    x: y
=== sub/project.conf
name: inner
min-version: 2.0
=== sub/a.bst
kind: stack
";

/// Projects, good and bad.
const PROJECTS: [&str; 3] = [PROJECT, "=== project.conf\nname: [\n", "=== nothing\n"];

fn runs() -> usize {
    std::env::var(RUNS).ok().and_then(|count| count.parse().ok()).unwrap_or(150)
}

/// Runs this and checks that it ended as a program should.
fn calm(env: &TestEnv, words: &[&str]) {
    let ran = env.run(words);
    let known = [0, 1, 2, 127, 255].contains(&ran.status);
    let calm = !ran.stderr.contains("panicked") && !ran.stderr.contains("RUST_BACKTRACE");
    assert!(known && calm, "{words:?} ended with {}:\n{}", ran.status, ran.stderr);
}

fn unmounted(env: &TestEnv) {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
    assert!(!mounts.contains(&*env.path().to_string_lossy()), "{mounts}");
}

#[test]
fn any_command_line() {
    let mut random = Random(0x9e37_79b9);
    let envs = PROJECTS.map(|files| {
        let env = env();
        env.files(files);
        env
    });
    for _ in 0..runs() {
        let env = &envs[random.below(6).saturating_sub(3)];
        let mut words = vec![random.one(COMMANDS), random.one(COMMANDS)];
        words.truncate(1 + random.below(2));
        for _ in 0..random.below(6) {
            let word = match random.below(3) {
                0 => random.one(OPTIONS),
                1 => random.one(VALUES),
                _ => random.one(&["a.bst", "b.bst", "--deps", "all", "sub.bst"]),
            };
            let at = random.below(words.len() + 1);
            words.insert(at, word);
        }
        calm(env, &words);
    }
    envs.iter().for_each(unmounted);
}

/// What is put into a project's files.
const PIECES: &[&str] = &[
    "",
    "\n",
    " ",
    "  ",
    "- ",
    ": ",
    "[",
    "]",
    "{",
    "}",
    "'",
    "\"",
    "%{",
    "%{both}",
    "%{x}",
    "(@)",
    "(?)",
    "(>)",
    "(=)",
    "(!)",
    "~",
    "null",
    "-1",
    "2.99",
    "\t",
    "\0",
    "\u{feff}",
    "\u{e9}",
    "*x",
    "&x",
    "!!binary ",
    "|\n",
    "kind: ",
    "a.bst",
    "sub.bst:",
    "sub.bst:sub.bst:a.bst",
    "b.bst",
    "circle.bst",
    "../",
    "True",
    "18446744073709551616",
];

/// Cuts something out of the text, doubles it, or puts something in.
fn change(text: &str, random: &mut Random) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let at = random.below(lines.len().max(1));
    match random.below(4) {
        0 if !lines.is_empty() => drop(lines.remove(at)),
        1 if !lines.is_empty() => lines.insert(random.below(lines.len()), lines[at]),
        _ => {
            let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let from = random.below(ends.len());
            let to = (from + random.below(4)).min(ends.len() - 1);
            return format!("{}{}{}", &text[..ends[from]], random.one(PIECES), &text[ends[to]..]);
        }
    }
    lines.join("\n") + "\n"
}

fn files(directory: &Path) -> Vec<PathBuf> {
    ["project.conf", "shared.yml", "a.bst", "b.bst", "away.bst", "sub.bst", "sub/project.conf", "sub/a.bst"]
        .iter()
        .map(|name| directory.join(name))
        .collect()
}

#[test]
fn any_project() {
    let mut random = Random(0x5bd1_e995);
    let commands: [&[&str]; 6] = [
        &["show", "b.bst", "away.bst"],
        &["show", "--deps", "all", "--format", "%{name} %{vars} %{env} %{public} %{state}", "away.bst"],
        &["source", "track", "--deps", "all", "away.bst"],
        &["build", "b.bst"],
        &["explain", "away.bst"],
        &["graph", "away.bst"],
    ];
    let env = env();
    for _ in 0..runs() {
        env.files(PROJECT);
        let files = files(&env.project());
        for _ in 0..=random.below(3) {
            let path = &files[random.below(files.len())];
            let text = std::fs::read_to_string(path).expect("a file of the project");
            std::fs::write(path, change(&text, &mut random)).expect("a file of the project");
        }
        calm(&env, commands[random.below(commands.len())]);
    }
    unmounted(&env);
}
