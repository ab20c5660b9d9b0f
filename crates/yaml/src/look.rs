//! What was looked at on disk, so that one can tell later whether looking again would show the same.
//!
//! Whoever loads a project does it through [`Files`]: reading a file, listing a directory, following a path. Each look
//! is noted with what it showed and, where there is one, the [`Stamp`] from *before* the content was read: what changes
//! between the two is noticed by the stamp. [`Look::again`] compares: equal stamps are a hint that spares reading, as
//! in git, and not taken for files that changed so shortly before the look that a later change could have left the
//! same stamp.

use crate::file::Files;
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What `stat` says of a file, as far as it changes with the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The file system.
    pub device: u64,
    /// The number of the file in it.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// When the content changed: nanoseconds since the epoch.
    pub modified: i128,
    /// When anything about the file changed, its times included: nanoseconds since the epoch.
    pub changed: i128,
}

/// The SHA-256 of what was seen.
pub type Sum = [u8; 32];

/// A look at a path, and what it showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing that could be reached.
    Nothing,
    /// A file with this content.
    File {
        /// From before it was read.
        stamp: Stamp,
        /// Of its content.
        sum: Sum,
    },
    /// A directory with these names in it.
    Names {
        /// From before it was listed.
        stamp: Stamp,
        /// Of the names, in order, and which of them are directories.
        sum: Sum,
    },
    /// The path leads here.
    Place {
        /// The same path without symbolic links.
        to: PathBuf,
        /// What is there.
        kind: PlaceKind,
    },
}

/// What is at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Something else.
    Other,
}

/// What came of looking again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Again {
    /// The same, as the stamp says.
    Same,
    /// The same content under a new stamp, which is this.
    Restamped(Stamp),
    /// Something else.
    Different,
}

/// A change so shortly before a look may have a second one after it with the same stamp: clocks of file systems tick
/// every few milliseconds, those of some network file systems once a second.
const RACY: Duration = Duration::from_secs(1);

/// A name in a directory, and whether it is a directory itself.
pub type Name = (OsString, bool);

impl Stamp {
    /// What `stat` said.
    pub fn of(found: &Metadata) -> Stamp {
        let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Stamp {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: nanos(found.mtime(), found.mtime_nsec()),
            changed: nanos(found.ctime(), found.ctime_nsec()),
        }
    }

    /// Whether the file could change after a look at `taken` without changing its stamp.
    fn is_racy(&self, taken: SystemTime) -> bool {
        let limit = taken.checked_sub(RACY).unwrap_or(SystemTime::UNIX_EPOCH);
        let limit = limit.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        u128::try_from(self.changed.max(self.modified)).unwrap_or(0) >= limit
    }
}

impl Look {
    /// Looks at a path again that showed this at `taken`, which is when the load began.
    pub fn again(&self, path: &Path, taken: SystemTime) -> Again {
        match self {
            Look::Nothing => same_if(path.metadata().is_err()),
            Look::Place { to, kind } => same_if(place(path).is_ok_and(|found| found == (to.clone(), *kind))),
            Look::File { stamp, sum } => {
                let Ok(found) = path.metadata() else { return Again::Different };
                stamped(*stamp, Stamp::of(&found), taken, || Ok(sum_of(&std::fs::read(path)?) == *sum))
            }
            Look::Names { stamp, sum } => {
                let Ok(found) = path.metadata() else { return Again::Different };
                stamped(*stamp, Stamp::of(&found), taken, || Ok(sum_of_names(&names(path)?) == *sum))
            }
        }
    }
}

fn same_if(same: bool) -> Again {
    if same { Again::Same } else { Again::Different }
}

fn stamped(old: Stamp, new: Stamp, taken: SystemTime, content: impl FnOnce() -> io::Result<bool>) -> Again {
    if old == new && !old.is_racy(taken) {
        return Again::Same;
    }
    match content() {
        Ok(true) => Again::Restamped(new),
        _ => Again::Different,
    }
}

/// The SHA-256 of some bytes.
pub fn sum_of(bytes: &[u8]) -> Sum {
    Sha256::digest(bytes).into()
}

fn sum_of_names(names: &[Name]) -> Sum {
    let mut sum = Sha256::new();
    for (name, is_directory) in names {
        sum.update(name.as_bytes());
        sum.update([0, u8::from(*is_directory)]);
    }
    sum.finalize().into()
}

/// The names in a directory, sorted.
fn names(path: &Path) -> io::Result<Vec<Name>> {
    let mut names = listed(path)?;
    names.sort();
    Ok(names)
}

/// The names in a directory, as the system lists them.
fn listed(path: &Path) -> io::Result<Vec<Name>> {
    let mut names = Vec::new();
    for entry in path.read_dir()? {
        let entry = entry?;
        names.push((entry.file_name(), entry.file_type().is_ok_and(|kind| kind.is_dir())));
    }
    Ok(names)
}

fn place(path: &Path) -> io::Result<(PathBuf, PlaceKind)> {
    let to = path.canonicalize()?;
    let found = to.metadata()?;
    let kind = match found.file_type() {
        kind if kind.is_file() => PlaceKind::File,
        kind if kind.is_dir() => PlaceKind::Directory,
        _ => PlaceKind::Other,
    };
    Ok((to, kind))
}

impl Files {
    /// Reads a file that is not registered.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        match read(path) {
            Ok((bytes, stamp)) => {
                self.note(path, Look::File { stamp, sum: sum_of(&bytes) });
                Ok(bytes)
            }
            Err(error) => {
                self.note(path, Look::Nothing);
                Err(error)
            }
        }
    }

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn names(&self, path: &Path) -> io::Result<Vec<Name>> {
        let mut names = self.listed(path)?;
        names.sort();
        Ok(names)
    }

    /// The names in a directory in the order in which the system lists them, which is a matter of the file system.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn listed(&self, path: &Path) -> io::Result<Vec<Name>> {
        let found =
            path.metadata().map(|found| Stamp::of(&found)).and_then(|stamp| Ok((stamp, listed(path)?)));
        match found {
            Ok((stamp, names)) => {
                let mut sorted = names.clone();
                sorted.sort();
                self.note(path, Look::Names { stamp, sum: sum_of_names(&sorted) });
                Ok(names)
            }
            Err(error) => {
                self.note(path, Look::Nothing);
                Err(error)
            }
        }
    }

    /// Where a path leads when symbolic links are followed, and what is there.
    ///
    /// # Errors
    /// It leads nowhere.
    pub fn place(&self, path: &Path) -> io::Result<(PathBuf, PlaceKind)> {
        let found = place(path);
        self.note(
            path,
            match &found {
                Ok((to, kind)) => Look::Place { to: to.clone(), kind: *kind },
                Err(_) => Look::Nothing,
            },
        );
        found
    }
}

/// Reads a whole file; the stamp is from before.
///
/// Projects have thousands of small files, for which `read_to_end` would ask the system seven times each; this asks
/// four times. One byte more than the file has is asked for: where that is not given, the end was met.
pub(crate) fn read(path: &Path) -> io::Result<(Vec<u8>, Stamp)> {
    let mut file = File::open(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    let size = usize::try_from(stamp.size).unwrap_or(0).min(1 << 20);
    let mut bytes = vec![0; size + 1];
    let mut length = 0;
    while length < size {
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(length);
    // Whatever differs from what the system said: longer, shorter, or of a size that it does not know.
    if length == 0 || length != usize::try_from(stamp.size).unwrap_or(0) {
        file.read_to_end(&mut bytes)?;
    }
    Ok((bytes, stamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long after every file here was written.
    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(60)
    }

    /// What looking again at the only look says.
    fn again(files: &Files, taken: SystemTime) -> Again {
        let looks = files.looks().expect("looks");
        assert_eq!(looks.len(), 1, "{looks:?}");
        looks[0].1.again(&looks[0].0, taken)
    }

    #[test]
    fn files() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("a");
        std::fs::write(&path, "one").expect("a file");
        let files = Files::default();
        assert_eq!(files.bytes(&path).expect("bytes"), b"one");
        assert_eq!(again(&files, later()), Again::Same);
        let stamp = Stamp::of(&path.metadata().expect("metadata"));
        // Too close to tell: it was compared by content.
        assert_eq!(again(&files, SystemTime::now()), Again::Restamped(stamp));
        // Written in place with the same size and times, right after it was read.
        std::fs::write(&path, "two").expect("a file");
        assert_eq!(again(&files, SystemTime::now()), Again::Different);
        std::fs::write(&path, "one").expect("a file");
        assert!(matches!(again(&files, later()), Again::Restamped(_)));
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(again(&files, later()), Again::Different);
    }

    #[test]
    fn registered_files_and_missing_ones() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("a");
        let files = Files::default();
        files.read(&path, "a", None).expect_err("nothing there");
        assert_eq!(again(&files, later()), Again::Same);
        std::fs::write(&path, "a: b\n").expect("a file");
        assert_eq!(again(&files, later()), Again::Different);
        let files = Files::default();
        files.read(&path, "a", None).expect("a file");
        assert_eq!(again(&files, later()), Again::Same);
        std::fs::write(&path, "a: c\n").expect("a file");
        assert_eq!(again(&files, later()), Again::Different);
    }

    #[test]
    fn reads_whole_files() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("a");
        for length in [0, 1, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000] {
            let content: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            std::fs::write(&path, &content).expect("a file");
            let (bytes, stamp) = read(&path).expect("bytes");
            assert!(bytes == content && stamp.size == length as u64, "{length}");
        }
        // A file that is longer than the system says.
        assert!(!read(Path::new("/proc/self/status")).expect("bytes").0.is_empty());
        assert_eq!(read(place.path()).expect_err("a directory").kind(), io::ErrorKind::IsADirectory);
    }

    #[test]
    fn directories() {
        let place = tempfile::tempdir().expect("a directory");
        std::fs::write(place.path().join("b"), "").expect("a file");
        std::fs::create_dir(place.path().join("a")).expect("a directory");
        let files = Files::default();
        let names = files.names(place.path()).expect("names");
        assert_eq!(names, [("a".into(), true), ("b".into(), false)]);
        assert_eq!(again(&files, later()), Again::Same);
        std::fs::write(place.path().join("c"), "").expect("a file");
        assert_eq!(again(&files, later()), Again::Different);
        std::fs::remove_file(place.path().join("c")).expect("removed");
        assert!(matches!(again(&files, later()), Again::Restamped(_)));
    }

    #[test]
    fn places() {
        let directory = tempfile::tempdir().expect("a directory");
        let (target, path) = (directory.path().join("target"), directory.path().join("path"));
        std::fs::create_dir(&target).expect("a directory");
        std::os::unix::fs::symlink("target", &path).expect("a link");
        let files = Files::default();
        let found = files.place(&path).expect("a place");
        assert_eq!(found, (target.canonicalize().expect("a path"), PlaceKind::Directory));
        assert_eq!(again(&files, later()), Again::Same);
        std::fs::remove_file(&path).expect("removed");
        std::fs::create_dir(&path).expect("a directory");
        assert_eq!(again(&files, later()), Again::Different);
    }
}
