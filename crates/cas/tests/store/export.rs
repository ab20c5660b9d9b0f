//! What a tree looks like in the file system.

use crate::scene::{Scene, lines, read_tree, write_tree};
use bourn_reapi::services::{ErrorKind, ExportOptions, ImportOptions};
use bourn_reapi::{Cas, Digest, Directory, DirectoryNode, SymlinkNode};
use std::os::unix::fs::MetadataExt;

/// The permissions that new files of this process do not get.
fn mask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let octal = status.lines().find_map(|line| line.strip_prefix("Umask:")).expect("a mask");
    u32::from_str_radix(octal.trim(), 8).expect("a number")
}

/// `name mode links` of every file, as `bst artifact checkout` leaves them under the mask 022: what is linked whatever
/// the mask is, directories and what is copied with what another mask leaves.
fn check(hardlinks: bool, expect: &[(&str, u32, u64)]) {
    let scene = Scene::new();
    let tree = scene.tree("plain one\nexe* two\nsub/inner three\nlink -> plain");
    let options = ExportOptions { hardlinks, ..ExportOptions::default() };
    scene.store.export_tree(&tree, &scene.path("out"), &options).expect("an export");
    for (name, mode, links) in expect {
        let status = scene.path("out").join(name).symlink_metadata().expect("a status");
        let is_masked = status.is_dir() || !hardlinks;
        let mode =
            if is_masked { (mode | (mode & 0o200) >> 3 | (mode & 0o200) >> 6) & !mask() } else { *mode };
        assert_eq!((status.mode() & 0o7777, status.nlink()), (mode, *links), "{name}");
    }
}

#[test]
fn modes_are_those_of_the_reference() {
    check(false, &[("plain", 0o644, 1), ("exe", 0o755, 1), ("sub", 0o755, 2), ("sub/inner", 0o644, 1)]);
    check(true, &[("plain", 0o444, 2), ("exe", 0o555, 1), ("sub", 0o755, 2), ("sub/inner", 0o444, 2)]);
}

#[test]
fn recorded_times_come_back() {
    let scene = Scene::new();
    write_tree(&scene.path("in"), "f x\nsub/g y");
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    for name in ["in/f", "in/sub/g", "in/sub"] {
        std::fs::File::open(scene.path(name)).and_then(|file| file.set_modified(time)).expect("a time");
    }
    let options = ImportOptions { record_mtime: true, ..ImportOptions::default() };
    let tree = scene.store.import_tree(&scene.path("in"), &options).expect("an import");
    for hardlinks in [false, true] {
        let out = scene.path(if hardlinks { "linked" } else { "copied" });
        let options = ExportOptions { hardlinks, ..ExportOptions::default() };
        scene.store.export_tree(&tree, &out, &options).expect("an export");
        for name in ["f", "sub/g", "sub"] {
            assert_eq!(out.join(name).metadata().expect("a status").mtime(), 1_000_000_000, "{name}");
        }
        assert_eq!(out.join("f").metadata().expect("a status").nlink(), 1);
    }
}

#[test]
fn a_destination_that_is_not_empty_needs_to_be_asked_for() {
    let scene = Scene::new();
    let tree = scene.tree("a new\nsub/b* new\nl -> new");
    write_tree(&scene.path("out"), "a old\nsub/b old\nsub/c kept\nl -> old");
    let refused = scene.store.export_tree(&tree, &scene.path("out"), &ExportOptions::default());
    assert_eq!(refused.expect_err("an error").kind, ErrorKind::Invalid);
    for hardlinks in [false, true] {
        let options = ExportOptions { merge: true, hardlinks, ..ExportOptions::default() };
        scene.store.export_tree(&tree, &scene.path("out"), &options).expect("an export");
        assert_eq!(read_tree(&scene.path("out")), lines("a new\nl -> new\nsub/b* new\nsub/c kept"));
    }
}

#[test]
fn nothing_is_written_through_links() {
    let scene = Scene::new();
    let tree = scene.tree("sub/f x");
    std::fs::create_dir(scene.path("elsewhere")).expect("a directory");
    write_tree(&scene.path("out"), "");
    std::os::unix::fs::symlink(scene.path("elsewhere"), scene.path("out/sub")).expect("a link");
    let options = ExportOptions { merge: true, ..ExportOptions::default() };
    scene.store.export_tree(&tree, &scene.path("out"), &options).expect_err("an error");
    assert_eq!(read_tree(&scene.path("elsewhere")), "");
    // A tree made to do the same is no tree.
    let forged = Directory {
        directories: vec![DirectoryNode { name: "d".into(), digest: Some(tree.into()) }],
        symlinks: vec![SymlinkNode { name: "d".into(), target: "/tmp".into(), node_properties: None }],
        ..Directory::default()
    };
    let digest = scene.store.write_directory(&forged).expect("a digest");
    let error = scene
        .store
        .export_tree(&digest, &scene.path("forged"), &ExportOptions::default())
        .expect_err("an error");
    assert_eq!(error.kind, ErrorKind::Invalid);
}

#[test]
fn a_missing_blob_is_named() {
    let scene = Scene::new();
    let tree = scene.tree("a one");
    std::fs::remove_file(scene.store.object_path(&Digest::of(b"one"))).expect("a removal");
    for hardlinks in [false, true] {
        let options = ExportOptions { hardlinks, merge: true, ..ExportOptions::default() };
        let error = scene.store.export_tree(&tree, &scene.path("out"), &options).expect_err("an error");
        assert_eq!(error.kind, ErrorKind::Missing);
        assert!(error.message.contains(&Digest::of(b"one").hex()[2..]), "{error}");
    }
}

#[test]
fn staged_trees_look_as_in_a_sandbox() {
    let scene = Scene::new();
    let tree = scene.tree("plain one\nexe* two\nsub/inner three\nlink -> plain");
    let options = ExportOptions { staged: true, ..ExportOptions::default() };
    scene.store.export_tree(&tree, &scene.path("out"), &options).expect("an export");
    for (name, mode) in
        [("", 0o755), ("plain", 0o644), ("exe", 0o755), ("sub", 0o755), ("sub/inner", 0o644), ("link", 0o777)]
    {
        let status = scene.path("out").join(name).symlink_metadata().expect("a status");
        assert_eq!((status.mode() & 0o7777, status.mtime()), (mode, 1_321_009_871), "{name}");
    }
}

/// Directories of large trees are placed apart from each other for the time that it takes, by an attribute.
#[test]
fn large_trees_arrive_whole_and_leave_no_attributes() {
    let scene = Scene::new();
    let text: String =
        (0..2100).map(|index| format!("top/d{}/e{}/f{index} {index}\n", index % 7, index % 3)).collect();
    let tree = scene.tree(&text);
    let attributes = |path: &std::path::Path| {
        let directory = std::fs::File::open(path).expect("a directory");
        rustix::fs::ioctl_getflags(directory).map(|flags| flags.bits())
    };
    std::fs::create_dir(scene.path("plain")).expect("a directory");
    let usual = attributes(&scene.path("plain"));
    for hardlinks in [false, true] {
        let out = scene.path(if hardlinks { "linked" } else { "copied" });
        let options = ExportOptions { hardlinks, ..ExportOptions::default() };
        scene.store.export_tree(&tree, &out, &options).expect("an export");
        assert_eq!(read_tree(&out), lines(&text));
        for name in ["", "top", "top/d0", "top/d0/e0"] {
            assert_eq!(attributes(&out.join(name)), usual, "{name}");
        }
    }
}
