//! The kinds that run the host's git, on repositories that the tests make.

use crate::fixture::Fixture;
use bourn_plan::{Source, SourceRef};
use bourn_reapi::services::ExportOptions;
use bourn_reapi::{Cas, Digest};
use bourn_testkit::memory::MemoryStore;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Runs git on a repository; what it says.
fn git(repository: &Path, args: &[&str]) -> String {
    let output = plain(repository, args).output().expect("git");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn plain(repository: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(repository).args(["-c", "protocol.file.allow=always"]).args(args);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Somebody");
        command.env(format!("GIT_{who}_EMAIL"), "somebody@example.org");
        command.env(format!("GIT_{who}_DATE"), "1700000000 +0000");
    }
    command
}

/// A repository with these files; its commit.
pub(crate) fn committed(repository: &Path, files: &[(&str, &str)]) -> String {
    for (name, content) in files {
        let path = repository.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, content).expect("a file");
    }
    git(repository, &["init", "-q", "-b", "main"]);
    git(repository, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
    git(repository, &["add", "."]);
    git(repository, &["commit", "-q", "-m", "all"]);
    git(repository, &["rev-parse", "HEAD"])
}

/// A project, and repositories next to it below `up`.
struct Case {
    fixture: Fixture,
    store: Arc<MemoryStore>,
}

impl Case {
    fn new() -> Case {
        let upstream = tempfile::TempDir::new().expect("a directory");
        let mut fixture =
            Fixture::new(&format!("aliases:\n  up: file://{}/up/\n", upstream.path().display()));
        fixture.upstream = Some(upstream);
        Case { fixture, store: MemoryStore::new() }
    }

    fn repository(&self, name: &str) -> PathBuf {
        let path = self.fixture.upstream.as_ref().expect("a directory").path().join("up").join(name);
        if !path.exists() {
            fs::create_dir_all(&path).expect("a directory");
            git(&path, &["init", "-q", "-b", "main"]);
        }
        path
    }

    /// Commits a file; the commit.
    fn commit(&self, name: &str, file: &str, content: &str) -> String {
        let path = self.repository(name);
        let file = path.join(file);
        fs::create_dir_all(file.parent().expect("a parent")).expect("directories");
        fs::write(file, content).expect("a file");
        git(&path, &["add", "-A"]);
        git(&path, &["commit", "-q", "-m", content.trim()]);
        git(&path, &["rev-parse", "HEAD"])
    }

    fn source(&self, text: &str) -> Box<dyn Source> {
        self.fixture.source(text).expect("a source")
    }

    fn with<T>(&self, work: impl FnOnce(&bourn_plan::FetchContext<'_>) -> T) -> T {
        self.fixture.with_context(&*self.store, None, work)
    }

    fn track(&self, text: &str) -> SourceRef {
        let found = self.with(|context| self.source(text).track(context));
        found.unwrap_or_else(|error| panic!("{error:?}")).expect("a ref")
    }

    fn tracked(&self, text: &str) -> String {
        self.track(text).opt_str("ref").expect("a text").expect("a ref").to_owned()
    }

    /// Fetches and stages; where the staged tree is written to.
    fn staged(&self, text: &str) -> (Digest, PathBuf) {
        let source = self.source(text);
        let digest = self.with(|context| {
            source.fetch(context).unwrap_or_else(|error| panic!("{error:?}"));
            assert!(source.is_fetched(context.source_directory).expect("known"), "not fetched: {text}");
            source.stage(context).unwrap_or_else(|error| panic!("{error:?}"))
        });
        assert!(self.store.contains_tree(&digest).expect("a store"), "the tree is not whole");
        let into = self.fixture.path(&format!("staged-{}", digest.hex()));
        if !into.exists() {
            self.store.export_tree(&digest, &into, &ExportOptions::default()).expect("exported");
        }
        (digest, into)
    }

    fn fails(&self, text: &str) -> bourn_plan::SourceError {
        self.with(|context| self.source(text).fetch(context)).expect_err("an error")
    }

    fn said(&self, words: &str) -> bool {
        self.fixture.progress.said.lock().expect("no panic").iter().any(|line| line.contains(words))
    }
}

/// That the files of a repository are those of its commit.
#[track_caller]
fn check_clean(tree: &Path) {
    assert_eq!(git(tree, &["status", "--porcelain"]), "");
}

/// Three commits, of which the second is tagged `v1.0`.
fn three(case: &Case) -> [String; 3] {
    let first = case.commit("one", "a", "first");
    let second = case.commit("one", "d/b", "second");
    git(&case.repository("one"), &["tag", "-a", "-m", "A release", "v1.0"]);
    let third = case.commit("one", "d/c", "third");
    [first, second, third]
}

#[test]
fn a_commit_is_fetched_alone_and_staged_clean() {
    let case = Case::new();
    let [first, _, third] = three(&case);
    let (_, tree) = case.staged(&format!("kind: git_repo\nurl: up:one\nref: {third}\n"));
    check_clean(&tree);
    assert_eq!(git(&tree, &["log", "--format=%H"]), third);
    assert_eq!(fs::read(tree.join("d/c")).expect("a file"), b"third");
    let mirror = case.fixture.path("sources/git_repo/up_one.git");
    assert!(!plain(&mirror, &["cat-file", "-e", &first]).output().expect("git").status.success());
}

#[test]
fn staging_the_same_ref_gives_the_same_digest() {
    let case = Case::new();
    let [_, second, third] = three(&case);
    let text = format!("kind: git_repo\nurl: up:one\nref: v1.0-1-g{third}\n");
    let (digest, _) = case.staged(&text);
    let again = Case::new();
    three(&again);
    // A mirror that holds more than what is needed.
    again.staged(&format!("kind: git_repo\nurl: up:one\nref: {second}\n"));
    assert_eq!(again.staged(&text).0, digest);
}

#[test]
fn a_described_commit_can_be_described_again() {
    let case = Case::new();
    let [first, second, third] = three(&case);
    for kind in ["git_repo", "git_tag"] {
        let (_, tree) = case.staged(&format!("kind: {kind}\nurl: up:one\nref: v1.0-1-g{third}\n"));
        check_clean(&tree);
        assert_eq!(git(&tree, &["describe", "--abbrev=40", "--long"]), format!("v1.0-1-g{third}"));
        assert_eq!(git(&tree, &["log", "--format=%H"]), format!("{third}\n{second}"));
        assert!(!plain(&tree, &["cat-file", "-e", &first]).output().expect("git").status.success());
    }
}

#[test]
fn a_mirror_gives_what_several_refs_need() {
    let case = Case::new();
    let [first, second, third] = three(&case);
    for reference in [third.clone(), format!("v1.0-1-g{third}"), format!("v1.0-0-g{second}"), first] {
        let (_, tree) = case.staged(&format!("kind: git_repo\nurl: up:one\nref: {reference}\n"));
        check_clean(&tree);
    }
    let text = format!("kind: git_repo\nurl: up:one\nref: v1.0-1-g{third}\n");
    assert_eq!(
        git(&case.staged(&text).1, &["describe", "--long", "--abbrev=40"]),
        format!("v1.0-1-g{third}")
    );
}

#[test]
fn a_commit_that_nobody_has_is_refused() {
    let case = Case::new();
    three(&case);
    let unknown = "0123456789012345678901234567890123456789";
    for kind in ["git_repo", "git_tag", "git"] {
        let error = case.fails(&format!("kind: {kind}\nurl: up:one\nref: {unknown}\n"));
        assert!(error.message.contains(unknown) || error.detail.is_some(), "{error:?}");
    }
}

#[test]
fn the_newest_matching_tag_is_tracked() {
    let case = Case::new();
    let [_, second, third] = three(&case);
    let tag = |name: &str| git(&case.repository("one"), &["tag", name]);
    ["v1.9", "v1.10", "v1.11-rc1", "w3"].iter().for_each(|name| drop(tag(name)));
    let track = |more: &str| case.tracked(&format!("kind: git_repo\nurl: up:one\n{more}"));
    assert_eq!(track("track: refs/tags/v*\n"), third);
    assert_eq!(
        track("track: v*\nexclude: ['*rc*']\nref-format: git-describe\n"),
        format!("v1.10-0-g{third}")
    );
    assert_eq!(track("track: v1.0\nref-format: git-describe\n"), format!("v1.0-0-g{second}"));
    assert_eq!(track("track: main\n"), third);
}

#[test]
fn a_tracked_branch_is_described() {
    let case = Case::new();
    let [_, _, third] = three(&case);
    let found = case.tracked("kind: git_repo\nurl: up:one\ntrack: main\nref-format: git-describe\n");
    assert_eq!(found, format!("v1.0-1-g{third}"));
    let found = case.tracked("kind: git_tag\nurl: up:one\ntrack: main\n");
    assert_eq!(found, format!("v1.0-1-g{third}"));
    let found = case.tracked("kind: git\nurl: up:one\ntrack: main\nref-format: git-describe\n");
    assert_eq!(found, format!("v1.0-1-g{third}"));
    assert_eq!(case.tracked("kind: git\nurl: up:one\ntrack: main\n"), third);
}

#[test]
fn tags_that_describe_needs_are_recorded_and_staged() {
    let case = Case::new();
    let [_, second, third] = three(&case);
    let found = case.track("kind: git\nurl: up:one\ntrack: main\ntrack-tags: true\n");
    let tags = found.get("tags").and_then(|tags| tags.as_sequence().ok()).expect("tags");
    assert_eq!(tags.len(), 1);
    assert_eq!(tags[0].get_str("tag").expect("a tag"), "v1.0");
    assert_eq!(tags[0].get_str("commit").expect("a commit"), second);
    let text = format!(
        "kind: git\nurl: up:one\nref: {third}\ntags:\n- tag: v1.0\n  commit: {second}\n  annotated: true\n"
    );
    let (_, tree) = case.staged(&text);
    assert_eq!(git(&tree, &["describe", "--abbrev=40", "--long"]), format!("v1.0-1-g{third}"));
}

#[test]
fn files_alone_are_staged_without_tags() {
    let case = Case::new();
    let [.., third] = three(&case);
    let (_, tree) = case.staged(&format!("kind: git\nurl: up:one\nref: {third}\n"));
    let mut names: Vec<_> = tree.read_dir().expect("a directory").flatten().map(|e| e.file_name()).collect();
    names.sort();
    assert_eq!(names, ["a", "d"]);
}

/// A repository `one` with `two` as a submodule at `sub`.
fn with_submodule(case: &Case) -> (String, String) {
    let inner = case.commit("two", "inner", "inner");
    case.commit("one", "a", "first");
    let one = case.repository("one");
    git(&one, &["submodule", "--quiet", "add", "../two", "sub"]);
    git(&one, &["commit", "-q", "-m", "submodule"]);
    (git(&one, &["rev-parse", "HEAD"]), inner)
}

#[test]
fn submodules_are_staged_where_they_are() {
    let case = Case::new();
    let (outer, _) = with_submodule(&case);
    let (_, tree) =
        case.staged(&format!("kind: git\nurl: up:one\nref: {outer}\nsubmodules:\n  sub:\n    url: up:two\n"));
    assert_eq!(fs::read(tree.join("sub/inner")).expect("a file"), b"inner");
    let (_, tree) =
        case.staged(&format!("kind: git\nurl: up:one\nref: {outer}\ncheckout-submodules: false\n"));
    assert!(tree.join("sub").read_dir().is_ok_and(|mut entries| entries.next().is_none()));
}

#[test]
fn submodules_that_are_not_listed_are_warned_of() {
    let case = Case::new();
    let (outer, _) = with_submodule(&case);
    let source = case
        .source(&format!("kind: git\nurl: up:one\nref: {outer}\nsubmodules:\n  gone:\n    url: up:two\n"));
    case.with(|context| {
        source.fetch(context).expect("fetched");
        source.validate(context).expect("valid");
    });
    assert!(case.said("git:invalid-submodule") && case.said("git:unlisted-submodule"));
}

#[test]
fn a_submodule_is_tracked_from_what_is_staged_before() {
    let case = Case::new();
    let (outer, inner) = with_submodule(&case);
    let (previous, _) = case.staged(&format!("kind: git_repo\nurl: up:one\nref: {outer}\n"));
    let source = case.source("kind: git_module\nurl: up:two\npath: sub\n");
    let found = case.fixture.with_context(&*case.store, Some(previous), |context| source.track(context));
    let found = found.expect("tracked").expect("a ref");
    assert_eq!(found.opt_str("ref").expect("a text"), Some(&*inner));
    let (_, tree) = case.staged(&format!("kind: git_module\nurl: up:two\npath: sub\nref: {inner}\n"));
    check_clean(&tree.join("sub"));
}

#[test]
fn a_workspace_is_a_repository_to_work_in() {
    let case = Case::new();
    let [.., third] = three(&case);
    for kind in ["git_repo", "git_tag", "git"] {
        let source = case.source(&format!("kind: {kind}\nurl: up:one\nref: {third}\n"));
        let directory = case.fixture.path(&format!("open-{kind}"));
        case.with(|context| {
            source.fetch(context).expect("fetched");
            source.init_workspace(&directory, context).unwrap_or_else(|error| panic!("{error:?}"));
        });
        assert_eq!(git(&directory, &["rev-parse", "HEAD"]), third);
        assert!(git(&directory, &["remote", "get-url", "origin"]).ends_with("/up/one"));
        check_clean(&directory);
    }
}

#[test]
fn odd_names_links_and_modes_are_staged() {
    let case = Case::new();
    let one = case.repository("one");
    fs::write(one.join("run"), "run").expect("a file");
    Command::new("chmod").arg("+x").arg(one.join("run")).status().expect("chmod");
    std::os::unix::fs::symlink("../outside", one.join("link")).expect("a link");
    let commit = case.commit("one", "with space/and \u{fc}", "odd");
    for kind in ["git_repo", "git_tag", "git"] {
        let (_, tree) = case.staged(&format!("kind: {kind}\nurl: up:one\nref: {commit}\n"));
        assert_eq!(fs::read_link(tree.join("link")).expect("a link"), Path::new("../outside"));
        assert_eq!(fs::read(tree.join("with space/and \u{fc}")).expect("a file"), b"odd");
        if kind != "git" {
            check_clean(&tree);
        }
    }
}

#[test]
fn ends_of_lines_are_changed_as_attributes_say() {
    let case = Case::new();
    case.commit("one", "dos.txt", "a\nb\n");
    let commit = case.commit("one", ".gitattributes", "dos.txt text eol=crlf\n");
    for kind in ["git_repo", "git_tag", "git"] {
        let (_, tree) = case.staged(&format!("kind: {kind}\nurl: up:one\nref: {commit}\n"));
        assert_eq!(fs::read(tree.join("dos.txt")).expect("a file"), b"a\r\nb\r\n", "{kind}");
    }
}

#[test]
fn a_whole_repository_is_kept_when_asked_for() {
    let case = Case::new();
    let [first, second, third] = three(&case);
    let (_, tree) = case.staged(&format!("kind: git_tag\nurl: up:one\nref: {third}\nfull-clone: true\n"));
    assert_eq!(git(&tree, &["log", "--format=%H"]), format!("{third}\n{second}\n{first}"));
    assert_eq!(git(&tree, &["describe"]), format!("v1.0-1-g{}", &third[..7]));
}

/// A server that takes connections and never says a word is given up, whatever git speaks to it.
#[test]
fn silent_servers() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("an address");
    for scheme in ["git", "ssh", "http"] {
        let mut fixture = Fixture::new(&format!("aliases:\n  up: {scheme}://{host}/\n"));
        let second = std::time::Duration::from_secs(1);
        fixture.settings.patience = bourn_plan::Patience { connect: second, silence: second };
        let case = Case { fixture, store: MemoryStore::new() };
        for kind in ["git", "git_repo", "git_tag"] {
            let source = case.source(&format!("kind: {kind}\nurl: up:it\ntrack: main\n"));
            let error = case.with(|context| source.track(context)).expect_err("nobody answers");
            assert!(error.temporary && error.detail.is_some(), "{scheme} {kind}: {error:?}");
        }
    }
}

#[test]
fn a_repository_of_many_files_is_staged() {
    let case = Case::new();
    let names: Vec<String> = (0..3000).map(|number| format!("d{}/f{number}", number / 100)).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
    let one = case.repository("one");
    let commit = committed(&one, &files);
    let (_, tree) = case.staged(&format!("kind: git_repo\nurl: up:one\nref: {commit}\n"));
    check_clean(&tree);
    assert_eq!(fs::read(tree.join("d17/f1742")).expect("a file"), b"d17/f1742");
}
