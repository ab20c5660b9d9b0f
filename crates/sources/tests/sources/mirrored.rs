//! Mirrors of one's own: what they have, and that sources come from them when nothing else is there.

use crate::fixture::Fixture;
use crate::registry::{Entry, Registry, index_with_tool, layer};
use crate::server::{Said, Server};
use crate::tools::run;
use bourn_plan::{FetchContext, SourceError};
use bourn_reapi::{Cas, Digest};
use bourn_sources::{Copies, Tally};
use bourn_testkit::memory::MemoryStore;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A directory that is a mirror, and the source that it is made for.
struct Case {
    directory: TempDir,
    /// How the source is declared.
    text: String,
    /// Further files of the project, by name.
    files: Vec<(&'static str, Vec<u8>)>,
    /// What earlier sources stage.
    earlier: Vec<(&'static str, String)>,
}

impl Case {
    fn new(text: impl Into<String>) -> Case {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Case { directory, text: text.into(), files: Vec::new(), earlier: Vec::new() }
    }

    fn mirror(&self) -> PathBuf {
        self.directory.path().join("mirror")
    }

    /// A project that has nothing yet, and whose alias `up` leads to `url`.
    fn fixture(&self, url: &str) -> Fixture {
        let fixture = Fixture::new(&format!("aliases:\n  up: {url}\n"));
        for (name, content) in &self.files {
            fixture.write(name, content);
        }
        fixture
    }

    /// Does something with what earlier sources staged.
    fn with<T>(&self, fixture: &Fixture, work: impl FnOnce(&FetchContext<'_>) -> T) -> T {
        let store = MemoryStore::new();
        let mut tree = Digest::empty();
        if !self.earlier.is_empty() {
            let directory = tempfile::tempdir().expect("a temporary directory");
            for (name, content) in &self.earlier {
                std::fs::write(directory.path().join(name), content).expect("a file");
            }
            tree = store.import_tree(directory.path(), &Default::default()).expect("imported");
        }
        fixture.with_context(&*store, Some(tree), work)
    }

    /// Brings it into the mirror; what became of that.
    #[track_caller]
    fn take(&self, url: &str) -> Tally {
        let fixture = self.fixture(url);
        let source = fixture.source(&self.text).expect("a source");
        let copies = Copies::open(&self.mirror()).expect("a mirror");
        let taken = self.with(&fixture, |context| {
            source.fetch(context)?;
            copies.take(&*source, "kind", context)
        });
        taken.unwrap_or_else(|error| panic!("{error}: {:?}", error.detail));
        copies.finish(None).expect("finished").0
    }

    /// Fetches it from a place into an empty cache, and stages it.
    fn staged(&self, url: &str) -> Result<Digest, SourceError> {
        let fixture = self.fixture(url);
        let source = fixture.source(&self.text).expect("a source");
        self.with(&fixture, |context| {
            source.fetch(context)?;
            source.stage(context)
        })
    }

    /// Checks that the same comes from the mirror as from the original, which `remove` takes away: from the directory,
    /// from a server at its top, and from a server of a directory above.
    #[track_caller]
    fn check(&self, url: &str, brought: usize, remove: impl FnOnce()) {
        let expect = self.staged(url).expect("staged");
        let tally = self.take(url);
        assert_eq!(tally, Tally { brought, ..Tally::default() });
        // Nothing is brought twice.
        assert_eq!(self.take(url), Tally { kept: brought, ..Tally::default() });
        remove();
        self.staged(url).expect_err("it is gone");
        let server = Server::of_files(&self.mirror());
        let above = Server::of_files(self.directory.path());
        for place in [
            format!("file://{}/test/up/", self.mirror().display()),
            server.url("test/up/"),
            above.url("mirror/test/up/"),
        ] {
            match self.staged(&place) {
                Ok(found) => assert_eq!(found, expect, "{place}"),
                Err(error) => panic!("{place}: {error} {:?}", error.detail),
            }
        }
    }
}

fn image() -> (Registry, String) {
    let mut registry = Registry::with_token("secret");
    let layers = [layer(&[Entry::File("etc/one", "1")]), layer(&[Entry::File("etc/two", "2")])];
    let digest = registry.image("group/image", &["1"], &layers);
    (registry, digest.trim_start_matches("sha256:").to_owned())
}

#[test]
fn images() {
    for image_of in ["url: up:group/image", "registry-url: 'up:'\nimage: group/image"] {
        let (registry, digest) = image();
        let server = registry.serve();
        let url = server.url("");
        let case = Case::new(format!("kind: docker\n{image_of}\nref: {digest}\n"));
        case.check(&url, 3, || drop(server));
        let manifest = case.mirror().join(format!("test/up/v2/group/image/manifests/sha256:{digest}"));
        assert_eq!(Digest::of(&std::fs::read(manifest).expect("a manifest")).hex(), digest);
    }
}

/// The part of the name that the alias has is not lost: the mirror is asked as registries are first.
#[test]
fn an_image_below_the_path_of_an_alias() {
    let (registry, digest) = image();
    let server = registry.serve();
    let url = server.url("group/");
    let case = Case::new(format!("kind: docker\nurl: up:image\nref: {digest}\n"));
    case.check(&url, 3, || drop(server));
}

#[test]
fn an_image_without_an_alias_is_left_out_once() {
    let (registry, digest) = image();
    let server = registry.serve();
    let case = Case::new(format!("kind: docker\nurl: {}\nref: {digest}\n", server.url("group/image")));
    let left_out = case.take("http://127.0.0.1:1/").left_out;
    let only = left_out.first().expect("a reason");
    assert!(left_out.len() == 1 && only.contains("group/image has no alias"), "{left_out:?}");
}

/// A key of GnuPG, for tests that sign; its agent ends with it.
struct Key(TempDir);

impl Key {
    fn new() -> Key {
        let key = Key(tempfile::tempdir().expect("a temporary directory"));
        let make = ["--batch", "--passphrase", "", "--quick-generate-key", "who", "ed25519", "sign", "never"];
        key.gpg(&make);
        key.gpg(&["--batch", "--output", "who.gpg", "--export", "who"]);
        key
    }

    fn gpg(&self, words: &[&str]) -> String {
        let home = self.0.path().display().to_string();
        run(self.0.path(), &[&["gpg", "--quiet", "--homedir", &home], words].concat())
    }

    fn id(&self) -> String {
        let list = self.gpg(&["--with-colons", "--list-keys", "who"]);
        let key = list.lines().find(|line| line.starts_with("pub:")).and_then(|line| line.split(':').nth(4));
        key.expect("the id of the key").to_owned()
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        let mut end = Command::new("gpgconf");
        let _ = end.arg("--homedir").arg(self.0.path()).args(["--kill", "all"]).status();
    }
}

/// Commits what is in `files` to a repository below `directory`; the commit.
fn commit(directory: &Path, more: &[&str]) -> String {
    let words = ["ostree", "commit", "--repo=upstream/repo", "--branch=main", "--no-xattrs", "files"];
    run(directory, &[&words[..], more].concat())
}

#[test]
fn commits_of_ostree() {
    let key = Key::new();
    let place = tempfile::tempdir().expect("a temporary directory");
    for (name, content) in [("files/one", "1"), ("files/two", "2"), ("upstream/.keep", "")] {
        let path = place.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(path, content).expect("a file");
    }
    run(place.path(), &["ostree", "init", "--repo=upstream/repo", "--mode=archive-z2"]);
    let home = format!("--gpg-homedir={}", key.0.path().display());
    let signed = commit(place.path(), &[&home, &format!("--gpg-sign={}", key.id())]);
    let upstream = place.path().join("upstream");
    let url = format!("file://{}/", upstream.display());
    let mut case = Case::new(format!("kind: ostree\nurl: up:repo\nref: {signed}\ngpg-key: key.gpg\n"));
    case.files.push(("key.gpg", std::fs::read(key.0.path().join("who.gpg")).expect("the key")));
    case.take(&url);
    let mirror = case.mirror().join("test/up/repo");
    // What is there of a commit is not taken for all of it.
    std::fs::remove_dir_all(mirror.join("refs/heads/bourn")).expect("removed");
    assert_eq!(case.take(&url).brought, 1);
    std::fs::remove_dir_all(&mirror).expect("removed");
    // More commits of the same repository come beside it.
    std::fs::write(place.path().join("files/two"), "other").expect("a file");
    let later =
        Case { text: format!("kind: ostree\nurl: up:repo\nref: {}\n", commit(place.path(), &[])), ..case };
    later.take(&url);
    let case =
        Case { text: format!("kind: ostree\nurl: up:repo\nref: {signed}\ngpg-key: key.gpg\n"), ..later };
    case.check(&url, 1, || std::fs::rename(&upstream, place.path().join("gone")).expect("renamed"));
    run(&mirror, &["ostree", "fsck", "--repo=."]);
}

#[test]
fn an_ostree_repository_that_is_the_alias() {
    let place = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir_all(place.path().join("files")).expect("directories");
    std::fs::create_dir_all(place.path().join("upstream")).expect("directories");
    std::fs::write(place.path().join("files/one"), "1").expect("a file");
    run(place.path(), &["ostree", "init", "--repo=upstream/repo", "--mode=archive-z2"]);
    commit(place.path(), &[]);
    // The ref is the name of a branch.
    let case = Case::new("kind: ostree\nurl: 'up:'\nref: main\n");
    let upstream = place.path().join("upstream/repo");
    let url = format!("file://{}/", upstream.display());
    case.check(&url, 1, || std::fs::rename(&upstream, place.path().join("gone")).expect("renamed"));
}

#[test]
fn branches_of_bazaar() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let upstream = place.path().join("upstream");
    let trunk = upstream.join("repo/trunk");
    std::fs::create_dir_all(&trunk).expect("directories");
    run(&trunk, &["brz", "init", "-q"]);
    for revision in ["one", "two", "three"] {
        std::fs::write(trunk.join(revision), revision).expect("a file");
        run(&trunk, &["brz", "add", "-q"]);
        run(&trunk, &["brz", "commit", "-q", "-m", revision]);
    }
    run(&upstream, &["brz", "branch", "-q", "-r1", "repo/trunk", "repo/other"]);
    let url = format!("file://{}/", upstream.display());
    let declared = |branch: &str, revision: u32| {
        format!("kind: bzr\nurl: up:repo\ntrack: {branch}\nref: '{revision}'\n")
    };
    let case = Case::new(declared("other", 1));
    case.take(&url);
    // What an interrupted run left of another branch is no branch.
    std::fs::create_dir_all(case.mirror().join("test/up/repo/.partX")).expect("directories");
    let case = Case { text: declared("trunk", 2), ..case };
    case.check(&url, 1, || std::fs::rename(&upstream, place.path().join("gone")).expect("renamed"));
}

#[test]
fn files_that_bazel_would_download() {
    let server = Server::start(|_, asked| match asked.path.as_str() {
        "/one.zip" | "/two.zip" | "/three.zip" => Said::ok(asked.path.as_bytes()),
        _ => Said::status(404),
    });
    let sum = |name: &str| Digest::of(format!("/{name}").as_bytes()).hex();
    let file = |name: &str, urls: &str, sum: &str| {
        format!("{{'original_attributes': {{'name': '{name}', {urls}, 'sha256': '{sum}'}}}}")
    };
    let resolved = [
        file("one", "'url': 'up:one.zip'", &sum("one.zip")),
        file("two", "'urls': ['up:absent/two.zip', 'up:two.zip']", ""),
        file("gone", "'url': 'up:gone.zip'", ""),
    ];
    let resolved = format!("resolved = [{}]\n", resolved.join(", "));
    let mut case = Case::new(format!("kind: bazel_source\nref: {}\n", Digest::of(resolved.as_bytes()).hex()));
    case.earlier.push((".bst-sources", resolved));
    let url = server.url("");
    case.check(&url, 2, || drop(server));
}

#[test]
fn files_for_bazel_that_no_alias_leads_to_are_left_out() {
    let server = Server::with_file("content");
    let resolved = format!(
        "resolved = [{{'original_attributes': {{'name': 'one', 'url': '{}', 'sha256': ''}}}}]\n",
        server.url("one.zip")
    );
    let mut case = Case::new(format!("kind: bazel_source\nref: {}\n", Digest::of(resolved.as_bytes()).hex()));
    case.earlier.push((".bst-sources", resolved));
    let tally = case.take(&server.url(""));
    assert_eq!((tally.brought, tally.left_out.len()), (0, 1), "{tally:?}");
}

/// To look into `one`, pip builds `tool`, which is no part of what is fetched.
#[test]
fn packages_of_python() {
    let server = index_with_tool();
    let url = server.url("");
    let case = Case::new("kind: pip\nurl: up:simple\npackages: [one]\nref: |\n  one==1.0\n  two==1.0\n");
    let expect = case.staged(&url).expect("staged");
    case.take(&url);
    let mirror = case.mirror().join("test/up/simple");
    let page = std::fs::read_to_string(mirror.join("one/index.html")).expect("a page");
    assert!(page.contains("#sha256="), "{page}");
    assert!(mirror.join("tool/index.html").is_file() && !mirror.join("other").exists());
    // What is not as it was is brought again.
    std::fs::write(mirror.join("two/two-1.0.tar.gz"), "other").expect("a file");
    std::fs::remove_file(mirror.join("tool/tool-1.0.tar.gz")).expect("removed");
    assert_eq!(case.take(&url), Tally { brought: 1, ..Tally::default() });
    drop(server);
    let server = Server::of_files(&case.mirror());
    for place in [format!("file://{}/test/up/", case.mirror().display()), server.url("test/up/")] {
        assert_eq!(case.staged(&place).expect("staged"), expect, "{place}");
    }
}

#[test]
fn packages_that_no_index_has() {
    let server = index_with_tool();
    let case = Case::new("kind: pip\nurl: 'up:simple'\npackages: [three]\nref: three==1.0\n");
    let fixture = case.fixture(&server.url(""));
    let source = fixture.source(&case.text).expect("a source");
    let copies = Copies::open(&case.mirror()).expect("a mirror");
    let error = case.with(&fixture, |context| copies.take(&*source, "pip", context)).expect_err("not there");
    assert!(error.message.contains("Failed to download Python packages from http://127.0.0.1"), "{error}");
    // A server that fails is what is told of.
    let broken = Server::start(|_, _| Said::status(403));
    let fixture = case.fixture(&broken.url(""));
    let error = case.with(&fixture, |context| copies.take(&*source, "pip", context)).expect_err("refused");
    assert!(error.message.contains("HTTP Error 403"), "{error}");
}
