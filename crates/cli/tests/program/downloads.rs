//! Downloads that are killed, at any point, and go on when the program is run again.

use crate::server::{Asked, Said, Server};
use bourn_testkit::TestEnv;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

/// How long something may take that takes no time.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// Numbers that look random and are the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit
    }
}

fn content() -> Vec<u8> {
    let mut random = Random(7);
    (0..400_000).map(|_| random.below(256) as u8).collect()
}

fn project(env: &TestEnv, url: &str, reference: &str) {
    env.files(&format!(
        "=== project.conf\nname: killed\nmin-version: 2.0\naliases:\n  up: {url}\n\
         === it.bst\nkind: import\nsources:\n- kind: remote\n  url: up:file\n{reference}"
    ));
}

pub(crate) fn start(env: &TestEnv, arguments: &[&str]) -> Child {
    let mut command = env.command(arguments);
    command.current_dir(env.project()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the program started")
}

#[track_caller]
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what} never happened");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// How much of a file an ended run left.
fn part(env: &TestEnv) -> usize {
    let entries = env.path().join("sources/remote/up_file").read_dir().into_iter().flatten().flatten();
    let mut parts = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".part"));
    parts.next().map_or(0, |entry| entry.metadata().expect("a file").len() as usize)
}

/// A server that says so much of a file as `allowed` is, and is silent then.
fn slow_server(content: &Arc<Vec<u8>>, allowed: &Arc<Mutex<usize>>, etag: bool) -> Server {
    let (content, allowed) = (content.clone(), allowed.clone());
    Server::start(move |_, asked: &Asked| {
        let allowed = *allowed.lock().expect("no panic");
        let said = Said::range(asked, &content);
        let said = if etag { said.header("ETag", "\"one\"") } else { said };
        if allowed < said.body.len() { said.stall(allowed) } else { said }
    })
}

/// Runs the program until it has `allowed` bytes more, or not quite, and kills it, until it has all. What each run asks
/// for is what the ones before did not bring.
fn check_kills(arguments: &[&str], reference: &str, etag: bool, steps: &[(usize, bool)]) {
    let content = Arc::new(content());
    let allowed = Arc::new(Mutex::new(0));
    let server = slow_server(&content, &allowed, etag);
    let env = crate::env();
    project(&env, &server.url(""), reference);
    let mut kept = 0;
    for (number, (step, settles)) in steps.iter().enumerate() {
        *allowed.lock().expect("no panic") = *step;
        let mut child = start(&env, arguments);
        wait_until("a request", || server.asked().len() > number);
        assert_eq!(server.asked()[number].from(), (kept > 0).then_some(kept), "request {number}");
        if *settles {
            wait_until("a download", || part(&env) == kept + step);
        }
        child.kill().expect("killed");
        child.wait().expect("an end");
        assert!(part(&env) >= kept && part(&env) <= kept + step, "request {number}");
        kept = part(&env);
    }
    *allowed.lock().expect("no panic") = usize::MAX;
    env.run(arguments).success();
    assert_eq!(server.asked().len(), steps.len() + 1);
    assert_eq!(server.asked()[steps.len()].from(), (kept > 0).then_some(kept));
    let sum = bourn_reapi::Digest::of(&content).hex();
    let file = env.path().join("sources/remote/up_file").join(sum);
    assert!(std::fs::read(file).expect("the file") == *content, "another content");
    assert_eq!(part(&env), 0);
}

#[test]
fn a_fetch_goes_on_wherever_it_was_killed() {
    let reference = format!("  ref: {}\n", bourn_reapi::Digest::of(&content()).hex());
    let mut random = Random(1);
    let steps: Vec<(usize, bool)> = (0..14).map(|at| (random.below(27_000), at % 2 == 0)).collect();
    check_kills(&["source", "fetch", "it.bst"], &reference, false, &steps);
    check_kills(&["source", "fetch", "it.bst"], &reference, true, &[(0, true), (1, true), (399_998, true)]);
}

#[test]
fn tracking_goes_on_wherever_it_was_killed() {
    let steps = [(1, true), (70_000, true), (200_000, true)];
    check_kills(&["source", "track", "it.bst"], "", true, &steps);
}

/// A `git` that does what `script` says; `$real` is the true one, `$count` how many there were before.
fn other_git(env: &mut TestEnv, script: &str) -> PathBuf {
    let directory = env.path().join("other");
    std::fs::create_dir_all(&directory).expect("a directory");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let real = std::env::split_paths(&path).map(|directory| directory.join("git")).find(|git| git.is_file());
    let (real, at) = (real.expect("git").display().to_string(), directory.display().to_string());
    let head = format!(
        "#!/bin/sh\nreal={real}\ncount=$(ls {at}/calls | wc -l)\nmkdir -p {at}/calls\n: > {at}/calls/$$\n"
    );
    std::fs::create_dir_all(directory.join("calls")).expect("a directory");
    bourn_testkit::fixture::program(&directory.join("git"), &format!("{head}{script}\n"));
    env.set("PATH", &format!("{at}:{}", path.to_string_lossy()));
    directory
}

pub(crate) fn git(directory: &Path, arguments: &[&str]) {
    let mut git = std::process::Command::new("git");
    git.current_dir(directory).args(["-c", "user.name=a", "-c", "user.email=b"]).args(arguments);
    let output = git.env("GIT_CONFIG_GLOBAL", "/dev/null").output().expect("git");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

const REPOSITORIES: &str = "=== project.conf
name: killed
min-version: 2.0
fatal-warnings: [ref-not-in-track]
aliases:
  up: file://UPSTREAM/
plugins:
- origin: pip
  package-name: buildstream-plugins
  sources: [git]
- origin: pip
  package-name: buildstream-plugins-community
  sources: [git_repo]
=== git.bst
kind: import
sources:
- {kind: git, url: 'up:one', track: main}
=== git_repo.bst
kind: import
sources:
- {kind: git_repo, url: 'up:one', track: main}
";

/// A project of two elements whose refs are known, and the repository that they are from.
fn repositories() -> (TestEnv, tempfile::TempDir) {
    let upstream = tempfile::tempdir().expect("a temporary directory");
    let one = upstream.path().join("one");
    std::fs::create_dir(&one).expect("a directory");
    git(&one, &["init", "-q", "-b", "main"]);
    for commit in 0..3 {
        for file in 0..20 {
            std::fs::write(one.join(format!("file-{file}")), format!("{file} {commit}\n")).expect("a file");
        }
        git(&one, &["add", "."]);
        git(&one, &["commit", "-q", "-m", "more"]);
    }
    let env = crate::env();
    env.files(&REPOSITORIES.replace("UPSTREAM", &upstream.path().display().to_string()));
    env.run(&["source", "track", "git.bst", "git_repo.bst"]).success();
    forget(&env);
    (env, upstream)
}

pub(crate) fn forget(env: &TestEnv) {
    for name in ["sources", "cache"] {
        let _ = std::fs::remove_dir_all(env.path().join(name));
    }
}

#[test]
fn repositories_of_many_files_are_staged_by_few_threads() {
    let (mut env, upstream) = repositories();
    let one = upstream.path().join("one");
    for number in 0..3000 {
        let directory = one.join(format!("many-{}", number / 100));
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::write(directory.join(number.to_string()), format!("{number}\n")).expect("a file");
    }
    git(&one, &["add", "."]);
    git(&one, &["commit", "-q", "-m", "many"]);
    env.run(&["source", "track", "git.bst", "git_repo.bst"]).success();
    for threads in ["1", "2", "5"] {
        forget(&env);
        // Those that compute: none of them may wait for another.
        env.set("RAYON_NUM_THREADS", threads);
        env.run(&["source", "fetch", "git.bst", "git_repo.bst"]).success();
    }
    env.run(&["source", "checkout", "--directory", "out", "git_repo.bst"]).success();
    let file = env.project().join("out/git_repo/many-17/1742");
    assert_eq!(std::fs::read_to_string(file).expect("a file"), "1742\n");
}

/// Kills the program, and maybe git, at each call of git; the next run brings all and warns of nothing.
fn check_git_kills(script: &str) {
    let (mut env, _upstream) = repositories();
    let other = other_git(&mut env, script);
    for element in ["git.bst", "git_repo.bst"] {
        let mut killed = 0;
        loop {
            forget(&env);
            let _ = std::fs::remove_dir_all(other.join("calls"));
            std::fs::create_dir(other.join("calls")).expect("a directory");
            std::fs::write(other.join("at"), format!("{killed}\n")).expect("a file");
            let ended = start(&env, &["source", "fetch", element]).wait().expect("an end");
            std::fs::write(other.join("at"), "never\n").expect("a file");
            env.run(&["source", "fetch", element]).success();
            let _ = std::fs::remove_dir_all(env.project().join("out"));
            env.run(&["source", "checkout", "--directory", "out", element]).success();
            let file = env.project().join("out").join(element.trim_end_matches(".bst")).join("file-19");
            assert_eq!(std::fs::read_to_string(file).expect("a file"), "19 2\n");
            if ended.success() {
                break;
            }
            killed += 1;
        }
        assert!(killed > 0, "{element} was fetched without git");
    }
}

#[test]
fn repositories_are_fetched_after_a_kill_before_each_git() {
    check_git_kills("if [ $count = $(cat ${0%/*}/at) ]; then kill -9 $PPID; exit 1; fi\nexec $real \"$@\"");
}

#[test]
fn repositories_are_fetched_after_a_kill_behind_each_git() {
    check_git_kills(
        "if [ $count = $(cat ${0%/*}/at) ]; then $real \"$@\"; kill -9 $PPID; fi\nexec $real \"$@\"",
    );
}

/// As a git leaves it that was killed itself: locks of files, and a part of a pack.
#[test]
fn repositories_are_fetched_after_a_kill_of_git_itself() {
    check_git_kills(
        "if [ $count = $(cat ${0%/*}/at) ]; then
  for word in \"$@\"; do
    if [ -d \"$word/objects\" ]; then
      : > \"$word/shallow.lock\"; : > \"$word/packed-refs.lock\"; : > \"$word/HEAD.lock\"
      mkdir -p \"$word/refs/heads\" \"$word/refs/bourn\"
      : > \"$word/refs/heads/main.lock\"; echo half > \"$word/objects/pack/tmp_pack_x\"
    fi
  done
  kill -9 $PPID; exit 1
fi
exec $real \"$@\"",
    );
}

/// A git that lives on when the program is killed is waited for by the next run.
#[test]
fn a_git_that_lives_on_is_waited_for() {
    let (mut env, _upstream) = repositories();
    let script = "case \"$*\" in *' fetch '*) ;; *) exec $real \"$@\";; esac
echo begin >> ${0%/*}/told
if [ ! -e ${0%/*}/killed ]; then
  : > ${0%/*}/killed
  kill -9 $PPID
  while [ ! -e ${0%/*}/again ]; do sleep 0.1; done
  sleep 0.5
fi
$real \"$@\"
status=$?
echo end >> ${0%/*}/told
exit $status";
    let other = other_git(&mut env, script);
    let ended = start(&env, &["source", "fetch", "git.bst"]).wait().expect("an end");
    assert!(!ended.success());
    let mut again = start(&env, &["source", "fetch", "git.bst"]);
    std::fs::write(other.join("again"), "").expect("a file");
    assert!(again.wait().expect("an end").success());
    let told = std::fs::read_to_string(other.join("told")).expect("a file");
    // Never two at once.
    assert!(told.starts_with("begin\nend\n") && !told.contains("begin\nbegin"), "{told}");
}

/// A mirror of one's own is whole after a kill at each call of git and another run, and all that is needed.
fn check_mirror_kills(script: &str) {
    let (mut env, upstream) = repositories();
    let (one, gone) = (upstream.path().join("one"), upstream.path().join("gone"));
    let place = env.path().join("mirror");
    let shown = place.display().to_string();
    let words = ["source", "mirror", &shown, "git.bst", "git_repo.bst"];
    let other = other_git(&mut env, script);
    let mut killed = 0;
    loop {
        forget(&env);
        let _ = std::fs::remove_dir_all(&place);
        let _ = std::fs::remove_dir_all(other.join("calls"));
        std::fs::create_dir(other.join("calls")).expect("a directory");
        std::fs::write(other.join("at"), format!("{killed}\n")).expect("a file");
        let ended = start(&env, &words).wait().expect("an end");
        std::fs::write(other.join("at"), "never\n").expect("a file");
        env.run(&words).success();
        std::fs::rename(&one, &gone).expect("renamed");
        env.configure(&std::fs::read_to_string(place.join("mirror.conf")).expect("a configuration"));
        forget(&env);
        env.run(&["source", "fetch", "git.bst", "git_repo.bst"]).success();
        env.configure("");
        std::fs::rename(&gone, &one).expect("renamed");
        if ended.success() {
            break;
        }
        killed += 1;
    }
    assert!(killed > 0);
}

#[test]
fn mirrors_are_made_after_a_kill_behind_each_git() {
    check_mirror_kills(
        "if [ $count = $(cat ${0%/*}/at) ]; then $real \"$@\"; kill -9 $PPID; fi\nexec $real \"$@\"",
    );
}

#[test]
fn mirrors_are_made_after_a_kill_before_each_git() {
    check_mirror_kills(
        "if [ $count = $(cat ${0%/*}/at) ]; then kill -9 $PPID; exit 1; fi\nexec $real \"$@\"",
    );
}

/// What a file is, and when it was written.
fn identity(path: &Path) -> (u64, std::time::SystemTime, String) {
    use std::os::unix::fs::MetadataExt;
    let found = path.metadata().expect("a file");
    let text = std::fs::read_to_string(path).expect("a file");
    (found.ino(), found.modified().expect("a time"), text)
}

/// Tracking many elements asks each server once, and touches no file whose ref it knew.
#[test]
fn tracking_a_project_asks_once_and_touches_what_changed() {
    let (mut env, upstream) = repositories();
    let one = upstream.path().join("one");
    for number in 0..40 {
        let text = format!(
            "# Number {number}\nkind: import\n\nsources:\n- kind: git   # the kind\n  url: up:one\n  track: {}\n",
            if number % 8 == 3 { "moving" } else { "main" }
        );
        std::fs::write(env.project().join(format!("many-{number}.bst")), text).expect("an element");
    }
    git(&one, &["branch", "moving"]);
    let names: Vec<String> = (0..40).map(|number| format!("many-{number}.bst")).collect();
    let words: Vec<&str> = ["source", "track"].into_iter().chain(names.iter().map(String::as_str)).collect();
    env.run(&words).success();
    let path = |name: &String| env.project().join(name);
    let before: Vec<_> = names.iter().map(|name| identity(&path(name))).collect();
    assert!(before.iter().all(|(_, _, text)| text.contains("  ref: ") && text.contains("# the kind")));
    git(&one, &["checkout", "-q", "moving"]);
    git(&one, &["commit", "-q", "--allow-empty", "-m", "it moved"]);
    let script = "case \"$*\" in *ls-remote*) echo asked >> ${0%/*}/told;; esac\nexec $real \"$@\"";
    let other = other_git(&mut env, script);
    let ran = env.run(&words).success();
    assert_eq!(std::fs::read_to_string(other.join("told")).expect("a file").lines().count(), 1);
    for (number, name) in names.iter().enumerate() {
        let (found, before) = (identity(&env.project().join(name)), &before[number]);
        if number % 8 == 3 {
            assert_ne!(found.2, before.2, "{name}");
            let others = |text: &str| text.lines().filter(|line| !line.contains("ref: ")).count();
            assert_eq!(others(&found.2), others(&before.2));
        } else {
            assert_eq!(&found, before, "{name} was touched");
        }
    }
    assert_eq!(ran.stderr.matches("Found new revision").count(), 5, "{}", ran.stderr);
}

/// What a run that was killed left is used where nothing better can be had.
#[test]
fn repositories_that_are_whole_do_without_their_server() {
    let (env, upstream) = repositories();
    let words = ["source", "fetch", "git.bst", "git_repo.bst"];
    env.run(&words).success();
    for mirror in ["git/.locks/up_one", "git_repo/.locks/up_one.git"] {
        let lock = env.path().join("sources").join(mirror);
        assert!(lock.is_file(), "{mirror}");
        std::fs::write(format!("{}.unsettled", lock.display()), "").expect("a file");
    }
    let (one, gone) = (upstream.path().join("one"), upstream.path().join("gone"));
    std::fs::rename(&one, &gone).expect("renamed");
    for _ in 0..2 {
        std::fs::remove_dir_all(env.cache()).expect("removed");
        env.run(&words).success();
    }
    // With the server there, all is well again.
    std::fs::rename(&gone, &one).expect("renamed");
    std::fs::remove_dir_all(env.cache()).expect("removed");
    env.run(&words).success();
    assert!(!env.path().join("sources/git/.locks/up_one.unsettled").exists());
}
