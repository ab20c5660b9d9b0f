//! Names of artifacts and sources.

use crate::scene::Scene;
use bourn_reapi::artifact::{Artifact, ArtifactName, Source};
use bourn_reapi::services::SourceName;
use bourn_reapi::{Assets, Digest};

fn name(element: &str, key: &str) -> ArtifactName {
    ArtifactName::new("demo", element, key)
}

#[test]
fn artifacts_are_found_under_every_name() {
    let scene = Scene::new();
    let artifact =
        Artifact { strong_key: "s".into(), files: Some(Digest::of(b"x").into()), ..Artifact::default() };
    let names = [name("dir/a.bst", "strong"), name("dir/a.bst", "weak")];
    scene.store.publish_artifact(&names, &artifact).expect("a name");
    for name in &names {
        assert_eq!(scene.store.artifact(name).expect("an answer").as_ref(), Some(&artifact));
    }
    assert!(scene.path("cache/artifacts/refs/demo/dir-a/strong").exists());
    assert!(scene.store.remove_artifact(&names[0]).expect("an answer"));
    assert!(!scene.store.remove_artifact(&names[0]).expect("an answer"));
    assert_eq!(scene.store.artifact(&names[0]).expect("an answer"), None);
    assert_eq!(scene.store.artifact_names().expect("names"), [names[1].clone()]);
    scene.store.remove_artifact(&names[1]).expect("an answer");
    assert!(!scene.path("cache/artifacts/refs/demo").exists());
    assert!(scene.path("cache/artifacts/refs").exists());
}

#[test]
fn names_are_listed_by_last_use() {
    let scene = Scene::new();
    for key in ["a", "b", "c"] {
        scene
            .store
            .publish_artifact(&[name("x.bst", key)], &Artifact { version: 1, ..Artifact::default() })
            .expect("a name");
    }
    for (key, age) in [("a", 10), ("b", 30), ("c", 20)] {
        let time = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
        let path = scene.path("cache/artifacts/refs/demo/x").join(key);
        std::fs::File::open(path).and_then(|file| file.set_modified(time)).expect("a time");
    }
    let keys = || -> Vec<String> {
        scene.store.artifact_names().expect("names").into_iter().map(|name| name.key).collect()
    };
    assert_eq!(keys(), ["b", "c", "a"]);
    scene.store.artifact(&name("x.bst", "b")).expect("an answer");
    assert_eq!(keys(), ["c", "a", "b"]);
}

#[test]
fn a_name_that_a_crash_left_empty_is_not_there() {
    let scene = Scene::new();
    scene
        .store
        .publish_artifact(&[name("x.bst", "k")], &Artifact { version: 1, ..Artifact::default() })
        .expect("a name");
    std::fs::write(scene.path("cache/artifacts/refs/demo/x/k"), "").expect("a file");
    assert_eq!(scene.store.artifact(&name("x.bst", "k")).expect("an answer"), None);
}

#[test]
fn sources_are_found_by_key() {
    let scene = Scene::new();
    let source = Source { version: 1, files: Some(Digest::of(b"x").into()) };
    let names =
        [SourceName::Element("key".into()), SourceName::Single { kind: "tar".into(), key: "key".into() }];
    for name in &names {
        assert_eq!(scene.store.source(name).expect("an answer"), None);
        scene.store.publish_source(name, &source).expect("a name");
        assert_eq!(scene.store.source(name).expect("an answer").as_ref(), Some(&source));
    }
    assert!(scene.path("cache/elementsources/key").exists());
    assert!(scene.path("cache/source_protos/tar/key").exists());
}

#[test]
fn names_cannot_climb() {
    let scene = Scene::new();
    let climbing = ArtifactName { project: "..".into(), element: "x".into(), key: "k".into() };
    scene.store.artifact(&climbing).expect_err("an error");
    scene
        .store
        .publish_source(&SourceName::Element("../x".into()), &Source::default())
        .expect_err("an error");
}
