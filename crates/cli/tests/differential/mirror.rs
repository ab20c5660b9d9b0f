//! A mirror of one's own: made while the servers are there, fetched from when they are gone, by both.

use crate::Both;
use crate::server::{Said, Server};
use crate::tracking::Place;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs git in a directory.
#[track_caller]
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"]).args(arguments);
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Somebody").env(format!("GIT_{who}_EMAIL"), "somebody@host");
        command.env(format!("GIT_{who}_DATE"), "2020-02-02T02:02:02Z");
    }
    let output = command.current_dir(directory).output().expect("git");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A repository with a submodule, and the commit that is to be pinned: history goes on after it.
fn repositories(upstream: &Path) -> String {
    for name in ["sub", "main"] {
        let directory = upstream.join(name);
        std::fs::create_dir_all(&directory).expect("a directory");
        git(&directory, &["init", "-q"]);
        std::fs::write(directory.join("file"), name).expect("a file");
        git(&directory, &["add", "."]);
        git(&directory, &["commit", "-q", "-m", "first"]);
    }
    let main = upstream.join("main");
    git(&main, &["submodule", "add", "-q", "../sub", "below"]);
    git(&main, &["commit", "-q", "-m", "with a submodule"]);
    let pinned = git(&main, &["rev-parse", "HEAD"]);
    git(&main, &["tag", "v1.0.0"]);
    std::fs::write(main.join("file"), "later").expect("a file");
    git(&main, &["commit", "-q", "-a", "-m", "later"]);
    pinned
}

/// What sources were staged, by both in the same layout: the digest by name.
pub(crate) fn staged(cache: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![cache.join("elementsources")];
    while let Some(directory) = todo.pop() {
        for entry in directory.read_dir().into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let content = std::fs::read(&path).expect("a file");
                found.insert(path.strip_prefix(cache).expect("below").to_owned(), content);
            }
        }
    }
    found
}

fn forget(both: &Both) {
    for name in ["cache", "sources"] {
        let directory = both.bourn.path().join(name);
        if directory.exists() {
            std::fs::remove_dir_all(directory).expect("removed");
        }
    }
}

const PROJECT: &str = "=== project.conf
name: mirrored
min-version: 2.0
aliases:
  up: URL
  repos: file://UPSTREAM/
plugins:
- origin: pip
  package-name: buildstream-plugins
  sources: [git, cargo]
- origin: pip
  package-name: buildstream-plugins-community
  sources: [git_repo]
- origin: local
  path: plugins
  sources: [go_module]
=== plugins/PKG-INFO
Name: buildstream-plugins-community
Version: 2.4.0
=== app/go.mod
module example.org/app
=== app/go.sum
example.org/main v1.0.0 h1:x=
=== module.bst
kind: import
sources:
- kind: local
  path: app
- kind: go_module
  url: repos:main
  module: example.org/main
  ref:
    go-version: v1.0.0
    git-ref: v1.0.0-0-gPINNED
    explicit: true
=== all.bst
kind: stack
depends: [files.bst, one.bst, other.bst, module.bst]
=== files.bst
kind: import
sources:
- kind: remote
  url: up:plain/a%20file
  ref: PLAIN
- kind: tar
  url: up:tar/foo-1.0.tar.gz
  ref: TAR
  directory: tar
- kind: cargo
  url: up:crates
  directory: crates
  ref:
  - name: foo
    version: '1.0'
    sha: TAR
=== one.bst
kind: import
sources:
- kind: git
  url: repos:main
  ref: PINNED
  submodules:
    below:
      url: repos:sub
=== other.bst
kind: import
sources:
- kind: git_repo
  url: repos:main
  track: main
  ref: PINNED
";

const TAR: &[u8] = include_bytes!("../../../sources/tests/sources/packages/foo-1.0.tar.gz");

#[test]
fn a_project_is_fetched_from_its_mirror_alone() {
    let Some(both) = Both::new("") else { return };
    let server = Place::start();
    for path in ["tar/foo-1.0.tar.gz", "crates/foo/foo-1.0.crate"] {
        server.add(path, "application/gzip", TAR);
    }
    server.add("plain/a%20file", "text/plain", "plain");
    let upstream = both.bourn.path().join("upstream");
    let pinned = repositories(&upstream);
    let sum = |content: &[u8]| bourn_reapi::Digest::of(content).hex();
    let project = PROJECT.replace("URL", &server.url("")).replace("PLAIN", &sum(b"plain"));
    let project = project.replace("TAR", &sum(TAR)).replace("PINNED", &pinned);
    both.bourn.files(&project.replace("UPSTREAM", &upstream.display().to_string()));
    crate::sources::copy_plugins(&both);
    both.bourn(&["source", "fetch", "--deps", "all", "all.bst"]).success();
    let expect = staged(&both.bourn.cache());
    assert_eq!(expect.len(), 5, "{expect:?}");
    forget(&both);

    let mirror = both.bourn.path().join("mirror");
    let place = mirror.display().to_string();
    let ran = both.bourn(&["source", "mirror", &place, "all.bst"]).success();
    assert!(ran.stdout.contains("Mirror of 7 files and repositories, 5 of them new"), "{}", ran.stdout);
    let again = both.bourn(&["source", "mirror", &place, "all.bst"]).success();
    assert!(again.stdout.contains("0 of them new"), "{}", again.stdout);
    assert!(mirror.join("mirrored/up/plain/a file").is_file());

    drop(server);
    std::fs::rename(&upstream, both.bourn.path().join("gone")).expect("renamed");
    forget(&both);
    both.bourn(&["source", "fetch", "--deps", "all", "all.bst"]).failure(255, "");
    check(&both, &mirror, &expect);

    // The same, served as plain files.
    let directory = mirror.clone();
    let plain = Server::start(move |_, asked| plain_file(&directory, &asked.path));
    std::fs::remove_file(mirror.join("mirror.conf")).expect("removed");
    both.bourn(&["source", "mirror", "--url", &plain.url(""), &place, "all.bst"]).success();
    check(&both, &mirror, &expect);
}

/// Has both fetch from the mirror, with nothing else there.
#[track_caller]
fn check(both: &Both, mirror: &Path, expect: &BTreeMap<PathBuf, Vec<u8>>) {
    let configuration = std::fs::read_to_string(mirror.join("mirror.conf")).expect("a configuration");
    both.bourn.configure(&configuration);
    forget(both);
    both.bourn(&["source", "fetch", "--deps", "all", "all.bst"]).success();
    assert_eq!(&staged(&both.bourn.cache()), expect, "bourn");
    forget(both);
    // The reference's `git_repo` cannot fetch from plain files at all, wherever they are.
    both.bst(&["source", "fetch", "files.bst", "one.bst"]).success();
    for (name, digest) in staged(&both.bourn.cache()) {
        assert_eq!(expect.get(&name), Some(&digest), "bst, {}", name.display());
    }
    assert_eq!(staged(&both.bourn.cache()).len(), 2);
}

fn plain_file(directory: &Path, path: &str) -> Said {
    let path = path.trim_start_matches('/').split('?').next().unwrap_or_default().replace("%20", " ");
    match std::fs::read(directory.join(path)) {
        Ok(content) => Said::ok(content),
        Err(_) => Said::status(404),
    }
}
