//! A process at work on a cache: its temporary files, and the sign that it lives.
//!
//! # Who relies on what
//!
//! Expiry removes nothing that a living session relies on. A session relies on the names that it has looked up, and
//! all that they refer to: looking a name up sets its time. It relies on the blobs that it has stored, or would have
//! stored if they had not been there: that sets theirs ([`Objects`](crate::object::Objects)). And it relies on the
//! trees that it has asked for as a whole, which it writes down ([`Session::pin`]), because setting the times of a
//! hundred thousand objects would take longer than most builds. `bst` knows nothing of this; while its
//! `buildbox-casd` serves a cache, everything that was used since it was started counts as in use.
//!
//! # Signs of life
//!
//! Every open [`Store`](crate::Store) has a directory `bourn/tmp/PID-NUMBER` that it keeps locked. The kernel drops
//! the lock when the process ends, however it ends, so whoever finds such a directory unlocked may remove it: what
//! a killed process left behind never stays. Its age says since when somebody relies on what the cache holds.

use crate::remove::remove_tree;
use crate::trouble::{Doing, io_error};
use bourn_reapi::Digest;
use bourn_reapi::services::ServiceResult;
use rustix::fs::{FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Makes session names differ within this process.
static OPENED: AtomicU64 = AtomicU64::new(0);

/// The sign of life of one open store.
pub(crate) struct Session {
    path: PathBuf,
    _lock: OwnedFd,
    began: Timestamp,
    counter: AtomicU64,
    pins: Mutex<HashSet<Digest>>,
}

/// A moment on the clock that stamps files: seconds and nanoseconds since the epoch.
pub(crate) type Timestamp = (i64, i64);

/// The last modification of a file as a [`Timestamp`].
pub(crate) fn modified(stat: &Stat) -> Timestamp {
    (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0))
}

/// The file in a session's directory whose age is that of the session.
const BEGAN: &str = "began";

/// The file in a session's directory with the trees that it relies on: 40 bytes each.
const PINS: &str = "pins";

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
        let began = File::create(path.join(BEGAN)).doing("cannot create a file in", &path)?;
        let began = modified(&rustix::fs::fstat(&began).doing("cannot look into", &path)?);
        Ok(Session { path, _lock: lock, began, counter: AtomicU64::new(0), pins: Mutex::default() })
    }

    /// The directory for temporary files of this session.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// When the session began, on the clock of the file system.
    pub(crate) fn began(&self) -> Timestamp {
        self.began
    }

    /// A path in that directory that was not given out before.
    pub(crate) fn temporary(&self, what: &str) -> PathBuf {
        self.path.join(format!("{what}-{}", self.counter.fetch_add(1, Ordering::Relaxed)))
    }

    /// Says that this session relies on a tree.
    pub(crate) fn pin(&self, tree: &Digest) -> ServiceResult<()> {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        if !pins.insert(*tree) {
            return Ok(());
        }
        let path = self.path.join(PINS);
        let file = File::options().append(true).create(true).open(&path);
        let written = file
            .and_then(|mut file| file.write_all(&[tree.hash.as_slice(), &tree.size.to_le_bytes()].concat()));
        written.doing("cannot write", &path)
    }
}

/// What the sessions of the moment rely on.
pub(crate) struct Reliance {
    /// When the oldest of them began: what was used since then is in use.
    pub(crate) since: Timestamp,
    /// Trees that they rely on.
    pub(crate) pins: Vec<Digest>,
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = remove_tree(&self.path);
    }
}

/// Removes what ended sessions left behind, and says what the living ones rely on. `own` is one of them.
pub(crate) fn sweep(cachedir: &Path, own: &Session) -> ServiceResult<Reliance> {
    let gate = gate(cachedir, FlockOperation::LockExclusive)?;
    let root = sessions(cachedir);
    let mut abandoned = Vec::new();
    let mut reliance = Reliance { since: own.began, pins: Vec::new() };
    for entry in std::fs::read_dir(&root).doing("cannot list", &root)? {
        let path = entry.doing("cannot list", &root)?.path();
        // Gone when the session ended just now.
        let Ok(lock) = open_directory(&path) else { continue };
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => abandoned.push((path, lock)),
            Err(Errno::WOULDBLOCK) => reliance.add(&path)?,
            Err(error) => return Err(io_error(error, "cannot lock", &path)),
        }
    }
    drop(gate);
    for (path, _lock) in abandoned {
        remove_tree(&path)?;
    }
    if let Some(began) = other_engines(cachedir)? {
        reliance.since = reliance.since.min(began);
    }
    Ok(reliance)
}

impl Reliance {
    fn add(&mut self, session: &Path) -> ServiceResult<()> {
        let began = rustix::fs::stat(session.join(BEGAN)).map_or((0, 0), |stat| modified(&stat));
        self.since = self.since.min(began);
        let path = session.join(PINS);
        let pins = match std::fs::read(&path) {
            Ok(pins) => pins,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).doing("cannot read", &path),
        };
        self.pins.extend(pins.chunks_exact(40).filter_map(|pin| {
            let (hash, size) = pin.split_first_chunk::<32>()?;
            Some(Digest { hash: *hash, size: u64::from_le_bytes(size.try_into().ok()?) })
        }));
        Ok(())
    }
}

/// When the oldest `buildbox-casd` began that serves this cache to a running `bst`: each has a socket in it.
pub(crate) fn other_engines(cachedir: &Path) -> ServiceResult<Option<Timestamp>> {
    let mut oldest = None;
    for entry in std::fs::read_dir(cachedir).doing("cannot list", cachedir)? {
        let path = entry.doing("cannot list", cachedir)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_socket = name.starts_with("casserver-") && name.ends_with(".sock");
        // One that was killed leaves its socket, but does not answer.
        if is_socket
            && UnixStream::connect(&path).is_ok()
            && let Ok(stat) = rustix::fs::stat(&path)
        {
            oldest = Some(oldest.map_or(modified(&stat), |oldest: Timestamp| oldest.min(modified(&stat))));
        }
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
