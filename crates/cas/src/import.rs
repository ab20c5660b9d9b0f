//! From the file system into the store, on all cores, hashing while reading.
//!
//! What becomes of a file is what `buildbox-casd` makes of it: the executable bit of the owner is kept, all other
//! permissions are not, hard links become equal files, and devices, sockets and pipes are left out without a word.

use crate::mode::mode;
use crate::object::{IN_MEMORY, hash_stream};
use crate::store::Store;
use crate::trouble::Doing;
use bourn_reapi::directory::Timestamp;
use bourn_reapi::services::{ErrorKind, ImportOptions, ServiceResult};
use bourn_reapi::{
    Cas, Digest, Directory, DirectoryNode, FileNode, NodeProperties, ServiceError, SymlinkNode,
};
use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, FileType, OFlags, Stat};
use std::fs::File;
use std::io::{Read, Seek};
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
    let stat = rustix::fs::stat(path).doing("cannot look at", path)?;
    Import { store, options }.directory(path, &stat)
}

/// One import.
struct Import<'a> {
    store: &'a Store,
    options: &'a ImportOptions,
}

/// What an entry of a directory becomes.
enum Node {
    File(FileNode),
    Directory(DirectoryNode),
    Symlink(SymlinkNode),
    Nothing,
}

impl Import<'_> {
    /// Stores a directory; everything in it in parallel.
    fn directory(&self, path: &Path, stat: &Stat) -> ServiceResult<Digest> {
        let entries = std::fs::read_dir(path).doing("cannot list", path)?;
        let names: Vec<PathBuf> = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .doing("cannot list", path)?;
        let nodes: Vec<Node> =
            names.into_par_iter().with_min_len(4).map(|entry| self.node(&entry)).collect::<Result<_, _>>()?;
        let mut directory = Directory { node_properties: self.properties(stat), ..Directory::default() };
        for node in nodes {
            match node {
                Node::File(file) => directory.files.push(file),
                Node::Directory(child) => directory.directories.push(child),
                Node::Symlink(link) => directory.symlinks.push(link),
                Node::Nothing => {}
            }
        }
        directory.sort();
        self.store.write_directory(&directory)
    }

    /// Stores a file that somebody names.
    fn named_file(&self, path: &Path) -> ServiceResult<FileNode> {
        let stat = rustix::fs::stat(path).doing("cannot look at", path)?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            let message = format!("{} is not a regular file", path.display());
            return Err(ServiceError::new(ErrorKind::Invalid, message));
        }
        self.file(path, text_of(path.file_name().unwrap_or_default(), path)?, &stat)
    }

    fn node(&self, path: &Path) -> ServiceResult<Node> {
        let name = text_of(path.file_name().unwrap_or_default(), path)?;
        let stat = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).doing("cannot look at", path)?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Node::File(self.file(path, name, &stat)?),
            FileType::Directory => {
                Node::Directory(DirectoryNode { name, digest: Some(self.directory(path, &stat)?.into()) })
            }
            FileType::Symlink => {
                let target = std::fs::read_link(path).doing("cannot read the link", path)?;
                Node::Symlink(SymlinkNode {
                    name,
                    target: text_of(target.as_os_str(), path)?,
                    node_properties: None,
                })
            }
            _ => Node::Nothing,
        })
    }

    fn file(&self, path: &Path, name: String, stat: &Stat) -> ServiceResult<FileNode> {
        Ok(FileNode {
            name,
            digest: Some(self.content(path, stat)?.into()),
            is_executable: stat.st_mode & 0o100 != 0,
            node_properties: self.properties(stat),
        })
    }

    /// Stores the content of a regular file.
    fn content(&self, path: &Path, stat: &Stat) -> ServiceResult<Digest> {
        let objects = &self.store.objects;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file: File = rustix::fs::open(path, flags, mode(0)).doing("cannot open", path)?.into();
        let movable = self.options.consume && is_movable(&file, stat);
        if u64::try_from(stat.st_size).is_ok_and(|size| size < IN_MEMORY) {
            let mut content = Vec::with_capacity(usize::try_from(stat.st_size).unwrap_or(0) + 1);
            file.read_to_end(&mut content).doing("cannot read", path)?;
            let digest = Digest::of(&content);
            if !(movable && objects.adopt(&digest, &file, path)?) {
                objects.publish(&digest, &content)?;
            }
            return Ok(digest);
        }
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

/// A name as text: the API knows no other names.
fn text_of(name: &std::ffi::OsStr, path: &Path) -> ServiceResult<String> {
    name.to_str().map(str::to_owned).ok_or_else(|| {
        let message = format!("{} has a name or a target that is not valid UTF-8", path.display());
        ServiceError::new(ErrorKind::Invalid, message).hint("trees can only hold names in UTF-8: rename it")
    })
}
