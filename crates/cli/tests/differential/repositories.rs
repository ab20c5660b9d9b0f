//! Kinds that fetch from repositories of version control: the same refs and trees by both, from the same servers.

use crate::Both;
use crate::mirror::git;
use crate::smart::SmartServer;
use crate::sources::{GitServer, project, same_built_in, same_in, same_sources};
use std::path::{Path, PathBuf};
use std::process::Command;

const COMMUNITY: &str = "buildstream-plugins-community";
const PLUGINS: &str = "buildstream-plugins";

/// Repositories `one`, which has `two` as a submodule at `sub` and names it by its URL on the server.
struct Upstream {
    directory: tempfile::TempDir,
    server: GitServer,
}

impl Upstream {
    fn new() -> Upstream {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let server = GitServer::start(directory.path());
        let upstream = Upstream { directory, server };
        upstream.commit("two", "inner", "inner");
        upstream.commit("one", "a", "first");
        upstream.commit("one", "d/run", "second");
        Command::new("chmod").arg("+x").arg(upstream.path("one").join("d/run")).status().expect("chmod");
        std::os::unix::fs::symlink("../a", upstream.path("one").join("d/link")).expect("a link");
        upstream.commit("one", "d/with space", "third");
        git(&upstream.path("one"), &["tag", "-a", "-m", "A release", "v1.0"]);
        git(&upstream.path("one"), &["tag", "light"]);
        upstream.commit("one", "b", "fourth");
        let url = format!("{}two", upstream.server.url());
        git(&upstream.path("one"), &["submodule", "--quiet", "add", &url, "sub"]);
        git(&upstream.path("one"), &["commit", "-q", "-m", "with a submodule"]);
        upstream
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Commits a file; the commit.
    fn commit(&self, name: &str, file: &str, content: &str) -> String {
        let repository = self.path(name);
        let path = repository.join(file);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
        std::fs::write(path, content).expect("a file");
        if !repository.join(".git").exists() {
            git(&repository, &["init", "-q"]);
            git(&repository, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
        }
        git(&repository, &["add", "-A"]);
        git(&repository, &["commit", "-q", "-m", content]);
        self.head(name)
    }

    fn head(&self, name: &str) -> String {
        git(&self.path(name), &["rev-parse", "HEAD"])
    }

    /// Has both track, fetch and stage each of these; the trees and elements. The first is done through Python too.
    #[track_caller]
    fn check(&self, package: &str, kind: &str, sources: &[&str]) -> Vec<(String, String)> {
        let text = |source: &str| {
            let source = format!("- kind: {kind}\n  url: up:one\n  {}\n", source.replace("; ", "\n  "));
            project(package, kind, &self.server.url(), &source)
        };
        let first = same_sources(&text(sources[0]), true);
        first
            .into_iter()
            .chain(sources[1..].iter().map_while(|source| same_built_in(&text(source), true)))
            .collect()
    }
}

#[test]
fn git_repo() {
    let upstream = Upstream::new();
    let sources = [
        "track: main",
        "track: main; ref-format: git-describe",
        "track: refs/tags/v*",
        "track: refs/tags/*; exclude: [v*]; ref-format: git-describe",
    ];
    for (tree, _) in upstream.check(COMMUNITY, "git_repo", &sources) {
        assert!(tree.contains("./it/d/link l ../a") && tree.contains("with space"), "{tree}");
    }
}

const MODULE: &str = "submodules: {sub: {url: 'up:two'}}";

#[test]
fn git_tag() {
    let upstream = Upstream::new();
    let sources = [
        &*format!("track: main; {MODULE}"),
        "track: main; track-tags: true",
        "track: main; track-extra: [main]; match: [v*]; checkout-submodules: false",
        &*format!("track: main; full-clone: true; {MODULE}"),
    ];
    for (tree, element) in upstream.check(COMMUNITY, "git_tag", &sources) {
        assert!(element.contains("-g") && tree.contains("./it/a f"), "{element}{tree}");
    }
}

#[test]
fn git_of_the_plugins() {
    let upstream = Upstream::new();
    let sources = [
        "track: main",
        &*format!("track: main; ref-format: git-describe; {MODULE}"),
        "track: main; checkout-submodules: false",
        "track: main; track-tags: true",
        "track: light; version: '3'",
    ];
    for (tree, _) in upstream.check(PLUGINS, "git", &sources) {
        assert!(tree.contains("./it/a f"), "{tree}");
    }
}

/// Submodules of submodules, named by their URLs, by an alias, or not wanted.
#[test]
fn submodules_of_submodules() {
    let upstream = Upstream::new();
    upstream.commit("three", "deep/file", "deep");
    upstream.commit("four", "unwanted", "unwanted");
    let add = |name: &str, path: &str, sub: &str| {
        let url = format!("{}{sub}", upstream.server.url());
        git(&upstream.path(name), &["submodule", "--quiet", "add", &url, path]);
        git(&upstream.path(name), &["commit", "-q", "-m", path]);
    };
    upstream.commit("outer", "a", "outer");
    add("two", "third", "three");
    add("outer", "second", "two");
    add("outer", "fourth", "four");
    let sources = [
        "track: main; submodules: {fourth: {url: 'up:four', checkout: false}}",
        "track: main; checkout-submodules: false; submodules: {second: {url: 'up:two', checkout: true}}",
    ];
    for source in sources {
        let source = source.replace("; ", "\n  ");
        let source = format!("- kind: git\n  url: up:outer\n  {source}\n");
        let text = project(PLUGINS, "git", &upstream.server.url(), &source);
        let Some((tree, _)) = same_built_in(&text, true) else { return };
        assert!(tree.contains("./it/second/inner f") && !tree.contains("unwanted"), "{tree}");
    }
}

/// An element that imports a repository has the `.git` in its artifact where the kind stages one, with both: one cache
/// serves both, and whoever builds on it may ask `git describe`.
#[test]
fn imported_repositories() {
    let upstream = Upstream::new();
    for (package, kind, has_git) in
        [(COMMUNITY, "git_repo", true), (COMMUNITY, "git_tag", true), (PLUGINS, "git", false)]
    {
        let source = format!("- kind: {kind}\n  url: up:two\n  track: main\n");
        let text = project(package, kind, &upstream.server.url(), &source);
        let (Some(ours), Some(theirs)) = (Both::new(&text), Both::new(&text)) else { return };
        let build = ["build", "--ignore-project-source-remotes", "it.bst"];
        let list = ["artifact", "list-contents", "it.bst"];
        let mut contents = Vec::new();
        for (one, bst) in [(&ours, false), (&theirs, true)] {
            let run = |words: &[&str]| if bst { one.bst(words) } else { one.bourn(words) }.success().stdout;
            run(&["source", "track", "it.bst"]);
            run(&build);
            let listed = run(&list);
            let (git, files): (Vec<&str>, Vec<&str>) = listed.lines().partition(|line| line.contains(".git"));
            assert_eq!(!git.is_empty(), has_git, "{kind}: {listed}");
            let has = |name: &str| git.iter().any(|line| line.trim() == name);
            assert!(!has_git || has(".git/HEAD") && has(".git/shallow") | has(".git/objects"), "{listed}");
            contents.push(files.join("\n"));
        }
        assert_eq!(contents[0], contents[1], "{kind}: bourn (left) and bst (right)");
        // What either built the other takes: the key comes from the ref.
        let shown = ["show", "--format", "%{full-key} %{state}", "it.bst"];
        assert_eq!(ours.bourn(&shown).success().stdout, ours.bst(&shown).success().stdout);
        assert_eq!(theirs.bourn(&shown).success().stdout, theirs.bst(&shown).success().stdout);
    }
}

/// Over HTTP, from a server that wants to know who asks; the reference's `git_repo` says so over TLS only.
#[test]
fn over_http() {
    let upstream = Upstream::new();
    let place = upstream.directory.path();
    let (open, closed) =
        (SmartServer::start(place, None), SmartServer::start(place, Some("cmVhZGVyOmh1c2gtMTIzNA==")));
    for (package, kind, server) in
        [(COMMUNITY, "git_repo", &open), (COMMUNITY, "git_tag", &closed), (PLUGINS, "git", &closed)]
    {
        let source = format!("- kind: {kind}\n  url: up:two\n  track: main\n");
        let text = project(package, kind, &format!("http://{}/", server.host()), &source);
        let (Some(ours), Some(theirs)) = (Both::new(&text), Both::new(&text)) else { return };
        for one in [&ours, &theirs] {
            let netrc = "machine 127.0.0.1 login reader password hush-1234\n";
            std::fs::write(one.bourn.home().join(".netrc"), netrc).expect("a file");
        }
        let (tree, _) = same_in(&ours, &theirs, true);
        assert!(tree.contains("./it/inner f") && server.served() > 0, "{tree}");
    }
}

/// The reference asks `git submodule` for the ref, in what the source before it staged.
#[test]
fn git_module() {
    let upstream = Upstream::new();
    let url = upstream.server.url();
    let source = format!(
        "- kind: git_repo\n  url: up:one\n  ref: {}\n- kind: git_module\n  url: up:two\n  path: sub\n",
        upstream.head("one")
    );
    let text = project(COMMUNITY, "git_repo, git_module", &url, &source);
    let Some((tree, element)) = same_sources(&text, true) else { return };
    assert!(element.contains(&upstream.head("two")) && tree.contains("./it/sub/inner f"), "{element}{tree}");
}

/// Runs a tool that `cargo xtask test` installs; what it says.
#[track_caller]
fn run(directory: &Path, line: &[&str]) -> String {
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).current_dir(directory).env("BZR_EMAIL", "A <a@example.org>");
    let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", line[0]));
    assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn bazaar() {
    let upstream = tempfile::tempdir().expect("a temporary directory");
    let trunk = upstream.path().join("repository/trunk");
    std::fs::create_dir_all(trunk.join("below")).expect("directories");
    std::fs::write(trunk.join("below/run"), "1").expect("a file");
    run(&trunk, &["chmod", "+x", "below/run"]);
    std::os::unix::fs::symlink("below/run", trunk.join("link")).expect("a link");
    run(&trunk, &["brz", "init", "-q"]);
    for revision in ["one", "two"] {
        std::fs::write(trunk.join(revision), revision).expect("a file");
        run(&trunk, &["brz", "add", "-q"]);
        run(&trunk, &["brz", "commit", "-q", "-m", revision]);
    }
    let url = format!("file://{}/", upstream.path().display());
    for (more, track) in [("", true), ("  ref: '1'\n  version: '1.2'\n", false)] {
        let source = format!("- kind: bzr\n  url: up:repository\n  track: trunk\n{more}");
        // The environment that the plugins of the host find Python in is not that of Breezy.
        let Some((tree, _)) = same_built_in(&project(PLUGINS, "bzr", &url, &source), track) else { return };
        assert_eq!(tree.contains("./it/two f"), track, "{tree}");
        assert!(tree.contains("./it/link l below/run"), "{tree}");
    }
}

/// Two keys of GnuPG, for tests that sign; their agent ends with them.
struct Keys {
    home: tempfile::TempDir,
}

impl Keys {
    fn new() -> Keys {
        let keys = Keys { home: tempfile::tempdir().expect("a temporary directory") };
        for name in ["wanted", "other"] {
            let make =
                ["--batch", "--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "never"];
            keys.gpg(&make);
            keys.gpg(&["--batch", "--output", &format!("{name}.gpg"), "--export", name]);
        }
        keys
    }

    fn gpg(&self, words: &[&str]) {
        let home = self.home.path().display().to_string();
        run(self.home.path(), &[&["gpg", "--quiet", "--homedir", &home], words].concat());
    }

    /// The name that OSTree knows the key by.
    fn id(&self, name: &str) -> String {
        let home = self.home.path().display().to_string();
        let list = ["gpg", "--homedir", &home, "--with-colons", "--list-keys", name];
        let list = run(self.home.path(), &list);
        let key = list.lines().find(|line| line.starts_with("pub:")).and_then(|line| line.split(':').nth(4));
        key.expect("the id of the key").to_owned()
    }

    /// The public key.
    fn public(&self, name: &str) -> PathBuf {
        self.home.path().join(format!("{name}.gpg"))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let mut end = Command::new("gpgconf");
        let _ = end.arg("--homedir").arg(self.home.path()).args(["--kill", "all"]).status();
    }
}

/// A repository of OSTree: branch `main` without a signature, `signed` with one.
fn ostree_repository(directory: &Path, keys: &Keys) -> [String; 2] {
    let files = directory.join("files");
    std::fs::create_dir_all(files.join("usr/empty")).expect("directories");
    std::fs::write(files.join("usr/run"), "1").expect("a file");
    run(&files, &["chmod", "+x", "usr/run"]);
    std::os::unix::fs::symlink("usr/run", files.join("link")).expect("a link");
    run(directory, &["ostree", "init", "--repo=repo", "--mode=archive-z2"]);
    let commit =
        ["ostree", "commit", "--repo=repo", "--owner-uid=0", "--owner-gid=0", "--no-xattrs", "--branch"];
    let unsigned = run(directory, &[&commit[..], &["main", "files"]].concat());
    std::fs::write(files.join("newer"), "2").expect("a file");
    let home = format!("--gpg-homedir={}", keys.home.path().display());
    let sign = format!("--gpg-sign={}", keys.id("wanted"));
    let signed = run(directory, &[&commit[..], &["signed", &sign, &home, "files"]].concat());
    [unsigned, signed]
}

/// A project whose source is a branch of that repository; with the key in a file `key.gpg` where there is one.
fn ostree_project(directory: &Path, source: &str, key: Option<PathBuf>) -> Option<[Both; 2]> {
    let url = format!("file://{}/", directory.display());
    let option = key.as_ref().map_or("", |_| "  gpg-key: key.gpg\n");
    let text =
        project(COMMUNITY, "ostree", &url, &format!("- kind: ostree\n  url: up:repo\n{source}{option}"));
    let both = [Both::new(&text)?, Both::new(&text)?];
    for one in &both {
        if let Some(key) = &key {
            std::fs::copy(key, one.bourn.project().join("key.gpg")).expect("the key");
        }
    }
    Some(both)
}

#[test]
fn ostree() {
    let upstream = tempfile::tempdir().expect("a temporary directory");
    let keys = Keys::new();
    let [unsigned, signed] = ostree_repository(upstream.path(), &keys);
    for (source, track, key, commit) in [
        ("  track: main\n".to_owned(), true, None, &unsigned),
        (format!("  ref: {unsigned}\n"), false, None, &unsigned),
        ("  track: signed\n".to_owned(), true, Some(keys.public("wanted")), &signed),
        (format!("  ref: {signed}\n"), false, Some(keys.public("wanted")), &signed),
    ] {
        let Some([ours, theirs]) = ostree_project(upstream.path(), &source, key) else { return };
        let (tree, element) = same_in(&ours, &theirs, track);
        assert!(element.contains(commit) && tree.contains("./it/usr/empty d"), "{element}{tree}");
    }
}

/// Where a key is given, both refuse what is not signed, and what is signed with another key.
#[test]
fn signatures_of_ostree() {
    let upstream = tempfile::tempdir().expect("a temporary directory");
    let keys = Keys::new();
    let [unsigned, signed] = ostree_repository(upstream.path(), &keys);
    for (commit, key) in [(&unsigned, "wanted"), (&signed, "other")] {
        let source = format!("  ref: {commit}\n");
        let Some(both) = ostree_project(upstream.path(), &source, Some(keys.public(key))) else { return };
        for (one, ran) in [(&both[0], both[0].bourn(&FETCH)), (&both[1], both[1].bst(&FETCH))] {
            ran.failure(255, "Failed to fetch");
            // Nothing of it is taken for fetched later.
            let state = one.bourn(&["show", "--format", "%{state}", "it.bst"]).success().stdout;
            assert_eq!(state.trim(), "fetch needed", "{commit} {key}");
        }
        let ran = both[0].bourn(&FETCH);
        assert!(ran.stderr.to_lowercase().contains("signature"), "{}", ran.stderr);
    }
}

const FETCH: [&str; 3] = ["source", "fetch", "it.bst"];
