//! From the store into the file system, on all cores.
//!
//! The result is what `bst artifact checkout` makes. Copies: files 0666 and directories 0777 less the mask of the
//! process, executable files with an executable bit wherever there is one for reading, modification times only
//! where the tree has them. Hard links: the objects themselves. `bst` adds executable bits to the objects that it
//! links, which changes them for every other tree; an executable file is copied here, read-only as the link was.
//! What is staged for a sandbox has the modes and times that `bst` shows there instead.

use crate::mode::{executable, mode, umask};
use crate::spread::{LARGE, apart};
use crate::store::Store;
use crate::trouble::{Doing, io_error};
use bourn_reapi::directory::Timestamp;
use bourn_reapi::services::{ErrorKind, ExportOptions, STAGED_TIME, ServiceResult};
use bourn_reapi::{Cas, Digest, Directory, FileNode, NodeProperties, ServiceError};
use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Writes a tree into the file system.
pub(crate) fn export_tree(
    store: &Store,
    root: &Digest,
    into: &Path,
    options: &ExportOptions,
) -> ServiceResult<()> {
    let mask = umask();
    let is_new = !into.exists();
    std::fs::create_dir_all(into).doing("cannot create", into)?;
    if is_new && options.staged && mask != 0o022 {
        rustix::fs::chmod(into, mode(0o755)).doing("cannot change the mode of", into)?;
    }
    let occupied = std::fs::read_dir(into).doing("cannot list", into)?.next().is_some();
    if occupied && !options.merge {
        let message = format!("the directory {} is not empty", into.display());
        return Err(ServiceError::new(ErrorKind::Invalid, message));
    }
    let umask = if options.staged { 0o022 } else { mask };
    Export { store, options, into, umask, mask }.directory(root, into)
}

/// One export.
struct Export<'a> {
    store: &'a Store,
    options: &'a ExportOptions,
    /// The directory that all goes into.
    into: &'a Path,
    /// Permissions that new files do not get.
    umask: u32,
    /// Permissions that this process does not give.
    mask: u32,
}

impl Export<'_> {
    /// Fills the directory `path`, which exists. Everything in it is named relative to it: the kernel then does not
    /// walk down the whole path for each of a hundred thousand files.
    fn directory(&self, digest: &Digest, path: &Path) -> ServiceResult<()> {
        let tree: &Directory = &*self.store.directory(digest)?;
        let place = Place { directory: self.open(path)?, path };
        // Only for files that are new: finding the place takes longer than linking a dozen that are there.
        let large = !tree.directories.is_empty()
            && !self.options.hardlinks
            && self.store.counts.count(self.store, digest)? > LARGE;
        if large {
            let create =
                || tree.directories.iter().try_for_each(|child| self.create(&path.join(&child.name)));
            apart(&place.directory, create)?;
        }
        let files = tree.files.par_chunks(self.at_once(&tree.files));
        files.try_for_each(|files| files.iter().try_for_each(|file| self.file(file, &place)))?;
        for link in &tree.symlinks {
            self.symlink(&link.target, &place, &link.name)?;
            if self.options.staged {
                self.set_time(&place, &link.name, &link.node_properties)?;
            }
        }
        // Not kept open: a deep tree would need many descriptors.
        drop(place);
        tree.directories.par_iter().try_for_each(|child| {
            let path = path.join(&child.name);
            if !large {
                // Not all beforehand, while the other threads have nothing to do.
                self.create(&path)?;
            }
            self.directory(&child.content()?, &path)
        })?;
        if let Some(time) = self.time_of(&tree.node_properties) {
            let changed = rustix::fs::utimensat(CWD, path, &times(time), AtFlags::SYMLINK_NOFOLLOW);
            changed.doing("cannot change the time of", path)?;
        }
        Ok(())
    }

    /// Opens a directory. Only the one that all goes into may be a link to another.
    fn open(&self, path: &Path) -> ServiceResult<OwnedFd> {
        let mut flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        flags.set(OFlags::NOFOLLOW, path != self.into);
        rustix::fs::open(path, flags, Mode::empty()).doing("cannot open", path)
    }

    /// How many files of one directory a thread takes at once: the file system creates one after the other there,
    /// but fills several at a time.
    fn at_once(&self, files: &[FileNode]) -> usize {
        const BYTES: u64 = 2 << 20;
        if self.options.hardlinks {
            return 256;
        }
        let bytes: u64 = files.iter().filter_map(|file| file.content().ok()).map(|digest| digest.size).sum();
        let mean = bytes / (files.len() as u64).max(1);
        usize::try_from(BYTES / mean.max(1)).map_or(64, |count| count.clamp(1, 64))
    }

    /// The time that a node shows, if it is not to be that of its creation.
    fn time_of(&self, properties: &Option<NodeProperties>) -> Option<Timestamp> {
        let staged = Timestamp { seconds: STAGED_TIME, nanos: 0 };
        mtime_of(properties).or(self.options.staged.then_some(staged))
    }

    fn set_time(
        &self,
        place: &Place<'_>,
        name: &str,
        properties: &Option<NodeProperties>,
    ) -> ServiceResult<()> {
        let Some(time) = self.time_of(properties) else { return Ok(()) };
        rustix::fs::utimensat(&place.directory, name, &times(time), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| place.error(error, "cannot change the time of", name))
    }

    fn create(&self, path: &Path) -> ServiceResult<()> {
        let bits = if self.options.staged { 0o755 } else { 0o777 };
        match rustix::fs::mkdir(path, mode(bits)) {
            Ok(()) if self.options.staged && self.mask & 0o755 != 0 => {
                rustix::fs::chmod(path, mode(0o755)).doing("cannot change the mode of", path)
            }
            Err(Errno::EXIST) if self.options.merge && is_directory(path) => Ok(()),
            result => result.doing("cannot create the directory", path),
        }
    }

    fn symlink(&self, target: &str, place: &Place<'_>, name: &str) -> ServiceResult<()> {
        self.replacing(place, name, || rustix::fs::symlinkat(target, &place.directory, name))
            .map_err(|error| place.error(error, "cannot create the link", name))
    }

    fn file(&self, node: &FileNode, place: &Place<'_>) -> ServiceResult<()> {
        let digest = node.content()?;
        let linkable =
            self.options.hardlinks && !self.options.staged && mtime_of(&node.node_properties).is_none();
        if linkable && !node.is_executable && self.link(&digest, place, &node.name)? {
            return Ok(());
        }
        let plain = match (linkable, self.options.staged) {
            (true, _) => 0o444,
            (false, true) => 0o644,
            (false, false) => 0o666 & !self.umask,
        };
        let bits = if node.is_executable { executable(plain) } else { plain };
        let file = self.copy(&digest, place, &node.name, bits)?;
        let Some(time) = self.time_of(&node.node_properties) else { return Ok(()) };
        rustix::fs::futimens(&file, &times(time))
            .map_err(|error| place.error(error, "cannot change the time of", &node.name))
    }

    /// Links a file to its object. `false` where links are impossible and a copy has to do.
    fn link(&self, digest: &Digest, place: &Place<'_>, name: &str) -> ServiceResult<bool> {
        let object = crate::object::ObjectName::new(digest);
        let objects = &self.store.objects;
        let linked = self.replacing(place, name, || {
            rustix::fs::linkat(objects.root(), object.as_c_str(), &place.directory, name, AtFlags::empty())
        });
        match linked {
            Ok(()) => Ok(true),
            Err(Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP) => Ok(false),
            Err(Errno::NOENT) if !objects.path(digest).exists() => Err(objects.missing(digest)),
            Err(error) => Err(place.error(error, "cannot create the link", name)),
        }
    }

    fn copy(&self, digest: &Digest, place: &Place<'_>, name: &str, bits: u32) -> ServiceResult<File> {
        let from = self.store.objects.open_object(digest)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let created = self
            .replacing(place, name, || rustix::fs::openat(&place.directory, name, flags, mode(bits)))
            .map_err(|error| place.error(error, "cannot create", name));
        let to: File = created?.into();
        copy_content(&from, &to, digest.size).map_err(|error| place.error(error, "cannot write", name))?;
        if bits & self.mask != 0 {
            rustix::fs::fchmod(&to, mode(bits))
                .map_err(|error| place.error(error, "cannot change the mode of", name))?;
        }
        Ok(to)
    }

    /// Creates something, in the place of a file or link that is in the way when the destination may exist.
    fn replacing<T>(
        &self,
        place: &Place<'_>,
        name: &str,
        create: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match create() {
            Err(Errno::EXIST) if self.options.merge => {
                rustix::fs::unlinkat(&place.directory, name, AtFlags::empty())?;
                create()
            }
            result => result,
        }
    }
}

/// Whether there is a directory, not a link to one.
fn is_directory(path: &Path) -> bool {
    rustix::fs::lstat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir())
}

/// A directory that is being filled.
struct Place<'a> {
    directory: OwnedFd,
    path: &'a Path,
}

impl Place<'_> {
    fn error(&self, error: impl Into<io::Error>, what: &str, name: &str) -> ServiceError {
        io_error(error, what, &self.path.join(name))
    }
}

/// Copies a whole file: sharing its blocks where the file system can, else by way of a buffer that the thread keeps.
/// The larger the pieces that are written, the less a file system has to do; copying within the kernel
/// (`copy_file_range`) moves page by page.
pub(crate) fn copy_content(from: &File, to: &File, size: u64) -> io::Result<()> {
    const SMALL: u64 = 128 << 10;
    const PIECE: u64 = 1 << 20;
    let (reader, mut writer) = (from, to);
    if size > SMALL && rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    BUFFER.with_borrow_mut(|buffer| {
        let mut rest = size;
        while rest > 0 {
            buffer.clear();
            // Reserves room, so that a piece takes one call.
            buffer.reserve(rest.min(PIECE) as usize);
            let read = io::Read::read_to_end(&mut io::Read::take(reader, rest.min(PIECE)), buffer)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            io::Write::write_all(&mut writer, buffer)?;
            rest -= read as u64;
        }
        Ok(())
    })
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The modification time of a node, if it has one.
fn mtime_of(properties: &Option<NodeProperties>) -> Option<Timestamp> {
    properties.as_ref().and_then(|properties| properties.mtime)
}

/// Both times of a file or directory.
fn times(time: Timestamp) -> Timestamps {
    let at = Timespec { tv_sec: time.seconds, tv_nsec: time.nanos.into() };
    Timestamps { last_access: at, last_modification: at }
}
