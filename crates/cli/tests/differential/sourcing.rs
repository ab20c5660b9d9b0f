//! Source caches: what one program pushed the other fetches, and both leave the same on servers and at home. Where the
//! sources came from is gone by then.

use crate::Both;
use crate::fleet::moved;
use crate::registry::{Entry, Registry, index, layer};
use crate::remote::{Server, assert_said, storage_daemon};
use crate::sources::{GitServer, TAR, repository, serve};
use bourn_reapi::Digest;
use bourn_testkit::Ran;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROJECT: &str = "
=== project.conf
name: sourcing
min-version: 2.5
aliases:
  up: FILES
  packages: INDEX
  images: IMAGES
  repos: REPOSITORIES
plugins:
- origin: pip
  package-name: buildstream-plugins
  sources: [cargo, docker, git, patch, pip]
- origin: pip
  package-name: buildstream-plugins-community
  sources: [bazel_file, cargo2, deb, gen_cargo_lock, git_repo, git_tag, patch_queue, zip]
=== local.bst
kind: import
sources:
- kind: local
  path: files
=== tar.bst
kind: import
sources:
- kind: tar
  url: up:foo-1.0.tar.gz
  ref: SUM_TAR
=== zip.bst
kind: import
sources:
- kind: zip
  url: up:a.zip
  ref: SUM_ZIP
  base-dir: ''
=== remote.bst
kind: import
sources:
- kind: remote
  url: up:plain
  ref: SUM_PLAIN
  filename: program
  executable: true
- kind: remote
  url: up:plain
  ref: SUM_PLAIN
  directory: below/it
=== git.bst
kind: import
sources:
- kind: git
  url: repos:one
  ref: COMMIT
  checkout-submodules: false
=== repo.bst
kind: import
sources:
- kind: git_repo
  url: repos:one
  ref: COMMIT
- kind: local
  path: files
  directory: more
=== tag.bst
kind: import
sources:
- kind: git_tag
  url: repos:one
  track: main
  ref: v1.0-0-gCOMMIT
=== patched.bst
kind: import
sources:
- kind: tar
  url: up:foo-1.0.tar.gz
  ref: SUM_TAR
- kind: patch
  path: fix.patch
=== queued.bst
kind: import
sources:
- kind: local
  path: files
- kind: tar
  url: up:foo-1.0.tar.gz
  ref: SUM_TAR
  directory: sub/deep
- kind: patch_queue
  path: queue
  directory: sub/deep
- kind: remote
  url: up:plain
  ref: SUM_PLAIN
=== crates.bst
kind: import
sources:
- kind: local
  path: app
- kind: cargo
  url: 'up:'
  ref:
  - name: foo
    version: '1.0'
    sha: SUM_TAR
- kind: cargo2
  url: 'up:'
  vendor-dir: more
  ref:
  - kind: registry
    name: foo
    version: '1.0'
    sha: SUM_TAR
- kind: gen_cargo_lock
  ref: dmVyc2lvbiA9IDMK
=== packages.bst
kind: import
sources:
- kind: local
  path: app
- kind: pip
  url: packages:simple/
  requirements-files: [r.txt]
=== other.bst
kind: import
sources:
- kind: deb
  url: up:foo.deb
  ref: SUM_DEB
  base-dir: ''
- kind: bazel_file
  url: up:plain
  directory: files
=== image.bst
kind: import
sources:
- kind: docker
  registry-url: 'images:'
  image: a/b
  track: latest
  architecture: amd64
=== files/a
a
=== files/d/b
b
=== app/r.txt
one
=== fix.patch
--- /dev/null
+++ b/added
@@ -0,0 +1 @@
+added
=== queue/1.patch
--- /dev/null
+++ b/first
@@ -0,0 +1 @@
+first
=== queue/2.patch
--- a/first
+++ b/first
@@ -1 +1 @@
-first
+second
";

const PLAIN: &[u8] = b"#!/bin/sh\necho plain\n";

/// An archive with one file in it.
const ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0\0\0\0\0!\0\xac\0:\xc7\x07\0\0\0\x07\0\0\0\x06\0\0\0zippedzipped\n\
    PK\x01\x02\x14\x03\x14\0\0\0\0\0\0\0!\0\xac\0:\xc7\x07\0\0\0\x07\0\0\0\x06\0\0\0\0\0\0\0\0\0\0\0\xa4\x01\0\0\0\0zipped\
    PK\x05\x06\0\0\0\0\x01\0\x01\0\x34\0\0\0\x2b\0\0\0\0\0";

/// A Debian package.
fn package() -> Vec<u8> {
    let mut package = b"!<arch>\n".to_vec();
    for (name, content) in [("debian-binary", b"2.0\n".as_slice()), ("data.tar.gz", TAR)] {
        package.extend(format!("{name:<16}0           0     0     100644  {:<10}`\n", content.len()).bytes());
        package.extend_from_slice(content);
        package.resize(package.len().next_multiple_of(2), b'\n');
    }
    package
}

/// Where all sources come from. They cannot be had from there any more when it is dropped.
struct Upstream {
    _servers: [crate::server::Server; 3],
    _repositories: GitServer,
    _directory: tempfile::TempDir,
}

/// A project with sources of every kind that can be had here, and where they come from.
fn project() -> Option<(Both, Upstream)> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let commit = repository(&directory.path().join("one"), "=== a\na\n=== d/b\nb\n", &["v1.0"]);
    let deb = package();
    let files = serve(&[
        ("foo.deb", &deb),
        ("foo-1.0.tar.gz", TAR),
        ("foo/foo-1.0.crate", TAR),
        ("a.zip", ZIP),
        ("plain", PLAIN),
    ]);
    let packages = index();
    let mut registry = Registry::default();
    let image =
        registry.image("a/b", &[], &[layer(&[Entry::Directory("etc/"), Entry::File("etc/kept", "2")])]);
    registry.index("a/b", "latest", &[("amd64", image)]);
    let images = registry.serve();
    let repositories = GitServer::start(directory.path());
    let mut text = PROJECT.replace("COMMIT", &commit).replace("REPOSITORIES", &repositories.url());
    for (name, server) in [("FILES", &files), ("INDEX", &packages), ("IMAGES", &images)] {
        text = text.replace(name, &server.url(""));
    }
    let sums = [("SUM_TAR", TAR), ("SUM_ZIP", ZIP), ("SUM_PLAIN", PLAIN), ("SUM_DEB", &deb)];
    for (name, content) in sums {
        text = text.replace(name, &Digest::of(content).hex());
    }
    let both = Both::new(&text)?;
    both.bourn(&["source", "track", "packages.bst", "image.bst", "other.bst"]).success();
    let servers = [files, packages, images];
    Some((both, Upstream { _servers: servers, _repositories: repositories, _directory: directory }))
}

/// Files below a directory, by name.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in next.read_dir().into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => todo.push(path),
                false => {
                    let name = path.strip_prefix(directory).expect("below").to_owned();
                    found.insert(name, std::fs::read(&path).expect("a file"));
                }
            }
        }
    }
    found
}

/// Where a server that was started beside these programs keeps what it has.
fn place_of(both: &Both, server: &Server) -> PathBuf {
    let port = server.url.rsplit(':').next().expect("a port");
    both.bourn.path().join(format!("server-{port}"))
}

/// Names and what they mean, and the names of the blobs, on a server.
fn held(place: &Path) -> (BTreeMap<PathBuf, String>, Vec<PathBuf>) {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let names = files(&place.join("assets")).into_iter().map(|(name, bytes)| (name, text(bytes))).collect();
    (names, files(&place.join("cas/objects")).into_keys().collect())
}

/// What is known at home of sources that were staged: the digest by name.
fn known(both: &Both) -> BTreeMap<PathBuf, Vec<u8>> {
    let cache = both.bourn.cache();
    let mut known = BTreeMap::new();
    for name in ["elementsources", "source_protos"] {
        known.extend(
            files(&cache.join(name)).into_iter().map(|(path, bytes)| (Path::new(name).join(path), bytes)),
        );
    }
    known
}

fn run(both: &Both, is_bourn: bool, words: &[&str]) -> Ran {
    if is_bourn { both.bourn(words) } else { both.bst(words) }
}

/// How it ended, and of which element something came or went.
fn outcome(ran: &Ran) -> (i32, Vec<String>) {
    (ran.status, moved(ran).into_iter().map(|(element, _)| element).collect())
}

/// What a place has after a command: how that ended, what the server has, and what is known at home.
type Left = ((i32, Vec<String>), (BTreeMap<PathBuf, String>, Vec<PathBuf>), BTreeMap<PathBuf, Vec<u8>>);

/// That two programs left the same; only as far as names go where `exact` says so.
#[track_caller]
fn same_left(left: [Left; 2], exact: bool) {
    let [mut ours, mut theirs] = left;
    for (of_program, (names, blobs), known) in [&mut ours, &mut theirs] {
        of_program.1.sort();
        if !exact {
            names.values_mut().for_each(String::clear);
            known.values_mut().for_each(Vec::clear);
            blobs.clear();
        }
    }
    assert_eq!(ours, theirs, "bourn (left) and bst (right)");
}

/// Has each program push the sources of elements, and each fetch what each pushed, and push it elsewhere.
fn check_kinds(elements: &[&str], singles: usize, exact: bool) {
    let Some((both, upstream)) = project() else { return };
    let with = |command: &'static str, server: &Server| -> Vec<String> {
        let words = ["source", command, "--source-remote", &server.url];
        words.into_iter().chain(elements.iter().copied()).map(str::to_owned).collect()
    };
    let run = |place: &Both, is_bourn: bool, words: &[String]| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        run(place, is_bourn, &words).success()
    };
    let mut pushed = Vec::new();
    let mut servers = Vec::new();
    for is_bourn in [true, false] {
        let (place, server) = (both.elsewhere(), storage_daemon(&both));
        let ran = run(&place, is_bourn, &with("push", &server));
        let again = run(&place, is_bourn, &with("push", &server));
        assert!(!again.stderr.contains("INFO    Pushed source"), "{}", again.stderr);
        pushed.push((outcome(&ran), held(&place_of(&both, &server)), known(&place)));
        servers.push(server);
    }
    drop(upstream);
    let pushed: [Left; 2] = pushed.try_into().expect("two");
    // Elements with sources, and single sources that need no others.
    assert_eq!(pushed[0].1.0.len(), elements.len() + singles, "{:?}", pushed[0].1.0);
    same_left(pushed, exact);
    for server in &servers {
        let fetched = [true, false].map(|is_bourn| {
            let (place, next) = (both.elsewhere(), storage_daemon(&both));
            let fetched = run(&place, is_bourn, &with("fetch", server));
            assert_eq!(outcome(&fetched).1.len(), elements.len(), "{}", fetched.stderr);
            let known = known(&place);
            let sent = run(&place, is_bourn, &with("push", &next));
            (outcome(&sent), held(&place_of(&both, &next)), known)
        });
        same_left(fetched, true);
    }
}

#[test]
fn sources_of_every_kind() {
    let elements = [
        "local.bst",
        "tar.bst",
        "zip.bst",
        "remote.bst",
        "patched.bst",
        "queued.bst",
        "crates.bst",
        "other.bst",
        "packages.bst",
        "image.bst",
    ];
    check_kinds(&elements, 13, true);
}

/// bst stages repositories with times in them: another digest each time.
#[test]
fn sources_that_are_repositories() {
    check_kinds(&["git.bst", "repo.bst", "tag.bst"], 4, false);
}

/// What somebody pushed of a repository stays, although everybody stages another.
#[test]
fn single_sources_are_not_replaced() {
    let Some((both, _upstream)) = project() else { return };
    let server = storage_daemon(&both);
    let push = ["source", "push", "--source-remote", &server.url, "git.bst"];
    both.elsewhere().bst(&push).success();
    let before = held(&place_of(&both, &server)).0;
    both.elsewhere().bourn(&push).success();
    let after = held(&place_of(&both, &server)).0;
    let is_single = |(_, meaning): &(&PathBuf, &String)| meaning.contains(":source:git/");
    let singles =
        |names| BTreeMap::<&PathBuf, &String>::from_iter(names).into_iter().filter(is_single).count();
    assert_eq!((singles(&before), before.len()), (1, 2));
    assert!(before.iter().filter(is_single).eq(after.iter().filter(is_single)), "{before:?} {after:?}");
}

/// With single sources on the server alone, elements are put together out of them.
#[test]
fn elements_out_of_single_sources() {
    let Some((both, upstream)) = project() else { return };
    let place = both.elsewhere();
    let server = storage_daemon(&both);
    let elements = ["tar.bst", "remote.bst"];
    let remote = ["--source-remote", server.url.as_str()];
    place.bst(&[&["source", "push"], &remote[..], &elements].concat()).success();
    drop(upstream);
    // Others that have the same sources, and one more that is at hand.
    let more = "- kind: local\n  path: files\n";
    let place = both.elsewhere();
    for element in elements {
        let file = place.bourn.project().join(element);
        let text = std::fs::read_to_string(&file).expect("an element");
        std::fs::write(file, text + more).expect("an element");
    }
    let fetched = [true, false].map(|is_bourn| {
        let here = place.elsewhere();
        let ran = run(&here, is_bourn, &[&["source", "fetch"], &remote[..], &elements].concat()).success();
        (outcome(&ran), known(&here))
    });
    assert_eq!(fetched[0], fetched[1], "bourn (left) and bst (right)");
    // Nobody has the whole of what needs others, nor the rest of it.
    let queued = [&["source", "fetch"], &remote[..], &["queued.bst"]].concat();
    let ended = [true, false].map(|is_bourn| outcome(&run(&both.elsewhere(), is_bourn, &queued)));
    assert_eq!(ended[0], ended[1], "bourn (left) and bst (right)");
}

/// A blob of a server, by what it begins with.
fn blob_beginning_with(place: &Path, content: &[u8]) -> PathBuf {
    let objects = place.join("cas/objects");
    let mut found = files(&objects).into_iter().filter(|(_, bytes)| bytes.starts_with(content));
    objects.join(found.next().expect("the blob").0)
}

/// The blob that an element's sources are on the only server that has nothing else.
fn message_of_element(place: &Path) -> PathBuf {
    let known = files(&place.join("cas/objects"));
    // The digest of a tree, whose hash has 64 characters, and nothing else.
    let is_message = |bytes: &[u8]| bytes.len() < 80 && bytes.get(2..4) == Some(b"\x0a\x40");
    let found = known.iter().find(|(_, bytes)| is_message(bytes)).expect("the message of the sources");
    place.join("cas/objects").join(found.0)
}

type Find<'f> = &'f dyn Fn(&Path) -> PathBuf;

/// A server that lost something, or has something else in its place, is no worse than none; and whoever pushes again
/// mends it.
#[test]
fn servers_that_lost_something() {
    let Some((both, upstream)) = project() else { return };
    let losses: [(&str, Find<'_>); 3] = [
        ("a file", &|place| blob_beginning_with(place, b"[package]")),
        ("the message", &|place| message_of_element(place)),
        ("everything", &|place| place.join("cas/objects")),
    ];
    let mut mended = Vec::new();
    for (what, find) in losses {
        for is_damaged in [false, true] {
            let server = storage_daemon(&both);
            let remote = ["--source-remote", server.url.as_str(), "tar.bst"];
            let (push, fetch) =
                ([&["source", "push"], &remote[..]].concat(), [&["source", "fetch"], &remote[..]].concat());
            let theirs = both.elsewhere();
            theirs.bst(&push).success();
            let expect = known(&theirs);
            let path = find(&place_of(&both, &server));
            match (is_damaged, path.is_dir()) {
                (true, true) => continue,
                (false, true) => std::fs::remove_dir_all(&path).and_then(|()| std::fs::create_dir(&path)),
                (false, false) => std::fs::remove_file(&path),
                (true, false) => change(&path),
            }
            .expect("a blob of the server");
            let about = format!("{what}, {is_damaged}");
            let ours = both.elsewhere();
            ours.bourn(&fetch).success();
            assert_eq!(known(&ours), expect, "{about}");
            if !is_damaged {
                let theirs = both.elsewhere();
                theirs.bst(&fetch).success();
                assert_eq!(known(&ours), known(&theirs), "bourn (left) and bst (right), {about}");
                // What is only damaged, nobody can see who has it.
                let pushed = ours.bourn(&push).success();
                assert_said(&pushed, &["already has source"]);
                mended.push(server);
            }
        }
    }
    drop(upstream);
    for server in mended {
        for is_bourn in [true, false] {
            let fetch = ["source", "fetch", "--source-remote", &server.url, "tar.bst"];
            let ran = run(&both.elsewhere(), is_bourn, &fetch).success();
            assert_said(&ran, &["INFO    Pulled source"]);
        }
    }
}

/// Changes a byte of a file that cannot be written to.
fn change(path: &Path) -> std::io::Result<()> {
    let mut bytes = std::fs::read(path)?;
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::remove_file(path)?;
    std::fs::write(path, bytes)
}

/// What a workspace is opened with comes from where it was made; what is pushed of an element with one is nothing.
#[test]
fn workspaces_and_commands_that_need_sources() {
    let Some((both, upstream)) = project() else { return };
    let server = storage_daemon(&both);
    let remote = ["--source-remote", server.url.as_str()];
    both.bst(&[&["source", "push"], &remote[..], &["tar.bst", "queued.bst", "patched.bst"]].concat())
        .success();
    let open = |place: &Both, is_bourn| {
        let opened = run(
            place,
            is_bourn,
            &[&["workspace", "open"], &remote[..], &["--directory", "work", "tar.bst"]].concat(),
        );
        let pushed = run(place, is_bourn, &[&["source", "push"], &remote[..], &["tar.bst"]].concat());
        let mut work = files(&place.bourn.project().join("work"));
        // It says where the project is.
        work.remove(Path::new(".bstproject.yaml"));
        (opened.status, outcome(&pushed), work)
    };
    let opened = [true, false].map(|is_bourn| open(&both.elsewhere(), is_bourn));
    assert_eq!(opened[0], opened[1], "bourn (left) and bst (right)");
    assert!(!opened[0].2.is_empty());
    drop(upstream);
    let opened = [true, false].map(|is_bourn| open(&both.elsewhere(), is_bourn));
    assert_eq!(opened[0], opened[1], "bourn (left) and bst (right)");
    let commands: [&[&str]; 4] = [
        &["source", "checkout", "--directory", "out"],
        &["build"],
        &["source", "fetch"],
        &["build", "--ignore-project-source-remotes"],
    ];
    for command in commands {
        for element in ["tar.bst", "patched.bst", "queued.bst"] {
            let words = [command, &remote, &[element]].concat();
            let left = [true, false].map(|is_bourn| {
                let place = both.elsewhere();
                let ran = run(&place, is_bourn, &words);
                (outcome(&ran), known(&place), files(&place.bourn.project().join("out")))
            });
            assert_eq!(left[0], left[1], "bourn (left) and bst (right), {words:?}");
            assert_eq!(left[0].0.0, 0, "{words:?}");
        }
    }
}

/// Who says which servers there are, and which of them may be written to.
#[test]
fn servers_that_are_configured() {
    let Some((both, _upstream)) = project() else { return };
    let (own, other) = (storage_daemon(&both), storage_daemon(&both));
    let conf = std::fs::read_to_string(both.bourn.project().join("project.conf")).expect("the project");
    let cases = [
        // What the project says, what the user says, what is asked for.
        ("[{url: 'OWN', push: true}]", "", &["source", "push"][..]),
        ("[{url: 'OWN'}]", "", &["source", "push"]),
        ("{url: 'OWN', push: true}", "", &["source", "push", "--ignore-project-source-remotes"]),
        (
            "{url: 'OWN', push: true}",
            "source-caches: {servers: [{url: 'OTHER', push: true}]}",
            &["source", "push"],
        ),
        ("{url: 'OWN', push: true}", "source-caches: {servers: [{url: 'OTHER'}]}", &["source", "push"]),
        (
            "{url: 'OWN', push: true}",
            "source-caches: {override-project-caches: true, servers: [{url: 'OTHER', push: true}]}",
            &["source", "push"],
        ),
        (
            "{url: 'OWN', push: true}",
            "projects: {sourcing: {source-caches: {servers: [{url: 'OTHER', push: true}]}}}",
            &["source", "push"],
        ),
        (
            "{url: 'OWN', push: true}",
            "projects: {sourcing: {source-caches: {override-project-caches: true}}}",
            &["source", "push"],
        ),
        ("[]", "", &["source", "push", "--source-remote", "url=OTHER,push=false"]),
        ("[]", "", &["source", "push", "--source-remote", "url=OTHER,type=storage"]),
        (
            "[{url: 'OWN', push: true}]",
            "",
            &[
                "source",
                "push",
                "--source-remote",
                "url=OTHER,type=index",
                "--source-remote",
                "url=OWN,type=storage",
            ],
        ),
        (
            "[{url: 'OWN', push: true, type: index}]",
            "",
            &["build", "--source-remote", "url=OTHER,type=storage"],
        ),
        ("[{url: 'OWN', push: true}]", "", &["build"]),
        ("[{url: 'OWN'}]", "", &["build"]),
    ];
    let filled = |text: &str| text.replace("OWN", &own.url).replace("OTHER", &other.url);
    for (recommended, configured, command) in cases {
        let left = [true, false].map(|is_bourn| {
            let place = both.elsewhere();
            let text = format!("{conf}\nsource-caches: {}\n", filled(recommended));
            std::fs::write(place.bourn.project().join("project.conf"), text).expect("the project");
            place.bourn.configure(&format!("{}\n", filled(configured)));
            // New each time, so that nobody has it.
            let content = format!("{recommended} {configured} {command:?} {is_bourn}");
            std::fs::write(place.bourn.project().join("files/a"), content).expect("a file");
            let words: Vec<String> = command.iter().map(|word| filled(word)).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).chain(["local.bst"]).collect();
            let ran = run(&place, is_bourn, &words);
            (ran.status, moved(&ran))
        });
        assert_eq!(left[0], left[1], "bourn (left) and bst (right), {recommended} {configured} {command:?}");
    }
}

/// Tracking asks nobody but where sources come from; what it found is fetched from who has it.
#[test]
fn what_was_tracked_is_fetched() {
    let Some((both, _upstream)) = project() else { return };
    let element = both.bourn.project().join("repo.bst");
    let text = std::fs::read_to_string(&element).expect("an element");
    let (before, after) = text.split_once("  ref: ").expect("a ref");
    let after = after.split_once('\n').expect("a line").1;
    std::fs::write(&element, format!("{before}  track: main\n{after}")).expect("an element");
    let server = storage_daemon(&both);
    let left = [false, true, false].map(|is_bourn| {
        let place = both.elsewhere();
        let text = format!("source-caches: {{servers: [{{url: '{}', push: true}}]}}\n", server.url);
        place.bourn.configure(&text);
        let tracked = run(&place, is_bourn, &["source", "track", "repo.bst"]).success();
        assert!(!tracked.stderr.contains(&server.url), "{}", tracked.stderr);
        let found = std::fs::read_to_string(place.bourn.project().join("repo.bst")).expect("an element");
        let fetched = run(&place, is_bourn, &["source", "fetch", "repo.bst"]).success();
        let pushed = run(&place, is_bourn, &["source", "push", "repo.bst"]).success();
        (found, outcome(&fetched), outcome(&pushed), known(&place))
    });
    // The first one found a server without anything.
    assert_eq!(left[1], left[2], "bourn (left) and bst (right)");
}

/// Projects in projects: each junction comes from the servers of whoever has it.
#[test]
fn junctions_of_junctions() {
    let Some(both) = Both::new("") else { return };
    let (upper, lower) = (storage_daemon(&both), storage_daemon(&both));
    let upstream = both.bourn.path().join("upstream");
    let pack = |name: &str, fixture: &str| {
        bourn_testkit::fixture::write(&upstream.join(name), fixture);
        let packed = Command::new("tar")
            .current_dir(&upstream)
            .args(["--sort=name", "--mtime=@0", "-cf", &format!("{name}.tar"), name])
            .status();
        assert!(packed.expect("tar").success());
        let sum = Digest::of(&std::fs::read(upstream.join(format!("{name}.tar"))).expect("an archive")).hex();
        format!("- kind: tar\n  url: file://{}/{name}.tar\n  ref: {sum}\n", upstream.display())
    };
    let part = "=== part.bst\nkind: import\nsources:\n- kind: local\n  path: files\n=== files/a\na\n";
    let deep = pack("deep", &format!("=== project.conf\nname: deep\nmin-version: 2.0\n{part}"));
    let caches = |server: &Server| format!("source-caches: [{{url: '{}', push: true}}]\n", server.url);
    let middle = pack(
        "middle",
        &format!(
            "=== project.conf\nname: middle\nmin-version: 2.0\n{}=== deep.bst\nkind: junction\nsources:\n{deep}{part}",
            caches(&lower)
        ),
    );
    let fixture = format!(
        "=== project.conf\nname: top\nmin-version: 2.0\n{}=== middle.bst\nkind: junction\nsources:\n{middle}\
         === all.bst\nkind: stack\ndepends: ['middle.bst:part.bst', 'middle.bst:deep.bst:part.bst']\n",
        caches(&upper)
    );
    both.bourn.files(&fixture);
    for words in [
        &["source", "push", "middle.bst"][..],
        &["source", "push", "middle.bst:deep.bst"],
        &["source", "push", "--deps", "all", "all.bst"],
    ] {
        // bst fails where it has to fetch a junction first. The first one finds servers without anything.
        let [_, ours, theirs] = [false, true, false].map(|is_bourn| {
            let place = both.elsewhere();
            run(&place, is_bourn, &["show", "all.bst"]).success();
            run(&place, is_bourn, words).success()
        });
        let (ours, mut theirs) = (moved(&ours), moved(&theirs));
        // bst has something to say of the sources of elements that have none.
        theirs.retain(|(element, _)| element != "src-push:all.bst");
        assert_eq!(ours, theirs, "bourn (left) and bst (right), {words:?}");
    }
    for name in ["middle", "deep"] {
        std::fs::remove_file(upstream.join(format!("{name}.tar"))).expect("an archive");
    }
    let keys = ["show", "--deps", "all", "--format", "%{name} %{full-key}", "all.bst"];
    let only = |project: &str, servers: &str| {
        format!(
            "projects: {{{project}: {{source-caches: {{override-project-caches: true, servers: [{servers}]}}}}}}\n"
        )
    };
    let (of_upper, of_lower) = (format!("{{url: '{}'}}", upper.url), format!("{{url: '{}'}}", lower.url));
    for (configuration, is_there) in [
        (String::new(), true),
        (format!("source-caches: {{servers: [{of_upper}]}}\n"), true),
        ("source-caches: {override-project-caches: true}\n".to_owned(), false),
        (only("middle", &of_upper), true),
        (only("middle", ""), false),
        (only("top", &of_lower), false),
    ] {
        let [ours, theirs] = [true, false].map(|is_bourn| {
            let place = both.elsewhere();
            place.bourn.configure(&configuration);
            let ran = run(&place, is_bourn, &keys);
            (ran.status, ran.stdout)
        });
        assert_eq!(ours.0 == 0, is_there, "{configuration}");
        // bst asks nobody for the junction of a project below while it loads that.
        assert!(theirs.0 != 0 || ours == theirs, "{configuration}: {ours:?} {theirs:?}");
    }
}

/// With a storage behind the local cache, which has the blobs that the source cache gives names to.
#[test]
fn with_a_storage_behind_the_local_cache() {
    let Some((both, upstream)) = project() else { return };
    let elements = ["tar.bst", "queued.bst"];
    let configure = |place: &Both, storage: &Server, server: &Server| {
        place.bourn.configure(&format!(
            "cache: {{reserved-disk-space: 1M, storage-service: {{url: '{}'}}}}\n\
             source-caches: {{servers: [{{url: '{}', push: true}}]}}\n",
            storage.url, server.url
        ));
    };
    let pushed = [true, false].map(|is_bourn| {
        let (storage, server, place) = (storage_daemon(&both), storage_daemon(&both), both.elsewhere());
        configure(&place, &storage, &server);
        let ran = run(&place, is_bourn, &[&["source", "push"][..], &elements].concat()).success();
        (outcome(&ran), held(&place_of(&both, &server)).0, known(&place), storage, server)
    });
    assert_eq!(pushed[0].0, pushed[1].0, "bourn (left) and bst (right)");
    assert_eq!(pushed[0].1, pushed[1].1, "bourn (left) and bst (right)");
    assert_eq!(pushed[0].2, pushed[1].2, "bourn (left) and bst (right)");
    drop(upstream);
    for (.., storage, server) in &pushed {
        let fetched = [true, false].map(|is_bourn| {
            let place = both.elsewhere();
            configure(&place, storage, server);
            let ran = run(&place, is_bourn, &[&["source", "fetch"][..], &elements].concat()).success();
            let checkout = ["source", "checkout", "--directory", "out", "queued.bst"];
            run(&place, is_bourn, &checkout).success();
            // What is fetched need not be here afterwards.
            let warnings = ran.stderr.matches(" WARNING ").count();
            (outcome(&ran), warnings, known(&place), files(&place.bourn.project().join("out")))
        });
        assert_eq!(fetched[0], fetched[1], "bourn (left) and bst (right)");
        assert_eq!(fetched[0].1, 1);
    }
}
