//! Trees: importing and changing them, as BuildStream's virtual directories do.

use bourn_reapi::directory::Timestamp;
use bourn_reapi::tree::{ImportReport, Tree, TreeError};
use bourn_reapi::{Cas, Digest, Directory, DirectoryNode, FileNode, NodeProperties, SymlinkNode};
use bourn_testkit::memory::{MemoryStore, listing, tree};
use std::collections::BTreeMap;
use std::sync::Arc;

fn store() -> Arc<dyn Cas> {
    MemoryStore::new()
}

/// Imports `source` over `base` and compares the result, what was overwritten and what was ignored.
#[track_caller]
fn check_import(
    base: &[&str],
    source: &[&str],
    keep: Option<&[&str]>,
    result: &[&str],
    report: [&[&str]; 2],
) {
    let cas = store();
    let mut into = tree(&cas, base);
    let from = Tree::open(&cas, tree(&cas, source).digest().expect("stored"));
    let filter = |path: &str| keep.is_some_and(|keep| keep.contains(&path));
    let said = into.import("", &from, keep.is_some().then_some(&filter)).expect("imported");
    assert_eq!(listing(&cas, &into), result);
    let owned = |list: &[&str]| list.iter().map(|&path| path.to_owned()).collect();
    assert_eq!(said, ImportReport { overwritten: owned(report[0]), ignored: owned(report[1]) });
    let reopened = Tree::open(&cas, into.digest().expect("stored"));
    assert_eq!(listing(&cas, &reopened), result);
}

#[test]
fn imports() {
    check_import(&[], &["a/b=1", "c->a", "e/"], None, &["c->a", "a/b=1", "e/"], [&[], &[]]);
    check_import(&["a/x=1"], &["a/y*=2"], None, &["a/x=1", "a/y*=2"], [&[], &[]]);
    check_import(
        &["a/x=1", "l->a", "z=1"],
        &["a/x=2", "l->b", "z->q"],
        None,
        &["l->b", "z->q", "a/x=2"],
        [&["a/x", "l", "z"], &[]],
    );
    check_import(&["a/x=1", "b/"], &["a=2", "b=3"], None, &["b=3", "a/x=1"], [&["b"], &["a"]]);
    check_import(&["a/x=1"], &["a->b"], None, &["a/x=1"], [&[], &["a"]]);
}

#[test]
fn filtered_imports() {
    check_import(&[], &["a/b=1", "a/c=2", "d/e=3"], Some(&["a/b"]), &["a/b=1"], [&[], &[]]);
    check_import(&[], &["a/", "b/"], Some(&["a"]), &["a/"], [&[], &[]]);
    check_import(&["a/x=1"], &["a/x=2", "a/y=3"], Some(&["a/y"]), &["a/x=1", "a/y=3"], [&[], &[]]);
    check_import(&["d/"], &["d/x=1"], Some(&[]), &["d/"], [&[], &[]]);
}

#[test]
fn directories_replace_nothing_else() {
    let cas = store();
    for (base, kind) in [("a=1", "regular file"), ("a->b", "symlink")] {
        let mut into = tree(&cas, &[base]);
        match into.import("", &tree(&cas, &["a/x=1"]), None) {
            Err(error @ TreeError::NotADirectory(..)) => {
                assert_eq!(error.to_string(), format!("Destination is a {kind}, not a directory: /a"));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn snapshots_stay_as_they_were() {
    let cas = store();
    let mut one = tree(&cas, &["a/x=1", "b/y=2"]);
    let before = one.clone();
    one.remove("a/x").expect("removed");
    one.create_directory("c/d").expect("created");
    assert_eq!(listing(&cas, &before), ["a/x=1", "b/y=2"]);
    assert_eq!(listing(&cas, &one), ["a/", "b/y=2", "c/d/"]);
}

#[test]
fn digests_are_those_of_the_messages() {
    let cas = store();
    assert_eq!(Tree::empty(&cas).digest().expect("stored"), Digest::empty());
    let made = tree(&cas, &["b=1", "a/", "c->b"]).digest().expect("stored");
    let message = cas.directory(&made).expect("there");
    assert_eq!((message.files.len(), message.directories.len(), message.symlinks.len()), (1, 1, 1));
    assert!(cas.contains_tree(&made).expect("asked"));
}

#[test]
fn links_are_followed_within_the_tree() {
    let cas = store();
    let made = tree(
        &cas,
        &["usr/bin/sh=x", "bin->usr/bin", "lib->/usr/lib", "up->../../usr/bin/sh", "loop->loop", "usr/lib/"],
    );
    for (path, expected) in [
        ("bin/sh", Some("usr/bin/sh")),
        ("/lib", Some("usr/lib")),
        ("up", Some("usr/bin/sh")),
        ("loop", None),
        ("bin/none", None),
        ("usr/bin/sh/x", None),
        ("usr/../bin/sh", Some("usr/bin/sh")),
        ("/", Some("")),
    ] {
        assert_eq!(made.resolve(path).expect("asked").as_deref(), expected, "{path}");
    }
}

#[test]
fn paths_come_in_the_order_of_the_reference() {
    let cas = store();
    let made = tree(&cas, &["b/c=1", "a=1", "z=1", "b/a/x=1", "c/"]);
    assert_eq!(made.paths().expect("walked"), ["a", "z", "b", "b/c", "b/a", "b/a/x", "c"]);
}

#[test]
fn changes_are_applied_over_what_a_build_left() {
    let cas = store();
    let old = tree(&cas, &["a=1", "gone=1", "d/x=1", "d/y=1", "f=1"]);
    let new = tree(&cas, &["a=2", "d/x=1", "d/y=2", "d/z=1", "f/in=1"]);
    let mut built = tree(&cas, &["a=1", "gone=1", "d/x=1", "d/y=1", "d/x.o=o", "out=b", "f=1"]);
    built.apply_changes(&old, &new).expect("applied");
    assert_eq!(listing(&cas, &built), ["a=2", "out=b", "d/x=1", "d/x.o=o", "d/y=2", "d/z=1", "f/in=1"]);
}

/// The cases of a golden file: paragraphs of lines, each a key and a value.
fn golden(text: &str) -> impl Iterator<Item = BTreeMap<&str, &str>> {
    let cases = text.split("\n\n").map(|case| {
        let lines = case.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split_once(' ').unwrap_or((line, ""))).collect::<BTreeMap<_, _>>()
    });
    cases.filter(|case| !case.is_empty())
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[test]
fn random_trees_meet_as_in_the_reference() {
    let mut cases = 0;
    for case in golden(include_str!("golden/trees.txt")) {
        let cas = store();
        let made = |key: &str| tree(&cas, &words(case[key]));
        let into = if case.contains_key("own") {
            let mut own = made("own");
            own.apply_changes(&made("before"), &made("after")).expect("applied");
            own
        } else {
            let mut into = made("base");
            let kept = words(case["keep"]);
            let keep = |path: &str| kept.contains(&path);
            let filter: Option<&dyn Fn(&str) -> bool> = if kept == ["(all)"] { None } else { Some(&keep) };
            let result = into.import("", &made("import"), filter);
            let report = match (result, case.get("error")) {
                (Err(error), Some(expected)) => {
                    assert_eq!(error.to_string(), *expected);
                    cases += 1;
                    continue;
                }
                (result, _) => result.unwrap_or_else(|error| panic!("{case:?}: {error}")),
            };
            assert_eq!(report.overwritten, words(case["overwritten"]), "{case:?}");
            assert_eq!(report.ignored, words(case["ignored"]), "{case:?}");
            into
        };
        assert_eq!(into.paths().expect("walked"), words(case["paths"]), "{case:?}");
        assert_eq!(into.digest().expect("stored").to_string(), case["digest"], "{case:?}");
        cases += 1;
    }
    assert!(cases >= 30, "{cases}");
}

#[test]
fn directories_that_change_lose_their_properties() {
    let cas = store();
    let time = Timestamp { seconds: 1_000_000_000, nanos: 0 };
    let properties = || Some(NodeProperties { mtime: Some(time), ..NodeProperties::default() });
    let file = |name: &str, content: &[u8]| FileNode {
        name: name.into(),
        digest: Some(cas.write(content).expect("stored").into()),
        is_executable: false,
        node_properties: properties(),
    };
    let directory =
        |name: &str, digest: Digest| DirectoryNode { name: name.into(), digest: Some(digest.into()) };
    let inner =
        Directory { files: vec![file("g", b"y")], node_properties: properties(), ..Directory::default() };
    let inner = cas.write_directory(&inner).expect("stored");
    let middle = Directory {
        files: vec![file("f", b"x")],
        directories: vec![directory("in", inner)],
        symlinks: vec![SymlinkNode { name: "l".into(), target: "f".into(), node_properties: None }],
        node_properties: properties(),
    };
    let middle = cas.write_directory(&middle).expect("stored");
    let root = Directory {
        directories: vec![directory("d", middle)],
        node_properties: properties(),
        ..Directory::default()
    };
    let root = cas.write_directory(&root).expect("stored");
    // All from the reference, beginning with a directory captured with its times.
    assert_eq!(root.to_string(), "268c211bdb2897fd9ca9d14ed2c23923cbc586b21ca760bcd35bb4b49c7a0fe4/86");
    let mut made = Tree::empty(&cas);
    made.import("", &Tree::open(&cas, root), None).expect("imported");
    assert_eq!(
        made.digest().expect("stored").to_string(),
        "57bf451949600d6fbf1aa3c1c67a3ad3b2ac226d8f4b5e184ceb49ac630f30b1/76"
    );
    made.import("", &tree(&cas, &["d/h=z"]), None).expect("imported");
    assert_eq!(
        made.digest().expect("stored").to_string(),
        "85f7bc301dd5bf9a243cd2fcfeb5f3f27c8dbba208b0d3aaa980aaa4c00699eb/76"
    );
    made.set_property("d", "SubtreeReadOnly", "true").expect("set");
    assert_eq!(
        made.digest().expect("stored").to_string(),
        "f16ded9ce03b1fc7b0b611b4e165f0a57b5abf5da0964eae7be29346981e78fb/76"
    );
}
