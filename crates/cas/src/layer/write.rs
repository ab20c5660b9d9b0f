//! Writing files, links and directories into a layer.

use crate::export::copy_content;
use crate::layer::difference::{Below, Level};
use crate::layer::{Content, LayerKind};
use crate::mode::mode;
use crate::session::open_directory;
use crate::spread::{self, apart};
use crate::store::Store;
use crate::trouble::Doing;
use bourn_reapi::ServiceError;
use bourn_reapi::services::{ErrorKind, STAGED_TIME, ServiceResult};
use bourn_reapi::{Cas, Digest, Directory, DirectoryNode, FileNode, NodeProperties, SymlinkNode};
use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, FileType, OFlags, Timespec, Timestamps, XattrFlags};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Which pieces of a difference are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pieces {
    /// All of them.
    All,
    /// All but stubs.
    ButStubs,
    /// Stubs, and the directories that lead to them.
    Stubs,
}

/// Writes a difference, or the stubs of it, into a directory. Directories are written in parallel; within one, the
/// file system orders whatever is created anyway.
#[derive(Clone, Copy)]
pub(crate) struct Pen<'a> {
    pub(crate) store: &'a Store,
    /// From which size on files are stubs, and where their content is.
    pub(crate) stubs: Option<(u64, &'a Content)>,
    pub(crate) kind: LayerKind,
    /// Permissions that new files do not get.
    pub(crate) umask: u32,
    pub(crate) pieces: Pieces,
    /// Entries of the layer.
    pub(crate) entries: u64,
    /// When this becomes true, nothing more is written.
    pub(crate) stop: Option<&'a AtomicBool>,
}

impl Pen<'_> {
    /// Fills a directory that exists, and sets its mode and time.
    pub(crate) fn level(&self, level: &Level, path: &Path) -> ServiceResult<()> {
        let directory = open_directory(path).doing("cannot open", path)?;
        if self.pieces != Pieces::Stubs {
            for name in &level.gone {
                // A device with the number 0:0: the overlay's sign that nothing is here.
                rustix::fs::mknodat(&directory, name.as_str(), FileType::CharacterDevice, mode(0), 0)
                    .doing("cannot hide a name in", path)?;
            }
        }
        self.leaves(&level.files, &level.symlinks, &directory, path)?;
        let mut below = Vec::new();
        for (name, child) in &level.directories {
            if self.wants_below(child)? {
                below.push((name, child));
            }
        }
        let large = self.entries > spread::LARGE;
        self.create_all(below.iter().map(|(name, _)| name.as_str()), large, &directory, path)?;
        drop(directory);
        below.par_iter().try_for_each(|(name, child)| self.below(child, &path.join(name)))?;
        self.finish(path, level.properties.as_ref())
    }

    fn below(&self, below: &Below, path: &Path) -> ServiceResult<()> {
        match below {
            Below::Part(level) => self.level(level, path),
            Below::Whole(digest) => self.whole(digest, path),
            Below::Instead(digest) => {
                if self.pieces != Pieces::Stubs {
                    rustix::fs::setxattr(path, c"user.overlay.opaque", b"y", XattrFlags::empty())
                        .doing("cannot set an attribute of", path)?;
                }
                self.whole(digest, path)
            }
        }
    }

    /// Fills a directory that exists with a whole tree.
    fn whole(&self, digest: &Digest, path: &Path) -> ServiceResult<()> {
        let tree: &Directory = &*self.store.directory(digest)?;
        let directory = open_directory(path).doing("cannot open", path)?;
        self.leaves(&tree.files, &tree.symlinks, &directory, path)?;
        let mut below: Vec<(&DirectoryNode, Digest)> = Vec::new();
        for child in &tree.directories {
            let digest = child.content()?;
            if self.wants_whole(&digest)? {
                below.push((child, digest));
            }
        }
        let large = !below.is_empty() && self.store.counts.count(self.store, digest)? > spread::LARGE;
        self.create_all(below.iter().map(|(child, _)| child.name.as_str()), large, &directory, path)?;
        drop(directory);
        below.par_iter().try_for_each(|(child, digest)| self.whole(digest, &path.join(&child.name)))?;
        self.finish(path, tree.node_properties.as_ref())
    }

    /// Whether there is anything to write below a directory.
    fn wants_below(&self, below: &Below) -> ServiceResult<bool> {
        match below {
            _ if self.pieces != Pieces::Stubs => Ok(true),
            Below::Whole(digest) | Below::Instead(digest) => self.wants_whole(digest),
            Below::Part(level) => {
                let mut wanted = level.files.iter().any(|file| self.wants_file(file));
                for (_, below) in &level.directories {
                    wanted = wanted || self.wants_below(below)?;
                }
                Ok(wanted)
            }
        }
    }

    fn wants_whole(&self, digest: &Digest) -> ServiceResult<bool> {
        if self.pieces != Pieces::Stubs {
            return Ok(true);
        }
        let tree = self.store.directory(digest)?;
        let mut wanted = tree.files.iter().any(|file| self.wants_file(file));
        for child in &tree.directories {
            wanted = wanted || self.wants_whole(&child.content()?)?;
        }
        Ok(wanted)
    }

    fn wants_file(&self, file: &FileNode) -> bool {
        match self.pieces {
            Pieces::All => true,
            Pieces::ButStubs => self.stub_content(file).is_none(),
            Pieces::Stubs => self.stub_content(file).is_some(),
        }
    }

    /// Where the content of a file is, if it is to be a stub.
    fn stub_content(&self, file: &FileNode) -> Option<&Content> {
        let size = file.content().map_or(0, |digest| digest.size);
        self.stubs.filter(|(from, _)| size >= *from).map(|(_, content)| content)
    }

    fn leaves(
        &self,
        files: &[FileNode],
        symlinks: &[SymlinkNode],
        directory: &OwnedFd,
        path: &Path,
    ) -> ServiceResult<()> {
        if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(ServiceError::new(ErrorKind::Cancelled, "laying out a tree was stopped"));
        }
        for file in files.iter().filter(|file| self.wants_file(file)) {
            self.file(file, directory, path)?;
        }
        let symlinks = if self.pieces == Pieces::Stubs { &[] } else { symlinks };
        for link in symlinks {
            let (name, target) = (link.name.as_str(), link.target.as_str());
            rustix::fs::symlinkat(target, directory, name).doing("cannot create a link in", path)?;
            rustix::fs::utimensat(
                directory,
                name,
                &times(link.node_properties.as_ref()),
                AtFlags::SYMLINK_NOFOLLOW,
            )
            .doing("cannot change the time of a link in", path)?;
        }
        Ok(())
    }

    /// Creates directories in another one; those of a large tree apart from each other.
    fn create_all<'n>(
        &self,
        mut names: impl Iterator<Item = &'n str>,
        large: bool,
        directory: &OwnedFd,
        path: &Path,
    ) -> ServiceResult<()> {
        let mut create = || {
            names.try_for_each(|name| {
                rustix::fs::mkdirat(directory, name, mode(0o755)).doing("cannot create a directory in", path)
            })
        };
        if large { apart(directory, create) } else { create() }
    }

    /// Sets mode and time of a directory that nothing is added to any more.
    fn finish(&self, path: &Path, properties: Option<&NodeProperties>) -> ServiceResult<()> {
        let bits = bits(properties, 0o755);
        if bits != 0o755 & !self.umask {
            rustix::fs::chmod(path, mode(bits)).doing("cannot change the mode of", path)?;
        }
        rustix::fs::utimensat(CWD, path, &times(properties), AtFlags::empty())
            .doing("cannot change the time of", path)
    }

    fn file(&self, node: &FileNode, directory: &OwnedFd, path: &Path) -> ServiceResult<()> {
        let properties = node.node_properties.as_ref();
        let bits = bits(properties, if node.is_executable { 0o755 } else { 0o644 });
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let created = rustix::fs::openat(directory, node.name.as_str(), flags, mode(bits));
        let file = File::from(created.doing("cannot create a file in", path)?);
        if bits & self.umask != 0 {
            rustix::fs::fchmod(&file, mode(bits)).doing("cannot change the mode of a file in", path)?;
        }
        let digest = node.content()?;
        match self.stub_content(node) {
            Some(content) => self.refer(&file, &digest, content, path)?,
            None => self.fill(&file, &digest, path)?,
        }
        rustix::fs::futimens(&file, &times(properties)).doing("cannot change the time of a file in", path)
    }

    /// Makes a stub of an empty file.
    fn refer(&self, file: &File, digest: &Digest, content: &Content, path: &Path) -> ServiceResult<()> {
        let name = content.provide(&self.store.objects, digest)?;
        let failed = "cannot write a file in";
        rustix::fs::ftruncate(file, digest.size).doing(failed, path)?;
        rustix::fs::fsetxattr(file, c"user.overlay.metacopy", b"", XattrFlags::CREATE).doing(failed, path)?;
        rustix::fs::fsetxattr(file, c"user.overlay.redirect", name.redirect(), XattrFlags::CREATE)
            .doing(failed, path)
    }

    /// Fills an empty file with content.
    fn fill(&self, file: &File, digest: &Digest, path: &Path) -> ServiceResult<()> {
        if digest.size == 0 {
            return Ok(());
        }
        let object = self.store.objects.open_object(digest)?;
        match self.kind {
            LayerKind::Reflink => {
                rustix::fs::ioctl_ficlone(file, &object).doing("cannot share the blocks of a file in", path)
            }
            _ => copy_content(&object, file, digest.size).doing("cannot write a file in", path),
        }
    }
}

/// The permissions of a node: its own, if it has any, but never more than anybody may have in a sandbox.
pub(crate) fn bits(properties: Option<&NodeProperties>, usual: u32) -> u32 {
    properties.and_then(|properties| properties.unix_mode).map_or(usual, |bits| bits & 0o777)
}

/// The time of a node in seconds and nanoseconds: its own, if it has one, else that which `bst` gives to everything.
pub(crate) fn time(properties: Option<&NodeProperties>) -> (i64, u32) {
    let own = properties.and_then(|properties| properties.mtime);
    own.map_or((STAGED_TIME, 0), |time| (time.seconds, u32::try_from(time.nanos).unwrap_or(0)))
}

/// The time of a node, as both times of its file.
fn times(properties: Option<&NodeProperties>) -> Timestamps {
    let (tv_sec, nanos) = time(properties);
    let at = Timespec { tv_sec, tv_nsec: nanos.into() };
    Timestamps { last_access: at, last_modification: at }
}
