//! Digests of local files, remembered between runs.
//!
//! A tree that was hashed leaves a [record](record): every name with what `stat` said of it and its digest. The
//! next run walks the tree, compares what `stat` says, and reads only what changed. A file whose change time is so
//! close to the moment of hashing that a later change could leave the same stamp is read again (git's racy rule).
//! Records are kept in one file of the cache directory; losing it costs time, never correctness.

mod record;
mod store;
mod walk;

use bourn_plan::{FileTimes, LocalDigests, SourceError};
use bourn_reapi::Digest;
use bourn_yaml::Files;
use bourn_yaml::look::{Name, PlaceKind};
use record::Stamp;
use rustix::fs::{Access, AtFlags};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use store::Store;

/// Digests of local trees and files.
pub struct LocalTrees {
    store: Store,
    /// Where other looks are noted.
    files: Files,
    /// Answers of this run: what is asked twice is looked at once.
    answers: Mutex<HashMap<Vec<u8>, Answer>>,
    /// What was found out beside an answer that could not be waited for.
    beside: Mutex<Vec<Local>>,
}

/// A digest that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// What was asked: [`TREE`], [`TIMED_TREE`] or [`FILE`].
    pub kind: u8,
    /// The path.
    pub path: PathBuf,
    /// The answer.
    pub digest: Digest,
}

/// The digest of a tree, modification times left out.
const TREE: u8 = b'T';
/// The digest of a tree with modification times.
const TIMED_TREE: u8 = b'W';
/// The digest of a file.
const FILE: u8 = b'F';

type Answer = Arc<OnceLock<Result<Digest, SourceError>>>;

impl LocalTrees {
    /// Digests remembered in `directory` (`CACHEDIR/bourn`), which need not be there; `None`: in this run only.
    /// Other looks at the project are noted in `files`.
    pub fn new(directory: Option<&Path>, files: Files) -> LocalTrees {
        LocalTrees {
            store: Store::open(directory),
            files,
            answers: Mutex::default(),
            beside: Mutex::default(),
        }
    }

    /// What was asked in this run and found; a tree that changed meanwhile may be there with two digests.
    pub fn found(&self) -> Vec<Local> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let found = answers.iter().filter_map(|(key, answer)| local(key, answer.get()?));
        let beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<Local> = found.chain(beside.iter().cloned()).collect();
        found.sort_by(|a, b| (&a.path, a.kind, a.digest.hash).cmp(&(&b.path, b.kind, b.digest.hash)));
        found.dedup();
        found
    }

    /// Whether asking again gives the same.
    pub fn still(&self, local: &Local) -> bool {
        let found = match local.kind {
            TREE => self.tree(&local.path, FileTimes::Dropped),
            TIMED_TREE => self.tree(&local.path, FileTimes::Kept),
            FILE => self.file(&local.path),
            _ => return false,
        };
        found.is_ok_and(|digest| digest == local.digest)
    }

    /// Writes down what was learnt. Done when dropped, too. Failing to write is no error: it costs the next run
    /// time.
    pub fn save(&self) {
        self.store.save();
    }

    fn answer(
        &self,
        kind: u8,
        path: &Path,
        find: impl FnOnce(&[u8]) -> Result<Digest, SourceError>,
    ) -> Result<Digest, SourceError> {
        let mut key = vec![kind];
        key.extend_from_slice(path.as_os_str().as_bytes());
        let answer = {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.entry(key.clone()).or_default().clone()
        };
        if walk::is_walking() && answer.get().is_none() {
            let found = find(&key);
            let mut beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
            beside.extend(local(&key, &found));
            return found;
        }
        answer.get_or_init(|| find(&key)).clone()
    }

    fn find_tree(&self, key: &[u8], path: &Path, times: FileTimes) -> Result<Digest, SourceError> {
        let found = path.metadata().map_err(|error| unreadable(path, &error))?;
        if !found.is_dir() {
            return walk::single(path, &self.file(path)?, times);
        }
        let root = walk::Root::open(path)?;
        let old = self.store.get(key);
        if let Some(old) = &old
            && let Some(digest) = root.unchanged(old)
        {
            return Ok(digest);
        }
        let (digest, record) = root.hash(old.as_deref(), times)?;
        self.store.put(key, record);
        Ok(digest)
    }

    fn find_file(&self, key: &[u8], path: &Path) -> Result<Digest, SourceError> {
        let stat = rustix::fs::stat(path).map_err(|error| unreadable(path, &error.into()))?;
        if let Some(digest) = self.store.get(key).and_then(|old| record::file_digest(&old, &Stamp::of(&stat)))
        {
            return Ok(digest);
        }
        let taken = record::now();
        let (digest, stamp) = hash_file(&File::open(path).map_err(|error| unreadable(path, &error))?)
            .map_err(|error| unreadable(path, &error))?;
        self.store.put(key, record::file_record(&digest, &stamp, taken));
        Ok(digest)
    }
}

/// What was asked with this key, if it could be answered.
fn local(key: &[u8], answer: &Result<Digest, SourceError>) -> Option<Local> {
    let (kind, path) = key.split_first()?;
    Some(Local { kind: *kind, path: OsStr::from_bytes(path).into(), digest: *answer.as_ref().ok()? })
}

impl LocalDigests for LocalTrees {
    fn tree(&self, path: &Path, times: FileTimes) -> Result<Digest, SourceError> {
        let kind = if times == FileTimes::Kept { TIMED_TREE } else { TREE };
        self.answer(kind, path, |key| self.find_tree(key, path, times))
    }

    fn file(&self, path: &Path) -> Result<Digest, SourceError> {
        self.answer(FILE, path, |key| self.find_file(key, path))
    }

    fn names(&self, path: &Path) -> io::Result<Vec<Name>> {
        self.files.names(path)
    }

    fn place(&self, path: &Path) -> io::Result<(PathBuf, PlaceKind)> {
        self.files.place(path)
    }
}

impl Drop for LocalTrees {
    fn drop(&mut self) {
        self.save();
    }
}

/// Reads and hashes a file; the stamp is from after reading, when the file did not change meanwhile.
fn hash_file(file: &File) -> io::Result<(Digest, Stamp)> {
    use sha2::{Digest as _, Sha256};
    loop {
        let before = Stamp::of(&rustix::fs::fstat(file)?);
        let mut buffer = vec![0; usize::try_from(before.size.clamp(4096, 1 << 18)).unwrap_or(4096)];
        let (mut hasher, mut size) = (Sha256::new(), 0u64);
        loop {
            let read = match rustix::io::pread(file, &mut buffer, size) {
                Err(rustix::io::Errno::INTR) => continue,
                read => read?,
            };
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            size += read as u64;
        }
        let after = Stamp::of(&rustix::fs::fstat(file)?);
        if before == after && after.size == size {
            return Ok((Digest { hash: hasher.finalize().into(), size }, after));
        }
    }
}

/// Whether the user may execute a file; bst asks so where the file is the whole source.
pub(crate) fn is_executable(path: &Path) -> bool {
    rustix::fs::accessat(rustix::fs::CWD, path, Access::EXEC_OK, AtFlags::empty()).is_ok()
}

/// The error of a path that cannot be read.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> SourceError {
    let reason = if error.kind() == io::ErrorKind::NotFound { "missing-file" } else { "" };
    SourceError::new(format!("Cannot read {}: {error}", path.display())).reason(reason)
}

#[cfg(test)]
mod tests;
