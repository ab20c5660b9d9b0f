use super::*;
use bourn_yaml::Files;
use rayon::prelude::*;
use rustix::fs::{AtFlags, Timespec, Timestamps, utimensat};
use std::cell::Cell;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;
use tempfile::TempDir;

struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place { directory: TempDir::new().expect("a directory") };
        place.write("t/a", "hello\n");
        place.write("t/sub/x", "x");
        place.write("t/sub/deeper/y", "y");
        symlink("a", place.path("t/link")).expect("a link");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(path, content).expect("a file");
    }

    /// As a run of its own would answer, records kept.
    fn remembered(&self) -> Digest {
        LocalTrees::new(Some(&self.path("cache")), Files::default())
            .tree(&self.path("t"), FileTimes::Dropped)
            .expect("a digest")
    }

    /// As a run without any records would answer.
    fn fresh(&self) -> Digest {
        LocalTrees::new(None, Files::default()).tree(&self.path("t"), FileTimes::Dropped).expect("a digest")
    }

    /// Checks that a change shows, and is remembered as it is.
    fn changes(&self, what: &str, change: impl FnOnce()) {
        let before = self.remembered();
        change();
        let after = self.fresh();
        assert_ne!(before, after, "{what}");
        assert_eq!(self.remembered(), after, "{what}, first time");
        assert_eq!(self.remembered(), after, "{what}, second time");
    }
}

#[test]
fn every_change_shows() {
    let place = Place::new();
    assert_eq!(place.remembered(), place.fresh());
    place.changes("content of the same length", || place.write("t/sub/deeper/y", "z"));
    place.changes("a new file", || place.write("t/sub/new", ""));
    place.changes("a file gone", || std::fs::remove_file(place.path("t/sub/new")).expect("removed"));
    place.changes("a new empty directory", || std::fs::create_dir(place.path("t/empty")).expect("made"));
    place.changes("an executable bit", || {
        std::fs::set_permissions(place.path("t/a"), PermissionsExt::from_mode(0o744)).expect("chmod");
    });
    place.changes("another target", || {
        std::fs::remove_file(place.path("t/link")).expect("removed");
        symlink("b", place.path("t/link")).expect("a link");
    });
    place.changes("a file for a directory", || {
        std::fs::remove_dir(place.path("t/empty")).expect("removed");
        place.write("t/empty", "");
    });
    place.changes("a directory for a file", || {
        std::fs::remove_file(place.path("t/empty")).expect("removed");
        place.write("t/empty/in", "");
    });
    place.changes("a name", || {
        std::fs::rename(place.path("t/sub/x"), place.path("t/sub/w")).expect("renamed");
    });
}

#[test]
fn content_changed_within_a_tick_shows() {
    // The modification time is put back, as a second write within the clock's tick would leave it.
    let place = Place::new();
    let path = place.path("t/a");
    let before = place.remembered();
    let old = std::fs::metadata(&path).expect("metadata").modified().expect("a time");
    place.write("t/a", "jello\n");
    File::options().write(true).open(&path).expect("open").set_modified(old).expect("a time set");
    assert_ne!(place.remembered(), before);
}

#[test]
fn other_bits_do_not_count() {
    let place = Place::new();
    let before = place.remembered();
    std::fs::set_permissions(place.path("t/a"), PermissionsExt::from_mode(0o655)).expect("chmod");
    rustix::fs::mkfifoat(rustix::fs::CWD, place.path("t/pipe"), 0o600.into()).expect("a pipe");
    assert_eq!(place.remembered(), before);
    assert_eq!(place.fresh(), before);
    assert_eq!(place.remembered(), before);
}

#[test]
fn a_damaged_store_costs_time_only() {
    let place = Place::new();
    let expect = place.fresh();
    let store = place.path("cache/local-digests");
    place.remembered();
    let whole = std::fs::read(&store).expect("a store");
    for length in (0..whole.len()).step_by(37).chain([whole.len() - 1]) {
        std::fs::write(&store, &whole[..length]).expect("written");
        assert_eq!(place.remembered(), expect, "cut at {length}");
        let mut damaged = whole.clone();
        damaged[length] ^= 0xff;
        std::fs::write(&store, damaged).expect("written");
        assert_eq!(place.remembered(), expect, "damaged at {length}");
    }
    std::fs::write(&store, "something else entirely").expect("written");
    assert_eq!(place.remembered(), expect);
    assert_eq!(place.remembered(), expect);
}

#[test]
fn a_store_that_cannot_be_written_is_no_error() {
    let place = Place::new();
    place.write("cache", "no directory");
    assert_eq!(place.remembered(), place.fresh());
}

#[test]
fn outdated_records_are_dropped() {
    let place = Place::new();
    for i in 0..3000 {
        place.write(&format!("t/many/{i}"), "");
    }
    let mut largest = 0;
    for i in 0..40 {
        place.write("t/a", &i.to_string());
        place.remembered();
        largest = largest.max(std::fs::metadata(place.path("cache/local-digests")).expect("a store").len());
    }
    assert!(largest < 3 << 20, "{largest}");
    assert_eq!(place.remembered(), place.fresh());
}

/// The reference's digest of an open workspace with these times.
#[test]
fn times_of_workspaces() {
    let place = Place { directory: TempDir::new().expect("a directory") };
    place.write("a", "hello\n");
    place.write("sub/x", "x");
    std::fs::set_permissions(place.path("sub/x"), PermissionsExt::from_mode(0o755)).expect("chmod");
    symlink("a", place.path("link")).expect("a link");
    let times = [
        ("a", 1_600_000_000, 123_456_789),
        ("sub/x", 1_600_000_002, 0),
        ("sub", 1_600_000_001, 500_000_999),
        (".", 1_600_000_003, 500_000_999),
    ];
    for (name, tv_sec, tv_nsec) in times {
        let time = Timespec { tv_sec, tv_nsec };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(rustix::fs::CWD, place.path(name), &times, AtFlags::empty()).expect("times set");
    }
    let trees = LocalTrees::new(None, Files::default());
    let digest = trees.tree(place.directory.path(), FileTimes::Kept).expect("a digest");
    assert_eq!(digest.to_string(), "ede79902b5a1937b0346df07bc60341efcd6be042ed77065a6c174e3f1629da9/178");
}

#[test]
fn what_is_missing_or_unreadable_is_named() {
    let place = Place::new();
    let error = LocalTrees::new(None, Files::default())
        .tree(&place.path("nothing"), FileTimes::Dropped)
        .expect_err("an error");
    assert!(error.message.contains("nothing"), "{error}");
    let odd = OsStr::from_bytes(b"t/\xff");
    std::fs::write(place.directory.path().join(odd), "").expect("written");
    let error = LocalTrees::new(None, Files::default())
        .tree(&place.path("t"), FileTimes::Dropped)
        .expect_err("an error");
    assert!(error.message.contains("UTF-8"), "{error}");
}

thread_local! {
    static ASKS: Cell<bool> = const { Cell::new(false) };
}

/// Several elements may have one tree, and whoever hashes it waits for threads that help: while waiting it may be
/// given one of these elements, and must not wait for its own answer.
#[test]
fn who_waits_for_parts_of_a_tree_may_need_the_tree() {
    let place = Place::new();
    for number in 0..200 {
        place.write(&format!("t/{}/{number}", number / 4), &number.to_string());
    }
    let digest = place.fresh();
    let threads = rayon::ThreadPoolBuilder::new().num_threads(4).build().expect("threads");
    for _ in 0..100 {
        let trees = LocalTrees::new(None, Files::default());
        let ask = || trees.tree(&place.path("t"), FileTimes::Dropped).expect("a digest");
        let work = |number: usize| {
            if number == 5 {
                ASKS.set(true);
                assert_eq!(ask(), digest);
                ASKS.set(false);
            } else if ASKS.get() {
                assert_eq!(ask(), digest);
            }
            std::thread::sleep(Duration::from_micros(200));
        };
        threads.install(|| (0..64).into_par_iter().with_max_len(1).for_each(work));
    }
}
