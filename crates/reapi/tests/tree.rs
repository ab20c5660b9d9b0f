//! Trees: importing and changing them, as BuildStream's virtual directories do.

use bourn_reapi::Cas;
use bourn_reapi::tree::{ImportReport, Tree, TreeError};
use bourn_testkit::memory::{MemoryStore, listing, tree};
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
    assert_eq!(Tree::empty(&cas).digest().expect("stored"), bourn_reapi::Digest::empty());
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
