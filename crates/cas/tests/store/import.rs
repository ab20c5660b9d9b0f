//! What becomes of files, links, directories and everything else.

use crate::scene::{Scene, lines, write_tree};
use bourn_reapi::services::{ErrorKind, ImportOptions};
use bourn_reapi::{Cas, Digest};
use rustix::fs::{CWD, FileType, Mode};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

#[test]
fn a_tree_comes_back_as_it_went_in() {
    let scene = Scene::new();
    let text = "a one\nb* two\nsub/deep/c three\nsub/empty/\nlink -> sub/deep\ndangling -> /nowhere\n";
    let digest = scene.tree(text);
    assert_eq!(scene.text(&digest), lines(text));
    assert!(scene.store.contains_tree(&digest).expect("an answer"));
}

/// Taken from `bst` 2.8.1 on the same files.
#[test]
fn digests_are_those_of_the_reference() {
    let scene = Scene::new();
    let text = "a one\nb* two\nempty/\nsub/deep/c three\nlink -> sub/deep\ndangling -> /nowhere\nzero\né x";
    let expect = "a01a334d2212d16803813f59910335271917d04efee34c7b56ba81268125b846/498";
    assert_eq!(scene.tree(text).to_string(), expect);
}

#[test]
fn only_the_executable_bit_of_the_owner_is_kept() {
    for (mode, executable) in
        [(0o600, false), (0o700, true), (0o610, false), (0o601, false), (0o4755, true), (0o444, false)]
    {
        let scene = Scene::new();
        write_tree(&scene.path("in"), "f x");
        std::fs::set_permissions(scene.path("in/f"), PermissionsExt::from_mode(mode)).expect("a mode");
        let digest =
            scene.store.import_tree(&scene.path("in"), &ImportOptions::default()).expect("an import");
        let directory = scene.store.directory(&digest).expect("a directory");
        assert_eq!(directory.files[0].is_executable, executable, "{mode:o}");
    }
}

#[test]
fn devices_sockets_and_pipes_are_left_out() {
    let scene = Scene::new();
    write_tree(&scene.path("in"), "f x");
    rustix::fs::mknodat(CWD, scene.path("in/pipe"), FileType::Fifo, Mode::from(0o644), 0).expect("a pipe");
    let _socket = std::os::unix::net::UnixListener::bind(scene.path("in/socket")).expect("a socket");
    let digest = scene.store.import_tree(&scene.path("in"), &ImportOptions::default()).expect("an import");
    assert_eq!(scene.text(&digest), "f x\n");
}

#[test]
fn names_that_no_tree_can_hold_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let scene = Scene::new();
    write_tree(&scene.path("in"), "f x");
    std::fs::write(scene.path("in").join(std::ffi::OsStr::from_bytes(b"b\xff")), "x").expect("a file");
    let error = scene.store.import_tree(&scene.path("in"), &ImportOptions::default()).expect_err("an error");
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("in/b"), "{error}");
}

#[test]
fn objects_are_read_only_and_named_by_content() {
    let scene = Scene::new();
    let digest = scene.store.write(b"hello").expect("a digest");
    let path = scene.store.object_path(&digest);
    assert_eq!(std::fs::read(&path).expect("the object"), b"hello");
    assert_eq!(path.metadata().expect("a status").mode() & 0o7777, 0o444);
    let hex = digest.hex();
    assert!(path.ends_with(format!("cas/objects/{}/{}", &hex[..2], &hex[2..])));
}

#[test]
fn streams_and_large_files_are_stored_once() {
    let scene = Scene::new();
    let large: Vec<u8> = (0..10_000_000_u32).map(|at| (at / 7) as u8).collect();
    let streamed = scene.store.write_from(&mut large.as_slice()).expect("a digest");
    assert_eq!(streamed, Digest::of(&large));
    write_tree(&scene.path("in"), "f x");
    std::fs::write(scene.path("in/large"), &large).expect("a file");
    let digest = scene.store.import_tree(&scene.path("in"), &ImportOptions::default()).expect("an import");
    let directory = scene.store.directory(&digest).expect("a directory");
    assert_eq!(directory.file("large").and_then(|file| file.content().ok()), Some(streamed));
    assert_eq!(scene.store.read(&streamed).expect("the blob"), large);
}

#[test]
fn files_given_away_are_moved() {
    let scene = Scene::new();
    write_tree(&scene.path("in"), "a one\nb* two\nsub/c three");
    let inode = scene.path("in/a").metadata().expect("a status").ino();
    std::fs::hard_link(scene.path("in/sub/c"), scene.path("in/d")).expect("a link");
    let options = ImportOptions { consume: true, ..ImportOptions::default() };
    let digest = scene.store.import_tree(&scene.path("in"), &options).expect("an import");
    assert_eq!(scene.text(&digest), "a one\nb* two\nd three\nsub/c three\n");
    let object = scene.store.object_path(&Digest::of(b"one"));
    assert_eq!(object.metadata().expect("a status").ino(), inode);
    assert_eq!(object.metadata().expect("a status").mode() & 0o7777, 0o444);
    assert!(!scene.path("in/a").exists());
    // What has a second name is copied, so that nobody can write to the object through that name.
    assert!(scene.path("in/d").exists());
}

#[test]
fn times_are_recorded_on_request_to_the_microsecond() {
    let scene = Scene::new();
    write_tree(&scene.path("in"), "f x\nsub/");
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(1_000_000_000_123_456_789);
    std::fs::File::options()
        .write(true)
        .open(scene.path("in/f"))
        .and_then(|file| file.set_modified(time))
        .expect("a time");
    let options = ImportOptions { record_mtime: true, ..ImportOptions::default() };
    let digest = scene.store.import_tree(&scene.path("in"), &options).expect("an import");
    let directory = scene.store.directory(&digest).expect("a directory");
    let mtime =
        directory.files[0].node_properties.as_ref().and_then(|properties| properties.mtime).expect("a time");
    assert_eq!((mtime.seconds, mtime.nanos), (1_000_000_000, 123_456_000));
    assert!(directory.node_properties.is_some());
}

#[test]
fn what_is_missing_or_damaged_is_noticed_and_replaced() {
    let scene = Scene::new();
    let tree = scene.tree("a one\nsub/b two");
    let object = scene.store.object_path(&Digest::of(b"two"));
    std::fs::remove_file(&object).expect("a removal");
    assert!(!scene.store.contains_tree(&tree).expect("an answer"));
    assert_eq!(scene.store.read(&Digest::of(b"two")).expect_err("an error").kind, ErrorKind::Missing);
    // Empty, as a crash of the machine may leave it.
    std::fs::write(&object, "").expect("a file");
    assert_eq!(scene.store.missing_blobs(&[Digest::of(b"two")]).expect("an answer").len(), 1);
    scene.tree("sub/b two");
    assert!(scene.store.contains_tree(&tree).expect("an answer"));
    // The same size, another content.
    std::fs::remove_file(&object).expect("a removal");
    std::fs::write(&object, "owt").expect("a file");
    let error = scene.store.read(&Digest::of(b"two")).expect_err("an error");
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(!object.exists());
    scene.tree("sub/b two");
    assert_eq!(scene.store.read(&Digest::of(b"two")).expect("the blob"), b"two");
}

#[test]
fn the_count_of_the_daemon_goes_when_something_is_added() {
    let scene = Scene::new();
    let count = scene.store.cachedir().join("cas/disk_usage");
    std::fs::write(&count, "0").expect("a file");
    scene.store.read(&Digest::of(b"nothing")).expect_err("it is not there");
    assert!(count.exists());
    scene.store.write(b"something").expect("an object");
    assert!(!count.exists());
}
