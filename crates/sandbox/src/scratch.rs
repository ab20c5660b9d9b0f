//! The private directory of one execution below the cache, and how such directories disappear again.
//!
//! Each is held by a lock for as long as its process lives. Whoever starts removes those that nobody holds, so that
//! what a killed process left behind is gone after the next start. The directory admits nobody but its owner: a
//! set-user-id file that a build makes cannot be reached by other users of the machine while the build runs.

use bourn_reapi::ServiceError;
use bourn_reapi::services::ServiceResult;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, chmodat, flock, mkdirat, openat, unlinkat,
};
use rustix::io::Errno;
use rustix::path::Arg;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What the names of our directories begin with; `bst` keeps its own in the same place.
const PREFIX: &str = "bourn-";

/// Wraps an error of a system call.
pub(crate) fn trouble(error: Errno, doing: &str, path: &Path) -> ServiceError {
    ServiceError::io(&error.into(), doing, path)
}

/// A path out of its bytes.
pub(crate) fn shown(path: Vec<u8>) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(path))
}

/// Opens a directory, never through a symbolic link.
pub(crate) fn open_directory(parent: impl AsFd, name: impl Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// The private directory of one execution.
pub(crate) struct Scratch {
    /// Its path.
    pub(crate) path: PathBuf,
    /// Keeps it locked.
    lock: OwnedFd,
}

impl Scratch {
    /// Makes a new one in `parent`.
    pub(crate) fn new(parent: &Path) -> ServiceResult<Scratch> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let hall = lock_hall(parent, FlockOperation::LockShared)?;
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{PREFIX}{}-{number}", std::process::id());
            let path = parent.join(&name);
            match mkdirat(&hall, name.as_str(), Mode::RWXU) {
                Ok(()) => {}
                Err(Errno::EXIST) => continue, // left by an earlier process with our number
                Err(error) => return Err(trouble(error, "cannot create", &path)),
            }
            let lock =
                open_directory(&hall, name.as_str()).map_err(|error| trouble(error, "cannot open", &path))?;
            flock(&lock, FlockOperation::NonBlockingLockExclusive)
                .map_err(|error| trouble(error, "cannot lock", &path))?;
            return Ok(Scratch { path, lock });
        }
    }

    /// Makes a directory in it and gives its path.
    pub(crate) fn make(&self, name: &str, mode: u32) -> ServiceResult<PathBuf> {
        let path = self.path.join(name);
        make_directory(&self.lock, name, mode).map_err(|error| trouble(error, "cannot create", &path))?;
        Ok(path)
    }
}

/// Makes a directory that has this mode whatever the mask of this process takes away: what a command sees must not
/// depend on it.
pub(crate) fn make_directory(at: impl AsFd, path: impl Arg + Copy, mode: u32) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(mode);
    mkdirat(&at, path, mode)?;
    chmodat(&at, path, mode, AtFlags::empty())
}

/// Opens `parent` and locks it: shared to add a directory, exclusively to look for abandoned ones, so that none is
/// taken for abandoned between its creation and its own lock.
fn lock_hall(parent: &Path, how: FlockOperation) -> ServiceResult<OwnedFd> {
    let hall = openat(CWD, parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| trouble(error, "cannot open", parent))?;
    flock(&hall, how).map_err(|error| trouble(error, "cannot lock", parent))?;
    Ok(hall)
}

/// Removes the directories in `parent` whose owners are gone.
pub(crate) fn remove_abandoned(parent: &Path) -> ServiceResult<()> {
    let hall = lock_hall(parent, FlockOperation::LockExclusive)?;
    let mut abandoned = Vec::new();
    for name in names(&hall).map_err(|error| trouble(error, "cannot read", parent))? {
        if !name.0.to_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        if let Ok(directory) = open_directory(&hall, name.0.as_c_str())
            && flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            abandoned.push((name.0, directory));
        }
    }
    drop(hall);
    for (name, _lock) in abandoned {
        let path = parent.join(name.to_string_lossy().as_ref());
        remove(&path)?;
    }
    Ok(())
}

/// The entries of a directory and their kinds.
pub(crate) fn names(directory: impl AsFd) -> Result<Vec<(CString, FileType)>, Errno> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            entries.push((name.to_owned(), entry.file_type()));
        }
    }
    Ok(entries)
}

/// Removes a directory of ours with all that is in it, however deep, whatever its permissions.
pub(crate) fn remove(path: &Path) -> ServiceResult<()> {
    let failed = |error| trouble(error, "cannot remove", path);
    let top = open_directory(CWD, path).map_err(failed)?;
    empty(top.as_fd()).map_err(failed)?;
    unlinkat(CWD, path, AtFlags::REMOVEDIR).map_err(failed)
}

/// Removes what has that name, if anything has.
pub(crate) fn remove_any(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {
            empty(open_whatever_mode(parent, name)?.as_fd())?;
            unlinkat(parent, name, AtFlags::REMOVEDIR)
        }
        Err(error) => Err(error),
    }
}

/// Removes all that is in a directory of ours, however deep, whatever the permissions.
pub(crate) fn empty(top: BorrowedFd<'_>) -> Result<(), Errno> {
    // Directories that are too deep to be opened one within the other are moved up here and emptied in a later round.
    let mut moved = 0;
    loop {
        let before = moved;
        empty_below(top, top, 0, &mut moved)?;
        if moved == before {
            return Ok(());
        }
    }
}

/// How deep directories are opened one within the other.
const DEPTH: u32 = 64;

fn empty_below(
    directory: BorrowedFd<'_>,
    top: BorrowedFd<'_>,
    depth: u32,
    moved: &mut u64,
) -> Result<(), Errno> {
    for (name, kind) in names(directory)? {
        let name = name.as_c_str();
        if kind != FileType::Directory && kind != FileType::Unknown {
            unlinkat(directory, name, AtFlags::empty())?;
        } else if depth < DEPTH || kind == FileType::Unknown {
            match open_whatever_mode(directory, name) {
                Ok(inner) => {
                    empty_below(inner.as_fd(), top, depth + 1, moved)?;
                    unlinkat(directory, name, AtFlags::REMOVEDIR)?;
                }
                Err(Errno::NOTDIR | Errno::LOOP) => unlinkat(directory, name, AtFlags::empty())?,
                Err(error) => return Err(error),
            }
        } else {
            *moved += 1;
            rustix::fs::renameat(directory, name, top, format!(".deep-{moved}"))?;
        }
    }
    Ok(())
}

/// Opens a directory of ours that its maker may have closed to everybody.
pub(crate) fn open_whatever_mode(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    // Emptying takes all three bits, and looking whether they are there costs as much as setting them.
    match open_directory(parent.as_fd(), name) {
        Ok(directory) => {
            let mode = rustix::fs::fstat(&directory)?.st_mode;
            if mode & 0o700 != 0o700 {
                rustix::fs::fchmod(&directory, Mode::RWXU)?;
            }
            Ok(directory)
        }
        Err(Errno::ACCESS) => {
            chmodat(parent.as_fd(), name, Mode::RWXU, AtFlags::empty())?;
            open_directory(parent, name)
        }
        Err(error) => Err(error),
    }
}
