//! Trees that are known to be whole, and objects that go behind the cache's back.

use crate::scene::Scene;
use bourn_cas::{Quota, Store};
use bourn_reapi::{Cas, Digest, FileNode};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// A tree with so many files that what was seen of it is written down.
fn large(scene: &Scene) -> Digest {
    let mut text = String::new();
    for at in 0..700 {
        writeln!(text, "d{}/f{at} content of {at}", at % 20).expect("text");
    }
    scene.tree(&text)
}

fn records(scene: &Scene) -> Vec<PathBuf> {
    let entries = fs::read_dir(scene.path("cache/bourn/whole")).expect("records");
    let mut records: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    records.sort();
    records
}

/// Lets times that directories were changed at become past times.
fn settle() {
    std::thread::sleep(Duration::from_millis(120));
}

#[test]
fn a_deleted_object_is_missed_by_whoever_knew_the_tree() {
    let scene = Scene::new();
    let tree = large(&scene);
    settle();
    let other = Store::open(&scene.path("cache")).expect("the same cache");
    for round in 0..2 {
        assert!(scene.store.contains_tree(&tree).expect("an answer"), "{round}");
        assert!(other.contains_tree(&tree).expect("an answer"), "{round}");
    }
    assert_eq!(records(&scene).len(), 2);
    for at in [0, 350, 699] {
        let path = scene.store.object_path(&Digest::of(format!("content of {at}").as_bytes()));
        let aside = scene.path("aside");
        fs::rename(&path, &aside).expect("an object");
        assert!(!scene.store.contains_tree(&tree).expect("an answer"), "{at}");
        assert!(!other.contains_tree(&tree).expect("an answer"), "{at}");
        fs::rename(&aside, &path).expect("an object");
        assert!(scene.store.contains_tree(&tree).expect("an answer"), "{at}");
        settle();
        assert!(other.contains_tree(&tree).expect("an answer"), "{at}");
    }
    fs::remove_dir_all(scene.path("cache/cas/objects/00")).expect("a directory");
    fs::create_dir(scene.path("cache/cas/objects/00")).expect("a directory");
    assert!(!scene.store.contains_tree(&tree).expect("an answer"));
}

#[test]
fn an_object_deleted_right_after_it_was_seen_is_missed() {
    let scene = Scene::new();
    let mut all = (*scene.store.directory(&large(&scene)).expect("a tree")).clone();
    for round in 0..60 {
        // Beside many that are there for long, one that comes and goes within a tick of the clock, or two.
        let object = scene.store.write(format!("{round}").as_bytes()).expect("an object");
        all.files = vec![FileNode { name: "new".into(), digest: Some(object.into()), ..FileNode::default() }];
        let tree = scene.store.write_directory(&all).expect("a tree");
        assert!(scene.store.contains_tree(&tree).expect("an answer"), "{round}");
        fs::remove_file(scene.store.object_path(&object)).expect("an object");
        assert!(!scene.store.contains_tree(&tree).expect("an answer"), "{round}");
    }
    assert_eq!(records(&scene).len(), 2 * 60);
}

#[test]
fn damaged_records_are_worth_nothing() {
    let scene = Scene::new();
    let tree = large(&scene);
    settle();
    assert!(scene.store.contains_tree(&tree).expect("an answer"));
    settle();
    assert!(scene.store.contains_tree(&tree).expect("an answer"));
    let [blobs, seen] = &records(&scene)[..] else { panic!("records of one tree") };
    let damage: [&dyn Fn(); 5] = [
        &|| fs::write(seen, b"").expect("a record"),
        &|| fs::write(seen, b"something else").expect("a record"),
        &|| {
            let mut bytes = fs::read(seen).expect("a record");
            bytes[2000] ^= 1;
            fs::write(seen, bytes).expect("a record");
        },
        &|| fs::write(blobs, b"").expect("a record"),
        // It is not written again while nothing changes.
        &|| drop(fs::remove_file(blobs)),
    ];
    let object = scene.store.object_path(&Digest::of(b"content of 5"));
    let aside = scene.path("aside");
    for (at, damage) in damage.iter().enumerate() {
        damage();
        assert!(scene.store.contains_tree(&tree).expect("an answer"), "{at}");
        damage();
        fs::rename(&object, &aside).expect("an object");
        assert!(!scene.store.contains_tree(&tree).expect("an answer"), "{at}");
        fs::rename(&aside, &object).expect("an object");
        assert!(scene.store.contains_tree(&tree).expect("an answer"), "{at}");
    }
}

#[test]
fn an_expired_tree_is_forgotten() {
    let scene = Scene::new();
    let tree = large(&scene);
    assert!(scene.store.contains_tree(&tree).expect("an answer"));
    assert_eq!(records(&scene).len(), 2);
    let cache = scene.path("cache");
    let Scene { place, store } = scene;
    drop(store);
    settle();
    let store = Store::open(&cache).expect("the cache");
    let expired = store.expire(&Quota { bytes: Some(0), reserved: 0, low_watermark: 0.5 }).expect("room");
    assert!(expired.objects > 700);
    let scene = Scene { place, store };
    assert!(records(&scene).is_empty());
    assert!(!scene.store.contains_tree(&tree).expect("an answer"));
}
