//! Walking a tree on all cores: comparing it with its record, and hashing it.

use super::record::{DirectoryRecord, DirectoryWriter, Entry, Kind, Stamp, now};
use super::{hash_file, is_executable, unreadable};
use bourn_plan::{FileTimes, SourceError};
use bourn_reapi::directory::Timestamp;
use bourn_reapi::{Digest, Directory, DirectoryNode, FileNode, NodeProperties, SymlinkNode};
use rayon::prelude::*;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use std::cell::Cell;
use std::cmp::Ordering;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The top of a tree. Directories below are opened by their path from here and closed before their own are
/// entered, so that few descriptors are open at a time however deep the tree is.
pub(super) struct Root<'a> {
    path: &'a Path,
    descriptor: OwnedFd,
}

/// A hashed directory.
struct Hashed {
    digest: Digest,
    record: Vec<u8>,
}

/// An entry that was found.
struct Found<'a> {
    name: String,
    stat: Stat,
    kind: Kind,
    old: Option<Entry<'a>>,
}

/// What became of an entry.
enum Outcome {
    File(Digest, Stamp),
    Symlink(String),
    Directory(Hashed),
}

thread_local! {
    /// How many walks this thread is in the middle of.
    static WALKS: Cell<usize> = const { Cell::new(0) };
}

/// Says that this thread is in the middle of a walk.
struct Walking;

impl Walking {
    fn begin() -> Walking {
        WALKS.set(WALKS.get() + 1);
        Walking
    }
}

impl Drop for Walking {
    fn drop(&mut self) {
        WALKS.set(WALKS.get() - 1);
    }
}

/// Whether this thread is in the middle of a walk: waiting for parts of it that other threads do, it was given something
/// else to do. It must not wait for the answer of a walk then, which may be its own or wait for it.
pub(super) fn is_walking() -> bool {
    WALKS.get() > 0
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl<'a> Root<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Root<'a>, SourceError> {
        let descriptor = rustix::fs::open(path, DIRECTORY, Mode::empty());
        Ok(Root { path, descriptor: descriptor.map_err(|error| unreadable(path, &error.into()))? })
    }

    /// The digest of the record when nothing changed since.
    pub(super) fn unchanged(&self, record: &[u8]) -> Option<Digest> {
        let digest = DirectoryRecord::read(record)?.digest;
        self.is_unchanged(Path::new("."), record).then_some(digest)
    }

    fn is_unchanged(&self, path: &Path, record: &[u8]) -> bool {
        let Some(known) = DirectoryRecord::read(record) else { return false };
        let Ok(directory) = openat(&self.descriptor, path, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
        else {
            return false;
        };
        let Ok(stat) = fstat(&directory) else { return false };
        let same_names = known.stamp == Some(Stamp::of(&stat));
        if !same_names && !has_names(&directory, known.entries.clone()) {
            return false;
        }
        let mut below = Vec::new();
        for entry in known.entries {
            let Ok(stat) = statat(&directory, entry.name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
            if kind(&stat) != Some(entry.kind) {
                return false;
            }
            if entry.kind == Kind::Directory {
                below.push((path.join(std::ffi::OsStr::from_bytes(entry.name)), entry.record));
            } else if entry.stamp != Some(Stamp::of(&stat)) {
                return false;
            }
        }
        drop(directory);
        let _walking = Walking::begin();
        below.par_iter().all(|(path, record)| self.is_unchanged(path, record))
    }

    /// Hashes the tree; what the old record still tells is not read again. The digest and the new record.
    pub(super) fn hash(
        &self,
        old: Option<&[u8]>,
        times: FileTimes,
    ) -> Result<(Digest, Vec<u8>), SourceError> {
        let hashed = self.hash_directory(Path::new("."), old, times, None, now())?;
        Ok((hashed.digest, hashed.record))
    }

    /// Hashes one directory. `modified`: its own modification time, where it is part of the tree.
    fn hash_directory(
        &self,
        path: &Path,
        old: Option<&[u8]>,
        times: FileTimes,
        modified: Option<i128>,
        taken: i128,
    ) -> Result<Hashed, SourceError> {
        let failed = |error: Errno| unreadable(&self.full(path), &error.into());
        let directory =
            openat(&self.descriptor, path, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()).map_err(failed)?;
        let stamp = Stamp::of(&fstat(&directory).map_err(failed)?);
        let entries = self.list(path, &directory, old)?;
        let outcomes = self.outcomes(path, directory, &entries, times, taken)?;

        let mut writer = DirectoryWriter::new(&stamp, taken);
        let mut message =
            Directory { node_properties: modified.and_then(properties), ..Directory::default() };
        for (entry, outcome) in entries.iter().zip(outcomes) {
            let time = (times == FileTimes::Kept).then(|| Stamp::of(&entry.stat).modified);
            add(&mut message, &mut writer, entry, outcome, time);
        }
        let (_, digest) = message.encode_canonical();
        Ok(Hashed { digest, record: writer.finish(&digest) })
    }

    /// The entries of a directory, sorted by name; what is neither file, link nor directory is left out.
    fn list<'r>(
        &self,
        path: &Path,
        directory: &OwnedFd,
        old: Option<&'r [u8]>,
    ) -> Result<Vec<Found<'r>>, SourceError> {
        let failed = |error: Errno| unreadable(&self.full(path), &error.into());
        let mut known = old.and_then(DirectoryRecord::read).map(|record| record.entries.peekable());
        let mut found = Vec::new();
        for name in names(directory).map_err(failed)? {
            let full = || self.full(&path.join(std::ffi::OsStr::from_bytes(&name)));
            let stat = match statat(directory, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
                // It went away between listing and looking.
                Err(Errno::NOENT) => continue,
                stat => stat.map_err(|error| unreadable(&full(), &error.into()))?,
            };
            let Some(kind) = kind(&stat) else { continue };
            let mut old = None;
            if let Some(known) = &mut known {
                while known.next_if(|entry| entry.name.cmp(&name) == Ordering::Less).is_some() {}
                old = known.next_if(|entry| entry.name == name.as_slice());
            }
            let name = String::from_utf8(name.clone()).map_err(|_| not_utf8(&full()))?;
            found.push(Found { name, stat, kind, old });
        }
        Ok(found)
    }

    /// Hashes the entries, in parallel.
    fn outcomes(
        &self,
        path: &Path,
        directory: OwnedFd,
        entries: &[Found<'_>],
        times: FileTimes,
        taken: i128,
    ) -> Result<Vec<Outcome>, SourceError> {
        let _walking = Walking::begin();
        // Files first, while the directory is open; then the directories below, with it closed.
        let here = entries.par_iter().map(|entry| match entry.kind {
            Kind::Directory => Ok(None),
            Kind::Symlink => self.symlink(path, &directory, entry).map(Some),
            Kind::File | Kind::Executable => self.file(path, &directory, entry).map(Some),
        });
        let here: Vec<Option<Outcome>> = here.collect::<Result<_, SourceError>>()?;
        drop(directory);
        let all = here.into_par_iter().zip(entries).map(|(outcome, entry)| match outcome {
            Some(outcome) => Ok(outcome),
            None => {
                let modified = (times == FileTimes::Kept).then(|| Stamp::of(&entry.stat).modified);
                let old = entry.old.filter(|old| old.kind == Kind::Directory).map(|old| old.record);
                self.hash_directory(&path.join(&entry.name), old, times, modified, taken)
                    .map(Outcome::Directory)
            }
        });
        all.collect()
    }

    fn symlink(&self, path: &Path, directory: &OwnedFd, entry: &Found<'_>) -> Result<Outcome, SourceError> {
        let full = || self.full(&path.join(&entry.name));
        let target = readlinkat(directory, entry.name.as_str(), Vec::new());
        let target = target.map_err(|error| unreadable(&full(), &error.into()))?;
        Ok(Outcome::Symlink(target.into_string().map_err(|_| not_utf8(&full()))?))
    }

    fn file(&self, path: &Path, directory: &OwnedFd, entry: &Found<'_>) -> Result<Outcome, SourceError> {
        let stamp = Stamp::of(&entry.stat);
        if let Some(old) = entry.old.filter(|old| old.stamp == Some(stamp) && old.kind != Kind::Symlink) {
            return Ok(Outcome::File(old.digest, stamp));
        }
        let failed = |error| unreadable(&self.full(&path.join(&entry.name)), &error);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(directory, entry.name.as_str(), flags, Mode::empty());
        let (digest, stamp) =
            hash_file(&File::from(file.map_err(|error| failed(error.into()))?)).map_err(failed)?;
        Ok(Outcome::File(digest, stamp))
    }

    fn full(&self, path: &Path) -> PathBuf {
        self.path.join(path.strip_prefix(".").unwrap_or(path))
    }
}

/// Adds an entry to the directory and to its record.
fn add(
    message: &mut Directory,
    writer: &mut DirectoryWriter,
    entry: &Found<'_>,
    outcome: Outcome,
    modified: Option<i128>,
) {
    let name = entry.name.clone();
    match outcome {
        Outcome::File(digest, stamp) => {
            let is_executable = entry.kind == Kind::Executable;
            writer.file(name.as_bytes(), is_executable, &stamp, &digest);
            let node_properties = modified.and_then(properties);
            message.files.push(FileNode {
                name,
                digest: Some(digest.into()),
                is_executable,
                node_properties,
            });
        }
        Outcome::Symlink(target) => {
            writer.symlink(name.as_bytes(), &Stamp::of(&entry.stat));
            message.symlinks.push(SymlinkNode { name, target, node_properties: None });
        }
        Outcome::Directory(hashed) => {
            writer.directory(name.as_bytes(), &hashed.record);
            message.directories.push(DirectoryNode { name, digest: Some(hashed.digest.into()) });
        }
    }
}

/// The modification time as bst records it: whole microseconds.
fn properties(modified: i128) -> Option<NodeProperties> {
    let micros = modified.div_euclid(1000);
    let seconds = i64::try_from(micros.div_euclid(1_000_000)).ok()?;
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).ok()?;
    Some(NodeProperties { mtime: Some(Timestamp { seconds, nanos }), ..NodeProperties::default() })
}

/// What an entry is; `None` for devices, sockets and pipes, which bst leaves out.
fn kind(stat: &Stat) -> Option<Kind> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if stat.st_mode & 0o100 != 0 => Some(Kind::Executable),
        FileType::RegularFile => Some(Kind::File),
        FileType::Symlink => Some(Kind::Symlink),
        FileType::Directory => Some(Kind::Directory),
        _ => None,
    }
}

/// The names in a directory, sorted.
fn names(directory: &OwnedFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        let special = matches!(
            entry.file_type(),
            FileType::Fifo | FileType::Socket | FileType::CharacterDevice | FileType::BlockDevice
        );
        if name != b"." && name != b".." && !special {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether a directory has just these names, as far as its entries count at all.
fn has_names<'a>(directory: &OwnedFd, mut entries: impl Iterator<Item = Entry<'a>>) -> bool {
    let Ok(names) = names(directory) else { return false };
    names.iter().all(|name| entries.next().is_some_and(|entry| entry.name == name.as_slice()))
        && entries.next().is_none()
}

fn not_utf8(path: &Path) -> SourceError {
    let message = format!("The name or target of {} is not valid UTF-8", path.display());
    SourceError::new(message).hint("rename it: sources hold names in UTF-8 only")
}

/// The digest of a directory that holds one file.
pub(super) fn single(path: &Path, digest: &Digest, times: FileTimes) -> Result<Digest, SourceError> {
    let name = path.file_name().unwrap_or_default().to_str().ok_or_else(|| not_utf8(path))?.to_owned();
    let mut node_properties = None;
    if times == FileTimes::Kept {
        let stat = rustix::fs::stat(path).map_err(|error| unreadable(path, &error.into()))?;
        node_properties = properties(Stamp::of(&stat).modified);
    }
    let is_executable = is_executable(path);
    let file = FileNode { name, digest: Some((*digest).into()), is_executable, node_properties };
    Ok(Directory { files: vec![file], ..Directory::default() }.encode_canonical().1)
}
