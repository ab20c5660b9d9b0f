//! Servers that lie, hold back or never end, and ways to them that break: what comes of an exchange is right or nothing.

use crate::engine::{Engine, Mishap, Traits};
use crate::exchanges::{METHODS, Place, SMALL, artifact, backed, name, place, tree};
use crate::way::{Direction, Harm, Way};
use crate::{Server, ServerKind};
use bourn_reapi::services::{Cancel, ErrorKind, ServiceResult, SourceName};
use bourn_reapi::{Artifact, Assets, Cas, Digest, Remotes, Source};
use bourn_testkit::memory::MemoryStore;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tonic::Code;

/// That what was pulled is right, or that it is said once and clearly why nothing was.
#[track_caller]
fn check_pull(two: &Place, pulled: ServiceResult<Option<Artifact>>, expect: &Artifact, about: &str) -> bool {
    match pulled {
        Ok(Some(pulled)) => {
            assert!(pulled == *expect && two.holds(expect), "{about}");
            true
        }
        Ok(None) => false,
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::Unavailable, "{about}: {error:?}");
            assert!(error.message.starts_with("Failed to pull artifact s"), "{about}: {error:?}");
            assert!(two.heard.warnings().len() <= 1, "{about}: {:?}", two.heard.0);
            false
        }
    }
}

#[test]
fn lies_are_found_out_or_do_no_harm() {
    for method in METHODS.into_iter().chain(["PushBlob"]) {
        for times in [1, u32::MAX] {
            let about = format!("{method} {times}");
            let engine = Engine::start(SMALL);
            engine.trouble(method, Mishap::Lie, times);
            let one = place(vec![engine.server(ServerKind::All)]);
            let artifact = artifact(&one.store);
            if let Err(error) = one.push(&artifact) {
                assert!(error.message.starts_with("Failed to push artifact s"), "{about}: {error:?}");
            }
            // A server that says that it has everything, or publishes nothing, cannot be caught at it here; but whoever
            // pulls notices.
            let early = engine.state().too_early;
            assert!(!early || method == "FindMissingBlobs", "{about}");
            engine.mend();
            let two = place(vec![engine.server(ServerKind::All)]);
            check_pull(&two, two.pull(false), &artifact, &about);
            let mended = place(vec![engine.server(ServerKind::All)]);
            mended.push(&crate::exchanges::artifact(&mended.store)).unwrap();
            engine.trouble(method, Mishap::Lie, times);
            let three = place(vec![engine.server(ServerKind::All)]);
            check_pull(&three, three.pull(false), &artifact, &about);
            engine.mend();
            let four = place(vec![engine.server(ServerKind::All)]);
            assert!(check_pull(&four, four.pull(false), &artifact, &about), "{about}");
        }
    }
}

#[test]
fn order_does_not_matter() {
    let engine = Engine::start(Traits::default());
    engine.trouble("*", Mishap::Reorder, u32::MAX);
    let one = place(vec![engine.server(ServerKind::All)]);
    let artifact = artifact(&one.store);
    assert!(one.push(&artifact).unwrap());
    let two = place(vec![engine.server(ServerKind::All)]);
    assert_eq!(two.pull(true).unwrap(), Some(artifact.clone()));
    assert!(two.holds(&artifact) && two.holds_build_tree(&artifact));
    // The directories came as trees, leaves first.
    assert!(engine.calls("GetTree") > 0);
}

#[test]
fn what_never_ends_is_ended() {
    for method in ["GetTree", "Read"] {
        let engine = Engine::start(SMALL);
        let one = place(vec![engine.server(ServerKind::All)]);
        let artifact = artifact(&one.store);
        assert!(one.push(&artifact).unwrap());
        engine.trouble(method, Mishap::Endless, u32::MAX);
        let two = place(vec![engine.server(ServerKind::All)]);
        let came = check_pull(&two, two.pull(false), &artifact, method);
        // Trees are a short cut that can be done without.
        assert_eq!(came, method == "GetTree");
    }
}

#[test]
fn whoever_asks_to_stop_is_heard_in_the_middle_of_everything() {
    let pulling = ["FetchBlob", "BatchReadBlobs", "GetTree", "Read"];
    let pushing = ["FindMissingBlobs", "BatchUpdateBlobs", "Write", "PushBlob"];
    for (pushes, method) in
        pulling.map(|method| (false, method)).into_iter().chain(pushing.map(|method| (true, method)))
    {
        let engine = Engine::start(SMALL);
        let one = place(vec![engine.server(ServerKind::All)]);
        let artifact = artifact(&one.store);
        if !pushes {
            one.push(&artifact).unwrap();
        }
        let two = place(vec![engine.server(ServerKind::All)]);
        engine.trouble(method, Mishap::Hold, u32::MAX);
        let cancel = Cancel::default();
        let ended = std::thread::scope(|scope| {
            let work = scope.spawn(|| match pushes {
                true => one.caches.push_artifact(&[name("s")], &artifact, &one.heard, &cancel).map(drop),
                false => two.caches.pull_artifact(&name("s"), false, &two.heard, &cancel).map(drop),
            });
            engine.await_held(1);
            cancel.cancel();
            work.join().unwrap()
        });
        assert_eq!(ended.unwrap_err().kind, ErrorKind::Cancelled, "{method}");
        assert!(method == "PushBlob" || !pushes || engine.state().names.is_empty(), "{method}");
        // Nothing is waited for at the end either, although the server still holds back.
        drop((one, two));
    }
}

#[test]
fn whoever_asks_a_store_with_a_storage_behind_it_to_stop_is_heard() {
    let engine = Engine::start(SMALL);
    let (store, _) = backed(&engine.server(ServerKind::Storage));
    let blob = store.write(b"content").unwrap();
    engine.state().blobs.insert(blob, b"content".to_vec());
    let cancel = Cancel::default();
    let (_, services) = bourn_testkit::memory::services(|_| 0);
    let ours = crate::Backed::connect(
        &engine.server(ServerKind::Storage),
        services.cas,
        services.assets,
        services.executor,
        cancel.clone(),
        |_| (),
    )
    .unwrap();
    engine.trouble("BatchReadBlobs", Mishap::Hold, u32::MAX);
    let read = std::thread::scope(|scope| {
        let read = scope.spawn(|| ours.read(&blob));
        engine.await_held(1);
        cancel.cancel();
        read.join().unwrap()
    });
    assert_eq!(read.unwrap_err().kind, ErrorKind::Cancelled);
}

/// An artifact with so many files that each travel alone.
fn bulky(store: &MemoryStore, count: u8) -> Artifact {
    use bourn_reapi::{Directory, FileNode};
    let mut directory = Directory::default();
    for at in 0..count {
        let digest = store.write(&vec![at; (100 << 10) + usize::from(at)]).unwrap();
        directory.files.push(FileNode {
            name: format!("large-{at:03}"),
            digest: Some(digest.into()),
            ..FileNode::default()
        });
    }
    let files = store.write_directory(&directory).unwrap();
    Artifact { files: Some(files.into()), strong_key: "bulky".into(), ..artifact(store) }
}

#[test]
fn large_files_keep_nobody_waiting() {
    let engine = Engine::start(SMALL);
    let one = place(vec![engine.server(ServerKind::All)]);
    let large = bulky(&one.store, 60);
    let push = |key: &str, artifact: &Artifact| {
        one.caches.push_artifact(&[name(key)], artifact, &one.heard, &Cancel::default()).unwrap();
    };
    push("bulky", &large);
    // Another one that consists of small files alone.
    let mut directory = bourn_reapi::Directory::default();
    for at in 0..50_u8 {
        let digest = one.store.write(&[at; 300]).unwrap();
        directory.files.push(bourn_reapi::FileNode {
            name: format!("small-{at:02}"),
            digest: Some(digest.into()),
            ..bourn_reapi::FileNode::default()
        });
    }
    let files = one.store.write_directory(&directory).unwrap();
    let small = Artifact { files: Some(files.into()), strong_key: "small".into(), ..artifact(&one.store) };
    push("small", &small);
    let source = Source { version: 0, files: Some(files.into()) };
    let source_name = SourceName::Element("k".into());
    let cancel = Cancel::default();
    one.caches.push_source("p", &source_name, &source, &one.heard, &cancel).unwrap();

    let two = place(vec![engine.server(ServerKind::All)]);
    engine.trouble("Read", Mishap::Hold, u32::MAX);
    std::thread::scope(|scope| {
        let bulk = scope.spawn(|| two.caches.pull_artifact(&name("bulky"), false, &two.heard, &cancel));
        // As many as are under way at a time.
        engine.await_held(16);
        let pulled = two.caches.pull_artifact(&name("small"), false, &two.heard, &cancel).unwrap();
        assert_eq!(pulled, Some(small));
        assert!(two.store.contains_tree(&files).unwrap());
        let pulled = two.caches.pull_source("p", &source_name, &two.heard, &cancel).unwrap();
        assert_eq!(pulled, Some(source));
        assert_eq!(
            two.caches.available(&[name("small"), name("x")], &two.heard, &cancel).unwrap(),
            [true, false]
        );
        engine.let_go();
        assert_eq!(bulk.join().unwrap().unwrap(), Some(large));
    });
}

#[test]
fn an_index_hears_of_nothing_that_a_storage_did_not_take() {
    for method in ["FindMissingBlobs", "BatchUpdateBlobs", "Write"] {
        for mishap in
            [Mishap::Code(Code::ResourceExhausted), Mishap::Code(Code::PermissionDenied), Mishap::Drop]
        {
            let (first, second, index) =
                (Engine::start(SMALL), Engine::start(SMALL), Engine::start(Traits::default()));
            let one = place(vec![
                index.server(ServerKind::Index),
                first.server(ServerKind::Storage),
                second.server(ServerKind::Storage),
            ]);
            second.trouble(method, mishap, u32::MAX);
            let artifact = artifact(&one.store);
            let error = one.push(&artifact).unwrap_err();
            assert!(error.detail.is_some_and(|detail| detail.contains("http://")), "{method} {mishap:?}");
            assert!(index.state().names.is_empty(), "{method} {mishap:?}");
            assert_eq!(index.calls("PushBlob"), 1, "the question at the beginning alone");
            let source = Source { version: 0, files: artifact.files.clone() };
            let name = SourceName::Element("k".into());
            assert!(one.caches.push_source("p", &name, &source, &one.heard, &Cancel::default()).is_err());
            assert!(index.state().names.is_empty(), "{method} {mishap:?}");
        }
    }
}

#[test]
fn a_token_that_was_renewed_does_for_everything_under_way() {
    let engine = Engine::start(Traits { token: Some("old".into()), batch: 4096, ..SMALL });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "old").unwrap();
    let mut server = engine.server(ServerKind::All);
    server.auth.access_token = Some(path.clone());
    let renew = |token: &str| {
        std::fs::write(&path, token).unwrap();
        engine.state().traits.token = Some(token.to_owned());
    };
    // Many questions at once, each refused with the old one.
    let one = place(vec![server.clone()]);
    let names: Vec<_> = (0..100).map(|at| name(&format!("key-{at}"))).collect();
    renew("second");
    assert_eq!(one.caches.available(&names, &one.heard, &Cancel::default()).unwrap(), [false; 100]);
    // Uploads, large and small.
    let artifact = artifact(&one.store);
    let digests: Vec<Digest> = [&artifact.files, &artifact.buildtree]
        .into_iter()
        .flatten()
        .map(|message| message.try_into().unwrap())
        .collect();
    std::fs::write(&path, "renewed").unwrap();
    engine.trouble("Write", Mishap::Renew, 1);
    assert!(one.push(&artifact).unwrap());
    assert!(engine.calls("Write") > 1);
    assert!(digests.iter().all(|digest| engine.state().blobs.contains_key(digest)));
    let two = place(vec![server]);
    renew("fourth");
    assert_eq!(two.pull(true).unwrap().as_ref(), Some(&artifact));
    assert!(two.holds(&artifact) && two.holds_build_tree(&artifact));
}

#[test]
fn a_storage_behind_the_store_may_fail_in_every_way() {
    let codes = (1..=16).map(|code| Mishap::Code(Code::from_i32(code)));
    for mishap in codes.chain([Mishap::Cut, Mishap::Drop, Mishap::Corrupt, Mishap::Garbage, Mishap::Lie]) {
        for method in ["FindMissingBlobs", "BatchReadBlobs", "BatchUpdateBlobs", "Read", "Write"] {
            let about = format!("{method} {mishap:?}");
            let engine = Engine::start(SMALL);
            let (store, ours) = backed(&engine.server(ServerKind::Storage));
            let artifact = artifact(&store);
            let content = vec![5; 200 << 10];
            for content in [b"there".to_vec(), content.clone()] {
                engine.state().blobs.insert(Digest::of(&content), content);
            }
            engine.trouble(method, mishap, u32::MAX);
            ours.publish_artifact(&[name("s")], &artifact)
                .unwrap_or_else(|error| panic!("{about}: {error:?}"));
            assert!(ours.troubles().len() <= 1, "{about}");
            assert_eq!(ours.artifact(&name("s")).unwrap().as_ref(), Some(&artifact), "{about}");
            for content in [b"there".to_vec(), content] {
                match ours.read(&Digest::of(&content)) {
                    Ok(read) => assert!(read == content, "{about}"),
                    Err(error) => assert!(error.message.contains("http://"), "{about}: {error:?}"),
                }
            }
            let nobodys = Digest::of(b"nobody's");
            assert!(!ours.contains_tree(&tree(&MemoryStore::new(), 9)).unwrap(), "{about}");
            if mishap != Mishap::Lie {
                assert_eq!(ours.missing_blobs(&[nobodys]).unwrap(), [nobodys], "{about}");
            }
        }
    }
}

#[test]
fn what_comes_late_of_an_upload_that_broke_off_does_no_harm() {
    let engine = Engine::start(SMALL);
    engine.trouble("Write", Mishap::Late, 1);
    let one = place(vec![engine.server(ServerKind::All)]);
    let artifact = one_large_file(&one.store, 1 << 20);
    assert!(one.push(&artifact).unwrap());
    assert!(engine.calls("QueryWriteStatus") > 0);
    let two = place(vec![engine.server(ServerKind::All)]);
    assert_eq!(two.pull(false).unwrap(), Some(artifact));
    // A server that refuses from the beginning is taken at its word.
    let engine = Engine::start(SMALL);
    engine.trouble("Write", Mishap::Code(Code::InvalidArgument), u32::MAX);
    let three = place(vec![engine.server(ServerKind::All)]);
    three.push(&one_large_file(&three.store, 1 << 20)).unwrap_err();
    assert_eq!((engine.calls("Write"), engine.calls("QueryWriteStatus")), (1, 0));
}

/// Pushes and pulls through a way that is harmed, and looks at the result without it.
fn check_way(direction: Direction, harm: Harm, times: usize, timeout: Duration) {
    let about = format!("{direction:?} {harm:?} {times}");
    let engine = Engine::start(SMALL);
    let through = |way: &Way| Server {
        url: format!("http://{}", way.address),
        connection: crate::Connection {
            request_timeout: Some(timeout),
            ..engine.server(ServerKind::All).connection
        },
        ..engine.server(ServerKind::All)
    };
    let way = Way::start(engine.address, direction, harm, times);
    let one = place(vec![through(&way)]);
    let artifact = artifact(&one.store);
    let pushed = match one.refused.as_slice() {
        [] => one.push(&artifact),
        [_] => Ok(false),
        more => panic!("{about}: {more:?}"),
    };
    assert!(way.connections.load(Ordering::SeqCst) > 0);
    let heals = times != usize::MAX;
    match pushed {
        Ok(pushed) => assert!(pushed || !heals || matches!(harm, Harm::Flip(_)), "{about}"),
        Err(error) => {
            assert!(!heals || !matches!(harm, Harm::Cut(_) | Harm::Crumble), "{about}: {error:?}");
            assert!(error.message.starts_with("Failed to push artifact s"), "{about}: {error:?}");
        }
    }
    if !matches!(harm, Harm::Flip(_)) || direction == Direction::Down {
        assert!(!engine.state().too_early, "{about}");
    }
    let straight = || vec![engine.server(ServerKind::All)];
    let after = place(straight());
    check_pull(&after, after.pull(false), &artifact, &about);
    let whole = place(straight());
    let _ = whole.push(&crate::exchanges::artifact(&whole.store));
    let way = Way::start(engine.address, direction, harm, times);
    let two = place(vec![through(&way)]);
    match two.refused.as_slice() {
        [] => {
            let came = check_pull(&two, two.pull(false), &artifact, &about);
            assert!(
                came || !heals || !matches!(harm, Harm::Cut(_) | Harm::Crumble),
                "{about}: {:?}",
                two.heard.0
            );
        }
        [_] => {
            assert!(!heals || matches!(harm, Harm::Flip(_) | Harm::Stall(_)), "{about}: {:?}", two.refused)
        }
        more => panic!("{about}: {more:?}"),
    }
}

/// Places in a connection: in the preface, in the settings, in headers, in small messages, in blobs.
const PLACES: [u64; 12] = [0, 5, 30, 60, 100, 200, 400, 1_000, 3_000, 20_000, 70_000, 200_000];

#[test]
fn connections_that_break() {
    for direction in [Direction::Up, Direction::Down] {
        for place in PLACES {
            for times in [1, usize::MAX] {
                check_way(direction, Harm::Cut(place), times, Duration::from_secs(60));
            }
        }
    }
}

#[test]
fn bytes_that_change() {
    std::thread::scope(|scope| {
        for direction in [Direction::Up, Direction::Down] {
            for places in PLACES.chunks(3) {
                scope.spawn(move || {
                    for place in places {
                        check_way(direction, Harm::Flip(*place), usize::MAX, Duration::from_secs(1));
                    }
                });
            }
        }
    });
}

#[test]
fn connections_that_fall_silent() {
    std::thread::scope(|scope| {
        for direction in [Direction::Up, Direction::Down] {
            for places in [[0, 1_000], [60, 70_000]] {
                scope.spawn(move || {
                    for place in places {
                        check_way(direction, Harm::Stall(place), usize::MAX, Duration::from_secs(1));
                    }
                });
            }
        }
    });
}

#[test]
fn bytes_that_come_one_by_one() {
    check_way(Direction::Down, Harm::Crumble, 1, Duration::from_secs(600));
}

/// An artifact with one file that takes a while.
fn one_large_file(store: &MemoryStore, size: usize) -> Artifact {
    let content: Vec<u8> = (0..size as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let file = bourn_reapi::FileNode {
        name: "large".into(),
        digest: Some(store.write(&content).unwrap().into()),
        ..bourn_reapi::FileNode::default()
    };
    let directory = bourn_reapi::Directory { files: vec![file], ..bourn_reapi::Directory::default() };
    let files = store.write_directory(&directory).unwrap();
    Artifact { files: Some(files.into()), buildtree: None, ..artifact(store) }
}

/// What a server has taken is not sent again, and what has come is not sent for again.
#[test]
fn large_files_go_on_where_a_connection_broke() {
    const SIZE: usize = 16 << 20;
    let engine = Engine::start(SMALL);
    let one = place(vec![engine.server(ServerKind::All)]);
    let artifact = one_large_file(&one.store, SIZE);
    engine.trouble("Write", Mishap::Cut, 3);
    assert!(one.push(&artifact).unwrap());
    assert_eq!(engine.state().written, SIZE as u64);
    assert!(engine.calls("QueryWriteStatus") >= 3);

    // One connection breaks in the file, the other two never get so far. What was under way is lost with it, but that
    // is never more than the 4 MB that a stream may be ahead of its reader.
    let way = Way::start(engine.address, Direction::Down, Harm::Cut(12 << 20), 3);
    let server = Server { url: format!("http://{}", way.address), ..engine.server(ServerKind::All) };
    let two = place(vec![server]);
    assert_eq!(two.pull(false).unwrap().as_ref(), Some(&artifact), "{:?}", two.heard.0);
    assert!(two.holds(&artifact));
    let offsets = engine.state().offsets.clone();
    let [0, further @ ..] = offsets.as_slice() else { panic!("{offsets:?}") };
    assert!(!further.is_empty() && further.iter().all(|offset| *offset > 7 << 20), "{offsets:?}");
}

#[test]
fn requests_are_repeated_as_often_as_was_asked_for() {
    for limit in [0, 1, 5] {
        let engine = Engine::start(Traits::default());
        let mut server = engine.server(ServerKind::All);
        server.connection.retry_limit = Some(limit);
        server.connection.retry_delay = Some(Duration::from_millis(1));
        let one = place(vec![server]);
        engine.trouble("FetchBlob", Mishap::Code(Code::Unavailable), u32::MAX);
        let before = engine.calls("FetchBlob");
        one.pull(false).unwrap_err();
        assert_eq!(engine.calls("FetchBlob") - before, 1 + limit as usize, "{limit}");
        // Nobody is asked again who cannot be reached.
        one.pull(false).unwrap_err();
        assert_eq!(engine.calls("FetchBlob") - before, 1 + limit as usize, "{limit}");
    }
}

/// Reads what a client sends until it asks whether somebody is still there.
pub(crate) fn await_ping(client: &mut std::net::TcpStream) {
    use std::io::{Read, Write};
    /// An HTTP/2 frame has its length, its type, flags, and the number of a stream.
    const HEAD: usize = 9;
    const PING: u8 = 6;
    client.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
    // Empty settings, which is how servers begin.
    client.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
    client.read_exact(&mut [0; b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()]).unwrap();
    loop {
        let mut head = [0; HEAD];
        client.read_exact(&mut head).unwrap();
        if head[3] == PING {
            return;
        }
        let length = u64::from(u32::from_be_bytes([0, head[0], head[1], head[2]]));
        std::io::copy(&mut (&*client).take(length), &mut std::io::sink()).unwrap();
    }
}

#[test]
fn servers_that_say_nothing_are_asked_whether_they_are_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let engine = Engine::start(Traits::default());
    let mut server = engine.server(ServerKind::Storage);
    server.url = format!("http://{}", listener.local_addr().unwrap());
    server.connection.keepalive = Some(Duration::from_secs(1));
    server.connection.request_timeout = Some(Duration::from_secs(600));
    let cancel = Cancel::default();
    let group = crate::Group::from([(crate::ANY_PROJECT.to_owned(), vec![server])]);
    std::thread::scope(|scope| {
        let connect = || {
            let none = crate::Group::default();
            let caches =
                crate::Caches::connect(MemoryStore::new(), MemoryStore::new(), group.clone(), none, 8)?;
            caches.refused(&cancel).map(drop)
        };
        let connected = scope.spawn(connect);
        await_ping(&mut listener.accept().unwrap().0);
        cancel.cancel();
        assert_eq!(connected.join().unwrap().unwrap_err().kind, ErrorKind::Cancelled);
    });
}
