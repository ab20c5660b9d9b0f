//! What the program does with the machine that it runs on: what it says of it, how its cache is looked after, and what is
//! left of a build that is ended.

use crate::env;
use bourn_testkit::TestEnv;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// For what has to happen sooner or later, on the slowest machine too.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn doctor_says_how_roots_come_to_be() {
    let env = env();
    let found = env.run(&["doctor", "--json"]).success().stdout;
    let found: serde_json::Value = serde_json::from_str(&found).expect("JSON");
    let check = |title: &str| {
        let checks = found.as_array().expect("a list");
        let check = checks.iter().find(|check| check["check"] == title);
        check.unwrap_or_else(|| panic!("no {title} in {found}")).clone()
    };
    for title in ["kernel", "sandbox", "overlays", "staging"] {
        assert_eq!(check(title)["verdict"], "ok", "{found}");
    }
    let staging = check("staging")["found"].to_string();
    let kinds = ["refer to the cache", "share their blocks", "copies of the files"];
    assert!(kinds.iter().any(|kind| staging.contains(kind)), "{staging}");
    // Whatever is not the best way has a reason.
    assert!(staging.contains(kinds[0]) || staging.contains("no stubs: "), "{staging}");
}

#[test]
fn doctor_says_when_nothing_can_be_built() {
    let env = env();
    std::fs::write(env.path().join("file"), "").expect("a file");
    std::fs::write(
        env.home().join(".config/buildstream.conf"),
        format!("cachedir: {}/file/cache\n", env.path().display()),
    )
    .expect("the configuration");
    let said = env.run(&["doctor"]);
    assert_eq!(said.status, 255, "{}", said.stdout);
    assert!(said.stdout.contains("broken  sandbox"), "{}", said.stdout);
}

#[test]
fn the_cache_is_shown_checked_and_emptied() {
    let env = env();
    env.files("=== project.conf\nname: keep\nmin-version: 2.0\n=== e.bst\nkind: import\nsources:\n- kind: local\n  path: files\n=== files/a\nprecious\n");
    env.run(&["build", "e.bst"]).success();
    let shown = env.run(&["cache", "show"]).success().stdout;
    assert!(shown.contains("keep/e/"), "{shown}");
    assert!(env.run(&["cache", "fsck"]).success().stdout.contains("all is well"));
    // A flipped bit is found, named, and put aside with the artifact that needs it; building again heals it.
    let object = object_with(&env.cache(), "precious\n");
    std::fs::set_permissions(&object, PermissionsExt::from_mode(0o644)).expect("a mode");
    std::fs::write(&object, "precioux\n").expect("damage");
    let found = env.run(&["cache", "fsck"]);
    assert_eq!(found.status, 1, "{}", found.stdout);
    let name = object.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(found.stdout.contains(&name) && found.stdout.contains("keep/e/"), "{}", found.stdout);
    env.run(&["cache", "fsck"]).success();
    env.run(&["build", "e.bst"]).success();
    let out = env.path().join("out");
    env.run(&["artifact", "checkout", "--directory", &out.to_string_lossy(), "e.bst"]).success();
    assert_eq!(std::fs::read_to_string(out.join("a")).expect("a file"), "precious\n");
    // And all of it can go.
    let removed = env.run(&["cache", "clean", "--all"]).success();
    assert!(
        removed.stdout.contains(" artifacts, ") && removed.stdout.ends_with(" 0B now\n"),
        "{}",
        removed.stdout
    );
    assert!(!env.run(&["cache", "show"]).success().stdout.contains("keep/e/"));
    assert!(!object.exists());
}

/// The object that holds this.
fn object_with(cache: &Path, content: &str) -> PathBuf {
    let prefixes = std::fs::read_dir(cache.join("cas/objects")).expect("objects").flatten();
    let objects = prefixes.flat_map(|prefix| std::fs::read_dir(prefix.path()).expect("objects").flatten());
    let mut paths = objects.map(|entry| entry.path());
    paths.find(|path| std::fs::read(path).is_ok_and(|found| found == content.as_bytes())).expect("the object")
}

#[test]
fn a_terminated_build_leaves_nothing() {
    end_by("-TERM");
}

#[test]
fn an_interrupted_build_leaves_nothing() {
    end_by("-INT");
}

/// Ends a build that has processes which ignore all signals and have left their session.
fn end_by(signal: &str) {
    let env = env();
    // No other process sleeps for as long.
    let word = format!("{}", 7_000_000_u64 + u64::from(std::process::id()) * 10 + signal.len() as u64);
    env.files(&format!(
        "=== project.conf\nname: end\nmin-version: 2.0\n=== base.bst\nkind: import\nsources:\n- kind: local\n  \
         path: files/base\n=== e.bst\nkind: manual\nbuild-depends: [base.bst]\nconfig:\n  install-commands:\n  \
         - |\n    trap '' TERM INT HUP\n    echo half > %{{install-root}}/half\n    setsid sleep {word} &\n    sleep {word}\n"
    ));
    crate::torture::tools(&env);
    let mut command = env.command(&["--no-interactive", "build", "e.bst"]);
    command.current_dir(env.project()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut build = command.spawn().expect("the program started");
    let started = Instant::now();
    while sleeping(&word).len() < 2 {
        assert!(build.try_wait().expect("a status").is_none(), "the build ended by itself");
        assert!(started.elapsed() < PATIENCE, "the command did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let sent = Command::new("kill").args([signal, &build.id().to_string()]).status().expect("kill");
    assert!(sent.success());
    assert!(!build.wait().expect("an end").success());
    // The kernel takes its time to clear away processes that are dead already.
    let ended = Instant::now();
    while !sleeping(&word).is_empty() {
        assert!(ended.elapsed() < PATIENCE, "processes of the build are still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    leaves_nothing(&env);
}

/// Processes that sleep for so long, by their numbers.
pub(crate) fn sleeping(word: &str) -> Vec<String> {
    let is_one = |process: &std::fs::DirEntry| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).eq(["sleep", word, ""].map(str::as_bytes))
    };
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    processes.filter(is_one).map(|process| process.file_name().to_string_lossy().into_owned()).collect()
}

fn leaves_nothing(env: &TestEnv) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
    assert!(!mounts.contains(&*env.path().to_string_lossy()), "{mounts}");
    let sessions = std::fs::read_dir(env.cache().join("bourn/tmp")).expect("a directory");
    let left: Vec<_> = sessions.flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(env.run(&["cache", "fsck"]).success().stdout.contains("all is well"));
    // A build that was ended is no failed build.
    let shown = env.run(&["show", "--deps", "none", "--format", "%{state}", "e.bst"]).success().stdout;
    assert_eq!(shown.trim(), "buildable");
}
