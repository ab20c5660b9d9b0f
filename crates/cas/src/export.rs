//! From the store into the file system, on all cores.
//!
//! The result is what `bst artifact checkout` makes. Copies: files 0666 and directories 0777 less the mask of the
//! process, executable files with an executable bit wherever there is one for reading, modification times only
//! where the tree has them. Hard links: the objects themselves. `bst` adds executable bits to the objects that it
//! links, which changes them for every other tree; an executable file is copied here, read-only as the link was.
//! What is staged for a sandbox has the modes and times that `bst` shows there instead.

use crate::mode::{executable, mode, umask};
use crate::store::Store;
use crate::trouble::{Doing, io_error};
use bourn_reapi::directory::Timestamp;
use bourn_reapi::services::{ErrorKind, ExportOptions, STAGED_TIME, ServiceResult};
use bourn_reapi::{Cas, Digest, Directory, FileNode, NodeProperties, ServiceError};
use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::path::Path;

/// Writes a tree into the file system.
pub(crate) fn export_tree(
    store: &Store,
    root: &Digest,
    into: &Path,
    options: &ExportOptions,
) -> ServiceResult<()> {
    std::fs::create_dir_all(into).doing("cannot create", into)?;
    let occupied = std::fs::read_dir(into).doing("cannot list", into)?.next().is_some();
    if occupied && !options.merge {
        let message = format!("the directory {} is not empty", into.display());
        return Err(ServiceError::new(ErrorKind::Invalid, message));
    }
    let mask = umask();
    Export { store, options, umask: if options.staged { 0o022 } else { mask }, mask }.directory(root, into)
}

/// One export.
struct Export<'a> {
    store: &'a Store,
    options: &'a ExportOptions,
    /// Permissions that new files do not get.
    umask: u32,
    /// Permissions that this process does not give.
    mask: u32,
}

impl Export<'_> {
    /// Fills the directory `path`, which exists.
    fn directory(&self, digest: &Digest, path: &Path) -> ServiceResult<()> {
        let directory: &Directory = &*self.store.directory(digest)?;
        directory.directories.par_iter().try_for_each(|child| {
            let path = path.join(&child.name);
            self.create(&path)?;
            self.directory(&child.content()?, &path)
        })?;
        directory
            .files
            .par_iter()
            .with_min_len(8)
            .try_for_each(|file| self.file(file, &path.join(&file.name)))?;
        for link in &directory.symlinks {
            let path = path.join(&link.name);
            self.symlink(&link.target, &path)?;
            if self.options.staged {
                self.set_time(&path, &link.node_properties)?;
            }
        }
        self.set_time(path, &directory.node_properties)
    }

    /// The time that a node shows, if it is not to be that of its creation.
    fn time_of(&self, properties: &Option<NodeProperties>) -> Option<Timestamp> {
        let staged = Timestamp { seconds: STAGED_TIME, nanos: 0 };
        mtime_of(properties).or(self.options.staged.then_some(staged))
    }

    fn set_time(&self, path: &Path, properties: &Option<NodeProperties>) -> ServiceResult<()> {
        self.time_of(properties).map_or(Ok(()), |time| set_mtime(path, time))
    }

    fn create(&self, path: &Path) -> ServiceResult<()> {
        match rustix::fs::mkdirat(CWD, path, mode(if self.options.staged { 0o755 } else { 0o777 })) {
            Ok(()) if self.options.staged && self.mask & 0o755 != 0 => {
                rustix::fs::chmod(path, mode(0o755)).doing("cannot change the mode of", path)
            }
            Err(Errno::EXIST)
                if self.options.merge && path.symlink_metadata().is_ok_and(|found| found.is_dir()) =>
            {
                Ok(())
            }
            result => result.doing("cannot create the directory", path),
        }
    }

    fn symlink(&self, target: &str, path: &Path) -> ServiceResult<()> {
        self.replacing(path, || rustix::fs::symlinkat(target, CWD, path))
            .doing("cannot create the link", path)
    }

    fn file(&self, node: &FileNode, path: &Path) -> ServiceResult<()> {
        let digest = node.content()?;
        let linkable =
            self.options.hardlinks && !self.options.staged && mtime_of(&node.node_properties).is_none();
        if linkable && !node.is_executable && self.link(&digest, path)? {
            return Ok(());
        }
        let plain = match (linkable, self.options.staged) {
            (true, _) => 0o444,
            (false, true) => 0o644,
            (false, false) => 0o666 & !self.umask,
        };
        self.copy(&digest, path, if node.is_executable { executable(plain) } else { plain })?;
        self.set_time(path, &node.node_properties)
    }

    /// Links a file to its object. `false` where links are impossible and a copy has to do.
    fn link(&self, digest: &Digest, path: &Path) -> ServiceResult<bool> {
        let name = crate::object::ObjectName::new(digest);
        let objects = &self.store.objects;
        let linked = self.replacing(path, || {
            rustix::fs::linkat(objects.root(), name.as_c_str(), CWD, path, AtFlags::empty())
        });
        match linked {
            Ok(()) => Ok(true),
            Err(Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP) => Ok(false),
            Err(Errno::NOENT) if !objects.path(digest).exists() => Err(objects.missing(digest)),
            Err(error) => Err(io_error(error, "cannot create the link", path)),
        }
    }

    fn copy(&self, digest: &Digest, path: &Path, bits: u32) -> ServiceResult<()> {
        let from = self.store.objects.open_object(digest)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let created = self.replacing(path, || rustix::fs::open(path, flags, mode(bits)));
        let to: File = created.doing("cannot create", path)?.into();
        copy_content(&from, &to, digest.size).doing("cannot write", path)?;
        if bits & self.mask != 0 {
            rustix::fs::fchmod(&to, mode(bits)).doing("cannot change the mode of", path)?;
        }
        Ok(())
    }

    /// Creates something, in the place of a file or link that is in the way when the destination may exist.
    fn replacing<T>(&self, path: &Path, create: impl Fn() -> Result<T, Errno>) -> Result<T, Errno> {
        match create() {
            Err(Errno::EXIST) if self.options.merge => {
                rustix::fs::unlinkat(CWD, path, AtFlags::empty())?;
                create()
            }
            result => result,
        }
    }
}

/// Copies a whole file: sharing its blocks where the file system can, else within the kernel.
pub(crate) fn copy_content(from: &File, to: &File, size: u64) -> io::Result<()> {
    const SMALL: u64 = 128 << 10;
    let (mut reader, mut writer) = (from, to);
    if size > SMALL {
        if rustix::fs::ioctl_ficlone(to, from).is_ok() {
            return Ok(());
        }
        return io::copy(&mut reader, &mut writer).map(drop);
    }
    // Two calls for a small file; a buffer that the thread keeps.
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        io::Read::read_to_end(&mut io::Read::take(&mut reader, size), buffer)?;
        io::Write::write_all(&mut writer, buffer)
    })
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The modification time of a node, if it has one.
fn mtime_of(properties: &Option<NodeProperties>) -> Option<Timestamp> {
    properties.as_ref().and_then(|properties| properties.mtime)
}

/// Sets both times of a file or directory.
fn set_mtime(path: &Path, time: Timestamp) -> ServiceResult<()> {
    let at = Timespec { tv_sec: time.seconds, tv_nsec: time.nanos.into() };
    let times = Timestamps { last_access: at, last_modification: at };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .doing("cannot change the time of", path)
}
