//! What a command left behind, as trees of the store.
//!
//! Only the upper layer is looked at: what it does not hold is as it was in the input tree. New files are moved into
//! the store, all in one go, after the tree has been walked. Permissions come down to the executable bit of the owner;
//! named pipes, sockets and devices are passed over, as `bst` does.

use crate::root::{Cuts, Place, Root, c_path, c_text};
use crate::scratch::{names, open_directory, open_whatever_mode, shown, trouble};
use bourn_cas::Store;
use bourn_reapi::directory::{NodeProperties, Timestamp};
use bourn_reapi::services::{ErrorKind, ImportOptions, STAGED_TIME, ServiceResult};
use bourn_reapi::{Cas, Digest, Directory, DirectoryNode, FileNode, ServiceError, SymlinkNode};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Stat, chmodat, fgetxattr, fstat, readlinkat, statat};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

/// A moment on the clock that stamps changes of files.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Moment(pub(crate) i64, pub(crate) i64);

impl Moment {
    /// Now. A file that changes from now on gets this stamp or a later one.
    pub(crate) fn now() -> Moment {
        let now = clock_gettime(ClockId::RealtimeCoarse);
        Moment(now.tv_sec, now.tv_nsec)
    }
}

/// Collects outputs of one execution.
pub(crate) struct Capture<'a> {
    /// Where they go.
    pub(crate) store: &'a Store,
    /// The root as it was laid out.
    pub(crate) root: &'a Root,
    /// The tree that it was laid out from.
    pub(crate) input: Digest,
    /// When the command was started.
    pub(crate) started: Moment,
    /// Whether files carry their time of modification.
    pub(crate) times: bool,
    /// Whether files may be moved into the store.
    pub(crate) consume: bool,
}

/// What is under an upper directory.
#[derive(Clone, Default)]
struct Beneath {
    /// What shows through from the layers below, if anything does.
    lower: Option<Arc<Directory>>,
    /// What was laid out here as real files before the command ran.
    known: Option<Arc<Directory>>,
}

/// A directory of the root.
struct At<'a> {
    /// The real directory; `None` when something else is there.
    upper: Option<OwnedFd>,
    /// Its path on the host.
    path: Vec<u8>,
    beneath: Beneath,
    /// What was cut out here or below.
    cuts: Option<&'a Cuts>,
}

impl At<'_> {
    /// Whether this is, or is within, a directory that was cut out.
    fn is_cut(&self) -> bool {
        self.cuts.is_none_or(|cuts| cuts.cut.is_some())
    }

    fn failed(&self, error: Errno, doing: &str) -> ServiceError {
        failed(error, doing, self.path.clone())
    }
}

/// A directory on its way into the store.
struct Found {
    directory: Directory,
    children: Vec<(String, Found)>,
    /// Places in the list of new files, with the names that they get here.
    files: Vec<(String, usize, Option<NodeProperties>)>,
}

impl Capture<'_> {
    /// The tree at the place of that path, or `None` when there is no directory.
    pub(crate) fn output(&self, components: &[String]) -> ServiceResult<Option<Digest>> {
        let mut at = self.top()?;
        for (index, name) in components.iter().enumerate() {
            if !self.descend(&mut at, name)? {
                return self.untouched(&at.beneath, &components[index..]);
            }
            if at.upper.is_none() {
                return Ok(None);
            }
        }
        let mut files = Vec::new();
        let found = self.walk(&mut at, &mut files)?;
        let options = ImportOptions { consume: self.consume, record_mtime: false };
        let nodes = self.store.import_files(&files, &options)?;
        self.write(found, &nodes).map(Some)
    }

    /// The top of the root.
    fn top(&self) -> ServiceResult<At<'_>> {
        let path = self.root.place.directory();
        let upper = self.enter(CWD, &c_path(&path)?, Some(&self.root.cuts));
        let upper = upper.map_err(|error| trouble(error, "cannot open", &path))?;
        let input = Some(self.store.directory(&self.input)?);
        let beneath = match self.root.place {
            Place::Cuts(_) | Place::Upper(..) => Beneath { lower: input, known: None },
            Place::Whole(..) => Beneath { lower: None, known: input },
        };
        let path = path.as_os_str().as_bytes().to_vec();
        Ok(At { upper: Some(upper), path, beneath, cuts: Some(&self.root.cuts) })
    }

    /// Goes down to the entry of that name. Whether the upper layer holds anything there; if that is no directory,
    /// `upper` is `None` afterwards.
    fn descend(&self, at: &mut At<'_>, name: &str) -> ServiceResult<bool> {
        let Some(upper) = &at.upper else { return Ok(true) };
        let text = c_text(name.as_bytes())?;
        let cuts = at.cuts.and_then(|cuts| cuts.children.get(name));
        if !self.is_of_upper(at, cuts) {
            return Ok(false);
        }
        let length = at.path.len();
        at.path.push(b'/');
        at.path.extend_from_slice(name.as_bytes());
        let stat = match statat(upper, &text, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {
                at.path.truncate(length);
                return Ok(false);
            }
            other => other.map_err(|error| at.failed(error, "cannot look at"))?,
        };
        let inner = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                Some(self.enter(upper, &text, cuts).map_err(|error| at.failed(error, "cannot open"))?)
            }
            _ => None,
        };
        at.beneath = self.below(&at.beneath, name, cuts, inner.as_ref())?;
        (at.upper, at.cuts) = (inner, cuts);
        Ok(true)
    }

    /// Opens a directory, which the command may have closed. One on the way to what was cut out is left as it is if it
    /// can be read: nothing is taken from it, and a slot whose way was changed is not used again.
    fn enter(&self, parent: impl AsFd, name: &CStr, cuts: Option<&Cuts>) -> Result<OwnedFd, Errno> {
        let on_way = matches!(self.root.place, Place::Cuts(_)) && cuts.is_some_and(|cuts| cuts.cut.is_none());
        if on_way
            && let Ok(directory) = open_directory(parent.as_fd(), name)
            && fstat(&directory)?.st_mode & 0o500 == 0o500
        {
            return Ok(directory);
        }
        open_whatever_mode(parent, name)
    }

    /// Whether an entry of the upper directory counts: of a root that was put together of parts, only what was cut out
    /// and the way to it are real, the rest is there to be mounted upon.
    fn is_of_upper(&self, at: &At<'_>, cuts: Option<&Cuts>) -> bool {
        !matches!(self.root.place, Place::Cuts(_)) || cuts.is_some() || at.is_cut()
    }

    /// What is beneath the directory of that name.
    fn below(
        &self,
        beneath: &Beneath,
        name: &str,
        cuts: Option<&Cuts>,
        upper: Option<&OwnedFd>,
    ) -> ServiceResult<Beneath> {
        if let Some(digest) = cuts.and_then(|cuts| cuts.cut) {
            // The empty directory need not be in the store.
            let known = if digest == Digest::empty() { None } else { Some(self.store.directory(&digest)?) };
            return Ok(Beneath { lower: None, known });
        }
        let lower = self.child(&beneath.lower, name)?;
        let known = self.child(&beneath.known, name)?;
        Ok(Beneath { lower: lower.filter(|_| !upper.is_some_and(is_opaque)), known })
    }

    fn child(&self, directory: &Option<Arc<Directory>>, name: &str) -> ServiceResult<Option<Arc<Directory>>> {
        let node = directory.as_ref().and_then(|directory| directory.directory(name));
        node.map(|node| self.store.directory(&node.content()?)).transpose()
    }

    /// The tree at a path of which nothing is in the upper layer.
    fn untouched(&self, beneath: &Beneath, components: &[String]) -> ServiceResult<Option<Digest>> {
        let mut digest = None;
        let mut directory = beneath.lower.clone();
        for name in components {
            let node = directory.as_ref().and_then(|directory| directory.directory(name));
            let Some(node) = node else { return Ok(None) };
            let child = node.content()?;
            directory = Some(self.store.directory(&child)?);
            digest = Some(child);
        }
        Ok(digest)
    }

    /// Walks an upper directory, noting new files by path.
    fn walk(&self, at: &mut At<'_>, files: &mut Vec<PathBuf>) -> ServiceResult<Found> {
        let mut found = Found { directory: Directory::default(), children: Vec::new(), files: Vec::new() };
        let Some(upper) = &at.upper else { return Ok(found) };
        let mut entries = names(upper).map_err(|error| at.failed(error, "cannot read"))?;
        entries.retain(|(name, _)| {
            let cuts = at.cuts.and_then(|cuts| cuts.children.get(name.to_str().unwrap_or_default()));
            self.is_of_upper(at, cuts)
        });
        if let Some(lower) = &at.beneath.lower {
            keep_what_shows_through(&mut found.directory, lower, &entries);
        }
        for (name, _) in entries {
            let length = at.path.len();
            at.path.push(b'/');
            at.path.extend_from_slice(name.to_bytes());
            self.visit(at, &name, &mut found, files)?;
            at.path.truncate(length);
        }
        Ok(found)
    }

    /// Takes in one entry of an upper directory; `at.path` is the entry's own.
    fn visit(
        &self,
        at: &At<'_>,
        name: &CStr,
        found: &mut Found,
        files: &mut Vec<PathBuf>,
    ) -> ServiceResult<()> {
        let Some(upper) = &at.upper else { return Ok(()) };
        let text = name.to_str().map_err(|_| nameless(&at.path))?;
        let stat = statat(upper, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| at.failed(error, "cannot look at"))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let cuts = at.cuts.and_then(|cuts| cuts.children.get(text));
                let inner = self.enter(upper, name, cuts).map_err(|error| at.failed(error, "cannot open"))?;
                let beneath = self.below(&at.beneath, text, cuts, Some(&inner))?;
                let mut inner = At { upper: Some(inner), path: at.path.clone(), beneath, cuts };
                found.children.push((text.to_owned(), self.walk(&mut inner, files)?));
            }
            FileType::RegularFile => match self.unchanged(&at.beneath, text, &stat) {
                Some(node) => found.directory.files.push(node),
                None => {
                    if stat.st_mode & 0o400 == 0 {
                        // Its maker closed it, even to itself; the executable bit is what counts.
                        let readable = Mode::from_raw_mode(stat.st_mode & 0o100 | 0o600);
                        let opened = chmodat(upper, name, readable, AtFlags::empty());
                        opened.map_err(|error| at.failed(error, "cannot change the mode of"))?;
                    }
                    found.files.push((text.to_owned(), files.len(), self.properties(&stat)));
                    files.push(shown(at.path.clone()));
                }
            },
            FileType::Symlink => found.directory.symlinks.push(link(upper, name, text, &at.path)?),
            // A whiteout has done its work by hiding what was below; all else has no place in a tree.
            _ => {}
        }
        Ok(())
    }

    /// The node of a file that was laid out before the command ran and is as it was.
    ///
    /// Its stamp of change, which no program can set, is older than the command. Since the clock may have been turned
    /// back meanwhile, its size, permissions and time of modification have to be the staged ones as well.
    fn unchanged(&self, beneath: &Beneath, name: &str, stat: &Stat) -> Option<FileNode> {
        let node = beneath.known.as_ref()?.file(name)?;
        let staged = node.node_properties.as_ref().and_then(|properties| properties.mtime);
        let staged = staged.map_or((STAGED_TIME, 0), |time| (time.seconds, i64::from(time.nanos)));
        let same = Moment(stat.st_ctime, stat.st_ctime_nsec as i64) < self.started
            && (stat.st_mtime, stat.st_mtime_nsec as i64) == staged
            && stat.st_size as u64 == node.content().ok()?.size
            && (stat.st_mode & 0o100 != 0) == node.is_executable;
        same.then(|| FileNode { node_properties: self.with_time(node, staged), ..node.clone() })
    }

    fn with_time(&self, node: &FileNode, staged: (i64, i64)) -> Option<NodeProperties> {
        if !self.times {
            return node.node_properties.clone();
        }
        let mut properties = node.node_properties.clone().unwrap_or_default();
        properties.mtime = Some(Timestamp { seconds: staged.0, nanos: staged.1 as i32 });
        Some(properties)
    }

    fn properties(&self, stat: &Stat) -> Option<NodeProperties> {
        let time = Timestamp { seconds: stat.st_mtime, nanos: stat.st_mtime_nsec as i32 };
        self.times.then(|| NodeProperties { mtime: Some(time), ..NodeProperties::default() })
    }

    /// Writes the directories, the innermost first.
    fn write(&self, found: Found, nodes: &[FileNode]) -> ServiceResult<Digest> {
        let mut directory = found.directory;
        for (name, child) in found.children {
            let digest = self.write(child, nodes)?;
            directory.directories.push(DirectoryNode { name, digest: Some(digest.into()) });
        }
        for (name, index, properties) in found.files {
            let node = nodes.get(index).cloned().unwrap_or_default();
            directory.files.push(FileNode { name, node_properties: properties, ..node });
        }
        directory.sort();
        self.store.write_directory(&directory)
    }
}

fn failed(error: Errno, doing: &str, path: Vec<u8>) -> ServiceError {
    trouble(error, doing, &shown(path))
}

fn nameless(path: &[u8]) -> ServiceError {
    let shown = String::from_utf8_lossy(path);
    let message =
        format!("the name of `{}` is not UTF-8, so it cannot be kept in a tree", shown.escape_debug());
    ServiceError::new(ErrorKind::Invalid, message).hint("let the build give it another name, or remove it")
}

/// Takes over what the upper layer neither replaces nor hides.
fn keep_what_shows_through(directory: &mut Directory, lower: &Directory, upper: &[(CString, FileType)]) {
    let hidden: HashSet<&[u8]> = upper.iter().map(|(name, _)| name.to_bytes()).collect();
    let shows = |name: &str| !hidden.contains(name.as_bytes());
    directory.files.extend(lower.files.iter().filter(|node| shows(&node.name)).cloned());
    directory.directories.extend(lower.directories.iter().filter(|node| shows(&node.name)).cloned());
    directory.symlinks.extend(lower.symlinks.iter().filter(|node| shows(&node.name)).cloned());
}

/// Whether nothing shows through this directory of the upper layer.
fn is_opaque(directory: &OwnedFd) -> bool {
    let mut value = [0; 1];
    matches!(fgetxattr(directory, c"user.overlay.opaque", &mut value), Ok(1) if value == *b"y")
}

fn link(upper: &OwnedFd, name: &CStr, text: &str, path: &[u8]) -> ServiceResult<SymlinkNode> {
    let target =
        readlinkat(upper, name, Vec::new()).map_err(|error| failed(error, "cannot read", path.to_vec()))?;
    let target = target.into_string().map_err(|_| nameless(path))?;
    Ok(SymlinkNode { name: text.to_owned(), target, node_properties: None })
}
