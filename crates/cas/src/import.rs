//! From the file system into the store, on all cores, hashing while reading.
//!
//! What becomes of a file is what `buildbox-casd` makes of it: the executable bit of the owner is kept, all other
//! permissions are not, hard links become equal files, and devices, sockets and pipes are left out without a word.

use crate::object::{IN_MEMORY, hash_stream};
use crate::store::Store;
use crate::trouble::Doing;
use bourn_reapi::directory::Timestamp;
use bourn_reapi::services::{ErrorKind, ImportOptions, ServiceResult};
use bourn_reapi::{
    Cas, Digest, Directory, DirectoryNode, FileNode, NodeProperties, ServiceError, SymlinkNode,
};
use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::path::Arg;
use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Stores one regular file.
pub(crate) fn import_file(store: &Store, path: &Path) -> ServiceResult<FileNode> {
    Import { store, options: &ImportOptions::default() }.named_file(path)
}

/// Stores many regular files.
pub(crate) fn import_files(
    store: &Store,
    paths: &[PathBuf],
    options: &ImportOptions,
) -> ServiceResult<Vec<FileNode>> {
    let import = Import { store, options };
    paths.par_iter().with_min_len(4).map(|path| import.named_file(path)).collect()
}

/// Stores a directory with everything in it.
pub(crate) fn import_tree(store: &Store, path: &Path, options: &ImportOptions) -> ServiceResult<Digest> {
    Import { store, options }.directory(path)
}

/// One import.
struct Import<'a> {
    store: &'a Store,
    options: &'a ImportOptions,
}

/// What a directory holds, by type.
#[derive(Default)]
struct Names {
    files: Vec<String>,
    directories: Vec<String>,
    symlinks: Vec<String>,
}

impl Import<'_> {
    /// Stores a directory; everything in it in parallel.
    fn directory(&self, path: &Path) -> ServiceResult<Digest> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty()).doing("cannot open", path)?;
        let stat = rustix::fs::fstat(&opened).doing("cannot look at", path)?;
        let names = self.names(&opened, path)?;
        let mut directory = Directory { node_properties: self.properties(&stat), ..Directory::default() };
        for name in names.symlinks {
            let link = path.join(&name);
            let target = rustix::fs::readlinkat(&opened, name.as_str(), Vec::new())
                .doing("cannot read the link", &link)?;
            let target = text_of(target.to_bytes(), &link)?;
            directory.symlinks.push(SymlinkNode { name, target, node_properties: None });
        }
        directory.files = names
            .files
            .into_par_iter()
            .with_min_len(4)
            .map(|name| {
                self.file(&opened, name.as_str(), &path.join(&name)).map(|node| FileNode { name, ..node })
            })
            .collect::<Result<_, _>>()?;
        // Only so many directories are open at a time as there are threads, however deep the tree is.
        drop(opened);
        directory.directories = names
            .directories
            .into_par_iter()
            .map(|name| Ok(DirectoryNode { digest: Some(self.directory(&path.join(&name))?.into()), name }))
            .collect::<ServiceResult<_>>()?;
        directory.sort();
        self.store.write_directory(&directory)
    }

    /// Lists a directory. Devices, sockets and pipes are left out.
    fn names(&self, directory: &OwnedFd, path: &Path) -> ServiceResult<Names> {
        let mut names = Names::default();
        for entry in Dir::read_from(directory).doing("cannot list", path)? {
            let entry = entry.doing("cannot list", path)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let entry_path = || path.join(OsStr::from_bytes(name.to_bytes()));
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                // Some file systems do not tell in the list.
                let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
                kind = FileType::from_raw_mode(stat.doing("cannot look at", &entry_path())?.st_mode);
            }
            let list = match kind {
                FileType::RegularFile => &mut names.files,
                FileType::Directory => &mut names.directories,
                FileType::Symlink => &mut names.symlinks,
                _ => continue,
            };
            match name.to_str() {
                Ok(name) => list.push(name.to_owned()),
                Err(_) => return Err(not_utf8(&entry_path())),
            }
        }
        Ok(names)
    }

    /// Stores a file that somebody names.
    fn named_file(&self, path: &Path) -> ServiceResult<FileNode> {
        let name = text_of(path.file_name().unwrap_or_default().as_bytes(), path)?;
        Ok(FileNode { name, ..self.file(CWD, path, path)? })
    }

    /// Stores a regular file: a node without a name. `path` is for errors and for moving it.
    fn file(&self, directory: impl AsFd, name: impl Arg, path: &Path) -> ServiceResult<FileNode> {
        // Without waiting for the other end, should it be a pipe.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file: File =
            rustix::fs::openat(directory, name, flags, Mode::empty()).doing("cannot open", path)?.into();
        let stat = rustix::fs::fstat(&file).doing("cannot look at", path)?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            let message = format!("{} is not a regular file", path.display());
            return Err(ServiceError::new(ErrorKind::Invalid, message));
        }
        let movable = self.options.consume && is_movable(&file, &stat);
        let digest = match u64::try_from(stat.st_size) {
            Ok(size) if size < IN_MEMORY => self.small(&file, size, movable, path)?,
            _ => self.large(file, movable, path)?,
        };
        Ok(FileNode {
            name: String::new(),
            digest: Some(digest.into()),
            is_executable: stat.st_mode & 0o100 != 0,
            node_properties: self.properties(&stat),
        })
    }

    /// Stores a file that fits into memory.
    fn small(&self, file: &File, size: u64, movable: bool, path: &Path) -> ServiceResult<Digest> {
        let objects = &self.store.objects;
        BUFFER.with_borrow_mut(|buffer| {
            read_all(file, size, buffer).doing("cannot read", path)?;
            let digest = Digest::of(buffer);
            if !(movable && objects.adopt(&digest, file, path)?) {
                objects.publish(&digest, buffer)?;
            }
            Ok(digest)
        })
    }

    fn large(&self, mut file: File, movable: bool, path: &Path) -> ServiceResult<Digest> {
        let objects = &self.store.objects;
        let digest = hash_stream(&mut file, path, |_| Ok(()))?;
        if objects.exists(&digest)? || movable && objects.adopt(&digest, &file, path)? {
            return Ok(digest);
        }
        // Hashed again while it is copied: should somebody write to the file meanwhile, the object is still right.
        file.rewind().doing("cannot read", path)?;
        objects.publish_stream(&mut file, path)
    }

    fn properties(&self, stat: &Stat) -> Option<NodeProperties> {
        // Like the reference, to the microsecond.
        let nanos = i32::try_from(stat.st_mtime_nsec / 1000 * 1000).unwrap_or(0);
        let mtime = Timestamp { seconds: stat.st_mtime, nanos };
        self.options.record_mtime.then(|| NodeProperties { mtime: Some(mtime), ..NodeProperties::default() })
    }
}

/// Whether a file may be renamed into the store: nobody else holds it by another name, and it is ours.
fn is_movable(file: &File, stat: &Stat) -> bool {
    stat.st_nlink == 1
        && stat.st_uid == rustix::process::geteuid().as_raw()
        && rustix::fs::flistxattr(file, &mut [0_u8; 0][..]).is_ok_and(|length| length == 0)
}

thread_local! {
    /// The content of the file that a thread is storing.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads a file that should have `size` bytes, in one call when it has.
fn read_all(mut file: &File, size: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    // One more byte than expected: a file that has grown fills it, and a regular file answers shortly only at its end.
    buffer.resize(usize::try_from(size).unwrap_or(0) + 1, 0);
    let mut filled = 0;
    loop {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) if filled + count < buffer.len() => {
                filled += count;
                if filled as u64 == size {
                    break;
                }
            }
            Ok(count) => {
                filled += count;
                buffer.resize(buffer.len() * 2, 0);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok(())
}

/// A name as text: the API knows no other names.
fn text_of(name: &[u8], path: &Path) -> ServiceResult<String> {
    std::str::from_utf8(name).map(str::to_owned).map_err(|_| not_utf8(path))
}

fn not_utf8(path: &Path) -> ServiceError {
    let message = format!("{} has a name or a target that is not valid UTF-8", path.display());
    ServiceError::new(ErrorKind::Invalid, message).hint("trees can only hold names in UTF-8: rename it")
}
