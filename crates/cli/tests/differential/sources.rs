//! Sources that both programs track, fetch and stage, each in a home of its own, from the same server.

use crate::Both;
use crate::hosted::{hosted, python_ran};
use crate::mirror::staged;
use crate::registry::{Entry, Registry, index, layer};
use crate::server::{Said, Server};
use bourn_testkit::Ran;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// A server of files, by path.
pub(crate) fn serve(files: &[(&str, &[u8])]) -> Server {
    let files: HashMap<String, Vec<u8>> =
        files.iter().map(|(path, content)| (format!("/{path}"), content.to_vec())).collect();
    Server::start(move |_, asked| match files.get(&asked.path) {
        Some(content) => Said::range(asked, content),
        None => Said::status(404),
    })
}

/// What a program left after tracking, fetching and checking out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Left {
    /// The element, as tracking wrote it.
    element: String,
    keys: String,
    /// What is in the cache of sources: digests of staged trees.
    staged: BTreeMap<PathBuf, Vec<u8>>,
    tree: String,
    /// What git says about the tree, where it is a repository.
    repository: String,
}

fn left(both: &Both, run: &dyn Fn(&[&str]) -> Ran, track: bool) -> Left {
    if track {
        run(&["source", "track", "it.bst"]).success();
    }
    run(&["source", "fetch", "it.bst"]).success();
    let format = "%{name} %{full-key} %{state} %{source-info}";
    let keys = run(&["show", "--deps", "none", "--format", format, "it.bst"]).success().stdout;
    run(&["source", "checkout", "--directory", "out", "it.bst"]).success();
    let element = std::fs::read_to_string(both.bourn.project().join("it.bst")).expect("the element");
    // Where blank lines end up is a matter of editing in place, which has tests of its own.
    let element = element.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect();
    let out = both.bourn.project().join("out");
    let (tree, repository) = (tree(&out), described(&out));
    Left { element, keys, staged: staged(&both.bourn.cache()), tree, repository }
}

/// What is staged of repositories: where it is, what git says about it.
fn described(directory: &Path) -> String {
    let script = "find . -name .git | LC_ALL=C sort | while read -r found; do cd \"${found%/.git}\" && echo \"$found\" && \
                  git describe --tags --always --long --abbrev=40 && git rev-parse HEAD && \
                  { git status --porcelain 2>&1 || :; } && cd \"$OLDPWD\" || exit 1; done";
    let mut sh = std::process::Command::new("sh");
    sh.args(["-c", script]).current_dir(directory);
    sh.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let output = sh.output().expect("git");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All there is below a directory: paths, kinds, what may be executed, links and sums. How git keeps its objects is its
/// own affair.
fn tree(directory: &Path) -> String {
    let script = "f() { find . -name .git -prune -o \"$@\"; }; f -printf '%p %y %l\\n' | LC_ALL=C sort; \
                  f -type f -perm -u+x -print | LC_ALL=C sort; \
                  f -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum";
    let output = std::process::Command::new("sh").args(["-c", script]).current_dir(directory).output();
    String::from_utf8_lossy(&output.expect("find and sort").stdout).into_owned()
}

/// Checks that both programs write the same ref, and stage the same tree, and that bourn does so too where Python runs
/// the same plugins. Answers the tree and the element.
#[track_caller]
pub(crate) fn same_sources(project: &str, track: bool) -> Option<(String, String)> {
    let (ours, theirs, python) = (Both::new(project)?, Both::new(project)?, hosted(project, "sources")?);
    copy_plugins(&python);
    let (found, expect) = same_two(&ours, &theirs, track);
    let hosted = left(&python, &|arguments| python.bourn(arguments), track);
    same_left(hosted, expect, "bourn through Python (left) and bst (right)");
    python_ran(&python);
    Some((found.tree, found.element))
}

/// Checks that bourn leaves the same where the kind is built in and where Python runs the plugin.
#[track_caller]
pub(crate) fn same_hosted(native: &Both, python: &Both, track: bool) -> (String, String) {
    let expect = left(native, &|arguments| native.bourn(arguments), track);
    let found = left(python, &|arguments| python.bourn(arguments), track);
    same_left(found, expect.clone(), "through Python (left) and built in (right)");
    python_ran(python);
    (expect.tree, expect.element)
}

/// The same without Python.
#[track_caller]
pub(crate) fn same_built_in(project: &str, track: bool) -> Option<(String, String)> {
    let (ours, theirs) = (Both::new(project)?, Both::new(project)?);
    Some(same_in(&ours, &theirs, track))
}

/// The same in two homes that are there already.
#[track_caller]
pub(crate) fn same_in(ours: &Both, theirs: &Both, track: bool) -> (String, String) {
    let (found, _) = same_two(ours, theirs, track);
    (found.tree, found.element)
}

/// What both left, compared.
#[track_caller]
fn same_two(ours: &Both, theirs: &Both, track: bool) -> (Left, Left) {
    [ours, theirs].into_iter().for_each(copy_plugins);
    let found = left(ours, &|arguments| ours.bourn(arguments), track);
    let expect = left(theirs, &|arguments| theirs.bst(arguments), track);
    same_left(found.clone(), expect.clone(), "bourn (left) and bst (right)");
    (found, expect)
}

#[track_caller]
fn same_left(mut found: Left, mut expect: Left, who: &str) {
    assert!(!found.staged.is_empty());
    if !found.repository.is_empty() {
        // The reference stages an index with times in it, and so another digest each time.
        assert!(found.staged.keys().eq(expect.staged.keys()), "{who}: {found:?} {expect:?}");
        (found.staged, expect.staged) = Default::default();
    }
    assert_eq!(found, expect, "{who}");
}

/// Copies the community's plugins into a project that has a place for them: some are not registered under a name.
pub(crate) fn copy_plugins(both: &Both) {
    let plugins = both.bourn.project().join("plugins");
    if !plugins.is_dir() {
        return;
    }
    let library = both.bst.parent().and_then(Path::parent).expect("an environment").join("lib");
    let python =
        library.read_dir().expect("a library").next().expect("a Python").expect("a directory").path();
    let package = python.join("site-packages/buildstream_plugins_community/sources");
    for entry in package.read_dir().expect("the plugins").flatten() {
        if entry.path().is_file() {
            std::fs::copy(entry.path(), plugins.join(entry.file_name())).expect("a plugin");
        }
    }
}

/// A project with one element that imports one kind from a package of plugins.
pub(crate) fn project(package: &str, kind: &str, url: &str, sources: &str) -> String {
    format!(
        "
=== project.conf
name: sources
min-version: 2.5
aliases:
  up: {url}
plugins:
- origin: pip
  package-name: {package}
  sources: [{kind}]
=== it.bst
kind: import
sources:
{sources}"
    )
}

pub(crate) const TAR: &[u8] = include_bytes!("../../../sources/tests/sources/packages/foo-1.0.tar.gz");

#[test]
fn debian_packages() {
    let mut package = b"!<arch>\n".to_vec();
    for (name, content) in [("debian-binary", b"2.0\n".as_slice()), ("data.tar.gz", TAR)] {
        package.extend(format!("{name:<16}0           0     0     100644  {:<10}`\n", content.len()).bytes());
        package.extend_from_slice(content);
        package.resize(package.len().next_multiple_of(2), b'\n');
    }
    let server = serve(&[("foo.deb", &package)]);
    for base_dir in ["base-dir: ''", "base-dir: '*'", "base-dir: foo*"] {
        let source = format!("- kind: deb\n  url: up:foo.deb\n  {base_dir}\n");
        let text = project("buildstream-plugins-community", "deb", &server.url(""), &source);
        let Some((_, element)) = same_sources(&text, true) else { return };
        assert!(element.contains("ref: "), "{element}");
    }
}

/// A git repository with these files, as [`bourn_testkit::fixture`] writes them; its commit.
pub(crate) fn repository(directory: &Path, files: &str, tags: &[&str]) -> String {
    bourn_testkit::fixture::write(directory, files);
    let git = |arguments: &[&str]| {
        let mut git = std::process::Command::new("git");
        git.current_dir(directory).args(["-c", "user.name=a", "-c", "user.email=b"]).args(arguments);
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        let output = git.output().expect("git");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "all", "--date", "2020-01-01T00:00:00Z"]);
    tags.iter().for_each(|tag| drop(git(&["tag", tag])));
    git(&["rev-parse", "HEAD"])
}

/// Git's own server for the repositories of a directory: the reference fetches single commits from no other place.
pub(crate) struct GitServer {
    child: std::process::Child,
    address: std::net::SocketAddr,
}

impl GitServer {
    pub(crate) fn start(directory: &Path) -> GitServer {
        let address = bourn_testkit::loopback::address();
        let mut git = std::process::Command::new("git");
        git.args(["daemon", "--export-all", "--reuseaddr"]).arg(format!("--listen={}", address.ip()));
        git.arg(format!("--port={}", address.port())).arg(format!("--base-path={}", directory.display()));
        let child = git.stderr(std::process::Stdio::null()).spawn().expect("git daemon");
        let server = GitServer { child, address };
        for _ in 0..600 {
            if std::net::TcpStream::connect(address).is_ok() {
                return server;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("git daemon does not answer");
    }

    pub(crate) fn url(&self) -> String {
        format!("git://{}/", self.address)
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        // The program `git` has started the server itself as a child; it ends with a signal that is passed on.
        let _ = std::process::Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

const WORKSPACE: &str = r#"
=== Cargo.toml
[workspace]
members = ["crates/*", "tool"]
[workspace.package]
edition = "2021"
authors = ["A <a@b>"]
[workspace.dependencies]
foo = "1"
bar = { version = "2", features = ["x"], default-features = false }
inner = { path = "inner" }
[workspace.lints.rust]
unsafe_code = "deny"
=== crates/one/Cargo.toml
[package]
name = "one"
version = "1.0.0"
edition.workspace = true
authors = { workspace = true }
description = "A \"crate\"\twith é"
[lints]
workspace = true
[dependencies]
foo.workspace = true
bar = { workspace = true, features = ["y"] }
other = { path = "../../hidden/other", version = "1.5" }
[[bin]]
name = "a"
path = "src/main.rs"
[[bin]]
name = "b"
path = "src/main.rs"
[target.'cfg(unix)'.dependencies]
foo = { workspace = true, optional = true }
[package.metadata.docs.rs]
rate = 1.5e-7
when = 2020-01-01T00:00:00Z
=== crates/one/src/main.rs
fn main() {}
=== tool/Cargo.toml
package = { name = "tool", version = "0.1.0" }
=== hidden/other/Cargo.toml
[package]
name = "other"
version = "1.5.0"
edition.workspace = true
=== hidden/other/lib.rs
"#;

const CRATES: &str = "
version = 3
[[package]]
name = 'app'
version = '0.1.0'
[[package]]
name = 'foo'
version = '1.0'
source = 'registry+https://index.example/x'
checksum = 'SUM'
[[package]]
name = 'tool'
version = '0.1.0'
source = 'git+file://REPO?branch=main#COMMIT'
[[package]]
name = 'other'
version = '1.5.0'
source = 'git+file://REPO?rev=a%20b&x=#COMMIT'
[[package]]
name = 'one'
version = '1.0.0'
source = 'git+file://REPO#COMMIT'
";

#[test]
fn crates_of_registries_and_repositories() {
    let upstream = tempfile::tempdir().expect("a temporary directory");
    let commit = repository(&upstream.path().join("repo"), WORKSPACE, &[]);
    let sum = bourn_reapi::Digest::of(TAR).hex();
    let server = serve(&[("foo/foo-1.0.crate", TAR)]);
    let lock = CRATES.replace("REPO", &upstream.path().join("repo").display().to_string());
    let lock = lock.replace("COMMIT", &commit).replace("SUM", &sum);
    for (lock, mirrors) in [
        (lock.clone(), String::new()),
        (
            lock.replace("checksum", "# "),
            format!("  git-mirrors:\n    file://{}/: 'repos:'\n", upstream.path().display()),
        ),
        ("package = []".to_owned(), String::new()),
    ] {
        let source = format!(
            "- kind: local\n  path: lock\n- kind: cargo2\n  url: 'up:'\n{mirrors}=== lock/Cargo.lock\n{lock}"
        );
        let aliases = format!("{}\n  repos: file://{}/", server.url(""), upstream.path().display());
        let text = project("buildstream-plugins-community", "cargo2", &aliases, &source);
        if same_sources(&text, true).is_none() {
            return;
        }
    }
}

const MODULES: &str = "
=== go.mod
module github.com/o/one

go 1.19
=== one.go
package one
=== one_test.go
package one
=== empty/README
no package
=== sub/deep/x.go
package deep
=== sub/go.mod
module github.com/o/one/sub
=== part/part.go
package part
=== part/go.mod
module github.com/o/one/part
go 1.20
=== v2/go.mod
module github.com/o/one/v2
=== v2/two.go
package one
";

const GO_PROJECT: &str = "
=== app/go.mod
module example.org/app

go 1.21
require (
\tgithub.com/o/one v1.0.0
\tgithub.com/o/one/v2 v2.1.0
\tgithub.com/o/one/part v0.2.0 // indirect
)
replace github.com/o/old v1.0.0 => github.com/o/pseudo PSEUDO
require github.com/o/old v1.0.0
=== app/go.sum
github.com/o/one v1.0.0/go.mod h1:x=
github.com/o/one v1.0.0 h1:x=
github.com/o/one/v2 v2.1.0 h1:x=
github.com/o/one/part v0.2.0 h1:x=
github.com/o/pseudo PSEUDO h1:x=
";

#[test]
fn modules_of_go() {
    let upstream = tempfile::tempdir().expect("a temporary directory");
    let one = upstream.path().join("one");
    let commit = repository(&one, MODULES, &["v1.0.0", "v2.1.0", "part/v0.2.0"]);
    let module = |name: &str, url: &str| {
        format!("- kind: go_module\n  url: up:{url}\n  module: github.com/o/{name}\n")
    };
    let server = GitServer::start(upstream.path());
    let url = server.url();
    let files = GO_PROJECT.replace("PSEUDO", &format!("v0.0.0-20200101000000-{}", &commit[..12]));
    for modules in [
        [module("one", "one"), module("one/part", "one")].concat(),
        [module("one/v2", "one"), module("pseudo", "one")].concat(),
    ] {
        let source = format!("- kind: local\n  path: app\n{modules}{files}");
        let text = project("buildstream-plugins-community", "go_module", &url, &source);
        let pip = "- origin: pip\n  package-name: buildstream-plugins-community\n";
        let text = text.replace(pip, "- origin: local\n  path: plugins\n");
        let text =
            format!("{text}=== plugins/PKG-INFO\nName: buildstream-plugins-community\nVersion: 2.4.0\n");
        let Some((tree, _)) = same_sources(&text, true) else { return };
        assert!(tree.contains("vendor/modules.txt"), "{tree}");
    }
}

#[test]
fn images_of_a_registry() {
    let below = layer(&[
        Entry::Directory("etc/"),
        Entry::File("etc/old", "1"),
        Entry::File("etc/kept", "2"),
        Entry::File("bin/tool", "3"),
        Entry::Link("bin/same", "bin/tool"),
        Entry::File("gone/deep/file", "4"),
        Entry::Directory("gone/"),
        Entry::File("opaque/x/y", "5"),
        Entry::File("dev/z", "6"),
        Entry::Symlink("lib", "usr/lib"),
        Entry::Directory("empty/"),
    ]);
    let above = layer(&[
        Entry::File("etc/.wh.old", ""),
        Entry::File(".wh.gone", ""),
        Entry::File("opaque/.wh..wh..opq", ""),
        Entry::File("opaque/new", "7"),
        Entry::File("etc/kept", "8"),
        Entry::Symlink("bin/tool", "/elsewhere"),
    ]);
    let mut registry = Registry::with_token("secret");
    let both = registry.image("a/b", &["old"], &[below.clone(), above]);
    let other = registry.image("a/b", &[], &[below]);
    registry.index("a/b", "latest", &[("arm64", other), ("amd64", both)]);
    let server = registry.serve();
    for image in [
        "registry-url: 'up:'\n  image: a/b\n  track: latest\n  architecture: amd64",
        "registry-url: 'up:'\n  image: a/b\n  track: latest\n  architecture: arm64",
        "url: up:a/b\n  track: old\n  version: '1'",
    ] {
        let source = format!("- kind: docker\n  {image}\n");
        let text = project("buildstream-plugins", "docker", &server.url(""), &source);
        let Some((_, element)) = same_sources(&text, true) else { return };
        assert!(element.contains("ref: "), "{element}");
    }
}

#[test]
fn files_for_bazel() {
    let server = serve(&[("file", TAR)]);
    let source = "- kind: bazel_file\n  url: up:file\n  canonical-ids: ['https://x/é', b]\n";
    let text = project("buildstream-plugins-community", "bazel_file", &server.url(""), source);
    let Some((tree, _)) = same_sources(&text, true) else { return };
    assert!(tree.contains("info.txt"), "{tree}");
    let text = project(
        "buildstream-plugins-community",
        "bazel_file",
        &server.url(""),
        &source.replace("up:", &server.url("")),
    );
    same_sources(&text, true);
}

#[test]
fn packages_that_pip_downloads() {
    let server = index();
    let source = "- kind: local\n  path: app\n- kind: pip\n  url: up:simple/\n  requirements-files: [r.txt]\n=== app/r.txt\none\n";
    let text = project("buildstream-plugins", "pip", &server.url(""), source);
    let Some((tree, element)) = same_sources(&text, true) else { return };
    assert!(tree.contains(".bst_pip_downloads/two-1.0.tar.gz"), "{tree}");
    assert!(element.contains("one==1.0"), "{element}");
}
