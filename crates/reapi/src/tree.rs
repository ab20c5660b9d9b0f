//! A tree of the store, opened to be changed: what a sandbox is staged in.
//!
//! A [`Tree`] is a value. Cloning it is a snapshot that costs nothing; changing it copies only the directories on the
//! way to the change; directories are read from the store when they are first looked into, and whole directories are
//! taken over by digest where nothing stands in their place. [`Tree::digest`] stores what is new.
//!
//! A directory that does not change keeps its digest, and with it all its properties. One that changes is written
//! anew, and then only keeps what bst keeps: the times of files, and whether it may be written to.
//!
//! Importing follows bst: files replace files and empty directories, nothing replaces a directory that is not empty,
//! a directory over anything else is an error.

use crate::digest::{Digest, DigestMessage};
use crate::directory::{Directory, DirectoryNode, FileNode, NodeProperties, NodeProperty, SymlinkNode};
use crate::services::{Cas, ErrorKind, ServiceError, ServiceResult};
use smol_str::SmolStr;
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// How many symbolic links are followed on one path before it counts as leading nowhere (as in Linux).
const MAX_LINKS: usize = 40;

/// Why a tree could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// There is nothing at a path.
    #[error("'{0}' not found")]
    Missing(String),
    /// Something that is no directory stands in the way.
    #[error("Destination is a {1}, not a directory: /{0}")]
    NotADirectory(String, Kind),
    /// The store failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// Result of reading or changing a tree.
pub type TreeResult<T> = Result<T, TreeError>;

/// What sort of thing an entry is; shown as bst names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Directory => "directory",
            Kind::File => "regular file",
            Kind::Symlink => "symlink",
        })
    }
}

/// What an import did to what was there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Paths, below the place of the import, where a file or link replaced something; in the order of the source:
    /// directories first, then files, then links, each by name.
    pub overwritten: Vec<String>,
    /// Paths that were left alone because a directory that is not empty stands there.
    pub ignored: Vec<String>,
}

/// An entry of a [`Tree`].
#[derive(Clone, Debug)]
pub enum Entry {
    /// A directory.
    Directory(Folder),
    /// A regular file.
    File(File),
    /// A symbolic link.
    Symlink(Symlink),
}

/// A regular file of a [`Tree`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its content.
    pub digest: Digest,
    /// Whether it may be executed.
    pub executable: bool,
    /// Further properties.
    pub properties: Option<Box<NodeProperties>>,
}

/// A symbolic link of a [`Tree`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symlink {
    /// Where it leads, verbatim.
    pub target: SmolStr,
    /// Further properties.
    pub properties: Option<Box<NodeProperties>>,
}

impl Entry {
    /// What sort of thing it is.
    pub fn kind(&self) -> Kind {
        match self {
            Entry::Directory(_) => Kind::Directory,
            Entry::File(_) => Kind::File,
            Entry::Symlink(_) => Kind::Symlink,
        }
    }
}

/// A directory of a [`Tree`]: known by digest, by content, or both.
#[derive(Clone, Debug, Default)]
pub struct Folder(Arc<Inner>);

#[derive(Clone, Debug, Default)]
struct Inner {
    digest: OnceLock<Digest>,
    content: OnceLock<Content>,
}

/// The entries sorted by name; names are unique.
#[derive(Clone, Debug, Default)]
struct Content {
    entries: Vec<(SmolStr, Entry)>,
    properties: Option<Box<NodeProperties>>,
}

impl Content {
    fn find(&self, name: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|(other, _)| other.as_str().cmp(name))
    }

    fn get(&self, name: &str) -> Option<&Entry> {
        self.find(name).ok().map(|at| &self.entries[at].1)
    }

    fn set(&mut self, name: &str, entry: Entry) {
        match self.find(name) {
            Ok(at) => self.entries[at].1 = entry,
            Err(at) => self.entries.insert(at, (name.into(), entry)),
        }
    }

    fn remove(&mut self, name: &str) -> Option<Entry> {
        self.find(name).ok().map(|at| self.entries.remove(at).1)
    }
}

impl TryFrom<&Directory> for Content {
    type Error = ServiceError;

    fn try_from(message: &Directory) -> ServiceResult<Content> {
        let count = message.files.len() + message.directories.len() + message.symlinks.len();
        let mut entries = Vec::with_capacity(count);
        for node in &message.directories {
            let folder = Folder::stored(digest(&node.name, node.digest.as_ref())?);
            entries.push((name(&node.name)?, Entry::Directory(folder)));
        }
        for node in &message.files {
            let digest = digest(&node.name, node.digest.as_ref())?;
            let properties = kept_of_file(node.node_properties.as_ref());
            let file = File { digest, executable: node.is_executable, properties };
            entries.push((name(&node.name)?, Entry::File(file)));
        }
        for node in &message.symlinks {
            let link = Symlink { target: SmolStr::from(&node.target), properties: None };
            entries.push((name(&node.name)?, Entry::Symlink(link)));
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        if let Some(twice) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(corrupt(&format!("the name `{}` twice", twice[0].0)));
        }
        Ok(Content { entries, properties: kept_of_directory(message.node_properties.as_ref()) })
    }
}

/// The property of a directory that survives a change of it.
const SUBTREE_READ_ONLY: &str = "SubtreeReadOnly";

/// What the reference keeps of a file when the directory around it changes: its time.
fn kept_of_file(properties: Option<&NodeProperties>) -> Option<Box<NodeProperties>> {
    let mtime = properties?.mtime?;
    Some(Box::new(NodeProperties { mtime: Some(mtime), ..NodeProperties::default() }))
}

/// What the reference keeps of a directory that changes: whether everything below is read-only.
fn kept_of_directory(properties: Option<&NodeProperties>) -> Option<Box<NodeProperties>> {
    let is_kept = |property: &&NodeProperty| property.name == SUBTREE_READ_ONLY;
    let kept: Vec<NodeProperty> = properties?.properties.iter().filter(is_kept).cloned().collect();
    (!kept.is_empty()).then(|| Box::new(NodeProperties { properties: kept, ..NodeProperties::default() }))
}

/// A name that can stand in a directory.
fn name(name: &str) -> ServiceResult<SmolStr> {
    if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
        return Err(corrupt(&format!("an entry called `{}`", name.escape_debug())));
    }
    Ok(name.into())
}

fn digest(name: &str, message: Option<&DigestMessage>) -> ServiceResult<Digest> {
    let digest = message.and_then(|message| Digest::try_from(message).ok());
    digest.ok_or_else(|| corrupt(&format!("the entry `{name}` without a digest")))
}

fn corrupt(what: &str) -> ServiceError {
    ServiceError::new(ErrorKind::Corrupt, format!("A directory in the store holds {what}"))
}

impl Folder {
    fn stored(digest: Digest) -> Folder {
        Folder(Arc::new(Inner { digest: OnceLock::from(digest), content: OnceLock::new() }))
    }

    fn fresh() -> Folder {
        Folder(Arc::new(Inner { digest: OnceLock::new(), content: OnceLock::from(Content::default()) }))
    }

    fn content(&self, cas: &dyn Cas) -> ServiceResult<&Content> {
        if let Some(content) = self.0.content.get() {
            return Ok(content);
        }
        let content = match self.0.digest.get() {
            Some(digest) if digest.size != 0 => Content::try_from(&*cas.directory(digest)?)?,
            _ => Content::default(),
        };
        Ok(self.0.content.get_or_init(|| content))
    }

    /// The content, to be changed; the digest is forgotten.
    fn content_mut(&mut self, cas: &dyn Cas) -> ServiceResult<&mut Content> {
        self.content(cas)?;
        let inner = Arc::make_mut(&mut self.0);
        inner.digest = OnceLock::new();
        inner
            .content
            .get_mut()
            .ok_or_else(|| ServiceError::new(ErrorKind::Invalid, "directory without content"))
    }

    /// The digest, after everything that is new was stored.
    fn seal(&self, cas: &dyn Cas) -> ServiceResult<Digest> {
        if let Some(digest) = self.0.digest.get() {
            return Ok(*digest);
        }
        let digest = cas.write_directory(&self.message(cas)?)?;
        Ok(*self.0.digest.get_or_init(|| digest))
    }

    fn message(&self, cas: &dyn Cas) -> ServiceResult<Directory> {
        let content = self.content(cas)?;
        let mut message =
            Directory { node_properties: content.properties.as_deref().cloned(), ..Default::default() };
        for (name, entry) in &content.entries {
            let name = name.to_string();
            match entry {
                Entry::Directory(folder) => {
                    let digest = Some(folder.seal(cas)?.into());
                    message.directories.push(DirectoryNode { name, digest });
                }
                Entry::File(file) => message.files.push(FileNode {
                    name,
                    digest: Some(file.digest.into()),
                    is_executable: file.executable,
                    node_properties: file.properties.as_deref().cloned(),
                }),
                Entry::Symlink(link) => message.symlinks.push(SymlinkNode {
                    name,
                    target: link.target.to_string(),
                    node_properties: link.properties.as_deref().cloned(),
                }),
            }
        }
        Ok(message)
    }

    /// Whether both are known to hold the same, without looking into them.
    fn is_same(&self, other: &Folder) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || matches!((self.0.digest.get(), other.0.digest.get()), (Some(a), Some(b)) if a == b)
    }
}

/// A tree of files in memory, over a store. See the [module](self).
#[derive(Clone)]
pub struct Tree {
    cas: Arc<dyn Cas>,
    root: Folder,
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tree").field(&self.root.0.digest.get()).finish()
    }
}

impl Tree {
    /// A tree with nothing in it.
    pub fn empty(cas: &Arc<dyn Cas>) -> Tree {
        Tree { cas: cas.clone(), root: Folder::fresh() }
    }

    /// The tree of that digest. It is read when it is first looked into.
    pub fn open(cas: &Arc<dyn Cas>, digest: Digest) -> Tree {
        Tree { cas: cas.clone(), root: Folder::stored(digest) }
    }

    /// The digest of the root; everything that is new is stored first.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn digest(&self) -> ServiceResult<Digest> {
        self.root.seal(&*self.cas)
    }

    /// Whether there is nothing in it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn is_empty(&self) -> ServiceResult<bool> {
        Ok(self.root.content(&*self.cas)?.entries.is_empty())
    }

    /// The entries of the root, sorted by name.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn entries(&self) -> ServiceResult<impl Iterator<Item = (&str, &Entry)>> {
        Ok(self.root.content(&*self.cas)?.entries.iter().map(|(name, entry)| (name.as_str(), entry)))
    }

    /// What stands at a path, symbolic links taken as they are; `None` when nothing does. The root is a directory.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn entry(&self, path: &str) -> ServiceResult<Option<Cow<'_, Entry>>> {
        let mut parts = parts(path).peekable();
        let mut folder = &self.root;
        while let Some(part) = parts.next() {
            match folder.content(&*self.cas)?.get(part) {
                Some(entry) if parts.peek().is_none() => return Ok(Some(Cow::Borrowed(entry))),
                Some(Entry::Directory(below)) => folder = below,
                _ => return Ok(None),
            }
        }
        Ok(Some(Cow::Owned(Entry::Directory(folder.clone()))))
    }

    /// The path that a path leads to when all symbolic links on it are followed within the tree; `None` when it
    /// leads nowhere.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn resolve(&self, path: &str) -> ServiceResult<Option<String>> {
        let mut todo: Vec<String> = parts(path).rev().map(str::to_owned).collect();
        let mut done: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == ".." {
                done.pop();
                continue;
            }
            done.push(part);
            match self.entry(&done.join("/"))?.as_deref() {
                None => return Ok(None),
                Some(Entry::Symlink(link)) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Ok(None);
                    }
                    done.pop();
                    if link.target.starts_with('/') {
                        done.clear();
                    }
                    todo.extend(parts(&link.target).rev().map(str::to_owned));
                }
                Some(Entry::File(_)) if !todo.is_empty() => return Ok(None),
                Some(_) => {}
            }
        }
        Ok(Some(done.join("/")))
    }

    /// The directory at a path as a tree of its own; `None` when there is no directory.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn subtree(&self, path: &str) -> ServiceResult<Option<Tree>> {
        Ok(match self.entry(path)?.as_deref() {
            Some(Entry::Directory(folder)) => Some(Tree { cas: self.cas.clone(), root: folder.clone() }),
            _ => None,
        })
    }

    /// The directory at a path, to be changed; directories missing on the way are created.
    fn folder_mut(&mut self, path: &str) -> TreeResult<&mut Folder> {
        let cas = &*self.cas;
        let mut folder = &mut self.root;
        let mut walked = String::new();
        for part in parts(path) {
            push_part(&mut walked, part);
            let content = folder.content_mut(cas)?;
            let at = match content.find(part) {
                Ok(at) => at,
                Err(at) => {
                    content.entries.insert(at, (part.into(), Entry::Directory(Folder::fresh())));
                    at
                }
            };
            folder = match &mut content.entries[at].1 {
                Entry::Directory(below) => below,
                other => return Err(TreeError::NotADirectory(walked, other.kind())),
            };
        }
        Ok(folder)
    }

    /// Creates a directory with its parents unless it exists.
    ///
    /// # Errors
    /// Something else stands in the way, or the store cannot be read.
    pub fn create_directory(&mut self, path: &str) -> TreeResult<()> {
        if let Some(Entry::Directory(_)) = self.entry(path)?.as_deref() {
            return Ok(());
        }
        self.folder_mut(path).map(drop)
    }

    /// Puts another tree in the place of the directory at a path, which is created when missing.
    ///
    /// # Errors
    /// Something else stands in the way, or the store cannot be read.
    pub fn replace(&mut self, path: &str, with: &Tree) -> TreeResult<()> {
        *self.folder_mut(path)? = with.root.clone();
        Ok(())
    }

    /// Puts a file or link at a path in the place of whatever was there; parents are created when missing.
    ///
    /// # Errors
    /// Something that is no directory stands on the way, or the store cannot be read.
    pub fn put(&mut self, path: &str, entry: Entry) -> TreeResult<()> {
        let cas = self.cas.clone();
        let (parent, name) = split(path);
        self.folder_mut(parent)?.content_mut(&*cas)?.set(name, entry);
        Ok(())
    }

    /// Removes what is at a path, with all it holds. What was removed; `None` when there was nothing.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn remove(&mut self, path: &str) -> TreeResult<Option<Entry>> {
        if self.entry(path)?.is_none() {
            return Ok(None);
        }
        let cas = self.cas.clone();
        let (parent, name) = split(path);
        Ok(self.folder_mut(parent)?.content_mut(&*cas)?.remove(name))
    }

    /// Sets a property of the directory at a path, which is created when missing.
    ///
    /// # Errors
    /// Something else stands in the way, or the store cannot be read.
    pub fn set_property(&mut self, path: &str, name: &str, value: &str) -> TreeResult<()> {
        let cas = self.cas.clone();
        let content = self.folder_mut(path)?.content_mut(&*cas)?;
        let properties = &mut content.properties.get_or_insert_with(Default::default).properties;
        properties.retain(|property| property.name != name);
        properties.push(NodeProperty { name: name.into(), value: value.into() });
        properties.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(())
    }

    /// The same content without properties of the top directory: what importing it into an empty tree gives.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn without_properties(&self) -> ServiceResult<Tree> {
        let mut copy = self.clone();
        if copy.root.content(&*self.cas)?.properties.is_some() {
            copy.root.content_mut(&*self.cas)?.properties = None;
        }
        Ok(copy)
    }

    /// Imports the content of `source` into the directory at a path, which is created when missing. `keep` is asked
    /// for every path below the place of import: a file it refuses is not imported, a directory it refuses is not
    /// created unless something in it was kept.
    ///
    /// # Errors
    /// A directory of the source meets something that is no directory, or the store cannot be read.
    pub fn import(
        &mut self,
        path: &str,
        source: &Tree,
        keep: Option<&dyn Fn(&str) -> bool>,
    ) -> TreeResult<ImportReport> {
        let cas = self.cas.clone();
        let mut import = Import { cas: &*cas, keep, path: String::new(), report: ImportReport::default() };
        let into = self.folder_mut(path)?;
        import.run(into, &source.root)?;
        Ok(import.report)
    }

    /// Every path in the tree in bst's order: a directory, its files and links by name, its directories by name. The
    /// root itself is not among them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn paths(&self) -> ServiceResult<Vec<String>> {
        let mut all = Vec::new();
        self.walk(|path, _| all.push(path.to_owned()))?;
        Ok(all)
    }

    /// Visits every entry below the root in the order of [`Tree::paths`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn walk(&self, mut visit: impl FnMut(&str, &Entry)) -> ServiceResult<()> {
        walk(&*self.cas, &self.root, &mut String::new(), &mut visit)
    }

    /// Applies to this tree what changed from `old` to `new`: what is new or different in `new` is taken, what is
    /// gone is removed, everything else stays. What a build left in the tree of a workspace survives that way.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn apply_changes(&mut self, old: &Tree, new: &Tree) -> ServiceResult<()> {
        let cas = self.cas.clone();
        apply_changes(&*cas, &mut self.root, &old.root, &new.root)
    }
}

/// The parts of a path that mean something.
fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".")
}

/// Directory and name of a path.
fn split(path: &str) -> (&str, &str) {
    let path = path.trim_end_matches('/');
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Appends a part to a path; returns the length to truncate to afterwards.
fn push_part(path: &mut String, part: &str) -> usize {
    let before = path.len();
    if before != 0 {
        path.push('/');
    }
    path.push_str(part);
    before
}

fn walk(
    cas: &dyn Cas,
    folder: &Folder,
    path: &mut String,
    visit: &mut dyn FnMut(&str, &Entry),
) -> ServiceResult<()> {
    let content = folder.content(cas)?;
    for (name, entry) in content.entries.iter().filter(|(_, entry)| entry.kind() != Kind::Directory) {
        let before = push_part(path, name);
        visit(path, entry);
        path.truncate(before);
    }
    for (name, entry) in &content.entries {
        if let Entry::Directory(below) = entry {
            let before = push_part(path, name);
            visit(path, entry);
            walk(cas, below, path, visit)?;
            path.truncate(before);
        }
    }
    Ok(())
}

/// One import on its way through the source.
struct Import<'a> {
    cas: &'a dyn Cas,
    keep: Option<&'a dyn Fn(&str) -> bool>,
    path: String,
    report: ImportReport,
}

impl Import<'_> {
    fn run(&mut self, into: &mut Folder, source: &Folder) -> TreeResult<()> {
        let from = source.content(self.cas)?;
        if from.entries.is_empty() {
            return Ok(());
        }
        if self.keep.is_none() && into.content(self.cas)?.entries.is_empty() {
            into.content_mut(self.cas)?.entries.clone_from(&from.entries);
            return Ok(());
        }
        for kind in [Kind::Directory, Kind::File, Kind::Symlink] {
            for (name, entry) in from.entries.iter().filter(|(_, entry)| entry.kind() == kind) {
                let before = push_part(&mut self.path, name);
                match entry {
                    Entry::Directory(below) => self.directory(into, name, below)?,
                    _ => self.leaf(into, name, entry)?,
                }
                self.path.truncate(before);
            }
        }
        Ok(())
    }

    fn directory(&mut self, into: &mut Folder, name: &str, source: &Folder) -> TreeResult<()> {
        let content = into.content_mut(self.cas)?;
        let created = content.get(name).is_none();
        if created && self.keep.is_none() {
            content.set(name, Entry::Directory(source.clone()));
            return Ok(());
        }
        if created {
            content.set(name, Entry::Directory(Folder::fresh()));
        }
        let at = content.find(name).unwrap_or_default();
        let Entry::Directory(below) = &mut content.entries[at].1 else {
            return Err(TreeError::NotADirectory(self.path.clone(), content.entries[at].1.kind()));
        };
        self.run(below, source)?;
        let refused = created && self.keep.is_some_and(|keep| !keep(&self.path));
        if refused && below.content(self.cas)?.entries.is_empty() {
            content.remove(name);
        }
        Ok(())
    }

    fn leaf(&mut self, into: &mut Folder, name: &str, entry: &Entry) -> TreeResult<()> {
        if self.keep.is_some_and(|keep| !keep(&self.path)) {
            return Ok(());
        }
        match into.content(self.cas)?.get(name) {
            None => {}
            Some(Entry::Directory(there)) if !there.content(self.cas)?.entries.is_empty() => {
                self.report.ignored.push(self.path.clone());
                return Ok(());
            }
            Some(_) => self.report.overwritten.push(self.path.clone()),
        }
        into.content_mut(self.cas)?.set(name, entry.clone());
        Ok(())
    }
}

fn apply_changes(cas: &dyn Cas, own: &mut Folder, old: &Folder, new: &Folder) -> ServiceResult<()> {
    if old.is_same(new) || old.seal(cas)? == new.seal(cas)? {
        return Ok(());
    }
    let (old, new) = (old.content(cas)?, new.content(cas)?);
    for (name, entry) in &new.entries {
        let is_as = |other: Option<&Entry>| other.map_or(Ok(false), |other| is_equal(cas, entry, other));
        if is_as(own.content(cas)?.get(name))? || is_as(old.get(name))? {
            continue;
        }
        let content = own.content_mut(cas)?;
        let there = content.find(name).ok().map(|at| &mut content.entries[at].1);
        match (there, entry) {
            (Some(Entry::Directory(own)), Entry::Directory(new)) => {
                let empty = Folder::fresh();
                let old = match old.get(name) {
                    Some(Entry::Directory(old)) => old,
                    _ => &empty,
                };
                apply_changes(cas, own, old, new)?;
            }
            _ => content.set(name, entry.clone()),
        }
    }
    for (name, _) in old.entries.iter().filter(|(name, _)| new.get(name).is_none()) {
        own.content_mut(cas)?.remove(name);
    }
    Ok(())
}

fn is_equal(cas: &dyn Cas, a: &Entry, b: &Entry) -> ServiceResult<bool> {
    Ok(match (a, b) {
        (Entry::Directory(a), Entry::Directory(b)) => a.is_same(b) || a.seal(cas)? == b.seal(cas)?,
        (Entry::File(a), Entry::File(b)) => a == b,
        (Entry::Symlink(a), Entry::Symlink(b)) => a.target == b.target,
        _ => false,
    })
}
