//! A tree shown by answering the kernel's questions, with nothing laid out.
//!
//! Laying out a tree of a hundred thousand entries takes seconds, and most commands look at few of them. So a large
//! tree that differs much from all that is laid out is not laid out either: a FUSE file system shows the stubs that
//! its layer would have (see [`Pen`](crate::layer::write::Pen)), each made up when the overlay asks for it. The content of files does not pass through
//! here, the overlay finds it as that of any stub; and what the kernel was told once it never asks again.

use crate::layer::ContentName;
use crate::layer::wire::{Attributes, Listing, ROOT, Request, length, no_entry, operation, statistics};
use crate::layer::write::{bits, time};
use crate::store::Store;
use bourn_reapi::services::ErrorKind;
use bourn_reapi::{Cas, Digest, Directory, FileNode, NodeProperties, ServiceError};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of the largest request; the kernel insists on twice a page.
const LARGEST: usize = 64 << 10;

/// One mounted tree.
pub struct ServedTree {
    store: Arc<Store>,
    tree: Digest,
    owner: (u32, u32),
    /// Directories that were looked into, with the number of the first entry of each; ascending. An entry is numbered
    /// by its place: files first, then links, then directories.
    opened: Vec<(Digest, u64)>,
    /// Which of them has which number.
    places: HashMap<u64, usize>,
    next: u64,
    faults: Faults,
}

/// Questions that could not be answered. Whoever asked one was told of a failed device, so what was made of that is
/// not to be trusted.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Option<ServiceError>>>);

impl Faults {
    /// Takes the first one, if there are any.
    pub fn take(&self) -> Option<ServiceError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, error: ServiceError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Notes when it goes that nobody answers any more, unless that was meant to be. Whoever asks from then on is told of a
/// failed device, even where the thread that answered has panicked.
struct Watch {
    faults: Faults,
    trouble: Option<ServiceError>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(trouble) = self.trouble.take() {
            self.faults.note(trouble);
        }
    }
}

/// What a number stands for.
enum Node {
    File(FileNode),
    Link(String, Option<NodeProperties>),
    Directory(Digest),
}

impl ServedTree {
    /// A tree of `store`, whose files belong to a user and a group, as numbered where it is mounted.
    pub fn new(store: Arc<Store>, tree: Digest, owner: (u32, u32)) -> ServedTree {
        ServedTree {
            store,
            tree,
            owner,
            opened: Vec::new(),
            places: HashMap::new(),
            next: ROOT + 1,
            faults: Faults::default(),
        }
    }

    /// Answers what comes from `device`, an opened `/dev/fuse`, until the tree is no longer mounted or `end` is
    /// closed on its other side.
    ///
    /// What cannot be answered is noted ([`ServedTree::faults`]), and so is an end before that.
    pub fn serve(mut self, device: impl AsFd, end: impl AsFd) {
        let trouble =
            ServiceError::new(ErrorKind::Sandbox, "the thread that shows a tree to a sandbox ended");
        let mut watch = Watch { faults: self.faults(), trouble: Some(trouble) };
        watch.trouble = self.answer_all(device.as_fd(), end.as_fd()).err().map(|error| {
            let message = format!("cannot hear what a sandbox asks about its tree: {error}");
            ServiceError::new(ErrorKind::Sandbox, message)
        });
    }

    fn answer_all(&mut self, device: BorrowedFd<'_>, end: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut buffer = vec![0; LARGEST];
        rustix::fs::fcntl_setfl(device, OFlags::NONBLOCK)?;
        loop {
            match rustix::io::read(device, &mut *buffer) {
                // No longer mounted.
                Ok(0) | Err(Errno::NODEV) => return Ok(()),
                Ok(length) => self.answer(device, buffer.get(..length).unwrap_or_default()),
                Err(Errno::AGAIN) if is_asked(device, end)? => {}
                Err(Errno::AGAIN) => return Ok(()),
                // Taken back before it was read.
                Err(Errno::NOENT | Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it is noted that something is missing from the store or damaged.
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    fn answer(&mut self, device: BorrowedFd<'_>, request: &[u8]) {
        let Some(request) = Request::read(request) else { return };
        if matches!(request.operation, operation::FORGET | operation::BATCH_FORGET) {
            return;
        }
        let answer = self.consider(&request);
        match rustix::io::write(device, &request.answer(answer)) {
            // Nobody waits any more.
            Ok(_) | Err(Errno::NOENT | Errno::NODEV) => {}
            // Whoever asked was told of a failed device.
            Err(error) => {
                let message = format!("the kernel does not take what it is told about a tree: {error}");
                self.faults.note(ServiceError::new(ErrorKind::Sandbox, message));
            }
        }
    }

    fn consider(&mut self, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
        match request.operation {
            operation::INIT => request.greeting().ok_or(Errno::INVAL),
            operation::LOOKUP => self.look_up(request),
            operation::GETATTR => {
                let node = self.node(request.node)?;
                Ok(self.attributes(request.node, &node)?.alone())
            }
            operation::READLINK => match self.node(request.node)? {
                Node::Link(target, _) => Ok(target.into_bytes()),
                _ => Err(Errno::INVAL),
            },
            operation::GETXATTR => self.attribute(request),
            operation::READDIR | operation::READDIRPLUS => self.list(request),
            operation::STATFS => self.disk(),
            operation::LISTXATTR => match request.room() {
                Some(0) => Ok(length(0)),
                _ => Ok(Vec::new()),
            },
            // Only of empty files: the content of others is elsewhere.
            operation::READ
            | operation::RELEASE
            | operation::RELEASEDIR
            | operation::FLUSH
            | operation::DESTROY => Ok(Vec::new()),
            _ => Err(Errno::NOSYS),
        }
    }

    fn look_up(&mut self, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
        let (tree, first) = self.open(request.node)?;
        // Nothing that the tree holds has a name that is no text.
        let Some(at) = request.name(0).and_then(|name| place(&tree, name)) else { return Ok(no_entry()) };
        let number = first + at as u64;
        Ok(self.attributes(number, &entry(&tree, at).ok_or(Errno::IO)?.1)?.entry())
    }

    fn list(&mut self, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
        let (offset, room) = request.window().ok_or(Errno::INVAL)?;
        let (tree, first) = self.open(request.node)?;
        let mut listing = Listing::new(room);
        // The kernel does not look these two up.
        for (name, at) in [(".", 0), ("..", 1)] {
            let none = vec![0; if request.operation == operation::READDIRPLUS { 128 } else { 0 }];
            let kind = FileType::Directory.as_raw_mode();
            if offset <= at && !listing.push(request.node, kind, name, at + 1, Some(&none)) {
                return Ok(listing.into_bytes());
            }
        }
        let begin = usize::try_from(offset.saturating_sub(2)).map_err(|_| Errno::INVAL)?;
        for at in begin.. {
            let Some((name, node)) = entry(&tree, at) else { break };
            let number = first + at as u64;
            let attributes = self.attributes(number, &node)?;
            let all = (request.operation == operation::READDIRPLUS).then(|| attributes.entry());
            if !listing.push(number, attributes.mode, name, at as u64 + 3, all.as_deref()) {
                break;
            }
        }
        Ok(listing.into_bytes())
    }

    /// The attributes of a stub: that it is one, and where its content is, which gets its second name now.
    fn attribute(&mut self, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
        let name = request.name(8).ok_or(Errno::NODATA)?;
        let Node::File(file) = self.node(request.node)? else { return Err(Errno::NODATA) };
        let digest = file.content().map_err(|error| self.give_up(error.into()))?;
        let room = request.room().ok_or(Errno::INVAL)?;
        let content = match name {
            _ if digest.size == 0 => return Err(Errno::NODATA),
            "user.overlay.metacopy" => None,
            "user.overlay.redirect" => Some(self.provide(&digest)?),
            _ => return Err(Errno::NODATA),
        };
        let value = content.as_ref().map_or(&[][..], ContentName::redirect);
        match room {
            0 => Ok(length(value.len())),
            room if room < value.len() => Err(Errno::RANGE),
            _ => Ok(value.to_vec()),
        }
    }

    /// What is said of the disk that the content of all files is on: programs look for free space before they write,
    /// and a layer that is laid out is on that disk too.
    fn disk(&mut self) -> Result<Vec<u8>, Errno> {
        let asked = self.store.content().and_then(|content| content.disk());
        asked.map(|disk| statistics(&disk)).map_err(|error| self.give_up(error))
    }

    fn provide(&mut self, digest: &Digest) -> Result<ContentName, Errno> {
        let provided = self.store.content().and_then(|content| content.provide(&self.store.objects, digest));
        provided.map_err(|error| self.give_up(error))
    }

    fn give_up(&mut self, error: ServiceError) -> Errno {
        self.faults.note(error);
        Errno::IO
    }

    /// A directory, and the number of its first entry.
    fn open(&mut self, number: u64) -> Result<(Arc<Directory>, u64), Errno> {
        let digest = match self.node(number)? {
            Node::Directory(digest) => digest,
            _ => return Err(Errno::NOTDIR),
        };
        let tree = self.directory(&digest)?;
        if let Some((_, first)) = self.places.get(&number).and_then(|place| self.opened.get(*place)) {
            return Ok((tree, *first));
        }
        let first = self.next;
        self.next += (tree.files.len() + tree.symlinks.len() + tree.directories.len()) as u64;
        // An empty one has no numbers to be found by.
        if self.next > first {
            self.places.insert(number, self.opened.len());
            self.opened.push((digest, first));
        }
        Ok((tree, first))
    }

    fn directory(&mut self, digest: &Digest) -> Result<Arc<Directory>, Errno> {
        self.store.directory(digest).map_err(|error| self.give_up(error))
    }

    fn node(&mut self, number: u64) -> Result<Node, Errno> {
        if number == ROOT {
            return Ok(Node::Directory(self.tree));
        }
        let after = self.opened.partition_point(|(_, first)| *first <= number);
        let (digest, first) = *after.checked_sub(1).and_then(|at| self.opened.get(at)).ok_or(Errno::NOENT)?;
        let tree = self.directory(&digest)?;
        let at = usize::try_from(number - first).map_err(|_| Errno::NOENT)?;
        entry(&tree, at).map(|(_, node)| node).ok_or(Errno::NOENT)
    }

    fn attributes(&mut self, number: u64, node: &Node) -> Result<Attributes, Errno> {
        let (kind, usual, size, links, properties) = match node {
            Node::File(file) => {
                let size = file.content().map_err(|error| self.give_up(error.into()))?.size;
                let usual = if file.is_executable { 0o755 } else { 0o644 };
                (FileType::RegularFile, usual, size, 1, file.node_properties.clone())
            }
            Node::Link(target, properties) => {
                (FileType::Symlink, 0o777, target.len() as u64, 1, properties.clone())
            }
            Node::Directory(digest) => {
                let tree = self.directory(digest)?;
                let links = 2 + tree.directories.len() as u32;
                (FileType::Directory, 0o755, 4096, links, tree.node_properties.clone())
            }
        };
        let permissions = match kind {
            FileType::Symlink => usual,
            _ => bits(properties.as_ref(), usual),
        };
        let mode = kind.as_raw_mode() | permissions;
        let time = time(properties.as_ref());
        Ok(Attributes { node: number, size, time, mode, links, owner: self.owner })
    }
}

/// Where an entry stands among all of a directory.
fn place(tree: &Directory, name: &str) -> Option<usize> {
    let files = tree.files.binary_search_by(|node| node.name.as_str().cmp(name));
    let links = || tree.symlinks.binary_search_by(|node| node.name.as_str().cmp(name));
    let directories = || tree.directories.binary_search_by(|node| node.name.as_str().cmp(name));
    let (before_links, before_directories) = (tree.files.len(), tree.files.len() + tree.symlinks.len());
    files
        .or_else(|_| links().map(|at| before_links + at))
        .or_else(|_| directories().map(|at| before_directories + at))
        .ok()
}

/// The entry that stands there.
fn entry(tree: &Directory, at: usize) -> Option<(&str, Node)> {
    if let Some(file) = tree.files.get(at) {
        return Some((&file.name, Node::File(file.clone())));
    }
    let at = at - tree.files.len();
    if let Some(link) = tree.symlinks.get(at) {
        return Some((&link.name, Node::Link(link.target.clone(), link.node_properties.clone())));
    }
    let directory = tree.directories.get(at - tree.symlinks.len())?;
    Some((&directory.name, Node::Directory(directory.content().ok()?)))
}

/// Waits for a question. `false` when the end has come first.
fn is_asked(device: BorrowedFd<'_>, end: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut both =
        [PollFd::from_borrowed_fd(device, PollFlags::IN), PollFd::from_borrowed_fd(end, PollFlags::IN)];
    loop {
        match poll(&mut both, None) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(both[1].revents().is_empty()),
        }
    }
}
