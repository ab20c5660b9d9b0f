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
use record::Stamp;
use rustix::fs::{Access, AtFlags};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use store::Store;

/// Digests of local trees and files.
pub struct LocalTrees {
    store: Store,
    /// Answers of this run: what is asked twice is looked at once.
    answers: Mutex<HashMap<Vec<u8>, Answer>>,
}

type Answer = Arc<OnceLock<Result<Digest, SourceError>>>;

impl LocalTrees {
    /// Digests remembered in `directory` (`CACHEDIR/bourn`), which need not be there; `None`: in this run only.
    pub fn new(directory: Option<&Path>) -> LocalTrees {
        LocalTrees { store: Store::open(directory), answers: Mutex::default() }
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

impl LocalDigests for LocalTrees {
    fn tree(&self, path: &Path, times: FileTimes) -> Result<Digest, SourceError> {
        let kind = if times == FileTimes::Kept { b'W' } else { b'T' };
        self.answer(kind, path, |key| self.find_tree(key, path, times))
    }

    fn file(&self, path: &Path) -> Result<Digest, SourceError> {
        self.answer(b'F', path, |key| self.find_file(key, path))
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
