//! What the kernel is told of a tree that is served, asked here as it would ask.

use crate::scene::Scene;
use bourn_cas::{Faults, ServedTree, Store};
use bourn_reapi::services::ErrorKind;
use bourn_reapi::{Cas, Digest};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;

const LOOKUP: u32 = 1;
const GETATTR: u32 = 3;
const READLINK: u32 = 5;
const GETXATTR: u32 = 22;
const INIT: u32 = 26;
const READDIR: u32 = 28;

const ROOT: u64 = 1;

/// A kernel that has mounted a tree.
struct Kernel {
    device: OwnedFd,
    server: Option<JoinHandle<()>>,
    faults: Faults,
    asked: u64,
}

impl Kernel {
    fn new(store: Arc<Store>, tree: Digest) -> Kernel {
        let pair = || socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (device, theirs) = pair().expect("sockets");
        let tree = ServedTree::new(store, tree, (7, 8));
        let faults = tree.faults();
        let server = std::thread::spawn(move || {
            // The end that never comes: the device is closed first.
            let (end, _other) = pair().expect("sockets");
            tree.serve(theirs, end);
        });
        Kernel { device, server: Some(server), faults, asked: 0 }
    }

    fn ask(&mut self, operation: u32, node: u64, rest: &[u8]) -> Result<Vec<u8>, Errno> {
        self.asked += 1;
        let mut request = Vec::new();
        request.extend((40 + rest.len() as u32).to_ne_bytes());
        request.extend(operation.to_ne_bytes());
        request.extend(self.asked.to_ne_bytes());
        request.extend(node.to_ne_bytes());
        request.extend([0; 16]);
        request.extend(rest);
        rustix::io::write(&self.device, &request).expect("a request");
        let mut answer = vec![0; 4096];
        let length = rustix::io::read(&self.device, &mut answer).expect("an answer");
        answer.truncate(length);
        assert_eq!(number(&answer, 0) as usize, length);
        assert_eq!(large(&answer, 8), self.asked);
        match number(&answer, 4) {
            0 => Ok(answer.split_off(16)),
            error => Err(Errno::from_raw_os_error(-error.cast_signed())),
        }
    }

    /// The number behind a path.
    fn node(&mut self, path: &str) -> u64 {
        path.split('/').fold(ROOT, |node, name| {
            let entry = self.ask(LOOKUP, node, &text(name)).expect("an entry");
            assert_eq!(entry.len(), 128);
            large(&entry, 0)
        })
    }

    fn attribute(&mut self, path: &str, name: &str, room: u32) -> Result<Vec<u8>, Errno> {
        let node = self.node(path);
        let rest = [&room.to_ne_bytes()[..], &[0; 4], &text(name)].concat();
        self.ask(GETXATTR, node, &rest)
    }

    /// Names from the offset on, with the numbers that they are listed with.
    fn list(&mut self, node: u64, mut offset: u64, room: u32) -> Vec<(String, u64)> {
        let mut names = Vec::new();
        loop {
            let rest = [&[0; 8][..], &offset.to_ne_bytes(), &room.to_ne_bytes(), &[0; 20]].concat();
            let listed = self.ask(READDIR, node, &rest).expect("a list");
            if listed.is_empty() {
                return names;
            }
            let mut rest = &listed[..];
            while !rest.is_empty() {
                offset = large(rest, 8);
                let length = number(rest, 16) as usize;
                let name = String::from_utf8(rest[24..24 + length].to_vec()).expect("a name");
                names.push((name, large(rest, 0)));
                rest = &rest[(24 + length).next_multiple_of(8)..];
            }
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.device, rustix::net::Shutdown::Both);
        let ended = self.server.take().map(JoinHandle::join);
        assert!(ended.is_some_and(|ended| ended.is_ok()));
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(*bytes[at..].first_chunk().expect("four bytes"))
}

fn large(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(*bytes[at..].first_chunk().expect("eight bytes"))
}

fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

/// A store with a tree that is served. The place has to stay.
fn serve(tree: &str) -> (Kernel, Arc<Store>, tempfile::TempDir) {
    let scene = Scene::new();
    let tree = scene.tree(tree);
    let Scene { store, place } = scene;
    let store = Arc::new(store);
    let mut kernel = Kernel::new(store.clone(), tree);
    let greeting = [7_u32, 45, 1 << 17, u32::MAX].map(u32::to_ne_bytes).concat();
    let answer = kernel.ask(INIT, 0, &greeting).expect("a greeting");
    assert_eq!((answer.len(), number(&answer, 0)), (64, 7));
    (kernel, store, place)
}

#[test]
fn entries_are_described() {
    let (mut kernel, _store, _place) = serve("dir/run* #!x\ndir/data abc\nlink -> dir/data\ndir/sub/deep x");
    let mut check = |path: &str, mode: u32, size: u64, links: u32| {
        let node = kernel.node(path);
        let answer = kernel.ask(GETATTR, node, &[0; 16]).expect("attributes");
        let attributes = &answer[16..];
        assert_eq!((answer.len(), large(attributes, 0)), (104, node), "{path}");
        assert_eq!((large(attributes, 8), large(attributes, 32)), (size, 1_321_009_871), "{path}");
        assert_eq!((number(attributes, 60), number(attributes, 64)), (mode, links), "{path}");
        assert_eq!((number(attributes, 68), number(attributes, 72)), (7, 8), "{path}");
    };
    check("dir", 0o40755, 4096, 3);
    check("dir/run", 0o100_755, 3, 1);
    check("dir/data", 0o100_644, 3, 1);
    check("link", 0o120_777, 8, 1);
    check("dir/sub/deep", 0o100_644, 1, 1);
    let link = kernel.node("link");
    assert_eq!(kernel.ask(READLINK, link, &[]), Ok(b"dir/data".to_vec()));
    assert_eq!(kernel.ask(READLINK, ROOT, &[]), Err(Errno::INVAL));
}

#[test]
fn a_name_has_one_number_however_it_is_found() {
    let (mut kernel, _store, _place) = serve("a/one 1\na/two 2\nb/\nc -> a");
    let before = kernel.node("a/two");
    // With so little room that it takes several questions.
    for room in [4096, 48] {
        let root = kernel.list(ROOT, 0, room);
        let names: Vec<&str> = root.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [".", "..", "c", "a", "b"]);
        let (a, b) = (root[3].1, root[4].1);
        assert_eq!((kernel.node("a"), kernel.node("b")), (a, b));
        assert_eq!(kernel.list(a, 2, room)[1], ("two".to_owned(), before));
        assert!(kernel.list(b, 2, room).is_empty());
    }
    // What is not there is remembered as such.
    assert_eq!(large(&kernel.ask(LOOKUP, ROOT, &text("none")).expect("an entry"), 0), 0);
    assert_eq!(large(&kernel.ask(LOOKUP, ROOT, b"\xff\0").expect("an entry"), 0), 0);
    assert_eq!(kernel.ask(LOOKUP, before, &text("none")), Err(Errno::NOTDIR));
    assert_eq!(kernel.ask(GETATTR, 999, &[0; 16]), Err(Errno::NOENT));
    assert_eq!(kernel.ask(4000, ROOT, &[]), Err(Errno::NOSYS));
}

#[test]
fn stubs_say_where_their_content_is() {
    let (mut kernel, store, _place) = serve("file x\nempty\ndir/a y");
    let redirect = "user.overlay.redirect";
    assert_eq!(kernel.attribute("file", "user.overlay.metacopy", 64), Ok(Vec::new()));
    assert_eq!(number(&kernel.attribute("file", redirect, 0).expect("a length"), 0), 24);
    assert_eq!(kernel.attribute("file", redirect, 10), Err(Errno::RANGE));
    let name = kernel.attribute("file", redirect, 64).expect("a name");
    let content = store.cachedir().join("bourn/content");
    let path = content.join(String::from_utf8(name).expect("text").trim_start_matches('/'));
    assert_eq!(std::fs::read(path).expect("the content"), b"x");
    for (path, name) in [
        ("file", "security.capability"),
        ("empty", redirect),
        ("empty", "user.overlay.metacopy"),
        ("dir", "user.overlay.opaque"),
    ] {
        assert_eq!(kernel.attribute(path, name, 64), Err(Errno::NODATA), "{path} {name}");
    }
    assert!(kernel.faults.take().is_none());
    // Only what was asked for has got a second name.
    assert_eq!(std::fs::read_dir(content).expect("a directory").count(), 1);
}

#[test]
fn what_is_missing_is_a_fault() {
    let (mut kernel, store, _place) = serve("file x\ndir/a y");
    std::fs::remove_file(store.object_path(&Digest::of(b"x"))).expect("it was there");
    assert_eq!(kernel.attribute("file", "user.overlay.redirect", 64), Err(Errno::IO));
    let fault = kernel.faults.take().expect("a fault");
    assert_eq!(fault.kind, ErrorKind::Missing);
    assert!(fault.message.contains(&Digest::of(b"x").hex()), "{fault}");
    assert!(kernel.attribute("dir/a", "user.overlay.redirect", 64).is_ok());
    assert!(kernel.faults.take().is_none());
}

#[test]
fn requests_that_make_no_sense_are_survived() {
    let (mut kernel, _store, _place) = serve("file x");
    rustix::io::write(&kernel.device, &[1; 39]).expect("sent");
    for operation in [GETXATTR, READDIR, INIT] {
        assert!(kernel.ask(operation, ROOT, &[0; 3]).is_err(), "{operation}");
    }
    assert!(kernel.node("file") > ROOT);
}

/// Another process frees the cache while a tree is served whose files got their second names long ago.
#[test]
fn content_of_a_served_tree_does_not_expire() {
    let scene = Scene::new();
    let tree = scene.tree("file x\ndir/a y");
    drop(scene.store.layer(&tree, &[]).expect("layers"));
    let Scene { store, place } = scene;
    let cache = store.cachedir().to_owned();
    drop(store);
    let content = || {
        let prefixes = std::fs::read_dir(cache.join("bourn/content")).into_iter().flatten().flatten();
        prefixes.map(|prefix| std::fs::read_dir(prefix.path()).expect("a directory").count()).sum::<usize>()
    };
    let stubs = content();
    let (serving, other) = (Store::open(&cache).expect("a cache"), Store::open(&cache).expect("a cache"));
    serving.serve(&tree).expect("a directory");
    let nothing = bourn_cas::Quota { bytes: Some(0), reserved: 0, low_watermark: 0.8 };
    other.expire(&nothing).expect("an expiry");
    assert_eq!(content(), stubs);
    assert!(serving.contains_tree(&tree).expect("an answer"));
    drop((serving, place));
}

/// Whoever asks in vain is told of a failed device, and may make something wrong of that.
#[test]
fn an_end_that_was_not_meant_is_a_fault() {
    let scene = Scene::new();
    let tree = scene.tree("file x");
    let Scene { store, place } = scene;
    let (store, request) = (Arc::new(store), place.path().join("request"));
    let serve = |device: std::fs::File| {
        let tree = ServedTree::new(store.clone(), tree, (7, 8));
        let faults = tree.faults();
        let (end, _other) = rustix::pipe::pipe().expect("a pipe");
        tree.serve(device, end);
        faults.take()
    };
    // Questions can be read, answers cannot be written.
    let question = [&[0; 4][..], &GETATTR.to_ne_bytes(), &[1; 8], &ROOT.to_ne_bytes(), &[0; 16]].concat();
    std::fs::write(&request, question).expect("written");
    let fault = serve(std::fs::File::open(&request).expect("there")).expect("a fault");
    assert_eq!(fault.kind, ErrorKind::Sandbox, "{fault:?}");
    // The other way round.
    let fault = serve(std::fs::File::options().append(true).open(&request).expect("there"));
    assert_eq!(fault.expect("a fault").kind, ErrorKind::Sandbox);
    // What is no longer mounted.
    std::fs::write(&request, "").expect("written");
    assert!(serve(std::fs::File::open(&request).expect("there")).is_none());
}
