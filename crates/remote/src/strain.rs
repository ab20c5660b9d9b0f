//! Servers that break off, have too much to do, are slow, or claim what cannot be: what they cost is bounded, and what
//! comes of an exchange is right or nothing.

use crate::engine::{Engine, Mishap, Traits};
use crate::exchanges::{METHODS, Place, SMALL, artifact, backed, check_passes, name, place, tree};
use crate::index::artifact_urn;
use crate::link::Link;
use crate::storage::Storage;
use crate::{Connection, Server, ServerKind};
use bourn_reapi::services::{Cancel, ErrorKind};
use bourn_reapi::{Artifact, ArtifactName, Assets, Cas, Digest, Directory, DirectoryNode, FileNode, Remotes};
use bourn_testkit::memory::MemoryStore;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;

/// `NO_ERROR` to `HTTP_1_1_REQUIRED`. Of these, `INADEQUATE_SECURITY` is no accident.
const RESETS: std::ops::RangeInclusive<u32> = 0..=13;
const INADEQUATE_SECURITY: u32 = 12;

#[test]
fn streams_that_are_reset() {
    for method in METHODS {
        for reason in RESETS.filter(|reason| *reason != INADEQUATE_SECURITY) {
            check_passes(method, Mishap::Reset(reason));
        }
    }
    let engine = Engine::start(SMALL);
    let one = place(vec![engine.server(ServerKind::All)]);
    engine.trouble("FetchBlob", Mishap::Reset(INADEQUATE_SECURITY), u32::MAX);
    let error = one.pull(false).unwrap_err();
    assert!(error.detail.is_some_and(|detail| detail.contains("PERMISSION_DENIED")), "{:?}", one.heard.0);
}

#[test]
fn streams_that_are_reset_again_and_again() {
    for method in METHODS {
        for reason in RESETS {
            let about = format!("{method} {reason}");
            let engine = Engine::start(SMALL);
            let one = place(vec![engine.server(ServerKind::All)]);
            let artifact = artifact(&one.store);
            assert!(one.push(&artifact).unwrap());
            let two = place(vec![engine.server(ServerKind::All)]);
            engine.trouble(method, Mishap::Reset(reason), u32::MAX);
            match two.pull(false) {
                Ok(Some(pulled)) => assert!(pulled == artifact && two.holds(&artifact), "{about}"),
                Ok(None) => {}
                Err(error) => {
                    assert!(error.detail.is_some_and(|text| text.contains("http://")), "{about}");
                    assert_eq!(two.heard.warnings().len(), 1, "{about}: {:?}", two.heard.0);
                }
            }
        }
    }
}

#[test]
fn connections_that_are_closed_with_a_word() {
    // In peace, for no reason that is known, and because of too many requests.
    for reason in [0, 2, 11] {
        for method in METHODS {
            check_passes(method, Mishap::GoAway(reason));
        }
    }
}

#[test]
fn servers_that_have_too_much_to_do_are_asked_again() {
    for method in METHODS {
        check_passes(method, Mishap::Busy(true));
    }
    for method in ["BatchReadBlobs", "BatchUpdateBlobs"] {
        check_passes(method, Mishap::Partly);
        check_passes(method, Mishap::Twice);
    }
    check_passes("FindMissingBlobs", Mishap::Twice);
}

#[test]
fn a_server_that_is_full_can_still_be_pulled_from() {
    let mut asked = Vec::new();
    for tells in [false, true] {
        let engine = Engine::start(SMALL);
        let one = place(vec![engine.server(ServerKind::All)]);
        let first = artifact(&one.store);
        assert!(one.push(&first).unwrap());
        engine.trouble("BatchUpdateBlobs", Mishap::Busy(tells), u32::MAX);
        let other = place(vec![engine.server(ServerKind::All)]);
        let second = Artifact { files: Some(tree(&other.store, 9).into()), ..artifact(&other.store) };
        let before = engine.calls("BatchUpdateBlobs");
        let error = other.push(&second).unwrap_err();
        asked.push(engine.calls("BatchUpdateBlobs") - before);
        let detail = error.detail.unwrap();
        assert!(detail.contains("RESOURCE_EXHAUSTED") && detail.contains("http://"), "{detail}");
        assert!(!engine.state().too_early);
        assert_eq!(other.pull(false).unwrap(), Some(first));
    }
    // Whether it is full or has too much to do, nobody can tell where it names no time.
    assert!(asked.iter().all(|times| (2..20).contains(times)), "it is asked again a few times: {asked:?}");
}

/// As gRPC's servers for Python: what is more than they do at a time is refused, with no word of why.
#[test]
fn a_server_that_does_few_things_at_a_time_is_asked_for_fewer() {
    let engine = Engine::start(Traits { batch: 4 << 10, ..SMALL });
    engine.state().at_a_time = Some(4);
    let one = place(vec![engine.server(ServerKind::All)]);
    assert!(one.refused.is_empty(), "{:?}", one.refused);
    let files = (0..120_usize).map(|at| {
        // Some alone, some with others.
        let content = format!("{at} {}", "x".repeat(at * 60));
        let digest = one.store.write(content.as_bytes()).unwrap();
        FileNode { name: format!("{at:03}"), digest: Some(digest.into()), ..FileNode::default() }
    });
    let files = Directory { files: files.collect(), ..Directory::default() };
    let files = one.store.write_directory(&files).unwrap();
    let artifact = Artifact { files: Some(files.into()), ..artifact(&one.store) };
    assert!(one.push(&artifact).unwrap());
    assert!(!engine.state().too_early);
    let two = place(vec![engine.server(ServerKind::All)]);
    assert_eq!(two.pull(false).unwrap(), Some(artifact), "{:?}", two.heard.0);
    assert!(two.store.contains_tree(&files).unwrap());
    assert_eq!(two.heard.warnings(), Vec::<String>::new());
}

/// A blob that half of a batch came of is not lost for good, and nobody waits for it for ever.
#[test]
fn blobs_that_cannot_be_had_at_the_moment_end_clearly() {
    let engine = Engine::start(SMALL);
    let one = place(vec![engine.server(ServerKind::All)]);
    let artifact = artifact(&one.store);
    assert!(one.push(&artifact).unwrap());
    engine.trouble("BatchReadBlobs", Mishap::Partly, u32::MAX);
    let two = place(vec![engine.server(ServerKind::All)]);
    let error = two.pull(false).unwrap_err();
    assert!(error.detail.is_some_and(|detail| detail.contains("come back (UNAVAILABLE)")));
    engine.mend();
    assert_eq!(two.pull(false).unwrap(), Some(artifact));
}

#[test]
fn uploads_of_what_is_there_already_end_early() {
    for zstd in [false, true] {
        let engine = Engine::start(Traits { zstd, ..SMALL });
        let one = place(vec![engine.server(ServerKind::All)]);
        let artifact = bulky(&one.store, 8 << 20);
        assert!(one.push(&artifact).unwrap());
        let writes = engine.calls("Write");
        // Somebody else was faster, between the question and the upload.
        engine.trouble("FindMissingBlobs", Mishap::Forgetful, u32::MAX);
        engine.trouble("Write", Mishap::Early, u32::MAX);
        let again = place(vec![engine.server(ServerKind::All)]);
        bulky(&again.store, 8 << 20);
        self::artifact(&again.store);
        again.push(&artifact).unwrap();
        assert_eq!((engine.calls("Write") - writes, engine.state().early), (writes, writes), "{zstd}");
    }
}

#[test]
fn uploads_of_which_too_little_is_said_to_have_come() {
    for zstd in [false, true] {
        let engine = Engine::start(Traits { zstd, ..SMALL });
        let one = place(vec![engine.server(ServerKind::All)]);
        engine.trouble("Write", Mishap::Short, u32::MAX);
        assert!(one.push(&bulky(&one.store, 1 << 20)).unwrap(), "it is there, whatever was said");
        // It is not there either.
        let engine = Engine::start(Traits { zstd, ..SMALL });
        let two = place(vec![engine.server(ServerKind::All)]);
        engine.trouble("Write", Mishap::Lie, u32::MAX);
        let error = two.push(&bulky(&two.store, 1 << 20)).unwrap_err();
        assert!(error.detail.is_some_and(|detail| detail.contains("bytes were accepted")));
        assert!(engine.state().names.is_empty());
    }
}

/// An artifact with one file that cannot be compressed.
fn bulky(store: &MemoryStore, size: u32) -> Artifact {
    let content: Vec<u8> = (0..size).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let digest = store.write(&content).unwrap();
    let file = FileNode { name: "large".into(), digest: Some(digest.into()), ..FileNode::default() };
    let files = Directory { files: vec![file], ..Directory::default() };
    let files = store.write_directory(&files).unwrap();
    Artifact { files: Some(files.into()), buildtree: None, ..artifact(store) }
}

/// In a hurry: what falls silent is noticed soon.
fn hurried(engine: &Engine) -> Server {
    let timeout = Some(Duration::from_secs(1));
    let server = engine.server(ServerKind::All);
    Server { connection: Connection { request_timeout: timeout, ..server.connection }, ..server }
}

/// Somebody in a hurry who has come to know the server: a busy machine may take longer even for that.
fn hurried_place(engine: &Engine) -> Place {
    loop {
        let place = place(vec![hurried(engine)]);
        if place.refused.is_empty() {
            return place;
        }
    }
}

#[test]
fn who_has_a_byte_now_and_then_is_not_waited_for() {
    let engine = Engine::start(SMALL);
    let one = place(vec![engine.server(ServerKind::All)]);
    assert!(one.push(&bulky(&one.store, 1 << 20)).unwrap());
    let two = hurried_place(&engine);
    engine.trouble("Read", Mishap::Drip, u32::MAX);
    // A day would pass otherwise.
    let error = two.pull(false).unwrap_err();
    assert!(error.detail.is_some_and(|detail| detail.contains("no answer within 1 s")), "{:?}", two.heard.0);
}

#[test]
fn an_upload_that_is_not_taken_costs_no_more_than_a_download() {
    for zstd in [false, true] {
        let engine = Engine::start(Traits { zstd, ..SMALL });
        let one = hurried_place(&engine);
        engine.trouble("Write", Mishap::Hold, u32::MAX);
        let artifact = bulky(&one.store, 40 << 20);
        one.push(&artifact).unwrap_err();
        assert!(engine.calls("Write") <= 2, "{:?}", engine.state().calls);
        let calls = engine.calls("Write");
        // And then nothing more is sent for a while.
        one.push(&artifact).unwrap_err();
        assert_eq!(engine.calls("Write"), calls);
        engine.let_go();
    }
}

/// An index that says that a name means this.
fn meaning(engine: &Engine, digest: Digest) {
    engine.state().names.insert(artifact_urn(&name("s")), digest);
}

#[test]
fn sizes_that_cannot_be_are_not_believed() {
    let engine = Engine::start(SMALL);
    let one = place(vec![engine.server(ServerKind::All)]);
    let huge = |seed: &[u8]| Digest { size: 1 << 40, ..Digest::of(seed) };
    let whole = artifact(&one.store);
    let root = |directory: &Directory| {
        let bytes = directory.encode_to_vec();
        let digest = Digest::of(&bytes);
        engine.state().blobs.insert(digest, bytes);
        digest
    };
    let below = DirectoryNode { name: "below".into(), digest: Some(huge(b"directory").into()) };
    let deep = root(&Directory { directories: vec![below], ..Directory::default() });
    let cases = [
        None,
        Some(Artifact { files: Some(huge(b"files").into()), ..whole.clone() }),
        Some(Artifact { files: Some(deep.into()), ..whole.clone() }),
        Some(Artifact { low_diversity_meta: Some(huge(b"low").into()), ..whole.clone() }),
    ];
    // Whoever asked for these would get bytes without end.
    engine.trouble("Read", Mishap::Endless, u32::MAX);
    assert!(one.push(&whole).unwrap());
    for artifact in cases {
        let digest = match &artifact {
            None => huge(b"artifact"),
            Some(artifact) => {
                let bytes = artifact.encode_to_vec();
                let digest = Digest::of(&bytes);
                engine.state().blobs.insert(digest, bytes);
                digest
            }
        };
        meaning(&engine, digest);
        let two = place(vec![engine.server(ServerKind::All)]);
        let reads = engine.calls("Read");
        two.caches.expect(&[name("s")]);
        assert_eq!(two.pull(false).unwrap(), None, "{artifact:?}");
        assert!(two.heard.warnings()[0].contains("is too large"), "{:?}", two.heard.0);
        assert_eq!(engine.calls("Read"), reads, "{artifact:?}");
    }
}

#[test]
fn what_unpacks_to_more_than_it_should_is_thrown_away() {
    let engine = Engine::start(Traits { zstd: true, ..SMALL });
    let one = place(vec![engine.server(ServerKind::All)]);
    let artifact = artifact(&one.store);
    assert!(one.push(&artifact).unwrap());
    // Everything has the same short compressed form, and unpacks to a gigabyte.
    let mut bomb = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 1 << 30), &mut bomb).unwrap();
    engine.state().bomb = Some(bomb.finish().unwrap());
    let two = place(vec![engine.server(ServerKind::All)]);
    assert_eq!(two.pull(false).unwrap(), None);
    assert!(two.heard.warnings()[0].contains("does not match its digest"), "{:?}", two.heard.0);
    assert!(two.store.bytes() < 100 << 20, "{} bytes are kept", two.store.bytes());
}

#[test]
fn compressed_streams_without_end_are_ended() {
    let engine = Engine::start(Traits { zstd: true, ..SMALL });
    let one = place(vec![engine.server(ServerKind::All)]);
    let artifact = bulky(&one.store, 1 << 20);
    assert!(one.push(&artifact).unwrap());
    engine.trouble("Read", Mishap::Skip, u32::MAX);
    let two = place(vec![engine.server(ServerKind::All)]);
    assert_eq!(two.pull(false).unwrap(), None);
    assert!(two.heard.warnings()[0].contains("does not match its digest"), "{:?}", two.heard.0);
    // What cannot be read compressed is asked for as it is.
    engine.mend();
    engine.trouble("Read", Mishap::Skip, 1);
    let three = place(vec![engine.server(ServerKind::All)]);
    assert_eq!(three.pull(false).unwrap(), Some(artifact));
}

#[test]
fn nobody_needs_to_keep_what_is_empty() {
    for trees in [true, false] {
        let engine = Engine::start(Traits { trees, ..SMALL });
        let one = place(vec![engine.server(ServerKind::All)]);
        let empty = one.store.write(b"").unwrap();
        let file = FileNode { name: "empty".into(), digest: Some(empty.into()), ..FileNode::default() };
        let below = DirectoryNode { name: "below".into(), digest: Some(empty.into()) };
        let files = Directory { files: vec![file], directories: vec![below], ..Directory::default() };
        let files = one.store.write_directory(&files).unwrap();
        for files in [files, empty] {
            let artifact = Artifact { files: Some(files.into()), buildtree: None, ..artifact(&one.store) };
            one.push(&artifact).unwrap();
            engine.state().blobs.remove(&empty);
            let two = place(vec![engine.server(ServerKind::All)]);
            assert_eq!(two.pull(false).unwrap().as_ref(), Some(&artifact), "{:?}", two.heard.0);
            assert!(two.store.contains_tree(&files).unwrap());
        }
    }
}

#[test]
fn what_a_server_had_before_it_was_started_anew_is_not_relied_upon() {
    let engine = Engine::start(SMALL);
    let one = place(vec![engine.server(ServerKind::All)]);
    let artifact = artifact(&one.store);
    assert!(one.push(&artifact).unwrap());
    // It comes back with nothing; connections break at that.
    engine.state().blobs.clear();
    engine.state().names.clear();
    engine.trouble("*", Mishap::Drop, 1);
    engine.state().calls.clear();
    assert!(one.push(&artifact).unwrap());
    assert!(!engine.state().too_early, "{:?}", engine.state().calls);
    let two = place(vec![engine.server(ServerKind::All)]);
    assert_eq!(two.pull(false).unwrap(), Some(artifact));
}

/// The same, while blobs are sent: what was there at the beginning need not be at the end.
#[test]
fn what_a_server_loses_while_something_is_sent_is_sent_again() {
    for (zstd, method) in [(false, "BatchUpdateBlobs"), (false, "Write"), (true, "Write")] {
        check_lost(zstd, method);
    }
}

#[track_caller]
fn check_lost(zstd: bool, method: &'static str) {
    let engine = Engine::start(Traits { zstd, ..SMALL });
    let one = place(vec![engine.server(ServerKind::All)]);
    let artifact = artifact(&one.store);
    assert!(one.push(&artifact).unwrap());
    let low = one.store.write(b"low: 2\n").unwrap();
    let second = Artifact { low_diversity_meta: Some(low.into()), ..bulky(&one.store, 1 << 20) };
    engine.state().names.clear();
    engine.trouble(method, Mishap::Wipe, 1);
    let fresh = place(vec![engine.server(ServerKind::All)]);
    bulky(&fresh.store, 1 << 20);
    fresh.store.write(b"low: 2\n").unwrap();
    let calls = engine.calls(method);
    assert!(fresh.push(&second).unwrap(), "{zstd} {method}");
    assert!(engine.calls(method) > calls, "{zstd} {method}");
    assert!(!engine.state().too_early, "{zstd} {method}");
}

#[test]
fn an_answer_from_before_a_break_says_nothing_of_the_time_after_it() {
    let engine = Engine::start(SMALL);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _within = runtime.enter();
    let storage = Storage::new(Arc::new(Link::new(&engine.server(ServerKind::Storage)).unwrap()));
    let blob = Digest::of(b"blob");
    let asked = storage.link.breaks();
    storage.learn(&[blob], asked);
    assert_eq!(storage.unknown(&[blob]), []);
    storage.link.note_break(&Status::unavailable("broken off"));
    assert_eq!(storage.unknown(&[blob]), [blob]);
    // Read late.
    storage.learn(&[blob], asked);
    assert_eq!(storage.unknown(&[blob]), [blob]);
    storage.learn(&[blob], storage.link.breaks());
    assert_eq!(storage.unknown(&[blob]), []);
}

#[test]
fn a_storage_behind_the_store_that_lost_everything_is_not_relied_upon() {
    let engine = Engine::start(SMALL);
    let (store, ours) = backed(&engine.server(ServerKind::Storage));
    let first = artifact(&store);
    ours.publish_artifact(&[name("s")], &first).unwrap();
    engine.state().blobs.clear();
    let low: Digest = first.low_diversity_meta.as_ref().unwrap().try_into().unwrap();
    store.lose(&low);
    // As far as is known it is there; that it is not is noticed by whoever reads it.
    assert_eq!(ours.read(&low).unwrap_err().kind, ErrorKind::Missing);
    assert_eq!(ours.missing_blobs(&[low]).unwrap(), [low]);
}

#[test]
fn a_token_that_cannot_be_read_any_more_is_no_fault_of_this_machine() {
    let (locked, open) = (Engine::start(SMALL), Engine::start(SMALL));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "word").unwrap();
    let mut server = locked.server(ServerKind::All);
    server.auth.access_token = Some(path.clone());
    server.auth.token_reload = Some(Duration::ZERO);
    let both = || vec![server.clone(), open.server(ServerKind::All)];
    let one = place(both());
    let artifact = artifact(&one.store);
    assert!(one.push(&artifact).unwrap());
    let two = place(both());
    std::fs::remove_file(&path).unwrap();
    assert_eq!(two.pull(false).unwrap(), Some(artifact));
    let warnings = two.heard.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("cannot read the access token"), "{warnings:?}");
}

#[test]
fn a_server_whose_blobs_are_damaged_is_told_of_once() {
    let engine = Engine::start(SMALL);
    let one = place(vec![engine.server(ServerKind::All)]);
    let names: Vec<ArtifactName> = (0..5).map(|at| name(&format!("key{at}"))).collect();
    for (at, name) in names.iter().enumerate() {
        let mut artifact = artifact(&one.store);
        artifact.strong_key = name.key.clone();
        artifact.files = Some(tree(&one.store, at as u8 + 10).into());
        let cancel = Cancel::default();
        one.caches.push_artifact(std::slice::from_ref(name), &artifact, &one.heard, &cancel).unwrap();
    }
    engine.trouble("BatchReadBlobs", Mishap::Corrupt, u32::MAX);
    let two = place(vec![engine.server(ServerKind::All)]);
    for name in &names {
        let pulled = two.caches.pull_artifact(name, false, &two.heard, &Cancel::default()).unwrap();
        assert_eq!(pulled, None);
    }
    assert_eq!(two.heard.warnings().len(), 1, "{:?}", two.heard.0);
}

#[test]
fn answers_with_more_headers_than_anybody_needs() {
    for method in METHODS {
        let engine = Engine::start(SMALL);
        let one = place(vec![engine.server(ServerKind::All)]);
        let artifact = artifact(&one.store);
        assert!(one.push(&artifact).unwrap());
        let two = place(vec![engine.server(ServerKind::All)]);
        engine.trouble(method, Mishap::Verbose, u32::MAX);
        match two.pull(false) {
            Ok(pulled) => assert!(pulled.is_none() || two.holds(&artifact), "{method}"),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Unavailable, "{method}: {error:?}");
                assert!(error.detail.unwrap().len() < 3_000, "{method}");
            }
        }
    }
}

#[test]
fn a_storage_behind_the_store_that_is_gone_is_told_of_once() {
    let engine = Engine::start(SMALL);
    let mut server = engine.server(ServerKind::Storage);
    server.url = "http://127.0.0.1:1".into();
    let (store, ours) = backed(&server);
    let artifact = artifact(&store);
    for key in ["s", "t", "u"] {
        ours.publish_artifact(&[name(key)], &artifact).unwrap();
    }
    let nobodys = Digest::of(b"nobody's");
    assert_eq!(ours.missing_blobs(&[nobodys]).unwrap(), [nobodys]);
    assert!(!ours.contains_tree(&nobodys).unwrap());
    let troubles = ours.troubles();
    assert!(
        troubles.len() == 1 && troubles[0].contains("cannot be used, the local cache alone is"),
        "{troubles:?}"
    );
}
