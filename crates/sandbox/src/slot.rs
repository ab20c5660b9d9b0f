//! Directories that are used again and again: the root of one sandbox after the other.
//!
//! Making a directory is dear on some file systems (ext4 takes more than a millisecond where much was removed lately),
//! and the top of every root looks much the same: a directory to mount upon for each part that comes from a layer, the
//! directories that the command writes to, and the way to them. So that skeleton stays on disk, between executions and
//! between processes, and only what differs is changed. What a command leaves is removed, and whatever it could have
//! done to the skeleton itself is noticed, and the skeleton thrown away.
//!
//! ```text
//! PARENT/slot-N/       locked by the process that uses it; admits nobody but its owner
//!     idle/ or root/   the skeleton: `idle` while nobody uses it, `root` while it may be in disorder
//!     lower/           where layers are put together
//!     spare/           empty directories for later use
//! ```

use crate::kept::Keep;
use crate::scratch::{empty, make_directory, names, open_directory, open_whatever_mode, remove_any, trouble};
use bourn_reapi::services::{STAGED_TIME, ServiceResult};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Timespec, Timestamps, fchmod, flistxattr, flock,
    fstat, mkdirat, openat, readlinkat, renameat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A skeleton of an earlier process with more entries than this is not worth looking at.
const WORTH_KEEPING: usize = 256;

/// One entry of a skeleton.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A directory to mount upon, empty.
    Point,
    /// A file to mount upon, empty.
    File,
    /// A symbolic link with this target.
    Link(String),
    /// A directory on the way to others: nothing can be added to it.
    Way,
    /// A directory that the command writes to.
    Open,
}

impl Entry {
    fn is_directory(&self) -> bool {
        matches!(self, Entry::Point | Entry::Way | Entry::Open)
    }
}

/// The entries of a skeleton by relative path; a directory sorts before what is in it.
pub(crate) type Skeleton = BTreeMap<String, Entry>;

/// A directory that is in use by this process.
pub(crate) struct Slot {
    path: PathBuf,
    /// Keeps it locked.
    directory: OwnedFd,
    root: OwnedFd,
    skeleton: Skeleton,
    spares: Vec<String>,
    next_spare: u64,
    /// When the directories of the way were last changed by us.
    stamps: Vec<(String, (i64, i64))>,
    clean: bool,
    /// What is kept when the slot is tidied.
    keep: Vec<Keep>,
}

impl Slot {
    /// Takes a slot that nobody uses, or makes one.
    pub(crate) fn take(parent: &Path) -> ServiceResult<Slot> {
        for number in 0_u32.. {
            let path = parent.join(format!("slot-{number}"));
            if let Some(slot) = Slot::try_take(&path).map_err(|error| trouble(error, "cannot use", &path))? {
                return Ok(slot);
            }
        }
        Err(trouble(Errno::NOSPC, "cannot find a free slot in", parent))
    }

    fn try_take(path: &Path) -> Result<Option<Slot>, Errno> {
        match mkdirat(CWD, path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let directory = match open_directory(CWD, path) {
            Ok(directory) => directory,
            Err(Errno::NOENT) if path.parent().is_some_and(Path::exists) => return Ok(None), // removed just now
            Err(error) => return Err(error),
        };
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error),
        }
        if fstat(&directory)?.st_nlink == 0 {
            return Ok(None); // removed by another process before we had the lock
        }
        let mut slot = Slot::open(path, directory)?;
        if !slot.clean {
            slot.start_afresh()?;
        }
        Ok(Some(slot))
    }

    /// Looks at what an earlier process left.
    fn open(path: &Path, directory: OwnedFd) -> Result<Slot, Errno> {
        for name in [c"lower", c"spare"] {
            match make_directory(&directory, name, 0o755) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
        }
        let spare = open_directory(&directory, c"spare")?;
        let spares =
            names(&spare)?.into_iter().filter_map(|(name, _)| name.into_string().ok()).collect::<Vec<_>>();
        let mut skeleton = Skeleton::new();
        let idle = open_directory(&directory, c"idle");
        let clean = match &idle {
            Ok(idle) => read_skeleton(idle.as_fd(), "", &mut skeleton)?,
            Err(_) => false,
        };
        let root = match idle {
            Ok(idle) => idle,
            Err(_) => openat(&directory, c".", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?,
        };
        let next_spare =
            spares.iter().filter_map(|name| name.parse().ok()).max().map_or(0, |last: u64| last + 1);
        Ok(Slot {
            path: path.to_owned(),
            directory,
            root,
            skeleton,
            spares,
            next_spare,
            stamps: Vec::new(),
            clean,
            keep: Vec::new(),
        })
    }

    /// Removes whatever is there and begins with an empty root.
    fn start_afresh(&mut self) -> Result<(), Errno> {
        for name in [c"idle", c"root", c"kept", c"kept.old"] {
            remove_any(self.directory.as_fd(), name)?;
        }
        make_directory(&self.directory, c"idle", 0o755)?;
        self.root = open_directory(&self.directory, c"idle")?;
        self.skeleton.clear();
        Ok(())
    }

    /// Where the root is while the slot is in use.
    pub(crate) fn root(&self) -> PathBuf {
        self.path.join("root")
    }

    /// A name for what is on its way in or out.
    pub(crate) fn beside(&self) -> PathBuf {
        self.path.join("kept")
    }

    /// Has directories kept when the slot is tidied.
    pub(crate) fn keep(&mut self, keep: Vec<Keep>) {
        self.keep = keep;
    }

    /// Where layers can be put together.
    pub(crate) fn lower(&self) -> PathBuf {
        self.path.join("lower")
    }

    /// How many entries are as they are wanted.
    pub(crate) fn likeness(&self, wanted: &Skeleton) -> usize {
        wanted.iter().filter(|(path, entry)| self.skeleton.get(*path) == Some(entry)).count()
    }

    /// Makes the skeleton what is wanted. The directories to write to are empty afterwards and can be filled.
    pub(crate) fn arrange(&mut self, wanted: &Skeleton) -> ServiceResult<()> {
        let path = self.path.clone();
        let done =
            self.try_arrange(wanted).map_err(|error| trouble(error, "cannot prepare a root in", &path));
        self.clean = false;
        done
    }

    fn try_arrange(&mut self, wanted: &Skeleton) -> Result<(), Errno> {
        renameat(&self.directory, c"idle", &self.directory, c"root")?;
        let superfluous: Vec<String> = self
            .skeleton
            .iter()
            .filter(|(path, entry)| !is_kept(wanted.get(*path), entry))
            .map(|(path, _)| path.clone())
            .collect();
        let missing: Vec<(&String, &Entry)> = wanted
            .iter()
            .filter(|(path, entry)| !self.skeleton.get(*path).is_some_and(|had| is_kept(Some(entry), had)))
            .collect();
        let changes = !superfluous.is_empty() || !missing.is_empty();
        if changes {
            self.permit_changes()?;
        }
        for path in superfluous.iter().rev() {
            self.discard(path)?;
        }
        for (path, entry) in missing {
            self.add(path, entry)?;
        }
        self.skeleton = wanted.clone();
        self.stamps.clear();
        Ok(())
    }

    /// Lets entries be added to the directories of the way.
    fn permit_changes(&self) -> Result<(), Errno> {
        fchmod(&self.root, Mode::from_raw_mode(0o755))?;
        for (path, entry) in &self.skeleton {
            if *entry == Entry::Way {
                rustix::fs::chmodat(&self.root, path.as_str(), Mode::from_raw_mode(0o755), AtFlags::empty())?;
            }
        }
        Ok(())
    }

    fn discard(&mut self, path: &str) -> Result<(), Errno> {
        if !self.skeleton.get(path).is_some_and(Entry::is_directory) {
            return unlinkat(&self.root, path, AtFlags::empty());
        }
        let name = self.next_spare.to_string();
        let spare = open_directory(&self.directory, c"spare")?;
        renameat(&self.root, path, spare, name.as_str())?;
        self.next_spare += 1;
        self.spares.push(name);
        Ok(())
    }

    fn add(&mut self, path: &str, entry: &Entry) -> Result<(), Errno> {
        match entry {
            Entry::Link(target) => {
                symlinkat(target.as_str(), &self.root, path)?;
                utimensat(&self.root, path, &staged_times(), AtFlags::SYMLINK_NOFOLLOW)
            }
            Entry::File => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                openat(&self.root, path, flags, Mode::from_raw_mode(0o644)).map(drop)
            }
            Entry::Point | Entry::Way | Entry::Open => self.add_directory(path),
        }
    }

    fn add_directory(&mut self, path: &str) -> Result<(), Errno> {
        let Some(name) = self.spares.pop() else {
            return make_directory(&self.root, path, 0o755);
        };
        let spare = open_directory(&self.directory, c"spare")?;
        renameat(&spare, name.as_str(), &self.root, path)?;
        rustix::fs::chmodat(&self.root, path, Mode::from_raw_mode(0o755), AtFlags::empty())
    }

    /// Closes the way when everything is in its place, and gives the directories their times.
    pub(crate) fn seal(&mut self) -> ServiceResult<()> {
        let path = self.path.clone();
        self.try_seal().map_err(|error| trouble(error, "cannot prepare a root in", &path))
    }

    fn try_seal(&mut self) -> Result<(), Errno> {
        let times = staged_times();
        for (path, entry) in self.skeleton.iter().rev() {
            if matches!(entry, Entry::Way | Entry::Open) {
                utimensat(&self.root, path.as_str(), &times, AtFlags::empty())?;
            }
        }
        rustix::fs::futimens(&self.root, &times)?;
        for path in self.way() {
            let directory = open_directory(&self.root, path.as_str())?;
            fchmod(&directory, Mode::from_raw_mode(0o555))?;
            let stat = fstat(&directory)?;
            self.stamps.push((path, (stat.st_ctime as i64, stat.st_ctime_nsec as i64)));
        }
        Ok(())
    }

    /// The directories in which nothing may change, the root among them.
    fn way(&self) -> Vec<String> {
        let inner =
            self.skeleton.iter().filter(|(_, entry)| **entry == Entry::Way).map(|(path, _)| path.clone());
        std::iter::once(".".to_owned()).chain(inner).collect()
    }

    /// Removes what a command left. Whether the slot can be used again; if not, it is best removed.
    pub(crate) fn tidy(&mut self) -> bool {
        self.clean = self.try_tidy().unwrap_or(false);
        self.keep.clear();
        self.clean
    }

    fn try_tidy(&mut self) -> Result<bool, Errno> {
        if !self.is_untouched()? {
            return Ok(false);
        }
        let open: Vec<&String> =
            self.skeleton.iter().filter(|(_, entry)| **entry == Entry::Open).map(|(path, _)| path).collect();
        let beside = self.beside();
        for path in open {
            let name = std::ffi::CString::new(path.as_str()).map_err(|_| Errno::INVAL)?;
            let directory = open_whatever_mode(&self.root, &name)?;
            if let Some(keep) = self.keep.iter().find(|keep| keep.path == *path)
                && is_plain(&directory)?
            {
                keep.keep(&self.root, &beside)?;
                continue;
            }
            empty(directory.as_fd())?;
            if !is_plain(&directory)? {
                return Ok(false);
            }
            fchmod(&directory, Mode::from_raw_mode(0o755))?;
        }
        // Whoever removes the cache by other means than ours has to get into it.
        self.permit_changes()?;
        renameat(&self.directory, c"root", &self.directory, c"idle")?;
        Ok(true)
    }

    /// Whether the directories of the way are as they were sealed. A command belongs to the user who owns them, so it
    /// can have opened them again; but it cannot set back the time of that change.
    fn is_untouched(&self) -> Result<bool, Errno> {
        for (path, stamp) in &self.stamps {
            let directory = open_directory(&self.root, path.as_str())?;
            let stat = fstat(&directory)?;
            let same = (stat.st_ctime as i64, stat.st_ctime_nsec as i64) == *stamp;
            if !same || stat.st_mode & 0o7777 != 0o555 || !self.has_its_entries(&directory, path)? {
                return Ok(false);
            }
        }
        Ok(!self.stamps.is_empty())
    }

    fn has_its_entries(&self, directory: &OwnedFd, path: &str) -> Result<bool, Errno> {
        let prefix = if path == "." { String::new() } else { format!("{path}/") };
        let is_child = |entry: &str| {
            entry.strip_prefix(&prefix).is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
        };
        let expected = self.skeleton.keys().filter(|entry| is_child(entry)).count();
        let found = names(directory)?;
        let known = found.iter().all(|(name, _)| {
            name.to_str().is_ok_and(|name| self.skeleton.contains_key(&format!("{prefix}{name}")))
        });
        Ok(known && found.len() == expected)
    }

    /// Removes the slot from the disk. What cannot be removed now is removed by who takes it next.
    pub(crate) fn remove(self) {
        let removed = crate::scratch::remove(&self.path);
        drop(removed);
    }
}

fn staged_times() -> Timestamps {
    let time = Timespec { tv_sec: STAGED_TIME, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

/// Whether an entry that is there can serve as the one that is wanted.
fn is_kept(wanted: Option<&Entry>, had: &Entry) -> bool {
    wanted.is_some_and(|wanted| wanted == had || (wanted.is_directory() && had.is_directory()))
}

/// Whether a directory has no attributes, lists of access or flags that another has not.
pub(crate) fn is_plain(directory: &OwnedFd) -> Result<bool, Errno> {
    let mut list = [0_u8; 256];
    match flistxattr(directory, &mut list) {
        Ok(0) | Err(Errno::OPNOTSUPP) => {}
        Ok(_) | Err(Errno::RANGE) => return Ok(false),
        Err(error) => return Err(error),
    }
    // Index and extent flags are the file system's own.
    let own = rustix::fs::IFlags::from_bits_retain(0x1000 | 0x80000 | 0x1000_0000);
    match rustix::fs::ioctl_getflags(directory) {
        Ok(flags) => Ok((flags - own).is_empty()),
        Err(Errno::NOTTY | Errno::OPNOTSUPP) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Notes what is in a skeleton. Whether it is one: not too large, nothing but empty directories, empty files, links.
fn read_skeleton(directory: impl AsFd, prefix: &str, skeleton: &mut Skeleton) -> Result<bool, Errno> {
    for (name, kind) in names(directory.as_fd())? {
        let Ok(text) = name.to_str() else { return Ok(false) };
        let path = format!("{prefix}{text}");
        if skeleton.len() >= WORTH_KEEPING {
            return Ok(false);
        }
        match kind {
            FileType::Directory => {
                skeleton.insert(path.clone(), Entry::Point);
                let inner = open_directory(directory.as_fd(), name.as_c_str())?;
                if !is_plain(&inner)? || !read_skeleton(inner, &format!("{path}/"), skeleton)? {
                    return Ok(false);
                }
                if skeleton
                    .range(format!("{path}/")..)
                    .next()
                    .is_some_and(|(next, _)| next.starts_with(&format!("{path}/")))
                {
                    skeleton.insert(path, Entry::Way);
                }
            }
            FileType::Symlink => {
                let target = readlinkat(directory.as_fd(), &name, Vec::new())?;
                let Ok(target) = target.into_string() else { return Ok(false) };
                skeleton.insert(path, Entry::Link(target));
            }
            FileType::RegularFile => {
                let stat = rustix::fs::statat(directory.as_fd(), &name, AtFlags::SYMLINK_NOFOLLOW)?;
                if stat.st_size != 0 || stat.st_nlink != 1 {
                    return Ok(false);
                }
                skeleton.insert(path, Entry::File);
            }
            _ => return Ok(false),
        }
    }
    Ok(true)
}
