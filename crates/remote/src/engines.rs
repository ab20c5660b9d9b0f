//! Other people's engines: what each does differently with blobs and names, and what artifacts and sources come to.

use crate::engine::{Engine, Mishap, Traits, Unknown};
use crate::exchanges::{Heard, Place, SMALL, artifact, check_servers, place, tree};
use crate::index::{Index, Sort};
use crate::link::Link;
use crate::message::SHA256;
use crate::mishaps::await_ping;
use crate::{ANY_PROJECT, Caches, Group, Server, ServerKind};
use bourn_reapi::services::{Cancel, SourceName};
use bourn_reapi::{Artifact, Cas, Digest, LogFile, Remotes, Source};
use bourn_testkit::memory::MemoryStore;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;

const SHA1: i32 = 2;
const SHA512: i32 = 6;
const SHA256_TREE: i32 = 8;
const BLAKE3: i32 = 9;
const GIT_SHA1: i32 = 10;

/// One instance of many, and nothing but what was there first.
fn buildgrid() -> Traits {
    Traits { batch: 2 << 20, instance: "main".into(), ..Traits::default() }
}

/// No whole trees; compressed streams, but not batches; several digest functions; what is asked for a directory that is
/// not known goes to who fetches from the web, and he may not.
fn buildbarn() -> Traits {
    Traits {
        trees: false,
        zstd: true,
        streams_only: true,
        digests: &[SHA256, SHA1, SHA256_TREE, GIT_SHA1, BLAKE3],
        unknown: Unknown::Status(Code::NotFound, Code::PermissionDenied),
        instance: "fuse/hard/linking".into(),
        ..Traits::default()
    }
}

/// Small batches; unknown names are a matter of the answer; no directories.
fn nativelink() -> Traits {
    Traits {
        batch: 64 << 10,
        zstd: true,
        digests: &[SHA256, BLAKE3],
        unknown: Unknown::Answer(Code::NotFound),
        ..Traits::default()
    }
}

/// Many digest functions, the usual one not first.
fn buildfarm() -> Traits {
    Traits {
        batch: 4 << 20,
        zstd: true,
        digests: &[BLAKE3, SHA512, SHA1, SHA256],
        instance: "shard".into(),
        ..Traits::default()
    }
}

/// No limit of batches; names are only those of files in the web, and directories are answered with nothing.
fn bazel_remote() -> Traits {
    Traits {
        batch: 0,
        zstd: true,
        unknown: Unknown::Answer(Code::NotFound),
        push: false,
        ..Traits::default()
    }
}

/// An engine, which refuses these methods.
fn start(traits: Traits, refused: &[(&'static str, Code)]) -> Engine {
    let engine = Engine::start(traits);
    for (method, code) in refused {
        engine.trouble(method, Mishap::Code(*code), u32::MAX);
    }
    engine
}

const NO_DIRECTORIES: [(&str, Code); 2] =
    [("FetchDirectory", Code::Unimplemented), ("PushDirectory", Code::Unimplemented)];

#[test]
fn artifacts_on_engines_that_know_names() {
    for (traits, refused) in
        [(buildgrid(), &[][..]), (buildbarn(), &[]), (nativelink(), &NO_DIRECTORIES), (buildfarm(), &[])]
    {
        let engine = start(traits, refused);
        check_servers(&engine, vec![engine.server(ServerKind::All)]);
        if !engine.state().traits.trees {
            assert!(engine.calls("GetTree") <= 2, "asked again and again: {:?}", engine.state().calls);
        }
    }
}

#[test]
fn artifacts_on_engines_beside_an_index() {
    // The last one takes everything alone, even what is empty.
    let alone = Traits { batch: 1, ..Traits::default() };
    for traits in [buildgrid(), buildbarn(), nativelink(), buildfarm(), bazel_remote(), alone] {
        let (storage, index) = (Engine::start(traits), Engine::start(Traits::default()));
        check_servers(&index, vec![index.server(ServerKind::Index), storage.server(ServerKind::Storage)]);
        assert!(index.state().blobs.is_empty() && storage.state().names.is_empty());
    }
}

fn single(key: &str) -> SourceName {
    SourceName::Single { kind: "tar".into(), key: key.into() }
}

fn whole(key: &str) -> SourceName {
    SourceName::Element(key.into())
}

fn source(place: &Place, seed: u8) -> Source {
    Source { version: 0, files: Some(tree(&place.store, seed).into()) }
}

impl Place {
    fn push_source(&self, name: &SourceName, source: &Source) -> bool {
        self.caches.push_source("p", name, source, &self.heard, &Cancel::default()).unwrap()
    }

    fn pull_source(&self, name: &SourceName) -> Option<Source> {
        self.caches.pull_source("p", name, &self.heard, &Cancel::default()).unwrap()
    }
}

/// Sources of elements come through everywhere. Single ones only where directories are known; who does not know them is
/// warned of once, if anybody has to know.
fn check_sources(engine: &Engine, servers: &[Server], singles: bool, warnings: usize) {
    let about = format!("{:?}", engine.state().traits);
    let one = place(servers.to_vec());
    let sources = [source(&one, 1), source(&one, 2)];
    for (key, source) in ["a", "b"].into_iter().zip(&sources) {
        assert_eq!(one.push_source(&single(key), source), singles, "{about}");
        assert!(one.push_source(&whole(key), source), "{about}");
        assert!(!one.push_source(&whole(key), source), "{about}");
    }
    assert_eq!(one.heard.warnings().len(), warnings, "{about}: {:?}", one.heard.0);
    let two = place(servers.to_vec());
    for (key, source) in ["a", "b"].into_iter().zip(&sources) {
        assert_eq!(two.pull_source(&single("unknown")), None, "{about}");
        assert_eq!(two.pull_source(&whole("unknown")), None, "{about}");
        assert_eq!(two.pull_source(&single(key)).as_ref(), Some(source).filter(|_| singles), "{about}");
        assert_eq!(two.pull_source(&whole(key)).as_ref(), Some(source), "{about}");
        assert!(two.store.contains_tree(&source.files.as_ref().unwrap().try_into().unwrap()).unwrap());
    }
    assert!(two.heard.warnings().len() <= 1, "{about}: {:?}", two.heard.0);
    for warning in one.heard.warnings().into_iter().chain(two.heard.warnings()) {
        assert!(warning.contains("for whole elements only"), "{about}: {warning}");
    }
}

#[test]
fn sources_on_engines_that_know_names() {
    // Buildbarn refuses what it does not know, and takes what is pushed nevertheless.
    for traits in [buildgrid(), buildbarn(), bazel_index()] {
        let engine = Engine::start(traits);
        check_sources(&engine, &[engine.server(ServerKind::All)], true, 0);
    }
    let engine = start(nativelink(), &NO_DIRECTORIES);
    check_sources(&engine, &[engine.server(ServerKind::All)], false, 1);
    for code in [Code::Unimplemented, Code::PermissionDenied, Code::InvalidArgument, Code::FailedPrecondition]
    {
        let engine = start(Traits::default(), &[("FetchDirectory", code), ("PushDirectory", code)]);
        check_sources(&engine, &[engine.server(ServerKind::All)], false, 1);
    }
}

/// Names that are answered with nothing.
fn bazel_index() -> Traits {
    Traits { unknown: Unknown::Nothing, ..Traits::default() }
}

#[test]
fn sources_on_engines_beside_an_index() {
    for traits in [buildgrid(), buildbarn(), nativelink(), buildfarm(), bazel_remote()] {
        let (storage, index) = (Engine::start(traits), Engine::start(Traits::default()));
        let servers = [index.server(ServerKind::Index), storage.server(ServerKind::Storage)];
        check_sources(&index, &servers, true, 0);
    }
}

/// That somebody has no right to is another matter than that nobody can.
#[test]
fn who_may_not_publish_is_told_so() {
    let engine = Engine::start(Traits::default());
    let mut server = engine.server(ServerKind::All);
    let one = place(vec![server.clone()]);
    for method in ["PushDirectory", "PushBlob"] {
        engine.trouble(method, Mishap::Code(Code::PermissionDenied), u32::MAX);
    }
    let source = source(&one, 1);
    assert!(!one.push_source(&single("a"), &source));
    let refused = one.caches.push_source("p", &whole("a"), &source, &one.heard, &Cancel::default());
    let error = refused.unwrap_err();
    assert!(error.detail.unwrap().contains("PushBlob failed: as the test wants it (PERMISSION_DENIED)"));
    // Who would only pull is not asked for that right.
    server.push = false;
    assert!(place(vec![server]).refused.is_empty());
    engine.mend();
    engine.trouble("FetchDirectory", Mishap::Code(Code::Unauthenticated), u32::MAX);
    let refused = one.caches.push_source("p", &single("a"), &source, &one.heard, &Cancel::default());
    assert!(refused.unwrap_err().detail.unwrap().contains("UNAUTHENTICATED"));
}

#[test]
fn engines_that_cannot_be_used_are_told_of() {
    let unusable = [
        (start(Traits { digests: &[BLAKE3, SHA1], ..Traits::default() }, &[]), "does not know SHA-256"),
        (start(bazel_remote(), &[]), "it has no Remote Asset Push service"),
        (start(Traits::default(), &[("GetCapabilities", Code::PermissionDenied)]), "PERMISSION_DENIED"),
        (start(Traits::default(), &[("GetCapabilities", Code::Unauthenticated)]), "UNAUTHENTICATED"),
        (start(Traits::default(), &[("GetCapabilities", Code::InvalidArgument)]), "INVALID_ARGUMENT"),
        (start(Traits::default(), &[("PushBlob", Code::FailedPrecondition)]), "FAILED_PRECONDITION"),
        (start(Traits { instance: "one".into(), ..Traits::default() }, &[]), ""),
    ];
    for (engine, why) in &unusable {
        let mut server = engine.server(ServerKind::All);
        if why.is_empty() {
            // An instance that is not there cannot be told from a question that asks for nothing.
            server.instance = "another".into();
        }
        let place = place(vec![server]);
        let told: Vec<String> = place.refused.iter().map(|refused| refused.error.to_string()).collect();
        match why.is_empty() {
            true => assert!(told.is_empty() && place.pull(false).is_err(), "{told:?}"),
            false => assert!(told.len() == 1 && told[0].contains(why), "{why}: {told:?}"),
        }
    }
    // Who cannot be written to can be read, and who is of no use as an index can be one as a storage.
    let reading = start(Traits { push: false, ..Traits::default() }, &[]);
    let mut server = reading.server(ServerKind::All);
    server.push = false;
    assert!(place(vec![server]).refused.is_empty());
    let storage = start(bazel_remote(), &[]);
    assert!(place(vec![storage.server(ServerKind::Storage)]).refused.is_empty());
    // Servers older than the service of capabilities are taken at the least.
    let old = start(Traits { capabilities: false, ..Traits::default() }, &[]);
    assert!(place(vec![old.server(ServerKind::Storage)]).refused.is_empty());
}

/// Whether a server can be used may be known before anybody needs it. Whoever does has to hear of it.
#[test]
fn servers_that_were_refused_early_are_told_of() {
    let engine = start(bazel_remote(), &[]);
    let store = MemoryStore::new();
    let group: Group = [(ANY_PROJECT.to_owned(), vec![engine.server(ServerKind::All)])].into();
    let caches = Caches::connect(store.clone(), store.clone(), group.clone(), group, 8).unwrap();
    caches.await_all();
    assert!(caches.pushes_sources("p") && caches.pulls_artifacts("p"));
    let (heard, cancel) = (Heard::default(), Cancel::default());
    let source = Source { version: 0, files: Some(tree(&store, 1).into()) };
    assert!(!caches.push_source("p", &whole("a"), &source, &heard, &cancel).unwrap());
    assert_eq!(heard.warnings().len(), 1, "{:?}", heard.0);
    assert!(heard.warnings()[0].contains("it has no Remote Asset Push service"), "{:?}", heard.0);
    assert!(!caches.pushes_sources("p") && !caches.pulls_artifacts("p"));
}

/// Servers drop what nobody asks for, and names live as long as what they were said to refer to.
#[test]
fn names_are_published_with_what_they_refer_to() {
    let engine = Engine::start(SMALL);
    let one = place(vec![engine.server(ServerKind::All)]);
    let blob = |content: &[u8]| Some(one.store.write(content).unwrap().into());
    let whole_artifact = Artifact {
        public_data: blob(b"public"),
        logs: vec![LogFile { name: "log".into(), digest: blob(b"log") }],
        sources: Some(tree(&one.store, 3).into()),
        buildroot: Some(tree(&one.store, 4).into()),
        ..artifact(&one.store)
    };
    one.push(&whole_artifact).unwrap();
    let source = source(&one, 5);
    one.push_source(&single("a"), &source);
    one.push_source(&whole("a"), &source);
    let state = engine.state();
    let [of_artifact, of_single, of_whole] = state.pushed.as_slice() else { panic!("{:?}", state.pushed) };
    let Artifact { files, buildtree, sources, buildroot, .. } = &whole_artifact;
    let Artifact { low_diversity_meta, high_diversity_meta, public_data, logs, .. } = &whole_artifact;
    let sorted = |digests: Vec<Option<&bourn_reapi::digest::DigestMessage>>| {
        let mut hashes: Vec<String> =
            digests.into_iter().flatten().map(|digest| Digest::try_from(digest).unwrap().hex()).collect();
        hashes.sort();
        hashes
    };
    assert_eq!(of_artifact.uris.len(), 2);
    assert_eq!(
        sorted(of_artifact.references_directories.iter().map(Some).collect()),
        sorted(vec![files.as_ref(), buildtree.as_ref(), sources.as_ref(), buildroot.as_ref()])
    );
    assert_eq!(
        sorted(of_artifact.references_blobs.iter().map(Some).collect()),
        sorted(vec![
            low_diversity_meta.as_ref(),
            high_diversity_meta.as_ref(),
            public_data.as_ref(),
            logs[0].digest.as_ref()
        ])
    );
    assert_eq!(of_single.digest, source.files);
    assert!(of_single.references_blobs.is_empty() && of_single.references_directories.is_empty());
    assert_eq!(of_whole.references_directories.as_slice(), source.files.as_slice());
    assert!(of_whole.references_blobs.is_empty());
    drop(state);
    // Whoever pushes again asks for everything, so that none of it is dropped.
    let two = place(vec![engine.server(ServerKind::All)]);
    let same = artifact(&two.store);
    engine.state().calls.clear();
    assert!(two.push(&same).unwrap());
    assert!(engine.calls("FindMissingBlobs") > 0 && engine.calls("BatchUpdateBlobs") <= 1);
}

/// A repository is staged with times in it, so that everybody's is another; the first one stays as long as it is there.
#[test]
fn a_single_source_that_is_there_is_not_replaced() {
    let engine = Engine::start(Traits::default());
    let (one, two) =
        (place(vec![engine.server(ServerKind::All)]), place(vec![engine.server(ServerKind::All)]));
    let (first, second) = (source(&one, 1), source(&two, 2));
    assert!(one.push_source(&single("a"), &first));
    assert!(!two.push_source(&single("a"), &second));
    let reader = || place(vec![engine.server(ServerKind::All)]).pull_source(&single("a"));
    assert_eq!(reader().as_ref(), Some(&first));
    let files: Digest = first.files.as_ref().unwrap().try_into().unwrap();
    engine.state().blobs.remove(&files);
    let three = place(vec![engine.server(ServerKind::All)]);
    assert!(three.push_source(&single("a"), &source(&three, 2)));
    assert_eq!(reader().as_ref(), Some(&second));
}

/// Ends an HTTP/2 connection as gRPC's libraries do when they find that there are too many pings.
fn calm(mut client: TcpStream) {
    const GO_AWAY: u8 = 7;
    const ENHANCE_YOUR_CALM: u8 = 11;
    let why = b"too_many_pings";
    let mut frame = vec![0, 0, 8 + why.len() as u8, GO_AWAY, 0, 0, 0, 0, 0];
    // The last stream that something was done for, and the reason.
    frame.extend([0, 0, 0, 1, 0, 0, 0, ENHANCE_YOUR_CALM]);
    frame.extend(why);
    client.write_all(&frame).unwrap();
    client.shutdown(Shutdown::Both).unwrap();
}

fn hand_on(client: TcpStream, server: SocketAddr) {
    let server = TcpStream::connect(server).unwrap();
    for (mut from, mut to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)] {
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}

#[test]
fn who_finds_pings_too_many_gets_fewer() {
    let engine = Engine::start(Traits::default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = engine.server(ServerKind::Index);
    server.url = format!("http://{}", listener.local_addr().unwrap());
    server.connection.keepalive = Some(Duration::from_secs(1));
    server.connection.request_timeout = Some(Duration::from_secs(600));
    server.connection.retry_limit = Some(5);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let link = {
        let _within = runtime.enter();
        Arc::new(Link::new(&server).unwrap())
    };
    let index = Index { link: link.clone() };
    let asked = runtime.spawn(async move { index.fetch(Sort::Blob, vec!["urn:x".into()]).await });
    let (mut first, _) = listener.accept().unwrap();
    await_ping(&mut first);
    assert_eq!(link.keepalive(), Some(Duration::from_secs(1)));
    calm(first);
    // It is asked again, on another connection.
    hand_on(listener.accept().unwrap().0, engine.address);
    let answer = runtime.block_on(asked).unwrap();
    assert!(matches!(answer, Ok(None)), "{answer:?}");
    assert_eq!(link.keepalive(), Some(Duration::from_secs(2)));
}
