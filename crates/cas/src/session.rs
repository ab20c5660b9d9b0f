//! A process at work on a cache: its temporary files, and the sign that it lives.
//!
//! Every open [`Store`](crate::Store) has a directory `bourn/tmp/PID-NUMBER` that it keeps locked. The kernel drops
//! the lock when the process ends, however it ends, so whoever finds such a directory unlocked may remove it: what
//! a killed process left behind never stays. Its age says since when somebody relies on what the cache holds.

use crate::remove::remove_tree;
use crate::trouble::{Doing, io_error};
use bourn_reapi::services::ServiceResult;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Makes session names differ within this process.
static OPENED: AtomicU64 = AtomicU64::new(0);

/// The sign of life of one open store.
pub(crate) struct Session {
    path: PathBuf,
    _lock: OwnedFd,
    counter: AtomicU64,
}

impl Session {
    /// Begins a session.
    pub(crate) fn begin(cachedir: &Path) -> ServiceResult<Session> {
        // Nobody looks for abandoned sessions while one is between being created and being locked.
        let _gate = gate(cachedir, FlockOperation::LockShared)?;
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        let path = sessions(cachedir).join(format!("{}-{number}", std::process::id()));
        remove_tree(&path)?;
        std::fs::create_dir(&path).doing("cannot create", &path)?;
        let lock = open_directory(&path).doing("cannot open", &path)?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).doing("cannot lock", &path)?;
        File::create(path.join("began")).doing("cannot create a file in", &path)?;
        Ok(Session { path, _lock: lock, counter: AtomicU64::new(0) })
    }

    /// The directory for temporary files of this session.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A path in that directory that was not given out before.
    pub(crate) fn temporary(&self, what: &str) -> PathBuf {
        self.path.join(format!("{what}-{}", self.counter.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = remove_tree(&self.path);
    }
}

/// Removes what ended sessions left behind. The beginning of the oldest session that still lives, if one does.
pub(crate) fn sweep(cachedir: &Path) -> ServiceResult<Option<SystemTime>> {
    let gate = gate(cachedir, FlockOperation::LockExclusive)?;
    let root = sessions(cachedir);
    let mut abandoned = Vec::new();
    let mut oldest: Option<SystemTime> = None;
    for entry in std::fs::read_dir(&root).doing("cannot list", &root)? {
        let path = entry.doing("cannot list", &root)?.path();
        // Gone when the session ended just now.
        let Ok(lock) = open_directory(&path) else { continue };
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => abandoned.push((path, lock)),
            Err(Errno::WOULDBLOCK) => {
                let began = path.join("began").metadata().and_then(|status| status.modified());
                let began = began.unwrap_or(SystemTime::UNIX_EPOCH);
                oldest = Some(oldest.map_or(began, |oldest| oldest.min(began)));
            }
            Err(error) => return Err(io_error(error, "cannot lock", &path)),
        }
    }
    drop(gate);
    for (path, _lock) in abandoned {
        remove_tree(&path)?;
    }
    Ok(oldest)
}

fn sessions(cachedir: &Path) -> PathBuf {
    cachedir.join("bourn/tmp")
}

/// Opens and locks the file that orders beginnings of sessions and searches for abandoned ones.
fn gate(cachedir: &Path, how: FlockOperation) -> ServiceResult<OwnedFd> {
    lock(&cachedir.join("bourn/sessions.lock"), how)
}

/// Creates a file if need be and waits for its lock, which lasts as long as the result.
pub(crate) fn lock(path: &Path, how: FlockOperation) -> ServiceResult<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::from_bits_truncate(0o666)).doing("cannot open", path)?;
    loop {
        match rustix::fs::flock(&file, how) {
            Err(Errno::INTR) => {}
            result => return result.doing("cannot lock", path).map(|()| file),
        }
    }
}

/// Opens a directory itself.
pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}
