//! The root of one sandbox: which parts of the input tree come from shared layers, which are real files of its own.
//!
//! Most commands may only write to a few directories. Then the root is a plain directory with little in it: those
//! directories, filled with what the tree has there, and an empty one for each other part of the tree, upon which that
//! part of the layers is mounted read-only. So the command writes to the disk directly, can rename and link across all
//! that it may write to, and no private layer has to be set up, which takes the kernel longer than everything else.
//!
//! A command that may write everywhere gets an overlay with a private upper layer.

use crate::kept;
use crate::layers::{Layers, Overlays, Source, Use, told};
use crate::orders::{Base, Freeze};
use crate::scratch::{Scratch, make_directory, trouble};
use crate::slot::{Entry, Skeleton, Slot};
use crate::sweeper::{Litter, Pool};
use bourn_cas::Store;
use bourn_reapi::services::{ErrorKind, Execution, ExportOptions, STAGED_TIME, ServiceResult};
use bourn_reapi::{Cas, Digest, Directory, DirectoryNode, ServiceError};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is mounted in every sandbox.
pub(crate) const MOUNT_POINTS: [&str; 3] = ["dev", "proc", "tmp"];

/// More parts of the tree than this are not mounted one by one.
const PARTS: usize = 128;

/// The directories that are cut out of the input tree, by component.
#[derive(Default, Debug)]
pub(crate) struct Cuts {
    /// What the tree has here, when this is one of the directories; then it has no `children`.
    pub(crate) cut: Option<Digest>,
    /// What is below, when this is on the way to one of them.
    pub(crate) children: BTreeMap<String, Cuts>,
}

impl Cuts {
    /// The directories that an execution may write to. Empty when it may write everywhere.
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

    /// What the tree had in one of the directories; `None` for any other.
    pub(crate) fn content(&self, components: &[String]) -> Option<Digest> {
        match components.split_first() {
            Some((name, rest)) => self.children.get(name)?.content(rest),
            None => self.cut,
        }
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

/// Whether the next command will most likely go on from what this one leaves: the times of its files are wanted, which
/// is only so in workspaces.
pub(crate) fn is_incremental(execution: &Execution) -> bool {
    execution.command.output_node_properties.iter().any(|property| property == "mtime")
}

/// The components of an absolute path, normal.
pub(crate) fn components(path: &str) -> ServiceResult<Vec<String>> {
    let mut components = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop();
            }
            name if name.contains('\0') => {
                let message =
                    format!("the path `{}` in a sandbox has a zero byte in it", path.escape_debug());
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
        let message =
            format!("a sandbox cannot be given `{}`: it has a zero byte in it", shown.escape_debug());
        ServiceError::new(ErrorKind::Invalid, message)
    })
}

/// Where the private files of executions are.
pub(crate) struct Places<'a> {
    /// The directory for all of them.
    pub(crate) directory: &'a Path,
    /// Slots that are ready.
    pub(crate) pool: &'a Pool,
    /// Where layers come from.
    pub(crate) layers: Layers<'a>,
}

/// The root of one sandbox, ready to be mounted.
pub(crate) struct Root {
    /// What the kernel is told.
    pub(crate) base: Base,
    /// What becomes read-only after that.
    pub(crate) freeze: Freeze,
    /// How it lies on the disk.
    pub(crate) place: Place,
    /// What was cut out of the input tree and laid out as real files.
    pub(crate) cuts: Cuts,
    /// Where the layers come from; keeps them from being removed.
    pub(crate) source: Option<Source>,
}

/// How a root lies on the disk.
pub(crate) enum Place {
    /// Only what is cut is here.
    Cuts(Box<Slot>),
    /// All that differs from the tree is here.
    Upper(Scratch, PathBuf),
    /// All of it is here.
    Whole(Scratch, PathBuf),
}

impl Place {
    /// The directory with the files that a command can have made.
    pub(crate) fn directory(&self) -> PathBuf {
        match self {
            Place::Cuts(slot) => slot.root(),
            Place::Upper(_, path) | Place::Whole(_, path) => path.clone(),
        }
    }

    /// What is to be cleaned up afterwards.
    pub(crate) fn litter(self) -> Litter {
        match self {
            Place::Cuts(slot) => Litter::Slot(slot),
            Place::Upper(scratch, _) | Place::Whole(scratch, _) => Litter::Scratch(scratch),
        }
    }
}

/// Lays out the root of an execution.
pub(crate) struct Layout<'a> {
    /// Where trees come from.
    pub(crate) store: &'a Store,
    /// What is to be executed.
    pub(crate) execution: &'a Execution,
    /// Where to.
    pub(crate) places: &'a Places<'a>,
}

impl Layout<'_> {
    /// Does it.
    pub(crate) fn lay_out(&self) -> ServiceResult<Root> {
        let input = self.store.directory(&self.execution.input_root)?;
        let mut cuts = Cuts::wanted(self.execution)?;
        if self.execution.root_read_only && !cuts.is_empty() {
            let carved = self.carve(&input, &mut cuts)?;
            if let Some(plan) = self.plan(&input, &cuts)? {
                let base = self.store.write_directory(&carved)?;
                return self.lay_out_parts(cuts, plan, &base);
            }
        }
        self.lay_out_upper(&input, cuts)
    }

    /// The tree without what is cut out of it, and without the directories that are empty then. Notes what was there.
    fn carve(&self, tree: &Directory, cuts: &mut Cuts) -> ServiceResult<Directory> {
        let mut rest = tree.clone();
        for (name, below) in &mut cuts.children {
            if rest.file(name).is_some() || rest.symlink(name).is_some() {
                let message =
                    format!("`{name}` in the sandbox is not a directory, but has to be one to be written to");
                return Err(ServiceError::new(ErrorKind::Invalid, message));
            }
            let Some(node) = rest.directory(name) else { continue };
            let digest = node.content()?;
            let mut replaced = None;
            if below.cut.is_some() {
                below.cut = Some(digest);
            } else {
                let carved = self.carve(&*self.directory(&digest)?, below)?;
                if !carved.is_empty() {
                    let digest = self.store.write_directory(&carved)?;
                    replaced = Some(DirectoryNode { name: name.clone(), digest: Some(digest.into()) });
                }
            }
            rest.directories.retain(|node| node.name != *name);
            rest.directories.extend(replaced);
        }
        rest.sort();
        Ok(rest)
    }

    fn directory(&self, digest: &Digest) -> ServiceResult<Arc<Directory>> {
        if *digest == Digest::empty() { Ok(Arc::default()) } else { self.store.directory(digest) }
    }

    /// How the root is put together of parts, or `None` if it cannot be: there are too many, or something has to be
    /// mounted where the tree has nothing.
    fn plan(&self, input: &Directory, cuts: &Cuts) -> ServiceResult<Option<Plan>> {
        let mut plan = Plan::default();
        self.plan_level(input, cuts, "", &mut plan)?;
        for name in MOUNT_POINTS {
            plan.skeleton.entry(name.to_owned()).or_insert(Entry::Point);
        }
        let execution = self.execution;
        let mut complete = plan.parts.len() <= PARTS;
        complete &= self.plan_point(input, cuts, &execution.command.working_directory, true, &mut plan)?;
        for mount in &execution.mounts {
            complete &= self.plan_point(input, cuts, &mount.path, mount.host.is_dir(), &mut plan)?;
        }
        Ok(complete.then_some(plan))
    }

    fn plan_level(
        &self,
        directory: &Directory,
        cuts: &Cuts,
        prefix: &str,
        plan: &mut Plan,
    ) -> ServiceResult<()> {
        for node in &directory.symlinks {
            plan.skeleton.insert(format!("{prefix}{}", node.name), Entry::Link(node.target.clone()));
        }
        for node in &directory.files {
            plan.add_part(format!("{prefix}{}", node.name), Entry::File);
        }
        for node in &directory.directories {
            let mounted = prefix.is_empty() && MOUNT_POINTS.contains(&node.name.as_str());
            if !cuts.children.contains_key(&node.name) && !mounted {
                plan.add_part(format!("{prefix}{}", node.name), Entry::Point);
            }
        }
        for (name, below) in &cuts.children {
            let path = format!("{prefix}{name}");
            if below.cut.is_some() {
                plan.skeleton.insert(path, Entry::Open);
                continue;
            }
            plan.skeleton.insert(path.clone(), Entry::Way);
            let inner = directory.directory(name).map(|node| node.content()).transpose()?;
            let inner = inner.map_or_else(|| Ok(Arc::default()), |digest| self.directory(&digest))?;
            self.plan_level(&inner, below, &format!("{path}/"), plan)?;
        }
        Ok(())
    }

    /// Makes sure that there is something at that path. Whether there will be.
    fn plan_point(
        &self,
        input: &Directory,
        cuts: &Cuts,
        path: &str,
        directory: bool,
        plan: &mut Plan,
    ) -> ServiceResult<bool> {
        let components = components(path)?;
        let mut cuts = Some(cuts);
        let mut tree = Some(Arc::new(input.clone()));
        for (index, name) in components.iter().enumerate() {
            let on_way = cuts.is_some();
            let here = components[..=index].join("/");
            cuts = cuts.and_then(|cuts| cuts.children.get(name));
            if cuts.is_some_and(|cuts| cuts.cut.is_some()) {
                plan.inner.push((components.clone(), directory));
                return Ok(true);
            }
            let parent = tree.take();
            if parent
                .as_ref()
                .is_some_and(|parent| parent.symlink(name).is_some() || parent.file(name).is_some())
            {
                return Ok(true); // the kernel will follow it, or mount upon it
            }
            if let Some(node) = parent.as_ref().and_then(|parent| parent.directory(name)) {
                tree = Some(self.directory(&node.content()?)?);
            } else if cuts.is_none() && on_way {
                // Nothing of the tree is here, so the whole path can be part of the skeleton.
                plan.add_path(&here, &components[index + 1..], directory);
                return Ok(true);
            } else if cuts.is_none() {
                return Ok(MOUNT_POINTS.contains(&here.as_str()));
            }
        }
        Ok(true)
    }

    fn lay_out_parts(&self, cuts: Cuts, plan: Plan, base: &Digest) -> ServiceResult<Root> {
        let source = self.places.layers.source(base, &self.execution.prefixes, Use::Seen)?;
        let taken = self.places.pool.take(|slot| slot.likeness(&plan.skeleton));
        let mut slot = taken.map_or_else(|| Slot::take(self.places.directory), Ok)?;
        if let Err(error) = self.fill(&mut slot, &cuts, &plan) {
            slot.tidy();
            return Err(error);
        }
        let overlays = self.places.layers.overlays;
        let parts = plan.parts.iter().map(|path| c_text(path.as_bytes())).collect::<Result<_, _>>()?;
        let base = Base::Parts {
            root: c_path(&slot.root())?,
            stack: told(&source, &slot.lower(), overlays)?,
            parts,
        };
        let place = Place::Cuts(Box::new(slot));
        Ok(Root { base, freeze: Freeze::Nothing, place, cuts, source: Some(source) })
    }

    fn fill(&self, slot: &mut Slot, cuts: &Cuts, plan: &Plan) -> ServiceResult<()> {
        slot.arrange(&plan.skeleton)?;
        let root = slot.root();
        self.fill_cuts(cuts, slot, "")?;
        for (components, directory) in &plan.inner {
            make_point_below(&root, components, *directory)?;
        }
        slot.seal()
    }

    /// Puts what was cut out into the slot, as far as possible with what was kept of it.
    fn fill_cuts(&self, cuts: &Cuts, slot: &Slot, path: &str) -> ServiceResult<()> {
        match cuts.cut {
            Some(digest) if digest != Digest::empty() => {
                let (store, at) = (self.store, slot.root().join(path));
                if is_incremental(self.execution) && kept::take(store, path, &digest, &at, &slot.beside())? {
                    return Ok(());
                }
                self.export_cuts(cuts, &at)
            }
            _ => cuts.children.iter().try_for_each(|(name, below)| {
                let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                self.fill_cuts(below, slot, &path)
            }),
        }
    }

    /// Writes what was cut out as real files, into directories that are there.
    fn export_cuts(&self, cuts: &Cuts, at: &Path) -> ServiceResult<()> {
        match cuts.cut {
            Some(digest) if digest != Digest::empty() => self.store.export_tree(
                &digest,
                at,
                &ExportOptions { merge: true, staged: true, ..ExportOptions::default() },
            ),
            _ => cuts.children.iter().try_for_each(|(name, below)| self.export_cuts(below, &at.join(name))),
        }
    }

    /// A root with a private upper layer, or without layers where there is no overlay.
    fn lay_out_upper(&self, input: &Directory, mut cuts: Cuts) -> ServiceResult<Root> {
        let execution = self.execution;
        let scratch = Scratch::new(self.places.directory)?;
        let upper = scratch.make("upper", 0o755)?;
        let carved = self.carve(input, &mut cuts)?;
        let base =
            if cuts.is_empty() { execution.input_root } else { self.store.write_directory(&carved)? };
        make_directories(&cuts, &upper)?;
        let overlays = self.places.layers.overlays;
        let (source, base) = if overlays != Overlays::Never {
            let work = scratch.make("work", 0o755)?;
            let attach = scratch.make("root", 0o755)?;
            let source = self.places.layers.source(&base, &execution.prefixes, Use::Below)?;
            let base = Base::Overlay {
                stack: told(&source, &attach, overlays)?,
                upper: c_path(&upper)?,
                work: c_path(&work)?,
            };
            (Some(source), base)
        } else {
            self.store.export_tree(
                &base,
                &upper,
                &ExportOptions { merge: true, staged: true, ..ExportOptions::default() },
            )?;
            (None, Base::Directory(c_path(&upper)?))
        };
        self.export_cuts(&cuts, &upper)?;
        self.make_points(input, &upper)?;
        stamp_way(&cuts, &upper)?;
        let freeze = self.freeze(&cuts)?;
        let place = match base {
            Base::Directory(_) => Place::Whole(scratch, upper),
            _ => Place::Upper(scratch, upper),
        };
        Ok(Root { base, freeze, place, cuts, source })
    }

    fn freeze(&self, cuts: &Cuts) -> ServiceResult<Freeze> {
        if !self.execution.root_read_only || cuts.is_empty() {
            return Ok(Freeze::Nothing);
        }
        let mut paths = Vec::new();
        collect_cuts(cuts, &mut Vec::new(), &mut paths)?;
        Ok(Freeze::AllBut(paths))
    }

    /// Makes sure that everything that will be mounted upon is there, the working directory too.
    fn make_points(&self, input: &Directory, upper: &Path) -> ServiceResult<()> {
        for name in MOUNT_POINTS {
            self.make_missing(input, upper, name, true)?;
        }
        self.make_missing(input, upper, &self.execution.command.working_directory, true)?;
        for mount in &self.execution.mounts {
            self.make_missing(input, upper, &mount.path, mount.host.is_dir())?;
        }
        Ok(())
    }

    fn make_missing(
        &self,
        input: &Directory,
        upper: &Path,
        path: &str,
        directory: bool,
    ) -> ServiceResult<()> {
        let components = components(path)?;
        let mut tree = Some(Arc::new(input.clone()));
        let mut at = upper.to_owned();
        for (index, name) in components.iter().enumerate() {
            let last = index + 1 == components.len();
            at.push(name);
            if let Some(parent) = tree.take() {
                if parent.symlink(name).is_some() || (last && parent.file(name).is_some()) {
                    return Ok(()); // the kernel will follow it, or mount upon it
                }
                let child = parent.directory(name).map(|node| node.content()).transpose()?;
                tree = child.map(|digest| self.directory(&digest)).transpose()?;
                if last && tree.is_some() {
                    return Ok(());
                }
            }
            if !at.exists() {
                make_point(&at, !last || directory)?;
            }
        }
        Ok(())
    }
}

/// How a root is put together of parts.
#[derive(Default)]
struct Plan {
    skeleton: Skeleton,
    /// Paths of the layers that are mounted at the same path.
    parts: Vec<String>,
    /// What has to be there within what is cut: components, and whether it is a directory.
    inner: Vec<(Vec<String>, bool)>,
}

impl Plan {
    fn add_part(&mut self, path: String, entry: Entry) {
        self.parts.push(path.clone());
        self.skeleton.insert(path, entry);
    }

    /// Adds a path of which nothing is in the tree.
    fn add_path(&mut self, first: &str, rest: &[String], directory: bool) {
        let mut path = first.to_owned();
        for name in rest {
            self.skeleton.insert(path.clone(), Entry::Way);
            path = format!("{path}/{name}");
        }
        let last = if directory { Entry::Point } else { Entry::File };
        self.skeleton.entry(path).or_insert(last);
    }
}

fn make_directories(cuts: &Cuts, at: &Path) -> ServiceResult<()> {
    for (name, below) in &cuts.children {
        let path = at.join(name);
        make_point(&path, true)?;
        make_directories(below, &path)?;
    }
    Ok(())
}

/// Makes what is missing of a path below `top`, without following links: who follows them is the kernel, later.
fn make_point_below(top: &Path, components: &[String], directory: bool) -> ServiceResult<()> {
    let mut path = top.to_owned();
    for (index, name) in components.iter().enumerate() {
        path.push(name);
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Ok(()),
            Err(_) => make_point(&path, directory || index + 1 < components.len())?,
        }
    }
    Ok(())
}

/// Makes an empty directory or file to mount upon.
pub(crate) fn make_point(path: &Path, directory: bool) -> ServiceResult<()> {
    if directory {
        make_directory(CWD, path, 0o755).map_err(|error| trouble(error, "cannot create", path))?;
    } else {
        std::fs::write(path, []).map_err(|error| ServiceError::io(&error, "cannot create", path))?;
    }
    stamp(path)
}

/// Gives the directories on the way to what is cut the time that everything staged has.
fn stamp_way(cuts: &Cuts, at: &Path) -> ServiceResult<()> {
    cuts.children.iter().try_for_each(|(name, below)| stamp_way(below, &at.join(name)))?;
    stamp(at)
}

fn stamp(path: &Path) -> ServiceResult<()> {
    let time = Timespec { tv_sec: STAGED_TIME, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| trouble(error, "cannot change", path))
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
