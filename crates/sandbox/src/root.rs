//! The root of one sandbox: which parts of the input tree come from shared layers, which are real files of its own.
//!
//! A build writes to a few directories, and moves directories about in them. The kernel refuses to move a directory
//! of a lower layer, so the directories that a command may write to are laid out as real files in the upper one, and
//! the tree without them becomes the lower one. That tree is also what many elements have in common.

use crate::orders::{Base, Freeze};
use crate::scratch::{Scratch, trouble};
use bourn_reapi::services::{ErrorKind, Execution, ExportOptions, ServiceResult};
use bourn_reapi::{Cas, Digest, Directory, DirectoryNode, ServiceError};
use rustix::fs::{AtFlags, CWD, Mode, Timespec, Timestamps, chmod, mkdirat, utimensat};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The time that every staged file shows: 2011-11-11 11:11:11 UTC, as `bst` shows it.
pub(crate) const STAGED_TIME: i64 = 1_321_009_871;

/// Directories that a sandbox mounts something on.
const MOUNT_POINTS: [&str; 3] = ["dev", "proc", "tmp"];

/// More read-only entries than this, and the writable directories are mounted instead (see [`Freeze`]).
const FROZEN_LIMIT: usize = 128;

/// The directories that are cut out of the input tree, by component.
#[derive(Default, Debug)]
pub(crate) struct Cuts {
    /// What was staged here, when this is one of the directories; then it has no `children`.
    pub(crate) cut: Option<Digest>,
    /// What is below, when this is on the way to one of them.
    pub(crate) children: BTreeMap<String, Cuts>,
}

impl Cuts {
    /// The directories that an execution may write to. Empty when it may write everywhere: then a cut would only
    /// make the layers less alike.
    fn wanted(execution: &Execution) -> ServiceResult<Cuts> {
        let mut cuts = Cuts::default();
        for path in &execution.writable {
            let components = components(path)?;
            if components.is_empty() {
                return Ok(Cuts::default());
            }
            cuts.insert(&components);
        }
        Ok(cuts)
    }

    fn insert(&mut self, components: &[String]) {
        let mut at = self;
        for component in components {
            if at.cut.is_some() {
                return; // within one that is cut already
            }
            at = at.children.entry(component.clone()).or_default();
        }
        at.children.clear();
        at.cut = Some(Digest::empty());
    }

    fn is_empty(&self) -> bool {
        self.cut.is_none() && self.children.is_empty()
    }
}

/// The components of a normal absolute path.
pub(crate) fn components(path: &str) -> ServiceResult<Vec<String>> {
    let relative = path.strip_prefix('/').unwrap_or(path);
    let mut components = Vec::new();
    for component in relative.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop();
            }
            name if name.contains('\0') => {
                let message = format!("the path `{}` in a sandbox has a zero byte in it", path.escape_debug());
                return Err(ServiceError::new(ErrorKind::Invalid, message));
            }
            name => components.push(name.to_owned()),
        }
    }
    Ok(components)
}

/// A path of the file system as the kernel takes it.
pub(crate) fn c_path(path: &Path) -> ServiceResult<CString> {
    c_text(path.as_os_str().as_bytes())
}

/// A text as the kernel takes it.
pub(crate) fn c_text(text: &[u8]) -> ServiceResult<CString> {
    CString::new(text).map_err(|_| {
        let shown = String::from_utf8_lossy(text);
        let message = format!("a sandbox cannot be given `{}`: it has a zero byte in it", shown.escape_debug());
        ServiceError::new(ErrorKind::Invalid, message)
    })
}

/// The root of one sandbox, ready to be mounted.
pub(crate) struct Root {
    /// What the kernel is told.
    pub(crate) base: Base,
    /// Where the root is attached before it becomes one.
    pub(crate) attach: PathBuf,
    /// What is written ends up here.
    pub(crate) upper: PathBuf,
    /// Whether `upper` is only what differs from the input tree, or all of it.
    pub(crate) layered: bool,
    /// What was cut out of the input tree and laid out in `upper`.
    pub(crate) cuts: Cuts,
    /// What is read-only.
    pub(crate) freeze: Freeze,
}

/// Lays out the root of `execution` in `scratch`.
pub(crate) fn lay_out(
    cas: &Arc<dyn Cas>,
    execution: &Execution,
    scratch: &Scratch,
    layers: &dyn Layers,
) -> ServiceResult<Root> {
    let input = cas.directory(&execution.input_root)?;
    let mut cuts = Cuts::wanted(execution)?;
    let remaining = if cuts.is_empty() {
        execution.input_root
    } else {
        let carved = carve(cas, &input, &mut cuts)?;
        cas.write_directory(&carved)?
    };
    let frozen = execution.root_read_only && !cuts.is_empty();
    let attach = scratch.make("root", 0o755)?;
    let upper = scratch.make("upper", 0o755)?;
    let base = layers.base(&remaining, execution, scratch, &upper)?;
    let layered = matches!(base, Base::Overlay { .. });
    lay_out_cuts(cas, &cuts, &upper)?;
    let freeze = if frozen { freeze(cas, &input, &cuts)? } else { Freeze::Nothing };
    let root = Root { base, attach, upper, layered, cuts, freeze };
    root.make_mount_points(cas, &input, execution)?;
    if frozen { close_way(&root.cuts, &root.upper)? } else { stamp(&root.upper)? }
    Ok(root)
}

/// Where the layers below the private directories come from.
pub(crate) trait Layers {
    /// What the kernel is told so that `tree` shows through below `upper`.
    fn base(&self, tree: &Digest, execution: &Execution, scratch: &Scratch, upper: &Path) -> ServiceResult<Base>;
}

/// The tree without what is cut out of it, and without the directories that are empty then. Notes what was there.
fn carve(cas: &Arc<dyn Cas>, tree: &Directory, cuts: &mut Cuts) -> ServiceResult<Directory> {
    let mut rest = tree.clone();
    for (name, below) in &mut cuts.children {
        if rest.file(name).is_some() || rest.symlink(name).is_some() {
            let message = format!("`{name}` in the sandbox is not a directory, but has to be one to be written to");
            return Err(ServiceError::new(ErrorKind::Invalid, message));
        }
        let Some(node) = rest.directory(name) else { continue };
        let digest = node.content()?;
        let mut replaced = None;
        if below.cut.is_some() {
            below.cut = Some(digest);
        } else {
            let carved = carve(cas, &*cas.directory(&digest)?, below)?;
            if !carved.is_empty() {
                replaced = Some(DirectoryNode {
                    name: name.clone(),
                    digest: Some(cas.write_directory(&carved)?.into()),
                });
            }
        }
        rest.directories.retain(|node| node.name != *name);
        rest.directories.extend(replaced);
    }
    rest.sort();
    Ok(rest)
}

/// Writes what was cut out as real files.
fn lay_out_cuts(cas: &Arc<dyn Cas>, cuts: &Cuts, at: &Path) -> ServiceResult<()> {
    for (name, below) in &cuts.children {
        let path = at.join(name);
        match below.cut {
            Some(digest) if digest != Digest::empty() => {
                cas.export_tree(&digest, &path, &ExportOptions { hardlinks: false, merge: true })?;
            }
            Some(_) => make_directory(&path)?,
            None => {
                make_directory(&path)?;
                lay_out_cuts(cas, below, &path)?;
            }
        }
        stamp(&path)?;
    }
    Ok(())
}

/// Forbids new entries in the directories on the way to what is cut: they belong to the command's own user, and
/// cannot be made read-only by a mount without becoming another file system for `rename` and `link`.
fn close_way(cuts: &Cuts, at: &Path) -> ServiceResult<()> {
    for (name, below) in cuts.children.iter().filter(|(_, below)| below.cut.is_none()) {
        close_way(below, &at.join(name))?;
    }
    chmod(at, Mode::from_raw_mode(0o555)).map_err(|error| trouble(error, "cannot change", at))?;
    stamp(at)
}

fn make_directory(path: &Path) -> ServiceResult<()> {
    match mkdirat(CWD, path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(trouble(error, "cannot create", path)),
    }
}

/// Gives a directory the time that everything staged has.
fn stamp(path: &Path) -> ServiceResult<()> {
    let time = Timespec { tv_sec: STAGED_TIME, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::empty()).map_err(|error| trouble(error, "cannot change", path))
}

/// Which paths become read-only so that only what is cut can be written to.
fn freeze(cas: &Arc<dyn Cas>, input: &Directory, cuts: &Cuts) -> ServiceResult<Freeze> {
    let mut entries = Vec::new();
    let mut path = Vec::new();
    frozen_entries(cas, input, cuts, &mut path, &mut entries)?;
    if entries.len() <= FROZEN_LIMIT {
        return Ok(Freeze::Entries(entries));
    }
    let mut cut_paths = Vec::new();
    collect_cuts(cuts, &mut path, &mut cut_paths)?;
    Ok(Freeze::AllBut(cut_paths))
}

fn frozen_entries(
    cas: &Arc<dyn Cas>,
    directory: &Directory,
    cuts: &Cuts,
    path: &mut Vec<u8>,
    entries: &mut Vec<CString>,
) -> ServiceResult<()> {
    let top = path.is_empty();
    let directories = directory.directories.iter().map(|node| node.name.as_str());
    let files = directory.files.iter().map(|node| node.name.as_str());
    for name in directories.chain(files) {
        let length = path.len();
        path.push(b'/');
        path.extend_from_slice(name.as_bytes());
        match cuts.children.get(name) {
            Some(below) if below.cut.is_some() => {}
            Some(below) => {
                if let Some(node) = directory.directory(name) {
                    frozen_entries(cas, &*cas.directory(&node.content()?)?, below, path, entries)?;
                }
            }
            None if top && MOUNT_POINTS.contains(&name) => {}
            None => entries.push(c_text(path)?),
        }
        path.truncate(length);
    }
    Ok(())
}

fn collect_cuts(cuts: &Cuts, path: &mut Vec<u8>, found: &mut Vec<CString>) -> ServiceResult<()> {
    for (name, below) in &cuts.children {
        let length = path.len();
        path.push(b'/');
        path.extend_from_slice(name.as_bytes());
        if below.cut.is_some() {
            found.push(c_text(path)?);
        }
        collect_cuts(below, path, found)?;
        path.truncate(length);
    }
    Ok(())
}

impl Root {
    /// Makes sure that everything that will be mounted upon is there, the working directory too.
    fn make_mount_points(&self, cas: &Arc<dyn Cas>, input: &Directory, execution: &Execution) -> ServiceResult<()> {
        for name in MOUNT_POINTS {
            self.make_point(cas, input, &[name.to_owned()], true)?;
        }
        let directory = components(&execution.command.working_directory)?;
        self.make_point(cas, input, &directory, true)?;
        for mount in &execution.mounts {
            self.make_point(cas, input, &components(&mount.path)?, mount.host.is_dir())?;
        }
        Ok(())
    }

    /// Makes sure that a directory, or a file, is at that place of the tree.
    fn make_point(&self, cas: &Arc<dyn Cas>, input: &Directory, at: &[String], directory: bool) -> ServiceResult<()> {
        let mut known = Some(Arc::new(input.clone()));
        let mut path = self.upper.clone();
        for (index, name) in at.iter().enumerate() {
            let last = index + 1 == at.len();
            path.push(name);
            if let Some(parent) = &known {
                if parent.symlink(name).is_some() || (last && parent.file(name).is_some()) {
                    return Ok(()); // the kernel follows it, or mounts upon it
                }
                let child = parent.directory(name).map(|node| node.content()).transpose()?;
                known = child.map(|digest| cas.directory(&digest)).transpose()?;
                if last && known.is_some() {
                    return Ok(());
                }
            }
            if last && !directory {
                if !path.exists() {
                    std::fs::write(&path, []).map_err(|error| ServiceError::io(&error, "cannot create", &path))?;
                }
            } else if !path.is_dir() {
                make_directory(&path)?;
                stamp(&path)?;
            }
        }
        Ok(())
    }
}

/// Bytes of a path, for messages.
pub(crate) fn shown(path: Vec<u8>) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(path))
}
