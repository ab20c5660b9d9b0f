//! What goes when there is too much, and what stays.

use crate::scene::{Scene, write_tree};
use bourn_cas::{Quota, Store};
use bourn_reapi::artifact::{Artifact, ArtifactName};
use bourn_reapi::services::{ErrorKind, ImportOptions};
use bourn_reapi::{Assets, Cas, Digest};
use rayon::prelude::*;
use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const MEBIBYTE: usize = 1 << 20;

/// A blob of a mebibyte that is like no other.
fn blob(letter: char) -> String {
    letter.to_string().repeat(MEBIBYTE)
}

/// Publishes an artifact of one element with these files.
fn publish(scene: &Scene, element: &str, text: &str) -> Digest {
    let files = scene.tree(text);
    let artifact = Artifact { version: 1, files: Some(files.into()), ..Artifact::default() };
    let names = ["strong", "weak"].map(|key| ArtifactName::new("demo", element, key));
    scene.store.publish_artifact(&names, &artifact).expect("a name");
    files
}

/// Sets the last use of everything in the cache.
fn age(path: &Path, seconds: u64) {
    let time = SystemTime::now() - Duration::from_secs(seconds);
    for entry in std::fs::read_dir(path).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "tmp") {
            age(&path, seconds);
        }
        if !path.is_symlink() {
            File::open(&path).and_then(|file| file.set_modified(time)).expect("a time");
        }
    }
}

fn age_name(scene: &Scene, element: &str, seconds: u64) {
    age(&scene.path("cache/artifacts/refs/demo").join(element), seconds);
}

fn quota(mebibytes: usize) -> Quota {
    Quota { bytes: Some((mebibytes * MEBIBYTE) as u64), reserved: 0, low_watermark: 0.8 }
}

fn names(store: &Store) -> Vec<String> {
    let mut names: Vec<String> =
        store.artifact_names().expect("names").iter().map(|name| name.element.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// Three artifacts of two mebibytes each, of which one is shared, last used in the order of their names.
fn three() -> (Scene, [Digest; 3]) {
    let scene = Scene::new();
    let trees = ["one", "two", "six"].map(|name| {
        let own = blob(name.chars().last().unwrap_or('x'));
        publish(&scene, name, &format!("shared {}\n{name} {own}\n", blob('s')))
    });
    age(&scene.path("cache"), 1000);
    for (name, seconds) in [("one", 900), ("two", 800), ("six", 700)] {
        age_name(&scene, name, seconds);
    }
    (scene, trees)
}

#[test]
fn nothing_goes_while_there_is_room() {
    let (scene, _) = three();
    let expired = scene.store.expire(&quota(5)).expect("an expiry");
    assert_eq!((expired.objects, expired.before), (0, expired.after));
    assert_eq!(names(&scene.store), ["one", "six", "two"]);
}

#[test]
fn what_was_used_longest_ago_goes_first_and_whole() {
    let (scene, [one, two, six]) = three();
    let expired = scene.store.expire(&quota(4)).expect("an expiry");
    assert_eq!(names(&scene.store), ["six", "two"]);
    let keys = |names: &Vec<ArtifactName>| names.iter().map(|name| name.key.clone()).collect::<Vec<_>>();
    assert_eq!(expired.artifacts.iter().map(keys).collect::<Vec<_>>(), [["strong", "weak"]]);
    assert!(expired.after <= 4 * MEBIBYTE as u64);
    assert!(!scene.store.contains_tree(&one).expect("an answer"));
    assert!(!scene.store.object_path(&Digest::of(blob('e').as_bytes())).exists());
    for tree in [two, six] {
        assert!(scene.store.contains_tree(&tree).expect("an answer"));
    }
}

#[test]
fn looking_a_name_up_is_using_it() {
    let (scene, [one, ..]) = three();
    scene.store.artifact(&ArtifactName::new("demo", "one", "weak")).expect("an answer");
    scene.store.expire(&quota(3)).expect("an expiry");
    assert!(names(&scene.store).contains(&"one".to_owned()));
    assert!(scene.store.contains_tree(&one).expect("an answer"));
}

#[test]
fn what_a_session_relies_on_stays() {
    let (scene, [one, two, six]) = three();
    // Another process, as far as the store can tell.
    let other = Store::open(&scene.path("cache")).expect("a cache");
    assert!(other.contains_tree(&one).expect("an answer"));
    other.artifact(&ArtifactName::new("demo", "two", "strong")).expect("an answer");
    other.write(blob('e').as_bytes()).expect("a digest");
    let kept = other.write(b"new").expect("a digest");
    let expired = scene.store.expire(&quota(0)).expect("an expiry");
    assert_eq!(names(&scene.store), ["two"]);
    assert!(expired.objects > 0);
    assert!(other.missing_blobs(&[kept, Digest::of(blob('e').as_bytes())]).expect("an answer").is_empty());
    for (tree, there) in [(one, true), (two, true), (six, false)] {
        assert_eq!(
            Store::open(&scene.path("cache")).expect("a cache").contains_tree(&tree).expect("an answer"),
            there
        );
    }
    drop(other);
    age(&scene.path("cache"), 600);
    scene.store.expire(&quota(0)).expect("an expiry");
    assert_eq!(names(&scene.store), [""; 0]);
    assert_eq!(scene.store.usage().expect("a sum").bytes, 0);
}

#[test]
fn blobs_without_a_name_go_before_anything_that_has_one() {
    let (scene, _) = three();
    for letter in ['1', '2', '3'] {
        let digest = scene.store.write(blob(letter).as_bytes()).expect("a digest");
        age_object(&scene, &digest);
    }
    let expired = scene.store.expire(&quota(6)).expect("an expiry");
    assert_eq!(expired.objects, 3);
    assert_eq!(names(&scene.store), ["one", "six", "two"]);
}

fn age_object(scene: &Scene, digest: &Digest) {
    let time = SystemTime::now() - Duration::from_secs(1000);
    File::open(scene.store.object_path(digest)).and_then(|file| file.set_modified(time)).expect("a time");
}

#[test]
fn layers_go_too_unless_they_are_in_use() {
    let (scene, [one, two, _]) = three();
    let used = scene.store.layer(&one, &[]).expect("layers");
    let unused = scene.store.layer(&two, &[]).expect("layers").layers[0].path.clone();
    age(&scene.path("cache"), 600);
    let expired = scene.store.expire(&quota(0)).expect("an expiry");
    assert_eq!(expired.layers, 1);
    assert!(!unused.exists());
    assert!(used.layers[0].path.exists());
    if let Some(shown) = crate::overlay::look(&used) {
        assert!(shown.contains("./shared=sss"));
    }
    let content = |scene: &Scene| {
        let root = scene.path("cache/bourn/content");
        let prefixes =
            std::fs::read_dir(root).expect("a directory").map(|entry| entry.expect("an entry").path());
        prefixes.map(|path| std::fs::read_dir(path).expect("a directory").count()).sum::<usize>()
    };
    // Content changed only now, by losing its other name, so it stays for another session.
    drop(used);
    age(&scene.path("cache"), 600);
    drop(scene.store);
    let store = Store::open(&scene.place.path().join("cache")).expect("a cache");
    let expired = store.expire(&quota(0)).expect("an expiry");
    assert_eq!(expired.layers, 1);
    let scene = Scene { store, place: scene.place };
    assert_eq!(content(&scene), 0);
}

#[test]
fn the_reserve_of_the_disk_is_kept_free() {
    let (scene, _) = three();
    let status = rustix::fs::statvfs(scene.place.path()).expect("a status");
    let available = status.f_bavail * status.f_frsize;
    let reserved = Quota { bytes: None, reserved: available / 2, low_watermark: 0.8 };
    assert_eq!(scene.store.expire(&reserved).expect("an expiry").objects, 0);
    let too_much = Quota { bytes: None, reserved: available * 2, low_watermark: 0.8 };
    assert!(scene.store.expire(&too_much).expect("an expiry").objects > 0);
    assert_eq!(names(&scene.store), [""; 0]);
}

#[test]
fn what_is_only_kept_to_spare_work_goes_before_everything_else() {
    let (scene, _) = three();
    let kept = scene.store.kept().expect("a directory").join(format!("name.{}", 2 * MEBIBYTE));
    std::fs::create_dir_all(kept.join("tree/deep")).expect("a directory");
    assert_eq!(scene.store.usage().expect("a sum").kept_bytes, 2 * MEBIBYTE as u64);
    let expired = scene.store.expire(&quota(7)).expect("an expiry");
    assert!(kept.exists() && expired.before == expired.after);
    let expired = scene.store.expire(&quota(5)).expect("an expiry");
    assert!(!kept.exists());
    assert_eq!((expired.artifacts.len(), expired.before - expired.after), (0, 2 * MEBIBYTE as u64));
    assert_eq!(names(&scene.store), ["one", "six", "two"]);
}

#[test]
fn usage_says_who_uses_what() {
    let (scene, _) = three();
    scene.store.write(b"nobody's").expect("a digest");
    let usage = scene.store.usage().expect("a sum");
    let elements: Vec<&str> = usage.used.iter().map(|used| used.artifacts[0].element.as_str()).collect();
    assert_eq!(elements, ["six", "two", "one"]);
    for used in &usage.used {
        assert_eq!(used.artifacts.len(), 2);
        assert_eq!(used.bytes / MEBIBYTE as u64, 2);
    }
    assert_eq!(usage.used[0].own_bytes / MEBIBYTE as u64, 1);
    assert_eq!(usage.unreferenced, 8);
    assert_eq!(usage.bytes / MEBIBYTE as u64, 4);
}

/// What a session says that stores a mebibyte of each of these letters, with a quota in mebibytes.
fn store_within(cache: &Path, mebibytes: usize, letters: &str) -> Vec<Result<Digest, ErrorKind>> {
    let store = Arc::new(Store::open(cache).expect("a cache"));
    store.keep_within(quota(mebibytes));
    letters.chars().map(|letter| store.write(blob(letter).as_bytes()).map_err(|error| error.kind)).collect()
}

/// A cache that nobody has open.
fn closed(scene: Scene) -> (tempfile::TempDir, PathBuf) {
    let Scene { place, store } = scene;
    drop(store);
    let cache = place.path().join("cache");
    (place, cache)
}

#[test]
fn writing_makes_room() {
    let (scene, [one, _, six]) = three();
    let (_place, cache) = closed(scene);
    // Four mebibytes are there.
    assert!(store_within(&cache, 5, "1").iter().all(Result::is_ok));
    let there = |tree: &Digest| Store::open(&cache).expect("a cache").contains_tree(tree).expect("an answer");
    assert!(!there(&one) && there(&six));
}

#[test]
fn what_is_in_use_fills_a_cache_for_good() {
    let (place, cache) = closed(Scene::new());
    assert!(store_within(&cache, 3, "12").iter().all(Result::is_ok));
    let stored = store_within(&cache, 3, "3456");
    let failed: Vec<bool> = stored.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, false, false, true]);
    assert_eq!(stored[3], Err(ErrorKind::NoSpace));
    let store = Arc::new(Store::open(&cache).expect("a cache"));
    // Nothing of what failed is there, and what is there already needs no room.
    assert!(!store.object_path(&Digest::of(blob('6').as_bytes())).exists());
    assert!(store_within(&cache, 3, "345").iter().all(Result::is_ok));
    // A tree that is too large as a whole.
    store.keep_within(quota(3));
    let path = place.path().join("in");
    write_tree(&path, &format!("a {}\nb {}\nc {}\nd {}\n", blob('a'), blob('b'), blob('c'), blob('d')));
    let error = store.import_tree(&path, &ImportOptions::default()).expect_err("an error");
    assert_eq!(error.kind, ErrorKind::NoSpace);
    assert!(store.write_from(&mut vec![1; 5 << 20].as_slice()).is_err());
}

thread_local! {
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

/// Counting what a cache holds and making room take long, on all cores. Whoever waits for that while it writes must not
/// be given something else to do meanwhile: it could be more writing, which waits for the same.
#[test]
fn who_waits_for_room_does_nothing_else() {
    let (place, cache) = closed(Scene::new());
    let path = place.path().join("in");
    let line = |number: usize| format!("{number} {number}\n");
    write_tree(&path, &(0..2000).map(line).collect::<String>());
    let _ = Store::open(&cache)
        .and_then(|store| store.import_tree(&path, &ImportOptions::default()))
        .expect("an import");
    let threads = rayon::ThreadPoolBuilder::new().num_threads(4).build().expect("threads");
    for round in 0..40 {
        let store = Arc::new(Store::open(&cache).expect("a cache"));
        store.keep_within(quota(1000));
        let work = |number: usize| {
            assert!(!WRITES.get(), "something else while writing");
            if number == 5 {
                WRITES.set(true);
                store.write(format!("new {round}").as_bytes()).expect("written");
                WRITES.set(false);
            }
            std::thread::sleep(Duration::from_micros(200));
        };
        threads.install(|| (0..64).into_par_iter().with_max_len(1).for_each(work));
    }
}
