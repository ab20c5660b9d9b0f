//! Exchanges with a server, whatever it is like and whatever goes wrong.

use crate::ahead::QUESTIONS;
use crate::engine::{Engine, Grants, Mishap, Traits};
use crate::index::artifact_urn;
use crate::{ANY_PROJECT, Backed, Caches, Group, Refused, Server, ServerKind};
use bourn_reapi::services::{Cancel, ErrorKind, ExportOptions, Report, ServiceResult, SourceName};
use bourn_reapi::{
    Artifact, ArtifactName, Assets, Cas, Digest, Directory, DirectoryNode, FileNode, Remotes, Source,
};
use bourn_testkit::memory::MemoryStore;
use prost::Message;
use std::sync::{Arc, Mutex};
use tonic::Code;

/// Takes down what is said.
#[derive(Default)]
pub(crate) struct Heard(pub(crate) Mutex<Vec<String>>);

impl Heard {
    fn push(&self, kind: &str, text: &str) {
        self.0.lock().unwrap().push(format!("{kind} {text}"));
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|line| line.starts_with("warn")).cloned().collect()
    }
}

impl Report for Heard {
    fn status(&self, _: &str) {}

    fn info(&self, text: &str) {
        self.push("info", text);
    }

    fn warn(&self, text: &str) {
        self.push("warn", text);
    }

    fn bytes(&self, _: u64, _: Option<u64>) {}
}

/// One end of an exchange.
pub(crate) struct Place {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) caches: Caches,
    pub(crate) refused: Vec<Refused>,
    pub(crate) heard: Heard,
}

pub(crate) fn place(servers: Vec<Server>) -> Place {
    place_of(&MemoryStore::new(), servers)
}

fn place_of(store: &Arc<MemoryStore>, servers: Vec<Server>) -> Place {
    let group: Group = [(ANY_PROJECT.to_owned(), servers)].into();
    let caches = Caches::connect(store.clone(), store.clone(), group.clone(), group, 8).unwrap();
    let refused = caches.refused(&Cancel::default()).unwrap();
    Place { store: store.clone(), caches, refused, heard: Heard::default() }
}

impl Place {
    pub(crate) fn push(&self, artifact: &Artifact) -> ServiceResult<bool> {
        self.caches.push_artifact(&[name("s"), name("w")], artifact, &self.heard, &Cancel::default())
    }

    pub(crate) fn pull(&self, build_tree: bool) -> ServiceResult<Option<Artifact>> {
        self.caches.pull_artifact(&name("s"), build_tree, &self.heard, &Cancel::default())
    }

    pub(crate) fn holds(&self, artifact: &Artifact) -> bool {
        let files: Digest = artifact.files.as_ref().unwrap().try_into().unwrap();
        let low: Digest = artifact.low_diversity_meta.as_ref().unwrap().try_into().unwrap();
        self.store.contains_tree(&files).unwrap() && self.store.missing_blobs(&[low]).unwrap().is_empty()
    }

    pub(crate) fn holds_build_tree(&self, artifact: &Artifact) -> bool {
        self.store.contains_tree(&artifact.buildtree.as_ref().unwrap().try_into().unwrap()).unwrap()
    }
}

pub(crate) fn name(key: &str) -> ArtifactName {
    ArtifactName::new("test", "app.bst", key)
}

/// A tree with files of every size, some of them large, below each other.
pub(crate) fn tree(store: &MemoryStore, seed: u8) -> Digest {
    let file = |name: String, content: Vec<u8>| FileNode {
        name,
        digest: Some(store.write(&content).unwrap().into()),
        ..FileNode::default()
    };
    let noise = |size: usize| {
        let mut state = u64::from(seed) + 1;
        let next = |state: &mut u64| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*state >> 33) as u8
        };
        (0..size).map(|_| next(&mut state)).collect::<Vec<u8>>()
    };
    let mut below = Directory::default();
    for level in 0..3 {
        let mut directory = Directory::default();
        directory.files.push(file("empty".into(), Vec::new()));
        for at in 0..20 {
            directory.files.push(file(format!("small-{at}"), vec![seed + level; 100 * at]));
        }
        if level == 2 {
            directory.files.push(file("large".into(), noise(300 << 10)));
        }
        let inner = store.write_directory(&below).unwrap();
        directory.directories.push(DirectoryNode { name: "below".into(), digest: Some(inner.into()) });
        directory.sort();
        below = directory;
    }
    store.write_directory(&below).unwrap()
}

pub(crate) fn artifact(store: &MemoryStore) -> Artifact {
    Artifact {
        version: 1,
        build_success: true,
        strong_key: "s".into(),
        weak_key: "w".into(),
        files: Some(tree(store, 1).into()),
        buildtree: Some(tree(store, 2).into()),
        low_diversity_meta: Some(store.write(b"low: 1\n").unwrap().into()),
        high_diversity_meta: Some(store.write(b"high: 1\n").unwrap().into()),
        ..Artifact::default()
    }
}

/// Pushes and pulls by way of an engine that is like this.
fn check_engine(traits: Traits) {
    let engine = Engine::start(traits);
    check_servers(&engine, vec![engine.server(ServerKind::All)]);
}

/// Pushes and pulls an artifact by way of these servers, of which this engine knows the names.
pub(crate) fn check_servers(engine: &Engine, servers: Vec<Server>) {
    let traits = engine.state().traits.clone();
    let one = place(servers.clone());
    assert!(one.refused.is_empty(), "{:?}", one.refused);
    let artifact = artifact(&one.store);
    assert!(one.push(&artifact).unwrap(), "{traits:?}");
    assert!(!one.push(&artifact).unwrap(), "{traits:?}");
    assert!(servers.len() > 1 || !engine.state().too_early);
    let two = place(servers);
    let available = two.caches.available(&[name("s"), name("x")], &two.heard, &Cancel::default());
    assert_eq!(available.unwrap(), [true, false]);
    assert_eq!(two.pull(false).unwrap().as_ref(), Some(&artifact), "{traits:?}: {:?}", two.heard.0);
    assert!(two.holds(&artifact) && !two.holds_build_tree(&artifact));
    assert_eq!(two.pull(true).unwrap(), Some(artifact.clone()));
    assert!(two.holds_build_tree(&artifact));
    assert_eq!(two.heard.warnings(), Vec::<String>::new());
}

#[test]
fn engines_of_all_kinds() {
    check_engine(Traits::default());
    check_engine(Traits { trees: false, ..Traits::default() });
    check_engine(Traits { zstd: true, ..Traits::default() });
    check_engine(Traits { zstd: true, ..SMALL });
    check_engine(Traits { capabilities: false, trees: false, ..Traits::default() });
    check_engine(Traits { batch: 64 << 10, ..Traits::default() });
    check_engine(Traits { batch: 1 << 40, ..Traits::default() });
    check_engine(Traits { hidden: Some(10_000), ..Traits::default() });
    check_engine(Traits { instance: "main/sub".into(), zstd: true, ..Traits::default() });
    for zstd in [false, true] {
        check_engine(Traits { zstd, grants: Grants { streams: 1, ..Grants::USUAL }, ..SMALL });
        check_engine(Traits { zstd, grants: Grants { window: 100, ..Grants::USUAL }, ..SMALL });
        check_engine(Traits { zstd, grants: Grants { headers: 2_000, ..Grants::USUAL }, ..SMALL });
    }
}

#[test]
fn names_and_blobs_on_different_servers() {
    let storage = Engine::start(Traits { fetch: false, push: false, ..Traits::default() });
    let index = Engine::start(Traits { batch: 1, ..Traits::default() });
    let servers = || vec![index.server(ServerKind::Index), storage.server(ServerKind::Storage)];
    let one = place(servers());
    assert!(one.refused.is_empty());
    let artifact = artifact(&one.store);
    assert!(one.push(&artifact).unwrap());
    assert!(index.state().blobs.is_empty());
    assert_eq!(place(servers()).pull(false).unwrap(), Some(artifact));
    let alone = place(vec![storage.server(ServerKind::Storage)]);
    assert!(!alone.caches.has_artifacts(false) && !alone.caches.pulls_artifacts("any"));
}

#[test]
fn servers_that_cannot_be_used_are_told_of() {
    let refusing = Engine::start(Traits { fetch: false, ..Traits::default() });
    let mut gone = refusing.server(ServerKind::All);
    gone.url = "http://127.0.0.1:1".into();
    gone.connection.retry_limit = Some(0);
    let mut odd = gone.clone();
    odd.url = "ftp://x".into();
    let good = Engine::start(Traits::default());
    let place = place(vec![gone, odd, refusing.server(ServerKind::All), good.server(ServerKind::All)]);
    let told: Vec<String> = place.refused.iter().map(|refused| refused.error.to_string()).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    for part in ["begins with http://", "Connection refused", "it has no Remote Asset Fetch service"] {
        assert!(told.iter().any(|text| text.contains(part)), "{part}: {told:?}");
    }
    assert!(place.caches.has_artifacts(true));
}

#[test]
fn tokens() {
    let engine = Engine::start(Traits { token: Some("secret".into()), ..Traits::default() });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "secret").unwrap();
    let mut server = engine.server(ServerKind::All);
    let nobody = place(vec![server.clone()]);
    assert!(nobody.refused[0].error.message.contains("UNAUTHENTICATED"), "{:?}", nobody.refused);
    server.auth.access_token = Some(path.clone());
    let one = place(vec![server]);
    let artifact = artifact(&one.store);
    assert!(one.push(&artifact).unwrap());
    // Somebody renews it, here and there.
    engine.state().traits.token = Some("other".into());
    std::fs::write(&path, "other").unwrap();
    assert_eq!(one.pull(false).unwrap(), Some(artifact));
}

#[test]
fn sources() {
    let engine = Engine::start(Traits::default());
    let one = place(vec![engine.server(ServerKind::All)]);
    let source = Source { version: 0, files: Some(tree(&one.store, 3).into()) };
    let names = [SourceName::Element("k".into()), SourceName::Single { kind: "git".into(), key: "k".into() }];
    let two = place(vec![engine.server(ServerKind::All)]);
    for name in names {
        let cancel = Cancel::default();
        assert_eq!(two.caches.pull_source("p", &name, &two.heard, &cancel).unwrap(), None);
        assert!(one.caches.push_source("p", &name, &source, &one.heard, &cancel).unwrap());
        assert!(!one.caches.push_source("p", &name, &source, &one.heard, &cancel).unwrap());
        assert_eq!(two.caches.pull_source("p", &name, &two.heard, &cancel).unwrap(), Some(source.clone()));
        let files: Digest = source.files.as_ref().unwrap().try_into().unwrap();
        assert!(two.store.contains_tree(&files).unwrap());
    }
    assert!(!engine.state().too_early);
}

#[test]
fn lost_blobs_are_no_failure() {
    let (broken, whole) = (Engine::start(SMALL), Engine::start(SMALL));
    let both = || vec![broken.server(ServerKind::All), whole.server(ServerKind::All)];
    let one = place(both());
    let artifact = artifact(&one.store);
    assert!(one.push(&artifact).unwrap());
    let files: Digest = artifact.files.as_ref().unwrap().try_into().unwrap();
    broken.state().blobs.remove(&files);
    assert_eq!(place(both()).pull(false).unwrap(), Some(artifact.clone()));
    whole.state().blobs.remove(&files);
    let two = place(both());
    assert_eq!(two.pull(false).unwrap(), None);
    assert_eq!(two.heard.warnings(), Vec::<String>::new());
    // The one that still has everything repairs the others.
    let again = place(both());
    let repaired = self::artifact(&again.store);
    again.push(&repaired).unwrap();
    assert_eq!(two.pull(false).unwrap(), Some(artifact));
}

/// Pushes artifacts, each with a tree of its own: by its number. Their names.
fn push_many(place: &Place, count: u8) -> Vec<ArtifactName> {
    let mut artifact = artifact(&place.store);
    let names: Vec<ArtifactName> = (0..count).map(|at| name(&format!("key{at}"))).collect();
    for (name, seed) in names.iter().zip(0..) {
        artifact.strong_key = name.key.clone();
        artifact.files = Some(tree(&place.store, seed).into());
        let names = std::slice::from_ref(name);
        place.caches.push_artifact(names, &artifact, &place.heard, &Cancel::default()).unwrap();
    }
    names
}

#[test]
fn pulls_that_are_expected_ask_their_questions_together() {
    for mishap in [None, Some(Mishap::Code(Code::Internal)), Some(Mishap::Garbage), Some(Mishap::Corrupt)] {
        let engine = Engine::start(Traits::default());
        let one = place(vec![engine.server(ServerKind::All)]);
        let names = push_many(&one, 30);
        let two = place(vec![engine.server(ServerKind::All)]);
        engine.state().calls.clear();
        if let Some(mishap) = mishap {
            engine.trouble("BatchReadBlobs", mishap, 1);
        }
        two.caches.expect(&names);
        two.caches.expect(&[name("nobody's")]);
        let absent = two.caches.pull_artifact(&name("nobody's"), false, &two.heard, &Cancel::default());
        assert_eq!(absent.unwrap(), None);
        for name in &names {
            let pulled = two.caches.pull_artifact(name, false, &two.heard, &Cancel::default()).unwrap();
            assert!(pulled.is_some_and(|pulled| two.holds(&pulled)), "{name} {mishap:?}: {:?}", two.heard.0);
        }
        // Asked for each once, in however many blobs at a time.
        assert_eq!(engine.calls("FetchBlob"), names.len() + 1, "{mishap:?}");
        if mishap.is_none() {
            assert!(engine.calls("BatchReadBlobs") < 20, "{:?}", engine.state().calls);
        }
    }
}

#[test]
fn a_server_is_not_asked_for_all_that_is_expected_at_once() {
    let engine = Engine::start(Traits::default());
    let two = place(vec![engine.server(ServerKind::All)]);
    let names: Vec<ArtifactName> = (0..3 * QUESTIONS).map(|at| name(&format!("key{at}"))).collect();
    for name in &names {
        engine.state().names.insert(artifact_urn(name), Digest::of(b"lost"));
    }
    engine.state().calls.clear();
    engine.trouble("FetchBlob", Mishap::Hold, u32::MAX);
    two.caches.expect(&names);
    engine.await_held(QUESTIONS);
    assert_eq!(engine.calls("FetchBlob"), QUESTIONS);
    engine.let_go();
    for name in &names {
        assert_eq!(two.caches.pull_artifact(name, false, &two.heard, &Cancel::default()).unwrap(), None);
    }
}

#[test]
fn what_the_storage_behind_a_store_has_is_read_together() {
    let (engine, behind) = (Engine::start(Traits::default()), Engine::start(Traits::default()));
    let one = place(vec![engine.server(ServerKind::All)]);
    let names = push_many(&one, 30);
    behind.state().blobs = engine.state().blobs.clone();
    let (store, ours) = backed(&behind.server(ServerKind::Storage));
    let group: Group = [(ANY_PROJECT.to_owned(), vec![engine.server(ServerKind::All)])].into();
    let caches = Caches::connect(Arc::new(ours.backed), store.clone(), group, Group::new(), 8).unwrap();
    engine.state().calls.clear();
    behind.state().calls.clear();
    caches.expect(&names);
    for name in &names {
        let pulled = caches.pull_artifact(name, false, &one.heard, &Cancel::default()).unwrap();
        let files: Digest = pulled.unwrap().files.as_ref().unwrap().try_into().unwrap();
        // Of the files nobody has read anything.
        assert!(store.directory(&files).is_ok() && !store.contains_tree(&files).unwrap());
    }
    assert_eq!(engine.calls("BatchReadBlobs"), 0);
    let asked = behind.calls("BatchReadBlobs") + behind.calls("FindMissingBlobs");
    assert!(asked < names.len(), "{asked}");
}

#[test]
fn what_is_lost_of_one_is_lost_for_few() {
    let engine = Engine::start(Traits::default());
    let one = place(vec![engine.server(ServerKind::All)]);
    let names = push_many(&one, 32);
    let lost = tree(&one.store, 31);
    engine.state().blobs.remove(&lost);
    let two = place(vec![engine.server(ServerKind::All)]);
    two.caches.expect(&names);
    let mut asked = 0;
    for (at, name) in names.iter().enumerate().rev() {
        engine.state().calls.clear();
        let pulled = two.caches.pull_artifact(name, false, &two.heard, &Cancel::default()).unwrap();
        assert_eq!(pulled.is_some(), at != 31, "{name}");
        // The first one waited for all of them to be prepared.
        asked += usize::from(at != 31 && !engine.state().calls.is_empty());
    }
    assert!(asked < 8, "{asked}");
}

#[test]
fn what_is_prepared_is_not_asked_for_again() {
    let engine = Engine::start(Traits::default());
    let one = place(vec![engine.server(ServerKind::All)]);
    let artifact = artifact(&one.store);
    assert!(one.push(&artifact).unwrap());
    for build_tree in [false, true] {
        let two = place(vec![engine.server(ServerKind::All)]);
        engine.state().calls.clear();
        two.caches.expect(&[name("s"), name("nobody's")]);
        // The others of its group are prepared with it.
        let absent = two.caches.pull_artifact(&name("nobody's"), false, &two.heard, &Cancel::default());
        assert_eq!(absent.unwrap(), None);
        assert!(two.holds(&artifact) && !two.holds_build_tree(&artifact));
        let before = engine.state().calls.len();
        assert_eq!(two.pull(build_tree).unwrap().as_ref(), Some(&artifact));
        let asked = engine.state().calls.split_off(before);
        assert_eq!(!asked.is_empty(), build_tree, "{asked:?}");
        assert_eq!(two.holds_build_tree(&artifact), build_tree);
        let lines = two.heard.0.lock().unwrap();
        assert!(lines.iter().any(|line| line.contains("Pulled artifact s <- http")), "{lines:?}");
    }
}

/// The artifacts of a large project, with all that they were built upon, do not fit into memory.
#[test]
fn what_is_prepared_is_kept_in_the_store_alone() {
    let engine = Engine::start(Traits::default());
    let one = place(vec![engine.server(ServerKind::All)]);
    let artifact = artifact(&one.store);
    assert!(one.push(&artifact).unwrap());
    let two = place(vec![engine.server(ServerKind::All)]);
    two.caches.expect(&[name("s"), name("nobody's")]);
    let absent = two.caches.pull_artifact(&name("nobody's"), false, &two.heard, &Cancel::default());
    assert_eq!(absent.unwrap(), None);
    // Whatever becomes of it there, it is brought again.
    let message = Digest::of(&artifact.encode_to_vec());
    assert!(two.store.missing_blobs(&[message]).unwrap().is_empty());
    two.store.lose(&message);
    assert_eq!(two.pull(false).unwrap(), Some(artifact));
    assert!(two.store.missing_blobs(&[message]).unwrap().is_empty());
}

/// Of an artifact whose files are large the rest comes beforehand, and of a failure there is no more than its metadata. What
/// a storage lost is nobody's failure but those artifacts' that want it.
#[test]
fn what_is_prepared_in_part_is_completed() {
    let (index, storage) = (Engine::start(SMALL), Engine::start(SMALL));
    let servers = || vec![index.server(ServerKind::Index), storage.server(ServerKind::Storage)];
    let one = place(servers());
    let large = vec![7; 600 << 10];
    let node = FileNode {
        name: "large".into(),
        digest: Some(one.store.write(&large).unwrap().into()),
        ..FileNode::default()
    };
    let top = one.store.write_directory(&Directory { files: vec![node], ..Directory::default() }).unwrap();
    let small = artifact(&one.store);
    let named = |key: &str, files: Option<Digest>| Artifact {
        strong_key: key.into(),
        files: files.map(Into::into),
        ..small.clone()
    };
    let artifacts =
        [named("large", Some(top)), named("failed", None), named("lost", Some(tree(&one.store, 9)))];
    for artifact in &artifacts {
        let names = [name(&artifact.strong_key)];
        one.caches.push_artifact(&names, artifact, &one.heard, &Cancel::default()).unwrap();
    }
    for is_lost in [false, true] {
        if is_lost {
            let lost: Digest = artifacts[2].files.as_ref().unwrap().try_into().unwrap();
            storage.state().blobs.remove(&lost);
        }
        let two = place(servers());
        two.caches.expect(&artifacts.each_ref().map(|artifact| name(&artifact.strong_key)));
        for artifact in &artifacts {
            let wanted = name(&artifact.strong_key);
            let pulled = two.caches.pull_artifact(&wanted, false, &two.heard, &Cancel::default()).unwrap();
            let expect = (!is_lost || artifact.strong_key != "lost").then_some(artifact);
            assert_eq!(pulled.as_ref(), expect, "{:?}", two.heard.0);
            let here = |files: &_| two.store.contains_tree(&Digest::try_from(files).unwrap()).unwrap();
            assert!(expect.is_none() || artifact.files.as_ref().is_none_or(here), "{}", artifact.strong_key);
        }
        assert_eq!(two.heard.warnings(), Vec::<String>::new());
    }
}

/// Publishes thirty artifacts in the local store of one end. Their names.
fn thirty(place: &Place) -> Vec<ArtifactName> {
    let mut artifact = artifact(&place.store);
    // Larger than what is prepared.
    artifact.buildtree = None;
    let names: Vec<ArtifactName> = (0..30).map(|at| name(&format!("key{at}"))).collect();
    for (at, name) in names.iter().enumerate() {
        artifact.strong_key = name.key.clone();
        artifact.weak_key = format!("weak{at}");
        artifact.files = Some(tree(&place.store, at as u8).into());
        place.store.publish_artifact(&artifact.names(name), &artifact).unwrap();
    }
    names
}

/// Pushes what is kept under a name. Whether it was not there.
fn push_kept(place: &Place, name: &ArtifactName) -> bool {
    let artifact = place.store.artifact(name).unwrap().unwrap();
    let names = artifact.names(name);
    place.caches.push_artifact(&names, &artifact, &place.heard, &Cancel::default()).unwrap()
}

#[test]
fn pushes_that_are_expected_ask_their_questions_together() {
    for mishap in [None, Some("FindMissingBlobs"), Some("FetchBlob"), Some("BatchUpdateBlobs")] {
        let engine = Engine::start(Traits::default());
        let one = place(vec![engine.server(ServerKind::All)]);
        let names = thirty(&one);
        for is_first in [true, false] {
            // Knows nothing of what the server has.
            let one = place_of(&one.store, vec![engine.server(ServerKind::All)]);
            engine.state().calls.clear();
            if let Some(method) = mishap {
                engine.trouble(method, Mishap::Code(Code::Internal), 1);
            }
            one.caches.expect_pushes(&names);
            for name in &names {
                assert_eq!(push_kept(&one, name), is_first, "{name} {mishap:?}");
            }
            let said =
                |what: &str| one.heard.0.lock().unwrap().iter().filter(|line| line.contains(what)).count();
            let (sent, there) = (said("Pushed data from artifact"), said("already has all data of artifact"));
            assert_eq!((sent, there), if is_first { (30, 0) } else { (0, 30) }, "{mishap:?}");
            if mishap.is_none() {
                // Whoever publishes asks once more.
                let asked = if is_first { 1 + names.len() } else { 1 };
                assert_eq!(engine.calls("FindMissingBlobs"), asked, "{:?}", engine.state().calls);
                assert_eq!(engine.calls("FetchBlob"), 2 * names.len());
                assert_eq!(engine.calls("PushBlob"), if is_first { names.len() } else { 0 });
            }
        }
        assert!(!engine.state().too_early);
        let two = place(vec![engine.server(ServerKind::All)]);
        for name in &names {
            let pulled = two.caches.pull_artifact(name, false, &two.heard, &Cancel::default()).unwrap();
            assert!(pulled.is_some_and(|pulled| two.holds(&pulled)), "{name} {mishap:?}");
        }
    }
}

#[test]
fn what_is_not_to_be_pushed_or_large_is_not_sent_beforehand() {
    let engine = Engine::start(Traits::default());
    let one = place(vec![engine.server(ServerKind::All)]);
    let publish = |key: &str, change: &dyn Fn(&mut Artifact)| {
        let mut artifact = artifact(&one.store);
        (artifact.strong_key, artifact.weak_key, artifact.buildtree) = (key.into(), String::new(), None);
        artifact.files = Some(tree(&one.store, key.len() as u8).into());
        change(&mut artifact);
        one.store.publish_artifact(&[name(key)], &artifact).unwrap();
        name(key)
    };
    let large = one.store.write(&vec![7; 600 << 10]).unwrap();
    let names = [
        publish("tainted", &|artifact| artifact.was_workspaced = true),
        publish("upon-tainted", &|artifact| {
            artifact.set_dependencies([bourn_reapi::artifact::ArtifactDependency {
                was_workspaced: true,
                ..bourn_reapi::artifact::ArtifactDependency::default()
            }]);
        }),
        publish("torn", &|artifact| artifact.buildtree = Some(Digest::of(b"not here").into())),
        publish("large-log", &|artifact| {
            let log = bourn_reapi::LogFile { name: "log".into(), digest: Some(large.into()) };
            artifact.logs.push(log);
        }),
        publish("lost", &|artifact| artifact.files = Some(Digest::of(b"not here").into())),
        publish("small", &|_| ()),
    ];
    one.caches.expect_pushes(&names);
    // It waits until all of them were looked at.
    assert!(push_kept(&one, &names[5]));
    let has = |digest: &Digest| engine.state().blobs.contains_key(digest);
    for name in &names[..4] {
        let artifact = one.store.artifact(name).unwrap().unwrap();
        assert!(!has(&artifact.files.as_ref().unwrap().try_into().unwrap()), "{name}");
    }
    assert!(!has(&large));
    assert!(push_kept(&one, &names[3]));
    assert!(has(&large) && !engine.state().too_early);
}

#[test]
fn what_was_sent_beforehand_and_is_lost_since_is_sent_again() {
    let engine = Engine::start(Traits::default());
    let one = place(vec![engine.server(ServerKind::All)]);
    let names = thirty(&one);
    one.caches.expect_pushes(&names);
    assert!(push_kept(&one, &names[0]));
    {
        let mut state = engine.state();
        state.blobs.clear();
        state.names.clear();
    }
    for name in &names[1..] {
        assert!(push_kept(&one, name));
    }
    assert!(!engine.state().too_early);
}

#[test]
fn another_artifact_is_not_taken() {
    let engine = Engine::start(Traits::default());
    let one = place(vec![engine.server(ServerKind::All)]);
    let artifact = artifact(&one.store);
    let names = [name("s"), name("w"), name("lie")];
    one.caches.push_artifact(&names, &artifact, &one.heard, &Cancel::default()).unwrap();
    for is_expected in [false, true] {
        let two = place(vec![engine.server(ServerKind::All)]);
        if is_expected {
            two.caches.expect(&[name("lie")]);
        }
        let pulled = two.caches.pull_artifact(&name("lie"), false, &two.heard, &Cancel::default());
        assert_eq!(pulled.unwrap(), None);
        assert!(two.heard.warnings()[0].contains("is another artifact"), "{:?}", two.heard.0);
    }
}

/// An engine that wants what is large piece by piece.
pub(crate) const SMALL: Traits = Traits {
    batch: 64 << 10,
    hidden: None,
    trees: true,
    zstd: false,
    streams_only: false,
    digests: &[crate::message::SHA256],
    unknown: crate::engine::Unknown::Status(Code::NotFound, Code::NotFound),
    capabilities: true,
    fetch: true,
    push: true,
    token: None,
    instance: String::new(),
    grants: Grants::USUAL,
};

/// A store with an engine behind it, and what was warned of.
pub(crate) struct Ours {
    backed: Backed,
    warnings: Arc<Mutex<Vec<String>>>,
}

impl Ours {
    pub(crate) fn troubles(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock().unwrap())
    }
}

impl std::ops::Deref for Ours {
    type Target = Backed;

    fn deref(&self) -> &Backed {
        &self.backed
    }
}

/// A store with the engine behind it, and the store itself.
pub(crate) fn backed(server: &Server) -> (Arc<MemoryStore>, Ours) {
    let (store, services) = bourn_testkit::memory::services(|_| 0);
    let warnings = Arc::<Mutex<Vec<String>>>::default();
    let heard = warnings.clone();
    let warn = move |text: &str| heard.lock().unwrap().push(text.to_owned());
    let (cas, assets, executor) = (services.cas, services.assets, services.executor);
    let backed = Backed::connect(server, cas, assets, executor, Cancel::default(), warn).unwrap();
    (store, Ours { backed, warnings })
}

#[test]
fn a_store_may_lose_what_is_in_the_storage_behind_it() {
    let engine = Engine::start(Traits::default());
    let server = engine.server(ServerKind::Storage);
    let (store, ours) = backed(&server);
    let artifact = artifact(&store);
    ours.publish_artifact(&[name("s")], &artifact).unwrap();
    assert_eq!(ours.troubles(), Vec::<String>::new());
    // Another machine knows the name, but holds nothing.
    let (empty, theirs) = backed(&server);
    let files: Digest = artifact.files.as_ref().unwrap().try_into().unwrap();
    let low: Digest = artifact.low_diversity_meta.as_ref().unwrap().try_into().unwrap();
    assert!(theirs.missing_blobs(&[low]).unwrap().is_empty());
    assert!(theirs.contains_tree(&files).unwrap());
    assert!(!empty.contains_tree(&files).unwrap());
    assert_eq!(theirs.read(&low).unwrap(), b"low: 1\n");
    let directory = tempfile::tempdir().unwrap();
    theirs.export_tree(&files, &directory.path().join("out"), &ExportOptions::default()).unwrap();
    assert!(directory.path().join("out/below/small-3").exists());
    assert!(empty.contains_tree(&files).unwrap());
    // What neither holds is missing.
    let nobodys = Digest::of(b"nobody's");
    assert_eq!(theirs.missing_blobs(&[nobodys]).unwrap(), [nobodys]);
    assert!(!theirs.contains_tree(&nobodys).unwrap());
    assert_eq!(theirs.read(&nobodys).unwrap_err().kind, ErrorKind::Missing);
}

/// What was lost here and is there hinders nobody from storing the rest there.
#[test]
fn what_is_new_is_stored_beside_what_only_the_storage_has() {
    let engine = Engine::start(Traits::default());
    let (store, ours) = backed(&engine.server(ServerKind::Storage));
    let first = artifact(&store);
    ours.publish_artifact(&[name("s")], &first).unwrap();
    let old: Digest = first.files.as_ref().unwrap().try_into().unwrap();
    let new = store.write(b"new").unwrap();
    let file = FileNode { name: "new".into(), digest: Some(new.into()), ..FileNode::default() };
    let below = DirectoryNode { name: "old".into(), digest: Some(old.into()) };
    let directory = Directory { files: vec![file], directories: vec![below], ..Directory::default() };
    let files = store.write_directory(&directory).unwrap();
    store.lose(&old);
    store.lose(&Digest::of(b"low: 1\n"));
    let second = Artifact { files: Some(files.into()), buildtree: None, ..first };
    ours.publish_artifact(&[name("t")], &second).unwrap();
    assert_eq!(ours.troubles(), Vec::<String>::new());
    assert!([files, new, old].iter().all(|digest| engine.state().blobs.contains_key(digest)));

    // What neither has is told of.
    let lost = Digest::of(b"lost");
    let third = Artifact { low_diversity_meta: Some(lost.into()), ..second };
    ours.publish_artifact(&[name("u")], &third).unwrap();
    let troubles = ours.troubles();
    assert!(troubles[0].contains(&format!("blob {lost} is not there")), "{troubles:?}");
}

#[test]
fn a_storage_that_goes_away_is_done_without() {
    let engine = Engine::start(Traits::default());
    let (store, ours) = backed(&engine.server(ServerKind::Storage));
    let artifact = artifact(&store);
    engine.trouble("*", Mishap::Drop, u32::MAX);
    ours.publish_artifact(&[name("s")], &artifact).unwrap();
    assert_eq!(ours.artifact(&name("s")).unwrap().as_ref(), Some(&artifact));
    let troubles = ours.troubles();
    assert!(
        troubles[0].starts_with("The storage service cannot be used, the local cache alone is: "),
        "{troubles:?}"
    );
    assert!(!ours.contains_tree(&Digest::of(b"nobody's")).unwrap());
    let gone = ours.read(&Digest::of(b"nobody's")).unwrap_err();
    assert_eq!(gone.kind, ErrorKind::Unavailable);
}

/// What every method has to survive.
pub(crate) const METHODS: [&str; 9] = [
    "FetchBlob",
    "PushBlob",
    "FindMissingBlobs",
    "BatchReadBlobs",
    "BatchUpdateBlobs",
    "GetTree",
    "Read",
    "Write",
    "GetCapabilities",
];

/// Pushes and pulls while one method goes wrong once in a way that passes.
#[track_caller]
pub(crate) fn check_passes(method: &'static str, mishap: Mishap) {
    let about = format!("{method} {mishap:?}");
    let engine = Engine::start(SMALL);
    engine.trouble(method, mishap, 1);
    let one = place(vec![engine.server(ServerKind::All)]);
    assert!(one.refused.is_empty(), "{about}: {:?}", one.refused);
    let artifact = artifact(&one.store);
    assert!(one.push(&artifact).unwrap_or_else(|error| panic!("{about}: {error:?}")), "{about}");
    assert!(!engine.state().too_early, "{about}");
    engine.trouble(method, mishap, 1);
    let two = place(vec![engine.server(ServerKind::All)]);
    let pulled = two.pull(false).unwrap_or_else(|error| panic!("{about}: {error:?}"));
    assert_eq!(pulled.as_ref(), Some(&artifact), "{about}: {:?}", two.heard.0);
    assert!(two.holds(&artifact), "{about}");
    assert_eq!(two.heard.warnings(), Vec::<String>::new(), "{about}");
}

#[test]
fn what_passes_is_not_noticed() {
    let passing = [
        Mishap::Code(Code::Unavailable),
        Mishap::Code(Code::Aborted),
        Mishap::Delay,
        Mishap::Cut,
        Mishap::Drop,
        Mishap::Gateway,
    ];
    for method in METHODS {
        for mishap in passing {
            check_passes(method, mishap);
        }
    }
}

/// Nothing is worse than a wrong result: whatever happens, all the time, to whatever method, a pull brings everything
/// or nothing, or says one sentence why not; a push publishes nothing that is not there.
#[test]
fn what_does_not_pass_ends_clearly() {
    let codes = (1..=16).map(|code| Mishap::Code(Code::from_i32(code)));
    let others = [Mishap::Cut, Mishap::Drop, Mishap::Corrupt, Mishap::Garbage, Mishap::Gateway];
    for mishap in codes.chain(others) {
        for method in METHODS {
            let about = format!("{method} {mishap:?}");
            let engine = Engine::start(SMALL);
            let (one, two) =
                (place(vec![engine.server(ServerKind::All)]), place(vec![engine.server(ServerKind::All)]));
            let artifact = artifact(&one.store);
            engine.trouble(method, mishap, u32::MAX);
            let pushed = one.push(&artifact);
            assert!(!engine.state().too_early, "{about}");
            if let Err(error) = pushed {
                assert!(error.message.starts_with("Failed to push artifact s"), "{about}: {error:?}");
                assert!(error.detail.is_some_and(|detail| detail.contains("http://")), "{about}");
            }
            engine.mend();
            let mended = place(vec![engine.server(ServerKind::All)]);
            mended.push(&self::artifact(&mended.store)).unwrap();
            engine.trouble(method, mishap, u32::MAX);
            match two.pull(false) {
                Ok(Some(pulled)) => assert!(pulled == artifact && two.holds(&artifact), "{about}"),
                Ok(None) => {}
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::Unavailable, "{about}: {error:?}");
                    assert!(error.message.starts_with("Failed to pull artifact s"), "{about}: {error:?}");
                    assert_eq!(two.heard.warnings().len(), 1, "{about}: {:?}", two.heard.0);
                }
            }
        }
    }
}

#[test]
fn corrupt_blobs_lead_to_another_server_or_to_none() {
    for method in ["BatchReadBlobs", "Read"] {
        let (lying, honest) = (Engine::start(SMALL), Engine::start(SMALL));
        let both = || vec![lying.server(ServerKind::All), honest.server(ServerKind::All)];
        let one = place(both());
        let artifact = artifact(&one.store);
        one.push(&artifact).unwrap();
        lying.trouble(method, Mishap::Corrupt, u32::MAX);
        let two = place(both());
        assert_eq!(two.pull(false).unwrap(), Some(artifact.clone()));
        assert!(two.holds(&artifact));
        assert!(two.heard.warnings()[0].contains("does not match its digest"), "{:?}", two.heard.0);
        honest.trouble(method, Mishap::Corrupt, u32::MAX);
        assert_eq!(place(both()).pull(false).unwrap(), None);
    }
}

#[test]
fn silence_is_not_waited_for_again_and_again() {
    let engine = Engine::start(Traits::default());
    let one = place(vec![engine.server(ServerKind::All)]);
    let artifact = artifact(&one.store);
    one.push(&artifact).unwrap();
    let mut server = engine.server(ServerKind::All);
    server.connection.request_timeout = Some(std::time::Duration::from_secs(3));
    server.connection.retry_limit = Some(3);
    let two = place(vec![server]);
    engine.trouble("FetchBlob", Mishap::Silence, u32::MAX);
    let before = engine.calls("FetchBlob");
    for _ in 0..5 {
        let error = two.pull(false).unwrap_err();
        assert!(error.detail.unwrap().contains("no answer within 3 s"), "{:?}", two.heard.0);
    }
    // Asked twice, and not at all any more once it is known to be gone; told of once. On a machine that is busy
    // enough a question may be given up before it arrives.
    assert!(engine.calls("FetchBlob") - before <= 2, "{:?} {:?}", engine.state().calls, two.heard.0);
    assert_eq!(two.heard.warnings().len(), 1);
}

#[test]
fn who_asks_to_stop_is_heard() {
    let engine = Engine::start(Traits::default());
    let one = place(vec![engine.server(ServerKind::All)]);
    engine.trouble("FetchBlob", Mishap::Silence, u32::MAX);
    let cancel = Cancel::default();
    let pulled = std::thread::scope(|scope| {
        let pull = scope.spawn(|| one.caches.pull_artifact(&name("s"), false, &one.heard, &cancel));
        cancel.cancel();
        pull.join().unwrap()
    });
    assert_eq!(pulled.unwrap_err().kind, ErrorKind::Cancelled);
}

#[test]
fn uploads_and_downloads_go_on_where_they_broke_off() {
    let engine = Engine::start(Traits { batch: 4096, ..SMALL });
    let one = place(vec![engine.server(ServerKind::All)]);
    let artifact = artifact(&one.store);
    engine.trouble("Write", Mishap::Cut, 2);
    assert!(one.push(&artifact).unwrap());
    assert!(engine.calls("QueryWriteStatus") > 0);
    engine.trouble("Read", Mishap::Cut, 2);
    let two = place(vec![engine.server(ServerKind::All)]);
    assert_eq!(two.pull(false).unwrap().as_ref(), Some(&artifact));
    assert!(two.holds(&artifact));
}

#[test]
fn what_cannot_travel_compressed_travels_as_it_is() {
    for mishap in [Mishap::Code(Code::Unimplemented), Mishap::Cut, Mishap::Garbage] {
        let engine = Engine::start(Traits { zstd: true, ..SMALL });
        let one = place(vec![engine.server(ServerKind::All)]);
        let artifact = artifact(&one.store);
        engine.trouble("Write", mishap, 1);
        assert!(one.push(&artifact).unwrap(), "{mishap:?}");
        engine.trouble("Read", mishap, 1);
        let two = place(vec![engine.server(ServerKind::All)]);
        assert_eq!(two.pull(false).unwrap().as_ref(), Some(&artifact), "{mishap:?}");
        assert!(two.holds(&artifact) && !engine.state().too_early, "{mishap:?}");
    }
}
