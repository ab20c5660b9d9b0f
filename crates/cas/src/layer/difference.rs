//! How one tree differs from another.

use crate::store::Store;
use bourn_reapi::services::ServiceResult;
use bourn_reapi::{Cas, Digest, Directory, FileNode, NodeProperties, SymlinkNode};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// One directory of a layer.
#[derive(Debug, Default)]
pub(crate) struct Level {
    /// Properties of the directory itself.
    pub(crate) properties: Option<NodeProperties>,
    /// Files that are new or different.
    pub(crate) files: Vec<FileNode>,
    /// Links that are new or different.
    pub(crate) symlinks: Vec<SymlinkNode>,
    /// Names that are gone.
    pub(crate) gone: Vec<String>,
    /// Directories that are new or different.
    pub(crate) directories: Vec<(String, Below)>,
}

/// A directory below a [`Level`].
#[derive(Debug)]
pub(crate) enum Below {
    /// The base has none of that name: everything in it.
    Whole(Digest),
    /// The base has one of which nothing shall show through: everything in it.
    Instead(Digest),
    /// The base has one: what differs.
    Part(Level),
}

/// How many entries trees have; remembered, because equal directories are counted again and again.
#[derive(Default)]
pub(crate) struct Counts(Mutex<HashMap<Digest, u64>>);

impl Counts {
    /// Entries of a tree at all depths, itself included.
    pub(crate) fn count(&self, store: &Store, tree: &Digest) -> ServiceResult<u64> {
        if let Some(count) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(tree) {
            return Ok(*count);
        }
        let directory = store.directory(tree)?;
        let mut count = 1 + directory.files.len() as u64 + directory.symlinks.len() as u64;
        for child in &directory.directories {
            count += self.count(store, &child.content()?)?;
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(*tree, count);
        Ok(count)
    }

    /// Whether a tree has at most so many entries, roughly: directories that nobody has counted are looked into only
    /// as long as their sizes do not tell.
    pub(crate) fn is_within(&self, store: &Store, tree: &Digest, entries: u64) -> ServiceResult<bool> {
        let mut budget = Budget { entries, unseen: tree.size };
        self.spend(store, tree, &mut budget)
    }

    /// Takes the entries of a tree, which was unseen so far, off a budget. Whether that sufficed.
    fn spend(&self, store: &Store, tree: &Digest, budget: &mut Budget) -> ServiceResult<bool> {
        budget.unseen = budget.unseen.saturating_sub(tree.size);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(tree).copied();
        let before = budget.entries;
        let directory = match known {
            Some(_) => None,
            None => Some(store.directory(tree)?),
        };
        let own = |directory: &Directory| 1 + (directory.files.len() + directory.symlinks.len()) as u64;
        let Some(rest) =
            budget.entries.checked_sub(known.or_else(|| directory.as_deref().map(own)).unwrap_or(0))
        else {
            return Ok(false);
        };
        budget.entries = rest;
        let Some(directory) = directory else { return Ok(true) };
        budget.unseen += bytes_of_directories(&directory)?;
        if !budget.is_likely_enough() {
            return Ok(false);
        }
        for child in &directory.directories {
            if !self.spend(store, &child.content()?, budget)? {
                return Ok(false);
            }
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(*tree, before - budget.entries);
        Ok(true)
    }
}

/// Most entries of directories take fewer bytes than this: 80, and a name.
const ENTRY: u64 = 128;

/// How many more entries a tree may have.
struct Budget {
    entries: u64,
    /// Bytes of directories that belong to it and have not been looked into.
    unseen: u64,
}

impl Budget {
    fn is_likely_enough(&self) -> bool {
        self.unseen / ENTRY <= self.entries
    }
}

/// Bytes of the directories in one.
fn bytes_of_directories(directory: &Directory) -> ServiceResult<u64> {
    directory.directories.iter().try_fold(0, |sum, child| Ok(sum + child.content()?.size))
}

/// Finds differences and counts what laying them out would cost.
pub(crate) struct Comparison<'a> {
    pub(crate) store: &'a Store,
    pub(crate) counts: &'a Counts,
    /// Entries that may still be laid out.
    pub(crate) budget: u64,
    /// Whether it is given up as soon as the sizes of new directories say that the budget is not likely to suffice.
    pub(crate) roughly: bool,
}

impl Level {
    /// Bytes of all files of at least `least` bytes.
    pub(crate) fn bytes(&self, store: &Store, least: u64) -> ServiceResult<u64> {
        let mut bytes = bytes_of(&self.files, least)?;
        for (_, below) in &self.directories {
            bytes += match below {
                Below::Whole(digest) | Below::Instead(digest) => tree_bytes(store, digest, least)?,
                Below::Part(level) => level.bytes(store, least)?,
            };
        }
        Ok(bytes)
    }
}

fn tree_bytes(store: &Store, tree: &Digest, least: u64) -> ServiceResult<u64> {
    let directory = store.directory(tree)?;
    let mut bytes = bytes_of(&directory.files, least)?;
    for child in &directory.directories {
        bytes += tree_bytes(store, &child.content()?, least)?;
    }
    Ok(bytes)
}

fn bytes_of(files: &[FileNode], least: u64) -> ServiceResult<u64> {
    let mut bytes = 0;
    for file in files {
        let size = file.content()?.size;
        bytes += if size >= least { size } else { 0 };
    }
    Ok(bytes)
}

impl Comparison<'_> {
    /// The layer that makes `tree` out of `base`. `None` when it would have more entries than the budget allows.
    pub(crate) fn compare(&mut self, base: Option<&Digest>, tree: &Digest) -> ServiceResult<Option<Level>> {
        let new = self.store.directory(tree)?;
        match base {
            Some(base) => {
                let old = self.store.directory(base)?;
                self.level(&old, &new)
            }
            None => self.level(&Directory::default(), &new),
        }
    }

    fn spend(&mut self, entries: u64) -> bool {
        let enough = entries <= self.budget;
        self.budget = self.budget.saturating_sub(entries);
        enough
    }

    /// Whether the budget may suffice for the directories of `new` that are not in `old`.
    fn is_likely_enough(&self, old: &Directory, new: &Directory) -> ServiceResult<bool> {
        let missing = new.directories.iter().filter(|child| old.directory(&child.name).is_none());
        let unseen = missing.map(|child| Ok(child.content()?.size)).sum::<ServiceResult<u64>>()?;
        Ok(Budget { entries: self.budget, unseen }.is_likely_enough())
    }

    fn level(&mut self, old: &Directory, new: &Directory) -> ServiceResult<Option<Level>> {
        let mut level = Level { properties: new.node_properties.clone(), ..Level::default() };
        level.files = different(&old.files, &new.files, |node| &node.name, is_same_file);
        level.symlinks = different(&old.symlinks, &new.symlinks, |node| &node.name, is_same_link);
        level.gone = gone(old, new);
        let entries = level.files.len() + level.symlinks.len() + level.gone.len() + 1;
        if !self.spend(entries as u64) {
            return Ok(None);
        }
        if self.roughly && !self.is_likely_enough(old, new)? {
            return Ok(None);
        }
        for child in &new.directories {
            let digest = child.content()?;
            let below = match old.directory(&child.name) {
                Some(same) if same.digest == child.digest => continue,
                Some(other) => {
                    let before = self.budget;
                    let (old, new) =
                        (self.store.directory(&other.content()?)?, self.store.directory(&digest)?);
                    let level = self.level(&old, &new)?;
                    let hidden = level.as_ref().map_or(0, |level| level.gone.len() as u64);
                    // Hiding every name of the old directory may cost more than laying out the new one whole.
                    match self.counts.count(self.store, &digest)? {
                        count if count < hidden => {
                            self.budget = before;
                            self.spend(count).then_some(Below::Instead(digest))
                        }
                        _ => level.map(Below::Part),
                    }
                }
                None => {
                    let count = self.counts.count(self.store, &digest)?;
                    self.spend(count).then_some(Below::Whole(digest))
                }
            };
            match below {
                Some(below) => level.directories.push((child.name.clone(), below)),
                None => return Ok(None),
            }
        }
        Ok(Some(level))
    }
}

/// Nodes of `new` that `old` lacks or has differently. Both are sorted by name.
fn different<T: Clone>(old: &[T], new: &[T], name: fn(&T) -> &String, same: fn(&T, &T) -> bool) -> Vec<T> {
    let mut old = old.iter().peekable();
    let mut different = Vec::new();
    for node in new {
        while old.next_if(|other| name(other) < name(node)).is_some() {}
        if !old.peek().is_some_and(|other| name(other) == name(node) && same(other, node)) {
            different.push(node.clone());
        }
    }
    different
}

fn is_same_file(a: &FileNode, b: &FileNode) -> bool {
    a.digest == b.digest && a.is_executable == b.is_executable && a.node_properties == b.node_properties
}

fn is_same_link(a: &SymlinkNode, b: &SymlinkNode) -> bool {
    a.target == b.target && a.node_properties == b.node_properties
}

/// Names that stand for something in `old` and for nothing in `new`.
fn gone(old: &Directory, new: &Directory) -> Vec<String> {
    let here =
        |name: &str| new.file(name).is_some() || new.directory(name).is_some() || new.symlink(name).is_some();
    let files = old.files.iter().map(|node| &node.name);
    let directories = old.directories.iter().map(|node| &node.name);
    let symlinks = old.symlinks.iter().map(|node| &node.name);
    files.chain(directories).chain(symlinks).filter(|name| !here(name)).cloned().collect()
}
