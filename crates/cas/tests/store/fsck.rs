//! Damage is found, put aside and healed.

use crate::scene::Scene;
use bourn_cas::{Checked, Damage, Store};
use bourn_reapi::artifact::{Artifact, ArtifactName};
use bourn_reapi::{Assets, Cas, Digest};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn name(element: &str) -> ArtifactName {
    ArtifactName::new("demo", element, "key")
}

/// Two artifacts, one of which has a layer.
fn scene() -> (Scene, Digest) {
    let scene = Scene::new();
    let first = scene.tree("a one\nb two\n");
    for (element, files) in [("first", first), ("second", scene.tree("c three\n"))] {
        let artifact = Artifact { version: 1, files: Some(files.into()), ..Artifact::default() };
        scene.store.publish_artifact(&[name(element)], &artifact).expect("a name");
    }
    drop(scene.store.layer(&first, &[]).expect("layers"));
    (scene, first)
}

/// Damages a cache, checks it twice, and expects what the first check finds; the second finds nothing.
#[track_caller]
fn check(content: bool, damage: impl Fn(&Scene), expect: &[fn(&Damage) -> bool]) -> Scene {
    let (scene, first) = scene();
    damage(&scene);
    let store = Store::open(&scene.path("cache")).expect("a cache");
    let checked: Checked = store.fsck(content, false).expect("a check");
    assert_eq!(checked.damage.len(), expect.len(), "{:?}", checked.damage);
    for is_expected in expect {
        assert!(checked.damage.iter().any(is_expected), "{:?}", checked.damage);
    }
    let again = store.fsck(true, false).expect("a check");
    assert_eq!(again.damage, []);
    // What was lost comes back, and everything is as before.
    scene.tree("a one\nb two\n");
    drop(store.layer(&first, &[]).expect("layers"));
    assert_eq!(store.fsck(true, false).expect("a check").damage, []);
    scene
}

fn overwrite(path: &Path, content: &str) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).expect("a mode");
    std::fs::write(path, content).expect("a file");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o444)).expect("a mode");
}

fn is_object(damage: &Damage) -> bool {
    matches!(damage, Damage::Object(_))
}

fn is_first(damage: &Damage) -> bool {
    matches!(damage, Damage::Artifact(name) if name.element == "first")
}

fn is_layer(damage: &Damage) -> bool {
    matches!(damage, Damage::Layer(_))
}

#[test]
fn a_sound_cache() {
    let scene = check(true, |_| {}, &[]);
    let checked = scene.store.fsck(true, false).expect("a check");
    assert_eq!((checked.objects, checked.names, checked.layers), (5, 2, 1));
}

#[test]
fn a_flipped_bit() {
    let scene = check(
        true,
        |scene| overwrite(&scene.store.object_path(&Digest::of(b"one")), "onf"),
        &[is_object, is_first, is_layer],
    );
    assert_eq!(scene.store.artifact(&name("first")).expect("an answer"), None);
    assert!(scene.store.artifact(&name("second")).expect("an answer").is_some());
    assert!(scene.path("cache/bourn/damaged").join(Digest::of(b"one").hex()).exists());
}

#[test]
fn a_flipped_bit_is_not_seen_without_reading() {
    let (scene, _) = scene();
    overwrite(&scene.store.object_path(&Digest::of(b"one")), "onf");
    assert_eq!(scene.store.fsck(false, false).expect("a check").damage, []);
}

#[test]
fn what_a_crash_has_emptied_goes_when_the_cache_is_opened() {
    let (scene, first) = scene();
    std::fs::write(scene.path("cache/bourn/boot"), "another").expect("a file");
    overwrite(&scene.store.object_path(&Digest::of(b"one")), "");
    let store = Store::open(&scene.path("cache")).expect("a cache");
    assert!(!store.object_path(&Digest::of(b"one")).exists());
    assert!(!store.contains_tree(&first).expect("an answer"));
}

#[test]
fn a_truncated_object() {
    check(
        true,
        |scene| overwrite(&scene.store.object_path(&Digest::of(b"two")), "t"),
        &[is_object, is_first, is_layer],
    );
}

#[test]
fn a_deleted_object() {
    check(
        false,
        |scene| std::fs::remove_file(scene.store.object_path(&Digest::of(b"one"))).expect("a removal"),
        // The layer has the content still.
        &[is_first],
    );
}

#[test]
fn a_deleted_directory() {
    check(
        false,
        |scene| {
            let artifact = scene.store.artifact(&name("first")).expect("an answer").expect("an artifact");
            let files = Digest::try_from(artifact.files.as_ref().expect("files")).expect("a digest");
            std::fs::remove_file(scene.store.object_path(&files)).expect("a removal");
        },
        &[is_first, is_layer],
    );
}

#[test]
fn objects_that_can_be_written_to() {
    check(
        false,
        |scene| {
            let path = scene.store.object_path(&Digest::of(b"one"));
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).expect("a mode");
        },
        &[|damage| matches!(damage, Damage::Writable(_))],
    );
}

#[test]
fn files_that_are_no_objects() {
    check(
        false,
        |scene| {
            std::fs::create_dir_all(scene.path("cache/cas/objects/00")).expect("a directory");
            std::fs::write(scene.path("cache/cas/objects/00/stray"), "x").expect("a file");
        },
        &[|damage| matches!(damage, Damage::Stray(_))],
    );
}

#[test]
fn names_that_make_no_sense() {
    check(
        false,
        |scene| {
            std::fs::write(scene.path("cache/artifacts/refs/demo/second/key"), "\u{1}\u{2}").expect("a file");
            std::fs::write(scene.path("cache/elementsources/key"), "").expect("a file");
        },
        &[
            |damage| matches!(damage, Damage::Name(_)),
            |damage| matches!(damage, Damage::Name(path) if path.ends_with("key")),
        ],
    );
}

#[test]
fn half_a_layer() {
    check(
        false,
        |scene| {
            let stack = {
                let tree = scene.tree("a one\nb two\n");
                scene.store.layer(&tree, &[]).expect("layers")
            };
            std::fs::remove_file(stack.layers[0].path.join("b")).expect("a removal");
        },
        &[is_layer],
    );
    check(
        false,
        |scene| std::fs::create_dir_all(scene.path("cache/bourn/layers/stub/ffff")).expect("a directory"),
        &[is_layer],
    );
}

#[test]
fn what_killed_processes_left_behind_goes() {
    let (scene, _) = scene();
    let left = scene.path("cache/bourn/tmp/1-0");
    std::fs::create_dir_all(left.join("layer-0/tree")).expect("a directory");
    assert_eq!(scene.store.fsck(false, false).expect("a check").damage, []);
    assert!(!left.exists());
}
