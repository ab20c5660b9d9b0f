//! Kinds that stage files, archives and patches, where `packaged` does not look: the same refs and trees by both, from
//! the same servers.

use crate::Both;
use crate::server::Server;
use crate::sources::{TAR, project, same_built_in, same_in, serve};
use std::path::Path;
use std::process::Command;

const COMMUNITY: &str = "buildstream-plugins-community";
const PLUGINS: &str = "buildstream-plugins";

fn sum(content: &[u8]) -> String {
    bourn_reapi::Digest::of(content).hex()
}

/// Kinds that come with BuildStream itself need no plugins.
fn core(url: &str, sources: &str) -> String {
    format!(
        "\n=== project.conf\nname: sources\nmin-version: 2.5\naliases:\n  up: {url}\n=== it.bst\nkind: import\nsources:\n{sources}"
    )
}

/// Has both track, fetch and stage kinds of BuildStream itself; the tree.
#[track_caller]
fn check_core(server: &Server, sources: &str, track: bool) -> Option<String> {
    same_built_in(&core(&server.url(""), sources), track).map(|(tree, _)| tree)
}

#[test]
fn local_and_remote() {
    let server = serve(&[("a%20file", b"content"), ("tool", b"#!/bin/sh\n")]);
    let sources = "- kind: local\n  path: dir\n- kind: local\n  path: one\n  directory: below/x\n\
                   - kind: remote\n  url: up:a%20file\n- kind: remote\n  url: up:tool\n  filename: it\n  directory: sub\n\
                   - kind: remote\n  url: up:tool\n  directory: y\n\
                   === dir/a\n1\n=== dir/b/c\n2\n=== one\n3\n";
    let Some(tree) = check_core(&server, sources, true) else { return };
    assert!(tree.contains("./it/below/x/one f") && tree.contains("./it/sub/it f"), "{tree}");
}

/// Archives of one directory, made by the host's tools.
fn archives(directory: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let script = "mkdir -p foo-1/bin foo-1/empty && echo x > foo-1/bin/tool && chmod +x foo-1/bin/tool && \
                  ln -s bin/tool foo-1/link && ln foo-1/bin/tool foo-1/same && echo y > foo-1/data && \
                  tar cf a.tar foo-1 && gzip -k a.tar && xz -k a.tar && bzip2 -k a.tar && lzip -k a.tar";
    let ran = Command::new("sh").args(["-c", script]).current_dir(directory).status().expect("sh");
    assert!(ran.success());
    let read = |name| (name, std::fs::read(directory.join(name)).expect("an archive"));
    ["a.tar", "a.tar.gz", "a.tar.xz", "a.tar.bz2", "a.tar.lz"].map(read).to_vec()
}

#[test]
fn archives_of_tar() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let archives = archives(directory.path());
    let files: Vec<(&str, &[u8])> = archives.iter().map(|(name, content)| (*name, &content[..])).collect();
    let server = serve(&files);
    // Each in a directory of its own, so that one run tells all.
    let mut sources: String = files
        .iter()
        .map(|(name, _)| format!("- kind: tar\n  url: up:{name}\n  directory: {name}\n"))
        .collect();
    for (number, base) in ["''", "foo-1", "'*/bin'", "'f*'"].iter().enumerate() {
        sources.push_str(&format!(
            "- kind: tar\n  url: up:a.tar.gz\n  base-dir: {base}\n  directory: base-{number}\n"
        ));
    }
    let Some(tree) = check_core(&server, &sources, true) else { return };
    assert!(tree.contains("./it/a.tar.lz/link l bin/tool") && tree.contains("./it/base-2/tool f"), "{tree}");
}

/// An archive as `zip` makes it, by Python, which the reference needs anyway.
fn zipped(directory: &Path) -> Vec<u8> {
    let script = "import zipfile; z = zipfile.ZipFile('a.zip', 'w', zipfile.ZIP_DEFLATED)
def add(name, mode, content):
    i = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)); i.external_attr = mode << 16; z.writestr(i, content)
add('foo-1/bin/tool', 0o100755, 'x'); add('foo-1/data', 0o100644, 'y'); add('foo-1/empty/', 0o40755, '')
add('foo-1/link', 0o120777, 'data'); z.close()";
    let ran = Command::new("python3").args(["-c", script]).current_dir(directory).status().expect("python3");
    assert!(ran.success());
    std::fs::read(directory.join("a.zip")).expect("an archive")
}

#[test]
fn archives_of_zip() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let zip = zipped(directory.path());
    let server = serve(&[("a.zip", &zip)]);
    let source: String = ["", "  base-dir: ''\n", "  base-dir: '*/bin'\n", "  version: '1'\n"]
        .iter()
        .enumerate()
        .map(|(number, more)| format!("- kind: zip\n  url: up:a.zip\n  directory: d{number}\n{more}"))
        .collect();
    let text = project(COMMUNITY, "zip", &server.url(""), &source);
    let Some((tree, _)) = same_built_in(&text, true) else { return };
    assert!(tree.contains("./it/d0/bin/tool f") && tree.contains("./it/d2/tool f"), "{tree}");
}

/// The reference's `gnu` cannot be used: it refuses its own ref, and without one it looks for what is not there. Given
/// these attributes it works where refs are in a file of their own.
const OWN_GNU: &str = "=== own/gnu.py
from buildstream_plugins_community.sources.gnu import GnuSource


class Own(GnuSource):
    suffix = None
    sha256sum = None


def setup():
    return Own
";

#[test]
fn archives_of_gnu() {
    let server = serve(&[("foo/foo-1.0.tar.gz", TAR)]);
    let source =
        "- kind: gnu\n  mirror: 'up:'\n  name: foo\n=== project.refs\nprojects:\n  sources:\n    it.bst:\n";
    let source =
        format!("{source}    - ref:\n        sha256sum: {}\n        suffix: foo/foo-1.0.tar.gz\n", sum(TAR));
    let text = project(COMMUNITY, "gnu", &server.url(""), &source);
    let text = text.replace("min-version: 2.5\n", "min-version: 2.5\nref-storage: project.refs\n");
    let package = format!("origin: pip\n  package-name: {COMMUNITY}\n");
    let own = format!("{}\n{OWN_GNU}", text.replace(&package, "origin: local\n  path: own\n"));
    let (Some(ours), Some(theirs)) = (Both::new(&text), Both::new(&own)) else { return };
    let (tree, _) = same_in(&ours, &theirs, false);
    assert!(tree.lines().count() > 4, "{tree}");
}

const LOCK: &str = "version = 3\n\n[[package]]\nname = \"foo\"\nversion = \"1.0\"\n\
                    source = \"registry+https://host/index\"\nchecksum = \"SUM\"\n\n[[package]]\nname = \"own\"\n\
                    version = \"1.0.0\"\n";

#[test]
fn crates() {
    let server = serve(&[("foo/foo-1.0.crate", TAR)]);
    for more in ["", "  vendor-dir: below/vendor\n", "  cargo-lock: app/Cargo.lock\n"] {
        let directory = if more.contains("app") { "app" } else { "''" };
        let source = format!(
            "- kind: local\n  path: lock\n  directory: {directory}\n- kind: cargo\n  url: 'up:'\n{more}=== lock/Cargo.lock\n{}",
            LOCK.replace("SUM", &sum(TAR))
        );
        let source = source.replace("  directory: ''\n", "");
        let text = project(PLUGINS, "cargo", &server.url(""), &source);
        let Some((tree, element)) = same_built_in(&text, true) else { return };
        assert!(
            tree.contains("foo-1.0/.cargo-checksum.json f") && element.contains("sha: "),
            "{tree}{element}"
        );
    }
}

/// `cargo` of the host makes the file; nothing is fetched for a crate without dependencies.
#[test]
fn locks_of_cargo() {
    let mut environment = None;
    let source = "- kind: local\n  path: app\n- kind: gen_cargo_lock\n=== app/Cargo.toml\n[package]\nname = \"own\"\n\
                  version = \"1.0.0\"\nedition = \"2021\"\n=== app/src/main.rs\nfn main() {}\n";
    let text = project(COMMUNITY, "gen_cargo_lock", "http://unused/", source);
    let both = (Both::new(&text), Both::new(&text));
    let (Some(mut ours), Some(mut theirs)) = both else { return };
    for one in [&mut ours, &mut theirs] {
        // Where rustup keeps its toolchains: the home of the tests has none.
        let rustup = environment.get_or_insert_with(|| {
            std::env::var("RUSTUP_HOME").unwrap_or_else(|_| {
                // Also where no variable names it.
                let home = std::env::home_dir().expect("a home");
                home.join(".rustup").display().to_string()
            })
        });
        one.bourn.set("RUSTUP_HOME", rustup);
    }
    let (tree, element) = same_in(&ours, &theirs, true);
    assert!(tree.contains("./it/Cargo.lock f") && element.contains("  ref: "), "{tree}{element}");
}

const PATCHED: &str = "=== dir/a\none\ntwo\n=== dir/d/b\nthree\n";
const PATCHES: &str = "=== patches/1.patch\n--- x/dir/a\n+++ y/dir/a\n@@ -1,2 +1,2 @@\n-one\n+1\n two\n\
                       === patches/2.patch\n--- x/dir/d/b\n+++ /dev/null\n@@ -1 +0,0 @@\n-three\n\
                       --- /dev/null\n+++ y/dir/new\n@@ -0,0 +1 @@\n+new\n";

#[test]
fn patches() {
    for (strip, sources) in [
        ("2", "- kind: local\n  path: dir\n- kind: patch\n  path: patches/1.patch\n  strip-level: 2\n"),
        (
            "0",
            "- kind: local\n  path: dir\n  directory: x/dir\n- kind: patch\n  path: patches/1.patch\n  strip-level: 0\n",
        ),
        ("1", "- kind: local\n  path: dir\n  directory: dir\n- kind: patch\n  path: patches/2.patch\n"),
    ] {
        let text = project(PLUGINS, "patch", "http://unused/", &format!("{sources}{PATCHED}{PATCHES}"));
        let Some((tree, _)) = same_built_in(&text, false) else { return };
        assert!(tree.contains("/a f"), "{strip}: {tree}");
    }
}

/// What Bazel wrote about two archives, something of the project itself, and something that nobody has any more.
const RESOLVED: &str = "resolved = [\n    {\n        \"original_rule_class\": \"local_repository\",\n        \
     \"original_attributes\": {\n            \"name\": \"here\",\n            \"path\": \"/x\",\n        },\n    },\n    \
     {\"original_attributes\": {\"name\": \"one\", \"url\": \"URLgone.tar.gz\", \"urls\": [\"URLone.tar.gz\"], \
     \"sha256\": \"SUM\"}},\n    {\"original_attributes\": {\"name\": \"two\", \"urls\": [\"URLtwo\"]}},\n    \
     {\"original_attributes\": {\"name\": \"lost\", \"urls\": [\"URLgone\"], \"sha256\": \"SUM\"}},\n    {}\n]\n";

#[test]
fn downloads_of_bazel() {
    let server = serve(&[("one.tar.gz", TAR), ("two", b"two")]);
    let resolved = RESOLVED.replace("URL", &server.url("")).replace("SUM", &sum(TAR));
    for (options, file) in [
        ("", ".bst-sources"),
        ("  workspace-dir: sub/x\n  repo-file: r.bzl\n", "sub/x/r.bzl"),
        ("  workspace-dir: .\n  repo-file: r.bzl\n  allow-host-bazel: true\n", "none"),
    ] {
        let source = format!(
            "- kind: local\n  path: app\n- kind: bazel_source\n{options}=== app/BUILD\n=== app/{file}\n{resolved}"
        );
        let text = project(COMMUNITY, "bazel_source", &server.url(""), &source);
        let (Some(mut ours), Some(mut theirs)) = (Both::new(&text), Both::new(&text)) else { return };
        [&mut ours, &mut theirs].into_iter().for_each(with_bazel);
        let (tree, element) = same_in(&ours, &theirs, true);
        let expect = "_bst_distdir/one.tar.gz f";
        assert!(
            tree.contains(expect) && !tree.contains("gone") && element.contains("  ref: "),
            "{tree}{element}"
        );
    }
}

/// A stand-in for Bazel, which says what the file `none` of the project says.
fn with_bazel(both: &mut Both) {
    let bin = both.bourn.path().join("bin");
    let script = "#!/bin/sh\nfor word; do case $word in --experimental_repository_resolved_file=*) \
                  cp none \"${word#*=}\" ;; esac; done\n";
    std::fs::create_dir(&bin).expect("a directory");
    bourn_testkit::fixture::program(&bin.join("bazel"), script);
    let path = std::env::var("PATH").unwrap_or_default();
    both.bourn.set("PATH", &format!("{}:{path}", bin.display()));
}
