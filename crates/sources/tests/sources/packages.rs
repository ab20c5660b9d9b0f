//! Kinds that stage released archives, against what the reference made of the same files.

use crate::fixture::Fixture;
use crate::registry::index;
use crate::server::Server;
use bourn_reapi::{Cas, Digest};
use bourn_testkit::memory::MemoryStore;

const TAR: &[u8] = include_bytes!("packages/foo-1.0.tar.gz");
const ZIP: &[u8] = include_bytes!("packages/foo.zip");

/// Fetches and stages a source whose alias `up` is a server with one file; the digest.
fn staged(text: &str, content: &'static [u8]) -> (Digest, std::sync::Arc<MemoryStore>) {
    let server = Server::with_file(content);
    let fixture = Fixture::new(&format!("aliases:\n  up: {}\n", server.url("")));
    let source = fixture.source(&text.replace("SUM", &Digest::of(content).hex())).expect("a source");
    let store = MemoryStore::new();
    let digest = fixture.with_context(&*store, None, |context| {
        source.fetch(context).expect("fetched");
        assert!(source.is_fetched(context.source_directory).expect("known"));
        source.stage(context).expect("staged")
    });
    assert!(store.contains_tree(&digest).expect("a store"));
    (digest, store)
}

#[track_caller]
fn check(text: &str, content: &'static [u8], expect: &str) {
    assert_eq!(staged(text, content).0.hex(), expect);
}

#[test]
fn python_packages() {
    check(
        "kind: pypi\nname: foo\nurl: 'up:'\nref:\n  suffix: foo-1.0.tar.gz\n  sha256sum: SUM\n",
        TAR,
        "966ec87bc5bb6e05f6bae059f4957bb1503929500a6b110a66f0c61bf8f6c600",
    );
}

#[test]
fn perl_packages() {
    check(
        "kind: cpan\nname: Foo\nindex: 'up:'\nsuffix: foo.zip\nsha256sum: SUM\n",
        ZIP,
        "cf2cdce170f247d18a449fbd8f0a0a766724f0720b1949b4e22deac25f54d8fb",
    );
}

#[test]
fn a_source_without_a_ref_says_so() {
    let fixture = Fixture::new("aliases:\n  up: http://localhost:1/\n");
    let source = fixture.source("kind: pypi\nname: foo\nurl: 'up:'\n").expect("a source");
    let store = MemoryStore::new();
    let error = fixture.with_context(&*store, None, |context| source.fetch(context)).expect_err("an error");
    assert!(error.message.contains("has no ref"), "{error}");
}

#[test]
fn crates() {
    let fixture = Fixture::new("aliases:\n  up: http://127.0.0.1:9778/\n");
    let sum = Digest::of(TAR).hex();
    // Kept where the reference keeps it.
    fixture.write(&format!("sources/cargo/up_/foo/1.0/{sum}"), TAR);
    let text = format!("kind: cargo\nurl: 'up:'\nref:\n- name: foo\n  version: '1.0'\n  sha: {sum}\n");
    let source = fixture.source(&text).expect("a source");
    let store = MemoryStore::new();
    let digest = fixture.with_context(&*store, None, |context| source.stage(context)).expect("staged");
    assert_eq!(digest.hex(), "a9a56033aee52ee354878427386fb3acdd7382c74c69044d7e784f463e41779b");
}

/// A Debian package with a file and a link to it.
fn deb(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        bytes.extend(format!("{name:<16}0           0     0     100644  {:<10}`\n", content.len()).bytes());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    bytes
}

/// What came of staging a package, by its base directory.
fn deb_staged(package: Vec<u8>, base_dir: &str) -> Result<Digest, String> {
    let sum = Digest::of(&package).hex();
    let server = Server::with_file(package);
    let fixture = Fixture::new(&format!("aliases:\n  up: {}\n", server.url("")));
    let text = format!("kind: deb\nurl: up:foo.deb\nref: {sum}\nbase-dir: '{base_dir}'\n");
    let source = fixture.source(&text).expect("a source");
    let store = MemoryStore::new();
    let staged = fixture
        .with_context(&*store, None, |context| source.fetch(context).and_then(|()| source.stage(context)));
    staged.map_err(|error| error.to_string())
}

#[test]
fn debian_packages() {
    let package =
        deb(&[("debian-binary", b"2.0\n"), ("control.tar.gz/", b"no matter"), ("data.tar.gz/", TAR)]);
    let whole = deb_staged(package.clone(), "").expect("staged");
    let inner = deb_staged(package, "foo*").expect("staged");
    // The same archive as a package of Python's, which is staged without its top.
    assert_eq!(inner.hex(), "966ec87bc5bb6e05f6bae059f4957bb1503929500a6b110a66f0c61bf8f6c600");
    assert_ne!(whole, inner);
}

#[test]
fn broken_debian_packages_are_refused() {
    let good = deb(&[("debian-binary", b"2.0\n"), ("data.tar.gz/", TAR)]);
    let cut = good[..good.len() - 40].to_vec();
    for (package, base_dir, expect) in [
        (TAR.to_vec(), "", "this is no package"),
        (deb(&[("debian-binary", b"2.0\n")]), "", "no member `data.tar`"),
        (deb(&[("data.tar", &[b'x'; 2000])]), "", "no tar archive"),
        (cut, "", "cut short"),
        (good, "nowhere", "Could not find base directory"),
    ] {
        let error = deb_staged(package, base_dir).expect_err("an error");
        assert!(error.contains(expect), "{error}");
    }
}

/// Tracks a source after a directory of these files was staged; the ref, or what went wrong.
fn tracked_after(text: &str, files: &[(&str, &str)]) -> Result<String, String> {
    let fixture = Fixture::new("aliases:\n  up: http://127.0.0.1:1/\n");
    let source = fixture.source(text).expect("a source");
    let store = MemoryStore::new();
    let mut previous = bourn_reapi::Directory::default();
    for (name, content) in files {
        let digest = store.write(content.as_bytes()).expect("a store");
        previous.files.push(bourn_reapi::FileNode {
            name: (*name).to_owned(),
            digest: Some(digest.into()),
            ..Default::default()
        });
    }
    let previous = store.write_directory(&previous).expect("a store");
    let tracked = fixture.with_context(&*store, Some(previous), |context| source.track(context));
    tracked.map(|node| format!("{node:?}")).map_err(|error| error.to_string())
}

#[test]
fn broken_lock_files_are_refused() {
    let lock = |text| [("Cargo.lock", text)];
    let source = "kind: cargo2\nurl: 'up:'\n";
    for (files, expect) in [
        ([("other", "")], "Failed to find Cargo.lock"),
        (lock("[[package"), "Malformed Cargo.lock"),
        (lock("[[package]]\nname = 'a'"), "Malformed Cargo.lock"),
        (
            lock("package = [{name = 'a', version = '1', source = 'sparse+http://x'}]"),
            "Unknown source kind 'sparse'",
        ),
    ] {
        let error = tracked_after(source, &files).expect_err(expect);
        assert!(error.contains(expect), "{error}");
    }
    let fine = lock("package = [{name = 'a', version = '1', source = 'registry+x', checksum = 'ab'}]");
    assert!(tracked_after(source, &fine).expect("tracked").contains("registry"));
}

/// What is wrong with staging a crate of a git repository with these files.
fn git_crate_refused(files: &[(&str, &str)], expect: &str) {
    let fixture = Fixture::new("aliases:\n  up: http://127.0.0.1:1/\n");
    let commit = crate::git::committed(&fixture.path("upstream"), files);
    let repo = fixture.path("upstream").display().to_string();
    let text = format!(
        "kind: cargo2\nurl: 'up:'\nref:\n- kind: git\n  name: one\n  version: '1'\n  repo: file://{repo}\n  commit: {commit}\n"
    );
    let source = fixture.source(&text).expect("a source");
    let store = MemoryStore::new();
    let staged = fixture.with_context(&*store, None, |context| {
        source.fetch(context).expect("fetched");
        assert!(source.is_fetched(context.source_directory).expect("known"));
        source.stage(context)
    });
    let error = staged.expect_err(expect).to_string();
    assert!(error.contains(expect), "{error}");
}

#[test]
fn repositories_without_the_crate_are_refused() {
    git_crate_refused(&[("README", "no crate")], "has no Cargo.toml");
    git_crate_refused(&[("Cargo.toml", "[package")], "Malformed");
    git_crate_refused(&[("Cargo.toml", "package.name = 'two'")], "not found in root manifest");
    git_crate_refused(
        &[
            ("Cargo.toml", "workspace.members = ['*', '../../..', '/etc']"),
            ("two/Cargo.toml", "package.name = 'two'"),
        ],
        "neither found in root nor workspace",
    );
    git_crate_refused(
        &[
            ("Cargo.toml", "workspace.members = ['one']"),
            ("one/Cargo.toml", "package.name = 'one'\npackage.license.workspace = true"),
        ],
        "inherits 'package.license'",
    );
}

#[test]
fn broken_sums_of_go_are_refused() {
    let source = "kind: go_module\nurl: up:x\nmodule: github.com/a/b\n";
    for (name, text, expect) in [
        ("other", "", "Failed to find go.sum"),
        ("go.sum", "github.com/a/b v1.0.0\n", "Malformed line in go.sum"),
        ("go.sum", "github.com/a/b v1.0.0/go.mod h1:x\n\nother v1.0.0 h1:x\n", "does not name the module"),
        ("go.sum", "github.com/a/b master h1:x\n", "'master' of github.com/a/b is no version"),
    ] {
        let error = tracked_after(source, &[(name, text)]).expect_err(expect);
        assert!(error.contains(expect), "{error}");
    }
}

#[test]
fn modules_of_go_need_a_project() {
    let fixture = Fixture::new("aliases:\n  up: http://127.0.0.1:1/\n");
    let commit = crate::git::committed(&fixture.path("upstream"), &[("a.go", "package a")]);
    let url = format!("file://{}", fixture.path("upstream").display());
    for (module, expect) in [("example.org/a", "Failed to find go.mod"), ("../../a", "leads out of the tree")]
    {
        let text = format!(
            "kind: go_module\nurl: {url}\nmodule: {module}\nref:\n  go-version: v1.0.0\n  git-ref: {commit}\n"
        );
        let source = fixture.source(&text).expect("a source");
        let store = MemoryStore::new();
        let staged = fixture.with_context(&*store, None, |context| {
            source.fetch(context).expect("fetched");
            source.stage(context)
        });
        let error = staged.expect_err(expect).to_string();
        assert!(error.contains(expect), "{error}");
    }
}

#[test]
fn pip_downloads_from_an_index() {
    let server = index();
    let fixture = Fixture::new(&format!("aliases:\n  up: {}\n", server.url("")));
    let text = "kind: pip\nurl: up:simple/\npackages: [one]\n";
    let store = MemoryStore::new();
    fixture.with_context(&*store, None, |context| {
        let source = fixture.source(text).expect("a source");
        let error = source.fetch(context).expect_err("no ref");
        assert!(error.message.contains("has no ref"), "{error}");
        let found = source.track(context).expect("tracked").expect("a ref");
        assert_eq!(found.get_str("ref").expect("a text"), "one==1.0\ntwo==1.0");
        let source = source.with_reference(&found).expect("a source");
        assert!(!source.is_fetched(context.source_directory).expect("known"));
        source.fetch(context).expect("fetched");
        assert!(source.is_fetched(context.source_directory).expect("known"));
        let tree = source.stage(context).expect("staged");
        let top = store.directory(&tree).expect("a directory");
        assert_eq!(top.directories[0].name, ".bst_pip_downloads");
    });
}

#[test]
fn pip_says_what_it_cannot_find() {
    let server = index();
    let fixture = Fixture::new(&format!("aliases:\n  up: {}\n", server.url("")));
    let store = MemoryStore::new();
    fixture.with_context(&*store, None, |context| {
        let source =
            fixture.source("kind: pip\nurl: up:simple/\nref: three==1\npackages: [x]\n").expect("a source");
        let error = source.fetch(context).expect_err("no such package");
        assert!(error.message.contains("Failed to download Python packages"), "{error}");
        assert!(!source.is_fetched(context.source_directory).expect("known"));
        let source =
            fixture.source("kind: pip\nurl: up:simple/\nrequirements-files: [r.txt]\n").expect("a source");
        let error = source.track(context).expect_err("no such file");
        assert!(error.message.contains("Failed to find the requirements file r.txt"), "{error}");
    });
}

#[test]
fn files_for_bazel() {
    let server = Server::with_file(TAR);
    let fixture = Fixture::new(&format!("aliases:\n  up: {}\n", server.url("")));
    let store = MemoryStore::new();
    let sum = Digest::of(TAR).hex();
    fixture.with_context(&*store, None, |context| {
        let source = fixture.source("kind: bazel_file\nurl: up:x\n").expect("a source");
        let found = source.track(context).expect("tracked").expect("a ref");
        assert_eq!(found.get_str("ref").expect("a text"), sum);
        source.with_reference(&found).expect("a source").stage(context).expect("staged");
        let wrong = format!("kind: bazel_file\nurl: up:x\nref: {}\n", sum.replace('a', "b"));
        let error = fixture.source(&wrong).expect("a source").fetch(context).expect_err("another sum");
        assert!(error.message.contains("has sha256sum"), "{error}");
    });
}
