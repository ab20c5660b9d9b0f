//! The store: a cache directory as `bst` has it, offered as [`Cas`] and [`Assets`](bourn_reapi::Assets).

use crate::layer::{Content, Counts, Described, Descriptions, LayerSupport, boot_id};
use crate::object::{Objects, read_only};
use crate::prefixes::Prefixes;
use crate::recent::Recent;
use crate::session::{Session, open_directory, other_engines};
use crate::spread::place_apart;
use crate::trouble::Doing;
use crate::{export, import};
use bourn_reapi::services::{ErrorKind, ExportOptions, ImportOptions, ServiceResult};
use bourn_reapi::{Cas, Digest, Directory, FileNode, ServiceError};
use prost::Message;
use prost::bytes::Bytes;
use rayon::prelude::*;
use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// So many blobs are written on the thread that has them …
const FEW_BLOBS: usize = 64;
/// … if they are of no more bytes than this.
const FEW_BYTES: usize = 1 << 20;

/// The directories that make a cache, as `bst` and `buildbox-casd` create them, and ours.
const LAYOUT: [&str; 11] = [
    "artifacts/refs",
    // Where the daemon of bst keeps what it knows of remote assets: nothing here, but part of the layout.
    "assets",
    "elementsources",
    "source_protos",
    "build",
    "tmp",
    "cas/objects",
    "cas/tmp",
    "bourn/tmp",
    "bourn/layers",
    "bourn/locks",
];

/// A cache directory. Several of these, in several processes, and `bst` itself may work on one at the same time.
pub struct Store {
    cachedir: PathBuf,
    pub(crate) objects: Objects,
    pub(crate) recent: Recent,
    session: Option<Arc<Session>>,
    content: OnceLock<Content>,
    pub(crate) support: OnceLock<LayerSupport>,
    pub(crate) counts: Counts,
    descriptions: Descriptions,
    pub(crate) boot: OnceLock<String>,
    /// At work on a new cache, once many blobs are expected, until it is ready or this store is closed.
    prefixes: OnceLock<Option<Prefixes>>,
}

impl Store {
    /// Opens the cache in `cachedir`, and creates it when it is not there yet.
    ///
    /// A cache that exists and may only be read is opened too: then only writing fails.
    pub fn open(cachedir: &Path) -> ServiceResult<Store> {
        let cachedir = std::path::absolute(cachedir).doing("cannot find", cachedir)?;
        let session = match create_layout(&cachedir)? {
            Access::Full => Some(Arc::new(Session::begin(&cachedir)?)),
            Access::ReadOnly => None,
        };
        let store = Store {
            objects: Objects::open(&cachedir, session.clone())?,
            recent: Recent::default(),
            session,
            content: OnceLock::new(),
            support: OnceLock::new(),
            counts: Counts::default(),
            descriptions: Descriptions::default(),
            boot: OnceLock::new(),
            prefixes: OnceLock::new(),
            cachedir,
        };
        if store.session.is_some() {
            store.recover()?;
        }
        Ok(store)
    }

    /// The cache directory.
    pub fn cachedir(&self) -> &Path {
        &self.cachedir
    }

    /// Where the object of a digest is or would be. It must never be written to.
    pub fn object_path(&self, digest: &Digest) -> PathBuf {
        self.objects.path(digest)
    }

    /// The directory for temporary files; an error when the cache may only be read.
    pub(crate) fn session(&self) -> ServiceResult<&Session> {
        self.session.as_deref().ok_or_else(|| read_only(&self.cachedir))
    }

    /// Which boot of the machine this is.
    pub(crate) fn boot(&self) -> &str {
        self.boot.get_or_init(boot_id)
    }

    /// Gets ready to serve a tree (see [`ServedTree`](crate::ServedTree)): from now on nobody expires what it needs, as
    /// long as this store is open. The directory in which its files find their content.
    ///
    /// # Errors
    /// The cache cannot be written to.
    pub fn serve(&self, tree: &Digest) -> ServiceResult<&Path> {
        self.session()?.pin(tree)?;
        self.content().map(Content::path)
    }

    /// Whether a `buildbox-casd` serves this cache to a running `bst`. It expires objects by their age alone, whatever
    /// this process relies on.
    ///
    /// # Errors
    /// The cache cannot be listed.
    pub fn has_other_engine(&self) -> ServiceResult<bool> {
        other_engines(&self.cachedir).map(|began| began.is_some())
    }

    /// Holds a tree that is served, so that no other engine can take it away: each of its files gets the second name
    /// under which its stub will look for it, and its directories the time of now. Ends early when `stop` becomes true.
    ///
    /// # Errors
    /// Something of the tree is missing, or the cache cannot be written to.
    pub fn hold(&self, tree: &Digest, stop: &AtomicBool) -> ServiceResult<()> {
        let content = self.content()?;
        for digest in self.tree_directories(tree)? {
            if !self.objects.exists(&digest)? {
                return Err(self.objects.missing(&digest));
            }
            for file in &self.directory(&digest)?.files {
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let digest = file.content()?;
                if digest.size > 0 {
                    content.provide(&self.objects, &digest)?;
                }
            }
        }
        Ok(())
    }

    /// Where stubs find the content of files.
    pub(crate) fn content(&self) -> ServiceResult<&Content> {
        if let Some(content) = self.content.get() {
            return Ok(content);
        }
        let content = Content::open(&self.cachedir)?;
        Ok(self.content.get_or_init(|| content))
    }

    /// Every layer at a place, last used first.
    pub(crate) fn descriptions(&self, root: &Path) -> ServiceResult<Vec<Arc<Described>>> {
        self.descriptions.list(root)
    }

    /// Every directory of a tree, each once. Fails when one is missing.
    pub(crate) fn tree_directories(&self, root: &Digest) -> ServiceResult<Vec<Digest>> {
        let mut seen = HashSet::from([*root]);
        let mut all = vec![*root];
        let mut level = vec![*root];
        // One level of the tree after the other, because the directories of one can be read in parallel.
        while !level.is_empty() {
            let directories = spread(&level, 16, |digest| self.directory(digest))?;
            level.clear();
            for child in directories.iter().flat_map(|directory| &directory.directories) {
                let child = child.content()?;
                if seen.insert(child) {
                    level.push(child);
                }
            }
            all.extend(&level);
        }
        Ok(all)
    }

    /// Every blob of a tree, directories included, each once. Fails when a directory is missing.
    pub fn tree_blobs(&self, root: &Digest) -> ServiceResult<HashSet<Digest>> {
        let directories = self.tree_directories(root)?;
        let mut blobs: HashSet<Digest> = directories.iter().copied().collect();
        for digest in directories {
            for file in &self.directory(&digest)?.files {
                blobs.insert(file.content()?);
            }
        }
        Ok(blobs)
    }
}

/// Does something with each of a list, on all cores unless there are no more than `few`: those are done sooner than other
/// threads wake up.
pub(crate) fn spread<T: Sync, R: Send>(
    all: &[T],
    few: usize,
    work: impl Fn(&T) -> ServiceResult<R> + Sync + Send,
) -> ServiceResult<Vec<R>> {
    match all.len() <= few {
        true => all.iter().map(&work).collect(),
        false => all.par_iter().with_min_len((few / 8).max(1)).map(&work).collect(),
    }
}

/// What may be done with a cache.
enum Access {
    Full,
    ReadOnly,
}

/// Creates what is missing of the layout. When that is refused but there is a cache, it is one to be read only.
fn create_layout(cachedir: &Path) -> ServiceResult<Access> {
    let first = !cachedir.join("cas/objects").exists();
    for name in LAYOUT {
        let path = cachedir.join(name);
        if let Err(error) = std::fs::create_dir_all(&path) {
            let refused = ServiceError::io(&error, "cannot create", &path);
            match refused.kind {
                ErrorKind::Denied if !first => return Ok(Access::ReadOnly),
                _ => return Err(refused),
            }
        }
    }
    if first && let Ok(objects) = open_directory(&cachedir.join("cas/objects")) {
        // For good: the directories of objects come as they are needed.
        let _ = place_apart(objects);
    }
    match rustix::fs::access(cachedir.join("bourn/tmp"), rustix::fs::Access::WRITE_OK) {
        Ok(()) => Ok(Access::Full),
        Err(_) => Ok(Access::ReadOnly),
    }
}

impl Cas for Store {
    fn missing_blobs(&self, digests: &[Digest]) -> ServiceResult<Vec<Digest>> {
        let there = spread(digests, 64, |digest| self.objects.exists(digest))?;
        Ok(digests.iter().zip(there).filter(|(_, there)| !there).map(|(digest, _)| *digest).collect())
    }

    fn contains_tree(&self, root: &Digest) -> ServiceResult<bool> {
        let _reliance = self.rely()?;
        let there = match self.is_tree_whole(root) {
            Err(error) if matches!(error.kind, ErrorKind::Missing | ErrorKind::Corrupt) => return Ok(false),
            there => there?,
        };
        if there && let Ok(session) = self.session() {
            session.pin(root)?;
        }
        Ok(there)
    }

    fn read(&self, digest: &Digest) -> ServiceResult<Vec<u8>> {
        self.objects.read(digest)
    }

    fn open(&self, digest: &Digest) -> ServiceResult<File> {
        self.objects.open_object(digest)
    }

    fn write(&self, content: &[u8]) -> ServiceResult<Digest> {
        let digest = Digest::of(content);
        self.objects.publish(&digest, content)?;
        Ok(digest)
    }

    fn expect_blobs(&self) {
        if self.session.is_some() {
            self.prefixes.get_or_init(|| Prefixes::begin(self.objects.root()));
        }
    }

    fn write_many(&self, blobs: &[&[u8]]) -> ServiceResult<Vec<Digest>> {
        let small = blobs.iter().map(|blob| blob.len()).sum::<usize>() <= FEW_BYTES;
        spread(blobs, if small { FEW_BLOBS } else { 1 }, |blob| self.write(blob))
    }

    fn write_from(&self, content: &mut dyn Read) -> ServiceResult<Digest> {
        self.objects.publish_stream(content, Path::new("the stream"))
    }

    fn directory(&self, digest: &Digest) -> ServiceResult<Arc<Directory>> {
        if let Some(directory) = self.recent.get(digest) {
            return Ok(directory);
        }
        let bytes = self.objects.read(digest)?;
        let directory = Directory::decode_checked(&bytes).map_err(|error| {
            let message =
                format!("the object {} is no directory: {error}", self.object_path(digest).display());
            ServiceError::new(ErrorKind::Invalid, message)
        })?;
        let directory = Arc::new(directory);
        self.recent.insert(*digest, directory.clone());
        Ok(directory)
    }

    fn write_directory(&self, directory: &Directory) -> ServiceResult<Digest> {
        let (bytes, digest) = directory.encode_canonical();
        self.objects.publish(&digest, &bytes)?;
        Ok(digest)
    }

    fn import_file(&self, path: &Path) -> ServiceResult<FileNode> {
        import::import_file(self, path)
    }

    fn import_files(&self, paths: &[PathBuf], options: &ImportOptions) -> ServiceResult<Vec<FileNode>> {
        import::import_files(self, paths, options)
    }

    fn import_tree(&self, path: &Path, options: &ImportOptions) -> ServiceResult<Digest> {
        import::import_tree(self, path, options)
    }

    fn export_tree(&self, root: &Digest, into: &Path, options: &ExportOptions) -> ServiceResult<()> {
        export::export_tree(self, root, into, options)
    }
}

/// Reads a message; `None` when the bytes are none, as after a crash that lost them.
pub(crate) fn decode<M: Message + Default>(bytes: Vec<u8>) -> Option<M> {
    (!bytes.is_empty()).then(|| M::decode(Bytes::from(bytes)).ok()).flatten()
}
