//! Layers in use.

use crate::layer::build::Builder;
use crate::layer::choose::Choice;
use crate::layer::describe::Described;
use crate::layer::{LayerKind, LayerSupport};
use crate::remove::remove_tree;
use crate::session::{lock, modified, open_directory};
use crate::store::Store;
use crate::trouble::{Doing, io_error};
use bourn_reapi::Digest;
use bourn_reapi::ServiceError;
use bourn_reapi::services::{ErrorKind, ServiceResult};
use rustix::fs::{AtFlags, CWD, FlockOperation, Timespec, Timestamps, UTIME_NOW};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Most layers that are stacked. Every layer makes a lookup of a name that the upper ones lack slower; with so few
/// of them that is not measurable, and a chain of small differences is still seldom flattened.
pub(crate) const HEIGHT: u32 = 12;

/// How much a thread stands back behind builds that lays out what nobody waits for.
const NICENESS: i32 = 15;

/// Directories that show a tree when an overlay stacks them. As long as this lives, nobody removes them.
///
/// They belong to the store: nobody may write to them, and an overlay upon them needs an upper layer of its own.
#[derive(Debug)]
pub struct LayerStack {
    /// The layers, uppermost first; never empty.
    pub layers: Vec<Layer>,
    /// The directory with the content that layers refer to, for `datadir+`; absent when none does.
    pub content: Option<PathBuf>,
    /// The locks that keep expiry away.
    leases: Vec<OwnedFd>,
}

/// One directory of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The directory.
    pub path: PathBuf,
    /// Whether files in it are stubs that refer to the content of the stack. An overlay (with `userxattr`, without
    /// `metacopy` and `redirect_dir`) follows them only in the lowest of its layers. So a layer that refers and is
    /// not the lowest has to be mounted as an overlay of its own, of this directory and the content, and that mount
    /// takes its place in the stack.
    pub refers: bool,
}

impl Store {
    /// Which kind of layers suits this machine and this cache. Tried out once.
    pub fn layer_support(&self) -> ServiceResult<&LayerSupport> {
        if let Some(support) = self.support.get() {
            return Ok(support);
        }
        let support = LayerSupport::probe(self.session()?.path());
        Ok(self.support.get_or_init(|| support))
    }

    /// Layers of the best kind for `tree`. See [`Store::layer_of`].
    pub fn layer(&self, tree: &Digest, prefixes: &[Digest]) -> ServiceResult<LayerStack> {
        self.layer_of(self.layer_support()?.kind, true, tree, prefixes)
    }

    /// Layers for `tree`, made now unless they exist.
    ///
    /// `prefixes` are trees that are likely to be most of `tree`, smallest first; one of them may get a layer of its
    /// own, because others are likely to need it too. Without `stacked` there is exactly one layer, for machines that
    /// have no overlay (and the kind must not be [`LayerKind::Stub`], which means nothing without one).
    ///
    /// # Errors
    /// A blob of the tree is missing or damaged, or the disk is full or cannot be written.
    pub fn layer_of(
        &self,
        kind: LayerKind,
        stacked: bool,
        tree: &Digest,
        prefixes: &[Digest],
    ) -> ServiceResult<LayerStack> {
        let layers = Layers::new(self, kind, stacked)?;
        layers.provide(tree, prefixes)
    }
}

impl Store {
    /// Lays out stubs for `tree` as [`Store::layer`] does, unless they are there; on one core that nobody else wants.
    ///
    /// # Errors
    /// Those of [`Store::layer_of`], and that it was stopped.
    pub fn layer_quietly(&self, tree: &Digest, prefixes: &[Digest], stop: &AtomicBool) -> ServiceResult<()> {
        // Of this thread alone: for the kernel, threads have priorities of their own.
        let stand_back = |_| {
            let _ = rustix::process::setpriority_process(None, NICENESS);
        };
        let threads = rayon::ThreadPoolBuilder::new().num_threads(1).start_handler(stand_back).build();
        let threads = threads
            .map_err(std::io::Error::other)
            .doing("cannot start a thread for", &self.cachedir().join("bourn/layers"))?;
        let layers = Layers { stop: Some(stop), ..Layers::new(self, LayerKind::Stub, true)? };
        threads.install(|| layers.provide(tree, prefixes)).map(drop)
    }

    /// Whether stubs for `tree` are laid out, or laying them out takes no more than so many entries, roughly: upon the nearest
    /// tree that has layers, if there is one.
    ///
    /// # Errors
    /// A directory of the tree is missing or damaged, or the disk cannot be read.
    pub fn is_laid_out_soon(&self, tree: &Digest, prefixes: &[Digest], entries: u64) -> ServiceResult<bool> {
        let layers = Layers::new(self, LayerKind::Stub, true)?;
        let there = Described::read(&layers.path(tree)).is_some_and(|described| described.tree == *tree);
        Ok(there || Choice { layers: &layers, tree, prefixes }.is_small(entries)?)
    }
}

/// The layers of one kind.
pub(crate) struct Layers<'a> {
    pub(crate) store: &'a Store,
    pub(crate) kind: LayerKind,
    pub(crate) stacked: bool,
    /// `bourn/layers/KIND`.
    pub(crate) root: PathBuf,
    /// When this becomes true, nothing more is laid out.
    pub(crate) stop: Option<&'a AtomicBool>,
}

impl<'a> Layers<'a> {
    pub(crate) fn new(store: &'a Store, kind: LayerKind, stacked: bool) -> ServiceResult<Layers<'a>> {
        let suffix = if stacked { "" } else { "-alone" };
        let root = store.cachedir().join(format!("bourn/layers/{kind}{suffix}"));
        std::fs::create_dir_all(&root).doing("cannot create", &root)?;
        Ok(Layers { store, kind, stacked, root, stop: None })
    }

    /// The stack of a tree, which is made if need be.
    pub(crate) fn provide(&self, tree: &Digest, prefixes: &[Digest]) -> ServiceResult<LayerStack> {
        loop {
            if let Some(stack) = self.find(tree)? {
                return Ok(stack);
            }
            // The base is made before the lock is taken: whoever holds one lock never waits for another.
            let choice = Choice { layers: self, tree, prefixes };
            let base = match choice.base()? {
                Some(base) => self.find_or_provide(&base, prefixes)?.map(|stack| (base, stack)),
                None => None,
            };
            let gate = self.store.cachedir().join("bourn/locks").join(format!(
                "{}-{}",
                self.kind,
                Described::name(tree)
            ));
            let gate_lock = lock(&gate, FlockOperation::LockExclusive)?;
            if self.find(tree)?.is_none() {
                Builder { layers: self, tree }.build(base.as_ref().map(|(base, _)| base))?;
            }
            // Whoever waits for the lock finds the layer; whoever comes now makes a lock of his own.
            let _ = std::fs::remove_file(&gate);
            drop(gate_lock);
        }
    }

    fn find_or_provide(&self, base: &Digest, prefixes: &[Digest]) -> ServiceResult<Option<LayerStack>> {
        match prefixes.iter().position(|prefix| prefix == base) {
            Some(at) => self.provide(base, &prefixes[..at]).map(Some),
            // Expired since it was chosen, if it is not found.
            None => self.find(base),
        }
    }

    /// The stack of a tree, if its layers exist and are whole; marks them as used.
    pub(crate) fn find(&self, tree: &Digest) -> ServiceResult<Option<LayerStack>> {
        let mut stack = LayerStack { layers: Vec::new(), content: None, leases: Vec::new() };
        let mut next = Some(*tree);
        while let Some(tree) = next {
            let path = self.path(&tree);
            let Some(lease) = lease(&path)? else { return Ok(None) };
            let described = Described::read(&path).filter(|described| described.tree == tree);
            let Some(described) = described else { return self.discard(&path, lease) };
            if described.standing != self.store.standing() && !self.verify(&described)? {
                return self.discard(&path, lease);
            }
            touch(&path);
            if described.stubs_from.is_some() {
                stack.content = Some(self.store.content()?.path().to_owned());
            }
            if described.has_stubs_apart() {
                stack.layers.push(Layer { path: path.join("stubs"), refers: true });
            }
            let refers = described.stubs_from.is_some() && !described.has_stubs_apart();
            stack.layers.push(Layer { path: path.join("tree"), refers });
            stack.leases.push(lease);
            next = described.base;
            if stack.leases.len() > HEIGHT as usize + 1 {
                let message =
                    format!("the layers at {} lie upon each other in a circle", self.root.display());
                return Err(ServiceError::new(ErrorKind::Corrupt, message).hint("remove this directory"));
            }
        }
        Ok(Some(stack))
    }

    /// Where the layer of a tree is or would be.
    pub(crate) fn path(&self, tree: &Digest) -> PathBuf {
        self.root.join(Described::name(tree))
    }

    /// Compares a layer with its tree, after the machine was started anew. Whether it is whole.
    fn verify(&self, described: &Described) -> ServiceResult<bool> {
        let path = self.path(&described.tree);
        let whole = self.store.is_layer_whole(&path, described)?;
        if whole {
            let draft = self.store.session()?.temporary("description");
            Described { standing: self.store.standing(), ..described.clone() }.write(&path, &draft)?;
        }
        Ok(whole)
    }

    /// Removes a layer that is no good, unless somebody uses it.
    fn discard(&self, path: &Path, lease: OwnedFd) -> ServiceResult<Option<LayerStack>> {
        if rustix::fs::flock(&lease, FlockOperation::NonBlockingLockExclusive).is_ok() {
            self.store.discard(path)?;
        }
        Ok(None)
    }
}

impl Store {
    /// Changes when what layers hold has to be doubted: with every boot of the machine, and whenever an object is put
    /// aside because it is damaged, with which its second name is removed.
    pub(crate) fn standing(&self) -> String {
        let boot = self.boot();
        let aside = rustix::fs::stat(self.cachedir().join("bourn/damaged"));
        let (seconds, nanos) = aside.map_or((0, 0), |stat| modified(&stat));
        format!("{boot}+{seconds}.{nanos}")
    }

    /// Whether a layer holds everything that it should, as far as names and sizes tell.
    pub(crate) fn is_layer_whole(&self, path: &Path, described: &Described) -> ServiceResult<bool> {
        let root = path.parent().unwrap_or(path).to_owned();
        let base_there = |base: &Digest| root.join(Described::name(base)).exists();
        if described.base.is_some_and(|base| !base_there(&base)) {
            return Ok(false);
        }
        let kind = if described.stubs_from.is_some() { LayerKind::Stub } else { LayerKind::Copy };
        let layers = Layers { store: self, kind, stacked: described.base.is_some(), root, stop: None };
        let whole = Builder { layers: &layers, tree: &described.tree }.is_whole(described);
        match whole {
            Err(error) if matches!(error.kind, ErrorKind::Missing | ErrorKind::Corrupt) => Ok(false),
            result => result,
        }
    }

    /// Makes something disappear at once, and then removes it.
    pub(crate) fn discard(&self, path: &Path) -> ServiceResult<()> {
        let aside = self.session()?.temporary("discarded");
        match rustix::fs::rename(path, &aside) {
            Ok(()) => remove_tree(&aside),
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(io_error(error, "cannot move", path)),
        }
    }
}

/// Locks a layer against expiry. `None` when it is not there (any more).
pub(crate) fn lease(path: &Path) -> ServiceResult<Option<OwnedFd>> {
    let directory = match open_directory(path) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(io_error(error, "cannot open", path)),
    };
    match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {}
        // It is being removed.
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(io_error(error, "cannot lock", path)),
    }
    let (locked, there) = (rustix::fs::fstat(&directory), rustix::fs::stat(path));
    let same = matches!((&locked, &there), (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino));
    Ok(same.then_some(directory))
}

/// Marks a layer as used now.
fn touch(path: &Path) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let _ = rustix::fs::utimensat(
        CWD,
        path,
        &Timestamps { last_access: now, last_modification: now },
        AtFlags::empty(),
    );
}
