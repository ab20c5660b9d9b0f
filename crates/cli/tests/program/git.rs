//! Git over HTTP as servers speak it, with and without credentials; how much of a history is fetched.

use crate::smart::SmartServer;
use bourn_testkit::{Ran, TestEnv};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What must not be seen anywhere.
const SECRET: &str = "hush-1234";
/// `reader` and the secret, as HTTP has them.
const CODE: &str = "cmVhZGVyOmh1c2gtMTIzNA==";

const PROJECT: &str = "
=== project.conf
name: fetched
min-version: 2.0
aliases:
  up: http://HOST/
plugins:
- origin: pip
  package-name: buildstream-plugins
  sources: [git]
- origin: pip
  package-name: buildstream-plugins-community
  sources: [git_repo, git_tag]
=== git.bst
kind: import
sources:
- {kind: git, url: 'up:one', track: main}
=== git_repo.bst
kind: import
sources:
- {kind: git_repo, url: 'up:one', track: main}
=== git_tag.bst
kind: import
sources:
- {kind: git_tag, url: 'up:one', track: main}
=== all.bst
kind: stack
depends: [git.bst, git_repo.bst, git_tag.bst]
";

/// Runs git on a repository; what it says.
fn git(repository: &Path, words: &[&str]) -> String {
    let mut git = Command::new("git");
    git.current_dir(repository).args(words).env("GIT_CONFIG_GLOBAL", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{who}_NAME"), "Somebody").env(format!("GIT_{who}_EMAIL"), "somebody@host");
    }
    let output = git.output().expect("git");
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A repository `one` with one commit.
fn upstream() -> tempfile::TempDir {
    let upstream = tempfile::tempdir().expect("a temporary directory");
    let one = upstream.path().join("one");
    std::fs::create_dir(&one).expect("a directory");
    git(&one, &["init", "-q", "-b", "main"]);
    std::fs::write(one.join("file"), "content").expect("a file");
    git(&one, &["add", "."]);
    git(&one, &["commit", "-q", "-m", "first"]);
    upstream
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = directory.read_dir().expect("a directory").flatten().map(|entry| entry.path());
    let below = |path: PathBuf| if path.is_dir() && !path.is_symlink() { files(&path) } else { vec![path] };
    entries.flat_map(below).collect()
}

/// That the secret is in nothing that was said or written, but in the file that it was read from.
#[track_caller]
fn check_silence(env: &TestEnv, ran: &[Ran], known: &Path) {
    for ran in ran {
        assert!(!ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET), "{}{}", ran.stdout, ran.stderr);
    }
    for file in files(env.path()).into_iter().filter(|file| file != known && file.is_file()) {
        let content = std::fs::read(&file).expect("a file");
        let found = content.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
        assert!(!found, "the secret is in {}", file.display());
    }
}

fn track_and_fetch(env: &TestEnv) -> [Ran; 2] {
    let track = env.run(&["source", "track", "--deps", "all", "all.bst"]).success();
    [track, env.run(&["source", "fetch", "--deps", "all", "all.bst"]).success()]
}

#[test]
fn credentials_of_netrc_are_used_and_not_shown() {
    let upstream = upstream();
    let server = SmartServer::start(upstream.path(), Some(CODE));
    let env = crate::env();
    env.files(&PROJECT.replace("HOST", &server.host()));
    let track = ["source", "track", "git.bst", "git_repo.bst", "git_tag.bst"];
    env.run(&["--on-error", "continue"].iter().chain(&track).copied().collect::<Vec<_>>())
        .failure(255, "Failed");
    assert_eq!(server.served(), 0);

    let netrc = env.home().join(".netrc");
    let write = |password: &str| {
        std::fs::write(&netrc, format!("machine 127.0.0.1 login reader password {password}\n"))
    };
    write(&format!("{SECRET}-not")).expect("a file");
    let refused = env.run(&["source", "track", "git.bst"]).failure(255, "Failed to");
    check_silence(&env, &[refused], &netrc);

    write(SECRET).expect("a file");
    let ran = track_and_fetch(&env);
    assert!(server.served() > 0);
    check_silence(&env, &ran, &netrc);
}

/// Whoever needs no credentials does without them.
#[test]
fn a_netrc_that_makes_no_sense_is_warned_of() {
    let env = crate::env();
    env.files("=== project.conf\nname: test\nmin-version: 2.0\n=== it.bst\nkind: stack\n");
    let netrc = env.home().join(".netrc");
    for wrong in [format!("machine h login u password {SECRET}\nbogus\n").as_bytes(), b"machine \xff"] {
        std::fs::write(&netrc, wrong).expect("a file");
        let ran = env.run(&["show", "it.bst"]).success();
        assert!(
            ran.stderr.contains("There are no credentials for downloads") && ran.stderr.contains(".netrc")
        );
        check_silence(&env, &[ran], &netrc);
    }
}

#[test]
fn credentials_of_the_configuration_are_used_and_not_shown() {
    let upstream = upstream();
    let server = SmartServer::start(upstream.path(), Some(CODE));
    let env = crate::env();
    // Nobody listens where the project says.
    env.files(&PROJECT.replace("HOST", "127.0.0.1:1"));
    let configure = |password: &str| {
        env.configure(&format!(
            "fetch: {{source: user}}\ntrack: {{source: user}}\nprojects:\n  fetched:\n    mirrors:\n    - name: own\n      \
             aliases:\n        up: ['http://reader:{password}@{}/']\n",
            server.host()
        ));
    };
    let known = env.home().join(".config/buildstream.conf");
    configure(&format!("{SECRET}-not"));
    let refused = env.run(&["source", "track", "git.bst"]).failure(255, "Failed to");
    check_silence(&env, &[refused], &known);
    configure(SECRET);
    let ran = track_and_fetch(&env);
    assert!(server.served() > 0);
    check_silence(&env, &ran, &known);
    let told = env.run(&["show", "--format", "%{name} %{source-info}", "all.bst"]).success();
    check_silence(&env, &[told], &known);
}

/// What `ssh` would do on another machine, done here; it writes down whom it was to ask.
const SSH: &str = "#!/bin/sh
while :; do
  case $1 in
    -[opliF]) shift 2 ;;
    -*) shift ;;
    *) break ;;
  esac
done
echo \"$1\" >> \"$HOME/asked\"
shift
exec sh -c \"$*\"
";

/// Puts a program into the `PATH` of a test.
fn with_program(env: &mut TestEnv, name: &str, text: &str) {
    let bin = env.path().join("bin");
    std::fs::create_dir_all(&bin).expect("a directory");
    bourn_testkit::fixture::program(&bin.join(name), text);
    let path = std::env::var("PATH").unwrap_or_default();
    env.set("PATH", &format!("{}:{path}", bin.display()));
}

#[test]
fn repositories_behind_ssh() {
    let upstream = upstream();
    for (url, user) in
        [("ssh://git@host.example:2222", "git@host.example"), ("me@host.example:", "me@host.example")]
    {
        let mut env = crate::env();
        with_program(&mut env, "ssh", SSH);
        let alias = format!("{url}{}/", upstream.path().display());
        env.files(&PROJECT.replace("http://HOST/", &alias));
        track_and_fetch(&env);
        let asked = std::fs::read_to_string(env.home().join("asked")).expect("somebody was asked");
        assert!(asked.lines().count() >= 3 && asked.lines().all(|line| line == user), "{asked}");
    }
}

/// A key that a server does not take is not shown to it again, and nobody waits for that.
#[test]
fn a_refusal_is_taken_for_an_answer() {
    let upstream = upstream();
    let mut env = crate::env();
    with_program(&mut env, "ssh", SSH);
    let alias = format!("ssh://git@host.example{}/", upstream.path().display());
    env.files(&PROJECT.replace("http://HOST/", &alias));
    track_and_fetch(&env);
    crate::downloads::forget(&env);
    let refuses = "#!/bin/sh\necho >> \"$HOME/refused\"\necho 'git@host: Permission denied (publickey).' >&2\nexit 255\n";
    with_program(&mut env, "ssh", refuses);
    let elements = ["git.bst", "git_repo.bst", "git_tag.bst"];
    for (number, element) in elements.iter().enumerate() {
        env.run(&["source", "fetch", element]).failure(255, "ssh-add");
        let refused = std::fs::read_to_string(env.home().join("refused")).expect("somebody was asked");
        assert_eq!(refused.lines().count(), number + 1, "{element}");
    }
}

/// A repository `long` with many commits, of which each changes a file and adds another.
fn long_history(upstream: &Path, commits: usize) -> String {
    let long = upstream.join("long");
    std::fs::create_dir(&long).expect("a directory");
    git(&long, &["init", "-q", "-b", "main"]);
    let mut stream = String::new();
    for number in 0..commits {
        let text = format!("{number:0>400}");
        stream.push_str(&format!(
            "commit refs/heads/main\ncommitter S <s@h> {number} +0000\ndata 1\nx\n\
             M 644 inline changes/{:02}\ndata 400\n{text}\nM 644 inline all\ndata 400\n{text}\n",
            number % 40
        ));
    }
    let mut import = Command::new("git");
    import.current_dir(&long).args(["fast-import", "--quiet"]).stdin(std::process::Stdio::piped());
    let mut child = import.spawn().expect("git");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), stream.as_bytes()).expect("written");
    assert!(child.wait().expect("git").success());
    git(&long, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
    // In the middle, so that history goes on behind it.
    git(&long, &["rev-parse", "main~50"])
}

/// How many objects a repository has.
fn objects(repository: &Path) -> usize {
    let listing = ["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"];
    git(repository, &listing).lines().count()
}

#[test]
fn a_pinned_commit_costs_that_commit() {
    let upstream = upstream();
    let pinned = long_history(upstream.path(), 500);
    let server = SmartServer::start(upstream.path(), None);
    let all = objects(&upstream.path().join("long"));
    // The commit, its two trees and 41 files; changes/00 and `all` may be the same file.
    let needed =
        git(&upstream.path().join("long"), &["rev-list", "--objects", "--no-walk", &pinned]).lines().count();
    assert!(all > 20 * needed, "{all} {needed}");
    let env = crate::env();
    env.files(
        &PROJECT
            .replace("HOST", &server.host())
            .replace("'up:one', track: main", &format!("'up:long', ref: {pinned}")),
    );
    env.run(&["source", "fetch", "--deps", "all", "all.bst"]).success();
    let kept = env.path().join("sources");
    let mirrors: Vec<PathBuf> = files(&kept)
        .into_iter()
        .filter(|file| file.ends_with("HEAD"))
        .map(|head| head.parent().expect("a mirror").to_owned())
        .collect();
    assert_eq!(mirrors.len(), 3, "{mirrors:?}");
    for mirror in mirrors {
        assert_eq!(objects(&mirror), needed, "{}", mirror.display());
    }
    env.run(&["build", "all.bst"]).success();
}
