//! Sources that both programs track, fetch and stage, each in a home of its own, from the same server.

use crate::Both;
use crate::server::{Said, Server};
use bourn_testkit::Ran;
use std::collections::HashMap;
use std::path::Path;

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
#[derive(Debug, PartialEq, Eq)]
struct Left {
    /// The element, as tracking wrote it.
    element: String,
    keys: String,
    tree: String,
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
    Left { element, keys, tree: tree(&both.bourn.project().join("out")) }
}

/// All there is below a directory: paths, kinds, what may be executed, links and sums.
fn tree(directory: &Path) -> String {
    let script = "find . -printf '%p %y %l\\n' | LC_ALL=C sort; find . -type f -perm -u+x | LC_ALL=C sort; find . -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum";
    let output = std::process::Command::new("sh").args(["-c", script]).current_dir(directory).output();
    String::from_utf8_lossy(&output.expect("find and sort").stdout).into_owned()
}

/// Checks that both programs write the same ref, and stage the same tree. Answers the tree and the element.
#[track_caller]
pub(crate) fn same_sources(project: &str, track: bool) -> Option<(String, String)> {
    let (ours, theirs) = (Both::new(project)?, Both::new(project)?);
    let found = left(&ours, &|arguments| ours.bourn(arguments), track);
    let expect = left(&theirs, &|arguments| theirs.bst(arguments), track);
    assert_eq!(found, expect, "bourn (left) and bst (right)");
    Some((found.tree, found.element))
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

const TAR: &[u8] = include_bytes!("../../../sources/tests/sources/packages/foo-1.0.tar.gz");

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
