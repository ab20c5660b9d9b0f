//! The source kinds of both packages that have no tests of their own beside the reference: tracked, fetched and staged
//! by the reference, by the kinds that are built in and by the same plugins in Python.

use crate::sources::{TAR, project, same_sources, serve};
use crate::tracking::{Place, compressed};

const OFFICIAL: &str = "buildstream-plugins";
const COMMUNITY: &str = "buildstream-plugins-community";

/// All three agree after tracking.
#[track_caller]
fn tracked(text: &str) -> Option<(String, String)> {
    same_sources(text, true)
}

/// All three agree on what has its refs already.
#[track_caller]
fn fetched(text: &str) -> Option<(String, String)> {
    same_sources(text, false)
}

const PATCHES: &str = "
=== tree/README
hello
=== tree/patches/series
first
second
=== tree/patches/first
--- a/README
+++ b/README
@@ -1 +1 @@
-hello
+hello you
=== tree/patches/second
--- a/new
+++ b/new
@@ -0,0 +1 @@
+a file
";

#[test]
fn patches() {
    for (package, kind, source) in [
        (OFFICIAL, "patch", "- kind: patch\n  path: tree/patches/first\n"),
        (OFFICIAL, "patch", "- kind: patch\n  path: bare.patch\n  strip-level: 0\n"),
        (COMMUNITY, "patch_queue", "- kind: patch_queue\n  path: queue\n"),
        (COMMUNITY, "quilt", "- kind: quilt\n  path: patches\n"),
    ] {
        let bare = "=== bare.patch\n--- README\n+++ README\n@@ -1 +1 @@\n-hello\n+bare\n";
        let queue = PATCHES.split("=== tree/patches/first\n").nth(1).expect("patches");
        let (first, second) = queue.split_once("=== tree/patches/second\n").expect("two patches");
        let queue = format!("=== queue/0001\n{first}=== queue/0002\n{second}");
        let text = project(package, kind, "http://nowhere/", "- kind: local\n  path: tree\n");
        let Some((tree, _)) = fetched(&format!("{text}{source}{PATCHES}{bare}{queue}")) else {
            return;
        };
        assert!(tree.contains("README"), "{tree}");
    }
}

#[test]
fn archives() {
    let zip: &[u8] = include_bytes!("../../../sources/tests/sources/packages/foo.zip");
    let server = serve(&[("foo.zip", zip)]);
    for base_dir in ["", "  base-dir: ''\n"] {
        let source = format!("- kind: zip\n  url: up:foo.zip\n{base_dir}");
        let text = project(COMMUNITY, "zip", &server.url(""), &source);
        let Some((_, element)) = tracked(&text) else { return };
        assert!(element.contains("ref: "), "{element}");
    }
}

#[test]
fn indexes_of_packages() {
    let server = Place::start();
    let index = "File: 02packages.details.txt\n\nFoo::Bar 1.0 F/FO/FOO/Foo-Bar-1.0.tar.gz\n\
                 Foo 2.1 F/FO/FOO/Foo-2.1.tar.gz\n";
    let gzip = "application/gzip";
    server.add("modules/02packages.details.txt.gz", gzip, compressed(index));
    server.add("authors/id/F/FO/FOO/Foo-2.1.tar.gz", gzip, TAR);
    let answer = r#"{"latest_version":"2.5","stable_versions":["2.4.1","2.4.0"],"versions":["2.5"]}"#;
    server.add("api/versions/?project_id=17", "application/json", answer);
    server.add("x/2.4/x-2.4.1.tar.gz", gzip, TAR);
    server.add("packages/aa/foo-1.0.tar.gz", gzip, TAR);
    let sum = bourn_reapi::Digest::of(TAR).hex();
    for (kind, source, track) in [
        ("cpan", "- kind: cpan\n  index: 'up:'\n  name: Foo\n", true),
        (
            "anitya",
            "- kind: anitya\n  api-url: URLapi/\n  project-id: 17\n  url: up:x/{major}.{minor}/x-{version}.tar.gz\n",
            true,
        ),
        (
            "pypi",
            "- kind: pypi\n  url: up:packages/\n  name: foo\n  ref:\n    suffix: aa/foo-1.0.tar.gz\n    sha256sum: SUM\n",
            false,
        ),
    ] {
        let source = source.replace("URL", &server.url("")).replace("SUM", &sum);
        let text = project(COMMUNITY, kind, &server.url(""), &source);
        let same = if track { tracked(&text) } else { fetched(&text) };
        let Some((tree, _)) = same else { return };
        assert!(tree.contains("src/lib.rs"), "{tree}");
    }
}

#[test]
fn crates_and_their_lock() {
    let server = serve(&[("foo/foo-1.0.crate", TAR)]);
    let sum = bourn_reapi::Digest::of(TAR).hex();
    let lock = format!(
        "=== lock/Cargo.lock\nversion = 3\n[[package]]\nname = \"foo\"\nversion = \"1.0\"\n\
         source = \"registry+https://index.example/x\"\nchecksum = \"{sum}\"\n"
    );
    let source = format!("- kind: local\n  path: lock\n- kind: cargo\n  url: 'up:'\n{lock}");
    let text = project(OFFICIAL, "cargo", &server.url(""), &source);
    let Some((tree, element)) = tracked(&text) else { return };
    assert!(element.contains(&sum) && tree.contains("crates/foo-1.0/.cargo-checksum.json"), "{tree}");

    // The lock is in the ref: "version = 3", a comment after it.
    let package = "=== app/Cargo.toml\n[package]\nname = \"app\"\n";
    let source =
        format!("- kind: local\n  path: app\n- kind: gen_cargo_lock\n  ref: dmVyc2lvbiA9IDMK\n{package}");
    let Some((tree, _)) = fetched(&project(COMMUNITY, "gen_cargo_lock", "http://nowhere/", &source)) else {
        return;
    };
    assert!(tree.contains("Cargo.lock"), "{tree}");
}
