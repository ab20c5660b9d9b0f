//! A file system in memory, as far as extraction needs one: what members leave behind, without the disk.
//!
//! Paths are walked as the kernel walks them: `.` and `..` mean directories that are there, links are followed, and
//! nothing is made on the way. Only [`Scene::real`] guesses, as Python's `realpath` does.

use super::pages::Pages;
use super::{ArchiveError, ArchiveResult, shown};
use bourn_reapi::{Cas, Digest, Directory, DirectoryNode, FileNode, SymlinkNode};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// How many symbolic links are followed on one path, as in Linux.
const MAX_LINKS: usize = 40;
/// Python follows any number that is no circle; this many are one.
const CIRCLE: usize = 4096;

/// Bytes of the longest path and link, and of the longest component, that Linux takes (`PATH_MAX`, `NAME_MAX`).
const LONGEST_PATH: usize = 4095;
const LONGEST_NAME: usize = 255;
/// So many bytes of encoded directories are stored at once.
const AT_ONCE: usize = 4 << 20;
/// How deep directories may nest. A path reaches twice as deep, and through links a tree could become deeper still; whoever
/// walks it does so in a thread whose stack ends somewhere.
const DEEPEST: usize = 1024;

/// Names something in a [`Scene`]. Hard links are two names for one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct NodeId(u32);

/// What stands in a [`Scene`].
#[derive(Debug)]
#[expect(
    clippy::box_collection,
    reason = "there are far more files than directories: a node is as large as a file needs"
)]
pub(crate) enum Node {
    Directory(Box<BTreeMap<Box<[u8]>, NodeId>>),
    /// The number of its content.
    File {
        content: u32,
        executable: bool,
    },
    Symlink(Box<[u8]>),
}

/// A tree of files in memory.
#[derive(Debug)]
pub(crate) struct Scene {
    nodes: Pages<Node>,
    /// What is in files, by number.
    contents: Pages<Digest>,
    /// Below how many others each directory stands; they never move.
    depths: HashMap<NodeId, usize>,
}

/// Where a path leads.
pub(crate) enum Walked<'a> {
    /// To something. Its place, unless it was reached by `.` or `..`.
    Found(NodeId, Option<(NodeId, Cow<'a, [u8]>)>),
    /// To a name that is free in a directory.
    Free(NodeId, Cow<'a, [u8]>),
    /// Through something that is not there, or is no directory.
    Nowhere,
}

/// What making a directory came to.
#[derive(PartialEq, Eq)]
pub(crate) enum Made {
    Yes,
    /// Something is there.
    Exists,
    /// The directory above is not there.
    Nowhere,
}

/// The components of a path; doubled slashes do not count.
pub(crate) fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty())
}

/// Refuses a path that Linux does not take.
///
/// # Errors
/// It has a zero byte, it is too long, or one of its components is.
pub(crate) fn check_path(path: &[u8]) -> ArchiveResult<()> {
    if path.contains(&0) {
        return Err(ArchiveError::malformed(format!("the name {} has a zero byte", shown(path))));
    }
    if path.len() > LONGEST_PATH || components(path).any(|part| part.len() > LONGEST_NAME) {
        let start = &path[..path.len().min(64)];
        let message = format!("the name {}… of {} bytes is too long", shown(start), path.len());
        return Err(ArchiveError::malformed(message));
    }
    Ok(())
}

/// What stands before the last slash.
pub(crate) fn above(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(&path[..0], |at| &path[..at])
}

impl Scene {
    const ROOT: NodeId = NodeId(0);

    /// A tree without anything; what is in the files that are written to it, by number.
    pub(crate) fn with_contents(contents: Pages<Digest>) -> Scene {
        let mut nodes = Pages::default();
        nodes.push(Node::Directory(Box::default()));
        Scene { nodes, contents, depths: HashMap::new() }
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    fn entries(&self, id: NodeId) -> Option<&BTreeMap<Box<[u8]>, NodeId>> {
        match self.node(id) {
            Node::Directory(entries) => Some(entries),
            _ => None,
        }
    }

    /// Where a path leads by Python's `realpath`: links are followed, what is not there is taken as it is written.
    ///
    /// # Errors
    /// It leads out of the tree, through links in a circle, or through a file.
    pub(crate) fn real(&self, path: &[u8]) -> ArchiveResult<Vec<Box<[u8]>>> {
        let mut todo: Vec<&[u8]> = components(path).filter(|part| *part != b".").collect();
        todo.reverse();
        let mut done: Vec<(&[u8], Option<NodeId>)> = Vec::new();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == b".." {
                done.pop().ok_or_else(|| outside(path))?;
                continue;
            }
            let parent = done.last().map_or(Some(Scene::ROOT), |(_, id)| *id);
            if parent.is_some_and(|parent| self.entries(parent).is_none()) {
                return Err(ArchiveError::malformed(format!("{} goes through a file", shown(path))));
            }
            let id = parent.and_then(|parent| self.entries(parent)?.get(part).copied());
            let Some(Node::Symlink(target)) = id.map(|id| self.node(id)) else {
                done.push((part, id));
                continue;
            };
            count_link(&mut links, CIRCLE, path)?;
            if target.first() == Some(&b'/') {
                return Err(outside(path));
            }
            todo.extend(components(target).rev().filter(|part| *part != b"."));
        }
        Ok(done.into_iter().map(|(part, _)| part.into()).collect())
    }

    /// Where a path leads, its last component followed if it is a link or taken as it is.
    ///
    /// # Errors
    /// It leads out of the tree, or through links in a circle.
    pub(crate) fn walk<'a>(&'a self, path: &'a [u8], follow: bool) -> ArchiveResult<Walked<'a>> {
        let mut todo: Vec<&[u8]> = components(path).collect();
        todo.reverse();
        let mut stack = vec![Scene::ROOT];
        let mut place = None;
        let mut links = 0;
        while let Some(part) = todo.pop() {
            let here = stack[stack.len() - 1];
            let Some(entries) = self.entries(here) else { return Ok(Walked::Nowhere) };
            place = None;
            if part == b"." {
                continue;
            }
            if part == b".." {
                if stack.len() == 1 {
                    return Err(outside(path));
                }
                stack.pop();
                continue;
            }
            let Some(id) = entries.get(part).copied() else {
                let free = todo.is_empty();
                return Ok(if free {
                    Walked::Free(here, Cow::Owned(part.to_vec()))
                } else {
                    Walked::Nowhere
                });
            };
            match self.node(id) {
                Node::Symlink(target) if follow || !todo.is_empty() => {
                    count_link(&mut links, MAX_LINKS, path)?;
                    if target.first() == Some(&b'/') {
                        return Err(outside(path));
                    }
                    todo.extend(components(target).rev());
                }
                _ => {
                    place = Some((here, Cow::Owned(part.to_vec())));
                    stack.push(id);
                }
            }
        }
        Ok(Walked::Found(stack[stack.len() - 1], place))
    }

    /// Whether something is at a path, links followed.
    pub(crate) fn exists(&self, path: &[u8]) -> ArchiveResult<bool> {
        Ok(matches!(self.walk(path, true)?, Walked::Found(..)))
    }

    /// Whether a directory is at a path, links followed.
    pub(crate) fn is_directory(&self, path: &[u8]) -> ArchiveResult<bool> {
        Ok(matches!(self.walk(path, true)?, Walked::Found(id, _) if self.entries(id).is_some()))
    }

    fn add(&mut self, node: Node) -> ArchiveResult<NodeId> {
        let id = u32::try_from(self.nodes.len());
        let id = id.map_err(|_| ArchiveError::malformed("more than 4,294,967,295 files and directories"))?;
        self.nodes.push(node);
        Ok(NodeId(id))
    }

    fn put(&mut self, directory: NodeId, name: &[u8], id: NodeId) {
        if let Node::Directory(entries) = &mut self.nodes[directory.0 as usize] {
            entries.insert(name.into(), id);
        }
    }

    /// Makes one directory.
    pub(crate) fn make_directory(&mut self, path: &[u8]) -> ArchiveResult<Made> {
        let (directory, name) = match self.walk(path, false)? {
            Walked::Found(..) => return Ok(Made::Exists),
            Walked::Nowhere => return Ok(Made::Nowhere),
            Walked::Free(directory, name) => (directory, name.into_owned()),
        };
        let depth = self.depths.get(&directory).copied().unwrap_or(0) + 1;
        if depth > DEEPEST {
            return Err(ArchiveError::malformed(format!("directories nest deeper than {DEEPEST}")));
        }
        let id = self.add(Node::Directory(Box::default()))?;
        self.depths.insert(id, depth);
        self.put(directory, &name, id);
        Ok(Made::Yes)
    }

    /// Makes a directory and those above it that are not there, as Python's `makedirs` does.
    ///
    /// # Errors
    /// Something stands in the way.
    pub(crate) fn make_directories(&mut self, path: &[u8]) -> ArchiveResult<()> {
        match self.make_directories_to(path)? {
            Made::Yes => Ok(()),
            Made::Exists => Err(in_the_way(path)),
            Made::Nowhere => {
                Err(ArchiveError::malformed(format!("{} is in what is no directory", shown(path))))
            }
        }
    }

    fn make_directories_to(&mut self, path: &[u8]) -> ArchiveResult<Made> {
        let slashes = path.iter().rev().take_while(|byte| **byte == b'/').count();
        let path = &path[..path.len() - slashes];
        let head = above(path);
        if !head.is_empty() && !self.exists(head)? {
            // That something is there already is no matter; that nothing can be made shows below.
            self.make_directories_to(head)?;
            if path.ends_with(b"/.") {
                return Ok(Made::Yes);
            }
        }
        self.make_directory(path)
    }

    /// Writes a file, given by the number of its content: what a link leads to, and all names of a file that is there,
    /// get the new content.
    ///
    /// # Errors
    /// A directory stands there, or there is no directory for it.
    pub(crate) fn write(&mut self, path: &[u8], content: usize, executable: bool) -> ArchiveResult<()> {
        let content = u32::try_from(content)
            .map_err(|_| ArchiveError::malformed("more than 4,294,967,295 contents of files"))?;
        let file = Node::File { content, executable };
        match self.walk(path, true)? {
            Walked::Found(id, _) if self.entries(id).is_some() => Err(in_the_way(path)),
            Walked::Found(id, _) => {
                self.nodes[id.0 as usize] = file;
                Ok(())
            }
            Walked::Free(directory, name) => {
                let name = name.into_owned();
                let id = self.add(file)?;
                self.put(directory, &name, id);
                Ok(())
            }
            Walked::Nowhere => {
                Err(ArchiveError::malformed(format!("{} is in what is no directory", shown(path))))
            }
        }
    }

    /// Makes a symbolic link, in the place of a file or link that is there. Whether it could be made.
    pub(crate) fn symlink(&mut self, path: &[u8], target: &[u8]) -> ArchiveResult<bool> {
        if target.len() > LONGEST_PATH || target.contains(&0) {
            let size = target.len();
            let message = format!("{} is a link of {size} bytes, too long or with a zero byte", shown(path));
            return Err(ArchiveError::malformed(message));
        }
        let place = match self.walk(path, false)? {
            Walked::Found(id, place) if self.entries(id).is_none() => place,
            Walked::Free(directory, name) => Some((directory, name)),
            _ => None,
        };
        let Some((directory, name)) = place.map(|(directory, name)| (directory, name.into_owned())) else {
            return Ok(false);
        };
        let id = self.add(Node::Symlink(target.into()))?;
        self.put(directory, &name, id);
        Ok(true)
    }

    /// Gives what is at a path, a link taken as it is, a second name. Whether it could be given.
    pub(crate) fn link(&mut self, from: &[u8], to: &[u8]) -> ArchiveResult<bool> {
        let Walked::Found(id, _) = self.walk(from, false)? else { return Ok(false) };
        if self.entries(id).is_some() {
            return Ok(false);
        }
        let Walked::Free(directory, name) = self.walk(to, false)? else { return Ok(false) };
        let name = name.into_owned();
        self.put(directory, &name, id);
        Ok(true)
    }

    /// Changes whether the file at a path, links followed, may be executed.
    pub(crate) fn set_executable(&mut self, path: &[u8], to: bool) -> ArchiveResult<()> {
        if let Walked::Found(id, _) = self.walk(path, true)?
            && let Node::File { executable, .. } = &mut self.nodes[id.0 as usize]
        {
            *executable = to;
        }
        Ok(())
    }

    /// Stores the tree.
    ///
    /// # Errors
    /// A name that is not UTF-8, a store that fails.
    pub(crate) fn store(&self, cas: &dyn Cas) -> ArchiveResult<Digest> {
        // From the deepest up, so that what is within a directory is known when its turn comes.
        let mut directories: Vec<(usize, NodeId)> =
            self.depths.iter().map(|(id, depth)| (*depth, *id)).chain([(0, Scene::ROOT)]).collect();
        directories.sort_unstable_by(|a, b| b.cmp(a));
        let mut known = HashMap::with_capacity(directories.len());
        let (mut encoded, mut size) = (Vec::new(), 0);
        let mut root = Digest::empty();
        for (_, id) in directories {
            let (bytes, digest) = self.sealed(id, &known)?;
            size += bytes.len();
            encoded.push(bytes);
            known.insert(id, digest);
            root = digest;
            if size >= AT_ONCE {
                write(cas, &mut encoded)?;
                size = 0;
            }
        }
        write(cas, &mut encoded)?;
        Ok(root)
    }

    /// Encodes a directory; `known` has those within.
    fn sealed(&self, id: NodeId, known: &HashMap<NodeId, Digest>) -> ArchiveResult<(Vec<u8>, Digest)> {
        let mut directory = Directory::default();
        for (name, id) in self.entries(id).into_iter().flatten() {
            let name = text(name)?;
            match self.node(*id) {
                Node::Directory(_) => {
                    let digest = known.get(id).map(|digest| (*digest).into());
                    directory.directories.push(DirectoryNode { name, digest });
                }
                Node::File { content, executable } => {
                    let digest = self.contents.get(*content as usize).copied().unwrap_or_default();
                    directory.files.push(FileNode {
                        name,
                        digest: Some(digest.into()),
                        is_executable: *executable,
                        node_properties: None,
                    });
                }
                Node::Symlink(target) => {
                    let target = text(target)?;
                    directory.symlinks.push(SymlinkNode { name, target, node_properties: None });
                }
            }
        }
        Ok(directory.encode_canonical())
    }
}

/// Stores encoded directories, and forgets them.
fn write(cas: &dyn Cas, encoded: &mut Vec<Vec<u8>>) -> ArchiveResult<()> {
    cas.write_many(&encoded.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
    encoded.clear();
    Ok(())
}

fn text(bytes: &[u8]) -> ArchiveResult<String> {
    let text = std::str::from_utf8(bytes).map(str::to_owned);
    text.map_err(|_| ArchiveError::malformed(format!("the name {} is not UTF-8", shown(bytes))))
}

fn count_link(links: &mut usize, most: usize, path: &[u8]) -> ArchiveResult<()> {
    *links += 1;
    if *links > most {
        return Err(ArchiveError::malformed(format!("{} goes through links in a circle", shown(path))));
    }
    Ok(())
}

fn in_the_way(path: &[u8]) -> ArchiveError {
    ArchiveError::malformed(format!("{} is there already", shown(path)))
}

/// The error of a path that leads out.
pub(crate) fn outside(path: &[u8]) -> ArchiveError {
    ArchiveError::malformed(format!("{} would be extracted outside the destination", shown(path)))
}
