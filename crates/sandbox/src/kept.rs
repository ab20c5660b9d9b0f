//! Build directories of workspaces, kept on the disk from one build to the next.
//!
//! A build in a workspace goes on from what the last one left, of which mostly little has changed. So the files are
//! not removed after the command and written again before the next one, but kept beside the digest of their tree, and
//! only what differs from the tree wanted next is replaced.
//!
//! What is used again is what would have been laid out anew. The digest is that of the capture after the command, when
//! nothing ran any more; a file that was changed since has a stamp of change that is not before it, and is replaced.
//! So is one with another size, with a second name or with attributes; permissions and times are set. After the
//! machine was started again nothing is used: files may not have reached the disk.

use crate::capture::Moment;
use crate::scratch::{
    make_directory, names, open_directory, open_whatever_mode, remove, remove_any, trouble,
};
use crate::slot::is_plain;
use bourn_cas::Store;
use bourn_reapi::directory::{NodeProperties, Timestamp};
use bourn_reapi::services::{ExportOptions, STAGED_TIME, ServiceResult};
use bourn_reapi::{Cas, Digest, Directory, DirectoryNode, FileNode};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Stat, Timespec, Timestamps, chmodat, fchmod, readlinkat, statat, utimensat,
};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// So many build directories are kept, those of the latest builds.
const COUNT: usize = 8;

/// Directories deeper than this are laid out anew: each level holds a descriptor.
const DEPTH: u32 = 64;

/// A directory that is to be kept after its command.
pub(crate) struct Keep {
    /// Where it is in the sandbox, without a slash in front.
    pub(crate) path: String,
    /// What it holds.
    tree: Digest,
    /// Bytes of all that.
    bytes: u64,
    /// Before the capture found that.
    since: Moment,
    /// Where kept directories are.
    place: PathBuf,
}

impl Keep {
    /// What has been captured at `path`, where nothing has changed from `since` on.
    ///
    /// # Errors
    /// The tree cannot be read.
    pub(crate) fn new(store: &Store, path: String, tree: Digest, since: Moment) -> ServiceResult<Keep> {
        let bytes = size(store, &tree)?;
        Ok(Keep { path, tree, bytes, since, place: store.kept()? })
    }

    /// Keeps the directory of that path below `root`; `beside` is a name for use on the way, in a directory of ours.
    /// There is an empty directory in its place afterwards.
    pub(crate) fn keep(&self, root: &OwnedFd, beside: &Path) -> Result<(), Errno> {
        let record = Record { tree: self.tree, since: self.since, boot: boot().ok_or(Errno::NOSYS)? };
        rustix::fs::mkdir(beside, Mode::RWXU)?;
        let parent = self.path.rsplit_once('/').map_or(".", |(parent, _)| parent);
        chmodat(root, parent, Mode::from_raw_mode(0o755), AtFlags::empty())?;
        rustix::fs::renameat(root, self.path.as_str(), CWD, beside.join("tree"))?;
        make_directory(root, self.path.as_str(), 0o755)?;
        std::fs::write(beside.join("record"), record.encode())
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let name = format!("{}.{}", name_of(&self.path), self.bytes);
        let mut superfluous = find(&self.place, &self.path);
        let kept = self.place.join(name);
        if superfluous.contains(&kept) {
            discard(&kept, &beside.with_extension("old"))?;
        }
        rustix::fs::rename(beside, &kept)?;
        superfluous.retain(|path| *path != kept);
        superfluous.extend(oldest(&self.place));
        superfluous.iter().try_for_each(|path| discard(path, beside))
    }
}

/// Removes what nobody has taken. It is moved to a place of ours first: nobody may take what is half removed.
fn discard(path: &Path, beside: &Path) -> Result<(), Errno> {
    match rustix::fs::rename(path, beside) {
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
        // What cannot be removed goes with the place.
        Ok(()) => remove(beside).map_err(|_| Errno::BUSY),
    }
}

/// Those beyond the latest.
fn oldest(place: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(place) else { return Vec::new() };
    let time = |path: PathBuf| Some((path.symlink_metadata().and_then(|found| found.modified()).ok()?, path));
    let mut all: Vec<_> = entries.flatten().filter_map(|entry| time(entry.path())).collect();
    all.sort_by(|a, b| b.cmp(a));
    all.into_iter().skip(COUNT).map(|(_, path)| path).collect()
}

/// Bytes of the files of a tree.
fn size(store: &Store, tree: &Digest) -> ServiceResult<u64> {
    let directory = directory(store, tree)?;
    let mut sum = 0;
    for file in &directory.files {
        sum += file.content()?.size;
    }
    for child in &directory.directories {
        sum += size(store, &child.content()?)?;
    }
    Ok(sum)
}

/// What is known of a kept directory.
struct Record {
    tree: Digest,
    since: Moment,
    boot: String,
}

impl Record {
    fn encode(&self) -> String {
        format!("{} {} {} {}\n", self.tree, self.since.0, self.since.1, self.boot)
    }

    fn decode(text: &str) -> Option<Record> {
        let mut words = text.split_ascii_whitespace();
        let tree = words.next()?.parse().ok()?;
        let since = Moment(words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Record { tree, since, boot: words.next()?.to_owned() })
    }

    /// The record of a directory that can be used.
    fn read(path: &Path) -> Option<Record> {
        let record = Record::decode(&std::fs::read_to_string(path).ok()?)?;
        (Some(&record.boot) == boot().as_ref()).then_some(record)
    }
}

/// What names the time since the machine was started.
fn boot() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The first part of the name of what is kept for a path.
fn name_of(path: &str) -> String {
    let hash = Digest::of(path.as_bytes()).hash;
    hash[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn find(place: &Path, path: &str) -> Vec<PathBuf> {
    let name = name_of(path);
    let is_it = |entry: &PathBuf| entry.file_stem().is_some_and(|stem| stem.to_str() == Some(&name));
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(is_it).collect()
}

/// Puts what was kept for `path` at `at`, an empty directory, and makes it the tree that is wanted. Whether there was
/// anything of use; if not, `at` is still empty. `beside` is a name for use on the way.
pub(crate) fn take(
    store: &Store,
    path: &str,
    wanted: &Digest,
    at: &Path,
    beside: &Path,
) -> ServiceResult<bool> {
    let Some(found) = find(&store.kept()?, path).pop() else { return Ok(false) };
    if rustix::fs::rename(&found, beside).is_err() {
        return Ok(false); // most likely somebody else was faster
    }
    // Whatever goes wrong with what was kept, it can still be laid out anew.
    let taken = Record::read(&beside.join("record"))
        .is_some_and(|record| refit(store, &record, wanted, &beside.join("tree")).unwrap_or(false));
    if taken {
        let moved = || {
            let parent = at.parent().unwrap_or(at);
            rustix::fs::chmod(parent, Mode::from_raw_mode(0o755))?;
            rustix::fs::rename(beside.join("tree"), at)
        };
        moved().map_err(|error| trouble(error, "cannot use the directory kept in", beside))?;
    }
    remove(beside)?;
    Ok(taken)
}

/// Makes a kept directory the tree that is wanted. `false` when it is of no use.
fn refit(store: &Store, record: &Record, wanted: &Digest, path: &Path) -> ServiceResult<bool> {
    let Ok(had) = directory(store, &record.tree) else { return Ok(false) };
    let mut refit = Refit { store, since: record.since, path: path.to_owned(), directories: Vec::new() };
    let failed = |error| trouble(error, "cannot use the directory kept in", path);
    let top = open_directory(CWD, path).map_err(failed)?;
    let missing = refit.directory(&top, &had, &*directory(store, wanted)?, 0)?;
    if !missing.is_empty() {
        let options = ExportOptions { merge: true, staged: true, ..ExportOptions::default() };
        store.export_tree(&store.write_directory(&missing)?, path, &options)?;
    }
    for (path, time) in &refit.directories {
        utimensat(CWD, path, time, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    }
    Ok(true)
}

fn directory(store: &Store, digest: &Digest) -> ServiceResult<Arc<Directory>> {
    if *digest == Digest::empty() { Ok(Arc::default()) } else { store.directory(digest) }
}

/// Removes from a directory what is not as it is wanted.
struct Refit<'a> {
    store: &'a Store,
    /// Files that changed from then on may hold anything.
    since: Moment,
    /// Where we are.
    path: PathBuf,
    /// The directories that stay, and their times: to be set in the end, the innermost first.
    directories: Vec<(PathBuf, Timestamps)>,
}

impl Refit<'_> {
    /// What is missing afterwards.
    fn directory(
        &mut self,
        here: &OwnedFd,
        had: &Directory,
        wanted: &Directory,
        depth: u32,
    ) -> ServiceResult<Directory> {
        let path = self.path.clone();
        let failed = |error| trouble(error, "cannot use the kept directory", &path);
        let mut present = HashSet::new();
        let mut missing =
            Directory { node_properties: wanted.node_properties.clone(), ..Directory::default() };
        let entries = names(here).map_err(failed)?;
        fchmod(here, Mode::from_raw_mode(0o755)).map_err(failed)?;
        for (name, kind) in &entries {
            let stays = match (name.to_str(), kind) {
                (Ok(text), FileType::Directory) => {
                    self.enter(here, name, text, (had, wanted), &mut missing, depth)?
                }
                (Ok(text), FileType::RegularFile) => {
                    self.file(here.as_fd(), name, had.file(text), wanted.file(text)).map_err(failed)?
                }
                (Ok(text), FileType::Symlink) => link(here.as_fd(), name, text, wanted).map_err(failed)?,
                _ => false,
            };
            match name.to_str() {
                Ok(text) if stays => drop(present.insert(text)),
                _ => remove_any(here.as_fd(), name).map_err(failed)?,
            }
        }
        let is_missing = |name: &str| !present.contains(name);
        missing.files.extend(wanted.files.iter().filter(|node| is_missing(&node.name)).cloned());
        missing.symlinks.extend(wanted.symlinks.iter().filter(|node| is_missing(&node.name)).cloned());
        missing.directories.extend(wanted.directories.iter().filter(|node| is_missing(&node.name)).cloned());
        missing.sort();
        self.directories.push((path.clone(), times(&wanted.node_properties)));
        Ok(missing)
    }

    /// Goes into a directory. Whether it stays.
    fn enter(
        &mut self,
        here: &OwnedFd,
        name: &CStr,
        text: &str,
        (had, wanted): (&Directory, &Directory),
        missing: &mut Directory,
        depth: u32,
    ) -> ServiceResult<bool> {
        let Some(node) = wanted.directory(text).filter(|_| depth < DEPTH) else { return Ok(false) };
        let failed = |error| trouble(error, "cannot use the kept directory", &self.path);
        let inner = open_whatever_mode(here, name).map_err(failed)?;
        if !is_plain(&inner).map_err(failed)? {
            return Ok(false);
        }
        let had = had.directory(text).map_or_else(
            || Ok(Arc::default()),
            |node| node.content().map_err(Into::into).and_then(|digest| directory(self.store, &digest)),
        )?;
        let wanted = directory(self.store, &node.content()?)?;
        self.path.push(text);
        let lacks = self.directory(&inner, &had, &wanted, depth + 1)?;
        self.path.pop();
        if !lacks.is_empty() {
            let digest = Some(self.store.write_directory(&lacks)?.into());
            missing.directories.push(DirectoryNode { name: text.to_owned(), digest });
        }
        Ok(true)
    }

    /// Whether a file holds what is wanted; then it gets its permissions and its time.
    fn file(
        &self,
        here: BorrowedFd<'_>,
        name: &CStr,
        had: Option<&FileNode>,
        wanted: Option<&FileNode>,
    ) -> Result<bool, Errno> {
        let (Some(had), Some(wanted)) = (had, wanted) else { return Ok(false) };
        let stat = statat(here, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if had.digest != wanted.digest || !self.is_unchanged(&stat, wanted) || self.has_attributes(name)? {
            return Ok(false);
        }
        let mode = if wanted.is_executable { 0o755 } else { 0o644 };
        if stat.st_mode & 0o7777 != mode {
            chmodat(here, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
        }
        set_times(here, name, &stat, &wanted.node_properties)?;
        Ok(true)
    }

    fn is_unchanged(&self, stat: &Stat, node: &FileNode) -> bool {
        Moment(stat.st_ctime, stat.st_ctime_nsec as i64) < self.since
            && stat.st_nlink == 1
            && node.content().is_ok_and(|digest| digest.size == stat.st_size as u64)
    }

    fn has_attributes(&self, name: &CStr) -> Result<bool, Errno> {
        let path = self.path.join(name.to_str().map_err(|_| Errno::INVAL)?);
        match rustix::fs::llistxattr(&path, &mut [0_u8; 256]) {
            Ok(0) | Err(Errno::OPNOTSUPP) => Ok(false),
            Ok(_) | Err(Errno::RANGE) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// Whether a link leads where it is wanted to; then it gets its time.
fn link(here: BorrowedFd<'_>, name: &CStr, text: &str, wanted: &Directory) -> Result<bool, Errno> {
    let Some(node) = wanted.symlink(text) else { return Ok(false) };
    if readlinkat(here, name, Vec::new())?.to_bytes() != node.target.as_bytes() {
        return Ok(false);
    }
    let stat = statat(here, name, AtFlags::SYMLINK_NOFOLLOW)?;
    set_times(here, name, &stat, &node.node_properties)?;
    Ok(true)
}

/// Sets the times if that of modification is another one; that of the last access is not looked at.
fn set_times(
    here: BorrowedFd<'_>,
    name: &CStr,
    stat: &Stat,
    properties: &Option<NodeProperties>,
) -> Result<(), Errno> {
    let times = times(properties);
    let wanted = times.last_modification;
    if (stat.st_mtime, stat.st_mtime_nsec as i64) == (wanted.tv_sec, wanted.tv_nsec) {
        return Ok(());
    }
    utimensat(here, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}

/// The times of something staged with these properties.
fn times(properties: &Option<NodeProperties>) -> Timestamps {
    let staged = Timestamp { seconds: STAGED_TIME, nanos: 0 };
    let time = properties.as_ref().and_then(|properties| properties.mtime).unwrap_or(staged);
    let time = Timespec { tv_sec: time.seconds, tv_nsec: time.nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}
